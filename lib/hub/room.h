/*
 * room.h - rooms and memberships.
 */
#ifndef RILL__ROOM_H
#define RILL__ROOM_H

#include "base/map.h"
#include "hub/space.h"

/* One peer in one room: in the peer's list and in the room's array. */
struct rill__member {
  rill__room *room;
  rill__peer *peer;
  rill__member *next; /* of the peer */
  uint64_t since;     /* the hub's offset when it joined; 0: by a stream */
  uint32_t index;     /* in room->members */
};

struct rill__room {
  UT_hash_handle hh; /* in space->rooms */
  rill__space *space;
  rill__member **members;
  uint32_t count, cap;
  rill_overflow overflow;
  rill__mix mix; /* of its members, perhaps of some that have left */
  rill_room_opts opts;
  struct rill__ring *ring;   /* NULL: no history yet */
  uint64_t life; /* which of the hub's rooms it is: never the same twice */
  uint64_t last; /* the number of the newest that was heard */
  bool knows;    /* durable: |last| is that; see heal.h */
  bool learning;
  uint32_t publishing; /* publications that the store has not answered */
  struct rill__heal *heal; /* not all of its log has been heard */
  uint64_t gone; /* hub->history_gone when it was made */
  struct rill__batch *batch; /* what is held back, where batch_ms is set */
  struct rill__crowd *crowd;   /* its people, with presence */
  struct rill__typing *typing; /* NULL: nobody types */
  uint32_t name_len;
  char name[];
};

rill__room *rill__room_find(const rill__space *space, rill_str name);
/* The same, made where there is none; NULL: no memory. */
rill__room *rill__room_make(rill_hub *hub, rill__space *space, rill_str name);
/* The options that a room of that name has or would have. */
void rill__room_opts_of(const rill_hub *hub, const rill__space *space,
                        rill_str name, rill_room_opts *out);
/* Do the rules want history of such an event for a room of that name? */
bool rill__room_remembers(const rill_hub *hub, rill_str name, bool published);
/* Frees it where it has neither members nor history, and nothing to come. */
void rill__room_settle(rill_hub *hub, rill__room *room);
int rill__room_add(rill__peer *p, rill_str name);
void rill__room_remove(rill__member *m);
void rill__rooms_leave_all(rill__peer *p);
rill__member *rill__room_member(const rill__peer *p, rill_str name);
/* 0, or why |name| cannot be a room's or a user's. */
int rill__name_check(rill_hub *hub, rill_str name);
static inline rill_str rill__room_name(const rill__room *r) {
  return (rill_str){r->name, r->name_len};
}

#endif
