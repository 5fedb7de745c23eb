/** One case: a program, a world and an order, all drawn from a seed; and the search for a smaller one that fails. */
import { edit, type Kind } from "./Edits.ts"
import { interpret } from "./interpret.ts"
import { type Order, type Profile, profileOf } from "./Profile.ts"
import { cleans, count, generate, mayChoose, type Node, shrinks } from "./Program.ts"
import { type Result, simulate } from "./Simulation.ts"
import { int, rng } from "./Virtual.ts"

export interface Options {
  readonly order: Order
  readonly hard?: boolean
  /** With durable cleanup. */
  readonly cleanup?: boolean
  /** With fibers of every kind. */
  readonly fibers?: boolean
  /** With a `Serdes` layer that takes its time, and fails now and then. */
  readonly serdes?: boolean
  readonly size?: number | undefined
  /** The code changes under the running execution. */
  readonly edits?: Kind | undefined
  readonly profile?: Partial<Profile>
}

export const programOf = (seed: number, { cleanup, fibers, hard, size }: Options): Node => {
  const r = rng(seed)
  const drawn = 2 + int(r, 14)
  return generate(r, size ?? drawn, hard, cleanup, fibers)
}

export const runCase = (seed: number, options: Options, program = programOf(seed, options)): Result => {
  const { edits, order, serdes } = options
  // (state in small pages and slow payloads may need more time than an invocation has)
  const layer = serdes ? { layer: 0.6, unreadable: seed % 2 === 0 ? 0 : 0.02, pageSize: 0 } : {}
  const profile = profileOf(seed, order, { ...layer, ...options.profile })
  const setting = { seed, order, profile, cleans: cleans(program) }
  if (edits === undefined) return simulate(interpret(program), { ...setting, mayChoose: mayChoose(program, order) })
  const r = rng(seed ^ 0x7ed17)
  const { after, before, secret } = edit(program, edits, r)
  return simulate(interpret(before), {
    ...setting,
    mayChoose: true,
    change: {
      program: interpret(after),
      from: 2 + int(r, 3),
      may: edits === "calm" ? "nothing else" : edits === "undeclared" ? "diverge at once" : "diverge",
      secret
    }
  })
}

export interface Failure {
  readonly seed: number
  readonly program: Node
  readonly error: string
}

/** A smaller program that fails, if one is found within so many milliseconds. */
export const shrink = (failure: Failure, options: Options, millis = 15_000): Failure => {
  const end = performance.now() + millis
  let best = failure
  search: for (;;) {
    for (const program of shrinks(best.program)) {
      if (count(program) > count(best.program)) continue
      for (let i = 0; i < 12; i++) {
        if (performance.now() > end) return best
        const seed = i === 0 ? best.seed : (best.seed * 13 + i) % 2 ** 31
        const { error } = runCase(seed, options, program)
        if (error === undefined) continue
        best = { seed, program, error }
        continue search
      }
    }
    return best
  }
}
