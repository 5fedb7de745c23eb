/**
 * Where in the user's code a failure was made. No record has a stack, and what is read from one would show where this
 * package has read it; the kit has seen the original.
 */
import type * as Cause from "effect/Cause"
import { explained, typeOf } from "../internal/failure.ts"

/** Of one execution; later ones are found first. */
const KEPT = 100

export interface Traces {
  /** An attempt, or the body, has ended like this. */
  readonly note: (arn: string, cause: Cause.Cause<unknown>) => void
  /** Gives the failures of a cause that was read from records the stacks of those they stand for. */
  readonly restore: (arn: string, cause: Cause.Cause<unknown>) => void
}

const valueOf = (reason: Cause.Reason<unknown>): unknown =>
  reason._tag === "Die" ? reason.defect : reason._tag === "Fail" ? reason.error : undefined

/** What stays of a failure on record: a wrapper has the type and the message of what it wraps. */
const keyOf = (error: Error): string => {
  const { type } = error as { readonly type?: unknown }
  return `${typeof type === "string" ? type : typeOf(error)}: ${explained(error)}`
}

/** The lines of a stack below the message. */
const framesOf = (error: Error): string => {
  const lines = (error.stack ?? "").split("\n")
  const first = lines.findIndex((line) => /^\s+at /.test(line))
  return first === -1 ? "" : lines.slice(first).join("\n")
}

export const make = (): Traces => {
  const seen = new Map<string, Array<Error>>()
  return {
    note: (arn, cause) => {
      const errors = seen.get(arn) ?? []
      seen.set(arn, errors)
      for (const error of cause.reasons.map(valueOf)) {
        // one that the body was given has no other place than that of its original
        if (
          error instanceof Error &&
          framesOf(error) !== "" &&
          !errors.some((known) => keyOf(known) === keyOf(error))
        ) {
          errors.push(error)
        }
      }
      if (errors.length > KEPT) errors.shift()
    },
    restore: (arn, cause) => {
      for (const error of cause.reasons.map(valueOf)) {
        if (!(error instanceof Error)) continue
        const original = seen.get(arn)?.findLast((known) => keyOf(known) === keyOf(error))
        if (original !== undefined) error.stack = `${String(error)}\n${framesOf(original)}`
      }
    }
  }
}
