import { assert, describe, it } from "@effect/vitest"
import { readTimeline } from "../../../src/dev/page/model.js"
import { makeScale, segmentsOf } from "../../../src/dev/page/scale.js"
import { pathsOf } from "../../../src/dev/page/tree.js"

/** A step that is tried `attempts` times, a second each, with a second in between. */
const history = (attempts: number) => [
  { EventType: "ExecutionStarted", EventId: 1, EventTimestamp: 0 },
  ...Array.from({ length: attempts }, (_, i) => [
    { EventType: "StepStarted", EventId: 2 * i + 2, EventTimestamp: 2000 * i, Id: "s" },
    {
      EventType: i === attempts - 1 ? "StepSucceeded" : "StepFailed",
      EventId: 2 * i + 3,
      EventTimestamp: 2000 * i + 1000,
      Id: "s",
      [i === attempts - 1 ? "StepSucceededDetails" : "StepFailedDetails"]: {
        RetryDetails: i === attempts - 1 ? {} : { NextAttemptDelaySeconds: 1 }
      }
    }
  ]).flat()
]

const paths = (attempts: number, width: number) => {
  const timeline = readTimeline(history(attempts))
  const now = 2000 * attempts
  return pathsOf(timeline.operations.get("s")!, makeScale(segmentsOf(timeline, now), width, "linear"), now)
}

describe("pathsOf", () => {
  it("a shape of its own for work that failed, work that succeeded, and the time between", () => {
    const found = paths(3, 300)
    assert.deepStrictEqual([...found.keys()], ["bar failed", "delay", "bar succeeded"])
    const count = (kind: string) => found.get(kind)!.match(/M/g)!.length
    assert.deepStrictEqual([count("bar failed"), count("delay"), count("bar succeeded")], [2, 2, 1])
  })
  it("no more than can be seen, however many attempts", () => {
    const found = paths(20_000, 300)
    assert.strictEqual(found.size, 3)
    for (const [kind, path] of found) assert.isBelow(path.match(/M/g)!.length, 1300, kind)
  })
  it("stays inside of the chart", () => {
    for (const path of paths(50, 200).values()) {
      for (const [, x] of path.matchAll(/M(-?[\d.]+)/g)) {
        assert.isAtLeast(Number(x), 0)
        assert.isAtMost(Number(x), 200)
      }
    }
  })
})
