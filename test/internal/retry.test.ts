import { assert, describe, it } from "@effect/vitest"
import { Durable } from "effect-durable-lambda"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { SeededRandom } from "../../src/internal/random.ts"
import { decide, type Policy, toDelaySeconds } from "../../src/internal/retry.ts"

const S = Schedule

/** Any schedule. */
// oxlint-disable-next-line typescript/no-explicit-any
type Any = Schedule.Schedule<any, any>

interface Failure {
  readonly retryable: boolean
  readonly kind: "throttle" | "hard" | "soft"
  readonly retryAfter?: number
}
const typed = S.setInputType<Failure>()

/** Schedules whose state is a count, or depends on the current error only. */
const counting: Record<string, Any> = {
  exponential: S.exponential("2 seconds"),
  "exponential, factor 3": S.exponential("1 second", 3),
  "exponential, upTo times": S.exponential("2 seconds").pipe(S.upTo({ times: 5 })),
  fibonacci: S.fibonacci("1 second"),
  recurs: S.recurs(3),
  forever: S.forever,
  spaced: S.spaced("3 seconds"),
  "fractions of a second": S.spaced("1300 millis"),
  max: S.max([S.exponential("1 second"), S.recurs(4)]),
  min: S.min([S.exponential("1 second"), S.spaced("10 seconds")]),
  jittered: S.exponential("4 seconds").pipe(S.jittered, S.upTo({ times: 8 })),
  "min, jittered, upTo, while": S.min([S.exponential("1 second"), S.spaced("10 seconds")]).pipe(
    S.jittered,
    S.upTo({ times: 6 }),
    typed,
    S.while(({ input }) => input.retryable)
  ),
  "while by the error": S.spaced("2 seconds").pipe(
    typed,
    S.while(({ input }) => input.retryable)
  ),
  "modifyDelay by the error": S.exponential("1 second").pipe(
    typed,
    S.modifyDelay(({ duration, input }) =>
      Effect.succeed(input.retryAfter === undefined ? duration : Duration.seconds(input.retryAfter))
    )
  ),
  concat: S.concat(S.spaced("2 seconds").pipe(S.upTo({ times: 2 })), S.spaced("30 seconds")),
  cron: S.cron("*/2 * * * *") as Any, // the expression is good
  "addDelay by the clock": S.spaced("1 second").pipe(
    S.addDelay(() => Effect.map(Clock.currentTimeMillis, (millis) => Duration.seconds((millis / 1000) % 10)))
  ),
  "the default": Durable.defaultRetry,
  none: Durable.noRetry
}

/** Schedules that remember when they began: the time of the first failure, which the service does not keep. */
const timed: Record<string, Any> = {
  during: S.max([S.spaced("4 seconds"), S.during("40 seconds")]),
  "upTo duration": S.spaced("4 seconds").pipe(S.upTo({ duration: "40 seconds" })),
  windowed: S.windowed("15 seconds"),
  fixed: S.fixed("15 seconds")
}

/** Numbers for the world: how long attempts run, how late they start, how they fail. */
const numbers = (seed: number) => {
  let x = seed
  return () => (x = (x * 1103515245 + 12345) % 2147483648) / 2147483648
}

const failure = (next: () => number, attempt: number): Failure => ({
  retryable: attempt < 5 || next() > 0.3,
  kind: (["throttle", "hard", "soft"] as const)[Math.floor(next() * 3)]!,
  ...(next() > 0.7 ? { retryAfter: Math.floor(next() * 9) } : undefined)
})

const at = (clock: Clock.Clock, now: number): Clock.Clock =>
  Object.assign(Object.create(clock) as Clock.Clock, {
    currentTimeMillis: Effect.succeed(now),
    currentTimeMillisUnsafe: () => now
  })

interface Row {
  readonly attempt: number
  readonly error: Failure
  readonly now: number
  readonly decision: number | undefined
}

const STARTED = 1_700_000_000_000

/** Drives a schedule as one long-lived process would, with its state in memory. */
const drive = (schedule: Any, seed: string, run: number, instant: boolean) =>
  Effect.gen(function* () {
    const next = numbers(run + 1)
    const clock = yield* Clock.Clock
    const step = yield* Schedule.toStep(schedule)
    const rows: Array<Row> = []
    let now = STARTED
    for (let attempt = 1; attempt <= 12; attempt++) {
      if (!instant) now += 200 + Math.floor(next() * 3000)
      const error = failure(next, attempt)
      const decision = yield* Pull.matchEffect(step(now, error), {
        onSuccess: ([, delay]) => Effect.succeed<number | undefined>(toDelaySeconds(delay)),
        onFailure: Effect.failCause,
        onDone: () => Effect.succeed<number | undefined>(undefined)
      }).pipe(
        Effect.provideService(Clock.Clock, at(clock, now)),
        Effect.provideService(Random.Random, new SeededRandom(() => `${seed}#${attempt}`))
      )
      rows.push({ attempt, error, now, decision })
      if (decision === undefined) break
      now += decision * 1000 + (instant ? 0 : Math.floor(next() * 800))
    }
    return rows
  })

/** How often `decide`, in a process that knows nothing but the number of the attempt, decides as the live driver did. */
const agreement = (schedule: Any, instant: boolean) =>
  Effect.gen(function* () {
    let decisions = 0
    let exact = 0
    let sameKind = 0
    for (let run = 0; run < 20; run++) {
      const seed = `arn:execution/${run}#operation`
      for (const { attempt, decision, error, now } of yield* drive(schedule, seed, run, instant)) {
        const decided = yield* decide(schedule, { attempt, error, now, startedAt: STARTED, seed })
        decisions++
        if (decided === decision) exact++
        if ((decided === undefined) === (decision === undefined)) sameKind++
      }
    }
    return { exact: exact / decisions, sameKind: sameKind / decisions }
  })

describe("retry: decide against a live driver", () => {
  for (const [name, schedule] of Object.entries(counting)) {
    it.effect(`${name}: exact`, () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* agreement(schedule, false)).exact, 1)
      })
    )
  }

  for (const [name, schedule] of Object.entries(timed)) {
    it.effect(`${name}: exact when attempts take no time, else only near a boundary`, () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* agreement(schedule, true)).exact, 1)
        assert.isAbove((yield* agreement(schedule, false)).sameKind, 0.9)
      })
    )
  }

  it.effect("a schedule that counts which errors happened sees the current one in their place", () =>
    Effect.gen(function* () {
      const hardErrors = S.fromStep<Failure, number, never, never, never, never>(
        Effect.sync(() => {
          let hard = 0
          return (_now, error: Failure) => {
            if (error.kind === "hard") hard++
            return hard >= 2
              ? Cause.done(hard)
              : Effect.succeed<[number, Duration.Duration]>([hard, Duration.seconds(5)])
          }
        })
      )
      const input = { now: STARTED + 60_000, startedAt: STARTED, seed: "s" }
      const soft = { retryable: true, kind: "soft" } as const
      const hard = { retryable: true, kind: "hard" } as const
      assert.strictEqual(yield* decide(hardErrors, { ...input, attempt: 9, error: soft }), 5)
      assert.isUndefined(yield* decide(hardErrors, { ...input, attempt: 2, error: hard }))
    })
  )
})

describe("retry: policies", () => {
  const input = { now: STARTED, startedAt: STARTED, seed: "seed" }
  const decisions = (policy: Policy | undefined, error: unknown = "e", attempts = 8) =>
    Effect.forEach(
      Array.from({ length: attempts }, (_, i) => i + 1),
      (attempt) => decide(policy, { ...input, attempt, error })
    )

  it.effect("options stop at the first reason", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* decisions({ times: 2 }, "e", 4), [1, 1, undefined, undefined])
      for (const times of [0, -1, NaN]) assert.deepStrictEqual(yield* decisions({ times }, "e", 1), [undefined])
      assert.deepStrictEqual(yield* decisions({}, "e", 3), [1, 1, 1])
      assert.deepStrictEqual(yield* decisions({ schedule: S.spaced("7 seconds"), times: 2 }, "e", 3), [7, 7, undefined])
      assert.deepStrictEqual(yield* decisions({ schedule: S.recurs(1), times: 5 }, "e", 3), [1, undefined, undefined])
      for (const [error, retried] of [
        ["yes", 1],
        ["no", undefined]
      ] as const) {
        assert.deepStrictEqual(yield* decisions({ while: (e) => e === "yes" }, error, 1), [retried])
        assert.deepStrictEqual(yield* decisions({ while: (e) => Effect.succeed(e === "yes") }, error, 1), [retried])
        assert.deepStrictEqual(yield* decisions({ until: (e) => e === "no" }, error, 1), [retried])
        assert.deepStrictEqual(yield* decisions({ until: (e) => Effect.succeed(e === "no") }, error, 1), [retried])
      }
    })
  )

  it.effect("a builder gets a function that gives the schedule back", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* decisions(($) => $(S.exponential("1 second")), "e", 4), [1, 2, 4, 8])
    })
  )

  it.effect("exponential, upTo three times: 1, 2, 4, and never again", () =>
    Effect.gen(function* () {
      const policy = S.exponential("1 second").pipe(S.upTo({ times: 3 }))
      assert.deepStrictEqual(yield* decisions(policy, "e", 5), [1, 2, 4, undefined, undefined])
    })
  )

  it.effect("the default by hand and Durable.defaultRetry decide alike", () =>
    Effect.gen(function* () {
      for (const seed of ["a", "b", "arn:x#y"]) {
        for (let attempt = 1; attempt <= 7; attempt++) {
          const both = yield* Effect.all([
            decide(undefined, { ...input, attempt, error: "e", seed }),
            decide(Durable.defaultRetry, { ...input, attempt, error: "e", seed })
          ])
          assert.strictEqual(both[0], both[1], `${seed} ${attempt}`)
        }
      }
    })
  )

  it.effect("the default of polling: full jitter over 5 s, half as long again each time, 300 s at most, 59 times", () =>
    Effect.gen(function* () {
      for (let attempt = 1; attempt <= 60; attempt++) {
        const most = Math.ceil(Math.min(5 * 1.5 ** (attempt - 1), 300))
        const delays = yield* Effect.forEach(["a", "b", "c", "d"], (seed) =>
          decide(Durable.defaultPolling, { ...input, attempt, error: "state", seed })
        )
        if (attempt === 60) assert.deepStrictEqual(new Set(delays), new Set([undefined]))
        else for (const delay of delays) assert.isTrue(delay !== undefined && delay >= 1 && delay <= most, `${delay}`)
        if (most > 100 && attempt < 60) assert.isAbove(new Set(delays).size, 1)
      }
    })
  )

  it.effect("the default: full jitter over 5, 10, 20, 40, 60 s, then never", () =>
    Effect.gen(function* () {
      const most = [5, 10, 20, 40, 60]
      const seen = most.map(() => new Set<number | undefined>())
      for (let run = 0; run < 300; run++) {
        for (let attempt = 1; attempt <= 6; attempt++) {
          const delay = yield* decide(undefined, { ...input, attempt, error: "e", seed: `run ${run}` })
          if (attempt === 6) assert.isUndefined(delay)
          else {
            assert.isTrue(delay !== undefined && delay >= 1 && delay <= most[attempt - 1]!)
            seen[attempt - 1]!.add(delay)
          }
        }
      }
      for (const [i, delays] of seen.entries()) assert.isAtLeast(delays.size, most[i]! * 0.9)
    })
  )

  it.effect("jitter is pinned: executions live for a year, and no process remembers it", () =>
    Effect.gen(function* () {
      const seed = "arn:aws:lambda:eu-west-1:1:function:f:1/durable-execution/e/1#operation"
      const defaults = yield* Effect.forEach([1, 2, 3, 4, 5], (attempt) =>
        decide(undefined, { ...input, attempt, error: "e", seed })
      )
      const jittered = yield* Effect.forEach([1, 2, 3, 4, 5], (attempt) =>
        decide(S.exponential("10 seconds").pipe(S.jittered), { ...input, attempt, error: "e", seed })
      )
      assert.deepStrictEqual(defaults, [1, 9, 13, 37, 48])
      assert.deepStrictEqual(jittered, [9, 23, 43, 94, 179])
    })
  )

  it.effect("what a schedule logs is logged once per decision", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const policy = S.spaced("1 second").pipe(S.tap(({ attempt }) => Effect.logInfo(`attempt ${attempt}`)))
      const logger = Logger.make(({ message }) => void lines.push(message))
      yield* Effect.provide(decide(policy, { ...input, attempt: 3, error: "e" }), Logger.layer([logger]))
      assert.deepStrictEqual(lines.flat(), ["attempt 3"])
    })
  )

  it.effect("a schedule that dies, dies", () =>
    Effect.gen(function* () {
      const policy = { while: () => Effect.die("broken") }
      const exit = yield* Effect.exit(decide(policy, { ...input, attempt: 1, error: "e" }))
      assert.deepStrictEqual(exit, Exit.die("broken"))
    })
  )
})

describe("retry: toDelaySeconds", () => {
  const delays: ReadonlyArray<readonly [delay: Duration.Input, seconds: number]> = [
    [0, 1],
    [-5, 1],
    ["1 millis", 1],
    ["1 second", 1],
    ["1001 millis", 2],
    [Duration.nanos(BigInt(1)), 1],
    ["90 minutes", 5400],
    ["366 days", 31_622_400],
    ["400 days", 31_622_400],
    [Infinity, 31_622_400]
  ]
  for (const [delay, seconds] of delays) {
    it(`${Duration.format(Duration.fromInputUnsafe(delay))} is ${seconds} s`, () => {
      assert.strictEqual(toDelaySeconds(Duration.fromInputUnsafe(delay)), seconds)
    })
  }
})
