#include "hub/hub.h"

rill__rate rill__rate_of(uint32_t per_sec, uint32_t burst) {
  rill__rate none = {0, 0};
  rill_time unit = RILL_SEC / per_sec;

  if (per_sec == RILL_UNLIMITED || burst == RILL_UNLIMITED)
    return none;
  return (rill__rate){unit, unit * burst};
}

bool rill__bucket_take(rill_time *bucket, rill_time now, rill__rate rate,
                       uint32_t cost) {
  rill_time level = (*bucket > now ? *bucket : now) + rate.unit * cost;

  if (level > now + rate.room)
    return false;
  *bucket = level;
  return true;
}

rill_time rill__bucket_over(rill_time *bucket, rill_time now, rill__rate rate,
                            uint32_t cost) {
  if (rate.unit == 0)
    return 0;
  *bucket = (*bucket > now ? *bucket : now) + rate.unit * cost;
  return *bucket > now + rate.room ? *bucket - rate.room : 0;
}
