/**
 * What an invocation waits for before and after its body. Lambda would kill it at its deadline with no more than
 * `Task timed out`, and the sandbox with it; a message says what does not come, and Lambda invokes again all the same.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { OutOfTime } from "../DurableError.ts"

/** Milliseconds until Lambda's, and how long before it an invocation has to end. */
export interface Deadline {
  readonly left: number
  readonly margin: number
}

/** What to do about a codec that does not end. */
export const GIVE_UP = "What its codec waits for does not come: give that a timeout of its own."

/** What to do about a service that does not answer. */
export const UNANSWERED =
  "What is not on record is done again by the next invocation; if this is no passing fault, raise the function's timeout."

/**
 * Fails near the deadline, if there is one: as late as the core gives up on what was still to be recorded. `what` is said
 * before, `toDo` after "near Lambda's deadline".
 */
export const inTime = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  deadline: Deadline | undefined,
  what: string,
  toDo: string
): Effect.Effect<A, E | OutOfTime, R> =>
  deadline === undefined || Exit.isExit(effect)
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: deadline.left - deadline.margin / 2,
        orElse: () => Effect.fail(new OutOfTime({ message: `${what} near Lambda's deadline. ${toDo}` }))
      })
