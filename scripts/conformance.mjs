/**
 * Runs AWS's conformance requirements on three services: AWS's own checkpoint server ("aws"), the engine of this library
 * ("engine"), and the engine as `Server` puts it behind HTTP ("http"). The handlers are this library's ("ours",
 * test/conformance/handlers), and those of AWS's own SDK ("aws", test/conformance/aws): a mistake that this library and
 * its engine share cannot hide from them.
 *
 *     npm run conformance -- [--handlers ours|aws] [--service aws|engine|http] [--suite step,wait] [--id 1-1,2-1] [other options of run.mjs]
 *
 * Without `--handlers` and `--service`: ours everywhere, AWS's over HTTP. Fails when a requirement fails or has no
 * handler, and when a handler of AWS's SDK passes what it is known to fail.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { condition, copyShared, root } from "./shared.mjs"

const SUITES = "step,wait,child,callback,invoke,wait_for_condition,wait_for_callback,parallel,map,plugin"
/** Of AWS's plugins for OpenTelemetry. There is none for AWS's JavaScript SDK. */
const TELEMETRY = "otel-execution,otel-invocation,otel-long-running"
const suitesOf = { ours: `${SUITES},${TELEMETRY}`, aws: SUITES }

const folders = { ours: "test/conformance/handlers", aws: "test/conformance/aws" }

/** What AWS's SDK 2.4.0 fails on every service, its own included: its plugins are not told what is asked for. */
const lacks = {
  "10-19": "no isFirstInvocation at the end of an invocation",
  "10-21": "no endTimestamp of an attempt that is retried",
  "10-23": "no isReplayingChildren of a context's function"
}

const drivers = {
  aws: ["--driver", "./test/conformance/driver.aws.ts"],
  engine: ["--driver", "./test/conformance/driver.ts"],
  http: ["--driver", "./test/conformance/driver.http.ts"]
}

// ---- options -----------------------------------------------------------------------------------------

const args = process.argv.slice(2)

/** Takes an option of this script out of those of run.mjs. */
const take = (name, values) => {
  const at = args.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`))
  if (at < 0) return undefined
  const [option, next] = args.slice(at, at + 2)
  const value = option.includes("=") ? option.slice(option.indexOf("=") + 1) : next
  args.splice(at, option.includes("=") ? 1 : 2)
  if (values.includes(value)) return value
  console.error(`conformance: --${name} is one of ${values.join(", ")}, not "${value}"`)
  process.exit(2)
}

const chosen = { handlers: take("handlers", Object.keys(folders)), service: take("service", Object.keys(drivers)) }
const selects = args.some((arg) => /^--(suite|id)\b/.test(arg))

const runs = Object.keys(folders)
  .flatMap((handlers) => Object.keys(drivers).map((service) => ({ handlers, service })))
  .filter(({ handlers, service }) =>
    chosen.handlers === undefined && chosen.service === undefined
      ? handlers === "ours" || service === "http"
      : handlers === (chosen.handlers ?? "ours") && (chosen.service ?? service) === service
  )

// ---- runs --------------------------------------------------------------------------------------------

const home = copyShared("conformance", "CONFORMANCE_HOME")
const results = []
let broken = false

/** Runs the runner to its end, and gives what it found; nothing when it did not come to its end. */
const play = ({ handlers, service }, options) =>
  new Promise((resolve) => {
    const json = path.join(root, `.tmp/conformance-${handlers}-${service}.json`)
    fs.rmSync(json, { force: true })
    const args = ["--handlers", folders[handlers], ...drivers[service], "--json", json, ...options]
    const child = spawn(process.execPath, [condition, path.join(home, "run.mjs"), ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data))
    child.on("close", (status) => {
      console.log(`\n${handlers} on ${service}: ${options.join(" ")}\n${output}`)
      if (fs.existsSync(json)) return resolve(JSON.parse(fs.readFileSync(json, "utf8")))
      console.error(`  did not run to its end (exit code ${status})`)
      broken = true
      resolve([])
    })
  })

const knownOf = (handlers, id) => (handlers === "aws" ? lacks[id] : undefined)
const hasFailed = (status) => status === "FAILED" || status === "OPTIONAL_FAILED"

// They mostly wait, and have nothing in common: all at once.
const found = await Promise.all(
  runs.map((run) => play(run, selects ? args : [...args, "--suite", suitesOf[run.handlers]]))
)

for (const [index, run] of runs.entries()) {
  const last = new Map(found[index].map((result) => [result.id, result]))
  // Time runs ten times as fast as the requirements say. On a busy machine a wait may be over before an invocation has
  // answered: what has failed is played again, alone and slower, in the end as slow as it is meant.
  for (const scale of ["0.5", "1"]) {
    const failed = [...last.values()].filter(
      ({ id, status }) => hasFailed(status) && knownOf(run.handlers, id) === undefined
    )
    if (failed.length === 0) break
    const ids = failed.map(({ id }) => id).join(",")
    const again = await play(run, [...args, "--id", ids, "--concurrency", "1", "--time-scale", scale])
    for (const result of again) last.set(result.id, result)
  }
  for (const result of last.values()) results.push({ ...run, known: knownOf(run.handlers, result.id), ...result })
}

// ---- the table ---------------------------------------------------------------------------------------

const PASSED = ["PASSED"]
const isBad = ({ known, status }) => {
  if (known !== undefined) return status !== "FAILED"
  return !PASSED.includes(status) && status !== "OPTIONAL_FAILED"
}

const suites = [...new Set(results.map(({ suite }) => suite))]
const rows = [["suite", ...runs.map(({ handlers, service }) => `${handlers} on ${service}`)]]
for (const suite of [...suites, undefined]) {
  const cells = runs.map(({ handlers, service }) => {
    const here = results.filter(
      (one) => one.handlers === handlers && one.service === service && (suite ?? one.suite) === one.suite
    )
    return `${here.filter(({ status }) => PASSED.includes(status)).length} of ${here.length}`
  })
  rows.push([suite ?? "all", ...cells])
}
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
console.log()
for (const row of rows) {
  console.log(
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join("  ")
  )
}

const told = results.filter((result) => isBad(result) || !PASSED.includes(result.status))
if (told.length > 0) console.log()
for (const { description, handlers, id, known, service, status } of told) {
  const expected = known === undefined ? "" : status === "FAILED" ? ` (expected: ${known})` : " (EXPECTED TO FAIL)"
  console.log(`${status.padEnd(15)}  ${handlers} on ${service}  ${id.padEnd(6)}  ${description}${expected}`)
}
if (results.length === 0 && !broken) {
  console.error("conformance: no requirement was selected")
  broken = true
}
process.exit(broken || results.some(isBad) ? 1 : 0)
