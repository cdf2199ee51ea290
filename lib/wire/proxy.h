/*
 * proxy.h - the PROXY protocol, versions 1 and 2 (haproxy.org,
 * proxy-protocol.txt): what a trusted balancer writes in front of a stream
 * to say who is at its other end.
 */
#ifndef RILL__PROXY_H
#define RILL__PROXY_H

#include <rill/base.h>

/*
 * The most bytes that a prefix may have: the protocol asks senders to stay
 * within one segment of 536 bytes, the smallest that TCP promises.
 */
#define RILL__PROXY_MAX 536

typedef struct rill__proxy {
  bool local;       /* LOCAL, UNKNOWN or not TCP: the stream's own address is
                       the client's, and nothing below is set */
  uint16_t port;    /* the client's */
  char address[46]; /* the client's, as inet_ntop writes it, with NUL */
} rill__proxy;

/*
 * rill__proxy_parse looks at the first |len| bytes of a stream: 0 where they
 * begin with a whole prefix (|*used| is its length), 1 where more bytes are
 * needed, RILL_ERR_PROTO where it is none.  It never asks for more than
 * RILL__PROXY_MAX bytes.
 */
int rill__proxy_parse(const uint8_t *data, size_t len, size_t *used,
                      rill__proxy *out);

#endif
