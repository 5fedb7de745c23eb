/**
 * Sees what a workflow's body asks of JavaScript itself, past Effect: the time, chance, the network. Everything works as
 * ever; only calls from bodies that are looked at are noted.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import { createRequire, syncBuiltinESMExports } from "node:module"
import { DurableContext } from "../DurableContext.ts"

/** What is not the same in every run, or is done again in each. */
export type Impure =
  | "Math.random"
  | "Date.now"
  | "new Date"
  | "performance.now"
  | "crypto.randomUUID"
  | "crypto.getRandomValues"
  | "crypto.randomBytes"
  | "crypto.randomInt"
  | "fetch"

/** One such call. */
export interface ImpureCall {
  readonly what: Impure
  /** File and line, where they are known. */
  readonly at: string | undefined
}

/** Told of the impure calls of the bodies that run with it. */
export const Probe: Context.Reference<((call: ImpureCall) => void) | undefined> = Context.Reference(
  "effect-durable-lambda/testing/Probe",
  { defaultValue: (): ((call: ImpureCall) => void) | undefined => undefined }
)

// ---- who calls ---------------------------------------------------------------------------------------------

/** The place that called what this module has put in the place of something, or nothing when that is no user's. */
const caller = (): { readonly at: string | undefined } | undefined => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 12
  const frames = (new Error().stack ?? "").split("\n").slice(1)
  Error.stackTraceLimit = stackTraceLimit
  const outside = frames.filter((frame) => !/[\\/]testing[\\/]probes\.[jt]s/.test(frame))
  // Effect itself asks for the time where that decides nothing
  if (/[\\/]node_modules[\\/]effect[\\/]/.test(outside[0] ?? "")) return undefined
  const user = outside.find((frame) => !frame.includes("node_modules") && !frame.includes("node:"))
  const [, at] = /((?:file:\/\/)?(?:[A-Za-z]:)?[^\s()]+:\d+):\d+\)?$/.exec(user ?? "") ?? []
  return { at: at?.replace(/^file:\/\//, "").replace(`${process.cwd()}/`, "") }
}

const note = (what: Impure): void => {
  const fiber = Fiber.getCurrent()
  if (fiber === undefined) return
  const context = fiber.context as Context.Context<DurableContext>
  const current = Context.getOrUndefined(context, DurableContext)
  if (current === undefined || current.inStep) return
  const probe = Context.get(context, Probe)
  if (probe === undefined) return
  const found = caller()
  if (found !== undefined) probe({ what, at: found.at })
}

// ---- what is looked at ---------------------------------------------------------------------------------------

/** Puts a function in the place of another; gives the way back. */
const replace = <K extends string>(target: { [P in K]?: unknown }, key: K, what: Impure): (() => void) => {
  const original = target[key]
  if (typeof original !== "function") return () => {}
  const noted = function (this: unknown, ...args: ReadonlyArray<unknown>) {
    note(what)
    return Reflect.apply(original, this, args) as unknown
  }
  Object.defineProperty(noted, "name", { value: original.name })
  target[key] = noted
  return () => {
    if (target[key] === noted) target[key] = original
  }
}

const replaceDate = (): (() => void) => {
  const Original = globalThis.Date
  const noted: DateConstructor = new Proxy(Original, {
    construct: (target, args, newTarget) => {
      if (args.length === 0) note("new Date")
      return Reflect.construct(target, args, newTarget === noted ? target : newTarget) as object
    },
    apply: (target, self, args) => {
      note("new Date")
      return Reflect.apply(target, self, args) as unknown
    },
    get: (target, key) =>
      key === "now"
        ? () => {
            note("Date.now")
            return target.now()
          }
        : (Reflect.get(target, key) as unknown)
  })
  globalThis.Date = noted
  Original.prototype.constructor = noted
  return () => {
    Original.prototype.constructor = Original
    if (globalThis.Date === noted) globalThis.Date = Original
  }
}

const install = (): (() => void) => {
  const nodeCrypto = createRequire(import.meta.url)("node:crypto") as Record<string, unknown>
  const undo = [
    replace(Math, "random", "Math.random"),
    replaceDate(),
    replace(performance, "now", "performance.now"),
    replace(globalThis, "fetch", "fetch"),
    replace(nodeCrypto, "randomUUID", "crypto.randomUUID"),
    replace(nodeCrypto, "randomBytes", "crypto.randomBytes"),
    replace(nodeCrypto, "randomInt", "crypto.randomInt")
  ]
  const web = globalThis.crypto as typeof globalThis.crypto | undefined
  if (web !== undefined && web !== (crypto as unknown)) {
    undo.push(
      replace(web, "randomUUID", "crypto.randomUUID"),
      replace(web, "getRandomValues", "crypto.getRandomValues")
    )
  }
  syncBuiltinESMExports()
  return () => {
    for (const back of undo.reverse()) back()
    syncBuiltinESMExports()
  }
}

let users = 0
let uninstall: (() => void) | undefined

/** Looks for as long as the scope is open. */
export const watching: Effect.Effect<void, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    if (users++ === 0) uninstall = install()
  }),
  () =>
    Effect.sync(() => {
      if (--users > 0) return
      uninstall?.()
      uninstall = undefined
    })
)

/** What to write instead. */
export const advice: Readonly<Record<Impure, string>> = {
  "Math.random": "Use Effect's Random, which is the same in every run of the body",
  "Date.now": "Use Effect's Clock or DateTime.now, which are the same in every run of the body",
  "new Date": "Use Effect's Clock or DateTime.now, which are the same in every run of the body",
  "performance.now": "Use Effect's Clock, which is the same in every run of the body",
  "crypto.randomUUID": "Make it in a step, whose result is recorded",
  "crypto.getRandomValues": "Make it in a step, whose result is recorded",
  "crypto.randomBytes": "Make it in a step, whose result is recorded",
  "crypto.randomInt": "Use Effect's Random, which is the same in every run of the body",
  fetch: "Call it in a step, which runs once"
}
