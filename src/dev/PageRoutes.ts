/**
 * What the web page asks the local server: the page itself, executions and their histories, what changes, and the
 * actions behind its buttons.
 *
 * These are the page's own routes, not Lambda's: timestamps are epoch milliseconds, and long payloads are cut until
 * asked for. Actions have the effects of Lambda's calls. An action needs the page's header, which no page of another
 * origin can send without the server's leave; the server gives none, and refuses foreign hosts and origins (`Server`).
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Engine from "../engine/Engine.ts"
import * as functions from "../engine/functions.ts"
import * as validate from "../engine/validate.ts"
import * as History from "../History.ts"
import * as Protocol from "../Protocol.ts"
import * as assets from "./assets.ts"
import type { Reply, Request, Route } from "./Route.ts"
import * as wire from "./wire.ts"

type Service = Engine.Engine["Service"]

// ---- the page ------------------------------------------------------------------------------------

/** Only this server's own files run, and nothing is ever made into markup or code. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'"
].join("; ")

const SAFE = {
  "content-security-policy": POLICY,
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

const notFound = (reason: string) =>
  new validate.Rejection({ errorName: "ResourceNotFoundException", status: 404, reason })

const file = (name: string): Effect.Effect<Reply, validate.Rejection> =>
  Effect.suspend(() =>
    assets.isAsset(name)
      ? Effect.succeed({
          status: 200,
          headers: { ...SAFE, "content-type": assets.contentType(name) },
          body: assets.read(name)
        })
      : Effect.fail(notFound("There is no such file."))
  )

/** JSON with timestamps as they are here, in milliseconds. */
const json = (body: unknown): Reply => ({
  status: 200,
  headers: { ...SAFE, "content-type": "application/json" },
  body: JSON.stringify(body)
})

// ---- executions ----------------------------------------------------------------------------------

/** An execution without its payloads. */
interface Summary extends Pick<
  Engine.Description,
  | "DurableExecutionArn"
  | "DurableExecutionName"
  | "FunctionArn"
  | "Version"
  | "Status"
  | "StartTimestamp"
  | "EndTimestamp"
> {}

const summary = (description: Engine.Description): Summary => ({
  DurableExecutionArn: description.DurableExecutionArn,
  DurableExecutionName: description.DurableExecutionName,
  FunctionArn: description.FunctionArn,
  Version: description.Version,
  Status: description.Status,
  StartTimestamp: description.StartTimestamp,
  ...(description.EndTimestamp === undefined ? undefined : { EndTimestamp: description.EndTimestamp })
})

const EXECUTIONS = 100

const isStatus = (text: string): text is Protocol.ExecutionStatus =>
  (Protocol.ExecutionStatus.literals as ReadonlyArray<string>).includes(text)

const list = (engine: Service): Route => ({
  method: "GET",
  path: "/_dev/executions",
  handle: Effect.fnUntraced(function* (request) {
    const status = wire.one(request, "status") ?? ""
    const search = (wire.one(request, "search") ?? "").trim()
    const limit = yield* wire.number(request, "limit", EXECUTIONS)
    const filter = { status: isStatus(status) ? status : undefined, search: search === "" ? undefined : search }
    const found = yield* engine.list(filter, { limit: Math.max(0, limit) })
    return json({
      Executions: found.map(summary),
      Total: yield* engine.count(filter),
      Functions: yield* engine.functions,
      Now: yield* Clock.currentTimeMillis
    })
  })
})

// ---- one execution -------------------------------------------------------------------------------

/** Events in one answer; the page asks on until it has all. */
const EVENTS = 2000

/** Characters of a payload that go with an event. The page asks for the rest of the one that is looked at. */
const SHOWN = 4000

const cutText = (text: string | undefined) => (text === undefined ? undefined : text.slice(0, SHOWN))

type Details = Readonly<
  Record<string, { readonly Payload?: string | Protocol.ErrorObject; readonly Truncated?: boolean }>
>

const cutPayload = <A extends Details[string] | undefined>(value: A): A => {
  const payload = value?.Payload
  if (payload === undefined) return value
  if (typeof payload === "string") {
    return payload.length <= SHOWN ? value : { ...value, Payload: cutText(payload), Truncated: true }
  }
  if (JSON.stringify(payload).length <= SHOWN) return value
  const { ErrorData, ErrorMessage, ErrorType, StackTrace } = payload
  const error: Protocol.ErrorObject = {
    ...(ErrorType === undefined ? undefined : { ErrorType: ErrorType.slice(0, SHOWN) }),
    ...(ErrorMessage === undefined ? undefined : { ErrorMessage: ErrorMessage.slice(0, SHOWN) }),
    ...(ErrorData === undefined ? undefined : { ErrorData: ErrorData.slice(0, SHOWN) }),
    ...(StackTrace === undefined
      ? undefined
      : { StackTrace: StackTrace.slice(0, 20).map((line) => line.slice(0, 200)) })
  }
  return { ...value, Payload: error, Truncated: true }
}

/** An event with its payloads cut to what a glance takes. */
const cut = (event: History.Event): History.Event => {
  const details = History.detailsOf(event) as Details | undefined
  if (details === undefined || !("Input" in details || "Result" in details || "Error" in details)) return event
  const shown = Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      name === "Input" || name === "Result" || name === "Error" ? cutPayload(value) : value
    ])
  )
  return { ...event, [`${event.EventType}Details`]: shown }
}

const arnOf = (request: Request) => request.path.arn ?? ""

const execution = (engine: Service, changes: Changes): Route => ({
  method: "GET",
  path: "/_dev/executions/{arn}",
  handle: Effect.fnUntraced(function* (request) {
    const arn = arnOf(request)
    const after = yield* wire.number(request, "after", 0)
    const events = yield* engine.history(arn, { after, limit: EVENTS + 1 })
    const invocation = changes.running.get(arn)
    return json({
      Execution: summary(yield* engine.describe(arn)),
      Events: events.slice(0, EVENTS).map(cut),
      More: events.length > EVENTS,
      ...(invocation === undefined ? undefined : { Invocation: invocation }),
      Now: yield* Clock.currentTimeMillis
    })
  })
})

const event = (engine: Service): Route => ({
  method: "GET",
  path: "/_dev/executions/{arn}/events/{eventId}",
  handle: Effect.fnUntraced(function* (request) {
    const eventId = Number(request.path.eventId)
    const [found] = yield* engine.history(arnOf(request), { after: eventId - 1, limit: 1 })
    return found?.EventId === eventId
      ? json(found)
      : yield* Effect.fail(notFound(`There is no event ${request.path.eventId}.`))
  })
})

// ---- what changes --------------------------------------------------------------------------------

/** Someone who follows what changes: of each execution it is told the latest, once it has read what came before. */
interface Follower {
  readonly pending: Map<string, Summary>
  readonly news: Latch.Latch
}

interface Changes {
  /** The invocation that runs now, by ARN: a history tells of invocations only when they have ended. */
  readonly running: ReadonlyMap<string, { readonly Number: number; readonly StartTimestamp: number }>
  readonly stream: Stream.Stream<Uint8Array>
}

const encoder = new TextEncoder()

/** One subscription to the engine, whoever follows. */
const makeChanges = Effect.fnUntraced(function* (engine: Service): Effect.fn.Return<Changes, never, Scope.Scope> {
  const followers = new Set<Follower>()
  const running = new Map<string, { readonly Number: number; readonly StartTimestamp: number }>()

  yield* engine.subscribe(({ execution }) => {
    const { arn, invocation } = execution
    if (execution.status === "RUNNING" && invocation.open) {
      running.set(arn, { Number: invocation.number, StartTimestamp: invocation.startedAt })
    } else running.delete(arn)
    if (followers.size === 0) return
    const change: Summary = {
      DurableExecutionArn: arn,
      DurableExecutionName: execution.name,
      FunctionArn: functions.functionArn(engine.settings.place, execution.functionName, execution.version),
      Version: execution.version,
      Status: execution.status,
      StartTimestamp: execution.startedAt,
      ...(execution.endedAt === undefined ? undefined : { EndTimestamp: execution.endedAt })
    }
    for (const follower of followers) {
      follower.pending.set(arn, change)
      follower.news.openUnsafe()
    }
  })

  const follower = Effect.acquireRelease(
    Effect.sync(() => {
      const made: Follower = { pending: new Map(), news: Latch.makeUnsafe(false) }
      followers.add(made)
      return made
    }),
    (made) => Effect.sync(() => followers.delete(made))
  )
  const next = ({ news, pending }: Follower) =>
    Effect.map(news.await, () => {
      news.closeUnsafe()
      const messages = Array.from(pending.values(), (change) => `data: ${JSON.stringify(change)}\n\n`)
      pending.clear()
      return encoder.encode(messages.join(""))
    })
  return {
    running,
    stream: Stream.unwrap(
      Effect.map(follower, (made) =>
        Stream.concat(Stream.succeed(encoder.encode("retry: 1000\n\n")), Stream.fromEffectRepeat(next(made)))
      )
    )
  }
})

const follow = (changes: Changes): Route => ({
  method: "GET",
  path: "/_dev/events",
  handle: () =>
    Effect.succeed({
      status: 200,
      headers: { ...SAFE, "content-type": "text/event-stream" },
      body: changes.stream
    })
})

// ---- actions -------------------------------------------------------------------------------------

/** The header that every action needs. Its value is of no account: only a page of this server can send it. */
export const HEADER = "x-effect-durable-lambda"

const action = (path: string, act: (request: Request) => Effect.Effect<unknown, validate.Rejection>): Route => ({
  method: "POST",
  path,
  handle: (request) =>
    request.headers[HEADER] === undefined
      ? Effect.fail(
          new validate.Rejection({
            errorName: "AccessDeniedException",
            status: 403,
            reason: `Actions of the page need the header ${HEADER}.`
          })
        )
      : Effect.map(act(request), (answer) => json(answer ?? {}))
})

const readStart = wire.body(
  Schema.Struct({
    FunctionName: Schema.String,
    Payload: Schema.optionalKey(Schema.String),
    ExecutionName: Schema.optionalKey(Schema.String)
  })
)
const readError = wire.body(Protocol.ErrorObject)

const started = Effect.map((DurableExecutionArn: string) => ({ DurableExecutionArn }))

const startAgain = Effect.fnUntraced(function* (engine: Service, arn: string) {
  const { FunctionArn, InputPayload } = yield* engine.describe(arn)
  return yield* started(
    engine.start({
      functionName: FunctionArn,
      ...(InputPayload === undefined ? undefined : { payload: InputPayload })
    })
  )
})

const actions = (engine: Service): ReadonlyArray<Route> => {
  const callbackId = (request: Request) => request.path.callbackId ?? ""
  return [
    action("/_dev/executions", (request) =>
      Effect.flatMap(readStart(request), ({ ExecutionName, FunctionName, Payload }) =>
        started(engine.start({ functionName: FunctionName, payload: Payload, executionName: ExecutionName }))
      )
    ),
    action("/_dev/executions/{arn}/start-again", (request) => startAgain(engine, arnOf(request))),
    action("/_dev/executions/{arn}/stop", (request) =>
      Effect.flatMap(readError(request), (error) =>
        Effect.map(engine.stop(arnOf(request), error), (StopTimestamp) => ({ StopTimestamp }))
      )
    ),
    action("/_dev/callbacks/{callbackId}/succeed", (request) =>
      Effect.flatMap(wire.text(request), (result) => engine.succeedCallback(callbackId(request), result))
    ),
    action("/_dev/callbacks/{callbackId}/fail", (request) =>
      Effect.flatMap(readError(request), (error) => engine.failCallback(callbackId(request), error))
    ),
    action("/_dev/callbacks/{callbackId}/heartbeat", (request) => engine.heartbeatCallback(callbackId(request)))
  ]
}

// ---- all of them ---------------------------------------------------------------------------------

/**
 * The routes of the page over an engine, which they follow until the scope closes.
 *
 * **Details**
 *
 * `GET /` is the page. `GET /_dev/executions?status=&search=&limit=` lists executions, newest first.
 * `GET /_dev/executions/{arn}?after=` gives an execution and the events of its history with a later id, at most 2,000;
 * payloads over 4,000 characters are cut, and whole in `GET /_dev/executions/{arn}/events/{eventId}`.
 * `GET /_dev/events` is a stream (`text/event-stream`) of executions that changed, the latest state of each.
 *
 * `POST /_dev/executions` starts one; `…/{arn}/start-again` starts the same function with the same input;
 * `…/{arn}/stop`, and `succeed`, `fail` and `heartbeat` of `/_dev/callbacks/{id}` do what Lambda's calls do.
 * Each needs the header `x-effect-durable-lambda`.
 */
export const make = Effect.fnUntraced(function* (
  engine: Service
): Effect.fn.Return<ReadonlyArray<Route>, never, Scope.Scope> {
  const changes = yield* makeChanges(engine)
  return [
    { method: "GET", path: "/", handle: () => file("index.html") },
    { method: "GET", path: "/_dev/page/{name}", handle: ({ path }) => file(path.name ?? "") },
    list(engine),
    event(engine),
    execution(engine, changes),
    follow(changes),
    ...actions(engine)
  ]
})
