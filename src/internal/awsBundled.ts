/**
 * `aws.ts` for a bundle that has AWS's client in it: imported by name, a bundler leaves out what is not used, and what is
 * used need not be wrapped so that it can be loaded later. It is there when the bundle has been loaded.
 */
import {
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
} from "@aws-sdk/client-lambda"
import type { Aws } from "./aws.ts"

export const load = (): Promise<Aws> =>
  Promise.resolve({
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
  })
