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
  it("goes on after a SIGKILL", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "restarts-"))
    const filename = path.join(folder, "store.sqlite")
    try {
      const before = await run(filename, "4")
      assert.deepStrictEqual(before.slice(0, 2), ["5", "4"]) // the kill may come late, and find more
      const last = before.at(-1)!
      const rest = await run(filename)
      const after = rest[0] === last ? rest.slice(1) : rest // the kill may have come before its record
      assert.deepStrictEqual([...before, ...after], ["5", "4", "3", "2", "1", '"lift-off"'])
      assert.notInclude(before, '"lift-off"')
      assert.deepStrictEqual(await run(filename), ['"lift-off"'])
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
})
