/** An open stream. */
export interface Connection {
  /** The next bytes, at most `max`; undefined when the peer has closed. */
  read(max?: number, options?: { timeoutMs?: number }): Uint8Array | undefined;
  /** Writes all of `data`. */
  write(data: Uint8Array | string): void;
  /** Closes the sending side. */
  finish(): void;
  close(): void;
}

/** Opens a stream; with `tls` the host speaks it and checks the certificate against `host`. */
export function connect(peer: { host: string; port: number; tls?: boolean; timeoutMs?: number }): Connection;
