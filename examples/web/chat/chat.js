/*
 * chat.js - the page of the chat.  The protocol is at the top of chat.c.
 *
 * Link keeps a connection: it notices when one is lost and opens the next.
 * Room is one room: its lines on the page, who is in it, and the messages
 * that the server has not sent back yet.  What follows ties both to the page.
 *
 * Whatever came from somebody else is put into the page as text, never as
 * HTML.
 */
'use strict';

/* Milliseconds. */
const FIRST_RETRY = 2000; /* spreads the clients of a server that restarts */
const RETRY_BASE = 500;
const RETRY_CAP = 30000;
const STABLE = 30000; /* a connection that lived so long was a good one */
const OPEN_LIMIT = 10000;
const QUIET = 30000; /* silence after which it is time to ask */
const PONG_LIMIT = 5000;

/* Close codes after which the same would only happen again. */
const isFinal = (code) => [1002, 1003, 1007, 1008, 1009].includes(code) ||
  (code >= 4500 && code <= 4999);

/*
 * |state| is one of
 *   connecting  under way
 *   open        lines go both ways
 *   waiting     lost; the next try is at |retryAt|
 *   offline     as waiting, but the browser knows of no network
 *   closed      the server does not want this page back; |reason| says why
 */
class Link {
  state = 'connecting';
  retryAt = 0;
  reason = '';
  #url;
  #handlers;
  #socket = null;
  #attempt = 0;
  #retryTimer = 0;
  #openTimer = 0;
  #stableTimer = 0;
  #quietTimer = 0;
  #probeTimer = 0;

  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    addEventListener('online', () => this.#hurry());
    addEventListener('pageshow', () => this.#hurry());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden)
        this.#hurry();
    });
    addEventListener('offline', () => {
      if (this.state === 'open')
        this.#probe();
      else if (this.state === 'waiting')
        this.#wait();
    });
  }

  connect() {
    this.#discard();
    this.#set('connecting');
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#openTimer = setTimeout(() => this.#lost(1006, ''), OPEN_LIMIT);
    socket.onopen = () => {
      clearTimeout(this.#openTimer);
      this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE);
      this.#heard();
      this.#set('open');
    };
    socket.onmessage = (event) => {
      this.#heard();
      this.#handlers.line(event.data);
    };
    socket.onclose = (event) => this.#lost(event.code, event.reason);
  }

  /* True if the line was handed over; that is no receipt. */
  send(line) {
    if (this.state !== 'open' || this.#socket.readyState !== WebSocket.OPEN)
      return false;
    this.#socket.send(line);
    return true;
  }

  #set(state) {
    this.state = state;
    this.#handlers.state();
  }

  #discard() {
    for (const timer of [this.#retryTimer, this.#openTimer, this.#stableTimer,
      this.#quietTimer, this.#probeTimer])
      clearTimeout(timer);
    this.#probeTimer = 0;
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = null;
      this.#socket.onclose = null;
      this.#socket.close();
      this.#socket = null;
    }
  }

  #lost(code, reason) {
    this.#discard();
    if (isFinal(code)) {
      this.reason = reason;
      this.#set('closed');
    } else {
      this.#wait();
    }
  }

  /*
   * Exponential backoff with full jitter: anything from nothing to a limit
   * that doubles.  Offline is the browser's guess, so it only means to try
   * less often until it says "online".
   */
  #wait() {
    const limit = !navigator.onLine ? RETRY_CAP :
      this.#attempt === 0 ? FIRST_RETRY :
        Math.min(RETRY_CAP, RETRY_BASE * 2 ** this.#attempt);
    const delay = navigator.onLine ? Math.random() * limit : limit;

    clearTimeout(this.#retryTimer);
    this.#attempt++;
    this.retryAt = Date.now() + delay;
    this.#retryTimer = setTimeout(() => this.connect(), delay);
    this.#set(navigator.onLine ? 'waiting' : 'offline');
  }

  /* There is reason to believe that things are better, or worth a look. */
  #hurry() {
    if (this.state === 'waiting' || this.state === 'offline')
      this.connect();
    else if (this.state === 'open')
      this.#probe();
  }

  /*
   * A browser does not notice a connection that died without a word, as
   * when the other end of a tunnel went away or the machine has slept.
   */
  #probe() {
    if (this.#probeTimer === 0 && this.send('ping'))
      this.#probeTimer = setTimeout(() => this.#lost(1006, ''), PONG_LIMIT);
  }

  #heard() {
    clearTimeout(this.#probeTimer);
    this.#probeTimer = 0;
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#probe(), QUIET);
  }
}

const TEXT_BYTES = 4000;
const WORD_BYTES = 32;
const LINES_KEPT = 500;
const TAGS_KEPT = 1000;
const OUTBOX = 100;
const GROUP_MS = 5 * 60000; /* messages so close stand under one name */

const $ = (id) => document.getElementById(id);
const clone = (id) => $(id).content.firstElementChild.cloneNode(true);
const bytes = (text) => new TextEncoder().encode(text).length;

/* What the server takes for a word, but for a few rare characters. */
const isWord = (text) =>
  /^[\p{L}\p{M}\p{N}._-]+$/u.test(text) && bytes(text) <= WORD_BYTES;
const toName = (text) => text.trim().replace(/\s+/g, '-');
const toRoom = (text) => toName(text.trim().replace(/^#+/, '')).toLowerCase();

const randomWord = () => Array.from(crypto.getRandomValues(new Uint8Array(12)),
  (byte) => byte.toString(16).padStart(2, '0')).join('');

/* The first |count| words of a line, and the rest of it. */
function split(line, count) {
  const parts = [];

  for (let i = 0; i < count; i++) {
    const space = line.indexOf(' ');
    parts.push(space < 0 ? line : line.slice(0, space));
    line = space < 0 ? '' : line.slice(space + 1);
  }
  return [...parts, line];
}

/* FNV-1a, so that names that differ a little look different. */
function hueOf(name) {
  let hash = 0x811c9dc5;

  for (const char of name.toLowerCase())
    hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % 360;
}

function paintAvatar(avatar, name) {
  avatar.style.setProperty('--hue', hueOf(name));
  avatar.textContent = name === '' ? '' : [...name][0].toUpperCase();
}

const clock = new Intl.DateTimeFormat([], {timeStyle: 'short'});
const day = new Intl.DateTimeFormat([],
  {weekday: 'long', day: 'numeric', month: 'long'});
const fullTime = new Intl.DateTimeFormat([],
  {dateStyle: 'full', timeStyle: 'medium'});

function paintTime(element, millis) {
  element.dateTime = new Date(millis).toISOString();
  element.textContent = clock.format(millis);
  element.title = fullTime.format(millis);
}

function duration(millis) {
  const seconds = Math.max(1, Math.round(millis / 1000));

  if (seconds < 90)
    return seconds + ' s';
  return seconds < 5400 ? Math.round(seconds / 60) + ' min' :
    Math.round(seconds / 3600) + ' h';
}

/* What a tab remembers when it is reloaded; a browser may forbid it. */
const memory = {
  load(store, key) {
    try {
      return JSON.parse(store().getItem('rill-chat-' + key));
    } catch {
      return null;
    }
  },
  save(store, key, value) {
    try {
      store().setItem('rill-chat-' + key, JSON.stringify(value));
    } catch {
      /* then it is not remembered */
    }
  }
};
const tab = () => sessionStorage;
const browser = () => localStorage;

class Room {
  live = false; /* joined, on this connection */
  lostAt = 0; /* when the connection was lost; 0: it was not */
  members = new Set();
  outbox = new Map(); /* by tag: what has not come back yet */
  unread = 0;
  stick = true; /* the newest line stays in view */
  draft = '';
  #seen = new Set(); /* tags, to drop what comes twice */
  #last = {name: '', at: 0}; /* the newest line, if it is a message */
  #day = day.format(Date.now());

  constructor(name) {
    this.name = name;
    this.entry = clone('t-room');
    this.button = this.entry.firstElementChild;
    this.button.querySelector('.name').textContent = name;
    this.button.onclick = () => select(this);
    this.log = clone('t-log');
    this.log.setAttribute('aria-label', 'Messages in ' + name);
    this.log.querySelector('h2').textContent = name;
    this.lines = this.log.querySelector('.lines');
    this.pending = this.log.querySelector('.pending');
    this.log.onscroll = () => this.#scrolled();
    new ResizeObserver(() => this.settle()).observe(this.log);
  }

  #scrolled() {
    if (this !== current || this.log.hidden)
      return;
    this.stick = this.log.scrollHeight - this.log.scrollTop -
      this.log.clientHeight < 60;
    if (this.stick)
      $('newer').hidden = true;
  }

  settle() {
    if (this.stick)
      this.log.scrollTop = this.log.scrollHeight;
    else if (this === current)
      $('newer').hidden = false;
  }

  toEnd() {
    this.stick = true;
    $('newer').hidden = true;
    this.settle();
  }

  #add(node, at) {
    const today = day.format(at);

    if (today !== this.#day) {
      const divider = clone('t-day');
      divider.firstElementChild.textContent = today;
      this.#day = today;
      this.#last = {name: '', at: 0};
      this.lines.append(divider);
    }
    this.lines.append(node);
    while (this.lines.childElementCount > LINES_KEPT)
      this.lines.firstElementChild.remove();
    this.settle();
  }

  note(text, kind) {
    const node = clone('t-note');

    node.firstElementChild.textContent = text;
    paintTime(node.lastElementChild, Date.now());
    if (kind)
      node.classList.add(kind);
    this.#last = {name: '', at: 0};
    this.#add(node, Date.now());
  }

  /* One message of the server's, unless it is known. */
  said(at, tag, name, text) {
    const mine = this.outbox.get(tag);

    if (this.#seen.has(tag))
      return;
    this.#seen.add(tag);
    if (this.#seen.size > TAGS_KEPT)
      this.#seen.delete(this.#seen.values().next().value);
    this.outbox.delete(tag);

    const node = mine ? mine.node : this.#message(name, text, false);
    node.classList.toggle('first', name !== this.#last.name ||
      at - this.#last.at > GROUP_MS || this.#day !== day.format(at));
    node.querySelector('.state').textContent = '';
    paintTime(node.querySelector('time'), at);
    this.#add(node, at);
    this.#last = {name, at};
    if (!mine && (this !== current || document.hidden)) {
      this.unread++;
      paintRooms();
    }
  }

  /* A message of this page: shown at once, sent when that is possible. */
  say(text) {
    const tag = randomWord();
    const node = this.#message(me.name, text, true);

    this.outbox.set(tag, {text, node});
    paintTime(node.querySelector('time'), Date.now());
    this.pending.append(node);
    this.#send(tag);
    this.toEnd();
  }

  #send(tag) {
    const {text, node} = this.outbox.get(tag);
    const sent = this.live && link.send(`say ${this.name} ${tag} ${text}`);

    node.querySelector('.state').textContent = sent ? 'sending' : 'waiting';
  }

  failed(tag, why) {
    const item = this.outbox.get(tag);

    if (item) {
      this.outbox.delete(tag);
      item.node.classList.add('failed');
      item.node.querySelector('.state').textContent = why;
    }
  }

  #message(name, text, mine) {
    const node = clone('t-message');

    node.classList.toggle('mine', mine);
    node.style.setProperty('--hue', hueOf(name));
    paintAvatar(node.querySelector('.avatar'), name);
    node.querySelector('.author').textContent = name;
    node.querySelector('.text').textContent = text;
    return node;
  }

  /* The server says that this page is in. */
  entered() {
    this.live = true;
    this.members = new Set([me.name]);
    if (this.lostAt > 0)
      this.note('Back after ' + duration(Date.now() - this.lostAt) +
        '. What others said meanwhile is not shown.', 'gap');
    this.lostAt = 0;
    for (const tag of this.outbox.keys())
      this.#send(tag);
  }

  lost() {
    if (this.live)
      this.lostAt = Date.now();
    this.live = false;
    for (const {node} of this.outbox.values())
      node.querySelector('.state').textContent = 'waiting';
  }
}

/* The state of the page. */

const me = {
  name: '', /* as the server last confirmed it */
  wanted: '', /* what was or will be asked for */
  named: false, /* confirmed on this connection */
  key: memory.load(tab, 'key') || randomWord() /* shows whose the name is */
};
const rooms = new Map();
let current = null;

/*
 * The key outlives a reload, but is not there to be copied while the page
 * lives: a duplicate of this tab is somebody else.
 */
memory.save(tab, 'key', null);
addEventListener('pagehide', () => memory.save(tab, 'key', me.key));

/* The connection: what it hands over, and how the page begins anew. */

const address = new URL('ws', location.href);
address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
address.hash = '';

const link = new Link(address.href, {
  line: (line) => receive(line),
  state: () => {
    if (link.state !== 'open') {
      me.named = false;
      for (const room of rooms.values())
        room.lost();
    }
    paintStatus();
    paintHead();
  }
});

function askForName() {
  if (me.wanted !== '')
    link.send(`name ${me.wanted} ${me.key}`);
}

function join(name) {
  let room = rooms.get(name);

  if (!room) {
    room = new Room(name);
    rooms.set(name, room);
    $('rooms').append(room.entry);
    $('logs').append(room.log);
    if (me.named)
      link.send('join ' + name);
  }
  select(room);
}

function leave(room) {
  link.send('leave ' + room.name);
  forget(room);
}

function forget(room) {
  rooms.delete(room.name);
  room.entry.remove();
  room.log.remove();
  if (current === room)
    select(rooms.values().next().value || null);
  remember();
}

function select(room) {
  if (current)
    current.draft = $('text').value;
  current = room;
  for (const other of rooms.values())
    other.log.hidden = other !== room;
  if (room)
    room.unread = 0;
  $('text').value = room ? room.draft : '';
  $('newer').hidden = !room || room.stick;
  history.replaceState(null, '', room ? '#' + room.name : location.pathname);
  closeDrawer();
  paintRooms();
  paintHead();
  fitText();
  if (room)
    room.settle();
  if (!$('hello').open)
    $('text').focus({preventScroll: true});
  remember();
}

function remember() {
  memory.save(tab, 'state', {
    name: me.name,
    rooms: [...rooms.keys()],
    current: current ? current.name : ''
  });
}

/* What the server says, by the first word of its line. */

const receivers = {
  welcome: askForName,
  pong() {},

  named(line) {
    const [name] = split(line, 1);
    const before = me.name;

    me.name = me.wanted = name;
    if (me.named) {
      for (const room of rooms.values())
        if (room.live)
          rename(room, before, name, 'You are now ' + name);
    } else {
      me.named = true;
      if (before !== '' && before !== name)
        hint(`The name ${before} was taken meanwhile. You are now ${name}.`);
      for (const room of rooms.keys())
        link.send('join ' + room);
    }
    memory.save(browser, 'name', name);
    remember();
    closeHello();
    paintHead();
  },

  renamed(line) {
    const [before, name] = split(line, 2);

    for (const room of rooms.values())
      if (room.members.has(before))
        rename(room, before, name, `${before} is now ${name}`);
    paintHead();
  },

  joined(line) {
    const [where, name] = split(line, 2);
    const room = rooms.get(where);

    if (!room)
      return;
    if (name === me.name) {
      room.entered();
    } else {
      room.members.add(name);
      room.note(name + ' joined');
    }
    paintHead();
  },

  names(line) {
    const [where, names] = split(line, 1);
    const room = rooms.get(where);

    for (const name of names.split(' '))
      room?.members.add(name);
    paintHead();
  },

  left(line) {
    const [where, name] = split(line, 2);
    const room = rooms.get(where);

    if (room && name !== me.name && room.members.delete(name))
      room.note(name + ' left');
    paintHead();
  },

  said(line) {
    const [where, millis, said, name, text] = split(line, 4);

    rooms.get(where)?.said(Number(millis), said, name, text);
  },

  error(line) {
    const [why, about] = split(line, 2);

    if (why === 'name-taken')
      nameRefused(`The name ${about} is taken.`);
    else if (why === 'bad-word' && !me.named)
      nameRefused('This name has characters that cannot be used.');
    else if (why === 'bad-word')
      hint('This name cannot be used.');
    else if (why === 'too-many-rooms') {
      hint('You are in as many rooms as one can be in.');
      if (rooms.has(about))
        forget(rooms.get(about));
    } else if (why === 'bad-text' || why === 'bad-room') {
      for (const room of rooms.values())
        room.failed(about, 'not delivered');
    }
  }
};

function receive(line) {
  const [word, rest] = split(line, 1);

  if (Object.hasOwn(receivers, word))
    receivers[word](rest);
}

function rename(room, before, name, text) {
  room.members.delete(before);
  room.members.add(name);
  room.note(text);
}

/*
 * Somebody who chooses a name is asked again.  Somebody who only comes back
 * is let in under a name like the old one.
 */
function nameRefused(text) {
  if ($('hello').open) {
    me.wanted = me.named ? me.name : '';
    helloError(text);
    return;
  }
  const number = Math.floor(Math.random() * 9000) + 1000;
  const similar = `${me.name || me.wanted}-${number}`;
  me.wanted = isWord(similar) ? similar : `guest-${number}`;
  askForName();
}

/* Painting: the page as the state above has it. */

function paintRooms() {
  let unread = 0;

  for (const room of rooms.values()) {
    const badge = room.button.querySelector('.badge');
    if (room === current)
      room.button.setAttribute('aria-current', 'true');
    else
      room.button.removeAttribute('aria-current');
    badge.hidden = room.unread === 0 || room === current;
    badge.textContent = room.unread > 99 ? '99+' : room.unread;
    badge.setAttribute('aria-label', room.unread + ' unread');
    unread += room.unread;
  }
  document.title = (unread > 0 ? `(${unread}) ` : '') +
    (current ? `#${current.name} - rill chat` : 'rill chat');
}

function paintHead() {
  const names = current ? [...current.members] : [];

  $('title').textContent = current ? '# ' + current.name : 'rill chat';
  $('subtitle').textContent = !current ? 'No room chosen' :
    !current.live ? 'Not connected' :
      names.length === 1 ? 'Only you are here' : names.length + ' here';
  $('leave').hidden = $('show-people').hidden = !current;
  $('composer').hidden = !current;
  $('nowhere').hidden = current !== null;
  $('text').placeholder = current ? 'Message #' + current.name : '';
  $('me-name').textContent = me.name;
  paintAvatar($('me-avatar'), me.name);

  names.sort((a, b) => (b === me.name) - (a === me.name) ||
    a.localeCompare(b));
  $('people').classList.toggle('stale', current !== null && !current.live);
  $('people').replaceChildren(...names.map((name) => {
    const entry = clone('t-person');
    paintAvatar(entry.querySelector('.avatar'), name);
    entry.querySelector('.name').textContent = name;
    entry.querySelector('.name').title = name;
    entry.querySelector('.you').hidden = name !== me.name;
    return entry;
  }));
}

const STATUS = {
  connecting: 'Connecting',
  open: 'Connected',
  waiting: 'Reconnecting',
  offline: 'Offline',
  closed: 'Disconnected'
};

function paintStatus() {
  const {state} = link;
  const left = Math.max(1, Math.ceil((link.retryAt - Date.now()) / 1000));
  const text = {
    connecting: 'Connecting',
    waiting: `Connection lost. Reconnecting in ${left} s`,
    offline: 'You are offline. Messages are kept until you are back',
    closed: 'The server ended the connection' +
      (link.reason ? ': ' + link.reason : '')
  }[state];

  $('status').dataset.state = $('away').dataset.state = state;
  if ($('status-text').textContent !== STATUS[state])
    $('status-text').textContent = STATUS[state];
  $('status-count').textContent = state === 'waiting' ? ` in ${left} s` : '';
  /* The first connection is no matter for a banner while it is under way. */
  $('away').hidden = state === 'open' ||
    (state === 'connecting' && $('away').hidden);
  if (text)
    $('away-text').textContent = text;
  $('retry').hidden = state === 'connecting';
}

setInterval(() => {
  if (link.state === 'waiting')
    paintStatus();
}, 250);

let hintTimer = 0;

function hint(text) {
  $('hint').textContent = text;
  clearTimeout(hintTimer);
  hintTimer = setTimeout(() => { $('hint').textContent = ''; }, 6000);
}

/* The composer, which grows with its text up to a few lines. */

function fitText() {
  const text = $('text');

  text.style.height = '';
  if (text.scrollHeight > text.clientHeight)
    text.style.height = Math.min(text.scrollHeight, 168) + 'px';
}

function submit() {
  const text = $('text').value.replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]/gu, '').trim();
  const over = bytes(text) - TEXT_BYTES;

  if (!current || text === '')
    return;
  if (over > 0) {
    hint(`Too long: ${over} of ${over + TEXT_BYTES} bytes have to go.`);
    return;
  }
  if (current.outbox.size >= OUTBOX) {
    hint('Too many messages are waiting already.');
    return;
  }
  hint('');
  current.say(text);
  $('text').value = '';
  fitText();
}

$('composer').onsubmit = (event) => {
  event.preventDefault();
  submit();
  $('text').focus();
};
$('text').oninput = fitText;
$('text').onkeydown = (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
};

/* Rooms, drawers and keys. */

function openDrawer(which) {
  $('app').dataset.drawer = which;
  $('show-rooms').setAttribute('aria-expanded', which === 'rooms');
  $('show-people').setAttribute('aria-expanded', which === 'people');
}

function closeDrawer() {
  openDrawer('');
}

$('show-rooms').onclick = () => openDrawer('rooms');
$('show-people').onclick = () => openDrawer('people');
$('scrim').onclick = closeDrawer;
$('leave').onclick = () => leave(current);
$('retry').onclick = () => link.connect();
$('newer').onclick = () => current.toEnd();
$('to-lobby').onclick = () => join('lobby');

$('join').onsubmit = (event) => {
  const name = toRoom($('join-room').value);

  event.preventDefault();
  if (name === '')
    return;
  if (!isWord(name)) {
    hint('Rooms have names of up to 32 letters, digits, "-", "_" and ".".');
    return;
  }
  $('join-room').value = '';
  join(name);
};

/* Alt with an arrow goes to the next room, Escape closes a drawer. */
addEventListener('keydown', (event) => {
  if (event.key === 'Escape')
    closeDrawer();
  if (!event.altKey || !['ArrowUp', 'ArrowDown'].includes(event.key) ||
    !current)
    return;
  const all = [...rooms.values()];
  const step = event.key === 'ArrowUp' ? all.length - 1 : 1;
  event.preventDefault();
  select(all[(all.indexOf(current) + step) % all.length]);
});

document.addEventListener('visibilitychange', () => {
  if (!document.hidden && current) {
    current.unread = 0;
    paintRooms();
  }
});

const roomOfHash = () => {
  try {
    return toRoom(decodeURIComponent(location.hash));
  } catch {
    return '';
  }
};

addEventListener('hashchange', () => {
  if (me.name !== '' && isWord(roomOfHash()))
    join(roomOfHash());
});

/* The dialog that asks for a name: at first, and to change it. */

function openHello(first) {
  $('hello-title').textContent = first ? 'Come on in' : 'Change your name';
  $('hello-about').hidden = $('hello-room-part').hidden = !first;
  $('hello-cancel').hidden = first;
  $('hello-go').textContent = first ? 'Start chatting' : 'Save';
  $('hello-name').value = me.name || memory.load(browser, 'name') || '';
  helloError('');
  $('hello').showModal();
  $('hello-name').select();
}

function helloError(text) {
  $('hello-error').textContent = text;
  $('hello-go').disabled = false;
  if (text !== '')
    $('hello-name').focus();
}

function closeHello() {
  if ($('hello').open) {
    $('hello').close();
    $('text').focus();
  }
}

$('rename').onclick = () => openHello(false);
$('hello-cancel').onclick = closeHello;
$('hello').oncancel = (event) => {
  if (me.name === '')
    event.preventDefault();
};
$('hello-form').onsubmit = (event) => {
  const name = toName($('hello-name').value);
  const room = toRoom($('hello-room').value);
  const first = me.name === '';

  event.preventDefault();
  if (!isWord(name)) {
    helloError(name === '' ? 'Everybody needs a name.' :
      'Letters, digits, "-", "_" and "." only, and not too many.');
    return;
  }
  if (first && !isWord(room)) {
    helloError('The room needs a name of letters, digits, "-", "_" and ".".');
    return;
  }
  me.wanted = name;
  if (first) {
    for (const other of [...rooms.values()])
      forget(other);
    join(room);
  }
  if (link.state === 'open') {
    $('hello-go').disabled = true;
    askForName();
  } else {
    helloError('No connection yet. It goes on as soon as there is one.');
  }
};

/* The page begins: with a name if the tab had one, else with the dialog. */

{
  const before = memory.load(tab, 'state');
  const asked = roomOfHash();

  paintRooms();
  paintHead();
  $('nowhere').hidden = true;
  if (isWord(asked))
    $('hello-room').value = asked;
  if (before && isWord(before.name || '')) {
    me.name = me.wanted = before.name;
    for (const name of before.rooms)
      join(name);
    if (isWord(asked))
      join(asked);
    else if (rooms.has(before.current))
      select(rooms.get(before.current));
  } else {
    openHello(true);
  }
  link.connect();
}
