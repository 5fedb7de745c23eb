/**
 * Runs AWS's conformance requirements against test/conformance/handlers, on three services: AWS's own checkpoint server
 * ("aws"), the engine of this library ("engine"), and the engine as `Server` puts it behind HTTP ("http").
 *
 *     npm run conformance -- [--suite step,wait,child,plugin] [--id 1-1,2-1] [--service aws|engine|http] [other options of run.mjs]
 *
 * Fails when a requirement of these suites fails or has no handler.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { condition, copyShared, root } from "./shared.mjs"

/** Those whose operations exist. */
const SUITES = "step,wait,child,parallel,map,callback,invoke,wait_for_condition,wait_for_callback,plugin"

const { tokens } = parseArgs({ allowPositionals: true, strict: false, tokens: true })
const value = (name) => {
  const at = tokens.findIndex((token) => token.name === name)
  return at < 0 ? undefined : (tokens[at].value ?? tokens[at + 1]?.value)
}
const args = process.argv.slice(2)
const service = value("service")
if (service !== undefined)
  args.splice(
    args.findIndex((arg) => arg.startsWith("--service")),
    args.includes(`--service=${service}`) ? 1 : 2
  )
if (value("suite") === undefined && value("id") === undefined) args.push("--suite", SUITES)

const handlers = "test/conformance/handlers"
const driver = "test/conformance/driver.ts"
const httpDriver = "test/conformance/driver.http.ts"
const services = [
  { name: "aws", options: ["--http"], needs: handlers },
  { name: "engine", options: ["--driver", `./${driver}`], needs: driver },
  { name: "http", options: ["--driver", `./${httpDriver}`], needs: httpDriver }
].filter(({ name }) => service === undefined || name === service)
if (services.length === 0) {
  console.error(`conformance: no service "${service}", only aws, engine and http`)
  process.exit(2)
}

const home = copyShared("conformance", "CONFORMANCE_HOME")
const results = []
let broken = false

for (const { name, needs, options } of services) {
  console.log(`\n${name}: ${args.join(" ")}`)
  if (!fs.existsSync(path.join(root, needs)) || !fs.existsSync(path.join(root, handlers))) {
    console.error(`  ${fs.existsSync(path.join(root, handlers)) ? needs : handlers} is missing`)
    broken = true
    continue
  }
  const json = path.join(root, `.tmp/conformance-${name}.json`)
  fs.rmSync(json, { force: true })
  const { status } = spawnSync(
    process.execPath,
    [condition, path.join(home, "run.mjs"), "--handlers", handlers, ...options, "--json", json, ...args],
    { cwd: root, stdio: "inherit" }
  )
  if (status !== 0) broken = true
  if (!fs.existsSync(json)) {
    console.error(`  did not run to its end (exit code ${status})`)
    continue
  }
  for (const result of JSON.parse(fs.readFileSync(json, "utf8"))) results.push({ service: name, ...result })
}

// ---- the table ---------------------------------------------------------------------------------------

const statuses = ["PASSED", "PARTLY_PASSED", "OPTIONAL_FAILED", "FAILED", "UNCOVERED"]
const rows = [["service", "suite", ...statuses.map((status) => status.toLowerCase().replace("_", " "))]]
for (const { name } of services) {
  for (const suite of new Set(results.filter(({ service }) => service === name).map(({ suite }) => suite))) {
    const here = results.filter((result) => result.service === name && result.suite === suite)
    rows.push([
      name,
      suite,
      ...statuses.map((status) => String(here.filter((one) => one.status === status).length || "-"))
    ])
  }
}
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
console.log()
for (const row of rows) {
  console.log(
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join("  ")
  )
}

const bad = results.filter(({ status }) => status === "FAILED" || status === "UNCOVERED")
if (bad.length > 0) console.log()
for (const { description, id, service, status } of bad) {
  console.log(`${status.padEnd(9)}  ${service.padEnd(6)}  ${id.padEnd(6)}  ${description}`)
}
if (results.length === 0 && !broken) {
  console.error("conformance: no requirement was selected")
  broken = true
}
process.exit(broken || bad.length > 0 ? 1 : 0)
