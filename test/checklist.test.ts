import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { items } from "../tools/checklist.items.ts"
import { cover, markdown, summary, testsBelow, testsIn } from "../tools/checklist.ts"

/** The beginning of a call, as a test file has it. A text here that looked like one would count as a test itself. */
const call = (callee: string, name: string, quote = '"') => `${callee}(${quote}${name}${quote}, () => {})\n`

const numbersIn = (source: string) => testsIn("a.test.ts", source).flatMap(({ numbers }) => numbers)

describe("the checklist", () => {
  const directory = fs.mkdtempSync(path.join(tmpdir(), "s3-signer-checklist-"))
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

  /** A made-up tree of tests. */
  const tree = (name: string, files: Readonly<Record<string, string>>) => {
    for (const [file, source] of Object.entries(files)) {
      fs.mkdirSync(path.dirname(path.join(directory, name, file)), { recursive: true })
      fs.writeFileSync(path.join(directory, name, file), source)
    }
    return path.join(directory, name)
  }

  const run = (...args: ReadonlyArray<string>) =>
    spawnSync(process.execPath, [path.join(import.meta.dirname, "../tools/checklist.ts"), ...args], {
      encoding: "utf8",
      cwd: directory,
      env: {}
    })

  it("has for every item a test that shows it, or says why there is none", () => {
    assert.deepEqual(cover(items, testsBelow(import.meta.dirname)).problems, [])
  })

  it("has the items 1 to 142, each in a line", () => {
    assert.deepEqual(
      Object.keys(items),
      Array.from({ length: 142 }, (_, i) => String(i + 1))
    )
    for (const { note, notApplicable, overridden, says } of Object.values(items)) {
      for (const text of [note, notApplicable, overridden, says]) assert.match(text ?? "a text", /^[^\n]{5,160}$/)
      assert.isFalse(notApplicable !== undefined && overridden !== undefined)
    }
  })

  it("takes numbers from the beginning of a test's name, however the test is made", () => {
    const source =
      call("it", "[1] one") +
      call("it.effect.prop", "[2] [3] two") +
      call("it.live.each([[1], [2]])", "[4] of %s") +
      call("describe.concurrent", "[5] a group") +
      call("  layer(database, { excludeTestServices: true })", "[6] a layer") +
      call("it.effect", "[7] on a line of its own").replace("(", "(\n  ") +
      call("it.effect", "[8] made in a ${loop}", "`") +
      call("test", "[9] in single quotes", "'") +
      '  "[10] of an object": 1\n'

    assert.deepEqual(numbersIn(source), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert.deepInclude(testsIn("a.test.ts", call("it", '[2] says \\"no\\"'))[0], {
      name: 'says "no"',
      file: "a.test.ts"
    })
  })

  it("names a test after its group", () => {
    const source =
      call("describe", "a stop", '"').replace(", () => {}", ", () => {") +
      call("  it", "[1] is short") +
      "})\n" +
      call("layer(database, { timeout: 5 })", "[2] Producer, claiming,") +
      call("  it.effect.each([[1], [2]])", "[3] claims %s")

    assert.deepEqual(
      testsIn("a.test.ts", source).map(({ name }) => name),
      ["a stop is short", "Producer, claiming,", "Producer, claiming, claims %s"]
    )
  })

  it("takes none from code, comments, other texts, and tests that never run", () => {
    const source =
      "const list = [1]\nassert.deepEqual(list, [2])\nf([3])\nlist[4]\n" +
      call("  // it", "[5] one") +
      call(" * it.effect", "[6] one") +
      call("it.skip", "[7] one") +
      call("it.effect.todo", "[8] one") +
      call("it", "later [9] in a name") +
      call("worker.line", "[10] of a log") +
      'const text = "[11] x"\n'

    assert.deepEqual(numbersIn(source), [])
  })

  it("puts tests and reasons beside the items, and finds what must not be", () => {
    const made = {
      1: { says: "is shown", note: "but for this" },
      2: { says: "has nothing" },
      3: { says: "is done otherwise", overridden: "we do | this" },
      4: { says: "is not asked", notApplicable: "for that reason" },
      5: { says: "is not asked either", notApplicable: "for that reason" }
    }
    const tests = testsIn(
      "x/a.test.ts",
      call("it", "[1] [3] does | it") + call("it", "[5] contradicts") + call("it", "[6] what")
    )

    const coverage = cover(made, tests)

    assert.deepEqual(coverage.problems, [
      "item 2 is shown by no test: has nothing",
      "there is no item 6, which x/a.test.ts shows: what",
      "item 5 is marked as not applicable, and x/a.test.ts shows it: contradicts"
    ])
    assert.strictEqual(
      summary(coverage),
      "5 items: 1 shown by tests, 1 overridden by design, 2 not applicable, 1 empty."
    )
    const lines = markdown(coverage).split("\n")
    assert.include(lines, "| 1 | is shown | note: but for this<br>`x/a.test.ts`: “does \\| it” |")
    assert.include(lines, "| 2 | has nothing | **nothing** |")
    assert.include(
      lines,
      "| 3 | is done otherwise | overridden by design: we do \\| this<br>`x/a.test.ts`: “does \\| it” |"
    )
    assert.include(lines, "| 4 | is not asked | not applicable: for that reason |")
  })

  it("ends with status 1 and a list when items are missing, unknown or contradicted", () => {
    const tests = tree("tests", {
      "deep/er/a.test.ts": call("it", "[22] claims") + call("it", "[143] is no item"),
      "b.test.ts": call("it", "[117] inserts"),
      "no-test.ts": call("it", "[23] is not run")
    })

    const { status, stderr, stdout } = run("--tests", tests)

    assert.strictEqual(status, 1)
    assert.include(stderr, "there is no item 143, which tests/deep/er/a.test.ts shows: is no item\n")
    assert.include(stderr, "item 117 is marked as not applicable, and tests/b.test.ts shows it: inserts\n")
    assert.match(stderr, /^item 23 is shown by no test: /m)
    assert.notMatch(stderr, /item 22 /)
    assert.match(stdout, /^\| 22 \| [^|]+ \| `tests\/deep\/er\/a\.test\.ts`: “claims” \|$/m)
    assert.match(stdout, /^142 items: 1 shown by tests, .* empty\.$/m)
  })

  it("ends with status 0 when every item has its test, and prints JSON on demand", () => {
    const applicable = Object.entries(items).filter(([, item]) => item.notApplicable === undefined)
    const tests = tree("all", { "all.test.ts": applicable.map(([number]) => call("it", `[${number}] shown`)).join("") })

    const { status, stderr, stdout } = run("--json", "--tests", tests)

    const answer = JSON.parse(stdout)
    assert.deepEqual([status, stderr], [0, ""])
    assert.deepEqual(answer.problems, [])
    assert.lengthOf(answer.items, 142)
    assert.deepInclude(answer.items[21], {
      number: 22,
      state: "shown",
      tests: [{ file: "all/all.test.ts", name: "shown" }]
    })
  })

  it("explains itself, and refuses what it does not know with status 2", () => {
    const help = run("--help")
    assert.strictEqual(help.status, 0)
    assert.match(help.stdout, /^npm run checklist/)

    for (const args of [["--jsn"], ["more"], ["--tests", path.join(directory, "nowhere")], ["--tests"]]) {
      const { status, stderr, stdout } = run(...args)
      assert.deepEqual([status, stdout], [2, ""])
      assert.match(stderr, /npm run checklist -- \[options\]/)
    }
  })
})
