/**
 * AWS's requirements for callbacks (suite 4).
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const named = DurableFunction.make("named", { payload: Schema.String, success: Schema.String })
const withoutInput = DurableFunction.make("without-input", { payload: Schema.Unknown, success: Schema.String })
const pair = DurableFunction.make("pair", {
  payload: Schema.Tuple([Schema.String, Schema.String]),
  success: Schema.Tuple([Schema.String, Schema.String])
})

/** What the outside sends is JSON text. */
const text = { success: Schema.String }

const basic = DurableHandler.make(named, (name) => Effect.flatMap(Durable.callback(name, text), ({ await: a }) => a))

const explicitName = DurableHandler.make(withoutInput, () =>
  Effect.flatMap(Durable.callback("approval", text), (callback) => callback.await)
)

/** 4-3: nobody answers within the timeout. */
const timeout = DurableHandler.make(named, (name) =>
  Effect.flatMap(Durable.callback(name, { ...text, timeout: "5 seconds" }), (callback) => callback.await)
)

const heartbeatTimeout = DurableHandler.make(named, (name) =>
  Effect.flatMap(Durable.callback(name, { ...text, heartbeatTimeout: "5 seconds" }), (callback) => callback.await)
)

const heartbeat = DurableHandler.make(named, (name) =>
  Effect.flatMap(Durable.callback(name, { ...text, heartbeatTimeout: "10 seconds" }), (callback) => callback.await)
)

/** Does something durable between creating the callback and waiting for it. */
const after = <E>(
  between: Effect.Effect<unknown, E, Durable.Requires>,
  options?: { readonly timeout: "3 seconds" | "5 seconds" }
) =>
  DurableHandler.make(named, (name) =>
    Effect.gen(function* () {
      const callback = yield* Durable.callback(name, { ...text, timeout: undefined, ...options })
      yield* Effect.orDie(between)
      return yield* callback.await
    })
  )

const step = Durable.step("between", Effect.succeed("done"))

/** Catches what the callback fails with, and goes on. */
const caught = (options?: { readonly timeout: "3 seconds" }) =>
  DurableHandler.make(named, (name) =>
    Effect.gen(function* () {
      const callback = yield* Durable.callback(name, { ...text, timeout: undefined, ...options })
      const message = yield* Effect.catch(callback.await, (error) => Effect.succeed(`caught: ${error.message}`))
      yield* Durable.wait("pause", "2 seconds")
      return message
    })
  )

/** 4-15: a codec of the user's own reads the payload. */
const ownCodec = DurableHandler.make(
  DurableFunction.make("own-codec", {
    payload: Schema.String,
    success: Schema.Struct({ approved: Schema.Boolean, by: Schema.String })
  }),
  (name) => {
    const Approval = Schema.Struct({ approved: Schema.Boolean, by: Schema.String })
    return Effect.flatMap(Durable.callback(name, { success: Approval }), (callback) => callback.await)
  }
)

const toNumber = DurableHandler.make(
  DurableFunction.make("to-number", {
    payload: Schema.String,
    success: Schema.Struct({ count: Schema.Number, doubled: Schema.Number })
  }),
  (name) =>
    Effect.gen(function* () {
      const callback = yield* Durable.callback(name, { success: Durable.text(Schema.NumberFromString) })
      const count = yield* callback.await
      return { count, doubled: count * 2 }
    })
)

const sequence = DurableHandler.make(pair, ([a, b]) =>
  Effect.gen(function* () {
    const first = yield* Durable.callback(a, text)
    const one = yield* first.await
    const second = yield* Durable.callback(b, text)
    return [one, yield* second.await] as const
  })
)

/** 4-18, 4-19: both are open at once; awaited in the order of creation, or the other one. */
const open = (order: "first to last" | "last to first") =>
  DurableHandler.make(pair, ([a, b]) =>
    Effect.gen(function* () {
      const first = yield* Durable.callback(a, text)
      const second = yield* Durable.callback(b, text)
      if (order === "first to last") return [yield* first.await, yield* second.await] as const
      const two = yield* second.await
      return [yield* first.await, two] as const
    })
  )

const wait = Durable.wait("meanwhile", "5 seconds")

export const handlers = {
  "4-1": basic,
  "4-2": explicitName,
  "4-3": timeout,
  "4-4": heartbeatTimeout,
  "4-5": heartbeat,
  "4-6": basic,
  "4-7": after(step),
  "4-8": after(step, { timeout: "5 seconds" }),
  "4-9": after(wait),
  "4-10": after(wait),
  "4-11": after(Durable.wait("meanwhile", "6 seconds"), { timeout: "3 seconds" }),
  "4-12": caught(),
  "4-13": caught(),
  "4-14": caught({ timeout: "3 seconds" }),
  "4-15": ownCodec,
  "4-16": toNumber,
  "4-17": sequence,
  "4-18": open("first to last"),
  "4-19": open("last to first")
}
