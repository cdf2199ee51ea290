/*
 * chat.test.mjs - the protocol of build/examples/chat, line by line.
 */
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {after, before, test} from 'node:test';
import WebSocket from 'ws';
import {startExample} from './harness.mjs';

let server;

before(async () => {
  server = await startExample('chat');
});
after(() => server.stop());

/* A guest keeps all lines; |heard| gives those since it was last asked. */
class Guest {
  #lines = [];
  #pongs = 0;

  static open(name, ...rooms) {
    return Guest.from('127.0.0.1', name, ...rooms);
  }

  static async from(localAddress, name, ...rooms) {
    const guest = new Guest();

    guest.socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`,
      {localAddress});
    guest.closed = once(guest.socket, 'close')
      .then(([code, reason]) => `${code} ${reason}`);
    guest.socket.on('message', (data) => {
      const line = data.toString();
      if (line === 'pong')
        guest.socket.emit('line-pong', ++guest.#pongs);
      else
        guest.#lines.push(line);
    });
    await once(guest.socket, 'open');
    if (name)
      guest.send('name ' + name);
    for (const room of rooms)
      guest.send('join ' + room);
    await guest.heard();
    return guest;
  }

  send(...lines) {
    for (const line of lines)
      this.socket.send(line);
  }

  /* What the server had to say until it answers a ping. */
  async heard() {
    const pong = once(this.socket, 'line-pong');

    this.send('ping');
    await pong;
    return this.#lines.splice(0);
  }

  async leave() {
    this.socket.close();
    await this.closed;
  }
}

const all = (...guests) => Promise.all(guests.map((guest) => guest.heard()));

test('a visit, line by line', async () => {
  const ann = await Guest.open();
  const ben = await Guest.open('Ben', 'visit');

  ann.send('name Ann', 'join visit');
  let [heard, other] = [await ann.heard(), await ben.heard()];
  assert.deepEqual(heard.slice(0, 2), ['named Ann', 'joined visit Ann']);
  assert.match(heard[2], /^names visit (Ann Ben|Ben Ann)$/);
  assert.equal(heard.length, 3);
  assert.deepEqual(other, ['joined visit Ann']);

  ann.send('say visit tag-1 Hello,  Ben\nhow are you?');
  [heard, other] = [await ann.heard(), await ben.heard()];
  assert.deepEqual(heard, other);
  assert.equal(heard.length, 1);
  const [, millis] = heard[0].match(
    /^said visit (\d+) tag-1 Ann Hello, {2}Ben\nhow are you\?$/);
  assert.ok(Math.abs(Number(millis) - Date.now()) < 5000);

  ann.send('leave visit');
  assert.deepEqual(await ann.heard(), ['left visit Ann']);
  assert.deepEqual(await ben.heard(), ['left visit Ann']);
  ann.send('say visit tag-2 anybody?', 'leave visit');
  assert.deepEqual(await ann.heard(),
    ['error bad-room tag-2', 'error bad-room visit']);
  assert.deepEqual(await ben.heard(), []);
  await ann.leave();
  await ben.leave();
});

test('who shares two rooms hears of a new name once', async () => {
  const ann = await Guest.open('Ann', 'one', 'two');
  const ben = await Guest.open('Ben', 'one', 'two');
  const cem = await Guest.open('Cem', 'three');

  await all(ann, ben, cem);
  ann.send('name Anna');
  assert.deepEqual(await ann.heard(), ['named Anna']);
  assert.deepEqual(await ben.heard(), ['renamed Ann Anna']);
  assert.deepEqual(await cem.heard(), []);

  await ann.leave();
  assert.deepEqual((await ben.heard()).sort(),
    ['left one Anna', 'left two Anna']);
  await ben.leave();
  await cem.leave();
});

test('a key gets a name back, and nothing else does', async () => {
  const ben = await Guest.open('Ben', 'home');
  const ann = await Guest.open('Ann secret', 'home');
  const again = await Guest.open();

  await ben.heard();
  again.send('name ann wrong', 'name Ann', 'name Ann secret2');
  assert.deepEqual(await again.heard(), ['error name-taken ann',
    'error name-taken Ann', 'error name-taken Ann']);
  again.send('name Ann secret', 'join home');
  assert.equal(await ann.closed, '4500 a newer connection');
  const heard = await again.heard();
  assert.deepEqual(heard.slice(0, 2), ['named Ann', 'joined home Ann']);
  assert.equal(heard[2].split(' ').filter((name) => name === 'Ann').length, 1);
  assert.deepEqual(await ben.heard(), ['left home Ann', 'joined home Ann']);
  await again.leave();
  assert.deepEqual(await ben.heard(), ['left home Ann']);
  await ben.leave();
});

test('words and texts have their limits', async () => {
  const guest = await Guest.open();
  const word = 'w'.repeat(32);
  const check = async (line, ...answers) => {
    guest.send(line);
    assert.deepEqual(await guest.heard(), answers, JSON.stringify(line));
  };

  await check('join early', 'error no-name early');
  for (const name of ['', 'w'.repeat(33), 'a/b', 'a\u00a0b', 'a\u200bb',
    'a\u202eb', '\ufeff', '\u3000', 'a\0b', 'a\tb', '<b>'])
    await check('name ' + name, 'error bad-word -');
  for (const name of ['x', word, 'Jörg', '李雷', 'a-b_c.d', '😀'])
    await check('name ' + name, 'named ' + name);
  await check('join ' + word + 'w', 'error bad-word -');
  await check(`join ${word}`, `joined ${word} 😀`, `names ${word} 😀`);
  await check(`join ${word}`);
  for (const text of ['', 'x'.repeat(4001), 'a\0b', 'a\x1bb', 'a\x7f'])
    await check(`say ${word} tag ${text}`, 'error bad-text tag');
  await check(`say ${word} ${word}w text`, 'error bad-word -');
  await check(`say nowhere tag text`, 'error bad-room tag');
  guest.send(`say ${word} ${word} ${'€'.repeat(1333)}x`);
  assert.match((await guest.heard())[0], /^said w{32} \d+ w{32} 😀 €{1333}x$/);
  for (const line of ['', ' ', 'nonsense', 'NAME x', 'say', 'leave', 'join',
    'name'])
    assert.match((await (guest.send(line), guest.heard()))[0], /^error bad-/);
  await guest.leave();
});

test('sixteen rooms are enough', async () => {
  const guest = await Guest.open('Guest');

  for (let i = 0; i < 17; i++)
    guest.send('join room-' + i);
  const heard = await guest.heard();
  assert.equal(heard.filter((line) => line.startsWith('joined')).length, 16);
  assert.equal(heard.at(-1), 'error too-many-rooms room-16');
  await guest.leave();
});

test('what is no line of text ends the connection', async () => {
  const binary = await Guest.open('Binary');
  binary.socket.send(Buffer.from('ping'));
  assert.equal(await binary.closed, '1003 text only');

  const long = await Guest.open('Long');
  long.send('say x y ' + 'z'.repeat(20000));
  assert.match(await long.closed, /^1009/);
});

test('a full room is told in several lines', async () => {
  const guests = [];

  /* no address may connect more than 40 times in a moment */
  for (let i = 0; i < 130; i++)
    guests.push(await Guest.from(`127.0.0.${2 + Math.floor(i / 35)}`,
      `${i}-`.padEnd(32, 'n'), 'full'));
  const last = await Guest.open();
  last.send('name last', 'join full');
  const lines = (await last.heard()).filter((line) => line.startsWith('names'));
  const names = lines.flatMap((line) => line.split(' ').slice(2));
  assert.equal(lines.length, 2);
  assert.ok(lines.every((line) => line.startsWith('names full ')));
  assert.equal(names.length, 131);
  assert.equal(new Set(names).size, 131);
  for (const guest of [...guests, last])
    guest.socket.terminate();
});

test('health, page and metrics are served', async () => {
  const base = `http://127.0.0.1:${server.port}`;
  const health = await fetch(base + '/health');
  assert.equal(health.headers.get('content-type'), 'application/json');
  assert.deepEqual(Object.keys(await health.json()), ['status', 'peers']);
  for (const [file, type] of [['', 'text/html'], ['chat.css', 'text/css'],
    ['chat.js', 'text/javascript']]) {
    const answer = await fetch(`${base}/${file}`);
    assert.equal(answer.status, 200);
    assert.ok(answer.headers.get('content-type').startsWith(type));
    await answer.text();
  }
  assert.match(await (await fetch(base + '/metrics')).text(), /^rill_peers /m);
  const missing = await fetch(base + '/chat.c');
  assert.equal(missing.status, 404);
});
