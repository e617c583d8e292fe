/**
 * `npm run demo`: PostgreSQL, an S3 server, the worker and a page to upload with, all on this machine.
 *
 * The parts start in the order of this file and stop in the opposite one.
 */
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startPostgres } from "../test/support/Postgres.ts"
import { s3Credentials, startS3 } from "../test/support/S3.ts"
import * as Place from "./Place.ts"
import * as Server from "./Server.ts"
import { openUploads } from "./Uploads.ts"
import { migrate, startWorker } from "./Worker.ts"

const usage = `npm run demo -- [--port PORT] [--dir DIRECTORY]

  --port  of the page, on 127.0.0.1; the default is 8787 or, if that is taken, the next free one
  --dir   where PostgreSQL's data and the uploaded files are kept; the default is .demo in the project
`

const say = (line: string) => process.stdout.write(`${line}\n`)
const part = (name: string, text: string) => say(`  ${name.padEnd(11)} ${text}`)

/** How to stop what has been started, the newest first. */
const stops: Array<() => unknown> = []
let stopping = false

const stop = async (status: number, why: string) => {
  if (stopping) return
  stopping = true
  ;(status === 0 ? process.stdout : process.stderr).write(`\n${why}\n`)
  process.exitCode = status
  for (const each of stops) {
    try {
      await each()
    } catch (error) {
      process.exitCode = 1
      process.stderr.write(`demo: ${error}\n`)
    }
  }
  process.exit()
}

const main = async () => {
  const { values } = parseArgs({
    options: { port: { type: "string" }, dir: { type: "string" }, help: { type: "boolean", short: "h" } }
  })
  if (values.help === true) {
    say(usage)
    return
  }
  if (values.port !== undefined && !(/^\d{1,5}$/.test(values.port) && Number(values.port) < 65_536)) {
    throw new Error(`--port ${values.port} is not a port: 0 to 65535`)
  }

  const directory = Place.choose(values.dir)
  const other = await Place.running(directory)
  if (other !== undefined) {
    throw new Error(`the demo is already running on this data: ${other.url} (process ${other.pid})`)
  }

  // A second Ctrl-C does not wait. PostgreSQL and the worker notice that their owner has gone and stop by themselves.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(signal === "SIGINT" ? 130 : 143)
      void stop(0, "Stopping; the files stay.")
    })
  }

  say("s3-signer demo\n")
  part("data", directory)

  const server = await Server.listen(Number(values.port ?? 8787), values.port !== undefined)
  stops.unshift(server.close)
  const url = `http://127.0.0.1:${server.port}/`

  const before = performance.now()
  const postgres = await startPostgres({ dataDir: path.join(directory, "postgres"), durable: true })
  stops.unshift(postgres.stop)
  part("PostgreSQL", `127.0.0.1:${postgres.port}, started in ${Math.round(performance.now() - before)} ms`)
  void postgres.exited().then(() => stop(1, `PostgreSQL has ended; its log is ${postgres.dataDir}/s3-signer.log`))

  const s3 = await startS3({
    bucket: "demo-files",
    directory: path.join(directory, "s3"),
    corsOrigins: Server.originsOf(server.port)
  })
  stops.unshift(s3.stop)
  part("S3", `${s3.endpoint}, bucket ${s3.bucket}`)

  const settings = {
    DATABASE_URL: postgres.url,
    S3_ENDPOINT: s3.endpoint,
    S3_PUBLIC_ENDPOINT: s3.endpoint,
    S3_BUCKET: s3.bucket,
    S3_ACCESS_KEY_ID: s3Credentials.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3Credentials.secretAccessKey,
    AWS_EC2_METADATA_DISABLED: "true"
  }
  const applied = (await migrate(settings)).split("\n")
  part("migrations", applied.length === 1 ? applied[0]! : `${applied.length} versions applied`)

  const worker = startWorker(settings, path.join(directory, "worker.log"), (line) => process.stderr.write(`${line}\n`))
  stops.unshift(worker.stop)
  part("worker", `process ${worker.pid}, log ${worker.log}`)

  const uploads = openUploads(postgres.url)
  stops.unshift(uploads.close)
  server.open({ uploads, worker, directory, postgres: await uploads.version(), s3 })
  stops.unshift(Place.claim(directory, url))
  say(`\n  Open ${url} and drop a file. Ctrl-C stops everything; the files stay.\n`)
}

main().catch((error: unknown) => stop(1, `demo: ${error instanceof Error ? error.message : error}`))
