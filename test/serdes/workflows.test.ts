// @effect-diagnostics globalDateInEffect:off missingLayerContext:off
import { assert, describe, it } from "@effect/vitest"
import {
  Durable,
  DurableError,
  DurableHandler,
  type KeyProvider,
  KeyProviderKms,
  PayloadStore,
  PayloadStoreS3,
  Serdes,
  SerdesClaimCheck,
  SerdesEncryption,
  SerdesGzip,
  SerdesPreview,
  SerdesStack
} from "effect-durable-lambda"
import { crashEverywhere, replayHistory, TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as operations from "../operations/kit.ts"
import { CardDeclined } from "../operations/kit.ts"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

const { layerMemory } = TestRunner
const noRetry = { retry: Durable.noRetry }

/** Everything at once: what is short is encrypted, what is longer compressed, what is still large elsewhere. */
const whole = () =>
  SerdesStack.layer(
    [SerdesGzip.gzip({ above: 100 }), SerdesEncryption.aes256Gcm, SerdesClaimCheck.claimCheck({ above: 500 })],
    { preview: SerdesPreview.pick({ show: ["id"] }) }
  ).pipe(Layer.provide([kit.keys, PayloadStore.layerMemory]))

const noise = Array.from({ length: 200 }, (_, i) => kit.keyOf(`secret ${i}`).toString("base64")).join(" secret ")
const large = "secret ".repeat(60_000)

const everything = Effect.gen(function* () {
  const plain = yield* Durable.step("plain", Effect.succeed({ id: 7, text: "secret" }))
  const typed = yield* Durable.step("typed", Effect.succeed({ at: new Date(0), text: "secret" }), {
    success: Schema.Struct({ at: Schema.Date, text: Schema.String })
  })
  const text = yield* Durable.step("text", Effect.succeed("secret \uD800"), { success: Durable.text(Schema.String) })
  const stored = yield* Durable.step("stored", Effect.succeed(noise))
  const none = yield* Durable.step("none", Effect.void)
  const declined = yield* Effect.flip(
    Durable.step("declined", Effect.fail(new CardDeclined({ reason: "secret" })), { ...noRetry, error: CardDeclined })
  )
  const context = yield* Durable.childContext("context", Effect.succeed(large))
  const states = yield* Durable.waitForCondition(
    "condition",
    (state) => Effect.succeed({ ...state, count: state.count + 1 }),
    {
      initial: { count: 0, text: "secret" },
      state: Schema.Struct({ count: Schema.Number, text: Schema.String }),
      until: ({ count }) => count === 3,
      schedule: Schedule.spaced("1 minute")
    }
  )
  const items = yield* Durable.map("items", ["a", "b"], (item) =>
    Durable.step(`item ${item}`, Effect.succeed(`secret ${item}`))
  )
  return {
    plain,
    typed,
    text,
    stored: stored.length,
    none,
    declined: declined._tag,
    context: context.length,
    states,
    items
  }
})

const expected = {
  plain: { id: 7, text: "secret" },
  typed: { at: new Date(0), text: "secret" },
  text: "secret \uD800",
  stored: noise.length,
  none: undefined,
  declined: "CardDeclined",
  context: large.length,
  states: { count: 3, text: "secret" },
  items: ["secret a", "secret b"]
}

describe("Serdes layers in workflows", () => {
  it.effect("all operations, live and replayed; nothing readable is on record but the preview", () =>
    Effect.gen(function* () {
      const execution = yield* operations.sees(everything, Exit.succeed(expected))
      const records = JSON.stringify(yield* execution.operations)
      assert.notInclude(records, "secret")
      const recordOf = (name: string) =>
        Effect.map(
          execution.operation(name),
          ({ ContextDetails, StepDetails }) =>
            JSON.parse(
              (StepDetails ?? ContextDetails)?.Result ?? (StepDetails ?? ContextDetails)?.Error?.ErrorData ?? ""
            ) as {
              readonly "~serdes": string
              readonly preview?: unknown
            }
        )
      assert.deepInclude(yield* recordOf("plain"), { "~serdes": "aes-256-gcm", preview: { id: 7 } })
      assert.deepInclude(yield* recordOf("text"), { "~serdes": "utf16 aes-256-gcm" })
      assert.deepInclude(yield* recordOf("stored"), { "~serdes": "gzip aes-256-gcm claim-check" })
      assert.deepInclude(yield* recordOf("declined"), { "~serdes": "aes-256-gcm" })
      assert.deepInclude(yield* recordOf("context"), { "~serdes": "gzip aes-256-gcm claim-check" })
      assert.isUndefined((yield* execution.operation("context")).ContextDetails?.ReplayChildren)
    }).pipe(Effect.provide([layerMemory, whole()]))
  )

  it.effect("a crash anywhere makes no difference", () =>
    Effect.gen(function* () {
      const objects = new Map<string, Uint8Array>() // the store outlives its process
      const { boundaries, crashes } = yield* crashEverywhere(operations.Anything, () => everything, null, {
        layer: SerdesStack.layer([
          SerdesGzip.gzip({ above: 100 }),
          SerdesEncryption.aes256Gcm,
          SerdesClaimCheck.claimCheck({ above: 500 })
        ]).pipe(Layer.provide([kit.keys, Layer.succeed(PayloadStore.PayloadStore, PayloadStore.makeMemory(objects))]))
      })
      assert.isAbove(boundaries, 20)
      assert.strictEqual(crashes, boundaries)
    })
  )

  it.effect("a recorded history replays with its layers, and says so without them, or with others", () =>
    Effect.gen(function* () {
      const body = Effect.andThen(Durable.step("s", Effect.succeed({ a: 1 })), Durable.wait("w", "1 second"))
      const layer = SerdesStack.layer([SerdesEncryption.aes256Gcm]).pipe(Layer.provide(kit.keys))
      const other = SerdesStack.layer([SerdesGzip.gzip()])
      const execution = yield* operations.start(body).pipe(Effect.provide(layer))
      yield* execution.result
      const history = { DurableExecutionArn: execution.arn, Events: yield* execution.history }
      const replay = replayHistory(operations.Anything, () => body, history)
      assert.strictEqual((yield* Effect.provide(replay, layer))._tag, "Replays")
      const without = yield* replay
      assert(without._tag === "Diverges")
      assert.match(without.reason, /STEP "s" .*it was written by Serdes layers, and there are none now/)
      const changed = yield* Effect.provide(replay, other)
      assert(changed._tag === "Diverges")
      assert.match(changed.reason, /STEP "s" .*it was written by aes-256-gcm\. This deployment reads gzip\./)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect(
    "without layers, what layers have written is given to nobody: with a schema, plain, in contexts, as errors",
    () =>
      Effect.gen(function* () {
        const bodies: ReadonlyArray<operations.Body> = [
          Durable.step("s", Effect.succeed({ a: 1 })),
          Durable.step("s", Effect.succeed({ a: 1 }), { success: Schema.Unknown }),
          Durable.step("s", Effect.fail("x"), noRetry),
          Durable.childContext("s", Effect.succeed({ a: 1 })),
          Durable.childContext("s", Effect.succeed({ a: 1 }), { success: Schema.Unknown }),
          Durable.map("s", [1], () => Effect.succeed(1))
        ]
        for (const body of bodies) {
          const program = Effect.andThen(Effect.exit(body), Durable.wait("w", "1 second"))
          const execution = yield* operations
            .start(program)
            .pipe(Effect.provide(SerdesStack.layer([SerdesGzip.gzip({ above: 0 })])))
          yield* execution.result
          const verdict = yield* replayHistory(operations.Anything, () => program, { Events: yield* execution.history })
          assert(verdict._tag === "Diverges", JSON.stringify(verdict))
          assert.match(verdict.reason, /"s" .*there are none now\. Provide them again\. Nothing on record is lost/)
        }
      }).pipe(Effect.provide(layerMemory))
  )
})

describe("values that look as what layers write", () => {
  const odd = { "~serdes": "x", n: 1 }
  const text = '{"~serdes":"x"}'
  const Any = { payload: Schema.Unknown, success: Schema.Unknown }
  const bodies: Readonly<Record<string, readonly [body: operations.Body, expected: unknown]>> = {
    "of a step": [Durable.step("s", Effect.succeed(odd)), odd],
    "of a step, by a schema": [Durable.step("s", Effect.succeed(odd), { success: Schema.Unknown }), odd],
    "of a failure": [
      Effect.flip(
        Durable.step("s", Effect.fail(odd), {
          ...noRetry,
          error: Schema.Struct({ "~serdes": Schema.Any, n: Schema.Any })
        })
      ),
      odd
    ],
    "of a context": [Durable.childContext("c", Effect.succeed(odd)), odd],
    "of an item": [Durable.map("m", [1], () => Effect.succeed(odd)), [odd]],
    "of the outside": [Durable.waitForCallback("ask", () => Effect.void), text],
    "of the outside, by a schema": [
      Durable.waitForCallback("ask", () => Effect.void, { success: Schema.Unknown }),
      { "~serdes": "x" }
    ],
    "to and of another function": [Durable.invoke("check", Any, odd, { functionName: "check" }), odd]
  }
  for (const [what, [body, expected]] of Object.entries(bodies)) {
    for (const [how, layer] of [
      ["without layers", Layer.empty],
      ["with them", SerdesStack.layer([SerdesGzip.gzip()])],
      ["with plain ones read, too", SerdesStack.layer([SerdesGzip.gzip()], { alsoReads: ["plain"] })]
    ] as const) {
      it.effect(`${what}, ${how}: values as any`, () =>
        Effect.gen(function* () {
          yield* TestRunner.onCallback("ask", Effect.succeed(text))
          yield* TestRunner.onInvoke("check", Any, Effect.succeed)
          yield* operations.sees(body, Exit.succeed(expected))
        }).pipe(Effect.provide([layerMemory, layer]))
      )
    }
  }

  it.effect("text that is the payload itself is refused where there are no layers, and nothing is tried again", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.succeed(text), { success: Durable.text(Schema.String) })
      const fault = yield* operations.faultOf(step)
      assert.strictEqual(fault.type, "SerdesFailed")
      assert.match(fault.message, /^STEP "s" .*cannot encode its payload: it begins as what Serdes layers write\.$/)
      yield* operations.sees(step, Exit.succeed(text)).pipe(Effect.provide(SerdesStack.layer([])))
    }).pipe(Effect.provide(layerMemory))
  )
})

/** A transform that can be changed while executions wait, as a deployment under $LATEST does. */
const changing = (first: Serdes.Transform) => {
  const now = { transform: first, reads: 0 }
  const transform: Serdes.Transform = {
    encode: (text, context) => now.transform.encode(text, context),
    decode: (text, context) => {
      now.reads++
      return now.transform.decode(text, context)
    }
  }
  return { now, layer: Layer.succeed(Serdes.Serdes, transform) }
}

/** What the first invocation of a body says, whether it is answered or thrown. */
const replayOnce = (body: operations.Body, transform: Serdes.Transform) =>
  Effect.gen(function* () {
    const service = FakeService.make()
    const handler = DurableHandler.make(operations.Anything, () => body, {
      ...service.handlerOptions,
      layer: Layer.succeed(Serdes.Serdes, transform)
    })
    return yield* service.invoke(handler, service.event()).pipe(
      Effect.map((answer) => (answer.Status === "FAILED" ? (answer.Error?.ErrorMessage ?? "") : answer.Status)),
      Effect.catch(({ error }) => Effect.succeed(error.message))
    )
  })

describe("Serdes layers that cannot do their work", () => {
  const repairable: Readonly<Record<string, DurableError.PayloadProblem>> = {
    "a service that does not answer": "unavailable",
    "a missing permission": "denied",
    "a missing key or object": "missing",
    "a wrong key": "wrong-key",
    "layers of another deployment": "other-layers"
  }
  for (const [what, problem] of Object.entries(repairable)) {
    for (const action of ["encode", "decode"] as const) {
      it.effect(`${what}, to ${action}: the execution goes on where it was, when it is repaired`, () =>
        Effect.gen(function* () {
          const works = yield* kit.make([kit.encrypt])
          let failures = 0
          const broken: Serdes.Transform = {
            ...works,
            [action]: (text: string, context: Serdes.PayloadContext) =>
              context.operation === "s" && failures++ < 5
                ? Effect.fail(new DurableError.PayloadFailed({ problem, reason: "not now." }))
                : works[action](text, context)
          }
          const execution = yield* operations
            .start(
              Effect.gen(function* () {
                yield* Durable.step("before", Effect.void)
                const value = yield* Durable.step("s", Effect.succeed("x"))
                yield* Durable.wait("w", "1 second")
                return value
              })
            )
            .pipe(Effect.provideService(Serdes.Serdes, broken))
          assert.strictEqual(yield* execution.result, "x")
          assert.strictEqual(yield* execution.runs("before"), 1)
          // what could not be recorded is done again, what is on record is not
          assert.strictEqual(yield* execution.runs("s"), action === "encode" ? 6 : 1)
          const thrown = (yield* execution.history).flatMap(
            ({ InvocationCompletedDetails }) => InvocationCompletedDetails?.Error?.Payload?.ErrorMessage ?? []
          )
          assert.strictEqual(thrown.length, 5)
          for (const message of thrown) {
            assert.match(
              message,
              new RegExp(
                `^STEP "s" \\([\\w-]+\\): cannot ${action} its payload: not now\\. Nothing on record is lost: Lambda invokes again\\.$`
              )
            )
          }
        }).pipe(Effect.provide(layerMemory))
      )
    }
  }

  it.effect("a damaged record ends the execution, and says which", () =>
    Effect.gen(function* () {
      const { decode, encode } = yield* kit.make([kit.gzip, kit.encrypt])
      const damaging: Serdes.Transform = { encode, decode: (text, context) => decode(kit.flip(text, 2_000), context) }
      const fault = yield* operations
        .faultOf(Durable.step("s", Effect.succeed("x".repeat(1_000))))
        .pipe(Effect.provideService(Serdes.Serdes, damaging))
      assert.strictEqual(fault.type, "SerdesFailed")
      assert.match(fault.message, /^STEP "s" \([\w-]+\): cannot decode its payload: it is damaged: /)
      assert.notInclude(fault.message, "Lambda invokes again")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a layer that throws, or dies, is to blame, and not this library", () =>
    Effect.gen(function* () {
      const plain: Serdes.Transform = { encode: Effect.succeed, decode: Effect.succeed }
      const throws = (): never => {
        throw new TypeError("no")
      }
      for (const action of ["encode", "decode"] as const) {
        for (const broken of [throws, () => Effect.die(new TypeError("no")), () => Effect.die(Object.create(null))]) {
          for (const body of [
            Durable.step("s", Effect.succeed(1)),
            Durable.step("s", Effect.fail("x"), noRetry),
            Durable.childContext("s", Effect.succeed(1))
          ]) {
            const fault = yield* operations
              .faultOf(Effect.andThen(body, Durable.wait("w", "1 second")))
              .pipe(Effect.provideService(Serdes.Serdes, { ...plain, [action]: broken }))
            assert.strictEqual(fault.type, "SerdesFailed")
            assert.match(
              fault.message,
              new RegExp(
                `"s" \\([\\w-]+\\): cannot ${action} its payload: the Serdes layer failed: it died: (?:TypeError: no|a value that)`
              )
            )
          }
        }
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect(
    "a record that is cut off anywhere, or of which a byte is another, is refused by its operation's name",
    () =>
      Effect.gen(function* () {
        const text = JSON.stringify({ id: 7, text: "secret ".repeat(30) })
        const objects = new Map<string, Uint8Array>()
        const { decode, encode } = yield* kit.make([kit.gzip, kit.encrypt], {}, objects)
        const length = (yield* encode(text, kit.context)).length
        let refused = 0
        const damages: ReadonlyArray<(record: string, at: number) => string> = [
          (record, at) => record.slice(0, at + 1),
          (record, at) => record.slice(0, at) + (record[at] === "A" ? "B" : "A") + record.slice(at + 1),
          (record, at) => record.slice(0, at) + record.slice(at + 1),
          (record, at) => `${record.slice(0, at)} ${record.slice(at)}`
        ]
        for (const damage of damages) {
          for (let at = 0; at < length - 1; at += 7) {
            const layer: Serdes.Transform = { encode, decode: (record, context) => decode(damage(record, at), context) }
            const exit = yield* Effect.exit(
              replayOnce(Durable.step("s", Effect.succeed({ id: 7, text: "secret ".repeat(30) })), layer)
            )
            assert(Exit.isSuccess(exit))
            assert.match(
              exit.value,
              /^(?:SerdesFailed: )?STEP "s" \([\w-]+\): cannot decode its payload: it (?:is damaged|was|does)/
            )
            refused++
          }
        }
        assert.isAbove(refused, 100)
      })
  )

  it.effect("layers in another order, until somebody puts them right: nothing that was done is done again", () =>
    Effect.gen(function* () {
      const { layer, now } = changing(yield* kit.make([kit.gzip, kit.encrypt]))
      const execution = yield* operations
        .start(
          Effect.gen(function* () {
            const value = yield* Durable.step("s", Effect.succeed("x".repeat(1_000)))
            yield* Durable.wait("w", "1 day")
            return value.length
          })
        )
        .pipe(Effect.provide(layer))
      yield* TestRunner.advance("1 hour")
      now.transform = yield* kit.make([kit.encrypt, kit.gzip])
      now.reads = 0
      yield* TestRunner.advance("2 days")
      assert.isAbove(now.reads, 3)
      assert.strictEqual(yield* execution.status, "RUNNING")
      now.transform = yield* kit.make([kit.encrypt, kit.gzip], { alsoReads: [[kit.gzip, kit.encrypt]] })
      yield* TestRunner.advance("2 days")
      assert.strictEqual(yield* execution.result, 1_000)
      assert.strictEqual(yield* execution.runs("s"), 1)
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("layers that came while executions ran, by option", () =>
    Effect.gen(function* () {
      const plain: Serdes.Transform = { encode: Effect.succeed, decode: Effect.succeed }
      const { layer, now } = changing(plain)
      const execution = yield* operations
        .start(
          Effect.gen(function* () {
            const before = yield* Durable.step("before", Effect.succeed("a"))
            yield* Durable.wait("w", "1 day")
            const after = yield* Durable.step("after", Effect.succeed("b"))
            return before + after
          })
        )
        .pipe(Effect.provide(layer))
      yield* TestRunner.advance("1 hour")
      now.transform = yield* kit.make([kit.encrypt], { alsoReads: ["plain"] })
      yield* TestRunner.advance("1 day")
      assert.strictEqual(yield* execution.result, "ab")
      assert.strictEqual((yield* execution.operation("before")).StepDetails?.Result, '"a"')
      assert.match((yield* execution.operation("after")).StepDetails?.Result ?? "", /^\{"~serdes":"aes-256-gcm"/)
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("KMS and S3 of AWS down for a while, in the middle of a workflow", () =>
    Effect.gen(function* () {
      const kms = kit.fakeKms()
      const s3 = kit.fakeS3()
      const layer = SerdesStack.layer([kit.gzip, SerdesEncryption.aes256Gcm, kit.claim]).pipe(
        Layer.provide([
          KeyProviderKms.layer({ ...kms.options, timeToLive: "1 second", retries: 1 }),
          PayloadStoreS3.layer({ ...s3.options, retries: 1 })
        ])
      )
      kms.failures.push(...Array.from({ length: 6 }, () => kit.awsError("KMSInternalException", 500)))
      s3.failures.push(...Array.from({ length: 5 }, () => kit.awsError("SlowDown", 503)))
      const execution = yield* operations
        .start(
          Effect.gen(function* () {
            const a = yield* Durable.step("a", Effect.succeed("a".repeat(100)))
            yield* Durable.wait("w", "1 minute")
            const b = yield* Durable.step("b", Effect.succeed("b"))
            return a + b
          })
        )
        .pipe(Effect.provide(layer))
      assert.strictEqual(yield* execution.result, `${"a".repeat(100)}b`)
      assert.strictEqual(yield* execution.runs("b"), 1)
      // 6 / 2 for keys, 5 / 2 for objects
      assert.strictEqual(yield* execution.runs("a"), 6)
      assert.notInclude(JSON.stringify([...s3.objects.values()].map(String)), "aaaa")
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("Serdes layers: types", () => {
  it("a stack names what its stages need", () => {
    const needs: Layer.Layer<never, never, KeyProvider.KeyProvider | PayloadStore.PayloadStore> = SerdesStack.layer([
      SerdesGzip.gzip(),
      SerdesEncryption.aes256Gcm,
      SerdesClaimCheck.claimCheck()
    ])
    const also: Layer.Layer<never, never, KeyProvider.KeyProvider> = SerdesStack.layer([SerdesGzip.gzip()], {
      alsoReads: [[SerdesEncryption.aes256Gcm], "plain"]
    })
    const none: Layer.Layer<never> = SerdesStack.layer([SerdesGzip.gzip()])
    // types of their own: what is expected must not decide what is inferred
    const first = SerdesStack.layer([SerdesGzip.gzip()], { alsoReads: ["plain"] })
    const last = SerdesStack.layer([], { alsoReads: [[SerdesGzip.gzip()]] })
    const shown = SerdesStack.layer([], { preview: () => 1, alsoReads: [] })
    const all: ReadonlyArray<Layer.Layer<never>> = [first, last, shown, SerdesStack.layer([])]
    // @ts-expect-error: the keys are missing
    const wrong: Layer.Layer<never> = SerdesStack.layer([SerdesEncryption.aes256Gcm])
    assert.isDefined([needs, also, none, all, wrong])
  })
})
