import * as Durable from "effect-durable-lambda/Durable"
import * as DurableFunction from "effect-durable-lambda/DurableFunction"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CardDeclined, Mail, Order, OutOfStock, Payments, Receipt, Warehouse } from "./domain.ts"

export const ProcessOrder = DurableFunction.make("process-order", {
  payload: Order,
  success: Receipt,
  error: CardDeclined
})

export const processOrder = Effect.fnUntraced(function* (order: Order) {
  const chargeId = yield* Durable.step(
    "charge",
    Payments.use((payments) => payments.charge(order)),
    {
      error: CardDeclined,
      retry: { while: (error) => error._tag === "PaymentsDown", schedule: Schedule.exponential("10 minutes"), times: 5 }
    }
  )
  yield* Effect.logInfo(`charged ${chargeId}`) // logged once, however often this runs again
  yield* Effect.sleep("1 hour") // the customer may change his mind; nothing runs, nothing is billed

  const stock = yield* Effect.forEach(order.items, reserve, { concurrency: 3 })
  const label = yield* ship(
    order.id,
    stock.filter(({ reserved }) => reserved).map(({ item }) => item)
  )

  yield* Durable.step(
    "mail",
    Mail.use((mail) => mail.send(order.customer, `Your parcel: ${label}`))
  )
  return { chargeId, label, backOrdered: stock.filter(({ reserved }) => !reserved).map(({ item }) => item) }
})

/** An item that is out of stock does not fail the order. */
const reserve = (item: string) =>
  Durable.step(
    `reserve ${item}`,
    Warehouse.use((warehouse) => warehouse.reserve(item)),
    {
      error: OutOfStock,
      retry: Durable.noRetry
    }
  ).pipe(
    Effect.as({ item, reserved: true }),
    Effect.catchTag("OutOfStock", () => Effect.succeed({ item, reserved: false }))
  )

/** A part of the workflow with a record of its own. */
const ship = (orderId: string, items: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* Durable.step(
      "pack",
      Warehouse.use((warehouse) => warehouse.pack(items))
    )
    yield* Durable.wait("pick-up", "30 minutes")
    return yield* Durable.step(
      "label",
      Warehouse.use((warehouse) => warehouse.printLabel(orderId))
    )
  }).pipe(Durable.childContext("shipping"))
