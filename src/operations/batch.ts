/**
 * What `parallel` and `map` share: the options, and the batch that they run. Items are worlds of their own. The batch
 * moves on as soon as one has ended, and its parent is given one thing: the closed batch.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { type BatchItem, type BatchResult, type CompletionReason, make as makeResult } from "../BatchResult.ts"
import type { DurableContext } from "../DurableContext.ts"
import { type Fatal, InvalidOperation, NonDeterministic, SerdesFailed } from "../DurableError.ts"
import * as completions from "../internal/completion.ts"
import * as payloads from "../internal/core/batchPayload.ts"
import * as contexts from "../internal/core/contexts.ts"
import { halt, type Here, invalid, open, park, terminated, withHere } from "../internal/core/operation.ts"
import { decodeNow, encodeNow, succeeded, transform } from "../internal/core/outcomes.ts"
import { type Closing, type Decode, mustRun, Op, rebuilds, Spec, type World } from "../internal/core/world.ts"
import * as Worlds from "../internal/core/worlds.ts"
import * as failures from "../internal/failure.ts"
import { letGo, leaving, type Loss } from "../internal/core/losing.ts"
import { prefixOf } from "../internal/operationId.ts"
import { Limits } from "../internal/wire.ts"
import type * as Protocol from "../Protocol.ts"
import { isText, readPlainJson } from "../Serdes.ts"
import { type AnyOptions, type CompletionProgress, faultOf, type Program } from "./batchOptions.ts"

const ITEM_TYPES = { Map: "MapIteration", Parallel: "ParallelBranch" } as const
const DEFAULT_NAMES = { Map: "map-item-", Parallel: "parallel-branch-" } as const

// ---- the operation -------------------------------------------------------------------------------------

/** Runs a batch. */
export const run = (
  name: string,
  program: Program,
  options: AnyOptions
): Effect.Effect<unknown, unknown, DurableContext> => {
  const call = program.kind === "Map" ? "map" : "parallel"
  return withHere(call, name, (here) => {
    const { core } = here
    const fault = faultOf(program, options)
    if (fault !== undefined) return invalid(core, `Durable.${call}("${name}"): ${fault}`)
    const op = open(here, call, "CONTEXT", program.kind, name)
    if (op === undefined) return halt
    const batch: Batch = { here, op, program, options }
    return park(core, op, "ended", reader(batch), () => {
      const loss = mustRun(op) ? drive(batch) : { world: undefined, bodies: () => [], lose: () => {} }
      op.lose = loss?.lose
      return loss && (() => leaving(core, { op, parent: op.place.world, ...loss }))
    })
  })
}

/** A batch in this invocation. */
interface Batch {
  readonly here: Here
  readonly op: Op
  readonly program: Program
  readonly options: AnyOptions
}

const nameOf = ({ kind, names }: Program, index: number): string => names?.[index] ?? `${DEFAULT_NAMES[kind]}${index}`

/** How an item writes and reads its value and its failures. */
class ItemCodec implements contexts.ContextCodec {
  declare private readonly program: Program
  declare private readonly index: number
  /** It is a part of its batch, and runs again whenever that does. */
  declare readonly unrecorded: boolean
  constructor(program: Program, index: number, unrecorded: boolean) {
    this.program = program
    this.index = index
    this.unrecorded = unrecorded
  }
  get success() {
    return this.program.success(this.index)
  }
  get failure() {
    const { index, program } = this
    return { operation: nameOf(program, index), schema: program.error(index), ...failures.CONTEXTS }
  }
}

/** The codec that the user gave for the whole result. The batch itself does not fail. */
const wholeCodec = ({ op, options }: Batch): contexts.ContextCodec => ({
  success: options.result,
  failure: { operation: op.spec.name, schema: undefined, ...failures.CONTEXTS }
})

const changed = (reason: string) =>
  new NonDeterministic({
    message:
      `Non-deterministic: ${reason} The code was changed under a running execution, or is not deterministic. Finish ` +
      "running executions on the version they started with (publish versions, invoke through an alias)."
  })

const anotherSize = ({ op, program: { size, what } }: Batch, recorded: string) =>
  changed(`${op} is recorded with ${recorded} ${what}, and has ${size} now. They are known by their index.`)

// ---- running it ----------------------------------------------------------------------------------------

/** An item that was started. */
class Item {
  declare readonly index: number
  /** What there is no outcome of yet, or only a record. */
  op: Op | undefined
  status: payloads.ItemStatus = "STARTED"
  /** While it runs. */
  running: contexts.Running | undefined
  /** How its body ended; none when its record answers for it. */
  read: contexts.Read | undefined
  constructor(index: number, op: Op) {
    this.index = index
    this.op = op
  }
}

/** Starts items, counts those that end, and closes the batch. Gives what there is to let go of. */
const drive = (batch: Batch): Omit<Loss, "op" | "parent" | "decided"> | undefined => {
  const { here, op, options, program } = batch
  const { core } = here
  const { kind, size } = program
  const { completion = {}, concurrency = "unbounded", nesting = "nested", result } = options
  const limit = concurrency === "unbounded" ? Infinity : concurrency
  const flat = nesting === "flat"
  const prefix = prefixOf(op.id)
  const idOf = (index: number) => prefix + index

  const specOf = (index: number) => new Spec("CONTEXT", ITEM_TYPES[kind], nameOf(program, index))

  const recorded = rebuilds(op) ? readSummary(batch) : undefined
  const fault =
    recorded instanceof NonDeterministic || recorded instanceof SerdesFailed
      ? recorded
      : !flat && op.record !== undefined && core.recordOf(idOf(size)) !== undefined
        ? anotherSize(batch, "more")
        : undefined
  if (fault !== undefined) {
    core.fail(fault)
    return undefined
  }
  const marks = (recorded as payloads.Recorded | undefined)?.statuses // what is no fault
  const last = marks?.length ?? size

  const worlds = Worlds.of(core)
  const world = worlds.batch(op)
  const items: Array<Item> = []
  let running = 0
  /** Bodies of items that are no part of the result. */
  const begun: Array<contexts.Running> = []
  /** Worlds of items that ended and have no record to keep their order. */
  const parts: Array<World> = []
  const tally = { total: size, success: 0, failure: 0 }
  /** Characters of the values; known to be too many for one record, their texts are not kept. */
  let characters = 0
  const compared = result === undefined && !contexts.transforms(here)
  const large = () => compared && characters > Limits.inlineResultBytes
  let ended = false
  let starting = false

  const start = (): void => {
    const index = items.length
    const spec = specOf(index)
    const id = idOf(index)
    const skipped = marks?.[index] === "STARTED" // it was no part of the result, whatever became of it
    const own = flat || skipped ? new Op(id, world.place, spec, undefined, 0) : core.openItem(world, id, spec)
    if (own === undefined) return
    const item = new Item(index, own)
    items.push(item)
    if (skipped) return
    if (!flat && !mustRun(own)) return settled(item, own, own.record?.Status === "SUCCEEDED", undefined)
    running++
    item.running = run(item, own)
  }

  const stopped = (item: Item): void => {
    if (item.running !== undefined) running--
    item.running = undefined
  }

  const run = (item: Item, op: Op): contexts.Running => {
    const { index } = item
    const inner = flat ? worlds.part(world, op) : worlds.child(op)
    return contexts.start(here, flat ? undefined : op, inner, program.body(index), bodyEnded, item)
  }

  // (one for all items: each would hold on to closures of its own while it runs)
  const itemEnd: Worlds.ItemEnd<contexts.ContextClosing, Item> = {
    recorded: !flat,
    encode: (exit, { index }, op) => contexts.close(here, op, exit, new ItemCodec(program, index, flat)),
    done: (closing, inner, item, op) => {
      if (items[item.index] !== item) return // no part of the result
      stopped(item)
      item.op = undefined
      if (flat && inner.unrecorded !== undefined) parts.push(inner)
      settled(item, op, closing.ending.Action === "SUCCEED", closing)
      advance()
    }
  }

  const bodyEnded = (exit: Exit.Exit<unknown, unknown>, inner: World, item: Item): void =>
    worlds.finishItem(item.op!, inner, exit, item, itemEnd) // (it is taken away below, when that is done)

  const settled = (item: Item, op: Op, success: boolean, read: contexts.Read | undefined): void => {
    const { index } = item
    item.status = success ? "SUCCEEDED" : "FAILED"
    if (marks !== undefined && marks[index] !== item.status) return core.fail(contexts.notRebuilt(op))
    if (success) tally.success++
    else tally.failure++
    if (!large()) {
      const text = read === undefined ? op.record?.ContextDetails?.Result : read.plain?.text
      characters += text?.length ?? 0
      if (large()) for (const { read } of items) if (read !== undefined) read.plain = undefined
    }
    if (read !== undefined && large()) read.plain = undefined
    item.read = read
    if (recorded === undefined) endWith(decide())
  }

  /** Why the batch ends now, if it does. */
  const decide = (): CompletionReason | undefined => {
    if (typeof completion === "object") return completions.decide(completion, tally)
    if (size === 0) return "ALL_COMPLETED"
    const asked = Result.try(() => completion(new Progress(program, tally, items)))
    const decision = Result.isSuccess(asked) ? asked.success : undefined
    if (decision === "succeed") return "CUSTOM_COMPLETION_SUCCEEDED"
    if (decision === "fail") return "CUSTOM_COMPLETION_FAILED"
    if (decision !== "continue") {
      const gave = Result.isSuccess(asked) ? `gave ${String(decision)}` : `threw: ${String(asked.failure)}`
      core.fail(
        new InvalidOperation({
          message: `${op}: its completion function ${gave}. It must give "continue", "succeed" or "fail".`
        })
      )
      return undefined
    }
    return tally.success + tally.failure === size ? "ALL_COMPLETED" : undefined
  }

  const endWith = (reason: CompletionReason | undefined): void => {
    if (reason === undefined || ended || core.closed) return
    // operations of items that do not exist any more (those with records of their own are missed before)
    if (reason === "ALL_COMPLETED" && (world.unvisited?.size ?? 0) > 0 && !core.tolerant) {
      return core.fail(anotherSize(batch, "more"))
    }
    ended = true
    const finish = () =>
      worlds.finish(op, world, () => contexts.outside(here, close(batch, items, reason, recorded !== undefined)), parts)
    // items that were begun before, and would not be any more: what they have to clean up must be done all the same
    for (let index = items.length; recorded === undefined && core.recordOf(idOf(index)) !== undefined; index++) {
      const own = core.openItem(world, idOf(index), specOf(index))
      if (own !== undefined && mustRun(own)) begun.push(run(new Item(index, own), own))
    }
    const left = bodies()
    if (left.length === 0) return finish()
    // what they have seen decides nothing any more
    for (const { world } of left) world.abandoned = true
    letGo(core, {
      op,
      world,
      parent: world,
      unfollowed: true,
      bodies: () => left,
      lose: loseRunning,
      decided: (cleanup) => {
        if (cleanup === undefined) finish()
        else core.park(cleanup, "ended", finish, () => Exit.void)
      }
    })
  }

  const bodies = (): ReadonlyArray<contexts.Running> => [...begun, ...items.flatMap((item) => item.running ?? [])]

  /** Those that have not ended stay started on record, and send nothing more. */
  const loseRunning = (): void => {
    for (const body of bodies()) body.lose()
    items.forEach(stopped)
  }

  const advance = (): void => {
    if (starting) return
    starting = true
    while (!ended && !core.closed && running < limit && items.length < last) start()
    starting = false
    if (recorded !== undefined && items.length === last && running === 0) {
      endWith((recorded as payloads.Recorded).completionReason)
    }
  }

  if (recorded === undefined) endWith(decide())
  advance()
  const stop = () => {
    ended = true
  }
  return {
    world,
    bodies,
    stop,
    lose: () => {
      stop()
      worlds.lose(world)
      loseRunning()
      core.release(world)
    }
  }
}

class Progress implements CompletionProgress {
  readonly successCount: number
  readonly failureCount: number
  readonly completedCount: number
  readonly totalCount: number
  private readonly program: Program
  private readonly started: ReadonlyArray<Item>

  constructor(program: Program, { failure, success, total }: completions.Tally, started: ReadonlyArray<Item>) {
    this.successCount = success
    this.failureCount = failure
    this.completedCount = success + failure
    this.totalCount = total
    this.program = program
    this.started = started
  }
  /** Seldom looked at, and as long as the batch. */
  get items() {
    return Array.from({ length: this.totalCount }, (_, index) => ({
      index,
      name: nameOf(this.program, index),
      status: this.started[index]?.status
    }))
  }
}

// ---- its record ----------------------------------------------------------------------------------------

const unreadable = (op: Op, reason: string) => new SerdesFailed({ operation: op.toString(), action: "decode", reason })

/** What became of the items of a batch that is too large for its record. */
const readSummary = (batch: Batch): payloads.Recorded | NonDeterministic | SerdesFailed =>
  readRecorded(batch, batch.op.record?.ContextDetails?.Result)

const readRecorded = (batch: Batch, text: string | undefined): payloads.Recorded | NonDeterministic | SerdesFailed => {
  const { op, program } = batch
  const parsed = readPlainJson(text)
  if (Result.isFailure(parsed)) return unreadable(op, parsed.failure)
  const recorded = payloads.read(parsed.success)
  if (recorded === undefined) return unreadable(op, "it does not hold what became of the items")
  const { length } = recorded.statuses
  return length > program.size || (recorded.completionReason === "ALL_COMPLETED" && length !== program.size)
    ? anotherSize(batch, String(length))
    : recorded
}

/** What to record of a batch that has ended, and what its parent goes on with: the same as on replay. */
const close = /*#__PURE__*/ Effect.fnUntraced(function* (
  batch: Batch,
  items: ReadonlyArray<Item>,
  reason: CompletionReason,
  rebuilding: boolean
): Effect.fn.Return<Closing, Fatal, any> {
  const { here, op, options, program } = batch
  const reads: Array<contexts.Read | undefined> = []
  for (const { index, op: own, read, status } of items) {
    const known =
      read ??
      (status === "STARTED"
        ? undefined
        : contexts.read(here, own!, own!.record!, new ItemCodec(batch.program, index, false))) // there is no other outcome
    reads.push(known === undefined || known instanceof contexts.Read ? known : yield* known)
  }
  const outcomes = reads.map((read) => read?.outcome)
  const whole = wholeCodec(batch)
  // a codec of its own writes the result, and what is gone on with is what it reads
  const text = options.result === undefined ? undefined : yield* encodeNow(op, whole, resultOf(batch, outcomes, reason))
  const outcome =
    options.result === undefined
      ? yield* outcomeOf(batch, outcomes, reason)
      : Exit.succeed(yield* decodeNow(op, whole, text))
  if (rebuilding) return { ending: succeeded(undefined), outcome }

  const statuses = items.map(({ status }) => status)
  const isInline = reads.every((read) => read === undefined || read.plain !== undefined)
  if (isInline) {
    const written =
      text ??
      payloads.writeAll(
        reads.map((read, i) => payloads.writeItem(i, statuses[i]!, read?.plain, isText(program.success(i)))),
        reason
      )
    const payload = yield* transform("encode", here.core, op, written)
    if (payload !== undefined && Buffer.byteLength(payload) <= Limits.inlineResultBytes) {
      return { ending: succeeded(payload), outcome }
    }
  }
  const result = resultOf(batch, outcomes, reason)
  const summary = yield* contexts.summarise(op, options.summary, result)
  return {
    ending: {
      Action: "SUCCEED",
      Payload: payloads.writeSummary(program.kind, result, statuses, summary),
      ContextOptions: { ReplayChildren: true }
    },
    outcome
  } satisfies Closing
})

/** A decoder of closed batches, for the core. It runs with the services of the fiber that asked. */
const reader =
  (batch: Batch): Decode =>
  (op, record) =>
    record.Status === "SUCCEEDED" ? contexts.outside(batch.here, readClosed(batch, op, record)) : terminated(op, record)

const readClosed = /*#__PURE__*/ Effect.fnUntraced(function* (
  batch: Batch,
  op: Op,
  record: Protocol.Operation
): Effect.fn.Return<Exit.Exit<unknown, unknown>, Fatal, any> {
  const { here, options } = batch
  const text = yield* transform("decode", here.core, op, record.ContextDetails?.Result)
  if (options.result !== undefined) return Exit.succeed(yield* decodeNow(op, wholeCodec(batch), text))
  const recorded = readRecorded(batch, text)
  if (recorded instanceof NonDeterministic || recorded instanceof SerdesFailed) return yield* recorded
  const { completionReason, entries } = recorded
  if (entries === undefined) return yield* unreadable(op, "it does not hold the values of the items")
  const outcomes: Array<Exit.Exit<unknown, unknown> | undefined> = []
  for (const entry of entries) outcomes.push(yield* readEntry(batch, entry))
  return yield* outcomeOf(batch, outcomes, completionReason)
})

const NOTHING = /*#__PURE__*/ Effect.succeed(undefined)

const readEntry = (
  batch: Batch,
  { error, index, result, status }: payloads.Entry
): Effect.Effect<Exit.Exit<unknown, unknown> | undefined, Fatal, any> => {
  if (status === "STARTED") return NOTHING
  const codec = new ItemCodec(batch.program, index, false)
  if (status === "FAILED") return failures.decodeFailure(error, codec.failure, batch.op)
  if (codec.success === undefined) return Effect.succeed(Exit.succeed(result))
  const text = result === undefined ? undefined : isText(codec.success) ? String(result) : JSON.stringify(result)
  return Effect.map(decodeNow(batch.op, codec, text), Exit.succeed)
}

// ---- its outcome ---------------------------------------------------------------------------------------

type Outcomes = ReadonlyArray<Exit.Exit<unknown, unknown> | undefined>

/** What the parent is given. Items that did not end have no outcome. */
const outcomeOf = (
  batch: Batch,
  outcomes: Outcomes,
  reason: CompletionReason
): Effect.Effect<Exit.Exit<unknown, unknown>, NonDeterministic> => {
  const { options, program } = batch
  if (options.mode === "result") return Effect.succeed(Exit.succeed(resultOf(batch, outcomes, reason)))
  const values: Array<unknown> = []
  for (const outcome of outcomes) {
    if (outcome === undefined) continue
    if (Exit.isFailure(outcome)) return Effect.succeed(outcome)
    values.push(outcome.value)
  }
  return values.length === program.size
    ? Effect.succeed(Exit.succeed(program.shape(values)))
    : Effect.fail(anotherSize(batch, String(outcomes.length)))
}

const resultOf = (
  { program }: Batch,
  outcomes: Outcomes,
  reason: CompletionReason
): BatchResult<unknown, unknown, unknown> => {
  const items = Array.from({ length: program.size }, (_, index): BatchItem<unknown, unknown> => {
    const place = { index, name: nameOf(program, index) }
    const outcome = outcomes[index]
    if (outcome === undefined) return { _tag: index < outcomes.length ? "Started" : "NotStarted", ...place }
    return Exit.isSuccess(outcome)
      ? { _tag: "Success", ...place, value: outcome.value }
      : { _tag: "Failure", ...place, cause: outcome.cause }
  })
  return { ...makeResult(items, reason), items: program.shape(items) }
}
