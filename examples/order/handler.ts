/** What Lambda runs: `handler.handler` of the bundle. The compiler refuses a layer that lacks a service of a step. */
import { DurableHandler } from "effect-durable-lambda"
import { layer } from "./services.ts"
import { ProcessOrder, processOrder } from "./workflow.ts"

export const handler = DurableHandler.make(ProcessOrder, processOrder, { layer })
