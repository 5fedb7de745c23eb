import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Semaphore from "effect/Semaphore"
import * as Durable from "../../src/Durable.ts"
import { type Options, programOf, runCase } from "./cases.ts"
import { type Eff, type Env, interpret, worldOf } from "./interpret.ts"
import { run, stale } from "./mutants.ts"
import { mutants } from "./mutants.list.ts"
import { type Order, type Profile, profileOf } from "./Profile.ts"
import type { Batch, Node, Step } from "./Program.ts"
import { type Result, type Setting, Simulation, simulate } from "./Simulation.ts"

/** How much of each number of programs runs here: vitest.config.ts says where it is less than all. */
const SHARE = Number(process.env.LAWS_SHARE ?? 1)
const shareOf = (n: number) => Math.ceil(n * SHARE)

// ---- random programs -----------------------------------------------------------------------------------

const seeds = (from: number, n: number, options: Options, program?: Node) => {
  for (let seed = from; seed < from + n; seed++) {
    const { error } = runCase(seed, options, program)
    if (error === undefined) continue
    assert.fail(
      `seed ${seed}: ${error}\n${JSON.stringify({ ...options, program: program ?? programOf(seed, options) })}\nRepeat with: ` +
        `npm run test:laws -- --n 1 --from ${seed} --order ${options.order}${options.hard ? " --hard" : ""}${options.cleanup ? " --cleanup" : ""}${options.fibers ? " --fibers" : ""}${options.serdes ? " --serdes" : ""}${options.size ? ` --size ${options.size}` : ""}`
    )
  }
}

const random: ReadonlyArray<readonly [n: number, options: Options]> = [
  [1000, { order: "markers" }],
  [700, { order: "markers", hard: true }],
  [150, { order: "markers", size: 30 }],
  [400, { order: "timestamps" }],
  [300, { order: "timestamps", hard: true }],
  [400, { order: "log" }],
  [300, { order: "log", hard: true }],
  [400, { order: "markers", cleanup: true }],
  [300, { order: "markers", cleanup: true, hard: true }],
  [200, { order: "timestamps", cleanup: true }],
  [200, { order: "log", cleanup: true }],
  [250, { order: "markers", fibers: true }],
  [200, { order: "markers", fibers: true, hard: true }],
  [200, { order: "markers", fibers: true, cleanup: true }],
  [100, { order: "timestamps", fibers: true }],
  [100, { order: "log", fibers: true }],
  [400, { order: "markers", profile: { slow: 20, deadline: 50 } }],
  [200, { order: "markers", hard: true, profile: { slow: 20, deadline: 50 } }],
  [150, { order: "timestamps", profile: { slow: 20, deadline: 50 } }],
  [150, { order: "log", profile: { slow: 600, deadline: 80 } }],
  [300, { order: "markers", serdes: true }],
  [200, { order: "markers", serdes: true, hard: true, cleanup: true }],
  [150, { order: "log", serdes: true, fibers: true }],
  [150, { order: "timestamps", serdes: true, hard: true }]
]

describe("laws: random programs in hostile worlds run as one run", () => {
  for (const [all, options] of random) {
    const n = shareOf(all)
    const { cleanup, fibers, hard, order, profile, serdes, size } = options
    const words = [
      hard ? "hard" : "",
      size ? `${size} nodes` : "",
      cleanup ? "cleanup" : "",
      fibers ? "fibers" : "",
      serdes ? "a Serdes layer" : "",
      profile ? JSON.stringify(profile) : ""
    ]
    it([`${n} programs`, `order ${order}`, ...words.filter((word) => word !== "")].join(", "), () =>
      seeds(7_000_000, n, options)
    )
  }
})

// ---- what the laws have found ----------------------------------------------------------------------------

const step = (k: number, more: Partial<Step> = {}): Step => ({
  t: "step",
  k,
  dur: 3,
  pf: 0,
  end: "fail",
  retry: 0,
  form: "recurs",
  amo: false,
  timeout: false,
  typed: false,
  ...more
})

const batch = (more: Partial<Batch> = {}): Batch => ({
  k: 0,
  n: 0,
  flat: false,
  mode: "values",
  done: { by: "default" },
  keep: "plain",
  typed: false,
  whole: false,
  ...more
})

/** Depends on the order of two outside completions. */
const choice: Node = {
  t: "raceFirst",
  c: [
    { t: "invoke", k: 0 },
    { t: "invoke", k: 1 }
  ]
}

/** [what went wrong, program, options, seeds] */
const found: ReadonlyArray<readonly [name: string, program: Node, options: Options, n?: number]> = [
  [
    "a context without codec that ends beside other work is not waited for for ever",
    { t: "raceFirst", c: [{ t: "child", k: 0, keep: "odd", typed: false, b: { t: "get" } }, step(1, { dur: 0 })] },
    { order: "markers" }
  ],
  [
    "timestamps: a held completion is delivered after one more look",
    { t: "each", items: 4, n: 4, b: { t: "invoke", k: 3 } },
    { order: "timestamps" },
    400
  ],
  [
    "the order of a context that will be rebuilt goes on record",
    {
      t: "seq",
      c: [
        {
          t: "child",
          k: 0,
          keep: "odd",
          typed: false,
          b: {
            t: "raceFirst",
            c: [
              { t: "invoke", k: 0 },
              { t: "invoke", k: 1 }
            ]
          }
        },
        { t: "sleep", s: 1, named: false }
      ]
    },
    { order: "markers", profile: { externalLag: 10, crash: 0 } }
  ],
  [
    "what an ended body leaves in the queue does not overtake its last choice",
    { t: "raceFirst", c: [step(0), { t: "all", n: 0, c: [step(2, { dur: 0 }), { t: "invoke", k: 0 }] }] },
    { order: "markers" }
  ],
  [
    "live and finished contexts resume their parent through different numbers of operations",
    {
      t: "seq",
      c: [
        { t: "child", k: 0, keep: "plain", typed: false, b: step(2) },
        { t: "fork", a: { t: "get" }, b: { t: "spin", n: 3000 }, join: true }
      ]
    },
    { order: "timestamps" },
    60
  ],
  [
    "a failing context, and then a busy fiber",
    {
      t: "catch",
      b: { t: "child", k: 0, keep: "plain", typed: false, b: { t: "fail" } },
      h: { t: "fork", a: { t: "get" }, b: { t: "spin", n: 3000 }, join: false }
    },
    { order: "timestamps" },
    60
  ],
  [
    "log: a context whose child ends before it is on record itself",
    {
      t: "child",
      k: 0,
      keep: "plain",
      typed: false,
      b: {
        t: "all",
        n: 0,
        c: [
          { t: "child", k: 1, keep: "plain", typed: false, b: { t: "get" } },
          { t: "seq", c: [{ t: "yield" }, { t: "cb", k: 3, mid: null, wait: "once" }] }
        ]
      }
    },
    { order: "log" }
  ],
  [
    "a race within a context that is recorded by a schema",
    {
      t: "raceFirst",
      c: [
        {
          t: "child",
          k: 0,
          keep: "schema",
          typed: false,
          b: { t: "race", c: [{ t: "cb", k: 0, mid: null, wait: "both" }, step(1)] }
        },
        { t: "sleep", s: 2, named: true }
      ]
    },
    { order: "markers" }
  ],
  [
    "a context whose value is too large to record",
    {
      t: "all",
      n: 0,
      c: [
        { t: "child", k: 0, keep: "big", typed: false, b: { t: "race", c: [{ t: "invoke", k: 0 }, step(1)] } },
        { t: "sleep", s: 1, named: false }
      ]
    },
    { order: "markers" },
    60
  ],
  [
    "a condition's state survives that its invocation dies between two requests",
    {
      t: "all",
      n: 0,
      c: [
        { t: "cond", k: 2, check: step(0, { dur: 0 }), need: 3, times: 2, s: 1, form: "options", until: "plain" },
        step(1, { dur: 1, retry: 2, pf: 0.5 })
      ]
    },
    { order: "markers", profile: { batchUpdates: 2, crash: 0.15 } }
  ],
  [
    "what follows an item whose codec takes time is not missing while that works",
    {
      t: "par",
      struct: false,
      c: [step(2, { dur: 0 }), step(1, { dur: 0 }), { t: "sleep", s: 3, named: false }],
      ...batch({ n: 2, flat: true, keep: "slow" })
    },
    { order: "markers" }
  ],
  [
    "what follows a large value whose codec takes time is not missing while that works",
    {
      t: "seq",
      c: [
        { t: "child", k: 0, keep: "heavy", typed: false, b: step(0, { dur: 0 }) },
        { t: "sleep", s: 1, named: false }
      ]
    },
    { order: "markers" },
    30
  ],
  [
    "a wait was over by a stamp that its context has taken along, of a clock that was ahead",
    { t: "retry", times: 2, s: 1, b: { t: "child", k: 1, keep: "plain", typed: false, b: step(1, { pf: 0.7 }) } },
    { order: "markers", profile: { skew: 1, pace: 3, unit: 1, prune: true, crash: 0.15, latency: 0.3 } },
    300
  ],
  [
    "the order of a flat item goes on record before the next item starts",
    { t: "map", items: 3, ...batch({ n: 1, flat: true }), b: choice },
    { order: "markers", profile: { externalLag: 10, crash: 0.1 } }
  ],
  [
    "and the order of those that are rebuilt with their batch",
    { t: "map", items: 3, ...batch({ flat: true, keep: "odd" }), b: choice },
    { order: "log", profile: { externalLag: 10, crash: 0.1 } }
  ],
  [
    "a context that ends alone, before another fiber asks for a step, waits for its place",
    {
      t: "all",
      n: 0,
      c: [
        { t: "child", k: 0, keep: "plain", typed: false, b: { t: "get" } },
        { t: "seq", c: [{ t: "yield" }, step(1, { dur: 6 })] }
      ]
    },
    { order: "markers", profile: { skew: 1, pace: 3, crash: 0, latency: 0.3 } },
    400
  ],
  [
    "two empty batches that end at once, in two requests",
    {
      t: "child",
      k: 0,
      keep: "odd",
      typed: false,
      b: { t: "each", items: 2, n: 2, b: { t: "map", items: 0, ...batch(), b: { t: "get" } } }
    },
    { order: "markers", profile: { skew: 1, pace: 3, crash: 0, latency: 0.3, batchUpdates: 4 } },
    400
  ],
  [
    "what a forked child acquires while cleanup is under way is released",
    {
      t: "fork",
      a: { t: "acquire", k: 2, b: step(2, { dur: 0 }), f: { t: "fail" } },
      b: { t: "final", k: 0, f: step(1, { dur: 0 }) },
      join: false
    },
    { order: "markers" }
  ],
  [
    "an item whose cleanup is under way is begun again, although its batch would not begin it any more",
    {
      t: "par",
      struct: false,
      c: [
        { t: "acquire", k: 2, b: { t: "cb", k: 0, mid: null, wait: "once" }, f: { t: "set" } },
        { t: "get" },
        { t: "undo", k: 0, b: step(1, { dur: 0 }), f: step(2) }
      ],
      ...batch({ mode: "result", done: { by: "rule", min: 1, count: 2 } })
    },
    { order: "markers" },
    200
  ],
  [
    "a context that ends while its parent stands still is recorded if it is still awaited",
    {
      t: "fork",
      a: { t: "child", k: 2, keep: "plain", typed: false, b: { t: "cb", k: 0, mid: null, wait: "once" } },
      b: { t: "timeout", s: 2, b: { t: "map", items: 1, b: step(1, { dur: 0 }), ...batch({ k: 1 }) } },
      join: true
    },
    { order: "markers" },
    200
  ],
  [
    "what a context has asked for that is about to be interrupted goes on record before its end",
    {
      t: "map",
      items: 4,
      b: { t: "acquire", k: 0, b: step(0, { dur: 3.06, pf: 0.05 }), f: { t: "now" } },
      ...batch({ k: 1 })
    },
    { order: "markers" },
    300
  ],
  [
    "where a context was interrupted goes on record although it has ended by the next request",
    {
      t: "timeout",
      s: 3,
      b: {
        t: "map",
        items: 4,
        b: {
          t: "seq",
          c: [
            { t: "final", k: 0, f: { t: "spin", n: 50 } },
            { t: "undo", k: 2, b: step(1, { dur: 1.26 }), f: { t: "invoke", k: 1 } },
            step(3, { dur: 2.7 })
          ]
        },
        ...batch({ k: 1, n: 2 })
      }
    },
    { order: "markers" },
    600
  ],
  [
    "two losses of one parent are decided in their order",
    {
      t: "timeout",
      s: 3,
      b: {
        t: "each",
        items: 2,
        n: 2,
        b: {
          t: "fin",
          b: {
            t: "map",
            items: 2,
            b: step(0, { dur: 5.4 }),
            ...batch({ k: 2, mode: "result", done: { by: "rule", min: 1 } })
          },
          f: { t: "rand" },
          on: "ensuring"
        }
      }
    },
    { order: "markers" },
    600
  ],
  [
    "a batch ends, and is let go of while its items do their cleanup",
    {
      t: "timeout",
      s: 3,
      b: {
        t: "map",
        items: 3,
        b: { t: "seq", c: [{ t: "undo", k: 2, b: { t: "get" }, f: step(0) }, step(3, { pf: 0.5 })] },
        ...batch({ k: 1 })
      }
    },
    { order: "markers" },
    200
  ],
  [
    "what a fiber that outlives the body waits for does not go on record after its end",
    {
      t: "fork",
      a: { t: "map", items: 1, b: { t: "sleep", s: 2, named: false }, ...batch() },
      b: {
        t: "all",
        n: 2,
        c: [
          { t: "wfc", submit: step(2, { dur: 0 }), k: 1 },
          { t: "invoke", k: 3 }
        ]
      },
      join: false,
      how: "detach"
    },
    { order: "markers" },
    600
  ],
  [
    "what is let go of ends its cleanup with the context that waits for it",
    {
      t: "seq",
      c: [
        {
          t: "child",
          k: 0,
          keep: "plain",
          typed: false,
          b: {
            t: "fork",
            a: {
              t: "timeout",
              s: 1,
              b: {
                t: "map",
                items: 3,
                b: { t: "acquire", k: 2, b: { t: "cb", k: 1, mid: null, wait: "once" }, f: step(3, { dur: 6 }) },
                ...batch({ k: 2, n: 1 })
              }
            },
            b: { t: "seq", c: [step(0, { dur: 0 }), { t: "sleep", s: 1, named: true }] },
            join: false,
            how: "detach"
          }
        },
        { t: "sleep", s: 30, named: true }
      ]
    },
    { order: "markers" },
    100
  ],
  [
    "what a fiber that outlives the body lets go of does not go on record after its end",
    {
      t: "relay",
      c: [
        {
          t: "all",
          n: 0,
          c: [
            {
              t: "fork",
              a: { t: "cb", k: 0, mid: null, wait: "once" },
              b: { t: "sleep", s: 1, named: false },
              join: false
            },
            { t: "par", struct: false, c: [{ t: "sleep", s: 1, named: false }], ...batch({ k: 2 }) }
          ]
        }
      ],
      b: { t: "sleep", s: 2, named: false },
      join: false
    },
    { order: "log" },
    800
  ],
  [
    "an item ends with the fiber that had outlived its context and waits for it",
    {
      t: "relay",
      c: [
        {
          t: "timeout",
          s: 1,
          b: {
            t: "map",
            items: 1,
            b: { t: "acquire", k: 2, b: { t: "cb", k: 1, mid: null, wait: "once" }, f: { t: "get" } },
            ...batch({ k: 2 })
          }
        }
      ],
      b: { t: "seq", c: [step(0, { dur: 0 }), { t: "sleep", s: 1, named: true }] },
      join: false
    },
    { order: "markers", cleanup: true }
  ]
]

describe("laws: directed", () => {
  for (const [name, program, options, n] of found) it(name, () => seeds(1, shareOf(n ?? 200), options, program))
})

// ---- programs by hand --------------------------------------------------------------------------------------

const calm: Partial<Profile> = {
  crash: 0,
  lost: 0,
  skew: 0,
  pace: 1,
  externalLag: 0,
  batchUpdates: 250,
  pageSize: 0,
  slow: 1,
  unit: 2
}

const setting = (
  more: Partial<Setting> & { readonly over?: Partial<Profile>; readonly order?: Order } = {}
): Setting => {
  const { order = "markers", over, ...rest } = more
  return { seed: 5, order, profile: profileOf(5, order, { ...calm, ...over }), mayChoose: true, ...rest }
}

const note = (env: Env, entry: string) => Effect.withFiber((fiber) => Effect.sync(() => env.log(worldOf(fiber), entry)))

const wait = Effect.sleep("1 second")
const slow = (name: string, millis: number) => Durable.step(name, Effect.as(Effect.sleep(millis), 1))
const both = <A, B>(a: Eff<A>, b: Eff<B>): Eff<number> => Effect.as(Effect.all([a, b], { concurrency: 2 }), 1)

const succeeds = (result: Result) => {
  assert.isUndefined(result.error)
  assert.include(result.output!, '"SUCCEEDED"')
}

/** The execution ends as FAILED with this error and these words. */
const ends = (result: Result, error: string, words: string) => {
  assert.isUndefined(result.error)
  assert.include(result.output!, `"ErrorType":"${error}"`)
  assert.include(result.output!, words)
}

describe("laws: hazards of user programs", () => {
  it("a promise chain of the body belongs to the instant in which it began", async () => {
    const chain = Effect.promise(async () => {
      for (let i = 0; i < 200; i++) await Promise.resolve()
    })
    const program = (env: Env): Eff =>
      Effect.as(
        Effect.all(
          [
            Effect.andThen(slow("A", 10), note(env, "A")),
            Effect.andThen(chain, note(env, "P")),
            Effect.andThen(slow("B", 0), note(env, "B"))
          ],
          { concurrency: "unbounded" }
        ),
        1
      )
    const result = await new Simulation(program, setting()).runAsync()
    succeeds(result)
    assert.deepStrictEqual(result.logs.get(""), ["P", "B", "A"])
  })

  it("a context that a completion has moved comes to rest before it is given another one", async () => {
    const chain = Effect.promise(async () => {
      for (let i = 0; i < 20; i++) await Promise.resolve()
    })
    const program = (env: Env): Eff =>
      both(
        Effect.andThen(slow("A", 0), Effect.andThen(chain, note(env, "A"))),
        Effect.andThen(slow("B", 0), note(env, "B"))
      )
    const result = await new Simulation(program, setting()).runAsync()
    succeeds(result)
    assert.deepStrictEqual(result.logs.get(""), ["A", "B"])
  })

  it("those of several contexts that are given something in one instant, too, while a codec takes its time", async () => {
    const chain = Effect.promise(async () => {
      for (let i = 0; i < 20; i++) await Promise.resolve()
    })
    const getter = SchemaGetter.transformEffect((v: number) => Effect.as(Effect.sleep(1), v))
    const success = Schema.Finite.pipe(Schema.decodeTo(Schema.Finite, { decode: getter, encode: getter }))
    const body = (name: string, isSlow: boolean) => {
      const first = isSlow ? Durable.step(name, Effect.succeed(1), { success }) : slow(name, 0)
      const rest = Effect.andThen(chain, Effect.andThen(Effect.yieldNow, slow("after", 1)))
      return Effect.as(Effect.andThen(first, rest), new Set([1])) // rebuilt on replay
    }
    const all = ["a", "b", "c", "d"].map((name, i) => Effect.orDie(Durable.childContext(name, body(name, i % 2 === 1))))
    const program = (): Eff => Effect.as(Effect.all(all, { concurrency: "unbounded" }), 1)
    succeeds(await new Simulation(program, setting()).runAsync())
  })

  const timer = (simulation: () => Simulation, millis: number) =>
    Effect.callback<void>((resume) => {
      simulation().loop.after(millis, () => resume(Effect.void))
    })

  it("a busy fiber is not interrupted by others", () => {
    const busy = Effect.forEach(Array.from({ length: 5000 }), () => Effect.void, { discard: true })
    const program = (env: Env): Eff =>
      Effect.gen(function* () {
        yield* Effect.forkChild(note(env, "other"))
        yield* busy
        yield* note(env, "busy")
        return yield* slow("A", 1)
      })
    const result = simulate(program, setting())
    succeeds(result)
    assert.deepStrictEqual(result.logs.get(""), ["busy", "other"])
  })

  it("untracked async work alone is harmless", () => {
    const program = (): Eff =>
      Effect.andThen(
        slow("A", 1),
        Effect.andThen(
          timer(() => simulation, 5),
          slow("B", 1)
        )
      )
    const simulation: Simulation = new Simulation(program, setting())
    succeeds(simulation.run())
  })

  it("untracked async work beside durable work ends the execution", () => {
    const program = (): Eff =>
      both(
        slow("A", 12),
        Effect.andThen(
          timer(() => simulation, 4),
          slow("B", 1)
        )
      )
    const simulation: Simulation = new Simulation(program, setting({ unverified: true }))
    ends(simulation.run(), "UntrackedAsync", 'STEP \\"A\\"')
  })

  it("contexts that share memory are told so", () => {
    const program = (): Eff =>
      Effect.suspend(() => {
        const shared = Deferred.makeUnsafe<void>()
        const gives = Durable.childContext("gives", Effect.andThen(slow("in", 1), Deferred.succeed(shared, undefined)))
        return both(gives, Effect.andThen(Deferred.await(shared), slow("B", 1)))
      })
    ends(simulate(program, setting({ unverified: true })), "UntrackedAsync", "they share memory")
  })

  it("contexts that share memory are told so, also when both of them are given something in one instant", () => {
    for (const first of ["waits", "gives"]) {
      const program = (): Eff =>
        Effect.suspend(() => {
          const shared = Deferred.makeUnsafe<void>()
          const gives = Durable.childContext(
            "gives",
            Effect.andThen(slow("in", 0), Deferred.succeed(shared, undefined))
          )
          const after = Effect.andThen(Deferred.await(shared), slow("B", 1))
          const waits = Durable.childContext("waits", both(slow("own", 0), after))
          const contexts = [Effect.orDie(gives), Effect.orDie(waits)]
          return Effect.as(Effect.all(first === "gives" ? contexts : contexts.reverse(), { concurrency: 2 }), 1)
        })
      ends(simulate(program, setting({ unverified: true })), "UntrackedAsync", "they share memory")
    }
  })

  it("a finalizer of a lost context must not be durable", () => {
    const lost = Durable.childContext(
      "lost",
      Effect.onInterrupt(Effect.sleep("1 day"), () => Effect.ignore(slow("cleanup", 1)))
    )
    const program = (): Eff => Effect.raceFirst(Effect.as(lost, 2), slow("fast", 1))
    ends(simulate(program, setting({ unverified: true })), "InvalidOperation", "was reached in child context")
  })

  it("a masked fiber that waits for memory of a lost context must not go on durably", () => {
    const lost = Effect.suspend(() => {
      const permits = Semaphore.makeUnsafe(1)
      const held = permits.withPermit(Effect.sleep("1 day"))
      const next = permits.withPermit(slow("next", 1))
      const failing = Effect.andThen(Effect.yieldNow, Effect.fail("x"))
      return Durable.childContext("lost", Effect.uninterruptible(Effect.all([held, next, failing], { concurrency: 3 })))
    })
    ends(
      simulate(
        () => Effect.andThen(Effect.raceFirst(Effect.orDie(lost), slow("fast", 1)), slow("after", 5)),
        setting({ unverified: true })
      ),
      "InvalidOperation",
      "after that context had been interrupted"
    )
  })

  const over = Effect.sync(() => Deferred.makeUnsafe<void>())
  const movers: ReadonlyArray<readonly [how: string, fork: (first: Eff, then: Eff) => Eff<unknown>]> = [
    [
      "a child",
      (first, then) =>
        Effect.flatMap(over, (done) =>
          Effect.andThen(
            Effect.forkChild(Effect.ensuring(first, Deferred.succeed(done, undefined))),
            Effect.forkChild(Effect.andThen(Deferred.await(done), then))
          )
        )
    ],
    [
      "nobody's",
      (first, then) =>
        Effect.flatMap(over, (done) =>
          Effect.andThen(
            Effect.forkDetach(Effect.ensuring(first, Deferred.succeed(done, undefined))),
            Effect.forkDetach(Effect.andThen(Deferred.await(done), then))
          )
        )
    ],
    ["around a race", (first, then) => Effect.forkDetach(Effect.catchCause(Effect.race(first, first), () => then))]
  ]
  for (const [how, fork] of movers) {
    it(`a fiber that the end of its context moves ends with it: ${how}`, () => {
      let ran = 0
      const released: Array<string> = []
      const then = Durable.step(
        "then",
        Effect.sync(() => ++ran)
      ).pipe(Effect.onInterrupt(() => Effect.sync(() => released.push("then"))))
      const body = Effect.andThen(fork(slow("first", 50), then), Effect.as(Effect.sleep("2 seconds"), 1))
      const lost = Effect.raceFirst(Effect.orDie(Durable.childContext("lost", body)), slow("fast", 1))
      succeeds(simulate(() => Effect.andThen(lost, slow("after", 5)), setting()))
      const before = released.length
      assert.isAbove(before, 0) // it does not hang: what it holds is released
      const ended = Durable.childContext("ended", Effect.andThen(fork(slow("first", 50), then), slow("own", 1)))
      succeeds(simulate(() => Effect.andThen(Effect.orDie(ended), slow("after", 5)), setting()))
      assert.isAbove(released.length, before)
      assert.strictEqual(ran, 0)
    })
  }

  it("a finalizer around a lost context is durable", () => {
    let ran = 0
    const cleanup = Durable.step(
      "cleanup",
      Effect.sync(() => void ran++)
    )
    const program = (env: Env): Eff => {
      const lost = Durable.childContext("lost", Effect.sleep("1 day")).pipe(
        Effect.onInterrupt(() => Effect.ignore(cleanup))
      )
      return Effect.tap(Effect.raceFirst(Effect.as(lost, 2), slow("fast", 1)), () => note(env, "after"))
    }
    succeeds(simulate(program, setting()))
    assert.strictEqual(ran, 1)
  })

  it("a suspension does not run durable finalizers, the end runs them once", () => {
    let ran = 0
    const cleanup = Durable.step(
      "cleanup",
      Effect.sync(() => void ran++)
    )
    const program = (): Eff =>
      Effect.as(Effect.ensuring(Effect.andThen(wait, Effect.andThen(wait, wait)), Effect.ignore(cleanup)), 1)
    const result = simulate(program, setting())
    succeeds(result)
    assert.isAtLeast(result.invocations, 4)
    assert.strictEqual(ran, 1)
  })

  it("a race goes on before the finalizers of its cancelled step are done", () => {
    const order: Array<string> = []
    const loser = Durable.step(
      "loser",
      Effect.onInterrupt(Effect.as(Effect.sleep(50), 1), () =>
        Effect.andThen(
          Effect.sleep(20),
          Effect.sync(() => order.push("cleaned up"))
        )
      )
    )
    const program = (env: Env): Eff =>
      Effect.raceFirst(loser, slow("winner", 3)).pipe(
        Effect.tap(() => Effect.sync(() => order.push("won"))),
        Effect.tap(() => note(env, "won")),
        Effect.andThen(slow("after", 40))
      )
    succeeds(simulate(program, setting()))
    assert.deepStrictEqual(order.slice(0, 2), ["won", "cleaned up"])
  })

  it("a body that waits for nothing idles", () => {
    assert.match(simulate(() => Effect.never, setting()).error!, /HANG: nothing left to happen/)
  })

  const exits =
    (self: Eff) =>
    (env: Env): Eff =>
      Effect.exit(self).pipe(
        Effect.tap((exit) =>
          note(env, Exit.isFailure(exit) ? exit.cause.reasons.map((reason) => reason._tag).join() : "Success")
        ),
        Effect.as(1)
      )
  const effects: ReadonlyArray<readonly [name: string, effect: Effect.Effect<number>, tag: string]> = [
    ["interrupts itself", Effect.andThen(Effect.sleep(1), Effect.interrupt), "Interrupt"],
    ["interrupts itself at once", Effect.interrupt, "Interrupt"],
    ["dies", Effect.die("x"), "Die"]
  ]
  for (const [name, effect, tag] of effects) {
    it(`a step that ${name}`, () => {
      const result = simulate(exits(Durable.step("a", effect)), setting())
      succeeds(result)
      assert.deepStrictEqual(result.logs.get(""), [tag])
    })
  }

  it("a durable operation in a step ends the execution", () => {
    const inner = slow("inner", 1) as Effect.Effect<never> // what the types forbid
    ends(
      simulate(() => Durable.step("outer", inner), setting({ unverified: true })),
      "InvalidOperation",
      "was run inside a step"
    )
  })
})

describe("laws: deadlines", () => {
  const cut = step(0, { dur: 6, amo: true })
  const near: ReadonlyArray<readonly [name: string, h: Node, then: Node]> = [
    ["a body that goes on near its deadline is not one that spins", { t: "spin", n: 3000 }, step(1, { dur: 0 })],
    ["what begins near its deadline is left to the next invocation", { t: "get" }, step(1, { dur: 6 })]
  ]
  for (const [name, h, then] of near) {
    it(name, () => {
      const profile = { slow: 20, deadline: 50, crash: 0, lost: 0, latency: 0.3 }
      let cutOff = 0
      for (let seed = 1; seed <= 60; seed++) {
        const program: Node = { t: "seq", c: [{ t: "catch", b: cut, h }, then] }
        const { error, invocations, reached } = runCase(seed, { order: "markers", profile }, program)
        assert.isUndefined(error)
        assert.notProperty(reached, "out of time: new")
        if (invocations > 2) cutOff++
      }
      assert.isAbove(cutOff, 20)
    })
  }
})

describe("laws: code that changes under a running execution", () => {
  const a = slow("a", 1)
  const b = slow("b", 1)
  const x = slow("x", 1)
  const recorded = Effect.andThen(a, Effect.andThen(b, wait))
  const changed = (after: Eff<unknown>, unvisited: "fail" | "ignore" = "fail") => {
    let invocations = 0
    return simulate(
      () => Effect.as(invocations++ === 0 ? recorded : after, 1),
      setting({ unverified: true, unvisited })
    )
  }

  it("appending is harmless", () => succeeds(changed(Effect.andThen(recorded, x))))
  it("doing at once what came one after the other is harmless", () =>
    succeeds(changed(Effect.andThen(Effect.all([b, a], { concurrency: 2 }), wait))))
  it("a removed step ends the execution", () =>
    ends(changed(Effect.andThen(a, Effect.andThen(wait, x))), "NonDeterministic", 'expected STEP \\"b\\"'))
  it("an inserted step ends the execution", () =>
    ends(changed(Effect.andThen(x, recorded)), "NonDeterministic", 'got STEP \\"x\\"'))
  it("both are tolerated on request", () => {
    succeeds(changed(Effect.andThen(a, Effect.andThen(wait, x)), "ignore"))
    succeeds(changed(Effect.andThen(x, recorded), "ignore"))
  })
  it("nothing comes into a context that is rebuilt", () => {
    const odd = (body: Eff<unknown>) =>
      Effect.as(Effect.orDie(Durable.childContext("k", Effect.as(body, new Set([1])))), 1)
    const map = Durable.map("new", [1, 2], () => Effect.succeed(1))
    let invocations = 0
    const program = () =>
      Effect.andThen(odd(invocations++ === 0 ? a : Effect.andThen(Durable.added("new"), Effect.andThen(map, a))), wait)
    ends(
      simulate(() => Effect.as(program(), 1), setting({ unverified: true })),
      "NonDeterministic",
      "to rebuild its result"
    )
  })
  it("removed at the end of a context, it ends the execution before the context is recorded", () => {
    let invocations = 0
    const program = () =>
      Durable.childContext("k", invocations++ === 0 ? recorded : a).pipe(Effect.orDie, Effect.andThen(x), Effect.as(1))
    ends(simulate(program, setting({ unverified: true })), "NonDeterministic", 'expected STEP \\"b\\"')
  })
  it("removed at the very end, it ends the execution, too", () =>
    ends(changed(Effect.andThen(a, wait)), "NonDeterministic", 'expected STEP \\"b\\"'))
})

/** Changes that are drawn, of programs that are drawn, in worlds that are drawn. */
const changes: ReadonlyArray<readonly [n: number, options: Options, how: string]> = [
  [400, { order: "markers", edits: "calm" }, "declared, they come to the same, and replay"],
  [200, { order: "log", edits: "calm" }, "the same, with the whole order on record"],
  [200, { order: "timestamps", edits: "calm" }, "the same, by the service's clock"],
  [400, { order: "markers", edits: "partly" }, "one that is not declared is told, and never begins"],
  [400, { order: "markers", edits: "declared" }, "declared, whatever they decide, every run is the same run"],
  [300, { order: "markers", edits: "declared", hard: true }, "the same, hard"],
  [400, { order: "markers", edits: "undeclared" }, "not declared, they are harmless, or told before anything is done"],
  [300, { order: "markers", edits: "undeclared", hard: true }, "the same, hard"]
]

describe("laws: changes of random programs under running executions", () => {
  for (const [all, options, how] of changes) {
    const n = shareOf(all)
    it(`${n} programs, order ${options.order}: ${how}`, () => seeds(9_000_000, n, options))
  }

  it("changes are met, and noticed", () => {
    const met = { "before it": 0, "gone on": 0, diverged: 0 }
    for (let seed = 1; seed <= 150; seed++) {
      const { change } = runCase(seed, { order: "markers", edits: "undeclared" })
      if (change !== undefined) met[change]++
    }
    assert.isAbove(met.diverged, 30)
    assert.isAbove(met["gone on"], 5)
  })
})

describe("laws: markers", () => {
  const choice = (program: Eff, order: Order = "markers") =>
    simulate(() => program, setting({ order, mayChoose: true, over: { externalLag: 0 } }))
  const cb = Effect.flatMap(Durable.callback("c"), (made) => Effect.ignore(made.await))

  it("sequential code has none", () =>
    assert.strictEqual(choice(Effect.as(Effect.andThen(cb, Effect.andThen(wait, slow("a", 1))), 1)).markers, 0))
  it("steps only have none", () =>
    assert.strictEqual(
      choice(
        Effect.as(
          Effect.forEach([1, 2, 3, 4], (i) => slow("s", i), { concurrency: 4 }),
          1
        )
      ).markers,
      0
    ))
  it("contexts that wait beside each other have none", () => {
    const child = Durable.childContext("k", Effect.andThen(cb, Effect.andThen(wait, slow("s", 1))))
    assert.strictEqual(choice(both(child, child)).markers, 0)
  })
  it("an outside completion that meets another operation of its context has one", () => {
    assert.isAbove(choice(both(cb, Effect.andThen(slow("long", 60), slow("s", 1)))).markers, 0)
  })
  it("timestamps have none", () => {
    const result = choice(both(cb, Effect.andThen(slow("long", 60), slow("s", 1))), "timestamps")
    succeeds(result)
    assert.strictEqual(result.markers, 0)
  })
})

// ---- the laws themselves -------------------------------------------------------------------------------------

describe("laws: mutants", () => {
  it("every patch applies to src", () => {
    assert.deepStrictEqual(
      mutants.flatMap((mutant) => stale(mutant) ?? []),
      []
    )
  })
  for (const mutant of mutants.filter(({ quick }) => quick)) {
    it.skipIf(SHARE < 1)(`without a rule, the laws fail: ${mutant.name}`, async () => {
      const { failed, says } = await run(mutant, 3000, 1)
      assert.strictEqual(failed, 1, says)
    })
  }
  it("the interpreter and the generator agree with themselves", () => {
    const program = programOf(42, { order: "markers" })
    const once = simulate(interpret(program), setting({ seed: 42 }))
    const again = simulate(interpret(program), setting({ seed: 42 }))
    assert.deepStrictEqual(once, again)
  })
})
