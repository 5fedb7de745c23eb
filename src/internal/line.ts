/**
 * The updates that wait to be sent, in their order. Taking the next ones does not move the rest: tens of thousands may
 * wait.
 */
import type { OperationUpdate } from "../Protocol.ts"

/** What was last sent of an operation. */
export class Sent {
  /** The request. */
  request = 0
  /** It carried more than a START. */
  more = false
}

/** Closures, not a class: bundlers shorten their names. */
export const make = () => {
  let updates: Array<OperationUpdate | undefined> = []
  /** What was sent of their operations before. */
  let sent: Array<Sent | undefined> = []
  /** Which of them may wait for another reason to send. */
  let lazy: Array<boolean> = []
  let head = 0
  let eager = 0
  /** How many, at the head, were queued to go first. */
  let firsts = 0

  const size = () => updates.length - head

  return {
    size,
    /** How many of them do not wait for another reason to send. */
    eager: () => eager,
    at: (index: number): OperationUpdate | undefined => updates[head + index],
    sentAt: (index: number): Sent | undefined => sent[head + index],
    /** `first`: before everything else, but not before what was to go first itself. */
    add: (update: OperationUpdate, before: Sent | undefined, isLazy: boolean, first: boolean): void => {
      if (!isLazy) eager++
      if (first) {
        const index = head + firsts++
        updates.splice(index, 0, update)
        sent.splice(index, 0, before)
        lazy.splice(index, 0, isLazy)
      } else {
        updates.push(update)
        sent.push(before)
        lazy.push(isLazy)
      }
    },
    /** Takes the first `count`. */
    take: (count: number): ReadonlyArray<OperationUpdate> => {
      const taken = updates.slice(head, head + count) as Array<OperationUpdate>
      for (let i = head; i < head + count; i++) {
        if (!lazy[i]) eager--
        updates[i] = sent[i] = undefined // what has left is not kept
      }
      head += count
      firsts = Math.max(0, firsts - count)
      // their places are cut off when they are more than those that are left
      if (head >= size()) {
        updates = updates.slice(head)
        sent = sent.slice(head)
        lazy = lazy.slice(head)
        head = 0
      }
      return taken
    },
    clear: (): void => {
      updates = []
      sent = []
      lazy = []
      head = eager = firsts = 0
    }
  }
}
