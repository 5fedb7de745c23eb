/**
 * The functions that an engine can run, and what waits until they are there: after a restart an execution may
 * be known before its function is.
 */
import type { Registered } from "./functions.ts"

/** Makes a registry. */
export const make = () => {
  const known = new Map<string, Registered>()
  const waiting = new Map<string, Array<() => void>>()
  return {
    /** By name. */
    known: known as ReadonlyMap<string, Registered>,
    /** Makes a function known, in place of one of the same name, and does what has waited for it. */
    register: (registered: Registered): void => {
      known.set(registered.name, registered)
      const actions = waiting.get(registered.name) ?? []
      waiting.delete(registered.name)
      for (const action of actions) action()
    },
    /** Does something as soon as a function is known: now, if it is. */
    when: (name: string, action: () => void): void => {
      if (known.has(name)) return action()
      const actions = waiting.get(name)
      if (actions === undefined) waiting.set(name, [action])
      else actions.push(action)
    }
  }
}
