/**
 * How an engine behaves: limits, retries of invocations, page sizes, where it pretends to be.
 */
import type { InvocationError, Place } from "./functions.ts"
import type { PageSize } from "./pages.ts"
import * as validate from "./validate.ts"

/** When an invocation that failed is tried again. */
export interface RetryPolicy {
  /**
   * So many retries come at once where it was the runtime that failed (`Runtime.*`, `Sandbox.*`, `Extension.*`).
   * What the handler has thrown, and `Sandbox.Timedout`, waits from the first retry on. Default 3.
   */
  readonly immediate: number
  /** Seconds before the first one after that. Default 1. */
  readonly initialSeconds: number
  /** Default 2. */
  readonly factor: number
  /** Default one day. */
  readonly maxSeconds: number
  /** After so many retries the execution fails with the invocation's error. Default: as long as it may run. */
  readonly retries: number
}

/** Faults of the runtime. That time has run out is the handler's. */
const isRuntimes = ({ errorType }: InvocationError) =>
  /^(?:Runtime|Sandbox|Extension)\./.test(errorType) && errorType !== "Sandbox.Timedout"

/** Seconds until an invocation that has failed, so many times in a row by now, is tried again. */
export const retrySeconds = (policy: RetryPolicy, failures: number, error: InvocationError): number => {
  const waited = isRuntimes(error) ? failures - 1 - policy.immediate : failures - 1
  return waited < 0 ? 0 : Math.min(policy.initialSeconds * policy.factor ** waited, policy.maxSeconds)
}

/** How an engine behaves. */
export interface Settings {
  readonly limits: validate.Limits
  readonly retry: RetryPolicy
  /** The part of the state that an event carries. Default 1,000 operations, 5 MB. */
  readonly eventPage: PageSize
  /** A page of state or of changes in a response. Default 1,000 operations, 5 MB. */
  readonly responsePage: PageSize
  readonly place: Place
}

/** The settings that an engine has unless told otherwise. */
export const defaultSettings: Settings = {
  limits: validate.defaultLimits,
  retry: { immediate: 3, initialSeconds: 1, factor: 2, maxSeconds: 86_400, retries: Infinity },
  eventPage: { items: 1_000, bytes: 5_000_000 },
  responsePage: { items: 1_000, bytes: 5_000_000 },
  place: { region: "us-east-1", accountId: "123456789012" }
}
