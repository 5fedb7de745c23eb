/**
 * REST-JSON as Lambda speaks it: bodies, timestamps, errors, and the members of requests.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as validate from "../engine/validate.ts"
import * as Protocol from "../Protocol.ts"
import type { Reply, Request } from "./Route.ts"

// ---- answers -------------------------------------------------------------------------------------

const TIMESTAMPS: ReadonlySet<string> = new Set([
  "StartTimestamp",
  "EndTimestamp",
  "EventTimestamp",
  "NextAttemptTimestamp",
  "ScheduledEndTimestamp",
  "StopTimestamp"
])

/** Timestamps are epoch seconds, with all the digits that they have. */
const encode = (value: unknown): string =>
  JSON.stringify(value, (key, item: unknown) => (typeof item === "number" && TIMESTAMPS.has(key) ? item / 1000 : item))

/** An answer with a JSON body. */
export const json = (body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: encode(body)
})

/** A refusal as AWS's clients read it: its name in the header and in the body. */
export const refusal = ({ errorName, reason, status }: validate.Rejection): Reply =>
  json({ __type: errorName, message: reason, Message: reason, Type: status < 500 ? "User" : "Service" }, status, {
    "x-amzn-errortype": errorName
  })

// ---- bodies --------------------------------------------------------------------------------------

/** A body, or a member, of the wrong form. */
export const malformed = (reason: string): validate.Rejection =>
  new validate.Rejection({ errorName: "SerializationException", status: 400, reason })

/** The body as text; no text when it is empty. */
export const text = (request: Request): Effect.Effect<string | undefined, validate.Rejection> =>
  Effect.flatMap(request.body, (bytes) =>
    Effect.fromResult(
      Result.try({
        try: () => (bytes.length === 0 ? undefined : new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
        catch: () => malformed("The body is not UTF-8.")
      })
    )
  )

/** Reads JSON. */
export const parse = (body: string): Effect.Effect<unknown, validate.Rejection> =>
  Effect.fromResult(
    Result.try({
      try: () => JSON.parse(body) as unknown,
      catch: (cause) => malformed(`The body is not JSON: ${String(cause)}`)
    })
  )

/** The body as a schema reads it; an empty one is `{}`. */
export const body = <S extends Schema.Codec<unknown, unknown>>(
  schema: S
): ((request: Request) => Effect.Effect<S["Type"], validate.Rejection>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (request) =>
    Effect.flatMap(
      Effect.flatMap(text(request), (read) => parse(read ?? "{}")),
      (input) => Effect.mapError(decode(input), (error) => malformed(error.message))
    )
}

// ---- members -------------------------------------------------------------------------------------

/** Fails with the first thing that is wrong. */
export const refuse = (
  ...found: ReadonlyArray<validate.Rejection | undefined>
): Effect.Effect<void, validate.Rejection> => {
  const first = found.find((rejection) => rejection !== undefined)
  return first === undefined ? Effect.void : Effect.fail(first)
}

/** A member that the model requires. */
export const required = (value: string | undefined, path: string): Effect.Effect<string, validate.Rejection> =>
  value === undefined
    ? Effect.fail(validate.violation([validate.at("null", path, "Member must not be null")])!) // one reason
    : Effect.succeed(value)

/** A member of the query that may occur once. */
export const one = (request: Request, name: string): string | undefined => request.query.get(name)?.at(-1)

/** A whole number in the query. */
export const number = (
  request: Request,
  name: string,
  otherwise: number
): Effect.Effect<number, validate.Rejection> => {
  const value = one(request, name)
  if (value === undefined) return Effect.succeed(otherwise)
  return /^-?\d{1,15}$/.test(value)
    ? Effect.succeed(Number(value))
    : Effect.fail(malformed(`'${value}' at '${name}' is not a whole number.`))
}

/** A truth value in the query. */
export const flag = (
  request: Request,
  name: string,
  otherwise: boolean
): Effect.Effect<boolean, validate.Rejection> => {
  const value = one(request, name)
  if (value === undefined) return Effect.succeed(otherwise)
  return value === "true" || value === "false"
    ? Effect.succeed(value === "true")
    : Effect.fail(malformed(`'${value}' at '${name}' is neither true nor false.`))
}

/** An instant in the query: epoch milliseconds. */
export const instant = (request: Request, name: string): Effect.Effect<number | undefined, validate.Rejection> => {
  const value = one(request, name)
  if (value === undefined) return Effect.succeed(undefined)
  const millis = Protocol.parseTimestamp(/^\d+(\.\d+)?$/.test(value) ? Number(value) : value)
  return millis === undefined
    ? Effect.fail(malformed(`'${value}' at '${name}' is not a date and time.`))
    : Effect.succeed(millis)
}
