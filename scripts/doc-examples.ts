/**
 * The examples in README.md, docs/ and the docstrings of src, as modules that can be type-checked and run.
 *
 *     ```ts                       type-checked
 *     ```ts import.meta.vitest    type-checked and run: in `expression // => value` the two must be Equal
 *     ```ts file=orders.ts        type-checked; other examples of the same document import "./orders.ts"
 *     ```ts file=orders.test.ts   type-checked, and its tests are run
 *     ```ts no-check              shown only
 *
 * Generated modules keep the line numbers of their example, so that an error can be shown where it was written.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { lineOf, parse, walk } from "./source.ts"

export interface Example {
  /** Where it was written: relative to the project, and the line of its first line of code. */
  readonly file: string
  readonly line: number
  readonly code: string
  readonly run: boolean
  /** The module generated from it. */
  readonly path: string
}

const root = path.resolve(import.meta.dirname, "..")
export const folder = path.join(root, ".tmp/docs")

/** Lines that stand before the example in a generated module. */
const header = 1

const fences = /^([ \t]*)```ts\b([^\n]*)\n([\s\S]*?)^[ \t]*```[ \t]*$/gm

/** Blanks what stands before the text of a comment's lines, so that lines stay where they are. */
const undecorated = (comment: string): string => comment.replace(/^\/\*\*|\*\/$/g, "").replace(/^[ \t]*\* ?/gm, "")

const examplesIn = (file: string): ReadonlyArray<Example> => {
  const text = fs.readFileSync(path.join(root, file), "utf8")
  const parts = file.endsWith(".md")
    ? [{ text, line: 1 }]
    : parse(text)
        .comments.filter((comment) => comment.text.startsWith("/**"))
        .map((comment) => ({ text: undecorated(comment.text), line: lineOf(text, comment.start) }))
  const home = path.join(folder, file.replace(/\W+/g, "_"))
  return parts.flatMap((part) =>
    [...part.text.matchAll(fences)].flatMap((match) => {
      const [all, indent = "", info = "", body = ""] = match
      if (info.includes("no-check")) return []
      const line = part.line + lineOf(part.text, match.index + all.indexOf("```")) // the line after the fence's
      const name = /\bfile=(\S+)/.exec(info)?.[1] ?? `example-${line}.ts`
      const code = body.replace(new RegExp(`^${indent}`, "gm"), "").trimEnd()
      return { file, line, code, run: info.includes("import.meta.vitest"), path: path.join(home, name) }
    })
  )
}

const brackets = (code: string): number => (code.match(/[([{]/g)?.length ?? 0) - (code.match(/[)\]}]/g)?.length ?? 0)

/**
 * `expression // => value` becomes an assertion that names the line it was written on. The expression may begin on
 * an earlier line, may be returned, and may be what a `const` is set to.
 */
export const withAssertions = (example: Pick<Example, "code" | "file" | "line">): string => {
  const lines = example.code.split("\n")
  const source = parse(example.code)
  const codes = source.code.split("\n")
  const comments = source.withoutComments.split("\n")
  lines.forEach((line, index) => {
    // the last comment of the line, if it is one
    const marked = comments[index]!.trimEnd().length
    const value = /^\s*\/\/ => (.+)$/.exec(line.slice(marked))?.[1]
    if (value === undefined || marked === 0) return
    let first = index
    let balance = brackets(codes[index]!)
    while (first > 0 && (balance < 0 || /^\s*(?:[.)\]}?:|&]|=>)/.test(codes[first]!))) {
      first -= 1
      balance += brackets(codes[first]!)
    }
    const end = `, ${value}, "${example.file}:${example.line + index}")`
    const constant = /^\s*(?:const|let)\s+(\w+)/.exec(codes[first]!)?.[1]
    lines[index] = line.slice(0, marked)
    if (constant !== undefined) lines[index] += `; __equal(${constant}${end}`
    else {
      lines[first] = lines[first]!.replace(/^\s*(?:return\s+)?/, "$&__equal(")
      lines[index] += end
    }
  })
  return lines.join("\n")
}

/** All examples, as they are written. */
export const read = (): ReadonlyArray<Example> => {
  const documents = ["README.md", ...walk(path.join(root, "docs")), ...walk(path.join(root, "src"))]
    .map((file) => path.relative(root, path.resolve(root, file)))
    // docs/api is made of the docstrings
    .filter(
      (file) =>
        !file.startsWith(path.join("docs", "api")) && /\.(?:md|ts)$/.test(file) && fs.existsSync(path.join(root, file))
    )
  return documents.flatMap(examplesIn)
}

/** Writes a module for each example, with a tsconfig.json for all of them. */
export const extract = (): ReadonlyArray<Example> => {
  const examples = read()
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  for (const example of examples) {
    fs.mkdirSync(path.dirname(example.path), { recursive: true })
    const code = example.run ? withAssertions(example) : example.code
    const first = example.run ? 'import { equal as __equal } from "../equal.ts"; void __equal' : "export {}"
    fs.writeFileSync(example.path, `${first}\n${code}\n`)
  }
  fs.writeFileSync(
    path.join(folder, "equal.ts"),
    `import * as Equal from "effect/Equal"
import * as Formatter from "effect/Formatter"
export const equal = <A>(actual: A, expected: unknown, at: string): A => {
  if (!Equal.equals(actual, expected)) {
    throw new Error(\`\${at}: expected \${Formatter.format(expected)}, got \${Formatter.format(actual)}\`)
  }
  return actual
}
`
  )
  fs.writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ["."]
    })
  )
  return examples
}

/** Type-checks all modules at once; gives the compiler's messages, at the lines where the examples were written. */
export const typeErrors = (examples: ReadonlyArray<Example>): Promise<ReadonlyArray<string>> => {
  const tsc = path.join(root, "node_modules/typescript/bin/tsc")
  return new Promise((resolve, reject) =>
    execFile(process.execPath, [tsc, "-p", folder, "--pretty", "false"], { cwd: root }, (error, stdout, stderr) => {
      if (!error) return resolve([])
      const messages = stdout.split(/\n(?=\S)/).flatMap((message) => {
        const found = /^(.+?)\((\d+),(\d+)\): ([\s\S]+)$/.exec(message.trimEnd())
        if (!found) return message.trim() === "" ? [] : [message]
        const [, file = "", line, , rest] = found
        const example = examples.find((example) => example.path === path.resolve(root, file))
        if (!example) return [message]
        return [`${example.file}:${example.line + Number(line) - header - 1} ${rest}`]
      })
      if (messages.length === 0) reject(new Error(`tsc failed: ${stderr || error.message}`))
      else resolve(messages)
    })
  )
}
