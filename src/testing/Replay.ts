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
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as util from "node:util"
import { type Checkpoints, CheckpointService } from "../CheckpointService.ts"
import { DurableContext } from "../DurableContext.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import * as DurableHandler from "../DurableHandler.ts"
import type { Core } from "../internal/core/Core.ts"
import { MARKER_NAME } from "../internal/core/order.ts"
import type { Op, Spec } from "../internal/core/world.ts"
import type * as Protocol from "../Protocol.ts"
import { readPlainJson, text } from "../Serdes.ts"
import type { CodecServices } from "../StepServices.ts"
import { instrument } from "./instrument.ts"
import { type HistoryUnreadable, readEvents, rebuild, type Rebuilt } from "./rebuild.ts"

export { HistoryUnreadable } from "./rebuild.ts"

// ---- shapes ------------------------------------------------------------------------------------------------

/** One line of the table: what is recorded, and what today's code asks for. Equal where they agree. */
export interface Row {
  readonly expected: string | undefined
  readonly got: string | undefined
}

/** What became of a replay. */
export type Verdict = {
  /** All recorded operations, as they are recorded and as they are asked for. */
  readonly rows: ReadonlyArray<Row>
  /** Operations that were given to the code without the payload that they have, because the history does not hold it. */
  readonly unknown: ReadonlyArray<string>
} & (
  | {
      readonly _tag: "Replays"
      /** `ended`: the body came to the recorded end. `waiting`: it waits as the record does. `live`: it goes on with new work. */
      readonly end: "ended" | "waiting" | "live"
    }
  | { readonly _tag: "Diverges"; readonly reason: string }
  /** It came out different, but after it was given something that the history does not hold. */
  | { readonly _tag: "Unknown"; readonly reason: string }
)

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
  /** How long it may take, in real time. Default: 10 seconds. */
  readonly timeout?: Duration.Input | undefined
}

/** Today's code does not replay a recorded history. */
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

interface Asked {
  readonly id: string
  readonly spec: Spec
  readonly parentId: string | undefined
  readonly recorded: boolean
}

type Outcome =
  | { readonly _tag: "Answered"; readonly output: Protocol.InvocationOutput }
  | { readonly _tag: "Live" }
  | { readonly _tag: "Failed"; readonly reason: string }
  | { readonly _tag: "Hangs" }

interface Ran {
  readonly outcome: Outcome
  readonly asked: ReadonlyArray<Asked>
  /** Operations with unknown payloads that the body was given. */
  readonly given: ReadonlyArray<string>
}

const described = (type: string, name: string | undefined) => `${type} "${name ?? ""}"`

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
            const id = op?.id
            if (id !== undefined) {
              asked.push({ id, spec, parentId: place.parentId, recorded: op?.record !== undefined })
            }
            return op
          }) satisfies Core["open"]
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
    const kit = instrument((_attempt, run) => {
      edge()
      return { ...run, effect: Effect.never }
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
    return { outcome, asked, given }
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

// ---- the verdict -------------------------------------------------------------------------------------------

/** Faults of the program, and of what it was given: no end that a body brings about. */
const FATAL: ReadonlySet<string> = new Set([
  "NonDeterministic",
  "UntrackedAsync",
  "InvalidOperation",
  "SerdesFailed",
  "PayloadTooLarge",
  "OperationLimitExceeded",
  "InvalidPayload",
  "CheckpointFailed"
])

/** No operation of the body's: it records in which order completions came. */
const isMarker = ({ Name, Type }: Protocol.Operation): boolean => Type === "STEP" && Name === MARKER_NAME

const rowsOf = (operations: ReadonlyArray<Protocol.Operation>, asked: ReadonlyArray<Asked>): ReadonlyArray<Row> => {
  const wanted = new Map(asked.map((one) => [one.id, one]))
  const entered = new Set(asked.map(({ parentId }) => parentId))
  const rows: Array<{ expected: string | undefined; got: string | undefined }> = []
  for (const operation of operations) {
    const { Id, Name, ParentId, Type } = operation
    if (Type === "EXECUTION" || isMarker(operation)) continue
    const text = described(Type, Name)
    if (wanted.has(Id)) rows.push({ expected: text, got: text })
    // what is in a finished context is not asked for again
    else if (ParentId === undefined || entered.has(ParentId)) rows.push({ expected: text, got: undefined })
  }
  const recorded = new Set(operations.map(({ Id }) => Id))
  for (const { id, spec } of asked) {
    if (recorded.has(id)) continue
    const text = described(spec.type, spec.name)
    const gap = rows.find(({ got }) => got === undefined)
    if (gap === undefined) rows.push({ expected: undefined, got: text })
    else gap.got = text
  }
  return rows
}

const sameText = (left: string | undefined, right: string | undefined): boolean => {
  if ((left ?? "") === (right ?? "")) return true
  const [a, b] = [readPlainJson(left), readPlainJson(right)]
  return Result.isSuccess(a) && Result.isSuccess(b) && util.isDeepStrictEqual(a.success, b.success)
}

const shown = (text: string | undefined) =>
  text === undefined || text === "" ? "nothing" : text.length > 200 ? `${text.slice(0, 200)}…` : text

/** What is different, or how it ended where nothing is. */
const difference = (
  { end, operations }: Rebuilt,
  { asked, given, outcome }: Ran
): { readonly same: "ended" | "waiting" | "live" } | { readonly reason: string } => {
  const ended = end !== undefined && (end.status === "SUCCEEDED" || end.status === "FAILED") ? end : undefined
  const recordedFault = ended?.error?.ErrorType !== undefined && FATAL.has(ended.error.ErrorType)
  const goesOn = (what: string) =>
    ended === undefined || recordedFault
      ? undefined
      : `The execution had ${ended.status === "SUCCEEDED" ? "succeeded" : "failed"} here, but the code ${what}.`
  switch (outcome._tag) {
    case "Failed":
      return { reason: outcome.reason }
    case "Hangs":
      return { reason: "The body waits for something that is not recorded, such as work outside of a step." }
    case "Live": {
      const recorded = new Set(operations.map(({ Id }) => Id))
      const fresh = asked.filter(({ id }) => !recorded.has(id)).map(({ spec }) => described(spec.type, spec.name))
      const reason = goesOn(`goes on${fresh.length === 0 ? "" : ` with ${fresh.join(", ")}`}`)
      return reason === undefined ? { same: "live" } : { reason }
    }
    case "Answered": {
      const { output } = outcome
      if (output.Status === "PENDING") {
        const reason = goesOn("waits")
        return reason === undefined ? { same: "waiting" } : { reason }
      }
      const error = output.Status === "FAILED" ? output.Error : undefined
      if (error?.ErrorType !== undefined && FATAL.has(error.ErrorType)) {
        return ended?.error?.ErrorType === error.ErrorType
          ? { same: "ended" }
          : { reason: error.ErrorMessage ?? error.ErrorType }
      }
      if (ended === undefined || recordedFault) return { same: "ended" }
      if (ended.status !== output.Status) {
        return {
          reason: `The execution had ${ended.status === "SUCCEEDED" ? "succeeded" : "failed"}, and now it ${
            output.Status === "SUCCEEDED"
              ? "succeeds"
              : `fails: ${error?.ErrorType ?? ""}: ${error?.ErrorMessage ?? ""}`
          }.`
        }
      }
      // what it gives may come from what the history does not hold
      if (ended.unknown || given.length > 0) return { same: "ended" }
      if (output.Status === "SUCCEEDED") {
        return sameText(ended.result, output.Result)
          ? { same: "ended" }
          : { reason: `The result was ${shown(ended.result)}, and now it is ${shown(output.Result)}.` }
      }
      return ended.error?.ErrorType === error?.ErrorType && sameText(ended.error?.ErrorData, error?.ErrorData)
        ? { same: "ended" }
        : {
            reason:
              `It had failed with ${ended.error?.ErrorType ?? ""}: ${ended.error?.ErrorMessage ?? ""}, ` +
              `and now it fails with ${error?.ErrorType ?? ""}: ${error?.ErrorMessage ?? ""}.`
          }
    }
  }
}

/** The contexts that might be rebuilt from their children: the history does not say of which that is true. */
const withRebuilding = (
  operations: ReadonlyArray<Protocol.Operation>,
  which: (context: Protocol.Operation) => boolean
): ReadonlyArray<Protocol.Operation> => {
  const parents = new Set(operations.map(({ ParentId }) => ParentId))
  return operations.map((operation) =>
    operation.Type === "CONTEXT" && operation.Status === "SUCCEEDED" && parents.has(operation.Id) && which(operation)
      ? { ...operation, ContextDetails: { ...operation.ContextDetails, ReplayChildren: true } }
      : operation
  )
}

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

const judge = (rebuilt: Rebuilt, ran: Ran, options: Options): Verdict => {
  const missing = rebuilt.operations.filter(({ Id }) => rebuilt.unknown.has(Id))
  const unknown = [
    ...(options.input === undefined && missing.some(({ Type }) => Type === "EXECUTION") ? ["the input"] : []),
    ...(missing.some(isMarker) ? ["the order of completions"] : []),
    ...ran.given
  ]
  const rows = rowsOf(rebuilt.operations, ran.asked)
  const found = difference(rebuilt, ran)
  if ("same" in found) return { _tag: "Replays", end: found.same, rows, unknown }
  return { _tag: unknown.length > 0 ? "Unknown" : "Diverges", reason: found.reason, rows, unknown }
}

/** Rows of the table before the first difference, and in all. */
const ROWS_BEFORE = 5
const MAX_ROWS = 40

/** What is recorded beside what is asked for, from shortly before they differ. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const first = rows.findIndex(({ expected, got }) => expected !== got)
  const from = Math.max(0, (first < 0 ? rows.length : first) - ROWS_BEFORE)
  const some = rows.slice(from, from + MAX_ROWS)
  const width = Math.max("expected".length, ...some.map(({ expected }) => (expected ?? "-").length))
  const line = (mark: string, left: string, right: string) => `${mark} ${left.padEnd(width)}  ${right}`.trimEnd()
  return [
    line(" ", "expected", "got"),
    ...(from > 0 ? [`  … ${from} more, as recorded`] : []),
    ...some.map(({ expected, got }) => line(expected === got ? " " : "✗", expected ?? "-", got ?? "-")),
    ...(from + MAX_ROWS < rows.length ? [`  … ${rows.length - from - MAX_ROWS} more`] : [])
  ].join("\n")
}

/** The verdict in words, with the table where there is something to see. */
export const describe = (verdict: Verdict): string => {
  const unknown = [...new Set(verdict.unknown)]
  const missing = unknown.length === 0 ? "" : `\nNot in the history: ${unknown.join(", ")}.`
  switch (verdict._tag) {
    case "Replays":
      return `It replays.${missing}`
    case "Diverges":
      return `It does not replay. ${verdict.reason}\n\n${table(verdict.rows)}`
    case "Unknown":
      return (
        `It may replay or not: it comes out different, but it was given something that the history does not hold. ` +
        `${verdict.reason}${missing} Give \`input\` or \`payload\`, or record it with IncludeExecutionData.\n\n${table(verdict.rows)}`
      )
  }
}

// ---- replaying ---------------------------------------------------------------------------------------------

/**
 * Replays a recorded history with today's code, and says whether, and where, it is not the same.
 *
 * **Details**
 *
 * `history` is what `GetDurableExecutionHistory` returns (all pages of it), of AWS or of the local engine, as parsed
 * JSON: `{ Events: [...] }`, or the list of events. Histories of running executions will do, and those without
 * `IncludeExecutionData`: an operation whose payload is not there is given without one (or with what `payload` says),
 * and if the code comes to something else after that, the verdict is `Unknown`, not `Diverges`.
 *
 * The body runs over the record up to where it would do something new. No step runs and nothing is sent, so the services
 * of the steps are not needed; those of schemas are, and so is the `Serdes` layer if the results went through one.
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
    const rebuilt = rebuild(yield* readEvents(history))
    const saved = (history as { readonly DurableExecutionArn?: unknown }).DurableExecutionArn
    const all: Options = {
      ...options,
      executionArn: options.executionArn ?? (typeof saved === "string" ? saved : undefined)
    }
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
      const state = { ...rebuilt, operations: reading }
      const run = (definition: DurableFunction.Any) =>
        runOver(definition, body as DurableHandler.AnyBody<any>, reading, rebuilt.unknown, all)
      const ran = yield* run(definition)
      // a result that is made of what the history does not hold need not be one that can be written
      const verdict = judge(
        state,
        ran.given.length > 0 && isUnwritten(ran.outcome) ? yield* run({ ...definition, success: Anything }) : ran,
        all
      )
      if (verdict._tag === "Replays") return verdict
      first ??= verdict
    }
    return first!
  }) as any // typed by the definition

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
