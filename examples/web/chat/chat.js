/*
 * chat.js - the page of the chat.  Its events are at the top of chat.c; how
 * they are written on a WebSocket is in rill-protocol(7).
 *
 * Link keeps a connection: it notices when one is lost, opens the next, and
 * asks to go on where the last one ended.  Reader does the same over
 * EventSource, for a page that only reads (/?read=ROOM).  Room is one room:
 * its lines on the page, who is in it, and the messages that the server has
 * not sent back yet.  What follows ties them to the page.
 *
 * The server numbers the messages of a room.  A page knows them without a
 * gap from |first| to |last|: it asks for later ones when it comes back, even
 * to a server that was killed meanwhile, and for earlier ones when somebody
 * scrolls up.
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
const LEAVE = 1000; /* a close code: not to be waited for */
const isFinal = (code) => [1002, 1003, 1007, 1008, 1009].includes(code) ||
  (code >= 4500 && code <= 4999);

/*
 * |state| is one of
 *   idle        there was no reason to connect yet
 *   connecting  under way
 *   open        events go both ways
 *   waiting     lost; the next try is at |retryAt|
 *   offline     as waiting, but the browser knows of no network
 *   closed      the server does not want this page back; |reason| says why
 *
 * Of its handlers, |opened| hears whether the last connection goes on
 * (then nothing was missed), |refused| why the server would not open,
 * |event| every event and the number that it has in its room, and |state|
 * each change of the state.
 */
class Link {
  state = 'idle';
  retryAt = 0;
  reason = '';
  #url;
  #auth;
  #handlers;
  #socket = null;
  #session = null; /* a secret, to go on with after a lost connection */
  #offset = null; /* of the newest event that the server can repeat from */
  #answers = new Map(); /* by id: who waits for one */
  #id = 0;
  #attempt = 0;
  #retryTimer = 0;
  #openTimer = 0;
  #stableTimer = 0;
  #quietTimer = 0;
  #probeTimer = 0;

  /* |auth| tells who this is, whenever that is asked. */
  constructor(url, auth, handlers) {
    this.#url = url;
    this.#auth = auth;
    this.#handlers = handlers;
    addEventListener('online', () => this.#hurry());
    addEventListener('pageshow', () => this.#hurry());
    addEventListener('pagehide', () => {
      if (this.state === 'open') {
        this.#discard(LEAVE);
        this.#wait();
      }
    });
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
    this.#openTimer = setTimeout(() => this.#lost(1006, ''), OPEN_LIMIT);
    this.#socket = this.#dial({resume: this.#session, offset: this.#offset});
    this.#set('connecting');
  }

  /* As somebody else: the connection that there is ends if that is granted. */
  reconnect() {
    if (this.state === 'open')
      this.#dial({});
    else
      this.connect();
  }

  stop(reason) {
    this.#discard(LEAVE);
    this.reason = reason;
    this.#set(reason === '' ? 'idle' : 'closed');
  }

  #dial({resume, offset}) {
    const socket = new WebSocket(this.#url);

    socket.onopen = () => socket.send(JSON.stringify({
      open: this.#auth(), ...resume && {resume}, ...offset && {offset}}));
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.open)
        this.#opened(socket, message);
      else if (message.error)
        this.#refused(socket, message.error);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket)
        this.#lost(event.code, event.reason);
    };
    return socket;
  }

  #opened(socket, {session, recovered}) {
    if (socket !== this.#socket) {
      this.#discard(LEAVE);
      this.#socket = socket;
    }
    if (!recovered)
      this.#offset = null;
    this.#session = session;
    clearTimeout(this.#openTimer);
    this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE);
    socket.onmessage = (event) => this.#message(JSON.parse(event.data));
    this.#heard();
    this.#set('open');
    this.#handlers.opened(Boolean(recovered));
  }

  #refused(socket, error) {
    if (['unavailable', 'too-many'].includes(error.code))
      return; /* the close says to come back later */
    socket.onclose = socket.onmessage = null;
    socket.close();
    if (socket === this.#socket) {
      this.#session = this.#offset = null;
      this.stop(error.message);
    }
    this.#handlers.refused(error);
  }

  #message(message) {
    this.#heard();
    if (message.offset)
      this.#offset = message.offset;
    if (message.event) {
      this.#handlers.event(message.event, message.args[0] ?? {}, message.at);
    } else {
      const id = message.ack ?? message.id;
      const answered = this.#answers.get(id);
      this.#answers.delete(id);
      answered?.(message.error ?? message.args?.[0]?.error ?? null,
        message.joined ? message : message.args?.[0]);
    }
  }

  /*
   * True if the event was handed over; that is no receipt.  |answered| gets
   * an error or null, and the answer; never, where the connection is lost.
   */
  send(event, data, answered) {
    return this.#send({event, args: [data]}, answered);
  }

  /*
   * What the room has after number |since| comes before the answer, each
   * message once, as far back as the server gives it at once.
   */
  join(room, since, epoch, answered) {
    return this.#send({join: room, since, epoch}, answered);
  }

  leave(room) {
    return this.#send({leave: room});
  }

  #send(message, answered) {
    if (this.state !== 'open' || this.#socket.readyState !== WebSocket.OPEN)
      return false;
    if (answered) {
      message.id = ++this.#id;
      this.#answers.set(message.id, answered);
    }
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #set(state) {
    this.state = state;
    this.#handlers.state();
  }

  #discard(code) {
    for (const timer of [this.#retryTimer, this.#openTimer, this.#stableTimer,
      this.#quietTimer, this.#probeTimer])
      clearTimeout(timer);
    this.#probeTimer = 0;
    this.#answers.clear();
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = null;
      this.#socket.onclose = null;
      this.#socket.close(code);
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
    if (this.#probeTimer !== 0 || this.#socket.readyState !== WebSocket.OPEN)
      return;
    this.#socket.send('{"ping":1}');
    this.#probeTimer = setTimeout(() => this.#lost(1006, ''), PONG_LIMIT);
  }

  #heard() {
    clearTimeout(this.#probeTimer);
    this.#probeTimer = 0;
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#probe(), QUIET);
  }
}

/*
 * Reader reads one room.  EventSource comes back by itself, with the id of
 * the last event, so that the server repeats what was missed.  Only where an
 * answer was no stream it gives up; then a new one is made.
 */
class Reader {
  static EVENTS = ['chat:message', 'presence:state', 'presence:update',
    'typing:update'];
  state = 'idle';
  retryAt = 0;
  reason = '';
  #url;
  #handlers;
  #source = null;
  #session = null;
  #retryTimer = 0;

  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
  }

  connect() {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    this.#source = new EventSource(this.#url);
    this.#set('connecting');
    this.#source.onerror = () => this.#lost();
    this.#source.addEventListener('session', (event) =>
      this.#opened(JSON.parse(event.data)));
    for (const name of Reader.EVENTS)
      this.#source.addEventListener(name, (event) =>
        this.#handlers.event(name, JSON.parse(event.data)));
  }

  #opened({session, recovered}) {
    this.#session = session;
    this.#set('open');
    this.#handlers.opened(Boolean(recovered));
  }

  #lost() {
    if (this.#source.readyState === EventSource.CLOSED) {
      this.retryAt = Date.now() + FIRST_RETRY + Math.random() * FIRST_RETRY;
      this.#retryTimer = setTimeout(() => this.connect(),
        this.retryAt - Date.now());
    } else {
      this.retryAt = 0; /* only the browser knows */
    }
    this.#set(navigator.onLine ? 'waiting' : 'offline');
  }

  /* The other direction: the server knows by the session who asks. */
  send(event, data, answered) {
    if (this.state !== 'open')
      return false;
    fetch(this.#url, {
      method: 'POST',
      headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({event, args: [data], session: this.#session})
    }).then((response) => response.json()).then((answer) =>
      answered?.(answer.error ?? answer.args?.[0]?.error ?? null,
        answer.args?.[0])).catch(() => {});
    return true;
  }

  #set(state) {
    this.state = state;
    this.#handlers.state();
  }
}

const TEXT_BYTES = 4000;
const WORD_BYTES = 32;
const LINES_KEPT = 500;
const IDS_KEPT = 1000;
const PAGE = 50; /* lines that come when somebody scrolls up */
const NEAR = 200; /* pixels to the oldest line at which they are asked for */
const READ_MS = 300; /* how long after it was shown a line counts as read */
const OUTBOX = 100;
const ABSENT = 20; /* how many who were here are shown */
const GROUP_MS = 5 * 60000; /* messages so close stand under one name */
const TYPING_TELL = 2000; /* how often it is told */

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

/* An error after which the same may go well. */
const mayPass = ({code}) => ['throttled', 'busy', 'store'].includes(code);

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
  joined = false; /* on this one, or on one that may go on */
  lostAt = 0; /* when the connection was lost; 0: it was not */
  members = new Map(); /* names, and whether they are online, away or busy */
  absent = new Map(); /* names of who was here, and when it was last seen */
  typing = []; /* names */
  outbox = new Map(); /* by tag: what has not come back yet */
  epoch = undefined; /* what the numbers count in */
  first = 0; /* the oldest and the newest message on the page; 0: none */
  last = 0;
  read = 0; /* how far its user has read, on any device */
  unread = 0;
  stick = true; /* the newest line stays in view */
  draft = '';
  #ids = new Set(); /* to drop what comes twice where it has no number */
  #mark = null; /* the line above what is new */
  #loading = false;
  #readTimer = 0;

  constructor(name) {
    this.name = name;
    this.entry = clone('t-room');
    this.button = this.entry.firstElementChild;
    this.button.querySelector('.name').textContent = name;
    this.button.onclick = () => select(this);
    this.log = clone('t-log');
    this.log.setAttribute('aria-label', 'Messages in ' + name);
    this.log.querySelector('h2').textContent = name;
    this.start = this.log.querySelector('.start');
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
    if (this.log.scrollTop < NEAR)
      this.loadOlder();
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

  /* A day, and a name, stand above the first line that they are true of. */
  #arrange(node) {
    const before = node.previousElementSibling;
    const today = day.format(node.when);
    const changes = today !== day.format(before ? before.when : Date.now());

    if (changes) {
      const divider = clone('t-day');
      divider.firstElementChild.textContent = today;
      divider.when = node.when;
      node.before(divider);
    }
    node.classList.toggle('first', changes || !before ||
      before.by !== node.by || node.when - before.when > GROUP_MS);
  }

  #append(node, by, when) {
    node.by = by;
    node.when = when;
    this.lines.append(node);
    this.#arrange(node);
    while (this.stick && this.lines.childElementCount > LINES_KEPT) {
      const number = this.lines.firstElementChild.number;
      this.lines.firstElementChild.remove();
      if (number)
        this.#begins(number + 1);
    }
    this.settle();
  }

  /* The page has lines from |number| on. */
  #begins(number) {
    this.first = number;
    this.start.hidden = number > 1;
  }

  note(text, kind) {
    const node = clone('t-note');

    node.firstElementChild.textContent = text;
    paintTime(node.lastElementChild, Date.now());
    if (kind)
      node.classList.add(kind);
    this.#append(node, '', Date.now());
  }

  /* Is it new?  A stream of events has no numbers, but every id once. */
  #isNews(id, at) {
    if (at !== undefined) {
      if (at <= this.last)
        return false;
      if (this.last > 0 && at > this.last + 1)
        this.clear(); /* too much was missed: older lines are a scroll away */
      if (this.first === 0)
        this.#begins(at);
      this.last = at;
    } else if (this.#ids.has(id)) {
      return false;
    }
    this.#ids.add(id);
    if (this.#ids.size > IDS_KEPT)
      this.#ids.delete(this.#ids.values().next().value);
    return true;
  }

  /* One message of the server's: |at| is its number, where that is known. */
  said({id, timestamp: when, userId: name, text}, at) {
    const mine = this.outbox.get(id);

    this.typed(this.typing.filter((other) => other !== name));
    if (!this.#isNews(id, at))
      return;
    this.outbox.delete(id);
    for (const [tag, {at: arrived, node}] of this.outbox)
      if (arrived <= this.last) { /* it was among what was skipped */
        this.outbox.delete(tag);
        node.remove();
      }

    const node = mine ? mine.node : this.#message(name, text);
    node.number = at;
    node.querySelector('.state').textContent = '';
    paintTime(node.querySelector('time'), when);
    this.#append(node, name, when);
    if (name === me.name)
      this.unmark();
    else if (this.live && (this !== current || document.hidden)) {
      if (this.unread++ === 0)
        this.#markAt(node);
      paintRooms();
    }
    this.show();
  }

  /* A message of this page: shown at once, sent when that is possible. */
  say(text, tag = randomWord()) {
    const node = this.#message(me.name, text);

    this.outbox.set(tag, {text, node});
    paintTime(node.querySelector('time'), Date.now());
    this.pending.append(node);
    this.#send(tag);
    this.toEnd();
  }

  #send(tag) {
    const {text, node} = this.outbox.get(tag);
    const sent = this.live && link.send('chat:message',
      {roomId: this.name, text, tag},
      (error, receipt) => this.#answered(tag, error, receipt));

    node.querySelector('.state').textContent = sent ? 'sending' : 'waiting';
  }

  /* The message itself comes as well, in its place among the others. */
  #answered(tag, error, receipt) {
    const item = this.outbox.get(tag);

    if (!item)
      return;
    if (!error) {
      item.at = receipt.offset;
      item.node.querySelector('.state').textContent = '';
    } else if (mayPass(error)) {
      item.node.querySelector('.state').textContent = 'waiting';
      setTimeout(() => {
        if (this.outbox.has(tag))
          this.#send(tag);
      }, 1000);
    } else {
      this.outbox.delete(tag);
      item.node.classList.add('failed');
      item.node.querySelector('.state').textContent = 'not delivered';
    }
  }

  #message(name, text) {
    const node = clone('t-message');

    node.classList.toggle('mine', name === me.name);
    node.style.setProperty('--hue', hueOf(name));
    paintAvatar(node.querySelector('.avatar'), name);
    node.querySelector('.author').textContent = name;
    node.querySelector('.text').textContent = text;
    return node;
  }

  /* Lines above the oldest, which stay where they are for who looks at them. */
  loadOlder(done) {
    if (this.#loading || !this.live || (this.first === 1 && !done))
      return;
    this.#loading = link.send('room:history', {room: this.name, limit: PAGE,
      before: this.first || Number.MAX_SAFE_INTEGER}, (error, answer) => {
      this.#loading = false;
      if (!error)
        this.#older(answer);
      else if (error.code === 'throttled')
        setTimeout(() => this.#scrolled(), 1000);
      done?.();
    });
    this.log.classList.toggle('loading', this.#loading);
  }

  #older({first, events}) {
    const top = this.lines.firstElementChild;
    const below = this.log.scrollHeight - this.log.scrollTop;

    for (const {at, args: [message]} of events) { /* the newest first */
      if (this.#ids.has(message.id) && this.first === 0)
        continue; /* it came while this was under way */
      const node = this.#message(message.userId, message.text);
      node.number = at;
      node.by = message.userId;
      node.when = message.timestamp;
      paintTime(node.querySelector('time'), message.timestamp);
      this.lines.prepend(node);
      this.#ids.add(message.id);
    }
    this.#begins(events.length === 0 ? 1 : events.at(-1).at);
    this.start.hidden = this.first > first && events.length > 0;
    this.last = Math.max(this.last, events[0]?.at ?? 0);
    if (top?.matches('.day'))
      top.remove();
    for (let node = this.lines.firstElementChild; node;
      node = node.nextElementSibling) {
      if (!node.matches('.day'))
        this.#arrange(node);
      if (node === top || node.previousElementSibling === top)
        break;
    }
    this.log.classList.remove('loading');
    this.log.scrollTop = this.log.scrollHeight - below;
    this.settle();
  }

  /* Forgets the lines, and where they ended. */
  clear() {
    this.lines.replaceChildren();
    this.#mark = null;
    this.#ids.clear();
    this.first = this.last = 0;
  }

  /* What is new, from |node| on. */
  #markAt(node) {
    this.unmark();
    this.#mark = clone('t-mark');
    this.#mark.when = node.when;
    this.#mark.by = '';
    node.before(this.#mark);
    node.classList.add('first');
  }

  unmark() {
    this.#mark?.remove();
    this.#mark = null;
  }

  /* How far this user had read: who begins to read has nothing to catch up. */
  hasRead(offset) {
    const known = this.read;

    this.read = Math.max(known, offset);
    if (this.read >= this.last) {
      this.unread = 0;
    } else if (known === 0) {
      const node = [...this.lines.children].find(({number, by}) =>
        number > this.read && by !== me.name);
      if (node && this !== current)
        this.unread = this.last - this.read;
      if (node)
        this.#markAt(node);
    }
    paintRooms();
  }

  /* Its lines can be seen; soon they have been read. */
  show() {
    if (this !== current || document.hidden)
      return;
    this.unread = 0;
    if (this.live && this.log.scrollHeight <= this.log.clientHeight)
      this.loadOlder(); /* there is nothing to scroll yet */
    clearTimeout(this.#readTimer);
    if (reading)
      return;
    this.#readTimer = setTimeout(() => {
      if (this === current && this.live && this.read < this.last &&
        link.send('receipt:read', {room: this.name, offset: this.last}))
        this.read = this.last;
    }, READ_MS);
  }

  typed(names) {
    this.typing = names.filter((name) => name !== me.name);
    if (this === current)
      paintTyping();
  }

  /* The server says that this page is in, and has sent what it missed. */
  entered() {
    this.live = this.joined = true;
    if (this.lostAt > 0)
      this.note('Back after ' + duration(Date.now() - this.lostAt), 'gap');
    this.lostAt = 0;
    for (const [tag, {at}] of this.outbox)
      if (at === undefined)
        this.#send(tag);
    this.show();
    paintHead();
  }

  lost() {
    if (this.live)
      this.lostAt = Date.now();
    this.live = false;
    this.#loading = false;
    this.typed([]);
    for (const {at, node} of this.outbox.values())
      if (at === undefined)
        node.querySelector('.state').textContent = 'waiting';
  }

  /* Who is here, as the server has it: the first page of it, or a later one. */
  peopled(users, fresh) {
    const before = this.members;

    if (fresh)
      this.members = new Map();
    for (const {userId, status} of users) {
      this.members.set(userId, status);
      this.absent.delete(userId);
    }
    for (const name of fresh ? before.keys() : [])
      if (!this.members.has(name) && name !== me.name)
        this.absent.set(name, 0);
    paintHead();
  }

  /* Who wrote and is not here: when was that one? */
  askForAbsent() {
    const wrote = new Map();

    for (const {by, when} of this.lines.querySelectorAll('.message'))
      if (by !== me.name && !this.members.has(by) && !this.absent.has(by))
        wrote.set(by, when);
    const users = [...wrote.keys()].slice(-ABSENT);
    if (reading || users.length === 0)
      return;
    link.send('presence:watch', {users}, (error, answer) => {
      link.send('presence:unwatch', {users});
      for (const {userId, status, lastSeen} of error ? [] : answer.users)
        if (status === 'offline' && !this.members.has(userId))
          this.absent.set(userId, lastSeen || wrote.get(userId));
      paintHead();
    });
  }

  came(name, status) {
    /* who was only not yet back when this page was is no news */
    const isNew = !this.members.has(name) && this.absent.get(name) !== 0;

    this.members.set(name, status);
    this.absent.delete(name);
    if (name === me.former)
      me.former = '';
    if (isNew && name !== me.name)
      this.note(name + ' joined');
  }

  went(name, lastSeen) {
    if (name === me.name || !this.members.delete(name))
      return;
    this.typed(this.typing.filter((other) => other !== name));
    if (name === me.former)
      return;
    this.absent.set(name, lastSeen ?? Date.now());
    this.note(name + ' left');
  }
}

/* The state of the page. */

const query = new URLSearchParams(location.search);
const reading = isWord(query.get('read') ?? '') ? query.get('read') : '';
const me = {
  name: '', /* as the server last confirmed it */
  wanted: '', /* what was or will be asked for */
  former: '', /* the name before, whose leaving is no news */
  key: memory.load(tab, 'key') || randomWord(), /* shows whose the name is */
  token: query.get('token') ?? '', /* where the server wants one */
  noted: 0 /* the newest notification that was shown */
};
const rooms = new Map();
let current = null;

/*
 * The key outlives a reload, as do messages that were not delivered, but they
 * are not there to be copied while the page lives: a duplicate of this tab is
 * somebody else.
 */
const undelivered = memory.load(tab, 'outbox') ?? [];
memory.save(tab, 'key', null);
memory.save(tab, 'outbox', null);
addEventListener('pagehide', () => {
  memory.save(tab, 'key', me.key);
  memory.save(tab, 'outbox', [...rooms.values()].flatMap(({name, outbox}) =>
    [...outbox].map(([tag, {text}]) => ({name, tag, text}))));
});

/* The connection: what it hands over, and how the page begins anew. */

const handlers = {
  opened(recovered) {
    const before = me.name;

    me.name = nameOf(me.token) || me.wanted;
    if (before !== me.name)
      me.noted = 0;
    for (const room of rooms.values()) {
      if (before !== '' && before !== me.name) {
        me.former = before;
        room.members.delete(before);
        room.read = 0;
        room.note('You are now ' + me.name);
      }
      if (recovered && room.joined)
        room.entered();
      else
        enter(room);
    }
    if (document.hidden)
      showStatus();
    if (!reading) {
      memory.save(browser, 'name', me.name);
      remember();
      closeHello();
    }
    paintHead();
  },

  refused(error) {
    if (error.message === 'name-taken')
      nameRefused(`The name ${me.wanted} is taken.`);
    else if (error.message === 'bad-name')
      nameRefused('This name has characters that cannot be used.');
    else if (link.state === 'closed')
      closeHello();
  },

  event(name, data, at) {
    if (Object.hasOwn(receivers, name))
      receivers[name](data, rooms.get(data.roomId ?? data.room), at);
  },

  state() {
    if (link.state !== 'open')
      for (const room of rooms.values())
        room.lost();
    paintStatus();
    paintHead();
  }
};

function address(path) {
  const url = new URL(path, location.href);

  url.search = me.token === '' ? '' : '?token=' + encodeURIComponent(me.token);
  return url;
}

function socketAddress() {
  const url = address('ws');

  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = '';
  return url.href;
}

const link = reading
  ? new Reader(address('events/' + encodeURIComponent(reading)).href, handlers)
  : new Link(socketAddress(), () => ({name: me.wanted, key: me.key,
    ...me.token !== '' && {token: me.token}}), handlers);

/* A token says whose it is, in the clear. */
function nameOf(token) {
  try {
    const text = atob(token.split('.')[0].replaceAll('-', '+')
      .replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text,
      (char) => char.charCodeAt(0)))).sub;
  } catch {
    return '';
  }
}

function enter(room) {
  if (reading) { /* the path of the stream has joined */
    room.clear();
    room.live = true;
    room.loadOlder(() => room.entered());
    return;
  }
  link.join(room.name, room.last, room.epoch, (error, answer) => {
    if (rooms.get(room.name) !== room)
      return;
    if (error && mayPass(error)) {
      setTimeout(() => {
        if (rooms.get(room.name) === room && !room.live)
          enter(room);
      }, 1000 + Math.random() * 1000);
      return;
    }
    if (error) {
      forget(room);
      hint('This room cannot be joined: ' + error.message);
      return;
    }
    room.epoch = answer.epoch;
    if (!answer.recovered && !answer.gap) { /* numbers count anew */
      room.clear();
      enter(room);
      return;
    }
    room.entered();
    link.send('receipt:get', {room: room.name}, (error, receipt) => {
      if (!error && receipt.offset > 0)
        room.hasRead(receipt.offset);
    });
  });
}

function join(name) {
  let room = rooms.get(name);

  if (!room) {
    room = new Room(name);
    rooms.set(name, room);
    $('rooms').append(room.entry);
    $('logs').append(room.log);
    enter(room);
  }
  select(room);
}

function leave(room) {
  link.leave(room.name);
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
  typing(false);
  if (current) {
    current.draft = $('text').value;
    if (current !== room)
      current.unmark();
  }
  current = room;
  for (const other of rooms.values())
    other.log.hidden = other !== room;
  room?.show();
  $('text').value = room ? room.draft : '';
  $('newer').hidden = !room || room.stick;
  if (!reading)
    history.replaceState(null, '', location.pathname + location.search +
      (room ? '#' + room.name : ''));
  closeDrawer();
  paintRooms();
  paintHead();
  fitText();
  if (room)
    room.settle();
  if (!$('hello').open && !reading)
    $('text').focus({preventScroll: true});
  remember();
}

function remember() {
  if (reading)
    return;
  memory.save(tab, 'state', {
    name: me.name,
    rooms: [...rooms.keys()],
    current: current ? current.name : ''
  });
}

/* What the server says. */

const receivers = {
  'presence:state'({room: name, users, next}, room) {
    room?.peopled(users, true);
    if (next !== undefined)
      morePeople(name, next);
    else
      room?.askForAbsent();
  },

  'presence:update'({room: name, users, more}, room) {
    if (room && more)
      everybodyAgain(name, room);
    for (const {userId, status, lastSeen} of room ? users : [])
      if (status === 'offline')
        room.went(userId, lastSeen);
      else
        room.came(userId, status);
    paintHead();
  },

  'chat:message'(message, room, at) {
    room?.said(message, at);
  },

  'typing:update'({users}, room) {
    room?.typed(users);
  },

  'receipt:update'({users}, room) {
    for (const {userId, offset} of room ? users : [])
      if (userId === me.name)
        room.hasRead(offset);
  },

  /* It may come again, until it is acknowledged. */
  notification({offset, data: {userId, text}}) {
    link.send('notification:ack', {upTo: offset});
    if (offset > me.noted)
      current?.note(`${userId} ${text}`, 'gap');
    me.noted = Math.max(me.noted, offset);
  }
};

function morePeople(name, after) {
  link.send('presence:list', {room: name, after}, (error, answer) => {
    if (error)
      return;
    rooms.get(name)?.peopled(answer.users, false);
    if (answer.next !== undefined)
      morePeople(name, answer.next);
    else
      rooms.get(name)?.askForAbsent();
  });
}

/* Too many to be named have changed; not all pages ask at the same moment. */
function everybodyAgain(name, room) {
  clearTimeout(room.asking);
  room.asking = setTimeout(() => {
    link.send('presence:list', {room: name}, (error, answer) => {
      if (!error && answer)
        receivers['presence:state'](answer, rooms.get(name));
    });
  }, 200 + 2000 * Math.random());
}

/* Who does not look at the page is away. */
function showStatus() {
  if (!reading)
    link.send('presence:update',
      {status: document.hidden ? 'away' : 'online'});
}

/*
 * Somebody who chooses a name is asked again.  Somebody who only comes back
 * is let in under a name like the old one.
 */
function nameRefused(text) {
  if ($('hello').open) {
    if (link.state !== 'open')
      link.stop('');
    me.wanted = me.name;
    helloError(text);
    return;
  }
  const number = Math.floor(Math.random() * 9000) + 1000;
  const similar = `${me.name || me.wanted}-${number}`;
  me.wanted = isWord(similar) ? similar : `guest-${number}`;
  link.connect();
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
  const names = current ? [...current.members.keys()] : [];

  if (current?.live && !reading && !names.includes(me.name))
    names.push(me.name); /* as the others will be told in a moment */
  $('title').textContent = current ? '# ' + current.name : 'rill chat';
  $('subtitle').textContent = !current ? 'No room chosen' :
    !current.live ? 'Not connected' :
      names.length === 1 && !reading ? 'Only you are here' :
        names.length + ' here';
  $('show-people').hidden = !current;
  $('leave').hidden = $('composer').hidden = !current || Boolean(reading);
  $('nowhere').hidden = current !== null;
  $('text').placeholder = current ? 'Message #' + current.name : '';
  $('rename').hidden = me.token !== '';
  $('me-name').textContent = reading ? 'Reading along' : me.name;
  paintAvatar($('me-avatar'), me.name);
  paintTyping();

  names.sort((a, b) => (b === me.name) - (a === me.name) ||
    a.localeCompare(b));
  $('people').classList.toggle('stale', current !== null && !current.live);
  $('people').replaceChildren(...names.map((name) => {
    const entry = clone('t-person');
    paintAvatar(entry.querySelector('.avatar'), name);
    entry.querySelector('.name').textContent = name;
    entry.querySelector('.name').title = name;
    entry.querySelector('.name').disabled = reading || name === me.name;
    entry.querySelector('.name').onclick = () => wave(name);
    entry.querySelector('.what').textContent = name === me.name ? 'you' :
      current.members.get(name) === 'online' ? '' : current.members.get(name);
    entry.classList.toggle('not-here',
      current.members.get(name) === 'away' && name !== me.name);
    return entry;
  }));
  paintAbsent();
}

/* Who was here, the last to leave first. */
function paintAbsent() {
  const all = current ? [...current.absent] : [];

  $('absent-part').hidden = all.length === 0;
  all.sort(([, a], [, b]) => b - a);
  $('absent').replaceChildren(...all.slice(0, ABSENT).map(([name, lastSeen]) => {
    const entry = clone('t-person');
    paintAvatar(entry.querySelector('.avatar'), name);
    entry.querySelector('.name').textContent = name;
    entry.querySelector('.name').title = name;
    entry.querySelector('.name').disabled = reading !== '';
    entry.querySelector('.name').onclick = () => wave(name);
    entry.querySelector('.what').textContent = lastSeen > 0 ?
      `seen ${duration(Date.now() - lastSeen)} ago` : 'gone';
    entry.classList.add('not-here');
    return entry;
  }));
}

setInterval(paintAbsent, 15000);

function paintTyping() {
  const names = current ? current.typing : [];

  $('typing').textContent = names.length === 0 ? '' :
    names.length === 1 ? names[0] + ' is typing' :
      names.length === 2 ? names.join(' and ') + ' are typing' :
        'Several people are typing';
}

/* A notification reaches a person in whatever room, or waits for it. */
function wave(name) {
  link.send('notify', {userId: name, text: 'waves at you'}, (error) =>
    current?.note(error ? `${name} does not see it` : 'You wave at ' + name));
}

const STATUS = {
  idle: 'Not connected',
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
    waiting: 'Connection lost. Reconnecting' +
      (link.retryAt > 0 ? ` in ${left} s` : ''),
    offline: 'You are offline. Messages are kept until you are back',
    closed: 'The server ended the connection' +
      (link.reason ? ': ' + link.reason : '')
  }[state];

  $('status').dataset.state = $('away').dataset.state = state;
  if ($('status-text').textContent !== STATUS[state])
    $('status-text').textContent = STATUS[state];
  $('status-count').textContent = state === 'waiting' && link.retryAt > 0 ?
    ` in ${left} s` : '';
  /* The first connection is no matter for a banner while it is under way. */
  $('away').hidden = state === 'open' || state === 'idle' ||
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
  typing(false);
  current.say(text);
  $('text').value = '';
  fitText();
}

let typingTold = 0; /* when; 0: that nothing is typed */

function typing(isTyping) {
  const now = Date.now();

  if (!current?.live || (isTyping ? now - typingTold < TYPING_TELL :
    typingTold === 0))
    return;
  typingTold = isTyping ? now : 0;
  link.send('chat:typing', {roomId: current.name, isTyping});
}

$('composer').onsubmit = (event) => {
  event.preventDefault();
  submit();
  $('text').focus();
};
$('text').oninput = () => {
  fitText();
  typing($('text').value !== '');
};
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
  showStatus();
  current?.show();
  paintRooms();
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
  if (name === me.name) {
    closeHello();
    return;
  }
  me.wanted = name;
  if (first) {
    for (const other of [...rooms.values()])
      forget(other);
    join(room);
  }
  if (link.state === 'idle' || link.state === 'open')
    $('hello-go').disabled = true;
  else
    helloError('No connection yet. It goes on as soon as there is one.');
  link.reconnect();
};

/*
 * The page begins: as a reader, with a name if the tab had one or a token
 * tells it, else with the dialog.
 */
{
  const before = memory.load(tab, 'state');
  const asked = roomOfHash();

  $('app').classList.toggle('reading', reading !== '');
  paintRooms();
  paintHead();
  paintStatus();
  $('nowhere').hidden = true;
  if (isWord(asked))
    $('hello-room').value = asked;
  if (reading) {
    $('to-write').href = location.pathname + '#' + reading;
    join(reading);
    link.connect();
  } else if (me.token !== '' || (before && isWord(before.name || ''))) {
    me.name = me.wanted = before?.name ?? '';
    for (const name of before?.rooms ?? ['lobby'])
      join(name);
    for (const {name, tag, text} of undelivered)
      rooms.get(name)?.say(text, tag);
    if (isWord(asked))
      join(asked);
    else if (rooms.has(before?.current))
      select(rooms.get(before.current));
    link.connect();
  } else {
    openHello(true);
  }
}
