/*
 * presence.test.mjs - who is there and who types, for stock clients: by user
 * over all tabs, through cuts and resumes, told as a state and its changes.
 */
import assert from 'node:assert/strict';
import {after, afterEach, before, describe, test} from 'node:test';
import {Proxy, counters, hangUp, hangUpWires, sleep, startServer, until}
  from './servers.mjs';
import {Roll, closeAll, collect, heard, open} from './rooms.mjs';

/* The first is much shorter than the second, here too. */
const window = 30, grace = 600;
const flags = ['--presence_window_ms', window, '--presence_grace_ms', grace,
  '--typing_window_ms', 20, '--typing_ms', 700, '--recovery_ms', 5000,
  '--presence_page', 4];
let server, proxy, number = 0;

before(async () => {
  server = await startServer('rooms_server', {flags});
  proxy = await Proxy.open(server.port);
});

after(async () => {
  proxy.cut();
  await server.stop();
});

afterEach(async () => {
  closeAll();
  hangUp();
  hangUpWires();
  proxy.cut();
  await proxy.heal();
});

const newRoom = (prefix = 'here') => `${prefix}-${++number}`;
const shows = (roll, statuses, what) => until(() =>
  JSON.stringify(roll.statuses) === JSON.stringify(statuses),
what ?? JSON.stringify(statuses)).catch((error) => {
  throw new Error(error.message + ': ' + JSON.stringify(roll.statuses));
});

/* Somebody of |kind| in |room|, with what that one is told. */
async function enter(kind, user, room, options) {
  const client = await open(kind, server, user, options);

  client.roll = new Roll(client, room);
  const answer = await client.join(room);
  assert.equal(answer.joined, room);
  return client;
}

/* Time for what should not happen. */
const settle = (ms = 4 * window) => sleep(ms);

for (const kind of ['socketio', 'json'])
  describe(`presence by ${kind}`, () => {
    test('a state, then what changes', async () => {
      const room = newRoom();
      const ann = await enter(kind, 'ann', room);

      await shows(ann.roll, {ann: 'online'});
      const ben = await enter('json', 'ben', room);
      const cid = await enter('socketio', 'cid', room);
      const all = {ann: 'online', ben: 'online', cid: 'online'};
      await shows(ann.roll, all);
      await shows(ben.roll, all);
      await shows(cid.roll, all);
      assert.equal(ann.roll.count, 3);

      cid.tell('presence:update', {status: 'busy'});
      await shows(ann.roll, {...all, cid: 'busy'});
      const gone = heard(ann, 'presence:update');
      const before = Date.now();
      cid.close();
      const {users: [{userId, status, lastSeen}], count, peers} = await gone;
      assert.deepEqual([userId, status, count, peers],
        ['cid', 'offline', 2, 2]);
      assert.ok(Math.abs(lastSeen - before) < 2000, String(lastSeen));
      assert.ok(Date.now() - before < grace, 'who leaves has no grace');
      await shows(ben.roll, {ann: 'online', ben: 'online'});
    });

    test('tabs are one user', async () => {
      const room = newRoom();
      const ann = await enter('json', 'ann', room);
      const tabs = [await enter(kind, 'ben', room)];

      await shows(ann.roll, {ann: 'online', ben: 'online'});
      ann.roll.log.length = 0;
      tabs.push(await enter('socketio', 'ben', room));
      tabs.push(await enter('json', 'ben', room));
      assert.deepEqual(await ann.ask('count', {room}),
        {peers: 4, users: 2, away: 0, online: 2, busy: 0});
      tabs.pop().close();
      tabs.pop().close();
      await settle();
      assert.deepEqual(ann.roll.log, [], 'one tab more or less is no news');
      assert.equal((await ann.ask('count', {room})).peers, 2);
      tabs.pop().close();
      await shows(ann.roll, {ann: 'online'});
      assert.deepEqual(ann.roll.log, ['ben offline']);
    });

    test('the most present tab counts', async () => {
      const room = newRoom();
      const ann = await enter('socketio', 'ann', room);
      const one = await enter(kind, 'ben', room);
      const two = await enter('json', 'ben', room);
      const is = (ben) => shows(ann.roll,
        ben === 'offline' ? {ann: 'online'} : {ann: 'online', ben});

      one.tell('presence:update', {status: 'away'});
      await settle();
      await is('online');
      two.tell('presence:update', {status: 'away'});
      await is('away');
      one.tell('presence:update', {status: 'busy'});
      await is('busy');
      one.tell('presence:update', {status: 'offline'});
      await is('away');
      two.tell('presence:update', {status: 'offline'});
      await is('offline');
      two.tell('presence:update', {status: 'online'});
      await is('online');
      const answer = await one.ask('presence:update', {status: 'asleep'});
      assert.equal(answer.error.code, 'status');
    });

    test('a state is shown, changed and taken back', async () => {
      const room = newRoom();
      const ann = await enter('json', 'ann', room);
      const ben = await enter(kind, 'ben', room);
      const of = (roll) => JSON.stringify(roll.users.get('ben')?.state);

      ben.tell('presence:update', {state: {at: [1, 2]}});
      await until(() => of(ann.roll) === '{"at":[1,2]}', 'the first');
      ben.tell('presence:update', {state: 'ä', status: 'away'});
      await until(() => of(ann.roll) === '"ä"', 'the second');
      assert.equal(ann.roll.statuses.ben, 'away');
      const cid = await enter('socketio', 'cid', room);
      await until(() => of(cid.roll) === '"ä"', 'in a snapshot');
      ben.tell('presence:update', {state: null});
      await until(() => of(ann.roll) === undefined &&
        of(cid.roll) === undefined, 'none');
      assert.equal((await ben.ask('presence:update',
        {state: 'x'.repeat(5000)})).error.code, 'too-big');
    });

    test('who is cut off counts until the grace ends', async () => {
      const room = newRoom();
      const ann = await enter('json', 'ann', room);
      await enter(kind, 'ben', room, {through: proxy});

      await shows(ann.roll, {ann: 'online', ben: 'online'});
      const cut = Date.now();
      proxy.cut();
      await settle(grace / 2);
      assert.deepEqual(ann.roll.statuses, {ann: 'online', ben: 'online'});
      await shows(ann.roll, {ann: 'online'});
      const waited = Date.now() - cut;
      assert.ok(waited >= grace - 5 && waited < 2 * grace, String(waited));
      await proxy.heal();
      await shows(ann.roll, {ann: 'online', ben: 'online'},
        'its session is back, in its rooms');
      assert.deepEqual(ann.roll.log.filter((text) => text.startsWith('ben')),
        ['ben online', 'ben offline', 'ben online']);
    });

    test('who comes back in time is no news', async () => {
      const room = newRoom();
      const ann = await enter('socketio', 'ann', room);
      const ben = await enter(kind, 'ben', room, {through: proxy});

      await shows(ann.roll, {ann: 'online', ben: 'online'});
      await shows(ben.roll, {ann: 'online', ben: 'online'});
      ann.roll.log.length = 0;
      for (let i = 0; i < 3; i++) {
        proxy.cut();
        await until(() => !ben.connected, 'the cut');
        const state = heard(ben, 'presence:state');
        await proxy.heal();
        assert.deepEqual((await state).users.map(({userId}) => userId).sort(),
          ['ann', 'ben'], 'a new snapshot');
        await ben.settled();
      }
      await settle(grace + 100);
      assert.deepEqual(ann.roll.log, []);
      assert.deepEqual(ann.roll.statuses, {ann: 'online', ben: 'online'});
    });

    test('a page that is loaded again is no news', async () => {
      const room = newRoom();
      const ann = await enter('json', 'ann', room);
      const ben = await enter(kind, 'ben', room);

      await shows(ann.roll, {ann: 'online', ben: 'online'});
      ann.roll.log.length = 0;
      if (kind === 'json') /* as browsers do */
        ben.close(1001);
      else
        ben.socket.io.engine.transport.ws.close(1001);
      await sleep(100);
      await enter(kind, 'ben', room); /* with a session of its own */
      await settle(grace + 100);
      assert.deepEqual(ann.roll.log, []);
    });

    test('leaving the room is leaving it at once', async () => {
      const room = newRoom(), other = newRoom();
      const ann = await enter('json', 'ann', room);
      const ben = await enter(kind, 'ben', room);
      const cid = await enter('socketio', 'cid', other);

      await ben.join(other);
      await shows(ann.roll, {ann: 'online', ben: 'online'});
      await shows(cid.roll, {ben: 'online', cid: 'online'});
      const from = Date.now();
      assert.equal((await ben.ask('room:leave', {room})).left, room);
      await shows(ann.roll, {ann: 'online'});
      assert.ok(Date.now() - from < grace);
      assert.deepEqual(cid.roll.statuses, {ben: 'online', cid: 'online'});
      assert.equal((await ben.ask('presence:list', {room})).error.code,
        'forbidden');
    });

    test('a big room comes in pages', async () => {
      const room = newRoom();
      const names = [...Array(11).keys()].map((i) => `user-${i}`);
      const users = [], peers = [];

      for (const name of names)
        await enter(kind, name, room);
      await enter(kind, names[0], room);
      await settle();
      const ann = await enter(kind, names[1], room);
      await until(() => ann.roll.version !== null, 'the state');
      assert.equal(ann.roll.users.size, 4);
      assert.equal(ann.roll.count, 11);
      let after;
      do {
        const page = await ann.ask('presence:list', {room, after});
        assert.ok(page.users.length <= 4);
        users.push(...page.users.map(({userId}) => userId));
        after = page.next;
      } while (after !== undefined);
      assert.deepEqual(users.sort(), names.sort());
      do {
        const page = await ann.ask('presence:list', {room, after,
          view: 'peers'});
        assert.ok(page.members.length <= 4);
        peers.push(...page.members.map(({userId}) => userId));
        after = page.next;
      } while (after !== undefined);
      assert.deepEqual(peers.sort(),
        [...names, names[0], names[1]].sort());
    });

    test('a user can be followed', async () => {
      const ann = await open(kind, server, 'ann');
      const told = collect(ann, 'presence:update');
      const answer = await ann.ask('presence:watch',
        {users: [`w-${kind}`, 'nobody-else']});

      assert.deepEqual(answer.users.map(({userId, status}) =>
        [userId, status]), [[`w-${kind}`, 'offline'],
        ['nobody-else', 'offline']]);
      const ben = await open('json', server, `w-${kind}`);
      await until(() => told.length === 1, 'online');
      ben.tell('presence:update', {status: 'busy'});
      await until(() => told.length === 2, 'busy');
      ben.close();
      await until(() => told.length === 3, 'offline');
      assert.deepEqual(told.map(({userId, status}) => [userId, status]),
        ['online', 'busy', 'offline'].map((s) => [`w-${kind}`, s]));
      assert.ok(told[2].lastSeen > 0);
      await ann.ask('presence:unwatch', {users: [`w-${kind}`]});
      await open('json', server, `w-${kind}`);
      await settle();
      assert.equal(told.length, 3);
    });

    test('a thousand can be followed, and no more', async () => {
      const users = Array.from({length: 1000}, (_, i) => `k${kind}-${i}`);
      const ann = await open(kind, server, 'ann');
      const told = collect(ann, 'presence:update');
      const limit = async () =>
        (await counters(server)).limit_presence_watched;
      const from = await limit();

      const answer = await ann.ask('presence:watch', {users});
      assert.deepEqual(answer.users.map(({userId}) => userId).sort(),
        [...users].sort());
      assert.equal((await ann.ask('presence:watch', {users: ['one-more']}))
        .error.code, 'limit');
      assert.equal(await limit(), from + 1);
      const three = [];
      for (const user of [users[0], users[500], users[999]])
        three.push(await open('json', server, user));
      await until(() => told.length === 3, 'three come');
      for (const one of three)
        one.close();
      await until(() => told.length === 6, 'and go');
      await ann.ask('presence:unwatch', {users: users.slice(0, 1)});
      assert.equal((await ann.ask('presence:watch', {users: ['one-more']}))
        .users.length, 1);
    });

    test('what one shows has a bound', async () => {
      const ann = await open(kind, server, 'ann');
      const {error} = await ann.ask('presence:update',
        {state: {text: 'x'.repeat(1100)}});

      assert.equal(error.code, 'too-big');
    });
  });

test('who polls is cut off, and leaves, like all others', async () => {
  const room = newRoom();
  const ann = await enter('json', 'ann', room);
  const ben = await enter('socketio', 'ben', room, {through: proxy,
    transports: ['polling']});
  const from = Date.now();

  await shows(ann.roll, {ann: 'online', ben: 'online'});
  await sleep(50); /* a poll is under way: its end is noticed */
  proxy.cut();
  await until(() => !ben.connected, 'the cut');
  await settle(grace / 3);
  await proxy.heal();
  await until(() => ben.connected, 'back');
  assert.equal(ben.socket.recovered, true);
  await settle(grace + 100);
  assert.deepEqual(ann.roll.statuses, {ann: 'online', ben: 'online'});
  assert.ok(!ann.roll.log.includes('ben offline'));
  assert.ok(Date.now() - from > grace);
  const left = Date.now();
  ben.close();
  await shows(ann.roll, {ann: 'online'});
  assert.ok(Date.now() - left < grace);
});

/*
 * An upgrade that is cut leaves a session that nobody has hung up on, as in
 * Node, so these go without.
 */
const websocket = {transports: ['websocket']};

test('after any sequence all agree', async () => {
  const room = newRoom();
  const users = ['u0', 'u1', 'u2']; /* with the watchers a page */
  const watchers = [await enter('json', 'eye', room),
    await enter('socketio', 'eye', room)];
  const tabs = [];
  let seed = Number(process.env.SEED ?? 7);
  const random = (n) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 16) % n;
  };

  for (let step = 0; step < 60; step++) {
    const tab = tabs[random(tabs.length || 1)];
    switch (random(6)) {
    case 0:
    case 1: {
      const user = users[random(users.length)];
      const fresh = await enter(random(2) ? 'json' : 'socketio', user, room,
        {through: proxy, ...websocket});
      tabs.push({user, client: fresh, status: 'online'});
      break;
    }
    case 2:
      if (tab?.client.connected) {
        tab.client.close();
        tabs.splice(tabs.indexOf(tab), 1);
      }
      break;
    case 3:
      if (tab?.client.connected) {
        tab.status = ['away', 'online', 'busy', 'offline'][random(4)];
        await tab.client.ask('presence:update', {status: tab.status});
      }
      break;
    case 4:
      proxy.cut();
      await sleep(random(60));
      await proxy.heal();
      await until(() => tabs.every(({client}) => client.connected), 'back');
      break;
    default:
      await sleep(random(50));
    }
  }
  await until(() => tabs.every(({client}) => client.connected), 'back');
  const order = ['offline', 'away', 'online', 'busy'];
  const model = {eye: 'online'};
  for (const {user, status} of tabs)
    if (order.indexOf(status) > order.indexOf(model[user] ?? 'offline'))
      model[user] = status;
  const expected = Object.fromEntries(Object.entries(model).sort());
  for (const {roll} of watchers)
    await shows(roll, expected, `seed ${process.env.SEED ?? 7}`);
  for (const {client} of tabs)
    await shows(client.roll, expected, `seed ${process.env.SEED ?? 7}`);
  await settle(grace + 100);
  for (const {roll} of watchers)
    assert.deepEqual(roll.statuses, expected);
  assert.deepEqual(await watchers[0].ask('count', {room}), {
    peers: tabs.length + 2,
    users: Object.keys(expected).length,
    ...Object.fromEntries(['away', 'online', 'busy'].map((s) =>
      [s, Object.values(expected).filter((status) => status === s).length]))
  });
});

describe('heartbeats', () => {
  let beats;

  before(async () => {
    /* 60 s and a sweep every 30 s, in a hundredth of the time */
    beats = await startServer('rooms_server', {flags: ['--heartbeat', 600,
      '--sweep', 300, '--everyone', '--presence_window_ms', 20]});
  });

  after(async () => {
    await beats.stop();
  });

  test('the pattern of every tutorial', async () => {
    const ann = await open('socketio', beats, 'ann');
    const told = collect(ann, 'presence:update');
    const of = (name) => told.filter(({userId}) => userId === name)
      .map(({status}) => status);

    await ann.join('log');
    const changed = collect(ann, 'changed');
    const ben = await open('json', beats, 'ben');
    await open('socketio', beats, 'cid'); /* which sends none */
    await until(() => of('ben').length === 1, 'ben');
    assert.deepEqual(told.find(({userId}) => userId === 'ben'),
      {userId: 'ben', status: 'online'});
    for (let i = 0; i < 10; i++) {
      ben.tell('presence:heartbeat', {});
      await sleep(100);
    }
    assert.deepEqual(of('ben'), ['online']);
    const silent = Date.now();
    await until(() => of('ben').length === 2, 'no heartbeat');
    const waited = Date.now() - silent;
    assert.ok(waited > 400 && waited < 1100, String(waited));
    assert.ok(told.at(-1).lastSeen > 0);
    ben.tell('presence:heartbeat', {});
    await until(() => of('ben').length === 3, 'a heartbeat again');
    assert.deepEqual(of('ben'), ['online', 'offline', 'online']);
    assert.deepEqual(of('cid'), ['online']);
    await until(() => changed.filter(({userId}) => userId === 'ben')
      .length === 3, 'the host was told as well');
  });

  test('who connects is told of everybody', async () => {
    await open('json', beats, 'dan');
    await sleep(100);
    const eve = await open('socketio', beats, 'eve', {later: true});
    const roll = new Roll(eve);
    await until(() => roll.version !== null, 'the state');
    assert.equal(roll.statuses.dan, 'online');
    const {users} = await eve.ask('presence:list', {});
    assert.ok(users.some(({userId}) => userId === 'dan'));
  });

  test('who does nothing is away until it does', async () => {
    const idle = await startServer('rooms_server', {flags: ['--idle', 300,
      '--presence_window_ms', 20]});
    try {
      const ann = await open('json', idle, 'ann');
      const roll = new Roll(ann, 'here');

      await ann.join('here');
      const ben = await open('socketio', idle, 'ben');
      await ben.join('here');
      const beat = setInterval(() => ben.tell('presence:heartbeat', {}), 50);
      const act = setInterval(() => ann.tell('count', {}), 50);
      try {
        await shows(roll, {ann: 'online', ben: 'online'});
        await shows(roll, {ann: 'online', ben: 'away'});
        await ben.ask('count', {});
        await shows(roll, {ann: 'online', ben: 'online'});
        await shows(roll, {ann: 'online', ben: 'away'});
        assert.ok(!roll.log.includes('ann away'), String(roll.log));
      } finally {
        clearInterval(beat);
        clearInterval(act);
      }
    } finally {
      closeAll();
      hangUp();
      await idle.stop();
    }
  });
});

for (const kind of ['socketio', 'json'])
  describe(`typing by ${kind}`, () => {
    /* Who types, as |client| was told last. */
    function listen(client) {
      client.typing = [];
      client.typings = 0;
      client.on('typing:update', ({users, count}) => {
        assert.equal(users.length, count);
        client.typing = users.sort();
        client.typings++;
      });
    }

    async function sit(user, room, how = kind, options) {
      const client = await open(how, server, user, options);

      listen(client);
      await client.join(room);
      return client;
    }

    const types = (client, ...users) => until(() =>
      JSON.stringify(client.typing) === JSON.stringify(users),
    'typing: ' + users);

    test('start, stop, and who comes later', async () => {
      const room = newRoom('chat');
      const ann = await sit('ann', room, 'json');
      const ben = await sit('ben', room);

      ben.tell('typing:start', {room});
      await types(ann, 'ben');
      ann.tell('chat:typing', {roomId: room, isTyping: true});
      await types(ann, 'ann', 'ben');
      const cid = await sit('cid', room, 'socketio');
      await types(cid, 'ann', 'ben');
      ben.tell('typing:stop', {room});
      await types(ann, 'ann');
      ann.tell('chat:typing', {roomId: room, isTyping: false});
      await types(cid);
      await types(ben);
    });

    test('it ends by itself, and goes on with each start', async () => {
      const room = newRoom('chat');
      const ann = await sit('ann', room, 'json');
      const ben = await sit('ben', room);

      ben.tell('typing:start', {room});
      await types(ann, 'ben');
      for (let i = 0; i < 3; i++) {
        await sleep(400);
        ben.tell('typing:start', {room});
      }
      const from = Date.now();
      assert.deepEqual(ann.typing, ['ben']);
      assert.equal(ann.typings, 1, 'told once');
      await types(ann);
      const waited = Date.now() - from;
      assert.ok(waited > 500 && waited < 1200, String(waited));
    });

    test('a message ends it, and so do leaving and a cut', async () => {
      const room = newRoom('chat');
      const ann = await sit('ann', room, 'socketio');
      const ben = await sit('ben', room, kind, {through: proxy});
      const start = async () => {
        ben.tell('typing:start', {room});
        await types(ann, 'ben');
        return Date.now();
      };
      const soon = (from) => assert.ok(Date.now() - from < 500);

      let from = await start();
      const said = await ben.ask('chat:message', {room, text: 'there'});
      assert.equal(said.offset, 1);
      await types(ann);
      soon(from);
      from = await start();
      await ben.ask('room:leave', {room});
      await types(ann);
      soon(from);
      await ben.join(room);
      from = await start();
      proxy.cut();
      await types(ann);
      soon(from);
      await proxy.heal();

      const {events, last} = await ann.ask('room:history', {room});
      assert.deepEqual(events.map(({event}) => event), ['chat:message']);
      assert.equal(last, 1, 'typing is in no history');
    });

    test('tabs are one user, and few are told of many starts', async () => {
      const room = newRoom('chat');
      const ann = await sit('ann', room, 'json');
      const tabs = [await sit('ben', room), await sit('ben', room, 'json')];

      for (let i = 0; i < 40; i++)
        tabs[i % 2].tell(i % 4 < 2 ? 'typing:start' : 'typing:stop', {room});
      tabs[1].tell('typing:start', {room});
      await settle(200);
      assert.ok(ann.typings <= 10, `${ann.typings} updates`);
      await types(ann);
      const answer = await ann.ask('typing:start', {room: newRoom('chat')});
      assert.equal(answer.error.code, 'typing');
    });
  });
