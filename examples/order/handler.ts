/**
 * What Lambda runs. The compiler refuses a layer that lacks a service of a step. Here and in the files below, modules are
 * imported one by one, so that the bundle holds only what is used: examples/deploy.
 */
import * as DurableHandler from "effect-durable-lambda/DurableHandler"
import { layer } from "./services.ts"
import { ProcessOrder, processOrder } from "./workflow.ts"

export const handler = DurableHandler.make(ProcessOrder, processOrder, { layer })
