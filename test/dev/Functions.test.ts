import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import * as Functions from "../../src/dev/Functions.ts"
import type * as Server from "../../src/dev/Server.ts"
import * as Durable from "../../src/Durable.ts"
import * as DurableExecutionClient from "../../src/DurableExecutionClient.ts"
import * as DurableFunction from "../../src/DurableFunction.ts"
import * as DurableHandler from "../../src/DurableHandler.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Schema from "effect/Schema"
import { errors } from "../engine/kit.ts"
import * as kit from "./kit.ts"
import * as runtime from "./runtime.kit.ts"

type Test = Effect.Effect<unknown, unknown, Engine.Engine | Server.Server | Scope.Scope>
const live = (name: string, test: () => Test, engine: Engine.Options = {}, retry = 0) =>
  it.live(name, () => Effect.provide(Effect.scoped(test()), kit.layer(engine)), { retry })

const double = { name: "double", handler: (event: number) => event * 2, durable: false }
const orders = { file: runtime.fixture("orders.ts"), env: runtime.env }

describe("Functions: durable ones", () => {
  live("a file gives a function for each handler, and they invoke each other, and survive a kill", () =>
    Effect.gen(function* () {
      const { engine, events, run, served } = yield* runtime.serve([orders, double])
      assert.deepStrictEqual(served, [
        { name: "charge", durable: true, source: `${orders.file}#charge` },
        { name: "ship-order", durable: true, source: `${orders.file}#ship` },
        { name: "double", durable: false, source: "in this process" }
      ])
      const end = yield* run("ship-order", { id: "7", crash: true })
      assert.deepStrictEqual([end.Status, end.Result, end.Error], ["SUCCEEDED", '"charge-7 sent-7 42"', undefined])
      assert.deepStrictEqual(errors(yield* engine.history(end.DurableExecutionArn)), ["Runtime.ExitError"])
      // one process was killed, the others are used again
      const started = events.all("ProcessStarted").map(({ functionName }) => functionName)
      assert.deepStrictEqual(started, ["ship-order", "charge", "ship-order"])
      assert.lengthOf(events.all("ProcessEnded"), 1)
      assert.lengthOf(new Set(events.lines().filter((line) => line.startsWith("sending "))), 2)
    })
  )

  live("a handler of AWS's SDK runs as it is", () =>
    Effect.gen(function* () {
      const charge = { ...orders, file: `${orders.file}#charge` }
      const { events, run, served } = yield* runtime.serve([{ file: runtime.fixture("aws.mjs") }, charge, double])
      assert.deepStrictEqual(
        served.map(({ name }) => name),
        ["aws", "charge", "double"]
      )
      const end = yield* run("aws", { id: "o-1" })
      const pid = events.all("ProcessStarted")[0]?.pid
      assert.deepStrictEqual(JSON.parse(end.Result ?? "null"), { pid, paid: "charge-o-1", doubled: 8, again: "o-1!" })
    })
  )

  live("a handler in this process, with the engine as its client", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
      const handler = DurableHandler.make(
        Greet,
        (name) => Durable.step("greet", Effect.succeed(`Hello, ${name} of ${process.pid}`)),
        { client: Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client) }
      )
      const { run, served } = yield* runtime.serve([{ handler }])
      assert.deepStrictEqual(served, [{ name: "greet", durable: true, source: "in this process" }])
      assert.strictEqual((yield* run("greet", "Ada")).Result, JSON.stringify(`Hello, Ada of ${process.pid}`))
    })
  )

  live(
    "an invocation that fails is tried again as often as it may be",
    () =>
      Effect.gen(function* () {
        const crashing = { file: `${runtime.fixture("plain.mjs")}#exits`, retries: 2 }
        const { engine, run } = yield* runtime.serve([crashing])
        const end = yield* run("exits", 1)
        assert.deepStrictEqual(
          [end.Status, end.Error],
          [
            "FAILED",
            { ErrorType: "Runtime.ExitError", ErrorMessage: "Error: Runtime exited without providing a reason" }
          ]
        )
        assert.lengthOf(errors(yield* engine.history(end.DurableExecutionArn)), 3)
      }),
    { retry: { retries: 1_000 } }
  )

  live("loading its code is not on a function's time", () =>
    Effect.gen(function* () {
      const { engine, run } = yield* runtime.serve([
        { file: runtime.fixture("slow.mjs"), timeoutSeconds: 3, retries: 0 }
      ])
      const end = yield* run("slow")
      assert.deepStrictEqual([end.Status, end.Result], ["SUCCEEDED", "true"])
      assert.deepStrictEqual(errors(yield* engine.history(end.DurableExecutionArn)), [])
    })
  )

  live("one that takes too long is killed, and that is on record", () =>
    Effect.gen(function* () {
      const { engine, events, run } = yield* runtime.serve([
        { file: `${runtime.fixture("plain.mjs")}#spins`, timeoutSeconds: 1, retries: 0 }
      ])
      const end = yield* run("spins")
      assert.deepStrictEqual(end.Error, {
        ErrorType: "Sandbox.Timedout",
        ErrorMessage: "Error: Task timed out after 1.00 seconds"
      })
      assert.deepStrictEqual(errors(yield* engine.history(end.DurableExecutionArn)), ["Sandbox.Timedout"])
      yield* events.event("ProcessEnded")
    })
  )
})

describe("Functions: behind a URL", () => {
  /** Answers like Lambda's Runtime Interface Emulator. */
  const emulator = Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly paths: Array<string>; readonly server: http.Server }>((resume) => {
      const paths: Array<string> = []
      const server = http.createServer((request, response) => {
        paths.push(`${request.method} ${request.url}`)
        const chunks: Array<Buffer> = []
        request.on("data", (chunk) => chunks.push(chunk))
        request.on("end", () => {
          const event = JSON.parse(Buffer.concat(chunks).toString())
          response.end(
            JSON.stringify(event === "fail" ? { errorType: "KeyError", errorMessage: "'x'" } : { got: event })
          )
        })
      })
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, paths, server }))
      )
    }),
    ({ server }) => Effect.sync(() => void server.close().closeAllConnections())
  )

  live("gets the events, and its errors are errors", () =>
    Effect.gen(function* () {
      const { paths, url } = yield* emulator
      const { call } = yield* runtime.serve([
        { name: "emulated", url, durable: false },
        { name: "elsewhere", url: `${url}/some/path`, durable: false }
      ])
      assert.deepStrictEqual(yield* call("emulated", { a: 1 }), { got: { a: 1 } })
      assert.deepStrictEqual(yield* call("elsewhere", 2), { got: 2 })
      assert.deepStrictEqual(paths, ["POST /2015-03-31/functions/function/invocations", "POST /some/path"])
      assert.deepStrictEqual(yield* runtime.failure(call("emulated", "fail")), ["KeyError", "'x'"])
    })
  )

  live("one that is not there", () =>
    Effect.gen(function* () {
      const { call } = yield* runtime.serve([{ name: "gone", url: "http://127.0.0.1:1", durable: false }])
      const [type, reason] = yield* runtime.failure(call("gone"))
      assert.strictEqual(type, "Runtime.ExitError")
      assert.match(String(reason), /ECONNREFUSED/)
    })
  )
})

describe("Functions: new code", () => {
  /** A durable function in the wire's own words, which says which text it was loaded with, and waits in between. */
  const source = (text: string) => `
    import { text } from "./text.mjs"
    export const handler = async (event) => {
      const operations = event.InitialExecutionState.Operations
      const wait = operations.find(({ Type }) => Type === "CALLBACK")
      if (wait?.Status === "SUCCEEDED") return { Status: "SUCCEEDED", Result: JSON.stringify(text + " ${text} " + process.pid) }
      const url = process.env.AWS_ENDPOINT_URL_LAMBDA
      if (wait === undefined) {
        console.log("asking")
        await fetch(url + "/2025-12-01/durable-executions/" + encodeURIComponent(event.DurableExecutionArn) + "/checkpoint", {
          method: "POST",
          body: JSON.stringify({ CheckpointToken: event.CheckpointToken, ClientToken: process.pid + "-" + Math.random(), Updates: [{ Id: "c", Type: "CALLBACK", Action: "START", Name: "c" }] })
        })
      }
      return { Status: "PENDING" }
    }
    export const kill = () => process.kill(process.pid, "SIGKILL")`

  const project = Effect.map(runtime.folder, (folder) => {
    const write = (name: string, text: string) => {
      // as editors do: a new file takes the place of the old one
      fs.writeFileSync(path.join(folder, `${name}~`), text)
      fs.renameSync(path.join(folder, `${name}~`), path.join(folder, name))
    }
    write("text.mjs", 'export const text = "old"')
    write("waiting.mjs", source("old"))
    return { folder, write, file: `${path.join(folder, "waiting.mjs")}#handler` }
  })

  const waiting = Effect.fnUntraced(function* (options: Functions.Options = {}) {
    const { file, folder, write } = yield* project
    const served = yield* runtime.serve([{ name: "waiting", file }], options)
    const { engine } = served
    /** Starts an execution, and waits until it has asked for its answer. */
    const start = Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const arn = yield* engine.start({ functionName: "waiting:$LATEST" })
      yield* engine.subscribe(({ events, execution }) => {
        if (execution.arn === arn && events.some(({ EventType }) => EventType === "InvocationCompleted")) {
          Deferred.doneUnsafe(asked, Effect.void)
        }
      })
      yield* Deferred.await(asked)
      return arn
    })
    const finish = Effect.fnUntraced(function* (arn: string) {
      const operations = yield* engine.operations(arn)
      yield* engine.succeedCallback(operations.at(-1)?.CallbackDetails?.CallbackId ?? "")
      const [text, own, pid] = JSON.parse((yield* engine.await(arn)).Result ?? "").split(" ")
      return { code: `${text} ${own}`, pid: Number(pid) }
    })
    return { ...served, start, finish, folder, write }
  })

  live("is for executions that start afterwards; the others keep theirs, even in new processes", () =>
    Effect.gen(function* () {
      const { events, finish, folder, start, write } = yield* waiting()
      const [first, second] = [yield* start, yield* start]
      write("text.mjs", 'export const text = "new"')
      const changed = yield* events.event("CodeChanged")
      assert.deepStrictEqual(changed, {
        _tag: "CodeChanged",
        functionName: "waiting",
        version: 2,
        files: [path.join(folder, "text.mjs")],
        keeping: 2
      })
      const third = yield* start
      const warm = yield* finish(first)
      assert.strictEqual(warm.code, "old old")
      // its process dies: a new one has the old code all the same
      const before = events.count()
      process.kill(warm.pid, "SIGKILL")
      yield* events.event("ProcessEnded", ({ pid }) => pid === warm.pid, before)
      const cold = yield* finish(second)
      assert.strictEqual(cold.code, "old old")
      assert.notStrictEqual(cold.pid, warm.pid)
      // with its last execution the old version goes
      const { reason } = yield* events.event("ProcessEnded", ({ pid }) => pid === cold.pid)
      assert.isUndefined(reason) // it was asked to end, and did
      assert.strictEqual((yield* finish(third)).code, "new old")
      assert.lengthOf(events.all("Warning"), 0)
    })
  )

  live("is for all of them, where that is asked for", () =>
    Effect.gen(function* () {
      const { events, finish, start, write } = yield* waiting({ reload: "all" })
      const arn = yield* start
      write("waiting.mjs", source("new"))
      assert.strictEqual((yield* events.event("CodeChanged")).keeping, 0)
      assert.strictEqual((yield* finish(arn)).code, "old new")
    })
  )

  live("that does not load is tried again when it has changed, also by executions that began with it", () =>
    Effect.gen(function* () {
      const { engine, events, write } = yield* waiting()
      write("waiting.mjs", "export const handler = (")
      yield* events.event("CodeChanged", ({ version }) => version === 2)
      const arn = yield* engine.start({ functionName: "waiting:$LATEST" })
      yield* events.event("Line", ({ text }) => text.includes("The code does not load"))
      yield* events.event("ProcessEnded")
      write("waiting.mjs", 'export const handler = async () => ({ Status: "SUCCEEDED", Result: "1" })')
      yield* events.event("CodeChanged", ({ version }) => version === 3)
      const end = yield* engine.await(arn)
      assert.strictEqual(end.Result, "1")
      assert.include(errors(yield* engine.history(arn)), "Runtime.UserCodeSyntaxError")
    })
  )

  live("a file that is saved as it was is no new code", () =>
    Effect.gen(function* () {
      const { events, folder, write } = yield* waiting()
      write("text.mjs", 'export const text = "old"')
      fs.writeFileSync(path.join(folder, "notes.txt"), "not loaded by anybody")
      write("waiting.mjs", source("new"))
      const { files, version } = yield* events.event("CodeChanged")
      assert.deepStrictEqual([version, files], [2, [path.join(folder, "waiting.mjs")]])
      assert.lengthOf(events.all("CodeChanged"), 1)
    })
  )

  live("an execution that began before these processes is told that it goes on with other code", () =>
    Effect.gen(function* () {
      const { file } = yield* project
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(runtime.serve([{ name: "waiting", file }]), scope)
      const arn = yield* first.engine.start({ functionName: "waiting:$LATEST" })
      yield* first.events.event("Line", ({ text }) => text === "asking")
      while (!(yield* first.engine.history(arn)).some(({ EventType }) => EventType === "InvocationCompleted")) {
        yield* Effect.sleep("5 millis")
      }
      yield* Scope.close(scope, Exit.void)
      const { engine, events } = yield* runtime.serve([{ name: "waiting", file }])
      const callback = (yield* engine.operations(arn)).at(-1)?.CallbackDetails?.CallbackId ?? ""
      yield* engine.succeedCallback(callback)
      assert.strictEqual((yield* engine.await(arn)).Status, "SUCCEEDED")
      assert.include(events.all("Warning")[0]?.message ?? "", `goes on with the code as it is now: ${arn}`)
    })
  )
})

describe("Functions: the end", () => {
  live(
    "asks processes to end (SIGTERM), and kills those that do not",
    () =>
      Effect.gen(function* () {
        const folder = yield* runtime.folder
        const file = path.join(folder, "handlers.mjs")
        fs.writeFileSync(
          file,
          `import * as fs from "node:fs"
        export const polite = async () => {
          setInterval(() => {}, 1000).unref()
          process.on("SIGTERM", () => setTimeout(() => fs.writeFileSync(${JSON.stringify(path.join(folder, "bye"))}, "bye"), 10))
          return process.pid
        }
        export const stubborn = async () => {
          process.on("SIGTERM", () => console.log("never"))
          setInterval(() => {}, 1000)
          return process.pid
        }
        export const plain = async () => process.pid`
        )
        const scope = yield* Scope.make()
        const { call } = yield* Scope.provide(runtime.serve([{ file, durable: false }]), scope)
        const pids = (yield* Effect.all([call("polite"), call("stubborn"), call("plain")])).map(Number)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(pids.filter(runtime.isRunning), [])
        assert.strictEqual(fs.readFileSync(path.join(folder, "bye"), "utf8"), "bye")
      }),
    {},
    3 // they have half a second
  )

  live("what a process has started ends with it", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { call } = yield* Scope.provide(runtime.servePlain(["leaves"]), scope)
      const pid = Number(yield* call("leaves"))
      assert.isTrue(runtime.isRunning(pid))
      yield* Scope.close(scope, Exit.void)
      yield* runtime.gone(pid)
    })
  )

  live("an invocation that is cut off by the end has not failed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { engine, events } = yield* Scope.provide(
        runtime.serve([{ file: `${runtime.fixture("plain.mjs")}#hangs` }]),
        scope
      )
      const arn = yield* engine.start({ functionName: "hangs:$LATEST" })
      const pid = yield* runtime.said(events, "hanging")
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(runtime.isRunning(pid))
      const types = (yield* engine.history(arn)).map(({ EventType }) => EventType)
      assert.deepStrictEqual(types, ["ExecutionStarted"])
    })
  )

  it.live("processes do not outlive this one, however it ends", () =>
    Effect.gen(function* () {
      // what it keeps of its code stays behind, too
      const env = { ...process.env, TMPDIR: yield* runtime.folder }
      const parent = spawn(process.execPath, [runtime.env.NODE_OPTIONS, runtime.fixture("parent.ts")], {
        stdio: ["ignore", "pipe", "inherit"],
        env
      })
      let printed = ""
      const pids = yield* Effect.callback<ReadonlyArray<number>>((resume) => {
        parent.stdout.on("data", (chunk) => {
          printed += String(chunk)
          const found = [...printed.matchAll(/(?:spinning|hanging|left) (\d+)\n/g)].map(([, pid]) => Number(pid))
          if (found.length === 3) resume(Effect.succeed(found))
        })
      })
      assert.deepStrictEqual(pids.filter(runtime.isRunning), pids)
      parent.kill("SIGKILL")
      yield* Effect.forEach(pids, runtime.gone)
    }).pipe(Effect.scoped)
  )
})

describe("Functions: a configuration that is wrong", () => {
  const problems = (config: unknown) =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const error = yield* Effect.flip(Functions.serveFunctions(config, { onEvent: () => {} }))
      // nothing of it is registered
      assert.isTrue(Exit.isFailure(yield* Effect.exit(engine.find("double"))))
      return error.message
    })

  live("says what is wrong, all of it", () =>
    Effect.gen(function* () {
      const message = yield* problems([
        double,
        {},
        { name: "both", file: "x.mjs", url: "http://localhost" },
        { file: "nowhere.mjs" },
        { file: "README.md" },
        { file: `${runtime.fixture("plain.mjs")}#nothingSuch` },
        { url: "http://localhost:9000" },
        { url: "localhost:9000", name: "bad" },
        { handler: () => 1 },
        { handler: "text" },
        { name: "slow", url: "http://localhost", timeoutSeconds: 901 },
        { name: "typo", url: "http://localhost", timeout: 3 }
      ])
      const lines = message.split("\n- ")
      assert.strictEqual(lines[0], "These functions cannot be served:")
      assert.include(lines[1], "entry 2: It needs one of `file`, `handler` and `url`.")
      assert.include(lines[2], 'entry 3 ("both"): It needs one of')
      assert.include(lines[3], `entry 4 ("nowhere.mjs"): There is no file "${path.resolve("nowhere.mjs")}".`)
      assert.include(lines[4], '"README.md" is no JavaScript or TypeScript file')
      assert.include(message, '"localhost:9000" is no URL: write it as http://localhost:9000.')
      assert.match(message, /entry 10: .*a function/s)
      assert.match(message, /entry 11 \("slow"\): .*between 1 and 900/s)
      assert.match(message, /entry 12 \("typo"\): .*timeout/s)
    })
  )

  live("says so of code that does not load, exports nothing, or not what is asked for", () =>
    Effect.gen(function* () {
      const folder = yield* runtime.folder
      const files = {
        "empty.mjs": `
          import { Schema } from "${import.meta.resolve("effect")}"
          export const x = 1
          export class Order {}
          export const Receipt = Schema.Struct({ id: Schema.String })
          export class CardDeclined extends Schema.TaggedError()("CardDeclined", {}) {}`,
        "syntax.mjs": "export const handler = (",
        "throws.mjs": "throw new RangeError('at import')",
        "missing.mjs": "import './nothing-such.mjs'",
        "exits.cjs": "process.exit(7)",
        "never.mjs": "await new Promise(() => {})"
      }
      for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), text)
      const message = yield* problems([
        ...Object.keys(files).map((name) => ({ file: path.join(folder, name) })),
        { file: `${runtime.fixture("plain.mjs")}#nothingSuch` },
        { file: runtime.fixture("plain.mjs"), name: "one" },
        { handler: () => 1 },
        { url: "http://localhost:9000" }
      ])
      const expected = [
        /empty\.mjs": it exports no function\. Export a handler/,
        /syntax\.mjs": it does not load: Runtime\.UserCodeSyntaxError: SyntaxError: Unexpected/,
        /throws\.mjs": it does not load: RangeError: at import/,
        /missing\.mjs": it does not load: Runtime\.ImportModuleError: Error: Cannot find module .*nothing-such/,
        /exits\.cjs": it does not load: Runtime\.ExitError: Error: Runtime exited with error: exit status 7/,
        /never\.mjs": it does not load: Runtime\.NodeJsExit: .*a Promise that was never settled/,
        /plain\.mjs" exports no function "nothingSuch"; it exports .*echo/,
        /plain\.mjs" exports several functions \(.*\): `name` is for one\. Choose one as "file#export"\./,
        /A handler in this process needs a name\./,
        /The function at http:\/\/localhost:9000\/2015-03-31\/functions\/function\/invocations needs a name\./
      ]
      const lines = message.split("\n- ").slice(1)
      assert.lengthOf(lines, expected.length)
      expected.forEach((pattern, index) => assert.match(lines[index]!, pattern))
    })
  )

  live("refuses names that Lambda refuses, and names that occur twice", () =>
    Effect.gen(function* () {
      const message = yield* problems([double, double, { ...double, name: "a b" }])
      assert.include(message, 'There are two functions of the name "double". Choose another with `name`.')
      assert.include(message, '"a b" is no name for a function')
    })
  )

  live("finds a handler as Lambda writes it, and nested", () =>
    Effect.gen(function* () {
      const folder = yield* runtime.folder
      fs.writeFileSync(
        path.join(folder, "app.cjs"),
        "exports.handler = async () => 1; exports.api = { get: async () => 2 }"
      )
      fs.writeFileSync(
        path.join(folder, "main.ts"),
        "const one: number = 3\nexport default async (): Promise<number> => one"
      )
      const app = path.join(folder, "app")
      const { call, served } = yield* runtime.serve([
        { file: `${app}.handler`, durable: false },
        { file: `${app}.cjs#api.get`, durable: false, name: "get" },
        { file: path.join(folder, "main.ts"), durable: false }
      ])
      assert.deepStrictEqual(
        served.map(({ name }) => name),
        ["app", "get", "main"]
      )
      assert.deepStrictEqual(yield* Effect.all([call("app"), call("get"), call("main")]), [1, 2, 3])
    })
  )
})
