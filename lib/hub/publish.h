/*
 * publish.h - what else publishes, and what a room's log is called.
 */
#ifndef RILL__PUBLISH_H
#define RILL__PUBLISH_H

#include <rill/history.h>

#include "hub/hub.h"

/* As rill_publish; |args| is an array or absent. */
int rill__publish(rill_hub *hub, rill_str room, rill_str name, rill_value args,
                  const rill_publish_opts *opts);
/* The name of a room's log in the store; false: no memory. */
bool rill__log_name(rill__bytes *out, rill_str space, rill_str room);

#endif
