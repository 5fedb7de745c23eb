/** Code that changes under running executions. `docs/versions.md` has the table; each of its rows is tested here. */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

const step = (name: string, value: unknown = name) => Durable.step(name, Effect.succeed(value as string))
const wait = Durable.wait("pause", "1 second")
const both = (...effects: ReadonlyArray<kit.Body>) => Effect.all(effects, { concurrency: "unbounded" })
const oneByOne = (...effects: ReadonlyArray<kit.Body>) => Effect.all(effects)
const declaring = (declarations: Effect.Effect<void, never, Durable.Requires>, body: kit.Body) =>
  Effect.andThen(declarations, body)
const { added, retired } = Durable

type Unvisited = "fail" | "ignore"

/** Starts with one version of the code and goes on with another, to the end. */
const versions = (
  before: kit.Body,
  after: kit.Body,
  unvisited?: Unvisited,
  between: (service: FakeService.FakeService) => void = () => {}
) =>
  Effect.gen(function* () {
    const service = FakeService.make()
    const warnings: Array<string> = []
    const console = Object.assign(Object.create(globalThis.console), {
      warn: (line: string) => void warnings.push(line)
    }) as Console.Console
    const make = (body: kit.Body) =>
      DurableHandler.make(kit.Anything, () => body, {
        ...service.handlerOptions,
        layer: Layer.succeed(Console.Console, console),
        ...(unvisited === undefined ? undefined : { unvisited })
      })
    assert.deepStrictEqual(yield* service.invoke(make(before)), { Status: "PENDING" })
    const sent = service.requests.length
    service.pass(1)
    between(service)
    let answer = yield* service.invoke(make(after))
    const first = service.trace.slice(sent).flat().filter((update) => !update.includes("order-of-completions")) // prettier-ignore
    for (let i = 0; i < 5 && answer.Status === "PENDING"; i++) {
      service.pass(10)
      answer = yield* service.invoke(make(after))
    }
    return { answer, sent: service.requests.slice(sent), first, service, warnings }
  })

const messageOf = ({ answer }: Effect.Success<ReturnType<typeof versions>>): string => {
  assert(answer.Status === "FAILED", JSON.stringify(answer))
  assert.strictEqual(answer.Error?.ErrorType, "NonDeterministic")
  return answer.Error?.ErrorMessage ?? ""
}

// ---- the table -----------------------------------------------------------------------------------------

/** What comes of it: a result, or the message of what ends it. */
type Outcome = unknown

interface Row {
  readonly before: kit.Body
  readonly after: kit.Body
  readonly fails: Outcome
  readonly ignored: Outcome
  /** With the declarations that the table names. */
  readonly declared?: readonly [body: kit.Body, outcome: Outcome]
}

const v1 = oneByOne(step("a"), step("b"), wait)
const fine = (before: kit.Body, after: kit.Body, result: unknown): Row => ({
  before,
  after,
  fails: result,
  ignored: result
})
const open = Durable.wait("open", "5 seconds")
/** Not JSON: the context is rebuilt from its records. */
const odd = (body: kit.Body) => Effect.map(body, (value) => new Set([value]))
const list = (length: number) =>
  Durable.map("list", Array.from({ length }, (_, i) => i), (i) => Durable.step("item", Effect.succeed(i))) // prettier-ignore

const rows: Readonly<Record<string, ReadonlyArray<Row>>> = {
  "change nothing": [fine(v1, v1, ["a", "b", null])],
  "add operations after everything that is on record": [
    fine(v1, oneByOne(step("a"), step("b"), wait, step("c")), ["a", "b", null, "c"])
  ],
  "insert an operation with a new name": [
    {
      before: v1,
      after: oneByOne(step("a"), step("new"), step("b"), wait),
      fails: /expected STEP "b" \([\w-]+\), WAIT "pause" \([\w-]+\), got STEP "new" \(/,
      ignored: ["a", "new", "b", null],
      declared: [declaring(added("new"), oneByOne(step("a"), step("new"), step("b"), wait)), ["a", "new", "b", null]]
    },
    {
      before: v1,
      after: oneByOne(step("a"), Durable.wait("new", "5 seconds"), step("b"), wait),
      fails:
        /got WAIT "new" \(.*Most likely WAIT "new" was inserted or moved ahead of it\. .*`yield\* Durable\.added\("new"\)`/,
      ignored: ["a", null, "b", null],
      declared: [
        declaring(added("new"), oneByOne(step("a"), Durable.wait("new", "5 seconds"), step("b"), wait)),
        ["a", null, "b", null]
      ]
    },
    {
      before: v1,
      after: oneByOne(step("a"), Durable.childContext("new", oneByOne(step("b"), wait)), step("b"), wait),
      fails: /expected STEP "b" .*got STEP "b" \([\w-]+\), CONTEXT "new" \(/,
      ignored: ["a", ["b", null], "b", null],
      declared: [
        declaring(
          added("new"),
          oneByOne(step("a"), Durable.childContext("new", oneByOne(step("b"), wait)), step("b"), wait)
        ),
        ["a", ["b", null], "b", null]
      ]
    }
  ],
  "remove an operation": [
    {
      before: v1,
      after: oneByOne(step("a"), wait),
      fails:
        /expected STEP "b" \([\w-]+\), got nothing.*Most likely STEP "b" was removed\. Put it back, or write `yield\* Durable\.retired\("b"\)` at the beginning of the workflow/,
      ignored: ["a", null],
      declared: [declaring(retired("b"), oneByOne(step("a"), wait)), ["a", null]]
    },
    {
      before: v1,
      after: step("c"),
      fails: /expected .*STEP "a"/,
      ignored: "c",
      declared: [declaring(retired("a", "b", "pause"), step("c")), "c"]
    }
  ],
  "rename an operation": [
    {
      before: v1,
      after: oneByOne(step("a"), step("B"), wait),
      fails: /expected STEP "b" \([\w-]+\), WAIT "pause" \([\w-]+\), got STEP "B" \(/,
      ignored: ["a", "B", null],
      declared: [
        declaring(Effect.andThen(added("B"), retired("b")), oneByOne(step("a"), step("B"), wait)),
        ["a", "B", null]
      ]
    }
  ],
  "turn an operation into one of another kind": [
    {
      before: oneByOne(step("a"), Durable.wait("x", "1 second")),
      after: oneByOne(step("a"), step("x")),
      fails: /expected WAIT "x" \([\w-]+\), got STEP "x" \(/,
      ignored: ["a", "x"],
      declared: [
        declaring(Effect.andThen(added("new x"), retired("x")), oneByOne(step("a"), step("new x"))),
        ["a", "new x"]
      ]
    }
  ],
  "move an operation into a child context, or out of one": [
    {
      before: v1,
      after: oneByOne(step("a"), Durable.childContext("c", oneByOne(step("b"), wait))),
      fails: /expected STEP "b" .*got STEP "b" .*"b" was moved to another context \(child context "c"\)/,
      ignored: ["a", ["b", null]],
      declared: [
        declaring(
          Effect.andThen(added("c"), retired("b", "pause")),
          oneByOne(step("a"), Durable.childContext("c", oneByOne(step("b"), wait)))
        ),
        ["a", ["b", null]]
      ]
    }
  ],
  "insert an operation with a name that is there already": [
    {
      before: oneByOne(step("a", "old"), step("b"), wait),
      after: oneByOne(step("a", "new"), step("a", "old"), step("b"), wait),
      fails:
        /got STEP "a" \(.*Most likely a second STEP "a" was inserted, and the first takes what is on record for it/,
      ignored: /a second STEP "a" was inserted/,
      declared: [
        declaring(added("a"), oneByOne(step("a", "new"), step("a", "old"), step("b"), wait)),
        /Durable\.step\("a"\): the body says Durable\.added\("a"\), and asks for a second STEP "a" in the workflow/
      ]
    }
  ],
  "reorder operations": [
    fine(v1, oneByOne(step("b"), step("a"), wait), ["b", "a", null]),
    fine(oneByOne(both(step("a"), step("b")), wait), oneByOne(both(step("b"), step("a")), wait), [["b", "a"], null])
  ],
  "move an operation that is still open ahead of others": [
    {
      before: oneByOne(step("a"), step("b"), open),
      after: oneByOne(open, step("a"), step("b")),
      fails:
        /expected STEP "a" .*got nothing.* or WAIT "open" was moved ahead of it.*`yield\* Durable\.added\("open"\)` \(moved\)/,
      ignored: [null, "a", "b"],
      declared: [declaring(added("open"), oneByOne(open, step("a"), step("b"))), [null, "a", "b"]]
    }
  ],
  "make sequential operations concurrent, or concurrent ones sequential": [
    fine(v1, oneByOne(both(step("a"), step("b")), wait), [["a", "b"], null]),
    fine(oneByOne(both(step("a"), step("b")), wait), v1, ["a", "b", null])
  ],
  "change a duration, a payload, a retry, or what a step does": [
    fine(oneByOne(step("a", 1), Durable.wait("w", "1 second")), oneByOne(step("a", 2), Durable.wait("w", "5 days")), [
      1,
      null
    ])
  ],
  "change a child context that has ended": [
    fine(oneByOne(Durable.childContext("c", step("a")), wait), oneByOne(Durable.childContext("c", step("other")), wait), ["a", null]) // prettier-ignore
  ],
  "insert into a child context that is rebuilt from its records": [
    {
      before: oneByOne(Effect.as(Durable.childContext("c", odd(step("a"))), 1), wait),
      after: oneByOne(Effect.as(Durable.childContext("c", odd(oneByOne(step("new"), step("a")))), 1), wait),
      fails: /child context "c" is finished and runs again only to rebuild its result, but it asks for STEP "new"/,
      ignored: /runs again only to rebuild its result, but it asks for STEP "new"/,
      declared: [
        oneByOne(
          Effect.as(Durable.childContext("c", declaring(added("new"), odd(oneByOne(step("new"), step("a"))))), 1),
          wait
        ),
        /runs again only to rebuild its result, but it asks for STEP "new"/
      ]
    }
  ],
  "change how many items or branches there are": [
    { before: oneByOne(list(2), wait), after: oneByOne(list(3), wait), fails: /CONTEXT "list" .* is recorded with 2 items, and has 3 now/, ignored: /has 3 now/ } // prettier-ignore
  ]
}

const checks = (outcome: Outcome, ran: Effect.Success<ReturnType<typeof versions>>) => {
  const { answer, sent } = ran
  if (outcome instanceof RegExp) {
    assert(answer.Status === "FAILED", JSON.stringify(answer))
    assert.match(answer.Error?.ErrorMessage ?? "", outcome)
    if (/expected|got/.test(outcome.source)) assert.match(messageOf(ran), /^Non-deterministic: /)
    assert.deepStrictEqual(sent, [], "something was sent before it was noticed")
  } else {
    assert(answer.Status === "SUCCEEDED", JSON.stringify(answer))
    assert.deepStrictEqual(JSON.parse(answer.Result ?? "null"), outcome)
  }
}

describe("changes: the table of docs/versions.md", () => {
  for (const [row, cases] of Object.entries(rows)) {
    for (const [i, { after, before, declared, fails, ignored }] of cases.entries()) {
      const name = cases.length === 1 ? row : `${row} (${i + 1})`
      it.effect(`${name}: as it is`, () => Effect.map(versions(before, after), (ran) => checks(fails, ran)))
      it.effect(`${name}: declared`, () =>
        declared === undefined
          ? Effect.void
          : Effect.map(versions(before, declared[0]), (ran) => checks(declared[1], ran))
      )
      it.effect(`${name}: ignored`, () =>
        Effect.map(versions(before, after, "ignore"), (ran) => {
          checks(ignored, ran)
          if (fails instanceof RegExp && ran.answer.Status === "SUCCEEDED") assert.match(ran.warnings.join(), fails)
        })
      )
    }
  }

  it("has a row for each of these, and these for each row", () => {
    const text = fs.readFileSync(path.resolve(import.meta.dirname, "../../docs/versions.md"), "utf8")
    const table = text.slice(text.indexOf("| change")).split("\n\n")[0]!
    const documented = table.split("\n").slice(2).map((line) => line.split("|")[1]!.trim()) // prettier-ignore
    assert.deepStrictEqual(documented, Object.keys(rows).slice(1))
  })
})

// ---- the message -----------------------------------------------------------------------------------------

describe("changes: what is said", () => {
  const said = (before: kit.Body, after: kit.Body) => Effect.map(versions(before, after), messageOf)

  it.effect("all of it", () =>
    Effect.gen(function* () {
      const message = yield* said(oneByOne(step("a"), Durable.wait("x", "1 second")), oneByOne(step("a"), step("x")))
      assert.strictEqual(
        message.replaceAll(/ \([\w-]+\)/g, ""),
        'Non-deterministic: expected WAIT "x", got STEP "x". An earlier invocation recorded the former, and the code ' +
          "does not ask for it again. The code was changed under a running execution, or is not deterministic (Date.now, " +
          "Math.random, environment or memory outside of the workflow decide what it does). Most likely " +
          '"x" was a Wait, and is a Step now. Give it a name of its own, and write ' +
          '`yield* Durable.added("its name")` and `yield* Durable.retired("x")` at the beginning of the workflow. Or finish ' +
          "running executions on the version they started with (publish versions, invoke through an alias). " +
          'Last operations of the workflow: STEP "a", STEP "x". (help: docs/troubleshooting.md#nondeterministic in effect-durable-lambda)'
      )
    })
  )

  const causes: ReadonlyArray<readonly [what: string, before: kit.Body, after: kit.Body, cause: RegExp]> = [
    [
      "renamed",
      v1,
      oneByOne(step("a"), step("B"), wait),
      /"b" was renamed to "B", or "B" was inserted or moved ahead of it\. Put it back, or write `yield\* Durable\.added\("B"\)` \(inserted\), with `yield\* Durable\.retired\("b"\)` \(renamed: it runs again\) at the beginning of the workflow/
    ],
    [
      "another kind of context",
      oneByOne(Effect.as(Durable.parallel("c", [wait]), 1)),
      Durable.childContext("c", wait),
      /"c" was a Parallel, and is a RunInChildContext now/
    ],
    [
      "several removed",
      oneByOne(step("a"), step("a"), step("b"), Durable.wait("w", "1 second")),
      step("c"),
      /`yield\* Durable\.retired\("a"\)` \(renamed/
    ],
    [
      "all removed",
      oneByOne(step("a"), step("a"), step("b"), Durable.wait("w", "1 second")),
      Effect.void,
      /expected .*, got nothing.*`yield\* Durable\.retired\("a", "b", "w"\)`/
    ],
    [
      "a name with a time in it",
      oneByOne(step("label 1764450000123"), wait),
      oneByOne(step("label 1764450009456"), wait),
      /the name is made of something that differs from run to run \(Date\.now, Math\.random\).*`yield\* Durable\.added\("label 1764450009456"\)`/
    ],
    [
      "a name with an id in it",
      oneByOne(step("mail 0b7c1f3e-9a42-4d7b-8f0e-0a1b2c3d4e5f"), wait),
      oneByOne(step("mail f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), wait),
      /the name is made of something that differs from run to run/
    ],
    [
      "in a child context",
      Durable.childContext("c", oneByOne(step("a"), step("b"), wait)),
      Durable.childContext("c", oneByOne(step("a"), Durable.wait("new", "1 hour"), step("b"), wait)),
      /got WAIT "new" .*`yield\* Durable\.added\("new"\)` at the beginning of child context "c".*Last operations of child context "c": STEP "a" .*WAIT "new"/
    ]
  ]
  for (const [what, before, after, cause] of causes) {
    it.effect(what, () => Effect.map(said(before, after), (message) => assert.match(message, cause)))
  }

  it.effect("the last five operations are shown, and long lists are cut", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 12 }, (_, i) => `s${i}`)
      const message = yield* said(
        oneByOne(...names.map((name) => step(name)), wait),
        oneByOne(...names.slice(0, 6).map((name) => step(name)), step("other"))
      )
      assert.match(message, /expected STEP "s6" .* and 2 more, got STEP "other"/)
      assert.match(message, /Last operations of the workflow: STEP "s2" .*STEP "s5" .*STEP "other"/)
      assert.notMatch(message.slice(message.indexOf("Last operations")), /"s1"/)
    })
  )
})

// ---- when it is noticed ------------------------------------------------------------------------------------

describe("changes: contexts", () => {
  it.effect("removed at the end of a context: it does not go on record", () =>
    Effect.gen(function* () {
      const ran = yield* versions(
        Durable.childContext("c", oneByOne(step("a"), step("b"), wait)),
        Effect.andThen(Durable.childContext("c", step("a")), step("after"))
      )
      assert.match(messageOf(ran), /expected STEP "b" .*got nothing.*at the beginning of child context "c"/)
      assert.deepStrictEqual(ran.sent, [])
    })
  )

  it.effect("removed at the end of an item", () =>
    Effect.gen(function* () {
      const ran = yield* versions(
        Durable.map("m", [1, 2], () => oneByOne(step("a"), step("b"), wait)),
        Durable.map("m", [1, 2], () => step("a"))
      )
      assert.match(messageOf(ran), /expected STEP "b" .*got nothing/)
      assert.deepStrictEqual(ran.sent, [])
    })
  )

  it.effect("removed from a context that is rebuilt", () =>
    Effect.gen(function* () {
      const before = oneByOne(Effect.as(Durable.childContext("c", odd(oneByOne(step("a"), step("b")))), 1), wait)
      const after = (more: Effect.Effect<void, never, Durable.Requires>) =>
        oneByOne(Effect.as(Durable.childContext("c", declaring(more, odd(step("a")))), 1), wait)
      const ran = yield* versions(before, after(Effect.void))
      assert.match(messageOf(ran), /expected STEP "b" .*got nothing.*at the beginning of child context "c"/)
      assert.strictEqual((yield* versions(before, after(retired("b")))).answer.Status, "SUCCEEDED")
    })
  )

  it.effect("removed at the end, and the invocation ignores it", () =>
    Effect.gen(function* () {
      const { answer, warnings } = yield* versions(
        Durable.childContext("c", oneByOne(step("a"), step("b"), wait)),
        Durable.childContext("c", step("a")),
        "ignore"
      )
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"a"' })
      assert.match(warnings.join(), /expected STEP "b"/)
    })
  )

  it.effect("a declaration holds for its own context only", () =>
    Effect.gen(function* () {
      const inner = (...declared: ReadonlyArray<Effect.Effect<void, never, Durable.Requires>>) =>
        Durable.childContext(
          "c",
          declaring(Effect.all(declared, { discard: true }), oneByOne(step("new"), step("b"), wait))
        )
      const before = Durable.childContext("c", oneByOne(step("b"), wait))
      const outside = yield* versions(before, declaring(added("new"), inner()))
      assert.match(messageOf(outside), /at the beginning of child context "c"/)
      assert.strictEqual((yield* versions(before, inner(added("new")))).answer.Status, "SUCCEEDED")
    })
  )

  it.effect("items and virtual contexts", () =>
    Effect.gen(function* () {
      for (const nesting of ["nested", "flat"] as const) {
        const map = (item: kit.Body) => Durable.map("m", [1, 2], () => item, { nesting })
        const { answer } = yield* versions(
          map(oneByOne(step("b"), step("old"), wait)),
          map(declaring(Effect.andThen(added("new"), retired("old")), oneByOne(step("new"), step("b"), wait)))
        )
        assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '[["new","b",null],["new","b",null]]' }, nesting)
      }
      const virtual = (body: kit.Body) => Durable.childContext("v", body, { virtual: true })
      const { answer } = yield* versions(
        virtual(oneByOne(step("b"), step("old"), wait)),
        virtual(declaring(Effect.andThen(added("new"), retired("old")), oneByOne(step("new"), step("b"), wait)))
      )
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '["new","b",null]' })
      // what the message says to do is what helps
      const inserted = virtual(oneByOne(step("new"), step("b"), wait))
      const around = yield* versions(virtual(oneByOne(step("b"), wait)), declaring(added("new"), inserted))
      assert.match(messageOf(around), /`yield\* Durable\.added\("new"\)`.* at the beginning of virtual context "v"/)
    })
  )

  it.effect("a virtual context that was added: all in it is new", () =>
    Effect.gen(function* () {
      const virtual = (name: string, body: kit.Body) => Durable.childContext(name, body, { virtual: true })
      const after = oneByOne(step("a"), virtual("v", oneByOne(step("b"), virtual("w", step("b")))), step("b"), wait)
      const { answer } = yield* versions(v1, declaring(added("v"), after))
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '["a",["b","b"],"b",null]' })
      const twice = oneByOne(virtual("v", step("a")), virtual("v", step("a")))
      const { message, type } = yield* kit
        .faultOf(declaring(added("v"), twice))
        .pipe(Effect.provide(TestRunner.layerMemory))
      assert.strictEqual(type, "InvalidOperation")
      assert.match(message, /^Durable\.childContext\("v"\): the body says Durable\.added\("v"\), and asks for a second/)
    })
  )
})

// ---- what has gone while it was open -----------------------------------------------------------------------

describe("changes: what has gone while it was open", () => {
  const fails = Durable.step("gone", Effect.fail(new Error("not yet")), { retry: Schedule.spaced("1 minute") })
  const gone: Readonly<Record<string, readonly [operation: kit.Body, status: string]>> = {
    "a wait": [Durable.wait("gone", "1 hour"), "STARTED"],
    "a callback": [Effect.flatMap(Durable.callback("gone"), (made) => made.await), "STARTED"],
    "an invoked function": [Durable.invoke("gone", { payload: Schema.Null }, null, { functionName: "f" }), "STARTED"],
    "a step between two attempts": [fails, "PENDING"],
    "a child context": [Durable.childContext("gone", oneByOne(step("in"), Durable.wait("inner", "1 hour"))), "STARTED"],
    "a batch": [Durable.map("gone", [1, 2], () => Durable.wait("inner", "1 hour")), "STARTED"],
    "a condition": [
      Durable.waitForCondition("gone", Effect.succeed, {
        initial: 1,
        state: Schema.Number,
        until: () => false,
        schedule: Schedule.spaced("1 minute")
      }),
      "PENDING"
    ]
  }
  for (const [what, [operation, status]] of Object.entries(gone)) {
    it.effect(`${what}: the execution goes on and ends without it`, () =>
      Effect.gen(function* () {
        const { answer, sent, service } = yield* versions(
          oneByOne(step("a"), both(operation, wait)),
          declaring(retired("gone"), oneByOne(step("a"), wait, step("b"), Durable.wait("later", "10 seconds")))
        )
        assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '["a",null,"b",null]' })
        assert.strictEqual(service.record("gone").Status, status)
        const id = service.record("gone").Id
        const touched = sent.flatMap(({ Updates }) =>
          Updates.filter(({ Id, ParentId }) => Id === id || ParentId === id)
        )
        assert.deepStrictEqual(touched, [])
      })
    )
  }

  it.effect("a step whose attempt was cut off does not run again", () =>
    Effect.gen(function* () {
      let attempts = 0
      const cut = Durable.step("gone", Effect.sync(() => ++attempts)) // prettier-ignore
      const { answer } = yield* versions(
        oneByOne(step("a"), cut, wait),
        declaring(retired("gone"), oneByOne(step("a"), wait)),
        "fail",
        (service) => service.change("gone", { Status: "STARTED", StepDetails: { Attempt: 0 } })
      )
      assert.strictEqual(answer.Status, "SUCCEEDED")
      assert.strictEqual(attempts, 1)
    })
  )

  it.effect("a retry whose time comes is not made", () =>
    Effect.gen(function* () {
      let attempts = 0
      const flaky = Durable.step(
        "gone",
        Effect.suspend(() => (++attempts, Effect.fail(new Error("not yet")))),
        { retry: Schedule.spaced("2 seconds") }
      )
      const { answer, service } = yield* versions(
        oneByOne(step("a"), both(flaky, Durable.wait("long", "30 seconds"))),
        declaring(retired("gone"), oneByOne(step("a"), Durable.wait("long", "30 seconds")))
      )
      assert.strictEqual(answer.Status, "SUCCEEDED")
      assert.strictEqual(attempts, 1)
      assert.strictEqual(service.record("gone").Status, "READY")
    })
  )
})

// ---- what comes beside what else is new --------------------------------------------------------------------

describe("changes: what is new and not declared", () => {
  // "tail" had not begun when the code changed; "b" is on record behind what is added
  const before = both(step("b"), oneByOne(step("a"), wait, step("tail")))
  const after = (...more: ReadonlyArray<string>) =>
    declaring(
      added("new", ...more),
      both(oneByOne(Durable.wait("new", "5 seconds"), step("b")), oneByOne(step("a"), wait, step("tail")))
    )

  it.effect("waits until what was added has let the code come to what is on record, and a warning says so", () =>
    Effect.gen(function* () {
      const { answer, first, warnings } = yield* versions(before, after())
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '[[null,"b"],["a",null,"tail"]]' })
      assert.deepStrictEqual(first, ["START WAIT new"])
      assert.match(
        warnings.join(),
        /STEP "tail" \([\w-]+\) waits until the code has asked for all that is on record: .*`yield\* Durable\.added\("tail"\)`, too/
      )
    })
  )

  it.effect("declared, it does not wait", () =>
    Effect.gen(function* () {
      const { answer, first, warnings } = yield* versions(before, after("tail"))
      assert.strictEqual(answer.Status, "SUCCEEDED")
      assert.includeMembers([...first], ["START WAIT new", "SUCCEED STEP tail"])
      assert.deepStrictEqual(warnings, [])
    })
  )

  it.effect("in another context it does not wait", () =>
    Effect.gen(function* () {
      const inner = Durable.childContext("other", oneByOne(step("a"), wait, step("tail")))
      const { first } = yield* versions(
        both(step("b"), inner),
        declaring(added("new"), both(oneByOne(Durable.wait("new", "5 seconds"), step("b")), inner))
      )
      assert.includeMembers([...first], ["START WAIT new", "SUCCEED STEP tail"])
    })
  )

  it.effect("a context waits with all that is in it", () =>
    Effect.gen(function* () {
      const tail = (inner: kit.Body) => oneByOne(step("a"), wait, inner)
      const inner = Durable.childContext("tail", step("in"))
      const { answer, first } = yield* versions(
        both(step("b"), tail(inner)),
        declaring(added("new"), both(oneByOne(Durable.wait("new", "5 seconds"), step("b")), tail(inner)))
      )
      assert.deepStrictEqual(first, ["START WAIT new"])
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '[[null,"b"],["a",null,"in"]]' })
    })
  )
})

// ---- what was added decides --------------------------------------------------------------------------------

describe("changes: what was added ends the body", () => {
  const before = oneByOne(step("charge"), wait)
  const guarded = (check: kit.Body<boolean>) =>
    declaring(
      added("check"),
      Effect.flatMap(check, (ok): kit.Body => (ok ? before : Effect.succeed("rejected")))
    )

  it.effect("by a failure: the execution fails with that, not with what it has not come to", () =>
    Effect.gen(function* () {
      const check = Durable.step("check", Effect.fail(new kit.CardDeclined({ reason: "stolen" })), {
        error: kit.CardDeclined,
        retry: Durable.noRetry
      })
      const { answer, warnings } = yield* versions(before, guarded(check))
      assert(answer.Status === "FAILED")
      assert.include(answer.Error?.ErrorData, "stolen")
      assert.notStrictEqual(answer.Error?.ErrorType, "NonDeterministic")
      assert.deepStrictEqual(warnings, [])
    })
  )

  it.effect("by what it gives: a warning tells what is left", () =>
    Effect.gen(function* () {
      const { answer, warnings } = yield* versions(before, guarded(Durable.step("check", Effect.succeed(false))))
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"rejected"' })
      assert.match(warnings.join(), /expected STEP "charge"/)
    })
  )

  it.effect("in a context", () =>
    Effect.gen(function* () {
      const inner = (body: kit.Body) =>
        Effect.exit(Durable.childContext("c", body)).pipe(Effect.map(({ _tag }) => _tag))
      const check = Durable.step("check", Effect.die("broken"))
      const { answer } = yield* versions(inner(before), inner(guarded(check as kit.Body<boolean>)))
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"Failure"' })
    })
  )

  it.effect("not where it was there before what is left", () =>
    Effect.gen(function* () {
      const check = Durable.step("check", Effect.succeed(true))
      const ran = yield* versions(guarded(check), declaring(added("check"), check))
      assert.match(messageOf(ran), /expected STEP "charge"/)
      assert.deepStrictEqual(ran.sent, [])
    })
  )
})

// ---- declarations that stay --------------------------------------------------------------------------------

describe("changes: declarations", () => {
  const declared = declaring(
    Effect.andThen(added("new"), retired("old")),
    oneByOne(step("a"), step("new"), Durable.wait("long", "5 seconds"), step("b"))
  )

  it.effect("mean nothing to executions that began with them", () =>
    Effect.gen(function* () {
      const { answer } = yield* versions(declared, declared)
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '["a","new",null,"b"]' })
    })
  )

  it.effect("can go when no execution of before runs", () =>
    Effect.gen(function* () {
      const { answer } = yield* versions(
        declared,
        oneByOne(step("a"), step("new"), Durable.wait("long", "5 seconds"), step("b"))
      )
      assert.strictEqual(answer.Status, "SUCCEEDED")
    })
  )

  it.effect("back to the old code, what was added has gone", () =>
    Effect.gen(function* () {
      const old = oneByOne(step("a"), Durable.wait("long", "5 seconds"), step("b"))
      assert.match(messageOf(yield* versions(declared, old)), /expected STEP "new" .*Durable\.retired\("new"\)/)
      const { answer } = yield* versions(declared, declaring(retired("new"), old))
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '["a",null,"b"]' })
    })
  )

  it.effect("a loop puts something into the name", () =>
    Effect.gen(function* () {
      const loop = (more: (i: number) => kit.Body) =>
        Effect.forEach([1, 2, 3], (i) => Effect.andThen(step(`work ${i}`), Effect.andThen(more(i), Durable.wait(`w ${i}`, "1 second")))) // prettier-ignore
      const { answer, service } = yield* versions(
        loop(() => Effect.void),
        loop((i) => declaring(added(`audit ${i}`), step(`audit ${i}`)))
      )
      assert.strictEqual(answer.Status, "SUCCEEDED")
      for (const i of [1, 2, 3]) assert.strictEqual(service.record(`audit ${i}`).Status, "SUCCEEDED")
    })
  )

  it.effect("the time of the start tells old executions from new ones", () =>
    Effect.gen(function* () {
      const since = (change: number) =>
        Effect.gen(function* () {
          const { startTime } = yield* Durable.CurrentExecution
          const names = startTime < change ? ["a", "b"] : ["b", "c", "a"]
          return yield* oneByOne(...names.map((name) => step(name)), wait)
        }) as kit.Body // the handler provides the execution, too
      const { answer } = yield* versions(v1, since(Infinity))
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '["a","b",null]' })
      assert.deepStrictEqual((yield* versions(since(0), since(0))).answer, {
        Status: "SUCCEEDED",
        Result: '["b","c","a",null]'
      })
    })
  )

  const contradictions: ReadonlyArray<readonly [what: string, body: kit.Body, message: RegExp]> = [
    [
      "an added name is used once",
      declaring(added("x"), oneByOne(step("x"), step("x"))),
      /^Durable\.step\("x"\): the body says Durable\.added\("x"\), and asks for a second STEP "x" in the workflow\..*`x \$\{id\}`/
    ],
    [
      "also when what was added is tried again",
      Effect.retry(Effect.andThen(declaring(added("x"), step("x")), Effect.fail("no")), { times: 1 }),
      /asks for a second STEP "x"/
    ],
    [
      "a retired name is not used",
      declaring(retired("x"), Durable.wait("x", "1 second")),
      /^Durable\.wait\("x"\): the body says Durable\.retired\("x"\), and asks for it\. A retired name is not used any more in the workflow/
    ],
    [
      "a name is one or the other",
      declaring(Effect.andThen(added("x"), retired("x")), step("y")),
      /^Durable\.added\("x"\) and Durable\.retired\("x"\) contradict each other in the workflow/
    ],
    ["a name must be one", declaring(added("x", ""), step("y")), /^Durable\.added: the name "" is not usable/]
  ]
  for (const [what, body, message] of contradictions) {
    it.effect(`${what}, in any execution`, () =>
      Effect.gen(function* () {
        const { message: said, type } = yield* kit.faultOf(body)
        assert.strictEqual(type, "InvalidOperation")
        assert.match(said, message)
      }).pipe(Effect.provide(TestRunner.layerMemory))
    )
  }

  it.effect("not in a step", () =>
    Effect.gen(function* () {
      const { message } = yield* kit.faultOf(Durable.step("s", added("x") as Effect.Effect<void>))
      assert.match(message, /Durable\.added\("x"\) was run inside a step/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})
