// Outgoing HTTP. Needs the `http` grant for every address; the host checks each request and each redirect.
import * as host from '#host/http';
import { json } from '../lib/executor.js';
import { Failure, millis } from '../lib/failure.js';
import { asked, variant } from '../lib/refused.js';
import { bytes, decode, pairs, parse } from '../lib/wire.js';

const error = variant('http', ['timeout', 'connect']);

class Head {
  constructor({ status, url, headers }) {
    Object.assign(this, { status, url, headers });
  }

  get ok() { return this.status >= 200 && this.status < 300; }

  header(name) {
    return this.headers.find(([known]) => known === name.toLowerCase())?.[1];
  }
}

class Response extends Head {
  constructor({ head, body }) {
    super(head);
    this.body = body;
  }

  text() { return decode(this.body); }

  json() {
    return parse(this.text(), (thrown) => {
      const message = `${this.url} answered ${this.status} with a body that does not fit: ${thrown.message}`;
      throw Failure.permanent('invalid_response', message);
    });
  }
}

class StreamedResponse extends Head {
  #body;

  constructor({ head, body }) {
    super(head);
    this.#body = body;
  }

  read(max = 65536) { return asked(error, () => this.#body.read(max)) ?? undefined; }

  trailers() { return asked(error, () => this.#body.trailers()); }

  close() { this.#body[Symbol.dispose]?.(); }
}

/** Sends and waits for the whole response, whatever its status. */
export function send(request) {
  const sent = outgoing(request);
  return new Response(asked(error, () => host.send(sent)));
}

/** Sends and returns as soon as the headers are there. */
export function sendStreamed(request) {
  const sent = outgoing(request);
  return new StreamedResponse(asked(error, () => host.sendStreamed(sent)));
}

/** A GET request. */
export const get = (url, options = {}) => send({ ...options, method: 'GET', url });

/** A POST request. */
export const post = (url, options = {}) => send({ ...options, method: 'POST', url });

function outgoing({ method = 'GET', url, headers, body, json: value, timeoutMs, maxRedirects = 10 }) {
  const list = pairs(headers);
  let content = body;
  if (value !== undefined) {
    content = json(value, 'request body');
    if (!list.some(([name]) => name.toLowerCase() === 'content-type')) list.push(['content-type', 'application/json']);
  }
  return {
    method,
    url: String(url),
    headers: list,
    body: bytes(content),
    timeoutMs: timeoutMs === undefined ? null : millis(timeoutMs),
    maxRedirects,
    extra: '{}',
  };
}
