// Restate: how long a durable flow of three steps takes its one client, on an idle server of its own.
// node restate.mjs FLOWS

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// The SDK wants Node 22.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((...both) => ([resolve, reject] = both))
  return { promise, resolve, reject }
}
process.env.RESTATE_LOGGING = 'ERROR'
const restate = await import('@restatedev/restate-sdk')

const flows = Number(process.argv[2])
const free = () =>
  new Promise((resolve) => {
    const listener = createServer().listen(0, '127.0.0.1', () => {
      const { port } = listener.address()
      listener.close(() => resolve(port))
    })
  })
const [service, node, ingress, admin] = [await free(), await free(), await free(), await free()]

const flow = restate.service({
  name: 'flow',
  handlers: {
    run: async (context) => {
      await context.run('one', () => ({}))
      await context.run('two', () => ({}))
      return context.run('three', () => ({}))
    }
  }
})
await restate.serve({ services: [flow], port: service })

const folder = mkdtempSync(join(tmpdir(), 'restate-'))
// The server itself rather than the script that starts it, so that it ends with this process.
const place = `node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`
const program = fileURLToPath(new URL(place, import.meta.url))
const server = spawn(program, ['--no-logo', '--listen-mode', 'tcp', '--base-dir', folder, '--bind-ip', '127.0.0.1'], {
  cwd: folder,
  stdio: 'ignore',
  env: {
    ...process.env,
    DO_NOT_TRACK: '1',
    RUST_LOG: 'error',
    RESTATE_BIND_PORT: node,
    RESTATE_INGRESS__BIND_PORT: ingress,
    RESTATE_ADMIN__BIND_PORT: admin
  }
})
process.on('exit', () => {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const post = async (port, path, body) => {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

const patience = Date.now() + 60_000
const until = async (action) => {
  for (;;) {
    try {
      return await action()
    } catch (error) {
      if (Date.now() > patience || server.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
await until(() => post(admin, '/deployments', { uri: `http://127.0.0.1:${service}` }))
await until(() => post(ingress, '/flow/run', {}))
const times = []
for (let i = -50; i < flows; i++) {
  const began = process.hrtime.bigint()
  await post(ingress, '/flow/run', {})
  if (i >= 0) times.push(Number(process.hrtime.bigint() - began) / 1e6)
}
times.sort((a, b) => a - b)
const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))]
console.log(JSON.stringify({ p50: at(0.5), p99: at(0.99) }))
process.exit(0)
