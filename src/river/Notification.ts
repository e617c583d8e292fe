/**
 * What River's notifications say. Whatever is not as River writes it says nothing: anybody may notify on its channels.
 */

/** Where new jobs are told of, and where whoever listens is steered. */
export const insertChannel = (schema: string): string => `${schema}.river_insert`
export const controlChannel = (schema: string): string => `${schema}.river_control`

/** On `river_control`. `queue` is a name; for pause and resume also `*`, all queues. */
export type Control =
  | { readonly action: "pause" | "resume"; readonly queue: string }
  | { readonly action: "cancel"; readonly queue: string; readonly job_id: bigint }

/** The queue that has a new job, on `river_insert`. */
export const parseInsert = (payload: string): string | undefined => {
  const { queue } = parse(payload)
  return typeof queue === "string" ? queue : undefined
}

export const parseControl = (payload: string): Control | undefined => {
  const { action, job_id, queue } = parse(payload)
  if (typeof queue !== "string") return undefined
  if (action === "pause" || action === "resume") return { action, queue }
  return action === "cancel" && typeof job_id === "bigint" ? { action, queue, job_id } : undefined
}

const parse = (payload: string): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(payload, exact)
    return typeof value === "object" && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

/** Whole numbers in full: a job's id has 64 bits. */
const exact = (_: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === "number" && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context?.source ?? 0) : value
