/**
 * Figures out of samples.
 */

/** The sample below which a fraction of all samples lies (nearest rank); NaN of nothing. */
export const quantile = (samples: ReadonlyArray<number>, fraction: number): number => {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? NaN
}

/** The middle sample, or the mean of the middle two. */
export const median = (samples: ReadonlyArray<number>): number => {
  const sorted = samples.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** The median of those that are known; undefined when none is. */
export const medianOf = (samples: ReadonlyArray<number | undefined>): number | undefined => {
  const known = samples.filter((sample) => sample !== undefined)
  return known.length === 0 ? undefined : median(known)
}
