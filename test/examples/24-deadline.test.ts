import { it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import { Press, Publish, publish } from "../../examples/24-deadline.ts"

const preview = () => Effect.as(Effect.sleep("1 hour"), "a preview")
const press = Press.of({ preview, publish: (article, preview) => Effect.succeed(`${article} with ${preview}`) })

it.effect("24-deadline: a step that is stuck uses up its retries", () =>
  Effect.gen(function* () {
    const execution = yield* TestRunner.start(Publish, publish, "news", { functionTimeout: "1 minute" })
    yield* execution.expect({ result: "news with no preview", attempts: { preview: 3, publish: 1 } })
  }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Press, press))
)
