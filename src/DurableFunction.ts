/**
 * The definition of a durable function: its name and the schemas of what goes in and comes out. One value,
 * shared by the handler, by workflows that invoke it, by clients and by tests.
 */
import * as Schema from "effect/Schema"

/** A durable function as others see it. */
export interface DurableFunction<
  out P extends Schema.Constraint,
  out SA extends Schema.Constraint,
  out SE extends Schema.Constraint
> {
  readonly name: string
  readonly payload: P
  readonly success: SA
  readonly error: SE
}

/** Any definition. */
export interface Any extends DurableFunction<Schema.Constraint, Schema.Constraint, Schema.Constraint> {}

// ---- the names of deployed functions -------------------------------------------------------------

/**
 * The name of a function with a version or an alias, `order:live`, or its ARN with one. Lambda starts durable
 * functions only by such names, because an execution stays with the version that it was started with.
 */
export type QualifiedName = `${string}:${string}`

/** The name itself; or, where types can see that it has no version and no alias, what is wrong with it. */
export type Qualified<F extends string> = F extends `arn:${string}`
  ? F extends `arn:${string}:function:${string}:${string}`
    ? F
    : Unqualified
  : F extends QualifiedName
    ? F
    : Unqualified

type Unqualified =
  "A durable function is started by a version or an alias: add it to the name, as in `order:live`, or assert a checked string as DurableFunction.QualifiedName."

/** The fields of a struct are no schema yet, nor is a class. */
type IsSchema<S, Option extends string> = S extends Schema.Constraint
  ? unknown
  : // any: every class
    S extends abstract new (...args: any) => any
    ? `\`${Option}\` takes a Schema: make the class with Schema.TaggedError or Schema.Class, not with Data.`
    : `\`${Option}\` takes a Schema: write Schema.Struct({ ... }) around its fields.`

// ---- definitions ---------------------------------------------------------------------------------

/**
 * Defines a durable function.
 *
 * **Details**
 *
 * `payload` is required; without `success` the function gives nothing, without `error` it fails only with
 * errors of its operations. Input and output travel as the plain JSON of these schemas, without an envelope,
 * so any Lambda client can call the function. List your own errors only: failures of operations (`StepFailed`
 * and the like) are always encodable and need no declaration.
 *
 * **Example** (An order)
 *
 * ```ts
 * import { DurableFunction } from "effect-durable-lambda"
 * import { Schema } from "effect"
 *
 * class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
 *
 * export const ProcessOrder = DurableFunction.make("process-order", {
 *   payload: Schema.Struct({ id: Schema.String, items: Schema.Array(Schema.String) }),
 *   success: Schema.Struct({ chargeId: Schema.String }),
 *   error: CardDeclined
 * })
 * ```
 */
export const make: {
  // the compiler explains a call that fits none by the last one
  <
    P extends Schema.Constraint,
    SA extends Schema.Constraint = typeof Schema.Void,
    SE extends Schema.Constraint = typeof Schema.Never
  >(
    name: string,
    options: { readonly payload: P; readonly success?: SA; readonly error?: SE }
  ): DurableFunction<P, SA, SE>
  <P, SA, SE>(
    name: string,
    options: {
      readonly payload: P & IsSchema<P, "payload">
      readonly success?: SA & IsSchema<SA, "success">
      readonly error?: SE & IsSchema<SE, "error">
    }
  ): never
} = ((name: string, options: Partial<Any> & Pick<Any, "payload">): Any => ({
  name,
  payload: options.payload,
  success: options.success ?? Schema.Void,
  error: options.error ?? Schema.Never
})) as any // typed by the overloads
