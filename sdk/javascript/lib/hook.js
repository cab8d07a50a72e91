// Components that decide: what to hear of, and a function that answers with a decision, become the export `hooks`.
import { json } from './executor.js';
import { Failure, guarded, issue, millis } from './failure.js';
import { parse } from './wire.js';

/** What the host shall do. Where a point cannot honour a decision, the decision is a failure of the hook. */
export const Decision = {
  /** Go on; at every point. So does a hook that returns nothing. */
  proceed: () => ({ tag: 'proceed' }),
  /** Run with these inputs instead; at `task.before-run`. */
  replaceInputs: (inputs) => ({ tag: 'replace-inputs', val: json(inputs, 'inputs') }),
  /** Do not run; this is the result; at `task.before-run`. */
  supplyResult: (result) => ({ tag: 'supply-result', val: json(result, 'result') }),
  /** Run later, in so many milliseconds at the earliest; at `task.ready` and `task.before-run`. */
  delay: (ms) => ({ tag: 'delay-ms', val: millis(ms) }),
  /** Refuse, with a stable code and one sentence; at `tree.created`, `task.before-run`, `webhook.verify`, `placement`. */
  veto: (code, message, extra = {}) => ({ tag: 'veto', val: issue({ code, message, extra }) }),
};

/** The object to export as `hooks`. */
export function hook({ subscriptions, onEvent }) {
  return {
    subscriptions: guarded(() => subscriptions.map((one) => {
      const { point, executors = [] } = typeof one === 'string' ? { point: one } : one;
      return { point, executors, extra: '{}' };
    })),
    onEvent: guarded((event) => {
      const decision = onEvent(heard(event)) ?? Decision.proceed();
      if (typeof decision.then !== 'function' && typeof decision.tag !== 'string') {
        throw Failure.permanent('plugin_error', 'onEvent gave no decision: return one of `Decision`, or nothing');
      }
      return decision;
    }),
  };
}

// Documents are read when they are asked for: a hook stands in the way of every task.
function heard(event) {
  return {
    point: event.point,
    at: event.at,
    treeId: event.treeId,
    taskId: event.taskId ?? undefined,
    executor: event.executor ?? undefined,
    attempt: event.attempt,
    get inputs() { return document(event.inputs, 'inputs'); },
    get outcome() { return document(event.outcome, 'outcome'); },
    get subject() { return document(event.subject, 'subject') ?? {}; },
  };
}

function document(text, name) {
  if (text == null) return undefined;
  return parse(text, (error) => {
    throw Failure.badInput('invalid_json', `the event's ${name} are no JSON: ${error.message}`);
  });
}
