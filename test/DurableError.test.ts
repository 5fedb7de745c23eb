import { assert, describe, it } from "@effect/vitest"
import { DurableError } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const failure = { operation: "charge", type: "CardDeclined", message: "limit" }

const operations: ReadonlyArray<DurableError.Operation> = [
  new DurableError.StepFailed({ ...failure, data: { amount: 7 } }),
  new DurableError.StepFailed(failure),
  new DurableError.StepInterrupted({ operation: "charge" }),
  new DurableError.StepTimedOut({ operation: "charge", timeoutMillis: 1500 }),
  new DurableError.ChildContextFailed(failure),
  new DurableError.CallbackFailed({ ...failure, data: "as text" }),
  new DurableError.CallbackTimedOut({ operation: "approval", kind: "timeout" }),
  new DurableError.CallbackTimedOut({ operation: "approval", kind: "heartbeat" }),
  new DurableError.CallbackSubmitFailed(failure),
  new DurableError.ConditionFailed(failure),
  new DurableError.ConditionExhausted({ operation: "job", attempts: 60 }),
  new DurableError.InvokeFailed({ ...failure, status: "STOPPED" })
]

const message = "what, where, how to fix it"
const fatal: ReadonlyArray<DurableError.Fatal> = [
  new DurableError.NonDeterministic({ message }),
  new DurableError.UntrackedAsync({ message }),
  new DurableError.InvalidOperation({ message }),
  new DurableError.SerdesFailed({ operation: 'STEP "s" (id)', action: "encode", reason: "r" }),
  new DurableError.PayloadTooLarge({ operation: 'STEP "s" (id)', bytes: 2_000_000, limit: 1_048_576 }),
  new DurableError.OperationLimitExceeded({ operation: 'STEP "s" (id)', quantity: "operations", limit: 3000 }),
  new DurableError.MalformedEvent({ message }),
  new DurableError.InvalidPayload({ message }),
  new DurableError.CheckpointFailed({ scope: "invocation", message })
]

describe("DurableError", () => {
  it.effect("operation errors keep their class through JSON", () =>
    Effect.gen(function* () {
      const codec = Schema.toCodecJson(DurableError.Operation)
      for (const error of operations) {
        const wire = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(error))) as Schema.Json
        assert.strictEqual((wire as { readonly _tag?: string })._tag, error._tag)
        const back = yield* Schema.decodeEffect(codec)(wire)
        assert.deepStrictEqual(DurableError.toFields(back), DurableError.toFields(error))
        assert.strictEqual(back.message, error.message)
        assert.strictEqual(Object.getPrototypeOf(back), Object.getPrototypeOf(error))
      }
    })
  )

  it("the schema of operation errors accepts them, and nothing that only looks like one", () => {
    const isOperation = Schema.is(DurableError.Operation)
    for (const error of operations) assert.isTrue(isOperation(error))
    for (const other of [...fatal, undefined, null, "x", new Error("x"), { _tag: "StepFailed", ...failure }]) {
      assert.isFalse(isOperation(other))
    }
  })

  it("tags are the names of the errors, and stable literals", () => {
    const all = [...operations, ...fatal]
    assert.deepStrictEqual(
      all.map((error) => [error._tag, error.name]),
      all.map((error) => [error.constructor.name, error.constructor.name])
    )
    assert.deepStrictEqual(
      all.map((error) => error._tag),
      [
        "StepFailed",
        "StepFailed",
        "StepInterrupted",
        "StepTimedOut",
        "ChildContextFailed",
        "CallbackFailed",
        "CallbackTimedOut",
        "CallbackTimedOut",
        "CallbackSubmitFailed",
        "ConditionFailed",
        "ConditionExhausted",
        "InvokeFailed",
        "NonDeterministic",
        "UntrackedAsync",
        "InvalidOperation",
        "SerdesFailed",
        "PayloadTooLarge",
        "OperationLimitExceeded",
        "MalformedEvent",
        "InvalidPayload",
        "CheckpointFailed"
      ]
    )
  })

  it("messages say what happened, where, and what to do", () => {
    const messages = [...operations, ...fatal].map((error) => error.message)
    const expected: ReadonlyArray<string | RegExp> = [
      "limit",
      "limit",
      /^Step "charge" was interrupted: an earlier invocation ended while it ran, /,
      'Step "charge" timed out after 1500 ms.',
      "limit",
      "limit",
      'Callback "approval" got no answer in time.',
      'Callback "approval" got no heartbeat in time.',
      "limit",
      "limit",
      'Condition "job" was not met in 60 checks, and its schedule has ended.',
      "limit",
      message,
      message,
      message,
      'STEP "s" (id): cannot encode its payload: r',
      /^STEP "s" \(id\): its payload has 2000000 bytes, the service records at most 1048576\. Return less .* Serdes layer/,
      /^STEP "s" \(id\): the execution reached the service's limit of 3000 operations\. Do more work per operation /,
      message,
      message,
      message
    ]
    for (const [i, wanted] of expected.entries()) {
      if (typeof wanted === "string") assert.strictEqual(messages[i], wanted)
      else assert.match(messages[i]!, wanted)
    }
  })

  it("what a fatal error ends", () => {
    for (const error of fatal) {
      const scope = ["MalformedEvent", "CheckpointFailed"].includes(error._tag) ? "invocation" : "execution"
      assert.strictEqual(DurableError.scopeOf(error), scope, error._tag)
    }
    for (const scope of ["execution", "invocation", "suspend"] as const) {
      assert.strictEqual(DurableError.scopeOf(new DurableError.CheckpointFailed({ scope, message })), scope)
    }
  })
})
