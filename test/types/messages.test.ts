/**
 * What the compiler says is part of the API. Each misuse is compiled, all of them in one run of tsc, and the
 * last line of what it says must be the sentence that tells the user what to do.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const folder = path.join(root, ".tmp/types")

/** What all snippets can use. */
const PRELUDE = `
import { Durable, DurableClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
class Receipt extends Schema.Class<Receipt>("Receipt")({ id: Schema.String }) {}
class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { retryable: Schema.Boolean }) {}
class Payments extends Context.Service<Payments, {
  readonly charge: Effect.Effect<{ readonly id: string }, CardDeclined | Unavailable>
}>()("app/Payments") {}
class Mail extends Context.Service<Mail, { readonly send: Effect.Effect<void> }>()("app/Mail") {}
const Fn = DurableFunction.make("f", { payload: Schema.String })
const charge = Payments.use((payments) => payments.charge)
class Down extends Data.TaggedError("Down")<{ readonly host: string }> {}
const keyed = SchemaGetter.transformEffect((text: string) => Effect.as(Effect.service(Payments), text))
const Keyed = Schema.String.pipe(Schema.decodeTo(Schema.String, { decode: keyed, encode: keyed }))
export { Config, Down, Keyed, Context, Durable, DurableClient, DurableFunction, DurableHandler, Effect, Layer, Schema, TestRunner, Receipt, CardDeclined, Unavailable, Payments, Mail, Fn, charge }
`

const IN_STEP =
  '"A durable operation cannot run inside a step. Move it out of the step, or use Durable.childContext instead of Durable.step."'
const NO_EFFECT =
  '"A step takes an Effect. Make one of a promise with Effect.tryPromise, of a function with Effect.sync, of a generator with Effect.gen."'
const NO_BODY =
  '"The body must return an Effect: write it with Effect.fnUntraced or Effect.gen. An async function, a generator, or a handler is no body."'
const NO_LAYER = '"A step or schema needs `app/Payments`: give the handler `{ layer }`, a layer that provides it."'
const NOT_PLAIN = (fault: string) =>
  `"The value of this step is not plain JSON: ${fault}. Give the step a \`success\` schema."`

/** Each misuse with what the last line of its error must end with. */
const cases: Record<string, readonly [code: string, sentence: string]> = {
  "a durable operation in a step": [`Durable.step("a", Durable.step("b", Effect.succeed(1)))`, IN_STEP],
  "a wait in a step, in a generator": [
    `Durable.step("a", Effect.gen(function*() { yield* charge; yield* Durable.wait("w", 5) }))`,
    IN_STEP
  ],
  "a durable operation in a step, pipeable": [`Durable.step("b", Effect.succeed(1)).pipe(Durable.step("a"))`, IN_STEP],
  "a promise as a step": [`Durable.step("a", Promise.resolve(1))`, NO_EFFECT],
  "an async function as a step, as with AWS's SDK": [`Durable.step("a", async () => 1)`, NO_EFFECT],
  "a function that returns an Effect as a step": [`Durable.step("a", () => Effect.succeed(1))`, NO_EFFECT],
  "a generator as a step": [`Durable.step("a", function*() { return yield* Effect.succeed(1) })`, NO_EFFECT],
  "a promise as a value": [
    `Durable.step("a", Effect.sync(() => Promise.resolve(1)))`,
    '"The value of this step is a Promise. Use Effect.promise or Effect.tryPromise instead of Effect.sync."'
  ],
  "an Effect as a value": [
    `Durable.step("a", Effect.sync(() => charge))`,
    '"The value of this step is itself an Effect, which has not run. Use `yield*` or Effect.flatMap."'
  ],
  "an async body": [`DurableHandler.make(Fn, async (to: string) => { to.at(0) })`, NO_BODY],
  "a generator as a body": [`DurableHandler.make(Fn, function*() { yield* Durable.wait("w", "1 day") })`, NO_BODY],
  "a body that returns no Effect": [`DurableHandler.make(Fn, () => {}, {})`, NO_BODY],
  "a handler in the place of a body": [`TestRunner.run(Fn, DurableHandler.make(Fn, () => Effect.void), "x")`, NO_BODY],
  "a forgotten yield*": [
    `DurableHandler.make(DurableFunction.make("g", { payload: Schema.String, success: Schema.String }), Effect.fnUntraced(function*(to: string) { yield* Durable.wait("w", "1 day"); return Durable.step("a", Effect.succeed(to)) }))`,
    '"The body\'s value is itself an Effect, which has not run: write `return yield*`."'
  ],
  "no layer": [`DurableHandler.make(Fn, () => Effect.asVoid(Durable.step("a", charge)))`, NO_LAYER],
  "a layer around the body": [
    `DurableHandler.make(Fn, () => Durable.step("a", charge).pipe(Effect.asVoid, Effect.provide(Layer.mock(Payments, {}))))`,
    NO_LAYER
  ],
  "a Date deep in a value": [
    `Durable.step("a", Effect.succeed({ order: { createdAt: new Date(0) } }))`,
    NOT_PLAIN("`order.createdAt` is a Date")
  ],
  "a Date in a list": [`Durable.step("a", Effect.succeed([{ at: new Date(0) }]))`, NOT_PLAIN("`[].at` is a Date")],
  "a function without a version": [
    `DurableClient.start(Fn, "f", "x")`,
    '"A durable function is started by a version or an alias: add it to the name, as in `order:live`, or assert a checked string as DurableFunction.QualifiedName."'
  ],
  "fields in the place of a definition's schema": [
    `DurableFunction.make("g", { payload: { id: Schema.String } })`,
    '"`payload` takes a Schema: write Schema.Struct({ ... }) around its fields."'
  ],
  "fields in the place of a definition's success": [
    `DurableFunction.make("g", { payload: Schema.String, success: { id: Schema.String } })`,
    '"`success` takes a Schema: write Schema.Struct({ ... }) around its fields."'
  ],
  "a misspelt option of a definition": [
    `DurableFunction.make("g", { payload: Schema.String, sucess: Schema.String })`,
    "Did you mean to write 'success'?"
  ],
  "a value that is unknown": [`Durable.step("a", Effect.succeed<unknown>(1))`, NOT_PLAIN("it is unknown")],
  "a value that is any": [`Durable.step("a", Effect.sync(() => JSON.parse("1")))`, NOT_PLAIN("it is any")],
  "a bigint": [`Durable.step("a", Effect.succeed({ total: BigInt(1) }))`, NOT_PLAIN("`total` is a bigint")],
  "a bigint, pipeable": [
    `Effect.succeed({ total: BigInt(1) }).pipe(Durable.step("a"))`,
    NOT_PLAIN("`total` is a bigint")
  ],
  "a value that can be undefined": [
    `Durable.step("a", Effect.succeed<string | undefined>("x"))`,
    NOT_PLAIN("it can be undefined")
  ],
  "a Map": [`Durable.step("a", Effect.succeed({ m: new Map<string, string>() }))`, NOT_PLAIN("`m` is a Map")],
  "a schema narrower than the value": [
    `Durable.step("a", Effect.succeed("x" as string), { success: Schema.Literals(["a"]) })`,
    '"The `success` schema does not accept every value of this step."'
  ],
  "an unrelated error schema": [
    `Durable.step("a", Effect.fail(new Unavailable({ retryable: true })), { error: CardDeclined })`,
    '"The `error` schema accepts none of the errors of this step."'
  ],
  "a context's schema narrower than its value": [
    `Durable.childContext("a", Effect.succeed("x" as string), { success: Schema.Literals(["a"]) })`,
    '"The `success` schema does not accept every value of this context."'
  ],
  "a raw service in the body": [
    `DurableHandler.make(Fn, () => Effect.asVoid(charge))`,
    '"The service `app/Payments` is used outside a step. Use it inside Durable.step."'
  ],
  "a raw service in a compensation": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Durable.step("a", Effect.void).pipe(Durable.withCompensation("b", () => charge))))`,
    '"The service `app/Payments` is used outside a step. Use it inside Durable.step."'
  ],
  "a finalizer in a step": [`Durable.step("a", Durable.addFinalizer("f", () => Effect.void))`, IN_STEP],
  "a raw service in a context of the body": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Durable.childContext("c", charge)))`,
    '"The service `app/Payments` is used outside a step. Use it inside Durable.step."'
  ],
  "CurrentStep in the body": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Durable.CurrentStep))`,
    '"CurrentStep exists only inside a step."'
  ],
  "an undeclared error": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Durable.step("a", charge, { error: CardDeclined })), { layer: Layer.mock(Payments, {}) })`,
    '"The error `CardDeclined` is not declared: add it to the definition\'s `error` schema, or handle it."'
  ],
  "Config in the body": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Effect.andThen(Config.String("URL"), Durable.wait("w", "1 day"))))`,
    '"Config is read in the handler\'s layer, or in a step: a replay must not depend on the environment."'
  ],
  "an error class that is no schema": [
    `DurableFunction.make("g", { payload: Schema.String, error: Down })`,
    '"`error` takes a Schema: make the class with Schema.TaggedError or Schema.Class, not with Data."'
  ],
  "a definition's schema that needs a service, and no layer": [
    `DurableHandler.make(DurableFunction.make("g", { payload: Keyed }), () => Durable.wait("w", "1 day"))`,
    '"A step or schema needs `app/Payments`: give the handler `{ layer }`, a layer that provides it."'
  ],
  "a result that is not declared": [
    `DurableHandler.make(DurableFunction.make("g", { payload: Schema.String, success: Receipt }), () => Durable.step("a", Effect.succeed(1)))`,
    "\"The body's value is not what the definition's `success` schema declares.\""
  ],
  "a layer that lacks a service": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Effect.all([Durable.step("a", charge), Durable.step("b", Mail.use((mail) => mail.send))])), { layer: Layer.mock(Payments, {}) })`,
    '"The layer does not provide `app/Mail`, which a step or schema needs."'
  ],
  "a durable operation in a submitter": [
    `Durable.waitForCallback("a", () => Durable.step("b", Effect.succeed(1)))`,
    IN_STEP
  ],
  "a durable operation in a check": [
    `Durable.waitForCondition("a", (n) => Effect.as(Durable.wait("w", 5), n), { initial: 1, state: Schema.Number, until: () => true })`,
    IN_STEP
  ],
  "an error schema that has nothing to do with the check": [
    `Durable.waitForCondition("a", () => Effect.fail(new Unavailable({ retryable: true })), { initial: 1, state: Schema.Number, until: () => true, error: CardDeclined })`,
    '"The `error` schema accepts none of the errors of this step."'
  ],
  "a raw service in the body, beside a submitter": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Effect.andThen(charge, Durable.waitForCallback("a", () => Effect.void))))`,
    '"The service `app/Payments` is used outside a step. Use it inside Durable.step."'
  ],
  "a layer that lacks what a submitter needs": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Durable.waitForCallback("a", () => Mail.use((mail) => mail.send))), { layer: Layer.mock(Payments, {}) })`,
    '"The layer does not provide `app/Mail`, which a step or schema needs."'
  ],
  "an invoked payload of another type": [
    `Durable.invoke("a", Fn, 5, { functionName: "f:live" })`,
    "Argument of type 'number' is not assignable to parameter of type 'string'."
  ],
  "a misspelt option of a callback": [`Durable.callback("a", { timout: "1 day" })`, "Did you mean to write 'timeout'?"],
  "an item's schema narrower than its value": [
    `Durable.map("m", [1], () => Effect.succeed("x" as string), { success: Schema.Literals(["a"]) })`,
    '"The `success` schema does not accept every value of this map\'s items."'
  ],
  "a branch's schema narrower than its value": [
    `Durable.parallel("p", [Durable.branch(Effect.succeed("x" as string), { success: Schema.Literals(["a"]) })])`,
    '"The `success` schema does not accept every value of this branch."'
  ],
  "a completion without mode result": [
    `Durable.parallel("p", [Durable.step("a", Effect.succeed(1))], { completion: { minSuccessful: 1 } })`,
    `'"A \`completion\` ends a batch with values missing: it needs \`mode: \\"result\\"\`."'`
  ],
  "a codec of the whole without mode result": [
    `Durable.map("m", [1], () => Effect.succeed(1), { result: Schema.Any })`,
    `'"\`result\` is the codec of a BatchResult: it needs \`mode: \\"result\\"\`."'`
  ],
  "a raw service in an item": [
    `DurableHandler.make(Fn, () => Effect.asVoid(Durable.map("m", [1], () => charge)))`,
    '"The service `app/Payments` is used outside a step. Use it inside Durable.step."'
  ],
  "a misspelt option of a batch": [
    `Durable.map("m", [1], () => Effect.succeed(1), { concurency: 1 })`,
    "Did you mean to write 'concurrency'?"
  ],
  "a misspelt option": [
    `Durable.step("a", charge, { sucess: Schema.String })`,
    "'sucess' does not exist in type 'StepOptions<CardDeclined | Unavailable, undefined, undefined, \"AtLeastOncePerRetry\", undefined, never>'. Did you mean to write 'success'?"
  ]
}

/** Compiles all snippets. Gives what is said of each, a string per error. */
const compile = (): Promise<Record<string, ReadonlyArray<string>>> => {
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(path.join(folder, "prelude.ts"), PRELUDE)
  const names = Object.keys(cases)
  for (const [i, name] of names.entries()) {
    const used = [...new Set(cases[name]![0].match(/\b[A-Za-z]\w*/g))].filter((word) =>
      PRELUDE.split("export {")[1]!.match(new RegExp(`\\b${word}\\b`))
    )
    fs.writeFileSync(
      path.join(folder, `case-${i}.ts`),
      `import { ${used.join(", ")} } from "./prelude.ts"\nexport const result = ${cases[name]![0]}\n`
    )
  }
  fs.writeFileSync(
    path.join(folder, "tsconfig.json"),
    // noErrorTruncation is off, as for a user: the sentence must still be whole
    JSON.stringify({
      extends: "../../tsconfig.json",
      compilerOptions: { noErrorTruncation: false, declaration: false, declarationMap: false },
      include: ["*.ts"]
    })
  )
  return new Promise((resolve, reject) => {
    const tsc = path.join(root, "node_modules/typescript/bin/tsc")
    execFile(process.execPath, [tsc, "-p", folder, "--pretty", "false"], { cwd: folder }, (_error, stdout, stderr) => {
      if (stderr !== "") return reject(new Error(stderr))
      const said: Record<string, Array<string>> = Object.fromEntries(names.map((name) => [name, []]))
      for (const error of stdout.split(/\n(?=\S)/)) {
        const file = /^case-(\d+)\.ts\(/.exec(error)
        if (file === null) {
          if (error.trim() !== "") reject(new Error(`not about a snippet: ${error}`))
        } else said[names[Number(file[1])]!]!.push(error.trimEnd())
      }
      resolve(said)
    })
  })
}

describe("messages of the compiler", () => {
  it("the last line says what to do, and there is one error for one misuse", async () => {
    const said = await compile()
    const last = Object.fromEntries(
      Object.entries(said).map(([name, errors]) => [name, errors.map((error) => error.split("\n").at(-1)!)])
    )
    for (const [name, [, sentence]] of Object.entries(cases)) {
      assert.strictEqual(last[name]?.length, 1, `${name}: ${said[name]?.join("\n\n") || "it compiles"}`)
      // TypeScript ends some of them with advice on exactOptionalPropertyTypes, or a full stop
      assert.include(last[name]![0], sentence, name)
    }
  })
})
