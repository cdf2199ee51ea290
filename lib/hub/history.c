#include "hub/history.h"

#include "hub/conn.h"

bool rill__history_of_peer(const rill__peer *p) {
  return p->voice != NULL && p->voice->space->opts.recovery;
}

typedef struct keeping {
  rill_hub *hub;
  rill__item *item;
  rill__space *space;
  rill__entry *entry;
} keeping;

static void keep_for_peer(void *arg, rill__peer *p) {
  keeping *k = arg;

  if (rill__history_of_peer(p) && p->voice->space == k->space &&
      (p->open || p->away))
    rill__ring_add(k->hub, &p->voice->ring, NULL, k->entry);
}

/* A durable room keeps what is published in it, and nothing else. */
static bool keeps(const rill__room *r, const rill__item *item) {
  return r->opts.history > 0 && (!r->opts.durable || item->number > 0);
}

/* Is anything that |to| names kept? */
/*
 * The room that keeps, NULL: there is none.  One that is only there because
 * the store has something for it keeps nothing, as nobody could have missed it.
 */
static rill__room *keeper(const rill_hub *hub, const rill__space *space,
                          rill_str name) {
  rill__room *r = rill__room_find(space, name);

  if (r != NULL && r->publishing > 0 && r->count == 0 && r->ring == NULL &&
      !rill__room_remembers(hub, name, true))
    return NULL;
  return r;
}

static bool is_kept(rill_hub *hub, rill__space *space, const rill_to *to,
                    const rill__item *item) {
  if (space->opts.recovery)
    return true;
  for (size_t i = 0; i < to->nrooms; i++) {
    rill__room *r = keeper(hub, space, to->rooms[i]);
    if (r != NULL ? keeps(r, item)
                  : rill__room_remembers(hub, to->rooms[i], item->number > 0))
      return true;
  }
  return false;
}

static void keep(keeping *k, const rill_to *to) {
  rill_hub *hub = k->hub;
  rill__peer *p;

  if (to->all && k->space->opts.recovery) {
    rill__ring_add(hub, &k->space->ring, NULL, k->entry);
    k->item->kept = true;
  }
  for (size_t i = 0; i < to->nrooms; i++) {
    rill__room *r = keeper(hub, k->space, to->rooms[i]);
    if (r == NULL &&
        rill__room_remembers(hub, to->rooms[i], k->item->number > 0) &&
        rill__name_check(hub, to->rooms[i]) == 0)
      r = rill__room_make(hub, k->space, to->rooms[i]);
    if (r != NULL && keeps(r, k->item)) {
      k->item->kept = true;
      rill__ring_add(hub, &r->ring, r, k->entry);
      rill__room_settle(hub, r);
    } else if (r == NULL && k->space->opts.recovery) {
      hub->history_gone = k->entry->offset; /* a room of nobody keeps nothing */
    }
  }
  for (size_t i = 0; i < to->nusers; i++) {
    rill__user *user = rill__user_find(hub, to->users[i]);
    if (user != NULL)
      rill__user_each(user, keep_for_peer, k);
  }
  for (size_t i = 0; i < to->npeers; i++)
    if ((p = rill__peer_of(to->peers[i])) != NULL && p->hub == hub)
      keep_for_peer(k, p);
}

/* There is no memory for it: those who come back must hear of the gap. */
static void lose(keeping *k, const rill_to *to) {
  rill_hub *hub = k->hub;

  hub->history_lost = hub->offset;
  for (size_t i = 0; i < to->nrooms; i++) {
    rill__room *r = rill__room_find(k->space, to->rooms[i]);
    if (r != NULL && r->ring != NULL && keeps(r, k->item))
      rill__ring_lose(hub, r->ring, hub->offset);
  }
}

size_t rill__history_keep(rill_hub *hub, rill__space *space, const rill_to *to,
                          rill__item *item, char *text) {
  keeping k = {.hub = hub, .space = space, .item = item};

  if (item->is_volatile || item->asks || rill__hub_seed(hub) != 0 ||
      !is_kept(hub, space, to, item))
    return 0; /* without a seed nobody has ever been here */
  hub->offset++;
  k.entry = rill__entry_new(hub, to, item);
  if (k.entry != NULL) {
    k.entry->offset = hub->offset;
    keep(&k, to);
    rill__entry_unref(hub, k.entry);
  } else {
    lose(&k, to);
    item->kept = true; /* who has it comes again behind the gap */
  }
  return rill__offset_write(hub, hub->offset, text);
}

/*
 * The rings that |p| may have missed something in, one after the other, and
 * from which offset on: what a room was sent before it came is not missed.
 */
static const rill__ring *ring_of(const rill__peer *p, const rill__member **m,
                                 int *step, uint64_t *from) {
  const rill__ring *r = NULL;

  *from = 0;
  while (r == NULL && *step < 3) {
    if (*step == 0) {
      r = p->voice->ring;
      ++*step;
    } else if (*step == 1) {
      r = p->voice->space->ring;
      *m = p->rooms;
      ++*step;
    } else if (*m != NULL) {
      r = (*m)->room->ring;
      *from = (*m)->since;
      *m = (*m)->next;
    } else {
      ++*step;
    }
  }
  return r;
}

bool rill__history_complete(rill__peer *p, uint64_t offset, bool returns) {
  const rill__member *m = NULL;
  const rill__ring *r;
  uint64_t from;
  int step = 0;

  if (p->hub->history_lost > offset)
    return false;
  for (m = returns ? NULL : p->rooms; m != NULL; m = m->next)
    if (m->room->gone > offset || m->room->opts.history == 0)
      return false;
  while ((r = ring_of(p, &m, &step, &from)) != NULL)
    if (r->lost > offset && r->lost > from)
      return false;
  return true;
}

/* The index of the first entry behind |offset|. */
static uint32_t first_behind(const rill__ring *r, uint64_t offset) {
  uint32_t low = 0, high = r->len;

  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (rill__ring_at(r, mid)->offset <= offset)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static bool is_for(const rill__peer *p, const rill__entry *e) {
  uint64_t id = rill_peer_id(rill__peer_handle(p));

  for (uint32_t i = 0; i < e->nexcept; i++)
    if (e->data[i] == id)
      return false;
  for (const rill__member *m = p->rooms; e->nrooms > 0 && m != NULL;
       m = m->next) {
    uint64_t hash = rill__hub_hash(p->hub, rill__room_name(m->room));
    for (uint32_t i = 0; i < e->nrooms; i++)
      if (e->data[e->nexcept + i] == hash)
        return false;
  }
  return true;
}

/* Does what is behind |offset| fit? Written out it is longer; twice, at most.
 */
static bool fits(const rill__peer *p, uint64_t offset) {
  const rill_limits *l = &p->hub->config.limits;
  const rill__member *m = NULL;
  const rill__ring *r;
  uint64_t count = 0, bytes = 0, from;
  int step = 0;

  while ((r = ring_of(p, &m, &step, &from)) != NULL) {
    uint32_t first = first_behind(r, offset > from ? offset : from);
    count += r->len - first;
    for (uint32_t i = r->len; i > first; i--)
      if ((bytes += rill__ring_at(r, i - 1)->size * 2u) > l->queue_bytes)
        return false;
  }
  return count <= l->queue_count;
}

uint64_t rill__history_fitting(const rill__peer *p, uint64_t offset) {
  uint64_t high = p->hub->offset;

  if (offset >= high || fits(p, offset))
    return offset;
  while (high - offset > 1) { /* it does not fit behind |offset| */
    uint64_t mid = offset + (high - offset) / 2;
    if (fits(p, mid))
      high = mid;
    else
      offset = mid;
  }
  return high;
}

/* The oldest entry behind |offset| in any of the rings. */
static rill__entry *next_missed(const rill__peer *p, uint64_t offset,
                                rill__room **room) {
  const rill__member *m = NULL;
  const rill__ring *r;
  rill__entry *best = NULL;
  uint64_t from;
  int step = 0;

  while ((r = ring_of(p, &m, &step, &from)) != NULL) {
    uint32_t i = first_behind(r, offset > from ? offset : from);
    if (i < r->len &&
        (best == NULL || rill__ring_at(r, i)->offset < best->offset)) {
      best = rill__ring_at(r, i);
      *room = r->room;
    }
  }
  return best;
}

void rill__history_replay(rill__peer *p, uint64_t offset) {
  rill_hub *hub = p->hub;
  rill__tape tape;
  rill__entry *e;
  rill__room *room = NULL;
  char text[RILL__OFFSET_MAX];

  rill__tape_init(&tape, &hub->alloc);
  while (p->conn != NULL && p->conn->state == RILL__OPEN &&
         (e = next_missed(p, offset, &room)) != NULL) {
    rill__item item;
    offset = e->offset;
    if (!is_for(p, e))
      continue;
    rill__tape_clear(&tape);
    if (!rill__entry_item(e, &tape, &item)) {
      rill__conn_ws_cut(p->conn, RILL_CAUSE_NOMEM, "out of memory");
      break;
    }
    item.space = rill__space_name(rill__peer_space(p));
    item.recovery = rill__peer_space(p)->opts.recovery;
    if (room != NULL)
      item.room = rill__room_name(room);
    item.offset = (rill_str){text, rill__offset_write(hub, offset, text)};
    item.kept = true;
    rill__conn_send_item(p->conn, &item, RILL_DISCONNECT);
  }
  rill__tape_finish(&tape);
}
