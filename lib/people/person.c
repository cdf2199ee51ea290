/*
 * person.c - the users of a crowd: kept as long as they have a seat, are
 * followed, or have something about them untold; of a namespace's the newest
 * that went are kept for when they were seen.
 */
#include "people/presence.h"

rill__person *rill__person_find(const rill__crowd *c, rill_str name) {
  rill__person *p = NULL;

  if (c->people != NULL && name.len > 0)
    HASH_FIND_BYHASHVALUE(hh, c->people, name.ptr, name.len,
                          (unsigned)rill__hub_hash(c->hub, name), p);
  return p;
}

rill_status rill__person_status(const rill__person *p) {
  unsigned s = RILL_STATUS_BUSY;

  while (s > RILL_STATUS_OFFLINE && p->counts[s] == 0)
    s--;
  return (rill_status)s;
}

static rill__gone *gone_find(const rill__crowd *c, rill_str name) {
  rill__gone *g = NULL;

  if (c->gone != NULL && name.len > 0)
    HASH_FIND_BYHASHVALUE(hh, c->gone, name.ptr, name.len,
                          (unsigned)rill__hub_hash(c->hub, name), g);
  return g;
}

uint64_t rill__person_seen(const rill__crowd *c, rill_str name) {
  const rill__gone *g = gone_find(c, name);
  return g != NULL ? g->last_seen : 0;
}

static void gone_free(rill__crowd *c, rill__gone *g) {
  const rill__alloc *map_alloc = &c->hub->alloc;

  HASH_DEL(c->gone, g);
  c->hub->metrics.presence_seen--;
  rill__free(map_alloc, g, sizeof *g + g->name_len);
}

void rill__gone_free(rill__crowd *c) {
  while (c->gone != NULL)
    gone_free(c, c->gone);
}

/*
 * Keeps when it was last seen, in the place of the oldest (uthash keeps the
 * order of the additions).  Without memory nothing is kept.
 */
static void remember(const rill__person *p) {
  rill__crowd *c = p->crowd;
  rill_hub *hub = c->hub;
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__gone *g;

  if (hub->metrics.presence_seen >= hub->config.limits.presence_seen) {
    hub->metrics.limit_presence_seen++;
    if (c->gone == NULL) /* other namespaces have them all */
      return;
    gone_free(c, c->gone);
  }
  g = rill__calloc(map_alloc, sizeof *g + p->name_len);
  if (g == NULL)
    return;
  g->last_seen = p->last_seen;
  g->name_len = p->name_len;
  memcpy(g->name, p->name, p->name_len);
  HASH_ADD_KEYPTR_BYHASHVALUE(
      hh, c->gone, g->name, g->name_len,
      (unsigned)rill__hub_hash(hub, rill__person_name(p)), g);
  if (map_failed)
    rill__free(map_alloc, g, sizeof *g + p->name_len);
  else
    hub->metrics.presence_seen++;
}

static bool grow(rill__crowd *c) {
  uint32_t cap = c->cap == 0 ? 4 : c->cap * 2;
  void *v;

  if (c->npeople < c->cap)
    return true;
  v = rill__realloc(&c->hub->alloc, c->v, c->cap * sizeof *c->v,
                    cap * sizeof *c->v);
  if (v == NULL)
    return false;
  c->v = v;
  c->cap = cap;
  return true;
}

rill__person *rill__person_make(rill__crowd *c, rill_str name) {
  const rill__alloc *map_alloc = &c->hub->alloc;
  bool map_failed = false;
  rill__person *p = rill__person_find(c, name);
  rill__gone *g;

  if (p != NULL)
    return p;
  p = grow(c) ? rill__calloc(&c->hub->alloc, sizeof *p + name.len) : NULL;
  if (p == NULL)
    return NULL;
  p->crowd = c;
  rill__list_init(&p->seats);
  rill__list_init(&p->lost);
  rill__list_init(&p->link);
  rill__list_init(&p->watches);
  p->name_len = (uint32_t)name.len;
  memcpy(p->name, name.ptr, name.len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, c->people, p->name, p->name_len,
                              (unsigned)rill__hub_hash(c->hub, name), p);
  if (map_failed) {
    rill__free(&c->hub->alloc, p, sizeof *p + name.len);
    return NULL;
  }
  p->index = c->npeople;
  c->v[c->npeople++] = p;
  c->by_status[RILL_STATUS_OFFLINE]++;
  g = gone_find(c, name);
  if (g != NULL) {
    p->last_seen = g->last_seen;
    gone_free(c, g);
  }
  return p;
}

void rill__person_free(rill__person *p) {
  rill__crowd *c = p->crowd;
  const rill__alloc *map_alloc = &c->hub->alloc;

  rill__list_remove(&p->link);
  HASH_DEL(c->people, p);
  c->v[p->index] = c->v[--c->npeople];
  c->v[p->index]->index = p->index;
  c->by_status[rill__person_status(p)]--;
  rill__free(&c->hub->alloc, p, sizeof *p + p->name_len);
}

void rill__person_settle(rill__person *p) {
  rill__crowd *c = p->crowd;

  if (!rill__list_empty(&p->seats) || !rill__list_empty(&p->lost) ||
      !rill__list_empty(&p->watches) || p->changed ||
      p->told != RILL_STATUS_OFFLINE || c->pinned == p)
    return;
  if (c->room == NULL && p->last_seen > 0)
    remember(p);
  rill__person_free(p);
}

void rill__person_changed(rill__person *p) {
  rill__crowd *c = p->crowd;

  if (p->changed)
    return;
  p->changed = true;
  rill__list_push(&c->changed, &p->link);
  if (c->flush_at == RILL_NEVER)
    c->flush_at = c->hub->now + rill__crowd_window(c) * RILL_MSEC;
  rill__crowd_arm(c);
}
