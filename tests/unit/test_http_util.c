#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/http.h"

static rill_str one(const char *c) {
  return (rill_str){c, 1};
}

static bool host(const char *text, size_t want) {
  size_t len = 99;

  return rill__http_is_host(rill_s(text), &len) && len == want;
}

/* Each byte against the grammar, spelt out. */
static void test_http_util_knows_each_byte(void **state) {
  static const char alnum[] = "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  size_t len;

  (void)state;
  for (int i = 0; i < 256; i++) {
    char c = (char)i;
    bool is_alnum = i != 0 && strchr(alnum, c) != NULL;
    bool token = is_alnum || (i != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
    bool in_host = is_alnum || (i != 0 && strchr("-._~%!$&'()*+;=", c) != NULL);

    assert_int_equal(rill__http_is_token(one(&c)), token);
    assert_int_equal(rill__http_is_value(one(&c)),
                     i == '\t' || (i >= 0x20 && i != 0x7f));
    assert_int_equal(rill__http_is_target(one(&c)),
                     i > 0x20 && i < 0x7f && i != '#');
    assert_int_equal(rill__http_is_host(one(&c), &len), in_host);
  }
}

static void test_http_util_judges_whole_strings(void **state) {
  (void)state;
  assert_false(rill__http_is_token(rill_s("")));
  assert_false(rill__http_is_token(rill_s("a b")));
  assert_false(rill__http_is_token(rill_s("ab ")));
  assert_true(rill__http_is_token(rill_s("Sec-WebSocket-Key")));
  assert_true(rill__http_is_value(rill_s("")));
  assert_false(rill__http_is_value(rill_s("a\r\nb: c")));
  assert_false(rill__http_is_value((rill_str){"a\0", 2}));
}

/* Eight bytes are looked at at once: each byte at each place in a word. */
static void test_http_util_finds_controls_anywhere(void **state) {
  char text[40];

  (void)state;
  for (int i = 0; i < 256; i++)
    for (size_t at = 0; at < sizeof text; at++) {
      memset(text, i % 2 == 0 ? ' ' : '\xff', sizeof text);
      text[at] = (char)i;
      assert_int_equal(rill__http_is_value((rill_str){text, sizeof text}),
                       i == '\t' || (i >= 0x20 && i != 0x7f));
    }
}

static void test_http_util_compares_in_any_case(void **state) {
  (void)state;
  assert_true(rill__http_same(rill_s(""), ""));
  assert_true(rill__http_same(rill_s("WebSocket"), "websocket"));
  assert_true(rill__http_same(rill_s("websocket"), "WEBSOCKET"));
  assert_false(rill__http_same(rill_s("websocke"), "websocket"));
  assert_false(rill__http_same(rill_s("websockets"), "websocket"));
  assert_false(rill__http_same((rill_str){"a\0", 2}, "a"));
  /* 0x20 apart, and no letters */
  assert_false(rill__http_same(rill_s("@"), "`"));
  assert_false(rill__http_same(rill_s("["), "{"));
}

static void test_http_util_reads_hosts(void **state) {
  static const char *const bad[] = {
      "",    ":",       ":80",  "a:x",   "a:65536",     "a:1:2",
      "[",   "[]",      "[]:1", "[::1",  "::1",         "[::1]x",
      "[g]", "[::1]:x", "u@a",  "a/b",   "a b",         "a,b",
      "a\"", "a:-1",    "a: 1", "a:+80", "[::1%25eth0]"};
  size_t len;

  (void)state;
  assert_true(host("a", 1));
  assert_true(host("a:", 1));
  assert_true(host("a.example:65535", 9));
  assert_true(host("[::1]", 5));
  assert_true(host("[::ffff:1.2.3.4]:1", 16));
  assert_true(host("a:000080", 1));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (rill__http_is_host(rill_s(bad[i]), &len))
      fail_msg("taken: %s", bad[i]);
}

static void test_http_util_walks_lists(void **state) {
  rill_str list = rill_s(" ,a , b\t c,, ,d\t"), item;
  rill_str empty = {NULL, 0}, gaps = rill_s(" ,\t,");

  (void)state;
  assert_true(rill__http_next_item(&list, &item));
  assert_true(rill_str_eq(item, rill_s("a")));
  assert_true(rill__http_next_item(&list, &item));
  assert_true(rill_str_eq(item, rill_s("b\t c")));
  assert_true(rill__http_next_item(&list, &item));
  assert_true(rill_str_eq(item, rill_s("d")));
  assert_false(rill__http_next_item(&list, &item));
  assert_false(rill__http_next_item(&list, &item));
  assert_false(rill__http_next_item(&empty, &item));
  assert_false(rill__http_next_item(&gaps, &item));
}

static int64_t unescape(const char *in, bool plus, char *out) {
  size_t len = strlen(in);
  char *exact = malloc(len + (len == 0)); /* so that overreads are seen */
  int64_t n;

  memcpy(exact, in, len);
  n = rill__http_unescape((rill_str){exact, len}, plus, out);
  free(exact);
  return n;
}

static void test_http_util_unescapes(void **state) {
  static const char *const bad[] = {"%",    "%4",  "a%",  "%g0", "%0g",
                                    "%%41", "%4%", "% 1", "%+1"};
  char out[32];

  (void)state;
  assert_int_equal(unescape("a%20b+c%2B%e2%82%AC%00", true, out), 10);
  assert_memory_equal(out, "a b c+\xe2\x82\xac\0", 10);
  assert_int_equal(unescape("a+b", false, out), 3);
  assert_memory_equal(out, "a+b", 3);
  assert_int_equal(unescape("", true, out), 0);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(unescape(bad[i], true, out), -1);
  memcpy(out, "%41%42c", 7);
  assert_int_equal(rill__http_unescape((rill_str){out, 7}, true, out), 3);
  assert_memory_equal(out, "ABc", 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_http_util_knows_each_byte),
      cmocka_unit_test(test_http_util_judges_whole_strings),
      cmocka_unit_test(test_http_util_finds_controls_anywhere),
      cmocka_unit_test(test_http_util_compares_in_any_case),
      cmocka_unit_test(test_http_util_reads_hosts),
      cmocka_unit_test(test_http_util_walks_lists),
      cmocka_unit_test(test_http_util_unescapes),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
