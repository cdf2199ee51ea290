/*
 * harness.mjs - rill's programs as child processes, and message contents
 * that both sides can make.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import net from 'node:net';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, '../..');
export const build = path.resolve(here,
  process.env.RILL_BUILD || '../../build');

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/* Runs a server among the examples; stop() checks its exit status. */
export async function startExample(name, ...flags) {
  const port = await freePort();
  const child = spawn(path.join(build, 'examples', name),
    ['--listen', `tcp://127.0.0.1:${port}`, ...flags],
    {stdio: ['ignore', 'pipe', 'inherit'], cwd: root});
  const exited = once(child, 'exit');
  const lines = createInterface({input: child.stdout});

  await Promise.race([once(lines, 'line'), exited.then(() => {
    throw new Error(name + ' ended before it listened');
  })]);
  return {
    url: `ws://127.0.0.1:${port}/`,
    port,
    async stop() {
      child.kill('SIGTERM');
      const [status, signal] = await exited;
      if (status !== 0)
        throw new Error(`${name} ended with ${status ?? signal}`);
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    }
  };
}

export const startEcho = (...flags) => startExample('echo_server', ...flags);

/* Runs build/tests/interop/dialer to its end: {status, output}. */
export async function dialer(...args) {
  const child = spawn(path.join(build, 'tests/interop/dialer'),
    args.map(String), {stdio: ['ignore', 'pipe', 'pipe'], timeout: 60000});
  let output = '';

  child.stdout.on('data', (bytes) => { output += bytes; });
  child.stderr.on('data', (bytes) => { output += bytes; });
  const [status, signal] = await once(child, 'close');
  return {status: status ?? signal, output};
}

/* Lengths around every border of the frame format, then some in between. */
export const sizes = [0, 1, 2, 125, 126, 127, 128, 1000, 1024, 4095, 65535,
  65536, 65537, 200000, 1 << 20];

/* |size| bytes that |seed| determines: noise, or runs that compress well. */
export function makeBinary(size, seed, runs) {
  const bytes = Buffer.alloc(size);
  let state = seed * 2654435761 + 1 >>> 0;

  for (let i = 0; i < size;) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 12345 >>> 0;
    const run = runs ? state % 23 + 1 : 1;
    bytes.fill(state >>> 16 & 255, i, Math.min(size, i + run));
    i += run;
  }
  return bytes;
}

/* Text of exactly |size| bytes in UTF-8, with characters of 1 to 4 bytes. */
export function makeText(size, seed) {
  const parts = ['a', 'b', 'ä', '€', '😀'];
  const lengths = [1, 1, 2, 3, 4];
  const out = [];
  let state = seed + 1, left = size;

  while (left > 0) {
    state = Math.imul(state, 1103515245) + 12345 >>> 0;
    let pick = (state >>> 16) % parts.length;
    if (lengths[pick] > left)
      pick = 0;
    out.push(parts[pick]);
    left -= lengths[pick];
  }
  return out.join('');
}
