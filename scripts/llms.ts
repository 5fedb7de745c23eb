/**
 * docs/llms.txt: where a language model finds what, by https://llmstxt.org; and docs/llms-full.txt, README and guides in
 * one file, which is made for the package only.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { firstSentence, type Page } from "./api-docs.ts"
import { walk } from "./source.ts"

const root = path.resolve(import.meta.dirname, "..")
const textOf = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

/** What an assistant gets wrong without being told. */
const RULES = `Facts that programs depend on:

- Imports: \`import { Durable, DurableClient, DurableFunction, DurableHandler } from "effect-durable-lambda"\`, tests from \`"effect-durable-lambda/testing"\`, the local engine from \`"effect-durable-lambda/engine"\` and \`"effect-durable-lambda/dev"\`. Schemas come from \`effect\` 4.1 (\`Schema\`), not from \`@effect/schema\`.
- Every operation has a name as its first argument. Names are identities: do not change them under running executions.
- Side effects, services, \`fetch\`, \`process.env\`, \`Date.now()\` and \`crypto\` belong into \`Durable.step\`. The body may use \`Effect.sleep\`, \`Effect.timeout\`, \`Effect.all\`, \`Effect.race\`, \`DateTime.now\` and \`Random\`: they are durable there.
- No durable operation inside of a step. To group operations use \`Durable.childContext\`.
- A step's value is plain JSON, or has a \`success\` schema. An error that should keep its class has an \`error\` schema.
- There is no \`waitForSignal\`, no \`context\` argument, no \`Durable.sleep\`: it is \`Durable.waitForCallback\`, plain effects, and \`Effect.sleep\` or \`Durable.wait\`.
- A durable function is started by a version or alias: \`"order:live"\`.`

/** Guides in the order of docs/README.md, with what it says of each. */
const guides = (): ReadonlyArray<readonly [section: string, lines: ReadonlyArray<string>]> => {
  const sections: Array<readonly [string, Array<string>]> = []
  for (const line of textOf("docs/README.md").split("\n")) {
    const section = /^\*\*(.+)\*\*$/.exec(line)?.[1]
    if (section !== undefined) sections.push([section, []])
    else if (line.startsWith("- ") && !line.includes("(llms.txt)")) sections.at(-1)?.[1].push(line)
  }
  return sections
}

const examples = (): ReadonlyArray<string> =>
  fs
    .readdirSync(path.join(root, "examples"))
    .filter((file) => /^\d.*\.ts$/.test(file))
    .map((file) => {
      const comment = /^\/\*\*\s*\n([\s\S]*?)\*\//.exec(textOf(`examples/${file}`))?.[1] ?? ""
      const shows = firstSentence(comment.replace(/^[ \t]*\* ?/gm, "").trim()).replace(/^Shows: /, "")
      return `- [${file}](../examples/${file}): ${shows}`
    })

export const llms = (pages: ReadonlyArray<Page>): string => {
  const [, summary = ""] = /^# .+\n\n(.+)\n/.exec(textOf("README.md")) ?? []
  const api = pages.map(({ docstring, file, name }) => `- [${name}](api/${file}): ${firstSentence(docstring)}`)
  return [
    "# effect-durable-lambda",
    `> ${summary}`,
    RULES,
    ...guides().map(([section, lines]) => `## ${section}\n\n${lines.join("\n")}`),
    `## API\n\n${api.join("\n")}`,
    `## Examples\n\n${examples().join("\n")}\n`
  ].join("\n\n")
}

/** README and guides, one after the other; links stay as they are. */
export const llmsFull = (): string => {
  const files = walk(path.join(root, "docs"))
    .map((file) => path.relative(root, file))
    .filter((file) => file.endsWith(".md") && file !== "docs/README.md" && !file.startsWith("docs/api"))
  return ["README.md", ...files].map((file) => `<!-- ${file} -->\n\n${textOf(file).trim()}\n`).join("\n")
}
