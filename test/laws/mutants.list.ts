/**
 * Rules of the core, each taken out by a textual patch: what the laws say when it is missing. A rule whose
 * absence nobody notices is either not needed or not tested.
 */

/** In a file below src: this text, which must occur, becomes that. */
export type Patch = readonly [file: string, from: string, to: string]

export interface Mutant {
  readonly name: string
  readonly patches: ReadonlyArray<Patch>
  /** Arguments of main.ts under which it shows best. */
  readonly args?: ReadonlyArray<string>
  /** Random programs are blind for it; this test of laws.test.ts is not. */
  readonly directed?: string
  /** Why taking it out breaks no law. */
  readonly sound?: string
  /** Dies within a second or two: laws.test.ts runs it. */
  readonly quick?: boolean
}

const CORE = "internal/core/Core.ts"
const WORLDS = "internal/core/worlds.ts"
const GATE = "internal/core/gate.ts"
const VISITS = "internal/core/visits.ts"
const WORK = "internal/core/work.ts"
const ORDER = "internal/core/order.ts"
const OPERATION = "internal/core/operation.ts"
const WORLD = "internal/core/world.ts"
const CONTEXTS = "internal/core/contexts.ts"
const QUEUE = "CheckpointService.ts"

const timestamps = ["--order", "timestamps"]
const late = ["--profile", '{"externalLag":8}']
const hard = ["--hard"]

/** More markers at once than fit into a request. */
const crowded = [
  "--profile",
  '{"batchUpdates":2,"externalLag":8,"crash":0.1,"unit":1,"latency":2.5}',
  "--program",
  '{"t":"all","n":0,"c":[{"t":"sleep","s":1,"named":false},' +
    '{"t":"child","k":1,"keep":"plain","typed":false,"b":{"t":"all","n":0,"c":[{"t":"cb","k":2,"mid":null,"twice":false},{"t":"sleep","s":2,"named":false}]}},' +
    '{"t":"all","n":0,"c":[{"t":"cb","k":0,"mid":null,"twice":false},{"t":"cb","k":1,"mid":null,"twice":false},{"t":"sleep","s":1,"named":false},' +
    '{"t":"cb","k":2,"mid":null,"twice":false},{"t":"sleep","s":2,"named":false}]}]}'
]

/** A context ends before its parent is on record, while another operation is asked for. */
const early =
  '{"t":"child","k":0,"keep":"plain","typed":false,"b":{"t":"all","n":0,"c":[' +
  '{"t":"child","k":1,"keep":"plain","typed":false,"b":{"t":"get"}},{"t":"seq","c":[{"t":"yield"},{"t":"cb","k":3,"mid":null,"twice":false}]}]}}'

/** How far the inner contexts come before one of the outer ones times out is chance. */
const chance =
  '{"t":"each","items":2,"n":2,"b":{"t":"timeout","s":1,"b":{"t":"child","k":0,"keep":"odd","typed":false,"b":' +
  '{"t":"child","k":1,"keep":"odd","typed":true,"b":{"t":"step","k":2,"dur":1.1,"pf":0,"end":"fail","retry":0,"form":"recurs","amo":false,"timeout":false,"typed":false}}}}}'

// prettier-ignore
export const mutants: ReadonlyArray<Mutant> = [
  { name: "none", patches: [], sound: "the core as it is" },

  // ---- order
  { name: "order by request, not by time", quick: true, args: timestamps, patches: [[WORLD, "return a.time !== b.time ? a.time < b.time : a.rank", "return a.rank"]] },
  { name: "outside before own in a tie", args: timestamps, patches: [[ORDER, "own.time <= outside.time", "own.time < outside.time"]] },
  { name: "chance decides ties", patches: [[WORLD, ": a.seq < b.seq", ": Math.random() < 0.5"]] },
  { name: "two deliveries per quiescence", patches: [[CORE, "      deliver(waiter)\n", "      deliver(waiter)\n      const more = phase === 'running' ? gate.next() : undefined\n      if (more !== undefined) deliver(more)\n"]] },
  { name: "everything known is delivered at once", patches: [[CORE, "      deliver(waiter)\n", "      deliver(waiter)\n      for (let w = phase === 'running' ? gate.next() : undefined; w !== undefined; w = phase === 'running' ? gate.next() : undefined) deliver(w)\n"]] },
  { name: "microtasks are not waited for", directed: "a promise chain of the body belongs to the instant in which it began", patches: [[CORE, "if (!settled) {", "if (false) {"]] },
  { name: "no hold at the horizon", args: timestamps, patches: [[ORDER, 'return outside.time > horizon.complete && world.unknownOutside > 0 ? "hold" : outside', "return outside"]] },
  { name: "held worlds are not looked at again", args: [...timestamps, "--n", "40000"], directed: "timestamps: a held completion is delivered after one more look", patches: [[GATE, "for (const world of held) wake(world)", ""]] },
  { name: "side effects while held", args: timestamps, patches: [[CORE, " && gate.held.size === 0", ""]] },
  { name: "no pacing", patches: [[CORE, "if (ambiguous) {", "if (false) {"]] },
  { name: "a choice does not ask for pacing", args: timestamps, patches: [[CORE, "if (world.parked > 1) choice()", ""]] },
  { name: "no pacing after a marker (skew 1, pace 3)", args: ["--profile", '{"skew":1,"pace":3}', "--n", "40000"], patches: [[CORE, "if (marked) choice()", ""]] },
  { name: "delivered before it is acknowledged", quick: true, patches: [[CORE, "    const refused = checkpoints.offer(update, { lazy })\n", "    const refused = checkpoints.offer(update, { lazy })\n    const now = gate.maxSeen()\n    if (update.Type === 'STEP' && update.Action === 'SUCCEED') merge({ Id: update.Id, Type: 'STEP', Name: update.Name, Status: 'SUCCEEDED', StartTimestamp: now, EndTimestamp: now, StepDetails: { Attempt: 1, Result: update.Payload! } })\n"]] },
  { name: "steps are launched when asked for", patches: [[CORE, "    park: gate.park,\n", "    park: (...args) => {\n      const waiter = gate.park(...args)\n      if (!waiter.known && waiter.op.spec.type === 'STEP') work.perform()\n      return waiter\n    },\n"]] },
  { name: "fast path: known and alone, delivered when asked for", patches: [[CORE, "    park: gate.park,\n", "    park: (...args) => {\n      const waiter = gate.park(...args)\n      if (waiter.known && parked.size === 1 && phase === 'running') { const w = gate.next(); if (w === waiter) deliver(w) }\n      return waiter\n    },\n"]] },
  { name: "a wait ends when the service says so", args: timestamps, patches: [[GATE, 'if (record.Type === "WAIT") {', 'if (record.Type === "WAIT" && !ended) return\n    if (record.Type === "WAIT" && record.EndTimestamp === undefined) {']] },
  { name: "a wait ends before the service's clock is there", patches: [[GATE, " && time > maxSeen)", " && false)"]] },

  // ---- markers
  { name: "markers are not written", quick: true, args: late, patches: [[ORDER, "world.unrecorded.push([chosen.op.id, chosen.nth])", ""]] },
  { name: "log is not written", args: ["--order", "log"], patches: [[ORDER, "world.unrecorded.push([chosen.op.id, chosen.nth])", ""]] },
  { name: "markers go to the end of their request", patches: [[CORE, "const first = parentId === undefined || records.has(parentId)", "const first = false"]] },
  { name: "suspended before the order is on record", args: late, patches: [[CORE, "if (gate.unwritten.size === 0) return end", "return end"]] },
  { name: "a marker may come before its context", args: ["--order", "log", "--program", early], patches: [[CORE, "const first = parentId === undefined || records.has(parentId)", "const first = true"]] },
  { name: "outside first, although own is older", patches: [[ORDER, "!(byMarkers && own !== undefined && own.time < recorded.time)", "true"]] },
  { name: "a marker names the operation, not the wait", args: late, sound: "waits for one operation come in the order in which they were asked for, so the first known is the recorded one", patches: [[ORDER, "waiter.nth === recorded.nth && waiter.known", "waiter.known"]] },
  { name: "markers without a choice", patches: [[ORDER, "if (world.parked === 1) {", "if (false) {"]] },
  { name: "markers are not taken off the unvisited", patches: [[ORDER, "world.unvisited?.delete(record.Id)", ""]] },
  { name: "the order of a context that will be rebuilt is dropped", args: [...late, "--n", "40000", "--size", "20"], patches: [[WORLDS, "if (world.unrecorded.length > 0) gate.unwritten.add(world)", ""]] },
  { name: "what an ended body leaves is sent at once, without order", patches: [[CORE, "if (checkpoints.queued() === 0 && !checkpoints.inFlight()) return end(", "return end("]] },

  // ---- worlds
  { name: "a context's end never waits for the service", quick: true, patches: [[WORLDS, "if (recorded || op.place.world.parked === op.waiters.length) {", "if (true) {"]] },
  { name: "a context's end always waits for the service", sound: "slower by a round trip, as the prototype did it", patches: [[WORLDS, "if (recorded || op.place.world.parked === op.waiters.length) {", "if (recorded) {"]] },
  { name: "a context's end moves its parent's clock", patches: [[CORE, 'if (op.spec.type !== "CONTEXT" && waiter.time > world.time)', "if (waiter.time > world.time)"]] },
  { name: "one clock for all worlds", quick: true, patches: [[CORE, "waiter.time > world.time) world.time = waiter.time", "waiter.time > root.time) root.time = waiter.time\n    world.time = root.time"]] },
  { name: "a context's clock starts with the latest stamp", patches: [[WORLDS, "op.id, world, world.time, ", "op.id, world, gate.maxSeen(), "]] },
  { name: "the body sees the client's clock", patches: [[OPERATION, "new WorldClock(place.world)", "new WorldClock({ get time() { return core.host.clock.currentTimeMillisUnsafe() } } as any)"]] },
  { name: "unseeded random numbers", patches: [[OPERATION, "seededRandom(`${core.executionArn}#${place.world.place.path}`)", "seededRandom(String(Math.random()))"]] },
  { name: "the lost race is known to the parent only", directed: "a finalizer of a lost context must not be durable", patches: [[CONTEXTS, "      core.lose(world)\n", ""]] },
  { name: "a lost context is closed on the wire", args: hard, patches: [[WORLDS, "() => op.waiters.length === 0,", "() => false,"], [WORLDS, '      work.plan({ op, act: "recordIfAwaited", ending })', '      work.plan({ op, act: "record", ending })']] },
  { name: "how far a lost context came goes on record", args: ["--program", chance], patches: [[WORK, "if (isLost(op.place.world)) return", ""]] },
  { name: "a masked fiber of a lost context goes on", args: hard, patches: [[CONTEXTS, "      core.release(halt, world)\n", ""]] },
  { name: "unvisited operations are not noticed", directed: "a removed step ends the execution", patches: [[VISITS, "if (missingCount === 0) return true", "return true"]] },
  { name: "what a finished world has not asked for counts as missing", args: hard, patches: [[VISITS, "if (worlds.delete(world)) missingCount -= world.unvisited?.size ?? 0", "worlds.delete(world)"]] },
  { name: "a fiber moved by another world is not noticed", directed: "contexts that share memory are told so", patches: [[CORE, "if (world.movedAt !== delivery && !unguarded) {", "if (false) {"]] },
  { name: "untracked work is not noticed", directed: "untracked async work beside durable work ends the execution", patches: [[CORE, "    if (parked.size > 0) {\n", "    if (false) {\n"]] },
  { name: "default scheduler in the body", patches: [[OPERATION, "Context.add(context, Scheduler.Scheduler, core.scheduler as Scheduler.Scheduler)", "context"]] },
  { name: "fibers yield by operation count", args: hard, directed: "a busy fiber is not interrupted by others", patches: [["internal/core/BodyScheduler.ts", "    return false\n", "    return (fiber as any).currentOpCount >= (fiber as any).cache.maxOpsBeforeYield\n"]] },

  // ---- contexts that are rebuilt
  { name: "a rebuilt context that had to wait keeps no outcome", quick: true, patches: [[WORLDS, "    op.outcome = outcome\n", "    if (recorded || op.place.world.parked === op.waiters.length) op.outcome = outcome\n"]] },
  { name: "a rebuilt context answers before it is rebuilt", patches: [[GATE, "waiter.ready = !rebuilds(op) || op.outcome !== undefined", "waiter.ready = true"]] },
  { name: "a context that is being rebuilt does not keep its place", patches: [[ORDER, "chosen instanceof NonDeterministic || chosen.ready ? chosen : undefined", "chosen instanceof NonDeterministic || chosen.ready ? chosen : own !== undefined && outside !== undefined && outside.ready ? outside : undefined"]] },

  // ---- steps
  { name: "the loser of a race waits for its step's finalizers", patches: [
    [OPERATION, 'import type * as Fiber from "effect/Fiber"', 'import * as Fiber from "effect/Fiber"'],
    [OPERATION, "      leave?.()\n    })\n", "      leave?.()\n    }).pipe(Effect.andThen(Effect.suspend(() => (op as any).fiber === undefined || core.closed ? Effect.void : Effect.asVoid(Fiber.await((op as any).fiber)))))\n"],
    [WORK, "    fibers.add(fiber)\n    fiber.addObserver((exit) => {\n      fibers.delete(fiber)\n      op.cancel", "    ;(op as any).fiber = fiber\n    fibers.add(fiber)\n    fiber.addObserver((exit) => {\n      fibers.delete(fiber)\n      op.cancel"]
  ] },
  { name: "what a cancelled step still produces counts", patches: [[WORK, "if (!closed() && !cancelled) done(exit)", "if (!closed()) done(exit)"]] },
  { name: "READY begins an attempt, whatever runs", args: ["--profile", '{"repeat":6}'], patches: [[WORK, "if (number <= op.attempt || op.waiters.length === 0) return", "if (op.waiters.length === 0) return"]] },
  { name: "a lost step begins", patches: [[WORK, "if (op.launched || (op.waiters.length === 0 && op.spec.type !== \"CONTEXT\")) return", "if (op.launched) return"], [WORK, "if (number <= op.attempt || op.waiters.length === 0) return", "if (number <= op.attempt) return"]] },
  { name: "at most once: the body does not wait for its START", quick: true, patches: [[WORK, " && !(op.atMostOnce && op.record === undefined))", ")"]] },
  { name: "at most once: an interrupted attempt runs again", patches: [[WORK, 'begin(op, op.atMostOnce && status === "STARTED")', "begin(op, false)"]] },
  { name: "START of a step that exists is sent again", patches: [[WORK, "    if (isStep && op.record?.Status", "    else if (isStep && op.record.Status === 'STARTED') offer(op.update('START'), true)\n    if (isStep && op.record?.Status"]] },
  { name: "a lazy START is never sent", patches: [[WORK, 'else offer(op.update("START"), true)', "else void 0"], [WORK, '      offer(op.update("START"), true)\n', ""]], sound: "the service takes a SUCCEED of a step that it does not know" },
  { name: "a lazy START waits for ever", sound: "START is only for those who look at the console", patches: [[CORE, 'if (isDue("start") && checkpoints.queued() > 0) checkpoints.poll()', 'isDue("start")']] },

  // ---- the queue
  { name: "a resend has a ClientToken of its own", quick: true, args: ["--profile", '{"lost":0.2}'], patches: [[QUEUE, "    client\n      .checkpoint({", "    Effect.suspend(() => client.checkpoint({"], [QUEUE, "++requests)\n      })\n      .pipe(", "++requests)\n      })).pipe("]] },
  { name: "markers overtake those that an earlier request had no room for", args: crowded, patches: [[QUEUE, "firsts = Math.max(0, firsts - n)", "firsts = 0"]] },
  { name: "all requests have the same ClientToken", patches: [[QUEUE, '"batch", "", ++requests)', '"batch", "", 1)']] },
  { name: "further pages of a response are not read", quick: true, args: ["--profile", '{"pageSize":2}'], patches: [[QUEUE, "token === undefined || !state?.NextMarker", "true"]] },
  { name: "further pages of the initial state are not read", args: ["--profile", '{"pageSize":2}'], patches: [[QUEUE, "const rest = nextMarker\n", "const rest = nextMarker === ''\n"]] },
  { name: "one request updates an operation twice", sound: "the core waits for an answer before it has more to say: CheckpointService.test.ts covers others", patches: [[QUEUE, "if (exceeds() || conflicts(actions, entry.update)) break", "if (exceeds()) break"]] },
  { name: "the old token is used again", patches: [[QUEUE, "if (response.token !== undefined) token = response.token\n    else if (", "if (response.token === undefined && "]] },
  { name: "answered before everything is durable", patches: [["DurableHandler.ts", 'Effect.as(checkpoints.drain, { Status: "PENDING" })', 'Effect.succeed({ Status: "PENDING" })']], sound: "the core suspends only when nothing is queued; the drain is a second bolt" }
]
