/*
 * crowd.c - the people of a room or a namespace, and their seats.
 *
 * Everything here is O(1) in the size of the crowd.  A crowd has one timer,
 * for the earliest of: somebody to be greeted (at once), the end of a grace,
 * the end of the window in which changes are gathered.
 */
#include "people/presence.h"

static uint32_t grace_of(const rill__crowd *c) {
  const rill__presence *p = c->space->rules->presence;
  uint32_t ms = 0;

  if (c->room != NULL)
    ms = c->room->opts.presence_grace_ms;
  else if (p != NULL)
    ms = p->opts.grace_ms;
  return ms != 0 ? ms : c->hub->config.limits.presence_grace_ms;
}

uint32_t rill__crowd_window(const rill__crowd *c) {
  const rill__presence *p = c->space->rules->presence;
  uint32_t ms = 0;

  if (c->room != NULL)
    ms = c->room->opts.presence_window_ms;
  else if (p != NULL)
    ms = p->opts.window_ms;
  return ms != 0 ? ms : c->hub->config.limits.presence_window_ms;
}

void rill__crowd_arm(rill__crowd *c) {
  rill_time due = c->flush_at;

  if (!rill__list_empty(&c->held))
    due = rill__sooner(due,
                       RILL__CONTAINER(c->held.next, rill__seat, link)->until);
  if (!rill__list_empty(&c->greets))
    due = c->hub->now;
  rill__heap_set(&c->hub->timers, &c->timer, due);
}

rill__crowd *rill__crowd_make(rill_hub *hub, rill__space *space,
                              rill__room *room) {
  rill__crowd **at = room != NULL ? &room->crowd : &space->crowd;
  rill__crowd *c = *at;

  if (c != NULL)
    return c;
  c = rill__timed_new(hub, sizeof *c);
  if (c == NULL)
    return NULL;
  c->hub = hub;
  c->space = space;
  c->room = room;
  c->flush_at = RILL_NEVER;
  rill__timer_init(&c->timer, RILL__TIMER_CROWD);
  rill__list_init(&c->changed);
  rill__list_init(&c->held);
  rill__list_init(&c->greets);
  return *at = c;
}

/* Its user has been here until now, or until the heartbeat that is missed. */
static void seen(const rill__seat *s) {
  rill_hub *hub = s->crowd->hub;
  uint64_t ago = 0;

  if (s->person == NULL || hub->wall == NULL)
    return;
  if (s->who != NULL && s->who->lapsed)
    ago = (hub->now - s->who->beat) / RILL_MSEC;
  s->person->last_seen = hub->wall(hub->wall_arg);
  s->person->last_seen -= ago < s->person->last_seen ? ago : 0;
}

void rill__seat_show(rill__seat *s, unsigned status) {
  rill__person *p = s->person;
  unsigned before, after;

  if (s->shown == status)
    return;
  if (s->state == SEAT_LIVE && status == RILL_STATUS_OFFLINE)
    seen(s);
  if (p != NULL) {
    before = rill__person_status(p);
    p->counts[s->shown]--;
    p->counts[status]++;
    after = rill__person_status(p);
    s->crowd->by_status[before]--;
    s->crowd->by_status[after]++;
    if (before != after)
      rill__person_changed(p);
  }
  s->shown = (uint8_t)status;
}

void rill__seat_restate(rill__seat *s) {
  rill__person *p = s->person;

  if (p == NULL)
    return;
  rill__list_remove(&s->of_person);
  if (s->who->state_len > 0) /* in front of all others */
    rill__list_push(p->seats.next, &s->of_person);
  else
    rill__list_push(&p->seats, &s->of_person);
  p->restated = true;
  rill__person_changed(p);
}

void rill__seat_greet(rill__seat *s) {
  if (s->state != SEAT_LIVE)
    return;
  rill__list_remove(&s->link);
  rill__list_push(&s->crowd->greets, &s->link);
  rill__crowd_arm(s->crowd);
}

static void set_state(rill__seat *s, unsigned state) {
  rill_hub *hub = s->crowd->hub;

  if (s->state == SEAT_LIVE)
    s->crowd->nlive--;
  if (s->state == SEAT_HELD)
    hub->metrics.presence_held--;
  s->state = (uint8_t)state;
  if (state == SEAT_LIVE)
    s->crowd->nlive++;
  if (state == SEAT_HELD)
    hub->metrics.presence_held++;
  rill__list_remove(&s->link);
}

/* Frees a seat without a peer. */
static void drop(rill__seat *s) {
  rill__person *p = s->person;
  rill__crowd *c = s->crowd;

  rill__seat_show(s, RILL_STATUS_OFFLINE);
  set_state(s, SEAT_EMPTY);
  if (p != NULL) {
    p->counts[RILL_STATUS_OFFLINE]--;
    rill__list_remove(&s->of_person);
    if (s->had_state && p->told_state) {
      p->restated = true;
      rill__person_changed(p);
    }
    rill__person_settle(p);
  }
  rill__free(&c->hub->alloc, s, sizeof *s);
}

/* Keeps what it shows for the grace; false: there is nothing to keep. */
static bool hold(rill__seat *s) {
  rill__crowd *c = s->crowd;
  rill_hub *hub = c->hub;

  if (s->person == NULL || s->shown == RILL_STATUS_OFFLINE)
    return false;
  if (hub->metrics.presence_held >= hub->config.limits.presence_held) {
    hub->metrics.limit_presence_held++;
    return false;
  }
  seen(s);
  set_state(s, SEAT_HELD);
  s->until = hub->now + grace_of(c) * RILL_MSEC;
  rill__list_push(&c->held, &s->link);
  rill__crowd_arm(c);
  return true;
}

void rill__seat_hold(rill__seat *s) {
  if (s->state != SEAT_LIVE || hold(s))
    return;
  rill__seat_show(s, RILL_STATUS_OFFLINE);
  set_state(s, SEAT_EMPTY);
}

void rill__seat_take(rill__seat *s) {
  set_state(s, SEAT_LIVE);
  rill__seat_show(s, rill__attending_shows(s->who));
  rill__seat_greet(s);
}

void rill__seat_leave(rill__seat *s, bool lost) {
  rill__seat **at = &s->who->seats;

  while (*at != s)
    at = &(*at)->next;
  *at = s->next;
  s->had_state = s->who->state_len > 0;
  if (s->state == SEAT_LIVE && lost)
    hold(s);
  if (s->state != SEAT_HELD) {
    drop(s);
    return;
  }
  s->who = NULL;
  rill__list_remove(&s->of_person);
  rill__list_push(&s->person->lost, &s->of_person);
}

/* A seat that this user has left, to be taken again; NULL: there is none. */
static rill__seat *lost_seat(rill__person *p) {
  if (p == NULL || rill__list_empty(&p->lost))
    return NULL;
  return RILL__CONTAINER(p->lost.next, rill__seat, of_person);
}

static rill__seat *seat_new(rill__crowd *c, rill__person *p) {
  rill__seat *s = rill__calloc(&c->hub->alloc, sizeof *s);

  if (s == NULL)
    return NULL;
  s->crowd = c;
  s->person = p;
  s->state = SEAT_EMPTY;
  rill__list_init(&s->of_person);
  rill__list_init(&s->link);
  if (p != NULL)
    p->counts[RILL_STATUS_OFFLINE]++;
  return s;
}

bool rill__crowd_enter(rill__crowd *c, rill__attending *a) {
  rill__person *p = NULL;
  rill__seat *s = a->seats;

  while (s != NULL && s->crowd != c)
    s = s->next;
  if (s != NULL)
    return true;
  if (a->peer->user != NULL) {
    p = rill__person_make(c, rill__user_name(a->peer));
    if (p == NULL)
      return false;
  }
  s = lost_seat(p);
  if (s == NULL)
    s = seat_new(c, p);
  if (s == NULL) {
    if (p != NULL)
      rill__person_settle(p);
    return false;
  }
  if (p != NULL) {
    rill__list_remove(&s->of_person);
    rill__list_push(&p->seats, &s->of_person);
    if (s->had_state) {
      p->restated = true;
      rill__person_changed(p);
    }
  }
  s->had_state = false;
  s->who = a;
  s->next = a->seats;
  a->seats = s;
  rill__seat_take(s);
  if (a->state_len > 0)
    rill__seat_restate(s);
  return true;
}

bool rill__crowd_idle(const rill__crowd *c) {
  return c == NULL ||
         (c->nlive == 0 && c->pinned == NULL && rill__list_empty(&c->held) &&
          rill__list_empty(&c->changed));
}

bool rill__crowd_settle(rill_hub *hub, rill__room *room) {
  rill__crowd *c = room->crowd;

  if (c == NULL)
    return true;
  if (!rill__list_empty(&c->held))
    return false;
  rill__crowd_free(hub, c);
  return true;
}

/* Peers have left their seats before; what is held goes without a word. */
static void person_end(rill__person *p) {
  rill__link *l;

  while ((l = rill__list_shift(&p->lost)) != NULL) {
    rill__seat *s = RILL__CONTAINER(l, rill__seat, of_person);
    set_state(s, SEAT_EMPTY);
    rill__free(&p->crowd->hub->alloc, s, sizeof *s);
  }
  rill__person_free(p);
}

void rill__crowd_free(rill_hub *hub, rill__crowd *c) {
  if (c == NULL)
    return;
  while (c->npeople > 0)
    person_end(c->v[c->npeople - 1]);
  rill__gone_free(c);
  if (c->room != NULL)
    c->room->crowd = NULL;
  else
    c->space->crowd = NULL;
  rill__free(&hub->alloc, c->v, c->cap * sizeof *c->v);
  rill__timed_free(hub, &c->timer, c, sizeof *c);
}

static void expire(rill__crowd *c) {
  rill_hub *hub = c->hub;

  while (!rill__list_empty(&c->held)) {
    rill__seat *s = RILL__CONTAINER(c->held.next, rill__seat, link);
    if (s->until > hub->now)
      break;
    hub->metrics.limit_presence_grace_ms++;
    if (s->who == NULL) {
      drop(s);
      continue;
    }
    rill__seat_show(s, RILL_STATUS_OFFLINE);
    set_state(s, SEAT_EMPTY);
  }
}

/* Many at once: a crowd that comes back together is told the same. */
static void greet(rill__crowd *c) {
  rill_peer peers[64];
  size_t n = 0;
  rill__link *l;

  while ((l = rill__list_shift(&c->greets)) != NULL) {
    peers[n++] =
        rill__peer_handle(RILL__CONTAINER(l, rill__seat, link)->who->peer);
    if (n == sizeof peers / sizeof *peers) {
      rill__crowd_greet(c, peers, n);
      n = 0;
    }
  }
  if (n > 0)
    rill__crowd_greet(c, peers, n);
}

void rill__crowd_tick(rill__timer *timer) {
  rill__crowd *c = RILL__CONTAINER(timer, rill__crowd, timer);
  rill_hub *hub = c->hub;
  rill__space *space = c->space;

  expire(c);
  greet(c);
  if (c->flush_at <= hub->now) {
    c->flush_at = rill__list_empty(&c->changed)
                      ? RILL_NEVER
                      : hub->now + rill__crowd_window(c) * RILL_MSEC;
    hub->metrics.limit_presence_window_ms++;
    rill__crowd_flush(c);
    if (rill__list_empty(&c->changed))
      c->flush_at = RILL_NEVER;
  }
  rill__crowd_arm(c);
  if (c->room != NULL)
    rill__room_settle(hub, c->room);
  else
    rill__space_release(hub, space);
}
