/**
 * Between an invocation and the service: requests and responses take their time, get lost or come late, and
 * processes die at either end of them.
 */
import * as Effect from "effect/Effect"
import { classify, type DurableExecutionClient, ServiceCallFailed } from "../../src/DurableExecutionClient.ts"
import type * as Protocol from "../../src/Protocol.ts"
import type { Profile } from "./Profile.ts"
import type { Reply, Service } from "./Service.ts"
import type { Loop, Rng } from "./Virtual.ts"

/** The process that makes a call. */
export interface Caller {
  readonly isAlive: () => boolean
  /** Whether this call may get lost. */
  readonly isLosable: boolean
  /** Whether it dies here, `factor` times more likely than elsewhere. */
  readonly crashes: (factor: number) => boolean
  readonly die: () => void
  /** A checkpoint leaves. */
  readonly sent: (request: Protocol.CheckpointRequest) => void
  /** Its token was refused. */
  readonly refused: () => void
}

export interface Network {
  readonly loop: Loop
  readonly rand: Rng
  readonly profile: Profile
  readonly service: Service
  /** Who holds this token. */
  readonly caller: (token: string) => Caller
  /** An operation was on a page that had to be asked for. */
  readonly read: (operation: Protocol.Operation) => void
  /** Runs the service; reports what it throws. */
  readonly guard: (serve: () => void) => void
}

const LOST = "was lost in the network"

/** Whether an invocation failed because the network did, for longer than the library sends again. */
export const isLost = (failure: unknown): boolean => failure instanceof Error && failure.message.includes(LOST)

const stale = {
  name: "InvalidParameterValueException",
  message: "Invalid checkpoint token",
  $metadata: { httpStatusCode: 400 }
}

/** The client that all invocations of an execution use. */
export const client = ({
  caller,
  guard,
  loop,
  profile,
  rand,
  read,
  service
}: Network): DurableExecutionClient["Service"] => {
  const latency = () => (rand() < 0.6 ? rand() * 0.2 : rand() * profile.latency)
  const call = <Response>(
    name: ServiceCallFailed["call"],
    from: Caller,
    serve: (reply: Reply<Response>) => void
  ): Effect.Effect<Response, ServiceCallFailed> =>
    Effect.callback<Response, ServiceCallFailed>((resume) => {
      if (!from.isAlive()) return
      if (from.crashes(1)) return from.die()
      const answer = (effect: Effect.Effect<Response, ServiceCallFailed>) => {
        if (from.isAlive()) resume(effect)
      }
      const lost = (what: string) => {
        const reason = `${what} ${LOST}`
        answer(
          Effect.fail(
            new ServiceCallFailed({
              call: name,
              scope: "invocation",
              errorName: "TimeoutError",
              reason,
              transient: true
            })
          )
        )
      }
      const arrive = (back: (response: Effect.Effect<Response, ServiceCallFailed>) => void) =>
        guard(() =>
          serve((response) => {
            if (response !== undefined) return back(Effect.succeed(response))
            back(
              Effect.suspend(() => {
                from.refused() // unless it came late, and nobody looks at the answer
                return Effect.fail(classify(name, stale))
              })
            )
          })
        )
      const isLosable = () => from.isLosable && rand() < profile.lost
      if (isLosable()) {
        if (rand() < 0.5) loop.after(rand() * 12, () => arrive(() => {})) // late, when nobody waits for the answer
        loop.after(rand() * 5, () => lost("the request"))
        return
      }
      const isAnswerLost = isLosable()
      loop.after(latency(), () =>
        arrive((response) => {
          loop.after(latency(), () => (isAnswerLost ? lost("the response") : answer(response)))
        })
      )
      if (from.crashes(1)) loop.after(rand() * 0.5 * profile.latency, from.die)
    })
  return {
    checkpoint: (request) => {
      const from = caller(request.CheckpointToken)
      return Effect.suspend(() => {
        if (from.isAlive()) from.sent(request)
        return call("CheckpointDurableExecution", from, (reply: Reply<Protocol.CheckpointResponse>) =>
          service.checkpoint(request, reply)
        )
      })
    },
    getExecutionState: (request) =>
      call(
        "GetDurableExecutionState",
        caller(request.CheckpointToken),
        (reply: Reply<Protocol.ExecutionStateResponse>) => {
          const page = service.state(request)
          page?.Operations?.forEach(read)
          reply(page)
        }
      )
  }
}
