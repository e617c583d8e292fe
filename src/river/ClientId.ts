/**
 * The id by which other programs know a running process of ours.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * An id made afresh at each start: `<name>_<marker>_YYYY_MM_DDTHH_MM_SS_ffffff`.
 *
 * River's form, host name and start, with the product's marker between them. The marker tells a rescuer that the
 * client is one of ours; the time, that it is not this process but an earlier one, also when the operator named it.
 */
export const make = Effect.fnUntraced(function* (options: {
  /** The operator's name for this client; the host's name when there is none. */
  readonly name: string | undefined
  readonly host: string
  readonly marker: string
}) {
  const start = new Date(yield* Clock.currentTimeMillis).toISOString()
  const micros = String(yield* Random.nextIntBetween(0, 999)).padStart(3, "0")
  const host = options.host.replaceAll(".", "_").slice(0, 60 - options.marker.length - 1)
  const name = options.name ?? (host === "" ? "unknown_host" : host)
  return `${name}_${options.marker}_${start.slice(0, 19).replace(/[-:]/g, "_")}_${start.slice(20, 23)}${micros}`
})

/** A regular expression of PostgreSQL that matches the ids of the marker's clients and, in practice, no others. */
export const pattern = (marker: string): string => `_${marker}_\\d{4}_\\d\\d_\\d\\dT\\d\\d_\\d\\d_\\d\\d_\\d{6}$`
