/*
 * ticker.test.mjs - the dashboard in a real browser, against
 * build/examples/ticker.
 */
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {mkdir} from 'node:fs/promises';
import path from 'node:path';
import {after, afterEach, before, beforeEach, test} from 'node:test';
import {build, freePort, launch, Proxy, start, Tab} from './harness.mjs';

let browser, ticker, proxy;
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
  ticker = await start('ticker', await freePort());
  proxy = new Proxy(ticker.port);
  await proxy.open();
});

afterEach(async () => {
  const faults = tabs.flatMap((tab) => tab.faults);

  try {
    await Promise.all(tabs.map((tab) => tab.close()));
  } finally {
    tabs = [];
    proxy.cut();
    await ticker.stop();
  }
  assert.deepEqual(faults, [], 'no script error in any page');
});

/* The numbers that a page has of each symbol. */
const numbers = (tab) => tab.page.evaluate(() => Object.fromEntries(
  [...prices].map(([symbol, {series}]) =>
    [symbol, series.points.map(({n}) => n)])));

/* Every symbol has |count| values more than now. */
const more = (tab, count) => tab.page.evaluate((count) => {
  const enough = (prices.get('BROOK').series.last?.n ?? -1) + count;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if ([...prices.values()].every(({series}) => series.last?.n >= enough)) {
        clearInterval(timer);
        resolve();
      }
    }, 20);
  });
}, count);

/* Every number is there, once and in order. */
function assertWhole(all) {
  for (const [symbol, list] of Object.entries(all))
    assert.deepEqual(list, list.map((_, i) => list[0] + i), symbol);
}

const picture = (tab, index) => tab.page.evaluate((index) =>
  document.querySelectorAll('canvas')[index].toDataURL(), index)
  .then((url) => createHash('sha256').update(url).digest('hex'));

async function live(tab) {
  await tab.state('open');
  await tab.page.waitForFunction(() => [...prices.values()].every(
    ({series}) => series.points.length >= 2) && before);
}

test('prices and counters arrive and the charts move', async () => {
  const tab = await open(ticker.port);

  await live(tab);
  await more(tab, 6);
  const was = [];
  for (let i = 0; i < 6; i++)
    was.push(await picture(tab, i));
  const received = await tab.page.evaluate(() => stream.received);
  const from = Date.now();
  await more(tab, 8);
  const took = Date.now() - from;
  assert.ok(took > 1000 && took < 4000, `8 values took ${took} ms`);
  assert.ok(await tab.page.evaluate(() => stream.received) >= received + 40);
  for (let i = 0; i < 6; i++)
    assert.notEqual(await picture(tab, i), was[i], 'chart ' + i);
  assertWhole(await numbers(tab));
  for (const value of await tab.texts('.price .value'))
    assert.match(value, /^\d+\.\d\d$/);
  assert.match(await tab.page.textContent('#events-rate .value'),
    /^\d+per second$/);
  assert.equal(await tab.page.textContent('[data-metric=peers]'), '1');
  assert.match(await tab.page.textContent('#last-id'), /.+-\d+$/);
  assert.equal(await tab.page.textContent('#missed'), '0');
});

test('a page that comes later begins with the past', async () => {
  const first = await open(ticker.port);

  await live(first);
  await more(first, 12);
  const second = await open(ticker.port);
  await live(second);
  await more(second, 1);
  const all = await numbers(second);
  assertWhole(all);
  assert.ok(all.BROOK.length >= 12, all.BROOK.length + ' values');
  const common = await first.page.evaluate(() =>
    Object.fromEntries(prices.get('DELTA').series.points
      .map(({n, value}) => [n, value])));
  for (const {n, value} of await second.page.evaluate(() =>
    prices.get('DELTA').series.points))
    assert.ok(common[n] === undefined || common[n] === value);
});

test('what was cut off goes on without a gap', async () => {
  const tab = await open(proxy.port);

  await live(tab);
  await more(tab, 4);
  for (let i = 1; i <= 3; i++) {
    const before = await numbers(tab);
    const lastId = await tab.page.evaluate(() => stream.lastId);

    proxy.cut();
    await tab.state('waiting');
    await tab.page.getByText('Reconnecting').waitFor();
    await tab.page.waitForTimeout(1200);
    const frozen = await numbers(tab);
    assert.ok(frozen.BROOK.length <= before.BROOK.length + 2, 'it was cut');
    await proxy.heal();
    await tab.state('open');
    await more(tab, 2);
    const after = await numbers(tab);
    assertWhole(after);
    assert.ok(after.BROOK.at(-1) > frozen.BROOK.at(-1) + 4);
    assert.equal(await tab.page.textContent('#resumed'), String(i));
    assert.equal(await tab.page.textContent('#missed'), '0');
    assert.equal(await tab.page.evaluate(() =>
      stream.lastId.split('-')[0]), lastId.split('-')[0]);
  }
});

test('a server that restarts begins anew', async () => {
  const tab = await open(ticker.port);

  await live(tab);
  await more(tab, 8);
  const lastId = await tab.page.evaluate(() => stream.lastId);
  await ticker.stop();
  await tab.state('waiting');
  ticker = await start('ticker', ticker.port);
  await tab.state('open');
  await more(tab, 3);
  const all = await numbers(tab);
  assertWhole(all);
  assert.equal(all.BROOK[0], 0);
  assert.equal(await tab.page.textContent('#resumed'), '0');
  assert.notEqual(await tab.page.evaluate(() => stream.lastId.split('-')[0]),
    lastId.split('-')[0]);
});

test('only what there is can be read', async () => {
  const base = `http://127.0.0.1:${ticker.port}/events/`;

  for (const [path, status] of [['NOTHING', 403], ['BROOK?room=x', 403]]) {
    const response = await fetch(base + path);
    assert.equal(response.status, status);
    await response.text();
  }
  const response = await fetch(base + 'BROOK', {method: 'POST',
    body: JSON.stringify({event: 'past', args: ['NOTHING']})});
  assert.equal((await response.json()).error.code, 'symbol');
  const metrics = await fetch(`http://127.0.0.1:${ticker.port}/metrics`);
  assert.match(await metrics.text(), /^rill_events_total 1$/m);
});

test('it looks like something', async () => {
  const pictures = path.join(build, 'tests/browser');
  const phone = {viewport: {width: 390, height: 844}, isMobile: true,
    hasTouch: true, deviceScaleFactor: 2};

  await mkdir(pictures, {recursive: true});
  const wide = await open(proxy.port, {colorScheme: 'light',
    viewport: {width: 1280, height: 960}});
  const dark = await open(ticker.port, {colorScheme: 'dark',
    viewport: {width: 1280, height: 960}});
  const narrow = await open(ticker.port, {...phone, colorScheme: 'dark'});
  await live(wide);
  await live(narrow);
  await more(wide, 48);
  await dark.page.mouse.move(300, 250);
  for (const [tab, name] of [[wide, 'ticker'], [dark, 'ticker-dark'],
    [narrow, 'ticker-mobile']]) {
    await tab.page.screenshot({path: path.join(pictures, name + '.png'),
      fullPage: true});
    assert.deepEqual(await tab.page.evaluate((width) =>
      [...document.querySelectorAll('body *')].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && (box.left < 0 || box.right > width + 0.5);
      }).map((element) => element.tagName + ' ' + element.textContent),
    tab.page.viewportSize().width), [], 'nothing sticks out');
  }
  proxy.cut();
  await wide.state('waiting');
  await wide.page.screenshot({path: path.join(pictures, 'ticker-away.png')});
});
