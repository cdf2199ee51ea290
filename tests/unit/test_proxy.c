#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/proxy.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\x02\x07\x0a\0\0\x01\x13\x88\0\x50"
#define V6                                                                     \
  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                 \
  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x13\x88\0\x50"
#define LONG_6 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static int parse(const char *text, size_t len, size_t *used, rill__proxy *out) {
  uint8_t *exact = malloc(len + (len == 0));
  int rv;

  memcpy(exact, text, len);
  rv = rill__proxy_parse(exact, len, used, out);
  free(exact);
  return rv;
}

/* Whole, with bytes behind it, and at every length before. */
static void good(const char *text, size_t len, const char *address,
                 unsigned port) {
  char more[1024];
  rill__proxy out;
  size_t used;

  for (size_t n = 0; n < len; n++)
    assert_int_equal(parse(text, n, &used, &out), 1);
  memcpy(more, text, len);
  memcpy(more + len, "GET /", 5);
  for (size_t n = len; n <= len + 5; n++) {
    assert_int_equal(parse(more, n, &used, &out), 0);
    assert_int_equal(used, len);
    assert_int_equal(out.local, address == NULL);
    assert_string_equal(out.address, address != NULL ? address : "");
    assert_int_equal(out.port, port);
  }
}

/* Refused, and with the bytes up to |at| already, if not before. */
static void bad(const char *text, size_t len) {
  rill__proxy out;
  size_t used;
  bool over = false;

  for (size_t n = 0; n <= len; n++) {
    int rv = parse(text, n, &used, &out);
    if (rv == 0 || (over && rv != RILL_ERR_PROTO))
      fail_msg("taken: %s", text);
    over = rv == RILL_ERR_PROTO;
  }
  if (!over)
    fail_msg("not refused: %s", text);
}
#define GOOD(text, address, port) good(text, sizeof(text) - 1, address, port)
#define BAD(text) bad(text, sizeof(text) - 1)

static void test_proxy_reads_version_1(void **state) {
  (void)state;
  GOOD("PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n", "192.0.2.7", 5000);
  GOOD("PROXY TCP6 2001:DB8:0::1 ::1 65535 0\r\n", "2001:db8::1", 65535);
  GOOD("PROXY TCP6 " LONG_6 " " LONG_6 " 65535 65535\r\n", LONG_6, 65535);
  GOOD("PROXY UNKNOWN\r\n", NULL, 0);
  GOOD("PROXY UNKNOWN " LONG_6 " " LONG_6 " 65535 65535\r\n", NULL, 0);
}

static void test_proxy_refuses_bad_version_1(void **state) {
  (void)state;
  BAD("GET / HTTP/1.1\r\n");
  BAD("PROXY\r\n");
  BAD("PROXY \r\n");
  BAD("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n");
  BAD("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n");
  BAD("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 x\r\n");
  BAD("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n");
  BAD("PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n");
  BAD("PROXY TCP4 ::1 ::1 1 2\r\n");
  BAD("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n");
  BAD("PROXY UNKNOWNX\r\n");
}

static void test_proxy_bounds_version_1(void **state) {
  char text[120] = "PROXY UNKNOWN ";

  (void)state;
  memset(text + 14, 'x', sizeof text - 14);
  for (size_t n = 106; n <= 107; n++) {
    memcpy(text + n - 2, "\r\n", 2);
    good(text, n, NULL, 0);
    memset(text + 14, 'x', sizeof text - 14);
  }
  memcpy(text + 106, "\r\n", 2);
  bad(text, 108);
  memset(text + 14, 'x', sizeof text - 14);
  bad(text, 107);
}

static void test_proxy_reads_version_2(void **state) {
  (void)state;
  GOOD(V2 "\x21\x11\0\x0c" V4, "192.0.2.7", 5000);
  GOOD(V2 "\x21\x11\0\x10" V4 "\x04\0\x01x", "192.0.2.7", 5000);
  GOOD(V2 "\x21\x21\0\x24" V6, "2001:db8::1", 5000);
  GOOD(V2 "\x20\0\0\0", NULL, 0);
  GOOD(V2 "\x20\x11\0\x0c" V4, NULL, 0);
  GOOD(V2 "\x20\xff\0\x01x", NULL, 0);
  GOOD(V2 "\x21\0\0\x03xyz", NULL, 0);
}

static void test_proxy_refuses_bad_version_2(void **state) {
  (void)state;
  BAD("\r\n\r\n\0\r\nQUIX\n");
  BAD("\r\n\r\nGET /");
  BAD(V2 "\x11\x11\0\x0c" V4);
  BAD(V2 "\x31\x11\0\x0c" V4);
  BAD(V2 "\x22\x11\0\x0c" V4);
  BAD(V2 "\x21\x11\0\x0b" V4);
  BAD(V2 "\x21\x11\0\0");
  BAD(V2 "\x21\x21\0\x0c" V4);
  BAD(V2 "\x21\x12\0\x0c" V4);
  BAD(V2 "\x21\x31\0\x0c" V4);
  BAD(V2 "\x21\x41\0\x0c" V4);
}

static void test_proxy_bounds_version_2(void **state) {
  char text[600];

  (void)state;
  memset(text, 0, sizeof text);
  memcpy(text, V2 "\x21\x11\x02\x07" V4, 28);
  good(text, 535, "192.0.2.7", 5000);
  text[15] = 8;
  good(text, 536, "192.0.2.7", 5000);
  text[15] = 9;
  bad(text, 537);
  memcpy(text, V2 "\x21\x31\0\xd8", 16); /* a Unix socket: 216 bytes */
  good(text, 232, NULL, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_proxy_reads_version_1),
      cmocka_unit_test(test_proxy_refuses_bad_version_1),
      cmocka_unit_test(test_proxy_bounds_version_1),
      cmocka_unit_test(test_proxy_reads_version_2),
      cmocka_unit_test(test_proxy_refuses_bad_version_2),
      cmocka_unit_test(test_proxy_bounds_version_2),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
