/** The page's server: questions, actions, and the stream of what changes. */

/** @typedef {import("./model.js").HistoryEvent} HistoryEvent */
/**
 * @typedef {{ readonly DurableExecutionArn: string, readonly DurableExecutionName: string, readonly FunctionArn: string,
 *   readonly Version: string, readonly Status: string, readonly StartTimestamp: number, readonly EndTimestamp?: number }} Summary
 * @typedef {{ readonly Executions: ReadonlyArray<Summary>, readonly Total: number, readonly Functions: ReadonlyArray<string>,
 *   readonly Now: number }} Listing
 * @typedef {{ readonly Execution: Summary, readonly Events: ReadonlyArray<HistoryEvent>, readonly More: boolean,
 *   readonly Invocation?: { readonly Number: number, readonly StartTimestamp: number }, readonly Now: number }} Page
 */

/** Tells the server that the request comes from this page: no page of another site can send it without asking. */
const OWN = { "x-effect-durable-lambda": "page" }

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
const ask = async (path, init) => {
  /** @type {Response} */
  let response
  try {
    response = await fetch(path, init)
  } catch {
    throw new Error("The local server does not answer. Is it still running?")
  }
  const text = await response.text()
  /** @type {any} */
  let body
  try {
    body = text === "" ? {} : JSON.parse(text)
  } catch {
    body = {}
  }
  if (response.ok) return body
  throw new Error(body.message ?? body.Message ?? `The local server answered ${response.status}.`)
}

/**
 * @param {string} path
 * @param {string | undefined} [body]
 * @returns {Promise<any>}
 */
const post = (path, body) =>
  ask(path, { method: "POST", headers: { ...OWN, "content-type": "application/json" }, body: body ?? "" })

const path = (/** @type {string} */ arn) => `/_dev/executions/${encodeURIComponent(arn)}`
const callback = (/** @type {string} */ id) => `/_dev/callbacks/${encodeURIComponent(id)}`

/** @type {(filter: { readonly status: string, readonly search: string, readonly limit: number }) => Promise<Listing>} */
export const list = ({ limit, search, status }) =>
  ask(`/_dev/executions?${new URLSearchParams({ status, search, limit: String(limit) })}`)

/** @type {(arn: string, after: number) => Promise<Page>} */
export const execution = (arn, after) => ask(`${path(arn)}?after=${after}`)

/** One event, with its payloads uncut. @type {(arn: string, eventId: number) => Promise<HistoryEvent>} */
export const event = (arn, eventId) => ask(`${path(arn)}/events/${eventId}`)

/** @type {(start: { readonly FunctionName: string, readonly Payload?: string, readonly ExecutionName?: string }) => Promise<string>} */
export const start = async (request) => (await post("/_dev/executions", JSON.stringify(request))).DurableExecutionArn

/** @type {(arn: string) => Promise<string>} */
export const startAgain = async (arn) => (await post(`${path(arn)}/start-again`)).DurableExecutionArn

/** @type {(arn: string) => Promise<void>} */
export const stop = (arn) => post(`${path(arn)}/stop`, "{}")

/** @type {(callbackId: string, result: string) => Promise<void>} */
export const succeed = (callbackId, result) => post(`${callback(callbackId)}/succeed`, result)

/** @type {(callbackId: string, error: object) => Promise<void>} */
export const fail = (callbackId, error) => post(`${callback(callbackId)}/fail`, JSON.stringify(error))

/** @type {(callbackId: string) => Promise<void>} */
export const heartbeat = (callbackId) => post(`${callback(callbackId)}/heartbeat`)

/**
 * Follows what changes. A hidden page hears nothing, and holds no connection: browsers have few per server.
 *
 * @param {(change: Summary | undefined) => void} listener  Nothing when any may have changed unheard.
 * @param {(connected: boolean) => void} status
 * @returns {() => void}  Ends it.
 */
export const follow = (listener, status) => {
  /** @type {EventSource | undefined} */
  let source
  const close = () => {
    source?.close()
    source = undefined
  }
  const connect = () => {
    if (document.hidden) return close()
    if (source !== undefined) return
    source = new EventSource("/_dev/events")
    source.onopen = () => {
      status(true)
      listener(undefined)
    }
    source.onmessage = (/** @type {MessageEvent<string>} */ message) => listener(JSON.parse(message.data))
    source.onerror = () => status(false)
  }
  document.addEventListener("visibilitychange", connect)
  connect()
  return () => {
    document.removeEventListener("visibilitychange", connect)
    close()
  }
}
