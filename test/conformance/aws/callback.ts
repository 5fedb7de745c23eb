/** AWS's requirements for callbacks (suites 4 and 7), with AWS's own SDK. */
import { attempts, type DurableContext, fail, handlersOf, messageOf, type Run, second } from "./sdk.ts"

// ---- createCallback --------------------------------------------------------------------------------------------------

type Config = Parameters<DurableContext["createCallback"]>[0]

const awaited =
  (config?: Config): Run =>
  async (context, name) => {
    const [result] = await context.createCallback(name, config)
    return result
  }

/** Something between the creation and the result. */
const after =
  (meanwhile: Run, config?: Config): Run =>
  async (context, name) => {
    const [result] = await context.createCallback(name, config)
    await meanwhile(context, name)
    return await result
  }

const step: Run = (context) => context.step("meanwhile", async () => "done")
const pause =
  (seconds: number): Run =>
  (context) =>
    context.wait("meanwhile", { seconds })

/** What comes or what is wrong, and a wait. */
const caught =
  (config?: Config): Run =>
  async (context, name) => {
    const [result] = await context.createCallback(name, config)
    const message = await result.catch(messageOf)
    await context.wait("pause", { seconds: 2 })
    return message
  }

const number = { serdes: { deserialize: async (text: string | undefined) => Number(text) } }

// ---- waitForCallback -------------------------------------------------------------------------------------------------

const submitted =
  (config?: Parameters<DurableContext["waitForCallback"]>[1]): Run =>
  (context, name) =>
    context.waitForCallback(name, async () => {}, config)

/** 7-6: the submitter does not know its attempt. */
const submitters = new Set<string>()

const status = { serdes: { deserialize: async (text: string | undefined) => JSON.parse(text ?? "{}").status } }

export const handlers = handlersOf({
  "4-1": awaited(),
  "4-2": (context) => awaited()(context, "approval"),
  "4-3": awaited({ timeout: { seconds: 3 } }),
  "4-4": awaited({ heartbeatTimeout: { seconds: 5 } }),
  "4-5": awaited({ heartbeatTimeout: { seconds: 10 } }),
  "4-6": awaited(),
  "4-7": after(step),
  "4-8": after(step, { timeout: { seconds: 5 } }),
  "4-9": after(pause(5)),
  "4-10": after(pause(5)),
  "4-11": after(pause(6), { timeout: { seconds: 3 } }),
  "4-12": caught(),
  "4-13": caught(),
  "4-14": caught({ timeout: { seconds: 3 } }),
  "4-15": async (context, name) => {
    const [result] = await context.createCallback(name, {
      serdes: { deserialize: async (text) => JSON.parse(text ?? "null") }
    })
    return result
  },
  "4-16": async (context, name) => {
    const [result] = await context.createCallback(name, number)
    const count = await result
    return { count, doubled: count * 2 }
  },
  "4-17": async (context, [a, b]) => {
    const [first] = await context.createCallback(a)
    const one = await first
    const [other] = await context.createCallback(b)
    return [one, await other]
  },
  "4-18": async (context, [a, b]) => {
    const [first] = await context.createCallback(a)
    const [other] = await context.createCallback(b)
    const one = await first
    return [one, await other]
  },
  "4-19": async (context, [a, b]) => {
    const [first] = await context.createCallback(a)
    const [other] = await context.createCallback(b)
    const two = await other
    return [await first, two]
  },

  "7-1": submitted(),
  "7-2": (context) => submitted()(context, "approval"),
  "7-3": async (context, name) => {
    let id = ""
    const result = await context.waitForCallback(name, async (callbackId) => void (id = callbackId))
    return id === "" ? result : fail("the submitter ran again")
  },
  "7-4": submitted(),
  "7-5": submitted({ timeout: { seconds: 3 } }),
  "7-6": (context, name) =>
    context.waitForCallback(
      name,
      async (callbackId) => {
        if (submitters.has(callbackId)) return
        submitters.add(callbackId)
        await fail()
      },
      attempts(2)
    ),
  "7-7": (context, name) => context.waitForCallback(name, () => fail(), attempts(2)),
  "7-8": (context, name) => context.runInChildContext("wrapper", (child) => submitted()(child, name)),
  "7-9": submitted({ heartbeatTimeout: { seconds: 3 } }),
  "7-10": async (context, name) => {
    await context.wait("pause", second)
    await context.step("fetch", async () => ({ fixed: "data" }))
    return submitted()(context, name)
  },
  "7-11": submitted(status),
  "7-12": (context, name) => submitted()(context, name).catch(messageOf),
  "7-13": submitted({ heartbeatTimeout: { seconds: 10 } }),
  "7-14": (context, name) => submitted({ timeout: { seconds: 3 } })(context, name).catch(() => "timed-out-handled"),
  "7-15": submitted()
})
