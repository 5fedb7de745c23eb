import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { folder } from "../../src/dev/Code.ts"

/** Makes files in a folder as fast as it can, for a while. */
const WRITER = `
const fs = require("node:fs")
const end = Date.now() + 400
process.stdout.write("writes")
for (let i = 0; Date.now() < end; i++) {
  try {
    fs.mkdirSync(process.argv[1] + "/0/" + i, { recursive: true })
    fs.writeFileSync(process.argv[1] + "/0/" + i + "/file", "")
  } catch {}
}`

describe("Code: the folder of versions", () => {
  it.live("closes, although a process that is just being killed still writes there", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const made = yield* Effect.scoped(
        Effect.gen(function* () {
          const made = yield* folder
          yield* Effect.callback<void>((resume) => {
            const writer = spawn(process.execPath, ["-e", WRITER, made])
            writer.once("close", () => Deferred.doneUnsafe(ended, Effect.void))
            writer.stdout.once("data", () => resume(Effect.void))
          })
          assert.isTrue(fs.existsSync(made))
          return made
        })
      )
      yield* Deferred.await(ended)
      fs.rmSync(made, { recursive: true, force: true }) // what the writer may have made anew
    })
  )
})
