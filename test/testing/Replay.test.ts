// @effect-diagnostics globalErrorInEffectCatch:off
import { assert, describe, it } from "@effect/vitest"
import { Durable, type DurableError, DurableFunction } from "effect-durable-lambda"
import {
  expectReplays,
  Histories,
  Replay,
  replayFolder,
  replayHistory,
  saveHistory,
  TestRunner
} from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

class Declined extends Schema.TaggedError<Declined>()("Declined", { reason: Schema.String }) {}
const Order = DurableFunction.make("order", { payload: Schema.String, success: Schema.Unknown, error: Declined })
type Body = (payload: string) => Effect.Effect<unknown, Declined | DurableError.Operation, Durable.Requires>

const step = (name: string, value: string | number) => Durable.step(name, Effect.succeed(value))

/** The history of a workflow, as it is on its way: JSON and nothing else. */
const record = (body: Body, advance?: "to the end" | "1 hour") =>
  Effect.gen(function* () {
    const execution = yield* TestRunner.start(Order, body, "book")
    if (advance === "1 hour") yield* TestRunner.advance("1 hour")
    else yield* Effect.exit(execution.result)
    return JSON.parse(JSON.stringify({ Events: yield* execution.history })) as History
  }).pipe(Effect.provide(advance === "1 hour" ? TestRunner.layerMemoryClock : TestRunner.layerMemory))

interface History {
  readonly Events: ReadonlyArray<Record<string, unknown>>
}

const replay = (body: Body, history: unknown, options?: Replay.Options) => replayHistory(Order, body, history, options)

/** As GetDurableExecutionHistory answers without IncludeExecutionData, here and at AWS. */
const withoutData = ({ Events }: History, how: "truncated" | "absent"): History => ({
  Events: JSON.parse(JSON.stringify(Events), (key, value: unknown) =>
    key === "Input" || key === "Result" || key === "Error" ? (how === "truncated" ? { Truncated: true } : {}) : value
  ) as History["Events"]
})

const order = (name: string) =>
  Effect.gen(function* () {
    const price = yield* step("price", 42)
    yield* Durable.wait("cool-off", "1 hour")
    const parts = yield* Effect.all([step("pack", `${name} packed`), Effect.delay(step("label", "L7"), "1 minute")], {
      concurrency: "unbounded"
    })
    const shipped = yield* Durable.childContext(
      "shipping",
      Effect.andThen(Durable.wait("pick-up", "1 day"), step("ship", "on its way"))
    )
    const late = yield* Effect.raceFirst(
      Effect.as(Durable.wait("short", "1 second"), false),
      Effect.as(Durable.wait("long", "1 hour"), true)
    )
    const done = yield* Durable.waitForCondition("done", (n: number) => Effect.succeed(n + 1), {
      initial: 0,
      state: Schema.Number,
      until: (n) => n >= 3,
      schedule: Schedule.spaced("10 seconds")
    })
    return { price, parts, shipped, late, done, chance: typeof (yield* Random.next) }
  })

describe("replayHistory", () => {
  it.effect("replays what has ended, and says so", () =>
    Effect.gen(function* () {
      const verdict = yield* replay(order, yield* record(order))
      assert.strictEqual(verdict._tag, "Replays")
      assert.strictEqual(verdict._tag === "Replays" && verdict.end, "ended")
      assert.deepStrictEqual(verdict.unknown, [])
      assert.deepStrictEqual(
        verdict.rows.filter(({ expected, got }) => expected !== got),
        []
      )
      assert.deepInclude(verdict.rows, { expected: 'STEP "label"', got: 'STEP "label"' })
    })
  )

  it.effect("replays a history cut off after any event", () =>
    Effect.gen(function* () {
      const { Events } = yield* record(order)
      assert.isAbove(Events.length, 30)
      for (let length = 1; length <= Events.length; length++) {
        const verdict = yield* replay(order, { Events: Events.slice(0, length) })
        assert.strictEqual(verdict._tag, "Replays", `${length} events: ${Replay.describe(verdict)}`)
      }
    })
  )

  it.effect("runs no step and sends nothing", () =>
    Effect.gen(function* () {
      let runs = 0
      const body = () =>
        Effect.andThen(
          Durable.step(
            "one",
            Effect.sync(() => ++runs)
          ),
          Effect.andThen(
            Durable.wait("w", "1 hour"),
            Durable.step(
              "two",
              Effect.sync(() => ++runs)
            )
          )
        )
      const { Events } = yield* record(body)
      assert.strictEqual(runs, 2)
      for (let length = 1; length <= Events.length; length++) yield* replay(body, { Events: Events.slice(0, length) })
      assert.strictEqual(runs, 2)
    })
  )

  it.effect("says what a running execution does next: waits, or something new", () =>
    Effect.gen(function* () {
      const waiting = () => Effect.andThen(step("a", 1), Durable.wait("long", "2 days"))
      const history = yield* record(waiting, "1 hour")
      const same = yield* replay(waiting, history)
      assert.strictEqual(same._tag === "Replays" && same.end, "waiting")
      const more = yield* replay(() => Effect.andThen(waiting(), step("b", 2)), history)
      assert.strictEqual(more._tag === "Replays" && more.end, "waiting")
      const beside = yield* replay(() => Effect.all([waiting(), step("b", 2)], { concurrency: 2 }), history)
      assert.strictEqual(beside._tag === "Replays" && beside.end, "live")
      assert.deepInclude(beside.rows, { expected: undefined, got: 'STEP "b"' })
    })
  )

  it.effect("failures, retries and errors of classes", () =>
    Effect.gen(function* () {
      let calls = 0
      const body = () =>
        Effect.andThen(
          Durable.step(
            "flaky",
            Effect.suspend(() => (calls++ < 2 ? Effect.fail("busy") : Effect.succeed("ok")))
          ),
          Durable.step("charge", Effect.fail(new Declined({ reason: "limit" })), {
            error: Declined,
            retry: Durable.noRetry
          })
        )
      const history = yield* record(body)
      const same = yield* replay(body, history)
      assert.strictEqual(same._tag === "Replays" && same.end, "ended")
      const other = yield* replay(
        () => Effect.catchTag(body(), "Declined", () => Effect.fail(new Declined({ reason: "theft" }))),
        history
      )
      assert.match(Replay.describe(other), /It had failed with Declined[^]*and now it fails with Declined/)
      const caught = yield* replay(() => Effect.catchTag(body(), "Declined", () => Effect.succeed("fine")), history)
      assert.match(Replay.describe(caught), /The execution had failed, and now it succeeds/)
    })
  )

  describe("declared changes", () => {
    const before = () =>
      Effect.gen(function* () {
        yield* step("fax", 0)
        const charge = yield* step("charge", 1)
        yield* Durable.wait("pause", "1 day")
        return [charge, yield* step("mail", 2)]
      })
    const after = (declared: Effect.Effect<void, never, Durable.Requires>, came: ReturnType<Body>) => () =>
      Effect.gen(function* () {
        yield* declared
        const charge = yield* step("charge", 1)
        yield* came
        yield* Durable.wait("pause", "1 day")
        return [charge, yield* step("mail", 2)]
      })
    const both = Effect.andThen(Durable.added("check"), Durable.retired("fax"))

    it.effect("replay, and are marked in the table", () =>
      Effect.gen(function* () {
        const verdict = yield* replay(after(both, step("check", 7)), yield* record(before))
        assert.strictEqual(verdict._tag === "Replays" && verdict.end, "ended", Replay.describe(verdict))
        assert.deepStrictEqual(verdict.unknown, ['STEP "check"'])
        assert.strictEqual(
          Replay.table(verdict.rows),
          [
            "  expected       got",
            '  STEP "fax"     (retired)',
            '  STEP "charge"  STEP "charge"',
            '  (added)        STEP "check"',
            '  WAIT "pause"   WAIT "pause"',
            '  STEP "mail"    STEP "mail"'
          ].join("\n")
        )
      })
    )

    it.effect("undeclared, they diverge, with the code to write", () =>
      Effect.gen(function* () {
        const history = yield* record(before)
        const removed = yield* replay(after(Effect.void, Effect.void), history)
        assert.strictEqual(removed._tag, "Diverges")
        assert.match(Replay.describe(removed), /`yield\* Durable\.retired\("fax"\)`[^]*✗ STEP "fax" +-/)
        const inserted = yield* replay(after(Durable.retired("fax"), step("check", 7)), history)
        assert.strictEqual(inserted._tag, "Diverges")
        assert.match(Replay.describe(inserted), /`yield\* Durable\.added\("check"\)`[^]*✗ WAIT "pause" +STEP "check"/)
        assert.match(Replay.table(inserted.rows), /^ {2}STEP "fax" +\(retired\)$/m)
      })
    )

    it.effect("operations of every kind", () =>
      Effect.gen(function* () {
        const history = yield* record(before)
        const kinds: ReadonlyArray<ReturnType<Body>> = [
          Durable.wait("check", "1 hour"),
          Effect.flatMap(Durable.callback("check"), (made) => made.await),
          Durable.childContext("check", step("in", 1)),
          Durable.invoke("check", { payload: Schema.Null }, null, { functionName: "f" }),
          Durable.waitForCallback("check", () => Effect.void)
        ]
        for (const [i, kind] of kinds.entries()) {
          const verdict = yield* replay(after(both, kind), history)
          assert.strictEqual(verdict._tag === "Replays" && verdict.end, "ended", `${i}: ${Replay.describe(verdict)}`)
        }
      })
    )

    it.effect("what follows from what an added operation gives is unknown, unless it is told", () =>
      Effect.gen(function* () {
        const history = yield* record(before)
        const decides = () =>
          Effect.gen(function* () {
            yield* both
            const charge = yield* step("charge", 1)
            const check = yield* step("check", 7)
            if (check === 7) yield* Durable.wait("pause", "1 day")
            return [charge, yield* step("mail", 2)]
          })
        const verdict = yield* replay(decides, history)
        assert.strictEqual(verdict._tag, "Unknown")
        assert.match(Replay.describe(verdict), /Not in the history: STEP "check"/)
        const told = yield* replay(decides, history, { payload: () => "7" })
        assert.strictEqual(told._tag, "Replays")
      })
    )

    it.effect("what was added at the end is nothing to an execution that has ended", () =>
      Effect.gen(function* () {
        const history = yield* record(before)
        const later = () => Effect.tap(before(), () => Effect.andThen(Durable.added("check"), step("check", 7)))
        assert.strictEqual((yield* replay(later, history))._tag, "Replays")
        const undeclared = yield* replay(() => Effect.tap(before(), () => step("check", 7)), history)
        assert.match(Replay.describe(undeclared), /had succeeded here, but the code goes on with STEP "check"/)
      })
    )
  })

  describe("diverges", () => {
    const before = () =>
      Effect.andThen(step("charge", 1), Effect.andThen(Durable.wait("pause", "1 day"), step("mail", 2)))
    const verdictOf = (body: Body) =>
      Effect.map(
        Effect.flatMap(record(before), (history) => replay(body, history)),
        (verdict) => {
          assert.strictEqual(verdict._tag, "Diverges")
          return verdict
        }
      )

    it.effect("where another operation is asked for, with a table", () =>
      Effect.gen(function* () {
        const verdict = yield* verdictOf(() =>
          Effect.andThen(step("charge", 1), Effect.andThen(Durable.wait("break", "1 day"), step("mail", 2)))
        )
        assert.strictEqual(
          Replay.table(verdict.rows),
          ["  expected       got", '  STEP "charge"  STEP "charge"', '✗ WAIT "pause"   WAIT "break"'].join("\n")
        )
        assert.match(
          Replay.describe(verdict),
          /It does not replay\. With what was on record after event 5 \(InvocationCompleted\): Non-deterministic: expected WAIT "pause"/
        )
      })
    )

    it.effect("where an execution may stand now, although all of it together would replay", () =>
      Effect.gen(function* () {
        const history = yield* record(before)
        const swapped = () =>
          Effect.andThen(Durable.wait("pause", "1 day"), Effect.andThen(step("charge", 1), step("mail", 2)))
        assert.strictEqual((yield* replay(swapped, history, { at: "end" }))._tag, "Replays")
        const verdict = yield* replay(swapped, history)
        assert.match(Replay.describe(verdict), /on record after event 5[^]*✗ STEP "charge"/)
      })
    )

    it.effect("where it ends early, goes on, waits, or gives something else", () =>
      Effect.gen(function* () {
        const early = yield* verdictOf(() => step("charge", 1))
        assert.include(Replay.table(early.rows), '✗ WAIT "pause"   -')
        const on = yield* verdictOf(() => Effect.andThen(before(), step("more", 3)))
        assert.match(Replay.describe(on), /had succeeded here, but the code goes on with STEP "more"/)
        const other = yield* verdictOf(() => Effect.as(before(), "something else"))
        assert.match(Replay.describe(other), /The result was 2, and now it is "something else"/)
      })
    )

    it.effect("where today's schema cannot read what is recorded", () =>
      Effect.gen(function* () {
        const verdict = yield* verdictOf(() =>
          Effect.andThen(
            Durable.step("charge", Effect.succeed({ id: "x" }), { success: Schema.Struct({ id: Schema.String }) }),
            Durable.wait("pause", "1 day")
          )
        )
        assert.match(Replay.describe(verdict), /STEP "charge"[^]*cannot decode its payload/)
      })
    )

    it.effect("where what is recorded is not even JSON: no body can catch that", () =>
      Effect.gen(function* () {
        const { Events } = yield* record(before)
        const broken = JSON.parse(JSON.stringify(Events).replace('"Payload":"1"', '"Payload":"{"')) as unknown
        const body = () => Effect.catchCause(before(), () => Effect.succeed(2))
        const verdict = yield* replay(body, { Events: broken })
        assert.match(Replay.describe(verdict), /STEP "charge"[^]*cannot decode its payload: it is not JSON/)
      })
    )

    it.effect("where the body waits for something that is no operation", () =>
      Effect.gen(function* () {
        const verdict = yield* Effect.flatMap(record(before), (history) =>
          replay(() => Effect.never, history, { timeout: "100 millis" })
        )
        assert.match(Replay.describe(verdict), /waits for something that is not recorded/)
      })
    )
  })

  describe("payloads that the history does not hold", () => {
    for (const how of ["truncated", "absent"] as const) {
      it.effect(`${how}: of operations that give nothing, of values that are passed on`, () =>
        Effect.gen(function* () {
          const body = () =>
            Effect.gen(function* () {
              yield* Durable.step("nothing", Effect.void)
              const value = yield* step("value", 7)
              yield* Durable.wait("pause", "1 day")
              return value
            })
          const verdict = yield* replay(body, withoutData(yield* record(body), how), { input: '"book"' })
          assert.strictEqual(verdict._tag, "Replays", Replay.describe(verdict))
          assert.deepStrictEqual(verdict.unknown, ['STEP "nothing"', 'STEP "value"'])
        })
      )

      it.effect(`${how}: what depends on them is unknown, not divergent, unless the test gives them`, () =>
        Effect.gen(function* () {
          const body = () =>
            Effect.flatMap(step("heads", 1), (heads) => (heads === 1 ? step("one", 1) : step("two", 2)))
          const history = withoutData(yield* record(body), how)
          const verdict = yield* replay(body, history, { input: '"book"' })
          assert.strictEqual(verdict._tag, "Unknown")
          assert.match(Replay.describe(verdict), /Not in the history: STEP "heads"/)
          const given = yield* replay(body, history, {
            input: '"book"',
            payload: ({ Name }) => (Name === "heads" ? "1" : undefined)
          })
          assert.strictEqual(given._tag, "Replays", Replay.describe(given))
        })
      )

      it.effect(`${how}: the input`, () =>
        Effect.gen(function* () {
          const body = () => step("a", 1)
          const history = withoutData(yield* record(body), how)
          assert.strictEqual((yield* replay(body, history))._tag, "Unknown")
          assert.strictEqual((yield* replay(body, history, { input: '"book"' }))._tag, "Replays")
        })
      )

      it.effect(`${how}: what differs before anything unknown was given is a divergence`, () =>
        Effect.gen(function* () {
          const history = withoutData(
            yield* record(() => Effect.andThen(Durable.wait("pause", "1 day"), step("a", 1))),
            how
          )
          const verdict = yield* replay(() => Effect.andThen(Durable.wait("break", "1 day"), step("a", 1)), history, {
            input: '"book"'
          })
          assert.strictEqual(verdict._tag, "Diverges")
        })
      )
    }
  })

  it.effect("contexts that are rebuilt from their children", () =>
    Effect.gen(function* () {
      const large = "x".repeat(300_000)
      const body = () =>
        Effect.gen(function* () {
          const parts = yield* Durable.childContext("large", Effect.all([step("a", large), step("b", large)]))
          const map = yield* Durable.childContext(
            "map",
            Effect.map(step("c", 1), (c) => new Map([[c, c]]))
          )
          yield* Durable.wait("pause", "1 day")
          return [parts.join("").length, [...map]]
        })
      const verdict = yield* replay(body, yield* record(body))
      assert.strictEqual(verdict._tag === "Replays" && verdict.end, "ended", Replay.describe(verdict))
    })
  )

  it.effect("a finished context is not entered: what changed in it is no change", () =>
    Effect.gen(function* () {
      const child = (inside: string) => () =>
        Effect.andThen(Durable.childContext("child", step(inside, 1)), Durable.wait("pause", "1 day"))
      const verdict = yield* replay(child("other"), yield* record(child("inside")))
      assert.strictEqual(verdict._tag, "Replays", Replay.describe(verdict))
    })
  )

  it.effect("Random needs the execution's ARN, which a saved history has", () =>
    Effect.gen(function* () {
      const body = () => Effect.flatMap(Random.nextIntBetween(0, 1_000_000), (n) => step(`n${n}`, n))
      const execution = yield* TestRunner.start(Order, body, "book")
      yield* execution.result
      const Events = yield* execution.history
      assert.strictEqual((yield* replay(body, { Events }))._tag, "Diverges")
      assert.strictEqual((yield* replay(body, { Events }, { executionArn: execution.arn }))._tag, "Replays")
      assert.strictEqual((yield* replay(body, { DurableExecutionArn: execution.arn, Events }))._tag, "Replays")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("refuses what is no history, and parts of one", () =>
    Effect.gen(function* () {
      const { Events } = yield* record(order)
      const refused = (history: unknown) => Effect.map(Effect.flip(replay(order, history)), ({ message }) => message)
      assert.match(yield* refused({}), /This is not the history/)
      assert.match(yield* refused({ Events: Events.slice(1) }), /does not begin with ExecutionStarted/)
      assert.match(yield* refused({ Events: Events.filter((_, i) => i !== 3) }), /event 4 is missing/)
      assert.match(yield* refused({ Events, NextMarker: "more" }), /all pages/)
      const half = { Events: Events.slice(0, 3), NextMarker: "more" }
      assert.match(yield* refused([half]), /all pages/)
      assert.match(yield* refused("[]"), /neither a list of events nor has it one/)
      assert.match(yield* refused([...Events, { ...Events[1], EventType: "WaitStarted" }]), /WaitStarted|two events 2/)
      const renamed = Events.map((event) => ({ ...event, Name: "of another" }))
      assert.match(
        yield* refused([{ Events }, { Events: renamed }]),
        /there are two events 1: is it of one execution\?/
      )
      const backwards = yield* replay(order, Events.toReversed())
      assert.strictEqual(backwards._tag, "Replays")
    })
  )

  it.effect("reads it however AWS's clients and emulators have written it", () =>
    Effect.gen(function* () {
      const recorded = yield* record(order)
      const { Events } = recorded
      const change = (f: (key: string, value: unknown) => unknown) =>
        JSON.parse(JSON.stringify(Events), f) as History["Events"]
      const times = (f: (millis: number) => unknown) =>
        change((key, value) => (key.endsWith("Timestamp") ? f(value as number) : value))
      const shapes: Readonly<Record<string, unknown>> = {
        "AWS's command line": {
          Events: times((millis) => new Date(millis).toISOString().replace("Z", "000+00:00")),
          NextMarker: null
        },
        "the API's own seconds": { Events: times((millis) => millis / 1000), NextMarker: "" },
        "AWS's client": { $metadata: {}, Events: times((millis) => new Date(millis)) },
        "null for what is absent": Events.map((event) => ({ ParentId: null, SubType: null, Name: null, ...event })),
        "pages, one of them empty": [
          { Events: Events.slice(0, 5), NextMarker: "5" },
          { Events: [], NextMarker: "6" },
          { Events: Events.slice(5) }
        ],
        "pages that overlap": [...Events.slice(0, 7), ...Events.slice(4)],
        "without RetryDetails, as AWS's emulator": change((key, value) => (key === "RetryDetails" ? undefined : value)),
        "with a type of events to come": [
          ...Events.slice(0, 4),
          { EventType: "WorkflowPaused", EventId: 5, WorkflowPausedDetails: { By: null } },
          ...Events.slice(4).map((event) => ({ ...event, EventId: Number(event["EventId"]) + 1 }))
        ]
      }
      for (const [name, shape] of Object.entries(shapes)) {
        const verdict = yield* replay(order, shape)
        assert.strictEqual(verdict._tag, "Replays", `${name}: ${Replay.describe(verdict)}`)
      }
      // and what is cut off is not what was given
      const cut = change((_, value) =>
        typeof value === "object" && value !== null && "Payload" in value && typeof value.Payload === "string"
          ? { Payload: value.Payload.slice(0, 1), Truncated: true }
          : value
      )
      assert.strictEqual((yield* replay(order, cut))._tag, "Unknown")
      const without = change((key, value) => (/^(?:Input|Result|Error)$/.test(key) ? undefined : value))
      assert.strictEqual((yield* replay(order, without))._tag, "Unknown")
    })
  )

  it.effect("expectReplays fails with the table", () =>
    Effect.gen(function* () {
      const history = yield* record(() => step("a", 1))
      yield* expectReplays(Order, () => step("a", 1), history)
      const error = yield* Effect.flip(expectReplays(Order, () => step("b", 1), history))
      assert.match(error.message, /"order": It does not replay[^]*✗ STEP "a"\s+STEP "b"/)
    })
  )
})

describe("a folder of histories", () => {
  const inFolder = (run: (folder: string) => Effect.Effect<void, unknown, TestRunner.TestRunner>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "histories-"))),
      run,
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
    ).pipe(Effect.provide(TestRunner.layerMemory))

  /** Declares the tests of a folder, and runs them here. */
  const results = (folder: string, workflows: ReadonlyArray<Histories.Workflow>) =>
    Effect.gen(function* () {
      const tests: Array<readonly [string, () => Promise<void>]> = []
      replayFolder(folder, workflows, (name, run) => tests.push([name, run]))
      const found: Record<string, string> = {}
      for (const [name, run] of tests) {
        found[name] = yield* Effect.match(Effect.tryPromise({ try: run, catch: (error) => error as Error }), {
          onSuccess: () => "passed",
          onFailure: ({ message }) => message
        })
      }
      return found
    })

  it.effect("is saved, and replayed by a test for each", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const first = yield* TestRunner.start(Order, order, "book", { executionName: "first" })
        yield* first.result
        const second = yield* TestRunner.start(Order, order, "tea", { executionName: "second" })
        yield* second.result
        assert.strictEqual(yield* saveHistory(folder, first), path.join(folder, "order.first.json"))
        yield* saveHistory(folder, second, { name: "tea" })
        const written = JSON.parse(fs.readFileSync(path.join(folder, "tea.json"), "utf8")) as History & {
          Function: string
        }
        assert.strictEqual(written.Function, "order")
        assert.match(written.Events[0]!.EventTimestamp as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/)
        assert.deepStrictEqual(yield* results(folder, [Histories.workflow(Order, order)]), {
          "order.first.json replays": "passed",
          "tea.json replays": "passed"
        })
        const changed = yield* results(folder, [Histories.workflow(Order, () => step("new", 1))])
        assert.match(changed["tea.json replays"]!, /It does not replay[^]*✗ STEP "price"\s+STEP "new"/)
      })
    )
  )

  it.effect("says what is wrong with it", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const empty = yield* results(folder, [])
        assert.match(Object.values(empty)[0]!, /There is no \.json file/)
        fs.writeFileSync(path.join(folder, "ship.json"), "{}")
        fs.writeFileSync(path.join(folder, "order.json"), "{")
        const found = yield* results(folder, [Histories.workflow(Order, order)])
        assert.match(found["ship.json replays"]!, /no workflow is given for the function "ship"\. There are: "order"/)
        assert.match(found["order.json replays"]!, /JSON/)
      })
    )
  )

  it.effect("passes where it cannot know, unless it is told to fail", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const body = () => Effect.flatMap(step("a", 1), (a) => (a === 1 ? step("b", 1) : step("c", 1)))
        const history = withoutData(yield* record(body), "truncated")
        fs.writeFileSync(path.join(folder, "order.json"), JSON.stringify(history))
        const lenient = yield* results(folder, [Histories.workflow(Order, body, { input: '"book"' })])
        assert.strictEqual(lenient["order.json replays"], "passed")
        const strict = yield* results(folder, [Histories.workflow(Order, body, { input: '"book"', unknown: "fail" })])
        assert.match(strict["order.json replays"]!, /It may replay or not/)
      })
    )
  )
})
