/**
 * Two operations that the outside world completes, for the laws only: a callback and a chained invoke, on
 * the core's own functions. The public ones come later; the order of deliveries must hold for both from the
 * beginning.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { detailsOf, halt, open, park, withHere } from "../../src/internal/core/operation.ts"
import type { Decode } from "../../src/internal/core/world.ts"

const outcome: Decode = (_op, record) => {
  const { Error, Result } = detailsOf(record)
  return record.Status === "SUCCEEDED" ? Exit.succeed(Number(Result)) : Exit.fail(Error?.ErrorMessage ?? record.Status)
}

/** Gives the id once the callback exists; whoever waits then parks on its end, as often as asked. */
export const callback = (name: string) =>
  withHere("callback", name, (here) => {
    const op = open(here, "callback", { type: "CALLBACK", subType: "Callback", name })
    if (op === undefined) return halt
    op.start = { CallbackOptions: {} }
    const { core } = here
    const created: Decode = (_op, record) => Exit.succeed(record.CallbackDetails?.CallbackId)
    return Effect.map(park<string, never>(core, op, "created", created), (id) => ({
      id,
      await: Effect.suspend(() => (core.closed ? halt : park<number, string>(core, op, "ended", outcome)))
    }))
  })

/** Another function is called and answers some time. */
export const invoke = (name: string) =>
  withHere("invoke", name, (here) => {
    const op = open(here, "invoke", { type: "CHAINED_INVOKE", subType: "ChainedInvoke", name })
    if (op === undefined) return halt
    op.start = { ChainedInvokeOptions: { FunctionName: "other:1" }, Payload: "{}" }
    return park<number, string>(here.core, op, "ended", outcome)
  })
