import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { decide, faultOf, type Thresholds } from "../../src/internal/completion.ts"

// ---- a model: wire-protocol section 24.2, written down as it stands there ------------------------------------

/** Runs outcomes one by one by rules 3 to 6. Gives how many have ended, and the reason. */
const model = (rule: Thresholds, outcomes: ReadonlyArray<boolean>) => {
  const total = outcomes.length
  const { minSuccessful, toleratedFailureCount, toleratedFailurePercentage } = rule
  const none = [minSuccessful, toleratedFailureCount, toleratedFailurePercentage].every((x) => x === undefined)
  let failures = 0
  let successes = 0
  const mayContinue = () => {
    if (none) return failures === 0
    if (toleratedFailureCount !== undefined && !(failures <= toleratedFailureCount)) return false
    // of whole numbers, so that no rounding decides at the boundary
    if (toleratedFailurePercentage !== undefined && !(failures * 100 <= toleratedFailurePercentage * total))
      return false
    return true
  }
  const done = () => failures + successes
  const finished = () =>
    done() === total || (minSuccessful !== undefined && successes >= minSuccessful) || !mayContinue()
  while (!finished()) {
    if (outcomes[done()] === true) successes++
    else failures++
  }
  const reason = !mayContinue()
    ? "FAILURE_TOLERANCE_EXCEEDED"
    : done() === total
      ? "ALL_COMPLETED"
      : minSuccessful !== undefined && successes >= minSuccessful
        ? "MIN_SUCCESSFUL_REACHED"
        : "ALL_COMPLETED"
  return { ended: done(), reason }
}

/** The same by what is tested. */
const ours = (rule: Thresholds, outcomes: ReadonlyArray<boolean>) => {
  const tally = { total: outcomes.length, success: 0, failure: 0 }
  for (;;) {
    const reason = decide(rule, tally)
    const ended = tally.success + tally.failure
    if (reason !== undefined) return { ended, reason }
    if (outcomes[ended] === true) tally.success++
    else tally.failure++
  }
}

const within = (min: number, max: number) =>
  Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: min, maximum: max })))

describe("completion", () => {
  it.prop(
    "ends when the rules of wire-protocol 24.2 end it, and with their reason",
    [
      Schema.Struct({
        minSuccessful: within(1, 12),
        toleratedFailureCount: within(0, 12),
        toleratedFailurePercentage: within(0, 100)
      }),
      Schema.Array(Schema.Boolean).check(Schema.isMaxLength(12))
    ],
    ([rule, outcomes]) => assert.deepStrictEqual(ours(rule, outcomes), model(rule, outcomes)),
    { arbitrary: { runs: 2_000 } }
  )

  it("all combinations of small thresholds over all outcomes of up to five items", () => {
    const some = [undefined, 0, 1, 2, 3]
    let cases = 0
    const reasons = new Set<string>()
    for (let total = 0; total <= 5; total++) {
      for (let bits = 0; bits < 2 ** total; bits++) {
        const outcomes = Array.from({ length: total }, (_, i) => (bits >> i) % 2 === 1)
        for (const minSuccessful of some.filter((min) => min !== 0)) {
          for (const toleratedFailureCount of some) {
            for (const toleratedFailurePercentage of [undefined, 0, 20, 33, 34, 50, 60, 100]) {
              const rule = { minSuccessful, toleratedFailureCount, toleratedFailurePercentage }
              const expected = model(rule, outcomes)
              assert.deepStrictEqual(ours(rule, outcomes), expected, JSON.stringify({ rule, outcomes }))
              reasons.add(expected.reason)
              cases++
            }
          }
        }
      }
    }
    assert.strictEqual(cases, 63 * 4 * 5 * 8)
    assert.strictEqual(reasons.size, 3)
  })

  it("as many failures as tolerated go on, one more ends it", () => {
    const at = (failure: number, total: number, percentage: number) =>
      decide({ toleratedFailurePercentage: percentage }, { total, success: 0, failure })
    for (let total = 1; total <= 200; total++) {
      for (let failure = 1; failure < total; failure++) {
        // exact percentages only
        if ((failure * 100) % total !== 0) continue
        const percentage = (failure * 100) / total
        assert.isUndefined(at(failure, total, percentage), `${failure} of ${total}`)
        assert.strictEqual(at(failure + 1, total + 0, percentage), "FAILURE_TOLERANCE_EXCEEDED")
      }
    }
  })

  it("7 of 25 are 28 %: AWS's JS SDK 2.4.0 gets this wrong (it divides, and 28.000000000000004 > 28)", () => {
    assert.isAbove((7 / 25) * 100, 28)
    assert.isUndefined(decide({ toleratedFailurePercentage: 28 }, { total: 25, success: 0, failure: 7 }))
  })

  it("says what is wrong with thresholds", () => {
    const bad: ReadonlyArray<readonly [Thresholds, RegExp]> = [
      [{ minSuccessful: 0 }, /minSuccessful is 0/],
      [{ minSuccessful: NaN }, /minSuccessful is NaN/],
      [{ minSuccessful: 1.5 }, /minSuccessful is 1\.5/],
      [{ minSuccessful: 6 }, /minSuccessful is 6, but there are only 5/],
      [{ toleratedFailureCount: -1 }, /toleratedFailureCount is -1/],
      [{ toleratedFailureCount: 0.5 }, /toleratedFailureCount is 0\.5/],
      [{ toleratedFailurePercentage: -1 }, /toleratedFailurePercentage is -1/],
      [{ toleratedFailurePercentage: 101 }, /toleratedFailurePercentage is 101/],
      [{ toleratedFailurePercentage: NaN }, /toleratedFailurePercentage is NaN/]
    ]
    for (const [rule, message] of bad) assert.match(faultOf(rule, 5) ?? "nothing", message)
    for (const rule of [
      {},
      { minSuccessful: 5 },
      { toleratedFailureCount: 0 },
      { toleratedFailureCount: 9, toleratedFailurePercentage: 0 },
      { toleratedFailurePercentage: 100 }
    ]) {
      assert.isUndefined(faultOf(rule, 5))
    }
  })
})
