/*
 * chat.test.mjs - the chat page in a real browser, against build/examples/chat.
 */
import assert from 'node:assert/strict';
import {createHmac} from 'node:crypto';
import {mkdir, mkdtemp, rm} from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {after, before, beforeEach, afterEach, test} from 'node:test';
import {build, freePort, launch, Proxy, start, Tab} from './harness.mjs';

let browser, chat, proxy, dir;
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

const startChat = (port) => start('chat', port, '--db',
  path.join(dir, 'chat.db'));

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'rill-chat-'));
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
    await rm(dir, {recursive: true});
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
  await ann.noted('Jörg joined');
  await ben.noted('You are now Jörg');

  await eve.close();
  await ann.noted('Eve left');
  const notes = await ann.notes();
  assert.deepEqual(notes.slice(0, 4), ['Ben joined', 'Eve joined', 'Ben left',
    'Ben joined']);
  /* the new connection is there before the old one has gone */
  assert.deepEqual(notes.slice(4).sort(),
    ['Ben left', 'Eve left', 'Jörg joined']);
  assert.deepEqual(await ann.people(), ['Ann', 'Jörg']);
  assert.deepEqual(await ben.people(), ['Jörg', 'Ann']);
  assert.deepEqual((await ben.notes()).filter((note) => /Ben/.test(note)), []);
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
  await ben.say('from far away');
  await ben.say('and again');
  assert.deepEqual(await ben.texts('.pending .text'),
    ['from far away', 'and again']);
  assert.deepEqual(await ben.texts('.pending .state'),
    ['waiting', 'waiting']);
  await ann.say('Ben hears this later');
  await ann.sees('Ben hears this later');

  await proxy.heal();
  await ben.state('open');
  await ann.sees('and again');
  await ben.sees('and again');
  await ben.noted('Back after');
  assert.deepEqual(await ben.texts('.pending .text'), []);
  const all = ['Ben hears this later', 'from far away', 'and again'];
  assert.deepEqual(await ben.texts(), all);
  assert.deepEqual(await ann.texts(), all);
  assert.deepEqual(await ann.notes(), ['Ben joined']);
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  assert.equal(await ann.page.locator('.not-here').count(), 0);
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

test('who comes back keeps the name beside its old connection', async () => {
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
  assert.deepEqual(await ann.notes(), ['Ben joined']);
});

test('two pages with one key are one person', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const twin = await open(chat.port);

  const key = await ben.page.evaluate(() => me.key);
  await twin.page.evaluate((key) => { me.key = key; }, key);
  await twin.enter('Ben');
  await twin.say('from my other desk');
  await ben.sees('from my other desk');
  assert.deepEqual(await ben.texts('.lines .mine .text'),
    ['from my other desk']);
  await twin.close();
  await ben.say('and from this one');
  await ann.sees('and from this one');
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  await ben.close();
  await ann.noted('Ben left');
  assert.deepEqual(await ann.notes(), ['Ben joined', 'Ben left']);
});

test('who comes later sees what was said', async () => {
  const ann = await (await open(chat.port)).enter('Ann');

  await ann.say('one');
  await ann.say('two');
  await ann.sees('two');
  const ben = await (await open(chat.port)).enter('Ben');
  assert.deepEqual(await ben.texts(), ['one', 'two']);
  assert.equal(await ben.page.locator('.badge:visible').count(), 0);
});

test('who is typing is shown to the others', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const shown = (text) => ann.page.waitForFunction((text) =>
    document.getElementById('typing').textContent === text, text);

  await ben.page.locator('#text').pressSequentially('well');
  await shown('Ben is typing');
  assert.equal(await ben.page.textContent('#typing'), '');
  await ben.page.fill('#text', '');
  await shown('');
  await ben.page.waitForTimeout(1100);
  await ben.page.locator('#text').pressSequentially('yes');
  await shown('Ben is typing');
  await ben.page.keyboard.press('Enter');
  await ann.sees('yes');
  await shown('');
});

test('a wave reaches one person', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port, {url: '#side'})).enter('Ben',
    'side');
  const cem = await (await open(chat.port, {url: '#side'})).enter('Cem',
    'side');

  await ann.page.fill('#join-room', 'side');
  await ann.page.press('#join-room', 'Enter');
  await ann.live();
  await ann.page.click('.person .name:text-is("Ben")');
  await ben.noted('Ann waves at you');
  await ann.noted('You wave at Ben');
  assert.ok(!(await cem.notes()).some((note) => /wave/.test(note)));
});

test('a page that only reads', async () => {
  const ann = await (await open(chat.port)).enter('Ann');

  await ann.say('before');
  await ann.sees('before');
  const reader = await open(proxy.port, {url: '?read=lobby'});
  await reader.live();
  await reader.sees('before');
  await ann.say('while it reads');
  await reader.sees('while it reads');
  assert.deepEqual(await reader.people(), ['Ann']);
  assert.ok(await reader.page.locator('#composer').isHidden());
  assert.deepEqual(await ann.people(), ['Ann']);
  assert.deepEqual(await ann.notes(), []);

  proxy.cut();
  await reader.state('waiting');
  for (const text of ['meanwhile 1', 'meanwhile 2', 'meanwhile 3'])
    await ann.say(text);
  await ann.sees('meanwhile 3');
  await proxy.heal();
  await reader.sees('meanwhile 3');
  await ann.say('after');
  await reader.sees('after');
  assert.deepEqual(await reader.texts(), ['before', 'while it reads',
    'meanwhile 1', 'meanwhile 2', 'meanwhile 3', 'after']);
  await reader.page.click('#to-write');
  await reader.page.waitForSelector('#hello', {state: 'visible'});
});

test('a server that restarts gets its pages back', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');

  for (const tab of [ann, ben]) /* else it may wait for long by then */
    await tab.page.evaluate(() => { Math.random = () => 0.25; });
  await chat.stop();
  await Promise.all([ann.state('waiting'), ben.state('waiting')]);
  await ann.say('is anybody there?');
  chat = await startChat(chat.port);
  await ann.sees('is anybody there?');
  await ben.live();
  await ben.say('yes');
  await ann.sees('yes');
  assert.deepEqual(await ann.texts(), ['is anybody there?', 'yes']);
  for (const tab of [ann, ben]) {
    await tab.page.waitForFunction(() => current.members.size === 2);
    assert.deepEqual((await tab.people()).sort(), ['Ann', 'Ben']);
  }
  assert.deepEqual((await ann.notes()).filter((note) => !/^Back/.test(note)),
    ['Ben joined'], 'that all come back is no news');
});

test('a laptop that was closed sees what it missed', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(proxy.port)).enter('Ben');

  await ann.say('before');
  await ben.sees('before');
  await ben.context.setOffline(true);
  proxy.cut();
  await ben.state('offline');
  for (let i = 1; i <= 5; i++)
    await ann.say('meanwhile ' + i);
  await ann.sees('meanwhile 5');
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  await ben.say('from the train');

  /* who does not come back soon has gone, and was last seen then */
  await ann.page.locator('#absent .person:has-text("Ben")')
    .getByText(/^seen \d+ s ago$/).waitFor({timeout: 25000});
  assert.deepEqual(await ann.people(), ['Ann']);
  await proxy.heal();
  await ben.context.setOffline(false);
  await ann.sees('from the train');
  await ben.sees('from the train');
  await ann.noted('Ben joined');
  const all = ['before', ...Array.from({length: 5}, (_, i) =>
    'meanwhile ' + (i + 1)), 'from the train'];
  assert.deepEqual(await ben.texts(), all);
  assert.deepEqual(await ann.texts(), all);
  await ann.page.waitForSelector('#absent-part', {state: 'hidden'});
  assert.deepEqual(await ann.people(), ['Ann', 'Ben']);
  assert.deepEqual(await ann.notes(), ['Ben joined', 'Ben left',
    'Ben joined']);
});

/* |n| lines by writers of their own, as nobody may write so fast. */
const fill = (tab, from, n) => tab.page.evaluate(async ({from, n}) => {
  for (let i = from; i < from + n;) {
    const socket = new WebSocket(socketAddress());
    const says = (message) => socket.send(JSON.stringify(message));
    let answered;

    socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (message.joined || message.ack)
        answered(message);
    };
    await new Promise((resolve) => { socket.onopen = resolve; });
    says({open: {name: 'writer'}});
    says({join: 'lobby'});
    await new Promise((resolve) => { answered = resolve; });
    for (let k = 0; k < 45 && i < from + n; k++, i++) {
      says({event: 'chat:message', id: 1,
        args: [{roomId: 'lobby', text: 'line ' + i}]});
      await new Promise((resolve) => { answered = resolve; });
    }
    const closed = new Promise((resolve) => { socket.onclose = resolve; });
    socket.close(1000);
    await closed;
  }
}, {from, n});

test('a killed server has everything: one scrolls back', async () => {
  const lines = (n) => Array.from({length: n}, (_, i) => 'line ' + (i + 1));
  const ann = await (await open(chat.port)).enter('Ann');

  await ann.page.evaluate(() => { Math.random = () => 0.25; });
  await fill(ann, 1, 260);
  await ann.sees('line 260');
  await chat.kill();
  await ann.state('waiting');
  await ann.say('line 261');
  chat = await startChat(chat.port);
  await ann.live();
  await ann.page.waitForFunction(() => current.outbox.size === 0);
  assert.deepEqual(await ann.texts(), lines(261));

  const ben = await (await open(chat.port)).enter('Ben');
  await ben.sees('line 261');
  assert.deepEqual(await ben.texts(), lines(261).slice(-100));
  assert.ok(await ben.page.locator('.log:not([hidden]) .start').isHidden());
  /* what is in view stays where it is when lines come above it */
  await ben.page.evaluate(() => { current.log.scrollTop = 10; });
  const top = () => ben.page.evaluate(() => [...current.lines.children]
    .find(({textContent}) => textContent.includes('line 162'))
    .getBoundingClientRect().top);
  const before = await top();
  await ben.page.waitForFunction(() => current.first === 112);
  assert.ok(Math.abs(await top() - before) < 30);
  for (const first of [62, 12, 1]) {
    await ben.page.evaluate(() => { current.log.scrollTop = 0; });
    await ben.page.waitForFunction((first) => current.first === first, first);
  }
  assert.deepEqual(await ben.texts(), lines(261));
  assert.ok(await ben.page.locator('.log:not([hidden]) .start').isVisible());
  assert.equal(await ben.page.locator('.lines .first').count(), 2);

  await fill(ann, 262, 10);
  await ben.sees('line 271');
  assert.deepEqual(await ben.texts(), lines(271));
  assert.deepEqual(await ann.texts(), lines(271));
});

test('who was away for long gets the newest, and scrolls for the rest',
  async () => {
    const ann = await (await open(chat.port)).enter('Ann');
    const ben = await (await open(proxy.port)).enter('Ben');

    await fill(ann, 1, 20);
    await ben.sees('line 20');
    /* the session is gone as well, so only numbers help */
    proxy.cut();
    await ben.state('waiting');
    await fill(ann, 21, 130);
    await chat.kill();
    chat = await startChat(chat.port);
    await proxy.heal();
    await ben.sees('line 150');
    await ben.live();
    assert.deepEqual((await ben.texts()).length, 100);
    await ben.page.evaluate(() => { current.log.scrollTop = 0; });
    await ben.page.waitForFunction(() => current.first === 1);
    assert.deepEqual(await ben.texts(), Array.from({length: 150}, (_, i) =>
      'line ' + (i + 1)));
  });

test('what is new since the last visit is marked', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const marked = (tab) =>
    tab.texts('.log:not([hidden]) .mark + .message .text');

  await ben.say('seen');
  await ann.sees('seen');
  await ann.page.waitForFunction(() => current.read === 1);
  await ann.page.waitForTimeout(100); /* until it is written */
  await ann.close();
  await ben.noted('Ann left');
  await ben.say('new one');
  await ben.say('new two');
  await ben.sees('new two');

  const back = await (await open(chat.port, {url: '#side'})).enter('Ann',
    'side');
  await back.page.fill('#join-room', 'lobby');
  await back.page.press('#join-room', 'Enter');
  await back.sees('new two');
  await back.page.waitForSelector('.log:not([hidden]) .mark');
  assert.deepEqual(await marked(back), ['new one']);
  assert.deepEqual(await marked(ben), []);

  /* and what comes while one looks elsewhere */
  await back.page.click('.room:has-text("side")');
  await ben.say('new three');
  await back.page.locator('.badge:visible').getByText('1').waitFor();
  await back.page.click('.room:has-text("lobby")');
  assert.deepEqual(await marked(back), ['new three']);
  assert.equal(await back.page.locator('.badge:visible').count(), 0);
  await back.say('I see');
  await back.page.waitForSelector('.mark', {state: 'detached'});
});

test('who does not look is away', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const look = (hidden) => ben.page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden',
      {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);

  await look(true);
  await ann.page.waitForSelector('#people .not-here:has-text("Ben")');
  assert.deepEqual(await ann.texts('#people .what'), ['you', 'away']);
  await look(false);
  await ann.page.waitForSelector('#people .not-here', {state: 'detached'});
  assert.deepEqual(await ann.notes(), ['Ben joined']);
});

test('a wave waits for who is not here', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');

  await ann.noted('Ben joined');
  await ben.close();
  await ann.page.click('#absent .name:text-is("Ben")');
  await ann.noted('You wave at Ben');
  await chat.kill();
  chat = await startChat(chat.port);
  const back = await (await open(chat.port)).enter('Ben');
  await back.noted('Ann waves at you');
  await back.page.reload();
  await back.live();
  await back.page.waitForTimeout(300);
  assert.ok(!(await back.notes()).some((note) => /waves/.test(note)));
});

test('a token says who this is', async () => {
  const secret = 'at least sixteen bytes';
  const staff = await start('chat', await freePort(), '--db', ':memory:',
    '--secret', secret);
  const text = Buffer.from(JSON.stringify({sub: 'Jörg',
    exp: Math.floor(Date.now() / 1000) + 60})).toString('base64url');
  const token = text + '.' + createHmac('sha256', secret).update(text)
    .digest('base64url');

  try {
    const tab = await open(staff.port, {url: '?token=' + token});
    await tab.live();
    await tab.say('signed');
    await tab.sees('signed');
    assert.equal(await tab.page.textContent('#me-name'), 'Jörg');
    assert.deepEqual(await tab.texts('.lines .mine .text'), ['signed']);
    assert.deepEqual(await tab.people(), ['Jörg']);
    await tab.close();
  } finally {
    await staff.stop();
  }
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

test('a reload keeps name, rooms and messages', async () => {
  const ann = await (await open(chat.port)).enter('Ann');

  await ann.page.fill('#join-room', 'side');
  await ann.page.press('#join-room', 'Enter');
  await ann.live();
  await ann.say('note to self');
  await ann.sees('note to self');
  await ann.page.reload();
  await ann.live();
  assert.deepEqual(await ann.texts('.lines .mine .text'), ['note to self']);
  assert.deepEqual(await ann.texts('.room .name'), ['lobby', 'side']);
  assert.equal(await ann.page.textContent('#me-name'), 'Ann');
  assert.equal(await ann.page.textContent('#title'), '# side');
});

test('a reload without a connection keeps what waits', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const ben = await (await open(chat.port)).enter('Ben');
  const all = ['first', 'typed in vain?', 'the last'];

  await ben.say('first');
  await ann.sees('first');
  await ben.page.waitForFunction(() => /* it has been answered */
    document.querySelectorAll('.pending .text').length === 0);
  await ben.page.evaluate(() => { link.stop(''); });
  await ben.say('typed in vain?');
  await ben.say('the last');
  assert.equal((await ben.texts('.pending .text')).length, 2);
  await ben.page.reload();
  await ben.live();
  await ben.sees('the last');
  assert.deepEqual(await ben.texts(), all);
  assert.deepEqual(await ben.texts('.pending .text'), []);
  await ann.sees('the last');
  assert.deepEqual(await ann.texts(), all);
  await ben.page.reload();
  await ben.live();
  await ben.sees('the last');
  assert.deepEqual(await ben.texts(), all, 'once');
});

test('who comes later sees when others were here', async () => {
  const ben = await (await open(chat.port)).enter('Ben');

  await ben.say('I was here');
  await ben.sees('I was here');
  await ben.page.click('#leave');
  await ben.close();
  const ann = await (await open(chat.port)).enter('Ann');
  await ann.page.locator('#absent .person:has-text("Ben")')
    .getByText(/^seen \d+ s ago$/).waitFor();
  assert.deepEqual(await ann.people(), ['Ann']);
  assert.deepEqual(await ann.notes(), []);

  /* a server that was killed does not know; the message does */
  await chat.kill();
  chat = await startChat(chat.port);
  await ann.page.reload();
  await ann.live();
  await ann.page.locator('#absent .person:has-text("Ben")')
    .getByText(/^seen \d+ s ago$/).waitFor();
  const back = await (await open(chat.port)).enter('Ben');
  await ann.noted('Ben joined');
  await ann.page.waitForSelector('#absent-part', {state: 'hidden'});
  await back.close();
});

/* Somebody in the lobby, from an address of its own; resolves once let in. */
const crowd = (i) => new Promise((resolve, reject) => {
  const socket = net.connect({port: chat.port, host: '127.0.0.1',
    localAddress: `127.0.1.${i + 1}`});
  const says = (message) => {
    const text = Buffer.from(JSON.stringify(message));
    socket.write(Buffer.concat([
      Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  };
  let heard = '';

  socket.on('error', reject);
  socket.on('data', (data) => {
    heard += data.toString('latin1');
    if (heard.includes('"error"'))
      reject(new Error(heard));
    if (heard.includes('"open"'))
      resolve({join: () => says({join: 'lobby'}), end: () => socket.end()});
  });
  socket.write('GET /ws HTTP/1.1\r\nHost: localhost\r\n' +
    'Connection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  says({open: {name: `guest-${i}`, key: `key-${i}`}});
});

test('a crowd that comes at once is listed', async () => {
  const ann = await (await open(chat.port)).enter('Ann');
  const guests = await Promise.all(Array.from({length: 120}, (_, i) =>
    crowd(i)));

  for (const guest of guests) /* more than an update names */
    guest.join();
  await ann.page.waitForFunction(() =>
    document.querySelectorAll('#people .name').length === 121);
  for (const guest of guests)
    guest.end();
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

  await cem.page.click('.room:has-text("lobby")');
  await cem.page.locator('#text').pressSequentially('So');
  await ann.page.getByText('Cem is typing').waitFor();
  await ann.page.screenshot({path: path.join(pictures, 'chat.png')});
  await ben.page.screenshot({path: path.join(pictures, 'chat-mobile.png')});
  proxy.cut();
  await cem.state('waiting');
  await cem.say('Can anybody read this?');
  const reader = await open(chat.port, {url: '?read=lobby',
    colorScheme: 'dark'});
  await reader.live();
  await reader.page.screenshot({path: path.join(pictures, 'chat-reader.png')});
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
