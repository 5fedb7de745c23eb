/**
 * How long a test of one step takes: `TestRunner` in memory, and AWS's `LocalDurableTestRunner` in the same process.
 *
 *     npm run bench:testing [-- ROUNDS]
 *
 * The two take turns; what is printed is the median of all rounds, in milliseconds. A test is everything from a new
 * runner to its result; what AWS's `setupTestEnvironment` takes is not counted. Fails when ours takes more than a tenth of AWS's.
 */
import { withDurableExecution } from "@aws/durable-execution-sdk-js"
import { LocalDurableTestRunner } from "@aws/durable-execution-sdk-js-testing"
import { Durable, DurableFunction } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect, Schema } from "effect"

const rounds = Number(process.argv[2] ?? 100)
const WARM_UP = 10

const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
const greet = (name: string) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`))
const ours = () => Effect.runPromise(Effect.provide(TestRunner.run(Greet, greet, "Ada"), TestRunner.layerMemory))

const handlerFunction = withDurableExecution((name: string, context) =>
  context.step("greet", () => Promise.resolve(`Hello, ${name}!`))
)
const aws = async () => {
  const execution = await new LocalDurableTestRunner({ handlerFunction }).run({ payload: "Ada" })
  return execution.getResult()
}

/** Taken before AWS's test environment puts clocks of its own in the place of all others. */
const now = process.hrtime.bigint.bind(process.hrtime)

const timed = async (test: () => Promise<unknown>): Promise<number> => {
  const start = now()
  const result = await test()
  if (result !== "Hello, Ada!") throw new Error(`unexpected result: ${String(result)}`)
  return Number(now() - start) / 1e6
}

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)]!

const times: { readonly ours: Array<number>; readonly aws: Array<number> } = { ours: [], aws: [] }
for (let round = -WARM_UP; round < rounds; round++) {
  const mine = await timed(ours)
  await LocalDurableTestRunner.setupTestEnvironment({ skipTime: true })
  const theirs = await timed(aws)
  await LocalDurableTestRunner.teardownTestEnvironment()
  if (round < 0) continue
  times.ours.push(mine)
  times.aws.push(theirs)
}

const [mine, theirs] = [median(times.ours), median(times.aws)]
process.stdout.write(
  `one step, median of ${rounds} rounds, ms\n` +
    `  TestRunner.layerMemory   ${mine.toFixed(2).padStart(8)}\n` +
    `  LocalDurableTestRunner   ${theirs.toFixed(2).padStart(8)}\n` +
    `  ratio                    ${(mine / theirs).toFixed(3).padStart(8)}\n`
)
if (mine > theirs / 10) process.exitCode = 1
