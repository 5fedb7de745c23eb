/**
 * The pictures of the README, taken by a real browser: npm run screenshots
 */
import * as Effect from "effect/Effect"
import * as path from "node:path"
import * as Server from "../../src/dev/Server.ts"
import { layer } from "./kit.ts"
import * as kit from "./pageKit.ts"

const docs = path.resolve(import.meta.dirname, "../../docs")

const program = Effect.gen(function* () {
  const engine = yield* kit.register
  const { url } = yield* Server.Server
  const browser = yield* kit.browser
  const start = (functionName: string, executionName: string, payload: unknown) =>
    engine.start({ functionName: `${functionName}:$LATEST`, executionName, payload: JSON.stringify(payload) })
  const waiting = yield* start("process-order", "order-1041", kit.order)
  yield* Effect.sleep("4 seconds")
  yield* kit.act(async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const context = await browser.newContext({ viewport: { width: 1200, height: 720 }, colorScheme })
      const page = await context.newPage()
      await page.goto(`${url}/?execution=${encodeURIComponent(waiting)}`)
      await page.getByRole("treeitem", { name: /waiting for an answer/ }).click()
      await page.getByLabel("Result (JSON)").fill('{ "approvedBy": "Grace" }')
      await page.getByRole("heading", { name: "Answer" }).click()
      await page.screenshot({ path: path.join(docs, `page-${colorScheme}.png`), animations: "disabled" })
      await context.close()
    }
  })
})

Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layer()))).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 1
})
