/*
 * server.h - what the servers of the interop tests have in common: flags
 * with numbers, and a hub that throttles nobody.
 */
#ifndef INTEROP_SERVER_H
#define INTEROP_SERVER_H

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/epoll.h>
#include <rill/event.h>

/* Reads a number of 1 to |max|; false and a complaint if it is none. */
static inline bool read_number(const char *flag, const char *text, uint32_t max,
                               uint32_t *out) {
  char *end = NULL;
  uintmax_t value;

  errno = 0;
  value = strtoumax(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < 1 ||
      value > max) {
    fprintf(stderr, "--%s: \"%s\" is not 1 to %" PRIu32 "\n", flag, text, max);
    return false;
  }
  *out = (uint32_t)value;
  return true;
}

/*
 * Suites open hundreds of connections from one address and send as fast as
 * they can: admission and rates are off, queues far away.
 */
static inline void lift_limits(rill_limits *limits) {
  limits->control_per_sec = limits->control_burst = RILL_UNLIMITED;
  limits->assembly_bytes = RILL_UNLIMITED;
  limits->idle_ms = RILL_UNLIMITED;
  limits->queue_bytes = limits->soft_bytes = 64 * 1024 * 1024;
  limits->queue_count = limits->soft_count = RILL_UNLIMITED;
  limits->queues_total_bytes = limits->slow_ms = RILL_UNLIMITED;
  limits->conns = limits->conns_per_address = RILL_UNLIMITED;
  limits->half_open = RILL_UNLIMITED;
  limits->accepts_per_sec = limits->accepts_burst = RILL_UNLIMITED;
  limits->address_accepts_per_sec = RILL_UNLIMITED;
  limits->address_accepts_burst = RILL_UNLIMITED;
  limits->messages_per_sec = limits->messages_burst = RILL_UNLIMITED;
  limits->bytes_per_sec = limits->bytes_burst = RILL_UNLIMITED;
}

/* Serves until SIGTERM, frees |hub|, and returns the exit status. */
static inline int serve_and_free(rill_hub *hub, int rv, const char *address) {
  if (rv == 0)
    rv = rill_epoll_serve(hub, address);
  if (rv != 0)
    fprintf(stderr, "%s: %s\n", address,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));
  rill_hub_free(hub);
  return rv != 0;
}

/* All of an array's elements as arguments of their own. */
static inline rill_builder *build_all(rill_hub *hub, rill_value array) {
  rill_builder *b = rill_build(hub);
  rill_walk walk = rill_walk_begin(array);

  while (rill_walk_next(&walk))
    rill_put_value(b, walk.value);
  return b;
}

#endif
