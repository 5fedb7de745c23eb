/**
 * What there is to know of one operation, or of the execution, and what can be done with it. Payloads are text, whatever
 * is in them.
 */
import { h, icon, notify, setText } from "./dom.js"
import { kindWord, layered, ROOT, statusWords } from "./model.js"
import { formatBytes, formatDuration, formatInstant } from "./scale.js"
import { durationOf } from "./tree.js"

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./model.js").Data} Data */
/** @typedef {import("./model.js").Operation} Operation */
/** @typedef {import("./model.js").Timeline} Timeline */
/**
 * @typedef {{
 *   readonly stop: () => Promise<void>,
 *   readonly startAgain: () => Promise<void>,
 *   readonly succeed: (callbackId: string, result: string) => Promise<void>,
 *   readonly fail: (callbackId: string, error: { ErrorType?: string, ErrorMessage?: string }) => Promise<void>,
 *   readonly heartbeat: (callbackId: string) => Promise<void>
 * }} Actions  Each rejects with an Error that says why it was refused.
 *
 * @typedef {{
 *   readonly actions?: Actions,
 *   readonly load?: (data: Data) => Promise<Data>,
 *   readonly linkOf?: (arn: string) => string
 * }} Environment  What the place where details are shown can do. A saved history can do nothing.
 */

/** Longer texts are cut until asked for, so that the page stays quick. */
const SHOWN_CHARACTERS = 20_000
/** So many attempts and invocations are listed, the last ones. */
const SHOWN_ROWS = 25

// ---- parts -------------------------------------------------------------------------------------------------

/** @type {(at: number) => HTMLTimeElement} */
const instant = (at) => {
  const date = new Date(at)
  return h("time", Number.isNaN(date.getTime()) ? {} : { datetime: date.toISOString() }, formatInstant(at, true))
}

/** @type {(entries: ReadonlyArray<readonly [string, Child]>) => HTMLDListElement} */
const facts = (entries) =>
  h(
    "dl",
    { class: "facts" },
    ...entries.flatMap(([name, value]) =>
      value === undefined || value === "" ? [] : [h("div", {}, h("dt", {}, name), h("dd", {}, value))]
    )
  )

/** @type {(text: string, what: string) => HTMLButtonElement} */
const copyButton = (text, what) =>
  h(
    "button",
    {
      class: "quiet",
      type: "button",
      title: `Copy ${what}`,
      "aria-label": `Copy ${what}`,
      "data-key": `copy ${what}`,
      onclick: () =>
        void navigator.clipboard.writeText(text).then(
          () => notify(`Copied ${what}`),
          () => notify(`The browser does not let this page copy ${what}`)
        )
    },
    icon("copy")
  )

/** @type {(text: string, what: string) => HTMLElement} */
const copyable = (text, what) => h("span", { class: "copyable" }, h("code", {}, text), copyButton(text, what))

/** JSON laid out, and anything else as it is. */
export const pretty = (/** @type {string} */ text) => {
  if (text.length > 500_000) return text
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

/** What `Serdes` layers have left readable, and the record below it. @type {(raw: string) => HTMLElement} */
const payloadBlock = (raw) => {
  const read = layered(raw)
  if (read === undefined) return textBlock(raw)
  if (read.layers === "" && read.shown !== undefined) return textBlock(read.shown)
  const what = read.shown === undefined ? "no preview" : "preview"
  return h(
    "div",
    {},
    h("p", { class: "muted" }, `${read.layers}: ${what}, ${formatBytes(raw.length)} on record`),
    read.shown === undefined ? undefined : textBlock(read.shown),
    h("details", {}, h("summary", { "data-key": "record" }, "The record"), textBlock(raw))
  )
}

/** @type {(raw: string) => HTMLElement} */
const textBlock = (raw) => {
  const text = pretty(raw)
  const block = h("pre", { tabindex: 0 }, text.slice(0, SHOWN_CHARACTERS))
  if (text.length <= SHOWN_CHARACTERS) return block
  const more = h(
    "button",
    {
      type: "button",
      class: "quiet",
      "data-key": "more",
      onclick: () => {
        setText(block, text)
        block.focus()
        more.remove()
      }
    },
    `Show all ${formatBytes(text.length)}`
  )
  return h("div", {}, block, more)
}

/** @type {(error: import("./model.js").ErrorObject) => string} An error in a line. */
const errorLine = ({ ErrorData, ErrorMessage, ErrorType }) => {
  const why = ErrorMessage || (ErrorData !== undefined && ErrorData.length <= 120 ? ErrorData : "")
  return `${ErrorType ?? "failed"}${why === "" ? "" : `: ${why}`}`
}

/** @type {(from: number, to: number | undefined) => string} */
const took = (from, to) => (to === undefined || to - from < 0.5 ? "" : formatDuration(to - from))

/** @type {(error: import("./model.js").ErrorObject) => HTMLElement} */
const errorBlock = (error) =>
  h(
    "div",
    { class: "error" },
    h(
      "p",
      {},
      h("strong", {}, error.ErrorType ?? "Error"),
      error.ErrorMessage === undefined || error.ErrorMessage === "" ? undefined : `: ${error.ErrorMessage}`
    ),
    error.ErrorData === undefined ? undefined : payloadBlock(error.ErrorData),
    error.StackTrace === undefined || error.StackTrace.length === 0
      ? undefined
      : h("pre", { tabindex: 0, "aria-label": "Stack" }, error.StackTrace.join("\n"))
  )

/** @type {(data: Data) => HTMLElement} */
const dataBlock = (data) =>
  data.error !== undefined
    ? errorBlock(data.error)
    : data.text === undefined
      ? h("p", { class: "muted" }, data.truncated ? "Not in this history." : "Nothing.")
      : payloadBlock(data.text)

/** @type {(title: string, data: Data | undefined, environment: Environment) => HTMLElement | undefined} */
const dataSection = (title, data, { load }) => {
  if (data === undefined) return undefined
  const body = h("div", {}, dataBlock(data))
  const heading = h("h3", {}, title)
  const section = h("section", {}, h("div", { class: "heading" }, heading), body)
  const text = data.text
  if (text !== undefined && !data.truncated) {
    heading.after(copyButton(text, title.toLowerCase()))
  }
  if (data.truncated && load !== undefined) {
    const button = h(
      "button",
      {
        type: "button",
        class: "quiet",
        "data-key": `load ${title}`,
        onclick: () =>
          void load(data).then(
            (whole) => {
              body.replaceChildren(dataBlock(whole))
              button.remove()
            },
            (error) => notify(String(error instanceof Error ? error.message : error))
          )
      },
      "Load all of it"
    )
    section.append(h("p", { class: "muted" }, "Cut short. ", button))
  }
  return section
}

/**
 * @template A
 * @param {string} title
 * @param {ReadonlyArray<string>} columns
 * @param {ReadonlyArray<A>} items
 * @param {(item: A) => ReadonlyArray<Child>} row
 * @returns {HTMLElement | undefined}
 */
const table = (title, columns, items, row) => {
  if (items.length === 0) return undefined
  const shown = items.slice(-SHOWN_ROWS)
  return h(
    "section",
    {},
    h("h3", {}, title),
    shown.length < items.length
      ? h("p", { class: "muted" }, `The last ${shown.length} of ${items.length.toLocaleString("en")}.`)
      : undefined,
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...shown.map((item) => h("tr", {}, ...row(item).map((cell) => h("td", {}, cell)))))
    )
  )
}

const attempts = (/** @type {Operation} */ operation) =>
  operation.attempts.length < 2 && operation.attempts[0]?.outcome !== "interrupted"
    ? undefined
    : table("Attempts", ["#", "Started", "Took", "Outcome"], operation.attempts, (attempt) => [
        attempt.number,
        formatInstant(attempt.from).slice(11),
        took(attempt.from, attempt.to),
        [
          attempt.data?.error === undefined
            ? attempt.outcome === "checked"
              ? "not yet"
              : attempt.outcome
            : errorLine(attempt.data.error),
          attempt.delaySeconds === undefined ? "" : `next after ${formatDuration(attempt.delaySeconds * 1000)}`
        ]
          .filter((part) => part !== "")
          .join("; ")
      ])

const invocations = (/** @type {Timeline} */ timeline) =>
  table("Invocations", ["#", "Started", "Took", "Outcome"], timeline.invocations, (invocation) => [
    invocation.number,
    formatInstant(invocation.from).slice(11),
    took(invocation.from, invocation.to),
    invocation.to === undefined ? "running" : invocation.error === undefined ? "answered" : errorLine(invocation.error)
  ])

// ---- what can be done --------------------------------------------------------------------------------------

/**
 * A button that does something at the server once, and says how it went.
 *
 * @param {string} text
 * @param {{ readonly class?: string, readonly key: string, readonly type?: string }} options
 * @param {() => Promise<void> | undefined} act  Nothing when there is nothing to do.
 * @param {HTMLElement} problem  Where a refusal is shown.
 */
const actionButton = (text, options, act, problem) => {
  const button = h(
    "button",
    {
      type: "button",
      class: options.class,
      "data-key": options.key,
      onclick: () => {
        const done = act()
        if (done === undefined) return
        button.disabled = true
        setText(problem, "")
        done
          .then(
            () => notify(`${text}: done`),
            (error) => setText(problem, error instanceof Error ? error.message : String(error))
          )
          .finally(() => {
            button.disabled = false
          })
      }
    },
    text
  )
  return button
}

const newProblem = () => h("p", { class: "problem", role: "alert" })

/**
 * The forms that answer a callback.
 *
 * @param {string} callbackId
 * @param {Actions} actions
 * @param {Operation} operation
 */
const answerForms = (callbackId, actions, operation) => {
  const problem = newProblem()
  const result = h("textarea", { id: "callback-result", rows: 4, spellcheck: "false", "data-key": "result" }, "{}")
  const plain = h("input", { type: "checkbox", id: "callback-plain", "data-key": "plain" })
  const type = h("input", { id: "callback-error-type", autocomplete: "off", value: "Rejected", "data-key": "type" })
  const message = h("input", { id: "callback-error-message", autocomplete: "off", "data-key": "message" })
  const succeed = () => {
    if (!plain.checked) {
      try {
        JSON.parse(result.value)
      } catch (error) {
        setText(
          problem,
          `This is not JSON (${error instanceof Error ? error.message : String(error)}). Correct it, or send it as plain text.`
        )
        result.focus()
        return undefined
      }
    }
    return actions.succeed(callbackId, result.value)
  }
  const fail = () =>
    actions.fail(callbackId, {
      ...(type.value === "" ? {} : { ErrorType: type.value }),
      ...(message.value === "" ? {} : { ErrorMessage: message.value })
    })
  return h(
    "section",
    { class: "answer", "aria-label": "Answer this callback" },
    h("h3", {}, "Answer"),
    h("label", { for: "callback-result" }, "Result (JSON)"),
    result,
    h(
      "div",
      { class: "buttons" },
      actionButton("Succeed", { class: "primary", key: "succeed" }, succeed, problem),
      h("label", { class: "inline" }, plain, "send as plain text")
    ),
    h(
      "div",
      { class: "pair" },
      h("div", {}, h("label", { for: "callback-error-type" }, "Error type"), type),
      h("div", {}, h("label", { for: "callback-error-message" }, "Error message"), message)
    ),
    h(
      "div",
      { class: "buttons" },
      actionButton("Fail", { class: "danger", key: "fail" }, fail, problem),
      operation.heartbeatSeconds === undefined
        ? undefined
        : actionButton("Heartbeat", { key: "heartbeat" }, () => actions.heartbeat(callbackId), problem)
    ),
    problem
  )
}

/** Stopping asks once more, in place: it cannot be undone. */
const executionButtons = (/** @type {Operation} */ root, /** @type {Actions} */ actions) => {
  const problem = newProblem()
  const again = actionButton("Start again", { key: "again" }, actions.startAgain, problem)
  let asked = false
  /** @type {HTMLButtonElement} */
  const stop = actionButton(
    "Stop",
    { class: "danger", key: "stop" },
    () => {
      if (asked) return actions.stop()
      asked = true
      setText(stop, "Stop for good?")
      return undefined
    },
    problem
  )
  stop.addEventListener("blur", () => {
    asked = false
    setText(stop, "Stop")
  })
  return h(
    "section",
    {},
    h("div", { class: "buttons" }, again, root.endedAt === undefined ? stop : undefined),
    h("p", { class: "muted" }, "“Start again” starts a new execution of the same function with the same input."),
    problem
  )
}

// ---- the panel ---------------------------------------------------------------------------------------------

/** What an operation's details depend on: they are drawn again only when it changes. */
export const versionOf = (/** @type {Operation} */ operation, /** @type {Timeline} */ timeline) =>
  [
    operation.id,
    operation.events,
    operation.status,
    operation.tone,
    operation.id === ROOT ? timeline.invocations.length : "",
    operation.id === ROOT ? (timeline.invocations.at(-1)?.to ?? "") : ""
  ].join(" ")

/**
 * The details of an operation.
 *
 * @param {Operation} operation
 * @param {Timeline} timeline
 * @param {number} now
 * @param {Environment} environment
 * @param {{ readonly arn?: string }} execution
 * @returns {ReadonlyArray<Node>}
 */
export const renderDetails = (operation, timeline, now, environment, { arn }) => {
  const isRoot = operation.id === ROOT
  const { actions, linkOf } = environment
  const parent = operation.parentId === undefined ? undefined : timeline.operations.get(operation.parentId)
  const called = operation.calledArn
  const { callbackId } = operation
  const running = timeline.root.endedAt === undefined
  const open = operation.endedAt === undefined && running
  const last = operation.attempts.at(-1)
  const parts = [
    h(
      "div",
      { class: "title" },
      icon(operation.tone),
      h("h2", { id: "details-title" }, operation.name === "" ? "(no name)" : operation.name),
      h("span", { class: "status", "data-tone": operation.tone }, statusWords(operation))
    ),
    isRoot && actions !== undefined ? executionButtons(operation, actions) : undefined,
    callbackId !== undefined && open && actions !== undefined ? answerForms(callbackId, actions, operation) : undefined,
    dataSection(operation.outcome?.error === undefined ? "Result" : "Error", operation.outcome, environment),
    operation.outcome === undefined && last?.data !== undefined
      ? dataSection(`Attempt ${last.number}`, last.data, environment)
      : undefined,
    dataSection("Input", operation.input, environment),
    facts([
      ["Kind", isRoot ? undefined : kindWord(operation)],
      ["Started", instant(operation.startedAt)],
      ["Ended", operation.endedAt === undefined ? undefined : instant(operation.endedAt)],
      ["Took", operation.endedAt === undefined ? undefined : durationOf(operation, now)],
      ["Duration", operation.seconds === undefined ? undefined : formatDuration(operation.seconds * 1000)],
      [
        operation.kind === "step" ? "Next attempt" : "Due",
        open && operation.dueAt ? instant(operation.dueAt) : undefined
      ],
      ["Timeout", operation.timeoutSeconds && formatDuration(operation.timeoutSeconds * 1000)],
      ["Heartbeat within", operation.heartbeatSeconds && formatDuration(operation.heartbeatSeconds * 1000)],
      ["Calls", operation.functionName],
      ["Version", operation.version],
      [
        "Execution",
        called === undefined || called === ""
          ? undefined
          : linkOf === undefined
            ? h("code", {}, called)
            : h("a", { href: linkOf(called), "data-link": "" }, called.split("/").slice(-2)[0] ?? called)
      ],
      ["In", parent === undefined ? undefined : parent.name],
      ["Id", isRoot ? undefined : copyable(operation.id, "the id")],
      ["Callback id", callbackId === undefined ? undefined : copyable(callbackId, "the callback id")],
      ["ARN", isRoot && arn !== undefined ? copyable(arn, "the ARN") : undefined]
    ]),
    attempts(operation),
    isRoot ? invocations(timeline) : undefined
  ]
  return parts.filter((part) => part !== undefined)
}
