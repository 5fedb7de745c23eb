/**
 * Runs an invocation under the eyes of observers. What happens to operations the wire tells; what happens to attempts
 * and to bodies of contexts, the core.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Checkpoints } from "../CheckpointService.ts"
import type * as Protocol from "../Protocol.ts"
import { recordOf, reflects } from "./acknowledged.ts"
import { messageOf, textOf, typeOf } from "./failure.ts"
import * as hooks from "./hooks.ts"
import type {
  Around,
  AttemptEnding,
  AttemptInfo,
  ContextInfo,
  Hook,
  Hooks,
  InvocationBase,
  InvocationInfo,
  LogLineInfo,
  Observe,
  Observed,
  Observer,
  OperationInfo,
  Operations,
  Outcome
} from "./observer.ts"
import { View } from "./views.ts"
import { warn } from "./warn.ts"
import { isTerminal } from "./wire.ts"

// ---- the plugins of an invocation ---------------------------------------------------------------------------------

type HookName = {
  [K in keyof Hooks]-?: K extends `on${string}` ? K : never
}[keyof Hooks]
type InfoOf<K extends HookName> = Parameters<NonNullable<Hooks[K]>>[0]

const DEFAULT_TIMEOUT = Duration.seconds(1)
/** The answer itself needs a moment before Lambda's deadline. */
const ANSWER_MILLIS = 500

/** The plugins of one invocation, each with its queue. */
const makeTeam = (
  plugins: ReadonlyArray<{ readonly hooks: Hooks }>,
  context: Context.Context<never>,
  remainingTime: Effect.Effect<Duration.Duration>
) => {
  const members = plugins.map(({ hooks: plugin }) => {
    const warned = new Set<string>()
    const timeout = plugin.timeout === undefined ? DEFAULT_TIMEOUT : Duration.fromInputUnsafe(plugin.timeout)
    const complain = (hook: string, problem: string): void => {
      if (warned.has(hook)) return
      warned.add(hook)
      warn(context, `${plugin.name ?? "plugin"}: ${hook} ${problem}. The execution goes on without it.`)
    }
    const queue = hooks.makeQueue(context, timeout, complain)
    /** Around-hooks that have not ended with their effect. */
    const lingering = new Set<Fiber.Fiber<unknown, unknown>>()
    const linger = (fiber: Fiber.Fiber<unknown, unknown>): void => {
      lingering.add(fiber)
      fiber.addObserver(() => void lingering.delete(fiber))
    }
    const settle = Effect.flatMap(remainingTime, (left) => {
      const limit = Duration.millis(
        Math.max(0, Math.min(Duration.toMillis(timeout), Duration.toMillis(left) - ANSWER_MILLIS))
      )
      return Effect.andThen(
        queue.settle(limit),
        Effect.suspend(() =>
          lingering.size === 0
            ? Effect.void
            : Effect.timeoutOrElse(
                Effect.callback<void>((resume) => {
                  for (const fiber of lingering) fiber.addObserver(() => lingering.size === 0 && resume(Effect.void))
                }),
                { duration: limit, orElse: () => Effect.sync(stop) }
              )
        )
      )
    })
    const stop = (): void => {
      for (const fiber of lingering) {
        complain("an around-hook", "did not end in time")
        fiber.interruptUnsafe()
      }
      lingering.clear()
    }
    const close = (): void => {
      queue.close()
      stop()
    }
    return { plugin, queue, complain, linger, settle, close }
  })

  return {
    /** A hook is told only to those who implement it; what it is told is made for the first of them. */
    tell: <K extends HookName>(hook: K, makeInfo: () => InfoOf<K>): void => {
      let info: InfoOf<K> | undefined
      for (const { plugin, queue } of members) {
        const run = plugin[hook] as Hook<InfoOf<K>>
        if (run === undefined) continue
        const told = (info ??= makeInfo())
        queue.add(hook, () => run.call(plugin, told))
      }
    },
    /** The first plugin is the outermost. */
    wrap: <K extends "aroundInvocation" | "aroundContext" | "aroundAttempt", A, E, R>(
      hook: K,
      info: Parameters<NonNullable<Hooks[K]>>[0],
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, R> =>
      members.reduceRight((inner, { complain, linger, plugin }) => {
        const run = plugin[hook] as Around<unknown>
        return run === undefined
          ? inner
          : hooks.around(hook, (effect) => run.call(plugin, info, effect), inner, context, complain, linger)
      }, effect),
    logFields: (line: LogLineInfo): Readonly<Record<string, unknown>> => {
      const fields: Record<string, unknown> = {}
      for (const { complain, plugin } of members) {
        if (plugin.logFields === undefined) continue
        // try: it is called within a log call, which has no Effect to offer
        try {
          Object.assign(fields, plugin.logFields(line))
        } catch (error) {
          complain("logFields", `failed: ${textOf(error)}`)
        }
      }
      return fields
    },
    /** Told in the body itself. */
    asked: (base: InvocationBase, op: Observed, fiber: Fiber.Fiber<unknown, unknown>): void => {
      for (const { plugin } of members) plugin.inBody?.asked(base, op, fiber)
    },
    virtual: <A, E, R>(base: InvocationBase, op: Observed, body: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      members.reduceRight((inner, { plugin }) => plugin.inBody?.virtual(base, op, inner) ?? inner, body),
    /** Waits for all hooks that were told, each plugin for its own time. */
    settle: Effect.forEach(members, ({ settle }) => settle, { concurrency: "unbounded", discard: true }),
    close: Effect.sync(() => {
      for (const { close } of members) close()
    })
  }
}

export const observe: Observe = Effect.fnUntraced(function* (plugins, invocation, opened, run) {
  const { execution, executionArn, isFirstInvocation, remainingTime, requestId, updatedOperationIds } = invocation
  const context = yield* Effect.context<never>()
  const clock = Context.get(context, Clock.Clock)
  const team = makeTeam(plugins, context, remainingTime)
  const base: InvocationBase = { executionArn, requestId }

  // ---- the wire tells of operations

  const updated = new Set(updatedOperationIds)
  const records = new Map<string, Protocol.Operation>()
  for (const record of opened.operations) if (record.Type !== "EXECUTION") records.set(record.Id, record)
  /** Those that are as an earlier invocation has seen them. */
  const replayed = new Set(records.keys())
  for (const id of updated) replayed.delete(id)
  /** Those that this invocation has started. */
  const started = new Set<string>()

  const infoOf = (record: Protocol.Operation, isReplay = replayed.has(record.Id)): OperationInfo => {
    const outcome =
      record.StepDetails ?? record.ContextDetails ?? record.CallbackDetails ?? record.ChainedInvokeDetails ?? {}
    const made = record.StepDetails?.Attempt ?? 0
    return {
      ...base,
      id: record.Id,
      name: record.Name,
      type: record.Type,
      subType: record.SubType,
      parentId: record.ParentId,
      status: record.Status,
      startTimestamp: record.StartTimestamp,
      endTimestamp: record.EndTimestamp,
      result: "Result" in outcome ? outcome.Result : undefined,
      error: "Error" in outcome ? outcome.Error : undefined,
      attempt: record.Type === "STEP" ? (record.Status === "STARTED" ? made + 1 : Math.max(made, 1)) : undefined,
      isReplay
    }
  }
  const operations: Operations = new View(records, infoOf)

  const merge = (record: Protocol.Operation): boolean => {
    const before = records.get(record.Id)
    if (record.Type === "EXECUTION" || isSame(before, record)) return false
    records.set(record.Id, record)
    replayed.delete(record.Id)
    if (isTerminal(record.Status) && !isTerminal(before?.Status ?? "STARTED")) {
      team.tell("onOperationEnd", () => infoOf(record, false))
    }
    return true
  }

  /** An operation that is on no record starts: its START is queued, or its body runs. */
  const begin = (id: string, operation: () => Named): void => {
    if (records.has(id) || started.has(id)) return
    started.add(id)
    team.tell("onOperationStart", () =>
      infoOf({ ...operation(), Status: "STARTED", StartTimestamp: clock.currentTimeMillisUnsafe() }, false)
    )
  }

  /** When the request that is in flight was sent, or the next will be at the earliest. */
  let sentAt = 0
  const sending = (): void => {
    if (!opened.inFlight()) sentAt = clock.currentTimeMillisUnsafe()
  }
  const answered = (updates: number, failure?: string): void => {
    const durationMillis = clock.currentTimeMillisUnsafe() - sentAt
    sentAt += durationMillis // what is still queued is sent at once
    team.tell("onCheckpoint", () => ({ ...base, updates, durationMillis, failure }))
  }

  const checkpoints: Checkpoints = {
    operations: opened.operations,
    poll: () => opened.poll(),
    send: (options) => {
      sending()
      opened.send(options)
    },
    inFlight: () => opened.inFlight(),
    queued: () => opened.queued(),
    urgent: () => opened.urgent(),
    commit: (update) => Effect.andThen(Effect.sync(sending), opened.commit(update)),
    drain: Effect.andThen(Effect.sync(sending), opened.drain),
    offer: (update, options, sent) => {
      const refused = opened.offer(update, options, sent)
      if (refused === undefined && update.Action === "START") begin(update.Id, () => named(update))
      return refused
    },
    listen: (listener) =>
      opened.listen({
        failed: (error) => {
          answered(0, error.message)
          listener.failed(error)
        },
        responded: (changed, acknowledged, sent) => {
          answered(acknowledged.length)
          const delta = new Map<string, Protocol.Operation>()
          for (const record of changed) if (merge(record)) delta.set(record.Id, record)
          for (const update of acknowledged) {
            const before = records.get(update.Id)
            if (update.Type === "EXECUTION" || (before !== undefined && reflects(before, update))) continue
            const record = { ...recordOf(before, update, clock.currentTimeMillisUnsafe()), ...named(update) }
            if (merge(record)) delta.set(record.Id, record)
          }
          if (delta.size > 0) {
            team.tell("onOperationChange", () => ({
              ...base,
              updatedOperations: new View(delta, infoOf),
              operations
            }))
          }
          listener.responded(changed, acknowledged, sent)
        }
      })
  }

  // ---- the core tells of attempts and contexts

  /** Attempts that were interrupted, and not yet told so. */
  const interrupted = new Set<() => void>()

  const namedOf = ({ id, place: { parentId }, spec: { name, subType, type } }: Observed): Named =>
    named({ Id: id, Name: name, Type: type, SubType: subType, ParentId: parentId })
  const currentOf = (op: Observed): OperationInfo => infoOf(op.record ?? { ...namedOf(op), Status: "STARTED" })

  const observer: Observer = {
    attempt: (op, { interrupted: died, number }, run) => {
      const info: AttemptInfo = {
        ...currentOf(op),
        status: "STARTED",
        attempt: number,
        startTimestamp: died ? op.record?.StartTimestamp : clock.currentTimeMillisUnsafe(),
        endTimestamp: undefined,
        result: undefined,
        error: undefined,
        isReplay: false
      }
      if (!died) team.tell("onAttemptStart", () => info)
      let open = true
      const end = (outcome: Outcome, how?: Partial<AttemptEnding>): void => {
        if (!open) return
        open = false
        const endTimestamp = clock.currentTimeMillisUnsafe()
        team.tell("onAttemptEnd", () => ({ ...info, outcome, endTimestamp, result: how?.Payload, error: how?.Error }))
      }
      const told = <Ending extends AttemptEnding>(ending: Ending): Ending => {
        end(ending.Action === "FAIL" || ending.Error !== undefined ? "FAILED" : "SUCCEEDED", ending)
        return ending
      }
      // one that interrupts itself is asked for its ending at once, one that was interrupted never is
      const stopped = () => {
        interrupted.delete(stopped)
        end("INTERRUPTED")
      }
      const wrapped = died ? run.effect : team.wrap("aroundAttempt", info, run.effect)
      return {
        ...run,
        effect: Effect.onExit(wrapped, (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) return
            interrupted.add(stopped)
            queueMicrotask(stopped)
          })
        ),
        ending: (exit) => {
          const ending = run.ending(exit)
          return Effect.isEffect(ending)
            ? Effect.onExit(ending, (exit) =>
                Effect.sync(() => {
                  if (Exit.isSuccess(exit)) told(exit.value)
                  else end("FAILED", { Error: errorOf(exit.cause) })
                })
              )
            : told(ending)
        }
      }
    },
    begin: (op) => begin(op.id, () => namedOf(op)),
    context: (op, isReplayingChildren, body) =>
      Effect.suspend(() => {
        const info: ContextInfo = { ...currentOf(op), isReplayingChildren }
        team.tell("onContextStart", () => info)
        return Effect.onExit(team.wrap("aroundContext", info, body), (exit) =>
          Effect.sync(() =>
            team.tell("onContextEnd", () => ({
              ...info,
              outcome: Exit.isSuccess(exit)
                ? "SUCCEEDED"
                : Cause.hasInterruptsOnly(exit.cause)
                  ? "INTERRUPTED"
                  : "FAILED",
              error: Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) ? errorOf(exit.cause) : undefined
            }))
          )
        )
      }),
    logFields: (line) => team.logFields({ ...base, ...line }),
    asked: (op, fiber) => team.asked(base, op, fiber),
    virtual: (op, body) => team.virtual(base, op, body)
  }

  // ---- the invocation

  const info: InvocationInfo = {
    ...base,
    isFirstInvocation,
    executionInput: execution.ExecutionDetails?.InputPayload,
    executionStartTimestamp: execution.StartTimestamp,
    operations,
    updatedOperations: new View(
      new Map([...updated].flatMap((id) => (records.has(id) ? [[id, records.get(id)!] as const] : []))),
      infoOf
    )
  }

  const tellOperations = () => {
    for (const record of records.values()) {
      if (!isTerminal(record.Status)) team.tell("onOperationStart", () => infoOf(record, true))
      else if (updated.has(record.Id)) team.tell("onOperationEnd", () => infoOf(record, false))
    }
  }
  const running = team.wrap("aroundInvocation", info, run(checkpoints, observer))
  return yield* Effect.ensuring(toldOf(team, info, tellOperations, running, interrupted), team.close)
})

/** Runs an invocation, and tells of it. */
const toldOf = /*#__PURE__*/ Effect.fnUntraced(function* <E, R>(
  team: ReturnType<typeof makeTeam>,
  info: InvocationInfo,
  tellOperations: () => void,
  running: Effect.Effect<Protocol.InvocationOutput, E, R>,
  interrupted: ReadonlySet<() => void>
): Effect.fn.Return<Protocol.InvocationOutput, E, R> {
  team.tell("onInvocationStart", () => info)
  yield* team.settle
  tellOperations()
  const exit = yield* Effect.exit(running)
  for (const stopped of interrupted) stopped()
  yield* team.settle
  const output = Exit.isSuccess(exit) ? exit.value : undefined
  team.tell("onInvocationEnd", () => ({
    ...info,
    status: output?.Status ?? "RETRYING",
    executionResult: output?.Status === "SUCCEEDED" ? output.Result : undefined,
    executionError: Exit.isFailure(exit) ? errorOf(exit.cause) : output?.Status === "FAILED" ? output.Error : undefined
  }))
  yield* team.settle
  return yield* exit
})

/** Whether the service has told nothing new. */
const isSame = (before: Protocol.Operation | undefined, after: Protocol.Operation): boolean =>
  before !== undefined &&
  before.Status === after.Status &&
  before.StepDetails?.Attempt === after.StepDetails?.Attempt &&
  before.StartTimestamp === after.StartTimestamp &&
  before.EndTimestamp === after.EndTimestamp

type Named = Pick<Protocol.Operation, "Id" | "Name" | "ParentId" | "SubType" | "Type">

/** What an update says of its operation itself. */
const named = ({
  Id,
  Name,
  ParentId,
  SubType,
  Type
}: { readonly [K in keyof Named]?: Named[K] | undefined } & Pick<Named, "Id" | "Type">): Named => ({
  Id,
  Type,
  ...(Name === undefined ? undefined : { Name }),
  ...(ParentId === undefined ? undefined : { ParentId }),
  ...(SubType === undefined ? undefined : { SubType })
})

const errorOf = (cause: Cause.Cause<unknown>): Protocol.ErrorObject => {
  const error = Cause.squash(cause)
  return error instanceof Error
    ? { ErrorType: typeOf(error), ErrorMessage: messageOf(error) }
    : { ErrorType: typeof error, ErrorMessage: textOf(error) }
}
