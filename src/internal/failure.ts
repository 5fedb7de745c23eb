/**
 * Failures across the wire: a Cause becomes an error object, and the error object becomes, live and on
 * replay alike, what the waiting fiber fails with.
 *
 * `ErrorType` is the failure's tag, `ErrorMessage` readable, `ErrorData` one of
 * - the failure, encoded by the operation's `error` schema (or by its own, for the library's operation errors);
 * - a wrapper (`StepFailed`, `ChildContextFailed`, `ConditionFailed`) with what is known of a failure that no
 *   schema covers;
 * - `{"~defect": …}` or `{"~interrupted": true}`, which stay what they are.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  CallbackFailed,
  CallbackSubmitFailed,
  CallbackTimedOut,
  ChildContextFailed,
  ConditionExhausted,
  ConditionFailed,
  DeadlineExceeded,
  InvokeFailed,
  isOperation,
  isRepairable,
  type Operation,
  type SerdesFailed,
  serdesFailed,
  StepFailed,
  StepInterrupted,
  StepTimedOut,
  toFields,
  type Uncovered
} from "../DurableError.ts"
import type * as Protocol from "../Protocol.ts"
import * as Serdes from "../Serdes.ts"
import { jsonBytes } from "./wire.ts"

/**
 * Bytes of JSON that a message, and a wrapper's data, may take. The service accepts errors of 32 KB: the message
 * stands in them twice, the second time as JSON within JSON, which may double it.
 */
const MESSAGE_BYTES = 4 * 1024
const DATA_BYTES = 16 * 1024
/** Causes of a defect that are recorded. */
const MAX_CAUSES = 4

const cut = (text: string): string => {
  const { length } = text
  let end = Math.min(length, MESSAGE_BYTES)
  while (jsonBytes(text.slice(0, end)) > MESSAGE_BYTES) end = Math.floor(end * 0.9)
  return end === length ? text : `${first(text, end)}… (${length} characters)`
}

/** So many characters, but no half of one. */
const first = (text: string, length: number): string =>
  text.length <= length ? text : text.slice(0, length).replace(/[\ud800-\udbff]$/, "")

/** How an operation writes its failures. */
export interface FailureCodec {
  /** Name of the operation. */
  readonly operation: string
  readonly schema: Schema.Constraint | undefined
  /** Stands for failures that nothing covers. */
  readonly Wrapper: typeof StepFailed | typeof ChildContextFailed | typeof ConditionFailed
  /** The failures of operations that are read by their tag. */
  readonly operations?: Operations
}

/** How an operation reads the failures that it has written. */
export interface FailureReader extends FailureCodec {
  readonly operations: Operations
  /** What a failure without data of ours becomes. Default: the wrapper. */
  readonly otherwise?: ((type: string, message: string) => unknown) | undefined
}

/** What errors call the operation. It is put into words only when it is needed. */
type Named = { readonly toString: () => string }

// ---- what a failure is called -----------------------------------------------------------------------

/** Anything can fail, also what throws when it is looked at. */
const looking = <A>(look: () => A, otherwise: A): A => Result.getOrElse(Result.try(look), () => otherwise)

const property = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null
    ? looking(() => (value as Record<string, unknown>)[key], undefined)
    : undefined

/** What JavaScript makes of a value as text. */
export const textOf = (value: unknown): string => looking(() => String(value), "a value that cannot be shown")

/** Characters of a type: what is longer is none. */
const TYPE_LENGTH = 256

/** A value as JSON, where that says all of it. */
const jsonOf = (value: unknown): string | undefined =>
  Serdes.plainJsonFault(value) === undefined ? looking(() => JSON.stringify(value), undefined) : undefined

/** The tag of a failure, else the name of its class. Never a minified name where there is a tag. */
export const typeOf = (failure: unknown): string => first(nameOf(failure), TYPE_LENGTH)

const nameOf = (failure: unknown): string => {
  const tag = property(failure, "_tag")
  if (typeof tag === "string" && tag !== "") return tag
  const name = property(failure, "name")
  if (failure instanceof Error) return typeof name === "string" && name !== "" ? name : "Failure"
  const made = typeof failure === "object" ? looking(() => failure?.constructor.name, undefined) : undefined
  return made === undefined || /^(?:Object|Array)?$/.test(made) ? "Failure" : made
}

/** A failure in words, cut to what an error object may hold. */
export const messageOf = (failure: unknown): string => {
  const message = property(failure, "message")
  const text =
    typeof message === "string" ? message : typeof failure === "string" ? failure : (jsonOf(failure) ?? textOf(failure))
  return cut(text)
}

/** The same, with what its causes say: a failure that only wraps another says nothing itself. */
export const explained = (failure: unknown): string => {
  let text = messageOf(failure)
  let cause = property(failure, "cause")
  for (let depth = 0; depth < MAX_CAUSES && (cause instanceof Error || typeof cause === "string"); depth++) {
    const message = messageOf(cause)
    if (!text.includes(message)) text = text === "" ? message : `${text}: ${message}`
    cause = property(cause, "cause")
  }
  return cut(text)
}

const NOT_DATA: ReadonlySet<string> = new Set(["_tag", "name", "message", "stack", "cause"])

/** A failure's own fields, where they are plain JSON and small. */
const dataOf = (failure: unknown): { readonly data?: Schema.Json } => {
  if (typeof failure !== "object" || failure === null) return {}
  const entries = looking(() => Object.entries(failure), []).filter(
    ([key]) => !NOT_DATA.has(key) && !key.startsWith("~") // marks of a class, not its data
  )
  if (entries.length === 0) return {}
  const data = Object.fromEntries(entries)
  if (Serdes.plainJsonFault(data) !== undefined) return {}
  const text = JSON.stringify(data)
  return jsonBytes(text) > DATA_BYTES ? {} : { data: JSON.parse(text) as Schema.Json }
}

// ---- writing -------------------------------------------------------------------------------------------

// any: the fields of each class are those it was written with
type Operations = Readonly<Record<string, new (fields: any) => Operation>>

/** How a step writes and reads the failures that its schema does not cover. */
export const STEPS = { Wrapper: StepFailed, operations: { StepFailed, StepInterrupted, StepTimedOut } }

/** The same for a condition. */
export const CONDITIONS = { Wrapper: ConditionFailed, operations: { ConditionFailed, ConditionExhausted } }

/** The same for a context: any operation can be what it fails with. */
export const CONTEXTS = {
  Wrapper: ChildContextFailed,
  operations: {
    StepFailed,
    StepInterrupted,
    StepTimedOut,
    DeadlineExceeded,
    ChildContextFailed,
    CallbackFailed,
    CallbackTimedOut,
    CallbackSubmitFailed,
    ConditionFailed,
    ConditionExhausted,
    InvokeFailed
  }
}

/** Whether an operation lets a failure through as it is: a context does so with all of ours, others with their own. */
const keeps = ({ operation, Wrapper }: FailureCodec, failure: unknown): failure is Operation =>
  isOperation(failure) &&
  (Wrapper === ChildContextFailed ||
    (Wrapper === StepFailed
      ? // its own: what its effect has run, as a client does, may have failed with one of another
        Object.hasOwn(STEPS.operations, failure._tag) && property(failure, "operation") === operation
      : failure._tag === "ConditionExhausted"))

const decoders = new WeakMap<object, (failure: unknown) => Exit.Exit<unknown, unknown>>()

/** Whether the operation's `error` schema accepts this failure. */
export const covers = (schema: Schema.Constraint | undefined, failure: unknown): boolean => {
  if (schema === undefined) return false
  if (!(schema as Partial<Schema.Constraint>).ast) return true // its codec says what is wrong
  const known = decoders.get(schema)
  // what `Schema.is` does, which is a parser of its own in a bundle
  const decode = known ?? Schema.decodeUnknownExit(Schema.toType(schema as Schema.Codec<unknown>))
  if (known === undefined) decoders.set(schema, decode)
  return looking(() => Exit.isSuccess(decode(failure)), false)
}

/** What a Cause counts as: a defect if there is one, else its first failure, else an interruption. */
export const reasonOf = (cause: Cause.Cause<unknown>) =>
  cause.reasons.find((reason) => reason._tag === "Die") ?? cause.reasons.find((reason) => reason._tag === "Fail")

/** A defect as `Schema.Defect` writes it: an error's name, message and cause, never its stack; else plain JSON, else text. */
const writeDefect = (defect: unknown, depth = 0): Schema.Json => {
  if (defect instanceof DeadlineExceeded) return toFields(defect) as { readonly [key: string]: Schema.Json } // of numbers and texts
  if (!(defect instanceof Error)) {
    const text = jsonOf(defect)
    return text === undefined ? textOf(defect) : (JSON.parse(text) as Schema.Json)
  }
  const error = { name: typeOf(defect), message: messageOf(defect) }
  const cause = property(defect, "cause")
  return cause === undefined || depth === MAX_CAUSES ? error : { ...error, cause: writeDefect(cause, depth + 1) }
}

/** The error object of a failure. Fails when the `error` schema cannot write what it accepts. */
export const encodeFailure = (
  cause: Cause.Cause<unknown>,
  codec: FailureCodec,
  of: Named = codec.operation
): Effect.Effect<Protocol.ErrorObject, SerdesFailed, any> => {
  const reason = reasonOf(cause)
  const failed = serdesFailed(of, "encode")
  if (reason === undefined) {
    return Effect.succeed({
      ErrorType: "Interrupted",
      ErrorMessage: "The effect interrupted itself.",
      ErrorData: JSON.stringify({ "~interrupted": true })
    })
  }
  if (reason._tag === "Die") {
    const data = JSON.stringify({ "~defect": writeDefect(reason.defect) })
    const error = named(reason.defect)
    // one that is too large keeps what it is called and what it says
    const { ErrorMessage: message, ErrorType: name } = error
    const small = jsonBytes(data) <= DATA_BYTES ? data : JSON.stringify({ "~defect": { name, message } })
    return Effect.succeed({ ...error, ErrorData: small })
  }
  const failure = reason.error
  if (keeps(codec, failure)) {
    return Effect.succeed({ ...named(failure), ErrorData: JSON.stringify(toFields(failure)) })
  }
  if (covers(codec.schema, failure)) {
    if (codec.operations !== undefined && classOf(codec.operations, failure) !== undefined && !isOperation(failure)) {
      return Effect.fail(
        failed(`its \`_tag\` is that of an error of this library, as which it would be read. Rename it.`)
      )
    }
    return Effect.mapError(
      Effect.map(Serdes.payloadCodec(codec.schema).encode(failure), (data) => ({
        ...named(failure),
        ...(data === undefined ? undefined : { ErrorData: data })
      })),
      failed
    )
  }
  const wrapper = new codec.Wrapper({
    operation: codec.operation,
    type: typeOf(failure),
    message: explained(failure),
    ...dataOf(failure)
  })
  return Effect.succeed({ ...named(failure), ErrorData: JSON.stringify(toFields(wrapper)) })
}

const named = (failure: unknown) => ({ ErrorType: typeOf(failure), ErrorMessage: explained(failure) })

// ---- reading -------------------------------------------------------------------------------------------

const classOf = (operations: Operations, data: unknown) => {
  const tag = property(data, "_tag")
  return typeof tag === "string" && Object.hasOwn(operations, tag) ? operations[tag] : undefined
}

/** One of our own errors, with the fields that were written. */
const readOperation = (operations: Operations, data: unknown): Operation | undefined => {
  const Class = classOf(operations, data)
  if (Class === undefined) return undefined
  const { _tag, ...fields } = data as { readonly _tag: string }
  return new Class(fields)
}

/** Defects that were made of what an error object says, here or by an earlier invocation. */
const reread = new WeakSet<object>()

/** Whether a defect has a stack: that of where it was thrown. One that was read has none. */
export const hasStack = (defect: unknown): boolean => defect instanceof Error && !reread.has(defect)

const readDefect = (data: unknown): unknown => {
  const deadline = readOperation({ DeadlineExceeded }, data)
  if (deadline !== undefined) return deadline
  const message = property(data, "message")
  if (typeof message !== "string") return data
  const cause = property(data, "cause")
  const error = cause === undefined ? new Error(message) : new Error(message, { cause: readDefect(cause) })
  const name = property(data, "name")
  if (typeof name === "string") error.name = name
  error.stack = String(error) // what stands on the stack here has nothing to do with it
  reread.add(error)
  return error
}

/** What an error object stands for. Fails when the `error` schema cannot read what it once wrote. */
export const decodeFailure = (
  error: Protocol.ErrorObject | undefined,
  codec: FailureReader,
  of: Named = codec.operation
): Effect.Effect<Exit.Exit<never, unknown>, SerdesFailed, any> => {
  const text = error?.ErrorData
  const data = Result.getOrUndefined(Serdes.readPlainJson(text))
  const failed = serdesFailed(of, "decode")
  if (property(data, "~interrupted") === true) return Effect.succeed(Exit.interrupt())
  const defect = property(data, "~defect")
  if (defect !== undefined) {
    return Effect.succeed(Exit.die(readDefect(defect)))
  }
  const ours = readOperation(codec.operations, data)
  if (ours !== undefined) return Effect.succeed(Exit.fail(ours))
  if (codec.schema !== undefined && text !== undefined) {
    return Effect.mapError(Effect.map(Serdes.payloadCodec(codec.schema).decode(text), Exit.fail), failed)
  }
  const type = error?.ErrorType ?? "Failure"
  const message = error?.ErrorMessage ?? "It failed without a message."
  return Effect.succeed(
    Exit.fail(
      codec.otherwise !== undefined
        ? codec.otherwise(type, message)
        : new codec.Wrapper({
            operation: codec.operation,
            type,
            message,
            ...(data === undefined ? undefined : { data: data as Schema.Json })
          })
    )
  )
}

// ---- failures of others --------------------------------------------------------------------------------

/** What is known of a failure that someone else has sent, within what our own records can hold. */
const known = (error: Protocol.ErrorObject | undefined, note = ""): Omit<Uncovered, "operation"> => {
  const text = error?.ErrorData
  const data = text === undefined ? undefined : Result.getOrElse(Serdes.readPlainJson(text), () => text)
  return {
    type: first(error?.ErrorType ?? "Failure", TYPE_LENGTH),
    message: cut(`${error?.ErrorMessage ?? "It failed without a message."}${note}`),
    // its own fields again stand in JSON within JSON wherever this failure is recorded
    ...(data === undefined || jsonBytes(JSON.stringify(data)) > DATA_BYTES ? undefined : { data: data as Schema.Json })
  }
}

/**
 * What becomes of a text of another party that a codec cannot read: no fault of this program, unless the codec could not
 * do its work. That must not be an answer: the next time it may read it.
 */
export const refused =
  (
    operation: string,
    otherwise: (reason: string) => unknown
  ): ((fault: Serdes.Fault) => Effect.Effect<Exit.Exit<never, unknown>, SerdesFailed>) =>
  (fault) =>
    typeof fault !== "string" && isRepairable(fault)
      ? Effect.fail(serdesFailed(operation, "decode")(fault))
      : Effect.succeed(Exit.fail(otherwise(messageOf(fault))))

/**
 * The failure in an error object that another party has written: an external system, or a function that was
 * invoked. What the schema reads keeps its class; `otherwise` makes an error of the rest. What cannot be read is
 * no fault of this program.
 */
export const decodeForeign = (
  operation: string,
  error: Protocol.ErrorObject | undefined,
  schema: Schema.Constraint | undefined,
  otherwise: (known: Omit<Uncovered, "operation">) => unknown
): Exit.Exit<never, unknown> | Effect.Effect<Exit.Exit<never, unknown>, SerdesFailed, any> => {
  const text = error?.ErrorData
  const data = Result.getOrUndefined(Serdes.readPlainJson(text))
  const uncovered =
    schema === undefined ||
    schema.ast._tag === "Never" ||
    text === undefined ||
    // failures of operations of ours, and defects: no schema of a user's errors is meant for them
    classOf(CONTEXTS.operations, data) !== undefined ||
    property(data, "~defect") !== undefined ||
    property(data, "~interrupted") !== undefined
  return uncovered
    ? Exit.fail(otherwise(known(error)))
    : Effect.catch(
        Effect.map(Serdes.payloadCodec(schema).decode(text), Exit.fail),
        refused(operation, (reason) =>
          otherwise(known(error, ` (its data is not what the \`error\` schema accepts: ${reason})`))
        )
      )
}
