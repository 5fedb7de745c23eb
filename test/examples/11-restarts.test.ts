import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** Runs the example until it ends or has printed `killAt`; gives the lines that it printed. */
const run = (filename: string, killAt?: string) =>
  new Promise<ReadonlyArray<string>>((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ["--conditions=@effect-durable-lambda/source", "examples/11-restarts.ts", filename],
      { cwd: root, stdio: ["ignore", "pipe", "inherit"] }
    )
    let printed = ""
    const lines = () => printed.trim().split("\n")
    child.stdout.on("data", (data) => {
      printed += String(data)
      if (killAt !== undefined && lines().includes(killAt)) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on("close", () => resolve(lines()))
  })

describe("examples/11-restarts", () => {
  it("goes on after a SIGKILL", { timeout: 60_000 }, async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "restarts-"))
    const filename = path.join(folder, "store.sqlite")
    try {
      assert.deepStrictEqual(await run(filename, "4"), ["5", "4"])
      const rest = await run(filename)
      assert.deepStrictEqual(
        rest.filter((line) => line !== "4"), // the kill may have come before its record
        ["3", "2", "1", '"lift-off"']
      )
      assert.deepStrictEqual(await run(filename), ['"lift-off"'])
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
})
