/**
 * Prints of vitest's JSON report the files that took longest, then how many tests passed and failed:
 * `N passed, N failed`, alone on the last line.
 */
import * as fs from "node:fs"
import * as path from "node:path"

const SLOWEST = 15

const report = process.argv[2]
if (!fs.existsSync(report)) console.log("0 passed, 0 failed")
else {
  const { numFailedTests, numPassedTests, numPendingTests, testResults } = JSON.parse(fs.readFileSync(report, "utf8"))
  const secondsOf = ({ endTime, startTime }) => (endTime - startTime) / 1000
  console.log("the slowest files, in seconds:")
  for (const file of testResults.toSorted((a, b) => secondsOf(b) - secondsOf(a)).slice(0, SLOWEST))
    console.log(`${secondsOf(file).toFixed(1).padStart(6)}  ${path.relative(process.cwd(), file.name)}`)
  // A file that cannot be loaded has no tests that could fail.
  const unloaded = testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
  )
  if (numPendingTests > 0) console.log(`skipped tests: ${numPendingTests}`)
  console.log(`${numPassedTests} passed, ${numFailedTests + unloaded.length} failed`)
}
