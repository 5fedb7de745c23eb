import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { SeededRandom } from "../../src/internal/random.ts"

const draw = (seed: string, n: number): ReadonlyArray<number> => {
  const random = new SeededRandom(() => seed)
  return Array.from({ length: n }, () => random.nextDoubleUnsafe())
}

describe("SeededRandom", () => {
  it("is pinned: an execution lives for a year, and its numbers must not change", () => {
    assert.deepStrictEqual(
      draw("arn#path", 4),
      [0.6476424928087702, 0.3523145713435837, 0.9383300851584424, 0.8073138289252052]
    )
    assert.deepStrictEqual(draw("", 2), [0.3265368288323647, 0.6003978870146192])
    assert.deepStrictEqual(draw("grün \u{1F600}", 2), [0.5562643616439062, 0.23740570499846092])
    const random = new SeededRandom(() => "arn#path")
    assert.deepStrictEqual([random.nextIntUnsafe(), random.nextIntUnsafe()], [2659690702390513, -2660464165860354])
  })

  it("gives the same numbers for the same seed, others for others", () => {
    assert.deepStrictEqual(draw("a", 100), draw("a", 100))
    const firsts = new Set(Array.from({ length: 1000 }, (_, i) => draw(`seed-${i}`, 1)[0]))
    assert.strictEqual(firsts.size, 1000)
    for (const [a, b] of [
      ["a", "b"],
      ["ab", "ba"],
      ["", "\0"],
      ["x#1", "x#2"]
    ] as const) {
      assert.notDeepEqual(draw(a, 3), draw(b, 3))
    }
  })

  it("does not depend on when it is asked, or who else asks", () => {
    const a = new SeededRandom(() => "a")
    const b = new SeededRandom(() => "b")
    const mixed: Array<number> = []
    for (let i = 0; i < 10; i++) {
      mixed.push(a.nextDoubleUnsafe())
      b.nextDoubleUnsafe()
    }
    assert.deepStrictEqual(mixed, draw("a", 10))
  })

  it("is uniform enough, within a seed and over seeds", () => {
    const samples = [draw("uniform", 20_000), Array.from({ length: 20_000 }, (_, i) => draw(`seed ${i}`, 1)[0]!)]
    for (const sample of samples) {
      assert.isTrue(sample.every((x) => x >= 0 && x < 1))
      const buckets = new Array<number>(20).fill(0)
      for (const x of sample) buckets[Math.floor(x * 20)]!++
      const expected = sample.length / 20
      const chiSquare = buckets.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
      // 19 degrees of freedom: 43.8 is exceeded once in a thousand
      assert.isBelow(chiSquare, 43.8)
      // neighbours are independent
      const mean = sample.reduce((sum, x) => sum + x, 0) / sample.length
      const covariance =
        sample.slice(1).reduce((sum, x, i) => sum + (x - mean) * (sample[i]! - mean), 0) / sample.length
      assert.isBelow(Math.abs(covariance * 12), 0.03)
    }
  })

  it.effect("serves Effect's Random", () =>
    Effect.gen(function* () {
      const roll = Effect.all([
        Random.nextIntBetween(1, 7),
        Random.nextBoolean,
        Random.nextInt,
        Random.nextBetween(5, 6)
      ])
      const seeded = Effect.suspend(() => Effect.provideService(roll, Random.Random, new SeededRandom(() => "dice")))
      const [die, , int, between] = yield* seeded
      assert.isTrue(die >= 1 && die <= 7 && Number.isSafeInteger(int) && between >= 5 && between < 6)
      assert.deepStrictEqual(yield* seeded, yield* seeded)
    })
  )
})
