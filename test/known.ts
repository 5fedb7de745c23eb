/**
 * What AWS's SDKs have, and what their users suffer from, line by line: for each a test of ours that settles it, or the
 * reason why there is none. `known.test.ts` checks that the tests are there.
 */

/** `file > part of its title`, below `test/`; or a reason, which begins with "No:". */
export type Settled = string

/** ../shared/reference/wire-protocol.md, appendix B: what can be observed. */
export const observability: Readonly<Record<string, Settled>> = {
  "log record: requestId, timestamp, level, executionArn, tenantId, operationId, operationName, attempt, message":
    "DurableLogger.test.ts > fields: execution, request, tenant",
  "log record: parentId (Python)": "DurableLogger.test.ts > fields: execution, request, tenant",
  "log record: errorType, errorMessage, stackTrace, of the first error among the arguments":
    "DurableLogger.test.ts > error fields: type, message and stack, never its data",
  "log record: own fields of a logged error":
    "No: an error's fields are data, and data does not belong into logs. Annotate.",
  "log record: several arguments are formatted text":
    "No: they stay a JSON array, as Effect's own structured logger has them.",
  "log record: one line of JSON, past the runtime's console":
    "DurableLogger.environment.test.ts > has each line as it is",
  "levels, AWS_LAMBDA_LOG_LEVEL": "DurableLogger.environment.test.ts > is where lines begin to be written",
  "levels: DEBUG by default": "No: Effect's default is INFO; AWS_LAMBDA_LOG_LEVEL, which Lambda sets, says otherwise.",
  "replay suppression, per context": "wire/B-logging.test.ts > every line appears once, also those of a context",
  "modeAware: false": "wire/B-logging.test.ts > with replay: true all lines of the body appear",
  customLogger: "DurableHandler.test.ts > loggers of the layer take the place of the handler's",
  onInvocationStart: "DurablePlugin.test.ts > of an invocation: input, operations, what changed meanwhile",
  onInvocationEnd: "DurablePlugin.test.ts > an invocation that throws has ended RETRYING",
  onOperationStart: "DurablePlugin.test.ts > of a retried step: attempts, a replayed start, one end",
  onOperationEnd: "DurablePlugin.test.ts > of waits: an end once, also in later invocations",
  onOperationAttemptStart: "DurablePlugin.test.ts > of a step: each once, in order",
  onOperationAttemptEnd:
    "DurablePlugin.test.ts > of an attempt that is retried: outcome, error, and both of its timestamps",
  onOperationChange: "DurablePlugin.test.ts > of a change: what changed is a part of the whole",
  wrapInvocation: "DurablePlugin.test.ts > enclose their effect and give it services",
  wrapChildContextFn: "DurablePlugin.test.ts > see failures and suspensions; the body keeps its own clock",
  wrapOperationAttemptFn: "DurablePlugin.test.ts > enclose their effect and give it services",
  enrichLogContext: "DurablePlugin.test.ts > stand in the lines of body and steps",
  "on_user_function_start, on_user_function_end (Python)":
    "DurablePlugin.test.ts > of contexts: their body each time it runs",
  "hooks are concurrent over plugins, errors are swallowed":
    "DurablePlugin.test.ts > that throws instead of giving an Effect",
  "every hook is awaited":
    "No: a slow plugin would slow the workflow down. Hooks run beside it, and the end of the invocation waits for them.",
  DURABLE_EXECUTION_PLUGINS: "DurablePlugin.sources.test.ts > options, the layer, the environment, in this order",
  "a plugin that cannot be loaded is FAILED, before state is read":
    "DurablePlugin.sources.test.ts > a module that cannot be loaded fails the execution",
  "plugins of AWS's own make, by environment":
    "No: their hooks give promises. A provider gives what DurablePlugin.make makes.",
  "waitForCallback labels its inner operations for hooks only":
    "operations/waitForCallback.test.ts > a context of a callback and a step, in the order of the wire",
  "pluginsConfig.childOperationsDepth":
    "No: it makes the service keep children of finished contexts for a viewer; not planned.",
  OpenTelemetry: "No: DurableTracer, after 0.1. An around-hook opens Effect's spans until then.",
  DURABLE_VERBOSE_MODE: "No: debug lines of the library itself. A plugin sees the same, and more.",
  LAMBDA_TASK_ROOT: "DurablePlugin.sources.test.ts > a module that cannot be loaded fails the execution",
  LAMBDA_RUNTIME_DIR: "No: AWS's plugin loader needs it for the SDK in the runtime; this library is in the bundle.",
  "Lambda's context: awsRequestId, tenantId, remaining time":
    "DurableHandler.test.ts > CurrentExecution, in the body and in steps"
}

/** Appendix C: options and helpers. */
export const options: Readonly<Record<string, Settled>> = {
  "step: retryStrategy":
    "operations/step.test.ts > a schedule is asked once per failure, with the error and the attempt",
  "step: the default strategy": "operations/step.test.ts > default: 6 attempts, delays within AWS's jitter",
  "step: semantics":
    "operations/step.test.ts > a crash while it runs: it does not run again, and StepInterrupted surfaces",
  "step: serdes": "Serdes.test.ts > text: the string of the schema, verbatim",
  "step: logger, attempt": "operations/step.test.ts > attempt counts, idempotencyKey and operationId stay",
  "invoke: function, input": "operations/invoke.test.ts > a durable function, typed both ways",
  "invoke: payloadSerdes, resultSerdes":
    "operations/invoke.test.ts > text codecs: payload and result are the text verbatim",
  "invoke: tenantId": "operations/invoke.test.ts > tenant and trace header go along, once each",
  "runInChildContext: serdes": "operations/childContext.test.ts > by its schema, live and replayed",
  "runInChildContext: subType": "operations/childContext.test.ts > subType: how the console classifies it",
  "runInChildContext: summaryGenerator": "operations/childContext.test.ts > without a summary the record is empty",
  "runInChildContext: errorMapper": "No: failures keep their class by `error`; Effect.mapError maps the rest.",
  "runInChildContext: virtualContext":
    "operations/childContext.test.ts > virtual: own names, and nothing is recorded of it",
  "wait: days, hours, minutes, seconds":
    "wire/06-constraints.test.ts > a wait of ${what} is sent as ${seconds} seconds",
  "waitForCondition: waitStrategy":
    "operations/waitForCondition.test.ts > the schedule sees the state, in all three forms",
  "waitForCondition: the default strategy": "operations/waitForCondition.test.ts > by default after AWS's 60 checks",
  "waitForCondition: initialState": "operations/waitForCondition.test.ts > hands the state from check to check",
  "waitForCondition: serdes": "operations/waitForCondition.test.ts > text, verbatim in the record (6-11)",
  "waitForCondition: logger, attempt": "operations/waitForCondition.test.ts > a check knows its attempt",
  "waitForCondition: timeoutSeconds (never read by AWS)": "No: Effect.timeout around it.",
  "createCallback: [promise, id]": "operations/callback.test.ts > does not suspend, and records one operation",
  "createCallback: timeout, heartbeatTimeout":
    "operations/callback.test.ts > timeouts go along in whole seconds, rounded up",
  "createCallback: serdes, raw text": "operations/callback.test.ts > with a text codec: the text, decoded",
  "waitForCallback: timeout, heartbeatTimeout":
    "operations/waitForCallback.test.ts > nobody answers, or nobody sends heartbeats",
  "waitForCallback: retryStrategy of the submitter":
    "operations/waitForCallback.test.ts > of the submitter: retried by its own schedule",
  "waitForCallback: serdes": "operations/waitForCallback.test.ts > with a schema, and with a text codec",
  "map, parallel: maxConcurrency": "operations/batch.test.ts > no more run at a time than concurrency says",
  "map, parallel: itemSerdes": "operations/batch.test.ts > by the codecs of items and branches, JSON or text",
  "map, parallel: serdes": "operations/batch.test.ts > a codec of its own writes the whole result",
  "map, parallel: completionConfig":
    "operations/batch.test.ts > a completion function: asked before the first and after each",
  "map, parallel: summaryGenerator": "operations/batch.test.ts > over 256 KiB: counts and statuses on record",
  "map, parallel: nesting": "operations/batch.test.ts > items have clock and random numbers of their own",
  "parallel: named branches": "operations/batch.test.ts > a parallel gives the shape of its branches",
  "batch result: accessors":
    "operations/batch.test.ts > what became of each: successes, failures, started and not started",
  "configureLogger: modeAware, customLogger":
    "DurableLogger.test.ts > replayAware keeps another logger silent while replaying",
  "configureSerdes: defaultSerdes": "Serdes.test.ts > is applied to results of steps and contexts, and undone",
  "createFileSystemSerdes: ALWAYS, OVERFLOW": "serdes/PayloadStore.test.ts > files: whole, and their owner's only",
  "createFileSystemSerdes: paths": "serdes/PayloadStore.test.ts > by function, execution, operation, kind and content",
  "createFileSystemSerdes: generatePreview, buildPreview":
    "serdes/SerdesPreview.test.ts > names at any depth, paths from the top",
  "configureSerdes: defaultCallbackDeserializer": "No: each callback names its schema; raw text is the default.",
  "withRetry: retryStrategy, wrapWithRunInChildContext":
    "operations/wait.test.ts > Effect.delay, retry(Schedule), repeat(Schedule) wait durably",
  "withDurableExecution: client":
    "DurableExecutionClient.test.ts > loads state: token, marker and page size in the query",
  "withDurableExecution: plugins": "DurablePlugin.sources.test.ts > options, the layer, the environment, in this order",
  "promise.all, allSettled, any, race": "operations/suspension.test.ts > 12 all[exit(wait), exit(wait)]",
  "retry strategies: exponential, linear, fixed, jitter": "internal/retry.test.ts > exponential, upTo three times",
  "retry strategies: filters on message and class": "internal/retry.test.ts > options stop at the first reason",
  "retry presets: default": "internal/retry.test.ts > the default: full jitter over 5, 10, 20, 40, 60 s, then never",
  "retry presets: none": "operations/step.test.ts > gives up: ${what}",
  "retry presets: linear, fixed": "known.test.ts > AWS's presets as schedules, as the guide has them",
  "retry presets: transient, resource_availability, critical":
    "No: other numbers for the same schedule; see docs/migration.md.",
  "Python: decorators take the operation's name from the function":
    "No: a name is an operation's identity, and minifiers change it.",
  "testing: LocalDurableTestRunner, SkipClock, RealClock": "testing/TestRunner.test.ts > skips a wait of three days",
  "testing: CloudDurableTestRunner, CLI, web runner": "No: planned, see the roadmap."
}

/** ../shared/reference/user-pains.md, section 3: AWS's JavaScript SDK. */
export const javascript: ReadonlyArray<readonly [pain: string, settled: Settled]> = [
  [
    "1 early end with a step in flight blocks suspension",
    "wire/15-suspension.test.ts > a slow step that lost a race does not keep"
  ],
  ["2 ReplayChildren with a child that timed out", "wire/16-replay.test.ts > a child found ${status} resolves"],
  [
    "3 waitForCondition: wrong error, second FAIL",
    "operations/waitForCondition.test.ts > is exactly one FAIL, is not retried"
  ],
  [
    "4 non-determinism does not stop the operation",
    "wire/16-replay.test.ts > the new step does not run, nothing is sent"
  ],
  ["5 zombies after PENDING", "wire/15-suspension.test.ts > after PENDING nothing of the body runs any more"],
  ["6 hang while saving an oversized result", "wire/25-sizes.test.ts > hang while saving an oversized result"],
  ["7 premature suspension", "wire/15-suspension.test.ts > an operation that nobody awaits does not suspend"],
  [
    "8 slow decoding starves branches",
    "wire/15-suspension.test.ts > a replayed step that takes long to decode is not overtaken"
  ],
  ["9 serialisation errors are retried", "wire/26-classification.test.ts > FAILED, the body runs once"],
  [
    "10 a stale token fails the execution",
    "wire/26-classification.test.ts > ${what}: ${outcome}, after ${attempts} attempt"
  ],
  [
    "11 checkpoint failure after the end is SUCCEEDED",
    "wire/14-queue.test.ts > unavailable: thrown, and the next invocation records it"
  ],
  ["12 NextMarker and missing token ignored", "wire/10-requests.test.ts > all pages are read, with the new token"],
  ["13 string input taken for a function name", "operations/invoke.test.ts > a plain function, by schemas"],
  [
    "14 a throwing retry strategy leaves the step running",
    "wire/15-suspension.test.ts > fails the step, with its own error, and the body goes on"
  ],
  [
    "15 lost wake-up while a hook is awaited",
    "known.test.ts > a retry that becomes due while a hook still runs is not lost"
  ],
  ["16 the change hook converts the whole state", "known.test.ts > a change costs what changed, not what is on record"],
  ["17 no back-pressure", "wire/14-queue.test.ts > 600 concurrent steps take 5 requests"],
  [
    "18 two requests per slow step",
    "operations/step.test.ts > START and SUCCEED of a short step travel in one request"
  ],
  [
    "19 a crash loop consumes no attempts",
    "operations/deadline.test.ts > uses up its retries, and dies with DeadlineExceeded, live and on replay"
  ],
  [
    "20 durations are not validated",
    "wire/06-constraints.test.ts > is refused before anything is sent, and no handler sees it"
  ],
  ["21 minified ErrorType", "wire/18-errors.test.ts > the tag is written, not the name that a minifier gave the class"],
  ["22 error class and fields lost", "wire/18-errors.test.ts > class and data are kept, live and on replay"],
  ["23 log lines repeat", "wire/B-logging.test.ts > every line appears once, also those of a context"],
  [
    "24 race losers hold the invocation open",
    "operations/step.test.ts > the AbortSignal of a promise fires when the step loses"
  ],
  ["25 a timer per invocation that nobody clears", "known.test.ts > an invocation leaves no timer behind"],
  [
    "26 contexts of 600 KB are re-run",
    "No: 256 KiB is what every version of the service takes (wire-protocol, section 29)."
  ],
  ["27 types lie about Date and Map", "operations/step.test.ts > the body gets a copy, not what the step holds"],
  ["28 stacks on the wire", "wire/18-errors.test.ts > neither of a failure, nor of a defect, nor in the answer"],
  ["29 no cancellation", "operations/step.test.ts > the AbortSignal of a promise fires when the step loses"],
  ["30 two unnamed steps swapped", "wire/16-replay.test.ts > reordered operations of different names are no mismatch"],
  ["31 undefined results are dropped", "operations/batch.test.ts > values of undefined are not dropped"]
]

/** Section 4: AWS's Python SDK. */
export const python: ReadonlyArray<readonly [pain: string, settled: Settled]> = [
  [
    "1 an update over 750 KB behind another never leaves",
    "CheckpointService.test.ts > an update that is larger than a batch travels alone"
  ],
  ["2 late orphans", "wire/14-queue.test.ts > section 14.2: a context that has ended sends nothing"],
  ["3 no non-determinism check", "wire/16-replay.test.ts > the new step does not run, nothing is sent"],
  ["4 idle window per checkpoint", "wire/14-queue.test.ts > 50 sequential instant steps take 50 requests"],
  ["5 a wait resumed in process suspends again", "known.test.ts > a wait that ends while a step runs goes on at once"],
  ["6 sizes in characters", "CheckpointService.test.ts > hold at most 750 KiB, in bytes of what is sent"],
  ["7 the raw value on the first run", "operations/childContext.test.ts > decode(encode(x)), live and replayed"],
  ["8 results in an envelope", "DurableHandler.test.ts > SUCCEEDED with the encoded result"],
  [
    "9 a missing token read as completed",
    "wire/10-requests.test.ts > ends the invocation with PENDING, and neither it"
  ],
  [
    "10 abandoned branches delay the answer",
    "operations/step.test.ts > an uninterruptible loser does not hold up the answer"
  ],
  [
    "11 malformed events are function errors",
    "wire/13-state.test.ts > a state without an EXECUTION operation on any page is malformed"
  ],
  [
    "12 finally runs at every suspension",
    "wire/15-suspension.test.ts > durable operations in finalizers of a suspension do nothing"
  ],
  ["13 ItemBatcher was never built", "No: one step over a chunk of items does it."],
  ["14 results of None are dropped", "operations/batch.test.ts > values of undefined are not dropped"]
]
