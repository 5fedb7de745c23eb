/**
 * Events as lines that people read: what `dev` prints as it happens, and `history` afterwards.
 */
import * as History from "../History.ts"
import { clock, duration, type Paint, safe } from "./terminal.ts"

type Color = Parameters<Paint>[0]

const FAMILY = /^(Execution|Context|Step|Wait|Callback|ChainedInvoke|Invocation)(\w+)$/

// a map: a subtype may be any word, "constructor" too
const WORDS: ReadonlyMap<string, string> = new Map([
  ["ChainedInvoke", "invoke"],
  ["WaitForCondition", "condition"],
  ["Map", "map"],
  ["MapIteration", "item"],
  ["Parallel", "parallel"],
  ["ParallelBranch", "branch"]
])

const marks = (family: string, what: string, isRetried: boolean): readonly [mark: string, color: Color] => {
  if (isRetried) return what === "Failed" ? ["⟳", "yellow"] : ["⟳", "blue"]
  switch (what) {
    case "Started":
      return family === "Wait" || family === "Callback" ? ["◷", "yellow"] : ["▸", "blue"]
    case "Succeeded":
      return ["✓", "green"]
    case "Failed":
    case "TimedOut":
      return ["✗", "red"]
    default:
      return ["–", "dim"]
  }
}

/** What an event adds to its name. */
const outcome = (event: History.Event): string =>
  event.WaitStartedDetails === undefined
    ? safe(History.outcome(event))
    : ` ${duration(event.WaitStartedDetails.Duration * 1000)}`

/** One event, without its time: `✓ step charge "charge-7"`. The execution is called by its function, if that is given. */
export const describe = (event: History.Event, paint: Paint, functionName?: string): string => {
  if (!History.isKnown(event)) {
    const name = event.Name === undefined ? "" : ` ${safe(event.Name)}`
    return `${paint("dim", `– ${safe(event.EventType)}`)}${name}${outcome(event)}`
  }
  const [, family = "", what = ""] = FAMILY.exec(event.EventType) ?? []
  const invocation = event.InvocationCompletedDetails
  if (invocation !== undefined) {
    const { EndTimestamp: to, Error: error, StartTimestamp: from } = invocation
    const took = from === undefined || to === undefined ? "" : ` after ${duration(to - from)}`
    const how =
      error === undefined ? paint("dim", `‖ invocation ended${took}`) : paint("red", `✗ invocation failed${took}`)
    return `${how}${paint("red", outcome(event))}`
  }
  const details = event.StepFailedDetails ?? event.StepSucceededDetails
  const [mark, color] = marks(family, what, details?.RetryDetails.NextAttemptDelaySeconds !== undefined)
  const word = WORDS.get(event.SubType ?? "") ?? WORDS.get(family) ?? family.toLowerCase()
  const called = family === "Execution" ? functionName : event.Name
  const name = called === undefined ? "" : ` ${safe(called)}`
  const ended = /TimedOut|Stopped|Cancelled/.test(what)
    ? paint(color, ` ${what.replace("TimedOut", "timed out").toLowerCase()}`)
    : ""
  return `${paint(color, mark)} ${paint("dim", word)}${name}${ended}${outcome(event)}`
}

/** One event as a line of a history: its number and time come first. */
export const line = (event: History.Event, paint: Paint): string => {
  const at = event.EventTimestamp === undefined ? "" : clock(event.EventTimestamp)
  return `${paint("dim", `${String(event.EventId).padStart(4)}  ${at}`)}  ${describe(event, paint)}`
}
