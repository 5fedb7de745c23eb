/**
 * The files of the web page: plain HTML, CSS and JavaScript modules that lie beside this module, in the sources and in
 * the package alike. They are read when they are first asked for.
 */
import * as fs from "node:fs"

/** What the server gives out, and as what. */
const TYPES = {
  "index.html": "text/html; charset=utf-8",
  "style.css": "text/css; charset=utf-8",
  "api.js": "text/javascript; charset=utf-8",
  "app.js": "text/javascript; charset=utf-8",
  "details.js": "text/javascript; charset=utf-8",
  "dom.js": "text/javascript; charset=utf-8",
  "execution.js": "text/javascript; charset=utf-8",
  "list.js": "text/javascript; charset=utf-8",
  "model.js": "text/javascript; charset=utf-8",
  "scale.js": "text/javascript; charset=utf-8",
  "tree.js": "text/javascript; charset=utf-8"
} as const

/** A file that the server gives out. */
export type Asset = keyof typeof TYPES

/** Whether there is such a file. Names are looked up, never made into paths. */
export const isAsset = (name: string): name is Asset => Object.hasOwn(TYPES, name)

/** The type of a file, as HTTP has it. */
export const contentType = (name: Asset): string => TYPES[name]

const cache = new Map<string, string>()

/** The text of a file. */
export const read = (name: Asset | "saved.js"): string => {
  const known = cache.get(name)
  if (known !== undefined) return known
  const text = fs.readFileSync(new URL(`./page/${name}`, import.meta.url), "utf8")
  cache.set(name, text)
  return text
}
