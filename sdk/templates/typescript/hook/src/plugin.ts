// A hook that fills in a region and keeps frozen tasks from running.
import { Decision, hook } from 'apflow-plugin';

export const hooks = hook({
  subscriptions: ['task.before-run'],
  onEvent({ inputs = {}, subject }) {
    if (subject.metadata?.frozen) {
      return Decision.veto('frozen', `${subject.name} is frozen; thaw it first`);
    }
    if ('region' in inputs) return Decision.proceed();
    return Decision.replaceInputs({ ...inputs, region: 'eu' });
  },
});
