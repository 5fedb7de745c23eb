/**
 * Random workflows: what they are made of, how they are drawn, how a failing one is made smaller.
 */
import { int, type Rng } from "./Virtual.ts"

/** A step: how long it takes, how often it fails, and how that is retried. */
export interface Step {
  readonly t: "step"
  /** Its name is one of few, so that names repeat. */
  readonly k: number
  /** Milliseconds, at most. */
  readonly dur: number
  /** How often it fails, dies or interrupts itself. */
  readonly pf: number
  readonly end: "fail" | "die" | "interrupt"
  /** Retries, and the form in which they are given. */
  readonly retry: number
  readonly form: "recurs" | "spaced" | "exponential" | "options"
  readonly amo: boolean
  readonly timeout: boolean
  /** Its failures have a schema. */
  readonly typed: boolean
}

/** How a child context keeps its value: recorded, by a schema, too large to record, not JSON, or not at all. */
export type Keep = "plain" | "schema" | "big" | "odd" | "virtual"

// prettier-ignore
export type Node =
  | Step
  | { readonly t: "sleep"; readonly s: number; readonly named: boolean }
  | { readonly t: "cb"; readonly k: number; readonly mid: Node | null; readonly twice: boolean }
  | { readonly t: "invoke"; readonly k: number }
  | { readonly t: "now" } | { readonly t: "rand" } | { readonly t: "get" } | { readonly t: "set" } | { readonly t: "yield" }
  | { readonly t: "spin"; readonly n: number } | { readonly t: "fail" }
  | { readonly t: "seq"; readonly c: ReadonlyArray<Node> }
  | { readonly t: "all"; readonly n: number; readonly c: ReadonlyArray<Node> }
  | { readonly t: "each"; readonly items: number; readonly n: number; readonly b: Node }
  | { readonly t: "race" | "raceFirst"; readonly c: ReadonlyArray<Node> }
  | { readonly t: "timeout"; readonly s: number; readonly b: Node }
  | { readonly t: "retry"; readonly times: number; readonly s: number; readonly b: Node }
  | { readonly t: "repeat"; readonly times: number; readonly b: Node }
  | { readonly t: "catch"; readonly b: Node; readonly h: Node }
  | { readonly t: "fork"; readonly a: Node; readonly b: Node; readonly join: boolean }
  | { readonly t: "child"; readonly k: number; readonly keep: Keep; readonly typed: boolean; readonly b: Node }
  | { readonly t: "fin"; readonly b: Node; readonly f: Node; readonly on: "ensuring" | "interrupt" }
  | { readonly t: "mask"; readonly b: Node }
  | { readonly t: "sem"; readonly n: number; readonly c: ReadonlyArray<Node> }
  | { readonly t: "handoff"; readonly a: Node; readonly b: Node }
  | { readonly t: "queue"; readonly c: ReadonlyArray<Node>; readonly b: Node }
  | { readonly t: "if"; readonly c: Node; readonly a: Node; readonly b: Node }

// ---- drawing -----------------------------------------------------------------------------------------

const drawStep = (r: Rng): Step => {
  const x = r()
  return {
    t: "step",
    k: int(r, 4),
    dur: r() < 0.3 ? 0 : r() * 6,
    pf: r() < 0.3 ? 0.5 : 0.05,
    end: x < 0.8 ? "fail" : x < 0.93 ? "die" : "interrupt",
    retry: r() < 0.25 ? 1 + int(r, 2) : 0,
    form: (["recurs", "spaced", "exponential", "options"] as const)[int(r, 4)]!,
    amo: r() < 0.2,
    timeout: r() < 0.1,
    typed: r() < 0.5
  }
}

const drawKeep = (r: Rng): Keep => {
  const x = r()
  return x < 0.45 ? "plain" : x < 0.6 ? "schema" : x < 0.603 ? "big" : x < 0.85 ? "odd" : "virtual"
}

/** `hard`: mostly races, timeouts, child contexts, finalizers and masks, nested in each other. */
export const generate = (r: Rng, size: number, hard = false): Node => {
  let k = 0
  /** What touches only memory: finalizers in a child context may do no more. */
  const memory = (): Node => {
    const x = r()
    return x < 0.3
      ? { t: "get" }
      : x < 0.6
        ? { t: "set" }
        : x < 0.75
          ? { t: "now" }
          : x < 0.9
            ? { t: "rand" }
            : { t: "yield" }
  }
  const leaf = (): Node => {
    // a busy fiber beside one that looks at it: sensitive to who runs when inside one instant
    if (hard && r() < 0.12) return { t: "fork", a: { t: "get" }, b: { t: "spin", n: 3000 }, join: r() < 0.5 }
    const x = r()
    if (x < 0.42) return drawStep(r)
    if (x < 0.58) return { t: "sleep", s: 1 + int(r, 3), named: r() < 0.3 }
    if (x < 0.68) return { t: "cb", k: int(r, 4), mid: r() < 0.3 ? leaf() : null, twice: r() < 0.2 }
    if (x < 0.72) return { t: "invoke", k: int(r, 4) }
    if (x < 0.78) return { t: "now" }
    if (x < 0.82) return { t: "rand" }
    if (x < 0.88) return { t: "get" }
    if (x < 0.93) return { t: "set" }
    if (x < 0.95) return { t: "yield" }
    if (x < 0.97) return { t: "spin", n: r() < 0.5 ? 50 : 3000 }
    return { t: "fail" }
  }
  const list = (n: number, size: number, inChild: boolean): ReadonlyArray<Node> =>
    Array.from({ length: n }, () => gen(Math.max(1, Math.floor(size / n)), inChild))
  const child = (size: number, inChild: boolean): Node => {
    const keep = drawKeep(r)
    return { t: "child", k: k++, keep, typed: r() < 0.3, b: gen(size, inChild || keep !== "virtual") }
  }
  const fin = (size: number, most: number, ensuring: number, inChild: boolean): Node => ({
    t: "fin",
    b: gen(size >> 1, inChild),
    f: inChild ? memory() : gen(Math.min(most, size >> 1), inChild),
    on: r() < ensuring ? "ensuring" : "interrupt"
  })
  const gen = (size: number, inChild: boolean): Node => {
    if (size <= 1) return leaf()
    const x = r()
    const n = 2 + int(r, 3)
    const s = size - 1
    const half = s >> 1
    if (hard && r() < 0.75) {
      const y = r()
      if (y < 0.2) return { t: "raceFirst", c: list(2 + int(r, 2), s, inChild) }
      if (y < 0.35) return { t: "race", c: list(2 + int(r, 2), s, inChild) }
      if (y < 0.5) return { t: "timeout", s: 1 + int(r, 3), b: gen(s, inChild) }
      if (y < 0.7) return child(s, inChild)
      if (y < 0.82) return fin(s, 3, 0.6, inChild)
      if (y < 0.87) return { t: "mask", b: gen(s, inChild) }
      return { t: "each", items: 2 + int(r, 3), n: 1 + int(r, 4), b: gen(half, inChild) }
    }
    if (x < 0.2) return { t: "seq", c: list(n, s, inChild) }
    if (x < 0.34) return { t: "all", n: r() < 0.5 ? 0 : 2, c: list(n, s, inChild) }
    if (x < 0.42) return { t: "each", items: 2 + int(r, 4), n: 1 + int(r, 4), b: gen(half, inChild) }
    if (x < 0.49) return { t: "race", c: list(2 + int(r, 2), s, inChild) }
    if (x < 0.58) return { t: "raceFirst", c: list(2 + int(r, 2), s, inChild) }
    if (x < 0.64) return { t: "timeout", s: 1 + int(r, 3), b: gen(s, inChild) }
    if (x < 0.68) return { t: "retry", times: 1 + int(r, 2), s: int(r, 3), b: gen(s, inChild) }
    if (x < 0.71) return { t: "repeat", times: 1 + int(r, 2), b: gen(half, inChild) }
    if (x < 0.75) return { t: "catch", b: gen(half, inChild), h: gen(half, inChild) }
    if (x < 0.8) return { t: "fork", a: gen(half, inChild), b: gen(half, inChild), join: r() < 0.7 }
    if (x < 0.87) return child(s, inChild)
    if (x < 0.9) return fin(s, 2, 0.5, inChild)
    if (x < 0.915) return { t: "mask", b: gen(s, inChild) }
    if (x < 0.935) return { t: "sem", n: 1 + int(r, 2), c: list(n, s, inChild) }
    if (x < 0.955) return { t: "handoff", a: gen(half, inChild), b: gen(half, inChild) }
    if (x < 0.97) return { t: "queue", c: list(2, half, inChild), b: gen(half, inChild) }
    return { t: "if", c: leaf(), a: gen(half, inChild), b: gen(half, inChild) }
  }
  return gen(size, false)
}

// ---- looking into ------------------------------------------------------------------------------------

const KEYS = ["a", "b", "c", "f", "h", "mid"] as const

type Loose = { readonly [K in (typeof KEYS)[number]]?: Node | ReadonlyArray<Node> | null }

const isList = (x: Node | ReadonlyArray<Node>): x is ReadonlyArray<Node> => Array.isArray(x)

/** The parts of a program. */
export const parts = (node: Node): ReadonlyArray<Node> =>
  KEYS.flatMap((key) => {
    const part = (node as Loose)[key]
    return part === undefined || part === null ? [] : isList(part) ? part : [part]
  })

/** How many nodes a program has. */
export const count = (node: Node): number => parts(node).reduce((n, part) => n + count(part), 1)

// prettier-ignore
const CONCURRENT: ReadonlySet<Node["t"]> = new Set(["all", "each", "race", "raceFirst", "timeout", "fork", "sem", "handoff", "queue"])
const OUTSIDE: ReadonlySet<Node["t"]> = new Set(["sleep", "cb", "invoke", "timeout", "retry"])

const someHere = (node: Node, f: (node: Node) => boolean): boolean =>
  f(node) || parts(node).some((part) => !(part.t === "child" && part.keep !== "virtual") && someHere(part, f))

/**
 * Whether a program may have a marker: in some world several operations are parked at once, and (policy
 * `markers`) one of them is brought about by the outside.
 */
export const mayChoose = (node: Node, order: string): boolean => {
  if (order === "timestamps") return false
  const concurrent = someHere(node, (n) => CONCURRENT.has(n.t) || (n.t === "cb" && n.twice))
  const outside = order === "log" || someHere(node, (n) => OUTSIDE.has(n.t))
  return (concurrent && outside) || worldsIn(node).some((world) => mayChoose(world, order))
}

/** The bodies of child contexts that begin a world of their own, the outermost ones. */
const worldsIn = (node: Node): ReadonlyArray<Node> =>
  parts(node)
    .flatMap((part) => worldsIn(part))
    .concat(node.t === "child" && node.keep !== "virtual" ? parts(node) : [])

// ---- shrinking ---------------------------------------------------------------------------------------

/** Smaller variants of a program, the most different first. */
export function* shrinks(node: Node): Generator<Node> {
  for (const part of parts(node)) yield part
  for (const key of KEYS) {
    const part = (node as Loose)[key]
    if (part === undefined || part === null) continue
    if (!isList(part)) {
      for (const smaller of shrinks(part)) yield { ...node, [key]: smaller } as Node
      continue
    }
    if (part.length > 1) {
      for (let i = 0; i < part.length; i++) yield { ...node, [key]: part.filter((_, j) => j !== i) } as Node
    }
    for (let i = 0; i < part.length; i++) {
      for (const smaller of shrinks(part[i]!))
        yield { ...node, [key]: part.map((p, j) => (j === i ? smaller : p)) } as Node
    }
  }
  if (node.t === "each" && node.items > 2) yield { ...node, items: node.items - 1 }
  if (node.t === "step") {
    if (node.pf > 0) yield { ...node, pf: 0, retry: 0, end: "fail" }
    if (node.amo || node.timeout || node.typed) yield { ...node, amo: false, timeout: false, typed: false }
    if (node.form !== "recurs") yield { ...node, form: "recurs" }
    if (node.dur > 0) yield { ...node, dur: 0 }
  }
  if (node.t === "child" && (node.keep !== "plain" || node.typed)) yield { ...node, keep: "plain", typed: false }
  if (node.t === "cb") {
    if (node.twice) yield { ...node, twice: false }
    if (node.mid !== null) yield { ...node, mid: null }
  }
}
