import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as path from "node:path"

const script = path.join(import.meta.dirname, "fixtures/garbage.ts")

describe("the garbage of an invocation", () => {
  it("is gone with the next minor collections: nothing old, and no hidden class, leads to it", () => {
    // (what the compiler makes is over by then; with one getter in the core, or one generator function per invocation
    // that sees it, 30 KB and more stay until a full collection)
    const args = ["--expose-gc", "--conditions=@effect-durable-lambda/source", script]
    const { stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
    assert.match(stdout, /^-?\d+\n$/, stderr)
    assert.isBelow(Number(stdout), 4_000, "bytes that each invocation has left behind")
  })
})
