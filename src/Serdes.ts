/**
 * How values become payload text and back.
 *
 * A codec is a Schema, written as JSON text, or `text(schema)` of a schema that encodes to a string, which
 * is then the payload verbatim. Without a schema a value must be plain JSON. "No value" is an absent
 * payload; absent, `""` and `null` all read as no value.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import { PayloadFailed } from "./DurableError.ts"
import { ENVELOPE } from "./internal/envelope.ts"
import { clip } from "./internal/wire.ts"

// ---- the layer --------------------------------------------------------------------------------------

/** What a payload belongs to, for layers that need to know (a key per execution, a path in a store). */
export interface PayloadContext {
  readonly executionArn: string
  /** Wire id of the operation. */
  readonly operationId: string
  /** Name of the operation. */
  readonly operation: string
  /**
   * What it is: the value of a step, a context or a batch, the data of an error, or the state of a `waitForCondition`
   * (its last one is its value).
   */
  readonly kind: "result" | "error" | "state"
}

/**
 * Transforms payload text on its way to the service and back: `decode(encode(text))` must be `text`, in the same
 * context. A `PayloadFailed` whose problem somebody can repair ends the invocation, and Lambda invokes again; any other
 * failure ends the execution.
 */
export interface Transform {
  readonly encode: (text: string, context: PayloadContext) => Effect.Effect<string, string | PayloadFailed>
  readonly decode: (text: string, context: PayloadContext) => Effect.Effect<string, string | PayloadFailed>
}

/**
 * What happens to the text of results and errors of operations between a codec and the wire: nothing by
 * default. Provide a transform in the handler's layer, your own or one of `SerdesStack`, which compresses, encrypts
 * and stores elsewhere. The execution's own
 * input and output stay plain JSON, so that any client can call the function; so do the payloads of callbacks
 * and of invoked functions, which others write and read.
 */
export const Serdes: Context.Reference<Transform | undefined> = Context.Reference("effect-durable-lambda/Serdes", {
  defaultValue: (): Transform | undefined => undefined
})

// ---- codecs ------------------------------------------------------------------------------------------

const TEXT = "~effect-durable-lambda/text"

/**
 * Takes a schema that encodes to a string, and makes that string the payload, without JSON quotes around it.
 *
 * **Example** (A payload that is not JSON)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * // the record holds `42`, not `"42"`
 * const program = Durable.step("count", Effect.succeed(42), { success: Durable.text(Schema.NumberFromString) })
 * ```
 */
export const text = <S extends Schema.Codec<any, string, any, any>>(schema: S): S =>
  schema.annotate({ [TEXT]: true }) as S // annotating keeps the schema's type

/** Whether the payloads of a schema are its own text, and not JSON. */
export const isText = (schema: Schema.Constraint | undefined): boolean =>
  schema !== undefined && Schema.resolveAnnotations(schema as Schema.Codec<unknown>)?.[TEXT] === true

/** Why a payload could not be written or read: a readable sentence, or what a service failed with that its schema uses. */
export type Fault = string | PayloadFailed

/** Writes and reads one payload. `encode` may give no text: no value. */
export interface PayloadCodec {
  readonly encode: (value: unknown) => Effect.Effect<string | undefined, Fault, any>
  readonly decode: (payload: string | undefined) => Effect.Effect<unknown, Fault, any>
  /** The same, but what can be done at once (most schemas need nothing else) is done when it is called, and gives an Exit. */
  readonly encodeNow: PayloadCodec["encode"]
  readonly decodeNow: PayloadCodec["decode"]
}

/**
 * The outcome of what was done at once, as `encodeNow` and `decodeNow` may; nothing for what has yet to run.
 *
 * @internal
 */
export const doneOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Exit.Exit<A, E> | undefined =>
  Exit.isExit(effect) ? (effect as unknown as Exit.Exit<A, E>) : undefined // isExit forgets of what

/** What is wrong with a payload that is about to be read by its codec, where no layer has had a word. */
export const unlayered = (payload: string | undefined): PayloadFailed | undefined =>
  payload?.startsWith(ENVELOPE) === true
    ? new PayloadFailed({
        problem: "other-layers",
        reason: "it was written by Serdes layers, and there are none now. Provide them again."
      })
    : undefined

/** JSON that is not taken for what layers have written: white space before it is nothing to who reads it. */
const stringify = (value: unknown): string => {
  const text = JSON.stringify(value) as string | undefined
  return text?.startsWith(ENVELOPE) === true ? ` ${text}` : text!
}

/**
 * Whether a payload is no value.
 *
 * @internal
 */
export const isNothing = (payload: string | undefined): payload is "" | "null" | undefined =>
  payload === undefined || payload === "" || payload === "null"

const notJson = (payload: string) => `it is not JSON: ${clip(payload)}`

/**
 * What a schema ends with that cannot do its work, in words. One that throws or interrupts itself has failed: thrown on, the
 * invocation would be repeated for ever. One that dies of a `PayloadFailed` says so in the only way that leads past the
 * issues of schemas.
 */
const total = <A, R>(run: () => Effect.Effect<A, Schema.SchemaError | string, R>): Effect.Effect<A, Fault, R> => {
  // try: Effect.suspend catches what is thrown, too, but never gives an Exit
  try {
    const running = run()
    const done = doneOf(running)
    if (done === undefined) return Effect.catchCause(running, (cause) => failedBy(Cause.squash(cause)))
    return Exit.isSuccess(done) ? Exit.succeed(done.value) : failedBy(Cause.squash(done.cause))
  } catch (defect) {
    return failedBy(defect)
  }
}

const failedBy = (failed: unknown): Exit.Exit<never, Fault> =>
  Exit.fail(
    typeof failed === "string" || failed instanceof PayloadFailed
      ? failed
      : failed instanceof Schema.SchemaError
        ? failed.message
        : `its schema died: ${String(failed)}`
  )

const fromSchema = (schema: Schema.Constraint): PayloadCodec => {
  const isVerbatim = isText(schema)
  const given = schema as Schema.Codec<unknown, any, any, any>
  const codec = isVerbatim ? given : Schema.toCodecJson(given)
  const write = Schema.encodeEffect(codec)
  const read = Schema.decodeUnknownEffect(codec)
  const encode = (value: unknown) =>
    isVerbatim
      ? write(value)
      : // a void schema would write `null`: AWS's SDKs leave the payload out
        Effect.mapEager(write(value), (json) => (value === undefined ? undefined : stringify(json)))
  const decode = (payload: string | undefined) =>
    isVerbatim
      ? read(payload ?? "")
      : isNothing(payload)
        ? Effect.catchEager(read(null), (error) => Effect.catchEager(read(undefined), () => Effect.fail(error)))
        : Effect.flatMapEager(Effect.fromResult(readPlainJson(payload)), read)
  const encodeNow: PayloadCodec["encode"] = (value) => total(() => encode(value))
  const decodeNow: PayloadCodec["decode"] = (payload) => total(() => decode(payload))
  return {
    encode: (value) => Effect.suspend(() => encodeNow(value)),
    decode: (payload) => Effect.suspend(() => decodeNow(payload)),
    encodeNow,
    decodeNow
  }
}

/**
 * What is wrong with a schema that is none.
 *
 * @internal
 */
export const NO_SCHEMA = "is no Schema. Write Schema.Struct({ ... }) around fields."

const refusing = (reason: string): PayloadCodec => {
  const refuse = () => Effect.fail(`its schema ${reason}`)
  return { encode: refuse, decode: refuse, encodeNow: refuse, decodeNow: refuse }
}

const codecs = new WeakMap<object, PayloadCodec>()

/** The codec of a schema, built once per schema; without a schema, that of plain JSON. */
export const payloadCodec = (schema: Schema.Constraint | undefined): PayloadCodec => {
  if (schema === undefined) return plainJson
  if (!(schema as Partial<Schema.Constraint>).ast) return refusing(NO_SCHEMA)
  const known = codecs.get(schema)
  if (known !== undefined) return known
  const made = Result.getOrElse(
    Result.try(() => fromSchema(schema)),
    (defect) => refusing(`has no JSON: ${String(defect)}`)
  )
  codecs.set(schema, made)
  return made
}

// ---- plain JSON --------------------------------------------------------------------------------------

const isPlainPrototype = (prototype: unknown) => prototype === Object.prototype || prototype === null

/** What is wrong, and where: the path is put together on the way back, where most values never come. */
interface Found {
  readonly path: string
  readonly what: string
}

const found = (what: string): Found => ({ path: "", what })

const within = (step: string, { path, what }: Found): Found => ({ path: step + path, what })

/**
 * Says what in a value is not plain JSON, or nothing. `undefined` is allowed where JSON leaves it out (as a
 * property), because the value read back is the same to every program that uses optional keys.
 */
const fault = (value: unknown, parents: Array<object>): Found | undefined => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined
    case "number":
      return Number.isFinite(value) ? undefined : found(`is ${value}`)
    case "undefined":
      return found("is undefined")
    case "object":
      break
    default:
      return found(`is a ${typeof value}`)
  }
  if (value === null) return undefined
  if (parents.includes(value)) return found("contains itself")
  parents.push(value)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const wrong = fault(value[i], parents)
      if (wrong !== undefined) return within(`[${i}]`, wrong)
    }
  } else {
    if (!isPlainPrototype(Object.getPrototypeOf(value))) {
      return found(`is an instance of ${value.constructor?.name || "a class"}`)
    }
    for (const key of Object.keys(value)) {
      const member = (value as Record<string, unknown>)[key]
      const wrong = member === undefined ? undefined : fault(member, parents)
      if (wrong !== undefined) return within(`.${key}`, wrong)
    }
  }
  parents.pop()
  return undefined
}

/**
 * The text of what a schema constructs from this input: a class schema takes what its constructor takes, and
 * defaults are filled in.
 */
export const encodeInput = (
  schema: Schema.Constraint,
  input: unknown
): Effect.Effect<string | undefined, Fault, any> => {
  // a method: a class makes itself
  const maker = schema as { readonly makeEffect?: (input: unknown) => Effect.Effect<unknown, SchemaIssue.Issue> }
  return Effect.flatMap(
    Effect.suspend(() =>
      total(() =>
        maker.makeEffect === undefined
          ? Effect.succeed(input)
          : Effect.mapError(maker.makeEffect(input), (issue) => new Schema.SchemaError(issue).message)
      )
    ),
    (value) => payloadCodec(schema).encode(value)
  )
}

/** What in a value is not plain JSON, in the words of the compile-time message; `undefined` when it is plain. */
export const plainJsonFault = (value: unknown): string | undefined => {
  if (value === undefined) return undefined
  // try: reading a value runs its getters, and a very deep one exceeds the stack
  try {
    const wrong = fault(value, [])
    const path = wrong?.path.replace(/^\./, "")
    return wrong && `${path === "" ? "it" : `\`${path}\``} ${wrong.what}`
  } catch (error) {
    return `it cannot be read (${String(error)})`
  }
}

/** Writes a plain value. Fails with what in it is not plain JSON. */
export const writePlainJson = (value: unknown): Result.Result<string | undefined, string> => {
  const found = plainJsonFault(value)
  if (found !== undefined) return Result.fail(`its value is not plain JSON: ${found}. Give it a \`success\` schema.`)
  // try: a getter may give something else the second time
  try {
    return Result.succeed(value === undefined ? undefined : stringify(value))
  } catch (error) {
    return Result.fail(`its value cannot be read (${String(error)}).`)
  }
}

const parse = (payload: string): Result.Result<unknown, string> => {
  // try: one is read for every operation, and Result.try takes two more functions for it
  try {
    return Result.succeed(JSON.parse(payload))
  } catch {
    return Result.fail(notJson(payload))
  }
}

/** Reads a plain value; no payload is no value. */
export const readPlainJson = (payload: string | undefined): Result.Result<unknown, string> =>
  payload === undefined || payload === "" ? Result.succeed(undefined) : parse(payload)

const encodePlain: PayloadCodec["encode"] = (value) => Effect.fromResult(writePlainJson(value))
const decodePlain: PayloadCodec["decode"] = (payload) => Effect.fromResult(readPlainJson(payload))
const plainJson: PayloadCodec = {
  encode: encodePlain,
  decode: decodePlain,
  encodeNow: encodePlain,
  decodeNow: decodePlain
}
