/**
 * Shows: asking a person, and what can become of it. The submitter is a step: it is retried, and hands the id out once.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schedule, Schema } from "effect"

export const Decision = Schema.Struct({ approved: Schema.Boolean, by: Schema.String })

export class Chat extends Context.Service<
  Chat,
  { readonly ask: (question: string, callbackId: string) => Effect.Effect<void, Error> }
>()("examples/Chat") {}

export const Approve = DurableFunction.make("approve", { payload: Schema.String, success: Schema.String })

export const approve = (what: string) =>
  Durable.waitForCallback("approval", (callbackId) => Chat.use((chat) => chat.ask(`${what}?`, callbackId)), {
    success: Decision,
    timeout: "3 days",
    retry: Schedule.exponential("10 seconds").pipe(Schedule.upTo({ times: 5 }))
  }).pipe(
    Effect.map(({ approved, by }) => `${approved ? "approved" : "refused"} by ${by}`),
    Effect.catchTags({
      CallbackTimedOut: () => Effect.succeed("nobody cared"),
      // what the outside reported, or sent and the schema did not accept
      CallbackFailed: ({ message }) => Effect.succeed(`it went wrong: ${message}`),
      // nobody could even be asked
      CallbackSubmitFailed: ({ message }) => Effect.succeed(`nobody was asked: ${message}`)
    })
  )
