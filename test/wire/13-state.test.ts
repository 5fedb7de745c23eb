import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import type * as Protocol from "effect-durable-lambda/Protocol"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

const Echo = DurableFunction.make("order", { payload: Schema.String, success: Schema.Any })

const echoing = (service: FakeService.FakeService, seen: Array<unknown> = []) =>
  DurableHandler.make(
    Echo,
    (input) =>
      Effect.gen(function* () {
        const { isFirstInvocation } = yield* Durable.CurrentExecution
        seen.push(isFirstInvocation)
        const first = yield* Durable.step("first", Effect.succeed(`${input}!`))
        yield* Durable.wait("pause", "1 second")
        return first
      }),
    service.handlerOptions
  )

const executionOf = (service: FakeService.FakeService) =>
  [...service.records.values()].find(({ Type }) => Type === "EXECUTION")!

describe("wire-protocol section 13: input and replay flag by position and count", () => {
  it.effect("the EXECUTION operation is found by its type, wherever it stands", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input: '"hello"' })
      assert.strictEqual((yield* service.invoke(echoing(service))).Status, "PENDING")
      service.pass(1)
      const records = [...service.records.values()].reverse()
      assert.notStrictEqual(records[0]?.Type, "EXECUTION")
      const answer = yield* service.invoke(echoing(service), service.event({ Operations: records }))
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"hello!"' })
    })
  )

  it.effect("the EXECUTION operation is found on the second page, and the pages are read in order", () =>
    Effect.gen(function* () {
      const service: FakeService.FakeService = FakeService.make({
        input: '"hello"',
        pages: {
          two: (service) => ({ Operations: [executionOf(service)], NextMarker: "three" }),
          three: (service) => ({ Operations: [service.record("pause")], NextMarker: null })
        }
      })
      yield* service.invoke(echoing(service))
      service.pass(1)
      const event = service.event({
        Operations: [service.record("first")],
        NextMarker: "two"
      }) as Protocol.InvocationEvent
      const answer = yield* service.invoke(echoing(service), event)
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"hello!"' })
      assert.deepStrictEqual(
        service.stateRequests.map(({ Marker }) => Marker),
        ["two", "three"]
      )
      // with the token of the event, which is then still good for the first checkpoint
      assert.isTrue(service.stateRequests.every(({ CheckpointToken }) => CheckpointToken === event.CheckpointToken))
    })
  )

  it.effect("an inline list that is empty or absent is paged, too", () =>
    Effect.gen(function* () {
      for (const state of [{ Operations: [], NextMarker: "all" }, { NextMarker: "all" }]) {
        const service = FakeService.make({
          input: '"hello"',
          pages: { all: (service) => ({ Operations: [...service.records.values()] }) }
        })
        assert.strictEqual((yield* service.invoke(echoing(service), service.event(state))).Status, "PENDING")
        assert.deepStrictEqual(service.trace[0], ["START STEP first", "SUCCEED STEP first"])
      }
    })
  )

  it.effect("a state without an EXECUTION operation on any page is malformed: thrown", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const { error } = yield* Effect.flip(service.invoke(echoing(service), service.event({ Operations: [] })))
      assert.strictEqual(error._tag, "MalformedEvent")
      assert.match(error.message, /no EXECUTION operation/)
      assert.deepStrictEqual(service.requests, [])
    })
  )

  it.effect("a later entry of the same id wins", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ input: '"hello"' })
      yield* service.invoke(echoing(service))
      const before = [...service.records.values()]
      service.pass(1)
      const event = service.event({ Operations: [...before, service.record("pause")] })
      assert.strictEqual((yield* service.invoke(echoing(service), event)).Status, "SUCCEEDED")
    })
  )

  it.effect("whether something is replayed does not depend on how many operations there are", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const service = FakeService.make({ input: '"hello"' })
      yield* service.invoke(echoing(service, seen))
      // one recorded operation, and the EXECUTION operation only on the next page
      const paged = FakeService.make({
        input: '"hello"',
        pages: { more: (self) => ({ Operations: [executionOf(self)] }) }
      })
      yield* paged.invoke(
        echoing(paged, seen),
        paged.event({ Operations: [service.record("first")], NextMarker: "more" })
      )
      assert.deepStrictEqual(seen, [true, false])
      assert.deepStrictEqual(paged.trace, [["START WAIT pause"]])
    })
  )
})

describe("wire-protocol section 2: input and malformed events", () => {
  it.effect("absent, empty and null input are no input; a schema without a value gets {}", () =>
    Effect.gen(function* () {
      for (const input of [undefined, "", "null"]) {
        const service = FakeService.make({ input })
        const handler = DurableHandler.make(
          DurableFunction.make("order", {
            payload: Schema.Record(Schema.String, Schema.Unknown),
            success: Schema.Unknown
          }),
          (payload) => Effect.succeed(payload),
          service.handlerOptions
        )
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "{}" })
      }
    })
  )

  it.effect("input that is not JSON, or not what was declared, is FAILED before anything runs", () =>
    Effect.gen(function* () {
      for (const input of ["{nonsense", "42"]) {
        const service = FakeService.make({ input })
        const answer = yield* service.invoke(echoing(service))
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "InvalidPayload")
        assert.deepStrictEqual(service.requests, [])
      }
    })
  )

  const malformed: ReadonlyArray<readonly [what: string, event: unknown]> = [
    ["null", null],
    ["undefined", undefined],
    ["a string", "hello"],
    ["an ordinary Lambda event", { Records: [] }],
    ["no token", { DurableExecutionArn: "arn", InitialExecutionState: { Operations: [] } }],
    ["an empty token", { DurableExecutionArn: "arn", CheckpointToken: "", InitialExecutionState: { Operations: [] } }],
    ["no ARN", { CheckpointToken: "t", InitialExecutionState: { Operations: [] } }],
    [
      "an operation without a type",
      { DurableExecutionArn: "arn", CheckpointToken: "t", InitialExecutionState: { Operations: [{ Id: "1" }] } }
    ],
    [
      "operations that are no list",
      { DurableExecutionArn: "arn", CheckpointToken: "t", InitialExecutionState: { Operations: "none" } }
    ]
  ]
  for (const [what, event] of malformed) {
    it.effect(`malformed event (${what}): thrown, nothing sent`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const { error } = yield* Effect.flip(service.invoke(echoing(service), event))
        assert.strictEqual(error._tag, "MalformedEvent")
        assert.match(error.message, /^This is not an event of Lambda's durable execution service: /)
        assert.deepStrictEqual(service.requests, [])
      })
    )
  }
})

describe("wire-protocol section 2.2: every timestamp format", () => {
  const instant = 1_767_356_934_930
  const formats: ReadonlyArray<readonly [what: string, value: unknown]> = [
    ["epoch milliseconds", instant],
    ["epoch seconds with a fraction", instant / 1000],
    ["ISO-8601", new Date(instant).toISOString()],
    ["ISO-8601 with an offset", "2026-01-02T13:28:54.930+01:00"],
    ["space-separated with microseconds", "2026-01-02 12:28:54.930000+00:00"]
  ]
  for (const [what, value] of formats) {
    it.effect(`${what}: the body's clock starts with the execution`, () =>
      Effect.gen(function* () {
        const service = FakeService.make({ input: '"x"' })
        const event = JSON.parse(JSON.stringify(service.event())) as {
          InitialExecutionState: { Operations: Array<{ StartTimestamp: unknown }> }
        }
        event.InitialExecutionState.Operations[0]!.StartTimestamp = value
        const handler = DurableHandler.make(
          Echo,
          () => Effect.clockWith((clock) => clock.currentTimeMillis),
          service.handlerOptions
        )
        assert.deepStrictEqual(yield* service.invoke(handler, event), {
          Status: "SUCCEEDED",
          Result: String(instant)
        })
      })
    )
  }

  it.effect("an unreadable timestamp counts as absent and fails nothing", () =>
    Effect.gen(function* () {
      for (const value of ["soon", "", {}, [], true, null]) {
        const service = FakeService.make({ input: '"x"' })
        yield* service.invoke(echoing(service))
        service.pass(1)
        const records = [...service.records.values()].map((record) => ({
          ...record,
          StartTimestamp: value,
          EndTimestamp: value,
          ...(record.Type === "WAIT" ? { WaitDetails: { ScheduledEndTimestamp: value } } : undefined)
        }))
        const answer = yield* service.invoke(echoing(service), service.event({ Operations: records }))
        assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"x!"' }, JSON.stringify(value))
      }
    })
  )
})
