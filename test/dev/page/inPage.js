/** What the tests run inside the page. Each function stands for itself: it is sent there as text. */

export const countNodes = () => document.querySelectorAll("*").length

export const activeId = () => document.activeElement?.id ?? ""

/** Tries to make markup of text; gives the name of the error that stops it. */
export const tryMarkup = () => {
  try {
    document.body.innerHTML = "<b>markup</b>"
    return "taken"
  } catch (error) {
    return error instanceof Error ? error.name : String(error)
  }
}

/**
 * Texts whose contrast is below WCAG's 4.5 to 1.
 *
 * @returns {ReadonlyArray<string>}
 */
export const poorContrast = () => {
  /** @type {(color: string) => [number, number, number, number]} */
  const parse = (color) => {
    const [r = 0, g = 0, b = 0, a = 1] = (color.match(/[\d.]+/g) ?? []).map(Number)
    return color.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a]
  }
  /** @type {(value: number) => number} */
  const linear = (value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
  /** @type {(rgb: ReadonlyArray<number>) => number} */
  const luminance = ([r = 0, g = 0, b = 0]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  /** What is behind an element: its ancestors' grounds laid over each other. @type {(element: Element) => Array<number>} */
  const ground = (element) => {
    const below = element.parentElement === null ? [255, 255, 255] : ground(element.parentElement)
    const [r, g, b, a] = parse(getComputedStyle(element).backgroundColor)
    return [r, g, b].map((value, index) => value * a + (below[index] ?? 255) * (1 - a))
  }
  const poor = []
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.textContent ?? "")
      .join("")
      .trim()
    if (text === "" || element.closest(".unseen, .skip, svg, option") !== null || !element.checkVisibility()) continue
    const inks = [luminance(ground(element)), luminance(parse(getComputedStyle(element).color))]
    const ratio = (Math.max(...inks) + 0.05) / (Math.min(...inks) + 0.05)
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.className} "${text.slice(0, 40)}"`)
  }
  return poor
}
