#!/usr/bin/env node
/**
 * The program `effect-durable-lambda`. It looks at the version of Node.js before it loads anything that needs a newer
 * one; all else is in `cli/main.ts`.
 */
import * as module from "node:module"

const [major = 0] = process.versions.node.split(".").map(Number)

if (major < 22) {
  process.stderr.write(
    `effect-durable-lambda needs Node.js 22 or newer; this is ${process.versions.node}. Install one from https://nodejs.org.\n`
  )
  process.exitCode = 2
} else {
  // halves the time that a command takes to start; Node.js has it from 22.8 on
  module.enableCompileCache?.()
  void import("./cli/main.ts").then(({ main }) => main(process.argv.slice(2)))
}
