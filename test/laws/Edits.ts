/**
 * Changes of a program between two invocations: operations that come and go, with or without the declarations that
 * say so.
 *
 * What comes or goes stands aside: nothing looks at what it gives, so that it changes nothing but what is on record and
 * how long it takes. That alone may decide a race, or who is first at a semaphore; a *calm* program has nothing of the kind.
 */
import { type Batch, generate, keyed, mapParts, type Node, parts, type Step } from "./Program.ts"
import { int, type Rng } from "./Virtual.ts"

/**
 * `calm`: declared, in a program that must come to the same; `partly`: the same, with one change that is not declared.
 * `declared`, `undeclared`: in any program.
 */
export type Kind = "calm" | "partly" | "declared" | "undeclared"

export interface Edited {
  readonly before: Node
  readonly after: Node
  /** The name of what has come without being declared, where all else is, if it comes in one context only. */
  readonly secret: string | undefined
}

// ---- programs in which time decides nothing ------------------------------------------------------------

const caught = (b: Node): Node => ({ t: "catch", b, h: { t: "yield" } })

/** The same operations, where nothing fails, races, or looks at memory to decide. */
const calm = (node: Node, mayRebuild: boolean): Node => {
  const kids = () => parts(node).map((part) => calm(part, mayRebuild))
  const keep = <K extends Batch["keep"] | "virtual">(kept: K) =>
    mayRebuild || kept === "plain" || kept === "schema" || kept === "virtual" ? kept : ("slow" as const)
  const quiet = (step: Step): Step => ({ ...step, pf: 0, amo: false, timeout: false })
  const batch = { mode: "values", done: { by: "default" }, whole: false } as const
  switch (node.t) {
    case "step":
      return quiet(node)
    case "cb":
      return caught({
        ...node,
        wait: node.wait === "raced" ? "once" : node.wait,
        mid: node.mid && calm(node.mid, mayRebuild)
      })
    case "wfc":
      return caught({ ...node, submit: quiet(node.submit) })
    case "cond":
      return caught({ ...node, check: quiet(node.check), until: "plain" })
    case "invoke":
      return caught(node)
    case "child":
      return { ...node, keep: keep(node.keep), b: calm(node.b, mayRebuild) }
    case "map":
      return { ...node, ...batch, keep: keep(node.keep) as Batch["keep"], b: calm(node.b, mayRebuild) }
    case "par":
      return { ...node, ...batch, keep: keep(node.keep) as Batch["keep"], c: kids() }
    case "all":
      return { ...node, c: kids() }
    case "each":
      return { ...node, b: calm(node.b, mayRebuild) }
    case "sleep":
    case "now":
    case "rand":
    case "get":
    case "set":
    case "yield":
      return node
    case "race":
    case "raceFirst":
    case "queue":
    case "sem":
    case "fork":
      return { t: "all", n: 0, c: kids() }
    default:
      return { t: "seq", c: kids() }
  }
}

/**
 * The same program, in which no two operations have one name: those that are asked for side by side are told apart by
 * who comes first, and what is added before one of them may change that.
 */
const renamed = (node: Node, last: { k: number }): Node => {
  const own: Node =
    node.t === "sleep"
      ? { ...node, named: true, k: 10 + last.k++ }
      : "k" in node
        ? ({ ...node, k: 10 + last.k++ } as Node)
        : node
  return mapParts(own, (part) => renamed(part, last))
}

// ---- where ---------------------------------------------------------------------------------------------

interface Spot {
  readonly path: string
  /** The body of the context in which it stands. */
  readonly body: string
  /** It is run once in an execution, and in no other context. */
  readonly once: boolean
}

/** Where something may come: not where it would come several times in one context. */
const spots = (node: Node, path: string, body: string, several: boolean, once: boolean): ReadonlyArray<Spot> => {
  const again =
    several ||
    node.t === "each" ||
    node.t === "retry" ||
    node.t === "repeat" ||
    node.t === "queue" ||
    (node.t === "fork" && node.loop === true)
  const inner = keyed(node).flatMap(([key, part]) =>
    node.t === "fin" && key === "f" // (finalizers in contexts may do nothing durable)
      ? []
      : node.t === "map" || node.t === "par" || node.t === "child"
        ? spots(part, `${path}.${key}`, `${path}.${key}`, false, once && !several && node.t !== "map")
        : spots(part, `${path}.${key}`, body, again, once)
  )
  return several ? inner : [{ path, body, once }, ...inner]
}

/** The same program with something around its parts. */
const around = (node: Node, path: string, f: (node: Node, path: string) => Node): Node =>
  f(
    mapParts(node, (part, key) => around(part, `${path}.${key}`, f)),
    path
  )

// ---- what ----------------------------------------------------------------------------------------------

/** An operation with a name that nothing else has, and that name. */
const drawOperation = (r: Rng, i: number): readonly [node: Node, name: string] => {
  const k = 100 + i
  const x = r()
  const step: Step = { t: "step", k, dur: r() * 6, pf: 0, end: "fail", retry: 0, form: "recurs", amo: r() < 0.2, timeout: false, typed: false } // prettier-ignore
  const outside = { k, ...(r() < 0.3 ? { timeout: 2 } : undefined) }
  if (x < 0.35) return [step, `s${k}`]
  if (x < 0.5) return [{ t: "sleep", s: 1 + int(r, 8), named: true, k }, `w${k}`]
  if (x < 0.6) return [{ t: "cb", mid: null, wait: r() < 0.3 ? "never" : "once", ...outside }, `c${k}`]
  if (x < 0.66) return [{ t: "wfc", submit: { ...step, amo: false }, ...outside }, `f${k}`]
  if (x < 0.72) {
    return [
      { t: "cond", k, check: { ...step, amo: false }, need: 2, times: 3, s: 1, form: "spaced", until: "plain" },
      `p${k}`
    ]
  }
  if (x < 0.8) return [{ t: "invoke", k }, `i${k}`]
  const b = calm(generate(r, 3), true)
  if (x < 0.9) return [{ t: "child", k, keep: "plain", typed: false, b }, `k${k}`]
  const batch = { k, n: 0, flat: r() < 0.5, mode: "values", done: { by: "default" }, keep: "plain", typed: false, whole: false } as const // prettier-ignore
  return [{ t: "map", items: 2, b, ...batch }, `map${k}c0`]
}

interface Change extends Spot {
  readonly old: readonly [node: Node, name: string] | undefined
  readonly new: readonly [node: Node, name: string] | undefined
}

/** A program before and after one to three changes. */
export const edit = (program: Node, kind: Kind, r: Rng): Edited => {
  const comes = r() < 0.6
  // (nothing can come into a context that is rebuilt)
  const base = renamed(kind === "calm" || kind === "partly" ? calm(program, !comes) : program, { k: 0 })
  const all = spots(base, "", "", false, true)
  const changes = new Map<string, Change>()
  for (let i = 0, n = 1 + int(r, 3); i < n; i++) {
    const spot = all[int(r, all.length)]!
    const x = comes ? r() : 1
    changes.set(spot.path, {
      ...spot,
      old: x > 0.5 ? drawOperation(r, 2 * i) : undefined,
      new: x < 0.75 ? drawOperation(r, 2 * i + 1) : undefined
    })
  }
  const hidden = kind === "partly" ? [...changes.values()][int(r, changes.size)] : undefined
  const names = (which: "old" | "new", body: string) =>
    [...changes.values()].flatMap((change) =>
      change.body === body && change !== hidden ? (change[which]?.[1] ?? []) : []
    )
  const build = (which: "old" | "new", declares: boolean): Node =>
    around(base, "", (node, path) => {
      const operation = changes.get(path)?.[which]?.[0]
      const b: Node = operation === undefined ? node : { t: "aside", a: operation, b: node }
      const added = names("new", path)
      const retired = names("old", path)
      return declares && added.length + retired.length > 0 ? { t: "declare", added, retired, b } : b
    })
  return {
    before: build("old", false),
    after: build("new", kind !== "undeclared"),
    secret: hidden?.once === true ? hidden.new?.[1] : undefined
  }
}
