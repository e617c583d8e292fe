import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { build } from "../tools/build.ts"

/** Loaded before the launcher: says at the end whether V8 took the compiled code. */
const hook = `
  const vm = require("vm")
  vm.Script = class extends vm.Script {
    constructor(source, options) {
      super(source, options)
      if (!options.filename.endsWith("main.cjs")) return
      const cache = options.cachedData === undefined ? "none" : this.cachedDataRejected ? "rejected" : "accepted"
      process.on("exit", () => process.stderr.write("cache: " + cache + "\\n"))
    }
  }`

/** Does what the real one does at a distance: parts loaded on demand, a file beside it, an error, a wait for a signal. */
const standIn = `
  import { readdirSync } from "node:fs"
  import * as net from "node:net"
  import { join } from "node:path"
  import * as tls from "node:tls"
  const command: string | undefined = process.argv[2]
  if (command === "work") {
    const { port } = new URL(process.env["DATABASE_URL"]!)
    const connect = () => {
      const socket = net.connect(Number(port)).on("error", () => {}).on("close", connect)
      socket.on("data", () => socket.write("!")).write("?")
    }
    connect()
    process.once("SIGTERM", () => process.exit(0))
  } else if (command === "files") {
    console.log(readdirSync(join(import.meta.dirname, "../migrations")).join(), import.meta.url)
  } else if (command === "lazily") {
    console.log(process.moduleLoadList.includes("NativeModule tls"), typeof tls.connect)
    import("./part.ts").then(({ part }) => part())
  } else throw new Error("no such command")
`
const part = `export const part = () => {
  const error: Error = new Error("mapped")
  console.log(error.stack)
}
`

describe("the build", () => {
  const directory = fs.mkdtempSync(path.join(tmpdir(), "s3-signer-build-"))
  const [real, small] = [path.join(directory, "real dist"), path.join(directory, "small")]

  beforeAll(async () => {
    fs.writeFileSync(path.join(directory, "package.json"), '{ "type": "module" }')
    fs.writeFileSync(path.join(directory, "hook.cjs"), hook)
    fs.writeFileSync(path.join(directory, "entry.ts"), standIn)
    fs.writeFileSync(path.join(directory, "part.ts"), part)
    await build({ entry: path.join(import.meta.dirname, "../src/main.ts"), outDir: real })
    await build({ entry: path.join(directory, "entry.ts"), outDir: small })
  })
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

  const run = (dist: string, args: ReadonlyArray<string>, env: Record<string, string> = {}) => {
    const options = ["-r", path.join(directory, "hook.cjs"), path.join(dist, "main.js"), ...args]
    const { status, stderr, stdout } = spawnSync(process.execPath, options, { encoding: "utf8", env, cwd: "/" })
    return { status, stderr, stdout }
  }

  it("runs where there is no node_modules, from the compiled code", () => {
    const { status, stderr, stdout } = run(real, ["--version"])

    assert.match(stdout, /\d+\.\d+\.\d+/)
    assert.strictEqual(status, 0)
    assert.include(stderr, "cache: accepted")
  })

  it("says what is wrong with the settings and exits with 2", () => {
    const { status, stderr } = run(real, ["work"], { MAX_WORKERS: "0" })

    assert.include(stderr, 's3-signer: MAX_WORKERS holds "0"; it should be a whole number from 1 to 1000\n')
    assert.strictEqual(status, 2)
  })

  it("finds the migrations beside it", () => {
    const { status, stdout } = run(small, ["files"])

    assert.include(stdout, "civic_os,river")
    assert.include(stdout, "file://")
    assert.strictEqual(status, 0)
  })

  it("loads tls and the parts on demand, and names the lines of the sources in a stack", () => {
    const { stderr, stdout } = run(small, ["lazily"])

    assert.match(stdout, /^false function\n/)
    assert.match(stdout, /^Error: mapped\n    at .*part\.ts:2:/m)
    assert.include(stderr, "cache: accepted")
  })

  it("starts without the compiled code when that belongs to another build or to another V8, or is missing", () => {
    const cache = path.join(small, "lib/main.cache")
    const bytes = fs.readFileSync(cache)
    const command = () => run(small, ["files"])

    fs.writeFileSync(cache, Buffer.concat([Buffer.from("0".repeat(64)), bytes.subarray(64)]))
    const ofAnotherBuild = command()
    const broken = Buffer.from(bytes)
    broken.writeUInt32LE(1, 64 + 4) // V8's own version and flags
    fs.writeFileSync(cache, broken)
    const ofAnotherV8 = command()
    fs.rmSync(cache)
    const missing = command()

    assert.include(ofAnotherBuild.stderr, "cache: none")
    assert.include(ofAnotherV8.stderr, "cache: rejected")
    assert.include(missing.stderr, "cache: none")
    for (const { status } of [ofAnotherBuild, ofAnotherV8, missing]) assert.strictEqual(status, 0)
  })

  it("tells an old Node, in a language that it knows, that it is too old", () => {
    const launcher = fs.readFileSync(path.join(real, "main.js"), "utf8")
    const old = `Object.defineProperty(process.versions, "node", { value: "22.18.0" });`
    fs.writeFileSync(path.join(real, "old.js"), launcher.replace('"use strict"', `"use strict"\n${old}`))

    const { status, stderr } = spawnSync(process.execPath, [path.join(real, "old.js")], { encoding: "utf8" })

    assert.match(stderr, /^s3-signer needs Node 22\.19 or newer and was started by .*\n$/)
    assert.strictEqual(status, 2)
    assert.notMatch(launcher.replace(/^\s*\/\/.*$/gm, ""), /=>|\b(const|let|class|async)\b|`|\?\./)
  })
})
