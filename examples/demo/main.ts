/**
 * npm run demo: the workflow of examples/order, on the engine that comes with the library, with its handler in a
 * process of its own. A step fails twice and is retried, hours are waited, the process is killed in the middle of a
 * step. In the end the demo checks what the library promises; it exits with 1 if anything is different.
 *
 * An hour takes three seconds. DEMO_SPEED=10 makes everything ten times faster.
 */
import * as path from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Functions, Server } from "effect-durable-lambda/dev"
import { Engine, ExecutionStore, Timers } from "effect-durable-lambda/engine"
import { Effect, Layer } from "effect"
import * as Timeline from "./Timeline.ts"

const speed = Number(process.env.DEMO_SPEED ?? 1)
const order = { id: "7", customer: "ada@example.com", cents: 1999, items: ["teapot", "unicorn", "cup"] }

const promised = {
  result: { chargeId: "charge-7", label: "label-7", backOrdered: ["unicorn"] },
  /** How often the body of each step runs. */
  runs: { charge: 3, "reserve teapot": 1, "reserve unicorn": 1, "reserve cup": 1, pack: 2, label: 1, mail: 1 }
}
const why: Readonly<Record<string, string>> = {
  charge: "failed twice, then succeeded",
  "reserve unicorn": "failed: that is its result, and it is recorded, too",
  pack: "was cut off by the kill, then succeeded"
}

const demo = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  const timeline = Timeline.make()
  const runs: Record<string, number> = {}
  const ended = new Set<string>()
  const broken: Array<string> = []
  let lines = 0

  const invoked = (pid: number, reused: boolean) => {
    timeline.invoked(pid, !reused)
    if (timeline.invocations() === 2) {
      timeline.explain("Each invocation runs the workflow from its first line. What is recorded answers at once.")
    }
  }

  const ran = (step: string, pid: number) => {
    timeline.ran(step)
    if (ended.has(step)) broken.push(`"${step}" ran again after its outcome had been recorded`)
    runs[step] = (runs[step] ?? 0) + 1
    if (step === "pack" && runs.pack === 1) {
      setTimeout(() => {
        timeline.killed()
        timeline.explain('Killed in the middle of "pack". What came before is recorded and will not run again;')
        timeline.explain('"pack" has no outcome yet, so it will.')
        process.kill(pid, "SIGKILL")
      }, 500 / speed)
    }
  }

  /** The handler's process is known by what it writes: what ran, and the workflow's log, a JSON object a line. */
  const wrote = (text: string, pid: number) => {
    if (text.startsWith("ran ")) return ran(text.slice("ran ".length), pid)
    if (!text.startsWith("{")) return timeline.line(text)
    timeline.logged(JSON.parse(text).message)
    lines += 1
  }

  yield* engine.subscribe(({ events }) => {
    for (const event of events) {
      timeline.event(event)
      const { Name: name } = event
      if (event.StepSucceededDetails !== undefined && name !== undefined) ended.add(name)
      const failure = event.StepFailedDetails
      if (failure !== undefined && failure.RetryDetails.NextAttemptDelaySeconds === undefined) {
        if (name !== undefined) ended.add(name)
        timeline.explain("A typed error. The workflow handles it, and goes on without the unicorn.")
      } else if (failure !== undefined) {
        timeline.explain("The retry is on record. No process waits for it: the invocation ends.")
      } else if (event.WaitStartedDetails?.Duration === 3600) {
        timeline.explain("An hour of waiting costs one record. Nothing runs, nothing is billed.")
      }
    }
  })

  timeline.heading("An order, on Lambda's rules. An hour takes three seconds. The handler has a process of its own.")
  const { url } = yield* Server.Server
  const file = path.join(import.meta.dirname, "handler.ts")
  const env = { NODE_OPTIONS: "--conditions=@effect-durable-lambda/source" }
  yield* Functions.serveFunctions([{ file, env }], {
    endpoint: url,
    reload: "off",
    onEvent: (event) => {
      if (event._tag === "Invoked") invoked(event.pid, event.reused)
      if (event._tag === "Line") wrote(event.text, event.pid)
    }
  })
  const arn = yield* engine.start({ functionName: "process-order:$LATEST", payload: JSON.stringify(order) })
  const end = yield* engine.await(arn)

  timeline.heading("How often the body of each step really ran:")
  for (const [step, count] of Object.entries(runs)) {
    timeline.line(`   ${step.padEnd(16)} ${count}  ${why[step] ?? ""}`)
  }
  if (!isDeepStrictEqual(runs, promised.runs)) broken.push(`promised were ${JSON.stringify(promised.runs)}`)
  if (lines !== 1) broken.push(`the workflow logs one line, but ${lines} appeared`)
  if (!isDeepStrictEqual(JSON.parse(end.Result ?? "null"), promised.result)) {
    broken.push(`the result is ${end.Status} ${end.Result ?? JSON.stringify(end.Error)}`)
  }
  timeline.heading(
    broken.length > 0
      ? `✗ Not as promised: ${broken.join("; ")}.`
      : `✓ ${timeline.invocations()} invocations, one of them killed, and one order: as promised.`
  )
  return broken.length === 0
})

const timers = Timers.layerScaled({ timeScale: 3 / 3600 / speed })
const engine = Layer.provide(Engine.layer, [ExecutionStore.layerMemory, timers])
const layer = Layer.provideMerge(Server.layer, engine)

Effect.runPromise(demo.pipe(Effect.scoped, Effect.provide(layer), Effect.timeout("3 minutes"))).then(
  (asPromised) => process.exit(asPromised ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(1)
  }
)
