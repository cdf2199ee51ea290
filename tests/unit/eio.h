/*
 * eio.h - clients of Engine.IO and Socket.IO in memory, on top of pair.h.
 *
 * A |world| is a pair whose hub serves /engine.io/, /socket.io/ and /json;
 * its handlers note what happens in the pair's log, by the order in which
 * peers were opened, and then ask |act|.  A |cli| is a client: on
 * long-polling, on a WebSocket, or upgraded; what it says and hears is in
 * packets, "b" and base64 for bytes, whichever way they went.  Ids are told
 * as "*", the epoch of offsets as "@".
 *
 * In the end the adapter lets go of everything and time goes by: then every
 * peer has been closed once, no session and no queue is left, and every
 * block has been given back.
 */
#ifndef EIO_H
#define EIO_H

#include "pair.h"

#include "base/base64.h"

typedef struct world world;

typedef struct seen {
  rill_peer peer;
  int opened, closed, away, back;
  int missed; /* of the last on_back */
  rill_closed how;
  char why[128];
} seen;

typedef struct happening {
  const char *name; /* auth open message event close away back drain */
  seen *who;        /* NULL in auth */
  rill_request *req;
  const rill_msg *msg;
  const rill_event *ev;
} happening;

typedef struct cli {
  world *w;
  const char *path;
  char sid[RILL__SID + 1]; /* of the session */
  char id[RILL__SID + 1];  /* what CONNECT told last */
  char pid[RILL__SID + 1];
  char offset[40]; /* the newest that it has heard */
  end *get, *post, *ws;
  bool waits; /* a GET is under way */
  bool raw;   /* the dialect is not Engine.IO's */
  buf heard;
} cli;

enum { BY_POLLING, BY_WEBSOCKET, BY_UPGRADE, BY_ALL };

#define EIO_PEERS 256

struct world {
  pair *p;
  rill_hub *hub;
  seen seen[EIO_PEERS];
  size_t n;
  cli cli[32];
  size_t nclis;
  int (*act)(world *w, const happening *h);
  bool lacks;     /* allocations fail: a peer may be over when it is told of */
  bool strangers; /* events may come from a POST without a session */
  rill_request *later;
  rill_peer peer; /* for a test's own use */
  int count;
};

static inline seen *seen_of(world *w, rill_peer peer) {
  for (size_t i = 0; i < w->n; i++)
    if (rill_peer_eq(w->seen[i].peer, peer))
      return &w->seen[i];
  return NULL;
}

static inline void eio_note(world *w, const seen *who, const char *what,
                            const char *more) {
  char number[16];

  if (w->p->quiet)
    return;
  if (w->p->log.len > 0)
    buf_text(&w->p->log, "; ");
  if (who != NULL) {
    snprintf(number, sizeof number, "%d ", (int)(who - w->seen));
    buf_text(&w->p->log, number);
  }
  buf_text(&w->p->log, what);
  if (more[0] != '\0')
    buf_text(&w->p->log, " ");
  buf_text(&w->p->log, more);
}

static inline int eio_act(world *w, const happening *h) {
  int rv = 0;

  MUST(w->p->may_run && w->p->depth == 0);
  w->p->depth++;
  if (w->act != NULL)
    rv = w->act(w, h);
  w->p->depth--;
  return rv;
}

static inline const char *text_of(rill_str s) {
  static char text[4][400];
  static int n;
  char *out = text[n++ % 4];

  MUST(s.len < 400);
  if (s.len > 0)
    memcpy(out, s.ptr, s.len);
  out[s.len] = '\0';
  return out;
}

static inline int eio_on_open(rill_peer peer, const rill_request *req,
                              void *arg) {
  world *w = arg;
  seen *s = &w->seen[w->n];
  rill_str space = rill_peer_space(peer);
  char more[300];

  MUST(w->n < EIO_PEERS && seen_of(w, peer) == NULL);
  w->n++;
  MUST(rill_is_open(peer) || w->lacks);
  MUST(rill_peer_sid(peer).len == RILL__SID);
  MUST(rill_peer_eq(rill_find_sid(w->hub, rill_peer_sid(peer)), peer));
  *s = (seen){.peer = peer, .opened = 1};
  snprintf(more, sizeof more, "%s%s%s%s", space.len > 1 ? text_of(space) : "",
           space.len > 1 && rill_peer_user(peer).len > 0 ? " " : "",
           rill_peer_user(peer).len > 0 ? "as " : "",
           text_of(rill_peer_user(peer)));
  eio_note(w, s, "open", more);
  return eio_act(
      w, &(happening){"open", s, (rill_request *)(uintptr_t)req, NULL, NULL});
}

static inline int eio_on_message(rill_peer peer, const rill_msg *msg,
                                 void *arg) {
  world *w = arg;
  seen *s = seen_of(w, peer);

  MUST(s != NULL && s->closed == 0);
  eio_note(w, s, msg->kind == RILL_TEXT ? "text" : "binary", "");
  pair_note_bytes(w->p, msg->data, msg->len);
  return eio_act(w, &(happening){"message", s, NULL, msg, NULL});
}

static inline int eio_on_drain(rill_peer peer, void *arg) {
  world *w = arg;
  seen *s = seen_of(w, peer);

  MUST(s != NULL && s->closed == 0);
  eio_note(w, s, "drain", "");
  return eio_act(w, &(happening){"drain", s, NULL, NULL, NULL});
}

static inline void eio_on_close(rill_peer peer, const rill_closed *closed,
                                void *arg) {
  world *w = arg;
  seen *s = seen_of(w, peer);

  MUST(s != NULL && s->closed++ == 0 && !rill_is_open(peer));
  s->how = *closed;
  MUST(closed->reason.len < sizeof s->why);
  if (closed->reason.len > 0)
    memcpy(s->why, closed->reason.ptr, closed->reason.len);
  s->how.reason.ptr = s->why;
  eio_note(w, s, "close", rill_disconnect_reason(closed));
  eio_act(w, &(happening){"close", s, NULL, NULL, NULL});
}

static inline int eio_on_away(rill_peer peer, void *arg) {
  world *w = arg;
  seen *s = seen_of(w, peer);

  MUST(s != NULL && s->closed == 0);
  s->away++;
  eio_note(w, s, "away", "");
  return eio_act(w, &(happening){"away", s, NULL, NULL, NULL});
}

static inline int eio_on_back(rill_peer peer, int missed, void *arg) {
  world *w = arg;
  seen *s = seen_of(w, peer);

  MUST(s != NULL && s->closed == 0);
  s->back++;
  s->missed = missed;
  eio_note(w, s, "back", missed != 0 ? rill_errname(missed) : "");
  return eio_act(w, &(happening){"back", s, NULL, NULL, NULL});
}

static inline int eio_event(rill_peer peer, const rill_event *ev, void *arg) {
  world *w = arg;
  seen *s = seen_of(w, peer);
  char args[400], more[600];

  if (s == NULL && w->strangers) /* whom a POST brings is never open */
    return eio_act(w, &(happening){"event", NULL, NULL, NULL, ev});
  MUST(s != NULL && s->closed == 0 && rill_is_open(peer));
  MUST(rill_value_json(rill_event_args(ev), args, sizeof args) < sizeof args ||
       w->p->quiet);
  snprintf(more, sizeof more, "%s %s", text_of(rill_event_name(ev)), args);
  eio_note(w, s, "event", more);
  return eio_act(w, &(happening){"event", s, NULL, NULL, ev});
}

static inline int eio_authenticate(rill_request *req, void *arg) {
  world *w = ((pair *)arg)->act_arg;
  char auth[400];

  rill_value_json(rill_request_auth(req), auth, sizeof auth);
  eio_note(w, NULL, "auth", text_of(rill_request_space(req)));
  if (rill_value_type(rill_request_auth(req)) != RILL_ABSENT)
    eio_note(w, NULL, auth, "");
  return eio_act(w, &(happening){"auth", NULL, req, NULL, NULL});
}

static const rill_handlers eio_handlers = {.on_open = eio_on_open,
                                           .on_message = eio_on_message,
                                           .on_drain = eio_on_drain,
                                           .on_close = eio_on_close,
                                           .on_away = eio_on_away,
                                           .on_back = eio_on_back};

static inline void eio_space(world *w, const char *name,
                             const rill_space_opts *opts) {
  assert_int_equal(rill_space(w->hub, name, opts), 0);
  if (strcmp(name, "/") != 0)
    assert_int_equal(rill_on(w->hub, name, "*", eio_event, w), 0);
}

static inline void eio_begin_at(world *w, const rill_route_opts *like) {
  rill_route_opts opts = like != NULL ? *like : (rill_route_opts){0};

  assert_int_equal(rill_hub_new(&w->p->hub, &w->p->config), 0);
  w->hub = w->p->hub;
  opts.handlers = &eio_handlers;
  opts.arg = w;
  assert_int_equal(rill_route(w->hub, "/engine.io/", RILL_ENGINEIO, &opts), 0);
  assert_int_equal(rill_route(w->hub, "/socket.io/", RILL_SOCKETIO, &opts), 0);
  assert_int_equal(rill_route(w->hub, "/json", RILL_JSON, &opts), 0);
  assert_int_equal(rill_on(w->hub, "/", "*", eio_event, w), 0);
}

static inline void eio_begin(world *w) {
  eio_begin_at(w, NULL);
}

static inline int eio_setup(void **state) {
  int rv = pair_setup(state);
  pair *p = *state;
  world *w = calloc(1, sizeof *w);

  MUST(rv == 0 && w != NULL);
  w->p = p;
  p->act_arg = w;
  *state = w;
  return 0;
}

static inline int eio_teardown(void **state) {
  world *w = *state;
  pair *p = w->p;
  rill_metrics m;

  if (p->may_run)
    return -1; /* the test failed inside of a handler */
  w->act = NULL;
  for (size_t i = 0; i < w->n; i++)
    rill_resume(w->seen[i].peer);
  pair_let_go(p);
  for (int i = 0; i < 40 && p->hub != NULL; i++) {
    p->now += 10 * RILL_SEC; /* leaps: heartbeats, timeouts, recovery */
    pair_turn(p);
  }
  for (size_t i = 0; i < w->n; i++)
    assert_int_equal(w->seen[i].closed, 1);
  if (p->hub != NULL) {
    rill_metrics_read(p->hub, &m);
    assert_int_equal(m.sessions, 0);
    assert_int_equal(m.away, 0);
    assert_int_equal(m.users, 0);
    assert_int_equal(m.rooms, 0);
    assert_int_equal(p->hub->nconns, 0);
    assert_null(p->hub->sids);
    assert_null(p->hub->secrets);
  }
  for (size_t i = 0; i < w->nclis; i++)
    buf_clear(&w->cli[i].heard);
  free(w);
  *state = p;
  return pair_teardown(state);
}

#define EIO_CASE(f, how, n)                                                    \
  { #f how, f, eio_setup, eio_teardown, (void *)(uintptr_t)(n) }
#define EIO_TEST(f) EIO_CASE(f, "", PAIR_WHOLE)
#define EIO_TESTS(f)                                                           \
  EIO_CASE(f, " (whole)", 0), EIO_CASE(f, " (bytes)", 1),                      \
      EIO_CASE(f, " (cut 2)", 2), EIO_CASE(f, " (cut 3)", 3),                  \
      EIO_CASE(f, " (cut 4)", 4)

#include "eio_cli.h"

#endif
