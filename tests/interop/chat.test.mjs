/*
 * chat.test.mjs - build/examples/chat with the clients that it is for:
 * socket.io-client, plain WebSocket (npm ws), npm eventsource and fetch.
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {createHmac} from 'node:crypto';
import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import {Agent} from 'node:http';
import os from 'node:os';
import path from 'node:path';
import {after, afterEach, before, test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {EventSource} from 'eventsource';
import {io} from 'socket.io-client';
import WebSocket from 'ws';
import {build, freePort, root, startExample} from './harness.mjs';

let server, dir;
let clients = [];

before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'rill-chat-'));
  server = await startExample('chat', '--db', path.join(dir, 'chat.db'));
});
after(async () => {
  await server.stop();
  await rm(dir, {recursive: true});
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
});

/* What every client has: the events that came, and a way to wait for one. */
class Client {
  events = [];
  #waiting = [];

  static async open(...args) {
    const client = new this(...args);

    clients.push(client);
    await client.opened;
    return client;
  }

  took(name, data) {
    this.events.push([name, data]);
    this.#waiting = this.#waiting.filter((check) => !check());
  }

  /* The newest event |name| that |fits|, now or within two seconds. */
  hears(name, fits = () => true) {
    const found = () => this.events.findLast(([other, data]) =>
      other === name && fits(data));

    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(
        `no ${name}, but ${JSON.stringify(this.events)}`)), 2000);
      const check = () => {
        const event = found();
        if (event) {
          clearTimeout(timer);
          resolve(event[1]);
        }
        return Boolean(event);
      };
      if (!check())
        this.#waiting.push(check);
    });
  }

  /* All events of a name. */
  all(name) {
    return this.events.filter(([other]) => other === name)
      .map(([, data]) => data);
  }

  /* With |since|, what came later is among the events before the answer. */
  join(room, since, epoch) {
    return this.ask('room:join', {room, since, epoch});
  }

  /* The messages of a room, the oldest first. */
  async history(room, how = {}) {
    const {events} = await this.ask('room:history', {room, ...how});

    return events.map(({args: [message]}) => message);
  }

  /* The status of |userId| in |room|, as it was told last. */
  status(room, userId) {
    return this.events.filter(([name, data]) =>
      name.startsWith('presence:') && data.room === room)
      .flatMap(([, {users}]) => users)
      .findLast((user) => user.userId === userId)?.status;
  }

  /* Within two seconds that status is told. */
  shows(room, userId, status) {
    return this.until(`${userId} ${status}`, () =>
      this.status(room, userId) === status);
  }

  async until(what, fits) {
    for (let end = Date.now() + 2000; !fits(); await delay(10))
      if (Date.now() > end)
        throw new Error(`not in time: ${what}: ${JSON.stringify(this.events)}`);
  }

  say(roomId, text, tag) {
    return this.ask('chat:message', {roomId, text, tag});
  }

  /* The code of the error that an event is answered with. */
  async fails(event, data) {
    const answer = await this.ask(event, data);

    assert.ok(answer.error, 'an error: ' + JSON.stringify(answer));
    return answer.error.code;
  }
}

/*
 * No address may connect more than 40 times in a moment, so each client has
 * one of its own.
 */
let addresses = 256;
const address = () => `127.0.${++addresses >> 8}.${addresses & 255}`;

/* The envelope of rill-protocol(7) on a plain WebSocket. */
class Plain extends Client {
  #id = 0;
  #answers = new Map();

  constructor(auth = {}, {resume, offset, port = server.port} = {}) {
    super();
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/ws`,
      {localAddress: address()});
    this.closed = once(this.socket, 'close')
      .then(([code, reason]) => `${code} ${reason}`);
    this.opened = new Promise((resolve) => { this.isOpen = resolve; });
    this.socket.on('open', () => this.send({open: auth, resume, offset}));
    this.socket.on('message', (data) => this.#message(JSON.parse(data)));
    this.socket.on('error', () => {});
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  #message(message) {
    this.offset = message.offset ?? this.offset;
    if (message.open || (message.error && !this.welcome)) {
      this.welcome = message;
      this.isOpen();
    } else if (message.event) {
      this.took(message.event, message.args[0]);
    } else if (message.ack) {
      this.#answers.get(message.ack)(message.error ?
        {error: message.error} : message.args[0] ?? {});
    } else if (message.joined || message.left || message.id) {
      this.#answers.get(message.id)?.(message);
    } else {
      this.took('', message);
    }
  }

  /* Its own way to say the same. */
  join(room, since, epoch) {
    return new Promise((resolve) => {
      this.#answers.set(++this.#id, resolve);
      this.send({join: room, since, epoch, id: this.#id});
    });
  }

  tell(event, data) {
    this.send({event, args: [data]});
  }

  ask(event, data) {
    assert.ok(this.welcome.open, JSON.stringify(this.welcome));
    return new Promise((resolve) => {
      this.#answers.set(++this.#id, resolve);
      this.send({event, args: [data], id: this.#id});
    });
  }

  /* The connection is lost. */
  cut() {
    this.socket.terminate();
  }

  async end() {
    this.socket.close(1000); /* that is: to leave */
    await this.closed;
  }
}

/* The stock client. */
class SocketIo extends Client {
  constructor(auth = {}, {port = server.port, ...options} = {}) {
    super();
    this.socket = io(`http://127.0.0.1:${port}`, {auth, forceNew: true,
      reconnection: false, transports: ['websocket'],
      agent: new Agent({localAddress: address()}), ...options});
    this.opened = new Promise((resolve) => {
      this.socket.once('connect', resolve);
      this.socket.once('connect_error', (error) => {
        this.error = error;
        resolve();
      });
    });
    this.socket.onAny((name, data) => this.took(name, data));
  }

  tell(event, data) {
    this.socket.emit(event, data);
  }

  async ask(event, data) {
    return (await this.socket.timeout(2000).emitWithAck(event, data)) ?? {};
  }

  end() {
    this.socket.disconnect();
  }
}

/* A stream of events, and POSTs for the other direction. */
class Reader extends Client {
  constructor(room, {port = server.port, search = ''} = {}) {
    super();
    this.url = `http://127.0.0.1:${port}/events/${room}${search}`;
    this.source = new EventSource(this.url);
    this.opened = new Promise((resolve) => {
      this.source.addEventListener('session', (event) => {
        this.session = JSON.parse(event.data);
        resolve();
      });
      this.source.onerror = (error) => {
        this.error = error;
        resolve();
      };
    });
    for (const name of ['chat:message', 'presence:state', 'presence:update',
      'typing:update', 'notification'])
      this.source.addEventListener(name, (event) =>
        this.took(name, JSON.parse(event.data)));
  }

  async ask(event, data) {
    const response = await fetch(this.url, {method: 'POST',
      body: JSON.stringify({event, args: [data],
        session: this.session.session})});
    const answer = await response.json();

    return answer.error ? answer : answer.args[0] ?? {};
  }

  end() {
    this.source.close();
  }
}

const guest = (name) => Plain.open({name});

test('every client in one room', async () => {
  const plain = await guest('Plain');
  const socket = await SocketIo.open({name: 'Socket'});
  const polling = await SocketIo.open({name: 'Polling'},
    {transports: ['polling']});
  const upgraded = await SocketIo.open({name: 'Upgraded'},
    {transports: ['polling', 'websocket']});
  const reader = await Reader.open('mixed');
  const writers = [plain, socket, polling, upgraded];
  const everybody = [...writers, reader];

  for (const writer of writers)
    await writer.join('mixed');
  for (const [i, writer] of writers.entries()) {
    const receipt = await writer.say('mixed', `from ${i} \u{1f600}`, 'tag' + i);
    assert.deepEqual(Object.keys(receipt), ['offset', 'id', 'timestamp']);
    assert.deepEqual([receipt.offset, receipt.id], [i + 1, 'tag' + i]);
    assert.ok(Math.abs(receipt.timestamp - Date.now()) < 5000);
  }
  for (const client of everybody)
    await client.hears('chat:message', ({id}) => id === 'tag3');
  for (const client of everybody)
    assert.deepEqual(client.all('chat:message'), plain.all('chat:message'));
  assert.deepEqual(plain.all('chat:message').map(({userId}) => userId),
    ['Plain', 'Socket', 'Polling', 'Upgraded']);
  for (const client of everybody)
    for (const name of ['Plain', 'Socket', 'Polling', 'Upgraded'])
      await client.shows('mixed', name, 'online');
  assert.equal(plain.all('chat:message')[0].text, 'from 0 \u{1f600}');

  /* the stock client leaves, and says so */
  socket.socket.disconnect();
  for (const client of [plain, polling, upgraded, reader])
    await client.shows('mixed', 'Socket', 'offline');
});

test('a visit, event by event', async () => {
  const ben = await guest('Ben');
  const ann = await guest('Ann');

  const {at, epoch, ...joined} = await ben.join('visit', 0);
  assert.deepEqual(joined, {joined: 'visit', recovered: true, id: 1});
  assert.equal(at, 0);
  assert.match(epoch, /^[\w-]{8}\.0$/);
  const receipt = await ben.say('visit', 'Hello,  Ann\nhow are you?', 'a-tag');
  const said = {userId: 'Ben', roomId: 'visit',
    text: 'Hello,  Ann\nhow are you?', id: 'a-tag',
    timestamp: receipt.timestamp};
  assert.deepEqual(receipt, {offset: 1, id: 'a-tag',
    timestamp: said.timestamp});
  assert.deepEqual(ben.all('chat:message'), [said]);

  /* who does not know whether it arrived says it again */
  const again = await ben.say('visit', 'Hello,  Ann\nhow are you?', 'a-tag');
  assert.deepEqual([again.offset, again.id], [1, 'a-tag']);

  assert.equal((await ann.join('visit')).joined, 'visit');
  assert.deepEqual(await ann.history('visit'), [said]);
  assert.deepEqual(ann.all('chat:message'), []);
  await ben.shows('visit', 'Ann', 'online');
  await ann.shows('visit', 'Ben', 'online');

  assert.deepEqual(await ann.ask('room:leave', {room: 'visit'}),
    {left: 'visit'});
  await ben.shows('visit', 'Ann', 'offline');
  assert.equal(await ann.fails('chat:message',
    {roomId: 'visit', text: 'anybody?'}), 'bad-room');
  assert.equal(await ann.fails('room:leave', {room: 'visit'}), 'leave');
  assert.equal(await ann.fails('room:history', {room: 'visit'}), 'forbidden');
  assert.equal(await ann.fails('chat:typing', {roomId: 'visit'}), 'typing');

  /* without an answer */
  ann.tell('room:join', {room: 'visit'});
  await ben.shows('visit', 'Ann', 'online');
  ann.tell('chat:message', {roomId: 'visit', text: 'back'});
  const back = await ben.hears('chat:message', ({text}) => text === 'back');
  assert.ok(back.id.length > 0 && !('tag' in back));
  assert.deepEqual(ben.all('chat:message'), [said, back]);
});

test('typing, presence and notifications reach whom they are for', async () => {
  const ann = await guest('Ann');
  const ben = await SocketIo.open({name: 'Ben', key: 'k'});
  const twin = await Plain.open({name: 'Ben', key: 'k'});
  const cem = await guest('Cem');

  for (const client of [ann, ben, twin])
    await client.join('here');
  await cem.join('elsewhere');
  await ann.tell('chat:typing', {roomId: 'here', isTyping: true});
  for (const client of [ben, twin])
    assert.deepEqual(await client.hears('typing:update',
      ({count}) => count === 1), {room: 'here', count: 1, users: ['Ann']});
  await ann.say('here', 'that is all');
  for (const client of [ben, twin])
    await client.hears('typing:update', ({count}) => count === 0);
  await ann.tell('presence:update', {status: 'busy'});
  for (const client of [ann, ben, twin])
    await client.shows('here', 'Ann', 'busy');
  await ann.ask('notify', {userId: 'Ben', text: 'lunch?'});
  for (const client of [ben, twin]) {
    const {offset, data, unread} = await client.hears('notification');
    assert.deepEqual({offset, data, unread}, {offset: 1, unread: 1,
      data: {userId: 'Ann', text: 'lunch?'}});
  }

  assert.deepEqual(cem.all('typing:update'), []);
  assert.deepEqual(cem.all('notification'), []);
  assert.equal(cem.status('here', 'Ann'), undefined);
  assert.equal(await ann.fails('presence:update', {status: 'a b'}), 'status');

  /* one device says for all that it was seen */
  assert.deepEqual(await twin.ask('notification:ack', {upTo: 1}),
    {cleared: 1, unread: 0});
  await ben.hears('notification:cleared');

  /* who goes with one of two connections has not gone */
  await twin.end();
  await delay(400);
  assert.equal(ann.status('here', 'Ben'), 'online');
  assert.ok(!ann.events.some(([name, {users}]) => name === 'presence:update' &&
    users.some(({userId, status}) => userId === 'Ben' && status !== 'online')));
});

test('a notification waits, and how far one has read is kept', async () => {
  const ann = await guest('Ann');

  await ann.join('read');
  for (const text of ['one', 'two', 'three'])
    await ann.say('read', text);
  await ann.ask('notify', {userId: 'Dan', text: 'call me'});
  const dan = await SocketIo.open({name: 'Dan', key: 'k'});
  assert.deepEqual((await dan.hears('notification')).data,
    {userId: 'Ann', text: 'call me'});
  await dan.join('read');
  assert.deepEqual(await dan.ask('receipt:get', {room: 'read'}),
    {room: 'read', offset: 0, last: 3, unread: 3});
  assert.deepEqual(await dan.ask('receipt:read', {room: 'read', offset: 2}),
    {room: 'read', offset: 2});
  await dan.ask('receipt:read', {room: 'read', offset: 1}); /* it only grows */
  const twin = await Plain.open({name: 'Dan', key: 'k'});
  await twin.join('read');
  assert.deepEqual(await twin.ask('receipt:get', {room: 'read'}),
    {room: 'read', offset: 2, last: 3, unread: 1});
  await delay(300);
  assert.deepEqual(ann.all('receipt:update'), [], 'no news for others');
});

test('a name belongs to who has its key', async () => {
  const ann = await Plain.open({name: 'Ann', key: 'secret'});
  const refused = {open: undefined,
    error: {code: 'refused', message: 'name-taken'}};

  for (const auth of [{name: 'Ann'}, {name: 'ann', key: 'wrong'},
    {name: 'ANN', key: ''}]) {
    const other = await Plain.open(auth);
    assert.deepEqual({open: undefined, ...other.welcome}, refused);
    assert.match(await other.closed, /^45\d\d /);
    const socket = await SocketIo.open(auth);
    assert.equal(socket.error.message, 'name-taken');
  }
  for (const name of ['w'.repeat(33), 'a/b', 'a\u00a0b', 'a\u200bb',
    'a\u202eb', '\ufeff', '\u3000', 'a\0b', 'a\tb', '<b>', 'a b']) {
    const other = await guest(name);
    assert.equal(other.welcome.error?.message, 'bad-name', name);
  }
  for (const name of ['x', 'w'.repeat(32), 'Jörg', '李雷', 'a-b_c.d', '😀'])
    assert.ok((await guest(name)).welcome.open, name);

  const again = await Plain.open({name: 'Ann', key: 'secret'});
  assert.ok(again.welcome.open);
  await again.join('x');
  await again.say('x', 'still me');
  assert.equal((await again.hears('chat:message')).userId, 'Ann');
  await ann.end();
});

test('who was cut off comes back and has missed nothing', async () => {
  const ann = await guest('Ann');
  const ben = await Plain.open({name: 'Ben', key: 'k'});

  await ann.join('cut');
  await ben.join('cut');
  await ann.say('cut', 'one');
  await ben.hears('chat:message');
  ben.cut();
  await ann.say('cut', 'two');
  await ann.say('cut', 'three');

  const back = await Plain.open({name: 'Ben', key: 'k'},
    {resume: ben.welcome.session, offset: ben.offset});
  assert.equal(back.welcome.recovered, true);
  await back.say('cut', 'four');
  assert.deepEqual(back.all('chat:message').map(({text}) => text),
    ['two', 'three', 'four']);
  await delay(400);
  assert.equal(ann.status('cut', 'Ben'), 'online');
  assert.ok(!ann.events.some(([, {users}]) =>
    users?.some(({status}) => status === 'offline')), 'nobody has noticed');

  /* somebody else cannot go on as Ben */
  const thief = await Plain.open({name: 'Eve'},
    {resume: back.welcome.session, offset: back.offset});
  assert.equal(thief.welcome.recovered, false);
  assert.equal(await thief.fails('chat:message',
    {roomId: 'cut', text: 'I am Ben'}), 'bad-room');
});

test('a stream goes on where it was cut off', async () => {
  const ann = await guest('Ann');
  const url = `http://127.0.0.1:${server.port}/events/stream`;
  const read = async (lastId, enough) => {
    const abort = new AbortController();
    const response = await fetch(url, {signal: abort.signal,
      headers: lastId ? {'Last-Event-ID': lastId} : {}});
    let text = '';
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    for await (const bytes of response.body) {
      text += Buffer.from(bytes);
      if (enough(text))
        break;
    }
    abort.abort();
    return text;
  };

  await ann.join('stream');
  const first = read(null, (text) => text.includes('"two"'));
  await delay(100);
  await ann.say('stream', 'one');
  await ann.say('stream', 'two');
  const [lastId] = [...(await first).matchAll(/^id: (.+)$/gm)].at(-1).slice(1);
  await ann.say('stream', 'three');
  await ann.say('stream', 'four\r\nid: 0\nevent: forged');
  await ann.say('stream', 'five');
  const second = await read(lastId, (text) => text.includes('"five"'));
  assert.match(second, /"recovered":true/);
  assert.deepEqual([...second.matchAll(/^data: (\{.+"text".+)$/gm)]
    .map(([, json]) => JSON.parse(json).text), ['three', 'five']);
  assert.equal((await ann.fails('chat:message',
    {roomId: 'stream', text: 'four\r\nid: 0'})), 'bad-text');
});

test('who has no name may read', async () => {
  const ann = await guest('Ann');
  const nobody = await SocketIo.open();
  const reader = await Reader.open('quiet');

  await ann.join('quiet');
  const {id} = await ann.say('quiet', 'for all');
  for (const client of [nobody, reader]) {
    if (client === nobody)
      await client.join('quiet');
    assert.deepEqual((await client.history('quiet')).map((message) =>
      message.id), [id]);
    await client.shows('quiet', 'Ann', 'online');
    assert.equal(await client.fails('chat:message',
      {roomId: 'quiet', text: 'me too'}), 'no-name');
    assert.equal(await client.fails('notify', {userId: 'Ann', text: 'me'}),
      'no-name');
  }
  await ann.say('quiet', 'again');
  await nobody.hears('chat:message', ({text}) => text === 'again');
  await reader.hears('chat:message', ({text}) => text === 'again');
  const {users} = await ann.ask('presence:list', {room: 'quiet'});
  assert.deepEqual(users, [{userId: 'Ann', status: 'online'}]);

  /* who has no stream is gone with the answer, so it cannot be in a room */
  const post = await fetch(reader.url, {method: 'POST',
    body: JSON.stringify({event: 'room:history', args: [{room: 'quiet'}]})});
  assert.equal(post.status, 422);
  assert.equal((await post.json()).error.code, 'forbidden');
  const bad = await fetch(`http://127.0.0.1:${server.port}/events/a%20b`);
  assert.equal(bad.status, 403);
  await bad.text();
});

test('rooms, texts and tags have their limits', async () => {
  const ann = await guest('Ann');
  const word = 'w'.repeat(32);

  for (const room of [word + 'w', 'a b', 'a\u200b', '*everybody'])
    assert.equal(await ann.fails('room:join', {room}), 'forbidden');
  for (const what of [{room: ''}, 7])
    assert.equal(await ann.fails('room:join', what), 'join');
  assert.equal((await ann.join(word)).joined, word);
  for (const text of ['', 'x'.repeat(4001), 'a\0b', 'a\x1bb', 'a\x7f', 7])
    assert.equal(await ann.fails('chat:message', {roomId: word, text}),
      'bad-text');
  const text = '€'.repeat(1333) + 'x';
  await ann.say(word, text, word + 'w');
  const heard = await ann.hears('chat:message');
  assert.equal(heard.text, text);
  assert.ok(heard.id.length < 32, 'what is no word is no tag');

  for (let i = 1; i < 16; i++)
    assert.ok((await ann.join('room-' + i)).joined, 'room ' + i);
  assert.equal(await ann.fails('room:join', {room: 'room-16'}), 'join');
  assert.ok((await ann.join('room-17')).error);
});

test('who writes too fast is told', async () => {
  const ann = await guest('Ann');

  await ann.join('fast');
  const answers = await Promise.all(Array.from({length: 60}, (_, i) =>
    ann.say('fast', 'line ' + i)));
  const refused = answers.filter(({error}) => error);
  assert.ok(refused.length >= 8 && refused.length <= 10,
    refused.length + ' of 60');
  assert.ok(refused.every(({error}) => error.code === 'throttled'));
  assert.equal(ann.all('chat:message').length, 60 - refused.length);
});

test('what is no message ends the connection', async () => {
  const binary = await guest('Binary');
  binary.socket.send(Buffer.from('{"ping":1}'));
  assert.match(await binary.closed, /^100[37]/);

  const broken = await guest('Broken');
  broken.socket.send('{"event":');
  assert.match(await broken.closed, /^1007/);

  const long = await guest('Long');
  long.tell('chat:message', {text: 'z'.repeat(40000)});
  assert.match(await long.closed, /^1009/);
});

test('a full room is told whole', async () => {
  const names = new Set();
  let answer = {};

  for (let i = 0; i < 130; i++)
    await (await guest(`${i}-`.padEnd(32, 'n'))).join('full');
  const last = await guest('last');
  await last.join('full');
  await last.until('131 people', () => last.events
    .some(([name, {count}]) => name.startsWith('presence:') && count === 131));
  do { /* so many at once are not named, but listed */
    answer = await last.ask('presence:list', {room: 'full',
      after: answer.next});
    for (const {userId} of answer.users)
      names.add(userId);
  } while (answer.next !== undefined);
  assert.equal(names.size, 131);
});

test('with a secret everybody needs a token', async () => {
  const secret = 'at least sixteen bytes';
  const chat = await startExample('chat', '--secret', secret,
    '--db', ':memory:');
  const {port} = chat;
  const make = (sub, exp = 0, key = secret) => {
    const text = Buffer.from(JSON.stringify({sub, exp})).toString('base64url');
    return text + '.' + createHmac('sha256', key).update(text)
      .digest('base64url');
  };
  const soon = Math.floor(Date.now() / 1000) + 60;

  try {
    const ann = await SocketIo.open({token: make('user-1', soon)}, {port});
    const ben = await Plain.open({token: make('user-2', soon)}, {port});
    const url = `http://127.0.0.1:${port}/events/staff`;
    const reader = await Reader.open('staff',
      {port, search: '?token=' + make('user-3', soon)});

    await ann.join('staff');
    await ben.join('staff');
    await ben.say('staff', 'hello');
    for (const client of [ann, ben, reader])
      assert.equal((await client.hears('chat:message')).userId, 'user-2');
    await ann.ask('notify', {userId: 'user-2', text: 'see me'});
    assert.deepEqual((await ben.hears('notification')).data,
      {userId: 'user-1', text: 'see me'});

    for (const token of [undefined, '', 'x', make('user-1', soon, 'no'),
      make('user-1', soon - 120), make('user-1', soon) + 'A']) {
      const socket = await SocketIo.open({token, name: 'user-1'}, {port});
      assert.ok(socket.error, 'refused: ' + token);
      const plain = await Plain.open({token}, {port});
      assert.ok(plain.welcome.error);
      const stream = await fetch(`${url}?token=${token ?? ''}`);
      assert.equal(stream.status, 401);
      await stream.text();
    }
  } finally {
    await Promise.all(clients.splice(0).map((client) => client.end()));
    await chat.stop();
  }
});

test('every event is logged where that is wanted', async () => {
  const port = await freePort();
  const child = spawn(path.join(build, 'examples/chat'),
    ['--listen', `tcp://127.0.0.1:${port}`, '--verbose', '--db', ':memory:'],
    {stdio: ['ignore', 'pipe', 'pipe'], cwd: root});
  let log = '';

  child.stderr.on('data', (bytes) => { log += bytes; });
  await once(child.stdout, 'data');
  const ann = await Plain.open({name: 'Ann'}, {port});
  await ann.join('lobby');
  ann.tell('no such event', [1, {two: '\x1b'}]);
  await ann.say('lobby', 'hi');
  await ann.end();
  const other = await SocketIo.open({name: 'Ben'}, {port});
  await other.join('lobby');
  other.end();
  await delay(200);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.match(log, /^Ben: room:join \[\{"room":"lobby".*\}\]$/m);
  assert.match(log, /^Ann: no such event \[\[1,\{"two":"\\u001b"\}\]\]$/m);
  assert.match(log, /^Ann: chat:message \[\{.*"text":"hi".*\}\]$/m);
  assert.match(log, /^Ben: client namespace disconnect$/m);
});

test('a killed server has everything, and clients go on by number',
  async () => {
    const db = path.join(dir, 'killed.db');
    let chat = await startExample('chat', '--db', db);
    const said = [];
    const {port} = chat;
    const ann = await Plain.open({name: 'Ann', key: 'a'}, {port});
    const ben = await SocketIo.open({name: 'Ben', key: 'b'}, {port});
    const {epoch} = await ann.join('kept', 0);
    await ben.join('kept', 0);

    for (let i = 1; i <= 30; i++)
      said.push((await ann.say('kept', 'line ' + i, 'tag-' + i)).id);
    await ben.hears('chat:message', ({id}) => id === 'tag-30');
    await chat.kill();
    chat = await startExample('chat', '--db', db);
    try {
      const cem = await Plain.open({name: 'Cem'}, {port: chat.port});
      await cem.join('kept');
      assert.deepEqual((await cem.history('kept')).map(({id}) => id), said);
      assert.deepEqual((await cem.history('kept', {before: 21, limit: 3}))
        .map(({id}) => id), ['tag-20', 'tag-19', 'tag-18']);

      /* one says again what was acknowledged, and goes on */
      assert.equal((await cem.say('kept', 'line 30', 'tag-30')).offset, 30);
      assert.equal((await cem.say('kept', 'line 31', 'tag-31')).offset, 31);
      for (const [Kind, name] of [[Plain, 'Ann'], [SocketIo, 'Ben']]) {
        const back = await Kind.open({name, key: 'x'}, {port: chat.port});
        const verdict = await back.join('kept', 28, epoch);
        assert.equal(verdict.recovered, true);
        assert.deepEqual([verdict.at, verdict.epoch], [31, epoch]);
        assert.deepEqual(back.all('chat:message').map(({id}) => id),
          ['tag-29', 'tag-30', 'tag-31']);
      }
      const late = await Plain.open({name: 'Late'}, {port: chat.port});
      assert.equal((await late.join('kept', 28, 'other.0')).recovered, false);
      assert.deepEqual(late.all('chat:message'), []);
    } finally {
      await Promise.all(clients.splice(0).map((client) => client.end()));
      await chat.stop();
    }
  });

test('what happens is counted', async () => {
  const read = async () => {
    const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`);
    assert.match(answer.headers.get('content-type'), /^text\/plain; /);
    const text = await answer.text();
    return (name) =>
      Number(text.match(new RegExp(`^rill_${name} (\\d+)$`, 'm'))[1]);
  };
  const before = await read();
  const ann = await guest('Ann');

  await ann.join('counted');
  await ann.say('counted', 'one', 'tag-one');
  await ann.say('counted', 'one', 'tag-one');
  await ann.ask('notify', {userId: 'Nobody', text: 'hello?'});
  await ann.ask('receipt:read', {room: 'counted', offset: 1});
  let after = await read();
  for (let i = 0; i < 100 && after('notified_total') ===
      before('notified_total'); i++) /* it is answered before it is stored */
    after = await read();
  for (const name of ['published_total', 'published_again_total',
    'notified_total', 'receipts_total'])
    assert.equal(after(name), before(name) + 1, name);
  assert.equal(after('store_failures_total'), 0);
});

test('the page is served', async () => {
  const base = `http://127.0.0.1:${server.port}`;
  for (const [file, type] of [['', 'text/html'], ['chat.css', 'text/css'],
    ['chat.js', 'text/javascript']]) {
    const answer = await fetch(`${base}/${file}`);
    assert.equal(answer.status, 200);
    assert.ok(answer.headers.get('content-type').startsWith(type));
    await answer.text();
  }
  const missing = await fetch(base + '/chat.c');
  assert.equal(missing.status, 404);
});
