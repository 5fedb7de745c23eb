import * as Store from "../../src/engine/ExecutionStore.ts"
import { suite } from "./ExecutionStoreTest.ts"

suite("memory", Store.layerMemory)
