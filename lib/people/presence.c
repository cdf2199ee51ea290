/*
 * presence.c - what a peer shows of itself, where it is seen, and signs of
 * life.
 *
 * Heartbeats and events move an attending to the end of a list, so the first
 * of each list is the first to be late; nothing is ever searched.
 */
#include "people/presence.h"

#include "hub/encode.h"

rill__attending *rill__attending_of(rill__peer *p) {
  rill__attending *a = p->attending;

  if (a != NULL)
    return a;
  a = rill__calloc(&p->hub->alloc, sizeof *a);
  if (a == NULL)
    return NULL;
  a->peer = p;
  a->status = RILL_STATUS_ONLINE;
  rill__list_init(&a->beats);
  rill__list_init(&a->acts);
  return p->attending = a;
}

unsigned rill__attending_shows(const rill__attending *a) {
  if (a->lapsed)
    return RILL_STATUS_OFFLINE;
  return a->idle && a->status == RILL_STATUS_ONLINE ? RILL_STATUS_AWAY
                                                    : a->status;
}

/* What it shows may be something else now. */
static void show(const rill__attending *a) {
  for (rill__seat *s = a->seats; s != NULL; s = s->next)
    if (s->state == SEAT_LIVE)
      rill__seat_show(s, rill__attending_shows(a));
}

static rill__presence *conf_of(const rill__attending *a) {
  return rill__peer_space(a->peer)->rules->presence;
}

/* Sweeps are |sweep_ms| apart at least. */
static void arm(rill__presence *c, bool swept) {
  rill_time due = RILL_NEVER, least = c->hub->now;

  if (!rill__list_empty(&c->beats))
    due = RILL__CONTAINER(c->beats.next, rill__attending, beats)->beat +
          c->opts.heartbeat_ms * RILL_MSEC;
  if (!rill__list_empty(&c->acts))
    due = rill__sooner(
        due, RILL__CONTAINER(c->acts.next, rill__attending, acts)->act +
                 c->opts.idle_ms * RILL_MSEC);
  if (due == RILL_NEVER)
    return;
  if (swept)
    least += c->opts.sweep_ms * RILL_MSEC;
  rill__heap_set(&c->hub->timers, &c->timer, due > least ? due : least);
}

static void act(rill__attending *a, rill__presence *c) {
  if (c->opts.idle_ms == 0)
    return;
  a->act = c->hub->now;
  rill__list_remove(&a->acts);
  rill__list_push(&c->acts, &a->acts);
  if (c->timer.due == RILL_NEVER)
    arm(c, false);
  if (!a->idle)
    return;
  a->idle = false;
  show(a);
}

void rill__presence_acted(rill__attending *a) {
  rill__presence *c = conf_of(a);

  if (c != NULL)
    act(a, c);
}

static void beat(rill__attending *a) {
  rill__presence *c = conf_of(a);

  if (c == NULL || c->opts.heartbeat_ms == 0)
    return;
  a->beat = c->hub->now;
  rill__list_remove(&a->beats);
  rill__list_push(&c->beats, &a->beats);
  if (c->timer.due == RILL_NEVER)
    arm(c, false);
  if (!a->lapsed)
    return;
  a->lapsed = false;
  show(a);
}

void rill__presence_tick(rill__timer *timer) {
  rill__presence *c = RILL__CONTAINER(timer, rill__presence, timer);
  rill_time now = c->hub->now;

  while (!rill__list_empty(&c->beats)) {
    rill__attending *a = RILL__CONTAINER(c->beats.next, rill__attending, beats);
    if (a->beat + c->opts.heartbeat_ms * RILL_MSEC > now)
      break;
    rill__list_remove(&a->beats);
    a->lapsed = true;
    show(a);
  }
  while (!rill__list_empty(&c->acts)) {
    rill__attending *a = RILL__CONTAINER(c->acts.next, rill__attending, acts);
    if (a->act + c->opts.idle_ms * RILL_MSEC > now)
      break;
    rill__list_remove(&a->acts);
    a->idle = true;
    show(a);
  }
  arm(c, true);
}

void rill__presence_free(rill_hub *hub, rill__presence *c) {
  if (c == NULL)
    return;
  rill__timed_free(hub, &c->timer, c, sizeof *c);
}

/* Has it been lost, rather than left or been thrown out? */
static bool lost(const rill__peer *p) {
  const rill__ending *e;

  if (p->rare == NULL || !p->rare->ended)
    return false;
  e = &p->rare->ending;
  switch (e->cause) {
  case RILL_CAUSE_EOF:
  case RILL_CAUSE_IO:
  case RILL_CAUSE_TIMEOUT:
  case RILL_CAUSE_SLOW:
  case RILL_CAUSE_OVERLOAD:
  case RILL_CAUSE_NOMEM:
  case RILL_CAUSE_DRAIN:
    return true;
  case RILL_CAUSE_PEER: /* browsers say so of pages that are loaded again */
    return e->code == RILL_CLOSE_GOING_AWAY;
  default:
    return false;
  }
}

bool rill__presence_joined(rill__peer *p, rill__room *room) {
  rill__attending *a;
  rill__crowd *c;

  if (!room->opts.presence)
    return true;
  a = rill__attending_of(p);
  c = a != NULL ? rill__crowd_make(p->hub, room->space, room) : NULL;
  return c != NULL && rill__crowd_enter(c, a);
}

static rill__seat *seat_in(const rill__peer *p, const rill__crowd *c) {
  rill__seat *s = p->attending != NULL ? p->attending->seats : NULL;

  while (s != NULL && s->crowd != c)
    s = s->next;
  return s;
}

void rill__presence_left(rill__peer *p, rill__room *room) {
  rill__seat *s = room->crowd != NULL ? seat_in(p, room->crowd) : NULL;

  if (s != NULL)
    rill__seat_leave(s, lost(p));
}

void rill__presence_opened(rill__peer *p) {
  rill__space *space = rill__peer_space(p);
  rill__presence *conf = space->rules->presence;
  rill__attending *a;
  rill__crowd *c;

  if (conf != NULL && !p->transient) {
    a = rill__attending_of(p);
    c = a != NULL ? rill__crowd_make(p->hub, space, NULL) : NULL;
    if (c == NULL || !rill__crowd_enter(c, a))
      rill__hub_log(p->hub, RILL_LOG_ERROR, "peer.fail",
                    rill_s("out of memory: a peer is not counted"), NULL);
    if (a != NULL)
      act(a, conf);
  }
  if (p->attending == NULL)
    return;
  for (rill__seat *s = p->attending->seats; s != NULL; s = s->next)
    rill__seat_greet(s);
}

void rill__presence_away(rill__peer *p) {
  if (p->attending == NULL)
    return;
  rill__list_remove(&p->attending->beats);
  rill__list_remove(&p->attending->acts);
  for (rill__seat *s = p->attending->seats; s != NULL; s = s->next)
    rill__seat_hold(s);
}

/* rill__presence_opened follows. */
void rill__presence_back(rill__peer *p) {
  if (p->attending == NULL)
    return;
  p->attending->lapsed = p->attending->idle = false;
  for (rill__seat *s = p->attending->seats; s != NULL; s = s->next)
    rill__seat_take(s);
}

void rill__presence_closed(rill__peer *p) {
  rill__attending *a = p->attending;
  rill_hub *hub = p->hub;

  if (a == NULL)
    return;
  rill__watches_free(a);
  while (a->seats != NULL)
    rill__seat_leave(a->seats, lost(p));
  rill__list_remove(&a->beats);
  rill__list_remove(&a->acts);
  rill__free(&hub->alloc, a->state, a->state_len);
  rill__free(&hub->alloc, a, sizeof *a);
  p->attending = NULL;
}

bool rill__presence_follow(rill_hub *hub, rill__room *room) {
  bool ok = true;

  for (uint32_t i = 0; i < room->count; i++) {
    rill__peer *p = room->members[i]->peer;
    rill__seat *s;
    if (room->opts.presence) {
      bool is_new = room->crowd == NULL || seat_in(p, room->crowd) == NULL;
      ok &= rill__presence_joined(p, room);
      if (is_new && p->away && ok)
        rill__seat_hold(p->attending->seats);
    } else if (room->crowd != NULL && (s = seat_in(p, room->crowd)) != NULL) {
      rill__seat_leave(s, false);
    }
  }
  /* an empty room stays for the graces of who was in it, and goes then */
  if (!room->opts.presence && room->count > 0)
    rill__crowd_free(hub, room->crowd);
  return ok;
}

rill__crowd *rill__crowd_find(const rill_hub *hub, rill_str space,
                              rill_str room) {
  const rill__space *s = rill__space_find(hub, space);
  const rill__room *r;

  if (s == NULL || room.len == 0)
    return s != NULL ? s->crowd : NULL;
  r = rill__room_find(s, room);
  return r != NULL ? r->crowd : NULL;
}

int rill_show(rill_peer peer, rill_status status) {
  rill__peer *p = rill__peer_open(peer);
  rill__attending *a = p != NULL ? rill__attending_of(p) : NULL;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  if (status > RILL_STATUS_BUSY)
    return RILL_ERR_ARG;
  if (a == NULL)
    return RILL_ERR_NOMEM;
  a->status = (uint8_t)status;
  show(a);
  return 0;
}

/* Can it be in an event among others, as deep as those lie there? */
static int check_state(rill_hub *hub, rill_value state) {
  rill_builder b;
  int rv;

  if (rill_value_type(state) <= RILL_NULL)
    return 0;
  rill__builder_init(&b, &hub->alloc);
  rill_put_object(&b);
  rill_put_key(&b, "users");
  rill_put_array(&b);
  rill_put_object(&b);
  rill_set_value(&b, "state", state);
  for (int i = 0; i < 3; i++)
    rill_put_end(&b);
  rv = rill_builder_error(&b);
  if (rv == 0 && rill__bytes_in(rill_builder_value(&b).node) > 0)
    rv = RILL_ERR_ARG; /* a message has few of them, a page many users */
  rill__builder_finish(&b);
  return rv;
}

int rill_show_state(rill_peer peer, rill_value state) {
  rill__peer *p = rill__peer_open(peer);
  rill__attending *a = p != NULL ? rill__attending_of(p) : NULL;
  rill__bytes out;
  uint8_t *copy = NULL;
  int rv = p != NULL ? check_state(p->hub, state) : RILL_ERR_CLOSED;

  if (rv != 0)
    return rv;
  if (a == NULL)
    return RILL_ERR_NOMEM;
  rill__bytes_init(&out, &p->hub->alloc);
  if (rill_value_type(state) > RILL_NULL)
    rill__msgpack_write(&out, state.node);
  if (!out.failed && out.len > p->hub->config.limits.presence_state_bytes) {
    p->hub->metrics.limit_presence_state_bytes++;
    rill__bytes_finish(&out);
    return RILL_ERR_TOO_BIG;
  }
  if (!out.failed && out.len > 0)
    copy = rill__malloc(&p->hub->alloc, out.len);
  if (out.failed || (out.len > 0 && copy == NULL)) {
    rill__bytes_finish(&out);
    return RILL_ERR_NOMEM;
  }
  rill__free(&p->hub->alloc, a->state, a->state_len);
  a->state = copy;
  a->state_len = (uint32_t)out.len;
  if (copy != NULL)
    memcpy(copy, out.data, out.len);
  rill__bytes_finish(&out);
  for (rill__seat *s = a->seats; s != NULL; s = s->next)
    rill__seat_restate(s);
  return 0;
}

int rill_beat(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  if (p->attending != NULL)
    beat(p->attending);
  return 0;
}
