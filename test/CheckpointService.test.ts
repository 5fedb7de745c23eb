import { assert, describe, it } from "@effect/vitest"
import { CheckpointService, type DurableError, type Protocol } from "effect-durable-lambda"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as FakeService from "./wire/FakeService.ts"

// ---- helpers -----------------------------------------------------------------------------------------------

const update = (
  Id: string,
  Action: Protocol.OperationAction = "START",
  more: Partial<Protocol.OperationUpdate> = {}
): Protocol.OperationUpdate => ({ Id, Name: Id, Type: "STEP", SubType: "Step", Action, ...more })

const never = [0, 0]

/** Opens the queue of an invocation at this service. */
const open = (
  service: FakeService.FakeService,
  options: CheckpointService.Options = { resendAfter: never },
  more: Partial<CheckpointService.Invocation> = {}
) =>
  Effect.flatMap(CheckpointService.CheckpointService, (checkpoints) =>
    checkpoints.open({
      executionArn: FakeService.ARN,
      checkpointToken: "start",
      operations: [],
      nextMarker: undefined,
      ...more
    })
  ).pipe(Effect.provide(Layer.provide(CheckpointService.layerWith(options), service.layer)))

const turns = Effect.forEach(
  Array.from({ length: 20 }),
  () => Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve))),
  { discard: true }
)

const sizes = (service: FakeService.FakeService) => service.requests.map(({ Updates }) => Updates.length)

const refused = FakeService.fails(FakeService.awsError(400, "InvalidParameterValueException", "no"))
const down = FakeService.fails(FakeService.awsError(500, "ServiceException", "down"))

// ---- batches -----------------------------------------------------------------------------------------------

describe("CheckpointService: batches", () => {
  it.effect("are first in, first out, with one request in flight", () =>
    Effect.gen(function* () {
      const hanging = FakeService.held()
      const service = FakeService.make({ replies: [hanging.reply] })
      const queue = yield* open(service)
      queue.offer(update("1"))
      queue.send()
      for (const id of ["2", "3", "4"]) {
        queue.offer(update(id))
        queue.send()
      }
      yield* hanging.asked
      assert.isTrue(queue.inFlight())
      assert.strictEqual(queue.queued(), 3)
      assert.strictEqual(service.requests.length, 1)
      const drained = yield* Effect.forkChild(queue.drain, { startImmediately: true })
      hanging.release()
      yield* Fiber.join(drained)
      assert.deepStrictEqual(service.trace, [["START STEP 1"], ["START STEP 2", "START STEP 3", "START STEP 4"]])
      assert.isFalse(queue.inFlight())
      assert.strictEqual(queue.queued(), 0)
    })
  )

  it.effect("hold at most 250 updates", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      for (let i = 0; i < 601; i++) queue.offer(update(String(i)))
      yield* queue.drain
      assert.deepStrictEqual(sizes(service), [250, 250, 101])
      assert.deepStrictEqual(
        service.updates.map(({ Id }) => Id),
        Array.from({ length: 601 }, (_, i) => String(i))
      )
    })
  )

  it.effect("are not cut between a START and the end of its attempt, which replaces what START wipes out", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service, { limits: { batchUpdates: 2 } })
      queue.offer(update("1", "SUCCEED"))
      queue.offer(update("2"), { lazy: true })
      queue.offer(update("2", "RETRY", { Payload: "1", StepOptions: { NextAttemptDelaySeconds: 1 } }))
      queue.offer(update("3"), { lazy: true })
      queue.offer(update("4"))
      assert.isTrue(queue.urgent())
      yield* queue.drain
      assert.deepStrictEqual(service.trace, [
        ["SUCCEED STEP 1"],
        ["START STEP 2", "RETRY STEP 2"],
        ["START STEP 3", "START STEP 4"]
      ])
      assert.isFalse(queue.urgent())
    })
  )

  it.effect("hold at most 750 KiB, in bytes of what is sent", () =>
    Effect.gen(function* () {
      const payloads: ReadonlyArray<readonly [what: string, payload: string]> = [
        ["ASCII", "x".repeat(100_000)],
        ["two-byte characters", "é".repeat(50_000)],
        ["JSON, whose quotes are escaped again", JSON.stringify(Array.from({ length: 20_000 }, () => "a"))],
        ["control characters, six bytes each", "\u0001".repeat(20_000)]
      ]
      for (const [what, payload] of payloads) {
        const service = FakeService.make()
        const queue = yield* open(service)
        for (let i = 0; i < 30; i++) queue.offer(update(String(i), "SUCCEED", { Payload: payload }))
        yield* queue.drain
        const bytes = service.requests.map((request) => Buffer.byteLength(JSON.stringify(request.Updates)))
        assert.isAtMost(Math.max(...bytes), 750 * 1024, what)
        // and are filled, at least by half: sizes are counted exactly only where it matters
        for (const full of bytes.slice(0, -1)) assert.isAbove(full, 375 * 1024, what)
        assert.strictEqual(
          sizes(service).reduce((sum, size) => sum + size),
          30
        )
      }
    })
  )

  it.effect("an update that is larger than a batch travels alone, whatever is before and behind it", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      const large = { Payload: "x".repeat(900 * 1024) }
      queue.offer(update("first", "SUCCEED", large))
      queue.offer(update("small"))
      queue.offer(update("second", "SUCCEED", large))
      queue.offer(update("last"))
      yield* queue.drain
      assert.deepStrictEqual(service.trace, [
        ["SUCCEED STEP first"],
        ["START STEP small"],
        ["SUCCEED STEP second"],
        ["START STEP last"]
      ])
    })
  )

  it.effect("hold one update of an id, except START and what ends that attempt", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      const retry = { StepOptions: { NextAttemptDelaySeconds: 1 } }
      queue.offer(update("a"))
      queue.offer(update("b"))
      queue.offer(update("a", "RETRY", retry))
      queue.offer(update("a"))
      queue.offer(update("a", "SUCCEED"))
      queue.offer(update("b", "FAIL"))
      queue.offer(update("c", "SUCCEED"))
      queue.offer(update("c", "SUCCEED"))
      queue.offer(update("c"))
      yield* queue.drain
      assert.deepStrictEqual(service.trace, [
        ["START STEP a", "START STEP b", "RETRY STEP a"],
        ["START STEP a", "SUCCEED STEP a", "FAIL STEP b", "SUCCEED STEP c"],
        ["SUCCEED STEP c"],
        ["START STEP c"]
      ])
    })
  )

  it.effect("lazy updates wait for another reason to send, and then go along in order", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      queue.offer(update("lazy"), { lazy: true })
      queue.send()
      yield* turns
      assert.strictEqual(service.requests.length, 0)
      assert.isFalse(queue.urgent())
      queue.offer(update("eager"))
      assert.isTrue(queue.urgent())
      queue.send()
      yield* turns
      assert.deepStrictEqual(service.trace, [["START STEP lazy", "START STEP eager"]])
      queue.offer(update("other"), { lazy: true })
      queue.send({ force: true })
      yield* turns
      assert.deepStrictEqual(service.trace[1], ["START STEP other"])
    })
  )

  it.effect("an update that goes first stands before everything that is queued", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      queue.offer(update("b"))
      queue.offer(update("a"), { first: true })
      yield* queue.drain
      assert.deepStrictEqual(service.trace, [["START STEP a", "START STEP b"]])
    })
  )

  it.effect("polls coalesce: one empty request answers all, and so does any other request", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      for (let i = 0; i < 5; i++) queue.poll()
      queue.send()
      yield* turns
      queue.send()
      yield* turns
      assert.deepStrictEqual(service.trace, [[]])
      queue.poll()
      queue.offer(update("a"))
      queue.send()
      yield* turns
      queue.send()
      yield* turns
      assert.deepStrictEqual(service.trace, [[], ["START STEP a"]])
    })
  )

  it.effect("nothing to send and nothing to ask is no request", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      queue.send()
      queue.send({ force: true })
      yield* queue.drain
      assert.deepStrictEqual(service.requests, [])
    })
  )
})

// ---- tokens --------------------------------------------------------------------------------------------------

describe("CheckpointService: tokens", () => {
  it.effect("form a chain, each used once", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      for (const id of ["1", "2", "3"]) yield* queue.commit(update(id))
      assert.deepStrictEqual(
        service.requests.map(({ CheckpointToken }) => CheckpointToken),
        ["start", "token0", "token1"]
      )
    })
  )

  it.effect(
    "a batch has a ClientToken of its own, in every invocation another, also in one that resumes from the same token",
    () =>
      Effect.gen(function* () {
        const tokens = Effect.gen(function* () {
          const service = FakeService.make()
          const queue = yield* open(service)
          for (const id of ["1", "2", "3"]) yield* queue.commit(update(id))
          return service.requests.map(({ ClientToken }) => ClientToken)
        })
        const first = yield* tokens
        assert.strictEqual(new Set(first).size, 3)
        for (const token of first) assert.match(token, /^[\x21-\x7E]{1,64}$/)
        const again = yield* tokens // an event that is delivered twice: its requests are none that were answered before
        assert.strictEqual(new Set([...first, ...again]).size, 6)
        const service = FakeService.make()
        const other = yield* open(service, {}, { checkpointToken: "another" })
        yield* other.commit(update("1"))
        assert.notInclude(first, service.requests[0]!.ClientToken)
      })
  )

  it.effect("a resend repeats the request to the letter, after 200 and 400 ms", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [down, down] })
      const queue = yield* open(service, {})
      const committed = yield* Effect.forkChild(queue.commit(update("1")), { startImmediately: true })
      yield* turns
      for (const [millis, requests] of [
        [199, 1],
        [1, 2],
        [399, 2],
        [1, 3]
      ] as const) {
        yield* TestClock.adjust(millis)
        yield* turns
        assert.strictEqual(service.requests.length, requests, `${millis}`)
      }
      yield* Fiber.join(committed)
      assert.deepStrictEqual(service.requests[1], service.requests[0])
      assert.deepStrictEqual(service.requests[2], service.requests[0])
      yield* queue.commit(update("2"))
      assert.notStrictEqual(service.requests[3]?.ClientToken, service.requests[0]?.ClientToken)
    })
  )

  it.effect("a refusal is not sent again", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [refused] })
      const queue = yield* open(service)
      const error = yield* Effect.flip(queue.commit(update("1")))
      assert.strictEqual(error._tag, "CheckpointFailed")
      assert.strictEqual(service.requests.length, 1)
    })
  )

  it.effect("pages of a response are read with the new token before anyone is told", () =>
    Effect.gen(function* () {
      const service = FakeService.make({
        replies: [FakeService.paged("two")],
        pages: {
          two: (service) => ({ Operations: [service.record("1")], NextMarker: "three" }),
          three: () => ({ Operations: [{ Id: "outside", Type: "WAIT", Status: "SUCCEEDED" }] })
        }
      })
      const queue = yield* open(service)
      const told: Array<ReadonlyArray<string>> = []
      queue.listen({
        responded: (operations, acknowledged) =>
          told.push([...operations.map(({ Id }) => Id), "acknowledged", ...acknowledged.map(({ Id }) => Id)]),
        failed: () => told.push(["failed"])
      })
      yield* queue.commit(update("1"))
      assert.deepStrictEqual(told, [["1", "outside", "acknowledged", "1"]])
      assert.deepStrictEqual(
        service.stateRequests.map(({ CheckpointToken, Marker }) => [CheckpointToken, Marker]),
        [
          ["token0", "two"],
          ["token0", "three"]
        ]
      )
    })
  )

  it.effect("a page that cannot be read fails the queue", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [FakeService.paged("none")] })
      const queue = yield* open(service)
      const error = yield* Effect.flip(queue.commit(update("1")))
      assert.match(error.message, /GetDurableExecutionState failed/)
      assert.strictEqual(yield* Effect.flip(queue.drain), error)
    })
  )

  it.effect("opening reads all pages of the state, in order", () =>
    Effect.gen(function* () {
      const op = (Id: string) => ({ Id, Type: "STEP", Status: "SUCCEEDED" }) as const
      const service = FakeService.make({
        pages: { two: () => ({ Operations: [op("2")], NextMarker: "three" }), three: () => ({ Operations: [op("3")] }) }
      })
      const queue = yield* open(service, {}, { operations: [op("1")], nextMarker: "two" })
      assert.deepStrictEqual(
        queue.operations.map(({ Id }) => Id),
        ["1", "2", "3"]
      )
    })
  )
})

// ---- failure -------------------------------------------------------------------------------------------------

describe("CheckpointService: failure", () => {
  const causes: ReadonlyArray<readonly [what: string, reply: FakeService.Reply, scope: DurableError.Scope]> = [
    ["a refusal", refused, "execution"],
    ["an outage", down, "invocation"],
    ["no further token", FakeService.withoutToken, "suspend"]
  ]
  for (const [what, reply, scope] of causes) {
    it.effect(`${what} reaches every waiter and the listener, and nothing is sent afterwards`, () =>
      Effect.gen(function* () {
        const hanging = FakeService.held()
        const service = FakeService.make({
          replies: [
            async (ordinary, request) => {
              await hanging.reply(() => ({ NewExecutionState: { Operations: [] } }), request)
              return reply(ordinary, request)
            },
            reply,
            reply
          ]
        })
        const queue = yield* open(service)
        const failures: Array<unknown> = []
        queue.listen({ responded: () => failures.push("responded"), failed: (error) => failures.push(error) })
        const inFlight = yield* Effect.forkChild(Effect.exit(queue.commit(update("1"))), { startImmediately: true })
        yield* hanging.asked
        const queued = yield* Effect.forkChild(Effect.flip(queue.commit(update("2"))), { startImmediately: true })
        const drain = yield* Effect.forkChild(Effect.flip(queue.drain), { startImmediately: true })
        hanging.release()
        const error = yield* Fiber.join(queued)
        assert(error._tag === "CheckpointFailed")
        assert.strictEqual(error.scope, scope)
        assert.strictEqual(yield* Fiber.join(drain), error)
        // what a response without a token acknowledges is durable all the same
        assert.strictEqual(Exit.isSuccess(yield* Fiber.join(inFlight)), scope === "suspend")
        const sent = service.requests.length

        assert.strictEqual(yield* Effect.flip(queue.commit(update("3"))), error)
        assert.strictEqual(yield* Effect.flip(queue.drain), error)
        queue.offer(update("4"))
        queue.poll()
        queue.send({ force: true })
        yield* turns
        assert.strictEqual(service.requests.length, sent)
        assert.deepStrictEqual(failures, [error])
      })
    )
  }

  it.effect("a client that dies is a failure like any other", () =>
    Effect.gen(function* () {
      const service = FakeService.make({
        replies: [
          () => {
            throw new Error("a bug in a transport")
          },
          () => {
            throw new Error("a bug in a transport")
          },
          () => {
            throw new Error("a bug in a transport")
          }
        ]
      })
      const queue = yield* open(service)
      const error = yield* Effect.flip(queue.commit(update("1")))
      assert.match(error.message, /a bug in a transport/)
    })
  )

  it.effect("closing the scope drops what is in flight and queued: nobody is told, nothing is sent", () =>
    Effect.gen(function* () {
      const hanging = FakeService.held()
      const service = FakeService.make({ replies: [hanging.reply] })
      const scope = yield* Scope.make()
      const queue = yield* Scope.provide(open(service), scope)
      const told: Array<string> = []
      queue.listen({ responded: () => told.push("responded"), failed: () => told.push("failed") })
      queue.offer(update("1"))
      queue.send()
      yield* hanging.asked
      queue.offer(update("2"))
      yield* Scope.close(scope, Exit.void)
      hanging.release()
      yield* turns
      assert.deepStrictEqual(told, [])
      assert.strictEqual(service.requests.length, 1)
    })
  )

  it.effect("an interrupted commit leaves the queue in order: its update is sent, the next one too", () =>
    Effect.gen(function* () {
      const hanging = FakeService.held()
      const service = FakeService.make({ replies: [hanging.reply] })
      const queue = yield* open(service)
      const commit = yield* Effect.forkChild(queue.commit(update("1")), { startImmediately: true })
      yield* hanging.asked
      yield* Fiber.interrupt(commit)
      hanging.release()
      yield* queue.commit(update("2"))
      assert.deepStrictEqual(service.trace, [["START STEP 1"], ["START STEP 2"]])
    })
  )
})

// ---- limits --------------------------------------------------------------------------------------------------

describe("CheckpointService: limits", () => {
  const warnings = (
    f: (queue: CheckpointService.Checkpoints) => void,
    limits: Partial<CheckpointService.CheckpointLimits>,
    operations: ReadonlyArray<Protocol.Operation> = []
  ) =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const real = yield* Console.Console
      const service = FakeService.make()
      yield* Effect.scoped(
        Effect.flatMap(open(service, { limits }, { operations }), (queue) => {
          f(queue)
          return turns
        })
      ).pipe(Effect.provideService(Console.Console, { ...real, warn: (line: unknown) => lines.push(String(line)) }))
      return lines
    })

  const recorded = (Id: string, Result = ""): Protocol.Operation => ({
    Id,
    Type: "STEP",
    Status: "SUCCEEDED",
    StepDetails: { Result }
  })

  it.effect("operations: a warning from 80 %, once, and a refusal beyond the limit", () =>
    Effect.gen(function* () {
      let refusal: unknown
      const lines = yield* warnings(
        (queue) => {
          for (let i = 0; i < 7; i++) assert.isUndefined(queue.offer(update(`${i}`)))
          // an operation counts once, however many updates it has
          assert.isUndefined(queue.offer(update("6", "SUCCEED")))
          refusal = [8, 9, 10].map((i) => queue.offer(update(`${i}`)))
        },
        { operations: 10 },
        [recorded("a"), recorded("b")]
      )
      const [first, second, third] = refusal as ReadonlyArray<DurableError.OperationLimitExceeded | undefined>
      assert.isUndefined(first)
      assert.strictEqual(second?._tag, "OperationLimitExceeded")
      assert.strictEqual(second?.quantity, "operations")
      assert.strictEqual(second?.limit, 10)
      assert.match(second?.message ?? "", /STEP "9" \(9\): the execution reached the service's limit of 10 operations/)
      assert.isDefined(third)
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /8 of the 10 operations/)
    })
  )

  it.effect(
    "what is noted of an operation by who offers it counts like what the queue notes itself, and is given back",
    () =>
      Effect.gen(function* () {
        const note = (counted: boolean): CheckpointService.Sent => ({ counted, sentIn: 0, sentMore: false })
        const service = FakeService.make()
        const queue = yield* open(
          service,
          { limits: { operations: 4 } },
          { operations: [recorded("a"), recorded("b")] }
        )
        const told: Array<ReadonlyArray<unknown>> = []
        queue.listen({ responded: (_, updates, sent) => told.push(updates, sent), failed: () => assert.fail() })
        const [a, c] = [note(true), note(false)]
        const offers = [
          queue.offer(update("a"), undefined, a), // the third and fourth operation are "c" and "d"
          queue.offer(update("c"), undefined, c),
          queue.offer(update("c", "SUCCEED"), undefined, c),
          queue.offer(update("b", "SUCCEED")),
          queue.offer(update("d")),
          queue.offer(update("c", "SUCCEED"), undefined, c), // for the next request: its end is in this one
          queue.offer(update("e"), undefined, note(false))
        ]
        assert.deepStrictEqual(
          offers.map((refusal) => refusal?._tag),
          [undefined, undefined, undefined, undefined, undefined, undefined, "OperationLimitExceeded"]
        )
        yield* queue.drain
        assert.deepStrictEqual(
          service.requests.map(({ Updates }) => Updates.map(({ Id }) => Id)),
          [["a", "c", "c", "b", "d"], ["c"]]
        )
        const [first = [], noted = [], , later = []] = told
        assert.lengthOf(first, 5)
        assert.isTrue(noted[0] === a && noted[1] === c && noted[2] === c && later[0] === c)
      })
  )

  it.effect("below 80 % nothing is said", () =>
    Effect.gen(function* () {
      const lines = yield* warnings(
        (queue) => {
          for (let i = 0; i < 7; i++) queue.offer(update(`${i}`))
        },
        { operations: 10 }
      )
      assert.deepStrictEqual(lines, [])
    })
  )

  it.effect("bytes: what is recorded counts, too", () =>
    Effect.gen(function* () {
      let refusal: DurableError.PayloadTooLarge | DurableError.OperationLimitExceeded | undefined
      const lines = yield* warnings(
        (queue) => {
          assert.isUndefined(queue.offer(update("1", "SUCCEED", { Payload: "x".repeat(400) })))
          refusal = queue.offer(update("2", "SUCCEED", { Payload: "x".repeat(200) }))
        },
        { storageBytes: 1000 },
        [recorded("a", "x".repeat(450))]
      )
      assert(refusal?._tag === "OperationLimitExceeded")
      assert.strictEqual(refusal.quantity, "bytes")
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /850 of the 1000 bytes/)
    })
  )

  it.effect("a payload over the limit is refused with operation, bytes and limit, and not queued", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service)
      const limit = 1024 * 1024
      assert.isUndefined(queue.offer(update("fits", "SUCCEED", { Payload: "é".repeat(limit / 2) })))
      const refusal = queue.offer(update("big", "SUCCEED", { Payload: "é".repeat(limit / 2 + 1) }))
      assert(refusal?._tag === "PayloadTooLarge")
      assert.deepStrictEqual([refusal.operation, refusal.bytes, refusal.limit], ['STEP "big" (big)', limit + 2, limit])
      const error = yield* Effect.flip(queue.commit(update("bigger", "SUCCEED", { Payload: "x".repeat(limit + 1) })))
      assert.strictEqual(error._tag, "PayloadTooLarge")
      const failed = queue.offer(update("error", "FAIL", { Error: { ErrorData: "x".repeat(limit + 1) } }))
      assert.match(String(failed), /^PayloadTooLarge: the error of STEP "error" \(error\): its payload has \d+ bytes/)
      yield* queue.drain
      assert.deepStrictEqual(
        service.updates.map(({ Id }) => Id),
        ["fits"]
      )
    })
  )

  it.effect("what is refused for its size does not count as an operation", () =>
    Effect.gen(function* () {
      const queue = yield* open(FakeService.make(), { limits: { payloadBytes: 1, operations: 1 } })
      assert.strictEqual(queue.offer(update("1", "START", { Payload: "xx" }))?._tag, "PayloadTooLarge")
      assert.isUndefined(queue.offer(update("2")))
      assert.strictEqual(queue.offer(update("3"))?._tag, "OperationLimitExceeded")
    })
  )

  it.effect("Infinity switches a limit off; the execution's own result has none here", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const queue = yield* open(service, { limits: { payloadBytes: Infinity, operations: 1 } })
      assert.isUndefined(queue.offer(update("1", "SUCCEED", { Payload: "x".repeat(2 * 1024 * 1024) })))
      yield* queue.commit({ Id: "end", Type: "EXECUTION", Action: "SUCCEED", Payload: "x".repeat(7 * 1024 * 1024) })
      assert.strictEqual(service.requests.length, 2)
    })
  )
})
