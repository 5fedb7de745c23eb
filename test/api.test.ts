import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { folder, generate, type Page, pages, statementsOf } from "../scripts/api-docs.ts"
import { llms } from "../scripts/llms.ts"
import { parse, walk } from "../scripts/source.ts"

const root = path.resolve(import.meta.dirname, "..")

describe("the public modules", () => {
  let all: ReadonlyArray<Page> = []
  beforeAll(async () => {
    all = await pages()
  })

  const exportsOf = () => all.flatMap((page) => page.exports.map((one) => ({ page, one })))

  it("have a docstring, each", () => {
    assert.isAbove(all.length, 20)
    for (const { docstring, name } of all) assert.isAbove(docstring.length, 20, name)
  })

  it("have a docstring for every export", () => {
    const documented = new Set(
      exportsOf().flatMap(({ one, page }) => (one.docstring === "" ? [] : [`${page.name}.${one.name}`]))
    )
    const without = exportsOf().map(({ one, page }) => `${page.name}.${one.name}`)
    assert.deepStrictEqual(
      without.filter((name) => !documented.has(name)),
      []
    )
    assert.isAbove(without.length, 300)
  })

  it("are in docs/api as they are in src", async () => {
    const files = await generate(all)
    const advice = "docs/api is not what src says: npm run docs:api"
    const written = walk(path.join(root, folder)).map((file) => path.relative(path.join(root, folder), file))
    assert.deepStrictEqual([...written].sort(), [...files.keys()].sort(), advice)
    for (const [file, text] of files) {
      assert.strictEqual(fs.readFileSync(path.join(root, folder, file), "utf8"), text, `${file}: ${advice}`)
    }
  })

  it("are in llms.txt, with the guides and examples", () => {
    const text = fs.readFileSync(path.join(root, "docs/llms.txt"), "utf8")
    assert.strictEqual(text, llms(all), "docs/llms.txt is not current: npm run docs:api")
    assert.match(text, /^# effect-durable-lambda\n\n> .+\n/)
  })
})

describe("reading declarations", () => {
  it("statements, with what stands before them", () => {
    const text = `/** A. */
export declare const a: { readonly b: string; };
/** No. */
import * as X from "x";
export declare class B extends C<{
    readonly d: string;
}> {
    get message(): string;
}
// none
export type D = () => { e: 1 };`
    const found = statementsOf(parse(text)).map(({ docstring, text }) => [docstring, text.split("\n")[0]])
    assert.deepStrictEqual(found, [
      ["A.", "export declare const a: { readonly b: string; };"],
      ["No.", 'import * as X from "x";'],
      ["", "export declare class B extends C<{"],
      ["", "export type D = () => { e: 1 };"]
    ])
  })
})
