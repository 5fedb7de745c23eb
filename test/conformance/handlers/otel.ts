/**
 * AWS's requirements for OpenTelemetry, three suites: the same workflows with the spans of each view. What is not in the
 * folder of requirements (every third) is tested in ../otel.test.ts.
 */
import { Durable, type DurableError, DurableFunction, DurableHandler, type DurableTracer } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { tracing } from "../spans.ts"

class OtelError extends Schema.TaggedError<OtelError>()("OtelError", { message: Schema.String }) {}

/** A variable of a requirement comes as text. */
const Input = Schema.Struct({
  scenario: Schema.String,
  delay_seconds: Schema.optionalKey(Schema.Union([Schema.Number, Schema.NumberFromString]))
})
const Otel = DurableFunction.make("otel", { payload: Input, success: Schema.Any, error: OtelError })

type Workflow = (
  input: typeof Input.Type
) => Effect.Effect<unknown, OtelError | DurableError.Operation, Durable.Requires | Durable.CurrentExecution>

const intentional = new OtelError({ message: "Intentional failure" })
const works = (name: string) => Durable.step(name, Effect.succeed("complete"))
const fails = (name: string) => Durable.step(name, Effect.fail(intentional), { error: OtelError, retry: { times: 0 } })
const submit = () => Effect.void
const one = { concurrency: 1 } as const

// ---- the functions that are invoked ----------------------------------------------------------------------------

const Target = DurableFunction.make("otel-target", {
  payload: Schema.Number,
  success: Schema.String,
  error: OtelError
})
const invoke = (name: string, seconds = 0) =>
  Durable.invoke(name, Target, seconds, { functionName: "otel-target:$LATEST" })
/** It takes longer to start than its caller takes to suspend. */
const started =
  <A extends ReadonlyArray<unknown>, B>(run: (...args: A) => Promise<B>) =>
  (...args: A): Promise<B> =>
    new Promise((resolve) => setTimeout(resolve, 100)).then(() => run(...args))
const target = (seconds: number) =>
  seconds < 0
    ? Effect.fail(intentional)
    : seconds > 0
      ? Effect.as(Durable.wait("otel-long-invoke-target-wait", `${seconds} seconds`), "target-complete")
      : Effect.succeed("target-complete")

// ---- the workflows ---------------------------------------------------------------------------------------------

const retried = (name: string, seconds = 1) =>
  Durable.step(
    name,
    Effect.flatMap(Durable.CurrentStep, ({ attempt }) =>
      attempt === 1 ? Effect.fail(intentional) : Effect.succeed("complete")
    ),
    { error: OtelError, retry: Schedule.spaced(`${seconds} seconds`).pipe(Schedule.upTo({ times: 1 })) }
  )

/** 15: the process dies in the first run of the step. It is no time to clean up. */
const died = new Set<string>()
const dies = Effect.gen(function* () {
  const { arn } = yield* Durable.CurrentExecution
  yield* works("otel-before-crash")
  yield* Durable.step(
    "otel-interrupted",
    Effect.suspend(() => {
      if (died.has(arn)) return Effect.succeed("complete")
      died.add(arn)
      // try: what stands in for the real one returns or throws, and this code must end here
      try {
        process.exit(1)
      } catch {}
      return Effect.never
    })
  )
})

const workflows: Readonly<Record<number, Workflow>> = {
  1: () => works("otel-success"),
  2: () => Effect.andThen(Durable.wait("otel-wait", "1 second"), works("otel-after-resume")),
  3: () => retried("otel-retry"),
  4: () => fails("otel-terminal-failure"),
  5: () => Durable.childContext("otel-child-context", works("otel-child-step")),
  6: () =>
    Durable.parallel(
      "otel-parallel",
      { "otel-parallel-branch-a": works("otel-step-a"), "otel-parallel-branch-b": works("otel-step-b") },
      one
    ),
  7: () =>
    Durable.map("otel-map", [0, 1], (n) => works(`otel-map-step-${n}`), {
      ...one,
      itemName: (_, index) => `otel-map-iteration-${index}`
    }),
  8: () =>
    Effect.catchTag(fails("otel-handled-failure"), "OtelError", () => Effect.void).pipe(
      Effect.andThen(works("otel-recovery-step"))
    ),
  9: () =>
    Durable.waitForCondition("otel-condition", (n) => Effect.succeed(n + 1), {
      initial: 0,
      state: Schema.Number,
      until: (n) => n === 2,
      schedule: Schedule.spaced("1 second")
    }),
  10: () => Durable.waitForCallback("otel-callback", submit),
  11: () => invoke("otel-invoke"),
  12: () => invoke("otel-failed-invoke", -1),
  13: () =>
    Durable.parallel(
      "otel-failed-parallel",
      { "otel-failed-parallel-branch": Durable.branch(intentional, { error: OtelError }) },
      one
    ),
  14: () =>
    Durable.map("otel-failed-map", [0], () => Effect.fail(intentional), {
      ...one,
      error: OtelError,
      itemName: (_, index) => `otel-failed-map-iteration-${index}`
    }),
  15: () => dies,
  16: () =>
    Durable.waitForCondition("otel-failed-condition", () => Effect.fail(intentional), {
      initial: 0,
      state: Schema.Number,
      until: () => true,
      error: OtelError
    }),
  17: () => Durable.waitForCallback("otel-failed-callback", submit),
  18: () => Durable.waitForCallback("otel-callback-timeout", submit, { timeout: "2 seconds" }),
  19: () => Effect.die(new Error("Intentional execution failure")),
  20: () => Durable.childContext("otel-virtual-context", Effect.succeed("virtual-complete"), { virtual: true })
}

const longRunning: Readonly<Record<number, Workflow>> = {
  1: ({ delay_seconds: seconds = 1 }) =>
    Effect.andThen(Durable.wait("otel-long-wait", `${seconds} seconds`), works("otel-after-long-wait")),
  2: ({ delay_seconds: seconds }) => retried("otel-long-retry", seconds),
  3: () => Durable.waitForCallback("otel-long-callback", submit),
  4: ({ delay_seconds: seconds }) => invoke("otel-long-invoke", seconds)
}

// ---- the handlers ----------------------------------------------------------------------------------------------

const handlerOf = (workflow: Workflow, view: DurableTracer.View) => {
  const layer = tracing(view)
  return {
    handler: DurableHandler.make(Otel, workflow, { layer, startDelay: 0 }),
    functions: { "otel-target:$LATEST": { durable: started(DurableHandler.make(Target, target, { layer })) } }
  }
}

const suite = (name: string, of: Readonly<Record<number, Workflow>>, view: DurableTracer.View) =>
  Object.fromEntries(Object.entries(of).map(([n, workflow]) => [`otel-${name}-${n}`, handlerOf(workflow, view)]))

export const handlers = {
  ...suite("execution", workflows, "execution"),
  ...suite("invocation", workflows, "invocation"),
  ...suite("long-running", longRunning, "invocation")
}

/** The long-running workflows with the spans of the execution: the runner checks only those of invocations. */
export const inExecutionView = suite("long-running", longRunning, "execution")
