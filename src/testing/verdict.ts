/**
 * What a replay has shown: whether it is the same, and a table of what was expected and what came.
 */
import * as Result from "effect/Result"
import * as util from "node:util"
import { MARKER_NAME } from "../internal/core/order.ts"
import type { Spec } from "../internal/core/world.ts"
import type * as Protocol from "../Protocol.ts"
import { readPlainJson } from "../Serdes.ts"
import type { Rebuilt } from "./rebuild.ts"

/**
 * One line of the table: what is recorded, and what today's code asks for. Equal where they agree; where they do not, the
 * code may have declared that.
 */
export interface Row {
  readonly expected: string | undefined
  readonly got: string | undefined
  readonly declared?: "added" | "retired" | undefined
}

/** What became of a replay. */
export type Verdict = {
  /** All recorded operations, as they are recorded and as they are asked for. */
  readonly rows: ReadonlyArray<Row>
  /** Operations that were given to the code without the payload that they have, because the history does not hold it. */
  readonly unknown: ReadonlyArray<string>
} & (
  | {
      readonly _tag: "Replays"
      /** `ended`: the body came to the recorded end. `waiting`: it waits as the record does. `live`: it goes on with new work. */
      readonly end: "ended" | "waiting" | "live"
    }
  | { readonly _tag: "Diverges"; readonly reason: string }
  /** It came out different, but after it was given something that the history does not hold. */
  | { readonly _tag: "Unknown"; readonly reason: string }
)

/** An operation that the body asked for. */
export interface Asked {
  readonly id: string
  readonly spec: Spec
  readonly parentId: string | undefined
  readonly recorded: boolean
  /** The code says that it came later. */
  readonly added: boolean
}

/** How a run over a record went. */
export type Outcome =
  | { readonly _tag: "Answered"; readonly output: Protocol.InvocationOutput }
  | { readonly _tag: "Live" }
  | { readonly _tag: "Failed"; readonly reason: string }
  | { readonly _tag: "Hangs" }

/** A run over a record. */
export interface Ran {
  readonly outcome: Outcome
  readonly asked: ReadonlyArray<Asked>
  /** Operations with unknown payloads that the body was given. */
  readonly given: ReadonlyArray<string>
  /** What the code says has gone from it, by context. */
  readonly retired: ReadonlyArray<{ readonly parentId: string | undefined; readonly name: string }>
}

/** An operation in words. */
export const described = (type: string, name: string | undefined) => `${type} "${name ?? ""}"`

// ---- the verdict -------------------------------------------------------------------------------------------

/** Faults of the program, and of what it was given: no end that a body brings about. */
const FATAL: ReadonlySet<string> = new Set([
  "NonDeterministic",
  "UntrackedAsync",
  "InvalidOperation",
  "SerdesFailed",
  "PayloadTooLarge",
  "OperationLimitExceeded",
  "InvalidPayload",
  "CheckpointFailed"
])

/** No operation of the body's: it records in which order completions came. */
const isMarker = ({ Name, Type }: Protocol.Operation): boolean => Type === "STEP" && Name === MARKER_NAME

const rowsOf = (operations: ReadonlyArray<Protocol.Operation>, { asked, retired }: Ran): ReadonlyArray<Row> => {
  const wanted = new Map(asked.map((one) => [one.id, one]))
  const entered = new Set(asked.map(({ parentId }) => parentId))
  const rows: Array<{ id: string; expected: string | undefined; got: string | undefined; declared?: Row["declared"] }> =
    []
  for (const operation of operations) {
    const { Id, Name, ParentId, Type } = operation
    if (Type === "EXECUTION" || isMarker(operation)) continue
    const text = described(Type, Name)
    if (wanted.has(Id)) rows.push({ id: Id, expected: text, got: text })
    else if (retired.some(({ name, parentId }) => name === Name && parentId === ParentId)) {
      rows.push({ id: Id, expected: text, got: undefined, declared: "retired" })
    }
    // what is in a finished context is not asked for again
    else if (ParentId === undefined || entered.has(ParentId)) rows.push({ id: Id, expected: text, got: undefined })
  }
  const recorded = new Set(operations.map(({ Id }) => Id))
  let before: string | undefined
  for (const { added, id, spec } of asked) {
    const last = before
    before = id
    if (recorded.has(id)) continue
    const text = described(spec.type, spec.name)
    const gap = rows.find(({ declared, got }) => got === undefined && declared === undefined)
    if (added) {
      const at = rows.findIndex((row) => row.id === last)
      rows.splice(at + 1, 0, { id, expected: undefined, got: text, declared: "added" })
    } else if (gap === undefined) rows.push({ id, expected: undefined, got: text })
    else gap.got = text
  }
  return rows.map(({ id: _, ...row }) => row)
}

/** Whether the code has not asked for all that is on record, and does not say that the rest has gone. */
export const isBehind = (operations: ReadonlyArray<Protocol.Operation>, ran: Ran): boolean =>
  rowsOf(operations, { ...ran, asked: ran.asked.filter(({ recorded }) => recorded) }).some(
    ({ declared, got }) => got === undefined && declared === undefined
  )

const sameText = (left: string | undefined, right: string | undefined): boolean => {
  if ((left ?? "") === (right ?? "")) return true
  const [a, b] = [readPlainJson(left), readPlainJson(right)]
  return Result.isSuccess(a) && Result.isSuccess(b) && util.isDeepStrictEqual(a.success, b.success)
}

const shown = (text: string | undefined) =>
  text === undefined || text === "" ? "nothing" : text.length > 200 ? `${text.slice(0, 200)}…` : text

/** What is different, or how it ended where nothing is. */
const difference = (
  { end, operations }: Rebuilt,
  { asked, given, outcome }: Ran
): { readonly same: "ended" | "waiting" | "live" } | { readonly reason: string } => {
  const ended = end !== undefined && (end.status === "SUCCEEDED" || end.status === "FAILED") ? end : undefined
  const recordedFault = ended?.error?.ErrorType !== undefined && FATAL.has(ended.error.ErrorType)
  const goesOn = (what: string) =>
    ended === undefined || recordedFault
      ? undefined
      : `The execution had ${ended.status === "SUCCEEDED" ? "succeeded" : "failed"} here, but the code ${what}.`
  switch (outcome._tag) {
    case "Failed":
      return { reason: outcome.reason }
    case "Hangs":
      return { reason: "The body waits for something that is not recorded, such as work outside of a step." }
    case "Live": {
      const recorded = new Set(operations.map(({ Id }) => Id))
      const fresh = asked.filter(({ id }) => !recorded.has(id)).map(({ spec }) => described(spec.type, spec.name))
      const reason = goesOn(`goes on${fresh.length === 0 ? "" : ` with ${fresh.join(", ")}`}`)
      return reason === undefined ? { same: "live" } : { reason }
    }
    case "Answered": {
      const { output } = outcome
      if (output.Status === "PENDING") {
        const reason = goesOn("waits")
        return reason === undefined ? { same: "waiting" } : { reason }
      }
      const error = output.Status === "FAILED" ? output.Error : undefined
      if (error?.ErrorType !== undefined && FATAL.has(error.ErrorType)) {
        return ended?.error?.ErrorType === error.ErrorType
          ? { same: "ended" }
          : { reason: error.ErrorMessage ?? error.ErrorType }
      }
      if (ended === undefined || recordedFault) return { same: "ended" }
      if (ended.status !== output.Status) {
        return {
          reason: `The execution had ${ended.status === "SUCCEEDED" ? "succeeded" : "failed"}, and now it ${
            output.Status === "SUCCEEDED"
              ? "succeeds"
              : `fails: ${error?.ErrorType ?? ""}: ${error?.ErrorMessage ?? ""}`
          }.`
        }
      }
      // what it gives may come from what the history does not hold
      if (ended.unknown || given.length > 0) return { same: "ended" }
      if (output.Status === "SUCCEEDED") {
        return sameText(ended.result, output.Result)
          ? { same: "ended" }
          : { reason: `The result was ${shown(ended.result)}, and now it is ${shown(output.Result)}.` }
      }
      return ended.error?.ErrorType === error?.ErrorType && sameText(ended.error?.ErrorData, error?.ErrorData)
        ? { same: "ended" }
        : {
            reason:
              `It had failed with ${ended.error?.ErrorType ?? ""}: ${ended.error?.ErrorMessage ?? ""}, ` +
              `and now it fails with ${error?.ErrorType ?? ""}: ${error?.ErrorMessage ?? ""}.`
          }
    }
  }
}

/** Compares a run with the record. */
export const judge = (rebuilt: Rebuilt, ran: Ran, input: string | undefined): Verdict => {
  const missing = rebuilt.operations.filter(({ Id }) => rebuilt.unknown.has(Id))
  const unknown = [
    ...(input === undefined && missing.some(({ Type }) => Type === "EXECUTION") ? ["the input"] : []),
    ...(missing.some(isMarker) ? ["the order of completions"] : []),
    ...ran.given
  ]
  const rows = rowsOf(rebuilt.operations, ran)
  const found = difference(rebuilt, ran)
  if ("same" in found) return { _tag: "Replays", end: found.same, rows, unknown }
  return { _tag: unknown.length > 0 ? "Unknown" : "Diverges", reason: found.reason, rows, unknown }
}

/** Rows of the table before the first difference, and in all. */
const ROWS_BEFORE = 5
const MAX_ROWS = 40

/** What is recorded beside what is asked for, from shortly before they differ. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const differs = ({ declared, expected, got }: Row) => expected !== got && declared === undefined
  const first = rows.findIndex(differs)
  const from = Math.max(0, (first < 0 ? rows.length : first) - ROWS_BEFORE)
  const some = rows.slice(from, from + MAX_ROWS)
  const left = ({ declared, expected }: Row) => expected ?? (declared === "added" ? "(added)" : "-")
  const right = ({ declared, got }: Row) => got ?? (declared === "retired" ? "(retired)" : "-")
  const width = Math.max("expected".length, ...some.map((row) => left(row).length))
  const line = (mark: string, one: string, other: string) => `${mark} ${one.padEnd(width)}  ${other}`.trimEnd()
  return [
    line(" ", "expected", "got"),
    ...(from > 0 ? [`  … ${from} more, as recorded`] : []),
    ...some.map((row) => line(differs(row) ? "✗" : " ", left(row), right(row))),
    ...(from + MAX_ROWS < rows.length ? [`  … ${rows.length - from - MAX_ROWS} more`] : [])
  ].join("\n")
}

/** The verdict in words, with the table where there is something to see. */
export const describe = (verdict: Verdict): string => {
  const unknown = [...new Set(verdict.unknown)]
  const missing = unknown.length === 0 ? "" : `\nNot in the history: ${unknown.join(", ")}.`
  switch (verdict._tag) {
    case "Replays":
      return `It replays.${missing}`
    case "Diverges":
      return `It does not replay. ${verdict.reason}\n\n${table(verdict.rows)}`
    case "Unknown":
      return (
        `It may replay or not: it comes out different, but it was given something that the history does not hold. ` +
        `${verdict.reason}${missing} Give \`input\` or \`payload\`, or record it with IncludeExecutionData.\n\n${table(verdict.rows)}`
      )
  }
}
