/**
 * What `Durable.map` and `Durable.parallel` share: one record for the whole, worlds of their own, the two modes,
 * nesting, completion, large results, crashes and changes.
 */
import { assert, describe, it } from "@effect/vitest"
import { BatchResult, Durable } from "effect-durable-lambda"
import { ChildContextFailed, StepFailed } from "effect-durable-lambda/DurableError"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as kit from "./kit.ts"
import { CardDeclined } from "./kit.ts"

const { layerMemory } = TestRunner
const noRetry = { retry: Durable.noRetry }
const declined = new CardDeclined({ reason: "limit" })
const result = { mode: "result" } as const

/** A step that counts how often it runs. */
const counting = () => {
  const runs: Record<string, number> = {}
  const step = <A>(name: string, value: A) =>
    Durable.step(
      name,
      Effect.sync(() => {
        runs[name] = (runs[name] ?? 0) + 1
        return value as Schema.Json
      })
    )
  return { runs, step }
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i)

const success = <A>(index: number, value: A, name = `map-item-${index}`) =>
  ({ _tag: "Success", index, name, value }) as const
const failure = (index: number, error: unknown, name = `map-item-${index}`) =>
  ({ _tag: "Failure", index, name, cause: Cause.fail(error) }) as const
const startedItem = (index: number, name = `map-item-${index}`) => ({ _tag: "Started", index, name }) as const
const notStarted = (index: number, name = `map-item-${index}`) => ({ _tag: "NotStarted", index, name }) as const

for (const nesting of ["nested", "flat"] as const) {
  describe(`batches, ${nesting}: values`, () => {
    it.effect("a map gives a list, live and replayed, and no step runs twice", () =>
      Effect.gen(function* () {
        const { runs, step } = counting()
        const body = Durable.map("m", ["a", "b", "c"], (item, i) => step(item, { item, i }), { nesting })
        const execution = yield* kit.sees(body, Exit.succeed(["a", "b", "c"].map((item, i) => ({ item, i }))))
        assert.deepStrictEqual(runs, { a: 1, b: 1, c: 1 })
        const map = yield* execution.operation("m")
        assert.strictEqual(map.SubType, "Map")
        assert.strictEqual(map.Status, "SUCCEEDED")
        assert.strictEqual(
          map.ContextDetails?.Result,
          '{"all":[{"result":{"item":"a","i":0},"index":0,"status":"SUCCEEDED"},' +
            '{"result":{"item":"b","i":1},"index":1,"status":"SUCCEEDED"},' +
            '{"result":{"item":"c","i":2},"index":2,"status":"SUCCEEDED"}],"completionReason":"ALL_COMPLETED"}'
        )
        const operations = yield* execution.operations
        const items = operations.filter(({ SubType }) => SubType === "MapIteration")
        assert.deepStrictEqual(
          items.map(({ Name, ParentId }) => [Name, ParentId]),
          nesting === "flat" ? [] : [0, 1, 2].map((i) => [`map-item-${i}`, map.Id])
        )
        const parent = (yield* execution.operation("b")).ParentId
        assert.strictEqual(parent, nesting === "flat" ? map.Id : items[1]?.Id)
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a parallel gives the shape of its branches: struct, tuple, list", () =>
      Effect.gen(function* () {
        const a = Durable.step("s", Effect.succeed(1))
        const b = Durable.step("s", Effect.succeed("x"))
        const execution = yield* kit.sees(Durable.parallel("p", { a, b }, { nesting }), Exit.succeed({ a: 1, b: "x" }))
        assert.strictEqual((yield* execution.operation("p")).SubType, "Parallel")
        if (nesting === "nested") {
          assert.strictEqual((yield* execution.operation("b")).SubType, "ParallelBranch")
        }
        const tuple = yield* kit.sees(Durable.parallel("p", [a, b], { nesting }), Exit.succeed([1, "x"]))
        if (nesting === "nested") yield* tuple.operation("parallel-branch-1")
        yield* kit.sees(Durable.parallel("p", [a, a, a] as Array<typeof a>, { nesting }), Exit.succeed([1, 1, 1]))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("an empty batch: START and SUCCEED", () =>
      Effect.gen(function* () {
        const empty: ReadonlyArray<number> = []
        const execution = yield* kit.sees(
          Durable.map("m", empty, () => Effect.die("never"), { nesting }),
          Exit.succeed([])
        )
        assert.deepStrictEqual((yield* kit.operationsOf(execution)).slice(0, 2), [
          'ContextStarted "m"',
          'ContextSucceeded "m" {"all":[],"completionReason":"ALL_COMPLETED"}'
        ])
        yield* kit.sees(Durable.parallel("p", {}, { nesting }), Exit.succeed({}))
        yield* kit.sees(Durable.parallel("p", [], { nesting }), Exit.succeed([]))
        let asked = 0
        const never = () => {
          asked++
          return "fail" as const
        }
        const of = Durable.map("m", empty, () => Effect.void, { nesting, ...result, completion: never })
        const { live } = yield* kit.observe(of)
        assert(Exit.isSuccess(live))
        assert.deepStrictEqual(live.value, BatchResult.make([], "ALL_COMPLETED"))
        assert.strictEqual(asked, 0)
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("without a value, and with null", () =>
      Effect.gen(function* () {
        const body = Durable.parallel("p", [Effect.void, Effect.succeed(null)], { nesting })
        const execution = yield* kit.sees(body, Exit.succeed([undefined, null]))
        assert.strictEqual(
          (yield* execution.operation("p")).ContextDetails?.Result,
          '{"all":[{"index":0,"status":"SUCCEEDED"},{"result":null,"index":1,"status":"SUCCEEDED"}],' +
            '"completionReason":"ALL_COMPLETED"}'
        )
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("by the codecs of items and branches, JSON or text", () =>
      Effect.gen(function* () {
        const at = (day: number) => new Date(day * 86_400_000)
        const dates = Durable.map("m", [1, 2], (day) => Effect.succeed(at(day)), { nesting, success: Schema.Date })
        const execution = yield* kit.sees(dates, Exit.succeed([at(1), at(2)]))
        assert.include((yield* execution.operation("m")).ContextDetails?.Result, '"result":"1970-01-02T00:00:00.000Z"')
        const number = Durable.text(Schema.NumberFromString)
        const texts = Durable.map("m", [1, 2], (n) => Effect.succeed(n), { nesting, success: number })
        const second = yield* kit.sees(texts, Exit.succeed([1, 2]))
        assert.include((yield* second.operation("m")).ContextDetails?.Result, '"result":"2"')
        if (nesting === "nested") {
          assert.strictEqual((yield* second.operation("map-item-1")).ContextDetails?.Result, "2")
        }
        const mixed = Durable.parallel(
          "p",
          {
            date: Durable.branch(Effect.succeed(at(3)), { success: Schema.Date }),
            text: Effect.succeed(4).pipe(Durable.branch({ success: number })),
            plain: Effect.succeed([5])
          },
          { nesting }
        )
        yield* kit.sees(mixed, Exit.succeed({ date: at(3), text: 4, plain: [5] }))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("items finish in any order, over invocations; values are in the order of the items", () =>
      Effect.gen(function* () {
        const orders = [
          [1, 2, 3, 4],
          [4, 3, 2, 1],
          [2, 4, 1, 3],
          [3, 1, 4, 2],
          [1, 1, 1, 1]
        ]
        for (const seconds of orders) {
          for (const concurrency of [1, 2, "unbounded"] as const) {
            const { runs, step } = counting()
            const item = (s: number, i: number) =>
              Effect.gen(function* () {
                const before = yield* step(`before ${i}`, i)
                yield* Durable.wait("w", `${s} seconds`)
                return [before, yield* step(`after ${i}`, s)]
              })
            yield* kit.sees(
              Durable.map("m", seconds, item, { nesting, concurrency }),
              Exit.succeed(seconds.map((s, i) => [i, s]))
            )
            assert.isTrue(
              Object.values(runs).every((n) => n === 1),
              JSON.stringify(runs)
            )
          }
        }
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("no more run at a time than concurrency says, and they start in their order", () =>
      Effect.gen(function* () {
        for (const concurrency of [1, 2, 3, Infinity]) {
          let running = 0
          let most = 0
          const order: Array<number> = []
          const item = (i: number) =>
            Durable.step(
              "s",
              Effect.gen(function* () {
                order.push(i)
                most = Math.max(most, ++running)
                yield* kit.turn
                running--
                return i
              })
            )
          yield* kit.run(Durable.map("m", range(6), item, { nesting, concurrency }))
          assert.strictEqual(most, Math.min(concurrency, 6))
          assert.deepStrictEqual(order, range(6))
        }
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("an item that waits keeps its place: with concurrency 1 the next starts behind it", () =>
      Effect.gen(function* () {
        const body = Durable.map("m", [1, 2], (s) => Durable.wait(`wait ${s}`, `${s} seconds`), {
          nesting,
          concurrency: 1
        })
        const execution = yield* kit.start(body)
        yield* execution.result
        assert.strictEqual(yield* execution.invocations, 3)
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("items have clock and random numbers of their own; the clock starts with the parent's", () =>
      Effect.gen(function* () {
        const body = Effect.gen(function* () {
          yield* Durable.wait("before", "10 seconds")
          const start = yield* Clock.currentTimeMillis
          const seen = yield* Durable.map(
            "m",
            [3, 1],
            (s) =>
              Effect.gen(function* () {
                const first = yield* Clock.currentTimeMillis
                const random = yield* Random.next
                yield* Durable.wait("w", `${s} seconds`)
                return [first - start, random, (yield* Clock.currentTimeMillis) - start] as const
              }),
            { nesting }
          )
          const end = yield* Clock.currentTimeMillis
          return [seen[0]![0], seen[1]![0], seen[0]![1] === seen[1]![1], end - start, seen[0]![2] > seen[1]![2]]
        })
        // the end of a context does not move its parent's clock
        yield* kit.sees(body, Exit.succeed([0, 0, false, 0, true]))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("batches in batches", () =>
      Effect.gen(function* () {
        const { runs, step } = counting()
        const inner = (i: number) =>
          Durable.parallel(
            "inner",
            {
              a: step(`a${i}`, i),
              b: Effect.andThen(
                Durable.wait("w", `${i + 1} seconds`),
                Durable.map("innermost", [1, 2], (n) => step(`b${i}${n}`, n * i), { nesting })
              )
            },
            { nesting }
          )
        yield* kit.sees(
          Durable.map("outer", range(3), inner, { nesting, concurrency: 2 }),
          Exit.succeed(range(3).map((i) => ({ a: i, b: [i, 2 * i] })))
        )
        assert.strictEqual(Object.keys(runs).length, 9)
        assert.isTrue(Object.values(runs).every((n) => n === 1))
      }).pipe(Effect.provide(layerMemory))
    )
  })

  describe(`batches, ${nesting}: failures`, () => {
    const item = (n: number) => (n === 2 ? Effect.fail(declined) : Durable.step("s", Effect.succeed(n)))

    it.effect("the first failure ends it: covered, its class; else ChildContextFailed of the item", () =>
      Effect.gen(function* () {
        const covered = Durable.map("m", [1, 2, 3], item, { nesting, error: CardDeclined })
        yield* kit.sees(covered, Exit.fail(declined))
        const uncovered = Durable.map("m", [1, 2, 3], item, { nesting })
        const wrapped = (operation: string) =>
          new ChildContextFailed({ operation, type: "CardDeclined", message: "", data: { reason: "limit" } })
        yield* kit.sees(uncovered, Exit.fail(wrapped("map-item-1")))
        const branch = Durable.parallel("p", { a: Effect.void, b: Effect.fail(declined) }, { nesting })
        yield* kit.sees(branch, Exit.fail(wrapped("b")))
        const own = Durable.branch(Effect.fail(declined), { error: CardDeclined })
        yield* kit.sees(Durable.parallel("p", { a: Effect.void, own }, { nesting }), Exit.fail(declined))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("failures of operations keep their class", () =>
      Effect.gen(function* () {
        const body = Durable.map("m", [1], () => Durable.step("s", Effect.fail(declined), noRetry), { nesting })
        const failed = new StepFailed({
          operation: "s",
          type: "CardDeclined",
          message: "",
          data: { reason: "limit" }
        })
        yield* kit.sees(body, Exit.fail(failed))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("the context is closed with SUCCEED, whatever became of its items", () =>
      Effect.gen(function* () {
        const execution = yield* kit.sees(
          Durable.map("m", [1, 2, 3], item, { nesting, concurrency: 1, error: CardDeclined }),
          Exit.fail(declined)
        )
        const { ContextDetails: details, Status } = yield* execution.operation("m")
        assert.strictEqual(Status, "SUCCEEDED")
        assert.deepStrictEqual(JSON.parse(details?.Result ?? ""), {
          all: [
            { result: 1, index: 0, status: "SUCCEEDED" },
            {
              error: {
                ErrorType: "CardDeclined",
                ErrorMessage: "",
                ErrorData: '{"_tag":"CardDeclined","reason":"limit"}'
              },
              index: 1,
              status: "FAILED"
            }
          ],
          completionReason: "FAILURE_TOLERANCE_EXCEEDED"
        })
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("the lowest index of those that failed, not the first in time", () =>
      Effect.gen(function* () {
        const body = Durable.map(
          "m",
          [2, 1],
          (s) => Effect.andThen(Durable.wait("w", `${s} seconds`), Effect.fail(`failed ${s}`)),
          { nesting, ...result, completion: { toleratedFailureCount: 2 }, error: Schema.String }
        ).pipe(Effect.flatMap(BatchResult.orFail))
        yield* kit.sees(body, Exit.fail("failed 2"))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a defect counts as a failure, and dies as the same defect, in both modes", () =>
      Effect.gen(function* () {
        const odd = () => Effect.die(new RangeError("odd"))
        yield* kit.sees(Durable.map("m", [1], odd, { nesting }), Exit.die(new RangeError("odd")))
        const thrown = (): Effect.Effect<void> => {
          throw new RangeError("odd")
        }
        yield* kit.sees(Durable.map("m", [1], thrown, { nesting }), Exit.die(new RangeError("odd")))
        const { live, replayed } = yield* kit.observe(Durable.map("m", [1], odd, { nesting, ...result }))
        for (const exit of [live, ...replayed]) {
          assert(Exit.isSuccess(exit))
          const { counts, failures, items } = exit.value as BatchResult.BatchResult<never, never>
          assert.deepStrictEqual(counts, { total: 1, success: 0, failure: 1, started: 0 })
          assert.deepStrictEqual(failures, [])
          const [first] = items
          assert(first?._tag === "Failure")
          assert.strictEqual(String(Cause.squash(first.cause)), "RangeError: odd")
        }
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("an item that interrupts itself has failed", () =>
      kit
        .sees(
          Durable.map("m", [1], () => Effect.interrupt, { nesting }),
          Exit.interrupt()
        )
        .pipe(Effect.provide(layerMemory))
    )
  })

  describe(`batches, ${nesting}: mode "result"`, () => {
    it.effect("what became of each: successes, failures, started and not started", () =>
      Effect.gen(function* () {
        const item = (n: number) =>
          n === 1
            ? Effect.fail(declined)
            : n === 2
              ? Effect.as(Durable.wait("w", "1 hour"), "late")
              : Durable.step("s", Effect.succeed(`ok ${n}`))
        const body = Durable.map("m", range(7), item, {
          nesting,
          ...result,
          concurrency: 3,
          completion: { minSuccessful: 3 },
          error: CardDeclined
        })
        const { execution, live, replayed } = yield* kit.observe(body)
        const expected: BatchResult.BatchResult<unknown, unknown> = {
          items: [
            success(0, "ok 0"),
            failure(1, declined),
            startedItem(2),
            success(3, "ok 3"),
            success(4, "ok 4"),
            startedItem(5),
            notStarted(6)
          ],
          successes: ["ok 0", "ok 3", "ok 4"],
          failures: [declined],
          completionReason: "MIN_SUCCESSFUL_REACHED",
          status: "FAILED",
          counts: { total: 6, success: 3, failure: 1, started: 2 }
        }
        for (const exit of [live, ...replayed]) assert.deepStrictEqual(exit, Exit.succeed(expected))
        // the wait that lost stays open, and delays nothing
        const ended = yield* execution.operation("w")
        assert.include(["STARTED", "SUCCEEDED"], ended.Status)
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("values of undefined are not dropped: AWS's JS SDK 2.4.0 gets this wrong (section 24)", () =>
      Effect.gen(function* () {
        const body = Durable.map("m", [1, 2], (n) => (n === 1 ? Effect.void : Durable.step("s", Effect.succeed(n))), {
          nesting,
          ...result
        })
        const { live, replayed } = yield* kit.observe(body)
        for (const exit of [live, ...replayed]) {
          assert(Exit.isSuccess(exit))
          const seen = exit.value as BatchResult.BatchResult<number | undefined, never>
          assert.deepStrictEqual(seen.successes, [undefined, 2])
          assert.deepStrictEqual(BatchResult.succeeded(seen), [success(0, undefined), success(1, 2)])
        }
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("of a parallel: items in the shape of the branches", () =>
      Effect.gen(function* () {
        const body = Durable.parallel(
          "p",
          { a: Effect.succeed(1), b: Durable.branch(Effect.fail(declined), { error: CardDeclined }) },
          { nesting, ...result }
        )
        const { live, replayed } = yield* kit.observe(body)
        for (const exit of [live, ...replayed]) {
          assert(Exit.isSuccess(exit))
          const seen = exit.value as BatchResult.BatchResult<number, unknown, unknown>
          assert.deepStrictEqual(seen.items, { a: success(0, 1, "a"), b: failure(1, declined, "b") })
          assert.deepStrictEqual(BatchResult.failed(seen), [failure(1, declined, "b")])
          assert.isTrue(BatchResult.hasFailure(seen))
          assert.deepStrictEqual(yield* Effect.exit(BatchResult.orFail(seen)), Exit.fail(declined))
        }
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a completion function: asked before the first and after each; its reason and status", () =>
      Effect.gen(function* () {
        for (const decision of ["succeed", "fail"] as const) {
          const seen: Array<string> = []
          const body = Durable.map("m", range(4), (n) => Durable.step("s", Effect.succeed(n)), {
            nesting,
            ...result,
            concurrency: 1,
            completion: ({ completedCount, failureCount, items, successCount, totalCount }) => {
              seen.push(
                `${successCount}+${failureCount}=${completedCount}/${totalCount} ` +
                  items.map(({ status }) => status?.[0] ?? ".").join("")
              )
              return completedCount === 2 ? decision : "continue"
            }
          })
          const { live, replayed } = yield* kit.observe(body)
          assert.deepStrictEqual(seen, ["0+0=0/4 ....", "1+0=1/4 S...", "2+0=2/4 SS.."])
          for (const exit of [live, ...replayed]) {
            assert(Exit.isSuccess(exit))
            const { completionReason, counts, status } = exit.value as BatchResult.BatchResult<number, never>
            assert.strictEqual(completionReason, `CUSTOM_COMPLETION_${decision === "fail" ? "FAILED" : "SUCCEEDED"}`)
            assert.strictEqual(status, decision === "fail" ? "FAILED" : "SUCCEEDED")
            assert.strictEqual(counts.total, 2)
          }
        }
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a completion function that ends it at once: an empty batch. One that never does: ALL_COMPLETED", () =>
      Effect.gen(function* () {
        const at = (completion: () => Durable.CompletionDecision) =>
          Durable.map("m", [1, 2], () => Effect.fail("no"), { nesting, ...result, completion })
        const { live, replayed } = yield* kit.observe(at(() => "succeed"))
        for (const exit of [live, ...replayed]) {
          const expected = BatchResult.make([notStarted(0), notStarted(1)], "CUSTOM_COMPLETION_SUCCEEDED")
          assert.deepStrictEqual(exit, Exit.succeed(expected))
        }
        const all = yield* kit.run(at(() => "continue"))
        assert.strictEqual(all.completionReason, "ALL_COMPLETED")
        assert.strictEqual(all.status, "FAILED")
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a codec of its own writes the whole result", () =>
      Effect.gen(function* () {
        const Sum = Schema.String.pipe(
          Schema.decodeTo(Schema.Any as Schema.Codec<BatchResult.BatchResult<number, never>>, {
            decode: SchemaGetter.transform((text: string) =>
              BatchResult.make(
                text
                  .slice(4)
                  .split("+")
                  .map((n, index) => success(index, Number(n))),
                "ALL_COMPLETED"
              )
            ),
            encode: SchemaGetter.transform(({ successes }) => `SUM:${successes.join("+")}`)
          })
        )
        const body = Durable.map("m", [1, 2, 3], (n) => Effect.succeed(n), {
          nesting,
          ...result,
          result: Durable.text(Sum)
        })
        const execution = yield* kit.sees(
          body,
          Exit.succeed(BatchResult.make([success(0, 1), success(1, 2), success(2, 3)], "ALL_COMPLETED"))
        )
        assert.strictEqual((yield* execution.operation("m")).ContextDetails?.Result, "SUM:1+2+3")
      }).pipe(Effect.provide(layerMemory))
    )
  })

  describe(`batches, ${nesting}: results that are not recorded`, () => {
    const big = "x".repeat(100_000)

    it.effect("over 256 KiB: counts and statuses on record, rebuilt without running a step again", () =>
      Effect.gen(function* () {
        const { runs, step } = counting()
        const body = Durable.map("m", range(4), (i) => step(`s${i}`, `${i}${big}`), {
          nesting,
          summary: ({ counts }) => `${counts.success} texts`
        })
        const execution = yield* kit.sees(body, Exit.succeed(range(4).map((i) => `${i}${big}`)))
        assert.deepStrictEqual(runs, { s0: 1, s1: 1, s2: 1, s3: 1 })
        const { ContextDetails } = yield* execution.operation("m")
        assert.strictEqual(ContextDetails?.ReplayChildren, true)
        assert.strictEqual(
          ContextDetails?.Result,
          '{"type":"MapResult","totalCount":4,"successCount":4,"failureCount":0,"completionReason":"ALL_COMPLETED",' +
            '"status":"SUCCEEDED","itemStatuses":"SSSS","summary":"4 texts"}'
        )
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("STARTED items are rebuilt: AWS's JS SDK 2.4.0 gets this wrong (section 25)", () =>
      Effect.gen(function* () {
        let asked = 0
        const branch = (i: number) =>
          i === 1
            ? Effect.fail(declined)
            : i === 3
              ? Effect.as(Durable.wait("slow", "1 day"), "")
              : Durable.step("s", Effect.succeed(`${i}${big}`))
        const body = Durable.parallel("p", range(6).map(branch), {
          nesting,
          ...result,
          concurrency: 5,
          completion: ({ successCount }) => {
            asked++
            return successCount === 3 ? "succeed" : "continue"
          }
        })
        const { execution, live, replayed } = yield* kit.observe(body)
        assert.isAtLeast(replayed.length, 1)
        assert(Exit.isSuccess(live))
        const seen = live.value as BatchResult.BatchResult<string, unknown>
        assert.deepStrictEqual(seen.counts, { total: 6, success: 3, failure: 1, started: 2 })
        for (const exit of replayed) assert.deepStrictEqual(exit, live)
        assert.strictEqual(asked, 5)
        assert.strictEqual(
          (yield* execution.operation("p")).ContextDetails?.Result,
          '{"type":"ParallelResult","totalCount":6,"successCount":3,"failureCount":1,"startedCount":2,' +
            '"completionReason":"CUSTOM_COMPLETION_SUCCEEDED","status":"SUCCEEDED","itemStatuses":"SFS-S-"}'
        )
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("values that are not plain JSON and have no codec", () =>
      Effect.gen(function* () {
        const { runs, step } = counting()
        const body = Durable.parallel(
          "p",
          { map: Effect.map(step("s", "a"), (a) => new Map([[a, 1]])), plain: step("t", 1) },
          { nesting }
        )
        const execution = yield* kit.sees(body, Exit.succeed({ map: new Map([["a", 1]]), plain: 1 }))
        assert.deepStrictEqual(runs, { s: 1, t: 1 })
        assert.strictEqual((yield* execution.operation("p")).ContextDetails?.ReplayChildren, true)
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("an item that is itself too large", () =>
      Effect.gen(function* () {
        const { runs, step } = counting()
        const body = Durable.map("m", [1, 2], (n) => Effect.map(step(`s${n}`, n), (n) => String(n).repeat(300_000)), {
          nesting
        })
        yield* kit.sees(body, Exit.succeed(["1".repeat(300_000), "2".repeat(300_000)]))
        assert.deepStrictEqual(runs, { s1: 1, s2: 1 })
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("a race inside an item is rebuilt as it was decided", () =>
      Effect.gen(function* () {
        const body = Durable.map(
          "m",
          [1, 2],
          (n) =>
            Effect.raceFirst(
              Effect.as(Durable.wait("slow", `${5 + n} seconds`), "slow"),
              Effect.as(Durable.wait("fast", `${n} seconds`), "fast")
            ).pipe(Effect.map((winner) => winner + big + big)),
          { nesting }
        )
        yield* kit.sees(body, Exit.succeed(range(2).map(() => `fast${big}${big}`)))
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect("an item that fails when it is rebuilt is NonDeterministic", () =>
      Effect.gen(function* () {
        let fail = false
        const body = Effect.gen(function* () {
          yield* Durable.map("m", [1], () => (fail ? Effect.fail("changed") : Effect.succeed(new Map())), { nesting })
          fail = true
          yield* Durable.wait("w", "1 second")
        })
        const { message, type } = yield* kit.faultOf(body)
        assert.strictEqual(type, "NonDeterministic")
        assert.match(message, /recorded as succeeded/)
      }).pipe(Effect.provide(layerMemory))
    )
  })
}
