/**
 * Plugins that an environment variable names, as AWS's SDKs load them: `DURABLE_EXECUTION_PLUGINS` is a list of modules,
 * with commas between them. Each exports `durableExecutionPluginProvider`, whose `createPlugin` makes a plugin.
 */
import * as Effect from "effect/Effect"
import { InvalidOperation, type OutOfTime } from "../DurableError.ts"
import type { DurablePlugin } from "../DurablePlugin.ts"
import { textOf } from "./failure.ts"
import { type Deadline, inTime } from "./inTime.ts"

interface Provider {
  readonly pluginApiVersion?: unknown
  readonly createPlugin?: () => DurablePlugin
}

/** First as the function's own code would; modules of Lambda layers are found only where `require` looks. */
const load = (name: string): Promise<{ readonly [key: string]: any }> =>
  import(name).catch((error: { readonly code?: string }) => {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error
    const root = process.env.LAMBDA_TASK_ROOT ?? process.cwd()
    return import(process.getBuiltinModule("node:module").createRequire(`${root}/index.js`).resolve(name))
  })

const make = (name: string): Promise<DurablePlugin> =>
  load(name).then((module) => {
    const key = "durableExecutionPluginProvider"
    const provider: Provider | undefined = module[key] ?? module.default?.[key]
    const plugin = provider?.pluginApiVersion === 1 ? provider.createPlugin?.() : undefined
    if (plugin?.["~effect-durable-lambda/DurablePlugin"] === undefined)
      throw new Error(
        `it exports no ${key} with pluginApiVersion 1 whose createPlugin gives what DurablePlugin.make has made`
      )
    return plugin
  })

/**
 * The plugins that the environment names, made once; nothing when it names none. A module may wait while it loads, for
 * what never comes: not for longer than the invocation has time.
 */
export const fromEnvironment = ():
  | ((deadline: Deadline | undefined) => Effect.Effect<ReadonlyArray<DurablePlugin>, InvalidOperation | OutOfTime>)
  | undefined => {
  const names = process.env.DURABLE_EXECUTION_PLUGINS
  if (!names?.trim()) return undefined
  let made: ReadonlyArray<DurablePlugin> | undefined
  const loaded = Effect.gen(function* () {
    const plugins: Array<DurablePlugin> = []
    for (const name of names.split(",")) {
      const plugin = yield* Effect.tryPromise({
        try: () => make(name.trim()),
        catch: (error) =>
          new InvalidOperation({
            message: `DURABLE_EXECUTION_PLUGINS names "${name.trim()}", which cannot be loaded: ${textOf(error)}`
          })
      })
      plugins.push(plugin)
    }
    return (made = plugins)
  })
  return (deadline) =>
    made !== undefined
      ? Effect.succeed(made)
      : inTime(
          loaded,
          deadline,
          `DURABLE_EXECUTION_PLUGINS names "${names}", which was still being loaded`,
          "Let no module wait for anything, or raise the function's timeout."
        )
}
