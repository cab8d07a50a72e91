// Programs of the host's machine. Needs the `process` grant for exactly this program; there is no shell.
import * as host from '#host/process';
import { millis } from '../lib/failure.js';
import { asked, variant } from '../lib/refused.js';
import { bytes, decode, pairs } from '../lib/wire.js';

const error = variant('process', ['timeout']);

class Finished {
  constructor({ code, signal, stdout, stderr, truncated }) {
    Object.assign(this, { code: code ?? undefined, signal: signal ?? undefined, stdout, stderr, truncated });
  }

  get ok() { return this.code === 0; }

  get output() { return decode(this.stdout); }

  get errors() { return decode(this.stderr); }
}

class Child {
  #inner;

  constructor(inner) { this.#inner = inner; }

  readStdout(max = 65536) { return asked(error, () => this.#inner.readStdout(max)) ?? undefined; }

  readStderr(max = 65536) { return asked(error, () => this.#inner.readStderr(max)) ?? undefined; }

  writeStdin(data) { return asked(error, () => this.#inner.writeStdin(bytes(data))); }

  closeStdin() { asked(error, () => this.#inner.closeStdin()); }

  wait() { return new Finished(asked(error, () => this.#inner.wait())); }

  kill() { asked(error, () => this.#inner.kill()); }

  drop() { this.#inner[Symbol.dispose]?.(); }
}

/** Runs to the end and gives all output, whatever the exit code. */
export function run(program, args = [], options = {}) {
  const wanted = command(program, args, options);
  return new Finished(asked(error, () => host.run(wanted)));
}

/** Starts and returns at once. */
export function start(program, args = [], options = {}) {
  const wanted = command(program, args, options);
  return new Child(asked(error, () => host.start(wanted)));
}

function command(program, args, { env, cwd, stdin, timeoutMs }) {
  return {
    program,
    args: args.map(String),
    env: pairs(env),
    cwd: cwd ?? null,
    stdin: bytes(stdin),
    timeoutMs: timeoutMs === undefined ? null : millis(timeoutMs),
    extra: '{}',
  };
}
