import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Chain, type Link } from "../../src/internal/core/chain.ts"

class Element implements Link<Element> {
  before: Element | undefined
  after: Element | undefined
}

const neighbours = ({ after, before }: Element) => [before, after]

describe("Chain", () => {
  it.prop(
    "holds what a Set holds, in its order, whatever is added and taken out",
    [Schema.Array(Schema.Struct({ element: Schema.Int, out: Schema.Boolean }))],
    ([changes]) => {
      const elements = Array.from({ length: 5 }, () => new Element())
      const chain = new Chain<Element>()
      const model = new Set<Element>()
      for (const { element, out } of changes) {
        const one = elements[Math.abs(element % elements.length)]!
        if (out && model.delete(one)) {
          chain.delete(one)
          assert.deepStrictEqual(neighbours(one), [undefined, undefined], "it leads nowhere")
        } else if (!out && !model.has(one)) {
          model.add(one)
          chain.add(one)
        }
        assert.strictEqual(chain.size, model.size)
        assert.isTrue([...chain].every((one, i) => one === [...model][i]))
        assert.lengthOf([...chain], model.size)
      }
    }
  )

  it("may be changed while it is gone through", () => {
    const chain = new Chain<Element>()
    const [a, b, c] = [new Element(), new Element(), new Element()]
    for (const one of [a, b, c]) chain.add(one)
    const seen: Array<Element> = []
    for (const one of chain) {
      seen.push(one)
      chain.delete(one)
    }
    assert.deepStrictEqual(seen.length, 3)
    assert.strictEqual(chain.size, 0)
    assert.deepStrictEqual([...chain], [])
  })
})
