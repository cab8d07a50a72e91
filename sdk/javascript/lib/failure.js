// Why a call did not give what it promises, and the one guard through which every export goes: whatever an author's
// code throws leaves the component as a typed failure of the contract (`{tag, val}`), because anything else is a trap.
import * as log from './log.js';
import { parse } from './wire.js';

/** A failure that says what the host shall do next. Throw it. */
export class Failure extends Error {
  constructor(kind, code, message, { pointer, extra = {}, afterMs } = {}) {
    super(message);
    this.name = 'Failure';
    Object.assign(this, { kind, code, pointer, extra, afterMs });
  }

  /** The inputs break the executor's contract at `pointer` (RFC 6901). Never retried. */
  static badInput(code, message, pointer, extra) {
    return new Failure('bad-input', code, message, { pointer, extra });
  }

  /** May pass if the call is made again, after `afterMs` at the earliest. Retried as the task's retry policy says. */
  static retryable(code, message, { afterMs, extra } = {}) {
    return new Failure('retryable', code, message, { afterMs, extra });
  }

  /** Will fail again. Never retried. */
  static permanent(code, message, extra) {
    return new Failure('permanent', code, message, { extra });
  }

  /** Stopped on request. */
  static cancelled() {
    return new Failure('cancelled', 'cancelled', 'cancelled');
  }
}

/** An issue as the contract has it. Half of a surrogate pair, which UTF-8 cannot hold, must not reach the border. */
export function issue({ code, message, pointer, extra }) {
  const text = (value) => String(value).toWellFormed();
  return { code: text(code), message: text(message), pointer: pointer == null ? null : text(pointer), extra: document(extra) };
}

function document(extra) {
  try {
    return (JSON.stringify(extra) ?? '{}').toWellFormed();
  } catch {
    return '{}';
  }
}

/** What an `other` case of a capability holds: a document with `code` and `message`, or plain text. */
export function otherFailure(code, text) {
  const told = parse(text, () => undefined);
  return typeof told?.code === 'string' && typeof told.message === 'string'
    ? Failure.permanent(told.code, told.message)
    : Failure.permanent(code, text);
}

function asFailure(thrown) {
  if (thrown instanceof Failure) return thrown;
  const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  log.error(thrown?.stack ? `${message}\n${thrown.stack}` : message);
  return Failure.permanent('plugin_error', message);
}

function toWit(failure) {
  switch (failure.kind) {
    case 'cancelled':
      return { tag: 'cancelled' };
    case 'retryable':
      return { tag: 'retryable', val: { issue: issue(failure), afterMs: failure.afterMs == null ? null : millis(failure.afterMs) } };
    default:
      return { tag: failure.kind, val: issue(failure) };
  }
}

/** Whole milliseconds that the contract can hold, rounded up. */
export function millis(time) {
  return Math.min(Math.max(Math.ceil(Number(time)) || 0, 0), 0x7fffffff);
}

/** An export that can only return, or throw a failure of the contract. An `async` function is refused: nothing waits. */
export function guarded(step) {
  return (...args) => {
    try {
      const value = step(...args);
      if (typeof value?.then === 'function') {
        throw Failure.permanent('plugin_error', 'an async function was exported; a plugin answers synchronously');
      }
      return value;
    } catch (thrown) {
      throw toWit(asFailure(thrown));
    }
  };
}
