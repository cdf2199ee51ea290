#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/url.h"

static void same(rill_str s, const char *want) {
  if (!rill_str_eq(s, rill_s(want)))
    fail_msg("%.*s is not %s", (int)s.len, s.ptr, want);
}

/* The strings borrow from |text|, so it is kept until they are compared. */
static void good(const char *text, const char *host, const char *port,
                 const char *authority, const char *path, const char *target,
                 bool secure) {
  size_t len = strlen(text);
  char *exact = malloc(len);
  rill__url url;

  memcpy(exact, text, len);
  if (rill__url_parse((rill_str){exact, len}, &url) != 0)
    fail_msg("refused: %s", text);
  same(url.host, host);
  same(url.port, port);
  same(url.authority, authority);
  same(url.unix_path, path);
  same(url.target, target);
  assert_int_equal(url.secure, secure);
  free(exact);
}

static void test_url_reads_tcp(void **state) {
  (void)state;
  good("ws://a", "a", "80", "a", "", "/", false);
  good("WSS://a.example", "a.example", "443", "a.example", "", "/", true);
  good("ws://a:9000", "a", "9000", "a:9000", "", "/", false);
  good("ws://a:/x", "a", "80", "a:", "", "/x", false);
  good("ws://a:0080", "a", "80", "a:0080", "", "/", false);
  good("ws://a:65535/x/y?z=1", "a", "65535", "a:65535", "", "/x/y?z=1", false);
  good("ws://a?z=@/:", "a", "80", "a", "", "?z=@/:", false);
  good("ws://127.0.0.1:1//x", "127.0.0.1", "1", "127.0.0.1:1", "", "//x",
       false);
  good("wss://[::1]", "::1", "443", "[::1]", "", "/", true);
  good("ws://[2001:db8::1]:9/x", "2001:db8::1", "9", "[2001:db8::1]:9", "",
       "/x", false);
  good("ws://a/%7Bx%7D", "a", "80", "a", "", "/%7Bx%7D", false);
}

static void test_url_reads_unix_sockets(void **state) {
  (void)state;
  good("ws+unix:/run/x.sock", "", "", "localhost", "/run/x.sock", "/", false);
  good("ws+unix:/run/x.sock:/chat?a=:/b", "", "", "localhost", "/run/x.sock",
       "/chat?a=:/b", false);
  good("WS+UNIX:/tmp/a:b:/", "", "", "localhost", "/tmp/a:b", "/", false);
  good("ws+unix:/tmp/a:", "", "", "localhost", "/tmp/a:", "/", false);
}

static void test_url_refuses(void **state) {
  static const char *const bad[] = {"",
                                    "ws",
                                    "ws:",
                                    "ws:/a",
                                    "ws://",
                                    "ws:///x",
                                    "ws://?x",
                                    "ws://:80",
                                    "http://a",
                                    "https://a",
                                    "//a",
                                    "/x",
                                    "a",
                                    " ws://a",
                                    "ws://a ",
                                    "ws://u@a",
                                    "ws://u:p@a/",
                                    "ws://a/#f",
                                    "ws://a#",
                                    "ws://a/\n",
                                    "ws://a/b c",
                                    "ws://a\\b",
                                    "ws://a/\x7f",
                                    "ws://a/\x01",
                                    "ws://\xc3\xa9",
                                    "ws://a/\xc3\xa9",
                                    "ws://a:0",
                                    "ws://a:000",
                                    "ws://a:65536",
                                    "ws://a:-1",
                                    "ws://a:+1",
                                    "ws://a:1x",
                                    "ws://a:1:2",
                                    "ws://a:99999999999999999999",
                                    "ws://::1",
                                    "ws://[::1",
                                    "ws://::1]",
                                    "ws://[]",
                                    "ws://[::g]",
                                    "ws://[::1]x",
                                    "ws://[1.2.3.4]",
                                    "ws://[1:2]",
                                    "ws://[::1%25lo]",
                                    "ws://a,b",
                                    "ws+unix:",
                                    "ws+unix:x",
                                    "ws+unix:x:/y",
                                    "ws+unix::/y",
                                    "ws+unix:/a?b",
                                    "wss+unix:/a",
                                    "ws+unix:/a\n"};
  rill__url url;

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (rill__url_parse(rill_s(bad[i]), &url) != RILL_ERR_ARG)
      fail_msg("taken: %s", bad[i]);
  assert_int_equal(rill__url_parse((rill_str){"ws://a\0b", 8}, &url),
                   RILL_ERR_ARG);
  assert_int_equal(rill__url_parse(rill_s(NULL), &url), RILL_ERR_ARG);
}

/* 107 bytes fit into sun_path with their NUL. */
static void test_url_bounds_the_path_of_a_socket(void **state) {
  char text[200] = "ws+unix:/";
  rill__url url;

  (void)state;
  memset(text + 9, 'x', 110);
  for (size_t n = 106; n <= 108; n++)
    assert_int_equal(rill__url_parse((rill_str){text, 8 + n}, &url),
                     n <= 107 ? 0 : RILL_ERR_ARG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_url_reads_tcp),
      cmocka_unit_test(test_url_reads_unix_sockets),
      cmocka_unit_test(test_url_refuses),
      cmocka_unit_test(test_url_bounds_the_path_of_a_socket),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
