/**
 * A stage of `SerdesStack` that encrypts.
 */
import * as Effect from "effect/Effect"
import * as Bytes from "./internal/bytes.ts"
import { open, seal } from "./internal/seal.ts"
import { KeyProvider } from "./KeyProvider.ts"
import type { Stage, StageContext } from "./SerdesStack.ts"

const NAME = "aes-256-gcm"

/** What a ciphertext is bound to: anywhere else it cannot be opened. */
const authenticated = ({ before, executionArn, kind, operationId, preview }: StageContext): string =>
  JSON.stringify([NAME, executionArn, operationId, kind, before, preview])

const ALTERED =
  "it does not authenticate: it was altered, or it was encrypted for another execution, operation or kind of payload. " +
  "Find out who can write to the records; this execution cannot go on."

/**
 * Encrypts every payload with AES-256-GCM, with a key of the `KeyProvider`, whose id stands in the record. A record is
 * bound to its execution, its operation, its kind (result, error, state), the stages before and the preview: moved to
 * another place, or changed, it is refused.
 *
 * It hides what the payloads say, not how long they are; compression before it (`SerdesGzip`) makes the length depend
 * on the content.
 *
 * **Example** (Only encrypted)
 *
 * ```ts
 * import { SerdesEncryption, SerdesStack } from "effect-durable-lambda"
 *
 * // needs a KeyProvider
 * export const layer = SerdesStack.layer([SerdesEncryption.aes256Gcm])
 * ```
 */
export const aes256Gcm: Effect.Effect<Stage, never, KeyProvider> = Effect.map(KeyProvider, (keys): Stage => ({
  name: NAME,
  required: true,
  encode: (data, context) =>
    Effect.flatMap(keys.current(context), (key) => seal(key, Bytes.toBytes(data), authenticated(context))),
  decode: (data, context) => open(keys, Bytes.toBytes(data), authenticated(context), context, ALTERED)
}))
