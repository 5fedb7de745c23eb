/** What the core and those who run it say to each other. */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Fatal } from "../../DurableError.ts"
import type { Observer } from "../observer.ts"
import type { OrderPolicy } from "./order.ts"
import type { World } from "./world.ts"

/** How an invocation is run. */
export interface Options {
  readonly order: OrderPolicy
  /** Milliseconds between a response and the next request, where an equal timestamp would matter. */
  readonly pace: number
  /** Milliseconds that the START of an at-least-once step may wait for another reason to send. */
  readonly startDelay: number
  /** Recorded operations that the body does not ask for again: an error, or tolerated with a warning. */
  readonly unvisited: "fail" | "ignore"
  /** Recorded operations that have changed since the last invocation. Empty: the service does not tell, or nothing has. */
  readonly updated?: ReadonlyArray<string> | undefined
  /** When Lambda ends this invocation, if that is to be forestalled. */
  readonly deadline?: Deadline | undefined
}

/** Lambda's deadline: milliseconds until it comes, and so many before that the invocation is brought to its end. */
export interface Deadline {
  readonly left: number
  readonly margin: number
}

/** What the core needs of the world outside the body. */
export interface Host {
  readonly clock: Clock.Clock
  /** What steps see in place of the body's clock, scheduler and random numbers. */
  readonly outside: Context.Context<never>
  /** Runs an effect outside the body: on the real scheduler and clock, with the invocation's services or others. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E, any>, context?: Context.Context<never>) => Fiber.Fiber<A, E>
  readonly warn: (message: string) => void
  /** Observers, if there are any. */
  readonly observer: Observer | undefined
  /** Where a fiber of the body runs. */
  readonly worldOf: (fiber: Fiber.Fiber<unknown, unknown>) => World | undefined
  /** Ends the fiber that runs it. */
  readonly leave: Effect.Effect<never>
  /** Calls `f` when all microtasks have run. */
  readonly settle: (f: () => void) => void
}

/** How an invocation ends. */
export type Outcome =
  | { readonly _tag: "Completed"; readonly exit: Exit.Exit<any, any> }
  | { readonly _tag: "Suspended" }
  | { readonly _tag: "Fatal"; readonly error: Fatal }
