import { assert, describe, it } from "@effect/vitest"
import { logLine } from "../../src/cli/logLine.ts"

const plain = (_: string, text: string) => text
const line = (fields: object) =>
  logLine(
    JSON.stringify({
      level: "INFO",
      timestamp: "2026-11-30T16:00:00.000Z",
      executionArn: "arn:x",
      requestId: "r",
      operationId: "o",
      attempt: 1,
      ...fields
    }),
    plain
  )

describe("log lines of functions", () => {
  it("show their message and annotations, and not where they were written", () => {
    assert.strictEqual(line({ message: "charging", orderId: 7, by: "Ada L" }), 'INFO charging orderId=7 by="Ada L"')
    assert.strictEqual(line({ message: ["hello", { a: 1 }] }), 'INFO hello {"a":1}')
    assert.strictEqual(line({ message: { a: [1] }, gone: null }), 'INFO {"a":[1]} gone=null')
  })
  it("show errors with the frames of the user's own files", () => {
    const stackTrace = [
      "Error: no",
      "    at charge (/app/order.ts:7:1)",
      "    at run (/app/node_modules/effect/x.js:1:1)"
    ]
    assert.strictEqual(
      line({ level: "ERROR", message: "failed", errorType: "Error", errorMessage: "no", stackTrace }),
      `ERROR failed: Error: no\n${" ".repeat(18)}at charge (/app/order.ts:7:1)`
    )
  })
  it("of another form stay as they are, and nothing in them reaches the terminal as a command", () => {
    assert.strictEqual(logLine("plain text", plain), "plain text")
    assert.strictEqual(logLine('{"level":1}', plain), '{"level":1}')
    assert.include(line({ message: "a\u001b[2Jb", key: "\u0007" }), "a\\u001b[2Jb key=\\u0007")
  })
})
