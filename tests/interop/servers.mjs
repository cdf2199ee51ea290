/*
 * servers.mjs - the servers of tests/interop as child processes, a TCP proxy
 * that can be cut, raw HTTP and WebSocket requests, and socket.io-client
 * with what most tests want of it.
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';
import {io} from 'socket.io-client';
import msgpackParser from 'socket.io-msgpack-parser';
import {WebSocket} from 'ws';
import {build, freePort, root} from './harness.mjs';

export {sleep};

/*
 * Runs a server until stop(), which checks its exit status; |port| where it
 * is to come back where it was, |under| what a shell does before.
 */
export async function startServer(name, {port, flags = [], under = ':'} = {}) {
  port ??= await freePort();
  const child = spawn('/bin/sh', ['-c', under + '; exec "$0" "$@"',
    path.join(build, 'tests/interop', name),
    '--listen', `tcp://127.0.0.1:${port}`, ...flags.map(String)],
    {stdio: ['ignore', 'pipe', 'inherit'], cwd: root});
  const exited = once(child, 'exit');
  const lines = createInterface({input: child.stdout});

  await Promise.race([once(lines, 'line'), exited.then(() => {
    throw new Error(name + ' ended before it listened');
  })]);
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    ws: `ws://127.0.0.1:${port}`,
    child,
    async stop() {
      child.kill('SIGTERM');
      const [status, signal] = await exited;
      assert.equal(status ?? signal, 0, `${name} ends with 0`);
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    }
  };
}

/*
 * A proxy in front of a server.  cut() ends all connections and refuses new
 * ones, heal() takes them again; hush() swallows all that either side says,
 * their goodbye too.
 */
export class Proxy {
  #target;
  #server = null;
  #near = new Set();
  #far = new Set();
  #hushed = false;

  static async open(target) {
    const proxy = new Proxy();

    proxy.#target = target;
    proxy.port = await freePort();
    await proxy.heal();
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async heal() {
    this.#hushed = false;
    this.#server = net.createServer((near) => this.#accept(near));
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  #accept(near) {
    const far = net.connect(this.#target, '127.0.0.1');

    this.#near.add(near);
    this.#far.add(far);
    near.on('data', (bytes) => {
      if (!this.#hushed)
        far.write(bytes);
    });
    far.on('data', (bytes) => {
      if (!this.#hushed)
        near.write(bytes);
    });
    near.on('error', () => {});
    far.on('error', () => {});
    near.on('close', () => {
      this.#near.delete(near);
      if (!this.#hushed)
        far.destroy();
    });
    far.on('close', () => {
      this.#far.delete(far);
      if (!this.#hushed)
        near.destroy();
    });
  }

  hush() {
    this.#hushed = true;
  }

  cut() {
    this.#server?.close();
    this.#server = null;
    for (const near of this.#near)
      near.destroy();
    for (const far of this.#far)
      far.destroy();
  }
}

/* Rejects when |promise| has not settled within |ms|. */
export async function within(promise, what, ms = 5000) {
  const stop = new AbortController();
  const late = sleep(ms, null, {signal: stop.signal}).then(() => {
    throw new Error(`${what}: nothing within ${ms} ms`);
  });

  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}

/* The arguments of the next |event| of a socket of socket.io-client. */
export function next(socket, event, ms) {
  return within(new Promise((resolve) => {
    socket.once(event, (...args) => resolve(args));
  }), event, ms);
}

export async function until(condition, what, ms = 5000) {
  const end = Date.now() + ms;

  while (!await condition()) {
    if (Date.now() > end)
      throw new Error(`${what}: not within ${ms} ms`);
    await sleep(10);
  }
}

export const parsers = {json: undefined, msgpack: msgpackParser};
export const transports = {
  polling: {transports: ['polling']},
  websocket: {transports: ['websocket']},
  upgrade: {} /* as it comes: polling first, then the upgrade */
};

const sockets = new Set();

/* A socket that connects anew, not over a connection of another test. */
export function dial(server, options = {}) {
  const {space = '/', ...rest} = options;
  const socket = io(server.url + space, {forceNew: true, reconnection: false,
    ...rest});

  sockets.add(socket);
  return socket;
}

export async function connected(socket) {
  if (socket.connected)
    return socket;
  await within(new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  }), 'connect');
  return socket;
}

/* A socket that is connected, and upgraded where it does that. */
export async function connect(server, options) {
  const socket = await connected(dial(server, options));

  if (!options?.transports)
    await upgraded(socket);
  return socket;
}

export async function upgraded(socket) {
  await until(() => socket.io.engine.transport.name === 'websocket',
    'upgrade');
}

/* For afterEach: closes what the test has opened. */
export function hangUp() {
  for (const socket of sockets)
    socket.disconnect();
  sockets.clear();
}

/* Sends event |name| and waits for its answer, one argument. */
export function ask(socket, name, ...args) {
  return socket.timeout(5000).emitWithAck(name, ...args);
}

/*
 * One request on a connection of its own: {status, headers, body, ended},
 * where |ended| tells whether the server closes the connection behind it.
 */
export function fetchRaw(server, target, {method = 'GET', headers = {},
  body, agent = false} = {}) {
  return within(new Promise((resolve, reject) => {
    const request = http.request({host: '127.0.0.1', port: server.port,
      path: target, method, headers, agent}, (response) => {
      const parts = [];

      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({
        status: response.statusCode,
        headers: response.headers,
        body: Buffer.concat(parts).toString()
      }));
    });
    request.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({status: 101, headers: response.headers, body: ''});
    });
    request.on('error', reject);
    request.end(body);
  }), method + ' ' + target);
}

/* What a server counts, by the names of rill/metrics.h. */
export async function counters(server) {
  const {body} = await fetchRaw(server, '/metrics');
  const counts = {};

  for (const [, name, limit, value] of body.matchAll(
    /^rill_(\w+)(?:\{limit="(\w+)"\})? (\d+)$/gm))
    counts[limit ? `limit_${limit}` : name] = Number(value);
  return counts;
}

/* A WebSocket with its messages in a queue. */
export class Wire {
  messages = [];
  #waiting = [];

  constructor(url, protocols, options) {
    this.socket = new WebSocket(url, protocols, options);
    this.opened = once(this.socket, 'open');
    this.opened.catch(() => {});
    this.refused = once(this.socket, 'unexpected-response');
    this.refused.catch(() => {});
    this.closed = once(this.socket, 'close')
      .then(([code, reason]) => ({code, reason: String(reason)}));
    this.closed.catch(() => {});
    this.socket.on('error', () => {});
    this.socket.on('message', (data, binary) => {
      const message = binary ? data : String(data);

      if (this.#waiting.length > 0)
        this.#waiting.shift()(message);
      else
        this.messages.push(message);
    });
    wires.add(this);
  }

  static async open(url, protocols, options) {
    const wire = new Wire(url, protocols, options);

    await within(wire.opened, 'open');
    return wire;
  }

  send(...messages) {
    for (const message of messages)
      this.socket.send(message);
  }

  next(ms) {
    if (this.messages.length > 0)
      return Promise.resolve(this.messages.shift());
    return within(new Promise((resolve) => this.#waiting.push(resolve)),
      'message', ms);
  }

  /* The next message that is no ping, which is answered. */
  async nextEvent() {
    for (;;) {
      const message = await this.next();

      if (message !== '2')
        return message;
      this.send('3');
    }
  }

  end() {
    return within(this.closed, 'close');
  }

  /* Nothing has come and nothing comes for |ms|. */
  async quiet(ms = 100) {
    await sleep(ms);
    assert.deepEqual(this.messages, []);
  }
}

const wires = new Set();

export function hangUpWires() {
  for (const wire of wires)
    wire.socket.terminate();
  wires.clear();
}
