/** What a body says of how its code has changed while executions ran. */
import * as Effect from "effect/Effect"
import type { DurableContext } from "../DurableContext.ts"
import { type Here, invalid, nameFault, withHere } from "../internal/core/operation.ts"
import { type Changes, describeSpec, type Place } from "../internal/core/world.ts"

interface Declared extends Changes {
  readonly added: Set<string>
  readonly retired: Set<string>
}

const declaredIn = (place: Place): Declared => {
  const known = place.changes as Declared | undefined // nothing else makes one
  if (known !== undefined) return known
  const added = new Set<string>()
  const retired = new Set<string>()
  const { title } = place
  const made: Declared = {
    added,
    retired,
    fault: (spec) => {
      const { name } = spec
      if (retired.has(name)) {
        return (
          `the body says Durable.retired("${name}"), and asks for it. A retired name is not used any more in ${title}: ` +
          "what is on record for it could be taken for something else. Give the operation a name of its own and " +
          "declare that with Durable.added, or remove the declaration."
        )
      }
      if (added.has(name) && place.asked(spec) > 0) {
        return (
          `the body says Durable.added("${name}"), and asks for a second ${describeSpec(spec)} in ${title}. An added name ` +
          "is used once: a second one could be given what the code of before has recorded for the first. Put something " +
          `into the name that tells them apart (\`${name} \${id}\`) and declare each of them, or put what was added ` +
          "into one child context and declare that."
        )
      }
      return undefined
    }
  }
  place.changes = made
  return made
}

const declare = (
  what: "added" | "retired",
  names: ReadonlyArray<string>,
  also: (here: Here, name: string) => void
): Effect.Effect<void, never, DurableContext> =>
  withHere(what, names[0] ?? "", (here) => {
    const { core, place } = here
    const declared = declaredIn(place)
    for (const name of names) {
      const fault = nameFault(name)
      if (fault !== undefined) return invalid(core, `Durable.${what}: the name ${fault}`)
      declared[what].add(name)
      if (declared.added.has(name) && declared.retired.has(name)) {
        return invalid(
          core,
          `Durable.added("${name}") and Durable.retired("${name}") contradict each other in ${place.title}. ` +
            "What came in place of a retired operation needs a name of its own: declare that as added."
        )
      }
      also(here, name)
    }
    place.world.changed = true
    return Effect.void
  })

/**
 * Says that operations came into the code of this context while executions ran: where one of them is asked for, it
 * runs, although operations that are already on record follow. Without this, that is `NonDeterministic`.
 *
 * **Details**
 *
 * It holds for the context in which it stands (the body, a child context, a branch or item; a virtual context is one
 * of its own), from there on, and for operations of all kinds with these names. Say it at the beginning. What an added
 * child context (a virtual one, too) or batch contains need not be declared: all of it is new.
 *
 * - An execution that has not come to that place: nothing is different. One that has gone past it: the operation runs
 *   when the replay comes to it, and its outcome is on record from then on.
 * - Until what is on record has been asked for, only what was added begins. What else is new in this context waits, and a
 *   warning says so: it could be another change, which would be `NonDeterministic`.
 * - If it ends its context, by a failure or by what it gives, what is on record behind it is left.
 * - A name must be new in its context, and is used once there: a second use is `InvalidOperation`, in every execution, so
 *   that the first test finds it.
 * - A finished context whose value is rebuilt from its records cannot be given anything new: that stays
 *   `NonDeterministic`.
 *
 * It records nothing, is not billed, and may stay for ever. It can be removed when no execution runs any more that had
 * begun without the operation.
 *
 * **Example** (A check that came later)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * const body = Effect.gen(function*() {
 *   yield* Durable.added("check fraud")
 *   yield* Durable.step("charge", Effect.void)
 *   yield* Durable.step("check fraud", Effect.void) // not there when the executions that now wait for "cooling-off" began
 *   yield* Durable.wait("cooling-off", "14 days")
 * })
 * ```
 */
export const added = (name: string, ...more: ReadonlyArray<string>): Effect.Effect<void, never, DurableContext> =>
  declare("added", [name, ...more], () => {})

/**
 * Says that operations have gone from the code of this context while executions ran: what is on record under these
 * names need not be asked for. Without this, that is `NonDeterministic`.
 *
 * **Details**
 *
 * It holds for the context in which it stands, and for all that it has recorded under these names, of whatever kind and
 * however often. Say it at the beginning: what has gone is missed as soon as the body waits.
 *
 * - What had ended stays on record, and nobody reads it. What is pending stays pending: a wait or a retry causes one
 *   more invocation, an attempt of a step is not begun again, an answer to a callback and the result of an invoked
 *   function are not looked at, a child context is not entered. None of it holds up the end of the execution.
 * - The name is not used any more in this context: an operation that has it is `InvalidOperation`, in every execution.
 * - An operation that became another kind, or was renamed, is both: the old name has retired, and the new one was added.
 *
 * It records nothing, is not billed, and may stay for ever. It can be removed when no execution runs any more that has
 * recorded the operation.
 *
 * **Example** (No survey any more)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * const body = Effect.gen(function*() {
 *   yield* Durable.retired("survey", "wait for survey")
 *   yield* Durable.step("charge", Effect.void)
 *   yield* Durable.wait("cooling-off", "14 days")
 * })
 * ```
 */
export const retired = (name: string, ...more: ReadonlyArray<string>): Effect.Effect<void, never, DurableContext> =>
  declare("retired", [name, ...more], ({ core, place }, name) => core.retire(place.world, name))
