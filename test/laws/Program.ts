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
  /** Its codec takes time. */
  readonly slow?: boolean
}

/** How a callback is awaited: at once, by two fibers, twice in a row, in a race with a timer and then again, or not. */
export type Awaited = "once" | "both" | "again" | "raced" | "never"

/** What the outside may be asked of: seconds that it may take, and whether its failures have a schema. */
export interface Outside {
  readonly k: number
  readonly timeout?: number | undefined
  readonly heartbeat?: number | undefined
  readonly typed?: boolean
}

/** A condition: how often it is checked until it is met, how often at most, and how its checks go. */
export interface Condition {
  readonly t: "cond"
  readonly k: number
  readonly check: Step
  readonly need: number
  readonly times: number
  /** Seconds between checks. */
  readonly s: number
  readonly form: "options" | "spaced" | "exponential"
  readonly until: "plain" | "effect" | "throws"
}

/**
 * How a child context keeps its value: recorded, by a schema, by one that takes time, too large to record, both of
 * these, not JSON, or not at all.
 */
export type Keep = "plain" | "schema" | "slow" | "big" | "heavy" | "odd" | "virtual"

/** When a batch ends before all of its items have: thresholds, or a function of how many have succeeded and failed. */
export type Completion =
  | { readonly by: "default" }
  | {
      readonly by: "rule"
      readonly min?: number | undefined
      readonly count?: number | undefined
      readonly percentage?: number | undefined
    }
  | { readonly by: "function"; readonly ok: number; readonly bad: number }

/**
 * A fiber beside what follows, and what becomes of it: it is joined, awaited, interrupted, or left. One that loops does
 * its part over and over, and is never joined.
 */
export interface Fork {
  readonly t: "fork"
  readonly a: Node
  readonly b: Node
  readonly join: boolean
  /** Whose it is: the fiber's that forks it, nobody's, a scope's around it, or a scope's of the whole body. */
  readonly how?: "detach" | "scoped" | "in" | undefined
  /** It begins at once. */
  readonly now?: boolean
  readonly end?: "await" | "interrupt" | undefined
  readonly loop?: boolean
}

/** What `map` and `parallel` share. */
export interface Batch {
  readonly k: number
  /** How many at a time; 0: all. */
  readonly n: number
  readonly flat: boolean
  readonly mode: "values" | "result"
  readonly done: Completion
  readonly keep: Exclude<Keep, "virtual">
  readonly typed: boolean
  /** A codec writes the result as a whole. */
  readonly whole: boolean
}

// prettier-ignore
export type Node =
  | Step
  | { readonly t: "sleep"; readonly s: number; readonly named: boolean; readonly k?: number }
  | { readonly t: "cb"; readonly mid: Node | null; readonly wait: Awaited } & Outside
  | { readonly t: "wfc"; readonly submit: Step } & Outside
  | Condition
  | { readonly t: "invoke"; readonly slow?: boolean } & Outside
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
  | Fork
  // detached fibers beside b, each begun when the one before it has ended, however
  | { readonly t: "relay"; readonly c: ReadonlyArray<Node>; readonly b: Node; readonly join: boolean }
  | { readonly t: "child"; readonly k: number; readonly keep: Keep; readonly typed: boolean; readonly b: Node }
  | { readonly t: "map"; readonly items: number; readonly b: Node } & Batch
  | { readonly t: "par"; readonly struct: boolean; readonly c: ReadonlyArray<Node> } & Batch
  | { readonly t: "fin"; readonly b: Node; readonly f: Node; readonly on: "ensuring" | "interrupt" }
  | { readonly t: "mask"; readonly b: Node }
  | { readonly t: "final"; readonly k: number; readonly f: Node }
  | { readonly t: "undo" | "acquire"; readonly k: number; readonly b: Node; readonly f: Node }
  | { readonly t: "scoped"; readonly b: Node }
  | { readonly t: "sem"; readonly n: number; readonly c: ReadonlyArray<Node> }
  | { readonly t: "handoff"; readonly a: Node; readonly b: Node }
  | { readonly t: "queue"; readonly c: ReadonlyArray<Node>; readonly b: Node }
  | { readonly t: "if"; readonly c: Node; readonly a: Node; readonly b: Node }
  // (drawn by Edits.ts only) something whose outcome nothing looks at; what is said of the code of a context
  | { readonly t: "aside"; readonly a: Node; readonly b: Node }
  | { readonly t: "declare"; readonly added: ReadonlyArray<string>; readonly retired: ReadonlyArray<string>; readonly b: Node }

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
    typed: r() < 0.5,
    slow: r() < 0.1
  }
}

const AWAITED = ["once", "once", "once", "both", "again", "raced", "raced", "never"] as const

const drawOutside = (r: Rng, timeouts: boolean): Outside => ({
  k: int(r, 4),
  timeout: timeouts && r() < 0.25 ? 1 + int(r, 4) : undefined,
  heartbeat: timeouts && r() < 0.2 ? 1 + int(r, 2) : undefined,
  typed: r() < 0.4
})

const drawCondition = (r: Rng): Condition => ({
  t: "cond",
  k: int(r, 3),
  check: { ...drawStep(r), pf: r() < 0.2 ? 0.3 : 0, retry: 0, amo: false, timeout: false },
  need: 1 + int(r, 4),
  times: int(r, 5),
  s: 1 + int(r, 2),
  form: (["options", "spaced", "exponential"] as const)[int(r, 3)]!,
  until: r() < 0.5 ? "plain" : r() < 0.9 ? "effect" : "throws"
})

const drawKeep = (r: Rng): Keep => {
  const x = r()
  return x < 0.4
    ? "plain"
    : x < 0.5
      ? "schema"
      : x < 0.6
        ? "slow"
        : x < 0.603
          ? "big"
          : x < 0.605
            ? "heavy"
            : x < 0.85
              ? "odd"
              : "virtual"
}

const drawCompletion = (r: Rng, size: number): Completion => {
  const x = r()
  if (x < 0.3 || size === 0) return { by: "default" }
  if (x < 0.5) return { by: "function", ok: 1 + int(r, size), bad: 1 + int(r, 2) }
  return {
    by: "rule",
    min: r() < 0.5 ? 1 + int(r, size) : undefined,
    count: r() < 0.4 ? int(r, 3) : undefined,
    percentage: r() < 0.3 ? int(r, 3) * 33 : undefined
  }
}

const drawBatch = (r: Rng, size: number): Batch => {
  const keep = drawKeep(r)
  const mode = r() < 0.5 ? "values" : "result"
  return {
    k: int(r, 3),
    n: r() < 0.4 ? 0 : 1 + int(r, 3),
    flat: r() < 0.4,
    mode,
    done: mode === "values" ? { by: "default" } : drawCompletion(r, size),
    keep: keep === "virtual" ? "plain" : keep,
    typed: r() < 0.4,
    whole: mode === "result" && r() < 0.15
  }
}

const HOWS = [undefined, "detach", "detach", "scoped", "in"] as const

/**
 * `hard`: mostly races, timeouts, child contexts, finalizers and masks, nested in each other. `cleanup`: with durable
 * cleanup everywhere. `fibers`: with fibers of every kind everywhere.
 */
export const generate = (r: Rng, size: number, hard = false, cleanup = false, fibers = false): Node => {
  let k = 0
  /**
   * In an uninterruptible part of a context: what waits there for memory goes on when the context is lost, and
   * nothing durable can follow.
   */
  let masked = false
  const within = <A>(isMasked: boolean, f: () => A): A => {
    const before = masked
    masked = isMasked
    const drawn = f()
    masked = before
    return drawn
  }
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
  const drawCallback = (): Extract<Node, { t: "cb" }> => ({
    t: "cb",
    mid: r() < 0.3 ? leaf() : null,
    wait: AWAITED[int(r, AWAITED.length)]!,
    ...drawOutside(r, true)
  })
  const leaf = (): Node => {
    // a busy fiber beside one that looks at it: sensitive to who runs when inside one instant
    if (hard && r() < 0.12) return { t: "fork", a: { t: "get" }, b: { t: "spin", n: 3000 }, join: r() < 0.5 }
    const x = r()
    if (x < 0.32) return drawStep(r)
    if (x < 0.46) return { t: "sleep", s: 1 + int(r, 3), named: r() < 0.3 }
    if (x < 0.57) return drawCallback()
    if (x < 0.61) return { t: "wfc", submit: { ...drawStep(r), amo: false, timeout: false }, ...drawOutside(r, true) }
    if (x < 0.66) return drawCondition(r)
    if (x < 0.72) return { t: "invoke", slow: r() < 0.2, ...drawOutside(r, false) }
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
    return {
      t: "child",
      k: k++,
      keep,
      typed: r() < 0.3,
      b: keep === "virtual" ? gen(size, inChild) : within(false, () => gen(size, true))
    }
  }
  const mask = (size: number, inChild: boolean): Node => ({
    t: "mask",
    b: within(masked || inChild, () => gen(size, inChild))
  })
  const fin = (size: number, most: number, ensuring: number, inChild: boolean): Node => ({
    t: "fin",
    b: gen(size >> 1, inChild),
    f: inChild ? memory() : gen(Math.min(most, size >> 1), inChild),
    on: r() < ensuring ? "ensuring" : "interrupt"
  })
  const batch = (size: number): Node => {
    const drawn = within(false, () => drawnBatch(size))
    return cleanup && cleans(drawn) ? { ...drawn, flat: false } : drawn // flat items must not
  }
  const drawnBatch = (size: number): Extract<Node, Batch> => {
    if (r() < 0.5) {
      const items = r() < 0.05 ? 0 : 1 + int(r, 4)
      return { t: "map", items, b: gen(size >> 1, true), ...drawBatch(r, items) }
    }
    const n = 1 + int(r, 3)
    return { t: "par", struct: r() < 0.5, c: list(n, size, true), ...drawBatch(r, n) }
  }
  /** What everybody writes. */
  const pattern = (): Node => {
    const x = r()
    if (x < 0.3)
      return {
        t: "raceFirst",
        c: [
          { ...drawCallback(), mid: null },
          { t: "sleep", s: 1 + int(r, 4), named: false }
        ]
      }
    if (x < 0.6) return { t: "timeout", s: 1 + int(r, 4), b: { t: "invoke", slow: false, ...drawOutside(r, false) } }
    if (x < 0.8) return { t: "each", items: 2 + int(r, 4), n: 1 + int(r, 4), b: drawStep(r) }
    return { t: "timeout", s: 1 + int(r, 4), b: batch(4) }
  }
  const cleaning = (size: number, inChild: boolean): Node => {
    const x = r()
    const name = int(r, 3)
    if (x < 0.3) return { t: "scoped", b: gen(size, inChild) }
    // a context of its own, in which durable finalizers are as forbidden as in others
    const f = within(false, () => gen(1 + int(r, Math.min(4, size)), true))
    if (x < 0.5) return { t: "seq", c: [{ t: "final", k: name, f }, gen(size, inChild)] }
    const b = gen(size >> 1, inChild)
    const one: Node = { t: x < 0.8 ? "undo" : "acquire", k: name, b: x < 0.8 ? b : within(true, () => leaf()), f }
    return r() < 0.2 ? one : { t: "seq", c: [one, gen(size >> 1, inChild)] }
  }
  const forked = (size: number, inChild: boolean): Fork => {
    const loop = r() < 0.2
    const x = r()
    const join = !loop && x < 0.25
    const end = join || x > 0.5 ? undefined : loop || x > 0.35 ? "interrupt" : "await"
    const how = HOWS[int(r, HOWS.length)]
    const [a, b] = list(2, size, inChild) as [Node, Node]
    return { t: "fork", a, b, join, how, now: r() < 0.3, end, loop }
  }
  const gen = (size: number, inChild: boolean): Node => {
    if (size <= 1) return leaf()
    if (fibers && r() < 0.3) {
      const rest = size - 1
      if (r() < 0.8) return forked(rest, inChild)
      return { t: "relay", c: list(2 + int(r, 2), rest, inChild), b: gen(rest >> 1, inChild), join: r() < 0.4 }
    }
    if (cleanup && r() < 0.3) return cleaning(size - 1, inChild)
    const x = r()
    const n = 2 + int(r, 3)
    const s = size - 1
    const half = s >> 1
    if (hard && r() < 0.75) {
      const y = r()
      if (y < 0.2) return { t: "raceFirst", c: list(2 + int(r, 2), s, inChild) }
      if (y < 0.35) return { t: "race", c: list(2 + int(r, 2), s, inChild) }
      if (y < 0.5) return { t: "timeout", s: 1 + int(r, 3), b: gen(s, inChild) }
      if (y < 0.62) return child(s, inChild)
      if (y < 0.72) return batch(s)
      if (y < 0.82) return fin(s, 3, 0.6, inChild)
      if (y < 0.87) return mask(s, inChild)
      return { t: "each", items: 2 + int(r, 3), n: 1 + int(r, 4), b: gen(half, inChild) }
    }
    if (r() < 0.13) return r() < 0.7 ? batch(s) : pattern()
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
    if (x < 0.915) return mask(s, inChild)
    if (x < 0.935 && !masked) return { t: "sem", n: 1 + int(r, 2), c: list(n, s, inChild) }
    if (x < 0.955) return { t: "handoff", a: gen(half, inChild), b: gen(half, inChild) }
    if (x < 0.97 && !masked) return { t: "queue", c: list(2, half, inChild), b: gen(half, inChild) }
    return { t: "if", c: leaf(), a: gen(half, inChild), b: gen(half, inChild) }
  }
  return gen(size, false)
}

// ---- looking into ------------------------------------------------------------------------------------

const KEYS = ["a", "b", "c", "f", "h", "mid"] as const

type Loose = { readonly [K in (typeof KEYS)[number]]?: Node | ReadonlyArray<Node> | null }

const isList = (x: Node | ReadonlyArray<Node>): x is ReadonlyArray<Node> => Array.isArray(x)

/** The parts of a program, and where each stands. */
export const keyed = (node: Node): ReadonlyArray<readonly [key: string, part: Node]> =>
  KEYS.flatMap((key): ReadonlyArray<readonly [key: string, part: Node]> => {
    const part = (node as Loose)[key]
    return part === undefined || part === null
      ? []
      : isList(part)
        ? part.map((one, i) => [`${key}${i}`, one] as const)
        : [[key, part] as const]
  })

/** The parts of a program. */
export const parts = (node: Node): ReadonlyArray<Node> => keyed(node).map(([, part]) => part)

/** The same program of other parts. */
export const mapParts = (node: Node, f: (part: Node, key: string) => Node): Node => {
  const changed = KEYS.flatMap((key) => {
    const part = (node as Loose)[key]
    return part === undefined || part === null
      ? []
      : [[key, isList(part) ? part.map((one, i) => f(one, `${key}${i}`)) : f(part, key)]]
  })
  return { ...node, ...Object.fromEntries(changed) } as Node
}

/** How many nodes a program has. */
export const count = (node: Node): number => parts(node).reduce((n, part) => n + count(part), 1)

// prettier-ignore
const CONCURRENT: ReadonlySet<Node["t"]> = new Set(["all", "each", "race", "raceFirst", "timeout", "fork", "sem", "handoff", "queue", "relay"])
const OUTSIDE: ReadonlySet<Node["t"]> = new Set(["sleep", "cb", "invoke", "timeout", "retry"])

const someHere = (node: Node, f: (node: Node) => boolean): boolean =>
  f(node) || (!isWorld(node) && parts(node).some((part) => part !== worldOf(node) && someHere(part, f)))

/** Whether the parts of this node run in worlds of their own. */
const isWorld = (node: Node): boolean =>
  node.t === "map" || node.t === "par" || (node.t === "child" && node.keep !== "virtual")

/** Whether there is durable cleanup in a program. */
export const cleans = (node: Node): boolean => worldOf(node) !== undefined || parts(node).some(cleans)

/** What runs in a world of its own although the rest of the node does not: a context at the end of its scope. */
const worldOf = (node: Node): Node | undefined =>
  node.t === "final" || node.t === "undo" || node.t === "acquire" ? node.f : undefined

/**
 * Whether a program may have a marker: in some world several operations are parked at once, and (policy
 * `markers`) one of them is brought about by the outside.
 */
export const mayChoose = (node: Node, order: string): boolean => {
  if (cleans(node)) return true // where a context was interrupted is a part of its order
  if (order === "timestamps") return false
  if (isWorld(node)) return parts(node).some((world) => mayChoose(world, order))
  const concurrent = someHere(
    node,
    (n) => CONCURRENT.has(n.t) || (n.t === "cb" && (n.wait === "both" || n.wait === "raced"))
  )
  const outside = order === "log" || someHere(node, (n) => OUTSIDE.has(n.t) || (n.t === "fork" && n.loop === true))
  return (concurrent && outside) || worldsIn(node).some((world) => mayChoose(world, order))
}

/** The bodies of contexts that begin a world of their own, the outermost ones. */
const worldsIn = (node: Node): ReadonlyArray<Node> =>
  isWorld(node) ? parts(node) : parts(node).flatMap((part) => (part === worldOf(node) ? [part] : worldsIn(part)))

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
    const fixed = node.t === "par" && node.done.by !== "default" // its thresholds may not fit any more
    if (part.length > 1 && !fixed) {
      for (let i = 0; i < part.length; i++) yield { ...node, [key]: part.filter((_, j) => j !== i) } as Node
    }
    for (let i = 0; i < part.length; i++) {
      for (const smaller of shrinks(part[i]!))
        yield { ...node, [key]: part.map((p, j) => (j === i ? smaller : p)) } as Node
    }
  }
  if (node.t === "each" && node.items > 2) yield { ...node, items: node.items - 1 }
  if (node.t === "map" && node.items > 1 && node.done.by === "default") yield { ...node, items: node.items - 1 }
  if (node.t === "map" || node.t === "par") {
    const plain = { keep: "plain", typed: false, whole: false } as const
    if (node.keep !== "plain" || node.typed || node.whole) yield { ...node, ...plain }
    if (node.done.by !== "default") yield { ...node, done: { by: "default" } }
    else if (node.mode !== "values") yield { ...node, mode: "values", whole: false }
    if (node.flat) yield { ...node, flat: false }
    if (node.n !== 0) yield { ...node, n: 0 }
  }
  if (node.t === "step") {
    if (node.pf > 0) yield { ...node, pf: 0, retry: 0, end: "fail" }
    if (node.amo || node.timeout || node.typed) yield { ...node, amo: false, timeout: false, typed: false }
    if (node.form !== "recurs") yield { ...node, form: "recurs" }
    if (node.slow === true) yield { ...node, slow: false }
    if (node.dur > 0) yield { ...node, dur: 0 }
  }
  if (node.t === "child" && (node.keep !== "plain" || node.typed)) yield { ...node, keep: "plain", typed: false }
  if (node.t === "cb") {
    if (node.wait !== "once") yield { ...node, wait: "once" }
    if (node.mid !== null) yield { ...node, mid: null }
  }
  if (node.t === "cb" || node.t === "wfc" || node.t === "invoke") {
    if (node.timeout !== undefined) yield { ...node, timeout: undefined }
    if (node.heartbeat !== undefined) yield { ...node, heartbeat: undefined }
    if (node.typed === true) yield { ...node, typed: false }
  }
  if (node.t === "relay" && node.join) yield { ...node, join: false }
  if (node.t === "fork") {
    if (node.loop === true) yield { ...node, loop: false }
    if (node.end === "await") yield { ...node, end: "interrupt" }
    if (node.end !== undefined || node.join) yield { ...node, end: undefined, join: false }
    if (node.how === "scoped" || node.how === "in") yield { ...node, how: "detach" }
    if (node.how !== undefined) yield { ...node, how: undefined }
    if (node.now === true) yield { ...node, now: false }
  }
  if (node.t === "invoke" && node.slow === true) yield { ...node, slow: false }
  if (node.t === "wfc") for (const submit of shrinks(node.submit)) yield { ...node, submit: submit as Step }
  if (node.t === "cond") {
    for (const check of shrinks(node.check)) yield { ...node, check: check as Step }
    if (node.need > 1) yield { ...node, need: node.need - 1 }
    if (node.times > 0) yield { ...node, times: node.times - 1 }
    if (node.form !== "options" || node.s > 1) yield { ...node, form: "options", s: 1 }
    if (node.until !== "plain") yield { ...node, until: "plain" }
  }
}
