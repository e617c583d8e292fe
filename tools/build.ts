/**
 * Builds `dist/`: everything in one file that needs no `node_modules`, and starts fast.
 *
 * - `dist/main.js` starts it: `node dist/main.js work`.
 * - `dist/lib/main.cjs` is the bundle, `main.cjs.map` leads back to the sources.
 * - `dist/lib/main.cache` is what V8 compiled of it in a short run, made by the Node that builds. Another Node ignores it.
 * - `dist/migrations/` is read by the command `migrate`.
 *
 * Run it with `npm run build`.
 */
import { type Plugin, build as bundle } from "esbuild"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import * as path from "node:path"
import * as tls from "node:tls"

const root = path.join(import.meta.dirname, "..")

export interface BuildOptions {
  /** The module that runs. */
  readonly entry: string
  /** Emptied first. */
  readonly outDir: string
}

export const build = async ({ entry, outDir }: BuildOptions): Promise<void> => {
  const lib = path.join(outDir, "lib")
  const file = path.join(lib, "main.cjs")
  fs.rmSync(outDir, { recursive: true, force: true })
  await bundle({
    entryPoints: [entry],
    outfile: file,
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node22.19",
    format: "cjs",
    minify: true,
    sourcemap: "external",
    sourcesContent: false,
    legalComments: "none",
    // Code run through `vm.Script` has no `import()`: OpenTelemetry's exporter would fail without a word.
    supported: { "dynamic-import": false },
    define: {
      "import.meta.dirname": "__dirname",
      "import.meta.filename": "__filename",
      "import.meta.url": "__url",
      "import.meta.env": "undefined"
    },
    banner: { js: 'const __url = require("node:url").pathToFileURL(__filename).href;' },
    logOverride: { "empty-import-meta": "error" },
    logLevel: "warning",
    plugins: [lazyTls]
  })
  // The mark by which the launcher knows that the bundle and the cache belong together.
  const source = fs.readFileSync(file)
  fs.appendFileSync(file, `//# build=${createHash("sha256").update(source).digest("hex")}`)

  fs.copyFileSync(path.join(root, "tools/launcher.cjs"), path.join(outDir, "main.js"))
  fs.chmodSync(path.join(outDir, "main.js"), 0o755)
  // The package around `dist` is one of ES modules; the launcher and the bundle are not.
  fs.writeFileSync(path.join(outDir, "package.json"), '{ "type": "commonjs" }\n')
  fs.cpSync(path.join(root, "migrations"), path.join(outDir, "migrations"), { recursive: true })

  await makeCodeCache(path.join(outDir, "main.js"))
}

/** Loads `tls` when something of it is first used: many a connection is not encrypted. */
const lazyTls: Plugin = {
  name: "lazy-tls",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^(node:)?tls$/ }, ({ namespace }) =>
      namespace === "lazy-tls" ? { path: "node:tls", external: true } : { path: "tls", namespace: "lazy-tls" }
    )
    onLoad({ filter: /./, namespace: "lazy-tls" }, () => ({
      contents: Object.keys(tls)
        .map(
          (name) =>
            `Object.defineProperty(exports, "${name}", { enumerable: true, get: () => require("node:tls").${name} })`
        )
        .join("\n")
    }))
  }
}

/**
 * Runs `work` until it has tried its database twice, and stops it: what V8 has compiled by then is the cache.
 *
 * The database is a socket that says it has no TLS, hears who wants to log in, and hangs up.
 */
const makeCodeCache = async (launcher: string): Promise<void> => {
  let tries = 0
  const database = createServer((socket) => {
    socket
      .on("error", () => {})
      .once("data", () => {
        socket.once("data", () => socket.destroy()).write("N")
        if (++tries === 2) setTimeout(() => child.kill("SIGTERM"), 500)
      })
  })
  await once(database.listen(0, "127.0.0.1"), "listening")
  const { port } = database.address() as AddressInfo
  const child = spawn(process.execPath, [launcher, "work"], {
    // Nothing of the environment counts, above all no settings and no options of Node.
    env: {
      WRITE_CODE_CACHE: "1",
      DATABASE_URL: `postgres://sample:sample@127.0.0.1:${port}/sample`,
      S3_ACCESS_KEY_ID: "SAMPLE",
      S3_SECRET_ACCESS_KEY: "sample",
      LOG_FORMAT: "json"
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let said = ""
  child.stdout.on("data", (chunk) => (said += chunk))
  child.stderr.on("data", (chunk) => (said += chunk))
  const tooLong = setTimeout(() => child.kill("SIGKILL"), longestRun)
  const [status] = await once(child, "close")
  clearTimeout(tooLong)
  database.close()
  if (status !== 0 || tries < 2) {
    throw new Error(`the bundle's trial run ended with ${status ?? "a kill after 30 seconds"} and said:\n${said}`)
  }
}

const longestRun = 30_000

if (import.meta.main) {
  await build({ entry: path.join(root, "src/main.ts"), outDir: path.join(root, "dist") })
}
