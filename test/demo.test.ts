import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { request as httpRequest } from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Browser, Page } from "playwright-core"
import { findChromium, launchChromium, noChromium } from "./support/Chromium.ts"

interface Demo {
  readonly url: string
  readonly process: ChildProcess
  readonly said: () => string
  /** Of the worker and of PostgreSQL. */
  readonly pids: ReadonlyArray<number>
}

const project = path.join(import.meta.dirname, "..")

/** `npm run demo -- --port 0 --dir …`; resolves when it has printed its address. */
const startDemo = async (directory: string): Promise<Demo> => {
  const child = spawn(process.execPath, ["demo/main.ts", "--port", "0", "--dir", directory], { cwd: project })
  let said = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk))
  while (!said.includes("Open http")) {
    if (child.exitCode !== null) throw new Error(`the demo ended with status ${child.exitCode}:\n${said}`)
    await sleep(20)
  }
  const url = /Open (\S+)/.exec(said)![1]!
  const { worker } = await (await fetch(`${url}api/demo`)).json()
  const postgres = fs.readFileSync(path.join(directory, "postgres/postmaster.pid"), "utf8").split("\n")[0]
  return { url, process: child, said: () => said, pids: [worker.pid, Number(postgres)] }
}

/** A directory that the account of PostgreSQL can enter. */
const makeDirectory = () => {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-demo-test-")))
  fs.chmodSync(directory, 0o755)
  return directory
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const untilAllEnded = async (pids: ReadonlyArray<number>) => {
  for (let i = 0; i < 200 && pids.some(isAlive); i++) await sleep(100)
  assert.deepEqual(pids.filter(isAlive), [])
}

const names = (files: ReadonlyArray<{ readonly file_name: string; readonly stored: boolean }>) =>
  files.map(({ file_name, stored }) => [file_name, stored])

/** What the page's script does, without the page. */
const client = (url: string) => {
  const origin = new URL(url).origin
  const get = async (target: string) => (await fetch(`${origin}${target}`)).json()
  const post = (target: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${origin}${target}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Origin: origin, ...headers },
      body: JSON.stringify(body)
    })
  const signed = async (fileName: string, fileType: string) => {
    const { id } = await (await post("/api/requests", { fileName, fileType })).json()
    for (let look = 0; look <= 20; look++) {
      const request = await get(`/api/requests/${id}`)
      if (request.status !== "pending") return { ...request, id }
      await sleep(500)
    }
    throw new Error("timeout")
  }
  return { get, post, signed }
}

describe("the demo", () => {
  const directory = makeDirectory()
  let demo: Demo

  beforeAll(async () => {
    demo = await startDemo(directory)
  })
  afterAll(async () => {
    demo?.process.kill()
    await untilAllEnded(demo?.pids ?? [])
    fs.rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 })
  })

  it("takes a file through request, poll, PUT and record, and gives it back through a signed GET", async () => {
    const { get, post, signed } = client(demo.url)
    const name = "Grüße (1) & 'more'.txt"
    const bytes = Buffer.from("what the file holds\u0000\uffff")

    const { fileId, id, job, signedMs, status, url } = await signed(name, "text/plain")
    assert.equal(status, "completed")
    assert.include(job, { state: "completed", attempt: 1, max_attempts: 25, error: null })
    assert.isBelow(signedMs, 5_000)

    const put = await fetch(url, { method: "PUT", headers: { "Content-Type": "text/plain" }, body: bytes })
    assert.equal(put.status, 200)
    assert.equal((await post(`/api/requests/${id}/stored`, { fileSize: bytes.length })).status, 200)
    assert.equal((await post(`/api/requests/${id}/stored`, { fileSize: bytes.length })).status, 200)

    const opened = await fetch(`${demo.url}files/${fileId}`)
    assert.equal(opened.headers.get("content-type"), "text/plain")
    assert.match(opened.headers.get("content-disposition")!, /^inline; /)
    assert.deepEqual(Buffer.from(await opened.arrayBuffer()), bytes)
    const saved = await fetch(`${demo.url}files/${fileId}?download`)
    assert.match(saved.headers.get("content-disposition")!, /^attachment; .*filename\*=UTF-8''Gr%C3%BC%C3%9Fe/)
    assert.deepEqual(Buffer.from(await saved.arrayBuffer()), bytes)
    const { files } = await get("/api/files")
    assert.include(files[0], { file_name: name, file_size: bytes.length, stored: true, file_id: fileId })
  })

  it("has an S3 server that refuses a URL that was changed", async () => {
    const { signed } = client(demo.url)
    const { url } = await signed("a.txt", "text/plain")

    const longer = await fetch(url.replace(/X-Amz-Expires=\d+/, "X-Amz-Expires=604800"), { method: "PUT", body: "x" })
    const other = await fetch(url.replace("/original.txt", "/original.html"), { method: "PUT", body: "x" })

    assert.deepEqual([longer.status, other.status], [403, 403])
  })

  it("records no file for a request without a URL, and refuses what is no request", async () => {
    const { post } = client(demo.url)
    const none = "00000000-0000-7000-8000-000000000000"

    assert.equal((await post(`/api/requests/${none}/stored`, { fileSize: 1 })).status, 409)
    assert.equal((await post(`/api/requests/${none}/stored`, { fileSize: "1" })).status, 400)
    assert.equal((await post("/api/requests", { fileName: "", fileType: "" })).status, 400)
    assert.equal((await post("/api/requests", { fileName: "a\u0000b", fileType: "" })).status, 400)
    assert.equal((await post("/api/requests", { fileName: "x".repeat(20_000), fileType: "" })).status, 413)
    assert.equal((await post("/api/requests", null)).status, 400)
    assert.equal((await fetch(`${demo.url}files/${none}`)).status, 404)
    assert.equal((await fetch(`${demo.url}main.ts`)).status, 404)
  })

  it("answers neither other sites nor other names of this machine", async () => {
    const { post } = client(demo.url)
    const { port } = new URL(demo.url)
    const statusFor = (headers: Record<string, string>) =>
      new Promise((resolve, reject) => {
        httpRequest({ port, host: "127.0.0.1", path: "/api/files", headers }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
          .on("error", reject)
          .end()
      })

    const body = { fileName: "a.txt", fileType: "" }
    assert.equal((await post("/api/requests", body, { Origin: "http://example.org" })).status, 403)
    assert.equal((await post("/api/requests", body, { Origin: "null" })).status, 403)
    assert.equal((await post("/api/requests", body, { "Content-Type": "text/plain" })).status, 415)
    assert.equal(await statusFor({ host: `example.org:${port}` }), 403)
    assert.equal(await statusFor({ host: `127.0.0.1:${port}`, "sec-fetch-site": "cross-site" }), 403)
    assert.equal(await statusFor({ host: `localhost:${port}` }), 200)
  })

  it("says where the first one is when it is started twice", async () => {
    const second = spawn(process.execPath, ["demo/main.ts", "--port", "0", "--dir", directory], { cwd: project })
    let said = ""
    for (const stream of [second.stdout, second.stderr]) stream.on("data", (chunk) => (said += chunk))
    const [status] = await once(second, "close")

    assert.equal(status, 1)
    assert.include(said, `already running on this data: ${demo.url} (process ${demo.process.pid})`)
  })

  const executable = findChromium()
  if (executable === undefined) process.stderr.write(`skipped, the demo in Chromium: ${noChromium}\n`)

  describe.skipIf(executable === undefined)("in Chromium", () => {
    let browser: Browser
    let page: Page
    const complaints: Array<string> = []

    beforeAll(async () => {
      browser = await launchChromium(executable!)
      page = await browser.newPage({ viewport: { width: 360, height: 640 } })
      page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
      page.on("pageerror", (error) => complaints.push(String(error)))
      await page.goto(demo.url)
      await page.waitForSelector("#parts:not(:empty)")
    })
    afterAll(() => browser?.close())

    const card = (name: string) => page.locator(".file", { has: page.getByRole("heading", { name, exact: true }) })

    it("uploads a dropped picture, shows it, its job and its times, and offers it for download", async () => {
      await page.evaluate(async (name) => {
        const canvas = new OffscreenCanvas(40, 30)
        canvas.getContext("2d")!.fillRect(0, 0, 20, 30)
        const dropped = new DataTransfer()
        dropped.items.add(new File([await canvas.convertToBlob()], name, { type: "image/png" }))
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }))
      }, "dropped.png")
      const dropped = card("dropped.png")
      await dropped.getByRole("link", { name: "Download" }).waitFor()

      assert.match((await dropped.locator("[data-step=sign]").textContent()) ?? "", /^Signed in [\d.]+ ms$/)
      assert.match((await dropped.locator(".job").textContent()) ?? "", /statecompleted.*attempt1 of 25/)
      assert.equal(await page.locator("#announce").textContent(), "dropped.png is uploaded")
      await dropped.locator("img").waitFor()
      assert.deepEqual(
        await dropped.locator("img").evaluate((image: HTMLImageElement) => [image.naturalWidth, image.naturalHeight]),
        [40, 30]
      )
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        dropped.getByRole("link", { name: "Download" }).click()
      ])
      assert.equal(download.suggestedFilename(), "dropped.png")
      assert.equal(
        fs
          .readFileSync(await download.path())
          .subarray(1, 4)
          .toString(),
        "PNG"
      )
      assert.deepEqual(complaints, [])
    })

    it("takes files from the keyboard alone, and shows them again after a reload", async () => {
      const bytes = Buffer.alloc(3_000_000, "0123456789")
      await page.reload()
      // Before the key that opens it: to be heard of, choosers must be intercepted first.
      const chooser = page.waitForEvent("filechooser")
      await page.keyboard.press("Tab")
      assert.equal(await page.evaluate(() => document.activeElement?.id), "choose")
      await page.keyboard.press("Enter")
      await (await chooser).setFiles({ name: "chosen.bin", mimeType: "", buffer: bytes })
      await card("chosen.bin").getByRole("link", { name: "Open" }).waitFor()

      await page.reload()

      const href = await card("chosen.bin").getByRole("link", { name: "Open" }).getAttribute("href")
      assert.isTrue(Buffer.from(await (await fetch(new URL(href!, demo.url))).arrayBuffer()).equals(bytes))
      await card("dropped.png").locator("img").waitFor()
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360)
      assert.deepEqual(complaints, [])
    })

    it("says what is wrong and what to look at when S3 refuses and when the worker is gone", async () => {
      await page.route("**/demo-files/**", (route) =>
        route.continue({ url: route.request().url().replace("X-Amz-Expires=900", "X-Amz-Expires=901") })
      )
      await page.setInputFiles("#choose", { name: "refused.txt", mimeType: "text/plain", buffer: Buffer.from("x") })
      await card("refused.txt").locator(".problem:visible").waitFor()
      assert.match((await card("refused.txt").locator(".problem").textContent()) ?? "", /refused the upload: 403/)
      await page.unroute("**/demo-files/**")
      await card("refused.txt").getByRole("button", { name: "Try again" }).click()
      await card("refused.txt").getByRole("link", { name: "Open" }).waitFor()

      process.kill(demo.pids[0]!, "SIGKILL")
      await page.setInputFiles("#choose", { name: "unanswered.txt", mimeType: "", buffer: Buffer.from("x") })
      await card("unanswered.txt").locator(".problem:visible").waitFor()

      assert.match(
        (await card("unanswered.txt").locator(".problem").textContent()) ?? "",
        /^Timeout: no URL after 10 seconds\. The worker is not running\. Its log is .*worker\.log/
      )
      assert.match((await card("unanswered.txt").locator(".job").textContent()) ?? "", /stateavailable/)
      assert.match((await page.getByRole("alert").textContent()) ?? "", /The worker has ended \(SIGKILL\)/)
      assert.include(demo.said(), "The worker has ended (SIGKILL)")
    })
  })

  it("stops everything on SIGTERM and ends with status 0; what was uploaded is there at the next start", async () => {
    const { files: before } = await client(demo.url).get("/api/files")
    const exited = once(demo.process, "exit")
    demo.process.kill("SIGTERM")

    assert.deepEqual(await exited, [0, null])
    await untilAllEnded(demo.pids)
    demo = await startDemo(directory)
    const { get } = client(demo.url)
    const { files } = await get("/api/files")
    assert.deepEqual(names(files), names(before))
    const { file_id } = files.find(({ stored }: { readonly stored: boolean }) => stored)
    assert.equal((await fetch(`${demo.url}files/${file_id}`)).status, 200)
  })

  it("leaves no process behind when it is killed, and starts again on the same data", async () => {
    demo.process.kill("SIGKILL")

    await untilAllEnded(demo.pids)
    demo = await startDemo(directory)
    assert.equal((await client(demo.url).signed("after.txt", "")).status, "completed")
  })
})
