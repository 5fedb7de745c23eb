/**
 * Shows: an answer from outside, in two halves. The callback is created first, several steps hand its id out, and the
 * workflow goes on with other work before it waits. It races the answer against a reminder.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Option, Schema } from "effect"

export class Rejected extends Schema.TaggedError<Rejected>()("Rejected", { reason: Schema.String }) {}
export const Signature = Schema.Struct({ signedBy: Schema.String, at: Schema.DateFromString })

export class Post extends Context.Service<
  Post,
  { readonly send: (to: string, text: string) => Effect.Effect<void, Error> }
>()("examples/Post") {}

export const Sign = DurableFunction.make("sign", { payload: Schema.String, success: Schema.String, error: Rejected })

export const sign = Effect.fnUntraced(function* (customer: string) {
  const send = (name: string, text: string) =>
    Durable.step(
      name,
      Post.use((post) => post.send(customer, text))
    )
  // `success` and `error` are what the outside may send; nothing else gets in
  const contract = yield* Durable.callback("contract", {
    success: Signature,
    error: Rejected,
    timeout: "30 days"
  })
  yield* send("invite", `please sign: ${contract.callbackId}`)

  // nothing runs for up to a week, then there is a reminder; the callback stays open
  const early = yield* Effect.timeoutOption(contract.await, "7 days")
  if (Option.isNone(early)) yield* send("remind", `please do sign: ${contract.callbackId}`)

  const { at, signedBy } = yield* contract.await // as often as needed
  return `${signedBy}, ${at.toISOString()}`
})
