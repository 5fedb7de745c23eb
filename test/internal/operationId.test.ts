import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { digestOf, operationId, prefixOf, uniqueKey } from "../../src/internal/operationId.ts"

describe("operationId", () => {
  it("is pinned: running executions find their records by it", () => {
    assert.deepStrictEqual(
      {
        step: operationId("", "Step", "charge", 1),
        second: operationId("", "Step", "charge", 2),
        sleep: operationId("", "Wait", "sleep", 1),
        inside: operationId("yXbfE1bJ9gbr", "RunInChildContext", "a/b:c", 7),
        item: `${prefixOf("yXbfE1bJ9gbr")}17`,
        "in an item": operationId("yXbfE1bJ9gbr-17", "Step", "charge", 1),
        "in a deep context": operationId("yXbfE1bJ9gbr-17-yXbfE1bJ9gbr", "Step", "charge", 1),
        "non-ASCII name": operationId("", "Step", "ü", 1)
      },
      {
        step: "3Zo_Uk1Tm004",
        second: "3Zo_Uk1Tm004_2",
        sleep: "BYqi0OS7Ph8r",
        inside: "yXbfE1bJ9gbr-DF2MoEkrVrCM_7",
        item: "yXbfE1bJ9gbr-17",
        "in an item": "yXbfE1bJ9gbr-17-3Zo_Uk1Tm004",
        "in a deep context": "nrUtwFKETEmc-3Zo_Uk1Tm004",
        "non-ASCII name": "WObwcxdg8ePD"
      }
    )
  })

  it.prop(
    "is at most 49 of [a-zA-Z0-9-_], whatever the names and wherever it stands",
    [Schema.Array(Schema.Struct({ kind: Schema.String, name: Schema.String, occurrence: Schema.Int }))],
    ([path]) => {
      let id = ""
      for (const { kind, name, occurrence } of path) {
        id = operationId(id, kind, name, Math.abs(occurrence % 10_000_000_000) + 1)
        assert.match(id, /^[a-zA-Z0-9-_]{12,49}$/)
        const item = `${prefixOf(id)}${Math.abs(occurrence % 10_000_000)}`
        assert.match(item, /^[a-zA-Z0-9-_]{14,33}$/)
      }
    }
  )

  it("tells apart what differs in anything, also in where its parts end", () => {
    const parts = ["", "a", "b", "a:1", ":", "1", "1:1", "a:", ":a", "2"]
    const ids = new Set<string>()
    let n = 0
    const paths = [
      "",
      "abcdefghijkl",
      "abcdefghijkl-1",
      "abcdefghijkl_2",
      "abcdefghijkl_2-1",
      "abcdefghijkl-1-abcdefghijkl"
    ]
    for (const path of paths) {
      for (const kind of ["Step", "Wait", "StepWait"]) {
        for (const name of parts) {
          for (const occurrence of [1, 2, 11]) {
            ids.add(operationId(path, kind, name, occurrence))
            n++
          }
        }
      }
      for (const index of [0, 1, 2, 11]) {
        ids.add(`${prefixOf(path)}${index}`)
        n++
      }
    }
    assert.strictEqual(ids.size, n)
  })

  it("is the same when digests are made anew, however many names there are", () => {
    const first = digestOf("Step", "name-0")
    for (let i = 1; i < 3_000; i++) digestOf("Step", `name-${i}`)
    assert.strictEqual(digestOf("Step", "name-0"), first)
  })
})

describe("uniqueKey", () => {
  it("is 22 characters that only this text has", () => {
    assert.match(uniqueKey("arn#id"), /^[a-zA-Z0-9-_]{22}$/)
    assert.notStrictEqual(uniqueKey("arn#id"), uniqueKey("arn#id2"))
  })
})
