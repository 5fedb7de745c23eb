import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Import, importsOf, lineOf, parse, type Source, walk } from "../scripts/source.ts"

// ---- the floors ------------------------------------------------------------------------------------
//
// Imports go to the same floor or down. The SDK tower runs inside Lambda, the engine tower behaves like Lambda's
// service: they share floors 0 to 2 and never import each other. The first pattern that fits decides;
// `*` is any name, `**` any path.

type Tower = "ground" | "sdk" | "engine" | "both"

const floors: ReadonlyArray<readonly [floor: number, tower: Tower, files: string]> = [
  [8, "both", "index"],
  [7, "both", "cli/** bin dev/**"],
  [6, "both", "testing/**"],

  [5, "sdk", "DurableHandler DurableClient internal/answer internal/clientCalls internal/executionEnd"],
  [4, "sdk", "Durable DurableFunction DurableLogger DurableTracer DurableMetrics operations/** internal/tracing/**"],
  [4, "engine", "engine/**"],
  [3, "sdk", "DurableContext CurrentExecution StepServices internal/core/**"],

  [
    2,
    "ground",
    "DurableExecutionClient CheckpointService DurablePlugin internal/aws internal/awsBundled internal/observe internal/observer internal/pluginModules"
  ],
  [
    1,
    "ground",
    "BatchResult DurableError Serdes Serdes* Redact KeyProvider KeyProviderKms PayloadStore* internal/awsCall internal/bytes internal/seal internal/operationError internal/operationId internal/requestSize internal/completion internal/random internal/retry internal/retries internal/failure internal/warn internal/acknowledged internal/hooks internal/options internal/views internal/whenEnded internal/inTime internal/line"
  ],
  [0, "ground", "Protocol History internal/wire internal/decode internal/envelope"]
]

/** Who may import what from outside. A module that is not listed here is free to all. */
const restricted: ReadonlyArray<readonly [specifier: RegExp, files: string, advice: string]> = [
  [
    /^@aws-sdk\/client-lambda/,
    "internal/aws internal/awsBundled DurableExecutionClient",
    "AWS's client is known in one place per direction, so that tests and the engine never load it"
  ],
  [
    /^node:/,
    "internal/operationId internal/seal SerdesStack SerdesGzip SerdesClaimCheck PayloadStoreFiles PayloadStoreS3 DurableHandler engine/SqliteStore testing/** dev/** cli/** bin",
    "the library runs without Node's modules"
  ],
  [/^effect$/, "", 'import the module, `import * as Effect from "effect/Effect"`: bundlers cannot shake the barrel'],
  [/^effect-durable-lambda/, "", "inside src, import relatively"]
]

/**
 * What needs a reason: a comment on the same line or the one before; it covers the lines that follow, as long as
 * each of them has the same thing. An `any` between angle brackets is Effect's way to say "whatever" and needs none.
 */
const discouraged: ReadonlyArray<readonly [pattern: RegExp, what: string, advice: string]> = [
  [/\bas any\b|:\s*any\b/g, "any", "use `unknown`, or say in a comment why any is right here"],
  [/\basync\b(?!\s*[:,)=?]|\.)/g, "async", "use Effect, or say in a comment why a promise is right here"],
  [/\btry\s*\{/g, "try", "use Effect.try or Schema, or say in a comment why try is right here"]
]

/**
 * Each call of a function that holds one makes a generator function, and V8 a hidden class for it that leads to all that is
 * around it, and that only a full collection frees: see test/garbage.test.ts.
 */
const perInvocation: typeof discouraged = [
  [
    /\bEffect\.gen\(/g,
    "Effect.gen",
    "use Effect.fnUntraced(function* (...) {...}), which makes its generator function once"
  ]
]

/** Where those are made once in a process, or by who starts executions, or in a process of one's own. */
const once =
  "SerdesStack DurableClient KeyProviderKms DurablePlugin internal/pluginModules engine/** dev/** cli/** testing/** bin"

/** What never occurs, reason or not. */
const forbidden: ReadonlyArray<readonly [pattern: RegExp, what: string, advice: string]> = [
  [/\bDate\.now\(/g, "Date.now()", "time comes from Clock"],
  [/\bnew Date\(\s*\)/g, "new Date()", "time comes from Clock"],
  [/\bMath\.random\(/g, "Math.random()", "chance comes from Random"]
]

// ---- reading src -------------------------------------------------------------------------------------

interface Module {
  /** Path below src, without extension. */
  readonly name: string
  readonly source: Source
  readonly imports: ReadonlyArray<Import>
}

const src = path.resolve(import.meta.dirname, "../src")
const modules: ReadonlyMap<string, Module> = new Map(
  walk(src)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => {
      const name = path.relative(src, file).replace(/\.ts$/, "")
      const source = parse(fs.readFileSync(file, "utf8"))
      return [name, { name, source, imports: importsOf(source) }]
    })
)

const matches = (files: string, name: string): boolean =>
  files
    .split(" ")
    .some((glob) => new RegExp(`^${glob.replace(/\*\*|\*/g, (star) => (star === "*" ? "[^/]*" : ".*"))}$`).test(name))

const place = (name: string) => {
  const row = floors.find(([, , files]) => matches(files, name))
  return row && { floor: row[0], tower: row[1] }
}

/** The module below src that a relative import means. */
const target = (from: string, specifier: string): string =>
  path.posix.normalize(path.posix.join(path.posix.dirname(from), specifier)).replace(/\.ts$/, "")

const at = (name: string, line: number) => `src/${name}.ts:${line}`

const none = (problems: ReadonlyArray<string>) =>
  assert.isTrue(problems.length === 0, `\n${problems.map((problem) => `  ${problem}`).join("\n")}\n`)

const eachImport = (f: (module: Module, one: Import) => string | undefined): ReadonlyArray<string> =>
  [...modules.values()].flatMap((module) => module.imports.flatMap((one) => f(module, one) ?? []))

const eachMatch = (
  patterns: typeof forbidden,
  excused: (module: Module, line: number) => boolean
): ReadonlyArray<string> =>
  [...modules.values()].flatMap((module) =>
    patterns.flatMap(([pattern, what, advice]) => {
      const { code, text } = module.source
      const lines = new Set([...code.matchAll(pattern)].map((match) => lineOf(text, match.index)))
      const isExcused = (line: number): boolean =>
        excused(module, line) || excused(module, line - 1) || (lines.has(line - 1) && isExcused(line - 1))
      return [...lines].filter((line) => !isExcused(line)).map((line) => `${at(module.name, line)} ${what}: ${advice}`)
    })
  )

// ---- the rules ---------------------------------------------------------------------------------------

describe("architecture", () => {
  it("every module stands on a floor", () => {
    none(
      [...modules.keys()].flatMap((name) =>
        place(name)
          ? []
          : `src/${name}.ts is on no floor: add it to the table in test/architecture.test.ts, on the lowest floor above what it imports`
      )
    )
  })

  it("imports go to the same floor or down", () => {
    none(
      eachImport((module, { specifier, line }) => {
        if (!specifier.startsWith(".")) return undefined
        const name = target(module.name, specifier)
        // the page's modules are JavaScript, and import nothing but each other
        if (/^dev\/page\/\w+\.js$/.test(name) && fs.existsSync(path.join(src, name))) return undefined
        if (!modules.has(name)) return `${at(module.name, line)} imports ${specifier}, which does not exist`
        const from = place(module.name)
        const to = place(name)
        if (!from || !to || to.floor <= from.floor) return undefined
        return `${at(module.name, line)} (floor ${from.floor}) imports ${name} (floor ${to.floor}): move what is needed down, or this up`
      })
    )
  })

  it("the two towers never import each other", () => {
    none(
      eachImport((module, { specifier, line }) => {
        if (!specifier.startsWith(".")) return undefined
        const name = target(module.name, specifier)
        const towers = [place(module.name)?.tower, place(name)?.tower]
        if (!(towers.includes("sdk") && towers.includes("engine"))) return undefined
        return `${at(module.name, line)} (${towers[0]}) imports ${name} (${towers[1]}): share it on floors 0 to 2, or write it twice`
      })
    )
  })

  it("no cycles, types included", () => {
    const problems: Array<string> = []
    const done = new Set<string>()
    const trail: Array<string> = []
    const visit = (name: string) => {
      if (trail.includes(name)) {
        const cycle = [...trail.slice(trail.indexOf(name)), name]
        problems.push(`cycle: ${cycle.join(" -> ")}; break it by moving what both need to a module of its own`)
      }
      if (trail.includes(name) || done.has(name)) return
      trail.push(name)
      for (const { specifier } of modules.get(name)?.imports ?? []) {
        if (specifier.startsWith(".")) visit(target(name, specifier))
      }
      trail.pop()
      done.add(name)
    }
    for (const name of modules.keys()) visit(name)
    none(problems)
  })

  it("outside modules are imported only where they belong", () => {
    none(
      eachImport((module, { specifier, line }) => {
        const rule = restricted.find(([pattern]) => pattern.test(specifier))
        if (!rule || matches(rule[1], module.name)) return undefined
        const allowed = rule[1] === "" ? "nowhere in src" : `only in ${rule[1].split(" ").join(", ")}`
        return `${at(module.name, line)} imports "${specifier}", allowed ${allowed}: ${rule[2]}`
      })
    )
  })

  it("AWS's client is loaded lazily, but in a bundle that has it", () => {
    none(
      eachImport((module, { specifier, line }) => (/awsBundled/.test(specifier) ? at(module.name, line) : undefined))
    )
    none(
      eachImport((module, { kind, line, specifier }) =>
        specifier.startsWith("@aws-sdk/client-lambda") && kind === "value" && module.name !== "internal/awsBundled"
          ? `${at(module.name, line)} loads ${specifier} at start: use \`import type\`, and import() where it is called`
          : undefined
      )
    )
  })

  it("time and chance come from Clock and Random", () => {
    // the program in the process of a function hosts the user's code, without Effect
    none(eachMatch(forbidden, ({ name }) => name === "dev/bootstrap"))
  })

  it("what runs in every invocation makes its generator functions once", () => {
    none(eachMatch(perInvocation, ({ name }) => matches(once, name)))
  })

  it("any, async and try have a comment that says why", () => {
    const commented = new Map(
      [...modules.values()].map(({ name, source }) => [
        name,
        new Set(
          source.comments.flatMap(({ start, text }) => {
            const first = lineOf(source.text, start)
            return text.split("\n").map((_, index) => first + index)
          })
        )
      ])
    )
    none(eachMatch(discouraged, ({ name }, line) => commented.get(name)!.has(line)))
  })
})
