import { assert, beforeAll, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import { build, type Metafile } from "esbuild"
import { bundle } from "../examples/deploy/bundle.ts"

const root = path.resolve(import.meta.dirname, "..")
const entry = path.join(root, "test/fixtures/one-step-handler.ts")
const outfile = path.join(root, ".tmp/bundle/handler.mjs")

/**
 * KB = 1,000 bytes. What a user's smallest handler may weigh, Effect included, AWS's client not. The design asks for
 * 130 and 42: Effect and its Schema alone are 95 and 32 of it. This holds what was reached, so that it can only shrink;
 * 0.7 KB were added for the errors of callbacks, conditions and invokes, which the record of any context may hold,
 * 1.5 KB to find plugins (their machinery comes along with the first of them) and the level of log lines, 1 KB for
 * what batches ask of the core (the batches themselves come along with the first of them), 0.3 KB for rules of
 * order that the laws found missing, 0.8 KB for the places where cleanup hooks in (it comes along with its first use),
 * 0.03 KB to tell a tracer which spans operations stand in, 3.3 KB (1.3 gzip) for the guard of Lambda's deadline,
 * which every handler has, 0.6 KB to tell what Serdes layers cannot do (they come along with their use), 3.1 KB (1.2
 * gzip) for what is said when code does not fit what is on record, and for what declared changes ask of the core,
 * 0.6 KB (0.2 gzip) to know which lines of the body have been written before, and to name the operation of an error that
 * no schema reads, 0.9 KB (0.3 gzip) for log lines that have causes of errors and spans, and survive what throws when it is
 * looked at, for modules of plugins that hang, for values that look as what layers write, and to say where an error is
 * explained, 1 KB (0.4 gzip) to say whose codec hangs at the deadline, and to end every fiber of a body, 0.8 KB (0.3
 * gzip) to be ready for the first invocation before it comes, and 1.1 KB (0.3 gzip) so that all bodies share one clock
 * and one Random.
 */
 * explained, 1 KB (0.4 gzip) to say whose codec hangs at the deadline, and to end every fiber of a body, 0.8 KB (0.3
 * gzip) to be ready for the first invocation before it comes, and 1.1 KB (0.3 gzip) so that all bodies share one clock
 * and one Random.
 */
const budget = { minified: 155, gzip: 55.4 }

/**
 * The same with AWS's client, as examples/deploy bundles it: 241 KB more. 60 KB more than that without the condition
 * `aws-in-bundle`, and 119 KB more with all ways to find credentials.
 */
const budgetWithClient = { minified: 398, gzip: 133 }

const sizesOf = (code: Buffer) => ({ minified: code.length / 1000, gzip: gzipSync(code, { level: 9 }).length / 1000 })

const contributors = (metafile: Metafile): string => {
  const sizes = new Map<string, number>()
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const name = input.replace(/^.*node_modules\//, "")
      sizes.set(name, (sizes.get(name) ?? 0) + bytesInOutput)
    }
  }
  return [...sizes]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 25)
    .map(([name, size]) => `  ${(size / 1000).toFixed(1).padStart(6)} KB  ${name}`)
    .join("\n")
}

describe("the bundle of a handler with one step", () => {
  let metafile: Metafile
  let code: Buffer

  beforeAll(async () => {
    if (!fs.existsSync(entry)) {
      throw new Error("test/fixtures/one-step-handler.ts is missing: a module that exports the smallest `handler`")
    }
    const result = await build({
      entryPoints: [entry],
      outfile,
      absWorkingDir: root,
      bundle: true,
      minify: true,
      platform: "node",
      target: "node22",
      format: "esm",
      conditions: ["@effect-durable-lambda/source", "module"],
      external: ["@aws-sdk/client-lambda"],
      metafile: true,
      logLevel: "silent"
    })
    metafile = result.metafile
    code = fs.readFileSync(outfile)
  })

  it("stays within its budget", () => {
    const { gzip, minified } = sizesOf(code)
    const sizes = `${minified.toFixed(1)} KB minified (at most ${budget.minified}), ${gzip.toFixed(1)} KB gzip (at most ${budget.gzip})`
    assert.isTrue(
      minified <= budget.minified && gzip <= budget.gzip,
      `${sizes}; the biggest contributors:\n${contributors(metafile)}\n`
    )
  })

  it("stays within its budget with AWS's client in it", async () => {
    const file = await bundle({ entry, outdir: path.join(root, ".tmp/bundle/with-client") })
    const { gzip, minified } = sizesOf(fs.readFileSync(file))
    assert.isAbove(minified, 2 * budget.minified, "AWS's client is not in it")
    assert.isAtMost(minified, budgetWithClient.minified)
    assert.isAtMost(gzip, budgetWithClient.gzip)
  })

  it("contains nothing of what observes: it comes along with the first plugin", () => {
    const observing = /src\/(?:DurableTracer|DurableMetrics|internal\/(?:tracing\/|observe\.|hooks\.))/
    const carried = Object.values(metafile.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([input, { bytesInOutput }]) =>
        bytesInOutput > 0 && observing.test(input) ? input : []
      )
    )
    assert.deepStrictEqual(carried, [])
  })

  it("does not contain layers that it does not use", () => {
    const carried = Object.values(metafile.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([input, { bytesInOutput }]) => (bytesInOutput > 0 ? [input] : []))
    )
    assert.include(carried, "src/Serdes.ts")
    assert.deepStrictEqual(
      carried.filter((input) =>
        /src\/(?:Serdes\w+|Redact|KeyProvider\w*|PayloadStore\w*|internal\/(?:seal|awsCall))\.ts$/.test(input)
      ),
      []
    )
  })

  it("does not contain Effect's barrel", () => {
    const barrels = Object.keys(metafile.inputs).filter((input) =>
      /node_modules\/effect\/(?:dist|src)\/index\.[jt]s$/.test(input)
    )
    const importers = Object.entries(metafile.inputs)
      .filter(([, { imports }]) => imports.some(({ path }) => barrels.includes(path)))
      .map(([input]) => input)
    assert.deepStrictEqual(barrels, [], `imported by ${importers.join(", ")}`)
  })

  it("does not load AWS's client when it is imported", { timeout: 30_000 }, async () => {
    const script = `
      import { registerHooks } from "node:module"
      const loaded = []
      registerHooks({
        resolve: (specifier, context, next) => {
          loaded.push(specifier)
          return next(specifier, context)
        }
      })
      const { handler } = await import(${JSON.stringify(`file://${outfile}`)})
      console.log(JSON.stringify({ handler: typeof handler, aws: loaded.filter((name) => name.startsWith("@aws-sdk/")) }))
      process.exit(0)`
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
      cwd: root
    })
    assert.deepStrictEqual(JSON.parse(stdout), { handler: "function", aws: [] })
  })
})
