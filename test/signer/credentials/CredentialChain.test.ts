/**
 * The AWS SDK's providers, with real requests, files and processes, against servers on loopback.
 */
import { defaultProvider } from "@aws-sdk/credential-provider-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import { Socket } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as CredentialChain from "../../../src/signer/credentials/CredentialChain.ts"
import {
  type CredentialServer,
  type Fault,
  signedRegion,
  startContainerEndpoint,
  startInstanceMetadata,
  startSts,
  stsError
} from "../../support/CredentialServers.ts"
import { environment, noCredentials } from "../../support/environment.ts"
import { until } from "../../support/until.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-chain-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

const running = (start: () => Promise<CredentialServer>) =>
  Effect.acquireRelease(Effect.promise(start), (server) => Effect.promise(server.stop))

type Environment = Readonly<Record<string, string | undefined>>

/** One look, in an environment that holds nothing else: what is found, or why nothing is. */
const look = (variables: Environment) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* environment({ ...noCredentials, ...variables })
      return yield* Effect.result(CredentialChain.make({ region: "eu-north-1" }))
    })
  )
const found = (variables: Environment) => Effect.map(look(variables), Result.getOrThrow)
const reason = (variables: Environment) =>
  Effect.map(look(variables), (result) => Result.getOrThrow(Result.flip(result)).reason)

/** What the SDK's own chain finds. */
const ofDefaultChain = (variables: Environment) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* environment({ ...noCredentials, AWS_REGION: "eu-north-1", ...variables })
      return (yield* Effect.promise(() => defaultProvider({ ignoreCache: true })())).accessKeyId
    })
  )
/** Every look is given another number. */
const owner = (accessKeyId: unknown) => String(accessKeyId).replace(/\d+$/, "")

/** Keys of a profile, as an operator writes them. */
const profile = (directory: string, lines: ReadonlyArray<string>): Environment => {
  const config = path.join(directory, "config")
  fs.writeFileSync(config, ["[profile signer]", ...lines].join("\n"))
  const credentials = path.join(directory, "credentials")
  fs.writeFileSync(credentials, "[base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = canary-base\n")
  return { AWS_PROFILE: "signer", AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: credentials }
}

describe("CredentialChain", () => {
  it.live("says which sources there are when none is set up, and asks nobody", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* reason({}),
        'nothing found: no keys in the environment, no credentials in profile "default", no web identity, ' +
          "no container endpoint, instance metadata switched off"
      )
      assert.include(
        yield* reason({ AWS_PROFILE: "other", AWS_SHARED_CREDENTIALS_FILE: "/nonexistent/file" }),
        'no credentials in profile "other", AWS_SHARED_CREDENTIALS_FILE: ENOENT, no web identity'
      )
      assert.include(
        yield* reason({ AWS_WEB_IDENTITY_TOKEN_FILE: "/nonexistent/file" }),
        "a web identity without AWS_ROLE_ARN"
      )
    })
  )

  it.live("asks in the order of the SDK's default chain", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const identity = path.join(directory, "identity")
      fs.writeFileSync(identity, "canary-identity")
      const sts = yield* running(() => startSts(identity))
      const container = yield* running(() => startContainerEndpoint())
      const instance = yield* running(() => startInstanceMetadata())
      const layers: ReadonlyArray<readonly [string, Environment]> = [
        [
          "instance metadata",
          { AWS_EC2_METADATA_DISABLED: undefined, AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.url }
        ],
        ["container endpoint", { AWS_CONTAINER_CREDENTIALS_FULL_URI: container.url }],
        [
          "web identity",
          {
            AWS_WEB_IDENTITY_TOKEN_FILE: identity,
            AWS_ROLE_ARN: "arn:aws:iam::1:role/r",
            AWS_ENDPOINT_URL_STS: sts.url
          }
        ],
        ['profile "signer"', profile(directory, ["aws_access_key_id = AKIDPROFILE", "aws_secret_access_key = s"])]
      ]

      // A profile of which nobody says that it has keys is passed over.
      let variables: Environment = profile(yield* folder, ["region = eu-central-1"])
      for (const [source, more] of layers) {
        variables = { ...variables, ...more }
        const keys = yield* found(variables)
        assert.strictEqual(keys.source, source)
        assert.strictEqual(owner(keys.accessKeyId), owner(yield* ofDefaultChain(variables)))
      }
    })
  )

  it.live("does not go on to somebody else's keys from a source that is set up and fails", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const container = yield* running(() => startContainerEndpoint())
      const other = { AWS_CONTAINER_CREDENTIALS_FULL_URI: container.url }

      const failing = yield* reason({ ...other, ...profile(directory, ["credential_process = exit 1"]) })

      assert.strictEqual(failing, 'profile "signer": the credential process failed')
      assert.lengthOf(container.heard, 0)
    })
  )

  describe("profile files", () => {
    it.live("have static keys, with a token or without, and are read anew each time", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const keys = ["aws_access_key_id = AKIDONE", "aws_secret_access_key = s"]
        assert.deepInclude(yield* found(profile(directory, keys)), {
          accessKeyId: "AKIDONE",
          source: 'profile "signer"',
          kind: "file"
        })

        const other = ["aws_access_key_id = AKIDTWO", "aws_secret_access_key = s", "aws_session_token = t"]
        assert.deepInclude(yield* found(profile(directory, other)), { accessKeyId: "AKIDTWO", sessionToken: "t" })
      })
    )

    it.live("have a role, assumed in the profile's region, else AWS_REGION, else S3's", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const sts = yield* running(() => startSts())
        const role = ["role_arn = arn:aws:iam::123456789012:role/uploads", "source_profile = base"]
        const at = { AWS_ENDPOINT_URL_STS: sts.url }

        const first = yield* found({ ...profile(directory, role), ...at })
        assert.deepInclude(first, {
          accessKeyId: "ASIAROLE1",
          source: 'profile "signer", assumed role',
          kind: "service"
        })
        yield* found({ ...profile(directory, role), ...at, AWS_REGION: "ap-south-1" })
        yield* found({ ...profile(directory, [...role, "region = sa-east-1"]), ...at, AWS_REGION: "ap-south-1" })

        assert.deepEqual(sts.heard.map(signedRegion), ["eu-north-1", "ap-south-1", "sa-east-1"])
        assert.isTrue(sts.heard.every(({ headers }) => headers.authorization?.includes("Credential=AKIDBASE/")))
        assert.isTrue(
          sts.heard.every(({ body }) => body.includes("RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fuploads"))
        )
        yield* until(
          Effect.sync(() => sts.connections()),
          (count) => count === 0
        )
      })
    )

    it.live("have a role that the container's or the instance's own keys assume", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const sts = yield* running(() => startSts())
        const container = yield* running(() => startContainerEndpoint())
        const instance = yield* running(() => startInstanceMetadata())
        const role = (source: string) =>
          profile(directory, ["role_arn = arn:aws:iam::1:role/r", `credential_source = ${source}`])
        const at = { AWS_ENDPOINT_URL_STS: sts.url, AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.url }

        yield* found({ ...role("EcsContainer"), ...at, AWS_CONTAINER_CREDENTIALS_FULL_URI: container.url })
        yield* found({ ...role("Ec2InstanceMetadata"), ...at })

        assert.include(sts.heard[0]!.headers.authorization, "Credential=ASIACONTAINER1/")
        assert.include(sts.heard[1]!.headers.authorization, "Credential=ASIAINSTANCE1/")
        container.fail({ status: 403 })
        assert.strictEqual(
          yield* reason({ ...role("EcsContainer"), ...at, AWS_CONTAINER_CREDENTIALS_FULL_URI: container.url }),
          'profile "signer": HTTP 403'
        )
      })
    )

    it.live("have a web identity of their own", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const identity = path.join(directory, "identity")
        fs.writeFileSync(identity, "canary-identity")
        const sts = yield* running(() => startSts(identity))
        const role = ["role_arn = arn:aws:iam::1:role/r", `web_identity_token_file = ${identity}`]

        const keys = yield* found({ ...profile(directory, role), AWS_ENDPOINT_URL_STS: sts.url })

        assert.deepInclude(keys, { accessKeyId: "ASIAWEB1", source: 'profile "signer", web identity', kind: "service" })
      })
    )

    it.live("have a process that prints keys", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const prints = (keys: object) =>
          found(profile(directory, [`credential_process = echo '${JSON.stringify({ Version: 1, ...keys })}'`]))
        const both = { AccessKeyId: "AKIDPROCESS", SecretAccessKey: "s" }

        assert.deepInclude(yield* prints(both), {
          accessKeyId: "AKIDPROCESS",
          source: 'profile "signer", credential process',
          kind: undefined
        })
        const ends = "2999-01-01T00:00:00Z"
        assert.deepInclude(yield* prints({ ...both, SessionToken: "t", Expiration: ends }), {
          sessionToken: "t",
          expiration: new Date(ends)
        })
      })
    )

    it.live("that cannot work are told apart, and no command line is told", () =>
      Effect.gen(function* () {
        const directory = yield* folder
        const why = (...lines: ReadonlyArray<string>) => reason(profile(directory, lines))
        const role = "role_arn = arn:aws:iam::1:role/canary"

        for (const [lines, expected] of [
          [["credential_process = exit 7 # canary"], "the credential process failed"],
          [["credential_process = echo canary"], "the credential process did not print JSON"],
          [["credential_process = echo '{}'"], "the credential process did not print Version 1"],
          [["credential_process = echo '{\"Version\":1}'"], "the credential process did not print both keys"],
          [["credential_process = echo null"], "an answer that makes no sense"],
          [["aws_access_key_id = AKIDCANARY"], "a profile does not say where its keys come from"],
          [[role], "a profile does not say where its keys come from"],
          [[role, "source_profile = canary"], "a profile does not say where its keys come from"],
          [
            [role, "source_profile = signer2", "[profile signer2]", role, "source_profile = signer"],
            "source profiles name each other in a circle"
          ],
          [
            [role, "credential_source = Canary"],
            "credential_source is not EcsContainer, Ec2InstanceMetadata or Environment"
          ],
          [
            [
              "sso_session = canary",
              "sso_account_id = 1",
              "sso_role_name = r",
              "[sso-session canary]",
              "sso_region = eu-north-1",
              "sso_start_url = http://127.0.0.1:1"
            ],
            "nobody is signed in any more"
          ]
        ] as const) {
          assert.strictEqual(yield* why(...lines), `profile "signer": ${expected}`)
        }
      })
    )

    it.live(
      "with a second factor are refused, also when their source is broken: there the SDK would end the process",
      () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const role = ["role_arn = arn:aws:iam::1:role/r", "mfa_serial = arn:aws:iam::1:mfa/canary"]

          for (const source of ["base", "missing"]) {
            const why = yield* reason(profile(directory, [...role, `source_profile = ${source}`]))
            assert.match(why, /^profile "signer": the role asks for a second factor/)
          }
        })
    )
  })

  describe("web identity", () => {
    const setUp = Effect.gen(function* () {
      const directory = yield* folder
      const identity = path.join(directory, "identity")
      fs.writeFileSync(identity, "canary-identity-1")
      const sts = yield* running(() => startSts(identity))
      return {
        sts,
        identity,
        variables: {
          AWS_WEB_IDENTITY_TOKEN_FILE: identity,
          AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/uploads",
          AWS_ENDPOINT_URL_STS: sts.url
        }
      }
    })

    it.live("is read from its file each time, which rotates", () =>
      Effect.gen(function* () {
        const { identity, variables } = yield* setUp
        assert.deepInclude(yield* found(variables), {
          accessKeyId: "ASIAWEB1",
          source: "web identity",
          kind: "service"
        })

        fs.writeFileSync(identity, "canary-identity-2")
        assert.deepInclude(yield* found(variables), { accessKeyId: "ASIAWEB2" })
      })
    )

    it.live("that is refused, or not understood, says what the service called it and how it was called", () =>
      Effect.gen(function* () {
        const { sts, variables } = yield* setUp
        const why = (fault: Fault) => {
          sts.fail(fault)
          return reason(variables)
        }
        const called = "web identity, calling AWS at AWS_ENDPOINT_URL_STS:"

        for (const [fault, expected] of [
          [stsError(403, "AccessDenied"), `${called} AccessDenied, HTTP 403`],
          [stsError(400, "ExpiredTokenException"), `${called} ExpiredTokenException, HTTP 400`],
          [{ status: 500, body: "<html>canary" }, `${called} HTTP 500`],
          [{ status: 502, body: "" }, `${called} HTTP 502`],
          [{ body: "{canary" }, `${called} an answer that makes no sense`],
          [{ body: "<canary/>" }, "web identity: the answer lacks fields"],
          [{ fields: { Expiration: "canary" } }, `${called} an answer that makes no sense`],
          [{ fields: { SecretAccessKey: undefined } }, "web identity: the answer lacks fields"],
          ["cut body", `${called} ECONNRESET`]
        ] as const) {
          assert.strictEqual(yield* why(fault), expected)
        }
        const nowhere = { ...variables, AWS_ENDPOINT_URL_STS: undefined, AWS_ENDPOINT_URL: "http://127.0.0.1:1" }
        assert.strictEqual(yield* reason(nowhere), "web identity, calling AWS at AWS_ENDPOINT_URL: ECONNREFUSED")
        const noFile = { ...variables, AWS_WEB_IDENTITY_TOKEN_FILE: "/nonexistent/canary" }
        assert.strictEqual(yield* reason(noFile), "web identity: token file: ENOENT")
      })
    )

    it.live("does not wait for ever for a service that says nothing", () =>
      Effect.gen(function* () {
        const { sts, variables } = yield* setUp
        sts.fail("silent")

        assert.strictEqual(
          yield* reason({ ...variables, AWS_MAX_ATTEMPTS: "1" }),
          "web identity, calling AWS at AWS_ENDPOINT_URL_STS: TimeoutError, ETIMEDOUT"
        )
      })
    )
  })

  describe("container endpoint", () => {
    const setUp = Effect.gen(function* () {
      const token = path.join(yield* folder, "token")
      fs.writeFileSync(token, "canary-token-1")
      const server = yield* running(() => startContainerEndpoint(token))
      return {
        server,
        token,
        variables: {
          AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.url}/v1/credentials`,
          AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token
        }
      }
    })

    it.live("is shown the token of its file, read each time, or the one of the environment", () =>
      Effect.gen(function* () {
        const { server, token, variables } = yield* setUp
        const first = yield* found(variables)
        assert.deepInclude(first, { accessKeyId: "ASIACONTAINER1", source: "container endpoint", kind: "service" })

        fs.writeFileSync(token, "canary-token-2")
        yield* found(variables)
        const uri = { AWS_CONTAINER_CREDENTIALS_FULL_URI: variables.AWS_CONTAINER_CREDENTIALS_FULL_URI }
        assert.strictEqual(
          yield* reason({ ...uri, AWS_CONTAINER_AUTHORIZATION_TOKEN: "canary" }),
          "container endpoint: AccessDenied, HTTP 403"
        )
        yield* found({ ...uri, AWS_CONTAINER_AUTHORIZATION_TOKEN: "canary-token-2" })

        assert.deepEqual(
          server.heard.map(({ headers, path }) => `${path} ${headers.authorization}`),
          ["1", "2", "", "2"].map((n) => `/v1/credentials canary${n === "" ? "" : `-token-${n}`}`)
        )
      })
    )

    it.live("is found by its relative URI on the container's own address", () =>
      Effect.gen(function* () {
        const { server } = yield* setUp
        const wanted: Array<string> = []
        // The address is link-local: nothing goes there, what wants to is led to the server instead.
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            const { connect } = Socket.prototype
            Reflect.set(Socket.prototype, "connect", function (this: Socket, [to]: [{ host: string; port: number }]) {
              wanted.push(`${to.host}:${to.port}`)
              return Reflect.apply(connect, this, [Number(new URL(server.url).port), "127.0.0.1"])
            })
            return connect
          }),
          (connect) => Effect.sync(() => (Socket.prototype.connect = connect))
        )

        const why = yield* reason({ AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/v2/credentials/one" })

        assert.strictEqual(why, "container endpoint: AccessDenied, HTTP 403")
        assert.deepEqual(wanted, ["169.254.170.2:80"])
        assert.strictEqual(server.heard[0]!.path, "/v2/credentials/one")
      })
    )

    it.live("that refuses, lies or hangs up says so", () =>
      Effect.gen(function* () {
        const { server, token, variables } = yield* setUp
        const why = (fault: Fault) => {
          server.fail(fault)
          return reason(variables)
        }
        for (const [fault, expected] of [
          [{ status: 403 }, "Refused, HTTP 403"],
          [{ status: 404, body: "canary" }, "HTTP 404"],
          [{ status: 500 }, "HTTP 500"],
          [{ body: "{canary" }, "an answer that makes no sense"],
          [{ body: "null" }, "an answer that makes no sense"],
          [{ body: "{}" }, "the answer lacks fields"],
          [{ fields: { AccessKeyId: 42 } }, "the answer lacks fields"],
          [{ fields: { Token: undefined } }, "the answer lacks fields"],
          [{ fields: { Expiration: undefined } }, "the answer lacks fields"],
          [{ fields: { Expiration: "canary" } }, "an answer that makes no sense"],
          ["cut body", "ECONNRESET"]
        ] as const) {
          assert.strictEqual(yield* why(fault), `container endpoint: ${expected}`)
        }
        fs.writeFileSync(token, "canary\n")
        assert.strictEqual(yield* reason(variables), "container endpoint: the authorization token holds a line end")
        fs.rmSync(token)
        assert.strictEqual(yield* reason(variables), "container endpoint: token file: ENOENT")
        for (const [uri, expected] of [
          ["http://127.0.0.1:1/", "ECONNREFUSED"],
          ["http://192.0.2.1/", "the URI is neither https nor on this host"],
          ["canary", "ERR_INVALID_URL"]
        ] as const) {
          assert.strictEqual(
            yield* reason({ AWS_CONTAINER_CREDENTIALS_FULL_URI: uri }),
            `container endpoint: ${expected}`
          )
        }
      })
    )

    it.live("that answers never, or never to the end, is left after 5 seconds, and no connection stays open", () =>
      Effect.gen(function* () {
        const { server, variables } = yield* setUp
        for (const fault of ["silent", "slow body"] as const) {
          server.fail(fault)
          assert.strictEqual(yield* reason(variables), "container endpoint: no answer within 5s")
          yield* until(
            Effect.sync(() => server.connections()),
            (count) => count === 0
          )
        }
      })
    )
  })

  describe("instance metadata", () => {
    const setUp = Effect.gen(function* () {
      const server = yield* running(startInstanceMetadata)
      const variables = { AWS_EC2_METADATA_DISABLED: "false", AWS_EC2_METADATA_SERVICE_ENDPOINT: server.url }
      return { server, variables }
    })

    it.live("is asked for a session first, then for the role and its keys", () =>
      Effect.gen(function* () {
        const { server, variables } = yield* setUp

        const keys = yield* found(variables)

        assert.deepInclude(keys, { accessKeyId: "ASIAINSTANCE1", source: "instance metadata", kind: "service" })
        assert.deepEqual(
          server.heard.map(({ headers, method, path }) => [method, path, headers["x-aws-ec2-metadata-token"]]),
          [
            ["PUT", "/latest/api/token", undefined],
            ["GET", "/latest/meta-data/iam/security-credentials/", "canary-session-1"],
            ["GET", "/latest/meta-data/iam/security-credentials/the-role", "canary-session-1"]
          ]
        )
      })
    )

    it.live("keeps the end that its keys have in truth, which the SDK puts off", () =>
      Effect.gen(function* () {
        const { server, variables } = yield* setUp
        server.fail({ fields: { Expiration: "2020-01-01T00:00:00Z" } })

        assert.deepEqual((yield* found(variables)).originalExpiration, new Date("2020-01-01T00:00:00Z"))
      })
    )

    it.live("that refuses, lies or is not there is the last of the sources that have nothing", () =>
      Effect.gen(function* () {
        const { server, variables } = yield* setUp
        const why = (fault: Fault) => {
          server.fail(fault)
          return reason(variables)
        }
        const nothing =
          'nothing found: no keys in the environment, no credentials in profile "default", no web identity, no container endpoint, instance metadata:'
        for (const [fault, expected] of [
          [{ status: 403 }, "HTTP 403"],
          [{ status: 404 }, "HTTP 404"],
          [{ status: 500 }, "HTTP 500"],
          [{ body: "{canary" }, "an answer that makes no sense"],
          [{ body: "{}" }, "the answer lacks fields"],
          [{ fields: { SecretAccessKey: 42 } }, "the answer lacks fields"],
          ["cut body", "ECONNRESET"],
          ["silent", "no answer"]
        ] as const) {
          assert.strictEqual(yield* why(fault), `${nothing} ${expected}`)
        }
        const refused = { ...variables, AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1" }
        assert.strictEqual(yield* reason(refused), `${nothing} ECONNREFUSED`)
        assert.strictEqual(
          yield* reason({ ...refused, AWS_EC2_METADATA_V1_DISABLED: "true" }),
          `${nothing} no session of version 2, and version 1 is switched off`
        )
      })
    )
  })
})
