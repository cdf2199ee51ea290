/*
 * limits.h - the limits of rill/limits.h by number, for the errors and
 * counters that name one: RILL__LIMIT_message_bytes and so on.
 */
#ifndef RILL__LIMITS_H
#define RILL__LIMITS_H

#include <rill/limits.h>

enum {
#define RILL_X(name, def, max, outcome) RILL__LIMIT_##name,
  RILL_LIMITS(RILL_X)
#undef RILL_X
  RILL__LIMIT_COUNT
};

#endif
