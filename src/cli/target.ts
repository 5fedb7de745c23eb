/**
 * Where commands go: the local engine, which leaves its address in a file while it runs, or AWS.
 */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DurableClient from "../DurableClient.ts"
import { badUsage, type CallError, CommandFailed, EXIT, fromCall, type Place, unreachable } from "./failures.ts"
import { toggle } from "./terminal.ts"

// ---- flags ---------------------------------------------------------------------------------------

/** `--aws`: AWS Lambda, with profile and region from the environment. */
export const Aws = GlobalFlag.Setting("aws")({
  flag: toggle("aws", "Talk to AWS Lambda, with AWS_PROFILE and AWS_REGION from the environment")
})

/** `--endpoint`: an engine somewhere else. */
export const Endpoint = GlobalFlag.Setting("endpoint")({
  flag: Flag.String("endpoint").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription(
      "The local engine's URL. Default: EFFECT_DURABLE_LAMBDA_ENDPOINT, else what runs in this folder"
    ),
    Flag.optional
  )
})

/** The environment variable that names the local engine's URL. */
export const ENDPOINT_VARIABLE = "EFFECT_DURABLE_LAMBDA_ENDPOINT"

// ---- the file ------------------------------------------------------------------------------------

/** The folder that `dev` keeps its data in, unless told otherwise. */
export const FOLDER = ".durable"
const FILE = "server.json"

const Running = Schema.fromJsonString(Schema.Struct({ url: Schema.String, pid: Schema.Int }))

/** An engine that runs, or has been killed. */
export type Running = typeof Running.Type

const decode = Schema.decodeUnknownOption(Running)

const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])$/

/** Only loopback: a folder that came from elsewhere does not tell this program whom to send payloads to. */
const isLocal = ({ url }: Running) => {
  const parsed = URL.parse(url)
  return parsed?.protocol === "http:" && LOOPBACK.test(parsed.hostname)
}

/** The engine that a folder's file names. */
export const read = (folder: string): Running | undefined => {
  const file = path.join(folder, FILE)
  const text = fs.statSync(file, { throwIfNoEntry: false })?.isFile() === true ? fs.readFileSync(file, "utf8") : ""
  return Option.getOrUndefined(Option.filter(decode(text), isLocal))
}

/** Whether a process with this id is there. */
export const isAlive = ({ pid }: Running): boolean => {
  // try: the platform's way to say that there is none
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** Leaves the address of this process's engine in a folder, until the scope closes. */
export const announce = (folder: string, running: Running) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const file = path.join(folder, FILE)
      const draft = `${file}.${running.pid}`
      fs.writeFileSync(draft, `${JSON.stringify(running)}\n`, { mode: 0o600 })
      fs.renameSync(draft, file)
    }),
    () =>
      Effect.sync(() => {
        // another one may have come after a kill
        if (read(folder)?.pid === running.pid) fs.rmSync(path.join(folder, FILE), { force: true })
      })
  )

/** Finds the file here or in a folder above, as git finds its own. */
const findUpwards = (from: string): Running | undefined => {
  for (let folder = from; ; folder = path.dirname(folder)) {
    const found = read(path.join(folder, FOLDER))
    if (found !== undefined || folder === path.dirname(folder)) return found
  }
}

// ---- the target ----------------------------------------------------------------------------------

/** Where the commands of this run go. */
export class Target extends Context.Service<Target, Place>()("effect-durable-lambda/cli/Target") {}

const url = (text: string, from: string) => {
  const parsed = URL.parse(text)
  return parsed !== null && /^https?:$/.test(parsed.protocol)
    ? Effect.succeed(text.replace(/\/+$/, ""))
    : Effect.fail(badUsage(`${from} is no URL: "${text}". Write it as http://127.0.0.1:9014.`))
}

const local = Effect.gen(function* () {
  const flag = yield* Endpoint
  if (Option.isSome(flag)) return yield* url(flag.value, "--endpoint")
  const variable = process.env[ENDPOINT_VARIABLE] ?? ""
  if (variable !== "") return yield* url(variable, ENDPOINT_VARIABLE)
  const found = findUpwards(process.cwd())
  if (found !== undefined && isAlive(found)) return found.url
  return yield* Effect.fail(
    unreachable(
      "No local engine runs in this folder: start one with `effect-durable-lambda dev FILE`, name one with --endpoint URL, or use --aws."
    )
  )
})

const place = Effect.gen(function* () {
  if (!(yield* Aws)) return { _tag: "Local", url: yield* local } as const
  if (Option.isSome(yield* Endpoint)) {
    return yield* Effect.fail(badUsage("--aws and --endpoint exclude each other: leave one out."))
  }
  return { _tag: "Aws" } as const
})

const client = (target: Place): Layer.Layer<DurableClient.DurableClient> =>
  target._tag === "Aws" ? DurableClient.layer : DurableClient.layerEndpoint({ endpoint: target.url })

/** A signal that asks this process to end. While somebody waits for one, it does not end by itself. */
export const signal: Effect.Effect<"SIGINT" | "SIGTERM" | "SIGHUP"> = Effect.callback((resume) => {
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const
  const came = (name: NodeJS.Signals) => resume(Effect.succeed(name as (typeof names)[number])) // of those listened to
  for (const name of names) process.on(name, came)
  return Effect.sync(() => {
    for (const name of names) process.off(name, came)
  })
})

/** Runs what talks to an engine: finds it, and makes its failures those of a command. Ctrl-C ends it. */
export const onTarget = <A, R>(effect: Effect.Effect<A, CallError | CommandFailed, R>) =>
  Effect.flatMap(place, (target) =>
    effect.pipe(
      Effect.provide(Layer.merge(client(target), Layer.succeed(Target, target))),
      Effect.mapError(fromCall(target)),
      Effect.raceFirst(
        Effect.flatMap(signal, () => Effect.fail(new CommandFailed({ exitCode: EXIT.interrupted, message: "" })))
      )
    )
  )
