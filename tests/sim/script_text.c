/*
 * script_text.c - what clients by hand write: requests, frames, and all kinds
 * of things that no client should.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

static void put(script *s, const void *data, size_t len) {
  if (s->cap - s->len < len) {
    s->cap = s->cap * 2 + len + 256;
    s->out = realloc(s->out, s->cap);
    if (s->out == NULL)
      abort();
  }
  memcpy(s->out + s->len, data, len);
  s->len += len;
}

static void put_text(script *s, const char *text) {
  put(s, text, strlen(text));
}

/* A header with any length and any bits. */
static void put_header(script *s, uint8_t first, bool masked, uint64_t len,
                       const uint8_t mask[4]) {
  uint8_t head[14];
  size_t n = 2;

  head[0] = first;
  if (len < 126) {
    head[1] = (uint8_t)len;
  } else if (len < 65536) {
    head[1] = 126;
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    n = 4;
  } else {
    head[1] = 127;
    for (int i = 0; i < 8; i++)
      head[2 + i] = (uint8_t)(len >> (56 - 8 * i));
    n = 10;
  }
  if (masked) {
    head[1] |= 0x80;
    memcpy(head + n, mask, 4);
    n += 4;
  }
  put(s, head, n);
}

void script_frame(script *s, uint8_t first, const void *data, size_t len) {
  uint8_t mask[4];
  size_t at;

  for (int i = 0; i < 4; i++)
    mask[i] = (uint8_t)sim_random(s->w);
  put_header(s, first, true, len, mask);
  at = s->len;
  put(s, data, len);
  for (size_t i = 0; i < len; i++)
    s->out[at + i] ^= mask[i & 3];
}

/* A registered message, in fragments as chance has it. */
void script_message(script *s, uint32_t id) {
  world *w = s->w;
  size_t len;
  rill_kind kind;
  const uint8_t *data = message_bytes(w, id, &len, &kind);
  uint8_t opcode = (uint8_t)kind;
  unsigned parts = 0;

  while (len > 0 && sim_chance(w, 15) && parts++ < 4) {
    size_t n = 1 + sim_below(w, (uint32_t)len);
    script_frame(s, opcode, data, n == len ? 0 : n);
    if (n != len) {
      data += n;
      len -= n;
    }
    opcode = 0;
    if (sim_chance(w, 30))
      script_frame(s, 0x89, "between", 7);
  }
  script_frame(s, 0x80 | opcode, data, len);
}

/* A message that the server should get, if it still takes any. */
static void send_message(script *s, size_t len) {
  world *w = s->w;
  uint32_t id = message_some(w, len);

  flow_sent(w, &s->pair->up, id, 0, false, false, false);
  script_message(s, id);
}

static void request(script *s, const char *path, const char *auth,
                    bool deflate) {
  char head[600];

  snprintf(head, sizeof head,
           "GET %s/%u?auth=%s HTTP/1.1\r\nHost: sim.example\r\n"
           "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Version: 13\r\n%s\r\n",
           path, (unsigned)s->pair->id, auth,
           deflate ? "Sec-WebSocket-Extensions: permessage-deflate; "
                     "client_max_window_bits\r\n"
                   : "");
  put_text(s, head);
}

static void put_random(script *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint8_t c = (uint8_t)(sim_random(s->w) >> 16);
    put(s, &c, 1);
  }
}

/* Zeros, more than any limit allows, in a few hundred bytes. */
static void put_bomb(script *s) {
  static uint8_t zeros[400000];
  uint8_t packed[4096];
  z_stream z = {0};

  if (deflateInit2(&z, 9, Z_DEFLATED, -12, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    abort();
  z.next_in = zeros;
  z.avail_in = sizeof zeros;
  z.next_out = packed;
  z.avail_out = sizeof packed;
  deflate(&z, Z_SYNC_FLUSH);
  script_frame(s, 0xc2, packed, sizeof packed - z.avail_out - 4);
  deflateEnd(&z);
}

/* Something that RFC 6455 forbids; nothing behind it may be delivered. */
static void put_violation(script *s) {
  static const uint8_t zero[4] = {0};
  world *w = s->w;
  uint32_t id;
  uint8_t code[2];

  switch (sim_below(w, 13)) {
  case 0: /* a server's frame */
    put_header(s, 0x81, false, 5, NULL);
    put_text(s, "hello");
    break;
  case 1:
    script_frame(s, (uint8_t)(0x81 | 0x10 << sim_below(w, 2)), "x", 1);
    break;
  case 2:
    script_frame(s, (uint8_t)(0x83 + sim_below(w, 5)), "x", 1);
    break;
  case 3:
    script_frame(s, (uint8_t)(0x8b + sim_below(w, 5)), "x", 1);
    break;
  case 4:
    script_frame(s, 0x80, "nothing to continue", 19);
    break;
  case 5:
    script_frame(s, 0x01, "begun", 5);
    script_frame(s, 0x81, "begun anew", 10);
    break;
  case 6:
    script_frame(s, 0x81, "\xc3\x28", 2);
    break;
  case 7:
    put_header(s, 0x82, true, UINT64_C(1) << (20 + sim_below(w, 44)), zero);
    break;
  case 8: /* a control frame with a long length, or in parts */
    if (sim_chance(w, 50))
      put_header(s, 0x89, true, 126, zero);
    else
      script_frame(s, 0x09, "x", 1);
    break;
  case 9:
    code[0] = (uint8_t)(1004 >> 8);
    code[1] = (uint8_t)(1004 + sim_below(w, 3));
    script_frame(s, 0x88, code, sim_chance(w, 20) ? 1 : 2);
    break;
  case 10: /* a length that is not minimal */
    put(s, "\x82\xfe\x00\x05\0\0\0\0hello", 13);
    break;
  case 11: /* bits that inflate to nothing valid */
    script_frame(s, 0xc2, "\xff\xff\xff\xff\xff\xff", 6);
    break;
  default:
    put_bomb(s);
    break;
  }
  id = message_new(w, 30, RILL_TEXT);
  message_forbid(w, id);
  script_message(s, id);
}

static void put_frames(script *s, uint32_t most) {
  uint32_t n = sim_below(s->w, most);

  while (n-- > 0)
    send_message(s, 8 + sim_below(s->w, 300));
}

static void put_requests(script *s) {
  static const char *const heads[] = {
      "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /fail HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
      "PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"
      "hello again",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6\r\n again\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
      "Content-Length: 2\r\n\r\nok",
      "GET /plain/0 HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"};
  world *w = s->w;
  uint32_t n = 1 + sim_below(w, 6);

  while (n-- > 0) {
    uint32_t k = sim_below(w, 100);
    put_text(s, heads[k < 90 ? k % 8 : 8 + (k & 1)]);
    s->asked++;
  }
}

void script_compose(script *s) {
  static const char *const auths[] = {"now",   "now",    "now",
                                      "later", "reject", "silent"};
  static const char *const paths[] = {"/plain", "/deflate", "/takeover"};
  static const uint8_t no_frame = 0xb2; /* reserved bits: else noise may
                                           be a message once in a while */
  world *w = s->w;
  const char *auth = sim_fault(w, FAULT_AUTH) ? auths[sim_below(w, 6)] : "now";
  const char *path = paths[sim_below(w, 3)];
  bool deflate = sim_fault(w, FAULT_DEFLATE) && sim_chance(w, 60);

  switch (s->kind) {
  case SCRIPT_GARBAGE:
    if (sim_chance(w, 50))
      request(s, path, auth, deflate);
    put(s, &no_frame, 1);
    put_random(s, sim_below(w, 3000));
    break;
  case SCRIPT_BAD_FRAMES:
    request(s, path, auth, deflate);
    put_frames(s, 10);
    put_violation(s);
    break;
  case SCRIPT_FLOOD:
    request(s, path, auth, deflate);
    if (sim_chance(w, 50))
      for (int i = 0; i < 300; i++)
        script_frame(s, sim_chance(w, 80) ? 0x89 : 0x8a, "flood", 5);
    put_frames(s, 600);
    break;
  case SCRIPT_NO_READ:
    s->reads = false;
    request(s, path, auth, deflate);
    put_frames(s, 20);
    break;
  case SCRIPT_HALF_OPEN:
    if (sim_chance(w, 30))
      put_text(s, "POST /echo HTTP/1.1\r\nHost: a\r\n"
                  "Content-Length: 90\r\n\r\nnot all of it");
    else
      request(s, path, auth, deflate);
    s->len = sim_below(w, (uint32_t)s->len + 1);
    s->drip = sim_below(w, 3) * 2;
    break;
  case SCRIPT_FRAGMENTS:
    request(s, path, auth, deflate);
    script_frame(s, 0x02, "begin", 5);
    for (uint32_t i = sim_below(w, 60); i > 0; i--)
      script_frame(s, 0x00, "x", sim_below(w, 2));
    break;
  case SCRIPT_REQUESTS:
    put_requests(s);
    break;
  default:
    request(s, path, auth, deflate);
    break;
  }
}
