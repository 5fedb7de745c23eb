/**
 * What a program means: an ordinary Effect over the public operations, that notes every decision it takes.
 */
import * as Cause from "effect/Cause"
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
import * as SchemaGetter from "effect/SchemaGetter"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Durable from "../../src/Durable.ts"
import { DurableContext } from "../../src/DurableContext.ts"
import { StepAttempt } from "../../src/operations/step.ts"
import type { World } from "../../src/internal/core/world.ts"
import * as BatchResult from "../../src/BatchResult.ts"
import type { Completion, Condition, Fork, Node, Outside, Step } from "./Program.ts"
import { BASE } from "./Service.ts"
import type { Rng } from "./Virtual.ts"

/** What a program may do besides durable operations. */
export interface Env {
  /** A decision was taken in this world. */
  readonly log: (world: World, entry: string) => void
  /** An attempt of a step, of a submitter or of a check begins. */
  readonly began: (world: World, operationId: string, attempt: number, atMostOnce: boolean) => void
  /** The body of a context begins. */
  readonly entered: (world: World) => void
  /** A submitter was given this id. */
  readonly submits: (world: World, callbackId: string) => void
  /** A check was given this state. */
  readonly checks: (operationId: string, attempt: number, state: State) => void
  /** The condition was asked after this check. */
  readonly asked: (operationId: string, attempt: number) => void
  /** Cleanup that was registered in this world begins. */
  readonly cleans: (world: World, name: string) => void
  /** A scope of this world has ended, in which this was to be done. A fiber sees it that is in `seen` itself. */
  readonly cleaned: (world: World, names: ReadonlyArray<string>, seen: World) => void
  /** What must hold by itself. */
  readonly claim: (holds: boolean, what: string) => void
  /** For the outcome of steps: not the same in another attempt. */
  readonly rand: Rng
  /** How many times longer steps take than drawn. */
  readonly slow: number
  /** Attempts may be cut off by a deadline, and count. */
  readonly cutsOff: boolean
}

/** The state of a condition: how many checks have succeeded, and what the last one gave. */
export interface State {
  readonly n: number
  readonly v: number
}

/** Where a part of a program stands: shared memory is shared within one world only. */
interface Here {
  readonly env: Env
  readonly world: World
  readonly ref: { v: number }
  readonly scope: Registered
  /** Ends with the body. */
  readonly fibers: Scope.Closeable
}

/** What a scope must do at its end, as far as this invocation knows. */
interface Registered {
  /** Of the world that the scope stands in. */
  world: World | undefined
  readonly list: Array<{
    readonly name: string
    readonly compensates: boolean
    readonly late: boolean
    readonly fiber: Fiber.Fiber<unknown, unknown>
  }>
  /** The one that was begun last. */
  last: number
  /** How it ended, before its cleanup, and what was to be done then. */
  exit: Exit.Exit<unknown, unknown> | undefined
  due: ReadonlyArray<string>
}

const makeScope = (world?: World): Registered => ({ world, list: [], last: Infinity, exit: undefined, due: [] })

/** What a program needs; the handler provides it. */
export type Eff<A = number> = Effect.Effect<A, string, Durable.Requires>

/** The world of the fiber, also of one that runs a step. */
export const worldOf = ({ context }: Fiber.Fiber<unknown, unknown>): World => {
  const { inStep, place } = Context.get(context as Context.Context<DurableContext>, DurableContext)
  if (!inStep) return place.world
  return StepAttempt.placeOf(Context.get(context as Context.Context<Durable.CurrentStep>, Durable.CurrentStep))!.world
}

/** Runs a program in the world it finds itself in. */
export const interpret =
  (node: Node, given?: Registered) =>
  (env: Env): Eff =>
    Effect.withFiber((fiber) => {
      const world = worldOf(fiber)
      const scope = given ?? makeScope()
      env.entered(world)
      Object.assign(scope, makeScope(world))
      const fibers = Scope.makeUnsafe()
      const body = ev(node, "r", { env, world, ref: { v: 0 }, scope, fibers })
      return bodyOf(
        scope,
        Effect.onExit(body, (exit) => Scope.close(fibers, exit))
      )
    })

// ---- cleanup -------------------------------------------------------------------------------------------

/** Takes down how the body of a scope ends, and what is to be done then. */
const bodyOf = (scope: Registered, effect: Eff): Eff =>
  Effect.onExit(effect, (exit) =>
    Effect.sync(() => {
      scope.exit = exit
      scope.due = scope.list.flatMap(({ compensates, fiber, name }) => {
        const own = fiber.pollUnsafe()
        return !compensates || Exit.isFailure(exit) || (own !== undefined && Exit.isFailure(own)) ? [name] : []
      })
    })
  )

/** Looks, where a scope has ended, whether all was done that should have been. */
const ended = (env: Env, scope: Registered, effect: Eff): Eff =>
  Effect.ensuring(
    effect,
    Effect.withFiber((fiber) => {
      if (scope.world !== undefined) env.cleaned(scope.world, scope.due, worldOf(fiber))
      return Effect.void
    })
  )

/** Registers something of a scope: gives what it does when its time has come. */
const registering = (n: Extract<Node, { f: Node; k: number }>, { env, scope, world }: Here) => {
  const name = `${n.t}${n.k}`
  let index = -1
  const note = Effect.withFiber((fiber) => {
    index = scope.list.push({ name, compensates: n.t === "undo", late: scope.exit !== undefined, fiber }) - 1
    return Effect.void
  })
  const run = (value: number, exit: Exit.Exit<unknown, unknown>): Eff => {
    const at = index
    return Effect.withFiber((fiber) => {
      env.cleans(world, name)
      env.claim(at < scope.last || scope.list[at]!.late, `${name} is cleaned up after what was registered before it`)
      const own = scope.list[at]!.fiber.pollUnsafe()
      const failed = [scope.exit, own, exit].map((known) => known !== undefined && Exit.isFailure(known))
      env.claim(n.t !== "undo" || ((failed[0] || failed[1]) && failed[2]), `${name} is undone after a success`)
      scope.last = at
      const why = Exit.isSuccess(exit) ? "success" : causeText(exit.cause)
      env.log(worldOf(fiber), `${name} of ${value} for ${why}`)
      return interpret(n.f)(env)
    })
  }
  return { name, note, run }
}

/** Every failure as text, the same whether a schema kept its class or a wrapper stands for it. */
const text = (error: unknown): string => {
  if (typeof error === "string") return error
  const { _tag, message } = error as { readonly _tag?: string; readonly message: string }
  return _tag === undefined || WRAPPERS.has(_tag) ? message : _tag
}

const WRAPPERS: ReadonlySet<string> = new Set([
  "StepFailed",
  "ChildContextFailed",
  "CallbackFailed",
  "CallbackSubmitFailed",
  "ConditionFailed",
  "InvokeFailed"
])

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)

const conc = (n: number) => ({ concurrency: n === 0 ? ("unbounded" as const) : n })

/** A codec that takes time, outside of the body. */
const later = SchemaGetter.transformEffect((v: number) => Effect.as(Effect.sleep(0.4), v))
const Slow = Schema.Finite.pipe(Schema.decodeTo(Schema.Finite, { decode: later, encode: later }))

// ---- steps ---------------------------------------------------------------------------------------------

const retryOf = (n: Step) =>
  n.form === "options"
    ? { times: n.retry, schedule: Schedule.spaced("1 second") }
    : n.form === "exponential"
      ? Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.upTo({ times: n.retry }))
      : n.form === "spaced"
        ? Schedule.spaced("1 second").pipe(Schedule.upTo({ times: n.retry }))
        : Schedule.recurs(n.retry)

/** One attempt, of whatever is made of a step. */
const attemptOf = (n: Step, env: Env): Effect.Effect<number, string, Durable.CurrentStep> =>
  Effect.withFiber((fiber) =>
    Effect.flatMap(Durable.CurrentStep, (current): Effect.Effect<number, string> => {
      const dur = n.dur * env.slow
      env.began(worldOf(fiber), current.operationId, current.attempt, n.amo)
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
  )

const step = (n: Step, { env }: Here): Eff =>
  Effect.mapError(
    Durable.step("s" + n.k, attemptOf(n, env), {
      // every other one by a codec that is done at once
      success: n.slow === true ? Slow : n.k % 2 === 1 ? Schema.FiniteFromString : undefined,
      error: n.typed ? Schema.String : undefined,
      retry: retryOf(n),
      retryDefects: n.typed,
      semantics: n.amo ? "AtMostOncePerRetry" : "AtLeastOncePerRetry",
      timeout: n.timeout && n.dur * env.slow > 1e-3 ? n.dur * env.slow * 0.6 : undefined
    }),
    text
  )

// ---- what others complete ----------------------------------------------------------------------------------

const outsideOptions = (n: Outside) => ({
  timeout: n.timeout === undefined ? undefined : n.timeout * 1000,
  heartbeatTimeout: n.heartbeat === undefined ? undefined : n.heartbeat * 1000,
  ...(n.typed === true ? { success: Schema.Finite, error: Schema.String } : undefined)
})

/** What came, as a number: a schema's, or the text as it was sent. */
const answered = (answer: string | number | undefined): number =>
  typeof answer === "number" ? answer : answer === undefined ? 7 : Number.isNaN(Number(answer)) ? 8 : Number(answer)

const callback = (n: Extract<Node, { t: "cb" }>) =>
  Effect.map(Durable.callback("c" + n.k, outsideOptions(n)), ({ await: answer, callbackId }) => {
    const once: Eff = Effect.mapBoth(answer, { onSuccess: answered, onFailure: text })
    const raced = Effect.catch(Effect.raceFirst(once, Effect.as(Effect.sleep(1000), 1)), () => Effect.succeed(2))
    const twice = Effect.zipWith(n.wait === "raced" ? raced : once, once, (a, b) => a + b)
    return {
      callbackId,
      await:
        n.wait === "once"
          ? once
          : n.wait === "never"
            ? Effect.succeed(3)
            : n.wait === "both"
              ? Effect.map(Effect.all([once, once], conc(0)), sum)
              : twice
    }
  })

const waitForCallback = (n: Extract<Node, { t: "wfc" }>, { env }: Here): Eff =>
  Effect.mapBoth(
    Durable.waitForCallback(
      "f" + n.k,
      (callbackId) =>
        Effect.withFiber((fiber) => {
          env.submits(worldOf(fiber), callbackId)
          return attemptOf(n.submit, env)
        }),
      { ...outsideOptions(n), retry: retryOf(n.submit) }
    ),
    { onSuccess: answered, onFailure: text }
  )

const invoke = (n: Extract<Node, { t: "invoke" }>): Eff => {
  const target = { payload: n.slow === true ? Slow : Schema.Finite, success: n.slow === true ? Slow : Schema.Finite }
  const options = { functionName: "other:1" }
  const name = "i" + n.k
  return n.typed === true
    ? Effect.mapError(Durable.invoke(name, { ...target, error: Schema.String }, n.k, options), text)
    : Effect.mapError(Durable.invoke(name, target, n.k, options), text)
}

const condition = (n: Condition, { env }: Here): Eff =>
  Effect.suspend(() => {
    let asking: readonly [string, number] = ["", 0]
    const times = Schedule.upTo({ times: n.times })
    const schedule =
      n.form === "exponential" ? Schedule.exponential(n.s * 1000).pipe(times) : Schedule.spaced(n.s * 1000).pipe(times)
    const check = (state: State) =>
      Effect.flatMap(Durable.CurrentStep, ({ attempt, operationId }) => {
        env.checks(operationId, attempt, state)
        return Effect.map(attemptOf(n.check, env), (v): State => {
          asking = [operationId, attempt]
          return { n: state.n + 1, v }
        })
      })
    const until = (state: State): boolean | Effect.Effect<boolean> => {
      env.asked(...asking)
      const met = state.n >= n.need
      if (n.until === "throws" && state.n === 2) throw new Error("u")
      return n.until === "effect" ? Effect.as(Effect.sleep(0.2), met) : met
    }
    // it is asked for what is not met only
    const unmet = (state: State) => {
      env.claim(state.n < n.need, "the schedule of a condition was asked although that is met")
      return true
    }
    return Effect.matchEffect(
      Durable.waitForCondition("p" + n.k, check, {
        initial: { n: 0, v: -1 },
        state: n.check.slow === true ? SlowState : State,
        until,
        schedule: n.form === "options" ? { times: n.times, schedule, while: unmet } : schedule,
        ...(n.check.typed ? { error: Schema.String } : undefined)
      }),
      {
        onSuccess: (state) => {
          env.claim(state.n === n.need, `a condition of ${n.need} checks was met after ${state.n}`)
          return Effect.succeed(state.v)
        },
        onFailure: (error) => {
          if (typeof error !== "string" && error._tag === "ConditionExhausted") {
            env.claim(
              error.attempts === n.times + 1 && (env.cutsOff || n.need > n.times + 1),
              `a condition of ${n.need} checks was given up after ${error.attempts}, and may have ${n.times + 1}`
            )
          }
          return Effect.fail(text(error))
        }
      }
    )
  })

const State = Schema.Struct({ n: Schema.Finite, v: Schema.Finite })
const SlowState = Schema.Struct({ n: Slow, v: Schema.Finite })

// ---- contexts --------------------------------------------------------------------------------------------

class Box {
  readonly v: number
  constructor(v: number) {
    this.v = v
  }
}

/** Larger than what is recorded inline, alone or three of them together. */
const PAD = "x".repeat(257 * 1024)
const THIRD = "x".repeat(90 * 1024)

const Heavy = Schema.Struct({ v: Slow, pad: Schema.String })

/** A body whose value is kept in some way, its codec, and the number again that the value stands for. */
const kept = (keep: Exclude<Extract<Node, { t: "child" }>["keep"], "virtual">, body: Eff, pad: string) => ({
  body: (keep === "big" || keep === "heavy"
    ? Effect.map(body, (v) => ({ v, pad }))
    : keep === "odd"
      ? Effect.map(body, (v) => new Box(v))
      : body) as Eff<unknown>,
  success: keep === "schema" ? Schema.FiniteFromString : keep === "slow" ? Slow : keep === "heavy" ? Heavy : undefined,
  unwrap: (value: unknown): number => {
    if (keep === "odd") return value instanceof Box ? value.v : NaN
    if (keep !== "big" && keep !== "heavy") return value as number
    const big = value as { readonly v: number; readonly pad: string }
    return big.v + big.pad.length - pad.length
  }
})

/** Operations whose types are those of their codecs, which are drawn here. */
type Loose = (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown, Durable.Requires>
const childContext = Durable.childContext as unknown as Loose
const map = Durable.map as unknown as Loose
const parallel = Durable.parallel as unknown as Loose
const branch = Durable.branch as unknown as Loose

const child = (n: Extract<Node, { t: "child" }>, path: string, here: Here): Eff => {
  const name = "k" + n.k
  const { keep } = n
  if (keep === "virtual") {
    return Effect.suspend(() => {
      const scope = makeScope(here.world)
      const inner = bodyOf(scope, ev(n.b, path + ".v", { ...here, scope }))
      return Effect.mapError(ended(here.env, scope, Durable.childContext(name, inner, { virtual: true })), text)
    })
  }
  return Effect.suspend(() => {
    const scope = makeScope()
    const { body, success, unwrap } = kept(keep, interpret(n.b, scope)(here.env), PAD)
    const error = n.typed ? Schema.String : undefined
    const ran = Effect.mapBoth(childContext(name, body, { success, error }), { onSuccess: unwrap, onFailure: text })
    return ended(here.env, scope, ran)
  })
}

// ---- batches ---------------------------------------------------------------------------------------------

type Batch = Extract<Node, { t: "map" | "par" }>
type Result = BatchResult.BatchResult<unknown, unknown, unknown>
type Item = BatchResult.BatchItem<unknown, unknown>

const completionOf = (done: Completion, env: Env) => {
  if (done.by === "default") return undefined
  if (done.by === "rule") {
    const { count, min, percentage } = done
    return { minSuccessful: min, toleratedFailureCount: count, toleratedFailurePercentage: percentage }
  }
  return ({
    failureCount,
    items,
    successCount,
    totalCount
  }: {
    readonly failureCount: number
    readonly items: ReadonlyArray<{ readonly status: string | undefined }>
    readonly successCount: number
    readonly totalCount: number
  }) => {
    const of = (status: string) => items.filter((item) => item.status === status).length
    env.claim(
      items.length === totalCount && of("SUCCEEDED") === successCount && of("FAILED") === failureCount,
      "the progress of a batch does not add up"
    )
    return successCount >= done.ok ? "succeed" : failureCount >= done.bad ? "fail" : "continue"
  }
}

/** Why a batch must have ended, with so many of its items. */
const reasonOf = (done: Completion, size: number, success: number, failure: number): string => {
  const all = success + failure === size ? "ALL_COMPLETED" : "nothing"
  if (done.by === "function") {
    if (size === 0) return all
    return success >= done.ok ? "CUSTOM_COMPLETION_SUCCEEDED" : failure >= done.bad ? "CUSTOM_COMPLETION_FAILED" : all
  }
  const { count, min, percentage } = done.by === "rule" ? done : {}
  const none = count === undefined && min === undefined && percentage === undefined
  const most = Math.min(
    none ? 0 : Infinity,
    count ?? Infinity,
    percentage === undefined ? Infinity : (percentage / 100) * size
  )
  if (failure > most) return "FAILURE_TOLERANCE_EXCEEDED"
  return all !== "nothing" ? all : min !== undefined && success >= min ? "MIN_SUCCESSFUL_REACHED" : all
}

const causeText = (cause: Cause.Cause<unknown>): string =>
  cause.reasons
    .map((reason) =>
      reason._tag === "Fail"
        ? text(reason.error)
        : reason._tag === "Die"
          ? "!" + text(reason.defect)
          : `^${reason.fiberId ?? ""}`
    )
    .join("+")

/** A whole result on record: what each item came to, in words. */
const Written = Schema.Struct({
  items: Schema.Array(
    Schema.Struct({ tag: Schema.String, name: Schema.String, v: Schema.Finite, text: Schema.String })
  ),
  reason: Schema.String
})

const wholeCodec = (unwrap: (value: unknown) => number, again: (v: number) => unknown) =>
  Written.pipe(
    Schema.decodeTo(Schema.Any, {
      encode: SchemaGetter.transform((result: Result) => ({
        items: (result.items as ReadonlyArray<Item>).map((item) => ({
          tag: item._tag,
          name: item.name,
          v: item._tag === "Success" ? unwrap(item.value) : 0,
          text: item._tag === "Failure" ? causeText(item.cause) : ""
        })),
        reason: result.completionReason
      })),
      decode: SchemaGetter.transform(({ items, reason }) =>
        BatchResult.make(
          items.map(({ name, tag, text, v }, index): Item => {
            const place = { index, name }
            if (tag === "Success") return { _tag: tag, ...place, value: again(v) }
            if (tag === "Failure") return { _tag: tag, ...place, cause: Cause.fail(text) }
            return { _tag: tag as "Started", ...place }
          }),
          reason as BatchResult.CompletionReason
        )
      )
    })
  )

const padded = (v: number) => ({ v, pad: THIRD })
const again = { big: padded, heavy: padded, odd: (v: number) => new Box(v) } as Record<string, (v: number) => unknown>

const batch = (n: Batch, here: Here, log: (what: string) => Effect.Effect<void>): Eff =>
  Effect.suspend(() => {
    const { env } = here
    const size = n.t === "map" ? n.items : n.c.length
    const limit = n.n === 0 ? Infinity : n.n
    let active = 0
    let last = -1
    const kinds = Array.from({ length: size }, (_, i) => {
      const one = kept(n.keep, interpret(n.t === "map" ? n.b : n.c[i]!)(env), THIRD)
      const body = Effect.suspend(() => {
        env.claim(++active <= limit, `${active} items ran at once, where ${limit} may`)
        env.claim(i > last, `item ${i} began after item ${last}`)
        last = i
        return Effect.ensuring(
          one.body,
          Effect.sync(() => active--)
        )
      })
      return { ...one, body }
    })
    const { success, unwrap } = kinds[0] ?? kept("plain", Effect.succeed(0), "")
    const error = n.typed ? Schema.String : undefined
    const completion = n.mode === "result" ? completionOf(n.done, env) : undefined
    const isList = n.t === "map" || !n.struct
    const options = {
      ...(n.n === 0 ? undefined : { concurrency: n.n }),
      nesting: n.flat ? "flat" : "nested",
      mode: n.mode,
      ...(completion === undefined ? undefined : { completion }),
      ...(n.whole && isList ? { result: wholeCodec(unwrap, again[n.keep] ?? ((v) => v)) } : undefined)
    }
    // (the service reads the limit from the name)
    const name = `${n.t}${n.k}c${n.n}`
    const named = n.t === "map" && n.k === 1
    const ran =
      n.t === "map"
        ? map(
            name,
            kinds.map((_, i) => i),
            (i: number) => kinds[i]!.body,
            { ...options, success, error, ...(named ? { itemName: (i: number) => "it-" + i } : undefined) }
          )
        : parallel(
            name,
            ((branches) => (n.struct ? Object.fromEntries(branches.map((one, i) => ["b" + i, one])) : branches))(
              kinds.map(({ body }) =>
                success === undefined && error === undefined ? body : branch(body, { success, error })
              )
            ),
            options
          )
    const told = Effect.mapError(ran, text)
    if (n.mode === "values") {
      return Effect.map(told, (values) => {
        const list = Object.values(values as object)
        env.claim(list.length === size, `${list.length} values of ${size} items`)
        return sum(list.map((value) => unwrap(value) % 1000))
      })
    }
    return Effect.flatMap(told, (value) => {
      const result = value as Result
      const items = Object.values(result.items as object) as ReadonlyArray<Item>
      const of = (tag: Item["_tag"]) => items.filter((item) => item._tag === tag)
      const { completionReason, counts, status } = result
      const [s, f, started] = [of("Success").length, of("Failure").length, of("Started").length]
      const must = reasonOf(n.done, size, s, f)
      env.claim(items.length === size && items.every(({ index }, i) => index === i), "the items are not in their order")
      env.claim(completionReason === must, `a batch ended by ${completionReason}, not by ${must}`)
      const undecided = (s: number, f: number) => s >= 0 && f >= 0 && reasonOf(n.done, size, s, f) === "nothing"
      env.claim(
        size === 0 || undecided(s - 1, f) || undecided(s, f - 1),
        `a batch went on although it was decided: ${s} successes, ${f} failures`
      )
      env.claim(
        counts.success === s && counts.failure === f && counts.started === started && counts.total === s + f + started,
        `the counts are ${JSON.stringify(counts)} of ${s} successes, ${f} failures and ${started} started`
      )
      env.claim(started <= limit, `${started} items were running, where ${limit} may`)
      const first = items.findIndex(({ _tag }) => _tag === "NotStarted")
      env.claim(first < 0 || items.slice(first).every(({ _tag }) => _tag === "NotStarted"), "an item was passed over")
      const shown = items.map((item) =>
        item._tag === "Success" ? unwrap(item.value) : item._tag === "Failure" ? causeText(item.cause) : item._tag
      )
      return Effect.as(
        log(`batch ${completionReason} ${status} ${s}/${f}/${started}: ${shown.join()}`),
        sum(items.map((item) => (item._tag === "Success" ? unwrap(item.value) % 1000 : 1)))
      )
    })
  })

// ---- fibers ----------------------------------------------------------------------------------------------

/** How often a fiber that loops does its part, at most. */
const ROUNDS = 6

const forked = (n: Fork, path: string, x: Here, join: (name: string, effect: Eff) => Eff): Eff => {
  const once = ev(n.a, path + ".a", x)
  const loop = Effect.forEach(Array.from({ length: ROUNDS }), (_, i) =>
    Effect.andThen(Effect.sleep(1000), ev(n.a, `${path}.a[${i}]`, x))
  )
  const a: Eff = n.loop === true ? Effect.andThen(loop, Effect.never) : once
  const options = { startImmediately: n.now === true }
  const fork =
    n.how === "detach"
      ? Effect.forkDetach(a, options)
      : n.how === "scoped"
        ? Effect.forkScoped(a, options)
        : n.how === "in"
          ? Effect.forkIn(a, x.fibers, options)
          : Effect.forkChild(a, options)
  const whole = Effect.flatMap(fork, (fiber) =>
    Effect.flatMap(ev(n.b, path + ".b", x), (b): Eff => {
      if (n.join) {
        const joined = Effect.map(Fiber.join(fiber), (a) => a + b)
        return join("join", joined)
      }
      if (n.end === "interrupt") return Effect.as(Fiber.interrupt(fiber), b)
      if (n.end === "await")
        return join(
          "await",
          Effect.map(Fiber.await(fiber), (exit) => (Exit.isSuccess(exit) ? exit.value + b : b))
        )
      return Effect.succeed(b)
    })
  )
  return n.how === "scoped" ? Effect.scoped(whole) : (whole as Eff)
}

/** Each of these begins when the one before it has ended; `all` when the last one has. */
const relay = (effects: ReadonlyArray<Eff>) => {
  let before: Effect.Effect<void> = Effect.void
  const fibers = effects.map((effect) => {
    const over = Deferred.makeUnsafe<void>()
    const fiber = Effect.andThen(before, Effect.ensuring(effect, Deferred.succeed(over, undefined)))
    before = Deferred.await(over)
    return Effect.forkDetach(fiber)
  })
  return { start: Effect.all(fibers), all: before }
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
      return logged(
        "sleep",
        Effect.as(n.named ? Durable.wait("w" + (n.k ?? n.s), n.s * 1000) : Effect.sleep(n.s * 1000), n.s)
      )
    case "cb":
      return Effect.flatMap(callback(n), (cb) =>
        log("created " + cb.callbackId).pipe(
          Effect.andThen(n.mid ? kid(n.mid, "m") : Effect.succeed(0)),
          Effect.andThen(logged("cb", cb.await))
        )
      )
    case "wfc":
      return logged("wfc", waitForCallback(n, x))
    case "cond":
      return logged("cond", condition(n, x))
    case "invoke":
      return logged("invoke", invoke(n))
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
      return forked(n, path, x, logged)
    case "relay":
      return Effect.suspend(() => {
        const { all, start } = relay(kids(n.c))
        const rest = n.join ? Effect.tap(kid(n.b, "b"), () => all) : kid(n.b, "b")
        return logged("relay", Effect.andThen(start, rest))
      })
    case "child":
      return logged("child", child(n, path, x))
    case "map":
    case "par":
      return logged(n.t, batch(n, x, log))
    case "fin": {
      const cleanup = Effect.ignore(kid(n.f, "f"))
      return n.on === "ensuring"
        ? Effect.ensuring(kid(n.b, "b"), cleanup)
        : Effect.onInterrupt(kid(n.b, "b"), () => cleanup)
    }
    case "final":
      return Effect.suspend(() => {
        const { name, note, run } = registering(n, x)
        const registered = Durable.addFinalizer(name, (exit) => run(0, exit))
        return Effect.as(Effect.andThen(note, registered), 1)
      })
    case "undo":
      return Effect.suspend(() => {
        const { name, note, run } = registering(n, x)
        const self = Effect.tap(kid(n.b, "b"), () => note)
        return logged(
          "undo",
          Durable.withCompensation(self, name, (value, cause) => run(value, Exit.failCause(cause)))
        )
      })
    case "acquire":
      return Effect.suspend(() => {
        const { name, note, run } = registering(n, x)
        return logged(
          "acquire",
          Durable.acquireRelease(
            name,
            Effect.tap(kid(n.b, "b"), () => note),
            run
          )
        )
      })
    case "scoped":
      return Effect.suspend(() => {
        const scope = makeScope(x.world)
        const inner = bodyOf(scope, ev(n.b, path + ".b", { ...x, scope }))
        return logged("scoped", ended(x.env, scope, Durable.scoped(inner)))
      })
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
    case "aside":
      return Effect.andThen(Effect.ignore(kid(n.a, "a")), kid(n.b, "b"))
    case "declare": {
      const [added, retired] = [n.added, n.retired].map(([first, ...more]) => [first ?? "", ...more] as const)
      return Effect.andThen(
        n.added.length === 0 ? Effect.void : Durable.added(...added!),
        Effect.andThen(n.retired.length === 0 ? Effect.void : Durable.retired(...retired!), kid(n.b, "b"))
      )
    }
    case "if":
      return Effect.flatMap(kid(n.c, "c"), (v) => (v % 2 === 0 ? kid(n.a, "a") : kid(n.b, "e")))
  }
}
