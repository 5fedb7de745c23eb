/**
 * An execution store in a SQLite file, on Node's own `node:sqlite`: what the engine has acknowledged survives
 * `kill -9`, and `Engine.layerRecovering` carries on with it.
 *
 * A row per execution, operation, event and answered request; one transaction per change. What a change costs
 * does not depend on how much there already is.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as fs from "node:fs"
import * as path from "node:path"
import type { DatabaseSync, SQLOutputValue } from "node:sqlite"
import * as History from "../History.ts"
import * as Store from "./ExecutionStore.ts"

// ---- options and errors --------------------------------------------------------------------------

/** Where a store is, and what it survives. */
export interface Options {
  /**
   * The file, absolute or relative to the working directory. A new one is readable and writable by its owner
   * only (0600); its folder must exist. `:memory:` keeps everything in memory, and loses it with the layer.
   */
  readonly filename: string
  /**
   * What must not lose an acknowledged change. `NORMAL` (default): the end of this process, however it ends.
   * `FULL`: also a power failure or a crash of the operating system; every change then waits for the disk.
   */
  readonly synchronous?: "NORMAL" | "FULL" | undefined
}

/**
 * The file could not be opened; `reason` says why, and what to do.
 * @see [Troubleshooting](../../docs/troubleshooting.md#storenotopened)
 */
export class StoreNotOpened extends Data.TaggedError("StoreNotOpened")<{
  readonly filename: string
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    return `the execution store ${this.filename} cannot be opened: ${this.reason}`
  }
}

/**
 * A row does not hold what was written: the `cause` of an `ExecutionStoreError`. It names the place, never the
 * content, which may be a payload.
 * @see [Troubleshooting](../../docs/troubleshooting.md#corruptrow)
 */
export class CorruptRow extends Data.TaggedError("CorruptRow")<{
  readonly filename: string
  /** `executions`, `operations`, `events` or `answered`. */
  readonly table: string
  /** Its key, as a condition: `key = 7`. */
  readonly row: string
  readonly reason: string
}> {
  override get message() {
    return (
      `in ${this.filename}, table ${this.table}, the row with ${this.row} is corrupt: ${this.reason}. ` +
      `Repair or delete it, or restore the file from a copy`
    )
  }
}

// ---- the schema ----------------------------------------------------------------------------------

/** Marks the file as one of this store: "EDLe". */
const APPLICATION_ID = 0x45444c65

/**
 * What makes a file of each version one of the next; `user_version` counts them. Never change one that was
 * published.
 *
 * Records are JSON, payloads in them too: as bare text, SQLite would end them at a NUL and replace lone
 * surrogates. The input has a table of its own, for it never changes, and the record of its execution does with
 * every checkpoint.
 */
const migrations: ReadonlyArray<string> = [
  `
  CREATE TABLE executions (
    key INTEGER PRIMARY KEY, -- in the order of starting
    arn TEXT NOT NULL UNIQUE,
    function TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX executions_by_name ON executions (function, name);
  CREATE INDEX executions_by_status ON executions (status);

  CREATE TABLE inputs (
    execution INTEGER PRIMARY KEY REFERENCES executions (key),
    input TEXT NOT NULL
  ) STRICT;

  CREATE TABLE operations (
    execution INTEGER NOT NULL REFERENCES executions (key),
    id TEXT NOT NULL,
    position INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (execution, id)
  ) STRICT;

  CREATE TABLE events (
    execution INTEGER NOT NULL REFERENCES executions (key),
    id INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (execution, id)
  ) STRICT;

  CREATE TABLE answered (
    key INTEGER PRIMARY KEY, -- in the order of answering
    execution INTEGER NOT NULL REFERENCES executions (key),
    token TEXT NOT NULL,
    at REAL NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (execution, token)
  ) STRICT;
  CREATE INDEX answered_by_age ON answered (at);
  `,
  // What listings ask for besides, so that a page of one costs a page and not all executions.
  `
  ALTER TABLE executions ADD COLUMN version TEXT NOT NULL DEFAULT '';
  ALTER TABLE executions ADD COLUMN started REAL NOT NULL DEFAULT 0;
  UPDATE executions SET
    version = coalesce(json_extract(record, '$.version'), ''),
    started = coalesce(json_extract(record, '$.startedAt'), 0)
  WHERE json_valid(record); -- a corrupt row is told of when it is read
  CREATE INDEX executions_by_function ON executions (function);
  CREATE INDEX executions_by_start ON executions (started)
  `
]

// ---- opening -------------------------------------------------------------------------------------

const BUSY = 5
const NOT_A_DATABASE = 26

const explain = (cause: unknown): string => {
  if (cause instanceof StoreNotOpened) return cause.reason
  const { errcode = 0, message } = cause as { readonly errcode?: number; readonly message?: string }
  const code = errcode & 0xff // without what an extended code adds
  if (code === BUSY) {
    return (
      `another engine (or another program) has it open. Only one may own a file, or both would carry its executions: ` +
      `end the other one (the operating system frees the file with its process), or choose another file`
    )
  }
  if (code === NOT_A_DATABASE) return "it is not a SQLite database. Choose another file, or restore it from a copy"
  return message ?? String(cause)
}

/** A new file of this user's alone. One that is there is not touched: to close it would free the locks of its owner. */
const create = (filename: string) => {
  const created = Result.try({
    try: () => fs.closeSync(fs.openSync(filename, "wx", 0o600)),
    catch: (cause) => cause as NodeJS.ErrnoException // all that node:fs throws
  })
  if (Result.isFailure(created) && created.failure.code !== "EEXIST") throw created.failure
}

const pragma = (db: DatabaseSync, name: string): number => Number(Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0])

/** Takes the file for this process, and makes it one of this version. Nothing is written to a file of somebody else. */
const prepare = (db: DatabaseSync, filename: string, synchronous: string) => {
  // The operating system holds the lock, and frees it with the process, however that ends.
  db.exec("PRAGMA locking_mode = EXCLUSIVE")
  const refuse = (reason: string) => new StoreNotOpened({ filename, reason })
  const isNew = db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()!.tables === 0
  const version = pragma(db, "user_version")
  if (!isNew && pragma(db, "application_id") !== APPLICATION_ID) {
    throw refuse("it is a SQLite database of another program. Choose another file")
  }
  if (version > migrations.length) {
    throw refuse(
      `a newer version of effect-durable-lambda has written it (its schema is ${version}, this version knows ` +
        `${migrations.length}). Upgrade, or choose another file`
    )
  }
  db.exec("PRAGMA journal_mode = WAL")
  db.exec(`PRAGMA synchronous = ${synchronous}`)
  db.exec(
    [
      "BEGIN EXCLUSIVE",
      ...migrations.slice(version),
      `PRAGMA application_id = ${APPLICATION_ID}`,
      `PRAGMA user_version = ${migrations.length}`,
      "COMMIT"
    ].join(";\n")
  )
}

const open = Effect.fnUntraced(function* ({ filename: name, synchronous = "NORMAL" }: Options) {
  const isMemory = name === ":memory:"
  const filename = isMemory ? name : path.resolve(name)
  const notOpened = (cause: unknown) => new StoreNotOpened({ filename, reason: explain(cause), cause })
  // Loaded here: Node 22 warns of an experiment, and before 22.13 it has none without a flag.
  const sqlite = yield* Effect.tryPromise({
    try: () => import("node:sqlite"),
    catch: (cause) =>
      new StoreNotOpened({ filename, reason: "Node.js has node:sqlite from 22.13 on. Upgrade Node.js", cause })
  })
  const db = yield* Effect.acquireRelease(
    Effect.try({
      try: () => {
        if (!isMemory) create(filename)
        return new sqlite.DatabaseSync(filename)
      },
      catch: notOpened
    }),
    (db) => Effect.sync(() => db.close())
  )
  yield* Effect.try({ try: () => prepare(db, filename, synchronous), catch: notOpened })
  return { db, filename }
})

// ---- rows ----------------------------------------------------------------------------------------

type Row = Readonly<Record<string, SQLOutputValue>>

/** Reads records of one table, and checks each: what is given back is what was written, or an error. */
const reader = <A, I>(filename: string, table: string, schema: Schema.Codec<A, I>) => {
  const check = Schema.decodeUnknownResult(Schema.toType(schema))
  const format = SchemaIssue.makeFormatterStandardSchemaV1()
  return (row: string, text: SQLOutputValue | undefined, belongs: (record: A) => boolean): A => {
    const corrupt = (reason: string) => new CorruptRow({ filename, table, row, reason })
    const parsed = Result.try((): unknown => JSON.parse(String(text)))
    if (Result.isFailure(parsed)) throw corrupt("its record is not JSON")
    const checked = check(parsed.success)
    if (Result.isFailure(checked)) {
      const at = format(checked.failure.issue).issues[0]?.path?.map(String).join(".") ?? ""
      throw corrupt(at === "" ? "it holds no record" : `"${at}" is missing or of the wrong type`)
    }
    const record = parsed.success as A // the check has found nothing to change
    if (!belongs(record)) throw corrupt("it holds the record of another row")
    return record
  }
}

// ---- the store -----------------------------------------------------------------------------------

const { input: _, ...withoutInput } = Store.ExecutionRecord.fields
const StoredExecution = Schema.Struct(withoutInput)

const make = Effect.fnUntraced(function* (options: Options) {
  const { db, filename } = yield* open(options)
  const readExecution = reader(filename, "executions", StoredExecution)
  const readInput = reader(filename, "inputs", Schema.String)
  const readOperation = reader(filename, "operations", Store.OperationRecord)
  const readEvent = reader(filename, "events", History.Event)
  const readAnswered = reader(filename, "answered", Store.AnsweredRequest)

  const begin = db.prepare("BEGIN IMMEDIATE")
  const end = db.prepare("COMMIT")
  const undo = db.prepare("ROLLBACK")
  const find = db.prepare("SELECT key FROM executions WHERE arn = ?")
  const insertExecution = db.prepare(
    "INSERT INTO executions (arn, function, name, status, version, started, record) VALUES (?, ?, ?, ?, ?, ?, ?)"
  )
  const insertInput = db.prepare("INSERT INTO inputs (execution, input) VALUES (?, ?)")
  const updateExecution = db.prepare("UPDATE executions SET status = ?, record = ? WHERE key = ?")
  const putOperation = db.prepare(
    `INSERT INTO operations (execution, id, position, record) VALUES (?, ?, ?, ?)
     ON CONFLICT (execution, id) DO UPDATE SET position = excluded.position, record = excluded.record`
  )
  const insertEvent = db.prepare("INSERT INTO events (execution, id, record) VALUES (?, ?, ?)")
  const putAnswered = db.prepare("INSERT OR REPLACE INTO answered (execution, token, at, record) VALUES (?, ?, ?, ?)")
  const forgetAnswered = db.prepare("DELETE FROM answered WHERE at < ?")
  const SELECT = "SELECT key, arn, record, input FROM executions LEFT JOIN inputs ON execution = key"
  const selectExecution = db.prepare(`${SELECT} WHERE arn = ?`)
  const selectOperations = db.prepare("SELECT id, record FROM operations WHERE execution = ? ORDER BY position")
  const selectAnswered = db.prepare("SELECT key, token, record FROM answered WHERE execution = ? ORDER BY key")
  const forwards = db.prepare("SELECT id, record FROM events WHERE execution = ? AND id > ? ORDER BY id LIMIT ?")
  const backwards = db.prepare("SELECT id, record FROM events WHERE execution = ? AND id < ? ORDER BY id DESC LIMIT ?")
  const selectRunning = db.prepare("SELECT arn FROM executions WHERE status = 'RUNNING' ORDER BY key")

  const attempt = <A>(action: Store.ExecutionStoreError["action"], run: () => A) =>
    Effect.try({ try: run, catch: (cause) => new Store.ExecutionStoreError({ action, cause }) })

  const transaction = (body: () => void) => {
    begin.run()
    const written = Result.try(() => {
      body()
      end.run()
    })
    if (Result.isSuccess(written)) return
    Result.try(() => undo.run()) // where SQLite has not done it: on a full disk it has
    throw written.failure
  }

  const create = ({ input, ...record }: Store.ExecutionRecord) => {
    const { arn, functionName, name, startedAt, status, version } = record
    const values = [arn, functionName, name, status, version, startedAt, JSON.stringify(record)]
    const key = insertExecution.run(...values).lastInsertRowid
    if (input !== undefined) insertInput.run(key, JSON.stringify(input))
    return key
  }

  const update = (key: number | bigint, { input: _, ...record }: Store.ExecutionRecord) => {
    updateExecution.run(record.status, JSON.stringify(record), key)
    return key
  }

  const keyOf = (arn: string) => find.get(arn)?.key as number | undefined

  const write = ({ answered, events, execution, operations }: Store.Commit) => {
    const known = keyOf(execution.arn)
    const key = known === undefined ? create(execution) : update(known, execution)
    for (const record of operations) {
      putOperation.run(key, record.operation.Id, record.position, JSON.stringify(record))
    }
    for (const event of events) insertEvent.run(key, event.EventId, JSON.stringify(event))
    if (answered === undefined) return
    putAnswered.run(key, answered.clientToken, answered.at, JSON.stringify(answered))
    forgetAnswered.run(answered.at - Store.CLIENT_TOKEN_MILLIS)
  }

  const toExecution = ({ arn, input, key, record }: Row): Store.ExecutionRecord => {
    const execution = readExecution(`key = ${key}`, record, (one) => one.arn === arn)
    return input === null ? execution : { ...execution, input: readInput(`execution = ${key}`, input, () => true) }
  }

  const operationsOf = (key: SQLOutputValue | undefined) =>
    selectOperations
      .all(key!)
      .map(({ id, record }) =>
        readOperation(`execution = ${key} and id = '${id}'`, record, ({ operation }) => operation.Id === id)
      )

  const answeredOf = (key: SQLOutputValue | undefined) =>
    selectAnswered
      .all(key!)
      .map((row) => readAnswered(`key = ${row.key}`, row.record, ({ clientToken }) => clientToken === row.token))

  const history = (arn: string, { after, limit = -1, reverse = false }: Store.EventPage) => {
    const key = keyOf(arn)
    if (key === undefined) return []
    const rows = reverse
      ? backwards.all(key, after ?? Number.MAX_SAFE_INTEGER, limit)
      : forwards.all(key, after ?? 0, limit)
    return rows.map(({ id, record }) =>
      readEvent(`execution = ${key} and id = ${id}`, record, ({ EventId }) => EventId === id)
    )
  }

  const where = (conditions: ReadonlyArray<readonly [sql: string, value: string | number | undefined]>) => {
    const given = conditions.filter(([, value]) => value !== undefined)
    return {
      sql: given.length === 0 ? "" : ` WHERE ${given.map(([sql]) => sql).join(" AND ")}`,
      values: given.flatMap(([, value]) => value ?? [])
    }
  }

  const matching = ({ functionName, name, search, startedAfter, startedBefore, status, version }: Store.ListFilter) =>
    [
      ["function = ?", functionName],
      ["name = ?", name],
      ["status = ?", status],
      ["version = ?", version],
      ["started > ?", startedAfter],
      ["started < ?", startedBefore],
      ["instr(lower(arn), ?) > 0", search?.toLowerCase()]
    ] as const

  const list = (filter: Store.ListFilter, { after, limit = -1, reverse = false }: Store.ListPage) => {
    const last = after === undefined ? undefined : keyOf(after)
    if (after !== undefined && last === undefined) return []
    const { sql, values } = where([...matching(filter), [reverse ? "key > ?" : "key < ?", last]])
    return db
      .prepare(`${SELECT}${sql} ORDER BY key ${reverse ? "ASC" : "DESC"} LIMIT ?`)
      .all(...values, limit)
      .map(toExecution)
  }

  const count = (filter: Store.ListFilter) => {
    const { sql, values } = where(matching(filter))
    return Number(db.prepare(`SELECT count(*) AS executions FROM executions${sql}`).get(...values)?.executions)
  }

  return Store.ExecutionStore.of({
    commit: (commit) => attempt("commit", () => transaction(() => write(commit))),
    load: (arn) =>
      attempt("load", () =>
        Option.map(Option.fromUndefinedOr(selectExecution.get(arn)), (row): Store.Snapshot => ({
          execution: toExecution(row),
          operations: operationsOf(row.key),
          answered: answeredOf(row.key)
        }))
      ),
    execution: (arn) =>
      attempt("execution", () => Option.map(Option.fromUndefinedOr(selectExecution.get(arn)), toExecution)),
    history: (arn, page = {}) => attempt("history", () => history(arn, page)),
    list: (filter, page = {}) => attempt("list", () => list(filter, page)),
    count: (filter) => attempt("count", () => count(filter)),
    running: attempt("running", () => selectRunning.all().map(({ arn }) => String(arn)))
  })
})

/**
 * A store in a SQLite file.
 *
 * **Details**
 *
 * One engine owns a file while the layer lives; a second one is refused. After the process has ended, however it
 * did, the next one may open it. Payloads are stored as they are: a `Serdes` that encrypts keeps them secret.
 *
 * Every change is a transaction: with `synchronous: "NORMAL"` (default) what was acknowledged survives the end of
 * the process, with `"FULL"` also a power failure.
 *
 * Fails with `StoreNotOpened` when another engine has the file open, it belongs to another program or to a newer
 * version of this package, its folder does not exist, or Node.js is older than 22.13 (where `node:sqlite` came;
 * Node.js 22 prints a warning that it is experimental). A row that cannot be read later on is an
 * `ExecutionStoreError` whose `cause` is a `CorruptRow`.
 *
 * **Example** (An engine that survives its process)
 *
 * ```ts
 * import { Engine, Timers } from "effect-durable-lambda/engine"
 * import * as SqliteStore from "effect-durable-lambda/engine/SqliteStore"
 * import { Effect, Layer } from "effect"
 *
 * declare const handler: (event: unknown, context: unknown) => Promise<unknown>
 *
 * const program = Effect.gen(function*() {
 *   const engine = yield* Engine.Engine
 *   yield* engine.register("order", Engine.fromHandler(handler))
 *   const arn = yield* engine.start({ functionName: "order:$LATEST", executionName: "order-7", payload: "{}" })
 *   return yield* engine.await(arn)
 * })
 *
 * // carries on with what an earlier process has left
 * const layer = Layer.provide(Engine.layerRecovering, [SqliteStore.layer({ filename: "orders.sqlite" }), Timers.layer])
 * const run = Effect.provide(program, layer)
 * ```
 */
export const layer = (options: Options): Layer.Layer<Store.ExecutionStore, StoreNotOpened> =>
  Layer.effect(Store.ExecutionStore, make(options))
