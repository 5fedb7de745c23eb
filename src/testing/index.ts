/**
 * The test kit.
 */
export * as TestRunner from "./TestRunner.ts"
