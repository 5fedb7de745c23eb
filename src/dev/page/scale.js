/**
 * Time on the page: where an instant is drawn, and how durations and instants read.
 *
 * An execution may work for milliseconds and wait for days. So the scale is compressed by default: the time of an
 * invocation and the time between two of them are segments, each as wide as the logarithm of its duration; inside a
 * segment time is linear.
 */

/** @typedef {import("./model.js").Timeline} Timeline */
/**
 * @typedef {{ readonly from: number, readonly to: number, readonly active: boolean, readonly invocation?: number,
 *   readonly failed: boolean }} Segment
 * @typedef {Segment & { readonly x: number, readonly width: number }} Placed
 * @typedef {{ readonly width: number, readonly segments: ReadonlyArray<Placed>,
 *   readonly x: (at: number) => number }} Scale
 */

/**
 * Cuts an execution's time into its invocations and what is between them.
 *
 * @param {Timeline} timeline
 * @param {number} now  Where an execution that runs ends for now: epoch milliseconds.
 * @returns {ReadonlyArray<Segment>}
 */
export const segmentsOf = ({ from, invocations, to }, now) => {
  const stop = Math.max(to ?? now, invocations.at(-1)?.to ?? from, from)
  /** @type {Array<Segment>} */
  const segments = []
  let at = from
  for (const { error, from: start, number, to: finish } of invocations) {
    const begin = Math.min(Math.max(start, at), stop)
    if (begin > at) segments.push({ from: at, to: begin, active: false, failed: false })
    const until = Math.min(Math.max(finish ?? stop, begin), stop)
    segments.push({ from: begin, to: until, active: true, invocation: number, failed: error !== undefined })
    at = until
  }
  if (at < stop) segments.push({ from: at, to: stop, active: false, failed: false })
  return segments
}

/** A segment of this duration is one unit wide; below, width grows with time, above, with its logarithm. */
const UNIT_MILLIS = 10

/** Waiting is shown, but work is what one looks at. */
const IDLE_SHARE = 0.45

/** @type {(segment: Segment) => number} */
const compressedWeight = ({ active, from, to }) => {
  const weight = Math.log2(1 + (to - from) / UNIT_MILLIS)
  return active ? weight + 0.5 : weight * IDLE_SHARE
}

/**
 * Places segments on a width.
 *
 * @param {ReadonlyArray<Segment>} segments
 * @param {number} width  In pixels.
 * @param {"compressed" | "linear"} mode
 * @returns {Scale}
 */
export const makeScale = (segments, width, mode) => {
  const weights = segments.map((one) => (mode === "compressed" ? compressedWeight(one) : one.to - one.from))
  const total = weights.reduce((sum, one) => sum + one, 0)
  let x = 0
  const placed = segments.map((segment, index) => {
    const share = total === 0 ? width / segments.length : ((weights[index] ?? 0) / total) * width
    const one = { ...segment, x, width: share }
    x += share
    return one
  })
  return {
    width,
    segments: placed,
    x: (at) => {
      let low = 0
      let high = placed.length - 1
      while (low < high) {
        const middle = (low + high + 1) >> 1
        if ((placed[middle]?.from ?? Infinity) <= at) low = middle
        else high = middle - 1
      }
      const segment = placed[low]
      if (segment === undefined || at <= segment.from) return segment?.x ?? 0
      const length = segment.to - segment.from
      const share = length === 0 ? 0 : Math.min(1, (at - segment.from) / length)
      return segment.x + share * segment.width
    }
  }
}

/** Steps between the ticks of a linear scale. */
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3,
  7200e3, 14400e3, 21600e3, 43200e3, 86400e3, 172800e3, 604800e3, 1209600e3, 2592000e3, 7776000e3
]

/**
 * Labels along the scale: on a linear one the time since the start, on a compressed one how long each segment is.
 *
 * @param {Scale} scale
 * @param {"compressed" | "linear"} mode
 * @returns {ReadonlyArray<{ readonly x: number, readonly text: string, readonly active: boolean }>}
 */
export const ticksOf = (scale, mode) => {
  const first = scale.segments[0]
  const last = scale.segments.at(-1)
  if (first === undefined || last === undefined) return []
  if (mode === "linear") {
    const length = last.to - first.from
    const step = STEPS.find((one) => (one / length) * scale.width >= 90) ?? length / 4
    if (!(step > 0)) return []
    const ticks = []
    for (let at = 0; at <= length; at += step) {
      ticks.push({ x: scale.x(first.from + at), text: formatDuration(at), active: true })
    }
    return ticks
  }
  let free = 0
  return scale.segments.flatMap(({ active, from, to, width, x }) => {
    const text = formatDuration(to - from)
    const middle = x + width / 2
    const half = text.length * 3.4 + 4
    if (width < half * 2 || middle - half < free) return []
    free = middle + half
    return [{ x: middle, text, active }]
  })
}

// ---- in words ----------------------------------------------------------------------------------------------

/** @type {ReadonlyArray<readonly [millis: number, unit: string]>} */
const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"]
]

/**
 * A duration: `340 ms`, `2.1 s`, `4 min 10 s`, `3 d 4 h`.
 *
 * @param {number} millis
 * @returns {string}
 */
export const formatDuration = (millis) => {
  const whole = Math.max(0, Math.round(millis))
  if (whole < 1000) return `${whole} ms`
  if (whole < 59_500) return `${Number((whole / 1000).toFixed(whole < 10_000 ? 1 : 0))} s`
  for (let i = 0; i < UNITS.length - 1; i++) {
    const [big, bigUnit] = UNITS[i] ?? [1, ""]
    const [small, smallUnit] = UNITS[i + 1] ?? [1, ""]
    // Rounded first, so that it never reads "1 h 60 min".
    const rounded = Math.round(whole / small) * small
    if (rounded < big) continue
    const rest = Math.round((rounded % big) / small)
    const head = `${Math.floor(rounded / big)} ${bigUnit}`
    return rest === 0 ? head : `${head} ${rest} ${smallUnit}`
  }
  return `${Math.round(whole / 1000)} s`
}

/**
 * An instant on the reader's clock, to the millisecond when `precise`.
 *
 * @param {number} at
 * @param {boolean} [precise]
 * @returns {string}
 */
export const formatInstant = (at, precise = false) => {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return "unknown"
  /** @type {(value: number, digits?: number) => string} */
  const pad = (value, digits = 2) => String(value).padStart(digits, "0")
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`
  return `${day} ${time}${precise ? `.${pad(date.getMilliseconds(), 3)}` : ""}`
}

/**
 * A size: `340 B`, `1.2 MB`.
 *
 * @param {number} bytes
 * @returns {string}
 */
export const formatBytes = (bytes) =>
  bytes < 1000
    ? `${bytes} B`
    : bytes < 1_000_000
      ? `${Number((bytes / 1000).toFixed(1))} kB`
      : `${Number((bytes / 1_000_000).toFixed(1))} MB`
