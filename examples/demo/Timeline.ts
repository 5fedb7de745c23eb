/** Prints what happens, as it happens, in columns: seconds, invocation, mark, kind, name, details. */
import { styleText } from "node:util"
import type { History } from "effect-durable-lambda"

type Style = Parameters<typeof styleText>[0]

/** Colours only where somebody looks, and only if he has not said no. */
const coloured = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (style: Style, text: string) => (coloured ? styleText(style, text) : text)
const write = (line: string) => process.stdout.write(`${line.trimEnd()}\n`)

/** 5400 s is "1 h 30 min". */
const duration = (seconds: number) => {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.ceil(seconds % 60)]
  return parts.flatMap((n, i) => (n === 0 ? [] : [`${n} ${["h", "min", "s"][i]}`])).join(" ") || "0 s"
}

const marks = {
  "▶": "cyan",
  "·": "dim",
  "✓": "green",
  "✗": "red",
  "⟳": "yellow",
  "◷": "blue",
  "‖": "dim",
  "✎": "dim"
} as const

export const make = () => {
  const began = performance.now()
  /** The invocation that runs, if one does. */
  let invocation = 0
  let invocations = 0
  const told = new Set<string>()

  const row = (mark: keyof typeof marks, kind: string, name: string, details = "", style?: Style) => {
    const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(5)
    const number = invocation === 0 ? "  " : `#${invocation}`
    const columns = `${kind.padEnd(8)} ${name.padEnd(15)} ${details}`
    write(
      `${paint("dim", `${seconds} ${number}`)} ${paint(marks[mark], mark)} ${style ? paint(style, columns) : columns}`
    )
  }

  /** What the reader has just seen, in a sentence; once. */
  const explain = (sentence: string) => {
    if (told.has(sentence)) return
    told.add(sentence)
    write(`${" ".repeat(8)} ${paint(["italic", "dim"], `  ${sentence}`)}`)
  }

  const heading = (text: string) => write(`\n${paint("bold", text)}\n`)

  const event = (event: History.Event) => {
    const { Name: name = "" } = event
    switch (event.EventType) {
      case "ContextStarted":
        return row("▶", "context", name)
      case "ContextSucceeded":
        return row("✓", "context", name, event.ContextSucceededDetails?.Result.Payload)
      case "StepSucceeded":
        return row("✓", "step", name, event.StepSucceededDetails?.Result.Payload)
      case "StepFailed": {
        const details = event.StepFailedDetails
        const error = details?.Error.Payload?.ErrorType ?? "failed"
        const delay = details?.RetryDetails.NextAttemptDelaySeconds
        return delay === undefined
          ? row("✗", "step", name, error)
          : row("⟳", "step", name, `${error}, next attempt in ${duration(delay)}`)
      }
      case "WaitStarted":
        return row("◷", "wait", name, duration(event.WaitStartedDetails?.Duration ?? 0))
      case "WaitSucceeded":
        return row("✓", "wait", name)
      case "InvocationCompleted": {
        const error = event.InvocationCompletedDetails?.Error?.Payload
        if (error !== undefined) row("✗", "process", "ended", error.ErrorType, "red")
        else row("‖", "process", "released", "", "dim")
        invocation = 0
        return
      }
      case "ExecutionSucceeded":
        return row("✓", "order", "succeeded", event.ExecutionSucceededDetails?.Result.Payload)
      case "ExecutionFailed":
        return row("✗", "order", "failed", event.ExecutionFailedDetails?.Error.Payload?.ErrorMessage)
      default:
        return
    }
  }

  return {
    event,
    explain,
    heading,
    /** A line of plain text. */
    line: (text: string) => write(text),
    invoked: (pid: number | undefined, fresh: boolean) => {
      invocations += 1
      invocation = invocations
      row("▶", "process", fresh ? "started" : "invoked", `pid ${pid}`, "cyan")
    },
    ran: (step: string) => row("·", "step", step, "runs", "dim"),
    logged: (message: string) => row("✎", "log", message),
    killed: () => row("✗", "process", "SIGKILL", "by the demo", "red"),
    invocations: () => invocations
  }
}
