/*
 * listen.c - what callers understand of what they are told: packets of
 * Engine.IO and Socket.IO, envelopes, blocks of server-sent events.
 *
 * The events of this scene have a number as their first argument; an offset
 * is the last one.  So the text is searched rather than parsed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

/* The text between the quotes behind |key|. */
static rill_str after(const char *text, const char *key) {
  const char *p = strstr(text, key), *e;

  if (p == NULL)
    return (rill_str){0};
  p += strlen(key);
  e = strchr(p, '"');
  return (rill_str){p, e != NULL ? (size_t)(e - p) : 0};
}

static void copy(char *out, size_t size, rill_str s) {
  size_t n = s.len < size - 1 ? s.len : size - 1;

  if (n > 0)
    memcpy(out, s.ptr, n);
  out[n] = '\0';
}

/* ["name",N,...] or ["name",N,...,"EPOCH-OFFSET"] */
static void read_args(arrival *a, const char *text) {
  const char *last = strrchr(text, '"');

  copy(a->name, sizeof a->name, after(text, "[\""));
  text = strchr(text, ',');
  a->n = text != NULL ? (uint32_t)strtoul(text + 1, NULL, 10) : 0;
  if (last == NULL || strcmp(last, "\"]") != 0 || text == NULL)
    return;
  while (--last > text && *last != '"')
    ;
  if (last > text)
    copy(a->offset, sizeof a->offset, after(last - 1, ",\""));
}

static void on_event(caller *c, const char *text, bool parts) {
  arrival a = {.n = 0};
  char *rest;
  uint32_t n = 0;

  if (parts) {
    n = (uint32_t)strtoul(text, &rest, 10);
    text = rest + 1; /* behind the dash */
  }
  if (*text != '[') {
    a.asks = true;
    a.ask = strtoull(text, &rest, 10);
    text = rest;
  }
  if (*text != '[')
    sim_breach(c->w, "I-WIRE", "an event that is none", c->id, 0);
  read_args(&a, text);
  if (n == 0) {
    caller_arrived(c, &a);
    return;
  }
  c->parts = a;
  c->nparts = n;
}

void listen_binary(caller *c, const uint8_t *data, size_t len) {
  if (c->nparts == 0)
    sim_breach(c->w, "I-WIRE", "an attachment of nothing", c->id, len);
  if (len != 3 || data[0] != (uint8_t)c->parts.n ||
      data[1] != (uint8_t)(c->parts.n >> 8) || data[2] != 0xff)
    sim_breach(c->w, "I-EVENT", "another attachment", c->parts.n, len);
  if (--c->nparts == 0)
    caller_arrived(c, &c->parts);
}

static void on_socketio(caller *c, const char *text) {
  if (c->nparts > 0)
    sim_breach(c->w, "I-WIRE", "text between attachments", c->id, c->nparts);
  switch (*text) {
  case '0':
    caller_connected(c, after(text, "\"sid\":\""), after(text, "\"pid\":\""));
    break;
  case '1':
    c->secret[0] = '\0';
    caller_lose(c, "disconnected");
    break;
  case '2':
  case '5':
    on_event(c, text + 1, *text == '5');
    break;
  case '3':
    caller_answered(c, strtoull(text + 1, NULL, 10));
    break;
  case '4':
    caller_lose(c, "refused");
    break;
  default:
    sim_breach(c->w, "I-WIRE", "a packet of no kind", c->id, (uint8_t)*text);
  }
}

void listen_packet(caller *c, const char *text, size_t len) {
  if (strlen(text) != len)
    sim_breach(c->w, "I-WIRE", "a NUL in a packet", c->id, len);
  switch (*text) {
  case '0':
    if (c->state == HELLO && after(text, "\"sid\":\"").len == 20) {
      copy(c->sid, sizeof c->sid, after(text, "\"sid\":\""));
      c->state = CONNECTING;
      if (c->secret[0] == '\0')
        caller_packet(c, 0, "40{\"token\":\"c%u\"}", c->id);
      else
        caller_packet(c, 0,
                      "40{\"token\":\"c%u\",\"pid\":\"%s\"%s%s%s}", c->id,
                      c->secret, c->offset[0] != '\0' ? ",\"offset\":\"" : "",
                      c->offset, c->offset[0] != '\0' ? "\"" : "");
    } else {
      sim_breach(c->w, "I-WIRE", "an OPEN that is none", c->id, len);
    }
    break;
  case '1':
    caller_lose(c, "closed");
    break;
  case '2':
    caller_packet(c, 0, "3");
    break;
  case '4':
    on_socketio(c, text + 1);
    break;
  case '6':
    break;
  default:
    sim_breach(c->w, "I-WIRE", "a packet of no kind", c->id, (uint8_t)*text);
  }
}

void listen_envelope(caller *c, const char *text, size_t len) {
  arrival a = {.n = 0};
  const char *p;

  if (strlen(text) != len || len == 0 || text[len - 1] != '}')
    sim_breach(c->w, "I-WIRE", "an envelope that is none", c->id, len);
  if (strncmp(text, "{\"open\":", 8) == 0) {
    caller_connected(c, after(text, "{\"open\":\""),
                     after(text, "\"session\":\""));
  } else if (strncmp(text, "{\"event\":", 9) == 0) {
    copy(a.name, sizeof a.name, after(text, "{\"event\":\""));
    p = strstr(text, "\"args\":[");
    a.n = p != NULL ? (uint32_t)strtoul(p + 8, NULL, 10) : 0;
    p = strstr(text, ",\"id\":");
    a.asks = p != NULL;
    a.ask = p != NULL ? strtoull(p + 6, NULL, 10) : 0;
    copy(a.offset, sizeof a.offset, after(text, "\"offset\":\""));
    caller_arrived(c, &a);
  } else if (strncmp(text, "{\"ack\":", 7) == 0) {
    caller_answered(c, strtoull(text + 7, NULL, 10));
  } else if (strncmp(text, "{\"error\":", 9) != 0 &&
             strncmp(text, "{\"joined\":", 10) != 0) {
    sim_breach(c->w, "I-WIRE", "an envelope of no kind", c->id, len);
  }
}

/* One block, without the empty line behind it. */
void listen_block(caller *c, const char *text) {
  arrival a = {.n = 0};
  const char *p;

  if (text[0] == ':' || strncmp(text, "retry: ", 7) == 0) {
    p = strstr(text, "event: session\n");
    if (p == NULL)
      return;
    p = strstr(text, "\nid: ");
    if (p == NULL)
      sim_breach(c->w, "I-WIRE", "a session without an id", c->id, 0);
    sscanf(p, "\nid: %31[^\n]", a.offset);
    caller_connected(c, after(text, "\"sid\":\""),
                     after(text, "\"session\":\""));
    if (c->guest == NULL)
      return;
    sim_note(c->w, "session", c->id, strstr(text, "\"recovered\":true") != NULL,
             c->cursor);
    if (strcmp(a.offset, c->offset) != 0)
      c->cursor = c->guest->opened_at;
    memcpy(c->offset, a.offset, sizeof c->offset);
    if (strstr(text, "\"recovered\":true") != NULL)
      guest_complete(c->guest);
    return;
  }
  if (sscanf(text, "event: %7[^\n]", a.name) != 1)
    sim_breach(c->w, "I-WIRE", "a block of no kind", c->id, 0);
  p = strstr(text, "\nid: ");
  if (p != NULL)
    sscanf(p, "\nid: %31[^\n]", a.offset);
  p = strstr(text, "\ndata: ");
  if (p == NULL)
    sim_breach(c->w, "I-WIRE", "an event without data", c->id, 0);
  p += 7;
  a.n = (uint32_t)strtoul(p + (*p == '['), NULL, 10);
  caller_arrived(c, &a);
}
