// @effect-diagnostics globalErrorInEffectFailure:off
/**
 * This library as a system of ../shared/bench: the programs that every system runs, written as a user would.
 * What each must do: .bench/adapters/official.shared.mjs.
 */
import {
  CheckpointService,
  Durable,
  DurableExecutionClient,
  DurableFunction,
  DurableHandler
} from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

interface Hooks {
  readonly firstNew: () => void
  readonly probe: () => void
  attempts: number
}

interface System {
  readonly client: DurableExecutionClient.Calls
  readonly hooks: Hooks
}

const io = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

export const createHandlers = ({ client, hooks }: System) => {
  const wrap = <A, E>(program: (input: any) => Effect.Effect<A, E, Durable.Requires>) =>
    DurableHandler.make(
      DurableFunction.make("bench", { payload: Schema.Any, success: Schema.Any, error: Schema.Any }),
      program,
      {
        // one workload has 5,000 operations: more than the service allows
        checkpoints: CheckpointService.layerWith({ limits: { operations: Infinity } }),
        client: Layer.succeed(DurableExecutionClient.DurableExecutionClient, DurableExecutionClient.fromCalls(client))
      }
    )

  const after = Durable.step(
    "after",
    Effect.sync(() => {
      hooks.firstNew()
      return 1
    })
  )
  const one = Durable.step("s", Effect.succeed(1))
  const nested: (depth: number) => Effect.Effect<number, any, Durable.Requires> = Effect.fnUntraced(function* (depth) {
    const r = yield* one
    return depth === 1 ? r : r + (yield* Durable.childContext("n", nested(depth - 1)))
  })
  const item = (i: number) => Effect.succeed({ i, ok: true })

  return {
    oneStep: wrap(() => Durable.step("one", Effect.succeed({ ok: true }))),
    seqSteps: wrap((input: { n: number; io?: boolean }) =>
      Effect.gen(function* () {
        let k = 0
        for (let i = 0; i < input.n; i++) {
          const r = yield* Durable.step("s", input.io ? Effect.andThen(io, item(i)) : item(i))
          if (r.ok) k++
        }
        return k
      })
    ),
    replaySteps: wrap((input: { n: number }) =>
      Effect.gen(function* () {
        let k = 0
        for (let i = 0; i < input.n; i++) if ((yield* Durable.step("s", item(i))).ok) k++
        yield* Durable.wait("w", "1 hour")
        yield* after
        return k
      })
    ),
    mapItems: wrap((input: { n: number; io?: boolean; concurrency?: number }) =>
      Effect.gen(function* () {
        const items = Array.from({ length: input.n }, (_, i) => i)
        const body = (i: number) =>
          Durable.step("s", input.io ? Effect.andThen(io, Effect.succeed(i)) : Effect.succeed(i))
        const values = yield* Durable.map("m", items, body, { concurrency: input.concurrency || "unbounded" })
        hooks.probe()
        return values.reduce((a, b) => a + b, 0)
      })
    ),
    parallelSWS: wrap((input: { n: number; stagger?: boolean }) =>
      Effect.gen(function* () {
        const branch = Effect.fnUntraced(function* (i: number) {
          const a = yield* Durable.step("a", Effect.succeed(1))
          yield* Durable.wait("w", `${3600 + (input.stagger ? i * 10 : 0)} seconds`)
          const b = yield* Durable.step("b", Effect.succeed(1))
          return a * b
        })
        const values = yield* Durable.parallel(
          "p",
          Array.from({ length: input.n }, (_, i) => branch(i))
        )
        return values.reduce((a, b) => a + b, 0)
      })
    ),
    bigMap: wrap((input: { n: number; size: number; wait?: boolean }) =>
      Effect.gen(function* () {
        const items = Array.from({ length: input.n }, (_, i) => i)
        const texts = yield* Durable.map("m", items, () =>
          Durable.step(
            "s",
            Effect.sync(() => "x".repeat(input.size))
          )
        )
        if (input.wait) {
          yield* Durable.wait("w", "1 hour")
          yield* after
        }
        hooks.probe()
        return texts.reduce((total, text) => total + text.length, 0)
      })
    ),
    nested: wrap((input: { depth: number }) => nested(input.depth)),
    bigSteps: wrap((input: { n: number; size: number; wait?: boolean }) =>
      Effect.gen(function* () {
        let total = 0
        for (let i = 0; i < input.n; i++) {
          total += (yield* Durable.step(
            "s",
            Effect.sync(() => "x".repeat(input.size))
          )).length
        }
        if (input.wait) {
          yield* Durable.wait("w", "1 hour")
          yield* after
        }
        hooks.probe()
        return total
      })
    ),
    bigResult: wrap((input: { size: number }) =>
      Effect.gen(function* () {
        yield* one
        hooks.probe()
        return "x".repeat(input.size)
      })
    ),
    retry: wrap((input: { fails: number }) =>
      Durable.step(
        "r",
        Effect.suspend(() => {
          hooks.attempts = (hooks.attempts ?? 0) + 1
          return hooks.attempts <= input.fails ? Effect.fail(new Error("boom")) : Effect.succeed(hooks.attempts)
        }),
        { retry: Schedule.spaced("1 hour").pipe(Schedule.upTo({ times: input.fails })) }
      )
    ),
    logs: wrap((input: { steps: number; lines: number }) =>
      Effect.gen(function* () {
        let k = 0
        for (let i = 0; i < input.steps; i++) {
          k += yield* one
          for (let j = 0; j < input.lines; j++) yield* Effect.logInfo("processed item", { i, j, state: "done" })
        }
        yield* Durable.wait("w", "1 hour")
        yield* after
        return k
      })
    )
  }
}
