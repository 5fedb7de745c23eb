import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type { DurableContext } from "../DurableContext.ts"
import { InvokeFailed, type SerdesFailed, serdesFailed, type Uncovered } from "../DurableError.ts"
import { detailsOf, halt, invalid, open, park, stepContext, withHere, within } from "../internal/core/operation.ts"
import { type AnswerCodec, INVALID_RESULT, readAnswer, readFailure } from "../internal/core/outside.ts"
import type { Decode, Op } from "../internal/core/world.ts"
import type * as Protocol from "../Protocol.ts"
import { encodeInput } from "../Serdes.ts"
import { faultOf } from "../internal/options.ts"
import type { CodecServices, StepServices } from "../StepServices.ts"

/** A function that can be invoked: a `DurableFunction`, or the schemas of any Lambda function. */
export interface InvokeTarget<
  out P extends Schema.Constraint,
  out SA extends Schema.Constraint,
  out SE extends Schema.Constraint
> {
  /** Codec of what the function is given. */
  readonly payload: P
  /** Codec of what it returns. Without it that is ignored. */
  readonly success?: SA
  /** Codec of the ErrorData of its failures. What it does not accept is `InvokeFailed`. */
  readonly error?: SE
}

/** Options of an invoke. */
export interface InvokeOptions {
  /**
   * Name, partial ARN or ARN of the deployed function, with a version or alias where it is a durable one:
   * `orders:live`. In the workflow's own account.
   */
  readonly functionName: string
  /** The tenant, for functions with tenant isolation. */
  readonly tenantId?: string | undefined
}

/**
 * Invokes another function and waits for its result, for as long as that takes: a durable function, or any
 * other one.
 *
 * **Details**
 *
 * The target is a `DurableFunction`, whose definition types both ways, or the schemas of any Lambda function.
 * The payload is what the payload's schema constructs: a class schema takes what its constructor takes. It goes
 * out as plain JSON (or as the text of `Durable.text`), together with the trace header of this invocation, if
 * X-Ray traces it.
 *
 * What the function failed with comes back as its own class where the target's `error` schema covers it. All
 * else is `InvokeFailed`, which tells failures, timeouts and stops apart (`status`) and holds type, message and
 * data of the function's own error: a failed operation in it, a defect, a result that `success` does not accept,
 * a function that does not exist.
 *
 * Suspends. Billed: one operation; no compute of this function while it waits. There is no timeout of its own:
 * the target's execution timeout holds, and `Effect.timeout` around it gives up waiting. An invoke cannot be
 * cancelled: one that lost a race runs on, and delays nothing.
 *
 * A durable target without a version or alias, and a name or tenant that is none, end the execution with
 * `InvalidOperation` before anything is sent.
 *
 * **Example** (A workflow in another function)
 *
 * ```ts
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}
 *
 * const Ship = DurableFunction.make("ship", {
 *   payload: Schema.Struct({ item: Schema.String }),
 *   success: Schema.Struct({ label: Schema.String }),
 *   error: OutOfStock
 * })
 *
 * const program = Durable.invoke("ship", Ship, { item: "book" }, { functionName: "ship:live" }).pipe(
 *   Effect.map(({ label }) => label),
 *   Effect.catchTag("OutOfStock", ({ item }) => Effect.succeed(`no ${item}`))
 * )
 * ```
 */
export const invoke = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint = typeof Schema.Void,
  SE extends Schema.Constraint = typeof Schema.Never
>(
  name: string,
  target: InvokeTarget<P, SA, SE>,
  payload: P["~type.make.in"],
  options: InvokeOptions
): Effect.Effect<
  SA["Type"],
  SE["Type"] | InvokeFailed,
  DurableContext | StepServices<CodecServices<P> | CodecServices<SA> | CodecServices<SE>>
> =>
  withHere("invoke", name, (here) => {
    const reason = fault(target, options) ?? faultOf(target)
    if (reason !== undefined) return invalid(here.core, `Durable.invoke("${name}"): ${reason}`)
    const op = open(here, "invoke", "CHAINED_INVOKE", "ChainedInvoke", name)
    if (op === undefined) return halt
    const context = stepContext(here)
    op.start = within(start(op, target.payload, payload, options), context)
    return park(here.core, op, "ended", answer(context, name, target))
  })

/** `name`, `account:function:name` or an ARN, and the qualifier behind it. */
const FUNCTION_NAME =
  /^(?:arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:)?(?:\d{12}:)?(?:function:)?[a-zA-Z0-9-_.]+(?::(?<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?$/
const TENANT_ID = /^[a-zA-Z0-9._:/=+\-@ ]{1,256}$/
const MAX_FUNCTION_NAME = 256

const fault = (target: object, { functionName, tenantId }: InvokeOptions): string | undefined => {
  const match = typeof functionName === "string" ? FUNCTION_NAME.exec(functionName) : null
  if (match === null || functionName.length > MAX_FUNCTION_NAME) {
    return (
      `"${String(functionName)}" is not the name of a function. Give \`functionName\` a name, a partial or a full ARN of ` +
      `at most ${MAX_FUNCTION_NAME} characters, such as "orders:live".`
    )
  }
  // a definition has a name of its own; plain functions are given by their schemas alone
  if ("name" in target && match.groups?.qualifier === undefined) {
    return (
      `"${functionName}" names no version, and a durable function can only be invoked as one. Add a version or an ` +
      `alias: "${functionName}:live", or "${functionName}:$LATEST" while developing.`
    )
  }
  if (tenantId !== undefined && !TENANT_ID.test(tenantId)) {
    return `"${tenantId}" is not usable as \`tenantId\`. The service takes 1 to 256 of a-z, A-Z, 0-9, space and ._:/=+-@.`
  }
  return undefined
}

const start = (
  op: Op,
  schema: Schema.Constraint,
  payload: unknown,
  { functionName, tenantId }: InvokeOptions
): Effect.Effect<Partial<Protocol.OperationUpdate>, SerdesFailed, any> =>
  Effect.mapBoth(encodeInput(schema, payload), {
    onFailure: serdesFailed(op, "encode"),
    onSuccess: (text) => {
      const trace = process.env._X_AMZN_TRACE_ID
      return {
        ...(text === undefined ? undefined : { Payload: text }),
        ChainedInvokeOptions: {
          FunctionName: functionName,
          ...(tenantId === undefined ? undefined : { TenantId: tenantId }),
          ...(trace === undefined || trace === "" ? undefined : { XAmznTraceId: trace })
        }
      }
    }
  })

const answer =
  (context: Context.Context<never>, operation: string, { error: errorSchema, success }: AnswerCodec): Decode =>
  (op, record) => {
    const { Error: error, Result: result } = detailsOf(record)
    const failed = (known: Omit<Uncovered, "operation">) =>
      new InvokeFailed({ operation, status: record.Status as InvokeFailed["status"], ...known }) // a terminal one
    if (record.Status !== "SUCCEEDED") {
      return readFailure(op.toString(), context, record.Status === "FAILED" ? errorSchema : undefined, error, failed)
    }
    if (success === undefined) return Exit.void
    return readAnswer(op.toString(), context, success, result, (reason) =>
      failed({
        type: INVALID_RESULT,
        message: `The function returned what the target's \`success\` schema does not accept: ${reason}`
      })
    )
  }
