import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"

const root = path.resolve(import.meta.dirname, "../..")

describe("examples/16-functions", () => {
  it("runs the handler's file", async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=@effect-durable-lambda/source", "examples/16-functions.ts"],
      { cwd: root }
    )
    const lines = stdout.trim().split("\n")
    assert.strictEqual(lines[0], "process-order is examples/order/handler.ts#handler")
    assert.strictEqual(lines.at(-1), "label-7")
    // what the function writes is printed with its name and request
    assert.isTrue(
      lines.some((line) => /^process-order [0-9a-f]{8} \| .*to ada@example\.com/.test(line)),
      stdout
    )
  })
})
