/**
 * Previews for `SerdesStack`: the part of a payload that stays readable in the console, beside what does not.
 */
import { SEALED } from "./internal/envelope.ts"
import type { Preview } from "./SerdesStack.ts"

/** Options of `pick`. Names are those of keys, at any depth, or paths from the top as `customer.name`; arrays count for nothing. */
export interface PickOptions {
  /** What is shown, with all that is in it. */
  readonly show: "everything" | ReadonlyArray<string>
  /** What is shown as `***`, wherever it would be shown. */
  readonly mask?: ReadonlyArray<string> | undefined
  /** A larger preview is left out. Default: 4,096, as AWS's SDKs. */
  readonly maxBytes?: number | undefined
}

const MASK = "***"
const MAX_CHARACTERS = 200
const MAX_ITEMS = 20
const MAX_DEPTH = 20

/** A text for people: a field of `Redact` as its mask, and not too long. */
const shorten = (text: string): string => {
  const shown = SEALED.exec(text)?.[1] ?? text
  return shown.length <= MAX_CHARACTERS ? shown : `${shown.slice(0, MAX_CHARACTERS)}… (${shown.length} characters)`
}

/**
 * Shows chosen fields of payloads, for people who look at executions. Fields of `Redact` appear as their masks, long texts
 * and lists are cut. What is shown is stored by Lambda as it is, and may be read by whoever may read histories.
 *
 * **Example** (Which order it was)
 *
 * ```ts
 * import { SerdesEncryption, SerdesPreview, SerdesStack } from "effect-durable-lambda"
 *
 * // needs a KeyProvider
 * export const layer = SerdesStack.layer([SerdesEncryption.aes256Gcm], {
 *   preview: SerdesPreview.pick({ show: ["id", "status", "customer.name"], mask: ["email"] })
 * })
 * ```
 */
export const pick = ({ mask = [], maxBytes = 4_096, show }: PickOptions): Preview => {
  const masked = new Set(mask)
  const chosen = show === "everything" ? undefined : new Set(show)

  const view = (value: unknown, path: string, isShown: boolean, depth: number): unknown => {
    if (typeof value === "string") return isShown ? shorten(value) : undefined
    if (typeof value !== "object" || value === null) return isShown ? value : undefined
    if (depth === MAX_DEPTH) return isShown ? "…" : undefined
    if (Array.isArray(value)) {
      const items = value.slice(0, MAX_ITEMS).map((item) => view(item, path, isShown, depth + 1))
      const kept = items.filter((item) => item !== undefined)
      if (kept.length === 0 && !isShown) return undefined
      return value.length > MAX_ITEMS ? [...kept, `… ${value.length - MAX_ITEMS} more`] : kept
    }
    const entries = Object.entries(value).flatMap(([key, member]): ReadonlyArray<readonly [string, unknown]> => {
      const at = path === "" ? key : `${path}.${key}`
      const isMember = isShown || chosen?.has(key) === true || chosen?.has(at) === true
      const seen =
        masked.has(key) || masked.has(at) ? (isMember ? MASK : undefined) : view(member, at, isMember, depth + 1)
      return seen === undefined ? [] : [[key, seen]]
    })
    return entries.length === 0 && !isShown ? undefined : Object.fromEntries(entries)
  }

  return (value) => {
    const seen = view(value, "", chosen === undefined, 0)
    const bytes = seen === undefined ? 0 : Buffer.byteLength(JSON.stringify(seen))
    return bytes > maxBytes ? `too large for a preview (${bytes} bytes)` : seen
  }
}
