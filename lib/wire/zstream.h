/*
 * zstream.h - zlib's streams, raw, with the memory of a hub, pooled.
 *
 * They are the dear part of compression: about 38 KiB to deflate and 11 KiB
 * to inflate with the default windows.
 */
#ifndef RILL__ZSTREAM_H
#define RILL__ZSTREAM_H

#define ZLIB_CONST
#include <zlib.h>

#include "wire/ws.h"

typedef struct rill__zstream {
  z_stream z;
  const rill__alloc *alloc;
  struct rill__zstream *next;
  uint8_t bits, level, memory; /* level 0: inflates */
} rill__zstream;

/* Makes the pool of |env| where there is none yet; false: no memory. */
bool rill__zstream_pool_ready(rill__ws_env *env);
void rill__zstream_pool_free(rill__ws_env *env);

/*
 * A stream without a past, of the pool where it has one that fits; NULL: no
 * memory.  |level| 0 inflates.  Deflating with 8 |bits|, of which zlib has
 * no window, is done without any reference back.
 */
rill__zstream *rill__zstream_take(rill__ws_env *env, uint8_t bits,
                                  uint8_t level, uint8_t memory);
void rill__zstream_give(rill__ws_env *env, rill__zstream *s);
void rill__zstream_free(rill__zstream *s); /* NULL is fine */

#endif
