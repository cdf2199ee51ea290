/*
 * rill/client.h - the other direction: peers that this program dials.
 */
#ifndef RILL_CLIENT_H
#define RILL_CLIENT_H

#include <rill/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_dial_opts {
  const rill_handlers *handlers; /* borrowed while the peer lives */
  void *arg;
  rill_deflate_opts deflate;
  const char *const *subprotocols; /* copied */
  size_t nsubprotocols;
  const rill_header *headers; /* more request headers; copied */
  size_t nheaders;
  const char *origin; /* NULL: none is sent */
} rill_dial_opts;

/*
 * rill_dial opens a WebSocket to |url|: "ws://host[:port][/path][?query]" or
 * "ws+unix:/socket/path[:/request/path]".  The adapter connects; then on_open
 * runs, or on_close says why not.  |out| is good at once (its messages are
 * refused with RILL_ERR_STATE until it is open) and may be NULL.
 *
 * RILL_ERR_ARG     the URL or a header is not valid
 * RILL_ERR_LIMIT   the hub has its conns already, or drains
 * RILL_ERR_RANDOM  no source of randomness, or it failed
 * RILL_ERR_NOMEM   out of memory
 */
RILL_API int rill_dial(rill_peer *out, rill_hub *hub, const char *url,
                       const rill_dial_opts *opts, rill_time now);

#ifdef __cplusplus
}
#endif
#endif
