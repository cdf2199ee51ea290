/*
 * notify.h - notifications: what the hub's parts ask of them.
 */
#ifndef RILL__NOTIFY_H
#define RILL__NOTIFY_H

#include <rill/notify.h>

#include "people/inbox.h"

/* Of a space, where they are on. */
typedef struct rill__notify {
  rill_notify_events_opts opts;
} rill__notify;

void rill__notify_free(rill_hub *hub, rill__notify *notify);
/* |p| is open (again): it is to be told what waits for its user. */
void rill__notify_opened(rill__peer *p);
void rill__notify_tick(rill_hub *hub);

#endif
