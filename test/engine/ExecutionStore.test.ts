import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as SqliteStore from "../../src/engine/SqliteStore.ts"
import { suite } from "./ExecutionStoreTest.ts"
import { temporary } from "./kit.ts"

suite("memory", Store.layerMemory)
suite("SQLite in memory", SqliteStore.layer({ filename: ":memory:" }))
suite("SQLite in a file", Layer.unwrap(Effect.map(temporary, (filename) => SqliteStore.layer({ filename }))))
