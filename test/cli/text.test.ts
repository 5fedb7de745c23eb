import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import { entries } from "../../scripts/error-tags.ts"
import { entryOf } from "../../src/cli/help.ts"
import { brief, duration, hasColors, safe, table } from "../../src/cli/terminal.ts"
import * as terminal from "../../src/cli/terminal.ts"
import * as timeline from "../../src/cli/timeline.ts"
import * as tree from "../../src/cli/tree.ts"
import * as DurableError from "../../src/DurableError.ts"
import type * as History from "../../src/History.ts"

const START = Date.UTC(2026, 10, 24, 12)

/** Events, one second apart. */
const history = (
  events: ReadonlyArray<Omit<History.Event, "EventId" | "EventTimestamp">>
): ReadonlyArray<History.Event> =>
  events.map((event, index) => ({ ...event, EventId: index + 1, EventTimestamp: START + index * 1000 }))

const events = history([
  { EventType: "ExecutionStarted", ExecutionStartedDetails: { Input: { Payload: "{}" }, ExecutionTimeout: 60 } },
  { EventType: "StepStarted", Id: "a", Name: "charge" },
  {
    EventType: "StepFailed",
    Id: "a",
    Name: "charge",
    StepFailedDetails: {
      Error: { Payload: { ErrorType: "Busy", ErrorMessage: "come\nback" } },
      RetryDetails: { CurrentAttempt: 1, NextAttemptDelaySeconds: 2 }
    }
  },
  { EventType: "StepStarted", Id: "a", Name: "charge" },
  {
    EventType: "StepSucceeded",
    Id: "a",
    Name: "charge",
    StepSucceededDetails: { Result: { Payload: '"c-7"' }, RetryDetails: { CurrentAttempt: 2 } }
  },
  { EventType: "ContextStarted", Id: "b", Name: "both", SubType: "Parallel" },
  { EventType: "ContextStarted", Id: "c", ParentId: "b", Name: "left", SubType: "ParallelBranch" },
  { EventType: "CallbackStarted", Id: "d", ParentId: "c", Name: "ask", CallbackStartedDetails: { CallbackId: "Q2I=" } },
  { EventType: "ContextStarted", Id: "e", ParentId: "b", Name: "right", SubType: "ParallelBranch" },
  {
    EventType: "ContextFailed",
    Id: "e",
    ParentId: "b",
    Name: "right",
    SubType: "ParallelBranch",
    ContextFailedDetails: { Error: { Payload: { ErrorType: "Refused", ErrorData: '{"why":"so"}' } } }
  },
  {
    EventType: "WaitStarted",
    Id: "f",
    Name: "a\u001b[31mwhile",
    WaitStartedDetails: { Duration: 3600, ScheduledEndTimestamp: START + 3_610_000 }
  },
  {
    EventType: "InvocationCompleted",
    InvocationCompletedDetails: { StartTimestamp: START, EndTimestamp: START + 250, RequestId: "r" }
  }
])

const heading = { functionName: "order", executionName: "7" }

describe("tree", () => {
  it("shows what is open, what failed, what was tried again", () => {
    assert.strictEqual(
      tree.format(tree.read(events), heading, START + 70_000, terminal.plain),
      `● order/7  running  1 min 10 s  1 invocation
├─ ✓ step charge  3 s  2 attempts
├─ ◷ parallel both  waiting  1 min 5 s
│  ├─ ◷ branch left  waiting  1 min 4 s
│  │  └─ ◷ callback ask  waiting for an answer  1 min 3 s
│  │        callback id Q2I=
│  └─ ✗ branch right  failed  1 s
│        Refused {"why":"so"}
└─ ◷ wait a\\u001b[31mwhile  waiting  1 min  59 min to go`
    )
  })

  it("is JSON too", () => {
    const [charge, both] = tree.toNode(tree.read(events).root, START + 70_000).Operations
    assert.deepInclude(charge, { Id: "a", Type: "STEP", Name: "charge", Attempts: 2, DurationMillis: 3000 })
    assert.strictEqual(both?.Operations[0]?.Operations[0]?.CallbackId, "Q2I=")
    assert.deepStrictEqual(both?.Operations[1]?.Error, { ErrorType: "Refused", ErrorData: '{"why":"so"}' })
  })

  it("takes nesting that is deeper than calls may be", () => {
    const deep = history([
      { EventType: "ExecutionStarted" },
      ...Array.from({ length: 3000 }, (_, index) => ({
        EventType: "ContextStarted" as const,
        Id: `${index}`,
        ...(index === 0 ? undefined : { ParentId: `${index - 1}` }),
        Name: "in"
      }))
    ])
    assert.strictEqual(tree.format(tree.read(deep), heading, START, terminal.plain).split("\n").length, 3001)
  })
})

describe("timeline", () => {
  it("has a line for each event", () => {
    assert.deepStrictEqual(
      events.map((event) => timeline.describe(event, terminal.plain, "order")),
      [
        "▸ execution order {}",
        "▸ step charge",
        "⟳ step charge Busy: come back (next attempt in 2 s)",
        "▸ step charge",
        '✓ step charge "c-7"',
        "▸ parallel both",
        "▸ branch left",
        "◷ callback ask",
        "▸ branch right",
        "✗ branch right Refused",
        "◷ wait a\\u001b[31mwhile 1 h",
        "‖ invocation ended after 250 ms"
      ]
    )
  })
})

describe("what AWS has added since", () => {
  const news = [
    ...history([events[0]!, events[1]!]),
    { EventType: "StepPaused", EventId: 3, EventTimestamp: START, Id: "a", Name: "charge" },
    {
      EventType: "Mailbox\u001b[31mOpened",
      EventId: 4,
      Id: "m",
      Name: "letters",
      "Mailbox\u001b[31mOpenedDetails": { Size: 7 }
    },
    { EventType: "ExecutionPaused", EventId: 5 }
  ]

  it("stands in the history as it is called, with what it carries", () => {
    assert.deepStrictEqual(news.map((event) => timeline.describe(event, terminal.plain)).slice(2), [
      "– StepPaused charge",
      '– Mailbox\\u001b[31mOpened letters {"Size":7}',
      "– ExecutionPaused"
    ])
  })

  it("has ended nothing in the tree, which says what it leaves out", () => {
    assert.strictEqual(
      tree.leftOut(news),
      "Not in this tree, because this version does not know them: StepPaused, Mailbox\\u001b[31mOpened, ExecutionPaused. " +
        "`history` shows these events."
    )
    assert.isUndefined(tree.leftOut(events))
    const { root } = tree.read(news)
    assert.deepStrictEqual(
      [root, ...root.children].map(({ name, status, tone }) => [name, status, tone]),
      [
        ["execution", "RUNNING", "running"],
        ["charge", "STARTED", "running"]
      ]
    )
  })
})

describe("text", () => {
  it("durations", () => {
    assert.deepStrictEqual([0, 999, 1000, 59_940, 60_000, 61_000, 3_600_000, 90_061_000].map(duration), [
      "0 ms",
      "999 ms",
      "1 s",
      "59.9 s",
      "1 min",
      "1 min 1 s",
      "1 h",
      "1 d 1 h"
    ])
  })

  it("a subtype may be any word", () => {
    for (const SubType of ["constructor", "__proto__", "toString"]) {
      const odd = history([{ EventType: "ContextStarted", Id: "a", Name: "n", SubType }])
      assert.strictEqual(timeline.describe(odd[0]!, terminal.plain), "▸ context n")
      assert.match(tree.format(tree.read(odd), heading, START, terminal.plain), /└─ ● context n/)
    }
  })

  it("what functions print keeps its colours and tabs, and nothing else", () => {
    assert.strictEqual(
      terminal.safeOutput("\u001b[1;31mred\u001b[0m\tb\u001b]0;title\u0007\u001b[2J\u001b[3Aup\u009b1m\rover"),
      "\u001b[1;31mred\u001b[0m\tb\\u001b]0;title\\u0007\\u001b[2J\\u001b[3Aup\\u009b1m\\u000dover"
    )
  })

  it("messages of several lines keep their lines", () => {
    assert.strictEqual(terminal.safeLines("a\u001b[2J:\n- b\r\n  - c"), "a\\u001b[2J:\n- b\n  - c")
  })

  it("of others does not command the terminal", () => {
    assert.strictEqual(safe("a\u001b]0;title\u0007b\u202ec"), "a\\u001b]0;title\\u0007b\\u202ec")
    assert.strictEqual(brief("one\n  two"), "one two")
    assert.strictEqual(brief("x".repeat(100)).length, 80)
  })

  it("tables", () => {
    assert.strictEqual(
      table([
        ["a", "bb", "c"],
        ["aaa", "b", ""]
      ]),
      "a    bb  c\naaa  b"
    )
  })

  it("has colours on terminals only", () => {
    const stream = (isTTY: boolean) => ({ isTTY }) as NodeJS.WriteStream
    assert.isFalse(hasColors(stream(false)))
    const before = process.env
    try {
      process.env = { TERM: "xterm" }
      assert.isTrue(hasColors(stream(true)))
      process.env = { TERM: "xterm", NO_COLOR: "1" }
      assert.isFalse(hasColors(stream(true)))
      process.env = { TERM: "dumb" }
      assert.isFalse(hasColors(stream(true)))
    } finally {
      process.env = before
    }
  })
})

describe("help", () => {
  it("is the entry of each of our errors", () => {
    const tags = Object.keys(DurableError).filter((name) => /^[A-Z]/.test(name) && name !== "Operation")
    assert.isAbove(tags.length, 25)
    const sections = entries()
    for (const tag of tags) {
      const [file = "", anchor] = entryOf(tag)?.split("#") ?? []
      assert.isTrue(fs.existsSync(file), tag)
      assert.strictEqual(anchor, tag.toLowerCase())
      assert.isTrue(sections.has(tag), tag)
    }
  })
  it("is nothing for errors of others", () => {
    for (const type of [undefined, "", "CardDeclined", "Operation", "toFields", "constructor", "__proto__"]) {
      assert.isUndefined(entryOf(type), type)
    }
  })
})
