/** Prints how many tests passed and failed, from vitest's JSON report: `N passed, N failed`, alone on the last line. */
import * as fs from "node:fs"

const report = process.argv[2]
if (!fs.existsSync(report)) console.log("0 passed, 0 failed")
else {
  const { numFailedTests, numPassedTests, numPendingTests, testResults } = JSON.parse(fs.readFileSync(report, "utf8"))
  // A file that cannot be loaded has no tests that could fail.
  const unloaded = testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
  )
  if (numPendingTests > 0) console.log(`skipped tests: ${numPendingTests}`)
  console.log(`${numPassedTests} passed, ${numFailedTests + unloaded.length} failed`)
}
