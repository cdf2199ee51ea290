/*
 * address.h - admission by address: how many conns each has, how fast they
 * come.  An IPv6 address counts as its /64.
 */
#ifndef RILL__ADDRESS_H
#define RILL__ADDRESS_H

#include "hub/conn.h"

/*
 * Counts |c| at |text|: 0, or the status that refuses it (429).  Sets
 * c->address; -1 is no memory.
 */
int rill__address_enter(rill_conn *c, rill_str text);
/*
 * Counts |c|, which is no stream, beside |like| at the same address; |text|
 * is the client's.  false: no memory.
 */
bool rill__address_share(rill_conn *c, const rill_conn *like, rill_str text);
void rill__address_leave(rill_conn *c);
/* Is |address| one of the proxies of the config? */
bool rill__address_trusted(const rill_hub *hub, rill_str address);
/* The text, borrowed while the conn lives. */
rill_str rill__address_text(const rill_conn *c);

#endif
