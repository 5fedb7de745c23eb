/**
 * The test kit.
 */
export { crashEverywhere } from "./CrashTest.ts"
export * as CrashTest from "./CrashTest.ts"
export * as TestRunner from "./TestRunner.ts"
