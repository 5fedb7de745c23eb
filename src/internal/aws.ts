/**
 * AWS's client: the one place that imports it, when somebody asks. `#aws` in the package's `imports` is this module, or
 * `awsBundled.ts` in a bundle that is made with the condition `@effect-durable-lambda/aws-in-bundle`.
 */

/** What of it is used. */
export type Aws = Pick<
  typeof import("@aws-sdk/client-lambda"),
  | "CheckpointDurableExecutionCommand"
  | "GetDurableExecutionCommand"
  | "GetDurableExecutionHistoryCommand"
  | "GetDurableExecutionStateCommand"
  | "InvokeCommand"
  | "LambdaClient"
  | "ListDurableExecutionsByFunctionCommand"
  | "SendDurableExecutionCallbackFailureCommand"
  | "SendDurableExecutionCallbackHeartbeatCommand"
  | "SendDurableExecutionCallbackSuccessCommand"
  | "StopDurableExecutionCommand"
>

/** Lazily, so that tests and other layers never pay for it. */
export const load = (): Promise<Aws> => import("@aws-sdk/client-lambda")
