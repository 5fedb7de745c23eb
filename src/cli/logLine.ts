/** Lines that functions have written, as people read them. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Paint, safe, safeOutput } from "./terminal.ts"

const LEVELS: Readonly<Record<string, Parameters<Paint>[0]>> = { WARN: "yellow", ERROR: "red", FATAL: "red" }

const readLog = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      level: Schema.String,
      message: Schema.Unknown,
      errorType: Schema.optionalKey(Schema.String),
      errorMessage: Schema.optionalKey(Schema.String),
      stackTrace: Schema.optionalKey(Schema.Array(Schema.String))
    }).pipe((known) => Schema.StructWithRest(known, [Schema.Record(Schema.String, Schema.Unknown)]))
  )
)

/** What a line says of where it was written: the timeline around it says so, too. */
const WHERE: ReadonlySet<string> = new Set(
  "timestamp executionArn requestId tenantId operationId operationName attempt parentId spans".split(" ")
)

/** A value as people write it. */
const shownValue = (value: unknown): string =>
  safe(typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined"))

/** Annotations of a log line, and fields of plugins. */
const annotationsOf = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .filter(([key]) => !WHERE.has(key))
    .map(
      ([key, value]) =>
        ` ${safe(key)}=${typeof value === "string" && /\s/.test(value) ? JSON.stringify(value) : shownValue(value)}`
    )
    .join("")

/** Lines of a stack that are shown: those in the user's own files. */
const MAX_FRAMES = 5
const isOwn = (line: string): boolean => /^\s+at /.test(line) && !/node_modules|node:|<anonymous>/.test(line)

/** What a function has written. Of a log line in JSON, as Lambda's format is, what people read. */
export const logLine = (text: string, paint: Paint): string =>
  Option.match(readLog(text), {
    onNone: () => safeOutput(text),
    onSome: ({ errorMessage, errorType, level, message, stackTrace = [], ...rest }) => {
      const error = errorMessage === undefined ? "" : `: ${safe(`${errorType ?? "Error"}: ${errorMessage}`)}`
      const frames = stackTrace.filter(isOwn).slice(0, MAX_FRAMES)
      return [
        paint(LEVELS[level] ?? "dim", `${safe(level)} `) +
          [message].flat().map(shownValue).join(" ") +
          error +
          paint("dim", annotationsOf(rest)),
        ...frames.map((frame) => paint("dim", `${" ".repeat(18)}${safe(frame.trim())}`))
      ].join("\n")
    }
  })
