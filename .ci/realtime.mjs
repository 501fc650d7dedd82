// Two clients of y-websocket and a curl, over three nodes, while the leader is killed. See .ci/realtime.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { WebSocket } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const [urls, operator, log] = [process.argv[2].split(','), process.argv[3].trim(), process.argv[4]]
const names = ['a', 'b', 'c']
const WORDS = 60

const fail = (why) => {
  console.error(`realtime.mjs: ${why}`)
  process.exit(1)
}
setTimeout(() => fail('it takes too long'), 150_000).unref()

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const until = async (what, look) => {
  const end = Date.now() + 60_000
  for (;;) {
    const found = await look().catch(() => undefined)
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) fail(`${what} does not come true`)
    await pause(50)
  }
}

/** A call at any node that answers. */
const call = (token, method, path, body) =>
  until(`${method} ${path}`, async () => {
    for (const url of urls) {
      const reply = await fetch(url + path, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': `${method} ${path} ${JSON.stringify(body)}` },
        body: body && JSON.stringify(body)
      }).catch(() => undefined)
      if (reply?.ok) return await reply.json()
      if (reply && reply.status < 500 && reply.status !== 429) fail(`${method} ${path} answers ${reply.status}: ${await reply.text()}`)
    }
    return undefined
  })

const leader = async () => {
  const cells = await call(operator, 'GET', '/v1/cells')
  return cells.items.find((cell) => cell.name === 'here-shared')?.leader
}
/** The process of a node, as `cluster up` says it. */
const pid = (name) =>
  Number(readFileSync(log, 'utf8').split('\n').findLast((line) => line.startsWith(`node ${name} pid `))?.split(' ')[3])

const tenant = await call(operator, 'POST', '/v1/tenants', { slug: 'acme', region: 'here' })
const token = tenant.admin_token
const base = '/v1/tenants/acme'
await call(token, 'PUT', `${base}/collections/pages`, { fields: { title: { type: 'text' }, body: { type: 'document' } }, search: ['title', 'body'] })
const page = await call(token, 'POST', `${base}/records/pages`, { fields: { title: 'written together' } })

// Events, as curl has them: each attempt goes on after the last position of the one before.
const heard = []
let follows = true
const follow = async () => {
  for (let turn = 0; follows; turn++) {
    const headers = ['-H', `Authorization: Bearer ${token}`]
    if (heard.length > 0) headers.push('-H', `Last-Event-ID: ${heard.at(-1)}`)
    const curl = spawn('curl', ['-sN', '--max-time', '120', ...headers, `${urls[turn % 3]}${base}/events?after=0`])
    let text = ''
    curl.stdout.on('data', (piece) => {
      text += piece
      const lines = text.split('\n')
      text = lines.pop()
      for (const line of lines) if (line.startsWith('data: ')) heard.push(JSON.parse(line.slice(6)).position)
    })
    curling = curl
    await new Promise((done) => curl.on('close', done))
    await pause(100)
  }
}
let curling
const following = follow()

const first = await until('a leader', leader)
const others = names.filter((name) => name !== first)
const open = (name, doc) =>
  new WebsocketProvider(`${urls[names.indexOf(name)].replace('http', 'ws')}${base}/documents/pages/${page.id}`, 'body', doc, {
    WebSocketPolyfill: WebSocket,
    protocols: ['cloudnest.v1', `bearer.${token}`],
    disableBc: true,
    maxBackoffTime: 500
  })
// One of the two is at the node that is killed.
const docs = [new Y.Doc(), new Y.Doc()]
const providers = [open(others[0], docs[0]), open(first, docs[1])]
await until('both are synchronised', async () => providers.every((provider) => provider.synced))

providers[0].awareness.setLocalStateField('user', 'ann')
await until('one sees the other', async () => [...providers[1].awareness.getStates().values()].some((state) => state.user === 'ann'))

const write = async (doc, who) => {
  const text = doc.getText('content')
  for (let word = 0; word < WORDS; word++) {
    text.insert(text.length, `${who}${word} `)
    await pause(30)
  }
}
const writing = [write(docs[0], 'ann'), write(docs[1], 'bob')]
await pause((WORDS * 30) / 2)
const killed = pid(first)
if (!killed) fail(`the process of ${first} is not known`)
process.kill(killed, 'SIGKILL')
console.log(`killed ${first}, which led`)
await Promise.all(writing)

const texts = () => docs.map((doc) => doc.getText('content').toString())
const all = ['ann', 'bob'].flatMap((who) => Array.from({ length: WORDS }, (_, word) => `${who}${word}`))
await until('both have all that was written', async () => {
  const [one, other] = texts()
  const words = one.split(' ')
  return one === other && all.every((word) => words.includes(word)) && words.length === all.length + 1
})
const shown = await until('the record shows it', async () => {
  const record = await call(token, 'GET', `${base}/records/pages/${page.id}`)
  return record.fields.body === texts()[0] && record
})
await until('search finds what was written', async () => {
  const found = await call(token, 'GET', `${base}/search?q=ann${WORDS - 1}&consistency=strong`)
  return found.items.length === 1
})
const refused = await fetch(`${urls[names.indexOf(others[0])]}${base}/records/pages/${page.id}`, {
  method: 'PATCH',
  headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  body: JSON.stringify({ fields: { body: 'by hand' } })
})
if (refused.status !== 422) fail(`a document is written by hand: ${refused.status}`)

const last = await call(token, 'POST', `${base}/records/pages`, { fields: { title: 'the last' } })
await until('curl hears of the last', async () => {
  const reply = await fetch(`${urls[names.indexOf(others[0])]}${base}/records/pages/${last.id}`, { headers: { authorization: `Bearer ${token}` } })
  return heard.length > 0 && heard.at(-1) >= Number(reply.headers.get('cloudnest-position'))
})
follows = false
curling.kill('SIGTERM')
await following
heard.forEach((position, place) => {
  if (position !== place + 1) fail(`curl heard of position ${position} where ${place + 1} was to come`)
})
providers.forEach((provider) => provider.destroy())
console.log(`two clients of y-websocket agree on ${all.length} words, the record has version ${shown.version}, and curl heard ${heard.length} events without gap and repeat`)
process.exit(0)
