/**
 * The same programs through AWS's SDK 2.4.0 and through this library, both on AWS's checkpoint server: the histories
 * must have the same events, of the same types and names, in the same order, but for what differs on purpose.
 *
 *     npm run test:history -- [part of a program's name]
 *
 * What differs on purpose is in sdk.test.ts: ids, names inside of a waitForCallback, and the START of a step, which AWS's
 * SDK sends at once. Needs ../shared/conformance; loaded by plain Node, which strips the types.
 */
import { type DurableContext, withDurableExecution } from "@aws/durable-execution-sdk-js"
import { DurableFunction, DurableHandler, type History } from "effect-durable-lambda"
import * as Schema from "effect/Schema"
import { batches } from "./batches.ts"
import { type Answer, failsUntil, type Workload, workloads } from "./workloads.ts"

// ---- AWS's checkpoint server -----------------------------------------------------------------------------------------

type Handler = (event: any, context: any) => Promise<unknown>

interface Execution {
  readonly history: () => Promise<ReadonlyArray<History.Event>>
  readonly completion: () => Promise<void>
  readonly sendCallbackSuccess: (id: string, result?: string) => Promise<unknown>
  readonly sendCallbackFailure: (id: string, error: Answer["error"]) => Promise<unknown>
}

interface Service {
  readonly driverFor: (target: {
    readonly handler: Handler
    readonly functions: Record<string, { readonly plain: (event: unknown) => unknown }>
  }) => { readonly start: (start: { readonly input: unknown }) => Promise<Execution> }
  readonly close: () => Promise<void>
}

const pause = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Longer than it takes either of them to answer PENDING. */
const started = (run: (event: unknown) => unknown) => ({ plain: (event: unknown) => pause(100).then(() => run(event)) })
const functions = { echo: started((event) => event), fails: started(() => failsUntil(2, 1)) }

/** Completes a callback when it is open, and nothing runs or is about to. */
const complete = async (execution: Execution, answer: Answer, before: number, invocations: () => number) => {
  for (;;) {
    const events = await execution.history()
    const answered = events.filter(({ EventType }) => EventType === "InvocationCompleted").length
    const last = new Map(events.map((event) => [event.Id, event]))
    const retried = [...last.values()].some(
      ({ StepFailedDetails: failed, StepSucceededDetails: polled }) =>
        (failed ?? polled)?.RetryDetails?.NextAttemptDelaySeconds !== undefined
    )
    const open = [...last.values()].find(
      ({ EventType, Name, ParentId }) =>
        EventType === "CallbackStarted" && (Name === answer.callback || ParentId !== undefined)
    )
    const id = open?.CallbackStartedDetails?.CallbackId
    if (id !== undefined && answered > before && answered === invocations() && !retried) {
      await (answer.error === undefined
        ? execution.sendCallbackSuccess(id, answer.result)
        : execution.sendCallbackFailure(id, answer.error))
      return
    }
    await pause(5)
  }
}

const run = async (service: Service, side: "aws" | "ours", { answers = [], aws, input, ours }: Workload) => {
  let invocations = 0
  const handler: Handler =
    side === "aws"
      ? withDurableExecution((event: unknown, context: DurableContext) => aws(context, event))
      : (DurableHandler.make(
          DurableFunction.make("workload", { payload: Schema.Any, success: Schema.Any, error: Schema.Any }),
          ours
        ) as Handler)
  const counted: Handler = (event, context) => {
    invocations++
    return handler(event, context)
  }
  const execution = await service.driverFor({ handler: counted, functions }).start({ input })
  for (const [i, answer] of answers.entries()) await complete(execution, answer, i, () => invocations)
  await execution.completion()
  return execution.history()
}

// ---- comparing -------------------------------------------------------------------------------------------------------

interface Told {
  readonly type: string
  /** `outer/inner/s`: names, not ids, which differ on purpose. */
  readonly path: string
}

const told = (events: ReadonlyArray<History.Event>): ReadonlyArray<Told> => {
  const paths = new Map<string | undefined, string>()
  return events.map(({ EventType: type, Id, Name, ParentId, SubType }) => {
    if (Id === undefined || SubType === undefined) return { type, path: "" }
    const parent = paths.get(ParentId)
    // the inside of a waitForCallback has names only with ours
    const name = parent?.includes("WaitForCallback") === true ? "" : ` ${Name}`
    if (!paths.has(Id)) paths.set(Id, `${parent === undefined ? "" : `${parent}/`}${SubType}${name}`)
    return { type, path: paths.get(Id)! }
  })
}

/**
 * Each invocation by itself, and in it operation by operation: with ours the START of a short step rides with its
 * outcome, AWS's SDK sends it at once. So of operations side by side, another one is recorded first.
 */
const byOperation = (events: ReadonlyArray<Told>): ReadonlyArray<Told> => {
  const invocations: Array<Array<Told>> = [[]]
  for (const event of events) {
    if (event.type === "InvocationCompleted") invocations.push([event])
    else invocations.at(-1)!.push(event)
  }
  return invocations.flatMap((list) => list.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)))
}

const text = (events: ReadonlyArray<Told>) => events.map(({ path, type }) => `    ${type} ${path}`.trimEnd()).join("\n")

// ---- the programs ----------------------------------------------------------------------------------------------------

const programs = Object.entries({ ...workloads, ...batches }).filter(
  ([name, { days }]) => days !== true && name.includes(process.argv[2] ?? "")
)

const { copyShared } = await import(new URL("../../scripts/shared.mjs", import.meta.url).href)
copyShared("conformance", "CONFORMANCE_HOME")
const { createServiceDriver } = await import(new URL("../../.conformance/drivers/service.mjs", import.meta.url).href)
/** One for all: AWS's SDK keeps its first client. */
const service: Service = await createServiceDriver({ timeScale: 0.25, http: true })

/** Both histories, if they differ. */
const compare = async (workload: Workload): Promise<string | undefined> => {
  const order = workload.sideBySide === true ? byOperation : (events: ReadonlyArray<Told>) => events
  const [aws, ours] = await Promise.all(
    (["aws", "ours"] as const).map((side) => run(service, side, workload).then((events) => text(order(told(events)))))
  )
  return aws === ours ? undefined : `  AWS's SDK\n${aws}\n  this library\n${ours}`
}

const again: Array<(typeof programs)[number]> = []
const queue = programs.values()
const worker = async () => {
  for (const program of queue) if ((await compare(program[1])) !== undefined) again.push(program)
}
await Promise.all(Array.from({ length: 8 }, worker))

// On a busy machine a short wait may end before an invocation has answered: what differed runs again, alone.
let failed = 0
for (const [name, workload] of again) {
  let difference: string | undefined
  for (let i = 0; i < 3; i++) if ((difference = await compare(workload)) === undefined) break
  if (difference === undefined) continue
  console.log(`DIFFERENT  ${name}\n${difference}`)
  failed++
}
await service.close()
console.log(`${programs.length - failed} of ${programs.length} programs have the same history with both SDKs`)
process.exit(failed === 0 ? 0 : 1)
