import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { readDuration } from "../../src/internal/core/operation.ts"

it("readDuration reads what it is given, whatever it has read last", () => {
  const object = { seconds: 1 }
  const inputs: ReadonlyArray<readonly [input: Duration.Input, millis: number | undefined]> = [
    ["2 seconds", 2_000],
    ["2 seconds", 2_000],
    ["soon" as Duration.Input, undefined],
    ["soon" as Duration.Input, undefined],
    ["2 seconds", 2_000],
    [NaN, undefined],
    [1_500, 1_500],
    [object, 1_000]
  ]
  for (const [input, millis] of inputs) {
    const read = readDuration(input)
    assert.strictEqual(read && Duration.toMillis(read), millis, String(input))
  }
  object.seconds = 3
  assert.strictEqual(Duration.toMillis(readDuration(object)!), 3_000, "an object may change")
})
