/**
 * Temporary credentials from every source that AWS has, in a whole process: found, refreshed under load, and waited for.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { build } from "../../tools/build.ts"
import {
  type CredentialServer,
  type Issued,
  startContainerEndpoint,
  startInstanceMetadata,
  startSts
} from "../support/CredentialServers.ts"
import { TestDatabase } from "../support/Database.ts"
import { type Settings, startWorker, until, type WorkerProcess } from "../support/WorkerProcess.ts"
import { answered, completed, countJobs, getJobs, insertRequests, jobOf, onDatabase, requestUpload } from "./support.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-process-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

const running = (start: () => Promise<CredentialServer>) =>
  Effect.acquireRelease(Effect.promise(start), (server) => Effect.promise(server.stop))

/** No keys of the operator's own, so that the sources are asked. */
const noKeys: Settings = { S3_ACCESS_KEY_ID: undefined, S3_SECRET_ACCESS_KEY: undefined }

/** What is in a URL of who signed it and for how long. */
const signed = (url: string) => {
  const query = new URL(url).searchParams
  const date = query.get("X-Amz-Date")!.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5")
  const lifetime = Number(query.get("X-Amz-Expires"))
  return {
    accessKeyId: query.get("X-Amz-Credential")!.split("/")[0]!,
    token: query.get("X-Amz-Security-Token"),
    at: Date.parse(date),
    /** Seconds. */
    lifetime,
    end: Date.parse(date) + lifetime * 1000
  }
}

const allSigned = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly url: string }>`
    SELECT presigned_url AS url FROM metadata.file_upload_requests WHERE presigned_url IS NOT NULL`
  return rows.map(({ url }) => signed(url))
})

/** Nothing went wrong that a person would have to read about, and no secret got out. */
const isQuiet = Effect.fnUntraced(function* (worker: WorkerProcess, expected: ReadonlyArray<RegExp>) {
  assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
  assert.deepEqual(worker.errors, [])
  assert.notMatch(worker.output(), /canary/)
  const messages = worker.log.map(({ message }) => message).filter((message) => !/^(working|stopping)/.test(message))
  assert.strictEqual(messages.length, expected.length, messages.join("\n"))
  for (const [index, message] of messages.entries()) assert.match(message, expected[index]!)
})

interface Source {
  readonly settings: Settings
  readonly accessKeyId: string
  readonly token: string | null
  /** As the log names it. */
  readonly says: string
}

/** Every source, with what it needs; `identity` and `token` are files. */
const sources: Readonly<Record<string, (directory: string) => Effect.Effect<Source, never, Scope.Scope>>> = {
  "a profile's keys": (directory) =>
    Effect.sync(() => ({
      settings: profile(directory, "aws_access_key_id = AKIDFILE\naws_secret_access_key = canary"),
      accessKeyId: "AKIDFILE",
      token: null,
      says: 'profile "signer"'
    })),
  "a profile's temporary keys": (directory) =>
    Effect.sync(() => ({
      settings: profile(
        directory,
        "aws_access_key_id = ASIAFILE\naws_secret_access_key = canary\naws_session_token = canary-token+/="
      ),
      accessKeyId: "ASIAFILE",
      token: "canary-token+/=",
      says: 'profile "signer"'
    })),
  "a profile's process": (directory) =>
    Effect.sync(() => {
      const keys = { Version: 1, AccessKeyId: "AKIDPROCESS", SecretAccessKey: "canary", SessionToken: "canary-token" }
      return {
        settings: profile(directory, `credential_process = echo '${JSON.stringify(keys)}'`),
        accessKeyId: "AKIDPROCESS",
        token: "canary-token",
        says: 'profile "signer", credential process'
      }
    }),
  "a role that a profile assumes": (directory) =>
    Effect.map(
      running(() => startSts()),
      (sts) => ({
        settings: {
          ...profile(
            directory,
            "role_arn = arn:aws:iam::123456789012:role/uploads\nsource_profile = base\n" +
              "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = canary"
          ),
          AWS_ENDPOINT_URL_STS: sts.url
        },
        accessKeyId: "ASIAROLE1",
        token: "canary/token+ROLE1==",
        says: 'profile "signer", assumed role, until '
      })
    ),
  "a web identity": (directory) => {
    const identity = path.join(directory, "identity")
    fs.writeFileSync(identity, "canary-identity")
    return Effect.map(
      running(() => startSts(identity)),
      (sts) => ({
        settings: {
          AWS_WEB_IDENTITY_TOKEN_FILE: identity,
          AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/uploads",
          AWS_ENDPOINT_URL_STS: sts.url
        },
        accessKeyId: "ASIAWEB1",
        token: "canary/token+WEB1==",
        says: "web identity, until "
      })
    )
  },
  "a container's endpoint": (directory) => {
    const token = path.join(directory, "token")
    fs.writeFileSync(token, "canary-token")
    return Effect.map(
      running(() => startContainerEndpoint(token)),
      ({ url }) => ({
        settings: { AWS_CONTAINER_CREDENTIALS_FULL_URI: url, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token },
        accessKeyId: "ASIACONTAINER1",
        token: "canary/token+CONTAINER1==",
        says: "container endpoint, until "
      })
    )
  },
  "an instance's metadata": () =>
    Effect.map(running(startInstanceMetadata), ({ url }) => ({
      settings: { AWS_EC2_METADATA_DISABLED: "false", AWS_EC2_METADATA_SERVICE_ENDPOINT: url },
      accessKeyId: "ASIAINSTANCE1",
      token: "canary/token+INSTANCE1==",
      says: "instance metadata, until "
    }))
}

const profile = (directory: string, lines: string): Settings => {
  const config = path.join(directory, "config")
  fs.writeFileSync(config, `[profile signer]\n${lines}\n`)
  return { AWS_PROFILE: "signer", AWS_CONFIG_FILE: config }
}

describe("credentials", () => {
  it.live("are found in every source, by the bundle, which has no node_modules beside it", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const dist = yield* folder
        const entry = path.join(import.meta.dirname, "../../src/main.ts")
        yield* Effect.promise(() => build({ entry, outDir: dist }))

        for (const [name, source] of Object.entries(sources)) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { accessKeyId, says, settings, token } = yield* source(yield* folder)
              const worker = yield* startWorker(
                url,
                { ...noKeys, MIN_URL_LIFETIME: "10s", ...settings },
                path.join(dist, "main.js")
              )
              const id = yield* requestUpload()
              const answer = yield* answered(id)

              assert.deepInclude(signed(answer.url!), { accessKeyId, token }, name)
              assert.deepInclude(yield* jobOf(id), { attempt: 1, errors: null })
              const line = yield* worker.line(/^AWS credentials found/)
              assert.isTrue(line.message.startsWith(`AWS credentials found: ${says}`), `${name}: ${line.message}`)
              assert.notInclude(worker.output(), accessKeyId)
              yield* isQuiet(worker, [/^AWS credentials found/])
            })
          )
        }
      })
    )
  )

  // Usable for 8 of 14 seconds, and replaced after half of that.
  const life = 14_000
  const minimum = 1000
  const skew = 5000
  const shortLived = ({ url }: CredentialServer): Settings => ({
    ...noKeys,
    AWS_CONTAINER_CREDENTIALS_FULL_URI: url,
    MIN_URL_LIFETIME: `${minimum / 1000}s`,
    LOG_LEVEL: "debug"
  })

  it.live("that live for seconds are replaced under load: no job fails, and no URL outlives what signed it", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const server = yield* running(() => startContainerEndpoint())
        server.live(life)
        const worker = yield* startWorker(url, { ...shortLived(server), LOG_LEVEL: "info" })
        yield* worker.working

        const rounds = 100
        for (let round = 0; round < rounds; round++) {
          yield* insertRequests(20)
          yield* Effect.sleep("200 millis")
        }
        yield* completed(rounds * 20)

        assert.deepEqual(yield* countJobs, { completed: rounds * 20 })
        assert.lengthOf(yield* getJobs("j.attempt <> 1 OR j.errors IS NOT NULL"), 0)
        const urls = yield* allSigned
        const issued = new Map(server.issued.map((keys) => [keys.accessKeyId, keys]))
        for (const { accessKeyId, end, lifetime, token } of urls) {
          const keys = issued.get(accessKeyId)!
          assert.strictEqual(token, keys.sessionToken)
          assert.isAtMost(end, keys.expiration - skew)
          assert.isAtLeast(lifetime, minimum / 1000)
          assert.isAtMost(lifetime, (life - skew) / 1000)
        }
        assert.isAtLeast(new Set(urls.map(({ accessKeyId }) => accessKeyId)).size, 4)
        isBeforeTheNeed(server.issued)
        // Once a look is over, so are its connections.
        yield* until(
          Effect.sync(() => server.connections()),
          (count) => count === 0
        )
        yield* isQuiet(worker, [/^AWS credentials found: container endpoint, until /])
      })
    )
  )

  /** Each was fetched while the one before it could still be used, by a second and more. */
  const isBeforeTheNeed = (issued: ReadonlyArray<Issued>) => {
    for (const [index, { at }] of issued.slice(1).entries()) {
      const lastUse = issued[index]!.expiration - skew - minimum
      assert.isBelow(at, lastUse - 1000)
    }
    assert.isBelow(issued.length, 14)
  }

  it.live("are replaced by others twice in the middle of a drain, and nothing is lost", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const server = yield* running(() => startContainerEndpoint())
        server.live(11_000)
        yield* insertRequests(2000)
        const worker = yield* startWorker(url, { ...shortLived(server), MAX_WORKERS: "2", LOG_LEVEL: "info" })
        yield* worker.working
        // More comes for as long as it takes: the drain outlasts two refreshes, however fast it is.
        const more = yield* Effect.forkChild(
          Effect.forever(Effect.andThen(insertRequests(200), Effect.sleep("100 millis")))
        )
        yield* until(
          Effect.sync(() => server.issued.length),
          (count) => count >= 4,
          "40 seconds"
        )
        yield* Fiber.interrupt(more)
        yield* until(countJobs, (states) => Object.keys(states).join() === "completed", "40 seconds")

        assert.lengthOf(yield* getJobs("j.attempt <> 1 OR j.errors IS NOT NULL"), 0)
        const used = new Set((yield* allSigned).map(({ accessKeyId }) => accessKeyId))
        assert.isAtLeast(used.size, 3)
        yield* isQuiet(worker, [/^AWS credentials found/])
      })
    )
  )

  it.live("that end and cannot be had cost no attempt: jobs wait, the log says why, and then all goes on", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const server = yield* running(() => startContainerEndpoint())
        server.live(10_000)
        const worker = yield* startWorker(url, { ...shortLived(server), LOG_LEVEL: "info" })
        assert.strictEqual((yield* answered(yield* requestUpload())).status, "completed")

        server.fail({ status: 403 })
        yield* worker.line(
          /^AWS credentials could not be refreshed, those held can be used until .*: container endpoint: Refused, HTTP 403$/
        )
        yield* worker.line(/^no usable AWS credentials, nothing can be signed: container endpoint: Refused, HTTP 403$/)
        yield* insertRequests(100)
        const id = yield* requestUpload()
        for (const fault of [
          "silent",
          { body: "{canary" },
          { fields: { Expiration: "2020-01-01T00:00:00Z" } }
        ] as const) {
          server.fail(fault)
          yield* Effect.sleep("1 second")
          assert.deepEqual(yield* countJobs, { available: 101, completed: 1 })
        }
        assert.lengthOf(yield* getJobs("j.state = 'available' AND (j.attempt <> 0 OR j.attempted_at IS NOT NULL)"), 0)

        server.fail(undefined)
        assert.strictEqual((yield* answered(id, "30 seconds")).status, "completed")
        yield* completed(102)
        assert.lengthOf(yield* getJobs("j.attempt <> 1 OR j.errors IS NOT NULL"), 0)
        yield* isQuiet(worker, [
          /^AWS credentials found/,
          /^AWS credentials could not be refreshed/,
          /^no usable AWS credentials/,
          /^AWS credentials found/
        ])
      })
    )
  )

  it.live("of an instance that have ended are not used, whatever the SDK says of their end", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const server = yield* running(startInstanceMetadata)
        server.fail({ fields: { Expiration: "2020-01-01T00:00:00Z" } })
        const worker = yield* startWorker(url, {
          ...noKeys,
          AWS_EC2_METADATA_DISABLED: "false",
          AWS_EC2_METADATA_SERVICE_ENDPOINT: server.url
        })
        yield* worker.line(/nothing can be signed: instance metadata: its keys ended at 2020-01-01T00:00:00.000Z$/)
        yield* worker.working
        const id = yield* requestUpload()
        yield* Effect.sleep("1 second")
        assert.deepEqual(yield* countJobs, { available: 1 })

        server.live(3_600_000)
        server.fail(undefined)
        const answer = yield* answered(id)
        assert.strictEqual(signed(answer.url!).lifetime, 900)
        yield* isQuiet(worker, [/^no usable AWS credentials/, /^AWS credentials found: instance metadata, until /])
      })
    )
  )

  it.live("are not waited for at a stop, and the program that looks for them ends with the process", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const directory = yield* folder
        const pid = path.join(directory, "pid")
        const script = path.join(directory, "credentials.sh")
        fs.writeFileSync(script, `#!/bin/sh\necho $$ > ${pid}\nexec sleep 600\n`, { mode: 0o755 })
        const worker = yield* startWorker(url, { ...noKeys, ...profile(directory, `credential_process = ${script}`) })
        yield* worker.working
        const started = yield* until(
          Effect.sync(() => (fs.existsSync(pid) ? fs.readFileSync(pid, "utf8") : "")),
          (text) => text.endsWith("\n")
        )
        const stat = `/proc/${started.trim()}/stat`
        assert.isTrue(fs.existsSync(stat))

        const before = Date.now()
        yield* isQuiet(worker, [])

        assert.isBelow(Date.now() - before, 5000)
        // Nobody may be there to hear of its end: then it is a zombie.
        yield* until(
          Effect.sync(() => fs.existsSync(stat) && !/\) Z/.test(fs.readFileSync(stat, "utf8"))),
          (alive) => !alive
        )
      })
    )
  )
})
