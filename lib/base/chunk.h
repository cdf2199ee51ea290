/*
 * chunk.h - reference-counted byte buffers that many output queues share.
 *
 * A chunk is only ever appended to; whoever holds a reference may read the
 * bytes below |used| of the time when it took it.  Standard chunks
 * (RILL__CHUNK_STD) come from a pool with a few spares; a larger message has
 * a chunk of its own.  Spares of large chunks spare a busy hub the page faults
 * of fresh memory; trim gives them back.  The pool counts what all chunks
 * hold in memory.
 */
#ifndef RILL__CHUNK_H
#define RILL__CHUNK_H

#include "base/alloc.h"

#define RILL__CHUNK_STD 65536u
/* Chunks are at most 1 GiB, so that positions fit 32 bits with room. */
#define RILL__CHUNK_MAX (1u << 30)

typedef struct rill__chunk_pool rill__chunk_pool;

typedef struct rill__chunk {
  rill__chunk_pool *pool;
  struct rill__chunk *next; /* spare list */
  uint32_t refs;
  uint32_t used, cap;
  uint32_t key_len; /* a conflation key lies in data[0..key_len) */
  uint8_t data[];
} rill__chunk;

struct rill__chunk_pool {
  const rill__alloc *alloc;
  rill__chunk *spare;
  uint32_t nspare;
  rill__chunk *large; /* spares above the standard size */
  size_t large_bytes;
  bool large_used; /* one was taken since the last trim */
  size_t held;     /* capacity of all chunks that are referenced */
};

void rill__chunk_pool_init(rill__chunk_pool *p, const rill__alloc *alloc);
void rill__chunk_pool_finish(rill__chunk_pool *p);
/* Frees the large spares unless they are in use; true: none are left. */
bool rill__chunk_pool_trim(rill__chunk_pool *p);

/*
 * An empty chunk with one reference, or NULL: of at least |cap| bytes and at
 * least a standard one; small takes |cap| at its word, for what is kept for
 * one message alone.
 */
rill__chunk *rill__chunk_new(rill__chunk_pool *p, size_t cap);
rill__chunk *rill__chunk_small(rill__chunk_pool *p, size_t cap);
/* The same chunk, perhaps moved, with room for |cap|; one reference only. */
rill__chunk *rill__chunk_grow(rill__chunk *c, size_t cap);
void rill__chunk_free(rill__chunk *c); /* of unref */

static inline rill__chunk *rill__chunk_ref(rill__chunk *c) {
  c->refs++;
  return c;
}
static inline void rill__chunk_unref(rill__chunk *c) {
  if (c != NULL && --c->refs == 0)
    rill__chunk_free(c);
}
static inline size_t rill__chunk_room(const rill__chunk *c) {
  return c->cap - c->used;
}

#endif
