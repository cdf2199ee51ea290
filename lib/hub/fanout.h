/*
 * fanout.h - sending to many: encode once per variant, hand out once per
 * turn.
 *
 * Messages to one audience (a room, or all peers) in a row make a run: each
 * is only encoded, to the end of a chunk per variant.  The run is handed to
 * the members when something would otherwise overtake it (a message to
 * somebody else, a join, a close) or when the turn ends, so thirty messages
 * to a thousand members touch each member once.
 *
 * A variant is how a conn gets its messages: its dialect and transport, and
 * over WebSocket plain, or deflated for a window of 9 to 15 bits.
 */
#ifndef RILL__FANOUT_H
#define RILL__FANOUT_H

#include <rill/room.h>

#include "base/bytes.h"
#include "base/chunk.h"

struct rill__peer;

/* Formats over WebSocket are eight variants: plain, then the windows. */
enum {
  RILL__AS_RAW = 0,
  RILL__AS_JSON = 8,
  RILL__AS_MSGPACK = 16,
  RILL__AS_ENGINEIO = 24,
  RILL__AS_SOCKETIO = 32,
  RILL__AS_SOCKETIO_MSGPACK = 40,
  RILL__AS_POLLED = 48, /* from here on one variant each */
  RILL__AS_POLLED_ENGINEIO = RILL__AS_POLLED,
  RILL__AS_POLLED_SOCKETIO,
  RILL__AS_POLLED_SOCKETIO_MSGPACK,
  RILL__AS_SSE,
  RILL__AS_OWN, /* raw, by a conn that masks: nothing can be shared */
  RILL__VARIANTS
};

/* Which variants there are among some peers: a bit for each. */
typedef uint64_t rill__mix;
static inline rill__mix rill__mix_of(unsigned variant) {
  return (rill__mix)1 << variant;
}
/* Takes the lowest variant out of |*mix|, which has one. */
static inline unsigned rill__mix_take(rill__mix *mix) {
  unsigned v = (unsigned)__builtin_ctzll(*mix);
  *mix &= *mix - 1;
  return v;
}
static inline unsigned rill__format_of(unsigned variant) {
  return variant < RILL__AS_POLLED ? variant & ~7u : variant;
}
/* The window's bits, or 0 for plain. */
static inline unsigned rill__window_of(unsigned variant) {
  unsigned w = variant < RILL__AS_POLLED ? variant & 7u : 0;
  return w > 0 ? w + 8 : 0;
}
/* Can a peer of that variant answer an event? */
bool rill__variant_answers(unsigned variant);
/* RILL__OUT_...: what its messages are in a queue. */
uint32_t rill__kind_of(unsigned variant);

typedef struct rill__item rill__item;

typedef struct rill__fanout {
  bool open;               /* a run is open */
  struct rill__room *room; /* its audience; NULL: all peers of |space| */
  struct rill__space *space;
  rill_overflow overflow;
  uint32_t count; /* messages in the run */
  rill__mix mix;  /* the variants that it has been encoded for */
  struct rill__encoded {
    rill__chunk *chunk; /* kept for the next run */
    uint32_t from, to;
    uint32_t kind; /* RILL__OUT_... */
    bool packed; /* a frame in it is compressed */
  } v[RILL__VARIANTS];
  rill__mix chunks;    /* the variants that have one */
  rill__bytes scratch; /* encoded and compressed payloads */
  uint32_t stamp;      /* marks the peers that a union has reached */
} rill__fanout;

/*
 * Sends |item| to each peer of |to|; |reached|, where not NULL, is told of
 * each peer that is open and gets it.  As rill_send_to.
 */
int rill__fanout_send(rill_hub *hub, const rill_to *to, const rill__item *item,
                      void (*reached)(void *arg, struct rill__peer *p),
                      void *arg);

/* Hands out what is open.  Before anything that must come behind it. */
void rill__fanout_close_(rill_hub *hub);
static inline void rill__fanout_close(rill_hub *hub, rill__fanout *f) {
  if (f->open)
    rill__fanout_close_(hub);
}
void rill__fanout_finish(rill__fanout *f);

#endif
