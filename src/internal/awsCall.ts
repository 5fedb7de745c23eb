/**
 * Calls of AWS's clients that a user brings along: no package of AWS is imported here.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { PayloadFailed, type PayloadProblem } from "../DurableError.ts"

/** Whatever has `send`: the clients of `@aws-sdk/client-*`. */
export interface AwsClient {
  // any: commands are made by the constructors that come with the client
  readonly send: (command: any, options?: any) => Promise<any>
}

/** What a client threw. */
export interface Thrown {
  readonly name: string
  readonly status: number | undefined
  readonly message: string
}

/** How calls are made. */
export interface CallOptions {
  /** How long one attempt may take. Default: 10 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** How often a call that failed for a passing reason is made again, after 200 ms, 400 ms, …. Default: 3. */
  readonly retries?: number | undefined
}

const field = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined

const read = (cause: unknown): Thrown => {
  const name = field(cause, "name")
  const status = field(field(cause, "$metadata"), "httpStatusCode")
  const message = field(cause, "message")
  return {
    name: typeof name === "string" ? name : "UnknownError",
    status: typeof status === "number" ? status : undefined,
    message: typeof message === "string" ? message : String(cause)
  }
}

const PASSING =
  /^(?:.*Throttl.*|.*Timeout.*|LimitExceededException|TooManyRequestsException|RequestLimitExceeded|SlowDown)$/

/** What a failure is unless its service knows better: what is not a refusal may pass. */
const problemOf = ({ name, status }: Thrown): PayloadProblem =>
  status === undefined || status >= 500 || status === 429 || PASSING.test(name) ? "unavailable" : "denied"

/**
 * Makes a call: with a timeout, again where the reason is a passing one, and with a failure that says what was tried.
 * `classify` knows the errors of the service.
 */
export const call = <A>(
  what: string,
  send: (signal: AbortSignal) => Promise<A>,
  classify: (thrown: Thrown) => PayloadProblem | undefined,
  advice: Readonly<Record<PayloadProblem, string>>,
  { retries = 3, timeout = "10 seconds" }: CallOptions
): Effect.Effect<A, PayloadFailed> => {
  const failed = (problem: PayloadProblem, how: string) =>
    new PayloadFailed({ problem, reason: `${what} failed: ${how}. ${advice[problem]}` })
  return Effect.tryPromise({
    try: send,
    catch: (cause) => {
      const thrown = read(cause)
      return failed(classify(thrown) ?? problemOf(thrown), `${thrown.name}: ${thrown.message.replace(/\.$/, "")}`)
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(failed("unavailable", `no answer in ${Duration.format(Duration.fromInputUnsafe(timeout))}`))
    }),
    Effect.retry({
      while: ({ problem }) => problem === "unavailable",
      schedule: Schedule.exponential("200 millis"),
      times: retries
    })
  )
}
