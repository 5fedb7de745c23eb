import { assert, describe, it } from "@effect/vitest"
import { replayFolder } from "effect-durable-lambda/testing"
import * as fs from "node:fs"
import * as path from "node:path"
import { cases } from "./cases.ts"

const folder = path.resolve(import.meta.dirname, "../histories")

describe("recorded histories of the examples", () => {
  replayFolder(
    folder,
    Object.values(cases).map(({ workflow }) => workflow),
    it
  )

  it("there is one of each: npm run histories", () => {
    const recorded = fs.readdirSync(folder)
    assert.deepStrictEqual(
      Object.keys(cases).filter((name) => !recorded.includes(`${name}.json`)),
      []
    )
  })
})
