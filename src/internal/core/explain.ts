/**
 * What the core says when it must end an invocation: what happened, where, and how to fix it.
 */
import type * as Protocol from "../../Protocol.ts"
import { describeSpec, type Op, type Spec, type World } from "./world.ts"

const describeRecord = (record: Protocol.Operation) =>
  `${describeSpec({ type: record.Type, name: record.Name })} (${record.Id})`

/** Each once: what several fibers wait for need not be said twice. */
export const list = (all: ReadonlyArray<unknown>, most = 5) => {
  const items = [...new Set(all.map(String))]
  return items.length === 0
    ? "nothing"
    : items.slice(0, most).join(", ") + (items.length > most ? ` and ${items.length - most} more` : "")
}

const lastOf = (world: World) => `Last operations of ${world.title}: ${world.lastAsked().join(", ") || "none yet"}.`

export const CHANGED =
  "The code was changed under a running execution, or is not deterministic " +
  "(Date.now, Math.random, environment or memory outside of the workflow decide what it does)."

/** Another operation stands under the id that was asked for. */
export const mismatch = (op: Op, record: Protocol.Operation): string =>
  `Non-deterministic: expected ${describeRecord(record)}, got ${op}. ${CHANGED}`

/** The code that says what has changed. */
const says = (what: "added" | "retired", names: ReadonlyArray<string | undefined>) =>
  `\`yield* Durable.${what}(${[...new Set(names)]
    .slice(0, 9)
    .map((name) => JSON.stringify(name))
    .join(", ")})\``

/** What stays the same of names that are made of numbers, dates and ids. */
const skeleton = (name = "") => name.replace(/[\da-f-]*\d[\da-f-]*/gi, "#")

/** What most likely happened, by the first of the pairs, and what to do about it. `its name`: one of its own. */
const causeOf = ({ asked: [got], missing, taken, waiting, world }: Unvisited): string => {
  const record = missing[0]!
  const { Name: old, SubType, Type } = record
  const own = `Give it a name of its own, and write ${says("added", ["its name"])}`
  if (taken !== undefined) {
    return `a second ${describeSpec(taken.spec)} was inserted, and the first takes what is on record for it. ${own}`
  }
  if (got === undefined) {
    const gone = `${describeSpec({ type: Type, name: old })} was removed`
    const retired = says(
      "retired",
      missing.map(({ Name }) => Name)
    )
    return waiting === undefined
      ? `${gone}. Put it back, or write ${retired}`
      : `${gone}, or ${describeSpec(waiting.spec)} was moved ahead of it. Put it back, or write ${retired} (removed) or ` +
          `${says("added", [waiting.spec.name])} (moved)`
  }
  const { name, subType } = got.spec
  const retired = says("retired", [old])
  const added = says("added", [name])
  if (name === old) {
    return got.place === world.place
      ? `"${name}" was a ${SubType ?? Type}, and is a ${subType} now. ${own} and ${retired}`
      : `"${name}" was moved to another context (${got.place.title}), where it is another operation and runs again. ` +
          `Put it back, or write ${retired}`
  }
  if (skeleton(name) === skeleton(old)) {
    return (
      "the name is made of something that differs from run to run (Date.now, Math.random). Make it of the payload, results of " +
      "steps, DateTime.now or Random of Effect. If it was renamed, put the old one back, or write " +
      `${retired} and ${added}`
    )
  }
  return subType === SubType
    ? `"${old}" was renamed to "${name}", or "${name}" was inserted or moved ahead of it. Put it back, or write ` +
        `${added} (inserted), with ${retired} (renamed: it runs again)`
    : `${describeSpec(got.spec)} was inserted or moved ahead of it. Put it back, or write ${added}`
}

/** What is known when the body has come to new work, or to its end, without asking for what is recorded. */
interface Unvisited {
  /** Of which some is missing. */
  readonly world: World
  readonly missing: ReadonlyArray<Protocol.Operation>
  readonly asked: ReadonlyArray<Op>
  /** The second of its name, which may have taken the record of another. */
  readonly taken: Op | undefined
  /** What is on record, has not ended, and is waited for. */
  readonly waiting: Op | undefined
}

/** The body has come to new work, or to its end, without asking for what is recorded. */
export const unvisited = (all: Unvisited): string => {
  const { world } = all
  // those that were changed come first, beside what became of them
  const isOld = ({ spec }: Op) => all.missing.some(({ Name }) => Name === spec.name)
  const asked = first(all.asked, (op) => isOld(op), (op) => op.place.world === world) // prettier-ignore
  const missing = first(all.missing, ({ Name }) => Name === asked[0]?.spec.name)
  const place = asked[0]?.place.world === world ? asked[0].place : world.place
  return (
    `Non-deterministic: expected ${list(missing.map(describeRecord))}, got ${list(asked)}. ` +
    `An earlier invocation recorded the former, and the code does not ask for it again. ${CHANGED} ` +
    `Most likely ${causeOf({ ...all, missing, asked })} at the beginning of ${place.title}. ` +
    "Or finish running executions on the version they started with (publish versions, invoke through an alias). " +
    `${lastOf(world)}`
  )
}

/** The same, those that fit the most first. */
const first = <A>(items: ReadonlyArray<A>, ...fits: ReadonlyArray<(item: A) => boolean>): ReadonlyArray<A> =>
  fits.reduceRight<ReadonlyArray<A>>((all, fit) => [...all.filter(fit), ...all.filter((item) => !fit(item))], items)

/** Something new that was not declared is asked for beside something that was. */
export const waits = (op: Op): string =>
  `${op} waits until the code has asked for all that is on record: what was declared as added comes first. If that ` +
  `waits for it, write ${says("added", [op.spec.name])}, too.`

/** A finished context asks for an operation that its record does not hold. */
export const inFinishedContext = (op: Op): string =>
  `Non-deterministic: ${op.place.world.title} is finished and runs again only to rebuild its result, ` +
  `but it asks for ${op}, which is not recorded. ${CHANGED}`

/** What still runs of an interrupted context, its finalizers and what cannot be interrupted, wants to do durable work. */
export const inLostContext = (world: World, spec: Spec): string =>
  `${describeSpec(spec)} was reached in ${world.title}, in a finalizer or an uninterruptible part of it, after that context had been interrupted ` +
  "(it lost a race, timed out, or a sibling failed). What an interrupted context has seen is not recorded, so nothing " +
  "durable can follow in it but durable cleanup. Register it where it becomes necessary, for example " +
  `Durable.addFinalizer("${spec.name}", () => Durable.step("${spec.name}", ...)), or put it around the context: ` +
  `Durable.childContext("name", body).pipe(Effect.onInterrupt(() => Durable.step("${spec.name}", ...))).`

/** A context whose parent let go of it has not come to where that was. */
export const anotherEnd = (world: World): string =>
  `Non-deterministic: ${world.title} is recorded as let go of after ${world.endsAt} completions, and has come to ` +
  `${world.deliveries} now. ${CHANGED} ${lastOf(world)}`

/** A fiber of one context was moved by a delivery to another one. */
export const movedByAnotherWorld = (world: World, spec: Spec): string =>
  `${world.title} was moved to ${describeSpec(spec)} by something that happened in another context: they share memory ` +
  "(a Deferred, Queue, Ref, Semaphore or variable), and a finished context does not run again to repeat it. " +
  "Return values from contexts instead, or do the work in one context. " +
  `${lastOf(world)}`

/** Work that nobody records has moved the body while durable operations were in flight. */
export const untracked = (world: World, waiting: ReadonlyArray<Op>, last: Op | undefined): string =>
  "Asynchronous work outside of a step (a promise, a timer, fetch, an async Layer or finalizer) has moved the workflow while " +
  `durable operations were in flight: ${list(waiting)}. ` +
  `The fiber that moved asked last for ${orNone(last)}. ` +
  "Which of them comes first would be left to chance, so a replay could take another way. Move the work into Durable.step " +
  `(it may use promises, timers and services freely). ${lastOf(world)}`

const orNone = (op: Op | undefined) => op ?? "no operation"

const NEAR = "Lambda's deadline is near, and "
const askedLast = (asked: ReadonlyArray<Op | undefined>): string =>
  `Its fibers asked last for ${list(asked.map(orNone))}.`

/** Lambda's deadline is near, and the body is at work of its own, or waits for something that nobody records. */
export const outOfTime = (asked: ReadonlyArray<Op | undefined>): string =>
  `${NEAR}the service has nothing to go on with: the workflow computes, or waits for what is no ` +
  `durable operation (a promise, Effect.never, a deadlock). ${askedLast(asked)} Move such work into Durable.step.`

/** The service has kept a request until Lambda's deadline. */
export const unanswered = (asked: ReadonlyArray<Op | undefined>): string =>
  `${NEAR}the service has not answered the workflow's last checkpoint. ${askedLast(asked)}`

/** What is done outside of the body for these operations, and is no attempt of a step, has not ended. */
export const outsideTooSlow = (ops: ReadonlyArray<Op>): string =>
  `${NEAR}a codec, a Serdes layer or the schedule of a retry has not ended for ${list(ops)}.`
