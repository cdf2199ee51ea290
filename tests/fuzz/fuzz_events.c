/*
 * fuzz_events.c - several streams at one hub with routes of every dialect.
 *
 * The first byte chooses recovery, verdicts that come later, narrow limits
 * and long turns; the rest is a program: bytes, requests and frames for one
 * of the streams, time, blocked output, ends of streams, memory that fails,
 * and commands of the host.  Text of the program may stand for what no
 * fuzzer guesses (see put_escaped): ids of sessions, secrets, offsets.
 *
 * Always: handlers run only inside of a call that may run them; a peer is
 * opened, away, back and closed in that order and once; each emit that asks
 * is told of once; what goes out is well-formed for an independent reader;
 * memory stays within a bound; in the end no table has anything in it, and
 * all memory comes back.
 */
#include "events_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_number(buf *out, uint64_t n) {
  char text[24];

  snprintf(text, sizeof text, "%llu", (unsigned long long)n);
  buf_text(out, text);
}

static void put_sid(events *s, uint8_t k, buf *out) {
  const rill__session *session = s->hub->sessions;

  while (session != NULL && k-- > 0 && session->hh.next != NULL)
    session = session->hh.next;
  buf_add(out, session != NULL ? session->sid : "none",
          session != NULL ? RILL__SID : 4);
}

static void put_secret(events *s, uint8_t k, buf *out) {
  const rill__voice *v = s->hub->secrets;

  while (v != NULL && k-- > 0 && v->by_secret.next != NULL)
    v = v->by_secret.next;
  buf_add(out, v != NULL ? v->secret : "none", v != NULL ? RILL__SID : 4);
}

static void put_offset(events *s, uint8_t k, buf *out) {
  char text[RILL__OFFSET_MAX];
  uint64_t offset = s->hub->offset > k ? s->hub->offset - k : 0;

  buf_add(out, text, rill__offset_write(s->hub, offset, text));
}

/*
 * |len| bytes of the program, in which 1 to 4 and the byte behind stand for
 * a secret, an offset, a session's id and the number of an ask.
 */
static void put_escaped(events *s, input *in, size_t len, buf *out) {
  for (; len > 0 && in->left > 0; len--) {
    uint8_t c = take(in);
    if (c == 1)
      put_secret(s, take(in), out);
    else if (c == 2)
      put_offset(s, take(in), out);
    else if (c == 3)
      put_sid(s, take(in), out);
    else if (c == 4)
      put_number(out, s->hub->next_ask - 1 - take(in));
    else
      buf_add(out, &c, 1);
  }
}

static void put_frame(events *s, input *in, buf *out) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  uint8_t first = take(in), head[4] = {first, 0};
  buf body = {NULL, 0, 0};

  put_escaped(s, in, take(in), &body);
  head[1] = (uint8_t)(0x80 | (body.len < 126 ? body.len : 126));
  head[2] = (uint8_t)(body.len >> 8);
  head[3] = (uint8_t)body.len;
  buf_add(out, head, body.len < 126 ? 2 : 4);
  buf_add(out, mask, 4);
  for (size_t i = 0; i < body.len; i++)
    body.data[i] ^= mask[i & 3];
  buf_add(out, body.data, body.len);
  buf_clear(&body);
}

static const char upgrade[] =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/* A request line without its end. */
static void put_target(events *s, input *in, uint8_t what, buf *out) {
  static const char *const targets[] = {
      "GET /sio/?EIO=4&transport=polling",
      "GET /sio/?EIO=4&transport=polling&sid=",
      "POST /sio/?EIO=4&transport=polling&sid=",
      "GET /sio/?EIO=4&transport=websocket&sid=",
      "GET /sio/?EIO=4&transport=websocket",
      "GET /eio/?EIO=4&transport=polling",
      "GET /eio/?EIO=4&transport=polling&sid=",
      "POST /eio/?EIO=4&transport=polling&sid=",
      "GET /eio/?EIO=4&transport=websocket&sid=",
      "GET /eio/?EIO=4&transport=websocket",
      "GET /json?token=x",
      "GET /json?protocol=msgpack",
      "GET /sse/hall?room=room",
      "POST /sse/hall?token=x",
      "GET /raw",
      "OPTIONS /sse/hall?x="};

  buf_text(out, targets[what]);
  if (targets[what][strlen(targets[what]) - 1] == '=')
    put_sid(s, take(in), out);
}

/* A whole request, its body from the program. */
static void put_request(events *s, input *in, buf *out) {
  uint8_t how = take(in), what = how & 15;
  buf body = {NULL, 0, 0};

  put_target(s, in, what, out);
  if ((how & 16) != 0)
    buf_text(out, what == 12 ? "&room=no" : "&token=later");
  buf_text(out, " HTTP/1.1\r\nHost: a\r\n");
  if (what == 3 || what == 4 || (what >= 8 && what <= 11) || what == 14)
    buf_text(out, upgrade);
  if (what == 11)
    buf_text(out, "Sec-WebSocket-Protocol: rill.msgpack.v1\r\n");
  if ((how & 32) != 0) {
    buf_text(out, "Last-Event-ID: ");
    put_offset(s, take(in), out);
    buf_text(out, "\r\n");
  }
  if ((how & 64) != 0)
    buf_text(out, "Origin: http://a\r\n");
  if (what == 2 || what == 7 || what == 13) {
    put_escaped(s, in, take(in), &body);
    buf_text(out, "Content-Length: ");
    put_number(out, body.len);
    buf_text(out, "\r\n");
  }
  buf_text(out, "\r\n");
  buf_add(out, body.data, body.len);
  buf_clear(&body);
}

static void feed_step(events *s, input *in, stream *t, uint8_t what) {
  buf bytes = {NULL, 0, 0};
  size_t cut;

  if (what == 0)
    put_request(s, in, &bytes);
  else if (what == 1)
    put_frame(s, in, &bytes);
  else
    put_escaped(s, in, take(in), &bytes);
  if (t->conn == NULL)
    accept_stream(s, t);
  cut = what == 3 ? bytes.len / 2 : bytes.len;
  feed(s, t, bytes.data, cut);
  if (cut < bytes.len)
    feed(s, t, bytes.data + cut, bytes.len - cut);
  buf_clear(&bytes);
}

/* A peer of the books, open or away, or nobody. */
static known *some_peer(events *s, uint8_t n) {
  for (uint32_t i = 0; i < PEERS; i++)
    if (s->peers[(n + i) % PEERS].state != GONE)
      return &s->peers[(n + i) % PEERS];
  return &s->peers[0];
}

static void emit(events *s, input *in) {
  uint8_t how = take(in), who = take(in);
  known *k = some_peer(s, who);
  rill_builder *b = rill_build(s->hub);
  rill_str rooms[2] = {rill_s("room"), rill_s("hall")}, user = rill_s("x");
  rill_to to = {.rooms = rooms,
                .nrooms = (how & 1) != 0 ? 2 : 1,
                .users = &user,
                .nusers = (how & 2) != 0,
                .peers = &k->peer,
                .npeers = (how & 4) != 0,
                .except = &k->peer,
                .nexcept = (how & 8) != 0,
                .all = (how & 16) != 0};
  rill_emit_opts opts = {.overflow = (rill_overflow)(who >> 6),
                         .is_volatile = (how & 32) != 0,
                         .key = rill_s((how & 64) != 0 ? "key" : NULL)};
  rill_msg msg = rill_text("message\r\n\x1e of the host");

  if ((who & 1) != 0)
    rooms[0] = rill_s("batch");
  if ((who & 2) != 0)
    opts.space = rill_s((how & 1) != 0 ? "/nx" : "/other");
  rill_put_int(b, 7);
  if ((who & 4) != 0)
    rill_put_bytes(b, "\x00\x01\xff", 3);
  rill_put_text(b, "a text with\nlines and \xc3\xa9");
  if ((how & 128) != 0)
    rill_emit(s->hub, &to, "event", b, &opts);
  else if ((who & 8) != 0)
    emit_asking(s, k->peer, (who & 16) != 0 ? &to : NULL);
  else if ((who & 16) != 0)
    rill_send_to(s->hub, &to, &msg);
  else
    rill_emit_peer(k->peer, "event", b, &opts);
}

static void posted(rill_hub *hub, void *arg) {
  events *s = arg;

  MUST(s->may_run && !s->handling);
  rill_emit_all(hub, "posted", NULL, NULL);
}

static void verdict(events *s, uint8_t n) {
  rill_request *req;
  uint32_t at;

  if (s->nverdicts == 0)
    return;
  at = n / 8 % s->nverdicts;
  req = s->verdicts[at];
  s->verdicts[at] = s->verdicts[--s->nverdicts];
  if ((n & 7) == 0)
    rill_reject_with(req, 403, "no", rill_build(s->hub));
  else
    rill_accept(req, rill_s((n & 1) != 0 ? "x" : NULL));
}

static void command(events *s, uint8_t what, uint8_t who) {
  static const char *const rooms[] = {"hall", "batch", "room", "later"};
  known *k = some_peer(s, who);
  rill_str room = rill_s(rooms[what / 16 % 4]);

  switch (what % 12) {
  case 0:
    rill_close(k->peer, 1000, "bye");
    break;
  case 1:
    rill_cut(k->peer);
    break;
  case 2:
    rill_join(k->peer, room);
    break;
  case 3:
    rill_leave(k->peer, room);
    break;
  case 4:
    rill_join_request(k->peer, room);
    break;
  case 5:
    rill_join_allow(k->peer, room);
    break;
  case 6:
    rill_pause(k->peer);
    break;
  case 7:
    rill_resume(k->peer);
    break;
  case 8:
    rill_ping(k->peer);
    break;
  case 9:
    rill_post(s->hub, posted, s);
    break;
  case 10:
    rill_ack(s->acks[who % 8], NULL);
    break;
  default:
    if (who > 240)
      rill_drain(s->hub, RILL_SEC, s->now);
    rill_peer_queued(k->peer);
    break;
  }
}

static void step(events *s, input *in) {
  uint8_t op = take(in);
  stream *t = &s->streams[op / 16 % STREAMS];

  switch (op % 16) {
  case 0:
  case 1:
  case 2:
  case 3:
    feed_step(s, in, t, op % 16);
    break;
  case 4:
    s->now += take(in) * 100 * RILL_MSEC;
    break;
  case 5:
    t->room = take(in);
    break;
  case 6:
    t->room = SIZE_MAX;
    if (t->conn != NULL)
      serve(s, t);
    break;
  case 7:
  case 8:
    emit(s, in);
    break;
  case 9: {
    uint8_t what = take(in);
    command(s, what, take(in));
    break;
  }
  case 10:
    verdict(s, take(in));
    break;
  case 11:
    end_stream(s, t, op >= 128);
    break;
  case 12:
    if (t->conn != NULL) {
      rill_conn_free(t->conn);
      forget(t);
    }
    break;
  case 13:
    s->next = (uint8_t) "ealfoqcxjp!"[take(in) % 11];
    break;
  case 14:
    rill_resume(some_peer(s, take(in))->peer);
    break;
  default:
    s->memory.fail_at = s->memory.calls + 1 + take(in);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static events s;
  input in = {data, size};

  if (size < 1)
    return 0;
  begin(&s, take(&in));
  while (in.left > 0) {
    step(&s, &in);
    if ((s.flags & LONG_TURNS) == 0 || (in.left & 3) == 0)
      turn(&s);
  }
  turn(&s);
  finish(&s);
  for (int i = 0; i < STREAMS; i++)
    reader_finish(&s.streams[i].rd);
  return 0;
}
