/**
 * The commands about executions: start, list, get, history, tree, stop.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as DurableClient from "../DurableClient.ts"
import { renderHistory } from "../dev/renderHistory.ts"
import { uuid } from "../engine/functions.ts"
import * as History from "../History.ts"
import { awaitEnd, hasEnded } from "../internal/executionEnd.ts"
import type * as Protocol from "../Protocol.ts"
import { badUsage, CommandFailed, EXIT } from "./failures.ts"
import * as find from "./find.ts"
import { entryOf } from "./help.ts"
import { onTarget } from "./target.ts"
import { duration, moment, note, type Paint, plain, print, progress, safe, table, toggle } from "./terminal.ts"
import * as timeline from "./timeline.ts"
import * as tree from "./tree.ts"

const optionalText = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

// ---- what is shown of an execution ---------------------------------------------------------------

// a map: AWS may call a status anything
const COLORS: ReadonlyMap<string, Parameters<Paint>[0]> = new Map([
  ["RUNNING", "blue"],
  ["SUCCEEDED", "green"],
  ["FAILED", "red"],
  ["TIMED_OUT", "red"],
  ["STOPPED", "yellow"]
])
const paintStatus = (paint: Paint, status: string) => paint(COLORS.get(status) ?? "dim", safe(status))

const errorText = (error: Protocol.ErrorObject | undefined) =>
  error === undefined
    ? undefined
    : [error.ErrorType ?? "Error", error.ErrorMessage].filter((part) => part !== undefined && part !== "").join(": ")

const describe = (execution: DurableClient.ExecutionDescription, now: number) => (paint: Paint) => {
  const { EndTimestamp: to, StartTimestamp: from, Status: status } = execution
  const rows: ReadonlyArray<readonly [string, string | undefined]> = [
    ["status", paintStatus(paint, status)],
    ["started", from === undefined ? undefined : moment(from)],
    [to === undefined ? "running" : "took", from === undefined ? undefined : duration((to ?? now) - from)],
    ["input", execution.InputPayload === undefined ? undefined : safe(execution.InputPayload)],
    ["result", execution.Result === undefined ? undefined : safe(execution.Result)],
    ["error", execution.Error && paint("red", safe(errorText(execution.Error) ?? ""))],
    ["data", execution.Error?.ErrorData === undefined ? undefined : safe(execution.Error.ErrorData)],
    ["help", entryOf(execution.Error?.ErrorType)],
    ["arn", safe(execution.DurableExecutionArn)]
  ]
  const name = `${find.functionName(execution.FunctionArn)}/${execution.DurableExecutionName}`
  return [
    paint("bold", safe(name)),
    ...rows.flatMap(([key, value]) => (value === undefined ? [] : [`  ${paint("dim", key.padEnd(8))} ${value}`]))
  ].join("\n")
}

// ---- waiting -------------------------------------------------------------------------------------

/** The last event of an execution that is looked for. */
const lastEvent = (arn: string, includeData: boolean, isIt: (event: History.Event) => boolean) =>
  Stream.runHead(Stream.filter(DurableClient.history(arn, { includeData, reverse: true }), isIt))

/** Waits for the end of an execution and shows what it is at. */
const waitFor = Effect.fnUntraced(function* (arn: string, timeout: Option.Option<Duration.Duration>) {
  const shown = progress()
  const since = yield* Clock.currentTimeMillis
  const name = arn.split("/").at(-2) ?? arn
  let known: History.Event | undefined
  const ask = Effect.gen(function* () {
    const execution = yield* DurableClient.get(arn)
    if (hasEnded(execution)) return execution
    const last = yield* lastEvent(arn, false, ({ EventType }) => EventType !== "InvocationCompleted")
    // a page of all that went before is large with its data, so it is read only for an error, and once
    if (Option.isSome(last) && last.value.EventId !== known?.EventId) {
      const { EventId: id, EventType: type } = last.value
      const whole = type.endsWith("Failed") ? yield* lastEvent(arn, true, ({ EventId }) => EventId === id) : last
      known = Option.getOrElse(whole, () => last.value)
    }
    const elapsed = duration((yield* Clock.currentTimeMillis) - since)
    const event = known === undefined ? "" : timeline.describe(known, plain)
    shown.show(event, `${safe(name)} runs, ${elapsed}: ${event}`)
    return execution
  })
  const end = yield* Effect.ensuring(
    Effect.timeoutOption(
      awaitEnd(ask, arn, DurableClient.defaultSchedule),
      Option.getOrElse(timeout, () => Duration.infinity)
    ),
    Effect.sync(() => shown.clear())
  )
  if (Option.isNone(end)) {
    return yield* Effect.fail(
      new CommandFailed({
        exitCode: EXIT.stillRunning,
        message: `The execution still runs: wait longer with \`effect-durable-lambda get '${safe(arn)}' --wait\`, or see what it waits for with \`tree\`.`
      })
    )
  }
  return end.value
})

/** How a command ends that has waited for an execution and has printed its end. */
const judge = ({ Status }: DurableClient.ExecutionDescription) =>
  Status === "SUCCEEDED" ? Effect.void : Effect.fail(new CommandFailed({ exitCode: EXIT.executionFailed, message: "" }))

const showEnd = Effect.fnUntraced(function* (execution: DurableClient.ExecutionDescription) {
  yield* print(execution, describe(execution, yield* Clock.currentTimeMillis))
  yield* judge(execution)
})

const parseDuration = (text: string): Option.Option<Duration.Duration> =>
  Option.filter(
    // whatever is no duration is refused by the parser
    Duration.fromInput((/^\d+(?:\.\d+)?$/.test(text) ? `${text} seconds` : text) as Duration.Input),
    (parsed) => Duration.toMillis(parsed) >= 0
  )

const wait = toggle("wait", "Wait for the end; the exit code is 1 when it is no success").pipe(Flag.withAlias("w"))
const timeout = Flag.String("timeout").pipe(
  Flag.withMetavar("TIME"),
  Flag.withDescription('With --wait: give up after this long ("30 seconds", "5 minutes"), with exit code 6'),
  Flag.filterMap(parseDuration, (text) => `"${text}" is no length of time: write "30 seconds" or "5 minutes"`),
  Flag.optional
)

// ---- start ---------------------------------------------------------------------------------------

/** Whether somebody pipes something in: not a terminal, nor what a service manager leaves open. */
const isPiped = (): boolean => {
  const stat = Result.getOrUndefined(Result.try(() => fs.fstatSync(0)))
  return stat !== undefined && (stat.isFIFO() || stat.isFile())
}

const readStdin = Effect.sync(() => fs.readFileSync(0, "utf8"))

const payloadOf = Effect.fnUntraced(function* (flag: Option.Option<string>) {
  const text =
    Option.isSome(flag) && flag.value !== "-" ? flag.value : Option.isSome(flag) || isPiped() ? yield* readStdin : ""
  if (text.trim() === "") return undefined
  return yield* find.checkJson(text.trim(), "The payload")
})

const start = Command.make(
  "start",
  {
    function: Argument.String("name").pipe(
      Argument.withDescription("The function; on AWS with a version or alias: process-order:live")
    ),
    payload: optionalText(
      "payload",
      "JSON",
      "The input. Default, or with -: standard input, if something is piped in"
    ).pipe(Flag.withAlias("p")),
    name: optionalText(
      "name",
      "NAME",
      "The execution's name: starting it again with the same payload finds the first one"
    ),
    wait,
    timeout
  },
  Effect.fnUntraced(function* (options) {
    if (Option.isSome(options.timeout) && !options.wait) {
      return yield* Effect.fail(badUsage("--timeout is for waiting: add --wait."))
    }
    const payload = yield* payloadOf(options.payload)
    yield* onTarget(
      Effect.gen(function* () {
        const client = yield* DurableClient.DurableClient
        const random = yield* Random.Random
        const arn = yield* client.start({
          functionName: yield* find.qualified(options.function),
          executionName: Option.getOrElse(options.name, () => uuid(random)),
          payload,
          tenantId: undefined
        })
        if (!options.wait) return yield* print({ DurableExecutionArn: arn }, () => safe(arn))
        yield* note(`started ${safe(arn)}`)
        yield* showEnd(yield* waitFor(arn, options.timeout))
      })
    )
  })
).pipe(
  Command.withDescription("Start an execution of a function"),
  Command.withExamples([
    {
      command: `effect-durable-lambda start process-order --payload '{"id":"7"}'`,
      description: "Start, print the ARN"
    },
    {
      command: `effect-durable-lambda start process-order --name order-7 --wait < order.json`,
      description: "Start with a name, wait for the result"
    },
    {
      command: `effect-durable-lambda start process-order:live --aws --payload '{"id":"7"}' --json`,
      description: "On AWS, for a script"
    }
  ])
)

// ---- list ----------------------------------------------------------------------------------------

const STATUSES = ["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"] as const

const status = Flag.ChoiceWithValue("status", [
  ...STATUSES.map((one) => [one.toLowerCase(), one] as const),
  ...STATUSES.map((one) => [one, one] as const)
]).pipe(
  Flag.withMetavar(STATUSES.map((one) => one.toLowerCase()).join("|")),
  Flag.withDescription("Only executions of this status"),
  Flag.optional
)

/** A moment: a date, or how long ago. */
const readInstant = (text: string, now: number): Option.Option<DateTime.Utc> =>
  Option.orElse(
    Option.map(parseDuration(text), (ago) => DateTime.makeUnsafe(now - Duration.toMillis(ago))),
    () => DateTime.make(text)
  )

const instant = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription(description),
    Flag.filter(
      (text) => Option.isSome(readInstant(text, 0)),
      () => `--${name} takes a date (2026-11-24, 2026-11-24T12:00:00Z) or how long ago ("10 minutes")`
    ),
    Flag.mapEffect(
      (text) => Effect.map(Clock.currentTimeMillis, (now) => Option.getOrThrow(readInstant(text, now))) // (it has been read above)
    ),
    Flag.optional
  )

const list = Command.make(
  "list",
  {
    function: Argument.String("function").pipe(
      Argument.withDescription("The function, with or without a version. Default, local engine only: all"),
      Argument.optional
    ),
    name: optionalText("name", "NAME", "Only executions of this name"),
    status,
    after: instant("after", 'Only those that started after a date, or "10 minutes" ago'),
    before: instant("before", "Only those that started before"),
    oldest: toggle("oldest-first", "The oldest first. Default: the newest"),
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("How many at most. Default 50"),
      Flag.filter(
        (limit) => limit > 0,
        (limit) => `${limit} is no number of executions`
      ),
      Flag.withDefault(50)
    )
  },
  (options) =>
    onTarget(
      Effect.gen(function* () {
        const found = yield* Stream.runCollect(
          Stream.take(
            find.list(Option.getOrUndefined(options.function), {
              name: Option.getOrUndefined(options.name),
              status: Option.getOrUndefined(options.status),
              startedAfter: Option.getOrUndefined(options.after),
              startedBefore: Option.getOrUndefined(options.before),
              reverse: options.oldest
            }),
            options.limit
          )
        )
        const now = yield* Clock.currentTimeMillis
        if (found.length === 0) yield* note("No executions.")
        yield* print(found, (paint) => {
          if (found.length === 0) return ""
          const text = table(
            found.map(({ DurableExecutionName, EndTimestamp: to, FunctionArn, StartTimestamp: from, Status }) => [
              safe(Status),
              from === undefined ? "" : moment(from),
              from === undefined ? "" : duration((to ?? now) - from),
              safe(`${find.functionName(FunctionArn)}/${DurableExecutionName}`)
            ])
          )
          return text.replace(/^\S+/gm, (status) => paintStatus(paint, status))
        })
      })
    )
).pipe(
  Command.withDescription("List executions"),
  Command.withExamples([
    { command: "effect-durable-lambda list", description: "All of the local engine, the newest first" },
    { command: 'effect-durable-lambda list process-order --status failed --after "1 hour"' },
    { command: "effect-durable-lambda list process-order:live --aws --json", description: "On AWS, for a script" }
  ])
)

// ---- get -----------------------------------------------------------------------------------------

const get = Command.make("get", { execution: find.execution, wait, timeout }, (options) =>
  onTarget(
    Effect.gen(function* () {
      if (Option.isSome(options.timeout) && !options.wait) {
        return yield* Effect.fail(badUsage("--timeout is for waiting: add --wait."))
      }
      const arn = yield* find.resolve(Option.getOrUndefined(options.execution))
      if (options.wait) return yield* showEnd(yield* waitFor(arn, options.timeout))
      const execution = yield* DurableClient.get(arn)
      yield* print(execution, describe(execution, yield* Clock.currentTimeMillis))
    })
  )
).pipe(
  Command.withDescription("Show an execution: status, times, input, result or error"),
  Command.withExamples([
    { command: "effect-durable-lambda get", description: "The newest one" },
    { command: "effect-durable-lambda get process-order/order-7 --wait --json" }
  ])
)

// ---- history -------------------------------------------------------------------------------------

const write = (file: string, text: string) =>
  Effect.try({
    // not for everybody: there are payloads in it
    try: () => fs.writeFileSync(file, text, { mode: 0o600 }),
    catch: (error) => badUsage(`${file} cannot be written: ${(error as Error).message}.`)
  })

/** The file that the testing kit's `replayHistory` and `replayFolder` read; AWS's answer is a part of it. */
const saved = (arn: string, events: ReadonlyArray<History.Event>) =>
  `${History.toJson({ DurableExecutionArn: arn, Function: find.functionName(arn), Events: events }, 2)}\n`

const history = Command.make(
  "history",
  {
    execution: find.execution,
    save: optionalText("save", "FILE", "Write it to a file, for a test that replays it (AWS's answer, with the ARN)"),
    html: optionalText("html", "FILE", "Write it to an HTML file that shows it as the web page does"),
    reverse: toggle("reverse", "The last event first"),
    noData: toggle("no-data", "Without payloads and errors")
  },
  (options) =>
    onTarget(
      Effect.gen(function* () {
        const arn = yield* find.resolve(Option.getOrUndefined(options.execution))
        const events = yield* Stream.runCollect(DurableClient.history(arn, { includeData: !options.noData }))
        const isWritten = Option.isSome(options.save) || Option.isSome(options.html)
        if (Option.isSome(options.save)) {
          yield* write(options.save.value, saved(arn, events))
          yield* note(`${events.length} events in ${options.save.value}`)
        }
        if (Option.isSome(options.html)) {
          yield* write(options.html.value, renderHistory(events))
          yield* note(`${events.length} events in ${options.html.value}`)
        }
        const shown = options.reverse ? events.toReversed() : events
        yield* print({ Events: shown }, (paint) =>
          isWritten ? "" : shown.map((event) => timeline.line(event, paint)).join("\n")
        )
      })
    )
).pipe(
  Command.withDescription("Show what has happened in an execution, event by event, or save it"),
  Command.withExamples([
    { command: "effect-durable-lambda history process-order/order-7" },
    {
      command: "effect-durable-lambda history order-7 --save order-7.json",
      description: "For a test that replays it, with today's code"
    },
    { command: "effect-durable-lambda history order-7 --html order-7.html", description: "To look at, or to send" }
  ])
)

// ---- tree ----------------------------------------------------------------------------------------

const showTree = Command.make("tree", { execution: find.execution }, ({ execution }) =>
  onTarget(
    Effect.gen(function* () {
      const arn = yield* find.resolve(Option.getOrUndefined(execution))
      const described = yield* DurableClient.get(arn)
      const events = yield* Stream.runCollect(DurableClient.history(arn))
      const now = yield* Clock.currentTimeMillis
      const read = tree.read(events)
      const heading = {
        functionName: find.functionName(described.FunctionArn),
        executionName: described.DurableExecutionName
      }
      yield* print(
        {
          DurableExecutionArn: arn,
          DurableExecutionName: heading.executionName,
          Invocations: read.invocations.length,
          ...tree.toNode(read.root, now)
        },
        (paint) => tree.format(read, heading, now, paint)
      )
      const leftOut = tree.leftOut(events)
      if (leftOut !== undefined) yield* note(leftOut)
    })
  )
).pipe(
  Command.withDescription("Show the operations of an execution as a tree, with status, duration and attempts"),
  Command.withExamples([
    { command: "effect-durable-lambda tree", description: "The newest one" },
    { command: "effect-durable-lambda tree process-order/order-7 --json" }
  ])
)

// ---- stop ----------------------------------------------------------------------------------------

const stop = Command.make(
  "stop",
  {
    execution: find.thisExecution,
    type: optionalText("type", "TYPE", "The error's type, for whoever waits for the execution"),
    message: optionalText("message", "TEXT", "Why it is stopped")
  },
  (options) =>
    onTarget(
      Effect.gen(function* () {
        const arn = yield* find.resolve(options.execution)
        const before = yield* DurableClient.get(arn)
        const at = yield* DurableClient.stop(arn, {
          ...(Option.isSome(options.type) ? { ErrorType: options.type.value } : undefined),
          ...(Option.isSome(options.message) ? { ErrorMessage: options.message.value } : undefined)
        })
        if (hasEnded(before)) yield* note(`It had ended before: ${before.Status}.`)
        yield* print({ DurableExecutionArn: arn, StopTimestamp: at }, () =>
          hasEnded(before) ? "" : `stopped ${safe(arn)}`
        )
      })
    )
).pipe(
  Command.withDescription("Stop an execution. No code of it runs any more, its cleanup neither"),
  Command.withExamples([
    { command: 'effect-durable-lambda stop process-order/order-7 --message "the customer has called"' }
  ])
)

export const commands = [start, list, get, history, showTree, stop] as const
