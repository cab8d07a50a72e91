// The package under Node, where there is no host: `npm test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as apflow from '../index.js';
import * as http from '../capabilities/http.js';
import * as state from '../capabilities/state.js';
import { otherFailure } from '../lib/failure.js';
import { asked, failed, variant } from '../lib/refused.js';
import { bytes, decode, encode } from '../lib/wire.js';
import { call, event, measurement } from '../testing.js';

const { Decision, Failure } = apflow;

const executor = apflow.executor(
  {
    id: 'greet_executor',
    tags: ['greeting'],
    examples: [{ name: 'Ada' }],
    inputSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
    demoResult: () => 'Hello!',
    execute({ name }, context) {
      context.progress(0.5, 'half way', [1]);
      return `Hello, ${name}, for the ${context.attempt}. time${context.params.mark ?? '.'}`;
    },
  },
  { id: 'broken_executor', execute: ({ how }) => ({
    throw: () => { throw new RangeError('too far'); },
    text: () => { throw 'just text'; },
    half: () => { throw Failure.permanent('half', '\ud800'); },
    later: () => { throw Failure.retryable('busy', 'the till is in use', { afterMs: 1500.2 }); },
    input: () => { throw Failure.badInput('negative', 'give 0 or more', '/amount', { limit: 0 }); },
    stop: () => { throw Failure.cancelled(); },
    async: async () => 1,
    function: () => () => 1,
    circle: () => { const circle = {}; circle.circle = circle; return circle; },
    nothing: () => undefined,
  })[how]() },
);

function failure(step) {
  try {
    step();
  } catch (thrown) {
    return thrown;
  }
  return assert.fail('did not fail');
}

const broken = (how) => failure(() => call(executor, 'broken_executor', { how }));

test('executors describe themselves', () => {
  const [info] = executor.describe();
  assert.equal(info.name, 'greet_executor');
  assert.deepEqual(info.examples, ['{"name":"Ada"}']);
  assert.equal(JSON.parse(info.inputSchema).$schema, 'https://json-schema.org/draft/2020-12/schema');
  assert.equal(info.demoResult, '"Hello!"');
});

test('executors work from JSON to JSON', () => {
  assert.equal(call(executor, 'greet_executor', { name: 'Ada' }, { mark: '!' }), 'Hello, Ada, for the 1. time!');
  assert.equal(call(executor, 'broken_executor', { how: 'nothing' }), null);
});

test('everything that is thrown is a typed failure', () => {
  assert.deepEqual(broken('throw').val.message, 'RangeError: too far');
  assert.deepEqual([broken('text').tag, broken('text').val.code], ['permanent', 'plugin_error']);
  assert.equal(broken('half').val.message, '\ufffd');
  assert.deepEqual(broken('later').val.afterMs, 1501);
  assert.deepEqual(broken('input'), {
    tag: 'bad-input',
    val: { code: 'negative', message: 'give 0 or more', pointer: '/amount', extra: '{"limit":0}' },
  });
  assert.deepEqual(broken('stop'), { tag: 'cancelled' });
  assert.match(broken('async').val.message, /synchronously/);
  assert.equal(broken('function').val.code, 'not_json');
  assert.equal(broken('circle').val.code, 'not_json');
  assert.equal(failure(() => call(executor, 'other', {})).val.code, 'unknown_executor');
});

test('definitions are checked while building', () => {
  assert.throws(() => apflow.executor({ id: 'Greet', execute() {} }), /a-z, 0-9/);
  assert.throws(() => apflow.executor({ id: 'greet' }), /no function `execute`/);
});

test('hooks hear and decide', () => {
  const hooks = apflow.hook({
    subscriptions: ['tree.created', { point: 'task.before-run', executors: ['a'] }],
    onEvent({ point, inputs }) {
      if (point === 'tree.created') return;
      if (inputs.n > 9) return Decision.veto('too_many', 'give at most 9');
      if (inputs.n === 0) return 'proceed';
      return Decision.replaceInputs({ n: inputs.n * 2 });
    },
  });
  assert.deepEqual(hooks.subscriptions().map(({ executors }) => executors), [[], ['a']]);
  const decide = (given) => hooks.onEvent(event(given));
  assert.deepEqual(decide({ point: 'tree.created' }), { tag: 'proceed' });
  assert.deepEqual(decide({ point: 'task.before-run', inputs: { n: 4 } }), { tag: 'replace-inputs', val: '{"n":8}' });
  assert.equal(decide({ point: 'task.before-run', inputs: { n: 10 } }).val.code, 'too_many');
  assert.equal(failure(() => decide({ point: 'task.before-run', inputs: { n: 0 } })).val.code, 'plugin_error');
  assert.equal(Decision.delay(1e12).val, 0x7fffffff);
});

test('collectors keep what their module keeps', () => {
  let sum = 0;
  const collector = apflow.collector({
    collect(batch) { for (const { durationMs, receipt } of batch) sum += durationMs * (receipt.times ?? 1); },
    render: () => `sum ${sum}\n`,
  });
  assert.equal(collector.collect([measurement({ durationMs: 2 }), measurement({ durationMs: 3, extra: '{"times":2}' })]), undefined);
  assert.equal(collector.render(), 'sum 8\n');
});

test('capabilities answer no_host, and errors of the host become failures', () => {
  assert.throws(() => http.get('http://h/'), { code: 'no_host', kind: 'permanent' });
  assert.throws(() => state.put('k', 1), { code: 'no_host' });
  const thrown = (payload, convert) => failure(() => asked(convert, () => { throw Object.assign(new Error('x'), { payload }); }));
  const late = thrown({ tag: 'timeout', val: '2 s' }, variant('http', ['timeout']));
  assert.deepEqual([late.kind, late.code, late.message], ['retryable', 'http_timeout', '2 s']);
  assert.equal(thrown({ tag: 'prohibited-address', val: '' }, variant('http', [])).code, 'http_prohibited_address');
  const retry = { tag: 'retryable', val: { issue: { code: 'busy', message: '', pointer: null, extra: '{}' }, afterMs: 5 } };
  assert.equal(thrown(retry, failed).afterMs, 5);
  assert.equal(otherFailure('http_error', '{"code": "budget", "message": "20 are enough"}').code, 'budget');
  assert.equal(otherFailure('http_error', 'words').code, 'http_error');
});

test('UTF-8 is what Node has', () => {
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder('utf-8', { ignoreBOM: true })];
  for (const text of ['', 'abc', 'äß', '日本', '😀', '\ud800x', '\udc00']) assert.deepEqual(encode(text), encoder.encode(text));
  let seed = 1;
  const random = (below) => { seed = (seed * 48271) % 0x7fffffff; return seed % below; };
  const odd = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
  for (let round = 0; round < 20000; round += 1) {
    const piece = Uint8Array.from({ length: random(8) }, () => odd[random(odd.length)]);
    assert.equal(decode(piece), decoder.decode(piece), piece);
  }
  assert.deepEqual(bytes(undefined), new Uint8Array());
});
