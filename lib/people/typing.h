/*
 * typing.h - who is typing in a room.
 */
#ifndef RILL__TYPING_H
#define RILL__TYPING_H

#include "hub/room.h"

typedef struct rill__typing rill__typing;

/* NULL is fine. */
void rill__typing_free(rill_hub *hub, rill__typing *t);
void rill__typing_tick(rill__timer *timer);
/* |p| has come into |room|: it is told who types. */
void rill__typing_joined(rill__peer *p, rill__room *room);
/* It has left it, or sent a message. */
void rill__typing_left(rill__peer *p, rill__room *room);
void rill__typing_sent(rill__room *room, rill_peer from); /* NULL is fine */
/* It is away: it types nowhere. */
void rill__typing_away(rill__peer *p);
/* It is open, with rooms that it has been in before. */
void rill__typing_opened(rill__peer *p);

#endif
