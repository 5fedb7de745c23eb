import { assert, describe, it } from "@effect/vitest"
import { type DurableError, KeyProvider, KeyProviderKms, SerdesEncryption, SerdesStack } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as kit from "./kit.ts"
import { awsError, context, fakeKms, patiently, refusal } from "./kit.ts"

const ARN = "arn:aws:kms:eu:1:key/a"

const provider = (options: KeyProviderKms.Options) =>
  Effect.provide(
    Effect.map(KeyProvider.KeyProvider, (keys) => keys),
    KeyProviderKms.layer(options)
  )

/** A sandbox of its own: nothing is cached in it. */
const sandbox = (options: KeyProviderKms.Options) =>
  SerdesStack.make([SerdesEncryption.aes256Gcm]).pipe(Effect.provide(KeyProviderKms.layer(options)))

const other = { ...context, executionArn: kit.arn("order-8") }

describe("KeyProviderKms", () => {
  it.effect("one call for writing, one for reading in another sandbox, in the shapes of AWS", () =>
    Effect.gen(function* () {
      const { calls, options } = fakeKms()
      const all = { ...options, encryptionContext: { service: "orders" } }
      const { decode, encode } = yield* sandbox(all)
      const records = [yield* encode("a", context), yield* encode("b", other)]
      assert.strictEqual(yield* decode(records[0]!, context), "a")
      const read = yield* sandbox(all)
      assert.strictEqual(yield* read.decode(records[0]!, context), "a")
      assert.strictEqual(yield* read.decode(records[1]!, other), "b")
      const EncryptionContext = { service: "orders" }
      const CiphertextBlob = Buffer.from("blob 0")
      assert.deepStrictEqual(
        calls.map(([call, input]) => [
          call,
          "CiphertextBlob" in input
            ? { ...input, CiphertextBlob: Buffer.from(input.CiphertextBlob as Uint8Array) }
            : input
        ]),
        [
          ["GenerateDataKey", { KeyId: "alias/payloads", KeySpec: "AES_256", EncryptionContext }],
          ["Decrypt", { KeyId: ARN, CiphertextBlob, EncryptionContext }],
          ["Decrypt", { KeyId: ARN, CiphertextBlob, EncryptionContext }]
        ]
      )
    })
  )

  it.effect("without an encryption context none is sent", () =>
    Effect.gen(function* () {
      const { calls, options } = fakeKms()
      const record = yield* (yield* sandbox(options)).encode("a", context)
      assert.strictEqual(yield* (yield* sandbox(options)).decode(record, context), "a")
      for (const [, input] of calls) assert.notProperty(input, "EncryptionContext")
    })
  )

  it.effect("perExecution: keys of their own, bound to the execution by KMS itself", () =>
    Effect.gen(function* () {
      const { calls, options } = fakeKms()
      const keys = yield* provider({ ...options, perExecution: true, encryptionContext: { service: "orders" } })
      const here = yield* keys.current(context)
      assert.strictEqual((yield* keys.current(context)).id, here.id)
      assert.notStrictEqual((yield* keys.current(other)).id, here.id)
      assert.deepStrictEqual(calls[0]![1].EncryptionContext, {
        service: "orders",
        durableExecutionArn: context.executionArn
      })
      assert.strictEqual((yield* refusal(keys.get(here.id, other))).problem, "wrong-key")
      assert.deepStrictEqual(yield* keys.get(here.id, context), here.key)
      // fields belong to no execution
      yield* keys.current({ executionArn: undefined })
      assert.deepStrictEqual(calls.at(-1)![1].EncryptionContext, { service: "orders" })
    })
  )

  it.effect("a limit that is no number costs calls, and nothing else", () =>
    Effect.gen(function* () {
      for (const maxUses of [Number.NaN, 0, -1]) {
        const { calls, options } = fakeKms()
        const keys = yield* provider({ ...options, maxUses })
        const ids = yield* Effect.replicateEffect(
          Effect.map(keys.current(context), ({ id }) => id),
          3
        )
        assert.strictEqual(new Set(ids).size, 3)
        assert.strictEqual(calls.length, 3)
      }
    })
  )

  it.effect("a data key is used for its time, and for so many payloads", () =>
    Effect.gen(function* () {
      const { calls, options } = fakeKms()
      const keys = yield* provider({ ...options, timeToLive: "1 minute", maxUses: 3 })
      const idOf = Effect.map(keys.current(context), ({ id }) => id)
      const ids = yield* Effect.replicateEffect(idOf, 7)
      assert.deepStrictEqual(
        ids.map((id) => [...new Set(ids)].indexOf(id)),
        [0, 0, 0, 1, 1, 1, 2]
      )
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* idOf, ids[6])
      yield* TestClock.adjust("2 seconds")
      assert.notInclude(ids, yield* idOf)
      assert.strictEqual(calls.length, 4)
      for (const id of new Set(ids)) yield* keys.get(id, context)
      for (const id of new Set(ids)) yield* keys.get(id, context)
      assert.strictEqual(calls.length, 7)
      yield* TestClock.adjust("61 seconds")
      yield* keys.get(ids[0]!, context)
      assert.strictEqual(calls.length, 8)
    })
  )

  it.effect("many at once ask once", () =>
    Effect.gen(function* () {
      const { calls, options } = fakeKms()
      const keys = yield* provider(options)
      const made = yield* Effect.all(
        Array.from({ length: 50 }, () => keys.current(context)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(made.map(({ id }) => id)).size, 1)
      yield* Effect.all(
        Array.from({ length: 50 }, () => keys.get(made[0]!.id, context)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(calls.length, 2)
    })
  )

  it.effect("another KMS key for new records: the old ones name theirs", () =>
    Effect.gen(function* () {
      const { calls, options } = fakeKms({ old: `${ARN}/old`, new: `${ARN}/new` })
      const record = yield* (yield* sandbox({ ...options, keyId: "old" })).encode("a", context)
      const now = yield* sandbox({ ...options, keyId: "new" })
      assert.strictEqual(yield* now.decode(record, context), "a")
      assert.strictEqual(calls.at(-1)![1].KeyId, `${ARN}/old`)
      assert.strictEqual(yield* now.decode(yield* now.encode("b", context), context), "b")
    })
  )

  it.effect("what passes is tried again; what failed is not remembered", () =>
    Effect.gen(function* () {
      const { calls, failures, options } = fakeKms()
      const keys = yield* provider(options)
      failures.push(
        awsError("KeyUnavailableException", 500),
        awsError("ThrottlingException", 400),
        awsError("x", undefined)
      )
      const { id } = yield* patiently(keys.current(context))
      assert.strictEqual(calls.length, 4)
      failures.push("hang")
      assert.strictEqual((yield* patiently(keys.get(id, context))).length, 32)
      const down = Array.from({ length: 4 }, () => awsError("KMSInternalException", 500))
      failures.push(...down)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* patiently(refusal(keys.get(id, context)))).problem, "unavailable")
      assert.strictEqual((yield* keys.get(id, context)).length, 32)
    })
  )

  it.effect("each answer of KMS: what it is, and what to do", () =>
    Effect.gen(function* () {
      const expected: ReadonlyArray<
        readonly [name: string, status: number | undefined, problem: DurableError.PayloadProblem, advice: RegExp]
      > = [
        ["AccessDeniedException", 400, "denied", /kms:GenerateDataKey, kms:Decrypt/],
        ["DisabledException", 400, "denied", /the key is enabled/],
        ["KMSInvalidStateException", 400, "denied", /the key is enabled/],
        ["InvalidGrantTokenException", 400, "denied", /role/],
        ["InvalidKeyUsageException", 400, "denied", /role/],
        ["UnrecognizedClientException", 400, "denied", /role/],
        ["NotFoundException", 400, "missing", /its id and region/],
        ["IncorrectKeyException", 400, "wrong-key", /encryptionContext/],
        ["InvalidCiphertextException", 400, "wrong-key", /encryptionContext/],
        ["DependencyTimeoutException", 500, "unavailable", /tried again/],
        ["LimitExceededException", 400, "unavailable", /tried again/],
        ["TooManyRequestsException", 429, "unavailable", /tried again/],
        ["ServiceUnavailable", 503, "unavailable", /tried again/],
        ["TypeError", undefined, "unavailable", /tried again/]
      ]
      for (const [name, status, problem, advice] of expected) {
        const { calls, failures, options } = fakeKms()
        const keys = yield* provider({ ...options, retries: 1 })
        failures.push(awsError(name, status), awsError(name, status))
        const failed = yield* patiently(refusal(keys.current(context)))
        assert.strictEqual(failed.problem, problem, name)
        assert.strictEqual(calls.length, problem === "unavailable" ? 2 : 1, name)
        assert.match(failed.reason, advice)
        assert.include(failed.reason, `GenerateDataKey of the KMS key "alias/payloads" failed: ${name}: no. `)
      }
    })
  )

  it.effect("an answer that holds no key, and a key that is none of KMS", () =>
    Effect.gen(function* () {
      const { options } = fakeKms()
      const client = { send: () => Promise.resolve({ Plaintext: new Uint8Array(16), KeyId: ARN }) }
      const odd = yield* provider({ ...options, client })
      assert.match((yield* refusal(odd.current(context))).reason, /gave an answer without a key of 32 bytes/)
      assert.match((yield* refusal(odd.get(`${ARN} YQ==`, context))).reason, /Decrypt with the KMS key/)
      const keys = yield* provider(options)
      for (const id of ["2026", "a b c", `${ARN} not base64!`]) {
        const { problem, reason } = yield* refusal(keys.get(id, context))
        assert.strictEqual(problem, "missing")
        assert.include(reason, `the key "${id}", which is none of KMS`)
      }
    })
  )
})
