/**
 * A span of which only the ids are fixed: it is given to the tracer when it is known whether, and how, it has ended.
 */
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { type Ids, pinned } from "./ids.ts"

type Event = readonly [name: string, time: bigint, attributes: Record<string, unknown> | undefined]

/** What a draft is made of. */
export interface Options extends Ids {
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly links: ReadonlyArray<Tracer.SpanLink>
  readonly start: bigint
  readonly kind: Tracer.SpanKind
  readonly root: boolean
  /** Who decides what becomes of it. Without: the user's code does not end it. */
  readonly ended?: ((draft: Draft, exit: Exit.Exit<unknown, unknown>) => void) | undefined
}

export class Draft implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly spanId: string
  readonly traceId: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly attributes = new Map<string, unknown>()
  readonly links: Array<Tracer.SpanLink>
  readonly sampled = true
  readonly kind: Tracer.SpanKind
  status: Tracer.SpanStatus
  /** An earlier invocation has ended it: it is not given to the tracer again. */
  dropped = false
  private readonly events: Array<Event> = []
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
    this.name = options.name
    this.spanId = options.spanId
    this.traceId = options.traceId
    this.parent = options.parent
    this.annotations = options.annotations
    this.links = [...options.links]
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.start }
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    const { ended } = this.options
    if (ended === undefined || this.status._tag === "Ended") return
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
    ended(this, exit)
  }

  attribute(key: string, value: unknown): void {
    if (this.status._tag === "Started") this.attributes.set(key, value)
  }

  event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
    if (this.status._tag === "Started") this.events.push([name, startTime, attributes])
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    if (this.status._tag === "Started") for (const link of links) this.links.push(link)
  }

  /** What the user's code has said about it. */
  copyTo(span: Draft): void {
    for (const [key, value] of this.attributes) span.attribute(key, value)
    for (const event of this.events) span.event(...event)
    span.addLinks(this.links)
  }

  /** Gives the span to the tracer, as it is now. */
  deliver(tracer: Tracer.Tracer, end: bigint, exit: Exit.Exit<unknown, unknown>): Tracer.Span {
    const { annotations, kind, name, parent, root, start } = this.options
    const span = pinned(
      tracer,
      { name, parent, annotations, links: [...this.links], startTime: start, kind, root, sampled: true },
      this
    )
    for (const [key, value] of this.attributes) span.attribute(key, value)
    for (const [name, time, attributes] of this.events) span.event(name, time, attributes)
    span.end(end > start ? end : start, exit)
    return span
  }
}

/** How a span ends that has no outcome yet. */
export const unfinished: Exit.Exit<never> = Exit.interrupt()
