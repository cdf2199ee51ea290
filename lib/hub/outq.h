/*
 * outq.h - the output queue of one conn: a list of extents.
 *
 * An extent is a run of bytes of a shared chunk.  When what is queued begins
 * where the last extent ends, the extent only grows: thirty frames of one turn
 * are one extent and one write, and a member of a room that lags costs a
 * cursor, not copies.  Extents come from a free list of the hub.
 */
#ifndef RILL__OUTQ_H
#define RILL__OUTQ_H

#include <rill/conn.h>

#include "base/chunk.h"

/* What an extent holds: where one message of it ends. */
enum {
  RILL__OUT_CONTROL = 0,  /* never dropped: heads, control frames */
  RILL__OUT_MESSAGES = 1, /* whole messages, each one frame */
  RILL__OUT_PACKETS = 2,  /* of long-polling, each begins with 0x1e */
  RILL__OUT_EVENTS = 3,   /* of SSE, each ends with an empty line */
  RILL__OUT_WHOLE = 4     /* one message of several frames or packets */
};

/* The length of the unit that begins at |data|, within |left| bytes. */
uint32_t rill__out_unit(uint32_t kind, const uint8_t *data, uint32_t left);

typedef struct rill__extent {
  struct rill__extent *next;
  rill__chunk *chunk;
  uint32_t from, to;
  uint32_t kind;
} rill__extent;

typedef struct rill__outq {
  rill__extent *head, *tail;
  uint32_t bytes;
  uint32_t count; /* messages, those begun included */
  uint32_t torn;  /* bytes at the head of a unit that is on the wire in part */
} rill__outq;

/* Shared by the queues of a hub. */
typedef struct rill__out_env {
  const rill__alloc *alloc;
  rill__extent *spare;
  uint32_t nspare;
  rill__chunk *direct; /* where messages to single conns are written */
} rill__out_env;

void rill__out_env_init(rill__out_env *env, const rill__alloc *alloc);
void rill__out_env_finish(rill__out_env *env);

void rill__outq_init(rill__outq *q);
void rill__outq_finish(rill__outq *q, rill__out_env *env);

/*
 * Queues bytes [from, to) of |chunk|, |count| messages; takes a reference.
 * false: out of memory, nothing is queued.
 */
bool rill__outq_push(rill__outq *q, rill__out_env *env, rill__chunk *chunk,
                     uint32_t from, uint32_t to, uint32_t kind,
                     uint32_t count);

size_t rill__outq_iov(const rill__outq *q, rill_iov *iov, size_t max);

/* Moves all of |from| to the end of |to|, as what is not to be dropped. */
void rill__outq_move(rill__outq *to, rill__outq *from);

/* Takes off |n| bytes that are on the wire. */
void rill__outq_consume(rill__outq *q, rill__out_env *env, size_t n);

/*
 * Drops whole messages from the front, not the one that is on the wire in
 * part, until |bytes| and |count| more would fit the limits; returns how many.
 */
uint32_t rill__outq_drop_oldest(rill__outq *q, rill__out_env *env,
                                uint32_t bytes, uint32_t count,
                                uint32_t max_bytes, uint32_t max_count);

/* Drops every message that has not begun; returns how many. */
uint32_t rill__outq_drop_all(rill__outq *q, rill__out_env *env);

/*
 * Cuts off every message that has not begun, and all that is behind the first
 * of them: what follows may say that they have come.
 */
void rill__outq_cut(rill__outq *q, rill__out_env *env);

/*
 * Puts |chunk| [from, to) in the place of the unsent message with the same
 * key; false where there is none, or where the queue would grow beyond
 * |max_bytes|.  Takes a reference where true.
 */
bool rill__outq_conflate(rill__outq *q, rill__chunk *chunk, uint32_t from,
                         uint32_t to, uint32_t max_bytes);

/* Moves the unsent message that |chunk| was made for to the end. */
void rill__outq_put_last(rill__outq *q, const rill__chunk *chunk);

/*
 * Room for |len| bytes at the end of a chunk for direct messages: the chunk,
 * borrowed, or NULL.  Messages beyond a standard chunk get one of their own,
 * |*own|, whose reference is the caller's.
 */
rill__chunk *rill__out_room(rill__out_env *env, rill__chunk_pool *pool,
                            size_t len, bool *own);

/* Forgets what is written in |chunk| where nobody else holds it. */
static inline void rill__out_rewind(rill__chunk *chunk) {
  if (chunk != NULL && chunk->refs == 1)
    chunk->used = 0;
}

#endif
