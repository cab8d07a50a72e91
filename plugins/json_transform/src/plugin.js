// The executor of this component. What it computes is in `transform.js`, which knows nothing of the host; its errors are
// bad input.
import * as apflow from 'apflow-plugin';
import { ExpressionError, transform } from './transform.js';

const EXAMPLE = {
  data: { items: [{ price: 3, qty: 2 }, { price: 4, qty: 1 }] },
  expression: '$sum(items.(price * qty))',
};

export const executor = apflow.executor({
  id: 'json_transform_executor',
  name: 'JSON transform',
  description: 'Selects, reshapes and computes with a JSONata expression on any JSON. Pure computing: needs no grant.',
  tags: ['json', 'jsonata', 'transform', 'query'],
  examples: [
    EXAMPLE,
    { data: { users: [{ name: 'Ada', age: 36 }, { name: 'Bo', age: 17 }] }, expression: 'users[age >= 18].name' },
    { data: [1, 2, 3], expression: '$map($, function($n) { $n * $factor })', bindings: { factor: 10 } },
  ],
  inputSchema: {
    type: 'object',
    properties: {
      data: { description: 'The JSON to transform: any value.' },
      expression: { type: 'string', minLength: 1, description: 'A JSONata expression, evaluated on `data`.' },
      bindings: { type: 'object', description: 'Values for variables: `{"rate": 2}` is `$rate` in the expression.' },
    },
    required: ['data', 'expression'],
  },
  outputSchema: {
    type: 'object',
    properties: { result: { description: 'What the expression gives; null where it selects nothing.' } },
    required: ['result'],
  },
  cancelable: true,
  idempotent: true,
  demoResult: () => transform(EXAMPLE),
  execute(inputs) {
    try {
      return transform(inputs);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      throw apflow.Failure.badInput(error.code, error.message, error.pointer, error.details);
    }
  },
});
