/**
 * Shows: the ways to wait. In the body every one of them is a durable wait: the process ends, the service remembers.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, DateTime, Effect, Option, Schema } from "effect"

export class Survey extends Context.Service<Survey, { readonly answer: Effect.Effect<string> }>()("examples/Survey") {}

export const Ask = DurableFunction.make("ask", { payload: Schema.String, success: Schema.String })

export const ask = Effect.fnUntraced(function* (who: string) {
  yield* Durable.wait("settle-in", "2 days")
  yield* Effect.sleep("1 hour") // the same operation, under the name "sleep"

  const now = yield* DateTime.now // the workflow's clock: the same in every replay
  const monday = DateTime.add(DateTime.startOf(now, "week", { weekStartsOn: 1 }), { weeks: 1, hours: 9 })
  yield* Durable.waitUntil("monday-at-nine", monday)

  // a durable timer against a step: the step is interrupted when the timer is first
  const answer = yield* Durable.step(
    "answer",
    Survey.use((survey) => survey.answer)
  ).pipe(Effect.timeoutOption("10 minutes"))
  return Option.match(answer, { onNone: () => `${who} is busy`, onSome: (text) => `${who}: ${text}` })
})
