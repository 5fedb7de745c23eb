/**
 * The timeline: a tree of operations beside a chart of their time, with the invocations as bands behind it. Only the
 * rows in view exist, so that thousands of operations cost no more than fifty.
 */
import { h, icon, set, setIcon, setText, svg } from "./dom.js"
import { kindWord, ROOT, statusWords, visibleRows } from "./model.js"
import { formatDuration, makeScale, segmentsOf, ticksOf } from "./scale.js"

/** @typedef {import("./model.js").Operation} Operation */
/** @typedef {import("./model.js").Row} Row */
/** @typedef {import("./model.js").Span} Span */
/** @typedef {import("./model.js").Timeline} Timeline */
/** @typedef {import("./scale.js").Scale} Scale */

export const ROW_HEIGHT = 30
/** Rows that exist above and below those in view. */
const OVERSCAN = 6
/** What is shorter is still seen. */
const MIN_WIDTH = 4
const HALF_PIXEL = 0.5

// ---- bars --------------------------------------------------------------------------------------------------

/** @type {(value: number) => number} */
const tenth = (value) => Math.round(value * 10) / 10

/** @type {(x: number, y: number, width: number, height: number, radius: number) => string} */
const roundRect = (x, y, width, height, radius) => {
  const r = tenth(Math.min(radius, width / 2, height / 2))
  const w = tenth(width - 2 * r)
  const v = height - 2 * r
  const arc = (/** @type {number} */ dx, /** @type {number} */ dy) => `a${r} ${r} 0 0 1 ${dx} ${dy}`
  return `M${tenth(x + r)} ${y}h${w}${arc(r, r)}v${v}${arc(-r, r)}h${-w}${arc(-r, -r)}v${-v}${arc(r, -r)}z`
}

const MIDDLE = ROW_HEIGHT / 2

/**
 * The shape of a span. Each kind has one of its own: work is a bar, waiting a thin line with ends, a delay before the
 * next attempt is dotted, a context a bracket over what is in it.
 *
 * @param {Operation} operation
 * @param {Span} span
 * @param {number} x
 * @param {number} width
 * @returns {readonly [kind: string, path: string]}
 */
const shape = (operation, span, x, width) => {
  if (operation.kind === "context" || operation.kind === "execution") {
    return [
      `bracket ${span.tone}`,
      `M${tenth(x)} ${MIDDLE + 4}v-7h${tenth(Math.max(width, 2))}v7h-2v-4h${-tenth(Math.max(width - 4, 0))}v4z`
    ]
  }
  if (span.kind === "delay") return ["delay", `M${tenth(x + 1)} ${MIDDLE}h${tenth(Math.max(width - 2, 1))}`]
  if (span.kind === "wait") {
    const kind = span.to === undefined ? "open" : "wait"
    return [
      `${kind} ${span.tone}`,
      `M${tenth(x + 1)} ${MIDDLE - 4}v8M${tenth(x + 1)} ${MIDDLE}h${tenth(Math.max(width - 2, 1))}m0 -4v8`
    ]
  }
  return [`bar ${span.tone}`, roundRect(x, MIDDLE - 6, width, 12, 3)]
}

/**
 * The paths of a row by class: a row with a thousand attempts has no more elements than one with two.
 *
 * @param {Operation} operation
 * @param {Scale} scale
 * @param {number} now
 * @returns {ReadonlyMap<string, string>}
 */
export const pathsOf = (operation, scale, now) => {
  /** @type {Map<string, string>} */
  const paths = new Map()
  /** @type {Map<string, number>} */
  const drawn = new Map()
  for (const span of operation.spans) {
    const from = Math.min(scale.x(span.from), scale.width - MIN_WIDTH)
    const width = Math.max(MIN_WIDTH, Math.min(scale.x(span.to ?? now), scale.width) - from)
    const [kind, path] = shape(operation, span, from, width)
    if (from + width < (drawn.get(kind) ?? -1) + HALF_PIXEL) continue // it would not be seen
    drawn.set(kind, from + width)
    paths.set(kind, (paths.get(kind) ?? "") + path)
  }
  return paths
}

// ---- rows --------------------------------------------------------------------------------------------------

/**
 * How long an operation took, or has taken up to now. Nothing where the history does not tell: a quick step's start and
 * outcome are recorded by one request.
 */
export const durationOf = (
  /** @type {Pick<Operation, "startedAt" | "endedAt" | "tone">} */ { endedAt, startedAt, tone },
  /** @type {number} */ now
) => {
  if (endedAt === undefined && tone === "ended") return ""
  const millis = (endedAt ?? now) - startedAt
  return endedAt !== undefined && millis < 0.5 ? "" : formatDuration(millis)
}

/** A row as a screen reader says it. */
const label = (/** @type {Operation} */ operation, /** @type {number} */ now) =>
  [
    operation.name === "" ? "(no name)" : operation.name,
    kindWord(operation),
    statusWords(operation),
    operation.attempts.length > 1 ? `${operation.attempts.length} attempts` : "",
    operation.endedAt === undefined ? "" : durationOf(operation, now)
  ]
    .filter((part) => part !== "")
    .join(", ")

class RowView {
  constructor() {
    this.twist = h("span", { class: "twist", "data-twist": "" })
    this.status = icon("running")
    this.name = h("span", { class: "label" })
    this.kind = h("span", { class: "kind" })
    this.cell = h("div", { class: "name" }, this.twist, this.status, this.name, this.kind)
    this.chart = svg("svg", { class: "bars", height: ROW_HEIGHT, focusable: "false" })
    this.time = h("span", { class: "time" })
    this.element = h("div", { class: "row", role: "treeitem" }, this.cell, this.chart, this.time)
    /** @type {Map<string, SVGPathElement>} */
    this.paths = new Map()
    for (const part of [this.cell, this.chart, this.time]) set(part, { "aria-hidden": "true" })
  }

  /**
   * @param {Row} row
   * @param {number} index
   * @param {{ readonly scale: Scale, readonly now: number, readonly selected: boolean, readonly id: string }} view
   */
  update(row, index, { id, now, scale, selected }) {
    const { operation } = row
    set(this.element, {
      id,
      "data-index": index,
      "data-tone": operation.tone,
      "data-kind": operation.kind,
      "aria-level": row.level,
      "aria-setsize": row.siblings,
      "aria-posinset": row.position,
      "aria-expanded": row.expanded === undefined ? undefined : String(row.expanded),
      "aria-selected": String(selected),
      "aria-label": label(operation, now)
    })
    this.element.style.transform = `translateY(${index * ROW_HEIGHT}px)`
    // Deeper than this, depth is only said, not shown: names must stay readable.
    this.cell.style.paddingInlineStart = `${8 + Math.min(row.level - 1, 12) * 16}px`
    const twist = row.expanded === undefined ? "" : row.expanded ? "down" : "right"
    if (this.twist.dataset.twist !== twist) {
      this.twist.dataset.twist = twist
      this.twist.replaceChildren(...(twist === "" ? [] : [icon(twist)]))
    }
    setIcon(this.status, operation.tone)
    setText(this.name, operation.name === "" ? "(no name)" : operation.name)
    const attempts = operation.attempts.length
    setText(this.kind, attempts > 1 ? `${kindWord(operation)} ×${attempts}` : kindWord(operation))
    setText(this.time, durationOf(operation, now))
    const paths = pathsOf(operation, scale, now)
    set(this.chart, { width: scale.width })
    for (const [kind, element] of this.paths) {
      if (paths.has(kind)) continue
      element.remove()
      this.paths.delete(kind)
    }
    for (const [kind, d] of paths) {
      let element = this.paths.get(kind)
      if (element === undefined) {
        element = svg("path", { class: kind })
        this.paths.set(kind, element)
        this.chart.append(element)
      }
      set(element, { d })
    }
  }
}

// ---- the view ----------------------------------------------------------------------------------------------

export class TimelineView {
  /**
   * @param {{ readonly onSelect: (id: string) => void, readonly onEnter: () => void, readonly onLeave: () => void }} options
   */
  constructor(options) {
    this.options = options
    /** @type {Timeline | undefined} */
    this.timeline = undefined
    this.now = 0
    /** @type {Set<string>} */
    this.collapsed = new Set()
    this.search = ""
    /** @type {import("./model.js").Tone | ""} */
    this.tone = ""
    /** @type {"compressed" | "linear"} */
    this.mode = "compressed"
    this.selected = ROOT
    /** @type {ReadonlyArray<Row>} */
    this.rows = []
    /** @type {Map<string, RowView>} */
    this.views = new Map()
    this.scale = makeScale([], 0, this.mode)
    this.frame = 0

    this.count = h("span")
    this.ticks = h("div", { class: "ticks" })
    this.bands = svg("svg", { class: "bands", "aria-hidden": "true", focusable: "false" })
    this.space = h("div", { class: "space", role: "none" })
    this.tree = h(
      "div",
      {
        class: "rows",
        id: "operations",
        role: "tree",
        tabindex: 0,
        "aria-label": "Operations. Arrow keys move, Enter goes to the details, Escape goes back.",
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.keydown(event),
        onscroll: () => this.schedule(),
        onclick: (/** @type {MouseEvent} */ event) => this.click(event)
      },
      this.space
    )
    this.empty = h("p", { class: "empty", hidden: true }, "No operation matches.")
    this.element = h(
      "div",
      { class: "timeline" },
      h("div", { class: "ruler", "aria-hidden": "true" }, h("span", { class: "ruler-name" }, this.count), this.ticks),
      h("div", { class: "stage" }, this.bands, this.tree, this.empty)
    )
    this.resize = new ResizeObserver(() => this.layout())
    this.resize.observe(this.tree)
  }

  dispose() {
    this.resize.disconnect()
    cancelAnimationFrame(this.frame)
  }

  /** Shows what is known now. The selection stays, and a reader at the end stays at the end. */
  update(/** @type {Timeline} */ timeline, /** @type {number} */ now) {
    const { clientHeight, scrollHeight, scrollTop } = this.tree
    const follows = this.timeline !== undefined && scrollTop > 0 && scrollTop + clientHeight >= scrollHeight - 4
    this.timeline = timeline
    this.now = now
    this.layout()
    if (follows) this.tree.scrollTop = this.tree.scrollHeight
  }

  setView(
    /** @type {{ readonly search?: string, readonly tone?: import("./model.js").Tone | "", readonly mode?: "compressed" | "linear" }} */ view
  ) {
    Object.assign(this, view)
    this.layout()
    this.reveal()
  }

  setCollapsed(/** @type {boolean} */ collapsed) {
    this.collapsed = new Set(
      collapsed
        ? [...(this.timeline?.operations.values() ?? [])]
            .filter((one) => one.id !== ROOT && one.children.length > 0)
            .map(({ id }) => id)
        : []
    )
    // What is selected may be inside of what is now closed: then its outermost closed ancestor is.
    let closed = this.timeline?.operations.get(this.selected)
    for (let one = closed; one !== undefined && one.id !== ROOT;) {
      const parent = one.parentId === undefined ? undefined : this.timeline?.operations.get(one.parentId)
      if (parent !== undefined && this.collapsed.has(parent.id)) closed = parent
      one = parent
    }
    this.layout()
    if (closed !== undefined && closed.id !== this.selected) this.select(closed.id)
    else this.reveal()
  }

  layout() {
    if (this.timeline === undefined) return
    const nameWidth = this.element.querySelector(".ruler-name")?.getBoundingClientRect().width ?? 0
    const width = Math.max(60, Math.floor(this.tree.clientWidth - nameWidth - 76))
    this.scale = makeScale(segmentsOf(this.timeline, this.now), width, this.mode)
    this.rows = visibleRows(this.timeline, this)
    this.space.style.height = `${this.rows.length * ROW_HEIGHT}px`
    this.empty.hidden = this.rows.length > 1 || (this.search === "" && this.tone === "")
    this.drawBands()
    this.drawRows()
    const shown = this.rows.length - 1
    const all = this.timeline.operations.size - 1
    const words = all === 1 ? "operation" : "operations"
    setText(
      this.count,
      shown === all
        ? `${all.toLocaleString("en")} ${words}`
        : `${shown.toLocaleString("en")} of ${all.toLocaleString("en")} ${words}`
    )
  }

  drawBands() {
    const { segments, width } = this.scale
    const height = this.tree.clientHeight
    set(this.bands, { width, height, viewBox: `0 0 ${width} ${height}` })
    let active = ""
    let failed = ""
    for (const segment of segments) {
      if (!segment.active) continue
      const path = `M${tenth(segment.x)} 0h${tenth(Math.max(segment.width, 1))}V${height}h${-tenth(Math.max(segment.width, 1))}z`
      if (segment.failed) failed += path
      else active += path
    }
    this.bands.replaceChildren(
      svg("path", { class: "band", d: active }),
      ...(failed === "" ? [] : [svg("path", { class: "band failed", d: failed })])
    )
    const numbers = segments
      .filter((segment) => segment.active && segment.width >= 20)
      .slice(0, 60)
      .map((segment) => {
        const mark = h("span", { class: segment.failed ? "mark failed" : "mark" }, `#${segment.invocation}`)
        mark.style.insetInlineStart = `${segment.x}px`
        mark.style.width = `${segment.width}px`
        return mark
      })
    const ticks = ticksOf(this.scale, this.mode)
      .slice(0, 60)
      .map(({ active, text, x }) => {
        const tick = h("span", { class: active ? "tick" : "tick idle" }, text)
        tick.style.insetInlineStart = `${x}px`
        return tick
      })
    this.ticks.replaceChildren(...numbers, ...ticks)
    this.ticks.dataset.mode = this.mode
  }

  schedule() {
    if (this.frame !== 0) return
    this.frame = requestAnimationFrame(() => {
      this.frame = 0
      this.drawRows()
    })
  }

  drawRows() {
    const { clientHeight, scrollTop } = this.tree
    const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - OVERSCAN)
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + OVERSCAN)
    /** @type {Set<string>} */
    const wanted = new Set()
    for (let index = first; index < last; index++) {
      const id = this.rows[index]?.operation.id
      if (id !== undefined) wanted.add(id)
    }
    for (const [id, view] of this.views) {
      if (wanted.has(id)) continue
      view.element.remove()
      this.views.delete(id)
    }
    let place = this.space.firstChild
    for (let index = first; index < last; index++) {
      const row = this.rows[index]
      if (row === undefined) continue
      const { id } = row.operation
      let view = this.views.get(id)
      if (view === undefined) {
        view = new RowView()
        this.views.set(id, view)
      }
      view.update(row, index, {
        id: `row-${id}`,
        now: this.now,
        scale: this.scale,
        selected: id === this.selected
      })
      // In the order of reading, which is that of the eye.
      if (place === view.element) place = place.nextSibling
      else this.space.insertBefore(view.element, place)
    }
    set(this.tree, { "aria-activedescendant": this.views.has(this.selected) ? `row-${this.selected}` : undefined })
  }

  /** Selects an operation and brings it into view. */
  select(/** @type {string} */ id, tell = true) {
    this.selected = id
    this.reveal()
    if (tell) this.options.onSelect(id)
  }

  reveal() {
    const index = this.rows.findIndex(({ operation }) => operation.id === this.selected)
    if (index >= 0) {
      const top = index * ROW_HEIGHT
      const { clientHeight, scrollTop } = this.tree
      if (top < scrollTop) this.tree.scrollTop = top
      else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.tree.scrollTop = top + ROW_HEIGHT - clientHeight
    }
    this.drawRows()
  }

  toggle(/** @type {Row} */ row, /** @type {boolean} */ expand) {
    if (row.expanded === undefined) return
    if (expand) this.collapsed.delete(row.operation.id)
    else this.collapsed.add(row.operation.id)
    this.layout()
    this.reveal()
  }

  click(/** @type {MouseEvent} */ event) {
    const target = /** @type {Element} */ (event.target)
    const row = this.rows[Number(target.closest(".row")?.getAttribute("data-index") ?? -1)]
    if (row === undefined) return
    if (target.closest("[data-twist]:not([data-twist=''])")) this.toggle(row, row.expanded !== true)
    this.select(row.operation.id)
  }

  keydown(/** @type {KeyboardEvent} */ event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const index = Math.max(
      0,
      this.rows.findIndex(({ operation }) => operation.id === this.selected)
    )
    const row = this.rows[index]
    const page = Math.max(1, Math.floor(this.tree.clientHeight / ROW_HEIGHT) - 1)
    const go = (/** @type {number} */ to) => {
      const next = this.rows[Math.max(0, Math.min(this.rows.length - 1, to))]
      if (next !== undefined) this.select(next.operation.id)
    }
    switch (event.key) {
      case "ArrowDown":
        go(index + 1)
        break
      case "ArrowUp":
        go(index - 1)
        break
      case "PageDown":
        go(index + page)
        break
      case "PageUp":
        go(index - page)
        break
      case "Home":
        go(0)
        break
      case "End":
        go(this.rows.length - 1)
        break
      case "ArrowRight":
        if (row?.expanded === false) this.toggle(row, true)
        else if (row?.expanded === true) go(index + 1)
        break
      case "ArrowLeft":
        if (row?.expanded === true) this.toggle(row, false)
        else if (row !== undefined) {
          for (let i = index; i >= 0; i--) {
            if ((this.rows[i]?.level ?? 0) < row.level) {
              go(i)
              break
            }
          }
        }
        break
      case "Enter":
      case " ":
        this.options.onEnter()
        break
      case "Escape":
        this.options.onLeave()
        break
      default:
        return
    }
    event.preventDefault()
  }
}
