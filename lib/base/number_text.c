/*
 * Doubles to the shortest text that reads back the same.
 *
 * Nearly all that people write has up to 15 digits, and a guess finds them;
 * else the first 18 digits are computed exactly and rounded to 15, 16 and 17
 * until one of them does.
 */
#include <float.h>

#include "base/big.h"
#include "base/number.h"

enum {
  DIGITS = 18 /* that are computed, one more than may be needed */
};

static uint64_t to_bits(double d) {
  uint64_t bits;

  memcpy(&bits, &d, sizeof bits);
  return bits;
}

/* |d| (positive) has |digits| before the power of ten |*exponent|. */
static uint64_t to_digits(double d, int32_t *exponent, bool *rest) {
  uint64_t bits = to_bits(d), m = bits & (((uint64_t)1 << 52) - 1), q;
  int32_t e = (int32_t)(bits >> 52), first, power;

  if (e > 0)
    m |= (uint64_t)1 << 52;
  else
    e = 1;
  e -= 1075;
  first = e + 63 - __builtin_clzll(m);
  /* floor(log10(2^first)), with 78913 / 2^18 for log10(2) */
  power = first * 78913;
  power = power >= 0 ? power >> 18 : -((-power + (1 << 18) - 1) >> 18);
  for (;; power++) {
    int32_t scale = DIGITS - 1 - power;
    rill__big a, b;
    rill__big_set(&a, m);
    rill__big_set(&b, 1);
    rill__big_mul_power(scale >= 0 ? &a : &b,
                        (uint32_t)(scale >= 0 ? scale : -scale));
    rill__big_shift(e >= 0 ? &a : &b, (uint32_t)(e >= 0 ? e : -e));
    q = rill__big_divide(&a, &b, rest);
    *exponent = -scale;
    if (q < 1000000000000000000u)
      return q;
  }
}

/* The first |n| of DIGITS digits, rounded. */
static uint64_t round_decimal(uint64_t digits, uint32_t n, bool rest) {
  uint64_t unit = 1, q, below;

  for (uint32_t i = n; i < DIGITS; i++)
    unit *= 10;
  q = digits / unit;
  below = digits % unit;
  return q + (below > unit / 2 || (below == unit / 2 && (rest || q % 2 != 0)));
}

/*
 * 15 digits that read back as |d| are its shortest text: two such numbers
 * are never the same double.  So a guess by inexact arithmetic will do where
 * the way back is exact.
 */
static bool guess(double d, uint64_t *digits, int32_t *exponent) {
  int32_t e = 0;
  double back;

  if (d >= 1e15 || d < 1e-5)
    return false;
  while (d * rill__powers[e] < 1e14)
    e++;
  *digits = (uint64_t)(d * rill__powers[e] + 0.5);
  *exponent = -e;
  return rill__decimal_short(*digits, -e, &back) && back == d;
}

static uint64_t shortest(double d, int32_t *exponent) {
  uint64_t all, digits = 0;
  int32_t power;
  uint32_t n = d < DBL_MIN ? 1 : 15; /* subnormals have fewer digits */
  bool rest;

  if (guess(d, &digits, exponent))
    return digits;
  all = to_digits(d, &power, &rest);
  for (; n <= 17; n++) {
    digits = round_decimal(all, n, rest);
    *exponent = power + (DIGITS - (int32_t)n);
    if (n == 17 || rill__decimal_double(digits, *exponent) == d)
      break;
  }
  return digits;
}

static char *write_zeros(char *out, int32_t n) {
  for (; n > 0; n--)
    *out++ = '0';
  return out;
}

static char *write_exponent(char *out, int32_t e) {
  *out++ = 'e';
  *out++ = e < 0 ? '-' : '+';
  e = e < 0 ? -e : e;
  if (e >= 100)
    *out++ = (char)('0' + e / 100);
  if (e >= 10)
    *out++ = (char)('0' + e / 10 % 10);
  *out++ = (char)('0' + e % 10);
  return out;
}

static char *write_some(char *out, const char *digits, int32_t n) {
  memcpy(out, digits, (size_t)n);
  return out + n;
}

/* |digits| * 10^|exponent| in the form of ECMA-262, Number::toString. */
static char *write_number(char *out, uint64_t digits, int32_t exponent) {
  char text[20], *first = text + sizeof text;
  int32_t n, point;

  for (; digits % 10 == 0; exponent++)
    digits /= 10;
  for (; digits > 0; digits /= 10)
    *--first = (char)('0' + digits % 10);
  n = (int32_t)(text + sizeof text - first);
  point = n + exponent; /* digits before the point */
  if (point > 21 || point < -5) {
    *out++ = *first;
    if (n > 1) {
      *out++ = '.';
      out = write_some(out, first + 1, n - 1);
    }
    return write_exponent(out, point - 1);
  }
  if (point <= 0) {
    *out++ = '0';
    *out++ = '.';
    out = write_zeros(out, -point);
    return write_some(out, first, n);
  }
  if (point >= n) {
    out = write_some(out, first, n);
    return write_zeros(out, point - n);
  }
  out = write_some(out, first, point);
  *out++ = '.';
  return write_some(out, first + point, n - point);
}

size_t rill__number_text(double d, char out[32]) {
  char *to = out;
  int32_t exponent = 0;
  uint64_t digits;

  if (!(d >= -DBL_MAX && d <= DBL_MAX)) {
    memcpy(out, "null", 4);
    return 4;
  }
  if (to_bits(d) >> 63 != 0) {
    *to++ = '-';
    d = -d;
  }
  if (d == 0) {
    *to++ = '0';
    return (size_t)(to - out);
  }
  if (d < 0x1p53 && (double)(uint64_t)d == d)
    digits = (uint64_t)d;
  else
    digits = shortest(d, &exponent);
  to = write_number(to, digits, exponent);
  return (size_t)(to - out);
}
