import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { extract, typeErrors, withAssertions } from "../scripts/doc-examples.ts"
import { entries, guide, taggedErrors, tagsIn } from "../scripts/error-tags.ts"
import { anchorsOf, checkLinks, linksOf } from "../scripts/doc-links.ts"

const examples = extract()

describe("documentation", () => {
  it("the examples compile", async () => {
    const errors = await typeErrors(examples)
    assert.isTrue(errors.length === 0, `\n${errors.map((error) => `  ${error}`).join("\n")}\n`)
  })

  // tests that are shown are run as tests
  for (const example of examples.filter(({ path }) => path.endsWith(".test.ts"))) {
    describe(`${example.file}:${example.line}`, () => import(/* @vite-ignore */ example.path).then(() => undefined))
  }

  for (const example of examples.filter(({ run }) => run)) {
    it(`${example.file}:${example.line} gives what it says`, () => import(/* @vite-ignore */ example.path))
  }
})

describe("assertions in examples", () => {
  const transform = (code: string) => withAssertions({ code, file: "x.md", line: 5 })

  it("an expression", () => {
    assert.strictEqual(transform("f(1) // => 2"), '__equal(f(1), 2, "x.md:5")')
  })
  it("an expression over several lines", () => {
    assert.strictEqual(transform("a\n  .b({\n    c\n  }) // => 2"), '__equal(a\n  .b({\n    c\n  }), 2, "x.md:8")')
  })
  it("a constant", () => {
    assert.strictEqual(transform("  const a: A = b // => 2"), '  const a: A = b; __equal(a, 2, "x.md:5")')
  })
  it("a returned value", () => {
    assert.strictEqual(transform("return yield* a // => [1]"), 'return __equal(yield* a, [1], "x.md:5")')
  })
  it("not inside strings and other comments", () => {
    const code = 'f("x // => 1")\n// a // => 2\n// => 3'
    assert.strictEqual(transform(code), code)
  })
})

describe("links", () => {
  const { broken, links, unreachable } = checkLinks()

  it("lead to files and headings that exist", () => {
    assert.deepStrictEqual(broken, [])
    assert.isAbove(links, 50)
  })
  it("lead from README.md to every document", () => {
    assert.deepStrictEqual(unreachable, [])
  })

  it("are found where they are text", () => {
    const text = 'a [`b`](c.md#d) [e](f "g")\n```md\n[h](i)\n```\n<img src="j.png"> `[k](l)` [m](<n>)'
    assert.deepStrictEqual(linksOf(text), [
      { target: "c.md#d", line: 1 },
      { target: "f", line: 1 },
      { target: "j.png", line: 5 },
      { target: "n", line: 5 }
    ])
  })
  it("have GitHub's anchors", () => {
    const text =
      "# From AWS's SDK\n## `wait`, `waitUntil`\n```sh\n# not this\n```\n## Same\n### Same\n## a_b (c) [d](e)"
    assert.deepStrictEqual([...anchorsOf(text)], ["from-awss-sdk", "wait-waituntil", "same", "same-1", "a_b-c-d"])
  })
})

describe("troubleshooting", () => {
  const errors = taggedErrors()
  const sections = entries()

  it("has an entry for each tag, and for nothing else", () => {
    assert.isAbove(errors.length, 40)
    const tags = new Set(errors.map(({ tag }) => tag))
    const missing = errors.filter(({ tag }) => !sections.has(tag)).map(({ file, tag }) => `${tag} (${file})`)
    assert.deepStrictEqual(missing, [], `add "### TAG" to ${guide}, with what it means, why, and what to do`)
    const unknown = [...sections.keys()].filter((tag) => !tags.has(tag))
    assert.deepStrictEqual(unknown, [], `no error of src has this tag: remove its entry from ${guide}`)
  })

  it("says what each means, why, and what to do", () => {
    for (const [tag, text] of sections) {
      const parts = [...text.matchAll(/^\*\*(.+?)\*\*: (.+)$/gm)]
      assert.deepStrictEqual(
        parts.map(([, title]) => title),
        ["Means", "Why", "What to do"],
        tag
      )
      for (const [, title, part = ""] of parts) assert.isAbove(part.length, 20, `${tag}: ${title}`)
    }
  })

  it("is where the docstring of each leads", () => {
    const without = errors.filter(
      ({ docstring, tag }) => !docstring.includes(`docs/troubleshooting.md#${tag.toLowerCase()})`)
    )
    assert.deepStrictEqual(
      without.map(({ file, tag }) => `${file}: ${tag}`),
      [],
      "end its docstring with @see [Troubleshooting](../docs/troubleshooting.md#tag)"
    )
  })

  it("finds classes of both kinds", () => {
    const source = `
      // class Not extends Data.TaggedError("Not") {}
      /** One. */
      export class A extends /*#__PURE__*/ Data.TaggedError("A")<{ readonly a: string }> {}
      /** Nobody's. */
      const x = 1
      export class B extends Schema.TaggedError<B>()("B", {}) {}`
    assert.deepStrictEqual(tagsIn("x.ts", source), [
      { tag: "A", file: "x.ts", docstring: "/** One. */" },
      { tag: "B", file: "x.ts", docstring: "" }
    ])
  })
})

describe("guides", () => {
  const docs = path.resolve(import.meta.dirname, "../docs")
  const guides = fs.readdirSync(docs).filter((file) => file.endsWith(".md") && file !== "README.md")

  it("begin with what the reader will know or be able to do", () => {
    assert.isAbove(guides.length, 15)
    for (const file of guides) {
      const [title = "", promise = ""] = fs.readFileSync(path.join(docs, file), "utf8").split("\n\n")
      assert.match(title, /^# \S/, file)
      assert.match(promise, /^After this you /, file)
    }
  })

  it("have what is long: the README is the short way in", () => {
    const lines = fs.readFileSync(path.join(docs, "../README.md"), "utf8").split("\n").length
    assert.isBelow(lines, 550, "README.md grows: put it into a guide, and a sentence with the link here")
  })

  it("are listed in docs/README.md and README.md", () => {
    const index = fs.readFileSync(path.join(docs, "README.md"), "utf8")
    const readme = fs.readFileSync(path.join(docs, "../README.md"), "utf8")
    assert.deepStrictEqual(
      guides.filter((file) => !index.includes(`(${file})`) || !readme.includes(`(docs/${file}`)),
      []
    )
  })
})

describe("coverage", () => {
  const docs = path.resolve(import.meta.dirname, "../docs")
  const text = fs.readFileSync(path.join(docs, "coverage.md"), "utf8")
  const cited = [...text.matchAll(/\]\((\.\.\/test\/[^)]+)\): ((?:"[^"]+"(?:, )?)+)/g)].flatMap(
    ([, file = "", titles = ""]) => [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title }))
  )

  it("names tests that exist", () => {
    assert.isAbove(cited.length, 60)
    const sources = new Map(cited.map(({ file }) => [file, fs.readFileSync(path.join(docs, file), "utf8")]))
    const missing = cited.filter(({ file, title }) => !sources.get(file)!.includes(title))
    assert.deepStrictEqual(missing, [])
  })

  it("says of each of AWS's examples where it is, or why not", () => {
    const rows = text.split("\n").filter((line) => line.startsWith("| ") && !/^\| (?:AWS's|suite|---)/.test(line))
    assert.isAbove(rows.length, 70)
    for (const row of rows) {
      const here = row.split(" | ").at(-1)!
      assert.match(here, /\]\(|\*\*No\.?\*\* \S/, row)
    }
  })
})
