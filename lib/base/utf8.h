/*
 * utf8.h - UTF-8 validation that goes on across fragments (RFC 3629).
 *
 * The state is one byte; 0 means between characters.  A sequence is refused
 * at its first byte that cannot be right (overlong forms, surrogates, above
 * U+10FFFF), not at its end.
 */
#ifndef RILL__UTF8_H
#define RILL__UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t rill__utf8;
#define RILL__UTF8_BAD 0xff

/* Goes on from |state| over |len| bytes: the new state. */
rill__utf8 rill__utf8_feed(rill__utf8 state, const void *data, size_t len);

/* A whole text. */
static inline bool rill__utf8_valid(const void *data, size_t len) {
  return rill__utf8_feed(0, data, len) == 0;
}

#endif
