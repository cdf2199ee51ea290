#include "hub/room.h"

#include "base/utf8.h"
#include "hub/batch.h"
#include "hub/follower.h"
#include "hub/heal.h"
#include "hub/history.h"

typedef struct room_rule {
  struct room_rule *next;
  rill_room_opts opts;
  size_t len; /* of the name, or of the prefix */
  bool prefix;
  char name[];
} room_rule;

int rill__name_check(rill_hub *hub, rill_str name) {
  if (name.len == 0)
    return RILL_ERR_ARG;
  if (name.len > hub->config.limits.name_bytes) {
    hub->metrics.limit_name_bytes++;
    return RILL_ERR_TOO_BIG;
  }
  for (size_t i = 0; i < name.len; i++)
    if ((uint8_t)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
      return RILL_ERR_ARG;
  return rill__utf8_valid(name.ptr, name.len) ? 0 : RILL_ERR_ARG;
}

/* The options of the longest rule that matches |name|. */
static rill_room_opts opts_of(const rill_hub *hub, rill_str name) {
  const room_rule *best = NULL;

  for (const room_rule *r = (const room_rule *)hub->room_rules; r != NULL;
       r = r->next) {
    if (r->prefix ? name.len < r->len : name.len != r->len)
      continue;
    if (r->len > 0 && memcmp(r->name, name.ptr, r->len) != 0)
      continue;
    if (best == NULL || (best->prefix && (!r->prefix || r->len > best->len)))
      best = r; /* of equals the newest, which comes first */
  }
  return best != NULL ? best->opts : (rill_room_opts){0};
}

static rill__room *find(const rill_hub *hub, const rill__space *space,
                        rill_str name) {
  rill__room *r = NULL;

  if (name.len == 0 || space == NULL || space->rooms == NULL)
    return NULL;
  HASH_FIND_BYHASHVALUE(hh, space->rooms, name.ptr, name.len,
                        (unsigned)rill__hub_hash(hub, name), r);
  return r;
}

rill__room *rill__room_find(const rill__space *space, rill_str name) {
  return space == NULL || space->rooms == NULL ? NULL
                                               : find(space->hub, space, name);
}

/*
 * The history of a space with recovery is on where nothing else is said.
 * What the store has no more is not shown from memory either.
 */
void rill__room_opts_of(const rill_hub *hub, const rill__space *space,
                        rill_str name, rill_room_opts *o) {
  const rill_limits *l = &hub->config.limits;

  *o = opts_of(hub, name);
  if (o->history == 0 && (space->opts.recovery || o->durable))
    o->history = l->history_count;
  if (o->history > l->history_count)
    o->history = l->history_count;
  if (o->history_ms == 0 || o->history_ms > l->history_ms)
    o->history_ms = l->history_ms;
  if (o->history_bytes == 0 || o->history_bytes > l->history_bytes)
    o->history_bytes = l->history_bytes;
  if (!o->durable) /* else the ring shows no more than the store keeps */
    return;
  if (o->keep_ms > 0 && o->keep_ms < o->history_ms)
    o->history_ms = (uint32_t)o->keep_ms;
  if (o->keep_count > 0 && o->keep_count < o->history)
    o->history = o->keep_count;
  if (o->keep_bytes > 0 && o->keep_bytes < o->history_bytes)
    o->history_bytes = (uint32_t)o->keep_bytes;
}

static void set_opts(rill_hub *hub, rill__room *r) {
  rill__room_opts_of(hub, r->space, rill__room_name(r), &r->opts);
  r->overflow = r->opts.overflow;
}

static rill__room *room_new(rill_hub *hub, rill__space *space, rill_str name) {
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__room *r;

  if (rill__hub_seed(hub) != 0) /* the host may publish before any conn */
    return NULL;
  r = rill__calloc(&hub->alloc, sizeof *r + name.len);
  if (r == NULL)
    return NULL;
  r->space = space;
  r->life = ++hub->room_lives;
  r->name_len = (uint32_t)name.len;
  memcpy(r->name, name.ptr, name.len);
  set_opts(hub, r);
  r->gone = hub->history_gone;
  if (r->opts.durable && r->gone < hub->durable_gone)
    r->gone = hub->durable_gone;
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, space->rooms, r->name, r->name_len,
                              (unsigned)rill__hub_hash(hub, name), r);
  if (map_failed) {
    rill__free(&hub->alloc, r, sizeof *r + name.len);
    return NULL;
  }
  hub->metrics.rooms++;
  space->nrooms++;
  return r;
}

rill__room *rill__room_make(rill_hub *hub, rill__space *space, rill_str name) {
  rill__room *r = find(hub, space, name);
  return r != NULL ? r : room_new(hub, space, name);
}

static void room_free(rill_hub *hub, rill__room *r) {
  const rill__alloc *map_alloc = &hub->alloc;

  rill__batch_free(hub, r);
  rill__heal_free(hub, r);
  hub->follower->room_freed(hub, r);
  rill__ring_free(hub, r->ring);
  HASH_DEL(r->space->rooms, r);
  r->space->nrooms--;
  hub->metrics.rooms--;
  rill__free(&hub->alloc, r->members, r->cap * sizeof *r->members);
  rill__free(&hub->alloc, r, sizeof *r + r->name_len);
}

bool rill__room_remembers(const rill_hub *hub, rill_str name, bool published) {
  const rill_room_opts opts = opts_of(hub, name);
  return opts.history > 0 && (published || !opts.durable);
}

void rill__room_settle(rill_hub *hub, rill__room *r) {
  rill__space *space = r->space;

  if (r->count > 0 || r->batch != NULL || r->publishing > 0 ||
      !hub->follower->done_with_room(hub, r) || !rill__ring_settle(hub, r))
    return;
  rill__fanout_close(hub, &hub->fanout); /* it may be on its way to nobody */
  room_free(hub, r);
  rill__space_release(hub, space);
}

rill__member *rill__room_member(const rill__peer *p, rill_str name) {
  rill__member *m = p->rooms;

  while (m != NULL && !rill_str_eq(rill__room_name(m->room), name))
    m = m->next;
  return m;
}

static bool grow(rill_hub *hub, rill__room *r) {
  uint32_t cap = r->cap == 0 ? 4 : r->cap * 2;
  void *members;

  if (r->count < r->cap)
    return true;
  members = rill__realloc(&hub->alloc, r->members, r->cap * sizeof *r->members,
                          cap * sizeof *r->members);
  if (members == NULL)
    return false;
  r->members = members;
  r->cap = cap;
  return true;
}

int rill__room_add(rill__peer *p, rill_str name) {
  rill_hub *hub = p->hub;
  rill__room *r;
  rill__member *m;

  if (rill__room_member(p, name) != NULL)
    return 0;
  if (p->nrooms >= hub->config.limits.rooms_per_peer) {
    hub->metrics.limit_rooms_per_peer++;
    return RILL_ERR_LIMIT;
  }
  r = rill__room_find(rill__peer_space(p), name);
  if (r != NULL) /* what it holds back is not for who comes now */
    rill__batch_flush(hub, r);
  rill__fanout_close(hub, &hub->fanout);
  if (!p->open && !p->joining) /* closed for being slow, just now */
    return RILL_ERR_CLOSED;
  r = rill__room_make(hub, rill__peer_space(p), name);
  if (r == NULL)
    return RILL_ERR_NOMEM;
  m = grow(hub, r) ? rill__malloc(&hub->alloc, sizeof *m) : NULL;
  if (m == NULL) {
    rill__room_settle(hub, r);
    return RILL_ERR_NOMEM;
  }
  *m = (rill__member){.room = r,
                      .peer = p,
                      .next = p->rooms,
                      .since = p->joining ? 0 : hub->offset,
                      .index = r->count};
  p->rooms = m;
  p->nrooms++;
  r->members[r->count++] = m;
  r->mix |= rill__mix_of(p->variant);
  if (!hub->follower->joined(p, r)) {
    rill__room_remove(m);
    return RILL_ERR_NOMEM;
  }
  return 0;
}

void rill__room_remove(rill__member *m) {
  rill__room *r = m->room;
  rill__peer *p = m->peer;
  rill_hub *hub = p->hub;
  rill__member **at = &p->rooms;

  rill__batch_flush(hub, r);
  rill__fanout_close(hub, &hub->fanout);
  hub->follower->left(p, r);
  while (*at != m)
    at = &(*at)->next;
  *at = m->next;
  p->nrooms--;
  r->members[m->index] = r->members[--r->count];
  r->members[m->index]->index = m->index;
  rill__free(&hub->alloc, m, sizeof *m);
  rill__room_settle(hub, r);
}

void rill__rooms_leave_all(rill__peer *p) {
  while (p->rooms != NULL)
    rill__room_remove(p->rooms);
}

void rill__rooms_free(rill_hub *hub) {
  for (rill__space *s = hub->spaces; s != NULL; s = s->next)
    while (s->rooms != NULL)
      room_free(hub, s->rooms);
  while (hub->room_rules != NULL) {
    room_rule *r = (room_rule *)hub->room_rules;
    hub->room_rules = (struct rill__room_rule *)r->next;
    rill__free(&hub->alloc, r, sizeof *r + r->len);
  }
}

int rill_join(rill_peer peer, rill_str room) {
  rill__peer *p = rill__peer_open(peer);
  int rv;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  rv = rill__name_check(p->hub, room);
  return rv != 0 ? rv : rill__room_add(p, room);
}

int rill_leave(rill_peer peer, rill_str room) {
  rill__peer *p = rill__peer_of(peer);
  rill__member *m;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  m = rill__room_member(p, room);
  if (m == NULL)
    return RILL_ERR_NOT_FOUND;
  rill__room_remove(m);
  return 0;
}

size_t rill_room_count_in(const rill_hub *hub, rill_str space, rill_str room) {
  const rill__room *r = rill__room_find(rill__space_find(hub, space), room);
  return r != NULL ? r->count : 0;
}

size_t rill_room_count(const rill_hub *hub, rill_str room) {
  return rill_room_count_in(hub, (rill_str){0}, room);
}

bool rill_in_room(rill_peer peer, rill_str room) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && rill__room_member(p, room) != NULL;
}

int rill_room_each_in(rill_hub *hub, rill_str space, rill_str room,
                      int (*fn)(rill_peer peer, void *arg), void *arg) {
  const rill__room *r = rill__room_find(rill__space_find(hub, space), room);
  int rv = 0;

  for (uint32_t i = 0; r != NULL && i < r->count && rv == 0; i++)
    rv = fn(rill__peer_handle(r->members[i]->peer), arg);
  return rv;
}

int rill_room_each(rill_hub *hub, rill_str room,
                   int (*fn)(rill_peer peer, void *arg), void *arg) {
  return rill_room_each_in(hub, (rill_str){0}, room, fn, arg);
}

int rill_peer_rooms(rill_peer peer, int (*fn)(rill_str room, void *arg),
                    void *arg) {
  rill__peer *p = rill__peer_of(peer);
  int rv = 0;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  for (const rill__member *m = p->rooms; m != NULL && rv == 0; m = m->next)
    rv = fn(rill__room_name(m->room), arg);
  return rv;
}

int rill_room_defaults(rill_hub *hub, const char *pattern,
                       const rill_room_opts *opts) {
  rill_str name = rill_s(pattern);
  bool prefix = name.len > 0 && name.ptr[name.len - 1] == '*', ok = true;
  room_rule *r;

  if (name.len == 0 || opts->overflow > RILL_DROP_OLDEST)
    return RILL_ERR_ARG;
  name.len -= prefix;
  r = rill__malloc(&hub->alloc, sizeof *r + name.len);
  if (r == NULL)
    return RILL_ERR_NOMEM;
  *r = (room_rule){(room_rule *)hub->room_rules, *opts, name.len, prefix};
  if (name.len > 0)
    memcpy(r->name, name.ptr, name.len);
  hub->room_rules = (struct rill__room_rule *)r;
  hub->remembers |= opts->history > 0 || opts->durable || opts->batch_ms > 0;
  rill__fanout_close(hub, &hub->fanout);
  for (rill__space *s = hub->spaces; s != NULL; s = s->next)
    for (rill__room *room = s->rooms; room != NULL; room = room->hh.next) {
      bool kept = room->opts.history > 0;
      set_opts(hub, room);
      rill__ring_limit(hub, room);
      if (!kept && room->opts.history > 0)
        room->gone = ++hub->offset; /* what was sent until now is lost */
      ok &= hub->follower->ruled(hub, room);
    }
  return ok ? 0 : RILL_ERR_NOMEM;
}
