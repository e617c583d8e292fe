/**
 * A byte stream to PostgreSQL that is encrypted if the server offers TLS, whatever its certificate, else plain.
 *
 * This is libpq's `sslmode=prefer`, the default there: many servers have a certificate of their own making, and the
 * driver's `prefer` verifies. Encryption is settled before the driver's first byte; what it writes until then waits.
 */
import * as Net from "node:net"
import { Duplex } from "node:stream"
import { connect, type ConnectionOptions } from "node:tls"

export interface PreferTlsOptions {
  readonly host: string
  readonly port: number
  readonly tls: ConnectionOptions
}

/** Connects at once. Failures and the end of the connection arrive as the stream's own. */
export const connectPreferringTls = (options: PreferTlsOptions): Duplex => new PreferTls(options)

const sslRequest = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47)
const [offered, refused] = ["S".charCodeAt(0), "N".charCodeAt(0)]

type Done = (error?: Error | null) => void

class PreferTls extends Duplex {
  readonly #options: PreferTlsOptions
  #socket: Net.Socket
  #settled = false
  #whenSettled: () => void = () => {}

  constructor(options: PreferTlsOptions) {
    super({ allowHalfOpen: false })
    this.#options = options
    this.#socket = this.#connect((socket) => this.#ask(socket))
  }

  #connect(onConnect: (socket: Net.Socket) => void): Net.Socket {
    const { host, port } = this.#options
    const socket = Net.connect({ host, port, noDelay: true })
    socket.on("error", this.#onError).on("close", this.#onClose)
    return socket.once("connect", () => onConnect(socket))
  }

  #ask(socket: Net.Socket): void {
    socket.once("data", (answer) => {
      const known = answer[0] === offered || answer[0] === refused
      // What comes with the answer in plain text is not from the server.
      if (known && answer.length > 1) this.destroy(new Error("unencrypted data after the answer about TLS"))
      else if (answer[0] === offered) this.#encrypt(socket)
      else this.#settle(socket, known ? undefined : answer)
    })
    socket.write(sslRequest)
  }

  #encrypt(plain: Net.Socket): void {
    const { host, tls } = this.#options
    plain.off("error", this.#onError).off("close", this.#onClose)
    const encrypted = connect({ host, ...(Net.isIP(host) === 0 ? { servername: host } : {}), ...tls, socket: plain })
    const withoutTls = () => {
      encrypted
        .off("error", withoutTls)
        .off("close", withoutTls)
        .on("error", () => {})
        .destroy()
      if (!this.destroyed) this.#socket = this.#connect((socket) => this.#settle(socket))
    }
    this.#socket = encrypted.on("error", withoutTls).on("close", withoutTls)
    encrypted.once("secureConnect", () => {
      encrypted.off("error", withoutTls).off("close", withoutTls).on("error", this.#onError).on("close", this.#onClose)
      this.#settle(encrypted)
    })
  }

  /** From here on the stream is this socket; `first` is an answer that the driver understands better: an error. */
  #settle(socket: Net.Socket, first?: Buffer): void {
    this.#settled = true
    if (first !== undefined) this.push(first)
    socket.on("data", (chunk) => {
      if (!this.push(chunk)) socket.pause()
    })
    this.#whenSettled()
  }

  readonly #onError = (error: Error): void => {
    this.destroy(error)
  }

  readonly #onClose = (): void => {
    if (!this.#settled) return void this.destroy()
    this.push(null)
    // The end is seen also when nobody reads, as with a plain socket.
    this.read(0)
  }

  override _read(): void {
    if (this.#settled) this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#whenSettled = () => this.#socket.write(chunk, done)
    if (this.#settled) this.#whenSettled()
  }

  override _final(done: Done): void {
    this.#socket.end(() => done())
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy()
    done(error)
  }
}
