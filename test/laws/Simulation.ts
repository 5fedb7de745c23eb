/**
 * Runs one execution of a program in virtual time, through crashes and whatever else its profile holds, and
 * checks the laws on the way:
 *
 * - *no divergence*: what a world decides in one invocation (values, winners, times, shared memory) is what it
 *   decided in every other, as far as both came;
 * - *recorded once*: no attempt of a step, submitter or check begins after the outcome was recorded, none before its
 *   time, none twice in one invocation, and at most once ever where that was asked for; no body of a context runs
 *   after its value was recorded;
 * - *conditions*: every check is given the state that the one before it left on record, and the condition is asked
 *   once after each, before the schedule is;
 * - *batches*: items start in their order, and no more at once than may; nothing is sent for what lies in a context
 *   that has ended; reason, status and counts are what the rule says (the claims of interpret.ts);
 * - *always ends*: never PENDING with nothing pending, no hang, no refused request;
 * - *deadlines*: no invocation that can still answer lets itself be ended by Lambda's deadline; attempts are counted, so
 *   a step that takes longer uses up its retries;
 * - *same result*: a replay of the finished history takes the same decisions, has the same result, runs no step
 *   and writes nothing;
 * - *time*: no world is ahead of the service's clock, so no wait ends early;
 * - *cleanup*: none at a suspension; in reverse order; a compensation only after a failure; all of it before its scope
 *   has ended;
 * - *markers* only where a program has a choice.
 */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import * as CheckpointService from "../../src/CheckpointService.ts"
import { PayloadFailed } from "../../src/DurableError.ts"
import type * as Durable from "../../src/Durable.ts"
import { DurableContext } from "../../src/DurableContext.ts"
import type { DurableExecutionClient } from "../../src/DurableExecutionClient.ts"
import * as DurableFunction from "../../src/DurableFunction.ts"
import { invocation } from "../../src/DurableHandler.ts"
import type { Core } from "../../src/internal/core/Core.ts"
import { MARKER_NAME, writeMarker } from "../../src/internal/core/order.ts"
import { Settle } from "../../src/internal/core/run.ts"
import type { World } from "../../src/internal/core/world.ts"
import type { StepServices } from "../../src/StepServices.ts"
import type * as Protocol from "../../src/Protocol.ts"
import { isTerminal } from "../../src/Protocol.ts"
import { Serdes, type Transform } from "../../src/Serdes.ts"
import type { Eff, Env } from "./interpret.ts"
import { type Caller, client, isLost } from "./Network.ts"
import type { Order, Profile } from "./Profile.ts"
import { BASE, Rejected, Service } from "./Service.ts"
import { clockOf, Loop, rng, schedulerOf } from "./Virtual.ts"

/** What each world decided, by the path of its context: its id, where it has a record. */
type Logs = Map<string, Array<string>>

export interface Result {
  /** The law that was broken, and how. */
  readonly error: string | undefined
  readonly invocations: number
  readonly crashes: number
  readonly requests: number
  readonly attempts: number
  readonly markers: number
  readonly operations: number
  /** What the execution ended with. */
  readonly output: string | undefined
  readonly logs: Logs
  /** How a change of the code was met, if there was one: `before it` when the execution was over by then. */
  readonly change: "before it" | "gone on" | "diverged" | undefined
  /** How often what the world does has met which operations. */
  readonly reached: Readonly<Record<string, number>>
}

export interface Setting {
  readonly seed: number
  readonly profile: Profile
  readonly order: Order
  readonly unvisited?: "fail" | "ignore"
  /** Whether a marker is allowed at all. */
  readonly mayChoose: boolean
  /** The code changes under the running execution. */
  readonly change?: Change
  /** There is durable cleanup in the program. */
  readonly cleans?: boolean
  /** Do not replay the finished history: the program is not meant to be deterministic. */
  readonly unverified?: boolean
}

/** A program that takes the place of the one that an execution began with. */
export interface Change {
  readonly program: (env: Env) => Eff
  /** The first invocation that runs it. */
  readonly from: number
  /** What it may do besides coming to its end: `NonDeterministic`, or that but before anything else was done. */
  readonly may: "nothing else" | "diverge" | "diverge at once"
  /** The name of an operation that must not be sent if it diverges. */
  readonly secret: string | undefined
}

interface Invocation {
  readonly n: number
  /** It runs the code that was there from the start. */
  readonly old: boolean
  readonly epoch: number
  readonly verify: boolean
  /** What it did, although it only verifies: a fault, unless cleanup turns out to be the reason. */
  strayed: string | undefined
  /** When it began. */
  readonly began: number
  alive: boolean
  core: Core | undefined
  /** When its body began: all pages had been read. */
  ready: number
  /** The workflow's own body has ended. */
  over: boolean
  checkpoints: CheckpointService.Checkpoints | undefined
  readonly logs: Logs
  readonly worlds: Map<string, World>
  /** How much of each log no crash can take back. */
  durable: Map<string, number>
  /** The same, once the request with this ClientToken is applied. */
  readonly upon: Map<string, Map<string, number>>
  readonly begun: Set<string>
  /** By world and name: how much cleanup was done before or has begun, and how much was to be done. */
  readonly cleaned: Map<string, { done: number; due: number }>
}

/** Completed: its answer counts. Cut off: whatever was not durable is lost. */
type HowEnded = "suspended" | "completed" | "cut off"

const Law = DurableFunction.make("law", { payload: Schema.Finite, success: Schema.Finite, error: Schema.String })

/** Warnings are not looked at here. */
const SILENT: Console.Console = Object.assign(Object.create(globalThis.console), { log: () => {}, warn: () => {} })

const kindOf = ({ SubType, Type }: { readonly SubType?: string | undefined; readonly Type: string }) => SubType ?? Type

const keyOf = (world: World): string => world.place.path

/** Contexts of cleanup. */
const CLEANUP: ReadonlySet<string> = new Set(["Finalizer", "Compensation", "Release"])

/** A batch has ended. */
const BATCH = /:(batch |(map|par)[=!])/

/** Whether a world will be run again as it is: a part of a batch also after its end, as long as the batch runs. */
const isGoingOn = ({ parent, place, state }: World): boolean =>
  state === "open" ||
  parent === undefined ||
  (state === "ended" && parent.state === "open" && parent.place.parentId === place.parentId)

const isOutOfTime = (failure: unknown) => (failure as { readonly _tag?: string })._tag === "OutOfTime"

/** Milliseconds before its deadline that an invocation is brought to its end. */
const MARGIN = 12
const MAX_INVOCATIONS = 400
const MAX_EVENTS = 300_000

export class Simulation {
  readonly loop = new Loop()
  readonly service: Service
  private readonly rand
  private readonly best: Logs = new Map()
  private readonly everBegun = new Set<string>()
  private readonly byEpoch = new Map<number, Invocation>()
  private readonly checkpoints: CheckpointService.CheckpointService["Service"]
  private current: Invocation | undefined
  private wanted: "no" | "waiting" | "scheduled" = "no"
  private error: string | undefined
  private output: string | undefined
  private verified = false
  private isOld = true
  private diverged = false
  /** By the code that came later: updates sent and attempts begun. */
  private done = 0
  private told = false
  private readonly reached: Record<string, number> = {}
  private readonly total = { invocations: 0, crashes: 0, requests: 0, attempts: 0, markers: 0 }

  private readonly program: (env: Env) => Eff
  private readonly setting: Setting

  constructor(program: (env: Env) => Eff, setting: Setting) {
    this.program = program
    this.setting = setting
    const { profile, seed } = setting
    this.rand = rng(seed)
    this.service = new Service(this.loop, rng(seed ^ 0x5bd1e995), profile)
    this.service.onExternal = () => this.wake()
    this.service.onApplied = (token) => this.applied(token)
    this.checkpoints = CheckpointService.make(this.network(), {
      limits: { batchUpdates: profile.batchUpdates },
      resendAfter: [1.5, 1.5]
    })
    this.invoke(false)
  }

  // ---- running ---------------------------------------------------------------------------------------

  /** Runs to the end, without leaving this call: nothing real happens in it. */
  run(): Result {
    let events = 0
    while (this.guard(() => this.loop.step())) if (++events > MAX_EVENTS) this.report("too many events")
    return this.result()
  }

  /** The same for programs that wait for promises: microtasks run between the events. */
  async runAsync(): Promise<Result> {
    let events = 0
    while (this.guard(() => this.loop.step())) {
      await new Promise((resolve) => setImmediate(resolve))
      if (++events > MAX_EVENTS) this.report("too many events")
    }
    return this.result()
  }

  private guard(f: () => boolean): boolean {
    if (this.error !== undefined) return false
    try {
      return f()
    } catch (error) {
      this.report(error instanceof Rejected ? `REJECTED ${error.message}` : `THREW ${(error as Error).stack}`)
      return false
    }
  }

  private result(): Result {
    for (const operation of this.service.operations.values()) {
      this.count(`ended ${operation.Status}`, operation)
    }
    if (this.output === undefined) this.report("HANG: nothing left to happen and no result")
    else if (!this.verified && this.setting.unverified !== true) this.report("HANG: the verifying replay did not end")
    return {
      ...this.total,
      error: this.error,
      operations: this.service.operations.size,
      output: this.output,
      change:
        this.setting.change === undefined
          ? undefined
          : this.diverged
            ? "diverged"
            : this.isOld
              ? "before it"
              : "gone on",
      logs: this.best,
      reached: this.reached
    }
  }

  private report(what: string): void {
    this.error ??= `invocation ${this.total.invocations}, t=${this.loop.now.toFixed(2)}: ${what}`
  }

  // ---- one invocation --------------------------------------------------------------------------------

  private invoke(verify: boolean): void {
    if (this.error !== undefined) return
    if (++this.total.invocations > MAX_INVOCATIONS) return this.report("LIVELOCK: too many invocations")
    const {
      loop,
      rand,
      setting: { order, profile, seed }
    } = this
    this.wanted = "no"
    const event = this.service.invoke("arn:law:" + seed)
    const { change } = this.setting
    const old = change === undefined || (this.isOld && (verify || this.total.invocations < change.from))
    if (!old && this.isOld && change !== undefined) {
      this.isOld = false
      this.best.clear()
    }
    const inv: Invocation = {
      n: this.total.invocations,
      old,
      epoch: this.service.epoch,
      verify,
      began: this.loop.now,
      alive: true,
      core: undefined,
      ready: Infinity,
      over: false,
      checkpoints: undefined,
      logs: new Map(),
      worlds: new Map(),
      durable: new Map(),
      upon: new Map(),
      begun: new Set(),
      strayed: undefined,
      cleaned: new Map()
    }
    for (const { Name, ParentId, Status, SubType } of this.service.operations.values()) {
      if (CLEANUP.has(SubType ?? "") && isTerminal(Status)) this.cleanupOf(inv, ParentId, Name).done++
    }
    this.current = inv
    this.byEpoch.set(inv.epoch, inv)
    const alive = () => inv.alive
    const env = this.envOf(inv)
    const checkpoints: CheckpointService.CheckpointService["Service"] = {
      open: (opening) =>
        Effect.tap(this.checkpoints.open(opening), (opened) =>
          Effect.sync(() => {
            inv.checkpoints = opened
          })
        )
    }
    // (the steps of these programs need no services)
    const services = (Context.empty() as Context.Context<StepServices<never>>).pipe(
      Context.add(CheckpointService.CheckpointService, checkpoints),
      Context.add(Clock.Clock, clockOf(loop, BASE + profile.offset, alive)),
      Context.add(Scheduler.Scheduler, schedulerOf(loop, alive)),
      Context.add(Random.Random, { nextIntUnsafe: () => Math.floor(rand() * 1e9), nextDoubleUnsafe: rand }),
      Context.add(Console.Console, SILENT),
      Context.add(Serdes, this.layer(verify)),
      Context.add(Settle, (f: () => void) => {
        loop.after(0, () => {
          if (inv.alive) f()
        })
      })
    )
    const body = Effect.withFiber<number, string, Durable.Requires>((fiber) => {
      inv.core = Context.get(fiber.context as Context.Context<DurableContext>, DurableContext).core
      inv.ready = loop.now
      fiber.addObserver(() => (inv.over = true))
      return old ? this.program(env) : change.program(env)
    })
    const options = {
      order,
      pace: profile.pace,
      startDelay: profile.startDelay,
      unvisited: this.setting.unvisited,
      deadlineMargin: MARGIN
    }
    if (this.crashes(inv, 2)) loop.after(rand() * 30, () => this.die(inv))
    const endsAt = loop.now + profile.deadline
    const isLimited = profile.deadline > 0 && !verify
    if (isLimited) loop.after(profile.deadline, () => this.kill(inv))
    const lambda = isLimited ? { getRemainingTimeInMillis: () => Math.max(0, endsAt - loop.now) } : undefined
    loop.after(rand() < 0.5 ? 0.01 : rand() * 1.5, () => {
      if (!inv.alive) return
      Effect.runForkWith(services)(invocation(Law, () => body, options, event, lambda)).addObserver((exit) => {
        if (inv.alive) this.ended(inv, exit)
      })
    })
  }

  /** A layer for payloads that changes nothing. */
  private layer(verify: boolean): Transform | undefined {
    const { layer, unreadable } = this.setting.profile
    if (layer === 0) return undefined
    const pass = (text: string) => {
      const done =
        !verify && this.rand() < unreadable
          ? Effect.fail(new PayloadFailed({ problem: "unavailable", reason: "a store is away" }))
          : Effect.succeed(text)
      return this.rand() < layer ? Effect.andThen(Effect.sleep(this.rand() * 3), done) : done
    }
    return { encode: pass, decode: pass }
  }

  private envOf(inv: Invocation): Env {
    const { profile, seed } = this.setting
    return {
      slow: profile.slow,
      cutsOff: profile.deadline > 0,
      rand: rng(seed * 31 + inv.n * 7919),
      log: (world, entry) => {
        // what runs in a torn-down body decides nothing any more
        if (!inv.alive || inv.over || inv.core?.closed !== false || world.state !== "open") return
        const ahead = world.time - BASE - this.loop.now
        // (what other code has put on record may seem to follow a wait that ends within the tolerance of clocks)
        const tolerated = this.setting.change === undefined ? profile.skew : profile.skew + 2 * profile.pace
        if (ahead > tolerated) this.report(`EARLY: a world is ${ahead.toFixed(2)} ms ahead of the service`)
        const key = keyOf(world)
        const log = inv.logs.get(key)
        if (log !== undefined) log.push(entry)
        else inv.logs.set(key, [entry])
        inv.worlds.set(key, world)
      },
      began: (world, id, attempt, atMostOnce) => {
        if (!inv.alive) return
        this.total.attempts++
        if (!inv.old) this.done++
        if (inv.verify) inv.strayed ??= `ran step ${id}`
        const operation = this.service.operations.get(id)
        const live = inv === this.current
        if (live && operation !== undefined && isTerminal(operation.Status))
          this.report(`STEP ${id} ran again after ${operation.Status}`)
        const recorded = operation?.StepDetails?.Attempt ?? 0
        if (live && attempt !== recorded + 1) this.report(`COUNT: attempt ${attempt} of step ${id} follows ${recorded}`)
        if (live && operation?.Status === "PENDING") this.report(`STEP ${id} began before its time`)
        if (!live) this.count("begun by a zombie", operation)
        if (this.everBegun.has(`${id}:${attempt}`)) this.count("begun again after a crash", operation)
        for (let w: World | undefined = world; w !== undefined; w = w.parent) {
          if (w.state === "lost") this.report(`STEP ${id} began in a context that had been interrupted`)
          if (w.state === "ended") this.report(`STEP ${id} began in a context that had ended`)
        }
        const key = `${id}:${attempt}`
        if (inv.begun.has(key)) this.report(`STEP attempt ${key} began twice in one invocation`)
        if (atMostOnce && this.everBegun.has(key))
          this.report(`STEP attempt ${key} began twice, which may be once at most`)
        inv.begun.add(key)
        this.everBegun.add(key)
        if (this.crashes(inv, 0.5)) this.loop.after(this.rand() * 4, () => this.die(inv))
      },
      entered: (world) => {
        const { parentId } = world.place
        if (!inv.alive || parentId === undefined) return
        const operation = this.service.operations.get(parentId)
        if (inv !== this.current) return this.count("begun by a zombie", operation)
        if (operation === undefined || !isTerminal(operation.Status)) return
        if (operation.ContextDetails?.ReplayChildren !== true)
          this.report(`CONTEXT ${parentId} ran again after ${operation.Status}`)
        this.count("rebuilt", operation)
      },
      submits: (world, callbackId) => {
        const callback = this.service.operations.get(callbackId.replace(/^cb-/, ""))
        if (callback?.Type !== "CALLBACK" || callback.ParentId !== world.place.parentId)
          this.report(`a submitter was given "${callbackId}", which is no callback of its context`)
      },
      checks: (id, attempt, state) => {
        if (profile.deadline > 0 ? state.n > attempt - 1 : state.n !== attempt - 1)
          this.report(`STATE ${state.n} was given to attempt ${attempt} of condition ${id}`)
        const recorded = this.service.operations.get(id)?.StepDetails?.Result
        const { v } = recorded === undefined ? { v: -1 } : (JSON.parse(recorded) as { readonly v: number })
        if (inv === this.current && v !== state.v)
          this.report(`STATE ${state.v} was given to condition ${id}, whose record has ${v}`)
      },
      asked: (id, attempt) => {
        if (!inv.alive) return
        const key = `until ${id}:${attempt}`
        if (inv.verify) inv.strayed ??= `asked the condition ${id} again after check ${attempt}`
        if (inv.begun.has(key)) this.report(`the condition ${id} was asked again after check ${attempt}`)
        inv.begun.add(key)
      },
      cleans: (world, name) => {
        if (!inv.alive) return
        if (inv.core?.closed !== false) this.report(`CLEANUP ${name} at a suspension`)
        this.cleanupOf(inv, world.place.parentId, name).done++
      },
      cleaned: (world, names, seen) => {
        // of a context that will not run again nothing is left to do
        if (!inv.alive || inv.core?.closed !== false || world.rebuilding) return
        // what a fiber that outlives its context would clean up, nobody does, nor what is in it: it ends with it
        for (let w: World | undefined = seen; w !== undefined; w = w.parent)
          if (w.state === "ended" || (w === inv.core.root && inv.over)) return
        // nor of one that was lost in an invocation before this one, and has come further now
        if (world.state === "lost" && inv.n > 1) return
        for (const name of names) {
          const known = this.cleanupOf(inv, world.place.parentId, name)
          if (++known.due > known.done) this.report(`CLEANUP ${name} of "${keyOf(world)}" was not done`)
        }
      },
      claim: (holds, what) => {
        if (!holds && inv.alive) this.report(`CLAIM: ${what}`)
      }
    }
  }

  /** It has been brought to its end by its deadline. */
  private isLate({ began, verify }: Invocation): boolean {
    const { deadline } = this.setting.profile
    return deadline > 0 && !verify && this.loop.now >= began + deadline - MARGIN - 1
  }

  /** How often something happened to a kind of operation. */
  private count(what: string, operation: Protocol.Operation | Protocol.OperationUpdate | undefined): void {
    const key = `${what}: ${operation === undefined ? "new" : kindOf(operation)}`
    this.reached[key] = (this.reached[key] ?? 0) + 1
  }

  private cleanupOf(inv: Invocation, parentId: string | undefined, name: string | undefined) {
    const key = `${parentId}:${name}`
    const known = inv.cleaned.get(key)
    if (known !== undefined) return known
    const made = { done: 0, due: 0 }
    inv.cleaned.set(key, made)
    return made
  }

  private crashes(inv: Invocation, factor: number): boolean {
    const { crash, maxCrashes } = this.setting.profile
    return !inv.verify && this.total.crashes < maxCrashes && this.rand() < crash * factor
  }

  /** The service gives an invocation up. Its process is gone, or (a zombie) does not know. */
  private die(inv: Invocation): void {
    if (!inv.alive || inv !== this.current) return
    this.total.crashes++
    this.current = undefined
    if (this.rand() >= this.setting.profile.zombie) this.bury(inv)
    this.loop.after(this.rand() < 0.3 ? this.rand() * 0.5 : this.rand() * 10, () => this.invoke(false))
  }

  /** Lambda's deadline has come. One that is answering may be late: its last request may be lost. */
  private kill(inv: Invocation): void {
    if (!inv.alive || inv !== this.current) return
    const { deadline } = this.setting.profile
    // (one that has read pages almost until then can do nothing in what is left)
    if (inv.core === undefined || (!inv.core.closed && inv.ready < inv.began + deadline - MARGIN / 2 - 1))
      return this.report("KILLED by its deadline, without having tried to end")
    this.count("killed by its deadline", undefined)
    this.current = undefined
    this.bury(inv)
    this.loop.after(this.rand() * 3, () => this.invoke(false))
  }

  /** An invocation has come to an end that it did not choose. */
  private bury(inv: Invocation): void {
    inv.alive = false
    this.compare(inv, "cut off")
  }

  private ended(inv: Invocation, exit: Exit.Exit<Protocol.InvocationOutput, unknown>): void {
    if (inv !== this.current) return this.bury(inv)
    if (Exit.isFailure(exit)) {
      const failure = exit.cause.reasons[0]
      // lost beyond all resending: Lambda invokes again. Anything else is a bug. (Pages of the state may take all of its time.)
      const isLate = this.isLate(inv)
      const passes = (error: unknown) =>
        isLost(error) || (isLate && isOutOfTime(error)) || (error as { readonly _tag?: string })._tag === "SerdesFailed"
      if (failure?._tag === "Fail" && passes(failure.error)) {
        // (these programs do nothing by themselves, so the service always has something to go on with)
        if (isOutOfTime(failure.error) && this.loop.now < inv.began + this.setting.profile.deadline - MARGIN / 2 - 1)
          return this.report("OUT OF TIME, while it could still record something")
        if (isLate) this.count("out of time", undefined)
        this.current = undefined
        this.bury(inv)
        this.loop.after(this.rand() * 3, () => this.invoke(inv.verify))
        return
      }
      return this.report(`THROWN ${JSON.stringify(failure)}`)
    }
    const output = exit.value
    if (output.Status !== "PENDING" && this.crashes(inv, 1)) return this.die(inv) // the answer is lost
    inv.alive = false
    this.current = undefined
    this.compare(inv, output.Status === "PENDING" ? "suspended" : "completed")
    if (this.error !== undefined) return
    if (output.Status === "PENDING") {
      if (inv.strayed !== undefined) return this.report(`the verifying replay ${inv.strayed}`)
      if (inv.verify && !this.forgetful()) return this.report("the verifying replay suspended")
      const pending = this.service.pending()
      if (pending === "never") return this.report("PENDING with no pending operations")
      if (pending === "soon") this.loop.after(this.rand() * 2, () => this.invoke(inv.verify))
      else this.wanted = "waiting"
      return
    }
    const text = JSON.stringify(output)
    if (inv.strayed !== undefined) this.report(`the verifying replay ${inv.strayed}`)
    if (inv.verify) {
      this.verified = true
      if (text !== this.output)
        this.report(`the verifying replay ended with ${text}, the execution with ${this.output}`)
      return
    }
    this.output = text
    const { may, secret } = this.setting.change ?? {}
    if (!inv.old && /"NonDeterministic"/.test(text) && may !== undefined && may !== "nothing else") {
      this.diverged = true
      if (may === "diverge at once" && this.done > 0)
        this.report(`LATE after ${this.done} updates and attempts: ${text}`)
      if (secret !== undefined && this.told) this.report(`LEAKED ${secret}: ${text}`)
      this.verified = true
      return
    }
    if (
      /NonDeterministic|UntrackedAsync|InvalidOperation|SerdesFailed|PayloadTooLarge|LimitExceeded|Malformed|InvalidPayload/.test(
        text
      )
    ) {
      if (this.setting.unverified !== true) this.report(`FATAL ${text}`)
      return
    }
    if (this.setting.unverified === true) return
    // The order of the last deliveries decides nothing durable, so it is not recorded. It is written down here,
    // so that the verifying replay can be held to every decision.
    const root = inv.core?.root
    if (root?.unrecorded !== undefined) this.service.append(writeMarker(root))
    this.loop.after(0, () => this.invoke(true))
  }

  private wake(): void {
    if (this.wanted !== "waiting") return
    this.wanted = "scheduled"
    this.loop.after(this.rand() < 0.4 ? 0 : this.rand() * 2, () => {
      if (this.wanted === "scheduled" && this.current === undefined) this.invoke(false)
    })
  }

  // ---- the law of divergence -------------------------------------------------------------------------

  /**
   * How much of a world's log counts. Where the order is recorded, deliveries after the last record may come
   * in another order next time: nothing durable depends on them.
   */
  private counts(inv: Invocation, key: string, length: number, how: HowEnded): number {
    const durable = Math.min(length, inv.durable.get(key) ?? 0)
    if (this.setting.order === "timestamps") {
      // how far a context comes that its parent lets go of, and what it decides on the way, is on no record
      for (let w: World | undefined = inv.worlds.get(key); w !== undefined; w = w.parent)
        if (w.state === "lost" || w.abandoned) return durable
      if (how !== "cut off") return length
      // nor is where it was interrupted, until that is written down
      return this.setting.cleans === true ? durable : this.decided(inv, key, length)
    }
    const { rebuilding, state } = inv.worlds.get(key)!
    const isOver = state !== "open" && key !== "" // (all that the workflow's own body has done counts, also at its end)
    const full = isOver ? state === "ended" && rebuilding : how === "suspended" || (how === "completed" && key === "")
    return full ? length : durable
  }

  /**
   * Which of the items of a batch ends first is defined by the record of the batch alone, whatever the order. What
   * followed from one that was never recorded is lost with its invocation.
   */
  private decided(inv: Invocation, key: string, length: number): number {
    let least = length
    for (const [other, log] of inv.logs) {
      const durable = inv.durable.get(other) ?? 0
      const first = log.findIndex((entry, i) => i >= durable && BATCH.test(entry))
      if (first < 0) continue
      if (other === key) least = Math.min(least, first)
      for (let world = inv.worlds.get(other)!.parent; world !== undefined; world = world.parent) {
        if (keyOf(world) === key) least = Math.min(least, inv.durable.get(key) ?? 0)
      }
    }
    return least
  }

  /**
   * The latest stamp may have been on a record that is pruned by now, where hosts disagree about the time: a wait
   * that had ended by that clock ends again a little later. Nothing is decided differently, it takes an invocation more.
   */
  private forgetful(): boolean {
    return this.setting.profile.prune && this.setting.profile.skew > 0
  }

  private compare(inv: Invocation, how: HowEnded): void {
    if (inv.old !== this.isOld) return // what one code decides is nothing to the other
    for (const [key, all] of inv.logs) {
      const entries = all.slice(0, this.counts(inv, key, all.length, how))
      const known = this.best.get(key) ?? []
      const n = Math.min(known.length, entries.length)
      for (let i = 0; i < n; i++) {
        if (known[i] === entries[i]) continue
        const around = (log: ReadonlyArray<string>) => log.slice(Math.max(0, i - 3), i + 2).join(" | ")
        return this.report(`DIVERGED in context "${key}" at ${i}: was ${around(known)}, now ${around(entries)}`)
      }
      if (
        how === "suspended" &&
        !this.forgetful() &&
        !this.isLate(inv) &&
        entries.length < known.length &&
        inv.worlds.get(key)!.state === "open"
      ) {
        return this.report(
          `SHORTER: context "${key}" has come to ${entries.length} of ${known.length} entries, next was ${known[entries.length]}`
        )
      }
      if (entries.length > known.length) this.best.set(key, entries)
    }
  }

  // ---- the network -------------------------------------------------------------------------------------

  private network(): DurableExecutionClient["Service"] {
    const {
      loop,
      rand,
      service,
      setting: { profile }
    } = this
    const guard = (serve: () => void) => {
      this.guard(() => {
        serve()
        return true
      })
    }
    const read = (operation: Protocol.Operation) => this.count("on a later page", operation)
    return client({ loop, rand, service, profile, guard, read, caller: (token) => this.caller(token) })
  }

  private caller(token: string): Caller {
    const inv = this.byEpoch.get(Number(token.split(".")[0]))!
    return {
      isAlive: () => inv.alive,
      isLosable: !inv.verify,
      crashes: (factor) => this.crashes(inv, factor),
      die: () => this.die(inv),
      sent: (request) => this.sent(inv, request),
      refused: () => {
        if (inv === this.current && inv.epoch === this.service.epoch)
          this.report("REJECTED a token that was not the latest")
      }
    }
  }

  /** A request leaves: with it goes the order of everything delivered so far, unless the batch was too small. */
  private sent(inv: Invocation, request: Protocol.CheckpointRequest): void {
    const { ClientToken, Updates } = request
    this.total.requests++
    if (!inv.old) this.done += Updates.length
    if (Updates.some(({ Name }) => Name === this.setting.change?.secret)) this.told = true
    if (inv !== this.current) for (const update of Updates) this.count("written by a zombie", update)
    if (inv.verify && Updates.some(({ SubType }) => SubType === "Cleanup")) {
      // What was let go of last had no cleanup then, and has come further since. Nothing has followed from that but the
      // answer: were it lost, the cleanup would be done now (and beside it what it would have interrupted goes on).
      this.verified = true
      inv.alive = false
      return
    }
    if (inv.verify && Updates.length > 0) {
      inv.strayed ??= `wrote ${JSON.stringify(Updates)}`
      // (the order of what was delivered may go before the cleanup that follows from it)
      if (Updates.some(({ Name }) => Name !== MARKER_NAME)) this.report(`the verifying replay ${inv.strayed}`)
    }
    if (inv.upon.has(ClientToken)) {
      for (const update of Updates) this.count("resent", update)
      return
    }
    const { order, mayChoose, profile } = this.setting
    const markers = Updates.filter((update) => update.Name === MARKER_NAME)
    this.total.markers += markers.length / 2
    if (markers.length > 0 && !mayChoose) this.report(`a marker under ${order}, where there is no choice`)
    const isHeaded = markers.every((_, i) => Updates[i]?.Name === MARKER_NAME)
    if (profile.batchUpdates === 250 && !isHeaded) this.report("a marker behind other updates of its request")
    const upon = new Map(inv.durable)
    // (closed: what was queued when a fatal error ended it, and nothing follows from that)
    if (inv.checkpoints?.queued() === 0 && inv.core?.closed !== true) {
      for (const [key, log] of inv.logs) if (isGoingOn(inv.worlds.get(key)!)) upon.set(key, log.length)
    }
    for (const { Action, Id, Type } of Updates) {
      if (Type !== "CONTEXT" || Action === "START") continue
      for (const [key, log] of inv.logs) if (inv.worlds.get(key)!.place.parentId === Id) upon.set(key, log.length)
    }
    inv.upon.set(ClientToken, upon)
  }

  private applied(clientToken: string): void {
    for (const inv of this.byEpoch.values()) inv.durable = inv.upon.get(clientToken) ?? inv.durable
  }
}

/** Runs one execution of a program. */
export const simulate = (program: (env: Env) => Eff, setting: Setting): Result => new Simulation(program, setting).run()
