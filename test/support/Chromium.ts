/**
 * Finds a Chromium for tests of a page: none is downloaded.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { type Browser, chromium } from "playwright-core"

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
const elsewhere = [
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium"
]

/** `CHROMIUM`, else the first one on PATH or in a usual place. */
export const findChromium = (): string | undefined => {
  const given = process.env["CHROMIUM"]
  if (given !== undefined && given !== "") return given
  const folders = (process.env["PATH"] ?? "").split(path.delimiter).filter((folder) => path.isAbsolute(folder))
  const candidates = folders.flatMap((folder) => names.map((name) => path.join(folder, name)))
  return [...candidates, ...elsewhere].find((file) => fs.existsSync(file))
}

export const noChromium = "no Chromium on PATH: install one, or name one with CHROMIUM"

/** Without a sandbox, because root may run the tests; it loads pages of this machine only. */
export const launchChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync"
    ]
  })
