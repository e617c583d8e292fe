/**
 * Trials of presigned requests: what is accepted, and what is refused since something else was signed.
 */
import * as SdkPresigner from "../../src/signer/s3/SdkPresigner.ts"
import type { AccessKey } from "./Servers.ts"
import { assumeRole } from "./Sts.ts"
import { asked, read, send, sign, type Signed, type Store } from "./Store.ts"
import { altered, download, each, newKey, type Outcomes, type Trial, upload } from "./Trial.ts"

const trial = (says: string, outcome: Outcomes, run: Trial["run"]): Trial => ({ says, outcome, run })

/** A URL signed as the service signs it, but for what is said. */
type Options = Partial<Signed>

const put = (options: Options = {}, headers?: Readonly<Record<string, string>>) =>
  upload((store, key) => ({ url: sign(store, { key, ...options }), headers }))

const get = (options: Options = {}) =>
  download((store, key) => ({ url: sign(store, { method: "GET", key, ...options }) }))

/** A right URL, and then a change that somebody makes who does not have the secret key. */
const changed = (change: (url: string) => string) =>
  each(
    upload((store, key) => ({ url: change(sign(store, { key })) })),
    download((store, key) => ({ url: change(sign(store, { method: "GET", key })) }))
  )

const sdk = async (store: Store, signed: Signed) => {
  const [target, keys, request] = asked(store, signed)
  return { url: await SdkPresigner.signer(target, keys)(request) }
}

const png = { "content-type": "image/png" }
const note = { "x-amz-meta-note": "mine" }

/** The right URL for one object, sent for another. */
const anotherKey = each(
  upload((store, key) => ({ url: sign(store, { key: newKey() }).replace(/\/trials\/[^?]+/, `/${key}`) })),
  download((store, key) => ({
    url: sign(store, { method: "GET", key: newKey() }).replace(/\/trials\/[^?]+/, `/${key}`)
  }))
)

/** With credentials of the server's own STS. */
const temporary = (use: (keys: AccessKey) => Trial["run"]) => async (store: Store) =>
  use(await assumeRole(store.server))(store)

const noSts = { versitygw: "–", s3rver: "–" } as const

/** Puts them all before it gets any, so that two of them that are one to the server are found. */
const keysComeBack = (keys: ReadonlyArray<string>) => async (store: Store) => {
  const folder = newKey()
  const statuses = new Set<number>()
  for (const key of keys) {
    const { status } = await send(store, "PUT", sign(store, { key: `${folder}/${key}` }), { body: key })
    statuses.add(status)
  }
  for (const key of statuses.has(200) ? keys : []) {
    const object = await read(store, `${folder}/${key}`)
    if (object?.body !== key) throw new Error(`the object ${key} is not as it was put`)
  }
  return [...statuses].join(" / ")
}

const asciiKeys = ["a b", "a+b", "a%2Bb", "100%", "a?b=c", "a#b", "a&b=c;d,e:f@g$h", "it's (a) *star*!", '"<>\\^`{|}']

/** Two of them look alike: one letter, and a letter with a mark. */
const otherKeys = ["übergrößenträger", "u\u0308", "\u00fc", "日本語/файл", "👩‍👩‍👧.png"]

const awkwardKeys = [...asciiKeys, ...otherKeys]

/** As it is made of a name with quotes, brackets, an asterisk and letters of three scripts. */
const disposition = `attachment; filename="it's (a) *star*!.png"; filename*=UTF-8''%C3%BC%27%28%E6%97%A5%29%2A%21.png`

const responseHeaders = { "response-content-disposition": disposition, "response-content-type": "image/png" }

const saved = (alter: (url: string) => string = (url) => url) =>
  download(
    (store, key) => ({ url: alter(sign(store, { method: "GET", key, query: responseHeaders })) }),
    ({ headers }) =>
      headers["content-disposition"] === disposition && headers["content-type"] === "image/png" ? ", echoed" : ""
  )

export const requests: ReadonlyArray<Trial> = [
  trial("a right PUT, then a right GET", { rule: "200" }, each(put(), get())),
  trial(
    "both signed by the AWS SDK",
    { rule: "200" },
    each(
      upload((store, key) => sdk(store, { key })),
      download((store, key) => sdk(store, { method: "GET", key }))
    )
  ),
  trial(
    "a `content-type` that is not signed",
    { rule: "200, kept" },
    upload(
      (store, key) => ({ url: sign(store, { key }), headers: png }),
      ({ headers }) => (headers["content-type"] === "image/png" ? ", kept" : ", ignored")
    )
  ),
  trial(
    "another method than the signed one",
    { rule: "403" },
    each(
      download((store, key) => ({ url: sign(store, { key }) })),
      upload((store, key) => ({ url: sign(store, { method: "GET", key }) })),
      upload((store, key) => ({ url: sign(store, { key }), method: "DELETE" }))
    )
  ),
  trial("another key than the signed one", { rule: "403" }, anotherKey),
  trial(
    "a request with no signature",
    { rule: "403", s3rver: "200" },
    changed((url) => url.replace(/\?.*/, ""))
  ),
  trial("a signed `content-type`, sent so", { rule: "200" }, put({ headers: png }, png)),
  trial(
    "a signed `content-type`: another, or none",
    { rule: "403", MinIO: "403 / 400" },
    each(put({ headers: png }, { "content-type": "text/html" }), put({ headers: png }))
  ),
  trial("another signed header, sent so", { rule: "200" }, put({ headers: note }, note)),
  trial(
    "another signed header: another value, or none",
    { rule: "403", MinIO: "403 / 400" },
    each(put({ headers: note }, { "x-amz-meta-note": "yours" }), put({ headers: note }))
  ),
  trial("an expired URL", { rule: "403" }, each(put({ in: -902 }), get({ in: -902 }))),
  trial(
    "a longer lifetime written into the URL",
    { rule: "403" },
    changed((url) => altered(url, "X-Amz-Expires", "9000"))
  ),
  trial("a lifetime of 7 days", { rule: "200" }, each(put({ expiresIn: 604_800 }), get({ expiresIn: 604_800 }))),
  trial("a lifetime over 7 days", { rule: "400" }, each(put({ expiresIn: 604_801 }), get({ expiresIn: 604_801 }))),
  trial(
    "a URL from a clock that is an hour ahead",
    { rule: "403", versitygw: "200", s3rver: "200" },
    each(put({ in: 3600 }), get({ in: 3600 }))
  ),
  trial(
    "a signature with one digit changed",
    { rule: "403" },
    changed((url) => url.replace(/(?<=X-Amz-Signature=)./, (digit) => (digit === "0" ? "1" : "0")))
  ),
  trial("a URL signed with another secret key", { rule: "403" }, async (store) => {
    const keys = { ...store.server.keys, secretAccessKey: "another" }
    return each(put({ keys }), get({ keys }))(store)
  }),
  trial("a URL signed with an unknown access key", { rule: "403" }, async (store) => {
    const keys = { ...store.server.keys, accessKeyId: "ANOTHER" }
    return each(put({ keys }), get({ keys }))(store)
  }),
  trial(
    "a URL signed for another region",
    { rule: "400", MinIO: "200", s3rver: "200" },
    each(put({ region: "eu-north-1" }), get({ region: "eu-north-1" }))
  ),
  trial(
    "temporary credentials",
    { rule: "200", ...noSts },
    temporary((keys) => each(put({ keys }), get({ keys })))
  ),
  trial(
    "temporary credentials without their token",
    { rule: "403", ...noSts },
    temporary((keys) =>
      each(
        put({ keys: { ...keys, sessionToken: undefined } }),
        upload((store, key) => ({ url: altered(sign(store, { key, keys }), "X-Amz-Security-Token") }))
      )
    )
  ),
  trial(
    "temporary credentials with their token altered",
    { rule: "403", ...noSts },
    temporary((keys) => {
      // Not its last character: of that not every bit counts.
      const sessionToken = keys.sessionToken!.replace(/.(?=.{20}$)/, (one) => (one === "A" ? "B" : "A"))
      return each(
        put({ keys: { ...keys, sessionToken } }),
        upload((store, key) => ({ url: altered(sign(store, { key, keys }), "X-Amz-Security-Token", sessionToken) }))
      )
    })
  ),
  trial("a made-up token with lasting keys", { rule: "400", MinIO: "403", s3rver: "200" }, async (store) => {
    const keys = { ...store.server.keys, sessionToken: "made+up/token=" }
    return each(put({ keys }), get({ keys }))(store)
  }),
  trial(
    `${awkwardKeys.length} awkward keys (space, \`+ % ? #\`, UTF-8, quotes)`,
    { rule: "200" },
    keysComeBack(awkwardKeys)
  ),
  trial("a key with `//`", { rule: "200", MinIO: "400" }, keysComeBack(["a//b"])),
  trial("a GET that lays down name and type", { rule: "200, echoed" }, saved()),
  trial(
    "a GET whose name or type was altered or left out",
    { rule: "403" },
    each(
      saved((url) => altered(url, "response-content-disposition", "inline")),
      saved((url) => altered(url, "response-content-type", "text/html")),
      saved((url) => altered(url, "response-content-disposition")),
      saved((url) => altered(url, "response-content-type"))
    )
  )
]
