/**
 * When AWS's client is loaded: by the first call; in Lambda, where there is CPU to spare until the first invocation, at once.
 */
import { assert, beforeAll, afterAll, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import * as FakeService from "./wire/FakeService.ts"

const root = path.resolve(import.meta.dirname, "..")
const run = promisify(execFile)

/** What stands in for `@aws-sdk/client-lambda`: it counts how often it is loaded, and how many clients are made. */
const fakeClient = `
globalThis.log.push("loaded")
export class CheckpointDurableExecutionCommand { constructor(input) { this.input = input } }
export class GetDurableExecutionStateCommand extends CheckpointDurableExecutionCommand {}
export class LambdaClient {
  constructor() { globalThis.log.push("made") }
  send({ input }) {
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
  (name) => Durable.step("greet", Effect.succeed("Hello, " + name + "!")),
  process.env.OWN_CLIENT ? { client: DurableExecutionClient.layerClient(own) } : {}
)`

const LAMBDA = { AWS_LAMBDA_RUNTIME_API: "127.0.0.1:9001" }

describe("when AWS's client is loaded", () => {
  let folder: string

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "loading-"))
    for (const [name, code] of [
      ["good", fakeClient],
      ["old", "export class LambdaClient {}"],
      ["broken", 'throw new Error("half of it is missing")'],
      ["none", undefined]
    ] as const) {
      const client = path.join(folder, name, "node_modules/@aws-sdk/client-lambda")
      fs.mkdirSync(code === undefined ? path.join(folder, name) : client, { recursive: true })
      if (code === undefined) continue
      fs.writeFileSync(path.join(client, "package.json"), '{ "type": "module", "exports": "./index.js" }')
      fs.writeFileSync(path.join(client, "index.js"), code)
    }
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
  })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  /** What is logged when the module has been loaded and nothing has called it, then what an invocation gives. */
  const start = async (
    client: string,
    env: Record<string, string>,
    script = `
      await import("node:timers/promises").then(({ setTimeout }) => setTimeout(200))
      const atRest = [...log]
      const answer = await handler(event)
      console.log(JSON.stringify({ atRest, log, answer }))`
  ) => {
    const code = `
      globalThis.log = []
      process.on("unhandledRejection", (error) => log.push("unhandled: " + error))
      const { handler } = await import("./handler.mjs")
      const event = ${JSON.stringify(FakeService.make({ input: '"World"' }).event())}
      ${script}
      process.exit(0)`
    const { AWS_LAMBDA_RUNTIME_API: _, ...rest } = process.env
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
    assert.deepStrictEqual(await start("good", LAMBDA), {
      atRest: ["loaded", "made"],
      log: ["loaded", "made", "sent"],
      answer: hello
    })
  })

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
