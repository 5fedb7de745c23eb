/**
 * Which completion a world is given next, when it could be given several.
 *
 * - `timestamps` trusts the service: one monotonic clock, and every completion visible from its instant on.
 *   Nothing extra is written.
 * - `markers` (default) trusts only that our own successive requests get increasing timestamps. Where an
 *   outside completion is delivered while other operations of the same world are parked, its place is
 *   written down, in a small step that travels at the head of the next request.
 * - `log` trusts nothing but atomic requests: every delivery with a choice is written down.
 */
import { NonDeterministic } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { operationId } from "../operationId.ts"
import { CHANGED } from "./explain.ts"
import { isFrozen, type Op, type Recorded, top, type Waiter, type World } from "./world.ts"

/** Who defines the order of completions. */
export type OrderPolicy = "markers" | "timestamps" | "log"

/** The name of a marker, as the console shows it. */
export const MARKER_NAME = "order-of-completions"

/** In place of an operation's id: here the context was let go of, after so many deliveries. */
export const INTERRUPTED = ""

/** What the choice depends on besides the world. */
export interface Horizon {
  readonly policy: OrderPolicy
  /** Every completion up to and including this instant is known. */
  readonly complete: number
  /** The operations asked for in this invocation. */
  readonly opened: ReadonlyMap<string, Op>
}

/**
 * The completion that comes next in this world. `hold`: another outside completion of this very instant may
 * exist and not be visible yet: look again.
 */
export const next = (world: World, horizon: Horizon): Waiter | "hold" | NonDeterministic | undefined => {
  const own = top(world.own)
  const outside = top(world.outside)
  if (own === undefined && outside === undefined) return undefined
  if (world.holds > 0 || world.deliveries === world.endsAt || isFrozen(world)) return undefined
  const chosen =
    horizon.policy === "timestamps" ? byTime(world, horizon, own, outside) : byRecord(world, horizon, own, outside)
  // a finished context that is being rebuilt keeps its place: what comes after it waits
  return chosen === "hold" || chosen instanceof NonDeterministic || chosen.ready ? chosen : undefined
}

const byTime = (
  world: World,
  horizon: Horizon,
  own: Waiter | undefined,
  outside: Waiter | undefined
): Waiter | "hold" => {
  if (outside === undefined) return own!
  if (own !== undefined && own.time <= outside.time) return own
  return outside.time > horizon.complete && world.unknownOutside > 0 ? "hold" : outside
}

const NO_SCRIPT: Array<Recorded> = []

const byRecord = (
  world: World,
  horizon: Horizon,
  own: Waiter | undefined,
  outside: Waiter | undefined
): Waiter | NonDeterministic => {
  const { script = NO_SCRIPT, scriptAt } = world
  if (world.parked === 1) {
    // no choice, so nothing was recorded (unless a context, finished by now, was in the way when this was live)
    const only = (own ?? outside)!
    const recorded = script[scriptAt]
    if (recorded !== undefined && recorded.id === only.op.id && recorded.nth === only.nth) world.scriptAt++
    return only
  }
  const byMarkers = horizon.policy === "markers"
  for (let i = scriptAt; i < script.length; i++) {
    const { id, nth, time } = script[i]!
    if (byMarkers && own !== undefined && own.time < time) break
    let waiter = horizon.opened.get(id)?.waiter
    while (waiter !== undefined && !(waiter.nth === nth && waiter.known)) waiter = waiter.sibling
    if (waiter !== undefined) {
      if (!waiter.ready) return waiter
      if (i === scriptAt) world.scriptAt++
      else script.splice(i, 1)
      return waiter
    }
    if (!world.changed) {
      return new NonDeterministic({
        message:
          `In ${world.title}, the completion of operation ${id} comes next by the recorded order, ` +
          `but the code does not wait for it. ${CHANGED}`
      })
    }
    // it has gone from the code, or something was added before it
  }
  if (own !== undefined && byMarkers) return own
  const chosen = (own ?? outside)!
  if (chosen.ready) world.keep(chosen.op.id, chosen.nth)
  return chosen
}

// ---- markers -----------------------------------------------------------------------------------------

const markerId = (world: World, n: number) => operationId(world.place.path, "order", "", n)

/**
 * The updates that record the order of what was delivered since the last marker. START and SUCCEED of one
 * step in one request: every version of the service accepts that, SUCCEED alone is unverified.
 */
export const writeMarker = (world: World): ReadonlyArray<Protocol.OperationUpdate> => {
  const { parentId } = world.place
  const common = {
    Id: markerId(world, ++world.markers),
    ...(parentId === undefined ? undefined : { ParentId: parentId }),
    Name: MARKER_NAME,
    Type: "STEP",
    SubType: "Step"
  } as const
  const payload = JSON.stringify(world.unrecorded ?? [])
  world.unrecorded = undefined
  return [
    { ...common, Action: "START" },
    { ...common, Action: "SUCCEED", Payload: payload }
  ]
}

/** Reads the recorded order of a world, and takes the markers off the operations its body must ask for. */
export const readMarkers = (world: World, records: ReadonlyMap<string, Protocol.Operation>): void => {
  for (;;) {
    const record = records.get(markerId(world, world.markers + 1))
    if (record === undefined) return
    world.markers++
    world.unvisited?.delete(record.Id)
    const entries = JSON.parse(record.StepDetails?.Result ?? "[]") as ReadonlyArray<readonly [string, number]>
    for (const [id, nth] of entries) {
      if (id === INTERRUPTED) world.endsAt = nth
      else (world.script ??= []).push({ id, nth, time: record.EndTimestamp ?? 0 })
    }
  }
}
