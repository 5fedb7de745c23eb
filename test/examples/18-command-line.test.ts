import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"

const root = path.resolve(import.meta.dirname, "../..")

describe("examples/18-command-line", () => {
  it("runs an order and shows its tree", async () => {
    const { stdout } = await promisify(execFile)("sh", ["examples/18-command-line.sh"], { cwd: root })
    assert.match(stdout, /^process-order\/order-7\n {2}status +SUCCEEDED/)
    assert.match(stdout, /\n└─ ✓ step mail/)
    assert.match(stdout, /"DurableExecutionName": "order-7"/)
  })
})
