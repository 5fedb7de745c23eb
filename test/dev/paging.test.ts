/**
 * Listings and histories that are long: a page costs a page.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import type * as History from "../../src/History.ts"
import { execution } from "../engine/ExecutionStoreTest.ts"
import { stores } from "../engine/kit.ts"
import * as kit from "./kit.ts"

const MANY = 10_000
const STARTED = 1_767_356_934_930

const long = execution("long", { status: "SUCCEEDED", startedAt: STARTED - 1 })
const statusOf = (i: number) => (i % 1_000 === 0 ? ("FAILED" as const) : ("SUCCEEDED" as const))

const fill = Effect.gen(function* () {
  const store = yield* Store.ExecutionStore
  const events = Array.from({ length: MANY }, (_, i): History.Event => ({
    EventType: "ContextStarted",
    EventId: i + 1,
    EventTimestamp: STARTED + i,
    ContextStartedDetails: {}
  }))
  yield* store.commit({ execution: long, operations: [], events })
  for (let i = 0; i < MANY; i++) {
    const one = execution(`e${i}`, { status: statusOf(i), startedAt: STARTED + i })
    yield* store.commit({ execution: one, operations: [], events: [] })
  }
})

/** A store that counts the records and events that are read of it. */
const counting = (
  store: Store.ExecutionStore["Service"],
  counts: { read: number }
): Store.ExecutionStore["Service"] => {
  const count = <A>(found: ReadonlyArray<A>) => {
    counts.read += found.length
    return found
  }
  return {
    ...store,
    list: (filter, page) => Effect.map(store.list(filter, page), count),
    history: (arn, page) => Effect.map(store.history(arn, page), count)
  }
}

describe.each(stores)("ten thousand executions and events on %s", (_, store) => {
  it.live("a page reads a page", () =>
    Effect.gen(function* () {
      const opened = yield* Effect.flatMap(store, (open) => Layer.build(open()))
      yield* Effect.provideContext(fill, opened)
      const counts = { read: 0 }
      const counted = counting(Context.get(opened, Store.ExecutionStore), counts)
      const layer = Server.layer.pipe(
        Layer.provideMerge(Engine.layer),
        Layer.provide([Layer.succeed(Store.ExecutionStore, counted), Timers.layer]),
        Layer.fresh
      )
      yield* Effect.gen(function* () {
        const { url } = yield* Server.Server
        const get = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Record<string, any>, Error> {
          counts.read = 0
          const answer = yield* kit.request(url, "GET", path)
          assert.strictEqual(answer.status, 200, answer.text)
          return { ...(answer.json as Record<string, any>), read: counts.read }
        })
        const follow = (query: string, page: Record<string, any>) =>
          get(`${query}&Marker=${encodeURIComponent(String(page["NextMarker"]))}`)
        const names = (page: Record<string, any>) =>
          (page["DurableExecutions"] as ReadonlyArray<any>).map((one) => one.DurableExecutionName as string)

        const all = "/2025-12-01/durable-executions?MaxItems=50"
        const first = yield* get(all)
        assert.deepStrictEqual([names(first)[0], names(first).length, first["read"]], ["e9999", 50, 51])
        const second = yield* follow(all, first)
        assert.deepStrictEqual([names(second)[0], names(second).length, second["read"]], ["e9949", 50, 51])

        const failed = "/2025-12-01/durable-executions?Statuses=FAILED&MaxItems=4"
        const some = yield* get(failed)
        assert.deepStrictEqual([names(some), some["read"]], [["e9000", "e8000", "e7000", "e6000"], 5])
        const rest = yield* follow(failed, yield* follow(failed, some))
        assert.deepStrictEqual([names(rest), rest["NextMarker"]], [["e1000", "e0"], undefined])

        const between = "/2025-12-01/functions/order/durable-executions?Qualifier=%24LATEST&ReverseOrder=true"
        const window = `${between}&StartedAfter=${STARTED + 4_999}&StartedBefore=${STARTED + 5_003}`
        const inside = yield* get(window)
        // one for whether there have been any, since no function of that name is there now
        assert.deepStrictEqual([names(inside), inside["read"]], [["e5000", "e5001", "e5002"], 3 + 1])

        const page = yield* get("/_dev/executions?search=e99&limit=10")
        assert.deepStrictEqual([page["Executions"].length, page["Total"], page["read"]], [10, 111, 10])

        const history = `/2025-12-01/durable-executions/${encodeURIComponent(long.arn)}/history?MaxItems=10`
        const begin = yield* get(history)
        assert.deepStrictEqual([begin["Events"][0].EventId, begin["Events"].length, begin["read"]], [1, 10, 11])
        const next = yield* follow(history, begin)
        assert.deepStrictEqual([next["Events"][0].EventId, next["read"]], [11, 11])
        const backwards = `${history}&ReverseOrder=true`
        const last = yield* get(backwards)
        assert.deepStrictEqual([last["Events"][0].EventId, last["read"]], [MANY, 11])
        assert.strictEqual((yield* follow(backwards, last))["Events"][0].EventId, MANY - 10)
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("a listing goes on where it was, whatever has changed since", () =>
    Effect.gen(function* () {
      const opened = yield* Effect.flatMap(store, (open) => Layer.build(open()))
      const service = Context.get(opened, Store.ExecutionStore)
      for (const name of ["a", "b", "c"])
        yield* service.commit({ execution: execution(name), operations: [], events: [] })
      const layer = Server.layer.pipe(
        Layer.provideMerge(Engine.layer),
        Layer.provide([Layer.succeedContext(opened), Timers.layer]),
        Layer.fresh
      )
      yield* Effect.gen(function* () {
        const { url } = yield* Server.Server
        const query = "/2025-12-01/durable-executions?Statuses=RUNNING&MaxItems=1"
        const first = yield* kit.request(url, "GET", query)
        const marker = encodeURIComponent(String(first.json.NextMarker))
        // the one that the first page has ended with has ended, too
        yield* service.commit({ execution: execution("c", { status: "SUCCEEDED" }), operations: [], events: [] })
        const second = yield* kit.request(url, "GET", `${query}&Marker=${marker}`)
        assert.deepStrictEqual(
          [second.status, second.json.DurableExecutions?.map((one: any) => one.DurableExecutionName)],
          [200, ["b"]]
        )
        const forged = encodeURIComponent(Buffer.from("list forwards arn:none").toString("base64"))
        const refused = yield* kit.request(url, "GET", `${query}&Marker=${forged}`)
        assert.deepStrictEqual([refused.status, refused.json.message], [400, "Invalid Marker."])
      }).pipe(Effect.provide(layer))
    })
  )
})
