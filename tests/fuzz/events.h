/*
 * events.h - a hub with routes of every dialect for fuzz_events.c: its
 * handlers, which check what has to hold always, and what is known of its
 * streams and peers.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <rill/rill.h>

#include "../sim/reader.h"
#include "../unit/mem.h"
#include "hub/history.h"
#include "hub/hub.h"
#include "hub/session.h"

enum { RECOVERY = 1, LATER = 2, TIGHT = 4, LONG_TURNS = 8, DEFLATE = 16 };

#define STREAMS 6
#define PEERS 40
#define VERDICTS 16
#define ASKS 400

/* Fewer bytes than this a hub of these limits holds, whatever happens. */
#define MOST_MEMORY (6u << 20)

typedef struct input {
  const uint8_t *p;
  size_t left;
} input;

typedef struct stream {
  rill_conn *conn;
  reader rd;
  size_t room; /* bytes that the stream takes */
} stream;

/* A peer that the host has heard of. */
typedef struct known {
  rill_peer peer;
  enum { GONE, OPEN, AWAY } state;
  bool paused;
} known;

typedef struct events {
  mem memory;
  rill_hub *hub;
  rill_time now;
  uint64_t seed;
  uint8_t flags;
  bool may_run, handling, ending;
  stream streams[STREAMS];
  known peers[PEERS];
  uint32_t npeers; /* opened so far; the places are used again */
  rill_request *verdicts[VERDICTS];
  uint32_t nverdicts;
  rill_ack_to acks[8]; /* to be given later */
  uint32_t nacks;
  uint8_t asks[ASKS]; /* 1: open, 2: told */
  uint32_t nasks;
  uint8_t next; /* what the next handler of an event does */
} events;

static inline uint8_t take(input *in) {
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->p++;
}

static inline int fill_random(void *arg, void *out, size_t len) {
  events *s = arg;
  uint8_t *p = out;

  while (len-- > 0)
    *p++ = (uint8_t)(xorshift(&s->seed) >> 24);
  return 0;
}

static inline void enter(events *s) {
  MUST(s->may_run && !s->handling);
  s->handling = true;
}

static inline int leave(events *s, int rv) {
  s->handling = false;
  return rv;
}

/* The books on |peer|, which must be in |state|. */
static inline known *known_of(events *s, rill_peer peer, int state) {
  known *k = rill_peer_data(peer);

  MUST(k >= s->peers && k < s->peers + PEERS);
  MUST(rill_peer_eq(k->peer, peer) && (int)k->state == state);
  return k;
}

static inline int on_open(rill_peer peer, const rill_request *req, void *arg) {
  events *s = arg;
  known *k = NULL;

  enter(s);
  MUST(rill_peer_data(peer) == NULL); /* it may be over already */
  MUST(rill_request_hub(req) == s->hub);
  for (uint32_t i = 0; i < PEERS && k == NULL; i++)
    if (s->peers[i].state == GONE)
      k = &s->peers[i];
  s->npeers++;
  if (k == NULL) { /* more than the books hold */
    rill_cut(peer);
    return leave(s, 0);
  }
  *k = (known){.peer = peer, .state = OPEN};
  MUST(rill_peer_set_data(peer, k) == 0);
  rill_join(peer, rill_s("room"));
  return leave(s, 0);
}

static inline void on_close(rill_peer peer, const rill_closed *closed,
                            void *arg) {
  events *s = arg;
  known *k = rill_peer_data(peer);

  enter(s);
  MUST(closed->cause != RILL_CAUSE_NONE && !rill_is_open(peer));
  MUST(reader__utf8((const uint8_t *)closed->reason.ptr, closed->reason.len));
  MUST(rill_disconnect_reason(closed) != NULL);
  if (k != NULL) {
    MUST(rill_peer_eq(k->peer, peer) && k->state != GONE);
    k->state = GONE;
  }
  leave(s, 0);
}

static inline int on_away(rill_peer peer, void *arg) {
  events *s = arg;

  enter(s);
  MUST((s->flags & RECOVERY) != 0);
  if (rill_peer_data(peer) != NULL)
    known_of(s, peer, OPEN)->state = AWAY;
  return leave(s, s->next == '!' ? -9 : 0);
}

static inline int on_back(rill_peer peer, int missed, void *arg) {
  events *s = arg;

  enter(s);
  MUST(missed == 0 || missed == RILL_ERR_LIMIT);
  if (rill_peer_data(peer) != NULL)
    known_of(s, peer, AWAY)->state = OPEN;
  return leave(s, s->next == '!' ? -9 : 0);
}

static inline int on_drain(rill_peer peer, void *arg) {
  enter(arg);
  MUST(rill_is_open(peer));
  return leave(arg, 0);
}

static inline int on_joined(rill_peer peer, rill_str room, int status,
                            void *arg) {
  enter(arg);
  MUST(rill_is_open(peer) && room.len > 0 && status <= 0);
  return leave(arg, 0);
}

static inline void on_answers(rill_hub *hub, const rill_answers *a, void *arg) {
  uint8_t *ask = arg;

  (void)hub;
  MUST(*ask == 1);
  *ask = 2;
  MUST(a->status == 0 ? a->nmissing == 0
                      : a->status == RILL_ERR_CLOSED ||
                            a->status == RILL_ERR_TIMEOUT ||
                            a->status == RILL_ERR_NOMEM);
  for (size_t i = 0; i < a->n; i++)
    MUST(a->status == RILL_ERR_NOMEM ||
         rill_value_type(a->v[i].args) == RILL_ARRAY);
}

static inline void emit_asking(events *s, rill_peer peer, const rill_to *to) {
  rill_emit_opts opts = {.on_answers = on_answers,
                         .arg = s->asks + s->nasks,
                         .ack_ms = 3000};
  int rv;

  if (s->nasks == ASKS)
    return;
  s->asks[s->nasks] = 1;
  rv = to != NULL ? rill_emit(s->hub, to, "ask", NULL, &opts)
                  : rill_emit_peer(peer, "ask", NULL, &opts);
  s->asks[s->nasks++] = rv < 0 ? 0 : 1;
}

static inline int react(events *s, rill_peer peer, const rill_event *ev,
                        uint8_t what) {
  rill_builder *b = rill_build(s->hub);
  rill_msg msg = rill_text("text\nof two lines");
  known *k = rill_peer_data(peer);

  rill_put_value(b, rill_event_args(ev));
  switch (what) {
  case 'e':
    rill_emit_peer(peer, "echo", b, NULL);
    rill_emit_room(s->hub, rill_s("room"), "echo", b, NULL);
    break;
  case 'a':
    rill_event_reply(ev, b);
    rill_event_reply(ev, b);
    break;
  case 'l':
    s->acks[s->nacks++ % 8] = rill_event_ack(ev);
    break;
  case 'f':
    return rill_event_fail(ev, "code", "message");
  case 'o':
    rill_emit_others(peer, rill_s("room"), "others", b, NULL);
    rill_send(peer, &msg);
    break;
  case 'q':
    emit_asking(s, peer, NULL);
    break;
  case 'c':
    rill_close(peer, 4001, "asked");
    break;
  case 'x':
    rill_cut(peer);
    break;
  case 'j':
    rill_join_request(peer, rill_s("history"));
    break;
  case 'p':
    if (k != NULL && k->state == OPEN)
      k->paused = true;
    return RILL_PAUSE;
  case '!':
    return -77;
  default:
    break;
  }
  return 0;
}

static inline int on_event(rill_peer peer, const rill_event *ev, void *arg) {
  events *s = arg;
  rill_str name = rill_event_name(ev);
  uint8_t what = name.len > 0 ? (uint8_t)name.ptr[0] : 0;

  enter(s);
  MUST(name.len > 0 && reader__utf8((const uint8_t *)name.ptr, name.len));
  MUST(rill_value_type(rill_event_args(ev)) == RILL_ARRAY);
  if (rill_peer_data(peer) != NULL) /* else of one POST */
    known_of(s, peer, OPEN);
  if (s->next != 0)
    what = s->next;
  s->next = 0;
  return leave(s, react(s, peer, ev, what));
}

/* What a host does at first with each of them. */
static inline int before(rill_peer peer, const rill_event *ev, void *arg) {
  (void)peer;
  (void)arg;
  return rill_str_eq(rill_event_name(ev), rill_s("stop")) ? RILL_STOP : 0;
}

static inline int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  events *s = arg;
  uint8_t what = msg->len > 0 ? *(const uint8_t *)msg->data : 'e';

  enter(s);
  if (rill_peer_data(peer) != NULL)
    known_of(s, peer, OPEN);
  MUST(msg->kind == RILL_BINARY || reader__utf8(msg->data, msg->len));
  rill_send(peer, msg);
  rill_send_room(s->hub, rill_s("room"), msg);
  if (what == 'c')
    rill_close(peer, 1000, NULL);
  if (what == 'p' && rill_peer_data(peer) != NULL)
    known_of(s, peer, OPEN)->paused = true;
  return leave(s, what == 'p' ? RILL_PAUSE : what == '!' ? -5 : 0);
}

static const rill_handlers handlers = {.on_open = on_open,
                                       .on_message = on_message,
                                       .on_drain = on_drain,
                                       .on_joined = on_joined,
                                       .on_close = on_close,
                                       .on_away = on_away,
                                       .on_back = on_back};

/* Some are refused, some have to wait. */
static inline int authenticate(rill_request *req, void *arg) {
  events *s = arg;
  rill_str who = rill_request_credential(req);

  enter(s);
  MUST(rill_request_space(req).len > 0);
  MUST(rill_request_transport(req).len > 0);
  s->handling = false;
  if (rill_str_eq(who, rill_s("no")))
    return rill_reject(req, 401, "no");
  if (rill_str_eq(who, rill_s("fail")))
    return -3;
  if (((s->flags & LATER) != 0 || rill_str_eq(who, rill_s("later"))) &&
      s->nverdicts < VERDICTS && !s->ending) {
    s->verdicts[s->nverdicts++] = req;
    return RILL_LATER;
  }
  return rill_accept(req, who.len > 0 && who.len < 20 ? who : (rill_str){0});
}

static inline int authorize_join(rill_peer peer, rill_str room, void *arg) {
  events *s = arg;

  (void)peer;
  enter(s);
  if (rill_str_starts(room, "later"))
    return leave(s, RILL_LATER);
  return leave(s, rill_str_starts(room, "no") ? RILL_ERR_FORBIDDEN : 0);
}

#endif
