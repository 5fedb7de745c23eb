/**
 * Failures of operations say that they are such: who only has to know that need not carry all their classes.
 */
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"

const TypeId = "~effect-durable-lambda/DurableError/Operation"

/** A class of them. */
export const TaggedError: typeof Data.TaggedError = (tag) => {
  const Class = Data.TaggedError(tag)
  Object.assign(Class.prototype, { [TypeId]: TypeId })
  return Class
}

/** Whether it is one of them. */
export const is = (failure: unknown): boolean => Predicate.hasProperty(failure, TypeId)
