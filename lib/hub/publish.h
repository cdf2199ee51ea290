/*
 * publish.h - what else publishes or reads, and what a room's log is called.
 */
#ifndef RILL__PUBLISH_H
#define RILL__PUBLISH_H

#include <rill/history.h>

#include "hub/encode.h"
#include "hub/store.h"

/* As rill_history; |drop| lets go of |arg| where the hub goes before. */
typedef void (*rill__drop_fn)(rill_hub *hub, void *arg);
int rill__history(rill_hub *hub, rill_str room, const rill_history_opts *opts,
                  rill_pasts_fn fn, rill__drop_fn drop, void *arg);
/*
 * Sends |item| to the members of |room|, with the number, id and time of
 * |as|: as rill_emit.
 */
int rill__publish_item(rill_hub *hub, rill__space *space, rill_str room,
                       rill__item *item, const rill_record *as);
/* The name of a room's log in the store; false: no memory. */
bool rill__log_name(rill__bytes *out, rill_str space, rill_str room);
/*
 * As rill__work_new, for the log of a room: a READ, or the APPEND of |id| and
 * |data|.
 */
rill__work *rill__log_work(rill_hub *hub, rill_store_kind kind, rill_str space,
                           rill_str room, rill_str id, rill_str data, int *rv);

#endif
