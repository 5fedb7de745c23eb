import * as aws from "@aws-sdk/client-lambda"
import { assert, describe, it } from "@effect/vitest"
import { DurableExecutionClient } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import * as FakeService from "./wire/FakeService.ts"

const root = path.resolve(import.meta.dirname, "..")
const run = promisify(execFile)

// ---- classification --------------------------------------------------------------------------------------

/** Names of all errors that AWS's client models. */
type ErrorName = {
  [K in keyof typeof aws]: (typeof aws)[K] extends abstract new (...args: any) => {
    readonly name: infer N extends string
  }
    ? string extends N
      ? never
      : N
    : never
}[keyof typeof aws]

/**
 * `final` ends the execution, `again` is worth another invocation. An error that a later version of the client
 * models is a missing key here: decide what it is.
 */
const table: Readonly<Record<ErrorName, readonly [status: number, outcome: "final" | "again"]>> = {
  AliasLimitExceededException: [400, "final"],
  CallbackTimeoutException: [400, "final"],
  CapacityProviderLimitExceededException: [400, "final"],
  CodeArtifactUserDeletedException: [400, "final"],
  CodeArtifactUserFailedException: [400, "final"],
  CodeArtifactUserPendingException: [400, "final"],
  CodeSigningConfigNotFoundException: [400, "final"],
  CodeStorageExceededException: [400, "final"],
  CodeVerificationFailedException: [400, "final"],
  DurableExecutionAlreadyStartedException: [409, "final"],
  EC2AccessDeniedException: [502, "again"],
  EC2ThrottledException: [502, "again"],
  EC2UnexpectedException: [502, "again"],
  EFSIOException: [400, "final"],
  EFSMountConnectivityException: [400, "final"],
  EFSMountFailureException: [400, "final"],
  EFSMountTimeoutException: [400, "final"],
  ENILimitReachedException: [502, "again"],
  ENINotReadyException: [502, "again"],
  FunctionVersionsPerCapacityProviderLimitExceededException: [400, "final"],
  InvalidCodeSignatureException: [400, "final"],
  InvalidParameterValueException: [400, "final"],
  InvalidRequestContentException: [400, "final"],
  InvalidRuntimeException: [502, "again"],
  InvalidSecurityGroupIDException: [502, "again"],
  InvalidSubnetIDException: [502, "again"],
  InvalidZipFileException: [502, "again"],
  KMSAccessDeniedException: [502, "final"],
  KMSDisabledException: [502, "final"],
  KMSInvalidStateException: [502, "final"],
  KMSNotFoundException: [502, "final"],
  ModeNotSupportedException: [400, "final"],
  NoPublishedVersionException: [400, "final"],
  PolicyLengthExceededException: [400, "final"],
  PreconditionFailedException: [400, "final"],
  ProvisionedConcurrencyConfigNotFoundException: [400, "final"],
  PublicPolicyException: [400, "final"],
  RecursiveInvocationException: [400, "final"],
  RequestTooLargeException: [400, "final"],
  ResourceConflictException: [409, "final"],
  ResourceInUseException: [400, "final"],
  ResourceNotFoundException: [404, "final"],
  ResourceNotReadyException: [502, "again"],
  S3FilesMountConnectivityException: [400, "final"],
  S3FilesMountFailureException: [400, "final"],
  S3FilesMountTimeoutException: [400, "final"],
  SerializedRequestEntityTooLargeException: [400, "final"],
  ServiceException: [500, "again"],
  ServiceQuotaExceededException: [400, "final"],
  SnapStartException: [400, "final"],
  SnapStartNotReadyException: [409, "final"],
  SnapStartRegenerationFailureException: [409, "final"],
  SnapStartTimeoutException: [409, "final"],
  SubnetIPAddressLimitReachedException: [502, "again"],
  TooManyRequestsException: [429, "again"],
  UnsupportedMediaTypeException: [400, "final"]
}

const modelled = Object.entries(aws as unknown as Readonly<Record<string, unknown>>).flatMap(([name, value]) =>
  typeof value === "function" && value.prototype instanceof aws.LambdaServiceException
    ? [[name, value as new (options: object) => aws.LambdaServiceException] as const]
    : []
)

describe("DurableExecutionClient: classification (wire-protocol section 26.1)", () => {
  it.effect("the table has every modelled error, at run time too", () =>
    Effect.sync(() =>
      assert.sameMembers(
        Object.keys(table),
        modelled.map(([name]) => name)
      )
    )
  )

  for (const [name, Class] of modelled) {
    const [status, outcome] = table[name as ErrorName]
    it.effect(`${name} (${status}) is ${outcome}`, () =>
      Effect.sync(() => {
        const thrown = new Class({ message: "why", $metadata: { httpStatusCode: status } })
        for (const call of ["CheckpointDurableExecution", "GetDurableExecutionState"] as const) {
          const failed = DurableExecutionClient.classify(call, thrown)
          assert.strictEqual(failed.scope, outcome === "final" ? "execution" : "invocation")
          assert.strictEqual(failed.transient, outcome === "again")
          assert.strictEqual(failed.errorName, name)
          assert.strictEqual(failed.message, `${call} failed: ${name} (HTTP ${status}): why`)
        }
      })
    )
  }

  const others: ReadonlyArray<readonly [what: string, thrown: unknown, scope: string, transient: boolean]> = [
    ["an unmodelled 4xx", FakeService.awsError(403, "AccessDeniedException"), "execution", false],
    ["an unmodelled 5xx", FakeService.awsError(599, "Strange"), "invocation", true],
    ["no response", FakeService.awsError(undefined, "TimeoutError"), "invocation", true],
    ["a response below 400 that could not be read", FakeService.awsError(200, "TypeError"), "invocation", true],
    ["a stale token", FakeService.awsError(400, "Unknown", "invalid CHECKPOINT token"), "invocation", false],
    [
      "stale-token words of a 5xx",
      FakeService.awsError(500, "ServiceException", "Invalid checkpoint token"),
      "invocation",
      true
    ],
    ["a KMS name without a status", FakeService.awsError(undefined, "KMSDisabledException"), "execution", false],
    [
      "a status that is no number",
      { name: "X", message: "m", $metadata: { httpStatusCode: "400" } },
      "invocation",
      true
    ],
    ["a string", "boom", "invocation", true],
    ["null", null, "invocation", true],
    ["undefined", undefined, "invocation", true]
  ]
  for (const [what, thrown, scope, transient] of others) {
    it.effect(`${what}: ends the ${scope}${transient ? ", worth sending again" : ""}`, () =>
      Effect.sync(() => {
        const failed = DurableExecutionClient.classify("CheckpointDurableExecution", thrown)
        assert.strictEqual(failed.scope, scope)
        assert.strictEqual(failed.transient, transient)
      })
    )
  }
})

// ---- a real client over HTTP -----------------------------------------------------------------------------

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage["headers"]
  readonly body: any // whatever was sent
}

interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body: string
}

/** A tiny HTTP server on loopback that answers as told and keeps what it was asked. */
const server = (answers: ReadonlyArray<Answer>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const seen: Array<Seen> = []
      const left = [...answers]
      const http = createServer(async (request, response) => {
        const chunks: Array<Buffer> = []
        for await (const chunk of request) chunks.push(chunk)
        const text = Buffer.concat(chunks).toString()
        seen.push({
          method: request.method,
          url: request.url,
          headers: request.headers,
          body: text === "" ? undefined : JSON.parse(text)
        })
        const { body, headers = {}, status = 200 } = left.shift() ?? { status: 500, body: "{}" }
        response.writeHead(status, { "content-type": "application/json", ...headers })
        response.end(body)
      })
      await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve))
      return { http, seen, endpoint: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
    }),
    ({ http }) =>
      Effect.promise(
        () =>
          new Promise((resolve) => {
            http.closeAllConnections()
            http.close(resolve)
          })
      )
  )

const credentials = { accessKeyId: "local", secretAccessKey: "local" }
const checkpoint = (request: Partial<Parameters<DurableExecutionClient.Calls["checkpoint"]>[0]> = {}) =>
  DurableExecutionClient.DurableExecutionClient.use((client) =>
    client.checkpoint({
      DurableExecutionArn: FakeService.ARN,
      CheckpointToken: "a+b/c=",
      Updates: [{ Id: "1", Type: "STEP", Action: "START" }],
      ClientToken: "batch-1",
      ...request
    })
  )

const through = (endpoint: string) =>
  DurableExecutionClient.layerClient(
    new aws.LambdaClient({ endpoint, region: "us-east-1", credentials, maxAttempts: 1 })
  )

describe("DurableExecutionClient: a real LambdaClient against a local HTTP server", () => {
  it.effect(
    "checkpoints: the ARN is one encoded segment, the ClientToken ours, epoch seconds become milliseconds",
    () =>
      Effect.gen(function* () {
        const { endpoint, seen } = yield* server([
          {
            body: JSON.stringify({
              CheckpointToken: "next",
              NewExecutionState: {
                Operations: [{ Id: "1", Type: "STEP", Status: "STARTED", StartTimestamp: 1767356934.93 }],
                NextMarker: null
              }
            })
          }
        ])
        const response = yield* checkpoint().pipe(Effect.provide(through(endpoint)))
        assert.deepStrictEqual(response, {
          CheckpointToken: "next",
          NewExecutionState: {
            Operations: [{ Id: "1", Type: "STEP", Status: "STARTED", StartTimestamp: 1_767_356_934_930 }]
          }
        })
        assert.strictEqual(seen[0]?.method, "POST")
        assert.strictEqual(
          seen[0]?.url,
          `/2025-12-01/durable-executions/${encodeURIComponent(FakeService.ARN)}/checkpoint`
        )
        assert.deepStrictEqual(seen[0]?.body, {
          CheckpointToken: "a+b/c=",
          ClientToken: "batch-1",
          Updates: [{ Id: "1", Type: "STEP", Action: "START" }]
        })
      })
  )

  it.effect("loads state: token, marker and page size in the query", () =>
    Effect.gen(function* () {
      const { endpoint, seen } = yield* server([{ body: '{"Operations":[],"NextMarker":"more"}' }])
      const page = yield* DurableExecutionClient.DurableExecutionClient.use((client) =>
        client.getExecutionState({
          DurableExecutionArn: FakeService.ARN,
          CheckpointToken: "a+b/c=",
          Marker: "m/1",
          MaxItems: 1000
        })
      ).pipe(Effect.provide(through(endpoint)))
      assert.deepStrictEqual(page, { Operations: [], NextMarker: "more" })
      assert.strictEqual(seen[0]?.method, "GET")
      const [pathname, query] = (seen[0]?.url ?? "").split("?")
      assert.strictEqual(pathname, `/2025-12-01/durable-executions/${encodeURIComponent(FakeService.ARN)}/state`)
      assert.include(query, "CheckpointToken=a%2Bb%2Fc%3D")
      assert.include(query, "Marker=m%2F1")
      assert.include(query, "MaxItems=1000")
    })
  )

  const errors: ReadonlyArray<readonly [what: string, answer: Answer, errorName: string, scope: string]> = [
    [
      "a stale token",
      {
        status: 400,
        headers: { "x-amzn-errortype": "InvalidParameterValueException:http://internal" },
        body: '{"Type":"User","message":"Invalid checkpoint token"}'
      },
      "InvalidParameterValueException",
      "invocation"
    ],
    [
      "an error without a name",
      { status: 400, body: '{"message":"Invalid parent operation id."}' },
      "Unknown",
      "execution"
    ],
    [
      "a lost key",
      { status: 502, headers: { "x-amzn-errortype": "KMSDisabledException" }, body: '{"Message":"disabled"}' },
      "KMSDisabledException",
      "execution"
    ],
    ["a page that is not JSON", { status: 503, body: "<html>down</html>" }, "SyntaxError", "invocation"]
  ]
  for (const [what, answer, errorName, scope] of errors) {
    it.effect(`${what}: ${errorName}, ends the ${scope}`, () =>
      Effect.gen(function* () {
        const { endpoint } = yield* server([answer])
        const failed = yield* Effect.flip(checkpoint().pipe(Effect.provide(through(endpoint))))
        assert.strictEqual(failed.errorName, errorName)
        assert.strictEqual(failed.status, answer.status)
        assert.strictEqual(failed.scope, scope)
      })
    )
  }

  it.effect("a response that AWS's client cannot read (string timestamps) is worth another invocation", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({
        CheckpointToken: "t",
        NewExecutionState: { Operations: [{ Id: "1", Type: "STEP", Status: "STARTED", StartTimestamp: "soon" }] }
      })
      const { endpoint } = yield* server([{ body }])
      const failed = yield* Effect.flip(checkpoint().pipe(Effect.provide(through(endpoint))))
      assert.strictEqual(failed.scope, "invocation")
    })
  )

  it.effect("a refused connection is worth another invocation", () =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip(checkpoint().pipe(Effect.provide(through("http://127.0.0.1:1"))))
      assert.strictEqual(failed.scope, "invocation")
      assert.isTrue(failed.transient)
      assert.strictEqual(failed.status, undefined)
    })
  )
})

// ---- loading ---------------------------------------------------------------------------------------------

describe("DurableExecutionClient: loading AWS's client", () => {
  it.effect("happens at the first call, with endpoint and credentials of the environment", () =>
    Effect.gen(function* () {
      const { endpoint, seen } = yield* server([
        { body: '{"CheckpointToken":"next","NewExecutionState":{"Operations":[]}}' }
      ])
      const script = `
        import { registerHooks } from "node:module"
        const loaded = []
        registerHooks({ resolve: (specifier, context, next) => (loaded.push(specifier), next(specifier, context)) })
        const { DurableExecutionClient } = await import("effect-durable-lambda")
        const Effect = await import("effect/Effect")
        const aws = () => loaded.some((name) => name.startsWith("@aws-sdk/"))
        const program = Effect.gen(function* () {
          const client = yield* DurableExecutionClient.DurableExecutionClient
          const before = aws()
          const response = yield* client.checkpoint(
            { DurableExecutionArn: "arn", CheckpointToken: "t", Updates: [], ClientToken: "c" })
          return { before, after: aws(), token: response.CheckpointToken }
        })
        const result = await Effect.runPromise(Effect.provide(program, DurableExecutionClient.layer))
        console.log(JSON.stringify(result))
        process.exit(0)`
      const { stdout } = yield* Effect.promise(() =>
        run(process.execPath, ["--conditions=@effect-durable-lambda/source", "--input-type=module", "--eval", script], {
          cwd: root,
          env: {
            ...process.env,
            AWS_ENDPOINT_URL_LAMBDA: endpoint,
            AWS_REGION: "eu-central-1",
            AWS_ACCESS_KEY_ID: "local",
            AWS_SECRET_ACCESS_KEY: "local"
          }
        })
      )
      assert.deepStrictEqual(JSON.parse(stdout), { before: false, after: true, token: "next" })
      assert.match(seen[0]?.headers["user-agent"] ?? "", /effect-durable-lambda/)
      assert.match(seen[0]?.headers.authorization ?? "", /Credential=local\/\d+\/eu-central-1\/lambda\/aws4_request/)
    })
  )

  it.effect("a bundle without it says what is missing and how to add it", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "without-aws-"))),
        (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
      )
      const outfile = path.join(directory, "handler.mjs")
      yield* Effect.promise(() =>
        build({
          entryPoints: [path.join(root, "test/fixtures/one-step-handler.ts")],
          outfile,
          absWorkingDir: root,
          bundle: true,
          platform: "node",
          format: "esm",
          conditions: ["@effect-durable-lambda/source"],
          external: ["@aws-sdk/client-lambda"],
          logLevel: "silent"
        })
      )
      const event = JSON.stringify(FakeService.make({ input: '"World"' }).event())
      const script = `
        const { handler } = await import(${JSON.stringify(outfile)})
        console.log(JSON.stringify(await handler(${event})))
        process.exit(0)`
      const { stdout } = yield* Effect.promise(() =>
        run(process.execPath, ["--input-type=module", "--eval", script], { cwd: directory })
      )
      const answer = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
      assert.strictEqual(answer.Status, "FAILED")
      assert.strictEqual(answer.Error.ErrorType, "CheckpointFailed")
      assert.match(answer.Error.ErrorMessage, /AwsClientNotFound: cannot load @aws-sdk\/client-lambda/)
      assert.match(answer.Error.ErrorMessage, /npm install @aws-sdk\/client-lambda/)
      assert.match(answer.Error.ErrorMessage, /3\.943 or later/)
    })
  )
})
