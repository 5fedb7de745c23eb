/** AWS's requirements for chained invokes (suite 5), with AWS's own SDK. Two strings would be a name and a function. */
import { fail, handler, messageOf, type Run, second, shouting } from "./sdk.ts"

/** A function takes longer to start than its caller takes to answer PENDING: AWS's SDK waits 20 ms before it does. */
const COLD_START = 200

const started =
  <A extends ReadonlyArray<unknown>, B>(run: (...args: A) => Promise<B>) =>
  (...args: A): Promise<B> =>
    new Promise((resolve) => setTimeout(resolve, COLD_START)).then(() => run(...args))

const functions = {
  echo: { plain: started(async (event: unknown) => event) },
  measure: { plain: started(async (event: unknown) => String(event).length) },
  "greet:$LATEST": {
    durable: started(handler((context, name) => context.step("greet", async () => `Hello, ${name}!`)))
  },
  "fail:$LATEST": { durable: started(handler(() => fail("the target always fails"))) }
}

const greet: Run = (context, name) => context.invoke("greet", "greet:$LATEST", name)
const message = (error: unknown) => `recovered from: ${messageOf(error)}`
const failing: Run = (context) => context.invoke("fail", "fail:$LATEST", null)

const runs: Record<string, Run> = {
  "5-1": (context, input) => context.invoke("echo", "echo", input),
  "5-2": (context, { name, payload }) => context.invoke(name, "echo", payload),
  "5-3": (context) => context.invoke("echo", { id: 1, tags: ["a", "b"], inner: { flag: true, nothing: null } }),
  "5-4": (context) => context.invoke("echo", null),
  "5-5": failing,
  "5-6": (context, input) => failing(context, input).catch(message),
  "5-7": (context) => context.invoke("measure", "measure", "x".repeat(200 * 1024)),
  "5-8": (context, { payload, tenantId }) => context.invoke("echo", "echo", payload, { tenantId }),
  "5-9": async (context) => {
    const greeting = await greet(context, "Ada")
    await context.wait("pause", second)
    return greeting
  },
  "5-10": async (context, input) => {
    const text = await failing(context, input).catch(message)
    await context.wait("pause", second)
    return text
  },
  "5-11": async (context) => greet(context, await context.step("name", async () => "Ada")),
  "5-12": async (context) => {
    const greeting = await greet(context, "Ada")
    return context.step("shout", async () => String(greeting).toUpperCase())
  },
  "5-13": (context) => context.runInChildContext("child", (child) => greet(child, "Ada")),
  "5-14": async (context) => context.invoke("second", "echo", await greet(context, "Ada")),
  "5-15": (context, input) =>
    context.invoke("echo", "echo", input, {
      payloadSerdes: { ...shouting, serialize: async (text) => JSON.stringify(text?.toUpperCase()) }
    }),
  "5-16": (context, input) =>
    context.invoke("echo", "echo", input, {
      resultSerdes: { serialize: shouting.serialize, deserialize: shouting.serialize }
    })
}

export const handlers = Object.fromEntries(
  Object.entries(runs).map(([id, run]) => [id, { handler: handler(run), functions }])
)
