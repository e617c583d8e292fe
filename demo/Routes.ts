/**
 * What the demo's web server answers: the page's files, a small JSON API, and the way to signed downloads.
 */
import * as fs from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as path from "node:path"
import type { Uploads } from "./Uploads.ts"
import type { Worker } from "./Worker.ts"

/** What the answers are made from. */
export interface Parts {
  readonly uploads: Uploads
  readonly worker: Worker
  readonly directory: string
  readonly postgres: string
  readonly s3: { readonly endpoint: string; readonly bucket: string }
}

/** What is said to the person at the page, and with which status. */
export class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export interface Call {
  readonly parts: Parts
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  /** The id in the path. */
  readonly id: string
}

const uuid = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

export const routes: ReadonlyArray<
  readonly [method: string, path: RegExp, handle: (call: Call) => Promise<void> | void]
> = [
  ["GET", /^\/$/, (call) => page(call, "page.html", "text/html; charset=utf-8")],
  ["GET", /^\/page\.css$/, (call) => page(call, "page.css", "text/css; charset=utf-8")],
  ["GET", /^\/page\.js$/, (call) => page(call, "page.js", "text/javascript; charset=utf-8")],
  ["GET", /^\/favicon\.ico$/, ({ response }) => void response.writeHead(204).end()],

  [
    "GET",
    /^\/api\/demo$/,
    ({ parts, response }) => {
      const { directory, postgres, s3, worker } = parts
      const problem = worker.problem()
      json(response, 200, {
        directory,
        postgres,
        s3: s3.endpoint,
        worker: { pid: worker.pid, log: worker.log, running: problem === undefined, problem }
      })
    }
  ],

  [
    "POST",
    /^\/api\/requests$/,
    async ({ parts, request, response }) => {
      const body = await bodyOf(request)
      const fileName = text(body, "fileName", 1)
      const id = await parts.uploads.request(fileName, text(body, "fileType", 0))
      json(response, 201, { id })
    }
  ],

  [
    "GET",
    new RegExp(`^/api/requests/${uuid}$`),
    async ({ id, parts, response }) => {
      const found = await parts.uploads.get(id)
      if (found === undefined) throw new Refusal(404, "There is no such request.")
      json(response, 200, found)
    }
  ],

  [
    "POST",
    new RegExp(`^/api/requests/${uuid}/stored$`),
    async ({ id, parts, request, response }) => {
      const { fileSize } = await bodyOf(request)
      if (!Number.isSafeInteger(fileSize) || Number(fileSize) < 0) {
        throw new Refusal(400, "fileSize must be a whole number of bytes.")
      }
      const recorded = await parts.uploads.stored(id, Number(fileSize), parts.s3.bucket)
      if (!recorded) throw new Refusal(409, "This request has no URL, so nothing can have been uploaded with it.")
      json(response, 200, {})
    }
  ],

  ["GET", /^\/api\/files$/, async ({ parts, response }) => json(response, 200, { files: await parts.uploads.list() })],

  [
    "GET",
    new RegExp(`^/files/${uuid}$`),
    async ({ id, parts, response, url }) => {
      const location = await parts.uploads.download(id, !url.searchParams.has("download"))
      if (location === undefined) throw new Refusal(404, "There is no such file.")
      response.writeHead(302, { Location: location, "Cache-Control": "no-store" }).end()
    }
  ]
]

/** Read afresh each time: a reload shows what was just edited. */
const page = ({ parts, response }: Call, file: string, type: string) => {
  const s3 = parts.s3.endpoint
  const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' ${s3}; connect-src 'self' ${s3}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  response.writeHead(200, {
    "Content-Type": type,
    "Content-Security-Policy": policy,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store"
  })
  response.end(fs.readFileSync(path.join(import.meta.dirname, file)))
}

export const json = (response: ServerResponse, status: number, body: unknown) => {
  response.writeHead(status, {
    "Content-Type": "application/json; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store"
  })
  response.end(JSON.stringify(body))
}

const bodyOf = async (request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> => {
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) throw new Refusal(415, "Send JSON.")
  let body = ""
  for await (const chunk of request.setEncoding("utf8")) {
    body += chunk
    if (body.length > 10_000) throw new Refusal(413, "The request is too long.")
  }
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === "object" && parsed !== null) return parsed as Readonly<Record<string, unknown>>
  } catch {
    // Said below, as for any other JSON that is not an object.
  }
  throw new Refusal(400, "Send a JSON object.")
}

const text = (body: Readonly<Record<string, unknown>>, name: string, least: number): string => {
  const value = body[name]
  if (typeof value !== "string" || value.length < least || value.length > 500 || value.includes("\0")) {
    throw new Refusal(400, `${name} must be a text of ${least} to 500 characters.`)
  }
  return value
}
