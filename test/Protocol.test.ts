import { assert, describe, it } from "@effect/vitest"
import { Protocol } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as results from "../src/internal/decode.ts"

const decode = {
  decodeOperations: (input: unknown) => Effect.fromResult(results.decodeOperations(input)),
  decodeExecutionState: (input: unknown) => Effect.fromResult(results.decodeExecutionState(input)),
  decodeCheckpointResponse: (input: unknown) => Effect.fromResult(results.decodeCheckpointResponse(input)),
  decodeInvocationEvent: (input: unknown) => Effect.fromResult(results.decodeInvocationEvent(input))
}

// ---- what arrives ------------------------------------------------------------------------------------

const decodeOperation = Schema.decodeUnknownEffect(Protocol.Operation)

/** What the schema says of one record, and what the fast path makes of it. */
const bothWays = Effect.fnUntraced(function* (raw: unknown) {
  const schema = yield* Effect.result(decodeOperation(raw))
  const fast = yield* Effect.result(decode.decodeOperations([raw]))
  return { schema, fast }
})

const agree = Effect.fnUntraced(function* (raw: unknown) {
  const { fast, schema } = yield* bothWays(raw)
  assert.strictEqual(fast._tag, schema._tag, JSON.stringify(raw))
  if (schema._tag === "Success" && fast._tag === "Success") {
    assert.deepStrictEqual(fast.success, [schema.success], JSON.stringify(raw))
  }
})

const timestamps: ReadonlyArray<unknown> = [
  1_767_356_934_930,
  1_767_356_934.93,
  0,
  -1,
  NaN,
  "2025-12-18 10:53:45.863776+00:00",
  "2026-01-02T12:28:54.930Z",
  "soon",
  new Date(1_767_356_934_930),
  new Date(NaN),
  true,
  {},
  []
]
const strings: ReadonlyArray<unknown> = ["", "x", "é", '{"a":1}', "null"]
const wrong: ReadonlyArray<unknown> = [42, true, {}, [], "text", ["x"], { Result: 42 }]
const absent: ReadonlyArray<unknown> = [null, undefined]

const fieldsOf = (odd: boolean) => {
  const errors = [{}, { ErrorMessage: "m" }, { ErrorType: null, StackTrace: ["a"] }, { StackTrace: null }]
  const attempts = [0, 1, 3.5]
  const ids = odd ? [undefined, null, "", "1"] : ["1", "2"]
  return {
    Id: ids,
    ParentId: strings,
    Name: strings,
    SubType: strings,
    Type: odd ? ["STEP", "WAIT", "CONTEXT", "EXECUTION", "DAG", "step"] : ["STEP", "WAIT", "CONTEXT", "EXECUTION"],
    Status: odd
      ? ["STARTED", "SUCCEEDED", "PAUSED", "started"]
      : ["STARTED", "PENDING", "READY", "SUCCEEDED", "FAILED"],
    StartTimestamp: timestamps,
    EndTimestamp: timestamps,
    StepDetails: [{}, "step"],
    WaitDetails: [{}, "wait"],
    ContextDetails: [undefined, { ReplayChildren: true, Result: "" }],
    CallbackDetails: [undefined, { CallbackId: "c" }],
    ChainedInvokeDetails: [undefined, {}],
    ExecutionDetails: [undefined, { InputPayload: "{}" }, {}],
    Result: strings,
    Error: [undefined, undefined, ...errors],
    Attempt: attempts,
    NextAttemptTimestamp: timestamps,
    ScheduledEndTimestamp: timestamps
  }
}

const Picks = Schema.Struct(
  Object.fromEntries(
    Object.keys(fieldsOf(false)).map((key) => [key, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 999 }))])
  )
)

/** Turns numbers into a record: any key may be right, absent, null, undefined or (when `odd`) of another type. */
const rawOperation = (picks: Readonly<Record<string, number>>, odd: boolean): unknown => {
  const fields: Readonly<Record<string, ReadonlyArray<unknown>>> = fieldsOf(odd)
  const pick = (key: string) => {
    const right = fields[key]!
    const required = !odd && (key === "Id" || key === "Type" || key === "Status")
    const values = required ? right : [...right, ...absent, ...(odd ? wrong : [])]
    return values[picks[key]! % values.length]
  }
  const object = (keys: ReadonlyArray<string>) =>
    Object.fromEntries(keys.flatMap((key) => (picks[key]! % 5 === 4 ? [] : [[key, pick(key)]])))
  const steps = pick("StepDetails")
  const waits = pick("WaitDetails")
  return {
    ...object(["ParentId", "Name", "SubType", "StartTimestamp", "EndTimestamp"]),
    Id: pick("Id"),
    Type: pick("Type"),
    Status: pick("Status"),
    ...(steps === undefined
      ? undefined
      : { StepDetails: steps === "step" ? object(["Result", "Error", "Attempt", "NextAttemptTimestamp"]) : steps }),
    ...(waits === undefined
      ? undefined
      : { WaitDetails: waits === "wait" ? object(["ScheduledEndTimestamp"]) : waits }),
    ...object(["ContextDetails", "CallbackDetails", "ChainedInvokeDetails", "ExecutionDetails"]),
    Unknown: "members of later versions are dropped"
  }
}

describe("Protocol: the fast path of decoding agrees with the schema", () => {
  it.effect.prop("for records as the service may send them", [Picks], ([picks]) => agree(rawOperation(picks, false)), {
    arbitrary: { runs: 2_000 }
  })

  it.effect.prop("for records with anything anywhere", [Picks], ([picks]) => agree(rawOperation(picks, true)), {
    arbitrary: { runs: 2_000 }
  })

  it.effect.prop(
    "for records that went through JSON",
    [Picks],
    ([picks]) => {
      const raw = rawOperation(picks, false)
      return agree(JSON.parse(JSON.stringify(raw)))
    },
    { arbitrary: { runs: 500 } }
  )

  it.effect("for what is no record at all", () =>
    Effect.forEach([null, undefined, "", 0, [], true, () => 1, { Id: "1" }, new Map()], agree, { discard: true })
  )

  it.effect("and the generator makes both readable and unreadable ones", () =>
    Effect.gen(function* () {
      const tags = { Success: 0, Failure: 0 }
      let seed = 1
      for (let i = 0; i < 500; i++) {
        const picks = Object.fromEntries(
          Object.keys(fieldsOf(false)).map((key) => [key, (seed = (seed * 48_271) % 2_147_483_647) % 1000])
        )
        tags[(yield* bothWays(rawOperation(picks, false))).schema._tag]++
        tags[(yield* bothWays(rawOperation(picks, true))).schema._tag]++
      }
      assert.isAbove(tags.Success, 300)
      assert.isAbove(tags.Failure, 300)
    })
  )

  it.effect("one unreadable record fails the whole list: a state with a gap is not a state", () =>
    Effect.gen(function* () {
      const good = { Id: "1", Type: "STEP", Status: "STARTED", StartTimestamp: 1 }
      assert.strictEqual((yield* decode.decodeOperations([good, good])).length, 2)
      yield* Effect.flip(decode.decodeOperations([good, { ...good, Status: "DREAMING" }, good]))
      yield* Effect.flip(decode.decodeOperations("none"))
      assert.deepStrictEqual(yield* decode.decodeOperations(undefined), [])
      assert.deepStrictEqual(yield* decode.decodeOperations(null), [])
    })
  )

  it.effect("the order of a list is kept when some of its records go the slow way", () =>
    Effect.gen(function* () {
      const raw = Array.from({ length: 9 }, (_, i) => ({
        Id: String(i),
        Type: i % 2 === 0 ? "STEP" : "CONTEXT",
        Status: "STARTED",
        ...(i % 2 === 0 ? { StepDetails: { Attempt: i } } : { ContextDetails: { Result: String(i) } })
      }))
      const operations = yield* decode.decodeOperations(raw)
      assert.deepStrictEqual(
        operations.map(({ Id }) => Id),
        raw.map(({ Id }) => Id)
      )
    })
  )
})

// ---- timestamps -----------------------------------------------------------------------------------------

describe("Protocol: timestamps", () => {
  const instant = 1_767_356_934_930
  const formats: ReadonlyArray<readonly [input: unknown, millis: number | undefined]> = [
    [instant, instant],
    [instant / 1000, instant],
    [1_767_356_934, 1_767_356_934_000],
    [new Date(instant), instant],
    ["2026-01-02T12:28:54.930Z", instant],
    ["2026-01-02T12:28:54.930000Z", instant],
    ["2026-01-02T13:28:54.930+01:00", instant],
    ["2026-01-02 12:28:54.930000+00:00", instant],
    ["2026-01-02 12:28:54.930+00:00", instant],
    [0, 0],
    [1e11, 1e11],
    [1e11 - 1, (1e11 - 1) * 1000],
    [instant + 0.5, instant + 0.5],
    [NaN, undefined],
    [Infinity, undefined],
    [new Date(NaN), undefined],
    ["", undefined],
    ["soon", undefined],
    [null, undefined],
    [undefined, undefined],
    [{}, undefined],
    [true, undefined]
  ]
  for (const [input, millis] of formats) {
    it.effect(`${input instanceof Date ? "a Date" : JSON.stringify(input)}: ${millis}`, () =>
      Effect.sync(() => assert.strictEqual(Protocol.parseTimestamp(input), millis))
    )
  }

  it.effect("an unreadable one is absent, and never a failure", () =>
    Effect.gen(function* () {
      const operation = yield* decodeOperation({
        Id: "1",
        Type: "WAIT",
        Status: "STARTED",
        StartTimestamp: "soon",
        EndTimestamp: {}
      })
      assert.deepStrictEqual(operation, { Id: "1", Type: "WAIT", Status: "STARTED" })
    })
  )
})

// ---- envelopes ------------------------------------------------------------------------------------------

describe("Protocol: envelopes", () => {
  const operation = { Id: "1", Type: "STEP", Status: "STARTED", StartTimestamp: 1_767_356_934_930 }

  it.effect("no marker, null and an empty one are the same", () =>
    Effect.gen(function* () {
      for (const NextMarker of [undefined, null, ""]) {
        assert.deepStrictEqual(yield* decode.decodeExecutionState({ Operations: [operation], NextMarker }), {
          Operations: [operation] as ReadonlyArray<Protocol.Operation>
        })
      }
      assert.strictEqual((yield* decode.decodeExecutionState({ NextMarker: "m" })).NextMarker, "m")
    })
  )

  it.effect("no token, null and an empty one are the same", () =>
    Effect.gen(function* () {
      for (const CheckpointToken of [undefined, null, ""]) {
        const response = yield* decode.decodeCheckpointResponse({
          CheckpointToken,
          NewExecutionState: { Operations: [] }
        })
        assert.isFalse("CheckpointToken" in response)
      }
      assert.deepStrictEqual(yield* decode.decodeCheckpointResponse({ CheckpointToken: "t" }), {
        CheckpointToken: "t",
        NewExecutionState: { Operations: [] }
      })
    })
  )

  it.effect("the fast envelopes say what their schemas say", () =>
    Effect.gen(function* () {
      const event = {
        DurableExecutionArn: "arn",
        CheckpointToken: "t",
        InitialExecutionState: { Operations: [operation], NextMarker: "m" },
        UpdatedOperationIds: ["1"],
        Later: true
      }
      assert.deepStrictEqual(
        yield* decode.decodeInvocationEvent(event),
        yield* Schema.decodeUnknownEffect(Protocol.InvocationEvent)(event)
      )
      const response = { CheckpointToken: "t", NewExecutionState: { Operations: [operation], NextMarker: "m" } }
      assert.deepStrictEqual(
        yield* decode.decodeCheckpointResponse(response),
        yield* Schema.decodeUnknownEffect(Protocol.CheckpointResponse)(response)
      )
      for (const bad of [{}, { ...event, CheckpointToken: "" }, { ...event, DurableExecutionArn: 1 }, null]) {
        yield* Effect.flip(decode.decodeInvocationEvent(bad))
        yield* Effect.flip(Schema.decodeUnknownEffect(Protocol.InvocationEvent)(bad))
      }
    })
  )

  it.effect("all five terminal statuses are final", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(Protocol.OperationStatus.literals.filter(Protocol.isTerminal), [
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "TIMED_OUT",
        "STOPPED"
      ])
    })
  )
})
