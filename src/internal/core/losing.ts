/**
 * What becomes of a context that its parent lets go of: a race that it lost, a timeout, a batch that has ended.
 *
 * A context without cleanup is lost: it stays STARTED on record, and a replay lets go of it again. One with cleanup is
 * interrupted, and its parent waits until its cleanup is done. Which of the two it is depends on how far the context has
 * come, and that its parent cannot know: between contexts there is no order. So the parent stands still until nothing
 * known is left to deliver elsewhere. Then everything on record has been done again, and the context has come at least
 * as far as it ever had. A parent that has recorded something since has gone on: then its context had no cleanup, if none
 * is on record.
 *
 * The wait is an operation of the parent, of type CONTEXT. When the service has it, so has it everything by which the
 * parent let go. The place where the context was interrupted, a number of completions, is an entry of the context's own
 * recorded order, and written with or before what follows from it.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { NonDeterministic } from "../../DurableError.ts"
import { operationId } from "../operationId.ts"
import type { Running } from "./contexts.ts"
import type { Core } from "./Core.ts"
import * as explain from "./explain.ts"
import { park } from "./operation.ts"
import { succeeded } from "./outcomes.ts"
import { INTERRUPTED } from "./order.ts"
import { hasEnded, isReplaying, type Op, type World } from "./world.ts"
import * as Worlds from "./worlds.ts"

/** A context, or the items of a batch, that are let go of. */
export interface Loss {
  readonly op: Op
  /** Of the context, or the batch. None: it has ended before, and does not run. */
  readonly world: World | undefined
  /** Where the operation stands on which its end is waited for. */
  readonly parent: World
  /** Nothing can be on record that has followed from it, unless the operation on which its end is waited for is. */
  readonly unfollowed?: boolean
  /** The bodies that run. */
  readonly bodies: () => ReadonlyArray<Running>
  /** Nothing more is begun in it. */
  readonly stop?: () => void
  /** Lets go of it without cleanup. */
  readonly lose: () => void
  /** It is decided: goes on, when the operation has ended, if there is one. */
  readonly decided: (cleanup: Op | undefined) => void
}

interface Cleaning {
  readonly op: Op
  readonly loss: Loss
  readonly world: World
}

interface State {
  readonly losses: Set<Loss>
  readonly cleanings: Set<Cleaning>
}

const states = new WeakMap<Core, State>()

const stateOf = (core: Core): State => {
  const known = states.get(core)
  if (known !== undefined) return known
  const state: State = { losses: new Set(), cleanings: new Set() }
  states.set(core, state)
  core.atRest.push(() => move(core, state))
  return state
}

/** A context is let go of. What becomes of it is decided when nothing known is left to deliver. */
export const letGo = (core: Core, loss: Loss): void => {
  if (core.closed || loss.parent.state !== "open") {
    loss.lose()
    return loss.decided(undefined)
  }
  loss.parent.holds++
  stateOf(core).losses.add(loss)
}

/** The same, for a fiber that waits for it. */
export const leaving = (core: Core, loss: Omit<Loss, "decided">): Effect.Effect<void> =>
  Effect.callback<void>((resume) =>
    letGo(core, {
      ...loss,
      decided: (cleanup) =>
        resume(cleanup === undefined ? Effect.void : park<void, never>(core, cleanup, "ended", () => Exit.void))
    })
  )

const isBelow = (world: World, top: World | undefined): boolean =>
  world === top || (world.parent !== undefined && isBelow(world.parent, top))

/** Nothing known is left to deliver: decides one loss, or begins with one cleanup. */
const move = (core: Core, { cleanings, losses }: State): boolean => {
  /** Something in it is not decided yet. */
  const isOpen = (world: World | undefined, own?: Loss) =>
    world !== undefined && [...losses].some((loss) => loss !== own && isBelow(loss.parent, world))
  /** Their fibers go on in the order in which they came. */
  const waiting = new Set<World>()
  for (const loss of losses) {
    const { parent } = loss
    if (waiting.has(parent)) continue
    const isEarly = !core.closed && parent.state === "open" && isOpen(loss.world, loss)
    const decision = isEarly ? undefined : decide(core, loss)
    if (decision === undefined) {
      waiting.add(parent)
      continue
    }
    losses.delete(loss)
    parent.holds--
    Worlds.of(core).stir(parent)
    if (decision !== "cleanup") {
      loss.lose()
      loss.decided(undefined)
      return true
    }
    const { name } = loss.op.spec
    const op = core.openItem(parent, cleanupId(loss), { type: "CONTEXT", subType: "Cleanup", name })
    if (op === undefined) return false
    op.lose = loss.lose // should its parent end meanwhile
    const { world } = loss
    if (world === undefined || hasEnded(op)) loss.lose()
    else {
      loss.stop?.()
      parent.root.freezes = true
      for (const body of loss.bodies()) body.world.frozen = body.world.state === "open"
      cleanings.add({ op, loss, world })
    }
    loss.decided(op)
    return true
  }
  if (core.closed) return false
  for (const cleaning of cleanings) {
    if (cleaning.op.record === undefined || Worlds.of(core).remaking() || isOpen(cleaning.world)) continue
    cleanings.delete(cleaning)
    begin(core, cleaning)
    return true
  }
  return false
}

/** A batch may end and, while its items do their cleanup, be let go of. */
const cleanupId = ({ op, unfollowed }: Loss) => operationId(op.id, "Cleanup", "", unfollowed === true ? 2 : 1)

const decide = (core: Core, loss: Loss): "cleanup" | "lost" | undefined => {
  const { parent, unfollowed, world } = loss
  if (core.closed || parent.state !== "open") return "lost"
  if (core.recordOf(cleanupId(loss)) !== undefined) return "cleanup"
  if (Worlds.of(core).remaking()) return undefined
  if (world === undefined || world.cleanups === 0) return "lost"
  // what is on record and not asked for again has followed from it, if the code is what it was
  const isFollowed = isReplaying(parent) && unfollowed !== true && !parent.changed
  return isFollowed || parent.rebuilding ? "lost" : "cleanup"
}

const begin = (core: Core, { loss, op, world }: Cleaning): void => {
  const bodies = loss.bodies()
  // (a body of which nothing is on record has only just begun)
  const left = new Set(
    bodies.filter(
      ({ world }) => world.state === "open" && world.cleanups > 0 && core.recordOf(world.place.parentId!) !== undefined
    )
  )
  const ended = (body: Running) => {
    left.delete(body)
    if (left.size === 0) finish()
  }
  const finish = () => Worlds.of(core).finish(op, world, () => ({ ending: succeeded(undefined), outcome: Exit.void }))
  for (const body of bodies) {
    body.world.frozen = false
    if (!left.has(body) && !body.isInterrupted) body.lose()
  }
  if (left.size === 0) return finish()
  for (const body of left) {
    const { world } = body
    if (world.endsAt !== undefined && world.endsAt !== world.deliveries) {
      return core.fail(new NonDeterministic({ message: explain.anotherEnd(world) }))
    }
    if (world.endsAt === undefined && !body.isInterrupted) {
      world.keep(INTERRUPTED, world.deliveries)
      Worlds.of(core).keepOrder(world)
    }
    world.endsAt = undefined
    world.abandoned = false
    Worlds.of(core).stir(world)
    body.interrupt(() => ended(body))
  }
}
