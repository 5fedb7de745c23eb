/**
 * The operations that the outside world completes, as programs use them: numbers, and failures as text.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Durable from "../../src/Durable.ts"

const success = Durable.text(Schema.FiniteFromString)
const textOf = (error: { readonly message: string }) => error.message

/** Gives the id once the callback exists; whoever waits then parks on its end, as often as asked. */
export const callback = (name: string) =>
  Effect.map(Durable.callback(name, { success }), ({ await: answer, callbackId }) => ({
    id: callbackId,
    await: Effect.mapError(answer, textOf)
  }))

/** Another function is called and answers some time. */
export const invoke = (name: string) =>
  Effect.mapError(
    Durable.invoke(name, { payload: Schema.Struct({}), success }, {}, { functionName: "other:1" }),
    textOf
  )
