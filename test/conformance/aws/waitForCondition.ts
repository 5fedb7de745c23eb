/** AWS's requirements for waitForCondition (suite 6), with AWS's own SDK. */
import { createWaitStrategy, JitterStrategy } from "@aws/durable-execution-sdk-js"
import { type DurableContext, fail, handlersOf, type Run } from "./sdk.ts"

type Strategy<A> = Parameters<typeof createWaitStrategy<A>>[0]

/** Polls until it holds, a second apart. */
const until = <A>(holds: (state: A) => boolean, config: Partial<Strategy<A>> = {}) =>
  createWaitStrategy<A>({
    initialDelay: { seconds: 1 },
    backoffRate: 1,
    jitter: JitterStrategy.NONE,
    ...config,
    shouldContinuePolling: (state) => !holds(state)
  })

/** Counts up to a threshold. */
const counts = (
  context: DurableContext,
  name: string | undefined,
  threshold: number,
  initialState = 0,
  config: Partial<Strategy<number>> = {}
) =>
  context.waitForCondition(name, async (count: number) => count + 1, {
    initialState,
    waitStrategy: until((count) => count >= threshold, config)
  })

const failing: Run = (context) =>
  context.waitForCondition("check", () => fail("the check is broken"), {
    initialState: 0,
    waitStrategy: until(() => true)
  })

/** Writes a mark before it. */
const marked = {
  serialize: async (state: string | undefined) => `state:${state}`,
  deserialize: async (text: string | undefined) => text?.replace(/^state:/, "")
}

export const handlers = handlersOf({
  "6-1": (context, threshold) => counts(context, undefined, threshold),
  "6-2": (context, threshold) =>
    context.waitForCondition(async (state: number) => state, {
      initialState: 5,
      waitStrategy: until((state) => state >= threshold)
    }),
  "6-3": (context) => counts(context, "poll", 2),
  "6-4": (context, threshold) => counts(context, undefined, threshold, 5),
  "6-5": (context, threshold) => counts(context, "fixed", threshold, 0, { initialDelay: { seconds: 2 } }),
  "6-6": (context) => counts(context, "exhausted", Infinity, 0, { maxAttempts: 3 }),
  "6-7": failing,
  "6-8": (context, input) => failing(context, input).catch(() => "recovered"),
  "6-9": (context) =>
    context.waitForCondition(
      "job",
      async ({ id, polls }) => ({ id, polls: polls + 1, status: polls === 1 ? "done" : "running" }),
      {
        initialState: { id: "j-1", polls: 0, status: "running" },
        waitStrategy: until(({ status }) => status === "done")
      }
    ),
  "6-10": (context) =>
    context.waitForCondition("nothing", async () => null, { initialState: null, waitStrategy: until(() => true) }),
  "6-11": (context) =>
    context.waitForCondition("marked", async (state: string) => `${state}x`, {
      initialState: "",
      waitStrategy: until((state) => state.length >= 2),
      serdes: marked
    }),
  "6-12": (context) => context.runInChildContext("child", (child) => counts(child, "poll", 2)),
  "6-13": async (context) => counts(context, "second", 4, await counts(context, "first", 2))
})
