/*
 * map.h - hash maps: uthash (packaged, header-only, widely read), told to
 * use the hub's allocator and to report a failed allocation.
 *
 * Names come from the wire, so the hash is SipHash with a key of the hub
 * (base/siphash.h) and handed in by value: HASH_*_BYHASHVALUE.  Code that
 * adds or removes has a variable |map_alloc| in scope.
 */
#ifndef RILL__MAP_H
#define RILL__MAP_H

#include "base/alloc.h"

/* FNV-1a, for the few maps whose keys do not come from the wire. */
static inline unsigned rill__map_hash(const void *key, size_t len) {
  const unsigned char *p = key;
  unsigned hash = 2166136261u;

  while (len-- > 0)
    hash = (hash ^ *p++) * 16777619u;
  return hash;
}

#define HASH_FUNCTION(key, len, hash) ((hash) = rill__map_hash((key), (len)))
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) rill__malloc(map_alloc, (size))
#define uthash_free(ptr, size) rill__free(map_alloc, (ptr), (size))
#define uthash_nonfatal_oom(element) (map_failed = true)

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundef"
#endif
#include <uthash.h>
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif
