/**
 * How layers and fields look in the records. Apart, on the ground floor, for those who only show them.
 */
import * as Result from "effect/Result"

/** What payloads begin with that the layers of `SerdesStack` have written. */
export const ENVELOPE = '{"~serdes":'

/** Stands between the mask and the ciphertext of a field of `Redact`. */
export const MARK = " ~sealed:"

/** The two. */
export const SEALED = /^([\s\S]*) ~sealed:([A-Za-z0-9_-]+)$/

/** What people can read of a payload: in place of what layers have written its preview, in place of fields their masks. */
export const readable = (payload: string): string => {
  const read = payload.startsWith(ENVELOPE)
    ? Result.getOrUndefined(Result.try(() => JSON.parse(payload) as Readonly<Record<string, unknown>>))
    : undefined
  if (read === undefined) return payload.replaceAll(/ ~sealed:[A-Za-z0-9_-]+/g, "")
  const { "~serdes": names, json, preview, text } = read
  if (names === "") return readable(typeof text === "string" ? text : JSON.stringify(json))
  const shown = preview === undefined ? `${payload.length} characters` : JSON.stringify(preview)
  return `(${String(names)}) ${shown}`
}
