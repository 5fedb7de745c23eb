/**
 * Keys of AWS KMS: each data key is made by KMS, encrypts payloads in this process, and stands in the records encrypted
 * by a key that never leaves KMS.
 */
import * as Cache from "effect/Cache"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { PayloadFailed, type PayloadProblem } from "./DurableError.ts"
import { type AwsClient, call, type CallOptions, type Thrown } from "./internal/awsCall.ts"
import * as Bytes from "./internal/bytes.ts"
import { type DataKey, type KeyContext, KeyProvider } from "./KeyProvider.ts"

/** What `GenerateDataKeyCommand` is given. */
export interface GenerateDataKeyInput {
  readonly KeyId: string
  readonly KeySpec: "AES_256"
  readonly EncryptionContext?: Record<string, string>
}

/** What `DecryptCommand` is given. */
export interface DecryptInput {
  readonly KeyId: string
  readonly CiphertextBlob: Uint8Array
  readonly EncryptionContext?: Record<string, string>
}

/** Options of `layer`. */
export interface Options extends CallOptions {
  /** Your `KMSClient`. */
  readonly client: AwsClient
  /** `GenerateDataKeyCommand` of `@aws-sdk/client-kms`. */
  readonly GenerateDataKeyCommand: new (input: GenerateDataKeyInput) => unknown
  /** `DecryptCommand` of `@aws-sdk/client-kms`. */
  readonly DecryptCommand: new (input: DecryptInput) => unknown
  /** The KMS key to make data keys with: id, ARN or alias. Records name the key's ARN, so it may change. */
  readonly keyId: string
  /** Sent along with both calls: key policies can ask for it, and CloudTrail shows it. Never secret, never changed. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined
  /**
   * Data keys of their own for each execution, whose ARN is then a part of the encryption context
   * (`durableExecutionArn`). Costs a call of KMS per execution and sandbox. Default: false.
   */
  readonly perExecution?: boolean | undefined
  /** How long a data key is used, and kept in memory for reading. Default: 5 minutes. */
  readonly timeToLive?: Duration.Input | undefined
  /** So many payloads are written with one data key at most. Default: 10,000. */
  readonly maxUses?: number | undefined
  /** So many data keys are kept for reading. Default: 1,000. */
  readonly capacity?: number | undefined
}

// ---- what KMS says -----------------------------------------------------------------------------------

const PROBLEMS: Readonly<Record<string, PayloadProblem>> = {
  AccessDeniedException: "denied",
  DisabledException: "denied",
  InvalidGrantTokenException: "denied",
  InvalidKeyUsageException: "denied",
  KMSInvalidStateException: "denied",
  DependencyTimeoutException: "unavailable",
  KeyUnavailableException: "unavailable",
  KMSInternalException: "unavailable",
  NotFoundException: "missing",
  IncorrectKeyException: "wrong-key",
  InvalidCiphertextException: "wrong-key"
}

const classify = ({ name }: Thrown): PayloadProblem | undefined =>
  Object.hasOwn(PROBLEMS, name) ? PROBLEMS[name] : undefined

const ADVICE: Readonly<Record<PayloadProblem, string>> = {
  unavailable: "It is tried again.",
  denied: "Let the function's role use the key (kms:GenerateDataKey, kms:Decrypt), and see that the key is enabled.",
  missing: "Restore the key, or correct its id and region.",
  "wrong-key":
    "Use the encryptionContext of the time when it was written; a KMS key cannot read what another one wrote.",
  "other-layers": "",
  corrupt: ""
}

// ---- the provider --------------------------------------------------------------------------------------

interface Used extends DataKey {
  uses: number
}

const ARN = /^(\S+) (\S+)$/

const make = (options: Options): Effect.Effect<KeyProvider["Service"]> =>
  Effect.gen(function* () {
    const { capacity = 1_000, client, maxUses = 10_000, perExecution = false, timeToLive = "5 minutes" } = options

    const contextOf = (executionArn: string) => {
      const all = {
        ...options.encryptionContext,
        ...(executionArn === "" ? undefined : { durableExecutionArn: executionArn })
      }
      return Object.keys(all).length === 0 ? undefined : { EncryptionContext: all }
    }

    /** Which executions share their keys. */
    const shareOf = ({ executionArn }: KeyContext) => (perExecution ? (executionArn ?? "") : "")

    const generate = (share: string): Effect.Effect<Used, PayloadFailed> => {
      const what = `GenerateDataKey of the KMS key "${options.keyId}"`
      const command = new options.GenerateDataKeyCommand({
        KeyId: options.keyId,
        KeySpec: "AES_256",
        ...contextOf(share)
      })
      return Effect.flatMap(
        call(what, (abortSignal) => client.send(command, { abortSignal }), classify, ADVICE, options),
        ({ CiphertextBlob: blob, KeyId: arn, Plaintext: key }) =>
          blob instanceof Uint8Array && key instanceof Uint8Array && key.length === 32 && typeof arn === "string"
            ? Effect.succeed({ id: `${arn} ${Bytes.toBase64(blob)}`, key, uses: 0 })
            : Effect.fail(unreadable(what))
      )
    }

    const decrypt = (name: string): Effect.Effect<Uint8Array, PayloadFailed> => {
      const { id, share } = JSON.parse(name) as { readonly id: string; readonly share: string } // written below
      const [, arn, text] = ARN.exec(id) ?? []
      const blob = text === undefined ? undefined : Bytes.fromBase64(text)
      if (arn === undefined || blob === undefined) {
        return Effect.fail(
          new PayloadFailed({
            problem: "missing",
            reason: `it was encrypted with the key "${id.slice(0, 200)}", which is none of KMS. Give the KeyProvider of that time.`
          })
        )
      }
      const what = `Decrypt with the KMS key "${arn}"`
      const command = new options.DecryptCommand({ KeyId: arn, CiphertextBlob: blob, ...contextOf(share) })
      return Effect.flatMap(
        call(what, (abortSignal) => client.send(command, { abortSignal }), classify, ADVICE, options),
        ({ Plaintext: key }) =>
          key instanceof Uint8Array && key.length === 32 ? Effect.succeed(key) : Effect.fail(unreadable(what))
      )
    }

    // what failed is asked for again the next time
    const lifetime = (exit: Exit.Exit<unknown, unknown>) => (Exit.isSuccess(exit) ? timeToLive : 0)
    const written = yield* Cache.makeWith(generate, { capacity, timeToLive: lifetime })
    const read = yield* Cache.makeWith(decrypt, { capacity, timeToLive: lifetime })

    const current = (context: KeyContext): Effect.Effect<DataKey, PayloadFailed> => {
      const share = shareOf(context)
      return Effect.flatMap(Cache.get(written, share), (used) =>
        used.uses++ === 0 || used.uses <= maxUses // each is used once, whatever the limit is
          ? Effect.succeed(used)
          : Effect.andThen(
              // unless another payload was faster
              Cache.invalidateWhen(written, share, (known) => known === used),
              Effect.suspend(() => current(context))
            )
      )
    }
    return {
      current,
      get: (id, context) => Cache.get(read, JSON.stringify({ id, share: shareOf(context) }))
    }
  })

const unreadable = (what: string) =>
  new PayloadFailed({ problem: "unavailable", reason: `${what} gave an answer without a key of 32 bytes.` })

/**
 * Data keys of AWS KMS, made and read by your own client: nothing of `@aws-sdk/client-kms` is loaded by this library.
 *
 * **Details**
 *
 * A data key writes up to `maxUses` payloads, or for `timeToLive`, whichever ends first, and is kept in memory for as
 * long. So a call of KMS is made once in five minutes per sandbox for writing, and once per data key for reading, not
 * once per payload. KMS keys are rotated by KMS itself, or by another `keyId`: records name the key that they need. Grant
 * `kms:GenerateDataKey` and `kms:Decrypt` on your keys only: who can write records could otherwise name a key of theirs.
 *
 * Where KMS cannot be reached the call is made again three times, then the invocation ends and Lambda invokes again.
 *
 * **Example** (With the client of AWS)
 *
 * ```ts no-check
 * import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from "@aws-sdk/client-kms"
 * import { KeyProviderKms } from "effect-durable-lambda"
 *
 * export const keys = KeyProviderKms.layer({
 *   client: new KMSClient({}),
 *   GenerateDataKeyCommand,
 *   DecryptCommand,
 *   keyId: "alias/payloads",
 *   encryptionContext: { service: "orders" }
 * })
 * ```
 */
export const layer = (options: Options): Layer.Layer<KeyProvider> => Layer.effect(KeyProvider, make(options))
