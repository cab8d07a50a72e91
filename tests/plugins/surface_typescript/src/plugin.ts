// One executor that uses every part of the SDK; `tests/suite/languages.rs` compares its answers with the other languages'.
import * as apflow from 'apflow-plugin';
import * as checkpoint from 'apflow-plugin/checkpoint';
import * as http from 'apflow-plugin/http';
import * as net from 'apflow-plugin/net';
import * as process from 'apflow-plugin/process';
import * as secrets from 'apflow-plugin/secrets';
import * as state from 'apflow-plugin/state';
import * as system from 'apflow-plugin/system';
import * as tasks from 'apflow-plugin/tasks';
import 'apflow-plugin/globals';

const { Failure } = apflow;
declare const TextDecoder: { new (): { decode(bytes: Uint8Array): string } };
const text = (pieces: Uint8Array[]) => new TextDecoder().decode(Uint8Array.from(pieces.flatMap((piece) => [...piece])));

function all(read: () => Uint8Array | undefined): string {
  const pieces: Uint8Array[] = [];
  for (let piece = read(); piece !== undefined; piece = read()) pieces.push(piece);
  return text(pieces);
}

const actions: Record<string, (inputs: any, context: apflow.Context) => unknown> = {
  context(inputs, context) {
    context.progress(0.5, 'half way', { so: 'far' });
    apflow.log.info('surface speaks', { of: context.taskId });
    const { executor, attempt, params } = context;
    return { executor, attempt, params, named: context.taskId !== '' && context.treeId !== '' && context.idempotencyKey !== '' };
  },
  http({ url }) {
    const answer = http.post(url, { headers: { 'x-color': 'blue' }, json: { n: 1 }, timeoutMs: 5000 });
    return { status: answer.status, ok: answer.ok, kind: answer.header('Content-Type'), body: answer.json() };
  },
  stream({ url }) {
    const answer = http.sendStreamed({ url });
    const body = all(() => answer.read(7));
    const trailers = answer.trailers().length;
    answer.close();
    return { status: answer.status, body, trailers };
  },
  process() {
    const whole = process.run('cat', [], { stdin: 'äb' });
    const child = process.start('cat');
    const taken = child.writeStdin('talk');
    child.closeStdin();
    const said = all(() => child.readStdout());
    const ended = child.wait();
    child.drop();
    const failed = process.run('false');
    return { output: whole.output, taken, said, code: ended.code, failed: failed.code, ok: [whole.ok, failed.ok] };
  },
  net({ host, port }) {
    const connection = net.connect({ host, port, timeoutMs: 5000 });
    connection.write('ping');
    connection.finish();
    const said = all(() => connection.read(100, { timeoutMs: 5000 }));
    connection.close();
    return { said };
  },
  system() {
    const { total, available } = system.memory();
    return { threads: system.cpu().threads > 0, memory: total > available && available > 0, disks: Array.isArray(system.disks()) };
  },
  secret({ url }) {
    const token = secrets.placeholder('token');
    const answer = http.get(url, { headers: { authorization: `Bearer ${token}` } });
    return { hidden: !token.includes('sesame'), answer: answer.json() };
  },
  state() {
    state.put('k', { n: 1 });
    const entry = state.get('k');
    const wrong = state.compareAndSet('k', 'no version', { n: 2 });
    const right = state.compareAndSet('k', entry?.version, { n: 3 });
    const value = state.get('k')?.value;
    state.remove('k');
    return { first: entry?.value, wrong, right, value, gone: state.get('k') === undefined, created: state.compareAndSet('k', undefined, 1) };
  },
  tasks(inputs, { idempotencyKey }) {
    const tree = [{ name: 'child', executor: 'echo', inputs: { n: 7 } }];
    const root = tasks.submit(tree, idempotencyKey);
    const { status, result } = tasks.awaitResult(root);
    return { status, result, again: tasks.submit(tree, idempotencyKey) === root };
  },
  checkpoint(inputs, { attempt }) {
    const seen = checkpoint.load();
    if (attempt === 1) {
      checkpoint.save({ page: 3 });
      throw Failure.retryable('again', 'the second half comes later', { afterMs: 1 });
    }
    return { attempt, seen };
  },
  bad_input() { throw Failure.badInput('negative', 'amount is -1; give 0 or more', '/amount', { limit: 0 }); },
  permanent() { throw Failure.permanent('over_limit', 'no more than 1000'); },
  cancelled() { throw Failure.cancelled(); },
  mistake() { (null as any).nothing; },
  denied({ url }) { return http.get(url).status; },
};

export const executor = apflow.executor({
  id: 'surface_typescript',
  inputSchema: { type: 'object', properties: { do: { enum: Object.keys(actions) } }, required: ['do'] },
  execute: (inputs: any, context: apflow.Context) => actions[inputs.do](inputs, context),
});
