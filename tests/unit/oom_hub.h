/*
 * oom_hub.h - the hub of oom.h: its handlers, and an adapter that moves bytes
 * between it and scripted clients.
 */
#ifndef OOM_HUB_H
#define OOM_HUB_H

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

static inline int oom_random(void *arg, void *out, size_t len) {
  oom *o = arg;
  uint8_t *p = out;

  while (len-- > 0)
    *p++ = (uint8_t)(xorshift(&o->seed) >> 24);
  return 0;
}

static inline client *oom_client_of(oom *o, rill_peer peer) {
  for (int i = 0; i < o->n; i++)
    if (rill_peer_eq(o->c[i].peer, peer))
      return &o->c[i];
  return NULL;
}

/* ---- handlers: the first byte of a message says what is to be done ---- */

static inline int oom_on_open(rill_peer peer, const rill_request *req,
                              void *arg) {
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

static inline void oom_broadcast(oom *o, const rill_msg *msg) {
  rill_str room = rill_s("room");

  if (rill_send_room(o->hub, room, msg) == 0)
    o->broadcasts++;
}

/* All that a union may name; a key for each peer's newest only. */
static inline void oom_union(oom *o, rill_peer me) {
  rill_str rooms[2] = {rill_s("room"), rill_s("other")};
  rill_str user = rill_s("ann");
  rill_to to = {.rooms = rooms,
                .nrooms = 2,
                .users = &user,
                .nusers = 1,
                .peers = &me,
                .npeers = 1};
  rill_msg msg = rill_text("union");

  rill_send_to(o->hub, &to, &msg);
  msg.key = rill_s("key");
  for (int i = 0; i < 3; i++)
    rill_send_to(o->hub, &to, &msg);
}

static inline int oom_on_message(rill_peer peer, const rill_msg *msg,
                                 void *arg) {
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

static inline int oom_on_drain(rill_peer peer, void *arg) {
  client *c = oom_client_of(arg, peer);

  MUST(c != NULL && c->closed == 0);
  return 0;
}

static inline int oom_on_joined(rill_peer peer, rill_str room, int status,
                                void *arg) {
  oom *o = arg;
  client *c = oom_client_of(o, peer);

  MUST(c != NULL && c->closed == 0);
  MUST(rill_in_room(peer, room) == (status == 0));
  o->score += status == 0;
  return 0;
}

static inline void oom_on_close(rill_peer peer, const rill_closed *closed,
                                void *arg) {
  client *c = oom_client_of(arg, peer);

  MUST(c != NULL && (c->was_open || c->dialed));
  MUST(c->closed++ == 0);
  MUST(closed->cause != RILL_CAUSE_NONE);
}

static const rill_handlers oom_handlers = {
    .on_open = oom_on_open,
    .on_message = oom_on_message,
    .on_drain = oom_on_drain,
    .on_joined = oom_on_joined,
    .on_close = oom_on_close};

static inline int oom_authenticate(rill_request *req, void *arg) {
  oom *o = arg;
  rill_str i = rill_request_param(req, "i");

  if (!o->async)
    return rill_accept(req, rill_s(i.ptr[1] % 2 == 0 ? "ann" : "bob"));
  o->later = req;
  return RILL_LATER;
}

static inline int oom_authorize(rill_peer peer, rill_str room, void *arg) {
  oom *o = arg;

  (void)peer;
  (void)room;
  return o->async ? RILL_LATER : 0;
}

static inline int oom_request(rill_request *req, void *arg) {
  oom *o = arg;
  rill_str body = rill_request_body(req);
  rill_header header = {"X-Test", "oom"};
  rill_response r = {.body = body.ptr,
                     .body_len = body.len,
                     .headers = &header,
                     .nheaders = 1};

  if (!o->async) {
    rill_respond(req, &r);
    return 0;
  }
  o->later = req;
  return RILL_LATER;
}

/* ---- the adapter ---- */

static inline void oom_close(client *c) {
  oom_enter();
  rill_conn_free(c->conn);
  oom_leave();
  c->conn = NULL;
  c->ended = true;
  if (c->mate != NULL)
    c->mate->ended = true;
}

static inline void oom_write(client *c) {
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
static inline void oom_take(client *c) {
  do
    oom_write(c);
  while (c->reads && (rill_wants(c->conn) & RILL_WANT_WRITE) != 0);
}

static inline client *oom_of(oom *o, rill_conn *conn) {
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

static inline bool oom_ready(oom *o) {
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

static inline bool oom_feed(client *c) {
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
  if (c->conn != NULL && (wants & RILL_WANT_CLOSE) == 0 && c->ended && n == 0) {
    c->ended = false;
    oom_enter();
    rill_feed_end(c->conn, 0, c->o->now);
    oom_leave();
    return true;
  }
  return false;
}

static inline void oom_turn(oom *o) {
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

static inline void oom_pass(oom *o, rill_time ns) {
  rill_time to = o->now + ns;

  oom_turn(o);
  while (o->hub != NULL && rill_deadline(o->hub) <= to) {
    o->now = rill_deadline(o->hub);
    oom_turn(o);
  }
  o->now = to;
}

#endif
