/**
 * The durable execution service as the laws need it: as strict as the real one, as unhelpful as it may be.
 * Synchronous; what the network does to calls is done by the simulation.
 */
import type * as Protocol from "../../src/Protocol.ts"
import { isTerminal, Limits } from "../../src/Protocol.ts"
import type { Profile } from "./Profile.ts"
import { int, type Loop, type Rng } from "./Virtual.ts"

/** When every execution starts, by the service's clock, epoch milliseconds. */
export const BASE = 1_700_000_000_000

/** A request that the real service would refuse: a bug. */
export class Rejected extends Error {}

/** How a call is answered: at once or later, `undefined` for a token that is not the latest. */
export type Reply<A> = (answer: A | undefined) => void

/** How the outside completes an operation. */
interface Ended {
  readonly Status: Protocol.OperationStatus
  readonly EndTimestamp: number
  readonly outcome: { readonly Result?: string; readonly Error?: Protocol.ErrorObject }
}

interface Served {
  readonly content: string
  response: Protocol.CheckpointResponse | undefined
  readonly waiting: Array<Reply<Protocol.CheckpointResponse>>
}

const ALLOWED: Record<Protocol.OperationType, ReadonlyArray<Protocol.OperationAction>> = {
  EXECUTION: ["SUCCEED", "FAIL"],
  CONTEXT: ["START", "SUCCEED", "FAIL"],
  STEP: ["START", "SUCCEED", "FAIL", "RETRY"],
  WAIT: ["START", "CANCEL"],
  CALLBACK: ["START"],
  CHAINED_INVOKE: ["START"]
}

export class Service {
  readonly operations = new Map<string, Protocol.Operation>()
  /** Something came about that the execution may wait for. */
  onExternal: () => void = () => {}
  /** A request was applied for the first time. */
  onApplied: (clientToken: string) => void = () => {}
  /** Counts the invocations: only the latest has a valid token. */
  epoch = 0
  private token = ""
  private tokens = 0
  private dirty = new Set<string>()
  private readonly served = new Map<string, Served>()
  private readonly pages = new Map<string, ReadonlyArray<Protocol.Operation>>()
  private finishNow: (() => void) | undefined
  private skewed = 0

  private readonly loop: Loop
  private readonly rand: Rng
  private readonly profile: Profile

  constructor(loop: Loop, rand: Rng, profile: Profile) {
    this.loop = loop
    this.rand = rand
    this.profile = profile
  }

  /** What the host that works now takes for the time. */
  private tick(): number {
    return BASE + Math.max(0, Math.floor(this.loop.now + this.skewed))
  }

  private put(operation: Protocol.Operation): void {
    this.operations.set(operation.Id, operation)
    this.dirty.add(operation.Id)
  }

  /** Whether an invocation may answer PENDING: something will still happen, or has happened unseen. */
  pending(): "soon" | "later" | "never" {
    if (this.dirty.size > 0) return "soon"
    for (const { Status, Type } of this.operations.values()) {
      if (isTerminal(Status) || Type === "CONTEXT") continue
      if (Type !== "STEP" || Status === "PENDING" || Status === "READY") return "later"
    }
    return "never"
  }

  // ---- invocations ---------------------------------------------------------------------------------

  /** Begins an invocation: from now on nothing of an earlier one is accepted. */
  invoke(arn: string): unknown {
    this.finishNow?.()
    this.epoch++
    const token = this.nextToken()
    this.dirty.clear()
    const execution: Protocol.Operation = {
      Id: "execution",
      Type: "EXECUTION",
      Name: "law",
      Status: "STARTED",
      StartTimestamp: BASE,
      ExecutionDetails: { InputPayload: "1" }
    }
    const kept = [...this.operations.values()].filter((operation) => !this.profile.prune || !this.isPruned(operation))
    return {
      DurableExecutionArn: arn,
      CheckpointToken: token,
      InitialExecutionState: this.page(token, [execution, ...kept])
    }
  }

  /** Children of finished contexts are not in the state, unless these are to be rebuilt from them. */
  private isPruned(operation: Protocol.Operation): boolean {
    for (let id = operation.ParentId; id !== undefined;) {
      const parent = this.operations.get(id)!
      if (isTerminal(parent.Status) && parent.ContextDetails?.ReplayChildren !== true) return true
      id = parent.ParentId
    }
    return false
  }

  private nextToken(): string {
    this.token = `${this.epoch}.${++this.tokens}`
    return this.token
  }

  private page(token: string, all: ReadonlyArray<Protocol.Operation>): Protocol.ExecutionStateResponse {
    const { pageSize } = this.profile
    if (pageSize === 0 || all.length <= pageSize) return { Operations: all }
    const marker = `${token}+${this.pages.size}`
    this.pages.set(marker, all.slice(pageSize))
    return { Operations: all.slice(0, pageSize), NextMarker: marker }
  }

  /** The next page of a state. Reading does not use up the token. */
  state(request: Protocol.ExecutionStateRequest): Protocol.ExecutionStateResponse | undefined {
    if (request.CheckpointToken !== this.token) return undefined
    const rest = this.pages.get(request.Marker)
    if (rest === undefined) throw new Rejected(`unknown marker ${request.Marker}`)
    const shown = this.profile.livePages
      ? rest.map((operation) => this.operations.get(operation.Id) ?? operation)
      : rest
    return this.page(request.CheckpointToken, shown)
  }

  // ---- checkpoints -----------------------------------------------------------------------------------

  /** Applies a request, once per ClientToken, and answers when that is done. */
  checkpoint(request: Protocol.CheckpointRequest, reply: Reply<Protocol.CheckpointResponse>): void {
    const content = request.CheckpointToken + JSON.stringify(request.Updates)
    const before = this.served.get(request.ClientToken)
    if (before !== undefined) {
      if (before.content !== content) throw new Rejected("another request came with a ClientToken that was used before")
      if (before.response !== undefined) reply(before.response)
      else before.waiting.push(reply)
      return
    }
    if (request.CheckpointToken !== this.token) return reply(undefined)
    this.token = ""
    const served: Served = { content, response: undefined, waiting: [reply] }
    this.served.set(request.ClientToken, served)
    if (this.profile.skew > 0) this.skewed = (this.rand() - 0.5) * 2 * this.profile.skew
    const seen = new Map<string, Protocol.OperationAction>()
    for (const { Action, Id } of request.Updates) {
      const previous = seen.get(Id)
      if (previous !== undefined && !(previous === "START" && Action !== "START")) {
        throw new Rejected("Cannot update the same operation twice in a single request.")
      }
      seen.set(Id, Action)
    }
    this.applyAll(request.Updates, () => {
      const token = this.nextToken()
      const changed = [...this.dirty].map((id) => this.operations.get(id)!)
      this.dirty.clear()
      const all = [...this.operations.values()]
      for (let i = 0; i < this.profile.repeat && all.length > 0; i++) {
        const again = all[int(this.rand, all.length)]!
        if (!changed.includes(again)) changed.push(again)
      }
      served.response = { CheckpointToken: token, NewExecutionState: this.page(token, changed) }
      this.onApplied(request.ClientToken)
      for (const answer of served.waiting) answer(served.response)
    })
  }

  /** All or nothing; but the updates of one request may be stamped one after the other. */
  private applyAll(updates: ReadonlyArray<Protocol.OperationUpdate>, done: () => void): void {
    let i = 0
    let over = false
    const finish = () => {
      if (over) return
      over = true
      this.finishNow = undefined
      while (i < updates.length) this.apply(updates[i++]!)
      done()
    }
    if (!this.profile.progressive) return finish()
    this.finishNow = finish
    const next = () => {
      if (over) return
      if (i >= updates.length) return finish()
      this.apply(updates[i++]!)
      this.loop.after(this.rand() * 0.6, next)
    }
    next()
  }

  /** Writes down, later than everything that is recorded, what the execution could not write any more. */
  append(updates: ReadonlyArray<Protocol.OperationUpdate>): void {
    this.loop.now = Math.floor(this.loop.now) + 2 + this.profile.skew * 4
    for (const update of updates) this.apply(update)
  }

  private apply(update: Protocol.OperationUpdate): void {
    const { Action, Error: error, Id, Name, ParentId, Payload, SubType, Type } = update
    const now = this.tick()
    const old = this.operations.get(Id)
    const refuse = (why: string): never => {
      throw new Rejected(`${why} (${Action} of ${Type} "${Name}" ${Id})`)
    }
    if (!/^[a-zA-Z0-9-_]{1,64}$/.test(Id)) refuse("Invalid operation id.")
    if (Name !== undefined && (Name === "" || Name.length > Limits.nameLength)) refuse("Invalid name.")
    if (!ALLOWED[Type].includes(Action)) refuse("Invalid action for the given operation type.")
    if (Action === "SUCCEED" && error !== undefined) refuse("Cannot provide an Error for SUCCEED action.")
    if (Action === "FAIL" && Payload !== undefined) refuse("Cannot provide a Payload for FAIL action.")
    const parent = ParentId === undefined ? undefined : this.operations.get(ParentId)
    if (ParentId !== undefined && parent?.Type !== "CONTEXT") refuse("Invalid parent operation id.")
    // stricter than the real one: nothing of what was lost is sent any more, however deep it lies
    for (let up = parent; up !== undefined; up = this.operations.get(up.ParentId ?? "")) {
      if (isTerminal(up.Status)) refuse("A context around it is finished.")
    }
    if (old !== undefined) {
      if (old.Type !== Type) refuse("Inconsistent operation type.")
      if (old.SubType !== SubType) refuse("Inconsistent operation subtype.")
      if (old.Name !== Name) refuse("Inconsistent operation name.")
      if (old.ParentId !== ParentId) refuse("Inconsistent parent operation id.")
    }
    const base = {
      Id,
      Type,
      StartTimestamp: old?.StartTimestamp ?? now,
      ...(ParentId === undefined ? undefined : { ParentId }),
      ...(Name === undefined ? undefined : { Name }),
      ...(SubType === undefined ? undefined : { SubType })
    }
    const outcome = {
      ...(Payload === undefined ? undefined : { Result: Payload }),
      ...(error === undefined ? undefined : { Error: error })
    }
    if (Type !== "STEP" && Action === "START" && old !== undefined)
      refuse(`Cannot start a ${Type} that already exists.`)
    switch (Type) {
      case "STEP": {
        const attempt = old?.StepDetails?.Attempt ?? 0
        if (Action === "START") {
          if (old !== undefined && old.Status !== "READY") refuse("Invalid current STEP state to start.")
          return this.put({ ...base, Status: "STARTED", StepDetails: { Attempt: attempt } })
        }
        if (old !== undefined && old.Status !== "STARTED" && old.Status !== "READY")
          refuse("Invalid current STEP state to close.")
        if (Action !== "RETRY") {
          const Status = Action === "SUCCEED" ? "SUCCEEDED" : "FAILED"
          return this.put({ ...base, Status, EndTimestamp: now, StepDetails: { Attempt: attempt + 1, ...outcome } })
        }
        const delay = update.StepOptions?.NextAttemptDelaySeconds
        if (delay === undefined || !Number.isInteger(delay) || delay < 1)
          return refuse("Invalid StepOptions for the given action.")
        const at = now + delay * this.profile.unit
        this.put({
          ...base,
          Status: "PENDING",
          StepDetails: { Attempt: attempt + 1, NextAttemptTimestamp: at, ...outcome }
        })
        return this.at(at, () => {
          const { StepDetails: { NextAttemptTimestamp: _, ...details } = {}, ...rest } = this.operations.get(Id)!
          this.put({ ...rest, Status: "READY", StepDetails: details })
        })
      }
      case "CONTEXT":
        if (Action === "START") {
          if (SubType === "MapIteration" || SubType === "ParallelBranch") this.admitItem(update, refuse)
          return this.put({ ...base, Status: "STARTED" })
        }
        if (old === undefined || isTerminal(old.Status)) refuse("Invalid current CONTEXT state to close.")
        return this.put({
          ...base,
          Status: Action === "SUCCEED" ? "SUCCEEDED" : "FAILED",
          EndTimestamp: now,
          ContextDetails: { ...outcome, ...update.ContextOptions }
        })
      case "WAIT": {
        const seconds = update.WaitOptions?.WaitSeconds
        if (seconds === undefined || !Number.isInteger(seconds) || seconds < 1)
          return refuse("Update for WAIT operation requires WaitOptions.")
        const at = now + seconds * this.profile.unit
        this.put({ ...base, Status: "STARTED", WaitDetails: { ScheduledEndTimestamp: at } })
        return this.at(at, () =>
          this.put({
            ...this.operations.get(Id)!,
            Status: "SUCCEEDED",
            ...(this.profile.waitEnds ? { EndTimestamp: Math.max(at, this.tick()) } : undefined)
          })
        )
      }
      case "CALLBACK": {
        const CallbackId = "cb-" + Id
        this.put({ ...base, Status: "STARTED", CallbackDetails: { CallbackId } })
        return this.outside(
          (details) =>
            this.put({ ...this.operations.get(Id)!, ...details, CallbackDetails: { CallbackId, ...details.outcome } }),
          update.CallbackOptions
        )
      }
      case "CHAINED_INVOKE":
        if (update.ChainedInvokeOptions?.FunctionName !== "other:1" || Payload === undefined)
          refuse("ChainedInvokeOptions required.")
        if (this.rand() < 0.05) {
          const Error = { ErrorMessage: "Function not found" }
          return this.put({ ...base, Status: "FAILED", EndTimestamp: now, ChainedInvokeDetails: { Error } })
        }
        this.put({ ...base, Status: "STARTED" })
        return this.outside((details) =>
          this.put({ ...this.operations.get(Id)!, ...details, ChainedInvokeDetails: details.outcome })
        )
      case "EXECUTION":
        return refuse("The laws do not close executions by a checkpoint.")
    }
  }

  /** The items of a batch start in their order, and no more of them at once than the batch's name says. */
  private admitItem({ Name = "", ParentId }: Protocol.OperationUpdate, refuse: (why: string) => never): void {
    const siblings = [...this.operations.values()].filter((operation) => operation.ParentId === ParentId)
    const limit = Number(/c(\d+)$/.exec(this.operations.get(ParentId!)?.Name ?? "")?.[1] ?? 0)
    const open = siblings.filter(({ Status }) => !isTerminal(Status)).length
    if (limit > 0 && open >= limit) refuse(`${open} items are running, where ${limit} may`)
    if (Number(/\d+$/.exec(Name)?.[0]) !== siblings.length) refuse(`${siblings.length} items have started before`)
  }

  /**
   * The outside completes an operation some time, or does not in time; that it is completed may become visible later
   * than its timestamp says.
   */
  private outside(end: (ended: Ended) => void, limits?: Protocol.OperationUpdate["CallbackOptions"]): void {
    const { loop, profile, rand } = this
    let takes = rand() < 0.3 ? rand() * 1.5 : rand() * profile.cbDur
    let ended = this.answer(limits === undefined)
    const over = (millis: number, ErrorType: string, ErrorMessage: string) => {
      if (millis >= takes) return
      takes = millis
      ended = { Status: "TIMED_OUT", outcome: { Error: { ErrorType, ErrorMessage } } }
    }
    if (limits?.TimeoutSeconds !== undefined) {
      over(limits.TimeoutSeconds * profile.unit, "Callback.Timeout", "Callback timed out")
    }
    if (limits?.HeartbeatTimeoutSeconds !== undefined) {
      const within = limits.HeartbeatTimeoutSeconds * profile.unit
      let last = 0
      while (rand() < 0.5) last += rand() * within // as long as there are heartbeats
      over(last + within, "Callback.Heartbeat", "Callback timed out on heartbeat")
    }
    loop.after(takes, () => {
      const EndTimestamp = this.tick()
      const show = () => {
        end({ ...ended, EndTimestamp })
        this.onExternal()
      }
      if (profile.externalLag > 0) loop.after(rand() * profile.externalLag, show)
      else show()
    })
  }

  /** What the outside answers with, if it has the time: not always what is expected. */
  private answer(isFunction: boolean): Omit<Ended, "EndTimestamp"> {
    const { rand } = this
    const x = rand()
    const value = int(rand, 100)
    if (x < 0.7) return { Status: "SUCCEEDED", outcome: { Result: String(value) } }
    if (x < 0.75) return { Status: "SUCCEEDED", outcome: value % 2 === 0 ? {} : { Result: "no number" } }
    if (x < 0.95) {
      const known = value % 2 === 0 ? { ErrorData: JSON.stringify("r" + (value % 3)) } : undefined
      return { Status: "FAILED", outcome: { Error: { ErrorMessage: "refused", ...known } } }
    }
    const Status = isFunction ? (value % 2 === 0 ? "TIMED_OUT" : "STOPPED") : "FAILED"
    return { Status, outcome: { Error: { ErrorMessage: "late" } } }
  }

  /** A timer of the service. It may go off late. */
  private at(timestamp: number, run: () => void): void {
    const lag = this.profile.flipLag > 0 && this.rand() < 0.5 ? this.rand() * this.profile.flipLag : 0
    this.loop.after(timestamp - BASE - this.loop.now + lag, () => {
      run()
      this.onExternal()
    })
  }
}
