// @effect-diagnostics globalDateInEffect:off
// @effect-diagnostics abortControllerInEffect:off
/**
 * Every operation of Lambda's API that the server has, by AWS's own client.
 */
import * as aws from "@aws-sdk/client-lambda"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Durable, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Faults from "../../src/engine/Faults.ts"
import * as raw from "../engine/raw.ts"
import * as kit from "./kit.ts"

const utf8 = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes)
const bytes = (text: string) => new TextEncoder().encode(text)

const send = <A>(call: (client: aws.LambdaClient) => Promise<A>) =>
  Effect.flatMap(kit.client, (client) =>
    Effect.tryPromise({ try: () => call(client), catch: (error) => error as aws.LambdaServiceException })
  )

/** Name, status and text of a refusal. */
const refused = <A>(call: (client: aws.LambdaClient) => Promise<A>) =>
  Effect.map(Effect.flip(send(call)), ({ $metadata, message, name }): ReadonlyArray<string | number | undefined> => [
    name,
    $metadata.httpStatusCode,
    message
  ])

const echo = raw.register("echo", (durable) => durable.step("s", Effect.succeed(durable.input)))

/** Waits for a callback, then gives what became of it. */
const asking = raw.register("asking", (durable) =>
  Effect.map(
    durable.external({ ...raw.start("c", "CALLBACK"), CallbackOptions: { HeartbeatTimeoutSeconds: 86_400 } }),
    ({ CallbackDetails, Status }) => ({ Status, Result: CallbackDetails?.Result, Error: CallbackDetails?.Error })
  )
)

const failing = raw.register("failing", (durable) =>
  Effect.andThen(
    durable.send([
      { Id: "e", Type: "EXECUTION", Action: "FAIL", Error: { ErrorType: "Declined", ErrorMessage: "no funds" } }
    ]),
    Effect.succeed(null)
  )
)

const plain = Effect.flatMap(Engine.Engine, (engine) =>
  engine.registerPlain(
    "plain",
    Engine.fromHandler((event) => {
      if (event === "throw") throw new RangeError("too far")
      return { got: event }
    }),
    { version: "7" }
  )
)

const invoke =
  (input: Partial<aws.InvokeCommandInput> = {}) =>
  (client: aws.LambdaClient) =>
    client.send(new aws.InvokeCommand({ FunctionName: "echo:$LATEST", ...input }))

const started = (functionName: string, input: Partial<aws.InvokeCommandInput> = {}) =>
  Effect.map(
    send(invoke({ FunctionName: functionName, InvocationType: "Event", ...input })),
    ({ DurableExecutionArn = "" }) => DurableExecutionArn
  )

const callbackOf = (arn: string) =>
  Effect.flatMap(Engine.Engine, (engine) => engine.operations(arn)).pipe(
    Effect.map((all) => all.find(({ Type }) => Type === "CALLBACK")?.CallbackDetails?.CallbackId ?? ""),
    Effect.repeat({ until: (id) => id !== "", schedule: Schedule.spaced("2 millis") })
  )

const endOf = (arn: string) => Effect.flatMap(Engine.Engine, (engine) => engine.await(arn))

describe("Invoke", () => {
  it.live("RequestResponse waits for the end; a function fails as a function does", () =>
    Effect.gen(function* () {
      yield* Effect.all([echo, failing])
      const response = yield* send(invoke({ Payload: bytes('{"a":[1]}') }))
      assert.deepStrictEqual(
        [response.StatusCode, response.ExecutedVersion, response.FunctionError, utf8(response.Payload)],
        [200, "$LATEST", undefined, '{"a":[1]}']
      )
      assert.match(
        response.DurableExecutionArn ?? "",
        /^arn:aws:lambda:us-east-1:123456789012:function:echo:\$LATEST\/durable-execution\/[\w-]+\/[\w-]+$/
      )
      const failed = yield* send(invoke({ FunctionName: "failing:$LATEST" }))
      assert.deepStrictEqual(
        [failed.StatusCode, failed.FunctionError, JSON.parse(utf8(failed.Payload))],
        [200, "Unhandled", { errorType: "Declined", errorMessage: "no funds", trace: [] }]
      )
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("Event starts, DryRun only looks", () =>
    Effect.gen(function* () {
      yield* asking
      const engine = yield* Engine.Engine
      const dry = yield* send(invoke({ FunctionName: "asking:$LATEST", InvocationType: "DryRun" }))
      assert.strictEqual(dry.StatusCode, 204)
      assert.lengthOf(yield* engine.list(), 0)
      const event = yield* send(
        invoke({ FunctionName: "asking", Qualifier: "$LATEST", InvocationType: "Event", TenantId: "acme" })
      )
      assert.strictEqual(event.StatusCode, 202)
      const { Status } = yield* engine.describe(event.DurableExecutionArn ?? "")
      assert.strictEqual(Status, "RUNNING")
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("functions by name, partial and full ARN, version and alias", () =>
    Effect.gen(function* () {
      yield* raw.register("versioned", () => Effect.succeed(1), { version: "3" })
      for (const FunctionName of [
        "versioned:live",
        "123456789012:versioned:3",
        "function:versioned:live",
        "arn:aws:lambda:us-east-1:123456789012:function:versioned:live"
      ]) {
        const { DurableExecutionArn, ExecutedVersion } = yield* send(invoke({ FunctionName }))
        assert.strictEqual(ExecutedVersion, "3")
        assert.include(DurableExecutionArn, ":function:versioned:3/durable-execution/")
      }
      assert.deepStrictEqual(yield* refused(invoke({ FunctionName: "versioned:live", Qualifier: "3" })), [
        "InvalidParameterValueException",
        400,
        "The derived qualifier from the function name does not match the specified qualifier."
      ])
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("what the service refuses to start", () =>
    Effect.gen(function* () {
      yield* Effect.all([echo, plain])
      yield* raw.register("long", () => Effect.succeed(1), { executionTimeoutSeconds: 901 })
      assert.deepStrictEqual(yield* refused(invoke({ FunctionName: "echo" })), [
        "InvalidParameterValueException",
        400,
        "You cannot invoke a durable function using an unqualified ARN."
      ])
      assert.deepStrictEqual(yield* refused(invoke({ FunctionName: "nobody:$LATEST" })), [
        "ResourceNotFoundException",
        404,
        "Function not found: arn:aws:lambda:us-east-1:123456789012:function:nobody:$LATEST"
      ])
      assert.deepStrictEqual(yield* refused(invoke({ FunctionName: "long:$LATEST" })), [
        "InvalidParameterValueException",
        400,
        "You cannot synchronously invoke a durable function with an executionTimeout greater than 15 minutes."
      ])
      assert.notStrictEqual(yield* started("long:$LATEST"), "")
      assert.deepStrictEqual((yield* refused(invoke({ Payload: bytes("{") }))).slice(0, 2), [
        "InvalidRequestContentException",
        400
      ])
      assert.deepStrictEqual((yield* refused(invoke({ DurableExecutionName: "no spaces" }))).slice(0, 2), [
        "ValidationException",
        400
      ])
      const large = bytes(JSON.stringify("x".repeat(1024 * 1024)))
      assert.deepStrictEqual(yield* refused(invoke({ InvocationType: "Event", Payload: large })), [
        "RequestTooLargeException",
        413,
        "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
      ])
      yield* raw.register("size", ({ input }) => Effect.succeed(String(input).length))
      const sync = yield* send(invoke({ FunctionName: "size:$LATEST", Payload: large }))
      assert.strictEqual(utf8(sync.Payload), String(1024 * 1024))
      const larger = bytes(JSON.stringify("x".repeat(6 * 1024 * 1024)))
      assert.strictEqual((yield* refused(invoke({ Payload: larger })))[0], "RequestTooLargeException")
      const named = invoke({ FunctionName: "plain", DurableExecutionName: "n" })
      assert.strictEqual((yield* refused(named))[0], "InvalidParameterValueException")
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("limits are the engine's", () =>
    Effect.gen(function* () {
      yield* raw.register("long", () => Effect.succeed(1), { executionTimeoutSeconds: 901 })
      assert.strictEqual((yield* send(invoke({ FunctionName: "long" }))).StatusCode, 200)
    }).pipe(Effect.provide(kit.layer({ limits: { qualifiedNames: false, synchronousSeconds: Infinity } })))
  )

  it.live("waits for 900 seconds at most, and the execution goes on", () =>
    Effect.gen(function* () {
      yield* asking
      const response = yield* send(invoke({ FunctionName: "asking:$LATEST" }))
      assert.deepStrictEqual(
        [response.StatusCode, response.FunctionError, JSON.parse(utf8(response.Payload))],
        [
          200,
          "Unhandled",
          {
            errorType: "Execution.RUNNING",
            errorMessage:
              "A synchronous invocation ends after 0.1 seconds; the execution goes on. " +
              "Invoke with the type Event what takes longer.",
            trace: []
          }
        ]
      )
      const { DurableExecutionArn: arn = "" } = response
      const engine = yield* Engine.Engine
      assert.strictEqual((yield* engine.describe(arn)).Status, "RUNNING")
      yield* engine.succeedCallback(yield* callbackOf(arn), "late")
      assert.strictEqual((yield* endOf(arn)).Status, "SUCCEEDED")
    }).pipe(Effect.provide(kit.layer({ limits: { synchronousSeconds: 0.1 } })))
  )

  it.live("a name starts once: running or ended, with the same payload", () =>
    Effect.gen(function* () {
      yield* asking
      const named = (payload: string, InvocationType: aws.InvocationType = "Event") =>
        invoke({
          FunctionName: "asking:$LATEST",
          InvocationType,
          DurableExecutionName: "order-7",
          Payload: bytes(payload)
        })
      const { DurableExecutionArn: arn = "" } = yield* send(named("1"))
      assert.include(arn, "/durable-execution/order-7/")
      assert.strictEqual((yield* send(named("1"))).DurableExecutionArn, arn)
      const conflict = ["DurableExecutionAlreadyStartedException", 409, `Execution already started: ${arn}`]
      assert.deepStrictEqual(yield* refused(named("2")), conflict)
      const attached = yield* Effect.forkChild(send(named("1", "RequestResponse")))
      const CallbackId = yield* callbackOf(arn)
      yield* send((client) => client.send(new aws.SendDurableExecutionCallbackSuccessCommand({ CallbackId })))
      const first = yield* Fiber.join(attached)
      const again = yield* send(named("1", "RequestResponse"))
      assert.deepStrictEqual(
        [first, again].map(({ DurableExecutionArn, Payload }) => [DurableExecutionArn, utf8(Payload)]),
        [
          [arn, '{"Status":"SUCCEEDED"}'],
          [arn, '{"Status":"SUCCEEDED"}']
        ]
      )
      assert.deepStrictEqual(yield* refused(named("2")), conflict)
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("a caller that goes away does not end the execution", () =>
    Effect.gen(function* () {
      yield* asking
      const server = yield* Server.Server
      const engine = yield* Engine.Engine
      const impatient = kit.lambda(server.url)
      const abort = new AbortController()
      const call = impatient
        .send(new aws.InvokeCommand({ FunctionName: "asking:$LATEST", DurableExecutionName: "n" }), {
          abortSignal: abort.signal
        })
        .catch((error: unknown) => (error as Error).name)
      const [execution] = yield* engine
        .list()
        .pipe(Effect.repeat({ until: (all) => all.length > 0, schedule: Schedule.spaced("2 millis") }))
      const id = yield* callbackOf(execution!.DurableExecutionArn)
      abort.abort()
      assert.strictEqual(yield* Effect.promise(() => call), "AbortError")
      yield* engine.succeedCallback(id, "late")
      assert.strictEqual((yield* endOf(execution!.DurableExecutionArn)).Status, "SUCCEEDED")
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("plain functions", () =>
    Effect.gen(function* () {
      yield* plain
      const good = yield* send(invoke({ FunctionName: "plain", Payload: bytes("[1]") }))
      assert.deepStrictEqual(
        [good.StatusCode, good.ExecutedVersion, good.DurableExecutionArn, utf8(good.Payload)],
        [200, "7", undefined, '{"got":[1]}']
      )
      const bad = yield* send(invoke({ FunctionName: "plain:live", Payload: bytes('"throw"') }))
      assert.deepStrictEqual(
        [bad.StatusCode, bad.FunctionError, JSON.parse(utf8(bad.Payload))],
        [200, "Unhandled", { errorType: "RangeError", errorMessage: "too far", trace: [] }]
      )
      assert.strictEqual((yield* send(invoke({ FunctionName: "plain", InvocationType: "Event" }))).StatusCode, 202)
      const engine = yield* Engine.Engine
      yield* engine.registerPlain("big", () => Effect.succeed(1n))
      yield* engine.registerPlain("no-json", () => Effect.succeed(() => 1))
      const big = yield* send(invoke({ FunctionName: "big" }))
      assert.strictEqual(big.FunctionError, "Unhandled")
      assert.include(utf8(big.Payload), '"errorType":"Runtime.MarshalError"')
      assert.strictEqual(utf8((yield* send(invoke({ FunctionName: "no-json" }))).Payload), "null")
      assert.strictEqual((yield* send(invoke({ FunctionName: "plain", InvocationType: "DryRun" }))).StatusCode, 204)
    }).pipe(Effect.provide(kit.layer()))
  )
})

describe("CheckpointDurableExecution, GetDurableExecutionState", () => {
  it.live("tokens, pages, epoch seconds, refusals", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const engine = yield* Engine.Engine
      const seen: Array<unknown> = []
      yield* engine.register(
        "wire",
        Engine.fromHandler(async (event) => {
          const { CheckpointToken, DurableExecutionArn } = event as raw.Event
          const client = kit.lambda(url)
          const checkpoint = (token: string, Updates: Array<aws.OperationUpdate>, ClientToken?: string) =>
            client.send(
              new aws.CheckpointDurableExecutionCommand({
                DurableExecutionArn,
                CheckpointToken: token,
                Updates,
                ClientToken
              })
            )
          const steps = Array.from({ length: 5 }, (_, i): Array<aws.OperationUpdate> => [
            { Id: `s${i}`, Type: "STEP", Action: "START", Name: `step ${i}` },
            { Id: `s${i}`, Type: "STEP", Action: "SUCCEED", Name: `step ${i}`, Payload: String(i) }
          ])
          const first = await checkpoint(CheckpointToken, steps.flat(), "once")
          const again = await checkpoint(CheckpointToken, steps.flat(), "once")
          seen.push(first.NewExecutionState?.Operations?.length, first.CheckpointToken === again.CheckpointToken)
          const { StartTimestamp } = first.NewExecutionState?.Operations?.[0] ?? {}
          seen.push(Math.abs((StartTimestamp?.getTime() ?? 0) - Date.now()) < 120_000)
          const ids: Array<string | undefined> = []
          let Marker: string | undefined
          do {
            const page: aws.GetDurableExecutionStateCommandOutput = await client.send(
              new aws.GetDurableExecutionStateCommand({
                DurableExecutionArn,
                CheckpointToken: first.CheckpointToken,
                MaxItems: 2,
                Marker
              })
            )
            ids.push(...(page.Operations ?? []).map(({ Id, Type }) => (Type === "EXECUTION" ? Type : Id)))
            Marker = page.NextMarker
          } while (Marker)
          seen.push(ids)
          const stale = await checkpoint(CheckpointToken, []).catch((error: aws.LambdaServiceException) => error)
          seen.push(stale instanceof aws.InvalidParameterValueException && [stale.message, stale.Type])
          const wrong = await checkpoint(first.CheckpointToken ?? "", [
            { Id: "x", Type: "STEP", Action: "CANCEL" }
          ]).catch((error: aws.LambdaServiceException) => error.message)
          seen.push(wrong)
          return { Status: "SUCCEEDED" }
        })
      )
      yield* endOf(yield* engine.start({ functionName: "wire:$LATEST" }))
      assert.deepStrictEqual(seen, [
        5,
        true,
        true,
        ["EXECUTION", "s0", "s1", "s2", "s3", "s4"],
        ["Invalid checkpoint token", "User"],
        "Invalid action for the given operation type."
      ])
    }).pipe(Effect.provide(kit.layer()))
  )
})

describe("a service that is not well", () => {
  /** Runs two steps over a real client, with its retries, while the calls go wrong as told. */
  const steps = Effect.fnUntraced(function* (faults: ReadonlyArray<Faults.Fault | undefined>) {
    const calls: Array<number> = []
    const decide = ({ call, updates }: Faults.Call) =>
      Effect.sync(() => {
        calls.push(updates)
        return faults[call - 1]
      })
    const layer = Layer.provide(kit.layer(), Layer.succeed(Faults.Faults, decide))
    return yield* Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const { url } = yield* Server.Server
      const client = DurableExecutionClient.layerClient(kit.lambda(url, { maxAttempts: 3 }))
      let runs = 0
      const body = () =>
        Effect.andThen(
          Durable.step(
            "a",
            Effect.sync(() => ++runs)
          ),
          Durable.step(
            "b",
            Effect.sync(() => ++runs)
          )
        )
      yield* engine.register("steps", Engine.fromHandler(DurableHandler.make(Steps, body, { client })))
      const arn = yield* engine.start({ functionName: "steps:$LATEST" })
      const { Result, Status } = yield* engine.await(arn)
      const history = raw.types(yield* engine.history(arn))
      const succeeded = history.filter((type) => type === "StepSucceeded").length
      const invocations = history.filter((type) => type === "InvocationCompleted").length
      return { Status, Result, runs, succeeded, invocations, calls: calls.length }
    }).pipe(Effect.provide(layer))
  })
  const Steps = DurableFunction.make("steps", { payload: Schema.Void, success: Schema.Int })
  const well = { Status: "SUCCEEDED" as const, Result: "2", runs: 2, succeeded: 2, invocations: 1 }

  it.live("a response that is lost, throttling and 5xx are sent again, and recorded once", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* steps([]), { ...well, calls: 2 })
      assert.deepStrictEqual(yield* steps(["DropResponse"]), { ...well, calls: 3 })
      assert.deepStrictEqual(yield* steps([undefined, "Throttle", "ServerError"]), { ...well, calls: 4 })
    })
  )

  it.live("a runtime that crashes under its request hears nothing more, and is invoked again", () =>
    Effect.gen(function* () {
      const crashed = yield* steps([undefined, "CrashAfter"])
      assert.deepInclude(crashed, { ...well, invocations: 2 })
    })
  )

  it.live("ten starts of one name at the same time are one execution", () =>
    Effect.gen(function* () {
      yield* asking
      const start = started("asking:$LATEST", { DurableExecutionName: "one" })
      const arns = yield* Effect.all(
        Array.from({ length: 10 }, () => start),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(new Set(arns), 1)
    }).pipe(Effect.provide(kit.layer()))
  )
})

describe("GetDurableExecution, GetDurableExecutionHistory, ListDurableExecutionsByFunction", () => {
  it.live("one execution, with and without its data", () =>
    Effect.gen(function* () {
      yield* echo
      const arn = yield* started("echo:$LATEST", { Payload: bytes('"in"'), DurableExecutionName: "one" })
      yield* endOf(arn)
      const get = (IncludeExecutionData?: boolean) =>
        send((client) =>
          client.send(new aws.GetDurableExecutionCommand({ DurableExecutionArn: arn, IncludeExecutionData }))
        )
      const full = yield* get()
      assert.deepInclude(full, {
        DurableExecutionArn: arn,
        DurableExecutionName: "one",
        FunctionArn: "arn:aws:lambda:us-east-1:123456789012:function:echo:$LATEST",
        Version: "$LATEST",
        Status: "SUCCEEDED",
        InputPayload: '"in"',
        Result: '"in"',
        ExecutionDataIncluded: true
      })
      assert.isTrue(full.StartTimestamp instanceof Date && full.EndTimestamp! >= full.StartTimestamp)
      assert.isBelow(Math.abs(full.StartTimestamp!.getTime() - Date.now()), 120_000)
      const slim = yield* get(false)
      assert.deepStrictEqual(
        [slim.InputPayload, slim.Result, slim.Status, slim.ExecutionDataIncluded],
        [undefined, undefined, "SUCCEEDED", false]
      )
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("history: pages, order, data", () =>
    Effect.gen(function* () {
      yield* echo
      const arn = yield* started("echo:$LATEST", { Payload: bytes('"in"') })
      yield* endOf(arn)
      const read = (input: Partial<aws.GetDurableExecutionHistoryCommandInput> = {}) =>
        send(async (client) => {
          const events: Array<aws.Event> = []
          for await (const page of aws.paginateGetDurableExecutionHistory(
            { client },
            { DurableExecutionArn: arn, ...input }
          )) {
            assert.isAtMost(page.Events?.length ?? 0, input.MaxItems ?? 100)
            events.push(...(page.Events ?? []))
          }
          return events
        })
      const engine = yield* Engine.Engine
      const expected = yield* engine.history(arn)
      const types = ["ExecutionStarted", "StepStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"]
      const all = yield* read()
      assert.sameMembers(raw.types(expected), types)
      const events = all.map(({ EventType = "" }) => EventType)
      assert.deepStrictEqual(events, raw.types(expected))
      const ids = all.map(({ EventId }) => EventId)
      assert.deepStrictEqual(
        (yield* read({ MaxItems: 2 })).map(({ EventId }) => EventId),
        ids
      )
      const backwards = yield* read({ MaxItems: 2, ReverseOrder: true })
      assert.deepStrictEqual(
        backwards.map(({ EventId }) => EventId),
        ids.toReversed()
      )
      const [input] = all
      assert.deepStrictEqual(input?.ExecutionStartedDetails?.Input, { Payload: '"in"', Truncated: false })
      assert.isTrue(all.every(({ EventTimestamp }) => EventTimestamp instanceof Date))
      const bare = JSON.stringify(yield* read({ IncludeExecutionData: false }))
      assert.notInclude(bare, 'in\\"')
      assert.include(bare, '"Truncated":true')
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("lists by function, version, name, status and time, in pages", () =>
    Effect.gen(function* () {
      yield* Effect.all([echo, asking])
      const arns: Array<string> = []
      for (const name of ["a", "b", "c", "d", "e"]) {
        arns.unshift(yield* started("echo:$LATEST", { DurableExecutionName: name, Payload: bytes("1") }))
        yield* endOf(arns[0]!)
        yield* Effect.sleep("10 millis")
      }
      const running = yield* started("asking:$LATEST")
      const list = (input: Partial<aws.ListDurableExecutionsByFunctionCommandInput> = {}) =>
        send(async (client) => {
          const found: Array<aws.Execution> = []
          for await (const page of aws.paginateListDurableExecutionsByFunction(
            { client },
            { FunctionName: "echo", ...input }
          )) {
            assert.isAtMost(page.DurableExecutions?.length ?? 0, input.MaxItems ?? 100)
            found.push(...(page.DurableExecutions ?? []))
          }
          return found.map(({ DurableExecutionArn }) => DurableExecutionArn)
        })
      assert.deepStrictEqual(yield* list(), arns)
      assert.deepStrictEqual(yield* list({ MaxItems: 2 }), arns)
      assert.deepStrictEqual(yield* list({ MaxItems: 2, ReverseOrder: true }), arns.toReversed())
      assert.deepStrictEqual(yield* list({ Qualifier: "$LATEST" }), arns)
      assert.deepStrictEqual(yield* list({ Qualifier: "9" }), [])
      assert.deepStrictEqual(yield* list({ DurableExecutionName: "b" }), [arns[3]])
      assert.deepStrictEqual(yield* list({ Statuses: ["RUNNING"] }), [])
      assert.deepStrictEqual(yield* list({ FunctionName: "asking", Statuses: ["RUNNING"] }), [running])
      const engine = yield* Engine.Engine
      const { StartTimestamp } = yield* engine.describe(arns[2]!)
      const around = { StartedAfter: new Date(StartTimestamp - 4), StartedBefore: new Date(StartTimestamp + 4) }
      assert.deepStrictEqual(yield* list(around), [arns[2]])
      const call = (input: aws.ListDurableExecutionsByFunctionCommandInput) => (client: aws.LambdaClient) =>
        client.send(new aws.ListDurableExecutionsByFunctionCommand(input))
      assert.deepStrictEqual(yield* refused(call({ FunctionName: "echo", Statuses: ["RUNNING", "FAILED"] })), [
        "InvalidParameterValueException",
        400,
        "Cannot filter by more than one status"
      ])
      assert.strictEqual((yield* refused(call({ FunctionName: "nobody" })))[0], "ResourceNotFoundException")
      assert.strictEqual((yield* refused(call({ FunctionName: "echo", MaxItems: 1001 })))[0], "ValidationException")
      assert.deepStrictEqual(yield* refused(call({ FunctionName: "echo", Marker: "no" })), [
        "InvalidParameterValueException",
        400,
        "Invalid Marker."
      ])
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("nothing is known of an execution that is not there", () =>
    Effect.gen(function* () {
      const DurableExecutionArn =
        "arn:aws:lambda:us-east-1:123456789012:function:echo:$LATEST/durable-execution/name/id"
      const input = { DurableExecutionArn }
      const missing = ["ResourceNotFoundException", 404, `Durable execution not found: ${DurableExecutionArn}`]
      assert.deepStrictEqual(
        yield* refused((client) => client.send(new aws.GetDurableExecutionCommand(input))),
        missing
      )
      assert.deepStrictEqual(
        yield* refused((client) => client.send(new aws.GetDurableExecutionHistoryCommand(input))),
        missing
      )
      assert.deepStrictEqual(
        yield* refused((client) => client.send(new aws.StopDurableExecutionCommand(input))),
        missing
      )
      const bad = yield* refused((client) =>
        client.send(new aws.GetDurableExecutionCommand({ DurableExecutionArn: "arn:no" }))
      )
      assert.deepStrictEqual(bad.slice(0, 2), ["ValidationException", 400])
    }).pipe(Effect.provide(kit.layer()))
  )
})

describe("StopDurableExecution, callbacks", () => {
  it.live("stops, once", () =>
    Effect.gen(function* () {
      yield* asking
      const arn = yield* started("asking:$LATEST")
      yield* callbackOf(arn)
      const stop = (Error?: aws.ErrorObject) =>
        send((client) => client.send(new aws.StopDurableExecutionCommand({ DurableExecutionArn: arn, Error })))
      const first = yield* stop({ ErrorType: "Cancelled", ErrorMessage: "by the user" })
      const second = yield* stop()
      assert.deepStrictEqual(first.StopTimestamp, second.StopTimestamp)
      const end = yield* endOf(arn)
      assert.deepStrictEqual(
        [end.Status, end.Error],
        ["STOPPED", { ErrorType: "Cancelled", ErrorMessage: "by the user" }]
      )
      const late = yield* refused(invoke({ FunctionName: "asking:$LATEST", DurableExecutionName: "not named so" }))
      assert.strictEqual(late[0], "ValidationException")
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("success, failure and heartbeat, and too late", () =>
    Effect.gen(function* () {
      yield* asking
      const outcome = Effect.fnUntraced(function* (
        answer: (client: aws.LambdaClient, CallbackId: string) => Promise<unknown>
      ) {
        const arn = yield* started("asking:$LATEST")
        const id = yield* callbackOf(arn)
        yield* send((client) => client.send(new aws.SendDurableExecutionCallbackHeartbeatCommand({ CallbackId: id })))
        yield* send((client) => answer(client, id))
        const late = yield* refused((client) => answer(client, id))
        assert.deepStrictEqual(late, [
          "CallbackTimeoutException",
          400,
          "The callback is either timed out or already completed"
        ])
        return JSON.parse((yield* endOf(arn)).Result ?? "")
      })
      const succeed = (Result?: Uint8Array) =>
        outcome((client, CallbackId) =>
          client.send(new aws.SendDurableExecutionCallbackSuccessCommand({ CallbackId, ...(Result && { Result }) }))
        )
      assert.deepStrictEqual(yield* succeed(bytes("not JSON, ü")), { Status: "SUCCEEDED", Result: "not JSON, ü" })
      assert.deepStrictEqual(yield* succeed(), { Status: "SUCCEEDED" })
      assert.deepStrictEqual(
        yield* outcome((client, CallbackId) =>
          client.send(new aws.SendDurableExecutionCallbackFailureCommand({ CallbackId, Error: { ErrorType: "No" } }))
        ),
        { Status: "FAILED", Error: { ErrorType: "No" } }
      )
      const unknown = yield* refused((client) =>
        client.send(new aws.SendDurableExecutionCallbackSuccessCommand({ CallbackId: "bm9uZQ==" }))
      )
      assert.deepStrictEqual(unknown, ["InvalidParameterValueException", 400, "Invalid callback id"])
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("ids and ARNs that nobody has encoded", () =>
    Effect.gen(function* () {
      yield* asking
      const { url } = yield* Server.Server
      const arn = yield* started("asking:$LATEST")
      const id = yield* callbackOf(arn)
      const post = (path: string, body?: string) => kit.request(url, "POST", path, body === undefined ? {} : { body })
      const heartbeat = yield* post(`/2025-12-01/durable-execution-callbacks/${id}/heartbeat`)
      assert.deepStrictEqual([heartbeat.status, heartbeat.json], [200, {}])
      const got = yield* kit.request(url, "GET", `/2025-12-01/durable-executions/${arn}`)
      assert.strictEqual(got.json.DurableExecutionArn, arn)
      const history = yield* kit.request(url, "GET", `/2025-12-01/durable-executions/${arn}/history?MaxItems=1`)
      assert.lengthOf(history.json.Events, 1)
      const answered = yield* post(`/2025-12-01/durable-execution-callbacks/${id}/succeed`, "yes")
      assert.strictEqual(answered.status, 200)
      assert.deepStrictEqual(JSON.parse((yield* endOf(arn)).Result ?? ""), { Status: "SUCCEEDED", Result: "yes" })
    }).pipe(Effect.provide(kit.layer()))
  )
})

describe("SAM's emulator", () => {
  it.live("health, start, list; functions that run elsewhere", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      // another server plays SAM's endpoint for functions
      const elsewhere = yield* Layer.build(kit.layer())
      const { functions, there } = yield* Effect.gen(function* () {
        const engine = yield* Engine.Engine
        const events: Array<raw.Event> = []
        yield* engine.registerPlain(
          "remote",
          Engine.fromHandler((event) => {
            events.push(event as raw.Event)
            if (events.length === 1) throw new RangeError("cold")
            return { Status: "SUCCEEDED", Result: '"done"' }
          })
        )
        return { functions: events, there: (yield* Server.Server).url }
      }).pipe(Effect.provideContext(elsewhere))
      assert.deepStrictEqual((yield* kit.request(url, "GET", "/health")).json, { status: "healthy" })
      const body = {
        AccountId: "123456789012",
        FunctionName: "remote",
        FunctionQualifier: "$LATEST",
        ExecutionName: "sam",
        ExecutionTimeoutSeconds: 60,
        ExecutionRetentionPeriodDays: 7,
        InvocationId: "i",
        Input: '{"a":1}'
      }
      const post = (more: object) =>
        kit.request(url, "POST", "/start-durable-execution", { body: JSON.stringify({ ...body, ...more }) })
      const outside = yield* post({ LambdaEndpoint: "http://169.254.169.254/" })
      assert.deepStrictEqual([outside.status, outside.json.__type], [400, "InvalidParameterValueException"])
      assert.strictEqual((yield* post({})).json.__type, "ResourceNotFoundException")
      const { json, status } = yield* post({ LambdaEndpoint: there })
      assert.strictEqual(status, 201)
      const end = yield* endOf(json.ExecutionArn)
      assert.deepStrictEqual([end.Status, end.Result, end.InputPayload], ["SUCCEEDED", '"done"', '{"a":1}'])
      assert.deepStrictEqual(
        functions.map(({ DurableExecutionArn }) => DurableExecutionArn),
        [end.DurableExecutionArn, end.DurableExecutionArn] // the first invocation failed
      )
      const engine = yield* Engine.Engine
      const errors = (yield* engine.history(end.DurableExecutionArn)).flatMap(
        ({ InvocationCompletedDetails: details }) => details?.Error?.Payload ?? []
      )
      assert.deepStrictEqual(errors, [{ ErrorType: "RangeError", ErrorMessage: "cold" }])
      const listed = yield* kit.request(url, "GET", "/2025-12-01/durable-executions?Statuses=SUCCEEDED")
      assert.deepStrictEqual(
        listed.json.DurableExecutions.map((one: { DurableExecutionName: string }) => one.DurableExecutionName),
        ["sam"]
      )
      // the next session of SAM is at another port
      const next = yield* Layer.build(kit.layer())
      const { there: moved } = yield* Effect.gen(function* () {
        const engine = yield* Engine.Engine
        yield* engine.registerPlain("remote", () => Effect.succeed({ Status: "SUCCEEDED", Result: '"moved"' }))
        return { there: (yield* Server.Server).url }
      }).pipe(Effect.provideContext(next))
      const second = yield* post({ LambdaEndpoint: moved, ExecutionName: "sam-2" })
      assert.strictEqual((yield* endOf(second.json.ExecutionArn)).Result, '"moved"')
      // but no function of this engine's own is taken over
      yield* echo
      const own = yield* post({ LambdaEndpoint: moved, FunctionName: "echo", ExecutionName: "own" })
      assert.strictEqual((yield* endOf(own.json.ExecutionArn)).Result, '{"a":1}')
    }).pipe(Effect.provide(kit.layer()), Effect.scoped)
  )
})

describe("the server", () => {
  it.live("further routes, also streams, which end with their reader", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const page = yield* kit.request(url, "GET", "/page/a%2Fb?x=1&x=%20")
      assert.deepStrictEqual([page.status, page.text, page.headers["content-type"]], [200, "a/b 1, ", "text/plain"])
      const events = yield* kit.request(url, "GET", "/events")
      assert.strictEqual(events.text, "data: 1\n\ndata: 2\n\n")
    }).pipe(
      Effect.provide(
        kit.layer(
          {},
          {
            routes: [
              {
                method: "GET",
                path: "/page/{name}",
                handle: ({ path, query }) =>
                  Effect.succeed({
                    status: 200,
                    headers: { "content-type": "text/plain" },
                    body: `${path.name} ${query.get("x")?.join(",")}`
                  })
              },
              {
                method: "GET",
                path: "/events",
                handle: () =>
                  Effect.succeed({
                    status: 200,
                    headers: { "content-type": "text/event-stream" },
                    body: Stream.fromIterable([1, 2]).pipe(Stream.map((n) => bytes(`data: ${n}\n\n`)))
                  })
              }
            ]
          }
        )
      )
    )
  )

  it.live("closes: what is quick is answered, what hangs is cut off, the port is free", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(kit.layer({}, { grace: "100 millis" }), scope)
      const { port, url } = yield* Effect.provideContext(Server.Server, context)
      yield* Effect.provideContext(asking, context)
      const client = kit.lambda(url)
      const hanging = client.send(new aws.InvokeCommand({ FunctionName: "asking:$LATEST" })).then(
        () => "answered",
        () => "cut off"
      )
      yield* Effect.provideContext(Engine.Engine, context).pipe(
        Effect.flatMap((engine) => engine.list()),
        Effect.repeat({ until: (all) => all.length > 0, schedule: Schedule.spaced("2 millis") })
      )
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Effect.promise(() => hanging), "cut off")
      const again = yield* Layer.build(kit.layer({}, { port }))
      assert.strictEqual((yield* Effect.provideContext(Server.Server, again)).port, port)
      const taken = yield* Effect.flip(
        Effect.provide(Server.make({ port }), Engine.layerMemory) as Effect.Effect<
          unknown,
          Server.ServerFailed,
          Scope.Scope
        >
      )
      assert.match(taken.message, new RegExp(`^The local server cannot listen on port ${port}: .*EADDRINUSE`))
    }).pipe(Effect.scoped)
  )
})
