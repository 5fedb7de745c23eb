/**
 * A saved history as one HTML file: the page's view of an execution without a server.
 */
import * as crypto from "node:crypto"
import type * as History from "../History.ts"
import * as assets from "./assets.ts"

const IMPORT = /^import\s+(\{[^}]*\})\s+from\s+"\.\/(\w+)\.js"$/gm
const EXPORT = /^export (?:const|class) (\w+)/gm

/**
 * The page's modules in one script: each in a scope of its own that returns what it exports. The modules keep to named
 * imports and to exports where they declare, so that this is all that it takes.
 */
const bundle = (entry: "saved"): string => {
  const done = new Set<string>()
  const add = (name: string): string => {
    if (done.has(name)) return ""
    done.add(name)
    const source = assets.read(`${name}.js` as assets.Asset)
    const before = Array.from(source.matchAll(IMPORT), ([, , imported = ""]) => add(imported))
    const exported = Array.from(source.matchAll(EXPORT), ([, exported]) => exported)
    const body = source.replace(IMPORT, "const $1 = modules.$2").replace(/^export /gm, "")
    return `${before.join("")}modules.${name} = (() => {\n${body}\nreturn { ${exported.join(", ")} }\n})()\n`
  }
  return `"use strict"\nconst modules = {}\n${add(entry)}`
}

const hash = (text: string) => `'sha256-${crypto.createHash("sha256").update(text).digest("base64")}'`

/**
 * One HTML file that shows a history: the timeline of its operations over its invocations, with payloads, errors and
 * attempts. Everything is in the file; it asks for nothing and runs nothing but its own script.
 *
 * **Details**
 *
 * Takes the events as `GetDurableExecutionHistory` gives them, decoded (`History.Event`: timestamps are epoch
 * milliseconds), in order. What the history has cut short is shown as such. An execution that had not ended is shown up
 * to its last event.
 *
 * **Example** (The history of a test, as a file)
 *
 * ```ts
 * import { Engine } from "effect-durable-lambda/engine"
 * import { renderHistory } from "effect-durable-lambda/dev"
 * import { Effect } from "effect"
 * import * as fs from "node:fs"
 *
 * const save = (arn: string) =>
 *   Effect.gen(function*() {
 *     const engine = yield* Engine.Engine
 *     const html = renderHistory(yield* engine.history(arn))
 *     yield* Effect.sync(() => fs.writeFileSync("execution.html", html))
 *   })
 * ```
 */
export const renderHistory = (history: ReadonlyArray<History.Event>): string => {
  const script = bundle("saved")
  const style = assets.read("style.css")
  const policy = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'`
  // A payload that has "</script>" in it must not end the element.
  const data = JSON.stringify(history).replaceAll("<", "\\u003c")
  return assets
    .read("index.html")
    .replace(
      /<link rel="stylesheet".*\/>/,
      () => `<meta http-equiv="Content-Security-Policy" content="${policy}" />\n    <style>${style}</style>`
    )
    .replace(/\n *<script type="module".*<\/script>/, "")
    .replace(/<header>[\s\S]*<\/header>/, "")
    .replace(
      "</body>",
      () => `<script type="application/json" id="history">${data}</script>\n<script>${script}</script>\n</body>`
    )
}
