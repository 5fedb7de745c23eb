/**
 * AWS's requirements for waitForCallback (suite 7).
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

class SubmitError extends Schema.TaggedError<SubmitError>()("SubmitError", { message: Schema.String }) {}

const named = DurableFunction.make("named", { payload: Schema.String, success: Schema.String })
const withoutInput = DurableFunction.make("without-input", { payload: Schema.Unknown, success: Schema.String })

/** What the outside sends is JSON text. */
const text = { success: Schema.String }

/** Tells nobody: whoever answers looks the callback up. */
const submit = () => Effect.void

const basic = DurableHandler.make(named, (name) => Durable.waitForCallback(name, submit, text))

const explicitName = DurableHandler.make(withoutInput, () => Durable.waitForCallback("approval", submit, text))

/** 7-3: the submitter is given the id of the very callback, and what it returns is not recorded. */
export const submitted: Array<string> = []
const withId = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, (callbackId) => Effect.sync(() => submitted.push(callbackId)), text)
)

const timeout = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, submit, { ...text, timeout: "3 seconds" })
)

/** 7-6: the submitter fails once, then it works. */
const retried = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(
    name,
    () =>
      Effect.flatMap(Durable.CurrentStep, ({ attempt }) =>
        attempt === 1 ? Effect.fail(new SubmitError({ message: "the first attempt fails" })) : Effect.void
      ),
    { ...text, retry: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 1 })) }
  )
)

const exhausted = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, () => Effect.fail(new SubmitError({ message: "the submitter always fails" })), {
    ...text,
    retry: { times: 1, schedule: Schedule.spaced("1 second") }
  })
)

const inChildContext = DurableHandler.make(named, (name) =>
  Durable.childContext("wrapper", Durable.waitForCallback(name, submit, text))
)

/** 7-9: no heartbeat comes in time. */
const heartbeatTimeout = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, submit, { ...text, heartbeatTimeout: "3 seconds" })
)

const mixed = DurableHandler.make(named, (name) =>
  Effect.gen(function* () {
    yield* Durable.wait("pause", "1 second")
    yield* Durable.step("data", Effect.succeed("fixed data"))
    return yield* Durable.waitForCallback(name, submit, text)
  })
)

const structured = DurableHandler.make(named, (name) =>
  Effect.map(
    Durable.waitForCallback(name, submit, { success: Schema.Struct({ status: Schema.String }) }),
    ({ status }) => status
  )
)

/** 7-12: the failure that the outside reports is caught. */
const caught = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, submit, text).pipe(
    Effect.catchTag("CallbackFailed", ({ message, type }) => Effect.succeed(`${type}: ${message}`))
  )
)

const heartbeat = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, submit, { ...text, heartbeatTimeout: "10 seconds" })
)

const timeoutCaught = DurableHandler.make(named, (name) =>
  Durable.waitForCallback(name, submit, { ...text, timeout: "3 seconds" }).pipe(
    Effect.catchTag("CallbackTimedOut", () => Effect.succeed("timed-out-handled"))
  )
)

/** 7-15: the outside sends nothing. */
const nothing = DurableHandler.make(DurableFunction.make("nothing", { payload: Schema.String }), (name) =>
  Effect.asVoid(Durable.waitForCallback(name, submit))
)

export const handlers = {
  "7-1": basic,
  "7-2": explicitName,
  "7-3": withId,
  "7-4": basic,
  "7-5": timeout,
  "7-6": retried,
  "7-7": exhausted,
  "7-8": inChildContext,
  "7-9": heartbeatTimeout,
  "7-10": mixed,
  "7-11": structured,
  "7-12": caught,
  "7-13": heartbeat,
  "7-14": timeoutCaught,
  "7-15": nothing
}
