import { assert, describe, it } from "@effect/vitest"
import { faultOf } from "../../../src/signer/credentials/CredentialFault.ts"

const error = (message: string, fields: object = {}) => Object.assign(new Error(message), fields)

describe("faultOf", () => {
  it("gives names, codes and statuses, of what an error is caused by and gathers, too", () => {
    assert.strictEqual(
      faultOf(error("x", { name: "AccessDenied", $metadata: { httpStatusCode: 403 } })),
      "AccessDenied, HTTP 403"
    )
    assert.strictEqual(faultOf(error("x", { statusCode: 404 })), "HTTP 404")
    assert.strictEqual(faultOf(error("x", { code: "ENOENT", syscall: "open" })), "token file: ENOENT")
    assert.strictEqual(faultOf(error("x", { cause: error("y", { code: "CERT_HAS_EXPIRED" }) })), "CERT_HAS_EXPIRED")
    const refused = [
      error("x", { code: "ECONNREFUSED" }),
      error("y", { code: "ECONNREFUSED" }),
      error("z", { code: "ENETUNREACH" })
    ]
    assert.strictEqual(faultOf(new AggregateError(refused)), "ECONNREFUSED, ENETUNREACH")
    assert.strictEqual(
      faultOf(error("Error: connect ECONNREFUSED 127.0.0.1:80", { name: "CredentialsProviderError" })),
      "ECONNREFUSED"
    )
    assert.strictEqual(faultOf(error("Server responded with status: 500", { Code: "Slow" })), "Slow, HTTP 500")
  })

  it("says that an answer makes no sense, where JavaScript only has a name for it", () => {
    for (const it of [new SyntaxError("x"), new TypeError("x"), error("x", { $metadata: { httpStatusCode: 200 } })]) {
      assert.strictEqual(faultOf(it), "an answer that makes no sense")
    }
    assert.strictEqual(faultOf(error("x", { name: "TypeError", code: "ERR_INVALID_URL" })), "ERR_INVALID_URL")
  })

  it("never gives the text of an error", () => {
    const secrets = [
      "canary",
      "Command failed: vault read canary\ncanary",
      "Profile canary credential_process returned invalid JSON.",
      "Could not resolve credentials using profile: [canary] in configuration/credentials file(s).",
      "Error: connect canary",
      "CanaryError: canary",
      'TypeError [ERR_INVALID_CHAR]: Invalid character in header content ["canary"]',
      "Unexpected token 'c', \"canary\" is not valid JSON",
      "Server responded with status: 403 canary"
    ]
    for (const text of secrets) {
      for (const it of [
        new Error(text),
        new SyntaxError(text),
        new Error("x", { cause: new Error(text) }),
        new AggregateError([new Error(text)], text)
      ]) {
        assert.notInclude(faultOf(it), "canary")
        assert.match(faultOf(it), /^[\w ,.:/()-]{4,100}$/)
      }
    }
  })

  it("takes neither a key id nor a token for a name or a code", () => {
    for (const secret of [
      "AKIAIOSFODNN7EXAMPLE",
      "FwoGZXIvYXdzEDk//8=",
      "eyJhbGciOi.x.y",
      "EKEY1234567890123456",
      "a".repeat(70),
      "canary"
    ]) {
      const it = error("x", { name: secret, code: secret, Code: secret, statusCode: secret })
      assert.notInclude(faultOf(Object.assign(it, { name: secret })).replace(/^Error$/, ""), secret)
    }
  })

  it("bears whatever is thrown", () => {
    const circle = error("x")
    Object.assign(circle, { cause: circle })
    for (const thrown of [
      undefined,
      null,
      "canary",
      42,
      {},
      Symbol("canary"),
      circle,
      new AggregateError([]),
      error("", { name: "" })
    ]) {
      assert.match(faultOf(thrown), /\w/)
      assert.notInclude(faultOf(thrown), "canary")
    }
  })
})
