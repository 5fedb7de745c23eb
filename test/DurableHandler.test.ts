// @effect-diagnostics globalDateInEffect:off globalErrorInEffectFailure:off
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as CheckpointService from "effect-durable-lambda/CheckpointService"
import { DurableExecutionClient } from "effect-durable-lambda/DurableExecutionClient"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Engine from "../src/engine/Engine.ts"
import { CardDeclined } from "./operations/kit.ts"
import * as FakeService from "./wire/FakeService.ts"

const Order = Schema.Struct({ id: Schema.String, items: Schema.Array(Schema.Struct({ amount: Schema.Int })) })
const Process = DurableFunction.make("process", { payload: Order, success: Schema.Date, error: CardDeclined })
const Empty = DurableFunction.make("empty", { payload: Schema.Void })

const input = '{"id":"1","items":[{"amount":2}]}'
const timer = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

describe("DurableHandler: events", () => {
  const execution = { Id: "e", Type: "EXECUTION", Status: "STARTED", StartTimestamp: 1 }
  const malformed: ReadonlyArray<readonly [what: string, event: unknown]> = [
    ["nothing", undefined],
    ["null", null],
    ["a text", "event"],
    ["a list", []],
    ["an API Gateway event", { version: "2.0", routeKey: "$default", headers: {} }],
    ["no token", { DurableExecutionArn: "arn" }],
    [
      "an empty token",
      { DurableExecutionArn: "arn", CheckpointToken: "", InitialExecutionState: { Operations: [execution] } }
    ],
    ["no state", { DurableExecutionArn: "arn", CheckpointToken: "t" }],
    ["an empty state", { DurableExecutionArn: "arn", CheckpointToken: "t", InitialExecutionState: { Operations: [] } }],
    [
      "operations that are none",
      { DurableExecutionArn: "arn", CheckpointToken: "t", InitialExecutionState: { Operations: [1] } }
    ],
    // what it stands for is not known: on a state with a gap work would be done again
    ...(["Type", "Status"] as const).map(
      (key) =>
        [
          `an operation of a ${key} that AWS has added since`,
          {
            DurableExecutionArn: "arn",
            CheckpointToken: "t",
            InitialExecutionState: {
              Operations: [execution, { Id: "m", Type: "STEP", Status: "STARTED", [key]: "MAILBOX" }]
            }
          }
        ] as const
    )
  ]
  for (const [what, event] of malformed) {
    it.effect(`${what}: thrown, with a sentence that says what it is not`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        let ran = 0
        const handler = DurableHandler.make(Empty, () => Effect.sync(() => void ran++), service.handlerOptions)
        const { error } = yield* Effect.flip(service.invoke(handler, event))
        assert.strictEqual(error._tag, "MalformedEvent")
        assert.match(error.message, /^This is not an event of Lambda's durable execution service: .+\./s)
        assert.match(error.message, /Invoke the function through Lambda with durable execution enabled/)
        assert.strictEqual(ran, 0)
        assert.deepStrictEqual(service.requests, [])
      })
    )
  }
})

describe("DurableHandler: input", () => {
  it.effect("fields in the place of the payload's schema", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input })
      const plain = DurableFunction.make as unknown as (name: string, options: object) => typeof Empty
      const definition = plain("plain", { payload: Order.fields })
      let ran = 0
      const handler = DurableHandler.make(definition, () => Effect.sync(() => void ran++), service.handlerOptions)
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "InvalidPayload")
      assert.include(
        answer.Error?.ErrorMessage,
        'The payload of "plain" is not what its definition declares: its schema is no Schema. Write Schema.Struct({ ... }) '
      )
      assert.strictEqual(ran, 0)
    })
  )

  const bad: ReadonlyArray<readonly [what: string, input: string | undefined, reason: RegExp]> = [
    ["the path of the fault", '{"id":"1","items":[{"amount":2},{"amount":"3"}]}', /\["items"\]\[1\]\["amount"\]/],
    ["a missing key", '{"items":[]}', /\["id"\]/],
    ["not JSON", "<order/>", /it is not JSON: <order\/>/],
    ["nothing", undefined, /process/]
  ]
  for (const [what, text, reason] of bad) {
    it.effect(`${what}: FAILED before anything runs`, () =>
      Effect.gen(function* () {
        const service = FakeService.make({ input: text })
        let ran = 0
        const body = () => Effect.sync(() => new Date(++ran))
        const answer = yield* service.invoke(DurableHandler.make(Process, body, service.handlerOptions))
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "InvalidPayload")
        assert.match(
          answer.Error?.ErrorMessage ?? "",
          /^The payload of "process" is not what its definition declares: /
        )
        assert.match(answer.Error?.ErrorMessage ?? "", reason)
        assert.match(
          answer.Error?.ErrorMessage ?? "",
          / \(help: docs\/troubleshooting\.md#invalidpayload in effect-durable-lambda\)$/
        )
        assert.strictEqual(ran, 0)
        assert.deepStrictEqual(service.requests, [])
      })
    )
  }

  it.effect("the body gets what the schema makes of it", () =>
    Effect.gen(function* () {
      class Ticket extends Schema.Class<Ticket>("Ticket")({ at: Schema.Date }) {}
      const Fn = DurableFunction.make("f", { payload: Ticket, success: Schema.String })
      const service = FakeService.make({ input: '{"at":"1970-01-01T00:00:00.000Z"}' })
      const handler = DurableHandler.make(
        Fn,
        (ticket) => Effect.succeed(`${ticket instanceof Ticket} ${ticket.at.getTime()}`),
        service.handlerOptions
      )
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: '"true 0"' })
    })
  )
})

describe("DurableHandler: answers", () => {
  it.effect("SUCCEEDED with the encoded result", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input })
      const handler = DurableHandler.make(Process, () => Effect.succeed(new Date(0)), service.handlerOptions)
      assert.deepStrictEqual(yield* service.invoke(handler), {
        Status: "SUCCEEDED",
        Result: '"1970-01-01T00:00:00.000Z"'
      })
    })
  )

  it.effect("SUCCEEDED without a result when there is none", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(Empty, () => Effect.void, service.handlerOptions)
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED" })
    })
  )

  it.effect("PENDING while something is outstanding, then SUCCEEDED", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(Empty, () => Durable.wait("w", "1 second"), service.handlerOptions)
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      service.pass(1)
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED" })
    })
  )

  it.effect("FAILED with a declared error, encoded", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input })
      const handler = DurableHandler.make(
        Process,
        () => Effect.fail(new CardDeclined({ reason: "limit" })),
        service.handlerOptions
      )
      assert.deepStrictEqual(yield* service.invoke(handler), {
        Status: "FAILED",
        Error: { ErrorType: "CardDeclined", ErrorMessage: "", ErrorData: '{"_tag":"CardDeclined","reason":"limit"}' }
      })
    })
  )

  it.effect("FAILED with an operation's error that nobody declared", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Empty,
        () => Durable.step("s", Effect.fail("no"), { retry: Durable.noRetry }),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      const { ErrorData, ...error } = answer.Error ?? {}
      assert.deepStrictEqual(error, { ErrorType: "StepFailed", ErrorMessage: "no" })
      assert.deepStrictEqual(JSON.parse(ErrorData ?? ""), {
        _tag: "StepFailed",
        operation: "s",
        type: "Failure",
        message: "no"
      })
    })
  )

  it.effect("FAILED with a defect: its name and message, no stack", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(Empty, () => Effect.die(new RangeError("too far")), service.handlerOptions)
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "RangeError")
      assert.strictEqual(answer.Error?.ErrorMessage, "too far")
      assert.notInclude(JSON.stringify(answer), ".test.ts")
    })
  )

  it.effect("FAILED when the body throws before it is an Effect", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const body = (): Effect.Effect<void> => {
        throw new RangeError("at once")
      }
      const answer = yield* service.invoke(DurableHandler.make(Empty, body, service.handlerOptions))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "RangeError")
    })
  )

  it.effect("FAILED when the result is not what its schema takes", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input })
      const handler = DurableHandler.make(Process, () => Effect.succeed("no date" as never), service.handlerOptions)
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
      assert.match(
        answer.Error?.ErrorMessage ?? "",
        /^The result of "process": cannot encode its payload: Expected a valid Date/
      )
    })
  )

  it.effect("FAILED, not thrown again and again, when the result's schema throws, or the failure is odd", () =>
    Effect.gen(function* () {
      const Any = DurableFunction.make("any", { payload: Schema.Void, success: Schema.Any, error: Schema.Any })
      const circular: { self?: unknown } = {}
      circular.self = circular
      const service = FakeService.make()
      const result = yield* service.invoke(
        DurableHandler.make(Any, () => Effect.succeed(circular), service.handlerOptions)
      )
      assert(result.Status === "FAILED")
      assert.strictEqual(result.Error?.ErrorType, "SerdesFailed")
      const odd: unknown = Object.create(null, { f: { value: () => 1, enumerable: true } })
      const failed = yield* service.invoke(DurableHandler.make(Empty, () => Effect.die(odd), service.handlerOptions))
      assert.strictEqual(failed.Status, "FAILED")
    })
  )

  it.effect("a result that no answer can carry is recorded: EXECUTION SUCCEED, and an empty Result", () =>
    Effect.gen(function* () {
      const Large = DurableFunction.make("large", { payload: Schema.Void, success: Durable.text(Schema.String) })
      const at = (bytes: number) =>
        Effect.gen(function* () {
          const service = FakeService.make()
          const text = "x".repeat(bytes)
          const handler = DurableHandler.make(Large, () => Effect.succeed(text), service.handlerOptions)
          return { service, text, answer: yield* service.invoke(handler) }
        })
      const limit = 6 * 1024 * 1024 - 50
      const fits = yield* at(limit)
      assert(fits.answer.Status === "SUCCEEDED")
      assert.strictEqual(fits.answer.Result, fits.text)
      assert.deepStrictEqual(fits.service.requests, [])

      const { answer, service, text } = yield* at(limit + 1)
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: "" })
      assert.strictEqual(service.updates.length, 1)
      const { Id, ...update } = service.updates[0]!
      assert.deepStrictEqual(update, { Type: "EXECUTION", Action: "SUCCEED", Payload: text })
      assert.match(Id, /^[\w-]{1,64}$/)
    })
  )

  it.effect("an error that no answer can carry keeps type and message", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input })
      const handler = DurableHandler.make(
        Process,
        () => Effect.fail(new CardDeclined({ reason: "x".repeat(2_000_000) })),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "CardDeclined")
      assert.match(answer.Error?.ErrorMessage ?? "", /its data is larger than the service records/)
      assert.isBelow(JSON.stringify(answer).length, 10_000)
    })
  )
})

describe("DurableHandler: services", () => {
  class Counter extends Context.Service<Counter, { readonly next: () => number }>()("test/Counter") {}
  const count = (builds: { n: number }) =>
    Layer.effect(
      Counter,
      Effect.gen(function* () {
        yield* Effect.promise(() => Promise.resolve())
        builds.n++
        let n = 0
        return Counter.of({ next: () => ++n })
      })
    )
  const Count = DurableFunction.make("count", { payload: Schema.Void, success: Schema.Number })
  const next = () =>
    Durable.step(
      "next",
      Counter.useSync((counter) => counter.next())
    )

  it.effect("the layer is built once, at the first invocation, also when two come at once", () =>
    Effect.gen(function* () {
      const builds = { n: 0 }
      const service = FakeService.make()
      const handler = DurableHandler.make(Count, next, { ...service.handlerOptions, layer: count(builds) })
      assert.strictEqual(builds.n, 0)
      const event = service.event()
      const answers = yield* Effect.all([service.invoke(handler, event), service.invoke(handler, event)], {
        concurrency: 2
      })
      assert.deepStrictEqual(new Set(answers.map((answer) => answer.Status)), new Set(["SUCCEEDED"]))
      service.forget("next")
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "3" })
      assert.strictEqual(builds.n, 1)
    })
  )

  it.effect("a layer that does not build is thrown, and tried again by the next invocation", () =>
    Effect.gen(function* () {
      let tries = 0
      const flaky = Layer.effect(
        Counter,
        Effect.suspend(() => (++tries < 2 ? Effect.fail(new Error("no database")) : Effect.succeed({ next: () => 7 })))
      )
      const service = FakeService.make()
      const handler = DurableHandler.make(Count, next, { ...service.handlerOptions, layer: flaky })
      const { error } = yield* Effect.flip(service.invoke(handler))
      assert.strictEqual(error.message, 'The layer of the handler of "count" could not be built: no database')
      assert.deepStrictEqual(service.requests, [])
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "7" })
      assert.strictEqual(tries, 2)
    })
  )

  it.effect("a layer that does not build is thrown as an Error, whatever it failed with", () =>
    Effect.gen(function* () {
      const url = Layer.effect(
        Counter,
        Effect.map(Config.String("DATABASE_URL"), () => ({ next: () => 7 }))
      )
      const service = FakeService.make()
      const handler = DurableHandler.make(Count, next, { ...service.handlerOptions, layer: url })
      const { error } = yield* Effect.flip(service.invoke(handler))
      assert.instanceOf(error, Error)
      assert.strictEqual((error as Error).name, "ConfigError")
      assert.match(error.message, /^The layer of the handler of "count" could not be built: [^]*DATABASE_URL/)
    })
  )

  it.effect("what is part of several layers is built once", () =>
    Effect.gen(function* () {
      let builds = 0
      const shared = Layer.effectDiscard(Effect.sync(() => builds++))
      const service = FakeService.make()
      const handler = DurableHandler.make(Count, next, {
        client: Layer.provideMerge(service.layer, shared),
        layer: Layer.provideMerge(Layer.succeed(Counter, { next: () => 7 }), shared)
      })
      assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
      assert.strictEqual(builds, 1)
    })
  )

  it.effect("in Lambda SIGTERM disposes of it; builds that failed have left nothing behind", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const resource = Layer.effectDiscard(
        Effect.acquireRelease(
          Effect.sync(() => log.push("acquired")),
          () => Effect.sync(() => log.push("released"))
        )
      )
      let tries = 0
      const flaky = Layer.effect(
        Counter,
        Effect.suspend(() => (++tries < 3 ? Effect.fail(new Error("no database")) : Effect.succeed({ next: () => 7 })))
      )
      const before = process.listeners("SIGTERM")
      const service = FakeService.make()
      process.env.AWS_LAMBDA_RUNTIME_API = "127.0.0.1:9001"
      const handler = DurableHandler.make(Count, next, {
        ...service.handlerOptions,
        layer: Layer.provide(flaky, resource)
      })
      delete process.env.AWS_LAMBDA_RUNTIME_API
      yield* Effect.flip(service.invoke(handler))
      yield* Effect.flip(service.invoke(handler))
      assert.deepStrictEqual(log, ["acquired", "released", "acquired", "released"])
      assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
      const [dispose, ...more] = process.listeners("SIGTERM").filter((listener) => !before.includes(listener))
      assert(dispose !== undefined && more.length === 0, `${more.length + 1} listeners`)
      dispose("SIGTERM")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
      assert.strictEqual(log.at(-1), "released")
      process.removeListener("SIGTERM", dispose)
    })
  )

  it.effect("loggers of the layer take the place of the handler's", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Empty,
        () => Effect.andThen(Effect.log("body"), Durable.step("s", Effect.log("step"))),
        {
          ...service.handlerOptions,
          layer: Logger.layer([Logger.make(({ message }) => void lines.push(message))])
        }
      )
      yield* service.invoke(handler)
      assert.deepStrictEqual(lines.flat(), ["body", "step"])
    })
  )

  it.effect("a CheckpointService of the layer takes the place of the default, and options.checkpoints too", () =>
    Effect.gen(function* () {
      const opened: Array<string> = []
      const service = FakeService.make()
      const watching = (name: string) =>
        Layer.effect(
          CheckpointService.CheckpointService,
          Effect.gen(function* () {
            const inner = yield* CheckpointService.CheckpointService
            return CheckpointService.CheckpointService.of({
              open: (invocation) => {
                opened.push(name)
                return inner.open(invocation)
              }
            })
          })
        ).pipe(Layer.provide(CheckpointService.layer))
      const body = () => Durable.step("s", Effect.void)
      yield* service.invoke(
        DurableHandler.make(Empty, body, {
          client: service.layer,
          layer: watching("layer").pipe(Layer.provide(service.layer))
        })
      )
      yield* service.invoke(
        DurableHandler.make(Empty, body, { client: service.layer, checkpoints: watching("options") })
      )
      assert.deepStrictEqual(opened, ["layer", "options"])
    })
  )

  it.effect("serves many executions at once, each with its own state", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const Echo = DurableFunction.make("echo", { payload: Schema.Int, success: Schema.Array(Schema.Unknown) })
      const handler = DurableHandler.make(
        Echo,
        (n) =>
          Effect.gen(function* () {
            const { name } = yield* Durable.CurrentExecution
            const a = yield* Durable.step("a", Effect.as(timer(n % 3), `a${n}`))
            yield* Durable.wait("w", `${1 + (n % 5)} seconds`)
            const inner = yield* Durable.CurrentExecution.useSync((current) => current.name)
            return [a, name === inner && name === `e${n}`]
          }),
        { client: Layer.succeed(DurableExecutionClient, engine.client), pace: 0 }
      )
      yield* engine.register("echo", Engine.fromHandler(handler))
      const results = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => n),
        (n) =>
          Effect.gen(function* () {
            const arn = yield* engine.start({
              functionName: "echo:$LATEST",
              payload: String(n),
              executionName: `e${n}`
            })
            return (yield* engine.await(arn)).Result
          }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        results,
        Array.from({ length: 40 }, (_, n) => `["a${n}",true]`)
      )
    }).pipe(Effect.provide(Engine.layerSkipping))
  )
})

describe("DurableHandler: the invocation", () => {
  it.effect("CurrentExecution, in the body and in steps", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const seen: Array<Record<string, unknown>> = []
      const look = Effect.gen(function* () {
        const { remainingTime, startTime, ...current } = yield* Durable.CurrentExecution
        seen.push({ ...current, started: startTime > 0, remaining: Duration.toMillis(yield* remainingTime) })
      })
      const handler = DurableHandler.make(
        Empty,
        () => Effect.andThen(look, Effect.andThen(Durable.step("s", look), Durable.wait("w", "1 second"))),
        service.handlerOptions
      )
      const lambda = { awsRequestId: "request-1", tenantId: "tenant", getRemainingTimeInMillis: () => 1234 }
      yield* service.invoke(handler, service.event(), lambda)
      const expected = {
        arn: FakeService.ARN,
        name: "my-name",
        requestId: "request-1",
        tenantId: "tenant",
        isFirstInvocation: true,
        lambdaContext: lambda,
        started: true,
        remaining: 1234
      }
      assert.deepStrictEqual(seen, [expected, expected])
      service.pass(1)
      // an emulator that hands over nothing
      yield* service.invoke(handler, service.event(), {})
      assert.deepStrictEqual(seen[2], {
        ...expected,
        requestId: "",
        tenantId: undefined,
        isFirstInvocation: false,
        lambdaContext: {},
        remaining: 900_000
      })
    })
  )

  it.effect("the body's Scope is closed at every suspension, and at the end", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const log: Array<string> = []
      const handler = DurableHandler.make(
        Empty,
        () =>
          Effect.gen(function* () {
            yield* Effect.addFinalizer((exit) =>
              Effect.andThen(
                timer(1),
                Effect.sync(() => log.push(`closed ${exit._tag}`))
              )
            )
            yield* Durable.wait("w", "1 second")
          }),
        { ...service.handlerOptions, finalizerGrace: "4 seconds" }
      )
      yield* service.invoke(handler)
      service.pass(1)
      yield* service.invoke(handler)
      assert.deepStrictEqual(log, ["closed Failure", "closed Success"])
    })
  )

  it.effect("finalizers that take longer than the grace are left behind", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const log: Array<string> = []
      const gate = Promise.withResolvers<void>()
      const handler = DurableHandler.make(
        Empty,
        () =>
          Effect.ensuring(
            Durable.wait("w", "1 second"),
            Effect.andThen(
              Effect.promise(() => gate.promise),
              Effect.sync(() => log.push("late"))
            )
          ),
        { ...service.handlerOptions, finalizerGrace: 5 }
      )
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      assert.deepStrictEqual(log, [])
      gate.resolve()
    })
  )
})
