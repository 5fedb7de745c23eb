import { assert, describe, it } from "@effect/vitest"
import { History, type Serdes, SerdesGzip, SerdesPreview, type SerdesStack } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import { context, encrypt, gzip, make } from "./kit.ts"

const order = {
  id: "7",
  customer: { name: "Ada", email: "ada@example.com", card: "***4242 ~sealed:AQID" },
  lines: [
    { sku: "cup", price: { cents: 100 } },
    { sku: "pot", price: { cents: 200 } }
  ],
  note: null
}

const pick = (options: SerdesPreview.PickOptions, value: unknown = order) => SerdesPreview.pick(options)(value, context)

describe("SerdesPreview.pick", () => {
  it("names at any depth, paths from the top; what has nothing to show is left out", () => {
    assert.deepStrictEqual(pick({ show: ["id", "sku"] }), { id: "7", lines: [{ sku: "cup" }, { sku: "pot" }] })
    assert.deepStrictEqual(pick({ show: ["customer.name", "lines.price.cents"] }), {
      customer: { name: "Ada" },
      lines: [{ price: { cents: 100 } }, { price: { cents: 200 } }]
    })
    assert.deepStrictEqual(pick({ show: ["name.customer", "price.cents"] }), undefined)
    assert.deepStrictEqual(pick({ show: [] }), undefined)
  })

  it("a name shows what is in it, but for masks and the ciphertexts of fields", () => {
    assert.deepStrictEqual(pick({ show: ["customer", "note"], mask: ["email"] }), {
      customer: { name: "Ada", email: "***", card: "***4242" },
      note: null
    })
    assert.deepStrictEqual(pick({ show: ["customer"], mask: ["customer.name", "email", "sku"] }), {
      customer: { name: "***", email: "***", card: "***4242" }
    })
  })

  it("everything, cut", () => {
    assert.deepStrictEqual(pick({ show: "everything", mask: ["lines"] }), {
      id: "7",
      customer: { name: "Ada", email: "ada@example.com", card: "***4242" },
      lines: "***",
      note: null
    })
    assert.strictEqual(pick({ show: "everything" }, "text"), "text")
    assert.strictEqual(pick({ show: ["a"] }, "text"), undefined)
    assert.strictEqual(pick({ show: "everything" }, "x".repeat(500)), `${"x".repeat(200)}… (500 characters)`)
    const list = pick(
      { show: "everything" },
      Array.from({ length: 30 }, (_, i) => i)
    ) as Array<unknown>
    assert.deepStrictEqual(list.slice(-2), [19, "… 10 more"])
    let deep: unknown = "deep"
    for (let i = 0; i < 1_000; i++) deep = { deep }
    assert.isBelow(JSON.stringify(pick({ show: "everything" }, deep)).length, 300)
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`key ${i}`, i]))
    assert.match(String(pick({ show: "everything" }, many)), /^too large for a preview \(\d+ bytes\)$/)
    assert.isObject(pick({ show: "everything", maxBytes: 100_000 }, many))
  })

  it.effect("stands in the record, beside what nobody can read; and only there where something is hidden", () =>
    Effect.gen(function* () {
      const preview = SerdesPreview.pick({ show: ["id"] })
      const { decode, encode } = yield* make([encrypt], { preview })
      const record = yield* encode(JSON.stringify(order), context)
      assert.deepStrictEqual((JSON.parse(record) as { readonly preview: unknown }).preview, { id: "7" })
      assert.notInclude(record, "cup")
      assert.strictEqual(yield* decode(record, context), JSON.stringify(order))
      // also a text that is no JSON has one, if it wants
      const all = yield* make([encrypt], { preview: SerdesPreview.pick({ show: "everything" }) })
      assert.include(yield* all.encode("no JSON", context), '"preview":"no JSON"')
      const small = yield* make([gzip], { preview })
      assert.notInclude(yield* small.encode("{}", context), "preview")
    })
  )

  it.effect("is bound to the record, whatever is in it", () =>
    Effect.gen(function* () {
      for (const odd of [
        '"bytes":"AAAA"',
        "\u2028",
        { 2: 1, 1: 2, a: -0 },
        [null],
        "\uD800",
        "",
        0,
        JSON.parse('{"__proto__":1}')
      ]) {
        const { decode, encode } = yield* make([gzip, encrypt], { preview: () => odd })
        assert.strictEqual(yield* decode(yield* encode("x", context), context), "x")
      }
    })
  )

  it.effect("a preview that throws, or gives what is no JSON, loses no work", () =>
    Effect.gen(function* () {
      const throwing: SerdesStack.Preview = () => {
        throw new Error("no id")
      }
      const circular: { self?: unknown } = {}
      circular.self = circular
      for (const [preview, shown] of [
        [throwing, /"preview":"no preview: Error: no id"/],
        [() => circular, /"preview":"no preview: TypeError: /],
        [() => undefined, /^(?!.*preview)/],
        [() => Effect.void.toString, /^(?!.*preview)/]
      ] as ReadonlyArray<readonly [SerdesStack.Preview, RegExp]>) {
        const { decode, encode } = yield* make([encrypt], { preview })
        const record = yield* encode("x", context)
        assert.match(record, shown)
        assert.strictEqual(yield* decode(record, context), "x")
      }
    })
  )

  it.effect("is what timelines show; without one, the layers and the length", () =>
    Effect.gen(function* () {
      const shown = (payload: string) =>
        History.outcome({
          EventType: "StepSucceeded",
          EventId: 1,
          EventTimestamp: 0,
          StepSucceededDetails: { Result: { Payload: payload }, RetryDetails: {} }
        })
      const preview = SerdesPreview.pick({ show: ["id"] })
      const record = yield* Effect.flatMap(make([encrypt], { preview }), ({ encode }) => encode('{"id":"7"}', context))
      assert.strictEqual(shown(record), ' (aes-256-gcm) {"id":"7"}')
      const silent = yield* Effect.flatMap(make([encrypt]), ({ encode }) => encode('{"id":"7"}', context))
      assert.strictEqual(shown(silent), ` (aes-256-gcm) ${silent.length} characters`)
      const small = yield* make([gzip])
      const large = yield* make([SerdesGzip.gzip()])
      assert.match(shown(yield* small.encode("x".repeat(99), context)), /^ \(gzip\) \d+ characters$/)
      assert.strictEqual(shown(yield* large.encode('{"id":"7"}', context)), ' {"id":"7"}')
      assert.strictEqual(shown(yield* large.encode("2026/7", context)), " 2026/7")
      assert.strictEqual(shown('{"card":"***4242 ~sealed:AQID"}'), ' {"card":"***4242"}')
      assert.strictEqual(shown('{"~serdes":"gzip'), ' {"~serdes":"gzip')
    })
  )

  it.effect("is told what it is of", () =>
    Effect.gen(function* () {
      const seen: Array<Serdes.PayloadContext> = []
      const { encode } = yield* make([encrypt], { preview: (_, context) => void seen.push(context) })
      yield* encode("x", context)
      assert.deepStrictEqual(seen, [context])
    })
  )
})
