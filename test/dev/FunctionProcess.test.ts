import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { SANDBOX } from "../../src/dev/bootstrap.ts"
import * as FunctionProcess from "../../src/dev/FunctionProcess.ts"
import type * as Server from "../../src/dev/Server.ts"
import type * as Engine from "../../src/engine/Engine.ts"
import * as kit from "./kit.ts"
import * as runtime from "./runtime.kit.ts"

const live = (name: string, test: () => Effect.Effect<unknown, unknown, Engine.Engine | Server.Server | Scope.Scope>) =>
  it.live(name, () => Effect.provide(Effect.scoped(test()), kit.layer()))

describe("FunctionProcess: a handler's world", () => {
  live("is that of Lambda", () =>
    Effect.gen(function* () {
      const { call } = yield* runtime.servePlain(["echo"], {
        timeoutSeconds: 30,
        memoryMegabytes: 512,
        env: { CUSTOM: "mine", AWS_REGION: "eu-north-1", AWS_LAMBDA_FUNCTION_NAME: "never" }
      })
      const { context, env, event, remaining } = (yield* call("echo", { a: [1, "ü"] })) as any
      assert.deepStrictEqual(event, { a: [1, "ü"] })
      assert.isTrue(remaining > 20_000 && remaining <= 30_000, String(remaining))
      assert.match(context.awsRequestId, /^[0-9a-f-]{36}$/)
      assert.deepInclude(context, {
        functionName: "echo",
        functionVersion: "$LATEST",
        invokedFunctionArn: "arn:aws:lambda:us-east-1:123456789012:function:echo:$LATEST",
        memoryLimitInMB: "512",
        logGroupName: "/aws/lambda/echo",
        callbackWaitsForEmptyEventLoop: true
      })
      assert.deepInclude(env, {
        AWS_LAMBDA_FUNCTION_NAME: "echo",
        AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "512",
        AWS_REGION: "eu-north-1",
        AWS_DEFAULT_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "local",
        _HANDLER: "test/dev/fixtures/plain.echo",
        LAMBDA_TASK_ROOT: process.cwd(),
        TZ: "UTC",
        CUSTOM: "mine"
      })
      assert.match(env.AWS_LAMBDA_RUNTIME_API, /^127\.0\.0\.1:\d+$/)
      assert.match(env.AWS_ENDPOINT_URL_LAMBDA, /^http:\/\/127\.0\.0\.1:\d+$/)
      assert.match(env._X_AMZN_TRACE_ID, /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$/)
    })
  )

  live("has no real credentials in it", () =>
    Effect.gen(function* () {
      process.env.AWS_PROFILE = "production"
      const { call } = yield* runtime.servePlain(["echo"])
      const { env } = (yield* call("echo")) as any
      delete process.env.AWS_PROFILE
      assert.notProperty(env, "AWS_PROFILE")
    })
  )

  live("takes handlers with callbacks, and values that are no promises", () =>
    Effect.gen(function* () {
      const { call } = yield* runtime.servePlain(["callback", "failed", "pid", "nothing", "neverCalls"])
      assert.deepStrictEqual(yield* call("callback", 1), { called: 1 })
      assert.deepStrictEqual(yield* runtime.failure(call("failed")), ["RangeError", "by callback"])
      assert.isNumber(yield* call("pid"))
      assert.isNull(yield* call("nothing"))
      assert.isNull(yield* call("neverCalls"))
    })
  )

  live("only its own process may ask", () =>
    Effect.gen(function* () {
      const { call } = yield* runtime.servePlain(["echo"])
      const { env } = (yield* call("echo")) as any
      const url = `http://${env.AWS_LAMBDA_RUNTIME_API}`
      const next = "/2018-06-01/runtime/invocation/next"
      assert.strictEqual((yield* kit.request(url, "GET", next, { headers: { host: "evil.example" } })).status, 403)
      const origin = { host: env.AWS_LAMBDA_RUNTIME_API, origin: "http://evil.example" }
      assert.strictEqual((yield* kit.request(url, "GET", next, { headers: origin })).status, 403)
      const response = yield* kit.request(url, "POST", "/2018-06-01/runtime/invocation/other/response", { body: "1" })
      assert.deepStrictEqual([response.status, response.json.errorType], [400, "InvalidRequestID"])
      assert.strictEqual((yield* kit.request(url, "DELETE", "/2018-06-01/runtime/any")).status, 404)
    })
  )
})

describe("FunctionProcess: failures", () => {
  const failures: ReadonlyArray<readonly [name: string, payload: unknown, type: string, message: RegExp]> = [
    ["throws", null, "TypeError", /^thrown$/],
    ["throwsText", null, "string", /^just text$/],
    ["exits", { status: 3 }, "Runtime.ExitError", /^Error: Runtime exited with error: exit status 3$/],
    ["exits", { status: 0 }, "Runtime.ExitError", /^Error: Runtime exited without providing a reason$/],
    ["killed", null, "Runtime.ExitError", /^Error: Runtime exited with error: signal: killed$/],
    ["uncaught", null, "SyntaxError", /^out of nowhere$/],
    ["rejects", null, "Runtime.UnhandledPromiseRejection", /^URIError: nobody waits for it$/],
    ["forgets", null, "Runtime.NodeJsExit", /a Promise that was never settled/],
    ["cyclic", null, "Runtime.MarshalError", /^Unable to stringify response body: TypeError: Converting circular/],
    ["bigint", null, "Runtime.MarshalError", /BigInt/]
  ]
  live("have the names and texts of Lambda", () =>
    Effect.gen(function* () {
      const { call, events } = yield* runtime.servePlain([...new Set(failures.map(([name]) => name))])
      const results = yield* Effect.forEach(failures, ([name, payload]) => runtime.failure(call(name, payload)), {
        concurrency: 3
      })
      failures.forEach(([name, , type, message], index) => {
        const [errorType, reason] = results[index]!
        assert.strictEqual(errorType, type, name)
        assert.match(String(reason), message)
      })
      // the stack says where
      assert.match(events.lines().join("\n"), /TypeError: thrown\n.*plain\.mjs/)
    })
  )

  live("an error that the handler throws leaves the process as it is, an exit does not", () =>
    Effect.gen(function* () {
      const { call, events } = yield* runtime.servePlain(["throws", "exits"])
      yield* Effect.flip(call("throws"))
      yield* Effect.flip(call("throws"))
      yield* Effect.flip(call("exits", { status: 1 }))
      yield* Effect.flip(call("exits", { status: 1 }))
      const reused = events.all("Invoked").map(({ functionName, reused }) => [functionName, reused])
      assert.deepStrictEqual(reused, [
        ["throws", false],
        ["throws", true],
        ["exits", false],
        ["exits", false]
      ])
    })
  )

  for (const name of ["hangs", "spins"]) {
    live(`what takes too long is killed: ${name}`, () =>
      Effect.gen(function* () {
        const { call, events } = yield* runtime.servePlain([name], { timeoutSeconds: 1 })
        assert.deepStrictEqual(yield* runtime.failure(call(name)), [
          "Sandbox.Timedout",
          "Error: Task timed out after 1.00 seconds"
        ])
        const pid = events.all("ProcessStarted")[0]!.pid
        assert.isFalse(runtime.isRunning(pid))
        const { reason } = yield* events.event("ProcessEnded")
        assert.strictEqual(reason, "Error: Runtime exited with error: signal: killed")
      })
    )
  }

  live("what the caller gives up is killed", () =>
    Effect.gen(function* () {
      const { call, events } = yield* runtime.servePlain(["spins"])
      const pid = yield* Effect.raceFirst(call("spins"), runtime.said(events, "spinning"))
      assert.isFalse(runtime.isRunning(Number(pid)))
    })
  )
})

describe("FunctionProcess: payloads and output", () => {
  live("six megabytes each way, and not more back", () =>
    Effect.gen(function* () {
      const { call } = yield* runtime.servePlain(["text", "length"])
      assert.strictEqual(yield* call("length", { text: "ü".repeat(3_000_000) }), 3_000_000)
      assert.strictEqual(((yield* call("text", { length: 6_291_554 })) as string).length, 6_291_554)
      assert.deepStrictEqual(yield* runtime.failure(call("text", { length: 6_291_555 })), [
        "Function.ResponseSizeTooLarge",
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
      ])
      assert.strictEqual(((yield* call("text", { length: 1 })) as string).length, 1)
    })
  )

  live("lines belong to their invocation, whatever is in them", () =>
    Effect.gen(function* () {
      const { call, events } = yield* runtime.servePlain(["writes"])
      yield* call("writes")
      yield* call("writes")
      const [first, second] = events.all("Invoked").map(({ requestId }) => requestId)
      for (const requestId of [first, second]) {
        const lines = events.all("Line").filter((line) => line.requestId === requestId)
        const of = (stream: string) => lines.filter((line) => line.stream === stream).map(({ text }) => text)
        assert.deepStrictEqual(of("stderr"), ["err"])
        const [out, ...rest] = of("stdout")
        assert.strictEqual(out, "out")
        assert.deepStrictEqual(rest.slice(0, 4), ["two", "lines", "no end\ufffd\ufffd", "\u001b[31mred\u0000"])
        const endless = rest.slice(4)
        assert.isAtLeast(endless.length, 4)
        assert.isTrue(endless.every((piece) => piece.length <= 64 * 1024))
        assert.strictEqual(endless.join(""), "y".repeat(200_000))
      }
    })
  )
})

describe("FunctionProcess: one for each invocation", () => {
  live("one that is free is used again, one that is busy is not", () =>
    Effect.gen(function* () {
      const folder = yield* runtime.folder
      const { call, events } = yield* runtime.servePlain(["waits"], { concurrency: 2 })
      const files = ["a", "b", "c"].map((name) => path.join(folder, name))
      const calls = yield* Effect.forEach(files, (file) => Effect.forkChild(call("waits", { file })))
      const [a, b] = yield* Effect.all([
        events.event("Line"),
        events.event("Line", ({ pid }) => pid !== events.all("Line")[0]?.pid)
      ])
      // two run, the third waits for one of them
      assert.lengthOf(events.all("Invoked"), 2)
      fs.writeFileSync(files[0]!, "")
      const reused = yield* events.event("Invoked", (event) => event.reused)
      assert.include([a.pid, b.pid], reused.pid)
      fs.writeFileSync(files[1]!, "")
      fs.writeFileSync(files[2]!, "")
      const pids = yield* Effect.forEach(calls, Fiber.join)
      assert.deepStrictEqual([pids[0], pids[2]], [reused.pid, reused.pid])
      assert.notStrictEqual(pids[1], pids[0])
      assert.lengthOf(events.all("ProcessStarted"), 2)
    })
  )
})

describe("FunctionProcess: one that is over", () => {
  it.live("is not signalled any more: its number may be another's", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { ended, pid } = yield* Scope.provide(
        FunctionProcess.make({
          functionName: "gone",
          file: path.join(import.meta.dirname, "fixtures/nowhere.ts"),
          exported: "handler",
          region: "us-east-1",
          memoryMegabytes: 128,
          env: runtime.env,
          line: () => {},
          loaded: () => {},
          failed: () => {},
          ended: () => {}
        }),
        scope
      )
      yield* ended
      const kill = vi.spyOn(process, "kill")
      yield* Scope.close(scope, Exit.void)
      const signalled = kill.mock.calls.filter(([to]) => Math.abs(to) === pid)
      kill.mockRestore()
      assert.isAbove(pid, 0)
      assert.deepStrictEqual(signalled, [])
    })
  )
})

describe("FunctionProcess: one whose parent is gone", () => {
  // That a pipe has closed is noticed in another thread: whichever comes first, nothing stays behind.
  it.live("does not leave behind what it has started when it notices by the Runtime API", () =>
    Effect.gen(function* () {
      let asked = 0
      const api = http.createServer((request, response) => {
        if (request.url?.endsWith("/invocation/next") !== true) return void response.writeHead(202).end()
        if (asked++ > 0) return void api.close().closeAllConnections()
        response
          .writeHead(200, { "Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": "9e12" })
          .end("null")
      })
      yield* Effect.callback<void>((resume) => void api.listen(0, "127.0.0.1", () => resume(Effect.void)))
      const child = spawn(
        process.execPath,
        [path.join(import.meta.dirname, "../../src/dev/bootstrap.ts"), SANDBOX, runtime.fixture("plain.mjs"), "leaves"],
        {
          stdio: ["ignore", "pipe", "ignore", "pipe"],
          detached: true,
          env: {
            ...process.env,
            ...runtime.env,
            AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${(api.address() as AddressInfo).port}`
          }
        }
      )
      const left = yield* Effect.callback<number>((resume) => {
        child.stdout?.on("data", (chunk) => resume(Effect.succeed(Number(/left (\d+)/.exec(String(chunk))?.[1]))))
      })
      yield* runtime.gone(child.pid!)
      yield* runtime.gone(left)
    })
  )
})
