/** The list of executions, newest first. */
import * as api from "./api.js"
import { h, icon, notify, set, setText } from "./dom.js"
import { statusWords } from "./model.js"
import { formatDuration, formatInstant } from "./scale.js"

/** @typedef {import("./api.js").Summary} Summary */

const PAGE = 100

/** @type {Readonly<Record<string, import("./model.js").Tone>>} */
const TONES = { RUNNING: "running", SUCCEEDED: "succeeded", FAILED: "failed", TIMED_OUT: "failed", STOPPED: "ended" }

/** @type {ReadonlyArray<readonly [string, string]>} */
const STATUSES = [
  ["", "All"],
  ["RUNNING", "Running"],
  ["SUCCEEDED", "Succeeded"],
  ["FAILED", "Failed"],
  ["TIMED_OUT", "Timed out"],
  ["STOPPED", "Stopped"]
]

/** `arn:…:function:order:$LATEST` in short: `order`, and the version unless it is the latest. */
export const functionOf = (/** @type {string} */ functionArn) => {
  const [name = functionArn, version = ""] = functionArn.split(":function:")[1]?.split(":") ?? []
  return version === "" || version === "$LATEST" ? name : `${name}:${version}`
}

/** @type {(execution: Pick<Summary, "StartTimestamp" | "EndTimestamp">, now: number) => string} */
const took = ({ EndTimestamp, StartTimestamp }, now) => formatDuration((EndTimestamp ?? now) - StartTimestamp)

export class ListView {
  /**
   * @param {{ readonly linkOf: (arn: string) => string, readonly open: (arn: string) => void,
   *   readonly announce: (text: string) => void }} options
   */
  constructor(options) {
    this.options = options
    this.filter = { status: "", search: "", limit: PAGE }
    /** @type {ReadonlyArray<Summary>} */
    this.executions = []
    this.offset = 0
    this.asking = 0
    /** @type {ReadonlyArray<string>} */
    this.functions = []

    this.title = h("h1", { tabindex: "-1" }, "Executions")
    const search = h("input", {
      type: "search",
      id: "search",
      placeholder: "Search",
      "aria-label": "Search executions by name, function or ARN",
      autocomplete: "off",
      oninput: () => this.setFilter({ search: search.value }),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "ArrowDown") this.move(event, 0)
      }
    })
    this.tabs = STATUSES.map(([status, text]) =>
      h(
        "button",
        {
          type: "button",
          "data-status": status,
          "aria-pressed": String(status === ""),
          onclick: () => this.setFilter({ status })
        },
        text
      )
    )
    this.body = h("tbody", {
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const links = [...this.body.querySelectorAll("a")]
        const at = links.indexOf(/** @type {HTMLAnchorElement} */ (document.activeElement))
        if (event.key === "ArrowDown") this.move(event, at + 1)
        else if (event.key === "ArrowUp") this.move(event, at - 1)
        else if (event.key === "Home") this.move(event, 0)
        else if (event.key === "End") this.move(event, links.length - 1)
      },
      onclick: (/** @type {MouseEvent} */ event) => {
        const target = /** @type {Element} */ (event.target)
        // The whole row is a target for the pointer; the link in it is what everyone else uses.
        if (target.closest("a") !== null || document.getSelection()?.toString() !== "") return
        const arn = target.closest("tr")?.dataset.arn
        if (arn !== undefined) options.open(arn)
      }
    })
    this.empty = h("div", { class: "empty", hidden: true })
    this.more = h(
      "button",
      {
        type: "button",
        class: "quiet",
        hidden: true,
        onclick: () => this.setFilter({ limit: this.filter.limit + PAGE })
      },
      "Show more"
    )
    this.count = h("span", { class: "muted count" })
    this.suggestions = h("datalist", { id: "functions" })
    this.element = h(
      "div",
      { class: "list" },
      h("div", { class: "top" }, h("div", { class: "headline" }, this.title), this.startForm()),
      h(
        "div",
        { class: "tools", role: "group", "aria-label": "Filter" },
        h("span", { class: "search" }, icon("search"), search),
        h("div", { class: "tabs", role: "group", "aria-label": "Status" }, ...this.tabs),
        this.count
      ),
      h(
        "div",
        { class: "sheet" },
        h(
          "table",
          { class: "executions" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ...["Status", "Name", "Function", "Started", "Took"].map((name) => h("th", { scope: "col" }, name))
            )
          ),
          this.body
        ),
        this.empty,
        this.more
      )
    )
  }

  startForm() {
    const problem = h("p", { class: "problem", role: "alert" })
    const name = h("input", { id: "start-function", list: "functions", autocomplete: "off", spellcheck: "false" })
    const input = h("textarea", { id: "start-input", rows: 3, spellcheck: "false" }, "{}")
    const button = h("button", { type: "submit", class: "primary" }, "Start")
    const form = h(
      "form",
      {
        class: "start",
        onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault()
          setText(problem, "")
          button.disabled = true
          const typed = name.value.trim()
          api
            .start({
              FunctionName: typed.includes(":") ? typed : `${typed}:$LATEST`,
              ...(input.value.trim() === "" ? {} : { Payload: input.value })
            })
            .then(this.options.open, (error) => setText(problem, error.message))
            .finally(() => {
              button.disabled = false
            })
        }
      },
      h("div", {}, h("label", { for: "start-function" }, "Function"), name, this.suggestions),
      h("div", {}, h("label", { for: "start-input" }, "Input (JSON)"), input),
      h("div", { class: "buttons" }, button),
      problem
    )
    return h("details", { class: "starter" }, h("summary", {}, "Start an execution"), form)
  }

  /** @param {KeyboardEvent} event @param {number} to */
  move(event, to) {
    const links = [...this.body.querySelectorAll("a")]
    const link = links[Math.min(to, links.length - 1)]
    event.preventDefault()
    if (to < 0) document.getElementById("search")?.focus()
    else link?.focus()
  }

  /** @param {Partial<typeof this.filter>} filter */
  setFilter(filter) {
    this.filter = { ...this.filter, ...filter }
    for (const tab of this.tabs) set(tab, { "aria-pressed": String(tab.dataset.status === this.filter.status) })
    void this.refresh(true)
  }

  /** Asks the server anew. Of answers that overtake each other the last question's counts. */
  async refresh(tell = false) {
    const asked = ++this.asking
    try {
      const { Executions, Functions, Now, Total } = await api.list(this.filter)
      if (asked !== this.asking) return
      this.offset = Now - Date.now()
      this.executions = Executions
      this.draw(Total, Functions)
      if (tell) this.options.announce(`${Total} executions`)
    } catch (error) {
      if (asked === this.asking) notify(error instanceof Error ? error.message : String(error))
    }
  }

  /** @param {number} total @param {ReadonlyArray<string>} functions */
  draw(total, functions) {
    const now = Date.now() + this.offset
    const before = new Map([...this.body.rows].map((row) => [row.dataset.arn, row]))
    let place = this.body.firstChild
    for (const execution of this.executions) {
      const arn = execution.DurableExecutionArn
      const row = before.get(arn) ?? this.newRow(execution)
      before.delete(arn)
      this.drawRow(row, execution, now)
      if (place === row) place = place.nextSibling
      else this.body.insertBefore(row, place)
    }
    for (const row of before.values()) row.remove()
    setText(
      this.count,
      this.executions.length === total
        ? `${total.toLocaleString("en")} ${total === 1 ? "execution" : "executions"}`
        : `${this.executions.length.toLocaleString("en")} of ${total.toLocaleString("en")} executions`
    )
    this.more.hidden = this.executions.length >= total
    this.empty.hidden = total > 0
    if (total === 0) {
      const filtered = this.filter.status !== "" || this.filter.search !== ""
      this.empty.replaceChildren(
        h("p", {}, h("strong", {}, filtered ? "No execution matches." : "No executions yet.")),
        h(
          "p",
          { class: "muted" },
          filtered
            ? "Change the search or the status."
            : "Invoke a function, or start one here. Executions appear as they start."
        )
      )
    }
    if (functions.join() !== this.functions.join()) {
      this.functions = functions
      this.suggestions.replaceChildren(...functions.map((value) => h("option", { value })))
      const [only] = functions
      const name = /** @type {HTMLInputElement | null} */ (this.element.querySelector("#start-function"))
      if (name !== null && name.value === "" && only !== undefined) name.value = only
    }
  }

  /** @param {Summary} execution */
  newRow(execution) {
    return h(
      "tr",
      { "data-arn": execution.DurableExecutionArn },
      h("td", {}, h("span", { class: "status" })),
      h(
        "td",
        { class: "strong" },
        h(
          "a",
          { href: this.options.linkOf(execution.DurableExecutionArn), "data-link": "" },
          execution.DurableExecutionName
        )
      ),
      h("td", {}, functionOf(execution.FunctionArn)),
      h(
        "td",
        {},
        h(
          "time",
          { datetime: new Date(execution.StartTimestamp).toISOString() },
          formatInstant(execution.StartTimestamp)
        )
      ),
      h("td", { class: "number" })
    )
  }

  /** @param {HTMLTableRowElement} row @param {Summary} execution @param {number} now */
  drawRow(row, execution, now) {
    const tone = TONES[execution.Status] ?? "ended"
    const status = /** @type {HTMLElement} */ (row.querySelector(".status"))
    if (status.dataset.tone !== tone || status.textContent !== statusWords({ status: execution.Status })) {
      set(status, { "data-tone": tone })
      status.replaceChildren(icon(tone), statusWords({ status: execution.Status }))
    }
    const last = row.cells[4]
    if (last !== undefined) setText(last, took(execution, now))
  }

  /**
   * Takes in what is told of an execution. Not when it would come or go: then the list has to be asked for.
   *
   * @param {Summary} change
   * @returns {boolean}
   */
  change(change) {
    const index = this.executions.findIndex(
      ({ DurableExecutionArn }) => DurableExecutionArn === change.DurableExecutionArn
    )
    const known = this.executions[index]
    const row = [...this.body.rows].find(({ dataset }) => dataset.arn === change.DurableExecutionArn)
    if (known === undefined || row === undefined) return false
    if (this.filter.status !== "" && change.Status !== this.filter.status) return false
    this.executions = this.executions.with(index, change)
    this.drawRow(row, change, Date.now() + this.offset)
    return true
  }

  /** Time goes on for what runs. */
  tick() {
    const now = Date.now() + this.offset
    const rows = new Map([...this.body.rows].map((row) => [row.dataset.arn, row]))
    for (const execution of this.executions) {
      const row = rows.get(execution.DurableExecutionArn)
      if (execution.Status === "RUNNING" && row !== undefined) this.drawRow(row, execution, now)
    }
  }
}
