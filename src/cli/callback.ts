/**
 * The commands that answer callbacks.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as DurableClient from "../DurableClient.ts"
import { badUsage } from "./failures.ts"
import * as find from "./find.ts"
import { onTarget } from "./target.ts"
import { print } from "./terminal.ts"

const id = Argument.String("id").pipe(
  Argument.withDescription("The callback's id: `tree` shows those that are open"),
  // what copies a line takes a space with it
  Argument.map((text) => text.trim())
)

const done = (callbackId: string, what: string) => print({ CallbackId: callbackId }, () => what)

const succeed = Command.make(
  "succeed",
  {
    id,
    result: Flag.String("result").pipe(
      Flag.withAlias("r"),
      Flag.withMetavar("JSON"),
      Flag.withDescription("The answer, as JSON. Default: none"),
      Flag.optional
    ),
    text: Flag.String("text").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("The answer, as it is: for a callback without a schema"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (options) {
    if (Option.isSome(options.result) && Option.isSome(options.text)) {
      return yield* Effect.fail(badUsage("--result and --text exclude each other: leave one out."))
    }
    const answer = Option.isSome(options.result)
      ? yield* find.checkJson(options.result.value, "The result")
      : Option.getOrUndefined(options.text)
    yield* onTarget(
      Effect.andThen(DurableClient.succeed(DurableClient.callback(options.id), answer), done(options.id, "answered"))
    )
  })
).pipe(
  Command.withDescription("Answer a callback"),
  Command.withExamples([{ command: `effect-durable-lambda callback succeed Ab12… --result '{"approved":true}'` }])
)

const fail = Command.make(
  "fail",
  {
    id,
    type: Flag.String("type").pipe(
      Flag.withMetavar("TYPE"),
      Flag.withDescription("The error's type: the tag of an error of the workflow's schema. Default CallbackError"),
      Flag.withDefault("CallbackError")
    ),
    message: Flag.String("message").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("What went wrong"),
      Flag.withDefault("")
    ),
    data: Flag.String("data").pipe(
      Flag.withMetavar("JSON"),
      Flag.withDescription("The error's data, as its schema encodes it"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (options) {
    const data = Option.isSome(options.data)
      ? (JSON.parse(yield* find.checkJson(options.data.value, "The data")) as Schema.Json)
      : undefined
    yield* onTarget(
      Effect.andThen(
        DurableClient.fail(DurableClient.callback(options.id), {
          type: options.type,
          message: options.message,
          data
        }),
        done(options.id, "answered with a failure")
      )
    )
  })
).pipe(
  Command.withDescription("Report that what a callback waits for has failed"),
  Command.withExamples([
    { command: `effect-durable-lambda callback fail Ab12… --type Refused --message "not this month"` }
  ])
)

const heartbeat = Command.make("heartbeat", { id }, (options) =>
  onTarget(
    Effect.andThen(DurableClient.heartbeat(DurableClient.callback(options.id)), done(options.id, "heartbeat sent"))
  )
).pipe(
  Command.withDescription("Say that whoever is to answer is still at work"),
  Command.withExamples([{ command: "effect-durable-lambda callback heartbeat Ab12…" }])
)

export const callback = Command.make("callback").pipe(
  Command.withDescription("Answer a callback, or keep it alive"),
  Command.withSubcommands([succeed, fail, heartbeat])
)
