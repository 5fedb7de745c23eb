/**
 * What a handler does before its first invocation: nothing; in Lambda, where there is CPU to spare until then, AWS's client
 * is loaded and made ready, and an invocation is rehearsed.
 */
import { assert, beforeAll, afterAll, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { bundle } from "../examples/deploy/bundle.ts"
import * as FakeService from "./wire/FakeService.ts"

const root = path.resolve(import.meta.dirname, "..")
const run = promisify(execFile)

/**
 * What stands in for `@aws-sdk/client-lambda`: it logs when it is loaded, when a client is made, and when it sends; or is
 * made ready to, by a request that was aborted before.
 */
const fakeClient = `
globalThis.log.push("loaded")
export class CheckpointDurableExecutionCommand { constructor(input) { this.input = input } }
export class GetDurableExecutionStateCommand extends CheckpointDurableExecutionCommand {}
export class LambdaClient {
  constructor() { globalThis.log.push("made") }
  send({ input }, options) {
    if (options?.abortSignal.aborted) {
      globalThis.log.push("prepared")
      return Promise.reject(new Error("aborted"))
    }
    globalThis.log.push("sent")
    const Operations = input.Updates.map((update) => ({ ...update, Status: "SUCCEEDED", StepDetails: { Result: update.Payload } }))
    return Promise.resolve({ CheckpointToken: "next", NewExecutionState: { Operations } })
  }
}`

const handler = `
import * as Durable from "effect-durable-lambda/Durable"
import * as DurableExecutionClient from "effect-durable-lambda/DurableExecutionClient"
import * as DurableFunction from "effect-durable-lambda/DurableFunction"
import * as DurableHandler from "effect-durable-lambda/DurableHandler"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
const own = { send: () => Promise.reject(new Error("of my own")) }

export const handler = DurableHandler.make(
  Greet,
  function greet(name) {
    return Durable.step("greet", Effect.succeed("Hello, " + name + "!"))
  },
  process.env.OWN_CLIENT ? { client: DurableExecutionClient.layerClient(own) } : {}
)
globalThis.handlerMade?.()`

const LAMBDA = { AWS_LAMBDA_RUNTIME_API: "127.0.0.1:9001" }
const CREDENTIALS = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret", AWS_SESSION_TOKEN: "token" }

describe("when AWS's client is loaded", () => {
  let folder: string

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "loading-"))
    for (const [name, code] of [
      ["good", fakeClient],
      ["slow", `await new Promise((resolve) => setTimeout(resolve, 300))\n${fakeClient}`],
      ["old", "export class LambdaClient {}"],
      ["broken", 'throw new Error("half of it is missing")'],
      ["none", undefined],
      ["real", undefined],
      ["bundled", undefined]
    ] as const) {
      const client = path.join(folder, name, "node_modules/@aws-sdk/client-lambda")
      fs.mkdirSync(code === undefined ? path.join(folder, name) : client, { recursive: true })
      if (code === undefined) continue
      fs.writeFileSync(path.join(client, "package.json"), '{ "type": "module", "exports": "./index.js" }')
      fs.writeFileSync(path.join(client, "index.js"), code)
    }
    fs.symlinkSync(path.join(root, "node_modules"), path.join(folder, "real/node_modules"))
    const { outputFiles } = await build({
      stdin: { contents: handler, resolveDir: root, loader: "ts" },
      absWorkingDir: root,
      bundle: true,
      write: false,
      platform: "node",
      target: "node22",
      format: "esm",
      conditions: ["@effect-durable-lambda/source"],
      external: ["@aws-sdk/client-lambda"],
      logLevel: "silent"
    })
    for (const name of fs.readdirSync(folder))
      fs.writeFileSync(path.join(folder, name, "handler.mjs"), outputFiles[0]!.contents)
    const entry = path.join(root, ".tmp/loading/handler.ts")
    fs.mkdirSync(path.dirname(entry), { recursive: true })
    fs.writeFileSync(entry, handler)
    fs.renameSync(
      await bundle({ entry, outdir: path.join(folder, "bundled") }),
      path.join(folder, "bundled/handler.mjs")
    )
  })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  /**
   * What is logged when the module has been loaded and nothing has called it, then what an invocation gives; or what a
   * script of its own prints.
   */
  const start = async (
    client: string,
    env: Record<string, string>,
    script = `
      const { setTimeout } = await import("node:timers/promises")
      do await setTimeout(200)
      while (log.length < least) // however long that takes
      const atRest = [...log]
      const answer = await handler(event)
      console.log(JSON.stringify({ atRest, log, answer }))`,
    before = "",
    least = 0
  ) => {
    const code = `
      globalThis.log = []
      globalThis.least = ${least}
      process.on("unhandledRejection", (error) => log.push("unhandled: " + error))
      ${before}
      const { handler } = await import("./handler.mjs")
      const event = ${JSON.stringify(FakeService.make({ input: '"World"' }).event())}
      ${script}
      process.exit(0)`
    const { AWS_ACCESS_KEY_ID: _, AWS_LAMBDA_RUNTIME_API: __, AWS_PROFILE: ___, ...rest } = process.env
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", code], {
      cwd: path.join(folder, client),
      env: { ...rest, ...env }
    })
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  }

  const hello = { Status: "SUCCEEDED", Result: '"Hello, World!"' }

  it("by the first call, outside of Lambda", async () => {
    assert.deepStrictEqual(await start("good", {}), { atRest: [], log: ["loaded", "made", "sent"], answer: hello })
  })

  it("at once, in Lambda", async () => {
    assert.deepStrictEqual(await start("good", LAMBDA, undefined, "", 2), {
      atRest: ["loaded", "made"],
      log: ["loaded", "made", "sent"],
      answer: hello
    })
  })

  it("and made ready there, when the credentials are in the environment", async () => {
    assert.deepStrictEqual(await start("good", { ...LAMBDA, ...CREDENTIALS }, undefined, "", 3), {
      atRest: ["loaded", "made", "prepared"],
      log: ["loaded", "made", "prepared", "sent"],
      answer: hello
    })
  })

  for (const [where, env] of [
    ["when they may have to be asked for", { ...LAMBDA, ...CREDENTIALS, AWS_PROFILE: "other" }],
    ["outside of Lambda", CREDENTIALS]
  ] as const) {
    it(`and not made ready ${where}`, async () => {
      assert.deepStrictEqual((await start("good", env)).log, ["loaded", "made", "sent"])
    })
  }

  it("and not made ready when the first invocation comes while it is being loaded: that does it", async () => {
    const script = "const answer = await handler(event); console.log(JSON.stringify({ log, answer }))"
    assert.deepStrictEqual(await start("slow", { ...LAMBDA, ...CREDENTIALS }, script), {
      log: ["loaded", "made", "sent"],
      answer: hello
    })
  })

  for (const [where, folder] of [
    ["outside of the bundle", "real"],
    ["in the bundle", "bundled"]
  ] as const) {
    it(`and AWS's own client, when it is made ready, signs, but does not even connect: ${where}`, async () => {
      const before = `
      const { createServer } = await import("node:http")
      const crypto = process.getBuiltinModule("node:crypto")
      const { createHmac } = crypto
      crypto.createHmac = (...args) => {
        if (log.at(-1) !== "signed") log.push("signed")
        return createHmac(...args)
      }
      process.getBuiltinModule("node:module").syncBuiltinESMExports()
      const server = createServer(async (request, response) => {
        const { Updates } = JSON.parse((await request.toArray()).join(""))
        log.push(request.method + " of " + Updates.length)
        const Operations = Updates.map(({ Id, Type, Payload }) => ({ Id, Type, Status: "SUCCEEDED", StepDetails: { Result: Payload } }))
        response.end(JSON.stringify({ CheckpointToken: "next", NewExecutionState: { Operations } }))
      })
      server.on("connection", () => log.push("connected"))
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
      process.env.AWS_ENDPOINT_URL_LAMBDA = "http://127.0.0.1:" + server.address().port`
      const script = `
      const { setTimeout } = await import("node:timers/promises")
      for (let i = 0; i < 1000 && log.length === 0; i++) await setTimeout(10)
      await setTimeout(200)
      const atRest = [...log]
      const answer = await handler(event)
      console.log(JSON.stringify({ atRest, log, answer }))`
      assert.deepStrictEqual(
        await start(folder, { ...LAMBDA, ...CREDENTIALS, AWS_REGION: "us-east-1" }, script, before),
        {
          atRest: ["signed"],
          log: ["signed", "connected", "POST of 2"],
          answer: hello
        }
      )
    })
  }

  for (const [where, env, expected] of [
    ["in Lambda", LAMBDA, ["makeQueue", "decodeInvocationEvent", "ended", "acknowledge", "completed"]],
    ["elsewhere: none", {}, []]
  ] as const) {
    it(`a step is rehearsed to its end before anything can come, and nothing of the user's runs, ${where}`, async () => {
      const before = `
        const { Session } = await import("node:inspector")
        const session = new Session()
        session.connect()
        session.post("Profiler.enable")
        session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true })
        // of a session with its own thread, the answer comes at once
        const ran = (names) => {
          let found
          session.post("Profiler.takePreciseCoverage", (_, { result }) => {
            const { functions = [] } = result.find(({ url }) => url.endsWith("/handler.mjs")) ?? {}
            found = names.filter((name) => functions.some((one) => one.functionName === name && one.ranges[0].count > 0))
          })
          return found
        }
        let atOnce
        globalThis.handlerMade = () => {
          atOnce = ran(["makeQueue", "decodeInvocationEvent", "ended", "acknowledge", "completed", "greet"])
        }`
      const script = `
        await import("node:timers/promises").then(({ setTimeout }) => setTimeout(200))
        const atRest = ran(["greet"])
        const answer = await handler(event)
        console.log(JSON.stringify({ log, atOnce, atRest, answer, later: ran(["greet"]) }))`
      assert.deepStrictEqual(await start("good", env, script, before), {
        atOnce: expected,
        atRest: [],
        log: ["loaded", "made", "sent"],
        answer: hello,
        later: ["greet"]
      })
    })
  }

  it("once, though the first invocation comes while it is being loaded", async () => {
    const script = "const answer = await handler(event); console.log(JSON.stringify({ log, answer }))"
    assert.deepStrictEqual(await start("good", LAMBDA, script), { log: ["loaded", "made", "sent"], answer: hello })
  })

  it("never, when the handler brings a client of its own", async () => {
    const script = `
      await import("node:timers/promises").then(({ setTimeout }) => setTimeout(200))
      console.log(JSON.stringify({ log }))`
    assert.deepStrictEqual(await start("good", { ...LAMBDA, OWN_CLIENT: "1" }, script), { log: [] })
  })

  for (const [client, reason] of [
    ["none", /AwsClientNotFound: cannot load @aws-sdk\/client-lambda \(Cannot find package/],
    ["old", /AwsClientNotFound: cannot load @aws-sdk\/client-lambda \(it is too old\)/],
    ["broken", /AwsClientNotFound: cannot load @aws-sdk\/client-lambda \(half of it is missing\)/]
  ] as const) {
    for (const [where, env] of [
      ["in Lambda", LAMBDA],
      ["elsewhere", {}]
    ] as const) {
      it(`a client that cannot be used fails the first call, and nothing else: ${client}, ${where}`, async () => {
        const { answer, atRest, log } = await start(client, env)
        assert.deepStrictEqual({ atRest, log }, { atRest: [], log: [] })
        assert.strictEqual(answer.Status, "FAILED")
        assert.strictEqual(answer.Error.ErrorType, "CheckpointFailed")
        assert.match(answer.Error.ErrorMessage, reason)
        assert.match(answer.Error.ErrorMessage, /npm install @aws-sdk\/client-lambda, 3\.943 or later/)
      })
    }
  }

  it("the guide tells of a client that is too old, in the error's words", () => {
    assert.include(fs.readFileSync(path.join(root, "docs/troubleshooting.md"), "utf8"), "`it is too old`")
  })
})
