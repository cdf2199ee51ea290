/*
 * slow.test.mjs - stock clients that do not read as fast as others write:
 * each policy of a full queue, what those miss and how they get it back, and
 * writers that are told to slow down.  The counters say the same.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, afterEach, before, describe, test} from 'node:test';
import {counters, hangUp, hangUpWires, sleep, startServer, until}
  from './servers.mjs';
import {closeAll, collect, open} from './rooms.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'rill-slow-'));
const filler = 'x'.repeat(8000);
const page = 100;
let server, number = 0;

const start = (...flags) => startServer('rooms_server', {flags: ['--db',
  path.join(folder, `${++number}.db`), '--history_page', page, ...flags]});

before(async () => {
  server = await start('--queue_bytes', 65536);
});

after(async () => {
  await server.stop();
  rmSync(folder, {recursive: true});
});

afterEach(() => {
  closeAll();
  hangUp();
  hangUpWires();
});

const newRoom = (prefix) => `${prefix}-${++number}`;

async function enter(kind, user, room, options) {
  const client = await open(kind, server, user, {transports: ['websocket'],
    ...options});

  client.said = collect(client, 'chat:message');
  await client.join(room);
  return client;
}

/* The stream under a client, which it stops to read. */
const streamOf = (client) => (client.kind === 'socketio'
  ? client.socket.io.engine.transport.ws : client.wire.socket)._socket;

const numbersOf = (messages) => messages.map(({text}) => text[0]);

/* Says 1, 2, ... in |room| until |enough|; returns how many. */
async function fill(writer, room, enough) {
  for (let n = 1; ; n++) {
    const {offset} = await writer.ask('chat:message', {room,
      text: [n, filler]});
    assert.equal(offset, n);
    if (n % 20 === 0 && await enough())
      return n;
    assert.ok(n < 5000, 'the queue is never full');
  }
}

/* All of a room, page by page. */
async function readAll(client, room) {
  const all = [];

  for (;;) {
    const {last, events} = await client.ask('room:history', {room,
      since: all.length});
    all.push(...events.map(({args: [message]}) => message));
    if (all.length === last)
      return all;
    assert.ok(events.length > 0);
  }
}

for (const kind of ['socketio', 'json'])
  describe(`slow by ${kind}`, () => {
    for (const policy of ['oldest', 'newest'])
      test(`the ${policy} are dropped, and are in the history`, async () => {
        const room = newRoom(policy), counter = `dropped_${policy}_total`;
        const slow = await enter(kind, 'slow', room);
        const quick = await enter('json', 'quick', room);
        const from = (await counters(server))[counter];

        streamOf(slow).pause();
        const dropped = async () =>
          (await counters(server))[counter] - from;
        const n = await fill(quick, room, async () => await dropped() > 10);
        assert.equal(quick.said.length, n, 'others miss nothing');
        streamOf(slow).resume();
        const missing = await dropped();
        await until(() => slow.said.length === n - missing, 'what is left');

        const got = numbersOf(slow.said);
        const hole = got.findIndex((one, i) => one !== i + 1);
        if (policy === 'newest') {
          assert.equal(hole, -1, 'the beginning, whole');
        } else {
          assert.ok(hole > 0);
          assert.deepEqual(got.slice(hole), Array.from({length: n - missing -
            hole}, (_, i) => hole + missing + 1 + i), 'one hole');
        }
        if (kind === 'json' && policy === 'oldest')
          assert.equal(slow.last[room], n, 'its number shows the hole');
        assert.deepEqual(numbersOf(await readAll(slow, room)),
          Array.from({length: n}, (_, i) => i + 1));
      });

    test('of one key the newest is left', async () => {
      const room = newRoom('here');
      const slow = await enter(kind, 'slow', room);
      const writer = await enter('json', 'writer', room);
      const got = collect(slow, 'latest');
      const of = async () => (await counters(server)).conflated_total;
      const from = await of();
      let n = 0;

      streamOf(slow).pause();
      while (await of() < from + 50) {
        await writer.ask('latest', {room, value: [++n, filler]});
        assert.ok(n < 5000);
      }
      streamOf(slow).resume();
      await until(() => got.at(-1)?.[0] === n, 'the newest');
      assert.equal(got.length, n - (await of() - from));
      assert.deepEqual(got.map(([i]) => i), [...got.map(([i]) => i)].sort(
        (a, b) => a - b));
    });

    test('closed with 4008, it comes back for the rest', async () => {
      const room = newRoom('chat');
      const slow = await enter(kind, 'slow', room,
        kind === 'socketio' ? {reconnection: true, reconnectionDelay: 300,
          reconnectionDelayMax: 300} : {});
      const writer = await enter('json', 'writer', room);
      const closed = async () => (await counters(server)).slow_closed_total;
      const from = await closed();
      const end = new Promise((resolve) => {
        if (kind === 'socketio')
          slow.socket.once('disconnect', (reason, {context}) =>
            resolve([reason, context.code]));
        else
          slow.wire.socket.on('close', (code, reason) =>
            resolve([String(reason), code]));
      });

      streamOf(slow).pause();
      const n = await fill(writer, room, async () => await closed() > from);
      assert.equal(await closed(), from + 1);
      streamOf(slow).resume();
      assert.deepEqual(await end, [kind === 'socketio' ? 'transport close' :
        'slow', 4008]);
      const had = slow.said.length;
      assert.deepEqual(numbersOf(slow.said),
        Array.from({length: had}, (_, i) => i + 1));
      assert.ok(had < n);

      const again = kind === 'json' ? await open(kind, server, 'slow') : slow;
      const said = kind === 'json' ? collect(again, 'chat:message') : slow.said;
      await until(() => again.connected, 'back');
      said.length = 0;
      const {at, gap, recovered} = await again.join(room, {since: had});
      assert.equal(at, n);
      assert.equal(recovered, gap === undefined);
      let got = [];
      for (let since = had; gap && since < gap[1];) {
        const {events} = await again.ask('room:history', {room, since,
          limit: Math.min(page, gap[1] - since)});
        got.push(...events.map(({args: [message]}) => message));
        since = events.at(-1).at;
      }
      got.push(...said);
      assert.deepEqual(numbersOf(got), Array.from({length: n - had},
        (_, i) => had + 1 + i));
    });
  });

test('who polls is closed as well, and nobody waits for it', async () => {
  const room = newRoom('chat');
  const slow = await open('socketio', server, 'slow',
    {transports: ['polling']});
  const writer = await enter('json', 'writer', room);
  const from = (await counters(server)).slow_closed_total;

  await slow.join(room);
  /* what the client would do next, if it were not busy with something else */
  slow.socket.io.engine.transport.doPoll = () => {};
  const n = await fill(writer, room, async () =>
    (await counters(server)).slow_closed_total > from);
  assert.equal(writer.said.length, n);
  assert.equal((await counters(server)).slow_closed_total, from + 1);
});

test('who writes more than the store takes is told, and nothing is lost',
  async () => {
    const busy = await start('--store_pending', 8);
    try {
      const ann = await open('socketio', busy, 'ann',
        {transports: ['websocket']});
      const ben = await open('json', busy, 'ben');
      const heard = collect(ben, 'chat:message');
      let left = Array.from({length: 200}, (_, i) => `m${i}`);
      let told = 0, rounds = 0;

      await ann.join('chat');
      await ben.join('chat');
      while (left.length > 0) {
        const answers = await Promise.all(left.map((id) =>
          ann.ask('chat:message', {room: 'chat', text: id, clientId: id})));
        for (const {error} of answers)
          assert.ok(!error || error.code === 'busy', JSON.stringify(error));
        left = left.filter((_, i) => answers[i].error);
        told += left.length;
        assert.ok(++rounds < 200);
      }
      assert.ok(told > 0, 'somebody was told');
      assert.equal((await counters(busy)).limit_store_pending, told);
      await until(() => heard.length === 200, 'all');
      assert.equal(new Set(heard.map(({id}) => id)).size, 200);
      await sleep(50);
      assert.equal(heard.length, 200, 'once');
    } finally {
      closeAll();
      hangUp();
      hangUpWires();
      await busy.stop();
    }
  });

test('who comes back to many rooms at once is told to ask again', async () => {
  const busy = await start('--store_pending', 4,
    '--history_count', 1); /* what was missed is in the store alone */
  try {
    const rooms = Array.from({length: 12}, (_, i) => `chat-${i}`);
    const ann = await open('json', busy, 'ann');

    for (const room of rooms) {
      await ann.join(room);
      await ann.ask('chat:message', {room, text: ['seen']});
      await ann.ask('chat:message', {room, text: [room]});
    }
    for (const kind of ['socketio', 'json']) {
      const ben = await open(kind, busy, 'ben', {transports: ['websocket']});
      const said = collect(ben, 'chat:message');
      const from = (await counters(busy)).limit_store_pending;
      let left = rooms, told = 0;

      while (left.length > 0) {
        streamOf(ben).cork(); /* all in one turn of the server */
        const asked = left.map((room) => ben.join(room, {since: 0}));
        await new Promise(setImmediate);
        streamOf(ben).uncork();
        const answers = await Promise.all(asked);
        for (const {error, recovered} of answers)
          assert.equal(error?.code, recovered ? undefined : 'busy');
        left = left.filter((_, i) => answers[i].error);
        told += left.length;
      }
      assert.ok(told > 0);
      assert.equal((await counters(busy)).limit_store_pending, from + told);
      assert.deepEqual(said.map(({text}) => text[0])
        .filter((text) => text !== 'seen').sort(), [...rooms].sort());
    }
  } finally {
    closeAll();
    hangUp();
    hangUpWires();
    await busy.stop();
  }
});
