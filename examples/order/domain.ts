/**
 * The order workflow's domain: what goes in and out, what can go wrong, and the services that do the work.
 * Nothing here knows of durable functions, except that `charge` reads its idempotency key from the step it runs in.
 */
import type * as Durable from "effect-durable-lambda/Durable"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const Order = Schema.Struct({
  id: Schema.String,
  customer: Schema.String,
  cents: Schema.Int,
  items: Schema.Array(Schema.String)
})
export type Order = typeof Order.Type

export const Receipt = Schema.Struct({
  chargeId: Schema.String,
  label: Schema.String,
  backOrdered: Schema.Array(Schema.String)
})

/** Final: trying again does not help. */
export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}

/** Passes: worth another try. */
export class PaymentsDown extends Schema.TaggedError<PaymentsDown>()("PaymentsDown", { message: Schema.String }) {}

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}

export class Payments extends Context.Service<
  Payments,
  { readonly charge: (order: Order) => Effect.Effect<string, CardDeclined | PaymentsDown, Durable.CurrentStep> }
>()("order/Payments") {}

export class Warehouse extends Context.Service<
  Warehouse,
  {
    readonly reserve: (item: string) => Effect.Effect<void, OutOfStock>
    readonly pack: (items: ReadonlyArray<string>) => Effect.Effect<void>
    readonly printLabel: (orderId: string) => Effect.Effect<string>
  }
>()("order/Warehouse") {}

export class Mail extends Context.Service<Mail, { readonly send: (to: string, text: string) => Effect.Effect<void> }>()(
  "order/Mail"
) {}
