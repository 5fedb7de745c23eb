/**
 * AWS's requirements for map (suite 9).
 */
import { BatchResult, Durable, type DurableError, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

class ItemError extends Schema.TaggedError<ItemError>()("ItemError", { message: Schema.String }) {}

const fn = <P extends Schema.Constraint>(payload: P) =>
  DurableFunction.make("map", { payload, success: Schema.Any, error: ItemError })
const withoutInput = fn(Schema.Unknown)
const of = (body: Effect.Effect<unknown, ItemError | DurableError.Operation, Durable.Requires>) =>
  DurableHandler.make(withoutInput, () => body)

const one = { concurrency: 1 } as const
const result = { ...one, mode: "result", error: ItemError } as const
const upper = (item: string) => Effect.succeed(item.toUpperCase())

/** Items named `fail` fail. */
const work = (item: string) =>
  item === "fail" ? Effect.fail(new ItemError({ message: "the item fails" })) : Effect.succeed(item)

/** What the requirements ask of a result. */
const counts = ({
  completionReason,
  counts: { failure, success, total }
}: BatchResult.BatchResult<unknown, unknown>) => ({
  completionReason,
  successCount: success,
  failureCount: failure,
  totalCount: total
})
const all = (batch: BatchResult.BatchResult<unknown, unknown>) => ({ ...counts(batch), status: batch.status })

const basic = DurableHandler.make(fn(Schema.Array(Schema.String)), (items) =>
  Durable.map("map", items, (item) => Durable.step("greet", Effect.succeed(`Hello, ${item}!`)), one)
)

const numbers = fn(Schema.Array(Schema.Number))
const doubled = DurableHandler.make(numbers, (items) => Durable.map("map", items, (n) => Effect.succeed(n * 2), one))

/** 9-3: the index of the item. */
const indexed = of(Durable.map("indexed", ["a", "b", "c"], (item, index) => Effect.succeed(`${item}-${index}`), one))

const empty = DurableHandler.make(numbers, (items) => Durable.map("empty", items, (n) => Effect.succeed(n)))

const failFast = of(
  Durable.map("failfast", ["ok", "fail", "never"], work, {
    ...result,
    completion: { toleratedFailureCount: 0 }
  }).pipe(Effect.map(all))
)

/** 9-6: the result rethrows the first failure. */
const rethrown = of(
  Durable.map("rethrow", ["fail", "never"], work, { ...result, completion: { toleratedFailureCount: 0 } }).pipe(
    Effect.flatMap(BatchResult.orFail)
  )
)

const minSuccessful = of(
  Durable.map("min-successful", ["i0", "i1", "i2", "i3"], work, {
    ...result,
    completion: { minSuccessful: 2 }
  }).pipe(
    Effect.map(counts),
    Effect.map(({ failureCount: _, ...rest }) => rest)
  )
)

const tolerated = of(
  Durable.map("tolerated", ["i0", "fail", "i2"], work, { ...result, completion: { toleratedFailureCount: 1 } }).pipe(
    Effect.map(all)
  )
)

/** 9-9: more failures than tolerated, by their number; 9-10 by their part. */
const toleranceExceeded = of(
  Durable.map("tolerated-exceeded", ["fail", "fail", "never"], work, {
    ...result,
    completion: { toleratedFailureCount: 1 }
  }).pipe(Effect.map(counts))
)

const percentageExceeded = of(
  Durable.map("tolerated-pct", ["fail", "fail", "never", "never"], work, {
    ...result,
    completion: { toleratedFailurePercentage: 25 }
  }).pipe(Effect.map(counts))
)

/** 9-12: no contexts of items. */
const flat = of(
  Durable.map("flat", ["a", "b"], (item) => Durable.step("upper", upper(item)), { ...one, nesting: "flat" })
)

const named = DurableHandler.make(numbers, (items) =>
  Durable.map("named-items", items, (n) => Effect.succeed(n * 10), { ...one, itemName: (n) => `item-${n}` })
)

/** Writes `wrapped:` before it. */
const Wrapped = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transform((text: string) => text.replace(/^wrapped:/, "")),
    encode: SchemaGetter.transform((text: string) => `wrapped:${text}`)
  })
)

const itemSerdes = of(Durable.map("serdes", ["x", "y"], upper, { ...one, success: Durable.text(Wrapped) }))

/** 9-15: one item suspends; the item that is done is not run again. */
const suspending = of(
  Durable.map(
    "replay",
    ["a", "b"],
    (item) =>
      item === "a"
        ? Durable.step("upper", upper(item))
        : Effect.as(Durable.wait("pause", "2 seconds"), item.toUpperCase()),
    one
  )
)

const large = of(
  Durable.map("large", ["a", "b", "c", "d"], (item) => Effect.succeed(item.repeat(70_000)), result).pipe(
    Effect.map((batch) => ({ successCount: batch.counts.success, totalCount: batch.counts.total }))
  )
)

const thenWait = <A, E>(body: Effect.Effect<A, E, Durable.Requires>) =>
  Effect.tap(body, Durable.wait("pause", "1 second"))

const finishedBeforeWait = of(thenWait(Durable.map("then-wait", ["a", "b"], upper, one)))

/** 9-18: counts and reason of an early end, behind a replay. */
const endedEarlyBeforeWait = of(
  thenWait(
    Durable.map("then-wait", ["i0", "fail", "i2", "never"], work, {
      ...result,
      completion: { minSuccessful: 2, toleratedFailureCount: 1 }
    })
  ).pipe(Effect.map(all))
)

/** Writes `OPSERDE:X,Y`. */
const Joined = Schema.String.pipe(
  Schema.decodeTo(Schema.Any as Schema.Codec<BatchResult.BatchResult<string, never>>, {
    decode: SchemaGetter.transform((text: string) =>
      BatchResult.make<string>(
        text
          .replace(/^OPSERDE:/, "")
          .split(",")
          .map((value, index) => ({ _tag: "Success", index, name: `map-item-${index}`, value })),
        "ALL_COMPLETED"
      )
    ),
    encode: SchemaGetter.transform(({ successes }) => `OPSERDE:${successes.join(",")}`)
  })
)
const joined = (name: string) =>
  Durable.map(name, ["x", "y"], upper, { ...one, mode: "result", result: Durable.text(Joined) })
const successes = Effect.map((batch: BatchResult.BatchResult<string, never>) => batch.successes)

export const handlers = {
  "9-1": basic,
  "9-2": doubled,
  "9-3": indexed,
  "9-4": empty,
  "9-5": failFast,
  "9-6": rethrown,
  "9-7": minSuccessful,
  "9-8": tolerated,
  "9-9": toleranceExceeded,
  "9-10": percentageExceeded,
  "9-11": of(Durable.map("concurrent", ["r0", "r1", "r2"], Effect.succeed, { concurrency: 2 })),
  "9-12": flat,
  "9-13": named,
  "9-14": itemSerdes,
  "9-15": suspending,
  "9-16": large,
  "9-17": finishedBeforeWait,
  "9-18": endedEarlyBeforeWait,
  "9-19": of(successes(joined("op-serde"))),
  "9-20": of(thenWait(successes(joined("op-serde-replay"))))
}
