/**
 * The code of a handler's file, in versions: a new one begins when a file that the handler has loaded changes. The
 * code of a version is kept while it is needed, so that what began with it can go on with it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as snapshot from "./snapshot.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** A version of the code. */
export interface Version {
  /** 1, 2, 3, … */
  readonly number: number
  /** Where its code is kept; nowhere when it is not to be reloaded. */
  readonly folder: string | undefined
  /** Its code does not load: nothing can keep to it. */
  isBroken: boolean
}

/** The code of a file. */
export interface Code {
  readonly current: () => Version
  /** A process of this version has loaded files, and they are watched from now on. */
  readonly loaded: (version: Version, files: ReadonlyArray<string>) => void
  /** Calls `listener` when a new version has begun, with the files that changed. */
  readonly subscribe: (listener: (version: Version, changed: ReadonlyArray<string>) => void) => void
}

// ---- watching ------------------------------------------------------------------------------------

/** What a broken version may be waiting for: a file that it has not found, too. */
const isCode = (file: string) => /\.(?:[cm]?[jt]s|json)$/.test(file)

/** Editors write a file in several steps. */
const DEBOUNCE_MILLIS = 50

/** A folder for the code of versions, which goes with the scope. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-durable-lambda-"))),
  // a process that was killed a moment ago may still be writing here; what cannot be removed is the system's to clean up
  (made) => Effect.ignore(Effect.try(() => fs.rmSync(made, { recursive: true, force: true, maxRetries: 5 })))
)

/** Code that stays as it is: it is not watched. Every process loads what is there when it starts. */
export const fixed = (): Code => {
  const version: Version = { number: 1, folder: undefined, isBroken: false }
  return { current: () => version, loaded: () => {}, subscribe: () => {} }
}

/**
 * Watches the code of one file until the scope closes. Folders are watched, not files, because many editors save by
 * putting another file in the place of the old one; what counts is that the content differs.
 */
export const watch = Effect.fnUntraced(function* (
  base: string,
  failed: (message: string) => void
): Effect.fn.Return<Code, never, Scope.Scope> {
  const listeners: Array<(version: Version, changed: ReadonlyArray<string>) => void> = []
  const watchers = new Map<string, fs.FSWatcher>()
  const files = new Set<string>()
  let timer: NodeJS.Timeout | undefined

  const begin = (number: number): Version => {
    const own = path.join(base, String(number))
    fs.mkdirSync(own, { recursive: true })
    return { number, folder: own, isBroken: false }
  }
  let current = begin(1)

  const check = (suspects: ReadonlyArray<string>) => {
    const { folder: own = "", isBroken } = current
    const changed = isBroken ? suspects : [...files].filter((file) => snapshot.hasChanged(own, file))
    if (changed.length === 0) return
    current = begin(current.number + 1)
    for (const listener of listeners) listener(current, changed)
  }

  let suspects = new Set<string>()
  const suspect = (file: string) => {
    suspects.add(file)
    clearTimeout(timer)
    timer = setTimeout(() => {
      const found = [...suspects]
      suspects = new Set()
      check(found)
    }, DEBOUNCE_MILLIS)
  }

  const watchFolder = (name: string) => {
    if (watchers.has(name)) return
    // try: a folder that is gone, and a system that watches no more, are told
    try {
      const watcher = fs.watch(name, (_, file) => {
        const full = file === null ? undefined : path.join(name, file)
        if (full === undefined || files.has(full) || (current.isBroken && isCode(full))) suspect(full ?? name)
      })
      watcher.on("error", (error) => failed(`Changes in ${name} are not seen any more: ${error.message}`))
      watchers.set(name, watcher)
    } catch (error) {
      failed(`Changes in ${name} will not be seen: ${String(error)}`)
    }
  }

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      clearTimeout(timer)
      for (const watcher of watchers.values()) watcher.close()
    })
  )
  return {
    current: () => current,
    loaded: (version, loaded) => {
      for (const file of loaded) {
        files.add(file)
        watchFolder(path.dirname(file))
      }
      // it may have changed before it was watched
      if (version === current) check([])
    },
    subscribe: (listener) => void listeners.push(listener)
  }
})
