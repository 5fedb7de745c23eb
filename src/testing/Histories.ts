/**
 * A folder of recorded histories, which every run of the tests replays with the code of the day.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DurableClient from "../DurableClient.ts"
import type * as DurableError from "../DurableError.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as DurableHandler from "../DurableHandler.ts"
import * as History from "../History.ts"
import * as Replay from "./Replay.ts"

// ---- recording ---------------------------------------------------------------------------------------------

/**
 * The file could not be written or read.
 * @see [Troubleshooting](../../docs/troubleshooting.md#historyfilefailed)
 */
export class HistoryFileFailed extends Schema.TaggedError<HistoryFileFailed>()("HistoryFileFailed", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The history ${this.file}: ${this.reason}`
  }
}

const accessing = <A>(file: string, access: () => A): Effect.Effect<A, HistoryFileFailed> =>
  Effect.try({
    try: access,
    catch: (error) => new HistoryFileFailed({ file, reason: error instanceof Error ? error.message : String(error) })
  })

/** `arn:…:function:NAME:VERSION/durable-execution/EXECUTION/ID`, with or without parts of it. */
const ARN = /function:([^:/]+)(?::[^/]+)?\/durable-execution\/([^/]+)/

/** What is saved of an execution: a `TestExecution`, or its ARN and events from wherever. */
export interface Recorded {
  readonly arn: string
  readonly history: Effect.Effect<ReadonlyArray<History.Event>>
}

/**
 * Saves the history of an execution of a test to a folder, as JSON that `replayHistory` and `replayFolder` read. Gives
 * the file: `FUNCTION.EXECUTION.json`, or the name that it is given. `function` is the definition's name, by which
 * `replayFolder` finds the code; by default that of the function in the ARN.
 */
export const saveHistory = (
  folder: string,
  { arn, history }: Recorded,
  options: { readonly name?: string | undefined; readonly function?: string | undefined } = {}
): Effect.Effect<string, HistoryFileFailed> =>
  Effect.gen(function* () {
    const [, functionName = "function", executionName = "execution"] = ARN.exec(arn) ?? []
    const file = path.join(folder, `${options.name ?? `${functionName}.${executionName}`}.json`)
    const Events = yield* history
    yield* accessing(file, () => {
      fs.mkdirSync(folder, { recursive: true })
      fs.writeFileSync(
        file,
        `${History.toJson({ DurableExecutionArn: arn, Function: options.function ?? functionName, Events }, 2)}\n`
      )
    })
    return file
  })

/**
 * Saves the history of a deployed function's execution, with all data, through the `DurableClient`. Needs
 * `lambda:GetDurableExecutionHistory`. The file holds the payloads: do not commit what must stay secret.
 */
export const downloadHistory = (
  folder: string,
  executionArn: string,
  options: { readonly name?: string | undefined; readonly function?: string | undefined } = {}
): Effect.Effect<
  string,
  HistoryFileFailed | DurableError.ExecutionNotFound | DurableError.ClientFailed,
  DurableClient.DurableClient
> =>
  Effect.flatMap(Stream.runCollect(DurableClient.history(executionArn)), (events) =>
    saveHistory(folder, { arn: executionArn, history: Effect.succeed(events) }, options)
  )

// ---- replaying ---------------------------------------------------------------------------------------------

/** A workflow of today, for the histories that are recorded of its function. */
export interface Workflow {
  readonly name: string
  readonly replay: (history: unknown) => Effect.Effect<void, Replay.HistoryUnreadable | Replay.ReplayFailed>
}

/** A definition with its body, for `replayFolder`. Whatever its schemas or a `Serdes` layer need is provided by the effect around it. */
export const workflow = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  options: WorkflowOptions = {}
): Workflow => ({
  name: options.name ?? definition.name,
  replay: (history) =>
    Effect.flatMap(
      (options.around ?? identity)(Replay.replayHistory(definition, body, history, options) as Replaying),
      (verdict) =>
        verdict._tag === "Replays" || (verdict._tag === "Unknown" && options.unknown !== "fail")
          ? Effect.void
          : Effect.fail(
              new Replay.ReplayFailed({ verdict, message: `"${definition.name}": ${Replay.describe(verdict)}` })
            )
    )
})

type Replaying = Effect.Effect<Replay.Verdict, Replay.HistoryUnreadable>

const identity = (effect: Replaying): Replaying => effect

/** Options of a workflow whose histories are replayed. */
export interface WorkflowOptions extends Replay.Options {
  /** The `Function` of its histories. Default: the definition's name. */
  readonly name?: string | undefined
  /** Provides what schemas need, or the `Serdes` layer that the results went through. */
  readonly around?: ((effect: Replaying) => Replaying) | undefined
  /** Whether a history that lacks the payload that decides is a failure of the test. Default: `"pass"`. */
  readonly unknown?: "pass" | "fail" | undefined
}

/** How a test is declared: `it` or `test` of vitest, node:test, jest, … */
export type It = (name: string, run: () => Promise<void>) => unknown

/** One history of a folder. */
const replayFile = (file: string, workflows: ReadonlyArray<Workflow>) =>
  Effect.gen(function* () {
    const text = yield* accessing(file, () => fs.readFileSync(file, "utf8"))
    const history = yield* accessing(file, () => JSON.parse(text) as { readonly Function?: unknown })
    const name = typeof history.Function === "string" ? history.Function : (path.basename(file).split(".")[0] ?? "")
    const known = workflows.find((one) => one.name === name)
    if (known === undefined) {
      const names = workflows.map((one) => `"${one.name}"`).join(", ")
      return yield* new HistoryFileFailed({
        file,
        reason: `no workflow is given for the function "${name}". There are: ${names === "" ? "none" : names}.`
      })
    }
    yield* known.replay(history)
  })

/**
 * Declares a test for each history in a folder: today's code replays it. A history is of the workflow whose definition
 * has the name that the file gives (`Function`), or else its own name up to the first dot.
 *
 * **Example** (In a test file)
 *
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { Histories, replayFolder } from "effect-durable-lambda/testing"
 * import { Effect, Schema } from "effect"
 *
 * const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
 * const greet = (name: string) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`))
 *
 * replayFolder("test/histories", [Histories.workflow(Greet, greet)], it)
 * ```
 */
export const replayFolder = (folder: string, workflows: ReadonlyArray<Workflow>, it: It): void => {
  const files = fs
    .readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .sort()
  if (files.length === 0) {
    it(`${folder} holds histories`, () => Promise.reject(new Error(`There is no .json file in ${folder}.`)))
  }
  for (const file of files) {
    it(`${file} replays`, () => Effect.runPromise(replayFile(path.join(folder, file), workflows)))
  }
}
