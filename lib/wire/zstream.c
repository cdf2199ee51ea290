#include "wire/zstream.h"

/*
 * Idle streams kept.  Deflating lasts one call, so one stream per set of
 * parameters in use is enough; inflaters are held while messages arrive.
 */
#define DEFLATERS 4
#define INFLATERS 8

/* zlib's free tells no size: it is kept in front of each block. */
#define PREFIX 16

struct rill__zstream_pool {
  rill__zstream *deflaters, *inflaters;
  uint32_t ndeflaters, ninflaters;
};

static voidpf zalloc(voidpf arg, uInt items, uInt size) {
  const rill__zstream *s = arg;
  size_t n;
  uint8_t *p;

  if (!rill__mul_size(items, size, &n) || !rill__add_size(n, PREFIX, &n))
    return Z_NULL;
  p = rill__malloc(s->alloc, n);
  if (p == NULL)
    return Z_NULL;
  memcpy(p, &n, sizeof n);
  return p + PREFIX;
}

static void zfree(voidpf arg, voidpf address) {
  const rill__zstream *s = arg;
  uint8_t *p = address;
  size_t n;

  if (p == NULL)
    return;
  p -= PREFIX;
  memcpy(&n, p, sizeof n);
  rill__free(s->alloc, p, n);
}

static rill__zstream *stream_new(const rill__alloc *alloc, uint8_t bits,
                                 uint8_t level, uint8_t memory) {
  rill__zstream *s = rill__calloc(alloc, sizeof *s);
  int rv;

  if (s == NULL)
    return NULL;
  s->alloc = alloc;
  s->bits = bits;
  s->level = level;
  s->memory = memory;
  s->z.zalloc = zalloc;
  s->z.zfree = zfree;
  s->z.opaque = s;
  if (level == 0)
    rv = inflateInit2(&s->z, -(int)bits);
  else if (bits == 8)
    /* No references back are within any window. */
    rv = deflateInit2(&s->z, level, Z_DEFLATED, -9, memory, Z_HUFFMAN_ONLY);
  else
    rv = deflateInit2(&s->z, level, Z_DEFLATED, -(int)bits, memory,
                      Z_DEFAULT_STRATEGY);
  if (rv != Z_OK) {
    rill__free(alloc, s, sizeof *s);
    return NULL;
  }
  return s;
}

void rill__zstream_free(rill__zstream *s) {
  if (s == NULL)
    return;
  if (s->level == 0)
    inflateEnd(&s->z);
  else
    deflateEnd(&s->z);
  rill__free(s->alloc, s, sizeof *s);
}

rill__zstream *rill__zstream_take(rill__ws_env *env, uint8_t bits,
                                  uint8_t level, uint8_t memory) {
  struct rill__zstream_pool *pool = env->zstreams;
  rill__zstream **at = level == 0 ? &pool->inflaters : &pool->deflaters;
  rill__zstream *s;

  while ((s = *at) != NULL && (s->bits != bits || s->level != level ||
                               s->memory != memory))
    at = &s->next;
  if (s == NULL)
    return stream_new(env->alloc, bits, level, memory);
  *at = s->next;
  if (level == 0) {
    pool->ninflaters--;
    inflateReset(&s->z);
  } else {
    pool->ndeflaters--;
    deflateReset(&s->z);
  }
  return s;
}

/* The newest are kept: the last of a full list goes. */
void rill__zstream_give(rill__ws_env *env, rill__zstream *s) {
  struct rill__zstream_pool *pool = env->zstreams;
  bool inflates = s->level == 0;
  rill__zstream **at = inflates ? &pool->inflaters : &pool->deflaters;
  uint32_t *n = inflates ? &pool->ninflaters : &pool->ndeflaters;

  s->next = *at;
  *at = s;
  if (++*n <= (inflates ? INFLATERS : DEFLATERS))
    return;
  while ((*at)->next != NULL)
    at = &(*at)->next;
  rill__zstream_free(*at);
  *at = NULL;
  --*n;
}

bool rill__zstream_pool_ready(rill__ws_env *env) {
  if (env->zstreams == NULL)
    env->zstreams = rill__calloc(env->alloc, sizeof *env->zstreams);
  return env->zstreams != NULL;
}

static void free_list(rill__zstream *s) {
  while (s != NULL) {
    rill__zstream *next = s->next;
    rill__zstream_free(s);
    s = next;
  }
}

void rill__zstream_pool_free(rill__ws_env *env) {
  if (env->zstreams == NULL)
    return;
  free_list(env->zstreams->deflaters);
  free_list(env->zstreams->inflaters);
  rill__free(env->alloc, env->zstreams, sizeof *env->zstreams);
  env->zstreams = NULL;
}
