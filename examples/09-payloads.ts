/**
 * Shows: what is recorded. Plain JSON needs no schema; everything else has one. `Durable.text` records a string verbatim,
 * for readers that expect no JSON. A `Serdes` layer transforms the text of all results, here by compressing it.
 */
import { promisify } from "node:util"
import { gunzip, gzip } from "node:zlib"
import { Durable, DurableFunction, DurableHandler, Serdes } from "effect-durable-lambda"
import { DateTime, Effect, Layer, Schema } from "effect"

export class Invoice extends Schema.Class<Invoice>("Invoice")({
  number: Schema.String,
  cents: Schema.BigInt,
  due: Schema.DateTimeUtc
}) {}

export const Bill = DurableFunction.make("bill", { payload: Schema.String, success: Invoice })

export const bill = Effect.fnUntraced(function* (customer: string) {
  const { id } = yield* Durable.step("customer", Effect.succeed({ id: 7, name: customer })) // plain JSON
  const number = yield* Durable.step("number", Effect.succeed(`2026/${id}`), {
    success: Durable.text(Schema.String) // recorded as 2026/7, without quotes
  })
  return yield* Durable.step("invoice", makeInvoice(number), { success: Invoice }) // comes back as an Invoice
})

const makeInvoice = (number: string) =>
  Effect.map(DateTime.now, (now) => new Invoice({ number, cents: 1999n, due: DateTime.add(now, { days: 30 }) }))

const compressed = {
  encode: (text: string) => Effect.promise(async () => (await promisify(gzip)(text)).toString("base64")),
  decode: (text: string) =>
    Effect.tryPromise({
      try: async () => (await promisify(gunzip)(Buffer.from(text, "base64"))).toString(),
      catch: (error) => `not compressed: ${String(error)}`
    })
}
export const layer = Layer.succeed(Serdes.Serdes, compressed)

export const handler = DurableHandler.make(Bill, bill, { layer })
