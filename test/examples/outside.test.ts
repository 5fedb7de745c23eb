// @effect-diagnostics globalErrorInEffectFailure:off globalDateInEffect:off
import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import { Post, Rejected, Sign, sign, Signature } from "../../examples/12-callback.ts"
import { Approve, approve, Chat, Decision } from "../../examples/13-wait-for-callback.ts"
import { Gone, type Job, Jobs, Render, render } from "../../examples/14-wait-for-condition.ts"
import { Sell, sell, Ship, ship, Tax } from "../../examples/15-invoke.ts"

const page = (job: Job): Effect.Effect<Job, Gone> => {
  if (job.id === "gone") return Effect.fail(new Gone({ id: job.id }))
  return Effect.succeed({ ...job, page: job.page + 1, status: job.id === "long" || job.page < 2 ? "running" : "done" })
}

describe("examples that the outside answers", () => {
  it.effect("12-callback: a reminder after a week, then a signature", () => {
    const sent: Array<string> = []
    return Effect.gen(function* () {
      const execution = yield* TestRunner.start(Sign, sign, "Ada")
      const contract = yield* execution.callback("contract", { success: Signature })
      yield* TestRunner.advance("7 days")
      const id = contract.callbackId
      assert.deepStrictEqual(sent, [`please sign: ${id}`, `please do sign: ${id}`])
      yield* contract.succeed({ signedBy: "Ada", at: new Date("2026-01-02") })
      yield* execution.expect({ result: "Ada, 2026-01-02T00:00:00.000Z", attempts: { remind: 1 } })
    }).pipe(
      Effect.provide(TestRunner.layerMemoryClock),
      Effect.provideService(Post, { send: (_, text) => Effect.sync(() => sent.push(text)) })
    )
  })

  it.effect("12-callback: the outside says no, in its own words", () =>
    Effect.gen(function* () {
      yield* TestRunner.onCallback("contract", new Rejected({ reason: "too dear" }), { error: Rejected })
      const execution = yield* TestRunner.start(Sign, sign, "Bob")
      yield* execution.expect({ error: new Rejected({ reason: "too dear" }), attempts: { invite: 1, remind: 0 } })
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Post, { send: () => Effect.void }))
  )

  it.effect("13-wait-for-callback", () =>
    Effect.gen(function* () {
      const ask = TestRunner.run(Approve, approve, "holiday")
      assert.strictEqual(yield* ask, "nobody cared")
      const yes = Effect.succeed({ approved: true, by: "Bob" })
      yield* TestRunner.onCallback("approval", Effect.delay(yes, "2 days"), { success: Decision })
      assert.strictEqual(yield* ask, "approved by Bob")
      yield* TestRunner.onCallback("approval", Effect.fail({ type: "Closed", message: "closed" }))
      assert.strictEqual(yield* ask, "it went wrong: closed")
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Chat, { ask: () => Effect.void }))
  )

  it.effect("13-wait-for-callback: nobody can be asked", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Approve, approve, "holiday")
      yield* execution.expect({ result: "nobody was asked: the chat is down", attempts: { approval: 6 } })
    }).pipe(
      Effect.provide(TestRunner.layerMemory),
      Effect.provideService(Chat, { ask: () => Effect.fail(new Error("the chat is down")) })
    )
  )

  it.effect("14-wait-for-condition", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Render, render, "book")
      yield* execution.expect({ result: "3 pages", runs: { job: 3 } })
      assert.strictEqual(yield* TestRunner.run(Render, render, "long"), "not done after 101 looks")
      assert.deepStrictEqual(yield* Effect.flip(TestRunner.run(Render, render, "gone")), new Gone({ id: "gone" }))
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Jobs, { next: page }))
  )

  it.effect("15-invoke", () =>
    Effect.gen(function* () {
      yield* TestRunner.onInvoke("tax", Tax, ({ cents }) => Effect.succeed(Math.round(cents * 0.2)))
      yield* TestRunner.register("ship:live", Ship, ship)
      const buy = (item: string) => TestRunner.run(Sell, sell, { item, cents: 1000 })
      assert.strictEqual(yield* buy("teapot"), "L-teapot, 1200 cents")
      assert.strictEqual(yield* buy("unicorn"), "no unicorn")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("15-invoke: a function that is not there", () =>
    Effect.gen(function* () {
      yield* TestRunner.onInvoke("tax", Tax, () => Effect.succeed(200))
      const result = yield* TestRunner.run(Sell, sell, { item: "teapot", cents: 1000 })
      assert.match(result, /^FAILED: Function not found: .*ship/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})
