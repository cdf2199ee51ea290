/*
 * sse_clients.test.mjs - npm's eventsource and a reader on fetch: named
 * events, what was missed while the line was cut, and what is final.
 */
import assert from 'node:assert/strict';
import {EventSource} from 'eventsource';
import {after, afterEach, before, test} from 'node:test';
import {Proxy, ask, connect, hangUp, next, sleep, startServer, until, within}
  from './servers.mjs';

const flags = ['--retry_ms', 100, '--history_count', 200];
let server, proxy;

before(async () => {
  server = await startServer('events_server', {flags});
  proxy = await Proxy.open(server.port);
});

after(async () => {
  proxy.cut();
  await server.stop();
});

const sources = new Set();

afterEach(() => {
  for (const source of sources)
    source.close();
  sources.clear();
  hangUp();
});

function listen(url, options) {
  const source = new EventSource(url, options);

  sources.add(source);
  source.sessions = [];
  source.got = [];
  source.ids = [];
  source.addEventListener('session', (event) =>
    source.sessions.push(JSON.parse(event.data)));
  source.addEventListener('n', (event) => {
    source.got.push(JSON.parse(event.data));
    source.ids.push(event.lastEventId);
  });
  return source;
}

const started = (source, n = 1) => until(() => source.sessions.length >= n,
  'a session');
const error = (source) => within(new Promise((resolve) =>
  source.addEventListener('error', resolve, {once: true})), 'error');

test('named events and their ids', async () => {
  const source = listen(server.url + '/events/kept-a');
  const sender = await connect(server);

  await started(source);
  await ask(sender, 'emit', {name: 'n', rooms: ['kept-a'], args: [{x: 1}]});
  await ask(sender, 'emit', {name: 'n', rooms: ['kept-a'], args: []});
  await ask(sender, 'emit', {name: 'other', rooms: ['kept-a'], args: [1]});
  await ask(sender, 'emit', {name: 'n', rooms: ['kept-a'], args: [1, 2]});
  await until(() => source.got.length === 3, 'three');
  assert.deepEqual(source.got, [{x: 1}, null, [1, 2]]);
  assert.equal(new Set(source.ids).size, 3);
});

test('a line that is cut: each event once, and in order', async () => {
  const source = listen(proxy.url + '/events/kept-b');
  const sender = await connect(server);
  let sent = 0;

  await started(source);
  for (let round = 1; round <= 3; round++) {
    await ask(sender, 'emit', {name: 'n', rooms: ['kept-b'], args: [sent++]});
    if (round !== 2)
      await until(() => source.got.length === sent, 'before the cut');
    proxy.cut();
    for (let i = 0; i < 10; i++)
      await ask(sender, 'emit', {name: 'n', rooms: ['kept-b'],
        args: [sent++]});
    await proxy.heal();
    await started(source, round + 1);
    assert.equal(source.sessions.at(-1).recovered, true);
  }
  await ask(sender, 'emit', {name: 'n', rooms: ['kept-b'], args: [sent++]});
  await until(() => source.got.length >= sent, 'the last');
  assert.deepEqual(source.got, [...Array(sent).keys()]);
});

test('a gap is told', async () => {
  const source = listen(proxy.url + '/events/kept-c');
  const sender = await connect(server);

  await started(source);
  proxy.cut();
  await ask(sender, 'emit', {name: 'n', rooms: ['kept-c'], times: 300});
  await proxy.heal();
  await started(source, 2);
  assert.equal(source.sessions[1].recovered, false);
});

test('a refusal is final', async () => {
  for (const [target, code] of [['/events/closed', 403],
    ['/events/x?token=bad', 401], ['/nowhere', 404]]) {
    const source = listen(server.url + target);
    const event = await error(source);
    assert.equal(event.code, code);
    assert.equal(source.readyState, EventSource.CLOSED);
  }
});

test('a server that restarts gets its readers back', async () => {
  const source = listen(server.url + '/events/kept-d');

  await started(source);
  await server.stop();
  await until(() => source.readyState === EventSource.CONNECTING,
    'the reader tries again', 8000);
  server = await startServer('events_server', {port: server.port, flags});
  await started(source, 2);
  assert.equal(source.sessions[1].recovered, false);
});

/* Twenty lines of a reader with headers, as pages write them on fetch. */
async function* read(url, options) {
  const response = await fetch(url, {...options,
    headers: {Accept: 'text/event-stream', ...options?.headers}});
  let rest = '';

  assert.equal(response.status, 200);
  for await (const part of response.body.pipeThrough(
    new TextDecoderStream())) {
    const blocks = (rest + part).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split('\n'))
        if (!line.startsWith(':'))
          event[line.split(':', 1)[0]] = line.slice(line.indexOf(': ') + 2);
      if (event.data)
        yield {...event, data: JSON.parse(event.data)};
    }
  }
}

test('a reader on fetch, with a token in a header', async () => {
  const stop = new AbortController();
  const sender = await connect(server);
  const options = {signal: stop.signal,
    headers: {Authorization: 'Bearer user:ann'}};
  const reader = read(server.url + '/events/private-kept', options);
  const {value: first} = await reader.next();

  assert.equal(first.event, 'session');
  const reply = await fetch(server.url + '/events/private-kept', {
    method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({event: 'whoami', session: first.data.session})});
  assert.equal((await reply.json()).args[0].user, 'ann');
  await ask(sender, 'emit', {name: 'n', rooms: ['private-kept'], times: 3});
  for (let i = 0; i < 3; i++)
    assert.deepEqual((await reader.next()).value.data, i);
  stop.abort();
  await reader.next().catch(() => {});
  await until(async () =>
    (await ask(sender, 'members', 'private-kept')).length === 0, 'it is gone');
});

test('readers and sockets in one room', async () => {
  const source = listen(server.url + '/events/mixed');
  const socket = await connect(server);

  await started(source);
  await ask(socket, 'join', 'mixed');
  const heard = next(socket, 'n');
  const reply = await fetch(server.url + '/events/mixed', {method: 'POST',
    body: JSON.stringify({event: 'emit', args: [{name: 'n', args: ['all'],
      rooms: ['mixed']}]})});
  assert.deepEqual(await reply.json(), {args: [0]});
  assert.equal((await heard)[0], 'all');
  await until(() => source.got.length === 1, 'the event');
  assert.deepEqual(source.got, ['all']);
  await sleep(20);
});
