/**
 * Programs that say what they do at places of their body, beside what still waits: each place is passed once, however
 * often it is replayed.
 */
import { Durable } from "effect-durable-lambda"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as kit from "./operations/kit.ts"

const all = (...branches: ReadonlyArray<kit.Body>) => Effect.all(branches, { concurrency: "unbounded" })

/** The programs, with what they say in order, and how they say it. */
export const places = (
  say: (text: string) => Effect.Effect<void>
): ReadonlyArray<readonly [name: string, body: kit.Body, said: ReadonlyArray<string>]> => [
  [
    "lines before waits of different length",
    all(Effect.andThen(say("a"), Durable.wait("w1", "1 day")), Effect.andThen(say("b"), Durable.wait("w2", "2 days"))),
    ["a", "b"]
  ],
  [
    "lines behind the operations that are asked for at once",
    all(Durable.wait("w1", "1 day"), Durable.wait("w2", "2 days"), say("third branch")),
    ["third branch"]
  ],
  [
    "a branch that has ended while another waits",
    all(
      Effect.andThen(Durable.wait("w1", "1 day"), say("after one day")),
      Effect.andThen(Durable.wait("w2", "2 days"), say("after two days")),
      Effect.andThen(Durable.wait("w3", "3 days"), say("after three days"))
    ),
    ["after one day", "after two days", "after three days"]
  ],
  [
    "a step that has ended while another branch waits",
    all(
      Effect.andThen(Durable.step("s", Effect.void), say("after the step")),
      Durable.wait("w1", "1 day"),
      Durable.wait("w2", "2 days")
    ),
    ["after the step"]
  ],
  [
    "contexts: one that waits behind its last line, one that begins late, one without operations on record",
    all(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Durable.wait("long", "3 days"))
        yield* say("in c")
        yield* Fiber.join(fiber)
        yield* say("c ends")
      }).pipe(Durable.childContext("c")),
      Effect.gen(function* () {
        yield* Durable.wait("w1", "1 day")
        yield* Effect.gen(function* () {
          yield* say("in d")
          yield* Durable.wait("inside", "1 day")
          yield* say("d ends")
        }).pipe(Durable.childContext("d"))
        yield* say("after d")
      })
    ),
    ["in c", "in d", "d ends", "after d", "c ends"]
  ],
  [
    "a new context that begins while other contexts are replayed",
    all(
      Effect.gen(function* () {
        yield* Durable.wait("w2", "2 days")
        yield* say("late").pipe(Durable.childContext("inner"))
      }).pipe(Durable.childContext("first")),
      Effect.gen(function* () {
        yield* Durable.wait("w1", "1 day")
        yield* say("early")
        yield* Durable.wait("w3", "2 days")
      }).pipe(Durable.childContext("second"))
    ),
    ["early", "late"]
  ],
  [
    "what is awaited again behind what is new",
    Effect.gen(function* () {
      const callback = yield* Durable.callback("cb", { timeout: "1 day" })
      const answer = Effect.exit(callback.await)
      yield* answer
      yield* say("timed out")
      yield* Durable.wait("w", "1 day")
      yield* answer
      yield* say("again")
      yield* Durable.wait("v", "1 day")
    }),
    ["timed out", "again"]
  ],
  [
    "a branch that another one wakes",
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* all(
        Effect.andThen(Durable.wait("w1", "1 day"), say("first")),
        Effect.andThen(Effect.andThen(Deferred.await(gate), say("woken")), Durable.wait("w3", "1 day")),
        Effect.andThen(Durable.wait("w2", "2 days"), Deferred.succeed(gate, undefined))
      )
    }),
    ["first", "woken"]
  ],
  [
    "items of a batch without contexts, one after the other",
    Durable.map(
      "items",
      [1, 2, 3, 4],
      (n) =>
        Effect.gen(function* () {
          yield* say(`begin ${n}`)
          yield* Durable.wait("w", `${n} days`)
          yield* say(`end ${n}`)
        }),
      { concurrency: 2, nesting: "flat" }
    ),
    ["begin 1", "begin 2", "end 1", "begin 3", "end 2", "begin 4", "end 3", "end 4"]
  ]
]
