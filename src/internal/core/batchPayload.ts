/**
 * What a batch writes into its record, and reads there: the layout of AWS's SDKs, which consoles know, with values
 * and failures as the codecs of the items write them.
 */
import type { BatchResult, CompletionReason } from "../../BatchResult.ts"
import type * as Protocol from "../../Protocol.ts"
import type { Plain } from "./contexts.ts"

/** Status of an item that was started. */
export type ItemStatus = "SUCCEEDED" | "FAILED" | "STARTED"

/** What is on record of a batch: a small one as a whole, of a large one only what became of its items. */
export interface Recorded {
  readonly statuses: ReadonlyArray<ItemStatus>
  readonly completionReason: CompletionReason
  /** Value and failure of each, where they are there. */
  readonly entries?: ReadonlyArray<Entry>
}

/** One item of a small batch. */
export interface Entry {
  readonly result?: unknown
  readonly error?: Protocol.ErrorObject | undefined
  readonly index: number
  readonly status: ItemStatus
}

// ---- writing -------------------------------------------------------------------------------------------

/** One item as JSON. The text of its value is JSON, unless it `isText`. */
export const writeItem = (index: number, status: ItemStatus, plain: Plain | undefined, isText: boolean): string => {
  const { error, text } = plain ?? {}
  const head =
    text !== undefined
      ? `"result":${isText ? JSON.stringify(text) : text},`
      : error !== undefined
        ? `"error":${JSON.stringify(error)},`
        : ""
  return `{${head}"index":${index},"status":"${status}"}`
}

/** The payload of a small batch. */
export const writeAll = (items: ReadonlyArray<string>, reason: CompletionReason): string =>
  `{"all":[${items.join(",")}],"completionReason":"${reason}"}`

const MARKS = { SUCCEEDED: "S", FAILED: "F", STARTED: "-" } as const

/** The payload of a batch that is rebuilt from its items on replay. */
export const writeSummary = (
  kind: "Map" | "Parallel",
  { completionReason, counts, status }: BatchResult<unknown, unknown, unknown>,
  statuses: ReadonlyArray<ItemStatus>,
  summary: string | undefined
): string =>
  JSON.stringify({
    type: `${kind}Result`,
    totalCount: counts.total,
    successCount: counts.success,
    failureCount: counts.failure,
    ...(kind === "Parallel" ? { startedCount: counts.started } : undefined),
    completionReason,
    status,
    itemStatuses: statuses.map((status) => MARKS[status]).join(""),
    ...(summary === undefined ? undefined : { summary })
  })

// ---- reading -------------------------------------------------------------------------------------------

const REASONS: ReadonlySet<unknown> = new Set<CompletionReason>([
  "ALL_COMPLETED",
  "MIN_SUCCESSFUL_REACHED",
  "FAILURE_TOLERANCE_EXCEEDED",
  "CUSTOM_COMPLETION_SUCCEEDED",
  "CUSTOM_COMPLETION_FAILED"
])

const STATUSES = { S: "SUCCEEDED", F: "FAILED", "-": "STARTED" } as const

const isEntry = (entry: unknown, at: number): entry is Entry => {
  const { index, status } = (entry ?? {}) as Partial<Entry>
  return index === at && status !== undefined && Object.hasOwn(MARKS, status)
}

/** Reads either payload, as parsed JSON; `undefined` when it is neither. */
export const read = (payload: unknown): Recorded | undefined => {
  const { all, completionReason, itemStatuses } = (payload ?? {}) as Record<string, unknown>
  if (!REASONS.has(completionReason)) return undefined
  const reason = completionReason as CompletionReason
  if (Array.isArray(all)) {
    return all.every(isEntry)
      ? { statuses: all.map(({ status }) => status), completionReason: reason, entries: all }
      : undefined
  }
  return typeof itemStatuses === "string" && /^[SF-]*$/.test(itemStatuses)
    ? { statuses: Array.from(itemStatuses, (mark) => STATUSES[mark as "S"]), completionReason: reason }
    : undefined
}
