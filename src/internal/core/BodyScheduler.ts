import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"

/**
 * Runs the tasks of all body fibers from one queue that the core drains by hand: an empty queue is
 * quiescence, and no task of the body ever runs behind the core's back.
 */
export class BodyScheduler implements Scheduler.Scheduler {
  readonly executionMode = "async" as const
  /** Tasks of the usual priority, 0. */
  private tasks: Array<() => void> = []
  /** The others, by priority. */
  private buckets: Array<[priority: number, tasks: Array<() => void>]> = []
  private isStopped = false
  private moves = 0
  private readonly onMove: (fiber: Fiber.Fiber<unknown, unknown> | undefined) => void
  private readonly onSpin: () => void
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
    this.tasks = []
    this.buckets = []
  }

  /** One dispatcher for all fibers: one order. */
  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return this.dispatcher
  }

  private readonly dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => this.schedule(task, priority),
    flush: () => this.drain()
  }

  schedule(task: () => void, priority: number): void {
    if (this.isStopped) return
    if (priority === 0) this.tasks.push(task)
    else this.enqueue(priority, [task])
    if (this.phase === "idle") this.onMove(undefined)
  }

  get idle(): boolean {
    return this.tasks.length === 0 && this.buckets.length === 0
  }

  drain(): void {
    while (!this.idle) {
      const { tasks } = this
      this.tasks = []
      if (this.buckets.length === 0) {
        this.run(tasks)
        continue
      }
      if (tasks.length > 0) this.enqueue(0, tasks)
      const { buckets } = this
      this.buckets = []
      for (const bucket of buckets) this.run(bucket[1])
    }
  }

  private run(tasks: ReadonlyArray<() => void>): void {
    for (let i = 0; i < tasks.length && !this.isStopped; i++) tasks[i]!()
  }

  private enqueue(priority: number, tasks: Array<() => void>): void {
    const { buckets } = this
    let i = 0
    while (i < buckets.length && buckets[i]![0] < priority) i++
    if (buckets[i]?.[0] === priority) buckets[i]![1].push(...tasks)
    else buckets.splice(i, 0, [priority, tasks])
  }
}
