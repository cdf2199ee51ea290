/* alloc.h - the allocator of one hub, and checked size arithmetic. */
#ifndef RILL__ALLOC_H
#define RILL__ALLOC_H

#include <string.h>

#include <rill/base.h>

typedef struct rill__alloc {
  rill_alloc_fn fn;
  void *arg;
} rill__alloc;

/* rill__alloc_default is libc's realloc and free. */
extern const rill__alloc rill__alloc_default;

static inline void *rill__malloc(const rill__alloc *a, size_t size) {
  return a->fn(a->arg, NULL, 0, size);
}

static inline void *rill__calloc(const rill__alloc *a, size_t size) {
  void *p = rill__malloc(a, size);
  if (p != NULL)
    memset(p, 0, size);
  return p;
}

static inline void *rill__realloc(const rill__alloc *a, void *p, size_t old,
                                  size_t size) {
  return a->fn(a->arg, p, old, size);
}

/* |size| is what was asked for.  NULL is fine. */
static inline void rill__free(const rill__alloc *a, void *p, size_t size) {
  if (p != NULL)
    a->fn(a->arg, p, size, 0);
}

/* false where the sum or product does not fit; *out is then untouched. */
static inline bool rill__add_size(size_t a, size_t b, size_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool rill__mul_size(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}

#endif
