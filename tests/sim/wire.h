/*
 * wire.h - one stream of a client that is written by hand.
 */
#ifndef WIRE_H
#define WIRE_H

#include "sim.h"

/* Whom a stream tells what comes. */
typedef struct wire_owner {
  void (*opened)(void *owner, wire *r); /* the 101 */
  void (*message)(void *owner, wire *r, bool text, const uint8_t *data,
                  size_t len);
  void (*body)(void *owner, wire *r, int status, const uint8_t *data,
               size_t len);
  void (*stream)(void *owner, const uint8_t *data, size_t len); /* of SSE */
  void (*ended)(void *owner, wire *r);
} wire_owner;

struct wire {
  world *w;
  end *end;
  const wire_owner *to;
  void *owner; /* NULL: it has let go of it */
  reader rd;
  uint8_t *out;
  size_t len, cap, sent;
  unsigned asked, answered; /* requests */
};

wire *wire_new(world *w, const wire_owner *to, void *owner);
void wire_close(wire *r); /* NULL is fine */
void wire_text(wire *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void wire_bytes(wire *r, const void *data, size_t len);
void wire_frame(wire *r, uint8_t first, const void *data, size_t len);
void wire_upgrade(wire *r, const char *target, const char *protocol);

#endif
