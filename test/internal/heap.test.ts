import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Heap } from "../../src/internal/core/heap.ts"

describe("Heap", () => {
  it.prop("gives its items in order, pushed and popped in any way", [Schema.Array(Schema.Int)], ([numbers]) => {
    const heap = new Heap<number>((a, b) => a < b)
    const model: Array<number> = []
    for (const [i, n] of numbers.entries()) {
      heap.push(n)
      model.push(n)
      model.sort((a, b) => a - b)
      assert.strictEqual(heap.peek(), model[0])
      if (i % 3 === 2) assert.strictEqual(heap.pop(), model.shift())
    }
    while (model.length > 0) assert.strictEqual(heap.pop(), model.shift())
    assert.isUndefined(heap.peek())
    assert.isUndefined(heap.pop())
  })
})
