/** What the tests of the command line share: the program in processes of its own, as its users have it. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

export const root = path.resolve(import.meta.dirname, "../..")
const condition = "--conditions=@effect-durable-lambda/source"
const bin = path.join(root, "src/bin.ts")

export const shop = path.join(import.meta.dirname, "fixtures/shop.ts")
export const stubborn = path.join(import.meta.dirname, "fixtures/stubborn.ts")
export const double = path.join(import.meta.dirname, "fixtures/double.mjs")

/** A folder inside the repository, where the modules of files resolve; without one of these above it. */
export const makeFolder = (): string => {
  fs.mkdirSync(path.join(root, ".tmp"), { recursive: true })
  return fs.mkdtempSync(path.join(root, ".tmp/cli-"))
}

/** Nothing of whoever runs the tests. */
const environment = (own: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:AWS_|EFFECT_DURABLE|NO_COLOR|FORCE_COLOR|NODE_)/.test(name))
  ),
  ...own
})

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** A file for standard input. Default: none. */
  readonly stdin?: string
  readonly node?: ReadonlyArray<string>
}

/** Runs a command to its end. */
export const run = (args: ReadonlyArray<string>, { cwd = root, env, stdin }: RunOptions = {}): Promise<Ended> =>
  new Promise((resolve) => {
    const input = stdin === undefined ? "ignore" : fs.openSync(stdin, "r")
    const child = spawn(process.execPath, [condition, bin, ...args], {
      cwd,
      env: environment(env),
      stdio: [input, "pipe", "pipe"]
    })
    if (typeof input === "number") fs.closeSync(input)
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk) => (stdout += String(chunk)))
    child.stderr?.on("data", (chunk) => (stderr += String(chunk)))
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

/** A program that runs, and what it has said. */
export interface Running {
  readonly child: ChildProcess
  readonly output: () => string
  /** Waits until the output has what is looked for. */
  readonly said: (pattern: RegExp) => Promise<RegExpExecArray>
  /** Ends it: with Ctrl-C, unless told otherwise. Gives the exit code. */
  readonly end: (signal?: NodeJS.Signals) => Promise<number | null>
}

/** Begins to run a command. */
export const begin = (args: ReadonlyArray<string>, { cwd = root, env }: RunOptions = {}): Running => {
  const child = spawn(process.execPath, [condition, bin, ...args], {
    cwd,
    env: environment(env),
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  const checks = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += String(chunk)
      for (const check of checks) check()
    })
  }
  let hasEnded = false
  const closed = new Promise<number | null>((resolve) =>
    child.on("close", (code) => {
      hasEnded = true
      for (const check of checks) check()
      resolve(code)
    })
  )
  const said: Running["said"] = (pattern) =>
    new Promise((resolve, reject) => {
      const check = () => {
        const found = pattern.exec(output)
        if (found === null && !hasEnded) return
        checks.delete(check)
        if (found === null) reject(new Error(`it has ended without saying ${String(pattern)}:\n${output}`))
        else resolve(found)
      }
      checks.add(check)
      check()
    })
  return {
    child,
    output: () => output,
    said,
    end: (signal = "SIGINT") => {
      child.kill(signal)
      return closed
    }
  }
}

/** A dev server. */
export interface Dev extends Running {
  readonly url: string
}

/** Starts `dev`, and waits until it says that it is ready. */
export const dev = async (args: ReadonlyArray<string>, options: RunOptions = {}): Promise<Dev> => {
  const running = begin(["dev", ...args], options)
  const [, url = ""] = await running.said(/(?:ready {2}|"ready","url":")(http:\/\/[\d.:]+)/)
  return { ...running, url }
}

/** Lengths of times and times of day, which differ. */
export const withoutTimes = (text: string): string =>
  text.replace(/\d\d:\d\d:\d\d\.\d\d\d/g, "CLOCK").replace(/\b\d+(?:\.\d+)? (?:ms|s|min|h|d)\b(?: \d+ \w+)?/g, "TIME")
