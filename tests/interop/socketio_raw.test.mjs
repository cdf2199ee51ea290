/*
 * socketio_raw.test.mjs - Socket.IO v5 packet by packet over a WebSocket and
 * over polling: what is answered, what closes the connection, and the golden
 * bytes of socket.io-msgpack-parser.
 */
import assert from 'node:assert/strict';
import {after, afterEach, before, describe, test} from 'node:test';
import {Wire, fetchRaw, hangUpWires, startServer} from './servers.mjs';

const path = '/socket.io/?EIO=4&transport=';
let suite, server;

before(async () => {
  suite = await startServer('suite_server',
    {flags: ['--ping-interval', 25000, '--ping-timeout', 20000]});
  server = await startServer('events_server');
});

after(async () => {
  await suite.stop();
  await server.stop();
});

afterEach(hangUpWires);

/* A WebSocket behind the Engine.IO handshake. */
async function open(of = suite) {
  const wire = await Wire.open(of.ws + path + 'websocket');

  assert.match(await wire.next(), /^0\{/);
  return wire;
}

/* Connected to "/", behind its "auth". */
async function join(of = suite) {
  const wire = await open(of);

  wire.send('40');
  const [, sid] = /^40\{"sid":"([\w-]{20})"\}$/.exec(await wire.next());
  wire.sid = sid;
  if (of === suite)
    assert.equal(await wire.next(), '42["auth",{}]');
  return wire;
}

const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('connect', () => {
  test('each namespace has its own id', async () => {
    const wire = await open();
    const sids = new Set();

    wire.send('40', '40/custom,{"a":"b"}');
    for (const [space, auth] of [['', '{}'], ['/custom,', '{"a":"b"}']]) {
      const text = await wire.next();
      assert.ok(text.startsWith('40' + space + '{"sid":"'), text);
      sids.add(text.slice(text.indexOf('{')));
      assert.equal(await wire.next(), `42${space}["auth",${auth}]`);
    }
    assert.equal(sids.size, 2);
  });

  test('the id of the session is not that of the socket', async () => {
    const wire = await Wire.open(suite.ws + path + 'websocket');
    const {sid} = JSON.parse((await wire.next()).slice(1));

    wire.send('40');
    assert.notEqual(JSON.parse((await wire.next()).slice(2)).sid, sid);
  });

  test('a namespace with and without a comma, with a query', async () => {
    for (const [packet, answer] of [
      ['40/random', '44/random,{"message":"Invalid namespace"}'],
      ['40/random,', '44/random,{"message":"Invalid namespace"}'],
      ['40/random,{"a":1}', '44/random,{"message":"Invalid namespace"}'],
      ['40/nope?x=1,', '44/nope?x=1,{"message":"Invalid namespace"}']]) {
      const wire = await open();
      wire.send(packet);
      assert.equal(await wire.next(), answer);
      wire.send('40');
      assert.match(await wire.next(), /^40\{"sid":/);
    }
  });

  test('a refusal has data, and leaves the connection', async () => {
    const wire = await open(server);

    wire.send('40{"token":"bad"}');
    assert.equal(await wire.next(), '44{"message":"not authorized",' +
      '"data":{"code":"E_TOKEN","retry":false}}');
    wire.send('40/private,{"token":"bad-late"}');
    assert.equal(await wire.next(), '44/private,{"message":"not authorized",' +
      '"data":{"code":"E_TOKEN","retry":false}}');
    wire.send('40{"token":"late:ann"}');
    assert.match(await wire.next(), /^40\{"sid":/);
    wire.send('421["whoami"]');
    const [me] = JSON.parse((await wire.next()).slice(3));
    assert.equal(me.user, 'ann');
  });

  test('what comes before its namespace is open closes', async () => {
    for (const packet of ['42["message",1]', '41', '43["a"]', '430[]']) {
      const wire = await open();
      wire.send(packet);
      await wire.end();
    }
  });

  test('auth is an object or nothing', async () => {
    for (const packet of ['40[]', '40"a"', '40{"a"', '40{}x']) {
      const wire = await open();
      wire.send(packet);
      await wire.end();
    }
  });

  test('a second CONNECT closes', async () => {
    const wire = await join();

    wire.send('40');
    await wire.end();
  });

  test('without CONNECT the connection is closed in time', async () => {
    const wire = await open();
    const start = Date.now();

    await wire.end();
    const took = Date.now() - start;
    assert.ok(took > 900 && took < 3000, `${took} ms`);
  });

  test('after DISCONNECT one may come back, as somebody else', async () => {
    const wire = await join();
    const {sid} = wire;

    wire.send('41', '40');
    const text = await wire.next();
    assert.match(text, /^40\{"sid":/);
    assert.ok(!text.includes(sid));
  });

  test('a namespace by pattern', async () => {
    const wire = await open(server);

    wire.send('40/dyn-1,');
    assert.match(await wire.next(), /^40\/dyn-1,\{"sid":/);
    wire.send('42/dyn-1,7["whoami"]');
    const text = await wire.next();
    assert.ok(text.startsWith('43/dyn-1,7['), text);
    assert.equal(JSON.parse(text.slice(10))[0].space, '/dyn-1');
    wire.send('40/dyn-forbidden,');
    assert.equal(await wire.next(),
      '44/dyn-forbidden,{"message":"Invalid namespace"}');
  });
});

describe('events', () => {
  test('arguments come back as they were', async () => {
    const wire = await join();

    for (const args of ['1,"2",{"3":[true]}', '', 'null', '-0.5,1e+100',
      '"ä€😀\\u0000\\"\\\\"', '[[[[[]]]]],{}', '{"b":1,"a":2,"":3}',
      '9007199254740991', '{"__proto__":{"x":1}}']) {
      wire.send(`42["message"${args && ','}${args}]`);
      const text = await wire.next();
      assert.deepEqual(JSON.parse(text.slice(2)),
        JSON.parse(`["message-back"${args && ','}${args}]`));
    }
  });

  test('ack ids of every length', async () => {
    const wire = await join();

    for (const id of ['0', '7', '456', '4294967296', '9007199254740991']) {
      wire.send(`42${id}["message-with-ack",${id}]`);
      assert.equal(await wire.next(), `43${id}[${id}]`);
    }
    wire.send('42/custom,1["message-with-ack"]');
    await wire.end(); /* not joined */
  });

  test('an answer without arguments', async () => {
    const wire = await join();

    wire.send('4212["message-with-ack"]');
    assert.equal(await wire.next(), '4312[]');
  });

  test('answers that nobody waits for are ignored', async () => {
    const wire = await join();

    wire.send('430[]', '4399["x"]', '42["message","still here"]');
    assert.equal(await wire.next(), '42["message-back","still here"]');
  });

  test('binary in both places, twice the same', async () => {
    const wire = await join();
    const place = (num) => `{"_placeholder":true,"num":${num}}`;

    wire.send(`452-["message",{"a":[${place(1)}],"b":${place(0)}}]`,
      Buffer.from([1]), Buffer.from([2, 3]));
    const text = await wire.next();
    const [, n, json] = /^45(\d)-(.*)$/.exec(text);
    const found = [];
    const filled = JSON.parse(json, (key, value) =>
      value?._placeholder ? found.push(value.num) && value.num : value);
    const bytes = [];
    for (let i = 0; i < n; i++)
      bytes.push(await wire.next());
    assert.deepEqual(bytes[filled[1].a[0]], Buffer.from([2, 3]));
    assert.deepEqual(bytes[filled[1].b], Buffer.from([1]));
    assert.deepEqual(found, [...found.keys()]);
  });

  test('ten attachments pass, eleven close', async () => {
    for (const n of [10, 11]) {
      const wire = await join();
      const places = [...Array(n).keys()].map((num) =>
        ({_placeholder: true, num}));
      wire.send(`45${n}-${JSON.stringify(['message', ...places])}`);
      for (let i = 0; i < n && wire.socket.readyState === 1; i++)
        wire.send(Buffer.from([i]));
      if (n === 11) {
        await wire.end();
      } else {
        assert.match(await wire.next(), /^4510-/);
        for (let i = 0; i < n; i++)
          assert.deepEqual(await wire.next(), Buffer.from([i]));
      }
    }
  });

  test('what breaks the rules of packets closes', async () => {
    const place = '{"_placeholder":true,"num":0}';
    const cases = [
      ['4'], ['4abc'], ['47'], ['49[]'], ['42'], ['42{}'], ['42[]'],
      ['42[{}]'], ['42[null]'], ['42["a"'], ['42["a"]x'], ['42["a",]'],
      ["42['a']"], ['42["\\ud800"', ''], ['42abc["message"]'],
      ['42-1["message"]'], ['421.5["message"]'],
      ['44{"message":"x"}'], ['41{}'], ['43{}'], ['430'], ['43'],
      ['42["connect"]'], ['42["connect_error"]'], ['42["disconnect"]'],
      ['42["disconnecting"]'], ['42["newListener"]'],
      ['42["removeListener"]'],
      [Buffer.from([1, 2])],
      ['451-["message",' + place + ']', '42["message"]'],
      ['451-["message",{"_placeholder":true,"num":1}]', Buffer.from([1])],
      ['451-["message",{"_placeholder":true,"num":-1}]', Buffer.from([1])],
      ['451-["message",{"_placeholder":true,"num":"0"}]', Buffer.from([1])],
      ['451-["message",' + place + ']', Buffer.from([1]), Buffer.from([2])],
      ['45-["message"]'], ['45x-["message"]'], ['45["message"]'],
      ['42["message",' + '['.repeat(5000) + ']'.repeat(5000) + ']']];

    for (const packets of cases) {
      const wire = await join();
      wire.send(...packets);
      await wire.end().catch((error) => {
        throw new Error(String(packets[0]).slice(0, 60), {cause: error});
      });
    }
  });

  test('binary over polling', async () => {
    const {sid} = JSON.parse((await fetchRaw(suite, path + 'polling'))
      .body.slice(1));
    const url = path + 'polling&sid=' + sid;
    const post = (body) => fetchRaw(suite, url, {method: 'POST', body});

    await post('40');
    assert.match((await fetchRaw(suite, url)).body,
      /^40\{"sid":"[\w-]{20}"\}\x1e42\["auth",\{\}\]$/);
    await post('452-["message",{"_placeholder":true,"num":0},' +
      '{"_placeholder":true,"num":1}]\x1ebAQID\x1ebBA==');
    assert.equal((await fetchRaw(suite, url)).body, '452-["message-back",' +
      '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]' +
      '\x1ebAQID\x1ebBA==');
  });
});

describe('asked by the server', () => {
  test('ids count up, answers of several arguments', async () => {
    const wire = await join(server);
    const cmd = JSON.stringify(['emit', {name: 'q', args: [1],
      sids: [wire.sid], ask: 2000}]);

    wire.send('421' + cmd);
    const [, id] = /^42(\d+)\["q",1\]$/.exec(await wire.next());
    wire.send(`43${id}["x",{"y":2}]`);
    const [outcome] = JSON.parse((await wire.next()).slice(3));
    assert.equal(outcome.status, 0);
    assert.deepEqual(outcome.answers[0].args, ['x', {y: 2}]);

    wire.send('422' + cmd);
    const [, second] = /^42(\d+)\["q",1\]$/.exec(await wire.next());
    assert.equal(Number(second), Number(id) + 1);
    wire.send(`43${id}["again"]`, `43${second}[]`);
    const [other] = JSON.parse((await wire.next()).slice(3));
    assert.deepEqual(other.answers[0].args, []);
  });
});

describe('msgpack', () => {
  const connect = hex('83 a474797065 00 a464617461 d40000 a36e7370 a12f');

  async function joinPacked() {
    const wire = await open(server);

    wire.send(connect);
    const answer = await wire.next();
    assert.ok(Buffer.isBuffer(answer));
    wire.sid = /sid\xb4([\w-]{20})/.exec(answer.toString('latin1'))[1];
    return wire;
  }

  test('the golden bytes', async () => {
    const wire = await joinPacked();

    /* {type:2,data:["echo",1],nsp:"/"} */
    wire.send(hex('83 a474797065 02 a464617461 92a46563686f01 a36e7370 a12f'));
    assert.deepEqual(await wire.next(),
      hex('83 a474797065 02 a464617461 92a46563686f01 a36e7370 a12f'));
  });

  test('keys in any order, unknown ones, an answer', async () => {
    const wire = await joinPacked();

    /* {nsp:"/",id:3,options:{compress:true},data:["ask","r"],type:2} */
    wire.send(hex('85 a36e7370 a12f a26964 03 a76f7074696f6e73 81' +
      'a8636f6d7072657373 c3 a464617461 92a361736ba172 a474797065 02'));
    const answer = await wire.next();
    assert.equal(answer[0] & 0xf0, 0x80);
    const text = answer.toString('hex');
    for (const pair of ['a2696403', 'a47479706503', 'a46461746191a172',
      'a36e7370a12f'])
      assert.ok(text.includes(pair), pair);
  });

  test('every way to write bytes, and dates', async () => {
    const wire = await joinPacked();
    const head = '84 a474797065 02 a36e7370 a12f a26964 01 a464617461';

    for (const [bytes, type, size] of [
      ['c403 010203', 6, 3], ['c50003 010203', 6, 3],
      ['c600000003 010203', 6, 3], ['c70300 010203', 6, 3],
      ['c8000300 010203', 6, 3], ['c90000000300 010203', 6, 3],
      ['c400', 6, 0], ['c0', 1, 0], ['c3', 2, 0],
      ['cf 0000000100000000', 3, 0], ['d3 8000000000000000', 3, 0],
      ['cb 3ff8000000000000', 4, 0], ['ca 3fc00000', 4, 0],
      ['d9 03 616263', 5, 3], ['da 0003 616263', 5, 3],
      ['db 00000003 616263', 5, 3], ['dc 0002 0102', 7, 2],
      ['dd 00000002 0102', 7, 2], ['de 0001 a161 01', 8, 1],
      ['df 00000001 a161 01', 8, 1]]) {
      wire.send(hex(head + '92 a57479706573' + bytes));
      const answer = await wire.next();
      const want = '9192' + Buffer.from([type, size]).toString('hex');
      assert.ok(answer.toString('hex').includes(want),
        bytes + ': ' + answer.toString('hex'));
    }
    /* a Date is no bytes */
    wire.send(hex(head + '92 a46563686f d700 0000018bcfe56800'));
    assert.ok(Buffer.isBuffer(await wire.next()));
  });

  test('what breaks the rules closes', async () => {
    for (const bytes of ['', 'c1', 'c0', '80', '01', '90',
      '82 a474797065 02 a464617461 92a46563686f01', /* no nsp */
      '83 a474797065 05 a464617461 92a46563686f01 a36e7370 a12f',
      '83 a474797065 02 a464617461 90 a36e7370 a12f',
      '83 a474797065 02 a464617461 91c0 a36e7370 a12f',
      '83 a474797065 02 a464617461 92a46563686f01 a36e7370 a12f 00',
      '83 a474797065 02 a464617461 92a46563686f',
      '83 a474797065 02 a464617461 dd7fffffff a36e7370 a12f',
      '83 a474797065 02 a464617461 91a7636f6e6e656374 a36e7370 a12f',
      '84 a474797065 02 a464617461 92a46563686f01 a36e7370 a12f a26964 ff',
      '83 a474797065 02 a464617461 ' + '91'.repeat(2000) +
        'c0 a36e7370 a12f']) {
      const wire = await joinPacked();
      wire.send(hex(bytes));
      await wire.end().catch((error) => {
        throw new Error(bytes.slice(0, 80), {cause: error});
      });
    }
  });

  test('who began with one parser stays with it', async () => {
    const packed = await joinPacked();
    const plain = await join(server);

    packed.send('42["echo",1]');
    await packed.end();
    plain.send(connect);
    await plain.end();
  });

  test('parsers of two clients meet in a room', async () => {
    const packed = await joinPacked();
    const plain = await join(server);

    plain.send(`421${JSON.stringify(['emit', {name: 'hi', args: [1],
      sids: [packed.sid, plain.sid]}])}`);
    assert.deepEqual(await packed.next(),
      hex('83 a474797065 02 a464617461 92a2686901 a36e7370 a12f'));
    assert.equal(await plain.next(), '42["hi",1]');
  });
});
