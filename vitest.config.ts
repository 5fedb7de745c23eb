import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

// Lets `import … from "effect-durable-lambda"` mean src/*.ts, see "exports" in package.json.
// Without "module": Node gets these conditions too, and what AWS's packages have under it is for bundlers only.
const conditions = ["@effect-durable-lambda/source", ...defaultServerConditions.filter((one) => one !== "module")]

/** Processes, servers, deadlines in real time, browsers: what the machine has a say in. */
const machine = [
  "test/cli/*.test.ts",
  "test/dev/*.test.ts",
  "test/engine/{killed,speed}.test.ts",
  "test/examples/{11,12,16,18,21}-*.test.ts",
  "test/examples/{demo,deploy}.test.ts",
  "test/{operations/deadline,operations/payloadTime,DurableHandler.inTime,testing/layers}.test.ts",
  "test/{bundle,garbage,package,DurableClient,DurableExecutionClient,DurableHandler.loading}.test.ts"
]

/** What cannot be another on Node 22 than on Node 24: what the compiler, the bundler and the browser do, and counts. */
const ofNoVersion = [
  "test/types/**",
  "test/{api,api.examples,architecture,bundle,docs}.test.ts",
  "test/dev/page.browser.test.ts",
  "test/dev/page/**",
  "test/conformance/crashes.test.ts"
]
const isNode22 = process.versions.node.startsWith("22.")

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    setupFiles: ["./vitest.setup.ts"],
    sequence: { concurrent: true },
    // No test asserts how long something takes; these only end what hangs. So no test has a limit of its own: on a busy
    // machine a process, a compiler or a browser takes many times as long as anybody would think.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // .ci/run counts the tests in this file.
    reporters: process.env.CI
      ? ["default", ["json", { outputFile: ".tmp/vitest.json" }], "./scripts/flaky-reporter.mjs"]
      : ["default"],
    // The laws of random programs are those of any Node: there a tenth of the programs.
    env: isNode22 ? { LAWS_SHARE: "0.1" } : {},
    projects: [
      {
        extends: true,
        test: { name: "code", include: ["test/**/*.test.ts"], exclude: [...machine, ...(isNode22 ? ofNoVersion : [])] }
      },
      {
        extends: true,
        // In CI what fails here runs once more; the reporter tells what has passed only then.
        test: { name: "machine", include: machine, exclude: isNode22 ? ofNoVersion : [], retry: process.env.CI ? 1 : 0 }
      }
    ]
  }
})
