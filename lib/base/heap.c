#include "base/heap.h"

void rill__heap_init(rill__heap *h, const rill__alloc *alloc) {
  *h = (rill__heap){.alloc = alloc};
}

void rill__heap_finish(rill__heap *h) {
  rill__free(h->alloc, h->v, h->cap * sizeof *h->v);
  rill__heap_init(h, h->alloc);
}

bool rill__heap_reserve(rill__heap *h, uint32_t n) {
  uint32_t cap = h->cap < 16 ? 16 : h->cap;
  void *v;

  if (n <= h->cap)
    return true;
  while (cap < n)
    cap += cap / 2;
  v = rill__realloc(h->alloc, h->v, h->cap * sizeof *h->v,
                    cap * sizeof *h->v);
  if (v == NULL)
    return false;
  h->v = v;
  h->cap = cap;
  return true;
}

static void put(rill__heap *h, uint32_t i, struct rill__heap_entry e) {
  h->v[i] = e;
  e.timer->index = i;
}

static void sift_up(rill__heap *h, uint32_t i, struct rill__heap_entry e) {
  while (i > 0) {
    uint32_t parent = (i - 1) / 4;
    if (h->v[parent].due <= e.due)
      break;
    put(h, i, h->v[parent]);
    i = parent;
  }
  put(h, i, e);
}

static void sift_down(rill__heap *h, uint32_t i, struct rill__heap_entry e) {
  for (;;) {
    uint32_t child = i * 4 + 1, least = child, last = child + 4;
    if (child >= h->len)
      break;
    if (last > h->len)
      last = h->len;
    for (; child < last; child++)
      if (h->v[child].due < h->v[least].due)
        least = child;
    if (h->v[least].due >= e.due)
      break;
    put(h, i, h->v[least]);
    i = least;
  }
  put(h, i, e);
}

static void take_out(rill__heap *h, uint32_t i) {
  struct rill__heap_entry last = h->v[--h->len];

  if (i == h->len)
    return;
  if (i > 0 && last.due < h->v[(i - 1) / 4].due)
    sift_up(h, i, last);
  else
    sift_down(h, i, last);
}

void rill__heap_set(rill__heap *h, rill__timer *t, rill_time due) {
  rill_time was = t->due;
  struct rill__heap_entry e = {due, t};

  if (due == was)
    return;
  t->due = due;
  if (due == RILL_NEVER)
    take_out(h, t->index);
  else if (was == RILL_NEVER)
    sift_up(h, h->len++, e);
  else if (due < was)
    sift_up(h, t->index, e);
  else
    sift_down(h, t->index, e);
}

rill__timer *rill__heap_pop(rill__heap *h, rill_time now) {
  rill__timer *t;

  if (h->len == 0 || h->v[0].due > now)
    return NULL;
  t = h->v[0].timer;
  rill__heap_set(h, t, RILL_NEVER);
  return t;
}
