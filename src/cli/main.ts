/**
 * The command line: its commands, how they are run, and how it ends.
 */
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import * as fs from "node:fs"
import { callback } from "./callback.ts"
import { dev } from "./dev.ts"
import * as executions from "./executions.ts"
import { CommandFailed, EXIT } from "./failures.ts"
import { Aws, Endpoint } from "./target.ts"
import { hasColors, Json, note, paintFor, safeLines } from "./terminal.ts"

const NAME = "effect-durable-lambda"

const root = Command.make(NAME).pipe(
  Command.withDescription("AWS Lambda durable functions: run them here, start executions and see what they do"),
  Command.withSubcommands([dev, ...executions.commands, callback]),
  Command.withGlobalFlags([Json, Aws, Endpoint]),
  Command.withExamples([
    { command: "effect-durable-lambda dev order.ts", description: "Run functions on a local engine" },
    { command: `effect-durable-lambda start process-order --payload '{"id":"7"}' --wait` },
    { command: "effect-durable-lambda tree", description: "What the newest execution does" },
    { command: "effect-durable-lambda list process-order:live --aws" }
  ])
)

// ---- what Effect's command line asks of its host ---------------------------------------------------

/** It runs no processes, reads no files and asks nobody: the wizard and file flags are not used. */
const unused = Effect.die("not used")

const host = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Stdio.layerTest({}),
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(process.stdout.columns ?? 80),
      rows: Effect.succeed(process.stdout.rows ?? 24),
      size: unused,
      readInput: unused,
      readLine: unused,
      display: (text) => Effect.sync(() => void process.stdout.write(text))
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => unused)
  ),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
)

/** Help goes to stdout where it was asked for; what is wrong is said on stderr, in a sentence. */
const presenter = (formatter: CliOutput.Formatter): CliOutput.Presenter => ({
  present: (event) =>
    Effect.sync(() => {
      switch (event._tag) {
        case "Help":
          return void process.stdout.write(`${formatter.formatHelpDoc(event.helpDoc)}\n`)
        case "Version":
          return void process.stdout.write(`${event.version}\n`)
        case "InvalidInvocation": {
          const paint = paintFor(process.stderr)
          for (const { message } of event.errors)
            process.stderr.write(`${paint("red", "error:")} ${safeLines(message)}\n`)
          process.stderr.write(`See \`${event.commandPath.join(" ")} --help\`.\n`)
        }
      }
    })
})

/** The version, from the package's own description, two folders up in the sources and in what is published. */
const version = (): string => {
  const { version } = JSON.parse(fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    readonly version: string
  }
  return version
}

// ---- running -------------------------------------------------------------------------------------

/** The exit code of a failure, which is explained first. */
const explain = (error: CommandFailed | CliError.CliError): Effect.Effect<number> => {
  if (error instanceof CommandFailed) {
    const said =
      error.message === ""
        ? Effect.void
        : note(`${paintFor(process.stderr)("red", "error:")} ${safeLines(error.message)}`)
    return Effect.as(said, error.exitCode)
  }
  // its presenter has said it
  return Effect.succeed(error._tag === "ShowHelp" && error.errors.length === 0 ? EXIT.ok : EXIT.badUsage)
}

const fault = (cause: Cause.Cause<unknown>): Effect.Effect<number> =>
  Effect.as(
    note(`error: this is a fault of ${NAME} ${version()}, please report it:\n${Cause.pretty(cause)}`),
    EXIT.fault
  )

/** Runs a command line, and gives the exit code. */
export const run = (args: ReadonlyArray<string>): Effect.Effect<number> => {
  const formatter = CliOutput.defaultFormatter({ colors: hasColors(process.stdout) })
  return Command.runWith(root, { version: version() })(args).pipe(
    Effect.provide(Layer.mergeAll(host, CliOutput.layer(formatter), CliOutput.layerPresenter(presenter(formatter)))),
    Effect.matchCauseEffect({
      onSuccess: () => Effect.succeed(EXIT.ok),
      onFailure: (cause) =>
        Option.match(Cause.findErrorOption(cause), {
          onSome: explain,
          onNone: () => (Cause.hasInterruptsOnly(cause) ? Effect.succeed(EXIT.interrupted) : fault(cause))
        })
    })
  )
}

/** Node says that its SQLite is experimental; who runs this program cannot do anything about it. */
const quiet = () => {
  process.removeAllListeners("warning")
  process.on("warning", (warning) => {
    if (warning.name !== "ExperimentalWarning") process.stderr.write(`${warning.name}: ${warning.message}\n`)
  })
}

/** Runs a command line, and ends the process. */
export const main = (args: ReadonlyArray<string>): void => {
  quiet()
  // who reads only the beginning (`| head`) has seen enough
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.fault)
  )
  Effect.runFork(run(args)).addObserver((exit) => {
    const code = Exit.isSuccess(exit) ? exit.value : EXIT.fault
    // what was written leaves first
    process.stdout.write("", () => process.stderr.write("", () => process.exit(code)))
  })
}
