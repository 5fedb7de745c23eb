/**
 * AWS's requirements for plugins (suite 10), written as a user of the library would. A record of a hook is one line of
 * JSON on stdout, and carries the execution's ARN, by which the runner finds it.
 */
import { Durable, DurableFunction, DurableHandler, DurablePlugin } from "effect-durable-lambda"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

// ---- what several handlers share -----------------------------------------------------------------

class Boom extends Schema.TaggedError<Boom>()("Boom", { message: Schema.String }) {}

const greeting = DurableFunction.make("greeting", { payload: Schema.String, success: Schema.String })
const withoutInput = DurableFunction.make("without-input", { payload: Schema.Unknown, error: Boom })
const textWithoutInput = DurableFunction.make("text", { payload: Schema.Unknown, success: Schema.String, error: Boom })

const greet = (name: string) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`))

const boom = Effect.fail(new Boom({ message: "boom" }))

/** A step that fails in its first attempt. */
const failsOnce = Durable.step(
  "fails-once",
  Effect.flatMap(Durable.CurrentStep, ({ attempt }) => (attempt === 1 ? boom : Effect.succeed("Operation succeeded"))),
  { error: Boom, retry: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 3 })) }
)

const sortOf = (info: object): string => ("type" in info ? String(info.type) : "")

/** Writes the record of a hook. `undefined` fields are left out. */
const recorder =
  (plugin: string) =>
  (hook: string, info: DurablePlugin.InvocationBase, fields: Record<string, unknown> = {}) =>
    Console.log(JSON.stringify({ plugin, hook, ...fields, durableExecutionArn: info.executionArn }))

const record = recorder("CONFPLUGIN")

/** Tells of operations of one type only. */
const only =
  <I extends DurablePlugin.OperationInfo>(type: string, f: (info: I) => Effect.Effect<unknown>) =>
  (info: I) =>
    info.type === type ? f(info) : Effect.void

const iso = (millis: number | undefined) => (millis === undefined ? undefined : new Date(millis).toISOString())

/** The canonical dump of an operation's info. */
const dump = (info: DurablePlugin.OperationInfo) => ({
  id: info.id,
  name: info.name,
  type: info.type,
  subType: info.subType,
  parentId: info.parentId,
  status: info.status,
  startTimestamp: iso(info.startTimestamp),
  endTimestamp: iso(info.endTimestamp),
  error: info.error?.ErrorMessage,
  attempt: info.attempt,
  isReplay: info.isReplay
})

const isEnd = (status: string) => status === "SUCCEEDED" || status === "FAILED"

/** First and status of invocations. */
const lifecycle = (plugin = "CONFPLUGIN") => {
  const record = recorder(plugin)
  return {
    onInvocationStart: (info) => record("invocation-start", info, { first: info.isFirstInvocation }),
    onInvocationEnd: (info) =>
      record("invocation-end", info, {
        first: info.isFirstInvocation,
        terminal: isEnd(info.status),
        status: info.status
      })
  } satisfies DurablePlugin.Hooks
}

const handler = (hooks: DurablePlugin.Hooks) =>
  DurableHandler.make(greeting, greet, { plugins: [DurablePlugin.make(hooks)] })

// ---- the lifecycle -------------------------------------------------------------------------------

const invocation = DurableHandler.make(
  greeting,
  (name) => Durable.step("greet", Effect.as(Effect.log(`Greeting step running for: ${name}`), `Hello, ${name}!`)),
  { plugins: [DurablePlugin.make(lifecycle())] }
)

const operation = handler({
  onOperationStart: only("STEP", (info) => record("operation-start", info, { op: info.id })),
  onOperationEnd: only("STEP", (info) => record("operation-end", info, { op: info.id, status: info.status }))
})

/** 10-3: each attempt has its number; the first has failed. */
const attempts = DurableHandler.make(textWithoutInput, () => failsOnce, {
  plugins: [
    DurablePlugin.make({
      onAttemptStart: (info) => record("attempt-start", info, { op: info.id, attempt: info.attempt }),
      onAttemptEnd: (info) => record("attempt-end", info, { op: info.id, attempt: info.attempt, outcome: info.outcome })
    })
  ]
})

const faulty = (plugin = "CONFPLUGIN-FAULTY"): DurablePlugin.Hooks => {
  const record = recorder(plugin)
  const fails = (hook: string) => (info: DurablePlugin.InvocationBase) =>
    ["", "STEP"].includes(sortOf(info))
      ? Effect.andThen(record(hook, info), Effect.die(new Error(`${hook} is faulty`)))
      : Effect.void
  return {
    name: "faulty",
    onInvocationStart: fails("invocation-start"),
    onInvocationEnd: fails("invocation-end"),
    onOperationStart: fails("operation-start"),
    onOperationEnd: fails("operation-end"),
    onAttemptStart: fails("attempt-start"),
    onAttemptEnd: fails("attempt-end")
  }
}

const several = DurableHandler.make(greeting, greet, {
  plugins: [DurablePlugin.make(lifecycle("CONFPLUGIN-A")), DurablePlugin.make(lifecycle("CONFPLUGIN-B"))]
})

/** 10-6: the second invocation is not the first. */
const replayed = DurableHandler.make(withoutInput, () => Durable.wait("pause", "2 seconds"), {
  plugins: [DurablePlugin.make(lifecycle())]
})

const fails = DurableHandler.make(
  withoutInput,
  () => Durable.step("fails", boom, { error: Boom, retry: Durable.noRetry }),
  { plugins: [DurablePlugin.make(lifecycle())] }
)

const change = handler({
  onOperationChange: (info) =>
    Effect.forEach(
      [...info.updatedOperations.values()].filter(({ type }) => type === "STEP"),
      ({ id, status }) => record("operation-change", info, { op: id, status, in_full_map: info.operations.has(id) }),
      { discard: true }
    )
})

/** 10-9: the process ends in the middle of the first attempt; the next invocation begins the attempt again. */
const crashed = new Set<string>()

const crash = DurableHandler.make(
  textWithoutInput,
  () =>
    Durable.step(
      "crashes",
      Effect.gen(function* () {
        const { arn } = yield* Durable.CurrentExecution
        if (crashed.has(arn)) return "recovered"
        crashed.add(arn)
        yield* Effect.sleep("400 millis") // its START is on the way: nobody waits for it
        return process.exit(1)
      })
    ),
  {
    startDelay: 0,
    plugins: [
      DurablePlugin.make({
        ...lifecycle(),
        onOperationStart: (info) => record("operation-start", info, { op: info.id, replay: info.isReplay }),
        onOperationEnd: (info) => record("operation-end", info, { op: info.id, status: info.status }),
        onAttemptStart: (info) => record("attempt-start", info, { op: info.id, attempt: info.attempt })
      })
    ]
  }
)

const wait = DurableHandler.make(withoutInput, () => Durable.wait("pause", "2 seconds"), {
  plugins: [
    DurablePlugin.make({
      onOperationStart: only("WAIT", (info) => record("operation-start", info, { op: info.id, type: info.type })),
      onOperationEnd: only("WAIT", (info) =>
        record("operation-end", info, { op: info.id, type: info.type, status: info.status })
      )
    })
  ]
})

const parent = (info: DurablePlugin.OperationInfo) => info.parentId ?? "NONE"

const nested = DurableHandler.make(greeting, (name) => greet(name).pipe(Durable.childContext("child")), {
  plugins: [
    DurablePlugin.make({
      onOperationEnd: (info) =>
        record("operation-end", info, { op: info.id, parent: parent(info), status: info.status })
    })
  ]
})

/** 10-12: the bodies of nested contexts, each with its parent. */
const contexts = DurableHandler.make(
  greeting,
  (name) => greet(name).pipe(Durable.childContext("inner"), Durable.childContext("outer")),
  {
    plugins: [
      DurablePlugin.make({
        onContextStart: (info) => record("fn-start", info, { op: info.id, parent: parent(info) }),
        onContextEnd: (info) => record("fn-end", info, { op: info.id, parent: parent(info), outcome: info.outcome })
      })
    ]
  }
)

const replayFlag = DurableHandler.make(
  textWithoutInput,
  () => Effect.andThen(Durable.step("a", Effect.succeed("task-a")), failsOnce),
  {
    plugins: [
      DurablePlugin.make({
        onOperationStart: only("STEP", (info) =>
          record("operation-start", info, { op: info.id, replay: info.isReplay })
        ),
        onOperationEnd: only("STEP", (info) => record("operation-end", info, { op: info.id, status: info.status }))
      })
    ]
  }
)

const payloads = DurableHandler.make(
  withoutInput,
  () =>
    Effect.andThen(
      Durable.step("a", Effect.succeed("task-a")),
      Durable.step("b", boom, { error: Boom, retry: Durable.noRetry })
    ),
  {
    plugins: [
      DurablePlugin.make({
        onOperationEnd: only("STEP", (info) =>
          record("operation-end", info, {
            op: info.id,
            status: info.status,
            result: info.result ?? "NONE",
            error: info.error?.ErrorMessage ?? "NONE"
          })
        )
      })
    ]
  }
)

/** 10-15: retries that end: two attempts have failed, the operation has failed once. */
const exhausted = DurableHandler.make(
  withoutInput,
  () => Durable.step("fails", boom, { error: Boom, retry: { times: 1, schedule: Schedule.spaced("1 second") } }),
  {
    plugins: [
      DurablePlugin.make({
        onAttemptEnd: (info) =>
          record("attempt-end", info, { op: info.id, attempt: info.attempt, outcome: info.outcome }),
        onOperationEnd: (info) => record("operation-end", info, { op: info.id, status: info.status })
      })
    ]
  }
)

const healthyRecord = recorder("CONFPLUGIN-HEALTHY")

const isolated = DurableHandler.make(greeting, greet, {
  plugins: [
    DurablePlugin.make(faulty()),
    DurablePlugin.make({
      ...lifecycle("CONFPLUGIN-HEALTHY"),
      onOperationStart: only("STEP", (info) => healthyRecord("operation-start", info, { op: info.id })),
      onAttemptStart: only("STEP", (info) => healthyRecord("attempt-start", info, { op: info.id })),
      onAttemptEnd: only("STEP", (info) => healthyRecord("attempt-end", info, { op: info.id, outcome: info.outcome })),
      onOperationEnd: only("STEP", (info) => healthyRecord("operation-end", info, { op: info.id, status: info.status }))
    })
  ]
})

/** 10-18: branches side by side, of which one suspends. */
const sideBySide = DurableHandler.make(
  withoutInput,
  () =>
    Effect.asVoid(
      Durable.parallel("both", {
        waits: Durable.wait("pause", "2 seconds"),
        works: Durable.step("quick", Effect.succeed("done"))
      })
    ),
  {
    plugins: [
      DurablePlugin.make({
        onOperationStart: (info) =>
          record("operation-start", info, { op: info.id, name: info.name, replay: info.isReplay }),
        onOperationEnd: (info) => record("operation-end", info, { op: info.id, name: info.name, status: info.status })
      })
    ]
  }
)

// ---- the fields of infos ---------------------------------------------------------------------------

const invocationFields = DurableHandler.make(
  greeting,
  (name) => Effect.as(Durable.wait("pause", "2 seconds"), `done-${name}`),
  {
    plugins: [
      DurablePlugin.make({
        onInvocationStart: (info) =>
          record("invocation-start", info, {
            isFirstInvocation: info.isFirstInvocation,
            requestId: info.requestId,
            operationsCount: info.operations.size,
            updatedOperationsCount: info.updatedOperations.size,
            executionStartTimestamp: iso(info.executionStartTimestamp)
          }),
        onInvocationEnd: (info) =>
          record("invocation-end", info, {
            isFirstInvocation: info.isFirstInvocation,
            requestId: info.requestId,
            operationsCount: info.operations.size,
            executionStartTimestamp: iso(info.executionStartTimestamp),
            status: info.status,
            terminal: isEnd(info.status),
            executionError: info.executionError?.ErrorMessage
          })
      })
    ]
  }
)

const taskA = Durable.step("greet", Effect.succeed("task-a"))

const operationFields = DurableHandler.make(textWithoutInput, () => taskA, {
  plugins: [
    DurablePlugin.make({
      onOperationStart: only("STEP", (info) => record("operation-start", info, dump(info))),
      onOperationEnd: only("STEP", (info) => record("operation-end", info, dump(info)))
    })
  ]
})

/** 10-21: the attempt that is retried has both timestamps and its error. */
const attemptFields = DurableHandler.make(textWithoutInput, () => failsOnce, {
  plugins: [
    DurablePlugin.make({
      onAttemptStart: (info) => record("attempt-start", info, dump(info)),
      onAttemptEnd: (info) => record("attempt-end", info, { ...dump(info), outcome: info.outcome })
    })
  ]
})

const changeFields = DurableHandler.make(textWithoutInput, () => taskA, {
  plugins: [
    DurablePlugin.make({
      onOperationChange: (info) =>
        Effect.forEach(
          [...info.updatedOperations.values()].filter(({ type }) => type === "STEP"),
          (item) =>
            record("operation-change", info, {
              executionArn: info.executionArn,
              updatedOperationsCount: info.updatedOperations.size,
              operationsCount: info.operations.size,
              inFullMap: info.operations.has(item.id),
              ...dump(item)
            }),
          { discard: true }
        )
    })
  ]
})

/** What a hook of a context was told, in the canonical form. */
const dumpContext = (info: DurablePlugin.OperationInfo) => {
  const { attempt: _, ...fields } = dump(info)
  return "isReplayingChildren" in info ? { ...fields, isReplayingChildren: info.isReplayingChildren } : fields
}

const contextFields = DurableHandler.make(
  DurableFunction.make("branches", { payload: Schema.Unknown, success: Schema.Array(Schema.String) }),
  () =>
    Effect.map(
      Durable.parallel(
        "ctx",
        {
          "branch-a": Effect.gen(function* () {
            yield* Durable.step("inner", Effect.succeed("x"))
            yield* Durable.wait("pause", "2 seconds")
            return "a-done"
          }),
          "branch-b": Effect.succeed("b-done")
        },
        { concurrency: 1 }
      ),
      Object.values
    ),
  {
    plugins: [
      DurablePlugin.make({
        onOperationStart: only("CONTEXT", (info) => record("operation-start", info, dumpContext(info))),
        onContextStart: only("CONTEXT", (info) => record("fn-start", info, dumpContext(info)))
      })
    ]
  }
)

export const handlers = {
  "10-1": invocation,
  "10-2": operation,
  "10-3": attempts,
  "10-4": handler(faulty()),
  "10-5": several,
  "10-6": replayed,
  "10-7": fails,
  "10-8": change,
  "10-9": crash,
  "10-10": wait,
  "10-11": nested,
  "10-12": contexts,
  "10-13": replayFlag,
  "10-14": payloads,
  "10-15": exhausted,
  "10-16": replayed,
  "10-17": isolated,
  "10-18": sideBySide,
  "10-19": invocationFields,
  "10-20": operationFields,
  "10-21": attemptFields,
  "10-22": changeFields,
  "10-23": contextFields
}
