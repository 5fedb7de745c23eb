/**
 * What the tests of the layers share: stacks in every order that can be, texts that are hard to keep, and stand-ins for
 * AWS's clients that take nothing but what AWS would take.
 */
import { assert } from "@effect/vitest"
import {
  type DurableError,
  KeyProvider,
  PayloadStore,
  type Serdes,
  SerdesClaimCheck,
  SerdesEncryption,
  SerdesGzip,
  SerdesStack
} from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as crypto from "node:crypto"

export const arn = (name: string) =>
  `arn:aws:lambda:us-east-1:123456789012:function:orders:7/durable-execution/${name}/0af1`

export const context: Serdes.PayloadContext = {
  executionArn: arn("order-7"),
  operationId: "rOcNnkw5gUQ3L0aJbTzq1w",
  operation: "charge",
  kind: "result"
}

/** A key that is the same in each run. */
export const keyOf = (seed: string) => crypto.createHash("sha256").update(seed).digest()

export const keys = KeyProvider.layerStatic({ current: "new", keys: { old: keyOf("old"), new: keyOf("new") } })

/** The stages, applied to everything. */
export const gzip = SerdesGzip.gzip({ above: 0 })
export const encrypt = SerdesEncryption.aes256Gcm
export const claim = SerdesClaimCheck.claimCheck({ above: 0, aboveForErrors: 0 })

/** All stacks that can stand. */
export const stacks: Readonly<Record<string, SerdesStack.Stages>> = {
  "": [],
  gzip: [gzip],
  aes: [encrypt],
  "gzip aes": [gzip, encrypt],
  "aes gzip": [encrypt, gzip],
  claim: [claim],
  "gzip claim": [gzip, claim],
  "aes claim": [encrypt, claim],
  "gzip aes claim": [gzip, encrypt, claim],
  "aes gzip claim": [encrypt, gzip, claim]
}

/** The transform of a stack, with keys and a store in memory. */
export const make = (
  stages: SerdesStack.Stages,
  options: SerdesStack.Options = {},
  objects: Map<string, Uint8Array> = new Map()
): Effect.Effect<Serdes.Transform> =>
  SerdesStack.make(stages, options).pipe(
    Effect.provide(Layer.merge(keys, Layer.succeed(PayloadStore.PayloadStore, PayloadStore.makeMemory(objects))))
  ) as Effect.Effect<Serdes.Transform> // the services of all stages there are

/** Any text at all: code units, halves of characters among them, and what is easily lost. */
export const Text = Schema.Union([
  Schema.String,
  Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xff_ff }))).pipe(
    Schema.check(Schema.isMaxLength(60))
  ),
  Schema.Literals([
    "\uFEFF",
    "\uD800",
    "\uDC00x",
    '"\uD83D"',
    '{"~serdes":""}',
    '{"a":1}',
    " 1 ",
    "\u0000",
    "null",
    "🙂".repeat(3_000),
    "x".repeat(300_000)
  ])
])

export const textOf = (drawn: typeof Text.Type): string =>
  typeof drawn === "string" ? drawn : String.fromCharCode(...drawn)

/** What a record is refused with. */
export const refusal = <A>(effect: Effect.Effect<A, string | DurableError.PayloadFailed>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert(typeof error !== "string")
    assert.strictEqual(error._tag, "PayloadFailed")
    return error
  })

/** One bit of a text's UTF-8, turned. */
export const flip = (text: string, at: number): string => {
  const bytes = Buffer.from(text)
  const bit = at % (bytes.length * 8)
  bytes[bit >> 3]! ^= 1 << (bit & 7)
  return bytes.toString()
}

// ---- AWS ---------------------------------------------------------------------------------------------

/** What AWS's clients throw. */
export const awsError = (name: string, status: number | undefined, message = "no") =>
  Object.assign(new Error(message), {
    name,
    ...(status === undefined ? {} : { $metadata: { httpStatusCode: status } })
  })

const isRecordOfStrings = (value: unknown) =>
  value === undefined ||
  (typeof value === "object" && value !== null && Object.values(value).every((one) => typeof one === "string"))

/** KMS with the keys that it is made with. Data keys are bound to their encryption context, as by AWS. */
export const fakeKms = (arns: Readonly<Record<string, string>> = { "alias/payloads": "arn:aws:kms:eu:1:key/a" }) => {
  class GenerateDataKeyCommand {
    readonly input: Record<string, unknown>
    constructor(input: object) {
      this.input = { ...input }
    }
  }
  class DecryptCommand extends GenerateDataKeyCommand {}
  const calls: Array<readonly [call: "GenerateDataKey" | "Decrypt", input: Record<string, unknown>]> = []
  const made = new Map<string, { readonly key: Uint8Array; readonly arn: string; readonly context: string }>()
  /** Thrown instead of an answer, in turn. */
  const failures: Array<Error | "hang"> = []
  const contextOf = ({ EncryptionContext: context = {} }: Record<string, unknown>) =>
    JSON.stringify(Object.entries(context as object).sort())
  const send = (command: unknown, options?: { readonly abortSignal?: AbortSignal }): Promise<unknown> => {
    assert.instanceOf(options?.abortSignal, AbortSignal)
    const isDecrypt = command instanceof DecryptCommand
    assert(command instanceof GenerateDataKeyCommand)
    const { input } = command
    calls.push([isDecrypt ? "Decrypt" : "GenerateDataKey", input])
    assert.isTrue(isRecordOfStrings(input.EncryptionContext))
    const failure = failures.shift()
    if (failure === "hang") return new Promise(() => {})
    if (failure !== undefined) return Promise.reject(failure)
    if (!isDecrypt) {
      assert.strictEqual(input.KeySpec, "AES_256")
      assert.includeMembers(["KeyId", "KeySpec", "EncryptionContext"], Object.keys(input))
      const arn = arns[String(input.KeyId)]
      if (arn === undefined) return Promise.reject(awsError("NotFoundException", 400, "Alias is not found."))
      const blob = Buffer.from(`blob ${made.size}`)
      const key = keyOf(`data key ${made.size}`)
      made.set(blob.toString(), { key, arn, context: contextOf(input) })
      return Promise.resolve({ CiphertextBlob: Uint8Array.from(blob), Plaintext: Uint8Array.from(key), KeyId: arn })
    }
    assert.includeMembers(["KeyId", "CiphertextBlob", "EncryptionContext"], Object.keys(input))
    assert.instanceOf(input.CiphertextBlob, Uint8Array)
    const known = made.get(Buffer.from(input.CiphertextBlob as Uint8Array).toString())
    return known === undefined || known.context !== contextOf(input)
      ? Promise.reject(awsError("InvalidCiphertextException", 400))
      : known.arn !== input.KeyId
        ? Promise.reject(awsError("IncorrectKeyException", 400))
        : Promise.resolve({ Plaintext: Uint8Array.from(known.key), KeyId: known.arn })
  }
  return {
    calls,
    failures,
    options: { client: { send }, GenerateDataKeyCommand, DecryptCommand, keyId: "alias/payloads" }
  }
}

/** One bucket of S3. */
export const fakeS3 = (bucket = "payloads") => {
  class PutObjectCommand {
    readonly input: Record<string, unknown>
    constructor(input: object) {
      this.input = { ...input }
    }
  }
  class GetObjectCommand extends PutObjectCommand {}
  const objects = new Map<string, Uint8Array>()
  const calls: Array<readonly [call: "PutObject" | "GetObject", input: Record<string, unknown>]> = []
  const failures: Array<Error | "hang"> = []
  const send = (command: unknown, options?: { readonly abortSignal?: AbortSignal }): Promise<unknown> => {
    assert.instanceOf(options?.abortSignal, AbortSignal)
    assert(command instanceof PutObjectCommand)
    const { input } = command
    const isGet = command instanceof GetObjectCommand
    calls.push([isGet ? "GetObject" : "PutObject", input])
    const failure = failures.shift()
    if (failure === "hang") return new Promise(() => {})
    if (failure !== undefined) return Promise.reject(failure)
    if (input.Bucket !== bucket) return Promise.reject(awsError("NoSuchBucket", 404))
    const key = String(input.Key)
    assert.match(key, /^[\w\-./%!~*'()]{1,1024}$/)
    if (!isGet) {
      const body = input.Body
      assert(body instanceof Uint8Array)
      if (crypto.createHash("sha256").update(body).digest("base64") !== input.ChecksumSHA256) {
        return Promise.reject(awsError("BadDigest", 400))
      }
      objects.set(key, Uint8Array.from(body))
      return Promise.resolve({ ETag: '"1"' })
    }
    const body = objects.get(key)
    return body === undefined
      ? Promise.reject(awsError("NoSuchKey", 404, "The specified key does not exist."))
      : Promise.resolve({ Body: { transformToByteArray: () => Promise.resolve(body) }, ContentLength: body.length })
  }
  return { calls, failures, objects, options: { client: { send }, PutObjectCommand, GetObjectCommand, bucket } }
}

// ---- time ----------------------------------------------------------------------------------------------

const turn: Effect.Effect<void> = Effect.callback((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Runs an effect to its end, and lets the test's time pass while it waits. */
export const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) {
      yield* turn
      yield* TestClock.adjust("100 millis")
    }
    return yield* Fiber.join(fiber)
  })
