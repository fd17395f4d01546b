// A caller of BullMQ on Node: client.cjs SETTINGS PORT VERB OPTIONS. The twin of calling.py; prints JSON.
'use strict'

const { Queue } = require('bullmq')

const CHUNK = 1000
const [settings, port, verb, options] = process.argv.slice(2).map((text) => (text[0] === '{' ? JSON.parse(text) : text))
const queue = new Queue('bench', { connection: { host: '127.0.0.1', port: Number(port) } })
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

async function bulk({ count, task, payload }) {
  for (let done = 0; done < count; done += CHUNK) {
    const jobs = Array.from({ length: Math.min(CHUNK, count - done) }, () => ({ name: task, data: payload, opts: settings }))
    await queue.addBulk(jobs)
  }
}

async function telling({ count, payload, pause_s }) {
  for (let number = 0; number < count; number += 1) {
    await queue.add('telling', { ...payload, label: `${payload.label}-${number}` }, settings)
    await pause(pause_s)
  }
}

async function main() {
  const begun = performance.now()
  await { bulk, telling }[verb](options)
  console.log(JSON.stringify({ count: options.count, seconds: (performance.now() - begun) / 1000 }))
  await queue.close()
}

main()
