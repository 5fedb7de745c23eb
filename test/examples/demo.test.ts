import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"

const root = path.resolve(import.meta.dirname, "../..")
const condition = "--conditions=@effect-durable-lambda/source"

describe("examples/demo", () => {
  it("survives a SIGKILL and ends as promised", async () => {
    const env = { ...process.env, DEMO_SPEED: "10", NO_COLOR: "1" }
    const { stdout } = await promisify(execFile)(process.execPath, [condition, "examples/demo/main.ts"], {
      cwd: root,
      env
    })
    assert.include(stdout, "SIGKILL")
    assert.include(stdout, "✓ 6 invocations, one of them killed, and one order: as promised.")
  })
})
