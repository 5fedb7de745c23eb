/**
 * What happens when Lambda's deadline is near: attempts that run are cut off, so that a step that is stuck uses up its
 * retries, and the invocation answers while it can.
 *
 * An attempt that began late, in an invocation that has got something done, is not to blame: it stays begun, as after a
 * crash, and runs again in an invocation of its own. So every invocation that is cut short has ended an attempt, and no
 * step can keep an execution going in circles.
 */
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { DeadlineExceeded, type Fatal, OutOfTime, StepInterrupted } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { isTerminal } from "../wire.ts"
import * as explain from "./explain.ts"
import type { Host, Options } from "./host.ts"
import type { Work } from "./work.ts"

export interface Deadline {
  /** When an invocation is brought to its end, epoch milliseconds. */
  readonly at: number
  /** When that must be over, epoch milliseconds: a body that has not come to rest by then does not. */
  readonly latest: number
  readonly isOver: () => boolean
  /** It is time; or, when told again, time to give up on what was still to be recorded. */
  readonly expire: (now: number) => void
  /** The service has nothing to go on with. */
  readonly fail: () => void
  /**
   * Queues a wait of a second where work was left that need not wait for the service: it then invokes again. (A throw
   * would do, too, and does where no operation is left, but counts as an error and is backed off from.)
   */
  readonly rest: () => boolean
  /** This invocation has asked for such a wait, and it has not ended. */
  readonly rests: () => boolean
  /** A record of the snapshot is such a wait of an earlier invocation, and no operation of the body. */
  readonly isRest: (record: Protocol.Operation) => boolean
}

/** What it asks of the core. */
export interface Surroundings {
  readonly host: Host
  readonly work: Work
  readonly arn: string
  readonly fail: (error: Fatal) => void
  /** Queues an update, if there may be another operation. */
  readonly offer: (update: Protocol.OperationUpdate) => boolean
  readonly recordOf: (id: string) => Protocol.Operation | undefined
  readonly ringAt: (at: number) => void
  /** Whether a request has not been answered yet. */
  readonly inFlight: () => boolean
  /** Root fibers of all bodies that run. */
  readonly bodies: () => ReadonlyArray<Fiber.Fiber<unknown, unknown>>
}

/** The name of the wait, as the console shows it. */
export const REST_NAME = "rest-of-invocation"
/** Shorter than the ids of operations, so it is none of them. */
const REST_ID = /^rest-(\d+)$/

export const make = (
  { left, margin }: NonNullable<Options["deadline"]> = { left: Infinity, margin: 0 },
  { arn, bodies, fail, host, inFlight, offer, recordOf, ringAt, work }: Surroundings
): Deadline => {
  const time = left - margin
  const at = host.clock.currentTimeMillisUnsafe() + time
  let isOver = false
  let count = 0
  let resting: string | undefined

  /** One that has ended meanwhile, and is known to have, is nothing to answer PENDING for. */
  const rests = (): boolean => {
    if (resting === undefined) return false
    const { Status } = recordOf(resting) ?? {}
    return Status === undefined || !isTerminal(Status)
  }

  /** What an attempt ends with that is cut off; nothing: it runs again. */
  const cutOff = (now: number): Parameters<Work["expire"]>[0] => {
    let hasEnded = work.ends() > 0
    return ({ atMostOnce, id, spec }, { number, since }) => {
      const elapsedMillis = now - since
      if (!atMostOnce && hasEnded && elapsedMillis < time / 2) return undefined
      hasEnded = true
      return atMostOnce
        ? Exit.fail(new StepInterrupted({ operation: spec.name }))
        : Exit.die(new DeadlineExceeded({ operation: spec.name, operationId: id, attempt: number, elapsedMillis }))
    }
  }

  const outOfTime = (): void => {
    // (before, attempts may still run, and the body spins)
    const busy = isOver ? [...work.fibers.values()].filter((op) => op !== undefined) : []
    // what each asked for last, if it was one of the last of its context
    const lastAsked = (fiber: Fiber.Fiber<unknown, unknown>) =>
      host
        .worldOf(fiber)
        ?.lastAsked()
        .findLast((op) => op.fiber === fiber)
    const asked = family(bodies()).map(lastAsked)
    const message =
      busy.length > 0
        ? explain.outsideTooSlow(busy)
        : isOver && inFlight()
          ? explain.unanswered(asked)
          : explain.outOfTime(asked)
    fail(new OutOfTime({ message }))
  }

  return {
    at,
    latest: at + margin / 2,
    isOver: () => isOver,
    fail: outOfTime,
    expire: (now) => {
      if (isOver) return outOfTime()
      isOver = true
      ringAt(Math.floor(now + margin / 2)) // the clock tells whole milliseconds: one waits for the next
      const cut = work.expire(cutOff(now))
      if (cut.length > 0) host.warn(`${arn}: interrupted near Lambda's deadline: ${explain.list(cut.map(String))}`)
    },
    rest: () => {
      if (!work.left() || rests()) return false
      const Id = `rest-${++count}`
      const wait = { Type: "WAIT", SubType: "Wait", Action: "START", WaitOptions: { WaitSeconds: 1 } } as const
      if (!offer({ Id, Name: REST_NAME, ...wait })) return false
      resting = Id
      return true
    },
    rests,
    isRest: ({ Id }) => {
      const n = Number(REST_ID.exec(Id)?.[1] ?? 0)
      count = Math.max(count, n)
      return n > 0
    }
  }
}

/** Fibers with those that they have forked, as far as these still run. */
const family = (roots: Iterable<Fiber.Fiber<unknown, unknown>>): ReadonlyArray<Fiber.Fiber<unknown, unknown>> =>
  [...roots].flatMap((fiber) => [
    fiber,
    // Effect keeps them to itself. They are only for a message: without them it is a shorter one.
    ...family((Reflect.get(fiber, "_children") as Set<Fiber.Fiber<unknown, unknown>> | undefined) ?? [])
  ])
