import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cases } from "./cases.ts"

describe("examples survive a crash anywhere", () => {
  for (const [name, { crash }] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.map(crash, ({ boundaries, crashes }) => {
        assert.isAbove(boundaries, 2)
        assert.strictEqual(crashes, boundaries)
      })
    )
  }
})
