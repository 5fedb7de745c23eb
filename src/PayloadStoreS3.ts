/**
 * Payloads in a bucket of S3, by your own client.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { hash } from "node:crypto"
import type { PayloadProblem } from "./DurableError.ts"
import { type AwsClient, call, type CallOptions, type Thrown } from "./internal/awsCall.ts"
import { PayloadStore } from "./PayloadStore.ts"

/** What `PutObjectCommand` is given, besides `put`. */
export interface PutObjectInput {
  readonly Bucket: string
  readonly Key: string
  readonly Body: Uint8Array
  readonly ContentType: string
  /** Base64. S3 compares it with what has arrived. */
  readonly ChecksumSHA256: string
}

/** What `GetObjectCommand` is given, besides `get`. */
export interface GetObjectInput {
  readonly Bucket: string
  readonly Key: string
}

/** Options of `layer`. */
export interface Options extends CallOptions {
  /** Your `S3Client`. */
  readonly client: AwsClient
  // any: the commands of AWS take inputs of their own types, of which these are a part
  /** `PutObjectCommand` of `@aws-sdk/client-s3`. */
  readonly PutObjectCommand: new (input: any) => unknown
  /** `GetObjectCommand` of `@aws-sdk/client-s3`. */
  readonly GetObjectCommand: new (input: any) => unknown
  readonly bucket: string
  /** Before all keys, for example `"payloads/"`. Default: nothing. */
  readonly prefix?: string | undefined
  /** More fields of each `PutObject`: `ServerSideEncryption`, `SSEKMSKeyId`, `StorageClass`, `ExpectedBucketOwner`, … */
  readonly put?: Readonly<Record<string, unknown>> | undefined
  /** More fields of each `GetObject`: `ExpectedBucketOwner`, … */
  readonly get?: Readonly<Record<string, unknown>> | undefined
}

const PROBLEMS: Readonly<Record<string, PayloadProblem>> = {
  NoSuchKey: "missing",
  NotFound: "missing",
  NoSuchBucket: "missing",
  AccessDenied: "denied",
  InvalidObjectState: "denied",
  RequestTimeout: "unavailable",
  SlowDown: "unavailable",
  // the bytes were changed on their way
  BadDigest: "unavailable"
}

const classify = ({ name }: Thrown): PayloadProblem | undefined =>
  Object.hasOwn(PROBLEMS, name) ? PROBLEMS[name] : undefined

const ADVICE: Readonly<Record<PayloadProblem, string>> = {
  unavailable: "It is tried again.",
  denied:
    "Let the function's role read and write there (s3:GetObject, s3:PutObject, and kms for a key of the bucket), and keep " +
    "the objects out of archives. Without s3:ListBucket, S3 also says this of an object that is not there.",
  missing:
    "Restore it, and keep what is stored for as long as executions run and are retained (at least the execution timeout and " +
    "the retention period).",
  "wrong-key": "",
  "other-layers": "",
  corrupt: ""
}

/** The body of an answer: a stream with AWS's own helper. */
const bodyOf = (what: string, answer: unknown): Promise<Uint8Array> => {
  const { Body: body } = (answer ?? {}) as {
    readonly Body?: { readonly transformToByteArray?: () => Promise<Uint8Array> }
  }
  return body?.transformToByteArray?.() ?? Promise.reject(new Error(`${what} gave no body`))
}

/**
 * Payloads as objects of a bucket, by function, execution, operation and content, written and read by your own client:
 * nothing of `@aws-sdk/client-s3` is loaded by this library.
 *
 * Every object is written with its SHA-256, which S3 checks. A call that fails for a passing reason is made again three
 * times, then the invocation ends and Lambda invokes again. Nothing is ever deleted here: give the bucket a lifecycle rule
 * that expires objects after the longest execution timeout and the retention period.
 *
 * **Example** (With the client of AWS)
 *
 * ```ts no-check
 * import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
 * import { PayloadStoreS3, SerdesClaimCheck, SerdesStack } from "effect-durable-lambda"
 * import { Layer } from "effect"
 *
 * const store = PayloadStoreS3.layer({
 *   client: new S3Client({}),
 *   PutObjectCommand,
 *   GetObjectCommand,
 *   bucket: "orders-payloads",
 *   prefix: "durable/"
 * })
 *
 * export const layer = SerdesStack.layer([SerdesClaimCheck.claimCheck()]).pipe(Layer.provide(store))
 * ```
 */
export const layer = (options: Options): Layer.Layer<PayloadStore> =>
  Layer.sync(PayloadStore, () => {
    const { bucket: Bucket, client, GetObjectCommand, prefix = "", PutObjectCommand } = options
    const locate = (key: string) => `s3://${Bucket}/${prefix}${key}`
    return {
      locate,
      put: (key, bytes) => {
        const input: PutObjectInput = {
          ...options.put,
          Bucket,
          Key: prefix + key,
          Body: bytes,
          ContentType: key.endsWith(".json") ? "application/json" : "application/octet-stream",
          ChecksumSHA256: hash("sha256", bytes, "base64")
        }
        const what = `PutObject ${locate(key)}`
        const send = (abortSignal: AbortSignal) => client.send(new PutObjectCommand(input), { abortSignal })
        return Effect.asVoid(call(what, send, classify, ADVICE, options))
      },
      get: (key) => {
        const input: GetObjectInput = { ...options.get, Bucket, Key: prefix + key }
        const what = `GetObject ${locate(key)}`
        const send = (abortSignal: AbortSignal) =>
          client.send(new GetObjectCommand(input), { abortSignal }).then((answer) => bodyOf(what, answer))
        return call(what, send, classify, ADVICE, options)
      }
    }
  })
