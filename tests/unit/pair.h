/*
 * pair.h - two ends in memory: conns of a hub on one side, and on the other
 * a script, or a conn of the same or of a second hub.
 *
 * An |end| is one stream.  What the script says (end_say...) waits in |tx|
 * until the conn wants to read; what the conn writes is kept in |rx|, and
 * end_took tells it as text.  pair_turn is the adapter: it moves bytes until
 * nothing moves, whole, byte by byte or in seeded random cuts, always from
 * heap blocks of the exact size.  Time stands still unless pair_pass or
 * pair_jump moves it.
 *
 * Each handler and hook notes itself in a log (pair_log) and then asks
 * |act|, where a test says what it does and returns.  On the way the fixture
 * checks what holds for all tests: handlers run only inside of feed, tick
 * and the like, never inside each other; on_close comes once for each peer
 * that was opened or dialed, last, and for no other; every block is given
 * back with its size.
 */
#ifndef PAIR_H
#define PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/rill.h>

#include "hub/conn.h"
#include "hub/peer.h"
#include "mem.h"

typedef struct pair pair;

typedef struct end {
  pair *p;
  rill_hub *hub;
  rill_conn *conn; /* NULL once closed */
  rill_peer peer;  /* once opened or dialed */
  size_t index;
  struct end *mate; /* the conn at the other end, if it is no script */

  buf tx, rx;
  size_t fed, told; /* how much of tx the conn has, how much of rx was told */
  size_t room;      /* bytes that the stream takes; SIZE_MAX: all */
  bool blocked;     /* the conn has been told that it takes no more */
  bool fin;         /* the stream ends behind tx */
  int fin_error;
  bool upgraded; /* rx goes on with frames */
  bool head;     /* the next answer has no body: it is to a HEAD */
  bool eof_told;
  int error; /* the last that rill_feed returned, if any */

  int opened, closed; /* how often on_open and on_close came */
  rill_closed how;    /* what on_close said; the reason is in |why| */
  char why[128];
  bool dialed;

  buf text;                 /* of end_took */
  buf http_head, http_body; /* of the last answer */
  int status;
} end;

typedef struct event {
  const char *name; /* open message drain joined close auth authorize charge
                       request */
  end *end;         /* NULL where there is none yet */
  rill_peer peer;
  rill_request *req;
  const rill_msg *msg;
  rill_str room;
  int status;
} event;

#define PAIR_ENDS 4096
enum { PAIR_WHOLE, PAIR_BYTES, PAIR_RANDOM };

struct pair {
  mem mem;
  rill_config config;
  rill_hub *hub, *other;
  rill_time now;
  uint64_t seed;
  int cut;
  bool no_random;
  bool may_run; /* inside of a call that may run handlers */
  int depth;    /* of handlers */
  end *ends[PAIR_ENDS];
  size_t nends;
  buf log;
  bool quiet; /* no log */
  int (*act)(pair *p, const event *e);
  void *act_arg;
};

static inline size_t pair_piece(pair *p, size_t len) {
  uint64_t r;

  if (p->cut == PAIR_WHOLE)
    return len;
  if (p->cut == PAIR_BYTES)
    return 1;
  r = xorshift(&p->seed) >> 8;
  r = r % ((r >> 40 & 3) == 0 ? 5000 : (r >> 42 & 3) == 0 ? 200 : 8) + 1;
  return r < len ? (size_t)r : len;
}

static inline int pair_random(void *arg, void *out, size_t len) {
  pair *p = arg;
  uint8_t *b = out;

  if (p->no_random)
    return -1;
  while (len-- > 0)
    *b++ = (uint8_t)(xorshift(&p->seed) >> 24);
  return 0;
}

static inline end *pair_end_of(pair *p, rill_peer peer) {
  const rill__peer *in = rill__peer_of(peer);

  if (in != NULL && in->conn != NULL)
    return rill_conn_arg_of(in->conn).ptr;
  for (size_t i = 0; i < p->nends; i++)
    if (rill_peer_eq(p->ends[i]->peer, peer))
      return p->ends[i];
  return NULL;
}

static inline void pair_note(pair *p, const end *e, const char *what) {
  char name[16];

  if (p->quiet)
    return;
  if (p->log.len > 0)
    buf_text(&p->log, "; ");
  if (e != NULL) {
    snprintf(name, sizeof name, "%zu ", e->index);
    buf_text(&p->log, name);
  }
  buf_text(&p->log, what);
}

static inline void pair_note_bytes(pair *p, const void *data, size_t len) {
  char size[32];

  if (p->quiet)
    return;
  buf_text(&p->log, " ");
  if (len <= 80) {
    buf_add(&p->log, data, len);
  } else {
    snprintf(size, sizeof size, "#%zu", len);
    buf_text(&p->log, size);
  }
}

/* What the handlers have noted since the last call, "" for nothing. */
static inline const char *pair_log(pair *p) {
  static buf last;

  buf_clear(&last);
  buf_add(&last, p->log.data, p->log.len);
  buf_clear(&p->log);
  return (const char *)last.data;
}

static inline int pair_act(pair *p, const event *e) {
  int rv = 0;

  MUST(p->may_run);    /* commands only queue */
  MUST(p->depth == 0); /* no handler inside of another */
  p->depth++;
  if (p->act != NULL)
    rv = p->act(p, e);
  p->depth--;
  return rv;
}

static inline int pair_on_open(rill_peer peer, const rill_request *req,
                               void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && req != NULL);
  MUST(!e->dialed || rill_peer_eq(e->peer, peer));
  e->peer = peer;
  MUST(e->opened++ == 0 && e->closed == 0);
  MUST(rill_is_open(peer));
  pair_note(p, e, "open");
  return pair_act(p, &(event){.name = "open",
                              .end = e,
                              .peer = peer,
                              .req = (rill_request *)(uintptr_t)req});
}

static inline int pair_on_message(rill_peer peer, const rill_msg *msg,
                                  void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && e->opened == 1 && e->closed == 0);
  MUST(msg->kind == RILL_TEXT || msg->kind == RILL_BINARY);
  pair_note(p, e, msg->kind == RILL_TEXT ? "text" : "binary");
  pair_note_bytes(p, msg->data, msg->len);
  return pair_act(
      p, &(event){.name = "message", .end = e, .peer = peer, .msg = msg});
}

static inline int pair_on_drain(rill_peer peer, void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && e->opened == 1 && e->closed == 0);
  pair_note(p, e, "drain");
  return pair_act(p, &(event){.name = "drain", .end = e, .peer = peer});
}

static inline int pair_on_joined(rill_peer peer, rill_str room, int status,
                                 void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && e->opened == 1 && e->closed == 0);
  pair_note(p, e, "joined");
  pair_note_bytes(p, room.ptr, room.len);
  if (status != 0)
    pair_note_bytes(p, rill_errname(status), strlen(rill_errname(status)));
  return pair_act(p, &(event){.name = "joined",
                              .end = e,
                              .peer = peer,
                              .room = room,
                              .status = status});
}

static inline void pair_on_close(rill_peer peer, const rill_closed *closed,
                                 void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);
  char text[64];

  MUST(e != NULL && (e->opened == 1 || e->dialed));
  MUST(e->closed++ == 0);
  MUST(!rill_is_open(peer) && rill_peer_id(peer) != 0);
  MUST(closed->reason.len < sizeof e->why);
  e->how = *closed;
  if (closed->reason.len > 0)
    memcpy(e->why, closed->reason.ptr, closed->reason.len);
  e->why[closed->reason.len] = '\0';
  e->how.reason = rill_s(e->why);
  snprintf(text, sizeof text, "close %d %u/%u", closed->cause, closed->code,
           closed->sent);
  pair_note(p, e, text);
  pair_act(p, &(event){.name = "close", .end = e, .peer = peer});
}

static inline int pair_authenticate(rill_request *req, void *arg) {
  pair *p = arg;

  pair_note(p, NULL, "auth");
  return pair_act(p, &(event){.name = "auth", .req = req});
}

static inline int pair_authorize(rill_peer peer, rill_str room, void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && e->opened == 1 && e->closed == 0);
  pair_note(p, e, "authorize");
  pair_note_bytes(p, room.ptr, room.len);
  return pair_act(
      p, &(event){.name = "authorize", .end = e, .peer = peer, .room = room});
}

static inline uint32_t pair_charge(rill_peer peer, const rill_msg *msg,
                                   void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && e->opened == 1 && e->closed == 0);
  return (uint32_t)pair_act(
      p, &(event){.name = "charge", .end = e, .peer = peer, .msg = msg});
}

static inline int pair_request(rill_request *req, void *arg) {
  pair *p = arg;
  rill_str path = rill_request_path(req);

  pair_note(p, NULL, "request");
  pair_note_bytes(p, path.ptr, path.len);
  return pair_act(p, &(event){.name = "request", .req = req});
}

/* Handlers of a route or a dial, with the pair as their argument. */
static const rill_handlers pair_handlers = {
    .on_open = pair_on_open,
    .on_message = pair_on_message,
    .on_drain = pair_on_drain,
    .on_joined = pair_on_joined,
    .on_close = pair_on_close};

static inline void pair_route(pair *p, const char *path,
                              const rill_route_opts *like) {
  rill_route_opts opts = like != NULL ? *like : (rill_route_opts){0};

  opts.handlers = &pair_handlers;
  opts.arg = p;
  assert_int_equal(rill_route(p->hub, path, RILL_RAW, &opts), 0);
}

/* Makes the hub of |config|, with the route "/ws". */
static inline void pair_begin(pair *p) {
  assert_int_equal(rill_hub_new(&p->hub, &p->config), 0);
  pair_route(p, "/ws", NULL);
}

static inline end *pair_end_new(pair *p, rill_hub *hub, rill_conn *conn) {
  end *e = calloc(1, sizeof *e);

  MUST(e != NULL && p->nends < PAIR_ENDS);
  e->p = p;
  e->hub = hub;
  e->conn = conn;
  e->index = p->nends;
  e->room = SIZE_MAX;
  p->ends[p->nends++] = e;
  rill_conn_set_arg(conn, (rill_conn_arg){.ptr = e});
  return e;
}

static inline end *pair_accept_from(pair *p, const char *address, bool secure) {
  rill_conn_info info = {rill_s(address), 4711, secure};
  rill_conn *conn;

  assert_int_equal(rill_conn_new(&conn, p->hub, &info, p->now), 0);
  return pair_end_new(p, p->hub, conn);
}

static inline end *pair_accept(pair *p) {
  return pair_accept_from(p, "192.0.2.1", false);
}

static inline void end_close(end *e) {
  rill_conn_free(e->conn);
  e->conn = NULL;
  if (e->mate != NULL)
    e->mate->fin = true;
}

/* Writes what is pending, as far as there is room. */
static inline void end_take(end *e) {
  pair *p = e->p;
  rill_iov iov[8];
  size_t pieces, n = 0, total = 0;
  size_t max = p->cut == PAIR_RANDOM ? xorshift(&p->seed) % 8 + 1 : 8;

  pieces = rill_pending(e->conn, iov, max);
  MUST(pieces <= max);
  for (size_t i = 0; i < pieces; i++) {
    size_t len = iov[i].len < e->room - n ? iov[i].len : e->room - n;
    MUST(iov[i].len > 0);
    buf_add(e->mate != NULL ? &e->mate->tx : &e->rx, iov[i].base, len);
    n += len;
    total += iov[i].len;
  }
  if (e->room != SIZE_MAX)
    e->room -= n;
  if (n > 0 || !e->blocked)
    rill_sent(e->conn, n, p->now);
  e->blocked = n < total;
}

static inline int end_feed(end *e, const void *data, size_t len) {
  pair *p = e->p;
  uint8_t *exact = malloc(len);
  int rv;

  MUST(exact != NULL && len > 0 && !p->may_run);
  memcpy(exact, data, len);
  p->may_run = true;
  rv = rill_feed(e->conn, exact, len, p->now);
  p->may_run = false;
  if (rv != 0)
    e->error = rv;
  memset(exact, 0x5a, len);
  free(exact);
  return rv;
}

static inline void end_feed_end(end *e, int error) {
  MUST(!e->p->may_run);
  e->p->may_run = true;
  rill_feed_end(e->conn, error, e->p->now);
  e->p->may_run = false;
}

static inline void pair_tick(pair *p, rill_hub *hub) {
  MUST(!p->may_run);
  p->may_run = true;
  rill_tick(hub, p->now);
  p->may_run = false;
}

static inline bool pair_serve(pair *p, rill_hub *hub) {
  rill_conn *conn = rill_next_ready(hub);
  unsigned wants;
  end *e;

  if (conn == NULL)
    return false;
  e = rill_conn_arg_of(conn).ptr;
  if (e == NULL)
    e = pair_end_new(p, hub, conn);
  wants = rill_wants(conn);
  if ((wants & RILL_WANT_CLOSE) != 0) {
    rill_iov iov;
    MUST(wants == RILL_WANT_CLOSE && rill_pending(conn, &iov, 1) == 0);
    end_close(e);
  } else if ((wants & RILL_WANT_WRITE) != 0) {
    end_take(e);
  }
  return true;
}

/* One move for |e|: bytes out, bytes in, or the end of the stream. */
static inline bool end_move(end *e) {
  unsigned wants = e->conn != NULL ? rill_wants(e->conn) : 0;
  size_t left = e->tx.len - e->fed;

  if ((wants & RILL_WANT_CLOSE) != 0) {
    end_close(e);
    return true;
  }
  if ((wants & RILL_WANT_WRITE) != 0 && e->room > 0) {
    end_take(e);
    return true;
  }
  if ((wants & RILL_WANT_READ) != 0 && left > 0) {
    size_t n = pair_piece(e->p, left);
    e->fed += n;
    end_feed(e, e->tx.data + e->fed - n, n);
    return true;
  }
  if (e->conn != NULL && e->fin && left == 0) {
    e->fin = false;
    end_feed_end(e, e->fin_error);
    return true;
  }
  return false;
}

static inline bool pair_step(pair *p) {
  rill_hub *hubs[2] = {p->hub, p->other};
  bool moved = false;

  for (int i = 0; i < 2; i++)
    while (hubs[i] != NULL && pair_serve(p, hubs[i]))
      moved = true;
  for (size_t i = 0; i < p->nends; i++)
    moved |= end_move(p->ends[i]);
  for (int i = 0; i < 2; i++)
    if (hubs[i] != NULL && rill_deadline(hubs[i]) <= p->now) {
      pair_tick(p, hubs[i]);
      moved = true;
    }
  return moved;
}

/* Turns until nothing moves. */
static inline void pair_turn(pair *p) {
  for (long i = 0; pair_step(p); i++)
    MUST(i < 20000000); /* it spins */
}

static inline rill_time pair_next(const pair *p) {
  rill_time next = rill_deadline(p->hub);

  if (p->other != NULL && rill_deadline(p->other) < next)
    next = rill_deadline(p->other);
  return next;
}

/* Lets |ns| go by: each deadline is met when it comes. */
static inline void pair_pass(pair *p, rill_time ns) {
  rill_time to = p->now + ns;

  pair_turn(p);
  while (pair_next(p) <= to) {
    if (pair_next(p) > p->now)
      p->now = pair_next(p);
    pair_turn(p);
  }
  p->now = to;
  pair_turn(p);
}

/* Time leaps: nothing was met on the way. */
static inline void pair_jump(pair *p, rill_time ns) {
  p->now += ns;
  pair_tick(p, p->hub);
  pair_turn(p);
}

static inline void end_say(end *e, const char *bytes) {
  buf_text(&e->tx, bytes);
  pair_turn(e->p);
}

static inline void end_say_bytes(end *e, const void *data, size_t len) {
  buf_add(&e->tx, data, len);
  pair_turn(e->p);
}

/* Adds a frame, masked with |mask| unless NULL, to what is to be said. */
static inline void put_frame(buf *out, unsigned first, const void *data,
                             size_t len, const uint8_t *mask) {
  uint8_t head[14] = {(uint8_t)first};
  const uint8_t *src = data;
  size_t n = 2;

  if (len < 126) {
    head[1] = (uint8_t)len;
  } else if (len < 65536) {
    head[1] = 126;
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    n = 4;
  } else {
    head[1] = 127;
    for (int i = 0; i < 8; i++)
      head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    n = 10;
  }
  if (mask != NULL) {
    head[1] |= 0x80;
    memcpy(head + n, mask, 4);
    n += 4;
  }
  buf_add(out, head, n);
  if (mask == NULL) {
    buf_add(out, data, len);
    return;
  }
  for (size_t i = 0; i < len; i++) {
    uint8_t c = src[i] ^ mask[i & 3];
    buf_add(out, &c, 1);
  }
}

/* A frame of the client, or, at a dialed end, of the server. */
static inline void end_put(end *e, unsigned first, const void *data,
                           size_t len) {
  uint64_t r = xorshift(&e->p->seed);
  uint8_t mask[4] = {(uint8_t)r, (uint8_t)(r >> 8), (uint8_t)(r >> 16),
                     (uint8_t)(r >> 24)};

  put_frame(&e->tx, first, data, len, e->dialed ? NULL : mask);
}

static inline void end_frame(end *e, unsigned first, const void *data,
                             size_t len) {
  end_put(e, first, data, len);
  pair_turn(e->p);
}

static inline void end_text(end *e, const char *text) {
  end_frame(e, 0x81, text, strlen(text));
}

/* A close frame; code 0 has no body. */
static inline void end_bye(end *e, unsigned code, const char *reason) {
  uint8_t body[127] = {(uint8_t)(code >> 8), (uint8_t)code};
  size_t len = strlen(reason);

  MUST(len <= 123);
  memcpy(body + 2, reason, len);
  end_frame(e, 0x88, body, code == 0 ? 0 : len + 2);
}

/* The stream ends, behind what was said. */
static inline void end_eof(end *e, int error) {
  e->fin = true;
  e->fin_error = error;
  pair_turn(e->p);
}

/* The other side takes |n| more bytes; SIZE_MAX: all there will be. */
static inline void end_room(end *e, size_t n) {
  e->room = n == SIZE_MAX || e->room == SIZE_MAX ? n : e->room + n;
  pair_turn(e->p);
}

#include "pair_took.h"

#define PAIR_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define PAIR_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* Asks for an upgrade at |path|, with |more| header lines. */
static inline void end_hello(end *e, const char *path, const char *more) {
  buf_text(&e->tx, "GET ");
  buf_text(&e->tx, path);
  buf_text(&e->tx, " HTTP/1.1\r\nHost: example.org\r\n"
                   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: " PAIR_KEY "\r\n");
  buf_text(&e->tx, more);
  end_say(e, "\r\n");
}

/* A new peer at |path|; the log of its opening is dropped. */
static inline end *pair_open_at(pair *p, const char *path, const char *more) {
  end *e = pair_accept(p);

  end_hello(e, path, more);
  assert_string_equal(end_took(e), "101");
  assert_int_equal(e->opened, 1);
  pair_log(p);
  return e;
}

static inline end *pair_open(pair *p) {
  return pair_open_at(p, "/ws", "");
}

/*
 * Dials |url| from |hub|: the end of the dialed conn, of which the script is
 * the server.  It is not connected yet.
 */
static inline end *pair_dial(pair *p, rill_hub *hub, const char *url,
                             const rill_dial_opts *like) {
  rill_dial_opts opts = like != NULL ? *like : (rill_dial_opts){0};
  rill_peer peer;
  end *e;

  opts.handlers = &pair_handlers;
  opts.arg = p;
  assert_int_equal(rill_dial(&peer, hub, url, &opts, p->now), 0);
  e = pair_end_new(p, hub, rill__peer_of(peer)->conn);
  e->peer = peer;
  e->dialed = true;
  pair_turn(p);
  assert_int_equal(rill_wants(e->conn), RILL_WANT_DIAL);
  return e;
}

static inline void end_dialed(end *e, int error) {
  MUST(!e->p->may_run);
  e->p->may_run = true;
  rill_dialed(e->conn, error, e->p->now);
  e->p->may_run = false;
  pair_turn(e->p);
}

/* From now on what one conn writes the other reads. */
static inline void pair_join(end *a, end *b) {
  a->mate = b;
  b->mate = a;
}

static inline rill_metrics pair_metrics(const pair *p) {
  rill_metrics m;

  rill_metrics_read(p->hub, &m);
  return m;
}

static inline int pair_setup(void **state) {
  uintptr_t n = (uintptr_t)*state;
  pair *p = calloc(1, sizeof *p);

  MUST(p != NULL);
  p->cut = n < 2 ? (int)n : PAIR_RANDOM;
  p->seed = 0x9e3779b97f4a7c15u * (n + 1);
  p->now = 1000 * RILL_SEC;
  rill_config_init(&p->config);
  p->config.arg = p;
  p->config.alloc = mem_fn;
  p->config.alloc_arg = &p->mem;
  p->config.random = pair_random;
  /* Admission is a topic of its own. */
  p->config.limits.conns_per_address = RILL_UNLIMITED;
  p->config.limits.accepts_per_sec = RILL_UNLIMITED;
  p->config.limits.address_accepts_per_sec = RILL_UNLIMITED;
  *state = p;
  return 0;
}

/* The adapter lets go of everything; each peer hears of it. */
static inline void pair_let_go(pair *p) {
  for (size_t i = 0; i < p->nends; i++) {
    rill_conn_free(p->ends[i]->conn);
    p->ends[i]->conn = NULL;
  }
  p->act = NULL;
  if (p->hub != NULL)
    pair_tick(p, p->hub);
  if (p->other != NULL)
    pair_tick(p, p->other);
  for (size_t i = 0; i < p->nends; i++) {
    end *e = p->ends[i];
    assert_int_equal(e->closed, e->dialed ? 1 : e->opened);
  }
}

/* The end of a hub; another may begin after it. */
static inline void pair_reset(pair *p) {
  pair_let_go(p);
  rill_hub_free(p->hub);
  rill_hub_free(p->other);
  p->hub = p->other = NULL;
  for (size_t i = 0; i < p->nends; i++) {
    end *e = p->ends[i];
    buf_clear(&e->tx);
    buf_clear(&e->rx);
    buf_clear(&e->text);
    buf_clear(&e->http_head);
    buf_clear(&e->http_body);
    free(e);
  }
  p->nends = 0;
  buf_clear(&p->log);
  assert_int_equal(p->mem.blocks, 0);
  assert_int_equal(p->mem.bytes, 0);
}

static inline int pair_teardown(void **state) {
  pair *p = *state;

  if (p->may_run)
    return -1; /* the test failed inside of a handler */
  pair_reset(p);
  free(p);
  return 0;
}

#define PAIR_CASE(f, how, n)                                                   \
  { #f how, f, pair_setup, pair_teardown, (void *)(uintptr_t)(n) }
/* A test that does not depend on how bytes come. */
#define PAIR_TEST(f) PAIR_CASE(f, "", PAIR_WHOLE)
/* One that does: whole, by bytes, and in five random ways. */
#define PAIR_TESTS(f)                                                          \
  PAIR_CASE(f, " (whole)", 0), PAIR_CASE(f, " (bytes)", 1),                    \
      PAIR_CASE(f, " (cut 2)", 2), PAIR_CASE(f, " (cut 3)", 3),                \
      PAIR_CASE(f, " (cut 4)", 4), PAIR_CASE(f, " (cut 5)", 5),                \
      PAIR_CASE(f, " (cut 6)", 6)

#endif
