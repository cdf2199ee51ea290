/*
 * engineio.h - what the two halves of hub/engineio.c and engineio_http.c ask
 * of each other: packets, and the requests of long-polling.
 */
#ifndef RILL__HUB_ENGINEIO_H
#define RILL__HUB_ENGINEIO_H

#include "hub/conn.h"
#include "hub/session.h"

/* Is it the queue of a session on long-polling? */
static inline bool rill__is_box(const rill_conn *c) {
  return rill__conn_is(c, RILL__BOX);
}
/* One packet of this side's own, past the limits. */
void rill__eio_write(rill_conn *c, const char *packet);
/* The session breaks a rule: whoever waits is told, and it ends. */
void rill__eio_end(rill__session *s, const char *reason);
/* How |c| gets its messages, with the window that it has. */
void rill__eio_set_variant(rill_conn *c, unsigned format);
/* Answers a GET with one packet. */
void rill__eio_reply_poll(rill_request *req, const char *packet);

#endif
