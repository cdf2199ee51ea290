/*
 * room.h - rooms and memberships.
 */
#ifndef RILL__ROOM_H
#define RILL__ROOM_H

#include "base/map.h"
#include "hub/peer.h"

/* One peer in one room: in the peer's list and in the room's array. */
struct rill__member {
  rill__room *room;
  rill__peer *peer;
  rill__member *next; /* of the peer */
  uint32_t index;     /* in room->members */
};

struct rill__room {
  UT_hash_handle hh;
  rill__member **members;
  uint32_t count, cap;
  rill_overflow overflow;
  rill__mix mix;
  uint32_t name_len;
  char name[];
};

rill__room *rill__room_find(const rill_hub *hub, rill_str name);
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
