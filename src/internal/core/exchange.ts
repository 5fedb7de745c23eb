/**
 * The exchange with the service: what is queued for it, when it is sent, and what follows from the answers. A request
 * that must be stamped later than what was delivered is held back for a pace; the recorded order of what was delivered
 * travels at the head of the next one.
 */
import type { Checkpoints, Sent } from "../../CheckpointService.ts"
import type { Fatal } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { recordOf, reflects } from "../acknowledged.ts"
import type { Alarm, Need } from "./alarm.ts"
import type { Gate } from "./gate.ts"
import type { Host, Options } from "./host.ts"
import * as Order from "./order.ts"
import type { Work } from "./work.ts"
import { Op, type Waiter, waitsForService, type World } from "./world.ts"

/** While steps keep the invocation alive: first look at the service after this long. */
const POLL_FIRST = 1_000
/** After so many looks in vain, then: soon after the first (its timers may be a little late), then ever less often. */
const pauseAfter = (polls: number): number => (polls === 0 ? POLL_FIRST : Math.min(250 * polls ** 2, 10_000))

export interface Exchange {
  /** Queues an update, of an operation that the body asked for. A lazy one waits for another reason to send. */
  readonly offer: (update: Protocol.OperationUpdate, op?: Op, lazy?: boolean) => void
  /** The next request must be stamped later than what has just been delivered. */
  readonly choice: () => void
  /** Sends what is queued, unless it must wait so that its timestamp is later than the last one. */
  readonly flush: () => void
  /** Nothing is left to do but what steps do: from now on, look whether what the body waits for is due. */
  readonly watch: () => void
  /** An order by which the body came here is not on record yet. */
  readonly isUnsettled: (world: World) => boolean
  /** The alarm rings: does what is due here. */
  readonly ring: (isDue: (need: Need) => boolean, now: number) => void
}

/** What it asks of the core. */
export interface Surroundings {
  readonly host: Host
  readonly gate: Gate
  readonly alarm: Alarm
  readonly closed: () => boolean
  /** Nothing that was delivered has yet to go on: a request between may be answered with what belongs before it. */
  readonly idle: () => boolean
  readonly fail: (error: Fatal) => void
  /** How much works outside the body, for it. */
  readonly running: Work["running"]
  readonly plan: Work["plan"]
  /** The service has answered: the body may move. */
  readonly pump: () => void
}

const LAZY = { lazy: true } as const

/** `records` is kept up to date with what the service says, but for those of operations that were asked for. */
export const make = (
  { order, pace, startDelay }: Options,
  checkpoints: Checkpoints,
  records: Map<string, Protocol.Operation>,
  { alarm, closed, fail, gate, host: { clock }, idle, plan, pump, running }: Surroundings
): Exchange => {
  /** Milliseconds of a clock that never runs backwards, with fractions. */
  const monotonic = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const byTime = order === "timestamps"

  /** The next request must be stamped later than what was delivered; when that was. */
  let ambiguous = false
  let lastChoice = 0
  /** When the last response came. The snapshot may be of this very instant. */
  let lastReceived = byTime ? monotonic() : 0
  /** What to conclude from the response to the request in flight. */
  let complete = -Infinity
  /** Updates of markers that are not acknowledged: what does not fit into one request travels in the next. */
  const markers = new Set<Protocol.OperationUpdate>()
  let polls = 0

  const offer = (update: Protocol.OperationUpdate, op?: Op, lazy = false): void => {
    const refused = checkpoints.offer(update, lazy ? LAZY : undefined, op)
    if (refused !== undefined) fail(refused)
    // START of an at-least-once step rides with the next request; alone it is sent only when the body takes long
    else if (lazy && !alarm.isSet("start")) alarm.set("start", clock.currentTimeMillisUnsafe() + startDelay)
  }

  const choice = (): void => {
    ambiguous = true
    lastChoice = monotonic()
  }

  const flush = (): void => {
    if (closed() || checkpoints.inFlight()) return
    if (!checkpoints.urgent()) {
      if (running() > 0 || checkpoints.queued() === 0) return
    }
    if (ambiguous) {
      const early = pace - (monotonic() - lastChoice)
      if (early > 0) return alarm.set("pace", clock.currentTimeMillisUnsafe() + early)
    }
    alarm.clear("pace")
    alarm.clear("start")
    writeMarkers()
    if (closed()) return
    const paced = byTime && monotonic() - lastReceived >= pace
    complete = paced ? gate.maxSeen() : -Infinity
    checkpoints.send({ force: true })
  }

  const writeMarkers = (): void => {
    for (const world of gate.unwritten) {
      for (const update of Order.writeMarker(world)) {
        const refused = checkpoints.offer(update, { first: true })
        if (refused !== undefined) return fail(refused) // no execution goes on from an order that is not on record
        markers.add(update)
      }
    }
    gate.unwritten.clear()
  }

  const responded = (
    operations: ReadonlyArray<Protocol.Operation>,
    acknowledged: ReadonlyArray<Protocol.OperationUpdate>,
    sent: ReadonlyArray<Sent | undefined>
  ): void => {
    if (closed()) return
    if (byTime) lastReceived = monotonic()
    ambiguous = false
    // what follows a marker must be stamped later than the marker
    if (markers.size > 0 && acknowledged.filter((update) => markers.delete(update)).length > 0) choice()
    operations.forEach(merge)
    acknowledged.forEach((update, i) => {
      const noted = sent[i]
      const op = noted instanceof Op ? noted : gate.opened.get(update.Id)
      if (op !== undefined) acknowledge(op, update)
    })
    gate.advance(complete)
    pump()
  }

  const merge = (record: Protocol.Operation): void => {
    gate.see(record)
    const op = gate.opened.get(record.Id)
    if (op === undefined) return void records.set(record.Id, record)
    gate.update(op, record)
    if (record.Status === "READY") plan(op, "attempt")
    // what ends before the next look at the service is looked for when it ends
    if (running() === 0 || !waitsForService(op)) return
    const at = dueAt(record)
    if (at === undefined || at <= clock.currentTimeMillisUnsafe()) return
    polls = 0
    alarm.sooner("poll", at)
  }

  /** Our own update is durable. */
  const acknowledge = (op: Op, update: Protocol.OperationUpdate): void => {
    if (op.record === undefined || !reflects(op.record, update)) merge(recordOf(op.record, update, gate.maxSeen()))
    if (op.waiters === 0) gate.release(op)
    else if (update.Action === "START" && op.startsFirst) plan(op, "begin")
  }

  /** Whether something that the body waits for is due at the service by now. */
  const look = (now: number): void => {
    if (running() === 0) return
    const { due, next } = dueAtService(gate.parked, now)
    if (due) {
      polls++
      checkpoints.poll()
    }
    alarm.set("poll", now + Math.min(Math.max(next, 1), pauseAfter(polls)))
  }

  checkpoints.listen({ responded, failed: fail })

  return {
    offer,
    choice,
    flush,
    watch: () => {
      if (gate.parked.size > running() && !alarm.isSet("poll")) {
        alarm.set("poll", clock.currentTimeMillisUnsafe() + POLL_FIRST)
      }
    },
    isUnsettled: (world) => {
      for (let at: World | undefined = world; at !== undefined; at = at.parent) {
        if (at.unrecorded !== undefined) return true
      }
      return markers.size > 0
    },
    ring: (isDue, now) => {
      if (isDue("start") && checkpoints.queued() > 0) checkpoints.poll()
      if (isDue("poll")) look(now)
      isDue("pace")
      if (idle()) flush()
    }
  }
}

/** When the service ends it, of what ends by itself. */
const dueAt = (record: Protocol.Operation | undefined): number | undefined =>
  record?.WaitDetails?.ScheduledEndTimestamp ?? record?.StepDetails?.NextAttemptTimestamp

/** Whether something that the body waits for is due at the service by now, and the milliseconds until the next that is not. */
const dueAtService = (parked: Iterable<Waiter>, now: number): { readonly due: boolean; readonly next: number } => {
  let due = false
  let next = Infinity
  for (const { op } of parked) {
    if (!waitsForService(op)) continue
    const at = dueAt(op.record)
    if (at === undefined || at <= now) due = true
    else next = Math.min(next, at - now)
  }
  return { due, next }
}
