/**
 * The client, on the engine over HTTP and, for what a healthy service does not do, on fakes of AWS's client.
 */
import type { LambdaClient } from "@aws-sdk/client-lambda"
import { assert, describe, it } from "@effect/vitest"
import {
  Durable,
  DurableClient,
  DurableError,
  DurableExecutionClient,
  DurableFunction,
  DurableHandler,
  History
} from "effect-durable-lambda"
import { Server } from "effect-durable-lambda/dev"
import { Engine } from "effect-durable-lambda/engine"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as kit from "./dev/kit.ts"

// ---- functions -----------------------------------------------------------------------------------

class Declined extends Schema.TaggedError<Declined>()("Declined", { cents: Schema.Int }) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}

class Order extends Schema.Class<Order>("Order")({
  id: Schema.String,
  cents: Schema.Int.check(Schema.isGreaterThan(0)),
  at: Schema.DateFromString
}) {}
const Receipt = Schema.Struct({ id: Schema.String, at: Schema.DateFromString })

const Process = DurableFunction.make("process", { payload: Order, success: Receipt, error: Declined })

const process_ = Effect.fnUntraced(function* (order: Order) {
  if (order.id === "defect") return yield* Effect.die(new RangeError("out of range"))
  if (order.id === "uncovered") {
    return yield* Durable.step("charge", Effect.fail({ _tag: "Broken", message: "no power" }), {
      retry: Durable.noRetry
    })
  }
  if (order.id === "slow") yield* Durable.wait("slow", "300 days")
  if (order.cents > 100) return yield* new Declined({ cents: order.cents })
  const at = yield* Durable.step("charge", Effect.succeed(order.at), { success: Schema.DateFromString })
  return { id: order.id, at }
})

const Approval = { success: Schema.Struct({ by: Schema.NonEmptyString }), error: Refused }
const Approve = DurableFunction.make("approve", {
  payload: Schema.Struct({ typed: Schema.Boolean, heartbeatTimeout: Schema.optionalKey(Schema.Int) }),
  success: Schema.String
})

const approve = ({ heartbeatTimeout, typed }: typeof Approve.payload.Type) =>
  typed
    ? Durable.waitForCallback("approval", () => Effect.void, { ...Approval, timeout: "30 days" }).pipe(
        Effect.map(({ by }) => `approved by ${by}`),
        Effect.catchTag("Refused", ({ why }) => Effect.succeed(`refused: ${why}`)),
        Effect.catchTag("CallbackFailed", ({ data, message, type }) =>
          Effect.succeed(`${type}: ${message} ${JSON.stringify(data)}`)
        )
      )
    : Effect.map(
        Durable.waitForCallback("approval", () => Effect.void, {
          heartbeatTimeout: Duration.seconds(heartbeatTimeout ?? 86_400)
        }),
        (text) => `text: ${text}`
      )

const Nothing = DurableFunction.make("nothing", { payload: Schema.Void })

// ---- the service ---------------------------------------------------------------------------------

const registered = Layer.effectDiscard(
  Effect.gen(function* () {
    const engine = yield* Engine.Engine
    const { url } = yield* Server.Server
    const client = DurableExecutionClient.layerClient(kit.lambda(url))
    yield* engine.register("process", Engine.fromHandler(DurableHandler.make(Process, process_, { client })))
    yield* engine.register("approve", Engine.fromHandler(DurableHandler.make(Approve, approve, { client })))
    yield* engine.register("nothing", Engine.fromHandler(DurableHandler.make(Nothing, () => Effect.void, { client })))
    yield* engine.registerPlain(
      "plain",
      Engine.fromHandler(() => 1)
    )
  })
)

const client = Layer.unwrap(Effect.map(Server.Server, ({ url }) => DurableClient.layerEndpoint({ endpoint: url })))

const layer = Layer.merge(registered, client).pipe(Layer.provideMerge(kit.layer()))

const often = { schedule: Schedule.spaced("3 millis") }
const at = new Date("2026-01-02T03:04:05.000Z")
const order = { id: "7", cents: 100, at }

const callbackIdOf = (execution: DurableClient.ExecutionRef) =>
  DurableClient.history(execution).pipe(
    Stream.filterMap((event) => {
      const id = event.CallbackStartedDetails?.CallbackId
      return id === undefined ? Result.fail(undefined) : Result.succeed(id)
    }),
    Stream.runHead,
    Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("3 millis") }),
    Effect.map(Option.getOrThrow)
  )

/** The wire's timestamps are seconds: the last digits of a fraction of a millisecond do not survive. */
const rounded = <A>(value: A): A =>
  JSON.parse(JSON.stringify(value), (_, item) => (typeof item === "number" && item > 1e11 ? Math.trunc(item) : item))

describe("executions", () => {
  it.live("run: the value, with its types", () =>
    Effect.gen(function* () {
      const receipt = yield* DurableClient.run(Process, "process:$LATEST", order, often)
      assert.deepStrictEqual(receipt, { id: "7", at })
      assert.isUndefined(yield* DurableClient.run(Nothing, "nothing:$LATEST", undefined, often))
    }).pipe(Effect.provide(layer))
  )

  it.live("the default layer goes where the environment says", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const environment = {
        AWS_ENDPOINT_URL_LAMBDA: url,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "local",
        AWS_SECRET_ACCESS_KEY: "local"
      }
      Object.assign(process.env, environment) // of this file's process: nobody else reads it
      const receipt = yield* Effect.provide(
        DurableClient.run(Process, "process:$LATEST", order, often),
        DurableClient.layer
      )
      assert.strictEqual(receipt.id, "7")
    }).pipe(Effect.provide(layer))
  )

  it.live("run: errors keep their class, whatever they are", () =>
    Effect.gen(function* () {
      const failure = (more: object) =>
        Effect.flip(DurableClient.run(Process, "process:live", { ...order, ...more }, often))
      assert.deepStrictEqual(yield* failure({ cents: 101 }), new Declined({ cents: 101 }))
      const failed = yield* failure({ id: "uncovered" })
      assert.instanceOf(failed, DurableError.StepFailed)
      assert.deepInclude(failed, { operation: "charge", type: "Broken", message: "no power" })
      const defect = yield* failure({ id: "defect" })
      assert.instanceOf(defect, DurableError.ExecutionFailed)
      assert.deepInclude(defect, { type: "RangeError", message: "out of range" })
    }).pipe(Effect.provide(layer))
  )

  it.live("a payload that is not the definition's is never sent", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(DurableClient.start(Process, "process:$LATEST", { ...order, cents: -1 }))
      assert.instanceOf(error, DurableError.InvalidPayload)
      assert.match(
        error.message,
        /^The payload for "process" is not what its definition declares: Expected a value greater than 0\n/
      )
      assert.deepStrictEqual(yield* Stream.runCollect(DurableClient.list("process")), [])
    }).pipe(Effect.provide(layer))
  )

  it.live("a name starts once", () =>
    Effect.gen(function* () {
      const named = (more: object) =>
        DurableClient.start(Process, "process:$LATEST", { ...order, ...more }, { name: "order-7", tenantId: "acme" })
      const first = yield* named({})
      assert.include(first.executionArn, ":function:process:$LATEST/durable-execution/order-7/")
      assert.deepStrictEqual((yield* named({})).executionArn, first.executionArn)
      const error = yield* Effect.flip(named({ cents: 3 }))
      assert.instanceOf(error, DurableError.ExecutionAlreadyStarted)
      assert.strictEqual(
        error.message,
        `An execution named "order-7" of "process:$LATEST" was already started with another payload: Execution already started: ${first.executionArn}. Use a name that stands for the payload too, or read the existing execution.`
      )
      const unnamed = yield* Effect.all([
        DurableClient.start(Process, "process:$LATEST", order),
        DurableClient.start(Process, "process:$LATEST", order)
      ])
      assert.notStrictEqual(unnamed[0].executionArn, unnamed[1].executionArn)
    }).pipe(Effect.provide(layer))
  )

  it.live("an execution by its ARN, in another process", () =>
    Effect.gen(function* () {
      const { executionArn } = yield* DurableClient.start(Process, "process:$LATEST", order)
      const receipt = yield* DurableClient.result(DurableClient.execution(Process, executionArn), often)
      assert.deepStrictEqual(receipt.at, at)
    }).pipe(Effect.provide(layer))
  )

  it.live("stopped, timed out, still running", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const execution = yield* DurableClient.start(Process, "process:$LATEST", { ...order, id: "slow" })
      const waiting = DurableClient.result(execution, { schedule: Schedule.recurs(2) })
      const running = yield* Effect.flip(waiting)
      assert.deepStrictEqual(running, new DurableError.ExecutionStillRunning(execution))
      assert.include(running.message, execution.executionArn)
      const stoppedAt = yield* DurableClient.stop(execution, { ErrorType: "Cancelled", ErrorMessage: "by Ada" })
      assert.strictEqual(yield* DurableClient.stop(execution.executionArn), stoppedAt)
      assert.deepStrictEqual(
        yield* Effect.flip(waiting),
        new DurableError.ExecutionStopped({ executionArn: execution.executionArn, message: "by Ada" })
      )
      const executionArn = yield* engine.start({
        functionName: "approve:$LATEST",
        payload: '{"typed":true}',
        executionTimeoutSeconds: 1
      })
      const timedOut = yield* Effect.flip(DurableClient.result(DurableClient.execution(Approve, executionArn), often))
      assert.deepStrictEqual(
        timedOut,
        new DurableError.ExecutionTimedOut({ executionArn, message: "Execution timed out after 1 seconds." })
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("get, history, list", () =>
    Effect.gen(function* () {
      const before = yield* DateTime.now
      const names = ["a", "b", "c"]
      for (const name of names) {
        yield* DurableClient.run(Process, "process:$LATEST", order, { name, ...often })
        yield* Effect.sleep("2 millis")
      }
      const all = yield* Stream.runCollect(DurableClient.list("process", { status: "SUCCEEDED" }))
      assert.deepStrictEqual(
        all.map((one) => one.DurableExecutionName),
        ["c", "b", "a"]
      )
      const read = (options: DurableClient.ListOptions) =>
        Effect.map(Stream.runCollect(DurableClient.list("process", options)), (found) =>
          found.map((one) => one.DurableExecutionName)
        )
      assert.deepStrictEqual(yield* read({ reverse: true }), names)
      assert.deepStrictEqual(yield* read({ name: "b" }), ["b"])
      assert.deepStrictEqual(yield* read({ status: "FAILED" }), [])
      assert.deepStrictEqual(yield* read({ startedBefore: before }), [])
      assert.deepStrictEqual(yield* read({ startedAfter: DateTime.makeUnsafe(all[1]!.StartTimestamp!) }), ["c"])
      const { DurableExecutionArn: executionArn } = all[0]!
      const description = yield* DurableClient.get(executionArn)
      assert.deepInclude(description, {
        Status: "SUCCEEDED",
        Version: "$LATEST",
        Result: JSON.stringify({ id: "7", at })
      })
      assert.isTrue(description.EndTimestamp! >= description.StartTimestamp!)
      assert.isAtLeast(description.StartTimestamp!, before.epochMilliseconds)
      const history = yield* Stream.runCollect(DurableClient.history({ executionArn }))
      assert.deepStrictEqual(
        history.map(({ EventId }) => EventId),
        history.map((_, index) => index + 1)
      )
      assert.deepStrictEqual(history, Array.from(yield* (yield* Engine.Engine).history(executionArn)).map(rounded))
      const [last] = yield* Stream.runCollect(
        DurableClient.history(executionArn, { reverse: true, includeData: false }).pipe(Stream.take(1))
      )
      assert.deepStrictEqual(last?.ExecutionSucceededDetails?.Result, { Truncated: true })
    }).pipe(Effect.provide(layer))
  )

  it.live("what is not there", () =>
    Effect.gen(function* () {
      const executionArn = "arn:aws:lambda:us-east-1:123456789012:function:process:$LATEST/durable-execution/no/id"
      const missing = [
        DurableClient.get(executionArn),
        DurableClient.result(DurableClient.execution(Process, executionArn), often),
        DurableClient.stop(executionArn),
        Stream.runDrain(DurableClient.history(executionArn))
      ]
      for (const call of missing as ReadonlyArray<Effect.Effect<unknown, unknown, DurableClient.DurableClient>>) {
        const error = yield* Effect.flip(call)
        assert.instanceOf(error, DurableError.ExecutionNotFound)
        assert.strictEqual(
          error.message,
          `There is no execution ${executionArn}: Durable execution not found: ${executionArn}. Its retention period may be over.`
        )
      }
      const nobody = yield* Effect.flip(DurableClient.start(Process, "nobody:live", order))
      assert.instanceOf(nobody, DurableError.FunctionNotFound)
      assert.match(
        nobody.message,
        /^There is no function "nobody:live": Function not found: arn:[^ ]*\. Check its name/
      )
      const unlisted = yield* Effect.flip(Stream.runDrain(DurableClient.list("nobody")))
      assert.instanceOf(unlisted, DurableError.FunctionNotFound)
      const plain = yield* Effect.flip(DurableClient.start(Process, "plain:live", order))
      assert.instanceOf(plain, DurableError.ClientFailed)
      const unqualified = yield* Effect.flip(
        DurableClient.start(Process, "function:process" as DurableFunction.QualifiedName, order)
      )
      assert.instanceOf(unqualified, DurableError.ClientFailed)
      assert.strictEqual(
        unqualified.message,
        "Invoke failed: InvalidParameterValueException (HTTP 400): You cannot invoke a durable function using an unqualified ARN."
      )
    }).pipe(Effect.provide(layer))
  )
})

describe("callbacks", () => {
  const asked = Effect.fnUntraced(function* (typed: boolean, more: { readonly heartbeatTimeout?: number } = {}) {
    const execution = yield* DurableClient.start(Approve, "approve:$LATEST", { typed, ...more })
    const callbackId = yield* callbackIdOf(execution)
    return { callbackId, execution, result: DurableClient.result(execution, often) }
  })

  it.live("typed answers", () =>
    Effect.gen(function* () {
      const yes = yield* asked(true)
      const open = DurableClient.callback(yes.callbackId, Approval)
      const bad = yield* Effect.flip(DurableClient.succeed(open, { by: "" }))
      assert.instanceOf(bad, DurableError.SerdesFailed)
      assert.match(bad.message, /^The answer to callback .*…: cannot encode its payload: /)
      yield* DurableClient.succeed(open, { by: "Ada" })
      assert.strictEqual(yield* yes.result, "approved by Ada")
      const late = yield* Effect.flip(DurableClient.succeed(open, { by: "Bob" }))
      assert.instanceOf(late, DurableError.CallbackNotOpen)
      assert.match(late.message, /^The callback is not open: The callback is either timed out or already completed \(/)
      const no = yield* asked(true)
      yield* DurableClient.fail(DurableClient.callback(no.callbackId, Approval), new Refused({ why: "too dear" }))
      assert.strictEqual(yield* no.result, "refused: too dear")
      const other = yield* asked(true)
      const failure = { type: "Crash", message: "no power" }
      yield* DurableClient.fail(DurableClient.callback(other.callbackId, Approval), failure)
      assert.strictEqual(yield* other.result, "Crash: no power undefined")
    }).pipe(Effect.provide(layer))
  )

  it.live("answers that are text, or nothing", () =>
    Effect.gen(function* () {
      for (const [text, expected] of [
        ["not JSON", "text: not JSON"],
        [undefined, "text: undefined"]
      ] as const) {
        const { callbackId, result } = yield* asked(false)
        yield* DurableClient.heartbeat(DurableClient.callback(callbackId))
        yield* DurableClient.succeed(DurableClient.callback(callbackId), text)
        assert.strictEqual(yield* result, expected)
      }
      const failed = yield* asked(false)
      const failure = { type: "No", message: "not today", data: { until: ["May"] } }
      yield* DurableClient.fail(DurableClient.callback(failed.callbackId), failure)
      const error = yield* Effect.flip(failed.result)
      assert.instanceOf(error, DurableError.CallbackFailed)
      assert.deepInclude(error, failure)
    }).pipe(Effect.provide(layer))
  )

  it.live("heartbeats keep it open, and end with the scope or with the callback", () =>
    Effect.gen(function* () {
      const { callbackId, execution, result } = yield* asked(false, { heartbeatTimeout: 200 }) // gives up after 2 s
      const callback = DurableClient.callback(callbackId)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* DurableClient.heartbeats(callback, Schedule.spaced("20 millis"))
          yield* Effect.sleep("3 seconds")
          assert.strictEqual((yield* DurableClient.get(execution)).Status, "RUNNING")
        })
      )
      const error = yield* Effect.flip(result)
      assert.deepInclude(error, { _tag: "CallbackTimedOut", kind: "heartbeat" })
      const beating = yield* DurableClient.heartbeats(callback, Schedule.spaced("20 millis"))
      assert.instanceOf(yield* Effect.flip(Fiber.join(beating)), DurableError.CallbackNotOpen)
    }).pipe(Effect.provide(layer), Effect.scoped)
  )
})

// ---- failures ------------------------------------------------------------------------------------

const awsError = (name: string, status: number | undefined, message: string = name) =>
  Object.assign(new Error(message), { name, $metadata: status === undefined ? {} : { httpStatusCode: status } })

/** A client that answers call by call, the last one again and again, and keeps what it was sent. */
const fake = (...answers: ReadonlyArray<unknown>) => {
  const sent: Array<any> = []
  const send = (command: { readonly input: unknown; readonly constructor: { readonly name: string } }) => {
    sent.push({ call: command.constructor.name.replace("Command", ""), ...(command.input as object) })
    const answer = answers[Math.min(sent.length, answers.length) - 1]
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
  return { sent, layer: DurableClient.layerClient({ send } as unknown as LambdaClient) }
}

const arn = "arn:aws:lambda:us-east-1:123456789012:function:process:1/durable-execution/n/i"
const described = (more: object) => ({
  DurableExecutionArn: arn,
  DurableExecutionName: "n",
  FunctionArn: "arn:aws:lambda:us-east-1:123456789012:function:process:1",
  StartTimestamp: new Date(0),
  Status: "RUNNING",
  ...more
})
const execution = DurableClient.execution(Process, arn)
const succeeded = described({ Status: "SUCCEEDED", Result: JSON.stringify({ id: "7", at }) })

describe("failures of the service", () => {
  it.effect("what is sent to start: asynchronous, with a name of our own", () => {
    const { layer, sent } = fake({ DurableExecutionArn: arn })
    return Effect.gen(function* () {
      yield* DurableClient.start(Process, "process:live", order)
      const [{ DurableExecutionName, Payload, ...rest }] = sent
      assert.match(DurableExecutionName, /^[0-9a-f]{32}$/)
      assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(Payload)), { ...order, at: at.toISOString() })
      assert.deepStrictEqual(rest, {
        call: "Invoke",
        FunctionName: "process:live",
        InvocationType: "Event",
        TenantId: undefined
      })
    }).pipe(Effect.provide(layer))
  })

  it.effect("a function that is not durable", () => {
    const { layer } = fake({ StatusCode: 202, $metadata: { httpStatusCode: 202 } })
    return Effect.gen(function* () {
      const error = yield* Effect.flip(DurableClient.start(Process, "process:live", order))
      assert.deepInclude(error, { _tag: "ClientFailed", errorName: "NotDurable", transient: false })
      assert.include(error.message, '"process:live" was invoked, but it is not a durable function')
      assert.match(error.message, /^Invoke failed: NotDurable \(HTTP 202\): /)
    }).pipe(Effect.provide(layer))
  })

  it.effect("waiting outlasts throttling and a network that is gone for a while", () => {
    const gone = awsError("TimeoutError", undefined, "socket hang up")
    const { layer, sent } = fake(
      described({}),
      awsError("TooManyRequestsException", 429),
      awsError("ServiceException", 500),
      gone,
      described({}),
      gone,
      succeeded
    )
    return Effect.gen(function* () {
      const waiting = yield* Effect.forkChild(DurableClient.result(execution))
      yield* TestClock.adjust("199 millis")
      assert.lengthOf(sent, 1)
      yield* TestClock.adjust("1 millis")
      assert.lengthOf(sent, 2)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(waiting), { id: "7", at })
      assert.lengthOf(sent, 7)
    }).pipe(Effect.provide(layer))
  })

  it.effect("the default schedule slows down to every 5 seconds", () => {
    const { layer, sent } = fake(described({}))
    return Effect.gen(function* () {
      yield* Effect.forkChild(DurableClient.result(execution))
      yield* TestClock.adjust("1 minute")
      const before = sent.length
      assert.isBelow(before, 25)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(sent.length - before, 12)
    }).pipe(Effect.provide(layer))
  })

  it.effect("waiting does not outlast everything", () =>
    Effect.gen(function* () {
      const waiting = (service: ReturnType<typeof fake>) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(Effect.flip(DurableClient.result(execution)))
          yield* TestClock.adjust("10 minutes")
          return [yield* Fiber.join(fiber), service.sent.length] as const
        }).pipe(Effect.provide(service.layer))
      const [down, times] = yield* waiting(fake(awsError("ServiceException", 503, "down")))
      assert.deepInclude(down, { _tag: "ClientFailed", call: "GetDurableExecution", status: 503, transient: true })
      assert.strictEqual(times, 10)
      const [denied, once] = yield* waiting(fake(awsError("AccessDeniedException", 403, "not authorized")))
      assert.deepInclude(denied, { _tag: "ClientFailed", errorName: "AccessDeniedException", transient: false })
      assert.strictEqual(denied.message, "GetDurableExecution failed: AccessDeniedException (HTTP 403): not authorized")
      assert.strictEqual(once, 1)
      const [local] = yield* waiting(fake(awsError("CredentialsProviderError", undefined, "no credentials")))
      assert.deepInclude(local, { _tag: "ClientFailed", transient: false })
    })
  )

  it.effect("answers that cannot be read", () =>
    Effect.gen(function* () {
      for (const answer of [undefined, null, "x", {}, described({ Status: 7 }), described({ Result: 7 })]) {
        const error = yield* Effect.flip(Effect.provide(DurableClient.get(arn), fake(answer).layer))
        assert.deepInclude(error, { _tag: "ClientFailed", errorName: "UnreadableResponse", transient: false })
      }
      const answer = { ...described({ Status: 7 }), $metadata: { httpStatusCode: 200 } }
      const error = yield* Effect.flip(Effect.provide(DurableClient.get(arn), fake(answer).layer))
      assert.match(error.message, /^GetDurableExecution failed: UnreadableResponse \(HTTP 200\): /)
    })
  )

  it.effect("results and errors that are not the definition's", () =>
    Effect.gen(function* () {
      const ended = (more: object) =>
        Effect.flip(Effect.provide(DurableClient.result(execution), fake(described(more)).layer))
      const old = yield* ended({ Status: "SUCCEEDED", Result: '{"id":7}' })
      assert.instanceOf(old, DurableError.SerdesFailed)
      assert.match(old.message, /^The result of "process": cannot decode its payload: /)
      const foreign = yield* ended({ Status: "FAILED", Error: { ErrorType: "E", ErrorMessage: "m", ErrorData: "{}" } })
      assert.instanceOf(foreign, DurableError.ExecutionFailed)
      assert.match(foreign.message, /^m \(its data does not fit: /)
      const bare = yield* ended({ Status: "FAILED" })
      assert.deepInclude(bare, { _tag: "ExecutionFailed", type: "Failure", message: "It failed without a message." })
      const stopped = yield* ended({ Status: "STOPPED", Error: {} })
      assert.deepInclude(stopped, { _tag: "ExecutionStopped", message: "The execution was stopped from outside." })
    })
  )

  it.effect("streams read page by page, and no page more than is asked for", () => {
    const event = (EventId: number) => ({ EventType: "StepStarted", EventId, EventTimestamp: new Date(1e12) })
    const { layer, sent } = fake(
      { Events: [event(1), event(2)], NextMarker: "a" },
      { Events: [event(3)], NextMarker: "" }
    )
    return Effect.gen(function* () {
      const first = yield* Stream.runCollect(Stream.take(DurableClient.history(arn), 2))
      assert.deepStrictEqual(
        first.map(({ EventId }) => EventId),
        [1, 2]
      )
      assert.lengthOf(sent, 1)
      sent.length = 0
      const all = yield* Stream.runCollect(DurableClient.history(arn))
      assert.deepStrictEqual(
        all.map(({ EventId, EventTimestamp }) => [EventId, EventTimestamp]),
        [
          [1, 1e12],
          [2, 1e12],
          [3, 1e12]
        ]
      )
      assert.deepStrictEqual(
        sent.map(({ Marker }) => Marker),
        [undefined, "a"]
      )
    }).pipe(Effect.provide(layer))
  })

  describe("what AWS has added since", () => {
    const until = new Date(2e12)
    const expired = described({ Status: "EXPIRED", EndTimestamp: new Date(1e12) })
    const news = {
      EventType: "MailboxOpened",
      EventId: 2,
      EventTimestamp: new Date(1e12),
      Id: "m",
      Name: "letters",
      MailboxOpenedDetails: { Capacity: 7, Until: until, Owner: null }
    }
    const event = (EventId: number, EventType: string) => ({ EventType, EventId, EventTimestamp: new Date(1e12) })

    it.effect("an event of a new type is kept with all that it has, and so is the rest", () => {
      const { layer } = fake({ Events: [event(1, "StepStarted"), news, event(3, "StepPaused")] })
      return Effect.gen(function* () {
        const events = yield* Stream.runCollect(DurableClient.history(arn))
        assert.deepStrictEqual(
          events.map(({ EventId, EventType }) => [EventId, EventType]),
          [
            [1, "StepStarted"],
            [2, "MailboxOpened"],
            [3, "StepPaused"]
          ]
        )
        assert.deepStrictEqual(events.map(History.isKnown), [true, false, false])
        const opened = events[1]!
        assert.strictEqual(opened.EventTimestamp, 1e12)
        assert.deepStrictEqual(History.detailsOf(opened), { Capacity: 7, Until: until })
        assert.strictEqual(
          History.describe(opened),
          'MailboxOpened "letters" {"Capacity":7,"Until":"2033-05-18T03:33:20.000Z"}'
        )
        assert.include(History.toJson(opened), '"MailboxOpenedDetails":{"Capacity":7')
      }).pipe(Effect.provide(layer))
    })

    it.effect("what all events must have is asked of new ones, too", () => {
      const { layer } = fake({ Events: [event(1, "StepStarted"), { ...news, EventId: "2" }] })
      return Effect.gen(function* () {
        const error = yield* Effect.flip(Stream.runCollect(DurableClient.history(arn)))
        assert.deepInclude(error, { _tag: "ClientFailed", errorName: "UnreadableResponse", transient: false })
        assert.match(error.message, /\[1\]\["EventId"\]/)
      }).pipe(Effect.provide(layer))
    })

    it.effect("an execution with a new status is listed and described, and so are the others", () => {
      const { layer } = fake({ DurableExecutions: [described({ Status: "PAUSED" }), described({})] })
      return Effect.gen(function* () {
        const found = yield* Stream.runCollect(DurableClient.list("process"))
        assert.deepStrictEqual(
          found.map(({ Status }) => Status),
          ["PAUSED", "RUNNING"]
        )
        const one = yield* Effect.provide(DurableClient.get(arn), fake(described({ Status: "PAUSED" })).layer)
        assert.strictEqual(one.Status, "PAUSED")
      }).pipe(Effect.provide(layer))
    })

    it.effect("a new status is waited through until it has an end, which is then said", () =>
      Effect.gen(function* () {
        const waited = (...answers: ReadonlyArray<unknown>) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.forkChild(Effect.exit(DurableClient.result(execution)))
            yield* TestClock.adjust("1 minute")
            return yield* Fiber.join(fiber)
          }).pipe(Effect.provide(fake(...answers).layer))
        const paused = yield* waited(described({ Status: "PAUSED" }), succeeded)
        assert.deepStrictEqual(paused, Exit.succeed({ id: "7", at }))
        const bare = yield* Effect.flip(Effect.flatten(Effect.succeed(yield* waited(expired))))
        assert.deepInclude(bare, {
          _tag: "ExecutionFailed",
          type: "EXPIRED",
          message: "It has ended with the status EXPIRED, which this version does not know."
        })
        const error = { ErrorType: "Expired", ErrorMessage: "after 90 days" }
        const told = yield* Effect.flip(Effect.flatten(Effect.succeed(yield* waited({ ...expired, Error: error }))))
        assert.deepInclude(told, { _tag: "ExecutionFailed", type: "Expired", message: "after 90 days" })
      })
    )
  })

  it.live("a server that is not there, by AWS's own client: worth asking again; one that nobody can ask is not", () =>
    Effect.gen(function* () {
      const ask = (endpoint: string) =>
        Effect.flip(Effect.provide(DurableClient.get(arn), DurableClient.layerEndpoint({ endpoint })))
      for (const [endpoint, reason] of [
        ["http://127.0.0.1:1", /ECONNREFUSED/],
        ["http://nowhere.invalid", /ENOTFOUND|EAI_AGAIN/]
      ] as const) {
        const error = yield* ask(endpoint)
        assert.deepInclude(error, { _tag: "ClientFailed", transient: true })
        assert.match(error.message, reason)
      }
      const client = { send: () => Promise.reject(new Error("Region is missing")) }
      const nowhere = yield* Effect.flip(Effect.provide(DurableClient.get(arn), DurableClient.layerClient(client)))
      assert.deepInclude(nowhere, { _tag: "ClientFailed", transient: false })
    })
  )

  it.effect("a call that nobody waits for any more is given up", () =>
    Effect.gen(function* () {
      const signals: Array<AbortSignal> = []
      const client = {
        send: (_: unknown, options?: { readonly abortSignal?: AbortSignal }) => {
          signals.push(options!.abortSignal!)
          return new Promise<unknown>(() => {})
        }
      }
      const fiber = yield* Effect.forkChild(Effect.provide(DurableClient.get(arn), DurableClient.layerClient(client)))
      while (signals.length === 0) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.isFalse(signals[0]!.aborted)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(signals[0]!.aborted)
    })
  )

  it.effect("callbacks that are gone, heartbeats over a bad line", () => {
    const gone = fake(awsError("ResourceNotFoundException", 404, "no such callback"))
    const bad = fake({}, awsError("TimeoutError", undefined), {}, awsError("AccessDeniedException", 403))
    return Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.provide(DurableClient.heartbeat(DurableClient.callback("abc")), gone.layer)
      )
      assert.strictEqual(error.message, "The callback is not open: no such callback (abc).")
      const beating = yield* Effect.provide(
        DurableClient.heartbeats(DurableClient.callback("abc"), Schedule.spaced("1 second")),
        bad.layer
      )
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Fiber.await(beating)
      assert.isTrue(Exit.isFailure(exit))
      assert.lengthOf(bad.sent, 4)
    }).pipe(Effect.scoped)
  })
})
