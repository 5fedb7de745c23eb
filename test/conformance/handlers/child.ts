/**
 * AWS's requirements for child contexts (suite 3).
 */
import { Durable, DurableFunction, DurableHandler, DurableLogger } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

class ChildError extends Schema.TaggedError<ChildError>()("ChildError", { message: Schema.String }) {}

const echoes = DurableFunction.make("echoes", { payload: Schema.String, success: Schema.String })
const fails = DurableFunction.make("fails", { payload: Schema.Unknown, error: ChildError })

const echo = (value: string) => Durable.step("echo", Effect.succeed(value))

const fail = Durable.step("fail", new ChildError({ message: "the step always fails" }), {
  error: ChildError,
  retry: Durable.noRetry
})

const replayLogging = { layer: DurableLogger.layerWith({ replay: true }) }

const basic = DurableHandler.make(echoes, (input) => Durable.childContext("child", echo(input)))

const named = DurableHandler.make(
  DurableFunction.make("named", {
    payload: Schema.Struct({ name: Schema.String, value: Schema.String }),
    success: Schema.String
  }),
  ({ name, value }) => Durable.childContext(name, echo(value))
)

/** 3-3: several steps in one context. */
const severalSteps = DurableHandler.make(echoes, (input) =>
  Effect.gen(function* () {
    const first = yield* Durable.step("first", Effect.succeed(input))
    return yield* Durable.step("second", Effect.succeed(first))
  }).pipe(Durable.childContext("child"))
)

const failing = DurableHandler.make(fails, () => Durable.childContext("child", fail, { error: ChildError }))

const caught = DurableHandler.make(echoes, (input) =>
  Durable.childContext("child", fail, { error: ChildError }).pipe(
    Effect.catchTag("ChildError", () => Durable.step("recover", Effect.succeed(input)))
  )
)

/** 3-6: a context in a context, each operation below the one it stands in. */
const nested = DurableHandler.make(echoes, (input) =>
  echo(input).pipe(Durable.childContext("inner"), Durable.childContext("outer"))
)

const retried = DurableHandler.make(echoes, (input) =>
  Durable.step(
    "unreliable",
    Effect.gen(function* () {
      const { attempt } = yield* Durable.CurrentStep
      return attempt === 1 ? yield* new ChildError({ message: "the first attempt fails" }) : input
    }),
    { retry: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 1 })) }
  ).pipe(Durable.childContext("child"))
)

const exhausted = DurableHandler.make(fails, () =>
  Durable.step("never-works", new ChildError({ message: "the step always fails" }), {
    error: ChildError,
    retry: { times: 1, schedule: Schedule.spaced("1 second") }
  }).pipe(Durable.childContext("child", { error: ChildError }))
)

/** 3-9: a finished context is not run again when a wait behind it causes a replay. */
const finishedBeforeWait = DurableHandler.make(
  echoes,
  (input) =>
    Effect.gen(function* () {
      const result = yield* Effect.andThen(Effect.logInfo(input), echo(input)).pipe(Durable.childContext("child"))
      yield* Durable.wait("pause", "1 second")
      return result
    }),
  replayLogging
)

const stepAndWait = DurableHandler.make(echoes, (input) =>
  Effect.gen(function* () {
    const result = yield* echo(input)
    yield* Durable.wait("pause", "1 second")
    return result
  }).pipe(Durable.childContext("child"))
)

const large = DurableHandler.make(
  DurableFunction.make("large", { payload: Schema.String, success: Schema.Number }),
  (input) =>
    Effect.gen(function* () {
      const text = yield* Effect.gen(function* () {
        yield* Effect.logInfo(input)
        const small = yield* Durable.step("small", Effect.succeed("x"))
        return small.repeat(300_000)
      }).pipe(Durable.childContext("large"))
      yield* Durable.wait("pause", "1 second")
      return text.length
    }),
  replayLogging
)

const crashed = new Set<string>()

/** 3-12: an at-least-once step that an invocation did not survive runs again, and is not started twice. */
const crashing = DurableHandler.make(
  echoes,
  (input) =>
    Durable.step(
      "crash-once",
      Effect.gen(function* () {
        // the second run is the same attempt, so only memory outside of it can tell them apart
        const { arn } = yield* Durable.CurrentExecution
        if (!crashed.has(arn)) {
          crashed.add(arn)
          yield* Effect.sleep("400 millis") // its START is on the way: nobody waits for it
          process.exit(1)
        }
        return input
      })
    ).pipe(Durable.childContext("child")),
  { startDelay: 0 }
)

const waitThenStep = DurableHandler.make(echoes, (input) =>
  Effect.gen(function* () {
    const result = yield* Durable.childContext("child", Effect.as(Durable.wait("pause", "1 second"), input))
    return yield* echo(result)
  })
)

/** Writes upper case and reads what is there. */
const Shouted = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.passthrough(),
    encode: SchemaGetter.transform((text: string) => text.toUpperCase())
  })
)

const customSerdes = DurableHandler.make(echoes, (input) =>
  Durable.childContext("child", echo(input), { success: Durable.text(Shouted) })
)

/** 3-15: a context fails without having done anything durable. */
const failingAlone = DurableHandler.make(fails, () =>
  Durable.childContext("child", new ChildError({ message: "nothing durable has happened" }), { error: ChildError })
)

const nothing = DurableHandler.make(
  DurableFunction.make("nothing", { payload: Schema.Unknown, success: Schema.Null }),
  () => Durable.childContext("child", Effect.succeed(null))
)

const logsOnly = DurableHandler.make(
  echoes,
  (input) =>
    Effect.gen(function* () {
      const result = yield* Durable.childContext("child", Effect.as(Effect.logInfo(input), input))
      yield* Durable.wait("pause", "1 second")
      return result
    }),
  replayLogging
)

/** 3-18: two contexts, one after the other; the names in one have nothing to do with those in the other. */
const sequential = DurableHandler.make(echoes, (input) =>
  Effect.gen(function* () {
    const first = yield* Durable.childContext("first", echo(input))
    return yield* Durable.childContext("second", echo(first))
  })
)

export const handlers = {
  "3-1": basic,
  "3-2": named,
  "3-3": severalSteps,
  "3-4": failing,
  "3-5": caught,
  "3-6": nested,
  "3-7": retried,
  "3-8": exhausted,
  "3-9": finishedBeforeWait,
  "3-10": stepAndWait,
  "3-11": large,
  "3-12": crashing,
  "3-13": waitThenStep,
  "3-14": customSerdes,
  "3-15": failingAlone,
  "3-16": nothing,
  "3-17": logsOnly,
  "3-18": sequential
}
