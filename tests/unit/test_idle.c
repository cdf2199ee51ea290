/*
 * test_idle.c - what a connection costs that says nothing: memory by count,
 * not by clock, with 100,000 of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <rill/rill.h>

#define CONNS 100000u
/* The promise is 400 bytes; the adapter's table takes 16 of them. */
#define BYTES_PER_CONN 384u

/* What glibc's malloc takes for |size|: a word in front, in steps of 16. */
static size_t cost(size_t size) {
  size_t n = (size + 8 + 15) & ~(size_t)15;
  return size == 0 ? 0 : n < 32 ? 32 : n;
}

static void *count(void *arg, void *ptr, size_t old, size_t size) {
  size_t *held = arg;

  *held = *held - cost(old) + cost(size);
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  return realloc(ptr, size);
}

static int zeros(void *arg, void *out, size_t len) {
  (void)arg;
  memset(out, 0, len);
  return 0;
}

static int echo(rill_peer peer, const rill_msg *msg, void *arg) {
  (void)arg;
  return rill_send(peer, msg);
}

static const rill_handlers handlers = {.on_message = echo};

static rill_hub *make_hub(size_t *held, bool deflate) {
  rill_route_opts opts = {.handlers = &handlers,
                          .deflate = {.enabled = deflate}};
  rill_config config;
  rill_hub *hub;

  rill_config_init(&config);
  config.alloc = count;
  config.alloc_arg = held;
  config.random = zeros;
  config.limits.conns = config.limits.conns_per_address = RILL_UNLIMITED;
  config.limits.accepts_per_sec = RILL_UNLIMITED;
  config.limits.address_accepts_per_sec = RILL_UNLIMITED;
  assert_int_equal(rill_hub_new(&hub, &config), 0);
  assert_int_equal(rill_route(hub, "/", RILL_RAW, &opts), 0);
  return hub;
}

/* Feeds a copy of |text| and takes what comes of it off; returns how much. */
static size_t say(rill_conn *conn, const void *text, size_t len) {
  uint8_t *bytes = malloc(len);
  rill_iov iov[8];
  size_t total = 0, n;

  assert_non_null(bytes);
  memcpy(bytes, text, len);
  assert_int_equal(rill_feed(conn, bytes, len, 1), 0);
  free(bytes);
  n = rill_pending(conn, iov, 8);
  for (size_t i = 0; i < n; i++)
    total += iov[i].len;
  rill_sent(conn, total, 1);
  return total;
}

static void hold(bool deflate) {
  static const char hello[] =
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Extensions: permessage-deflate\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  /* "Hello" plain, and in two fragments cut in the middle of a header */
  static const uint8_t whole[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                  0x7f, 0x9f, 0x4d, 0x51, 0x58};
  static const uint8_t cut[] = {0x01, 0x83, 0x37, 0xfa, 0x21, 0x3d, 0x7f,
                                0x9f, 0x4d, 0x80, 0x82, 0x3d};
  static const uint8_t rest[] = {0x37, 0xfa, 0x21, 0x51, 0x58};
  static rill_conn *conns[CONNS];
  const rill_conn_info info = {.address = RILL_STR("192.0.2.1")};
  size_t held = 0, before;
  rill_hub *hub = make_hub(&held, deflate);

  before = held;
  for (size_t i = 0; i < CONNS; i++) {
    assert_int_equal(rill_conn_new(&conns[i], hub, &info, 1), 0);
    assert_true(say(conns[i], hello, sizeof hello - 1) > 100);
    assert_int_equal(say(conns[i], whole, sizeof whole), 7);
    assert_int_equal(say(conns[i], cut, sizeof cut), 0);
    assert_int_equal(say(conns[i], rest, sizeof rest), 7);
  }
  while (rill_next_ready(hub) != NULL)
    ;
  assert_int_equal(rill_peers(hub), CONNS);
  print_message("%zu bytes per idle connection%s\n", (held - before) / CONNS,
                deflate ? ", deflate negotiated" : "");
  assert_true((held - before) / CONNS <=
              BYTES_PER_CONN + (deflate ? 64u : 0u));
  for (size_t i = 0; i < CONNS; i++)
    rill_conn_free(conns[i]);
  rill_tick(hub, 2);
  rill_hub_free(hub);
  assert_int_equal(held, 0);
}

static void test_idle_plain_connections_hold_no_buffers(void **state) {
  (void)state;
  hold(false);
}

static void test_idle_deflate_connections_hold_no_buffers(void **state) {
  (void)state;
  hold(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_idle_plain_connections_hold_no_buffers),
      cmocka_unit_test(test_idle_deflate_connections_hold_no_buffers),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
