import { assert, describe, it } from "@effect/vitest"
import { Durable, DurablePlugin } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { javascript, observability, options, python } from "./known.ts"
import * as kit from "./operations/kit.ts"

describe("what AWS's SDKs have and lack", () => {
  const sources = new Map<string, string>()
  const sourceOf = (file: string): string => {
    const known = sources.get(file) ?? fs.readFileSync(path.join(import.meta.dirname, file), "utf8")
    sources.set(file, known)
    return known
  }
  const tables = {
    "appendix B": Object.entries(observability),
    "appendix C": Object.entries(options),
    "user pains, JavaScript": javascript,
    "user pains, Python": python
  }
  for (const [table, rows] of Object.entries(tables)) {
    it(`${table}: each line has a test, or a reason`, () => {
      for (const [line, settled] of rows) {
        if (settled.startsWith("No: ")) {
          assert.isAbove(settled.length, 20, line)
          continue
        }
        const [file = "", title = ""] = settled.split(" > ")
        assert.isAbove(title.length, 10, line)
        assert.include(sourceOf(file), title, `${line}: there is no such test in test/${file}`)
      }
    })
  }

  it("the pains are all there, in order", () => {
    const numbers = (rows: typeof javascript) => rows.map(([pain]) => Number.parseInt(pain, 10))
    assert.deepStrictEqual(
      numbers(javascript),
      [...Array(31).keys()].map((n) => n + 1)
    )
    assert.deepStrictEqual(
      numbers(python),
      [...Array(14).keys()].map((n) => n + 1)
    )
  })
})

describe("retry strategies", () => {
  const guide = fs.readFileSync(path.join(import.meta.dirname, "../docs/migration.md"), "utf8")

  it.effect("AWS's presets as schedules, as the guide has them", () =>
    Effect.gen(function* () {
      const linear = Schedule.recurs(5).pipe(
        Schedule.modifyDelay(({ attempt }) => Effect.succeed(Duration.seconds(attempt)))
      )
      const fixed = Schedule.spaced("5 seconds").pipe(Schedule.upTo({ times: 4 }))
      const delaysOf = (retry: Schedule.Schedule<unknown, unknown>) =>
        Effect.gen(function* () {
          const execution = yield* kit.start(Durable.step("s", Effect.fail("no"), { retry }))
          yield* Effect.exit(execution.result)
          return (yield* kit.attemptsOf(execution, "s")).delays
        })
      assert.deepStrictEqual(yield* delaysOf(linear), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(yield* delaysOf(fixed), [5, 5, 5, 5])
      assert.include(guide, "Schedule.modifyDelay(({ attempt }) => Effect.succeed(Duration.seconds(attempt)))")
      assert.include(guide, 'Schedule.spaced("5 seconds").pipe(Schedule.upTo({ times: 4 }))')
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

describe("pains that no other test settles", () => {
  it.effect("a retry that becomes due while a hook still runs is not lost", () =>
    Effect.gen(function* () {
      const hook = Promise.withResolvers<void>()
      const second = Promise.withResolvers<void>()
      const flaky = Durable.step(
        "flaky",
        Effect.flatMap(Durable.CurrentStep, ({ attempt }) =>
          attempt === 1 ? Effect.fail("no") : Effect.sync(() => second.resolve())
        ),
        { retry: Schedule.spaced("1 second") }
      )
      const busy = Durable.step(
        "busy",
        Effect.promise(() => second.promise)
      )
      const execution = yield* kit.start(Effect.all([flaky, busy], { concurrency: 2 }), {
        plugins: [
          DurablePlugin.make({
            timeout: "1 hour",
            onAttemptEnd: ({ attempt }) => (attempt === 1 ? Effect.promise(() => hook.promise) : Effect.void)
          })
        ]
      })
      for (const _ of [1, 2, 3]) yield* TestRunner.advance("1 second")
      hook.resolve()
      yield* execution.result
      assert.strictEqual(yield* execution.invocations, 1)
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("a change costs what changed, not what is on record", () =>
    Effect.gen(function* () {
      const sizes: Array<number> = []
      let shown = 0
      const plugin = DurablePlugin.make({
        onOperationChange: ({ operations, updatedOperations }) =>
          Effect.sync(() => {
            sizes.push(operations.size)
            for (const _ of updatedOperations) shown++
          })
      })
      const steps = Effect.forEach([...Array(200).keys()], (n) => Durable.step(`s${n}`, Effect.succeed(n)))
      yield* kit.run(steps, { plugins: [plugin] })
      assert.strictEqual(sizes.at(-1), 200)
      assert.strictEqual(shown, 200)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it("an invocation leaves no timer behind", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--conditions=@effect-durable-lambda/source",
      path.join(import.meta.dirname, "fixtures/timers.ts")
    ])
    assert.deepStrictEqual(JSON.parse(stdout), { answers: ["PENDING", "SUCCEEDED"], timers: 0 })
  })

  it.effect("a wait that ends while a step runs goes on at once, and is not begun again", () =>
    Effect.gen(function* () {
      const gate = Promise.withResolvers<void>()
      const open = Effect.sync(() => gate.resolve())
      const body = Effect.all(
        [
          Effect.andThen(Durable.wait("w", "1 second"), Durable.step("after", open)),
          Durable.step(
            "busy",
            Effect.promise(() => gate.promise)
          )
        ],
        { concurrency: 2, discard: true }
      )
      const execution = yield* kit.start(body)
      for (const _ of [1, 2, 3]) yield* TestRunner.advance("1 second")
      yield* execution.result
      assert.strictEqual(yield* execution.invocations, 1)
      const waits = (yield* execution.timeline).split("\n").filter((line) => line.startsWith("WaitStarted"))
      assert.strictEqual(waits.length, 1)
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )
})
