export type Headers = Record<string, string> | [name: string, value: string][];

export interface Options {
  headers?: Headers;
  /** Bytes as they are, text as UTF-8. */
  body?: Uint8Array | string;
  /** A JSON body; brings its content type unless there is one. */
  json?: unknown;
  /** From sending to the last byte; the call's own deadline counts in any case. */
  timeoutMs?: number;
  /** How many redirects to follow (10); 0 gives the redirect itself. */
  maxRedirects?: number;
}

export interface Request extends Options {
  /** `GET` if it is left out. */
  method?: string;
  /** Absolute, `http` or `https`. */
  url: string;
}

export interface Head {
  readonly status: number;
  /** Where the response came from, after redirects. */
  readonly url: string;
  /** Names in lower case, in the order received. */
  readonly headers: [name: string, value: string][];
  /** Whether the status is 2xx. */
  readonly ok: boolean;
  /** The first header of this name, in any case. */
  header(name: string): string | undefined;
}

export interface Response extends Head {
  readonly body: Uint8Array;
  text(): string;
  /** The body as JSON; one that does not fit is a permanent failure, code `invalid_response`. */
  json(): any;
}

export interface StreamedResponse extends Head {
  /** The next piece, at most `max` bytes; undefined at the end. */
  read(max?: number): Uint8Array | undefined;
  /** The trailers, after the end was read. */
  trailers(): [name: string, value: string][];
  close(): void;
}

/** Sends and waits for the whole response, whatever its status. Throws a `Failure` if there is none. */
export function send(request: Request): Response;
/** Sends and returns as soon as the headers are there. */
export function sendStreamed(request: Request): StreamedResponse;
export function get(url: string, options?: Options): Response;
export function post(url: string, options?: Options): Response;
