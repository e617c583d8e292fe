import { assert, describe, it } from "@effect/vitest"
import { combine, finding, type Finding, redacted, toJson, toText } from "../../src/doctor/Finding.ts"
import { findingTable } from "../../src/doctor/FindingTable.ts"

const region = finding("S3_BUCKET_REGION", { subject: "uploads", seen: "it is elsewhere", cure: "S3_REGION=eu-west-1" })
const left = finding("S3_PROBE_LEFT", { subject: "uploads", seen: "it stays", cure: "delete it" })
const unchecked = finding("S3_CORS_UNCHECKED", { subject: "uploads", seen: "nobody knows", cure: "--origin" })
const report = (...findings: ReadonlyArray<Finding>) => ({ checked: ["credentials", "uploads: clock"], findings })

describe("a report", () => {
  it("has the worst first, and what is said of several subjects once", () => {
    const { checked, findings } = combine([report(left), report(region), report({ ...left, subject: "invoices" })])

    assert.deepStrictEqual(
      findings.map(({ code, subject }) => [code, subject]),
      [
        ["S3_BUCKET_REGION", "uploads"],
        ["S3_PROBE_LEFT", "uploads, invoices"]
      ]
    )
    assert.lengthOf(checked, 6)
  })

  it("is one line when all is well", () => {
    assert.strictEqual(toText(report()), "all is well: checked credentials; uploads: clock")
  })

  it("is a line for each finding with why and cure below it, and one for the sum", () => {
    assert.deepStrictEqual(toText(report(region, left)).split("\n"), [
      "S3_BUCKET_REGION  error    uploads: it is elsewhere",
      `    why:  ${findingTable.S3_BUCKET_REGION.why}`,
      "    cure: S3_REGION=eu-west-1",
      "S3_PROBE_LEFT     warning  uploads: it stays",
      `    why:  ${findingTable.S3_PROBE_LEFT.why}`,
      "    cure: delete it",
      "1 error, 1 warning; checked credentials; uploads: clock"
    ])
  })

  it("is JSON with the worst severity as its status, where an info is no worse than nothing", () => {
    const statusOf = (...findings: ReadonlyArray<Finding>) => JSON.parse(toJson(report(...findings))).status

    assert.strictEqual(statusOf(), "ok")
    assert.strictEqual(statusOf(unchecked), "ok")
    assert.strictEqual(statusOf(left, unchecked), "warning")
    assert.strictEqual(statusOf(region, left), "error")
    assert.deepStrictEqual(JSON.parse(toJson(report(region))), {
      status: "error",
      checked: ["credentials", "uploads: clock"],
      findings: [
        {
          code: "S3_BUCKET_REGION",
          severity: "error",
          subject: "uploads",
          seen: "it is elsewhere",
          why: findingTable.S3_BUCKET_REGION.why,
          cure: "S3_REGION=eu-west-1"
        }
      ]
    })
  })

  it("can be redacted, and stays JSON whatever the secret is", () => {
    const quoted = { ...region, seen: 'a "secret" was seen' }

    const said = toJson(redacted(report(quoted), (text) => text.replaceAll('"secret" was', "<redacted>")))

    assert.strictEqual(JSON.parse(said).findings[0].seen, "a <redacted> seen")
  })

  it("has for each code what it means and why that matters", () => {
    for (const [code, { meaning, why }] of Object.entries(findingTable)) {
      assert.match(code, /^(CHECK|CLOCK|CREDENTIALS|S3)_[A-Z0-9_]+$/)
      assert.match(meaning, /^\S.*[^.]$/)
      assert.match(why, /^[A-Z].*\.$/)
    }
  })
})
