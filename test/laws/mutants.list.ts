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
  /** Random programs are blind for it; this test of laws.test.ts, or of another file, is not. */
  readonly directed?: string
  readonly file?: string
  /** Why taking it out breaks no law. */
  readonly sound?: string
  /** Dies within a second or two: laws.test.ts runs it. */
  readonly quick?: boolean
}

const CORE = "internal/core/Core.ts"
const EXCHANGE = "internal/core/exchange.ts"
const WORLDS = "internal/core/worlds.ts"
const GATE = "internal/core/gate.ts"
const VISITS = "internal/core/visits.ts"
const WORK = "internal/core/work.ts"
const ORDER = "internal/core/order.ts"
const OPERATION = "internal/core/operation.ts"
const WORLD = "internal/core/world.ts"
const CONTEXTS = "internal/core/contexts.ts"
const QUEUE = "CheckpointService.ts"
const DEADLINE = "internal/core/deadline.ts"
const CALLBACK = "operations/callback.ts"
const CONDITION = "operations/waitForCondition.ts"
const BATCH = "operations/batch.ts"
const CLEANUP = "operations/cleanup.ts"
const LOSING = "internal/core/losing.ts"
const COMPLETION = "internal/completion.ts"

const timestamps = ["--order", "timestamps"]
const late = ["--profile", '{"externalLag":8}']
const hard = ["--hard"]
const cleanup = ["--cleanup"]
const fibers = ["--fibers"]
/** Steps that take longer than an invocation may. */
const slow = ["--profile", '{"slow":20,"deadline":50}']

/** More markers at once than fit into a request. */
const crowded = [
  "--profile",
  '{"batchUpdates":2,"externalLag":8,"crash":0.1,"unit":1,"latency":2.5}',
  "--program",
  '{"t":"all","n":0,"c":[{"t":"sleep","s":1,"named":false},' +
    '{"t":"child","k":1,"keep":"plain","typed":false,"b":{"t":"all","n":0,"c":[{"t":"cb","k":2,"mid":null,"wait":"once"},{"t":"sleep","s":2,"named":false}]}},' +
    '{"t":"all","n":0,"c":[{"t":"cb","k":0,"mid":null,"wait":"once"},{"t":"cb","k":1,"mid":null,"wait":"once"},{"t":"sleep","s":1,"named":false},' +
    '{"t":"cb","k":2,"mid":null,"wait":"once"},{"t":"sleep","s":2,"named":false}]}]}'
]

/** How far the inner contexts come before one of the outer ones times out is chance. */
const chance =
  '{"t":"each","items":2,"n":2,"b":{"t":"timeout","s":1,"b":{"t":"child","k":0,"keep":"odd","typed":false,"b":' +
  '{"t":"child","k":1,"keep":"odd","typed":true,"b":{"t":"step","k":2,"dur":1.1,"pf":0,"end":"fail","retry":0,"form":"recurs","amo":false,"timeout":false,"typed":false}}}}}'

/** Requests that a timer sends in the middle of a turn, while a payload is read. */
const midTurn = [
  "--serdes",
  "--profile",
  '{"deadline":40}',
  "--program",
  '{"t":"retry","times":2,"s":1,"b":{"t":"each","items":3,"n":2,"b":{"t":"fork","a":{"t":"each","items":4,"n":4,"b":{"t":"step","k":0,"dur":3.0035323589108884,"pf":0,"end":"fail","retry":0,"form":"recurs","amo":false,"timeout":false,"typed":false}},"b":{"t":"fork","a":{"t":"invoke","slow":false,"k":1,"typed":false},"b":{"t":"step","k":3,"dur":0,"pf":0,"end":"fail","retry":0,"form":"recurs","amo":false,"timeout":false,"typed":false},"join":true,"now":false,"loop":false},"join":false,"now":false,"loop":false}}}'
]
const PAYLOADS = "test/operations/payloadTime.test.ts"

const STEP =
  '{"t":"step","k":0,"dur":0,"pf":0,"end":"fail","retry":0,"form":"recurs","amo":false,"timeout":false,"typed":false}'

/** A flat item chooses between two others, and then the next item starts. */
const flatChoice =
  '{"t":"map","items":3,"n":1,"flat":true,"k":0,"mode":"values","done":{"by":"default"},"keep":"plain","typed":false,"whole":false,' +
  '"b":{"t":"raceFirst","c":[{"t":"invoke","k":0},{"t":"invoke","k":1}]}}'

/** The same, rebuilt from the records of its operations. */
const flatOdd = flatChoice.replace('"keep":"plain"', '"keep":"odd"').replace('"n":1', '"n":0')

/** The outcomes of flat items take time to make. */
const flatSlow =
  `{"t":"par","struct":false,"c":[${STEP},${STEP},{"t":"sleep","s":3,"named":false}],"n":2,"flat":true,"k":0,` +
  '"mode":"values","done":{"by":"default"},"keep":"slow","typed":false,"whole":false}'

/** A context ends alone, and then another fiber asks for a step. */
const alone =
  '{"t":"all","n":0,"c":[{"t":"child","k":0,"keep":"plain","typed":false,"b":{"t":"get"}},' +
  `{"t":"seq","c":[{"t":"yield"},${STEP.replace('"dur":0', '"dur":6')}]}]}`

// prettier-ignore
export const mutants: ReadonlyArray<Mutant> = [
  { name: "none", patches: [], sound: "the core as it is" },

  // ---- order
  { name: "order by request, not by time", quick: true, args: timestamps, patches: [[WORLD, "return a.time !== b.time ? a.time < b.time : a.rank", "return a.rank"]] },
  { name: "outside before own in a tie", args: timestamps, patches: [[ORDER, "own.time <= outside.time", "own.time < outside.time"]] },
  { name: "chance decides ties", patches: [[WORLD, ": a.seq < b.seq", ": Math.random() < 0.5"]] },
  { name: "two deliveries per quiescence", patches: [[CORE, "      deliver(waiter)\n", "      deliver(waiter)\n      const more = phase === 'running' ? gate.next() : undefined\n      if (more !== undefined) deliver(more)\n"]] },
  { name: "everything known is delivered at once", patches: [[CORE, "      deliver(waiter)\n", "      deliver(waiter)\n      for (let w = phase === 'running' ? gate.next() : undefined; w !== undefined; w = phase === 'running' ? gate.next() : undefined) deliver(w)\n"]] },
  { name: "a context is given more before it has come to rest", directed: "comes to rest before it is given another one", patches: [[GATE, "      if (world.movedAt >= turn) return undefined\n", "      void turn\n"]] },
  { name: "microtasks are not waited for", directed: "a promise chain of the body belongs to the instant in which it began", patches: [[CORE, "if (!settled) {", "if (false) {"]] },
  { name: "no hold at the horizon", args: timestamps, patches: [[ORDER, 'return outside.time > horizon.complete && world.unknownOutside > 0 ? "hold" : outside', "return outside"]] },
  { name: "held worlds are not looked at again", args: [...timestamps, "--n", "40000"], directed: "timestamps: a held completion is delivered after one more look", patches: [[GATE, "for (const world of held) wake(world)", ""]] },
  { name: "a timer sends in the middle of a turn", args: midTurn, directed: "no timer sends a request", file: PAYLOADS, patches: [[EXCHANGE, "if (idle()) flush()", "flush()"]] },
  { name: "a context that is being written has no order", args: ["--serdes"], directed: "keeps its order while its value is written", file: PAYLOADS, patches: [[WORLDS, "    for (const one of [world, ...parts]) if (one.unrecorded !== undefined) gate.unwritten.add(one)\n", ""]] },
  { name: "what is thrown is drained before", args: ["--serdes"], directed: "puts nothing on record", file: PAYLOADS, patches: [["internal/answer.ts", 'DurableError.scopeOf(outcome.error) === "invocation"', 'outcome.error._tag === "OutOfTime"']] },
  { name: "a wait that is over by a stamp of a clock that was ahead", directed: "a clock that was ahead", patches: [[CORE, " && !outrun()", ""]] },
  { name: "side effects while held", args: timestamps, patches: [[CORE, "parked.size > 0 && gate.held.size === 0", "parked.size > 0"]] },
  { name: "no pacing", patches: [[EXCHANGE, "if (ambiguous) {", "if (false) {"]] },
  { name: "a choice does not ask for pacing", args: timestamps, patches: [[CORE, "if (world.parked > 1) choice()", ""]] },
  { name: "no pacing after a marker (skew 1, pace 3)", args: ["--profile", '{"skew":1,"pace":3}', "--n", "40000"], patches: [[EXCHANGE, "if (markers.size > 0 && acknowledged.filter((update) => markers.delete(update)).length > 0) choice()", ""]] },
  { name: "delivered before it is acknowledged", quick: true, patches: [[EXCHANGE, "    const refused = checkpoints.offer(update, lazy ? LAZY : undefined, op)\n", "    const refused = checkpoints.offer(update, lazy ? LAZY : undefined, op)\n    const now = gate.maxSeen()\n    if (update.Type === 'STEP' && update.Action === 'SUCCEED') merge({ Id: update.Id, Type: 'STEP', Name: update.Name, Status: 'SUCCEEDED', StartTimestamp: now, EndTimestamp: now, StepDetails: { Attempt: 1, Result: update.Payload! } })\n"]] },
  { name: "steps are launched when asked for", patches: [[CORE, "    park: gate.park,\n", "    park: (...args) => {\n      const waiter = gate.park(...args)\n      if (!waiter.known && waiter.op.spec.type === 'STEP') work.perform(() => false)\n      return waiter\n    },\n"]] },
  { name: "fast path: known and alone, delivered when asked for", patches: [[CORE, "    park: gate.park,\n", "    park: (...args) => {\n      const waiter = gate.park(...args)\n      if (waiter.known && parked.size === 1 && phase === 'running') { const w = gate.next(); if (w === waiter) deliver(w) }\n      return waiter\n    },\n"]] },
  { name: "a wait ends when the service says so", args: timestamps, patches: [[GATE, 'if (record.Type === "WAIT") {', 'if (record.Type === "WAIT" && !ended) return\n    if (record.Type === "WAIT" && record.EndTimestamp === undefined) {']] },
  { name: "a wait ends before the service's clock is there", patches: [[GATE, " && time > maxSeen)", " && false)"]] },

  // ---- markers
  { name: "markers are not written", quick: true, args: late, patches: [[ORDER, "world.keep(chosen.op.id, chosen.nth)", ""]] },
  { name: "log is not written", args: ["--order", "log"], patches: [[ORDER, "world.keep(chosen.op.id, chosen.nth)", ""]] },
  { name: "markers go to the end of their request", patches: [[EXCHANGE, "checkpoints.offer(update, { first: true })", "checkpoints.offer(update)"]] },
  { name: "suspended before the order is on record", args: late, patches: [[CORE, "if (gate.unwritten.size === 0) return end", "return end"]] },
  { name: "outside first, although own is older", patches: [[ORDER, "if (byMarkers && own !== undefined && own.time < time) break", ""]] },
  { name: "a marker names the operation, not the wait", args: late, sound: "waits for one operation come in the order in which they were asked for, so the first known is the recorded one", patches: [[ORDER, "waiter.nth === nth && waiter.known", "waiter.known"]] },
  { name: "markers without a choice", patches: [[ORDER, "if (world.parked === 1) {", "if (false) {"]] },
  { name: "markers are not taken off the unvisited", patches: [[ORDER, "world.unvisited?.delete(record.Id)", ""]] },
  { name: "the order of a context that will be rebuilt is dropped", args: [...late, "--n", "40000", "--size", "20"], patches: [[WORLDS, "    if (ending.ContextOptions?.ReplayChildren === true && world.unrecorded !== undefined) gate.unwritten.add(world)\n", ""]] },
  { name: "what an ended body leaves is sent at once, without order", patches: [[CORE, "if (checkpoints.queued() === 0 && !checkpoints.inFlight()) return end(", "return end("]] },

  // ---- worlds
  { name: "a context's end never waits for the service", quick: true, patches: [[WORLDS, "op.waiters > 0 && op.place.world.parked === op.waiters", "op.waiters > 0"]] },
  { name: "a context's end always waits for the service", sound: "slower by a round trip, as the prototype did it", patches: [[WORLDS, "op.waiters > 0 && op.place.world.parked === op.waiters", "false"]] },
  { name: "a context's end moves its parent's clock", patches: [[CORE, 'if (op.spec.type !== "CONTEXT" && waiter.time > world.time)', "if (waiter.time > world.time)"]] },
  { name: "one clock for all worlds", quick: true, patches: [[CORE, "waiter.time > world.time) world.time = waiter.time", "waiter.time > root.time) root.time = waiter.time\n    world.time = root.time"]] },
  { name: "a context's clock starts with the latest stamp", patches: [[WORLDS, "op.id, world, world.time, ", "op.id, world, gate.maxSeen(), "]] },
  { name: "the body sees the client's clock", patches: [[OPERATION, "Math.trunc(currentPlace(this.core).world.time)", "this.core.host.clock.currentTimeMillisUnsafe()"]] },
  { name: "unseeded random numbers", patches: [[OPERATION, "new SeededRandom(() => `${this.core.executionArn}#${place.path}`)", "new SeededRandom(() => String(Math.random()))"]] },
  { name: "the lost race is known to the parent only", directed: "a finalizer of a lost context must not be durable", patches: [[CONTEXTS, "    Worlds.of(this.core).lose(this.world)\n", ""]] },
  { name: "a lost context is closed on the wire", args: hard, patches: [[WORLDS, "const isLost = () => op.waiters === 0", "const isLost = () => false"], [WORLDS, 'isAlone ? "record" : "recordIfAwaited"', '"record"']] },
  { name: "how far a lost context came goes on record", args: ["--program", chance], patches: [[WORK, "if (someLost && isLost(op.place.world)) return", ""]] },
  { name: "a fiber that is parked in a lost context, masked or nobody's, goes on", args: [...fibers, ...hard], patches: [[CONTEXTS, "    this.core.release(this.world)\n", ""]] },
  { name: "unvisited operations are not noticed", directed: "a removed step ends the execution", patches: [[VISITS, "if (missingCount === 0) return true", "return true"]] },
  { name: "what a finished world has not asked for counts as missing", args: ["--size", "30"], patches: [[VISITS, "      if (world.unvisited === undefined) return\n      if (worlds", "      if (world !== undefined) return\n      if (worlds"]] },

  // ---- fibers that outlive their context
  { name: "fibers of a context that has ended go on", quick: true, args: fibers, patches: [[CONTEXTS, "    if (world.parked > 0) core.release(world) // fibers that would outlive it\n", ""]] },
  { name: "what they have begun in contexts goes on", args: fibers, directed: "an item ends with the fiber that had outlived its context", patches: [[CORE, "      if (world !== undefined) waiter.op.lose?.()\n", ""]] },
  { name: "those that nothing had parked go on", args: [...fibers, ...hard], patches: [[OPERATION, "place.world.state === \"open\" && !core.tornDown", "!core.tornDown"]], directed: "a fiber that the end of its context moves ends with it" },
  { name: "what was let go of goes on with its cleanup", args: [...fibers, ...cleanup], patches: [[LOSING, "    op.lose = loss.lose // should its parent end meanwhile\n", ""]], directed: "what is let go of ends its cleanup with the context that waits for it" },
  { name: "what they let go of then goes on record", args: [...fibers, ...cleanup], patches: [[CORE, '    root.state = "ended" // what its fibers let go of now is lost, as in any context\n', ""]], directed: "what a fiber that outlives the body lets go of does not go on record after its end" },
  { name: "what fibers that outlive the body wait for goes on record", args: [...fibers, ...cleanup], patches: [[CORE, "    release(root) // fibers that would outlive it\n", ""]], directed: "what a fiber that outlives the body waits for does not go on record after its end" },

  // ---- code that changes
  { name: "what was added does not excuse what follows it", quick: true, args: ["--edits", "calm"], patches: [[VISITS, "op.place.world.unvisited === world.unvisited && isAdded(op)", "false"]] },
  { name: "what has gone is missed", args: ["--edits", "calm"], patches: [[VISITS, "if (records.get(id)!.Name === name && unvisited.delete(id)) missingCount--", "void [id, name]"]] },
  { name: "the recorded order must fit code that has changed", args: ["--edits", "calm"], patches: [[ORDER, "if (!world.changed) {", "if (world !== undefined) {"]] },
  { name: "what is new and undeclared does not wait for what was added", args: ["--edits", "partly"], patches: [[WORK, "waits?.(item.op) || ", ""]] },
  { name: "what is in a context that waits does not wait", args: ["--edits", "partly"], patches: [[VISITS, "waits(opened.get(op.place.parentId!))", "false"]] },
  { name: "an ended body goes on record although it has not asked for everything", directed: "removed at the end of a context, it ends the execution before the context is recorded", patches: [[CONTEXTS, "} else if ((world.rebuilding && Exit.isFailure(exit)) || core.complete(world, exit)) {", "} else {"]] },
  { name: "after a fatal error an ended body goes on record", directed: "nothing comes into a context that is rebuilt", patches: [[WORK, ' && !closed()) act(item)', ") act(item)"]] },

  { name: "a fiber moved by another world is not noticed", directed: "contexts that share memory are told so", patches: [[CORE, " && (moves(world) || unguarded)", ""]] },
  { name: "nor one that is moved by another world in its own turn", directed: "contexts that share memory are told so, also when both", patches: [[CORE, "(turning ? delivery : turn)", "turn"]] },
  { name: "untracked work is not noticed", directed: "untracked async work beside durable work ends the execution", patches: [[CORE, "    if (parked.size > 0) {\n", "    if (false) {\n"]] },
  { name: "default scheduler in the body", patches: [[OPERATION, "give(context, Scheduler.Scheduler, core.scheduler)", "context"]] },
  { name: "fibers yield by operation count", args: hard, directed: "a busy fiber is not interrupted by others", patches: [["internal/core/BodyScheduler.ts", "    return this.isStopped\n", "    return (fiber as any).currentOpCount >= (fiber as any).cache.maxOpsBeforeYield\n"]] },

  // ---- contexts that are rebuilt
  { name: "a rebuilt context that had to wait keeps no outcome", quick: true, patches: [[WORLDS, "    op.outcome = outcome\n", "    if (recorded || op.place.world.parked === op.waiters) op.outcome = outcome\n"]] },
  { name: "a rebuilt context answers before it is rebuilt", patches: [[GATE, "waiter.ready = !rebuilds(op) || op.outcome !== undefined", "waiter.ready = true"]] },
  { name: "a context that is being rebuilt does not keep its place", patches: [[ORDER, "chosen instanceof NonDeterministic || chosen.ready ? chosen : undefined", "chosen instanceof NonDeterministic || chosen.ready ? chosen : own !== undefined && outside !== undefined && outside.ready ? outside : undefined"]] },

  // ---- steps
  { name: "the loser of a race waits for its step's finalizers", patches: [
    [OPERATION, "    return leave?.() ?? Effect.void\n  })\n", "    return leave?.() ?? Effect.void\n  }).pipe(Effect.andThen(Effect.suspend(() => (waiter.op as any).fiber === undefined || core.closed ? Effect.void : Effect.asVoid(Fiber.await((waiter.op as any).fiber)))))\n"],
    [WORK, "    track(op, fiber, (exit) => {\n      if (op.cancel", "    ;(op as any).fiber = fiber\n    track(op, fiber, (exit) => {\n      if (op.cancel"]
  ] },
  { name: "what a cancelled step still produces counts", patches: [[WORK, "if (!closed() && !cancelled) done(exit)", "if (!closed()) done(exit)"]] },
  { name: "READY begins an attempt, whatever runs", args: ["--profile", '{"repeat":6}'], patches: [[WORK, "if (number <= op.attempt || op.waiters === 0 || tooLate()) return", "if (op.waiters === 0 || tooLate()) return"]] },
  { name: "a lost step begins", patches: [[WORK, "if (op.launched || (op.waiters === 0 && op.spec.type !== \"CONTEXT\")) return", "if (op.launched) return"], [WORK, "if (number <= op.attempt || op.waiters === 0 || tooLate()) return", "if (number <= op.attempt || tooLate()) return"]] },
  { name: "at most once: the body does not wait for its START", quick: true, patches: [[WORK, " && !(op.startsFirst && op.record === undefined))", ")"]] },
  { name: "at most once: an interrupted attempt runs again", patches: [[WORK, 'begin(op, op.atMostOnce && status === "STARTED")', "begin(op, false)"]] },
  { name: "START of a step that exists is sent again", patches: [[WORK, "    if (isStep && op.record?.Status", "    else if (isStep && op.record.Status === 'STARTED') offer(op.update('START'), true)\n    if (isStep && op.record?.Status"]] },
  { name: "a lazy START is never sent", patches: [[WORK, 'if (isStep) offer(op.update("START"), op, !op.startsFirst && startDelay > 0)', 'if (isStep) void (op.startsFirst && offer(op.update("START"), op))'], [WORK, '      offer(op.update("START"), op, true)\n', ""]], sound: "the service takes a SUCCEED of a step that it does not know" },
  { name: "a lazy START waits for ever", sound: "START is only for those who look at the console", patches: [[EXCHANGE, 'if (isDue("start") && checkpoints.queued() > 0) checkpoints.poll()', 'isDue("start")']] },

  // ---- deadlines
  { name: "no deadline is guarded", quick: true, args: slow, patches: [[DEADLINE, "left - margin", "Infinity"]] },
  { name: "what a deadline cuts off runs again for ever", args: slow, patches: [[DEADLINE, "      hasEnded = true\n", "      if (!atMostOnce) return undefined\n"]] },
  { name: "what a deadline cuts off is waited for", args: slow, patches: [[WORK, "      op.cancel?.() // at once", "      // at once"]] },
  { name: "attempts begin when it is too late", args: slow, directed: "what begins near its deadline is left to the next invocation", patches: [[WORK, "const tooLate = (): boolean => (left ||= expired)", "const tooLate = (): boolean => false"]] },
  { name: "work is left, and nobody is told", args: slow, patches: [[DEADLINE, "if (!work.left() || rests()) return false", "return false"]] },
  { name: "the rest of an earlier invocation counts as an operation", quick: true, args: slow, patches: [[CORE, " || deadline.isRest(record)", ""]] },
  { name: "near a deadline, a body that goes on counts as one that spins", args: slow, patches: [[CORE, "< deadline.latest) return", "< deadline.at) return"]], directed: "a body that goes on near its deadline is not one that spins" },
  { name: "rests share an id", args: slow, patches: [[DEADLINE, "count = Math.max(count, n)", "count = 0 * n"]] },
  { name: "at most once: what is cut off is begun again", args: slow, patches: [[DEADLINE, "!atMostOnce && hasEnded", "hasEnded"], [WORK, 'begin(op, op.atMostOnce && status === "STARTED")', "begin(op, false)"]] },

  // ---- callbacks, conditions, invokes
  { name: "what exists is started again", patches: [[WORK, "    if (op.record === undefined) {\n      if (isStep && tooLate", "    if (!isStep || op.record === undefined) {\n      if (isStep && tooLate"]] },
  { name: "what others complete counts as our own", args: late, patches: [[GATE, 'record.Type === "STEP" || record.Type === "CONTEXT" ? 0 : 1', "0"]] },
  { name: "a callback is given out before it exists", quick: true, patches: [[CALLBACK, 'park<string, never>(here.core, op, "created", created)', 'Effect.succeed("cb-" + op.id)']] },
  { name: "an answer that was waited for once is not given again", patches: [[CALLBACK, '? park<unknown, unknown>(core, op, "ended", answer) : halt', '&& op.waits < 2 ? park<unknown, unknown>(core, op, "ended", answer) : halt']] },
  { name: "the schedule is asked before the condition", patches: [[CONDITION, "  if (met.value) return succeeded(payload)\n", ""], [CONDITION, "  if (decided.value === undefined) {", "  if (met.value && Exit.isSuccess(decided) && decided.value !== undefined) return succeeded(payload)\n  if (decided.value === undefined) {"]] },
  { name: "the condition is asked again for what is recorded", patches: [[CONDITION, 'return park(core, op, "ended", decoder(core, outside, codec))', 'return Effect.tap(park<any, any>(core, op, "ended", decoder(core, outside, codec)), (state: any) => asEffect(options.until(state)))']] },
  { name: "every check begins with the initial state", quick: true, patches: [[CONDITION, "if (attempt.number === 1 || ", "if (true || "]] },
  { name: "START of a check is sent when it begins, and wipes out the state", patches: [[WORK, 'if (status === "READY" && !op.carriesState) {', 'if (status === "READY") {'], [WORK, 'if (op.carriesState && op.record?.Status === "READY") ', "if (false) "]] },
  { name: "START of a check and its end may be torn apart", args: ["--profile", '{"batchUpdates":2,"crash":0.15}'], patches: [[QUEUE, "if (n > 1 && last?.Action", "if (false && last?.Action"]] },

  // ---- parallel and map
  { name: "a closed batch runs again", patches: [[BATCH, "mustRun(op) ? drive(batch) : {", "mustRun(op) || true ? drive(batch) : {"]] },
  { name: "an item that has ended runs again", patches: [[BATCH, "if (!flat && !mustRun(own)) return", "if (false) return"]] },
  { name: "items start whatever runs", quick: true, patches: [[BATCH, "running < limit", "true"]] },
  { name: "items start in another order", patches: [[BATCH, "running < limit && items.length < last) start()", "running < limit && items.length < last) start(last - 1 - items.length)"], [BATCH, "const start = (): void => {\n    const index = items.length", "const start = (index: number): void => {"]] },
  { name: "a batch goes on until all have ended", patches: [[BATCH, "    item.read = read\n    if (recorded === undefined) endWith(decide())", "    item.read = read\n    if (recorded === undefined && tally.success + tally.failure === size) endWith(decide())"]] },
  { name: "a batch tolerates failures of which nothing is said", patches: [[COMPLETION, "return failure > 0", "return false"]] },
  { name: "successes count before failures", patches: [[COMPLETION, '  if (exceeded(rule, tally)) return "FAILURE', '  if (rule.minSuccessful !== undefined && tally.success >= rule.minSuccessful) return "MIN_SUCCESSFUL_REACHED"\n  if (exceeded(rule, tally)) return "FAILURE']] },
  { name: "a batch that has ended leaves its items running", patches: [[BATCH, "    for (const body of bodies()) body.lose()\n", ""]] },
  { name: "a batch that was lost leaves its items running", args: hard, patches: [[BATCH, "      worlds.lose(world)\n      loseRunning()\n", "      worlds.lose(world)\n"]] },
  { name: "an item that was lost still counts", args: hard, patches: [[WORLDS, "if (closed() || world.abandoned) return", "if (closed()) return"], [WORLDS, "const isLost = () => world.abandoned", "const isLost = () => false"]] },
  { name: "a rebuilt batch is decided again", args: ["--size", "30"], patches: [[BATCH, "    item.read = read\n    if (recorded === undefined) endWith(decide())", "    item.read = read\n    endWith(decide())"]] },
  { name: "a rebuilt batch forgets why it ended", args: ["--size", "30"], patches: [[BATCH, "endWith((recorded as payloads.Recorded).completionReason)", 'endWith("ALL_COMPLETED")']] },
  { name: "what was running when a rebuilt batch ended runs again", args: ["--size", "30"], patches: [[BATCH, 'const skipped = marks?.[index] === "STARTED"', "const skipped = false"]] },
  { name: "what had not started when a rebuilt batch ended starts", args: ["--size", "30"], patches: [[BATCH, "const last = marks?.length ?? size", "const last = size"]] },
  { name: "flat items share their ids", patches: [[WORLDS, "enter(item, item.id, world", "enter(item, world.place.path, world"]] },
  { name: "an item's clock starts with the latest stamp", patches: [[WORLDS, "enter(item, item.id, world.place.parentId, world, world.time, ", "enter(item, item.id, world.place.parentId, world, gate.maxSeen(), "]] },
  { name: "the order of a flat item is lost with its end", args: ["--profile", '{"externalLag":10,"crash":0.1}', "--program", flatChoice], patches: [[WORLDS, "      if (world.unrecorded !== undefined) gate.unwritten.add(world)\n    } else if", "    } else if"]] },
  { name: "the order of a flat item is dropped where its batch is rebuilt", args: ["--profile", '{"externalLag":10,"crash":0}', "--program", flatOdd], patches: [[BATCH, "      if (flat && inner.unrecorded !== undefined) parts.push(inner)\n", ""]] },
  { name: "while an outcome is made again, what follows it counts as missing", args: ["--program", flatSlow], patches: [[CORE, " && worlds?.remaking() !== true", ""]] },
  { name: "a context that ends alone does not look whether it stays alone", args: ["--profile", '{"skew":1,"pace":3,"crash":0,"latency":0.3}', "--program", alone], patches: [[WORLDS, "    else ended.push({ op, ending })", "    else {\n      ended.push({ op, ending })\n      settleEnded()\n    }"]] },

  // ---- cleanup
  { name: "what was registered first is cleaned up first", quick: true, args: cleanup, patches: [[CLEANUP, "for (let next = scope.registered.pop(); next !== undefined; next = scope.registered.pop()) {", "for (let next = scope.registered.shift(); next !== undefined; next = scope.registered.shift()) {"]] },
  { name: "the last one registered is forgotten", args: cleanup, patches: [[CLEANUP, "for (let next = scope.registered.pop(); next", "scope.registered.pop()\n    for (let next = scope.registered.pop(); next"]] },
  { name: "what succeeds is undone, too", args: cleanup, patches: [[CLEANUP, "if (!compensates || Exit.isFailure(exit)) return exit", "return exit"]] },
  { name: "what a lost fiber has done is not undone", args: cleanup, patches: [[CLEANUP, "return own === undefined || Exit.isSuccess(own) ? undefined : withoutFibers(own)", "return undefined"]] },
  { name: "cleanup at a suspension", args: cleanup, patches: [[CLEANUP, "    if (isGone(here)) return\n    const failure", "    if (isGone(here)) yield* Effect.exit(next.run(ended))\n    const failure"]] },
  { name: "the exit names the fibers that interrupted", args: cleanup, patches: [[CLEANUP, "const ended = withoutFibers(exit)", "const ended = exit"]] },
  { name: "the body of a context ends before its cleanup", args: cleanup, patches: [[OPERATION, "return place.atEnd?.(exit) as Effect.Effect<void> | undefined", "return place.atEnd === undefined ? undefined : Effect.asVoid(Effect.forkDetach(place.atEnd(exit) as Effect.Effect<void>))"]] },

  // ---- cleanup of contexts that are let go of
  { name: "a context with cleanup is lost like any other", quick: true, args: cleanup, patches: [[LOSING, 'if (world === undefined || world.cleanups === 0) return "lost"', 'return "lost"']] },
  { name: "its parent does not stand still meanwhile", args: cleanup, patches: [[LOSING, "  loss.parent.holds++\n", ""], [LOSING, "    parent.holds--\n", ""]] },
  { name: "decided at once, before everything known is delivered", args: cleanup, patches: [[LOSING, "  stateOf(core).losses.add(loss)\n", "  const state = stateOf(core)\n  state.losses.add(loss)\n  move(core, state)\n"]] },
  { name: "what has followed from it is not looked at", args: [...cleanup, "--n", "20000"], patches: [[LOSING, "isReplaying(parent) && unfollowed !== true && !parent.changed", "false"]] },
  { name: "where it was interrupted is not on record", args: cleanup, patches: [[LOSING, "      world.keep(INTERRUPTED, world.deliveries)\n", ""]] },
  { name: "a replay does not stop where it was interrupted", args: cleanup, patches: [[ORDER, " || world.deliveries === world.endsAt", ""]] },
  { name: "its cleanup begins before its parent's reason is on record", args: [...cleanup, "--n", "20000", "--profile", '{"batchUpdates":2,"crash":0.2}'], patches: [[LOSING, "cleaning.op.record === undefined || ", ""]] },
  { name: "it goes on until then", args: cleanup, patches: [[WORLD, "frozen || (parent !== undefined && isFrozen(parent))", "false && isFrozen({ frozen, parent } as World)"]] },
  { name: "its parent does not wait for its cleanup", args: cleanup, patches: [[LOSING, "resume(cleanup === undefined ? Effect.void", "resume(cleanup !== undefined || cleanup === undefined ? Effect.void"]] },
  { name: "an outer loss is decided before an inner one", args: [...cleanup, "--hard", "--n", "40000"], patches: [[LOSING, "isOpen(loss.world, loss)\n", "false\n"]] },
  { name: "two losses of one parent are decided in any order", args: ["--n", "3000", "--program", '{"t":"timeout","s":3,"b":{"t":"each","items":2,"n":2,"b":{"t":"fin","b":{"t":"map","items":2,"b":{"t":"step","k":0,"dur":5.4,"pf":0,"end":"fail","retry":0,"form":"recurs","amo":false,"timeout":false,"typed":false},"k":2,"n":0,"flat":false,"mode":"result","done":{"by":"rule","min":1},"keep":"plain","typed":false,"whole":false},"f":{"t":"rand"},"on":"ensuring"}}}'], patches: [[LOSING, "      waiting.add(parent)\n", ""]] },
  { name: "it may end before it is on record where it was interrupted", args: [...cleanup, "--hard", "--n", "20000"], patches: [[WORLDS, "    if (world.unrecorded !== undefined) gate.unwritten.add(world)\n  }", "  }"]] },
  { name: "items that were begun before are forgotten when their batch ends", args: [...cleanup, "--n", "20000"], patches: [[BATCH, "if (own !== undefined && mustRun(own)) begun.push(run(new Item(index, own), own))", ""]] },
  { name: "contexts that end settle while their parent stands still", args: hard, patches: [[WORLDS, "if (op.place.world.holds > 0) {", "if (false) {"]] },

  // ---- the queue
  { name: "a resend has a ClientToken of its own", quick: true, args: ["--profile", '{"lost":0.2}'], patches: [[QUEUE, "    client\n      .checkpoint({", "    Effect.suspend(() => client.checkpoint({"], [QUEUE, "++requests}`\n      })\n      .pipe(", "++requests}`\n      })).pipe("]] },
  { name: "markers overtake those that an earlier request had no room for", args: crowded, patches: [["internal/line.ts", "firsts = Math.max(0, firsts - count)", "firsts = 0"]] },
  { name: "all requests have the same ClientToken", patches: [[QUEUE, "-${++requests}", "-1"]] },
  { name: "further pages of a response are not read", quick: true, args: ["--profile", '{"pageSize":2}'], patches: [[QUEUE, "token === undefined || !state?.NextMarker", "true"]] },
  { name: "further pages of the initial state are not read", args: ["--profile", '{"pageSize":2}'], patches: [[QUEUE, "const rest = nextMarker\n", "const rest = nextMarker === ''\n"]] },
  { name: "one request updates an operation twice", sound: "the core waits for an answer before it has more to say: CheckpointService.test.ts covers others", patches: [[QUEUE, "if (sent.sentIn === batches && (sent.sentMore || update.Action === \"START\")) break", ""]] },
  { name: "the old token is used again", patches: [[QUEUE, "if (response.token !== undefined) token = response.token\n    else if (", "if (response.token === undefined && "]] },
  { name: "answered before everything is durable", patches: [["internal/answer.ts", 'Effect.as(recorded, { Status: "PENDING" })', 'Effect.succeed({ Status: "PENDING" })']], sound: "the core suspends only when nothing is queued; the drain is a second bolt" }
]
