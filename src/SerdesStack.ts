/**
 * `Serdes` layers that stand on each other: compress, encrypt, store elsewhere, in the order in which they are listed.
 *
 * Every payload is written into an envelope, which says what was done to it:
 *
 * ```json
 * {"~serdes":"gzip aes-256-gcm","sum":"6b6a8cf7e0ab7d8f","preview":{"id":"7"},"bytes":"AYk2…"}
 * ```
 *
 * `sum` covers all that follows, and the names. What is not in an envelope was not written by layers, and what was
 * written by other layers, or in another order, is not read by these: see `Options.alsoReads`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { hash } from "node:crypto"
import { PayloadFailed } from "./DurableError.ts"
import * as Bytes from "./internal/bytes.ts"
import { ENVELOPE } from "./internal/envelope.ts"
import { type PayloadContext, Serdes, type Transform } from "./Serdes.ts"

// ---- stages ------------------------------------------------------------------------------------------

/** What goes from stage to stage: text, which is well-formed, or bytes. JSON stays readable in the record. */
export type Data = string | Uint8Array

/** What a stage is told of a payload. */
export interface StageContext extends PayloadContext {
  /** The stages before this one that did something to this payload. */
  readonly before: ReadonlyArray<string>
  /** The preview in the envelope, as JSON. A stage that authenticates should authenticate it, too. */
  readonly preview: string | undefined
}

/** One layer of a stack. `decode(encode(data))` must be `data`, in the same context. */
export interface Stage {
  /** What stands in the records: `[a-z0-9-]`, forever. */
  readonly name: string
  /** Records that it did not write are not read. Otherwise it may leave payloads as they are. */
  readonly required: boolean
  /** What it gives says nothing any more of what it was given: no stage can come after it. */
  readonly last?: boolean | undefined
  /** `undefined`: it leaves this payload as it is. */
  readonly encode: (data: Data, context: StageContext) => Effect.Effect<Data | undefined, PayloadFailed>
  readonly decode: (data: Data, context: StageContext) => Effect.Effect<Data, PayloadFailed>
}

/** Stages, with the services that they need. */
export type Stages = ReadonlyArray<Effect.Effect<Stage, never, any>>

/** Stacks whose records are read, too: their stages, or `"plain"`. */
export type Others = ReadonlyArray<"plain" | Stages>

// of what there is none of, none: a stack may have no stages
type ServicesOf<S> = S extends Stages ? Effect.Services<S[number]> : never

/**
 * Makes what of a payload stays readable beside what nobody can read. `value` is the payload as JSON, or its text where
 * it is none. `undefined`: nothing.
 */
export type Preview = (value: unknown, context: PayloadContext) => unknown

/** Options of a stack. */
export interface Options<Also extends Others = Others> {
  /**
   * Records of other stacks that are read, too, though never written: those of executions that began before the layers
   * were changed. `"plain"` are records from before there were any; whoever can change records can then replace
   * any of them by a plain one, so take it out when the last of those executions has ended. Default: none.
   */
  readonly alsoReads?: Also | undefined
  /** What stays readable in the console, next to what does not. Default: nothing. */
  readonly preview?: Preview | undefined
}

// ---- the stack -----------------------------------------------------------------------------------------

/**
 * The `Serdes` layer of a stack of stages. The first one is given the text of the codec, the last one gives what is
 * recorded.
 *
 * **Details**
 *
 * Stages that make sense together, in this order: `SerdesGzip.gzip()`, `SerdesEncryption.aes256Gcm`,
 * `SerdesClaimCheck.claimCheck()`. What is encrypted does not get smaller by compression, and what was stored
 * elsewhere before it was encrypted would lie there in the clear, so nothing can come after a claim check.
 *
 * A payload that the stack cannot read is a `SerdesFailed` with a `problem`. A damaged one ends the execution. All
 * else that somebody can repair (a service that does not answer, a missing key, object or permission, layers of another
 * deployment) ends the invocation, and Lambda invokes again.
 *
 * **Example** (Compressed and encrypted)
 *
 * ```ts
 * import { KeyProvider, SerdesEncryption, SerdesGzip, SerdesStack } from "effect-durable-lambda"
 * import { Config, Effect, Layer } from "effect"
 *
 * const keys = Layer.unwrap(
 *   Effect.map(Config.Redacted("PAYLOAD_KEY"), (key) => KeyProvider.layerStatic({ current: "2026", keys: { "2026": key } }))
 * )
 *
 * export const layer = SerdesStack.layer([SerdesGzip.gzip(), SerdesEncryption.aes256Gcm]).pipe(Layer.provide(keys))
 * ```
 */
export const layer = <const S extends Stages, const Also extends Others = []>(
  stages: S,
  options: Options<Also> = {}
): Layer.Layer<never, never, ServicesOf<S> | ServicesOf<Also[number]>> => Layer.effect(Serdes, make(stages, options))

/** The transform of a stack, for those who build the layer themselves. Dies when the stages cannot stand together. */
export const make = <const S extends Stages, const Also extends Others = []>(
  stages: S,
  options: Options<Also> = {}
): Effect.Effect<Transform, never, ServicesOf<S> | ServicesOf<Also[number]>> =>
  Effect.gen(function* () {
    const { alsoReads = [], preview }: Options = options
    const written = yield* build(stages)
    const read = [written]
    for (const other of alsoReads) if (other !== "plain") read.push(yield* build(other))
    return {
      encode: (text, context) => encode(written, preview, text, context),
      decode: (text, context) => decode(read, alsoReads.includes("plain"), text, context)
    }
  })

const NAME = /^[a-z0-9-]+$/

const build = /*#__PURE__*/ Effect.fnUntraced(function* (
  stages: Stages
): Effect.fn.Return<ReadonlyArray<Stage>, never, any> {
  const built: Array<Stage> = []
  for (const [index, stage] of stages.entries()) {
    const one = yield* stage
    const fault =
      !NAME.test(one.name) || one.name === UTF16
        ? "is no name that can be recorded ([a-z0-9-])"
        : built.some(({ name }) => name === one.name)
          ? "is there twice"
          : one.last === true && index < stages.length - 1
            ? "is not the last one; what comes after it would not touch what it has stored"
            : undefined
    if (fault !== undefined) return yield* Effect.die(new Error(`SerdesStack: the stage "${one.name}" ${fault}.`))
    built.push(one)
  }
  return built
})

// ---- writing -------------------------------------------------------------------------------------------

/** Stands first among the names where the text cannot be written as UTF-8, because it has half a character. */
const UTF16 = "utf16"

const encode = /*#__PURE__*/ Effect.fnUntraced(function* (
  stages: ReadonlyArray<Stage>,
  preview: Preview | undefined,
  text: string,
  context: PayloadContext
): Effect.fn.Return<string, PayloadFailed> {
  const isWellFormed = text.isWellFormed()
  const shown = preview === undefined ? undefined : previewOf(preview, text, context)
  const names: Array<string> = isWellFormed ? [] : [UTF16]
  let data: Data = isWellFormed ? text : Buffer.from(text, "utf16le")
  for (const { encode, name } of stages) {
    const encoded = yield* encode(data, { ...context, before: [...names], preview: shown })
    if (encoded === undefined) continue
    data = encoded
    names.push(name)
  }
  return write(names, names.length === 0 ? undefined : shown, data)
})

const previewOf = (preview: Preview, text: string, context: PayloadContext): string | undefined => {
  const value = Result.getOrElse(
    Result.try((): unknown => JSON.parse(text)),
    () => text
  )
  const made = Result.try(() => canonical(JSON.stringify(preview(value, context)) as string | undefined))
  // it is only to be looked at: work is not lost for its sake
  return Result.getOrElse(made, (error) => JSON.stringify(`no preview: ${String(error)}`))
}

/**
 * As it is written when it has been read: what is authenticated beside it is asked for again then. JSON can say more than
 * that (`JSON.rawJSON`).
 */
const canonical = (json: string | undefined): string | undefined =>
  json === undefined ? undefined : JSON.stringify(JSON.parse(json))

const write = (names: ReadonlyArray<string>, preview: string | undefined, data: Data): string => {
  const list = names.join(" ")
  const body = `${preview === undefined ? "" : `"preview":${preview},`}${field(data, list === "")}`
  return `${ENVELOPE}"${list}","sum":"${sumOf(list, body)}",${body}}`
}

/** JSON stays readable. What no layer touched is read to the letter; what a stage gave, only where it comes out the same. */
const field = (data: Data, isUntouched: boolean): string => {
  if (typeof data !== "string") return `"bytes":"${Bytes.toBase64(data)}"`
  const same = Result.getOrUndefined(Result.try(() => canonical(data)))
  return same !== undefined && (isUntouched || same === data) ? `"json":${data}` : `"text":${JSON.stringify(data)}`
}

/** 64 bits: no accident goes unnoticed. Only encryption keeps off those who can write it anew. */
const sumOf = (names: string, body: string): string => hash("sha256", `${names}\n${body}`, "hex").slice(0, 16)

// ---- reading -------------------------------------------------------------------------------------------

interface Envelope {
  readonly names: ReadonlyArray<string>
  readonly preview: string | undefined
  readonly data: Data
}

const HEAD = /^\{"~serdes":"([a-z0-9 -]*)","sum":"([0-9a-f]{16})",/

const damaged = (how: string) =>
  new PayloadFailed({
    problem: "corrupt",
    reason: `it is damaged: ${how}. Whatever has changed the record must be found; this execution cannot go on.`
  })

const parse = (text: string): Envelope | PayloadFailed => {
  const [head, list, sum] = HEAD.exec(text) ?? []
  if (head === undefined || list === undefined || !text.endsWith("}")) return damaged("its envelope is not whole")
  const body = text.slice(head.length, -1)
  if (sumOf(list, body) !== sum) return damaged("its sum is another one")
  if (list === "" && body.startsWith('"json":')) return { names: [], preview: undefined, data: body.slice(7) }
  const parsed = Result.try(() => JSON.parse(`{${body}}`) as Readonly<Record<string, unknown>>)
  if (Result.isFailure(parsed)) return damaged("its envelope is no JSON")
  const { bytes, json, preview, text: plain } = parsed.success
  const data =
    typeof bytes === "string"
      ? Bytes.fromBase64(bytes)
      : typeof plain === "string"
        ? plain
        : json === undefined
          ? undefined
          : JSON.stringify(json) // what a stage gave: see `field`
  return data === undefined
    ? damaged("there is nothing in its envelope")
    : {
        names: list === "" ? [] : list.split(" "),
        preview: preview === undefined ? undefined : JSON.stringify(preview),
        data
      }
}

/** The stages that have written these names; nothing when it cannot have been this stack. */
const stagesOf = (stages: ReadonlyArray<Stage>, names: ReadonlyArray<string>): ReadonlyArray<Stage> | undefined => {
  const found: Array<Stage> = []
  for (const stage of stages) {
    if (stage.name === names[found.length]) found.push(stage)
    else if (stage.required) return undefined
  }
  return found.length === names.length ? found : undefined
}

const listed = (names: ReadonlyArray<string>) => (names.length === 0 ? "no layers" : names.join(", then "))

const decode = /*#__PURE__*/ Effect.fnUntraced(function* (
  stacks: ReadonlyArray<ReadonlyArray<Stage>>,
  readsPlain: boolean,
  text: string,
  context: PayloadContext
): Effect.fn.Return<string, PayloadFailed> {
  if (text === "") return text // no value: no stack writes this
  const now = stacks.map((stages) => listed(stages.map(({ name }) => name))).join("; or ")
  if (!text.startsWith(ENVELOPE)) {
    if (readsPlain) return text
    return yield* new PayloadFailed({
      problem: "other-layers",
      reason:
        `it was not written by Serdes layers, or its beginning is damaged. This deployment reads ${now}. Add "plain" ` +
        "to `alsoReads` of SerdesStack until the executions that began without layers have ended."
    })
  }
  const envelope = parse(text)
  if (envelope instanceof PayloadFailed) return yield* envelope
  const { names, preview } = envelope
  const marked = names[0] === UTF16 ? 1 : 0
  const written = names.slice(marked)
  let applied: ReadonlyArray<Stage> | undefined
  for (const stages of stacks) applied ??= stagesOf(stages, written)
  if (applied === undefined) {
    return yield* new PayloadFailed({
      problem: "other-layers",
      reason:
        `it was written by ${listed(written)}. This deployment reads ${now}. Give SerdesStack the layers in the order ` +
        "in which they wrote it, or list that order in `alsoReads` until the executions that began with it have ended."
    })
  }
  let { data } = envelope
  for (let i = applied.length - 1; i >= 0; i--) {
    data = yield* applied[i]!.decode(data, { ...context, before: names.slice(0, i + marked), preview })
  }
  const back =
    marked === 1
      ? Buffer.from(Bytes.toBytes(data)).toString("utf16le")
      : typeof data === "string"
        ? data
        : Bytes.toText(data)
  return back === undefined ? yield* damaged("its text is not UTF-8") : back
})
