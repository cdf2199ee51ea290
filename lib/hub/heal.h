/*
 * heal.h - durable rooms: which number comes next, and what to do where
 * another does.
 *
 * A record may be in the log without having been heard: its writer was told
 * of an error although it took effect, or there was no memory to send it.
 * Members hear in the order of the log and without a hole, so what follows it
 * waits until the log has been read.  For that the hub has to know the number
 * of the newest that was heard (room->last, where room->knows).
 */
#ifndef RILL__HEAL_H
#define RILL__HEAL_H

#include "hub/room.h"
#include "hub/store.h"

/* Has everything in the log of |room| been heard, as far as is known? */
static inline bool rill__room_whole(const rill__room *room) {
  return room->knows && room->heal == NULL;
}
/* |offset| is in the log: may it be heard now? */
static inline bool rill__room_follows(const rill__room *room, uint64_t offset) {
  return !room->knows || (room->heal == NULL && offset == room->last + 1);
}
/* Has the newest number read, where it is not known. */
void rill__room_learn(rill_hub *hub, rill__room *room);
/* Reads what has not been heard, and sends it; again, where that fails. */
void rill__room_heal(rill_hub *hub, rill__room *room);
/*
 * |op| has read the newest records of |room|, the newest first: sends those
 * that have not been heard.  0, RILL_ERR_LIMIT where it has not read all of
 * those, or what sending came to.
 */
int rill__room_hear(rill_hub *hub, rill__room *room, const rill_store_op *op);

void rill__heal_tick(rill_hub *hub, rill__timer *timer);
void rill__heal_free(rill_hub *hub, rill__room *room);

#endif
