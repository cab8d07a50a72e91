// Components that do work: definitions with plain functions become the export `executor`.
import { report } from '#host/progress';
import { Failure, guarded } from './failure.js';
import { parse } from './wire.js';

const DIALECT = { $schema: 'https://json-schema.org/draft/2020-12/schema' };

/** The object to export as `executor`: all executors of this component. */
export function executor(...definitions) {
  const byId = new Map(definitions.map((definition) => [check(definition).id, definition]));
  return {
    describe: guarded(() => definitions.map(info)),
    execute: guarded((call) => {
      const definition = byId.get(call.executor);
      if (!definition) {
        const message = `this component holds no executor \`${call.executor}\`; load the plugin that describes it`;
        throw Failure.badInput('unknown_executor', message);
      }
      const inputs = parse(call.inputs, (error) => {
        throw Failure.badInput('invalid_json', `the inputs are no JSON: ${error.message}`);
      });
      return result(definition.execute(inputs, context(call)), definition.id);
    }),
  };
}

function check(definition) {
  if (!/^[a-z0-9_]{1,100}$/.test(definition.id ?? '')) {
    throw new TypeError(`an executor's id is ${JSON.stringify(definition.id)}; give 1 to 100 of a-z, 0-9 and _`);
  }
  if (typeof definition.execute !== 'function') {
    throw new TypeError(`the executor \`${definition.id}\` has no function \`execute\``);
  }
  return definition;
}

function info(definition) {
  const demo = definition.demoResult;
  return {
    id: definition.id,
    name: definition.name ?? definition.id,
    description: definition.description ?? '',
    tags: definition.tags ?? [],
    examples: (definition.examples ?? []).map((example) => JSON.stringify(example)),
    inputSchema: JSON.stringify({ ...DIALECT, ...(definition.inputSchema ?? { type: 'object' }) }),
    outputSchema: JSON.stringify({ ...DIALECT, ...definition.outputSchema }),
    cancelable: definition.cancelable ?? false,
    idempotent: definition.idempotent ?? false,
    demoResult: demo === undefined ? null : JSON.stringify(typeof demo === 'function' ? demo() : demo),
    extra: '{}',
  };
}

function context(call) {
  return {
    executor: call.executor,
    taskId: call.taskId,
    treeId: call.treeId,
    attempt: call.attempt,
    idempotencyKey: call.idempotencyKey,
    timeoutMs: call.timeoutMs ?? undefined,
    traceParent: call.traceParent ?? undefined,
    params: parse(call.params ?? '{}', () => ({})),
    progress(fraction, message, partial) {
      const text = message === undefined ? null : String(message).toWellFormed();
      report(Number(fraction), text, partial === undefined ? null : json(partial, 'partial output'));
    },
  };
}

function result(value, id) {
  // Nothing waits for a promise, and as JSON it would be `{}`.
  if (typeof value?.then === 'function') {
    throw Failure.permanent('plugin_error', `\`${id}\` is async; a plugin answers synchronously`);
  }
  return json(value ?? null, `result of \`${id}\``);
}

/** JSON text of a value; what JSON cannot hold is a permanent failure that names `what`. */
export function json(value, what) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw Failure.permanent('not_json', `the ${what} cannot be written as JSON: ${error.message}`);
  }
  if (text === undefined) throw Failure.permanent('not_json', `the ${what} is a ${typeof value}, which JSON cannot hold`);
  return text;
}
