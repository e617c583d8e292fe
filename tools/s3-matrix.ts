/**
 * `npm run matrix`: asks three S3 servers what they do with the URLs that we sign, and prints it as the tables of the READMEs.
 *
 * Servers that are not there are built with Go first, which takes two to five minutes each. What they do must be what
 * the tests expect; where it is not, that is told on standard error, and the status is 1.
 */
import { buildProgram } from "../test/s3/Programs.ts"
import { serverNames, startServer, stylesOf } from "../test/s3/Servers.ts"
import { openStore } from "../test/s3/Store.ts"
import { blocks, trials, written } from "../test/s3/Tables.ts"
import { outcomeOn, triedOn } from "../test/s3/Trial.ts"

const tell = (text: string) => void process.stderr.write(`${text}\n`)

/** A line for each cell that is not as expected. */
const differences = async (): Promise<ReadonlyArray<string>> => {
  const found: Array<string> = []
  for (const name of serverNames) {
    const server = await startServer(name)
    try {
      for (const style of stylesOf(name)) {
        const store = await openStore(server, style)
        for (const trial of triedOn(name, trials)) {
          const outcome = await trial.run(store).catch(String)
          const expected = outcomeOn(name, trial)
          if (outcome !== expected) found.push(`${name}, ${style} style: ${trial.says}: ${outcome}, not ${expected}`)
        }
      }
    } finally {
      await server.stop()
    }
  }
  return found
}

const main = async (): Promise<number> => {
  const reasons = [buildProgram("versitygw"), buildProgram("MinIO")].filter((reason) => reason !== undefined)
  reasons.forEach(tell)
  if (reasons.length > 0) return 1
  const found = await differences()
  found.forEach(tell)
  if (found.length === 0) process.stdout.write(`${blocks().map(written).join("\n\n")}\n`)
  return found.length === 0 ? 0 : 1
}

process.exitCode = await main()
