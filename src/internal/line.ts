/**
 * The updates that wait to be sent, in their order. Taking the next ones does not move the rest: tens of thousands may
 * wait.
 */
import type { OperationUpdate } from "../Protocol.ts"

/** What the queue notes of an operation. */
export interface Sent {
  /** It counts among the operations of the execution. */
  counted: boolean
  /** The last request that carried an update of it, by its number from 1. */
  sentIn: number
  /** That was more than a START. */
  sentMore: boolean
}

/** The updates of a request, and of which operations they are. */
export interface Batch {
  readonly updates: ReadonlyArray<OperationUpdate>
  readonly sent: ReadonlyArray<Sent | undefined>
}

/** Closures, not a class: bundlers shorten their names. */
export const make = () => {
  // Those that wait are at `head` to `tail`. The places are used again, so what comes and goes allocates nothing.
  let updates: Array<OperationUpdate | undefined> = []
  /** What is noted of their operations. */
  let sent: Array<Sent | undefined> = []
  /** Which of them may wait for another reason to send. */
  let lazy: Array<boolean> = []
  let head = 0
  let tail = 0
  let eager = 0
  /** How many, at the head, were queued to go first. */
  let firsts = 0

  const size = () => tail - head

  return {
    size,
    /** How many of them do not wait for another reason to send. */
    eager: () => eager,
    at: (index: number): OperationUpdate | undefined => updates[head + index],
    sentAt: (index: number): Sent | undefined => sent[head + index],
    /** `first`: before everything else, but not before what was to go first itself. */
    add: (update: OperationUpdate, noted: Sent | undefined, isLazy: boolean, first: boolean): void => {
      if (!isLazy) eager++
      if (first) {
        const index = head + firsts++
        updates.splice(index, 0, update)
        sent.splice(index, 0, noted)
        lazy.splice(index, 0, isLazy)
      } else {
        updates[tail] = update
        sent[tail] = noted
        lazy[tail] = isLazy
      }
      tail++
    },
    /** Takes the first `count`. */
    take: (count: number): Batch => {
      const end = head + count
      const batch = { updates: updates.slice(head, end) as Array<OperationUpdate>, sent: sent.slice(head, end) }
      for (let i = head; i < end; i++) {
        if (!lazy[i]) eager--
        updates[i] = sent[i] = undefined // what has left is not kept
      }
      head = end
      firsts = Math.max(0, firsts - count)
      if (head === tail) head = tail = 0
      // their places are cut off when they are more than those that are left
      else if (head >= size()) {
        updates = updates.slice(head, tail)
        sent = sent.slice(head, tail)
        lazy = lazy.slice(head, tail)
        tail -= head
        head = 0
      }
      return batch
    },
    clear: (): void => {
      updates = []
      sent = []
      lazy = []
      head = tail = eager = firsts = 0
    }
  }
}
