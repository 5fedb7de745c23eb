/**
 * Payloads whose reading and writing takes time, or fails for now, in the middle of races: what is decided stays decided.
 * (Real time: what is tested are requests that leave by a timer, or are in flight, meanwhile.)
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableError, DurableHandler } from "effect-durable-lambda"
import * as Serdes from "effect-durable-lambda/Serdes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

const takes = <A>(millis: number, value: A) => Effect.promise(() => FakeService.later(millis, value))

/** A layer that changes nothing, but for what `by` does to payloads of operations. */
const layer = (by: Partial<Serdes.Transform>) =>
  Layer.succeed(Serdes.Serdes, {
    encode: (text) => Effect.succeed(text),
    decode: (text) => Effect.succeed(text),
    ...by
  })

/** A service that does this to its answers. */
const serviceWith = (reply: (ordinary: () => FakeService.RawCheckpoint, names: ReadonlyArray<string>) => unknown) => {
  const service = FakeService.make()
  const route: FakeService.Reply = (ordinary, { Updates }) =>
    reply(
      ordinary,
      Updates.map(({ Action, Name }) => `${Action} ${Name}`)
    )
  service.next(...Array.from({ length: 40 }, () => route))
  return service
}

/** The answer to `update` takes a while, and brings the end of callback "a". */
const bringsCallback = (update: string) => {
  const service: FakeService.FakeService = serviceWith((ordinary, names) =>
    names.includes(update)
      ? FakeService.later(400, undefined).then(() => {
          service.change("a", { Status: "SUCCEEDED" })
          return ordinary()
        })
      : ordinary()
  )
  return service
}

const raced = Effect.flatMap(Durable.callback("a"), ({ await: come }) =>
  Effect.raceFirst(Effect.as(come, "callback"), Durable.step("s", takes(300, "step")))
)
const beside = Durable.step("k", takes(150, "k"))

describe("payloads that take time", () => {
  it.live("no timer sends a request while one is read: what its answer brings comes after what was read", () =>
    Effect.gen(function* () {
      const seen = Promise.withResolvers<void>()
      const service: FakeService.FakeService = serviceWith((ordinary, names) => {
        if (names.includes("SUCCEED d")) service.change("a", { Status: "SUCCEEDED" })
        const answer = ordinary()
        return names.includes("SUCCEED s")
          ? Promise.race([seen.promise, FakeService.later(2_000, undefined)]).then(() => answer)
          : answer
      })
      const slowly = layer({
        decode: (text, { operation }) => (operation === "d" ? takes(1_300, text) : Effect.succeed(text))
      })
      const body = Effect.gen(function* () {
        const order: Array<string> = []
        const note = (name: string) =>
          Effect.sync(() => {
            order.push(name)
            if (name === "a") seen.resolve()
          })
        const { await: come } = yield* Durable.callback("a")
        yield* Effect.all(
          [
            Effect.andThen(Durable.step("d", takes(100, "d")), note("d")),
            Effect.andThen(come, note("a")),
            Effect.andThen(Durable.step("s", takes(400, "s")), note("s")),
            Durable.step("k", takes(1_900, "k"))
          ],
          { concurrency: "unbounded" }
        )
        yield* Durable.step(`order ${order.join(" ")}`, Effect.void)
        yield* Durable.wait("w", "1 hour")
      })
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, layer: slowly })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" }, "replayed")
    })
  )

  it.live("a context that will be rebuilt keeps its order while its value is written", () =>
    Effect.gen(function* () {
      const service = bringsCallback("SUCCEED k")
      const slowly = layer({
        encode: (text, { operation }) => (operation === "big" ? takes(300, text) : Effect.succeed(text))
      })
      const winners: Array<string> = []
      const big = Effect.map(raced, (winner) => ({ winner, pad: "x".repeat(300_000) }))
      const body = Effect.gen(function* () {
        const both = [Durable.childContext("big", big), beside] as const
        const [{ winner }] = yield* Effect.all(both, { concurrency: "unbounded" })
        winners.push(winner)
        yield* Durable.wait("w", "1 hour")
      })
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, layer: slowly })
      for (const _ of ["live", "replayed"])
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      assert.strictEqual(winners[0], winners[1])
    })
  )

  it.live("one that fails for now puts nothing on record that another order may not follow", () =>
    Effect.gen(function* () {
      const service = bringsCallback("SUCCEED k")
      let isDown = true
      const unavailable = Effect.suspend(() =>
        Effect.fail(new DurableError.PayloadFailed({ problem: "unavailable", reason: "503." }))
      )
      const failing = layer({
        encode: (text, { operation }) => (isDown && operation.startsWith("won") ? unavailable : Effect.succeed(text))
      })
      const decide = Effect.flatMap(raced, (winner) => Durable.step(`won: ${winner}`, Effect.succeed(winner)))
      const body = Effect.map(Effect.all([decide, beside], { concurrency: "unbounded" }), ([winner]) => winner)
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, layer: failing })
      const { error } = yield* Effect.flip(service.invoke(handler))
      assert.strictEqual(error._tag, "SerdesFailed")
      isDown = false
      assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
    })
  )
})
