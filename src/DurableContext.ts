/**
 * The service that every durable operation needs. The core provides it to a workflow's body, and marks it in
 * steps, so that an operation that cannot work where it is says so.
 */
import * as Context from "effect/Context"
import type { Core } from "./internal/core/Core.ts"
import type { Place } from "./internal/core/world.ts"

/**
 * A running workflow. It stands in the requirements of every durable operation; `DurableHandler` and the test
 * kit discharge it. There is nothing to call on it.
 */
export class DurableContext extends Context.Service<
  DurableContext,
  {
    /** @internal */
    readonly core: Core
    /** @internal */
    readonly place: Place
    /** This fiber runs a step. */
    readonly inStep: boolean
    /** @internal Where cleanup is registered, if not at the place (`Durable.scoped`). */
    readonly scope?: object
  }
>()("effect-durable-lambda/DurableContext") {}
