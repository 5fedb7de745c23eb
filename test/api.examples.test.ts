import { assert, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Page, pages } from "../scripts/api-docs.ts"
import { read } from "../scripts/doc-examples.ts"
import { walk } from "../scripts/source.ts"

const root = path.resolve(import.meta.dirname, "..")

/** What needs no example of its own, and why. `Module` stands for all that it exports, else `Module.name`. */
const WITHOUT_EXAMPLE: ReadonlyArray<readonly [reason: string, names: string]> = [
  ["words of the wire: facts and schemas, read by those who know what AWS calls so", "Protocol History"],
  [
    "what an engine, a store or a test runner is made of: for those who make their own",
    "CheckpointService.CheckpointService CheckpointService.make Serdes.isText Serdes.payloadCodec Serdes.encodeInput " +
      "Serdes.plainJsonFault Serdes.writePlainJson Serdes.readPlainJson Serdes.unlayered SerdesStack.make DurableExecutionClient.make DurableExecutionClient.fromCalls " +
      "DurableHandler.invocation DurablePlugin.Plugins DurablePlugin.isDurablePlugin " +
      "DurableLogger.levelFromEnvironment DurableLogger.CurrentLoggers DurableLogger.loggers DurableError.scopeOf DurableError.toFields DurableError.isRepairable DurableError.serdesFailed " +
      "BatchResult.statusOf Engine.errorObject Engine.exited Engine.fromThrown Engine.timedOut Engine.defaultLimits Engine.layerClient " +
      "ExecutionStore.ExecutionStore ExecutionStore.CLIENT_TOKEN_MILLIS Timers.Timers Timers.layerSkipping Replay.table Functions.format Server.make " +
      "DurableClient.DurableClient"
  ],
  [
    "metrics, all of which are read alike; a row each in docs/tracing.md",
    "DurableMetrics.attempts DurableMetrics.checkpointDuration DurableMetrics.executionDuration DurableMetrics.invocations " +
      "DurableMetrics.operationDuration DurableMetrics.operations DurableMetrics.replayDuration DurableMetrics.retries " +
      "DurableMetrics.suspensions"
  ]
]

it("everything that is called has an example: in its docstring, a guide, or examples/", async () => {
  const all = (await pages()).flatMap((page) => page.exports.map((one) => ({ page, one })))
  const exempt = new Set(WITHOUT_EXAMPLE.flatMap(([, names]) => names.split(" ")))
  const files = walk(path.join(root, "examples")).filter((file) => file.endsWith(".ts"))
  const code = [...read().map((example) => example.code), ...files.map((file) => fs.readFileSync(file, "utf8"))]
  const text = code.join("\n")
  const isUsed = (page: Page, name: string) =>
    new RegExp(`\\b${page.name}\\.${name}\\b`).test(text) ||
    (page.direct.includes(name) && new RegExp(`\\b${name}\\(`).test(text))
  const values = all.filter(
    // errors have entries in docs/troubleshooting.md
    ({ one }) => /^(?:const|function|class)$/.test(one.kind) && !/TaggedError[(<]/.test(one.declarations.join())
  )
  assert.isAbove(values.length, 100)
  const without = values.filter(({ one, page }) => !one.docstring.includes("```ts") && !isUsed(page, one.name))
  const names = without.map(({ one, page }) => (exempt.has(page.name) ? page.name : `${page.name}.${one.name}`))
  assert.deepStrictEqual([...new Set(names)].sort(), [...exempt].sort())
})
