import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import * as kit from "./kit.ts"

const inFolder = async (use: (folder: string) => Promise<void>) => {
  const folder = kit.makeFolder()
  await use(folder).finally(() => fs.rmSync(folder, { recursive: true, force: true }))
}

const greeting = (words: string) => `
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Effect, Schema } from "effect"
const Greet = DurableFunction.make("greet", { payload: Schema.Void, success: Schema.String })
export const greet = DurableHandler.make(Greet, () => Durable.step("greet", Effect.succeed("${words}")))
`

describe("dev", () => {
  it("ends with Ctrl-C, and executions go on at the next start", () =>
    inFolder(async (cwd) => {
      const first = await kit.dev([kit.shop, "--port", "0"], { cwd })
      assert.match(first.output(), /^approve {2}.*shop\.ts#approve\norder {2}.*\npatience {2}.*\nready {2}http/)
      const started = await kit.run(["start", "approve", "--name", "asked"], { cwd })
      assert.strictEqual(started.code, 0, started.stderr)
      // a line for each event, with what answers it
      const [, id = ""] = await first.said(
        /asked {2}◷ callback approval\n +effect-durable-lambda callback succeed (\S+)/
      )
      await first.said(/asked {2}‖ invocation ended/)
      assert.strictEqual(await first.end(), 0)
      assert.match(first.output(), /1 execution goes on at the next start\.\n$/)
      assert.isFalse(fs.existsSync(path.join(cwd, ".durable/server.json")))
      assert.strictEqual(fs.readFileSync(path.join(cwd, ".durable/.gitignore"), "utf8"), "*\n")
      const gone = await kit.run(["callback", "succeed", id], { cwd })
      assert.strictEqual(gone.code, 4)

      const second = await kit.dev([kit.shop, "--port", "0"], { cwd })
      assert.match(second.output(), /1 execution from before goes on/)
      const answered = await kit.run(["callback", "succeed", id, "--result", '{"by":"Bob"}'], { cwd })
      assert.strictEqual(answered.code, 0, answered.stderr)
      await second.said(/asked {2}✓ execution approve "approved by Bob"/)
      // killed without a word, it is found to be gone
      const other = await kit.run(["start", "patience", "--name", "killed"], { cwd })
      assert.strictEqual(other.code, 0, other.stderr)
      await second.end("SIGKILL")
      assert.isTrue(fs.existsSync(path.join(cwd, ".durable/server.json")))
      const nobody = await kit.run(["list"], { cwd })
      assert.deepStrictEqual([nobody.code, nobody.stdout], [4, ""])

      const third = await kit.dev([`${kit.shop}#order`, "--port", "0"], { cwd })
      assert.match(third.output(), /1 execution waits for a file with patience/)
      const stopped = await kit.run(["stop", "killed"], { cwd })
      assert.strictEqual(stopped.code, 0, stopped.stderr)
      assert.strictEqual(await third.end(), 0)
      assert.notMatch(third.output(), /next start/)
    }))

  it("runs new code when a file changes; its page; lines of JSON", () =>
    inFolder(async (cwd) => {
      const file = path.join(cwd, "greet.ts")
      fs.writeFileSync(file, greeting("hello"))
      const server = await kit.dev([file, "--json", "--memory", "--port", "0"], { cwd })
      const result = async () => {
        const { stdout } = await kit.run(["start", "greet", "--wait", "--json"], { cwd })
        return JSON.parse(stdout).Result as string
      }
      assert.strictEqual(await result(), '"hello"')
      fs.writeFileSync(file, greeting("good evening"))
      await server.said(/"type":"CodeChanged"/)
      assert.strictEqual(await result(), '"good evening"')

      const page = await fetch(server.url)
      assert.match(await page.text(), /<title>/)
      const messages = server
        .output()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { readonly type: string; readonly event?: { readonly EventType: string } })
      const types = messages.flatMap(({ event, type }) => (type === "event" ? [event?.EventType] : []))
      assert.strictEqual(types.filter((type) => type === "ExecutionSucceeded").length, 2)
      assert.strictEqual(await server.end(), 0)
    }))
})

describe("dev, of what functions log", () => {
  it("shows what is thrown, and where in one's own files", { timeout: 60_000 }, () =>
    inFolder(async (cwd) => {
      const file = path.join(cwd, "bill.ts")
      fs.writeFileSync(
        file,
        `
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Effect, Schema } from "effect"
const price = (order: { readonly cents: number } | undefined): number => order!.cents
const Bill = DurableFunction.make("bill", { payload: Schema.Void, success: Schema.Number })
export const bill = DurableHandler.make(Bill, () => Durable.step("price", Effect.sync(() => price(undefined))))
`
      )
      const server = await kit.dev([file, "--memory", "--port", "0"], { cwd })
      const { code, stdout } = await kit.run(["start", "bill", "--wait"], { cwd })
      assert.strictEqual(code, 1, stdout)
      const [, frames = ""] = await server.said(
        /bill \| ERROR A defect in STEP "price" \(\S+\): TypeError: Cannot read properties of undefined \(reading 'cents'\)\n((?: {18}at .*\n)+)/
      )
      assert.match(frames, /^ +at price \(.*bill\.ts:4:\d+\)\n +at .*bill\.ts:6:\d+\n/)
      assert.notMatch(frames, /node_modules|node:/)
      assert.strictEqual(await server.end(), 0)
    })
  )
})
