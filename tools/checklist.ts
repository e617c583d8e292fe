/**
 * `npm run checklist`: which tests show which item of the checklist for River's protocol, as a table in Markdown.
 *
 * A test shows the items whose numbers stand in brackets at the beginning of its name, as in `[22] [24] claims …`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { type Item, items } from "./checklist.items.ts"

const usage = `npm run checklist -- [options]

  --json               one JSON object on standard output in place of the table
  --tests <directory>  where the tests are (test)
  --help               this

Ends with status 1 when an item has neither a test nor a reason, when a test names an item that there is not, and when
one shows an item that is marked as not applicable.
`

/** A test that shows items, by its name. */
export interface NumberedTest {
  /** Relative to the directory that holds the tests' own. */
  readonly file: string
  /** After that of its group, without the numbers; one made in a loop as it is written, with its `${…}`. */
  readonly name: string
  readonly numbers: ReadonlyArray<number>
}

/** An item with what there is to say for it: tests, or why there are none, or both. */
export type Row = Item & { readonly number: number; readonly tests: ReadonlyArray<Omit<NumberedTest, "numbers">> }

export interface Coverage {
  readonly rows: ReadonlyArray<Row>
  /** One sentence for everything that must not be; none when the table is complete. */
  readonly problems: ReadonlyArray<string>
}

const literal = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/.source

/**
 * A literal that names tests: the first argument of `it`, `it.effect`, `describe.each`, … and of what a call returned, as
 * `layer(x)("…")`; or a property's name, for names that are made in a loop over an object.
 */
const naming = new RegExp(
  `(?<callee>\\b(?:it|test|describe|layer)\\b[\\w.]*|\\))\\s*\\(\\s*(?<name>${literal})|^[ \\t]*(?<key>${literal}):`,
  "gms"
)

/** What never runs shows nothing. */
const unrun = /\.(skip|todo)\b/

/** The numbered tests in the text of a file. */
export const testsIn = (file: string, source: string): ReadonlyArray<NumberedTest> => {
  let group = ""
  return [...source.matchAll(naming)].flatMap(({ groups, index }) => {
    const { callee = "", key, name = key ?? "" } = groups ?? {}
    const line = source.slice(source.lastIndexOf("\n", index) + 1, index)
    if (unrun.test(callee) || /^\s*(\/\/|\/?\*)/.test(line)) return []
    const [, numbers = "", words = ""] = /^((?:\[\d+\]\s*)*)(.*)$/s.exec(name.slice(1, -1)) ?? []
    const plain = words.replaceAll(/\\(.)/g, "$1").trim()
    const isGroup = /^\S|^$/.test(line) && key === undefined && !/^(it|test)\b/.test(callee)
    if (isGroup) group = plain
    if (numbers === "") return []
    return [
      {
        file,
        name: isGroup ? plain : `${group} ${plain}`.trim(),
        numbers: [...numbers.matchAll(/\d+/g)].map(([number]) => Number(number))
      }
    ]
  })
}

/** The numbered tests of every `*.test.ts` below a directory. */
export const testsBelow = (directory: string): ReadonlyArray<NumberedTest> =>
  fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts"))
    .toSorted()
    .flatMap((file) => {
      const source = fs.readFileSync(path.join(directory, file), "utf8")
      return testsIn(path.posix.join(path.basename(directory), ...file.split(path.sep)), source)
    })

/** Puts items and tests together. */
export const cover = (items: Readonly<Record<number, Item>>, tests: ReadonlyArray<NumberedTest>): Coverage => {
  const rows = Object.entries(items).map(([key, item]): Row => ({
    number: Number(key),
    ...item,
    tests: tests.filter(({ numbers }) => numbers.includes(Number(key))).map(({ file, name }) => ({ file, name }))
  }))
  const problems = [
    ...rows
      .filter((row) => stateOf(row) === "empty")
      .map(({ number, says }) => `item ${number} is shown by no test: ${says}`),
    ...tests.flatMap(({ file, name, numbers }) =>
      numbers
        .filter((number) => items[number] === undefined)
        .map((number) => `there is no item ${number}, which ${file} shows: ${name}`)
    ),
    ...rows
      .filter((row) => row.notApplicable !== undefined)
      .flatMap(({ number, tests }) =>
        tests.map(({ file, name }) => `item ${number} is marked as not applicable, and ${file} shows it: ${name}`)
      )
  ]
  return { rows, problems }
}

const stateOf = (row: Row) => {
  if (row.notApplicable !== undefined) return "not applicable"
  if (row.overridden !== undefined) return "overridden by design"
  return row.tests.length > 0 ? "shown" : "empty"
}

/** How many items are in each state. */
export const summary = ({ rows }: Coverage): string => {
  const count = (state: ReturnType<typeof stateOf>) => rows.filter((row) => stateOf(row) === state).length
  return (
    `${rows.length} items: ${count("shown")} shown by tests, ${count("overridden by design")} overridden by design, ` +
    `${count("not applicable")} not applicable, ${count("empty")} empty.`
  )
}

/** The table, and under it the summary. */
export const markdown = (coverage: Coverage): string =>
  [
    "| item | what it asks for | how it is met |",
    "| ---: | --- | --- |",
    ...coverage.rows.map((row) => `| ${row.number} | ${cell([row.says])} | ${cell(metBy(row))} |`),
    "",
    summary(coverage)
  ].join("\n")

const metBy = (row: Row): ReadonlyArray<string> => {
  const files = Map.groupBy(row.tests, ({ file }) => file)
  return [
    ...(row.overridden === undefined ? [] : [`overridden by design: ${row.overridden}`]),
    ...(row.notApplicable === undefined ? [] : [`not applicable: ${row.notApplicable}`]),
    ...(row.note === undefined ? [] : [`note: ${row.note}`]),
    ...(stateOf(row) === "empty" ? ["**nothing**"] : []),
    ...[...files].map(([file, tests]) => `\`${file}\`: ${tests.map(({ name }) => `“${name}”`).join(", ")}`)
  ]
}

const cell = (lines: ReadonlyArray<string>) =>
  lines.map((line) => line.replaceAll("|", "\\|").replaceAll(/\s+/g, " ")).join("<br>")

const argumentsOf = (args: ReadonlyArray<string>) => {
  const options = { json: { type: "boolean" }, tests: { type: "string" }, help: { type: "boolean" } } as const
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const main = (args: ReadonlyArray<string>): number => {
  const values = argumentsOf(args)
  if (typeof values === "string") {
    process.stderr.write(`${values}\n\n${usage}`)
    return 2
  }
  if (values.help === true) {
    process.stdout.write(usage)
    return 0
  }
  const directory = path.resolve(values.tests ?? path.join(import.meta.dirname, "../test"))
  if (!fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    process.stderr.write(`--tests is not a directory: ${directory}\n\n${usage}`)
    return 2
  }
  const coverage = cover(items, testsBelow(directory))
  const rows = coverage.rows.map((row) => ({ ...row, state: stateOf(row) }))
  process.stdout.write(
    values.json === true
      ? `${JSON.stringify({ summary: summary(coverage), problems: coverage.problems, items: rows }, undefined, 2)}\n`
      : `${markdown(coverage)}\n`
  )
  for (const problem of coverage.problems) process.stderr.write(`${problem}\n`)
  return coverage.problems.length === 0 ? 0 : 1
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
