/**
 * The test kit.
 */
export { crashEverywhere } from "./CrashTest.ts"
export * as CrashTest from "./CrashTest.ts"
export { downloadHistory, replayFolder, saveHistory } from "./Histories.ts"
export * as Histories from "./Histories.ts"
export { expectReplays, replayHistory } from "./Replay.ts"
export * as Replay from "./Replay.ts"
export * as TestRunner from "./TestRunner.ts"
