/**
 * docs/api: a page for each public module, made of its declarations and docstrings; and docs/llms.txt.
 *
 *     npm run docs:api
 *
 * Reads what the compiler emits (types that are inferred are written out there) as text: TypeScript 7 has no stable
 * API yet. `test/api.test.ts` fails when the pages are not what this makes of src.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import * as prettier from "prettier"
import { llms, llmsFull } from "./llms.ts"
import { parse, type Source } from "./source.ts"

const root = path.resolve(import.meta.dirname, "..")
export const folder = "docs/api"

// ---- reading declarations --------------------------------------------------------------------------

/** One statement of a module, at its top level. */
export interface Statement {
  readonly text: string
  /** The doc comment before it, without its decoration; "" when it has none. */
  readonly docstring: string
}

const undecorated = (comment: string): string =>
  comment
    .replace(/^\/\*\*[ \t]*\n?|\s*\*\/$/g, "")
    .replace(/^[ \t]*\* ?/gm, "")
    .trim()

const OPEN = new Set(["(", "[", "{"])
const CLOSE = new Set([")", "]", "}"])

/** Where the statement that begins at `from` ends. A `}` ends one only where another begins, or nothing follows. */
const endOf = ({ code }: Source, from: number): number => {
  let depth = 0
  for (let i = from; i < code.length; i++) {
    const c = code[i]!
    if (OPEN.has(c)) depth++
    else if (CLOSE.has(c)) depth--
    if (depth > 0) continue
    if (c === ";") return i + 1
    if (c === "}" && /^\s*(?:export|declare|import|$)/.test(code.slice(i + 1))) return i + 1
  }
  return code.length
}

export const statementsOf = (source: Source): ReadonlyArray<Statement> => {
  const statements: Array<Statement> = []
  let from = 0
  while (from < source.code.length) {
    const start = from + source.code.slice(from).search(/\S|$/)
    if (start >= source.code.length) break
    const end = endOf(source, start)
    const comment = source.comments.findLast((comment) => comment.start >= from && comment.start < start)
    const isDocstring = comment !== undefined && comment.text.startsWith("/**")
    const docstring = isDocstring ? undecorated(comment.text) : ""
    statements.push({ text: source.text.slice(start, end).trim(), docstring })
    from = end
  }
  return statements
}

export type Kind = "const" | "function" | "class" | "interface" | "type" | "namespace"

/** An export, as its users see it. */
export interface Export {
  readonly name: string
  readonly kind: Kind
  /** Declarations, several when it is overloaded; without `export declare`. */
  readonly declarations: ReadonlyArray<string>
  readonly docstring: string
  /** The module of src that declares it, without extension. */
  readonly module: string
}

const DECLARED = /^export (?:declare )?(?:abstract )?(const|function|class|interface|type|namespace) ([\w$]+)/

/** A declaration as it was written, without its comments; of use where the type that is inferred fills pages. */
const writtenOf = (source: Source, name: string): string | undefined => {
  const found = new RegExp(`\\bexport (const ${name}\\b)`).exec(source.code)
  if (found === null) return undefined
  const start = found.index + "export ".length
  let depth = 0
  for (let i = start; i < source.code.length; i++) {
    const c = source.code[i]!
    if (OPEN.has(c)) depth++
    else if (CLOSE.has(c)) depth--
    const next = /^\n\s*(?:export|const|type|interface|class|$)/.test(source.code.slice(i, i + 200))
    if (depth === 0 && next) return source.text.slice(start, i).trim()
  }
  return undefined
}

/** Longer declarations than this are shown as they were written, if that is shorter. */
const LONG = 1_500

/** Up to its body: a class that extends a call is only readable as it was written. */
const headOf = (source: Source, name: string): string | undefined => {
  const start = source.code.search(new RegExp(`\\bclass ${name}\\b`))
  if (start < 0) return undefined
  let depth = 0
  for (let i = start; i < source.code.length; i++) {
    const c = source.code[i]!
    if (c === "{" && depth === 0) return `${source.text.slice(start, i).trim().replace("/*#__PURE__*/ ", "")} {}`
    if (c === "(" || c === "[" || c === "<" || c === "{") depth++
    else if (c === ")" || c === "]" || c === "}" || (c === ">" && source.code[i - 1] !== "=")) depth--
  }
  return undefined
}

interface Module {
  readonly docstring: string
  readonly exports: ReadonlyArray<Export>
}

/** The exports of modules, those of others that they pass on included. */
export const reader = (declared: string, written: string) => {
  const known = new Map<string, Module>()
  const read = (module: string): Module => {
    const found = known.get(module)
    if (found !== undefined) return found
    const source = parse(fs.readFileSync(path.join(declared, `${module}.d.ts`), "utf8"))
    const original = parse(fs.readFileSync(path.join(written, `${module}.ts`), "utf8"))
    const exports = new Map<string, Export>()
    const resolve = (specifier: string) => path.join(path.dirname(module), specifier.replace(/(?:\.d)?\.[jt]s$/, ""))
    for (const { docstring, text } of statementsOf(source)) {
      const [, kind, name] = DECLARED.exec(text) ?? []
      if (kind !== undefined && name !== undefined) {
        const before = exports.get(name)
        const emitted = text.replace(/^export (?:declare )?/, "")
        const asWritten =
          kind === "class" ? headOf(original, name) : emitted.length > LONG ? writtenOf(original, name) : undefined
        const declaration =
          asWritten === undefined || (kind !== "class" && asWritten.length > emitted.length) ? emitted : asWritten
        exports.set(name, {
          name,
          kind: kind as Kind,
          declarations: [...(before?.declarations ?? []), declaration],
          docstring: before?.docstring || docstring,
          module
        })
        continue
      }
      const all = /^export \* as (\w+) from "(.+)";$/.exec(text)
      if (all !== null) {
        const [, name = "", specifier = ""] = all
        const inner = resolve(specifier)
        exports.set(name, {
          name,
          kind: "namespace",
          declarations: [],
          docstring: read(inner).docstring,
          module: inner
        })
        continue
      }
      const some = /^export (?:type )?\{([\s\S]*?)\} from "(.+)";$/.exec(text)
      if (some === null) continue
      const inner = read(resolve(some[2]!))
      for (const item of some[1]!.split(",").map((item) => item.trim().replace(/^type /, ""))) {
        if (item === "") continue
        const [from = "", as = from] = item.split(" as ")
        const one = inner.exports.find(({ name }) => name === from)
        if (one === undefined)
          throw new Error(`${module} passes on ${from} of ${resolve(some[2]!)}, which has no such export`)
        exports.set(as, { ...one, name: as })
      }
    }
    const [first] = original.comments
    const own = first?.start === 0 && first.text.startsWith("/**") ? undecorated(first.text) : ""
    const result = { docstring: own, exports: [...exports.values()] }
    known.set(module, result)
    return result
  }
  return read
}

// ---- what is public --------------------------------------------------------------------------------

const entrances = { "": "index", "/testing": "testing/index", "/engine": "engine/index", "/dev": "dev/index" } as const

/** Modules of importance that no entrance lists, because they need what not everybody has. */
const apart = ["engine/SqliteStore"]

export interface Page {
  /** Where it is imported from: `effect-durable-lambda/Durable`. */
  readonly specifier: string
  /** The entrance that has it as a namespace: `effect-durable-lambda`. */
  readonly entrance: string | undefined
  /** What the entrance also has directly. */
  readonly direct: ReadonlyArray<string>
  readonly name: string
  /** Below docs/api. */
  readonly file: string
  readonly docstring: string
  readonly exports: ReadonlyArray<Export>
}

/** The declarations of src, in a folder of their own: several processes may do this at a time. */
const emit = async (): Promise<string> => {
  fs.mkdirSync(path.join(root, ".tmp"), { recursive: true })
  const declarations = fs.mkdtempSync(path.join(root, ".tmp/api-"))
  const tsc = path.join(root, "node_modules/typescript/bin/tsc")
  const options = ["--emitDeclarationOnly", "--declarationMap", "false", "--outDir", declarations]
  await promisify(execFile)(process.execPath, [tsc, "-p", "tsconfig.build.json", ...options], { cwd: root })
  return declarations
}

/** Every page, read from what the compiler emits of src. */
export const pages = async (): Promise<ReadonlyArray<Page>> => {
  const declarations = await emit()
  const read = reader(declarations, path.join(root, "src"))
  const found: Array<Page> = []
  const add = (module: string, entrance: string | undefined, direct: ReadonlyArray<Export>) => {
    const { docstring, exports } = read(module)
    const name = path.basename(module)
    found.push({
      specifier: `effect-durable-lambda/${module}`,
      entrance,
      direct: direct.filter((one) => one.module === module).map(({ name }) => name),
      name,
      file: `${module}.md`,
      docstring,
      exports: exports.filter(({ kind }) => kind !== "namespace")
    })
  }
  for (const [subpath, module] of Object.entries(entrances)) {
    const entrance = `effect-durable-lambda${subpath}`
    const { docstring, exports } = read(module)
    const direct = exports.filter(({ kind }) => kind !== "namespace")
    for (const { kind, module: inner } of exports) if (kind === "namespace") add(inner, entrance, direct)
    // what an entrance has besides its namespaces is on the page of the module that declares it, or on a page of its own
    const lost = direct.filter(
      (one) =>
        !found.some((page) => page.exports.some(({ name, module }) => name === one.name && module === one.module))
    )
    if (lost.length > 0) {
      found.push({
        specifier: entrance,
        entrance,
        direct: lost.map(({ name }) => name),
        name: path.dirname(module),
        file: `${path.dirname(module)}/README.md`,
        docstring,
        exports: lost
      })
    }
  }
  for (const module of apart) add(module, undefined, [])
  fs.rmSync(declarations, { recursive: true })
  return found
}

// ---- writing ---------------------------------------------------------------------------------------

const code = (text: string): string => `\`\`\`ts no-check\n${text}\n\`\`\``

/** Links of a docstring are relative to its module in src: here to its page. */
const relinked = (text: string, module: string, file: string): string =>
  text.replace(/^@see \[/gm, "\nSee [").replace(/\]\((\.\.?\/[^)]+)\)/g, (_, target: string) => {
    const absolute = path.join("src", path.dirname(module), target)
    return `](${path.relative(path.join(folder, path.dirname(file)), absolute)})`
  })

const values = new Set<Kind>(["const", "function", "class"])

/** Values first, each in the order of its module; types after them. */
const ordered = (exports: ReadonlyArray<Export>): ReadonlyArray<readonly [name: string, ReadonlyArray<Export>]> => {
  const byName = Map.groupBy(exports, ({ name }) => name)
  const isValue = ([, all]: readonly [string, ReadonlyArray<Export>]) => all.some(({ kind }) => values.has(kind))
  const all = [...byName]
  return [...all.filter(isValue), ...all.filter((one) => !isValue(one))]
}

export const firstSentence = (text: string): string =>
  text
    .split(/\n\s*\n/)[0]!
    .replace(/\s+/g, " ")
    .replace(/\.\s[\s\S]*$/, ".")
    .trim()

const render = (page: Page): string => {
  const isEntrance = page.specifier === page.entrance
  const wanted = [
    ...(page.entrance === undefined || isEntrance ? [] : [`import { ${page.name} } from "${page.entrance}"`]),
    ...(page.direct.length === 0 ? [] : [`import { ${page.direct.join(", ")} } from "${page.entrance}"`]),
    ...(isEntrance ? [] : [`import * as ${page.name} from "${page.specifier}"`])
  ].join("\n// or\n")
  const parts = [
    `# ${page.name}`,
    relinked(page.docstring, page.file.replace(/(?:README)?\.md$/, "x"), page.file),
    code(wanted)
  ]
  const list = ordered(page.exports)
  const seen = new Map([[page.name.toLowerCase(), 1]])
  const anchors = list.map(([name]) => {
    const slug = name.toLowerCase()
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return `[${name}](#${slug}${count === 0 ? "" : `-${count}`})`
  })
  parts.push(anchors.join(" · "))
  for (const [name, all] of list) {
    parts.push(`## ${name}`)
    parts.push(code(all.flatMap(({ declarations }) => declarations).join("\n\n")))
    for (const { docstring, module } of all) if (docstring !== "") parts.push(relinked(docstring, module, page.file))
  }
  return parts.filter((part) => part !== "").join("\n\n")
}

const index = (all: ReadonlyArray<Page>): string => {
  const rows = all.map(
    ({ docstring, file, name, specifier }) => `| [${name}](${file}) | \`${specifier}\` | ${firstSentence(docstring)} |`
  )
  return [
    "# API",
    "Every public module, its exports with their types, and what their docstrings say. Made by `npm run docs:api`.",
    ["| module | import | what it is |", "| --- | --- | --- |", ...rows].join("\n")
  ].join("\n\n")
}

/** All files of docs/api: their path below it, and their text. */
export const generate = async (all: ReadonlyArray<Page>): Promise<ReadonlyMap<string, string>> => {
  const config = await prettier.resolveConfig(path.join(root, "README.md"))
  const format = (text: string) => prettier.format(text, { ...config, parser: "markdown" })
  const files = new Map([["README.md", await format(index(all))]])
  for (const page of all) files.set(page.file, await format(render(page)))
  return files
}

const main = async () => {
  const all = await pages()
  const files = await generate(all)
  fs.rmSync(path.join(root, folder), { recursive: true, force: true })
  for (const [file, text] of files) {
    const target = path.join(root, folder, file)
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.writeFileSync(target, text)
  }
  fs.writeFileSync(path.join(root, "docs/llms.txt"), llms(all))
  fs.writeFileSync(path.join(root, "docs/llms-full.txt"), llmsFull())
  console.log(`${files.size} files in ${folder}, docs/llms.txt, docs/llms-full.txt`)
}

if (import.meta.main) await main()
