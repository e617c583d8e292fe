/**
 * Builds the S3 servers that `npm run test:s3` and `npm run matrix` are to have, unless they are there. Ends with status
 * 1 when one cannot be had.
 */
import { buildProgram } from "./Programs.ts"

const reasons = [buildProgram("versitygw"), buildProgram("MinIO")].filter((reason) => reason !== undefined)
for (const reason of reasons) process.stderr.write(`${reason}\n`)
process.exitCode = reasons.length === 0 ? 0 : 1
