/**
 * The spans of one invocation. Spans of attempts, and of the invocation itself, are made when they begin, so that what
 * runs inside of them finds them; those of operations, of the workflow, and of the body's own code are made when
 * they have ended: several invocations may have had a part in them, and one of them tells of it.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { DurableContext } from "../../DurableContext.ts"
import type * as Protocol from "../../Protocol.ts"
import type { Core } from "../core/Core.ts"
import { MARKER_NAME } from "../core/order.ts"
import { isReplaying, type World } from "../core/world.ts"
import { textOf } from "../failure.ts"
import type {
  AttemptEndInfo,
  AttemptInfo,
  InvocationEndInfo,
  InvocationInfo,
  Observed,
  OperationInfo
} from "../observer.ts"
import { isTerminal } from "../wire.ts"
import { Draft, unfinished } from "./Draft.ts"
import { pinned, spanIdOf, type TraceHeader, traceIdOf } from "./ids.ts"

/** Which tree the spans of operations make. */
export type View = "execution" | "invocation"

/** What a trace is made of. */
export interface Surroundings {
  readonly info: InvocationInfo
  readonly view: View
  readonly tracer: Tracer.Tracer
  readonly clock: Clock.Clock
  /** X-Ray's, if there is one and it is wanted. */
  readonly header: TraceHeader | undefined
  readonly complain: (problem: string) => void
}

const UNPINNED =
  "the tracer gives spans ids of its own, so the spans of an execution do not find each other. If it is of " +
  "OpenTelemetry's SDK, make its provider with { idGenerator: DurableTracer.idGenerator }."

const toNanos = (millis: number): bigint => BigInt(Math.round(millis * 1000)) * BigInt(1000)

/** The trace that an execution's spans belong to. */
export const traceOf = (info: InvocationInfo, header: TraceHeader | undefined): string =>
  header?.traceId ?? traceIdOf(info.executionArn, info.executionStartTimestamp ?? 0)

/** What is on record of a failure, as an exception. Its stack is not on record. */
const recorded = (error: Protocol.ErrorObject | undefined, status: string): Error => {
  const made = new Error(error?.ErrorMessage ?? `ended with status ${status}, and no reason was given`)
  made.name = error?.ErrorType ?? "Error"
  made.stack = error?.StackTrace?.join("\n") ?? `${made.name}: ${made.message}`
  return made
}

const exitOf = ({ error, status }: Pick<OperationInfo, "error" | "status">): Exit.Exit<unknown, unknown> =>
  status === "SUCCEEDED"
    ? Exit.void
    : isTerminal(status) && status !== "CANCELLED"
      ? Exit.fail(recorded(error, status))
      : unfinished

type Described = Pick<OperationInfo, "id" | "name" | "parentId" | "subType" | "type">

const parentSpanOf = ({ context }: Fiber.Fiber<unknown, unknown>): Tracer.AnySpan | undefined =>
  Context.getOrUndefined(context as Context.Context<Tracer.ParentSpan>, Tracer.ParentSpan)

const isMarker = ({ name, type }: Described): boolean => type === "STEP" && name === MARKER_NAME

export const make = ({ clock, complain, header, info: invocation, tracer, view }: Surroundings) => {
  const { executionArn: arn, requestId } = invocation
  const byExecution = view === "execution"
  const traceId = traceOf(invocation, header)

  // The service says when the execution has started. A clock that is behind it is put forward: nothing comes before.
  const executionStart = toNanos(invocation.executionStartTimestamp ?? 0)
  const behind = executionStart - clock.currentTimeNanosUnsafe()
  const now = (): bigint => clock.currentTimeNanosUnsafe() + (behind > 0 ? behind : BigInt(0))
  const started = now()

  /** What one answer of the service tells happened at one time. */
  let told: bigint | undefined
  const toldNow = (): bigint => {
    if (told === undefined) {
      told = now()
      queueMicrotask(() => (told = undefined))
    }
    return told
  }

  // ---- ids: of the execution in one view, of the invocation in the other

  const invocationKey = `${requestId} ${started}`
  const idOf = (...path: ReadonlyArray<string | number>): string =>
    byExecution ? spanIdOf(arn, ...path) : spanIdOf(arn, invocationKey, ...path)
  /** An attempt that is not on record runs again, in another invocation, and is another span then. */
  const attemptId = (id: string, attempt: number): string => spanIdOf(arn, invocationKey, "attempt", id, attempt)
  const external = (spanId: string): Tracer.AnySpan => Tracer.externalSpan({ traceId, spanId, sampled: true })
  const check = (span: Tracer.Span, spanId: string): void => {
    if (span.spanId !== spanId) complain(UNPINNED)
  }
  const open = (name: string, spanId: string, parent: Tracer.AnySpan, links: Array<Tracer.SpanLink>, start: bigint) => {
    const options = { annotations: Context.empty(), kind: "internal", root: false, sampled: true } as const
    const span = pinned(
      tracer,
      { ...options, name, parent: Option.some(parent), links, startTime: start },
      {
        traceId,
        spanId
      }
    )
    check(span, spanId)
    span.attribute("durable.execution.arn", arn)
    return span
  }
  const draft = (name: string, spanId: string, parent: Tracer.AnySpan | undefined, start: bigint): Draft =>
    new Draft({
      name,
      traceId,
      spanId,
      parent: Option.fromUndefinedOr(parent),
      annotations: Context.empty(),
      links: [],
      start,
      kind: "internal",
      root: parent === undefined
    })
  const deliver = (span: Draft, end: bigint, exit: Exit.Exit<unknown, unknown>): void => {
    // try: it is called in the body, too, which no tracer may harm
    try {
      check(span.deliver(tracer, end, exit), span.spanId)
    } catch (error) {
      complain(`a span was lost: ${textOf(error)}`)
    }
  }

  // ---- the workflow and the invocation

  const workflow = draft("Workflow", spanIdOf(arn, "workflow"), undefined, executionStart)
  const invocationSpan = open(
    "Invocation",
    spanIdOf(arn, "invocation", invocationKey),
    header?.parentId === undefined ? workflow : external(header.parentId),
    [],
    started
  )
  invocationSpan.attribute("durable.invocation.first", invocation.isFirstInvocation)
  invocationSpan.attribute("faas.invocation_id", requestId)
  const base: Tracer.AnySpan = byExecution ? workflow : invocationSpan
  const links = (): Array<Tracer.SpanLink> => [{ span: byExecution ? invocationSpan : workflow, attributes: {} }]

  // ---- what is new

  /** The body runs: what ends from now on ends before our eyes. */
  let running = false
  /** Whether an earlier invocation has been at this place of the body. */
  const isOld = (core: Core, world: World): boolean => isReplaying(world) || core.isPast(world)

  // ---- operations

  /** Those that have not ended, and when they began, if this invocation began them. */
  const unended = new Map<string, { readonly info: OperationInfo; readonly start: bigint | undefined }>()
  /** Those that have a span in this invocation. */
  const seen = new Set<string>()
  const attemptEnds = new Map<string, bigint>()
  /** Spans of the body's code around operations. */
  const parents = new Map<string, Draft>()
  const asked = new Set<string>()
  /** Those that had ended before the body asked for them. */
  const waiting = new Map<string, () => void>()
  /** Contexts whose bodies have run: their code may have annotated them. */
  const contexts = new Map<string, Draft>()

  /** The parts of a `waitForCallback` have the name of the whole on record; AWS's plugins tell them apart. */
  const nameOf = ({ name, parentId, type }: Described): string => {
    const parent =
      parentId === undefined ? undefined : (unended.get(parentId)?.info ?? invocation.operations.get(parentId))
    return parent?.subType === "WaitForCallback"
      ? `${parent.name}-${type === "CALLBACK" ? "callback" : "submitter"}`
      : (name ?? type)
  }

  const parentOf = (id: string, parentId: string | undefined): Tracer.AnySpan => {
    const around = parents.get(id)
    if (around !== undefined && (byExecution || !around.dropped)) return around
    let context = parentId
    while (!byExecution && context !== undefined && !seen.has(context)) {
      context = invocation.operations.get(context)?.parentId
    }
    return context === undefined ? base : external(idOf("operation", context))
  }

  const describe = (span: Tracer.Span, info: Described): void => {
    const { id, subType, type } = info
    span.attribute("durable.execution.arn", arn)
    span.attribute("durable.operation.id", id)
    span.attribute("durable.operation.type", type)
    if (subType !== undefined) span.attribute("durable.operation.subtype", subType)
    span.attribute("durable.operation.name", nameOf(info))
  }

  const operation = (info: OperationInfo, start: bigint, end: bigint): void => {
    const span = draft(nameOf(info), idOf("operation", info.id), parentOf(info.id, info.parentId), start)
    const annotated = contexts.get(info.id)
    if (annotated !== undefined) annotated.copyTo(span)
    span.addLinks(links())
    describe(span, info)
    span.attribute("durable.operation.status", info.status)
    if (info.attempt !== undefined) span.attribute("durable.attempt.number", info.attempt)
    deliver(span, end, exitOf(info))
  }

  const begin = (info: OperationInfo): void => {
    if (isMarker(info)) return
    seen.add(info.id)
    unended.set(info.id, { info, start: info.isReplay ? undefined : now() })
  }

  /** The start of what this invocation has not begun: in its own view, when it was found. */
  const startOf = ({ startTimestamp }: OperationInfo): bigint =>
    byExecution && startTimestamp !== undefined ? toNanos(startTimestamp) : started

  const ended = (info: OperationInfo): void => {
    if (isMarker(info)) return
    seen.add(info.id)
    const limit = running ? toldNow() : started
    const start = least(unended.get(info.id)?.start ?? startOf(info), limit)
    unended.delete(info.id)
    // what the service ends, it dates; a step ends here when its outcome is on record
    const dated = info.endTimestamp !== undefined && info.type !== "STEP" && info.type !== "CONTEXT"
    const recordedEnd = !running || dated ? toNanos(info.endTimestamp ?? 0) : limit
    const end = greatest(greatest(start, attemptEnds.get(info.id) ?? start), least(recordedEnd, limit))
    const emit = () => operation(info, start, end)
    if (asked.has(info.id)) emit()
    else waiting.set(info.id, emit)
  }

  const reached = (id: string): void => {
    asked.add(id)
    const emit = waiting.get(id)
    if (emit === undefined) return
    waiting.delete(id)
    emit()
  }

  // ---- attempts

  const attempts = new Map<string, { readonly span: Tracer.Span; cause: Cause.Cause<unknown> | undefined }>()
  const attemptKey = ({ attempt, id }: AttemptInfo) => `${id} ${attempt}`

  const beginAttempt = (info: AttemptInfo, start: bigint = now()) => {
    const name = `${nameOf(info)} attempt ${info.attempt}`
    const operationSpan = external(idOf("operation", info.id))
    const span = open(name, attemptId(info.id, info.attempt), operationSpan, links(), start)
    describe(span, info)
    span.attribute("durable.attempt.number", info.attempt)
    const made: { readonly span: Tracer.Span; cause: Cause.Cause<unknown> | undefined } = { span, cause: undefined }
    attempts.set(attemptKey(info), made)
    return made
  }

  const endAttempt = (info: AttemptEndInfo): void => {
    // one that died with an earlier invocation was begun there
    const { cause, span } = attempts.get(attemptKey(info)) ?? beginAttempt(info, started)
    attempts.delete(attemptKey(info))
    span.attribute("durable.attempt.outcome", info.outcome)
    const end = now()
    attemptEnds.set(info.id, end)
    span.end(
      end,
      info.outcome === "SUCCEEDED"
        ? Exit.void
        : info.outcome === "INTERRUPTED"
          ? unfinished
          : cause !== undefined && !Cause.hasInterruptsOnly(cause)
            ? Exit.failCause(cause)
            : Exit.fail(recorded(info.error, "FAILED"))
    )
  }

  const aroundAttempt = <A, E, R>(info: AttemptInfo, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const attempt = attempts.get(attemptKey(info))
    if (attempt === undefined) return effect
    return effect.pipe(
      Effect.provideService(Tracer.ParentSpan, attempt.span),
      // in a step the user's spans are what they are anywhere
      Effect.provideService(Tracer.Tracer, tracer),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) attempt.cause = exit.cause
        })
      )
    )
  }

  // ---- the body's own code

  /** Spans of the body that have not ended, or were ended by the end of the invocation. */
  const bodySpans = new Set<Draft>()
  /** Of which context a span of the body is. */
  const contextOf = new Map<Draft, string | undefined>()
  const occurrences = new Map<string, number>()
  const nth = (key: string): number => {
    const n = (occurrences.get(key) ?? 0) + 1
    occurrences.set(key, n)
    return n
  }

  const here = (): DurableContext["Service"] | undefined => {
    const fiber = Fiber.getCurrent()
    return fiber && Context.getOrUndefined(fiber.context as Context.Context<DurableContext>, DurableContext)
  }

  const bodySpan = (
    { core, place }: DurableContext["Service"],
    options: Parameters<Tracer.Tracer["span"]>[0]
  ): Draft => {
    const { annotations, kind, links, name, root, startTime } = options
    const parent = root ? undefined : Option.getOrElse(options.parent, () => base)
    const path = [place.path, parent?.spanId ?? "", name]
    const id = [...path, nth(JSON.stringify(path))]
    const span = new Draft({
      name,
      traceId: parent?.traceId ?? spanIdOf(arn, "trace", ...id) + spanIdOf(arn, "root", ...id),
      spanId: idOf("span", ...id),
      parent: Option.fromUndefinedOr(parent),
      annotations,
      links,
      kind,
      root,
      start: isOld(core, place.world) ? (byExecution ? startTime : started) : now(),
      ended: (span, exit) => {
        if (core.closed) return // it is not the body that has ended it: see `finish`
        bodySpans.delete(span)
        if (isOld(core, (here()?.place ?? place).world)) span.dropped = true
        else deliver(span, now(), exit)
      }
    })
    bodySpans.add(span)
    contextOf.set(span, place.parentId)
    return span
  }

  const bodyTracer: Tracer.Tracer = {
    span: (options) => {
      const current = here()
      return current === undefined || current.inStep || !options.sampled
        ? tracer.span(options)
        : bodySpan(current, options)
    },
    ...(tracer.context === undefined ? undefined : { context: tracer.context.bind(tracer) })
  }

  const ask = (op: Observed, fiber: Fiber.Fiber<unknown, unknown>): void => {
    const span = parentSpanOf(fiber)
    if (span instanceof Draft && contextOf.has(span) && contextOf.get(span) === op.place.parentId) {
      parents.set(op.id, span)
    }
    reached(op.id)
  }

  const virtual = <A, E, R>({ id, spec }: Observed, body: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) => {
      const current = here()
      if (current === undefined) return body
      const span = bodySpan(current, {
        name: spec.name,
        parent: Option.fromUndefinedOr(parentSpanOf(fiber)),
        annotations: Context.empty(),
        links: links(),
        startTime: toNanos(current.place.world.time),
        kind: "internal",
        root: false,
        sampled: true
      })
      describe(span, { id, ...spec, parentId: undefined })
      return Effect.onExit(Effect.provideService(body, Tracer.ParentSpan, span), (exit) =>
        Effect.sync(() => span.end(toNanos(current.place.world.time), exit))
      )
    })

  const aroundContext = <A, E, R>(info: OperationInfo, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    reached(info.id)
    const span = draft(nameOf(info), idOf("operation", info.id), undefined, started)
    contexts.set(info.id, span)
    return Effect.provideService(effect, Tracer.ParentSpan, span)
  }

  const aroundInvocation = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    running = true
    return effect.pipe(Effect.provideService(Tracer.ParentSpan, base), Effect.provideService(Tracer.Tracer, bodyTracer))
  }

  // ---- the end

  const finish = ({ executionError, operations, status }: InvocationEndInfo): void => {
    const end = now()
    const over = status === "SUCCEEDED" || status === "FAILED"
    const exit =
      status === "FAILED" ? Exit.fail(recorded(executionError, status)) : status === "RETRYING" ? unfinished : Exit.void
    for (const emit of waiting.values()) emit()
    waiting.clear()
    for (const { span } of attempts.values()) span.end(end, unfinished)
    // What goes on in another invocation is told by the one that ends it. Or by each, in its own tree.
    if (over || !byExecution) {
      for (const span of bodySpans) deliver(span, end, unfinished)
      for (const [id, { info, start }] of unended) {
        operation({ ...(operations.get(id) ?? info) }, least(start ?? startOf(info), end), end)
      }
    }
    invocationSpan.attribute("durable.invocation.status", status === "RETRYING" ? "RETRY" : status)
    invocationSpan.end(end, exit)
    if (!over) return
    workflow.attribute("durable.execution.arn", arn)
    workflow.attribute("durable.execution.status", status)
    deliver(workflow, end, exit)
  }

  /** The span that a log line belongs to. */
  const spanOf = (
    operationId: string | undefined,
    attempt: number | undefined,
    parentId: string | undefined
  ): string =>
    operationId !== undefined && attempt !== undefined
      ? attemptId(operationId, attempt)
      : parentId !== undefined
        ? idOf("operation", parentId)
        : base.spanId

  return {
    traceId,
    requestId,
    begin,
    ended,
    beginAttempt: (info: AttemptInfo): void => void beginAttempt(info),
    endAttempt,
    aroundAttempt,
    ask,
    virtual,
    aroundContext,
    aroundInvocation,
    finish,
    spanOf
  }
}

/** The spans of one invocation. */
export type Trace = ReturnType<typeof make>

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const greatest = (a: bigint, b: bigint): bigint => (a > b ? a : b)
