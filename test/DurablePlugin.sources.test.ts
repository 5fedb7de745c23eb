/**
 * Where plugins come from. A file of its own: the environment belongs to a whole process, so these wait for each other.
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler, DurablePlugin } from "effect-durable-lambda"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as path from "node:path"
import * as kit from "./operations/kit.ts"
import * as FakeService from "./wire/FakeService.ts"

class Name extends Context.Service<Name, string>()("test/Name") {}

const greet = Durable.step("greet", Effect.succeed("hello"))

describe("where plugins come from", () => {
  const modules = path.join(import.meta.dirname, "fixtures/plugins")

  const environment = Semaphore.makeUnsafe(1)

  const withEnvironment = <A, E>(names: string, effect: () => Effect.Effect<A, E>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => void (process.env.DURABLE_EXECUTION_PLUGINS = names)),
      effect,
      () => Effect.sync(() => void delete process.env.DURABLE_EXECUTION_PLUGINS)
    ).pipe(environment.withPermits(1))

  it.effect("options, the layer, the environment, in this order; several of each", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      ;(globalThis as { pluginOrder?: Array<string> }).pluginOrder = order
      const named = (name: string) =>
        DurablePlugin.make({ name, onInvocationStart: () => Effect.sync(() => void order.push(name)) })
      const service = FakeService.make()
      yield* withEnvironment(`${modules}/good.mjs, ${modules}/default.cjs`, () =>
        Effect.gen(function* () {
          const handler = DurableHandler.make(kit.Anything, () => greet, {
            ...service.handlerOptions,
            layer: DurablePlugin.layer([named("layer 1"), Effect.succeed(named("layer 2"))]),
            plugins: [named("option 1"), named("option 2")]
          })
          yield* service.invoke(handler)
          yield* service.invoke(handler)
        })
      )
      const once = ["option 1", "option 2", "layer 1", "layer 2", "good", "default"]
      assert.deepStrictEqual(order, ["good is made", "default is made", ...once, ...once])
    })
  )

  it.effect("layers add to each other, and their plugins are made with services", () =>
    Effect.gen(function* () {
      const made = DurablePlugin.layer([Effect.map(Name, (name) => DurablePlugin.make({ name }))])
      const plugins = yield* DurablePlugin.Plugins.pipe(
        Effect.provide(made.pipe(Layer.provideMerge(DurablePlugin.layer([DurablePlugin.make({ name: "first" })])))),
        Effect.provideService(Name, "second")
      )
      assert.deepStrictEqual(
        plugins.map(({ hooks }) => hooks.name),
        ["first", "second"]
      )
      assert.isTrue(plugins.every(DurablePlugin.isDurablePlugin))
      assert.isFalse(DurablePlugin.isDurablePlugin({}))
    })
  )

  it.effect("a module that cannot be loaded fails the execution, before its state is read", () =>
    Effect.gen(function* () {
      for (const [module, reason] of [
        ["not-installed-plugin", /Cannot find module 'not-installed-plugin'/],
        [`${modules}/none.mjs`, /exports no durableExecutionPluginProvider/],
        [`${modules}/version.mjs`, /pluginApiVersion 1/],
        [`${modules}/aws.mjs`, /what DurablePlugin.make has made/],
        [`${modules}/throws.mjs`, /Error: on purpose/],
        [`${modules}/good.mjs,`, /names ""/]
      ] as const) {
        const service = FakeService.make()
        const answer = yield* withEnvironment(module, () =>
          service.invoke(
            DurableHandler.make(kit.Anything, () => greet, service.handlerOptions),
            service.event({ Operations: [], NextMarker: "more" })
          )
        )
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "InvalidOperation")
        assert.match(answer.Error?.ErrorMessage ?? "", reason)
        assert.match(answer.Error?.ErrorMessage ?? "", /^DURABLE_EXECUTION_PLUGINS names "/)
        assert.deepStrictEqual([service.requests, service.stateRequests], [[], []])
      }
    })
  )

  it.live("a module that hangs ends the invocation before Lambda's deadline, which is tried again", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const { error } = yield* Effect.flip(
        withEnvironment(`${modules}/hangs.mjs`, () =>
          service.invoke(
            DurableHandler.make(kit.Anything, () => greet, service.handlerOptions),
            service.event(),
            { getRemainingTimeInMillis: () => 600 }
          )
        )
      )
      assert.strictEqual(error._tag, "OutOfTime")
      assert.match(error.message, /^DURABLE_EXECUTION_PLUGINS names ".*hangs\.mjs", which was still being loaded/)
      assert.deepStrictEqual(service.requests, [])
    })
  )

  it.effect("an empty variable names none", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const answer = yield* withEnvironment("  ", () =>
        service.invoke(DurableHandler.make(kit.Anything, () => greet, service.handlerOptions))
      )
      assert.strictEqual(answer.Status, "SUCCEEDED")
    })
  )
})
