/**
 * The ten core suites have 171 requirements; each has a handler of this library and one of AWS's SDK. The 44 for
 * OpenTelemetry have handlers of this library.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"

/** How many requirements each suite has. */
const SIZES = [20, 5, 18, 19, 16, 13, 15, 22, 20, 23]
const ids = SIZES.flatMap((size, suite) => Array.from({ length: size }, (_, i) => `${suite + 1}-${i + 1}`))

const telemetry = [
  ...["execution", "invocation"].flatMap((view) => Array.from({ length: 20 }, (_, i) => `otel-${view}-${i + 1}`)),
  ...Array.from({ length: 4 }, (_, i) => `otel-long-running-${i + 1}`)
]

const handled = (folder: string) =>
  Effect.promise(async () => {
    const files = fs.readdirSync(new URL(`./${folder}`, import.meta.url))
    const modules = await Promise.all(files.map((file) => import(`./${folder}/${file}`)))
    return modules.flatMap(({ handlers = {} }) => Object.keys(handlers))
  })

for (const [folder, expected] of Object.entries({ handlers: [...ids, ...telemetry], aws: ids })) {
  it.effect(`every requirement has a handler in "${folder}", and every handler is of one requirement`, () =>
    Effect.gen(function* () {
      assert.deepStrictEqual([ids.length, telemetry.length], [171, 44])
      assert.sameMembers(yield* handled(folder), expected)
    })
  )
}
