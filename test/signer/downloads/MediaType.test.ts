import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as MediaType from "../../../src/signer/downloads/MediaType.ts"

const unknown = { contentType: "application/octet-stream", disposition: "attachment" }

/** As files of one type may be recorded: any case, any white space and any parameters. */
const spellings = (type: string) => [
  type,
  type.toUpperCase(),
  ` ${type}\r\n`,
  `${type};`,
  `${type} ; charset=utf-8`,
  `${type};\tcharset="utf-8"`,
  `${type}; a=image/png`,
  `${type};image/png`,
  `${type}, image/png`
]

describe("MediaType", () => {
  it("forces the type on record, with its parameters", () => {
    const types = {
      "image/png": "image/png",
      " IMAGE/PNG ": "image/png",
      "text/plain; charset=UTF-8": "text/plain; charset=UTF-8",
      'text/plain;charset="utf-8" ; format=flowed': 'text/plain;charset="utf-8" ; format=flowed',
      "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
      "application/ld+json": "application/ld+json"
    }

    for (const [type, expected] of Object.entries(types)) {
      assert.strictEqual(MediaType.of(type, false).contentType, expected)
      assert.strictEqual(MediaType.of(type, true).contentType, expected)
      assert.strictEqual(MediaType.of(type, false).disposition, "attachment")
    }
  })

  it("leaves out parameters that could be read in more than one way", () => {
    const types = {
      "video/webm;codecs=vp8,opus": "video/webm",
      'video/mp4; codecs="avc1.42E01E, mp4a.40.2"': "video/mp4",
      "image/png; a='; b=\", text/html": "image/png",
      'image/png; a="b\\", text/html"': "image/png",
      "image/png; a=b\r\nSet-Cookie: c=d": "image/png",
      "image/png; a = b": "image/png",
      "image/png; a=\u00e9": "image/png",
      [`image/png; a=${"b".repeat(300)}`]: "image/png"
    }

    for (const [type, contentType] of Object.entries(types)) {
      assert.deepStrictEqual(MediaType.of(type, true), { contentType, disposition: "inline" }, type)
    }
  })

  it("says octet-stream, and attachment, where the record has no media type", () => {
    const types = [
      "",
      " ",
      "png",
      "image",
      "image/",
      "/png",
      "image/*",
      "*/*",
      "image/png/x",
      "image /png",
      "image/ png"
    ]
    const worse = [
      "image/png, text/html",
      "image/png\r\nSet-Cookie: a=b",
      "image/png\u0000",
      "ımage/png",
      "image/png\u0130"
    ]

    for (const type of [...types, ...worse, `image/${"x".repeat(128)}`, `image/${" ".repeat(100_000)}png`]) {
      assert.deepStrictEqual(MediaType.of(type, true), unknown as MediaType.Forced, type)
    }
  })

  it("lets a browser show pictures, sound, film, plain text and PDF when that is asked for", () => {
    const types = "image/png image/jpeg image/gif image/webp image/avif image/bmp application/pdf text/plain"
    const more = "audio/mpeg audio/mp4 audio/ogg audio/wav audio/webm video/mp4 video/webm video/ogg video/quicktime"

    for (const type of `${types} ${more}`.split(" ")) {
      assert.strictEqual(MediaType.of(type, true).disposition, "inline")
      assert.strictEqual(MediaType.of(type.toUpperCase(), true).disposition, "inline")
      assert.strictEqual(MediaType.of(type, false).disposition, "attachment")
    }
  })

  it("has SVG, HTML, XML and scripts saved, however their type is spelled", () => {
    const documents = "image/svg+xml text/html application/xhtml+xml text/xml application/xml text/xsl text/css"
    const xml = "application/xslt+xml application/mathml+xml application/rss+xml image/foo+xml application/xml-dtd"
    const scripts = "text/javascript application/javascript application/ecmascript text/ecmascript module/x"
    const others = "multipart/x-mixed-replace multipart/related message/rfc822 application/x-shockwave-flash"
    const unsaid = "application/octet-stream application/unknown unknown/unknown text/x text/markdown image/x-icon"

    for (const type of `${documents} ${xml} ${scripts} ${others} ${unsaid}`.split(" ")) {
      for (const spelled of spellings(type)) {
        assert.strictEqual(MediaType.of(spelled, true).disposition, "attachment", spelled)
      }
    }
  })

  const pieces = [
    "image/png",
    "text/html",
    "IMAGE/",
    "svg+xml",
    ";",
    ",",
    " ",
    "a=",
    '"',
    "'",
    "\\",
    "\r\n",
    "é",
    "/",
    "="
  ]
  const anyType = Arbitrary.map(Arbitrary.array(Arbitrary.schema(Schema.Literals(pieces)), { maxLength: 8 }), (some) =>
    some.join("")
  )

  it.effect.prop(
    "is one type by the grammar whatever is on record, and shown only when that type may be",
    { type: anyType },
    ({ type }) =>
      Effect.sync(() => {
        const { contentType, disposition } = MediaType.of(type, true)

        assert.match(contentType, /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+(?: *; *[\w-]+=(?:[\w/.-]+|"[^",'\\]*"))*$/)
        assert.isAtMost(contentType.length, 255)
        assert.notMatch(contentType, /[^ -~]|,/)
        if (disposition === "inline") assert.strictEqual(contentType.split(/ *;/)[0], "image/png")
      }),
    { arbitrary: { runs: 2_000 } }
  )
})
