/** `parallel` and `map`, written twice as in workloads.ts. */
import { type BatchResult as AwsBatchResult, type DurableContext, NestingType } from "@aws/durable-execution-sdk-js"
import { type BatchResult, Durable } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { Declined, everySecond, ok, oursFailsUntil, ourRetry, failsUntil, type Workload } from "./workloads.ts"

/** What both tell of a batch: the reason of its end, and what became of each item. */
const told = (batch: AwsBatchResult<unknown>) => [
  batch.completionReason,
  batch.status,
  [batch.successCount, batch.failureCount, batch.startedCount, batch.totalCount],
  batch.all.map(({ index, status }) => `${index} ${status}`),
  batch.getResults(),
  batch.getErrors().length
]
const ourTold = (batch: BatchResult.BatchResult<unknown, unknown>) => [
  batch.completionReason,
  batch.status,
  [batch.counts.success, batch.counts.failure, batch.counts.started, batch.counts.total],
  batch.items.flatMap(({ _tag, index }) => (_tag === "NotStarted" ? [] : `${index} ${STATUS[_tag]}`)),
  batch.successes,
  batch.failures.length
]
const STATUS = { Success: "SUCCEEDED", Failure: "FAILED", Started: "STARTED" }

/** Items of which some fail, one after the other, and a completion rule; a wait behind it, so that it is also read. */
const rule = (
  items: string,
  completion: {
    readonly minSuccessful?: number
    readonly toleratedFailureCount?: number
    readonly toleratedFailurePercentage?: number
  },
  concurrency = 1
): Workload => ({
  aws: async (context) => {
    const each = (item: string) => async () => (item === "-" ? failsUntil(2, 1) : item)
    const batch = await context.map("m", [...items], async (_, item) => each(item)(), {
      maxConcurrency: concurrency,
      completionConfig: completion
    })
    await context.wait("w", { seconds: 1 })
    return told(batch)
  },
  ours: () =>
    Effect.gen(function* () {
      const batch = yield* Durable.map(
        "m",
        [...items],
        (item) => (item === "-" ? Effect.fail(new Declined("attempt 1")) : ok(item)),
        { concurrency, mode: "result", completion }
      )
      yield* Durable.wait("w", "1 second")
      return ourTold(batch)
    })
})

const wrapped = {
  serialize: async (value: string | undefined) => `<${value}>`,
  deserialize: async (text: string | undefined) => text?.slice(1, -1)
}
const Wrapped = Durable.text(
  Schema.String.pipe(
    Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.transform((text: string) => text.slice(1, -1)),
      encode: SchemaGetter.transform((text: string) => `<${text}>`)
    })
  )
)

export const batches: Readonly<Record<string, Workload>> = {
  "map, one step each": {
    sideBySide: true,
    aws: async (context) => {
      const batch = await context.map("m", ["a", "b", "c"], (child, item) => child.step("s", async () => item))
      return batch.getResults()
    },
    ours: () => Durable.map("m", ["a", "b", "c"], (item) => Durable.step("s", ok(item)))
  },
  "map, two at a time, over a wait": {
    aws: async (context) => {
      const batch = await context.map(
        "m",
        [1, 2, 3],
        async (child, n) => {
          await child.wait("w", { seconds: n })
          return child.step("s", async () => n * 2)
        },
        { maxConcurrency: 2, itemNamer: (n: number) => `item ${n}` }
      )
      return batch.getResults()
    },
    ours: () =>
      Durable.map(
        "m",
        [1, 2, 3],
        (n) => Effect.andThen(Durable.wait("w", `${n} seconds`), Durable.step("s", ok(n * 2))),
        {
          concurrency: 2,
          itemName: (n) => `item ${n}`
        }
      )
  },
  "an empty map": {
    aws: async (context) => (await context.map("m", [], async () => 1)).getResults(),
    ours: () => Durable.map("m", [], () => ok(1))
  },
  "parallel, named branches of different types": {
    sideBySide: true,
    aws: async (context) => {
      const batch = await context.parallel("p", [
        { name: "a", func: (child) => child.step("s", async () => "x") },
        { name: "b", func: async () => ({ k: [1, null] }) }
      ])
      return { a: batch.all[0]?.result, b: batch.all[1]?.result }
    },
    ours: () => Durable.parallel("p", { a: Durable.step("s", ok("x")), b: ok({ k: [1, null] }) })
  },
  "parallel, flat": {
    sideBySide: true,
    aws: async (context) => {
      const batch = await context.parallel(
        "p",
        [(child) => child.step("s", async () => 1), (child) => child.step("t", async () => 2)],
        { nesting: NestingType.FLAT }
      )
      return batch.getResults()
    },
    ours: () => Durable.parallel("p", [Durable.step("s", ok(1)), Durable.step("t", ok(2))], { nesting: "flat" })
  },
  "a map that ends early": {
    aws: async (context) => {
      const batch = await context.map("m", [1, 2, 3, 4], async (_, n) => n, {
        maxConcurrency: 1,
        completionConfig: { minSuccessful: 2 }
      })
      await context.wait("w", { seconds: 1 })
      return [batch.completionReason, batch.status, batch.totalCount, batch.successCount]
    },
    ours: () =>
      Effect.gen(function* () {
        const batch = yield* Durable.map("m", [1, 2, 3, 4], (n) => ok(n), {
          concurrency: 1,
          mode: "result",
          completion: { minSuccessful: 2 }
        })
        yield* Durable.wait("w", "1 second")
        return [batch.completionReason, batch.status, batch.counts.total, batch.counts.success]
      })
  },
  "a large map": {
    sideBySide: true,
    aws: async (context) => {
      const batch = await context.map("m", [1, 2, 3], (child, n) => child.step("s", async () => `${n}`.repeat(100_000)))
      await context.wait("w", { seconds: 1 })
      return batch.getResults().map((text) => (text as string).length)
    },
    ours: () =>
      Effect.gen(function* () {
        const texts = yield* Durable.map("m", [1, 2, 3], (n) => Durable.step("s", ok(`${n}`.repeat(100_000))))
        yield* Durable.wait("w", "1 second")
        return texts.map((text) => text.length)
      })
  },
  "a large parallel": {
    aws: async (context) => {
      const batch = await context.parallel("p", [async () => "x".repeat(200_000), async () => "y".repeat(200_000)])
      await context.wait("w", { seconds: 1 })
      return batch.totalCount
    },
    ours: () =>
      Effect.gen(function* () {
        const both = yield* Durable.parallel("p", [ok("x".repeat(200_000)), ok("y".repeat(200_000))])
        yield* Durable.wait("w", "1 second")
        return both.length
      })
  },
  "a rule: as many failures as tolerated": rule("a-b", { toleratedFailureCount: 1 }),
  "a rule: more failures than tolerated": rule("-a-b", { toleratedFailureCount: 1 }),
  "a rule: no failure tolerated": rule("a-b", { toleratedFailureCount: 0 }),
  "a rule: as large a part as tolerated": rule("-abc", { toleratedFailurePercentage: 25 }),
  "a rule: a larger part than tolerated": rule("-a-c", { toleratedFailurePercentage: 25 }),
  "a rule: enough successes": rule("a-bc", { minSuccessful: 2 }),
  "a rule: too few successes": rule("a-b", { minSuccessful: 3 }),
  "a rule: nothing but failures": rule("---", { toleratedFailureCount: 3 }),
  "rules: enough successes before too many failures": rule("a-b-", { minSuccessful: 2, toleratedFailureCount: 1 }),
  "rules: too many failures before enough successes": rule("--ab", { minSuccessful: 2, toleratedFailureCount: 1 }),
  "rules: both percentages and counts": rule("-a-b", { toleratedFailureCount: 3, toleratedFailurePercentage: 30 }),
  "a failing map that is caught": {
    aws: async (context) => {
      const batch = await context.map("m", ["-"], async () => failsUntil(2, 1))
      const message = batch.getErrors()[0]?.message
      return context.step("after", async () => message)
    },
    ours: () =>
      Effect.gen(function* () {
        const failing = () => Effect.fail(new Declined("attempt 1"))
        const batch = yield* Durable.map("m", ["-"], failing, { mode: "result" })
        return yield* Durable.step("after", ok(batch.failures[0]?.message ?? ""))
      })
  },
  "retries in branches, two at a time": {
    sideBySide: true,
    aws: async (context) => {
      const branch = (name: string) => ({
        name,
        func: (child: DurableContext) => child.step("r", async ({ attempt }) => failsUntil(2, attempt), everySecond(2))
      })
      return (await context.parallel("p", ["a", "b", "c"].map(branch), { maxConcurrency: 2 })).getResults()
    },
    ours: () => {
      const branch = Durable.step("r", oursFailsUntil(2), { retry: ourRetry(2) })
      return Effect.map(Durable.parallel("p", { a: branch, b: branch, c: branch }, { concurrency: 2 }), Object.values)
    }
  },
  "a map in a branch of a parallel in a context": {
    sideBySide: true,
    aws: (context) =>
      context.runInChildContext("c", async (outer) => {
        const both = await outer.parallel("p", [
          async (branch: DurableContext) =>
            (await branch.map("m", [1, 2], (child, n) => child.step("s", async () => n))).getResults(),
          async (branch: DurableContext) => [await branch.step("t", async () => 3)]
        ])
        return both.getResults()
      }),
    ours: () =>
      Durable.parallel("p", [
        Durable.map("m", [1, 2], (n) => Durable.step("s", ok(n))),
        Effect.map(Durable.step("t", ok(3)), (n) => [n])
      ]).pipe(Durable.childContext("c"))
  },
  "a flat map over a wait": {
    aws: async (context) => {
      const each = async (child: DurableContext, n: number) => {
        await child.wait(`w${n}`, { seconds: 1 })
        return child.step(`s${n}`, async () => n)
      }
      return (await context.map("m", [1, 2], each, { nesting: NestingType.FLAT, maxConcurrency: 1 })).getResults()
    },
    ours: () =>
      Durable.map("m", [1, 2], (n) => Effect.andThen(Durable.wait(`w${n}`, "1 second"), Durable.step(`s${n}`, ok(n))), {
        nesting: "flat",
        concurrency: 1
      })
  },
  "a flat parallel with a context in it": {
    aws: async (context) => {
      const batch = await context.parallel(
        "p",
        [
          (child: DurableContext) => child.runInChildContext("c", (inner) => inner.step("s", async () => 1)),
          (child: DurableContext) => child.step("t", async () => 2)
        ],
        { nesting: NestingType.FLAT, maxConcurrency: 1 }
      )
      return batch.getResults()
    },
    ours: () =>
      Durable.parallel("p", [Durable.childContext("c", Durable.step("s", ok(1))), Durable.step("t", ok(2))], {
        nesting: "flat",
        concurrency: 1
      })
  },
  "items with texts of their own": {
    aws: async (context) => {
      const batch = await context.map("m", ["a", "b"], async (_, item) => item, {
        itemSerdes: wrapped,
        maxConcurrency: 1
      })
      await context.wait("w", { seconds: 1 })
      return batch.getResults()
    },
    ours: () =>
      Effect.gen(function* () {
        const items = yield* Durable.map("m", ["a", "b"], (item) => ok(item), { success: Wrapped, concurrency: 1 })
        yield* Durable.wait("w", "1 second")
        return items
      })
  },
  "callbacks, conditions and invokes in branches": {
    aws: async (context) => {
      const batch = await context.parallel(
        "p",
        [
          (child: DurableContext) => child.invoke("i", "echo", { n: 1 }),
          (child: DurableContext) =>
            child.waitForCondition("poll", async (n: number) => n + 1, {
              initialState: 0,
              waitStrategy: (n) =>
                n >= 2 ? { shouldContinue: false } : { shouldContinue: true, delay: { seconds: 1 } }
            }),
          (child: DurableContext) => child.waitForCallback("approval", async () => {})
        ],
        { maxConcurrency: 1 }
      )
      return batch.all.map(({ result }) => result)
    },
    ours: () =>
      Durable.parallel(
        "p",
        [
          Durable.invoke("i", { payload: Schema.Any, success: Schema.Any }, { n: 1 }, { functionName: "echo" }),
          Durable.waitForCondition("poll", (n) => ok(n + 1), {
            initial: 0,
            state: Schema.Number,
            until: (n) => n >= 2,
            schedule: Schedule.spaced("1 second")
          }),
          Durable.waitForCallback("approval", () => Effect.void)
        ],
        { concurrency: 1 }
      ),
    answers: [{ callback: "approval", result: "yes" }]
  }
}
