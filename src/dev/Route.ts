/**
 * Routes of the local server: what a request is, what answers it, and how the two find each other. Paths are
 * matched as they stand on the wire and decoded afterwards, so that an encoded `/` is never taken for a separator.
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as validate from "../engine/validate.ts"

/** A request as a route gets it. */
export interface Request {
  readonly method: string
  /** The members of the path and of the query, decoded; of a repeated one all values. */
  readonly path: Readonly<Record<string, string>>
  readonly query: ReadonlyMap<string, ReadonlyArray<string>>
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The body, read when it is asked for. Refused when it is larger than the server allows. */
  readonly body: Effect.Effect<Uint8Array, validate.Rejection>
}

/** What a route answers. */
export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A stream is sent as it comes, until it ends or the client goes away. */
  readonly body?: string | Uint8Array | Stream.Stream<Uint8Array> | undefined
}

/** Answers the requests of one method to the paths of one pattern. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  /** `{name}` is one segment, `{name+}` one or more: `/executions/{arn+}/stop`. */
  readonly path: string
  readonly handle: (request: Request) => Effect.Effect<Reply, validate.Rejection>
}

interface Compiled {
  readonly route: Route
  readonly pattern: RegExp
}

const escaped = (text: string) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&")

const compile = (route: Route): Compiled => {
  const pattern = route.path
    .split(/(\{\w+\+?\})/)
    .map((part) => {
      const [, name, greedy] = /^\{(\w+)(\+?)\}$/.exec(part) ?? []
      return name === undefined ? escaped(part) : `(?<${name}>${greedy === "+" ? ".+" : "[^/]+"})`
    })
    .join("")
  return { route, pattern: new RegExp(`^${pattern}$`) }
}

const unknownPath = (method: string, path: string) =>
  new validate.Rejection({
    errorName: "UnknownOperationException",
    status: 404,
    reason: `There is no ${method} ${path.length > 200 ? `${path.slice(0, 200)}…` : path}`
  })

/** Decodes what is percent-encoded. `+` stays what it is: tokens have it. */
const decode = (text: string, where: string): string | validate.Rejection => {
  // try: the platform's way to say that an encoding is broken
  try {
    return decodeURIComponent(text)
  } catch {
    return new validate.Rejection({
      errorName: "SerializationException",
      status: 400,
      reason: `The percent-encoding of ${where} is broken.`
    })
  }
}

/** A request without its body, and the route that answers it. */
export interface Match extends Pick<Request, "path" | "query"> {
  readonly route: Route
}

/** Finds the route of a request by its method and its target, path and query as they stand on the wire. */
export const router = (
  routes: ReadonlyArray<Route>
): ((method: string, target: string) => Match | validate.Rejection) => {
  const compiled = routes.map(compile)
  return (method, target) => {
    const at = target.indexOf("?")
    const rawPath = at < 0 ? target : target.slice(0, at)
    for (const { pattern, route } of compiled) {
      if (route.method !== method) continue
      const groups = pattern.exec(rawPath)
      if (groups === null) continue
      const path: Record<string, string> = {}
      for (const [name, raw] of Object.entries(groups.groups ?? {})) {
        const value = decode(raw, `"${name}" in the path`)
        if (typeof value !== "string") return value
        path[name] = value
      }
      const query = new Map<string, Array<string>>()
      for (const pair of at < 0 ? [] : target.slice(at + 1).split("&")) {
        if (pair === "") continue
        const [rawName = "", ...rest] = pair.split("=")
        const name = decode(rawName, "the query")
        const value = decode(rest.join("="), "the query")
        if (typeof name !== "string") return name
        if (typeof value !== "string") return value
        query.set(name, [...(query.get(name) ?? []), value])
      }
      return { route, path, query }
    }
    return unknownPath(method, rawPath)
  }
}
