/**
 * What is on the time of a function, and what is not; and what new code means to those that have failed.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import type * as Server from "../../src/dev/Server.ts"
import type * as Engine from "../../src/engine/Engine.ts"
import { errors } from "../engine/kit.ts"
import * as kit from "./kit.ts"
import * as runtime from "./runtime.kit.ts"

type Test = Effect.Effect<unknown, unknown, Engine.Engine | Server.Server | Scope.Scope>
const live = (name: string, test: () => Test, engine: Engine.Options = {}) =>
  it.live(name, () => Effect.provide(Effect.scoped(test()), kit.layer(engine)))

describe("Functions: their time", () => {
  live("loading its code is not on a plain function's, either", () =>
    Effect.gen(function* () {
      const { call } = yield* runtime.serve([{ file: runtime.fixture("slow.mjs"), durable: false, timeoutSeconds: 3 }])
      assert.deepStrictEqual(yield* call("slow"), { Status: "SUCCEEDED", Result: "true" })
    })
  )

  live("nor is waiting for a process to be free", () =>
    Effect.gen(function* () {
      const naps = { file: `${runtime.fixture("plain.mjs")}#naps`, timeoutSeconds: 3, retries: 0, concurrency: 1 }
      const { call, engine, run } = yield* runtime.serve([naps, { ...naps, name: "plain-naps", durable: false }])
      const four = [1, 2, 3, 4]
      const durable = Effect.forEach(four, () => run("naps", 1_000), { concurrency: "unbounded" })
      const plain = Effect.forEach(four, () => call("plain-naps", 1_000), { concurrency: "unbounded" })
      const [ends, answers] = yield* Effect.all([durable, plain], { concurrency: 2 })
      for (const end of ends) {
        assert.deepStrictEqual([end.Status, end.Error], ["SUCCEEDED", undefined])
        assert.deepStrictEqual(errors(yield* engine.history(end.DurableExecutionArn)), [])
      }
      assert.lengthOf(answers, 4)
    })
  )
})

describe("Functions: new code", () => {
  live(
    "is tried at once by executions that wait for their next try",
    () =>
      Effect.gen(function* () {
        const file = path.join(yield* runtime.folder, "mended.mjs")
        const mended = 'export const handler = async () => ({ Status: "SUCCEEDED", Result: "1" })'
        fs.writeFileSync(file, mended)
        const { engine, events } = yield* runtime.serve([{ file }])
        fs.writeFileSync(file, "export const handler = (")
        yield* events.event("CodeChanged", ({ version }) => version === 2)
        const arn = yield* engine.start({ functionName: "mended:$LATEST" })
        while (errors(yield* engine.history(arn)).length === 0) yield* Effect.sleep("5 millis")
        fs.writeFileSync(file, mended)
        assert.strictEqual((yield* engine.await(arn)).Result, "1")
        assert.lengthOf(errors(yield* engine.history(arn)), 1)
      }),
    // never again by itself, as far as this test is concerned
    { retry: { immediate: 0, initialSeconds: 1_000_000, maxSeconds: 1_000_000 } }
  )

  live("is no matter of what a plain function is called with, whatever that looks like", () =>
    Effect.gen(function* () {
      const { call, events } = yield* runtime.servePlain(["echo"])
      const payload = { DurableExecutionArn: "arn:of:another", InitialExecutionState: { Operations: [1, 2] } }
      assert.deepInclude(yield* call("echo", payload), { event: payload })
      assert.lengthOf(events.all("Warning"), 0)
    })
  )
})
