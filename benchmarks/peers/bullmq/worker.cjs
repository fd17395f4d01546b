// BullMQ's worker on Node: worker.cjs PORT SETTINGS. The twin of the workers in Python, with the same tally and diary.
'use strict'

const fs = require('node:fs')
const { Worker } = require('bullmq')

const CELL_BYTES = 8
const tally = process.env.BENCH_TALLY ? fs.openSync(process.env.BENCH_TALLY, 'r+') : -1
const place = CELL_BYTES * Number(process.env.BENCH_CELL || 0)
const cell = Buffer.alloc(CELL_BYTES)
let count = 0n

// The runner maps this file; what is written here it sees at once.
function noop({ n }) {
  count += 1n
  cell.writeBigUInt64LE(count)
  fs.writeSync(tally, cell, 0, CELL_BYTES, place)
  return n
}

function note(what, key) {
  const line = `${(performance.timeOrigin + performance.now()) / 1000} ${what} ${key} ${process.env.BENCH_WORKER}\n`
  fs.appendFileSync(process.env.BENCH_DIARY, line)
}

async function telling({ label, first_s, again_s, hold }) {
  const diary = fs.existsSync(process.env.BENCH_DIARY) ? fs.readFileSync(process.env.BENCH_DIARY, 'utf8') : ''
  const before = diary.includes(` begun ${label} `)
  note('begun', label)
  const milliseconds = (before ? again_s : first_s) * 1000
  if (hold) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
  else await new Promise((resolve) => setTimeout(resolve, milliseconds))
  note('ended', label)
}

const tasks = { noop, telling }
const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null }
const worker = new Worker('bench', async (job) => tasks[job.name](job.data), { connection, ...JSON.parse(process.argv[3]) })
worker.on('error', () => {})
process.on('SIGTERM', () => worker.close().then(() => process.exit(0)))
