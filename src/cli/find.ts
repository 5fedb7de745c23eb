/**
 * Which execution, which function: what people write, and what it stands for.
 */
import * as Argument from "effect/cli/Argument"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import * as DurableClient from "../DurableClient.ts"
import type * as DurableError from "../DurableError.ts"
import * as Protocol from "../Protocol.ts"
import { badUsage, CommandFailed, EXIT, nobodyAt } from "./failures.ts"
import { Target } from "./target.ts"
import { safe } from "./terminal.ts"

// ---- functions -----------------------------------------------------------------------------------

/** A shell puts a variable in the place of `$LATEST`, unless it is quoted. */
const unquoted = badUsage("The shell has taken $LATEST for a variable of its own: put what has it in single quotes.")

/** A function with its version: the local engine's is `$LATEST`, AWS wants to be told. */
export const qualified = (name: string): Effect.Effect<string, CommandFailed, Target> =>
  Effect.flatMap(Target, (target) => {
    if (name.endsWith(":")) return Effect.fail(unquoted)
    const isQualified = name.startsWith("arn:") ? name.split(":").length > 7 : name.includes(":")
    if (isQualified) return Effect.succeed(name)
    return target._tag === "Local"
      ? Effect.succeed(`${name}:$LATEST`)
      : Effect.fail(
          badUsage(
            `AWS starts durable functions by a version or an alias only: write ${safe(name)}:ALIAS, such as ${safe(name)}:live.`
          )
        )
  })

/** The name of the function in the ARN of a function or an execution. */
export const functionName = (arn: string): string => /:function:([^:/]+)/.exec(arn)?.[1] ?? arn

// ---- executions ----------------------------------------------------------------------------------

/** An execution, as an argument. */
export const execution = Argument.String("execution").pipe(
  Argument.withDescription("An ARN, FUNCTION/NAME or (local engine) NAME. Default, local engine only: the newest"),
  Argument.optional
)

/** As `execution`, without a default: for what changes something. */
export const thisExecution = Argument.String("execution").pipe(
  Argument.withDescription("An ARN, FUNCTION/NAME or (local engine) NAME")
)

const Listing = Schema.fromJsonString(
  Schema.Struct({
    DurableExecutions: Schema.Array(
      Schema.Struct({
        DurableExecutionArn: Schema.String,
        DurableExecutionName: Schema.String,
        FunctionArn: Schema.String,
        Status: Schema.String as Schema.Codec<Protocol.AnyExecutionStatus, string>,
        StartTimestamp: Protocol.Timestamp,
        EndTimestamp: Protocol.Timestamp
      })
    ),
    NextMarker: Schema.optionalKey(Schema.String)
  })
)
const readListing = Schema.decodeUnknownEffect(Listing)

const getText = (url: URL): Effect.Effect<string, CommandFailed> =>
  Effect.callback((resume, signal) => {
    const failed = (error: NodeJS.ErrnoException) =>
      resume(Effect.fail(nobodyAt(url.origin, error.code ?? error.message)))
    http
      .get(url, { signal, agent: false }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", failed)
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString()
          resume(
            response.statusCode === 200
              ? Effect.succeed(text)
              : Effect.fail(
                  new CommandFailed({
                    exitCode: EXIT.refused,
                    message: `What answers at ${url.origin} is no engine of this library: HTTP ${response.statusCode}.`
                  })
                )
          )
        })
      })
      .on("error", failed)
  })

/** Whether an engine is there. */
export const answers = (url: string): Effect.Effect<boolean> =>
  Effect.map(Effect.timeoutOption(Effect.exit(getText(new URL("/health", url))), "2 seconds"), (exit) =>
    Option.isSome(Option.filter(exit, Exit.isSuccess))
  )

/** The executions of all functions, newest first: AWS's API has no such call, the local engine does. */
const listAll = (url: string, { name, reverse, startedAfter, startedBefore, status }: DurableClient.ListOptions) =>
  Stream.paginate("", (marker) => {
    const query = {
      DurableExecutionName: name,
      Statuses: status,
      StartedAfter: startedAfter && String(startedAfter.epochMilliseconds),
      StartedBefore: startedBefore && String(startedBefore.epochMilliseconds),
      ReverseOrder: reverse === true ? "true" : undefined,
      MaxItems: "1000",
      Marker: marker === "" ? undefined : marker
    }
    const asked = new URL("/2025-12-01/durable-executions", url)
    for (const [key, value] of Object.entries(query)) if (value !== undefined) asked.searchParams.set(key, value)
    return getText(asked).pipe(
      Effect.flatMap((text) =>
        Effect.mapError(
          readListing(text),
          ({ message }) =>
            new CommandFailed({
              exitCode: EXIT.refused,
              message: `What answers at ${url} is no engine of this library: ${message}`
            })
        )
      ),
      Effect.map(
        ({ DurableExecutions, NextMarker }) => [DurableExecutions, Option.fromUndefinedOr(NextMarker)] as const
      )
    )
  })

type Listed = Stream.Stream<
  DurableClient.ExecutionSummary,
  DurableError.FunctionNotFound | DurableError.ClientFailed | CommandFailed,
  DurableClient.DurableClient | Target
>

/** The executions of a function, or of all functions. */
export const list = (name: string | undefined, options: DurableClient.ListOptions): Listed =>
  Stream.unwrap(
    Effect.map(Target, (target): Listed => {
      if (name !== undefined) return DurableClient.list(name, options)
      return target._tag === "Local"
        ? listAll(target.url, options)
        : Stream.fail(badUsage("AWS lists the executions of one function: name it."))
    })
  )

const notFound = (message: string) => new CommandFailed({ exitCode: EXIT.notFound, message })

/** Finds the execution that is meant, and gives its ARN. */
export const resolve = Effect.fnUntraced(function* (
  written: string | undefined
): Effect.fn.Return<
  string,
  CommandFailed | DurableError.FunctionNotFound | DurableError.ClientFailed,
  DurableClient.DurableClient | Target
> {
  if (written?.includes(":/durable-execution/") === true) return yield* Effect.fail(unquoted)
  if (written?.startsWith("arn:") === true) return written
  const target = yield* Target
  if (written === undefined) {
    if (target._tag === "Aws") return yield* Effect.fail(badUsage("Name the execution: its ARN, or FUNCTION/NAME."))
    const [newest] = yield* Stream.runCollect(Stream.take(list(undefined, {}), 1))
    return newest === undefined
      ? yield* Effect.fail(notFound("There is no execution yet: `effect-durable-lambda start NAME` starts one."))
      : newest.DurableExecutionArn
  }
  const [, inFunction, name = written] = /^(.+)\/([^/]+)$/.exec(written) ?? []
  if (inFunction === undefined && target._tag === "Aws") {
    return yield* Effect.fail(badUsage(`"${safe(written)}" is no ARN: on AWS write that, or FUNCTION/NAME.`))
  }
  const found = yield* Stream.runCollect(Stream.take(list(inFunction, { name }), 2))
  const [first, second] = found
  if (first === undefined) {
    const where = inFunction === undefined ? "" : ` of function "${safe(inFunction)}"`
    return yield* Effect.fail(
      notFound(`There is no execution "${safe(name)}"${where}: \`effect-durable-lambda list\` shows what there is.`)
    )
  }
  if (second !== undefined && functionName(first.FunctionArn) !== functionName(second.FunctionArn)) {
    return yield* Effect.fail(
      badUsage(
        `Several functions have an execution "${safe(name)}": write ${functionName(first.FunctionArn)}/${safe(name)} or ${functionName(second.FunctionArn)}/${safe(name)}.`
      )
    )
  }
  return first.DurableExecutionArn
})

// ---- JSON ----------------------------------------------------------------------------------------

/** Refuses what is not JSON, before anything is sent. */
export const checkJson = (text: string, what: string): Effect.Effect<string, CommandFailed> =>
  Result.match(
    Result.try(() => JSON.parse(text) as unknown),
    {
      onFailure: (error) =>
        Effect.fail(
          badUsage(
            `${what} is not JSON: ${error instanceof Error ? error.message : String(error)}. Quote it for the shell: '{"id":"7"}', and a text as '"text"'.`
          )
        ),
      onSuccess: () => Effect.succeed(text)
    }
  )
