/**
 * What the parameters of a download's URL do, seen with a real S3 server and a real browser.
 */
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import type { Browser, Download, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as ContentDisposition from "../../../src/signer/downloads/ContentDisposition.ts"
import * as MediaType from "../../../src/signer/downloads/MediaType.ts"
import * as SigV4 from "../../../src/signer/s3/SigV4.ts"
import { findChromium, launchChromium, noChromium } from "../../support/Chromium.ts"
import { type S3, s3Credentials, startS3 } from "../../support/S3.ts"

let s3: S3
let files = 0

beforeAll(async () => {
  s3 = await startS3({ bucket: "names" })
})
afterAll(() => s3.stop())

const sign = (method: "GET" | "PUT", key: string, query: Readonly<Record<string, string>> = {}) => {
  const { host, protocol } = new URL(s3.endpoint)
  const keys = {
    accessKeyId: Redacted.make(s3Credentials.accessKeyId),
    secretAccessKey: Redacted.make(s3Credentials.secretAccessKey)
  }
  const path = `/${s3.bucket}/${SigV4.encodePath(key)}`
  return SigV4.signer(
    { protocol, host, region: "us-east-1" },
    keys
  )({ method, path, at: Date.now(), expiresIn: 60, query })
}

/** Uploads by a signed URL; the type is the one that the uploader sends along. */
const upload = async (body: string | Buffer, type = "application/octet-stream") => {
  const key = `posts/1/${(files += 1)}/original.bin`
  const { status } = await fetch(sign("PUT", key), {
    method: "PUT",
    body: typeof body === "string" ? body : new Uint8Array(body),
    headers: { "Content-Type": type }
  })
  assert.equal(status, 200)
  return key
}

const forced = (contentType: string, disposition: string) => ({
  "response-content-type": contentType,
  "response-content-disposition": disposition
})

/** A URL as the signer makes it for a file on record. */
const downloadUrl = (key: string, name: string, type: string, wantsInline = false) => {
  const { contentType, disposition } = MediaType.of(type, wantsInline)
  return sign("GET", key, forced(contentType, ContentDisposition.of({ name, disposition })))
}

describe("the S3 server of the tests", () => {
  it("believes signed parameters with any character, and forces the answer's headers with them", async () => {
    const key = await upload("hello", "text/html")
    const disposition = `attachment; filename*=UTF-8''!%27%28%29%2A ~!'()*"$&+,;=@é%`.replace("é", "%C3%A9")

    const response = await fetch(sign("GET", key, forced('text/plain; a="!\'()*"', disposition)))

    assert.equal(response.status, 200)
    assert.equal(response.headers.get("content-type"), 'text/plain; a="!\'()*"')
    assert.equal(response.headers.get("content-disposition"), disposition)
    assert.equal(await response.text(), "hello")
  })

  it("refuses them when they are altered, added or left out", async () => {
    const key = await upload("hello")
    const url = sign("GET", key, forced("image/png", "attachment; filename*=UTF-8''%27%28a%29"))
    const statusOf = async (altered: string) => {
      assert.notEqual(altered, url)
      return (await fetch(altered)).status
    }

    assert.equal((await fetch(url)).status, 200)
    assert.equal(await statusOf(url.replace("image%2Fpng", "text%2Fhtml")), 403)
    assert.equal(await statusOf(url.replace("attachment", "inline")), 403)
    assert.equal(await statusOf(url.replace("UTF-8%27%27", "UTF-8%27")), 403)
    assert.equal(await statusOf(url.replace("UTF-8%27%27", "UTF-8%28%27")), 403)
    assert.equal(await statusOf(url.replace("UTF-8%27%27", "UTF-8%2527%27")), 403)
    assert.equal(await statusOf(url.replace(/&response-content-type=[^&]*/, "")), 403)
    assert.equal(await statusOf(`${url}&response-cache-control=no-store`), 403)
    assert.equal(await statusOf(url.replace(/(X-Amz-Signature=)./, "$1x")), 403)
  })
})

const executable = findChromium()
if (executable === undefined) process.stderr.write(`skipped, downloads in Chromium: ${noChromium}\n`)

describe.skipIf(executable === undefined)("a download in Chromium", () => {
  let browser: Browser
  let page: Page
  /** What the page asked the server for. */
  let asked: Array<string>

  beforeAll(async () => {
    browser = await launchChromium(executable!)
    page = await browser.newPage()
    page.on("request", (request) => asked.push(new URL(request.url()).pathname))
  })
  afterAll(() => browser?.close())

  /** Follows a link to the URL from a page that stays where it is. */
  const download = async (url: string): Promise<Download> => {
    await page.goto("about:blank")
    asked = []
    const [found] = await Promise.all([
      page.waitForEvent("download", { timeout: 5_000 }),
      page.evaluate((href) => {
        const link = document.createElement("a")
        link.href = href
        document.body.append(link)
        link.click()
      }, url)
    ])
    return found
  }

  const nameOf = async (name: string): Promise<string> => {
    const found = await download(downloadUrl(await upload(name), name, "application/octet-stream"))
    assert.equal(fs.readFileSync(await found.path(), "utf8"), name)
    await found.delete()
    return found.suggestedFilename()
  }

  it.each([
    ["plain", "report.pdf"],
    ["without an extension", "README"],
    ["with two", "backup.tar.gz"],
    ["with spaces", "Annual report  2026.pdf"],
    ["with single quotes", "it's 'here'.txt"],
    ["with percent signs", "100% %41%2F%.txt"],
    ["with a plus", "a+b.txt"],
    ["with semicolons and equals signs", "a; filename=b.txt; c=d.txt"],
    ["with parentheses", "photo (1) [2] {3}.jpg"],
    ["with all other signs", "!#$&,;=@^_`~-.txt"],
    ["with what looks like an encoded word", "=_UTF-8_Q_a_=.txt"],
    ["Latin, composed", "Überprüfung Œuvre Łódź ñandú.pdf"],
    ["Vietnamese", "Tiếng Việt.docx"],
    ["Turkish", "İstanbul ığüşöç.txt"],
    ["Greek", "Αθήνα πολυτονικό ᾧ.pdf"],
    ["Cyrillic", "Отчёт за Їжак.xlsx"],
    ["Armenian and Georgian", "Հայերեն ქართული.txt"],
    ["Arabic", "تقرير السنة.pdf"],
    ["Hebrew with points", "שָׁלוֹם עולם.pdf".normalize("NFC")],
    ["Devanagari", "हिन्दी की रिपोर्ट.pdf"],
    ["Tamil and Bengali", "தமிழ் বাংলা.pdf".normalize("NFC")],
    ["Thai", "รายงานประจำปี.pdf"],
    ["Amharic and Khmer", "አማርኛ ភាសាខ្មែរ.txt"],
    ["Chinese, in both scripts", "报告 報告 𠮷野家.pdf"],
    ["Japanese", "見積書ガギ（１）・ｶﾞ.pdf"],
    ["Korean", "보고서.hwp"],
    ["emoji", "🎉🇪🇺👍🏽❤️.png"],
    ["right to left beside left to right", "abc אבג 123 دهو.txt"],
    ["with white space inside that is not a blank", "a\u00a0b\u3000c.txt"],
    ["typographic", "„Zitat“ – it’s… №1 ½ ﬁ ™.txt"],
    ["as long as a file system takes", `${"語".repeat(83)}ab.pdf`]
  ])("is called as it was uploaded: %s", async (_, name) => {
    assert.equal(await nameOf(name), name)
  })

  it.each([
    ["composes characters (NFC)", "U\u0308berpru\u0308fung \u1112\u1161\u11ab.pdf", "\u00dcberpr\u00fcfung \ud55c.pdf"],
    ["drops leading dots", "..bashrc", "bashrc"],
    ["drops trailing dots", "name..", "name"],
    ["replaces what names on Windows cannot have", 'a"b*c:d<e>f?g|h.txt', "a_b_c_d_e_f_g_h.txt"],
    ["replaces a tilde at the ends", "~a~b~", "_a~b_"],
    ["replaces joiners in emoji", "👩‍💻.png", "👩_💻.png"],
    ["replaces joiners in Persian", "می‌خواهم.pdf", "می_خواهم.pdf"],
    ["replaces format characters", "a\u00adb\u200bc\u200ed\u{e0067}.txt", "a_b_c_d_.txt"],
    ["replaces what is no character", "a\ufffeb\u{1ffff}.txt", "a_b_.txt"]
  ])("is changed by Chromium, which %s", async (_, name, expected) => {
    assert.equal(await nameOf(name), expected)
  })

  it.each([
    ["folders", "../..\\etc/passwd", "_.._etc_passwd"],
    ["control characters", "a\r\nX: b\u0000\u0007c.txt", "a__X_ b__c.txt"],
    ["characters that turn the text after them", "photo\u202egnp.exe", "photo_gnp.exe"],
    ["white space at the ends", " photo.jpg \n", "photo.jpg"],
    ["what is too long", `${"語".repeat(2_000)}.pdf`, `${"語".repeat(83)}.pdf`],
    ["no name at all", "", "download"],
    ["nothing but dots", "..", "download"]
  ])("is called something usable instead of %s", async (_, name, expected) => {
    assert.equal(await nameOf(name), expected)
  })

  const svg = `<svg xmlns="http://www.w3.org/2000/svg"><script>fetch("/ran")</script></svg>`
  const html = `<!doctype html><title>a</title><script>fetch("/ran")</script>`
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64"
  )

  const open = async (url: string) => {
    asked = []
    await page.goto(url)
    await page.waitForLoadState("networkidle")
  }

  it("saves a picture that holds script, also when it is to be shown: it never runs", async () => {
    const key = await upload(svg, "image/svg+xml")

    for (const type of ["image/svg+xml", " IMAGE/SVG+XML; a=image/png", "text/html", "application/xml", "x"]) {
      const found = await download(downloadUrl(key, "drawing.svg", type, true))
      assert.equal(found.suggestedFilename(), "drawing.svg")
      assert.equal(fs.readFileSync(await found.path(), "utf8"), svg)
      assert.equal(page.url(), "about:blank")
      assert.notInclude(asked, "/ran")
    }

    // With the uploader's own type and no word about saving it would have run.
    await open(sign("GET", key))
    assert.include(asked, "/ran")
  })

  it("shows a picture that is to be shown, and saves it when not, whatever type it was uploaded with", async () => {
    const key = await upload(png, "text/html")

    await open(downloadUrl(key, "dot.png", "image/png", true))
    const [type, width] = await page.evaluate(() => [document.contentType, document.images[0]?.naturalWidth])
    const saved = await download(downloadUrl(key, "dot.png", "image/png"))

    assert.deepEqual([type, width], ["image/png", 1])
    assert.equal(saved.suggestedFilename(), "dot.png")
    assert.isTrue(fs.readFileSync(await saved.path()).equals(png))
  })

  it.each(["text/plain", "image/png", "image/gif; charset=utf-8", "text/plain; a=b, text/html"])(
    "runs no script of a page that is on record as %s and is to be shown",
    async (type) => {
      const key = await upload(html, "text/html")

      await open(downloadUrl(key, "page.html", type, true))

      assert.equal(await page.evaluate(() => document.contentType), type.split(";")[0])
      assert.notInclude(asked, "/ran")
    }
  )
})
