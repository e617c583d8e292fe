/**
 * Where files lie and how their URLs are signed, among the settings.
 */
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Address from "../signer/s3/Address.ts"
import * as AwsEndpoint from "../signer/s3/AwsEndpoint.ts"
import type { Destination, Destinations } from "../signer/s3/Destination.ts"
import type * as Endpoint from "../signer/s3/Endpoint.ts"
import * as UploadTerms from "../signer/s3/UploadTerms.ts"
import { noPrefix } from "../signer/uploads/ObjectKey.ts"
import { type S3Keys, s3Keys } from "./S3Keys.ts"
import * as S3Routes from "./S3Routes.ts"
import { all, type Checked, type Environment, every, find, optional, setting } from "./SettingReader.ts"
import type { SettingName } from "./SettingTable.ts"
import * as Type from "./SettingTypes.ts"

export interface S3Settings {
  /** Without them, credentials are looked for where the AWS SDK looks. */
  readonly keys: S3Keys | undefined
  readonly presigner: "native" | "sdk"
  readonly destinations: Destinations
  /** Whole seconds, from 1 second to 7 days. */
  readonly downloadUrlLifetime: Duration.Duration
  /** What temporary credentials must be good for to be signed with. */
  readonly minUrlLifetime: Duration.Duration
}

export const s3Settings = (environment: Environment): Checked<S3Settings> =>
  all({
    keys: s3Keys(environment),
    presigner: setting(environment, "S3_PRESIGNER", Type.oneOf("native", "sdk")),
    destinations: destinations(environment),
    downloadUrlLifetime: setting(environment, "DOWNLOAD_URL_LIFETIME", Type.urlLifetime),
    minUrlLifetime: setting(environment, "MIN_URL_LIFETIME", Type.urlLifetime)
  })

/** What holds for every destination unless its route says otherwise. */
interface Common {
  readonly region: string
  readonly bucket: string
  readonly endpoint: Endpoint.Endpoint | undefined
  readonly publicEndpoint: Endpoint.Endpoint | undefined
  readonly style: Address.UrlStyle
  readonly dualStack: boolean
  readonly fips: boolean
  readonly accelerate: boolean
  readonly acl: UploadTerms.CannedAcl | undefined
  readonly aclForm: UploadTerms.AclForm
  readonly lifetime: Duration.Duration
}

const destinations = (environment: Environment): Checked<Destinations> =>
  Result.flatMap(
    all({
      common: all({
        region: setting(environment, "S3_REGION", Type.region),
        bucket: setting(environment, "S3_BUCKET", Type.bucketName),
        endpoint: optional(environment, "S3_ENDPOINT", Type.endpoint),
        publicEndpoint: optional(environment, "S3_PUBLIC_ENDPOINT", Type.endpoint),
        style: setting(environment, "S3_URL_STYLE", Type.oneOf("path", "virtual")),
        dualStack: setting(environment, "S3_USE_DUALSTACK_ENDPOINT", Type.flag),
        fips: setting(environment, "S3_USE_FIPS_ENDPOINT", Type.flag),
        accelerate: setting(environment, "S3_USE_ACCELERATE_ENDPOINT", Type.flag),
        acl: optional(environment, "S3_ACL", Type.oneOf(...UploadTerms.cannedAcls)),
        aclForm: setting(environment, "S3_ACL_FORM", Type.oneOf(...UploadTerms.aclForms)),
        lifetime: setting(environment, "UPLOAD_URL_LIFETIME", Type.urlLifetime)
      }),
      routes: S3Routes.parse(find(environment, "S3_ROUTES"))
    }),
    ({ common, routes }) =>
      Result.map(
        all({
          standard: destination(environment, common),
          routed: every(routes.map((route) => destination(environment, common, route)))
        }),
        ({ routed, standard }) => ({
          standard,
          routes: new Map(routes.map(({ entityType }, index) => [entityType, routed[index] ?? standard]))
        })
      )
  )

const destination = (environment: Environment, common: Common, route?: S3Routes.Route): Checked<Destination> => {
  const { accelerate, acl, aclForm, dualStack, fips, style } = common
  const { bucket, lifetime, region } = { ...common, ...route }
  const written = route?.endpoint ?? common.publicEndpoint ?? common.endpoint
  const called = route?.endpoint ?? common.endpoint
  // Settings by the names under which the operator knows them.
  const where = route === undefined ? "" : `S3_ROUTES, ${JSON.stringify(route.entityType)}: `
  const nameOf = (name: SettingName) =>
    `${where}${route?.endpoint === undefined ? (find(environment, name)?.name ?? name) : "endpoint"}`
  const aws = (what: Pick<AwsEndpoint.AwsOptions, "accelerate">) =>
    Result.mapError(AwsEndpoint.resolve({ region, dualStack, fips, ...what }), ({ message }) => [`${where}${message}`])

  if (written !== undefined && (accelerate || dualStack || fips)) return Result.fail([awsOnly])
  return Result.flatMap(
    all({
      endpoint: written === undefined ? aws({ accelerate }) : Result.succeed(written),
      apiEndpoint: called === undefined ? aws({ accelerate: false }) : Result.succeed(called)
    }),
    ({ apiEndpoint, endpoint }) => {
      const ofWritten = Address.refusal(endpoint, bucket, style)
      const ofCalled = Address.refusal(apiEndpoint, bucket, style)
      const publicly = route?.endpoint === undefined && common.publicEndpoint !== undefined
      if (ofCalled !== undefined)
        return Result.fail([`${nameOf(called === undefined ? "S3_BUCKET" : "S3_ENDPOINT")}: ${ofCalled}`])
      if (ofWritten !== undefined) {
        const name = publicly ? "S3_PUBLIC_ENDPOINT" : "S3_USE_ACCELERATE_ENDPOINT"
        return Result.fail([`${nameOf(name)}: ${ofWritten}`])
      }
      return Result.succeed({
        endpoint,
        apiEndpoint,
        style,
        region,
        bucket,
        prefix: route?.prefix ?? noPrefix,
        uploadLifetime: lifetime,
        terms: UploadTerms.of({ acl, aclForm, kmsKey: route?.kms_key, storageClass: route?.storage_class })
      })
    }
  )
}

const awsOnly =
  "S3_USE_DUALSTACK_ENDPOINT, S3_USE_FIPS_ENDPOINT and S3_USE_ACCELERATE_ENDPOINT choose among AWS's own endpoints; " +
  "they should be unset where an endpoint is given"
