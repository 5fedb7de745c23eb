/** Tells which tests have passed only when they ran once more: nobody else would. */
export default class {
  #flaky = []
  onTestCaseResult(test) {
    const { flaky, retryCount } = test.diagnostic() ?? {}
    if (flaky) this.#flaky.push(`${test.module.relativeModuleId} > ${test.fullName} (retries: ${retryCount})`)
  }
  onTestRunEnd() {
    if (this.#flaky.length > 0) console.log(`passed only at a further attempt:\n  ${this.#flaky.join("\n  ")}`)
  }
}
