/**
 * Nothing swallows a suspension, and a suspension harms nothing: user programs around a wait that is not over,
 * and what one invocation makes of them. From the programs that chose the mechanism (park, then interrupt the
 * root once): what differs from their column B says why.
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

/** A program, the log of what it says, and the ways it can be told to do things. */
interface Words {
  readonly say: (text: string) => Effect.Effect<void>
  readonly wait: (name: string) => Effect.Effect<string, never, Durable.Requires>
  readonly step: <E>(
    name: string,
    effect?: Effect.Effect<unknown, E>
  ) => Effect.Effect<string, unknown, Durable.Requires>
}

/** A real timer: work that the library does not know of. */
const timer = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

interface Expected {
  /** `PENDING`, `SUCCEEDED <result>` or `FAILED <type>: <message>`. */
  readonly answer: string
  /** What the program says in this invocation. */
  readonly says?: ReadonlyArray<string>
  /** Operations that have ended by a checkpoint of this invocation. */
  readonly saved?: ReadonlyArray<string>
  /** How long finalizers may take. Default: longer than any here does. */
  readonly grace?: number
  /** It does not wait for that. */
  readonly atOnce?: boolean
}

const susp = { answer: "PENDING" }

/** Runs a program for some invocations; between them the service's clock moves by a minute. */
const check = (program: (words: Words) => kit.Body, ...invocations: ReadonlyArray<Expected>) =>
  Effect.gen(function* () {
    const service = FakeService.make()
    let log: Array<string> = []
    const words: Words = {
      say: (text) => Effect.sync(() => void log.push(text)),
      // the ready one is over after a minute
      wait: (name) => Effect.as(Durable.wait(name, name === "ready" ? "1 minute" : "1 hour"), name),
      step: (name, effect = Effect.void) => Durable.step(name, Effect.as(effect, name), { retry: Durable.noRetry })
    }
    const body = program(words)
    for (const [i, { answer, atOnce, grace = 4_000, saved = [], says = [] }] of invocations.entries()) {
      const handler = DurableHandler.make(kit.Anything, () => body, {
        ...service.handlerOptions,
        finalizerGrace: grace
      })
      log = []
      const before = service.requests.length
      const began = performance.now()
      const output = yield* service.invoke(handler)
      if (atOnce === true) assert.isBelow(performance.now() - began, grace / 2, "it waited for the grace")
      const got =
        output.Status === "SUCCEEDED"
          ? `SUCCEEDED ${output.Result ?? ""}`
          : output.Status === "FAILED"
            ? `FAILED ${output.Error?.ErrorType}: ${output.Error?.ErrorMessage}`
            : output.Status
      assert.strictEqual(got.slice(0, answer.length), answer, `invocation ${i + 1}`)
      assert.deepStrictEqual(log, says, `invocation ${i + 1} says`)
      const ended = service.trace
        .slice(before)
        .flat()
        .filter((line) => !/START|order-of-completions/.test(line))
      assert.deepStrictEqual(ended, saved, `invocation ${i + 1} saves`)
      service.pass(60)
    }
  })

const cases: Record<string, readonly [program: (words: Words) => kit.Body, ...invocations: ReadonlyArray<Expected>]> = {
  "01 plain": [({ say, wait }) => Effect.andThen(wait("w"), say("after")), susp, susp],
  "02 ensuring (a sync finalizer runs)": [
    ({ say, wait }) => Effect.ensuring(wait("w"), say("fin")),
    { ...susp, says: ["fin"] }
  ],
  "03 catchCause": [({ say, wait }) => Effect.catchCause(wait("w"), () => say("CAUGHT")), susp],
  "04 exit": [({ say, wait }) => wait("w").pipe(Effect.exit, Effect.tap(say("EXIT"))), susp],
  "05 catch": [
    ({ say, wait }) =>
      (wait("w") as Effect.Effect<string, string, Durable.Requires>).pipe(Effect.catch(() => say("CAUGHT"))),
    susp
  ],
  "06 sandbox + retry": [
    ({ say, wait }) =>
      wait("w").pipe(
        Effect.sandbox,
        Effect.tapError(() => say("RETRYING")),
        Effect.retry(Schedule.recurs(2))
      ),
    susp
  ],
  // B measured the timeout by real time. Here it is a durable wait: it suspends, and then it wins.
  "07 timeout": [
    ({ say, wait }) =>
      wait("w").pipe(
        Effect.timeout("10 millis"),
        Effect.catchTag("TimeoutError", () => say("TIMEOUT"))
      ),
    susp,
    { answer: "SUCCEEDED", says: ["TIMEOUT"] }
  ],
  // B: the real sleep of 10 ms was untracked. Here it is a durable wait.
  "08 race(wait, sleep)": [
    ({ wait }) => Effect.race(wait("w"), Effect.as(Effect.sleep(10), "fast")),
    susp,
    { answer: 'SUCCEEDED "fast"' }
  ],
  "08b race(wait, step)": [
    ({ step, wait }) => Effect.race(wait("w"), step("s", timer(5))),
    { answer: 'SUCCEEDED "s"', saved: ["SUCCEED STEP s"] }
  ],
  "09 raceFirst(wait, step)": [
    ({ step, wait }) => Effect.raceFirst(wait("w"), step("s", timer(5))),
    { answer: 'SUCCEEDED "s"', saved: ["SUCCEED STEP s"] }
  ],
  "10 all[wait, step]: the step is saved": [
    ({ step, wait }) => Effect.all([wait("w"), step("s", timer(10))], { concurrency: "unbounded" }),
    { ...susp, saved: ["SUCCEED STEP s"] },
    susp
  ],
  "10b all[step, wait]": [
    ({ step, wait }) => Effect.all([step("s", timer(10)), wait("w")], { concurrency: "unbounded" }),
    { ...susp, saved: ["SUCCEED STEP s"] }
  ],
  "11 all[wait, step that fails]": [
    ({ step, wait }) =>
      Effect.all([wait("w"), step("s", Effect.andThen(timer(5), Effect.fail("boom")))], { concurrency: "unbounded" }),
    // B: Fail(boom). Here the step has no schema for it.
    { answer: "FAILED StepFailed: boom", saved: ["FAIL STEP s"] }
  ],
  "12 all[exit(wait), exit(wait)]": [
    ({ say, wait }) =>
      Effect.all([Effect.exit(wait("a")), Effect.exit(wait("b"))], { concurrency: "unbounded" }).pipe(
        Effect.tap(say("CONT"))
      ),
    susp
  ],
  "13 acquireUseRelease": [
    ({ say, wait }) =>
      Effect.acquireUseRelease(
        say("acq"),
        () => wait("w"),
        (_, exit) => say(`rel:${exit._tag}`)
      ),
    { ...susp, says: ["acq", "rel:Failure"] },
    { ...susp, says: ["acq", "rel:Failure"] }
  ],
  "14 scoped acquireRelease": [
    ({ say, wait }) =>
      Effect.scoped(
        Effect.andThen(
          Effect.acquireRelease(say("acq"), (_, exit) => say(`rel:${exit._tag}`)),
          wait("w")
        )
      ),
    { ...susp, says: ["acq", "rel:Failure"] }
  ],
  "15 uninterruptible(wait)": [
    ({ say, wait }) => Effect.andThen(Effect.uninterruptible(wait("w")), say("AFTER")),
    susp
  ],
  // The handler stands in an uninterruptible region, so it runs, as any finalizer would; nothing durable follows.
  "16 uninterruptible(catchCause(wait))": [
    ({ say, step, wait }) =>
      Effect.andThen(
        Effect.uninterruptible(
          Effect.catchCause(wait("w"), () => Effect.andThen(say("CAUGHT"), Effect.exit(step("s"))))
        ),
        say("AFTER")
      ),
    { ...susp, says: ["CAUGHT"] }
  ],
  "17 fork + Fiber.await": [
    ({ say, wait }) => Effect.forkChild(wait("w")).pipe(Effect.flatMap(Fiber.await), Effect.tap(say("GOT"))),
    susp
  ],
  "18 fork wait, main ends": [
    ({ step, wait }) =>
      Effect.forkChild(wait("w"), { startImmediately: true }).pipe(
        Effect.andThen(step("s", timer(5))),
        Effect.as("main")
      ),
    { answer: 'SUCCEEDED "main"', saved: ["SUCCEED STEP s"] }
  ],
  "19 ensuring(step): blocked": [
    ({ say, step, wait }) => Effect.ensuring(wait("w"), Effect.ignoreCause(step("cleanup", say("RAN")))),
    susp
  ],
  "20 onError(step): blocked": [
    ({ say, step, wait }) => Effect.onError(wait("w"), () => Effect.ignoreCause(step("compensate", say("RAN")))),
    susp
  ],
  "21 option, orElseSucceed": [
    ({ say, wait }) =>
      wait("w").pipe(
        Effect.option,
        Effect.map(Option.isSome),
        Effect.orElseSucceed(() => false),
        Effect.tap(say("ON"))
      ),
    susp
  ],
  "22 cached, shared by two": [
    ({ wait }) =>
      Effect.flatMap(Effect.cached(wait("w")), (cached) => Effect.all([cached, cached], { concurrency: 2 })),
    susp
  ],
  "23 semaphore": [
    ({ say, step, wait }) =>
      Effect.suspend(() => {
        const semaphore = Semaphore.makeUnsafe(1)
        return Effect.all([semaphore.withPermit(wait("a")), semaphore.withPermit(step("b", say("RAN")))], {
          concurrency: 2
        })
      }),
    susp
  ],
  // B: untracked. Here the sleep is a durable wait of 1 s, so both are waited for, and the step follows.
  "24 all[wait, sleep then step]": [
    ({ step, wait }) => Effect.all([wait("w"), Effect.andThen(Effect.sleep(30), step("s"))], { concurrency: 2 }),
    susp,
    { ...susp, saved: ["SUCCEED STEP s"] }
  ],
  // Cut off by the suspension: it cannot be known that the timer would move the body. It never gets further.
  "24b all[wait, timer then step]: cut off": [
    ({ step, wait }) => Effect.all([wait("w"), Effect.andThen(timer(10), step("s"))], { concurrency: 2 }),
    susp,
    susp
  ],
  // A step keeps the invocation alive, so the I/O moves the body: which comes first would be chance.
  "24c all[step, I/O then step]: UntrackedAsync": [
    ({ step }) =>
      Effect.suspend(() => {
        const { busy, io } = kit.untracked()
        return Effect.all([step("slow", busy), Effect.andThen(io, step("s"))], { concurrency: 2 })
      }),
    { answer: "FAILED UntrackedAsync: Asynchronous work outside of a step" }
  ],
  "25 stream, mapEffect concurrent": [
    ({ step, wait }) =>
      Stream.make(1, 2).pipe(
        Stream.mapEffect((n) => (n === 1 ? wait("w") : step("s", timer(5))), { concurrency: 2 }),
        Stream.runCollect
      ),
    { ...susp, saved: ["SUCCEED STEP s"] }
  ],
  "26 forEach one by one": [
    ({ step, wait }) => Effect.forEach(["s", "w", "s2"], (name) => (name === "w" ? wait(name) : step(name))),
    { ...susp, saved: ["SUCCEED STEP s"] }
  ],
  "27 partition": [
    ({ step, wait }) =>
      Effect.partition(["w", "s"], (name) => (name === "w" ? wait(name) : step(name, Effect.fail("e"))), {
        concurrency: 2
      }),
    { ...susp, saved: ["FAIL STEP s"] }
  ],
  "28 matchCause": [
    ({ say, wait }) =>
      Effect.tap(Effect.matchCause(wait("w"), { onFailure: () => "F", onSuccess: () => "S" }), say("MATCH")),
    susp
  ],
  "29 a wait that is over": [
    ({ say, wait }) => Effect.ensuring(wait("ready"), say("fin")),
    { ...susp, says: ["fin"] },
    { answer: 'SUCCEEDED "ready"', says: ["fin"] }
  ],
  "30 across a promise": [
    ({ say, wait }) =>
      Effect.flatMap(Effect.context<never>(), (context) =>
        Effect.promise(() =>
          Effect.runPromiseWith(context as Context.Context<never> as Context.Context<Durable.Requires>)(
            Effect.tap(wait("ready"), say("IN"))
          ).catch(() => "JS-CAUGHT")
        )
      ),
    susp,
    { answer: 'SUCCEEDED "ready"', says: ["IN"] }
  ],
  "31 all[wait, wait], catchCause outside": [
    ({ say, wait }) => Effect.catchCause(Effect.all([wait("a"), wait("b")], { concurrency: 2 }), () => say("CAUGHT")),
    susp
  ],
  "32 all[wait, wait], exit outside": [
    ({ say, wait }) =>
      Effect.all([wait("a"), wait("b")], { concurrency: 2 }).pipe(Effect.exit, Effect.tap(say("EXIT"))),
    susp
  ],
  "33 a finalizer that never ends: answered after the grace": [
    ({ wait }) => Effect.ensuring(wait("w"), Effect.never),
    { ...susp, grace: 5 }
  ],
  "34 a finalizer that takes its time": [
    ({ say, wait }) => Effect.ensuring(wait("w"), Effect.andThen(timer(3), say("fin"))),
    { ...susp, says: ["fin"] }
  ],
  "34b a finalizer that sleeps": [
    ({ say, wait }) => Effect.ensuring(wait("w"), Effect.andThen(Effect.sleep(3), say("fin"))),
    { ...susp, says: ["fin"] }
  ],
  "35 forkDetach(wait), then a step": [
    ({ step, wait }) =>
      Effect.forkDetach(wait("w"), { startImmediately: true }).pipe(
        Effect.andThen(step("s", timer(3))),
        Effect.as("main")
      ),
    { answer: 'SUCCEEDED "main"', saved: ["SUCCEED STEP s"] }
  ],
  "36 onInterrupt": [
    ({ say, wait }) => Effect.onInterrupt(wait("w"), () => say("onInterrupt")),
    { ...susp, says: ["onInterrupt"] }
  ],
  "37 raceAll two waits": [
    ({ say, wait }) => Effect.catchCause(Effect.raceAll([wait("a"), wait("b")]), () => say("CAUGHT")),
    susp
  ],
  // B: a wait that is over beats a step. Here the wait was over before the step could begin: it does not begin.
  "38 durable timeout: raceFirst(step, wait)": [
    ({ say, step, wait }) => Effect.raceFirst(Effect.andThen(wait("long ago"), step("s", say("RAN"))), wait("ready")),
    susp,
    { answer: 'SUCCEEDED "ready"' }
  ],
  "38b a step that hangs is interrupted by what wins": [
    ({ say, step }) =>
      Effect.raceFirst(
        step(
          "s",
          Effect.onInterrupt(Effect.never, () => say("stopped"))
        ),
        step("t", timer(3))
      ),
    { answer: 'SUCCEEDED "t"', says: ["stopped"], saved: ["SUCCEED STEP t"] }
  ],
  "39 a body that computes for long beside a wait is not cut off": [
    ({ say, step, wait }) =>
      Effect.all(
        [
          wait("w"),
          Effect.gen(function* () {
            for (let i = 0; i < 10_000; i++) yield* Effect.void
            yield* Effect.yieldNow
            yield* say("computed")
            return yield* step("s")
          })
        ],
        { concurrency: 2 }
      ),
    { ...susp, says: ["computed"], saved: ["SUCCEED STEP s"] }
  ],
  "40 a promise chain of the body belongs to the same instant": [
    ({ say, step, wait }) =>
      Effect.all(
        [
          wait("w"),
          Effect.andThen(
            Effect.promise(() => Promise.resolve().then(() => Promise.resolve())),
            Effect.andThen(say("on"), step("s"))
          )
        ],
        { concurrency: 2 }
      ),
    { ...susp, says: ["on"], saved: ["SUCCEED STEP s"] }
  ],
  // Whoever would interrupt the two waits for them.
  "41 uninterruptible(all[wait, wait])": [
    ({ say, wait }) =>
      Effect.andThen(Effect.uninterruptible(Effect.all([wait("a"), wait("b")], { concurrency: 2 })), say("AFTER")),
    { ...susp, atOnce: true },
    { ...susp, atOnce: true }
  ],
  "41b acquireRelease(all[wait, wait])": [
    ({ wait }) =>
      Durable.acquireRelease("a", Effect.all([wait("a"), wait("b")], { concurrency: 2 }), () => Effect.void),
    { ...susp, atOnce: true },
    { ...susp, atOnce: true }
  ],
  "42 ensuring(all[step, step]): blocked": [
    ({ say, step, wait }) =>
      Effect.ensuring(
        wait("w"),
        Effect.ignoreCause(Effect.all([step("x", say("RAN")), step("y", say("RAN"))], { concurrency: 2 }))
      ),
    { ...susp, atOnce: true },
    { ...susp, atOnce: true }
  ]
}

describe("suspension", () => {
  for (const [name, [program, ...invocations]] of Object.entries(cases)) {
    it.effect(name, () => check(program, ...invocations))
  }
})
