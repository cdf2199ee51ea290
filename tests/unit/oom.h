/*
 * oom.h - what happens when an allocation fails: a hub with scripted clients,
 * and a sweep that lets each allocation of a scenario fail in turn.
 *
 * A scenario says what it has to say whatever became of it so far; it counts
 * what it reached in |score|, which has to be |full| where nothing fails.
 * What holds in all runs: calls return an error or succeed, peers that were
 * opened hear on_close once, what is written is well-formed, an open member
 * of a room got all that was sent to it, every block is given back, and with
 * memory again the same hub serves a new client.
 *
 * The program that includes this gives the two functions that follow; all
 * calls of the library are between oom_enter and oom_leave.
 */
#ifndef OOM_H
#define OOM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <signal.h>

#include <rill/rill.h>

#include "../sim/reader.h"
#include "mem.h"

/* The i-th allocation from now fails, 0 for none; with |on| all later too. */
static void oom_fail(uint64_t i, bool on);
/* Allocations since oom_fail, and blocks that were not given back. */
static uint64_t oom_count(void);
static size_t oom_live(void);
static void oom_enter(void);
static void oom_leave(void);
static rill_alloc_fn oom_alloc; /* NULL: the library's own */

#define OOM_CLIENTS 32

typedef struct oom oom;
typedef struct client {
  oom *o;
  rill_conn *conn;
  struct client *mate; /* of a dialed conn: the accepted one */
  reader rd;
  buf tx;
  size_t fed;
  bool reads, dialed, ended;
  bool was_open; /* on_open came */
  int closed;    /* on_close came so often */
  rill_peer peer;
  unsigned joined; /* broadcasts before it joined */
  unsigned got;
  bool member;
} client;

struct oom {
  rill_hub *hub;
  rill_time now;
  client c[OOM_CLIENTS];
  int n;
  unsigned score, full, broadcasts;
  rill_request *later; /* waits for its verdict */
  bool async;          /* requests and joins wait */
  uint64_t seed;
};

static int oom_random(void *arg, void *out, size_t len) {
  oom *o = arg;
  uint8_t *p = out;

  while (len-- > 0)
    *p++ = (uint8_t)(xorshift(&o->seed) >> 24);
  return 0;
}

static client *oom_client_of(oom *o, rill_peer peer) {
  for (int i = 0; i < o->n; i++)
    if (rill_peer_eq(o->c[i].peer, peer))
      return &o->c[i];
  return NULL;
}

/* ---- handlers: the first byte of a message says what is to be done ---- */

static int oom_on_open(rill_peer peer, const rill_request *req, void *arg) {
  oom *o = arg;
  rill_str i = rill_request_param(req, "i");
  client *c = oom_client_of(o, peer);

  if (c == NULL) {
    MUST(i.len == 2);
    c = &o->c[(i.ptr[0] - '0') * 10 + (i.ptr[1] - '0')];
  }
  MUST(!c->was_open && c->closed == 0);
  c->was_open = true;
  c->peer = peer;
  return 0;
}

static void oom_broadcast(oom *o, const rill_msg *msg) {
  rill_str room = rill_s("room");

  if (rill_send_room(o->hub, room, msg) == 0)
    o->broadcasts++;
}

/* All that a union may name; a key for each peer's newest only. */
static void oom_union(oom *o, rill_peer me) {
  rill_str rooms[2] = {rill_s("room"), rill_s("other")};
  rill_str user = rill_s("ann");
  rill_to to = {.rooms = rooms, .nrooms = 2, .users = &user, .nusers = 1,
                .peers = &me, .npeers = 1};
  rill_msg msg = rill_text("union");

  rill_send_to(o->hub, &to, &msg);
  msg.key = rill_s("key");
  for (int i = 0; i < 3; i++)
    rill_send_to(o->hub, &to, &msg);
}

static int oom_on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  oom *o = arg;
  client *c = oom_client_of(o, peer);
  const char *text = msg->data;

  MUST(c != NULL && c->was_open && c->closed == 0);
  c->got++;
  switch (msg->len > 0 ? text[0] : 'e') {
  case 'j':
    if (rill_join(peer, rill_s("room")) == 0 && !c->member) {
      c->member = true;
      c->joined = o->broadcasts;
    }
    break;
  case 'J':
    rill_join_request(peer, rill_s("other"));
    break;
  case 'l':
    rill_leave(peer, rill_s("room"));
    c->member = false;
    break;
  case 'b':
    oom_broadcast(o, msg);
    break;
  case 'u':
    oom_union(o, peer);
    break;
  case 'c':
    rill_close(peer, 4000, "asked to");
    break;
  case 'x':
    rill_cut(peer);
    break;
  case 'p':
    rill_ping(peer);
    break;
  case '!':
    return -99;
  case 'q': /* quiet */
    break;
  default:
    if (!c->dialed)
      rill_send(peer, msg);
    break;
  }
  return 0;
}

static int oom_on_drain(rill_peer peer, void *arg) {
  client *c = oom_client_of(arg, peer);

  MUST(c != NULL && c->closed == 0);
  return 0;
}

static int oom_on_joined(rill_peer peer, rill_str room, int status,
                         void *arg) {
  oom *o = arg;
  client *c = oom_client_of(o, peer);

  MUST(c != NULL && c->closed == 0);
  MUST(rill_in_room(peer, room) == (status == 0));
  o->score += status == 0;
  return 0;
}

static void oom_on_close(rill_peer peer, const rill_closed *closed,
                         void *arg) {
  client *c = oom_client_of(arg, peer);

  MUST(c != NULL && (c->was_open || c->dialed));
  MUST(c->closed++ == 0);
  MUST(closed->cause != RILL_CAUSE_NONE);
}

static const rill_handlers oom_handlers = {oom_on_open, oom_on_message,
                                           oom_on_drain, oom_on_joined,
                                           oom_on_close};

static int oom_authenticate(rill_request *req, void *arg) {
  oom *o = arg;
  rill_str i = rill_request_param(req, "i");

  if (!o->async)
    return rill_accept(req, rill_s(i.ptr[1] % 2 == 0 ? "ann" : "bob"));
  o->later = req;
  return RILL_LATER;
}

static int oom_authorize(rill_peer peer, rill_str room, void *arg) {
  oom *o = arg;

  (void)peer;
  (void)room;
  return o->async ? RILL_LATER : 0;
}

static int oom_request(rill_request *req, void *arg) {
  oom *o = arg;
  rill_str body = rill_request_body(req);
  rill_header header = {"X-Test", "oom"};
  rill_response r = {.body = body.ptr, .body_len = body.len,
                     .headers = &header, .nheaders = 1};

  if (!o->async) {
    rill_respond(req, &r);
    return 0;
  }
  o->later = req;
  return RILL_LATER;
}

/* ---- the adapter ---- */

static void oom_close(client *c) {
  oom_enter();
  rill_conn_free(c->conn);
  oom_leave();
  c->conn = NULL;
  c->ended = true;
  if (c->mate != NULL)
    c->mate->ended = true;
}

static void oom_write(client *c) {
  rill_iov iov[4];
  size_t n, done = 0;

  oom_enter();
  n = rill_pending(c->conn, iov, 4);
  oom_leave();
  for (size_t i = 0; i < n && c->reads; i++) {
    done += iov[i].len;
    if (c->mate != NULL)
      buf_add(&c->mate->tx, iov[i].base, iov[i].len);
    else if (!c->dialed)
      reader_feed(&c->rd, iov[i].base, iov[i].len);
  }
  MUST(c->rd.bad == NULL);
  oom_enter();
  rill_sent(c->conn, done, c->o->now);
  oom_leave();
}

/* Writes all there is; where the client does not read, tries once. */
static void oom_take(client *c) {
  do
    oom_write(c);
  while (c->reads && (rill_wants(c->conn) & RILL_WANT_WRITE) != 0);
}

static client *oom_of(oom *o, rill_conn *conn) {
  client *c = rill_conn_arg_of(conn).ptr;

  if (c == NULL) { /* dialed */
    for (int i = 0; i < o->n && c == NULL; i++)
      if (o->c[i].dialed && o->c[i].conn == NULL && !o->c[i].ended)
        c = &o->c[i];
    MUST(c != NULL);
    c->conn = conn;
    rill_conn_set_arg(conn, (rill_conn_arg){.ptr = c});
  }
  return c;
}

static bool oom_ready(oom *o) {
  rill_conn *conn;
  client *c;
  unsigned wants;

  oom_enter();
  conn = rill_next_ready(o->hub);
  oom_leave();
  if (conn == NULL)
    return false;
  c = oom_of(o, conn);
  wants = rill_wants(conn);
  if ((wants & RILL_WANT_CLOSE) != 0)
    oom_close(c);
  else if ((wants & RILL_WANT_WRITE) != 0)
    oom_take(c);
  return true;
}

static bool oom_feed(client *c) {
  unsigned wants = c->conn != NULL ? rill_wants(c->conn) : 0;
  size_t n = c->tx.len - c->fed;
  uint8_t *exact;

  if ((wants & RILL_WANT_READ) != 0 && n > 0) {
    exact = malloc(n);
    MUST(exact != NULL);
    memcpy(exact, c->tx.data + c->fed, n);
    c->fed += n;
    oom_enter();
    rill_feed(c->conn, exact, n, c->o->now);
    oom_leave();
    free(exact);
    return true;
  }
  if (c->conn != NULL && (wants & RILL_WANT_CLOSE) == 0 && c->ended &&
      n == 0) {
    c->ended = false;
    oom_enter();
    rill_feed_end(c->conn, 0, c->o->now);
    oom_leave();
    return true;
  }
  return false;
}

static void oom_turn(oom *o) {
  bool moved = o->hub != NULL;
  int rounds = 0;

  while (moved) {
    MUST(++rounds < 10000);
    moved = false;
    while (oom_ready(o))
      moved = true;
    for (int i = 0; i < o->n; i++)
      moved |= oom_feed(&o->c[i]);
    if (rill_deadline(o->hub) <= o->now) {
      oom_enter();
      rill_tick(o->hub, o->now);
      oom_leave();
      moved = true;
    }
  }
}

static void oom_pass(oom *o, rill_time ns) {
  rill_time to = o->now + ns;

  oom_turn(o);
  while (o->hub != NULL && rill_deadline(o->hub) <= to) {
    o->now = rill_deadline(o->hub);
    oom_turn(o);
  }
  o->now = to;
}

/* ---- clients ---- */

static client *oom_client(oom *o) {
  client *c = &o->c[o->n++];

  MUST(o->n <= OOM_CLIENTS);
  c->o = o;
  c->reads = true;
  reader_init(&c->rd, false, c);
  return c;
}

static client *oom_accept(oom *o) {
  client *c = oom_client(o);
  rill_conn_info info = {rill_s("192.0.2.7"), 99, false};

  if (o->hub == NULL)
    return c;
  oom_enter();
  if (rill_conn_new(&c->conn, o->hub, &info, o->now) == 0)
    rill_conn_set_arg(c->conn, (rill_conn_arg){.ptr = c});
  else
    MUST(c->conn == NULL);
  oom_leave();
  return c;
}

static void oom_say(client *c, const char *text) {
  buf_text(&c->tx, text);
  oom_turn(c->o);
}

static client *oom_open(oom *o, const char *path, const char *more) {
  client *c = oom_accept(o);
  char head[400];

  snprintf(head, sizeof head,
           "GET %s/%02d HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
           path, o->n - 1, more);
  oom_say(c, head);
  return c;
}

static void oom_frame(client *c, unsigned first, const void *data,
                      size_t len) {
  static const uint8_t mask[4] = {0x11, 0x52, 0x83, 0x44};
  const uint8_t *src = data;
  uint8_t head[14] = {(uint8_t)first};
  size_t n = 2;

  if (len < 126) {
    head[1] = (uint8_t)(0x80 | len);
  } else if (len < 65536) {
    head[1] = 0x80 | 126;
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    n = 4;
  } else {
    head[1] = 0x80 | 127;
    for (int i = 0; i < 8; i++)
      head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    n = 10;
  }
  memcpy(head + n, mask, 4);
  buf_add(&c->tx, head, n + 4);
  for (size_t i = 0; i < len; i++) {
    uint8_t b = src[i] ^ mask[i & 3];
    buf_add(&c->tx, &b, 1);
  }
}

static void oom_text(client *c, const char *text) {
  oom_frame(c, 0x81, text, strlen(text));
  oom_turn(c->o);
}

/* Compressed, without the tail. */
static void oom_packed(client *c, const void *data, size_t len) {
  uint8_t out[8192];
  z_stream z;

  memset(&z, 0, sizeof z);
  MUST(deflateInit2(&z, 6, Z_DEFLATED, -12, 5, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = (Bytef *)(uintptr_t)data;
  z.avail_in = (uInt)len;
  z.next_out = out;
  z.avail_out = sizeof out;
  MUST(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_out > 0);
  deflateEnd(&z);
  oom_frame(c, 0xc1, out, sizeof out - z.avail_out - 4);
  oom_turn(c->o);
}

static void oom_begin(oom *o, const rill_limits *limits) {
  rill_config config;
  rill_route_opts opts = {.handlers = &oom_handlers, .arg = o};
  const rill_room_opts newest = {RILL_DROP_NEWEST};
  int rv;

  rill_config_init(&config);
  config.alloc = oom_alloc;
  config.random = oom_random;
  config.authenticate = oom_authenticate;
  config.authorize_join = oom_authorize;
  config.arg = o;
  if (limits != NULL)
    config.limits = *limits;
  config.limits.conns_per_address = RILL_UNLIMITED;
  config.limits.address_accepts_per_sec = RILL_UNLIMITED;
  oom_enter();
  rv = rill_hub_new(&o->hub, &config);
  if (rv == 0)
    rv = rill_route(o->hub, "/ws/:i", RILL_RAW, &opts);
  opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 8};
  if (rv == 0)
    rv = rill_route(o->hub, "/deflate/:i", RILL_RAW, &opts);
  opts.deflate.server_context_takeover = true;
  opts.deflate.client_context_takeover = true;
  if (rv == 0)
    rv = rill_route(o->hub, "/takeover/:i", RILL_RAW, &opts);
  if (rv == 0)
    rv = rill_handle(o->hub, "*", "/plain", oom_request, o);
  if (rv == 0)
    rv = rill_room_defaults(o->hub, "new*", &newest);
  if (rv != 0) {
    MUST(rv == RILL_ERR_NOMEM);
    rill_hub_free(o->hub);
    o->hub = NULL;
  }
  oom_leave();
}

/* ---- the sweep ---- */

typedef void (*oom_scenario)(oom *o);

/* The run that is under way, to be told when it aborts. */
static struct {
  uint64_t fail;
  bool on;
  const oom *o;
  uint64_t worse; /* runs that did not reach all of it */
} oom_now;

static void oom_report(int sig) {
  (void)sig;
  fprintf(stderr, "allocation %llu failed%s; score %u of %u\n",
          (unsigned long long)oom_now.fail,
          oom_now.on ? ", and all later ones" : "", oom_now.o->score,
          oom_now.o->full);
}

/* With memory again: does the hub still work? */
static void oom_works(oom *o) {
  client *c;
  unsigned before;

  o->async = false;
  if (o->hub == NULL || rill_is_drained(o->hub) || o->n == OOM_CLIENTS)
    return;
  c = oom_open(o, "/takeover",
               "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  if (c->rd.status == 503)
    return; /* it drains */
  MUST(c->was_open && c->rd.status == 101);
  before = c->rd.messages;
  oom_text(c, "echo this, please: it works, it works, it works");
  oom_text(c, "J");
  MUST(c->rd.messages == before + 1 && rill_in_room(c->peer, rill_s("other")));
}

static void oom_end(oom *o) {
  if (o->later != NULL) {
    oom_enter();
    rill_reject(o->later, 503, "too late");
    oom_leave();
    o->later = NULL;
  }
  oom_works(o);
  for (int i = 0; i < o->n; i++)
    if (o->c[i].conn != NULL)
      oom_close(&o->c[i]);
  oom_turn(o);
  for (int i = 0; i < o->n; i++) {
    client *c = &o->c[i];
    MUST(c->closed == (c->was_open || c->peer.hub != NULL));
    reader_finish(&c->rd);
    buf_clear(&c->tx);
  }
  oom_enter();
  rill_hub_free(o->hub);
  oom_leave();
}

/* Members that are still open have had all that their room was sent. */
static void oom_check_members(const oom *o) {
  for (int i = 0; i < o->n; i++) {
    const client *c = &o->c[i];
    if (c->member && c->closed == 0 && c->reads && c->conn != NULL &&
        rill_is_open(c->peer))
      MUST(c->rd.messages >= o->broadcasts - c->joined);
  }
}

/* One run; returns how many allocations it made. */
static uint64_t oom_run(oom_scenario scenario, uint64_t fail, bool on) {
  oom *o = calloc(1, sizeof *o);
  uint64_t count;

  MUST(o != NULL);
  o->seed = 88172645463325252u;
  o->now = 1000 * RILL_SEC;
  oom_now.fail = fail;
  oom_now.on = on;
  oom_now.o = o;
  signal(SIGABRT, oom_report);
  oom_fail(fail, on);
  scenario(o);
  count = oom_count();
  oom_fail(0, false);
  oom_check_members(o);
  oom_now.worse += o->score < o->full;
  if (fail == 0)
    MUST(o->score == o->full);
  oom_end(o);
  MUST(oom_live() == 0);
  free(o);
  return count;
}

static void oom_sweep(oom_scenario scenario) {
  uint64_t n = oom_run(scenario, 0, false);

  MUST(n > 0);
  oom_now.worse = 0;
  for (uint64_t i = 1; i <= n; i++) {
    oom_run(scenario, i, false);
    oom_run(scenario, i, true);
  }
  MUST(oom_now.worse > n / 4); /* it does fail */
}

#endif
