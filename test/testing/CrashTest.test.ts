// @effect-diagnostics globalFetchInEffect:off globalRandomInEffect:off globalDateInEffect:off unnecessaryEffectGen:off
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction } from "effect-durable-lambda"
import { type CrashTest, crashEverywhere, TestRunner } from "effect-durable-lambda/testing"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"

const Work = DurableFunction.make("work", { payload: Schema.String, success: Schema.Any, error: Schema.Unknown })
type Body = (payload: string) => Effect.Effect<unknown, unknown, Durable.Requires>

const add = (n: number) => Durable.step(`add ${n}`, Effect.succeed(n))

const originals = [globalThis.Date, Math.random, performance.now, fetch, randomUUID, Date.prototype.constructor]
afterAll(() => {
  const now = [globalThis.Date, Math.random, performance.now, fetch, randomUUID, Date.prototype.constructor]
  assert.isTrue(now.every((value, i) => value === originals[i])) // everything is as it was
})

/** The message with which a wrong workflow is found. */
const wrong = (body: Body, options?: CrashTest.Options) =>
  Effect.flip(crashEverywhere(Work, body as () => Effect.Effect<unknown>, "x", options))

describe("crashEverywhere", () => {
  describe("passes", () => {
    it.effect("steps, waits, retries, contexts, races, Random and the time", () =>
      Effect.gen(function* () {
        let failures = 0
        const body = () =>
          Effect.gen(function* () {
            const start = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
            const chance = yield* Random.next
            const flaky = yield* Durable.step(
              "flaky",
              Effect.suspend(() => (failures++ % 2 === 0 ? Effect.fail("busy") : Effect.succeed("done"))),
              { retry: { times: 3 } }
            )
            const inner = yield* Durable.childContext("inner", Effect.andThen(add(1), Durable.wait("in", "2 days")))
            const raced = yield* Effect.raceFirst(
              Effect.as(Durable.wait("short", "1 second"), "short"),
              Effect.as(Durable.wait("long", "1 hour"), "long")
            )
            const both = yield* Effect.all([add(2), Effect.delay(add(3), "1 minute")], { concurrency: "unbounded" })
            const { idempotencyKey } = yield* Durable.step(
              "key",
              Effect.map(Durable.CurrentStep, ({ idempotencyKey }) => ({ idempotencyKey }))
            )
            const end = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
            return { chance, flaky, inner, raced, both, idempotencyKey, took: end - start }
          })
        const report = yield* crashEverywhere(Work, body, "x")
        assert.strictEqual(report.crashes, report.boundaries)
        assert.isAbove(report.crashes, 20)
      })
    )

    it.effect("a timeout that is later than what it is around, but not than a step that keeps it company", () =>
      Effect.gen(function* () {
        const twice = Effect.andThen(Durable.wait("w", "1 hour"), Durable.wait("v", "1 minute"))
        const inTime = Effect.map(Effect.timeoutOption(twice, "90 minutes"), Option.isSome)
        const report = yield* crashEverywhere(
          Work,
          () => Effect.all([inTime, Durable.childContext("c", inTime)], { concurrency: 2 }),
          "x"
        )
        assert.strictEqual(report.crashes, report.boundaries)
      })
    )

    it.effect("steps that give something else each time they run: the outside answers alike in all runs", () =>
      Effect.gen(function* () {
        yield* crashEverywhere(
          Work,
          () =>
            Durable.step(
              "id",
              Effect.sync(() => randomUUID())
            ),
          "x"
        )
      })
    )

    it.effect("with services of each run, answers and an outside that is looked at", () => {
      class Mails extends Context.Service<Mails, { readonly sent: Array<string> }>()("Mails") {}
      const body = () =>
        Effect.gen(function* () {
          yield* Durable.step(
            "mail",
            Mails.use(({ sent }) => Effect.sync(() => void sent.push("mail")))
          )
          const answer = yield* Durable.waitForCallback("approval", () => Effect.void, { timeout: "1 hour" })
          return [
            answer,
            yield* Durable.invoke("ship", { payload: Schema.String, success: Schema.String }, "book", {
              functionName: "ship"
            })
          ]
        })
      return crashEverywhere(Work, body, "x", {
        layer: Layer.sync(Mails, () => ({ sent: [] })),
        setup: Effect.andThen(
          TestRunner.onCallback("approval", Effect.delay(Effect.succeed("yes"), "10 minutes")),
          TestRunner.onInvoke("ship", { payload: Schema.String, success: Schema.String }, (item) =>
            Effect.succeed(`${item} sent`)
          )
        ),
        observe: Effect.map(Mails, ({ sent }) => [...sent])
      })
    })

    it.effect("a step that runs at most once may end otherwise where the crash cut it off, and only there", () =>
      Effect.gen(function* () {
        const once = Durable.step("print", Effect.succeed("printed"), {
          semantics: "AtMostOncePerRetry",
          retry: Durable.noRetry
        })
        const report = yield* crashEverywhere(
          Work,
          () => Effect.catchTag(once, "StepInterrupted", () => Effect.succeed("unknown")),
          "x"
        )
        assert.strictEqual(report.crashes, report.boundaries)
        let calls = 0
        const error = yield* wrong(() => Effect.map(once, () => calls++))
        assert.match(error.message, /expected result/)
      })
    )

    it.effect("as many boundaries as were asked for", () =>
      Effect.gen(function* () {
        const body = () => Effect.forEach([1, 2, 3], add)
        const { boundaries } = yield* crashEverywhere(Work, body, "x")
        const report = yield* crashEverywhere(Work, body, "x", { atMost: 4 })
        assert.deepStrictEqual(report, { boundaries, crashes: 4 })
      })
    )
  })

  describe("finds", () => {
    it.effect("a side effect outside a step", () =>
      Effect.gen(function* () {
        const sent: Array<string> = []
        const error = yield* wrong(
          () =>
            Effect.gen(function* () {
              sent.push("welcome")
              yield* add(1)
            }),
          { observe: Effect.sync(() => sent.splice(0)) }
        )
        assert.match(error.message, /after the service had applied request 1/)
        assert.match(error.message, /expected \[ 'welcome' \], got \[ 'welcome', 'welcome' \]/)
        assert.match(error.message, /Likely cause: a side effect outside a step/)
        assert.match(error.message, /Timeline without a crash:\n[^]*Timeline with the crash:\n[^]*Runtime\.ExitError/)
      })
    )

    it.effect("a side effect outside a step, where it suspends", () =>
      Effect.gen(function* () {
        const sent: Array<string> = []
        const error = yield* wrong(
          () =>
            Effect.andThen(
              Effect.sync(() => sent.push("welcome")),
              Durable.wait("day", "1 day")
            ),
          { observe: Effect.sync(() => sent.splice(0)) }
        )
        assert.match(error.likelyCause, /side effect outside a step/)
        assert.strictEqual(error.boundary, undefined)
      })
    )

    it.effect("a request outside a step", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Effect.andThen(
            Effect.promise(() => fetch("data:text/plain,hi").then((response) => response.text())),
            add(1)
          )
        )
        assert.match(error.likelyCause, /fetch \(test\/testing\/CrashTest\.test\.ts:\d+\)/)
      })
    )

    it.effect("a branch on Math.random", () =>
      Effect.gen(function* () {
        let calls = 0
        // as if by chance: every second time the other way
        const error = yield* wrong(() =>
          Effect.gen(function* () {
            const heads = Math.random() >= 0 && calls++ % 2 === 0
            return yield* heads ? add(1) : add(2)
          })
        )
        assert.match(error.likelyCause, /the body calls Math\.random \(test\/testing\/CrashTest\.test\.ts:\d+\)/)
        assert.match(error.likelyCause, /Use Effect's Random/)
        assert.isAbove(error.differences.length, 0)
      })
    )

    it.effect("Math.random even where all runs came out alike", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() => (Math.random() < 2 ? add(1) : add(2)))
        assert.match(error.message, /by chance[^]*Math\.random/)
      })
    )

    it.effect("a read of Date.now", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Effect.gen(function* () {
            const start = Date.now()
            yield* Durable.wait("pause", "1 second")
            return start
          })
        )
        assert.match(error.likelyCause, /Date\.now \(test\/testing\/CrashTest\.test\.ts:\d+\)/)
      })
    )

    it.effect("new Date, randomUUID and performance.now", () =>
      Effect.gen(function* () {
        for (const [impure, name] of [
          [() => new Date().getTime(), "new Date"],
          [() => randomUUID(), "crypto.randomUUID"],
          [() => crypto.randomUUID(), "crypto.randomUUID"],
          [() => performance.now(), "performance.now"]
        ] as const) {
          const error = yield* wrong(() => Effect.map(add(1), () => impure()))
          assert.include(error.likelyCause, `${name} (test/testing/CrashTest.test.ts:`)
        }
      })
    )

    it.effect("not what is allowed, and not what steps do", () =>
      crashEverywhere(
        Work,
        () =>
          Effect.tap(
            Durable.step(
              "now",
              Effect.sync(() => Date.now())
            ),
            Effect.sync(() => void Date.now())
          ),
        "x",
        { allow: ["Date.now"] }
      )
    )

    it.effect("a captured variable that a step has changed", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Effect.suspend(() => {
            let total = 0
            const counted = Durable.step(
              "count",
              Effect.sync(() => void (total += 5))
            )
            return Effect.map(counted, () => total)
          })
        )
        assert.deepStrictEqual(error.boundary, { _tag: "Request", when: "after", call: 1 })
        assert.match(error.message, /expected result 5, got result 0/)
        assert.match(error.likelyCause, /written inside a step or a child context[^]*step "count"/)
      })
    )

    it.effect("a captured variable that a step has changed before a wait: every run with replays is alike", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Effect.suspend(() => {
            let total = 0
            return Durable.step(
              "count",
              Effect.sync(() => void (total += 5))
            ).pipe(
              Effect.andThen(Durable.wait("year", "300 days")),
              Effect.map(() => total)
            )
          })
        )
        assert.strictEqual(error.boundary, undefined)
        assert.match(error.message, /expected result 5, got result 0/)
        assert.match(error.likelyCause, /step "count"/)
      })
    )

    it.effect("a captured variable that a child context has changed", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Effect.suspend(() => {
            const seen: Array<number> = []
            const child = Durable.childContext(
              "child",
              Effect.map(add(1), (n) => void seen.push(n))
            )
            return Effect.andThen(
              child,
              Effect.andThen(
                add(2),
                Effect.sync(() => seen)
              )
            )
          })
        )
        assert.match(error.message, /expected result \[1\], got result \[\]/)
        assert.match(error.likelyCause, /child context "child"/)
      })
    )

    it.effect("memory that decides what is done next", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Effect.suspend(() => {
            let approved = false
            const check = Durable.step(
              "check",
              Effect.sync(() => void (approved = true))
            )
            return Effect.andThen(
              check,
              Effect.suspend(() => (approved ? add(1) : Durable.wait("later", "1 day")))
            )
          })
        )
        assert.match(error.message, /Likely cause[^]*step "check"/)
      })
    )

    it.effect("a program that is wrong in every run is no success", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() =>
          Durable.step("when", Effect.succeed(new Date(0)) as Effect.Effect<unknown> as Effect.Effect<string>)
        )
        assert.match(error.message, /^"work" ends with a fault in every run\./)
        assert.match(error.message, /SerdesFailed: STEP "when" .* is not plain JSON/)
      })
    )

    it.effect("a body that waits for nothing that is on record", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() => Effect.andThen(Durable.step("a", Effect.void), Effect.never), {
          timeout: "1 second"
        })
        assert.match(error.message, /^"work" does not end\./)
        assert.match(error.likelyCause, /Effect\.never/)
      })
    )

    it.effect("a body that waits for ever after a crash", () =>
      Effect.gen(function* () {
        const error = yield* wrong(
          () =>
            Effect.gen(function* () {
              const done = yield* Deferred.make<void>()
              yield* Durable.step("signal", Deferred.succeed(done, undefined).pipe(Effect.asVoid))
              yield* Deferred.await(done)
            }),
          { timeout: "1 second" }
        )
        assert.match(error.message, /does not end: it waits for nothing that is on record/)
        assert.match(error.likelyCause, /waits for something that an earlier invocation did, in memory/)
      })
    )

    it.effect("a step that takes its time for real: nobody is blamed for it", () =>
      Effect.gen(function* () {
        const nap = Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 3_000)))
        const error = yield* wrong(() => Durable.step("nap", nap), { timeout: "200 millis" })
        assert.match(error.message, /waits for STEP "nap", and has not ended after 200 ms/)
        assert.match(
          error.likelyCause,
          /^a step takes its time, which is real .*\(`layer`\), or more time to each run \(`timeout`\)/
        )
      })
    )

    it.effect("a callback that nobody answers", () =>
      Effect.gen(function* () {
        const error = yield* wrong(() => Durable.waitForCallback("approval", () => Effect.void))
        assert.match(error.message, /waits for CALLBACK "approval"/)
        assert.match(error.likelyCause, /TestRunner\.onCallback/)
      })
    )
  })
})
