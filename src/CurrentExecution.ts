/**
 * What a workflow may know of the execution and the invocation it runs in.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"

/**
 * The execution that runs, readable in the body and in steps.
 *
 * **Gotchas**
 *
 * `arn`, `name` and `startTime` are the same in every invocation. The rest belongs to one invocation: a body
 * that decides by it is not deterministic; use it in steps and for logging.
 *
 * **Example** (The execution's name)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { name } = yield* Durable.CurrentExecution
 *   return yield* Durable.step("greet", Effect.succeed(`I am ${name}`))
 * })
 * ```
 */
export class CurrentExecution extends Context.Service<
  CurrentExecution,
  {
    readonly arn: string
    /** The name it was started with, or that the service gave it. */
    readonly name: string
    /** When it was started, epoch milliseconds. */
    readonly startTime: number
    /** Request id of this invocation. */
    readonly requestId: string
    readonly tenantId: string | undefined
    /** Whether this is the execution's first invocation. */
    readonly isFirstInvocation: boolean
    /** Time until Lambda ends this invocation. */
    readonly remainingTime: Effect.Effect<Duration.Duration>
    /** The context object that Lambda gave to the handler. */
    readonly lambdaContext: unknown
  }
>()("effect-durable-lambda/CurrentExecution") {}
