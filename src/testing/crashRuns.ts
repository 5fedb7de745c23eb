/** What a run of `crashEverywhere` was, in what it differs from another, and why. */
import * as util from "node:util"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import type { End } from "./Driver.ts"
import { show } from "./execution.ts"
import * as probes from "./probes.ts"

/** What one run was. */
export interface Ran {
  readonly end: Pick<End, "Status" | "Result" | "Error"> | string
  readonly events: ReadonlyArray<History.Event>
  readonly operations: ReadonlyArray<Protocol.Operation>
  /** The runs of steps, in order, by the step's name and attempt. */
  readonly runs: ReadonlyArray<{ readonly key: string; readonly name: string }>
  readonly calls: number
  readonly invocations: number
  readonly impure: ReadonlyArray<probes.ImpureCall>
  /** Steps that ran although their outcome was on record. */
  readonly again: ReadonlyArray<string>
  readonly world: unknown
  /** It was made to crash. */
  readonly crashed: boolean
  /** A step that runs at most once was cut off: what it gives then is what it gives only after a crash. */
  readonly cutOff: boolean
  /** Its time was over, in real time, before it had come to rest. */
  readonly tooSlow: boolean
}

// ---- comparing ---------------------------------------------------------------------------------------------

/** What the end is, whatever the stack of an error. */
const outcome = (end: Ran["end"]): unknown => {
  if (typeof end === "string") return end
  const { StackTrace: _, ...error } = end.Error ?? {}
  return { Status: end.Status, Result: end.Result, Error: error }
}

const showEnd = (end: Ran["end"]): string =>
  typeof end === "string"
    ? end
    : end.Status === "SUCCEEDED"
      ? `result ${end.Result ?? "(nothing)"}`
      : `${end.Status} ${end.Error?.ErrorType ?? ""}: ${end.Error?.ErrorMessage ?? ""}`

/** Whether each step ran as often as in the other run: then the outside must be the same, too. */
const ranAlike = (left: Ran, right: Ran): boolean =>
  util.isDeepStrictEqual(left.runs.map(({ key }) => key).sort(), right.runs.map(({ key }) => key).sort())

export const compare = (expected: Ran, got: Ran): ReadonlyArray<string> => {
  const found: Array<string> = []
  const mayDiffer = got.cutOff && typeof got.end !== "string"
  if (!mayDiffer && !util.isDeepStrictEqual(outcome(expected.end), outcome(got.end))) {
    found.push(`expected ${showEnd(expected.end)}, got ${showEnd(got.end)}`)
  }
  for (const name of got.again) found.push(`step "${name}" ran again although its outcome was on record`)
  if (ranAlike(expected, got) && !util.isDeepStrictEqual(expected.world, got.world)) {
    found.push(`outside: expected ${show(expected.world)}, got ${show(got.world)}`)
  }
  return found
}

// ---- why ---------------------------------------------------------------------------------------------------

export const sites = (calls: ReadonlyArray<probes.ImpureCall>): string => {
  const texts = new Set(calls.map(({ at, what }) => (at === undefined ? what : `${what} (${at})`)))
  const [first] = calls
  return `the body calls ${[...texts].join(", ")}. ${first === undefined ? "" : probes.advice[first.what]}.`
}

/** Steps and contexts that were on record when it crashed, or suspended: what they did to memory was not repeated. */
const recordedBefore = (ran: Ran): ReadonlyArray<string> => {
  const until = ran.events.findIndex(
    ({ EventType, InvocationCompletedDetails: details }) =>
      EventType === "InvocationCompleted" && (!ran.crashed || details?.Error !== undefined)
  )
  const names = ran.events
    .slice(0, until < 0 ? undefined : until)
    .filter(({ EventType }) => EventType === "StepSucceeded" || EventType === "ContextSucceeded")
    .map(({ EventType, Name }) => `${EventType === "StepSucceeded" ? "step" : "child context"} "${Name ?? ""}"`)
  return [...new Set(names)].slice(-5)
}

export const isAtWork = ({ operations }: Ran) =>
  operations.some(({ Status, Type }) => Type === "STEP" && Status === "STARTED")

export const SLOW =
  "a step takes its time, which is real where it waits for more than a sleep of its own fiber. Give the steps services that " +
  "answer at once (`layer`), or more time to each run (`timeout`)."

/** What ends an execution because its program is wrong: that it does so every time is no success. */
export const FAULTS: ReadonlySet<string> = new Set([
  "NonDeterministic",
  "InvalidOperation",
  "InvalidPayload",
  "SerdesFailed",
  "PayloadTooLarge",
  "OperationLimitExceeded"
])

export const why = (expected: Ran, got: Ran, allowed: ReadonlySet<string>): string => {
  const impure = [...expected.impure, ...got.impure].filter(({ what }) => !allowed.has(what))
  if (impure.length > 0) return sites(impure)
  if (typeof got.end === "string") {
    if (got.tooSlow && isAtWork(got)) return SLOW
    return (
      "it waits for something that an earlier invocation did, in memory or in the outside, and that is not done again. " +
      "Let only durable operations decide how the body goes on."
    )
  }
  const type = got.end.Error?.ErrorType
  if (type === "NonDeterministic" && typeof expected.end !== "string" && expected.end.Error?.ErrorType !== type) {
    return (
      "what the body does next depends on something that is not recorded: memory that a step or a child context has " +
      `written (on record by then: ${recordedBefore(got).join(", ") || "nothing"}), the environment, or the outside.`
    )
  }
  if (
    type === "UntrackedAsync" ||
    (typeof expected.end !== "string" && expected.end.Error?.ErrorType === "UntrackedAsync")
  ) {
    return "the body waits for something asynchronous outside of a step: a side effect outside a step is done again in every invocation. Move it into Durable.step."
  }
  if (util.isDeepStrictEqual(outcome(expected.end), outcome(got.end))) {
    return got.again.length > 0
      ? "this is a bug of effect-durable-lambda, please report it."
      : "a side effect outside a step: no step ran more often than before, but more was done. The body runs again in every invocation; move the effect into Durable.step."
  }
  const suspects = recordedBefore(got)
  return (
    "a variable, Ref or other memory that is written inside a step or a child context and read outside of it. What is on " +
    `record does not run again, so its writes are missing (on record by then: ${suspects.join(", ") || "nothing"}). ` +
    "Return the value instead, and use what the step or context gives. Or something that the body reads outside of steps: a " +
    "promise, the environment."
  )
}
