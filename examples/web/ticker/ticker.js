/*
 * ticker.js - the dashboard.  EventSource keeps the connection: it comes
 * back by itself and says which event it saw last, so that the server can
 * send what came after.  Series keeps numbered values and knows whether one
 * is missing; Chart draws a series.
 */
'use strict';

const SYMBOLS = ['BROOK', 'CREEK', 'RIVER', 'DELTA'];
const PER_SECOND = 4;
const SPAN = 60 * PER_SECOND; /* values that a chart shows; */
const SPAN_MIN = 15 * PER_SECOND; /* it begins with fewer */
const RETRY = 3000; /* ms, where EventSource has given up */

const $ = (id) => document.getElementById(id);
const still = matchMedia('(prefers-reduced-motion: reduce)');

/* Values with numbers that count up by one. */
class Series {
  points = []; /* {n, value} */
  missed = 0;

  get last() {
    return this.points.at(-1);
  }

  add(n, value) {
    if (this.last && n <= this.last.n)
      return false;
    if (this.last)
      this.missed += n - this.last.n - 1;
    this.points.push({n, value});
    this.at = performance.now();
    while (this.points[0].n < n - SPAN - 1)
      this.points.shift();
    return true;
  }

  /* Values from before, the first of which has the number |n|. */
  prepend(n, values) {
    const end = this.points.length > 0 ? this.points[0].n : Infinity;
    const older = values.map((value, i) => ({n: n + i, value}));

    this.points.unshift(...older.filter((point) => point.n < end));
    this.at ??= performance.now();
  }

  clear() {
    this.points = [];
  }
}

/*
 * The newest value is near the right edge; between two of them the line
 * moves on.  |zero| has the scale begin there, and end where nine of ten
 * values are below: a burst is cut off there instead of flattening the rest.
 */
class Chart {
  #canvas;
  #context;
  #series;
  #options;
  #pointer = null;
  #low = 0;
  #high = 0;

  constructor(canvas, series, options) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#series = series;
    this.#options = options;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    canvas.onpointermove = (event) => {
      this.#pointer = event.offsetX;
    };
    canvas.onpointerleave = () => {
      this.#pointer = null;
    };
  }

  #fit() {
    const scale = devicePixelRatio || 1;

    this.#canvas.width = Math.round(this.#canvas.clientWidth * scale);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * scale);
    this.#context.setTransform(scale, 0, 0, scale, 0, 0);
    this.draw();
  }

  /* The scale follows the values softly, so that the line does not jump. */
  #scale() {
    const values = this.#series.points.map((point) => point.value)
      .sort((a, b) => a - b);
    const {zero} = this.#options;
    const low = zero ? 0 : values[0];
    const high = zero ? values[Math.floor(values.length * 0.9)] : values.at(-1);
    const room = (high - low) * (zero ? 0.25 : 0.08) ||
      Math.abs(high) * 0.01 || 1;
    const follow = this.#high === this.#low || still.matches ? 1 : 0.12;

    this.#low += (low - (zero ? 0 : room) - this.#low) * follow;
    this.#high += (high + room - this.#high) * follow;
  }

  draw() {
    const {points, last} = this.#series;
    const context = this.#context;
    const width = this.#canvas.clientWidth, height = this.#canvas.clientHeight;

    context.clearRect(0, 0, width, height);
    if (points.length < 2)
      return;
    this.#scale();

    const style = getComputedStyle(this.#canvas);
    const color = style.getPropertyValue('--hue');
    const soft = style.getPropertyValue('--soft');
    const right = width - 18, top = 14, bottom = height - 8;
    const passed = (performance.now() - this.#series.at) * PER_SECOND / 1000;
    const now = last.n + (still.matches ? 1 : Math.min(1, passed));
    const span = Math.max(SPAN_MIN, Math.min(SPAN, now - 1 - points[0].n));
    const x = (n) => right - (now - 1 - n) * right / span;
    const y = (value) => Math.max(top, bottom - (value - this.#low) *
      (bottom - top) / (this.#high - this.#low));

    context.font = '11px system-ui, sans-serif';
    context.lineWidth = 1;
    context.strokeStyle = style.getPropertyValue('--line');
    context.beginPath();
    for (const share of [0, 0.5, 1]) {
      const level = Math.round(bottom - share * (bottom - top)) + 0.5;
      context.moveTo(0, level);
      context.lineTo(width, level);
    }
    context.stroke();

    /* One line for each run of values without a gap. */
    context.lineWidth = 2;
    context.lineJoin = context.lineCap = 'round';
    context.strokeStyle = color;
    const fill = context.createLinearGradient(0, top, 0, height);
    fill.addColorStop(0, color);
    fill.addColorStop(1, 'transparent');
    for (let from = 0, i = 1; i <= points.length; i++) {
      if (i < points.length && points[i].n === points[i - 1].n + 1)
        continue;
      const run = points.slice(from, i);
      const trace = () => {
        context.beginPath();
        for (const {n, value} of run)
          context.lineTo(x(n), y(value));
      };
      trace();
      context.stroke();
      trace();
      context.lineTo(x(run.at(-1).n), height);
      context.lineTo(x(run[0].n), height);
      context.globalAlpha = 0.16;
      context.fillStyle = fill;
      context.fill();
      context.globalAlpha = 1;
      from = i;
    }

    context.fillStyle = soft;
    context.textAlign = 'left';
    context.fillText(this.#options.text(this.#high), 8, top - 3);
    context.fillText(this.#options.text(this.#low), 8, bottom - 4);
    if (this.#pointer !== null)
      this.#mark(points, x, y, color, style.getPropertyValue('--ink'), top);
    else
      this.#dot(x(last.n), y(last.value), color);
  }

  #dot(x, y, color) {
    this.#context.fillStyle = color;
    this.#context.beginPath();
    this.#context.arc(x, y, 3.5, 0, 2 * Math.PI);
    this.#context.fill();
  }

  /* The value under the pointer. */
  #mark(points, x, y, color, ink, top) {
    const context = this.#context;
    let near = points[0];

    for (const point of points)
      if (Math.abs(x(point.n) - this.#pointer) <
        Math.abs(x(near.n) - this.#pointer))
        near = point;
    const at = x(near.n);
    const behind = (this.#series.last.n - near.n) / PER_SECOND;
    const toLeft = at > this.#canvas.clientWidth / 2;
    context.strokeStyle = color;
    context.lineWidth = 1;
    context.globalAlpha = 0.5;
    context.beginPath();
    context.moveTo(at, top);
    context.lineTo(at, this.#canvas.clientHeight);
    context.stroke();
    context.globalAlpha = 1;
    this.#dot(at, y(near.value), color);
    context.fillStyle = ink;
    context.textAlign = toLeft ? 'right' : 'left';
    context.fillText(`${this.#options.text(near.value)}  ${
      behind === 0 ? 'now' : `${behind.toFixed(0)} s ago`}`,
    at + (toLeft ? -8 : 8), top + 10);
  }
}

/* Numbers for people. */

const money = (value) => value.toFixed(2);
const count = (value) => Math.round(value).toLocaleString('en');
function size(value) {
  for (const unit of ['B', 'KB', 'MB']) {
    if (value < 1000)
      return `${unit === 'B' ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return value.toFixed(1) + ' GB';
}

/* What is on the page. */

const charts = [];
const prices = new Map();
const rates = {};
let before = null; /* the counters as they were last told */

for (const symbol of SYMBOLS) {
  const card = $('t-price').content.firstElementChild.cloneNode(true);
  const series = new Series();

  card.querySelector('h3').textContent = symbol;
  card.querySelector('canvas').setAttribute('aria-label',
    'Price of ' + symbol);
  $('prices').append(card);
  prices.set(symbol, {card, series});
  charts.push(new Chart(card.querySelector('canvas'), series, {text: money}));
}

for (const [name, text] of [['events', count], ['bytes', size]]) {
  const card = $(name + '-rate');

  rates[name] = {card, text, series: new Series()};
  charts.push(new Chart(card.querySelector('canvas'), rates[name].series,
    {text, zero: true}));
}

function paintPrice(symbol) {
  const {card, series} = prices.get(symbol);
  const change = (series.last.value / series.points[0].value - 1) * 100;
  const text = (change < 0 ? '\u2212' : '+') + Math.abs(change).toFixed(2) +
    ' %';

  card.querySelector('.value').textContent = money(series.last.value);
  card.querySelector('.change').textContent = text;
  card.querySelector('.change').dataset.trend =
    change > 0 ? 'up' : change < 0 ? 'down' : 'flat';
}

/* Counters only grow; what they grow by in a second is worth a chart. */
function paintRate(name, now, total) {
  const {card, text, series} = rates[name];

  if (before && before.n < now.n)
    series.add(now.n,
      (now[total] - before[total]) * PER_SECOND / (now.n - before.n));
  if (!series.last)
    return;
  const unit = document.createElement('small');
  unit.textContent = 'per second';
  /* over the last second, since bursts are hard to read */
  const recent = series.points.slice(-PER_SECOND);
  card.querySelector('.value').replaceChildren(text(recent.reduce(
    (sum, point) => sum + point.value, 0) / recent.length), unit);
}

function paintMetrics(now) {
  for (const tile of document.querySelectorAll('[data-metric]')) {
    const text = tile.dataset.unit === 'bytes' ? size : count;
    tile.textContent = text(now[tile.dataset.metric]);
  }
  paintRate('events', now, 'messages_out_total');
  paintRate('bytes', now, 'bytes_out_total');
  before = now;
}

/* The stream. */

const stream = {received: 0, connections: 0, resumed: 0, lastId: ''};
let source = null;

function paintStream() {
  $('received').textContent = count(stream.received);
  $('connections').textContent = stream.connections;
  $('resumed').textContent = stream.resumed;
  $('missed').textContent = [...prices.values()].reduce(
    (sum, {series}) => sum + series.missed, 0);
  $('last-id').textContent = stream.lastId || '\u2013';
}

function setState(state, text) {
  $('status').dataset.state = state;
  $('status-text').textContent = text;
  document.body.classList.toggle('stale', state !== 'open');
}

function took(event) {
  stream.received++;
  stream.lastId = event.lastEventId;
  paintStream();
  return JSON.parse(event.data);
}

/* What was before this page: asked for with a POST, answered once. */
async function fillIn(symbol) {
  const {series} = prices.get(symbol);
  const response = await fetch(`events/${symbol}`, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({event: 'past', args: [symbol]})
  });
  const {args: [past]} = await response.json();

  series.prepend(past.n, past.prices);
  if (series.last)
    paintPrice(symbol);
}

/* The server is another one, or has forgotten what this page missed. */
function beginAnew() {
  before = null;
  for (const {series} of [...prices.values(), ...Object.values(rates)])
    series.clear();
  for (const symbol of SYMBOLS)
    fillIn(symbol).catch(() => {}); /* then the chart begins empty */
}

function connect() {
  const [first, ...others] = [...SYMBOLS, 'metrics'];

  source = new EventSource(`events/${first}?` +
    others.map((room) => 'room=' + room).join('&'));
  /* The first event of a stream says whether it goes on where the last
   * one ended. */
  source.addEventListener('session', (event) => {
    stream.connections++;
    if (JSON.parse(event.data).recovered)
      stream.resumed++;
    else
      beginAnew();
    setState('open', 'Live');
    paintStream();
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) {
      setState('closed', 'Disconnected');
      setTimeout(connect, RETRY * (0.5 + Math.random()));
    } else {
      setState('waiting', 'Reconnecting');
    }
  };
  source.addEventListener('price', (event) => {
    const {symbol, n, price} = took(event);

    if (prices.get(symbol)?.series.add(n, price))
      paintPrice(symbol);
  });
  source.addEventListener('metrics', (event) => paintMetrics(took(event)));
}

function drawAll() {
  if (!document.hidden)
    for (const chart of charts)
      chart.draw();
  requestAnimationFrame(drawAll);
}

connect();
requestAnimationFrame(drawAll);
