// @effect-diagnostics globalDateInEffect:off globalErrorInEffectFailure:off
/**
 * Every example, with an outside for it: what the tests of all of them share.
 */
import { type DurableFunction, type DurableHandler, DurableMetrics, DurableTracer } from "effect-durable-lambda"
import { type CrashTest, crashEverywhere, Histories, TestRunner } from "effect-durable-lambda/testing"
import { Effect, Layer, type Schema } from "effect"
import { Hello, hello } from "../../examples/01-hello.ts"
import { Buy, buy, Exchange, RateLimited } from "../../examples/02-retries.ts"
import { Ask, ask, Survey } from "../../examples/03-waits.ts"
import { Book, bookSeats, SoldOut, Theatre } from "../../examples/04-errors.ts"
import { Onboard, onboard } from "../../examples/05-child-context.ts"
import { Compare, compare, Quotes } from "../../examples/06-concurrency.ts"
import { Bank, Pay, pay } from "../../examples/07-idempotency.ts"
import { Report, report } from "../../examples/08-logging.ts"
import { Bill, bill, layer as compressed } from "../../examples/09-payloads.ts"
import { Accounts, Trial, trial } from "../../examples/10-testing.ts"
import { CountDown, countDown } from "../../examples/11-restarts.ts"
import { Post, Sign, sign, Signature } from "../../examples/12-callback.ts"
import { Approval, Inbox, Reimburse, reimburse } from "../../examples/12-client.ts"
import { Approve, approve, Chat, Decision } from "../../examples/13-wait-for-callback.ts"
import { Jobs, Render, render } from "../../examples/14-wait-for-condition.ts"
import { Sell, sell, Ship, ship, Tax } from "../../examples/15-invoke.ts"
import { Travel, travel, Trip } from "../../examples/16-parallel.ts"
import { Broken, Gallery, gallery, Images } from "../../examples/17-map.ts"
import { metrics, Weekly, weekly } from "../../examples/20-plugins.ts"
import { NoCourier, Purchase, purchase, Warehouse } from "../../examples/22-saga.ts"
import { Join, join, joinLastYear } from "../../examples/23-changes.ts"
import { Press, Publish, publish } from "../../examples/24-deadline.ts"
import { Bank as Accounting, keys, layers, Review, review } from "../../examples/25-payload-codecs.ts"
import { couriers, Deliver, deliver } from "../../examples/26-tracing.ts"
import { layer as services } from "../../examples/order/services.ts"
import { ProcessOrder, processOrder } from "../../examples/order/workflow.ts"

/** An example, ready to be tried. */
export interface Case {
  readonly crash: Effect.Effect<CrashTest.Report, CrashTest.CrashDivergence>
  /** Runs it to its end. */
  readonly run: Effect.Effect<TestRunner.TestExecution<unknown, unknown>, never, TestRunner.TestRunner>
  /** Today's code, for its histories. */
  readonly workflow: Histories.Workflow
}

type Setup<ROut> = Effect.Effect<unknown, never, TestRunner.TestRunner | ROut>

const make = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R,
  ROut = never
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  payload: P["~type.make.in"],
  {
    layer,
    setup = Effect.void,
    around,
    name,
    ...options
  }: { readonly layer?: Layer.Layer<ROut>; readonly setup?: Setup<ROut> } & DurableHandler.RunOptions &
    Pick<Histories.WorkflowOptions, "around" | "name"> = {}
): Case =>
  ({
    crash: crashEverywhere(definition, body, payload, { ...options, ...(layer === undefined ? {} : { layer }), setup }),
    run: Effect.gen(function* () {
      yield* setup
      const execution = yield* TestRunner.start(definition, body, payload, { ...options, executionName: "recorded" })
      yield* Effect.exit(execution.result)
      return execution
    }).pipe(Effect.provide((layer ?? Layer.empty) as Layer.Layer<ROut>)),
    workflow: Histories.workflow(definition, body, {
      ...(around === undefined ? {} : { around }),
      ...(name === undefined ? {} : { name })
    })
  }) as unknown as Case // the layer has what the steps need

/** Fails the first time, in each run anew. */
const failsOnce = <A, E>(error: E, value: A): Effect.Effect<A, E> => {
  let calls = 0
  return Effect.suspend(() => (calls++ === 0 ? Effect.fail(error) : Effect.succeed(value)))
}

/** A warehouse that writes down what it did; there is no courier to Atlantis. */
export const warehouse = (did: Array<string>) => {
  const does = <A>(what: string, value: A) =>
    Effect.sync(() => {
      did.push(what)
      return value
    })
  return Layer.succeed(Warehouse, {
    reserve: (item) => does(`reserve ${item}`, `R-${item}`),
    release: (id) => does(`release ${id}`, undefined),
    charge: (cents) => does(`charge ${cents}`, `C-${cents}`),
    refund: (id) => does(`refund ${id}`, undefined),
    ship: (id, city) => (city === "Atlantis" ? Effect.fail(new NoCourier({ city })) : does(`ship ${id}`, `P-${id}`)),
    tell: (what) => does(`tell ${what}`, undefined)
  })
}

export const cases: Readonly<Record<string, Case>> = {
  "01-hello": make(Hello, hello, "Ada"),
  "02-retries": make(Buy, buy, "ACME", {
    layer: Layer.sync(Exchange, () => ({
      price: () => Effect.succeed(42),
      buy: () => Effect.void,
      confirm: () => failsOnce(new RateLimited(), undefined)
    }))
  }),
  "03-waits": make(Ask, ask, "Ada", {
    layer: Layer.succeed(Survey, { answer: Effect.delay(Effect.succeed("fine"), "1 minute") })
  }),
  "04-errors": make(Book, bookSeats, 4, {
    layer: Layer.succeed(Theatre, {
      book: (seats) => (seats > 2 ? Effect.fail(new SoldOut({ left: 2 })) : Effect.succeed(`${seats} seats`))
    })
  }),
  "05-child-context": make(Onboard, onboard, ["Ada", "Bob"]),
  "06-concurrency": make(Compare, compare, undefined, {
    layer: Layer.succeed(Quotes, {
      from: (carrier) => Effect.delay(Effect.succeed(carrier.length), carrier === "slow" ? "1 hour" : "7 seconds")
    })
  }),
  "07-idempotency": make(Pay, pay, 1999, {
    layer: Layer.succeed(Bank, { transfer: (_, key) => Effect.succeed(`transfer ${key}`) })
  }),
  "08-logging": make(Report, report, "May"),
  "09-payloads": make(Bill, bill, "Ada"),
  "09-payloads-compressed": make(Bill, bill, "Ada", {
    layer: compressed,
    name: "bill-compressed",
    around: Effect.provide(compressed)
  }),
  "10-testing": make(Trial, trial, "Ada", {
    layer: Layer.succeed(Accounts, { isPaying: () => Effect.succeed(false), close: () => Effect.void })
  }),
  "11-restarts": make(CountDown, countDown, 3),
  "12-callback": make(Sign, sign, "Ada", {
    layer: Layer.succeed(Post, { send: () => Effect.void }),
    setup: TestRunner.onCallback(
      "contract",
      Effect.delay(
        Effect.sync(() => ({ signedBy: "Ada", at: new Date("2026-01-02") })),
        "8 days"
      ),
      { success: Signature }
    )
  }),
  "12-client": make(
    Reimburse,
    reimburse,
    { id: "7", cents: 1999 },
    {
      layer: Layer.succeed(Inbox, { put: () => Effect.void }),
      setup: TestRunner.onCallback("approval", Effect.succeed({ by: "Ada" }), Approval)
    }
  ),
  "13-wait-for-callback": make(Approve, approve, "holiday", {
    layer: Layer.sync(Chat, () => ({ ask: () => failsOnce(new Error("the chat is down"), undefined) })),
    setup: TestRunner.onCallback("approval", Effect.delay(Effect.succeed({ approved: true, by: "Bob" }), "1 day"), {
      success: Decision
    })
  }),
  "14-wait-for-condition": make(Render, render, "book", {
    layer: Layer.succeed(Jobs, {
      next: (job) => Effect.succeed({ ...job, page: job.page + 1, status: job.page < 2 ? "running" : "done" })
    })
  }),
  "15-invoke": make(
    Sell,
    sell,
    { item: "teapot", cents: 1000 },
    {
      setup: Effect.andThen(
        TestRunner.onInvoke("tax", Tax, ({ cents }) => Effect.succeed(Math.round(cents * 0.2))),
        TestRunner.register("ship:live", Ship, ship)
      )
    }
  ),
  "16-parallel": make(Travel, travel, "Oslo", {
    layer: Layer.succeed(Trip, {
      book: (what) => Effect.succeed(`a ${what}`),
      quote: (carrier) => Effect.delay(Effect.succeed(carrier.length), carrier === "ship" ? "1 day" : "1 minute")
    })
  }),
  "17-map": make(Gallery, gallery, ["a", "bad", "c"], {
    layer: Layer.succeed(Images, {
      resize: (image) => (image === "bad" ? Effect.fail(new Broken({ image })) : Effect.succeed(`small-${image}`))
    })
  }),
  "20-plugins": make(Weekly, weekly, "sales", { plugins: [metrics] }),
  "22-saga": make(Purchase, purchase, { item: "teapot", cents: 1999, city: "Atlantis" }, { layer: warehouse([]) }),
  "24-deadline": make(Publish, publish, "news", {
    layer: Layer.succeed(Press, {
      preview: () => Effect.delay(Effect.succeed("a preview"), "10 seconds"),
      publish: (article, preview) => Effect.succeed(`${article} with ${preview}`)
    })
  }),
  "25-payload-codecs": make(
    Review,
    review,
    { id: "7", iban: "DE02120300000000202051" },
    {
      layer: Layer.mergeAll(
        Layer.succeed(Accounting, { bookings: () => Effect.succeed(["rent", "salary"]) }),
        keys,
        layers
      ),
      around: Effect.provide([keys, layers])
    }
  ),
  "26-tracing": make(Deliver, deliver, "p-1", {
    layer: couriers,
    plugins: [DurableTracer.make(), DurableMetrics.make()]
  }),
  // today's code goes on with what last year's has recorded
  "23-changes": { ...make(Join, join, "Ada"), run: make(Join, joinLastYear, "Ada").run },
  order: make(
    ProcessOrder,
    processOrder,
    { id: "7", customer: "Ada", cents: 1999, items: ["teapot", "unicorn"] },
    { layer: services }
  )
}
