import { assert, describe, it } from "@effect/vitest"
import type { Timeline } from "../../../src/dev/page/model.js"
import {
  formatBytes,
  formatDuration,
  formatInstant,
  makeScale,
  segmentsOf,
  ticksOf
} from "../../../src/dev/page/scale.js"

const day = 86_400_000

const timeline = (
  invocations: ReadonlyArray<readonly [from: number, to?: number]>,
  times: { readonly from: number; readonly to?: number }
) =>
  ({
    ...times,
    invocations: invocations.map(([from, to], index) => ({
      number: index + 1,
      from,
      ...(to === undefined ? {} : { to })
    }))
  }) as unknown as Timeline

const shape = (segments: ReturnType<typeof segmentsOf>) =>
  segments.map(({ active, from, to }) => [active ? "work" : "idle", from, to])

describe("segmentsOf", () => {
  it("invocations, and what is between them", () => {
    assert.deepStrictEqual(
      shape(
        segmentsOf(
          timeline(
            [
              [5, 20],
              [day, day + 50]
            ],
            { from: 0, to: day + 60 }
          ),
          0
        )
      ),
      [
        ["idle", 0, 5],
        ["work", 5, 20],
        ["idle", 20, day],
        ["work", day, day + 50],
        ["idle", day + 50, day + 60]
      ]
    )
  })
  it("an invocation that runs goes on until now", () => {
    assert.deepStrictEqual(shape(segmentsOf(timeline([[0]], { from: 0 }), 40)), [["work", 0, 40]])
  })
  it("clocks that disagree give segments in order", () => {
    const segments = segmentsOf(
      timeline(
        [
          [-5, 20],
          [10, 30],
          [50, 40]
        ],
        { from: 0, to: 45 }
      ),
      0
    )
    for (const [index, { from, to }] of segments.entries()) {
      assert.isAtMost(from, to)
      assert.strictEqual(from, index === 0 ? 0 : segments[index - 1]!.to)
    }
    assert.strictEqual(segments.at(-1)?.to, 45)
  })
  it("nothing has happened yet", () => {
    const scale = makeScale(segmentsOf(timeline([], { from: 0 }), 0), 100, "compressed")
    assert.strictEqual(scale.x(0), 0)
    assert.deepStrictEqual(ticksOf(scale, "linear"), [])
  })
})

describe("makeScale", () => {
  const segments = segmentsOf(
    timeline(
      [
        [0, 30],
        [3 * day, 3 * day + 400]
      ],
      { from: 0, to: 3 * day + 400 }
    ),
    0
  )
  for (const mode of ["compressed", "linear"] as const) {
    it(`${mode}: in order, from edge to edge`, () => {
      const scale = makeScale(segments, 500, mode)
      let last = -1
      for (let at = -10; at < 3 * day + 1000; at += day / 1000) {
        const x = scale.x(at)
        assert.isAtLeast(x, last)
        assert.isAtMost(x, 500.001)
        last = x
      }
      assert.strictEqual(scale.x(0), 0)
      assert.closeTo(scale.x(3 * day + 400), 500, 1e-6)
      assert.closeTo(scale.x(4 * day), 500, 1e-6)
    })
  }
  it("milliseconds of work are seen beside days of waiting, but on a linear scale", () => {
    const compressed = makeScale(segments, 500, "compressed")
    assert.isAbove(compressed.segments[0]!.width, 50)
    assert.isAbove(compressed.segments[2]!.width, 120)
    assert.isBelow(makeScale(segments, 500, "linear").segments[0]!.width, 0.1)
  })
  it("labels do not overlap", () => {
    const many = segmentsOf(
      timeline(
        Array.from({ length: 200 }, (_, i) => [i * 1000, i * 1000 + 300] as const),
        { from: 0, to: 200_000 }
      ),
      0
    )
    for (const width of [200, 900, 20_000]) {
      const ticks = ticksOf(makeScale(many, width, "compressed"), "compressed")
      for (let i = 1; i < ticks.length; i++) {
        assert.isAtLeast(ticks[i]!.x - ticks[i - 1]!.x, (ticks[i]!.text.length + ticks[i - 1]!.text.length) * 3.4)
      }
    }
  })
  it("ticks of a linear scale are round", () => {
    const scale = makeScale(segmentsOf(timeline([[0, 4000]], { from: 0, to: 4000 }), 0), 450, "linear")
    assert.deepStrictEqual(
      ticksOf(scale, "linear").map(({ text }) => text),
      ["0 ms", "1 s", "2 s", "3 s", "4 s"]
    )
  })
})

describe("words", () => {
  for (const [millis, text] of [
    [0, "0 ms"],
    [0.4, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1 s"],
    [1000, "1 s"],
    [2140, "2.1 s"],
    [9960, "10 s"],
    [59_499, "59 s"],
    [59_500, "1 min"],
    [59_999, "1 min"],
    [250_000, "4 min 10 s"],
    [3_599_600, "1 h"],
    [11_100_000, "3 h 5 min"],
    [day - 1, "1 d"],
    [3 * day + 4 * 3_600_000, "3 d 4 h"],
    [366 * day, "366 d"],
    [-5, "0 ms"]
  ] as const) {
    it(`${millis} ms is ${text}`, () => assert.strictEqual(formatDuration(millis), text))
  }
  it("instants and sizes", () => {
    assert.match(formatInstant(1_767_356_934_930, true), /^202\d-\d\d-\d\d \d\d:\d\d:54\.930$/)
    assert.strictEqual(formatInstant(Number.NaN), "unknown")
    assert.deepStrictEqual([formatBytes(340), formatBytes(1240), formatBytes(2_500_000)], ["340 B", "1.2 kB", "2.5 MB"])
  })
})
