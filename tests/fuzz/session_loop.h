/*
 * session_loop.h - the adapter of a session, the hellos of both sides, and
 * how a session begins and ends.
 */
#ifndef SESSION_LOOP_H
#define SESSION_LOOP_H

#include "session.h"

static inline void start(session *s) {
  s->may_run = true;
}

static inline void done(session *s) {
  s->may_run = false;
  MUST(!s->handling);
  MUST(s->memory.bytes < MOST_MEMORY);
}

static inline void write_some(session *s, stream *t) {
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

static inline void serve(session *s, stream *t) {
  unsigned wants = rill_wants(t->conn);
  rill_iov iov[1];

  if ((wants & RILL_WANT_CLOSE) != 0) {
    MUST(wants == RILL_WANT_CLOSE && rill_pending(t->conn, iov, 1) == 0);
    rill_conn_free(t->conn);
    t->conn = NULL;
    return;
  }
  if ((wants & RILL_WANT_DIAL) != 0) {
    start(s);
    rill_dialed(t->conn, 0, s->now);
    done(s);
    return;
  }
  write_some(s, t);
  while (t->room == SIZE_MAX && (rill_wants(t->conn) & RILL_WANT_WRITE) != 0)
    write_some(s, t);
}

static inline void turn(session *s) {
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
    start(s);
    rill_tick(s->hub, s->now);
    done(s);
  } while (true);
}

static inline int feed(session *s, stream *t, const uint8_t *data, size_t len) {
  uint8_t *exact;
  int rv;

  if (t->conn == NULL || len == 0)
    return 0;
  if ((rill_wants(t->conn) & (RILL_WANT_DIAL | RILL_WANT_CLOSE)) != 0)
    return 0;
  exact = malloc(len);
  MUST(exact != NULL);
  memcpy(exact, data, len);
  start(s);
  rv = rill_feed(t->conn, exact, len, s->now);
  done(s);
  free(exact);
  MUST(rv == 0 || rv == RILL_ERR_PROTO || rv == RILL_ERR_CLOSED ||
       rv == RILL_ERR_HANDLER || rv == RILL_ERR_LIMIT);
  t->violated |= rv == RILL_ERR_PROTO;
  return rv;
}

static inline void end_stream(session *s, stream *t) {
  if (t->conn == NULL || (rill_wants(t->conn) & RILL_WANT_CLOSE) != 0)
    return;
  start(s);
  rill_feed_end(t->conn, 0, s->now);
  done(s);
}

static inline void resume(session *s, stream *t) {
  if (!t->paused)
    return;
  t->paused = false;
  rill_resume(t->peer);
  turn(s);
}

/* The answer to the key that the dialed side has sent. */
static inline void put_accept(session *s, buf *out) {
  static const char name[] = "Sec-WebSocket-Key: ";
  const char *key = strstr((const char *)s->a.out.data, name);
  char accept[29];

  MUST(key != NULL);
  rill__ws_accept_key((rill_str){key + sizeof name - 1, 24}, accept);
  buf_text(out, accept);
}

static inline void put_hello(session *s, buf *out, const char *who) {
  const char *path = (s->flags & DEFLATE) != 0 ? "/d" : "/r";

  if (s->a.dialed && strcmp(who, "a") == 0) {
    buf_text(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    put_accept(s, out);
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
static inline void cook(session *s, input *in, buf *out) {
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

static inline void accept_stream(session *s, stream *t) {
  rill_conn_info info = {rill_s("192.0.2.1"), 1, false};

  MUST(rill_conn_new(&t->conn, s->hub, &info, s->now) == 0);
}

static inline void set_limits(session *s, rill_limits *l) {
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

static inline void begin(session *s, uint8_t flags) {
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
static inline void finish(session *s) {
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

static inline void clear(session *s) {
  reader_finish(&s->a.rd);
  reader_finish(&s->b.rd);
  buf_clear(&s->a.out);
  buf_clear(&s->b.out);
  buf_clear(&s->log);
}

#endif
