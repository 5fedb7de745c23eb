/**
 * Where payloads are kept that are too large for their records.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PayloadFailed } from "./DurableError.ts"

/**
 * Keeps bytes by key, for `SerdesClaimCheck`. Keys are paths with `/`, of `[a-zA-Z0-9-_.!~*'()%]`, and say what is
 * stored: the same key is only ever written with the same bytes, so writing it again changes nothing.
 *
 * `layerMemory` is for tests, `PayloadStoreFiles.layer` for a mounted file system, `PayloadStoreS3.layer` for S3.
 *
 * **Example** (A store of your own)
 *
 * ```ts
 * import { DurableError, PayloadStore } from "effect-durable-lambda"
 * import { Effect, Layer } from "effect"
 *
 * declare const table: {
 *   readonly write: (key: string, bytes: Uint8Array) => Promise<void>
 *   readonly read: (key: string) => Promise<Uint8Array | undefined>
 * }
 *
 * const failed = (error: unknown) => new DurableError.PayloadFailed({ problem: "unavailable", reason: String(error) })
 *
 * export const layer = Layer.succeed(PayloadStore.PayloadStore, {
 *   locate: (key) => `table:${key}`,
 *   put: (key, bytes) => Effect.tryPromise({ try: () => table.write(key, bytes), catch: failed }),
 *   get: (key) =>
 *     Effect.tryPromise({ try: () => table.read(key), catch: failed }).pipe(
 *       Effect.flatMap((bytes) =>
 *         bytes === undefined ? Effect.fail(PayloadStore.missing(`table:${key}`)) : Effect.succeed(bytes)
 *       )
 *     )
 * })
 * ```
 */
export class PayloadStore extends Context.Service<
  PayloadStore,
  {
    /** Where a key is, for people: `s3://bucket/key`. */
    readonly locate: (key: string) => string
    /** Stored when it succeeds: whatever happens to this process, `get` finds it. */
    readonly put: (key: string, bytes: Uint8Array) => Effect.Effect<void, PayloadFailed>
    /** Fails with `"missing"` when there is nothing. */
    readonly get: (key: string) => Effect.Effect<Uint8Array, PayloadFailed>
  }
>()("effect-durable-lambda/PayloadStore") {}

/** What is not there, where, and what to do. */
export const missing = (location: string): PayloadFailed =>
  new PayloadFailed({
    problem: "missing",
    reason:
      `there is nothing at ${location}. Restore it, and keep what is stored for as long as executions run and are ` +
      "retained (at least the execution timeout and the retention period)."
  })

/**
 * A store on a map that you can look into.
 *
 * **Example** (What a test has stored)
 *
 * ```ts
 * import { PayloadStore } from "effect-durable-lambda"
 * import { Layer } from "effect"
 *
 * export const objects = new Map<string, Uint8Array>()
 * export const store = Layer.succeed(PayloadStore.PayloadStore, PayloadStore.makeMemory(objects))
 * ```
 */
export const makeMemory = (objects: Map<string, Uint8Array> = new Map()): PayloadStore["Service"] => ({
  locate: (key) => `memory:${key}`,
  put: (key, bytes) =>
    Effect.sync(() => {
      objects.set(key, Uint8Array.from(bytes))
    }),
  get: (key) =>
    Effect.suspend(() => {
      const bytes = objects.get(key)
      return bytes === undefined ? Effect.fail(missing(`memory:${key}`)) : Effect.succeed(bytes)
    })
})

/** A store in this process, for tests: what it holds is gone with it. */
export const layerMemory: Layer.Layer<PayloadStore> = Layer.sync(PayloadStore, () => makeMemory())
