import { assert, describe, it } from "@effect/vitest"
import {
  type DurableError,
  PayloadStore,
  PayloadStoreFiles,
  PayloadStoreS3,
  SerdesClaimCheck,
  SerdesStack
} from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as kit from "./kit.ts"
import { awsError, context, fakeS3, patiently, refusal } from "./kit.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "payloads-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

const storeOf = (layer: Layer.Layer<PayloadStore.PayloadStore>) =>
  Effect.provide(
    Effect.map(PayloadStore.PayloadStore, (store) => store),
    layer
  )

const bytes = Buffer.from("payload")

const contract = (name: string, make: Effect.Effect<Layer.Layer<PayloadStore.PayloadStore>, never, any>) => {
  it.effect(
    `${name}: what is put is got, again and again, also by another sandbox`,
    () =>
      Effect.gen(function* () {
        const layer = yield* make
        const store = yield* storeOf(layer)
        const key = "orders/a%2Eb/0af1/op_-1/result-00ff.bin"
        assert.match((yield* refusal(store.get(key))).reason, /op_-1\/result-00ff\.bin/)
        assert.strictEqual((yield* refusal(store.get(key))).problem, "missing")
        yield* store.put(key, bytes)
        yield* Effect.all([store.put(key, bytes), store.put(key, bytes)], { concurrency: "unbounded" })
        yield* store.put(`${key}.bin`, Uint8Array.of())
        assert.deepStrictEqual(Buffer.from(yield* store.get(key)), bytes)
        assert.strictEqual((yield* store.get(`${key}.bin`)).length, 0)
      }).pipe(Effect.scoped) as Effect.Effect<void>
  )
}

describe("PayloadStore", () => {
  contract("memory", Effect.succeed(PayloadStore.layerMemory))
  contract(
    "files",
    Effect.map(folder, (folder) => PayloadStoreFiles.layer(path.join(folder, "deep", "er")))
  )
  contract(
    "S3",
    Effect.sync(() => PayloadStoreS3.layer(fakeS3().options))
  )

  it.effect("files: whole, and their owner's only", () =>
    Effect.gen(function* () {
      const home = yield* folder
      const store = yield* storeOf(PayloadStoreFiles.layer(home))
      yield* store.put("a/b/c.bin", bytes)
      const all = fs.readdirSync(home, { recursive: true }).map(String).sort()
      assert.deepStrictEqual(all, ["a", "a/b", "a/b/c.bin"])
      assert.strictEqual(fs.statSync(path.join(home, "a/b/c.bin")).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(path.join(home, "a")).mode & 0o777, 0o700)
      assert.strictEqual(store.locate("a/b/c.bin"), path.join(home, "a/b/c.bin"))
    }).pipe(Effect.scoped)
  )

  it.effect("files: what the file system says", () =>
    Effect.gen(function* () {
      const home = yield* folder
      const store = yield* storeOf(PayloadStoreFiles.layer(home))
      fs.writeFileSync(path.join(home, "file"), "")
      fs.mkdirSync(path.join(home, "folder"))
      const fails: ReadonlyArray<
        readonly [Effect.Effect<unknown, DurableError.PayloadFailed>, DurableError.PayloadProblem, RegExp]
      > = [
        [store.put("file/x.bin", bytes), "unavailable", /could not be written \(.*See that the file system is mounted/],
        [store.get("file/x.bin"), "missing", /there is nothing at /],
        [store.get("folder"), "unavailable", /could not be read \(.*EISDIR/],
        [store.put("folder", bytes), "unavailable", /could not be written/],
        [store.put(`${"x".repeat(300)}.bin`, bytes), "denied", /ENAMETOOLONG/]
      ]
      for (const [effect, problem, reason] of fails) {
        const failed = yield* refusal(effect)
        assert.match(failed.reason, reason)
        assert.strictEqual(failed.problem, problem, failed.reason)
      }
      assert.deepStrictEqual(
        fs.readdirSync(home, { recursive: true }).map(String).sort(),
        ["file", "folder"],
        "drafts are gone"
      )
    }).pipe(Effect.scoped)
  )

  it.effect("files: no key leads out of the folder", () =>
    Effect.gen(function* () {
      const home = yield* folder
      const store = yield* storeOf(PayloadStoreFiles.layer(path.join(home, "in")))
      fs.writeFileSync(path.join(home, "secret.json"), "secret")
      for (const key of ["../secret.json", "a/../../secret.json", "..", "a/..", "./a", "a\\..\\b", "a\0b"]) {
        for (const effect of [store.get(key), store.put(key, bytes)]) {
          const { problem, reason } = yield* refusal<unknown>(effect)
          assert.strictEqual(problem, "denied")
          assert.include(reason, `the key ${JSON.stringify(key)} leads out of`)
        }
      }
      assert.strictEqual(fs.readFileSync(path.join(home, "secret.json"), "utf8"), "secret")
      yield* store.put("a..b/..c/d...json", bytes)
      assert.deepStrictEqual(Buffer.from(yield* store.get("a..b/..c/d...json")), bytes)
    }).pipe(Effect.scoped)
  )

  it.effect("S3: the shapes of AWS, with the fields of your own", () =>
    Effect.gen(function* () {
      const { calls, objects, options } = fakeS3()
      const store = yield* storeOf(
        PayloadStoreS3.layer({
          ...options,
          prefix: "durable/",
          put: { ServerSideEncryption: "aws:kms", ExpectedBucketOwner: "1" },
          get: { ExpectedBucketOwner: "1" }
        })
      )
      yield* store.put("a/b.json", bytes)
      yield* store.get("a/b.json")
      assert.deepStrictEqual(calls, [
        [
          "PutObject",
          {
            ServerSideEncryption: "aws:kms",
            ExpectedBucketOwner: "1",
            Bucket: "payloads",
            Key: "durable/a/b.json",
            Body: bytes,
            ContentType: "application/json",
            ChecksumSHA256: "I59Z7VXnN8dxR89VrQwbAwttfudIp0JpUvm4UtWpNeU="
          }
        ],
        ["GetObject", { ExpectedBucketOwner: "1", Bucket: "payloads", Key: "durable/a/b.json" }]
      ])
      assert.strictEqual(store.locate("a/b.json"), "s3://payloads/durable/a/b.json")
      yield* store.put("a/b.bin", bytes)
      assert.strictEqual(calls.at(-1)![1].ContentType, "application/octet-stream")
      assert.deepStrictEqual([...objects.keys()], ["durable/a/b.json", "durable/a/b.bin"])
    })
  )

  it.effect("S3: each of its errors", () =>
    Effect.gen(function* () {
      const expected: ReadonlyArray<
        readonly [name: string, status: number | undefined, problem: DurableError.PayloadProblem, advice: RegExp]
      > = [
        ["AccessDenied", 403, "denied", /s3:GetObject, s3:PutObject.*Without s3:ListBucket/],
        ["InvalidObjectState", 403, "denied", /out of archives/],
        ["NoSuchBucket", 404, "missing", /Restore it/],
        ["ExpiredToken", 400, "denied", /role/],
        ["SlowDown", 503, "unavailable", /tried again/],
        ["RequestTimeout", 400, "unavailable", /tried again/],
        ["BadDigest", 400, "unavailable", /tried again/],
        ["InternalError", 500, "unavailable", /tried again/],
        ["TimeoutError", undefined, "unavailable", /tried again/]
      ]
      for (const [name, status, problem, advice] of expected) {
        const { calls, failures, options } = fakeS3()
        const store = yield* storeOf(PayloadStoreS3.layer(options))
        failures.push(...Array.from({ length: 4 }, () => awsError(name, status)))
        const failed = yield* patiently(refusal(store.put("k", bytes)))
        assert.strictEqual(failed.problem, problem, name)
        assert.strictEqual(calls.length, problem === "unavailable" ? 4 : 1, name)
        assert.match(failed.reason, advice)
        assert.include(failed.reason, `PutObject s3://payloads/k failed: ${name}: no. `)
      }
    })
  )

  it.effect("S3: a call that hangs is given up, and made again", () =>
    Effect.gen(function* () {
      const { calls, failures, options } = fakeS3()
      const store = yield* storeOf(PayloadStoreS3.layer({ ...options, timeout: "3 seconds" }))
      failures.push("hang", awsError("SlowDown", 503))
      yield* patiently(store.put("k", bytes))
      assert.strictEqual(calls.length, 3)
      failures.push("hang", "hang", "hang", "hang")
      const { problem, reason } = yield* patiently(refusal(store.get("k")))
      assert.strictEqual(problem, "unavailable")
      assert.include(reason, "GetObject s3://payloads/k failed: no answer in 3s.")
    })
  )

  it.effect("S3: an answer without a body, or with one that breaks off", () =>
    Effect.gen(function* () {
      const { options } = fakeS3()
      for (const Body of [undefined, {}, { transformToByteArray: () => Promise.reject(new Error("aborted")) }]) {
        const client = { send: () => Promise.resolve({ Body }) }
        const store = yield* storeOf(PayloadStoreS3.layer({ ...options, client, retries: 0 }))
        assert.match((yield* refusal(store.get("k"))).reason, /gave no body|aborted/)
      }
    })
  )
})

describe("SerdesClaimCheck: keys", () => {
  const stored = (executionArn: string, operationId: string) =>
    Effect.gen(function* () {
      const objects = new Map<string, Uint8Array>()
      const { decode, encode } = yield* kit.make([kit.claim], {}, objects)
      const here = { ...context, executionArn, operationId }
      const record = yield* encode('{"a":1}', here)
      assert.strictEqual(yield* encode('{"a":1}', here), record, "written again, it is the same")
      assert.strictEqual(yield* decode(record, here), '{"a":1}')
      assert.strictEqual(objects.size, 1)
      return [...objects.keys()][0]!
    })

  it.effect("by function, execution, operation, kind and content; never outside of their folder", () =>
    Effect.gen(function* () {
      const sha = "015abd7f5cc57a2dd94b7590f04ad808"
      assert.strictEqual(
        yield* stored(context.executionArn, context.operationId),
        `orders/order-7/0af1/rOcNnkw5gUQ3L0aJbTzq1w/result-${sha}.json`
      )
      for (const name of ["..", ".", "a b", "ü", "x".repeat(1_000), "a\\b", "\u0000", "\uD800"]) {
        const key = yield* stored(kit.arn(name), "../..")
        const segments = key.split("/")
        assert.strictEqual(segments.length, 5)
        for (const segment of segments) assert.match(segment, /^(?!\.\.?$)[\w\-.%!~*'()]{1,160}$/)
        assert.notInclude(segments.slice(0, 4).join(), ".")
      }
      assert.match(yield* stored("local", "op"), /^local\/op\/result-/)
    })
  )

  it.effect("another attempt with another result does not touch what the first has stored", () =>
    Effect.gen(function* () {
      const objects = new Map<string, Uint8Array>()
      const { decode, encode } = yield* kit.make([kit.encrypt, kit.claim], {}, objects)
      const first = yield* encode("first", context)
      yield* encode("second", context)
      assert.strictEqual(yield* decode(first, context), "first")
      assert.strictEqual(objects.size, 2)
    })
  )

  it.effect("a pointer that is none", () =>
    Effect.gen(function* () {
      const stage = yield* Effect.provide(SerdesClaimCheck.claimCheck(), PayloadStore.layerMemory)
      const here = { ...context, before: [], preview: undefined }
      for (const data of ["", "null", "[]", '{"key":1}', Uint8Array.of(1)]) {
        assert.match(
          (yield* refusal(stage.decode(data, here))).reason,
          /its pointer to the payload store cannot be read/
        )
      }
      const key = `elsewhere/result-${"0".repeat(32)}.json`
      const pointer = JSON.stringify({ key, sha256: "0".repeat(64), bytes: 1 })
      assert.match((yield* refusal(stage.decode(pointer, here))).reason, /belongs to another execution/)
    })
  )

  it.effect("a pointer whose digest is a path is none: nothing outside of the folder is looked at", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const store = Layer.succeed(PayloadStore.PayloadStore, {
        ...PayloadStore.makeMemory(),
        get: (key: string) => Effect.sync(() => (asked.push(key), bytes))
      })
      const stage = yield* Effect.provide(SerdesClaimCheck.claimCheck(), store)
      const here = { ...context, before: [], preview: undefined }
      const digests = [
        "/../../../../../../etc/secret",
        "../x",
        "",
        "0".repeat(63),
        `${"0".repeat(63)}G`,
        "0".repeat(65)
      ]
      for (const sha256 of digests) {
        const key = `orders/order-7/0af1/${context.operationId}/result-${sha256.slice(0, 32)}.json`
        const pointer = JSON.stringify({ key, sha256, bytes: bytes.length })
        const { problem, reason } = yield* refusal(stage.decode(pointer, here))
        assert.strictEqual(problem, "corrupt")
        assert.match(reason, /its pointer to the payload store cannot be read/)
      }
      assert.deepStrictEqual(asked, [])
    })
  )

  it.effect("in AWS's S3, and gone: where it was, and what to do", () =>
    Effect.gen(function* () {
      const { objects, options } = fakeS3()
      const { decode, encode } = yield* SerdesStack.make([kit.claim]).pipe(
        Effect.provide(PayloadStoreS3.layer(options))
      )
      const record = yield* encode('"x"', context)
      objects.clear()
      const { problem, reason } = yield* refusal(decode(record, context))
      assert.strictEqual(problem, "missing")
      assert.match(
        reason,
        /^GetObject s3:\/\/payloads\/orders\/order-7\/\S+ failed: NoSuchKey: The specified key does not exist\. Restore it/
      )
    })
  )
})
