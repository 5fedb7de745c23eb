/**
 * Recorded histories against today's code: whether what is running, or has run, would still be the same.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as util from "node:util"
import { type Checkpoints, CheckpointService } from "../CheckpointService.ts"
import { DurableContext } from "../DurableContext.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import * as DurableHandler from "../DurableHandler.ts"
import type { Core } from "../internal/core/Core.ts"
import { isAdded, type Op } from "../internal/core/world.ts"
import * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import { text } from "../Serdes.ts"
import type { CodecServices } from "../StepServices.ts"
import { instrument } from "./instrument.ts"
import { type HistoryUnreadable, readEvents, rebuild, type Rebuilt, withRebuilding } from "./rebuild.ts"
import { type Asked, describe, described, isBehind, judge, type Outcome, type Ran, type Verdict } from "./verdict.ts"

export { HistoryUnreadable } from "./rebuild.ts"
export { describe, type Row, table, type Verdict } from "./verdict.ts"

// ---- shapes ------------------------------------------------------------------------------------------------

/** Options of a replay. */
export interface Options extends Pick<DurableHandler.RunOptions, "order" | "unvisited"> {
  /** Random numbers and idempotency keys come from it. Default: that of the file; of a bare history none. */
  readonly executionArn?: string | undefined
  /** The input, as text, where the history does not hold it. */
  readonly input?: string | undefined
  /**
   * The payload of an operation, as text, where the history does not hold it. By default it has none, which is right for
   * operations that give nothing.
   */
  readonly payload?: ((operation: Protocol.Operation) => string | undefined) | undefined
  /**
   * `"every invocation"` (default): also with what was on record at the end of each invocation, since other executions
   * may stand there now. `"end"`: only with all of it.
   */
  readonly at?: "every invocation" | "end" | undefined
  /** How long it may take each time, in real time. Default: 10 seconds. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Today's code does not replay a recorded history.
 * @see [Troubleshooting](../../docs/troubleshooting.md#replayfailed)
 */
export class ReplayFailed extends Data.TaggedError("ReplayFailed")<{
  readonly verdict: Verdict
  readonly message: string
}> {}

// ---- one run over the record -------------------------------------------------------------------------------

const real: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

const nextTurn = Effect.callback<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

/** Runs the body over a record, up to where it would do something new. Nothing of it is done. */
const runOver = (
  definition: DurableFunction.Any,
  body: DurableHandler.AnyBody<any>,
  operations: ReadonlyArray<Protocol.Operation>,
  unknown: ReadonlySet<string>,
  options: Options
): Effect.Effect<Ran, never, any> =>
  Effect.gen(function* () {
    const live = yield* Deferred.make<void>()
    const asked: Array<Asked> = []
    const given: Array<string> = []
    const retired: Array<Ran["retired"][number]> = []
    const edge = () => Deferred.doneUnsafe(live, Effect.void)
    const executionArn = options.executionArn ?? "arn:aws:lambda:::function:replayed:1/durable-execution/replay/replay"

    const checkpoints: Checkpoints = {
      operations,
      offer: () => {
        edge()
        return undefined
      },
      poll: () => {},
      send: () => {},
      inFlight: () => false,
      queued: () => 0,
      urgent: () => false,
      listen: () => {},
      commit: () => Effect.void,
      drain: Effect.void
    }

    /** The core, with an eye on what is asked for, and on what is given. */
    const traced = (core: Core): Core =>
      Object.create(core, {
        open: {
          value: ((place, spec, fiber) => {
            const op = core.open(place, spec, fiber)
            if (op !== undefined) {
              const { id, record } = op
              asked.push({ id, spec, parentId: place.parentId, recorded: record !== undefined, added: isAdded(op) })
            }
            return op
          }) satisfies Core["open"]
        },
        retire: {
          value: ((world, name) => {
            retired.push({ parentId: world.place.parentId, name })
            core.retire(world, name)
          }) satisfies Core["retire"]
        },
        park: {
          value: ((op, event, resume, decode) =>
            core.park(op, event, resume, (op: Op, record) => {
              if (event !== "ended" || !unknown.has(op.id)) return decode(op, record)
              given.push(described(op.spec.type, op.spec.name))
              return decode(op, withPayload(record, options.payload?.(record)))
            })) satisfies Core["park"]
        }
      }) as Core

    const watched: DurableHandler.AnyBody<any> = (payload) =>
      Effect.flatMap(DurableContext, (context) =>
        Effect.provideService(body(payload), DurableContext, { ...context, core: traced(context.core) })
      )

    // no attempt of a step runs
    const kit = instrument(() => {
      edge()
      return Effect.never
    })
    const run = DurableHandler.invocation(
      definition,
      watched,
      {
        ...(options.order === undefined ? undefined : { order: options.order }),
        ...(options.unvisited === undefined ? undefined : { unvisited: options.unvisited }),
        pace: 0,
        plugins: [kit]
      },
      {
        DurableExecutionArn: executionArn,
        CheckpointToken: "replay",
        InitialExecutionState: { Operations: [], NextMarker: "" }
      },
      undefined
    ).pipe(
      Effect.provideService(CheckpointService, { open: () => Effect.succeed(checkpoints) }),
      Effect.provideService(Logger.CurrentLoggers, new Set())
    )
    const outcome = yield* Effect.raceAllFirst([
      Effect.match(run, {
        onSuccess: (output): Outcome => ({ _tag: "Answered", output }),
        onFailure: (error): Outcome => ({ _tag: "Failed", reason: error.message })
      }),
      // what else is asked for at the same time belongs to the table
      Effect.as(Effect.andThen(Deferred.await(live), nextTurn), { _tag: "Live" } satisfies Outcome as Outcome),
      Effect.as(real.sleep(Duration.fromInputUnsafe(options.timeout ?? "10 seconds")), {
        _tag: "Hangs"
      } satisfies Outcome as Outcome)
    ])
    return { outcome, asked, given, retired }
  })

/** The record of an operation that was added, as it would be if it had been done at the end. */
const addedRecord = ({ id, parentId, spec }: Asked, at: number): Protocol.Operation => ({
  Id: id,
  Type: spec.type,
  SubType: spec.subType,
  Name: spec.name,
  ...(parentId === undefined ? undefined : { ParentId: parentId }),
  Status: "SUCCEEDED",
  StartTimestamp: at,
  EndTimestamp: at,
  ...(spec.type === "WAIT" ? { WaitDetails: { ScheduledEndTimestamp: at } } : undefined),
  ...(spec.type === "CALLBACK" ? { CallbackDetails: { CallbackId: id } } : undefined)
})

/**
 * The same over a record that has what the code says was added, as long as something on record follows: what that gives
 * is unknown.
 */
const runWithAdded = (
  definition: DurableFunction.Any,
  body: DurableHandler.AnyBody<any>,
  rebuilt: Rebuilt,
  options: Options
): Effect.Effect<Ran, never, any> =>
  Effect.gen(function* () {
    const operations = [...rebuilt.operations]
    const unknown = new Set(rebuilt.unknown)
    const known = new Set(operations.map(({ Id }) => Id))
    for (;;) {
      const ran = yield* runOver(definition, body, operations, unknown, options)
      const came = ran.asked.filter((one) => one.added && !one.recorded)
      const follows = rebuilt.end !== undefined || isBehind(operations, ran)
      if (came.length === 0 || !follows || ran.outcome._tag !== "Live") {
        return { ...ran, asked: ran.asked.map((one) => ({ ...one, recorded: known.has(one.id) })) }
      }
      const times = operations.flatMap(({ EndTimestamp = 0, StartTimestamp = 0 }) => [StartTimestamp, EndTimestamp])
      for (const one of came) {
        operations.push(addedRecord(one, Math.max(...times) + 1))
        if (one.spec.type !== "WAIT") unknown.add(one.id)
      }
    }
  })

/** A record with a payload that its history does not hold. */
const withPayload = (record: Protocol.Operation, payload: string | undefined): Protocol.Operation => {
  if (payload === undefined) return record
  const held = { Result: payload }
  switch (record.Type) {
    case "STEP":
      return { ...record, StepDetails: { ...record.StepDetails, ...held } }
    case "CONTEXT":
      return { ...record, ContextDetails: { ...record.ContextDetails, ...held } }
    case "CALLBACK":
      return { ...record, CallbackDetails: { ...record.CallbackDetails, ...held } }
    case "CHAINED_INVOKE":
      return { ...record, ChainedInvokeDetails: { ...record.ChainedInvokeDetails, ...held } }
    default:
      return record
  }
}

// ---- replaying ---------------------------------------------------------------------------------------------

/**
 * Replays a recorded history with today's code, and says whether, and where, it is not the same.
 *
 * **Details**
 *
 * `history` is what `GetDurableExecutionHistory` returns, of AWS, its emulators or the local engine, as parsed JSON or as
 * AWS's client gives it: `{ Events: [...] }`, a list of such pages, or the list of events. Histories of running executions
 * will do, and those without `IncludeExecutionData`: an operation whose payload is not there is given without one (or with
 * what `payload` says), and if the code comes to something else after that, the verdict is `Unknown`, not `Diverges`.
 *
 * The body runs over the record, as it was at the end of each invocation and is at the end, up to where it would do
 * something new: executions that run now may stand at any of these places. No step runs and nothing is sent, so the services
 * of the steps are not needed; those of schemas are, and so is the `Serdes` layer if the results went through one.
 *
 * What the code says was added (`Durable.added`) has no outcome in the history: where something on record follows, it is
 * taken to have succeeded and to give nothing, or what `payload` says. What it says has gone (`Durable.retired`) may be missing.
 *
 * It diverges when the code asks for other operations than are recorded, cannot read what is, ends where the execution
 * went on, goes on where it had ended, or ends with something else. What it cannot see is a step that now does something
 * else: that is no change for an execution that has done it.
 *
 * **Example** (A step in another place)
 *
 * ```ts import.meta.vitest
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { Replay, replayHistory, TestRunner } from "effect-durable-lambda/testing"
 * import { Effect, Schema } from "effect"
 *
 * const Order = DurableFunction.make("order", { payload: Schema.String })
 * const before = () => Effect.andThen(Durable.step("charge", Effect.void), Durable.wait("pause", "1 day"))
 * const after = () => Effect.andThen(Durable.wait("pause", "1 day"), Durable.step("charge", Effect.void))
 *
 * const test = Effect.gen(function*() {
 *   const execution = yield* TestRunner.start(Order, before, "book")
 *   yield* execution.result
 *   const history = yield* execution.history
 *   return [yield* replayHistory(Order, before, history), yield* replayHistory(Order, after, history)] as const
 * })
 *
 * const [same, other] = await Effect.runPromise(test.pipe(Effect.provide(TestRunner.layerMemory)))
 * same._tag // => "Replays"
 * other._tag // => "Diverges"
 * ```
 */
export const replayHistory = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  history: unknown,
  options: Options = {}
): Effect.Effect<Verdict, HistoryUnreadable, CodecServices<P> | CodecServices<SA> | CodecServices<SE>> =>
  Effect.gen(function* () {
    const events = yield* readEvents(history)
    const saved = (history as { readonly DurableExecutionArn?: unknown }).DurableExecutionArn
    const all: Options = {
      ...options,
      executionArn: options.executionArn ?? (typeof saved === "string" ? saved : undefined)
    }
    let last: Verdict | undefined
    let unknown: Verdict | undefined
    for (const cut of cutsOf(events, options.at ?? "every invocation")) {
      const verdict = yield* replayState(
        definition,
        body as DurableHandler.AnyBody<any>,
        rebuild(events.slice(0, cut)),
        all
      )
      const event = events[cut - 1]!
      const here =
        cut === events.length || verdict._tag === "Replays"
          ? verdict
          : {
              ...verdict,
              reason: `With what was on record after event ${cut} (${History.describe(event)}): ${verdict.reason}`
            }
      if (here._tag === "Diverges") return here
      if (here._tag === "Unknown") unknown ??= here
      last = here
    }
    return unknown ?? last!
  }) as any // typed by the definition

const isUnwritten = (outcome: Outcome): boolean =>
  outcome._tag === "Answered" &&
  outcome.output.Status === "FAILED" &&
  outcome.output.Error?.ErrorType === "SerdesFailed"

/** Any value, written as nothing. */
const Anything = text(
  Schema.String.pipe(
    Schema.decodeTo(Schema.Unknown, { decode: SchemaGetter.passthrough(), encode: SchemaGetter.transform(() => "") })
  )
)

/** Where a history is cut off: an execution may stand wherever an invocation has ended. */
const cutsOf = (events: ReadonlyArray<History.Event>, at: NonNullable<Options["at"]>): ReadonlyArray<number> => [
  ...events.flatMap(({ EventType }, index) =>
    at === "every invocation" &&
    EventType === "InvocationCompleted" &&
    events[index + 1]?.EventType.startsWith("Execution") === false
      ? [index + 1]
      : []
  ),
  events.length
]

/** Replays one state. */
const replayState = (
  definition: DurableFunction.Any,
  body: DurableHandler.AnyBody<any>,
  rebuilt: Rebuilt,
  options: Options
): Effect.Effect<Verdict, never, any> =>
  Effect.gen(function* () {
    const operations = rebuilt.operations.map((operation) =>
      operation.Type === "EXECUTION" && options.input !== undefined
        ? { ...operation, ExecutionDetails: { InputPayload: options.input } }
        : operation
    )
    // a history does not say which contexts are rebuilt from their children; one of the readings must be right
    const readings = [
      operations,
      withRebuilding(operations, ({ ContextDetails }) => ContextDetails?.Result === undefined),
      withRebuilding(operations, () => true)
    ].filter((reading, i, all) => i === 0 || !util.isDeepStrictEqual(reading, all[i - 1]))
    let first: Verdict | undefined
    for (const reading of readings) {
      const run = (definition: DurableFunction.Any) =>
        runWithAdded(definition, body, { ...rebuilt, operations: reading }, options)
      const ran = yield* run(definition)
      // a result that is made of what the history does not hold need not be one that can be written
      const verdict = judge(
        { ...rebuilt, operations: reading },
        ran.given.length > 0 && isUnwritten(ran.outcome) ? yield* run({ ...definition, success: Anything }) : ran,
        options.input
      )
      if (verdict._tag === "Replays") return verdict
      first ??= verdict
    }
    return first!
  })

/** As `replayHistory`, but fails with `ReplayFailed`, whose message has the table, unless it replays. */
export const expectReplays = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  history: unknown,
  options: Options = {}
): Effect.Effect<void, HistoryUnreadable | ReplayFailed, CodecServices<P> | CodecServices<SA> | CodecServices<SE>> =>
  Effect.flatMap(replayHistory(definition, body, history, options), (verdict) =>
    verdict._tag === "Replays"
      ? Effect.void
      : Effect.fail(new ReplayFailed({ verdict, message: `"${definition.name}": ${describe(verdict)}` }))
  )
