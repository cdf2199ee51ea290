/*
 * heap.h - timers: a 4-ary heap of intrusive nodes that know their place.
 * set and clear are O(log n), the earliest O(1).
 */
#ifndef RILL__HEAP_H
#define RILL__HEAP_H

#include "base/alloc.h"

typedef struct rill__timer {
  rill_time due;  /* RILL_NEVER: not armed */
  uint32_t index; /* in the heap, while armed */
  uint32_t kind;  /* the owner's */
} rill__timer;

typedef struct rill__heap {
  const rill__alloc *alloc;
  struct rill__heap_entry {
    rill_time due;
    rill__timer *timer;
  } *v;
  uint32_t len, cap;
} rill__heap;

void rill__heap_init(rill__heap *h, const rill__alloc *alloc);
void rill__heap_finish(rill__heap *h);

static inline void rill__timer_init(rill__timer *t, uint32_t kind) {
  *t = (rill__timer){.due = RILL_NEVER, .kind = kind};
}
/*
 * Room for |n| timers in all: with it set cannot fail.  Owners reserve when
 * they are made.
 */
bool rill__heap_reserve(rill__heap *h, uint32_t n);
/* Arms, moves or (RILL_NEVER) clears |t|.  The room must be reserved. */
void rill__heap_set(rill__heap *h, rill__timer *t, rill_time due);

static inline rill_time rill__heap_next(const rill__heap *h) {
  return h->len > 0 ? h->v[0].due : RILL_NEVER;
}
/* The earliest timer if due at |now|, cleared; else NULL. */
rill__timer *rill__heap_pop(rill__heap *h, rill_time now);

#endif
