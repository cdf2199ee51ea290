/*
 * Decimal text to doubles, correctly rounded.
 *
 * Most numbers take the short way: up to 15 digits and a power of ten up to
 * 22 are both doubles without error, so one multiplication or division
 * rounds once and correctly.  The rest is exact arithmetic: the number as a
 * fraction of two large integers, of which the quotient's first 63 bits and
 * whether anything remains decide the rounding.
 */
#include "base/number.h"

#include <float.h>

#include "base/big.h"

enum {
  MAX_EXPONENT = 310, /* 0.1e311 and more is infinite */
  MIN_EXPONENT = -324 /* 0.9e-324 and less rounds to zero */
};

const double rill__powers[RILL__SHORT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double from_bits(uint64_t bits) {
  double d;

  memcpy(&d, &bits, sizeof d);
  return d;
}

/* |q| * 2^|exponent|, and a little more where there is a |rest|. */
static double round_binary(uint64_t q, int32_t exponent, bool rest) {
  int32_t zeros = __builtin_clzll(q), first, drop;
  uint64_t m, below, half;

  q <<= zeros;
  first = exponent - zeros + 63; /* the power of the first bit */
  if (first > 1023)
    return from_bits((uint64_t)2047 << 52);
  drop = first >= -1022 ? 11 : 11 - 1022 - first;
  if (drop > 64)
    return 0;
  m = drop == 64 ? 0 : q >> drop;
  below = drop == 64 ? q : q & (((uint64_t)1 << drop) - 1);
  half = (uint64_t)1 << (drop - 1);
  if (below > half || (below == half && (rest || m % 2 != 0)))
    m++;
  /* A carry out of the fraction goes to the exponent, as it should. */
  return from_bits(first >= -1022 ? ((uint64_t)(first + 1022) << 52) + m : m);
}

/* |digits| * 10^|exponent|, both within what the size allows for. */
static double divide_out(rill__big *digits, int32_t exponent) {
  rill__big below;
  int32_t shift;
  uint64_t q;
  bool rest;

  rill__big_set(&below, 1);
  if (exponent >= 0)
    rill__big_mul_power(digits, (uint32_t)exponent);
  else
    rill__big_mul_power(&below, (uint32_t)-exponent);
  shift =
      63 + (int32_t)rill__big_bits(&below) - (int32_t)rill__big_bits(digits);
  if (shift >= 0)
    rill__big_shift(digits, (uint32_t)shift);
  else
    rill__big_shift(&below, (uint32_t)-shift);
  q = rill__big_divide(digits, &below, &rest);
  return round_binary(q, -shift, rest);
}

bool rill__decimal_short(uint64_t digits, int32_t exponent, double *d) {
  if (FLT_EVAL_METHOD != 0 || digits > (uint64_t)1 << 53 ||
      exponent > RILL__SHORT_POWER || exponent < -RILL__SHORT_POWER)
    return false;
  *d = (double)digits;
  if (exponent >= 0)
    *d *= rill__powers[exponent];
  else
    *d /= rill__powers[-exponent];
  return true;
}

double rill__decimal_double(uint64_t digits, int32_t exponent) {
  double d;
  rill__big b;

  if (rill__decimal_short(digits, exponent, &d))
    return d;
  rill__big_set(&b, digits);
  return divide_out(&b, exponent);
}

typedef struct decimal {
  uint8_t digit[RILL__NUMBER_MAX];
  uint32_t n;       /* digits, from the first that is not 0 */
  int32_t exponent; /* of ten, of the last digit */
} decimal;

static int32_t read_exponent(const char *p, const char *end) {
  bool minus = p < end && *p == '-';
  int32_t e = 0;

  for (p += p < end && (*p == '-' || *p == '+'); p < end; p++)
    if (e < 100000)
      e = e * 10 + (*p - '0');
  return minus ? -e : e;
}

static void read_decimal(const char *p, const char *end, decimal *d) {
  bool fraction = false;

  d->n = 0;
  d->exponent = 0;
  for (; p < end && *p != 'e' && *p != 'E'; p++) {
    if (*p == '.') {
      fraction = true;
      continue;
    }
    if (d->n == RILL__NUMBER_MAX) {
      d->exponent += !fraction;
      continue;
    }
    if (d->n > 0 || *p != '0')
      d->digit[d->n++] = (uint8_t)(*p - '0');
    d->exponent -= fraction;
  }
  if (p < end)
    d->exponent += read_exponent(p + 1, end);
}

static double nearest(const decimal *d) {
  uint64_t few = 0;
  int32_t size = (int32_t)d->n + d->exponent;
  rill__big many;

  if (d->n == 0 || size < MIN_EXPONENT)
    return 0;
  if (size > MAX_EXPONENT)
    return from_bits((uint64_t)2047 << 52);
  if (d->n <= 19) {
    for (uint32_t i = 0; i < d->n; i++)
      few = few * 10 + d->digit[i];
    return rill__decimal_double(few, d->exponent);
  }
  rill__big_set(&many, 0);
  for (uint32_t i = 0; i < d->n; i++)
    rill__big_mul_add(&many, 10, d->digit[i]);
  return divide_out(&many, d->exponent);
}

double rill__number_double(rill_str text) {
  const char *end = text.ptr + text.len;
  bool minus = text.len > 0 && text.ptr[0] == '-';
  decimal d;

  read_decimal(text.ptr + minus, end, &d);
  return minus ? -nearest(&d) : nearest(&d);
}

bool rill__number_int(rill_str text, int64_t *i, bool *is_unsigned) {
  bool minus = text.len > 0 && text.ptr[0] == '-';
  uint64_t n = 0;

  if (text.len == minus)
    return false;
  for (size_t at = minus; at < text.len; at++) {
    char c = text.ptr[at];
    if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10u, &n) ||
        __builtin_add_overflow(n, (uint64_t)(c - '0'), &n))
      return false;
  }
  if (minus && (n == 0 || n > (uint64_t)1 << 63))
    return false;
  *is_unsigned = !minus && n > INT64_MAX;
  n = minus ? -n : n;
  memcpy(i, &n, sizeof n);
  return true;
}
