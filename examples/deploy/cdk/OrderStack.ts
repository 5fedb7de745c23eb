/**
 * The order workflow as a CDK stack: the durable function with a version and an alias, its log group, its dead-letter
 * queue, and a policy for those who call it.
 */
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib"
import * as iam from "aws-cdk-lib/aws-iam"
import * as lambda from "aws-cdk-lib/aws-lambda"
import * as logs from "aws-cdk-lib/aws-logs"
import * as sqs from "aws-cdk-lib/aws-sqs"
import type { Construct } from "constructs"

export interface OrderStackProps extends StackProps {
  /** The folder with index.mjs, as ../bundle.ts makes it. */
  readonly code: string
}

export class OrderStack extends Stack {
  constructor(scope: Construct, id: string, props: OrderStackProps) {
    super(scope, id, props)

    const logGroup = new logs.LogGroup(this, "Logs", {
      retention: logs.RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY
    })

    // Takes the input of executions that were started asynchronously and have failed, timed out, or been stopped.
    const failed = new sqs.Queue(this, "Failed", { retentionPeriod: Duration.days(14), enforceSSL: true })

    const processOrder = new lambda.Function(this, "ProcessOrder", {
      functionName: "process-order",
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      handler: "index.handler",
      code: lambda.Code.fromAsset(props.code),
      memorySize: 512,
      // Of one invocation. An execution has many, and waits between them for as long as durableConfig allows.
      timeout: Duration.minutes(1),
      // Durable execution can only be switched on when a function is created; its values can be changed later. With it,
      // CDK gives the function's role AWSLambdaBasicDurableExecutionRolePolicy: checkpoints, state, and logs.
      durableConfig: { executionTimeout: Duration.days(7), retentionPeriod: Duration.days(30) },
      deadLetterQueue: failed,
      tracing: lambda.Tracing.ACTIVE,
      logGroup,
      loggingFormat: lambda.LoggingFormat.JSON,
      applicationLogLevelV2: lambda.ApplicationLogLevel.INFO,
      systemLogLevelV2: lambda.SystemLogLevel.WARN,
      // An execution ends on the version that it began on: versions must outlive the deployment that replaces them.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN }
    })

    // A durable function is called by a version or an alias, never by its plain name.
    const live = processOrder.addAlias("live")

    // For who starts executions, watches them, and answers their callbacks: attach it to their roles.
    new iam.ManagedPolicy(this, "Callers", {
      statements: [
        new iam.PolicyStatement({ sid: "Start", actions: ["lambda:InvokeFunction"], resources: [live.functionArn] }),
        new iam.PolicyStatement({
          sid: "List",
          actions: ["lambda:ListDurableExecutionsByFunction"],
          resources: [processOrder.functionArn, `${processOrder.functionArn}:*`]
        }),
        // An execution belongs to the version that runs it, whatever alias it was started by, hence the star.
        new iam.PolicyStatement({
          sid: "WatchAndStop",
          actions: ["lambda:GetDurableExecution", "lambda:GetDurableExecutionHistory", "lambda:StopDurableExecution"],
          resources: [`${processOrder.functionArn}:*`]
        }),
        new iam.PolicyStatement({
          sid: "AnswerCallbacks",
          actions: [
            "lambda:SendDurableExecutionCallbackSuccess",
            "lambda:SendDurableExecutionCallbackFailure",
            "lambda:SendDurableExecutionCallbackHeartbeat"
          ],
          resources: [`${processOrder.functionArn}:*`]
        })
      ]
    })

    new CfnOutput(this, "AliasArn", { value: live.functionArn, description: "What to invoke" })
  }
}
