/** AWS's requirements for child contexts (suite 3), with AWS's own SDK. */
import { attempts, type DurableContext, fail, handlersOf, noRetry, second, shouting, worksFrom } from "./sdk.ts"

const echo = (context: DurableContext, input: string, name = "echo") => context.step(name, async () => input)

/** Each context has a logger of its own. */
const logsOnReplay = (context: DurableContext) => context.configureLogger({ modeAware: false })

/** 3-12: what a crash leaves behind. */
const crashed = new Set<string>()

export const handlers = handlersOf({
  "3-1": (context, input) => context.runInChildContext((child) => echo(child, input)),
  "3-2": (context, { name, value }) => context.runInChildContext(name, (child) => echo(child, value)),
  "3-3": (context, input) =>
    context.runInChildContext("child", async (child) => {
      const first = await echo(child, input, "first")
      return echo(child, first, "second")
    }),
  "3-4": (context) => context.runInChildContext("child", (child) => child.step("fail", () => fail(), noRetry)),
  "3-5": async (context, input) => {
    await context
      .runInChildContext("child", (child) => child.step("fail", () => fail(), noRetry))
      .catch(() => undefined)
    return echo(context, input, "recover")
  },
  "3-6": (context, input) =>
    context.runInChildContext("outer", (outer) => outer.runInChildContext("inner", (inner) => echo(inner, input))),
  "3-7": (context, input) =>
    context.runInChildContext("child", (child) => child.step("unreliable", worksFrom(2, input), attempts(3))),
  "3-8": (context) =>
    context.runInChildContext("child", (child) => child.step("fail", worksFrom(Infinity, undefined), attempts(2))),
  "3-9": async (context, input) => {
    const result = await context.runInChildContext("child", (child) => echo(child, input))
    await context.wait("pause", second)
    return result
  },
  "3-10": (context, input) =>
    context.runInChildContext("child", async (child) => {
      const result = await echo(child, input)
      await child.wait("pause", second)
      return result
    }),
  "3-11": async (context, input) => {
    const text = await context.runInChildContext("large", async (child) => {
      logsOnReplay(child)
      child.logger.info(`building: ${input}`)
      const small = await child.step("small", async () => "x")
      return small.repeat(300 * 1024)
    })
    await context.wait("pause", second)
    return text.length
  },
  "3-12": (context, input) =>
    context.runInChildContext("child", (child) =>
      child.step("crash-once", async () => {
        const { durableExecutionArn } = context.executionContext
        if (!crashed.has(durableExecutionArn)) {
          crashed.add(durableExecutionArn)
          // its START is on the way
          await new Promise((resolve) => setTimeout(resolve, 400))
          process.exit(1)
        }
        return input
      })
    ),
  "3-13": async (context, input) => {
    const result = await context.runInChildContext("child", async (child) => {
      await child.wait("pause", second)
      return input
    })
    return echo(context, result)
  },
  "3-14": (context, input) => context.runInChildContext("child", (child) => echo(child, input), { serdes: shouting }),
  "3-15": (context) => context.runInChildContext("child", () => fail()),
  "3-16": (context) => context.runInChildContext("child", async () => null),
  "3-17": async (context, input) => {
    const result = await context.runInChildContext("child", async (child) => {
      logsOnReplay(child)
      child.logger.info(`in the child: ${input}`)
      return input
    })
    await context.wait("pause", second)
    return result
  },
  "3-18": async (context, input) => {
    const first = await context.runInChildContext("first", (child) => echo(child, input))
    return context.runInChildContext("second", (child) => echo(child, first))
  }
})
