import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { DateTime, Effect, Layer, Logger, Metric, Schema } from "effect"
import { Hello, hello } from "../../examples/01-hello.ts"
import { Buy, buy, Exchange, NoSuchStock, RateLimited } from "../../examples/02-retries.ts"
import { Ask, ask, Survey } from "../../examples/03-waits.ts"
import { Book, bookSeats, SoldOut, Theatre } from "../../examples/04-errors.ts"
import { Onboard, onboard } from "../../examples/05-child-context.ts"
import { Compare, compare, Quotes } from "../../examples/06-concurrency.ts"
import { Bank, Pay, pay } from "../../examples/07-idempotency.ts"
import { Report, report } from "../../examples/08-logging.ts"
import { Bill, bill, Invoice, layer as compressed } from "../../examples/09-payloads.ts"
import { Join, join, joinLastYear } from "../../examples/23-changes.ts"
import { attempts, durations, metrics, Weekly, weekly } from "../../examples/20-plugins.ts"
import { Bank as Accounting, keys, layers, Review, review } from "../../examples/25-payload-codecs.ts"

class Broken extends Schema.TaggedError<Broken>()("Broken", { message: Schema.String }) {}

const theatre: Readonly<Record<number, Effect.Effect<string, SoldOut | Broken>>> = {
  1: Effect.fail(new Broken({ message: "no power" })),
  2: Effect.succeed("2 seats"),
  3: Effect.fail(new SoldOut({ left: 2 })),
  9: Effect.fail(new SoldOut({ left: 0 }))
}

describe("examples", () => {
  it.effect("01-hello", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* TestRunner.run(Hello, hello, "Ada"), "Hello, Ada!")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("02-retries: a step, and two steps together", () => {
    const calls = { price: 0, buy: 0, confirm: 0 }
    const busyTwice = (name: keyof typeof calls) =>
      Effect.suspend(() => (++calls[name] <= 2 ? Effect.fail(new RateLimited()) : Effect.void))
    const exchange = { price: () => Effect.as(busyTwice("price"), 42), buy: () => busyTwice("buy") }
    const confirm = () => Effect.suspend(() => (++calls.confirm === 1 ? Effect.fail(new RateLimited()) : Effect.void))
    return Effect.gen(function* () {
      assert.strictEqual(yield* TestRunner.run(Buy, buy, "ACME"), 42)
      assert.deepStrictEqual(calls, { price: 3, buy: 4, confirm: 2 })
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Exchange, { ...exchange, confirm }))
  })

  it.effect("02-retries: not what no retry can cure", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(TestRunner.run(Buy, buy, "NONE"))
      assert.deepStrictEqual(error, new NoSuchStock({ symbol: "NONE" }))
    }).pipe(
      Effect.provide(TestRunner.layerMemory),
      Effect.provideService(Exchange, {
        price: (symbol) => new NoSuchStock({ symbol }),
        buy: () => Effect.void,
        confirm: () => Effect.void
      })
    )
  )

  it.effect("03-waits", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Ask, ask, "Ada")
      for (const wait of ["2 days", "1 hour", "14 days", "10 minutes"] as const) yield* TestRunner.advance(wait)
      assert.strictEqual(yield* execution.result, "Ada is busy")
      const { EndTimestamp } = yield* execution.operation("monday-at-nine")
      assert.strictEqual(DateTime.getPartUtc(DateTime.makeUnsafe(EndTimestamp ?? 0), "weekDay"), 1)
    }).pipe(Effect.provide(TestRunner.layerMemoryClock), Effect.provideService(Survey, { answer: Effect.never }))
  )

  it.effect("04-errors", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* TestRunner.run(Book, bookSeats, 3), "2 seats")
      assert.strictEqual(yield* TestRunner.run(Book, bookSeats, 1), "book failed: no power")
      assert.deepStrictEqual(yield* Effect.flip(TestRunner.run(Book, bookSeats, 9)), new SoldOut({ left: 0 }))
    }).pipe(
      Effect.provide(TestRunner.layerMemory),
      Effect.provideService(Theatre, { book: (seats) => theatre[seats] ?? Effect.die("closed") })
    )
  )

  it.effect("05-child-context", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Onboard, onboard, ["Ada", "Bob"])
      assert.deepStrictEqual(yield* execution.result, ["account of Ada", "account of Bob"])
      assert.strictEqual((yield* execution.operation("welcome Bob")).Status, "SUCCEEDED")
      assert.strictEqual(yield* execution.invocations, 2)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("06-concurrency", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Compare, compare, undefined)
      yield* TestRunner.advance("5 seconds")
      yield* TestRunner.advance("10 minutes")
      assert.deepStrictEqual(yield* execution.result, { sea: 3, air: 3, hedged: 6, late: true })
    }).pipe(
      Effect.provide(TestRunner.layerMemoryClock),
      Effect.provideService(Quotes, {
        from: (carrier) => (["main", "slow"].includes(carrier) ? Effect.never : Effect.succeed(carrier.length))
      })
    )
  )

  it.effect("07-idempotency", () => {
    const keys: Array<string> = []
    const transfer = (_: number, key: string) =>
      Effect.suspend(() =>
        keys.push(key) === 1 ? Effect.fail(new Broken({ message: "no answer" })) : Effect.succeed("done")
      )
    return Effect.gen(function* () {
      assert.strictEqual(yield* TestRunner.run(Pay, pay, 1999), "done")
      assert.strictEqual(keys.length, 2)
      assert.strictEqual(keys[0], keys[1])
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Bank, { transfer }))
  })

  it.effect("08-logging", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.gen(function* () {
      const execution = yield* TestRunner.start(Report, report, "May")
      yield* execution.result
      assert.strictEqual(yield* execution.invocations, 2)
      assert.deepStrictEqual(lines, ["collecting", "reading the database", "sending 42 rows"])
    }).pipe(Effect.provide([TestRunner.layerMemory, Logger.layer([logger])]))
  })

  it.effect("09-payloads", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Bill, bill, "Ada")
      const invoice = yield* execution.result
      assert.instanceOf(invoice, Invoice)
      assert.strictEqual(invoice.cents, 1999n)
      assert.strictEqual((yield* execution.operation("number")).StepDetails?.Result, "2026/7")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("09-payloads, compressed", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Bill, bill, "Ada")
      assert.strictEqual((yield* execution.result).number, "2026/7")
      assert.notInclude((yield* execution.operation("number")).StepDetails?.Result ?? "", "2026/7")
    }).pipe(Effect.provide([TestRunner.layerMemory, compressed]))
  )

  it.effect("25-payload-codecs", () => {
    const bookings = Array.from({ length: 5_000 }, (_, i) => `salary ${Math.sin(i)}`)
    const bank = Layer.succeed(Accounting, { bookings: () => Effect.succeed(bookings) })
    return Effect.gen(function* () {
      const execution = yield* TestRunner.start(Review, review, { id: "7", iban: "DE02120300000000202051" })
      assert.deepStrictEqual(yield* execution.result, { id: "7", bookings: 5_000 })
      const { StepDetails } = yield* execution.operation("statement")
      assert.match(StepDetails?.Result ?? "", /^\{"~serdes":"gzip aes-256-gcm claim-check",.*"preview":\{"id":"7"\}/)
      assert.match(JSON.stringify(yield* execution.history), /DE…2051 ~sealed:/)
      assert.notInclude(JSON.stringify(yield* execution.history), "salary")
    }).pipe(Effect.provide([TestRunner.layerMemory, bank, keys, layers]))
  })

  it.effect("20-plugins", () => {
    const valueOf = <I, S>(metric: Metric.Metric<I, S>, attributes: Readonly<Record<string, string>>) =>
      Metric.value(Metric.withAttributes(metric, attributes))
    return Effect.gen(function* () {
      assert.strictEqual(yield* TestRunner.run(Weekly, weekly, "sales", { plugins: [metrics] }), 42)
      assert.strictEqual((yield* valueOf(attempts, { name: "collect", outcome: "FAILED" })).count, 1)
      assert.strictEqual((yield* valueOf(attempts, { name: "collect", outcome: "SUCCEEDED" })).count, 1)
      const waits = yield* valueOf(durations, { type: "WAIT" })
      assert.deepStrictEqual([waits.count, Math.round(waits.sum)], [1, 3 * 86_400])
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.effect("23-changes: an execution of last year's code is finished by today's", () =>
    Effect.gen(function* () {
      let code = joinLastYear
      const execution = yield* TestRunner.start(Join, (name) => code(name), "Ada")
      yield* TestRunner.advance("10 days")
      code = join // deployed
      yield* TestRunner.advance("20 days")
      assert.deepStrictEqual(yield* execution.result, { member: "Ada-1", checked: true })
      assert.strictEqual(yield* execution.runs("member number"), 1)
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )
})
