/** The tagged errors of src, with their docstrings, and their entries in docs/troubleshooting.md. */
import * as fs from "node:fs"
import * as path from "node:path"
import { parse, walk } from "./source.ts"

const root = path.resolve(import.meta.dirname, "..")

export interface Tagged {
  readonly tag: string
  /** Relative to the project. */
  readonly file: string
  readonly docstring: string
}

const pattern = /\bTaggedError(?:<[^()]*>\(\))?\(\s*"(\w+)"/g

/** Every class of tagged errors in a module. */
export const tagsIn = (file: string, text: string): ReadonlyArray<Tagged> => {
  const source = parse(text)
  return [...source.withoutComments.matchAll(pattern)].flatMap((match) => {
    const [, tag = ""] = match
    const start = source.withoutComments.lastIndexOf("class ", match.index)
    const comment = source.comments.findLast((comment) => comment.start < start)
    const between = comment === undefined ? "" : text.slice(comment.start + comment.text.length, start)
    const docstring = comment !== undefined && /^\s*(?:export\s+)?$/.test(between) ? comment.text : ""
    return [{ tag, file, docstring }]
  })
}

export const taggedErrors = (): ReadonlyArray<Tagged> =>
  walk(path.join(root, "src"))
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => tagsIn(path.relative(root, file), fs.readFileSync(file, "utf8")))

export const guide = "docs/troubleshooting.md"

/** The entries of the guide: headings of the third level, with the text below each. */
export const entries = (): ReadonlyMap<string, string> =>
  new Map(
    fs
      .readFileSync(path.join(root, guide), "utf8")
      .split(/^(?=#{1,3} )/m)
      .flatMap((part) => {
        const tag = /^### (\w+)$/m.exec(part)?.[1]
        return tag === undefined ? [] : [[tag, part] as const]
      })
  )
