/**
 * The demo's handler: that of examples/order, with services that take their time, and say on a line of their own when
 * they run. Nothing in it knows of the demo's engine.
 */
import { Durable, DurableHandler } from "effect-durable-lambda"
import { Effect, Layer } from "effect"
import { Mail, OutOfStock, Payments, PaymentsDown, Warehouse } from "../order/domain.ts"
import { ProcessOrder, processOrder } from "../order/workflow.ts"

const speed = Number(process.env.DEMO_SPEED ?? 1)

/** Some work: a line says that it begins, so that the demo can count. */
const work = (step: string, millis: number) =>
  Effect.andThen(
    Effect.sync(() => process.stdout.write(`ran ${step}\n`)),
    Effect.sleep(millis / speed)
  )

const services = Layer.mergeAll(
  Layer.succeed(Payments, {
    charge: Effect.fnUntraced(function* (order) {
      const { attempt } = yield* Durable.CurrentStep
      yield* work("charge", 300)
      if (attempt < 3) return yield* new PaymentsDown({ message: "the payment provider is down" })
      return `charge-${order.id}`
    })
  }),
  Layer.succeed(Warehouse, {
    reserve: (item) =>
      Effect.andThen(
        work(`reserve ${item}`, 300),
        item === "unicorn" ? Effect.fail(new OutOfStock({ item })) : Effect.void
      ),
    pack: () => work("pack", 1_000 * speed), // never faster: the demo needs time to kill it
    printLabel: (orderId) => Effect.as(work("label", 300), `label-${orderId}`)
  }),
  Layer.succeed(Mail, { send: () => work("mail", 300) })
)

export const handler = DurableHandler.make(ProcessOrder, processOrder, { layer: services })
