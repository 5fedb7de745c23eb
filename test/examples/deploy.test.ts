/**
 * examples/deploy: what the CDK app and the SAM template make, and that the code that they deploy runs.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { App, Stack } from "aws-cdk-lib"
import { Match, Template } from "aws-cdk-lib/assertions"
import { CfnInclude } from "aws-cdk-lib/cloudformation-include"
import { Functions, Server } from "effect-durable-lambda/dev"
import { Engine, ExecutionStore, Timers } from "effect-durable-lambda/engine"
import { Effect, Layer } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { type ScalarTag, parse } from "yaml"
import { bundle } from "../../examples/deploy/bundle.ts"

const run = promisify(execFile)
const root = path.resolve(import.meta.dirname, "../..")
const folder = path.join(root, ".tmp/deploy")
const file = path.join(root, "examples/deploy/sam/template.yaml")

type Json = any // templates are free JSON
interface Resource {
  readonly Type: string
  readonly Properties: Json
  readonly DeletionPolicy?: string
}

/** The one resource of a type. */
const only = (template: Json, type: string): Resource & { readonly id: string } => {
  const found = Object.entries<Resource>(template.Resources).filter(([, { Type }]) => Type === type)
  assert.strictEqual(found.length, 1, `resources of type ${type}`)
  return { id: found[0]![0], ...found[0]![1] }
}

/** Deploys what a template's function has for code to the local engine, and gives what an order gives. */
const order = (code: string) =>
  Effect.gen(function* () {
    const engine = yield* Engine.Engine
    const { url } = yield* Server.Server
    yield* Functions.serveFunctions([{ file: `${code}#handler` }], { endpoint: url, reload: "off" })
    const payload = JSON.stringify({ id: "7", customer: "ada", cents: 1999, items: ["teapot", "unicorn"] })
    const arn = yield* engine.start({ functionName: "process-order:$LATEST", payload })
    const { Error: error, Result, Status } = yield* engine.await(arn)
    const { backOrdered, chargeId, label } = JSON.parse(Result ?? "{}") as Json
    return { Status, error, backOrdered, label, charged: /^ch_.{8}$/.test(chargeId) }
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.provideMerge(
        Server.layer,
        Layer.provide(Engine.layer, [ExecutionStore.layerMemory, Timers.layerScaled({ timeScale: 1e-4 })])
      )
    ),
    Effect.runPromise
  )

const shipped: Json = {
  Status: "SUCCEEDED",
  error: undefined,
  backOrdered: ["unicorn"],
  label: "label-7",
  charged: true
}

/** What breaks the rules of CloudFormation's resources, which CDK checks when it synthesises. */
const violations = (outdir: string): string =>
  JSON.parse(fs.readFileSync(path.join(outdir, "validation-report.json"), "utf8"))
    .pluginReports.flatMap((report: Json) => report.violations)
    .map((violation: Json) => `${violation.ruleName} ${violation.description}`)
    .join("\n")

let cdk: Json
let asset: string

beforeAll(async () => {
  fs.rmSync(folder, { recursive: true, force: true })
  const outdir = path.join(folder, "cdk")
  const cwd = path.join(root, "examples/deploy/cdk")
  // as the command line of CDK runs it
  const { app, context } = JSON.parse(fs.readFileSync(path.join(cwd, "cdk.json"), "utf8")) as Json
  assert.strictEqual(app, "node app.ts")
  const env = { ...process.env, CDK_OUTDIR: outdir, CDK_CONTEXT_JSON: JSON.stringify(context) }
  await run(process.execPath, ["app.ts"], { cwd, env })
  cdk = JSON.parse(fs.readFileSync(path.join(outdir, "Orders.template.json"), "utf8"))
  const assets = fs.readdirSync(outdir).filter((name) => name.startsWith("asset."))
  assert.strictEqual(assets.length, 1)
  asset = path.join(outdir, assets[0]!, "index.mjs")
  assert.strictEqual(violations(outdir), "")
})

describe("the CDK app", () => {
  it("makes a durable function, with JSON logs, traces and a dead-letter queue", () => {
    const logs = only(cdk, "AWS::Logs::LogGroup")
    const queue = only(cdk, "AWS::SQS::Queue")
    assert.strictEqual(logs.Properties.RetentionInDays, 30)
    Template.fromJSON(cdk).hasResourceProperties("AWS::Lambda::Function", {
      FunctionName: "process-order",
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      MemorySize: 512,
      Timeout: 60,
      DurableConfig: { ExecutionTimeout: 7 * 86_400, RetentionPeriodInDays: 30 },
      TracingConfig: { Mode: "Active" },
      DeadLetterConfig: { TargetArn: { "Fn::GetAtt": [queue.id, "Arn"] } },
      LoggingConfig: { LogFormat: "JSON", ApplicationLogLevel: "INFO", LogGroup: { Ref: logs.id } }
    })
  })

  it("lets the function write checkpoints, traces, and to its dead-letter queue", () => {
    const role = only(cdk, "AWS::IAM::Role")
    assert.include(
      JSON.stringify(role.Properties.ManagedPolicyArns),
      ":iam::aws:policy/service-role/AWSLambdaBasicDurableExecutionRolePolicy"
    )
    Template.fromJSON(cdk).hasResourceProperties("AWS::IAM::Policy", {
      Roles: [{ Ref: role.id }],
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Action: "sqs:SendMessage" }),
          Match.objectLike({ Action: Match.arrayWith(["xray:PutTraceSegments"]) })
        ])
      }
    })
  })

  it("keeps versions, and points an alias at the newest", () => {
    const version = only(cdk, "AWS::Lambda::Version")
    assert.strictEqual(version.DeletionPolicy, "Retain")
    Template.fromJSON(cdk).hasResourceProperties("AWS::Lambda::Alias", {
      Name: "live",
      FunctionVersion: { "Fn::GetAtt": [version.id, "Version"] }
    })
    assert.deepStrictEqual(cdk.Outputs.AliasArn.Value, { Ref: only(cdk, "AWS::Lambda::Alias").id })
  })

  it("what it deploys takes an order", async () => {
    assert.deepStrictEqual(await order(asset), shipped)
  })

  it("so does the bundle without AWS's client, where the client is installed", async () => {
    const small = await bundle({ external: true, outdir: path.join(folder, "external") })
    assert.isBelow(fs.statSync(small).size, 0.5 * fs.statSync(asset).size)
    assert.deepStrictEqual(await order(small), shipped)
  })
})

// ---- SAM -----------------------------------------------------------------------------------------

const tag = (name: string, make: (text: string) => Json): ScalarTag => ({ tag: `!${name}`, resolve: make })
const tags = [
  tag("Ref", (text) => ({ Ref: text })),
  tag("Sub", (text) => ({ "Fn::Sub": text })),
  tag("GetAtt", (text) => ({ "Fn::GetAtt": text.split(".") }))
]

/** What SAM does with a function's property. One that is not here is none that this test knows of. */
const properties: Readonly<Record<string, (value: Json) => Json>> = {
  ...Object.fromEntries(
    [
      "FunctionName",
      "Runtime",
      "Architectures",
      "Handler",
      "MemorySize",
      "Timeout",
      "DurableConfig",
      "LoggingConfig"
    ].map((name) => [name, (value: Json) => ({ [name]: value })])
  ),
  CodeUri: () => ({ Code: { S3Bucket: "bucket", S3Key: "key" } }),
  Tracing: (Mode) => ({ TracingConfig: { Mode } }),
  DeadLetterQueue: ({ TargetArn }) => ({ DeadLetterConfig: { TargetArn } }),
  AutoPublishAlias: () => ({}),
  AutoPublishAliasAllProperties: () => ({}),
  VersionDeletionPolicy: () => ({})
}

/** The template as CloudFormation gets it, but for the function's role. */
const expand = (sam: Json): Json => {
  const { AutoPublishAlias: alias, VersionDeletionPolicy: policy, ...rest } = sam.Resources.ProcessOrder.Properties
  const resources = {
    ...sam.Resources,
    ProcessOrder: {
      Type: "AWS::Lambda::Function",
      Properties: Object.assign(
        { Role: "arn:aws:iam::123456789012:role/process-order" },
        ...Object.entries(rest).map(([name, value]) => {
          assert.property(properties, name, "a property of AWS::Serverless::Function")
          return properties[name]!(value)
        })
      )
    },
    Published: {
      Type: "AWS::Lambda::Version",
      DeletionPolicy: policy,
      UpdateReplacePolicy: policy,
      Properties: { FunctionName: { Ref: "ProcessOrder" } }
    },
    Live: {
      Type: "AWS::Lambda::Alias",
      Properties: {
        Name: alias,
        FunctionName: { Ref: "ProcessOrder" },
        FunctionVersion: { "Fn::GetAtt": ["Published", "Version"] }
      }
    }
  }
  const { Transform: _, ...template } = { ...sam, Resources: resources }
  return JSON.parse(JSON.stringify(template).replaceAll('{"Ref":"ProcessOrder.Alias"}', '{"Ref":"Live"}'))
}

/** A template's function and its callers' policy, without the names of resources, to compare two templates. */
const essence = (template: Json) => {
  const { Code: _, Role: __, Tags: ___, ...settings } = only(template, "AWS::Lambda::Function").Properties
  const names = Object.entries<Resource>(template.Resources).map(([id, { Type }]) => [id, Type] as const)
  // "a:*" is a join for CDK, and a text with a place for SAM
  const plain = JSON.stringify({
    settings,
    queue: only(template, "AWS::SQS::QueuePolicy").Properties,
    callers: only(template, "AWS::IAM::ManagedPolicy").Properties.PolicyDocument
  })
    .replaceAll(/\{"Fn::Sub":"\$\{(\w+)\.Arn\}:\*"\}/g, '{"Fn::Join":["",[{"Fn::GetAtt":["$1","Arn"]},":*"]]}')
    .replaceAll(/"(\w+)"/g, (_, word) => JSON.stringify(names.find(([id]) => id === word)?.[1] ?? word))
  return JSON.parse(plain)
}

describe("the SAM template", () => {
  const sam: Json = parse(fs.readFileSync(file, "utf8"), { customTags: tags })

  /** What CDK has to say against a template: types, and the rules of CloudFormation's resources. */
  const problems = (name: string, template: Json): string => {
    const outdir = path.join(folder, name)
    fs.mkdirSync(outdir, { recursive: true })
    const templateFile = path.join(outdir, "input.json")
    fs.writeFileSync(templateFile, JSON.stringify(template))
    const app = new App({ outdir, context: { "@aws-cdk/core:validateAgainstDefaultRules": true } })
    try {
      new CfnInclude(new Stack(app, "Sam"), "Include", { templateFile })
      app.synth()
    } catch (error) {
      const { message } = error as Error
      if (!message.startsWith("Validation failed")) return message
    }
    return violations(outdir)
  }

  it("is sound, by the rules of its resources", () => {
    assert.strictEqual(problems("sam", expand(sam)), "")
  })

  const mistakes: Readonly<Record<string, readonly [change: (settings: Json) => void, says: RegExp]>> = {
    "a wrong type": [(settings) => (settings.Timeout = "a minute"), /timeout: "a minute" should be a number/],
    "a missing value": [(settings) => delete settings.DurableConfig.ExecutionTimeout, /executionTimeout: required/],
    "a wrong name": [(settings) => (settings.Durable = { ExecutionTimeout: 1 }), /'Durable' was unexpected/],
    "too large a value": [(settings) => (settings.DurableConfig.RetentionPeriodInDays = 91), /maximum of 90/],
    "a wrong choice": [(settings) => (settings.LoggingConfig.LogFormat = "Json"), /is not one of \['Text', 'JSON'\]/],
    "an unknown runtime": [(settings) => (settings.Runtime = "nodejs24"), /Runtime: 'nodejs24' is not one of/],
    "a reference to nothing": [(settings) => (settings.LoggingConfig.LogGroup = { Ref: "Log" }), /'Log' not found/]
  }
  for (const [name, [change, says]] of Object.entries(mistakes)) {
    it(`would not be with ${name}`, () => {
      const template = expand(sam)
      change(template.Resources.ProcessOrder.Properties)
      assert.match(problems(`sam-${name.replaceAll(" ", "-")}`, template), says)
    })
  }

  it("makes the same as the CDK app", () => {
    const made = expand(sam)
    assert.deepStrictEqual(essence(made), essence(cdk))
    for (const type of ["AWS::Logs::LogGroup", "AWS::SQS::Queue"]) {
      assert.deepStrictEqual(only(made, type).Properties, only(cdk, type).Properties)
    }
    assert.deepStrictEqual(sam.Outputs.AliasArn.Value, { Ref: "ProcessOrder.Alias" })
  })

  it("deploys the code that bundle.ts makes", () => {
    const { CodeUri, Handler } = sam.Resources.ProcessOrder.Properties
    assert.strictEqual(path.resolve(path.dirname(file), CodeUri), path.join(root, "examples/deploy/build"))
    assert.strictEqual(Handler, "index.handler")
  })

  it("lets callers act on executions of any version, and start them by the alias alone", () => {
    const { Statement } = sam.Resources.Callers.Properties.PolicyDocument
    for (const { Action, Resource: resource, Sid } of Statement) {
      if (Sid === "Start")
        assert.deepStrictEqual([Action, resource], ["lambda:InvokeFunction", { Ref: "ProcessOrder.Alias" }])
      else assert.include(JSON.stringify(resource), '{"Fn::Sub":"${ProcessOrder.Arn}:*"}', [Action].flat().join())
    }
  })

  it("is what SAM's own translator takes, where Python has it", async (context) => {
    const script = `
import json, sys
try:
    from samtranslator.translator.transform import transform
except ImportError:
    sys.exit(3)
class Policies:
    def load(self): return {}
print(json.dumps(transform(json.load(open(sys.argv[1])), {}, Policies())))`
    const input = path.join(folder, "sam-input.json")
    const { ProcessOrder } = sam.Resources
    const uploaded = { ...ProcessOrder, Properties: { ...ProcessOrder.Properties, CodeUri: "s3://bucket/key" } }
    fs.writeFileSync(input, JSON.stringify({ ...sam, Resources: { ...sam.Resources, ProcessOrder: uploaded } }))
    const env = { ...process.env, AWS_DEFAULT_REGION: "us-east-1" }
    const answer = await run("python3", ["-c", script, input], { env }).catch((error) => error)
    if (answer.code === 3 || answer.code === "ENOENT") return context.skip("no samtranslator here")
    const translated = JSON.parse(answer.stdout || "{}")
    assert.isDefined(translated.Resources, answer.stderr)
    assert.deepStrictEqual(essence(translated), essence(cdk))
    assert.strictEqual(only(translated, "AWS::Lambda::Version").DeletionPolicy, "Retain")
    assert.include(
      only(translated, "AWS::IAM::Role").Properties.ManagedPolicyArns,
      "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicDurableExecutionRolePolicy"
    )
  })
})
