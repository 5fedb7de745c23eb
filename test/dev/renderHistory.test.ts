import { assert, describe, it } from "@effect/vitest"
import * as crypto from "node:crypto"
import { renderHistory } from "../../src/dev/renderHistory.ts"
import type * as History from "../../src/History.ts"

const hostile = "</script><script>alert(1)</script><!-- $& $1 \u2028"

const history: ReadonlyArray<History.Event> = [
  {
    EventType: "ExecutionStarted",
    EventId: 1,
    EventTimestamp: 1_700_000_000_000,
    Name: hostile,
    ExecutionStartedDetails: { Input: { Payload: hostile, Truncated: false }, ExecutionTimeout: 60 }
  }
]

const html = renderHistory(history)
const scripts = [...html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)].map(([, attributes, text]) => ({
  attributes,
  text: text!
}))

describe("renderHistory", () => {
  it("keeps data data", () => {
    assert.deepStrictEqual(
      scripts.map(({ attributes }) => attributes),
      [' type="application/json" id="history"', ""]
    )
    assert.deepStrictEqual(JSON.parse(scripts[0]!.text), history)
  })

  it("runs its own script and nothing else", () => {
    const [, policy = ""] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? []
    const hash = (text: string) => `'sha256-${crypto.createHash("sha256").update(text).digest("base64")}'`
    const [, style = ""] = /<style>([\s\S]*?)<\/style>/.exec(html) ?? []
    assert.include(policy, "default-src 'none'")
    assert.include(policy, `script-src ${hash(scripts[1]!.text)};`)
    assert.include(policy, `style-src ${hash(style)};`)
  })

  it("asks for nothing", () => {
    const outside = [...html.matchAll(/(?:src|href|url)\s*[=(]\s*["']([^"']+)/g)].map(([, target]) => target)
    assert.deepStrictEqual(
      outside.filter((target) => !target!.startsWith("#") && target !== "data:,"),
      []
    )
    assert.notMatch(scripts[1]!.text, /^\s*(import|export)\b/m)
    assert.notInclude(html, "EventSource")
  })
})
