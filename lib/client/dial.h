/*
 * dial.h - what an outbound conn knows until it is open.
 */
#ifndef RILL__CLIENT_DIAL_H
#define RILL__CLIENT_DIAL_H

#include <rill/client.h>

#include "hub/conn.h"

struct rill__dial {
  rill_dial_target target;
  rill__bytes url;     /* what target points into */
  rill__bytes request; /* the whole opening handshake */
  char accept[29]; /* the Sec-WebSocket-Accept to expect */
};

#endif
