/**
 * Random numbers that are the same in every invocation: seeded from execution and context. Not
 * `Random.withSeed`, because an execution may live for a year and must not change its numbers with a new
 * version of Effect. Not for secrets.
 */
import type * as Random from "effect/Random"

/** A string hash whose four outputs seed the generator (xmur3). */
const seeds = (text: string): (() => number) => {
  let h = 1779033703 ^ text.length
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 3432918353)
    h = (h << 13) | (h >>> 19)
  }
  return () => {
    h = Math.imul(h ^ (h >>> 16), 2246822507)
    h = Math.imul(h ^ (h >>> 13), 3266489909)
    return (h ^= h >>> 16) >>> 0
  }
}

/** Chris Doty-Humphrey's sfc32, seeded when the first number is asked for: most contexts never ask. */
export class SeededRandom implements Random.Random {
  private readonly seed: () => string
  private state: [number, number, number, number] | undefined

  constructor(seed: () => string) {
    this.seed = seed
  }
  nextDoubleUnsafe(): number {
    return (this.word() * 0x200000 + (this.word() >>> 11)) / 0x20000000000000
  }
  nextIntUnsafe(): number {
    return Math.floor((this.nextDoubleUnsafe() - 0.5) * 2 * Number.MAX_SAFE_INTEGER)
  }
  private word(): number {
    if (this.state === undefined) {
      const next = seeds(this.seed())
      this.state = [next(), next(), next(), next()]
      for (let i = 0; i < 12; i++) this.word()
    }
    let [a, b, c, d] = this.state
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    this.state = [a, b, c, d]
    return t >>> 0
  }
}
