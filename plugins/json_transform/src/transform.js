// Evaluating one JSONata expression: plain JavaScript that knows nothing of the host, so `node --test` runs it as it
// is. What goes wrong is thrown as `ExpressionError`; `plugin.js` turns that into the typed failure of the contract.
//
// jsonata 1.8 and not 2.x: an executor answers synchronously, and from 2.0 on `evaluate` only gives a promise.
import jsonata from 'jsonata';

// Evaluations nested inside one another; one level of a recursive function is two or three. A function that calls itself
// without end would otherwise use up the component's stack (1 MiB in this host) and be a trap without a message. One
// that does so through `$reduce` and its like still is: its evaluations do not nest here, only its stack does. Calls in
// tail position nest nowhere.
const MAX_DEPTH = 80;

/** Why there is no result: a stable `code`, a sentence, the input it is about, and what JSONata knows of the place. */
export class ExpressionError extends Error {
  constructor(code, message, pointer, details = {}) {
    super(message);
    Object.assign(this, { code, pointer, details });
  }
}

/** Evaluates `inputs.expression` on `inputs.data`; gives `{result}`, where a path that leads nowhere is `null`. */
export function transform(inputs) {
  const { data, expression, bindings = {} } = inputs;
  if (data === undefined) {
    throw new ExpressionError('missing_input', '`data` is missing: give the JSON to transform', '/data');
  }
  if (typeof expression !== 'string' || expression.trim() === '') {
    const message = `\`expression\` must be a JSONata expression, got ${JSON.stringify(expression) ?? 'nothing'}`;
    throw new ExpressionError(expression === undefined ? 'missing_input' : 'invalid_input', message, '/expression');
  }
  if (bindings === null || typeof bindings !== 'object' || Array.isArray(bindings)) {
    throw new ExpressionError('invalid_input', '`bindings` must be an object of variable names and values', '/bindings');
  }
  const compiled = attempt('invalid_expression', expression, () => jsonata(expression));
  const value = attempt('evaluation_failed', expression, () => evaluate(compiled, data, bindings));
  return { result: plainJson(value) };
}

function evaluate(compiled, data, bindings) {
  let depth = 0;
  compiled.assign('__evaluate_entry', () => {
    depth += 1;
    if (depth > MAX_DEPTH) {
      const message = `the expression nests more than ${MAX_DEPTH} evaluations; does a function call itself without end?`;
      throw { code: 'U1001', message };
    }
  });
  compiled.assign('__evaluate_exit', () => { depth -= 1; });
  return compiled.evaluate(data, bindings);
}

function attempt(code, expression, step) {
  try {
    return step();
  } catch (error) {
    const { code: jsonataCode, position, token } = error;
    const shown = expression.length > 200 ? `${expression.slice(0, 200)}…` : expression;
    const place = position === undefined ? '' : ` at position ${position} of \`${shown}\``;
    const details = { jsonata_code: jsonataCode, position, token };
    throw new ExpressionError(code, `${error.message ?? error}${place}`, '/expression', details);
  }
}

// Functions and infinite numbers have no JSON form; JSON.stringify would silently drop or null them.
function plainJson(value) {
  if (value === undefined) return null;
  const text = JSON.stringify(value, (key, part) => {
    const odd = typeof part === 'function' || part?._jsonata_lambda || part?._jsonata_function
      ? 'a function'
      : typeof part === 'number' && !Number.isFinite(part) ? 'a number out of range' : undefined;
    if (odd) {
      const where = key === '' ? 'the result' : `\`${key}\` in the result`;
      throw new ExpressionError('result_not_json', `${where} is ${odd}, which JSON cannot hold`, '/expression');
    }
    return part;
  });
  return JSON.parse(text);
}
