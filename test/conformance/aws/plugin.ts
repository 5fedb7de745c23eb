/**
 * AWS's requirements for plugins (suite 10), with AWS's own SDK 2.4.0, which lacks what 10-19, 10-21 and 10-23 ask for:
 * `isFirstInvocation` at the end of an invocation, `endTimestamp` of a retried attempt, `isReplayingChildren`.
 * A record of a hook is one line of JSON on stdout, and carries the execution's ARN, which only the hooks of
 * invocations are told.
 */
import type {
  AttemptEndInfo,
  DurableInstrumentationPlugin,
  InvocationInfo,
  OperationInfo
} from "@aws/durable-execution-sdk-js"
import { attempts, type DurableContext, fail, handler, noRetry, type Run } from "./sdk.ts"

type Plugin = DurableInstrumentationPlugin
type Record_ = (hook: string, fields?: Record<string, unknown>) => Promise<void>

/** A plugin that writes records; the invocation it was last told of is the one it is in. */
const plugin = (make: (record: Record_, info: () => InvocationInfo) => Plugin, name = "CONFPLUGIN"): Plugin => {
  let invocation: InvocationInfo | undefined
  const record: Record_ = async (hook, fields) =>
    console.log(JSON.stringify({ plugin: name, hook, ...fields, durableExecutionArn: invocation?.executionArn }))
  const hooks = make(record, () => invocation!)
  return {
    ...hooks,
    onInvocationStart: async (info) => {
      invocation = info
      await hooks.onInvocationStart?.(info)
    }
  }
}

/** Tells of operations of one type only. */
const only =
  <I extends OperationInfo>(type: string, hook: (info: I) => Promise<void>) =>
  async (info: I) =>
    info.type === type ? hook(info) : undefined

const terminal = (status: string) => status === "SUCCEEDED" || status === "FAILED"
const iso = (date: Date | undefined) => date?.toISOString()

/** The canonical dump of what a hook was told of an operation. */
const dump = (info: OperationInfo) => ({
  id: info.id,
  name: info.name,
  type: info.type.toUpperCase(),
  subType: info.subType,
  parentId: info.parentId,
  status: info.status,
  startTimestamp: iso(info.startTimestamp),
  endTimestamp: iso(info.endTimestamp),
  error: info.error?.message,
  attempt: info.attempt,
  isReplay: info.isReplay
})

const parent = (info: OperationInfo) => info.parentId ?? "NONE"

// ---- plugins ---------------------------------------------------------------------------------------------------------

const invocations = (name?: string) =>
  plugin(
    (record, current) => ({
      onInvocationStart: (info) => record("invocation-start", { first: info.isFirstInvocation }),
      onInvocationEnd: ({ status }) =>
        record("invocation-end", { first: current().isFirstInvocation, terminal: terminal(status), status })
    }),
    name
  )

/** Operations of one type, or of all. */
const operations = (
  start?: (info: OperationInfo) => Record<string, unknown>,
  end?: (info: OperationInfo) => Record<string, unknown>,
  type?: string
) => {
  const filter = (hook: (info: OperationInfo) => Promise<void>) => (type === undefined ? hook : only(type, hook))
  return plugin((record) => ({
    ...(start === undefined ? {} : { onOperationStart: filter((info) => record("operation-start", start(info))) }),
    ...(end === undefined ? {} : { onOperationEnd: filter((info) => record("operation-end", end(info))) })
  }))
}

const attempted = (dumped: (info: OperationInfo) => Record<string, unknown>) =>
  plugin((record) => ({
    onOperationAttemptStart: (info) => record("attempt-start", dumped(info)),
    onOperationAttemptEnd: (info) => record("attempt-end", { ...dumped(info), outcome: info.outcome })
  }))

const op = ({ attempt, id }: OperationInfo) => ({ op: id, attempt })

const faulty = () =>
  plugin((record) => {
    const faults = (hook: string) => async () => {
      await record(hook)
      throw new Error(`${hook} is faulty`)
    }
    return {
      onInvocationStart: faults("invocation-start"),
      onInvocationEnd: faults("invocation-end"),
      onOperationStart: only("STEP", faults("operation-start")),
      onOperationEnd: only("STEP", faults("operation-end")),
      onOperationAttemptStart: only("STEP", faults("attempt-start")),
      onOperationAttemptEnd: only("STEP", faults("attempt-end"))
    }
  }, "CONFPLUGIN-FAULTY")

const healthy = () =>
  plugin(
    (record) => ({
      onInvocationStart: (info) => record("invocation-start", { first: info.isFirstInvocation }),
      onInvocationEnd: ({ status }) => record("invocation-end", { status }),
      onOperationStart: only("STEP", ({ id }) => record("operation-start", { op: id })),
      onOperationEnd: only("STEP", ({ id, status }) => record("operation-end", { op: id, status })),
      onOperationAttemptStart: only("STEP", ({ id }) => record("attempt-start", { op: id })),
      onOperationAttemptEnd: only("STEP", ({ id, outcome }: AttemptEndInfo) =>
        record("attempt-end", { op: id, outcome })
      )
    }),
    "CONFPLUGIN-HEALTHY"
  )

/** Changed operations of the type STEP. */
const changes = (
  fields: (
    item: OperationInfo,
    info: Parameters<NonNullable<Plugin["onOperationChange"]>>[0]
  ) => Record<string, unknown>
) =>
  plugin((record) => ({
    onOperationChange: async (info) => {
      for (const item of Object.values(info.updatedOperations)) {
        if (item.type === "STEP") await record("operation-change", fields(item, info))
      }
    }
  }))

/** The functions of contexts, each time one is called. */
const contexts = (dumped: (info: OperationInfo) => Record<string, unknown>, starts = false) =>
  plugin((record) => ({
    wrapChildContextFn: async (info, fn) => {
      await record("fn-start", dumped(info))
      const result = await fn()
      await record("fn-end", { ...dumped(info), outcome: "SUCCEEDED" })
      return result
    },
    ...(starts ? { onOperationStart: only("CONTEXT", (info) => record("operation-start", dumped(info))) } : {})
  }))

// ---- workflows -------------------------------------------------------------------------------------------------------

const greet = (context: DurableContext, name: string, body = () => {}) =>
  context.step(
    "greet",
    async () => {
      body()
      return `Hello, ${name}!`
    },
    noRetry
  )
const greeting: Run = (context, name) => greet(context, name)
const logged: Run = (context, name) =>
  context.step("greet", async ({ logger }) => {
    logger.info(`Greeting step running for: ${name}`)
    return `Hello, ${name}!`
  })
const taskA: Run = (context) => context.step("greet", async () => "task-a")
const boom: Run = (context) => context.step("fails", () => fail("boom"), noRetry)
const failsOnce: Run = (context) =>
  context.step("fails-once", async ({ attempt }) => (attempt === 1 ? fail("boom") : "Operation succeeded"), attempts(2))
const pause: Run = (context) => context.wait("pause", { seconds: 2 })

const crashed = new Set<string>()
const crashes: Run = (context) =>
  context.step("crash-once", async () => {
    const { durableExecutionArn } = context.executionContext
    if (crashed.has(durableExecutionArn)) return "recovered"
    crashed.add(durableExecutionArn)
    // its START is on the way
    await new Promise((resolve) => setTimeout(resolve, 400))
    return process.exit(1)
  })

const waits = async (context: DurableContext) => {
  await context.step("inner", async () => "x")
  await context.wait("pause", { seconds: 2 })
  return "a-done"
}

const withPlugins = (run: Run, ...plugins: Array<Plugin>) => handler(run, { plugins })

export const handlers = {
  "10-1": withPlugins(logged, invocations()),
  "10-2": withPlugins(
    greeting,
    operations(
      ({ id }) => ({ op: id }),
      ({ id, status }) => ({ op: id, status }),
      "STEP"
    )
  ),
  "10-3": withPlugins(failsOnce, attempted(op)),
  "10-4": withPlugins(greeting, faulty()),
  "10-5": withPlugins(greeting, invocations("CONFPLUGIN-A"), invocations("CONFPLUGIN-B")),
  "10-6": withPlugins(pause, invocations()),
  "10-7": withPlugins(boom, invocations()),
  "10-8": withPlugins(
    greeting,
    changes(({ id, status }, { operations }) => ({ op: id, status, in_full_map: id in operations }))
  ),
  "10-9": withPlugins(
    crashes,
    invocations(),
    operations(
      ({ id, isReplay }) => ({ op: id, replay: isReplay }),
      ({ id, status }) => ({ op: id, status })
    ),
    attempted(op)
  ),
  "10-10": withPlugins(
    pause,
    operations(
      ({ id, type }) => ({ op: id, type }),
      ({ id, status, type }) => ({ op: id, type, status }),
      "WAIT"
    )
  ),
  "10-11": withPlugins(
    (context, name) => context.runInChildContext("child", (child) => greet(child, name)),
    operations(undefined, (info) => ({ op: info.id, parent: parent(info), status: info.status }))
  ),
  "10-12": withPlugins(
    (context, name) =>
      context.runInChildContext("outer", (outer) => outer.runInChildContext("inner", (inner) => greet(inner, name))),
    contexts((info) => ({ op: info.id, parent: parent(info) }))
  ),
  "10-13": withPlugins(
    async (context, input) => {
      await context.step("a", async () => "task-a")
      return failsOnce(context, input)
    },
    operations(
      ({ id, isReplay }) => ({ op: id, replay: isReplay }),
      ({ id, status }) => ({ op: id, status }),
      "STEP"
    )
  ),
  "10-14": withPlugins(
    async (context, input) => {
      await context.step("a", async () => "task-a")
      return boom(context, input)
    },
    operations(
      undefined,
      ({ error, id, result, status }) => ({
        op: id,
        status,
        result: result ?? "NONE",
        error: error?.message ?? "NONE"
      }),
      "STEP"
    )
  ),
  "10-15": withPlugins(
    (context) => context.step("fails", () => fail("boom"), attempts(2)),
    attempted(op),
    operations(undefined, ({ id, status }) => ({ op: id, status }))
  ),
  "10-16": withPlugins(pause, invocations()),
  "10-17": withPlugins(greeting, faulty(), healthy()),
  "10-18": withPlugins(
    async (context) => {
      await context.parallel("both", [
        { name: "waits", func: async (branch: DurableContext) => pause(branch, null) },
        { name: "works", func: async (branch: DurableContext) => branch.step("quick", async () => "done") }
      ])
    },
    operations(
      ({ id, isReplay, name }) => ({ op: id, name, replay: isReplay }),
      ({ id, name, status }) => ({ op: id, name, status })
    )
  ),
  "10-19": withPlugins(
    async (context, name) => {
      await pause(context, name)
      return `done-${name}`
    },
    plugin((record) => ({
      onInvocationStart: (info) =>
        record("invocation-start", {
          isFirstInvocation: info.isFirstInvocation,
          requestId: info.requestId,
          operationsCount: Object.keys(info.operations).length,
          updatedOperationsCount: Object.keys(info.updatedOperations).length,
          executionStartTimestamp: iso(info.executionStartTimestamp)
        }),
      onInvocationEnd: (info) =>
        record("invocation-end", {
          requestId: info.requestId,
          operationsCount: Object.keys(info.operations).length,
          executionStartTimestamp: iso(info.executionStartTimestamp),
          status: info.status,
          terminal: terminal(info.status),
          executionError: info.executionError?.message
        })
    }))
  ),
  "10-20": withPlugins(taskA, operations(dump, dump, "STEP")),
  "10-21": withPlugins(failsOnce, attempted(dump)),
  "10-22": withPlugins(
    taskA,
    changes((item, { executionArn, operations, updatedOperations }) => ({
      executionArn,
      updatedOperationsCount: Object.keys(updatedOperations).length,
      operationsCount: Object.keys(operations).length,
      inFullMap: item.id in operations,
      ...dump(item)
    }))
  ),
  "10-23": withPlugins(
    async (context) => {
      const branches = [
        { name: "branch-a", func: waits },
        { name: "branch-b", func: async () => "b-done" }
      ]
      return (await context.parallel("ctx", branches, { maxConcurrency: 1 })).getResults()
    },
    contexts(dump, true)
  )
}
