/** AWS's requirements for parallel and map (suites 8 and 9), with AWS's own SDK. */
import { type BatchResult, type CompletionConfig, type MapConfig, NestingType } from "@aws/durable-execution-sdk-js"
import { type DurableContext, fail, handlersOf, type Run, second } from "./sdk.ts"

type Config = Omit<MapConfig<any, any>, "itemNamer">

const one = { maxConcurrency: 1 }

// ---- what is told of a result ----------------------------------------------------------------------------------------

type Told = (batch: BatchResult<any>) => unknown

const results: Told = (batch) => batch.getResults()
const successes: Told = ({ completionReason, successCount, totalCount }) => ({
  completionReason,
  successCount,
  totalCount
})
const counts: Told = ({ completionReason, failureCount, successCount, totalCount }) => ({
  completionReason,
  successCount,
  failureCount,
  totalCount
})
const all: Told = (batch) => ({ ...(counts(batch) as object), status: batch.status })
const rethrown: Told = (batch) => batch.throwIfError()

// ---- parallel --------------------------------------------------------------------------------------------------------

type Branch = (context: DurableContext) => Promise<unknown>

const gives =
  (value: unknown): Branch =>
  async () =>
    value
const step =
  (value: string): Branch =>
  (context) =>
    context.step("work", async () => value)
const fails: Branch = () => fail()
const never = gives("never")

const branches =
  (name: string | undefined, list: ReadonlyArray<Branch>, told = results, config: Config = one): Run =>
  async (context) =>
    told(await context.parallel(name, [...list], config))

const completes = (
  name: string,
  list: ReadonlyArray<Branch>,
  completionConfig: CompletionConfig,
  told: Told = counts
): Run => branches(name, list, told, { ...one, completionConfig })

// ---- map -------------------------------------------------------------------------------------------------------------

type Item = (context: DurableContext, item: any, index: number) => Promise<unknown>

const upper: Item = async (_, item) => item.toUpperCase()
const works: Item = async (_, item) => (item === "fail" ? fail() : item)

const items =
  (
    name: string | undefined,
    list: ReadonlyArray<unknown> | undefined,
    each: Item,
    told = results,
    config: MapConfig<any, any> = one
  ): Run =>
  async (context, input) =>
    told(await context.map(name, [...(list ?? input)], each, config))

const ends = (
  name: string,
  list: ReadonlyArray<string>,
  completionConfig: CompletionConfig,
  told: Told = counts
): Run => items(name, list, works, told, { ...one, completionConfig })

const thenWait =
  (run: Run): Run =>
  async (context, input) => {
    const result = await run(context, input)
    await context.wait("pause", second)
    return result
  }

const wrapped = {
  serialize: async (value: string | undefined) => `wrapped:${value}`,
  deserialize: async (text: string | undefined) => text?.replace(/^wrapped:/, "")
}

/** Its class is not exported: what is read back is told by its results alone. */
const joined = {
  serialize: async (batch: BatchResult<string> | undefined) => `OPSERDE:${batch?.getResults().join(",")}`,
  deserialize: async (text: string | undefined) => {
    const values = (text ?? "").replace(/^OPSERDE:/, "").split(",")
    const all = values.map((result, index) => ({ result, index, status: "SUCCEEDED" }))
    return { all, completionReason: "ALL_COMPLETED", getResults: () => values } as unknown as BatchResult<string>
  }
}

export const handlers = handlersOf({
  "8-1": branches("parallel", [step("task-1"), step("task-2")]),
  "8-2": async (context) => (await context.parallel([gives("alpha"), gives("beta")], one)).getResults(),
  "8-3": async (context) => {
    const named = [
      { name: "first", func: step("one") },
      { name: "second", func: step("two") }
    ]
    return (await context.parallel("named", named, one)).getResults()
  },
  "8-4": branches("hetero", [gives("hello"), gives(42), gives({ k: "v" })]),
  "8-5": branches("empty", [], results, {}),
  "8-6": completes("failfast", [gives("ok"), fails, never], { toleratedFailureCount: 0 }, all),
  "8-7": completes("throwing", [fails, never], { toleratedFailureCount: 0 }, rethrown),
  "8-8": completes("min-successful", [gives("b0"), gives("b1"), never, never], { minSuccessful: 2 }, successes),
  "8-9": completes("tolerated", [gives("b0"), fails, gives("b2")], { toleratedFailureCount: 1 }, all),
  "8-10": completes("tolerated-exceeded", [fails, fails, never], { toleratedFailureCount: 1 }),
  "8-11": branches("concurrent", [gives("r0"), gives("r1"), gives("r2")], results, { maxConcurrency: 2 }),
  "8-12": branches("flat", [step("task-1"), step("task-2")], results, { ...one, nesting: NestingType.FLAT }),
  "8-13": completes("tolerated-pct", [fails, fails, never, never], { toleratedFailurePercentage: 25 }),
  "8-14": branches("replay", [
    step("b0"),
    async (context) => {
      await context.wait("pause", { seconds: 2 })
      return "b1"
    }
  ]),
  "8-15": thenWait(completes("then-wait", [gives("b0"), fails], { toleratedFailureCount: 1 }, all)),
  "8-16": completes("all-fail", [fails, fails, fails], { toleratedFailureCount: 3 }, all),
  "8-17": completes("min-not-reached", [gives("b0"), fails, gives("b2")], { minSuccessful: 3 }, all),
  "8-18": completes(
    "combined",
    [gives("b0"), fails, gives("b2"), never],
    { minSuccessful: 2, toleratedFailureCount: 1 },
    all
  ),
  "8-19": branches("bad-concurrency", [gives("b0"), gives("b1")], results, { maxConcurrency: 0 }),
  "8-20": completes("accessors", [gives("b0"), fails, gives("b2")], { toleratedFailureCount: 1 }, (batch) => ({
    hasFailure: batch.hasFailure,
    successCount: batch.succeeded().length,
    failureCount: batch.failed().length,
    errorCount: batch.getErrors().length
  })),
  "8-21": branches(
    "outer",
    [(context) => branches("inner", [step("inner-0"), step("inner-1")])(context, null), step("outer-1")],
    (batch) => batch.getResults().flat()
  ),
  "8-22": completes(
    "pct-boundary",
    [fails, gives("b1"), gives("b2"), gives("b3")],
    { toleratedFailurePercentage: 25 },
    all
  ),

  "9-1": items("map", undefined, (context, item) => context.step("greet", async () => `Hello, ${item}!`)),
  "9-2": async (context, input: Array<number>) =>
    (await context.map(input, async (_, item) => item * 2, one)).getResults(),
  "9-3": items("indexed", ["a", "b", "c"], async (_, item, index) => `${item}-${index}`),
  "9-4": items("empty", undefined, upper, results, {}),
  "9-5": ends("failfast", ["ok", "fail", "never"], { toleratedFailureCount: 0 }, all),
  "9-6": ends("throwing", ["fail", "never"], { toleratedFailureCount: 0 }, rethrown),
  "9-7": ends("min-successful", ["i0", "i1", "i2", "i3"], { minSuccessful: 2 }, successes),
  "9-8": ends("tolerated", ["i0", "fail", "i2"], { toleratedFailureCount: 1 }, all),
  "9-9": ends("tolerated-exceeded", ["fail", "fail", "never"], { toleratedFailureCount: 1 }),
  "9-10": ends("tolerated-pct", ["fail", "fail", "never", "never"], { toleratedFailurePercentage: 25 }),
  "9-11": items("concurrent", ["r0", "r1", "r2"], works, results, { maxConcurrency: 2 }),
  "9-12": items("flat", ["a", "b"], (context, item) => context.step("upper", () => upper(context, item, 0)), results, {
    ...one,
    nesting: NestingType.FLAT
  }),
  "9-13": items("named-items", undefined, async (_, item) => item * 10, results, {
    ...one,
    itemNamer: (item) => `item-${item}`
  }),
  "9-14": items("serdes", ["x", "y"], upper, results, { ...one, itemSerdes: wrapped }),
  "9-15": items("replay", ["a", "b"], async (context, item) => {
    if (item === "a") return context.step("upper", () => upper(context, item, 0))
    await context.wait("pause", { seconds: 2 })
    return item.toUpperCase()
  }),
  "9-16": items(
    "large",
    ["a", "b", "c", "d"],
    async (_, item) => item.repeat(70 * 1024),
    ({ successCount, totalCount }) => ({ successCount, totalCount })
  ),
  "9-17": thenWait(items("then-wait", ["a", "b"], upper)),
  "9-18": thenWait(
    ends("then-wait", ["i0", "fail", "i2", "never"], { minSuccessful: 2, toleratedFailureCount: 1 }, all)
  ),
  "9-19": items("op-serde", ["x", "y"], upper, results, { ...one, serdes: joined }),
  "9-20": async (context, input) => {
    const batch = items("op-serde-replay", ["x", "y"], upper, results, { ...one, serdes: joined })
    return thenWait(batch)(context, input)
  }
})
