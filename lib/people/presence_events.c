/*
 * presence_events.c - presence for clients: heartbeats, what they show, and
 * whom they ask about.
 */
#include "hub/event.h"
#include "people/presence.h"

static rill_str room_of(const rill_event *ev) {
  return rill_get_str(rill_event_arg(ev, 0), "room");
}

/* Answers with |b|, where an answer is wanted. */
static int answer(const rill_event *ev, const rill_builder *b) {
  rill_ack_to ack = rill_event_ack(ev);

  if (ack.wanted)
    rill__ack(ack, b);
  return 0;
}

static int fail(const rill_event *ev, int rv) {
  const char *code = "presence";

  if (rv == RILL_ERR_LIMIT)
    code = "limit";
  else if (rv == RILL_ERR_TOO_BIG)
    code = "too-big";
  return rill_event_fail(ev, code, rill_strerror(rv));
}

/* Everything but a heartbeat says that somebody does something. */
static int on_any(rill_peer peer, const rill_event *ev, void *arg) {
  rill__peer *p = rill__peer_of(peer);

  (void)arg;
  if (p->attending != NULL &&
      !rill_str_eq(rill_event_name(ev), rill_s("presence:heartbeat")))
    rill__presence_acted(p->attending);
  return 0;
}

static int on_heartbeat(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  rill_beat(peer);
  return answer(ev, NULL);
}

static bool status_of(rill_str text, rill_status *out) {
  for (unsigned s = RILL_STATUS_OFFLINE; s <= RILL_STATUS_BUSY; s++)
    if (rill_str_eq(text, rill_s(rill_status_text((rill_status)s)))) {
      *out = (rill_status)s;
      return true;
    }
  return false;
}

static int on_update(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value what = rill_event_arg(ev, 0);
  rill_value text = rill_value_get(what, "status");
  rill_value state = rill_value_get(what, "state");
  rill_status status = RILL_STATUS_ONLINE;
  int rv = 0;

  (void)arg;
  if (rill_value_type(text) != RILL_ABSENT &&
      !status_of(rill_value_str(text), &status))
    return rill_event_fail(ev, "status", "offline, away, online or busy");
  if (rill_value_type(state) != RILL_ABSENT)
    rv = rill_show_state(peer, state);
  if (rv == 0 && rill_value_type(text) != RILL_ABSENT)
    rv = rill_show(peer, status);
  return rv != 0 ? fail(ev, rv) : answer(ev, NULL);
}

/* The crowd that |peer| may read a page of; NULL: none. */
static const rill__crowd *readable(rill_peer peer, rill_str room) {
  rill__peer *p = rill__peer_of(peer);
  const rill__space *space = rill__peer_space(p);
  const rill__member *m;

  if (room.len == 0)
    return space->rules->presence->opts.everyone ? space->crowd : NULL;
  m = rill__room_member(p, room);
  return m != NULL ? m->room->crowd : NULL;
}

static int on_list(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value ask = rill_event_arg(ev, 0);
  const rill__crowd *c = readable(peer, room_of(ev));
  uint64_t after = rill_value_uint(rill_value_get(ask, "after"), UINT32_MAX);
  uint32_t at = after < UINT32_MAX ? (uint32_t)after : UINT32_MAX;
  bool peers = rill_str_eq(rill_get_str(ask, "view"), rill_s("peers"));
  rill_builder b;

  (void)arg;
  if (c == NULL || (peers && c->room == NULL))
    return rill_event_fail(ev, "forbidden", "only who is there may ask");
  rill__builder_init(&b, &peer.hub->alloc);
  rill_put_object(&b);
  if (peers)
    rill__crowd_page_peers(c, &b, at);
  else
    rill__crowd_page(c, &b, at);
  rill_put_end(&b);
  answer(ev, &b);
  rill__builder_finish(&b);
  return 0;
}

/* The names of |list|, freed by the caller; NULL and |*rv|: it cannot be. */
static rill_str *names_of(rill_hub *hub, rill_value list, size_t *n, int *rv) {
  rill_walk walk = rill_walk_begin(list);
  rill_str *names;

  *n = 0;
  *rv = 0;
  if (rill_value_type(list) != RILL_ARRAY || rill_value_size(list) == 0) {
    *rv = RILL_ERR_ARG;
    return NULL;
  }
  if (rill_value_size(list) > hub->config.limits.presence_watched) {
    hub->metrics.limit_presence_watched++;
    *rv = RILL_ERR_LIMIT;
    return NULL;
  }
  names = rill__malloc(&hub->alloc, rill_value_size(list) * sizeof *names);
  if (names == NULL) {
    *rv = RILL_ERR_NOMEM;
    return NULL;
  }
  while (rill_walk_next(&walk))
    names[(*n)++] = rill_value_str(walk.value);
  return names;
}

/* What is known of those who are watched from now on. */
static void answer_watch(rill_peer peer, const rill_event *ev,
                         const rill_str *names, size_t n) {
  const rill__crowd *c = rill__peer_space(rill__peer_of(peer))->crowd;
  rill_builder b;

  rill__builder_init(&b, &peer.hub->alloc);
  rill_put_object(&b);
  rill_put_key(&b, "users");
  rill_put_array(&b);
  for (size_t i = 0; i < n; i++) {
    const rill__person *p = rill__person_find(c, names[i]);
    if (p != NULL)
      rill__person_put(&b, p, p->told, false);
  }
  rill_put_end(&b);
  rill_put_end(&b);
  answer(ev, &b);
  rill__builder_finish(&b);
}

static int watch(rill_peer peer, const rill_event *ev, bool on) {
  rill_value list = rill_value_get(rill_event_arg(ev, 0), "users");
  size_t n, size = rill_value_size(list) * sizeof(rill_str);
  int rv;
  rill_str *names = names_of(peer.hub, list, &n, &rv);

  if (names == NULL)
    return fail(ev, rv);
  rv = on ? rill_watch(peer, names, n) : rill_unwatch(peer, names, n);
  if (rv != 0)
    fail(ev, rv);
  else if (on)
    answer_watch(peer, ev, names, n);
  else
    answer(ev, NULL);
  rill__free(&peer.hub->alloc, names, size);
  return 0;
}

static int on_watch(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return watch(peer, ev, true);
}

static int on_unwatch(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return watch(peer, ev, false);
}

static rill__presence *presence_new(rill_hub *hub,
                                    const rill_presence_opts *opts) {
  rill__presence *c;

  c = rill__timed_new(hub, sizeof *c);
  if (c == NULL)
    return NULL;
  c->hub = hub;
  if (opts != NULL)
    c->opts = *opts;
  rill__timer_init(&c->timer, RILL__TIMER_PRESENCE);
  rill__list_init(&c->beats);
  rill__list_init(&c->acts);
  return c;
}

int rill_presence_events(rill_hub *hub, const char *space,
                         const rill_presence_opts *opts) {
  static const struct {
    const char *name;
    rill_event_fn fn;
  } events[] = {{"presence:heartbeat", on_heartbeat},
                {"presence:update", on_update},
                {"presence:list", on_list},
                {"presence:watch", on_watch},
                {"presence:unwatch", on_unwatch}};
  rill__space *s = rill__space_rules(hub, space);
  int rv = 0;

  if (s == NULL)
    return RILL_ERR_NOT_FOUND;
  if (s->presence != NULL)
    return RILL_ERR_EXISTS;
  if (s->npeers > 0)
    return RILL_ERR_STATE;
  for (size_t i = 0; rv == 0 && i < sizeof events / sizeof *events; i++)
    rv = rill_on(hub, space, events[i].name, events[i].fn, NULL);
  if (rv == 0 && opts != NULL && opts->idle_ms > 0)
    rv = rill_before(hub, space, on_any, NULL);
  if (rv != 0)
    return rv;
  s->presence = presence_new(hub, opts);
  return s->presence != NULL ? 0 : RILL_ERR_NOMEM;
}
