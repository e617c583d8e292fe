/**
 * A trial: what a client does with a URL, and what each server makes of it. A row of the matrix.
 */
import { randomUUID } from "node:crypto"
import type { ServerName } from "./Servers.ts"
import { type Answer, read, send, type Store, write } from "./Store.ts"

export interface Trial {
  /** What is sent, as the name of a row. */
  readonly says: string
  readonly outcome: Outcomes
  /** Answers with the outcome; throws when a server says one thing and does another. */
  readonly run: (store: Store) => Promise<string>
}

/**
 * The HTTP status, and behind a comma what became of what was asked for: `200, ignored`. `–` where a server has no
 * such thing. The rule is AWS's, as it is documented, or reported where no document says; `?` where nothing was found. A
 * server that is not named does as the rule.
 */
export type Outcomes = { readonly rule: string } & { readonly [Name in ServerName]?: string }

export const outcomeOn = (server: ServerName, { outcome }: Trial): string => outcome[server] ?? outcome.rule

/** What can be tried on a server at all. */
export const triedOn = (server: ServerName, trials: ReadonlyArray<Trial>): ReadonlyArray<Trial> =>
  trials.filter((trial) => outcomeOn(server, trial) !== "–")

/** Whether a server does something else than the rule; another status for the same is nothing else. */
export const differs = (server: ServerName, trial: Trial): boolean => {
  const [rule, outcome] = [trial.outcome.rule, outcomeOn(server, trial)]
  return rule !== "?" && outcome !== "–" && verdict(rule) !== verdict(outcome)
}

const verdict = (outcome: string) => (outcome.startsWith("2") ? outcome.slice(3) : "refused")

/** A request to be sent: its URL, and the headers besides those that every client sends. */
export interface Sent {
  readonly method?: string | undefined
  readonly url: string
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export type Make = (store: Store, key: string) => Sent | Promise<Sent>

/** Each trial has objects of its own, under characters that no encoding changes. */
export const newKey = () => `trials/${randomUUID()}/original.txt`

/**
 * Sends it for an object that is there already. When it is accepted the object is what was sent, when it is refused it
 * is what it was.
 */
export const upload =
  (make: Make, kept: (object: Answer) => string = () => "") =>
  async (store: Store): Promise<string> => {
    const [key, before, body] = [newKey(), `before ${randomUUID()}`, `sent ${randomUUID()}`]
    await write(store, key, before)
    const { headers, method = "PUT", url } = await make(store, key)
    const { status } = await send(store, method, url, { headers, body })
    const object = await read(store, key)
    const expected = isAccepted(status) ? body : before
    if (object?.body !== expected) throw new Error(`answered ${status}, and the object is not as that says`)
    return `${status}${isAccepted(status) ? kept(object) : ""}`
  }

/** Sends it for an object; when it is accepted the object comes back. */
export const download =
  (make: Make, told: (answer: Answer) => string = () => "") =>
  async (store: Store): Promise<string> => {
    const [key, body] = [newKey(), `there ${randomUUID()}`]
    await write(store, key, body)
    const { headers, method = "GET", url } = await make(store, key)
    const answer = await send(store, method, url, { headers })
    if (isAccepted(answer.status) !== (answer.body === body)) {
      throw new Error(`answered ${answer.status}, and the body is not as that says`)
    }
    return `${answer.status}${isAccepted(answer.status) ? told(answer) : ""}`
  }

/** Several trials in one row: the outcome that all have in common, or all of them. */
export const each =
  (...runs: ReadonlyArray<Trial["run"]>) =>
  async (store: Store): Promise<string> => {
    const outcomes = new Set<string>()
    for (const run of runs) outcomes.add(await run(store))
    return [...outcomes].join(" / ")
  }

/** A URL with another value for a parameter, or without it: what somebody may do who does not have the secret key. */
export const altered = (url: string, parameter: string, value?: string): string => {
  const changed = url.replace(
    new RegExp(`([?&])${parameter}=[^&]*&?`),
    value === undefined ? "$1" : `$1${parameter}=${encodeURIComponent(value)}&`
  )
  if (changed === url) throw new Error(`the URL has no ${parameter}, or has it already`)
  return changed.replace(/[?&]$/, "")
}

const isAccepted = (status: number) => status >= 200 && status < 300
