/**
 * Stand-ins for a payment provider, a warehouse and a mail server. Yours would call them with effect/http, an SDK,
 * `Effect.tryPromise`: whatever a service does is free of rules, since it runs inside of steps.
 */
import * as Durable from "effect-durable-lambda/Durable"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CardDeclined, Mail, OutOfStock, Payments, Warehouse } from "./domain.ts"

export const layer = Layer.mergeAll(
  Layer.succeed(Payments, {
    charge: (order) =>
      order.cents > 100_000
        ? Effect.fail(new CardDeclined({ reason: "limit" }))
        : // a provider that is given the same key twice charges once
          Effect.map(Durable.CurrentStep, ({ idempotencyKey }) => `ch_${idempotencyKey.slice(0, 8)}`)
  }),
  Layer.succeed(Warehouse, {
    reserve: (item) => (item === "unicorn" ? Effect.fail(new OutOfStock({ item })) : Effect.void),
    pack: () => Effect.void,
    printLabel: (orderId) => Effect.succeed(`label-${orderId}`)
  }),
  Layer.succeed(Mail, { send: (to, text) => Effect.logInfo(`to ${to}: ${text}`) })
)
