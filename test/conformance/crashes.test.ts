/**
 * Every handler of AWS's requirements, crashed wherever it can crash. What the handlers are made of is taken from
 * `DurableHandler.make`, so that they run on the test kit with virtual time.
 */
import { assert, describe, it } from "@effect/vitest"
import type { DurableFunction, DurableHandler } from "effect-durable-lambda"
import { type CrashTest, crashEverywhere, TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { vi } from "vitest"

interface Made {
  readonly definition: DurableFunction.Any
  readonly body: DurableHandler.AnyBody<unknown>
  readonly options: DurableHandler.Options<unknown, unknown>
}

const { made } = vi.hoisted(() => ({ made: new Map<unknown, unknown>() }))

vi.mock("effect-durable-lambda", async (load) => {
  const original = await load<typeof import("effect-durable-lambda")>()
  const make = (...[definition, body, options = {}]: Parameters<typeof original.DurableHandler.make>) => {
    const handler = original.DurableHandler.make(definition, body, options)
    made.set(handler, { definition, body, options })
    return handler
  }
  return { ...original, DurableHandler: { ...original.DurableHandler, make } }
})

const suites = await Promise.all(
  (
    [
      "step",
      "wait",
      "child",
      "callback",
      "waitForCallback",
      "invoke",
      "waitForCondition",
      "map",
      "parallel",
      "plugin"
    ] as const
  ).map(
    async (suite) =>
      [suite, (await import(`./handlers/${suite}.ts`)).handlers as Readonly<Record<string, Target>>] as const
  )
)

type Handler = (event: never, context: never) => Promise<unknown>
type Target =
  | Handler
  | {
      readonly handler: Handler
      readonly functions?: Readonly<
        Record<string, { readonly durable?: Handler; readonly plain?: (event: unknown) => unknown }>
      >
    }

/** They end their own process, which here is that of the tests. */
const KILL_THEMSELVES: ReadonlySet<string> = new Set(["1-17", "1-18", "3-12", "10-9"])

/** They are wrong, to show that this is refused. */
const WRONG: ReadonlySet<string> = new Set(["8-19"])

const inputs: Readonly<Record<string, unknown>> = {
  "1-4": { name: "Alice", tags: ["admin"] },
  "3-2": { name: "child", value: "x" },
  "4-17": ["a", "b"],
  "4-18": ["a", "b"],
  "4-19": ["a", "b"],
  "5-2": { name: "call", payload: "hello" },
  "5-8": { tenantId: "tenant", payload: "hello" },
  "6-1": 3,
  "6-2": 5,
  "6-3": 3,
  "6-4": 8,
  "6-5": 3,
  "6-12": 2,
  "9-1": ["World", "Kiro"],
  "9-2": [1, 2],
  "9-4": [],
  "9-13": [1, 2]
}

/** What the outside answers, where it is not `"yes"`. */
const answers: Readonly<Record<string, string>> = {
  "4-15": '{"approved":true,"by":"Ada"}',
  "4-16": "7"
}

const inputOf = (id: string, { payload }: DurableFunction.Any): unknown =>
  id in inputs ? inputs[id] : Schema.is(payload)("approval") && !Schema.is(payload)(null) ? "approval" : null

const setupOf = (id: string, target: Target) =>
  Effect.gen(function* () {
    const answer = Effect.succeed(answers[id] ?? '"yes"')
    for (const name of ["approval", "a", "b"]) yield* TestRunner.onCallback(name, answer)
    for (const [name, { durable, plain }] of Object.entries(
      typeof target === "function" ? {} : (target.functions ?? {})
    )) {
      if (durable !== undefined) {
        // by its definition: the handlers in this table take their time to start
        const called = [...made.values()].find((one) => `${(one as Made).definition.name}:$LATEST` === name) as Made
        const registered = TestRunner.register(name, called.definition, called.body as never)
        yield* registered as Effect.Effect<void, never, TestRunner.TestRunner>
      } else if (plain !== undefined) {
        const anything = { payload: Schema.Unknown, success: Schema.Unknown }
        yield* TestRunner.onInvoke(name, anything, (payload) => Effect.promise(() => Promise.resolve(plain(payload))))
      }
    }
  })

for (const [suite, handlers] of suites) {
  describe(`${suite} handlers survive a crash anywhere`, () => {
    for (const [id, target] of Object.entries(handlers)) {
      const handler = typeof target === "function" ? target : target.handler
      if (KILL_THEMSELVES.has(id)) continue
      it.effect(id, () => {
        const { body, definition, options } = made.get(handler) as Made
        const { checkpoints: _, client: __, ...rest } = options
        const survives = Effect.map(
          crashEverywhere(definition, body as never, inputOf(id, definition), {
            ...rest,
            layer: (options.layer ?? Layer.empty) as Layer.Layer<never>,
            setup: setupOf(id, target)
          } as CrashTest.Options) as Effect.Effect<CrashTest.Report, CrashTest.CrashDivergence>,
          ({ boundaries, crashes }) => {
            assert.isAbove(boundaries, 0)
            assert.strictEqual(crashes, boundaries)
          }
        )
        return WRONG.has(id)
          ? Effect.map(Effect.flip(survives), ({ message }) =>
              assert.include(message, "ends with a fault in every run")
            )
          : survives
      })
    }
  })
}
