/**
 * Purity by types. A step turns the services it needs into a marker that only the handler's layer can
 * discharge; so a service used in the body, outside of a step, does not compile, and neither does a durable
 * operation inside a step. The messages below are part of the API: they are what the compiler prints.
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { DurableContext } from "./DurableContext.ts"

declare const StepServicesId: unique symbol

/** Marker: steps of this program need `R`. Covariant and not distributed, so that it works for an unresolved `R`. */
export interface StepServices<out R> {
  readonly [StepServicesId]: R
}

/** What a body may require, for annotations: `Effect.Effect<A, E, Durable.Requires<Payments | Mail>>`. */
export type Requires<R = never> = DurableContext | StepServices<R>

/** The services that the steps of `R` need. */
export type StepServicesIn<R> = R extends StepServices<infer X> ? X : never

/** Services that a codec needs. */
export type CodecServices<S> = S extends Schema.Constraint ? S["DecodingServices"] | S["EncodingServices"] : never

/** An optional schema among the options of an operation. */
export type MaybeSchema = Schema.Constraint | undefined

/** The type of a schema, or what holds without one. */
export type TypeOf<S, Fallback> = S extends Schema.Constraint ? S["Type"] : Fallback

// ---- plain JSON by type --------------------------------------------------------------------------------

type IsAny<A> = 0 extends 1 & A ? true : false
/** `A`, or what is assignable to nothing but itself. */
type Unless<Is, A> = Is extends true ? unknown : A
type Leaf = string | number | boolean | null

/** `A` with every part that is not JSON replaced by never. A mapped type, so recursive types terminate. */
type JsonOf<A> =
  IsAny<A> extends true
    ? never
    : unknown extends A
      ? never
      : A extends Leaf
        ? A
        : // any: every function, every class
          A extends undefined | bigint | symbol | ((...args: any) => any) | (abstract new (...args: any) => any)
          ? never
          : A extends ReadonlyArray<infer X>
            ? ReadonlyArray<JsonOf<X>> // the array syntax defers the recursion
            : [keyof A] extends [never]
              ? never
              : {
                  [K in keyof A]: K extends symbol
                    ? never
                    : IsAny<A[K]> extends true
                      ? never
                      : object extends Pick<A, K>
                        ? JsonOf<Exclude<A[K], undefined>> | undefined
                        : JsonOf<A[K]>
                }

/** Plain JSON, or nothing at all. */
export type IsPlain<A> =
  IsAny<A> extends true ? false : [A] extends [void] ? true : [A] extends [JsonOf<A>] ? true : false

type At<Path extends string> = Path extends "" ? "it" : `\`${Path}\``
type Methods<A> = {
  // any: every function
  [K in keyof A]-?: IsAny<A[K]> extends true ? never : Extract<A[K], (...args: any) => any>
}[keyof A]

/** Names what is not JSON, four levels deep. */
export type Fault<A, Path extends string = "", Depth extends ReadonlyArray<0> = []> =
  IsAny<A> extends true
    ? `${At<Path>} is any`
    : unknown extends A
      ? `${At<Path>} is unknown`
      : A extends Leaf
        ? never
        : A extends undefined | void
          ? `${At<Path>} can be undefined`
          : A extends bigint
            ? `${At<Path>} is a bigint`
            : A extends symbol
              ? `${At<Path>} is a symbol`
              : A extends Date
                ? `${At<Path>} is a Date`
                : A extends ReadonlyMap<any, any>
                  ? `${At<Path>} is a Map`
                  : A extends ReadonlySet<any>
                    ? `${At<Path>} is a Set`
                    : // any: every function
                      A extends (...args: any) => any
                      ? `${At<Path>} is a function`
                      : [keyof A] extends [never]
                        ? `${At<Path>} is an object of unknown shape`
                        : Depth["length"] extends 4
                          ? never
                          : A extends ReadonlyArray<infer X>
                            ? Fault<X, `${Path}[]`, [...Depth, 0]>
                            : [Methods<A>] extends [never]
                              ? keyof A extends string | number
                                ? {
                                    [K in keyof A & (string | number)]-?: Fault<
                                      object extends Pick<A, K> ? Exclude<A[K], undefined> : A[K],
                                      `${Path extends "" ? "" : `${Path}.`}${string extends K ? "[key]" : K}`,
                                      [...Depth, 0]
                                    >
                                  }[keyof A & (string | number)]
                                : `${At<Path>} is a class instance`
                              : `${At<Path>} has methods`

// ---- the messages ----------------------------------------------------------------------------------------

/** Where no Effect is given there is nothing to infer from. It must stand before the Effect in an intersection. */
export type GivesEffect<R, Message extends string> =
  IsAny<R> extends true ? unknown : unknown extends R ? Message : unknown

/** A step is given an Effect. */
export type TakesEffect<R> = GivesEffect<
  R,
  "A step takes an Effect. Make one of a promise with Effect.tryPromise, of a function with Effect.sync, of a generator with Effect.gen."
>

/** Resolves to `unknown` (no constraint) when fine, else to the message. */
export type NoDurableOperations<R> = [Extract<R, DurableContext | StepServices<any>>] extends [never]
  ? unknown
  : "A durable operation cannot run inside a step. Move it out of the step, or use Durable.childContext instead of Durable.step."

/** The value has a codec: a schema that accepts all of it, or it is plain JSON. */
export type HasCodec<A, SA> = SA extends Schema.Constraint
  ? [A] extends [SA["Type"]]
    ? unknown
    : "The `success` schema does not accept every value of this step."
  : IsPlain<A> extends true
    ? unknown
    : [Unless<IsAny<A>, A>] extends [Effect.Effect<any, any, any>]
      ? "The value of this step is itself an Effect, which has not run. Use `yield*` or Effect.flatMap."
      : [Unless<IsAny<A>, A>] extends [PromiseLike<any>]
        ? "The value of this step is a Promise. Use Effect.promise or Effect.tryPromise instead of Effect.sync."
        : `The value of this step is not plain JSON: ${Fault<A> extends infer F extends string
            ? [F] extends [never]
              ? "it is too deep to tell"
              : F
            : never}. Give the step a \`success\` schema.`

/** The `error` schema has something to do with the step's failures. */
export type CoversError<E, SE> = SE extends Schema.Constraint
  ? [E] extends [never]
    ? unknown
    : [Extract<E, SE["Type"]>] extends [never]
      ? "The `error` schema accepts none of the errors of this step."
      : unknown
  : unknown

/** The first check that failed: two messages intersected would be `never`, and the user would read nothing. */
export type First<Checks extends ReadonlyArray<unknown>> = Checks extends readonly [infer Check, ...infer Rest]
  ? unknown extends Check
    ? First<Rest>
    : Check
  : unknown
