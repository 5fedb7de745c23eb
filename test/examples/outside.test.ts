// @effect-diagnostics globalErrorInEffectFailure:off
import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect, Exit } from "effect"
import { Post, Rejected, Sign, sign } from "../../examples/12-callback.ts"
import { Approve, approve, Chat } from "../../examples/13-wait-for-callback.ts"
import { Gone, type Job, Jobs, Render, render } from "../../examples/14-wait-for-condition.ts"
import { Sell, sell, Ship, ship } from "../../examples/15-invoke.ts"
import * as outside from "../operations/outside.kit.ts"

describe("examples that the outside answers", () => {
  it.effect("12-callback: a reminder after a week, then a signature", () => {
    const sent: Array<string> = []
    return Effect.gen(function* () {
      const execution = yield* TestRunner.start(Sign, sign, "Ada")
      yield* TestRunner.advance("7 days")
      const id = yield* outside.idOf(execution, "contract")
      assert.deepStrictEqual(sent, [`please sign: ${id}`, `please do sign: ${id}`])
      yield* outside.succeed(execution, "contract", '{"signedBy":"Ada","at":"2026-01-02T00:00:00.000Z"}')
      assert.strictEqual(yield* execution.result, "Ada, 2026-01-02T00:00:00.000Z")
    }).pipe(
      Effect.provide(outside.layerClock),
      Effect.provideService(Post, { send: (_, text) => Effect.sync(() => sent.push(text)) })
    )
  })

  it.effect("12-callback: the outside says no, in its own words", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Sign, sign, "Bob")
      yield* TestRunner.advance("1 day")
      yield* outside.fail(execution, "contract", { ErrorData: '{"_tag":"Rejected","reason":"too dear"}' })
      assert.deepStrictEqual(yield* Effect.exit(execution.result), Exit.fail(new Rejected({ reason: "too dear" })))
    }).pipe(Effect.provide(outside.layerClock), Effect.provideService(Post, { send: () => Effect.void }))
  )

  it.effect("13-wait-for-callback", () =>
    Effect.gen(function* () {
      const run = (
        complete: (execution: TestRunner.TestExecution<string, never>) => Effect.Effect<unknown, unknown, any>
      ) =>
        Effect.gen(function* () {
          const execution = yield* TestRunner.start(Approve, approve, "holiday")
          yield* TestRunner.advance("1 day")
          yield* complete(execution)
          yield* TestRunner.advance("2 days")
          return yield* execution.result
        })
      assert.strictEqual(
        yield* run((execution) => outside.succeed(execution, "approval", '{"approved":true,"by":"Bob"}')),
        "approved by Bob"
      )
      assert.strictEqual(
        yield* run((execution) => outside.fail(execution, "approval", { ErrorMessage: "closed" })),
        "it went wrong: closed"
      )
      assert.strictEqual(yield* run(() => Effect.void), "nobody cared")
    }).pipe(Effect.provide(outside.layerClock), Effect.provideService(Chat, { ask: () => Effect.void }))
  )

  it.effect("13-wait-for-callback: nobody can be asked", () => {
    let asked = 0
    const ask = () => Effect.suspend(() => (asked++, Effect.fail(new Error("the chat is down"))))
    return Effect.gen(function* () {
      const result = yield* TestRunner.run(Approve, approve, "holiday")
      assert.strictEqual(result, "nobody was asked: the chat is down")
      assert.strictEqual(asked, 6)
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Chat, { ask }))
  })

  it.effect("14-wait-for-condition", () => {
    const seen: Array<Job> = []
    const next = (job: Job): Effect.Effect<Job, Gone> =>
      Effect.suspend(() => {
        seen.push(job)
        if (job.id === "gone") return Effect.fail(new Gone({ id: job.id }))
        const page = job.page + 1
        return Effect.succeed({ ...job, page, status: job.id === "long" || page < 3 ? "running" : "done" })
      })
    return Effect.gen(function* () {
      const execution = yield* TestRunner.start(Render, render, "book")
      assert.strictEqual(yield* execution.result, "3 pages")
      assert.deepStrictEqual(
        seen.map(({ page }) => page),
        [0, 1, 2]
      )
      assert.strictEqual(yield* TestRunner.run(Render, render, "long"), "not done after 101 looks")
      assert.deepStrictEqual(yield* Effect.flip(TestRunner.run(Render, render, "gone")), new Gone({ id: "gone" }))
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Jobs, { next }))
  })

  it.effect("15-invoke", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("tax", (payload) => Math.round((payload as { readonly cents: number }).cents * 0.2))
      yield* outside.deploy(Ship, ship)
      const buy = (item: string) => TestRunner.run(Sell, sell, { item, cents: 1000 })
      assert.strictEqual(yield* buy("teapot"), "L-teapot, 1200 cents")
      assert.strictEqual(yield* buy("unicorn"), "no unicorn")
    }).pipe(Effect.provide(outside.layerSkipping))
  )

  it.effect("15-invoke: a function that is not there", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("tax", () => 200)
      const result = yield* TestRunner.run(Sell, sell, { item: "teapot", cents: 1000 })
      assert.match(result, /^FAILED: Function not found: .*ship/)
    }).pipe(Effect.provide(outside.layerSkipping))
  )
})
