// The component's border: the exports of `apflow:plugin/executor`, JSON text to values and back, and errors to typed
// failures. Whatever is thrown here must be a `failure` of the WIT contract (`{tag, val}`): anything else is a trap.
import { ExpressionError, transform } from './transform.js';

const ID = 'json_transform_executor';
const EXAMPLE = {
  data: { items: [{ price: 3, qty: 2 }, { price: 4, qty: 1 }] },
  expression: '$sum(items.(price * qty))',
};

const INFO = {
  id: ID,
  name: 'JSON transform',
  description: 'Selects, reshapes and computes with a JSONata expression on any JSON. Pure computing: needs no grant.',
  tags: ['json', 'jsonata', 'transform', 'query'],
  examples: [
    EXAMPLE,
    { data: { users: [{ name: 'Ada', age: 36 }, { name: 'Bo', age: 17 }] }, expression: 'users[age >= 18].name' },
    { data: [1, 2, 3], expression: '$map($, function($n) { $n * $factor })', bindings: { factor: 10 } },
  ].map((example) => JSON.stringify(example)),
  inputSchema: JSON.stringify({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      data: { description: 'The JSON to transform: any value.' },
      expression: { type: 'string', minLength: 1, description: 'A JSONata expression, evaluated on `data`.' },
      bindings: { type: 'object', description: 'Values for variables: `{"rate": 2}` is `$rate` in the expression.' },
    },
    required: ['data', 'expression'],
  }),
  outputSchema: JSON.stringify({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { result: { description: 'What the expression gives; null where it selects nothing.' } },
    required: ['result'],
  }),
  cancelable: true,
  idempotent: true,
  demoResult: JSON.stringify(transform(EXAMPLE)),
  extra: '{}',
};

// Half of a surrogate pair, which JSON can spell but UTF-8 cannot hold, must not reach the border.
function issue(code, message, pointer = null, extra = {}) {
  return { code, message: message.toWellFormed(), pointer, extra: JSON.stringify(extra) };
}

function asFailure(error) {
  if (error instanceof ExpressionError) {
    return { tag: 'bad-input', val: issue(error.code, error.message, error.pointer, error.details) };
  }
  return { tag: 'permanent', val: issue('plugin_error', `${ID} failed: ${error?.message ?? error}`) };
}

// Every export goes through here, so that no exception can leave as a trap.
function guarded(step) {
  return (...args) => {
    try {
      return step(...args);
    } catch (error) {
      throw asFailure(error);
    }
  };
}

export const executor = {
  describe: guarded(() => [INFO]),
  execute: guarded((call) => {
    if (call.executor !== ID) {
      const message = `this component has no executor \`${call.executor}\`, only \`${ID}\``;
      throw new ExpressionError('unknown_executor', message);
    }
    return JSON.stringify(transform(JSON.parse(call.inputs)));
  }),
};
