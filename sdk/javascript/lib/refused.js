// Errors of capabilities as failures. An import throws an `Error` whose `payload` is the contract's error.
import { Failure, otherFailure } from './failure.js';

/** Calls an import; its error becomes what `convert` makes of the payload. */
export function asked(convert, call) {
  try {
    return call();
  } catch (thrown) {
    if (thrown instanceof Failure || thrown?.payload === undefined) throw thrown;
    throw convert(thrown.payload);
  }
}

/** For errors that are variants: `codes` says which cases may pass by themselves. */
export const variant = (prefix, retryable) => ({ tag, val }) => {
  if (tag === 'other') return otherFailure(`${prefix}_error`, val);
  const code = `${prefix}_${tag.replaceAll('-', '_')}`;
  const message = val ?? 'the stream is closed';
  return retryable.includes(tag) ? Failure.retryable(code, message) : Failure.permanent(code, message);
};

/** For errors that are one issue: a missing grant does not pass by itself. */
export const refused = (given) => {
  const extra = JSON.parse(given.extra || '{}');
  return new Failure('permanent', given.code, given.message, { pointer: given.pointer ?? undefined, extra });
};

/** For errors that are failures themselves. What is bad about a child's inputs is no bad input of this task. */
export const failed = ({ tag, val }) => {
  if (tag === 'cancelled') return Failure.cancelled();
  if (tag === 'other') return otherFailure('tasks_error', val);
  if (tag !== 'retryable') return refused(val);
  const { code, message, extra } = refused(val.issue);
  return Failure.retryable(code, message, { afterMs: val.afterMs ?? undefined, extra });
};
