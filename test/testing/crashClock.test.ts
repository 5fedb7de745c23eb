/** What a workflow reads of its clock is the same whether its answers were looked for or came with an invocation. */
import { describe, it } from "@effect/vitest"
import { Durable, DurableFunction } from "effect-durable-lambda"
import { crashEverywhere, TestRunner } from "effect-durable-lambda/testing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as kit from "../operations/kit.ts"

const Ocr = DurableFunction.make("ocr", { payload: Schema.String })
const setup = Effect.andThen(
  TestRunner.onCallback("cb", Effect.void),
  TestRunner.onInvoke("ocr:live", Ocr, () => Effect.void)
)
const callback = Effect.flatMap(Durable.callback("cb"), ({ await: come }) => come)
const bodies: Readonly<Record<string, kit.Body>> = {
  "a callback that a submitter has handed out": Effect.andThen(
    Durable.waitForCallback("cb", () => Effect.void),
    Durable.step("tail", Effect.void)
  ),
  "a callback": callback,
  "one callback after the other": Effect.andThen(callback, callback),
  "an invoked function": Durable.invoke("i", Ocr, "x", { functionName: "ocr:live" })
}

describe("crashEverywhere: answers that come at once", () => {
  for (const [what, body] of Object.entries(bodies)) {
    it.effect(what, () =>
      crashEverywhere(kit.Anything, () => Effect.andThen(body, Clock.currentTimeMillis), null, { setup })
    )
  }
})
