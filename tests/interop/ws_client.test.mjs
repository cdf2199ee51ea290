/*
 * ws_client.test.mjs - npm ws dials build/examples/echo_server.
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, before, describe, test} from 'node:test';
import WebSocket from 'ws';
import {build, makeBinary, makeText, root, sizes, startEcho} from
  './harness.mjs';

/* Messages are kept from the start, so that none is missed. */
class Client {
  #messages = [];
  #waiting = [];

  static async open(url, options = {}, protocols = []) {
    const client = new Client();

    client.socket = new WebSocket(url, protocols,
      {maxPayload: 1 << 26, ...options});
    client.closed = once(client.socket, 'close').then(
      ([code, reason]) => ({code, reason: reason.toString()}));
    client.closed.catch(() => {});
    client.socket.on('message', (data, binary) => {
      const waiting = client.#waiting.shift();
      if (waiting)
        waiting({data, binary});
      else
        client.#messages.push({data, binary});
    });
    await once(client.socket, 'open');
    return client;
  }

  next() {
    if (this.#messages.length > 0)
      return this.#messages.shift();
    return Promise.race([
      new Promise((resolve) => this.#waiting.push(resolve)),
      this.closed.then(({code}) => { throw new Error('closed: ' + code); })
    ]);
  }

  async echo(data, options) {
    const binary = typeof data !== 'string';

    this.socket.send(data, options);
    const answer = await this.next();
    assert.equal(answer.binary, binary, 'the kind');
    assert.ok(answer.data.equals(Buffer.from(data)),
      `${answer.data.length} bytes came back for ${Buffer.byteLength(data)}`);
  }

  async close(code = 1000, reason = '') {
    this.socket.close(code, reason);
    const closed = await this.closed;
    assert.equal(closed.code, code);
    return closed;
  }
}

const variants = {
  'without compression': false,
  'deflate as ws does it': true,
  'deflate with context takeover': {threshold: 0},
  'deflate without context takeover': {threshold: 0,
    serverNoContextTakeover: true, clientNoContextTakeover: true},
  'deflate, only the server starts afresh': {threshold: 0,
    serverNoContextTakeover: true},
  'deflate, only the client starts afresh': {threshold: 0,
    clientNoContextTakeover: true},
  'deflate with windows of 9 bits': {threshold: 0, serverMaxWindowBits: 9,
    clientMaxWindowBits: 9},
  'deflate with windows of 10 and 15 bits': {threshold: 0,
    serverMaxWindowBits: 10, clientMaxWindowBits: 15},
  'deflate at level 9': {threshold: 0, zlibDeflateOptions: {level: 9}}
};

for (const deflating of [false, true]) {
  describe(deflating ? 'echo_server --deflate' : 'echo_server', () => {
    let server;

    before(async () => {
      server = await startEcho(...(deflating ? ['--deflate'] : []),
        '--metrics');
    });
    after(() => server.stop());

    for (const [name, perMessageDeflate] of Object.entries(variants)) {
      test('ws ' + name, async () => {
        const client = await Client.open(server.url, {perMessageDeflate});
        const wanted = deflating && perMessageDeflate !== false;

        assert.equal(client.socket.extensions.startsWith('permessage-deflate'),
          wanted, 'extensions: ' + client.socket.extensions);
        for (const [index, size] of sizes.entries()) {
          await client.echo(makeText(size, index));
          await client.echo(makeBinary(size, index, true));
          await client.echo(makeBinary(size, index, false));
        }
        await client.close();
      });

      test('ws many at once ' + name, async () => {
        const client = await Client.open(server.url, {perMessageDeflate});
        const messages = [];

        for (let i = 0; i < 500; i++) {
          const size = (i * 7919) % 3000;
          messages.push(i % 2 ? makeText(size, i) : makeBinary(size, i, true));
        }
        for (const message of messages)
          client.socket.send(message);
        for (const message of messages) {
          const {data, binary} = await client.next();
          assert.equal(binary, typeof message !== 'string');
          assert.ok(data.equals(Buffer.from(message)));
        }
        await client.close();
      });
    }

    if (deflating) {
      test('context takeover makes repeated messages small', async () => {
        const message = makeBinary(2000, 7, false);
        const received = async (perMessageDeflate) => {
          const client = await Client.open(server.url, {perMessageDeflate});
          const before = client.socket._socket.bytesRead;
          for (let i = 0; i < 10; i++)
            await client.echo(message);
          const bytes = client.socket._socket.bytesRead - before;
          await client.close();
          return bytes;
        };

        const kept = await received({threshold: 0});
        const fresh = await received({threshold: 0,
          serverNoContextTakeover: true});
        assert.ok(kept < 4000, `${kept} bytes with the window kept`);
        assert.ok(fresh > 18000, `${fresh} bytes without`);
      });
    }

    test('fragments are put together', async () => {
      for (const perMessageDeflate of [false, {threshold: 0}]) {
        const client = await Client.open(server.url, {perMessageDeflate});
        const text = Buffer.from(makeText(5000, 3));
        const bytes = makeBinary(70000, 4, true);

        /* cuts characters too; the last fragment is empty */
        for (let i = 0; i < text.length; i += 99)
          client.socket.send(text.subarray(i, i + 99),
            {binary: false, fin: false});
        client.socket.send('', {fin: true});
        let answer = await client.next();
        assert.equal(answer.binary, false);
        assert.ok(answer.data.equals(text));

        for (let i = 0; i < bytes.length; i += 999)
          client.socket.send(bytes.subarray(i, i + 999),
            {fin: i + 999 >= bytes.length});
        answer = await client.next();
        assert.equal(answer.binary, true);
        assert.ok(answer.data.equals(bytes));
        await client.close();
      }
    });

    test('pings are answered, between fragments too', async () => {
      const client = await Client.open(server.url);
      const payloads = ['', 'x', 'p'.repeat(125)];

      for (const payload of payloads) {
        client.socket.ping(payload);
        const [data] = await once(client.socket, 'pong');
        assert.equal(data.toString(), payload);
      }
      client.socket.send('one ', {fin: false});
      client.socket.ping('between');
      const [data] = await once(client.socket, 'pong');
      assert.equal(data.toString(), 'between');
      client.socket.send('message', {fin: true});
      assert.equal((await client.next()).data.toString(), 'one message');
      client.socket.pong('unasked');
      await client.echo('still here');
      await client.close();
    });

    test('close codes come back', async () => {
      for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
        1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
        const client = await Client.open(server.url);
        await client.close(code, 'reason ' + code);
      }
      const client = await Client.open(server.url);
      client.socket.close();
      assert.equal((await client.closed).code, 1005);
    });

    test('what is queued is sent before the close', async () => {
      const client = await Client.open(server.url);

      for (let i = 0; i < 100; i++)
        client.socket.send('m' + i);
      client.socket.close(1000);
      for (let i = 0; i < 100; i++)
        assert.equal((await client.next()).data.toString(), 'm' + i);
      assert.equal((await client.closed).code, 1000);
    });

    test('every path is served, and metrics are', async () => {
      const client = await Client.open(server.url + 'some/path?with=query');
      await client.echo('hello');
      await client.close();
      const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`);
      const text = await answer.text();
      assert.equal(answer.status, 200);
      assert.match(text, /^# TYPE rill_peers gauge\nrill_peers \d+$/m);
      assert.match(text, /^rill_messages_in_total [1-9]\d*$/m);
    });
  });
}

describe('limits of echo_server', () => {
  test('--max-message closes with 1009', async () => {
    const server = await startEcho('--max-message', '1000', '--deflate');

    try {
      for (const perMessageDeflate of [false, {threshold: 0}]) {
        for (const fill of ['x', 'z']) {
          const client = await Client.open(server.url, {perMessageDeflate});
          await client.echo(fill.repeat(999));
          await client.echo(fill.repeat(1000));
          client.socket.send(fill.repeat(1001));
          assert.equal((await client.closed).code, 1009);
        }
      }
    } finally {
      await server.stop();
    }
  });

  test('--max-fragments closes with 1008', async () => {
    const server = await startEcho('--max-fragments', '4');

    try {
      for (const count of [3, 4]) {
        const client = await Client.open(server.url);
        for (let i = 1; i <= count; i++)
          client.socket.send('f', {fin: i === count});
        assert.equal((await client.next()).data.length, count);
        await client.close();
      }
      const client = await Client.open(server.url);
      for (let i = 1; i <= 5; i++)
        client.socket.send('f', {fin: i === 5});
      assert.equal((await client.closed).code, 1008);
    } finally {
      await server.stop();
    }
  });

  test('--idle cuts who does not answer, and nobody else', async () => {
    const server = await startEcho('--idle', '1');

    try {
      const lively = await Client.open(server.url);
      const dead = await Client.open(server.url, {autoPong: false});
      let pings = 0;

      lively.socket.on('ping', () => pings++);
      const started = Date.now();
      const {code} = await dead.closed;
      const took = Date.now() - started;
      assert.equal(code, 1006);
      assert.ok(took >= 450 && took < 3000, `cut after ${took} ms`);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.ok(pings >= 2, `${pings} pings`);
      await lively.echo('still here');
      await lively.close();
    } finally {
      await server.stop();
    }
  });

  test('--broadcast sends to all, compressed or not', async () => {
    const server = await startEcho('--broadcast', '--deflate');

    try {
      const clients = [];
      for (const perMessageDeflate of [false, true, {threshold: 0},
        {serverNoContextTakeover: true}, {serverMaxWindowBits: 9}])
        clients.push(await Client.open(server.url, {perMessageDeflate}));
      for (const [index, size] of [0, 10, 500, 5000, 100000].entries()) {
        for (const sender of clients) {
          const text = makeText(size, index);
          sender.socket.send(text);
          for (const client of clients) {
            const {data, binary} = await client.next();
            assert.equal(binary, false);
            assert.ok(data.equals(Buffer.from(text)));
          }
        }
      }
      for (const client of clients)
        await client.close();
    } finally {
      await server.stop();
    }
  });

  test('SIGTERM closes with 1001 and ends with 0', async () => {
    const server = await startEcho();
    const client = await Client.open(server.url);

    await client.echo('hello');
    const stopped = server.stop();
    assert.equal((await client.closed).code, 1001);
    await stopped;
  });
});

describe('the programs', () => {
  test('echo serves a Unix socket', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'rill-'));
    const socket = path.join(folder, 'echo.sock');
    const child = spawn(path.join(build, 'examples/echo'),
      ['--listen', 'unix:' + socket], {stdio: ['ignore', 'pipe', 'inherit']});
    const exited = once(child, 'exit');

    try {
      const [line] = await once(child.stdout, 'data');
      assert.equal(line.toString(), `listening on unix:${socket}\n`);
      const client = await Client.open(`ws+unix:${socket}:/`);
      for (const [index, size] of sizes.entries())
        if (size <= 200000)
          await client.echo(makeText(size, index));
      child.kill('SIGTERM');
      assert.equal((await client.closed).code, 1001);
      assert.deepEqual(await exited, [0, null]);
    } finally {
      child.kill('SIGKILL');
      await rm(folder, {recursive: true});
    }
  });

  for (const name of ['echo', 'echo_server', 'chat']) {
    test(`${name} --help, and a flag that it does not know`, async () => {
      const run = async (...flags) => {
        const child = spawn(path.join(build, 'examples', name), flags,
          {timeout: 10000, cwd: root});
        let text = '';
        child.stdout.on('data', (bytes) => { text += bytes; });
        child.stderr.on('data', (bytes) => { text += bytes; });
        const [status] = await once(child, 'close');
        return {status, text};
      };

      const help = await run('--help');
      assert.equal(help.status, 0);
      assert.match(help.text, /^usage: .*--listen/s);
      const wrong = await run('--no-such-flag');
      assert.ok(wrong.status > 0);
      assert.match(wrong.text, /usage: /);
      const nowhere = await run('--listen', 'tcp://nowhere');
      assert.equal(nowhere.status, 1);
      assert.match(nowhere.text, /tcp:\/\/nowhere: /);
    });
  }
});
