/**
 * Reads TypeScript as text, just well enough for the tests that look at sources: which parts are comments, which
 * are strings, what a module imports. (TypeScript 7 has no stable parser API yet.)
 */
import * as fs from "node:fs"
import * as path from "node:path"

export interface Source {
  readonly text: string
  /** The text with comments blanked out; same length, same lines. */
  readonly withoutComments: string
  /** The text with comments and the contents of strings, templates and regular expressions blanked out. */
  readonly code: string
  readonly comments: ReadonlyArray<{ readonly start: number; readonly text: string }>
}

const blank = (text: string): string => text.replace(/[^\n]/g, " ")

/** A slash starts a regular expression, not a division, after one of these. */
const beforeRegExp =
  /(?:^|[=(,;:!&|?{}[+*%~^<>-]|=>|\b(?:return|typeof|case|in|of|yield|await|throw|void|else|delete))\s*$/

export const parse = (text: string): Source => {
  const comments: Array<{ start: number; text: string }> = []
  let withoutComments = ""
  let code = ""
  let i = 0
  const take = (end: number, kind: "code" | "string" | "comment") => {
    const part = text.slice(i, end)
    if (kind === "comment") comments.push({ start: i, text: part })
    withoutComments += kind === "comment" ? blank(part) : part
    code +=
      kind === "code" ? part : kind === "comment" ? blank(part) : part[0] + blank(part.slice(1, -1)) + part.slice(-1)
    i = end
  }
  const quoted = (quote: string, from: number): number => {
    let j = from + 1
    while (j < text.length && text[j] !== quote) j += text[j] === "\\" ? 2 : 1
    return Math.min(j + 1, text.length)
  }
  /** One entry per open `${`: how many braces are open inside it. */
  const braces: Array<number> = []
  /** From a template's start, or from the `}` that goes back into it, to its end or to the next `${`. */
  const template = () => {
    let j = i + 1
    while (j < text.length && text[j] !== "`" && !text.startsWith("${", j)) j += text[j] === "\\" ? 2 : 1
    if (text[j] === "$") {
      braces.push(0)
      take(j + 2, "string")
    } else take(Math.min(j + 1, text.length), "string")
  }
  while (i < text.length) {
    const c = text[i]
    if (text.startsWith("//", i)) {
      const end = text.indexOf("\n", i)
      take(end < 0 ? text.length : end, "comment")
    } else if (text.startsWith("/*", i)) {
      const end = text.indexOf("*/", i + 2)
      take(end < 0 ? text.length : end + 2, "comment")
    } else if (c === '"' || c === "'") take(quoted(c, i), "string")
    else if (c === "`") template()
    else if (c === "}" && braces.at(-1) === 0) {
      braces.pop()
      template()
    } else if (c === "/" && beforeRegExp.test(code.slice(-20))) {
      let j = i + 1
      let inClass = false
      while (j < text.length && text[j] !== "\n" && (text[j] !== "/" || inClass)) {
        if (text[j] === "[") inClass = true
        if (text[j] === "]") inClass = false
        j += text[j] === "\\" ? 2 : 1
      }
      take(j + 1, "string")
    } else {
      if (braces.length > 0 && c === "{") braces[braces.length - 1]! += 1
      if (braces.length > 0 && c === "}") braces[braces.length - 1]! -= 1
      take(i + 1, "code")
    }
  }
  return { text, withoutComments, code, comments }
}

export const lineOf = (text: string, offset: number): number => {
  let line = 1
  for (let i = text.indexOf("\n"); i >= 0 && i < offset; i = text.indexOf("\n", i + 1)) line += 1
  return line
}

export interface Import {
  readonly specifier: string
  readonly line: number
  /** `import()` as an expression; `typeof import()` and `import type` count as types. */
  readonly kind: "value" | "type" | "dynamic"
}

const importPattern =
  /\b(?:(import|export)\s+(type\s)?(?:[\w$*{},\s]+?\sfrom\s*|\*\s*from\s*|\{[^{}"'`;]*\}\s*from\s*)?|(typeof\s+)?import\(\s*)(["'])/g

export const importsOf = (source: Source): ReadonlyArray<Import> => {
  const imports: Array<Import> = []
  for (const match of source.code.matchAll(importPattern)) {
    const [all, statement, type, typeQuery, quote] = match
    const start = match.index + all.length
    const before = source.code[match.index - 1]
    if (before === "." || (statement === "export" && !/from\s*["']$/.test(all))) continue
    const specifier = source.text.slice(start, source.code.indexOf(quote!, start))
    const kind = type || typeQuery ? "type" : statement ? "value" : "dynamic"
    imports.push({ specifier, line: lineOf(source.text, match.index), kind })
  }
  return imports
}

export const walk = (folder: string): ReadonlyArray<string> =>
  !fs.existsSync(folder)
    ? []
    : fs
        .readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.join(entry.parentPath, entry.name))
        .sort()
