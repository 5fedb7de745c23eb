/**
 * Fields that nobody can read in the records, in values that anybody can.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import type { PayloadFailed } from "./DurableError.ts"
import * as Bytes from "./internal/bytes.ts"
import { open, seal } from "./internal/seal.ts"
import { MARK, SEALED } from "./internal/envelope.ts"
import { KeyProvider } from "./KeyProvider.ts"
import { type Fault, payloadCodec } from "./Serdes.ts"

/** Options of `field`. */
export interface FieldOptions<A> {
  /** What is readable of it. Default: `***` for every value. */
  readonly mask?: ((value: A) => string) | undefined
  /**
   * What it is bound to: a ciphertext of another label is refused. Give fields that must not be swapped labels of their
   * own. Default: `"field"`.
   */
  readonly label?: string | undefined
  /** Also reads what was written by the schema alone, before it became a field. Default: false. */
  readonly readsPlain?: boolean | undefined
}

/** A schema whose values are written as a mask and a ciphertext. It needs a `KeyProvider` to write and to read. */
export interface Field<S extends Schema.Constraint> extends Schema.decodeTo<
  Schema.toType<S>,
  Schema.Codec<Schema.Json, Schema.Json, FieldServices<S>, FieldServices<S>>
> {}

type FieldServices<S extends Schema.Constraint> = KeyProvider | S["DecodingServices"] | S["EncodingServices"]

const ALTERED =
  "it does not authenticate: its mask or its ciphertext was altered, or it is that of a field with another label"

/** A payload that is nothing is left out, and could not be told from one that was taken away. */
const UNDEFINED = "a field of Redact cannot be undefined. Make it an optional key, or let its schema have null"

const ANYWHERE = { executionArn: undefined }

/**
 * Encrypts one field of a schema, wherever the schema is used: in results, errors, states, and also where no `Serdes`
 * layer is asked, in inputs and outputs of executions, answers of callbacks and payloads of invoked functions. What is
 * around it stays readable JSON.
 *
 * **Details**
 *
 * The field is written as a string: its mask and its ciphertext (AES-256-GCM with a key of the `KeyProvider`), as in
 * `"card":"***4242 ~sealed:AYk2…"`. Handlers, clients and tests need the `KeyProvider`, and do not compile without it.
 *
 * It is bound to its label and its mask, not to its execution, because values go from one to another: who can change
 * records can put an older ciphertext of the same label there. `SerdesEncryption` has no such gap. In memory the value
 * is what it is: a `Schema.RedactedFromValue` inside keeps it out of logs, too.
 *
 * **Example** (An order with a readable id)
 *
 * ```ts
 * import { DurableFunction, Redact } from "effect-durable-lambda"
 * import { Schema } from "effect"
 *
 * const Card = Redact.field(Schema.String, { label: "card", mask: (card) => `***${card.slice(-4)}` })
 *
 * export const Pay = DurableFunction.make("pay", {
 *   payload: Schema.Struct({ id: Schema.String, card: Card }),
 *   success: Schema.String
 * })
 * ```
 */
export const field = <S extends Schema.Constraint>(
  schema: S,
  { label = "field", mask = () => "***", readsPlain = false }: FieldOptions<S["Type"]> = {}
): Field<S> => {
  const codec = payloadCodec(schema)
  const aad = (shown: string) => JSON.stringify(["effect-durable-lambda: field", label, shown])
  const getters = {
    encode: SchemaGetter.transformEffect(
      Effect.fnUntraced(function* (value: unknown) {
        const text = yield* codec.encode(value)
        if (text === undefined) return yield* Effect.fail(UNDEFINED)
        const shown = mask(value).replaceAll(MARK, " ")
        const key = yield* (yield* KeyProvider).current(ANYWHERE)
        const sealed = yield* seal(key, Bytes.toBytes(JSON.stringify(text)), aad(shown)) // JSON: any text is UTF-8 then
        return `${shown}${MARK}${Bytes.toBase64Url(sealed)}`
      }, Effect.catch(refuse))
    ),
    decode: SchemaGetter.transformEffect(
      Effect.fnUntraced(function* (json: unknown) {
        const [, shown = "", text] = typeof json === "string" ? (SEALED.exec(json) ?? []) : []
        const bytes = text === undefined ? undefined : Bytes.fromBase64Url(text)
        if (bytes === undefined) {
          return readsPlain && text === undefined
            ? yield* codec.decode(JSON.stringify(json))
            : yield* Effect.fail(
                "it is not encrypted. Add `readsPlain` to the field until what was written before it became one is not needed any more"
              )
        }
        const opened = yield* open(yield* KeyProvider, bytes, aad(shown), ANYWHERE, ALTERED)
        const plain = JSON.parse(Bytes.toText(opened)!) as string // what `encode` has written
        return yield* Effect.mapError(codec.decode(plain), (fault) =>
          // which says what it is, and this is a secret
          typeof fault === "string" && fault.startsWith("it is not JSON") ? "what it holds is not JSON" : fault
        )
      }, Effect.catch(refuse))
    )
  }
  return Schema.Json.pipe(Schema.decodeTo(Schema.toType(schema), getters as any)) as any // the type is that of `Field`
}

/**
 * What is wrong with the field is an issue of the schema. A key that cannot be had is none: it dies of it, which the
 * codec of the payload knows.
 */
const refuse = (fault: Fault | PayloadFailed): Effect.Effect<never, SchemaIssue.Issue> =>
  typeof fault !== "string" && fault.problem !== "corrupt"
    ? Effect.die(fault)
    : Effect.fail(new SchemaIssue.InvalidValue({ message: String(typeof fault === "string" ? fault : fault.reason) }))
