/**
 * The laws, at length: `npm run test:laws -- --n 100000 --order markers`. Failures are made smaller and
 * printed with the command that repeats them.
 *
 *   --n      how many programs (1000)                --from     the first seed (1)
 *   --order  markers | timestamps | log (markers)    --profile  JSON, overrides what the seed draws
 *   --size   nodes per program (2 to 15)             --hard     races, contexts and finalizers in each other
 *   --max    how many failures to make smaller (3)   --program  JSON: this one, under all seeds
 *   --cleanup  with durable cleanup                  --fibers   with fibers of every kind
 *   --serdes   with a Serdes layer that takes its time, and fails now and then
 *   --edits  calm | partly | declared | undeclared: the code changes under the running execution
 *   --until  stop after so many failures             --counts   which operations the world has met, how often
 */
import { parseArgs } from "node:util"
import { type Options, programOf, runCase, shrink } from "./cases.ts"
import type { Order } from "./Profile.ts"
import { count, type Node } from "./Program.ts"

const { values } = parseArgs({
  options: {
    n: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    order: { type: "string", default: "markers" },
    profile: { type: "string", default: "{}" },
    size: { type: "string" },
    edits: { type: "string" },
    hard: { type: "boolean", default: false },
    cleanup: { type: "boolean", default: false },
    fibers: { type: "boolean", default: false },
    serdes: { type: "boolean", default: false },
    max: { type: "string", default: "3" },
    until: { type: "string", default: "Infinity" },
    counts: { type: "boolean", default: false },
    program: { type: "string" }
  }
})

const n = Number(values.n)
const from = Number(values.from)
const max = Number(values.max)
const options: Options = {
  order: values.order as Order,
  hard: values.hard,
  cleanup: values.cleanup,
  fibers: values.fibers,
  serdes: values.serdes,
  size: values.size === undefined ? undefined : Number(values.size),
  edits: values.edits as Options["edits"],
  profile: JSON.parse(values.profile)
}
const given = values.program === undefined ? undefined : (JSON.parse(values.program) as Node)

const command = (seed: number, program: Node | undefined) =>
  [
    `npm run test:laws -- --n 1 --from ${seed} --order ${options.order}`,
    ...(options.hard ? ["--hard"] : []),
    ...(options.cleanup ? ["--cleanup"] : []),
    ...(options.fibers ? ["--fibers"] : []),
    ...(options.serdes ? ["--serdes"] : []),
    ...(options.size === undefined ? [] : [`--size ${options.size}`]),
    ...(options.edits === undefined ? [] : [`--edits ${options.edits}`]),
    ...(values.profile === "{}" ? [] : [`--profile '${values.profile}'`]),
    ...(program === undefined ? [] : [`--program '${JSON.stringify(program)}'`])
  ].join(" ")

const started = performance.now()
const sums: Record<string, number> = { invocations: 0, crashes: 0, requests: 0, attempts: 0, markers: 0, operations: 0 }
const kinds: Record<string, number> = {}
const reached: Record<string, number> = {}
const changes: Record<string, number> = {}
const until = Number(values.until)
let failed = 0
let programs = 0
let shown = started
for (let i = 0; i < n && failed < until; i++) {
  const seed = from + i
  programs++
  const result = runCase(seed, options, given)
  for (const key of Object.keys(sums)) sums[key]! += result[key as "markers"]
  if (result.change !== undefined) changes[result.change] = (changes[result.change] ?? 0) + 1
  for (const [key, n] of Object.entries(result.reached)) reached[key] = (reached[key] ?? 0) + n
  if (result.error !== undefined) {
    failed++
    const kind = result.error.replace(/^invocation \d+, t=[\d.]+: /, "").split(/[ :]/)[0]!
    kinds[kind] = (kinds[kind] ?? 0) + 1
    if (failed <= max) {
      const program = given ?? programOf(seed, options)
      console.log(`seed ${seed} (${count(program)} nodes): ${result.error}\n  ${command(seed, given)}`)
      const small = shrink({ seed, program, error: result.error }, options)
      console.log(`  shrunk to ${count(small.program)} nodes: ${small.error}\n  ${command(small.seed, small.program)}`)
    }
  }
  if (performance.now() - shown > 10_000) {
    shown = performance.now()
    const rate = (i + 1) / ((shown - started) / 1000)
    process.stderr.write(`${i + 1} of ${n} programs, ${failed} failed, ${rate.toFixed(0)}/s\n`)
  }
}
if (values.counts) {
  for (const key of Object.keys(reached).sort()) console.log(`${key.padEnd(60)} ${String(reached[key]).padStart(9)}`)
}
const seconds = Math.round((performance.now() - started) / 100) / 10
console.log(
  JSON.stringify({ order: options.order, hard: options.hard, programs, failed, kinds, ...sums, ...changes, seconds })
)
process.exitCode = failed > 0 ? 1 : 0
