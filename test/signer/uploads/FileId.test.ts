import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import * as RequestId from "../../../src/signer/requests/RequestId.ts"
import * as FileId from "../../../src/signer/uploads/FileId.ts"
import { instant, text, uuid, uuidV7 } from "../arbitraries.ts"

const requestId = (id: string) => Result.getOrThrow(RequestId.parse(id))
const isV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const timeOf = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

const timeAt = (at: number) => timeOf(FileId.make(requestId("6ba7b810-9dad-41d1-80b4-00c04fd430c8"), at))

/** The random bits as they are laid out in a UUID, computed with whole numbers. */
const modelBits = (id: string): string => {
  const digest = createHash("sha256").update(`s3-signer file_id 1:${id.toLowerCase()}`).digest()
  const a = digest.readUInt16BE(0) >> 4
  const b = 0x8000n | (BigInt(digest[1]! & 3) << 12n) | BigInt(digest.readUInt16BE(2) >> 4)
  const c = (digest.readBigUInt64BE(2) >> 4n) & 0xffff_ffff_ffffn
  return `7${a.toString(16).padStart(3, "0")}-${b.toString(16)}-${c.toString(16).padStart(12, "0")}`
}

describe("FileId", () => {
  it("never changes for a request: files already stored depend on it", () => {
    assert.strictEqual(
      FileId.make(requestId("0192f0c1-2345-7abc-8def-0123456789ab"), 0),
      "0192f0c1-2345-73f5-976b-d27d64fc6964"
    )
    assert.strictEqual(
      FileId.make(requestId("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), 1_730_000_000_123),
      "0192cc09-147b-7de6-8a26-f5bfecb3fc1f"
    )
  })

  it.effect.prop("is a version-7 UUID with the time of a version-7 request", [uuidV7, instant], ([id, at]) =>
    Effect.sync(() => {
      const made = FileId.make(requestId(id), at)

      assert.match(made, isV7)
      assert.strictEqual(timeOf(made), timeOf(id))
    })
  )

  it.effect.prop("takes its time from the job when the request's id has none", [uuid, instant], ([id, at]) =>
    Effect.sync(() => {
      const other = `${id.slice(0, 14)}4${id.slice(15)}`
      const made = FileId.make(requestId(other), at)

      assert.match(made, isV7)
      assert.strictEqual(timeOf(made), at)
    })
  )

  it("takes a request id of another variant for one without a time", () => {
    assert.strictEqual(timeOf(FileId.make(requestId("0192f0c1-2345-7abc-cdef-0123456789ab"), 5)), 5)
  })

  it("brings a time that a UUID cannot hold into range", () => {
    assert.strictEqual(timeAt(-1), 0)
    assert.strictEqual(timeAt(12.9), 12)
    assert.strictEqual(timeAt(Number.NaN), 0)
    assert.strictEqual(timeAt(-Infinity), 0)
    assert.strictEqual(timeAt(2 ** 48 - 1), 2 ** 48 - 1)
    assert.strictEqual(timeAt(2 ** 48), 2 ** 48 - 1)
    assert.strictEqual(timeAt(Infinity), 2 ** 48 - 1)
  })

  it.effect.prop("is the same for the same request, in whatever case its id is written", [uuid, instant], ([id, at]) =>
    Effect.sync(() => {
      const made = FileId.make(requestId(id), at)

      assert.strictEqual(FileId.make(requestId(id.toUpperCase()), at), made)
      assert.strictEqual(FileId.make(requestId(id.toLowerCase()), at), made)
    })
  )

  it.effect.prop("has the 74 bits of a hash of the request id, which they do not reveal", [uuid], ([id]) =>
    Effect.sync(() => assert.strictEqual(FileId.make(requestId(id), 0).slice(14), modelBits(id)))
  )

  it.effect.prop("accepts UUIDs as PostgreSQL prints them", [uuid], ([id]) =>
    Effect.sync(() =>
      assert.deepStrictEqual(RequestId.parse(id), Result.succeed(id.toLowerCase() as RequestId.RequestId))
    )
  )

  it.effect.prop("refuses anything else by name, in one readable line", [text], ([id]) =>
    Effect.sync(() => {
      const { field, message } = Result.getOrThrow(Result.flip(RequestId.parse(id)))

      assert.strictEqual(field, "request_id")
      assert.match(message, /^request_id ".*" is not the UUID of a request$/)
      assert.isAtMost(message.length, 500)
    })
  )

  it("refuses other ways to write a UUID", () => {
    const id = "0192f0c1-2345-7abc-8def-0123456789ab"
    for (const other of [
      `{${id}}`,
      id.replaceAll("-", ""),
      ` ${id}`,
      `${id}\n`,
      `urn:uuid:${id}`,
      id.replace("a", "g")
    ]) {
      assert.isFalse(RequestId.isUuid(other), other)
    }
  })
})
