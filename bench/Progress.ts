/**
 * A line on the terminal that says how far the bench is; without a terminal, silence.
 */
export interface Progress {
  /** What is being measured now; `done` of `total` parts of it are over. */
  readonly show: (what: string, done: number, total: number) => void
  /** Removes the line. */
  readonly clear: () => void
}

const width = 24

export const makeProgress = (stream: NodeJS.WriteStream): Progress => {
  if (!stream.isTTY) return { show: () => {}, clear: () => {} }
  return {
    show: (what, done, total) => {
      const filled = Math.round((width * Math.min(done, total)) / total)
      const line = `${"█".repeat(filled)}${"░".repeat(width - filled)} ${what}`
      stream.write(`\r\x1b[K${line.slice(0, Math.max(width, stream.columns - 1))}`)
    },
    clear: () => {
      stream.write("\r\x1b[K")
    }
  }
}
