/**
 * Runs executions on an engine in this process.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as CheckpointService from "../CheckpointService.ts"
import { DurableExecutionClient } from "../DurableExecutionClient.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import * as DurableHandler from "../DurableHandler.ts"
import * as DurableLogger from "../DurableLogger.ts"
import * as Engine from "../engine/Engine.ts"
import { parseReference } from "../engine/functions.ts"
import type * as Protocol from "../Protocol.ts"
import { payloadCodec } from "../Serdes.ts"
import { writeError, writeFailed, writeInput, writeValue, type Written } from "./answers.ts"
import type { Driver, End, OpenCallback, Options, Target } from "./Driver.ts"
import { instrument, type Watch } from "./instrument.ts"
import * as Traces from "./traces.ts"
import { makeParty, type Party, type VirtualTimers } from "./VirtualTimers.ts"

/** How the executions of a driver are run. */
export interface Setup {
  /** Moves the test's clock. */
  readonly move: (duration: Duration.Input) => Effect.Effect<void>
  /** The engine's time, where it is one that jumps. */
  readonly virtual?: VirtualTimers | undefined
  /** Sees every attempt. */
  readonly watch?: Watch | undefined
  /** Sees every answer of an invocation, and may lose it. */
  readonly answered?: ((arn: string, output: unknown) => Effect.Effect<unknown, Engine.InvocationError>) | undefined
}

/** A macrotask: everything that promises and the engine have to do meanwhile is done. */
const macrotask = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Rounds without an invocation after which nothing is under way any more. */
const QUIET_ROUNDS = 3

/** An invocation that has recorded nothing for so many real milliseconds waits for the test's clock, as a step that sleeps. */
const QUIET_MILLIS = 20

/** So long, in real time, nothing may go on before it counts as a standstill: whoever is to answer has had the time. */
const STANDSTILL_MILLIS = 100

const real = Context.get(Context.empty(), Clock.Clock)
const millisecond = real.sleep(Duration.millis(1))

const secondsOf = (input: Duration.Input | undefined): number | undefined =>
  input === undefined ? undefined : Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(input)))

/** A function of the engine that a test has made. */
interface KnownFunction {
  readonly definition: DurableFunction.Any
  readonly body: unknown
  /** Its timeout. */
  readonly seconds: number | undefined
  readonly name: string
}

const nobodyAsks = (name: string): Effect.Effect<never> =>
  Effect.die(new Error(`The execution has ended, and there is no callback "${name}" to answer.`))

const arnOf = (event: unknown): string => (event as Protocol.InvocationEvent).DurableExecutionArn

export const make = Effect.fnUntraced(function* ({ answered, move, virtual, watch }: Setup) {
  const engine = yield* Engine.Engine
  const context = yield* Layer.build(
    Layer.provide(CheckpointService.layer, Layer.succeed(DurableExecutionClient, engine.client))
  )
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  /** What a test has answered wrongly: every wait for an end fails with it. */
  const mistaken = yield* Deferred.make<never>()
  const functions: Array<KnownFunction> = []
  /** What runs an execution: that of the test that has started it, whoever starts others of the same function. */
  const executors = new Map<string, Engine.Executor>()
  const parties = new Map<string, Party>()
  /** How often steps were run, by execution and name. */
  const runs = new Map<string, Map<string, number>>()
  const traces = Traces.make()
  const answers = new Map<string, (callback: OpenCallback) => Effect.Effect<Written>>()
  /** Callbacks that an answer of the test is on its way to, or that the test was given. */
  const taken = new Set<string>()
  const listeners = new Set<(change: Engine.Change) => void>()
  /** Time stands still for callbacks that the test was given. */
  const held = new Map<string, () => void>()
  let invoking = 0
  let changes = 0

  yield* engine.subscribe((change) => {
    changes++
    if (change.execution.status !== "RUNNING") executors.delete(change.execution.arn)
    for (const { operation } of change.operations) created(change.execution.arn, operation)
    for (const listener of listeners) listener(change)
  })

  const settle = Effect.gen(function* () {
    let seen = changes
    for (let quiet = 0; quiet < (invoking === 0 ? QUIET_ROUNDS : QUIET_MILLIS);) {
      yield* invoking === 0 ? macrotask : millisecond
      quiet = changes === seen ? quiet + 1 : 0
      seen = changes
    }
  })

  const hold = (): (() => void) => virtual?.timers.hold() ?? (() => {})

  const letGo = Effect.sync(() => {
    for (const release of held.values()) release()
    held.clear()
  })

  // ---- functions

  const noting = <A, E, R>(arn: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.tapCause(effect, (cause) => Effect.sync(() => traces.note(arn, cause)))

  const counting: Watch = (attempt, effect) => {
    const { executionArn } = attempt.invocation
    const { name } = attempt.op.spec
    const found = watch?.(attempt, effect) ?? effect
    if (attempt.interrupted) return found
    const counted = Effect.suspend(() => {
      const counts = runs.get(executionArn) ?? new Map<string, number>()
      runs.set(executionArn, counts)
      counts.set(name, (counts.get(name) ?? 0) + 1)
      return noting(executionArn, found)
    })
    return parties.get(executionArn)?.run(counted) ?? counted
  }
  const kit = instrument(counting)

  const executor =
    (definition: DurableFunction.Any, own: DurableHandler.AnyBody<any>, options: Options): Engine.Executor<any> =>
    (event, lambda) =>
      Effect.suspend(() => {
        invoking++
        const body: DurableHandler.AnyBody<any> = (payload) =>
          noting(
            arnOf(event),
            Effect.suspend(() => own(payload))
          )
        if (virtual !== undefined) parties.set(arnOf(event), makeParty(virtual))
        // the engine stamps each request later than the one before, so no request needs to wait for its order
        const run = { ...options, pace: 0, plugins: [kit, ...(options.plugins ?? [])] }
        if (options.functionTimeout === undefined) {
          return DurableHandler.invocation(definition, body, { ...run, deadlineMargin: 0 }, event, lambda)
        }
        const invocation = DurableHandler.invocation(definition, body, run, event, lambda)
        // its own timer comes before that of the service, whatever else time waits for
        return virtual === undefined
          ? invocation
          : Effect.provideService(invocation, Clock.Clock, { ...virtual.timers.clock, sleep: virtual.sleep })
      }).pipe(
        Effect.ensuring(Effect.sync(() => invoking--)),
        Effect.mapError(Engine.fromThrown),
        Effect.flatMap((output) => answered?.(arnOf(event), output) ?? Effect.succeed(output)),
        Effect.provideContext(context),
        Effect.updateService(Logger.CurrentLoggers, (loggers) => new Set([...loggers].map(DurableLogger.replayAware)))
      )

  /** One function per definition and body. */
  const functionName = (definition: DurableFunction.Any, body: unknown, options: Options) => {
    const seconds = secondsOf(options.functionTimeout)
    const known = functions.find((one) => one.definition === definition && one.body === body && one.seconds === seconds)
    if (known !== undefined) return known.name
    const base = definition.name.replace(/[^a-zA-Z0-9-_]/g, "-")
    const name = functions.some((one) => one.name === base) ? `${base}-${functions.length}` : base
    functions.push({ definition, body, seconds, name })
    return name
  }

  /** Gives what runs the executions that are started with these services and options. */
  const register = (
    name: string,
    definition: DurableFunction.Any,
    body: DurableHandler.AnyBody<any>,
    options: Options
  ): Effect.Effect<Engine.Executor, never, any> =>
    Effect.contextWith((services: Context.Context<any>) => {
      const run = executor(definition, body, options)
      const own: Engine.Executor = (event, lambda) =>
        Effect.flatMap(Clock.Clock, (clock) =>
          Effect.provideContext(Effect.provideService(run(event, lambda), Clock.Clock, clock), services)
        )
      const dispatch: Engine.Executor = (event, lambda) => {
        const arn = arnOf(event)
        const known = executors.get(arn) ?? own
        executors.set(arn, known)
        return known(event, lambda)
      }
      const timeouts = {
        executionTimeoutSeconds: secondsOf(options.executionTimeout),
        invocationTimeoutSeconds: secondsOf(options.functionTimeout)
      }
      return Effect.as(engine.register(name, dispatch, timeouts), own)
    })

  /** What stands in for the outside runs in the engine's time, and may sleep in it. */
  const outside = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    virtual === undefined ? effect : makeParty(virtual).run(effect)

  /** A defect of what stands in for the outside is one of the test: nobody would see it otherwise, but be invoked again. */
  const ofTest = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.tapCause(effect, (cause) =>
      Cause.hasDies(cause) ? Deferred.failCause(mistaken, Cause.die(Cause.squash(cause))) : Effect.void
    )

  const onInvoke = (
    reference: string,
    target: Target,
    answer: (payload: unknown) => Effect.Effect<unknown, unknown, any>
  ) => {
    const { name } = parseReference(reference)
    const payload = payloadCodec(target.payload)
    if ("name" in target) {
      const definition = target as DurableFunction.Any
      return engine.register(name, (event) => {
        const { InitialExecutionState } = event as Protocol.InvocationEvent
        const execution = InitialExecutionState?.Operations?.find(({ Type }) => Type === "EXECUTION")
        return Effect.orDie(payload.decode(execution?.ExecutionDetails?.InputPayload)).pipe(
          Effect.flatMap((input) => outside(answer(input))),
          ofTest,
          Effect.matchEffect({
            onSuccess: (value) =>
              Effect.map(writeValue(name, definition.success, value), (Result) => ({ Status: "SUCCEEDED", Result })),
            onFailure: (failure) =>
              Effect.map(writeFailed(name, definition.error, failure), (Error) => ({ Status: "FAILED", Error }))
          })
        )
      })
    }
    return engine.registerPlain(name, (event) =>
      Effect.orDie(payload.decode(event === null ? undefined : JSON.stringify(event))).pipe(
        Effect.flatMap((input) => outside(answer(input))),
        ofTest,
        Effect.matchEffect({
          onSuccess: (value) =>
            Effect.map(writeValue(name, target.success, value), (text) =>
              text === undefined ? undefined : (JSON.parse(text) as unknown)
            ),
          onFailure: (failure) =>
            Effect.flatMap(writeError(name, undefined, failure), (error) =>
              Effect.fail(
                new Engine.InvocationError({
                  errorType: error.ErrorType ?? "Error",
                  reason: error.ErrorMessage ?? ""
                })
              )
            )
        })
      )
    )
  }

  // ---- callbacks

  const openCallback = (
    executionArn: string,
    { CallbackDetails, Name }: Protocol.Operation,
    all: ReadonlyArray<Protocol.Operation>
  ): OpenCallback => {
    const callbackId = CallbackDetails?.CallbackId ?? ""
    const named = all.filter((other) => other.Type === "CALLBACK" && other.Name === Name)
    const nth = named.findIndex((other) => other.CallbackDetails?.CallbackId === callbackId) + 1
    return { callbackId, executionArn, nth: nth === 0 ? named.length + 1 : nth }
  }

  const isOpen = (operation: Protocol.Operation): boolean =>
    operation.Type === "CALLBACK" && operation.Status === "STARTED" && !taken.has(callbackIdOf(operation))
  const callbackIdOf = ({ CallbackDetails }: Protocol.Operation): string => CallbackDetails?.CallbackId ?? ""

  const answer = (callbackId: string, written: Written): Effect.Effect<void> =>
    (written._tag === "Success"
      ? engine.succeedCallback(callbackId, written.text)
      : engine.failCallback(callbackId, written.error)
    ).pipe(
      Effect.orDie,
      Effect.ensuring(
        Effect.sync(() => {
          held.get(callbackId)?.()
          held.delete(callbackId)
        })
      )
    )

  /** A callback has come to exist: what the test has declared for it is answered once everything else has come to rest. */
  const created = (arn: string, operation: Protocol.Operation): void => {
    const declared = operation.Name === undefined ? undefined : answers.get(operation.Name)
    if (declared === undefined || !isOpen(operation)) return
    taken.add(callbackIdOf(operation))
    const release = hold()
    run(
      Effect.gen(function* () {
        yield* settle
        const callback = openCallback(arn, operation, yield* engine.operations(arn))
        const written = yield* outside(declared(callback))
        const { Status } = yield* engine.describe(arn)
        const now = (yield* engine.operations(arn)).find(({ Id }) => Id === operation.Id)
        // too late: it has timed out, or the execution has ended meanwhile
        if (Status === "RUNNING" && now?.Status === "STARTED") yield* answer(callback.callbackId, written)
      }).pipe(
        Effect.provideService(Clock.Clock, virtual?.timers.clock ?? clock),
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.void
            : Effect.asVoid(Deferred.failCause(mistaken, Cause.die(Cause.squash(cause))))
        ),
        Effect.ensuring(Effect.sync(release))
      )
    )
  }
  const clock = yield* Clock.Clock

  const onCallback: Driver["onCallback"] = (name, declared) =>
    Effect.contextWith((services: Context.Context<any>) =>
      Effect.gen(function* () {
        answers.set(name, (callback) =>
          Effect.flatMap(Clock.Clock, (clock) =>
            Effect.provideContext(Effect.provideService(declared(callback), Clock.Clock, clock), services)
          )
        )
        for (const { DurableExecutionArn: arn } of yield* Effect.orDie(engine.list({ status: "RUNNING" }))) {
          for (const operation of yield* Effect.orDie(engine.operations(arn))) created(arn, operation)
        }
      })
    )

  const callback = (arn: string, name: string): Effect.Effect<OpenCallback> => {
    const take = (operation: Protocol.Operation): void => {
      const id = callbackIdOf(operation)
      taken.add(id)
      held.set(id, hold())
    }
    const named = (operation: Protocol.Operation) => operation.Name === name && isOpen(operation)
    return Effect.gen(function* () {
      const known = (yield* Effect.orDie(engine.operations(arn))).find(named)
      if (known !== undefined) take(known)
      else if ((yield* Effect.orDie(engine.describe(arn))).Status !== "RUNNING") return yield* nobodyAsks(name)
      const found =
        known ??
        (yield* Effect.callback<Protocol.Operation>((resume) => {
          const listener = ({ execution, operations }: Engine.Change) => {
            if (execution.arn !== arn) return
            const found = operations.map(({ operation }) => operation).find(named)
            if (found !== undefined) {
              take(found)
              listeners.delete(listener)
              resume(Effect.succeed(found))
            } else if (execution.status !== "RUNNING") {
              listeners.delete(listener)
              resume(nobodyAsks(name))
            }
          }
          listeners.add(listener)
          return Effect.sync(() => listeners.delete(listener))
        }))
      return openCallback(arn, found, yield* Effect.orDie(engine.operations(arn)))
    })
  }

  const standstill: Driver["standstill"] = (forMillis = STANDSTILL_MILLIS) =>
    virtual === undefined
      ? Effect.never
      : Effect.callback<void>((resume) => {
          let timer: NodeJS.Timeout | undefined
          const listener = () => {
            clearTimeout(timer)
            const seen = changes
            timer = setTimeout(() => {
              if (seen === changes) resume(Effect.void)
            }, forMillis)
          }
          const remove = virtual.onStandstill(listener)
          return Effect.sync(() => {
            clearTimeout(timer)
            remove()
          })
        })

  const driver: Driver = {
    start: Effect.fnUntraced(function* (definition, body, payload, options) {
      const name = functionName(definition, body, options)
      const own = yield* register(name, definition, body, options)
      const text = yield* writeInput(definition, payload)
      const arn = yield* Effect.orDie(
        engine.start({
          functionName: `${name}:$LATEST`,
          ...(text === undefined ? undefined : { payload: text }),
          ...(options.executionName === undefined ? undefined : { executionName: options.executionName })
        })
      )
      if (!executors.has(arn)) executors.set(arn, own)
      return arn
    }),
    end: (arn) =>
      Effect.andThen(
        letGo,
        Effect.raceFirst(
          Effect.orDie(engine.await(arn)) as Effect.Effect<End>, // a description has these fields
          Deferred.await(mistaken)
        )
      ),
    standstill,
    restore: traces.restore,
    status: (arn) => Effect.map(Effect.orDie(engine.describe(arn)), ({ Status }) => Status),
    operations: (arn) => Effect.orDie(engine.operations(arn)),
    history: (arn) => Effect.orDie(engine.history(arn)),
    runs: (arn, name) => Effect.sync(() => runs.get(arn)?.get(name) ?? 0),
    callback,
    answer,
    heartbeat: (callbackId) => Effect.orDie(engine.heartbeatCallback(callbackId)),
    stop: (arn, error) => Effect.asVoid(Effect.orDie(engine.stop(arn, error))),
    onCallback,
    onInvoke,
    register: (reference, definition, body, options) => {
      const { name } = parseReference(reference)
      functions.push({ definition, body, seconds: secondsOf(options.functionTimeout), name })
      return Effect.asVoid(register(name, definition, body, options))
    },
    advance: (duration) => Effect.andThen(letGo, Effect.andThen(settle, Effect.andThen(move(duration), settle)))
  }
  return driver
})
