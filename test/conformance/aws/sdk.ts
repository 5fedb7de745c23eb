/**
 * What the handlers of AWS's own SDK share. Its default client is a `LambdaClient`, which finds the service in
 * AWS_ENDPOINT_URL_LAMBDA.
 */
import {
  createRetryStrategy,
  type DurableContext,
  type DurableExecutionConfig,
  type DurableLambdaHandler,
  JitterStrategy,
  retryPresets,
  withDurableExecution
} from "@aws/durable-execution-sdk-js"

export type { DurableContext }

export type Run = (context: DurableContext, input: any) => Promise<unknown>

/** A handler of AWS's SDK: the context first, since not every requirement has an input. */
export const handler = (run: Run, config?: DurableExecutionConfig): DurableLambdaHandler =>
  withDurableExecution((event: unknown, context: DurableContext) => run(context, event), config)

/** Handlers by their requirements. */
export const handlersOf = (runs: Readonly<Record<string, Run>>): Record<string, DurableLambdaHandler> =>
  Object.fromEntries(Object.entries(runs).map(([id, run]) => [id, handler(run)]))

export const noRetry = { retryStrategy: retryPresets.noRetry }

/** So many attempts, a second apart. */
export const attempts = (maxAttempts: number, config: Parameters<typeof createRetryStrategy>[0] = {}) => ({
  retryStrategy: createRetryStrategy({
    maxAttempts,
    initialDelay: { seconds: 1 },
    backoffRate: 1,
    jitter: JitterStrategy.NONE,
    ...config
  })
})

export class TransientError extends Error {
  override readonly name = "TransientError"
}

export const fail = async (message = "it never works"): Promise<never> => {
  throw new Error(message)
}

export const messageOf = (error: unknown): string => (error as Error).message

/** Works from that attempt on. */
export const worksFrom =
  <A>(first: number, value: A) =>
  async ({ attempt }: { readonly attempt: number }): Promise<A> => {
    if (attempt < first) throw new TransientError(`attempt ${attempt} of ${first} failed`)
    return value
  }

/** Writes upper case, and reads what is there. */
export const shouting = {
  serialize: async (value: string | undefined) => value?.toUpperCase(),
  deserialize: async (text: string | undefined) => text
}

/** The pause that causes a replay. */
export const second = { seconds: 1 }
