/** One case: a program, a world and an order, all drawn from a seed; and the search for a smaller one that fails. */
import { interpret } from "./interpret.ts"
import { type Order, type Profile, profileOf } from "./Profile.ts"
import { count, generate, mayChoose, type Node, shrinks } from "./Program.ts"
import { type Result, simulate } from "./Simulation.ts"
import { int, rng } from "./Virtual.ts"

export interface Options {
  readonly order: Order
  readonly hard?: boolean
  /** With durable cleanup. */
  readonly cleanup?: boolean
  readonly size?: number | undefined
  readonly profile?: Partial<Profile>
}

export const programOf = (seed: number, { cleanup, hard, size }: Options): Node => {
  const r = rng(seed)
  const drawn = 2 + int(r, 14)
  return generate(r, size ?? drawn, hard, cleanup)
}

export const runCase = (seed: number, options: Options, program = programOf(seed, options)): Result =>
  simulate(interpret(program), {
    seed,
    order: options.order,
    profile: profileOf(seed, options.order, options.profile),
    mayChoose: mayChoose(program, options.order)
  })

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
