/** The page: which view the address asks for, and what keeps it up to date. */
import * as api from "./api.js"
import { h, notify, setText } from "./dom.js"
import { ExecutionView } from "./execution.js"
import { functionOf, ListView } from "./list.js"
import { readTimeline, statusWords } from "./model.js"

/** @typedef {import("./model.js").HistoryEvent} HistoryEvent */

/** What runs takes time to be looked at: the page asks again no sooner than this, however much happens. */
const REFRESH_MILLIS = 120
const TICK_MILLIS = 1000

const main = /** @type {HTMLElement} */ (document.getElementById("main"))
const live = /** @type {HTMLElement} */ (document.getElementById("announcer"))
const connection = /** @type {HTMLElement} */ (document.getElementById("connection"))

const announce = (/** @type {string} */ text) => setText(live, text)

const linkOf = (/** @type {string} */ arn) => `/?${new URLSearchParams({ execution: arn })}`

/**
 * Runs `work` now, or as soon as it is done and a moment has passed; calls meanwhile are one call.
 *
 * @param {() => Promise<void>} work
 * @returns {() => void}
 */
const coalesced = (work) => {
  let busy = false
  let again = false
  const run = () => {
    if (busy) {
      again = true
      return
    }
    busy = true
    again = false
    void work().finally(() =>
      setTimeout(() => {
        busy = false
        if (again) run()
      }, REFRESH_MILLIS)
    )
  }
  return run
}

/**
 * @typedef {{ readonly element: HTMLElement, readonly heading: HTMLElement, readonly title: string,
 *   readonly changed: (change: api.Summary | undefined) => void, readonly tick: () => void,
 *   readonly dispose: () => void }} Screen
 */

/** @returns {Screen} */
const listScreen = () => {
  const view = new ListView({ linkOf, announce, open: (arn) => go(linkOf(arn)) })
  const refresh = coalesced(() => view.refresh())
  refresh()
  return {
    element: view.element,
    heading: view.title,
    title: "Executions",
    changed: (change) => {
      // What is known is drawn with what was said; only what is new has to be asked for.
      if (change === undefined || !view.change(change)) refresh()
    },
    tick: () => view.tick(),
    dispose: () => {}
  }
}

/**
 * @param {string} arn
 * @param {string} selected
 * @returns {Screen}
 */
const executionScreen = (arn, selected) => {
  /** @type {Array<HistoryEvent>} */
  const events = []
  /** @type {api.Page | undefined} */
  let page
  let offset = 0
  let status = ""
  let problem = ""
  let disposed = false

  const view = new ExecutionView(
    {
      linkOf,
      actions: {
        stop: () => api.stop(arn),
        startAgain: async () => go(linkOf(await api.startAgain(arn))),
        succeed: api.succeed,
        fail: api.fail,
        heartbeat: api.heartbeat
      },
      load: async (data) => {
        const event = await api.event(arn, data.eventId)
        const details = event[`${event.EventType}Details`]
        const whole = details?.Input ?? details?.Result
        return {
          ...data,
          truncated: false,
          ...(data.error ? { error: details.Error.Payload } : { text: whole?.Payload })
        }
      }
    },
    {
      arn,
      selected,
      functionName: functionOf(arn.split("/durable-execution/")[0] ?? arn),
      backLink: "/",
      back: () => go("/"),
      onSelect: (operation) => {
        const query = new URLSearchParams({ execution: arn, ...(operation === "" ? {} : { operation }) })
        history.replaceState(null, "", `/?${query}`)
      }
    }
  )

  const draw = () => {
    if (page === undefined || disposed) return
    const { Invocation: one } = page
    const running = one === undefined ? undefined : { number: one.Number, from: one.StartTimestamp }
    const timeline = readTimeline(events, running)
    view.update(timeline, Date.now() + offset)
    document.title = `${timeline.root.name}: ${statusWords(timeline.root)}`
    if (status !== "" && status !== timeline.root.status) {
      announce(`${timeline.root.name} ${statusWords(timeline.root)}`)
    }
    status = timeline.root.status
  }

  const refresh = coalesced(async () => {
    try {
      do {
        page = await api.execution(arn, events.at(-1)?.EventId ?? 0)
        // not push(...events): an engine takes only so many arguments
        for (const event of page.Events) events.push(event)
        offset = page.Now - Date.now()
      } while (page.More)
      problem = ""
      draw()
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      if (disposed) return
      if (text !== problem) notify(text)
      problem = text
      if (events.length === 0)
        main.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "No such execution"), h("p", {}, text)))
    }
  })
  refresh()
  return {
    element: view.element,
    heading: view.title,
    title: "Execution",
    changed: (change) => {
      if (change === undefined || change.DurableExecutionArn === arn) refresh()
    },
    tick: () => {
      if (status === "RUNNING") draw()
    },
    dispose: () => {
      disposed = true
      view.dispose()
    }
  }
}

/** @type {Screen | undefined} */
let screen
/** The execution that is shown; none = the list. @type {string | null} */
let shown = null

/** @param {boolean} focus  Whether the reader came here: then the new heading has the focus. */
const show = (focus) => {
  screen?.dispose()
  const query = new URLSearchParams(location.search)
  const arn = query.get("execution")
  shown = arn
  screen = arn === null ? listScreen() : executionScreen(arn, query.get("operation") ?? "")
  document.title = screen.title
  main.replaceChildren(screen.element)
  if (focus) screen.heading.focus()
}

/** @param {string} href */
const go = (href) => {
  history.pushState(null, "", href)
  show(true)
}

addEventListener("popstate", () => {
  // A skip link is a step in the browser's history as well, but on the same page.
  if (new URLSearchParams(location.search).get("execution") !== shown) show(true)
})
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-link]") : null
  if (link === null || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  go(link.getAttribute("href") ?? "/")
})
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return
  event.preventDefault()
  const search = document.querySelector("input[type=search]")
  if (search instanceof HTMLElement) search.focus()
})

show(false)
api.follow(
  (change) => screen?.changed(change),
  (connected) => {
    setText(connection, connected ? "live" : "not connected")
    connection.dataset.connected = String(connected)
  }
)
setInterval(() => screen?.tick(), TICK_MILLIS)
