/**
 * What became of the branches of a `Durable.parallel`, or the items of a `Durable.map`, run in mode `"result"`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

/** What became of one branch or item. */
export type BatchItem<A, E> = Success<A> | Failure<E> | Started | NotStarted

interface Place {
  /** Its place among the branches or items, from 0. */
  readonly index: number
  /** Its name, as the console shows it. */
  readonly name: string
}

/** It succeeded. A value of `undefined` is a value. */
export interface Success<A> extends Place {
  readonly _tag: "Success"
  readonly value: A
}

/** It failed: with an error of its own (`Fail`), a defect (`Die`), or by interrupting itself. */
export interface Failure<E> extends Place {
  readonly _tag: "Failure"
  readonly cause: Cause.Cause<E>
}

/** The batch ended before it did. It was interrupted, and stays started on record. */
export interface Started extends Place {
  readonly _tag: "Started"
}

/** The batch ended before it began. Nothing is on record. */
export interface NotStarted extends Place {
  readonly _tag: "NotStarted"
}

/** Why a batch ended; the first that holds, in this order. The last two are those of a completion function. */
export type CompletionReason =
  | "FAILURE_TOLERANCE_EXCEEDED"
  | "ALL_COMPLETED"
  | "MIN_SUCCESSFUL_REACHED"
  | "CUSTOM_COMPLETION_SUCCEEDED"
  | "CUSTOM_COMPLETION_FAILED"

/**
 * The outcome of a batch, in the words and numbers of AWS's SDKs.
 *
 * **Details**
 *
 * `items` has one entry per branch or item, in their order, and in the shape that `Durable.parallel` was given
 * (a struct, a tuple, a list). `successes` are the values of those that succeeded, `failures` the typed errors of
 * those that failed (defects are in `items` only). `counts.total` counts what was started, as AWS's does.
 */
export interface BatchResult<out A, out E, out Items = ReadonlyArray<BatchItem<A, E>>> {
  readonly items: Items
  readonly successes: ReadonlyArray<A>
  readonly failures: ReadonlyArray<E>
  readonly completionReason: CompletionReason
  /** `FAILED` when an item failed, or a completion function said so. */
  readonly status: "SUCCEEDED" | "FAILED"
  readonly counts: {
    readonly total: number
    readonly success: number
    readonly failure: number
    readonly started: number
  }
}

/** The status that goes with a reason and a number of failures. */
export const statusOf = (reason: CompletionReason, failures: number): BatchResult<unknown, unknown>["status"] =>
  reason === "CUSTOM_COMPLETION_SUCCEEDED"
    ? "SUCCEEDED"
    : failures > 0 || reason === "CUSTOM_COMPLETION_FAILED"
      ? "FAILED"
      : "SUCCEEDED"

const listOf = <A, E>({ items }: BatchResult<A, E, unknown>): ReadonlyArray<BatchItem<A, E>> =>
  Array.isArray(items) ? items : Object.values(items as object)

/**
 * The result that these items make: for codecs that write a whole result, and for tests.
 *
 * **Example** (A result in a test)
 *
 * ```ts import.meta.vitest
 * import { BatchResult } from "effect-durable-lambda"
 *
 * const result = BatchResult.make([{ _tag: "Success", index: 0, name: "a", value: 1 }], "ALL_COMPLETED")
 * result.successes // => [1]
 * ```
 */
export const make = <A, E = never>(
  items: ReadonlyArray<BatchItem<A, E>>,
  completionReason: CompletionReason
): BatchResult<A, E> => {
  const successes: Array<A> = []
  const failures: Array<E> = []
  let failure = 0
  let started = 0
  for (const item of items) {
    if (item._tag === "Success") successes.push(item.value)
    else if (item._tag === "Started") started++
    else if (item._tag === "Failure") {
      failure++
      const error = item.cause.reasons.find(Cause.isFailReason)
      if (error !== undefined) failures.push(error.error)
    }
  }
  const success = successes.length
  return {
    items,
    successes,
    failures,
    completionReason,
    status: statusOf(completionReason, failure),
    counts: { total: success + failure + started, success, failure, started }
  }
}

/** The items that succeeded, in their order. One whose value is `undefined` is among them. */
export const succeeded = <A, E>(self: BatchResult<A, E, unknown>): ReadonlyArray<Success<A>> =>
  listOf(self).filter((item) => item._tag === "Success")

/** The items that failed, with their causes, in their order. */
export const failed = <A, E>(self: BatchResult<A, E, unknown>): ReadonlyArray<Failure<E>> =>
  listOf(self).filter((item) => item._tag === "Failure")

/** The items that had begun and not ended when the batch did. */
export const started = <A, E>(self: BatchResult<A, E, unknown>): ReadonlyArray<Started> =>
  listOf(self).filter((item) => item._tag === "Started")

/** Whether an item failed, with an error or a defect. */
export const hasFailure = (self: BatchResult<unknown, unknown, unknown>): boolean => self.counts.failure > 0

/**
 * The values of the items that succeeded, unless one failed: then the failure, or defect, of the first that did.
 *
 * **Example** (Fewer than all, but no failure)
 *
 * ```ts
 * import { BatchResult, Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * const quote = (carrier: string) => Durable.step(carrier, Effect.succeed(carrier.length))
 *
 * const program = Durable.map("quotes", ["sea", "air", "rail"], quote, {
 *   mode: "result",
 *   completion: { minSuccessful: 2 }
 * }).pipe(Effect.flatMap(BatchResult.orFail))
 * ```
 */
export const orFail = <A, E>(self: BatchResult<A, E, unknown>): Effect.Effect<ReadonlyArray<A>, E> => {
  const first = listOf(self).find((item) => item._tag === "Failure")
  return first === undefined ? Effect.succeed(self.successes) : Effect.failCause(first.cause)
}
