/**
 * Requests that nobody should send: each gets a named refusal, the server lives on, and nothing has changed.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as net from "node:net"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as raw from "../engine/raw.ts"
import * as kit from "./kit.ts"

const ARN = "arn:aws:lambda:us-east-1:123456789012:function:asking:$LATEST/durable-execution/name/id"

/** One running execution that waits for a callback, and all that is known of it. */
const running = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  yield* raw.register("asking", (durable) => durable.external(raw.start("c", "CALLBACK")))
  const arn = yield* engine.start({ functionName: "asking:$LATEST" })
  const CallbackId = yield* engine.operations(arn).pipe(
    Effect.map((all) => all.find(({ Type }) => Type === "CALLBACK")?.CallbackDetails?.CallbackId ?? ""),
    Effect.repeat({ until: (id) => id !== "", schedule: Schedule.spaced("2 millis") })
  )
  yield* engine.history(arn).pipe(
    Effect.repeat({
      until: (events) => events.some(({ EventType }) => EventType === "InvocationCompleted"),
      schedule: Schedule.spaced("2 millis")
    })
  )
  const snapshot = Effect.map(
    Effect.all([engine.describe(arn), engine.operations(arn), engine.history(arn), engine.list()]),
    (all) => JSON.stringify(all)
  )
  return { arn, CallbackId, snapshot }
})

const enc = encodeURIComponent

/** All routes, with a way to name the running execution and its callback. */
const routes = (arn: string, callbackId: string): ReadonlyArray<readonly [method: "GET" | "POST", path: string]> => [
  ["POST", `/2025-12-01/durable-executions/${enc(arn)}/checkpoint`],
  ["GET", `/2025-12-01/durable-executions/${enc(arn)}/state`],
  ["GET", `/2025-12-01/durable-executions/${enc(arn)}/history`],
  ["POST", `/2025-12-01/durable-executions/${enc(arn)}/stop`],
  ["GET", `/2025-12-01/durable-executions/${enc(arn)}`],
  ["GET", "/2025-12-01/functions/asking/durable-executions"],
  ["GET", "/2025-12-01/durable-executions"],
  ["POST", `/2025-12-01/durable-execution-callbacks/${enc(callbackId)}/succeed`],
  ["POST", `/2025-12-01/durable-execution-callbacks/${enc(callbackId)}/fail`],
  ["POST", `/2025-12-01/durable-execution-callbacks/${enc(callbackId)}/heartbeat`],
  ["POST", "/2015-03-31/functions/asking%3A%24LATEST/invocations"],
  ["POST", "/start-durable-execution"]
]

/** Bodies that no route accepts. */
const bodies: Readonly<Record<string, string | Uint8Array>> = {
  "not JSON": "{",
  "not JSON either": "undefined",
  "a lone bracket": "[",
  "not UTF-8": new Uint8Array([0x22, 0xff, 0xfe, 0x22]),
  "a null byte": "\u0000",
  "too deep and cut off": "[".repeat(200_000)
}

/** JSON of the wrong shape, for the routes that read objects. */
const shapes: Readonly<Record<string, string>> = {
  "an array": "[]",
  "a number": "1",
  null: "null",
  "a text": '"x"',
  deep: "[".repeat(100_000) + "]".repeat(100_000),
  "wrong members": '{"CheckpointToken":1,"Updates":"x","ErrorType":{},"StackTrace":"x","FunctionName":[]}',
  "wrong updates": '{"CheckpointToken":"YQ==","Updates":[null],"ErrorMessage":[],"FunctionName":{"__proto__":null}}',
  "wrong details":
    '{"CheckpointToken":"YQ==","Updates":[{"Id":"a","Type":"WAIT","Action":"START","WaitOptions":{"WaitSeconds":"1"}}],"ErrorData":7,"FunctionName":"","Input":{}}'
}

const queries = [
  "MaxItems=x",
  "MaxItems=-1",
  "MaxItems=1001",
  "MaxItems=1e3",
  "Marker=%00",
  "Marker=bm8=",
  "IncludeExecutionData=maybe"
]

const isRefusal = (answer: kit.Answer, what: string) => {
  assert.isTrue(answer.status >= 400 && answer.status < 500, `${what}: ${answer.status} ${answer.text.slice(0, 200)}`)
  const name = answer.headers["x-amzn-errortype"]
  assert.match(String(name), /^[A-Z]\w+Exception$/, what)
  assert.strictEqual(answer.json?.__type, name, what)
  assert.isString(answer.json?.message, what)
}

/** Sends text as it is, and reads until the connection is closed. */
const exchange = (port: number, text: string) =>
  Effect.callback<string>((resume) => {
    const chunks: Array<Buffer> = []
    const socket = net.connect(port, "127.0.0.1", () => socket.write(text))
    socket.on("data", (chunk) => chunks.push(chunk))
    socket.on("close", () => resume(Effect.succeed(Buffer.concat(chunks).toString())))
  })

describe("hostile requests", () => {
  it.live("wrong bodies, to every route", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const { CallbackId, arn, snapshot } = yield* running
      const before = yield* snapshot
      for (const [method, path] of routes(arn, CallbackId)) {
        if (method === "GET" || path.endsWith("/heartbeat") || path.endsWith("/succeed")) continue // read no JSON
        const all = path.endsWith("/invocations") ? bodies : { ...bodies, ...shapes }
        for (const [what, body] of Object.entries(all)) {
          isRefusal(yield* kit.request(url, method, path, { body }), `${method} ${path} with ${what}`)
        }
      }
      const notText = { body: bodies["not UTF-8"]! }
      isRefusal(yield* kit.request(url, "POST", routes(arn, CallbackId)[7]![1], notText), "a result that is not UTF-8")
      assert.strictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("bodies that are too large, announced or not, to every route", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const { CallbackId, arn, snapshot } = yield* running
      const before = yield* snapshot
      const body = JSON.stringify({ CheckpointToken: "x".repeat(200_000) })
      for (const [method, path] of routes(arn, CallbackId)) {
        if (method === "GET" || path.endsWith("/heartbeat")) continue // read no body
        for (const headers of [{ "content-length": String(body.length) }, { "transfer-encoding": "chunked" }]) {
          const answer = yield* kit.request(url, method, path, { body, headers })
          isRefusal(answer, path)
          assert.deepStrictEqual([answer.status, answer.json.__type], [413, "RequestTooLargeException"])
        }
      }
      assert.strictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(kit.layer({}, { maxBodyBytes: 100_000 })))
  )

  it.live("a body that never ends is not kept, and holds up nobody", () =>
    Effect.gen(function* () {
      const { port, url } = yield* Server.Server
      yield* running
      const answered = yield* Effect.callback<string>((resume) => {
        const socket = net.connect(port, "127.0.0.1", () => {
          socket.write(
            "POST /start-durable-execution HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
          )
          for (let i = 0; i < 200; i++) socket.write(`400\r\n${"x".repeat(0x400)}\r\n`)
        })
        socket.on("data", (data) => {
          resume(Effect.succeed(data.toString()))
          socket.destroy()
        })
      })
      assert.match(answered, /^HTTP\/1\.1 413 /)
      assert.strictEqual((yield* kit.request(url, "GET", "/health")).status, 200)
    }).pipe(Effect.provide(kit.layer({}, { maxBodyBytes: 100_000 })))
  )

  it.live("broken percent-encoding, unknown paths and methods", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const { CallbackId, arn, snapshot } = yield* running
      const before = yield* snapshot
      for (const [method, path] of routes(arn, CallbackId)) {
        const broken = path.replace(/%..|asking|(?<=\/2025-12-01\/durable-executions)$/, "%zz")
        if (broken !== path) isRefusal(yield* kit.request(url, method, broken), broken)
        const inQuery = `${path}?MaxItems=%E0%A4%A`
        isRefusal(yield* kit.request(url, method, inQuery), inQuery)
        isRefusal(yield* kit.request(url, "PATCH", path), `PATCH ${path}`)
        isRefusal(yield* kit.request(url, "DELETE", path), `DELETE ${path}`)
      }
      for (const path of [
        "/index.html",
        "//",
        "/2025-12-01",
        "/2025-12-01/durable-executions/",
        "/2025-12-01/../2015-03-31/functions/asking/invocations/..",
        "/%2e%2e/etc/passwd",
        "/2025-12-01/durable-executions/%00",
        "/2025-12-01/durable-executions/%2E%2E%2F",
        `/2025-12-01/durable-executions/${"a".repeat(5000)}`,
        "/2015-03-31/functions//invocations",
        "/2015-03-31/functions/__proto__/invocations",
        "http://evil.example/health"
      ]) {
        isRefusal(yield* kit.request(url, "GET", path), `GET ${path}`)
        isRefusal(yield* kit.request(url, "POST", path, { body: "{}" }), `POST ${path}`)
      }
      assert.strictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("unknown ids, wrong tokens, wrong members of queries", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const { CallbackId, arn, snapshot } = yield* running
      const before = yield* snapshot
      const token = (arn: string, CheckpointToken: unknown, more: object = {}) => ({
        method: "POST",
        path: `/2025-12-01/durable-executions/${enc(arn)}/checkpoint`,
        body: JSON.stringify({ CheckpointToken, Updates: [], ...more })
      })
      const state = (arn: string, token: string) => ({
        method: "GET",
        path: `/2025-12-01/durable-executions/${enc(arn)}/state${token}`
      })
      const old = Buffer.from(`${arn.split("/").at(-1)} 1 1`).toString("base64")
      const requests: ReadonlyArray<{ method: string; path: string; body?: string; name?: string }> = [
        ...["", "no base64!", "YWJj", old, "x".repeat(3000)].flatMap((one) => [
          token(arn, one),
          token(ARN, one),
          state(arn, `?CheckpointToken=${enc(one)}`)
        ]),
        token(arn, null),
        token(arn, undefined),
        token("arn:nothing", old),
        state(arn, ""),
        state(arn, `?CheckpointToken=${enc(old)}&MaxItems=x`),
        ...["bm9uZQ==", "%00", "a".repeat(2000), enc(Buffer.from(`${arn}#other`).toString("base64")), "-"].flatMap(
          (id) =>
            ["succeed", "fail", "heartbeat"].map((action) => ({
              method: "POST",
              path: `/2025-12-01/durable-execution-callbacks/${id}/${action}`
            }))
        ),
        ...routes(ARN, CallbackId)
          .slice(2, 5)
          .map(([method, path]) => ({ method, path, name: "ResourceNotFoundException" })),
        ...queries.flatMap((query) => [
          { method: "GET", path: `/2025-12-01/durable-executions/${enc(arn)}/history?${query}` },
          ...(query.startsWith("Include")
            ? []
            : [{ method: "GET", path: `/2025-12-01/functions/asking/durable-executions?${query}` }])
        ]),
        ...["Statuses=NO", "StartedAfter=yesterday", "ReverseOrder=1", "StartedBefore="].map((query) => ({
          method: "GET",
          path: `/2025-12-01/functions/asking/durable-executions?${query}`
        })),
        { method: "GET", path: "/2025-12-01/functions/nobody/durable-executions", name: "ResourceNotFoundException" },
        { method: "POST", path: "/2015-03-31/functions/nobody/invocations", name: "ResourceNotFoundException" }
      ]
      for (const { body, method, name, path } of requests) {
        const answer = yield* kit.request(url, method, path, body === undefined ? {} : { body })
        isRefusal(answer, `${method} ${path} ${body ?? ""}`)
        if (name !== undefined) assert.strictEqual(answer.json.__type, name)
      }
      for (const headers of [
        { "x-amz-invocation-type": "Maybe" },
        { "x-amz-durable-execution-name": "" },
        { "x-amz-durable-execution-name": "x".repeat(65) },
        { "x-amz-tenant-id": "a{b}" }
      ]) {
        isRefusal(
          yield* kit.request(url, "POST", "/2015-03-31/functions/asking%3A%24LATEST/invocations", { headers }),
          JSON.stringify(headers)
        )
      }
      assert.strictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("800 requests broken at random: no 5xx, no silence, nothing changed", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      const { CallbackId, arn, snapshot } = yield* running
      const before = yield* snapshot
      const all = routes(arn, CallbackId)
      const parts = [
        "%",
        "%zz",
        "/",
        "//",
        "..",
        "?",
        "&=",
        "#",
        "{",
        "}",
        "[",
        '"',
        "null",
        "-1",
        "1e999",
        "é",
        " ",
        "~"
      ]
      const below = (n: number) => Random.nextIntBetween(0, n, { halfOpen: true })
      const broken = Effect.fnUntraced(function* (text: string) {
        const at = yield* below(text.length + 1)
        const removed = yield* below(4)
        const part = parts[yield* below(parts.length)] ?? ""
        return text.slice(0, at) + part + text.slice(at + removed)
      })
      const valid = JSON.stringify({
        CheckpointToken: "YWJj",
        Updates: [{ Id: "a", Type: "STEP", Action: "SUCCEED", Payload: "1", Error: { StackTrace: ["x"] } }],
        FunctionName: "nobody"
      })
      for (let i = 0; i < 800; i++) {
        const [method, path] = all[i % all.length]!
        // the ARN or the id is always another one: nothing that is asked for exists
        const elsewhere = path.replace(/asking(%3A|\/|$)/, "nobody$1").replace(enc(CallbackId), "bm9uZQ%3D%3D")
        const target = (yield* broken(elsewhere)).replaceAll(/[ é#]/g, (char) => (i % 2 === 0 ? enc(char) : ""))
        const body = yield* broken(yield* broken(valid))
        const answer = yield* kit.request(url, method, target, method === "GET" ? {} : { body })
        const what = `${method} ${target} ${body}: ${answer.status} ${answer.text.slice(0, 200)}`
        if (method === "GET" && answer.status === 200) continue // a listing, or what was broken did not matter
        isRefusal(answer, what)
      }
      assert.strictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(kit.layer()), Random.withSeed("hostile"))
  )

  it.live("other hosts and other sites", () =>
    Effect.gen(function* () {
      const { port, url } = yield* Server.Server
      const { CallbackId, arn, snapshot } = yield* running
      const before = yield* snapshot
      const refusals: ReadonlyArray<Record<string, string>> = [
        { host: "evil.example" },
        { host: `evil.example:${port}` },
        { host: `localhost.evil.example:${port}` },
        { host: "0.0.0.0" },
        { origin: "https://evil.example" },
        { origin: "null" },
        { origin: `http://localhost:${port + 1}` },
        { "sec-fetch-site": "cross-site" }
      ]
      for (const [method, path] of routes(arn, CallbackId)) {
        for (const headers of refusals) {
          const answer = yield* kit.request(url, method, path, { headers })
          isRefusal(answer, JSON.stringify(headers))
          assert.deepStrictEqual([answer.status, answer.json.__type], [403, "AccessDeniedException"])
        }
      }
      for (const headers of [
        { host: `localhost:${port}` },
        { host: "LOCALHOST" },
        { host: `[::1]:${port}` },
        { host: `docker.example:${port}` },
        { host: `127.0.0.1:${port}`, origin: `http://127.0.0.1:${port}`, "sec-fetch-site": "same-origin" }
      ]) {
        assert.strictEqual((yield* kit.request(url, "GET", "/health", { headers })).status, 200)
      }
      assert.strictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(kit.layer({}, { allowedHosts: ["docker.example"] })))
  )

  it.live("what is not even HTTP", () =>
    Effect.gen(function* () {
      const { port, url } = yield* Server.Server
      for (const text of [
        "nonsense\r\n\r\n",
        "GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        "\u0000\u0001\u0002\r\n\r\n"
      ]) {
        const answer = yield* exchange(port, text)
        assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n[^]*x-amzn-errortype: SerializationException\r\n/)
      }
      for (const text of ["GET /health HTTP/1.0\r\n\r\n", "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n"]) {
        assert.match(yield* exchange(port, text), /^HTTP\/1\.1 403 Forbidden\r\n[^]*AccessDeniedException/)
      }
      assert.strictEqual((yield* kit.request(url, "GET", "/health")).status, 200)
    }).pipe(Effect.provide(kit.layer()))
  )

  it.live("an answer that cannot be sent ends the connection, not the server", () =>
    Effect.gen(function* () {
      const { url } = yield* Server.Server
      assert.match((yield* Effect.flip(kit.request(url, "GET", "/bad"))).message, /socket hang up/)
      assert.strictEqual((yield* kit.request(url, "GET", "/health")).status, 200)
    }).pipe(
      Effect.provide(
        kit.layer(
          {},
          {
            routes: [
              {
                method: "GET",
                path: "/bad",
                handle: () => Effect.succeed({ status: 200, headers: { "x-bad": "a\r\nb" }, body: "" })
              }
            ]
          }
        )
      ),
      Effect.provideService(Logger.CurrentLoggers, new Set<Logger.Logger<unknown, unknown>>())
    )
  )

  it.live("a route that dies is a 500 with a name, and is logged", () => {
    const logged: Array<unknown> = []
    return Effect.gen(function* () {
      const { url } = yield* Server.Server
      const answer = yield* kit.request(url, "GET", "/die")
      assert.deepStrictEqual([answer.status, answer.json.__type], [500, "ServiceException"])
      assert.notInclude(answer.text, "secret")
      assert.include(String(logged), "could not answer")
      assert.strictEqual((yield* kit.request(url, "GET", "/health")).status, 200)
    }).pipe(
      Effect.provide(kit.layer({}, { routes: [{ method: "GET", path: "/die", handle: () => Effect.die("secret") }] })),
      Effect.provideService(Logger.CurrentLoggers, new Set([Logger.make(({ message }) => void logged.push(message))]))
    )
  })
})
