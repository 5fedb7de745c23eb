import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { walk } from "../scripts/source.ts"

const run = promisify(execFile)
const root = path.resolve(import.meta.dirname, "..")
const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))

/** A folder of a user, who has installed the package as it would be published. */
const user = path.join(root, ".tmp/package")
const installed = path.join(user, "node_modules/effect-durable-lambda")

const install = async () => {
  fs.rmSync(user, { recursive: true, force: true })
  fs.mkdirSync(installed, { recursive: true })
  fs.writeFileSync(path.join(user, "package.json"), "{}") // not a part of this project any more
  fs.copyFileSync(path.join(root, "package.json"), path.join(installed, "package.json"))
  await run(process.execPath, [path.join(root, "scripts/build.mjs"), path.join(installed, "dist")]).catch((error) => {
    throw new Error(`the build failed: ${error.stderr}\n${error.stdout}`)
  })
}

/** Imports each specifier in a process of its own, as a user would; gives "ok" or the error's code. */
const importAll = async (specifiers: ReadonlyArray<string>): Promise<Record<string, string>> => {
  const script = `
    const results = {}
    for (const specifier of ${JSON.stringify(specifiers)}) {
      results[specifier] = await import(specifier).then(() => "ok", (error) =>
        error.code === "ERR_PACKAGE_PATH_NOT_EXPORTED" ? error.code : String(error.stack))
    }
    console.log(JSON.stringify(results))
    process.exit(0)`
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: user })
  return JSON.parse(stdout.trim().split("\n").at(-1)!)
}

/** The command line as npm links it, and its engine with a function of the user's own. */
const runsAsProgram = async () => {
  const bins = path.join(user, "node_modules/.bin")
  fs.mkdirSync(bins)
  for (const [name, file] of Object.entries<string>(manifest.bin)) {
    fs.chmodSync(path.join(installed, file), 0o755)
    fs.symlinkSync(path.join(installed, file), path.join(bins, name))
  }
  // when the tests themselves run under npx or npm, what it was told must not reach this one
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
  const env = { ...Object.fromEntries(own), NODE_OPTIONS: "" }
  const help = await run("npx", ["--no", "--", "effect-durable-lambda", "--help"], { cwd: user, env })
  assert.match(help.stdout, /SUBCOMMANDS[^]*\bdev\b[^]*EXAMPLES/)

  fs.writeFileSync(
    path.join(user, "hello.mjs"),
    `import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
    import { Effect, Schema } from "effect"
    const Hello = DurableFunction.make("hello", { payload: Schema.String, success: Schema.String })
    export const hello = DurableHandler.make(Hello, (name) => Durable.step("greet", Effect.succeed("Hello, " + name)))`
  )
  const program = path.join(bins, "edl")
  const dev = execFile(process.execPath, [program, "dev", "hello.mjs", "--port", "0", "--json"], { cwd: user, env })
  const ended = new Promise<number | null>((resolve) => dev.on("close", resolve))
  await new Promise<void>((resolve, reject) => {
    dev.stdout!.on("data", (chunk) => String(chunk).includes('"type":"ready"') && resolve())
    void ended.then(() => reject(new Error("dev has ended")))
  })
  const args = [program, "start", "hello", "--wait", "--json", "--payload", '"Ada"']
  const { stdout } = await run(process.execPath, args, { cwd: user, env })
  assert.strictEqual(JSON.parse(stdout).Result, '"Hello, Ada"')
  const html = path.join(user, "hello.html")
  await run(process.execPath, [program, "history", "--html", html], { cwd: user, env })
  assert.include(fs.readFileSync(html, "utf8"), "<title>")
  dev.kill("SIGINT")
  assert.strictEqual(await ended, 0)
}

const subpaths = (folder: string, extension: string): ReadonlyArray<string> =>
  walk(folder)
    .filter((file) => file.endsWith(extension) && !file.endsWith(`.d${extension}`))
    .map((file) => path.relative(folder, file).slice(0, -extension.length))

const closed = /^bin$|^cli\/|^internal\/|^operations\/|^dev\/page\/|^index$|\/index$/

describe("package", () => {
  it("asks for effect and AWS's client, and for nothing else", () => {
    assert.deepStrictEqual(Object.keys(manifest.peerDependencies).sort(), ["@aws-sdk/client-lambda", "effect"])
    for (const kind of ["dependencies", "optionalDependencies", "bundledDependencies"])
      assert.notProperty(manifest, kind)
  })

  it("pins its dev dependencies", () => {
    for (const [name, version] of Object.entries(manifest.devDependencies))
      assert.match(`${name}@${version}`, /@\d[\w.-]+$/)
  })

  it("opens every public module and closes the others", async () => {
    await install()
    // what is read at run time: the web page
    for (const file of fs.readdirSync(path.join(root, "src/dev/page"))) {
      assert.isTrue(fs.existsSync(path.join(installed, "dist/dev/page", file)), `dist has no dev/page/${file}`)
    }
    const modules = subpaths(path.join(installed, "dist"), ".js")
    const open = ["effect-durable-lambda/testing", "effect-durable-lambda/engine", "effect-durable-lambda"]
    const expected = Object.fromEntries([
      ...open.map((specifier) => [specifier, "ok"]),
      ...[...modules, "operations/any"].map((name) => [
        `effect-durable-lambda/${name}`,
        closed.test(name) ? "ERR_PACKAGE_PATH_NOT_EXPORTED" : "ok"
      ])
    ])
    assert.deepStrictEqual(await importAll(Object.keys(expected)), expected)
    assert.isAbove(Object.values(expected).filter((result) => result !== "ok").length, 1)
    await runsAsProgram()
  })

  it("publishes dist, src and the documents", async () => {
    const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root })
    const [{ files }] = JSON.parse(stdout) as [{ files: ReadonlyArray<{ path: string }> }]
    const roots = new Set(files.map((file) => file.path.split("/")[0]))
    const expected = ["CHANGELOG.md", "LICENSE", "README.md", "dist", "docs", "examples", "package.json", "src"]
    assert.deepStrictEqual(
      [...roots].filter((name) => !expected.includes(name!)),
      []
    )
    for (const name of [
      "docs/llms.txt",
      "docs/README.md",
      "docs/troubleshooting.md",
      "docs/api/Durable.md",
      "examples/01-hello.ts"
    ]) {
      assert.isTrue(
        files.some((file) => file.path === name),
        `${name} is not in the package`
      )
    }
    for (const name of subpaths(path.join(root, "src"), ".ts")) {
      assert.isTrue(
        files.some((file) => file.path === `src/${name}.ts`),
        `src/${name}.ts is not in the package`
      )
    }
  })

  it("has a condition for the sources in every export", () => {
    for (const [name, value] of Object.entries<Record<string, string> | string | null>(manifest.exports)) {
      if (value === null || typeof value === "string") continue
      assert.deepStrictEqual(Object.keys(value), ["@effect-durable-lambda/source", "types", "default"], name)
    }
  })
})
