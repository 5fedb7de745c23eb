import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** Starts the example, and tells what it prints, line by line. */
const start = () => {
  const child = spawn(process.execPath, ["--conditions=@effect-durable-lambda/source", "examples/21-web-page.ts"], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"]
  })
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
  let printed = ""
  const waiting: Array<() => void> = []
  child.stdout.on("data", (data) => {
    printed += String(data)
    for (const look of waiting) look()
  })
  const line = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      const look = () => {
        const [, found] = pattern.exec(printed) ?? []
        if (found !== undefined) resolve(found)
      }
      waiting.push(look)
      look()
    })
  return { child, ended, line }
}

describe("examples/21-web-page", () => {
  it("goes on when its callback is answered at the page's address", async () => {
    const { child, ended, line } = start()
    try {
      const url = await line(/^open (http:\S+)$/m)
      assert.include(await (await fetch(url)).text(), "<!doctype html>")
      await line(/^(who approves "Walden"\?)$/m)
      const { Executions } = (await (await fetch(`${url}/_dev/executions`)).json()) as {
        readonly Executions: ReadonlyArray<{ readonly DurableExecutionArn: string }>
      }
      const arn = encodeURIComponent(Executions[0]!.DurableExecutionArn)
      const { Events } = (await (await fetch(`${url}/_dev/executions/${arn}`)).json()) as {
        readonly Events: ReadonlyArray<{ readonly CallbackStartedDetails?: { readonly CallbackId: string } }>
      }
      const id = Events.find((event) => event.CallbackStartedDetails !== undefined)!.CallbackStartedDetails!.CallbackId
      const answered = await fetch(`${url}/_dev/callbacks/${encodeURIComponent(id)}/succeed`, {
        method: "POST",
        headers: { "x-effect-durable-lambda": "test" },
        body: '{"by":"Ada"}'
      })
      assert.strictEqual(answered.status, 200)
      assert.strictEqual(await line(/^("\\"Walden.*)$/m), JSON.stringify('"Walden" is out, thanks to Ada'))
      assert.strictEqual(await ended, 0)
    } finally {
      child.kill("SIGKILL")
    }
  })
})
