/*
 * bytes.h - a growing byte buffer for heads, bodies and text.
 *
 * A failed append marks the buffer; what follows is then ignored, so that a
 * writer checks |failed| once at its end.
 */
#ifndef RILL__BYTES_H
#define RILL__BYTES_H

#include "base/alloc.h"

typedef struct rill__bytes {
  const rill__alloc *alloc;
  uint8_t *data;
  size_t len, cap;
  bool failed;
} rill__bytes;

void rill__bytes_init(rill__bytes *b, const rill__alloc *alloc);
void rill__bytes_finish(rill__bytes *b);
void rill__bytes_clear(rill__bytes *b); /* keeps the memory */

/* Room for |extra| more bytes; false and |failed| where there is none. */
bool rill__bytes_reserve(rill__bytes *b, size_t extra);
void rill__bytes_add(rill__bytes *b, const void *data, size_t len);
void rill__bytes_str(rill__bytes *b, const char *text);
void rill__bytes_u64(rill__bytes *b, uint64_t n); /* decimal */
/* Writes |n| in decimal up to |end|, at most 20 bytes; where it begins. */
char *rill__digits(char *end, uint64_t n);

#endif
