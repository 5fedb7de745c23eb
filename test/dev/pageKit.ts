/**
 * What the tests of the page share: functions worth looking at, and a browser if there is one.
 */
import {
  Durable,
  DurableExecutionClient,
  DurableFunction,
  DurableHandler,
  KeyProvider,
  SerdesEncryption,
  SerdesPreview,
  SerdesStack
} from "effect-durable-lambda"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { chromium } from "playwright-core"
import * as Engine from "../../src/engine/Engine.ts"
import type * as History from "../../src/History.ts"

// ---- functions -----------------------------------------------------------------------------------

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}

const Order = Schema.Struct({ id: Schema.String, customer: Schema.String, items: Schema.Array(Schema.String) })

export const order = { id: "7", customer: "ada@example.com", items: ["teapot", "unicorn", "cup"] }

export const ProcessOrder = DurableFunction.make("process-order", {
  payload: Order,
  success: Schema.Struct({ chargeId: Schema.String, approvedBy: Schema.String, shipped: Schema.Array(Schema.String) }),
  error: CardDeclined
})

const attempts = new Map<string, number>()
const attempt = (name: string) => {
  const next = (attempts.get(name) ?? 0) + 1
  attempts.set(name, next)
  return next
}

/** A step that fails twice, a context of concurrent steps of which one fails, a wait, and a callback. */
export const processOrder = Effect.fnUntraced(function* (input: typeof Order.Type) {
  const execution = yield* Durable.CurrentExecution
  const charge = Effect.suspend(() =>
    attempt(`${execution.arn} charge`) < 3
      ? Effect.fail(new CardDeclined({ reason: "the bank does not answer" }))
      : Effect.delay(Effect.succeed(`charge-${input.id}`), "120 millis")
  )
  const chargeId = yield* Durable.step("charge", charge, {
    error: CardDeclined,
    retry: Schedule.exponential("20 seconds").pipe(Schedule.upTo({ times: 4 }))
  })
  const reserve = (item: string, index: number) =>
    Durable.step(
      `reserve ${item}`,
      Effect.delay(
        item === "unicorn" ? Effect.fail(new OutOfStock({ item })) : Effect.succeed(`${item}-${index}`),
        90 + 70 * index
      ),
      { error: OutOfStock, retry: { times: 0 } }
    ).pipe(Effect.catchTag("OutOfStock", ({ item }) => Effect.succeed(`${item} later`)))
  const shipped = yield* Durable.childContext(
    "reserve all",
    Effect.forEach(input.items, reserve, { concurrency: "unbounded" }),
    { success: Schema.Array(Schema.String) }
  )
  yield* Durable.wait("cooling-off", "2 minutes")
  const { approvedBy } = yield* Durable.waitForCallback("approval", () => Effect.delay(Effect.void, "40 millis"), {
    success: Schema.Struct({ approvedBy: Schema.String }),
    timeout: "3 days",
    heartbeatTimeout: "1 day"
  })
  yield* Durable.step("ship", Effect.delay(Effect.void, "150 millis"))
  return { chargeId, approvedBy, shipped }
})

export const Import = DurableFunction.make("import", { payload: Schema.Int, success: Schema.Int })

/** Contexts of 124 steps: with the EXECUTION the 3,000 operations that the service allows, for a payload of 24. */
export const importAll = Effect.fnUntraced(function* (batches: number) {
  for (let batch = 1; batch <= batches; batch++) {
    yield* Durable.childContext(
      `batch ${batch}`,
      Effect.forEach(
        Array.from({ length: batch === 24 ? 123 : 124 }, (_, index) => index + 1),
        (row) => Durable.step(`row ${row}`, Effect.succeed(row)),
        { concurrency: 31, discard: true }
      )
    )
  }
  return batches
})

class Refused extends Schema.TaggedError<Refused>()("Refused", { message: Schema.String, id: Schema.String }) {}

export const Sealed = DurableFunction.make("sealed", { payload: Schema.Null, success: Schema.String })

/** Payloads that are encrypted, with what is shown of them. */
export const sealed = Effect.fnUntraced(function* () {
  yield* Durable.step("customer", Effect.succeed({ id: "7", email: "ada@example.com", card: "4111-1111" }))
  yield* Durable.step("nothing to show", Effect.succeed({ card: "4111-1111" }))
  const error = new Refused({ message: "not today", id: "8" })
  const refused = yield* Effect.flip(
    Durable.step("refused", Effect.fail(error), { error: Refused, retry: Durable.noRetry })
  )
  return refused.message
})

const layerSealed = SerdesStack.layer([SerdesEncryption.aes256Gcm], {
  preview: SerdesPreview.pick({ show: ["id", "email"], mask: ["email"] })
}).pipe(Layer.provide(KeyProvider.layerStatic({ current: "k", keys: { k: new Uint8Array(32) } })))

/** Registers all of them on the engine. */
export const register = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  const client = Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client)
  yield* engine.register(
    "process-order",
    Engine.fromHandler(DurableHandler.make(ProcessOrder, processOrder, { client }))
  )
  yield* engine.register(
    "sealed",
    Engine.fromHandler(DurableHandler.make(Sealed, sealed, { client, layer: layerSealed }))
  )
  yield* engine.register("import", Engine.fromHandler(DurableHandler.make(Import, importAll, { client })))
  return engine
})

/** A step that is tried in one invocation after the other, a minute apart. */
export const longHistory = (attempts: number): ReadonlyArray<History.Event> => {
  const events: Array<History.Event> = []
  const add = (at: number, event: Omit<History.Event, "EventId" | "EventTimestamp">) =>
    void events.push({ ...event, EventId: events.length + 1, EventTimestamp: 1_800_000_000_000 + at })
  add(0, { EventType: "ExecutionStarted", Name: "long", ExecutionStartedDetails: { Input: {}, ExecutionTimeout: 0 } })
  for (let i = 0; i < attempts; i++) {
    const at = 60_000 * i
    add(at + 5, { EventType: "StepStarted", Id: "poll", Name: "poll", StepStartedDetails: {} })
    add(at + 20, {
      EventType: "StepFailed",
      Id: "poll",
      Name: "poll",
      StepFailedDetails: {
        Error: { Payload: { ErrorType: "Busy" } },
        RetryDetails: { CurrentAttempt: i + 1, NextAttemptDelaySeconds: 60 }
      }
    })
    add(at + 25, {
      EventType: "InvocationCompleted",
      InvocationCompletedDetails: {
        StartTimestamp: 1_800_000_000_000 + at,
        EndTimestamp: 1_800_000_000_000 + at + 25,
        RequestId: `${i}`
      }
    })
  }
  return events
}

// ---- the browser ---------------------------------------------------------------------------------

const CANDIDATES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

/** Chromium, where it is installed: `apt-get install chromium`, or its path in CHROMIUM. */
export const executable = CANDIDATES.find((path) => path !== undefined && path !== "" && fs.existsSync(path))

class BrowserFailed extends Data.TaggedError("BrowserFailed")<{ readonly cause: unknown }> {}

/** Something that the browser does. */
export const act = <A>(f: () => Promise<A>) =>
  Effect.tryPromise({ try: f, catch: (cause) => new BrowserFailed({ cause }) })

/** A browser, until the scope closes. */
export const browser = Effect.acquireRelease(
  act(() =>
    chromium.launch({
      executablePath: executable ?? "",
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
  ),
  (opened) => Effect.promise(() => opened.close())
)
