/*
 * socketio_seed.test.mjs - the chat of every tutorial, with stock clients
 * that nothing was changed for: a token in auth, a room per user, messages
 * that are kept, typing, presence, notifications, and a log of all events.
 */
import assert from 'node:assert/strict';
import {createHmac} from 'node:crypto';
import {after, afterEach, before, test} from 'node:test';
import {ask, connect, dial, hangUp, next, startServer, until}
  from './servers.mjs';

const secret = 'a secret of the seed server';
let server;

/* What a login page would hand out. */
function makeToken(sub, more = {}, key = secret) {
  const body = Buffer.from(JSON.stringify({sub, ...more}))
    .toString('base64url');
  const mac = createHmac('sha256', key).update(body).digest('base64url');

  return body + '.' + mac;
}

const soon = () => Math.floor(Date.now() / 1000) + 60;
const enter = (user) => connect(server,
  {auth: {token: makeToken(user, {exp: soon()})}});

before(async () => {
  server = await startServer('seed_server');
});

after(async () => {
  await server.stop();
});

afterEach(hangUp);

test('only a good token opens', async () => {
  const forged = makeToken('ann').replace(/^[^.]+/,
    makeToken('eve').split('.')[0]);

  for (const token of ['', 'x', '.', 'a.b', forged,
    makeToken('ann', {}, 'some other secret'),
    makeToken('ann', {exp: Math.floor(Date.now() / 1000) - 1}),
    makeToken('ann').slice(0, -1), makeToken('ann') + 'A',
    'x'.repeat(5000) + '.y']) {
    const socket = dial(server, {auth: {token}});
    const [error] = await next(socket, 'connect_error');
    assert.ok(error.message.length > 0);
    assert.equal(socket.active, false, 'it was the namespace that refused');
  }
  const nobody = dial(server);
  await next(nobody, 'connect_error');
  await enter('ann');
});

test('the whole of it', async () => {
  const ann = await enter('ann');
  const come = next(ann, 'presence:update');
  const ben = await enter('ben');
  const here = Date.now();

  assert.deepEqual((await come)[0], {user: 'ben', status: 'online'});
  assert.deepEqual(await ask(ann, 'chat:join', 'lobby'), []);
  assert.deepEqual(await ask(ben, 'chat:join', 'lobby'), []);

  const heard = [ann, ben].map((socket) => next(socket, 'chat:message'));
  const id = await ask(ann, 'chat:message', {room: 'lobby', text: 'Hello ä'});
  for (const [message] of await Promise.all(heard)) {
    const {at, ...rest} = message;
    assert.deepEqual(rest, {id, from: 'ann', room: 'lobby', text: 'Hello ä'});
    assert.ok(Math.abs(at - here) < 60000, String(at));
  }

  let own = 0;
  ann.on('chat:typing', () => own++);
  const typing = next(ben, 'chat:typing');
  ann.emit('chat:typing', {room: 'lobby', typing: true});
  assert.deepEqual((await typing)[0], {from: 'ann', typing: true});

  const away = [ann, ben].map((socket) => next(socket, 'presence:update'));
  ben.emit('presence:update', {status: 'away'});
  for (const [update] of await Promise.all(away))
    assert.deepEqual(update, {user: 'ben', status: 'away'});
  assert.equal(own, 0, 'who types does not hear of it');

  const cid = await enter('cid');
  const kept = await ask(cid, 'chat:join', 'lobby');
  assert.deepEqual(kept.map((message) => message.text), ['Hello ä']);

  const tabs = [ben, await enter('ben')];
  const notes = tabs.map((socket) => next(socket, 'notification'));
  cid.emit('notify', {user: 'ben', text: 'psst'});
  for (const [note] of await Promise.all(notes))
    assert.deepEqual(note, {from: 'cid', text: 'psst'});

  const left = next(ann, 'user:left');
  cid.disconnect();
  assert.deepEqual((await left)[0],
    {user: 'cid', status: 'client namespace disconnect'});

  const refused = await ask(ben, 'chat:message', {room: 'elsewhere',
    text: 'x'});
  assert.equal(refused.error.code, 'room');
  ben.emit('nobody listens to this');
  await ask(ben, 'history');
  const log = (await ask(ben, 'history')).split(',');
  for (const name of ['chat:join', 'chat:message', 'chat:typing',
    'presence:update', 'notify', 'nobody listens to this', 'history'])
    assert.ok(log.includes(name), name);
});

test('a client that lost its line comes back to its room', async () => {
  const ann = await enter('ann');
  const ben = await connect(server, {reconnection: true, reconnectionDelay: 50,
    auth: {token: makeToken('ben', {exp: soon()})}});
  const left = next(ann, 'user:left');

  ben.on('connect', () => ben.emit('chat:join', 'hall'));
  await ask(ann, 'chat:join', 'hall');
  ben.io.engine.close();
  const [{user, status}] = await left;
  assert.deepEqual([user, status], ['ben', 'transport close']);
  await until(() => ben.connected, 'ben again');
  await ask(ben, 'history');
  const heard = next(ben, 'chat:message');
  await ask(ann, 'chat:message', {room: 'hall', text: 'welcome back'});
  assert.equal((await heard)[0].text, 'welcome back');
});
