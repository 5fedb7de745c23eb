/** What `parallel` and `map` can be told, and what of it makes no sense. */
import type * as Effect from "effect/Effect"
import * as completions from "../internal/completion.ts"
import type { ItemStatus } from "../internal/core/batchPayload.ts"
import { nameFault } from "../internal/core/operation.ts"
import * as misuse from "../internal/options.ts"
import type { MaybeSchema } from "../StepServices.ts"

/** What a batch gives: the values, or with `"result"` what became of each item. */
export type Mode = "values" | "result"

/** How far a batch has come. */
export interface CompletionProgress {
  readonly successCount: number
  readonly failureCount: number
  /** Successes and failures. */
  readonly completedCount: number
  /** Number of branches or items, started or not. */
  readonly totalCount: number
  /** All of them, in their order; made when it is looked at. */
  readonly items: ReadonlyArray<{
    readonly index: number
    readonly name: string
    readonly status: ItemStatus | undefined
  }>
}

/** What a completion function decides: to go on, or to end the batch now, well or badly. */
export type CompletionDecision = "continue" | "succeed" | "fail"

/**
 * When a batch ends before all of its items have: thresholds, or a function that is asked before the first item and
 * after each that has ended.
 *
 * Thresholds may be combined. `minSuccessful` (from 1, at most the number of items) ends the batch when so many have
 * succeeded, and alone tolerates any number of failures. More failures than `toleratedFailureCount`, or than
 * `toleratedFailurePercentage` of all items, end it; as many do not. Without any of them the first failure does.
 *
 * The function must depend on its argument alone. It is not asked again once the batch is on record.
 */
export type Completion = completions.Thresholds | ((progress: CompletionProgress) => CompletionDecision)

/** What `completion` is in this mode. */
export type CompletionIn<M> = M extends "result"
  ? Completion | undefined
  : 'A `completion` ends a batch with values missing: it needs `mode: "result"`.'

/** What `result` is in this mode. */
export type ResultCodecIn<M, SR> = M extends "result"
  ? SR
  : SR extends undefined
    ? undefined
    : '`result` is the codec of a BatchResult: it needs `mode: "result"`.'

/** Options that `parallel` and `map` share. */
export interface BatchOptions<B, M, SR> {
  /** How many run at a time: a whole number from 1, or `"unbounded"` (default). They start in their order. */
  readonly concurrency?: number | "unbounded" | undefined
  /**
   * `"nested"` (default): each item has a record of its own. `"flat"`: only the operations in it have; it costs one
   * operation less, and its body runs again in every invocation until the batch is on record.
   */
  readonly nesting?: "nested" | "flat" | undefined
  /** What the batch gives. Default: `"values"`. */
  readonly mode?: M | undefined
  /** When the batch ends before all of its items have. Default: at the first failure. Needs `mode: "result"`. */
  readonly completion?: CompletionIn<M>
  /** Codec of the whole `BatchResult`, for a record of your own making. Needs `mode: "result"`. */
  readonly result?: ResultCodecIn<M, SR>
  /** What the console shows besides the counts in place of a result that is too large to record. */
  readonly summary?: ((result: B) => string) | undefined
}

/** The options, whatever the batch. */
export interface AnyOptions {
  readonly concurrency?: number | "unbounded" | undefined
  readonly nesting?: "nested" | "flat" | undefined
  readonly mode?: Mode | undefined
  readonly completion?: Completion | undefined
  readonly result?: MaybeSchema
  readonly summary?: ((result: any) => string) | undefined // any: the result's type belongs to the batch
}

/** What runs in a batch. */
export interface Program {
  readonly kind: "Map" | "Parallel"
  readonly size: number
  /** How its parts are called in messages. */
  readonly what: "items" | "branches"
  /** Their names, where the user gives them. */
  readonly names: ReadonlyArray<string> | undefined
  readonly body: (index: number) => Effect.Effect<unknown, unknown, any>
  readonly success: (index: number) => MaybeSchema
  readonly error: (index: number) => MaybeSchema
  /** Gives a list of one entry per item the shape that the user's branches have. */
  readonly shape: (list: ReadonlyArray<unknown>) => unknown
}

/** The options as their types have them, which have checked those of the mode. */
export const read = (options: object | undefined): AnyOptions => {
  const given = (options ?? {}) as AnyOptions
  return { ...given, summary: misuse.textual(given.summary) }
}

/** What is wrong with the options, in words. */
export const faultOf = (
  { error, kind, names, size, success, what }: Program,
  options: AnyOptions
): string | undefined => {
  const { completion, concurrency = "unbounded", mode = "values", nesting = "nested", result } = options
  if (concurrency !== "unbounded" && !(concurrency >= 1 && (Number.isInteger(concurrency) || concurrency === Infinity)))
    return `its concurrency is ${String(concurrency)}. Give it a whole number from 1, or "unbounded".`
  if (nesting !== "nested" && nesting !== "flat") return `its nesting is ${String(nesting)}, not "nested" or "flat".`
  if (mode !== "values" && mode !== "result") return `its mode is ${String(mode)}, not "values" or "result".`
  if (mode === "values" && completion !== undefined)
    return 'a `completion` ends a batch with values missing: it needs `mode: "result"`.'
  if (mode === "values" && result !== undefined)
    return '`result` is the codec of a BatchResult: it needs `mode: "result"`.'
  const odd = misuse.faultOf({ result })
  if (odd !== undefined) return odd
  // the items of a map share their schemas
  for (let i = 0; i < (kind === "Map" ? Math.min(size, 1) : size); i++) {
    const fault = misuse.faultOf({ success: success(i), error: error(i) })
    if (fault !== undefined) return kind === "Map" ? fault : `number ${i} of its branches: ${fault}`
  }
  const rule = typeof completion === "object" ? completions.faultOf(completion, size) : undefined
  if (rule !== undefined) return rule
  for (const [index, name] of names?.entries() ?? []) {
    const fault = nameFault(name)
    if (fault !== undefined) return `the name of number ${index} of its ${what}, ${fault}`
  }
  return undefined
}
