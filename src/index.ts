/**
 * AWS Lambda durable functions for Effect. Listed from the ground up; each module can also be imported on its
 * own, as `effect-durable-lambda/<Module>`.
 */
export * as Protocol from "./Protocol.ts"
export * as History from "./History.ts"
export * as DurableError from "./DurableError.ts"
export * as BatchResult from "./BatchResult.ts"
export * as Serdes from "./Serdes.ts"
export * as DurableExecutionClient from "./DurableExecutionClient.ts"
export * as CheckpointService from "./CheckpointService.ts"
export * as DurablePlugin from "./DurablePlugin.ts"
export * as Durable from "./Durable.ts"
export * as DurableFunction from "./DurableFunction.ts"
export * as DurableLogger from "./DurableLogger.ts"
export * as DurableTracer from "./DurableTracer.ts"
export * as DurableMetrics from "./DurableMetrics.ts"
export * as DurableHandler from "./DurableHandler.ts"
export * as DurableClient from "./DurableClient.ts"
