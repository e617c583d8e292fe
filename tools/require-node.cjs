// Loaded before everything else (`node -r`): says in one line that this Node is too old, instead of a syntax error.
const [major, minor] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `s3-signer needs Node 22.19 or newer and was started by ${process.version} (${process.execPath}). ` +
      "On Linux, `npm ci` puts a fitting one into node_modules/.bin; elsewhere install Node 24.\n"
  )
  process.exit(2)
}
