/*
 * join.h - joins that ask first.
 */
#ifndef RILL__JOIN_H
#define RILL__JOIN_H

#include "hub/peer.h"

/* rill_join_request for a client, whom the outcome is told as |id| asks. */
int rill__join_ask(rill__peer *p, rill_str room, bool wants, uint64_t id);

#endif
