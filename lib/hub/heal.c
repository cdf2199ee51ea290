#include "hub/heal.h"

#include "hub/history.h"
#include "hub/publish.h"

/* After a reading that failed. */
#define AGAIN_MS 1000u

typedef struct rill__heal {
  rill_hub *hub;
  rill__room *room;
  rill__timer timer;
  bool reading;
} rill__heal;

/* Who reads; the room may be gone when that is done. */
typedef struct errand {
  rill__space *space; /* held by its count of rooms' users */
  uint64_t life;      /* of the room */
  size_t room_len;
  char room[];
} errand;

static rill__room *room_of(const errand *e) {
  rill__room *r = rill__room_find(e->space, (rill_str){e->room, e->room_len});
  return r != NULL && r->life == e->life ? r : NULL;
}

static void errand_free(rill__work *w) {
  errand *e = w->arg;
  rill__space *space;

  if (e == NULL)
    return;
  space = e->space;
  rill__free(&w->hub->alloc, e, sizeof *e + e->room_len);
  space->npeers--;
  rill__space_release(w->hub, space);
  w->arg = NULL;
}

/* Reads the log of |room| behind |from|, or its newest; false: not now. */
static bool send_errand(rill_hub *hub, rill__room *room, uint64_t from,
                        bool newest, void (*done)(rill__work *w)) {
  const rill_str none = {0};
  int rv;
  errand *e = rill__malloc(&hub->alloc, sizeof *e + room->name_len);
  rill__work *w =
      e == NULL
          ? NULL
          : rill__log_work(hub, RILL_STORE_READ, rill__space_name(room->space),
                           rill__room_name(room), none, none, &rv);

  if (w == NULL) {
    rill__free(&hub->alloc, e, sizeof *e + room->name_len);
    return false;
  }
  *e = (errand){room->space, room->life, room->name_len};
  memcpy(e->room, room->name, room->name_len);
  room->space->npeers++;
  w->op.reverse = newest;
  w->op.from = newest ? UINT64_MAX : from;
  w->op.limit = newest ? 1 : hub->config.limits.history_page;
  w->arg = e;
  w->done = done;
  w->drop = errand_free;
  rill__work_submit(w);
  return true;
}

static void learned(rill__work *w) {
  rill__room *room = room_of(w->arg);

  if (room != NULL) {
    room->learning = false;
    if (w->op.status == 0 && !room->knows) {
      room->knows = true;
      room->last = w->op.last;
    }
  }
  errand_free(w);
}

void rill__room_learn(rill_hub *hub, rill__room *room) {
  if (!room->knows && !room->learning)
    room->learning = send_errand(hub, room, 0, true, learned);
}

/*
 * Sends one record, where it has not been heard.  Only want of memory passes:
 * what is no event, or has no form that could be sent, holds nobody up.
 */
static int hear(rill_hub *hub, rill__room *room, const rill_record *r) {
  rill__tape tape;
  rill__item item;
  int rv;

  if (r->offset <= room->last)
    return 0;
  rill__tape_init(&tape, &hub->alloc);
  if (rill__item_read(&tape, r->data, &item))
    rv = rill__publish_item(hub, room->space, rill__room_name(room), &item, r);
  else
    rv = tape.failed ? RILL_ERR_NOMEM : RILL_ERR_IO;
  rill__tape_finish(&tape);
  if (rv == RILL_ERR_NOMEM)
    return rv;
  room->last = r->offset;
  hub->metrics.healed_total += rv == 0;
  return 0;
}

int rill__room_hear(rill_hub *hub, rill__room *room, const rill_store_op *op) {
  size_t n = op->nrecords;
  int rv = 0;

  if (n == op->limit && op->records[n - 1].offset > room->last + 1)
    return RILL_ERR_LIMIT; /* more than that has not been heard */
  while (n > 0 && rv == 0)
    rv = hear(hub, room, &op->records[--n]);
  if (rv == 0 && room->last < op->last)
    room->last = op->last; /* trimmed already */
  return rv;
}

static void healed(rill__work *w);

static void read_on(rill__heal *h) {
  rill_hub *hub = h->hub;

  h->reading = send_errand(hub, h->room, h->room->last, false, healed);
  rill__heap_set(&hub->timers, &h->timer,
                 h->reading ? RILL_NEVER : hub->now + AGAIN_MS * RILL_MSEC);
}

static void healed(rill__work *w) {
  rill_hub *hub = w->hub;
  rill__room *room = room_of(w->arg);
  rill__heal *h = room != NULL ? room->heal : NULL;
  const rill_store_op *op = &w->op;
  int rv = op->status;

  if (h == NULL) {
    errand_free(w);
    return;
  }
  h->reading = false;
  for (size_t i = 0; rv == 0 && i < op->nrecords; i++)
    rv = hear(hub, room, &op->records[i]);
  if (rv == 0 && op->nrecords == 0 && room->last < op->last)
    room->last = op->last; /* trimmed already */
  if (rv != 0)
    rill__heap_set(&hub->timers, &h->timer, hub->now + AGAIN_MS * RILL_MSEC);
  else if (room->last < op->last)
    read_on(h);
  else
    rill__heal_free(hub, room);
  errand_free(w);
}

void rill__room_heal(rill_hub *hub, rill__room *room) {
  rill__heal *h = room->heal;

  if (h != NULL)
    return; /* it is under way: what is in the log now is read with it */
  h = rill__timed_new(hub, sizeof *h);
  if (h == NULL) { /* the next publication finds the hole again */
    hub->history_lost = hub->offset;
    return;
  }
  h->hub = hub;
  h->room = room;
  rill__timer_init(&h->timer, RILL__TIMER_HEAL);
  room->heal = h;
  read_on(h);
}

void rill__heal_tick(rill_hub *hub, rill__timer *timer) {
  rill__heal *h = RILL__CONTAINER(timer, rill__heal, timer);

  (void)hub;
  if (!h->reading)
    read_on(h);
}

void rill__heal_free(rill_hub *hub, rill__room *room) {
  rill__heal *h = room->heal;

  if (h == NULL)
    return;
  room->heal = NULL;
  rill__timed_free(hub, &h->timer, h, sizeof *h);
}
