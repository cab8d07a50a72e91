// graphile-worker: how many jobs a second it takes from its queue, in the mode that is asked for.
// node graphile.mjs DATABASE_URL plain|batching JOBS

import { makeWorkerUtils, run } from 'graphile-worker'
import pg from 'pg'

const [url, mode, count] = process.argv.slice(2)
const jobs = Number(count)

// As its documentation of performance has it; "plain" is the same without batching.
const preset = {
  worker: {
    connectionString: url,
    concurrentJobs: 24,
    maxPoolSize: 25,
    logger: { error() {}, warn() {}, info() {}, debug() {}, scope: () => preset.worker.logger },
    ...(mode === 'batching' && { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 })
  }
}

const seconds = (from) => Number(process.hrtime.bigint() - from) / 1e9

async function insert(utils, how_many) {
  for (let done = 0; done < how_many; done += 1000) {
    const batch = Array.from({ length: Math.min(1000, how_many - done) }, (_, i) => ({
      identifier: 'noop',
      payload: { id: done + i }
    }))
    await utils.addJobs(batch)
  }
}

/** Runs the queue until so many jobs have completed; gives the seconds. */
async function drain(how_many) {
  let completed = 0
  let all
  const done = new Promise((resolve) => (all = resolve))
  const began = process.hrtime.bigint()
  const runner = await run({ preset, taskList: { noop: async () => {} }, noHandleSignals: true })
  runner.events.on('job:success', () => ++completed === how_many && all())
  await done
  const took = seconds(began)
  await runner.stop()
  return took
}

const pool = new pg.Pool({ connectionString: url })
const utils = await makeWorkerUtils({ preset })
await utils.migrate()
await insert(utils, 500)
await drain(500)
const began = process.hrtime.bigint()
await insert(utils, jobs)
const inserting = seconds(began)
const running = await drain(jobs)
const left = await pool.query('SELECT count(*)::int AS n FROM graphile_worker._private_jobs')
if (left.rows[0].n !== 0) throw new Error(`${left.rows[0].n} jobs are left`)
await utils.release()
await pool.end()
console.log(JSON.stringify({ run: jobs / running, whole: jobs / (running + inserting) }))
process.exit(0)
