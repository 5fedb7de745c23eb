import { assert, describe, it } from "@effect/vitest"
import { KeyProvider, SerdesClaimCheck, SerdesGzip, SerdesStack, type Serdes } from "effect-durable-lambda"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as kit from "./kit.ts"
import { claim, context, encrypt, gzip, make, refusal, stacks } from "./kit.ts"

const all = Object.entries(stacks)
const Anywhere = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000_000 }))

describe("SerdesStack: what goes in comes out", () => {
  for (const [name, stages] of all) {
    it.effect.prop(
      `any text, by: ${name || "no layers"}`,
      [kit.Text, Schema.Literals(["result", "error", "state"])],
      ([drawn, kind]) =>
        Effect.gen(function* () {
          const text = kit.textOf(drawn)
          const here = { ...context, kind }
          const { decode, encode } = yield* make(stages)
          const record = yield* encode(text, here)
          assert.isTrue(record.isWellFormed())
          assert.isTrue(record.startsWith('{"~serdes":'))
          assert.isObject(JSON.parse(record))
          assert.strictEqual(yield* decode(record, here), text)
        })
    )
  }

  it.effect("texts around the sizes from which layers do something", () =>
    Effect.gen(function* () {
      const { decode, encode } = yield* make([
        SerdesGzip.gzip({ above: 1_000, maxBytes: 400_000 }),
        SerdesClaimCheck.claimCheck({ above: 2_000 })
      ])
      const namesOf = (record: string) => (JSON.parse(record) as { readonly "~serdes": string })["~serdes"]
      const random = kit.keyOf("random").toString("base64")
      const noise = (length: number) => {
        let text = ""
        while (text.length < length) text += kit.keyOf(random + text.length).toString("base64")
        return text.slice(0, length)
      }
      const expected: ReadonlyArray<readonly [text: string, names: string]> = [
        ["", ""],
        ["a".repeat(1_000), ""],
        ["a".repeat(1_001), "gzip"],
        ["ä".repeat(500), ""], // bytes, not characters
        ["ä".repeat(501), "gzip"],
        [noise(1_900), "gzip"], // three quarters of it, and a third more as base64
        [noise(4_000), "gzip claim-check"],
        ["a".repeat(400_000), "gzip"],
        ["a".repeat(400_001), "claim-check"], // more than would be decompressed
        [`${noise(400_001)}\uD800`, "utf16 claim-check"]
      ]
      for (const [text, names] of expected) {
        const record = yield* encode(text, context)
        assert.strictEqual(namesOf(record), names, `${text.length} characters`)
        assert.strictEqual(yield* decode(record, context), text)
      }
    })
  )

  it.effect("what no layer touched is readable, to the letter", () =>
    Effect.gen(function* () {
      const { decode, encode } = yield* make([SerdesGzip.gzip()])
      const record = yield* encode('{ "a":1, "b" : [ ] }', context)
      assert.match(record, /^\{"~serdes":"","sum":"[0-9a-f]{16}","json":\{ "a":1, "b" : \[ \] \}\}$/)
      assert.strictEqual(yield* decode(record, context), '{ "a":1, "b" : [ ] }')
      assert.match(yield* encode("2026/7", context), /"text":"2026\/7"\}$/)
    })
  )

  it.effect("text that a stage gives comes back to it to the letter, also what looks like JSON", () =>
    Effect.gen(function* () {
      for (const given of [
        "1e5",
        "12345678901234567890",
        "-0",
        "1.0",
        ' {"a" : 1}',
        '{"a":1,"a":2}',
        "abc",
        '{"a":1}'
      ]) {
        let got: unknown
        const stage: SerdesStack.Stage = {
          name: "own",
          required: true,
          encode: () => Effect.succeed(given),
          decode: (data) => Effect.sync(() => (got = data)).pipe(Effect.as("x"))
        }
        const { decode, encode } = yield* make([Effect.succeed(stage)])
        const record = yield* encode("x", context)
        assert.strictEqual(yield* decode(record, context), "x")
        assert.strictEqual(got, given)
        if (given === '{"a":1}') assert.include(record, '"json":{"a":1}')
      }
    })
  )

  it.effect("a preview of any JSON does no harm", () =>
    Effect.gen(function* () {
      const json = JSON as unknown as { readonly rawJSON: (text: string) => unknown }
      const previews: ReadonlyArray<unknown> = [
        json.rawJSON("1.0"),
        { n: json.rawJSON("12345678901234567890") },
        JSON.parse('{"__proto__":1,"10":1,"9":2,"\uD800":-0}'),
        { toJSON: () => undefined },
        Symbol("s"),
        BigInt(1)
      ]
      for (const preview of previews) {
        const { decode, encode } = yield* make([encrypt], { preview: () => preview })
        assert.strictEqual(yield* decode(yield* encode('"x"', context), context), '"x"')
      }
    })
  )

  it.effect("no value stays none: what the service makes of an absent payload", () =>
    Effect.gen(function* () {
      for (const [, stages] of all) assert.strictEqual(yield* (yield* make(stages)).decode("", context), "")
    })
  )

  it.effect("compression takes a fraction; encryption and base64 a third more", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(Array.from({ length: 1_000 }, (_, id) => ({ id, status: "shipped" })))
      const sizeOf = (stages: SerdesStack.Stages) =>
        Effect.map(
          Effect.flatMap(make(stages), ({ encode }) => encode(text, context)),
          ({ length }) => length / text.length
        )
      assert.isBelow(yield* sizeOf([gzip]), 0.2)
      assert.isBelow(yield* sizeOf([gzip, encrypt]), 0.2)
      assert.isBelow(yield* sizeOf([encrypt]), 1.35)
      assert.isBelow(yield* sizeOf([claim]), 0.02)
    })
  )
})

describe("SerdesStack: what was changed is refused", () => {
  for (const [name, stages] of all) {
    it.effect.prop(`a bit of the record, by: ${name || "no layers"}`, [kit.Text, Anywhere], ([drawn, at]) =>
      Effect.gen(function* () {
        const { decode, encode } = yield* make(stages)
        const record = yield* encode(kit.textOf(drawn), context)
        const changed = kit.flip(record, at)
        assert.notStrictEqual(changed, record)
        const { problem, reason } = yield* refusal(decode(changed, context))
        // where its beginning is hit, nobody knows that there were layers
        assert.include(["corrupt", "other-layers"], problem)
        assert.isAbove(reason.length, 40)
      })
    )
  }

  for (const [name, stages] of all) {
    it.effect(`cut off anywhere, by: ${name || "no layers"}`, () =>
      Effect.gen(function* () {
        const { decode, encode } = yield* make(stages)
        for (const text of ["12345", '{"a":[1,2,3]}', "not JSON"]) {
          const record = yield* encode(text, context)
          // nothing at all is no value: see the test above
          for (let length = 1; length < record.length; length++) {
            const { problem } = yield* refusal(decode(record.slice(0, length), context))
            assert.include(["corrupt", "other-layers"], problem)
          }
        }
      })
    )
  }

  it.effect("each bit of one record, by all layers", () =>
    Effect.gen(function* () {
      const { decode, encode } = yield* make([gzip, encrypt])
      const record = yield* encode('{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', context)
      for (let bit = 0; bit < record.length * 8; bit++) {
        const exit = yield* Effect.exit(decode(kit.flip(record, bit), context))
        assert.isTrue(
          Exit.isFailure(exit) && exit.cause.reasons.every(Cause.isFailReason),
          `bit ${bit}: ${String(exit)}`
        )
      }
    })
  )

  it.effect("each bit of a ciphertext whose sum was made anew", () =>
    Effect.gen(function* () {
      const { stage } = yield* stageOf(encrypt)
      const here = { ...context, before: [], preview: undefined }
      const sealed = (yield* stage.encode("secret", here)) as Uint8Array
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const changed = Uint8Array.from(sealed)
        changed[bit >> 3]! ^= 1 << (bit & 7)
        const { problem } = yield* refusal(stage.decode(changed, here))
        // id of the key, its check, or anything else
        assert.include(["missing", "wrong-key", "corrupt"], problem)
      }
      for (let length = 0; length < sealed.length; length++) {
        yield* refusal(stage.decode(sealed.subarray(0, length), here))
      }
    })
  )

  it.effect.prop("a bit of what is stored, which somebody may restore", [kit.Text, Anywhere], ([drawn, at]) =>
    Effect.gen(function* () {
      const objects = new Map<string, Uint8Array>()
      const { decode, encode } = yield* make([claim], {}, objects)
      const text = `${kit.textOf(drawn)}.`
      const record = yield* encode(text, context)
      const [[key, bytes]] = [...objects] as unknown as readonly [readonly [string, Uint8Array]]
      const changed = Uint8Array.from(bytes)
      const bit = at % (bytes.length * 8)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      objects.set(key, changed)
      const { problem, reason } = yield* refusal(decode(record, context))
      assert.strictEqual(problem, "missing")
      assert.include(reason, `memory:${key} is not what was written there`)
      objects.set(key, bytes)
      assert.strictEqual(yield* decode(record, context), text)
    })
  )

  const places: Readonly<Record<string, Partial<Serdes.PayloadContext>>> = {
    "another execution": { executionArn: kit.arn("order-8") },
    "another operation": { operationId: "AAAAAAAAAAAAAAAAAAAAAA" },
    "another kind": { kind: "state" }
  }
  for (const [place, other] of Object.entries(places)) {
    it.effect(`a record that was moved to ${place}`, () =>
      Effect.gen(function* () {
        for (const stages of [
          [encrypt],
          [gzip, encrypt],
          [claim],
          [encrypt, claim]
        ] satisfies Array<SerdesStack.Stages>) {
          const { decode, encode } = yield* make(stages)
          const record = yield* encode('"x"', context)
          const { problem, reason } = yield* refusal(decode(record, { ...context, ...other }))
          assert.strictEqual(problem, "corrupt")
          assert.match(reason, /another execution, operation or kind of payload/)
          // the name is for people
          assert.strictEqual(yield* decode(record, { ...context, operation: "renamed" }), '"x"')
        }
      })
    )
  }

  it.effect(
    "a record that fills the memory when it is decompressed: refused before it does, and read when it may",
    () =>
      Effect.gen(function* () {
        const text = "0".repeat(5_000_000)
        const record = yield* (yield* make([SerdesGzip.gzip({ maxBytes: Infinity })])).encode(text, context)
        assert.isBelow(record.length, 10_000)
        const { problem, reason } = yield* refusal(
          (yield* make([SerdesGzip.gzip({ maxBytes: 1e6 })])).decode(record, context)
        )
        assert.strictEqual(problem, "other-layers", "somebody can raise the limit again")
        assert.match(reason, /more than 1000000 bytes when it is decompressed.*raise `maxBytes` of SerdesGzip\.$/)
        for (const maxBytes of [5_000_000, Infinity, Number.MAX_SAFE_INTEGER]) {
          assert.strictEqual(yield* (yield* make([SerdesGzip.gzip({ maxBytes })])).decode(record, context), text)
        }
      })
  )

  it.effect("a preview, or a layer before, that encryption did not see", () =>
    Effect.gen(function* () {
      const { stage } = yield* stageOf(encrypt)
      const here = { ...context, before: ["gzip"], preview: '{"id":1}' }
      const sealed = yield* stage.encode("x", here)
      assert.strictEqual(Buffer.from((yield* stage.decode(sealed!, here)) as Uint8Array).toString(), "x")
      for (const other of [{ before: [] }, { before: ["utf16", "gzip"] }, { preview: undefined }, { preview: "{}" }]) {
        assert.strictEqual((yield* refusal(stage.decode(sealed!, { ...here, ...other }))).problem, "corrupt")
      }
    })
  )

  it.effect("base64 that says the same in other letters", () =>
    Effect.gen(function* () {
      const { stage } = yield* stageOf(gzip)
      const bytes = yield* stage.encode("a".repeat(100), { ...context, before: [], preview: undefined })
      assert.instanceOf(bytes, Uint8Array)
      const { decode, encode } = yield* make([gzip])
      const record = yield* encode("a".repeat(100), context)
      yield* refusal(decode(record.replace('"bytes":"', '"bytes":" '), context))
    })
  )
})

const stageOf = (stage: SerdesStack.Stages[number]) =>
  Effect.map(stage, (stage) => ({ stage })).pipe(Effect.provide(kit.keys)) as Effect.Effect<{
    readonly stage: SerdesStack.Stage
  }>

describe("SerdesStack: layers that were changed", () => {
  it.effect("every stack refuses the records of every other one that it cannot have written", () =>
    Effect.gen(function* () {
      const tried = { read: 0, refused: 0 }
      for (const [written, stages] of all) {
        const objects = new Map<string, Uint8Array>()
        const record = yield* (yield* make(stages, {}, objects)).encode("x".repeat(2_000), context)
        // a layer that may leave payloads as they are is not there in all records of its stack
        const { "~serdes": list } = JSON.parse(record) as { readonly "~serdes": string }
        const names = list === "" ? [] : list.replace("aes-256-gcm", "aes").replace("claim-check", "claim").split(" ")
        for (const [reading, others] of all) {
          const { decode } = yield* make(others, {}, objects)
          const there = reading === "" ? [] : reading.split(" ")
          const inOrder = there.filter((name) => names.includes(name)).join(" ") === names.join(" ")
          if (inOrder && (names.includes("aes") || !there.includes("aes"))) {
            tried.read++
            assert.strictEqual(yield* decode(record, context), "x".repeat(2_000), `${written} by ${reading}`)
          } else {
            tried.refused++
            const { problem } = yield* refusal(decode(record, context))
            assert.strictEqual(problem, "other-layers", `${written} by ${reading}`)
          }
        }
      }
      assert.isAbove(tried.read, 20)
      assert.isAbove(tried.refused, 40)
    })
  )

  it.effect("another order: says what was written, what is read, and what to do", () =>
    Effect.gen(function* () {
      const record = yield* (yield* make([gzip, encrypt])).encode("x".repeat(100), context)
      const { problem, reason } = yield* refusal((yield* make([encrypt, gzip])).decode(record, context))
      assert.strictEqual(problem, "other-layers")
      assert.strictEqual(
        reason,
        "it was written by gzip, then aes-256-gcm. This deployment reads aes-256-gcm, then gzip. Give SerdesStack the layers " +
          "in the order in which they wrote it, or list that order in `alsoReads` until the executions that began with it " +
          "have ended."
      )
      const both = yield* make([encrypt, gzip], { alsoReads: [[gzip, encrypt]] })
      assert.strictEqual(yield* both.decode(record, context), "x".repeat(100))
      assert.strictEqual(yield* both.decode(yield* both.encode("y", context), context), "y")
    })
  )

  it.effect("records from before there were layers: only where that is said", () =>
    Effect.gen(function* () {
      const strict = yield* make([gzip, encrypt])
      const { problem, reason } = yield* refusal(strict.decode('{"a":1}', context))
      assert.strictEqual(problem, "other-layers")
      assert.match(reason, /Add "plain" to `alsoReads`/)
      const lenient = yield* make([gzip, encrypt], { alsoReads: ["plain"] })
      assert.strictEqual(yield* lenient.decode('{"a":1}', context), '{"a":1}')
      assert.strictEqual(yield* lenient.decode(yield* lenient.encode("x", context), context), "x")
    })
  )

  it.effect("stages that cannot stand together", () =>
    Effect.gen(function* () {
      const noName: SerdesStack.Stage = {
        name: "Not A Name",
        required: false,
        encode: () => Effect.succeed(undefined),
        decode: Effect.succeed
      }
      const fails: ReadonlyArray<readonly [stages: SerdesStack.Stages, why: RegExp]> = [
        [[claim, encrypt], /the stage "claim-check" is not the last one/],
        [[gzip, gzip], /the stage "gzip" is there twice/],
        [[Effect.succeed(noName)], /the stage "Not A Name" is no name that can be recorded/]
      ]
      for (const [stages, why] of fails) {
        const exit = yield* Effect.exit(make(stages))
        assert(Exit.isFailure(exit))
        assert.match(String(Cause.squash(exit.cause)), why)
        const also = yield* Effect.exit(make([], { alsoReads: [stages] }))
        assert(Exit.isFailure(also))
      }
    })
  )
})

describe("SerdesStack: keys", () => {
  const sealedWith = (layer: Layer.Layer<KeyProvider.KeyProvider>) =>
    SerdesStack.make([encrypt]).pipe(Effect.provide(layer))
  const one = (id: string, seed = id) => KeyProvider.layerStatic({ current: id, keys: { [id]: kit.keyOf(seed) } })

  it.effect("rotation: the new one writes, the old one reads", () =>
    Effect.gen(function* () {
      const before = yield* sealedWith(one("old"))
      const record = yield* before.encode("x", context)
      const after = yield* sealedWith(kit.keys)
      assert.strictEqual(yield* after.decode(record, context), "x")
      const { problem, reason } = yield* refusal(before.decode(yield* after.encode("y", context), context))
      assert.strictEqual(problem, "missing")
      assert.match(reason, /encrypted with the key "new", and KeyProvider.layerStatic has "old"\. Add the key/)
    })
  )

  it.effect("another key under the same id", () =>
    Effect.gen(function* () {
      const record = yield* (yield* sealedWith(one("k", "a"))).encode("x", context)
      const { problem, reason } = yield* refusal((yield* sealedWith(one("k", "b"))).decode(record, context))
      assert.strictEqual(problem, "wrong-key")
      assert.match(reason, /the key "k" is not the one that it was encrypted with/)
    })
  )

  it.effect("the same text is never the same twice", () =>
    Effect.gen(function* () {
      const { encode } = yield* sealedWith(one("k"))
      const records = yield* Effect.replicateEffect(encode("x", context), 100)
      assert.strictEqual(new Set(records).size, 100)
      for (const record of records) assert.notInclude(record, '"x"')
    })
  )

  it.effect("keys that are none are told while the layer is built", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [KeyProvider.StaticOptions, RegExp]> = [
        [{ current: "k", keys: { k: "secret" } }, /the key "k" is not 32 bytes.*openssl rand -base64 32/],
        [{ current: "k", keys: { k: new Uint8Array(16) } }, /the key "k" is not 32 bytes/],
        [{ current: "x", keys: { k: kit.keyOf("k") } }, /`current` is "x"; there are "k"/]
      ]
      for (const [options, why] of wrong) {
        const exit = yield* Effect.exit(sealedWith(KeyProvider.layerStatic(options)))
        assert(Exit.isFailure(exit))
        assert.match(String(Cause.squash(exit.cause)), why)
      }
      const text = { current: "k", keys: { k: kit.keyOf("k").toString("base64url") } }
      const record = yield* (yield* sealedWith(KeyProvider.layerStatic(text))).encode("x", context)
      assert.strictEqual(yield* (yield* sealedWith(one("k"))).decode(record, context), "x")
    })
  )

  it.effect("a provider that gives what AES-256 cannot use", () =>
    Effect.gen(function* () {
      const short = Layer.succeed(KeyProvider.KeyProvider, {
        current: () => Effect.succeed({ id: "k", key: new Uint8Array(5) }),
        get: () => Effect.succeed(new Uint8Array(5))
      })
      const { encode } = yield* sealedWith(short)
      const { problem, reason } = yield* refusal(encode("x", context))
      assert.strictEqual(problem, "wrong-key")
      assert.match(reason, /the KeyProvider gave a key that AES-256 cannot use: .*Invalid key length/)
    })
  )
})
