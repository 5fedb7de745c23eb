/**
 * The two calls that an execution makes, as the service carries them out: tokens, idempotency, the changes
 * that the caller has not seen, pages, and the faults that a test asks for.
 */
import * as Effect from "effect/Effect"
import type * as Protocol from "../Protocol.ts"
import type { Executions } from "./executions.ts"
import * as Store from "./ExecutionStore.ts"
import { type Call, type Fault, Faults } from "./Faults.ts"
import * as functions from "./functions.ts"
import * as Live from "./live.ts"
import * as pages from "./pages.ts"
import type { Settings } from "./settings.ts"
import * as targets from "./targets.ts"
import * as tokens from "./tokens.ts"
import * as validate from "./validate.ts"

const INVALID_TOKEN = "Invalid checkpoint token"

/** A response that was lost on its way: no status, as an HTTP client sees it. */
export const LOST = 0

const refusals: Partial<Record<Fault, validate.Rejection>> = {
  StaleToken: validate.invalid(INVALID_TOKEN),
  Throttle: new validate.Rejection({ errorName: "TooManyRequestsException", status: 429, reason: "Rate Exceeded." }),
  ServerError: new validate.Rejection({ errorName: "ServiceException", status: 500, reason: "Internal server error" })
}

const lost = new validate.Rejection({ errorName: "TimeoutError", status: LOST, reason: "socket hang up" })

/** Makes the two calls. */
export const make = Effect.fnUntraced(function* (executions: Executions, settings: Settings) {
  const decide = yield* Faults
  const { lives, newId, registry, timers, transact } = executions

  const resolve = (update: Protocol.OperationUpdate) => targets.resolve(update, registry.known, settings, newId)

  /** Carries out a call, or breaks it. A crashed runtime hears of nothing any more. */
  const withFaults = <A>(
    operation: Call["operation"],
    live: Live.Live,
    updates: number,
    effect: Effect.Effect<A, validate.Rejection>
  ): Effect.Effect<A, validate.Rejection> =>
    Effect.suspend(() => {
      live.calls += 1
      const { arn, invocation } = live.execution
      return decide({ operation, arn, invocation: invocation.number, call: live.calls, updates })
    }).pipe(
      Effect.flatMap((fault) => {
        const refusal = fault === undefined ? undefined : refusals[fault]
        if (refusal !== undefined) return Effect.fail(refusal)
        const crash = Effect.suspend(() => {
          live.running?.crash(functions.exited())
          return Effect.never
        })
        switch (fault) {
          case "CrashBefore":
            return crash
          case "CrashAfter":
            return Effect.andThen(effect, crash)
          case "DropResponse":
            return Effect.andThen(effect, Effect.fail(lost))
          default:
            return effect
        }
      })
    )

  const checkToken = (execution: Store.ExecutionRecord, token: string): validate.Rejection | undefined => {
    if (tokens.isForeign(execution, token)) {
      return validate.invalid("Checkpoint token is not valid for the durable execution ARN")
    }
    return execution.status === "RUNNING" && execution.invocation.open && token === tokens.write(execution)
      ? undefined
      : validate.invalid(INVALID_TOKEN)
  }

  /** A page of the changes that this invocation has not seen. */
  const changes = (
    draft: Pick<Live.Draft, "execution">,
    ids: ReadonlyArray<string>,
    read: (id: string) => Store.OperationRecord | undefined,
    marker: Extract<pages.Marker, { readonly _tag: "Delta" }>,
    size: pages.PageSize
  ): Protocol.ExecutionStateResponse => {
    const operations = ids.flatMap((id) => read(id)?.operation ?? [])
    const { next, page } = pages.cut(operations, marker.offset, size)
    return {
      Operations: page,
      ...(next === undefined
        ? undefined
        : { NextMarker: pages.writeMarker(draft.execution.id, { ...marker, offset: next }) })
    }
  }

  const replayed = (live: Live.Live, clientToken: string): Protocol.CheckpointResponse | undefined => {
    const known = live.answered.get(clientToken)
    return known !== undefined && timers.now() - known.at <= Store.CLIENT_TOKEN_MILLIS ? known.response : undefined
  }

  /** Forgets the requests that are too old to be asked for again, from the oldest on. */
  const forget = (live: Live.Live) => {
    for (const [clientToken, { at }] of live.answered) {
      if (timers.now() - at <= Store.CLIENT_TOKEN_MILLIS) return
      live.answered.delete(clientToken)
    }
  }

  const applyRequest = (
    draft: Live.Draft,
    request: Protocol.CheckpointRequest
  ): Protocol.CheckpointResponse | validate.Rejection => {
    const { live } = draft
    const { invocation } = live.execution
    const rejection =
      checkToken(live.execution, request.CheckpointToken) ??
      validate.checkRequest(request.Updates, request.ClientToken, settings.limits) ??
      Live.applyUpdates(draft, request.Updates, settings.limits, resolve)
    if (rejection !== undefined) return rejection
    const to = draft.execution.changes
    draft.execution = {
      ...draft.execution,
      invocation: { ...invocation, token: invocation.token + 1, seen: to }
    }
    const from = invocation.seen
    const before = Live.changedIds(live.changes, from, live.changes.length)
    const ids = Live.changedIds([...before, ...draft.changes], 0, before.length + draft.changes.length)
    const NewExecutionState = changes(
      draft,
      ids,
      (id) => Live.lookup(draft, id),
      { _tag: "Delta", from, to, offset: 0 },
      settings.responsePage
    )
    const isOpen = draft.execution.status === "RUNNING"
    const response = { ...(isOpen ? { CheckpointToken: tokens.write(draft.execution) } : undefined), NewExecutionState }
    if (request.ClientToken !== "") {
      draft.answered = { clientToken: request.ClientToken, at: timers.now(), response }
    }
    return response
  }

  const checkpoint = (
    request: Protocol.CheckpointRequest
  ): Effect.Effect<Protocol.CheckpointResponse, validate.Rejection> =>
    Effect.suspend(() => {
      const live = lives.get(request.DurableExecutionArn)
      if (live === undefined) return Effect.fail(validate.invalid(INVALID_TOKEN))
      const carryOut = Effect.suspend(() => {
        forget(live)
        const known = request.ClientToken === "" ? undefined : replayed(live, request.ClientToken)
        return known === undefined ? transact(live, (draft) => applyRequest(draft, request)) : Effect.succeed(known)
      })
      return withFaults("CheckpointDurableExecution", live, request.Updates.length, carryOut)
    })

  const readState = (
    live: Live.Live,
    request: Protocol.ExecutionStateRequest
  ): Protocol.ExecutionStateResponse | validate.Rejection => {
    const { execution } = live
    const rejection = checkToken(execution, request.CheckpointToken)
    if (rejection !== undefined) return rejection
    const { MaxItems } = request
    if (!(MaxItems >= 0 && MaxItems <= 1_000)) {
      return new validate.Rejection({
        errorName: "ValidationException",
        status: 400,
        reason:
          `1 validation error detected: Value '${MaxItems}' at 'maxItems' failed to satisfy constraint: ` +
          `Member must have value ${MaxItems < 0 ? "greater than or equal to 0" : "less than or equal to 1000"}`
      })
    }
    const { responsePage } = settings
    const size = { ...responsePage, items: Math.min(MaxItems === 0 ? 100 : MaxItems, responsePage.items) }
    const marker: pages.Marker | undefined =
      request.Marker === "" ? { _tag: "State", offset: 0 } : pages.readMarker(execution.id, request.Marker)
    if (marker === undefined) return validate.invalid("Invalid Marker.")
    if (marker._tag === "Delta") {
      const ids = Live.changedIds(live.changes, marker.from, marker.to)
      return changes({ execution }, ids, (id) => live.operations.get(id), marker, size)
    }
    const { next, page } = pages.cut(pages.visible(live.operations.values()), marker.offset, size)
    return {
      Operations: page,
      ...(next === undefined
        ? undefined
        : { NextMarker: pages.writeMarker(execution.id, { _tag: "State", offset: next }) })
    }
  }

  const getExecutionState = (
    request: Protocol.ExecutionStateRequest
  ): Effect.Effect<Protocol.ExecutionStateResponse, validate.Rejection> =>
    Effect.suspend(() => {
      const live = lives.get(request.DurableExecutionArn)
      if (live === undefined) return Effect.fail(validate.invalid(INVALID_TOKEN))
      const carryOut = Effect.suspend(() => {
        const page = readState(live, request)
        return page instanceof validate.Rejection ? Effect.fail(page) : Effect.succeed(page)
      })
      return withFaults("GetDurableExecutionState", live, 0, carryOut)
    })

  return { checkpoint, getExecutionState }
})
