// The executor's logic under plain Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transform } from '../src/transform.js';
import { executor } from '../src/plugin.js';

const result = (expression, data, bindings) => transform({ expression, data, bindings }).result;

function refusal(inputs) {
  try {
    transform(inputs);
  } catch (error) {
    return error;
  }
  return assert.fail('was accepted');
}

test('selects, computes and reshapes', () => {
  assert.equal(result('$sum(items.(price * qty))', { items: [{ price: 3, qty: 2 }, { price: 4, qty: 1 }] }), 10);
  assert.deepEqual(result('users[age >= 18].{"who": name}', { users: [{ name: 'Ada', age: 36 }, { name: 'Bo', age: 7 }] }), { who: 'Ada' });
  assert.deepEqual(result('$map($, function($n) { $n * $factor })', [1, 2], { factor: 10 }), [10, 20]);
  assert.equal(result('$base64decode($base64encode("abc"))', {}), 'abc');
});

test('a path that leads nowhere is null, and data may be null', () => {
  assert.equal(result('a.b.c', { a: 1 }), null);
  assert.equal(result('$', null), null);
});

test('a bad expression names the place', () => {
  const error = refusal({ data: {}, expression: 'items[price > ' });
  assert.equal(error.code, 'invalid_expression');
  assert.equal(error.pointer, '/expression');
  assert.equal(error.details.position, 14);
  assert.match(error.message, /at position 14 of `items\[price > `/);
});

test('an expression that does not fit the data names the operator', () => {
  const error = refusal({ data: { a: 'x' }, expression: '1 + a' });
  assert.equal(error.code, 'evaluation_failed');
  assert.equal(error.details.jsonata_code, 'T2002');
  assert.match(error.message, /"\+"/);
});

test('wrong inputs are named', () => {
  assert.equal(refusal({ expression: 'a' }).pointer, '/data');
  assert.equal(refusal({ data: {} }).pointer, '/expression');
  assert.equal(refusal({ data: {}, expression: 7 }).pointer, '/expression');
  assert.equal(refusal({ data: {}, expression: 'a', bindings: [1] }).pointer, '/bindings');
});

test('what JSON cannot hold is refused, not dropped', () => {
  for (const expression of ['$sum', '{"f": function($x) {$x}}', '/a/', '1/0']) {
    assert.equal(refusal({ data: {}, expression }).code, 'result_not_json', expression);
  }
});

test('endless recursion is a failure with a message', () => {
  const error = refusal({ data: {}, expression: '($f := function($n) { $f($n + 1) + 1 }; $f(1))' });
  assert.equal(error.code, 'evaluation_failed');
  assert.match(error.message, /nests more than/);
  assert.equal(result('($f := function($n, $sum) { $n = 0 ? $sum : $f($n - 1, $sum + $n) }; $f(500, 0))', {}), 125250);
});

test('the exports speak the contract', () => {
  const [info] = executor.describe();
  for (const example of info.examples) {
    const answer = executor.execute({ executor: info.id, inputs: example });
    assert.ok('result' in JSON.parse(answer), example);
  }
  const inputs = JSON.stringify({ data: {}, expression: '(' });
  assert.throws(() => executor.execute({ executor: info.id, inputs }), { tag: 'bad-input' });
  const halfPair = JSON.stringify({ data: {}, expression: '\ud800 +' });
  assert.throws(() => executor.execute({ executor: info.id, inputs: halfPair }), ({ val }) => val.message.isWellFormed());
  assert.throws(() => executor.execute({ executor: 'other', inputs }), { tag: 'bad-input' });
  assert.throws(() => executor.execute({ executor: info.id, inputs: '{' }), { tag: 'bad-input' });
});
