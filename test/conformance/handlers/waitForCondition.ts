/**
 * AWS's requirements for waitForCondition (suite 6).
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

class CheckError extends Schema.TaggedError<CheckError>()("CheckError", { message: Schema.String }) {}

const counts = DurableFunction.make("counts", { payload: Schema.Number, success: Schema.Number })
const withoutInput = DurableFunction.make("without-input", { payload: Schema.Unknown, success: Schema.Number })
const texts = DurableFunction.make("texts", { payload: Schema.Unknown, success: Schema.String })

const everySecond = Schedule.spaced("1 second")

/** Counts up until it has reached a number. */
const countTo = (
  name: string,
  limit: number,
  initial = 0,
  schedule: Schedule.Schedule<unknown, number> = everySecond
) =>
  Durable.waitForCondition(name, (n) => Effect.succeed(n + 1), {
    initial,
    state: Schema.Number,
    until: (n) => n >= limit,
    schedule
  })

const basic = DurableHandler.make(counts, (limit) => countTo("count", limit))

const immediate = DurableHandler.make(counts, (limit) =>
  Durable.waitForCondition("at-once", (n) => Effect.succeed(n), {
    initial: 5,
    state: Schema.Number,
    until: (n) => n >= limit
  })
)

/** 6-3: the name is on every event. */
const named = DurableHandler.make(counts, (limit) => countTo("custom_condition_name", limit))

const initial = DurableHandler.make(counts, (limit) => countTo("count", limit, 5))

const fixedDelay = DurableHandler.make(counts, (limit) => countTo("count", limit, 0, Schedule.spaced("2 seconds")))

/** 6-6: three checks, and the condition is never met. */
const exhausted = DurableHandler.make(withoutInput, () =>
  countTo("never", 1000, 0, everySecond.pipe(Schedule.upTo({ times: 2 })))
)

const broken = Durable.waitForCondition("broken", () => new CheckError({ message: "the check always fails" }), {
  initial: 0,
  state: Schema.Number,
  until: () => true,
  error: CheckError
})

const failing = DurableHandler.make(
  DurableFunction.make("failing", { payload: Schema.Unknown, success: Schema.Number, error: CheckError }),
  () => broken
)

const caught = DurableHandler.make(texts, () =>
  broken.pipe(
    Effect.as("not reached"),
    Effect.catchTag("CheckError", () => Effect.succeed("recovered"))
  )
)

/** 6-9: an object is the state. */
const Job = Schema.Struct({ id: Schema.String, polls: Schema.Number, status: Schema.Literals(["running", "done"]) })
const object = DurableHandler.make(DurableFunction.make("object", { payload: Schema.Unknown, success: Job }), () =>
  Durable.waitForCondition(
    "job",
    ({ id, polls }) => Effect.succeed({ id, polls: polls + 1, status: polls === 1 ? "done" : "running" } as const),
    {
      initial: { id: "j-1", polls: 0, status: "running" },
      state: Job,
      until: ({ status }) => status === "done",
      schedule: everySecond
    }
  )
)

const nothing = DurableHandler.make(
  DurableFunction.make("nothing", { payload: Schema.Unknown, success: Schema.Null }),
  () =>
    Durable.waitForCondition("nothing", () => Effect.succeed(null), {
      initial: null,
      state: Schema.Null,
      until: () => true
    })
)

/** A state that stands in brackets in the record. */
const Bracketed = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transform((text: string) => text.slice(1, -1)),
    encode: SchemaGetter.transform((text: string) => `<${text}>`)
  })
)

const ownCodec = DurableHandler.make(texts, () =>
  Durable.waitForCondition("append", (text) => Effect.succeed(`${text}x`), {
    initial: "",
    state: Durable.text(Bracketed),
    until: (text) => text.length === 2,
    schedule: everySecond
  })
)

/** 6-12: in a child context, below which its events stand. */
const inChildContext = DurableHandler.make(counts, (limit) => Durable.childContext("child", countTo("count", limit)))

const sequence = DurableHandler.make(withoutInput, () =>
  Effect.flatMap(countTo("first", 2), (n) => countTo("second", 4, n))
)

export const handlers = {
  "6-1": basic,
  "6-2": immediate,
  "6-3": named,
  "6-4": initial,
  "6-5": fixedDelay,
  "6-6": exhausted,
  "6-7": failing,
  "6-8": caught,
  "6-9": object,
  "6-10": nothing,
  "6-11": ownCodec,
  "6-12": inChildContext,
  "6-13": sequence
}
