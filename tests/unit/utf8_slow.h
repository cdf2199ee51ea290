/* utf8_slow.h - UTF-8 straight from the table of RFC 3629 section 4. */
#ifndef UTF8_SLOW_H
#define UTF8_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the sequence that |first| begins, 0 for none; the range of
 * its second byte in |lo| and |hi|. */
static inline size_t slow_lead(uint8_t first, uint8_t *lo, uint8_t *hi) {
  *lo = 0x80;
  *hi = 0xbf;
  if (first <= 0x7f)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return 2;
  if (first >= 0xe0 && first <= 0xef) {
    if (first == 0xe0)
      *lo = 0xa0;
    if (first == 0xed)
      *hi = 0x9f;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (first == 0xf0)
      *lo = 0x90;
    if (first == 0xf4)
      *hi = 0x8f;
    return 4;
  }
  return 0;
}

/*
 * 0: whole characters; 1: they end within one; -1: not UTF-8, and |*at| is
 * the first byte that cannot be right.
 */
static inline int slow_utf8(const uint8_t *p, size_t len, size_t *at) {
  for (size_t i = 0; i < len;) {
    uint8_t lo, hi;
    size_t n = slow_lead(p[i], &lo, &hi);

    *at = i;
    if (n == 0)
      return -1;
    for (size_t k = 1; k < n; k++) {
      *at = i + k;
      if (*at == len)
        return 1;
      if (p[*at] < (k == 1 ? lo : 0x80) || p[*at] > (k == 1 ? hi : 0xbf))
        return -1;
    }
    i += n;
  }
  return 0;
}

#endif
