/**
 * Shows: the same work for every item of a list, as one operation: so many at a time, some failures tolerated, and a
 * record that tells what became of each.
 */
import { BatchResult, Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class Broken extends Schema.TaggedError<Broken>()("Broken", { image: Schema.String }) {}

export class Images extends Context.Service<
  Images,
  { readonly resize: (image: string) => Effect.Effect<string, Broken> }
>()("examples/Images") {}

export const Gallery = DurableFunction.make("gallery", {
  payload: Schema.Array(Schema.String),
  success: Schema.Struct({ thumbnails: Schema.Array(Schema.String), broken: Schema.Array(Schema.String) })
})

const thumbnail = (image: string) =>
  Durable.step(
    "resize",
    Images.use((images) => images.resize(image)),
    { error: Broken, retry: Durable.noRetry }
  )

export const gallery = Effect.fnUntraced(function* (images: ReadonlyArray<string>) {
  const result = yield* Durable.map("thumbnails", images, thumbnail, {
    concurrency: 5,
    mode: "result",
    completion: { toleratedFailurePercentage: 50 },
    error: Broken,
    itemName: (image) => `thumbnail of ${image}`
  })
  // more than half of them are broken: nothing to show
  const thumbnails =
    result.completionReason === "ALL_COMPLETED"
      ? result.successes
      : yield* Effect.orElseSucceed(BatchResult.orFail(result), () => [])
  return { thumbnails, broken: result.failures.map(({ image }) => image) }
})
