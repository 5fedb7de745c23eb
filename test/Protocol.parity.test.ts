/**
 * Our wire schemas against the types of `@aws-sdk/client-lambda`, member by member, in both directions. The
 * compiler does the comparing: when AWS's model gains a member, a literal or an event, `npm run test:types` fails
 * here and names it.
 */
import * as aws from "@aws-sdk/client-lambda"
import { assert, describe, it } from "@effect/vitest"
import { History, Protocol } from "effect-durable-lambda"
import * as Effect from "effect/Effect"

// ---- comparing -------------------------------------------------------------------------------------------

/** What counts: keys and values, not optionality (AWS types what is required as `T | undefined`), not `readonly`. */
type Plain<T> = T extends Date
  ? number
  : T extends ReadonlyArray<infer X>
    ? ReadonlyArray<Plain<X>>
    : T extends object
      ? { readonly [K in keyof T]-?: Plain<Exclude<T[K], undefined>> }
      : T

/** Where two types differ: `path: what`. Nothing when they are the same. */
type Difference<Ours, Aws, Path extends string = ""> = [Ours] extends [Aws]
  ? [Aws] extends [Ours]
    ? Members<Ours, Aws, Path>
    : Members<Ours, Aws, Path> | Mismatch<Ours, Aws, Path>
  : Members<Ours, Aws, Path> | Mismatch<Ours, Aws, Path>

type Mismatch<Ours, Aws, Path extends string> = [Ours, Aws] extends [object, object]
  ? never // its members tell
  : `${Path}: ours is ${Shown<Ours>}, AWS's is ${Shown<Aws>}`

type Shown<T> = T extends string | number | boolean ? `${T}` : "something else"

type Members<Ours, Aws, Path extends string> =
  Ours extends ReadonlyArray<infer X>
    ? Aws extends ReadonlyArray<infer Y>
      ? Difference<X, Y, `${Path}[]`>
      : never
    : [Ours, Aws] extends [object, object]
      ? | `${Path}.${Exclude<keyof Aws & string, keyof Ours>}: missing in ours`
        | `${Path}.${Exclude<keyof Ours & string, keyof Aws>}: not in AWS's model`
        | {
            [K in keyof Ours & keyof Aws & string]: Difference<Ours[K], Aws[K], `${Path}.${K}`>
          }[keyof Ours & keyof Aws & string]
      : never

/** Compiles only when there is no difference; else the message is the list of differences. */
const same = <Ours, Aws>(
  _: [Difference<Plain<Ours>, Plain<Aws>>] extends [never] ? "same" : Difference<Plain<Ours>, Plain<Aws>>
) => _

/** Members of AWS's model that we leave out on purpose. */
type Without<T, K extends keyof T> = Omit<T, K>

// ---- the shapes ------------------------------------------------------------------------------------------

const shapes = [
  same<Protocol.ErrorObject, aws.ErrorObject>("same"),
  same<Protocol.Operation, aws.Operation>("same"),
  same<Protocol.OperationUpdate, aws.OperationUpdate>("same"),
  same<Protocol.CheckpointRequest, aws.CheckpointDurableExecutionRequest>("same"),
  same<Protocol.CheckpointResponse, aws.CheckpointDurableExecutionResponse>("same"),
  same<Protocol.ExecutionStateRequest, aws.GetDurableExecutionStateRequest>("same"),
  same<Protocol.ExecutionStateResponse, aws.GetDurableExecutionStateResponse>("same"),
  same<History.KnownEvent, aws.Event>("same"),
  same<Protocol.OperationType, aws.OperationType>("same"),
  same<Protocol.OperationAction, aws.OperationAction>("same"),
  same<Protocol.OperationStatus, aws.OperationStatus>("same"),
  same<Protocol.ExecutionStatus, aws.ExecutionStatus>("same"),
  same<History.EventType, aws.EventType>("same")
]

// ---- the comparison itself -------------------------------------------------------------------------------

// what must not compile, so that the checks above are known to look
// @ts-expect-error a member that AWS has and we do not
same<Without<Protocol.Operation, "SubType">, aws.Operation>("same")
// @ts-expect-error a member that AWS does not have
same<Protocol.Operation & { readonly Extra: string }, aws.Operation>("same")
// @ts-expect-error a member deep inside
same<Protocol.Operation, aws.Operation & { StepDetails?: { Later?: string } }>("same")
// @ts-expect-error a literal that AWS has and we do not
same<Protocol.OperationType, aws.OperationType | "DAG">("same")
// @ts-expect-error a literal that AWS does not have
same<Protocol.OperationType | "DAG", aws.OperationType>("same")
// @ts-expect-error another type of value
same<Without<Protocol.ErrorObject, "ErrorData"> & { readonly ErrorData?: number }, aws.ErrorObject>("same")
// @ts-expect-error another event
same<History.Event, aws.Event & { DagStartedDetails?: object }>("same")

describe("Protocol: parity with @aws-sdk/client-lambda", () => {
  it.effect("of all shapes, by their types", () =>
    Effect.sync(() =>
      assert.deepStrictEqual(
        shapes,
        Array.from({ length: 13 }, () => "same" as const)
      )
    )
  )

  it.effect("of all enumerations, also at run time", () =>
    Effect.sync(() => {
      const pairs: ReadonlyArray<readonly [ours: ReadonlyArray<string>, theirs: Readonly<Record<string, string>>]> = [
        [Protocol.OperationType.literals, aws.OperationType],
        [Protocol.OperationAction.literals, aws.OperationAction],
        [Protocol.OperationStatus.literals, aws.OperationStatus],
        [Protocol.ExecutionStatus.literals, aws.ExecutionStatus],
        [History.EventType.literals, aws.EventType]
      ]
      for (const [ours, theirs] of pairs) assert.sameMembers([...ours], Object.values(theirs))
    })
  )
})
