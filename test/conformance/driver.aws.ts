/**
 * AWS's own checkpoint server, as the runner plays it with `--http`, and the spans that our handlers export meanwhile.
 *
 * Loaded by plain Node: types are stripped, nothing else.
 */
import { invokedBy, spansOf } from "./spans.ts"

interface Execution {
  readonly arn: string
  readonly history: () => Promise<ReadonlyArray<unknown>>
}

interface Driver {
  readonly driverFor: (target: unknown) => { readonly start: (options: unknown) => Promise<Execution> }
  readonly close: () => Promise<void>
}

export const createDriver = async ({ timeScale }: { readonly timeScale: number }) => {
  const { createServiceDriver } = await import(new URL("../../.conformance/drivers/service.mjs", import.meta.url).href)
  const driver: Driver = await createServiceDriver({ timeScale, complete: true, http: true })
  return {
    driverFor: (target: unknown) => {
      const made = driver.driverFor(target)
      return {
        start: async (options: unknown) => {
          const execution = await made.start(options)
          return Object.assign(execution, {
            spans: async () => spansOf(execution.arn, invokedBy(await execution.history()))
          })
        }
      }
    },
    close: () => driver.close()
  }
}
