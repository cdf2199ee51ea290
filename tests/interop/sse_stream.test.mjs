/*
 * sse_stream.test.mjs - server-sent events: what is on the wire, who may
 * listen, what is resumed, and POST for the other direction.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import {after, afterEach, before, describe, test} from 'node:test';
import {ask, connect, fetchRaw, hangUp, next, sleep, startServer, until, within}
  from './servers.mjs';

const origin = 'http://good.example';
let server, sender;

before(async () => {
  server = await startServer('events_server', {flags: ['--ping_ms', 300,
    '--retry_ms', 100, '--history_count', 50, '--body_bytes', 10000,
    '--origin', origin]});
});

after(async () => {
  await server.stop();
});

const streams = new Set();

afterEach(() => {
  for (const stream of streams)
    stream.close();
  streams.clear();
  hangUp();
});

/* A reader of the grammar that keeps everything it has read. */
class Stream {
  events = [];
  comments = 0;
  retries = [];
  text = '';
  #rest = '';
  #event = {};

  static async open(target, headers = {}) {
    const stream = new Stream();

    stream.request = http.get({host: '127.0.0.1', port: server.port,
      path: target, agent: false,
      headers: {Accept: 'text/event-stream', ...headers}});
    stream.request.on('error', () => {});
    stream.response = await within(new Promise((resolve) =>
      stream.request.once('response', resolve)), 'head');
    stream.response.setEncoding('utf8');
    stream.response.on('error', () => {});
    stream.ended = new Promise((resolve) =>
      stream.response.once('close', resolve));
    stream.response.on('data', (text) => stream.#take(text));
    streams.add(stream);
    return stream;
  }

  #take(text) {
    this.text += text;
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    for (const line of lines)
      this.#line(line);
  }

  #line(line) {
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    const event = this.#event;

    if (line === '') {
      if (event.data)
        this.events.push({event: event.event ?? 'message', id: event.id,
          data: event.data.join('\n')});
      this.#event = {};
    } else if (field === '') {
      this.comments++;
    } else if (field === 'data') {
      (event.data ??= []).push(value ?? '');
    } else if (field === 'retry') {
      this.retries.push(Number(value));
    } else {
      assert.ok(['event', 'id'].includes(field), line);
      event[field] = value;
    }
  }

  /* The next event, but the one that each stream begins with. */
  async next(name) {
    await until(() => this.events.some((e) => e.event !== 'session'),
      name ?? 'an event');
    if (this.events[0].event === 'session')
      this.session ??= this.events.shift();
    const event = this.events.shift();
    if (name)
      assert.equal(event.event, name);
    /* what a host sends as text need not be JSON */
    return {...event, text: event.data,
      data: name === 'message' ? undefined : JSON.parse(event.data)};
  }

  async start() {
    await until(() => this.events[0]?.event === 'session', 'the start');
    this.session = this.events.shift();
    return JSON.parse(this.session.data);
  }

  close() {
    this.request.destroy();
  }
}

async function listen(target, headers) {
  const stream = await Stream.open(target, headers);

  assert.equal(stream.response.statusCode, 200);
  stream.hello = await stream.start();
  return stream;
}

const emit = async (command) => {
  if (!sender?.connected)
    sender = await connect(server);
  assert.equal(await ask(sender, 'emit', command), 0);
};

const post = (target, body, headers = {}) => fetchRaw(server, target,
  {method: 'POST', headers: {'Content-Type': 'application/json', ...headers},
    body: typeof body === 'string' ? body : JSON.stringify(body)});

describe('the stream', () => {
  test('its head and its beginning', async () => {
    const stream = await listen('/events/kept-head');
    const {headers} = stream.response;

    assert.match(headers['content-type'], /^text\/event-stream/);
    for (const word of ['no-cache', 'no-store', 'no-transform'])
      assert.ok(headers['cache-control'].includes(word), word);
    assert.equal(headers['x-accel-buffering'], 'no');
    assert.equal(headers['content-length'], undefined);
    assert.equal(headers['content-encoding'], undefined);
    assert.deepEqual(stream.retries, [100]);
    assert.match(stream.hello.sid, /^[\w-]{20}$/);
    assert.match(stream.hello.session, /^[\w-]{20,}$/);
    assert.notEqual(stream.hello.sid, stream.hello.session);
    assert.equal(stream.hello.recovered, false);
  });

  test('names, arguments, ids', async () => {
    const stream = await listen('/events/kept-names');
    const ids = new Set();

    for (const [args, data] of [[[1], 1], [['a', 'b'], ['a', 'b']],
      [[], null], [[null], null], [[[1]], [1]], [['ä€😀'], 'ä€😀'],
      [[{a: {b: [true, 0.5]}}], {a: {b: [true, 0.5]}}],
      [[Buffer.from('bytes')], {$bytes: 'Ynl0ZXM='}]]) {
      await emit({name: 'some:name', rooms: ['kept-names'], args});
      const got = await stream.next('some:name');
      assert.deepEqual(got.data, data);
      assert.match(got.id, /^[\x21-\x7e]{1,128}$/);
      ids.add(got.id);
    }
    assert.equal(ids.size, 8);
  });

  test('comments keep it alive', async () => {
    const stream = await listen('/events/quiet');

    await until(() => stream.comments >= 3, 'three comments');
    assert.deepEqual(stream.events, []);
  });

  test('several rooms, with names that need escapes', async () => {
    const stream = await listen('/events/a%20b%2Fc' +
      '?room=kept+x%26y&room=%C3%A4');

    for (const room of ['a b/c', 'kept x&y', 'ä']) {
      await emit({name: 'n', rooms: [room], args: [room]});
      assert.equal((await stream.next('n')).data, room);
    }
    await emit({name: 'n', rooms: ['a b/c', 'ä'], args: ['once']});
    await emit({name: 'n', rooms: ['kept x&y'], args: ['the end']});
    assert.equal((await stream.next()).data, 'once');
    assert.equal((await stream.next()).data, 'the end');
  });

  test('who may not listen is told before it begins', async () => {
    for (const [target, status] of [['/events/closed', 403],
      ['/events/open?room=closed-too', 403], ['/events/private', 403],
      ['/events/private?token=bad', 401], ['/events/private?token=bad-late',
        401], ['/events/private?token=user:ann', 200],
      ['/events/private?token=late:ann', 200], ['/events/%00', 400],
      ['/events/%ff', 400], ['/events/', 404], ['/events/a/b', 404],
      ['/events/' + 'x'.repeat(256), 400]]) {
      const stream = await Stream.open(target);
      const got = stream.response.statusCode;
      assert.ok(got === status, `${target.slice(0, 60)}: ${got}`);
      stream.close();
    }
    const bearer = await listen('/events/private',
      {Authorization: 'Bearer user:ann'});
    bearer.close();
  });

  test('its peer is one like any other', async () => {
    const watcher = await connect(server);
    const log = [];

    watcher.on('log', (entry) => log.push(entry));
    await ask(watcher, 'join', 'log');
    const stream = await listen('/events/peer?token=user:sue');
    await until(() => log.some((e) => e.what === 'open'), 'the notice');
    const opened = log.find((e) => e.what === 'open');
    assert.deepEqual([opened.sid, opened.user, opened.transport],
      [stream.hello.sid, 'sue', 'sse']);
    assert.deepEqual(await ask(watcher, 'members', 'peer'),
      [stream.hello.sid]);
    await emit({name: 'to-user', users: ['sue'], args: [1]});
    assert.equal((await stream.next('to-user')).data, 1);
    await emit({name: 'to-sid', sids: [stream.hello.sid], args: [2]});
    assert.equal((await stream.next('to-sid')).data, 2);
    await emit({name: 'to-all', all: true, args: [3]});
    assert.equal((await stream.next('to-all')).data, 3);
    await ask(watcher, 'send', 'peer', 'a message');
    assert.equal((await stream.next('message')).text, 'a message');
    stream.close();
    await until(() => log.some((e) => e.what === 'close'), 'the notice');
    assert.deepEqual(await ask(watcher, 'members', 'peer'), []);
  });

  test('the server ends it', async () => {
    const stream = await listen('/events/kicked');

    sender = await connect(server);
    assert.equal(await ask(sender, 'kick', stream.hello.sid), 0);
    await within(stream.ended, 'the end');
  });

  test('nothing gets in by line ends', async () => {
    const stream = await listen('/events/kept-inject');
    const evil = ['\n\ndata: evil\n\n', '\r\revent: evil', '\r\n\r\nid: 1',
      'a\nid: evil', '\u2028x', 'x\u0000y', '\u0085'];

    for (const text of evil) {
      await emit({name: 'n', rooms: ['kept-inject'],
        args: [text, {[text]: text}]});
      const got = await stream.next('n');
      assert.deepEqual(got.data, [text, {[text]: text}]);
    }
    for (const text of evil)
      await ask(sender, 'emit', {name: text, rooms: ['kept-inject'],
        args: ['harmless']}); /* refused, or made harmless */
    await emit({name: 'last', rooms: ['kept-inject']});
    await until(() => stream.events.some((e) => e.event === 'last'), 'last');
    for (const event of stream.events) {
      assert.ok(['"harmless"', 'null'].includes(event.data), event.data);
      assert.doesNotMatch(event.event, /^evil/);
      assert.notEqual(event.id, 'evil');
      assert.notEqual(event.id, '1');
    }
  });

  test('many in a row, in order', async () => {
    const stream = await listen('/events/many');

    await emit({name: 'n', rooms: ['many'], times: 2000});
    await until(() => stream.events.length >= 2000, 'all');
    assert.deepEqual(stream.events.map((e) => JSON.parse(e.data)),
      [...Array(2000).keys()]);
  });

  test('one that is long comes whole', async () => {
    const stream = await listen('/events/long');
    const text = 'ä'.repeat(100000);

    await emit({name: 'n', rooms: ['long'], args: [text]});
    assert.equal((await stream.next('n')).data, text);
  });
});

describe('resume', () => {
  async function missed(room) {
    const stream = await listen('/events/' + room);

    await emit({name: 'n', rooms: [room], args: ['seen']});
    const {id} = await stream.next('n');
    stream.close();
    await sleep(50);
    await emit({name: 'n', rooms: [room], times: 10});
    return id;
  }

  for (const [how, target, headers] of [
    ['the header', (room) => '/events/' + room,
      (id) => ({'Last-Event-ID': id})],
    ['the query', (room, id) => `/events/${room}?lastEventId=` +
      encodeURIComponent(id), () => ({})]])
    test('by ' + how, async () => {
      const room = 'kept-' + how.replace(' ', '-');
      const id = await missed(room);
      const stream = await listen(target(room, id), headers(id));

      assert.equal(stream.hello.recovered, true);
      await emit({name: 'n', rooms: [room], args: ['live']});
      const got = [];
      while (got.at(-1) !== 'live')
        got.push((await stream.next('n')).data);
      assert.deepEqual(got, [...Array(10).keys(), 'live']);
    });

  test('the id of the beginning counts', async () => {
    const first = await listen('/events/kept-begin');
    const {id} = first.session;

    first.close();
    await emit({name: 'n', rooms: ['kept-begin'], args: ['missed']});
    const stream = await listen('/events/kept-begin', {'Last-Event-ID': id});
    assert.equal(stream.hello.recovered, true);
    assert.equal((await stream.next('n')).data, 'missed');
  });

  test('from the middle of what is kept', async () => {
    const room = 'kept-middle';
    const first = await listen('/events/' + room);

    await emit({name: 'n', rooms: [room], times: 5});
    const ids = [];
    for (let i = 0; i < 5; i++)
      ids.push((await first.next('n')).id);
    for (let i = 0; i < 5; i++) {
      const stream = await listen('/events/' + room,
        {'Last-Event-ID': ids[i]});
      await emit({name: 'end', sids: [stream.hello.sid]});
      const got = [];
      for (;;) {
        const event = await stream.next();
        if (event.event === 'end')
          break;
        got.push(event.data);
      }
      assert.deepEqual(got, [0, 1, 2, 3, 4].slice(i + 1));
      stream.close();
    }
  });

  test('more than is kept is told as such', async () => {
    const id = await missed('kept-more');

    await emit({name: 'n', rooms: ['kept-more'], times: 100});
    const stream = await listen('/events/kept-more', {'Last-Event-ID': id});
    assert.equal(stream.hello.recovered, false);
  });

  test('an id of somebody else', async () => {
    for (const id of ['x', '0', '-', '99999999999999999999999999', 'a-b-c',
      'x'.repeat(1000), '%0a']) {
      const stream = await listen('/events/kept-other',
        {'Last-Event-ID': id});
      assert.equal(stream.hello.recovered, false, id);
      stream.close();
    }
  });

  test('a room without history', async () => {
    const id = await missed('forgetful');
    const stream = await listen('/events/forgetful',
      id ? {'Last-Event-ID': id} : {});

    assert.equal(stream.hello.recovered, false);
  });

  test('several rooms, merged', async () => {
    const target = '/events/kept-m1?room=kept-m2';
    const first = await listen(target);
    const {id} = first.session;

    first.close();
    for (let i = 0; i < 10; i++)
      await emit({name: 'n', args: [i], rooms: i % 3 === 2
        ? ['kept-m1', 'kept-m2'] : ['kept-m' + (1 + i % 2)]});
    const stream = await listen(target, {'Last-Event-ID': id});
    const got = [];
    for (let i = 0; i < 10; i++)
      got.push((await stream.next('n')).data);
    assert.deepEqual(got, [...Array(10).keys()]);
  });
});

describe('POST', () => {
  const json = (reply) => {
    assert.match(reply.headers['content-type'], /^application\/json/);
    return JSON.parse(reply.body);
  };

  test('an answer, none, a late one, an error', async () => {
    const target = '/events/post';

    for (const [body, status, answer] of [
      [{event: 'ask', args: [1, 'ä', {x: null}]}, 200,
        {args: [1, 'ä', {x: null}]}],
      [{event: 'ask', args: []}, 200, {args: []}],
      [{event: 'ask'}, 200, {args: []}],
      [{event: 'never', args: []}, 200, {args: []}],
      [{event: 'ask-late'}, 200, {args: ['late']}],
      [{event: 'fail'}, 422, {error: {code: 'nope',
        message: 'it was told to fail'}}],
      [{event: 'types', args: [{$bytes: 'AQID'}]}, 200, {args: [[6, 3]]}]]) {
      const reply = await post(target, body);
      assert.equal(reply.status, status, JSON.stringify(body));
      assert.deepEqual(json(reply), answer);
    }
  });

  test('it reaches the room', async () => {
    const stream = await listen('/events/posted');
    const reply = await post('/events/posted', {event: 'emit', args: [
      {name: 'said', rooms: ['posted'], args: ['hello']}]});

    assert.deepEqual(json(reply), {args: [0]});
    assert.equal((await stream.next('said')).data, 'hello');
  });

  test('with a session it comes from that peer', async () => {
    const stream = await listen('/events/mine?token=user:ann');
    const {sid, session} = stream.hello;

    const [me] = json(await post('/events/mine', {event: 'whoami',
      session})).args;
    assert.deepEqual([me.sid, me.user, me.transport], [sid, 'ann', 'sse']);
    await post('/events/mine', {event: 'echo', args: ['back'], session});
    assert.equal((await stream.next('echo')).data, 'back');

    const nobody = await post('/events/mine', {event: 'whoami',
      session: 'A'.repeat(20)});
    assert.ok(nobody.status >= 400 && nobody.status < 500);
    const stranger = await post('/events/mine', {event: 'whoami',
      session: sid});
    assert.ok(stranger.status >= 400, 'the public id is no secret');
    stream.close();
    await sleep(50);
    const late = await post('/events/mine', {event: 'whoami', session});
    assert.ok(late.status >= 400 && late.status < 500);
  });

  test('without one it is authenticated each time', async () => {
    assert.equal((await post('/events/x?token=bad', {event: 'ask'})).status,
      401);
    const [me] = json(await post('/events/x', {event: 'whoami'},
      {Authorization: 'Bearer user:bob'})).args;
    assert.equal(me.user, 'bob');
    const [late] = json(await post('/events/x?token=late:eve',
      {event: 'whoami'})).args;
    assert.equal(late.user, 'eve');
    await until(async () => {
      const watcher = await connect(server);
      const found = await ask(watcher, 'emit', {name: 'x', sids: [me.sid]});
      watcher.disconnect();
      return found === 0;
    }, 'nobody of that id');
  });

  test('what is no event is refused', async () => {
    for (const body of ['', 'x', '[]', '{}', '"a"', '{"event":1}',
      '{"event":""}', '{"event":"connect"}', '{"event":"ask","args":{}}',
      '{"event":"ask"}x', '[{"event":"ask"}]', '{"event":"ask"',
      '['.repeat(5000)]) {
      const reply = await post('/events/x', body);
      assert.equal(reply.status, 400, body.slice(0, 40));
    }
    const big = await post('/events/x', {event: 'ask',
      args: ['x'.repeat(10000)]});
    assert.equal(big.status, 413);
    for (const method of ['PUT', 'DELETE', 'PATCH'])
      assert.equal((await fetchRaw(server, '/events/x', {method})).status,
        405, method);
  });

  test('too often is told', async () => {
    const stream = await listen('/events/often');
    const {session} = stream.hello;

    for (let i = 0; i < 3; i++)
      assert.equal((await post('/events/often', {event: 'limited',
        session})).status, 200);
    const reply = await post('/events/often', {event: 'limited', session});
    assert.ok(reply.status >= 400);
    assert.equal(json(reply).error.code, 'throttled');
  });

  test('over one connection, many', async () => {
    const agent = new http.Agent({keepAlive: true, maxSockets: 1});

    for (let i = 0; i < 20; i++) {
      const reply = await fetchRaw(server, '/events/x', {method: 'POST',
        agent, body: JSON.stringify({event: 'ask', args: [i]})});
      assert.deepEqual(json(reply), {args: [i]});
    }
    agent.destroy();
  });
});

describe('CORS', () => {
  test('a listed origin may read, with credentials', async () => {
    const stream = await listen('/events/cors', {Origin: origin});
    const {headers} = stream.response;

    assert.equal(headers['access-control-allow-origin'], origin);
    assert.equal(headers['access-control-allow-credentials'], 'true');
    assert.match(headers.vary, /Origin/i);
    const reply = await post('/events/cors', {event: 'ask'},
      {Origin: origin});
    assert.equal(reply.headers['access-control-allow-origin'], origin);
    const refused = await Stream.open('/events/closed', {Origin: origin});
    assert.equal(refused.response.statusCode, 403);
    assert.equal(refused.response.headers['access-control-allow-origin'],
      origin);
  });

  test('a preflight', async () => {
    const reply = await fetchRaw(server, '/events/cors', {method: 'OPTIONS',
      headers: {'Origin': origin, 'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,last-event-id'}});

    assert.equal(reply.status, 204);
    assert.equal(reply.headers['access-control-allow-origin'], origin);
    assert.ok(reply.headers['access-control-allow-methods']
      .split(/, */).includes('POST'));
    assert.match(reply.headers['access-control-allow-headers'],
      /authorization/i);
    assert.match(reply.headers['access-control-allow-headers'],
      /last-event-id/i);
  });

  test('others get nothing', async () => {
    const headers = {Origin: 'http://evil.example'};
    const stream = await Stream.open('/events/cors', headers);

    assert.equal(stream.response.statusCode, 403);
    assert.equal(stream.response.headers['access-control-allow-origin'],
      undefined);
    assert.equal((await post('/events/cors', {event: 'ask'}, headers)).status,
      403);
  });
});
