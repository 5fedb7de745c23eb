/**
 * An engine on a file, killed with SIGKILL at random times, over and over. In the end every execution has its right
 * result, and no step ran again whose outcome the file had.
 *
 * `KILLS=20 KILL_EXECUTIONS=200` (npm run test:kills) is the whole thing; `KILL_SEED` repeats the times of a run.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as SqliteStore from "../../src/engine/SqliteStore.ts"
import type * as Protocol from "../../src/Protocol.ts"

const KILLS = Number(process.env.KILLS ?? 6)
const EXECUTIONS = Number(process.env.KILL_EXECUTIONS ?? 60)
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000)

/** mulberry32 */
const makeRandom = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const root = path.resolve(import.meta.dirname, "../..")
const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Starts the host. `up` and `done` are kept when it has printed them; all are kept when it has ended. */
const startHost = (filename: string, journal: string, generation: number, executions: number) => {
  const args = ["--conditions=@effect-durable-lambda/source", "test/engine/host.ts", filename, journal]
  const child = spawn(process.execPath, [...args, `${generation}`, `${executions}`], { cwd: root })
  let output = ""
  child.stdout.on("data", (data) => (output += String(data)))
  child.stderr.on("data", (data) => (output += String(data)))
  const closed = new Promise<void>((resolve) => child.on("close", () => resolve()))
  const printed = (word: string) =>
    Promise.race([
      new Promise<void>((resolve) => child.stdout.on("data", () => output.includes(`${word}\n`) && resolve())),
      closed
    ])
  return { child, closed, up: printed("up"), done: printed("done"), output: () => output }
}

/** Waits until a step runs. */
const firstRun = async (journal: string) => {
  while (!fs.readFileSync(journal, "utf8").includes(" run ")) await sleep(1)
}

/** How many attempts of each step are closed, by execution and step: what the engine has acknowledged. */
const acknowledged = (filename: string): ReadonlyMap<string, number> => {
  // A copy, so that the next engine finds the file as the kill has left it.
  const copy = `${filename}.copy`
  for (const suffix of ["", "-wal"]) {
    fs.rmSync(copy + suffix, { force: true })
    if (fs.existsSync(filename + suffix)) fs.copyFileSync(filename + suffix, copy + suffix)
  }
  if (!fs.existsSync(copy)) return new Map()
  const db = new DatabaseSync(copy)
  const hasTables = db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.tables !== 0
  const rows = hasTables
    ? db.prepare("SELECT name, operations.record FROM operations JOIN executions ON execution = key").all()
    : []
  db.close()
  return new Map(
    rows.map(({ name, record }) => {
      const { Id, Name, StepDetails }: Protocol.Operation = JSON.parse(String(record)).operation
      return [`${name} ${Name ?? Id}`, StepDetails?.Attempt ?? 0]
    })
  )
}

const of = (execution: string, steps: ReadonlyArray<string>) => steps.map((step) => `${step} of ${execution}`)

/** The results; of a callback it is the answer that was accepted. */
const expected: Readonly<Record<string, (execution: string, answer: string | undefined) => ReadonlyArray<unknown>>> = {
  steps: (name) => of(name, ["a", "b", "c", "d", "e"]),
  waits: (name) => of(name, ["a", "b", "c"]),
  retries: (name) => of(name, ["r"]),
  children: (name) => of(name, ["x2", "y2", "z2"]),
  polls: (name) => of(name, ["3"]),
  asks: (name, answer) => [`a of ${name}`, JSON.parse(answer ?? "null"), `b of ${name}`],
  invokes: (name) => [`a of ${name}`, ...of(`${name}-target`, ["a", "b", "c"]), `b of ${name}`],
  calls: (name) => [`a of ${name}`, name, `b of ${name}`]
}

const kinds = Object.keys(expected)

describe("an engine that is killed", () => {
  it(`${KILLS} times, with ${EXECUTIONS} executions (seed ${SEED})`, async () => {
    const random = makeRandom(SEED)
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "killed-"))
    const filename = path.join(folder, "store.sqlite")
    const journal = path.join(folder, "journal")
    fs.writeFileSync(journal, "")
    const records: Array<ReadonlyMap<string, number>> = []
    let running: ReturnType<typeof startHost> | undefined
    try {
      for (let generation = 0; generation < KILLS; generation++) {
        const host = (running = startHost(
          filename,
          journal,
          generation,
          Math.ceil((EXECUTIONS * (generation + 1)) / KILLS)
        ))
        // Most die at work, the first one certainly; some while they start and recover.
        if (generation === 0 || random() < 0.75) await host.up
        if (generation === 0) await firstRun(journal)
        await sleep(random() * 200)
        assert.strictEqual(host.child.exitCode, null, host.output())
        host.child.kill("SIGKILL")
        await host.closed
        records.push(acknowledged(filename))
      }
      const last = (running = startHost(filename, journal, KILLS, EXECUTIONS))
      await Promise.race([last.done, sleep(240_000)])
      assert.include(last.output(), "done", last.output())
      last.child.stdin.end()
      await last.closed
      assert.strictEqual(last.child.exitCode, 0, last.output())
    } finally {
      running?.child.kill("SIGKILL")
      await running?.closed
    }

    const lines = fs
      .readFileSync(journal, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(" "))

    // No step ran again that the file had or that its workflow knew the outcome of, and none twice in one process.
    const ran = new Set<string>()
    const recorded = new Set<string>()
    for (const [generation = "", what, execution, step, attempt] of lines) {
      if (what === "recorded") recorded.add(`${execution} ${step}`)
      if (what !== "run") continue
      assert.isFalse(recorded.has(`${execution} ${step}`), `ran again after its outcome: ${execution} ${step}`)
      const line = `${generation} ${execution} ${step} ${attempt}`
      assert.isFalse(ran.has(line), `ran twice: ${line}`)
      ran.add(line)
      const known = Number(generation) === 0 ? undefined : records[Number(generation) - 1]
      const closed = known?.get(`${execution} ${step}`) ?? 0
      assert.isAbove(Number(attempt), closed, `ran again although it was on record: ${line}`)
    }

    await Effect.runPromise(
      Effect.gen(function* () {
        const store = yield* Store.ExecutionStore
        const executions = new Map((yield* store.list({})).map((execution) => [execution.name, execution]))

        // Nothing that was acknowledged is lost: starts, and answers of callbacks.
        const answers = new Map<string, string>()
        for (const [, what, execution = "", text = ""] of lines) {
          if (what === "started") assert.strictEqual(executions.get(execution)?.arn, text, execution)
          if (what === "answered") {
            assert.isFalse(answers.has(execution), `${execution} was answered twice`)
            answers.set(execution, text)
          }
        }

        let crashes = 0
        for (let i = 0; i < EXECUTIONS; i++) {
          const kind = kinds[i % kinds.length]!
          const execution = executions.get(`${kind}-${i}`)
          assert.isDefined(execution, `${kind}-${i}`)
          const { arn, name, result } = execution
          const operations = Option.getOrThrow(yield* store.load(arn)).operations.map(({ operation }) => operation)
          const answer = operations.find(({ Type }) => Type === "CALLBACK")?.CallbackDetails?.Result
          if (answers.has(name)) assert.strictEqual(answer, answers.get(name), name)
          assert.deepStrictEqual(JSON.parse(result ?? "null"), expected[kind]!(name, answer), name)
          const history = yield* store.history(arn)
          const types = history.map(({ EventType }) => EventType)
          assert.deepStrictEqual(
            history.map(({ EventId }) => EventId),
            history.map((_, index) => index + 1)
          )
          assert.lengthOf(
            types.filter((type) => type.startsWith("Execution")),
            2,
            name
          )
          for (const error of history.flatMap((event) => event.InvocationCompletedDetails?.Error?.Payload ?? [])) {
            assert.strictEqual(error.ErrorType, "Runtime.ExitError", name)
            crashes += 1
          }
        }
        // Targets of chained invokes are executions, too, and each was started once.
        const targets = [...executions.values()].filter(({ caller }) => caller !== undefined)
        assert.lengthOf(
          targets,
          Array.from({ length: EXECUTIONS }).filter((_, i) => kinds[i % kinds.length] === "invokes").length
        )
        assert.strictEqual(executions.size, EXECUTIONS + targets.length)
        assert.isAbove(crashes, 0, "no kill has met an invocation")
      }).pipe(Effect.provide(SqliteStore.layer({ filename })))
    )
    fs.rmSync(folder, { recursive: true })
  })
})
