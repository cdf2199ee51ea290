/*
 * chat.test.mjs - the chat page in a real browser, against build/examples/chat.
 */
import assert from 'node:assert/strict';
import {mkdir} from 'node:fs/promises';
import path from 'node:path';
import {after, before, beforeEach, afterEach, test} from 'node:test';
import {build, freePort, launch, Proxy, startChat, Tab} from './harness.mjs';

let browser, chat, proxy;
let tabs = [];

const open = async (port, options) => {
  const tab = await Tab.open(browser, port, options);
  tabs.push(tab);
  return tab;
};

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
});

beforeEach(async () => {
  chat = await startChat(await freePort());
  proxy = new Proxy(chat.port);
  await proxy.open();
});

afterEach(async () => {
  const faults = tabs.flatMap((tab) => tab.faults);

  try {
    await Promise.all(tabs.map((tab) => tab.close()));
  } finally {
    tabs = [];
    proxy.cut();
    await chat.stop();
  }
  assert.deepEqual(faults, [], 'no script error in any page');
});

test('two pages talk', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');

  await ann.noted('Ben joined');
  await ann.say('Hello, Ben');
  await ben.sees('Hello, Ben');
  await ben.say('Hello, Ann');
  await ann.sees('Hello, Ann');

  assert.deepEqual(await ann.texts(), ['Hello, Ben', 'Hello, Ann']);
  assert.deepEqual(await ben.texts(), ['Hello, Ben', 'Hello, Ann']);
  assert.deepEqual(await ann.texts('.lines .mine .text'), ['Hello, Ben']);
  assert.deepEqual(await ben.texts('.lines .mine .text'), ['Hello, Ann']);
  assert.deepEqual(await ann.texts('.pending .text'), []);
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  assert.deepEqual(await ben.people(), ['Ben', 'Ann']);
  for (const time of await ann.texts('.lines .message time'))
    assert.match(time, /^\d\d:\d\d$/);
});

test('joining, leaving, renaming and closing a page are told', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const eve = await (await open(chat.port)).enter('Eve');

  await ann.noted('Eve joined');
  await ben.page.click('#leave');
  await ann.noted('Ben left');
  await ben.page.waitForSelector('#nowhere', {state: 'visible'});
  await ben.page.click('#to-lobby');
  await ben.live();

  await ben.page.click('#rename');
  await ben.page.fill('#hello-name', 'Eve');
  await ben.page.press('#hello-name', 'Enter');
  await ben.page.getByText('The name Eve is taken.').waitFor();
  await ben.page.fill('#hello-name', 'Jörg');
  await ben.page.press('#hello-name', 'Enter');
  await ann.noted('Ben is now Jörg');
  await ben.noted('You are now Jörg');

  await eve.close();
  await ann.noted('Eve left');
  assert.deepEqual(await ann.notes(), ['Ben joined', 'Eve joined', 'Ben left',
    'Ben joined', 'Ben is now Jörg', 'Eve left']);
  assert.deepEqual(await ann.people(), ['Ann', 'Jörg']);
});

test('a taken name is refused, in any case of letters', async () => {
  await (await open(chat.port)).enter('Ann');
  const other = await open(chat.port);

  await other.page.fill('#hello-name', 'ANN');
  await other.page.press('#hello-name', 'Enter');
  await other.page.getByText('The name ANN is taken.').waitFor();
  await other.enter('Ben');
  assert.deepEqual(await other.people(), ['Ben', 'Ann']);
});

test('rooms keep apart, and count what was not seen', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port, {url: '#side'})).enter('Ben',
    'side');

  await ann.page.fill('#join-room', '#Side');
  await ann.page.press('#join-room', 'Enter');
  await ann.live();
  await ben.noted('Ann joined');
  await ann.page.keyboard.press('Alt+ArrowUp');
  await ann.say('only for the lobby');
  await ann.sees('only for the lobby');
  await ben.say('one');
  await ben.say('two');
  await ann.page.locator('.badge:visible').getByText('2').waitFor();
  assert.match(await ann.page.title(), /^\(2\) /);
  await ann.page.click('.room:has-text("side")');
  assert.deepEqual(await ann.texts(), ['one', 'two']);
  assert.equal(await ann.page.locator('.badge:visible').count(), 0);
  assert.deepEqual(await ben.texts(), ['one', 'two']);
});

test('markup stays text', async () => {
  const evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>' +
    '<b>&amp;</b>';
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');

  await ann.say(evil);
  await ben.sees(evil);
  assert.deepEqual(await ben.texts(), [evil]);
  assert.deepEqual(await ann.texts(), [evil]);
  for (const tab of [ann, ben])
    assert.equal(await tab.page.locator('.log img, .log script, .log b')
      .count(), 0);
});

test('Enter sends, Shift+Enter breaks the line', async () => {
  const ann = await (await open(chat.port)).enter('Ann');

  await ann.page.locator('#text').pressSequentially('one');
  await ann.page.keyboard.press('Shift+Enter');
  await ann.page.keyboard.type('two');
  await ann.page.keyboard.press('Enter');
  await ann.page.waitForFunction(() =>
    document.querySelector('.lines .text')?.textContent === 'one\ntwo');
  assert.equal(await ann.page.inputValue('#text'), '');

  await ann.page.fill('#text', 'x'.repeat(4001));
  await ann.page.keyboard.press('Enter');
  await ann.page.getByText('Too long: 1 of 4001 bytes').waitFor();
  await ann.say('ä'.repeat(2000));
  await ann.sees('ä'.repeat(2000));
});

test('the newest line stays in view unless one has scrolled up', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const atEnd = () => ann.page.evaluate(() =>
    current.log.scrollHeight - current.log.scrollTop -
      current.log.clientHeight < 2);

  for (let i = 0; i < 30; i++)
    await ben.say('line ' + i);
  await ann.sees('line 29');
  assert.ok(await atEnd());
  await ann.page.hover('.log:not([hidden])');
  await ann.page.mouse.wheel(0, -400);
  await ann.page.waitForFunction(() => !current.stick);
  await ben.say('news');
  await ann.page.waitForSelector('#newer', {state: 'visible'});
  assert.ok(!await atEnd());
  await ann.page.click('#newer');
  assert.ok(await atEnd());
  assert.ok(await ann.page.locator('#newer').isHidden());
});

test('a page that was cut off comes back by itself', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(proxy.port)).enter('Ben');

  await ben.page.fill('#join-room', 'side');
  await ben.page.press('#join-room', 'Enter');
  await ben.live();
  await ben.page.click('.room:has-text("lobby")');

  proxy.cut();
  await ben.state('waiting');
  await ann.noted('Ben left');
  await ben.say('from far away');
  await ben.say('and again');
  assert.deepEqual(await ben.texts('.pending .text'),
    ['from far away', 'and again']);
  assert.deepEqual(await ben.texts('.pending .state'),
    ['waiting', 'waiting']);
  await ann.say('Ben cannot hear this');
  await ann.sees('Ben cannot hear this');

  await proxy.heal();
  await ben.state('open');
  await ann.sees('and again');
  await ben.sees('and again');
  await ben.noted('Back after');
  assert.deepEqual(await ben.texts('.pending .text'), []);
  assert.deepEqual(await ben.texts(), ['from far away', 'and again']);
  assert.deepEqual(await ann.texts(),
    ['Ben cannot hear this', 'from far away', 'and again']);
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  assert.ok(await ben.page.evaluate(() =>
    [...rooms.values()].every((room) => room.live)));
});

test('a message whose receipt was lost is there once', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(proxy.port)).enter('Ben');

  proxy.deafen();
  await ben.say('did this arrive?');
  await ann.sees('did this arrive?');
  assert.deepEqual(await ben.texts('.pending .text'), ['did this arrive?']);
  proxy.cut();
  await ben.state('waiting');
  await proxy.heal();
  await ben.sees('did this arrive?');
  await ben.say('the end');
  await ann.sees('the end');
  assert.deepEqual(await ann.texts(), ['did this arrive?', 'the end']);
  assert.deepEqual(await ben.texts(), ['did this arrive?', 'the end']);
});

test('who comes back takes the name from its old connection', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(proxy.port)).enter('Ben');

  proxy.orphan();
  await ben.state('waiting');
  await proxy.heal();
  await ben.state('open');
  await ben.live();
  await ben.say('still me');
  await ann.sees('still me');
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  assert.deepEqual(await ben.people(), ['Ben', 'Ann']);
  assert.deepEqual(await ann.notes(),
    ['Ben joined', 'Ben left', 'Ben joined']);
});

test('a page that was replaced stays away', async () => {
  const first = await (await open(chat.port)).enter('Ann');
  const second = await open(chat.port);

  const key = await first.page.evaluate(() => me.key);
  await second.page.evaluate((key) => { me.key = key; }, key);
  await second.enter('Ann');
  await first.state('closed');
  await first.page.waitForTimeout(2500);
  await first.state('closed');
  assert.match(await first.page.textContent('#away-text'),
    /The server ended the connection: a newer connection/);
});

test('a server that restarts gets its pages back', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');

  await chat.stop();
  await Promise.all([ann.state('waiting'), ben.state('waiting')]);
  await ann.say('is anybody there?');
  chat = await startChat(chat.port);
  await ann.sees('is anybody there?');
  await ben.live();
  await ben.say('yes');
  await ann.sees('yes');
  assert.deepEqual(await ann.texts(), ['is anybody there?', 'yes']);
  assert.deepEqual((await ann.people()).sort(), ['Ann', 'Ben']);
  assert.deepEqual((await ben.people()).sort(), ['Ann', 'Ben']);
});

test('retries back off, with full jitter and a cap', async () => {
  const ann = await open(proxy.port);
  const delays = [];

  await ann.enter('Ann');
  await ann.page.evaluate(() => { Math.random = () => 0.9999; });
  await ann.page.clock.install();
  proxy.cut();
  for (let i = 0; i < 9; i++) {
    await ann.state('waiting');
    const delay = await ann.page.evaluate(() => link.retryAt - Date.now());
    delays.push(Math.round(delay / 500) * 500);
    await ann.page.evaluate(() => { link.retryAt = 0; });
    await ann.page.clock.fastForward(delay + 1);
    await ann.page.waitForFunction(() => link.state === 'waiting' &&
      link.retryAt > 0, null, {polling: 20});
  }
  assert.deepEqual(delays,
    [2000, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

test('some close codes are final, the others are not', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  let code = 4500;

  await ann.page.routeWebSocket(/\/ws$/, (socket) => {
    socket.close({code, reason: 'a test'});
  });
  await ann.page.reload();
  await ann.state('closed');
  await ann.page.evaluate(() => { Math.random = () => 0.9999; });
  for (code of [1002, 1003, 1007, 1008, 1009, 4500, 4999]) {
    await ann.page.evaluate(() => link.connect());
    await ann.state('closed');
    await ann.page.getByText('The server ended the connection: a test')
      .waitFor();
  }
  for (code of [1000, 1001, 1011, 1012, 1013, 4008, 4013, 4499]) {
    await ann.page.evaluate(() => link.connect());
    await ann.state('waiting');
  }
});

test('a connection that died without a word is noticed', async () => {
  const ann = await (await open(proxy.port)).enter('Ann');

  await ann.page.clock.install();
  await ann.page.evaluate(() => dispatchEvent(new Event('online')));
  await ann.page.waitForTimeout(300);
  await ann.page.clock.fastForward(6000);
  await ann.state('open'); /* there was a pong */

  proxy.deafen();
  await ann.page.evaluate(() => dispatchEvent(new Event('online')));
  await ann.page.waitForTimeout(300);
  await ann.state('open');
  await ann.page.clock.fastForward(6000);
  await ann.state('waiting');
});

test('offline is shown, and online ends it at once', async () => {
  const ann = await (await open(proxy.port)).enter('Ann');

  await ann.context.setOffline(true);
  proxy.cut();
  await ann.state('offline');
  await ann.page.getByText('You are offline').waitFor();
  await proxy.heal();
  await ann.context.setOffline(false);
  await ann.state('open');
  await ann.live();
});

test('a reload keeps name and rooms', async () => {
  const ann = await (await open(chat.port)).enter('Ann');

  await ann.page.fill('#join-room', 'side');
  await ann.page.press('#join-room', 'Enter');
  await ann.live();
  await ann.page.reload();
  await ann.live();
  assert.deepEqual(await ann.texts('.room .name'), ['lobby', 'side']);
  assert.equal(await ann.page.textContent('#me-name'), 'Ann');
  assert.equal(await ann.page.textContent('#title'), '# side');
});

test('it looks like something', async () => {
  const pictures = path.join(build, 'tests/browser');
  const phone = {viewport: {width: 390, height: 844}, isMobile: true,
    hasTouch: true, colorScheme: 'dark', deviceScaleFactor: 2};

  await mkdir(pictures, {recursive: true});
  const ann = await open(chat.port, {colorScheme: 'light'});
  await ann.page.screenshot({path: path.join(pictures, 'hello.png')});
  await ann.enter('Ann');
  const ben = await (await open(chat.port, phone)).enter('Jörg');
  const cem = await (await open(proxy.port)).enter('Cem');

  await ann.say('Good morning! The new build is on the staging machine.');
  await ann.say('It holds 100,000 idle connections.');
  await ben.sees('It holds 100,000 idle connections.');
  await ben.say('What does one of them cost?');
  await cem.sees('What does one of them cost?');
  await cem.say('About 330 bytes, as long as it is a plain WebSocket. With ' +
    'compression and context takeover it is more: the windows have to live ' +
    'somewhere.');
  await cem.page.fill('#join-room', 'benchmarks');
  await cem.page.press('#join-room', 'Enter');
  await cem.live();
  await ann.page.fill('#join-room', 'benchmarks');
  await ann.page.press('#join-room', 'Enter');
  await cem.noted('Ann joined');
  await ann.page.click('.room:has-text("lobby")');
  await cem.say('Figures go here.');
  await ann.page.locator('.badge:visible').waitFor();
  await ben.say('Fine with me.\nLunch?');
  await ann.sees('Fine with me. Lunch?');
  await ann.say('<b>Yes</b>, in ten minutes.');
  await ben.sees('<b>Yes</b>, in ten minutes.');

  await ann.page.screenshot({path: path.join(pictures, 'chat.png')});
  await ben.page.screenshot({path: path.join(pictures, 'chat-mobile.png')});
  proxy.cut();
  await cem.state('waiting');
  await cem.say('Can anybody read this?');
  await cem.page.screenshot({path: path.join(pictures, 'chat-away.png')});

  for (const tab of [ann, ben, cem])
    assert.deepEqual(await tab.page.evaluate((width) => {
      const outside = (inner, outer) => inner.left < outer.left - 1 ||
        inner.right > outer.right + 1 || inner.top < outer.top - 1 ||
        inner.bottom > outer.bottom + 1;
      const box = (element) => element.getBoundingClientRect();
      const parts = [...document.querySelectorAll(
        '.log:not([hidden]) .bubble *')];
      const bars = [...document.querySelectorAll('.head, .composer, .bubble')]
        .filter((bar) => box(bar).width > 0);

      return [...parts.filter((part) =>
        outside(box(part), box(part.closest('.bubble')))),
      ...bars.filter((bar) => box(bar).left < 0 || box(bar).right > width)]
        .map((element) => element.className + ': ' + element.textContent);
    }, tab.page.viewportSize().width), [], 'nothing sticks out');
});
