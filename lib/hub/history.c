#include "hub/history.h"

#include "hub/conn.h"

/* How often rings are looked at for what is too old, and how many of them. */
#define SWEEP_MS 250u
#define SWEEP_RINGS 256

size_t rill__offset_write(const rill_hub *hub, uint64_t offset, char *text) {
  char digits[20];
  size_t n = 0, at = 9;

  memcpy(text, hub->epoch, 8);
  text[8] = '-';
  do {
    digits[n++] = (char)('0' + offset % 10);
    offset /= 10;
  } while (offset > 0);
  while (n > 0)
    text[at++] = digits[--n];
  return at;
}

/* 1 to 19 digits. */
static bool read_digits(rill_str text, uint64_t *n) {
  *n = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9')
      return false;
    *n = *n * 10 + (uint64_t)(text.ptr[i] - '0');
  }
  return text.len > 0 && text.len <= 19;
}

/* Cuts ".NUMBER" off |*text|; an empty string: there is none. */
static rill_str cut_number(rill_str *text) {
  const char *dot = text->len > 0 ? memchr(text->ptr, '.', text->len) : NULL;
  rill_str number = {0};

  if (dot == NULL)
    return number;
  number.len = text->len - (size_t)(dot + 1 - text->ptr);
  number.ptr = dot + 1;
  text->len = (size_t)(dot - text->ptr);
  return number;
}

bool rill__offset_read(const rill_hub *hub, rill_str text, uint64_t *offset) {
  uint64_t n;

  cut_number(&text);
  if (text.len < 10 || text.ptr[8] != '-' ||
      memcmp(text.ptr, hub->epoch, 8) != 0 ||
      !read_digits((rill_str){text.ptr + 9, text.len - 9}, &n))
    return false;
  if (n > hub->offset)
    return false;
  *offset = n;
  return true;
}

bool rill__offset_number(rill_str text, uint64_t *number) {
  return read_digits(cut_number(&text), number);
}

void rill__item_write(rill__bytes *out, const rill__item *item) {
  const rill__node *n = item->args;
  uint32_t nargs = n != NULL ? n->len : 0;

  if (item->msg != NULL) {
    rill__node data = {.type = item->msg->kind == RILL_TEXT ? RILL_STRING
                                                            : RILL_BYTES,
                       .len = (uint32_t)item->msg->len,
                       .u.ptr = item->msg->data};
    rill__msgpack_write_array(out, 2);
    rill__msgpack_write_str(out, rill_s("message"));
    rill__msgpack_write(out, &data);
    return;
  }
  rill__msgpack_write_array(out, nargs + 1);
  rill__msgpack_write_str(out, item->name);
  for (uint32_t i = 0; i < nargs; i++) {
    n = i == 0 ? item->args + 1 : rill__node_next(n);
    rill__msgpack_write(out, n);
  }
}

rill__entry *rill__entry_new(rill_hub *hub, const rill_to *to,
                             const rill__item *item) {
  rill__bytes out;
  rill__entry *e = NULL;
  size_t ids = to->nexcept + to->nexcept_rooms, size;
  char *bytes;

  if (ids > 65536)
    return NULL;
  rill__bytes_init(&out, &hub->alloc);
  rill__item_write(&out, item);
  size = sizeof *e + ids * sizeof e->data[0] + item->id.len + out.len;
  if (!out.failed && size < UINT32_MAX)
    e = rill__malloc(&hub->alloc, size);
  if (e != NULL) {
    *e = (rill__entry){.refs = 1,
                       .size = (uint32_t)size,
                       .len = (uint32_t)out.len,
                       .nexcept = (uint32_t)to->nexcept,
                       .nrooms = (uint32_t)to->nexcept_rooms,
                       .id_len = (uint32_t)item->id.len,
                       .number = item->number,
                       .time_ms = item->time_ms,
                       .at = hub->now};
    for (size_t i = 0; i < to->nexcept; i++)
      e->data[i] = rill_peer_id(to->except[i]);
    for (size_t i = 0; i < to->nexcept_rooms; i++)
      e->data[to->nexcept + i] = rill__hub_hash(hub, to->except_rooms[i]);
    bytes = (char *)(e->data + ids);
    if (item->id.len > 0)
      memcpy(bytes, item->id.ptr, item->id.len);
    memcpy(bytes + item->id.len, out.data, out.len);
  }
  rill__bytes_finish(&out);
  return e;
}

void rill__entry_unref(rill_hub *hub, rill__entry *e) {
  if (--e->refs > 0)
    return;
  rill__free(&hub->alloc, e, e->size);
}

bool rill__item_read(rill__tape *tape, rill_str data, rill__item *item) {
  static const rill__value_limits none = {RILL__VALUE_DEPTH, UINT32_MAX,
                                          UINT32_MAX};
  uint32_t from = tape->len;
  rill__node *n;

  if (rill__msgpack_read(tape, data, &none) != 0)
    return false;
  n = tape->v + from;
  if (n->type != RILL_ARRAY || n->len == 0 || n[1].type != RILL_STRING)
    return false; /* not of this library's writing */
  /* the name becomes the head of the arguments' own array */
  *item = (rill__item){.name = {n[1].u.ptr, n[1].len}};
  n[1] = (rill__node){
      .type = RILL_ARRAY, .len = n->len - 1, .u.nodes = n->u.nodes - 1};
  item->args = n + 1;
  return true;
}

static const char *bytes_of(const rill__entry *e) {
  return (const char *)(e->data + e->nexcept + e->nrooms);
}

static rill_str id_of(const rill__entry *e) {
  return (rill_str){bytes_of(e), e->id_len};
}

static rill_str event_of(const rill__entry *e) {
  return (rill_str){bytes_of(e) + e->id_len, e->len};
}

bool rill__entry_item(const rill__entry *e, rill__tape *tape,
                      rill__item *item) {
  if (!rill__item_read(tape, event_of(e), item))
    return false;
  item->number = e->number;
  item->time_ms = e->time_ms;
  item->id = id_of(e);
  return true;
}

static rill__entry *at(const rill__ring *r, uint32_t i) {
  return r->v[(r->head + i) % r->cap];
}

static void drop_oldest(rill_hub *hub, rill__ring *r) {
  rill__entry *e = at(r, 0);

  r->head = (r->head + 1) % r->cap;
  r->len--;
  r->bytes -= e->size;
  hub->history_bytes -= e->size;
  r->lost = e->offset;
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
    v[i] = at(r, i);
  rill__free(&hub->alloc, r->v, r->cap * sizeof *v);
  r->v = v;
  r->cap = cap;
  r->head = 0;
  return true;
}

static bool too_old(const rill_hub *hub, const rill__ring *r) {
  /* what was sent before the hub was told any time begins its own now */
  if (r->len > 0 && at(r, 0)->at == 0)
    at(r, 0)->at = hub->now;
  return r->len > 0 && rill__after(at(r, 0)->at, r->most_ms) <= hub->now;
}

/* |*ring| is made where it is needed; what does not fit is forgotten. */
static void add(rill_hub *hub, rill__ring **ring, rill__room *room,
                rill__entry *e) {
  const rill_limits *l = &hub->config.limits;
  rill__ring *r = *ring;

  if (r == NULL)
    r = *ring = ring_new(hub, room);
  if (r == NULL) {
    hub->history_lost = e->offset;
    return;
  }
  while (r->len > 0 && (r->len >= r->most || r->bytes + e->size > r->most_bytes)) {
    hub->metrics.limit_history_count += r->len >= r->most;
    hub->metrics.limit_history_bytes += r->len < r->most;
    drop_oldest(hub, r);
  }
  if (e->size > r->most_bytes ||
      hub->history_bytes + e->size > l->history_total_bytes || !grow(hub, r)) {
    hub->metrics.limit_history_bytes += e->size > r->most_bytes;
    hub->metrics.limit_history_total_bytes +=
        hub->history_bytes + e->size > l->history_total_bytes;
    while (r->len > 0) /* no hole between what is kept and what follows */
      drop_oldest(hub, r);
    r->lost = e->offset;
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

bool rill__history_of_peer(const rill__peer *p) {
  return p->voice != NULL && p->voice->space->opts.recovery;
}

typedef struct keeping {
  rill_hub *hub;
  const rill__item *item;
  rill__space *space;
  rill__entry *entry;
} keeping;

static void keep_for_peer(void *arg, rill__peer *p) {
  keeping *k = arg;

  if (rill__history_of_peer(p) && p->voice->space == k->space &&
      (p->open || p->away))
    add(k->hub, &p->voice->ring, NULL, k->entry);
}

/* A durable room keeps what is published in it, and nothing else. */
static bool keeps(const rill__room *r, const rill__item *item) {
  return r->opts.history > 0 && (!r->opts.durable || item->number > 0);
}

/* Is anything that |to| names kept? */
static bool is_kept(rill_hub *hub, rill__space *space, const rill_to *to,
                    const rill__item *item) {
  if (space->opts.recovery)
    return true;
  for (size_t i = 0; i < to->nrooms; i++) {
    rill__room *r = rill__room_find(space, to->rooms[i]);
    if (r != NULL ? keeps(r, item) : rill__room_remembers(hub, to->rooms[i]))
      return true;
  }
  return false;
}

static void keep(keeping *k, const rill_to *to) {
  rill_hub *hub = k->hub;
  rill__peer *p;

  if (to->all && k->space->opts.recovery)
    add(hub, &k->space->ring, NULL, k->entry);
  for (size_t i = 0; i < to->nrooms; i++) {
    rill__room *r = rill__room_find(k->space, to->rooms[i]);
    if (r == NULL && rill__room_remembers(hub, to->rooms[i]) &&
        rill__name_check(hub, to->rooms[i]) == 0)
      r = rill__room_make(hub, k->space, to->rooms[i]);
    if (r != NULL && keeps(r, k->item)) {
      add(hub, &r->ring, r, k->entry);
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

size_t rill__history_keep(rill_hub *hub, rill__space *space, const rill_to *to,
                          const rill__item *item, char *text) {
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
    hub->history_lost = hub->offset;
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
    if (at(r, mid)->offset <= offset)
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

/* Does what is behind |offset| fit? Written out it is longer; twice, at most. */
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
      if ((bytes += at(r, i - 1)->size * 2u) > l->queue_bytes)
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
    if (i < r->len && (best == NULL || at(r, i)->offset < best->offset)) {
      best = at(r, i);
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
    rill__conn_send_item(p->conn, &item, RILL_DISCONNECT);
  }
  rill__tape_finish(&tape);
}

/* How far back a second publication under one id is looked for. */
#define ID_WINDOW 1024u

uint64_t rill__ring_number_of(const rill__ring *r, rill_str id) {
  uint32_t n = r != NULL ? r->len : 0;

  for (uint32_t i = 0; i < n && i < ID_WINDOW; i++) {
    const rill__entry *e = at(r, n - 1 - i);
    if (e->number > 0 && rill_str_eq(id_of(e), id))
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
    const rill__entry *e = at(r, op->reverse ? n - 1 - i : i);
    if (e->number > 0 && (op->first == 0 || e->number < op->first))
      op->first = e->number;
    if (found < op->limit && asked_for(e, op))
      out[found++] = (rill_record){.offset = e->number,
                                   .time_ms = e->time_ms,
                                   .id = id_of(e),
                                   .data = event_of(e)};
  }
  return found;
}
