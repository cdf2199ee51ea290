/*
 * emit.h - events on their way out.
 */
#ifndef RILL__EMIT_H
#define RILL__EMIT_H

#include "hub/peer.h"

/* rill_send to a peer that has events, or is away. */
int rill__emit_message(rill__peer *p, const rill_msg *msg);
/* To all of |to|, kept where that is wanted. */
int rill__emit_item(rill_hub *hub, const rill_to *to, rill__item *item);
/*
 * Keeps |item|, which goes to |to| now, where it can be recovered from; its
 * offset is written to |offset|, of RILL__OFFSET_MAX bytes.
 */
void rill__emit_keep(rill_hub *hub, rill__space *space, const rill_to *to,
                     rill__item *item, char *offset);
/* 0, or why |name| cannot be an event's. */
int rill__event_name_check(rill_hub *hub, rill_str name);

#endif
