import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { operationId } from "../../src/internal/operationId.ts"

describe("operationId", () => {
  it("is pinned: running executions find their records by it", () => {
    assert.deepStrictEqual(
      {
        step: operationId("", "Step", "charge", 1),
        second: operationId("", "Step", "charge", 2),
        sleep: operationId("", "Wait", "sleep", 1),
        inside: operationId("yXbfE1bJ9gbrGbW2gHeRgM", "RunInChildContext", "a/b:c", 7),
        "non-ASCII path": operationId("ü", "Step", "x", 1)
      },
      {
        step: "eAATcOPBiBMIZ-FoOiR7O0",
        second: "jWVYP5wcTIL-y1l9WN-vBr",
        sleep: "_75TvloIHjbzSX3qTaWC7I",
        inside: "JnxO_JrjAfUlk11q0E2-ss",
        "non-ASCII path": "Rh_Hstpg4kBophb_Mvlzff"
      }
    )
  })

  it.prop(
    "is 22 of [a-zA-Z0-9-_], whatever the names",
    [Schema.String, Schema.String, Schema.String, Schema.Int],
    ([path, kind, name, occurrence]) => {
      assert.match(operationId(path, kind, name, occurrence), /^[a-zA-Z0-9-_]{22}$/)
    }
  )

  it("tells apart what differs in anything, also in where its parts end", () => {
    const parts = ["", "a", "b", "a:1", ":", "1", "1:1", "a:", ":a", "2"]
    const ids = new Set<string>()
    let n = 0
    for (const path of ["", "p", "p/q"]) {
      for (const kind of ["Step", "Wait", "StepWait"]) {
        for (const name of parts) {
          for (const occurrence of [1, 2, 11]) {
            ids.add(operationId(path, kind, name, occurrence))
            n++
          }
        }
      }
    }
    assert.strictEqual(ids.size, n)
  })
})
