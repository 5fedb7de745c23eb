/** AWS's requirements for steps and waits (suites 1 and 2), with AWS's own SDK. */
import { JitterStrategy, StepSemantics } from "@aws/durable-execution-sdk-js"
import { attempts, fail, handlersOf, noRetry, second, shouting, TransientError, worksFrom } from "./sdk.ts"

const greeting = (name: string) => async () => `Hello, ${name}!`

const atMostOnce = StepSemantics.AtMostOncePerRetry

export const handlers = handlersOf({
  "1-1": (context, name) => context.step(greeting(name)),
  "1-2": (context, name) => context.step("custom_step_name", greeting(name)),
  "1-3": async (context) => {
    const one = await context.step("first", async () => 1)
    const two = await context.step("second", async () => one + 1)
    return [one, two, await context.step("third", async () => two + 1)]
  },
  "1-4": (context, user) => context.step("build-response", async () => ({ user, count: user.tags.length })),
  "1-5": (context) => context.step("do-nothing", async () => undefined),
  "1-6": (context, input) =>
    context.step("shout", async () => (typeof input === "string" ? input : "hello world"), { serdes: shouting }),
  "1-7": (context, name) =>
    context.step("greet", async ({ logger }) => {
      logger.info(`Greeting step started for: ${name}`)
      const text = `Hello, ${name}!`
      logger.info(`Greeting step completed with: ${text}`)
      return text
    }),
  "1-8": async (context) => {
    const result = await context.step("compute", async () => "computed")
    await context.wait("pause", { seconds: 2 })
    return result
  },
  "1-9": async (context) => {
    const before = await context.step("before", async () => "before")
    await context.wait("pause", second)
    return `${before} ${await context.step("after", async () => "after")}`
  },
  "1-10": async (context) => {
    const failing = context.step(
      "fail",
      ({ logger }) => {
        logger.info("step executed")
        return fail()
      },
      noRetry
    )
    await failing.catch(() => undefined)
    await context.wait("pause", second)
  },
  "1-11": (context) => context.step("unreliable", worksFrom(2, "Operation succeeded"), attempts(3)),
  "1-12": (context) => context.step("never-works", worksFrom(Infinity, undefined), attempts(4)),
  "1-13": (context) => context.step("unreliable", worksFrom(3, "third time lucky")),
  "1-14": (context) =>
    context.step(
      "unreliable",
      worksFrom(3, "third time lucky"),
      attempts(5, { initialDelay: { seconds: 2 }, backoffRate: 3, jitter: JitterStrategy.NONE })
    ),
  "1-15": (context) =>
    context.step(
      "unreliable",
      worksFrom(2, "Operation succeeded"),
      attempts(4, { retryableErrorTypes: [TransientError] })
    ),
  "1-16": (context) =>
    context.step("fail", worksFrom(Infinity, undefined), {
      retryStrategy: (error) => ({ shouldRetry: !(error instanceof TransientError) })
    }),
  "1-17": (context, input) =>
    context.step(
      "at_most_once_flaky_step",
      async ({ logger }) => {
        logger.info(`about to crash: ${input}`)
        process.exit(1)
      },
      { ...noRetry, semantics: atMostOnce }
    ),
  "1-18": (context) =>
    context.step(
      "at_most_once_flaky_step",
      async ({ attempt }) => (attempt === 1 ? process.exit(1) : "Operation succeeded"),
      { ...attempts(2), semantics: atMostOnce }
    ),
  "1-19": (context) => context.step("fail", () => fail(), noRetry),
  "1-20": async (context) => {
    const result = await context.step("fail", () => fail(), noRetry).catch(() => "fallback_result")
    return context.step("continue", async () => result)
  },

  "2-1": (context) => context.wait({ seconds: 2 }),
  "2-2": (context) => context.wait("custom_wait_name", { seconds: 2 }),
  "2-3": async (context) => {
    await context.wait("first", second)
    await context.wait("second", { seconds: 2 })
  },
  "2-4": (context) => context.wait({ minutes: 1 }),
  "2-5": (context) => context.wait({ hours: 1 })
})
