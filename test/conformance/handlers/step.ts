/**
 * AWS's requirements for steps (suite 1), written as a user of the library would.
 */
import { Durable, DurableFunction, DurableHandler, DurableLogger } from "effect-durable-lambda"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

// ---- what several handlers share -----------------------------------------------------------------

class TransientError extends Schema.TaggedError<TransientError>()("TransientError", { message: Schema.String }) {}

class PermanentError extends Schema.TaggedError<PermanentError>()("PermanentError", { message: Schema.String }) {}

class Greeter extends Context.Service<Greeter, { readonly greet: (name: string) => Effect.Effect<string> }>()(
  "conformance/Greeter"
) {}

const layerGreeter = Layer.succeed(Greeter, { greet: (name) => Effect.succeed(`Hello, ${name}!`) })

/** A payment provider, say, that fails before it works: the attempt is all it needs to know. */
const worksFromAttempt = <A>(attempt: number, value: A) =>
  Effect.gen(function* () {
    const step = yield* Durable.CurrentStep
    if (step.attempt < attempt)
      return yield* new TransientError({ message: `attempt ${step.attempt} of ${attempt} failed` })
    return value
  })

const greeting = DurableFunction.make("greeting", { payload: Schema.String, success: Schema.String })
const withoutInput = DurableFunction.make("without-input", { payload: Schema.Unknown })
const textWithoutInput = DurableFunction.make("text", { payload: Schema.Unknown, success: Schema.String })

// ---- success -------------------------------------------------------------------------------------

const basic = DurableHandler.make(
  greeting,
  (name) =>
    Durable.step(
      "greet",
      Greeter.use((greeter) => greeter.greet(name))
    ),
  { layer: layerGreeter }
)

const named = DurableHandler.make(
  greeting,
  (name) =>
    Durable.step(
      "custom_step_name",
      Greeter.use((greeter) => greeter.greet(name))
    ),
  { layer: layerGreeter }
)

/** 1-3: several steps, one after the other, each with what the one before has given. */
const sequential = DurableHandler.make(
  DurableFunction.make("sequential", { payload: Schema.Unknown, success: Schema.Array(Schema.Number) }),
  () =>
    Effect.gen(function* () {
      const first = yield* Durable.step("first", Effect.succeed(1))
      const second = yield* Durable.step("second", Effect.succeed(first + 1))
      const third = yield* Durable.step("third", Effect.succeed(second + 1))
      return [first, second, third]
    })
)

const User = Schema.Struct({ name: Schema.String, tags: Schema.Array(Schema.String) })

const nestedObject = DurableHandler.make(
  DurableFunction.make("nested-object", {
    payload: User,
    success: Schema.Struct({ user: User, count: Schema.Number })
  }),
  (user) => Durable.step("build-response", Effect.succeed({ user, count: user.tags.length }))
)

const nothing = DurableHandler.make(withoutInput, () => Durable.step("do-nothing", Effect.void))

/** Writes upper case and reads what is there: what the workflow gets has been through the codec. */
const Shouted = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.passthrough(),
    encode: SchemaGetter.transform((text: string) => text.toUpperCase())
  })
)

const customSerdes = DurableHandler.make(
  DurableFunction.make("custom-serdes", { payload: Schema.Unknown, success: Schema.String }),
  (input) =>
    Durable.step("shout", Effect.succeed(typeof input === "string" ? input : "hello world"), {
      success: Durable.text(Shouted)
    })
)

const logger = DurableHandler.make(greeting, (name) =>
  Durable.step(
    "greet",
    Effect.gen(function* () {
      yield* Effect.logInfo(`Greeting step started for: ${name}`)
      const text = `Hello, ${name}!`
      yield* Effect.logInfo(`Greeting step completed with: ${text}`)
      return text
    })
  )
)

// ---- replay --------------------------------------------------------------------------------------

const stepAndWait = DurableHandler.make(textWithoutInput, () =>
  Effect.gen(function* () {
    const result = yield* Durable.step("compute", Effect.succeed("computed"))
    yield* Durable.wait("pause", "2 seconds")
    return result
  })
)

/** 1-9: steps on both sides of a wait; the first is not run again. */
const stepsAroundWait = DurableHandler.make(textWithoutInput, () =>
  Effect.gen(function* () {
    const before = yield* Durable.step("before", Effect.as(Effect.logInfo("step executed"), "before"))
    yield* Durable.wait("pause", "1 second")
    const after = yield* Durable.step("after", Effect.succeed("after"))
    return `${before} ${after}`
  })
)

const rethrown = DurableHandler.make(withoutInput, () =>
  Effect.gen(function* () {
    yield* Durable.step(
      "fail",
      Effect.andThen(Effect.logInfo("step executed"), new PermanentError({ message: "it never works" })),
      { error: PermanentError, retry: Durable.noRetry }
    ).pipe(Effect.catchTag("PermanentError", () => Effect.void))
    yield* Durable.wait("pause", "1 second")
  })
)

// ---- retries -------------------------------------------------------------------------------------

const retried = DurableHandler.make(textWithoutInput, () =>
  Durable.step("unreliable", worksFromAttempt(2, "Operation succeeded"), {
    retry: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 }))
  })
)

/** 1-12: the first attempt and three retries. */
const exhausted = DurableHandler.make(withoutInput, () =>
  Durable.step("never-works", new TransientError({ message: "not again" }), {
    error: TransientError,
    retry: { times: 3, schedule: Schedule.spaced("1 second") }
  }).pipe(Effect.orDie)
)

const defaultRetry = DurableHandler.make(textWithoutInput, () =>
  Durable.step("unreliable", worksFromAttempt(3, "third time lucky"))
)

const customRetry = DurableHandler.make(textWithoutInput, () =>
  Durable.step("unreliable", worksFromAttempt(3, "third time lucky"), {
    retry: Schedule.exponential("2 seconds", 3).pipe(Schedule.upTo({ times: 4 }))
  })
)

/** 1-15: the type of the failure decides, and this one is worth another attempt. */
const retriedByType = DurableHandler.make(
  DurableFunction.make("retried-by-type", {
    payload: Schema.Unknown,
    success: Schema.String,
    error: TransientError
  }),
  () =>
    Durable.step("unreliable", worksFromAttempt(2, "Operation succeeded"), {
      error: TransientError,
      retry: ($) =>
        $(Schedule.spaced("1 second")).pipe(
          Schedule.while(({ input }) => input._tag === "TransientError"),
          Schedule.upTo({ times: 3 })
        )
    })
)

const notRetriedByType = DurableHandler.make(
  DurableFunction.make("not-retried-by-type", { payload: Schema.Unknown, error: TransientError }),
  () =>
    Durable.step("fail", new TransientError({ message: "too transient to try again" }), {
      error: TransientError,
      retry: { times: 5, until: (error) => error._tag === "TransientError" }
    })
)

// ---- crashes -------------------------------------------------------------------------------------

const crash = Effect.sync(() => process.exit(1))

const atMostOnce = DurableHandler.make(
  greeting,
  (input) =>
    Durable.step("at_most_once_flaky_step", Effect.andThen(Effect.logInfo(`about to crash: ${input}`), crash), {
      semantics: "AtMostOncePerRetry",
      retry: Durable.noRetry
    }),
  { startDelay: 0 }
)

/** 1-18: the interrupted attempt is retried as a failed one is. */
const atMostOnceRetried = DurableHandler.make(
  textWithoutInput,
  () =>
    Durable.step(
      "at_most_once_flaky_step",
      Effect.gen(function* () {
        const { attempt } = yield* Durable.CurrentStep
        if (attempt === 1) return yield* crash
        return "Operation succeeded"
      }),
      {
        semantics: "AtMostOncePerRetry",
        retry: {
          times: 1,
          schedule: Schedule.spaced("1 second"),
          while: (error) => error._tag === "StepInterrupted"
        }
      }
    ),
  { startDelay: 0 }
)

// ---- failure -------------------------------------------------------------------------------------

const failed = DurableHandler.make(
  DurableFunction.make("failed", { payload: Schema.Unknown, error: PermanentError }),
  () =>
    Durable.step("fail", new PermanentError({ message: "it never works" }), {
      error: PermanentError,
      retry: Durable.noRetry
    })
)

const caught = DurableHandler.make(
  textWithoutInput,
  () =>
    Durable.step("fail", new PermanentError({ message: "it never works" }), { retry: Durable.noRetry }).pipe(
      Effect.catchTag("StepFailed", () => Effect.succeed("fallback_result")),
      Effect.flatMap((result) => Durable.step("continue", Effect.succeed(result)))
    ),
  { layer: DurableLogger.layer }
)

export const handlers = {
  "1-1": basic,
  "1-2": named,
  "1-3": sequential,
  "1-4": nestedObject,
  "1-5": nothing,
  "1-6": customSerdes,
  "1-7": logger,
  "1-8": stepAndWait,
  "1-9": stepsAroundWait,
  "1-10": rethrown,
  "1-11": retried,
  "1-12": exhausted,
  "1-13": defaultRetry,
  "1-14": customRetry,
  "1-15": retriedByType,
  "1-16": notRetriedByType,
  "1-17": atMostOnce,
  "1-18": atMostOnceRetried,
  "1-19": failed,
  "1-20": caught
}
