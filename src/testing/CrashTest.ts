/**
 * Crashes a workflow wherever it can crash, and looks whether that makes a difference.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import type * as Schema from "effect/Schema"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as DurableHandler from "../DurableHandler.ts"
import * as Engine from "../engine/Engine.ts"
import { type Call, type Fault, Faults } from "../engine/Faults.ts"
import type { Observed } from "../internal/observer.ts"
import { SeededRandom } from "../internal/random.ts"
import { isTerminal } from "../internal/wire.ts"
import { step } from "../operations/step.ts"
import type { StepServicesIn } from "../StepServices.ts"
import { compare, FAULTS, isAtWork, type Ran, sites, SLOW, why } from "./crashRuns.ts"
import type { Watch } from "./instrument.ts"
import * as probes from "./probes.ts"
import { makeVirtual, TestRunner } from "./TestRunner.ts"
import { render } from "./timeline.ts"

// ---- shapes ------------------------------------------------------------------------------------------------

/** Where an invocation is made to crash. Calls, runs and invocations count from 1. */
export type Boundary =
  /** The process ends before a request reaches the service, or when it was applied, but its answer has not come. */
  | { readonly _tag: "Request"; readonly when: "before" | "after"; readonly call: number }
  /** A step has done its work, and nothing of it is on record. */
  | { readonly _tag: "Step"; readonly run: number; readonly name: string }
  /** The invocation has its answer, and the answer does not arrive. */
  | { readonly _tag: "Answer"; readonly invocation: number }

/** Options of `crashEverywhere`. */
export interface Options<ROut = never, LE = never> extends DurableHandler.RunOptions {
  /** The services of the steps, built anew for each run: what a test double remembers of one run is not there in the next. */
  readonly layer?: Layer.Layer<ROut, LE> | undefined
  /** Done before each run: what `TestRunner.onCallback`, `onInvoke` and `register` declare. */
  readonly setup?: Effect.Effect<unknown, never, TestRunner | ROut> | undefined
  /**
   * What the workflow has done to the outside, as plain data, looked at after each run: mails sent, rows written. A run
   * in which no step ran twice must leave the same behind.
   */
  readonly observe?: Effect.Effect<unknown, never, ROut> | undefined
  /** Crashes at most at so many boundaries, spread over all. Default: at all of them. */
  readonly atMost?: number | undefined
  /** How long one run may take, in real time. Default: 10 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Calls that the body may make although they are not the same in every run. Default: none. */
  readonly allow?: ReadonlyArray<probes.Impure> | undefined
}

/** What was tried. */
export interface Report {
  /** So many places where it can crash. */
  readonly boundaries: number
  /** So many of them it was crashed at. */
  readonly crashes: number
}

/**
 * The workflow is not the same after a crash.
 * @see [Troubleshooting](../../docs/troubleshooting.md#crashdivergence)
 */
export class CrashDivergence extends Data.TaggedError("CrashDivergence")<{
  /** Where it crashed. Absent: it differs without a crash, when it suspends and goes on. */
  readonly boundary: Boundary | undefined
  /** Why, most likely, and what to do. */
  readonly likelyCause: string
  readonly differences: ReadonlyArray<string>
  readonly message: string
}> {}

// ---- one run -----------------------------------------------------------------------------------------------

/** 1 January 2026: every run begins at the same time. */
const START = Date.UTC(2026, 0, 1)
const NAME = "crash-everywhere"
/** The step that keeps an invocation alive, so that it never has to be replayed. */
const KEEP_ALIVE = "crash-everywhere: no replay"

interface Plan {
  readonly definition: DurableFunction.Any
  readonly body: DurableHandler.AnyBody<any>
  readonly payload: unknown
  readonly options: Options<any, any>
  /** What each attempt gave when it ran first: the outside answers alike in all runs. */
  readonly known: Map<string, Exit.Exit<unknown, unknown>>
}

const real: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

const keyOf = (op: Observed, attempt: number) => `${op.id} ${attempt}`

const faultAt = (boundary: Boundary | undefined, call: number): Fault | undefined =>
  boundary?._tag === "Request" && boundary.call === call
    ? boundary.when === "before"
      ? "CrashBefore"
      : "CrashAfter"
    : undefined

/** Runs it once. `live`: in one invocation that never suspends, so that nothing is ever replayed. */
const runOnce = (
  { body, definition, known, options, payload }: Plan,
  boundary: Boundary | undefined,
  live: boolean
): Effect.Effect<Ran, unknown, any> =>
  Effect.gen(function* () {
    const services = options.layer === undefined ? Context.empty() : yield* Layer.build(Layer.fresh(options.layer))
    const runs: Array<Ran["runs"][number]> = []
    const again: Array<string> = []
    const impure: Array<probes.ImpureCall> = []
    let main: string | undefined
    let calls = 0
    let invocations = 0
    let crashed = false
    let cutOff = false
    let tooSlow = false
    // it is there before anything runs on it
    const there: { engine?: Engine.Engine["Service"] } = {}

    const decide = ({ arn }: Call) =>
      Effect.sync(() => {
        main ??= arn
        if (arn !== main) return undefined
        const fault = faultAt(boundary, ++calls)
        if (fault !== undefined) crashed = true
        return fault
      })

    const watch: Watch = ({ interrupted, invocation, number, op }, effect) => {
      if (invocation.executionArn !== (main ??= invocation.executionArn)) return effect
      if (interrupted) {
        cutOff = true
        return effect
      }
      if (op.spec.name === KEEP_ALIVE) {
        return Effect.flatMap(Clock.Clock, (clock) => clock.sleep(Duration.infinity))
      }
      const key = keyOf(op, number)
      return Effect.gen(function* () {
        const at = runs.push({ key, name: op.spec.name })
        const recorded = (yield* Effect.orDie(there.engine!.operations(invocation.executionArn))).find(
          ({ Id }) => Id === op.id
        )
        if (recorded !== undefined && isTerminal(recorded.Status)) again.push(op.spec.name)
        const exit = yield* Effect.exit(effect)
        if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return yield* exit
        if (boundary?._tag === "Step" && boundary.run === at) {
          crashed = true
          yield* there.engine!.crash(invocation.executionArn)
          return yield* Effect.never
        }
        const before = known.get(key)
        if (before === undefined) known.set(key, exit)
        return yield* before ?? exit
      })
    }

    const answered = (arn: string, output: unknown) =>
      Effect.suspend(() => {
        if (arn !== (main ??= arn)) return Effect.succeed(output)
        if (boundary?._tag !== "Answer" || boundary.invocation !== ++invocations) return Effect.succeed(output)
        crashed = true
        return Effect.fail(Engine.exited())
      })

    const made = yield* makeVirtual(START, { watch, answered }, live).pipe(
      Effect.provideService(Faults, decide),
      Effect.provideService(Random.Random, new SeededRandom(() => NAME))
    )
    there.engine = made.engine
    const { driver } = made
    const run: typeof body = live
      ? (input) => Effect.raceFirst(body(input), Effect.andThen(step(KEEP_ALIVE, Effect.void), Effect.never))
      : body

    const program = Effect.gen(function* () {
      if (options.setup !== undefined) yield* Effect.provideService(options.setup, TestRunner, driver)
      const arn = yield* driver.start(definition, run, payload, {
        ...options,
        plugins: options.plugins,
        executionName: NAME
      })
      const stuck = Effect.map(driver.operations(arn), (operations) => {
        const open = operations.filter(
          ({ Status, Type }) => Type !== "EXECUTION" && Type !== "CONTEXT" && !isTerminal(Status)
        )
        const names = open.map(({ Name, Type }) => `${Type} "${Name ?? ""}"`).join(", ")
        return `does not end: it waits for ${names === "" ? "nothing that is on record" : names}`
      })
      const limit = Duration.fromInputUnsafe(options.timeout ?? "10 seconds")
      const end = yield* Effect.raceAllFirst([
        Effect.map(driver.end(arn), ({ Error, Result, Status }) => ({ Status, Result, Error })),
        Effect.andThen(driver.standstill(), stuck),
        Effect.map(Effect.andThen(real.sleep(limit), stuck), (text) => {
          tooSlow = true
          return `${text}, and has not ended after ${Duration.toMillis(limit)} ms`
        })
      ])
      const operations = yield* driver.operations(arn)
      const events = yield* driver.history(arn)
      const world = options.observe === undefined ? undefined : yield* options.observe
      const ended = events.filter(({ EventType }) => EventType === "InvocationCompleted").length
      return {
        end,
        operations,
        events,
        runs,
        calls,
        invocations: ended,
        impure,
        again,
        world,
        crashed,
        cutOff,
        tooSlow
      }
    })
    return yield* program.pipe(
      Effect.provideService(probes.Probe, (call) => void impure.push(call)),
      Effect.provideService(Logger.CurrentLoggers, new Set()),
      Effect.provideContext(services as Context.Context<never>)
    )
  }).pipe(Effect.scoped)

// ---- the report --------------------------------------------------------------------------------------------

const where = (boundary: Boundary | undefined, ran: Ran): string => {
  if (boundary === undefined) return "No crash: it suspended, and went on in another invocation."
  switch (boundary._tag) {
    case "Request":
      return `Crash ${boundary.when === "before" ? "before request" : "after the service had applied request"} ${boundary.call} of ${ran.calls}${boundary.when === "before" ? " reached the service" : ", before its answer came"}.`
    case "Step":
      return `Crash in step "${boundary.name}" (run ${boundary.run}), when it had done its work and nothing of it was on record.`
    case "Answer":
      return `Crash at the end of invocation ${boundary.invocation}: its answer got lost.`
  }
}

const divergence = (
  name: string,
  boundary: Boundary | undefined,
  expected: Ran,
  got: Ran,
  differences: ReadonlyArray<string>,
  likelyCause: string,
  headline = "is not the same after a crash"
) =>
  new CrashDivergence({
    boundary,
    likelyCause,
    differences,
    message: [
      `"${name}" ${headline}.`,
      "",
      where(boundary, got),
      ...differences.map((line) => `  ${line}`),
      `Likely cause: ${likelyCause}`,
      "",
      render(
        boundary === undefined ? "Timeline in one invocation, without a replay" : "Timeline without a crash",
        expected.events
      ),
      "",
      render(boundary === undefined ? "Timeline with replays" : "Timeline with the crash", got.events)
    ].join("\n")
  })

// ---- everywhere --------------------------------------------------------------------------------------------

const boundariesOf = (ran: Ran): ReadonlyArray<Boundary> => [
  ...Array.from({ length: ran.calls }, (_, index) => index + 1).flatMap((call): ReadonlyArray<Boundary> => [
    { _tag: "Request", when: "before", call },
    { _tag: "Request", when: "after", call }
  ]),
  ...ran.runs.map(({ name }, index): Boundary => ({ _tag: "Step", run: index + 1, name })),
  ...Array.from({ length: ran.invocations }, (_, index): Boundary => ({ _tag: "Answer", invocation: index + 1 }))
]

/** So many of them, spread over all. */
const spread = <A>(all: ReadonlyArray<A>, most: number): ReadonlyArray<A> =>
  most >= all.length
    ? all
    : Array.from({ length: Math.max(Math.trunc(most), 0) }, (_, i) => all[Math.floor((i * all.length) / most)]!)

/**
 * Runs a workflow once per place where it can crash, with a crash there, and fails with `CrashDivergence` at the first
 * one that makes a difference.
 *
 * **Details**
 *
 * It crashes before each request to the service, after each one before its answer comes, in each run of a step when it
 * has done its work, and at the end of each invocation. Each time it asserts that the execution ends, with the same
 * result or failure, that no step runs again whose outcome was on record, and (`observe`) that the outside is the same
 * if no step had to run twice. Where the crash cuts off a step that runs at most once, the execution must end, and may
 * end otherwise: `StepInterrupted` exists only there. It is also run in one invocation without any replay: what a body gives there, it must
 * give with replays.
 *
 * All runs are the same otherwise: time is virtual and begins on 1 January 2026, ids and `Random` are seeded, and what
 * an attempt of a step gave in one run it gives in all (it runs, but its outcome is the first one), so services may give
 * other values each time. Log lines are dropped.
 *
 * The message has the place, the difference, the likely cause and both timelines. A body that reads the time, chance or
 * the network past Effect (`Date.now`, `Math.random`, `fetch`, …) fails even where no run came out different; the message
 * names file and line. What it cannot see: memory that outlives the body, since all runs share one process; and what a
 * body reads of the environment.
 *
 * **Example** (A workflow that survives)
 *
 * ```ts import.meta.vitest
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { crashEverywhere } from "effect-durable-lambda/testing"
 * import { Effect, Schema } from "effect"
 *
 * const Remind = DurableFunction.make("remind", { payload: Schema.String, success: Schema.String })
 * const remind = (who: string) =>
 *   Effect.andThen(Durable.wait("three-days", "3 days"), Durable.step("remind", Effect.succeed(`Hello, ${who}!`)))
 *
 * const report = await Effect.runPromise(crashEverywhere(Remind, remind, "Ada"))
 * report.crashes // => 7
 * ```
 */
export const crashEverywhere = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R,
  ROut = never,
  LE = never
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  payload: P["~type.make.in"],
  options: Options<ROut, LE> = {}
): Effect.Effect<
  Report,
  CrashDivergence | LE,
  Exclude<StepServicesIn<R> | DurableHandler.SchemaServices<P, SA, SE>, ROut>
> =>
  Effect.gen(function* () {
    yield* probes.watching
    const { name } = definition
    const plan: Plan = { definition, body: body as DurableHandler.AnyBody<any>, payload, options, known: new Map() }
    const allowed = new Set<string>(options.allow ?? [])
    const expected = yield* runOnce(plan, undefined, false)
    if (typeof expected.end === "string") {
      const nothing =
        "the body waits for nothing that is on record (Effect.never, a Deferred that nobody completes, a deadlock)."
      if (expected.end.includes("nothing that is on record") && !isAtWork(expected)) {
        return yield* divergence(name, undefined, expected, expected, [expected.end], nothing, "does not end")
      }
      const differences = [expected.end]
      const nobody = "nobody answers. Declare answers in `setup`: TestRunner.onCallback, onInvoke or register."
      const cause = expected.tooSlow && isAtWork(expected) ? SLOW : nobody
      return yield* divergence(name, undefined, expected, expected, differences, cause)
    }
    const error = expected.end.Error
    if (error !== undefined && FAULTS.has(error.ErrorType ?? "")) {
      const wrong =
        "the program is wrong, with or without a crash: see docs/troubleshooting.md in effect-durable-lambda."
      const said = [`${error.ErrorType}: ${error.ErrorMessage}`]
      return yield* divergence(name, undefined, expected, expected, said, wrong, "ends with a fault in every run")
    }
    const fail = (boundary: Boundary | undefined, left: Ran, right: Ran, differences: ReadonlyArray<string>) =>
      divergence(name, boundary, left, right, differences, why(left, right, allowed))
    const live = yield* runOnce(plan, undefined, true)
    const replayed = compare(live, expected)
    if (replayed.length > 0) return yield* fail(undefined, live, expected, replayed)
    const all = boundariesOf(expected)
    const chosen = spread(all, options.atMost ?? Infinity)
    for (const boundary of chosen) {
      const got = yield* runOnce(plan, boundary, false)
      const differences = compare(expected, got)
      if (differences.length > 0) return yield* fail(boundary, expected, got, differences)
    }
    const impure = [...live.impure, ...expected.impure].filter(({ what }) => !allowed.has(what))
    if (impure.length > 0) {
      const differences = ["every run came out alike this time, by chance"]
      return yield* divergence(name, undefined, live, expected, differences, sites(impure))
    }
    return { boundaries: all.length, crashes: chosen.length }
  }).pipe(Effect.scoped) as any // typed by the definition
