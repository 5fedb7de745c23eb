/**
 * What a history tells, as the page draws it: operations in their tree, each with the spans of time that it ran or
 * waited, and the invocations. Pure, so that the page, the static file and the tests share it.
 */

/**
 * @typedef {{ readonly ErrorType?: string, readonly ErrorMessage?: string, readonly ErrorData?: string,
 *   readonly StackTrace?: ReadonlyArray<string> }} ErrorObject
 *
 * @typedef {{ readonly text?: string, readonly error?: ErrorObject, readonly truncated: boolean,
 *   readonly eventId: number }} Data  What went in or came out. `eventId` is the event that carries it.
 *
 * @typedef {"running" | "waiting" | "succeeded" | "failed" | "ended"} Tone  How a status is drawn.
 *
 * @typedef {{ readonly kind: "run" | "wait" | "delay", tone: Tone, readonly from: number, to?: number }} Span
 *   A stretch of an operation's time. Without `to` it is not over.
 *
 * @typedef {{ readonly number: number, readonly from: number, to?: number,
 *   outcome: "running" | "succeeded" | "checked" | "failed" | "interrupted", data?: Data, delaySeconds?: number }} Attempt
 *
 * @typedef {"execution" | "context" | "step" | "wait" | "callback" | "invoke"} Kind
 *
 * @typedef {{
 *   readonly id: string, readonly kind: Kind, readonly name: string, readonly subType?: string,
 *   readonly parentId?: string, readonly children: Array<Operation>,
 *   status: string, tone: Tone, readonly startedAt: number, endedAt?: number,
 *   readonly spans: Array<Span>, readonly attempts: Array<Attempt>,
 *   input?: Data, outcome?: Data, dueAt?: number, seconds?: number,
 *   callbackId?: string, timeoutSeconds?: number, heartbeatSeconds?: number,
 *   functionName?: string, version?: string, calledArn?: string, events: number
 * }} Operation
 *
 * @typedef {{ readonly number: number, readonly from: number, to?: number, readonly requestId?: string,
 *   readonly error?: ErrorObject }} Invocation
 *
 * @typedef {{ readonly root: Operation, readonly operations: ReadonlyMap<string, Operation>,
 *   readonly invocations: ReadonlyArray<Invocation>, readonly from: number, readonly to?: number,
 *   readonly lastEventId: number }} Timeline
 *
 * @typedef {{ readonly EventType: string, readonly EventId: number, readonly EventTimestamp?: number,
 *   readonly Id?: string, readonly ParentId?: string, readonly Name?: string, readonly SubType?: string,
 *   readonly [details: string]: any }} HistoryEvent  An event; timestamps are epoch milliseconds.
 */

/** The id of the row that stands for the whole execution. */
export const ROOT = ""

/** @type {Readonly<Record<string, Kind>>} */
const KINDS = {
  Execution: "execution",
  Context: "context",
  Step: "step",
  Wait: "wait",
  Callback: "callback",
  ChainedInvoke: "invoke"
}

/** What the service writes when an event ends an operation. */
const STATUSES = /** @type {const} */ ({
  Succeeded: "SUCCEEDED",
  Failed: "FAILED",
  TimedOut: "TIMED_OUT",
  Stopped: "STOPPED",
  Cancelled: "CANCELLED"
})

/** @type {Readonly<Record<string, Tone>>} */
const TONES = { SUCCEEDED: "succeeded", FAILED: "failed", TIMED_OUT: "failed", STOPPED: "ended", CANCELLED: "ended" }

/**
 * @param {HistoryEvent} event
 * @param {any} details
 * @returns {Data | undefined}
 */
const dataOf = (event, details) => {
  const input = details?.Input ?? details?.Result
  const error = details?.Error
  if (error !== undefined && error !== null) {
    return { error: error.Payload ?? {}, truncated: error.Truncated === true, eventId: event.EventId }
  }
  if (input === undefined || input === null) return undefined
  return {
    ...(typeof input.Payload === "string" ? { text: input.Payload } : {}),
    truncated: input.Truncated === true,
    eventId: event.EventId
  }
}

/**
 * What can be read of a payload that `Serdes` layers have written, and what they are. Absent: no layers have.
 *
 * @param {string} text
 * @returns {{ readonly layers: string, readonly shown: string | undefined } | undefined}
 */
export const layered = (text) => {
  if (!text.startsWith('{"~serdes":"')) return undefined
  try {
    const { "~serdes": layers, json, preview, text: plain } = JSON.parse(text)
    const shown = layers === "" ? json : preview
    return {
      layers: String(layers).split(" ").join(", "),
      shown: typeof plain === "string" ? plain : shown === undefined ? undefined : JSON.stringify(shown)
    }
  } catch {
    return undefined
  }
}

/**
 * @param {Operation} operation
 * @param {number} at
 * @param {Tone} tone
 */
const closeSpan = (operation, at, tone) => {
  const span = operation.spans.at(-1)
  if (span === undefined || span.to !== undefined) return
  span.to = at
  span.tone = tone
}

/**
 * @param {Operation} operation
 * @param {number} at
 * @param {Attempt["outcome"]} outcome
 * @returns {Attempt}
 */
const closeAttempt = (operation, at, outcome) => {
  let attempt = operation.attempts.at(-1)
  if (attempt === undefined || attempt.to !== undefined) {
    attempt = { number: operation.attempts.length + 1, from: at, outcome }
    operation.attempts.push(attempt)
    operation.spans.push({ kind: "run", tone: "running", from: at })
  }
  attempt.to = at
  attempt.outcome = outcome
  closeSpan(operation, at, outcome === "failed" ? "failed" : outcome === "interrupted" ? "ended" : "succeeded")
  return attempt
}

/**
 * @param {Operation} operation
 * @param {string} what
 * @param {HistoryEvent} event
 * @param {number} at
 * @param {number} cutOff  When the invocation ended in which the attempt before was left.
 */
const applyStep = (operation, what, event, at, cutOff) => {
  if (what === "Started") {
    if (operation.attempts.at(-1)?.outcome === "running") closeAttempt(operation, cutOff, "interrupted")
    closeSpan(operation, at, "waiting")
    operation.attempts.push({ number: operation.attempts.length + 1, from: at, outcome: "running" })
    operation.spans.push({ kind: "run", tone: "running", from: at })
    operation.status = "STARTED"
    operation.tone = "running"
    delete operation.dueAt
    return
  }
  const details = event[`${event.EventType}Details`]
  const delay = details?.RetryDetails?.NextAttemptDelaySeconds
  const failed = what !== "Succeeded"
  const retried = delay !== undefined && delay !== null
  const attempt = closeAttempt(operation, at, failed ? "failed" : retried ? "checked" : "succeeded")
  const data = dataOf(event, details)
  if (data !== undefined) attempt.data = data
  if (retried) {
    attempt.delaySeconds = delay
    operation.status = "PENDING"
    operation.tone = "waiting"
    operation.dueAt = at + delay * 1000
    operation.spans.push({ kind: "delay", tone: "waiting", from: at })
  } else end(operation, what, data, at)
}

/**
 * @param {Operation} operation
 * @param {string} what
 * @param {Data | undefined} data
 * @param {number} at
 */
const end = (operation, what, data, at) => {
  const status = STATUSES[/** @type {keyof typeof STATUSES} */ (what)]
  operation.status = status
  operation.tone = TONES[status] ?? "ended"
  operation.endedAt = at
  delete operation.dueAt
  if (data !== undefined) operation.outcome = data
  closeSpan(operation, at, operation.tone)
}

/**
 * @param {Operation} operation
 * @param {HistoryEvent} event
 * @param {number} at
 */
const begin = (operation, event, at) => {
  const details = event[`${event.EventType}Details`] ?? {}
  const waiting = operation.kind === "wait" || operation.kind === "callback" || operation.kind === "invoke"
  operation.status = "STARTED"
  operation.tone = waiting ? "waiting" : "running"
  operation.spans.push({ kind: waiting ? "wait" : "run", tone: operation.tone, from: at })
  const input = dataOf(event, details)
  if (input !== undefined) operation.input = input
  if (details.ScheduledEndTimestamp !== undefined) operation.dueAt = details.ScheduledEndTimestamp
  if (details.Duration !== undefined) operation.seconds = details.Duration
  if (details.CallbackId !== undefined) operation.callbackId = details.CallbackId
  if (details.Timeout) operation.timeoutSeconds = details.Timeout
  if (details.HeartbeatTimeout) operation.heartbeatSeconds = details.HeartbeatTimeout
  if (details.FunctionName) operation.functionName = details.FunctionName
  if (details.ExecutedVersion) operation.version = details.ExecutedVersion
  if (details.DurableExecutionArn) operation.calledArn = details.DurableExecutionArn
}

/**
 * Reads a history, complete or up to now.
 *
 * @param {ReadonlyArray<HistoryEvent>} events  In order.
 * @param {{ readonly number: number, readonly from: number } | undefined} [running]  The invocation that runs now: a
 *   history tells of an invocation only when it has ended.
 * @returns {Timeline}
 */
export const readTimeline = (events, running) => {
  const from = events[0]?.EventTimestamp ?? 0
  /** @type {Operation} */
  const root = {
    id: ROOT,
    kind: "execution",
    name: events[0]?.Name ?? "execution",
    children: [],
    status: "RUNNING",
    tone: "running",
    startedAt: from,
    spans: [{ kind: "run", tone: "running", from }],
    attempts: [],
    events: 0
  }
  /** @type {Map<string, Operation>} */
  const operations = new Map([[ROOT, root]])
  /** @type {Array<Invocation>} */
  const invocations = []
  /** Steps with an attempt under way: an invocation that ends leaves them. @type {Set<Operation>} */
  const under = new Set()
  /** When the attempt under way of a step was left. @type {Map<Operation, number>} */
  const left = new Map()
  let last = from

  for (const event of events) {
    const at = event.EventTimestamp ?? last
    last = at
    const [, family = "", what = ""] =
      /^(Execution|Context|Step|Wait|Callback|ChainedInvoke|Invocation)(\w+)$/.exec(event.EventType) ?? []
    const details = event[`${event.EventType}Details`]
    if (family === "Invocation") {
      invocations.push({
        number: invocations.length + 1,
        from: details?.StartTimestamp ?? at,
        to: details?.EndTimestamp ?? at,
        requestId: details?.RequestId,
        ...(details?.Error === undefined ? {} : { error: details.Error.Payload ?? {} })
      })
      for (const step of under) left.set(step, details?.EndTimestamp ?? at)
      under.clear()
      root.events += 1
      continue
    }
    const kind = KINDS[family]
    if (kind === undefined) continue
    // of a type that is not known here: it need not have ended anything
    const isNew = what !== "Started" && !Object.hasOwn(STATUSES, what)
    if (kind === "execution") {
      root.events += 1
      if (isNew) continue
      if (what === "Started") {
        const input = dataOf(event, details)
        if (input !== undefined) root.input = input
        if (details?.ExecutionTimeout) root.timeoutSeconds = details.ExecutionTimeout
      } else end(root, what, dataOf(event, details), at)
      continue
    }
    const id = event.Id ?? `event ${event.EventId}`
    let operation = operations.get(id)
    if (operation === undefined) {
      operation = {
        id,
        kind,
        name: event.Name ?? "",
        ...(event.SubType === undefined ? {} : { subType: event.SubType }),
        ...(event.ParentId === undefined ? {} : { parentId: event.ParentId }),
        children: [],
        status: "STARTED",
        tone: "running",
        startedAt: at,
        spans: [],
        attempts: [],
        events: 0
      }
      const parent = event.ParentId === undefined ? root : (operations.get(event.ParentId) ?? root)
      parent.children.push(operation)
      operations.set(id, operation)
    }
    operation.events += 1
    if (isNew) continue
    if (kind === "step") {
      applyStep(operation, what, event, at, left.get(operation) ?? at)
      left.delete(operation)
      if (what === "Started") under.add(operation)
      else under.delete(operation)
    } else if (what === "Started") begin(operation, event, at)
    else end(operation, what, dataOf(event, details), at)
  }

  if (running !== undefined && root.endedAt === undefined && running.number > invocations.length) {
    invocations.push(running)
  }
  for (const [operation, at] of left) {
    closeAttempt(operation, at, "interrupted")
    operation.tone = "waiting"
  }
  if (root.endedAt !== undefined) leave(operations.values(), root.endedAt)
  else rest(operations.values(), operations)
  return {
    root,
    operations,
    invocations,
    from,
    ...(root.endedAt === undefined ? {} : { to: root.endedAt }),
    lastEventId: events.at(-1)?.EventId ?? 0
  }
}

/**
 * What was open when the execution ended stays open in the record: it is drawn up to the end.
 *
 * @param {Iterable<Operation>} operations
 * @param {number} at
 */
const leave = (operations, at) => {
  for (const operation of operations) {
    if (operation.endedAt !== undefined) continue
    operation.tone = "ended"
    closeSpan(operation, at, "ended")
  }
}

/**
 * A context waits when nothing in it runs and something in it waits.
 *
 * @param {Iterable<Operation>} all
 * @param {ReadonlyMap<string, Operation>} operations
 */
const rest = (all, operations) => {
  /** @type {Set<Operation>} */
  const busy = new Set()
  /** @type {Set<Operation>} */
  const waiting = new Set()
  for (const operation of all) {
    if (operation.endedAt !== undefined || operation.kind === "context") continue
    const marked = operation.tone === "waiting" ? waiting : busy
    let one = operation.parentId === undefined ? undefined : operations.get(operation.parentId)
    while (one !== undefined && !marked.has(one)) {
      marked.add(one)
      one = one.parentId === undefined ? undefined : operations.get(one.parentId)
    }
  }
  for (const context of waiting) {
    if (context.endedAt !== undefined || busy.has(context)) continue
    context.tone = "waiting"
    for (const span of context.spans) span.tone = "waiting"
  }
}

/** @type {Readonly<Record<string, string>>} */
const WORDS = {
  RUNNING: "running",
  SUCCEEDED: "succeeded",
  FAILED: "failed",
  TIMED_OUT: "timed out",
  STOPPED: "stopped",
  CANCELLED: "cancelled"
}

/**
 * A status in words. Where an operation is open, it says what it is open for.
 *
 * @param {{ readonly status: string, readonly kind?: Kind, readonly tone?: Tone }} operation
 * @returns {string}
 */
export const statusWords = ({ kind, status, tone }) => {
  const word = WORDS[status]
  if (word !== undefined) return word
  if (tone === "ended") return "left open"
  if (status === "PENDING") return "waiting to retry"
  if (kind === "callback") return "waiting for an answer"
  if (kind === "wait") return "waiting"
  if (kind === "invoke") return "waiting for the result"
  if (kind === "context" && tone === "waiting") return "waiting"
  return tone === "waiting" ? "interrupted" : "running"
}

/** @type {Readonly<Record<string, string>>} */
const SUB_TYPES = {
  WaitForCondition: "condition",
  RunInChildContext: "context",
  Map: "map",
  MapIteration: "item",
  Parallel: "parallel",
  ParallelBranch: "branch",
  WaitForCallback: "callback"
}

/**
 * What kind of operation this is, in a word.
 *
 * @param {Pick<Operation, "kind" | "subType">} operation
 * @returns {string}
 */
export const kindWord = ({ kind, subType = "" }) =>
  // a subtype may be any word, "constructor" too
  (Object.hasOwn(SUB_TYPES, subType) ? SUB_TYPES[subType] : undefined) ?? kind

// ---- rows --------------------------------------------------------------------------------------------------

/**
 * @typedef {{ readonly operation: Operation, readonly level: number, readonly expanded: boolean | undefined,
 *   readonly position: number, readonly siblings: number }} Row  `expanded` is undefined without children.
 */

/**
 * The rows to show: the tree without what is collapsed or, with a search, what matches and what it is in.
 *
 * @param {Timeline} timeline
 * @param {{ readonly collapsed: ReadonlySet<string>, readonly search?: string, readonly tone?: Tone | "" }} view
 * @returns {ReadonlyArray<Row>}
 */
export const visibleRows = (timeline, { collapsed, search = "", tone = "" }) => {
  const wanted = search.trim().toLowerCase()
  /** @type {Set<Operation> | undefined} */
  let shown
  if (wanted !== "" || tone !== "") {
    shown = new Set([timeline.root])
    for (const operation of timeline.operations.values()) {
      if (operation === timeline.root) continue
      if (tone !== "" && operation.tone !== tone) continue
      if (wanted !== "" && !`${operation.name} ${kindWord(operation)} ${operation.id}`.toLowerCase().includes(wanted)) {
        continue
      }
      /** @type {Operation | undefined} */
      let one = operation
      while (one !== undefined && !shown.has(one)) {
        shown.add(one)
        one = one.parentId === undefined ? undefined : timeline.operations.get(one.parentId)
      }
    }
  }
  /** @type {Array<Row>} */
  const rows = []
  // A stack of its own: a history may be nested deeper than the engine's calls may.
  /** @type {Array<{ readonly operation: Operation, readonly level: number, readonly position: number, readonly siblings: number }>} */
  const stack = [{ operation: timeline.root, level: 1, position: 1, siblings: 1 }]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { level, operation, position, siblings } = next
    const children = shown === undefined ? operation.children : operation.children.filter((child) => shown?.has(child))
    const expanded = children.length === 0 ? undefined : shown !== undefined || !collapsed.has(operation.id)
    rows.push({ operation, level, expanded, position, siblings })
    if (expanded !== true) continue
    for (let i = children.length - 1; i >= 0; i--) {
      const child = children[i]
      if (child === undefined) continue
      stack.push({ operation: child, level: level + 1, position: i + 1, siblings: children.length })
    }
  }
  return rows
}
