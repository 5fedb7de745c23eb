/**
 * The processes of one function: one for each invocation at a time, and those that are free are used again.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { InvocationContext, InvocationError } from "../engine/Engine.ts"
import { allow } from "../engine/functions.ts"
import type { FunctionProcess } from "./FunctionProcess.ts"

/** How long the code of a function may take to load, besides the function's timeout, as on Lambda. */
const INIT_SECONDS = 10

/** The processes of one function. */
export interface Sandboxes {
  /** Runs an invocation in a process that is free, or in a new one; waits while as many run as may. */
  readonly invoke: (
    event: unknown,
    context: InvocationContext,
    traceId: string
  ) => Effect.Effect<unknown, InvocationError>
}

/** What the processes are made by, how many there may be, and who hears of it. */
export interface Options {
  readonly start: Effect.Effect<FunctionProcess, never, Scope.Scope>
  readonly concurrency: number
  readonly invoked: (pid: number, requestId: string, reused: boolean) => void
  readonly started: (pid: number) => void
}

/** Makes the processes of a function as they are needed. They end with the scope, all at the same time. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Sandboxes, never, Scope.Scope> {
  const outer = yield* Effect.scope
  const scope = yield* Scope.fork(outer, "parallel")
  const semaphore = Semaphore.makeUnsafe(options.concurrency)
  /** The one that was used last is used first: under little load few are kept warm. */
  const free: Array<FunctionProcess> = []
  let isClosed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
    })
  )

  const start = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    const process = yield* Scope.provide(options.start, own)
    options.started(process.pid)
    yield* process.ended.pipe(
      Effect.andThen(
        Effect.suspend(() => {
          const index = free.indexOf(process)
          if (index >= 0) free.splice(index, 1)
          return Scope.close(own, Exit.void)
        })
      ),
      Effect.forkIn(outer)
    )
    return process
  })

  const take = (context: InvocationContext) =>
    Effect.suspend(() => {
      const requestId = context.awsRequestId
      let process = free.pop()
      while (process?.isAlive() === false) process = free.pop()
      allow(context, process === undefined ? INIT_SECONDS : 0)
      return process === undefined
        ? Effect.tap(start, ({ pid }) => Effect.sync(() => options.invoked(pid, requestId, false)))
        : Effect.as(
            Effect.sync(() => options.invoked(process.pid, requestId, true)),
            process
          )
    })

  const invoke: Sandboxes["invoke"] = (event, context, traceId) =>
    Effect.acquireUseRelease(
      take(context),
      (process) => process.invoke(event, context, traceId),
      (process) =>
        Effect.sync(() => {
          if (process.isAlive()) free.push(process)
        })
    ).pipe(
      semaphore.withPermit,
      // What ends because this ends has not failed: it is open, and goes on with the next engine.
      Effect.catch((error) => (isClosed ? Effect.never : Effect.fail(error)))
    )

  return {
    invoke: (event, context, traceId) =>
      Effect.suspend(() => {
        // it may have to wait for its turn
        allow(context, Infinity)
        return isClosed ? Effect.never : invoke(event, context, traceId)
      })
  }
})
