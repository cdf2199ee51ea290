/*
 * space.h - namespaces: worlds of rooms and event handlers.
 *
 * "/" lives as long as the hub.  A space with a fixed name does too; one
 * that a pattern stands for is made for its first peer and goes with the
 * last of its peers and rooms, so that a client cannot leave any behind.
 */
#ifndef RILL__SPACE_H
#define RILL__SPACE_H

#include "hub/peer.h"

typedef struct rill__on rill__on;
typedef struct rill__before rill__before;

struct rill__space {
  rill_hub *hub;
  rill__space *next;
  rill__space *rules; /* whose handlers it has: itself, or its pattern */
  rill_space_opts opts;
  rill__on *handlers; /* by name */
  rill__before *befores;
  uint32_t nthrottles; /* places of the peers' buckets */
  rill__room *rooms;  /* by name */
  rill__mix mix;      /* of its open peers */
  struct rill__ring *ring; /* of events for all, where there is recovery */
  struct rill__crowd *crowd;       /* its people, with presence */
  struct rill__presence *presence; /* how that is kept; of |rules| */
  struct rill__notify *notify; /* notifications are on; of |rules| */
  uint32_t npeers;    /* of any state, and requests to be one */
  uint32_t nrooms;
  bool pattern;
  uint32_t name_len;  /* of a pattern without its "*" */
  char name[];
};

/* "/", made with the hub; false: no memory. */
bool rill__spaces_init(rill_hub *hub);
void rill__spaces_free(rill_hub *hub);
/* An existing one; an empty name is "/".  NULL: there is none. */
rill__space *rill__space_find(const rill_hub *hub, rill_str name);
/*
 * The space that a peer may connect to: existing, or made by a pattern.
 * NULL: there is none, or |*rv| says why it could not be made.
 */
rill__space *rill__space_open(rill_hub *hub, rill_str name, int *rv);
/* What a pattern made goes where nothing is in it any more. */
void rill__space_release(rill_hub *hub, rill__space *space);
/* Whose handlers a space of that name has or would have; NULL: none. */
rill__space *rill__space_rules_for(rill_hub *hub, rill_str name);
/* "/", or the name of a pattern with its "*", for rill_on. */
rill__space *rill__space_rules(rill_hub *hub, const char *name);

static inline rill_str rill__space_name(const rill__space *s) {
  return (rill_str){s->name, s->name_len};
}
static inline rill__space *rill__peer_space(const rill__peer *p) {
  return p->voice != NULL ? p->voice->space : p->hub->spaces;
}

/* event.c: the handlers of a space that goes. */
void rill__handlers_free(rill_hub *hub, rill__space *space);

#endif
