/**
 * The operations of an execution as a tree of text: what the web page draws, for a terminal.
 */
import {
  type ErrorObject,
  kindWord,
  type Operation,
  readTimeline,
  statusWords,
  type Timeline
} from "../dev/page/model.js"
import * as History from "../History.ts"
import { brief, duration, type Paint, safe } from "./terminal.ts"

/** What an execution is called besides its history. */
export interface Heading {
  readonly functionName: string
  readonly executionName: string
}

/** Reads a history into its tree. */
export const read = (events: ReadonlyArray<History.Event>): Timeline => readTimeline(events as ReadonlyArray<any>) // any: the page's model looks details up by the names of types

/** What of a history is in no tree, in words; `undefined`: nothing. */
export const leftOut = (events: ReadonlyArray<History.Event>): string | undefined => {
  const types = new Set(events.filter((event) => !History.isKnown(event)).map(({ EventType }) => safe(EventType)))
  return types.size === 0
    ? undefined
    : `Not in this tree, because this version does not know them: ${[...types].join(", ")}. \`history\` shows these events.`
}

const MARKS = { running: "●", waiting: "◷", succeeded: "✓", failed: "✗", ended: "–" } as const
const COLORS = { running: "blue", waiting: "yellow", succeeded: "green", failed: "red", ended: "dim" } as const

const errorText = (operation: Operation): string | undefined => {
  const error = operation.outcome?.error
  if (error === undefined) return undefined
  const { ErrorData: data, ErrorMessage: message = "", ErrorType: type = "Error" } = error
  if (message !== "") return brief(`${type}: ${message}`, 200)
  return brief(data === undefined ? type : `${type} ${data}`, 200)
}

/** What a line says behind the name. */
const facts = (operation: Operation, now: number, paint: Paint): ReadonlyArray<string> => {
  const { attempts, endedAt, startedAt, tone } = operation
  const tries = attempts.length > 1 ? [paint("yellow", `${attempts.length} attempts`)] : []
  const open = endedAt === undefined
  const words = open || tone !== "succeeded" ? [paint(COLORS[tone], statusWords(operation))] : []
  const due =
    open && operation.dueAt !== undefined && operation.dueAt > now ? [`${duration(operation.dueAt - now)} to go`] : []
  const millis = (endedAt ?? now) - startedAt
  // what is recorded in one call has one time
  const since = (tone === "ended" && open) || millis === 0 ? [] : [duration(millis)]
  return [...words, ...since, ...tries, ...due]
}

/** The whole tree. `now` is where what is open is drawn up to: epoch milliseconds. */
export const format = (timeline: Timeline, heading: Heading, now: number, paint: Paint): string => {
  const { invocations, root } = timeline
  const failed = invocations.filter(({ error }) => error !== undefined).length
  const counted = `${invocations.length} ${invocations.length === 1 ? "invocation" : "invocations"}${failed > 0 ? ` (${failed} failed)` : ""}`
  const lines = [
    [
      `${paint(COLORS[root.tone], MARKS[root.tone])} ${paint("bold", `${safe(heading.functionName)}/${safe(heading.executionName)}`)}`,
      paint(COLORS[root.tone], statusWords(root)),
      duration((root.endedAt ?? now) - root.startedAt),
      counted
    ].join("  ")
  ]
  const rootError = errorText(root)
  if (rootError !== undefined) lines.push(`  ${paint("red", rootError)}`)
  // a stack of its own: histories may be nested deeper than calls
  const stack: Array<{ readonly operation: Operation; readonly indent: string; readonly isLast: boolean }> = []
  const push = (parent: Operation, indent: string) => {
    for (let i = parent.children.length - 1; i >= 0; i--) {
      const operation = parent.children[i]
      if (operation !== undefined) stack.push({ operation, indent, isLast: i === parent.children.length - 1 })
    }
  }
  push(root, "")
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { indent, isLast, operation } = next
    const below = `${indent}${isLast ? "   " : "│  "}`
    const inner = `${below}${operation.children.length > 0 ? "│" : " "}  `
    lines.push(
      `${paint("dim", `${indent}${isLast ? "└─" : "├─"}`)} ` +
        [
          `${paint(COLORS[operation.tone], MARKS[operation.tone])} ${paint("dim", kindWord(operation))} ${safe(operation.name)}`,
          ...facts(operation, now, paint)
        ].join("  ")
    )
    const error = errorText(operation)
    if (error !== undefined) lines.push(`${paint("dim", inner)}${paint("red", error)}`)
    if (operation.endedAt === undefined && operation.callbackId !== undefined && root.endedAt === undefined) {
      lines.push(`${paint("dim", inner)}${paint("dim", "callback id")} ${safe(operation.callbackId)}`)
    }
    push(operation, below)
  }
  return lines.join("\n")
}

/** An operation of the tree as JSON. */
export interface Node {
  readonly Id?: string
  readonly Type: string
  readonly SubType?: string
  readonly Name: string
  readonly Status: string
  readonly StartTimestamp: number
  readonly EndTimestamp?: number
  /** Up to now for what is open. */
  readonly DurationMillis: number
  readonly Attempts?: number
  readonly CallbackId?: string
  readonly Error?: ErrorObject
  readonly Operations: ReadonlyArray<Node>
}

/** The tree as JSON, with names as AWS's API has them. */
export const toNode = (operation: Operation, now: number): Node => {
  const { attempts, callbackId, children, endedAt, id, kind, name, startedAt, status, subType } = operation
  const error = operation.outcome?.error
  return {
    ...(id === "" ? undefined : { Id: id }),
    Type: kind === "invoke" ? "CHAINED_INVOKE" : kind.toUpperCase(),
    ...(subType === undefined ? undefined : { SubType: subType }),
    Name: name,
    Status: status,
    StartTimestamp: startedAt,
    ...(endedAt === undefined ? undefined : { EndTimestamp: endedAt }),
    DurationMillis: (endedAt ?? now) - startedAt,
    ...(kind === "step" ? { Attempts: attempts.length } : undefined),
    ...(callbackId === undefined ? undefined : { CallbackId: callbackId }),
    ...(error === undefined ? undefined : { Error: error }),
    Operations: children.map((child) => toNode(child, now))
  }
}
