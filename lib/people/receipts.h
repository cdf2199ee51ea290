/*
 * receipts.h - receipts that are told to others: held for a window, per
 * room, so that many of them are one event.
 */
#ifndef RILL__RECEIPTS_H
#define RILL__RECEIPTS_H

#include "hub/hub.h"

/*
 * |user| has read |room| up to |offset|, for its members to know, or for its
 * own peers alone.  Without memory nobody is told, and hears of the next.
 */
void rill__receipt_tell(rill_hub *hub, rill_str space, rill_str room,
                        rill_str user, uint64_t offset, bool is_private);
void rill__receipts_tick(rill__timer *timer);
void rill__receipts_free(rill_hub *hub);

#endif
