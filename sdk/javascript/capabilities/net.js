// Byte streams to named peers, with TLS on the host's side. Needs the `net` grant for `host:port`.
import * as host from '#host/net';
import { millis } from '../lib/failure.js';
import { asked, variant } from '../lib/refused.js';
import { bytes } from '../lib/wire.js';

const error = variant('net', ['timeout', 'connect', 'closed']);

class Connection {
  #inner;

  constructor(inner) { this.#inner = inner; }

  read(max = 65536, { timeoutMs } = {}) {
    return asked(error, () => this.#inner.read(max, timeoutMs === undefined ? null : millis(timeoutMs))) ?? undefined;
  }

  write(data) { asked(error, () => this.#inner.write(bytes(data))); }

  finish() { asked(error, () => this.#inner.finish()); }

  close() { this.#inner[Symbol.dispose]?.(); }
}

/** Opens a stream. */
export function connect({ host: name, port, tls = false, timeoutMs }) {
  const peer = { host: name, port, tls, timeoutMs: timeoutMs === undefined ? null : millis(timeoutMs), extra: '{}' };
  return new Connection(asked(error, () => host.connect(peer)));
}
