/**
 * Runs an example in memory, with its waits skipped, and prints what happened:
 *
 *     node --conditions=@effect-durable-lambda/source examples/run.ts 03-waits
 */
import type { KeyProvider } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect, Layer } from "effect"
import { Hello, hello } from "./01-hello.ts"
import { Buy, buy, Exchange, RateLimited } from "./02-retries.ts"
import { Ask, ask, Survey } from "./03-waits.ts"
import { Book, bookSeats, SoldOut, Theatre } from "./04-errors.ts"
import { Onboard, onboard } from "./05-child-context.ts"
import { Compare, compare, Quotes } from "./06-concurrency.ts"
import { Bank, Pay, pay } from "./07-idempotency.ts"
import { Report, report } from "./08-logging.ts"
import { Bill, bill, layer as compressed } from "./09-payloads.ts"
import { Accounts, Trial, trial } from "./10-testing.ts"
import { Post, Sign, sign, Signature } from "./12-callback.ts"
import { Approve, approve, Chat, Decision } from "./13-wait-for-callback.ts"
import { Jobs, Render, render } from "./14-wait-for-condition.ts"
import { Sell, sell, Ship, ship, Tax } from "./15-invoke.ts"
import { Travel, travel, Trip } from "./16-parallel.ts"
import { Gallery, gallery, Images } from "./17-map.ts"
import { metrics, Weekly, weekly } from "./20-plugins.ts"
import { NoCourier, Purchase, purchase, Warehouse } from "./22-saga.ts"
import { Join, join } from "./23-changes.ts"
import { Press, Publish, publish } from "./24-deadline.ts"
import { Bank as Accounting, keys, layers, Review, review } from "./25-payload-codecs.ts"
import { couriers, Deliver, deliver } from "./26-tracing.ts"
import { layer as services } from "./order/services.ts"
import { ProcessOrder, processOrder } from "./order/workflow.ts"

let confirmed = 0
const exchange = Exchange.of({
  price: () => Effect.succeed(42),
  buy: () => Effect.void,
  confirm: () => Effect.suspend(() => (confirmed++ === 0 ? Effect.fail(new RateLimited()) : Effect.void))
})

const signature = { signedBy: "Ada", at: new Date("2026-12-01") }

/** The keys are for results that have encrypted fields. */
type Start = Effect.Effect<
  TestRunner.TestExecution<unknown, unknown, KeyProvider.KeyProvider>,
  never,
  TestRunner.TestRunner | KeyProvider.KeyProvider
>

const examples: Readonly<Record<string, Start>> = {
  "01-hello": TestRunner.start(Hello, hello, "Ada"),
  "02-retries": Effect.provideService(TestRunner.start(Buy, buy, "ACME"), Exchange, exchange),
  "03-waits": Effect.provideService(TestRunner.start(Ask, ask, "Ada"), Survey, { answer: Effect.succeed("fine") }),
  "04-errors": Effect.provideService(TestRunner.start(Book, bookSeats, 4), Theatre, {
    book: (seats) => (seats > 2 ? Effect.fail(new SoldOut({ left: 2 })) : Effect.succeed(`${seats} seats`))
  }),
  "05-child-context": TestRunner.start(Onboard, onboard, ["Ada", "Bob"]),
  "06-concurrency": Effect.provideService(TestRunner.start(Compare, compare, undefined), Quotes, {
    from: (carrier) => Effect.succeed(carrier.length)
  }),
  "07-idempotency": Effect.provideService(TestRunner.start(Pay, pay, 1999), Bank, {
    transfer: (_, key) => Effect.succeed(`transfer ${key}`)
  }),
  "08-logging": TestRunner.start(Report, report, "May"),
  "09-payloads": Effect.provide(TestRunner.start(Bill, bill, "Ada"), compressed),
  "10-testing": Effect.provideService(TestRunner.start(Trial, trial, "Ada"), Accounts, {
    isPaying: () => Effect.succeed(false),
    close: () => Effect.void
  }),
  "12-callback": Effect.andThen(
    TestRunner.onCallback("contract", Effect.delay(Effect.succeed(signature), "9 days"), { success: Signature }),
    Effect.provideService(TestRunner.start(Sign, sign, "Ada"), Post, { send: () => Effect.void })
  ),
  "13-wait-for-callback": Effect.andThen(
    TestRunner.onCallback("approval", Effect.succeed({ approved: true, by: "Bob" }), { success: Decision }),
    Effect.provideService(TestRunner.start(Approve, approve, "holiday"), Chat, { ask: () => Effect.void })
  ),
  "14-wait-for-condition": Effect.provideService(TestRunner.start(Render, render, "book"), Jobs, {
    next: (job) => Effect.succeed({ ...job, page: job.page + 1, status: job.page < 2 ? "running" : "done" })
  }),
  "15-invoke": Effect.gen(function* () {
    yield* TestRunner.onInvoke("tax", Tax, ({ cents }) => Effect.succeed(cents / 5))
    yield* TestRunner.register("ship", Ship, ship)
    return yield* TestRunner.start(Sell, sell, { item: "teapot", cents: 1000 })
  }),
  "16-parallel": Effect.provideService(TestRunner.start(Travel, travel, "Oslo"), Trip, {
    book: (what) => Effect.succeed(`a ${what}`),
    quote: (carrier) => Effect.succeed(carrier.length)
  }),
  "17-map": Effect.provideService(TestRunner.start(Gallery, gallery, ["a.png", "b.png", "c.png"]), Images, {
    resize: (image) => Effect.succeed(`small-${image}`)
  }),
  "22-saga": Effect.provideService(
    TestRunner.start(Purchase, purchase, { item: "teapot", cents: 1999, city: "Atlantis" }),
    Warehouse,
    {
      reserve: (item) => Effect.succeed(`R-${item}`),
      release: () => Effect.void,
      charge: (cents) => Effect.succeed(`C-${cents}`),
      refund: () => Effect.void,
      ship: (_, city) => Effect.fail(new NoCourier({ city })),
      tell: (what) => Effect.logInfo(what)
    }
  ),
  "20-plugins": TestRunner.start(Weekly, weekly, "sales", { plugins: [metrics] }),
  "23-changes": TestRunner.start(Join, join, "Ada"),
  "24-deadline": Effect.provideService(
    TestRunner.start(Publish, publish, "news", { functionTimeout: "1 minute" }),
    Press,
    {
      preview: () => Effect.as(Effect.sleep("1 hour"), "a preview"),
      publish: (article, preview) => Effect.succeed(`${article} with ${preview}`)
    }
  ),
  "25-payload-codecs": Effect.provide(TestRunner.start(Review, review, { id: "7", iban: "DE02120300000000202051" }), [
    layers,
    Layer.succeed(Accounting, { bookings: () => Effect.succeed(["rent", "salary"]) })
  ]),
  "26-tracing": Effect.provide(TestRunner.start(Deliver, deliver, "p-1"), couriers),
  order: Effect.provide(
    TestRunner.start(ProcessOrder, processOrder, { id: "7", customer: "Ada", cents: 1999, items: ["teapot"] }),
    services
  )
}

const timelineOf = (start: Start) =>
  Effect.gen(function* () {
    const execution = yield* start
    yield* Effect.exit(execution.result)
    return yield* execution.timeline
  }).pipe(Effect.provide([TestRunner.layerMemory, keys]))

const wanted = process.argv[2]
if (wanted !== undefined && !Object.hasOwn(examples, wanted)) {
  process.stderr.write(`There is no example "${wanted}" to run here. There are: ${Object.keys(examples).join(", ")}\n`)
  process.exit(1)
}
for (const [name, start] of Object.entries(examples)) {
  if (wanted !== undefined && wanted !== name) continue
  const timeline = await Effect.runPromise(timelineOf(start))
  process.stdout.write(`${name}\n  ${timeline.replaceAll("\n", "\n  ")}\n\n`)
}
