/*
 * ring.c - the newest events of a room, a namespace or a peer: a circle with
 * limits of count, age and bytes, which knows the newest that it has lost.
 */
#include "hub/history.h"

/* How often rings are looked at for what is too old, and how many of them. */
#define SWEEP_MS 250u
#define SWEEP_RINGS 256

static void drop_oldest(rill_hub *hub, rill__ring *r) {
  rill__entry *e = rill__ring_at(r, 0);

  r->head = (r->head + 1) % r->cap;
  r->len--;
  r->bytes -= e->size;
  hub->history_bytes -= e->size;
  r->lost = e->offset;
  rill__entry_unref(hub, e);
}

void rill__ring_take_back(rill_hub *hub, rill__ring *r, uint64_t number) {
  rill__entry *e;

  if (r == NULL || r->len == 0)
    return;
  e = rill__ring_at(r, r->len - 1);
  if (e->number != number)
    return;
  r->len--;
  r->bytes -= e->size;
  hub->history_bytes -= e->size;
  rill__entry_unref(hub, e);
}

void rill__ring_free(rill_hub *hub, rill__ring *r) {
  if (r == NULL)
    return;
  while (r->len > 0)
    drop_oldest(hub, r);
  rill__list_remove(&r->link);
  rill__free(&hub->alloc, r->v, r->cap * sizeof(rill__entry *));
  rill__free(&hub->alloc, r, sizeof *r);
}

/* Sets what |r| may keep; what is beyond it goes. */
static void limit(rill_hub *hub, rill__ring *r, const rill_room_opts *o) {
  r->most = o->history;
  r->most_ms = o->history_ms;
  r->most_bytes = o->history_bytes;
  while (r->len > r->most || r->bytes > r->most_bytes)
    drop_oldest(hub, r);
}

void rill__ring_limit(rill_hub *hub, rill__room *room) {
  if (room->ring != NULL)
    limit(hub, room->ring, &room->opts);
}

static rill__ring *ring_new(rill_hub *hub, rill__room *room) {
  const rill_limits *l = &hub->config.limits;
  const rill_room_opts all = {.history = l->history_count,
                              .history_ms = l->history_ms,
                              .history_bytes = l->history_bytes};
  rill__ring *r = rill__calloc(&hub->alloc, sizeof *r);

  if (r == NULL)
    return NULL;
  rill__list_init(&r->link);
  r->room = room;
  limit(hub, r, room != NULL ? &room->opts : &all);
  return r;
}

static bool grow(rill_hub *hub, rill__ring *r) {
  uint32_t cap = r->cap == 0 ? 8 : r->cap * 2;
  rill__entry **v;

  if (r->len < r->cap)
    return true;
  v = rill__malloc(&hub->alloc, cap * sizeof *v);
  if (v == NULL)
    return false;
  for (uint32_t i = 0; i < r->len; i++)
    v[i] = rill__ring_at(r, i);
  rill__free(&hub->alloc, r->v, r->cap * sizeof *v);
  r->v = v;
  r->cap = cap;
  r->head = 0;
  return true;
}

static bool too_old(const rill_hub *hub, const rill__ring *r) {
  /* what was sent before the hub was told any time begins its own now */
  if (r->len > 0 && rill__ring_at(r, 0)->at == 0)
    rill__ring_at(r, 0)->at = hub->now;
  return r->len > 0 &&
         rill__after(rill__ring_at(r, 0)->at, r->most_ms) <= hub->now;
}

/* No hole between what is kept and what follows. */
void rill__ring_lose(rill_hub *hub, rill__ring *r, uint64_t offset) {
  while (r->len > 0)
    drop_oldest(hub, r);
  r->lost = offset;
}

void rill__ring_add(rill_hub *hub, rill__ring **ring, rill__room *room,
                    rill__entry *e) {
  const rill_limits *l = &hub->config.limits;
  rill__ring *r = *ring;

  if (r == NULL)
    r = *ring = ring_new(hub, room);
  if (r == NULL) {
    hub->history_lost = e->offset;
    return;
  }
  while (r->len > 0 &&
         (r->len >= r->most || r->bytes + e->size > r->most_bytes)) {
    hub->metrics.limit_history_count += r->len >= r->most;
    hub->metrics.limit_history_bytes += r->len < r->most;
    drop_oldest(hub, r);
  }
  if (e->size > r->most_bytes ||
      hub->history_bytes + e->size > l->history_total_bytes || !grow(hub, r)) {
    hub->metrics.limit_history_bytes += e->size > r->most_bytes;
    hub->metrics.limit_history_total_bytes +=
        hub->history_bytes + e->size > l->history_total_bytes;
    rill__ring_lose(hub, r, e->offset);
    return;
  }
  r->v[(r->head + r->len++) % r->cap] = e;
  e->refs++;
  r->bytes += e->size;
  hub->history_bytes += e->size;
  if (rill__list_empty(&r->link)) {
    rill__list_push(&hub->rings, &r->link);
    if (hub->history_timer.due == RILL_NEVER)
      rill__heap_set(&hub->timers, &hub->history_timer,
                     hub->now + SWEEP_MS * RILL_MSEC);
  }
}

/* Empty rings of rooms go, and with them rooms that nobody is in. */
static void let_go(rill_hub *hub, rill__ring *r) {
  rill__room *room = r->room;

  rill__list_remove(&r->link);
  rill__list_init(&r->link);
  if (room != NULL) /* what it has forgotten matters to those who are there */
    rill__room_settle(hub, room);
}

bool rill__ring_settle(rill_hub *hub, rill__room *room) {
  rill__ring *r = room->ring;

  if (r == NULL)
    return true;
  if (r->len > 0)
    return false;
  if (hub->history_gone < r->lost)
    hub->history_gone = r->lost;
  room->ring = NULL;
  rill__ring_free(hub, r);
  return true;
}

void rill__history_tick(rill_hub *hub) {
  for (int i = 0; i < SWEEP_RINGS && !rill__list_empty(&hub->rings); i++) {
    rill__link *l = rill__list_shift(&hub->rings);
    rill__ring *r = RILL__CONTAINER(l, rill__ring, link);
    while (too_old(hub, r)) {
      hub->metrics.limit_history_ms++;
      drop_oldest(hub, r);
    }
    if (r->len > 0)
      rill__list_push(&hub->rings, &r->link);
    else
      let_go(hub, r);
  }
  if (!rill__list_empty(&hub->rings))
    rill__heap_set(&hub->timers, &hub->history_timer,
                   hub->now + SWEEP_MS * RILL_MSEC);
}

/* How far back a second publication under one id is looked for. */
#define ID_WINDOW 1024u

uint64_t rill__ring_number_of(const rill__ring *r, rill_str id) {
  uint32_t n = r != NULL ? r->len : 0;

  for (uint32_t i = 0; i < n && i < ID_WINDOW; i++) {
    const rill__entry *e = rill__ring_at(r, n - 1 - i);
    if (e->number > 0 && rill_str_eq(rill__entry_id(e), id))
      return e->number;
  }
  return 0;
}

/* Is |e| numbered, and on the side of |op|'s number that it asks for? */
static bool asked_for(const rill__entry *e, const rill_store_op *op) {
  return e->number > 0 &&
         (op->reverse ? e->number < op->from : e->number > op->from);
}

uint32_t rill__ring_read(const rill__ring *r, rill_store_op *op,
                         rill_record *out) {
  uint32_t n = r != NULL ? r->len : 0, found = 0;

  for (uint32_t i = 0; i < n; i++) {
    const rill__entry *e = rill__ring_at(r, op->reverse ? n - 1 - i : i);
    if (e->number > 0 && (op->first == 0 || e->number < op->first))
      op->first = e->number;
    if (found < op->limit && asked_for(e, op))
      out[found++] = (rill_record){.offset = e->number,
                                   .time_ms = e->time_ms,
                                   .id = rill__entry_id(e),
                                   .data = rill__entry_event(e)};
  }
  return found;
}
