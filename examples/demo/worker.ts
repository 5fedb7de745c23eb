/**
 * The demo's sandbox: a process that holds the handler of examples/order, as Lambda would run it. It gets invocations
 * from its parent and makes its checkpoint calls to it. The parent may kill it at any time.
 */
import { Durable, DurableExecutionClient, DurableHandler, DurableLogger } from "effect-durable-lambda"
import { Effect, Layer, Logger } from "effect"
import { Mail, OutOfStock, Payments, PaymentsDown, Warehouse } from "../order/domain.ts"
import { ProcessOrder, processOrder } from "../order/workflow.ts"
import type { FromWorker, ToWorker } from "./messages.ts"

const tell = (message: FromWorker): void => void process.send?.(message)

// ---- services that take their time, and tell the parent when they run -----------------------------------

const speed = Number(process.env.DEMO_SPEED ?? 1)

/** Some work: it is reported when it begins, so that the parent can count. */
const work = (step: string, millis: number) =>
  Effect.andThen(
    Effect.sync(() => tell({ _tag: "Ran", step })),
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

/** The workflow's log lines go to the parent, too: each once, however often the body runs. */
const logger = Logger.layer([
  DurableLogger.replayAware(Logger.make(({ message }) => tell({ _tag: "Logged", message: String(message) })))
])

// ---- the checkpoint calls -------------------------------------------------------------------------------

interface Pending {
  readonly resolve: (response: unknown) => void
  readonly reject: (error: unknown) => void
}

const pending = new Map<number, Pending>()
let calls = 0

const call = (message: (call: number) => FromWorker) =>
  new Promise<unknown>((resolve, reject) => {
    calls += 1
    pending.set(calls, { resolve, reject })
    tell(message(calls))
  })

const client = Layer.succeed(
  DurableExecutionClient.DurableExecutionClient,
  DurableExecutionClient.fromCalls({
    checkpoint: (request) => call((call) => ({ _tag: "Checkpoint", call, request })),
    getExecutionState: (request) => call((call) => ({ _tag: "GetState", call, request }))
  })
)

// ---- the handler ----------------------------------------------------------------------------------------

const handler = DurableHandler.make(ProcessOrder, processOrder, { layer: Layer.merge(services, logger), client })

process.on("message", (message: ToWorker) => {
  switch (message._tag) {
    case "Invoke": {
      const context = { awsRequestId: message.requestId, getRemainingTimeInMillis: () => message.remainingMillis }
      handler(message.event, context).then(
        (output) => tell({ _tag: "Answered", output }),
        (error: Error) => tell({ _tag: "Threw", name: error.name, message: error.message })
      )
      return
    }
    case "Answer":
      return pending.get(message.call)?.resolve(message.response)
    case "Refusal":
      return pending.get(message.call)?.reject(message.error)
  }
})
process.on("disconnect", () => process.exit())
