/**
 * What a program means: an ordinary Effect over the public operations, that notes every decision it takes.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Durable from "../../src/Durable.ts"
import { DurableContext } from "../../src/DurableContext.ts"
import type { World } from "../../src/internal/core/world.ts"
import { callback, invoke } from "./outside.ts"
import type { Node, Step } from "./Program.ts"
import { BASE } from "./Service.ts"
import type { Rng } from "./Virtual.ts"

/** What a program may do besides durable operations. */
export interface Env {
  /** A decision was taken in this world. */
  readonly log: (world: World, entry: string) => void
  /** An attempt of a step begins. */
  readonly began: (world: World, operationId: string, attempt: number, atMostOnce: boolean) => void
  /** For the outcome of steps: not the same in another attempt. */
  readonly rand: Rng
  /** How many times longer steps take than drawn. */
  readonly slow: number
}

/** Where a part of a program stands: shared memory is shared within one world only. */
interface Here {
  readonly env: Env
  readonly world: World
  readonly ref: { v: number }
}

/** What a program needs; the handler provides it. */
export type Eff<A = number> = Effect.Effect<A, string, Durable.Requires>

/** The world of the fiber. */
export const worldOf = (fiber: Fiber.Fiber<unknown, unknown>): World =>
  Context.get(fiber.context as Context.Context<DurableContext>, DurableContext).place.world

/** Runs a program in the world it finds itself in. */
export const interpret =
  (node: Node) =>
  (env: Env): Eff =>
    Effect.withFiber((fiber) => ev(node, "r", { env, world: worldOf(fiber), ref: { v: 0 } }))

/** Every failure as text, the same whether a schema kept its class or a wrapper stands for it. */
const text = (error: unknown): string => {
  if (typeof error === "string") return error
  const { _tag, message } = error as { readonly _tag?: string; readonly message: string }
  return _tag === undefined || _tag === "StepFailed" || _tag === "ChildContextFailed" ? message : _tag
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)

const conc = (n: number) => ({ concurrency: n === 0 ? ("unbounded" as const) : n })

// ---- steps ---------------------------------------------------------------------------------------------

const retryOf = (n: Step) =>
  n.form === "options"
    ? { times: n.retry, schedule: Schedule.spaced("1 second") }
    : n.form === "exponential"
      ? Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.upTo({ times: n.retry }))
      : n.form === "spaced"
        ? Schedule.spaced("1 second").pipe(Schedule.upTo({ times: n.retry }))
        : Schedule.recurs(n.retry)

const step = (n: Step, here: Here): Eff => {
  const { env } = here
  const dur = n.dur * env.slow
  const attempt = Effect.flatMap(Durable.CurrentStep, (current): Effect.Effect<number, string> => {
    env.began(here.world, current.operationId, current.attempt, n.amo)
    const value = Math.floor(env.rand() * 1000)
    const end: Effect.Effect<number, string> =
      env.rand() >= n.pf
        ? Effect.succeed(value)
        : n.end === "interrupt"
          ? Effect.interrupt
          : n.end === "die"
            ? Effect.die(new Error("d" + (value % 3)))
            : Effect.fail("e" + (value % 3))
    const takes = dur * env.rand()
    if (dur === 0) return end
    const slow = Effect.andThen(Effect.sleep(takes), end)
    return value % 4 === 0 ? Effect.onInterrupt(slow, () => Effect.sleep(takes)) : slow
  })
  return Effect.mapError(
    Durable.step("s" + n.k, attempt, {
      error: n.typed ? Schema.String : undefined,
      retry: retryOf(n),
      retryDefects: n.typed,
      semantics: n.amo ? "AtMostOncePerRetry" : "AtLeastOncePerRetry",
      timeout: n.timeout && dur > 0 ? dur * 0.6 : undefined
    }),
    text
  )
}

// ---- child contexts --------------------------------------------------------------------------------------

class Box {
  readonly v: number
  constructor(v: number) {
    this.v = v
  }
}

/** Larger than what is recorded inline. */
const PAD = "x".repeat(257 * 1024)

const child = (n: Extract<Node, { t: "child" }>, path: string, here: Here): Eff => {
  const name = "k" + n.k
  if (n.keep === "virtual") {
    return Effect.mapError(Durable.childContext(name, ev(n.b, path + ".v", here), { virtual: true }), text)
  }
  const body = interpret(n.b)(here.env)
  const error = n.typed ? Schema.String : undefined
  switch (n.keep) {
    case "plain":
      return Effect.mapError(Durable.childContext(name, body, { error }), text)
    case "schema":
      return Effect.mapError(Durable.childContext(name, body, { success: Schema.FiniteFromString, error }), text)
    case "big":
      return Effect.mapBoth(
        Durable.childContext(
          name,
          Effect.map(body, (v) => ({ v, pad: PAD })),
          { error }
        ),
        {
          onSuccess: ({ pad, v }) => v + pad.length - PAD.length,
          onFailure: text
        }
      )
    case "odd":
      return Effect.mapBoth(
        Durable.childContext(
          name,
          Effect.map(body, (v) => new Box(v)),
          { error }
        ),
        {
          onSuccess: (box) => (box instanceof Box ? box.v : NaN),
          onFailure: text
        }
      )
  }
}

// ---- everything --------------------------------------------------------------------------------------------

const SPIN_MODULUS = 1009

const ev = (n: Node, path: string, x: Here): Eff => {
  const log = (what: string) =>
    Effect.map(Clock.currentTimeMillis, (t) => x.env.log(x.world, `${path}:${what}@${t - BASE}#${x.ref.v}`))
  const logged = (name: string, effect: Eff): Eff =>
    Effect.matchCauseEffect(effect, {
      onSuccess: (v) => Effect.as(log(`${name}=${v}`), v),
      onFailure: (cause) => {
        const reasons = cause.reasons.map(
          (reason) =>
            reason._tag + (reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? text(reason.defect) : "")
        )
        return Effect.andThen(log(`${name}!${reasons.join("+")}`), Effect.failCause(cause))
      }
    })
  const noted = (name: string, effect: Effect.Effect<number>): Eff => Effect.tap(effect, (v) => log(`${name} ${v}`))
  const kid = (m: Node, key: string) => ev(m, `${path}.${key}`, x)
  const kids = (c: ReadonlyArray<Node>) => c.map((m, i) => kid(m, String(i)))
  switch (n.t) {
    case "step":
      return logged("step", step(n, x))
    case "sleep":
      return logged("sleep", Effect.as(n.named ? Durable.wait("w" + n.s, n.s * 1000) : Effect.sleep(n.s * 1000), n.s))
    case "cb":
      return Effect.flatMap(callback("c" + n.k), (cb) => {
        const twice = Effect.map(Effect.all([cb.await, cb.await], conc(0)), sum)
        return log("created " + cb.id).pipe(
          Effect.andThen(n.mid ? kid(n.mid, "m") : Effect.succeed(0)),
          Effect.andThen(logged("cb", n.twice ? twice : cb.await))
        )
      })
    case "invoke":
      return logged("invoke", invoke("i" + n.k))
    case "now":
      return noted(
        "now",
        Effect.map(Clock.currentTimeMillis, (t) => t % 97)
      )
    case "rand":
      return noted(
        "rand",
        Effect.map(Random.next, (f) => Math.floor(f * 100))
      )
    case "get":
      return noted(
        "get",
        Effect.sync(() => x.ref.v)
      )
    case "set":
      return noted(
        "set",
        Effect.sync(() => (x.ref.v = (x.ref.v * 31 + path.length + 7) % SPIN_MODULUS))
      )
    case "yield":
      return Effect.as(Effect.yieldNow, 1)
    case "spin": {
      const turn = Effect.sync(() => {
        x.ref.v = (x.ref.v + 1) % SPIN_MODULUS
      })
      const loop = (i: number): Effect.Effect<number> =>
        i === 0 ? Effect.succeed(1) : Effect.flatMap(turn, () => loop(i - 1))
      return Effect.suspend(() => loop(n.n))
    }
    case "fail":
      return Effect.fail("f" + (path.length % 3))
    case "seq":
      return Effect.map(Effect.all(kids(n.c)), sum)
    case "all":
      return logged("all", Effect.map(Effect.all(kids(n.c), conc(n.n)), sum))
    case "each": {
      const items = Array.from({ length: n.items }, (_, i) => i)
      return logged(
        "each",
        Effect.map(
          Effect.forEach(items, (i) => ev(n.b, `${path}[${i}]`, x), conc(n.n)),
          sum
        )
      )
    }
    case "race":
      return logged("race", Effect.raceAll(kids(n.c)))
    case "raceFirst":
      return logged("raceFirst", Effect.raceAllFirst(kids(n.c)))
    case "timeout":
      return logged(
        "timeout",
        Effect.mapError(Effect.timeout(kid(n.b, "b"), n.s * 1000), (e) => (typeof e === "string" ? e : "timeout"))
      )
    case "retry": {
      const schedule =
        n.s === 0
          ? Schedule.recurs(n.times)
          : Schedule.spaced(n.s * 1000).pipe(Schedule.jittered, Schedule.upTo({ times: n.times }))
      return logged("retry", Effect.retry(kid(n.b, "b"), schedule))
    }
    case "repeat":
      return logged("repeat", Effect.as(Effect.repeat(kid(n.b, "b"), { times: n.times }), 1))
    case "catch":
      return Effect.catch(kid(n.b, "b"), (e) => Effect.andThen(log("caught " + e), kid(n.h, "h")))
    case "fork":
      return Effect.flatMap(Effect.forkChild(kid(n.a, "a")), (fiber) =>
        Effect.flatMap(kid(n.b, "b"), (b) =>
          n.join
            ? logged(
                "join",
                Effect.map(Fiber.join(fiber), (a) => a + b)
              )
            : Effect.succeed(b)
        )
      )
    case "child":
      return logged("child", child(n, path, x))
    case "fin": {
      const cleanup = Effect.ignore(kid(n.f, "f"))
      return n.on === "ensuring"
        ? Effect.ensuring(kid(n.b, "b"), cleanup)
        : Effect.onInterrupt(kid(n.b, "b"), () => cleanup)
    }
    case "mask":
      return Effect.uninterruptible(kid(n.b, "b"))
    case "sem":
      return Effect.suspend(() => {
        const semaphore = Semaphore.makeUnsafe(n.n)
        return Effect.map(
          Effect.all(
            kids(n.c).map((k) => semaphore.withPermit(k)),
            conc(0)
          ),
          sum
        )
      })
    case "handoff":
      return Effect.suspend(() => {
        const handed = Deferred.makeUnsafe<number, string>()
        const give = Effect.onExit(kid(n.a, "a"), (exit) => Deferred.done(handed, exit))
        const take = Effect.flatMap(Deferred.await(handed), (v) => Effect.map(kid(n.b, "b"), (w) => v + w))
        return Effect.map(Effect.all([give, logged("got", take)], conc(0)), sum)
      })
    case "queue":
      return Effect.gen(function* () {
        const queue = yield* Queue.unbounded<number>()
        const put = (m: Eff) =>
          Effect.flatMap(Effect.exit(m), (exit) => Queue.offer(queue, Exit.isSuccess(exit) ? exit.value : -1))
        const produce = Effect.forEach(kids(n.c), put, conc(0))
        const took = (v: number) => Effect.andThen(log("took " + v), kid(n.b, "b" + v))
        const consume = Effect.forEach(n.c, () => Effect.flatMap(Queue.take(queue), took))
        const [, consumed] = yield* Effect.all([produce, consume], conc(0))
        return sum(consumed)
      })
    case "if":
      return Effect.flatMap(kid(n.c, "c"), (v) => (v % 2 === 0 ? kid(n.a, "a") : kid(n.b, "e")))
  }
}
