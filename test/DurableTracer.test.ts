import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableLogger, DurableTracer } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Tracer from "effect/Tracer"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as kit from "./operations/kit.ts"
import { places } from "./places.kit.ts"
import { find, step, traced, treeOf, warnings } from "./tracing.kit.ts"

// ---- the user's spans ----------------------------------------------------------------------------------------------

describe("spans of the user's code", () => {
  const body = Effect.gen(function* () {
    yield* Durable.step("charge", Effect.withSpan(Effect.void, "POST /charges", { attributes: { amount: 7 } }))
    yield* Effect.gen(function* () {
      yield* step("pack").pipe(Effect.withSpan("packing"))
      yield* Durable.wait("truck", "1 hour")
      yield* step("ship")
    }).pipe(Effect.withSpan("fulfil"))
    yield* Durable.wait("feedback", "1 day")
  })

  it.effect("stand inside of attempts, and around operations; each is exported once", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* treeOf(body), [
        "Workflow OK SUCCEEDED",
        "  charge OK Step SUCCEEDED attempt 1 -> 1",
        "    charge attempt 1 OK Step SUCCEEDED -> 1",
        "      POST /charges OK 7",
        "  Invocation OK first PENDING",
        "  fulfil OK",
        "    packing OK",
        "      pack OK Step SUCCEEDED attempt 1 -> 1",
        "        pack attempt 1 OK Step SUCCEEDED -> 1",
        "    truck OK Wait SUCCEEDED -> 2",
        "    ship OK Step SUCCEEDED attempt 1 -> 2",
        "      ship attempt 1 OK Step SUCCEEDED -> 2",
        "  Invocation OK PENDING",
        "  feedback OK Wait SUCCEEDED -> 3",
        "  Invocation OK SUCCEEDED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("belong to each invocation that was inside of them, in the view of invocations", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* treeOf(body, { view: "invocation" }), [
        "Workflow OK SUCCEEDED",
        "  Invocation OK first PENDING",
        "    charge OK Step SUCCEEDED attempt 1 -> Workflow",
        "      charge attempt 1 OK Step SUCCEEDED -> Workflow",
        "        POST /charges OK 7",
        "    fulfil UNSET",
        "      packing OK",
        "        pack OK Step SUCCEEDED attempt 1 -> Workflow",
        "          pack attempt 1 OK Step SUCCEEDED -> Workflow",
        "      truck UNSET Wait STARTED -> Workflow",
        "  Invocation OK PENDING",
        "    fulfil OK",
        "      truck OK Wait SUCCEEDED -> Workflow",
        "      ship OK Step SUCCEEDED attempt 1 -> Workflow",
        "        ship attempt 1 OK Step SUCCEEDED -> Workflow",
        "    feedback UNSET Wait STARTED -> Workflow",
        "  Invocation OK SUCCEEDED",
        "    feedback OK Wait SUCCEEDED -> Workflow"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("that ended beside something that goes on are not exported again", () =>
    Effect.gen(function* () {
      const { spans } = yield* traced(
        Effect.all([Effect.withSpan(step("quick"), "quickly"), Durable.wait("long", "1 hour")], {
          concurrency: "unbounded"
        }).pipe(Effect.andThen(Durable.wait("longer", "1 hour")), Effect.andThen(step("last")))
      )
      assert.strictEqual(find(spans, "Invocation").length, 3)
      assert.strictEqual(find(spans, "quickly").length, 1)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("end as what they are around: failures, lost races, what is left at the end", () =>
    Effect.gen(function* () {
      const lines = yield* treeOf(
        Effect.gen(function* () {
          const fails = Durable.step("declined", Effect.fail(new kit.CardDeclined({ reason: "stolen" })), {
            error: kit.CardDeclined,
            retry: { times: 0 }
          })
          yield* Effect.exit(Effect.withSpan(fails, "paying"))
          yield* Effect.race(
            Effect.withSpan(Durable.wait("slow", "1 hour"), "slowly"),
            Effect.withSpan(Durable.wait("fast", "1 second"), "fast lane")
          )
        })
      )
      assert.deepStrictEqual(lines, [
        "Workflow OK SUCCEEDED",
        "  paying ERROR !CardDeclined",
        "    declined ERROR Step FAILED attempt 1 !CardDeclined -> 1",
        "      declined attempt 1 ERROR Step FAILED !CardDeclined -> 1",
        "  Invocation OK first PENDING",
        "  fast lane OK",
        "    fast OK Wait SUCCEEDED -> 2",
        "  slowly UNSET",
        "    slow UNSET Wait STARTED -> 2",
        "  Invocation OK SUCCEEDED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("in child contexts, virtual ones, branches and items", () =>
    Effect.gen(function* () {
      const lines = yield* treeOf(
        Effect.gen(function* () {
          yield* Durable.childContext("child", Effect.withSpan(step("inner"), "within"))
          yield* Durable.childContext("virtual", step("loose"), { virtual: true })
          yield* Effect.withSpan(
            Durable.map("items", ["a", "b"], (item) => step(`print ${item}`), { concurrency: 1 }),
            "printing"
          )
        })
      )
      assert.deepStrictEqual(lines, [
        "Workflow OK SUCCEEDED",
        "  child OK RunInChildContext SUCCEEDED -> 1",
        "    within OK",
        "      inner OK Step SUCCEEDED attempt 1 -> 1",
        "        inner attempt 1 OK Step SUCCEEDED -> 1",
        "  virtual OK RunInChildContext -> 1",
        "    loose OK Step SUCCEEDED attempt 1 -> 1",
        "      loose attempt 1 OK Step SUCCEEDED -> 1",
        "  printing OK",
        "    items OK Map SUCCEEDED -> 1",
        "      map-item-0 OK MapIteration SUCCEEDED -> 1",
        "        print a OK Step SUCCEEDED attempt 1 -> 1",
        "          print a attempt 1 OK Step SUCCEEDED -> 1",
        "      map-item-1 OK MapIteration SUCCEEDED -> 1",
        "        print b OK Step SUCCEEDED attempt 1 -> 1",
        "          print b attempt 1 OK Step SUCCEEDED -> 1",
        "  Invocation OK first SUCCEEDED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("can be annotated, and so can the workflow, contexts and attempts", () =>
    Effect.gen(function* () {
      const { spans } = yield* traced(
        Effect.gen(function* () {
          yield* Effect.annotateCurrentSpan("order", "o-1")
          yield* Durable.childContext(
            "child",
            Effect.andThen(Effect.annotateCurrentSpan("part", 1), Durable.step("s", Effect.annotateCurrentSpan("n", 2)))
          )
          yield* Durable.wait("w", "1 second")
          yield* Effect.withSpan(Effect.annotateCurrentSpan("own", true), "plain")
        })
      )
      const value = (name: string, key: string) => find(spans, name).map(({ attributes }) => attributes[key])
      assert.deepStrictEqual(value("Workflow", "order"), ["o-1"])
      assert.deepStrictEqual(value("child", "part"), [1])
      assert.deepStrictEqual(value("s attempt 1", "n"), [2])
      assert.deepStrictEqual(value("plain", "own"), [true])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  for (const view of ["execution", "invocation"] as const) {
    for (const [name, body, expected] of places((text) => Effect.withSpan(Effect.void, text))) {
      it.effect(`are exported once beside what still waits, by ${view}: ${name}`, () =>
        Effect.gen(function* () {
          const { execution, spans } = yield* traced(body, { view })
          assert.isAtLeast(yield* execution.invocations, 2, "nothing was replayed")
          assert.deepStrictEqual(
            spans.flatMap(({ name }) => (expected.includes(name) ? [name] : [])),
            expected
          )
        }).pipe(Effect.provide(TestRunner.layerMemory))
      )
    }
  }

  it.effect("have the same ids, whatever was replayed before them", () =>
    Effect.gen(function* () {
      const ids: Array<ReadonlyArray<string>> = []
      const seen = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
      const execution = yield* kit
        .start(
          Effect.gen(function* () {
            for (const name of ["a", "b"]) {
              yield* Effect.gen(function* () {
                const { spanId, traceId } = yield* Effect.currentSpan
                ids.push([name, spanId, traceId])
                yield* Durable.wait(name, "1 hour")
              }).pipe(Effect.withSpan("same name"))
            }
          }),
          { plugins: [DurableTracer.make()] }
        )
        .pipe(Effect.provideService(Tracer.Tracer, seen))
      yield* execution.result
      const of = (name: string) => new Set(ids.filter(([n]) => n === name).map((id) => id.join(" ")))
      assert.strictEqual(ids.length, 5) // a, then a and b, then both again
      assert.strictEqual(of("a").size, 1)
      assert.strictEqual(of("b").size, 1)
      assert.notStrictEqual(ids[0]![1], ids.find(([name]) => name === "b")![1])
      const [started] = yield* execution.history
      const start = Number(started!.EventTimestamp)
      assert.strictEqual(ids[0]![2], DurableTracer.traceId(execution.arn, start))
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

// ---- the tracer ---------------------------------------------------------------------------------------------------

describe("the tracer", () => {
  it.effect("gives log lines the ids of their trace and span", () =>
    Effect.gen(function* () {
      const lines: Array<Record<string, string>> = []
      const logger = Logger.map(DurableLogger.make(), (line) => line !== undefined && lines.push(JSON.parse(line)))
      const { spans } = yield* traced(
        Effect.gen(function* () {
          yield* Effect.logInfo("body")
          yield* Durable.childContext("child", Effect.andThen(Effect.logInfo("child"), step("x")))
          yield* Durable.step("s", Effect.logInfo("step"))
        })
      ).pipe(Effect.provide(Logger.layer([logger])))
      const idOf = (name: string) => find(spans, name)[0]!.span_id
      assert.deepStrictEqual(
        lines.map(({ message, spanId }) => [message, spanId]),
        [
          ["body", idOf("Workflow")],
          ["child", idOf("child")],
          ["step", idOf("s attempt 1")]
        ]
      )
      for (const { traceId } of lines) assert.strictEqual(traceId, spans[0]!.trace_id)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("tells what an attempt died of, with its stack", () =>
    Effect.gen(function* () {
      class OutOfPaper extends Error {
        override name = "OutOfPaper"
      }
      const { spans } = yield* traced(Effect.exit(Durable.step("print", Effect.die(new OutOfPaper("tray 2")))))
      const [event] = find(spans, "print attempt 1")[0]!.events
      assert.strictEqual(event!.attributes["exception.type"], "OutOfPaper")
      assert.strictEqual(event!.attributes["exception.message"], "tray 2")
      assert.include(String(event!.attributes["exception.stacktrace"]), "DurableTracer.test")
      assert.strictEqual(find(spans, "print")[0]!.events[0]!.attributes["exception.message"], "tray 2")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("says nothing of what the library itself records", () =>
    Effect.gen(function* () {
      const { execution, spans } = yield* traced(
        Effect.gen(function* () {
          yield* Effect.race(Durable.wait("slow", "1 hour"), Durable.wait("fast", "1 second"))
          yield* step("after")
        })
      )
      const recorded = (yield* execution.history).flatMap(({ Name }) => Name ?? [])
      assert.include(recorded, "order-of-completions")
      assert.deepStrictEqual(find(spans, "order-of-completions"), [])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("that gives spans other ids is warned of, once", () =>
    Effect.gen(function* () {
      const console = warnings()
      let n = 0
      const nothing = () => {}
      const methods = { end: nothing, attribute: nothing, event: nothing, addLinks: nothing }
      const other = Tracer.make({
        span: ({ annotations, kind, links, name, parent, sampled, startTime }) => ({
          _tag: "Span",
          spanId: `own-${n++}`,
          traceId: "own",
          status: { _tag: "Started", startTime },
          attributes: new Map(),
          annotations,
          kind,
          links,
          name,
          parent,
          sampled,
          ...methods
        })
      })
      const execution = yield* kit
        .start(step("s"), { plugins: [DurableTracer.make()] })
        .pipe(Effect.provideService(Tracer.Tracer, other), Effect.provide(console.layer))
      yield* execution.result
      assert.strictEqual(console.lines.filter((line) => line.includes("DurableTracer.idGenerator")).length, 1)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it("lends its ids to OpenTelemetry, for the span that is being made", () => {
    const { generateSpanId, generateTraceId } = DurableTracer.idGenerator
    assert.match(generateTraceId(), /^[0-9a-f]{32}$/)
    assert.match(generateSpanId(), /^[0-9a-f]{16}$/)
    assert.notStrictEqual(generateSpanId(), generateSpanId())
  })
})

// ---- no harm -------------------------------------------------------------------------------------------------------

describe("no harm", () => {
  const body = Effect.gen(function* () {
    yield* Effect.withSpan(step("one"), "around")
    yield* Durable.wait("w", "1 second")
    yield* Durable.childContext("child", step("two"), { virtual: true })
    return "done"
  })

  const brokenBy = (tracer: Tracer.Tracer, body: kit.Body) =>
    Effect.gen(function* () {
      const console = warnings()
      const execution = yield* kit
        .start(body, { plugins: [DurableTracer.make()] })
        .pipe(Effect.provideService(Tracer.Tracer, tracer), Effect.provide(console.layer))
      assert.strictEqual(yield* execution.result, "done")
      return console.lines
    })
  const fail = (): never => {
    throw new Error("no spans today")
  }

  it.effect("comes from a tracer that throws, for whatever span", () =>
    Effect.gen(function* () {
      // those of the user's code would throw without this library, too
      const plain = Effect.as(Effect.andThen(step("one"), Durable.wait("w", "1 second")), "done")
      for (const name of ["Workflow", "Invocation", "one", "one attempt 1", "w"]) {
        const span: Tracer.Tracer["span"] = (options) =>
          options.name === name ? fail() : new Tracer.NativeSpan(options)
        const lines = yield* brokenBy(Tracer.make({ span }), plain)
        assert.include(lines.join(), "no spans today", name)
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("comes from spans that throw, also in the body", () =>
    Effect.gen(function* () {
      for (const name of ["around", "child", "two", "w"]) {
        const span: Tracer.Tracer["span"] = (options) =>
          Object.assign(new Tracer.NativeSpan(options), options.name === name ? { attribute: fail, end: fail } : {})
        const lines = yield* brokenBy(Tracer.make({ span }), body)
        assert.include(lines.join(), "a span was lost: Error: no spans today", name)
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  const flushing = (flush: Effect.Effect<void>, options?: DurableTracer.Options) =>
    Effect.gen(function* () {
      const console = warnings()
      const flusher = { flush, register: () => Effect.void }
      const execution = yield* kit
        .start(body, { plugins: [DurableTracer.make({ timeout: "20 millis", ...options })] })
        .pipe(Effect.provideService(OtlpExporter.Flusher, flusher), Effect.provide(console.layer))
      assert.strictEqual(yield* execution.result, "done")
      return console.lines
    })

  it.effect("comes from a flush that never ends, or fails", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* flushing(Effect.never), [
        "effect-durable-lambda: DurableTracer: onInvocationEnd did not end in time. The execution goes on without it.",
        "effect-durable-lambda: DurableTracer: onInvocationEnd did not end in time. The execution goes on without it."
      ])
      const lines = yield* flushing(Effect.void, { flush: Effect.fail("collector is down"), timeout: "30 seconds" })
      assert.include(lines[0], "onInvocationEnd failed: collector is down")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("is there to fear from the flush of each invocation, of exporters and of what the user adds", () =>
    Effect.gen(function* () {
      let flushes = 0
      const own: Array<number> = []
      yield* flushing(
        Effect.sync(() => void flushes++),
        { flush: Effect.sync(() => own.push(flushes)), timeout: "30 seconds" }
      )
      assert.strictEqual(flushes, 2)
      assert.strictEqual(own.length, 2)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})
