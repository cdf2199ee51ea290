/*
 * verdict.test.mjs - clients of every dialect that are kept waiting for
 * their verdict: it comes, it comes too late, or they leave before it does.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import {after, afterEach, before, beforeEach, test} from 'node:test';
import {Wire, ask, connect, connected, dial, fetchRaw, hangUp, hangUpWires,
  next, sleep, startServer, transports, until} from './servers.mjs';

const path = '/socket.io/?EIO=4&transport=';
const auth = {token: 'hold:ann'};
let server, boss;

before(async () => {
  server = await startServer('events_server', {flags: ['--verdict_ms', 1000,
    '--ping_ms', 300]});
});

after(async () => {
  await server.stop();
});

beforeEach(async () => {
  boss = await connect(server);
});

afterEach(async () => {
  if (boss.connected)
    await release();
  hangUp();
  hangUpWires();
});

const held = (n) => until(async () => await ask(boss, 'held') === n,
  `${n} are held`);
const release = () => ask(boss, 'release');

/* Who left before its verdict: it has no peer, or one that goes at once. */
async function watch() {
  const gone = [];

  boss.on('log', ({what, user}) => {
    if (what === 'close' && user === 'gone')
      gone.push(user);
  });
  await ask(boss, 'join', 'log');
  return (result) => result === 0
    ? until(() => gone.length === 1, 'its end') : assert.equal(result, -4);
}

async function open() {
  const wire = await Wire.open(server.ws + path + 'websocket');

  await wire.next();
  return wire;
}

for (const [transport, how] of Object.entries(transports))
  test(`it comes, ${transport}`, async () => {
    const socket = dial(server, {...how, auth});
    await held(1);
    await sleep(700); /* pings and the upgrade go on meanwhile */
    assert.equal(socket.connected, false);
    assert.deepEqual(await release(), [0]);
    await connected(socket);
    assert.equal((await ask(socket, 'whoami')).user, 'ann');
  });

for (const [transport, how] of Object.entries(transports))
  test(`the client has left, ${transport}`, async () => {
    const socket = dial(server, {...how, auth});
    await held(1);
    socket.io.engine.close();
    socket.disconnect();
    await sleep(100);
    assert.deepEqual(await release(), [-4]);
    assert.equal(await ask(boss, 'ask', 1), 1);
  });

test('another namespace opens meanwhile', async () => {
  const wire = await open();

  wire.send('40/private,{"token":"hold:ann"}', '40',
    '42["ask","not for the one that waits"]', '421["ask",1]');
  assert.match(await wire.nextEvent(), /^40\{"sid":/);
  assert.equal(await wire.nextEvent(), '431[1]');
  assert.deepEqual(await release(), [0]);
  assert.match(await wire.nextEvent(), /^40\/private,\{"sid":/);
});

test('an event before the verdict closes', async () => {
  const wire = await open();

  wire.send('40/private,{"token":"hold:ann"}', '40');
  assert.match(await wire.nextEvent(), /^40\{"sid":/);
  wire.send('42/private,["ask"]');
  await wire.end();
  await release();
});

test('a second CONNECT before the verdict closes', async () => {
  const wire = await open();

  wire.send('40{"token":"hold:ann"}', '40{"token":"hold:ann"}');
  await wire.end();
  assert.deepEqual(await release(), [-4]);
});

test('DISCONNECT before the verdict', async () => {
  const wire = await open();

  wire.send('40', '40/private,{"token":"hold:ann"}');
  assert.match(await wire.nextEvent(), /^40\{"sid":/);
  wire.send('41/private,');
  await sleep(50);
  const [result] = await release();
  if (wire.socket.readyState === 1 && result === 0)
    assert.match(await wire.nextEvent(), /^40\/private,\{"sid":/);
  assert.equal(await ask(boss, 'ask', 1), 1);
});

test('it takes too long', async () => {
  const socket = dial(server, {auth, reconnection: false});
  const [error] = await next(socket, 'connect_error');

  assert.ok(error.message.length > 0);
  assert.deepEqual(await release(), [-4]);
});

test('the upgrade is made while it is awaited', async () => {
  const open = await fetchRaw(server, path + 'polling');
  const {sid} = JSON.parse(open.body.slice(1));
  const url = path + 'polling&sid=' + sid;

  await fetchRaw(server, url, {method: 'POST',
    body: '40{"token":"hold:ann"}'});
  const wire = await Wire.open(server.ws + path + 'websocket&sid=' + sid);
  wire.send('2probe');
  assert.equal(await wire.next(), '3probe');
  wire.send('5');
  await held(1);
  await sleep(20);
  assert.deepEqual(await release(), [0]);
  assert.match(await wire.nextEvent(), /^40\{"sid":/);
  wire.send('421["whoami"]');
  assert.match(await wire.nextEvent(), /"transport":"websocket"/);
});

test('in the JSON envelope', async () => {
  const leaves = await watch();
  const wires = [];

  for (let i = 0; i < 3; i++) {
    const wire = await Wire.open(server.ws + '/ws');
    wire.send(JSON.stringify({open: {token: i === 1 ? 'hold:gone'
      : 'hold:ann'}}));
    wires.push(wire);
    await held(i + 1);
  }
  wires[1].socket.terminate();
  await sleep(100);
  const [first, second, third] = await release();
  assert.deepEqual([first, third], [0, 0]);
  assert.match(await wires[0].next(), /^\{"open":"/);
  assert.match(await wires[2].next(), /^\{"open":"/);
  await leaves(second);
});

test('in the JSON envelope it takes too long', async () => {
  const wire = await Wire.open(server.ws + '/ws');

  wire.send(JSON.stringify({open: auth}));
  const {error} = JSON.parse(await wire.next());
  assert.equal(error.code, 'unavailable');
  const {code} = await wire.end();
  assert.ok(code < 4500, `${code} would be final`);
});

test('on a stream, and a POST', async () => {
  const leaves = await watch();
  const get = (target) => new Promise((resolve) => {
    const request = http.get({host: '127.0.0.1', port: server.port,
      path: target, agent: false}, (response) => {
      request.response = response;
      resolve(response.statusCode);
      request.destroy();
    });
    request.on('error', () => resolve(0));
    requests.push(request);
  });
  const requests = [];
  const statuses = [get('/events/a?token=hold:ann'),
    get('/events/b?token=hold:gone')];

  await held(2);
  const post = fetchRaw(server, '/events/x?token=hold:bob', {method: 'POST',
    body: '{"event":"whoami"}'});
  await held(3);
  requests[1].destroy();
  await sleep(100);
  const [first, second, third] = await release();
  assert.deepEqual([first, third], [0, 0]);
  await leaves(second);
  assert.equal(await statuses[0], 200);
  const [me] = JSON.parse((await post).body).args;
  assert.equal(me.user, 'bob');

  assert.equal(await get('/events/a?token=hold:ann'), 503);
  await release();
});

test('a server that ends while somebody waits', async () => {
  const wire = await open();
  const other = await Wire.open(server.ws + '/ws');

  wire.send('40{"token":"hold:ann"}');
  other.send(JSON.stringify({open: auth}));
  http.get({host: '127.0.0.1', port: server.port, agent: false,
    path: '/events/a?token=hold:ann'}).on('error', () => {});
  await held(3);
  const {port} = server;
  await server.stop();
  server = await startServer('events_server', {port});
});
