/*
 * socketio_events.test.mjs - stock socket.io-client: everything twice over,
 * with the JSON and the msgpack parser, by polling, by WebSocket and with
 * the upgrade between them.
 */
import assert from 'node:assert/strict';
import {after, afterEach, before, describe, test} from 'node:test';
import {makeBinary, makeText} from './harness.mjs';
import {ask, connect, connected, dial, hangUp, next, parsers, sleep,
  startServer, transports, until} from './servers.mjs';

const max = 200000;
let server;

before(async () => {
  server = await startServer('events_server', {flags: ['--ping_ms', 300,
    '--payload_bytes', max]});
});

after(async () => {
  await server.stop();
});

afterEach(hangUp);

const values = {
  'no arguments': [],
  'null and booleans': [null, true, false],
  'whole numbers': [0, 1, -1, 127, 128, 255, 256, -32, -33, -128, -129, 65535,
    65536, -32769, 2147483647, -2147483648, 4294967295, 4294967296,
    Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  'other numbers': [0.5, -0.25, 1e100, 5e-324, 1.7976931348623157e308,
    0.1 + 0.2, 123456789.123, 1e21, 2 ** 60],
  'strings': ['', 'a', 'ä€😀', '"\\/\b\f\n\r\t', '\u0000\u001f\u007f', '\u2028',
    'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(255), 'x'.repeat(256),
    'x'.repeat(70000)],
  'arrays': [[], [[]], [1, [2, [3, [4]]]], Array(20).fill(0),
    [...Array(300).keys()]],
  'objects': [{}, {a: {}}, {b: 1, a: 2, '': 3, 'ä': [{}]}, {'1': 1, '0': 0},
    Object.fromEntries([...Array(40).keys()].map((i) => ['k' + i, i]))],
  'bytes': [Buffer.from([0, 1, 2, 255]), {a: [Buffer.from('x')],
    b: {c: Buffer.alloc(0)}}, [Buffer.alloc(300, 7), makeBinary(70000, 1)]]
};

/* Bytes come as Buffer from JSON's attachments and from msgpack. */
/* What notepack writes of whole numbers beyond 64 bits is garbage. */
const valuesFor = (parserName) => parserName === 'json' ? values
  : {...values, 'other numbers': values['other numbers'].filter((n) =>
    !Number.isInteger(n) || n < 2 ** 63)};

const same = (got, want, what) => assert.deepEqual(got, want, what);

for (const [parserName, parser] of Object.entries(parsers))
  for (const [transport, how] of Object.entries(transports))
    describe(`${parserName} by ${transport}`, () => {
      const options = {parser, ...how};
      const join = (more) => connect(server, {...options, ...more});

      test('who one is', async () => {
        const watcher = await connect(server);
        await ask(watcher, 'join', 'log');
        const opened = next(watcher, 'log');
        const socket = await join({auth: {token: 'user:ann'}});
        const me = await ask(socket, 'whoami');
        const [entry] = await opened;

        assert.deepEqual([entry.what, entry.sid, entry.user, entry.transport],
          ['open', socket.id, 'ann',
            transport === 'websocket' ? 'websocket' : 'polling']);

        assert.match(socket.id, /^[\w-]{20}$/);
        assert.deepEqual(me, {sid: socket.id, user: 'ann', space: '/',
          transport: transport === 'upgrade' ? 'websocket' : transport,
          address: '127.0.0.1', found: true});
        assert.ok(!socket.recovered);
      });

      test('every kind of value, both ways', async () => {
        const socket = await join();

        for (const [what, args] of Object.entries(
          valuesFor(parserName))) {
          const echo = next(socket, 'echo');
          socket.emit('echo', ...args);
          same(await echo, args, what);
          for (const arg of args)
            same(await ask(socket, 'ask', arg), arg, what);
        }
      });

      test('refused, with data', async () => {
        for (const token of ['bad', 'bad-late']) {
          const socket = dial(server, {...options, auth: {token}});
          const [error] = await next(socket, 'connect_error');
          assert.equal(error.message, 'not authorized');
          assert.deepEqual(error.data, {code: 'E_TOKEN', retry: false});
          assert.equal(socket.connected, false);
        }
      });

      test('accepted a turn later', async () => {
        const socket = await join({auth: (done) => done({token: 'late:bob'})});

        assert.equal((await ask(socket, 'whoami')).user, 'bob');
      });

      test('an answer later, none, an error', async () => {
        const socket = await join();

        assert.equal(await ask(socket, 'ask-late'), 'late');
        await assert.rejects(
          socket.timeout(150).emitWithAck('never'), /timed out/);
        const failed = await ask(socket, 'fail');
        assert.equal(failed.error.code, 'nope');
        assert.equal(failed.error.message, 'it was told to fail');
        const told = next(socket, 'error');
        socket.emit('fail');
        assert.deepEqual((await told)[0], {code: 'nope',
          message: 'it was told to fail', event: 'fail'});
      });

      test('the server asks', async () => {
        const socket = await join();
        const cmd = {name: 'q', args: [{x: 1}, Buffer.from('b')],
          sids: [socket.id], ask: 2000};

        socket.once('q', (...args) => args.pop()(args));
        const outcome = await ask(socket, 'emit', cmd);
        assert.equal(outcome.status, 0);
        assert.equal(outcome.missing, 0);
        same(outcome.answers[0].args, [cmd.args]);

        socket.once('q', () => {});
        const start = Date.now();
        const late = await ask(socket, 'emit', {...cmd, ask: 200});
        assert.equal(late.status, -14);
        assert.equal(late.missing, 1);
        assert.deepEqual(late.answers, []);
        assert.ok(Date.now() - start >= 195);
      });

      test('all are asked, some answer', async () => {
        const members = await Promise.all([join(), join(), join()]);
        const [first, second, third] = members;
        const room = `asked-${parserName}-${transport}`;
        const cmd = {name: 'q', rooms: [room], ask: 3000};

        for (const socket of members)
          await ask(socket, 'join', room);
        first.on('q', (done) => done('first'));
        second.on('q', (done) => done('second'));
        third.once('q', () => third.disconnect());
        const gone = await ask(first, 'emit', cmd);
        assert.deepEqual(gone.answers.map((a) => a.args[0]).sort(),
          ['first', 'second']);
        assert.equal(gone.missing, 1);
        assert.equal(gone.status, -4, 'who has left is told at once');
        const all = await ask(first, 'emit', cmd);
        assert.equal(all.status, 0);
        assert.equal(all.answers.length, 2);
      });

      test('rooms, and who is left out', async () => {
        const [a, b, c] = await Promise.all([join(), join(), join()]);
        const room = `room-${parserName}-${transport}`;
        const got = {a: [], b: [], c: []};

        for (const [name, socket] of Object.entries({a, b, c}))
          socket.on('hi', (text) => got[name].push(text));
        await ask(a, 'join', room);
        await ask(b, 'join', room);
        await ask(c, 'join', room + '2');
        await ask(b, 'join', room + '2');
        assert.deepEqual((await ask(a, 'members', room)).sort(),
          [a.id, b.id].sort());
        assert.deepEqual((await ask(b, 'rooms')).sort(),
          [room, room + '2']);
        await ask(a, 'emit', {name: 'hi', args: [1], rooms: [room]});
        await ask(a, 'emit', {name: 'hi', args: [2], rooms: [room],
          except_me: true});
        await ask(a, 'emit', {name: 'hi', args: [3],
          rooms: [room, room + '2']});
        await ask(a, 'emit', {name: 'hi', args: [4], rooms: [room],
          except_rooms: [room + '2']});
        await ask(a, 'emit', {name: 'hi', args: [5], sids: [c.id]});
        await ask(a, 'leave', room);
        await ask(a, 'emit', {name: 'hi', args: [6], rooms: [room]});
        for (const socket of [a, b, c])
          await ask(socket, 'ask');
        assert.deepEqual(got, {a: [1, 3, 4], b: [1, 2, 3, 6], c: [3, 5]});
      });

      test('all tabs of a user', async () => {
        const user = `u-${parserName}-${transport}`;
        const auth = {token: 'user:' + user};
        const [one, two, other] = await Promise.all([join({auth}),
          join({auth}), join()]);
        let leaks = 0;

        other.on('note', () => leaks++);
        const both = Promise.all([next(one, 'note'), next(two, 'note')]);
        await ask(other, 'emit', {name: 'note', args: ['x'], users: [user]});
        assert.deepEqual(await both, [['x'], ['x']]);
        await ask(other, 'ask');
        assert.equal(leaks, 0);
      });

      test('namespaces share a connection', async () => {
        const main = await join();
        const dyn = main.io.socket('/dyn-' + parserName, {});
        const closed = main.io.socket('/private',
          {auth: {token: 'user:ann'}});

        await Promise.all([connected(dyn), connected(closed)]);
        assert.equal(new Set([main.id, dyn.id, closed.id]).size, 3);
        assert.equal((await ask(dyn, 'whoami')).space, '/dyn-' + parserName);
        assert.equal((await ask(closed, 'whoami')).user, 'ann');
        await ask(dyn, 'join', 'same');
        await ask(main, 'join', 'same');
        let leaks = 0;
        dyn.on('hi', () => leaks++);
        await ask(main, 'emit', {name: 'hi', rooms: ['same']});
        await ask(main, 'emit', {name: 'hi', all: true});
        const heard = next(dyn, 'only');
        await ask(main, 'emit', {name: 'only', rooms: ['same'],
          space: '/dyn-' + parserName});
        await heard;
        assert.equal(leaks, 0);

        dyn.disconnect();
        assert.equal((await ask(main, 'whoami')).sid, main.id);
        assert.equal((await ask(closed, 'whoami')).sid, closed.id);
      });

      test('unknown and forbidden namespaces', async () => {
        for (const space of ['/nope', '/dyn-forbidden', '/dy']) {
          const socket = dial(server, {...options, space});
          const [error] = await next(socket, 'connect_error');
          assert.equal(error.message, 'Invalid namespace');
        }
        const socket = dial(server, {...options, space: '/private'});
        const [error] = await next(socket, 'connect_error');
        assert.equal(error.message, 'not authorized');
      });

      test('names and reserved names', async () => {
        const socket = await join();

        for (const name of ['a b', 'ä€😀', '__proto__', 'x'.repeat(200)]) {
          const unknown = next(socket, 'unknown');
          socket.emit(name, 1);
          assert.deepEqual(await unknown, [name, [1]]);
        }
        for (const name of ['', 'connect', 'connect_error', 'disconnect',
          'disconnecting', 'newListener', 'removeListener'])
          assert.equal(await ask(socket, 'emit', {name, all: true}), -2,
            name);
      });

      test('too often is told, or dropped without a word', async () => {
        const socket = await join();

        for (let i = 0; i < 3; i++) {
          assert.equal(await ask(socket, 'limited', i), i);
          assert.equal(await ask(socket, 'quiet', i), i);
        }
        assert.equal((await ask(socket, 'limited', 3)).error.code,
          'throttled');
        await assert.rejects(
          socket.timeout(100).emitWithAck('quiet', 3), /timed out/);
        assert.equal(await ask(socket, 'ask', 'not this one'),
          'not this one');
      });

      test('big messages, and one that is too big', async () => {
        const socket = await join();
        const frame = 200; /* more than what is written around them */
        /* binary is written in base64 there */
        const room = parserName === 'msgpack' && transport === 'polling'
          ? max * 0.75 - frame : max - frame;

        for (const size of [1000, 65535, 100000, max * 0.7 | 0]) {
          const bytes = makeBinary(size, size);
          const text = makeText(size, size);
          same(await ask(socket, 'ask', text), text);
          same(await ask(socket, 'ask', bytes), bytes);
        }
        const most = 'x'.repeat(room);
        same(await ask(socket, 'ask', most), most);
        const end = next(socket, 'disconnect');
        socket.emit('ask', 'x'.repeat(max + 1));
        const [reason] = await end;
        assert.ok(['transport close', 'transport error'].includes(reason));
      });

      test('many in a row, none lost or out of order', async () => {
        const socket = await join();
        const got = [];

        socket.on('n', (i) => got.push(i));
        for (let i = 0; i < 500; i++)
          socket.emit('emit', {name: 'n', args: [i], sids: [socket.id]});
        await ask(socket, 'emit', {name: 'n', sids: [socket.id],
          times: 500});
        await until(() => got.length >= 1000, 'all of them');
        assert.deepEqual(got, [...Array(500).keys(), ...Array(500).keys()]);
      });

      test('it lives for many heartbeats', async () => {
        const socket = await join();
        let pings = 0;

        socket.io.on('ping', () => pings++);
        await until(() => pings >= 3, 'three pings');
        assert.equal(await ask(socket, 'ask', 1), 1);
        assert.equal(socket.connected, true);
      });

      test('the client leaves, the server ends it', async () => {
        const watcher = await connect(server);
        const log = [];

        watcher.on('log', (entry) => {
          if (entry.what === 'close')
            log.push([entry.sid, entry.reason]);
        });
        await ask(watcher, 'join', 'log');

        const leaving = await join(), {id: left} = leaving;
        leaving.disconnect();
        await until(() => log.length === 1, 'the notice');
        const kicked = await join(), {id: out} = kicked;
        const reason = next(kicked, 'disconnect');
        kicked.emit('kick');
        assert.deepEqual((await reason)[0], 'io server disconnect');
        await until(() => log.length === 2, 'the notice');
        const failed = await join(), {id: broken} = failed;
        const ended = next(failed, 'disconnect');
        failed.emit('break');
        await ended;
        await until(() => log.length === 3, 'the notice');
        const torn = await join(), {id: lost} = torn;
        torn.io.engine.close();
        await until(() => log.length === 4, 'the notice');

        assert.deepEqual(log[0], [left, 'client namespace disconnect']);
        assert.deepEqual(log[1], [out, 'server namespace disconnect']);
        assert.equal(log[2][0], broken);
        assert.deepEqual(log[3], [lost, 'transport close']);
      });

      test('a client that is told to go may come back', async () => {
        const socket = await join();
        const {id} = socket;
        const reason = next(socket, 'disconnect');

        socket.emit('kick');
        await reason;
        socket.connect();
        await connected(socket);
        assert.notEqual(socket.id, id);
        assert.equal(await ask(socket, 'ask', 1), 1);
      });
    });

describe('together', () => {
  test('parsers and transports in one room', async () => {
    const all = [];

    for (const parser of Object.values(parsers))
      for (const how of Object.values(transports))
        all.push(await connect(server, {parser, ...how}));
    for (const socket of all)
      await ask(socket, 'join', 'together');
    for (const from of all) {
      const heard = all.map((socket) => next(socket, 'hi'));
      const args = [from.id, {b: Buffer.from([1, 2])}, [null]];
      await ask(from, 'emit', {name: 'hi', args, rooms: ['together']});
      for (const got of await Promise.all(heard))
        same(got, args);
    }
  });

  test('volatile events reach who waits for nothing', async () => {
    const socket = await connect(server);
    const heard = next(socket, 'v');

    await ask(socket, 'emit', {name: 'v', args: [1], sids: [socket.id],
      volatile: true});
    assert.deepEqual(await heard, [1]);
  });

  test('of a key only the newest is kept', async () => {
    const socket = await connect(server, transports.polling);
    const got = [];

    socket.on('price', (n) => got.push(n));
    await ask(socket, 'emit', {name: 'price', key: 'p', sids: [socket.id],
      times: 100});
    await until(() => got.at(-1) === 99, 'the newest');
    assert.ok(got.length < 100, `${got.length} of 100`);
    assert.deepEqual(got, [...new Set(got)].sort((a, b) => a - b));
  });

  test('an event is logged for who watches', async () => {
    const watcher = await connect(server);
    const socket = await connect(server);

    await ask(watcher, 'join', 'log');
    const entry = next(watcher, 'log');
    socket.emit('whatever');
    const [{what, sid, name}] = await entry;
    assert.deepEqual([what, sid, name], ['event', socket.id, 'whatever']);
  });

  test('a room that has to be asked for', async () => {
    const watcher = await connect(server);
    const socket = await connect(server);
    const log = [];

    watcher.on('log', ({what, room}) => {
      if (room)
        log.push([what, room]);
    });
    await ask(watcher, 'join', 'log');
    assert.equal(await ask(socket, 'join-request', 'open'), 0);
    assert.equal(await ask(socket, 'join-request', 'closed'), 0);
    assert.equal(await ask(socket, 'join-request', 'private'), 0);
    await until(() => log.length === 3, 'the outcomes');
    assert.deepEqual(log, [['joined', 'open'], ['denied', 'closed'],
      ['denied', 'private']]);
    assert.deepEqual(await ask(socket, 'rooms'), ['open']);
  });

  test('a message of the host is the event "message"', async () => {
    const socket = await connect(server);

    await ask(socket, 'join', 'host');
    for (const data of ['text', Buffer.from('bytes')]) {
      const heard = next(socket, 'message');
      await ask(socket, 'send', 'host', data);
      same(await heard, [data]);
    }
  });

  test('while it upgrades nothing is lost, doubled or reordered',
    async () => {
      for (let round = 0; round < 15; round++) {
        const socket = dial(server, {query: {round}});
        const got = [], echoed = [];
        let sent = 0;

        socket.on('n', (i) => got.push(i));
        socket.on('echo', (i) => echoed.push(i));
        await connected(socket);
        socket.emit('emit', {name: 'n', sids: [socket.id], times: 200});
        while (socket.io.engine.transport.name !== 'websocket') {
          for (let i = 0; i < 5; i++)
            socket.emit('echo', sent++);
          await sleep(round % 3);
        }
        for (let i = 0; i < 20; i++)
          socket.emit('echo', sent++);
        await ask(socket, 'ask');
        await until(() => got.length >= 200 && echoed.length >= sent, 'all');
        assert.deepEqual(got, [...Array(200).keys()]);
        assert.deepEqual(echoed, [...Array(sent).keys()]);
        assert.equal((await ask(socket, 'whoami')).transport, 'websocket');
      }
    });
});
