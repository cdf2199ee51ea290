#include "hub/batch.h"

#include "hub/conn.h"
#include "hub/emit.h"
#include "hub/history.h"

/* What is held back is written out early beyond so many bytes. */
#define MOST_BYTES 65536u

typedef struct held {
  struct held *next;
  rill__entry *entry;
  bool uncompressed;
  rill_overflow overflow;
} held;

typedef struct rill__batch {
  rill__timer timer;
  rill__room *room;
  held *first, **end;
  size_t bytes;
} rill__batch;

void rill__batch_free(rill_hub *hub, rill__room *room) {
  rill__batch *b = room->batch;

  if (b == NULL)
    return;
  room->batch = NULL;
  while (b->first != NULL) {
    held *h = b->first;
    b->first = h->next;
    rill__entry_unref(hub, h->entry);
    rill__free(&hub->alloc, h, sizeof *h);
  }
  rill__timed_free(hub, &b->timer, b, sizeof *b);
}

static rill__batch *batch_of(rill_hub *hub, rill__room *room) {
  rill__batch *b = room->batch;

  if (b != NULL)
    return b;
  b = rill__timed_new(hub, sizeof *b);
  if (b == NULL)
    return NULL;
  b->room = room;
  b->end = &b->first;
  rill__timer_init(&b->timer, RILL__TIMER_BATCH);
  rill__heap_set(&hub->timers, &b->timer,
                 hub->now + room->opts.batch_ms * RILL_MSEC);
  room->batch = b;
  return b;
}

bool rill__batch_take(rill_hub *hub, rill__room *room, const rill__item *item) {
  static const rill_to nobody_excepted = {0};
  rill__batch *b;
  held *h;

  if (room->opts.batch_ms == 0)
    return false;
  b = batch_of(hub, room);
  h = b != NULL ? rill__calloc(&hub->alloc, sizeof *h) : NULL;
  if (h != NULL)
    h->entry = rill__entry_new(hub, &nobody_excepted, item);
  if (h == NULL || h->entry == NULL) {
    rill__free(&hub->alloc, h, sizeof *h);
    return false;
  }
  h->uncompressed = item->uncompressed;
  h->overflow = item->overflow;
  *b->end = h;
  b->end = &h->next;
  b->bytes += h->entry->size;
  if (b->bytes >= MOST_BYTES)
    rill__batch_flush(hub, room);
  return true;
}

/* false: out of memory, nobody was sent anything. */
static bool send_held(rill_hub *hub, rill__room *room, const held *h,
                      rill__tape *tape) {
  rill_str name = rill__room_name(room);
  rill_to to = {
      .rooms = &name, .nrooms = 1, .space = rill__space_name(room->space)};
  rill__item item;
  char offset[RILL__OFFSET_MAX];

  rill__tape_clear(tape);
  if (!rill__entry_item(h->entry, tape, &item)) {
    hub->history_lost = ++hub->offset; /* whoever asks is told of a gap */
    if (room->ring != NULL)
      rill__ring_lose(hub, room->ring, hub->offset);
    return false;
  }
  item.uncompressed = h->uncompressed;
  item.overflow = h->overflow;
  rill__emit_keep(hub, room->space, &to, &item, offset);
  return rill__fanout_send(hub, &to, &item, NULL, NULL) == 0;
}

/* The emit said that all is well: who misses the event must hear of it. */
static void cut_members(const rill__room *room) {
  for (uint32_t i = room->count; i > 0; i--) {
    rill__peer *p = i <= room->count ? room->members[i - 1]->peer : NULL;
    if (p != NULL && p->open)
      rill__conn_ws_cut(p->conn, RILL_CAUSE_NOMEM, "out of memory");
  }
}

void rill__batch_flush(rill_hub *hub, rill__room *room) {
  rill__tape tape;

  if (room->batch == NULL)
    return;
  rill__tape_init(&tape, &hub->alloc);
  for (const held *h = room->batch->first; h != NULL; h = h->next)
    if (!send_held(hub, room, h, &tape))
      cut_members(room);
  rill__tape_finish(&tape);
  rill__batch_free(hub, room);
  rill__room_settle(hub, room);
}

void rill__batch_tick(rill_hub *hub, rill__timer *timer) {
  rill__batch_flush(hub, RILL__CONTAINER(timer, rill__batch, timer)->room);
}
