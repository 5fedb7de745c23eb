/** One execution: the bar of tools, the timeline and the details of what is selected. */
import { renderDetails, versionOf } from "./details.js"
import { h, icon, set, setText } from "./dom.js"
import { ROOT, statusWords } from "./model.js"
import { formatDuration } from "./scale.js"
import { TimelineView } from "./tree.js"

/** @typedef {import("./model.js").Timeline} Timeline */
/** @typedef {import("./details.js").Environment} Environment */

/** @type {ReadonlyArray<readonly [import("./model.js").Tone | "", string]>} */
const TONES = [
  ["", "All"],
  ["running", "Running"],
  ["waiting", "Waiting"],
  ["succeeded", "Succeeded"],
  ["failed", "Failed"],
  ["ended", "Other"]
]

const legend = () =>
  h(
    "ul",
    { class: "legend", "aria-label": "What the shapes mean" },
    ...[
      ["band", "invocation"],
      ["bar", "work"],
      ["hatch", "failed"],
      ["wait", "wait"],
      ["delay", "until the next attempt"]
    ].map(([shape, text]) => h("li", {}, h("span", { class: `swatch ${shape}` }), text))
  )

export class ExecutionView {
  /**
   * @param {Environment} environment
   * @param {{ readonly arn?: string, readonly functionName?: string, readonly back?: () => void, readonly backLink?: string,
   *   readonly selected?: string, readonly onSelect?: (id: string) => void }} options
   */
  constructor(environment, options) {
    this.environment = environment
    this.options = options
    /** @type {Timeline | undefined} */
    this.timeline = undefined
    this.now = 0
    this.version = ""
    this.view = new TimelineView({
      onSelect: (id) => {
        this.drawDetails()
        options.onSelect?.(id)
      },
      onEnter: () => this.details.focus(),
      onLeave: () => options.back?.()
    })
    this.view.selected = options.selected ?? ROOT
    this.title = h("h1", { tabindex: "-1" })
    this.status = h("span", { class: "status" })
    this.summary = h("p", { class: "muted summary" })
    const search = h("input", {
      type: "search",
      id: "find",
      placeholder: "Find an operation",
      "aria-label": "Find an operation by name, kind or id",
      autocomplete: "off",
      oninput: () => this.view.setView({ search: search.value }),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "ArrowDown" || event.key === "Enter") {
          event.preventDefault()
          this.view.tree.focus()
        }
      }
    })
    const tone = h(
      "select",
      {
        "aria-label": "Show operations by status",
        onchange: () => this.view.setView({ tone: /** @type {import("./model.js").Tone | ""} */ (tone.value) })
      },
      ...TONES.map(([value, text]) => h("option", { value }, text))
    )
    const mode = h("input", {
      type: "checkbox",
      id: "compressed",
      onchange: () => this.view.setView({ mode: mode.checked ? "compressed" : "linear" })
    })
    mode.checked = true
    this.details = h("aside", {
      class: "details",
      id: "details",
      tabindex: "-1",
      "aria-labelledby": "details-title",
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Escape") return
        event.preventDefault()
        this.view.tree.focus()
      }
    })
    this.element = h(
      "div",
      { class: "execution" },
      h(
        "div",
        { class: "top" },
        options.backLink === undefined
          ? undefined
          : h("a", { class: "back", href: options.backLink, "data-link": "" }, icon("back"), "Executions"),
        h("div", { class: "headline" }, this.title, this.status),
        this.summary
      ),
      h(
        "div",
        { class: "tools", role: "group", "aria-label": "Timeline" },
        h("span", { class: "search" }, icon("search"), search),
        tone,
        h(
          "label",
          { class: "inline", title: "Shorten the time between invocations, so that all work can be seen" },
          mode,
          "Compress time"
        ),
        h("button", { type: "button", class: "quiet", onclick: () => this.view.setCollapsed(true) }, "Collapse all"),
        h("button", { type: "button", class: "quiet", onclick: () => this.view.setCollapsed(false) }, "Expand all"),
        legend()
      ),
      h("div", { class: "panes" }, this.view.element, this.details)
    )
  }

  dispose() {
    this.view.dispose()
  }

  /** Shows what is known now; `version` and the selection decide whether the details are drawn again. */
  update(/** @type {Timeline} */ timeline, /** @type {number} */ now) {
    this.timeline = timeline
    this.now = now
    const { invocations, root } = timeline
    setText(this.title, root.name)
    setText(this.status, statusWords(root))
    set(this.status, { "data-tone": root.tone })
    const active = invocations.reduce((sum, one) => sum + ((one.to ?? now) - one.from), 0)
    setText(
      this.summary,
      [
        this.options.functionName,
        `${invocations.length.toLocaleString("en")} ${invocations.length === 1 ? "invocation" : "invocations"}`,
        `${formatDuration((timeline.to ?? now) - timeline.from)} in all, ${formatDuration(active)} of it running`
      ]
        .filter((part) => part !== undefined)
        .join(" · ")
    )
    this.view.update(timeline, now)
    this.drawDetails()
  }

  drawDetails() {
    if (this.timeline === undefined) return
    const operation = this.timeline.operations.get(this.view.selected) ?? this.timeline.root
    const version = versionOf(operation, this.timeline)
    if (version === this.version) return
    const same = version.split(" ")[0] === this.version.split(" ")[0]
    const focused = document.activeElement
    const key =
      same && focused instanceof HTMLElement && this.details.contains(focused) ? focused.dataset.key : undefined
    const inside = this.details.contains(focused) && focused !== this.details
    const { scrollTop } = this.details
    this.version = version
    this.details.replaceChildren(...renderDetails(operation, this.timeline, this.now, this.environment, this.options))
    this.details.scrollTop = same ? scrollTop : 0
    // What had the focus may be gone, an answered callback's form as a rule: then the panel has it.
    if (!inside) return
    const again = [...this.details.querySelectorAll("[data-key]")].find((one) => one.getAttribute("data-key") === key)
    if (key !== undefined && again instanceof HTMLElement) again.focus()
    else this.details.focus()
  }
}
