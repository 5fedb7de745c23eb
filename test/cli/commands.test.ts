import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { Durable, DurableFunction } from "effect-durable-lambda"
import { replayHistory } from "effect-durable-lambda/testing"
import { Effect, Schema } from "effect"
import * as kit from "./kit.ts"

const folder = kit.makeFolder()
let server: kit.Dev

beforeAll(async () => {
  const config = path.join(folder, "functions.json")
  fs.writeFileSync(config, JSON.stringify([{ file: `${kit.double}#double`, durable: false, env: { FACTOR: "2" } }]))
  const options = ["--json", "--memory", "--port", "0", "--time-scale", "0.01"]
  server = await kit.dev([kit.shop, kit.stubborn, "--config", config, ...options], { cwd: folder })
})

afterAll(async () => {
  await server?.end()
  fs.rmSync(folder, { recursive: true, force: true })
})

/** In a folder below that of the engine: it is found upwards. */
const below = path.join(folder, "src")
fs.mkdirSync(below)

const run = (args: ReadonlyArray<string>, options: kit.RunOptions = {}) => kit.run(args, { cwd: below, ...options })

/** Runs a command that must succeed, and reads its JSON. */
const json = async (...args: ReadonlyArray<string>): Promise<any> => {
  const { code, stderr, stdout } = await run([...args, "--json"])
  assert.strictEqual(code, 0, stderr)
  return JSON.parse(stdout)
}

/** A name for an execution: another one where the test runs again. */
const fresh = (name: string) => `${name}-${randomUUID().slice(0, 8)}`

/** Starts one that waits for an answer, and gives the callback's id when it does. */
const ask = async (name: string) => {
  const { DurableExecutionArn: arn } = await json("start", "approve", "--name", fresh(name))
  const escaped = String(arn).replace(/[$/]/g, "\\$&")
  const [, id = ""] = await server.said(new RegExp(`"executionArn":"${escaped}".*"CallbackId":"([^"]+)"`))
  return { arn, id }
}

describe("start", () => {
  it("waits for a success, and shows it", async () => {
    const payload = path.join(folder, "payload.json")
    fs.writeFileSync(payload, '{ "id": "7", "cents": 999 }\n')
    const ended = await run(["start", "order", "--name", "order-7", "--wait"], { stdin: payload })
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.match(ended.stdout, /^order\/order-7\n/)
    assert.match(ended.stdout, /status +SUCCEEDED/)
    assert.match(ended.stdout, /result +\{"label":"label-7"\}/)
    assert.match(ended.stderr, /^started arn:/)
    assert.notInclude(ended.stdout + ended.stderr, "\u001b")

    // the same again finds it; another payload is refused
    const again = await json("start", "order", "--name", "order-7", "-p", '{ "id": "7", "cents": 999 }')
    const shown = await json("get", "order-7")
    assert.strictEqual(again.DurableExecutionArn, shown.DurableExecutionArn)
    const other = await run(["start", "order", "--name", "order-7", "-p", "{}"])
    assert.strictEqual(other.code, 5)
    assert.match(other.stderr, /already started with another payload/)

    // and what it did can be seen
    const tree = await run(["tree", "order/order-7"])
    assert.strictEqual(
      kit.withoutTimes(tree.stdout),
      `✓ order/order-7  succeeded  TIME  3 invocations
├─ ✓ step charge  TIME  2 attempts
├─ ✓ wait cooling off  TIME
└─ ✓ context shipping
   ├─ ✓ step pack
   └─ ✓ step label
`.replace("shipping\n", `shipping${/shipping {2}/.test(tree.stdout) ? "  TIME" : ""}\n`)
    )
    const nodes = await json("tree", "order-7")
    assert.deepStrictEqual(
      nodes.Operations.map((one: any) => [one.Type, one.Name, one.Status, one.Attempts, one.Operations.length]),
      [
        ["STEP", "charge", "SUCCEEDED", 2, 0],
        ["WAIT", "cooling off", "SUCCEEDED", undefined, 0],
        ["CONTEXT", "shipping", "SUCCEEDED", undefined, 2]
      ]
    )
    assert.strictEqual(nodes.Status, "SUCCEEDED")
    assert.isAbove(nodes.DurationMillis, 0)
  })

  it("ends with 1 when the execution has failed", async () => {
    const ended = await run(["start", "order", "--wait", "--json", "--payload", '{"id":"8","cents":2000}'])
    assert.strictEqual(ended.code, 1)
    const shown = JSON.parse(ended.stdout)
    assert.strictEqual(shown.Status, "FAILED")
    assert.strictEqual(shown.Error.ErrorType, "CardDeclined")
    assert.isAbove(Date.parse(shown.EndTimestamp), Date.parse(shown.StartTimestamp) - 1)

    const tree = await run(["tree", shown.DurableExecutionArn])
    assert.match(tree.stdout, /✗ step charge {2}failed\n +CardDeclined/)
    const got = await run(["get", shown.DurableExecutionArn])
    assert.strictEqual(got.code, 0)
    assert.match(got.stdout, /error +CardDeclined/)
    assert.notMatch(got.stdout, /help/)

    const refused = await run(["start", "order", "--wait", "--payload", '{"id":8}'])
    assert.strictEqual(refused.code, 1)
    assert.match(refused.stdout, /error +InvalidPayload: [^]*help +\S*docs\/troubleshooting\.md#invalidpayload\n/)
  })

  it("ends with 6 when it takes longer than one waits", async () => {
    const name = fresh("short")
    const ended = await run(["start", "patience", "--name", name, "--wait", "--timeout", "300 millis"])
    assert.strictEqual(ended.code, 6)
    assert.match(ended.stderr, /still runs/)
    await run(["stop", name])
  })
})

describe("stop, list", () => {
  it("find it by its name", async () => {
    const long = fresh("long")
    await json("start", "patience", "--name", long)
    await server.said(new RegExp(`durable-execution/${long}/.*"WaitStarted"`))
    const tree = await run(["tree", long])
    assert.match(tree.stdout, /◷ wait for ever {2}waiting/)
    const running = await json("list", "patience", "--name", long, "--status", "running")
    assert.deepStrictEqual(
      running.map((one: any) => one.DurableExecutionName),
      [long]
    )
    await run(["stop", long])
    assert.deepStrictEqual(await json("list", "patience", "--name", long, "--status", "RUNNING"), [])
    assert.strictEqual((await json("list", "--name", long, "--after", "1 hour")).length, 1)
    assert.strictEqual((await json("list", "--name", long, "--before", "2001-01-01")).length, 0)
  })

  it("end it, with an error of one's own, once", async () => {
    const long = fresh("stopped")
    await json("start", "patience", "--name", long)
    const stopped = await run(["stop", long, "--type", "Enough", "--message", "called"])
    assert.strictEqual(stopped.code, 0, stopped.stderr)
    assert.match(stopped.stdout, /^stopped arn:/)
    const waited = await run(["get", long, "--wait", "--json"])
    assert.strictEqual(waited.code, 1)
    const { Error: error, Status } = JSON.parse(waited.stdout)
    assert.deepStrictEqual([Status, error], ["STOPPED", { ErrorType: "Enough", ErrorMessage: "called" }])
    const again = await run(["stop", long])
    assert.deepStrictEqual([again.code, again.stdout], [0, ""])
    assert.match(again.stderr, /had ended before: STOPPED/)
  })
})

describe("callback", () => {
  it("succeed answers, once", async () => {
    const { arn, id } = await ask("yes")
    assert.include((await run(["tree", arn])).stdout, id)
    assert.strictEqual((await run(["callback", "heartbeat", id])).code, 0)
    assert.deepStrictEqual(await json("callback", "succeed", id, "--result", '{"by":"Ada"}'), { CallbackId: id })
    const waited = await run(["get", arn, "--wait"])
    assert.strictEqual(waited.code, 0)
    assert.match(waited.stdout, /result +"approved by Ada"/)
    const late = await run(["callback", "succeed", id])
    assert.strictEqual(late.code, 5)
    assert.match(late.stderr, /^error: The callback is not open/)
  })

  it("fail says why", async () => {
    const { arn, id } = await ask("no")
    const failed = await run(["callback", "fail", id, "--type", "Refused", "--message", "not this month"])
    assert.deepStrictEqual([failed.code, failed.stdout], [0, "answered with a failure\n"])
    const shown = JSON.parse((await run(["get", arn, "--wait", "--json"])).stdout)
    assert.strictEqual(shown.Result, '"Refused: not this month"')
  })
})

describe("history", () => {
  it("prints, and saves as AWS answers and as HTML", async () => {
    const { arn } = await ask("saved")
    const file = path.join(folder, "history.json")
    const html = path.join(folder, "history.html")
    const saved = await run(["history", arn, "--save", file, "--html", html])
    assert.deepStrictEqual([saved.code, saved.stdout], [0, ""])
    const { Events } = JSON.parse(fs.readFileSync(file, "utf8"))
    assert.strictEqual(Events[0].EventType, "ExecutionStarted")
    assert.match(Events[0].EventTimestamp, /^\d{4}-\d\d-\d\dT/)
    assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
    assert.match(fs.readFileSync(html, "utf8"), /^<!doctype html>[^]*approval/i)

    const printed = await run(["history", arn])
    assert.match(kit.withoutTimes(printed.stdout), /^ {3}1 {2}CLOCK {2}▸ execution\n/)
    assert.match(printed.stdout, /◷ callback approval/)
    const reversed = await json("history", arn, "--reverse", "--no-data")
    assert.strictEqual(reversed.Events.at(-1).EventType, "ExecutionStarted")
    // the kit replays it with the code of today
    const Approve = DurableFunction.make("approve", { payload: Schema.Void, success: Schema.String })
    const body = () => Durable.waitForCallback("approval", () => Effect.void).pipe(Effect.map(String))
    const verdict = await Effect.runPromise(replayHistory(Approve, body, JSON.parse(fs.readFileSync(file, "utf8"))))
    assert.strictEqual(verdict._tag, "Replays")
    const nowhere = await run(["history", arn, "--save", path.join(folder, "no/such/folder")])
    assert.strictEqual(nowhere.code, 2)
    assert.match(nowhere.stderr, /cannot be written/)
    await run(["stop", arn])
  })
})

describe("what goes wrong", () => {
  const none = path.join(folder, "..")

  const cases: ReadonlyArray<
    readonly [args: ReadonlyArray<string>, code: number, says: RegExp, options?: kit.RunOptions]
  > = [
    [["start"], 2, /Missing required argument: name/],
    [["strat"], 2, /Did you mean this\?\s+start/],
    [["list", "--bogus"], 2, /Unrecognized flag: --bogus/],
    [["list", "--status", "odd"], 2, /odd/],
    [["list", "--limit", "0"], 2, /no number of executions/],
    [["start", "order", "--payload", "{nope"], 2, /The payload is not JSON.*Quote it/],
    [["start", "order", "--timeout", "3 s"], 2, /"3 s" is no length of time/],
    [["start", "order", "--timeout", "3 seconds"], 2, /add --wait/],
    [["callback", "succeed", "abc", "--result", "yes"], 2, /The result is not JSON/],
    [["get", "--aws", "--endpoint", "http://localhost:1"], 2, /exclude each other/],
    [["get", "--endpoint", "localhost"], 2, /is no URL/],
    [["start", "order", "--aws"], 2, /a version or an alias.*order:live/],
    [["start", "nobody"], 3, /no function "nobody:\$LATEST": serve the file/],
    [["get", "nobody"], 3, /There is no execution "nobody"/],
    [["get", "nobody/order-7"], 3, /no function "nobody"/],
    [
      ["get", "arn:aws:lambda:us-east-1:123456789012:function:order:$LATEST/durable-execution/a/b"],
      3,
      /There is no execution arn:/
    ],
    [["callback", "succeed", "abcd"], 5, /Invalid callback id/],
    [
      ["list"],
      4,
      /No local engine runs in this folder: start one with `effect-durable-lambda dev FILE`/,
      { cwd: none }
    ],
    [
      ["list"],
      4,
      /at http:\/\/127\.0\.0\.1:1 does not answer/,
      { env: { EFFECT_DURABLE_LAMBDA_ENDPOINT: "http://127.0.0.1:1" } }
    ],
    [["get", "a/b", "--endpoint", "http://127.0.0.1:1"], 4, /does not answer.*effect-durable-lambda dev FILE/],
    [
      ["list", "order", "--aws"],
      4,
      /AWS's client is not set up/,
      { env: { AWS_EC2_METADATA_DISABLED: "true", AWS_REGION: "us-east-1", HOME: folder } }
    ],
    [["dev"], 2, /Missing required argument|Name a file/],
    [["dev", "nowhere.ts", "--memory", "--folder", path.join(folder, "second")], 2, /There is no file ".*nowhere\.ts"/],
    [["dev", kit.shop], 5, /An engine runs on .* already: http/, { cwd: folder }],
    [["dev", kit.shop, "--time-scale", "0", "--memory"], 2, /no time scale/]
  ]

  for (const [args, code, says, options] of cases) {
    it(`${args.join(" ")} ends with ${code}`, async () => {
      const ended = await run(args, options)
      assert.match(ended.stderr, says)
      assert.strictEqual(ended.code, code, ended.stderr)
      assert.strictEqual(ended.stdout, "")
      assert.notMatch(ended.stderr, /\n\s+at /) // no stack
    })
  }
})

describe("Ctrl-C", () => {
  it("says while it waits what has failed, and why", async () => {
    const name = fresh("again")
    const waiting = kit.begin(["start", "stubborn", "--name", name, "--wait"], { cwd: below })
    await waiting.said(
      /again-\w+ runs, .* step charge Unavailable: the bank does not answer \(next attempt in 2592000 s\)\n/
    )
    await waiting.end()
    const gaveUp = await run(["get", `stubborn/${name}`, "--wait", "--timeout", "10 millis"])
    assert.strictEqual(gaveUp.code, 6)
    assert.match(gaveUp.stderr, /The execution still runs: wait longer with/)
    await run(["stop", name])
  })

  it("ends waiting with 130, and the execution goes on", async () => {
    const name = fresh("left")
    const waiting = kit.begin(["start", "patience", "--name", name, "--wait"], { cwd: below })
    await waiting.said(/left-\w+ runs/)
    assert.strictEqual(await waiting.end(), 130)
    const { Status } = await json("get", `patience/${name}`)
    assert.strictEqual(Status, "RUNNING")
    await run(["stop", name])
  })
})

describe("help", () => {
  it("shows examples; the version", async () => {
    const help = await run(["--help"])
    assert.strictEqual(help.code, 0)
    for (const word of ["dev", "start", "list", "get", "history", "tree", "stop", "callback", "EXAMPLES"])
      assert.include(help.stdout, word)
    const one = await run(["callback", "fail", "--help"])
    assert.match(one.stdout, /EXAMPLES\n +effect-durable-lambda callback fail/)
    const version = await run(["--version"])
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
  })
})

describe("--aws", () => {
  it("goes where AWS's client is told to", async () => {
    const env = {
      AWS_ENDPOINT_URL_LAMBDA: server.url,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "local",
      AWS_SECRET_ACCESS_KEY: "local"
    }
    const name = fresh("aws")
    const args = ["start", "order:$LATEST", "--aws", "--name", name, "--wait", "--json", "-p", '{"id":"9","cents":1}']
    const started = await run(args, { env, cwd: "/" })
    assert.strictEqual(started.code, 0, started.stderr)
    assert.strictEqual(JSON.parse(started.stdout).Result, '{"label":"label-9"}')
    const tree = await run(["tree", `order/${name}`, "--aws"], { env, cwd: "/" })
    assert.match(tree.stdout, /^✓ order\/aws-\w+ {2}succeeded/)
  })

  it("what AWS has added since is shown, and so is the rest", async () => {
    const arn = "arn:aws:lambda:us-east-1:123456789012:function:order:1/durable-execution/seven/0a"
    const described = {
      DurableExecutionArn: arn,
      DurableExecutionName: "seven",
      FunctionArn: "arn:aws:lambda:us-east-1:123456789012:function:order:1",
      StartTimestamp: 1_700_000_000,
      Status: "PAUSED"
    }
    const event = (EventId: number, EventType: string, more: object) => ({
      EventType,
      EventId,
      EventTimestamp: 1_700_000_000 + EventId,
      ...more
    })
    const Events = [
      event(1, "ExecutionStarted", { ExecutionStartedDetails: { Input: { Payload: "{}" }, ExecutionTimeout: 60 } }),
      event(2, "StepStarted", { Id: "a", Name: "charge", StepStartedDetails: {} }),
      event(3, "StepPaused", { Id: "a", Name: "charge", StepPausedDetails: { Reason: "maintenance" } })
    ]
    const aws = http.createServer((request, response) => {
      const { pathname } = new URL(request.url ?? "", "http://localhost")
      const answer = pathname.endsWith("/history")
        ? { Events }
        : /\/functions\//.test(pathname)
          ? { DurableExecutions: [described] }
          : described
      response.setHeader("content-type", "application/json").end(JSON.stringify(answer))
    })
    await new Promise<void>((resolve) => aws.listen(0, "127.0.0.1", resolve))
    const env = {
      AWS_ENDPOINT_URL_LAMBDA: `http://127.0.0.1:${(aws.address() as AddressInfo).port}`,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "local",
      AWS_SECRET_ACCESS_KEY: "local"
    }
    const said = async (...args: ReadonlyArray<string>) => {
      const { code, stderr, stdout } = await run([...args, "--aws"], { env, cwd: "/" })
      assert.strictEqual(code, 0, stderr)
      return { stderr, stdout }
    }
    const [history, tree, list, get] = await Promise.all([
      said("history", arn),
      said("tree", arn),
      said("list", "order"),
      said("get", arn)
    ])
    aws.close()
    // AWS's client of today drops what it does not know beside the type
    assert.match(history.stdout, /▸ step charge\n.*– StepPaused charge\n/)
    assert.match(tree.stdout, /● step charge {2}running/)
    assert.match(tree.stderr, /Not in this tree, because this version does not know them: StepPaused\./)
    assert.match(list.stdout, /^PAUSED .* order\/seven\n/)
    assert.match(get.stdout, /status +PAUSED\n/)
  })
})
