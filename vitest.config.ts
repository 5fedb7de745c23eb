import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

// Lets `import … from "effect-durable-lambda"` mean src/*.ts, see "exports" in package.json.
// Without "module": Node gets these conditions too, and what AWS's packages have under it is for bundlers only.
const conditions = ["@effect-durable-lambda/source", ...defaultServerConditions.filter((one) => one !== "module")]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["./vitest.setup.ts"],
    sequence: { concurrent: true },
    // No test asserts how long something takes; these only end what hangs. So no test has a limit of its own: on a busy
    // machine a process, a compiler or a browser takes many times as long as anybody would think.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // .ci/run counts the tests in this file.
    reporters: process.env.CI ? ["default", ["json", { outputFile: ".tmp/vitest.json" }]] : ["default"]
  }
})
