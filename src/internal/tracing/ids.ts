/**
 * Ids of traces and spans. They are hashes of what a span stands for, so that every invocation of an execution, in
 * whatever sandbox, gives the same thing the same id. And the trace header of X-Ray, where there is one.
 */
import * as Hex from "effect/encoding/Hex"
import type * as Tracer from "effect/Tracer"
import { hexId } from "../operationId.ts"

/** The ids of a span, in hexadecimal digits: 32 and 16. */
export interface Ids {
  readonly traceId: string
  readonly spanId: string
}

/** The trace of an execution. It begins with its start in epoch seconds, which X-Ray asks for. */
export const traceIdOf = (arn: string, startMillis: number): string =>
  (Math.trunc(startMillis / 1000) >>> 0).toString(16).padStart(8, "0") + hexId(`trace:${arn}`, 24)

/** The span of what `path` names within an execution. */
export const spanIdOf = (arn: string, ...path: ReadonlyArray<string | number>): string =>
  hexId(JSON.stringify([arn, ...path]), 16)

// ---- X-Ray -----------------------------------------------------------------------------------------------

/** What X-Ray's trace header says. */
export interface TraceHeader {
  readonly traceId: string
  readonly parentId: string | undefined
  readonly sampled: boolean | undefined
}

/** Reads a header as `Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=1`. */
export const readTraceHeader = (header: string | undefined): TraceHeader | undefined => {
  const fields = new Map(
    (header ?? "").split(";").map((field) => {
      const at = field.indexOf("=")
      return [field.slice(0, at).trim(), field.slice(at + 1).trim()] as const
    })
  )
  const [, seconds, unique] = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/i.exec(fields.get("Root") ?? "") ?? []
  if (seconds === undefined || unique === undefined) return undefined
  const parent = fields.get("Parent")?.toLowerCase()
  const sampled = fields.get("Sampled")
  return {
    traceId: `${seconds}${unique}`.toLowerCase(),
    parentId: parent !== undefined && /^[0-9a-f]{16}$/.test(parent) ? parent : undefined,
    sampled: sampled === "1" ? true : sampled === "0" ? false : undefined
  }
}

// ---- spans with ids of our choice ----------------------------------------------------------------------------

/** The ids of the span that is being made. Making a span takes no turn, so there is at most one. */
let wanted: Ids | undefined

/** Gives the span that is being made its ids, and every other span random ones: an OpenTelemetry `IdGenerator`. */
export const idGenerator = {
  generateTraceId: (): string => wanted?.traceId ?? Hex.random(32),
  generateSpanId: (): string => wanted?.spanId ?? Hex.random(16)
}

/** Whether ids of this span are made when they are first read: Effect's own spans. */
const isLazy = (span: Tracer.Span): boolean =>
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(span), "spanId")?.get !== undefined

/** Makes a span with these ids, if the tracer lets us: Effect's do, OpenTelemetry's where it has our `idGenerator`. */
export const pinned = (tracer: Tracer.Tracer, options: Parameters<Tracer.Tracer["span"]>[0], ids: Ids): Tracer.Span => {
  wanted = ids
  // try: whatever a foreign tracer does, the ids must not be given to another span
  try {
    const span = tracer.span(options)
    if (isLazy(span)) {
      Object.defineProperties(span, { traceId: { value: ids.traceId }, spanId: { value: ids.spanId } })
    }
    return span
  } finally {
    wanted = undefined
  }
}
