import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { promisify } from "node:util"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as SqliteStore from "../../src/engine/SqliteStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import { execution, operation } from "./ExecutionStoreTest.ts"
import { temporary } from "./kit.ts"
import * as raw from "./raw.ts"

const use = <A, E>(filename: string, body: (store: Store.ExecutionStore["Service"]) => Effect.Effect<A, E>) =>
  Effect.provide(Store.ExecutionStore.use(body), SqliteStore.layer({ filename }), { local: true })

const refusal = (filename: string) => Effect.flip(use(filename, () => Effect.void))

/** Does something to the file that no store does. */
const tamper = (filename: string, sql: string) =>
  Effect.sync(() => {
    const db = new DatabaseSync(filename)
    db.exec(sql)
    db.close()
  })

const one = execution("one")
const full: Store.Commit = {
  execution: one,
  operations: [operation("a", 1, "secret")],
  events: [{ EventType: "ContextStarted", EventId: 1, ContextStartedDetails: {} }],
  answered: { clientToken: "c", at: 1, response: {} }
}

describe("SqliteStore", () => {
  it.effect("keeps everything after it was closed", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* use(filename, (store) => store.commit(full))
      const [snapshot, history] = yield* use(filename, (store) =>
        Effect.all([store.load(one.arn), store.history(one.arn)])
      )
      assert.deepStrictEqual(Option.getOrThrow(snapshot), {
        execution: one,
        operations: full.operations,
        answered: [full.answered!]
      })
      assert.deepStrictEqual(history, full.events)
    })
  )

  it.effect("writes nothing of a commit that fails", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* use(filename, (store) =>
        Effect.gen(function* () {
          yield* store.commit(full)
          const broken = { ...full, execution: { ...one, changes: 9 }, operations: [operation("b", 2)] }
          const error = yield* Effect.flip(store.commit(broken)) // event 1 is there
          assert.instanceOf(error, Store.ExecutionStoreError)
          assert.match(error.message, /^the execution store failed to commit: UNIQUE constraint failed: events/)
          const snapshot = Option.getOrThrow(yield* store.load(one.arn))
          assert.strictEqual(snapshot.execution.changes, 0)
          assert.lengthOf(snapshot.operations, 1)
          yield* store.commit({ ...broken, events: [] }) // and it goes on
          assert.lengthOf(Option.getOrThrow(yield* store.load(one.arn)).operations, 2)
        })
      )
    })
  )

  it.effect("makes files that only their owner can read", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* use(filename, (store) =>
        Effect.gen(function* () {
          yield* store.commit(full)
          for (const name of fs.readdirSync(path.dirname(filename))) {
            assert.strictEqual(fs.statSync(path.join(path.dirname(filename), name)).mode & 0o777, 0o600, name)
          }
        })
      )
    })
  )

  it.effect("opens with FULL synchronisation, too", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* Effect.provide(
        Store.ExecutionStore.use((store) => store.commit(full)),
        SqliteStore.layer({ filename, synchronous: "FULL" })
      )
      assert.isTrue(Option.isSome(yield* use(filename, (store) => store.execution(one.arn))))
    })
  )

  it.effect("opens a file that was being made when its process ended", () =>
    Effect.gen(function* () {
      const empty = yield* temporary
      fs.writeFileSync(empty, "")
      const switched = yield* temporary
      yield* tamper(switched, "PRAGMA journal_mode = WAL")
      const begun = yield* temporary
      yield* tamper(begun, "PRAGMA journal_mode = WAL; BEGIN; CREATE TABLE executions (a)")
      for (const filename of [empty, switched, begun]) {
        yield* use(filename, (store) => store.commit(full))
        assert.isTrue(Option.isSome(yield* use(filename, (store) => store.execution(one.arn))))
      }
    })
  )

  it.effect("opens a file of the version before, with what is in it", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      const { input: _, ...record } = execution("old", { startedAt: 5, version: "7" })
      yield* use(filename, () => Effect.void)
      // as version 1 has left it: without what version 2 has added
      yield* tamper(
        filename,
        `DROP INDEX executions_by_function; DROP INDEX executions_by_start;
         ALTER TABLE executions DROP COLUMN version; ALTER TABLE executions DROP COLUMN started;
         INSERT INTO executions (arn, function, name, status, record) VALUES
           ('${record.arn}', 'order', 'old', 'RUNNING', '${JSON.stringify(record)}'),
           ('arn:corrupt', 'order', 'corrupt', 'FAILED', 'not JSON');
         PRAGMA user_version = 1`
      )
      yield* use(filename, (store) =>
        Effect.gen(function* () {
          yield* store.commit({ execution: execution("new", { startedAt: 6 }), operations: [], events: [] })
          const names = (filter: Store.ListFilter) =>
            Effect.map(store.list(filter), (found) => found.map(({ name }) => name))
          assert.deepStrictEqual(yield* names({ version: "7" }), ["old"])
          assert.deepStrictEqual(yield* names({ startedAfter: 4 }), ["new", "old"])
          assert.deepStrictEqual(yield* names({ startedAfter: 5 }), ["new"])
          assert.match((yield* Effect.flip(store.execution("arn:corrupt"))).message, /its record is not JSON/)
        })
      )
    })
  )

  it.effect("does not share what is in memory", () =>
    Effect.gen(function* () {
      yield* use(":memory:", (store) => store.commit(full))
      assert.isTrue(Option.isNone(yield* use(":memory:", (store) => store.execution(one.arn))))
      assert.isFalse(fs.existsSync(":memory:"))
    })
  )
})

describe("SqliteStore: refuses", () => {
  it.effect("a second engine in this process, and lets the next one in", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* use(filename, (store) =>
        Effect.gen(function* () {
          const error = yield* refusal(filename)
          assert.strictEqual(error._tag, "StoreNotOpened")
          assert.match(
            error.message,
            /store\.sqlite cannot be opened: another engine \(or another program\) has it open\. Only one may own/
          )
          yield* store.commit(full) // the first one has not lost it
          assert.match((yield* refusal(filename)).message, /another engine/)
        })
      )
      assert.isTrue(Option.isSome(yield* use(filename, (store) => store.execution(one.arn))))
    })
  )

  it.effect("a second engine in another process", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      const script = `
        const { Effect } = await import("effect")
        const SqliteStore = await import("effect-durable-lambda/engine/SqliteStore")
        const { Layer } = await import("effect")
        const opened = Effect.scoped(Layer.build(SqliteStore.layer({ filename: process.argv[1] })))
        console.log(await Effect.runPromise(Effect.match(opened, { onSuccess: () => "opened", onFailure: String })))`
      const other = Effect.promise(() =>
        promisify(execFile)(process.execPath, [
          "--conditions=@effect-durable-lambda/source",
          "--input-type=module",
          "--eval",
          script,
          filename
        ])
      )
      yield* use(filename, (store) =>
        Effect.gen(function* () {
          yield* store.commit(full)
          assert.match((yield* other).stdout, /another engine/)
          yield* store.commit({ ...full, events: [] })
        })
      )
      assert.match((yield* other).stdout, /^opened/)
    })
  )

  it.effect("a file of a newer version, and leaves it as it is", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* use(filename, (store) => store.commit(full))
      yield* tamper(filename, "PRAGMA user_version = 99")
      const before = fs.readFileSync(filename)
      assert.match(
        (yield* refusal(filename)).message,
        /newer version .* \(its schema is 99, this version knows 2\)\. Upgrade/
      )
      assert.isTrue(before.equals(fs.readFileSync(filename)))
    })
  )

  it.effect("a database of another program, and leaves it as it is", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* tamper(filename, "CREATE TABLE theirs (a)")
      const before = fs.readFileSync(filename)
      assert.match((yield* refusal(filename)).message, /of another program/)
      assert.isTrue(before.equals(fs.readFileSync(filename)))
    })
  )

  it.effect("what is no database", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      fs.writeFileSync(filename, "something else, and long enough to have a header of a hundred bytes".repeat(99))
      assert.match((yield* refusal(filename)).message, /it is not a SQLite database/)
    })
  )

  it.effect("a folder that is not there", () =>
    Effect.gen(function* () {
      const filename = `${yield* temporary}/nowhere/store.sqlite`
      assert.match((yield* refusal(filename)).message, /nowhere\/store\.sqlite cannot be opened: E(NOENT|NOTDIR)/)
    })
  )
})

describe("SqliteStore: corrupt rows", () => {
  const load = (store: Store.ExecutionStore["Service"]) => store.load(one.arn)
  const history = (store: Store.ExecutionStore["Service"]) => store.history(one.arn)
  const list = (store: Store.ExecutionStore["Service"]) => store.list({})
  type Read = (store: Store.ExecutionStore["Service"]) => Effect.Effect<unknown, Store.ExecutionStoreError>
  const cases: ReadonlyArray<readonly [title: string, sql: string, read: Read, row: RegExp]> = [
    ["no JSON", `UPDATE executions SET record = '{"secret'`, load, /executions, the row with key = 1 is.*not JSON/],
    ["no JSON in a list", `UPDATE executions SET record = ''`, list, /executions, the row with key = 1/],
    ["no object", `UPDATE executions SET record = '"secret"'`, load, /executions.*: it holds no record\./],
    [
      "another's record",
      `UPDATE executions SET arn = '${one.arn}', record = json_set(record, '$.arn', 'secret')`,
      load,
      /another row/
    ],
    ["a field is missing", `UPDATE executions SET record = json_remove(record, '$.stamp')`, load, /"stamp" is missing/],
    [
      "a wrong type",
      `UPDATE executions SET record = json_set(record, '$.stamp', 'secret')`,
      load,
      /"stamp" is missing or/
    ],
    ["an input", `UPDATE inputs SET input = '1'`, load, /inputs, the row with execution = 1 is corrupt/],
    [
      "a status",
      `UPDATE operations SET record = json_set(record, '$.operation.Status', 'secret')`,
      load,
      /operations, the row with execution = 1 and id = 'a' is corrupt: "operation.Status" is missing/
    ],
    [
      "a timestamp",
      `UPDATE operations SET record = json_set(record, '$.operation.StartTimestamp', 'secret')`,
      load,
      /"operation.StartTimestamp" is missing/
    ],
    [
      "an operation's row",
      `UPDATE operations SET id = 'b'`,
      load,
      /id = 'b' is corrupt: it holds the record of another/
    ],
    [
      "an answer",
      `UPDATE answered SET record = json_remove(record, '$.at')`,
      load,
      /answered, the row with key = 1 is.*"at"/
    ],
    [
      "an event",
      `UPDATE events SET record = '[]'`,
      history,
      /events, the row with execution = 1 and id = 1 is corrupt/
    ],
    ["an event's number", `UPDATE events SET id = 2`, history, /id = 2 is corrupt: it holds the record of another row/]
  ]
  it.effect.each(cases)("%s", ([, sql, read, row]) =>
    Effect.gen(function* () {
      const filename = yield* temporary
      yield* use(filename, (store) => store.commit(full))
      yield* tamper(filename, sql)
      const error = yield* use(filename, (store) => Effect.flip(read(store)))
      assert.instanceOf(error, Store.ExecutionStoreError)
      assert.instanceOf(error.cause, SqliteStore.CorruptRow)
      assert.match(error.message, row)
      assert.include(error.message, filename)
      assert.notInclude(error.message, "secret")
    })
  )

  it.effect("stop their execution, and no other", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      const life = <A, E>(body: (engine: Engine.Engine["Service"]) => Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          yield* raw.register("wait", (durable) => durable.wait("w", 60))
          return yield* Engine.Engine.use(body)
        }).pipe(
          Effect.provide(Engine.layer.pipe(Layer.provide([SqliteStore.layer({ filename }), Timers.layer]), Layer.fresh))
        )
      const arns = yield* life((engine) =>
        Effect.gen(function* () {
          const arns = yield* Effect.all([
            engine.start({ functionName: "wait:1" }),
            engine.start({ functionName: "wait:1" })
          ])
          yield* TestClock.adjust("1 second")
          return arns
        })
      )
      yield* tamper(filename, "UPDATE operations SET record = '' WHERE execution = 1")
      const logged: Array<string> = []
      const logger = Logger.make(({ cause, message }) => void logged.push(`${String(message)} ${Cause.pretty(cause)}`))
      yield* life((engine) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* engine.recover, 1)
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* engine.await(arns[1])).Status, "SUCCEEDED")
          assert.strictEqual((yield* Effect.flip(engine.operations(arns[0]))).errorName, "ServiceException")
        })
      ).pipe(Effect.provide(Logger.layer([logger])))
      assert.lengthOf(logged, 1)
      assert.match(logged[0] ?? "", /an execution cannot go on.*table operations, the row with execution = 1/s)
    })
  )
})
