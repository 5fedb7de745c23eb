/**
 * The code of a version, kept as it was when it was first loaded: every process of a version runs the same code, also
 * one that starts after the files have changed. It is loaded in the processes of functions, so it imports only Node.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as module from "node:module"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

/** What installed packages bring is not watched and not kept: nobody edits it. */
const isInstalled = (file: string) => file.includes(`${path.sep}node_modules${path.sep}`)

const keptIn = (folder: string, file: string) =>
  path.join(folder, crypto.createHash("sha256").update(file).digest("hex"))

/** The text or the bytes of a file; nothing when there is no such file. */
const read = (file: string): Buffer | undefined => {
  // try: that there is no file is an answer here
  try {
    return fs.readFileSync(file)
  } catch {
    return undefined
  }
}

/** Whether this Node.js can keep code: from 22.15 and 23.5 on. */
export const isSupported = typeof module.registerHooks === "function"

/** Keeps a source, unless another process of this version was faster. Gives what is kept. */
const keep = (kept: string, source: string | Uint8Array): string | Uint8Array => {
  const known = read(kept)
  if (known !== undefined) return known
  const draft = `${kept}.${process.pid}`
  fs.writeFileSync(draft, source, { mode: 0o600 })
  // try: somebody has linked it meanwhile, and that is the one
  try {
    fs.linkSync(draft, kept)
  } catch {
    return read(kept) ?? source
  } finally {
    fs.rmSync(draft, { force: true })
  }
  return source
}

/** From now on this process loads its modules from the folder, and keeps there what is new. Tells what it loads. */
export const install = (folder: string, loaded: (file: string) => void): void => {
  module.registerHooks({
    load: (url, context, next) => {
      const file = url.startsWith("file:") ? fileURLToPath(url) : undefined
      if (file === undefined || isInstalled(file)) return next(url, context)
      loaded(file)
      const found = next(url, context)
      const { source } = found
      return typeof source === "string" || source instanceof Uint8Array
        ? { ...found, source: keep(keptIn(folder, file), source) }
        : found // compiled code, which cannot be handed over
    }
  })
}

/** Whether a file is not any more what a version has kept. A file that is gone may just be being saved: no change. */
export const hasChanged = (folder: string, file: string): boolean => {
  const kept = read(keptIn(folder, file))
  const now = kept === undefined ? undefined : read(file)
  return kept !== undefined && now !== undefined && !kept.equals(now)
}
