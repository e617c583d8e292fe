#!/usr/bin/env node
// Starts the bundle beside it, from V8's compiled code when that fits: what `dist/main.js` is.
// Written so that any Node can read it, and say that it is too old.
"use strict"
var version = process.versions.node.split(".")
if (Number(version[0]) < 22 || (Number(version[0]) === 22 && Number(version[1]) < 19)) {
  process.stderr.write(
    "s3-signer needs Node 22.19 or newer and was started by " + process.version + " (" + process.execPath + ").\n"
  )
  process.exit(2)
}

var fs = require("fs")
var path = require("path")
var vm = require("vm")

var file = path.join(__dirname, "lib", "main.cjs")
var cacheFile = path.join(__dirname, "lib", "main.cache")
var source = fs.readFileSync(file, "utf8")
// V8 looks at the length of the source only: the build's mark, at the end of the bundle and at the start of the cache,
// tells whether they belong together. A cache of another V8 is refused by V8 itself. Without one the start is slower.
var markLength = 64
var cachedData
if (fs.existsSync(cacheFile)) {
  var cache = fs.readFileSync(cacheFile)
  if (cache.toString("latin1", 0, markLength) === source.slice(-markLength)) cachedData = cache.subarray(markLength)
}

var head = "(function (exports, require, module, __filename, __dirname) {"
var script = new vm.Script(head + source + "\n})", {
  filename: file,
  columnOffset: -head.length,
  cachedData: cachedData
})
// Only the build sets this: what has been compiled by the end of a run is what the next run need not compile.
if (process.env.WRITE_CODE_CACHE) {
  process.on("exit", function () {
    fs.writeFileSync(cacheFile, Buffer.concat([Buffer.from(source.slice(-markLength)), script.createCachedData()]))
  })
}
script.runInThisContext()(exports, require, module, file, path.dirname(file))

// Stacks name the lines of the TypeScript. The map is read when the first stack is; set last, since loading reads stacks.
var map
Error.prepareStackTrace = function (error, frames) {
  var lines = frames.map(function (frame) {
    var text = String(frame)
    if (frame.getFileName() !== file) return text
    if (map === undefined) map = new (require("module").SourceMap)(JSON.parse(fs.readFileSync(file + ".map", "utf8")))
    var line = frame.getLineNumber()
    var column = frame.getColumnNumber()
    var entry = map.findEntry(line - 1, column - 1)
    if (entry.originalSource === undefined) return text
    var original = [entry.originalSource.replace(/^(\.\.\/)+/, ""), entry.originalLine + 1, entry.originalColumn + 1]
    return text.split([file, line, column].join(":")).join(original.join(":"))
  })
  return [String(error)].concat(lines).join("\n    at ")
}
