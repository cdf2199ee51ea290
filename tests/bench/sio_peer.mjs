// sio_peer.mjs PORT echo|fanout - npm socket.io as a peer: an event "pub" goes
// back, or to all of a room.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const [port, mode] = process.argv.slice(2);
const hour = 3600 * 1000;
const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  serveClient: false,
  pingInterval: hour,
  pingTimeout: hour,
  connectTimeout: hour,
  maxHttpBufferSize: 16 * 1024 * 1024,
});

io.on('connection', (socket) => {
  socket.join('bench');
  socket.on('pub', (text) => {
    if (mode === 'fanout')
      io.to('bench').emit('pub', text);
    else
      socket.emit('pub', text);
  });
});

http.listen({ host: '127.0.0.1', port: Number(port), backlog: 4096 });
