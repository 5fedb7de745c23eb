/**
 * Batched I/O between a running workflow and the service: one ordered queue, one request in flight, a linear
 * chain of tokens. What is queued while a request is under way travels together in the next one.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { CheckpointFailed, OperationLimitExceeded, PayloadTooLarge } from "./DurableError.ts"
import { DurableExecutionClient, type ServiceCallFailed } from "./DurableExecutionClient.ts"
import * as Line from "./internal/line.ts"
import { uniqueKey } from "./internal/operationId.ts"
import { boundOf, ENVELOPE_BYTES, jsonBoundOf, recordedBytes, SMALL_BYTES } from "./internal/requestSize.ts"
import { warn } from "./internal/warn.ts"
import type * as Protocol from "./Protocol.ts"
import { jsonBytes, Limits } from "./internal/wire.ts"
import { whenEnded } from "./internal/whenEnded.ts"

// ---- options ---------------------------------------------------------------------------------------

/** What a request and an execution may hold. `Infinity` switches a limit off. Bytes are UTF-8 bytes. */
export interface CheckpointLimits {
  readonly batchUpdates: number
  readonly batchBytes: number
  readonly payloadBytes: number
  /** Of an error object, as JSON. */
  readonly errorBytes: number
  readonly operations: number
  readonly storageBytes: number
}

/** Options of `layerWith`. */
export interface Options {
  /** Default: `Protocol.Limits`. */
  readonly limits?: Partial<CheckpointLimits> | undefined
  /**
   * Milliseconds after which a request that failed for a passing reason (throttling, 5xx, network) is sent again,
   * with the same ClientToken, on top of the client's own attempts. Default: 200 and 400; `[]` = never.
   */
  readonly resendAfter?: ReadonlyArray<number> | undefined
}

const RESEND_AFTER: ReadonlyArray<number> = [200, 400]

// ---- the queue of one invocation -------------------------------------------------------------------

/** What an invocation hands over to open its queue. */
export interface Invocation {
  readonly executionArn: string
  readonly checkpointToken: string
  readonly operations: ReadonlyArray<Protocol.Operation>
  readonly nextMarker: string | undefined
}

/**
 * What the queue notes of an operation, for who keeps it with the operation and gives it with each update: the queue need
 * not look for it then. Begins as `{ counted: false, sentIn: 0, sentMore: false }`, `counted` for one that is on record.
 */
export type Sent = Line.Sent

/** Told of each response, after its pages have been read, and of the one failure that ends the queue. */
export interface Listener {
  /**
   * `acknowledged` are the updates that this request carried, `sent` what was given with each, `operations` what changed
   * at the service.
   */
  readonly responded: (
    operations: ReadonlyArray<Protocol.Operation>,
    acknowledged: ReadonlyArray<Protocol.OperationUpdate>,
    sent: ReadonlyArray<Sent | undefined>
  ) => void
  readonly failed: (error: CheckpointFailed) => void
}

/** How an update is queued. */
export interface OfferOptions {
  /** It may wait for the next request that has another reason to be sent. */
  readonly lazy?: boolean | undefined
  /** It goes before everything that is queued, but not before what was to go first itself. */
  readonly first?: boolean | undefined
}

/** The checkpoint queue of one invocation. Everything but `commit` and `drain` is synchronous. */
export interface Checkpoints {
  /** The recorded state: all pages of it. */
  readonly operations: ReadonlyArray<Protocol.Operation>
  /**
   * Queues an update. Gives the reason when it exceeds a limit; it is then not queued. `sent` belongs to its operation;
   * without, the queue looks it up by the id.
   */
  readonly offer: (
    update: Protocol.OperationUpdate,
    options?: OfferOptions,
    sent?: Sent
  ) => PayloadTooLarge | OperationLimitExceeded | undefined
  /** Asks for a request even when nothing is queued. Polls coalesce with whatever is sent next. */
  readonly poll: () => void
  /** Sends the next batch, unless a request is in flight or there is no reason for one. */
  readonly send: (options?: { readonly force?: boolean }) => void
  readonly inFlight: () => boolean
  readonly queued: () => number
  /** Whether something waits for a request: a poll, or an update that is not lazy. */
  readonly urgent: () => boolean
  readonly listen: (listener: Listener) => void
  /** Queues an update and waits until it is durable. */
  readonly commit: (
    update: Protocol.OperationUpdate
  ) => Effect.Effect<void, CheckpointFailed | PayloadTooLarge | OperationLimitExceeded>
  /** Waits until everything queued is durable. Fails with what ended the queue, if something did. */
  readonly drain: Effect.Effect<void, CheckpointFailed>
}

/**
 * Opens the checkpoint queue of an invocation. `layer` sends to the `DurableExecutionClient`; a layer of
 * your own may batch differently, record, or inject faults.
 */
export class CheckpointService extends Context.Service<
  CheckpointService,
  {
    /** Loads the recorded state and opens the queue; closing the scope drops what is in flight. */
    readonly open: (invocation: Invocation) => Effect.Effect<Checkpoints, CheckpointFailed, Scope.Scope>
  }
>()("effect-durable-lambda/CheckpointService") {}

type Refusal = PayloadTooLarge | OperationLimitExceeded
type Done = Deferred.Deferred<void, CheckpointFailed>

/** Part of a limit from which on a warning is logged. */
const WARN_FROM = 0.8

/** UTF-8 bytes of its JSON; of a small one, what they are at most. */
const bytesOf = (update: Protocol.OperationUpdate): number => {
  const bound = boundOf(update)
  return bound <= SMALL_BYTES ? bound : jsonBytes(update)
}

const describe = (update: Protocol.OperationUpdate) => `${update.Type} "${update.Name ?? update.Id}" (${update.Id})`

/** The queue of one invocation. Closures, not a class: bundlers shorten their names. */
const makeQueue = (
  client: DurableExecutionClient["Service"],
  context: Context.Context<never>,
  options: Options,
  { checkpointToken, executionArn }: Invocation,
  operations: ReadonlyArray<Protocol.Operation>
): Checkpoints & { readonly close: () => void } => {
  const limits: CheckpointLimits = { ...Limits, ...options.limits }
  const resendAfter = options.resendAfter ?? RESEND_AFTER
  let token = checkpointToken
  /** Of this invocation only: of an event that is delivered twice, the second would take the first one's answers for its own. */
  const batchesOf = uniqueKey(`${checkpointToken}#${Context.get(context, Random.Random).nextDoubleUnsafe()}`)
  let requests = 0
  let batches = 0

  const line = Line.make()
  /** Those that someone waits for. */
  const waits = new Map<Protocol.OperationUpdate, Done>()
  let pollWanted = false
  let sending: Fiber.Fiber<unknown, unknown> | undefined
  let listener: Listener | undefined
  let failure: CheckpointFailed | undefined
  let drained: Array<Done> = []

  /** Operations that count as such (children of finished contexts are not in the state, so this is a lower bound). */
  let count = operations.filter(({ Type }) => Type !== "EXECUTION").length
  /** What is noted of those whose updates come without. */
  let noted: Map<string, Line.Sent> | undefined
  let stored = 0
  const manyOperations = limits.operations * WARN_FROM
  const manyBytes = limits.storageBytes * WARN_FROM
  const warned = new Set<string>()
  for (const operation of operations) stored += recordedBytes(operation)

  // ---- queueing ----------------------------------------------------------------------------------

  const warnOf = (quantity: "operations" | "bytes", used: number, limit: number): void => {
    if (warned.has(quantity)) return
    warned.add(quantity)
    warn(
      context,
      `${executionArn}: the execution has used ${used} of the ${limit} ${quantity} that the service allows.`
    )
  }

  /** What the service would refuse is refused here, where it can be explained. */
  const tooLarge = (update: Protocol.OperationUpdate): Refusal | undefined => {
    const { Error: error, Payload: payload } = update
    const limit = error === undefined ? limits.payloadBytes : limits.errorBytes
    const text = error === undefined ? (payload ?? "") : JSON.stringify(error)
    const bytes = Buffer.byteLength(text)
    if (bytes > limit) {
      const operation = error === undefined ? describe(update) : `the error of ${describe(update)}`
      return new PayloadTooLarge({ operation, bytes, limit })
    }
    stored += bytes
    return undefined
  }

  /** So is what it would close the execution for; it is warned of before. */
  const overLimit = (update: Protocol.OperationUpdate): Refusal | undefined => {
    if (count > limits.operations) {
      return new OperationLimitExceeded({
        operation: describe(update),
        quantity: "operations",
        limit: limits.operations
      })
    }
    if (stored > limits.storageBytes) {
      return new OperationLimitExceeded({
        operation: describe(update),
        quantity: "bytes",
        limit: limits.storageBytes
      })
    }
    if (count >= manyOperations) warnOf("operations", count, limits.operations)
    if (stored >= manyBytes) warnOf("bytes", stored, limits.storageBytes)
    return undefined
  }

  const notedOf = (id: string): Line.Sent => {
    const note = (id: string, counted: boolean) => {
      const sent = { counted, sentIn: 0, sentMore: false }
      noted!.set(id, sent)
      return sent
    }
    if (noted === undefined) {
      noted = new Map()
      for (const { Id } of operations) note(Id, true)
    }
    return noted.get(id) ?? note(id, false)
  }

  const enqueue = (
    update: Protocol.OperationUpdate,
    options?: OfferOptions,
    sent?: Line.Sent,
    done?: Done
  ): Refusal | undefined => {
    if (failure !== undefined) {
      if (done !== undefined) Deferred.doneUnsafe(done, Exit.fail(failure))
      return undefined
    }
    if (update.Type !== "EXECUTION") {
      const { Error: error, Payload: payload = "" } = update
      // a character has three bytes at most: only what may be too much is counted
      if (error === undefined && payload.length * 3 <= limits.payloadBytes) stored += payload.length
      else {
        const large = tooLarge(update)
        if (large !== undefined) return large
      }
      sent ??= notedOf(update.Id)
      if (!sent.counted) {
        sent.counted = true
        count++
      }
      const refused = count >= manyOperations || stored >= manyBytes ? overLimit(update) : undefined
      if (refused !== undefined) return refused
    }
    if (done !== undefined) waits.set(update, done)
    line.add(update, sent, options?.lazy === true, options?.first === true)
    return undefined
  }

  // ---- sending -----------------------------------------------------------------------------------

  const urgent = () => line.eager() > 0 || pollWanted

  const send = (options?: { readonly force?: boolean }): void => {
    if (sending !== undefined || failure !== undefined) return
    if (!urgent() && !(options?.force === true && line.size() > 0)) return
    const batch = take()
    pollWanted = false
    const fiber = Effect.runForkWith(context)(request(batch.updates))
    sending = fiber
    whenEnded(fiber, (exit) => {
      sending = undefined
      if (Exit.isSuccess(exit)) succeeded(batch, exit.value)
      else if (listener !== undefined || !Cause.hasInterruptsOnly(exit.cause)) fail(toFailure(exit.cause))
    })
  }

  /** The longest prefix of the queue that fits a request. The first update is always taken, so an oversized one travels alone. */
  const take = (): Line.Batch => {
    const size = line.size()
    batches++
    let exact = token.length + ENVELOPE_BYTES
    let counted = 0
    let bytes = exact
    let n = 0
    for (; n < size && n < limits.batchUpdates; n++) {
      const update = line.at(n)!
      let more = boundOf(update)
      if (n > 0 && bytes + more > limits.batchBytes) {
        more = Math.min(more, jsonBoundOf(update))
        if (bytes + more > limits.batchBytes) {
          // bounds alone would split the batch: count
          for (; counted < n; counted++) exact += bytesOf(line.at(counted)!)
          bytes = exact
          more = bytesOf(update)
          if (bytes + more > limits.batchBytes) break
        }
      }
      // START and what ends that attempt may share a request; anything else of one id closes the batch
      const sent = line.sentAt(n)
      if (sent !== undefined) {
        if (sent.sentIn === batches && (sent.sentMore || update.Action === "START")) break
        sent.sentIn = batches
        sent.sentMore = update.Action !== "START"
      }
      bytes += more
    }
    // a START may wipe out what the end of its attempt replaces: an invocation must not die between them
    const last = line.at(n - 1)
    if (n > 1 && last?.Action === "START" && last.Id === line.at(n)?.Id) n--
    return line.take(n)
  }

  /** One checkpoint and all pages of what it answers. */
  const request = (updates: ReadonlyArray<Protocol.OperationUpdate>): Effect.Effect<Response, CheckpointFailed> =>
    client
      .checkpoint({
        DurableExecutionArn: executionArn,
        CheckpointToken: token,
        Updates: updates,
        // the same for every resend of this batch, and no other: the service then answers what it answered before
        ClientToken: `${batchesOf}-${++requests}`
      })
      .pipe(
        (call) => resending(call, resendAfter),
        Effect.flatMap(({ CheckpointToken: token, NewExecutionState: state }) => {
          const operations = state?.Operations ?? []
          return token === undefined || !state?.NextMarker
            ? Effect.succeed({ token, operations })
            : Effect.map(loadPages(client, resendAfter, executionArn, token, state.NextMarker), (rest) => ({
                token,
                operations: [...operations, ...rest]
              }))
        })
      )

  const succeeded = ({ sent, updates }: Line.Batch, response: Response): void => {
    // who is told goes on at once, so what it may ask for next must be settled before
    if (response.token !== undefined) token = response.token
    else if (updates.at(-1)?.Type !== "EXECUTION") failure = noFurtherCheckpoints()
    if (failure === undefined) listener?.responded(response.operations, updates, sent)
    for (const update of waits.size > 0 ? updates : []) {
      const done = waits.get(update)
      waits.delete(update)
      if (done !== undefined) Deferred.doneUnsafe(done, Exit.void)
    }
    if (failure !== undefined) return fail(failure)
    if (drained.length === 0) return
    if (line.size() > 0) return send({ force: true })
    if (sending === undefined) settleDrains(Exit.void)
  }

  /** The token chain is unusable: nothing more is sent, and every waiter sees why. */
  const fail = (error: CheckpointFailed): void => {
    failure = error
    line.clear()
    for (const done of waits.values()) Deferred.doneUnsafe(done, Exit.fail(error))
    waits.clear()
    settleDrains(Exit.fail(error))
    listener?.failed(error)
  }

  const settleDrains = (exit: Exit.Exit<void, CheckpointFailed>): void => {
    const waiting = drained
    drained = []
    for (const done of waiting) Deferred.doneUnsafe(done, exit)
  }

  return {
    operations,
    offer: enqueue,
    poll: () => {
      pollWanted = true
    },
    send,
    inFlight: () => sending !== undefined,
    queued: line.size,
    urgent,
    listen: (wanted) => {
      listener = wanted
    },
    commit: (update) =>
      Effect.suspend((): Effect.Effect<void, CheckpointFailed | Refusal> => {
        const done: Done = Deferred.makeUnsafe()
        const refused = enqueue(update, undefined, undefined, done)
        if (refused !== undefined) return Effect.fail(refused)
        send()
        // behind a request in flight or a full batch: it is sent next, whoever else asks for it
        if (line.size() > 0) drained.push(Deferred.makeUnsafe())
        return Deferred.await(done)
      }),
    drain: Effect.suspend(() => {
      if (failure !== undefined) return Effect.fail(failure)
      if (line.size() === 0 && sending === undefined) return Effect.void
      const done: Done = Deferred.makeUnsafe()
      drained.push(done)
      send({ force: true })
      return Deferred.await(done)
    }),
    close: () => {
      listener = undefined
      sending?.interruptUnsafe()
    }
  }
}

interface Response {
  /** Absent: the service takes no further checkpoint from this invocation. */
  readonly token: string | undefined
  readonly operations: ReadonlyArray<Protocol.Operation>
}

const noFurtherCheckpoints = () =>
  new CheckpointFailed({
    scope: "suspend",
    message: "The service answered a checkpoint without a token: it takes no further checkpoints from this invocation."
  })

const toFailure = (cause: Cause.Cause<CheckpointFailed>): CheckpointFailed => {
  const error = Cause.squash(cause)
  return error instanceof CheckpointFailed
    ? error
    : new CheckpointFailed({ scope: "invocation", message: `The checkpoint could not be sent: ${String(error)}` })
}

/** Sends again what failed for a passing reason. */
const resending = <A>(
  call: Effect.Effect<A, ServiceCallFailed>,
  delays: ReadonlyArray<number>
): Effect.Effect<A, CheckpointFailed> =>
  Effect.catch(call, (error) => {
    const [delay, ...later] = delays
    return error.transient && delay !== undefined
      ? Effect.andThen(Effect.sleep(delay), resending(call, later))
      : Effect.fail(new CheckpointFailed({ scope: error.scope, message: error.message }))
  })

/** All further pages of a state, in order. Reading pages does not use up the token. */
const loadPages = /*#__PURE__*/ Effect.fnUntraced(function* (
  client: DurableExecutionClient["Service"],
  resendAfter: ReadonlyArray<number>,
  executionArn: string,
  token: string,
  marker: string
): Effect.fn.Return<ReadonlyArray<Protocol.Operation>, CheckpointFailed> {
  const operations: Array<Protocol.Operation> = []
  let next: string | undefined = marker
  while (next) {
    const page: Protocol.ExecutionStateResponse = yield* resending(
      client.getExecutionState({
        DurableExecutionArn: executionArn,
        CheckpointToken: token,
        Marker: next,
        MaxItems: Limits.pageItems
      }),
      resendAfter
    )
    operations.push(...(page.Operations ?? []))
    next = page.NextMarker
  }
  return operations
})

/** The service over a client of your choice. */
export const make = (
  client: DurableExecutionClient["Service"],
  options: Options = {}
): CheckpointService["Service"] => ({
  open: Effect.fnUntraced(function* (invocation: Invocation) {
    const context = yield* Effect.context<never>()
    const { checkpointToken, executionArn, nextMarker, operations } = invocation
    const rest = nextMarker
      ? yield* loadPages(client, options.resendAfter ?? RESEND_AFTER, executionArn, checkpointToken, nextMarker)
      : []
    const queue = makeQueue(client, context, options, invocation, [...operations, ...rest])
    // (not Effect.addFinalizer, which makes a context for it: most of what an invocation costs is contexts)
    yield* Scope.addFinalizerExit(yield* Scope.Scope, () => Effect.sync(() => queue.close()))
    return queue
  })
})

/** The queue over a `DurableExecutionClient`, with limits and resending of your own. */
export const layerWith = (options: Options): Layer.Layer<CheckpointService, never, DurableExecutionClient> =>
  Layer.effect(
    CheckpointService,
    Effect.map(DurableExecutionClient, (client) => make(client, options))
  )

/** The queue over a `DurableExecutionClient`, with the service's limits. */
export const layer: Layer.Layer<CheckpointService, never, DurableExecutionClient> = /*#__PURE__*/ layerWith({})
