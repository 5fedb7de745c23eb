/**
 * What functions are to run: the configuration, and where it leads.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import type * as Engine from "../engine/Engine.ts"

// ---- the configuration ---------------------------------------------------------------------------

/** A Lambda handler in this process. */
export type Handler = (event: any, context: any) => unknown // any: handlers declare what they take, and Lambda does not check it

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum })).annotate({
    expected: `a whole number between ${minimum} and ${maximum}`
  })

/** The configuration of one entry: a file with one or more functions, a handler in this process, or a URL. */
export const FunctionConfig = Schema.Struct({
  /** Default: the name of the definition, else of the export, else of the file. Only for a single function. */
  name: Schema.optional(Schema.String),
  /** `orders.ts` for all functions that it exports, `orders.ts#process` or `orders.process` for one. */
  file: Schema.optional(Schema.String),
  /** A handler that runs in this process. */
  handler: Schema.optional(
    Schema.declare((value): value is Handler => typeof value === "function", { expected: "a function" })
  ),
  /** Where events are posted: a URL, or just the address of Lambda's Runtime Interface Emulator. */
  url: Schema.optional(Schema.String),
  /** Whether it is a durable function. Default true. */
  durable: Schema.optional(Schema.Boolean),
  /** How long one invocation may take. Default 900. */
  timeoutSeconds: Schema.optional(between(1, 900)),
  /** How long an execution may take. Default 366 days. */
  executionTimeoutSeconds: Schema.optional(between(1, 31_622_400)),
  /** After so many failed invocations in a row, beyond the first, the execution fails. Default: the engine's. */
  retries: Schema.optional(between(0, 1_000_000)),
  /** How many of its invocations run at a time, each in a process of its own. The others wait. Default 10. */
  concurrency: Schema.optional(between(1, 1_000)),
  /** What `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` says. Nothing enforces it. Default 128. */
  memoryMegabytes: Schema.optional(between(128, 10_240)),
  /** Environment variables of its processes. */
  env: Schema.optional(Schema.Record(Schema.String, Schema.String))
})

/** The configuration of one entry. */
export type FunctionConfig = typeof FunctionConfig.Type

/**
 * A configuration that cannot be served; it says why, for all of its entries.
 * @see [Troubleshooting](../../docs/troubleshooting.md#invalidfunctions)
 */
export class InvalidFunctions extends Data.TaggedError("InvalidFunctions")<{
  readonly problems: ReadonlyArray<string>
}> {
  override get message() {
    return this.problems.length === 1
      ? `This function cannot be served: ${this.problems[0]}`
      : `These functions cannot be served:\n${this.problems.map((problem) => `- ${problem}`).join("\n")}`
  }
}

/** A problem of one entry. */
export const invalid = (problem: string) => new InvalidFunctions({ problems: [problem] })

// ---- where it leads ------------------------------------------------------------------------------

/** Where a function's code is. */
export type Source =
  | { readonly _tag: "File"; readonly file: string; readonly exported: string | undefined }
  | { readonly _tag: "Handler"; readonly handler: Handler }
  | { readonly _tag: "Url"; readonly url: string }

/** One entry, checked. */
export interface Entry {
  readonly config: FunctionConfig
  readonly source: Source
}

const EXTENSIONS = [".mjs", ".js", ".cjs", ".ts", ".mts", ".cts"]

const isFile = (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() === true

/** Finds a handler's file as it is written: with `#` and an export, as Lambda writes it (`file.export`), or alone. */
const findFile = (text: string): Effect.Effect<Source, InvalidFunctions> => {
  const [, name = text, exported] = /^(.*?)#([^#]*)$/.exec(text) ?? []
  const file = path.resolve(name)
  if (isFile(file)) {
    if (!EXTENSIONS.includes(path.extname(file))) {
      return Effect.fail(
        invalid(`"${name}" is no JavaScript or TypeScript file: its name must end in ${EXTENSIONS.join(", ")}.`)
      )
    }
    return exported === ""
      ? Effect.fail(invalid(`"${text}" names no export: write it after the #, or leave out the #.`))
      : Effect.succeed({ _tag: "File", file: fs.realpathSync(file), exported })
  }
  const [, base, rest] = exported === undefined ? (/^(.*[^./])\.([\w$.]+)$/.exec(text) ?? []) : []
  const found = EXTENSIONS.map((extension) => path.resolve(`${base}${extension}`)).find(isFile)
  return found !== undefined && rest !== undefined
    ? Effect.succeed({ _tag: "File", file: fs.realpathSync(found), exported: rest })
    : Effect.fail(invalid(`There is no file "${file}".`))
}

/** The path that Lambda's Runtime Interface Emulator serves. */
const EMULATED = "/2015-03-31/functions/function/invocations"

const findUrl = (text: string): Effect.Effect<Source, InvalidFunctions> => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return Effect.fail(invalid(`"${text}" is no URL: write it as http://localhost:9000.`))
  }
  if (url.pathname === "/") url.pathname = EMULATED
  return Effect.succeed({ _tag: "Url", url: url.href })
}

const decode = Schema.decodeUnknownEffect(FunctionConfig, { onExcessProperty: "error", errors: "all" })

const find = (config: FunctionConfig): Effect.Effect<Source, InvalidFunctions> => {
  const { file, handler, url } = config
  if ([file, handler, url].filter((one) => one !== undefined).length !== 1) {
    return Effect.fail(invalid("It needs one of `file`, `handler` and `url`."))
  }
  if (file !== undefined) return findFile(file)
  return handler === undefined ? findUrl(url ?? "") : Effect.succeed({ _tag: "Handler", handler })
}

const nameOf = (input: unknown, index: number) => {
  const { file, name, url } = Object(input) as Record<string, unknown>
  const text = [name, file, url].find((one) => typeof one === "string")
  return text === undefined ? `entry ${index + 1}` : `entry ${index + 1} ("${String(text)}")`
}

/** Does something for all of a list, and fails with all that went wrong. */
export const all = <A, B, R>(
  items: ReadonlyArray<A>,
  f: (item: A, index: number) => Effect.Effect<B, InvalidFunctions, R>
): Effect.Effect<ReadonlyArray<B>, InvalidFunctions, R> =>
  Effect.flatMap(
    Effect.forEach(items, (item, index) => Effect.result(f(item, index)), { concurrency: 2 }),
    (results) => {
      const problems = results.flatMap((result) => (result._tag === "Failure" ? result.failure.problems : []))
      return problems.length > 0
        ? Effect.fail(new InvalidFunctions({ problems }))
        : Effect.succeed(results.flatMap((result) => (result._tag === "Success" ? [result.success] : [])))
    }
  )

/** Reads a configuration: a list of entries, from a file or a program. */
export const read = (config: unknown): Effect.Effect<ReadonlyArray<Entry>, InvalidFunctions> =>
  Array.isArray(config)
    ? all<unknown, Entry, never>(config, (input, index) =>
        decode(input).pipe(
          Effect.mapError((error) => invalid(error.message)),
          Effect.flatMap((entry) => Effect.map(find(entry), (source): Entry => ({ config: entry, source }))),
          Effect.mapError(({ problems }) => invalid(`${nameOf(input, index)}: ${problems.join(" ")}`))
        )
      )
    : Effect.fail(invalid("The configuration is no list of functions."))

/** What the engine is told of a function. */
export const toOptions = (config: FunctionConfig): Engine.FunctionOptions => ({
  invocationTimeoutSeconds: config.timeoutSeconds ?? 900,
  executionTimeoutSeconds: config.executionTimeoutSeconds,
  retries: config.retries
})

const NAME = /^[a-zA-Z0-9-_]{1,64}$/

/** Refuses names that Lambda would refuse, and names that occur twice. */
export const checkNames = (names: ReadonlyArray<string>): Effect.Effect<void, InvalidFunctions> =>
  Effect.asVoid(
    all(names, (name, index) =>
      !NAME.test(name)
        ? Effect.fail(
            invalid(`"${name}" is no name for a function: 1 to 64 letters, digits, - and _. Choose one with \`name\`.`)
          )
        : names.indexOf(name) < index
          ? Effect.fail(invalid(`There are two functions of the name "${name}". Choose another with \`name\`.`))
          : Effect.void
    )
  )
