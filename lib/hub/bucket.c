#include "hub/hub.h"

/* What one unit adds to the bucket, in ns. */
static rill_time unit(uint32_t per_sec) { return RILL_SEC / per_sec; }

bool rill__bucket_take(rill_time *bucket, rill_time now, uint32_t per_sec,
                       uint32_t burst, uint32_t cost) {
  rill_time full, level;

  if (per_sec == RILL_UNLIMITED || burst == RILL_UNLIMITED)
    return true;
  level = *bucket > now ? *bucket : now;
  full = now + unit(per_sec) * burst;
  if (level + unit(per_sec) * cost > full)
    return false;
  *bucket = level + unit(per_sec) * cost;
  return true;
}

rill_time rill__bucket_over(rill_time *bucket, rill_time now, uint32_t per_sec,
                            uint32_t burst, uint32_t cost) {
  rill_time room;

  if (per_sec == RILL_UNLIMITED || burst == RILL_UNLIMITED)
    return 0;
  if (*bucket < now)
    *bucket = now;
  *bucket += unit(per_sec) * cost;
  room = unit(per_sec) * burst;
  return *bucket > now + room ? *bucket - room : 0;
}
