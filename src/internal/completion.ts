/**
 * When a batch has ended, and why: the rules of wire-protocol section 24.2, without anything that moves.
 */
import type { CompletionReason } from "../BatchResult.ts"

/** Thresholds. None of them given: the first failure ends the batch. */
export interface Thresholds {
  readonly minSuccessful?: number | undefined
  readonly toleratedFailureCount?: number | undefined
  readonly toleratedFailurePercentage?: number | undefined
}

/** How far a batch has come. */
export interface Tally {
  /** Number of branches or items, started or not. */
  readonly total: number
  readonly success: number
  readonly failure: number
}

/** Whether more items have failed than the thresholds tolerate. At a threshold the batch goes on. */
const exceeded = (rule: Thresholds, { failure, total }: Tally): boolean => {
  const { minSuccessful, toleratedFailureCount: count, toleratedFailurePercentage: percentage } = rule
  if (minSuccessful === undefined && count === undefined && percentage === undefined) return failure > 0
  if (count !== undefined && failure > count) return true
  // (not divided: 7 of 25 are 28 %, and not 28.000000000000004 %)
  return percentage !== undefined && failure * 100 > percentage * total
}

/** Why the batch ends now; `undefined`: it goes on. Asked before the first item, and after each that has ended. */
export const decide = (rule: Thresholds, tally: Tally): CompletionReason | undefined => {
  if (exceeded(rule, tally)) return "FAILURE_TOLERANCE_EXCEEDED"
  if (tally.success + tally.failure === tally.total) return "ALL_COMPLETED"
  if (rule.minSuccessful !== undefined && tally.success >= rule.minSuccessful) return "MIN_SUCCESSFUL_REACHED"
  return undefined
}

/** What is wrong with these thresholds for so many items. */
export const faultOf = (rule: Thresholds, total: number): string | undefined => {
  const { minSuccessful, toleratedFailureCount: count, toleratedFailurePercentage: percentage } = rule
  if (minSuccessful !== undefined && !(Number.isInteger(minSuccessful) && minSuccessful >= 1)) {
    return `its minSuccessful is ${String(minSuccessful)}. Give it a whole number from 1.`
  }
  if (minSuccessful !== undefined && minSuccessful > total) {
    return `its minSuccessful is ${minSuccessful}, but there are only ${total} of them: it could never be reached.`
  }
  if (count !== undefined && !(Number.isInteger(count) && count >= 0)) {
    return `its toleratedFailureCount is ${String(count)}. Give it a whole number from 0.`
  }
  if (percentage !== undefined && !(percentage >= 0 && percentage <= 100)) {
    return `its toleratedFailurePercentage is ${String(percentage)}. Give it a number from 0 to 100.`
  }
  return undefined
}
