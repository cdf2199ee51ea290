/*
 * json_protocol.test.mjs - the envelope of rill-protocol(7) over npm's ws:
 * as JSON in text and as MessagePack in binary, message by message.
 */
import assert from 'node:assert/strict';
import {after, afterEach, before, describe, test} from 'node:test';
import notepack from 'notepack.io';
import {makeBinary} from './harness.mjs';
import {Wire, ask, connect, fetchRaw, hangUp, hangUpWires, next, sleep,
  startServer} from './servers.mjs';

const codecs = {
  'rill.json.v1': {
    encode: (value) => JSON.stringify(value, (key, inner) =>
      inner?.type === 'Buffer'
        ? {$bytes: Buffer.from(inner.data).toString('base64')} : inner),
    decode: (data) => {
      assert.equal(typeof data, 'string');
      return JSON.parse(data, (key, inner) => inner?.$bytes !== undefined
        ? Buffer.from(inner.$bytes, 'base64') : inner);
    }
  },
  'rill.msgpack.v1': {
    encode: (value) => notepack.encode(value),
    decode: (data) => {
      assert.ok(Buffer.isBuffer(data));
      return notepack.decode(data);
    }
  }
};

let plain, keeping;

before(async () => {
  plain = await startServer('events_server',
    {flags: ['--connect_ms', 500, '--ping_ms', 300]});
  keeping = await startServer('events_server', {flags: ['--recovery',
    '--recovery_ms', 1000, '--history_count', 50]});
});

after(async () => {
  await plain.stop();
  await keeping.stop();
});

afterEach(() => {
  hangUp();
  hangUpWires();
});

const url = (server) => server.ws + '/ws';

for (const [subprotocol, {encode, decode}] of Object.entries(codecs))
  describe(subprotocol, () => {
    class Client {
      static async dial(server = plain) {
        const client = new Client();

        client.wire = await Wire.open(url(server), [subprotocol]);
        assert.equal(client.wire.socket.protocol, subprotocol);
        return client;
      }

      static async open(auth = {}, more = {}, server = plain) {
        const client = await Client.dial(server);

        client.say({open: auth, ...more});
        client.hello = await client.hear();
        return client;
      }

      say(...messages) {
        for (const message of messages)
          this.wire.send(encode(message));
      }

      async hear() {
        return decode(await this.wire.next());
      }

      /* One message said, one heard. */
      async talk(message) {
        this.say(message);
        return this.hear();
      }

      async ask(event, ...args) {
        const answer = await this.talk({event, args, id: 1});

        assert.deepEqual(Object.keys(answer), ['ack', 'args']);
        assert.equal(answer.ack, 1);
        return answer.args[0];
      }

      cut() {
        this.wire.socket.terminate();
        return sleep(50);
      }
    }

    test('open', async () => {
      const {hello} = await Client.open();

      assert.deepEqual(Object.keys(hello), ['open', 'recovered']);
      assert.match(hello.open, /^[\w-]{20}$/);
      assert.equal(hello.recovered, false);
      const client = await Client.open({token: 'user:ann'});
      const me = await client.ask('whoami');
      assert.deepEqual([me.sid, me.user, me.space, me.transport],
        [client.hello.open, 'ann', '/', 'websocket']);
      assert.equal((await (await Client.open({token: 'late:bob'}))
        .ask('whoami')).user, 'bob');
    });

    test('refused, with data, and not to come back', async () => {
      for (const token of ['bad', 'bad-late']) {
        const {hello, wire} = await Client.open({token});
        assert.deepEqual(hello, {error: {code: 'unauthorized',
          message: 'not authorized', data: {code: 'E_TOKEN', retry: false}}});
        const {code} = await wire.end();
        assert.ok(code >= 4500 && code <= 4999, String(code));
      }
    });

    test('open comes first, and in time', async () => {
      for (const message of [{event: 'ask', args: []}, {}, {ping: 1},
        {open: null}, {open: 'x'}, {open: []}, {join: 'r'}]) {
        const client = await Client.dial();
        client.say(message);
        const {code} = await client.wire.end();
        assert.equal(code, 1008, JSON.stringify(message));
      }
      const start = Date.now();
      await (await Client.dial()).wire.end();
      const took = Date.now() - start;
      assert.ok(took > 400 && took < 3000, `${took} ms`);
    });

    test('what is no message closes', async () => {
      const bad = subprotocol === 'rill.json.v1'
        ? ['', 'x', '[]', '1', 'null', '"a"', '{"ping":1}x', '{"ping":1',
          '{"ping":01}', '{"ping":NaN}', '{ping:1}', '{"ping":"\\ud800"}',
          '{"ping":' + '['.repeat(5000) + ']'.repeat(5000) + '}',
          Buffer.from('{"ping":1}')]
        : ['', '90', '01', 'c0', 'c1', '81a470696e67', '81a470696e670100',
          '81a470696e67ddffffffff', '81a470696e67' + '91'.repeat(5000) + 'c0',
          '81a470696e67a1ff'].map((text) => Buffer.from(text, 'hex'))
          .concat(['{"ping":1}']);

      for (const message of bad) {
        const client = await Client.open();
        client.wire.send(message);
        const {code} = await client.wire.end();
        assert.equal(code, 1007, String(message).slice(0, 40));
      }
    });

    test('every kind of value, both ways', async () => {
      const client = await Client.open();

      for (const value of [null, true, false, 0, -1, 127, 128, -32, -33, 65536,
        2 ** 40, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.5, -1e-100,
        5e-324, '', 'ä€😀"\\\n\u0000', 'x'.repeat(70000), [], [[], {}],
        {}, {b: 1, a: {'': [null]}}, [...Array(300).keys()],
        Buffer.from([0, 1, 255]), {deep: [{bytes: Buffer.alloc(0)}]},
        [Buffer.from('x'), makeBinary(70000, 3)]]) {
        assert.deepEqual(await client.ask('ask', value), value);
        assert.deepEqual(await client.talk({event: 'echo', args: [value]}),
          {event: 'echo', args: [value]});
      }
      assert.deepEqual(await client.talk({event: 'ask', args: [1, 2], id: 7}),
        {ack: 7, args: [1, 2]});
      assert.deepEqual(await client.talk({event: 'ask', id: 8}),
        {ack: 8, args: []});
      assert.deepEqual(await client.ask('types', Buffer.from('abc')), [6, 3]);
      assert.equal(await client.ask('json', {a: [Buffer.from('x'), 0.5, 'ä']}),
        '{"a":[{"$bytes":"eA=="},0.5,"ä"]}');
    });

    test('an answer later, none, errors', async () => {
      const client = await Client.open();

      assert.equal(await client.ask('ask-late'), 'late');
      client.say({event: 'never', id: 2});
      assert.deepEqual(await client.talk({event: 'fail', id: 3}), {ack: 3,
        error: {code: 'nope', message: 'it was told to fail'}});
      const told = await client.talk({event: 'fail'});
      assert.equal(told.error.code, 'nope');
      for (let i = 0; i < 3; i++)
        await client.ask('limited');
      assert.equal((await client.talk({event: 'limited', id: 4})).error.code,
        'throttled');
      assert.deepEqual(await client.talk({event: 'nobody', args: [1]}),
        {event: 'unknown', args: ['nobody', [1]]});
    });

    test('the server asks', async () => {
      const client = await Client.open();
      const command = {name: 'q', args: [1], sids: [client.hello.open],
        ask: 300};

      client.say({event: 'emit', args: [command], id: 9});
      const {id, ...question} = await client.hear();
      assert.deepEqual(question, {event: 'q', args: [1]});
      assert.equal(typeof id, 'number');
      client.say({ack: id, args: ['x', {y: Buffer.from('z')}]});
      const {ack, args: [outcome]} = await client.hear();
      assert.equal(ack, 9);
      assert.equal(outcome.status, 0);
      assert.deepEqual(outcome.answers[0].args, ['x', {y: Buffer.from('z')}]);

      client.say({event: 'emit', args: [command], id: 10});
      await client.hear();
      client.say({ack: 999999, args: []}, {ack: id, args: ['again']});
      assert.equal((await client.hear()).args[0].status, -14);
    });

    test('rooms', async () => {
      const client = await Client.open();
      const watcher = await Client.open();
      const room = 'room-' + subprotocol;

      assert.deepEqual(await client.talk({join: room, id: 1}),
        {joined: room, id: 1});
      assert.deepEqual(await watcher.talk({join: room}), {joined: room});
      assert.deepEqual(await client.ask('rooms'), [room]);
      assert.equal(await client.ask('emit',
        {name: 'hi', args: [1], rooms: [room], except_me: true}), 0);
      assert.deepEqual(await watcher.hear(),
        {event: 'hi', args: [1], room});
      assert.equal(await client.ask('emit',
        {name: 'hi', rooms: [room, 'another'], except_me: true}), 0);
      const both = await watcher.hear();
      assert.deepEqual([both.event, both.args], ['hi', []]);
      assert.deepEqual(await client.talk({leave: room, id: 2}),
        {left: room, id: 2});
      assert.deepEqual(await client.ask('rooms'), []);

      const denied = await client.talk({join: 'closed', id: 3});
      assert.equal(denied.error.code, 'forbidden');
      assert.equal(denied.id, 3);
      for (const bad of ['', 'x'.repeat(256), 'a\u0000b']) {
        const {error, id} = await client.talk({join: bad, id: 4});
        assert.equal(typeof error.message, 'string');
        assert.equal(id, 4);
      }
      const unknown = await client.talk({leave: 'never-joined', id: 5});
      assert.equal(unknown.id, 5);
      assert.equal(typeof unknown.error.code, 'string');
      assert.equal((await client.talk({join: 'private'})).error.code,
        'forbidden');
      const ann = await Client.open({token: 'user:ann'});
      assert.deepEqual(await ann.talk({join: 'private'}),
        {joined: 'private'});
    });

    test('ping, and what is not known', async () => {
      const client = await Client.open();

      for (const value of [1, null, 'x', {a: [1]}])
        assert.deepEqual(await client.talk({ping: value}), {pong: value});
      for (const message of [{}, {what: 1}, {event: 1}, {join: 1},
        {open: {}}]) {
        const {error} = await client.talk({...message, id: 5});
        assert.equal(typeof error.code, 'string', JSON.stringify(message));
        assert.equal(typeof error.message, 'string');
      }
      for (const message of [{event: '', args: []}, {event: 'connect'},
        {event: 'ask', args: {}}, {event: 'x'.repeat(256)}]) {
        const {ack, error} = await client.talk({...message, id: 6});
        assert.equal(ack, 6);
        assert.equal(typeof error.code, 'string');
      }
      assert.equal(await client.ask('ask', 'all the same'), 'all the same');
    });

    test('ids are whole numbers that JavaScript has', async () => {
      const client = await Client.open();

      for (const id of [0, 1, 4294967296, Number.MAX_SAFE_INTEGER])
        assert.deepEqual(await client.talk({event: 'ask', args: [id], id}),
          {ack: id, args: [id]});
      for (const id of [-1, 0.5, 'x', null, 2 ** 60]) {
        client.say({event: 'ask', args: [], id});
        const heard = await client.talk({ping: 1});
        if (!('pong' in heard)) {
          assert.ok('error' in heard, JSON.stringify(heard));
          assert.deepEqual(await client.hear(), {pong: 1});
        }
      }
    });

    test('many in a row', async () => {
      const client = await Client.open();

      for (let i = 0; i < 1000; i++)
        client.say({event: 'ask', args: [i], id: i});
      for (let i = 0; i < 1000; i++)
        assert.deepEqual(await client.hear(), {ack: i, args: [i]});
    });

    test('the server ends it', async () => {
      const client = await Client.open();

      client.say({event: 'kick', id: 1});
      assert.deepEqual(await client.hear(), {ack: 1, args: [0]});
      assert.deepEqual(await client.wire.end(),
        {code: 1000, reason: 'kicked'});
      const failed = await Client.open();
      failed.say({event: 'break'});
      assert.equal((await failed.wire.end()).code, 1011);
    });

    test('a session comes back, once and in order', async () => {
      const client = await Client.open({token: 'user:ann'}, {}, keeping);
      const sender = await Client.open({}, {}, keeping);
      const room = 'kept-' + subprotocol;
      const {open, session} = client.hello;

      assert.match(session, /^[\w-]{20,}$/);
      await client.talk({join: room});
      await sender.ask('emit', {name: 'n', rooms: [room], args: ['seen']});
      const {offset, ...seen} = await client.hear();
      assert.deepEqual(seen, {event: 'n', args: ['seen'], room});
      assert.equal(typeof offset, 'string');
      await client.cut();
      await sender.ask('emit', {name: 'n', rooms: [room], times: 10});
      await sender.ask('emit', {name: 'n', rooms: [room],
        args: [Buffer.from('b')]});

      const back = await Client.dial(keeping);
      back.say({open: {token: 'user:ann'}, resume: session, offset});
      const heard = [];
      let hello;
      while (heard.length < 11 || !hello) {
        const message = await back.hear();
        if ('open' in message)
          hello = message;
        else
          heard.push(message);
      }
      assert.deepEqual([hello.open, hello.recovered], [open, true]);
      assert.match(hello.session, /^[\w-]{20,}$/);
      assert.deepEqual(heard.map((message) => message.args[0]),
        [...Array(10).keys(), Buffer.from('b')]);
      assert.deepEqual(await back.ask('rooms'), [room]);
      await sender.ask('emit', {name: 'n', rooms: [room], args: ['live']});
      assert.equal((await back.hear()).args[0], 'live');
    });

    test('no event seen, and who is not to come back', async () => {
      const client = await Client.open({token: 'user:ann'}, {}, keeping);
      const {open, session} = client.hello;
      const resume = async (auth, secret, more) => (await Client.open(auth,
        {resume: secret, ...more}, keeping)).hello;

      await client.cut();
      const eve = await resume({token: 'user:eve'}, session);
      assert.notEqual(eve.open, open);
      assert.equal(eve.recovered, false);
      assert.ok('error' in await resume({token: 'bad'}, session));
      const ann = await resume({token: 'user:ann'}, session);
      assert.deepEqual([ann.open, ann.recovered], [open, true]);
      const second = await resume({token: 'user:ann'}, session);
      assert.equal(second.recovered, false);
      assert.notEqual(second.open, open);
      for (const secret of ['', 'x', open, 1, null])
        assert.equal((await resume({}, secret)).recovered, false);

      const leaving = await Client.open({}, {}, keeping);
      leaving.wire.socket.close(1000);
      await leaving.wire.end();
      await sleep(50);
      assert.equal((await resume({}, leaving.hello.session)).recovered,
        false);
      const late = await Client.open({}, {}, keeping);
      await late.cut();
      await sleep(1300);
      assert.equal((await resume({}, late.hello.session)).recovered, false);
    });

    test('it meets socket.io-client in a room', async () => {
      const client = await Client.open();
      const socket = await connect(plain);
      const room = 'meet-' + subprotocol;

      await client.talk({join: room});
      await ask(socket, 'join', room);
      const heard = next(socket, 'hi');
      await ask(socket, 'emit', {name: 'hi', rooms: [room],
        args: [{b: Buffer.from('x')}, 'y']});
      assert.deepEqual(await heard, [{b: Buffer.from('x')}, 'y']);
      assert.deepEqual(await client.hear(), {event: 'hi',
        args: [{b: Buffer.from('x')}, 'y'], room});
      const back = next(socket, 'hi');
      client.say({event: 'emit', args: [{name: 'hi', rooms: [room],
        args: [[1]], except_me: true}]});
      assert.deepEqual(await back, [[1]]);
    });
  });

describe('choosing', () => {
  test('without a subprotocol it is JSON', async () => {
    const wire = await Wire.open(url(plain));

    wire.send('{"open":{}}');
    assert.match(await wire.next(),
      /^\{"open":"[\w-]{20}","recovered":false\}$/);
  });

  test('the one that both know is taken', async () => {
    for (const [offer, taken] of [
      [['rill.msgpack.v1', 'rill.json.v1'], /^rill\.(msgpack|json)\.v1$/],
      [['other', 'rill.json.v1'], /^rill\.json\.v1$/],
      [['rill.msgpack.v1', 'other'], /^rill\.msgpack\.v1$/]]) {
      const wire = await Wire.open(url(plain), offer);
      assert.match(wire.socket.protocol, taken);
    }
  });

  test('a page of an origin that is not listed is refused', async () => {
    const reply = await fetchRaw(plain, '/ws', {headers: {
      'Origin': 'http://evil.example', 'Connection': 'Upgrade',
      'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='}});

    assert.equal(reply.status, 403);
  });
});

test('raw WebSockets get events as arrays', async () => {
  const raw = await Wire.open(plain.ws + '/raw');
  const socket = await connect(plain);

  await ask(socket, 'join', 'raw');
  await ask(socket, 'emit', {name: 'hi', rooms: ['raw'], args: [1, {x: null}]});
  assert.equal(await raw.next(), '["hi",1,{"x":null}]');
  const heard = next(socket, 'message');
  raw.send('a text of ours');
  assert.equal(await raw.next(), 'a text of ours');
  assert.deepEqual(await heard, ['a text of ours']);
});
