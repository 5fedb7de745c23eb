/**
 * What the command line writes: results on stdout, everything else on stderr, colours where somebody looks.
 */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as History from "../History.ts"

/** A flag that is given or not. */
export const toggle = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

/** `--json`: results as JSON on stdout, and nothing else there. */
export const Json = GlobalFlag.Setting("json")({
  flag: toggle("json", "Print the result as JSON, and nothing else, on stdout")
})

// ---- colours -------------------------------------------------------------------------------------

const isSet = (name: string) => (process.env[name] ?? "") !== ""

/** Whether a stream shows colours: a terminal, unless `NO_COLOR` or `TERM=dumb` say no. */
export const hasColors = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && !isSet("NO_COLOR") && process.env["TERM"] !== "dumb"

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 }

/** Colours a text. */
export type Paint = (color: keyof typeof CODES, text: string) => string

const colored: Paint = (color, text) => (text === "" ? "" : `\u001b[${CODES[color]}m${text}\u001b[0m`)

/** Leaves a text as it is. */
export const plain: Paint = (_, text) => text

/** Colours for a stream, if it shows any. */
export const paintFor = (stream: NodeJS.WriteStream): Paint => (hasColors(stream) ? colored : plain)

// ---- text ----------------------------------------------------------------------------------------

/**
 * Text of others in one line: names and payloads may have what moves cursors, changes titles or reverses the writing.
 */
export const safe = (text: string): string =>
  text.replace(/\s*\n\s*/g, " ").replace(
    // oxlint-disable-next-line no-control-regex
    /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** As `safe`, with the lines that it has. */
export const safeLines = (text: string): string => text.split(/\r?\n/).map(safe).join("\n")

/** What a function prints: with its tabs and colours, and nothing else that a terminal obeys. */
export const safeOutput = (text: string): string =>
  text
    // oxlint-disable-next-line no-control-regex
    .split(/(\t|\u001b\[[0-9;:]*m)/)
    .map((part, index) => (index % 2 === 1 ? part : safe(part)))
    .join("")

/** Text of others, cut to a length. */
export const brief = (text: string, length = 80): string =>
  safe(text.length > length ? `${text.slice(0, length - 1)}…` : text)

/** Writes what was asked for, as JSON or as text. */
export const print = (value: unknown, text: (paint: Paint) => string) =>
  Effect.map(Json, (isJson) => {
    const written = isJson ? History.toJson(value, 2) : text(paintFor(process.stdout))
    if (written !== "") process.stdout.write(`${written}\n`)
  })

/** Writes a remark to people, beside the result. */
export const note = (text: string) => Effect.sync(() => void process.stderr.write(`${text}\n`))

// ---- progress ------------------------------------------------------------------------------------

/** A line that changes, while something is waited for. */
export interface Progress {
  /** Shows a text. Where lines cannot change it is written when `key` is another one than before. */
  readonly show: (key: string, text: string) => void
  readonly clear: () => void
}

export const progress = (): Progress => {
  const { stderr } = process
  const changes = stderr.isTTY === true && process.env["TERM"] !== "dumb"
  let last: string | undefined
  return {
    show: (key, text) => {
      if (changes) stderr.write(`\r\u001b[2K${text.slice(0, Math.max(20, (stderr.columns || 80) - 1))}`)
      else if (key !== last) stderr.write(`${text}\n`)
      last = key
    },
    clear: () => {
      if (changes && last !== undefined) stderr.write("\r\u001b[2K")
    }
  }
}

// ---- times ---------------------------------------------------------------------------------------

/** A length of time as people say it: `0.25 s`, `12.3 s`, `4 min 5 s`, `3 h`, `2 d 4 h`. */
export const duration = (millis: number): string => {
  if (millis < 999.5) return `${Math.max(0, Math.round(millis))} ms`
  const seconds = millis / 1000
  if (seconds < 59.95) return `${Number(seconds.toFixed(1))} s`
  const whole = Math.round(seconds)
  const units: ReadonlyArray<readonly [number, string]> = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"]
  ]
  const first = units.findIndex(([size]) => whole >= size)
  const [size, unit] = units[first] ?? [1, "s"]
  const [nextSize, nextUnit] = units[first + 1] ?? [1, ""]
  const rest = Math.floor((whole % size) / nextSize)
  return `${Math.floor(whole / size)} ${unit}${rest > 0 && nextUnit !== "" ? ` ${rest} ${nextUnit}` : ""}`
}

/** A moment of the local day: `14:03:59.123`. */
export const clock = (millis: number): string => {
  const at = new Date(millis)
  const two = (part: number) => String(part).padStart(2, "0")
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`
}

/** A moment: `2026-11-24 14:03:59`, local. */
export const moment = (millis: number): string => {
  const at = new Date(millis)
  const two = (part: number) => String(part).padStart(2, "0")
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(millis).slice(0, 8)}`
}

/** Rows as columns; the last one is as wide as it likes. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows.reduce<Array<number>>(
    (known, row) => row.map((cell, index) => Math.max(known[index] ?? 0, cell.length)),
    []
  )
  return rows
    .map((row) =>
      row
        .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
