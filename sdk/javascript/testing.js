// Calling what a plugin exports in a unit test under Node, through the same code as in a component. There is no host:
// logs go to standard error and capabilities answer `no_host`.

const INVOCATION = {
  taskId: 'test-task',
  treeId: 'test-tree',
  attempt: 1,
  idempotencyKey: 'test-key',
  timeoutMs: null,
  traceParent: null,
  extra: '{}',
};

/** Runs an executor once, JSON in and JSON out. A failure is thrown as the host sees it: `{tag, val}`. */
export function call(executor, id, inputs, params = {}) {
  const given = { ...INVOCATION, executor: id, inputs: JSON.stringify(inputs), params: JSON.stringify(params) };
  return JSON.parse(executor.execute(given));
}

/** An event for `hooks.onEvent`: documents are given as values, what is left out is not there. */
export function event({ point, inputs, outcome, subject = {}, ...rest }) {
  const text = (value) => (value === undefined ? null : JSON.stringify(value));
  return {
    point,
    at: '2026-01-01T00:00:00Z',
    treeId: 'test-tree',
    taskId: 'test-task',
    executor: null,
    attempt: 1,
    inputs: text(inputs),
    outcome: text(outcome),
    subject: text(subject),
    extra: '{}',
    ...rest,
  };
}

/** A measurement for `collector.collect`. */
export function measurement(given = {}) {
  return {
    kind: 'task.completed',
    sequence: '1',
    at: '2026-01-01T00:00:00Z',
    treeId: 'test-tree',
    taskId: 'test-task',
    executor: null,
    attempt: 1,
    durationMs: 0,
    code: null,
    extra: '{}',
    ...given,
  };
}
