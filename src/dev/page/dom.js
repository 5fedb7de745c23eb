/**
 * Making elements. Data only ever becomes text nodes and attribute values: there is no way from here to markup.
 */

/** @typedef {Node | string | number | false | undefined | null} Child */

/** @type {ReadonlySet<string>} Attributes that may come from data, or that the page sets itself. None runs anything. */
const ATTRIBUTES = new Set([
  ..."id class role type name for title value placeholder autocomplete spellcheck rows tabindex href datetime".split(
    " "
  ),
  ..."width height viewBox d hidden disabled open selected scope list min max colspan focusable".split(" ")
])

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | undefined} value
 */
const setAttribute = (element, name, value) => {
  if (!ATTRIBUTES.has(name) && !name.startsWith("aria-") && !name.startsWith("data-")) {
    throw new Error(`The attribute "${name}" is not one that the page sets.`)
  }
  if (value === undefined || value === false) element.removeAttribute(name)
  else {
    const text = value === true ? "" : String(value)
    if (element.getAttribute(name) !== text) element.setAttribute(name, text)
  }
}

/**
 * Sets attributes; `undefined` and `false` remove them. A function is a listener: `{ onclick: … }`.
 *
 * @template {Element} E
 * @param {E} element
 * @param {Readonly<Record<string, unknown>>} attributes
 * @returns {E}
 */
export const set = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value))
    } else setAttribute(element, name, /** @type {string | number | boolean | undefined} */ (value))
  }
  return element
}

/**
 * An element of HTML.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Readonly<Record<string, unknown>>} [attributes]
 * @param {ReadonlyArray<Child>} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export const h = (tag, attributes = {}, ...children) => {
  const element = set(document.createElement(tag), attributes)
  for (const child of children) {
    if (child === undefined || child === null || child === false) continue
    element.append(child instanceof Node ? child : String(child))
  }
  return element
}

/**
 * An element of SVG.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Readonly<Record<string, unknown>>} [attributes]
 * @param {ReadonlyArray<Element>} children
 * @returns {SVGElementTagNameMap[T]}
 */
export const svg = (tag, attributes = {}, ...children) => {
  const element = set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes)
  element.append(...children)
  return element
}

/**
 * Sets an element's text, unless it is what it was: what did not change is not announced.
 *
 * @param {Element} element
 * @param {string} text
 */
export const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text
}

/** How long a notice is there to be read. */
const NOTICE_MILLIS = 5000

/**
 * Shows a line for a moment, and has it read out.
 *
 * @param {string} text
 */
export const notify = (text) => {
  const place = document.getElementById("notice")
  if (place === null) return
  setText(place, text)
  setTimeout(() => {
    if (place.textContent === text) setText(place, "")
  }, NOTICE_MILLIS)
}

/** 16 by 16, strokes. Each status has a shape of its own, so that colour is never the only sign. */
const ICONS = {
  running: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5M6.5 5.5v5l4-2.5z",
  waiting: "M4.5 2.5h7M4.5 13.5h7M5 2.5c0 3.5 6 3.5 6 5.5s-6 2-6 5.5M11 2.5c0 3.5-6 3.5-6 5.5s6 2 6 5.5",
  succeeded: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M5.5 8.2l1.8 1.8l3.3-3.8",
  failed: "M5.7 2.5h4.6l3.2 3.2v4.6l-3.2 3.2h-4.6l-3.2-3.2v-4.6zM6 6l4 4M10 6l-4 4",
  ended: "M3 3h10v10h-10zM6 8h4",
  right: "M6 4l4 4l-4 4",
  down: "M4 6l4 4l4-4",
  back: "M10 3l-5 5l5 5",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  search: "M7 3a4 4 0 1 1 0 8a4 4 0 1 1 0-8M10 10l3.5 3.5",
  close: "M4 4l8 8M12 4l-8 8"
}

/**
 * @param {keyof typeof ICONS} name
 * @returns {SVGSVGElement}
 */
export const icon = (name) =>
  svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    svg("path", { d: ICONS[name] })
  )

/**
 * Turns one icon into another.
 *
 * @param {SVGSVGElement} element
 * @param {keyof typeof ICONS} name
 */
export const setIcon = (element, name) => {
  set(element, { class: `icon icon-${name}` })
  if (element.firstElementChild !== null) set(element.firstElementChild, { d: ICONS[name] })
}
