/**
 * Where the S3 servers that are programs come from: versitygw and MinIO, each in the version that the matrix describes.
 *
 * `npm test` takes what is there and skips what is not; `npm run test:s3` builds them with Go first, which takes two to
 * five minutes each.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

export type ProgramName = "versitygw" | "MinIO"

interface Source {
  /** Its name on PATH. */
  readonly file: string
  readonly module: string
  readonly version: string
  /** The environment variable that names one of another place. */
  readonly variable: string
}

const sources: Readonly<Record<ProgramName, Source>> = {
  versitygw: {
    file: "versitygw",
    module: "github.com/versity/versitygw/cmd/versitygw",
    version: "v1.8.0",
    variable: "VERSITYGW"
  },
  MinIO: {
    file: "minio",
    module: "github.com/minio/minio",
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
    variable: "MINIO"
  }
}

const cache = path.join(import.meta.dirname, "../../node_modules/.cache/s3-servers")

/** Where the one that is built here lies. */
const builtPath = ({ file, version }: Source) =>
  path.join(cache, `${process.platform}-${process.arch}`, `${file}@${version}`)

/** The one that its variable names, else the one that was built here, else the first on PATH. */
export const findProgram = (name: ProgramName): string | undefined => {
  const source = sources[name]
  const given = process.env[source.variable]
  if (given !== undefined && given !== "") return given
  return [builtPath(source), ...onPath(source.file)].find((file) => fs.existsSync(file))
}

/** What `findProgram` gives when that was not built here: it may be of another version. */
export const foreignProgram = (name: ProgramName): string | undefined => {
  const found = findProgram(name)
  return found === builtPath(sources[name]) ? undefined : found
}

/** Why there is none, and what to do. */
export const noProgram = (name: ProgramName): string => {
  const { file, variable, version } = sources[name]
  return `no ${file} on PATH, and none built: npm run test:s3 builds ${version}, ${variable} names another`
}

/** Builds the one that is not there; answers why that cannot be done. */
export const buildProgram = (name: ProgramName): string | undefined => {
  if (findProgram(name) !== undefined) return undefined
  const source = sources[name]
  const go = [...onPath("go"), "/usr/local/go/bin/go"].find((file) => fs.existsSync(file))
  if (go === undefined) return `${name} cannot be built: there is no Go on the PATH`
  const target = builtPath(source)
  const half = `${target}.${process.pid}`
  process.stderr.write(`building ${name} ${source.version} with Go, which takes some minutes\n`)
  const { error, status, stderr } = spawnSync(
    go,
    ["install", "-trimpath", "-ldflags=-s -w", `${source.module}@${source.version}`],
    {
      env: { ...process.env, GOWORK: "off", GOBIN: half, GOOS: "", GOARCH: "" },
      stdio: ["ignore", "ignore", "pipe"],
      encoding: "utf8",
      maxBuffer: 64 * 1024 * 1024
    }
  )
  if (status === 0) fs.renameSync(path.join(half, source.file), target)
  fs.rmSync(half, { recursive: true, force: true })
  if (status === 0) return undefined
  const [reason = error?.message] = stderr.split("\n").filter((line) => /^(?!go: downloading|#)./.test(line))
  return `${name} cannot be built: ${reason}`
}

const onPath = (file: string) =>
  (process.env["PATH"] ?? "")
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, file))
