/**
 * A step that is stuck, in a function with a timeout: processes are killed at it, as Lambda's sandboxes are.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Timers from "../../src/engine/Timers.ts"
import { errors } from "../engine/kit.ts"
import * as kit from "./kit.ts"
import * as runtime from "./runtime.kit.ts"

const TIMEOUT_SECONDS = 1

/** Timers that do not fire by themselves when they are set for later than this, in milliseconds. */
const LATER = 600_000
const EXECUTION_SECONDS = (2 * LATER) / 1000 / kit.second

/** A scaled clock that is moved on, past the end of the execution, when the test says so: however long kills take. */
const movable = () => {
  const late: Array<Effect.Effect<void>> = []
  let ahead = 0
  const layer = Layer.effect(
    Timers.Timers,
    Effect.map(Timers.Timers, (timers) => {
      const now = () => timers.now() + ahead
      return Timers.Timers.of({
        ...timers,
        now,
        schedule: (at, action) => {
          if (at - now() < LATER) return timers.schedule(at - ahead, action)
          late.push(action)
          return () => {}
        }
      })
    })
  ).pipe(Layer.provide(Timers.layerScaled({ timeScale: kit.second })))
  const move = Effect.suspend(() => {
    ahead = 10 * LATER
    return Effect.all(late, { concurrency: "unbounded" })
  })
  return { layer, move }
}

const print = (who: string, runs: number, kills: number, failed: number) =>
  console.log(`${who}: ${runs} runs, ${kills} kills, ${failed} failed attempts on record`)

/** Runs it to its end; `enough`: until the execution's time is over. */
const run = (name: string, enough: (recorder: runtime.Recorder) => Effect.Effect<unknown> = () => Effect.never) => {
  const timers = movable()
  return Effect.gen(function* () {
    const { engine, events, run } = yield* runtime.serve([
      {
        file: `${runtime.fixture("stuck.mjs")}#${name}`,
        env: runtime.env,
        timeoutSeconds: TIMEOUT_SECONDS,
        executionTimeoutSeconds: EXECUTION_SECONDS
      }
    ])
    yield* Effect.forkScoped(Effect.andThen(enough(events), timers.move))
    const end = yield* run(name)
    const history = yield* engine.history(end.DurableExecutionArn)
    const steps = (yield* engine.operations(end.DurableExecutionArn)).filter(({ Name }) => Name === "stuck")
    return {
      end,
      began: events.lines().filter((line) => line.startsWith("attempt")),
      aborted: events.lines().filter((line) => line === "aborted").length,
      killed: errors(history),
      recorded: history.flatMap(({ StepFailedDetails }) => StepFailedDetails?.Error.Payload?.ErrorType ?? []),
      step: steps[0]
    }
  }).pipe(Effect.scoped, Effect.provide(kit.layer({ retry: { retries: 1_000 } }, {}, timers.layer)))
}

describe("a step that is stuck, in a function of one second", () => {
  it.live("with AWS's SDK: killed, and begun again as attempt 1, until the execution times out", () =>
    Effect.gen(function* () {
      const { began, end, killed, recorded, step } = yield* run("aws", (events) =>
        events.event("Invoked", () => events.all("Invoked").length === 4)
      )
      assert.strictEqual(end.Status, "TIMED_OUT")
      assert.isAtLeast(began.length, 3)
      assert.deepStrictEqual(new Set(began), new Set(["attempt 1"]))
      assert.isAtLeast(killed.length, 3)
      assert.deepStrictEqual(new Set(killed), new Set(["Sandbox.Timedout"]))
      assert.deepStrictEqual(recorded, [])
      assert.deepInclude(step, { Status: "STARTED" })
      print("AWS's SDK", began.length, killed.length, recorded.length)
    })
  )

  it.live(
    "with this library: three attempts, no kill, and a failure with a name",
    () =>
      Effect.gen(function* () {
        const { aborted, began, end, killed, recorded, step } = yield* run("ours")
        assert.strictEqual(end.Status, "FAILED")
        assert.strictEqual(end.Error?.ErrorType, "DeadlineExceeded")
        assert.match(
          end.Error?.ErrorMessage ?? "",
          /^Step "stuck" \([\w-]+\): attempt 3 had run for \d+ ms when Lambda's deadline came near\. Give the step a `timeout`/
        )
        assert.deepStrictEqual(began, ["attempt 1", "attempt 2", "attempt 3"])
        assert.strictEqual(aborted, 3)
        assert.deepStrictEqual(killed, [])
        assert.deepStrictEqual(recorded, ["DeadlineExceeded", "DeadlineExceeded", "DeadlineExceeded"])
        assert.deepInclude(step?.StepDetails, { Attempt: 3 })
        print("this library", began.length, killed.length, recorded.length)
      }),
    { retry: 3 } // a deadline is one: where a process stands still for half a second it is killed
  )
})
