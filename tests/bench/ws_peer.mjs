// ws_peer.mjs PORT echo|fanout - npm ws as a peer: echoes, or sends each
// message to all.
import { WebSocketServer } from 'ws';

const [port, mode] = process.argv.slice(2);
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: false,
  maxPayload: 16 * 1024 * 1024,
});

server.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, isBinary) => {
    if (mode === 'fanout')
      for (const member of server.clients)
        member.send(data, { binary: isBinary });
    else
      socket.send(data, { binary: isBinary });
  });
});
