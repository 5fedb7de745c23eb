/**
 * The links between the documents: README.md, CHANGELOG.md, docs/ (llms.txt, too) and the docstrings of src. Which of them lead
 * nowhere, and which documents nothing leads to.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { lineOf, parse, walk } from "./source.ts"

const root = path.resolve(import.meta.dirname, "..")

const blank = (text: string): string => text.replace(/[^\n]/g, " ")

/** Code is no text: what looks like a link or a heading in it is none. Lines and columns stay. */
const withoutCode = (text: string): string =>
  text.replace(/^([ \t]*)(```+)[^\n]*\n[\s\S]*?^[ \t]*\2[ \t]*$/gm, blank).replace(/(`+)[^`\n]+\1/g, blank)

/** GitHub's name for a heading: what is left of its text, in small letters, with hyphens. */
export const slug = (heading: string): string =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\-_ ]/gu, "")
    .replaceAll(" ", "-")

/** The anchors of a document; headings that occur again are numbered. */
export const anchorsOf = (text: string): ReadonlySet<string> => {
  const seen = new Map<string, number>()
  const anchors = new Set<string>()
  const code = withoutCode(text.replace(/`([^`\n]+)`/g, "$1")) // code in a heading counts
  for (const [, heading = ""] of code.matchAll(/^#{1,6} +(.+?)[ \t]*$/gm)) {
    const name = slug(heading)
    const count = seen.get(name) ?? 0
    seen.set(name, count + 1)
    anchors.add(count === 0 ? name : `${name}-${count}`)
  }
  return anchors
}

interface Link {
  readonly target: string
  readonly line: number
}

const pattern = /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|\b(?:src|srcset|href)="([^"]+)"/g

/** The links of a text, code left out. */
export const linksOf = (text: string): ReadonlyArray<Link> => {
  const plain = withoutCode(text)
  // the text of a link may be code, so only what follows it is looked at
  return [...plain.matchAll(pattern)].map((match) => ({
    target: match[1] ?? match[2] ?? "",
    line: lineOf(text, match.index)
  }))
}

export interface Documents {
  /** `file:line: what is wrong with the link`. */
  readonly broken: ReadonlyArray<string>
  /** Documents that no other leads to, from README.md on. */
  readonly unreachable: ReadonlyArray<string>
  readonly links: number
}

const isExternal = (target: string): boolean => /^[a-z][a-z+.-]*:/i.test(target)

/** Every link of every document. Pages outside of the repository are not asked for. */
export const checkLinks = (): Documents => {
  const documents = ["README.md", "CHANGELOG.md", ...walk(path.join(root, "docs"))]
    .map((file) => path.relative(root, path.resolve(root, file)))
    .filter((file) => file.endsWith(".md") || file === path.join("docs", "llms.txt"))
  const textOf = (file: string) => fs.readFileSync(path.join(root, file), "utf8")
  const anchors = new Map(documents.map((file) => [file, anchorsOf(textOf(file))]))
  const broken: Array<string> = []
  const leadsTo = new Map<string, ReadonlyArray<string>>()
  let links = 0
  const check = (from: string, link: Link, folder: string, target: string): ReadonlyArray<string> => {
    links++
    const [name = "", anchor] = decodeURI(target).split("#")
    const file = name === "" ? from : path.normalize(path.join(folder, name)).replace(/\/$/, "")
    const at = `${from}:${link.line}: ${link.target}`
    if (file.startsWith("..") || !fs.existsSync(path.join(root, file))) broken.push(`${at}: there is no ${file}`)
    else if (anchor !== undefined && !anchors.get(file)?.has(anchor)) broken.push(`${at}: ${file} has no #${anchor}`)
    return [file]
  }
  for (const from of documents) {
    const inside = linksOf(textOf(from)).filter(({ target }) => !isExternal(target))
    leadsTo.set(
      from,
      inside.flatMap((link) => check(from, link, path.dirname(from), link.target))
    )
  }
  // docstrings are read from src, from dist and in editors: their links are relative, and hold in the package too
  for (const file of walk(path.join(root, "src")).filter((file) => file.endsWith(".ts"))) {
    const text = fs.readFileSync(file, "utf8")
    const from = path.relative(root, file)
    for (const comment of parse(text).comments.filter((comment) => comment.text.startsWith("/**"))) {
      const first = lineOf(text, comment.start) - 1
      for (const { line, target } of linksOf(comment.text.replace(/^[ \t]*\* ?/gm, ""))) {
        if (!isExternal(target)) check(from, { target, line: first + line }, path.dirname(from), target)
      }
    }
  }
  const reached = new Set<string>()
  const reach = (file: string): void => {
    if (reached.has(file)) return
    reached.add(file)
    for (const next of leadsTo.get(file) ?? []) reach(next)
  }
  reach("README.md")
  return { broken, unreachable: documents.filter((file) => !reached.has(file) && file !== "CHANGELOG.md"), links }
}
