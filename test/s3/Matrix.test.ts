/**
 * What S3 servers that verify signatures do with the URLs that we sign: the matrix, cell by cell.
 *
 * A server that is not there is skipped, with the reason; with `S3_SERVERS=required` in the environment that is an error.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { labelOf, missing, type Server, serverNames, startServer, stylesOf } from "./Servers.ts"
import { openStore } from "./Store.ts"
import { begin, blocks, end, trials, written } from "./Tables.ts"
import { altered, differs, outcomeOn, triedOn } from "./Trial.ts"

for (const name of serverNames) {
  const reason = missing(name)
  if (reason !== undefined && process.env["S3_SERVERS"] === "required") throw new Error(reason)
  if (reason !== undefined) {
    describe.skip(name, () => it(reason, () => {}))
    continue
  }

  describe(labelOf(name), () => {
    let server: Server
    beforeAll(async () => {
      server = await startServer(name)
    })
    afterAll(() => server?.stop())

    for (const style of stylesOf(name)) {
      describe(`${style} style`, () => {
        for (const trial of triedOn(name, trials)) {
          const outcome = outcomeOn(name, trial)
          const verb = outcome.startsWith("2") ? "accepts" : "refuses"
          it(`${verb} ${trial.says} (${outcome}${differs(name, trial) ? ", unlike AWS" : ""})`, async () => {
            const found = await trial.run(await openStore(server, style))

            assert.strictEqual(found, outcome)
          })
        }
      })
    }
  })
}

describe("the matrix", () => {
  it.each(blocks())("$name stands in $file as it is asserted here", (block) => {
    const text = fs.readFileSync(path.join(import.meta.dirname, "../..", block.file), "utf8")

    const [from, to] = [text.indexOf(begin(block)), text.indexOf(end(block))]
    assert.isTrue(from >= 0 && to >= 0, `${block.file} has no ${begin(block)} … ${end(block)}`)
    assert.strictEqual(text.slice(from, to + end(block).length), written(block))
  })

  it("has a row for each trial once, and shows for each refusal a server that makes it", () => {
    assert.lengthOf(new Set(trials.map(({ says }) => says)), trials.length)
    for (const trial of trials.filter(({ outcome }) => outcome.rule.startsWith("4"))) {
      const strict = serverNames.filter((name) => name !== "s3rver" && outcomeOn(name, trial).startsWith("4"))
      assert.isNotEmpty(strict, trial.says)
    }
  })

  it("alters a parameter of a URL, and nothing else", () => {
    const url = "http://h/k?a=1&b=2&c=3"

    assert.strictEqual(altered(url, "b", "x y"), "http://h/k?a=1&b=x%20y&c=3")
    assert.strictEqual(altered(url, "c", "x"), "http://h/k?a=1&b=2&c=x")
    assert.strictEqual(altered(url, "a"), "http://h/k?b=2&c=3")
    assert.strictEqual(altered(url, "c"), "http://h/k?a=1&b=2")
    assert.throws(() => altered(url, "d", "x"))
  })
})
