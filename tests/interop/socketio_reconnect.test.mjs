/*
 * socketio_reconnect.test.mjs - stock clients over a server that restarts, a
 * line that falls silent, and clients of another age.
 */
import assert from 'node:assert/strict';
import {after, afterEach, before, test} from 'node:test';
import io2 from 'socket.io-client-2';
import {Proxy, ask, connect, connected, dial, fetchRaw, hangUp, next, sleep,
  startServer, transports, until} from './servers.mjs';

const again = {reconnection: true, reconnectionDelay: 50,
  reconnectionDelayMax: 100};
const flags = ['--ping_ms', 300, '--pong_ms', 200];
let server, calm;

before(async () => {
  server = await startServer('events_server', {flags});
  calm = await startServer('events_server');
});

after(async () => {
  await server.stop();
  await calm.stop();
});

afterEach(hangUp);

for (const [transport, how] of Object.entries(transports))
  test(`a server that restarts gets its clients back, ${transport}`,
    async () => {
      const socket = await connect(server, {...how, ...again});
      const {id} = socket;
      const gone = next(socket, 'disconnect', 8000);

      await server.stop();
      const [reason] = await gone;
      assert.ok(['transport close', 'transport error'].includes(reason),
        reason + ' would be final');
      const answers = [1, 2, 3].map((n) => socket.emitWithAck('ask', n));
      server = await startServer('events_server', {port: server.port, flags});
      assert.deepEqual(await Promise.all(answers), [1, 2, 3]);
      assert.notEqual(socket.id, id);
    });

test('a server that crashes gets its clients back', async () => {
  const socket = await connect(server, again);
  const gone = next(socket, 'disconnect');

  await server.kill();
  await gone;
  server = await startServer('events_server', {port: server.port, flags});
  await connected(socket);
  assert.equal(await ask(socket, 'ask', 1), 1);
});

test('a line that falls silent ends with a ping timeout, at both ends',
  async () => {
    const proxy = await Proxy.open(server.port);
    const watcher = await connect(server);
    const log = [];

    watcher.on('log', (entry) => {
      if (entry.what === 'close')
        log.push(entry.reason);
    });
    await ask(watcher, 'join', 'log');
    for (const how of Object.values(transports)) {
      const socket = await connect(proxy, how);
      const gone = next(socket, 'disconnect');
      proxy.hush();
      const [reason] = await gone;
      assert.equal(reason, 'ping timeout');
      await until(() => log.length > 0, 'the notice');
      assert.equal(log.shift(), 'ping timeout');
      proxy.cut();
      await proxy.heal();
    }
    proxy.cut();
  });

test('retries deliver each event once', async () => {
  const proxy = await Proxy.open(server.port);
  const watcher = await connect(server);
  const socket = await connect(proxy, {...again, retries: 5,
    ackTimeout: 300});

  await ask(watcher, 'join', 'sink');
  const got = [];
  watcher.on('n', (n) => got.push(n));
  const sent = [1, 2, 3, 4, 5].map((n) => new Promise((done) =>
    socket.emit('emit', {name: 'n', rooms: ['sink'], args: [n]}, done)));
  await Promise.all(sent);
  await until(() => got.length >= 5, 'the events'); /* another socket's */
  await ask(watcher, 'join', 'sink'); /* what would come twice is here now */
  assert.deepEqual(got, [1, 2, 3, 4, 5]);
  proxy.cut();
});

test('a client of protocol 3 is refused with code 5', async () => {
  const reply = await fetchRaw(server,
    '/socket.io/?EIO=3&transport=polling&t=1&b64=1');

  assert.equal(reply.status, 400);
  assert.deepEqual(JSON.parse(reply.body),
    {code: 5, message: 'Unsupported protocol version'});
  for (const how of Object.values(transports)) {
    const socket = io2(server.url, {...how, forceNew: true,
      reconnection: false});
    const error = await new Promise((resolve, reject) => {
      socket.once('connect_error', resolve);
      socket.once('connect', () => reject(new Error('it connected')));
    });
    if (how.transports?.[0] !== 'websocket')
      assert.equal(error.description, 400);
    socket.close();
  }
});

test('many clients at once', async () => {
  const sockets = [...Array(100).keys()].map((i) => dial(calm,
    Object.values(transports)[i % 3]));

  await Promise.all(sockets.map(connected));
  await Promise.all(sockets.map((socket) => ask(socket, 'join', 'many')));
  const heard = Promise.all(sockets.map((socket) => next(socket, 'hi')));
  await ask(sockets[0], 'emit', {name: 'hi', rooms: ['many'], args: [1]});
  for (const got of await heard)
    assert.deepEqual(got, [1]);
  assert.equal(new Set(sockets.map((socket) => socket.id)).size, 100);
  hangUp();
  const last = await connect(calm);
  await until(async () => (await ask(last, 'members', 'many')).length === 0,
    'an empty room');
});

test('clients that come and go leave nothing behind', async () => {
  const last = await connect(calm);

  for (let i = 0; i < 30; i++) {
    const socket = dial(calm, Object.values(transports)[i % 3]);
    if (i % 2)
      await connected(socket);
    else
      await sleep(i);
    if (socket.connected)
      await ask(socket, 'join', 'passing');
    socket.disconnect();
  }
  await until(async () => (await ask(last, 'members', 'passing')).length === 0,
    'an empty room');
});
