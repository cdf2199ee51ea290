/*
 * presence_ask.c - the host's questions about who is there.
 */
#include "people/presence.h"

int rill_presence_count(rill_hub *hub, rill_str space, rill_str room,
                        rill_occupancy *out) {
  const rill__crowd *c = rill__crowd_find(hub, space, room);

  *out = (rill_occupancy){0};
  if (c == NULL)
    return RILL_ERR_NOT_FOUND;
  out->peers = c->nlive;
  out->away = c->by_status[RILL_STATUS_AWAY];
  out->online = c->by_status[RILL_STATUS_ONLINE];
  out->busy = c->by_status[RILL_STATUS_BUSY];
  out->users = out->away + out->online + out->busy;
  return 0;
}

static int call(const rill__crowd *c, rill_presence *who,
                const rill__attending *stating,
                int (*fn)(const rill_presence *, void *), void *arg) {
  rill__tape tape;
  int rv;

  rill__tape_init(&tape, &c->hub->alloc);
  if (stating != NULL)
    who->state = rill__state_read(&tape, stating);
  rv = tape.failed ? RILL_ERR_NOMEM : fn(who, arg);
  rill__tape_finish(&tape);
  return rv;
}

int rill_presence_users(rill_hub *hub, rill_str space, rill_str room,
                        int (*fn)(const rill_presence *user, void *arg),
                        void *arg) {
  const rill__crowd *c = rill__crowd_find(hub, space, room);
  int rv = 0;

  if (c == NULL)
    return RILL_ERR_NOT_FOUND;
  for (uint32_t i = 0; i < c->npeople && rv == 0; i++) {
    rill_presence who = {.user = rill__person_name(c->v[i]),
                         .status = rill__person_status(c->v[i])};
    if (who.status != RILL_STATUS_OFFLINE)
      rv = call(c, &who, rill__person_stating(c->v[i]), fn, arg);
  }
  return rv;
}

static int call_peer(const rill__crowd *c, const rill__seat *s,
                     int (*fn)(const rill_presence *, void *), void *arg) {
  const rill__peer *p = s->who->peer;
  rill_presence who = {.peer = rill__peer_handle(p),
                       .status = (rill_status)s->shown};

  if (p->user != NULL)
    who.user = rill__user_name(p);
  return call(c, &who, s->who, fn, arg);
}

/* |p|'s seat in |c|, if it is there. */
static const rill__seat *live_seat(const rill__crowd *c, const rill__peer *p) {
  const rill__seat *s = p->attending != NULL ? p->attending->seats : NULL;

  while (s != NULL && s->crowd != c)
    s = s->next;
  return s != NULL && s->state == SEAT_LIVE ? s : NULL;
}

int rill_presence_peers(rill_hub *hub, rill_str space, rill_str room,
                        int (*fn)(const rill_presence *peer, void *arg),
                        void *arg) {
  const rill__crowd *c = rill__crowd_find(hub, space, room);
  const rill__seat *s;
  rill__peer *p;
  int rv = 0;

  if (c == NULL)
    return RILL_ERR_NOT_FOUND;
  for (uint32_t i = 0; c->room != NULL && i < c->room->count && rv == 0; i++)
    if ((s = live_seat(c, c->room->members[i]->peer)) != NULL)
      rv = call_peer(c, s, fn, arg);
  for (uint32_t slot = 0;
       c->room == NULL && rv == 0 && (p = rill__peer_next(hub, &slot)) != NULL;)
    if ((s = live_seat(c, p)) != NULL)
      rv = call_peer(c, s, fn, arg);
  return rv;
}

int rill_presence_user(rill_hub *hub, rill_str space, rill_str room,
                       rill_str user, rill_presence *out) {
  const rill__crowd *c = rill__crowd_find(hub, space, room);
  const rill__person *p = c != NULL ? rill__person_find(c, user) : NULL;

  *out = (rill_presence){.user = user};
  if (c == NULL)
    return RILL_ERR_NOT_FOUND;
  if (p == NULL) {
    out->last_seen_ms = rill__person_seen(c, user);
    return 0;
  }
  out->status = rill__person_status(p);
  if (out->status == RILL_STATUS_OFFLINE)
    out->last_seen_ms = p->last_seen;
  return 0;
}
