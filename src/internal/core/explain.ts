/**
 * What the core says when it must end an invocation: what happened, where, and how to fix it.
 */
import type * as Protocol from "../../Protocol.ts"
import { describeSpec, type Op, type Spec, type World } from "./world.ts"

const describeRecord = (record: Protocol.Operation) => `${record.Type} "${record.Name ?? ""}" (${record.Id})`

export const list = (items: ReadonlyArray<string>, most = 5) =>
  items.length === 0
    ? "nothing"
    : items.slice(0, most).join(", ") + (items.length > most ? ` and ${items.length - most} more` : "")

const lastOf = (world: World) =>
  world.trail.length === 0 ? "none yet" : world.trail.map((op) => op.toString()).join(", ")

const CHANGED =
  "The code was changed under a running execution, or is not deterministic " +
  "(Date.now, Math.random, environment or memory outside of the workflow decide what it does)."

/** Another operation stands under the id that was asked for. */
export const mismatch = (op: Op, record: Protocol.Operation): string =>
  `Non-deterministic: expected ${describeRecord(record)}, got ${op}. ${CHANGED}`

/** The body has come to new work without asking for what is recorded. */
export const unvisited = (
  missing: ReadonlyArray<Protocol.Operation>,
  asked: ReadonlyArray<Op>,
  trail: ReadonlyArray<Op>
): string =>
  `Non-deterministic: expected ${list(missing.map(describeRecord))}, got ${list(asked.map(String))}. ` +
  `An earlier invocation recorded the former, and the code no longer asks for it. ${CHANGED} ` +
  `Last operations of the workflow: ${list(trail.map(String))}. ` +
  "Finish running executions on the version they started with (publish versions, invoke through an alias), " +
  'or set `unvisited: "ignore"` on the handler if the difference is harmless.'

/** A finished context asks for an operation that its record does not hold. */
export const inFinishedContext = (op: Op): string =>
  `Non-deterministic: ${op.place.world.title} is finished and runs again only to rebuild its result, ` +
  `but it asks for ${op}, which is not recorded. ${CHANGED}`

/** What still runs of an interrupted context, its finalizers and what cannot be interrupted, wants to do durable work. */
export const inLostContext = (world: World, spec: Spec): string =>
  `${describeSpec(spec)} was reached in ${world.title}, in a finalizer or an uninterruptible part of it, after that context had been interrupted ` +
  "(it lost a race, timed out, or a sibling failed). What an interrupted context has seen is not recorded, so nothing " +
  "durable can follow in it. Put the cleanup around the context, for example " +
  `Durable.childContext("name", body).pipe(Effect.onInterrupt(() => Durable.step("${spec.name}", ...))).`

/** A fiber of one context was moved by a delivery to another one. */
export const movedByAnotherWorld = (world: World, spec: Spec): string =>
  `${world.title} was moved to ${describeSpec(spec)} by something that happened in another context: they share memory ` +
  "(a Deferred, Queue, Ref, Semaphore or variable), and a finished context does not run again to repeat it. " +
  "Return values from contexts instead, or do the work in one context. " +
  `Last operations of ${world.title}: ${lastOf(world)}.`

/** Work that nobody records has moved the body while durable operations were in flight. */
export const untracked = (world: World, waiting: ReadonlyArray<Op>, last: Op | undefined): string =>
  "Asynchronous work outside of a step (a promise, a timer, fetch, an async Layer or finalizer) has moved the workflow while " +
  `durable operations were in flight: ${list([...new Set(waiting.map(String))])}. ` +
  `The fiber that moved asked last for ${last === undefined ? "no operation" : last}. ` +
  "Which of them comes first would be left to chance, so a replay could take another way. Move the work into Durable.step " +
  `(it may use promises, timers and services freely). Last operations of ${world.title}: ${lastOf(world)}.`

/** Lambda's deadline is near, and the body is at work of its own, or waits for something that nobody records. */
export const outOfTime = (asked: ReadonlyArray<Op | undefined>): string =>
  "Lambda's deadline is near, and the service has nothing to go on with: the workflow computes, or waits for what is no " +
  "durable operation (a promise, Effect.never, a deadlock). " +
  `Its fibers asked last for ${list(asked.map((op) => (op === undefined ? "no operation" : String(op))))}. ` +
  "Move such work into Durable.step."
