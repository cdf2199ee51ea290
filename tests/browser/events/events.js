/*
 * events.js - a page with a stream of server-sent events and a WebSocket
 * that speaks the JSON envelope; the tests start them and read their lists.
 */
'use strict';

const show = (id, text) => {
  document.getElementById(id).textContent = text;
};
const add = (id, value) => {
  const line = document.createElement('li');
  line.textContent = JSON.stringify(value);
  document.getElementById(id).append(line);
};

/* EventSource comes back by itself, with the last id that it has seen. */
const heard = [], sessions = [];
let stream;
function listen(url, options) {
  stream = new EventSource(url, options);
  stream.onopen = () => show('stream', 'open');
  stream.onerror = () => show('stream',
    stream.readyState === EventSource.CLOSED ? 'refused' : 'waiting');
  stream.addEventListener('session', (event) => {
    sessions.push(JSON.parse(event.data));
    show('stream', 'open');
  });
  stream.addEventListener('n', (event) => {
    heard.push(JSON.parse(event.data));
    add('heard', heard.at(-1));
  });
}

async function post(url, body, options) {
  const reply = await fetch(url, {method: 'POST', ...options,
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(body)});
  return reply.json();
}

/* The whole of a client of the envelope that survives a lost connection. */
const told = [], opens = [];
let socket, resume, offset;
function join(url, room, auth = {}) {
  socket = new WebSocket(url, 'rill.json.v1');
  const say = (message) => socket.send(JSON.stringify(message));
  socket.onopen = () => say({open: auth, resume, offset});
  socket.onclose = (event) => {
    show('socket', 'closed');
    if (event.code < 4500)
      setTimeout(join, 100, url, room, auth);
  };
  socket.onmessage = ({data}) => {
    const message = JSON.parse(data);
    if (message.open) {
      opens.push(message);
      resume = message.session;
      if (!message.recovered)
        say({join: room});
      else
        show('socket', 'back');
    } else if (message.joined) {
      show('socket', 'open');
    } else if (message.event) {
      offset = message.offset ?? offset;
      told.push(message.args[0]);
      add('told', told.at(-1));
    }
  };
}
