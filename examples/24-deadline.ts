/**
 * Shows: a step that does not come back. Shortly before the function's timeout its attempt is cut off and counts; when its
 * retries are used up the workflow goes on without it.
 */
import { Durable, DurableError, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class Press extends Context.Service<
  Press,
  {
    /** Takes its time, and sometimes for ever. It is interrupted, and so is a promise by its `AbortSignal`. */
    readonly preview: (article: string) => Effect.Effect<string>
    readonly publish: (article: string, preview: string) => Effect.Effect<string>
  }
>()("examples/Press") {}

export const Publish = DurableFunction.make("publish", { payload: Schema.String, success: Schema.String })

export const publish = Effect.fnUntraced(function* (article: string) {
  const preview = yield* Durable.step(
    "preview",
    Press.use((press) => press.preview(article)),
    { retry: { times: 2 } }
  ).pipe(
    // it can happen to every step, so it is a defect, and no step's type says it
    Effect.catchDefect((defect) =>
      defect instanceof DurableError.DeadlineExceeded ? Effect.succeed("no preview") : Effect.die(defect)
    )
  )
  return yield* Durable.step(
    "publish",
    Press.use((press) => press.publish(article, preview))
  )
})
