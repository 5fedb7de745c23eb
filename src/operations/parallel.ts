import * as Effect from "effect/Effect"
import type { BatchItem, BatchResult } from "../BatchResult.ts"
import type { CodecServices, MaybeSchema, StepServices, TypeOf } from "../StepServices.ts"
import { run } from "./batch.ts"
import { type BatchOptions, type Mode, read } from "./batchOptions.ts"
import type { Surfaced } from "./childContext.ts"
import type { Batch } from "./map.ts"

// ---- branches ------------------------------------------------------------------------------------------

const BranchId = "~effect-durable-lambda/Branch"

/** A branch of a `parallel` with codecs of its own. Made by `Durable.branch`. */
export interface Branch<out A, out E, out R> {
  readonly [BranchId]: {
    readonly _A: (_: never) => A
    readonly _E: (_: never) => E
    readonly _R: (_: never) => R
  }
}

/** What `branch` keeps. */
interface AnyBranch {
  readonly [BranchId]: unknown
  readonly effect: AnyEffect
  readonly success: MaybeSchema
  readonly error: MaybeSchema
}

/** Codecs of a branch. */
export interface BranchOptions<SA, SE> {
  /** Codec of the value. Without it a value that is plain JSON is recorded as such, any other is rebuilt on replay. */
  readonly success?: SA
  /** Codec of failures. What it does not cover, and is no operation's, surfaces as `ChildContextFailed`. */
  readonly error?: SE
}

/** The branch's schema covers its value. */
export type HasBranchCodec<A, SA> = [A] extends [TypeOf<SA, unknown>]
  ? unknown
  : "The `success` schema does not accept every value of this branch."

/**
 * Gives a branch of `Durable.parallel` codecs of its own.
 *
 * **Example** (A branch whose failure keeps its class)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { left: Schema.Int }) {}
 * declare const book: Effect.Effect<Date, SoldOut>
 *
 * const program = Durable.parallel("trip", {
 *   hotel: Durable.step("hotel", Effect.succeed("H-1")),
 *   flight: Durable.branch(Effect.flatMap(Durable.wait("sale", "1 hour"), () => new SoldOut({ left: 0 })), {
 *     error: SoldOut
 *   })
 * })
 * ```
 */
export const branch: {
  <A, E, R, SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined>(
    effect: Effect.Effect<A, E, R> & HasBranchCodec<A, SA>,
    options: BranchOptions<SA, SE>
  ): Branch<TypeOf<SA, A>, Surfaced<E, SE>, R | StepServices<CodecServices<SA> | CodecServices<SE>>>
  <SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined>(
    options: BranchOptions<SA, SE>
  ): <A, E, R>(
    effect: Effect.Effect<A, E, R> & HasBranchCodec<A, SA>
  ) => Branch<TypeOf<SA, A>, Surfaced<E, SE>, R | StepServices<CodecServices<SA> | CodecServices<SE>>>
  <A, E, R, SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined>(
    effect: Effect.Effect<A, E, R> & HasBranchCodec<A, SA>,
    options: BranchOptions<SA, SE>
  ): Branch<TypeOf<SA, A>, Surfaced<E, SE>, R | StepServices<CodecServices<SA> | CodecServices<SE>>>
} = ((...args: ReadonlyArray<any>) =>
  // the overloads say what the arguments are
  Effect.isEffect(args[0]) ? makeBranch(args[0], args[1]) : (effect: AnyEffect) => makeBranch(effect, args[0])) as any // typed by the overloads

const makeBranch = (
  effect: AnyEffect,
  { error, success }: BranchOptions<MaybeSchema, MaybeSchema> = {}
): AnyBranch => ({ [BranchId]: {}, effect, success, error })

type AnyEffect = Effect.Effect<any, any, any>

/** The branches of a `parallel`: a struct, a tuple or a list. */
export type Branches =
  ReadonlyArray<AnyEffect | Branch<any, any, any>> | { readonly [name: string]: AnyEffect | Branch<any, any, any> }

type BranchOf<T> = T extends ReadonlyArray<any> ? T[number] : T[keyof T]
/** Value, errors and requirements of one branch, as the parent sees them. */
export type BranchValue<B> =
  B extends Branch<infer A, any, any> ? A : B extends Effect.Effect<infer A, any, any> ? A : never
export type BranchError<B> =
  B extends Branch<any, infer E, any> ? E : B extends Effect.Effect<any, infer E, any> ? Surfaced<E, undefined> : never
export type BranchServices<B> =
  B extends Branch<any, any, infer R> ? R : B extends Effect.Effect<any, any, infer R> ? R : never

/** The result of a `parallel` in mode `"result"`: its items have the shape of the branches. */
export type ParallelResult<T> = BatchResult<
  BranchValue<BranchOf<T>>,
  BranchError<BranchOf<T>>,
  { readonly [K in keyof T]: BatchItem<BranchValue<T[K]>, BranchError<T[K]>> }
>

/** Options of a parallel. */
export type ParallelOptions<T, M, SR> = BatchOptions<ParallelResult<T>, M, SR>

/**
 * Runs branches of durable work side by side, each in a context of its own, as one operation.
 *
 * **Details**
 *
 * The branches are a struct, a tuple or a list of effects, and the values come back in that shape, as from
 * `Effect.all`. The keys of a struct are the names of its branches in the history. Branches start in their order,
 * `concurrency` at a time (default: all at once). Each has names, order and clock of its own, as a child context has:
 * it must not share memory with others, and its value and failures are recorded like a child context's;
 * `Durable.branch` gives it codecs.
 *
 * By default it fails with the first failure: that of the branch with the lowest index among those that had failed.
 * Branches that have not ended then are interrupted, and stay started on record. With `mode: "result"` it never
 * fails, and gives a `BatchResult`; `completion` then says when it ends. A defect counts as a failure, and dies again
 * as that defect.
 *
 * Once closed it answers from its record, and no branch runs again. A result over 256 KiB, and one with values that
 * are not plain JSON and have no codec, is rebuilt from the records of the branches. Branches are known by their
 * index: another number of them under a running execution is `NonDeterministic`.
 *
 * Suspends when every branch that runs does. Billed: one operation for the whole, one for each branch that starts
 * (none when `nesting` is `"flat"`), plus those inside. Options that no batch can have end the execution with
 * `InvalidOperation` before anything is sent.
 *
 * **Example** (The first two of three quotes)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const quote: (carrier: string) => Effect.Effect<number>
 *
 * const program = Durable.parallel(
 *   "quotes",
 *   {
 *     sea: Durable.step("ask", quote("sea")),
 *     air: Durable.step("ask", quote("air")),
 *     rail: Durable.step("ask", quote("rail"))
 *   },
 *   { mode: "result", completion: { minSuccessful: 2 } }
 * ).pipe(Effect.map(({ successes }) => Math.min(...successes)))
 * ```
 */
export const parallel = <const T extends Branches, M extends Mode = "values", SR extends MaybeSchema = undefined>(
  name: string,
  branches: T,
  options?: ParallelOptions<T, M, SR>
): Batch<
  { -readonly [K in keyof T]: BranchValue<T[K]> },
  ParallelResult<T>,
  BranchError<BranchOf<T>>,
  BranchServices<BranchOf<T>>,
  M,
  SR
> =>
  Effect.suspend(() => {
    const keys = Array.isArray(branches) ? undefined : Object.keys(branches)
    const list = (Object.values(branches) as ReadonlyArray<AnyEffect | AnyBranch>).map((given) =>
      BranchId in given ? given : makeBranch(given)
    )
    return run(
      name,
      {
        kind: "Parallel",
        size: list.length,
        what: "branches",
        names: keys,
        body: (index) => list[index]!.effect,
        success: (index) => list[index]!.success,
        error: (index) => list[index]!.error,
        shape: (values) =>
          keys === undefined ? values : Object.fromEntries(keys.map((key, index) => [key, values[index]]))
      },
      read(options)
    )
  }) as any // typed by the signature
