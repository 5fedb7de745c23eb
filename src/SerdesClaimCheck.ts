/**
 * A stage of `SerdesStack` that keeps large payloads elsewhere, and a pointer in the record.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { hash } from "node:crypto"
import { PayloadFailed } from "./DurableError.ts"
import * as Bytes from "./internal/bytes.ts"
import { PayloadStore } from "./PayloadStore.ts"
import type { PayloadContext } from "./Serdes.ts"
import type { Data, Stage } from "./SerdesStack.ts"

/** Options of `claimCheck`. Bytes are those of the record: binary data counts as its base64. */
export interface ClaimCheckOptions {
  /** Results and states of more bytes are stored. 0: all of them. Default: 261,120 (256 KiB less 1, as AWS's SDKs). */
  readonly above?: number | undefined
  /** Data of errors of more bytes is stored; the service takes 32 KB. Default: 16,384, or `above` where that is less. */
  readonly aboveForErrors?: number | undefined
}

/** What stands in the record. */
interface Pointer {
  readonly key: string
  readonly sha256: string
  readonly bytes: number
}

const MAX_SEGMENT = 128

/** One name of a path: readable, never `.` or `..`, and short enough for any file system. */
const segment = (text: string): string => {
  const encoded = Result.getOrElse(
    Result.try(() => encodeURIComponent(text)),
    () => "" // half a character
  ).replaceAll(".", "%2E")
  return encoded.length > 0 && encoded.length <= MAX_SEGMENT ? encoded : hash("sha256", text, "hex")
}

const ARN = /^arn:[^:]*:lambda:[^:]*:[^:]*:function:([^:/]+):[^:/]+\/durable-execution\/([^/]+)\/([^/]+)$/

/**
 * Where a payload is kept: by function, execution, operation and kind, as AWS's SDKs do it, and by what it is. So what is
 * written again changes nothing, and an attempt that is not on record cannot change what another one has recorded.
 */
const keyOf = ({ executionArn, kind, operationId }: PayloadContext, sha256: string, isText: boolean): string => {
  const execution = ARN.exec(executionArn)?.slice(1) ?? [executionArn]
  const file = `${kind}-${sha256.slice(0, 32)}.${isText ? "json" : "bin"}`
  return [...execution.map(segment), segment(operationId), file].join("/")
}

const recordedBytes = (data: Data): number =>
  typeof data === "string" ? Buffer.byteLength(data) : Math.ceil(data.length / 3) * 4

const read = (data: Data): Pointer | undefined => {
  const pointer = Result.getOrUndefined(
    Result.try(() => (typeof data === "string" ? (JSON.parse(data) as Partial<Pointer> | null) : undefined))
  )
  return typeof pointer?.key === "string" && SHA256.test(String(pointer.sha256)) && typeof pointer.bytes === "number"
    ? (pointer as Pointer)
    : undefined
}

/** A part of it becomes a part of the path: what is no digest could lead anywhere. */
const SHA256 = /^[0-9a-f]{64}$/

const corrupt = (reason: string) => new PayloadFailed({ problem: "corrupt", reason })

/**
 * Keeps payloads over a size in the `PayloadStore`, and their key, length and SHA-256 in the record. The last stage of
 * its stack.
 *
 * What is stored is read again at every replay that needs it, in every invocation. It is never deleted: executions may
 * be replayed until they have ended, and looked at until their retention is over. An attempt whose process dies before
 * it is on record leaves an object behind that nothing points to.
 *
 * **Example** (Compressed, encrypted, and what is still large elsewhere)
 *
 * ```ts
 * import { PayloadStoreFiles, SerdesClaimCheck, SerdesEncryption, SerdesGzip, SerdesStack } from "effect-durable-lambda"
 * import { Layer } from "effect"
 *
 * // needs a KeyProvider
 * export const layer = SerdesStack.layer([
 *   SerdesGzip.gzip(),
 *   SerdesEncryption.aes256Gcm,
 *   SerdesClaimCheck.claimCheck({ above: 100_000 })
 * ]).pipe(Layer.provide(PayloadStoreFiles.layer("/mnt/efs/payloads")))
 * ```
 */
export const claimCheck = ({
  above = 256 * 1024 - 1024,
  aboveForErrors = Math.min(above, 16 * 1024)
}: ClaimCheckOptions = {}): Effect.Effect<Stage, never, PayloadStore> =>
  Effect.map(PayloadStore, (store): Stage => ({
    name: "claim-check",
    required: false,
    last: true,
    encode: (data, context) => {
      if (recordedBytes(data) <= (context.kind === "error" ? aboveForErrors : above)) return Effect.succeed(undefined)
      const bytes = Bytes.toBytes(data)
      const sha256 = hash("sha256", bytes, "hex")
      const key = keyOf(context, sha256, typeof data === "string")
      const pointer: Pointer = { key, sha256, bytes: bytes.length }
      return Effect.as(store.put(key, bytes), JSON.stringify(pointer))
    },
    decode: (data, context) => {
      const pointer = read(data)
      if (pointer === undefined) return Effect.fail(corrupt("its pointer to the payload store cannot be read."))
      const { bytes: length, key, sha256 } = pointer
      const isText = key.endsWith(".json")
      if (key !== keyOf(context, sha256, isText)) {
        return Effect.fail(
          corrupt(
            `it points to ${store.locate(key)}, which belongs to another execution, operation or kind of payload. ` +
              "Find out who can write to the records."
          )
        )
      }
      return Effect.flatMap(store.get(key), (bytes) => {
        const text = isText ? Bytes.toText(bytes) : bytes
        return bytes.length !== length || hash("sha256", bytes, "hex") !== sha256 || text === undefined
          ? Effect.fail(
              new PayloadFailed({
                problem: "missing",
                reason:
                  `what is stored at ${store.locate(key)} is not what was written there (${bytes.length} bytes instead of ` +
                  `${length}, or another SHA-256). Restore the object, and find out who can write there.`
              })
            )
          : Effect.succeed(text)
      })
    }
  }))
