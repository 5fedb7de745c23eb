/** How unpleasant the world is in which a program runs. */
import { int, rng } from "./Virtual.ts"

export type Order = "markers" | "timestamps" | "log"

export interface Profile {
  /** Chance of a crash at each boundary, and how many there may be. */
  readonly crash: number
  readonly maxCrashes: number
  /** Part of the crashes after which the process lives on beside the new invocation. */
  readonly zombie: number
  /** Chance that a request, or its response, is lost or late, so that the client sends it again. */
  readonly lost: number
  /** Milliseconds that a request or a response travels, at most; most take much less. */
  readonly latency: number
  /** Milliseconds after which outside completions become visible, at most. Breaks what `timestamps` trusts. */
  readonly externalLag: number
  /** Milliseconds by which timers of the service are late, at most. */
  readonly flipLag: number
  /** Updates of one request are stamped one after the other. */
  readonly progressive: boolean
  /** Each request is stamped by a host whose clock is off by this much, at most. */
  readonly skew: number
  /** Milliseconds of one second of waiting: short, so that much happens in the same instant. */
  readonly unit: number
  readonly cbDur: number
  /** Steps take so many times longer. */
  readonly slow: number
  /** Milliseconds after which an invocation is ended, whatever it does; 0: never. */
  readonly deadline: number
  readonly prune: boolean
  /** Operations per page of state; 0: everything on one page. */
  readonly pageSize: number
  /** A page shows its operations as they are when it is read, not as they were when it was asked for. */
  readonly livePages: boolean
  /** Operations that a response repeats although they have not changed. */
  readonly repeat: number
  /** Finished waits have an EndTimestamp. */
  readonly waitEnds: boolean
  /** How far the invocation's clock is off. */
  readonly offset: number
  /** There is a `Serdes` layer, by which so many payloads take a while; and how many it cannot read or write for now. */
  readonly layer: number
  readonly unreadable: number
  // options of the library
  readonly batchUpdates: number
  readonly startDelay: number
  readonly pace: number
}

/** The profile of a seed. What an order does not trust is broken; what it trusts holds. */
export const profileOf = (seed: number, order: Order, over: Partial<Profile> = {}): Profile => {
  const r = rng(seed ^ 0x1234567)
  const skewed = order !== "timestamps" && r() < 0.25
  const lagging = order !== "timestamps" && r() < 0.6
  return {
    crash: r() < 0.4 ? 0 : r() * 0.15,
    maxCrashes: 6,
    zombie: r() < 0.7 ? 0 : 0.5,
    lost: r() < 0.7 ? 0 : 0.15,
    latency: r() < 0.5 ? 0.3 : 2.5,
    externalLag: lagging ? r() * 10 : 0,
    flipLag: r() < 0.5 ? 0 : 3,
    progressive: r() < 0.3,
    skew: skewed ? (order === "log" ? 3 : 1) : 0,
    unit: 1 + int(r, 4),
    cbDur: r() < 0.5 ? 4 : 20,
    slow: r() < 0.9 ? 1 : r() < 0.7 ? 20 : 600,
    prune: r() < 0.7,
    pageSize: r() < 0.8 ? 0 : 1 + int(r, 4),
    livePages: order !== "timestamps" && r() < 0.5,
    repeat: r() < 0.7 ? 0 : 3,
    waitEnds: r() < 0.7,
    offset: r() < 0.5 ? 12345.678 : r() < 0.5 ? -500 : 0,
    batchUpdates: r() < 0.8 ? 250 : 2 + int(r, 5),
    startDelay: [0, 2, 50][int(r, 3)]!,
    pace: skewed ? 3 : 1,
    deadline: r() < 0.9 ? 0 : 30 + r() * 70,
    layer: 0,
    unreadable: 0,
    ...over
  }
}
