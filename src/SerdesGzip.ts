/**
 * A stage of `SerdesStack` that compresses.
 */
import * as Effect from "effect/Effect"
import { constants } from "node:buffer"
import * as zlib from "node:zlib"
import { PayloadFailed, type PayloadProblem } from "./DurableError.ts"
import * as Bytes from "./internal/bytes.ts"
import type { Stage } from "./SerdesStack.ts"

/** Options of `gzip`. */
export interface GzipOptions {
  /** Payloads of more bytes are compressed. Default: 1,024; fewer are not worth it. */
  readonly above?: number | undefined
  /** 1 (fast) to 9 (small). Default: 6. */
  readonly level?: number | undefined
  /**
   * Payloads of more bytes are left as they are, and records that would grow beyond it are refused, so that none can
   * fill the memory: lower it only when no execution needs what was written before. Default: 256 MiB.
   */
  readonly maxBytes?: number | undefined
}

const run = (
  start: (done: (error: Error | null, result: Uint8Array) => void) => void
): Effect.Effect<Uint8Array, Error> =>
  Effect.callback((resume) => {
    start((error, result) => resume(error === null ? Effect.succeed(result) : Effect.fail(error)))
  })

/**
 * Compresses payloads over a size, on Node's threads, so that the workflow goes on meanwhile. What does not get smaller
 * by it is left as it is.
 *
 * **Example** (Only what is large)
 *
 * ```ts
 * import { SerdesGzip, SerdesStack } from "effect-durable-lambda"
 *
 * export const layer = SerdesStack.layer([SerdesGzip.gzip({ above: 10_000 })])
 * ```
 */
export const gzip = ({
  above = 1_024,
  level = 6,
  maxBytes = 256 * 1024 * 1024
}: GzipOptions = {}): Effect.Effect<Stage> =>
  Effect.succeed({
    name: "gzip",
    required: false,
    encode: (data) => {
      const bytes = Bytes.toBytes(data)
      if (bytes.length <= above || bytes.length > maxBytes) return Effect.succeed(undefined)
      return run((done) => zlib.gzip(bytes, { level }, done)).pipe(
        Effect.map((compressed) => (compressed.length < bytes.length ? compressed : undefined)),
        Effect.mapError(({ message }) =>
          failed("unavailable", `it cannot be compressed by the layer "gzip" (${message}).`)
        )
      )
    },
    decode: (data) =>
      Effect.mapError(
        run((done) =>
          zlib.gunzip(Bytes.toBytes(data), { maxOutputLength: Math.min(maxBytes, constants.MAX_LENGTH) }, done)
        ),
        (error: NodeJS.ErrnoException) =>
          error.code === "ERR_BUFFER_TOO_LARGE"
            ? failed(
                "other-layers",
                `it has more than ${maxBytes} bytes when it is decompressed, which the layer "gzip" refuses. If that is what ` +
                  "was written, raise `maxBytes` of SerdesGzip."
              )
            : failed("corrupt", `it cannot be decompressed by the layer "gzip" (${error.message}).`)
      )
  })

const failed = (problem: PayloadProblem, reason: string) => new PayloadFailed({ problem, reason })
