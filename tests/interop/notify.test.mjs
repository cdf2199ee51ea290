/*
 * notify.test.mjs - what waits for a user, and how far it has read, for stock
 * clients: over several devices, over a kill of the server, and for who is
 * not there.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, afterEach, before, describe, test} from 'node:test';
import {EventSource} from 'eventsource';
import {counters, hangUp, hangUpWires, sleep, startServer, until}
  from './servers.mjs';
import {closeAll, collect, heard, open} from './rooms.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'rill-notify-'));
const missedAfter = 300;
let server, number = 0;

const start = (port) => startServer('rooms_server', {port, flags: ['--db',
  path.join(folder, 'rooms.db'), '--missed', missedAfter, '--notify_count', 20,
  '--receipt_window_ms', 50]});

before(async () => {
  server = await start();
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

const newName = (prefix) => `${prefix}-${++number}`;
const textsOf = (notes) => notes.map(({data}) => data);

/* A device of |user|, with all that it is told. */
async function device(kind, user) {
  const client = await open(kind, server, user, {later: true});

  client.notes = collect(client, 'notification');
  client.cleared = collect(client, 'notification:cleared');
  client.counts = collect(client, 'notification:count');
  await client.settled();
  return client;
}

/* Who is told of what nobody has seen. */
async function watchMissed() {
  const log = await open('json', server, 'log');

  await log.join('log');
  return collect(log, 'missed');
}

for (const kind of ['socketio', 'json'])
  describe(`notifications by ${kind}`, () => {
    test('they wait for who is not there, over a kill', async () => {
      const user = newName('off');
      let ann = await open(kind, server, 'ann');
      const missed = await watchMissed();

      for (const text of ['one', 'two', 'three'])
        await ann.ask('notify', {user, text});
      assert.deepEqual(await ann.ask('notify', {user, text: 'four',
        id: `mine-${user}`}), {status: 0, id: `mine-${user}`, offset: 4,
        peers: 0, unread: 4});
      await until(() => missed.length === 4, 'the hook');
      assert.deepEqual(missed.map(({userId, args, peers}) =>
        [userId, args, peers]), ['one', 'two', 'three', 'four'].map((text) =>
        [user, [text], 0]));
      await server.kill();
      closeAll();
      server = await start(server.port);

      ann = await open(kind, server, 'ann');
      assert.deepEqual(await ann.ask('notify', {user, text: 'four',
        id: `mine-${user}`}), {status: -11, id: `mine-${user}`, offset: 4,
        peers: 0, unread: 4}, 'twice is once');
      const back = await device(kind, user);
      await until(() => back.counts.length === 1, 'the count, behind them');
      assert.deepEqual(textsOf(back.notes), ['one', 'two', 'three', 'four']);
      assert.deepEqual(await back.ask('notification:count', {}), {unread: 4});
      assert.deepEqual(await back.ask('notification:ack', {upTo: 3}),
        {cleared: 3, unread: 1});
      back.close();
      const again = await device('socketio', user);
      await until(() => again.counts.length === 1, 'the count');
      assert.deepEqual(textsOf(again.notes), ['four']);
      assert.deepEqual(again.counts, [{unread: 1}]);
    });

    test('all devices are told, and one says for all', async () => {
      const user = newName('all');
      const ann = await open(kind, server, 'ann');
      const missed = await watchMissed();
      const devices = [await device(kind, user), await device('json', user),
        await device('socketio', user)];
      const stream = new EventSource(
        `${server.url}/events/here?token=${user}`);
      const streamed = [];

      try {
        stream.addEventListener('notification', ({data}) =>
          streamed.push(JSON.parse(data)));
        await new Promise((resolve) =>
          stream.addEventListener('session', resolve));
        const {peers, offset} = await ann.ask('notify', {user, text: 'seen'});
        assert.equal(peers, 4);
        await ann.ask('notify', {user, text: 'unseen'});
        await until(() => [...devices.map(({notes}) => notes), streamed]
          .every((notes) => notes.length === 2), 'all');
        for (const {notes} of devices)
          assert.deepEqual(notes.map(({name, data, unread}) =>
            [name, data, unread]), [['note', 'seen', 1],
            ['note', 'unseen', 2]]);
        const {id} = devices[0].notes[0];
        assert.deepEqual(await devices[0].ask('notification:ack', {id}),
          {cleared: 1, unread: 1});
        await until(() => devices[1].cleared.length === 1 &&
          devices[2].cleared.length === 1, 'the others');
        assert.deepEqual(devices[1].cleared, [{ids: [id], unread: 1}]);
        assert.deepEqual(devices[0].cleared, []);
        await until(() => missed.length === 1, 'what nobody acknowledged');
        assert.deepEqual(missed[0].args, ['unseen']);
        assert.equal(offset, 1);
        await sleep(missedAfter);
        assert.equal(missed.length, 1, 'once, and not what was seen');
      } finally {
        stream.close();
      }
    });

    test('one of a key takes the place of the last', async () => {
      const user = newName('key');
      const ann = await open(kind, server, 'ann');
      const ben = await device(kind, user);
      const from = (await counters(server)).notify_collapsed_total;

      for (const [text, key] of [['1 mail', 'mail'], ['other', undefined],
        ['2 mails', 'mail'], ['3 mails', 'mail']])
        await ann.ask('notify', {user, text, key});
      await until(() => ben.notes.length === 4, 'all');
      assert.deepEqual(ben.notes.map(({unread}) => unread), [1, 2, 2, 2]);
      assert.deepEqual(ben.notes.map(({replaces}) => replaces), [undefined,
        undefined, ben.notes[0].id, ben.notes[2].id]);
      const late = await device('socketio', user);
      await until(() => late.counts.length === 1, 'the count');
      assert.deepEqual(textsOf(late.notes), ['other', '3 mails']);
      assert.deepEqual(late.counts, [{unread: 2}]);
      assert.equal((await counters(server)).notify_collapsed_total, from + 2);
    });

    test('they expire, for who is there and who is not', async () => {
      const user = newName('ttl');
      const ann = await open(kind, server, 'ann');
      const ben = await device(kind, user);
      const from = (await counters(server)).notify_expired_total;

      await ann.ask('notify', {user, text: 'stays'});
      const {id} = await ann.ask('notify', {user, text: 'goes', ttl: 200});
      await until(() => ben.cleared.length === 1, 'it expires');
      assert.deepEqual(ben.cleared, [{ids: [id], unread: 1}]);
      assert.equal((await counters(server)).notify_expired_total, from + 1);
      assert.ok(ben.notes[1].expires - ben.notes[1].timestamp === 200);
      ben.close();
      await ann.ask('notify', {user, text: 'never seen', ttl: 50});
      await sleep(100);
      const late = await device('socketio', user);
      await until(() => late.counts.length === 1, 'the count');
      assert.deepEqual(textsOf(late.notes), ['stays']);
      assert.deepEqual(late.counts, [{unread: 1}]);
    });

    test('more than there may be push out the oldest', async () => {
      const user = newName('many');
      const ann = await open(kind, server, 'ann');
      const from = (await counters(server)).limit_notify_count;

      for (let i = 1; i <= 23; i++)
        await ann.ask('notify', {user, text: String(i)});
      const ben = await device('socketio', user);
      await until(() => ben.counts.length === 1, 'the count');
      assert.deepEqual(textsOf(ben.notes), Array.from({length: 20}, (_, i) =>
        String(i + 4)));
      assert.equal((await counters(server)).limit_notify_count, from + 3);
    });

    test('how far one has read only grows, over a kill', async () => {
      const room = newName('chat'), user = newName('reader');
      let ann = await open(kind, server, 'ann');

      await ann.join(room);
      for (let i = 1; i <= 9; i++)
        await ann.ask('chat:message', {room, text: String(i)});
      let ben = await open(kind, server, user);
      const twin = await open('json', server, user);
      for (const one of [ben, twin])
        await one.join(room);
      const told = collect(ann, 'receipt:update');
      assert.deepEqual(await ben.ask('receipt:get', {room}), {room, offset: 0,
        last: 9, unread: 9});
      const twinHears = heard(twin, 'receipt:update');
      assert.equal((await ben.ask('receipt:read', {room, offset: 4})).offset,
        4);
      assert.deepEqual((await twinHears).users, [{userId: user, offset: 4}]);
      assert.equal((await twin.ask('receipt:read', {room, offset: 2})).offset,
        4, 'not back');
      assert.equal((await ben.ask('receipt:read', {room, offset: 7})).offset,
        7);
      await until(() => told.length > 0 &&
        told.at(-1).users[0].offset === 7, 'the others');
      const seen = told.map(({users: [{offset}]}) => offset);
      assert.deepEqual(seen, [...seen].sort((a, b) => a - b));

      await server.kill();
      closeAll();
      server = await start(server.port);
      ben = await open(kind, server, user);
      await ben.join(room);
      assert.deepEqual(await ben.ask('receipt:get', {room}), {room, offset: 7,
        last: 9, unread: 2});
      assert.equal((await ben.ask('receipt:read', {room, offset: 1})).offset,
        7);
      assert.equal((await ben.ask('receipt:read', {room, offset: 1000}))
        .offset, 9, 'no further than there is');
      ann = await open(kind, server, 'ann');
      await ann.join(room);
      assert.deepEqual((await ann.ask('receipt:get', {room, users: [user,
        'nobody']})).users, [{userId: user, offset: 9},
        {userId: 'nobody', offset: 0}]);
    });

    test('a private receipt is told to its own user only', async () => {
      const room = newName('chat'), user = newName('reader');
      const ann = await open(kind, server, 'ann');
      const ben = await open(kind, server, user);
      const twin = await open('json', server, user);

      for (const one of [ann, ben, twin])
        await one.join(room);
      for (let i = 1; i <= 3; i++)
        await ann.ask('chat:message', {room, text: String(i)});
      const others = collect(ann, 'receipt:update');
      const own = heard(twin, 'receipt:update');
      await ben.ask('receipt:read', {room, offset: 2, private: true});
      assert.deepEqual((await own).users, [{userId: user, offset: 2}]);
      assert.deepEqual((await ann.ask('receipt:get', {room, users: [user]}))
        .users, [{userId: user, offset: 0}]);
      assert.equal((await twin.ask('receipt:get', {room})).unread, 1);
      assert.deepEqual(others, []);
      assert.equal((await ann.ask('receipt:read', {room: 'chat-elsewhere',
        offset: 1})).error.code, 'forbidden');
    });
  });
