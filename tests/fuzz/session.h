/*
 * session.h - a hub with two streams for fuzz_session.c: its handlers, which
 * check what has to hold always, and what is known of each stream.
 */
#ifndef SESSION_H
#define SESSION_H

#include <rill/rill.h>

#include "../sim/reader.h"
#include "../unit/mem.h"
#include "wire/ws.h"

enum {
  DIALED = 1,
  DEFLATE = 2,
  PROGRAM = 4,
  COOKED = 8,
  HELLO = 16,
  LONG_TURNS = 32
};

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

static inline uint8_t take(input *in) {
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->p++;
}

static inline void note(session *s, const char *what, const void *data,
                        size_t len) {
  char text[80];
  uint64_t hash = 14695981039346656037u;
  const uint8_t *p = data;

  for (size_t i = 0; i < len; i++)
    hash = (hash ^ p[i]) * 1099511628211u;
  snprintf(text, sizeof text, "%s %zu %016llx\n", what, len,
           (unsigned long long)hash);
  buf_text(&s->log, text);
}

static inline int fill_random(void *arg, void *out, size_t len) {
  session *s = arg;
  uint8_t *p = out;

  while (len-- > 0)
    *p++ = (uint8_t)(xorshift(&s->seed) >> 24);
  return 0;
}

static inline stream *enter(session *s, rill_peer peer) {
  MUST(s->may_run && !s->handling);
  s->handling = true;
  return s->b.opened && rill_peer_eq(peer, s->b.peer) ? &s->b : &s->a;
}

static inline int leave(session *s, int rv) {
  s->handling = false;
  return rv;
}

static inline int on_open(rill_peer peer, const rill_request *req, void *arg) {
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

static inline void react(session *s, stream *t, const rill_msg *msg,
                         uint8_t what) {
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

static inline int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);
  uint8_t what = msg->len > 0 ? *(const uint8_t *)msg->data : 'e';

  MUST(t->opened && !t->closed && !t->closing && !t->violated && !t->paused);
  MUST(msg->kind == RILL_BINARY || reader__utf8(msg->data, msg->len));
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

static inline int on_drain(rill_peer peer, void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);

  MUST(t->opened && !t->closed);
  return leave(s, 0);
}

static inline int on_joined(rill_peer peer, rill_str room, int status,
                            void *arg) {
  session *s = arg;
  stream *t = enter(s, peer);

  MUST(t->opened && !t->closed && room.len > 0 && status <= 0);
  return leave(s, 0);
}

static inline void on_close(rill_peer peer, const rill_closed *closed,
                            void *arg) {
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

static const rill_handlers handlers = {
    .on_open = on_open,
    .on_message = on_message,
    .on_drain = on_drain,
    .on_joined = on_joined,
    .on_close = on_close};

static inline int on_request(rill_request *req, void *arg) {
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

#endif
