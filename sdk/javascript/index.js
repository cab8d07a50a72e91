// The package's front: what every plugin has. Each capability (`apflow-plugin/http`, `apflow-plugin/state`, …) is a module
// of its own, because a component imports every interface that its code names, and the operator sees that list.
export { collector } from './lib/collector.js';
export { executor } from './lib/executor.js';
export { Failure } from './lib/failure.js';
export { Decision, hook } from './lib/hook.js';
export * as log from './lib/log.js';
