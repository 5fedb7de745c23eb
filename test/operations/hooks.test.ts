import { assert, describe, it } from "@effect/vitest"
import { Durable, DurablePlugin } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as kit from "./kit.ts"
import * as outside from "./outside.kit.ts"

/** What a plugin sees of operations and attempts, in words. */
const watch = (seen: Array<string>) => {
  const see = (text: string) => Effect.sync(() => void seen.push(text))
  return DurablePlugin.make({
    onOperationStart: (info) => see(`${info.subType} ${info.name} starts${info.isReplay ? ", replayed" : ""}`),
    onOperationEnd: (info) =>
      see(`${info.subType} ${info.name} ${info.status} ${info.error?.ErrorMessage ?? info.result ?? ""}`),
    onAttemptStart: (info) => see(`${info.name} attempt ${info.attempt}`),
    onAttemptEnd: (info) => see(`${info.name} attempt ${info.attempt} ${info.outcome}`)
  })
}

describe("what plugins see of operations that others complete", () => {
  it.effect("a condition: an attempt per check, also where its START goes out with its outcome", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const condition = Durable.waitForCondition("poll", (n) => Effect.succeed(n + 1), {
        initial: 0,
        state: Schema.Number,
        until: (n) => n === 2,
        schedule: Schedule.spaced("1 second")
      })
      yield* kit.run(condition, { plugins: [watch(seen)] })
      assert.deepStrictEqual(seen, [
        "WaitForCondition poll starts",
        "poll attempt 1",
        "poll attempt 1 SUCCEEDED",
        "WaitForCondition poll starts, replayed",
        "poll attempt 2",
        "poll attempt 2 SUCCEEDED",
        "WaitForCondition poll SUCCEEDED 2"
      ])
    }).pipe(Effect.provide(outside.layerSkipping))
  )

  it.effect("an invoke and a callback: one start, one end, whoever brought it about", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      yield* outside.deployPlain("echo", (payload) => payload)
      const body = Effect.gen(function* () {
        yield* Durable.invoke("call", { payload: Schema.Number }, 5, { functionName: "echo" })
        yield* Durable.waitForCallback("ask", () => Effect.void)
      })
      const execution = yield* kit.start(body, { plugins: [watch(seen)] })
      yield* outside.until(execution, "ask", "STEP", "SUCCEEDED")
      yield* outside.fail(execution, "ask", { ErrorType: "Rejected", ErrorMessage: "no" })
      yield* Effect.flip(execution.result)
      const started = seen.filter((line) => line.endsWith("starts"))
      assert.deepStrictEqual(started, [
        "ChainedInvoke call starts",
        "WaitForCallback ask starts",
        "Callback ask starts",
        "Step ask starts"
      ])
      const ended = seen.filter((line) => / (SUCCEEDED|FAILED) /.test(line))
      assert.deepStrictEqual(
        ended.map((line) => line.trimEnd()),
        [
          "ChainedInvoke call SUCCEEDED 5",
          "Step ask SUCCEEDED",
          "Callback ask FAILED no",
          "WaitForCallback ask FAILED no"
        ]
      )
    }).pipe(Effect.provide(outside.layerSkipping))
  )
})
