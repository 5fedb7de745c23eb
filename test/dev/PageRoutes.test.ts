import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as http from "node:http"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as raw from "../engine/raw.ts"
import { layer, request } from "./kit.ts"

const own = { "x-effect-durable-lambda": "page" }

/** A callback with a heartbeat, after a step with a result of as many characters as the input says. */
const ask = raw.register("ask", (durable) =>
  Effect.gen(function* () {
    yield* durable.step("size", Effect.succeed("x".repeat(Number(durable.input))))
    const answer = yield* durable.external({
      ...raw.start("question", "CALLBACK"),
      Name: "question",
      CallbackOptions: { TimeoutSeconds: 100_000, HeartbeatTimeoutSeconds: 50_000 }
    })
    return answer.CallbackDetails
  })
)

/** A server with that function, and the calls of the page. */
const setup = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  const { url } = yield* Server.Server
  yield* ask
  const get = (path: string) => Effect.orDie(request(url, "GET", path))
  const post = (path: string, body = "", headers: http.OutgoingHttpHeaders = own) =>
    Effect.orDie(request(url, "POST", path, { headers, body }))
  const waiting = Effect.fnUntraced(function* (size = "5", name?: string) {
    const arn = yield* engine.start({ functionName: "ask:$LATEST", payload: size, executionName: name })
    let callbackId: string | undefined
    while (callbackId === undefined) {
      yield* Effect.sleep("2 millis")
      const operations = yield* engine.operations(arn)
      callbackId = operations.find(({ Type }) => Type === "CALLBACK")?.CallbackDetails?.CallbackId
    }
    return { arn, callbackId, path: `/_dev/executions/${encodeURIComponent(arn)}` }
  })
  return { engine, get, post, url, waiting }
})

/** Reads a stream of events until `enough`, and hangs up. */
const follow = (url: string, enough: (text: string) => boolean, opened: Effect.Effect<unknown>) =>
  Effect.callback<string>((resume) => {
    const sent = http.get(`${url}/_dev/events`, { agent: false }, (response) => {
      let text = ""
      assert.strictEqual(response.headers["content-type"], "text/event-stream")
      Effect.runFork(opened)
      response.on("data", (chunk: Buffer) => {
        text += chunk.toString()
        if (!enough(text)) return
        sent.destroy()
        resume(Effect.succeed(text))
      })
    })
    sent.on("error", () => {})
  })

describe("the page's files", () => {
  it.live("are served with a policy that runs nothing else", () =>
    Effect.gen(function* () {
      const { get } = yield* setup
      const page = yield* get("/?execution=any")
      assert.strictEqual(page.status, 200)
      assert.strictEqual(page.headers["content-type"], "text/html; charset=utf-8")
      const policy = String(page.headers["content-security-policy"])
      for (const part of [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "trusted-types 'none'"
      ]) {
        assert.include(policy, part)
      }
      assert.notMatch(policy, /unsafe|\*/)
      const files = [...page.text.matchAll(/(?:src|href)="(\/_dev[^"]+)"/g)].map(([, file]) => file!)
      assert.deepStrictEqual(files, ["/_dev/page/style.css", "/_dev/page/app.js"])
      // Every module that is imported is there.
      const seen = new Set(files)
      for (const file of seen) {
        const { headers, status, text } = yield* get(file)
        assert.strictEqual(status, 200, file)
        assert.strictEqual(headers["x-content-type-options"], "nosniff")
        assert.notMatch(text, /https?:\/\/(?!www\.w3\.org)/, `${file} asks somebody else`)
        for (const [, name] of text.matchAll(/from "\.\/(\w+\.js)"/g)) seen.add(`/_dev/page/${name}`)
      }
      assert.isAbove(seen.size, 8)
    }).pipe(Effect.provide(layer()))
  )

  it.live("and no others", () =>
    Effect.gen(function* () {
      const { get } = yield* setup
      for (const name of ["nothing.js", "..%2FServer.ts", "%2Fetc%2Fpasswd", "toString", "saved.js%00"]) {
        assert.strictEqual((yield* get(`/_dev/page/${name}`)).status, 404, name)
      }
    }).pipe(Effect.provide(layer()))
  )

  it.live("nor any when the page is turned off", () =>
    Effect.gen(function* () {
      const { get } = yield* setup
      for (const path of ["/", "/_dev/executions", "/_dev/events"]) assert.strictEqual((yield* get(path)).status, 404)
    }).pipe(Effect.provide(layer({}, { page: false })))
  )
})

describe("executions", () => {
  it.live("are listed, newest first, by status and search", () =>
    Effect.gen(function* () {
      const { engine, get, waiting } = yield* setup
      const names = (text: { readonly Executions: ReadonlyArray<{ readonly DurableExecutionName: string }> }) =>
        text.Executions.map(({ DurableExecutionName }) => DurableExecutionName)
      for (const name of ["apple", "pear", "plum"]) yield* waiting("5", name)
      const { arn } = yield* waiting("5", "peach")
      yield* engine.stop(arn)

      const all = yield* get("/_dev/executions")
      assert.deepStrictEqual(names(all.json), ["peach", "plum", "pear", "apple"])
      assert.deepStrictEqual(all.json.Functions, ["ask"])
      assert.strictEqual(all.json.Total, 4)
      assert.notInclude(all.text, "InputPayload")
      assert.deepStrictEqual(names((yield* get("/_dev/executions?search=PEA")).json), ["peach", "pear"])
      assert.deepStrictEqual(names((yield* get("/_dev/executions?status=STOPPED")).json), ["peach"])
      const few = yield* get("/_dev/executions?limit=1&status=RUNNING")
      assert.deepStrictEqual([names(few.json), few.json.Total], [["plum"], 3])
      assert.strictEqual((yield* get("/_dev/executions?limit=x")).status, 400)
    }).pipe(Effect.provide(layer()))
  )

  it.live("give their history from an event on, in milliseconds", () =>
    Effect.gen(function* () {
      const { engine, get, waiting } = yield* setup
      const { arn, path } = yield* waiting()
      const history = yield* engine.history(arn)
      const all = yield* get(path)
      assert.deepStrictEqual(all.json.Events, JSON.parse(JSON.stringify(history)))
      assert.strictEqual(all.json.More, false)
      assert.strictEqual(all.json.Execution.Status, "RUNNING")
      const rest = yield* get(`${path}?after=2`)
      assert.deepStrictEqual(rest.json.Events, all.json.Events.slice(2))
      assert.deepStrictEqual((yield* get(`${path}?after=1000`)).json.Events, [])
      assert.strictEqual((yield* get("/_dev/executions/nobody")).status, 404)
    }).pipe(Effect.provide(layer()))
  )

  it.live("cut long payloads, and give them whole by event", () =>
    Effect.gen(function* () {
      const { get, waiting } = yield* setup
      const { path } = yield* waiting("5000")
      const { json } = yield* get(path)
      const event = json.Events.find(({ EventType }: { readonly EventType: string }) => EventType === "StepSucceeded")
      const { Payload, Truncated } = event.StepSucceededDetails.Result
      assert.deepStrictEqual([Payload.length, Truncated], [4000, true])
      const whole = (yield* get(`${path}/events/${event.EventId}`)).json
      assert.deepStrictEqual(whole.StepSucceededDetails.Result, {
        Payload: JSON.stringify("x".repeat(5000)),
        Truncated: false
      })
      for (const id of ["99", "0", "-1", "x"]) assert.strictEqual((yield* get(`${path}/events/${id}`)).status, 404, id)
    }).pipe(Effect.provide(layer()))
  )

  it.live("tell of the invocation that runs, while it runs", () =>
    Effect.gen(function* () {
      const { engine, get } = yield* setup
      const [atWork, enough] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      yield* raw.register("slow", (durable) =>
        Effect.gen(function* () {
          yield* durable.step("first", Effect.void)
          yield* Deferred.succeed(atWork, undefined)
          yield* Deferred.await(enough)
          return "done"
        })
      )
      const arn = yield* engine.start({ functionName: "slow:$LATEST" })
      yield* Deferred.await(atWork)
      const path = `/_dev/executions/${encodeURIComponent(arn)}`
      const { Invocation } = (yield* get(path)).json
      assert.strictEqual(Invocation?.Number, 1)
      assert.isNumber(Invocation.StartTimestamp)
      yield* Deferred.succeed(enough, undefined)
      yield* engine.await(arn)
      assert.notProperty((yield* get(path)).json, "Invocation")
    }).pipe(Effect.provide(layer()))
  )
})

describe("what changes", () => {
  it.live("is told as it happens, the latest of each", () =>
    Effect.gen(function* () {
      const { engine, url } = yield* setup
      const seen = yield* Deferred.make<void>()
      const text = yield* follow(
        url,
        (read) => {
          if (read.includes("RUNNING")) Deferred.doneUnsafe(seen, Effect.void)
          return read.includes("STOPPED")
        },
        Effect.gen(function* () {
          const arn = yield* engine.start({ functionName: "ask:$LATEST", payload: "5", executionName: "seen" })
          yield* Deferred.await(seen)
          yield* engine.stop(arn)
        }).pipe(Effect.orDie)
      )
      const changes = text
        .split("\n\n")
        .filter((message) => message.startsWith("data: "))
        .map((message) => JSON.parse(message.slice(6)) as Engine.Description)
      assert.deepStrictEqual([...new Set(changes.map(({ DurableExecutionName }) => DurableExecutionName))], ["seen"])
      assert.strictEqual(changes[0]?.Status, "RUNNING")
      assert.strictEqual(changes.at(-1)?.Status, "STOPPED")
      assert.isNumber(changes.at(-1)?.EndTimestamp)
      assert.notInclude(text, "InputPayload")
    }).pipe(Effect.provide(layer()))
  )
})

describe("a server that closes", () => {
  it.live("does not wait for those who follow", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { url } = yield* Scope.provide(Server.make({ grace: "1 hour" }), scope)
      yield* follow(url, (read) => read.includes("retry"), Effect.void).pipe(
        Effect.andThen(
          Effect.callback<void>((resume) => {
            http.get(`${url}/_dev/events`, (response) => {
              response.resume()
              response.once("data", () => resume(Effect.void))
            })
          })
        ),
        Effect.andThen(Scope.close(scope, Exit.void))
      )
    }).pipe(Effect.provide(layer()))
  )
})

describe("actions", () => {
  it.live("have the effects of Lambda's calls", () =>
    Effect.gen(function* () {
      const { engine, post, waiting } = yield* setup
      const succeeded = yield* waiting()
      assert.strictEqual(
        (yield* post(`/_dev/callbacks/${encodeURIComponent(succeeded.callbackId)}/heartbeat`)).status,
        200
      )
      assert.deepStrictEqual(
        (yield* post(`/_dev/callbacks/${encodeURIComponent(succeeded.callbackId)}/succeed`, '{"ok":true}')).json,
        {}
      )
      const { Result } = yield* engine.await(succeeded.arn)
      assert.deepInclude(JSON.parse(Result!), { Result: '{"ok":true}' })
      const late = yield* post(`/_dev/callbacks/${encodeURIComponent(succeeded.callbackId)}/succeed`, "1")
      assert.deepStrictEqual([late.status, late.json.__type], [400, "CallbackTimeoutException"])

      const failed = yield* waiting()
      yield* post(`/_dev/callbacks/${encodeURIComponent(failed.callbackId)}/fail`, '{"ErrorType":"No"}')
      assert.deepInclude(JSON.parse((yield* engine.await(failed.arn)).Result!), { Error: { ErrorType: "No" } })

      const stopped = yield* waiting("7")
      assert.strictEqual((yield* post(`${stopped.path}/stop`, "{}")).status, 200)
      assert.strictEqual((yield* engine.describe(stopped.arn)).Status, "STOPPED")

      const again = (yield* post(`${stopped.path}/start-again`)).json.DurableExecutionArn
      assert.notStrictEqual(again, stopped.arn)
      assert.strictEqual((yield* engine.describe(again)).InputPayload, "7")

      const start = yield* post("/_dev/executions", JSON.stringify({ FunctionName: "ask:$LATEST", Payload: "3" }))
      assert.strictEqual((yield* engine.describe(start.json.DurableExecutionArn)).InputPayload, "3")
      assert.strictEqual((yield* post("/_dev/executions", '{"FunctionName":"nobody:$LATEST"}')).status, 404)
      assert.strictEqual((yield* post("/_dev/executions", "{")).status, 400)
    }).pipe(Effect.provide(layer()))
  )

  it.live("are refused to pages of other sites", () =>
    Effect.gen(function* () {
      const { engine, post, url, waiting } = yield* setup
      const { arn, callbackId, path } = yield* waiting()
      const refused = [
        {}, // a form of any site can send this
        { "content-type": "text/plain" },
        { ...own, origin: "http://evil.example" },
        { ...own, origin: "null" },
        { ...own, "sec-fetch-site": "cross-site" },
        { ...own, host: "evil.example" }
      ]
      for (const headers of refused) {
        for (const target of [
          `${path}/stop`,
          `${path}/start-again`,
          "/_dev/executions",
          `/_dev/callbacks/${encodeURIComponent(callbackId)}/succeed`
        ]) {
          const { json, status } = yield* post(target, "{}", headers)
          assert.deepStrictEqual([status, json.__type], [403, "AccessDeniedException"], JSON.stringify(headers))
        }
      }
      assert.strictEqual((yield* engine.describe(arn)).Status, "RUNNING")
      assert.strictEqual((yield* engine.list()).length, 1)
      assert.strictEqual((yield* post(`${path}/stop`, "{}", { ...own, origin: url })).status, 200)
      // The browser asks first, for what has a header of its own; and nobody says yes.
      const preflight = yield* Effect.orDie(
        request(url, "OPTIONS", `${path}/stop`, { headers: { origin: "http://evil.example" } })
      )
      assert.notProperty(preflight.headers, "access-control-allow-origin")
      assert.notStrictEqual(preflight.status, 200)
    }).pipe(Effect.provide(layer()))
  )
})
