/*
 * batch.h - events that a room holds back for a while, so that they go out
 * together.
 */
#ifndef RILL__BATCH_H
#define RILL__BATCH_H

#include "hub/encode.h"
#include "hub/room.h"

/*
 * Takes |item| for |room|, or returns false: it is to be sent now, for want
 * of memory or because the room does not batch.
 */
bool rill__batch_take(rill_hub *hub, rill__room *room,
                      const rill__item *item);
/* Sends what is held back: before anything that must come behind it. */
void rill__batch_flush(rill_hub *hub, rill__room *room);
void rill__batch_free(rill_hub *hub, rill__room *room);
void rill__batch_tick(rill_hub *hub, rill__timer *timer);

#endif
