/** Copies a folder of ../shared (or the one that an environment variable names) into the project, where its modules resolve. */
import * as fs from "node:fs"
import * as path from "node:path"

export const root = path.resolve(import.meta.dirname, "..")
export const condition = "--conditions=@effect-durable-lambda/source"

export const copyShared = (name, variable) => {
  const from = process.env[variable] ?? path.resolve(root, "../shared", name)
  const to = path.join(root, `.${name}`)
  if (!fs.existsSync(from)) {
    console.error(`${name}: there is no ${from}. Put the ${name} folder there, or name it in ${variable}.`)
    process.exit(2)
  }
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(from, to, { recursive: true })
  // The copy may have been made from a folder that cannot be written.
  for (const entry of [to, ...fs.readdirSync(to, { recursive: true }).map((file) => path.join(to, file))]) {
    fs.chmodSync(entry, fs.statSync(entry).mode | 0o200)
  }
  return to
}
