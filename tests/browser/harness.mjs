/*
 * harness.mjs - a server among the examples as a child process, a TCP proxy
 * that can lose a connection in several ways, and pages of one browser.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import net from 'node:net';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {chromium} from 'playwright-core';

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

/* Runs build/examples/NAME until stop(), which checks its exit status. */
export async function start(name, port, ...flags) {
  const child = spawn(path.join(build, 'examples', name),
    ['--listen', `tcp://127.0.0.1:${port}`, '--web',
      path.join(root, 'examples/web', name), ...flags],
    {stdio: ['ignore', 'pipe', 'inherit']});
  const exited = once(child, 'exit');
  const lines = createInterface({input: child.stdout});
  const [line] = await Promise.race([once(lines, 'line'), exited.then(() => {
    throw new Error(name + ' ended before it listened');
  })]);

  if (!line.startsWith('listening on '))
    throw new Error('unexpected: ' + line);
  return {
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

/*
 * A proxy in front of a server.  cut() ends all connections and refuses new
 * ones, heal() takes them again.  deafen() swallows what the server says;
 * orphan() ends the page's side only, so that the server goes on believing
 * in connections that are gone.
 */
export class Proxy {
  #target;
  #server = null;
  #pairs = new Set();
  #deaf = false;

  constructor(target) {
    this.#target = target;
  }

  async open() {
    this.port = await freePort();
    await this.heal();
  }

  async heal() {
    this.#deaf = false;
    this.#server = net.createServer((page) => this.#accept(page));
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  #accept(page) {
    const server = net.connect(this.#target, '127.0.0.1');
    const pair = {page, server, orphan: false};

    this.#pairs.add(pair);
    page.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => {
      if (!this.#deaf && !pair.orphan)
        page.write(bytes);
    });
    page.on('error', () => {});
    server.on('error', () => {});
    page.on('close', () => {
      if (!pair.orphan)
        server.destroy();
    });
    server.on('close', () => {
      page.destroy();
      this.#pairs.delete(pair);
    });
  }

  deafen() {
    this.#deaf = true;
  }

  #refuse() {
    this.#server?.close();
    this.#server = null;
  }

  cut() {
    this.#refuse();
    for (const {page, server} of this.#pairs) {
      page.destroy();
      server.destroy();
    }
  }

  orphan() {
    this.#refuse();
    for (const pair of this.#pairs) {
      pair.orphan = true;
      pair.page.destroy();
    }
  }
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  headless: true,
  chromiumSandbox: false,
  args: ['--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--no-first-run', '--disable-quic', '--disable-gpu']
});

/*
 * One tab with a profile of its own.  |faults| collects script errors and
 * what the content security policy refused.
 */
export class Tab {
  faults = [];

  static async open(browser, port, options = {}) {
    const tab = new Tab();
    const {url, ...rest} = options;

    tab.context = await browser.newContext({viewport: {width: 1280,
      height: 800}, locale: 'en-GB', ...rest});
    tab.page = await tab.context.newPage();
    tab.page.setDefaultTimeout(15000);
    tab.page.on('pageerror', (error) => tab.faults.push(String(error)));
    tab.page.on('dialog', (dialog) => {
      tab.faults.push('dialog: ' + dialog.message());
      dialog.dismiss();
    });
    tab.page.on('console', (message) => {
      if (/Content Security Policy|Uncaught/.test(message.text()))
        tab.faults.push(message.text());
    });
    await tab.page.goto(`http://127.0.0.1:${port}/` + (url || ''));
    return tab;
  }

  async enter(name, room = 'lobby') {
    await this.page.fill('#hello-name', name);
    await this.page.fill('#hello-room', room);
    await this.page.press('#hello-name', 'Enter');
    await this.page.waitForSelector('#hello', {state: 'hidden'});
    await this.live();
    return this;
  }

  async say(text) {
    await this.page.fill('#text', text);
    await this.page.press('#text', 'Enter');
  }

  /* The current room is joined, and its members are there. */
  async live() {
    await this.page.waitForFunction(() => current && current.live &&
      (reading ? current.members.size > 0 : current.members.has(me.name)));
  }

  state(state) {
    return this.page.waitForSelector(`#status[data-state="${state}"]`);
  }

  /* Texts of the delivered messages, notes or members that can be seen. */
  texts(selector = '.log:not([hidden]) .lines .text') {
    return this.page.locator(selector).allTextContents();
  }

  notes() {
    return this.texts('.log:not([hidden]) .note > span');
  }

  people() {
    return this.texts('#people .name');
  }

  sees(text) {
    return this.page.locator('.log:not([hidden]) .lines .text')
      .getByText(text, {exact: true}).first().waitFor();
  }

  noted(text) {
    return this.page.locator('.log:not([hidden]) .note > span')
      .getByText(text).last().waitFor();
  }

  close() {
    return this.context.close();
  }
}
