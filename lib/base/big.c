#include "base/big.h"

#include <string.h>

void rill__big_set(rill__big *b, uint64_t value) {
  memset(b, 0, sizeof *b);
  b->w[0] = (uint32_t)value;
  b->w[1] = (uint32_t)(value >> 32);
  b->n = b->w[1] != 0 ? 2 : b->w[0] != 0;
}

void rill__big_mul_add(rill__big *b, uint32_t factor, uint32_t carry) {
  uint64_t x = carry;

  for (uint32_t i = 0; i < b->n; i++) {
    x += (uint64_t)b->w[i] * factor;
    b->w[i] = (uint32_t)x;
    x >>= 32;
  }
  if (x > 0 && b->n < RILL__BIG_WORDS)
    b->w[b->n++] = (uint32_t)x;
}

void rill__big_mul_power(rill__big *b, uint32_t exponent) {
  for (; exponent >= 9; exponent -= 9)
    rill__big_mul_add(b, 1000000000, 0);
  for (; exponent > 0; exponent--)
    rill__big_mul_add(b, 10, 0);
}

void rill__big_shift(rill__big *b, uint32_t bits) {
  uint32_t words = bits / 32, rest = bits % 32;

  if (b->n == 0 || b->n + words >= RILL__BIG_WORDS)
    return;
  for (uint32_t i = b->n + 1; i-- > 0;) {
    uint64_t x = (uint64_t)b->w[i] << 32 | (i > 0 ? b->w[i - 1] : 0);
    b->w[i + words] = (uint32_t)(x << rest >> 32);
  }
  memset(b->w, 0, words * sizeof *b->w);
  b->n += words + (b->w[b->n + words] != 0);
}

uint32_t rill__big_bits(const rill__big *b) {
  return b->n == 0 ? 0 : b->n * 32 - (uint32_t)__builtin_clz(b->w[b->n - 1]);
}

/*
 * One word of the quotient, of |a| above word |at| by |b|, which is taken off
 * |a| (Knuth's algorithm D).  The estimate by the first words is at most two
 * too large, as |b|'s first bit is set.
 */
static uint32_t divide_word(rill__big *a, const rill__big *b, uint32_t at) {
  uint32_t *w = a->w + at, n = b->n;
  uint64_t top = (uint64_t)w[n] << 32 | w[n - 1];
  uint64_t q = w[n] >= b->w[n - 1] ? UINT32_MAX : top / b->w[n - 1];
  uint64_t carry = 0;
  int64_t sum = 0;

  for (uint32_t i = 0; i <= n; i++) {
    carry += i < n ? q * b->w[i] : 0;
    sum += (int64_t)w[i] - (int64_t)(uint32_t)carry;
    w[i] = (uint32_t)sum;
    sum >>= 32;
    carry >>= 32;
  }
  while (sum < 0) {
    carry = 0;
    for (uint32_t i = 0; i <= n; i++) {
      carry += (uint64_t)w[i] + (i < n ? b->w[i] : 0);
      w[i] = (uint32_t)carry;
      carry >>= 32;
    }
    sum += (int64_t)carry;
    q--;
  }
  return (uint32_t)q;
}

uint64_t rill__big_divide(rill__big *a, rill__big *b, bool *rest) {
  uint32_t shift = (uint32_t)__builtin_clz(b->w[b->n - 1]);
  uint64_t q;

  rill__big_shift(a, shift);
  rill__big_shift(b, shift);
  q = (uint64_t)divide_word(a, b, 1) << 32;
  q |= divide_word(a, b, 0);
  *rest = false;
  for (uint32_t i = 0; i < b->n; i++)
    *rest |= a->w[i] != 0;
  return q;
}
