/**
 * Bundles the order workflow for Lambda, once for all tools: `node examples/deploy/bundle.ts` writes build/index.mjs.
 *
 *     node bundle.ts              AWS's client is in the bundle, at the version that was tested
 *     node bundle.ts --external   the bundle is a third as large, and uses the client of Lambda's Node.js runtime
 */
import { build } from "esbuild"
import * as path from "node:path"

const here = import.meta.dirname

export interface Options {
  /** Leave AWS's packages out: Lambda's Node.js runtime has them. */
  readonly external?: boolean
  /** What is bundled. */
  readonly entry?: string
  /** Where index.mjs goes. */
  readonly outdir?: string
}

/** Gives the path of the bundle. */
export const bundle = async (options: Options = {}): Promise<string> => {
  const outfile = path.join(options.outdir ?? path.join(here, "build"), "index.mjs")
  await build({
    entryPoints: [options.entry ?? path.join(here, "../order/handler.ts")],
    outfile,
    bundle: true,
    minify: true,
    platform: "node",
    target: "node22",
    format: "esm",
    // esbuild leaves out what is not used only of modules, not of CommonJS.
    mainFields: ["module", "main"],
    conditions: [
      "module",
      // AWS's client is imported by name, so that what is not used of it is left out.
      "@effect-durable-lambda/aws-in-bundle",
      // This repository's sources; a project of your own does not need it.
      "@effect-durable-lambda/source"
    ],
    external: options.external === true ? ["@aws-sdk/*"] : [],
    alias: {
      // Lambda's is required, not imported: see client.ts.
      ...(options.external === true ? { "@aws-sdk/client-lambda": path.join(here, "client.ts") } : undefined),
      // A function's credentials are in its environment: all other ways to find some are a fifth of the bundle.
      "@aws-sdk/credential-provider-node": path.join(here, "credentials.ts"),
      // To import node:http takes 20 ms, to require it 3: see http.ts.
      "node:http": path.join(here, "http.ts")
    },
    // Effect's Schema reads some globals in a way that keeps schemas that nobody uses: 5 to 10 KB, see globals.ts.
    inject: [path.join(here, "globals.ts")],
    define: {
      "globalThis.File": "globalFile",
      "globalThis.RegExp": "globalRegExp",
      "globalThis.URL": "globalURL",
      "globalThis.URLSearchParams": "globalURLSearchParams",
      "globalThis.Uint8Array": "globalUint8Array"
    },
    // Parts of AWS's client require Node's modules, which a module can only by a function of its own.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);"
    },
    logLevel: "warning"
  })
  return outfile
}

if (process.argv[1] === import.meta.filename) {
  console.log(await bundle({ external: process.argv.includes("--external") }))
}
