// Where a later attempt goes on. Every executor has it; there is nothing to ask for.
import * as host from '#host/checkpoint';
import { json } from '../lib/executor.js';
import { asked, refused } from '../lib/refused.js';

/** The newest checkpoint of this task; undefined if there is none. */
export function load() {
  const text = asked(refused, () => host.load());
  return text == null ? undefined : JSON.parse(text);
}

/** Replaces the checkpoint. It is durable when this returns. */
export function save(data) {
  const text = json(data, 'checkpoint');
  asked(refused, () => host.save(text));
}
