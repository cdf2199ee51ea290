/*
 * people_host.h - the host of fuzz_people.c: its handlers, and the functions
 * that it is told outcomes by.  Each checks that it may run, and that it is
 * called once.
 */
#ifndef PEOPLE_HOST_H
#define PEOPLE_HOST_H

#include "people_hears.h"
#include "people_store.h"

/* The room of a name; ROOMS: another. */
static inline unsigned room_named(rill_str name) {
  return place_of(name, room_names, ROOMS);
}

static inline unsigned space_named(rill_str name) {
  return place_of(name, space_names, SPACES);
}

/* A place for the outcome of a call; NULL: there is none left. */
static inline call *call_new(people *s) {
  if (s->ncalls == CALLS)
    return NULL;
  s->calls[s->ncalls] = (call){.s = s, .state = WAITS, .log = LOGS};
  return &s->calls[s->ncalls++];
}

/* The call was refused, where |rv| is negative. */
static inline void call_made(call *c, int rv) {
  MUST(rv <= 0);
  if (c == NULL)
    return;
  MUST(c->state == WAITS); /* it has not been told within the call */
  if (rv < 0)
    c->state = UNUSED;
}

/* An outcome: once, and only where handlers may run. */
static inline call *told(const rill_hub *hub, void *arg) {
  call *c = arg;

  enter(c->s);
  MUST(c->s->hub == hub && c->state == WAITS);
  c->state = TOLD;
  return c;
}

static inline bool may_fail(int status) {
  return status == 0 || status == RILL_ERR_IO || status == RILL_ERR_FULL ||
         status == RILL_ERR_NOMEM || status == RILL_ERR_CLOSED ||
         status == RILL_ERR_ARG || status == RILL_ERR_LIMIT;
}

static inline void on_published(rill_hub *hub, const rill_published *p,
                                void *arg) {
  call *c = told(hub, arg);
  people *s = c->s;

  MUST(may_fail(p->status) || p->status == RILL_ERR_EXISTS);
  MUST(p->id.len > 0);
  if (p->status == 0 && is_booked(s, c->log)) {
    MUST(p->offset > 0);
    MUST(!serial_tells(s, c->serial) || p->offset >= NUMBERS ||
         s->serials[c->serial].number == p->offset);
  }
  leave(s, 0);
}

static inline void on_pasts(rill_hub *hub, const rill_pasts *pasts, void *arg) {
  call *c = told(hub, arg);
  page p = {.s = c->s,
            .log = c->log,
            .since = c->asked.since,
            .before = c->asked.before,
            .first = pasts->first,
            .last = pasts->last};

  MUST(may_fail(pasts->status));
  MUST(pasts->status == 0 || pasts->n == 0);
  MUST(c->asked.limit == 0 || pasts->n <= c->asked.limit);
  MUST(pasts->n <= hub->config.limits.history_page);
  for (size_t i = 0; i < pasts->n; i++)
    hear_past(&p, pasts->v[i].offset, serial_of(pasts->v[i].args, 0));
  leave(c->s, 0);
}

static inline void on_notified(rill_hub *hub, const rill_notified *n,
                               void *arg) {
  call *c = told(hub, arg);

  MUST(may_fail(n->status) || n->status == RILL_ERR_EXISTS);
  MUST(n->user.len > 0 && n->unread <= hub->config.limits.notify_count);
  leave(c->s, 0);
}

static inline void on_receipt(rill_hub *hub, const rill_receipt *r, void *arg) {
  call *c = told(hub, arg);

  MUST(may_fail(r->status));
  MUST(r->status == 0 || (r->offset == 0 && r->last == 0));
  MUST(r->unread <= r->last);
  MUST(!is_booked(c->s, c->log) || r->offset <= c->s->books[c->log].last);
  leave(c->s, 0);
}

/* One of the functions above may call back in. */
static inline void on_missed(rill_hub *hub, const rill_notification *n,
                             void *arg) {
  people *s = arg;
  call *c = call_new(s);

  enter(s);
  MUST(n->offset > 0 && n->id.len > 0 && n->name.len > 0);
  MUST(rill_value_type(n->args) == RILL_ARRAY);
  if (s->next == 'a')
    call_made(c, rill_notify_ack(hub, n->space, n->user, n->id,
                                 c != NULL ? on_notified : NULL, c));
  else if (c != NULL)
    c->state = UNUSED;
  s->next = 0;
  leave(s, 0);
}

static inline void on_change(rill_hub *hub, const rill_presence *user,
                             void *arg) {
  people *s = arg;

  enter(s);
  MUST(user->user.len > 0 && user->status <= RILL_STATUS_BUSY);
  if (s->next == 'e')
    rill_emit_user(hub, user->user, "changed", NULL, NULL);
  if (s->next == 'x')
    for (int i = 0; i < PEERS; i++)
      if (rill_str_eq(rill_peer_user(s->peers[i].peer), user->user))
        rill_cut(s->peers[i].peer);
  s->next = 0;
  leave(s, 0);
}

static inline bool is_stream(rill_peer peer) {
  return rill_str_eq(rill_peer_transport(peer), rill_s("sse"));
}

/* It is in the books that |room| is not only the client's affair. */
static inline void host_moves(people *s, rill_peer peer, unsigned room) {
  for (int i = 0; i < PEERS; i++)
    if (rill_peer_eq(s->peers[i].peer, peer))
      s->peers[i].moved |= (uint8_t)(1u << room);
}

static inline int on_open(rill_peer peer, const rill_request *req, void *arg) {
  people *s = arg;
  known *k = NULL;
  rill_str sid = rill_peer_sid(peer);

  enter(s);
  MUST(rill_peer_data(peer) == NULL && rill_request_hub(req) == s->hub);
  for (uint32_t i = 0; i < PEERS && k == NULL; i++)
    if (s->peers[i].state == GONE)
      k = &s->peers[i];
  s->npeers++;
  MUST(k != NULL);
  *k = (known){.peer = peer, .state = OPEN};
  if (sid.len == RILL__SID)
    memcpy(k->sid, sid.ptr, RILL__SID);
  MUST(rill_peer_set_data(peer, k) == 0);
  if (sid.len == 0) { /* it cannot ask */
    rill_join(peer, rill_s(room_names[DCROWD]));
    rill_join(peer, rill_s(room_names[RING]));
  }
  return leave(s, 0);
}

static inline known *known_of(people *s, rill_peer peer) {
  known *k = rill_peer_data(peer);

  MUST(k >= s->peers && k < s->peers + PEERS && rill_peer_eq(k->peer, peer));
  return k;
}

static inline void on_close(rill_peer peer, const rill_closed *closed,
                            void *arg) {
  people *s = arg;

  enter(s);
  MUST(closed->cause != RILL_CAUSE_NONE && known_of(s, peer)->state != GONE);
  known_of(s, peer)->state = GONE;
  leave(s, 0);
}

static inline int on_away(rill_peer peer, void *arg) {
  people *s = arg;

  enter(s);
  MUST((s->flags & RECOVERY) != 0 && known_of(s, peer)->state == OPEN);
  known_of(s, peer)->state = AWAY;
  return leave(s, 0);
}

static inline int on_back(rill_peer peer, int missed, void *arg) {
  people *s = arg;

  enter(s);
  MUST(missed == 0 || missed == RILL_ERR_LIMIT);
  MUST(known_of(s, peer)->state == AWAY);
  known_of(s, peer)->state = OPEN;
  return leave(s, 0);
}

static inline int on_joined(rill_peer peer, rill_str room, int status,
                            void *arg) {
  enter(arg);
  MUST(rill_is_open(peer) && room.len > 0 && status <= 0);
  return leave(arg, 0);
}

static const rill_handlers handlers = {.on_open = on_open,
                                       .on_close = on_close,
                                       .on_away = on_away,
                                       .on_back = on_back,
                                       .on_joined = on_joined};

static inline int authenticate(rill_request *req, void *arg) {
  people *s = arg;
  rill_str who = rill_request_credential(req);

  MUST(!s->handling);
  return rill_accept(req, who);
}

static inline int authorize_join(rill_peer peer, rill_str room, void *arg) {
  people *s = arg;
  unsigned which = room_named(room);

  (void)peer;
  enter(s);
  if (which == ALLOWED_LATER && !s->ending)
    return leave(s, RILL_LATER);
  return leave(s, which == DENIED ? RILL_ERR_FORBIDDEN : 0);
}

/* Publishes |ev|, or what it says, as |how| says. */
static inline int publish_said(people *s, rill_peer peer, const rill_event *ev,
                               unsigned how) {
  rill_str room = rill_value_str(rill_event_arg(ev, 0));
  char id[8];
  call *c = (how & SAY_DONE) != 0 ? call_new(s) : NULL;
  rill_publish_opts opts = {.ack = ev,
                            .space = rill_peer_space(peer),
                            .stamp = (how & SAY_STAMPED) != 0,
                            .uncompressed = (how & SAY_PLAIN) != 0,
                            .done = c != NULL ? on_published : NULL,
                            .arg = c};
  unsigned serial = serial_of(rill_event_args(ev), 0);
  rill_builder *b = rill_build(s->hub);
  int rv;

  snprintf(id, sizeof id, "i%u", how / 16 % 8);
  if ((how & SAY_NAMED) != 0)
    opts.id = rill_s(id);
  use_serial(s, serial);
  if (c != NULL) {
    c->serial = (uint16_t)serial;
    if (room_named(room) < ROOMS)
      c->log = (uint8_t)(space_named(opts.space) * ROOMS + room_named(room));
  }
  if (opts.stamp) {
    rill_put_object(b);
    rill_put_key(b, "n");
    rill_put_uint(b, serial);
    rill_set_text(b, "id", "mine");
    rill_put_end(b);
    rill_put_value(b, rill_event_args(ev));
    rv = rill_publish(s->hub, room, "said", b, &opts);
  } else {
    rv = rill_publish_event(ev, room, &opts);
  }
  call_made(c, rv);
  return rv;
}

static inline int on_say(rill_peer peer, const rill_event *ev, void *arg) {
  people *s = arg;
  uint64_t how = rill_value_uint(rill_event_arg(ev, 1), 0);
  uint8_t what = s->next;

  enter(s);
  s->next = 0;
  if (what == 'x')
    rill_cut(peer);
  publish_said(s, peer, ev, (unsigned)how & 255);
  if (what == 'd')
    rill_close(peer, 1000, "said");
  if (what == 'p')
    return leave(s, RILL_PAUSE);
  return leave(s, what == '!' ? -77 : 0);
}

#endif
