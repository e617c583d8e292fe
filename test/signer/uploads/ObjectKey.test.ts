import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as RequestId from "../../../src/signer/requests/RequestId.ts"
import * as FileId from "../../../src/signer/uploads/FileId.ts"
import * as ObjectKey from "../../../src/signer/uploads/ObjectKey.ts"
import { instant, text, uuid } from "../arbitraries.ts"

const requestId = (id: string) => Result.getOrThrow(RequestId.parse(id))
const file_id = FileId.make(requestId("0192f0c1-2345-7abc-8def-0123456789ab"), 0)

const keyOf = (parts: Partial<ObjectKey.Parts>) =>
  ObjectKey.make({ entity_type: "posts", entity_id: "42", file_name: "photo.jpg", file_id, ...parts })

const refusalOf = (parts: Partial<ObjectKey.Parts>) => {
  const { field, message } = Result.getOrThrow(Result.flip(keyOf(parts)))
  return { field, message }
}

/** Go's `filepath.Ext` after its source: bytes from the back, until a dot or a separator. */
const goExt = (path: string): string => {
  const bytes = Buffer.from(path)
  for (let i = bytes.length - 1; i >= 0 && bytes[i] !== 0x2f; i--) {
    if (bytes[i] === 0x2e) return bytes.subarray(i).toString()
  }
  return ""
}

describe("ObjectKey", () => {
  it("puts a file under the type and the id of its entity and its own id", () => {
    assert.deepStrictEqual(keyOf({}), Result.succeed(`posts/42/${file_id}/original.jpg` as ObjectKey.ObjectKey))
  })

  it("has the extension that the Go worker gives to names of ordinary characters", () => {
    const names = {
      "a.JPG": ".JPG",
      "x.tar.gz": ".gz",
      ".bashrc": ".bashrc",
      "name.": ".",
      "a..": ".",
      "..": ".",
      README: ".bin",
      "": ".bin",
      "dir.d/README": ".bin",
      "foo.p/ng": ".bin",
      "/etc/.hidden/a.b": ".b",
      "a.x_y-z~1": ".x_y-z~1"
    }

    for (const [name, expected] of Object.entries(names)) {
      assert.strictEqual(ObjectKey.extension(name), expected, name)
      assert.strictEqual(ObjectKey.safeExtension(name), expected, name)
    }
  })

  it("leaves out of an extension what a key cannot have, and falls back to .bin when nothing else is there", () => {
    const names = {
      "photo.jpg ": ".jpg",
      'photo.jpg"': ".jpg",
      "photo.jp\u0000g": ".jpg",
      "photo.jpg?v=2": ".jpgv2",
      "photo.😀": ".bin",
      "photo.\ud83d": ".bin",
      "photo. ": ".bin",
      "Bericht.März": ".Mrz",
      "photo.cafe\u0301": ".cafe",
      "..%2f": ".2f"
    }

    for (const [name, expected] of Object.entries(names)) assert.strictEqual(ObjectKey.safeExtension(name), expected)
  })

  it("keeps the extension of any name that a file system can hold, and drops what is longer", () => {
    const longest = `.${"x".repeat(254)}`

    assert.strictEqual(ObjectKey.safeExtension(longest), longest)
    assert.strictEqual(ObjectKey.safeExtension(`${longest}x`), ".bin")
    assert.strictEqual(ObjectKey.safeExtension(`a.${"é".repeat(10_000)}`), ".bin")
  })

  it("says which field makes a key impossible, with its value, and what would be possible", () => {
    assert.deepStrictEqual(refusalOf({ entity_type: "" }), {
      field: "entity_type",
      message: "entity_type is empty: a file is stored under the type and the id of its entity"
    })
    assert.deepStrictEqual(refusalOf({ entity_id: ".." }), {
      field: "entity_id",
      message: `entity_id ".." cannot be a part of an object key: "." and ".." mean folders in a path`
    })
    assert.deepStrictEqual(refusalOf({ entity_id: "a\n\u0000b/" }), {
      field: "entity_id",
      message: `entity_id "a<U+000A><U+0000>b/" contains "<U+000A>", which cannot stand in an object key: only A-Z a-z 0-9 - . _ ~ can`
    })
    assert.deepStrictEqual(refusalOf({ entity_id: "x".repeat(256) }), {
      field: "entity_id",
      message: `entity_id "${"x".repeat(40)}…" is 256 characters long: at most 255 fit into an object key`
    })
  })

  it("accepts ids that only look like folders", () => {
    for (const entity_id of ["...", ".a", "a.", "-", "~", "x".repeat(255)])
      assert.isTrue(Result.isSuccess(keyOf({ entity_id })))
  })

  it.effect.prop(
    "is safe in a URL's path as it stands, or is refused by name in one readable line",
    { entity_type: text, entity_id: text, file_name: text },
    (names) =>
      Effect.sync(() => {
        const result = keyOf(names)

        if (Result.isFailure(result)) {
          const { field, message } = result.failure
          assert.include(["entity_type", "entity_id"], field)
          assert.isTrue(message.startsWith(`${field} `))
          assert.isAtLeast(message.length, 5)
          assert.isAtMost(message.length, 500)
          assert.notMatch(message, /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
          return
        }
        const key = result.success
        const segments = key.split("/")
        assert.strictEqual(segments.length, 4)
        assert.deepStrictEqual(segments.slice(0, 3), [names.entity_type, names.entity_id, file_id])
        assert.strictEqual(segments.map(encodeURIComponent).join("/"), key)
        assert.strictEqual(segments.map(decodeURIComponent).join("/"), key)
        assert.notMatch(key, /[!'()*]/)
        assert.isFalse(segments.some((segment) => segment === "" || segment === "." || segment === ".."))
        assert.isAtMost(Buffer.byteLength(key), 1024)
        const url = `https://s3.example.com:9000/base/bucket/${key}?X-Amz-Date=1`
        assert.strictEqual(new URL(url).pathname, `/base/bucket/${key}`)
        assert.strictEqual(new URL(url).href, url)
      }),
    { arbitrary: { runs: 1000 } }
  )

  it.effect.prop(
    "finds the extension that Go's filepath.Ext finds, and .bin where that finds none",
    [text],
    ([name]) =>
      Effect.sync(() => {
        const wellFormed = name.toWellFormed()
        const expected = goExt(wellFormed) || ".bin"

        assert.strictEqual(ObjectKey.extension(wellFormed), expected)
        const isOrdinary = /^[A-Za-z0-9\-._~]{1,255}$/.test(expected)
        if (isOrdinary) assert.strictEqual(ObjectKey.safeExtension(wellFormed), expected)
        assert.match(ObjectKey.safeExtension(name), /^\.[A-Za-z0-9\-_~]{0,254}$/)
      }),
    { arbitrary: { runs: 1000 } }
  )

  it.effect.prop(
    "is the same for the same request, however its id is written",
    [uuid, instant, text],
    ([id, at, name]) =>
      Effect.sync(() => {
        const first = keyOf({ file_name: name, file_id: FileId.make(requestId(id), at) })
        const again = keyOf({ file_name: name, file_id: FileId.make(requestId(id.toUpperCase()), at) })

        assert.deepStrictEqual(first, again)
      })
  )
})
