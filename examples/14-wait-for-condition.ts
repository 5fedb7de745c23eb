/**
 * Shows: polling another system. Between two checks nothing runs. The state (here the job, with the number of the page
 * that was read last) is recorded after every check, and the next one goes on from it.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schedule, Schema } from "effect"

export const Job = Schema.Struct({
  id: Schema.String,
  status: Schema.Literals(["queued", "running", "done"]),
  page: Schema.Int
})
export type Job = typeof Job.Type

export class Gone extends Schema.TaggedError<Gone>()("Gone", { id: Schema.String }) {}

export class Jobs extends Context.Service<Jobs, { readonly next: (job: Job) => Effect.Effect<Job, Gone> }>()(
  "examples/Jobs"
) {}

export const Render = DurableFunction.make("render", { payload: Schema.String, success: Schema.String, error: Gone })

export const render = (id: string) =>
  Durable.waitForCondition("job", (job) => Jobs.use((jobs) => jobs.next(job)), {
    initial: { id, status: "queued", page: 0 },
    state: Job,
    error: Gone, // a failure of the check ends the waiting; this one as its class
    until: ({ status }) => status === "done",
    // a builder sees the state: every ten seconds while it runs, and not more than a hundred times
    schedule: ($) =>
      $(Schedule.spaced("10 seconds")).pipe(
        Schedule.addDelay(({ input }) => Effect.succeed(input.status === "queued" ? "50 seconds" : 0)),
        Schedule.upTo({ times: 100 })
      )
  }).pipe(
    Effect.map(({ page }) => `${page} pages`),
    Effect.catchTag("ConditionExhausted", ({ attempts }) => Effect.succeed(`not done after ${attempts} looks`))
  )
