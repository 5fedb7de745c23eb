import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as FakeService from "./FakeService.ts"

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any, error: Schema.Any })

/** Accepts what it cannot write. */
const Unwritable = Schema.Struct({
  text: Schema.String.pipe(
    Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.passthrough(),
      encode: SchemaGetter.forbidden(() => "it is read only")
    })
  )
})

const { awsError, fails } = FakeService

type Outcome = "FAILED" | "thrown"
const failures: ReadonlyArray<readonly [what: string, error: unknown, outcome: Outcome, attempts: number]> = [
  // row 2: whatever the error's name, whatever the case
  [
    "stale token, as the service writes it",
    awsError(400, "InvalidParameterValueException", "Invalid checkpoint token"),
    "thrown",
    1
  ],
  [
    "stale token, as AWS's JS SDK expects it",
    awsError(400, "InvalidParameterValueException", "Invalid Checkpoint Token: gone"),
    "thrown",
    1
  ],
  [
    "stale token, in capitals",
    awsError(400, "InvalidParameterValueException", "INVALID CHECKPOINT TOKEN"),
    "thrown",
    1
  ],
  ["stale token without an error name", awsError(400, "Unknown", "invalid checkpoint token"), "thrown", 1],
  ["stale token as another 4xx", awsError(409, "ConflictException", "Invalid checkpoint token"), "thrown", 1],
  [
    "the same words elsewhere in the message",
    awsError(400, "InvalidParameterValueException", "Not an invalid checkpoint token"),
    "FAILED",
    1
  ],
  // row 3
  ["429", awsError(429, "TooManyRequestsException", "Rate exceeded"), "thrown", 3],
  ["429 without a name", awsError(429, "Unknown", "slow down"), "thrown", 3],
  // row 4
  ["KMSAccessDeniedException", awsError(502, "KMSAccessDeniedException"), "FAILED", 1],
  ["KMSDisabledException", awsError(502, "KMSDisabledException"), "FAILED", 1],
  ["KMSInvalidStateException", awsError(502, "KMSInvalidStateException"), "FAILED", 1],
  ["KMSNotFoundException", awsError(502, "KMSNotFoundException"), "FAILED", 1],
  ["a 502 of another name", awsError(502, "BadGateway"), "thrown", 3],
  // row 5
  [
    "another InvalidParameterValueException",
    awsError(400, "InvalidParameterValueException", "Invalid parent operation id."),
    "FAILED",
    1
  ],
  ["403 AccessDeniedException", awsError(403, "AccessDeniedException", "not authorized"), "FAILED", 1],
  ["404", awsError(404, "ResourceNotFoundException"), "FAILED", 1],
  // row 6
  ["500 ServiceException", awsError(500, "ServiceException"), "thrown", 3],
  [
    "503 with a page that is not JSON",
    Object.assign(new SyntaxError("Unexpected token '<'"), { $metadata: { httpStatusCode: 503 } }),
    "thrown",
    3
  ],
  ["a time-out", awsError(undefined, "TimeoutError", "socket hang up"), "thrown", 3],
  ["a reset connection", Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }), "thrown", 3],
  ["something that is no error", "boom", "thrown", 3],
  ["nothing at all", undefined, "thrown", 3]
]

describe("wire-protocol section 26.1: stale-token text, and every row of the table, for checkpoints", () => {
  for (const [what, error, outcome, attempts] of failures) {
    it.effect(`${what}: ${outcome}, after ${attempts} attempt${attempts === 1 ? "" : "s"}`, () =>
      Effect.gen(function* () {
        const service = FakeService.make({ replies: Array.from({ length: 9 }, () => fails(error)) })
        const handler = DurableHandler.make(
          Anything,
          () => Durable.step("s", Effect.succeed(1)).pipe(Effect.catchCause(() => Effect.succeed("caught"))),
          service.handlerOptions
        )
        const exit = yield* Effect.result(service.invoke(handler))
        if (outcome === "thrown") {
          assert(exit._tag === "Failure")
          assert.strictEqual(exit.failure.error._tag, "CheckpointFailed")
        } else {
          assert(exit._tag === "Success" && exit.success.Status === "FAILED")
          assert.strictEqual(exit.success.Error?.ErrorType, "CheckpointFailed")
        }
        assert.strictEqual(service.requests.length, attempts)
      })
    )
  }
})

describe("wire-protocol section 26.1: (differs) permanent 4xx while loading state thrown", () => {
  for (const [what, error, outcome] of failures) {
    it.effect(`${what}: ${outcome}, the body does not run`, () =>
      Effect.gen(function* () {
        let ran = 0
        const service = FakeService.make({
          pages: {
            more: () => {
              throw error
            }
          }
        })
        const handler = DurableHandler.make(Anything, () => Effect.sync(() => ++ran), service.handlerOptions)
        const exit = yield* Effect.result(
          service.invoke(handler, service.event({ Operations: [], NextMarker: "more" }))
        )
        assert.strictEqual(exit._tag === "Failure" ? "thrown" : exit.success.Status, outcome)
        assert.strictEqual(ran, 0)
      })
    )
  }
})

describe("wire-protocol section 26.1, row 1: the transport states its own scope", () => {
  for (const scope of ["execution", "invocation"] as const) {
    it.effect(scope, () =>
      Effect.gen(function* () {
        const own = new DurableExecutionClient.ServiceCallFailed({
          call: "CheckpointDurableExecution",
          scope,
          errorName: "Own",
          status: scope === "execution" ? 500 : 400,
          reason: "Invalid checkpoint token",
          transient: false
        })
        const service = FakeService.make({ replies: [fails(own)] })
        const handler = DurableHandler.make(
          Anything,
          () => Durable.step("s", Effect.succeed(1)),
          service.handlerOptions
        )
        const exit = yield* Effect.result(service.invoke(handler))
        assert.strictEqual(
          exit._tag === "Success" ? exit.success.Status : "thrown",
          scope === "execution" ? "FAILED" : "thrown"
        )
        assert.strictEqual(service.requests.length, 1)
      })
    )
  }

  const unreadable: ReadonlyArray<readonly [what: string, response: unknown]> = [
    ["no object", "<html>"],
    ["nothing", undefined],
    ["operations that are no list", { CheckpointToken: "t", NewExecutionState: { Operations: 42 } }],
    [
      "an operation of an unknown status",
      { CheckpointToken: "t", NewExecutionState: { Operations: [{ Id: "1", Type: "STEP", Status: "DREAMING" }] } }
    ],
    ["a token that is no string", { CheckpointToken: 42, NewExecutionState: { Operations: [] } }]
  ]
  for (const [what, response] of unreadable) {
    it.effect(`an unreadable response (${what}) is thrown: nothing recorded is lost`, () =>
      Effect.gen(function* () {
        const service = FakeService.make({ replies: [(ordinary) => (ordinary(), response)] })
        const handler = DurableHandler.make(
          Anything,
          () => Durable.step("s", Effect.succeed(1)),
          service.handlerOptions
        )
        const { error } = yield* Effect.flip(service.invoke(handler))
        assert.strictEqual(error._tag, "CheckpointFailed")
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "1" })
        assert.strictEqual(service.requests.length, 1)
      })
    )
  }
})

describe("wire-protocol section 26.2: serialisation failures thrown", () => {
  const circular: { self?: unknown } = {}
  circular.self = circular
  const values: ReadonlyArray<readonly [what: string, value: unknown]> = [
    ["a BigInt", 1n],
    ["a circular object", circular],
    ["NaN", NaN],
    ["an instance of a class", new Map([[1, 2]])],
    ["a function", () => 1]
  ]
  for (const [what, value] of values) {
    it.effect(`a step that gives ${what}: FAILED, the body runs once`, () =>
      Effect.gen(function* () {
        let ran = 0
        const service = FakeService.make()
        const handler = DurableHandler.make(
          Anything,
          () =>
            Durable.step("s", Effect.sync(() => (++ran, value)) as unknown as Effect.Effect<string>).pipe(
              Effect.catchCause(() => Effect.succeed("caught"))
            ),
          service.handlerOptions
        )
        const answer = yield* service.invoke(handler)
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
        assert.match(answer.Error?.ErrorMessage ?? "", /^STEP "s".*cannot encode its payload: /)
        assert.strictEqual(ran, 1)
        assert.isFalse(service.trace.flat().includes("SUCCEED STEP s"))
      })
    )
  }

  it.effect("a handler's result that cannot be encoded: FAILED", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Finite }),
        () => Effect.succeed(NaN),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
      assert.match(answer.Error?.ErrorMessage ?? "", /The result of "order"/)
    })
  )

  it.effect("a record that today's schema cannot read: FAILED, the step is not run again", () =>
    Effect.gen(function* () {
      let ran = 0
      const service = FakeService.make()
      const make = (success: Schema.Codec<string, unknown>, value: string) =>
        DurableHandler.make(
          Anything,
          () =>
            Durable.step(
              "s",
              Effect.sync(() => (++ran, value)),
              { success }
            ).pipe(Effect.tap(() => Durable.wait("pause", "1 second"))),
          service.handlerOptions
        )
      assert.deepStrictEqual(yield* service.invoke(make(Schema.String, "one")), { Status: "PENDING" })
      service.pass(1)
      const answer = yield* service.invoke(
        make(Schema.Literals(["two", "three"]) as Schema.Codec<string, unknown>, "two")
      )
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
      assert.match(answer.Error?.ErrorMessage ?? "", /cannot decode/)
      assert.strictEqual(ran, 1)
    })
  )

  it.effect("an error that its schema accepts but cannot write: FAILED, nothing half is recorded", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () => Durable.step("s", Effect.fail({ text: "x" }), { error: Unwritable, retry: Durable.noRetry }),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
      assert.isFalse(service.trace.flat().includes("FAIL STEP s"))
    })
  )
})

describe("wire-protocol section 26.2: everything else", () => {
  it.effect("a failure of the user is FAILED with that error, a defect too", () =>
    Effect.gen(function* () {
      class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}
      const service = FakeService.make()
      const failed = yield* service.invoke(
        DurableHandler.make(
          DurableFunction.make("order", { payload: Schema.Unknown, error: OutOfStock }),
          () => new OutOfStock({ item: "book" }),
          service.handlerOptions
        )
      )
      assert.deepStrictEqual(failed, {
        Status: "FAILED",
        Error: {
          ErrorType: "OutOfStock",
          ErrorMessage: (failed.Status === "FAILED" && failed.Error?.ErrorMessage) || "",
          ErrorData: '{"_tag":"OutOfStock","item":"book"}'
        }
      })
      const died = yield* service.invoke(
        DurableHandler.make(Anything, () => Effect.die(new RangeError("out")), service.handlerOptions)
      )
      assert(died.Status === "FAILED")
      assert.strictEqual(died.Error?.ErrorType, "RangeError")
    })
  )

  it.effect("a layer that does not build is thrown", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(Anything, () => Effect.succeed(1), {
        ...service.handlerOptions,
        layer: Layer.effectDiscard(Effect.fail("no database"))
      })
      const { error } = yield* Effect.flip(service.invoke(handler))
      assert.match(String(error), /no database/)
      assert.deepStrictEqual(service.requests, [])
    })
  )
})
