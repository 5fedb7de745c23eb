/**
 * Ordinary scopes and finalizers around and inside of durable operations: what they close, and when.
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import { crashEverywhere, TestRunner } from "effect-durable-lambda/testing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

const { layerMemory } = TestRunner

/** A resource whose release takes time of its own. */
const resource = (log: Array<string>, name: string, release: Effect.Effect<unknown> = Effect.void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      log.push(`open ${name}`)
      return name
    }),
    () =>
      Effect.andThen(
        release,
        Effect.sync(() => void log.push(`close ${name}`))
      )
  )

/** Ways in which a release takes time without a durable operation. */
const slowly: ReadonlyArray<readonly [string, Effect.Effect<unknown>]> = [
  ["a promise", Effect.promise(() => FakeService.later(2, undefined))],
  ["a sleep", Effect.sleep("2 millis")],
  [
    "a timeout",
    Effect.ignore(
      Effect.timeout(
        Effect.promise(() => FakeService.later(2, undefined)),
        "1 second"
      )
    )
  ],
  ["a schedule", Effect.repeat(Effect.void, Schedule.spaced("1 millis").pipe(Schedule.upTo({ times: 2 })))]
]

describe("scopes of contexts", () => {
  const contexts = (log: Array<string>, release?: Effect.Effect<unknown>) => {
    const body = (name: string) => Effect.asVoid(resource(log, name, release))
    return {
      childContext: Durable.childContext("c", body("c")),
      virtual: Durable.childContext("v", body("v"), { virtual: true }),
      map: Durable.map("m", [1, 2], (n) => body(`m${n}`)),
      flat: Durable.map("m", [1, 2], (n) => body(`m${n}`), { nesting: "flat" }),
      parallel: Durable.parallel("p", { a: body("a") }),
      scoped: Effect.scoped(Durable.childContext("c", body("c")))
    } as const
  }

  it.effect("what a context acquires is released when it ends, whether it runs or is replayed", () =>
    Effect.gen(function* () {
      for (const name of Object.keys(contexts([])) as ReadonlyArray<keyof ReturnType<typeof contexts>>) {
        const seen: Array<string> = []
        const body = Effect.gen(function* () {
          yield* contexts(seen)[name]
          yield* Effect.sync(() => seen.push("after"))
          yield* Durable.wait("w", "1 hour")
          return "ok"
        })
        assert.strictEqual(yield* kit.run(body), "ok")
        const opened = seen.filter((line) => line.startsWith("open")).length
        assert.strictEqual(seen.filter((line) => line.startsWith("close")).length, opened, name)
        assert.isBelow(
          seen.findLastIndex((line) => line.startsWith("close")),
          seen.lastIndexOf("after"),
          name
        )
        assert.isBelow(seen.indexOf(seen.find((line) => line.startsWith("close"))!), seen.indexOf("after"), name)
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a release that takes the workflow's time is the same in every run", () =>
    Effect.gen(function* () {
      const releases = [Effect.sleep("1 minute"), Effect.ignore(Effect.timeout(Effect.void, "5 seconds"))]
      for (const release of releases) {
        for (const name of Object.keys(contexts([])) as ReadonlyArray<keyof ReturnType<typeof contexts>>) {
          const body = Effect.gen(function* () {
            yield* contexts([], release)[name]
            yield* Durable.step("next", Effect.void)
            return "ok"
          })
          assert.strictEqual(yield* kit.run(body), "ok", name)
          yield* crashEverywhere(kit.Anything, () => body, null)
        }
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a step in a release is recorded once, before its context, and fibers of the scope end with it", () =>
    Effect.gen(function* () {
      const released: Array<string> = []
      const ended: Array<boolean> = []
      const body = Effect.gen(function* () {
        yield* Durable.childContext(
          "c",
          Effect.gen(function* () {
            yield* Effect.acquireRelease(Effect.void, () =>
              Effect.orDie(
                Durable.step(
                  "release",
                  Effect.sync(() => void released.push("once"))
                )
              )
            )
            const fiber = yield* Effect.forkScoped(Effect.never)
            fiber.addObserver((exit) => void ended.push(Exit.hasInterrupts(exit)))
          })
        )
        yield* Durable.wait("w", "1 hour")
        return "ok"
      })
      const execution = yield* kit.start(body)
      assert.strictEqual(yield* execution.result, "ok")
      assert.deepStrictEqual([released, ended], [["once"], [true]])
      const release = yield* execution.operation("release")
      assert.strictEqual(release.ParentId, (yield* execution.operation("c")).Id)
    }).pipe(Effect.provide(layerMemory))
  )
})

/** Runs a body on real time, invocation by invocation, with waits that end at once. */
const runLive = (body: Effect.Effect<unknown, unknown, Durable.Requires | Scope.Scope>) =>
  Effect.gen(function* () {
    const service = FakeService.make()
    const handler = DurableHandler.make(kit.Anything, () => body, service.handlerOptions)
    for (;;) {
      const answer = yield* service.invoke(handler)
      if (answer.Status !== "PENDING") return answer
      service.pass(86_400)
    }
  })

describe("uninterruptible regions", () => {
  it.live("a loop that takes the suspension for a failure keeps no invocation from ending", () =>
    Effect.gen(function* () {
      const wait = Effect.exit(Durable.wait("w", "1 hour"))
      const body = Effect.uninterruptible(Effect.as(Effect.repeat(wait, { until: Exit.isSuccess }), "done"))
      assert.deepStrictEqual(yield* runLive(body), { Status: "SUCCEEDED", Result: '"done"' })
    })
  )
})

describe("finalizers that take time", () => {
  for (const [how, release] of slowly) {
    it.live(`at a suspension: ${how}`, () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const body = Effect.gen(function* () {
          yield* resource(log, "r", release)
          yield* Durable.wait("w", "1 hour")
          yield* Effect.sync(() => log.push("after"))
        })
        assert.strictEqual((yield* runLive(Effect.scoped(body))).Status, "SUCCEEDED")
        // (at its end the release may wait, and be replayed)
        assert.deepStrictEqual([...log.slice(0, 4), log.at(-1)], ["open r", "close r", "open r", "after", "close r"])
      })
    )

    it.live(`in a context that lost a race, and in an item whose sibling failed: ${how}`, () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const stays = (name: string) => Effect.andThen(resource(log, name, release), Durable.wait("long", "2 days"))
        const body = Effect.gen(function* () {
          yield* Effect.raceFirst(Durable.childContext("c", stays("c")), Durable.step("quick", Effect.void))
          const failed = yield* Effect.flip(Durable.map("m", [1, 2], (n) => (n === 1 ? stays("m") : Effect.fail("no"))))
          yield* Durable.step(
            "next",
            Effect.promise(() => FakeService.later(20, undefined))
          )
          yield* Effect.sync(() => log.push("after"))
          return String(failed)
        })
        const answer = yield* runLive(body)
        assert.strictEqual(answer.Status, "SUCCEEDED", JSON.stringify(answer))
        assert.sameMembers(log, ["open c", "close c", "open m", "close m", "after"])
        assert.strictEqual(log.at(-1), "after")
      })
    )
  }

  it.live("one that never ends is left behind after its grace, and goes on no more", () =>
    Effect.gen(function* () {
      let beats = 0
      const beat = Effect.andThen(
        Effect.sync(() => beats++),
        Effect.sleep("1 millis")
      )
      const body = Effect.ensuring(Durable.wait("w", "1 hour"), Effect.forever(beat))
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => body, {
        ...service.handlerOptions,
        finalizerGrace: "20 millis"
      })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      yield* Effect.promise(() => FakeService.later(10, undefined))
      const then = beats
      assert.isAbove(then, 1)
      yield* Effect.promise(() => FakeService.later(20, undefined))
      assert.strictEqual(beats, then)
    })
  )

  it.effect("at the end of the body their time is the workflow's", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const times: Array<number> = []
      const release = Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        yield* Effect.sleep("1 hour")
        times.push((yield* Clock.currentTimeMillis) - before)
      })
      assert.strictEqual(yield* kit.run(Effect.scoped(Effect.as(resource(log, "r", release), "ok"))), "ok")
      assert.deepStrictEqual(times, [3_600_000])
    }).pipe(Effect.provide(layerMemory))
  )
})
