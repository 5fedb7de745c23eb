/** Packs the package as npm would publish it, and checks the tarball with publint and "are the types wrong". */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const out = path.join(root, ".tmp/pack")
const bin = (name) => path.join(root, "node_modules/.bin", name)
const run = (command, args) => execFileSync(command, args, { cwd: root, stdio: "inherit" })

fs.rmSync(out, { recursive: true, force: true })
fs.mkdirSync(out, { recursive: true })
run("npm", ["pack", "--silent", "--pack-destination", out]) // its prepack script builds
const tarball = path.join(out, fs.readdirSync(out)[0])

run(process.execPath, [bin("publint"), "run", tarball, "--strict"])

// "./*" is a pattern, which attw does not expand: name the modules that it stands for.
const modules = fs
  .readdirSync(path.join(root, "src"))
  .filter((file) => file.endsWith(".ts") && file !== "index.ts" && file !== "bin.ts")
  .map((file) => file.slice(0, -3))
run(process.execPath, [
  bin("attw"),
  tarball,
  "--profile",
  "esm-only",
  "--format",
  "table-flipped",
  "--entrypoints",
  ".",
  "testing",
  "engine",
  "dev",
  ...modules
])
