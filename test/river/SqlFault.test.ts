import { assert, describe, it } from "@effect/vitest"
import { AuthenticationError, ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import { describe as describeFault, severity, StatementTimeout } from "../../src/river/SqlFault.ts"

const fromServer = (code: string, message = "as the server puts it") =>
  new SqlError({
    reason: new UnknownError({ cause: Object.assign(new Error(message), { code }), message: "Query failed" })
  })
const fromNetwork = (code: string) =>
  new SqlError({
    reason: new ConnectionError({
      cause: Object.assign(new Error("connect failed"), { code }),
      message: "No connection"
    })
  })

describe("SqlFault.severity", () => {
  it("waits for a database that is away, full, read-only, or that does not let us in just now", () => {
    const codes = ["08006", "08P01", "53300", "53200", "57P01", "57P02", "57P03", "25006", "28P01", "28000", "3D000"]

    for (const code of codes) assert.strictEqual(severity(fromServer(code)), "outage", code)
    for (const code of ["ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EPIPE"]) {
      assert.strictEqual(severity(fromNetwork(code)), "outage", code)
    }
    const refused = new AuthenticationError({ cause: new Error("no password"), message: "Authentication failed" })
    assert.strictEqual(severity(new SqlError({ reason: refused })), "outage")
    assert.strictEqual(severity(new StatementTimeout({ seconds: 10 })), "outage")
  })

  it("tries again what another transaction was in the way of", () => {
    for (const code of ["40001", "40P01", "55P03", "57014"]) {
      assert.strictEqual(severity(fromServer(code)), "contention", code)
    }
  })

  it("takes everything else for a fault of the data, which would fail again", () => {
    for (const code of ["22P05", "22021", "23514", "23505", "P0001", "42P01", "42501", "22008", "0A000"]) {
      assert.strictEqual(severity(fromServer(code)), "data", code)
    }
  })
})

describe("SqlFault.describe", () => {
  it("has the server's own words and its code", () => {
    assert.strictEqual(describeFault(fromServer("23514", "no such status")), "no such status (SQLSTATE 23514)")
    assert.strictEqual(describeFault(fromNetwork("ECONNREFUSED")), "connect failed")
    assert.match(describeFault(new StatementTimeout({ seconds: 10 })), /did not answer within 10 seconds/)
  })
})
