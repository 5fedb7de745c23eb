import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { BatchResult } from "../BatchResult.ts"
import type { DurableContext } from "../DurableContext.ts"
import { invalid, withHere } from "../internal/core/operation.ts"
import type { CodecServices, MaybeSchema, StepServices, TypeOf } from "../StepServices.ts"
import { run } from "./batch.ts"
import { type BatchOptions, type Mode, read } from "./batchOptions.ts"
import type { Surfaced } from "./childContext.ts"

/** Options of a map. */
export interface MapOptions<I, A, E, SA, SE, M, SR> extends BatchOptions<
  BatchResult<TypeOf<SA, A>, Surfaced<E, SE>>,
  M,
  SR
> {
  /** Codec of an item's value. Without it a value that is plain JSON is recorded as such, any other is rebuilt. */
  readonly success?: SA
  /** Codec of an item's failure. What it does not cover, and is no operation's, surfaces as `ChildContextFailed`. */
  readonly error?: SE
  /** What an item is called in the history. Default: `map-item-0`, … */
  readonly itemName?: ((item: I, index: number) => string) | undefined
}

/** The item's schema covers its value. */
export type HasItemCodec<A, SA> = [A] extends [TypeOf<SA, unknown>]
  ? unknown
  : "The `success` schema does not accept every value of this map's items."

/** A batch as its parent sees it. */
export type Batch<V, B, E, R, M, SR> = Effect.Effect<
  M extends "result" ? TypeOf<SR, B> : V,
  M extends "result" ? never : E,
  DurableContext | Exclude<R, Scope.Scope> | StepServices<CodecServices<SR>>
>

/**
 * Runs the same durable work for every item of a list, each in a context of its own, as one operation.
 *
 * **Details**
 *
 * `f` gives the work of an item. Items start in their order, `concurrency` at a time (default: all at once). Each has
 * names, order and clock of its own, as a child context has: it must not share memory with others, and its value and
 * failures are recorded like a child context's, by `success` and `error`.
 *
 * By default it gives the list of the values, and fails with the first failure: that of the item with the lowest
 * index among those that had failed. Items that have not ended then are interrupted, and stay started on record. With
 * `mode: "result"` it never fails, and gives a `BatchResult`; `completion` then says when it ends. A defect counts as
 * a failure, and dies again as that defect.
 *
 * Once closed it answers from its record, and no item runs again. A result over 256 KiB, and one with values that
 * are not plain JSON and have no codec, is rebuilt from the records of the items. Items are known by their index: a
 * list that has changed under a running execution is `NonDeterministic`.
 *
 * Suspends when every item that runs does. Billed: one operation for the map, one for each item that starts (none
 * when `nesting` is `"flat"`), plus those inside. Options that no batch can have end the execution with
 * `InvalidOperation` before anything is sent.
 *
 * **Example** (Five at a time)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const resize: (image: string) => Effect.Effect<{ readonly url: string }>
 *
 * const program = (images: ReadonlyArray<string>) =>
 *   Durable.map("thumbnails", images, (image) => Durable.step("resize", resize(image)), { concurrency: 5 })
 * ```
 */
export const map = <
  I,
  A,
  E,
  R,
  SA extends MaybeSchema = undefined,
  SE extends MaybeSchema = undefined,
  M extends Mode = "values",
  SR extends MaybeSchema = undefined
>(
  name: string,
  items: ReadonlyArray<I>,
  f: (item: I, index: number) => Effect.Effect<A, E, R> & HasItemCodec<A, SA>,
  options?: MapOptions<I, A, E, SA, SE, M, SR>
): Batch<
  Array<TypeOf<SA, A>>,
  BatchResult<TypeOf<SA, A>, Surfaced<E, SE>>,
  Surfaced<E, SE>,
  R | StepServices<CodecServices<SA> | CodecServices<SE>>,
  M,
  SR
> =>
  Effect.suspend(() => {
    const { error, itemName, success } = options ?? {}
    const names = Result.try(() => (itemName === undefined ? undefined : items.map((item, i) => itemName(item, i))))
    if (Result.isFailure(names)) {
      return withHere("map", name, ({ core }) =>
        invalid(core, `Durable.map("${name}"): its itemName threw: ${String(names.failure)}`)
      )
    }
    return run(
      name,
      {
        kind: "Map",
        size: items.length,
        what: "items",
        names: names.success,
        body: (index) => Effect.suspend(() => f(items[index]!, index)),
        success: () => success,
        error: () => error,
        shape: (list) => list
      },
      read(options)
    )
  }) as any // typed by the signature
