/*
 * number.h - what number.c (text to double) and number_text.c (the way back)
 * share.
 */
#ifndef RILL__NUMBER_H
#define RILL__NUMBER_H

#include "base/value.h"

/* |digits| * 10^|exponent|, the nearest; exponents within +-400. */
double rill__decimal_double(uint64_t digits, int32_t exponent);
/* The same where one exact operation does it, else false. */
bool rill__decimal_short(uint64_t digits, int32_t exponent, double *d);
/* The largest exponent of the short way, and 10 to each up to it. */
#define RILL__SHORT_POWER 22
extern const double rill__powers[RILL__SHORT_POWER + 1];

#endif
