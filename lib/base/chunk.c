#include "base/chunk.h"

/* Spares kept: enough for a turn of fan-out, 256 KiB at most. */
#define SPARES 4
/* Large spares: what some dozen messages of 1 MiB in flight need. */
#define LARGE_BYTES (16u << 20)

void rill__chunk_pool_init(rill__chunk_pool *p, const rill__alloc *alloc) {
  *p = (rill__chunk_pool){.alloc = alloc};
}

void rill__chunk_pool_finish(rill__chunk_pool *p) {
  while (p->spare != NULL) {
    rill__chunk *c = p->spare;
    p->spare = c->next;
    rill__free(p->alloc, c, sizeof *c + c->cap);
  }
  p->nspare = 0;
  p->large_used = false;
  rill__chunk_pool_trim(p);
}

bool rill__chunk_pool_trim(rill__chunk_pool *p) {
  bool used = p->large_used;

  p->large_used = false;
  while (!used && p->large != NULL) {
    rill__chunk *c = p->large;
    p->large = c->next;
    p->large_bytes -= c->cap;
    rill__free(p->alloc, c, sizeof *c + c->cap);
  }
  return p->large == NULL;
}

/* A large spare that fits |cap| without wasting as much again. */
static rill__chunk *take_large(rill__chunk_pool *p, size_t cap) {
  for (rill__chunk **at = &p->large; *at != NULL; at = &(*at)->next) {
    rill__chunk *c = *at;
    if (c->cap < cap || c->cap / 2 > cap)
      continue;
    *at = c->next;
    p->large_bytes -= c->cap;
    p->large_used = true;
    return c;
  }
  return NULL;
}

rill__chunk *rill__chunk_new(rill__chunk_pool *p, size_t cap) {
  rill__chunk *c;

  if (cap > RILL__CHUNK_MAX)
    return NULL;
  if (cap < RILL__CHUNK_STD)
    cap = RILL__CHUNK_STD;
  if (cap == RILL__CHUNK_STD && p->spare != NULL) {
    c = p->spare;
    p->spare = c->next;
    p->nspare--;
  } else if (cap == RILL__CHUNK_STD || (c = take_large(p, cap)) == NULL) {
    c = rill__malloc(p->alloc, sizeof *c + cap);
    if (c == NULL)
      return NULL;
    c->pool = p;
    c->cap = (uint32_t)cap;
  }
  c->next = NULL;
  c->refs = 1;
  c->used = 0;
  c->key_len = 0;
  p->held += c->cap;
  return c;
}

rill__chunk *rill__chunk_small(rill__chunk_pool *p, size_t cap) {
  rill__chunk *c;

  if (cap >= RILL__CHUNK_STD)
    return rill__chunk_new(p, cap);
  c = rill__malloc(p->alloc, sizeof *c + cap);
  if (c == NULL)
    return NULL;
  *c = (rill__chunk){.pool = p, .refs = 1, .cap = (uint32_t)cap};
  p->held += cap;
  return c;
}

rill__chunk *rill__chunk_grow(rill__chunk *c, size_t cap) {
  rill__chunk_pool *p = c->pool;
  rill__chunk *bigger;

  if (cap <= c->cap)
    return c;
  if (cap > RILL__CHUNK_MAX)
    return NULL;
  bigger = rill__realloc(p->alloc, c, sizeof *c + c->cap, sizeof *c + cap);
  if (bigger == NULL)
    return NULL;
  p->held += cap - bigger->cap;
  bigger->cap = (uint32_t)cap;
  return bigger;
}

void rill__chunk_free(rill__chunk *c) {
  rill__chunk_pool *p = c->pool;

  p->held -= c->cap;
  if (c->cap == RILL__CHUNK_STD && p->nspare < SPARES) {
    c->next = p->spare;
    p->spare = c;
    p->nspare++;
  } else if (c->cap > RILL__CHUNK_STD &&
             c->cap <= LARGE_BYTES - p->large_bytes) {
    c->next = p->large;
    p->large = c;
    p->large_bytes += c->cap;
  } else {
    rill__free(p->alloc, c, sizeof *c + c->cap);
  }
}
