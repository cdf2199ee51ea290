/*
 * watch.c - whose status a peer follows, whether they share a room or not.
 *
 * A watch is found by its person among the peer's, and by its peer among the
 * person's; both O(1).  The map's key is a pointer, which no client chooses.
 */
#include "people/presence.h"

static rill__watch *find(const rill__attending *a, const rill__person *p) {
  rill__watch *w = NULL;

  if (a->watches != NULL && p != NULL)
    HASH_FIND(hh, a->watches, &p, sizeof p, w);
  return w;
}

static void unwatch(rill__watch *w) {
  rill__attending *a = w->who;
  const rill__alloc *map_alloc = &a->peer->hub->alloc;
  rill__person *p = w->person;

  HASH_DEL(a->watches, w);
  a->nwatches--;
  rill__list_remove(&w->link);
  rill__free(map_alloc, w, sizeof *w);
  rill__person_settle(p);
}

void rill__watches_free(rill__attending *a) {
  while (a->watches != NULL)
    unwatch(a->watches);
}

static bool watch(rill__attending *a, rill__crowd *c, rill_str user) {
  const rill__alloc *map_alloc = &c->hub->alloc;
  bool map_failed = false;
  rill__person *p = rill__person_make(c, user);
  rill__watch *w;

  if (p == NULL)
    return false;
  if (find(a, p) != NULL)
    return true;
  w = rill__calloc(map_alloc, sizeof *w);
  if (w != NULL) {
    w->person = p;
    w->who = a;
    HASH_ADD(hh, a->watches, person, sizeof w->person, w);
    if (map_failed) {
      rill__free(map_alloc, w, sizeof *w);
      w = NULL;
    }
  }
  if (w == NULL) {
    rill__person_settle(p);
    return false;
  }
  rill__list_push(&p->watches, &w->link);
  a->nwatches++;
  return true;
}

/* May |n| more be watched? Those that are watched already cost nothing. */
static int check(const rill__attending *a, const rill__crowd *c,
                 const rill_str *users, size_t n) {
  rill_hub *hub = c->hub;
  size_t more = 0;

  for (size_t i = 0; i < n; i++) {
    int rv = rill__name_check(hub, users[i]);
    if (rv != 0)
      return rv;
    more += find(a, rill__person_find(c, users[i])) == NULL;
  }
  if (more > hub->config.limits.presence_watched - a->nwatches) {
    hub->metrics.limit_presence_watched++;
    return RILL_ERR_LIMIT;
  }
  return 0;
}

int rill_watch(rill_peer peer, const rill_str *users, size_t n) {
  rill__peer *p = rill__peer_open(peer);
  rill__attending *a;
  rill__crowd *c;
  size_t done = 0;
  int rv;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  if (rill__peer_space(p)->rules->presence == NULL)
    return RILL_ERR_STATE;
  a = rill__attending_of(p);
  c = a != NULL ? rill__crowd_make(p->hub, rill__peer_space(p), NULL) : NULL;
  if (c == NULL)
    return RILL_ERR_NOMEM;
  rv = check(a, c, users, n);
  if (rv != 0)
    return rv;
  while (done < n && watch(a, c, users[done]))
    done++;
  if (done == n)
    return 0;
  while (done > 0) { /* those watched before as well: the peer asks again */
    rill__watch *w = find(a, rill__person_find(c, users[--done]));
    if (w != NULL)
      unwatch(w);
  }
  return RILL_ERR_NOMEM;
}

int rill_unwatch(rill_peer peer, const rill_str *users, size_t n) {
  rill__peer *p = rill__peer_open(peer);
  rill__crowd *c;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  if (rill__peer_space(p)->rules->presence == NULL)
    return RILL_ERR_STATE;
  c = rill__peer_space(p)->crowd;
  for (size_t i = 0; c != NULL && p->attending != NULL && i < n; i++) {
    rill__watch *w = find(p->attending, rill__person_find(c, users[i]));
    if (w != NULL)
      unwatch(w);
  }
  return 0;
}
