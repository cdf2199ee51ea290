/*
 * ws_server.test.mjs - build/tests/interop/dialer dials servers of npm ws.
 */
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {createServer} from 'node:http';
import {test} from 'node:test';
import {WebSocketServer} from 'ws';
import {dialer, freePort} from './harness.mjs';

/* An echo server of npm ws; |behave| may do more with each socket. */
async function startServer(options = {}, behave = () => {}) {
  const server = new WebSocketServer({port: 0, host: '127.0.0.1',
    maxPayload: 1 << 26, ...options});
  const closes = [];

  server.on('connection', (socket, request) => {
    socket.on('error', (error) => closes.push(error));
    socket.on('close', (code, reason) =>
      closes.push({code, reason: reason.toString()}));
    if (behave(socket, request) !== false)
      socket.on('message', (data, binary) => socket.send(data, {binary}));
  });
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${server.address().port}/echo?x=1`,
    closes,
    stop() {
      for (const socket of server.clients)
        socket.terminate();
      return new Promise((resolve) => server.close(resolve));
    }
  };
}

async function check(options, behave, ...flags) {
  const server = await startServer(options, behave);

  try {
    const {status, output} = await dialer(server.url, ...flags);
    assert.equal(status, 0, output);
    for (let i = 0; server.closes.length === 0 && i < 100; i++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return server.closes;
  } finally {
    await server.stop();
  }
}

const allGood = [{code: 1000, reason: 'all is well'}];

const servers = {
  'without compression': {perMessageDeflate: false},
  'deflate as ws does it': {perMessageDeflate: true},
  'deflate with context takeover': {perMessageDeflate: {threshold: 0}},
  'deflate without context takeover': {perMessageDeflate: {threshold: 0,
    serverNoContextTakeover: true, clientNoContextTakeover: true}},
  'deflate with windows of 9 bits': {perMessageDeflate: {threshold: 0,
    serverMaxWindowBits: 9, clientMaxWindowBits: 9}},
  'deflate with windows of 11 and 12 bits': {perMessageDeflate: {threshold: 0,
    serverMaxWindowBits: 11, clientMaxWindowBits: 12}}
};
const clients = {
  'plain': [],
  '--deflate': ['--deflate'],
  '--deflate --no-takeover': ['--deflate', '--no-takeover'],
  '--deflate --bits 12': ['--deflate', '--bits', 12],
  '--deflate, 16 on their way': ['--deflate', '--window', 16]
};

for (const [server, options] of Object.entries(servers)) {
  for (const [client, flags] of Object.entries(clients)) {
    test(`dialer ${client}, ws ${server}`, async () => {
      let extensions = '';
      const closes = await check(options, (socket) => {
        extensions = socket.extensions;
      }, '--messages', 60, ...flags);
      assert.deepEqual(closes, allGood);
      assert.equal(extensions !== '',
        flags.length > 0 && options.perMessageDeflate !== false, extensions);
    });
  }
}

test('many messages, all at once', async () => {
  assert.deepEqual(await check({}, undefined, '--messages', 300, '--window',
    300), allGood);
});

test('echoes in fragments, with pings between them', async () => {
  let pongs = 0;
  const closes = await check({perMessageDeflate: {threshold: 0}}, (socket) => {
    socket.on('pong', () => pongs++);
    socket.on('message', (data, binary) => {
      const third = Math.ceil(data.length / 3);
      socket.send(data.subarray(0, third), {binary, fin: false});
      socket.ping('between');
      socket.send(data.subarray(third, 2 * third), {binary, fin: false});
      socket.send(data.subarray(2 * third), {binary, fin: true});
    });
    return false;
  }, '--deflate', '--messages', 45);
  assert.deepEqual(closes, allGood);
  assert.ok(pongs >= 40, `${pongs} pongs`);
});

test('the server closes, with codes of its own', async () => {
  for (const code of [1000, 1001, 1008, 1011, 1013, 3000, 4999]) {
    const closes = await check({}, (socket) => {
      let count = 0;
      socket.on('message', () => {
        if (++count === 10)
          setImmediate(() => socket.close(code, 'because'));
      });
    }, '--messages', 10, '--expect-code', code);
    assert.equal(closes[0].code, code);
  }
});

test('a server that leaves without a word', async () => {
  await check({}, (socket) => {
    let count = 0;
    socket.on('message', () => {
      if (++count === 10)
        setTimeout(() => socket.terminate(), 50);
    });
  }, '--messages', 10, '--expect-code', 1006);
});

test('subprotocols are offered and checked', async () => {
  let offered = '';
  await check({handleProtocols: (protocols) => {
    offered = [...protocols].join();
    return 'chat.v1';
  }}, undefined, '--protocol', 'chat.v1', '--messages', 3);
  assert.equal(offered, 'chat.v1');
});

test('a subprotocol that was not offered ends the handshake', async () => {
  const server = createServer().on('upgrade', (request, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
      'Connection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n');
  }).listen(0, '127.0.0.1');

  await once(server, 'listening');
  try {
    const {status} = await dialer(`ws://127.0.0.1:${server.address().port}/`);
    assert.equal(status, 1);
  } finally {
    server.closeAllConnections?.();
    server.close();
  }
});

test('a refused handshake tells its status', async () => {
  const server = await startServer({verifyClient: (info, verdict) =>
    verdict(false, 403, 'Forbidden')});

  try {
    const {status, output} = await dialer(server.url, '--expect-status', 403);
    assert.equal(status, 0, output);
  } finally {
    await server.stop();
  }
});

test('nobody listens', async () => {
  const {status, output} =
    await dialer(`ws://127.0.0.1:${await freePort()}/`);
  assert.equal(status, 1);
  assert.match(output, /could not be reached/);
});

test('a wrong echo is noticed', async () => {
  const server = await startServer({}, (socket) => {
    socket.on('message', (data, binary) => {
      if (data.length > 100)
        data[100] ^= 1;
      socket.send(data, {binary});
    });
    return false;
  });

  try {
    const {status, output} = await dialer(server.url);
    assert.equal(status, 1);
    assert.match(output, /the echo has other bytes/);
  } finally {
    await server.stop();
  }
});

/* A fuzzing server of three cases, with the paths of Autobahn's. */
test('dialer --autobahn runs all cases and asks for the report', async () => {
  const visited = [];
  const echoed = [];
  const server = await startServer({perMessageDeflate: true},
    (socket, request) => {
      visited.push(request.url);
      if (request.url === '/getCaseCount') {
        socket.send('3');
        socket.close(1000);
      } else if (request.url.startsWith('/runCase')) {
        socket.on('message', (data, binary) => {
          echoed.push(binary ? [...data] : data.toString());
          if (echoed.length % 3 === 0)
            socket.close(1000);
        });
        socket.send('text');
        socket.send(Buffer.from([1, 2, 3]));
        socket.send('', {fin: true});
      } else {
        socket.close(1000);
      }
      return false;
    });

  try {
    const base = server.url.replace(/\/echo.*/, '');
    const {status, output} = await dialer('--autobahn', base, '--deflate');
    assert.equal(status, 0, output);
    assert.match(output, /3 cases were run/);
    assert.deepEqual(visited, ['/getCaseCount',
      '/runCase?case=1&agent=rill', '/runCase?case=2&agent=rill',
      '/runCase?case=3&agent=rill', '/updateReports?agent=rill']);
    assert.deepEqual(echoed, Array(3).fill(['text', [1, 2, 3], '']).flat());
  } finally {
    await server.stop();
  }
});
