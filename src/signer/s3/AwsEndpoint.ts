/**
 * AWS's own endpoints of S3: a host for each region and each way in.
 *
 * They are the AWS SDK's. Its rules are not used, since they take 89 ms and 33 MB to load.
 */
import * as Result from "effect/Result"
import { type Endpoint, InvalidEndpoint } from "./Endpoint.ts"

export interface AwsOptions {
  /** Also one that is newer than this code: `eu-west-1`. */
  readonly region: string
  /** A host that has IPv6 addresses besides IPv4's. */
  readonly dualStack: boolean
  /** A host with cryptography that is validated by FIPS 140. */
  readonly fips: boolean
  /** The nearest edge of AWS's own network, in any region: S3 Transfer Acceleration. For virtual-host style only. */
  readonly accelerate: boolean
}

/** The endpoint, or the reason that AWS has no such one, with the cure. */
export const resolve = (options: AwsOptions): Result.Result<Endpoint, InvalidEndpoint> => {
  const { accelerate, dualStack, fips, region } = options
  const problem = regionProblem(region)
  if (problem !== undefined) return invalid(problem)

  const { lacks, name, suffix } = partitionOf(region)
  if (accelerate && fips) {
    return invalid("AWS has no FIPS endpoints for transfer acceleration; one of the two should be off")
  }
  if (fips && lacks.includes("FIPS endpoints")) {
    return invalid(`AWS has no FIPS endpoints in ${name} (${region}); they should be off`)
  }
  if (accelerate && lacks.includes("transfer acceleration")) {
    return invalid(`AWS has no transfer acceleration in ${name} (${region}); it should be off`)
  }
  const service = accelerate ? "s3-accelerate" : fips ? "s3-fips" : "s3"
  const parts = [service, ...(dualStack ? ["dualstack"] : []), ...(accelerate ? [] : [region]), suffix]
  return Result.succeed({ protocol: "https:", hostname: parts.join("."), port: undefined, basePath: "" })
}

/** Whether this is a host of transfer acceleration, which takes no bucket in its path and none with dots. */
export const isAccelerate = ({ hostname }: Endpoint): boolean =>
  [commercial, ...partitions].some(
    ({ suffix }) => hostname === `s3-accelerate.${suffix}` || hostname === `s3-accelerate.dualstack.${suffix}`
  )

/** Regions with a domain and accounts of their own. */
interface Partition {
  readonly name: string
  readonly suffix: string
  readonly lacks: ReadonlyArray<"FIPS endpoints" | "transfer acceleration">
}

/** Any region that is of no other partition, also one that nobody knows. */
const commercial: Partition = { name: "AWS's commercial regions", suffix: "amazonaws.com", lacks: [] }

const partitions: ReadonlyArray<Partition & { readonly regions: RegExp }> = [
  {
    name: "China",
    regions: /^cn-\w+-\d+$/,
    suffix: "amazonaws.com.cn",
    lacks: ["FIPS endpoints", "transfer acceleration"]
  },
  { name: "GovCloud", regions: /^us-gov-\w+-\d+$/, suffix: "amazonaws.com", lacks: ["transfer acceleration"] },
  { name: "the European Sovereign Cloud", regions: /^eusc-de-\w+-\d+$/, suffix: "amazonaws.eu", lacks: [] },
  { name: "ISO", regions: /^us-iso-\w+-\d+$/, suffix: "c2s.ic.gov", lacks: [] },
  { name: "ISOB", regions: /^us-isob-\w+-\d+$/, suffix: "sc2s.sgov.gov", lacks: [] },
  { name: "ISOE", regions: /^eu-isoe-\w+-\d+$/, suffix: "cloud.adc-e.uk", lacks: [] },
  { name: "ISOF", regions: /^us-isof-\w+-\d+$/, suffix: "csp.hci.ic.gov", lacks: [] }
]

const partitionOf = (region: string): Partition => partitions.find(({ regions }) => regions.test(region)) ?? commercial

/** What is wrong with the name of a region. SDKs know names of endpoints besides, which no signature can carry. */
const regionProblem = (region: string): string | undefined => {
  const plain = region.replace(/^fips-|-fips$/, "")
  if (/^aws(-.*)?$/.test(plain)) {
    return `"${region}" is no region but all of AWS; it should be the bucket's own region, such as us-east-1`
  }
  if (plain !== region) return `"${region}" is no region; it should be ${plain}, with FIPS endpoints on`
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(region)) {
    return `"${region}" is no region; it should be letters, digits and hyphens in lower case, such as us-east-1`
  }
  return undefined
}

const invalid = (message: string) => Result.fail(new InvalidEndpoint({ message }))
