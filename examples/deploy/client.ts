/**
 * Stands in for `@aws-sdk/client-lambda` in a bundle that leaves it to Lambda's runtime: it is required when the bundle is
 * loaded. To import it takes 6 ms more: Node.js parses its 0.5 MB once more, to find out that it is no module. esbuild
 * refuses to bundle when the library uses a name that is missing here.
 */
import { createRequire } from "node:module"

export const {
  CheckpointDurableExecutionCommand,
  GetDurableExecutionCommand,
  GetDurableExecutionHistoryCommand,
  GetDurableExecutionStateCommand,
  InvokeCommand,
  LambdaClient,
  ListDurableExecutionsByFunctionCommand,
  SendDurableExecutionCallbackFailureCommand,
  SendDurableExecutionCallbackHeartbeatCommand,
  SendDurableExecutionCallbackSuccessCommand,
  StopDurableExecutionCommand
}: typeof import("@aws-sdk/client-lambda") = createRequire(import.meta.url)("@aws-sdk/client-lambda")
