/**
 * Shows: layers between values and records. Payloads are compressed when large, encrypted always, and kept in a store when
 * still too large; the console shows a preview. A field of `Redact` is encrypted wherever it goes, also in the input.
 */
import {
  Durable,
  DurableFunction,
  DurableHandler,
  KeyProvider,
  PayloadStore,
  Redact,
  SerdesClaimCheck,
  SerdesEncryption,
  SerdesGzip,
  SerdesPreview,
  SerdesStack
} from "effect-durable-lambda"
import { Context, Effect, Layer, Schema } from "effect"

const Iban = Redact.field(Schema.String, { label: "iban", mask: (iban) => `${iban.slice(0, 2)}…${iban.slice(-4)}` })

export const Review = DurableFunction.make("review", {
  payload: Schema.Struct({ id: Schema.String, iban: Iban }),
  success: Schema.Struct({ id: Schema.String, bookings: Schema.Int })
})

export class Bank extends Context.Service<
  Bank,
  { readonly bookings: (iban: string) => Effect.Effect<ReadonlyArray<string>> }
>()("example/Bank") {}

export const review = Effect.fnUntraced(function* ({ iban, id }: typeof Review.payload.Type) {
  const bookings = Bank.use((bank) => bank.bookings(iban))
  const statement = yield* Durable.step(
    "statement",
    Effect.map(bookings, (bookings) => ({ id, bookings }))
  )
  yield* Durable.wait("time to object", "14 days") // on record are a preview and a pointer, nothing else
  return { id, bookings: statement.bookings.length }
})

// in real life a secret of the environment, or KeyProviderKms
export const keys = KeyProvider.layerStatic({
  current: "2026",
  keys: { "2026": Buffer.from("not a secret: this is an example") }
})

// in real life PayloadStoreS3 or PayloadStoreFiles
const store = PayloadStore.layerMemory

export const layers = SerdesStack.layer(
  [SerdesGzip.gzip(), SerdesEncryption.aes256Gcm, SerdesClaimCheck.claimCheck({ above: 10_000 })],
  { preview: SerdesPreview.pick({ show: ["id"] }) }
).pipe(Layer.provide([keys, store]))

const bank = Layer.succeed(Bank, { bookings: (iban) => Effect.succeed([`rent of ${iban}`, "salary"]) })

export const handler = DurableHandler.make(Review, review, { layer: Layer.mergeAll(bank, keys, layers) })
