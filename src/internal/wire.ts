/**
 * Facts of the wire that need no schema: limits, statuses, timestamps. Apart from the schemas so that a
 * bundled handler does not carry those. Users find them in `Protocol`.
 */
/** What kinds of operations there are. */
export const OPERATION_TYPES = ["EXECUTION", "CONTEXT", "STEP", "WAIT", "CALLBACK", "CHAINED_INVOKE"] as const

/** Where an operation can stand. */
export const OPERATION_STATUSES = [
  "STARTED",
  "PENDING",
  "READY",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "TIMED_OUT",
  "STOPPED"
] as const

/** Whether an operation in this status never changes again. All five terminal statuses are final everywhere. */
export const isTerminal = (status: (typeof OPERATION_STATUSES)[number]): boolean =>
  status !== "STARTED" && status !== "PENDING" && status !== "READY"

// ---- limits --------------------------------------------------------------------------------------

/**
 * Limits of the service and of AWS's SDKs, all in one place because AWS moves them.
 * Bytes are UTF-8 bytes. Sources: AWS's quotas page, botocore's service model, AWS's SDKs.
 */
export const Limits = {
  /** Operations per execution (quota, hard). */
  operations: 3_000,
  /** Bytes written per execution (quota, hard). */
  storageBytes: 100 * 1024 * 1024,
  /** Updates in one checkpoint (AWS's SDKs; the service publishes no number). */
  batchUpdates: 250,
  /** Bytes of one checkpoint (AWS's SDKs). */
  batchBytes: 750 * 1024,
  /** Results of contexts up to this size are recorded; larger ones are replayed from their children. */
  inlineResultBytes: 256 * 1024,
  /** Largest payload of one operation that the service's model allows. */
  payloadBytes: 1024 * 1024,
  /** Largest error object that every known service version accepts. */
  errorBytes: 32 * 1024,
  /** Largest answer of a function; larger results are recorded by a checkpoint. */
  responseBytes: 6 * 1024 * 1024 - 50,
  /** What the rest of that answer may have. */
  envelopeBytes: 50,
  /** Longest wait, retry delay and execution: 366 days, in seconds. */
  durationSeconds: 31_622_400,
  /** Characters of an operation's name, printable ASCII. */
  nameLength: 256,
  /** Characters of an operation id, `[a-zA-Z0-9-_]`. */
  idLength: 64,
  /** Characters of a subtype, `[a-zA-Z0-9-_]`. */
  subTypeLength: 32,
  /** Operations asked for per page of state. */
  pageItems: 1_000
} as const

// ---- texts -----------------------------------------------------------------------------------------

/** Bytes of a value as JSON. */
export const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

/** The beginning of a text, for messages. */
export const clip = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text)

// ---- timestamps ---------------------------------------------------------------------------------

/** Numbers from here on are milliseconds, below it seconds (1e11 s is the year 5138, 1e11 ms is 1973). */
const MILLISECONDS_FROM = 1e11

/** Fractions of a second, where a text has more digits than JavaScript's dates keep. */
const FRACTION = /\.(\d{4,})/

const parseText = (text: string): number => {
  const iso = text.includes("T") ? text : text.replace(" ", "T")
  const digits = FRACTION.exec(iso)?.[1]
  if (digits === undefined) return Date.parse(iso)
  return Date.parse(iso.replace(FRACTION, "")) + Number(`0.${digits}`) * 1000
}

/**
 * Reads a timestamp in any format seen on this wire: epoch milliseconds (Lambda events), epoch seconds
 * with or without a fraction (API responses), an ISO-8601 or space-separated string, or a `Date`
 * (`@aws-sdk/client-lambda`). Gives epoch milliseconds, with the fraction where there is one (the order of
 * completions may depend on it), or `undefined` for what is none of these.
 *
 * **Example** (Formats)
 *
 * ```ts import.meta.vitest
 * import { Protocol } from "effect-durable-lambda"
 *
 * Protocol.parseTimestamp(1767356934930) // => 1767356934930
 * Protocol.parseTimestamp(1767356934.93) // => 1767356934930
 * Protocol.parseTimestamp("2025-12-18 10:53:45.863776+00:00") // => 1766055225863.776
 * Protocol.parseTimestamp("soon") // => undefined
 * ```
 */
export const parseTimestamp = (input: unknown): number | undefined => {
  const millis =
    typeof input === "number"
      ? // seconds times 1,000 is rounded to the microsecond, where floating point ends
        Math.abs(input) >= MILLISECONDS_FROM
        ? input
        : Math.round(input * 1e6) / 1e3
      : input instanceof Date
        ? input.getTime()
        : typeof input === "string"
          ? parseText(input)
          : NaN
  return Number.isFinite(millis) ? millis : undefined
}
