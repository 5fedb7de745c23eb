/**
 * AWS's requirements for parallel (suite 8).
 */
import { BatchResult, Durable, type DurableError, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

class BranchError extends Schema.TaggedError<BranchError>()("BranchError", { message: Schema.String }) {}

const anything = DurableFunction.make("parallel", {
  payload: Schema.Unknown,
  success: Schema.Any,
  error: BranchError
})
const of = (body: Effect.Effect<unknown, BranchError | DurableError.Operation, Durable.Requires>) =>
  DurableHandler.make(anything, () => body)

const ok = <A>(value: A) => Effect.succeed(value)
const failing = Durable.branch(new BranchError({ message: "the branch fails" }), { error: BranchError })
const step = (value: string) => Durable.step("task", Effect.succeed(value))

const one = { concurrency: 1 } as const
const result = { ...one, mode: "result" } as const

/** What the requirements ask of a result. */
const counts = ({
  completionReason,
  counts: { failure, success, total }
}: BatchResult.BatchResult<unknown, unknown, unknown>) => ({
  completionReason,
  successCount: success,
  failureCount: failure,
  totalCount: total
})
const all = (batch: BatchResult.BatchResult<unknown, unknown, unknown>) => ({ ...counts(batch), status: batch.status })

/** 8-3: named branches. */
const named = of(
  Durable.parallel("named", { first: step("one"), second: step("two") }, one).pipe(Effect.map(Object.values))
)

const minSuccessful = of(
  Durable.parallel("min-successful", [ok("b0"), ok("b1"), ok("b2"), ok("b3")], {
    ...result,
    completion: { minSuccessful: 2 }
  }).pipe(
    Effect.map(counts),
    Effect.map(({ failureCount: _, ...rest }) => rest)
  )
)

/** 8-6: the first failure stops it; the third branch never starts. */
const failFast = of(
  Durable.parallel("failfast", [ok("ok"), failing, ok("never")], {
    ...result,
    completion: { toleratedFailureCount: 0 }
  }).pipe(Effect.map(all))
)

const rethrown = of(
  Durable.parallel("rethrow", [failing, ok("never")], { ...result, completion: { toleratedFailureCount: 0 } }).pipe(
    Effect.flatMap(BatchResult.orFail)
  )
)

/** 8-9: as many failures as tolerated. */
const tolerated = of(
  Durable.parallel("tolerated", [ok("b0"), failing, ok("b2")], {
    ...result,
    completion: { toleratedFailureCount: 1 }
  }).pipe(Effect.map(all))
)

const toleranceExceeded = of(
  Durable.parallel("tolerated-exceeded", [failing, failing, ok("never")], {
    ...result,
    completion: { toleratedFailureCount: 1 }
  }).pipe(Effect.map(counts))
)

/** 8-12: no contexts of branches. */
const flat = of(Durable.parallel("flat", [step("task-1"), step("task-2")], { ...one, nesting: "flat" }))

const percentageExceeded = of(
  Durable.parallel("tolerated-pct", [failing, failing, ok("never"), ok("never")], {
    ...result,
    completion: { toleratedFailurePercentage: 25 }
  }).pipe(Effect.map(counts))
)

const suspending = of(
  Durable.parallel("replay", [step("b0"), Effect.as(Durable.wait("pause", "2 seconds"), "b1")], one)
)

/** 8-15: a closed parallel, failures included, is not run again when a wait behind it causes a replay. */
const finishedBeforeWait = of(
  Effect.gen(function* () {
    const batch = yield* Durable.parallel("then-wait", [ok("b0"), failing], {
      ...result,
      completion: { toleratedFailureCount: 1 }
    })
    yield* Durable.wait("pause", "1 second")
    return all(batch)
  })
)

const allFail = of(
  Durable.parallel("all-fail", [failing, failing, failing], {
    ...result,
    completion: { toleratedFailureCount: 3 }
  }).pipe(Effect.map(all))
)

const minNotReached = of(
  Durable.parallel("min-not-reached", [ok("b0"), failing, ok("b2")], {
    ...result,
    completion: { minSuccessful: 3 }
  }).pipe(Effect.map(all))
)

/** 8-18: two rules together; the one that is met first ends it. */
const combined = of(
  Durable.parallel("combined", [ok("b0"), failing, ok("b2"), ok("never")], {
    ...result,
    completion: { minSuccessful: 2, toleratedFailureCount: 1 }
  }).pipe(Effect.map(all))
)

const accessors = of(
  Durable.parallel("accessors", [ok("b0"), failing, ok("b2")], {
    ...result,
    completion: { toleratedFailureCount: 1 }
  }).pipe(
    Effect.map((batch) => ({
      hasFailure: BatchResult.hasFailure(batch),
      successCount: BatchResult.succeeded(batch).length,
      failureCount: BatchResult.failed(batch).length,
      errorCount: batch.failures.length
    }))
  )
)

/** 8-21: a parallel in a branch of a parallel. */
const nested = of(
  Durable.parallel(
    "outer",
    [
      Durable.parallel("inner", [step("inner-0"), step("inner-1")], one),
      Effect.map(step("outer-1"), (value) => [value])
    ],
    one
  ).pipe(Effect.map((lists) => lists.flat()))
)

const percentageReached = of(
  Durable.parallel("pct-boundary", [failing, ok("b1"), ok("b2"), ok("b3")], {
    ...result,
    completion: { toleratedFailurePercentage: 25 }
  }).pipe(Effect.map(all))
)

export const handlers = {
  "8-1": of(Durable.parallel("parallel", [step("task-1"), step("task-2")], one)),
  "8-2": of(Durable.parallel("parallel", [ok("alpha"), ok("beta")], one)),
  "8-3": named,
  "8-4": of(Durable.parallel("types", [ok("hello"), ok(42), ok({ k: "v" })], one)),
  "8-5": of(Durable.parallel("empty", [])),
  "8-6": failFast,
  "8-7": rethrown,
  "8-8": minSuccessful,
  "8-9": tolerated,
  "8-10": toleranceExceeded,
  "8-11": of(Durable.parallel("concurrent", [ok("r0"), ok("r1"), ok("r2")], { concurrency: 2 })),
  "8-12": flat,
  "8-13": percentageExceeded,
  "8-14": suspending,
  "8-15": finishedBeforeWait,
  "8-16": allFail,
  "8-17": minNotReached,
  "8-18": combined,
  "8-19": of(Durable.parallel("bad-concurrency", [ok("b0"), ok("b1")], { concurrency: 0 })),
  "8-20": accessors,
  "8-21": nested,
  "8-22": percentageReached
}
