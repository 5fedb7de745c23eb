/**
 * What is wrong with options that no compiler has seen: plain JavaScript gives anything, and a cast promises anything.
 * Found before anything is recorded.
 */
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { NO_SCHEMA } from "../Serdes.ts"
import { textOf } from "./failure.ts"

const SCHEMAS: ReadonlySet<string> = /*#__PURE__*/ new Set(["payload", "success", "error", "state", "result"])
const POLICIES: ReadonlySet<string> = /*#__PURE__*/ new Set(["retry", "schedule"])

const isAbsentOr = (type: "number" | "function", value: unknown) => value === undefined || typeof value === type

/** Whether it is a schedule, a builder of one, or the options of `Effect.retry`. */
const isPolicy = (given: unknown): boolean => {
  if (typeof given === "function" || Schedule.isSchedule(given)) return true
  if (typeof given !== "object" || given === null || Array.isArray(given)) return false
  const { schedule, times, until, while: test } = given as Readonly<Record<string, unknown>>
  const keys = Object.keys(given)
  return (
    (keys.length === 0 || [schedule, times, until, test].some((option) => option !== undefined)) &&
    isAbsentOr("number", times) &&
    isAbsentOr("function", test) &&
    isAbsentOr("function", until) &&
    (schedule === undefined || Schedule.isSchedule(schedule))
  )
}

/** What is wrong, in words that follow the call and its name; `undefined`: nothing. */
export const faultOf = (options: object): string | undefined => {
  for (const key in options) {
    const given: unknown = options[key as keyof typeof options]
    if (given === undefined) continue
    if (SCHEMAS.has(key) && !Schema.isSchema(given)) return `its \`${key}\` ${NO_SCHEMA}`
    if (POLICIES.has(key) && given !== null && !isPolicy(given)) {
      return (
        `its \`${key}\` is ${typeof given === "object" ? "an object of other fields" : textOf(given)}. Give it a Schedule, ` +
        "or an object with some of `times` (a number), `while` and `until` (functions) and `schedule` (a Schedule)."
      )
    }
  }
  return undefined
}

/** A `summary` whose value is text, or nothing. Another one is refused where the summary is made. */
export const textual = <A>(summary: ((value: A) => string) | undefined): ((value: A) => string) | undefined =>
  summary === undefined
    ? undefined
    : (value) => {
        const text: unknown = summary(value)
        if (text !== undefined && typeof text !== "string") {
          throw new TypeError(`it must give a string, not ${Object.prototype.toString.call(text).slice(8, -1)}`)
        }
        return text as string
      }
