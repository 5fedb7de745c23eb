/**
 * AES-256-GCM with the key's id in what it gives:
 *
 *     version 1 | check of the key 4 | nonce 12 | tag 16 | length of the id 2 | id | ciphertext
 *
 * The check tells a wrong key from a damaged text.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { PayloadFailed } from "../DurableError.ts"
import type { DataKey, KeyContext, KeyProvider } from "../KeyProvider.ts"

const ALGORITHM = "aes-256-gcm"
const VERSION = 1
const CHECK = 4
const NONCE = 12
const TAG = 16
const FIXED = 1 + CHECK + NONCE + TAG + 2
const MAX_ID = 65_535

const checkOf = (key: Uint8Array): Buffer =>
  createHmac("sha256", key).update("effect-durable-lambda: check of a key").digest().subarray(0, CHECK)

const authenticated = (aad: string, id: Uint8Array): Buffer => Buffer.concat([Buffer.from(`${aad}\n`), id])

/** Encrypts. Only under the same `aad` it can be opened again. */
export const seal = (key: DataKey, plain: Uint8Array, aad: string): Effect.Effect<Uint8Array, PayloadFailed> =>
  Effect.try({
    try: () => sealed(key, plain, aad),
    catch: (error) =>
      new PayloadFailed({
        problem: "wrong-key",
        reason: `the KeyProvider gave a key that AES-256 cannot use: ${String(error)}.`
      })
  })

const sealed = ({ id, key }: DataKey, plain: Uint8Array, aad: string): Uint8Array => {
  const name = Buffer.from(id)
  if (name.length > MAX_ID) throw new Error(`its id has ${name.length} bytes, it can have ${MAX_ID}`)
  // the system's randomness, not Effect's, which repeats on purpose: a nonce that repeats gives the key away
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(authenticated(aad, name))
  const text = Buffer.concat([cipher.update(plain), cipher.final()])
  const length = Buffer.alloc(2)
  length.writeUInt16BE(name.length)
  return Buffer.concat([Buffer.of(VERSION), checkOf(key), nonce, cipher.getAuthTag(), length, name, text])
}

interface Sealed {
  readonly check: Uint8Array
  readonly nonce: Uint8Array
  readonly tag: Uint8Array
  readonly id: Uint8Array
  readonly text: Uint8Array
}

const parse = (bytes: Uint8Array): Sealed | undefined => {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (all.length < FIXED || all[0] !== VERSION) return undefined
  const end = FIXED + all.readUInt16BE(FIXED - 2)
  if (all.length < end) return undefined
  let at = 1
  const take = (length: number) => all.subarray(at, (at += length))
  return {
    check: take(CHECK),
    nonce: take(NONCE),
    tag: take(TAG),
    id: all.subarray(FIXED, end),
    text: all.subarray(end)
  }
}

/** Decrypts what was sealed under the same `aad`. `altered` says what it means when it was not. */
export const open = (
  keys: KeyProvider["Service"],
  bytes: Uint8Array,
  aad: string,
  context: KeyContext,
  altered: string
): Effect.Effect<Uint8Array, PayloadFailed> =>
  Effect.suspend(() => {
    const sealed = parse(bytes)
    if (sealed === undefined) {
      return Effect.fail(new PayloadFailed({ problem: "corrupt", reason: "it is not what this layer writes." }))
    }
    const id = Buffer.from(sealed.id).toString()
    return Effect.flatMap(keys.get(id, context), (key) => {
      if (key.length !== 32 || !timingSafeEqual(checkOf(key), sealed.check)) {
        return Effect.fail(
          new PayloadFailed({
            problem: "wrong-key",
            reason:
              `the key "${id.slice(0, 200)}" is not the one that it was encrypted with. Give the KeyProvider the key of ` +
              "that time under this id, and new keys an id of their own."
          })
        )
      }
      const opened = Result.try(() => {
        const decipher = createDecipheriv(ALGORITHM, key, sealed.nonce, { authTagLength: TAG })
        decipher.setAAD(authenticated(aad, sealed.id)).setAuthTag(sealed.tag)
        return Buffer.concat([decipher.update(sealed.text), decipher.final()])
      })
      return Result.isSuccess(opened)
        ? Effect.succeed(opened.success)
        : Effect.fail(new PayloadFailed({ problem: "corrupt", reason: altered }))
    })
  })
