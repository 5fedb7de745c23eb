/**
 * Runs executions of deployed functions. What a runner in memory is told, this one asks for, every now and then.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as DurableClient from "../DurableClient.ts"
import * as DurableError from "../DurableError.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as History from "../History.ts"
import { awaitEnd, hasEnded } from "../internal/executionEnd.ts"
import type * as Protocol from "../Protocol.ts"
import { writeInput, type Written } from "./answers.ts"
import type { Driver, OpenCallback } from "./Driver.ts"
import { rebuild } from "./rebuild.ts"

/** How a test reaches the deployed functions. */
export interface CloudOptions {
  /** The qualified names of the functions, by the names of their definitions: `{ "process-order": "process-order:live" }`. */
  readonly functions:
    | Readonly<Record<string, DurableFunction.QualifiedName>>
    | ((definitionName: string) => DurableFunction.QualifiedName)
  /** How often to ask what has happened. Default: 500 milliseconds. */
  readonly pollInterval?: Duration.Input | undefined
  /**
   * How long `advance`, and answers that sleep, wait: 0.01 where a second of the functions' time takes 10 ms, as on a
   * local engine with scaled time. Default: 1.
   */
  readonly timeScale?: number | undefined
}

/** The real clock: those of tests stand still. */
const real: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

export const make = Effect.fnUntraced(function* ({ functions, pollInterval = 500, timeScale = 1 }: CloudOptions) {
  const client = yield* DurableClient.DurableClient
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const interval = Duration.fromInputUnsafe(pollInterval)
  const answers = new Map<string, (callback: OpenCallback) => Effect.Effect<Written>>()
  const taken = new Set<string>()
  const started = new Set<string>()
  const watched = new Set<string>()

  /** What a test has answered wrongly: every wait for an end, or for a callback, fails with it. */
  const mistaken = yield* Deferred.make<never>()

  /** In real time, and a failure of the service is one of the test. */
  const call = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A> =>
    Effect.orDie(Effect.provideService(effect, Clock.Clock, real))

  /** As `call`, for what may be asked again: many tests at a time are more than the service answers. */
  const ask = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A> =>
    call(
      Effect.retry(effect, {
        while: (error) => error instanceof DurableError.ClientFailed && error.transient,
        schedule: Schedule.jittered(Schedule.exponential("200 millis")),
        times: 6
      })
    )

  /** The real clock, but for its sleep: what else it can do is in its class. */
  const scaled: Clock.Clock = Object.assign(Object.create(real) as Clock.Clock, {
    sleep: (duration: Duration.Duration) => real.sleep(Duration.times(duration, timeScale))
  })

  const nameOf = (definitionName: string): Effect.Effect<DurableFunction.QualifiedName> => {
    const name = typeof functions === "function" ? functions(definitionName) : functions[definitionName]
    return name === undefined
      ? Effect.die(
          new Error(
            `TestRunner.layerCloud: no function is given for the definition "${definitionName}". Add it to ` +
              `\`functions\`: { "${definitionName}": "${definitionName}:live" }.`
          )
        )
      : Effect.succeed(name)
  }

  const history = (arn: string): Effect.Effect<ReadonlyArray<History.Event>> =>
    ask(
      Effect.map(
        Effect.provideService(Stream.runCollect(DurableClient.history(arn)), DurableClient.DurableClient, client),
        (events) => Array.from(events)
      )
    )

  const operations = (arn: string) => Effect.map(history(arn), (events) => rebuild(events).operations)

  const callbacksOf = (all: ReadonlyArray<Protocol.Operation>, name: string | undefined) =>
    all.filter((operation) => operation.Type === "CALLBACK" && operation.Name === name)

  const openCallback = (
    executionArn: string,
    operation: Protocol.Operation,
    all: ReadonlyArray<Protocol.Operation>
  ): OpenCallback => ({
    callbackId: operation.CallbackDetails?.CallbackId ?? "",
    executionArn,
    nth: callbacksOf(all, operation.Name).indexOf(operation) + 1
  })

  const isOpen = ({ CallbackDetails, Status }: Protocol.Operation) =>
    Status === "STARTED" && !taken.has(CallbackDetails?.CallbackId ?? "")

  const send = (callbackId: string, written: Written) =>
    written._tag === "Success"
      ? client.succeedCallback(callbackId, written.text)
      : client.failCallback(callbackId, written.error)

  // ---- answers that a test has declared

  const isOver = (arn: string) => Effect.map(ask(client.get(arn)), hasEnded)

  /** Answers what is open now. */
  const answerOpen = (arn: string): Effect.Effect<void> =>
    Effect.map(operations(arn), (all) => {
      for (const [name, answer] of answers) {
        for (const operation of callbacksOf(all, name).filter(isOpen)) {
          const callback = openCallback(arn, operation, all)
          taken.add(callback.callbackId)
          run(
            Effect.provideService(answer(callback), Clock.Clock, scaled).pipe(
              Effect.flatMap((written) => Effect.provideService(send(callback.callbackId, written), Clock.Clock, real)),
              // too late: it has timed out, or its execution has ended meanwhile
              Effect.catchTag("CallbackNotOpen", () => Effect.void),
              Effect.catchCause((cause) =>
                Cause.hasInterruptsOnly(cause)
                  ? Effect.void
                  : Effect.asVoid(Deferred.failCause(mistaken, Cause.die(Cause.squash(cause))))
              )
            )
          )
        }
      }
    })

  /** Looks after an execution until it has ended. */
  const watch = (arn: string): void => {
    if (watched.has(arn) || answers.size === 0) return
    watched.add(arn)
    run(
      Effect.gen(function* () {
        while (!(yield* isOver(arn))) {
          yield* answerOpen(arn)
          yield* real.sleep(interval)
        }
      }).pipe(Effect.catchCause((cause) => Effect.logError("an execution cannot be looked after", cause)))
    )
  }

  const callback = (arn: string, name: string): Effect.Effect<OpenCallback> =>
    Effect.raceFirst(openOf(arn, name), Deferred.await(mistaken))

  const openOf = (arn: string, name: string): Effect.Effect<OpenCallback> =>
    Effect.gen(function* () {
      for (;;) {
        const ended = yield* isOver(arn)
        const all = yield* operations(arn)
        const found = callbacksOf(all, name).find(isOpen)
        if (found !== undefined && !ended) {
          taken.add(found.CallbackDetails?.CallbackId ?? "")
          return openCallback(arn, found, all)
        }
        if (ended) {
          return yield* Effect.die(new Error(`The execution has ended, and there is no callback "${name}" to answer.`))
        }
        yield* real.sleep(interval)
      }
    })

  const driver: Driver = {
    start: (definition, _body, payload, options) =>
      Effect.gen(function* () {
        const functionName = yield* nameOf(definition.name)
        const text = yield* writeInput(definition, payload)
        const executionName = options.executionName ?? randomUUID()
        const arn = yield* ask(client.start({ functionName, executionName, payload: text, tenantId: undefined }))
        started.add(arn)
        watch(arn)
        return arn
      }),
    end: (arn) =>
      Effect.raceFirst(call(awaitEnd(ask(client.get(arn)), arn, Schedule.spaced(interval))), Deferred.await(mistaken)),
    standstill: () => Effect.never,
    status: (arn) => Effect.map(ask(client.get(arn)), ({ Status }) => Status),
    operations,
    history,
    runs: undefined,
    callback,
    answer: (callbackId, written) => call(send(callbackId, written)),
    heartbeat: (callbackId) => call(client.heartbeatCallback(callbackId)),
    stop: (arn, error) => Effect.asVoid(call(client.stop(arn, error))),
    onCallback: (name, answer) =>
      Effect.contextWith((services: Context.Context<any>) =>
        Effect.sync(() => {
          answers.set(name, (callback) =>
            Effect.flatMap(Clock.Clock, (clock) =>
              Effect.provideContext(Effect.provideService(answer(callback), Clock.Clock, clock), services)
            )
          )
          for (const arn of started) watch(arn)
        })
      ),
    onInvoke: () => Effect.void,
    register: () => Effect.void,
    advance: (duration) => scaled.sleep(Duration.fromInputUnsafe(duration))
  }
  return driver
})
