/**
 * Records histories of the examples in test/histories, for those that have none yet:
 *
 *     npm run histories [-- NAME ...]
 *
 * A recorded history is never written again unless it is named: it stands for executions that run somewhere, and
 * test/examples/histories.test.ts shows whether the code of the day replays it.
 */
import { saveHistory, TestRunner } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { cases } from "../test/examples/cases.ts"

const folder = path.join(import.meta.dirname, "../test/histories")
const named = process.argv.slice(2)

for (const [name, { run, workflow }] of Object.entries(cases)) {
  const wanted = named.includes(name) || (named.length === 0 && !fs.existsSync(path.join(folder, `${name}.json`)))
  if (!wanted) continue
  const save = Effect.flatMap(run, (execution) => saveHistory(folder, execution, { name, function: workflow.name }))
  const file = await Effect.runPromise(Effect.provide(save, TestRunner.layerMemory))
  process.stdout.write(`${path.relative(process.cwd(), file)}\n`)
}
