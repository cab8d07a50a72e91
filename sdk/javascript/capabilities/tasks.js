// Child tasks. Needs the `tasks` grant.
import * as host from '#host/tasks';
import { json } from '../lib/executor.js';
import { asked, failed } from '../lib/refused.js';

/** Submits a tree (an array of task objects) as children of the running task; gives the root's id. The same key, the
 * same tree. */
export function submit(tree, idempotencyKey) {
  const text = json(tree, 'tree');
  return asked(failed, () => host.submit(text, idempotencyKey));
}

/** Waits for a submitted tree: `{status, result, error}`. */
export const awaitResult = (rootId) => JSON.parse(asked(failed, () => host.awaitResult(rootId)));
