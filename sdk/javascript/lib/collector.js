// Components that measure: two functions become the export `collector`. State lives in the author's module, as long as the
// host keeps the instance.
import { guarded } from './failure.js';
import { parse } from './wire.js';

/** The object to export as `collector`. */
export function collector({ collect, render = () => '' }) {
  return {
    collect: guarded((batch) => {
      const given = collect(batch.map(measured));
      return typeof given?.then === 'function' ? given : undefined;
    }),
    render: guarded(() => {
      const figures = render() ?? '';
      return typeof figures === 'string' ? figures.toWellFormed() : figures;
    }),
  };
}

function measured(one) {
  return {
    kind: one.kind,
    sequence: Number(one.sequence),
    at: one.at,
    treeId: one.treeId,
    taskId: one.taskId ?? undefined,
    executor: one.executor ?? undefined,
    attempt: one.attempt,
    durationMs: one.durationMs,
    code: one.code ?? undefined,
    get receipt() { return parse(one.extra, () => ({})); },
  };
}
