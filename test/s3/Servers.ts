/**
 * Three S3 servers that verify signatures, as different as can be had: versitygw, MinIO, and s3rver from npm. Each is
 * started on 127.0.0.1 with a free port and a directory of its own, and never outlives the process that started it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { UrlStyle } from "../../src/signer/s3/Address.ts"
import { freePort } from "../support/Postgres.ts"
import { s3Credentials, startS3 } from "../support/S3.ts"
import { findProgram, foreignProgram, noProgram, type ProgramName } from "./Programs.ts"

export const serverNames = ["versitygw", "MinIO", "s3rver"] as const

export type ServerName = (typeof serverNames)[number]

/** An access key in the clear, as tests may have it. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export interface Server {
  readonly name: ServerName
  /** On 127.0.0.1, over HTTP. */
  readonly port: number
  /** May do everything. */
  readonly keys: AccessKey
  readonly region: string
  /**
   * A bucket's own host is `bucket.domain`. No name server knows it: it goes into the `Host` header. Undefined where there
   * is path style alone.
   */
  readonly domain: string | undefined
  readonly stop: () => Promise<void>
}

/** The styles of addresses that a server knows. */
export const stylesOf = (name: ServerName): ReadonlyArray<UrlStyle> =>
  name === "s3rver" ? ["path"] : ["path", "virtual"]

/** Why this server cannot be started here; undefined when it can. */
export const missing = (name: ServerName): string | undefined =>
  name === "s3rver" || findProgram(name) !== undefined ? undefined : noProgram(name)

/** Its name, and where it is from if not built here: then it may be of another version than the matrix describes. */
export const labelOf = (name: ServerName): string => {
  const foreign = name === "s3rver" ? undefined : foreignProgram(name)
  return foreign === undefined ? name : `${name} (${foreign})`
}

/**
 * Starts one; ready when it resolves. s3rver has the bucket `uploads` from the start, the others have none; it computes
 * the signature of a virtual-hosted request over a path that nobody signs.
 */
export const startServer = async (name: ServerName): Promise<Server> => {
  if (name !== "s3rver") return startProgram(name)
  const { port, stop } = await startS3({ bucket: "uploads" })
  return { name, port, keys: s3Credentials, region, domain: undefined, stop }
}

const region = "us-east-1"
const domain = "s3.test"
/** The id of the one key that MinIO's key management has. */
export const kmsKey = "matrix-key"

const keys: AccessKey = { accessKeyId: "MATRIXKEY", secretAccessKey: "matrix-secret-access-key" }

interface Command {
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Answers 200 as soon as it is ready. */
  readonly ready: string
}

/** Nothing of ours in the environment, and no look for newer versions. */
const commands: Readonly<Record<ProgramName, (port: number, directory: string) => Command>> = {
  versitygw: (port, directory) => ({
    args: [
      `--port=127.0.0.1:${port}`,
      "--health=/health",
      `--iam-dir=${made(directory, "iam")}`,
      "--quiet",
      `--region=${region}`,
      `--virtual-domain=${domain}`,
      "posix",
      `--sidecar=${made(directory, "metadata")}`,
      made(directory, "data")
    ],
    env: { ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey },
    ready: "/health"
  }),
  MinIO: (port, directory) => ({
    args: ["server", "--quiet", "--address", `127.0.0.1:${port}`, made(directory, "data")],
    env: {
      MINIO_ROOT_USER: keys.accessKeyId,
      MINIO_ROOT_PASSWORD: keys.secretAccessKey,
      MINIO_DOMAIN: domain,
      MINIO_KMS_SECRET_KEY: `${kmsKey}:${Buffer.alloc(32, "matrix").toString("base64")}`,
      MINIO_BROWSER: "off",
      MINIO_UPDATE: "off"
    },
    // Its `ready` says so before buckets and users are read.
    ready: "/minio/health/cluster"
  })
}

const made = (...parts: ReadonlyArray<string>) => {
  const directory = path.join(...parts)
  fs.mkdirSync(directory)
  return directory
}

/** Runs it and cleans up after it: the shell's input closes when its owner stops it or dies. */
const keeper = `
  directory=$1; shift
  "$@" >"$directory/log" 2>&1 </dev/null &
  read -r _
  kill -TERM $!
  wait
  rm -rf "$directory"`

const startProgram = async (name: ProgramName): Promise<Server> => {
  const program = findProgram(name)
  if (program === undefined) throw new Error(noProgram(name))
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-matrix-"))
  const port = await freePort()
  const { args, env, ready } = commands[name](port, directory)

  const shell = spawn("/bin/sh", ["-c", keeper, "sh", directory, program, ...args], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: directory, ...env },
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  const ended = once(shell, "exit")
  shell.unref()
  shell.stdin.on("error", () => {})
  // The types say Writable; a pipe is a socket, which must not keep this process alive.
  ;(shell.stdin as unknown as { unref: () => void }).unref()
  const stop = async () => {
    shell.ref()
    shell.stdin.end()
    await ended
  }

  for (let waited = 0; !(await answers(port, ready)); waited += 50) {
    if (waited > 30_000) {
      const said = fs.readFileSync(path.join(directory, "log"), "utf8")
      await stop()
      throw new Error(`${name} (${program}) did not start on port ${port}:\n${said.slice(-3000)}`)
    }
    await sleep(50)
  }
  return { name, port, keys, region, domain, stop }
}

const answers = (port: number, ready: string): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}${ready}`).then(
    (response) => response.ok,
    () => false
  )
