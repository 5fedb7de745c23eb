/**
 * The calls about executions, as Lambda's API has them: what an execution calls itself (checkpoint, state), and
 * what callers do with it (get, history, list, stop, answer callbacks).
 */
import * as Base64 from "effect/encoding/Base64"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Engine from "../engine/Engine.ts"
import * as functions from "../engine/functions.ts"
import * as validate from "../engine/validate.ts"
import * as History from "../History.ts"
import * as Protocol from "../Protocol.ts"
import type { Request, Route } from "./Route.ts"
import * as wire from "./wire.ts"

type Service = Engine.Engine["Service"]

// ---- members -------------------------------------------------------------------------------------

const ARN =
  /^arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9-_]+:(?:\$LATEST(?:\.PUBLISHED)?|[0-9]+)\/durable-execution\/[a-zA-Z0-9-_]+\/[a-zA-Z0-9-_]+$/
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** Checks members against the model's patterns, unless the engine is told not to. */
const checked = (engine: Service, ...reasons: ReadonlyArray<ReadonlyArray<string>>) =>
  engine.settings.limits.patterns ? wire.refuse(validate.violation(reasons.flat())) : Effect.void

const arnOf = (engine: Service, request: Request): Effect.Effect<string, validate.Rejection> => {
  const { arn = "" } = request.path
  return Effect.as(checked(engine, validate.text(arn, "durableExecutionArn", 1024, ARN)), arn)
}

const tokenReasons = (token: string) => validate.text(token, "checkpointToken", 2048, BASE64)

/** Where a page begins, and how long it may be. */
const pageOf = Effect.fnUntraced(function* (request: Request) {
  const maxItems = yield* wire.number(request, "MaxItems", 0)
  yield* wire.refuse(validate.violation(validate.whole(maxItems, "maxItems", 0, 1000)))
  const marker = wire.one(request, "Marker")
  return { size: maxItems === 0 ? 100 : maxItems, marker: marker === "" ? undefined : marker }
})

/** A marker is the key of the last item of the page before, opaque and only good for the same question. */
const writeMarker = (question: string, key: string) => Base64.encode(`${question} ${key}`)

const readMarker = (question: string, marker: string): string | undefined => {
  const text = Result.getOrElse(Base64.decodeString(marker), () => "")
  return text.startsWith(`${question} `) ? text.slice(question.length + 1) : undefined
}

/** The key of the item that the page before has ended with, if this is not the first page. */
const keyBefore = (
  { marker }: { readonly marker: string | undefined },
  question: string
): Effect.Effect<string | undefined, validate.Rejection> => {
  if (marker === undefined) return Effect.succeed(undefined)
  const key = readMarker(question, marker)
  return key === undefined ? Effect.fail(validate.invalid("Invalid Marker.")) : Effect.succeed(key)
}

/** A page, of one item more than it takes: that one says whether there is another page. */
const paged = <A>(
  items: ReadonlyArray<A>,
  size: number,
  question: string,
  keyOf: (item: A) => string
): { readonly items: ReadonlyArray<A>; readonly NextMarker?: string } =>
  items.length <= size
    ? { items }
    : { items: items.slice(0, size), NextMarker: writeMarker(question, keyOf(items[size - 1]!)) }

// ---- checkpoint, state ---------------------------------------------------------------------------

// Types and actions are the engine's to judge, in the service's words.
const Checkpoint = Schema.Struct({
  CheckpointToken: Schema.optional(Schema.NullOr(Schema.String)),
  ClientToken: Schema.optional(Schema.NullOr(Schema.String)),
  Updates: Schema.optional(
    Schema.NullOr(
      Schema.Array(Schema.Struct({ ...Protocol.OperationUpdate.fields, Type: Schema.String, Action: Schema.String }))
    )
  )
})
const readCheckpoint = wire.body(Checkpoint)

const checkpoint = (engine: Service): Route => ({
  method: "POST",
  path: "/2025-12-01/durable-executions/{arn+}/checkpoint",
  handle: Effect.fnUntraced(function* (request) {
    const DurableExecutionArn = yield* arnOf(engine, request)
    const { CheckpointToken, ClientToken, Updates } = yield* readCheckpoint(request)
    const token = yield* wire.required(CheckpointToken ?? undefined, "checkpointToken")
    yield* checked(engine, tokenReasons(token))
    const response = yield* engine.checkpoint({
      DurableExecutionArn,
      CheckpointToken: token,
      ClientToken: ClientToken ?? "",
      Updates: (Updates ?? []) as ReadonlyArray<Protocol.OperationUpdate>
    })
    return wire.json(response)
  })
})

const state = (engine: Service): Route => ({
  method: "GET",
  path: "/2025-12-01/durable-executions/{arn+}/state",
  handle: Effect.fnUntraced(function* (request) {
    const DurableExecutionArn = yield* arnOf(engine, request)
    const CheckpointToken = yield* wire.required(wire.one(request, "CheckpointToken"), "checkpointToken")
    yield* checked(engine, tokenReasons(CheckpointToken))
    const MaxItems = yield* wire.number(request, "MaxItems", 0)
    const Marker = wire.one(request, "Marker") ?? ""
    return wire.json(yield* engine.getExecutionState({ DurableExecutionArn, CheckpointToken, Marker, MaxItems }))
  })
})

// ---- get, history, list, stop --------------------------------------------------------------------

const get = (engine: Service): Route => ({
  method: "GET",
  path: "/2025-12-01/durable-executions/{arn+}",
  handle: Effect.fnUntraced(function* (request) {
    const arn = yield* arnOf(engine, request)
    const ExecutionDataIncluded = yield* wire.flag(request, "IncludeExecutionData", true)
    const { Error, InputPayload, Result, ...metadata } = yield* engine.describe(arn)
    const data = { InputPayload, Result, Error }
    return wire.json({ ...metadata, ...(ExecutionDataIncluded ? data : undefined), ExecutionDataIncluded })
  })
})

const HIDDEN = { Truncated: true }

/** An event without what went in and came out. */
const withoutData = (event: History.Event): History.Event => {
  const details = History.detailsOf(event) as Readonly<Record<string, unknown>> | undefined // of one of the engine's own
  if (details === undefined) return event
  const hidden = Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      name === "Input" || name === "Result" || name === "Error" ? HIDDEN : value
    ])
  )
  return { ...event, [`${event.EventType}Details`]: hidden }
}

const history = (engine: Service): Route => ({
  method: "GET",
  path: "/2025-12-01/durable-executions/{arn+}/history",
  handle: Effect.fnUntraced(function* (request) {
    const arn = yield* arnOf(engine, request)
    const page = yield* pageOf(request)
    const withData = yield* wire.flag(request, "IncludeExecutionData", true)
    const reverse = yield* wire.flag(request, "ReverseOrder", false)
    const question = `${arn} ${reverse ? "backwards" : "forwards"}`
    const key = yield* keyBefore(page, question)
    const after = key === undefined ? undefined : Number(key)
    if (Number.isNaN(after)) return yield* Effect.fail(validate.invalid("Invalid Marker."))
    const events = yield* engine.history(arn, { after, reverse, limit: page.size + 1 })
    const { items, ...rest } = paged(events, page.size, question, ({ EventId }) => String(EventId))
    return wire.json({ Events: withData ? items : items.map(withoutData), ...rest })
  })
})

const STATUSES = Protocol.ExecutionStatus.literals
const isStatus = (value: string): value is Protocol.ExecutionStatus =>
  (STATUSES as ReadonlyArray<string>).includes(value)

/** The one status to filter by. The model allows a list, the service does not. */
const statusOf = (request: Request): Effect.Effect<Protocol.ExecutionStatus | undefined, validate.Rejection> => {
  const statuses = request.query.get("Statuses") ?? []
  const unknown = statuses.flatMap((status, index) =>
    isStatus(status)
      ? []
      : validate.at(
          status,
          `statuses.${index + 1}.member`,
          `Member must satisfy enum value set: [${STATUSES.join(", ")}]`
        )
  )
  return Effect.as(
    wire.refuse(
      validate.violation(unknown),
      statuses.length > 1 ? validate.invalid("Cannot filter by more than one status") : undefined
    ),
    statuses.find(isStatus)
  )
}

/** What a listing tells of an execution. */
const summary = (description: Engine.Description) => ({
  DurableExecutionArn: description.DurableExecutionArn,
  DurableExecutionName: description.DurableExecutionName,
  FunctionArn: description.FunctionArn,
  Status: description.Status,
  StartTimestamp: description.StartTimestamp,
  EndTimestamp: description.EndTimestamp
})

/** One page of the executions that match what all listings have in common. */
const listed = Effect.fnUntraced(function* (
  engine: Service,
  request: Request,
  functionName: string | undefined,
  version: string | undefined
) {
  const page = yield* pageOf(request)
  const status = yield* statusOf(request)
  const startedAfter = yield* wire.instant(request, "StartedAfter")
  const startedBefore = yield* wire.instant(request, "StartedBefore")
  const reverse = yield* wire.flag(request, "ReverseOrder", false)
  const name = wire.one(request, "DurableExecutionName")
  const question = `list ${reverse ? "backwards" : "forwards"}`
  const after = yield* keyBefore(page, question)
  // none are taken away, so what the page before has ended with is still there
  if (after !== undefined) yield* Effect.mapError(engine.describe(after), () => validate.invalid("Invalid Marker."))
  const found = yield* engine.list(
    { functionName, version, name, status, startedAfter, startedBefore },
    { after, reverse, limit: page.size + 1 }
  )
  const { items, ...rest } = paged(found, page.size, question, (execution) => execution.DurableExecutionArn)
  return wire.json({ DurableExecutions: items.map(summary), ...rest })
})

/** The function that a path and a `Qualifier` name together. */
export const qualified = (request: Request): Effect.Effect<string, validate.Rejection> => {
  const { functionName = "" } = request.path
  const qualifier = wire.one(request, "Qualifier")
  if (qualifier === undefined || qualifier === "") return Effect.succeed(functionName)
  const inName = functions.parseReference(functionName).qualifier
  return inName === undefined || inName === qualifier
    ? Effect.succeed(inName === undefined ? `${functionName}:${qualifier}` : functionName)
    : Effect.fail(
        validate.invalid("The derived qualifier from the function name does not match the specified qualifier.")
      )
}

const list = (engine: Service): Route => ({
  method: "GET",
  path: "/2025-12-01/functions/{functionName}/durable-executions",
  handle: Effect.fnUntraced(function* (request) {
    const functionName = yield* qualified(request)
    const reference = functions.parseReference(functionName)
    // A function that is not registered any more may have executions from before.
    const known = yield* engine
      .find(functionName)
      .pipe(
        Effect.catch((rejection) =>
          Effect.flatMap(engine.list({ functionName: reference.name }, { limit: 1 }), (before) =>
            before.length > 0
              ? Effect.succeed({ version: functions.resolveVersion(reference, {}) })
              : Effect.fail(rejection)
          )
        )
      )
    const version = reference.qualifier === undefined ? undefined : known.version
    return yield* listed(engine, request, reference.name, version)
  })
})

/** All functions' executions: not of AWS's API, but what SAM asks its emulator for. */
const listAll = (engine: Service): Route => ({
  method: "GET",
  path: "/2025-12-01/durable-executions",
  handle: (request) => {
    const functionName = wire.one(request, "FunctionName")
    return listed(engine, request, functionName && functions.parseReference(functionName).name, undefined)
  }
})

const readError = wire.body(Protocol.ErrorObject)

const stop = (engine: Service): Route => ({
  method: "POST",
  path: "/2025-12-01/durable-executions/{arn+}/stop",
  handle: Effect.fnUntraced(function* (request) {
    const arn = yield* arnOf(engine, request)
    const error = yield* readError(request)
    return wire.json({ StopTimestamp: yield* engine.stop(arn, error) })
  })
})

// ---- callbacks -----------------------------------------------------------------------------------

const callback = (
  engine: Service,
  action: string,
  complete: (callbackId: string, request: Request) => Effect.Effect<void, validate.Rejection>
): Route => ({
  method: "POST",
  path: `/2025-12-01/durable-execution-callbacks/{callbackId+}/${action}`,
  handle: Effect.fnUntraced(function* (request) {
    const { callbackId = "" } = request.path
    yield* checked(engine, validate.text(callbackId, "callbackId", 1024, BASE64))
    yield* complete(callbackId, request)
    return wire.json({})
  })
})

const callbacks = (engine: Service): ReadonlyArray<Route> => [
  callback(engine, "succeed", (id, request) =>
    Effect.flatMap(wire.text(request), (result) => engine.succeedCallback(id, result))
  ),
  callback(engine, "fail", (id, request) =>
    Effect.flatMap(readError(request), (error) => engine.failCallback(id, error))
  ),
  callback(engine, "heartbeat", (id) => engine.heartbeatCallback(id))
]

/** The routes of these calls. The last one takes what is left of its prefix. */
export const routes = (engine: Service): ReadonlyArray<Route> => [
  checkpoint(engine),
  state(engine),
  history(engine),
  stop(engine),
  list(engine),
  listAll(engine),
  ...callbacks(engine),
  get(engine)
]
