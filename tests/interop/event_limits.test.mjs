/*
 * event_limits.test.mjs - what happens at the limits that events, sessions,
 * namespaces, recovery and history have, and to who does not read.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import {after, afterEach, before, test} from 'node:test';
import {Proxy, Wire, ask, connect, connected, dial, fetchRaw, hangUp,
  hangUpWires, next, sleep, startServer, transports, until, within}
  from './servers.mjs';

const path = '/socket.io/?EIO=4&transport=';
let server, proxy;

before(async () => {
  server = await startServer('events_server', {flags: [
    '--spaces_per_session', 4, '--spaces', 20, '--rooms_per_peer', 3,
    '--acks_pending', 2, '--attachments', 2, '--value_depth', 5,
    '--value_nodes', 50, '--key_bytes', 13, '--away_peers', 1,
    '--recovery_ms', 3000, '--history_ms', 400, '--name_bytes', 20,
    '--payload_bytes', 300000, '--queue_bytes', 200000, '--slow_ms', 500]});
  proxy = await Proxy.open(server.port);
});

after(async () => {
  proxy.cut();
  await server.stop();
});

afterEach(() => {
  hangUp();
  hangUpWires();
});

async function open() {
  const wire = await Wire.open(server.ws + path + 'websocket');

  await wire.next();
  wire.send('40');
  await wire.next();
  return wire;
}

test('namespaces of one client', async () => {
  const main = await connect(server);
  const more = [];

  for (let i = 0; i < 3; i++)
    more.push(await connected(main.io.socket('/dyn-' + i)));
  const refused = main.io.socket('/dyn-3');
  const [error] = await next(refused, 'connect_error');
  assert.ok(error.message.length > 0);
  more[0].disconnect();
  await ask(main, 'ask');
  await connected(main.io.socket('/dyn-4'));
  assert.equal(await ask(main, 'ask', 1), 1);
});

test('namespaces of all, which are made anew', async () => {
  const wire = await open();

  for (let i = 0; i < 100; i++) {
    wire.send(`40/dyn-x${i},`);
    assert.match(await wire.nextEvent(), /^40\/dyn-x\d+,\{"sid":/);
    wire.send(`42/dyn-x${i},1["join","r"]`);
    assert.match(await wire.nextEvent(), /^43\/dyn-x\d+,1\[0\]/);
    wire.send(`41/dyn-x${i},`);
  }
  const wires = [];
  let refused = 0;
  for (let i = 0; i < 10; i++) {
    const other = await open();
    wires.push(other);
    for (let k = 0; k < 3; k++) {
      other.send(`40/dyn-${i}-${k},`);
      refused += (await other.nextEvent()).startsWith('44');
    }
  }
  assert.ok(refused >= 10, `${refused} of 30 are refused`);
  assert.ok(refused < 20);
  for (const other of wires)
    other.socket.terminate();
  await sleep(50);
  wire.send('40/dyn-again,');
  assert.match(await wire.nextEvent(), /^40\/dyn-again,\{"sid":/);
});

test('rooms of one peer', async () => {
  const socket = await connect(server);

  for (const room of ['a', 'b', 'c'])
    assert.equal(await ask(socket, 'join', room), 0);
  assert.equal(await ask(socket, 'join', 'd'), -8);
  assert.equal(await ask(socket, 'join', 'a'), 0);
  assert.equal(await ask(socket, 'leave', 'a'), 0);
  assert.equal(await ask(socket, 'join', 'd'), 0);
  assert.equal(await ask(socket, 'join', 'x'.repeat(21)), -12);
  assert.equal(await ask(socket, 'join', ''), -2);
});

test('emits that wait for answers', async () => {
  const socket = await connect(server);
  const command = {name: 'q', sids: [socket.id], ask: 200};
  const outcomes = await Promise.all([1, 2, 3].map(() =>
    ask(socket, 'emit', command)));

  assert.deepEqual(outcomes.map((o) => o.status ?? o), [-14, -14, -8]);
  assert.equal((await ask(socket, 'emit', command)).status, -14);
});

test('attachments, depth, nodes and keys of a message', async () => {
  const place = (num) => `{"_placeholder":true,"num":${num}}`;

  for (const [good, bad] of [
    [[`452-["ask",${place(0)},${place(1)}]`],
      [`453-["ask",${place(0)},${place(1)},${place(2)}]`]],
    [['42["ask",[[[1]]]]'], ['42["ask",[[[[[[1]]]]]]]']],
    [[`42["ask"${',1'.repeat(40)}]`], [`42["ask"${',1'.repeat(60)}]`]],
    [['42["ask",{"0123456789abc":1}]'], ['42["ask",{"0123456789abcd":1}]']]]) {
    const fine = await open();
    fine.send(...good);
    if (good[0].startsWith('452'))
      fine.send(Buffer.from('a'), Buffer.from('b'));
    fine.send('429["ask"]');
    assert.equal(await fine.nextEvent(), '439[]', good[0]);
    const wire = await open();
    wire.send(...bad);
    await wire.end();
  }
});

test('a name that is too long', async () => {
  const socket = await connect(server);
  const unknown = next(socket, 'unknown');

  socket.emit('x'.repeat(20));
  assert.deepEqual(await unknown, ['x'.repeat(20), []]);
  assert.equal(await ask(socket, 'emit', {name: 'y'.repeat(21), all: true}),
    -2);
  const wire = await open();
  wire.send(`42["${'x'.repeat(21)}"]`);
  assert.match(await wire.nextEvent(), /^42\["error",\{"code":"bad-event"/);
});

test('who is away, more than may be', async () => {
  const watcher = await connect(server);
  const log = [];

  watcher.on('log', ({what, space}) => {
    if (space === '/recovery' && what !== 'open')
      log.push(what);
  });
  await ask(watcher, 'join', 'log');
  const options = {space: '/recovery', ...transports.websocket};
  await connect(proxy, options);
  await connect(proxy, options);
  proxy.cut();
  await until(() => log.length === 2, 'both notices');
  assert.deepEqual(log.sort(), ['away', 'close']);
  await proxy.heal();
});

test('what is too old is no longer kept', async () => {
  const options = {space: '/recovery', reconnection: true,
    reconnectionDelay: 20, reconnectionDelayMax: 50, ...transports.websocket};
  const socket = await connect(proxy, options);
  const sender = await connect(server, {space: '/recovery'});

  await sleep(3100); /* the place of the one who was away is free again */
  await ask(socket, 'join', 'old');
  await ask(sender, 'emit', {name: 'n', rooms: ['old'], args: ['seen']});
  const gone = next(socket, 'disconnect');
  proxy.cut();
  await gone;
  await ask(sender, 'emit', {name: 'n', rooms: ['old'], args: ['missed']});
  await sleep(800);
  const back = next(socket, 'connect');
  await proxy.heal();
  await back;
  assert.equal(socket.recovered, false);
});

/* A client that never reads what it has asked for. */
async function deaf(target, headers) {
  const socket = net.connect(server.port, '127.0.0.1');

  socket.on('error', () => {});
  socket.closed_ = new Promise((resolve) => socket.once('close', resolve));
  socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
  await within(new Promise((resolve) => socket.once('data', resolve)), 'head');
  socket.pause();
  return socket;
}

test('who does not read is left behind, the others are not', async () => {
  const watcher = await connect(server);
  const closed = [];

  watcher.on('log', ({what, sid}) => {
    if (what === 'close')
      closed.push(sid);
  });
  await ask(watcher, 'join', 'log');
  const reader = await connect(server, transports.websocket);
  const polling = await fetchRaw(server, path + 'polling');
  const {sid} = JSON.parse(polling.body.slice(1));
  await fetchRaw(server, path + 'polling&sid=' + sid,
    {method: 'POST', body: '40'});
  await fetchRaw(server, path + 'polling&sid=' + sid,
    {method: 'POST', body: '42["join","flood"]'});
  const stream = await deaf('/events/flood', '');
  await ask(reader, 'join', 'flood');
  await until(async () => (await ask(watcher, 'members', 'flood')).length === 3,
    'all are there');

  const got = [];
  reader.on('n', (text, i) => got.push(i));
  for (let i = 0; i < 300; i++)
    await ask(watcher, 'emit', {name: 'n', rooms: ['flood'],
      args: ['x'.repeat(50000), i]});
  await until(() => got.length === 300, 'the reader has all', 20000);
  assert.deepEqual(got, [...Array(300).keys()]);
  await until(() => closed.length === 2, 'the other two are gone', 10000);
  assert.deepEqual(await ask(watcher, 'members', 'flood'), [reader.id]);
  stream.destroy();
  const late = await fetchRaw(server, path + 'polling&sid=' + sid);
  assert.ok([200, 400].includes(late.status));
});

test('volatile events do not pile up', async () => {
  const socket = await connect(server, transports.polling);
  const got = [];

  socket.on('v', (i) => got.push(i));
  await ask(socket, 'emit', {name: 'v', sids: [socket.id], volatile: true,
    times: 500});
  await ask(socket, 'ask');
  assert.ok(got.length < 500, `${got.length} of 500`);
  assert.deepEqual(got, [...got].sort((a, b) => a - b));
});

test('more than maxPayload over a WebSocket', async () => {
  const wire = await open();

  wire.send('42["ask","' + 'x'.repeat(300000 - 11 - 2) + '"]');
  wire.send('421["ask"]');
  assert.equal(await wire.nextEvent(), '431[]');
  wire.send('42["ask","' + 'x'.repeat(300000 - 10) + '"]');
  assert.equal((await wire.end()).code, 1009);
});

test('a client that never connects to a namespace', async () => {
  const quick = await startServer('events_server',
    {flags: ['--connect_ms', 300, '--ping_ms', 20000]});
  const wire = await Wire.open(quick.ws + path + 'websocket');
  const start = Date.now();

  await wire.end();
  const took = Date.now() - start;
  assert.ok(took > 200 && took < 3000, `${took} ms`);
  const open = await fetchRaw(quick, path + 'polling');
  const url = path + 'polling&sid=' + JSON.parse(open.body.slice(1)).sid;
  const poll = await fetchRaw(quick, url);
  assert.equal(poll.body, '1');
  assert.equal((await fetchRaw(quick, url)).status, 400);
  const refused = dial(quick, {auth: {token: 'bad'}});
  await next(refused, 'connect_error');
  await until(() => !refused.io.engine || refused.io.engine.readyState ===
    'closed', 'the session of who was refused ends');
  await quick.stop();
});
