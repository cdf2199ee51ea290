/*
 * wire.c - one stream of a client: bytes out of its own hand, and what the
 * independent reader finds in those that come.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

static void on_message(void *arg, bool text, const uint8_t *data, size_t len) {
  wire *r = arg;

  if (r->owner != NULL)
    r->to->message(r->owner, r, text, data, len);
}

static void on_ping(void *arg, const uint8_t *data, size_t len) {
  wire *r = arg;

  if (r->owner != NULL)
    wire_frame(r, 0x8a, data, len);
}

static void on_body(void *arg, int status, const uint8_t *data, size_t len) {
  wire *r = arg;

  r->answered++;
  if (r->answered > r->asked)
    sim_breach(r->w, "I-HTTP", "more answers than requests", r->answered,
               r->asked);
  if (r->owner != NULL)
    r->to->body(r->owner, r, status, data, len);
}

static void on_stream(void *arg, const uint8_t *data, size_t len) {
  wire *r = arg;

  if (r->owner != NULL)
    r->to->stream(r->owner, data, len);
}

wire *wire_new(world *w, const wire_owner *to, void *owner) {
  wire *r = calloc(1, sizeof *r);
  end *e = sim_end_new(w);

  if (r == NULL)
    abort();
  *r = (wire){.w = w, .end = e, .to = to, .owner = owner};
  e->wire = r;
  reader_init(&r->rd, false, r);
  r->rd.on_message = on_message;
  r->rd.on_ping = on_ping;
  r->rd.on_body = on_body;
  r->rd.on_stream = on_stream;
  sim_connect(w, e);
  return r;
}

void wire_free(wire *r) {
  reader_finish(&r->rd);
  free(r->out);
  free(r);
}

void wire_close(wire *r) {
  if (r == NULL)
    return;
  r->owner = NULL;
  if (!r->end->dead)
    sim_end_close(r->end, sim_chance(r->w, 30));
}

void wire_bytes(wire *r, const void *data, size_t len) {
  if (r->cap - r->len < len) {
    r->cap = r->cap * 2 + len + 256;
    r->out = realloc(r->out, r->cap);
    if (r->out == NULL)
      abort();
  }
  if (len > 0)
    memcpy(r->out + r->len, data, len);
  r->len += len;
}

void wire_text(wire *r, const char *format, ...) {
  char text[900];
  va_list args;
  int n;

  va_start(args, format);
  n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n < 0 || (size_t)n >= sizeof text)
    abort();
  wire_bytes(r, text, (size_t)n);
}

void wire_frame(wire *r, uint8_t first, const void *data, size_t len) {
  uint8_t head[8] = {first}, mask[4];
  size_t n = 2, at;

  for (int i = 0; i < 4; i++)
    mask[i] = (uint8_t)sim_random(r->w);
  head[1] = (uint8_t)(0x80 | (len < 126 ? len : 126));
  if (len >= 126) {
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    n = 4;
  }
  wire_bytes(r, head, n);
  wire_bytes(r, mask, 4);
  at = r->len;
  wire_bytes(r, data, len);
  for (size_t i = 0; i < len; i++)
    r->out[at + i] ^= mask[i & 3];
}

void wire_upgrade(wire *r, const char *target, const char *protocol) {
  wire_text(r,
            "GET %s HTTP/1.1\r\nHost: sim.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
            target, protocol);
  r->asked++;
}

bool wire_writable(const wire *r) { return r->sent < r->len; }

void wire_write(wire *r) {
  r->sent += sim_end_write(r->end, r->out + r->sent, r->len - r->sent);
}

void wire_read(wire *r, const uint8_t *data, size_t len) {
  bool framed = r->rd.frames;

  sim_note(r->w, "wire reads", r->end->id, len, 0);
  while (len > 0) { /* what follows a 101 is told after it */
    size_t n = framed ? len : 1;
    reader_feed(&r->rd, data, n);
    data += n;
    len -= n;
    if (r->rd.bad != NULL)
      sim_breach(r->w, "I-WIRE", r->rd.bad, r->end->id, 0);
    if (!framed && r->rd.frames && r->owner != NULL)
      r->to->opened(r->owner, r);
    framed = r->rd.frames || r->rd.stream;
  }
  if (r->rd.closes > 0 && r->owner != NULL)
    r->to->ended(r->owner, r);
}

void wire_ended(wire *r) {
  void *owner = r->owner;

  sim_note(r->w, "wire ended", r->end->id, r->asked, r->answered);
  r->owner = NULL;
  sim_end_close(r->end, false);
  if (owner != NULL)
    r->to->ended(owner, r);
}
