/*
 * loop_fixture.h - a hub on an epoll loop and raw clients, in one thread.
 *
 * Clients are non-blocking sockets.  Whatever waits, waits by turning the
 * loop for at most a millisecond at a time, up to PATIENCE turns.
 */
#ifndef LOOP_FIXTURE_H
#define LOOP_FIXTURE_H

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rill/epoll.h>
#include <rill/rill.h>

#include "loop/loop.h"

#define PATIENCE 5000

typedef struct fixture {
  rill_hub *hub;
  rill_epoll *loop;
  char dir[64];  /* of the Unix socket */
  char path[96]; /* the Unix socket, in |dir| */
  char address[112];
} fixture;

typedef struct client {
  int fd;
  bool ended;
  int error; /* of recv */
  size_t len;
  uint8_t *in; /* |len| bytes that came, of |cap| */
  size_t cap;
} client;

/* A hub whose limits are out of the way of tests that are about the loop. */
static inline void fixture_begin(fixture *f) {
  rill_config config;

  memset(f, 0, sizeof *f);
  strcpy(f->dir, "/tmp/rill-test-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  snprintf(f->path, sizeof f->path, "%s/socket", f->dir);
  snprintf(f->address, sizeof f->address, "unix:%s", f->path);
  rill_config_init(&config);
  config.limits.accepts_per_sec = RILL_UNLIMITED;
  config.limits.accepts_burst = RILL_UNLIMITED;
  config.limits.address_accepts_per_sec = RILL_UNLIMITED;
  config.limits.address_accepts_burst = RILL_UNLIMITED;
  config.limits.conns_per_address = RILL_UNLIMITED;
  config.limits.messages_per_sec = RILL_UNLIMITED;
  config.limits.messages_burst = RILL_UNLIMITED;
  config.limits.bytes_per_sec = RILL_UNLIMITED;
  config.limits.bytes_burst = RILL_UNLIMITED;
  config.limits.message_bytes = 4u << 20;
  config.limits.queue_bytes = 64u << 20;
  assert_int_equal(rill_hub_new(&f->hub, &config), 0);
  assert_int_equal(rill_epoll_new(&f->loop, f->hub), 0);
}

static inline void fixture_listen(fixture *f) {
  assert_int_equal(rill_epoll_listen(f->loop, f->address, NULL), 0);
}

static inline void fixture_route(fixture *f, const rill_handlers *handlers,
                                 void *arg) {
  const rill_route_opts opts = {.handlers = handlers, .arg = arg};

  assert_int_equal(rill_route(f->hub, "/", RILL_RAW, &opts), 0);
}

static inline void fixture_end(fixture *f) {
  rill_epoll_free(f->loop);
  rill_hub_free(f->hub);
  unlink(f->path);
  rmdir(f->dir);
}

static inline void turn(fixture *f) {
  assert_int_equal(rill_epoll_turn(f->loop, 1), 0);
}

static inline size_t count_slots(const fixture *f, rill__slot_kind kind) {
  size_t n = 0;

  for (size_t i = 0; i < f->loop->nslots; i++)
    if (f->loop->slots[i].kind == kind)
      n++;
  return n;
}

static inline client client_of(int fd) {
  client c = {.fd = fd};

  assert_true(fd >= 0);
  assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  return c;
}

static inline client connect_unix(const fixture *f) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  client c = client_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

  memcpy(sun.sun_path, f->path, strlen(f->path));
  assert_int_equal(connect(c.fd, (struct sockaddr *)&sun, sizeof sun), 0);
  return c;
}

static inline client connect_tcp(uint16_t port) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
  return client_of(fd);
}

static inline void client_close(client *c) {
  if (c->fd >= 0)
    close(c->fd);
  free(c->in);
  *c = (client){.fd = -1};
}

/* Takes in up to |max| bytes of what is there. */
static inline void client_read(client *c, size_t max) {
  ssize_t n;

  if (c->cap - c->len < max) {
    c->cap = c->len + max + 65536;
    c->in = realloc(c->in, c->cap);
    assert_non_null(c->in);
  }
  n = recv(c->fd, c->in + c->len, max, 0);
  if (n > 0)
    c->len += (size_t)n;
  else if (n == 0)
    c->ended = true;
  else if (errno != EAGAIN)
    c->error = errno;
}

/* Turns until |c| has |len| bytes. */
static inline void client_await(fixture *f, client *c, size_t len) {
  for (int i = 0; i < PATIENCE && c->len < len; i++) {
    turn(f);
    client_read(c, 65536);
    assert_int_equal(c->error, 0);
    if (c->ended)
      break;
  }
  assert_true(c->len >= len);
}

static inline void client_await_end(fixture *f, client *c) {
  for (int i = 0; i < PATIENCE && !c->ended && c->error == 0; i++) {
    turn(f);
    client_read(c, 65536);
  }
  assert_true(c->ended || c->error != 0);
}

static inline void client_drop(client *c, size_t n) {
  assert_true(n <= c->len);
  memmove(c->in, c->in + n, c->len - n);
  c->len -= n;
}

/* Sends all, turning where the socket takes no more. */
static inline void client_send(fixture *f, client *c, const void *data,
                               size_t len) {
  const uint8_t *at = data;

  for (int i = 0; i < PATIENCE && len > 0; i++) {
    ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
    if (n > 0) {
      at += n;
      len -= (size_t)n;
    } else {
      assert_int_equal(errno, EAGAIN);
      turn(f);
    }
  }
  assert_int_equal(len, 0);
}

static inline void client_text(fixture *f, client *c, const char *text) {
  client_send(f, c, text, strlen(text));
}

/* An answer's whole head; returns its length. */
static inline size_t client_head(fixture *f, client *c) {
  for (int i = 0; i < PATIENCE; i++) {
    const uint8_t *end =
        c->len > 0 ? memmem(c->in, c->len, "\r\n\r\n", 4) : NULL;
    if (end != NULL)
      return (size_t)(end - c->in) + 4;
    client_await(f, c, c->len + 1);
  }
  fail();
  return 0;
}

static const char upgrade_request[] =
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static inline void client_upgrade(fixture *f, client *c) {
  size_t head;

  client_text(f, c, upgrade_request);
  head = client_head(f, c);
  assert_memory_equal(c->in, "HTTP/1.1 101", 12);
  client_drop(c, head);
}

/* One frame, masked where |mask|, into |out| of len + 14; its length. */
static inline size_t frame(uint8_t *out, uint8_t first, const uint8_t *data,
                           size_t len, bool mask) {
  static const uint8_t key[4] = {0x12, 0x34, 0x56, 0x78};
  size_t at = 0;

  out[at++] = first;
  if (len < 126) {
    out[at++] = (uint8_t)len;
  } else if (len < 65536) {
    out[at++] = 126;
    out[at++] = (uint8_t)(len >> 8);
    out[at++] = (uint8_t)len;
  } else {
    out[at++] = 127;
    for (int shift = 56; shift >= 0; shift -= 8)
      out[at++] = (uint8_t)((uint64_t)len >> shift);
  }
  if (mask) {
    out[1] |= 0x80;
    memcpy(out + at, key, 4);
    at += 4;
  }
  for (size_t i = 0; i < len; i++)
    out[at + i] = (uint8_t)(data[i] ^ (mask ? key[i % 4] : 0));
  return at + len;
}

#define FRAME_TEXT 0x81
#define FRAME_BINARY 0x82
#define FRAME_CLOSE 0x88

static inline void client_message(fixture *f, client *c, const char *text) {
  uint8_t wire[256];

  assert_true(strlen(text) < 200);
  client_send(
      f, c, wire,
      frame(wire, FRAME_TEXT, (const uint8_t *)text, strlen(text), true));
}

/* The next frame is the text |text|. */
static inline void client_expect(fixture *f, client *c, const char *text) {
  uint8_t wire[256];
  size_t n =
      frame(wire, FRAME_TEXT, (const uint8_t *)text, strlen(text), false);

  client_await(f, c, n);
  assert_memory_equal(c->in, wire, n);
  client_drop(c, n);
}

/* ---- handlers ---- */

typedef struct counts {
  int opened, messages, closed;
  rill_peer last;
  rill_cause cause;
  char address[64];
} counts;

static inline int count_open(rill_peer peer, const rill_request *req,
                             void *arg) {
  counts *n = arg;
  rill_str address = rill_peer_address(peer);

  (void)req;
  n->opened++;
  n->last = peer;
  snprintf(n->address, sizeof n->address, "%.*s", (int)address.len,
           address.ptr);
  return 0;
}

static inline int count_echo(rill_peer peer, const rill_msg *msg, void *arg) {
  counts *n = arg;
  int rv = rill_send(peer, msg);

  n->messages++;
  return rv < 0 ? rv : 0;
}

static inline void count_close(rill_peer peer, const rill_closed *closed,
                               void *arg) {
  counts *n = arg;

  (void)peer;
  n->closed++;
  n->cause = closed->cause;
}

static const rill_handlers counting_echo = {
    .on_open = count_open, .on_message = count_echo, .on_close = count_close};

#endif
