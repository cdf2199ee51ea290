/*
 * kill9.mjs [ROUNDS [SEED]] - the real chat with SQLite, under load, killed.
 *
 * Writers of two kinds, the JSON envelope on a plain WebSocket and the stock
 * socket.io-client, talk in two rooms while the server is killed with SIGKILL
 * at random moments and started again on the same database.  After each
 * round, when everybody is back:
 *
 *   - what was acknowledged is in the history, at the number that was told
 *   - numbers are 1, 2, 3, ... without a gap, and no message is there twice
 *   - everybody has each message of the history exactly once, in its order
 *
 * A writer that does not know whether a message arrived sends it again with
 * the same tag.  One that comes back asks for what it missed by number; where
 * that is more than the server sends at once, it reads the gap that it is
 * told of from the history.  RILL_BUILD is the build folder.
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import {Agent} from 'node:http';
import {createRequire} from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {setTimeout as delay} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = createRequire(path.join(here, '../interop/package.json'));
const {io} = modules('socket.io-client');
const WebSocket = modules('ws');

const root = path.resolve(here, '../..');
const build = path.resolve(process.env.RILL_BUILD || path.join(root, 'build'));
const rounds = Number(process.argv[2] ?? 10);
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 31));
const ROOMS = ['north', 'south'];
const OUTBOX = 8; /* messages of one writer that wait for their receipt */
const PAGE = 100; /* what a reading of the history gives */
const PAGES = 40; /* that one connection asks for: more are throttled */
const PATIENCE = 20000; /* ms until everybody has to be back */

let state = seed >>> 0 || 1;

/* At random from 0 to below 1, by the seed: xorshift. */
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state / 2 ** 32;
}

/* Each client has an address of its own, as addresses may not hurry. */
let addresses = 256;
const address = () => {
  addresses = addresses < 65000 ? addresses + 1 : 257;
  return `127.1.${addresses >> 8}.${addresses & 255}`;
};

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const {port} = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

const server = {
  child: null,
  port: 0,
  db: '',

  async start() {
    const child = spawn(path.join(build, 'examples/chat'),
      ['--listen', `tcp://127.0.0.1:${this.port}`, '--db', this.db],
      {stdio: ['ignore', 'pipe', 'inherit'], cwd: root});
    const exited = once(child, 'exit');
    const lines = createInterface({input: child.stdout});

    this.child = child;
    this.exited = exited;
    await Promise.race([once(lines, 'line'), exited.then(([status]) => {
      throw new Error('the chat ended before it listened: ' + status);
    })]);
  },

  async kill() {
    this.child.kill('SIGKILL');
    assert.deepEqual(await this.exited, [null, 'SIGKILL']);
  },

  async stop() {
    this.child.kill('SIGTERM');
    const [status, signal] = await this.exited;
    assert.equal(status, 0, 'ended by ' + signal);
  }
};

/* What one client has of one room. */
class Copy {
  ids = [null]; /* by number; there is no 0 */
  epoch = undefined;
  live = false; /* joined, on this connection, and nothing is missing */
  fresh = []; /* what has come since, before it is known what is missing */

  get last() {
    return this.ids.length - 1;
  }
}

const faults = [];
const acked = new Map(); /* by tag: where it is */
let pouring = false; /* is there load? */
let tags = 0;
let gaps = 0;

class Writer {
  rooms = new Map(ROOMS.map((room) => [room, new Copy()]));
  outbox = new Map(); /* by tag: the message, and whether it was sent */
  lost = 0; /* connections */

  constructor(name) {
    this.name = name;
    this.auth = {name, key: name};
    this.connect();
  }

  fault(text) {
    faults.push(`${this.name}: ${text}`);
  }

  /* A message has come; |at| is its number, where that was told. */
  heard(room, id, at) {
    const copy = this.rooms.get(room);

    if (!copy.live)
      copy.fresh.push([id, at]);
    else if (at !== undefined && at !== copy.last + 1)
      this.fault(`${room} ${at} follows ${copy.last}`);
    else
      copy.ids.push(id);
  }

  /* The verdict on coming back. */
  joined(room, {at, epoch, recovered, gap}) {
    const copy = this.rooms.get(room);

    if (copy.epoch !== undefined && copy.epoch !== epoch)
      this.fault(`${room} counts in ${epoch} after ${copy.epoch}`);
    copy.epoch = epoch;
    if (gap && (recovered || gap[0] !== copy.last + 1))
      this.fault(`${room} since ${copy.last}: ${JSON.stringify(gap)}`);
    else if (gap)
      this.#fill(room, copy, gap[1], at);
    else if (!recovered)
      this.fault(`${room} since ${copy.last}: not recovered`);
    else
      this.#complete(room, copy, at);
  }

  #fill(room, copy, to, at) {
    const lost = this.lost;

    gaps++;
    this.ask('room:history', {room, since: copy.last,
      limit: Math.min(PAGE, to - copy.last)}, ({events, error}) => {
      if (lost !== this.lost)
        return;
      if (error)
        this.fault(`${room}: ${JSON.stringify(error)}`);
      for (const {id, at: number} of events ?? [])
        if (number === copy.last + 1)
          copy.ids.push(id);
        else
          this.fault(`${room} ${number} follows ${copy.last} in a gap`);
      if (copy.last < to)
        this.#fill(room, copy, to, at);
      else
        this.#complete(room, copy, at);
    });
  }

  #complete(room, copy, at) {
    copy.live = true;
    for (const [id, number] of copy.fresh.splice(0))
      this.heard(room, id, number);
    if (at > copy.last) /* what was said meanwhile may be there already */
      this.fault(`${room} is at ${at}, ${copy.last} have come`);
    for (const [tag, item] of this.outbox)
      if (item.room === room)
        this.#send(tag, item);
  }

  gone() {
    this.lost++;
    for (const copy of this.rooms.values()) {
      copy.live = false;
      copy.fresh = []; /* it will come again */
    }
    for (const item of this.outbox.values())
      item.sent = false;
  }

  write() {
    const room = ROOMS[Math.floor(random() * ROOMS.length)];
    const tag = `${this.name}-${++tags}`;
    const item = {room, text: 'x'.repeat(1 + Math.floor(random() * 200)),
      sent: false};

    this.outbox.set(tag, item);
    if (this.rooms.get(room).live)
      this.#send(tag, item);
  }

  #send(tag, item) {
    if (item.sent)
      return;
    item.sent = true;
    this.ask('chat:message', {roomId: item.room, text: item.text, tag},
      (answer) => this.#answered(tag, item, answer));
  }

  #answered(tag, item, {offset, id, error}) {
    if (error && ['throttled', 'busy'].includes(error.code)) {
      setTimeout(() => {
        item.sent = false;
        if (this.outbox.has(tag) && this.rooms.get(item.room).live)
          this.#send(tag, item);
      }, 200);
      return;
    }
    this.outbox.delete(tag);
    if (error || id !== tag || !(offset > 0))
      this.fault(`${tag} answered with ${JSON.stringify({offset, id, error})}`);
    acked.set(tag, {room: item.room, offset});
  }

  get settled() {
    return this.outbox.size === 0 &&
      [...this.rooms.values()].every((copy) => copy.live);
  }
}

/* The envelope of rill-protocol(7). */
class Plain extends Writer {
  #id = 0;
  #answers = new Map();

  connect() {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`,
      {localAddress: address()});

    this.socket = socket;
    socket.on('error', () => {});
    socket.on('open', () => this.send({open: this.auth}));
    socket.on('message', (data) => this.#message(JSON.parse(data)));
    socket.on('close', () => {
      this.gone();
      this.#answers.clear();
      if (!this.ended)
        setTimeout(() => this.connect(), 5 + random() * 20);
    });
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  ask(event, data, answered) {
    this.#answers.set(++this.#id, answered);
    this.send({event, args: [data], id: this.#id});
  }

  #message(message) {
    if (message.open) {
      for (const [room, {last, epoch}] of this.rooms)
        this.send({join: room, since: last, epoch});
    } else if (message.joined) {
      this.joined(message.joined, message);
    } else if (message.event === 'chat:message') {
      this.heard(message.room, message.args[0].id, message.at);
    } else if (message.ack !== undefined) {
      const answered = this.#answers.get(message.ack);
      this.#answers.delete(message.ack);
      answered?.(message.error ? message : message.args[0]);
    } else if (message.error) {
      this.fault(JSON.stringify(message));
    }
  }

  end() {
    this.ended = true;
    this.socket.close(1000);
  }
}

/*
 * The stock client, which comes back by itself.  Events have no number for
 * it, but it gets them in their order, so it counts.
 */
class SocketIo extends Writer {
  constructor(name, transports) {
    super(name);
    this.socket = io(`http://127.0.0.1:${server.port}`, {auth: this.auth,
      forceNew: true, transports, reconnectionDelay: 10,
      reconnectionDelayMax: 30, agent: new Agent({localAddress: address()})});
    this.socket.on('connect', () => {
      for (const [room, {last, epoch}] of this.rooms)
        this.socket.emit('room:join', {room, since: last, epoch},
          (answer) => answer.error ? this.fault(JSON.stringify(answer)) :
            this.joined(room, answer));
    });
    this.socket.on('disconnect', () => this.gone());
    this.socket.on('chat:message', ({roomId, id}) => this.heard(roomId, id));
  }

  connect() {}

  ask(event, data, answered) {
    this.socket.emit(event, data, answered);
  }

  end() {
    this.socket.disconnect();
  }
}

/* The ids of a room, by number, from |since| on. */
async function history(room, since) {
  const ids = [];
  let full = true;

  while (full) {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`,
      {localAddress: address()});
    const messages = [];
    let woken = () => {};
    const next = async () => {
      while (messages.length === 0)
        await new Promise((resolve) => { woken = resolve; });
      return messages.shift();
    };
    const until = async (fits) => {
      for (;;) {
        const message = await next();
        if (fits(message))
          return message;
      }
    };

    socket.on('message', (data) => {
      messages.push(JSON.parse(data));
      woken();
    });
    await once(socket, 'open');
    socket.send(JSON.stringify({open: {}}));
    socket.send(JSON.stringify({join: room}));
    await until(({joined}) => joined);
    for (let i = 0; i < PAGES && full; i++) {
      socket.send(JSON.stringify({event: 'room:history', id: 1,
        args: [{room, since: since + ids.length, limit: PAGE}]}));
      const answer = await until(({ack}) => ack === 1);
      const {events} = answer.args[0];

      for (const {at, id, event, args} of events) {
        ids.push(id);
        assert.equal(at, since + ids.length, `a gap in ${room}`);
        assert.equal(event, 'chat:message');
        assert.equal(args[0].id, id);
        assert.equal(args[0].roomId, room);
      }
      full = events.length === PAGE;
    }
    socket.close(1000);
    await once(socket, 'close');
  }
  return ids;
}

async function until(what, fits) {
  const end = Date.now() + PATIENCE;

  while (!fits()) {
    if (Date.now() > end)
      throw new Error('not in time: ' + what);
    await delay(5);
  }
}

const truth = new Map(ROOMS.map((room) => [room, [null]]));

/* |whole|: what was verified before as well. */
async function verify(writers, whole) {
  for (const [room, known] of truth) {
    const since = whole ? 0 : known.length - 1;
    const ids = await history(room, since);

    for (let i = since + 1; i < known.length; i++)
      assert.equal(ids[i - 1 - since], known[i], `${room} ${i} has changed`);
    known.push(...ids.slice(known.length - 1 - since));
    assert.equal(new Set(known).size, known.length, `a double in ${room}`);
    for (const writer of writers) {
      const copy = writer.rooms.get(room);
      await until(`${writer.name} has ${copy.last} of ${known.length - 1}`,
        () => copy.last >= known.length - 1 || faults.length > 0);
      assert.deepEqual(faults, []);
      assert.deepEqual(copy.ids, known, `${writer.name} in ${room}`);
    }
  }
  for (const [tag, {room, offset}] of acked)
    assert.equal(truth.get(room)[offset], tag, `${tag} was acknowledged`);
}

function pour(writers) {
  if (!pouring)
    return;
  for (const writer of writers)
    for (let n = Math.floor(random() * 4); n > 0; n--)
      if (writer.outbox.size < OUTBOX)
        writer.write();
  setTimeout(() => pour(writers), 5 + random() * 20);
}

async function main() {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'rill-kill9-'));
  let kills = 0, unsure = 0;

  server.port = await freePort();
  server.db = path.join(dir, 'chat.db');
  console.log(`kill9: ${rounds} rounds, seed ${seed}, ${server.db}`);

  await server.start();
  const writers = [new Plain('p1'), new Plain('p2'), new Plain('p3'),
    new SocketIo('s1', ['websocket']), new SocketIo('s2', ['polling']),
    new SocketIo('s3', ['polling', 'websocket'])];
  for (let round = 1; round <= rounds; round++) {
    /* sometimes while they are coming back */
    if (random() < 0.75)
      await until('everybody is in', () =>
        writers.every((writer) => writer.settled) || faults.length > 0);
    pouring = true;
    pour(writers);
    await delay(random() ** 2 * 700);
    await server.kill();
    kills++;
    unsure += writers.reduce((sum, {outbox}) => sum + outbox.size, 0);
    pouring = false;
    await server.start();
    await until('everybody is back', () =>
      writers.every((writer) => writer.settled) || faults.length > 0);
    assert.deepEqual(faults, []);
    await verify(writers, round % 25 === 0 || round === rounds);
    if (round % 10 === 0)
      console.log(`kill9: round ${round}: ${acked.size} acknowledged, ` +
        `${unsure} were sent again`);
  }
  const total = ROOMS.reduce((sum, room) => sum + truth.get(room).length - 1,
    0);
  assert.equal(total, acked.size);
  for (const writer of writers)
    writer.end();
  await server.stop();
  await rm(dir, {recursive: true});
  console.log(`kill9: ${kills} kills, ${total} messages, ${unsure} of them ` +
    `sent again, ${gaps} readings of gaps: nothing lost, nothing twice`);
}

main().catch((error) => {
  console.error(`kill9: seed ${seed}, ${server.db} is kept:`, error);
  server.child?.kill('SIGKILL');
  process.exit(1);
});
