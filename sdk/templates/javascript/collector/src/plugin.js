// A collector that counts finished tasks and the time they took.
import * as apflow from 'apflow-plugin';

// The newest measurement that was counted: a batch may come again.
let newest = 0;
// By labels: executor and kind of end.
const tasks = new Map();

export const collector = apflow.collector({
  collect(batch) {
    for (const { sequence, executor, kind, durationMs } of batch) {
      if (sequence <= newest) continue;
      newest = sequence;
      if (executor === undefined) continue;
      const labels = `{executor="${executor}",kind="${kind}"}`;
      const { count, ms } = tasks.get(labels) ?? { count: 0, ms: 0 };
      tasks.set(labels, { count: count + 1, ms: ms + durationMs });
    }
  },
  render() {
    const lines = [...tasks].flatMap(([labels, { count, ms }]) => [
      `tasks_total${labels} ${count}\n`,
      `tasks_seconds_total${labels} ${ms / 1000}\n`,
    ]);
    return lines.join('');
  },
});
