/*
 * big.h - just enough of large integers for number.c: exact fractions of two
 * of them, of which the quotient's first 64 bits are wanted.
 */
#ifndef RILL__BIG_H
#define RILL__BIG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The largest that comes up: 64 digits (213 bits) over 10^409, the smallest
 * power that does not make their number zero, is 1359 bits and 64 of
 * quotient.
 */
#define RILL__BIG_WORDS 48

/* Little-endian words; those from |n| on are zero. */
typedef struct rill__big {
  uint32_t w[RILL__BIG_WORDS];
  uint32_t n;
} rill__big;

void rill__big_set(rill__big *b, uint64_t value);
void rill__big_mul_add(rill__big *b, uint32_t factor, uint32_t carry);
void rill__big_mul_power(rill__big *b, uint32_t exponent); /* of ten */
void rill__big_shift(rill__big *b, uint32_t bits);         /* to the left */
uint32_t rill__big_bits(const rill__big *b);
/*
 * |a| / |b|, which must be below 2^64; |*rest|: that is not all.  Both are
 * of no use afterwards.
 */
uint64_t rill__big_divide(rill__big *a, rill__big *b, bool *rest);

#endif
