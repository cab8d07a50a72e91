// Key-value state of this plugin, shared by its instances and kept over restarts. Needs the `state` grant.
import * as host from '#host/state';
import { json } from '../lib/executor.js';
import { asked, refused } from '../lib/refused.js';

/** `{value, version}`; undefined if the key is not set. */
export function get(key) {
  const entry = asked(refused, () => host.get(key));
  return entry == null ? undefined : { value: JSON.parse(entry.value), version: entry.version };
}

/** Writes a key whatever is there. */
export function put(key, value) {
  const text = json(value, `value of \`${key}\``);
  asked(refused, () => host.put(key, text));
}

/** Removes a key. */
export function remove(key) {
  asked(refused, () => host.put(key, null));
}

/** Writes only if the version is still `expected` (undefined: only if it is not set); undefined removes. Says whether. */
export function compareAndSet(key, expected, value) {
  const text = value === undefined ? null : json(value, `value of \`${key}\``);
  return asked(refused, () => host.compareAndSet(key, expected ?? null, text));
}
