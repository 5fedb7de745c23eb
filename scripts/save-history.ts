/**
 * Saves the history of an execution, with its payloads, to a folder of histories that the tests replay:
 *
 *     npm run history:save -- ARN [FOLDER] [--name NAME] [--function NAME] [--endpoint URL]
 *
 * Default folder: test/histories. Region and credentials come from the environment; `--endpoint` is the local engine's.
 */
import { DurableClient } from "effect-durable-lambda"
import { downloadHistory } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import { parseArgs } from "node:util"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string" }, function: { type: "string" }, endpoint: { type: "string" } }
})
const [arn, folder = "test/histories"] = positionals

if (arn === undefined) {
  process.stderr.write("usage: npm run history:save -- ARN [FOLDER] [--name NAME] [--function NAME] [--endpoint URL]\n")
  process.exitCode = 2
} else {
  const { endpoint, function: functionName, name } = values
  const layer = endpoint === undefined ? DurableClient.layer : DurableClient.layerEndpoint({ endpoint })
  const saved = await Effect.runPromise(
    Effect.result(Effect.provide(downloadHistory(folder, arn, { name, function: functionName }), layer))
  )
  if (saved._tag === "Success") process.stdout.write(`${saved.success}\n`)
  else {
    process.stderr.write(`${saved.failure.message}\n`)
    process.exitCode = 1
  }
}
