/**
 * Wire ids of operations. They are ours to choose (64 characters of `[a-zA-Z0-9-_]`) and must be the same in every
 * invocation. An id says where an operation stands: `kJ3sLq0PzXa9-17-b7Hd92KsLmQ1_2` is, in item 17 of the map
 * `kJ3sLq0PzXa9`, the second operation of the kind and name that `b7Hd92KsLmQ1` is a digest of. Names are digested once,
 * not once per operation: hashing was a tenth of the time of a large map.
 */
import { hash } from "node:crypto"

/** 72 bits of SHA-256: no two names, or contexts, of an execution ever share them. */
const DIGEST = 12
/** A path that is longer is digested, so that ids stay short however deep they stand: 49 characters at most. */
const LONGEST_PREFIX = 25
/** So many digests are kept: names are few, but some programs make them up. */
const KEPT = 1_024

/** The first digits of a hash, for ids that are not on the wire. */
export const hexId = (text: string, digits: number): string => hash("sha256", text, "hex").slice(0, digits)

/** A token of the service's alphabet that no other text has. */
export const uniqueKey = (text: string): string => hash("sha256", text, "base64url").slice(0, 22)

/** (all of one length: what stands between the parts of an id may stand in them) */
const digest = (text: string): string => hash("sha256", text, "base64url").slice(0, DIGEST)

let kept = 0
/** By kind, then by name: both are at hand, a key of both would have to be made. */
const digests = /*#__PURE__*/ new Map<string, Map<string, string>>()

/** What the ids of all operations of this kind and name have in common. */
export const digestOf = (kind: string, name: string): string => {
  const known = digests.get(kind)?.get(name)
  if (known !== undefined) return known
  if (kept++ === KEPT) {
    digests.clear()
    kept = 1
  }
  const made = digest(`${kind}:${name}`)
  let ofKind = digests.get(kind)
  if (ofKind === undefined) digests.set(kind, (ofKind = new Map()))
  ofKind.set(name, made)
  return made
}

/** What the ids of all operations begin with that stand at this path: a context's id; none for the workflow itself. */
export const prefixOf = (path: string): string =>
  path === "" ? "" : `${path.length > LONGEST_PREFIX ? digest(path) : path}-`

/** The id of the how-manieth operation of a kind and name at a place. */
export const idAt = (prefix: string, digest: string, occurrence: number): string =>
  occurrence === 1 ? prefix + digest : `${prefix}${digest}_${occurrence}`

/** The same, for those that are seldom made. */
export const operationId = (path: string, kind: string, name: string, occurrence: number): string =>
  idAt(prefixOf(path), digestOf(kind, name), occurrence)
