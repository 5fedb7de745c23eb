/**
 * What the tests of the server share: an engine behind it, and AWS's own client before it.
 */
import { LambdaClient, type LambdaClientConfig } from "@aws-sdk/client-lambda"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as http from "node:http"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Timers from "../../src/engine/Timers.ts"

export const second = 0.01

/** A server of its own for every test; a second takes 10 ms, unless there are other timers. */
export const layer = (
  options: Engine.Options = {},
  server: Server.Options = {},
  timers: Layer.Layer<Timers.Timers> = Timers.layerScaled({ timeScale: second })
) =>
  Layer.fresh(
    Server.layerWith(server).pipe(
      Layer.provideMerge(Engine.layerWith(options)),
      Layer.provide([Store.layerMemory, timers]),
      Layer.orDie
    )
  )

export const lambda = (url: string, config: LambdaClientConfig = {}) =>
  new LambdaClient({
    endpoint: url,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    maxAttempts: 1,
    ...config
  })

/** AWS's client, pointed at the server of the test. */
export const client = Effect.acquireRelease(
  Effect.map(Server.Server, ({ url }) => lambda(url)),
  (made) => Effect.sync(() => made.destroy())
)

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  readonly json: any
}

/** A request as it is written, without a client that would put it right. */
export const request = (
  url: string,
  method: string,
  path: string,
  options: { readonly headers?: http.OutgoingHttpHeaders; readonly body?: string | Uint8Array } = {}
) =>
  Effect.callback<Answer, Error>((resume) => {
    const { hostname, port } = new URL(url)
    const sent = http.request(
      { hostname, port, method, path, headers: options.headers ?? {}, agent: false },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString()
          let json: unknown
          try {
            json = JSON.parse(text)
          } catch {
            json = undefined
          }
          resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text, json }))
        })
      }
    )
    sent.on("error", (error) => resume(Effect.fail(error)))
    sent.end(options.body)
  })
