/**
 * How batches end, and what may happen to them before: losers, suspensions, crashes, changed code, options that
 * cannot be, combinators around them, large numbers of items.
 */
import { assert, describe, it } from "@effect/vitest"
import { CheckpointService, Durable, DurableHandler, Serdes } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import { DurableContext } from "../../src/DurableContext.ts"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type { Fault } from "../../src/engine/Faults.ts"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined } from "./kit.ts"

const { layerMemory, layerMemoryClock } = TestRunner
const noRetry = { retry: Durable.noRetry }
const declined = new CardDeclined({ reason: "limit" })
const range = (n: number) => Array.from({ length: n }, (_, i) => i)
const firstOf = { mode: "result", completion: { minSuccessful: 1 } } as const

/** A step that tells whether its `AbortSignal` has fired. */
const abortable = (name: string) => {
  const seen = { began: false, aborted: false }
  const effect = Effect.callback<string>((_resume, signal) => {
    seen.began = true
    signal.addEventListener("abort", () => {
      seen.aborted = true
    })
  })
  return { seen, step: Durable.step(name, effect) }
}

for (const nesting of ["nested", "flat"] as const) {
  describe(`losers, ${nesting}`, () => {
    it.effect("are interrupted, their AbortSignals fire, they stay started and send nothing more", () =>
      Effect.gen(function* () {
        const { seen, step } = abortable("slow")
        const service = FakeService.make()
        const body = Effect.gen(function* () {
          const { counts } = yield* Durable.parallel(
            "p",
            [step, Effect.andThen(Durable.step("quick", kit.turn), Effect.succeed("won"))],
            { nesting, ...firstOf }
          )
          yield* Durable.step("after", Effect.andThen(kit.turn, kit.turn))
          return counts
        })
        const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, startDelay: 0 })
        const answer = yield* service.invoke(handler)
        assert.deepStrictEqual(answer, {
          Status: "SUCCEEDED",
          Result: '{"total":2,"success":1,"failure":0,"started":1}'
        })
        assert.deepStrictEqual(seen, { began: true, aborted: true })
        const sent = service.trace.flat()
        assert.include(sent, "START STEP slow")
        assert.deepStrictEqual(
          sent.filter((line) => /slow|branch-0/.test(line)),
          nesting === "nested" ? ["START CONTEXT parallel-branch-0", "START STEP slow"] : ["START STEP slow"]
        )
        assert.strictEqual(sent.indexOf("SUCCEED CONTEXT p") + 1, sent.indexOf("START STEP after"))
      })
    )

    it.effect("a step in flight does not hold up a suspension: AWS's JS SDK 2.4.0 gets this wrong (section 15)", () =>
      Effect.gen(function* () {
        const { seen, step } = abortable("slow")
        const service = FakeService.make()
        const body = Effect.andThen(
          Durable.parallel("p", [step, Durable.step("quick", kit.turn)], { nesting, ...firstOf }),
          Durable.wait("w", "1 hour")
        )
        const handler = DurableHandler.make(kit.Anything, () => body, service.handlerOptions)
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        assert.isTrue(seen.aborted)
        service.pass(3600)
        assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
      })
    )

    it.effect("that cannot be interrupted hold up nothing either: losers run on, AWS's JS SDK 2.4.0 (section 24)", () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const stubborn = Effect.uninterruptible(
          Effect.andThen(Durable.step("stubborn", Effect.never), Durable.step("never", Effect.void))
        )
        const body = Effect.andThen(
          Durable.parallel("p", [stubborn, Durable.step("quick", kit.turn)], { nesting, ...firstOf }),
          Durable.wait("w", "1 hour")
        )
        const handler = DurableHandler.make(kit.Anything, () => body, service.handlerOptions)
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        assert.notInclude(service.trace.flat(), "START STEP never")
      })
    )

    it.effect("a step that waits for its next attempt, a wait, a context: none delays the end", () =>
      Effect.gen(function* () {
        const slow = [
          Durable.step("retried", Effect.fail(declined)),
          Durable.wait("w", "30 days"),
          Durable.childContext("c", Durable.wait("inside", "30 days")),
          Durable.map("m", [1, 2], () => Durable.wait("w", "30 days"), { nesting })
        ]
        const body = Durable.parallel("p", [...slow, Effect.andThen(Durable.wait("s", "1 second"), Effect.void)], {
          nesting,
          ...firstOf
        })
        const execution = yield* kit.start(Effect.map(body, ({ counts }) => counts.started))
        yield* TestRunner.advance("1 second")
        assert.strictEqual(yield* execution.result, 4)
      }).pipe(Effect.provide(layerMemoryClock))
    )

    it.effect("finalizers of a loser run, and may not do durable work", () =>
      Effect.gen(function* () {
        let finalized = 0
        const slow = Durable.wait("w", "1 hour").pipe(Effect.ensuring(Effect.sync(() => finalized++)))
        yield* kit.run(Durable.parallel("p", [slow, Durable.step("s", Effect.void)], { nesting, ...firstOf }))
        assert.isAtLeast(finalized, 1)
        const durable = Durable.wait("w", "1 hour").pipe(Effect.ensuring(Durable.step("cleanup", Effect.void)))
        const { message, type } = yield* kit.faultOf(
          Effect.andThen(
            Durable.parallel("p", [durable, Durable.step("s", Effect.void)], { nesting, ...firstOf }),
            Durable.wait("after", "1 second")
          )
        )
        assert.strictEqual(type, "InvalidOperation")
        assert.match(message, /"cleanup" was reached in parallel-branch-0 of parallel "p", in a finalizer/)
      }).pipe(Effect.provide(layerMemory))
    )
  })

  describe(`combinators around batches, ${nesting}`, () => {
    const waits = Durable.map("m", [1, 2, 3], (n) => Durable.wait("w", `${n} hours`), { nesting })

    it.effect("race: the batch may lose", () =>
      Effect.gen(function* () {
        const body = Effect.raceFirst(Effect.as(waits, "batch"), Effect.as(Durable.wait("quick", "1 second"), "quick"))
        const execution = yield* kit.sees(body, Exit.succeed("quick"))
        assert.strictEqual((yield* execution.operation("m")).Status, "STARTED")
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("race: the batch may win", () =>
      Effect.gen(function* () {
        const body = Effect.raceFirst(Effect.as(waits, "batch"), Effect.as(Durable.wait("slow", "1 day"), "slow"))
        yield* kit.sees(body, Exit.succeed("batch"))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("timeout, retry, two batches at once, a batch in a context", () =>
      Effect.gen(function* () {
        yield* kit.sees(Effect.timeoutOption(waits, "1 minute"), Exit.succeed(Option.none()))
        let tries = 0
        const flaky = Durable.map(
          "m",
          [1],
          () =>
            Durable.step(
              "s",
              Effect.suspend(() => (++tries < 3 ? Effect.fail(declined) : Effect.succeed("third"))),
              noRetry
            ),
          { nesting }
        )
        yield* kit.sees(Effect.retry(flaky, { times: 5 }), Exit.succeed(["third"]))
        assert.strictEqual(tries, 3)
        const both = Effect.all([waits, Durable.childContext("c", waits)], { concurrency: 2 })
        yield* kit.sees(Effect.asVoid(both), Exit.succeed(undefined))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a step beside a batch", () =>
      Effect.gen(function* () {
        const beside = Effect.all(
          [
            Durable.map("m", range(3), (n) => Durable.step("s", Effect.succeed(n)), { nesting }),
            Durable.step("t", kit.turn)
          ],
          { concurrency: 2 }
        )
        yield* kit.sees(
          Effect.map(beside, ([values]) => values),
          Exit.succeed(range(3))
        )
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("items that share memory are UntrackedAsync", () =>
      Effect.gen(function* () {
        const body = Effect.gen(function* () {
          const gate = yield* Deferred.make<void>()
          const items = [
            Effect.andThen(Durable.wait("a", "1 second"), Deferred.succeed(gate, undefined)),
            Effect.andThen(Deferred.await(gate), Durable.step("b", Effect.void))
          ]
          yield* Durable.parallel("p", items, { nesting })
        })
        const { message, type } = yield* kit.faultOf(body)
        assert.strictEqual(type, "UntrackedAsync")
        assert.match(message, /parallel-branch-1 of parallel "p" was moved to STEP "b" by something.*another context/)
      }).pipe(Effect.provide(layerMemory))
    )
  })

  describe(`crashes, ${nesting}`, () => {
    /** Runs a body once per checkpoint and fault, with that fault at that checkpoint. Gives how many those are. */
    const everywhere = (make: () => { body: kit.Body; runs: Record<string, number> }, expected: unknown) =>
      Effect.gen(function* () {
        const once = (fault: Fault, at: number) =>
          Effect.gen(function* () {
            let calls = 0
            const { body, runs } = make()
            const layer = kit.layerFaulty(({ call, operation }) => {
              if (operation !== "CheckpointDurableExecution") return undefined
              calls = Math.max(calls, call)
              return call === at ? fault : undefined
            })
            const value = yield* kit.run(body).pipe(Effect.provide(layer))
            assert.deepStrictEqual(value, expected, `${fault} at ${at}`)
            // what was acknowledged does not run again; what was under way may, once
            const most = at > 0 ? 2 : 1
            for (const [name, times] of Object.entries(runs)) assert.isAtMost(times, most, `${name}, ${fault} at ${at}`)
            return calls
          })
        const calls = yield* once("CrashBefore", 0)
        yield* Effect.forEach(
          range(calls).flatMap((i) =>
            (["CrashBefore", "CrashAfter", "DropResponse"] as const).map((f) => [f, i + 1] as const)
          ),
          ([fault, at]) => once(fault, at),
          { concurrency: "unbounded" }
        )
        return calls
      })

    const workflow = (options: object) => () => {
      const runs: Record<string, number> = {}
      const step = (name: string, value: string) =>
        Durable.step(
          name,
          Effect.sync(() => {
            runs[name] = (runs[name] ?? 0) + 1
            return value
          })
        )
      const item = (i: number) =>
        Effect.gen(function* () {
          const a = yield* step(`a${i}`, `${i}`)
          yield* Durable.wait("w", `${((i * 7) % 4) + 1} seconds`)
          return a + (yield* step(`b${i}`, "b"))
        })
      const body = Effect.gen(function* () {
        const values = yield* Durable.map("m", range(4), item, { nesting, ...options })
        return [values, yield* step("after", "end")]
      })
      return { body, runs }
    }

    it.effect("before and after every checkpoint: same result, no recorded step runs again", () =>
      Effect.gen(function* () {
        const expected = [["0b", "1b", "2b", "3b"], "end"]
        assert.isAbove(yield* everywhere(workflow({}), expected), 5)
        assert.isAbove(yield* everywhere(workflow({ concurrency: 2 }), expected), 5)
      })
    )

    it.effect("the same where the result is rebuilt", () =>
      Effect.gen(function* () {
        const make = () => {
          const { body, runs } = workflow({})()
          const maps = Durable.map(
            "maps",
            [1, 2],
            (n) => Effect.as(Durable.wait("w", `${n} seconds`), new Map([[n, n]])),
            {
              nesting
            }
          )
          return {
            runs,
            body: Effect.andThen(maps, (maps) => Effect.map(body, (value) => [maps.map((map) => [...map]), value]))
          }
        }
        const expected = [
          [[[1, 1]], [[2, 2]]],
          [["0b", "1b", "2b", "3b"], "end"]
        ]
        assert.isAbove(yield* everywhere(make, expected), 5)
      })
    )

    it.effect("an early end is the same end after a crash that follows its record", () =>
      Effect.gen(function* () {
        const make = () => ({
          runs: {},
          body: Effect.gen(function* () {
            const first = yield* Durable.parallel(
              "p",
              [Durable.wait("a", "2 seconds"), Durable.wait("b", "1 second"), Durable.wait("c", "3 seconds")],
              { nesting, ...firstOf }
            )
            yield* Durable.wait("between", "5 seconds") // by then all of them have ended
            return first.items.map(({ _tag }) => _tag)
          })
        })
        yield* everywhere(make, ["Started", "Success", "Started"])
      })
    )
  })

  describe(`code changed under a running batch, ${nesting}`, () => {
    /** Runs with some items, then, in the next invocation, with others. */
    const change = (
      before: ReadonlyArray<number>,
      after: ReadonlyArray<number>,
      body: (items: ReadonlyArray<number>) => kit.Body
    ) => {
      let items = before
      return kit.start(
        Effect.suspend(() => {
          const now = items
          items = after
          return body(now)
        })
      )
    }
    const waiting = (items: ReadonlyArray<number>) =>
      Durable.map("m", items, (n) => Effect.as(Durable.wait("w", `${n} seconds`), n), { nesting })
    const finished = (items: ReadonlyArray<number>) =>
      Effect.andThen(
        Durable.map("m", items, (n) => Durable.step("s", Effect.succeed(n)), { nesting }),
        Durable.wait("later", "1 second")
      )
    const large = (items: ReadonlyArray<number>) =>
      Effect.andThen(
        Durable.map("m", items, (n) => Durable.step("s", Effect.succeed(`${n}`.repeat(200_000))), { nesting }),
        Durable.wait("later", "1 second")
      )

    const cases = { waiting, finished, large }
    for (const [what, body] of Object.entries(cases)) {
      it.effect(`fewer items: NonDeterministic (${what})`, () =>
        Effect.gen(function* () {
          const execution = yield* change([1, 2, 3], [1], body)
          const error = yield* Effect.flip(execution.result)
          assert.strictEqual((error as { type?: string }).type, "NonDeterministic")
          assert.match(error.message, /CONTEXT "m" .*is recorded with (3|more) items, and has 1 now|expected WAIT "w"/)
        }).pipe(Effect.provide(layerMemory))
      )
    }
    for (const [what, body] of Object.entries({ finished, large })) {
      it.effect(`more items: NonDeterministic once it is closed (${what})`, () =>
        Effect.gen(function* () {
          const execution = yield* change([1, 2], [1, 2, 3], body)
          const error = yield* Effect.flip(execution.result)
          assert.match(error.message, /is recorded with 2 items, and has 3 now/)
        }).pipe(Effect.provide(layerMemory))
      )
    }

    it.effect("fewer items, all of them done when it is seen", () =>
      Effect.gen(function* () {
        const body = (items: ReadonlyArray<number>) =>
          Durable.map("m", items, (n) => (n === 3 ? Durable.wait("w", "1 second") : Durable.step("s", Effect.void)), {
            nesting
          })
        const execution = yield* change([1, 2, 3], [1, 2], body)
        const error = yield* Effect.flip(execution.result)
        assert.match(error.message, /CONTEXT "m" .*is recorded with more items, and has 2 now/)
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("more items while it runs: they run, too", () =>
      Effect.gen(function* () {
        const execution = yield* change([1, 2], [1, 2, 3], waiting)
        assert.deepStrictEqual(yield* execution.result, [1, 2, 3])
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("an operation inside an item: NonDeterministic", () =>
      Effect.gen(function* () {
        let name = "before"
        const body = Durable.map("m", [1], () => Effect.suspend(() => Durable.wait(name, "1 second")), { nesting })
        const execution = yield* kit.start(
          Effect.suspend(() =>
            Effect.ensuring(
              body,
              Effect.sync(() => (name = "after"))
            )
          )
        )
        const error = yield* Effect.flip(execution.result)
        assert.match(error.message, /expected WAIT "before" .* got WAIT "after"/)
      }).pipe(Effect.provide(layerMemory))
    )
  })
}

describe("another kind or name of batch: NonDeterministic", () => {
  it.effect("a branch's name", () =>
    Effect.gen(function* () {
      let key = "a"
      const body = Effect.suspend(() => {
        const branches = { [key]: Durable.wait("w", "1 second") }
        key = "b"
        return Durable.parallel("p", branches)
      })
      const { message, type } = yield* kit.faultOf(body)
      assert.strictEqual(type, "NonDeterministic")
      assert.match(message, /expected CONTEXT "a" .* got CONTEXT "b"/)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("options that no batch can have: InvalidOperation, before anything is sent", () => {
  const one = [Effect.void]
  // any: what JavaScript, or a cast, may give
  // oxlint-disable-next-line typescript/no-explicit-any
  const given = (options: any) => Durable.parallel("p", one, options)
  const cases: ReadonlyArray<readonly [what: string, body: kit.Body, message: RegExp]> = [
    [
      "concurrency 0",
      given({ concurrency: 0 }),
      /parallel\("p"\): its concurrency is 0\. Give it a whole number from 1/
    ],
    ["concurrency NaN", given({ concurrency: NaN }), /its concurrency is NaN/],
    ["concurrency -1", given({ concurrency: -1 }), /its concurrency is -1/],
    ["concurrency 1.5", given({ concurrency: 1.5 }), /its concurrency is 1\.5/],
    ["concurrency of a string", given({ concurrency: "many" }), /its concurrency is many/],
    ["nesting", given({ nesting: "deep" }), /its nesting is deep, not "nested" or "flat"/],
    ["mode", given({ mode: "all" }), /its mode is all, not "values" or "result"/],
    ["completion without mode", given({ completion: { minSuccessful: 1 } }), /needs `mode: "result"`/],
    ["result without mode", given({ result: Schema.Any }), /needs `mode: "result"`/],
    [
      "minSuccessful > total: AWS's JS SDK 2.4.0 gets this wrong (section 24)",
      given({ mode: "result", completion: { minSuccessful: 5 } }),
      /its minSuccessful is 5, but there are only 1/
    ],
    ["a threshold", given({ mode: "result", completion: { toleratedFailurePercentage: 101 } }), /Percentage is 101/],
    [
      "the name of a branch",
      Durable.parallel("p", { ä: Effect.void }),
      /the name of number 0 of its branches, "ä" is not/
    ],
    ["itemName", Durable.map("m", [1], () => Effect.void, { itemName: () => "" }), /number 0 of its items, "" is not/],
    [
      "itemName that throws",
      Durable.map("m", [1], () => Effect.void, {
        itemName: () => {
          throw new Error("odd")
        }
      }),
      /Durable\.map\("m"\): its itemName threw: Error: odd/
    ],
    ["the batch's own name", Durable.map("", [1], () => Effect.void), /Durable\.map: the name "" is not usable/]
  ]
  for (const [what, body, message] of cases) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const handler = DurableHandler.make(kit.Anything, () => body, service.handlerOptions)
        const answer = yield* service.invoke(handler)
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "InvalidOperation")
        assert.match(answer.Error?.ErrorMessage ?? "", message)
        assert.deepStrictEqual(service.requests, [])
      })
    )
  }

  it.effect("a completion function that throws, or gives something else", () =>
    Effect.gen(function* () {
      const of = (completion: () => never) => Durable.map("m", [1], () => Effect.void, { mode: "result", completion })
      const thrown = yield* kit.faultOf(
        of(() => {
          throw new Error("odd")
        })
      )
      assert.match(thrown.message, /CONTEXT "m" .*its completion function threw: Error: odd\. It must give "continue"/)
      const other = yield* kit.faultOf(of(() => true as never))
      assert.match(other.message, /its completion function gave true/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a summary that throws, a value that no codec can write, a text that no codec can read", () =>
    Effect.gen(function* () {
      const summary = () => {
        throw new Error("odd")
      }
      const thrown = yield* kit.faultOf(Durable.map("m", [1], () => Effect.succeed(new Map()), { summary }))
      assert.strictEqual(thrown.type, "SerdesFailed")
      assert.match(thrown.message, /its `summary` threw: Error: odd/)
      class Order extends Schema.Class<Order>("Order")({ id: Schema.String }) {}
      for (const nesting of ["nested", "flat"] as const) {
        const wrong = Durable.map("m", [1], () => Effect.succeed({ id: "1" }), { success: Order, nesting })
        assert.match((yield* kit.faultOf(wrong)).message, /^CONTEXT "map-item-0" .*Expected Order/s)
      }
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("batches and layers", () => {
  it.effect("the Serdes layer transforms the record of the batch and those of its items", () =>
    Effect.gen(function* () {
      const reverse = (text: string) => Effect.succeed([...text].reverse().join(""))
      const layer = Layer.succeed(Serdes.Serdes, { encode: reverse, decode: reverse })
      for (const nesting of ["nested", "flat"] as const) {
        const body = Durable.map(
          "m",
          ["ab", "cd"],
          (item) => Effect.andThen(Durable.wait("w", "1 second"), Effect.succeed(item)),
          {
            nesting
          }
        )
        const execution = yield* kit.sees(body, Exit.succeed(["ab", "cd"])).pipe(Effect.provide(layer))
        assert.match(
          (yield* execution.operation("m")).ContextDetails?.Result ?? "",
          /^"DETELPMOC_LLA":"nosaeRnoitelpmoc"|^}"/
        )
        if (nesting === "nested") {
          assert.strictEqual((yield* execution.operation("map-item-0")).ContextDetails?.Result, '"ba"')
        }
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a codec that takes time does not hide what follows an item, when items run again after a suspension", () =>
    Effect.gen(function* () {
      const slowly = SchemaGetter.transformEffect((text: string) => Effect.as(kit.turn, text))
      const Slow = Schema.String.pipe(Schema.decodeTo(Schema.String, { decode: slowly, encode: slowly }))
      for (const nesting of ["nested", "flat"] as const) {
        const item = (name: string) =>
          Effect.as(Effect.andThen(Durable.step(name, Effect.succeed(1)), Durable.wait("w", "1 second")), name)
        const body = Durable.map("m", ["a", "b", "c"], item, { nesting, concurrency: 1, success: Slow })
        yield* kit.sees(body, Exit.succeed(["a", "b", "c"]))
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("codecs that take time: the batch goes on when they are done", () =>
    Effect.gen(function* () {
      const Slow = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((text: string) => Effect.as(kit.turn, text)),
          encode: SchemaGetter.transformEffect((text: string) => Effect.as(kit.turn, text))
        })
      )
      for (const nesting of ["nested", "flat"] as const) {
        for (const concurrency of [1, 2, "unbounded"] as const) {
          const body = Durable.map("m", ["a", "b", "c"], (item) => Durable.step("s", Effect.succeed(item)), {
            nesting,
            concurrency,
            success: Slow
          })
          yield* kit.sees(body, Exit.succeed(["a", "b", "c"]))
        }
      }
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("many items", () => {
  it.effect("10,000, with the limits switched off, in bounded memory", () =>
    Effect.gen(function* () {
      const n = 10_000
      const service = FakeService.make()
      const checkpoints = CheckpointService.layerWith({ limits: { operations: Infinity } })
      const ended = () => service.updates.filter(({ Action, Type }) => Type === "CONTEXT" && Action === "SUCCEED")
      let kept = n
      const item = (i: number) =>
        Effect.flatMap(DurableContext, ({ core }) => {
          if (i === n - 1) kept = ended().filter(({ Id }) => core.recordOf(Id) !== undefined).length
          return Durable.step("s", Effect.succeed(i))
        })
      const body = Effect.map(Durable.map("m", range(n), item, { concurrency: 100 }), (values) =>
        values.reduce((sum, value) => sum + value, 0)
      )
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, checkpoints })
      const answer = yield* service.invoke(handler)
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: String((n * (n - 1)) / 2) })
      assert.strictEqual(service.updates.length, 4 * n + 2)
      assert.isAtMost(kept, 100, "records of items that have ended")
    })
  )

  it.effect("of 5,000, all but the first lose at once, and it takes no longer for that", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const checkpoints = CheckpointService.layerWith({ limits: { operations: Infinity } })
      const item = (i: number) => (i === 0 ? Durable.step("s", Effect.void) : Durable.wait("w", "1 hour"))
      const body = Effect.map(Durable.map("m", range(5_000), item, firstOf), ({ counts }) => counts.started)
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, checkpoints })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "4999" })
    })
  )
})
