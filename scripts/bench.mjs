/**
 * Runs the benchmark of ../shared/bench with this library as one of the systems.
 *
 *     npm run bench -- [--systems floor,official-2.4.0,effect-durable-lambda] [--only REGEX] [--quick] [--no-cold]
 *
 * test/bench/adapter.ts exports `createHandlers` (and may export `skip`); test/bench/cold.ts, if there is one, exports
 * the `handler` whose cold start is measured. Results: .bench/results/results.md.
 */
import { build } from "esbuild"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { bundle } from "../examples/deploy/bundle.ts"
import { copyShared, root } from "./shared.mjs"

const name = "effect-durable-lambda"
const adapter = path.join(root, "test/bench/adapter.ts")
const cold = path.join(root, "test/bench/cold.ts")
if (!fs.existsSync(adapter)) {
  console.error('bench: test/bench/adapter.ts is missing; see ../shared/bench/README.md, "Add a system"')
  process.exit(2)
}

const home = copyShared("bench", "BENCH_HOME")

/** Our sources in one file, unminified; Effect and AWS's packages stay where they are, as for the other systems. */
const compile = (entry, outfile, ...conditions) =>
  build({
    entryPoints: [entry],
    outfile,
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node22",
    format: "esm",
    conditions: ["@effect-durable-lambda/source", "module", ...conditions],
    external: ["effect", "effect/*", "@aws-sdk/*", "@aws/*"],
    logLevel: "warning"
  })
await compile(adapter, path.join(home, `lib/${name}.bundle.mjs`))
fs.writeFileSync(
  path.join(home, `adapters/${name}.mjs`),
  `export * from "../lib/${name}.bundle.mjs"\nexport const name = "${name}"\n`
)
if (fs.existsSync(cold)) {
  await compile(cold, path.join(home, `cold/entries/${name}.sdk.mjs`))
  // AWS's client imported by name
  await compile(cold, path.join(home, `cold/entries/${name}-aws-in-bundle.sdk.mjs`), `@${name}/aws-in-bundle`)
  // with AWS's client, as examples/deploy bundles it; and AWS's SDK in the same way
  const deployed = async (system, entry, external) => {
    const outfile = await bundle({ entry, outdir: path.join(home, "dist", system), external })
    const variant = external ? "as-deployed-external" : "as-deployed"
    fs.copyFileSync(outfile, path.join(home, `cold/entries/${system}-${variant}.sdk.mjs`))
  }
  await deployed(name, cold, false)
  await deployed(name, cold, true)
  await deployed("official-2.4.0", path.join(home, "cold/entries/official-2.4.0.sdk.mjs"), false)
}

const args = process.argv.slice(2)
if (!args.includes("--systems")) args.push("--systems", `floor,official-2.4.0,${name}`)
const { status } = spawnSync(process.execPath, ["run.mjs", ...args], { cwd: home, stdio: "inherit" })
process.exit(status ?? 1)
