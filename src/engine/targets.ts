/**
 * What the function name in a chained invoke stands for.
 */
import type * as Protocol from "../Protocol.ts"
import * as functions from "./functions.ts"
import type { Settings } from "./settings.ts"
import type { Target } from "./transition.ts"

const refused = (ErrorType: string, ErrorMessage: string): Target => ({
  _tag: "Unknown",
  error: { ErrorType, ErrorMessage }
})

/**
 * Resolves the target of an update; nothing for updates of other types. A target that cannot be invoked is no
 * request error: the operation fails with it, in the same response.
 */
export const resolve = (
  update: Protocol.OperationUpdate,
  registry: ReadonlyMap<string, functions.Registered>,
  { limits, place }: Settings,
  newId: () => string
): Target | undefined => {
  if (update.Type !== "CHAINED_INVOKE" || update.ChainedInvokeOptions === undefined) return undefined
  const reference = functions.parseReference(update.ChainedInvokeOptions.FunctionName)
  const registered = registry.get(reference.name)
  if (registered === undefined) {
    const arn = functions.functionArn(place, reference.name, reference.qualifier)
    return refused("ResourceNotFoundException", `Function not found: ${arn}`)
  }
  const version = functions.resolveVersion(reference, registered.options)
  if (!registered.durable) return { _tag: "Plain", functionName: registered.name, version }
  if (limits.qualifiedNames && reference.qualifier === undefined) {
    return refused("InvalidParameterValueException", functions.UNQUALIFIED)
  }
  const arn = functions.executionArn(place, registered.name, version, newId(), newId())
  return { _tag: "Durable", functionName: registered.name, version, arn }
}
