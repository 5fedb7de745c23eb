import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"

/** What the body does next, once. */
export interface Task {
  readonly priority: number
  readonly run: () => void
}

class FiberTask implements Task {
  declare readonly priority: number
  declare readonly run: () => void
  constructor(priority: number, run: () => void) {
    this.priority = priority
    this.run = run
  }
}

/**
 * Runs the tasks of all body fibers from one queue that the core drains by hand: an empty queue is
 * quiescence, and no task of the body ever runs behind the core's back.
 */
export class BodyScheduler implements Scheduler.Scheduler {
  readonly executionMode = "async" as const
  /** By priority. Its places are used again, by turns with those of the tasks that run: they come and go all the time. */
  private queue: Array<Task | undefined> = []
  private size = 0
  private spare: Array<Task | undefined> | undefined
  private isStopped = false
  private moves = 0
  declare private readonly onMove: (fiber: Fiber.Fiber<unknown, unknown> | undefined) => void
  declare private readonly onSpin: () => void
  /** `idle`: nothing was delivered, so no fiber of the body should move. `waiting`: what was delivered goes on later. */
  phase: "idle" | "running" | "waiting" = "idle"

  /**
   * `onMove` is called for every operation of a body fiber, and for every task, while the body should be idle;
   * `onSpin` for every 1,024th of the others.
   */
  constructor(onMove: (fiber: Fiber.Fiber<unknown, unknown> | undefined) => void, onSpin: () => void) {
    this.onMove = onMove
    this.onSpin = onSpin
  }

  /**
   * Never yield by operation count: the count after a resumption differs between a live and a finished child
   * context, and between versions of the code and of Effect, and with it would the interleaving.
   */
  shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (this.phase === "idle") this.onMove(fiber)
    else if (++this.moves % 1_024 === 0) this.onSpin()
    return this.isStopped
  }

  /** Nothing of the body runs any more: fibers stop at their next operation, for good. */
  stop(): void {
    this.isStopped = true
    this.queue = []
    this.size = 0
  }

  /** One dispatcher for all fibers: one order. */
  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return this.dispatcher
  }

  private readonly dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => this.schedule(new FiberTask(priority, task)),
    flush: () => this.drain()
  }

  schedule(task: Task): void {
    if (this.isStopped) return
    const { queue } = this
    let i = this.size++
    for (; i > 0 && queue[i - 1]!.priority > task.priority; i--) queue[i] = queue[i - 1]
    queue[i] = task
    if (this.phase === "idle") this.onMove(undefined)
  }

  get idle(): boolean {
    return this.size === 0
  }

  drain(): void {
    while (this.size > 0) {
      const { queue, size } = this
      this.queue = this.spare ?? []
      this.size = 0
      this.spare = undefined // (a task may drain the queue itself)
      for (let i = 0; i < size; i++) {
        const task = queue[i]!
        queue[i] = undefined // an old array leads to no young tasks
        if (!this.isStopped) task.run()
      }
      this.spare = queue
    }
  }
}
