/**
 * A process that test/engine/killed.test.ts starts and kills: an engine on a file, with workflows of every kind.
 *
 *     node --conditions=@effect-durable-lambda/source test/engine/host.ts <file> <journal> <generation> <executions>
 *
 * It starts the executions (or finds them), answers callbacks, prints `up` once it accepts work and `done` when all
 * have ended, and ends with its standard input, so that it never outlives the test. What happens goes to the journal, a line each, appended before anything else happens:
 *
 *     <generation> started <execution> <arn>
 *     <generation> run <execution> <step> <attempt>
 *     <generation> recorded <execution> <step>
 *     <generation> answered <execution> <answer>
 */
import { Durable, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Engine, Timers } from "effect-durable-lambda/engine"
import * as SqliteStore from "effect-durable-lambda/engine/SqliteStore"
import { Effect, Layer, Schedule, Schema } from "effect"
import * as fs from "node:fs"
import type * as Protocol from "../../src/Protocol.ts"

const [filename = "", journal = "", generation = "", count = ""] = process.argv.slice(2)

const note = (...words: ReadonlyArray<string | number>) =>
  fs.appendFileSync(journal, `${generation} ${words.join(" ")}\n`)

/** Up to so many milliseconds. A step takes some, so that a kill can come in the middle. */
const pause = (millis: number) => Effect.promise(() => new Promise((done) => setTimeout(done, Math.random() * millis)))

/** The effect of a step: once in the journal, it has happened. */
const happens = (execution: string, step: string, attempt: number) =>
  Effect.andThen(
    Effect.sync(() => note("run", execution, step, attempt)),
    pause(10)
  )

/** The workflow has the outcome of a step, so the engine has acknowledged it. Replays write this again. */
const recorded = (execution: string, step: string) => Effect.sync(() => note("recorded", execution, step))

const step = (execution: string, name: string) =>
  Effect.tap(
    Durable.step(
      name,
      Effect.gen(function* () {
        const { attempt } = yield* Durable.CurrentStep
        yield* happens(execution, name, attempt)
        return `${name} of ${execution}`
      })
    ),
    recorded(execution, name)
  )

const definition = (name: string) =>
  DurableFunction.make(name, { payload: Schema.String, success: Schema.Array(Schema.String) })

const Echo = { payload: Schema.String, success: Schema.String }

type Body = (execution: string) => Effect.Effect<ReadonlyArray<string>, unknown, Durable.Requires>

const bodies: Readonly<Record<string, Body>> = {
  steps: (execution) => Effect.forEach(["a", "b", "c", "d", "e"], (name) => step(execution, name)),

  waits: Effect.fnUntraced(function* (execution) {
    const a = yield* step(execution, "a")
    yield* Durable.wait("w", "2 seconds")
    const b = yield* step(execution, "b")
    yield* Effect.sleep("1 second")
    return [a, b, yield* step(execution, "c")]
  }),

  retries: (execution) =>
    Effect.map(
      Durable.step(
        "r",
        Effect.gen(function* () {
          const { attempt } = yield* Durable.CurrentStep
          yield* happens(execution, "r", attempt)
          return attempt < 3 ? yield* Effect.fail("not yet") : `r of ${execution}`
        }),
        { retry: { schedule: Schedule.spaced("1 second"), times: 5 } }
      ),
      (r) => [r]
    ),

  children: (execution) =>
    Effect.forEach(
      ["x", "y", "z"],
      (child) =>
        Effect.gen(function* () {
          yield* step(execution, `${child}1`)
          yield* Durable.wait("w", "1 second")
          return yield* step(execution, `${child}2`)
        }).pipe(Durable.childContext(child)),
      { concurrency: "unbounded" }
    ),

  polls: (execution) =>
    Effect.map(
      Durable.waitForCondition(
        "p",
        (polls) =>
          Effect.gen(function* () {
            const { attempt } = yield* Durable.CurrentStep
            yield* happens(execution, "p", attempt)
            return polls + 1
          }),
        {
          initial: 0,
          state: Schema.Int,
          until: (polls) => polls === 3,
          schedule: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 100 }))
        }
      ),
      (polls) => [`${polls} of ${execution}`]
    ),

  asks: Effect.fnUntraced(function* (execution) {
    const question = yield* Durable.callback("c", { success: Schema.String })
    const a = yield* step(execution, "a")
    const answer = yield* question.await
    return [a, answer, yield* step(execution, "b")]
  }),

  invokes: Effect.fnUntraced(function* (execution) {
    const a = yield* step(execution, "a")
    const answer = yield* Durable.invoke("i", definition("waits"), `${execution}-target`, {
      functionName: "waits:$LATEST"
    })
    return [a, ...answer, yield* step(execution, "b")]
  }),

  calls: Effect.fnUntraced(function* (execution) {
    const a = yield* step(execution, "a")
    const answer = yield* Durable.invoke("i", Echo, execution, { functionName: "echo" })
    return [a, answer, yield* step(execution, "b")]
  })
}

const host = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  const client = Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client)
  for (const [name, body] of Object.entries(bodies)) {
    const handler = DurableHandler.make(definition(name), (execution) => Effect.orDie(body(execution)), { client })
    yield* engine.register(name, Engine.fromHandler(handler))
  }
  yield* engine.registerPlain("echo", (payload) => Effect.as(pause(50), payload))

  const answer = (execution: string, callbackId: string) =>
    Effect.gen(function* () {
      yield* pause(100)
      const text = JSON.stringify(`answer-${generation}`)
      yield* engine.succeedCallback(callbackId, text)
      yield* Effect.sync(() => note("answered", execution, text))
    }).pipe(Effect.ignore) // it may have an answer already, which the file knows and the journal does not
  const answerAll = (execution: string, operations: ReadonlyArray<Protocol.Operation>) => {
    for (const { CallbackDetails, Status } of operations) {
      if (CallbackDetails?.CallbackId === undefined || Status !== "STARTED") continue
      Effect.runFork(answer(execution, CallbackDetails.CallbackId))
    }
  }
  yield* engine.subscribe(({ execution, operations }) =>
    answerAll(
      execution.name,
      operations.map(({ operation }) => operation)
    )
  )
  for (const { DurableExecutionArn, DurableExecutionName } of yield* engine.list({ status: "RUNNING" })) {
    answerAll(DurableExecutionName, yield* engine.operations(DurableExecutionArn))
  }

  process.stdout.write("up\n")
  const kinds = Object.keys(bodies)
  const arns = yield* Effect.forEach(
    Array.from({ length: Number(count) }, (_, i) => i),
    (i) =>
      Effect.gen(function* () {
        const kind = kinds[i % kinds.length]
        const executionName = `${kind}-${i}`
        const arn = yield* engine.start({
          functionName: `${kind}:$LATEST`,
          executionName,
          payload: JSON.stringify(executionName)
        })
        yield* Effect.sync(() => note("started", executionName, arn))
        return arn
      })
  )
  yield* Effect.forEach(arns, engine.await, { concurrency: "unbounded" })
  process.stdout.write("done\n")
  return yield* Effect.never
})

const inputEnds = Effect.callback<void>((resume) => {
  process.stdin.on("end", () => resume(Effect.void)).resume()
})

// A second of the engine takes 50 milliseconds.
const layer = Engine.layerRecovering.pipe(
  Layer.provide([SqliteStore.layer({ filename }), Timers.layerScaled({ timeScale: 0.05 })])
)

Effect.runPromise(Effect.raceFirst(inputEnds, Effect.scoped(Effect.provide(host, layer)))).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 1
})
