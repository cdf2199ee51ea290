/*
 * parsers.test.mjs - rill's readers beside those of npm engine.io-parser,
 * socket.io-parser and socket.io-msgpack-parser, on the same bytes: packets
 * that a seed determines, and the same with something changed.  Both have to
 * come to the same verdict and the same content; what rill writes to say the
 * same has to be the same to npm.
 *
 * Where rill is stricter on purpose, `intended` below says when; nothing else
 * may differ.
 *
 * RILL_CASES is the number of packets of each kind, RILL_SEED their seed.
 */
import assert from 'node:assert/strict';
import {isUtf8} from 'node:buffer';
import {spawnSync} from 'node:child_process';
import path from 'node:path';
import {describe, test} from 'node:test';
import {decodePacket, decodePayload, encodePayload} from 'engine.io-parser';
import msgpack from 'notepack.io';
import msgpackParser from 'socket.io-msgpack-parser';
import * as textParser from 'socket.io-parser';
import {build} from './harness.mjs';

const cases = Number(process.env.RILL_CASES || 4000);
const seed = Number(process.env.RILL_SEED || 1);
const mostAttachments = 10, mostDepth = 32, mostNodes = 16384, mostKey = 1024;
const mostId = 2 ** 53, mostDigits = 64;

/* Chance, from a seed. */

class Dice {
  constructor(first) { this.state = first * 2654435761 >>> 0 || 1; }

  below(n) {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return Math.floor(this.state / 2 ** 32 * n);
  }

  one(list) { return list[this.below(list.length)]; }
  times(n, make) { return Array.from({length: this.below(n + 1)}, make); }
}

const names = ['message', 'chat:message', 'é', '😀', '', 'error', 'a b', '/',
  'connect', 'disconnect', 'connect_error', 'disconnecting', 'newListener',
  'removeListener', '[', '"', '\u0000', '_placeholder', 'constructor'];
const numbers = [0, 1, -1, 127, 128, -128, -129, 255, 256, 65535, 65536,
  2 ** 31, -(2 ** 31) - 1, 2 ** 32, 2 ** 53, -(2 ** 53), 2 ** 63, 2 ** 64,
  0.5, -0, 1e-7, 1e21, 1.7976931348623157e308, 5e-324, 123.456];
const spaces = ['/', '/admin', '/a/b', '/a?x=1', '/é', '/[', '/1'];

function makeString(dice) {
  return dice.below(3) ? dice.one(names)
    : dice.times(6, () => dice.one(['a', '9', 'ä', '€', '😀', '\n', '"', '\\',
      '\u007f', '{', ','])).join('');
}

function makeKey(dice) {
  return dice.below(8) ? dice.one(['a', 'b', 'é', 'num', '0', '10', 'type'])
    : makeString(dice);
}

const makeBytes = (dice) => Buffer.from(dice.times(5, () => dice.below(256)));

/* A value; |bytes|: with buffers in it. */
function makeValue(dice, depth, bytes) {
  switch (dice.below(depth > 0 ? 10 : 6)) {
    case 0: return dice.one(numbers);
    case 1: return dice.below(1000) - 500;
    case 2: return dice.one([null, true, false]);
    case 3: return bytes ? makeBytes(dice) : dice.below(2) / 4;
    case 4:
    case 5: return makeString(dice);
    case 6:
    case 7: return dice.times(4, () => makeValue(dice, depth - 1, bytes));
    default: return Object.fromEntries(dice.times(4,
      () => [makeKey(dice), makeValue(dice, depth - 1, bytes)]));
  }
}

function makePacket(dice, bytes) {
  const type = dice.one([0, 0, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4]);
  const packet = {type, nsp: dice.one(spaces)};
  const list = () => dice.times(4, () => makeValue(dice, 4, bytes));

  if (dice.below(3) === 0)
    packet.id = dice.one([0, 1, 7, 123456, 2 ** 32, 2 ** 53 - 1]);
  if (type === 0 && dice.below(2))
    packet.data = {[makeKey(dice)]: makeValue(dice, 2, false)};
  if (type === 2)
    packet.data = [dice.below(9) ? makeString(dice) : dice.one(numbers),
      ...list()];
  if (type === 3)
    packet.data = list();
  if (type === 4)
    packet.data = {message: makeString(dice)};
  return packet;
}

/* Something is taken out, put in, doubled or replaced; |parts| go in. */
function mutate(dice, text, parts) {
  for (let n = 1 + dice.below(3); n > 0; n--) {
    const at = dice.below(text.length + 1);
    const to = at + dice.below(4);
    const middle = dice.below(3) ? dice.one(parts) : '';
    text = dice.below(6) ? text.slice(0, at) + middle + text.slice(to)
      : text.slice(0, to) + text.slice(at);
  }
  /* as toWellFormed does, which Node 18 lacks */
  return Buffer.from(text).toString();
}

function mutateBytes(dice, bytes) {
  const out = Buffer.from(bytes);

  for (let n = 1 + dice.below(2); n > 0 && out.length > 0; n--)
    out[dice.below(out.length)] = dice.below(4) ? dice.below(256)
      : dice.one([0xc0, 0xc2, 0xd4, 0xd7, 0xff, 0x80, 0x90, 0xa0, 0x81]);
  return dice.below(5) ? out : out.subarray(0, dice.below(out.length + 1));
}

/* The other side. */

function u32(n) {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
}

function askAll(questions) {
  const input = Buffer.concat(questions.flatMap(({letter, parts}) => [
    Buffer.from(letter), u32(parts.length),
    ...parts.map((part) => Buffer.from(part))
      .flatMap((part) => [u32(part.length), part])]));
  const {status, signal, stdout, error} = spawnSync(
    path.join(build, 'tests/interop/parse_tool'), [],
    {input, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'inherit']});

  assert.ifError(error);
  assert.equal(status ?? signal, 0);
  const answers = stdout.toString('latin1').split('\n');
  assert.equal(answers.pop(), '');
  assert.equal(answers.length, questions.length);
  return answers;
}

const isBytes = (value) =>
  Buffer.isBuffer(value) || value instanceof ArrayBuffer;

const hex = (text) => Buffer.from(text).toString('hex');

/* As print_value of parse_tool.c has it. */
function tellValue(value) {
  if (value instanceof Date)
    value = value.getTime();
  if (value === null || value === undefined)
    return 'n';
  if (typeof value === 'boolean')
    return value ? 't' : 'f';
  if (typeof value === 'string')
    return 's' + hex(value);
  if (typeof value === 'number') {
    const b = Buffer.alloc(8);
    b.writeDoubleBE(value + 0 || 0);
    return Number.isFinite(value) ? 'd' + b.toString('hex') : 'n';
  }
  if (isBytes(value))
    return 'b' + Buffer.from(value).toString('hex');
  if (Array.isArray(value))
    return `[${Array.from(value, (v) => tellValue(v) + ',').join('')}]`;
  return '{' + Object.keys(value)
    .map((key) => [Buffer.from(key), value[key]])
    .sort(([a], [b]) => Buffer.compare(a, b))
    .map(([key, v]) => key.toString('hex') + ':' + tellValue(v) + ',')
    .join('') + '}';
}

function tellPacket({type, nsp, id, data}) {
  return [type, hex(nsp), id === undefined ? '-'
    : Number.isInteger(id) ? BigInt(id) : id,
    data === undefined ? '-' : tellValue(data)].join(' ');
}

/* npm's verdict: {verdict, packet, error}; a packet may lack attachments. */
function decode(decoder, parts) {
  const found = [];

  decoder.on('decoded', (packet) => found.push(packet));
  try {
    for (const part of parts) {
      if (found.length > 0)
        return {verdict: 'excess', packet: found[0]};
      decoder.add(part);
    }
  } catch (error) {
    return {verdict: 'bad', error};
  }
  if (found.length === 0)
    return {verdict: 'incomplete', packet: decoder.reconstructor.reconPack};
  return {verdict: tellPacket(found[0]), packet: found[0]};
}

const decodeText = (parts, options) =>
  decode(new textParser.Decoder(options), parts);
const decodePacked = (bytes) => decode(new msgpackParser.Decoder(), [bytes]);

/* What a value has in it, of which rill bounds or refuses something. */
function look(value, depth = 0, seen = {depth: 0, nodes: 0, key: 0}) {
  seen.nodes++;
  if (typeof value !== 'object' || value === null || isBytes(value) ||
      value instanceof Date)
    return seen;
  seen.depth = Math.max(seen.depth, depth + 1);
  for (const [key, inner] of Object.entries(value)) {
    if (!Array.isArray(value)) {
      seen.nodes++;
      seen.key = Math.max(seen.key, Buffer.byteLength(key));
    }
    look(inner, depth + 1, seen);
  }
  return seen;
}

function isBeyond(value) {
  const seen = look(value);
  return seen.depth > mostDepth || seen.nodes > mostNodes ||
    seen.key > mostKey;
}

const reserved = ['connect', 'connect_error', 'disconnect', 'disconnecting',
  'newListener', 'removeListener'];

/* What is between the namespace and the data. */
const idOf = (text) => text.replace(/^.([0-9]+-)?(\/[^,]*(,|$))?/, '')
  .replace(/[[{].*$/s, '');

/* Where rill refuses and npm does not, one of these has to hold. */
const intended = {
  s: {
    'a type is a digit': ({text}) => /^(\s|$)/.test(text),
    'only a server sends CONNECT_ERROR': ({packet}) => packet.type === 4,
    'an event has a name, an ack a list': ({packet}) =>
      packet.type >= 2 && packet.data === undefined,
    'a number of attachments is digits': ({text}) =>
      /^[56]/.test(text) && !/^[56][0-9]+-/.test(text),
    'white space is no id': ({text}) => /\s/.test(idOf(text)),
    'an id is a whole number that JavaScript has': ({packet}) =>
      packet.id >= mostId,
    'half a surrogate pair is no character': ({text}) =>
      /\\u[dD][89a-fA-F]/.test(text.replaceAll(
        /\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}/g, '')),
    'a number has an end': ({text}) =>
      text.match(/[-+.0-9eE]+/g)?.some((n) => n.length > mostDigits),
    'a placeholder names an attachment by a whole number': ({text}) =>
      /"num":[0-9]+(\.|e-)/i.test(text),
    'what a later member replaces is looked at as well': ({text, answer}) =>
      answer === 'bad' && text.split('_placeholder').length > 2,
    'there is a limit': ({packet, text, answer}) => answer === 'limit' &&
      (isBeyond(packet.data) ||
       text.split('_placeholder').length - 1 > mostAttachments)
  },
  m: {
    'only a server sends CONNECT_ERROR': ({packet}) => packet.type === 4,
    'an event has a name that is not reserved': ({packet}) =>
      packet.type === 2 && !(Number.isFinite(packet.data[0]) ||
        typeof packet.data[0] === 'string' &&
        !reserved.includes(packet.data[0])),
    'a namespace is one that text could name': ({packet}) =>
      !/^\/[^,]*$/.test(packet.nsp),
    'an id is a whole number from 0 that JavaScript has': ({packet}) =>
      packet.id < 0 || packet.id >= mostId,
    'text is UTF-8': ({found}) => found.has('text'),
    'a key is text': ({found}) => found.has('key'),
    'an ext is one of notepack or a date': ({found}) => found.has('ext'),
    'no member is inherited': ({found}) => found.has('proto'),
    'there is a limit': ({packet, answer}) =>
      answer === 'limit' && isBeyond(packet)
  }
};

/*
 * Where both read it, but not as the same, or only rill does: a date is a
 * number, ext 0 in odd widths is bytes, ext -1 is a date, and a key named
 * __proto__ makes npm's object another one.
 */
const differs = {
  s: () => false,
  m: ({found}) => found.has('ext') || found.has('date') || found.has('proto')
};

/*
 * The features of MessagePack that npm's reader accepts in its own way.  It
 * stops where the bytes do.
 */
function walk(bytes) {
  const found = new Set();
  let at = 0;
  const number = (n) => { at += n; return bytes.readUIntBE(at - n, n); };
  const skip = (n) => { at += n; return bytes.subarray(at - n, at); };
  const text = (n) => {
    const s = skip(n);
    if (!isUtf8(s))
      found.add('text');
    return s.toString();
  };
  const ext = (n, fixed) => {
    const type = number(1);
    skip(n);
    if (type !== 0)
      found.add('ext');
    else if (fixed && n === 8)
      found.add('date');
    else if (fixed && n !== 1)
      found.add('ext');
  };
  const list = (n) => { for (; n > 0; n--) one(); };
  const map = (n) => {
    for (; n > 0; n--) {
      const key = one();
      if (typeof key !== 'string')
        found.add('key');
      if (key === '__proto__')
        found.add('proto');
      one();
    }
  };
  function one() {
    const c = number(1);
    if (c < 0x80 || c >= 0xe0 || [0xc0, 0xc2, 0xc3].includes(c)) return;
    if (c < 0x90) return map(c & 15);
    if (c < 0xa0) return list(c & 15);
    if (c < 0xc0) return text(c & 31);
    if (c <= 0xc6) return void skip(number(1 << c - 0xc4));
    if (c <= 0xc9) return ext(number(1 << c - 0xc7), false);
    if (c <= 0xcb) return void skip(c === 0xca ? 4 : 8);
    if (c <= 0xd3) return void skip(1 << (c & 3));
    if (c <= 0xd8) return ext(1 << c - 0xd4, true);
    if (c <= 0xdb) return text(number(1 << c - 0xd9));
    if (c <= 0xdd) return list(number(c === 0xdc ? 2 : 4));
    return map(number(c === 0xde ? 2 : 4));
  }
  try {
    one();
  } catch {
    found.add('end');
  }
  return found;
}

function mapValue(value, change) {
  if (Array.isArray(value))
    return value.map((inner) => mapValue(inner, change));
  if (Object.prototype.toString.call(value) !== '[object Object]')
    return change(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) =>
    [key, mapValue(change(inner, key), change)]));
}

/* Beside bytes, npm could not tell these from placeholders: false instead. */
const withoutMarks = (value) => mapValue(value, (inner, key) =>
  (key !== '_placeholder' || inner !== true) && inner);

/* CONNECT has no attachments, but text in their place. */
const withoutBytes = (value) => mapValue(value, (inner) => isBytes(inner)
  ? {$bytes: Buffer.from(inner).toString('base64')} : inner);

/* What rill writes to say the same, as text and as MessagePack. */
function checkAgain(packet, again, packed) {
  const expected = {...packet};

  /* a name that is a number has no place in what rill sends */
  if (packet.type === 2 && typeof packet.data[0] !== 'string')
    expected.type = 3;
  assert.equal(decodePacked(Buffer.from(packed, 'hex')).verdict,
    tellPacket(expected));
  const [text, ...rest] = again.split(',')
    .map((part) => Buffer.from(part, 'hex'));
  if (rest.length > 0)
    expected.data = withoutMarks(expected.data);
  if (packet.type === 0)
    expected.data = withoutBytes(expected.data);
  /* MessagePack has no limit of attachments; whether text may go is not here */
  assert.equal(decodeText([text.toString(), ...rest],
    {maxAttachments: Infinity}).verdict, tellPacket(expected),
  text.toString());
}

/* One question about a Socket.IO packet, with both answers. */
function judge(question, answer, counts) {
  const {letter, parts} = question;
  const reference = letter === 'm' ? decodePacked(parts[0])
    : decodeText(parts);
  const [mine, again, packed] = answer.split('\t');
  const about = {packet: reference.packet, text: parts[0], answer: mine,
    found: letter === 'm' ? walk(parts[0]) : null};

  if (mine === reference.verdict) {
    counts[again ? 'read' : 'refused']++;
    if (again)
      checkAgain(reference.packet, again, packed);
    return;
  }
  if (mine === 'limit' && reference.verdict === 'bad')
    return void counts.refused++;
  if (!['bad', 'limit'].includes(mine) && differs[letter](about))
    return void counts.differ++;
  const why = ['bad', 'limit'].includes(mine) && reference.packet &&
    Object.keys(intended[letter]).find((name) =>
      intended[letter][name](about));
  assert.ok(why, `${letter} ${JSON.stringify(parts.map(String))} ` +
    `${Buffer.from(parts[0]).toString('hex')}\n` +
    `rill: ${mine}\nnpm:  ${reference.verdict} ${reference.error ?? ''}`);
  counts.stricter[why] = (counts.stricter[why] ?? 0) + 1;
}

function judgeAll(questions, t) {
  const counts = {read: 0, refused: 0, differ: 0, stricter: {}};
  const answers = askAll(questions);

  questions.forEach((question, i) => judge(question, answers[i], counts));
  t.diagnostic(JSON.stringify(counts));
  return counts;
}

/* Engine.IO. */

const typeDigit = {open: 0, close: 1, ping: 2, pong: 3, message: 4,
  upgrade: 5, noop: 6};

function tellPackets(packets) {
  const told = packets.filter(({type}) => type !== 'error')
    .map(({type, data}) => Buffer.isBuffer(data)
      ? `${typeDigit[type]}b${data.toString('hex')} `
      : `${typeDigit[type]}s${hex(data ?? '')} `);
  return [...told, packets.at(-1).type === 'error' ? 'bad' : 'end'];
}

const isBase64 = (text) => Buffer.from(text, 'base64').toString('base64') ===
  text;

/* rill takes base64 as the standard has it, and text that is UTF-8. */
function judgePayload({parts: [payload]}, answer, counts) {
  const npm = tellPackets(decodePayload(Buffer.from(payload).toString()));
  const mine = answer.split(/(?<= )/);

  if (mine.join('') === npm.join(''))
    return void counts.same++;
  const at = mine.length - 1;
  const text = Buffer.from(payload).toString('latin1').split('\x1e')[at];
  assert.equal(mine[at], 'bad', `${hex(payload)}: ${answer} ${npm.join('')}`);
  assert.deepEqual(mine.slice(0, at), npm.slice(0, at));
  assert.ok(text.startsWith('b') ? !isBase64(text.slice(1))
    : !isUtf8(Buffer.from(text, 'latin1')), hex(payload));
  counts.stricter++;
}

function makePayload(dice) {
  const packets = dice.times(4, () => dice.below(3)
    ? {type: dice.one(Object.keys(typeDigit)), data: makeString(dice)}
    : {type: 'message', data: makeBytes(dice)});
  let text;

  encodePayload(packets, (encoded) => { text = encoded; });
  return text ?? '';
}

describe('engine.io-parser', () => {
  const parts = ['\x1e', 'b', '4', '=', 'AQID', 'AQ==', '_', '7', '2probe',
    'é', '\n', '\x1e\x1e', 'bAQ'];

  test('reads the same payloads', (t) => {
    const dice = new Dice(seed);
    const questions = ['', '\x1e', '4', 'b', 'bAQID', 'bAQI', 'bAQI='].map(
      (text) => ({letter: 'p', parts: [text]}));
    const counts = {same: 0, stricter: 0};

    for (let i = 0; i < cases; i++) {
      const text = makePayload(dice);
      questions.push({letter: 'p', parts: [text]},
        {letter: 'p', parts: [mutate(dice, text, parts)]},
        {letter: 'p', parts: [mutateBytes(dice, Buffer.from(text))]});
    }
    askAll(questions).forEach((answer, i) =>
      judgePayload(questions[i], answer, counts));
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.same > 2 * cases && counts.stricter > 0);
  });

  test('reads the same messages, but base64 is for polling', () => {
    const dice = new Dice(seed + 1);
    const texts = ['', 'b', 'bAQID', ...Array.from({length: cases}, () =>
      mutate(dice, dice.one(['0{}', '1', '2probe', '4hello', '5', '6']),
        parts))];
    const answers = askAll(texts.map((text) => ({letter: 'w',
      parts: [text]})));

    texts.forEach((text, i) => assert.equal(answers[i],
      text.startsWith('b') ? 'bad'
        : tellPackets([decodePacket(text)]).join(''), text));
  });
});

/* Socket.IO. */

const place = (num) => `{"_placeholder":true,"num":${num}}`;
const pieces = ['[', ']', '{', '}', ',', '"', ':', '/', '-', '0', '1', '5',
  '51-', '1e', '.', ' ', '\n', '\\', '\\u', '\\ud800', '\\u0000', 'null',
  'true', '"a"', 'é', '/a,', '12', '9007199254740992', '99999999999999999999',
  '{}', '[]', '"connect"', place(0), place(1), place(-1), place('"0"'),
  place(0.5), place('null'), place('0.0'), place('-0'), '"_placeholder":true,',
  '"_placeholder":1,', '"num":0,'];

const question = (text, ...attachments) =>
  ({letter: 's', parts: [text, ...attachments]});

/* A packet as npm writes it, then with something changed. */
function makeQuestions(dice) {
  const [text, ...rest] = new textParser.Encoder().encode(
    makePacket(dice, dice.below(2) === 0));
  const other = mutate(dice, text, pieces);
  const count = Number(/^[56]([0-9]+)-/.exec(other)?.[1] ?? 0);
  const attachments = Array.from({length: Math.min(count, 12)},
    (_, i) => rest[i] ?? makeBytes(dice));

  if (dice.below(20) === 0)
    attachments.pop();
  if (dice.below(20) === 0)
    attachments.push(makeBytes(dice));
  return [question(text, ...rest), question(other, ...attachments)];
}

const one = Buffer.from([1]);
const att = (n) => Array(n).fill(one);

describe('socket.io-parser', () => {
  test('reads the same packets', (t) => {
    const dice = new Dice(seed + 2);
    const questions = Array.from({length: cases}, () => makeQuestions(dice));
    const counts = judgeAll(questions.flat(), t);

    assert.ok(counts.read > cases / 2 && counts.refused > cases / 10);
    assert.equal(counts.differ, 0);
  });

  test('has the same verdict on attachments', (t) => {
    const nums = [-1, 0, 1, 2, '"0"', '1e308', 'null', '-0', '1e0', '0.0',
      'true', '[]', '{}', '"x"', '4294967296', '-1e-400'];
    const list = (n, num) => `["b",${Array(n).fill(place(num)).join(',')}]`;
    const questions = [];

    for (const n of [1, 2, 10]) {
      for (const num of nums)
        questions.push(question(`5${n}-["b",${place(num)}]`, ...att(n)),
          question(`6${n}-[{"a":[[${place(num)}]]},1]`, ...att(n)));
      questions.push(question(`5${n}-["b"]`, ...att(n)),
        question(`5${n}-${list(n, 0)}`, ...att(n)),
        question(`5${n}-["b"]`, ...att(n - 1)),
        question(`5${n}-["b"]`, ...att(n + 1)));
    }
    for (const text of ['50-["b"]', '5["b"]', '5-["b"]', '511-["b"]', '5',
      '51', '51["b"]', '5-1-["b"]', '51-[]', '51-{}', '51-null', '5x-["b"]',
      '51--["b"]', '5999999999999999999999-["b"]', `51-[${place(0)}]`,
      `51-${place(0)}`, '51-["connect"]', '51-["b",{"_placeholder":1}]',
      '51-["b",{"_placeholder":false,"num":0}]', '51-["b",{"num":0}]',
      '51-["b",{"_placeholder":true}]', '61-0[{"_placeholder":"true"}]'])
      questions.push(question(text), question(text, one));
    for (const text of ['2["b"]', '3[]', '0', '1', `2["b",${place(0)}]`])
      questions.push(question(text, one), question(text));
    const counts = judgeAll(questions, t);
    assert.deepEqual(counts.stricter, {});
    assert.equal(counts.differ, 0);
  });

  test('has the same verdict on names', (t) => {
    const texts = [...names, 'connection', 'Connect', 'connect '].flatMap(
      (name) => [`2[${JSON.stringify(name)}]`, `3[${JSON.stringify(name)}]`]);
    const other = ['2[1]', '2[1.5]', '2[1e400]', '2[null]', '2[true]',
      '2[[]]', '2[{}]', '2[]', '2{}', '2null', '2"a"', '20', '2/a,[""]'];
    const counts = judgeAll([...texts, ...other].map((text) =>
      question(text)), t);

    assert.deepEqual(counts.stricter,
      {'an event has a name, an ack a list': 1}); /* of 20 */
  });

  test('is less strict than rill, as intended', (t) => {
    const examples = {
      'a type is a digit': [question(''), question(' '), question(' {}')],
      'only a server sends CONNECT_ERROR': [question('4{"message":"x"}')],
      'an event has a name, an ack a list': [question('2'), question('3/a,1'),
        question('51-', one)],
      'a number of attachments is digits': [question('51e0-["b"]', one),
        question('5 1-["b"]', one), question('5+1-["b"]', one),
        question('50x1-["b"]', one), question('51.0-["b"]', one)],
      'white space is no id': [question('2 ["b"]'), question('2\n1["b"]')],
      'an id is a whole number that JavaScript has':
        [question('29007199254740993["b"]'),
          question('299999999999999999999["b"]')],
      'half a surrogate pair is no character': [question('2["\\ud800"]'),
        question('2["b","\\udc00\\ud800"]')],
      'a number has an end': [question(`2["b",${'1'.repeat(65)}]`)],
      'a placeholder names an attachment by a whole number':
        [question(`52-["b",${place(0.5)}]`, one, one)],
      'what a later member replaces is looked at as well':
        [question(`51-["b",{"a":${place(1)},"a":${place(0)}}]`, one)],
      'there is a limit': [
        question('3' + '['.repeat(33) + ']'.repeat(33)),
        question(`0{"${'k'.repeat(1025)}":1}`),
        question(`3[${Array(16384).fill(1)}]`),
        question(`51-["b",${Array(11).fill(place(0))}]`, one)]
    };
    const at = [question('3' + '['.repeat(32) + ']'.repeat(32)),
      question(`0{"${'k'.repeat(1024)}":1}`),
      question(`3[${Array(16383).fill(1)}]`),
      question(`2["b",${'1'.repeat(64)}]`),
      question('29007199254740991["b"]'),
      question('2["\\ud83d\\ude00"]')];

    assert.deepEqual(Object.keys(examples), Object.keys(intended.s));
    for (const [why, questions] of Object.entries(examples))
      assert.deepEqual(judgeAll(questions, t).stricter,
        {[why]: questions.length});
    assert.equal(judgeAll(at, t).read, at.length);
  });
});

/* MessagePack. */

/* npm makes as much as is promised, up to 4 GiB, before it looks further. */
const isCostly = (bytes) => bytes.includes(0xc9) || bytes.includes(0xdd) ||
  bytes.includes(0xdf);

const packed = (value) => ({letter: 'm', parts: [msgpack.encode(value)]});
const raw = (text) => ({letter: 'm', parts: [Buffer.from(text, 'hex')]});

function makePacked(dice) {
  const packet = makePacket(dice, true);

  if (dice.below(4) === 0)
    packet.options = {compress: true};
  if (dice.below(4) === 0)
    packet.data ??= undefined;
  if (dice.below(8) === 0 && Array.isArray(packet.data))
    packet.data.push(new Uint8Array(makeBytes(dice)).buffer, undefined);
  if (dice.below(20) === 0)
    packet[dice.one(['type', 'nsp', 'id', 'data'])] = makeValue(dice, 2, true);
  return msgpack.encode(Object.fromEntries(Object.entries(packet)
    .sort(() => dice.below(2) - 0.5)));
}

describe('socket.io-msgpack-parser', () => {
  test('reads the same packets', (t) => {
    const dice = new Dice(seed + 3);
    const questions = Array.from({length: cases}, () => {
      const bytes = makePacked(dice);
      return [bytes, mutateBytes(dice, bytes), mutateBytes(dice, bytes)];
    }).flat().filter((bytes) => !isCostly(bytes))
      .map((bytes) => ({letter: 'm', parts: [bytes]}));
    const counts = judgeAll(questions, t);

    assert.ok(counts.read > cases / 2 && counts.refused > cases / 2);
  });

  test('writes bytes in ways that rill reads', (t) => {
    const event = (...args) => packed({type: 2, data: ['b', ...args],
      nsp: '/'});
    const questions = [0, 1, 2, 4, 8, 16, 255, 256, 65535, 65536].flatMap(
      (n) => [event(Buffer.alloc(n, 7)), event(new Uint8Array(n)),
        event(new Uint8Array(n).buffer)]);

    questions.push(event(undefined), event('x'.repeat(31)),
      event('x'.repeat(32)), event('x'.repeat(256)), event('x'.repeat(65536)),
      event(Array(15).fill(1)), event(Array(16).fill(1)),
      event(...numbers), packed({type: 0, data: undefined, nsp: '/'}),
      packed({type: 0, nsp: '/', id: undefined}));
    assert.equal(judgeAll(questions, t).read, questions.length);
  });

  test('is less strict than rill, as intended', (t) => {
    const event = (data, more) => packed({type: 2, nsp: '/', data, ...more});
    const head = '83a47479706503a36e7370a12fa464617461'; /* an ack's data */
    const examples = {
      'only a server sends CONNECT_ERROR':
        [packed({type: 4, nsp: '/', data: {message: 'x'}})],
      'an event has a name that is not reserved': [event([]), event([null]),
        event([true]), event([[]]), event(['connect']), event([one])],
      'a namespace is one that text could name': [packed({type: 0, nsp: ''}),
        packed({type: 0, nsp: 'admin'}), packed({type: 0, nsp: '/a,b'})],
      'an id is a whole number from 0 that JavaScript has':
        [event(['b'], {id: -1}), event(['b'], {id: 2 ** 60})],
      'text is UTF-8': [raw(head + '91a1ff'), raw(head + '91a3eda080')],
      'a key is text': [raw(head + '91810102'), raw(head + '9181c001')],
      'an ext is one of notepack or a date': [raw(head + '91d40100'),
        raw(head + '91c7010500')],
      'no member is inherited': [raw('82a95f5f70726f746f5f5f' +
        '82a47479706501a36e7370a12fa17800')],
      'there is a limit': [packed({type: 3, nsp: '/',
        data: JSON.parse('['.repeat(32) + ']'.repeat(32))}),
        packed({type: 3, nsp: '/', data: [{['k'.repeat(1025)]: 1}]})]
    };

    assert.deepEqual(Object.keys(examples), Object.keys(intended.m));
    for (const [why, questions] of Object.entries(examples)) {
      const counts = judgeAll(questions, t);
      assert.deepEqual(counts.stricter, {[why]: questions.length});
    }
  });

  test('has other ways with dates and ext', () => {
    const head = '83a47479706503a36e7370a12fa464617461';
    const values = ['d7000000018bcfe56800', 'd6ff00000001', 'd5000102'].map(
      (bytes) => raw(head + '91' + bytes));

    assert.deepEqual(askAll(values).map((answer) =>
      answer.split('\t')[0].split(' ')[3]),
    [tellValue([1700000000000]), tellValue([1000]),
      tellValue([Buffer.from([1, 2])])]);
  });
});
