/*
 * engineio_raw.test.mjs - Engine.IO v4 byte by byte: each answer of its HTTP
 * side with status, headers and body, the heartbeat, the upgrade, and what
 * ends a session.
 */
import assert from 'node:assert/strict';
import {once} from 'node:events';
import http from 'node:http';
import net from 'node:net';
import {after, afterEach, before, describe, test} from 'node:test';
import {Wire, fetchRaw, hangUpWires, sleep, startServer, within}
  from './servers.mjs';

const max = 5000;
let server, strict;

before(async () => {
  server = await startServer('suite_server', {flags: ['--ping-interval', 300,
    '--ping-timeout', 200, '--max-payload', max]});
  strict = await startServer('events_server', {flags: ['--upgrade_ms', 300,
    '--origin', 'http://good.example']});
});

after(async () => {
  await server.stop();
  await strict.stop();
});

afterEach(hangUpWires);

const base = '/engine.io/?EIO=4&transport=';
const polling = (sid, more = '') => base + 'polling' +
  (sid ? '&sid=' + sid : '') + more;
const websocket = (sid, more = '') => server.ws + base + 'websocket' +
  (sid ? '&sid=' + sid : '') + more;
const get = (target, options) => fetchRaw(server, target, options);
const post = (sid, body, options) => fetchRaw(server, polling(sid),
  {method: 'POST', headers: {'Content-Type': 'text/plain;charset=UTF-8'},
    body, ...options});
const upgradeHeaders = {'Connection': 'Upgrade', 'Upgrade': 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='};

async function openPolling() {
  const reply = await get(polling());

  assert.equal(reply.status, 200);
  assert.equal(reply.body[0], '0');
  return JSON.parse(reply.body.slice(1)).sid;
}

async function openWebSocket(more) {
  const wire = await Wire.open(websocket(undefined, more));

  wire.handshake = JSON.parse((await wire.next()).slice(1));
  return wire;
}

async function upgrade(sid) {
  const wire = await Wire.open(websocket(sid));

  wire.send('2probe');
  assert.equal(await wire.next(), '3probe');
  wire.send('5');
  return wire;
}

function assertError(reply, code, message, status = 400) {
  assert.equal(reply.status, status);
  assert.equal(reply.body, JSON.stringify({code, message}));
  assert.match(reply.headers['content-type'], /^application\/json/);
}

const gone = async (sid) =>
  assertError(await get(polling(sid)), 1, 'Session ID unknown');

describe('handshake', () => {
  test('the open packet of polling, key by key', async () => {
    const reply = await get(polling());
    const {sid, ...rest} = JSON.parse(reply.body.slice(1));

    assert.equal(reply.status, 200);
    assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
    assert.equal(reply.body, '0' + JSON.stringify({sid,
      upgrades: ['websocket'], pingInterval: 300, pingTimeout: 200,
      maxPayload: max}));
    assert.equal(Object.keys(rest).length, 4);
    assert.equal(reply.headers['content-type'].toLowerCase(),
      'text/plain; charset=utf-8');
    assert.equal(reply.headers['content-length'], String(reply.body.length));
    assert.equal(reply.headers['cache-control'], 'no-store');
  });

  test('the open packet of WebSocket offers no upgrade', async () => {
    const wire = await Wire.open(websocket());
    const text = await wire.next();
    const {sid} = JSON.parse(text.slice(1));

    assert.equal(text, '0' + JSON.stringify({sid, upgrades: [],
      pingInterval: 300, pingTimeout: 200, maxPayload: max}));
  });

  test('no two sessions have the same id', async () => {
    const sids = new Set();

    for (let i = 0; i < 50; i++)
      sids.add(await openPolling());
    assert.equal(sids.size, 50);
  });

  test('a request that is none is told why', async () => {
    for (const bad of ['', 'transport=abc', 'transport=', 'transport=Polling',
      'transport=__proto__'])
      assertError(await get('/engine.io/?EIO=4&' + bad), 0,
        'Transport unknown');
    for (const sid of ['nope', 'A'.repeat(20), 'A'.repeat(1000), '%00'])
      for (const method of ['GET', 'POST'])
        assertError(await get(polling(sid), {method}), 1,
          'Session ID unknown');
    assertError(await get(polling(), {method: 'POST', body: '4a'}), 2,
      'Bad handshake method');
    assertError(await get(base + 'websocket'), 3, 'Bad request');
    for (const version of ['', 'EIO=3&', 'EIO=abc&', 'EIO=44&', 'EIO=&'])
      assertError(await get('/engine.io/?' + version + 'transport=polling'),
        5, 'Unsupported protocol version');
  });

  test('the transport is checked before the version', async () => {
    assertError(await get('/engine.io/?EIO=3&transport=x'), 0,
      'Transport unknown');
  });

  test('PUT and its like open nothing', async () => {
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      const reply = await get(polling(), {method});
      assert.ok(reply.status === 400 || reply.status === 405, method);
    }
  });

  test('a WebSocket that may not be is refused before it is one',
    async () => {
      const cases = [
        ['/engine.io/?EIO=4&transport=abc', 'Transport unknown'],
        ['/engine.io/?EIO=4', 'Transport unknown'],
        [base + 'websocket&sid=nope', 'Session ID unknown'],
        ['/engine.io/?EIO=3&transport=websocket',
          'Unsupported protocol version'],
        ['/engine.io/?transport=websocket', 'Unsupported protocol version']];

      for (const [target, message] of cases) {
        const reply = await get(target, {headers: upgradeHeaders});
        assert.equal(reply.status, 400, target);
        assert.ok(reply.body.includes(message), target + ': ' + reply.body);
        assert.equal(reply.headers.connection?.toLowerCase(), 'close');
      }
    });

  test('a session of one path is unknown at another', async () => {
    const sid = await openPolling();

    assertError(await get('/socket.io/?EIO=4&transport=polling&sid=' + sid),
      1, 'Session ID unknown');
    await post(sid, '4still here');
    assert.equal((await get(polling(sid))).body, '4still here');
  });

  test('a session of polling is none for a WebSocket without upgrade',
    async () => {
      const sid = await openPolling();

      assertError(await get(base + 'websocket&sid=' + sid), 3, 'Bad request');
    });
});

describe('polling', () => {
  test('the answer to a POST', async () => {
    const reply = await post(await openPolling(), '4hello');

    assert.equal(reply.status, 200);
    assert.equal(reply.body, 'ok');
    assert.match(reply.headers['content-type'], /^text\/html/);
    assert.equal(reply.headers['content-length'], '2');
  });

  test('what is queued leaves as one payload, in order', async () => {
    const sid = await openPolling();

    await post(sid, '4a\x1e4ä€😀\x1ebAQID\x1e4');
    await post(sid, 'bAA==\x1e4z');
    const reply = await get(polling(sid));
    assert.equal(reply.body, '4a\x1e4ä€😀\x1ebAQID\x1e4\x1ebAA==\x1e4z');
    assert.equal(reply.headers['cache-control'], 'no-store');
    assert.equal(reply.headers['content-type'].toLowerCase(),
      'text/plain; charset=utf-8');
    assert.equal(reply.headers['content-length'],
      String(Buffer.byteLength(reply.body)));
  });

  test('a poll that waits is answered when there is something', async () => {
    const sid = await openPolling();
    const poll = get(polling(sid));

    await sleep(50);
    await post(sid, '4now');
    assert.equal((await poll).body, '4now');
  });

  test('one kept-alive connection carries many requests', async () => {
    const agent = new http.Agent({keepAlive: true, maxSockets: 1});
    const sid = await openPolling();

    for (let i = 0; i < 20; i++) {
      assert.equal((await post(sid, '4' + i, {agent})).body, 'ok');
      assert.equal((await get(polling(sid), {agent})).body, '4' + i);
    }
    agent.destroy();
  });

  test('a body of maxPayload passes, one byte more is 413', async () => {
    const sid = await openPolling();

    assert.equal((await post(sid, '4' + 'x'.repeat(max - 1))).status, 200);
    assert.equal((await get(polling(sid))).body.length, max);
    const reply = await post(sid, '4' + 'x'.repeat(max));
    assert.equal(reply.status, 413);
    assert.equal(JSON.parse(reply.body).error.status, 413);
    await post(sid, '4the session lives');
    assert.equal((await get(polling(sid))).body, '4the session lives');
  });

  test('a chunked body is counted too', async () => {
    const sid = await openPolling();
    const send = (parts) => within(new Promise((resolve, reject) => {
      const request = http.request({host: '127.0.0.1', port: server.port,
        path: polling(sid), method: 'POST', agent: false}, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      });
      request.on('error', reject);
      for (const part of parts)
        request.write(part);
      request.end();
    }), 'POST');

    assert.equal(await send(['4', 'a', 'b', 'c']), 200);
    assert.equal((await get(polling(sid))).body, '4abc');
    assert.equal(await send(['4', 'x'.repeat(max - 1)]), 200);
    assert.equal((await get(polling(sid))).body.length, max);
    assert.equal(await send(['4', 'x'.repeat(max)]), 413);
  });

  test('a second poll ends the session', async () => {
    const sid = await openPolling();
    const first = get(polling(sid));

    await sleep(20);
    const second = await get(polling(sid));
    assert.equal(second.status, 400);
    assert.equal(second.body, '');
    assert.equal((await first).body, '1');
    await gone(sid);
  });

  /* A POST that is not whole is none yet: only a whole one overlaps. */
  test('a POST that is never whole holds nobody up', async () => {
    const sid = await openPolling();
    const first = net.connect(server.port, '127.0.0.1');

    first.on('error', () => {});
    first.write(`POST ${polling(sid)} HTTP/1.1\r\nHost: x\r\n` +
      'Content-Length: 10\r\n\r\n4');
    await sleep(50);
    assert.equal((await post(sid, '4b')).status, 200);
    assert.equal((await get(polling(sid))).body, '4b');
    first.destroy();
  });

  test('a poll that is given up ends the session', async () => {
    const sid = await openPolling();
    const poll = http.get({host: '127.0.0.1', port: server.port,
      path: polling(sid), agent: false});

    poll.on('error', () => {});
    await sleep(50);
    poll.destroy();
    await sleep(50);
    await gone(sid);
  });

  test('POST 1 ends the session, a waiting poll gets 6', async () => {
    const sid = await openPolling();
    const poll = get(polling(sid));

    await sleep(20);
    assert.equal((await post(sid, '1')).body, 'ok');
    assert.equal((await poll).body, '6');
    await gone(sid);
  });

  test('what is no packet ends the session', async () => {
    for (const body of ['abc', '9', '', '\x1e', '4a\x1e', 'b!!!',
      '4a\x1ex\x1e4b']) {
      const sid = await openPolling();
      const reply = await post(sid, body);
      assert.ok([200, 400].includes(reply.status), JSON.stringify(body));
      await gone(sid);
    }
  });

  test('a ping from the client ends the session', async () => {
    const sid = await openPolling();

    await post(sid, '2');
    await gone(sid);
  });

  test('raw bytes are of another age', async () => {
    const sid = await openPolling();
    const reply = await post(sid, '4a',
      {headers: {'Content-Type': 'application/octet-stream'}});

    assert.equal(reply.status, 400);
    await gone(sid);
  });

  test('requests behind a poll on its connection wait for it', async () => {
    const sid = await openPolling();
    const socket = net.connect(server.port, '127.0.0.1');
    let text = '';

    socket.on('data', (bytes) => { text += bytes; });
    socket.write(`GET ${polling(sid)} HTTP/1.1\r\nHost: x\r\n\r\n` +
      `POST ${polling(sid)} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n` +
      `\r\n4b`);
    await sleep(100);
    assert.equal(text, '');
    await post(sid, '4a');
    await sleep(100);
    assert.match(text, /\r\n\r\n4aHTTP\/1.1 200 .*\r\n\r\nok$/s);
    assert.equal((await get(polling(sid))).body, '4b');
    socket.destroy();
  });

  test('HEAD takes nothing away', async () => {
    const sid = await openPolling();

    await post(sid, '4a');
    const reply = await get(polling(sid), {method: 'HEAD'});
    assert.ok(reply.status >= 400);
    assert.equal(reply.body, '');
    assert.equal((await get(polling(sid))).body, '4a');
  });

  test('other methods are refused, the session stays', async () => {
    const sid = await openPolling();

    for (const method of ['PUT', 'DELETE', 'PATCH'])
      assert.equal((await get(polling(sid), {method})).status, 405, method);
    await post(sid, '4a');
    assert.equal((await get(polling(sid))).body, '4a');
  });
});

describe('WebSocket', () => {
  test('text and binary come back in their kind', async () => {
    const wire = await openWebSocket();

    wire.send('4', '4ä€😀', Buffer.from([0, 1, 2, 255]), '4end');
    assert.equal(await wire.nextEvent(), '4');
    assert.equal(await wire.nextEvent(), '4ä€😀');
    assert.deepEqual(await wire.nextEvent(), Buffer.from([0, 1, 2, 255]));
    assert.equal(await wire.nextEvent(), '4end');
  });

  test('strays are ignored', async () => {
    const wire = await openWebSocket();

    wire.send('5', '6', '0', '4a');
    assert.equal(await wire.nextEvent(), '4a');
  });

  test('what is no packet ends the session', async () => {
    for (const text of ['abc', '', '9', '7', 'x']) {
      const wire = await openWebSocket();
      wire.send(text);
      await wire.end();
      await gone(wire.handshake.sid);
    }
  });

  test('a ping from the client ends the session', async () => {
    const wire = await openWebSocket();

    wire.send('2');
    await wire.end();
    await gone(wire.handshake.sid);
  });

  test('1 ends the session', async () => {
    const wire = await openWebSocket();

    wire.send('1');
    await wire.end();
  });

  test('a message of maxPayload passes, a longer one is 1009', async () => {
    const wire = await openWebSocket();

    wire.send('4' + 'x'.repeat(max - 1));
    assert.equal((await wire.nextEvent()).length, max);
    wire.send('4' + 'x'.repeat(max));
    assert.equal((await wire.end()).code, 1009);
    await gone(wire.handshake.sid);
  });

  test('its session takes no polling', async () => {
    const wire = await openWebSocket();

    assertError(await get(polling(wire.handshake.sid)), 3, 'Bad request');
    assertError(await post(wire.handshake.sid, '4a'), 3, 'Bad request');
    wire.send('4b');
    assert.equal(await wire.nextEvent(), '4b');
  });

  test('a WebSocket with transport=polling does not stay', async () => {
    for (const more of ['', '&sid=' + await openPolling()]) {
      const wire = new Wire(server.ws + base + 'polling' + more);
      await within(Promise.race([wire.closed, wire.refused]), 'the end');
    }
  });
});

describe('heartbeat', () => {
  test('pings come on both transports, pongs keep the session', async () => {
    const sid = await openPolling();
    const wire = await openWebSocket();

    for (let i = 0; i < 3; i++) {
      const start = Date.now();
      assert.equal((await get(polling(sid))).body, '2');
      const took = Date.now() - start;
      assert.ok(took > 150 && took < 1500, `${took} ms`);
      await post(sid, '3');
      assert.equal(await wire.next(), '2');
      wire.send('3');
    }
  });

  test('without a pong the session ends', async () => {
    const sid = await openPolling();
    const wire = await openWebSocket();
    const start = Date.now();

    await wire.end();
    const took = Date.now() - start;
    assert.ok(took > 450 && took < 2000, `${took} ms`);
    await gone(sid);
  });

  test('messages are no pongs', async () => {
    const wire = await openWebSocket();
    const timer = setInterval(() => wire.send('4a'), 50);
    const start = Date.now();

    await wire.end();
    clearInterval(timer);
    assert.ok(Date.now() - start < 2000);
  });

  test('pings go on after the upgrade', async () => {
    const sid = await openPolling();
    const wire = await upgrade(sid);

    for (let i = 0; i < 3; i++) {
      assert.equal(await wire.next(1000), '2');
      wire.send('3');
    }
    wire.send('4alive');
    assert.equal(await wire.nextEvent(), '4alive');
  });

  test('an upgraded session without pongs ends', async () => {
    const wire = await upgrade(await openPolling());

    assert.equal(await wire.next(1000), '2');
    await wire.end();
  });
});

describe('upgrade', () => {
  test('a poll that waits is released by 6', async () => {
    const sid = await openPolling();
    const poll = get(polling(sid));
    const wire = await Wire.open(websocket(sid));

    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    assert.equal((await poll).body, '6');
    assert.equal((await get(polling(sid))).body, '6');
    wire.send('5', '4a');
    assert.equal(await wire.nextEvent(), '4a');
  });

  test('until 5 the old transport counts', async () => {
    const sid = await openPolling();
    const wire = await Wire.open(websocket(sid));

    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    assert.equal((await post(sid, '4one')).body, 'ok');
    assert.equal((await get(polling(sid))).body, '4one');
    assert.equal((await post(sid, '4two\x1ebAQ==')).body, 'ok');
    wire.send('5');
    assert.equal(await wire.next(), '4two');
    assert.deepEqual(await wire.next(), Buffer.from([1]));
  });

  test('after 5 polling is over', async () => {
    const sid = await openPolling();
    const wire = await upgrade(sid);

    wire.send('4a');
    assert.equal(await wire.next(), '4a');
    assertError(await get(polling(sid)), 3, 'Bad request');
    assertError(await post(sid, '4b'), 3, 'Bad request');
    wire.send('4c');
    assert.equal(await wire.nextEvent(), '4c');
  });

  test('a second WebSocket does not stay', async () => {
    const sid = await openPolling();
    const probing = await Wire.open(websocket(sid));

    probing.send('2probe');
    assert.equal(await probing.next(), '3probe');
    const rival = new Wire(websocket(sid));
    await within(Promise.race([rival.closed, rival.refused]), 'the end');
    probing.send('5', '4a');
    assert.equal(await probing.next(), '4a');
    const late = new Wire(websocket(sid));
    await within(Promise.race([late.closed, late.refused]), 'the end');
    probing.send('4b');
    assert.equal(await probing.nextEvent(), '4b');
  });

  test('a WebSocket that does not probe is closed, the session stays',
    async () => {
      for (const first of ['4a', '2', 'x', Buffer.from([1])]) {
        const sid = await openPolling();
        const wire = await Wire.open(websocket(sid));
        wire.send(first);
        await wire.end();
        await post(sid, '4here');
        assert.equal((await get(polling(sid))).body, '4here');
      }
    });

  test('a probe that breaks off leaves the session', async () => {
    const sid = await openPolling();
    const wire = await Wire.open(websocket(sid));

    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    wire.socket.terminate();
    await sleep(50);
    await post(sid, '4here');
    assert.equal((await get(polling(sid))).body, '4here');
    const again = await upgrade(sid);
    again.send('4there');
    assert.equal(await again.nextEvent(), '4there');
  });

  test('without 5 the WebSocket is closed in time, the session stays',
    async () => {
      const path = '/socket.io/?EIO=4&transport=';
      const open = await fetchRaw(strict, path + 'polling');
      const {sid} = JSON.parse(open.body.slice(1));
      const wire = await Wire.open(strict.ws + path + 'websocket&sid=' + sid);
      const start = Date.now();

      wire.send('2probe');
      assert.equal(await wire.next(), '3probe');
      await wire.end();
      const took = Date.now() - start;
      assert.ok(took > 200 && took < 2000, `${took} ms`);
      const poll = () => fetchRaw(strict, path + 'polling&sid=' + sid);
      await fetchRaw(strict, path + 'polling&sid=' + sid,
        {method: 'POST', body: '40'});
      assert.match((await poll()).body, /^40\{"sid":"[^"]{20}"\}$/);
    });
});

describe('CORS', () => {
  const origin = 'http://page.example';

  test('every answer has it, errors too', async () => {
    const sid = await openPolling();
    const headers = {Origin: origin};
    const replies = [
      await get(polling(), {headers}),
      await post(sid, '4a', {headers}),
      await get(polling(sid), {headers}),
      await get('/engine.io/?EIO=4&transport=x', {headers}),
      await get(polling('nope'), {headers}),
      await get(polling(), {method: 'POST', headers}),
      await get(base + 'websocket', {headers}),
      await get('/engine.io/?EIO=3&transport=polling', {headers}),
      await post(sid, '4' + 'x'.repeat(max), {headers})];

    for (const reply of replies)
      assert.ok(['*', origin].includes(
        reply.headers['access-control-allow-origin']), String(reply.status));
  });

  test('a preflight is answered', async () => {
    const reply = await get(polling(), {method: 'OPTIONS', headers: {
      'Origin': origin, 'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'content-type,x-mine'}});

    assert.equal(reply.status, 204);
    assert.equal(reply.body, '');
    assert.ok(['*', origin].includes(
      reply.headers['access-control-allow-origin']));
    for (const method of ['GET', 'POST'])
      assert.ok(reply.headers['access-control-allow-methods']
        .split(/, */).includes(method));
    assert.equal(reply.headers['access-control-allow-headers'],
      'content-type,x-mine');
    assert.match(reply.headers.vary, /Access-Control-Request-Headers/i);
  });

  test('a listed origin is echoed, with credentials', async () => {
    const target = '/socket.io/?EIO=4&transport=';
    const headers = {Origin: 'http://good.example'};
    const reply = await fetchRaw(strict, target + 'polling', {headers});

    assert.equal(reply.status, 200);
    assert.equal(reply.headers['access-control-allow-origin'],
      'http://good.example');
    assert.equal(reply.headers['access-control-allow-credentials'], 'true');
    assert.match(reply.headers.vary, /Origin/i);
    assert.equal((await fetchRaw(strict, target + 'websocket',
      {headers: {...headers, ...upgradeHeaders}})).status, 101);
  });

  test('an origin that is not listed is refused, by WebSocket too',
    async () => {
      const target = '/socket.io/?EIO=4&transport=';
      const headers = {Origin: 'http://evil.example'};
      const reply = await fetchRaw(strict, target + 'polling', {headers});

      assertError(reply, 4, 'Forbidden', 403);
      assert.notEqual(reply.headers['access-control-allow-origin'],
        'http://evil.example');
      const upgraded = await fetchRaw(strict, target + 'websocket',
        {headers: {...headers, ...upgradeHeaders}});
      assert.equal(upgraded.status, 403);
      for (const near of ['http://good.example.evil.example', 'null',
        'https://good.example', 'http://good.example:81'])
        assert.equal((await fetchRaw(strict, target + 'polling',
          {headers: {Origin: near}})).status, 403, near);
    });

  test('a session that began elsewhere is no way around the list',
    async () => {
      const target = '/socket.io/?EIO=4&transport=';
      const open = await fetchRaw(strict, target + 'polling');
      const {sid} = JSON.parse(open.body.slice(1));
      const headers = {Origin: 'http://evil.example', ...upgradeHeaders};

      assert.equal((await fetchRaw(strict, target + 'websocket&sid=' + sid,
        {headers})).status, 403);
    });
});
