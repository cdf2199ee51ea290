/*
 * history.h - what was sent to a room, to all, or to one peer, kept in
 * memory for those who come back.
 *
 * Every event that is kept has an offset, a number of the hub that only
 * grows; clients see it as EPOCH-NUMBER, where the epoch tells one run of
 * the program from the next.  One cursor therefore serves all rooms of a
 * peer: it has missed what lies behind it in any of their rings.  A ring
 * remembers the newest offset that it has forgotten; a cursor before that is
 * a gap.
 */
#ifndef RILL__HISTORY_H
#define RILL__HISTORY_H

#include "hub/encode.h"
#include "hub/room.h"

typedef struct rill__entry {
  uint32_t refs;
  uint32_t size;     /* of all of it */
  uint32_t len;      /* of the event, in |data| */
  uint32_t nexcept;  /* peers that must not get it, in front of it */
  uint32_t nrooms;   /* hashes of rooms whose members must not, then */
  uint32_t id_len;   /* of the writer's id, then; 0: it was not published */
  uint64_t number;   /* in its room, from 1; 0: it was not published */
  uint64_t time_ms;
  uint64_t offset;
  rill_time at;
  uint64_t data[];   /* ids, hashes, id, then ["name",args...] as MessagePack */
} rill__entry;

typedef struct rill__ring {
  rill__link link;  /* in hub->rings */
  rill__room *room; /* whose it is; NULL: a space's or a peer's */
  rill__entry **v;  /* a circle */
  uint32_t head, len, cap;
  uint32_t most, most_bytes, most_ms;
  size_t bytes;
  uint64_t lost; /* the newest offset that is no longer here */
} rill__ring;

/*
 * Nobody is in |room|: its ring goes with it where there is nothing left in
 * it.  false: there is.
 */
bool rill__ring_settle(rill_hub *hub, rill__room *room);
/* The options of |room| have changed: they hold for what it keeps too. */
void rill__ring_limit(rill_hub *hub, rill__room *room);
static inline rill__entry *rill__ring_at(const rill__ring *r, uint32_t i) {
  return r->v[(r->head + i) % r->cap];
}
/*
 * ring.c: adds |e| to |*ring|, which is made where it is needed; what does
 * not fit, or has no memory, is forgotten.
 */
void rill__ring_add(rill_hub *hub, rill__ring **ring, rill__room *room,
                    rill__entry *e);
/* Its newest, where that is |number|, has been sent to nobody. */
void rill__ring_take_back(rill_hub *hub, rill__ring *ring, uint64_t number);
/* What has |offset| cannot be kept, so nothing before it is. */
void rill__ring_lose(rill_hub *hub, rill__ring *ring, uint64_t offset);
/* NULL is fine.  A room's ring must not be freed while the room lives. */
void rill__ring_free(rill_hub *hub, rill__ring *ring);

/*
 * Keeps |item|, which goes to |to| in |space|, wherever it can be recovered
 * from, and writes its offset to |text| (RILL__OFFSET_MAX bytes); returns
 * the text's length, 0 where it is kept nowhere.  item->kept is set where a
 * room or the namespace keeps it.  What there was no memory for is a gap for
 * everybody.
 */
size_t rill__history_keep(rill_hub *hub, rill__space *space, const rill_to *to,
                          rill__item *item, char *text);
/* Is anything kept for what goes to |p| alone? */
bool rill__history_of_peer(const rill__peer *p);

/* |text| as an offset of this hub; false: it is none. */
bool rill__offset_read(const rill_hub *hub, rill_str text, uint64_t *offset);
/* The room's number behind it, which the stream of one room has. */
bool rill__offset_number(rill_str text, uint64_t *number);
size_t rill__offset_write(const rill_hub *hub, uint64_t offset, char *text);

/*
 * Has everything that |p| missed since |offset| been kept?  One that
 * |returns| has been in its rooms all the time; for another, what rooms of
 * the same name may have lost before they were made anew counts as well.
 */
bool rill__history_complete(rill__peer *p, uint64_t offset, bool returns);
/*
 * The offset, not before |offset|, behind which there is no more for |p|
 * than the queue of its conn takes.
 */
uint64_t rill__history_fitting(const rill__peer *p, uint64_t offset);
/* Sends it to |p|, in order, as far as it has been kept. */
void rill__history_replay(rill__peer *p, uint64_t offset);

void rill__history_tick(rill_hub *hub);

/* The number under which |id| has been published lately; 0: it has not. */
uint64_t rill__ring_number_of(const rill__ring *ring, rill_str id);
/*
 * What a READ of the store would find in |ring| (NULL is fine): fills |out|,
 * which has room for op->limit, and op->first.  Borrowed.
 */
uint32_t rill__ring_read(const rill__ring *ring, rill_store_op *op,
                         rill_record *out);

/* ["name",args...] as MessagePack; and back, at the end of |tape|. */
void rill__item_write(rill__bytes *out, const rill__item *item);
bool rill__item_read(rill__tape *tape, rill_str data, rill__item *item);
/*
 * How many bytes the event in |data| can take in any dialect, but for what
 * is around its name and arguments.  |tape| is cleared first.
 */
uint64_t rill__event_most(rill__tape *tape, rill_str data);
/* entry.c: what the writer called it, and ["name",args...]; borrowed. */
rill_str rill__entry_id(const rill__entry *e);
rill_str rill__entry_event(const rill__entry *e);
/* The event of an entry, at the end of |tape|; false: no memory. */
bool rill__entry_item(const rill__entry *e, rill__tape *tape,
                      rill__item *item);
rill__entry *rill__entry_new(rill_hub *hub, const rill_to *to,
                             const rill__item *item);
void rill__entry_unref(rill_hub *hub, rill__entry *e);

#endif
