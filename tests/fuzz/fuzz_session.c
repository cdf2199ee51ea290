/*
 * fuzz_session.c - a whole session: a hub, the fuzzed conn (accepted or
 * dialed), and a second conn in the same room.
 *
 * The first byte chooses the role, deflate, and whether the rest is a stream
 * or a program.  A stream is fed whole, byte by byte and in random cuts:
 * what the handlers see and what goes out must be the same.  A program is a
 * list of steps: bytes, frames, time, writes in part, and commands.
 *
 * Always: handlers run only inside of a call that may run them; on_close
 * comes once, for each peer that was opened or dialed, and last; nothing is
 * delivered behind a violation; what goes out is well-formed for an
 * independent reader; memory stays within a bound, and all of it comes back.
 */
#include <rill/rill.h>

#include "../sim/reader.h"
#include "../unit/mem.h"
#include "client/dial.h"
#include "hub/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DIALED = 1, DEFLATE = 2, PROGRAM = 4, COOKED = 8, HELLO = 16, RULES = 32 };

/* Fewer bytes than this a hub of these limits holds, whatever happens. */
#define MOST_MEMORY (4u << 20)

typedef struct input {
  const uint8_t *p;
  size_t left;
} input;

typedef struct stream {
  rill_conn *conn;
  rill_peer peer;
  reader rd;
  buf out; /* all that was written */
  bool opened, closed, closing, violated, paused, dialed;
  size_t room;  /* bytes that the stream takes */
  uint8_t next; /* what the next on_message does */
} stream;

typedef struct session {
  mem memory;
  rill_hub *hub;
  rill_time now;
  uint64_t seed;
  uint8_t flags;
  bool may_run, handling;
  stream a, b; /* the fuzzed one; the other */
  buf log;
  rill_request *later;
} session;

static uint8_t take(input *in) {
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->p++;
}

static void note(session *s, const char *what, const void *data, size_t len) {
  char text[80];
  uint64_t hash = 14695981039346656037u;
  const uint8_t *p = data;

  for (size_t i = 0; i < len; i++)
    hash = (hash ^ p[i]) * 1099511628211u;
  snprintf(text, sizeof text, "%s %zu %016llx\n", what, len,
           (unsigned long long)hash);
  buf_text(&s->log, text);
}

static int fill_random(void *arg, void *out, size_t len) {
  session *s = arg;
  uint8_t *p = out;

  while (len-- > 0)
    *p++ = (uint8_t)(xorshift(&s->seed) >> 24);
  return 0;
}

/* ---- handlers ---- */

static stream *enter(session *s, rill_peer peer) {
  MUST(s->may_run && !s->handling);
  s->handling = true;
  return s->b.opened && rill_peer_eq(peer, s->b.peer) ? &s->b : &s->a;
}

static int leave(session *s, int rv) {
  s->handling = false;
  return rv;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);

  if (s->a.dialed ? !rill_peer_eq(peer, s->a.peer)
                  : rill_str_eq(rill_request_query(req, "who"), rill_s("b")))
    t = &s->b;
  MUST(!t->opened && !t->closed);
  t->opened = true;
  t->peer = peer;
  if (t == &s->a)
    note(s, "open", NULL, 0);
  MUST(rill_join(peer, rill_s("room")) == 0);
  return leave(s, 0);
}

static void react(session *s, stream *t, const rill_msg *msg, uint8_t what) {
  rill_msg out = *msg;

  switch (what) {
  case 'e':
    rill_send(t->peer, msg);
    break;
  case 'b':
    rill_send_room(s->hub, rill_s("room"), msg);
    break;
  case 'k': /* in a stream the cuts would say which one is the newest */
    if ((s->flags & PROGRAM) != 0)
      out.key = rill_s("key");
    rill_send(t->peer, &out);
    break;
  case 'c':
    if (rill_close(t->peer, 4001, "asked") == 0)
      t->closing = true;
    break;
  case 'x': /* in a stream the cuts would say how much goes out before */
    if ((s->flags & PROGRAM) == 0)
      break;
    rill_cut(t->peer);
    t->closing = true;
    break;
  case 'l':
    rill_leave(t->peer, rill_s("room"));
    break;
  default:
    break;
  }
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);
  uint8_t what = msg->len > 0 ? *(const uint8_t *)msg->data : 'e';

  MUST(t->opened && !t->closed && !t->closing && !t->violated && !t->paused);
  MUST(msg->kind == RILL_BINARY ||
       reader__utf8(msg->data, msg->len));
  if (t == &s->a)
    note(s, msg->kind == RILL_TEXT ? "text" : "binary", msg->data, msg->len);
  if (t->next != 0)
    what = t->next;
  t->next = 0;
  react(s, t, msg, what);
  if (what == 'p') {
    t->paused = true;
    return leave(s, RILL_PAUSE);
  }
  t->closing |= what == '!';
  return leave(s, what == '!' ? -99 : 0);
}

static int on_drain(rill_peer peer, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);

  MUST(t->opened && !t->closed);
  return leave(s, 0);
}

static int on_joined(rill_peer peer, rill_str room, int status, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);

  MUST(t->opened && !t->closed && room.len > 0 && status <= 0);
  return leave(s, 0);
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);

  MUST((t->opened || t->dialed) && !t->closed);
  MUST(closed->cause != RILL_CAUSE_NONE);
  MUST(reader__utf8((const uint8_t *)closed->reason.ptr, closed->reason.len));
  t->closed = true;
  if (t == &s->a) {
    note(s, rill_cause_text(closed->cause), closed->reason.ptr,
         closed->reason.len);
    note(s, "codes", &closed->code, sizeof closed->code);
    note(s, "sent", &closed->sent, sizeof closed->sent);
  }
  leave(s, 0);
}

static const rill_handlers handlers = {on_open, on_message, on_drain,
                                       on_joined, on_close};

static int on_request(rill_request *req, void *arg) {
  session *s = arg;
  rill_str body = rill_request_body(req);
  rill_response r = {.body = "answer", .body_len = 6};

  MUST(s->may_run && !s->handling);
  note(s, "request", body.ptr, body.len);
  if (rill_request_query(req, "later").ptr != NULL && s->later == NULL &&
      (s->flags & PROGRAM) != 0) {
    s->later = req;
    return RILL_LATER;
  }
  return rill_respond(req, &r);
}

/* ---- the adapter ---- */

static void start(session *s, stream *t) {
  s->may_run = true;
  (void)t;
}

static void done(session *s) {
  s->may_run = false;
  MUST(!s->handling);
  MUST(s->memory.bytes < MOST_MEMORY);
}

static void write_some(session *s, stream *t) {
  rill_iov iov[3];
  size_t n = rill_pending(t->conn, iov, 3), written = 0;

  for (size_t i = 0; i < n && t->room > 0; i++) {
    size_t len = iov[i].len < t->room ? iov[i].len : t->room;
    buf_add(&t->out, iov[i].base, len);
    reader_feed(&t->rd, iov[i].base, len);
    written += len;
    if (t->room != SIZE_MAX)
      t->room -= len;
  }
  if (t->rd.bad != NULL)
    fprintf(stderr, "what goes out: %s\n", t->rd.bad);
  MUST(t->rd.bad == NULL);
  rill_sent(t->conn, written, s->now);
}

static void serve(session *s, stream *t) {
  unsigned wants = rill_wants(t->conn);
  rill_iov iov[1];

  if ((wants & RILL_WANT_CLOSE) != 0) {
    MUST(wants == RILL_WANT_CLOSE && rill_pending(t->conn, iov, 1) == 0);
    rill_conn_free(t->conn);
    t->conn = NULL;
    return;
  }
  if ((wants & RILL_WANT_DIAL) != 0) {
    start(s, t);
    rill_dialed(t->conn, 0, s->now);
    done(s);
    return;
  }
  write_some(s, t);
  while (t->room == SIZE_MAX && (rill_wants(t->conn) & RILL_WANT_WRITE) != 0)
    write_some(s, t);
}

static void turn(session *s) {
  rill_conn *c;
  int rounds = 0;

  do {
    while ((c = rill_next_ready(s->hub)) != NULL) {
      MUST(++rounds < 1000);
      if (c == s->b.conn) {
        serve(s, &s->b);
      } else {
        MUST(c == s->a.conn);
        serve(s, &s->a);
      }
    }
    if (rill_deadline(s->hub) > s->now)
      break;
    MUST(++rounds < 1000);
    start(s, NULL);
    rill_tick(s->hub, s->now);
    done(s);
  } while (true);
}

static int feed(session *s, stream *t, const uint8_t *data, size_t len) {
  uint8_t *exact;
  int rv;

  if (t->conn == NULL || len == 0)
    return 0;
  if ((rill_wants(t->conn) & (RILL_WANT_DIAL | RILL_WANT_CLOSE)) != 0)
    return 0;
  exact = malloc(len);
  MUST(exact != NULL);
  memcpy(exact, data, len);
  start(s, t);
  rv = rill_feed(t->conn, exact, len, s->now);
  done(s);
  free(exact);
  MUST(rv == 0 || rv == RILL_ERR_PROTO || rv == RILL_ERR_CLOSED ||
       rv == RILL_ERR_HANDLER || rv == RILL_ERR_LIMIT);
  t->violated |= rv == RILL_ERR_PROTO;
  return rv;
}

static void end_stream(session *s, stream *t) {
  if (t->conn == NULL || (rill_wants(t->conn) & RILL_WANT_CLOSE) != 0)
    return;
  start(s, t);
  rill_feed_end(t->conn, 0, s->now);
  done(s);
}

static void resume(session *s, stream *t) {
  if (!t->paused)
    return;
  t->paused = false;
  rill_resume(t->peer);
  turn(s);
}

/* ---- the two sides' hellos ---- */

static void put_hello(session *s, buf *out, const char *who) {
  const char *path = (s->flags & DEFLATE) != 0 ? "/d" : "/r";

  if (s->a.dialed && strcmp(who, "a") == 0) {
    buf_text(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    if (s->a.conn != NULL && s->a.conn->extra != NULL &&
        s->a.conn->extra->dial != NULL)
      buf_text(out, s->a.conn->extra->dial->accept);
    if ((s->flags & DEFLATE) != 0)
      buf_text(out, "\r\nSec-WebSocket-Extensions: permessage-deflate");
    buf_text(out, "\r\n\r\n");
    return;
  }
  buf_text(out, "GET ");
  buf_text(out, path);
  buf_text(out, "?who=");
  buf_text(out, who);
  buf_text(out, " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
}

/* A frame from three or more bytes of input, its mask and length right. */
static void cook(session *s, input *in, buf *out) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  uint8_t first = take(in), size = take(in);
  size_t len = size < 200 ? size : (size - 200u) * 90u, n = 2, at;
  uint8_t head[8] = {first, 0}, masked = s->a.dialed ? 0 : 0x80;

  if (size < 200 && len > in->left)
    len = in->left;
  head[1] = (uint8_t)(masked | (len < 126 ? len : 126));
  if (len >= 126) {
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    n = 4;
  }
  buf_add(out, head, n);
  if (masked != 0)
    buf_add(out, mask, 4);
  at = out->len;
  if (size < 200) {
    buf_add(out, in->p, len);
    in->p += len;
    in->left -= len;
  } else {
    for (size_t i = 0; i < len; i++)
      buf_add(out, &"e0123456"[i % 8], 1);
  }
  for (size_t i = 0; i < len && masked != 0; i++)
    out->data[at + i] ^= mask[i & 3];
}

/* ---- a run ---- */

static void accept_stream(session *s, stream *t) {
  rill_conn_info info = {rill_s("192.0.2.1"), 1, false};

  MUST(rill_conn_new(&t->conn, s->hub, &info, s->now) == 0);
}

static void set_limits(session *s, rill_limits *l) {
  l->header_bytes = 1024;
  l->header_count = 20;
  l->body_bytes = 2000;
  l->message_bytes = 3000;
  l->fragments = 10;
  l->joins_pending = 2;
  l->rooms_per_peer = 3;
  if ((s->flags & PROGRAM) != 0) {
    l->soft_bytes = 1500;
    l->soft_count = 5;
    l->queue_bytes = 6000;
    l->queue_count = 12;
    l->queues_total_bytes = 1000000;
  } else { /* how much waits hangs on the cuts */
    l->soft_bytes = l->soft_count = RILL_UNLIMITED;
    l->queue_bytes = l->queue_count = RILL_UNLIMITED;
  }
}

static void begin(session *s, uint8_t flags) {
  rill_config config;
  rill_route_opts opts = {.handlers = &handlers, .arg = s};
  /* A smaller window may be overstepped unnoticed, as the cuts happen. */
  const rill_deflate_opts deflate = {.enabled = true,
                                     .server_context_takeover = true,
                                     .client_context_takeover = true,
                                     .server_max_window_bits = 15,
                                     .client_max_window_bits = 15,
                                     .threshold = 16};
  buf hello = {NULL, 0, 0};

  memset(s, 0, sizeof *s);
  s->flags = flags;
  s->seed = 88172645463325252u;
  s->now = 1000 * RILL_SEC;
  s->a.room = s->b.room = SIZE_MAX;
  s->a.dialed = (flags & DIALED) != 0;
  rill_config_init(&config);
  config.alloc = mem_fn;
  config.alloc_arg = &s->memory;
  config.random = fill_random;
  config.arg = s;
  set_limits(s, &config.limits);
  MUST(rill_hub_new(&s->hub, &config) == 0);
  MUST(rill_route(s->hub, "/r", RILL_RAW, &opts) == 0);
  opts.deflate = deflate;
  MUST(rill_route(s->hub, "/d", RILL_RAW, &opts) == 0);
  MUST(rill_handle(s->hub, "*", "/plain", on_request, s) == 0);
  reader_init(&s->a.rd, s->a.dialed, s);
  reader_init(&s->b.rd, false, s);
  s->a.rd.heads = true;
  /* what a dialed side agreed on stands in the bytes that it is fed */
  s->a.rd.deflate = s->a.dialed && (flags & DEFLATE) != 0;
  if (s->a.dialed) {
    rill_dial_opts dial = {.handlers = &handlers, .arg = s};
    if ((flags & DEFLATE) != 0)
      dial.deflate = deflate;
    MUST(rill_dial(&s->a.peer, s->hub, "ws://example.org/", &dial, s->now) ==
         0);
    s->a.conn = rill_next_ready(s->hub);
    serve(s, &s->a);
  } else {
    accept_stream(s, &s->a);
  }
  if ((flags & PROGRAM) != 0) {
    accept_stream(s, &s->b);
    put_hello(s, &hello, "b");
    feed(s, &s->b, hello.data, hello.len);
    buf_clear(&hello);
  }
  turn(s);
}

/* Everything ends by itself once the streams have. */
static void finish(session *s) {
  if (s->later != NULL)
    rill_reject(s->later, 503, "the end");
  s->a.room = s->b.room = SIZE_MAX;
  if (s->a.conn != NULL)
    serve(s, &s->a);
  turn(s);
  resume(s, &s->a);
  resume(s, &s->b);
  end_stream(s, &s->a);
  end_stream(s, &s->b);
  for (int i = 0; i < 200 && rill_deadline(s->hub) != RILL_NEVER; i++) {
    turn(s);
    if (rill_deadline(s->hub) != RILL_NEVER)
      s->now = rill_deadline(s->hub) > s->now ? rill_deadline(s->hub) : s->now;
  }
  turn(s);
  MUST(s->a.conn == NULL && s->b.conn == NULL);
  MUST(rill_deadline(s->hub) == RILL_NEVER);
  MUST(s->a.closed == (s->a.opened || s->a.dialed));
  MUST(s->b.closed == s->b.opened);
  MUST(!rill_is_open(s->a.peer) && rill_peer_id(s->a.peer) == 0);
  rill_hub_free(s->hub);
  MUST(s->memory.bytes == 0 && s->memory.blocks == 0);
}

static void clear(session *s) {
  reader_finish(&s->a.rd);
  reader_finish(&s->b.rd);
  buf_clear(&s->a.out);
  buf_clear(&s->b.out);
  buf_clear(&s->log);
}

/* ---- a stream ---- */

enum { WHOLE, BYTES, RANDOM };

static void run_stream(session *s, uint8_t flags, int cut, uint64_t seed,
                       const uint8_t *data, size_t size) {
  input in = {data, size};
  buf all = {NULL, 0, 0};
  int rv = 0;

  begin(s, flags);
  if ((flags & HELLO) != 0)
    put_hello(s, &all, "a");
  if ((flags & COOKED) == 0)
    buf_add(&all, data, size);
  while ((flags & COOKED) != 0 && in.left > 0 && all.len < 60000)
    cook(s, &in, &all);
  for (size_t at = 0, n; at < all.len && rv == 0; at += n) {
    n = all.len - at;
    if (cut == BYTES)
      n = 1;
    else if (cut == RANDOM && n > 1)
      n = 1 + xorshift(&seed) % (n > 50 ? 50 : n);
    rv = feed(s, &s->a, all.data + at, n);
    turn(s);
    while (s->a.paused)
      resume(s, &s->a);
    if (s->a.conn == NULL)
      break;
  }
  buf_clear(&all);
  if (s->a.violated && s->a.opened && !s->a.closing)
    MUST(s->a.rd.closes == 1);
  finish(s);
}

static void check_same(const session *x, const session *y) {
  if (x->log.len != y->log.len || x->a.out.len != y->a.out.len)
    fprintf(stderr, "whole, %zu out:\n%scut, %zu out:\n%s", x->a.out.len,
            x->log.len > 0 ? (char *)x->log.data : "", y->a.out.len,
            y->log.len > 0 ? (char *)y->log.data : "");
  MUST(x->log.len == y->log.len && x->a.out.len == y->a.out.len);
  if (x->log.len > 0)
    MUST(memcmp(x->log.data, y->log.data, x->log.len) == 0);
  if (x->a.out.len > 0)
    MUST(memcmp(x->a.out.data, y->a.out.data, x->a.out.len) == 0);
}

static void try_stream(uint8_t flags, const uint8_t *data, size_t size) {
  static session whole, other;
  uint64_t seed = 0x9e3779b97f4a7c15u + size;

  run_stream(&whole, flags, WHOLE, 0, data, size);
  for (int cut = size < 3000 ? BYTES : RANDOM; cut <= RANDOM; cut++) {
    run_stream(&other, flags, cut, seed, data, size);
    check_same(&whole, &other);
    clear(&other);
  }
  clear(&whole);
}

/* ---- a program ---- */

static void posted(rill_hub *hub, void *arg) {
  session *s = arg;
  rill_msg msg = rill_text("posted");

  MUST(s->may_run && !s->handling);
  rill_send_all(hub, &msg);
}

static void send_something(session *s, input *in, bool room) {
  static const char text[] =
      "some text that is repeated, some text that is repeated, so that it "
      "can be compressed, some text that is repeated";
  uint8_t how = take(in);
  rill_msg msg = {.data = text, .len = take(in) % sizeof text,
                  .kind = (how & 1) != 0 ? RILL_TEXT : RILL_BINARY,
                  .overflow = (rill_overflow)(how >> 1 & 3),
                  .uncompressed = (how & 8) != 0};
  rill_peer except[1] = {s->a.peer};
  rill_str names[2] = {rill_s("room"), rill_s("other")};
  rill_to to = {.rooms = names, .nrooms = 2, .except = except,
                .nexcept = (how & 64) != 0};

  if ((how & 16) != 0)
    msg.key = rill_s((how & 32) != 0 ? "k" : "key");
  if (!room)
    rill_send(s->a.peer, &msg);
  else if ((how & 128) != 0)
    rill_send_to(s->hub, &to, &msg);
  else
    rill_send_room(s->hub, names[0], &msg);
}

static void command(session *s, stream *t, uint8_t what) {
  switch (what % 9) {
  case 0:
    if (rill_close(t->peer, 1000, "bye") == 0)
      t->closing = true;
    break;
  case 1:
    rill_join(t->peer, rill_s("other"));
    break;
  case 2:
    rill_join_request(t->peer, rill_s("third"));
    break;
  case 3:
    rill_leave(t->peer, rill_s("room"));
    break;
  case 4:
    if (rill_pause(t->peer) == 0)
      t->paused = true;
    break;
  case 5:
    rill_ping(t->peer);
    break;
  case 6:
    rill_post(s->hub, posted, s);
    break;
  case 7:
    rill_cut(t->peer);
    break;
  default:
    if (s->later != NULL)
      rill_respond(s->later, &(rill_response){.body = "x", .body_len = 1});
    s->later = NULL;
    break;
  }
}

static void feed_step(session *s, input *in, bool cooked) {
  buf bytes = {NULL, 0, 0};
  unsigned wants = s->a.conn != NULL ? rill_wants(s->a.conn) : 0;

  if (cooked) {
    cook(s, in, &bytes);
  } else {
    size_t n = take(in);
    if (n > in->left)
      n = in->left;
    buf_add(&bytes, in->p, n);
    in->p += n;
    in->left -= n;
  }
  if ((wants & RILL_WANT_READ) != 0)
    feed(s, &s->a, bytes.data, bytes.len);
  buf_clear(&bytes);
}

static void step(session *s, input *in) {
  uint8_t op = take(in);

  switch (op % 12) {
  case 0:
    feed_step(s, in, false);
    break;
  case 1:
  case 2:
    feed_step(s, in, true);
    break;
  case 3:
    s->now += take(in) * 50 * RILL_MSEC;
    break;
  case 4:
    s->a.room = take(in);
    if (s->a.conn != NULL)
      serve(s, &s->a);
    break;
  case 5:
    s->a.room = SIZE_MAX;
    if (s->a.conn != NULL)
      serve(s, &s->a);
    break;
  case 6:
    send_something(s, in, false);
    break;
  case 7:
    send_something(s, in, true);
    break;
  case 8:
    command(s, &s->a, take(in));
    break;
  case 9:
    s->a.next = (uint8_t)"ebkcxlp!"[take(in) % 8];
    break;
  case 10:
    resume(s, &s->a);
    break;
  default:
    if (op < 200)
      command(s, &s->b, (uint8_t)(op / 12));
    else if (op < 230)
      rill_drain(s->hub, RILL_SEC, s->now);
    else
      end_stream(s, &s->a);
    break;
  }
}

static void try_program(uint8_t flags, const uint8_t *data, size_t size) {
  static session s;
  input in = {data, size};
  buf hello = {NULL, 0, 0};

  begin(&s, flags);
  if ((flags & HELLO) != 0) {
    put_hello(&s, &hello, "a");
    feed(&s, &s.a, hello.data, hello.len);
    buf_clear(&hello);
    turn(&s);
  }
  while (in.left > 0) {
    step(&s, &in);
    if ((s.flags & RULES) == 0 || (in.left & 1) == 0) /* else a long turn */
      turn(&s);
  }
  turn(&s);
  finish(&s);
  clear(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1)
    return 0;
  if ((data[0] & PROGRAM) != 0)
    try_program(data[0], data + 1, size - 1);
  else
    try_stream(data[0], data + 1, size - 1);
  return 0;
}
