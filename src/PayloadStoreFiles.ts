/**
 * Payloads in a folder that all sandboxes share: EFS, or S3 Files.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { PayloadFailed, type PayloadProblem } from "./DurableError.ts"
import { missing, PayloadStore } from "./PayloadStore.ts"

const PROBLEMS: Readonly<Record<string, PayloadProblem>> = {
  EACCES: "denied",
  EPERM: "denied",
  EROFS: "denied",
  ENAMETOOLONG: "denied",
  ENOTDIR: "missing",
  ENOENT: "missing"
}

const failed = (what: string, file: string) => (cause: unknown) => {
  const { code = "" } = cause as NodeJS.ErrnoException
  const problem = Object.hasOwn(PROBLEMS, code) ? PROBLEMS[code]! : "unavailable"
  return problem === "missing" && what === "read"
    ? missing(file)
    : new PayloadFailed({
        problem,
        reason: `${file} could not be ${what} (${String(cause)}). See that the file system is mounted, has room, and lets this user in.`
      })
}

/** No key of a claim check leads out of the folder. Who else uses the store may have made one of what a stranger gave. */
const within = <A>(key: string, effect: Effect.Effect<A, PayloadFailed>): Effect.Effect<A, PayloadFailed> =>
  /(?:^|[/\\])\.\.?(?:$|[/\\])|\0/.test(key)
    ? Effect.fail(
        new PayloadFailed({
          problem: "denied",
          reason: `the key ${JSON.stringify(key)} leads out of the payload store's folder.`
        })
      )
    : effect

/** On the disk when it succeeds, and never there by half: readers see the old file or the new one. */
const write = (file: string, bytes: Uint8Array): Effect.Effect<void, unknown> => {
  const folder = path.dirname(file)
  // two sandboxes may write the same file at once. Not Effect's randomness, which repeats on purpose
  const draft = `${file}.${randomBytes(6).toString("hex")}.tmp`
  const whole = Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(draft, "wx", 0o600)),
    (handle) =>
      Effect.tryPromise(() => handle.writeFile(bytes)).pipe(Effect.andThen(Effect.tryPromise(() => handle.sync()))),
    (handle) => Effect.promise(() => handle.close())
  )
  return Effect.tryPromise(() => fs.mkdir(folder, { recursive: true, mode: 0o700 })).pipe(
    Effect.andThen(whole),
    Effect.andThen(Effect.tryPromise(() => fs.rename(draft, file))),
    Effect.onError(() => Effect.ignore(Effect.tryPromise(() => fs.rm(draft, { force: true })))),
    Effect.mapError((error) => error.cause)
  )
}

/**
 * Payloads as files below a folder, by function, execution, operation and content, readable by their owner only.
 *
 * The folder must be shared by all sandboxes and outlive them: EFS, or S3 Files. `/tmp` is neither:
 * an execution that goes on in another sandbox would not find what it has stored. Nothing is ever deleted here: see the
 * guide on payloads for how to clean up.
 *
 * **Example** (On EFS)
 *
 * ```ts
 * import { PayloadStoreFiles, SerdesClaimCheck, SerdesStack } from "effect-durable-lambda"
 * import { Layer } from "effect"
 *
 * export const layer = SerdesStack.layer([SerdesClaimCheck.claimCheck()]).pipe(
 *   Layer.provide(PayloadStoreFiles.layer("/mnt/efs/payloads"))
 * )
 * ```
 */
export const layer = (folder: string): Layer.Layer<PayloadStore> =>
  Layer.sync(PayloadStore, () => {
    const locate = (key: string) => path.join(folder, ...key.split("/"))
    return {
      locate,
      put: (key, bytes) => within(key, Effect.mapError(write(locate(key), bytes), failed("written", locate(key)))),
      get: (key) =>
        within(
          key,
          Effect.tryPromise({
            try: (signal) => fs.readFile(locate(key), { signal }),
            catch: failed("read", locate(key))
          })
        )
    }
  })
