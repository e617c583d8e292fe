/**
 * Makes X.509 certificates for tests of TLS, without a program to make them.
 */
import * as crypto from "node:crypto"

export interface Certificate {
  /** In PEM, as is the key. */
  readonly cert: string
  readonly key: string
}

/** An authority that signs others. */
export const makeAuthority = (name: string): Certificate => make({ name, authority: true })

/** The certificate of a server with this DNS name, signed by the authority. */
export const makeServer = (host: string, issuer: Certificate): Certificate =>
  make({ name: host, host, issuer: { ...issuer, name: new crypto.X509Certificate(issuer.cert).subject.slice(3) } })

const make = (options: {
  readonly name: string
  readonly host?: string
  readonly authority?: true
  readonly issuer?: Certificate & { readonly name: string }
}): Certificate => {
  const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
  const algorithm = sequence(ecdsaWithSha256)
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.of(2))),
    tlv(0x02, Buffer.concat([Buffer.of(1), crypto.randomBytes(8)])),
    algorithm,
    commonName(options.issuer?.name ?? options.name),
    sequence(time("20200101000000Z"), time("20990101000000Z")),
    commonName(options.name),
    publicKey.export({ type: "spki", format: "der" }),
    tlv(
      0xa3,
      sequence(
        options.authority ? extension(basicConstraints, sequence(tlv(0x01, Buffer.of(0xff)))) : Buffer.of(),
        options.host ? extension(subjectAltName, sequence(tlv(0x82, Buffer.from(options.host)))) : Buffer.of()
      )
    )
  )
  const signature = crypto.sign("sha256", body, options.issuer?.key ?? privateKey)
  const der = sequence(body, algorithm, tlv(0x03, Buffer.concat([Buffer.of(0), signature])))
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  }
}

/** DER: a tag, a length, the contents. */
const tlv = (tag: number, ...contents: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat(contents)
  const size = body.length
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255]
  return Buffer.concat([Buffer.of(tag, ...length), body])
}

const sequence = (...contents: ReadonlyArray<Buffer>) => tlv(0x30, ...contents)
const time = (text: string) => tlv(0x18, Buffer.from(text))
const extension = (id: Buffer, value: Buffer) => sequence(id, tlv(0x04, value))
const oid = (hex: string) => tlv(0x06, Buffer.from(hex, "hex"))

const ecdsaWithSha256 = oid("2a8648ce3d040302")
const basicConstraints = oid("551d13")
const subjectAltName = oid("551d11")
const commonName = (name: string) => sequence(tlv(0x31, sequence(oid("550403"), tlv(0x0c, Buffer.from(name)))))
