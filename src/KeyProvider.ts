/**
 * Keys for payloads: which one to write with, and those that were written with before.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { PayloadFailed } from "./DurableError.ts"
import * as Bytes from "./internal/bytes.ts"

/** A key of AES-256, and what stands for it in the records. */
export interface DataKey {
  /** Enough to get the key again: a name, or the key itself encrypted by another one. At most 65,535 bytes. */
  readonly id: string
  /** 32 bytes. */
  readonly key: Uint8Array
}

/** What is known of the payload that a key is for. Fields of `Redact` belong to no execution. */
export interface KeyContext {
  readonly executionArn: string | undefined
}

/**
 * Gives keys to `SerdesEncryption` and to the fields of `Redact`. `layerStatic` has them in the program's
 * configuration, `KeyProviderKms.layer` has them made by AWS KMS.
 */
export class KeyProvider extends Context.Service<
  KeyProvider,
  {
    /** The key to write with now. */
    readonly current: (context: KeyContext) => Effect.Effect<DataKey, PayloadFailed>
    /** The key of this id. Fails with `"missing"` when there is none. */
    readonly get: (id: string, context: KeyContext) => Effect.Effect<Uint8Array, PayloadFailed>
  }
>()("effect-durable-lambda/KeyProvider") {}

/** 32 bytes, or their base64. */
export type KeyInput = Uint8Array | string | Redacted.Redacted<Uint8Array | string>

/** Options of `layerStatic`. */
export interface StaticOptions {
  /** Id of the key to write with. */
  readonly current: string
  /** All keys that records may have been written with, by id. */
  readonly keys: Readonly<Record<string, KeyInput>>
}

const KEY_BYTES = 32

const read = (id: string, input: KeyInput): Uint8Array => {
  const value = Redacted.isRedacted(input) ? Redacted.value(input) : input
  const bytes = typeof value === "string" ? (Bytes.fromBase64(value) ?? Bytes.fromBase64Url(value)) : value
  if (bytes?.length === KEY_BYTES) return bytes
  throw new Error(
    `KeyProvider.layerStatic: the key "${id}" is not ${KEY_BYTES} bytes, or their base64. Make one with ` +
      "`openssl rand -base64 32`; a password is none."
  )
}

/**
 * Keys from the program's own configuration. To rotate them, add a new one and make it `current`; take the old one out
 * when the last execution that began with it has ended and is past its retention.
 *
 * Dies while the layer is built where a key is not 32 bytes long, or `current` is none of them.
 *
 * **Example** (Rotation)
 *
 * ```ts
 * import { KeyProvider } from "effect-durable-lambda"
 * import { Config, Effect, Layer } from "effect"
 *
 * export const layer = Layer.unwrap(
 *   Effect.map(Config.all({ spring: Config.Redacted("KEY_SPRING"), autumn: Config.Redacted("KEY_AUTUMN") }), (keys) =>
 *     KeyProvider.layerStatic({ current: "autumn", keys })
 *   )
 * )
 * ```
 */
export const layerStatic = ({ current, keys }: StaticOptions): Layer.Layer<KeyProvider> =>
  Layer.effect(
    KeyProvider,
    Effect.sync(() => {
      const known = new Map(Object.entries(keys).map(([id, key]) => [id, read(id, key)]))
      const ids = [...known.keys()].map((id) => `"${id}"`).join(", ")
      const key = known.get(current)
      if (key === undefined) throw new Error(`KeyProvider.layerStatic: \`current\` is "${current}"; there are ${ids}.`)
      return {
        current: () => Effect.succeed({ id: current, key }),
        get: (id) =>
          Effect.fromResult(
            Result.fromNullishOr(
              known.get(id),
              () =>
                new PayloadFailed({
                  problem: "missing",
                  reason:
                    `it was encrypted with the key "${id}", and KeyProvider.layerStatic has ${ids}. Add the key, and ` +
                    "keep keys until the last execution that began with them has ended."
                })
            )
          )
      }
    })
  )
