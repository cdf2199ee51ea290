/*
 * callerline.c - the connections of a caller: one GET and one POST at a time,
 * the upgrade once both have been answered, frames from then on.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

static void poll(caller *c) {
  if (c->on_ws || c->polling || c->up_state == UP_PROBED)
    return;
  if (c->get == NULL)
    c->get = caller_wire(c);
  wire_text(c->get,
            "GET " SIO_PATH "polling&sid=%s HTTP/1.1\r\nHost: a\r\n\r\n",
            c->sid);
  c->get->asked++;
  c->polling = true;
}

static void write_packet(caller *c, const packet *p) {
  bool binary = p->text[0] == 'b';

  if (!binary)
    wire_frame(c->ws, 0x81, p->text, p->len);
  else /* it stands for itself in this scene: always the same three bytes */
    wire_frame(c->ws, 0x82, "\x01\x02\x03", 3);
}

void caller_forget(caller *c) {
  for (uint32_t i = 0; i < c->nqueue; i++)
    free(c->queue[i].text);
  c->nqueue = 0;
}

/* A POST of all that waits, or as many frames. */
static void flush(caller *c) {
  size_t len = 0;

  if (c->nqueue == 0 || c->posting || c->up_state == UP_PROBED)
    return;
  if (c->on_ws) {
    for (uint32_t i = 0; i < c->nqueue; i++)
      write_packet(c, &c->queue[i]);
    caller_forget(c);
    return;
  }
  if (c->post == NULL)
    c->post = caller_wire(c);
  for (uint32_t i = 0; i < c->nqueue; i++)
    len += c->queue[i].len + (i > 0);
  wire_text(c->post,
            "POST " SIO_PATH "polling&sid=%s HTTP/1.1\r\nHost: a\r\n"
            "Content-Type: text/plain;charset=UTF-8\r\n"
            "Content-Length: %zu\r\n\r\n",
            c->sid, len);
  c->post->asked++;
  for (uint32_t i = 0; i < c->nqueue; i++) {
    if (i > 0)
      wire_bytes(c->post, "\x1e", 1);
    wire_bytes(c->post, c->queue[i].text, c->queue[i].len);
    if (c->queue[i].up > 0)
      c->post_up = c->queue[i].up;
  }
  caller_forget(c);
  c->posting = true;
}

static void flush_later(world *w, void *a, uint64_t life) {
  caller *c = a;

  (void)w;
  if (c->life == life)
    flush(c);
}

void caller_packet(caller *c, uint32_t up, const char *format, ...) {
  char text[300];
  packet *p = &c->queue[c->nqueue];
  va_list args;
  int n;

  va_start(args, format);
  n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n < 0 || (size_t)n >= sizeof text)
    abort();
  if (c->dialect == ENVELOPE) {
    wire_frame(c->ws, 0x81, text, (size_t)n);
    return;
  }
  if (c->nqueue == sizeof c->queue / sizeof c->queue[0])
    return; /* a client that is not answered says no more */
  *p = (packet){malloc((size_t)n + 1), (size_t)n, up};
  if (p->text == NULL)
    abort();
  memcpy(p->text, text, (size_t)n + 1);
  c->nqueue++;
  if (c->on_ws || sim_chance(c->w, 70)) /* else with what follows */
    flush(c);
  else
    sim_later(c->w, sim_below(c->w, 50) * RILL_MSEC, flush_later, c, c->life);
}

/* Both requests have been answered: the WebSocket takes over. */
static void finish_upgrade(caller *c) {
  if (c->up_state != UP_PROBED || c->polling || c->posting)
    return;
  wire_frame(c->ws, 0x81, "5", 1);
  c->up_state = UP_NONE;
  c->on_ws = true;
  sim_note(c->w, "upgraded", c->id, 0, 0);
  flush(c);
}

void caller_message(void *owner, wire *r, bool text, const uint8_t *data,
                    size_t len) {
  caller *c = owner;
  char *copy = malloc(len + 1);

  if (copy == NULL)
    abort();
  memcpy(copy, data, len);
  copy[len] = '\0';
  if (c->dialect == ENVELOPE) {
    listen_envelope(c, copy, len);
  } else if (c->on_ws && !text) {
    listen_binary(c, data, len);
  } else if (c->on_ws) {
    listen_packet(c, copy, len);
  } else if (r == c->ws && strcmp(copy, "3probe") == 0) {
    c->up_state = UP_PROBED;
    finish_upgrade(c);
  } else {
    sim_breach(c->w, "I-WIRE", "a probe was expected", c->id, len);
  }
  free(copy);
}

static size_t unbase64(const char *s, size_t len, uint8_t *out) {
  static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0, n = 0;
  size_t k = 0;

  for (size_t i = 0; i < len && s[i] != '='; i++) {
    const char *p = strchr(digits, s[i]);
    if (p == NULL || s[i] == '\0')
      return 0;
    bits = bits << 6 | (uint32_t)(p - digits);
    n += 6;
    if (n >= 8) {
      n -= 8;
      out[k++] = (uint8_t)(bits >> n);
    }
  }
  return k;
}

static void on_payload(caller *c, const uint8_t *data, size_t len) {
  char *copy = calloc(1, len + 1);
  uint8_t bytes[300];
  uint32_t life = c->life;
  char *p = copy, *next;

  if (copy == NULL)
    abort();
  memcpy(copy, data, len);
  for (; p != NULL && c->life == life; p = next) {
    next = strchr(p, '\x1e');
    if (next != NULL)
      *next++ = '\0';
    if (*p == 'b' && strlen(p) < 300)
      listen_binary(c, bytes, unbase64(p + 1, strlen(p + 1), bytes));
    else
      listen_packet(c, p, strlen(p));
  }
  free(copy);
}

/* A POST has been answered: its events are with the host. */
static void on_posted(caller *c, int status) {
  guest *g = c->guest;

  c->posting = false;
  if (status == 200 && c->post_up > 0 && g != NULL &&
      g->side == GUEST_OPEN && c->state == TALKING && g->up < c->post_up)
    sim_breach(c->w, "I-POST", "answered, but not handed on", g->up,
               c->post_up);
  c->post_up = 0;
  if (status != 200 && (c->dialect == SOCKETIO || status != 410)) {
    caller_lose(c, "a POST is refused");
  } else {
    finish_upgrade(c);
    flush(c);
  }
}

void caller_body(void *owner, wire *r, int status, const uint8_t *data,
                 size_t len) {
  caller *c = owner;
  uint32_t life = c->life;

  sim_note(c->w, "answer", c->id, (uint64_t)status, len);
  if (r == c->post) {
    if (c->dialect == SSE)
      c->posting = false;
    on_posted(c, status);
    return;
  }
  if (status != 200 || c->dialect != SOCKETIO || r != c->get) {
    caller_lose(c, "refused");
    return;
  }
  c->polling = false;
  on_payload(c, data, len);
  if (c->life != life)
    return;
  if (c->plan == UPGRADING && c->ws == NULL && c->up_state == UP_NONE &&
      (sim_chance(c->w, 60) || c->w->calm)) {
    char target[90];
    snprintf(target, sizeof target, SIO_PATH "websocket&sid=%s", c->sid);
    c->up_state = UP_OPENING;
    c->ws = caller_wire(c);
    wire_upgrade(c->ws, target, "");
  }
  finish_upgrade(c);
  poll(c);
}

void caller_stream(void *owner, const uint8_t *data, size_t len) {
  caller *c = owner;

  for (size_t i = 0; i < len && c->state != DOWN; i++) {
    if (c->stream_len + 2 > c->stream_cap) {
      c->stream_cap = c->stream_cap * 2 + 256;
      c->stream = realloc(c->stream, c->stream_cap);
      if (c->stream == NULL)
        abort();
    }
    c->stream[c->stream_len++] = (char)data[i];
    if (c->stream_len < 2 || data[i] != '\n' ||
        c->stream[c->stream_len - 2] != '\n')
      continue;
    c->stream[c->stream_len - 1] = '\0';
    c->stream_len = 0;
    listen_block(c, c->stream);
  }
}
