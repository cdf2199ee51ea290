/*
 * fanout.h - sending to many: encode once, hand out once per turn.
 *
 * Messages to one audience (a room, or all peers) in a row make a run: each
 * is only encoded, to the end of a chunk per variant.  The run is handed to
 * the members when something would otherwise overtake it (a message to
 * somebody else, a join, a close) or when the turn ends, so thirty messages
 * to a thousand members touch each member once.
 *
 * A variant is how a conn gets its messages: plain, or deflated for a window
 * of 9 to 15 bits.  Later dialects are more variants.
 */
#ifndef RILL__FANOUT_H
#define RILL__FANOUT_H

#include <rill/room.h>

#include "base/bytes.h"
#include "base/chunk.h"

/* 0 plain; bits - 8 for a deflate window. */
#define RILL__VARIANTS 8
/* A conn that masks: nothing can be shared with it. */
#define RILL__VARIANT_OWN RILL__VARIANTS

/* How many members there are of each variant. */
typedef struct rill__mix {
  uint32_t n[RILL__VARIANTS + 1];
} rill__mix;

typedef struct rill__fanout {
  bool open;               /* a run is open */
  struct rill__room *room; /* its audience; NULL: all peers */
  rill_overflow overflow;
  uint32_t count; /* messages in the run */
  struct rill__encoded {
    rill__chunk *chunk; /* kept for the next run */
    uint32_t from, to;
    bool packed; /* a frame in it is compressed */
  } v[RILL__VARIANTS];
  rill__bytes scratch; /* compressed payloads */
  rill__mix all;       /* of all open peers */
  uint32_t stamp;      /* marks the peers that a union has reached */
} rill__fanout;

/* Hands out what is open.  Before anything that must come behind it. */
void rill__fanout_close_(rill_hub *hub);
static inline void rill__fanout_close(rill_hub *hub, rill__fanout *f) {
  if (f->open)
    rill__fanout_close_(hub);
}
void rill__fanout_finish(rill__fanout *f);

#endif
