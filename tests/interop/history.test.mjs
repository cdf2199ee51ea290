/*
 * history.test.mjs - what is published in rooms, for stock clients: numbered,
 * kept in a database over a kill of the server, read back in pages, and sent
 * to who comes again, once and in order, with a verdict.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import http from 'node:http';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, afterEach, before, describe, test} from 'node:test';
import {Proxy, hangUp, hangUpWires, sleep, startServer, until, within}
  from './servers.mjs';
import {closeAll, collect, open} from './rooms.mjs';

const page = 20;
const folder = mkdtempSync(path.join(tmpdir(), 'rill-history-'));
const db = path.join(folder, 'rooms.db');
let server, proxy, number = 0;

const start = (port) => startServer('rooms_server', {port,
  flags: ['--db', db, '--history_page', page]});

/* Kills the server and starts it again, where it was, on its database. */
async function killAndStart() {
  await server.kill();
  server = await start(server.port);
}

before(async () => {
  server = await start();
  proxy = await Proxy.open(server.port);
});

after(async () => {
  proxy.cut();
  await server.stop();
  rmSync(folder, {recursive: true});
});

afterEach(async () => {
  closeAll();
  hangUp();
  hangUpWires();
  proxy.cut();
  await proxy.heal();
});

const newRoom = (prefix = 'chat') => `${prefix}-${++number}`;
const numbers = (from, to) => Array.from({length: to - from + 1},
  (_, i) => from + i);
const texts = (messages) => messages.map(({text}) => text);

/* Says |list| in |room|, one after the other; returns the answers. */
async function say(client, room, list) {
  const answers = [];

  for (const text of list)
    answers.push(await client.ask('chat:message', {room, text}));
  return answers;
}

/* Somebody in |room|, with what is said there. */
async function enter(kind, user, room, options, more) {
  const client = await open(kind, server, user, options);

  client.said = collect(client, 'chat:message');
  client.joined = await client.join(room, more);
  return client;
}

for (const kind of ['socketio', 'json'])
  describe(`history by ${kind}`, () => {
    test('a message is numbered, named, dated and sent to all', async () => {
      const room = newRoom();
      const ann = await enter(kind, 'ann', room);
      const ben = await enter('json', 'ben', room);
      const cid = await enter('socketio', 'cid', room);
      const from = Date.now();
      const answers = await say(ann, room, ['one', 'ä', 'three']);

      assert.deepEqual(answers.map(({offset}) => offset), [1, 2, 3]);
      await until(() => [ann, ben, cid].every(({said}) => said.length === 3),
        'all');
      for (const {said} of [ann, ben, cid])
        assert.deepEqual(said, ['one', 'ä', 'three'].map((text, i) => ({room,
          text, id: answers[i].id, timestamp: answers[i].timestamp})));
      assert.equal(new Set(answers.map(({id}) => id)).size, 3);
      assert.ok(Math.abs(answers[0].timestamp - from) < 5000);
      assert.equal(ben.last[room], 3, 'the envelope says which');

      const {first, last, events} = await cid.ask('room:history', {room});
      assert.deepEqual([first, last], [1, 3]);
      assert.deepEqual(events, answers.map(({offset, id, timestamp}, i) =>
        ({at: offset, id, timestamp, event: 'chat:message',
          args: [ben.said[i]]})));
    });

    test('who was there before the server was killed gets the rest',
      async () => {
        const room = newRoom();
        const ann = await enter(kind, 'ann', room);

        await say(ann, room, ['1', '2', '3', '4', '5']);
        await killAndStart();
        const back = await enter(kind, 'ann', room, {}, {since: 2});
        assert.deepEqual(texts(back.said), ['3', '4', '5'], 'first of all');
        assert.equal(back.joined.at, 5);
        assert.equal(back.joined.recovered, true);
        assert.equal(back.joined.gap, undefined);
        const [{offset}] = await say(back, room, ['6']);
        assert.equal(offset, 6, 'numbers go on');
        await until(() => back.said.length === 4, 'the sixth');
        const all = await enter(kind, 'ben', room, {}, {since: 0,
          epoch: back.joined.epoch});
        assert.deepEqual(texts(all.said), ['1', '2', '3', '4', '5', '6']);
        const none = await enter(kind, 'cid', room, {}, {since: 6});
        assert.deepEqual([none.said.length, none.joined.recovered], [0, true]);
      });

    test('publishing twice is publishing once', async () => {
      const room = newRoom();
      const ann = await enter(kind, 'ann', room);
      const what = {room, text: 'once', clientId: 'mine-1'};
      const one = await ann.ask('chat:message', what);

      assert.equal(one.id, 'mine-1');
      const two = await ann.ask('chat:message', what);
      assert.deepEqual([two.offset, two.id], [one.offset, one.id]);
      await killAndStart();
      const back = await enter(kind, 'ann', room, {}, {since: 0});
      const three = await back.ask('chat:message', what);
      assert.deepEqual([three.offset, three.id], [one.offset, one.id]);
      const [{offset}] = await say(back, room, ['two']);
      assert.equal(offset, 2);
      await until(() => back.said.length >= 2, 'both');
      assert.deepEqual(texts(back.said), ['once', 'two']);
    });

    test('pages lead back to the beginning, and forth', async () => {
      const room = newRoom();
      const ann = await enter(kind, 'ann', room);
      const list = numbers(1, 47).map(String);

      await say(ann, room, list);
      const back = [];
      let before = Number.MAX_SAFE_INTEGER;
      while (before > 1) {
        const {first, last, events} = await ann.ask('room:history',
          {room, before, limit: 10});
        assert.deepEqual([first, last], [1, 47]);
        assert.ok(events.length > 0 && events.length <= 10);
        back.push(...events.map(({at}) => at));
        before = back.at(-1);
      }
      assert.deepEqual(back, numbers(1, 47).reverse());
      const forth = [];
      for (;;) {
        const {events} = await ann.ask('room:history', {room,
          since: forth.length, limit: 1000000});
        assert.ok(events.length <= page, 'history_page is the most');
        if (events.length === 0)
          break;
        forth.push(...events.map(({args: [{text}]}) => text));
      }
      assert.deepEqual(forth, list);
      const {events} = await ann.ask('room:history', {room, before: 3});
      assert.deepEqual(events.map(({at}) => at), [2, 1]);
    });

    test('what is gone is a gap', async () => {
      const room = newRoom('short');
      const ann = await enter(kind, 'ann', room);

      await say(ann, room, numbers(1, 12).map(String));
      const back = await enter(kind, 'ben', room, {}, {since: 3});
      assert.deepEqual(back.joined.gap, [4, 7]);
      assert.equal(back.joined.recovered, false);
      assert.equal(back.joined.at, 12);
      assert.deepEqual(texts(back.said), numbers(8, 12).map(String));
      const whole = await enter(kind, 'cid', room, {}, {since: 7});
      assert.equal(whole.joined.recovered, true);
      assert.deepEqual(texts(whole.said), numbers(8, 12).map(String));
      const {first, last} = await back.ask('room:history', {room});
      assert.deepEqual([first, last], [8, 12]);
    });

    test('more than a page is a gap that history fills', async () => {
      const room = newRoom();
      const ann = await enter(kind, 'ann', room);

      await say(ann, room, numbers(1, page + 8).map(String));
      const back = await enter(kind, 'ben', room, {}, {since: 2});
      assert.deepEqual(back.joined.gap, [3, 8]);
      const {events} = await back.ask('room:history', {room, since: 2,
        limit: 6});
      assert.deepEqual([...events.map(({args: [{text}]}) => text),
        ...texts(back.said)], numbers(3, page + 8).map(String));
    });

    test('a ring asks for its epoch', async () => {
      const room = newRoom('ring');
      const ann = await enter(kind, 'ann', room);

      await say(ann, room, ['1', '2', '3']);
      const {epoch, at} = (await enter(kind, 'ben', room)).joined;
      assert.equal(at, 3);
      const right = await enter(kind, 'cid', room, {}, {since: 1, epoch});
      assert.deepEqual(texts(right.said), ['2', '3']);
      assert.equal(right.joined.recovered, true);
      for (const more of [{since: 1}, {since: 1, epoch: 'x'.repeat(50)},
        {since: 1, epoch: ''}, {since: 4, epoch}]) {
        const wrong = await enter(kind, 'dan', room, {}, more);
        assert.deepEqual(wrong.said, []);
        assert.equal(wrong.joined.recovered, false);
        assert.equal(wrong.joined.gap, undefined);
        assert.equal(wrong.joined.epoch, epoch);
      }
      await say(ann, room, numbers(4, 9).map(String));
      const gap = await enter(kind, 'eve', room, {}, {since: 1, epoch});
      assert.deepEqual(gap.joined.gap, [2, 4]);
      assert.deepEqual(texts(gap.said), numbers(5, 9).map(String));
      await killAndStart();
      const over = await enter(kind, 'fay', room, {}, {since: 1, epoch});
      assert.deepEqual(over.said, []);
      assert.equal(over.joined.recovered, false);
    });

    test('nonsense and strangers', async () => {
      const room = newRoom();
      const ann = await enter(kind, 'ann', room);

      await say(ann, room, ['1']);
      for (const since of ['x', -1, 1.5, null, {}, []]) {
        const other = await enter(kind, 'ben', room, {}, {since});
        assert.equal(other.joined.joined, room);
        assert.equal(other.joined.recovered, undefined, String(since));
        assert.deepEqual(other.said, []);
      }
      const far = await enter(kind, 'cid', room, {}, {since: 2 ** 52});
      assert.equal(far.joined.recovered, false);
      assert.deepEqual(far.said, []);

      const dan = await open(kind, server, 'dan');
      const code = async (promise) => (await promise).error.code;
      assert.equal(await code(dan.ask('room:history', {room})), 'forbidden');
      assert.equal(await code(dan.ask('chat:message', {room, text: 'x'})),
        'room');
      assert.equal(await code(dan.join('closed-room', {since: 0})),
        'forbidden');
      assert.equal(await code(dan.ask('room:join', {room: 'closed-room'})),
        'forbidden');
      assert.equal(await code(dan.ask('room:leave', {room})), 'leave');
      assert.equal(await code(dan.join('')), 'join');
      for (const ask of [{room, since: 'x', before: [], limit: -1},
        {room, limit: 0}, {room, limit: 65536}])
        assert.equal((await ann.ask('room:history', ask)).events.length, 1);
    });

    test('coming back while others talk: once, and in order', async () => {
      const room = newRoom();
      const ann = await enter('json', 'ann', room);
      let talking = true, said = 0;
      const talk = (async () => {
        while (talking) {
          await Promise.all(Array.from({length: 3}, () =>
            ann.ask('chat:message', {room, text: ++said})));
          await sleep(2);
        }
      })();

      try {
        const got = [];
        for (let i = 0; i < 12 || got.length <= 30; i++) {
          const part = await enter(kind, 'ben', room, {}, {since: got.length});
          assert.equal(part.joined.recovered, true,
            JSON.stringify(part.joined));
          await sleep(5);
          part.close();
          got.push(...texts(part.said));
          part.said.length = 0;
        }
        assert.deepEqual(got, numbers(1, got.length));
      } finally {
        talking = false;
        await talk;
      }
    });

    test('a lost line misses nothing of a durable room', async () => {
      const room = newRoom();
      const ann = await enter('json', 'ann', room);
      const ben = await enter(kind, 'ben', room, {through: proxy});

      await say(ann, room, ['1', '2']);
      await until(() => ben.said.length === 2, 'both');
      for (let i = 3; i < 9; i += 2) {
        proxy.cut();
        await until(() => !ben.connected, 'the cut');
        await say(ann, room, [i, i + 1].map(String));
        await proxy.heal();
        await until(() => ben.said.length === i + 1, 'what was missed');
        await ben.settled();
      }
      assert.deepEqual(texts(ben.said), numbers(1, 8).map(String));
      if (kind === 'socketio')
        assert.equal(ben.socket.recovered, true);
    });
  });

/* Events of an EventSource's stream as {event, id, data}, until it is cut. */
function stream(room, id) {
  const got = [];
  let rest = '';
  const request = http.get({port: server.port, host: '127.0.0.1',
    path: `/events/${room}?token=eve`,
    headers: id ? {'last-event-id': id} : {}}, (response) => {
    response.setEncoding('utf8');
    response.on('error', () => {});
    response.on('data', (text) => {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks)
        got.push(Object.fromEntries(block.split('\n').map((line) =>
          [line.slice(0, line.indexOf(':')),
            line.slice(line.indexOf(':') + 2)])));
    });
  });

  request.on('error', () => {});
  got.said = () => got.filter(({event}) => event === 'chat:message')
    .map(({data}) => JSON.parse(data).text);
  got.session = () => within((async () => {
    let at;
    while ((at = got.findIndex(({event}) => event === 'session')) < 0)
      await sleep(5);
    return {at, ...JSON.parse(got[at].data)};
  })(), 'session');
  got.cut = () => request.destroy();
  return got;
}

test('an EventSource goes on by number after a kill', async () => {
  const room = newRoom();
  const ann = await enter('json', 'ann', room);
  const one = stream(room);

  await one.session();
  await say(ann, room, ['1', '2', '3']);
  await until(() => one.said().length === 3, 'three');
  const ids = one.filter(({event}) => event === 'chat:message')
    .map(({id}) => id);
  assert.deepEqual(ids.map((id) => id.split('.')[1]), ['1', '2', '3']);
  one.cut();
  await killAndStart();
  const two = stream(room, ids[0]);
  const {recovered, at} = await two.session();
  assert.equal(recovered, true);
  assert.deepEqual(two.said(), ['2', '3']);
  assert.ok(at > two.findLastIndex(({event}) => event === 'chat:message'),
    'the verdict is behind');
  const again = await enter('json', 'ann', room);
  await say(again, room, ['4']);
  await until(() => two.said().length === 3, 'the fourth');
  assert.deepEqual(two.said(), ['2', '3', '4']);
  two.cut();
});

test('what was acknowledged is there after a kill', async () => {
  const room = newRoom();
  const known = new Map(); /* number: text */
  const twice = [];
  let count = 0;

  for (let round = 0; round < 5; round++) {
    const clients = [await enter('json', 'ann', room),
      await enter('socketio', 'ben', room, {transports: ['websocket']})];
    for (const client of clients)
      (async () => {
        for (;;) {
          const text = `${round}-${++count}`;
          const {offset} = await client.ask('chat:message', {room, text});
          if (known.has(offset))
            twice.push(offset);
          known.set(offset, text);
        }
      })().catch(() => {}); /* the kill, or its answer that never comes */
    await sleep(60 + 20 * round);
    await killAndStart();
    closeAll();
    hangUp();
    const reader = await enter('json', 'eye', room);
    const kept = [];
    for (;;) {
      const {events} = await reader.ask('room:history',
        {room, since: kept.length});
      if (events.length === 0)
        break;
      kept.push(...events);
    }
    assert.deepEqual(kept.map(({at}) => at), numbers(1, kept.length));
    for (const [at, text] of known)
      assert.equal(kept[at - 1]?.args[0].text, text);
    closeAll();
  }
  assert.deepEqual(twice, []);
  assert.ok(known.size > 20, String(known.size));
});

test('a client that sends again over cuts says it once', async () => {
  const room = newRoom();
  const ann = await enter('json', 'ann', room);
  const ben = await enter('socketio', 'ben', room, {through: proxy,
    transports: ['websocket'], retries: 100, ackTimeout: 60});
  const list = numbers(1, 30).map(String);
  const sent = list.map((text) => new Promise((resolve) => {
    ben.socket.emit('chat:message', {room, text, clientId: `b-${text}`},
      (error, answer) => resolve(error ?? answer));
  }));

  for (let i = 0; i < 6; i++) {
    await until(() => ann.said.length >= 4 * i, 'some');
    proxy.cut();
    await sleep(10 * i);
    await proxy.heal();
    await until(() => ben.connected, 'back');
  }
  const answers = await within(Promise.all(sent), 'all answers', 20000);
  assert.deepEqual(answers.map(({offset}) => offset), numbers(1, 30));
  await until(() => ann.said.length >= 30, 'all');
  await until(() => ben.said.length >= 30, 'all of its own');
  assert.deepEqual(texts(ann.said), list);
  assert.deepEqual(texts(ben.said), list);
});

test('a database in use is an error, and no empty room', async () => {
  await assert.rejects(startServer('rooms_server', {flags: ['--db', db]}),
    /ended before it listened/);
  await assert.rejects(startServer('rooms_server',
    {flags: ['--db', path.join(folder, 'none', 'x.db')]}),
  /ended before it listened/);
});

test('without a database history lasts as long as the server', async () => {
  const memory = await startServer('rooms_server');
  const on = server;

  server = memory;
  try {
    const room = newRoom();
    const ann = await enter('json', 'ann', room);
    await say(ann, room, ['1', '2', '3']);
    const {epoch} = ann.joined;
    const ben = await enter('socketio', 'ben', room, {}, {since: 1, epoch});
    assert.deepEqual(texts(ben.said), ['2', '3']);
    const cid = await enter('json', 'cid', room, {}, {since: 1});
    assert.deepEqual(cid.said, [], 'without the epoch nothing is sent');
    assert.equal(cid.joined.recovered, false);
    closeAll();
    hangUp();
    await memory.stop();
    server = await startServer('rooms_server', {port: memory.port});
    const dan = await enter('json', 'dan', room, {}, {since: 1, epoch});
    assert.deepEqual(dan.said, []);
    assert.equal(dan.joined.recovered, false);
    closeAll();
    await server.stop();
  } finally {
    server = on;
  }
});
