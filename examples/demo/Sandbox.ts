/**
 * Runs invocations in a child process and carries its checkpoint calls to the engine: what Lambda's sandbox and its
 * network are on AWS. The process is started when it is needed, and can be killed.
 */
import { type ChildProcess, fork } from "node:child_process"
import * as path from "node:path"
import { Engine } from "effect-durable-lambda/engine"
import { Effect } from "effect"
import type { FromWorker, ToWorker } from "./messages.ts"

export interface Events {
  /** An invocation begins. */
  readonly invoked: (pid: number | undefined, fresh: boolean) => void
  /** The body of a step begins to run. */
  readonly ran: (step: string) => void
  readonly logged: (message: string) => void
}

export interface Sandbox {
  readonly invoke: Engine.Executor
  /** Ends the process with SIGKILL: nothing in it gets a chance to clean up. */
  readonly kill: () => void
}

const start = () =>
  fork(path.join(import.meta.dirname, "worker.ts"), {
    // timestamps and absent members arrive as they were sent
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    execArgv: ["--conditions=@effect-durable-lambda/source"]
  })

export const make = (engine: Engine.Engine["Service"], events: Events) => {
  let worker: ChildProcess | undefined

  const carry = (child: ChildProcess, call: number, request: Effect.Effect<unknown, Engine.Rejection>) =>
    Effect.runFork(
      Effect.map(
        Effect.match(request, {
          onSuccess: (response): ToWorker => ({ _tag: "Answer", call, response }),
          onFailure: ({ errorName, reason, status }): ToWorker => ({
            _tag: "Refusal",
            call,
            error: { name: errorName, message: reason, $metadata: { httpStatusCode: status } }
          })
        }),
        (message) => {
          if (child.connected) child.send(message)
        }
      )
    )

  const receive = (child: ChildProcess, message: FromWorker) => {
    switch (message._tag) {
      case "Checkpoint":
        return void carry(child, message.call, engine.checkpoint(message.request))
      case "GetState":
        return void carry(child, message.call, engine.getExecutionState(message.request))
      case "Ran":
        return events.ran(message.step)
      case "Logged":
        return events.logged(message.message)
    }
  }

  const invoke: Engine.Executor = (event, context) =>
    Effect.callback<unknown, Engine.InvocationError>((resume) => {
      const fresh = worker === undefined
      const child = (worker ??= start())
      const message = (message: FromWorker) => {
        if (message._tag === "Answered") end(Effect.succeed(message.output))
        else if (message._tag === "Threw") {
          end(Effect.fail(new Engine.InvocationError({ errorType: message.name, reason: message.message })))
        } else receive(child, message)
      }
      const exit = () => {
        worker = undefined
        end(Effect.fail(Engine.exited(137)))
      }
      const end = (answer: Effect.Effect<unknown, Engine.InvocationError>) => {
        child.off("message", message).off("exit", exit)
        resume(answer)
      }
      child.on("message", message).once("exit", exit)
      events.invoked(child.pid, fresh)
      child.send({
        _tag: "Invoke",
        event,
        requestId: context.awsRequestId,
        remainingMillis: context.getRemainingTimeInMillis()
      } satisfies ToWorker)
    })

  return Effect.acquireRelease(
    Effect.sync((): Sandbox => ({ invoke, kill: () => worker?.kill("SIGKILL") })),
    ({ kill }) => Effect.sync(kill)
  )
}
