import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as ContentDisposition from "../../../src/signer/downloads/ContentDisposition.ts"
import * as SigV4 from "../../../src/signer/s3/SigV4.ts"
import { text } from "../arbitraries.ts"

const attachment = (name: string) => ContentDisposition.of({ name, disposition: "attachment" })

/** The two names of a header, read after RFC 6266's and RFC 8187's grammar; the second only where it stands there. */
const namesIn = (header: string) => {
  const found =
    /^(?:attachment|inline); filename="([ !#-[\]-~]*)"(?:; filename\*=UTF-8''((?:[\w!#$&+.^`|~-]|%[0-9A-F]{2})+))?$/.exec(
      header
    )
  assert.isNotNull(found, header)
  const [, plain, extended] = found!
  return { plain: plain!, whole: extended === undefined ? undefined : decodeURIComponent(extended) }
}

/** What a browser that knows RFC 8187 calls the file. */
const nameOf = (name: string) => {
  const { plain, whole } = namesIn(attachment(name))
  return whole ?? plain
}

describe("ContentDisposition", () => {
  it("says a plain name once, and what the browser is to do", () => {
    assert.strictEqual(
      ContentDisposition.of({ name: "Annual report (2).pdf", disposition: "inline" }),
      `inline; filename="Annual report (2).pdf"`
    )
    assert.strictEqual(attachment(".bashrc"), `attachment; filename=".bashrc"`)
  })

  it("says any other name twice: made plain, and whole", () => {
    const headers = {
      "Übersicht.pdf": `filename="Ubersicht.pdf"; filename*=UTF-8''%C3%9Cbersicht.pdf`,
      "U\u0308bersicht.pdf": `filename="Ubersicht.pdf"; filename*=UTF-8''U%CC%88bersicht.pdf`,
      "見積書 №1.xlsx": `filename="_ No1.xlsx"; filename*=UTF-8''%E8%A6%8B%E7%A9%8D%E6%9B%B8%20%E2%84%961.xlsx`,
      "👩‍💻.png": `filename="_.png"; filename*=UTF-8''%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB.png`,
      '%41;b="c".txt': `filename="_41_b_c_.txt"; filename*=UTF-8''%2541%3Bb%3D%22c%22.txt`,
      "it's (1)*.txt": `filename="it_s (1)_.txt"; filename*=UTF-8''it%27s%20%281%29%2A.txt`,
      "=?UTF-8?Q?a?=.txt": `filename="_UTF-8_Q_a_.txt"; filename*=UTF-8''%3D%3FUTF-8%3FQ%3Fa%3F%3D.txt`
    }

    for (const [name, header] of Object.entries(headers)) assert.strictEqual(attachment(name), `attachment; ${header}`)
  })

  it("lets a name choose no folder, end no header, break no line and turn no text round", () => {
    const names = {
      "../../etc/passwd": ".._.._etc_passwd",
      "C:\\temp\\a.txt": "C:_temp_a.txt",
      "a\r\nSet-Cookie: b=c": "a__Set-Cookie: b=c",
      "a\u0000b\u007f\u0085\u2028.txt": "a_b___.txt",
      "photo\u202egnp.exe": "photo_gnp.exe",
      "half\ud83d.png": "half_.png",
      "\udc00\ud83d": "__"
    }

    for (const [name, expected] of Object.entries(names)) assert.strictEqual(nameOf(name), expected)
  })

  it("calls a file without a name download, and leaves out white space around a name", () => {
    for (const name of ["", " ", "\t\r\n", "\u3000", "\u200b", ".", "..", " . . "])
      assert.strictEqual(attachment(name), `attachment; filename="download"`)
    assert.strictEqual(attachment(" photo.jpg\r\n"), `attachment; filename="photo.jpg"`)
    assert.strictEqual(attachment("\u0301"), `attachment; filename="download"; filename*=UTF-8''%CC%81`)
    assert.strictEqual(attachment("…"), `attachment; filename="download"; filename*=UTF-8''%E2%80%A6`)
  })

  it("fits a name into the 255 bytes of a file system, whole characters, with its extension", () => {
    assert.strictEqual(nameOf(`${"x".repeat(251)}.pdf`), `${"x".repeat(251)}.pdf`)
    assert.strictEqual(nameOf(`${"x".repeat(5_000)}.pdf`), `${"x".repeat(251)}.pdf`)
    assert.strictEqual(nameOf(`${"語".repeat(5_000)}.pdf`), `${"語".repeat(83)}.pdf`)
    assert.strictEqual(nameOf(`${"😀".repeat(64)}.pdf`), `${"😀".repeat(62)}.pdf`)
    assert.strictEqual(nameOf(`a.${"é".repeat(200)}`), `a.${"é".repeat(126)}`)
    assert.strictEqual(nameOf("é".repeat(200)), "é".repeat(127))
    assert.strictEqual(nameOf(`${"x".repeat(250)}  ${"x".repeat(50)}.pdf`), `${"x".repeat(250)}.pdf`)
    // One character that becomes eighteen when it is made plain.
    assert.isAtMost(namesIn(attachment("\ufdfa㎯".repeat(40))).plain.length, 255)
  })

  it("keeps every URL under 8 kB, with the longest key, name and a long session token", () => {
    const sign = SigV4.signer(
      { protocol: "https:", host: `${"h".repeat(253)}:65535`, region: "eu-central-1" },
      {
        accessKeyId: Redacted.make("A".repeat(128)),
        secretAccessKey: Redacted.make("secret"),
        sessionToken: Redacted.make("/".repeat(400) + "x".repeat(1_200))
      }
    )
    const lengths = ["語", "\u0000", "é", "😀", "'", "㎯", "x;"].map((character) => {
      const url = sign({
        method: "GET",
        path: `/bucket/${SigV4.encodePath("é".repeat(512))}`,
        at: 0,
        expiresIn: 604_800,
        query: { "response-content-disposition": attachment(character.repeat(5_000)) }
      })
      return url.length
    })

    assert.isBelow(Math.max(...lengths), 8_000)
  })

  it.effect.prop(
    "is one header by the grammar whatever the name, and gives back every character that a name can have",
    [text],
    ([name]) =>
      Effect.sync(() => {
        const header = attachment(name)

        const { plain, whole } = namesIn(header)
        const given = whole ?? plain
        assert.isAtMost(header.length, 1_062)
        assert.isAtMost(Buffer.byteLength(given), 255)
        assert.notMatch(given, /^\s|\s$|^\.{0,2}$|[/\\\p{Cc}\p{Cs}]/u)
        assert.notMatch(plain, /["\\%']|^\s|\s$|^\.*$/)
        const isOrdinary =
          Buffer.byteLength(name) <= 255 && !/^\s|\s$|^[.\s\p{C}]*$|[/\\\p{Cc}\p{Cs}\u202e]/u.test(name)
        if (isOrdinary) assert.strictEqual(given, name)
        assert.strictEqual(nameOf(given), given)
      }),
    { arbitrary: { runs: 2_000 } }
  )

  it("takes at most 3 ms for a hostile name of 10,000 characters", () => {
    const names = ["\u0301", " ", ".", "語", "\ud83d", "a.", "\ufdfa", "%"].map((piece) => piece.repeat(10_000))

    const before = performance.now()
    for (let i = 0; i < 1_000; i++) attachment(names[i % names.length]!)

    assert.isBelow(performance.now() - before, 3_000)
  })
})
