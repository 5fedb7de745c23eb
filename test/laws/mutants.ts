/**
 * `node test/laws/mutants.ts [--n 10000] [--only text] [--until 20] [--jobs 2]`: takes one rule at a time out of a
 * copy of src and asks the laws whether they notice. A patch that no longer applies is an error.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { type Mutant, mutants } from "./mutants.list.ts"

const root = path.resolve(import.meta.dirname, "../..")

/** Why a mutant's patches do not apply to the src of a directory. */
export const stale = ({ name, patches }: Mutant, base = root): string | undefined => {
  for (const [file, from] of patches) {
    const occurrences = fs.readFileSync(path.join(base, "src", file), "utf8").split(from).length - 1
    if (occurrences !== 1) return `mutant "${name}": occurs ${occurrences} times in ${file}: ${from}`
  }
  return undefined
}

export interface Outcome {
  /** How many of how many programs broke a law. */
  readonly failed: number
  readonly programs: number
  readonly kinds: Record<string, number>
  readonly seconds: number
  /** What the smallest failure says, or what went wrong with the run itself. */
  readonly says: string
}

/** A copy of what the laws need, to work on; node_modules is shared. */
const copy = (from: string): string => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "laws-mutant-"))
  for (const tree of ["src", "test/laws", "test/operations", "test/wire"])
    fs.cpSync(path.join(from, tree), path.join(dir, tree), { recursive: true })
  for (const file of ["package.json", "vitest.config.ts", "vitest.setup.ts"])
    fs.copyFileSync(path.join(from, file), path.join(dir, file))
  fs.symlinkSync(path.join(root, "node_modules"), path.join(dir, "node_modules"))
  return dir
}

const mutate = (mutant: Mutant, base: string): string => {
  const problem = stale(mutant, base)
  if (problem !== undefined) throw new Error(problem)
  const dir = copy(base)
  for (const [file, from, to] of mutant.patches) {
    const target = path.join(dir, "src", file)
    fs.writeFileSync(
      target,
      fs.readFileSync(target, "utf8").replace(from, () => to)
    )
  }
  return dir
}

const start = (
  dir: string,
  args: ReadonlyArray<string>,
  millis: number
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: dir, timeout: millis, killSignal: "SIGKILL" })
    let out = ""
    let err = ""
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()))
    child.on("close", (code) => resolve({ code, out, err }))
  })

/** Runs the laws over a mutant until so many programs have failed. */
export const run = async (mutant: Mutant, n: number, until: number, small = 0, base = root): Promise<Outcome> => {
  const dir = mutate(mutant, base)
  try {
    const own = mutant.args ?? []
    const programs = own.includes("--n") ? [] : ["--n", String(n)]
    const order = own.includes("--size") ? [] : ["--size", "20"]
    const source = "--conditions=@effect-durable-lambda/source" // what `#aws` is
    const main = [source, "test/laws/main.ts"]
    const args = [...main, ...programs, ...order, "--until", String(until), "--max", String(small), ...own]
    const { err, out } = await start(dir, args, 300_000)
    const lines = out.trim().split("\n")
    const last = lines.at(-1) ?? ""
    if (!last.startsWith("{")) {
      return {
        failed: 0,
        programs: 0,
        kinds: { BROKEN: 1 },
        seconds: 0,
        says: err.trim().split("\n").slice(-8).join(" ").slice(0, 300)
      }
    }
    const { failed, kinds, programs: ran, seconds } = JSON.parse(last) as Outcome
    return {
      failed,
      kinds,
      programs: ran,
      seconds,
      says: lines.find((line) => line.includes("shrunk to"))?.trim() ?? ""
    }
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
}

/** Runs the directed test of a mutant. `true`: it notices. */
export const runDirected = async (mutant: Mutant, base = root): Promise<boolean> => {
  const dir = mutate(mutant, base)
  try {
    const { out } = await start(
      dir,
      [
        path.join(root, "node_modules/vitest/vitest.mjs"),
        "run",
        mutant.file ?? "test/laws/laws.test.ts",
        "-t",
        mutant.directed!
      ],
      120_000
    )
    return /Tests .*[1-9]\d* failed/.test(out)
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      n: { type: "string", default: "10000" },
      only: { type: "string", default: "" },
      until: { type: "string", default: "20" },
      jobs: { type: "string", default: "2" },
      shrink: { type: "boolean", default: false }
    }
  })
  const todo = mutants.filter(({ name }) => name.includes(values.only))
  let unnoticed = 0
  const base = copy(root) // src may change while this runs
  const worker = async () => {
    for (let mutant = todo.shift(); mutant !== undefined; mutant = todo.shift()) {
      const problem = stale(mutant, base)
      const { failed, kinds, programs, says, seconds }: Outcome =
        problem === undefined
          ? await run(mutant, Number(values.n), Number(values.until), values.shrink ? 1 : 0, base)
          : { failed: 0, programs: 0, kinds: { BROKEN: 1 }, seconds: 0, says: problem }
      const directed =
        mutant.directed === undefined || problem !== undefined ? undefined : await runDirected(mutant, base)
      const noticed = failed > 0 || directed === true
      const verdict =
        kinds.BROKEN !== undefined
          ? "BROKEN"
          : mutant.sound !== undefined
            ? noticed
              ? "NOT SOUND"
              : "sound"
            : noticed
              ? "noticed"
              : "UNNOTICED"
      if (verdict !== "noticed" && verdict !== "sound") unnoticed++
      const shown = failed > 0 ? JSON.stringify(kinds) : (mutant.sound ?? "")
      const test = directed === undefined ? "" : ` directed: ${directed ? "fails" : "PASSES"}`
      console.log(
        `| ${mutant.name.padEnd(62)} | ${verdict.padEnd(9)} | ${String(failed).padStart(4)} of ${String(programs).padStart(5)} | ` +
          `${seconds.toFixed(1).padStart(5)} s | ${shown}${test}`
      )
      if (says !== "") console.log(`    ${says.slice(0, 600)}`)
    }
  }
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  fs.rmSync(base, { recursive: true })
  process.exitCode = unnoticed > 0 ? 1 : 0
}
