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
import type * as Scope from "effect/Scope"
import { CheckpointFailed, OperationLimitExceeded, PayloadTooLarge } from "./DurableError.ts"
import { DurableExecutionClient, type ServiceCallFailed } from "./DurableExecutionClient.ts"
import { operationId } from "./internal/operationId.ts"
import { warn } from "./internal/warn.ts"
import type * as Protocol from "./Protocol.ts"
import { Limits } from "./internal/wire.ts"

// ---- options ---------------------------------------------------------------------------------------

/** What a request and an execution may hold. `Infinity` switches a limit off. Bytes are UTF-8 bytes. */
export interface CheckpointLimits {
  readonly batchUpdates: number
  readonly batchBytes: number
  readonly payloadBytes: number
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

/** Told of each response, after its pages have been read, and of the one failure that ends the queue. */
export interface Listener {
  /** `acknowledged` are the updates that this request carried, `operations` what changed at the service. */
  readonly responded: (
    operations: ReadonlyArray<Protocol.Operation>,
    acknowledged: ReadonlyArray<Protocol.OperationUpdate>
  ) => void
  readonly failed: (error: CheckpointFailed) => void
}

/** How an update is queued. */
export interface OfferOptions {
  /** It may wait for the next request that has another reason to be sent. */
  readonly lazy?: boolean | undefined
  /** It goes before everything that is queued. */
  readonly first?: boolean | undefined
}

/** The checkpoint queue of one invocation. Everything but `commit` and `drain` is synchronous. */
export interface Checkpoints {
  /** The recorded state: all pages of it. */
  readonly operations: ReadonlyArray<Protocol.Operation>
  /** Queues an update. Gives the reason when it exceeds a limit; it is then not queued. */
  readonly offer: (
    update: Protocol.OperationUpdate,
    options?: OfferOptions
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
  readonly commit: (update: Protocol.OperationUpdate) => Effect.Effect<void, CheckpointFailed | PayloadTooLarge | OperationLimitExceeded>
  /** Waits until everything queued is durable. Fails with what ended the queue, if something did. */
  readonly drain: Effect.Effect<void, CheckpointFailed>
}

/**
 * Opens the checkpoint queue of an invocation. `layer` sends to the `DurableExecutionClient`; a layer of
 * your own may batch differently, record, or inject faults.
 */
export class CheckpointService extends Context.Service<CheckpointService, {
  /** Loads the recorded state and opens the queue; closing the scope drops what is in flight. */
  readonly open: (invocation: Invocation) => Effect.Effect<Checkpoints, CheckpointFailed, Scope.Scope>
}>()("effect-durable-lambda/CheckpointService") {}

interface Entry {
  readonly update: Protocol.OperationUpdate
  /** UTF-8 bytes of its JSON, at most. */
  bytes: number
  /** `bytes` is the very number: it is counted only where the bound could split a batch. */
  exact: boolean
  readonly lazy: boolean
  /** Someone waits for this very update. */
  readonly done: Deferred.Deferred<void, CheckpointFailed> | undefined
}

/** Room for the envelope around the updates, as AWS's SDKs reckon it. */
const ENVELOPE_BYTES = 100

/** Part of a limit from which on a warning is logged. */
const WARN_FROM = 0.8

/** Bytes of the fields around payload and error: ids, names and options have limits of their own. */
const FIELDS_BYTES = 256
/** Up to this bound an update is taken at it: a full batch of such updates still fits a request. */
const SMALL_BYTES = 2_048

/** JSON text doubles at most when it is quoted; any other text may need six bytes for a character. */
const boundOf = (update: Protocol.OperationUpdate): number => {
  const { Error: error, Payload: payload } = update
  return FIELDS_BYTES + 6 * (
    (payload?.length ?? 0) + (error?.ErrorMessage?.length ?? 0) + (error?.ErrorData?.length ?? 0) + (error?.ErrorType?.length ?? 0)
  )
}

/** JSON text has no control characters; a text with some is counted exactly. */
const payloadBound = (payload = ""): number => /[^\x20-\uFFFF]/.test(payload) ? Infinity : Buffer.byteLength(payload) * 2

const describe = (update: Protocol.OperationUpdate) => `${update.Type} "${update.Name ?? update.Id}" (${update.Id})`

/** START and what ends that attempt may share a request; anything else of one id closes the batch. */
const conflicts = (actions: Map<string, Protocol.OperationAction>, update: Protocol.OperationUpdate): boolean => {
  const before = actions.get(update.Id)
  if (before !== undefined && (before !== "START" || update.Action === "START")) return true
  actions.set(update.Id, update.Action)
  return false
}

const recordedBytes = (operation: Protocol.Operation): number =>
  (operation.StepDetails?.Result ?? operation.ContextDetails?.Result ?? operation.CallbackDetails?.Result ??
    operation.ChainedInvokeDetails?.Result ?? operation.ExecutionDetails?.InputPayload ?? "").length

class Queue implements Checkpoints {
  readonly operations: ReadonlyArray<Protocol.Operation>
  private readonly client: DurableExecutionClient["Service"]
  private readonly context: Context.Context<never>
  private readonly limits: CheckpointLimits
  private readonly resendAfter: ReadonlyArray<number>
  private readonly invocation: Invocation
  private token: string
  private requests = 0

  private entries: Array<Entry> = []
  private eager = 0
  private pollWanted = false
  private sending: Fiber.Fiber<unknown, unknown> | undefined
  private listener: Listener | undefined
  private failure: CheckpointFailed | undefined
  private drained: Array<Deferred.Deferred<void, CheckpointFailed>> = []

  /** Ids that count as operations: children of finished contexts are not in the state, so this is a lower bound. */
  private readonly known = new Set<string>()
  private bytes = 0
  private readonly warned = new Set<string>()

  constructor(
    client: DurableExecutionClient["Service"],
    context: Context.Context<never>,
    options: Options,
    invocation: Invocation,
    operations: ReadonlyArray<Protocol.Operation>
  ) {
    this.client = client
    this.context = context
    this.limits = { ...Limits, ...options.limits }
    this.resendAfter = options.resendAfter ?? RESEND_AFTER
    this.invocation = invocation
    this.token = invocation.checkpointToken
    this.operations = operations
    for (const operation of operations) {
      this.known.add(operation.Id)
      this.bytes += recordedBytes(operation)
    }
  }

  listen(listener: Listener): void {
    this.listener = listener
  }
  inFlight(): boolean {
    return this.sending !== undefined
  }
  queued(): number {
    return this.entries.length
  }
  urgent(): boolean {
    return this.eager > 0 || this.pollWanted
  }
  poll(): void {
    this.pollWanted = true
  }

  offer(update: Protocol.OperationUpdate, options?: OfferOptions): PayloadTooLarge | OperationLimitExceeded | undefined {
    return this.enqueue(update, options, undefined)
  }

  commit(update: Protocol.OperationUpdate): Effect.Effect<void, CheckpointFailed | PayloadTooLarge | OperationLimitExceeded> {
    return Effect.suspend((): Effect.Effect<void, CheckpointFailed | PayloadTooLarge | OperationLimitExceeded> => {
      const done = Deferred.makeUnsafe<void, CheckpointFailed>()
      const refused = this.enqueue(update, undefined, done)
      if (refused !== undefined) return Effect.fail(refused)
      this.send()
      // behind a request in flight or a full batch: it is sent next, whoever else asks for it
      if (this.entries.length > 0) this.drained.push(Deferred.makeUnsafe())
      return Deferred.await(done)
    })
  }

  readonly drain: Effect.Effect<void, CheckpointFailed> = Effect.suspend(() => {
    if (this.failure !== undefined) return Effect.fail(this.failure)
    if (this.entries.length === 0 && this.sending === undefined) return Effect.void
    const done = Deferred.makeUnsafe<void, CheckpointFailed>()
    this.drained.push(done)
    this.send({ force: true })
    return Deferred.await(done)
  })

  /** Drops what is in flight and queued: the invocation is over. */
  close(): void {
    this.listener = undefined
    this.sending?.interruptUnsafe()
  }

  // ---- queueing ----------------------------------------------------------------------------------

  private enqueue(
    update: Protocol.OperationUpdate,
    options: OfferOptions | undefined,
    done: Entry["done"]
  ): PayloadTooLarge | OperationLimitExceeded | undefined {
    if (this.failure !== undefined) {
      if (done !== undefined) Deferred.doneUnsafe(done, Exit.fail(this.failure))
      return undefined
    }
    const refused = update.Type === "EXECUTION" ? undefined : this.refuse(update)
    if (refused !== undefined) return refused
    const lazy = options?.lazy === true
    const bound = boundOf(update)
    const entry: Entry = bound <= SMALL_BYTES
      ? { update, bytes: bound, exact: true, lazy, done }
      : { update, bytes: payloadBound(update.Payload) + boundOf({ ...update, Payload: "" }), exact: false, lazy, done }
    if (!lazy) this.eager++
    if (options?.first === true) this.entries.unshift(entry)
    else this.entries.push(entry)
    return undefined
  }

  /** What the service would refuse, or close the execution for, is refused here, where it can be explained. */
  private refuse(update: Protocol.OperationUpdate): PayloadTooLarge | OperationLimitExceeded | undefined {
    const { known, limits } = this
    const text = update.Payload ?? update.Error?.ErrorData
    const payload = text === undefined ? 0 : Buffer.byteLength(text)
    if (payload > limits.payloadBytes) {
      return new PayloadTooLarge({ operation: describe(update), bytes: payload, limit: limits.payloadBytes })
    }
    this.bytes += payload
    known.add(update.Id)
    const exceeded = known.size > limits.operations ? "operations" : this.bytes > limits.storageBytes ? "bytes" : undefined
    if (exceeded !== undefined) {
      const limit = exceeded === "operations" ? limits.operations : limits.storageBytes
      return new OperationLimitExceeded({ operation: describe(update), quantity: exceeded, limit })
    }
    this.warn("operations", known.size, limits.operations)
    this.warn("bytes", this.bytes, limits.storageBytes)
    return undefined
  }

  private warn(quantity: "operations" | "bytes", used: number, limit: number): void {
    if (used < limit * WARN_FROM || this.warned.has(quantity)) return
    this.warned.add(quantity)
    warn(
      this.context,
      `${this.invocation.executionArn}: the execution has used ${used} of the ${limit} ${quantity} that the service allows.`
    )
  }

  // ---- sending -----------------------------------------------------------------------------------

  send(options?: { readonly force?: boolean }): void {
    if (this.sending !== undefined || this.failure !== undefined) return
    if (!this.urgent() && !(options?.force === true && this.entries.length > 0)) return
    const batch = this.take()
    this.pollWanted = false
    const fiber = Effect.runForkWith(this.context)(this.request(batch))
    this.sending = fiber
    fiber.addObserver((exit) => {
      this.sending = undefined
      if (Exit.isSuccess(exit)) this.succeeded(batch, exit.value)
      else if (this.listener !== undefined || !Cause.hasInterruptsOnly(exit.cause)) this.fail(toFailure(exit.cause), batch)
    })
  }

  /** The longest prefix of the queue that fits a request. The first update is always taken, so an oversized one travels alone. */
  private take(): ReadonlyArray<Entry> {
    const { entries, limits } = this
    const actions = new Map<string, Protocol.OperationAction>()
    let bytes = this.token.length + ENVELOPE_BYTES
    let n = 0
    for (; n < entries.length && n < limits.batchUpdates; n++) {
      const entry = entries[n]!
      if (!entry.exact && bytes + entry.bytes > limits.batchBytes) {
        entry.bytes = Buffer.byteLength(JSON.stringify(entry.update))
        entry.exact = true
      }
      if (conflicts(actions, entry.update) || (n > 0 && bytes + entry.bytes > limits.batchBytes)) break
      bytes += entry.bytes
      if (!entry.lazy) this.eager--
    }
    return entries.splice(0, n)
  }

  /** One checkpoint and all pages of what it answers. */
  private request(batch: ReadonlyArray<Entry>): Effect.Effect<Response, CheckpointFailed> {
    const { checkpointToken, executionArn } = this.invocation
    return this.client.checkpoint({
      DurableExecutionArn: executionArn,
      CheckpointToken: this.token,
      Updates: batch.map((entry) => entry.update),
      // the same for every resend of this batch, and no other: the service then answers what it answered before
      ClientToken: operationId(checkpointToken, "batch", "", ++this.requests)
    }).pipe(
      (call) => resending(call, this.resendAfter),
      Effect.flatMap(({ CheckpointToken: token, NewExecutionState: state }) => {
        const operations = state?.Operations ?? []
        return token === undefined || !state?.NextMarker
          ? Effect.succeed({ token, operations })
          : Effect.map(loadPages(this.client, this.resendAfter, executionArn, token, state.NextMarker), (rest) => ({
            token,
            operations: [...operations, ...rest]
          }))
      })
    )
  }

  private succeeded(batch: ReadonlyArray<Entry>, { operations, token }: Response): void {
    // who is told goes on at once, so what it may ask for next must be settled before
    if (token !== undefined) this.token = token
    else if (batch.at(-1)?.update.Type !== "EXECUTION") this.failure = noFurtherCheckpoints()
    if (this.failure === undefined) this.listener?.responded(operations, batch.map((entry) => entry.update))
    for (const { done } of batch) if (done !== undefined) Deferred.doneUnsafe(done, Exit.void)
    if (this.failure !== undefined) return this.fail(this.failure, [])
    if (this.drained.length === 0) return
    if (this.entries.length > 0) return this.send({ force: true })
    if (this.sending === undefined) this.settleDrains(Exit.void)
  }

  /** The token chain is unusable: nothing more is sent, and every waiter sees why. */
  private fail(error: CheckpointFailed, batch: ReadonlyArray<Entry>): void {
    this.failure = error
    const waiting = [...batch, ...this.entries]
    this.entries = []
    this.eager = 0
    for (const { done } of waiting) if (done !== undefined) Deferred.doneUnsafe(done, Exit.fail(error))
    this.settleDrains(Exit.fail(error))
    this.listener?.failed(error)
  }

  private settleDrains(exit: Exit.Exit<void, CheckpointFailed>): void {
    const { drained } = this
    this.drained = []
    for (const done of drained) Deferred.doneUnsafe(done, exit)
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
const loadPages = (
  client: DurableExecutionClient["Service"],
  resendAfter: ReadonlyArray<number>,
  executionArn: string,
  token: string,
  marker: string
): Effect.Effect<ReadonlyArray<Protocol.Operation>, CheckpointFailed> =>
  Effect.gen(function*() {
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
      operations.push(...page.Operations ?? [])
      next = page.NextMarker
    }
    return operations
  })

/** The queue over a `DurableExecutionClient`, with limits and resending of your own. */
export const layerWith = (options: Options): Layer.Layer<CheckpointService, never, DurableExecutionClient> =>
  Layer.effect(
    CheckpointService,
    Effect.gen(function*() {
      const client = yield* DurableExecutionClient
      const open = Effect.fnUntraced(function*(invocation: Invocation) {
        const context = yield* Effect.context<never>()
        const rest = invocation.nextMarker
          ? yield* loadPages(
            client,
            options.resendAfter ?? RESEND_AFTER,
            invocation.executionArn,
            invocation.checkpointToken,
            invocation.nextMarker
          )
          : []
        const queue = new Queue(client, context, options, invocation, [...invocation.operations, ...rest])
        yield* Effect.addFinalizer(() => Effect.sync(() => queue.close()))
        return queue
      })
      return CheckpointService.of({ open })
    })
  )

/** The queue over a `DurableExecutionClient`, with the service's limits. */
export const layer: Layer.Layer<CheckpointService, never, DurableExecutionClient> = layerWith({})
