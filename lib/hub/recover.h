/*
 * recover.h - peers that have lost their conn and may come back: away.
 *
 *   open --conn lost--> away --secret shown--> open
 *                         \--recovery_ms------> on_close
 *
 * While away a peer keeps its rooms, its user and its id; what is sent to it
 * is in the rings of history.h.
 */
#ifndef RILL__RECOVER_H
#define RILL__RECOVER_H

#include "hub/space.h"

/*
 * May |p| come back after an end for |cause|?  What its conn was told, or
 * has told, on purpose ends it.
 */
bool rill__recoverable(const rill__peer *p, rill_cause cause);
/* It goes away; its conn is let go of. */
void rill__peer_leave(rill__peer *p, rill_cause cause, unsigned code,
                      unsigned sent, rill_str reason);
/*
 * The peer that |secret| names, where it is in |space| as |user|: away, or
 * (it has not been noticed that its conn is over) open.  NULL: there is none
 * such.
 */
rill__peer *rill__recover_find(rill_hub *hub, rill__space *space,
                               rill_str secret, rill_str user);
/* It is no longer away; the caller binds it to a conn. */
void rill__peer_return(rill__peer *p);
/* It will not come back: on_close. */
void rill__peer_give_up(rill__peer *p);
void rill__away_tick(rill_hub *hub);

#endif
