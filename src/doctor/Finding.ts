/**
 * Findings: what is wrong with a system, why that matters and what to do. For people a few lines each, for scripts JSON.
 */
import { type Code, findingTable, type Severity } from "./FindingTable.ts"

export type { Code, Severity } from "./FindingTable.ts"

export interface Finding {
  /** A stable word; scripts and the handbook go by it. */
  readonly code: Code
  readonly severity: Severity
  /** What it is about: a bucket, the credentials. */
  readonly subject: string
  readonly seen: string
  readonly why: string
  /** To paste, or to do. */
  readonly cure: string
}

/** What a group of checks has looked at, and what it found. */
export interface Report {
  /** In words of their own, also where something was found. */
  readonly checked: ReadonlyArray<string>
  readonly findings: ReadonlyArray<Finding>
}

/** A finding; its severity and why it matters come from the table unless they are given. */
export const finding = (
  code: Code,
  about: Pick<Finding, "subject" | "seen" | "cure"> & { readonly severity?: Severity }
): Finding => {
  const { severity, why } = findingTable[code]
  return { code, severity: about.severity ?? severity, subject: about.subject, seen: about.seen, why, cure: about.cure }
}

export const hasErrors = (findings: ReadonlyArray<Finding>): boolean =>
  findings.some(({ severity }) => severity === "error")

/** Several reports as one: the worst first, and what was found of several subjects once. */
export const combine = (reports: ReadonlyArray<Report>): Report => {
  const merged = new Map<string, Finding>()
  for (const found of reports.flatMap(({ findings }) => findings)) {
    const key = JSON.stringify([found.code, found.severity, found.seen, found.cure])
    const same = merged.get(key)
    const subjects = new Set([...(same?.subject.split(", ") ?? []), found.subject])
    merged.set(key, { ...found, subject: [...subjects].join(", ") })
  }
  return {
    checked: reports.flatMap(({ checked }) => checked),
    findings: [...merged.values()].toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity))
  }
}

const order: ReadonlyArray<Severity> = ["error", "warning", "info"]

/** The same with every text passed through a function that hides secrets. */
export const redacted = ({ checked, findings }: Report, redact: (text: string) => string): Report => ({
  checked: checked.map(redact),
  findings: findings.map((found) => ({
    ...found,
    subject: redact(found.subject),
    seen: redact(found.seen),
    cure: redact(found.cure)
  }))
})

/** For people. A clean system is one line. */
export const toText = ({ checked, findings }: Report): string => {
  const looked = `checked ${checked.join("; ")}`
  if (findings.length === 0) return `all is well: ${looked}`
  const width = Math.max(...findings.map(({ code }) => code.length))
  const lines = findings.flatMap(({ code, cure, seen, severity, subject, why }) => [
    `${code.padEnd(width)}  ${severity.padEnd("warning".length)}  ${subject}: ${seen}`,
    `    why:  ${why}`,
    `    cure: ${cure}`
  ])
  return [...lines, `${summary(findings)}; ${looked}`].join("\n")
}

/** For scripts. `status` is that of the worst finding; `ok` also with nothing worse than an info. */
export const toJson = (report: Report): string => {
  const [worst] = report.findings
  const status = worst === undefined || worst.severity === "info" ? "ok" : worst.severity
  return JSON.stringify({ status, ...report }, null, 2)
}

/** "1 error, 2 warnings". */
export const summary = (findings: ReadonlyArray<Finding>): string =>
  order
    .map((severity) => [severity, findings.filter((found) => found.severity === severity).length] as const)
    .filter(([, count]) => count > 0)
    .map(([severity, count]) => `${count} ${severity}${count === 1 || severity === "info" ? "" : "s"}`)
    .join(", ")
