/*
 * events.test.mjs - Chromium's own EventSource and WebSocket against
 * build/tests/interop/events_server: named events, pages that are cut off
 * and resumed, pages of other origins.
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {after, afterEach, before, beforeEach, test} from 'node:test';
import {build, freePort, launch, Proxy, root} from './harness.mjs';

let browser, server, proxy, context, page;
let faults;

async function startServer(port) {
  const child = spawn(path.join(build, 'tests/interop/events_server'),
    ['--listen', `tcp://127.0.0.1:${port}`, '--recovery', '--recovery_ms',
      '3000', '--retry_ms', '200', '--history_count', '200', '--origin',
      `http://127.0.0.1:${port}`, '--origin', `http://localhost:${port}`,
      '--origin', `http://127.0.0.1:${proxy?.port ?? port}`, '--web',
      path.join(root, 'tests/browser/events')],
    {stdio: ['ignore', 'pipe', 'inherit']});
  const exited = once(child, 'exit');
  const lines = createInterface({input: child.stdout});

  await Promise.race([once(lines, 'line'), exited.then(() => {
    throw new Error('events_server ended before it listened');
  })]);
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      const [status, signal] = await exited;
      assert.equal(status ?? signal, 0);
    }
  };
}

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
});

beforeEach(async () => {
  const port = await freePort();

  proxy = new Proxy(port);
  await proxy.open();
  server = await startServer(port);
  faults = [];
  context = await browser.newContext();
  page = await context.newPage();
  page.setDefaultTimeout(8000);
  page.on('pageerror', (error) => faults.push(String(error)));
});

afterEach(async () => {
  try {
    await context.close();
  } finally {
    proxy.cut();
    await server.stop();
  }
  assert.deepEqual(faults, [], 'no script error in the page');
});

const visit = (port = server.port, host = '127.0.0.1') =>
  page.goto(`http://${host}:${port}/page/`);
const shows = (id, text) => page.locator('#' + id)
  .getByText(text, {exact: true}).waitFor();

/* Does what the command of the server's "emit" says, over POST. */
async function emit(command) {
  const reply = await fetch(server.url + '/events/nowhere', {method: 'POST',
    body: JSON.stringify({event: 'emit', args: [{name: 'n', ...command}]})});

  assert.deepEqual(await reply.json(), {args: [0]});
}

const lists = (id, n) => page.waitForFunction(([id, n]) =>
  document.querySelectorAll(`#${id} li`).length >= n, [id, n]);

test('named events are shown', async () => {
  await visit();
  await page.evaluate(() => listen('/events/kept-page'));
  await shows('stream', 'open');
  await emit({rooms: ['kept-page'], args: ['ä€😀\n']});
  await emit({rooms: ['kept-page'], args: [1, [2]]});
  await emit({rooms: ['kept-page'], args: []});
  await lists('heard', 3);
  assert.deepEqual(await page.evaluate(() => heard),
    ['ä€😀\n', [1, [2]], null]);
});

test('a stream that is cut off goes on where it was', async () => {
  await visit(proxy.port);
  await page.evaluate(() => listen('/events/kept-page'));
  await shows('stream', 'open');
  let sent = 0;
  for (let round = 0; round < 3; round++) {
    await emit({rooms: ['kept-page'], args: [sent++]});
    await lists('heard', sent);
    proxy.cut();
    await shows('stream', 'waiting');
    for (let i = 0; i < 10; i++)
      await emit({rooms: ['kept-page'], args: [sent++]});
    await proxy.heal();
    await lists('heard', sent);
  }
  await emit({rooms: ['kept-page'], args: [sent++]});
  await lists('heard', sent);
  assert.deepEqual(await page.evaluate(() => heard), [...Array(sent).keys()]);
  assert.deepEqual(await page.evaluate(() =>
    sessions.map((session) => session.recovered)),
  [false, true, true, true]);
});

test('a socket that is cut off goes on where it was', async () => {
  await visit(proxy.port);
  await page.evaluate(() => join(`ws://${location.host}/ws`, 'room'));
  await shows('socket', 'open');
  let sent = 0;
  for (let round = 0; round < 3; round++) {
    if (round > 0) {
      await emit({rooms: ['room'], args: [sent++]});
      await lists('told', sent);
    }
    proxy.cut();
    await shows('socket', 'closed');
    for (let i = 0; i < 10; i++)
      await emit({rooms: ['room'], args: [sent++]});
    await proxy.heal();
    await shows('socket', 'back');
    await lists('told', sent);
  }
  await emit({rooms: ['room'], args: [sent++]});
  await lists('told', sent);
  assert.deepEqual(await page.evaluate(() => told), [...Array(sent).keys()]);
  const opens = await page.evaluate(() => opens);
  assert.deepEqual(opens.map((open) => open.recovered),
    [false, true, true, true]);
  assert.equal(new Set(opens.map((open) => open.open)).size, 1);
});

test('what a page may not hear is final', async () => {
  await visit();
  await page.evaluate(() => listen('/events/closed'));
  await shows('stream', 'refused');
  await page.evaluate(() => join(`ws://${location.host}/ws`, 'room',
    {token: 'bad'}));
  await page.waitForFunction(() => socket.readyState === WebSocket.CLOSED);
  await page.waitForTimeout(500);
  assert.equal(await page.evaluate(() => socket.readyState), 3);
  assert.deepEqual(await page.evaluate(() => opens), []);
});

test('a page of a listed origin, with credentials', async () => {
  await visit(server.port, 'localhost');
  await page.evaluate((url) => listen(url + '/events/kept-cross',
    {withCredentials: true}), server.url);
  await shows('stream', 'open');
  await emit({rooms: ['kept-cross'], args: [1]});
  await lists('heard', 1);
  assert.deepEqual(await page.evaluate((url) => post(url + '/events/x',
    {event: 'ask', args: [{a: 'ä'}]}, {credentials: 'include'}), server.url),
  {args: [{a: 'ä'}]});
  await page.evaluate((url) => join(url.replace('http', 'ws') + '/ws',
    'room'), server.url);
  await shows('socket', 'open');
});

test('a page of another origin gets nothing', async () => {
  const other = await startServer(await freePort());

  try {
    await visit(other.port, 'localhost');
    await page.evaluate((url) => listen(url + '/events/kept-cross',
      {withCredentials: true}), server.url);
    await shows('stream', 'refused');
    assert.equal(await page.evaluate((url) => post(url + '/events/x',
      {event: 'ask'}).catch(() => 'refused'), server.url), 'refused');
    await page.evaluate((url) => join(url.replace('http', 'ws') + '/ws',
      'room'), server.url);
    await page.waitForTimeout(300);
    assert.deepEqual(await page.evaluate(() => opens), []);
    await page.evaluate(() => { socket.onclose = null; });
  } finally {
    await page.goto('about:blank');
    await other.stop();
  }
});

test('a server that restarts gets its page back', async () => {
  await visit();
  await page.evaluate(() => {
    listen('/events/kept-page');
    join(`ws://${location.host}/ws`, 'room');
  });
  await shows('stream', 'open');
  await shows('socket', 'open');
  await server.stop();
  await shows('stream', 'waiting');
  await shows('socket', 'closed');
  server = await startServer(server.port);
  await shows('stream', 'open');
  await shows('socket', 'open');
  await emit({rooms: ['kept-page'], args: ['again']});
  await emit({rooms: ['room'], args: ['again']});
  await lists('heard', 1);
  await lists('told', 1);
  assert.equal(await page.evaluate(() => sessions.at(-1).recovered), false);
});
