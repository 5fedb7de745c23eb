import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Heap, type Node } from "../../src/internal/core/heap.ts"

class Item implements Node<Item> {
  readonly n: number
  child: Item | undefined
  next: Item | undefined
  constructor(n: number) {
    this.n = n
  }
}

describe("Heap", () => {
  it.prop("gives its items in order, pushed and popped in any way", [Schema.Array(Schema.Int)], ([numbers]) => {
    const heap = new Heap<Item>((a, b) => a.n < b.n)
    const model: Array<number> = []
    const pop = () => {
      const item = heap.pop()
      assert.strictEqual(item?.n, model.shift())
      // it leads to nothing any more, and may go into another heap
      assert.isUndefined(item?.child)
      assert.isUndefined(item?.next)
    }
    for (const [i, n] of numbers.entries()) {
      heap.push(new Item(n))
      model.push(n)
      model.sort((a, b) => a - b)
      assert.strictEqual(heap.peek()?.n, model[0])
      if (i % 3 === 2) pop()
    }
    while (model.length > 0) pop()
    assert.isUndefined(heap.peek())
    assert.isUndefined(heap.pop())
  })
})
