/*
 * rooms.mjs - a client of rooms_server, of socket.io-client or of ws with the
 * envelope, that tests can use without knowing which; and what such a client
 * knows of who is there.
 */
import assert from 'node:assert/strict';
import {EventEmitter} from 'node:events';
import {Wire, connected, dial, upgraded, within} from './servers.mjs';

/* socket.io-client; |through| a proxy it comes back. */
class Io {
  static again = {reconnection: true, reconnectionDelay: 30,
    reconnectionDelayMax: 60};

  static async open(server, user, options = {}) {
    const client = new Io();
    const {through, later, ...rest} = options;
    const again = through !== undefined && Io.again;

    client.kind = 'socketio';
    client.socket = dial(through ?? server, {auth: {token: user}, ...again,
      ...rest});
    client.events = client.socket;
    if (later) /* who opens it listens first */
      return client;
    client.polls = rest.transports?.[0] === 'polling';
    await client.settled();
    return client;
  }

  /* Connected and upgraded, on either side: a cut is noticed at once. */
  async settled() {
    await connected(this.socket);
    if (!this.polls)
      await upgraded(this.socket);
    await this.ask('count', {});
  }

  get connected() {
    return this.socket.connected;
  }

  on(name, fn) {
    this.socket.on(name, fn);
  }

  tell(name, arg) {
    this.socket.emit(name, arg);
  }

  ask(name, arg) {
    return this.socket.timeout(5000).emitWithAck(name, arg);
  }

  join(room, more) {
    return this.ask('room:join', {room, ...more});
  }

  close() {
    this.socket.disconnect();
  }
}

/* The envelope; |through| a proxy it comes back with its session. */
class Plain {
  #asked = new Map();
  #ids = 0;
  #closed = false;
  last = {}; /* the newest number in each room */

  static async open(server, user, {through, later} = {}) {
    const client = new Plain();

    client.kind = 'json';
    client.url = (through ?? server).url.replace('http', 'ws') + '/ws';
    client.user = user;
    client.again = through !== undefined;
    client.events = new EventEmitter();
    if (!later)
      await client.settled();
    return client;
  }

  async #open() {
    this.wire = await Wire.open(this.url, 'rill.json.v1');
    this.wire.socket.on('message', (text) => this.#take(JSON.parse(text)));
    this.wire.socket.on('close', () => this.#lost());
    this.wire.send(JSON.stringify({open: {token: this.user},
      resume: this.session, offset: this.offset}));
    await within(new Promise((resolve) => {
      this.opened = resolve;
    }), 'open');
  }

  #take(message) {
    if (message.open !== undefined) {
      this.sid = message.open;
      this.session = message.session;
      this.recovered = message.recovered;
      this.connected = true;
      this.opened();
      return;
    }
    this.offset = message.offset ?? this.offset;
    if (message.at !== undefined && message.room !== undefined)
      this.last[message.room] = message.at;
    const id = message.ack ?? message.id;
    if (message.event === undefined && this.#asked.has(id)) {
      this.#asked.get(id)(message.args ? message.args[0] : message);
      this.#asked.delete(id);
    } else if (message.event !== undefined) {
      this.events.emit('any', message);
      this.events.emit(message.event, ...message.args);
    }
  }

  async #lost() {
    this.connected = false;
    while (this.again && !this.#closed && !this.connected) {
      await new Promise((resolve) => setTimeout(resolve, 40));
      await this.#open().catch(() => {});
    }
  }

  async settled() {
    if (!this.wire)
      await this.#open();
  }

  on(name, fn) {
    this.events.on(name, fn);
  }

  #send(message) {
    this.wire.send(JSON.stringify(message));
  }

  #wait(message) {
    const id = ++this.#ids;

    return within(new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#send({...message, id});
    }), JSON.stringify(message));
  }

  tell(name, arg) {
    this.#send({event: name, args: [arg]});
  }

  ask(name, arg) {
    return this.#wait({event: name, args: [arg]});
  }

  join(room, more) {
    return this.#wait({join: room, ...more});
  }

  /* 1000: it leaves for good. */
  close(code = 1000) {
    this.#closed = true;
    this.wire.socket.close(code);
  }
}

export const kinds = {socketio: Io, json: Plain};
const clients = new Set();

export async function open(kind, server, user, options) {
  const client = await kinds[kind].open(server, user, options);

  clients.add(client);
  return client;
}

/* For afterEach: nobody of this test is there in the next. */
export function closeAll() {
  for (const client of clients)
    client.close();
  clients.clear();
}

/* The next event |name| whose argument |fits|. */
export function heard(client, name, fits = () => true, ms) {
  return within(new Promise((resolve) => {
    const fn = (arg) => {
      if (!fits(arg))
        return;
      client.events.off(name, fn);
      resolve(arg);
    };
    client.events.on(name, fn);
  }), name, ms);
}

/* The first argument of each event |name|. */
export function collect(client, name) {
  const got = [];

  client.on(name, (arg) => got.push(arg));
  return got;
}

/* Who is in |room|, as |client| is told; without a room, in the namespace. */
export class Roll {
  users = new Map();
  log = []; /* what was said of whom, in order */
  version = null;

  constructor(client, room) {
    this.client = client;
    this.room = room;
    client.on('presence:state', (state) => this.#state(state));
    client.on('presence:update', (update) => this.#update(update));
  }

  #state(state) {
    if (state.room !== this.room)
      return;
    this.version = state.version;
    this.count = state.count;
    this.users.clear();
    for (const user of state.users)
      this.#set(user);
    this.next = state.next;
  }

  #set({userId, status, state, lastSeen}) {
    const was = this.users.get(userId) ?? {};

    assert.equal(status === 'offline', lastSeen !== undefined, userId);
    if (status === 'offline')
      this.users.delete(userId);
    else
      this.users.set(userId, {status, state: state === undefined
        ? was.state : state ?? undefined});
  }

  #update(update) {
    if (update.room !== this.room)
      return;
    if (this.room !== undefined) {
      assert.equal(update.version, this.version + 1, 'no update is missed');
      this.version = update.version;
      this.count = update.count;
    }
    for (const user of update.users ?? [update]) {
      this.log.push(`${user.userId} ${user.status}`);
      this.#set(user);
    }
  }

  /* {NAME: STATUS} */
  get statuses() {
    return Object.fromEntries([...this.users].sort()
      .map(([name, {status}]) => [name, status]));
  }
}
