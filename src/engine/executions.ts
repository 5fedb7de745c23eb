/**
 * Carries executions: transactions, timers, invocations, chained invokes, ends. Everything that changes an
 * execution goes through `transact`, so that there is one writer at a time and nothing is seen before it is
 * stored.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import * as Store from "./ExecutionStore.ts"
import * as functions from "./functions.ts"
import * as Live from "./live.ts"
import * as pages from "./pages.ts"
import * as Registry from "./registry.ts"
import { retrySeconds, type Settings } from "./settings.ts"
import { Timers } from "./Timers.ts"
import * as tokens from "./tokens.ts"
import * as transition from "./transition.ts"
import * as validate from "./validate.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** What has just been stored. */
export interface Change {
  readonly execution: Store.ExecutionRecord
  readonly operations: ReadonlyArray<Store.OperationRecord>
  readonly events: ReadonlyArray<History.Event>
}

/** What starts an execution. */
export interface Launch {
  readonly registered: functions.Registered
  readonly version: string
  readonly name: string
  readonly id: string
  readonly payload: string | undefined
  readonly tenantId?: string | undefined
  readonly executionTimeoutSeconds?: number | undefined
  readonly caller?: Store.Caller | undefined
}

const storeFailed = (error: Store.ExecutionStoreError) =>
  new validate.Rejection({ errorName: "ServiceException", status: 500, reason: error.message })

// ---- the carrier ---------------------------------------------------------------------------------

/** Makes the carrier of an engine's executions. Everything it has started ends with the scope. */
export const make = Effect.fnUntraced(function* (settings: Settings) {
  const store = yield* Store.ExecutionStore
  const timers = yield* Timers
  const random = yield* Random.Random
  // Work is started in the context of the engine: the caller may be a workflow with a clock and a scheduler of its own.
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const registry = Registry.make()
  const lives = new Map<string, Live.Live>()
  const listeners = new Set<(change: Change) => void>()
  const newId = () => functions.uuid(random)

  /** Only the store can fail where nobody waits: an execution that cannot be stored stands still, and says so. */
  const reported = (effect: Effect.Effect<unknown, validate.Rejection>): Effect.Effect<void> =>
    effect.pipe(
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("an execution cannot go on", cause)
      ),
      Effect.exit,
      Effect.asVoid
    )

  /** Runs in the background; virtual time does not jump before it is done. */
  const background = (effect: Effect.Effect<unknown, validate.Rejection>) => {
    const release = timers.hold()
    run(Effect.ensuring(reported(effect), Effect.sync(release)))
  }

  // ---- transactions

  /**
   * Runs one change of an execution. The body is synchronous, so it sees one state; a rejection leaves
   * everything as it was. What follows from the change is started before the next transaction.
   */
  const transact = <A>(
    live: Live.Live,
    body: (draft: Live.Draft) => A | validate.Rejection
  ): Effect.Effect<A, validate.Rejection> =>
    live.lock
      .withPermit(
        Effect.suspend(() => {
          const draft = Live.begin(live, timers.now(), timers.second)
          const result = body(draft)
          if (result instanceof validate.Rejection) return Effect.fail(result)
          return Effect.map(Effect.mapError(store.commit(Live.toCommit(draft)), storeFailed), () => {
            Live.accept(draft)
            follow(live, draft)
            return result
          })
        })
      )
      .pipe(Effect.uninterruptible)

  const follow = (live: Live.Live, draft: Live.Draft) => {
    const { execution } = draft
    if (execution.status === "RUNNING") {
      for (const consequence of draft.consequences) {
        switch (consequence._tag) {
          case "StartTimer":
            startTimer(live, consequence.id, consequence.at)
            break
          case "StopTimer":
            stopTimer(live, consequence.id, consequence.at)
            break
          case "StartInvoke":
            background(startInvoke(execution, consequence.id, consequence.target, consequence.request))
        }
      }
    }
    if (draft.events.length + draft.operations.size > 0) {
      const change = { execution, operations: Array.from(draft.operations.values()), events: draft.events }
      for (const listener of listeners) listener(change)
    }
    if (execution.status !== "RUNNING" && !Deferred.isDoneUnsafe(live.ended)) end(live)
    for (const operation of draft.operations.values()) {
      if (operation.external) return wake(live)
    }
  }

  /** The execution is over: nothing of it happens any more, and whoever waits for it hears of it. */
  const end = (live: Live.Live) => {
    const { execution } = live
    for (const { cancel } of live.alarms.values()) cancel()
    live.alarms.clear()
    live.cancelRetry()
    live.cancelTimeout()
    if (live.running === undefined) lives.delete(execution.arn)
    Deferred.doneUnsafe(live.ended, Effect.void)
    if (execution.caller !== undefined) background(tellCaller(execution.caller, execution))
  }

  const tellCaller = (caller: Store.Caller, { error, result, status }: Store.ExecutionRecord) =>
    status === "RUNNING"
      ? Effect.void
      : completeInvoke(caller, {
          status,
          result,
          error: status === "TIMED_OUT" ? { ErrorType: "ChainedInvoke.Timeout", ...error } : error
        })

  // ---- timers

  const startTimer = (live: Live.Live, id: string, at: number) => {
    const alarm = live.alarms.get(at)
    if (alarm !== undefined) {
      alarm.ids.add(id)
      return
    }
    const ids = new Set([id])
    live.alarms.set(at, { ids, cancel: timers.schedule(at, expire(live, at, ids)) })
  }

  const stopTimer = (live: Live.Live, id: string, at: number) => {
    const alarm = live.alarms.get(at)
    if (alarm === undefined) return
    alarm.ids.delete(id)
    if (alarm.ids.size > 0) return
    alarm.cancel()
    live.alarms.delete(at)
  }

  /** Completes what is due at one instant, all of it in one transaction. */
  const expire = (live: Live.Live, at: number, ids: ReadonlySet<string>): Effect.Effect<void> =>
    reported(
      transact(live, (draft) => {
        if (draft.execution.status !== "RUNNING") return
        live.alarms.delete(at)
        for (const id of ids) {
          const before = Live.lookup(draft, id)
          const expired = before === undefined ? undefined : transition.expire(before, at, draft.instant)
          // Its timer is this one, which has just rung.
          if (expired !== undefined) Live.apply(draft, { ...expired, consequences: [] })
        }
      })
    )

  const startTimeout = (live: Live.Live) => {
    live.cancelTimeout()
    live.cancelTimeout = timers.schedule(live.execution.timeoutAt, reported(transact(live, Live.timeOut)))
  }

  // ---- starting

  /** Records a new execution and invokes its function. */
  const launch = Effect.fnUntraced(function* (options: Launch) {
    const { registered, version } = options
    const arn = functions.executionArn(settings.place, registered.name, version, options.name, options.id)
    const now = timers.now()
    const limit = options.executionTimeoutSeconds ?? registered.options.executionTimeoutSeconds
    const timeoutSeconds = Math.min(limit ?? Infinity, functions.MAX_EXECUTION_SECONDS)
    const execution: Store.ExecutionRecord = {
      arn,
      id: options.id,
      functionName: registered.name,
      version,
      name: options.name,
      status: "RUNNING",
      input: options.payload,
      startedAt: now,
      timeoutSeconds,
      timeoutAt: now + timeoutSeconds * timers.second,
      tenantId: options.tenantId,
      caller: options.caller,
      stamp: now - 1,
      events: 0,
      operations: 0,
      bytes: validate.byteLength(options.payload),
      changes: 0,
      outstanding: 0,
      failures: 0,
      invocation: { number: 0, requestId: "", startedAt: now, open: false, token: 0, seen: 0 }
    }
    const live = Live.fromSnapshot({ execution, operations: [], answered: [] })
    lives.set(arn, live)
    const record = transact(live, (draft) => {
      const operation: Protocol.Operation = {
        Id: options.id,
        Type: "EXECUTION",
        Name: options.name,
        Status: "STARTED",
        StartTimestamp: draft.instant.stamp,
        ExecutionDetails: options.payload === undefined ? {} : { InputPayload: options.payload }
      }
      Live.put(draft, { operation, position: 0, changed: 0, external: false })
      Live.record(draft, [transition.executionStarted(draft.execution)])
    })
    yield* Effect.onError(record, () => Effect.sync(() => lives.delete(arn)))
    // Without a limit of its own an execution may last a year: no timer, or skipped time would jump there.
    if (limit !== undefined) startTimeout(live)
    wake(live)
    return arn
    // who starts it may go away meanwhile: what is stored is carried on with
  }, Effect.uninterruptible)

  // ---- invocations

  /** Something happened: invokes, unless an invocation runs (which may see it itself). */
  const wake = (live: Live.Live): void => {
    const { functionName, status } = live.execution
    if (status !== "RUNNING" || live.running !== undefined) return
    const registered = registry.known.get(functionName)
    if (registered === undefined) return registry.when(functionName, () => wake(live))
    live.cancelRetry()
    const answer = Deferred.makeUnsafe<unknown, functions.InvocationError>()
    live.running = { crash: (error) => Deferred.doneUnsafe(answer, Effect.fail(error)) }
    background(invoke(live, registered, answer))
  }

  const invoke = Effect.fnUntraced(function* (
    live: Live.Live,
    registered: functions.Registered,
    answer: Deferred.Deferred<unknown, functions.InvocationError>
  ) {
    // What happens at the same instant is recorded first, and seen by this one invocation.
    yield* Effect.yieldNow
    const event = yield* transact(live, (draft) =>
      draft.execution.status === "RUNNING" ? open(live, draft) : undefined
    )
    if (event === undefined) return void lives.delete(live.execution.arn) // stopped, or out of time, meanwhile
    const stopClock = execute(live, registered, event, answer)
    const exit = yield* Effect.exit(Deferred.await(answer))
    stopClock()
    const verdict = yield* transact(live, (draft) => settle(live, draft, exit))
    live.running = undefined
    if (live.execution.status !== "RUNNING") lives.delete(live.execution.arn)
    else if (verdict._tag === "Faulty") retry(live, verdict.error)
    else if (Live.unseen(live).length > 0) wake(live)
  })

  /** Opens an invocation: a new request id, a new token, and the event. */
  const open = (live: Live.Live, draft: Live.Draft): unknown => {
    const { execution } = draft
    const updated = execution.invocation.number === 0 ? [] : Live.unseen(live)
    draft.execution = {
      ...execution,
      invocation: {
        number: execution.invocation.number + 1,
        requestId: newId(),
        startedAt: draft.instant.stamp,
        open: true,
        token: 1,
        seen: execution.changes
      }
    }
    const operations = pages.visible(live.operations.values())
    const { next, page } = pages.cut(operations, 0, settings.eventPage, true)
    return pages.toJson(execution.startedAt, {
      DurableExecutionArn: execution.arn,
      CheckpointToken: tokens.write(draft.execution),
      InitialExecutionState: {
        Operations: page,
        NextMarker: next === undefined ? "" : pages.writeMarker(execution.id, { _tag: "State", offset: next })
      },
      UpdatedOperationIds: updated
    })
  }

  /** Starts the function. Whatever it still does after the answer, or a crash, is cut off. */
  const execute = (
    live: Live.Live,
    registered: functions.Registered,
    event: unknown,
    answer: Deferred.Deferred<unknown, functions.InvocationError>
  ) => {
    const { execution } = live
    const seconds = registered.options.invocationTimeoutSeconds ?? functions.MAX_INVOCATION_SECONDS
    // Only a limit that was asked for gets a timer: skipped time must not run into one that nobody knows of.
    const isLimited = registered.options.invocationTimeoutSeconds !== undefined
    let deadline = Infinity
    let isOver = false
    let cancel = () => {}
    const restart = (extra: number) => {
      if (isOver) return
      cancel()
      deadline = timers.now() + (seconds + extra) * 1000
      const crash = Effect.sync(() => live.running?.crash(functions.timedOut(seconds)))
      if (isLimited && deadline < Infinity) cancel = timers.schedule(deadline, crash)
    }
    const context = functions.makeContext({
      requestId: execution.invocation.requestId,
      name: registered.name,
      version: execution.version,
      place: settings.place,
      tenantId: execution.tenantId,
      deadline: () => deadline,
      now: timers.now
    })
    functions.onAllow(context, restart)
    restart(0)
    const fiber = run(
      Effect.suspend(() => registered.executor(event, context)).pipe(
        Effect.onExit((exit) => Effect.sync(() => Deferred.doneUnsafe(answer, exit))),
        Effect.exit,
        Effect.asVoid
      )
    )
    return () => {
      isOver = true
      cancel()
      fiber.interruptUnsafe()
    }
  }

  /** Closes an invocation: what it answered decides how the execution goes on. */
  const settle = (
    live: Live.Live,
    draft: Live.Draft,
    exit: Exit.Exit<unknown, functions.InvocationError>
  ): functions.Verdict => {
    const { execution } = draft
    const isOver = execution.status !== "RUNNING" // closed by a checkpoint, a stop, a timeout: the answer is ignored
    const verdict = functions.judge(exit, isOver || execution.outstanding > 0 || Live.unseen(live).length > 0)
    const failed = verdict._tag === "Faulty"
    const error = failed && !(isOver && Exit.isSuccess(exit)) ? functions.errorObject(verdict.error) : undefined
    Live.record(draft, [transition.invocationCompleted(execution.invocation, draft.instant.stamp, error)])
    draft.execution = {
      ...draft.execution,
      failures: failed ? execution.failures + 1 : 0,
      invocation: { ...execution.invocation, open: false }
    }
    if (isOver) return verdict
    if (verdict._tag === "Succeeded") Live.close(draft, { status: "SUCCEEDED", result: verdict.result })
    if (verdict._tag === "Failed") Live.close(draft, { status: "FAILED", error: verdict.error })
    const retries = registry.known.get(execution.functionName)?.options.retries ?? settings.retry.retries
    if (failed && draft.execution.failures > retries) {
      Live.close(draft, { status: "FAILED", error: functions.errorObject(verdict.error) })
    }
    return verdict
  }

  const retry = (live: Live.Live, error: functions.InvocationError) => {
    const { failures, timeoutAt } = live.execution
    const seconds = retrySeconds(settings.retry, failures, error)
    if (seconds === 0) return wake(live)
    const at = timers.now() + seconds * timers.second
    if (at >= timeoutAt) return startTimeout(live)
    live.cancelRetry = timers.schedule(
      at,
      Effect.sync(() => wake(live))
    )
  }

  /** Invokes at once those executions of a function that wait for their next try. */
  const retryNow = (functionName: string) => {
    for (const live of lives.values()) {
      if (live.execution.functionName === functionName && live.execution.failures > 0) wake(live)
    }
  }

  // ---- chained invokes

  const startInvoke = Effect.fnUntraced(function* (
    caller: Store.ExecutionRecord,
    operationId: string,
    target: transition.Target,
    { payload, tenantId }: transition.Request
  ) {
    if (target._tag === "Unknown") return
    const registered = registry.known.get(target.functionName)
    if (registered === undefined) return
    const origin = { arn: caller.arn, operationId }
    if (target._tag === "Durable") {
      const [id = "", name = ""] = target.arn.split("/").reverse()
      yield* launch({ registered, version: target.version, name, id, payload, tenantId, caller: origin })
      return
    }
    const { clock, now } = timers
    const request = { requestId: newId(), place: settings.place, now, clock, version: target.version, tenantId }
    const exit = yield* Effect.exit(functions.callPlain(registered, payload, request))
    yield* completeInvoke(
      origin,
      Exit.isSuccess(exit)
        ? { status: "SUCCEEDED", result: exit.value }
        : { status: "FAILED", error: functions.errorObject(functions.fromCause(exit.cause)) }
    )
  })

  const completeInvoke = (caller: Store.Caller, outcome: transition.Outcome): Effect.Effect<void, validate.Rejection> =>
    Effect.suspend(() => {
      const live = lives.get(caller.arn)
      if (live === undefined) return Effect.void // it has ended meanwhile
      return transact(live, (draft) => {
        const before = Live.lookup(draft, caller.operationId)
        if (draft.execution.status !== "RUNNING" || before?.operation.Status !== "STARTED") return
        Live.apply(draft, transition.complete(before, outcome, draft.instant))
      })
    })

  // ---- carrying on after a restart

  /** Takes up a stored execution: its open invocation has crashed, what was due meanwhile is due now. */
  const resume = Effect.fnUntraced(function* (arn: string) {
    const snapshot = yield* Effect.mapError(store.load(arn), storeFailed)
    if (Option.isNone(snapshot) || lives.has(arn)) return
    const live = Live.fromSnapshot(snapshot.value)
    lives.set(arn, live)
    const { invocation } = live.execution
    if (invocation.open) {
      yield* transact(live, (draft) => void settle(live, draft, Exit.fail(functions.exited())))
      if (live.execution.status !== "RUNNING") return
    }
    if (live.execution.timeoutSeconds < functions.MAX_EXECUTION_SECONDS) startTimeout(live)
    for (const record of live.operations.values()) {
      const { operation, target } = record
      const at = transition.due(record)
      if (at !== undefined) startTimer(live, operation.Id, at)
      else if (target !== undefined && operation.Status === "STARTED") {
        background(resumeInvoke(live, operation.Id, target))
      }
    }
    const { failures } = live.execution
    if (invocation.open || invocation.number === 0 || failures > 0 || Live.unseen(live).length > 0) wake(live)
  })

  /** Takes up all that is stored and running. One that cannot be read stands still, and the others go on. */
  const recover = Effect.gen(function* () {
    const arns = (yield* store.running).filter((arn) => !lives.has(arn))
    let resumed = 0
    const count = Effect.sync(() => resumed++)
    yield* Effect.forEach(arns, (arn) => reported(Effect.andThen(resume(arn), count)), { discard: true })
    return resumed
  })

  /**
   * A chained invoke that was open when the process ended. A durable target carries on by itself, unless it
   * had ended, or was not even started; a plain one was lost with the process and runs again.
   */
  const resumeInvoke = Effect.fnUntraced(function* (
    live: Live.Live,
    id: string,
    request: NonNullable<Store.OperationRecord["target"]>
  ) {
    const { arn } = request
    const known = arn === undefined ? Option.none() : yield* Effect.mapError(store.execution(arn), storeFailed)
    if (Option.isSome(known)) return yield* tellCaller({ arn: live.execution.arn, operationId: id }, known.value)
    const reference = functions.parseReference(request.functionName)
    registry.when(reference.name, () => {
      if (live.execution.status !== "RUNNING") return
      const { name: functionName, options } = registry.known.get(reference.name)! // it is there now
      const version = functions.resolveVersion(reference, options)
      const target: transition.Target =
        arn === undefined ? { _tag: "Plain", functionName, version } : { _tag: "Durable", functionName, version, arn }
      background(startInvoke(live.execution, id, target, request))
    })
  })

  return { launch, listeners, lives, newId, recover, registry, retryNow, store, timers, transact }
})

/** The carrier of an engine's executions. */
export type Executions = Effect.Success<ReturnType<typeof make>>
