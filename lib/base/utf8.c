/*
 * A shift automaton.  A state is a bit offset; the row of a byte holds, at
 * each state's offset, the 6 bits of the next state.  One step is a load
 * that does not depend on the state, and a shift: text of any script costs
 * the same and no branch is mispredicted.  A zero in a row is BAD, which
 * has no way out.
 */
#include "base/utf8.h"

#include <string.h>

enum {
  BAD = 0,
  START = 6,
  TAIL1 = 12, /* one more byte 80-BF */
  TAIL2 = 18,
  TAIL3 = 24,
  AFTER_E0 = 30, /* A0-BF, else it were overlong; then one more */
  AFTER_ED = 36, /* 80-9F, else it were a surrogate; then one more */
  AFTER_F0 = 42, /* 90-BF, else it were overlong; then two more */
  AFTER_F4 = 48  /* 80-8F, else it were above U+10FFFF; then two more */
};

#define GO(from, to) ((uint64_t)(to) << (from))
#define TAIL (GO(TAIL1, START) | GO(TAIL2, TAIL1) | GO(TAIL3, TAIL2))
#define TAIL_8 (TAIL | GO(AFTER_ED, TAIL1) | GO(AFTER_F4, TAIL2))
#define TAIL_9 (TAIL | GO(AFTER_ED, TAIL1) | GO(AFTER_F0, TAIL2))
#define TAIL_A (TAIL | GO(AFTER_E0, TAIL1) | GO(AFTER_F0, TAIL2))
#define LEAD(to) GO(START, to)
#define X4(row) (row), (row), (row), (row)
#define X16(row) X4(row), X4(row), X4(row), X4(row)

static const uint64_t rows[256] = {
    /* 00-7F */
    X16(LEAD(START)), X16(LEAD(START)), X16(LEAD(START)), X16(LEAD(START)),
    X16(LEAD(START)), X16(LEAD(START)), X16(LEAD(START)), X16(LEAD(START)),
    /* 80-BF */
    X16(TAIL_8), X16(TAIL_9), X16(TAIL_A), X16(TAIL_A),
    /* C0-DF: C0 and C1 could only begin overlong forms */
    BAD, BAD, LEAD(TAIL1), LEAD(TAIL1), X4(LEAD(TAIL1)), X4(LEAD(TAIL1)),
    X4(LEAD(TAIL1)), X16(LEAD(TAIL1)),
    /* E0-EF */
    LEAD(AFTER_E0), LEAD(TAIL2), LEAD(TAIL2), LEAD(TAIL2), X4(LEAD(TAIL2)),
    X4(LEAD(TAIL2)), LEAD(TAIL2), LEAD(AFTER_ED), LEAD(TAIL2), LEAD(TAIL2),
    /* F0-FF */
    LEAD(AFTER_F0), LEAD(TAIL3), LEAD(TAIL3), LEAD(TAIL3), LEAD(AFTER_F4), BAD,
    BAD, BAD, X4(BAD), X4(BAD)};

#define BLOCK 32

static inline uint64_t step(uint64_t state, uint8_t byte) {
  return rows[byte] >> state & 63;
}

static inline bool all_ascii(const uint8_t *p) {
  uint64_t w[BLOCK / 8];

  memcpy(w, p, BLOCK);
  return ((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080) == 0;
}

rill__utf8 rill__utf8_feed(rill__utf8 state, const void *data, size_t len) {
  const uint8_t *p = data;
  uint64_t s;

  if (state == RILL__UTF8_BAD)
    return state;
  s = (uint64_t)state + START;
  for (; len >= BLOCK && s != BAD; p += BLOCK, len -= BLOCK) {
    if (s == START && all_ascii(p))
      continue;
    for (size_t i = 0; i < BLOCK; i++)
      s = step(s, p[i]);
  }
  for (size_t i = 0; i < len && s != BAD; i++)
    s = step(s, p[i]);
  return s == BAD ? RILL__UTF8_BAD : (rill__utf8)(s - START);
}
