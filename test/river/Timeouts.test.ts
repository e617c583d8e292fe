import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { done, getJob, insertJob, jobIn, riverDatabase, startClient, until, worker } from "./support.ts"

/** Waits until the client's rescuer has looked at everything, more than once. */
const rescuedTwice = (client: { readonly events: ReadonlyArray<string> }) =>
  Effect.andThen(
    until(
      Effect.sync(() => client.events.filter((event) => event === "rescue").length),
      (passes) => passes >= 4
    ),
    Effect.sleep("100 millis")
  )

layer(riverDatabase, { excludeTestServices: true })("a timeout", (it) => {
  it.effect("[75] ends an attempt that cannot be interrupted as a failure once it is over, also when it succeeds", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.uninterruptible(Effect.delay(done, "400 millis")), {
        timeout: Duration.millis(100)
      })
      const id = yield* insertJob(kind, { max_attempts: 1 })
      yield* startClient([kind])

      const job = yield* jobIn("discarded", id, "3 seconds")

      assert.isAtLeast(Date.parse(job.finalized_at!) - Date.parse(job.attempted_at!), 380)
      assert.deepInclude(job.errors?.[0], { error: "the attempt did not end within 0.1 seconds" })
    })
  )

  for (const [name, timeout] of [
    ["none", Duration.infinity],
    ["longer than a timer of Node's can be", Duration.days(30)]
  ] as const) {
    it.effect(`[76] is each worker's own and may be ${name}: the attempt runs on, and nobody rescues it`, () =>
      Effect.gen(function* () {
        const finish = yield* Deferred.make<void>()
        const patient = worker(() => Effect.as(Deferred.await(finish), {}), { timeout })
        const hasty = worker(() => Effect.never, { timeout: Duration.millis(100) })
        const [running, ended] = [yield* insertJob(patient), yield* insertJob(hasty, { max_attempts: 1 })]

        const client = yield* startClient([patient, hasty])

        yield* jobIn("discarded", ended)
        yield* rescuedTwice(client)
        assert.deepInclude(yield* getJob(running), { state: "running" })
        yield* Deferred.succeed(finish, undefined)
        assert.deepInclude(yield* jobIn("completed", running), { attempt: 1, errors: null })
        assert.deepEqual(client.logged(/could not/), [])
      })
    )
  }

  it.effect("[110] that is none leaves a job running that a client of its kind has had for days", () =>
    Effect.gen(function* () {
      const kind = worker(() => done, { timeout: Duration.infinity })
      const other = worker(() => done)
      const lost = {
        state: "running",
        attempt: 1,
        attempted_at: "now() - interval '9 days'",
        attempted_by: "array['host_test_2026_08_07T09_30_00_123456']"
      }
      const id = yield* insertJob(kind, lost)
      const rescued = yield* insertJob(other, lost)

      const client = yield* startClient([kind, other])
      yield* jobIn("completed", rescued)
      yield* rescuedTwice(client)

      assert.deepInclude(yield* getJob(id), { state: "running", attempt: 1, errors: null })
      assert.deepEqual(client.logged(/could not/), [])
    })
  )
})
