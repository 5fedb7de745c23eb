/**
 * A history as text, for whoever has to find out what went wrong.
 */
import * as History from "../History.ts"

const UNITS: ReadonlyArray<readonly [millis: number, unit: string]> = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"]
]

/** How long after the beginning, in the largest unit that fits. */
const elapsed = (millis: number): string => {
  for (const [size, unit] of UNITS) {
    if (millis >= size) return `+${Number((millis / size).toFixed(1))} ${unit}`
  }
  return `+${Math.trunc(Math.max(millis, 0))} ms`
}

/** One line an event: when it happened, indented by the contexts it happened in, and what. */
export const lines = (events: ReadonlyArray<History.Event>): ReadonlyArray<string> => {
  const start = events[0]?.EventTimestamp ?? 0
  const depths = new Map<string, number>()
  return events.map((event) => {
    const depth = event.ParentId === undefined ? 0 : (depths.get(event.ParentId) ?? 0) + 1
    if (event.Id !== undefined) depths.set(event.Id, depth)
    return `${elapsed((event.EventTimestamp ?? start) - start).padStart(9)}  ${"  ".repeat(depth)}${History.describe(event)}`
  })
}

/** The whole history, indented to stand in a message. */
export const render = (title: string, events: ReadonlyArray<History.Event>): string =>
  [
    `${title}:`,
    ...(events.length === 0 ? ["  (nothing has happened)"] : lines(events).map((line) => `  ${line}`))
  ].join("\n")
