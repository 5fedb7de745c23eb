/** Text and bytes, without a silent replacement of what does not fit. */
import * as Result from "effect/Result"

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Well-formed text as UTF-8; bytes as they are. */
export const toBytes = (data: string | Uint8Array): Uint8Array =>
  typeof data === "string" ? Buffer.from(data, "utf8") : data

/** UTF-8 as text; nothing when it is none. */
export const toText = (bytes: Uint8Array): string | undefined =>
  Result.getOrUndefined(Result.try(() => utf8.decode(bytes)))

const viewed = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const toBase64 = (bytes: Uint8Array): string => viewed(bytes).toString("base64")

export const toBase64Url = (bytes: Uint8Array): string => viewed(bytes).toString("base64url")

/** Nothing where the text is not exactly what `toBase64` writes: Node.js skips what does not belong there. */
export const fromBase64 = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text, "base64")
  return bytes.toString("base64") === text ? bytes : undefined
}

/** The same for `toBase64Url`. */
export const fromBase64Url = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text, "base64url")
  return bytes.toString("base64url") === text ? bytes : undefined
}
