import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

const { layerMemory } = TestRunner

/** Name and seconds of the waits of a body, in the order of starting. */
const waitsOf = (body: kit.Body) =>
  Effect.gen(function* () {
    const execution = yield* kit.start(body)
    yield* execution.result
    const events = yield* execution.history
    return events.flatMap((event) =>
      event.WaitStartedDetails ? [`${event.Name} ${event.WaitStartedDetails.Duration}`] : []
    )
  })

describe("Durable.wait", () => {
  it.effect("records a WAIT, suspends, and goes on when it is over", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const execution = yield* kit.start(
        Effect.gen(function* () {
          log.push("before")
          yield* Durable.wait("three-days", "3 days")
          log.push("after")
          return "done"
        })
      )
      assert.strictEqual(yield* execution.result, "done")
      assert.deepStrictEqual(log, ["before", "before", "after"])
      const wait = yield* execution.operation("three-days")
      assert.strictEqual(wait.Type, "WAIT")
      assert.strictEqual(wait.Status, "SUCCEEDED")
      assert.approximately(wait.WaitDetails!.ScheduledEndTimestamp! - wait.StartTimestamp!, 3 * 86_400_000, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  const rounds: ReadonlyArray<readonly [duration: Duration.Input, seconds: number]> = [
    ["1 second", 1],
    ["1 millis", 1],
    ["1001 millis", 2],
    [0.5, 1],
    [Duration.nanos(BigInt(1)), 1],
    ["366 days", 31_622_400],
    [[1, 500_000_000], 2]
  ]
  for (const [duration, seconds] of rounds) {
    it.effect(`${Duration.format(Duration.fromInputUnsafe(duration))} is ${seconds} s`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* waitsOf(Durable.wait("w", duration)), [`w ${seconds}`])
      }).pipe(Effect.provide(layerMemory))
    )
  }

  const refused: ReadonlyArray<readonly [what: string, duration: Duration.Input, message: RegExp]> = [
    ["zero", 0, /1 second to 366 days .* not 0 ms/],
    ["a negative one", -1000, /^Durable\.wait\("w"\): /],
    ["NaN", NaN, /NaN is not a duration\. Write "3 days"/],
    ["infinity", Infinity, /not Infinity ms/],
    ["one too long", "367 days", /1 second to 366 days/],
    ["garbage", "a while" as never, /a while is not a duration/],
    ["garbage that is no text", {} as never, /^Durable\.wait\("w"\): /]
  ]
  for (const [what, duration, message] of refused) {
    it.effect(`${what} is InvalidOperation, before anything is sent`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const handler = DurableHandler.make(
          kit.Anything,
          () => Effect.catchCause(Durable.wait("w", duration), () => Effect.succeed("caught")),
          service.handlerOptions
        )
        const answer = yield* service.invoke(handler)
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "InvalidOperation")
        assert.match(answer.Error?.ErrorMessage ?? "", message)
        assert.deepStrictEqual(service.requests, [])
      })
    )
  }

  it.effect("concurrent waits are over in their order, live and replayed", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const wait = (name: string, seconds: number) =>
        Effect.tap(Durable.wait(name, Duration.seconds(seconds)), () => Effect.sync(() => order.push(name)))
      const body = Effect.all([wait("c", 3), wait("a", 1), wait("b", 2)], { concurrency: "unbounded" })
      yield* kit.run(
        Effect.andThen(
          body,
          Effect.sync(() => order.push("|"))
        )
      )
      assert.match(order.join(""), /(^|\|?a?b?)abc\|$/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("found CANCELLED, it is over", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.as(Durable.wait("w", "1 hour"), "over"),
        service.handlerOptions
      )
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      service.change("w", { Status: "CANCELLED" })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: '"over"' })
    })
  )
})

describe("Durable.waitUntil", () => {
  it.effect("waits until an instant by the workflow's clock", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        const until = DateTime.add(yield* DateTime.now, { days: 2 })
        yield* Durable.waitUntil("until", until)
        return DateTime.toEpochMillis(yield* DateTime.now) - DateTime.toEpochMillis(until)
      })
      const { execution, live, replayed } = yield* kit.observe(body)
      const late = yield* live
      assert.isTrue(typeof late === "number" && late >= 0 && late < 2000, `${String(late)} ms late`)
      assert.deepStrictEqual(replayed[0], live)
      assert.isAtLeast(
        (yield* execution.history).find((event) => event.Name === "until")?.WaitStartedDetails?.Duration ?? 0,
        172_800
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("behind a context that took long, which does not move the workflow's clock", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        const begin = yield* DateTime.now
        yield* Durable.childContext("long", Durable.wait("three-days", "3 days"))
        yield* Durable.waitUntil("four-days", DateTime.add(begin, { days: 4 }))
        yield* Durable.childContext("longer", Durable.wait("three-days", "3 days"))
        yield* Durable.waitUntil("missed", DateTime.add(begin, { days: 5 }))
        return (DateTime.toEpochMillis(yield* DateTime.now) - DateTime.toEpochMillis(begin)) / 86_400_000
      })
      const { execution, live, replayed } = yield* kit.observe(body)
      assert.closeTo((yield* live) as number, 7, 0.001)
      assert.deepStrictEqual(replayed[0], live)
      const waits = (yield* execution.history).flatMap(({ Name, WaitStartedDetails }) =>
        WaitStartedDetails === undefined ? [] : `${Name} ${WaitStartedDetails.Duration}`
      )
      assert.deepStrictEqual(waits.slice(0, -1), [
        "three-days 259200",
        "four-days 86400",
        "three-days 259200",
        "missed 1"
      ])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an instant that is past, or now, is no wait and records nothing", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        const now = yield* DateTime.now
        yield* Durable.waitUntil("now", now)
        yield* Durable.waitUntil("past", DateTime.subtract(now, { days: 1 }))
      })
      assert.deepStrictEqual(yield* waitsOf(body), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an instant too far away is refused", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Effect.flatMap(DateTime.now, (now) => Durable.waitUntil("far", DateTime.add(now, { days: 400 })))
      )
      assert.strictEqual(fault.type, "InvalidOperation")
      assert.match(fault.message, /^Durable\.waitUntil\("far"\): the service waits 1 second to 366 days/)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("Effect.sleep in the body", () => {
  it.effect("is a durable wait named sleep", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(Effect.sleep("1 hour"))
      yield* execution.result
      assert.deepStrictEqual(yield* kit.operationsOf(execution), [
        'WaitStarted "sleep" 3600 s',
        'WaitSucceeded "sleep"'
      ])
      assert.strictEqual(yield* execution.invocations, 2)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("of nothing is a yield that records nothing", () =>
    Effect.gen(function* () {
      const body = Effect.all([Effect.sleep(0), Effect.sleep(-5), Effect.yieldNow])
      assert.deepStrictEqual(yield* waitsOf(body), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("too long: InvalidOperation", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(Effect.sleep("400 days"))
      assert.strictEqual(fault.type, "InvalidOperation")
      assert.match(fault.message, /366 days/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("in a step it is a real one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* waitsOf(Durable.step("s", Effect.sleep(1))), [])
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("time in the body", () => {
  it.effect("Effect.timeout is durable: the wait of the timeout wins", () =>
    Effect.gen(function* () {
      const slow = Durable.wait("slow", "1 day").pipe(
        Effect.as("slow"),
        Effect.timeoutOption("1 hour"),
        Effect.map(Option.getOrElse(() => "timed out"))
      )
      const execution = yield* kit.sees(slow, Exit.succeed("timed out"))
      assert.deepStrictEqual((yield* kit.operationsOf(execution)).slice(0, 3), [
        'WaitStarted "slow" 86400 s',
        'WaitStarted "sleep" 3600 s',
        'WaitSucceeded "sleep"'
      ])
      // The lost wait is still open: the service cannot cancel it, and nobody waits for it.
      assert.strictEqual((yield* execution.operation("slow")).Status, "STARTED")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("Effect.timeout around a step that is in time", () =>
    Effect.gen(function* () {
      const fast = Durable.step("fast", Effect.as(kit.turn, "fast")).pipe(Effect.timeout("1 hour"))
      const execution = yield* kit.sees(fast, Exit.succeed("fast"))
      assert.strictEqual((yield* execution.operation("sleep")).Status, "STARTED")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("Effect.delay, retry(Schedule), repeat(Schedule) wait durably, with their delays", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* waitsOf(Effect.delay(Effect.void, "5 minutes")), ["sleep 300"])

      const step = (n: number) =>
        Durable.step("try", n < 3 ? Effect.fail("no") : Effect.succeed(n), { retry: Durable.noRetry })
      const retrying = Effect.suspend(() => {
        let n = 0
        return Effect.suspend(() => step(++n)).pipe(Effect.retry(Schedule.spaced("1 minute")))
      })
      assert.deepStrictEqual(yield* waitsOf(retrying), ["sleep 60", "sleep 60"])
      yield* kit.sees(retrying, Exit.succeed(3))

      const repeating = Effect.repeat(Durable.step("tick", Effect.succeed(1)), {
        schedule: Schedule.exponential("10 seconds"),
        times: 3
      })
      assert.deepStrictEqual(yield* waitsOf(repeating), ["sleep 10", "sleep 20", "sleep 40"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("retry({ times }) waits for nothing and records no wait", () =>
    Effect.gen(function* () {
      const body = Effect.suspend(() => {
        let n = 0
        return Effect.suspend(() =>
          ++n < 4 ? Durable.step("s", Effect.fail("no"), { retry: Durable.noRetry }) : Effect.succeed(n)
        ).pipe(Effect.retry({ times: 5 }))
      })
      assert.deepStrictEqual(yield* waitsOf(body), [])
      yield* kit.sees(body, Exit.succeed(4))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("the clock is the time of the last delivery, and stands still in between", () =>
    Effect.gen(function* () {
      const times: Array<Array<number>> = []
      const now = Clock.currentTimeMillis
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const seen: Array<number> = []
          times.push(seen)
          seen.push(yield* now)
          yield* Durable.step("s", Effect.sleep(5))
          seen.push(yield* now, yield* now)
          yield* Durable.wait("w", "1 hour")
          seen.push(yield* now, DateTime.toEpochMillis(yield* DateTime.now))
          yield* Durable.wait("replay", "1 second")
        })
      )
      yield* execution.result
      const s = yield* execution.operation("s")
      const w = yield* execution.operation("w")
      const [started] = yield* execution.history
      assert.deepStrictEqual(
        times.at(-1),
        [
          started!.EventTimestamp,
          s.EndTimestamp,
          s.EndTimestamp,
          w.WaitDetails?.ScheduledEndTimestamp,
          w.WaitDetails?.ScheduledEndTimestamp
        ].map((time) => Math.trunc(time!))
      )
      // every invocation saw the same times, as far as it came
      for (const seen of times) assert.deepStrictEqual(seen, times.at(-1)!.slice(0, seen.length))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("steps see the real clock and real random numbers", () =>
    Effect.gen(function* () {
      const look = Durable.step("look", Effect.all([Clock.currentTimeMillis, Random.next]))
      const [first, second] = yield* Effect.map(
        kit.run(Effect.all([look, look])),
        (both) => both as Array<[number, number]>
      )
      assert.notStrictEqual(first![1], second![1])
      // the engine's time: real, as nothing was skipped
      assert.isBelow(Math.abs((yield* Clock.Clock).currentTimeMillisUnsafe() - first![0]), Infinity)
      assert.isTrue(Number.isInteger(first![0]))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect(
    "random numbers are those of the execution: the same in every invocation, others in another execution",
    () =>
      Effect.gen(function* () {
        const roll = Effect.all([Random.next, Random.nextIntBetween(0, 1_000_000), Random.next])
        const one = yield* kit.observe(roll)
        assert.deepStrictEqual(one.replayed[0], one.live)
        const other = yield* kit.observe(roll)
        assert.notDeepEqual(other.live, one.live)
      }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a child context has random numbers of its own, and drawing them leaves its parent's as they are", () =>
    Effect.gen(function* () {
      const inside = Durable.childContext("c", Effect.all([Random.next, Random.next]))
      const body = (first: kit.Body) =>
        Effect.flatMap(first, (inner) => Effect.map(Random.next, (outer) => ({ inner, outer })))
      const withDraws = yield* kit.observe(body(inside), { executionName: "same" })
      assert.deepStrictEqual(withDraws.replayed[0], withDraws.live)
      const seen = (yield* withDraws.live) as { inner: Array<number>; outer: number }
      assert.strictEqual(new Set([...seen.inner, seen.outer]).size, 3)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a context that has no record has numbers of its own, too", () =>
    Effect.gen(function* () {
      const virtual = Durable.childContext("v", Random.next, { virtual: true })
      const body = Effect.all([Random.next, virtual, Random.next])
      const one = yield* kit.observe(body, { executionName: "same" })
      assert.deepStrictEqual(one.replayed[0], one.live)
      assert.strictEqual(new Set((yield* one.live) as Array<number>).size, 3)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a clock and random numbers that were handed on are those of whoever uses them", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        const clock = yield* Clock.Clock
        const random = yield* Random.Random
        const look = Effect.sync(() => [clock.currentTimeMillisUnsafe(), random.nextDoubleUnsafe()] as const)
        const inside = (name: string) =>
          Durable.childContext(
            name,
            Effect.andThen(Durable.wait("w", "1 hour"), Effect.all([look, Clock.currentTimeMillis]))
          )
        const own = yield* Effect.all([inside("a"), inside("b")], { concurrency: 2 })
        // called by nobody's fiber: those of the workflow
        const outside = yield* Effect.promise(() => Promise.resolve().then(() => clock.currentTimeMillisUnsafe()))
        return { own, outside, after: yield* look }
      })
      const one = yield* kit.observe(body)
      assert.deepStrictEqual(one.replayed[0], one.live)
      const { after, outside, own } = (yield* one.live) as {
        own: Array<[[number, number], number]>
        outside: number
        after: [number, number]
      }
      for (const [[time], now] of own) assert.strictEqual(time, now)
      assert.strictEqual(new Set([own[0]![0][1], own[1]![0][1], after[1]]).size, 3)
      assert.isAtMost(outside, after[0])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a child context has the workflow's clock and numbers, whatever was put in their place around it", () =>
    Effect.gen(function* () {
      const look = Effect.all([Clock.currentTimeMillis, Random.next])
      const body = Effect.gen(function* () {
        const still = { ...(yield* Clock.Clock), currentTimeMillis: Effect.succeed(0) }
        const inside = Durable.childContext("c", look).pipe(
          Random.withSeed("mine"),
          Effect.provideService(Clock.Clock, still as Clock.Clock)
        )
        const mine = yield* Random.next.pipe(Random.withSeed("mine"))
        return [yield* inside, mine] as const
      })
      const one = yield* kit.observe(body)
      assert.deepStrictEqual(one.replayed[0], one.live)
      const [[time, number], mine] = (yield* one.live) as [[number, number], number]
      assert.isAbove(time, 0)
      assert.notStrictEqual(number, mine)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("a wait that lost its race", () => {
  it.effect("stays STARTED, and does not delay completion", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.raceFirst(
          Effect.as(Durable.wait("lost", "30 days"), "lost"),
          Durable.step("won", Effect.as(kit.turn, "won"))
        )
      )
      assert.strictEqual(yield* execution.result, "won")
      assert.strictEqual(yield* execution.invocations, 1)
      assert.strictEqual((yield* execution.operation("lost")).Status, "STARTED")
      const history = yield* execution.history
      assert.isBelow(history.at(-1)!.EventTimestamp! - history[0]!.EventTimestamp!, 60_000)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("may wake the workflow once more, which changes nothing", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        const winner = yield* Effect.raceFirst(
          Effect.as(Durable.wait("lost", "1 hour"), "lost"),
          Durable.step("won", Effect.as(kit.turn, "won"))
        )
        yield* Durable.wait("later", "2 hours")
        return winner
      })
      yield* kit.sees(body, Exit.succeed("won"))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("by the earlier wait, at any distance", () =>
    kit
      .sees(
        Effect.race(
          Effect.as(Durable.wait("slow", "2 seconds"), "slow"),
          Effect.as(Durable.wait("fast", "1 second"), "fast")
        ),
        Exit.succeed("fast")
      )
      .pipe(Effect.provide(layerMemory))
  )
})

describe("beside a step that runs for long", () => {
  const long = Durable.step("long", Effect.sleep("5 minutes"))
  /** How far apart these were, milliseconds. */
  const steps = (times: ReadonlyArray<number>) => times.slice(1).map((time, i) => time - times[i]!)

  it.effect("waits and time-outs end when they should, however many there were before", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      const stamp = Effect.map(Clock.currentTimeMillis, (now) => times.push(now))
      const beats = Effect.gen(function* () {
        for (let i = 0; i < 10; i++) {
          yield* Durable.step("now", stamp)
          if (i % 2 === 0) yield* Durable.wait("w", "3 seconds")
          else
            yield* Effect.timeoutOption(
              Effect.flatMap(Durable.callback("never"), ({ await: come }) => come),
              "3 seconds"
            )
        }
        return "beats"
      })
      assert.strictEqual(yield* kit.run(Effect.raceFirst(long, beats)), "beats")
      // (a look may come just before the service has noticed)
      assert.isTrue(
        steps(times).every((millis) => millis >= 3_000 && millis <= 3_250),
        String(steps(times))
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("delays of retries, too", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      const flaky = Durable.step(
        "flaky",
        Effect.flatMap(Clock.currentTimeMillis, (now) => (times.push(now) < 8 ? Effect.fail("no") : Effect.void)),
        { retry: Schedule.spaced("2 seconds") }
      )
      yield* kit.run(Effect.all([long, flaky], { concurrency: 2 }))
      assert.isTrue(
        steps(times).every((millis) => millis >= 2_000 && millis <= 2_250),
        String(steps(times))
      )
    }).pipe(Effect.provide(layerMemory))
  )
})
