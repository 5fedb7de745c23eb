/**
 * What is done outside the body on its behalf: operations are begun at the service, attempts of steps run, results
 * are encoded. The body asks for it; it begins at the live edge, in the order in which it was asked for.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { type Fatal, InvalidOperation, NonDeterministic } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { logDefects } from "../warn.ts"
import { whenEnded } from "../whenEnded.ts"
import * as explain from "./explain.ts"
import type { Host } from "./host.ts"
import { Attempt, type Closing, type Ending, isFrozen, type Op, type Run, type World } from "./world.ts"

/** What to do for an operation at the next live edge. */
class Planned {
  declare readonly op: Op
  declare readonly act: "launch" | "attempt" | "begin" | "record" | "recordIfAwaited"
  declare readonly ending: Ending | undefined
  constructor(op: Op, act: Planned["act"], ending: Ending | undefined) {
    this.op = op
    this.act = act
    this.ending = ending
  }
}

/** An attempt whose effect runs. */
export interface RunningAttempt {
  readonly number: number
  /** When it began, epoch milliseconds. */
  readonly since: number
  readonly finish: (exit: Exit.Exit<unknown, unknown>) => void
}

/** What it asks of the core. */
export interface Surroundings {
  readonly host: Host
  readonly closed: () => boolean
  readonly fail: (error: Fatal) => void
  /** Queues an update. A lazy one waits for another reason to send. */
  readonly offer: (update: Protocol.OperationUpdate, op: Op, lazy?: boolean) => void
  /** An order by which the body came here is not on record yet. */
  readonly isUnsettled: (world: World) => boolean
  /** Something has ended: the body may move. */
  readonly pump: () => void
}

export interface Work {
  /** Fibers that work outside the body, awaited before the answer, and for what; nothing: it was cancelled. */
  readonly fibers: ReadonlyMap<Fiber.Fiber<unknown, unknown>, Op | undefined>
  /** How many of them the body waits for. */
  readonly running: () => number
  readonly plan: (op: Op, act: Planned["act"], ending?: Ending) => void
  /** Some world was let go of: what was planned there is not done. */
  readonly lose: () => void
  /** The live edge is reached: does what was planned, but for what must wait until later, if anything does. */
  readonly perform: (waits: ((op: Op) => boolean) | undefined) => void
  /** The body has ended: contexts that ended with it go on record, work that it did not wait for does not begin. */
  readonly wrapUp: () => void
  /**
   * Lambda's deadline is near: no attempt begins any more, and those that run are interrupted, `cutOff` giving what
   * they end with; where it gives nothing the attempt stays begun, and the next invocation runs it again. Gives
   * their operations.
   */
  readonly expire: (
    cutOff: (op: Op, attempt: RunningAttempt) => Exit.Exit<never, unknown> | undefined
  ) => ReadonlyArray<Op>
  /** Whether the deadline has kept something from going on that need not wait for the service. */
  readonly left: () => boolean
  /** How many attempts have ended. */
  readonly ends: () => number
  /** Keeps this fiber among those that work outside the body; `done` is called when it has ended. */
  readonly track: <A, E>(op: Op, fiber: Fiber.Fiber<A, E>, done: (exit: Exit.Exit<A, E>) => void) => void
  /** Encodes what the body of a context ended with; `done` goes on with it. */
  readonly encode: <C extends Closing>(op: Op, closing: Effect.Effect<C, Fatal>, done: (closing: C) => void) => void
}

export const make = (startDelay: number, { closed, fail, host, isUnsettled, offer, pump }: Surroundings): Work => {
  const fibers = new Map<Fiber.Fiber<unknown, unknown>, Op | undefined>()
  const attempts = new Map<Op, RunningAttempt>()
  let planned: Array<Planned> = []
  let running = 0
  /** Whether there are any: most invocations have none, and worlds may be nested deep. */
  let someLost = false
  let ends = 0
  let expired = false
  let left = false

  /** Whether it is too late for another attempt. */
  const tooLate = (): boolean => (left ||= expired)

  const take = (): Array<Planned> => {
    const items = planned
    planned = []
    return items
  }

  const act = ({ act, ending, op }: Planned): void => {
    if (someLost && isLost(op.place.world)) return // nothing more of it goes on record
    switch (act) {
      case "launch":
        return launch(op)
      case "attempt":
        return attempt(op)
      case "begin":
        return op.waiters > 0 ? begin(op, false) : undefined
      case "record":
        return record(op, ending!)
      case "recordIfAwaited":
        return op.waiters > 0 ? record(op, ending!) : undefined
    }
  }

  const launch = (op: Op): void => {
    if (op.launched || (op.waiters === 0 && op.spec.type !== "CONTEXT")) return // lost a race before it began
    op.launched = true
    const isStep = op.spec.type === "STEP"
    if (op.record === undefined) {
      if (isStep && tooLate()) return
      // after a crash it might be another step's: of two of one name, what they are to the outside is who was first
      if (isStep && isUnsettled(op.place.world)) op.startsFirst = true
      if (op.place.world.rebuilding) {
        return fail(new NonDeterministic({ message: explain.inFinishedContext(op) }))
      }
      if (isStep) offer(op.update("START"), op, !op.startsFirst && startDelay > 0)
      else start(op)
    }
    if (isStep && op.record?.Status !== "PENDING" && !(op.startsFirst && op.record === undefined)) attempt(op)
  }

  /** A START may carry a payload, which is encoded only where there is no record yet. */
  const start = (op: Op): void => {
    const fields = op.start
    if (fields === undefined || !Effect.isEffect(fields)) return offer(op.update("START", fields), op)
    running++
    follow(op, host.fork(fields), (exit) => {
      running--
      if (Exit.isFailure(exit)) return fail(fatalOf(exit))
      offer(op.update("START", exit.value), op)
      pump()
    })
  }

  const attempt = (op: Op): void => {
    const number = (op.record?.StepDetails?.Attempt ?? 0) + 1
    if (number <= op.attempt || op.waiters === 0 || tooLate()) return
    op.attempt = number
    const status = op.record?.Status
    if (status === "READY" && !op.carriesState) {
      if (op.atMostOnce) return offer(op.update("START"), op) // the body runs when it is acknowledged
      offer(op.update("START"), op, true)
    }
    begin(op, op.atMostOnce && status === "STARTED")
  }

  const begin = (op: Op, interrupted: boolean): void => {
    if (closed() || tooLate()) return // (closed: its START was refused, for a limit)
    const number = (op.record?.StepDetails?.Attempt ?? 0) + 1
    op.attempt = number
    op.startsFirst = op.atMostOnce
    const asked = op.attempts!.begin(new Attempt(number, op.record?.StartTimestamp, interrupted))
    const run = host.observer?.attempt(op, { number, interrupted }, asked) ?? asked
    running++
    const fiber = host.fork(run.effect, run.context)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return finished(op, run, exit)
    attempts.set(op, {
      number,
      since: host.clock.currentTimeMillisUnsafe(),
      finish: (exit) => finish(op, run, exit)
    })
    follow(op, fiber, (exit) => {
      attempts.delete(op)
      finished(op, run, exit)
    })
  }

  const finished = (op: Op, run: Run, exit: Exit.Exit<unknown, unknown>): void => {
    if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) host.fork(logDefects(op, exit.cause), run.context)
    finish(op, run, exit)
  }

  const finish = (op: Op, run: Run, exit: Exit.Exit<unknown, unknown>): void => {
    const end = run.ending(exit)
    if ("Action" in end) return ended(op, end)
    follow(op, host.fork(end), (exit) => (Exit.isSuccess(exit) ? ended(op, exit.value) : fail(fatalOf(exit))))
  }

  const track: Work["track"] = (op, fiber, done) => {
    fibers.set(fiber, op)
    whenEnded(fiber, (exit) => {
      fibers.delete(fiber)
      done(exit)
    })
  }

  const expire: Work["expire"] = (cutOff) => {
    expired = true
    const cut = Array.from(attempts)
    for (const [op, attempt] of cut) {
      op.cancel?.() // at once: what ignores its interruption is not waited for
      const exit = cutOff(op, attempt)
      if (exit === undefined) left = true
      else {
        running++
        attempt.finish(exit)
      }
    }
    return cut.map(([op]) => op)
  }

  /** Follows a fiber that works for an attempt. What a cancelled one still produces: its place in the race is lost. */
  const follow = <A, E>(op: Op, fiber: Fiber.Fiber<A, E>, done: (exit: Exit.Exit<A, E>) => void): void => {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return done(exit)
    let cancelled = false
    const cancel = () => {
      if (cancelled) return
      cancelled = true
      attempts.delete(op)
      running-- // at once: one that ignores its interruption must not hold up a suspension
      fibers.set(fiber, undefined)
      fiber.interruptUnsafe()
    }
    op.cancel = cancel
    track(op, fiber, (exit) => {
      if (op.cancel === cancel) op.cancel = undefined
      if (!closed() && !cancelled) done(exit)
    })
  }

  const ended = (op: Op, ending: Ending): void => {
    running--
    ends++
    record(op, ending)
    pump()
  }

  const record = (op: Op, ending: Ending): void => {
    if (op.carriesState && op.record?.Status === "READY") offer(op.update("START"), op)
    offer(op.update(ending.Action, ending), op)
  }

  const encode = <C extends Closing>(op: Op, closing: Effect.Effect<C, Fatal>, done: (closing: C) => void): void => {
    const go = (encoded: Exit.Exit<C, Fatal>) =>
      Exit.isSuccess(encoded) ? done(encoded.value) : fail(fatalOf(encoded))
    const fiber = host.fork(closing)
    const encoded = fiber.pollUnsafe()
    if (encoded !== undefined) return go(encoded)
    running++
    track(op, fiber, (encoded) => {
      running--
      if (closed()) return
      go(encoded)
      pump()
    })
  }

  return {
    fibers,
    running: () => running,
    plan: (op, act, ending) => {
      planned.push(new Planned(op, act, ending))
    },
    lose: () => {
      someLost = true
    },
    perform: (waits) => {
      const items = take()
      const root = items[0]?.op.place.world.root
      for (let i = 0; i < items.length; i++) {
        const item = items[i]!
        if (waits?.(item.op) || (root!.freezes && isFrozen(item.op.place.world))) planned.push(item)
        else act(item)
        if (closed()) return
      }
      items.length = 0 // (as in BodyScheduler)
    },
    wrapUp: () => {
      for (const item of take()) if (item.op.spec.type === "CONTEXT" && !closed()) act(item)
    },
    expire,
    left: () => left,
    ends: () => ends,
    track,
    encode
  }
}

const isLost = (world: World): boolean => world.abandoned || (world.parent !== undefined && isLost(world.parent))

/** What ends the invocation when an effect outside the body failed: its error, or a bug of ours. */
export const fatalOf = (exit: Exit.Failure<unknown, Fatal>): Fatal => {
  const reason = exit.cause.reasons.find((reason) => reason._tag === "Fail")
  return (
    reason?.error ??
    new InvalidOperation({
      message: `This is a bug of effect-durable-lambda, please report it: ${String(Cause.squash(exit.cause))}`
    })
  )
}
