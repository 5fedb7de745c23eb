/** Builds src into dist (or into the folder given): JavaScript, declarations, and files that are not TypeScript. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const out = path.resolve(root, process.argv[2] ?? "dist")

fs.rmSync(out, { recursive: true, force: true })
const { status } = spawnSync(
  process.execPath,
  [path.join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json", "--outDir", out],
  { cwd: root, stdio: "inherit" }
)
if (status !== 0) process.exit(1)
fs.cpSync(path.join(root, "src"), out, {
  recursive: true,
  filter: (file) => !file.endsWith(".ts")
})
