/**
 * The key under which a file is stored: `{prefix}{entity_type}/{entity_id}/{file_id}/original{ext}`.
 *
 * A key is always equal to its own percent-encoding, because the browser takes the key out of the URL's path without
 * decoding it: with any character that is encoded there, the key on record would not be the key of the file.
 */
import type * as Brand from "effect/Brand"
import * as Result from "effect/Result"
import type { FileId } from "./FileId.ts"
import { shown, UnusableRequest } from "../requests/UnusableRequest.ts"

/** At most 1,013 of the 1,024 characters that S3 allows; `A-Z a-z 0-9 - . _ ~ /`, and no segment empty, `.` or `..`. */
export type ObjectKey = string & Brand.Brand<"ObjectKey">

/** What of a request decides where its file is stored; the fields are those of the job's args. */
export interface Parts {
  readonly entity_type: string
  readonly entity_id: string
  readonly file_name: string
  readonly file_id: FileId
}

/** What a destination puts before its keys: `a/b/`, or nothing. At most 200 characters, without the last slash. */
export type Prefix = string & Brand.Brand<"ObjectKey.Prefix">

/** Reads a prefix, with or without a slash at its end. */
export const parsePrefix = (text: string): Prefix | undefined => {
  const segments = text.replace(/\/$/, "").split("/")
  const usable = segments.every(
    (segment) => segment !== "" && segment !== "." && segment !== ".." && !unsafe.test(segment)
  )
  return usable && text.length <= 201 ? (`${segments.join("/")}/` as Prefix) : undefined
}

export const noPrefix = "" as Prefix

/** The key of a request's file, or which field makes it impossible. */
export const make = (parts: Parts, prefix = noPrefix): Result.Result<ObjectKey, UnusableRequest> => {
  const unusable = check("entity_type", parts.entity_type) ?? check("entity_id", parts.entity_id)
  if (unusable !== undefined) return Result.fail(unusable)
  const { entity_type, entity_id, file_id } = parts
  return Result.succeed(
    `${prefix}${entity_type}/${entity_id}/${file_id}/original${safeExtension(parts.file_name)}` as ObjectKey
  )
}

/** The longest name that common file systems take, and with them the stores that keep objects as files. */
const longest = 255

/**
 * RFC 3986's unreserved characters: AWS, the SDKs, URL parsers and browsers leave exactly these alone in a path. Others
 * differ from one to the next (`!'()*` are encoded by AWS and not by browsers).
 */
const unsafe = /[^A-Za-z0-9\-._~]/u
const everyUnsafe = /[^A-Za-z0-9\-._~]+/gu

const check = (field: "entity_type" | "entity_id", value: string): UnusableRequest | undefined => {
  if (value === "") {
    return refuse(field, "is empty: a file is stored under the type and the id of its entity")
  }
  if (value.length > longest) {
    return refuse(
      field,
      `${shown(value)} is ${value.length} characters long: at most ${longest} fit into an object key`
    )
  }
  const found = unsafe.exec(value)
  if (found !== null) {
    const what = `${shown(value)} contains ${shown(found[0])}`
    return refuse(field, `${what}, which cannot stand in an object key: only A-Z a-z 0-9 - . _ ~ can`)
  }
  // A URL's path loses such a segment on its way, and with ".." the one before it.
  if (value === "." || value === "..") {
    return refuse(field, `${shown(value)} cannot be a part of an object key: "." and ".." mean folders in a path`)
  }
  return undefined
}

const refuse = (field: string, why: string): UnusableRequest =>
  new UnusableRequest({ field, message: `${field} ${why}` })

/**
 * The extension of a file's name, as Go's `filepath.Ext` finds it: from the last dot of what follows the last `/`, case
 * kept. `.bashrc` is all extension, `name.` has `.`; a name without a dot gets `.bin`.
 */
export const extension = (fileName: string): string => {
  const dot = fileName.lastIndexOf(".")
  return dot > fileName.lastIndexOf("/") ? fileName.slice(dot) : ".bin"
}

/**
 * The extension as it stands in a key. A user's file name must not cost them the upload: characters that a key cannot
 * have are left out (`.jpg "` gives `.jpg`), and where only the dot remains, or more than 255 characters, it is `.bin`.
 */
export const safeExtension = (fileName: string): string => {
  const found = extension(fileName)
  if (found.length > longest) return ".bin"
  if (!unsafe.test(found)) return found
  const kept = found.replace(everyUnsafe, "")
  return kept === "." ? ".bin" : kept
}
