/**
 * How the test kit looks into an invocation: as an observer, which sees every attempt before it runs, and, unlike a
 * plugin, may put another effect in its place.
 */
import type { DurablePlugin } from "../DurablePlugin.ts"
import type { Invocation, Observed, Observer } from "../internal/observer.ts"

/** An attempt that is about to run. An interrupted one does not: an earlier invocation began it. */
export interface Attempt {
  readonly invocation: Invocation
  readonly op: Observed
  readonly number: number
  readonly interrupted: boolean
}

type Run = Parameters<Observer["attempt"]>[2]

/** Gives what runs in place of an attempt's effect. */
export type Watch = (attempt: Attempt, effect: Run["effect"]) => Run["effect"]

const TypeId = "~effect-durable-lambda/DurablePlugin"

/** The kit's observer: to be the first of the plugins, so that it is around all others. */
export const instrument = (watch: Watch): DurablePlugin => ({
  hooks: { name: "test kit" },
  [TypeId]: (plugins, invocation, checkpoints, run) => {
    const others = plugins.slice(1) as ReadonlyArray<unknown> as ReadonlyArray<DurablePlugin> // all are, as this one is
    const watched: typeof run = (checkpoints, observer) =>
      run(checkpoints, {
        ...observer,
        attempt: (op, { interrupted, number }, one) =>
          watching(watch, { invocation, op, number, interrupted }, observer.attempt(op, { interrupted, number }, one))
      })
    return others[0] === undefined
      ? watched(checkpoints, silent)
      : others[0][TypeId](others, invocation, checkpoints, watched)
  }
})

/** The same attempt with another effect. (A copy would have no methods.) */
const watching = <R extends Run>(watch: Watch, attempt: Attempt, run: R): R =>
  Object.create(run, { effect: { value: watch(attempt, run.effect) } }) as R

/** An observer of nothing. */
const silent: Observer = {
  attempt: (_op, _attempt, run) => run,
  begin: () => {},
  context: (_op, _replaying, body) => body,
  logFields: () => ({}),
  asked: () => {},
  virtual: (_op, body) => body
}
