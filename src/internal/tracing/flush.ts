/**
 * Sends what exporters still hold, before Lambda freezes the sandbox. Exporters are found by the keys of their
 * services, so that nobody carries one who does not use it.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** `effect/observability/OtlpExporter`: of traces, metrics and logs. */
class Flusher extends Context.Service<Flusher, { readonly flush: Effect.Effect<void> }>()(
  "effect/observability/OtlpExporter/Flusher"
) {}

/** `@effect/opentelemetry`: a provider of OpenTelemetry's SDK can be flushed, the one of its API cannot. */
class OtelTracerProvider extends Context.Service<OtelTracerProvider, { readonly forceFlush?: () => Promise<void> }>()(
  "@effect/opentelemetry/Tracer/OtelTracerProvider"
) {}

/** Flushes that are about to begin: two plugins that end together send once. */
const beginning = new WeakMap<object, Deferred.Deferred<void>>()

const once = (key: object, flush: Effect.Effect<unknown>): Effect.Effect<unknown> =>
  Effect.suspend(() => {
    const known = beginning.get(key)
    if (known !== undefined) return Deferred.await(known)
    const done = Deferred.makeUnsafe<void>()
    beginning.set(key, done)
    return Effect.yieldNow.pipe(
      Effect.andThen(Effect.sync(() => beginning.delete(key))),
      Effect.andThen(flush),
      Effect.ensuring(
        Effect.sync(() => {
          beginning.delete(key)
          Deferred.doneUnsafe(done, Effect.void)
        })
      )
    )
  })

/** Flushes all exporters that the services hold, and what the user adds. How long it may take, the caller says. */
export const flush = (own?: Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const services = fiber.context as Context.Context<Flusher | OtelTracerProvider>
    const flusher = Context.getOrUndefined(services, Flusher)
    const provider = Context.getOrUndefined(services, OtelTracerProvider)
    const all: Array<Effect.Effect<unknown, unknown>> = []
    if (flusher !== undefined) all.push(once(flusher, flusher.flush))
    if (provider?.forceFlush !== undefined) {
      all.push(
        once(
          provider,
          Effect.promise(() => provider.forceFlush!())
        )
      )
    }
    if (own !== undefined) all.push(own)
    return Effect.forEach(all, Effect.exit, { concurrency: "unbounded" }).pipe(
      Effect.flatMap((exits) => Effect.all(exits, { discard: true })), // one that fails does not stop the others
      Effect.orDie,
      Effect.withTracerEnabled(false)
    )
  })
