import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Line from "../../src/internal/line.ts"
import type { OperationUpdate } from "../../src/Protocol.ts"

const update = (n: number): OperationUpdate => ({ Id: String(n), Type: "STEP", Action: "START" })

const Act = Schema.Union([
  Schema.Struct({ add: Schema.Boolean, lazy: Schema.Boolean }),
  Schema.Struct({ take: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })) })
])

describe("line", () => {
  it.prop(
    "is a list from whose head is taken, and to whose head some are added",
    [Schema.Array(Act).check(Schema.isMinLength(20))],
    ([acts]) => {
      const line = Line.make()
      let model: Array<{
        readonly id: number
        readonly lazy: boolean
        readonly first: boolean
        readonly sent: unknown
      }> = []
      acts.forEach((act, id) => {
        if ("add" in act) {
          const sent: Line.Sent = { counted: true, sentIn: 0, sentMore: false }
          const one = { id, lazy: act.lazy, first: act.add, sent }
          line.add(update(id), sent, act.lazy, act.add)
          const firsts = model.filter(({ first }) => first).length
          model.splice(act.add ? firsts : model.length, 0, one)
        } else {
          const count = Math.min(act.take, model.length)
          const { sent, updates } = line.take(count)
          assert.deepStrictEqual(
            updates.map(({ Id }) => Number(Id)),
            model.slice(0, count).map(({ id }) => id)
          )
          assert.isTrue(sent.length === count && sent.every((noted, i) => noted === model[i]!.sent))
          model = model.slice(count)
        }
        assert.strictEqual(line.size(), model.length)
        assert.strictEqual(line.eager(), model.filter(({ lazy }) => !lazy).length)
        for (let i = 0; i <= model.length; i++) {
          assert.strictEqual(line.at(i)?.Id, model[i] && String(model[i]!.id))
          assert.strictEqual(line.sentAt(i), model[i]?.sent)
        }
      })
      line.clear()
      assert.strictEqual(line.size() + line.eager(), 0)
      assert.isUndefined(line.at(0))
    }
  )
})
