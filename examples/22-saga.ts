/**
 * Shows: a saga. Each part says how it is undone when the rest fails; what is undone is on record like everything else,
 * the last thing first, and may wait. It survives a crash in the middle of undoing. Finalizers run at any end.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", { city: Schema.String }) {}

export class Warehouse extends Context.Service<
  Warehouse,
  {
    readonly reserve: (item: string) => Effect.Effect<string>
    readonly release: (reservation: string) => Effect.Effect<void>
    readonly charge: (cents: number, key: string) => Effect.Effect<string>
    /** Charges that were refunded already are left alone: a step's effect may happen twice. */
    readonly refund: (charge: string) => Effect.Effect<void>
    readonly ship: (reservation: string, city: string) => Effect.Effect<string, NoCourier>
    readonly tell: (what: string) => Effect.Effect<void>
  }
>()("examples/Warehouse") {}

export const Purchase = DurableFunction.make("purchase", {
  payload: Schema.Struct({ item: Schema.String, cents: Schema.Int, city: Schema.String }),
  success: Schema.String,
  error: NoCourier
})

const reserve = (item: string) =>
  Durable.step(
    "reserve",
    Warehouse.use((w) => w.reserve(item))
  ).pipe(
    Durable.withCompensation("release", (reservation) =>
      Durable.step(
        "release",
        Warehouse.use((w) => w.release(reservation))
      )
    )
  )

const charge = (cents: number) =>
  Durable.step(
    "charge",
    Effect.flatMap(Durable.CurrentStep, ({ idempotencyKey }) => Warehouse.use((w) => w.charge(cents, idempotencyKey)))
  ).pipe(
    Durable.withCompensation("refund", (id) =>
      Effect.gen(function* () {
        yield* Durable.wait("settlement", "1 day") // a compensation may suspend
        yield* Durable.step(
          "refund",
          Warehouse.use((w) => w.refund(id))
        )
      })
    )
  )

export const purchase = Effect.fnUntraced(function* ({ cents, city, item }: typeof Purchase.payload.Type) {
  yield* Durable.addFinalizer("tell", (exit) =>
    Durable.step(
      "tell",
      Warehouse.use((w) => w.tell(exit._tag === "Success" ? "shipped" : "cancelled"))
    )
  )
  const reservation = yield* reserve(item)
  yield* charge(cents)
  return yield* Durable.step(
    "ship",
    Warehouse.use((w) => w.ship(reservation, city)),
    { error: NoCourier, retry: Durable.noRetry }
  )
})
