/*
 * store.test.mjs - what clients see of the database: one that is not ours, of
 * a later version, damaged, or on a disk that is full; what it trims; and
 * streams that go on behind it.
 */
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, afterEach, before, describe, test} from 'node:test';
import {EventSource} from 'eventsource';
import {counters, hangUp, hangUpWires, sleep, startServer, until}
  from './servers.mjs';
import {closeAll, collect, open} from './rooms.mjs';

const folder = fs.mkdtempSync(path.join(tmpdir(), 'rill-store-'));
const file = (name) => path.join(folder, name);
const written = file('written.db');

const start = (db, more) => startServer('rooms_server', {...more,
  flags: ['--db', db, '--retry_ms', 200]});

/* Runs |body| with a server on |db|, and ends what both have opened. */
async function serving(db, more, body) {
  const server = await start(db, more);

  try {
    await body(server);
  } finally {
    closeAll();
    hangUp();
    hangUpWires();
    await server.stop();
  }
}

async function enter(kind, server, user, room, more) {
  const client = await open(kind, server, user, {transports: ['websocket']});

  client.said = collect(client, 'chat:message');
  client.joined = await client.join(room, more);
  return client;
}

const textsOf = (messages) => messages.map(({text}) => text);
const code = (answer) => answer.error?.code;

/* A database with thirty long messages in "chat". */
before(() => serving(written, {}, async (server) => {
  const ann = await enter('json', server, 'ann', 'chat');

  for (let i = 1; i <= 30; i++)
    await ann.ask('chat:message', {room: 'chat', text: i + 'x'.repeat(2000)});
}));

after(() => fs.rmSync(folder, {recursive: true}));

/* A copy in which |change| was made. */
function copy(name, change) {
  const bytes = fs.readFileSync(written);

  fs.writeFileSync(file(name), change(bytes) ?? bytes);
  return file(name);
}

describe('what is no database of ours', () => {
  const cases = {
    'of a later version': (bytes) => void bytes.writeUInt32BE(3, 60),
    'of another program': (bytes) => void bytes.writeUInt32BE(7, 68),
    'with a head that is none': (bytes) => void bytes.fill(0x20, 0, 16),
    'without its end': (bytes) => bytes.subarray(0, bytes.length / 2),
    'text': () => 'hello\n'.repeat(2000)
  };

  for (const [name, change] of Object.entries(cases))
    test(name, async () => {
      const db = copy('other.db', change);
      const was = fs.readFileSync(db);

      await assert.rejects(start(db), /ended before it listened/);
      assert.deepEqual(fs.readFileSync(db), was, 'and it stays as it is');
    });
});

for (const kind of ['socketio', 'json'])
  describe(`the database by ${kind}`, () => {
    test('a room that cannot be read is an error, and not empty', async () => {
      const db = copy('torn.db', (bytes) =>
        void bytes.fill(0xa5, 2 * 4096, bytes.length));

      await serving(db, {}, async (server) => {
        const ann = await open(kind, server, 'ann');
        const {error, joined} = await ann.join('chat', {since: 0});
        assert.deepEqual([error.code, joined], ['store', undefined]);
        assert.equal((await ann.join('chat')).error.code, 'store');
        assert.equal(code(await ann.ask('notification:count', {})), 'store');
        const counts = await counters(server);
        assert.ok(counts.store_failures_total >= 3);
        assert.equal(counts.published_total, 0);

        /* what needs no database goes on */
        await ann.join('ring');
        assert.equal((await ann.ask('chat:message', {room: 'ring',
          text: 'here'})).offset, 1);
      });
    });

    test('no room on the disk: the writer is told', async () => {
      const db = file(`full-${kind}.db`), acked = [];
      let offset;

      await serving(db, {under: "trap '' XFSZ; ulimit -S -f 1200"},
        async (server) => {
          const ann = await enter(kind, server, 'ann', 'chat');
          const ben = await enter('json', server, 'ben', 'chat');
          let last;

          for (let i = 0; i < 200 && !last?.error; i++) {
            last = await ann.ask('chat:message', {room: 'chat', clientId:
              `m${i}`, text: i + 'x'.repeat(4000)});
            if (!last.error)
              acked.push(last.id);
          }
          assert.equal(code(last), 'store');
          assert.ok(acked.length > 10);
          await sleep(50);
          assert.equal(ben.said.length, acked.length,
            'what is not safe is not heard');
          const {events} = await ben.ask('room:history', {room: 'chat',
            limit: 100});
          assert.deepEqual(events.map(({id}) => id), acked);
          ben.tell('typing:start', {room: 'chat'});
          await ann.join('ring');
          assert.equal((await ann.ask('chat:message', {room: 'ring',
            text: 'here'})).offset, 1);
          const late = await enter(kind, server, 'cid', 'chat',
            {since: acked.length - 1});
          assert.equal(late.joined.recovered, true);
          assert.equal(late.said.length, 1);

          /* room again: the same message, under the same name */
          execFileSync('prlimit', ['--pid', server.child.pid,
            '--fsize=unlimited:']);
          const again = {room: 'chat', text: 'after', clientId: 'after'};
          await until(async () => !(await ann.ask('chat:message', again))
            .error, 'there is room');
          ({offset} = await ann.ask('chat:message', again));
          assert.equal(offset, acked.length + 1);
          await until(() => ben.said.length === offset, 'it is heard');
          await server.kill();
          server.stop = async () => {};
        });
      await serving(db, {}, async (server) => {
        const ann = await enter(kind, server, 'ann', 'chat');
        const {events, last} = await ann.ask('room:history', {room: 'chat',
          limit: 100});
        assert.equal(last, offset);
        assert.deepEqual(events.map(({id}) => id), [...acked, 'after']);
      });
    });

    test('what is too old or too much goes', async () => {
      await serving(file(`trim-${kind}.db`), {}, async (server) => {
        const ann = await enter(kind, server, 'ann', 'aged');
        const kept = async (room) => {
          const {first, last, events} = await ann.ask('room:history', {room});
          assert.deepEqual(events.map(({at}) => at), Array.from(
            {length: last - first + 1}, (_, i) => first + i));
          return [first, last];
        };

        for (const text of ['1', '2', '3'])
          await ann.ask('chat:message', {room: 'aged', text});
        assert.deepEqual(await kept('aged'), [1, 3]);
        await sleep(600);
        assert.deepEqual(await kept('aged'), [4, 3]); // none, and on from 4
        await ann.ask('chat:message', {room: 'aged', text: '4'});
        assert.deepEqual(await kept('aged'), [4, 4]);
        await ann.join('light');
        for (let i = 1; i <= 12; i++)
          await ann.ask('chat:message', {room: 'light',
            text: 'x'.repeat(300)});
        const [first, last] = await kept('light');
        assert.equal(last, 12);
        assert.ok(first > 5 && first < 12, String(first));
      });
    });
  });

test('":memory:" is a database that forgets', async () => {
  let epoch;

  await serving(':memory:', {}, async (server) => {
    const ann = await enter('socketio', server, 'ann', 'chat');
    await ann.ask('chat:message', {room: 'chat', text: '1'});
    await ann.ask('chat:message', {room: 'chat', text: '2'});
    const ben = await enter('json', server, 'ben', 'chat', {since: 0});
    assert.deepEqual(textsOf(ben.said), ['1', '2']);
    ({epoch} = ben.joined);
  });
  await serving(':memory:', {}, async (server) => {
    const ben = await enter('json', server, 'ben', 'chat', {since: 2, epoch});
    assert.deepEqual([ben.joined.at, ben.joined.recovered], [0, false]);
  });
  assert.ok(!fs.existsSync(':memory:'));
});

/* Typing, presence and notifications have no place in the database. */
test('an EventSource goes on over a kill, whatever came last', async () => {
  const db = file('stream.db');
  let server = await start(db);
  const source = new EventSource(`${server.url}/events/chat?token=eve`);
  const said = [], verdicts = [], seen = new Set();

  source.addEventListener('chat:message', ({data}) =>
    said.push(JSON.parse(data).text));
  source.addEventListener('session', ({data}) =>
    verdicts.push(JSON.parse(data).recovered));
  for (const name of ['typing:update', 'presence:update', 'notification'])
    source.addEventListener(name, () => seen.add(name));
  try {
    await until(() => verdicts.length === 1, 'the stream');
    for (let round = 1; round <= 3; round++) {
      const ann = await enter('json', server, 'ann', 'chat');
      await ann.ask('chat:message', {room: 'chat', text: `${round} heard`});
      await until(() => said.length === 3 * round - 2, 'it is heard');
      seen.clear();
      ann.tell('typing:start', {room: 'chat'});
      ann.tell('presence:update', {status: 'busy'});
      await ann.ask('notify', {user: 'eve', text: 'psst'});
      await until(() => seen.size === 3, 'the others');
      await server.kill();
      closeAll();
      server = await start(db, {port: server.port});
      const ben = await enter('socketio', server, 'ben', 'chat');
      await ben.ask('chat:message', {room: 'chat', text: `${round} missed`});
      await until(() => verdicts.length === round + 1, 'it is back');
      await ben.ask('chat:message', {room: 'chat', text: `${round} later`});
      await until(() => said.length >= 3 * round, 'all');
      closeAll();
      hangUp();
    }
    assert.deepEqual(said, [1, 2, 3].flatMap((round) => ['heard', 'missed',
      'later'].map((what) => `${round} ${what}`)));
    assert.deepEqual(verdicts, [false, true, true, true]);
  } finally {
    source.close();
    closeAll();
    hangUp();
    await server.stop();
  }
});
