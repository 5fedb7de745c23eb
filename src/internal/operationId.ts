/**
 * Wire ids of operations. They are ours to choose (64 characters of `[a-zA-Z0-9-_]`) and must be the same
 * in every invocation: a hash of where an operation stands (its context's path), what it is, its name, and
 * the how-manieth of that kind and name it is in that context.
 */
import { hash } from "node:crypto"

/** 132 bits of SHA-256: no two operations of an execution ever share it, and the console can still show it. */
const CHARACTERS = 22

/** The first digits of a hash, for ids that are not on the wire. */
export const hexId = (text: string, digits: number): string => hash("sha256", text, "hex").slice(0, digits)

export const operationId = (path: string, kind: string, name: string, occurrence: number): string =>
  hash("sha256", `${path}/${kind}:${name}:${occurrence}`, "base64url").slice(0, CHARACTERS)
