/**
 * The matrix as tables in Markdown, for the two READMEs: what was measured, and beside it, marked, what is only documented.
 */
import { documented, operators } from "./Documented.ts"
import { requests } from "./Requests.ts"
import { type ServerName, serverNames } from "./Servers.ts"
import { acls, terms } from "./Terms.ts"
import { differs, outcomeOn, type Trial } from "./Trial.ts"

/** All rows, in order. */
export const trials: ReadonlyArray<Trial> = [...acls, ...terms, ...requests]

/** A page of the documentation that holds tables, between marks in a comment of their name. */
export interface Block {
  readonly file: string
  readonly name: string
  readonly markdown: string
}

export const begin = ({ name }: Block): string => `<!-- ${name} -->`
export const end = ({ name }: Block): string => `<!-- /${name} -->`

/** The block as it stands in its file. */
export const written = (block: Block): string => [begin(block), block.markdown, end(block)].join("\n\n")

export const blocks = (): ReadonlyArray<Block> => [
  {
    file: "README.md",
    name: "s3-acl",
    markdown: [
      "What an operator of Civic OS sets:",
      table(
        ["Civic OS", "its browser sends `x-amz-acl: public-read`", "set"],
        operators.map(({ sends, set, site }) => [site, sends, set])
      ),
      "Which store takes an ACL, by its documents or by reports, none of it measured here:",
      table(
        ["store †", "what is known †", "set"],
        documented.map(({ says, set, store }) => [store, says, set])
      ),
      "Which form of `S3_ACL_FORM` is taken, from a client that sends `x-amz-acl: public-read` and from one that does not:",
      measured("upload", acls),
      footnote
    ].join("\n\n")
  },
  {
    file: "src/signer/README.md",
    name: "s3-requests",
    markdown: [
      "What a presigned URL lets pass, in path style and virtual-host style alike (s3rver: path style only):",
      measured("request", requests),
      "What else an upload URL can lay down. AWS takes encryption " +
        "[from headers only](https://github.com/aws/aws-sdk-js-v3/pull/1701) †; about the storage class its SDKs disagree: " +
        "some sign the header, others put it into the query †:",
      measured("upload", terms),
      footnote
    ].join("\n\n")
  }
]

const footnote =
  "† AWS's rule as it is documented, or reported where no document says; not measured. **Bold** differs from it, `?` is " +
  "not known, – does not exist there. All else is the answer of versitygw 1.8.0, MinIO of 2026-02-12 (with a KMS key " +
  "of its own) and s3rver 5.0.0 (as the tests start it), and each time it was looked whether the object is as the " +
  "answer says. *Ignored* was answered as if it had been done."

const measured = (about: string, rows: ReadonlyArray<Trial>) =>
  table(
    [about, "AWS †", ...serverNames],
    rows.map((trial) => [trial.says, trial.outcome.rule, ...serverNames.map((name) => cell(name, trial))])
  )

const cell = (server: ServerName, trial: Trial) =>
  differs(server, trial) ? `**${outcomeOn(server, trial)}**` : outcomeOn(server, trial)

const table = (columns: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [columns, columns.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
