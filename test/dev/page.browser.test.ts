/**
 * The page in a real browser. Skipped where there is none; CI installs one (`.ci/run`).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { renderHistory } from "../../src/dev/renderHistory.ts"
import * as Server from "../../src/dev/Server.ts"
import { layer } from "./kit.ts"
import * as inPage from "./page/inPage.js"
import * as kit from "./pageKit.ts"

if (kit.executable === undefined) {
  console.warn("page.browser.test.ts: no Chromium here. Install one, or set CHROMIUM to its path, to run these tests.")
}

class Opened extends Context.Service<Opened, Browser>()("test/Opened") {}

/** A page that must not complain: no error, no violation of its policy, no request to anyone else. */
const open = Effect.fnUntraced(function* (url: string, options: BrowserContextOptions = {}) {
  const browser = yield* Opened
  const complaints: Array<string> = []
  const context = yield* Effect.acquireRelease(
    kit.act(() => browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })),
    (context) => Effect.promise(() => context.close())
  )
  const page = yield* kit.act(() => context.newPage())
  page.setDefaultTimeout(120_000) // what is waited for comes; this only ends what hangs
  page.on("pageerror", (error) => complaints.push(String(error.stack)))
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text())
  })
  page.on("request", (request) => {
    const target = request.url()
    if (!target.startsWith(new URL(url).origin === "null" ? url : new URL(url).origin) && target !== "data:,") {
      complaints.push(`asked ${target}`)
    }
  })
  yield* kit.act(() => page.goto(url))
  return { page, complaints }
})

const link = (url: string, arn: string) => `${url}/?execution=${encodeURIComponent(arn)}`

const nodes = (page: Page) => kit.act(() => page.evaluate(inPage.countNodes))

/** The name of the operation that is selected. */
const selected = (page: Page) =>
  kit.act(() => page.locator('[role=treeitem][aria-selected="true"]').getAttribute("aria-label"))

// One after the other: browsers are heavy.
describe("the web page in Chromium", { skip: kit.executable === undefined, concurrent: false }, () => {
  it.layer(Layer.fresh(Layer.effect(Opened, Effect.orDie(kit.browser))), { excludeTestServices: true })((it) => {
    it.effect("starts an execution, sees it suspend, answers its callback, and sees it finish", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const { complaints, page } = yield* open(url)
        yield* kit.act(async () => {
          await page.getByText("No executions yet.").waitFor()
          await page.getByText("live", { exact: true }).waitFor()
          await page.getByText("Start an execution", { exact: true }).click()
          await page.getByLabel("Function", { exact: true }).fill("process-order")
          await page.getByLabel("Input (JSON)").fill(JSON.stringify(kit.order))
          await page.getByRole("button", { name: "Start", exact: true }).click()
          // It suspends at the callback: nothing runs, and the page has said so by itself.
          const callback = page.getByRole("treeitem", { name: "approval, callback, waiting for an answer" })
          await callback.waitFor()
          await callback.click()
          await page.getByLabel("Result (JSON)").fill("{ not json")
          await page.getByRole("button", { name: "Succeed" }).click()
          await page.getByText("This is not JSON").waitFor()
          await page.getByRole("button", { name: "Heartbeat" }).click()
          await page.getByText("Heartbeat: done").waitFor()
          await page.getByLabel("Result (JSON)").fill('{"approvedBy":"Grace"}')
          await page.getByRole("button", { name: "Succeed" }).click()
          await page.locator(".headline .status", { hasText: "succeeded" }).waitFor()
        })
        // The selection is where it was, and the form is gone.
        assert.match((yield* selected(page))!, /^approval, callback, succeeded/)
        assert.strictEqual(yield* kit.act(() => page.locator(".answer").count()), 0)
        assert.include(yield* kit.act(() => page.locator("#details pre").first().innerText()), '"approvedBy": "Grace"')
        assert.match(yield* kit.act(() => page.title()), /succeeded$/)
        const [execution] = yield* engine.list()
        assert.deepInclude(JSON.parse(execution!.Result!), { approvedBy: "Grace" })
        const invocations = (yield* engine.history(execution!.DurableExecutionArn)).filter(
          ({ EventType }) => EventType === "InvocationCompleted"
        ).length
        assert.include(
          yield* kit.act(() => page.locator(".summary").innerText()),
          `process-order · ${invocations} invocations`
        )
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.provide(layer()))
    )

    it.effect("fails a callback, stops an execution after asking, and starts one again", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const start = (executionName: string) =>
          engine.start({ functionName: "process-order:$LATEST", payload: JSON.stringify(kit.order), executionName })
        const failing = yield* start("failing")
        const stopping = yield* start("stopping")
        const { complaints, page } = yield* open(link(url, failing))
        yield* kit.act(async () => {
          await page.getByRole("treeitem", { name: "approval, callback, waiting for an answer" }).click()
          await page.getByLabel("Error type").fill("Refused")
          await page.getByLabel("Error message").fill("not today")
          await page.getByRole("button", { name: "Fail" }).click()
          await page.locator(".headline .status", { hasText: "failed" }).waitFor()
          await page.locator("#details", { hasText: "Refused: not today" }).waitFor()

          await page.goto(link(url, stopping))
          await page.getByRole("button", { name: "Stop" }).click()
        })
        assert.strictEqual((yield* engine.describe(stopping)).Status, "RUNNING")
        yield* kit.act(async () => {
          await page.getByRole("button", { name: "Stop for good?" }).click()
          await page.locator(".headline .status", { hasText: "stopped" }).waitFor()
          await page.getByRole("button", { name: "Start again" }).click()
          await page.locator(".headline .status", { hasText: "running" }).waitFor()
        })
        assert.strictEqual((yield* engine.describe(stopping)).Status, "STOPPED")
        const all = yield* engine.list()
        assert.deepStrictEqual(
          all.map(({ InputPayload }) => InputPayload),
          Array(3).fill(JSON.stringify(kit.order))
        )
        assert.strictEqual(yield* kit.act(() => page.locator("h1").innerText()), all[0]?.DurableExecutionName)
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.provide(layer()))
    )

    it.effect("the list follows what happens, and filters", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const { complaints, page } = yield* open(url)
        const rows = page.locator("tbody tr")
        yield* kit.act(() => page.getByText("live", { exact: true }).waitFor())
        const arn = yield* engine.start({ functionName: "import:$LATEST", payload: "1", executionName: "quick" })
        yield* engine.start({
          functionName: "process-order:$LATEST",
          payload: JSON.stringify(kit.order),
          executionName: "slow"
        })
        yield* kit.act(() => rows.filter({ hasText: "quick" }).getByText("succeeded").waitFor())
        yield* kit.act(async () => {
          await page.getByRole("button", { name: "Running" }).click()
          await page.getByText("1 execution", { exact: true }).waitFor()
          assert.strictEqual(await rows.locator("a").innerText(), "slow")
          await page.getByRole("button", { name: "All" }).click()
          await page.getByLabel("Search executions by name, function or ARN").fill("nothing like it")
          await page.getByText("No execution matches.").waitFor()
          await page.getByLabel("Search executions by name, function or ARN").fill("import")
          await rows.filter({ hasText: "quick" }).click()
        })
        assert.strictEqual(page.url(), `${url}/?${new URLSearchParams({ execution: arn })}`)
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.provide(layer()))
    )

    it.effect("can be used with the keyboard alone", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const arn = yield* engine.start({ functionName: "import:$LATEST", payload: "2", executionName: "keys" })
        yield* engine.start({ functionName: "import:$LATEST", payload: "1", executionName: "newer" })
        yield* engine.await(arn)
        const { complaints, page } = yield* open(url)
        const press = (...keys: ReadonlyArray<string>) =>
          kit.act(async () => {
            for (const key of keys) await page.keyboard.press(key)
          })
        const focus = kit.act(() => page.evaluate(inPage.activeId))
        yield* kit.act(() => page.locator("tbody tr").nth(1).waitFor())
        // From the search to the second row, and into it.
        yield* press("/")
        assert.strictEqual(yield* focus, "search")
        yield* press("ArrowDown", "ArrowDown", "Enter")
        yield* kit.act(() => page.locator("h1", { hasText: "keys" }).waitFor())
        // From the top of the page, the skip link to the operations.
        yield* kit.act(() => page.reload())
        yield* kit.act(() => page.getByRole("treeitem", { name: /^batch 1,/ }).waitFor())
        yield* press("Tab", "Tab", "Enter")
        assert.strictEqual(yield* focus, "operations")
        assert.match((yield* selected(page))!, /^keys, execution, succeeded/)
        yield* press("ArrowDown")
        assert.match((yield* selected(page))!, /^batch 1, context, succeeded/)
        yield* press("ArrowLeft", "ArrowDown")
        assert.match((yield* selected(page))!, /^batch 2/)
        yield* press("ArrowRight")
        assert.match((yield* selected(page))!, /^row 1, step, succeeded$/)
        yield* press("End")
        assert.match((yield* selected(page))!, /^row 124,/)
        yield* press("PageUp", "ArrowLeft")
        assert.match((yield* selected(page))!, /^batch 2/)
        // What is active is there, and in view.
        const active = yield* kit.act(() => page.locator("#operations").getAttribute("aria-activedescendant"))
        assert.isTrue(yield* kit.act(() => page.locator(`[id="${active}"]`).isVisible()))
        yield* press("Enter")
        assert.strictEqual(yield* focus, "details")
        yield* press("Escape")
        assert.strictEqual(yield* focus, "operations")
        yield* press("Escape")
        yield* kit.act(() => page.getByRole("heading", { name: "Executions" }).waitFor())
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.provide(layer()))
    )

    it.effect("shows 3,000 operations with fewer than 2,000 elements, and keeps the selection while more arrive", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const arn = yield* engine.start({ functionName: "import:$LATEST", payload: "24", executionName: "large" })
        const { complaints, page } = yield* open(link(url, arn))
        yield* kit.act(() => page.getByRole("treeitem", { name: /^batch 1,/ }).click())
        assert.strictEqual((yield* engine.await(arn)).Status, "SUCCEEDED")
        yield* kit.act(() => page.getByText("2,999 operations").waitFor())
        assert.match((yield* selected(page))!, /^batch 1,/)
        assert.isBelow(yield* nodes(page), 2000)
        for (const key of ["End", "PageUp", "Home"]) {
          yield* kit.act(() => page.locator("#operations").press(key))
          assert.isBelow(yield* nodes(page), 2000)
          assert.isAbove(yield* kit.act(() => page.getByRole("treeitem").count()), 10)
        }
        yield* kit.act(async () => {
          await page.getByLabel("Find an operation by name, kind or id").fill("batch 17")
          await page.getByText("1 of 2,999 operations").waitFor()
          await page.getByRole("treeitem", { name: /^batch 17,/ }).click()
          await page.getByLabel("Find an operation by name, kind or id").fill("")
        })
        // Found, it is in view in the whole as well.
        assert.match((yield* selected(page))!, /^batch 17,/)
        yield* kit.act(() => page.locator('[aria-selected="true"]').click())
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.provide(layer()))
    )

    it.effect("never takes data for markup", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const hostile = `<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script>`
        const arn = yield* engine.start({ functionName: "process-order:$LATEST", payload: JSON.stringify(hostile) })
        yield* engine.await(arn)
        const { complaints, page } = yield* open(link(url, arn))
        yield* kit.act(() => page.locator("#details", { hasText: "onerror" }).waitFor())
        assert.strictEqual(yield* kit.act(() => page.locator("main img, main script").count()), 0)
        assert.notInclude(yield* kit.act(() => page.title()), "pwned")
        // And if the page ever tried, the browser would refuse.
        const tried = yield* kit.act(() => page.evaluate(inPage.tryMarkup))
        assert.strictEqual(tried, "TypeError")
        assert.deepStrictEqual(
          complaints.filter((text) => !text.includes("TrustedHTML")),
          []
        )
      }).pipe(Effect.provide(layer()))
    )

    it.effect("shows of layered payloads their previews and masks, and the record only when asked", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const { url } = yield* Server.Server
        const arn = yield* engine.start({ functionName: "sealed:$LATEST", payload: "null", executionName: "layers" })
        assert.strictEqual((yield* engine.await(arn)).Status, "SUCCEEDED")
        const { complaints, page } = yield* open(link(url, arn))
        const details = page.locator("#details")
        const select = (name: string) =>
          kit.act(async () => {
            await page.getByRole("treeitem", { name }).click()
            await details.locator("h2", { hasText: name }).waitFor()
          })
        const shown = kit.act(() => details.locator("pre:visible").allInnerTexts())
        const preview = (value: unknown) => JSON.stringify(value, null, 2)

        yield* select("customer")
        assert.deepStrictEqual(yield* shown, [preview({ id: "7", email: "***" })])
        assert.match(yield* kit.act(() => details.innerText()), /aes-256-gcm: preview, [\d.,]+ \w+ on record/)
        yield* kit.act(() => details.getByText("The record", { exact: true }).click())
        const [above, record = ""] = yield* shown
        assert.strictEqual(above, preview({ id: "7", email: "***" }))
        assert.match(record, /"~serdes": "aes-256-gcm"/)
        assert.notMatch(record, /4111|ada@/)

        yield* select("nothing to show")
        assert.deepStrictEqual(yield* shown, [])
        assert.match(yield* kit.act(() => details.innerText()), /aes-256-gcm: no preview, /)

        yield* select("refused")
        assert.deepStrictEqual(yield* shown, [preview({ id: "8" })])
        assert.match(yield* kit.act(() => details.innerText()), /Refused: not today/)
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.provide(layer()))
    )

    it.effect("says when the server is gone, and catches up when it is back", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const first = yield* Scope.make()
        const { port, url } = yield* Scope.provide(Server.make(), first)
        const { page } = yield* open(url)
        yield* kit.act(() => page.getByText("live", { exact: true }).waitFor())
        yield* Scope.close(first, Exit.void)
        yield* kit.act(() => page.getByText("not connected", { exact: true }).waitFor())
        yield* engine.start({ functionName: "import:$LATEST", payload: "1", executionName: "unheard" })
        yield* Server.make({ port })
        yield* kit.act(async () => {
          await page.locator("tbody tr", { hasText: "unheard" }).waitFor()
          await page.getByText("live", { exact: true }).waitFor()
        })
      }).pipe(Effect.provide(layer()))
    )

    it.effect("a saved history is one file that asks for nothing", () =>
      Effect.gen(function* () {
        const engine = yield* kit.register
        const arn = yield* engine.start({ functionName: "import:$LATEST", payload: "2", executionName: "saved" })
        yield* engine.await(arn)
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "page-")), "saved.html")
        fs.writeFileSync(file, renderHistory(yield* engine.history(arn)))
        const { complaints, page } = yield* open(`file://${file}`)
        yield* kit.act(async () => {
          await page.locator("h1", { hasText: "saved" }).waitFor()
          await page.getByRole("treeitem", { name: /^batch 1, context, succeeded/ }).click()
          await page.locator("#details h2", { hasText: "batch 1" }).waitFor()
        })
        assert.strictEqual(yield* kit.act(() => page.getByRole("button", { name: "Start again" }).count()), 0)
        assert.deepStrictEqual(complaints, [])
        fs.rmSync(path.dirname(file), { recursive: true })
      }).pipe(Effect.provide(layer()))
    )

    it.effect("shows thousands of invocations and attempts with fewer than 2,000 elements", () =>
      Effect.gen(function* () {
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "page-")), "long.html")
        fs.writeFileSync(file, renderHistory(kit.longHistory(3000)))
        const { complaints, page } = yield* open(`file://${file}`)
        yield* kit.act(() => page.getByText("3,000 invocations").waitFor())
        assert.isBelow(yield* nodes(page), 2000)
        yield* kit.act(() => page.getByRole("treeitem", { name: /^poll,/ }).click())
        yield* kit.act(() => page.getByText("The last 25 of 3,000.").waitFor())
        assert.isBelow(yield* nodes(page), 2000)
        assert.deepStrictEqual(complaints, [])
        fs.rmSync(path.dirname(file), { recursive: true })
      }).pipe(Effect.provide(layer()))
    )

    for (const colorScheme of ["light", "dark"] as const) {
      it.effect(`text has enough contrast, ${colorScheme}`, () =>
        Effect.gen(function* () {
          const engine = yield* kit.register
          const { url } = yield* Server.Server
          const arn = yield* engine.start({
            functionName: "process-order:$LATEST",
            payload: JSON.stringify(kit.order),
            executionName: "contrast"
          })
          const { page } = yield* open(link(url, arn), { colorScheme })
          yield* kit.act(() => page.getByRole("treeitem", { name: /waiting for an answer/ }).click())
          const poor = yield* kit.act(() => page.evaluate(inPage.poorContrast))
          assert.deepStrictEqual(poor, [])
        }).pipe(Effect.provide(layer()))
      )
    }
  })
})
