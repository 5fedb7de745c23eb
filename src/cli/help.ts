/**
 * Where the documentation that comes with the package explains an error of this library.
 */
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as DurableError from "../DurableError.ts"

/** The entry of an ErrorType in docs/troubleshooting.md, relative to where the command runs; none for anybody else's. */
export const entryOf = (errorType: string | undefined): string | undefined => {
  // classes of DurableError are named as their tags; its other exports are no error types
  if (errorType === undefined || errorType === "Operation" || !/^[A-Z]/.test(errorType)) return undefined
  if (!Object.hasOwn(DurableError, errorType)) return undefined
  const guide = fileURLToPath(new URL("../../docs/troubleshooting.md", import.meta.url))
  return `${path.relative(process.cwd(), guide)}#${errorType.toLowerCase()}`
}
