import { assert, describe, it } from "@effect/vitest"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as kit from "./kit.ts"

describe("a server that is hostile", () => {
  it("does not command the terminal by its errors", async () => {
    const server = http.createServer((_, response) => {
      response.writeHead(400, { "content-type": "application/json", "x-amzn-errortype": "NoException" })
      response.end(JSON.stringify({ message: "no\u001b]0;title\u0007\u001b[2J" }))
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const arn = "arn:aws:lambda:us-east-1:123456789012:function:f:1/durable-execution/n/i"
    const { code, stderr, stdout } = await kit.run(["get", arn, "--endpoint", `http://127.0.0.1:${port}`])
    server.close()
    server.closeAllConnections()
    assert.strictEqual(code, 5, stderr)
    assert.include(stderr, "no\\u001b]0;title\\u0007\\u001b[2J")
    assert.notInclude(stdout + stderr, "\u001b")
  })
})
