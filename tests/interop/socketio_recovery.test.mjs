/*
 * socketio_recovery.test.mjs - stock clients that are cut off and come back,
 * through a proxy: with their session where the namespace has recovery, as
 * somebody new elsewhere.
 */
import assert from 'node:assert/strict';
import {after, afterEach, before, describe, test} from 'node:test';
import {Proxy, Wire, ask, connect, connected, dial, hangUp, hangUpWires, next,
  parsers, sleep, startServer, transports, until} from './servers.mjs';

const path = '/socket.io/?EIO=4&transport=';
const again = {reconnection: true, reconnectionDelay: 50,
  reconnectionDelayMax: 100};
let server, proxy;

before(async () => {
  server = await startServer('events_server', {flags: ['--recovery_ms', 1000,
    '--history_count', 50]});
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

/*
 * Cuts |socket| off, does |work| meanwhile, and waits until it is back.  It
 * is cut with a poll under way: without one nobody could notice.
 */
async function whileAway(socket, work) {
  const gone = next(socket, 'disconnect');

  await sleep(30);
  proxy.cut();
  await gone;
  await work?.();
  const back = next(socket, 'connect');
  await proxy.heal();
  await back;
}

/* The first argument of each event |name|: behind it comes the offset. */
function collect(socket, name) {
  const got = [];

  socket.on(name, (first) => got.push(first));
  return got;
}

for (const [parserName, parser] of Object.entries(parsers))
  for (const [transport, how] of Object.entries(transports))
    describe(`${parserName} by ${transport}`, () => {
      const space = '/recovery';
      const options = {parser, space, ...how};
      const room = `r-${parserName}-${transport}`;

      async function pair() {
        const socket = await connect(proxy, {...options, ...again});
        const sender = await connect(server, {space});

        await ask(socket, 'join', room);
        return {socket, sender, got: collect(socket, 'n'), say: (more) =>
          ask(sender, 'emit', {name: 'n', rooms: [room], ...more})};
      }

      test('what was missed comes once, and in order', async () => {
        const {socket, got, say} = await pair();
        const {id} = socket;

        await say({args: ['before']});
        await until(() => got.length === 1, 'the first');
        await whileAway(socket, async () => {
          await say({args: ['one']});
          await say({args: [{two: Buffer.from([1, 2])}]});
          await say({times: 20});
        });
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        await say({args: ['after']});
        await until(() => got.at(-1) === 'after', 'the last');
        assert.deepEqual(got, ['before', 'one', {two: Buffer.from([1, 2])},
          ...Array(20).keys(), 'after']);
        assert.deepEqual(await ask(socket, 'rooms'), [room]);
      });

      test('without any event before the cut', async () => {
        const {socket, got, say} = await pair();
        const {id} = socket;

        await whileAway(socket, () => say({args: ['missed']}));
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        await until(() => got.length > 0, 'what was missed');
        assert.deepEqual(got, ['missed']);
      });

      test('again and again', async () => {
        const {socket, got, say} = await pair();
        const {id} = socket;

        for (let i = 0; i < 4; i++) {
          await whileAway(socket, () => say({args: [i]}));
          assert.equal(socket.recovered, true);
        }
        await until(() => got.length >= 4, 'all');
        await sleep(50);
        assert.deepEqual(got, [0, 1, 2, 3]);
        assert.equal(socket.id, id);
      });
    });

describe('the verdict', () => {
  const space = '/recovery';

  test('who stays away too long is gone', async () => {
    const watcher = await connect(server);
    const log = [];

    watcher.on('log', (entry) => {
      if (['away', 'back', 'close'].includes(entry.what))
        log.push(entry.what);
    });
    await ask(watcher, 'join', 'log');
    const socket = await connect(proxy, {...again, space});
    const {id} = socket;
    await whileAway(socket);
    assert.equal(socket.recovered, true);
    await whileAway(socket, () => sleep(1400));
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
    assert.deepEqual(log, ['away', 'back', 'away', 'close']);
    assert.deepEqual(await ask(socket, 'rooms'), []);
  });

  test('who missed more than is kept is told so', async () => {
    const socket = await connect(proxy, {...again, space});
    const sender = await connect(server, {space});

    await ask(socket, 'join', 'deep');
    await ask(sender, 'emit', {name: 'n', rooms: ['deep'], args: ['first']});
    await whileAway(socket, () => ask(sender, 'emit', {name: 'n',
      rooms: ['deep'], times: 60}));
    assert.equal(socket.recovered, false);
  });

  test('as much as is kept comes back', async () => {
    const socket = await connect(proxy, {...again, space});
    const sender = await connect(server, {space});
    const got = collect(socket, 'n');

    await ask(socket, 'join', 'full');
    await ask(sender, 'emit', {name: 'n', rooms: ['full'], args: [-1]});
    await until(() => got.length === 1, 'the first');
    await whileAway(socket, () => ask(sender, 'emit', {name: 'n',
      rooms: ['full'], times: 49}));
    assert.equal(socket.recovered, true);
    await until(() => got.length >= 50, 'all');
    assert.deepEqual(got, [-1, ...Array(49).keys()]);
  });

  test('several rooms come back merged, in the order of the sender',
    async () => {
      const socket = await connect(proxy, {...again, space});
      const sender = await connect(server, {space});
      const got = collect(socket, 'n');
      const {id} = socket;

      for (const room of ['m1', 'm2', 'm3'])
        await ask(socket, 'join', room);
      await whileAway(socket, async () => {
        for (let i = 0; i < 12; i++)
          await ask(sender, 'emit', {name: 'n', args: [i],
            rooms: i % 4 === 3 ? ['m1', 'm3'] : ['m' + (1 + i % 3)]});
        await ask(sender, 'emit', {name: 'n', args: [12], all: true});
        await ask(sender, 'emit', {name: 'n', args: [13], sids: [id]});
      });
      assert.equal(socket.recovered, true);
      await ask(socket, 'ask');
      assert.deepEqual(got, [...Array(14).keys()]);
    });

  test('what is volatile or asks is not kept', async () => {
    const socket = await connect(proxy, {...again, space});
    const sender = await connect(server, {space});
    const got = collect(socket, 'n');

    await ask(socket, 'join', 'v');
    await whileAway(socket, async () => {
      await ask(sender, 'emit', {name: 'n', args: ['volatile'], rooms: ['v'],
        volatile: true});
      await ask(sender, 'emit', {name: 'n', args: ['asks'], rooms: ['v'],
        ask: 50});
      await ask(sender, 'emit', {name: 'n', args: ['kept'], rooms: ['v']});
    });
    await until(() => got.length > 0, 'what is kept');
    assert.deepEqual(got, ['kept']);
  });

  test('a namespace without recovery forgets', async () => {
    const socket = await connect(proxy, again);
    const {id} = socket;

    await whileAway(socket);
    assert.ok(!socket.recovered);
    assert.notEqual(socket.id, id);
  });

  test('a string at the end is not taken for an offset', async () => {
    const socket = await connect(proxy, {...again, space});
    const sender = await connect(server, {space});
    const got = collect(socket, 'n');

    await ask(socket, 'join', 's');
    await ask(sender, 'emit', {name: 'n', args: ['x', 'no offset'],
      rooms: ['s']});
    socket.once('direct', (first) => got.push(first));
    await ask(sender, 'emit', {name: 'direct', args: ['d'],
      sids: [socket.id]});
    await until(() => got.length === 2, 'both');
    await whileAway(socket, () => ask(sender, 'emit', {name: 'n',
      args: ['missed'], rooms: ['s']}));
    assert.equal(socket.recovered, true);
    await until(() => got.length > 2, 'what was missed');
    assert.deepEqual(got, ['x', 'd', 'missed']);
  });
});

describe('the secret', () => {
  async function join(auth) {
    const wire = await Wire.open(server.ws + path + 'websocket');

    await wire.next();
    wire.send('40/recovery,' + JSON.stringify(auth ?? {}));
    wire.before = [];
    for (;;) {
      const text = await wire.next();
      if (text.startsWith('40/recovery,'))
        return Object.assign(wire, JSON.parse(text.slice(12)));
      if (text.startsWith('44'))
        return Object.assign(wire, {error: JSON.parse(text.slice(12))});
      wire.before.push(text);
    }
  }

  async function cut(wire) {
    wire.socket.terminate();
    await sleep(50);
  }

  test('it looks like an id and is none', async () => {
    const one = await join();

    assert.match(one.pid, /^[\w-]{20,}$/);
    assert.match(one.sid, /^[\w-]{20}$/);
    assert.notEqual(one.pid, one.sid);
  });

  test('what was missed comes before the answer', async () => {
    const one = await join();
    const sender = await connect(server, {space: '/recovery'});

    one.send('42/recovery,1["join","w"]');
    assert.equal(await one.next(), '43/recovery,1[0]');
    await cut(one);
    await ask(sender, 'emit', {name: 'n', args: ['a', 'b'], rooms: ['w']});
    const two = await join({pid: one.pid});
    assert.equal(two.sid, one.sid);
    assert.equal(two.pid, one.pid);
    assert.equal(two.before.length, 1);
    const [, name, a, b, offset] =
      /^42\/recovery,\["(n)","(a)","(b)","([^"]+)"\]$/.exec(two.before[0]);
    assert.deepEqual([name, a, b], ['n', 'a', 'b']);
    await cut(two);
    const three = await join({pid: one.pid, offset});
    assert.equal(three.sid, one.sid);
    assert.deepEqual(three.before, []);
  });

  test('it is good for one at a time', async () => {
    const one = await join();

    await cut(one);
    const two = await join({pid: one.pid});
    assert.equal(two.sid, one.sid);
    const three = await join({pid: one.pid});
    assert.notEqual(three.sid, one.sid);
    assert.notEqual(three.pid, one.pid);
    two.send('42/recovery,1["ask",1]');
    assert.equal(await two.next(), '43/recovery,1[1]');
  });

  test('who left on purpose does not come back with it', async () => {
    const one = await join();

    one.send('41/recovery,');
    await sleep(50);
    await cut(one);
    const two = await join({pid: one.pid});
    assert.notEqual(two.sid, one.sid);

    two.send('42/recovery,["kick"]');
    assert.equal(await two.next(), '41/recovery,');
    await cut(two);
    const three = await join({pid: two.pid});
    assert.notEqual(three.sid, two.sid);
  });

  test('who is asked again, and is no longer welcome', async () => {
    const one = await join({token: 'user:ann'});

    await cut(one);
    const refused = await join({token: 'bad', pid: one.pid});
    assert.equal(refused.error.message, 'not authorized');
    const eve = await join({token: 'user:eve', pid: one.pid});
    assert.notEqual(eve.sid, one.sid, 'it is not for somebody else');
  });

  test('nonsense gets a new session', async () => {
    for (const auth of [{pid: 'x'}, {pid: ''}, {pid: 1}, {pid: null},
      {pid: {}}, {pid: 'A'.repeat(20), offset: 'x'},
      {pid: 'A'.repeat(5000)}]) {
      const wire = await join(auth);
      assert.match(wire.sid, /^[\w-]{20}$/);
      assert.deepEqual(wire.before, []);
    }
    const one = await join();
    await cut(one);
    const two = await join({pid: one.pid, offset: 'no such offset'});
    assert.match(two.sid, /^[\w-]{20}$/);
  });

  test('it is good in its own namespace only', async () => {
    const one = await join();

    await cut(one);
    const wire = await Wire.open(server.ws + path + 'websocket');
    await wire.next();
    wire.send('40' + JSON.stringify({pid: one.pid}));
    const {sid} = JSON.parse((await wire.next()).slice(2));
    assert.notEqual(sid, one.sid);
  });
});
