#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "utf8_slow.h"

static int outcome(rill__utf8 state) {
  return state == RILL__UTF8_BAD ? -1 : state != 0;
}

static void check(const uint8_t *p, size_t len) {
  size_t at = 0;
  int want = slow_utf8(p, len, &at);

  assert_int_equal(outcome(rill__utf8_feed(0, p, len)), want);
  if (want < 0) { /* not before its first wrong byte, and then at once */
    assert_int_not_equal(rill__utf8_feed(0, p, at), RILL__UTF8_BAD);
    assert_int_equal(rill__utf8_feed(0, p, at + 1), RILL__UTF8_BAD);
  }
}

/* One to three bytes all, the fourth at the edges of its ranges. */
static void test_utf8_agrees_on_all_short_sequences(void **state) {
  static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                  0xa0, 0xbf, 0xc0, 0xc2, 0xed, 0xff};

  (void)state;
  for (unsigned a = 0; a < 256; a++)
    for (unsigned b = 0; b < 256; b++) {
      uint8_t two[2] = {(uint8_t)a, (uint8_t)b};
      check(two, 1);
      check(two, 2);
      for (unsigned c = 0; c < 256; c++)
        for (size_t d = 0; d < sizeof edges; d++) {
          uint8_t p[4] = {(uint8_t)a, (uint8_t)b, (uint8_t)c, edges[d]};
          size_t at;
          int want = slow_utf8(p, 4, &at);
          if (outcome(rill__utf8_feed(0, p, 4)) != want)
            fail_msg("%02x %02x %02x %02x", a, b, c, p[3]);
        }
    }
}

static const char *const texts[] = {
    "",
    "plain",
    "caf\xc3\xa9",
    "\xe2\x82\xac \xf0\x9f\x8c\x8a end",
    "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
    "\xf0\x90\x80\x80\xe0\xa0\x80",
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    "\xed\xa0\x80",
    "\xf4\x90\x80\x80",
    "\xc0\x80",
    "\xe0\x9f\xbf",
    "\xf0\x8f\xbf\xbf",
    "\xf8\x88\x80\x80\x80",
    "a\x80",
    "\xc3(",
    "\xe2\x82",
    "\xf0\x9f\x8c",
    "\xff",
    "\xfe\xfe"};

/* Each text behind ASCII of any length, so that all block paths are taken. */
static void test_utf8_agrees_at_any_offset_and_cut(void **state) {
  (void)state;
  for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
    for (size_t pre = 0; pre < 80; pre++) {
      size_t len = strlen(texts[t]), n = pre + len + 40, at;
      uint8_t *p = malloc(n);

      memset(p, 'x', n);
      memcpy(p + pre, texts[t], len);
      check(p, pre + len);
      check(p, n);
      for (size_t i = 0; i <= n; i++) {
        rill__utf8 s = rill__utf8_feed(0, p, i);
        s = rill__utf8_feed(s, p + i, n - i);
        assert_int_equal(outcome(s), slow_utf8(p, n, &at));
      }
      free(p);
    }
}

static void test_utf8_goes_on_byte_by_byte(void **state) {
  (void)state;
  for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
    const uint8_t *p = (const uint8_t *)texts[t];
    rill__utf8 s = 0;
    size_t at;

    for (size_t i = 0; i < strlen(texts[t]); i++) {
      s = rill__utf8_feed(s, p + i, 1);
      assert_int_equal(outcome(s), slow_utf8(p, i + 1, &at));
    }
  }
}

/* ASCII of a whole block must not be skipped within a character. */
static void test_utf8_sees_ascii_within_a_character(void **state) {
  (void)state;
  for (size_t pre = 0; pre < 80; pre++)
    for (size_t gap = 1; gap < 140; gap++) {
      uint8_t *p = malloc(pre + gap + 2);

      memset(p, 'x', pre + gap + 2);
      p[pre] = 0xc3;
      p[pre + gap + 1] = 0xa9;
      assert_false(rill__utf8_valid(p, pre + gap + 2));
      free(p);
    }
}

static void test_utf8_bad_stays_bad(void **state) {
  (void)state;
  assert_int_equal(rill__utf8_feed(RILL__UTF8_BAD, "a", 1), RILL__UTF8_BAD);
  assert_int_equal(rill__utf8_feed(RILL__UTF8_BAD, NULL, 0), RILL__UTF8_BAD);
  assert_int_equal(rill__utf8_feed(0, NULL, 0), 0);
  assert_true(rill__utf8_valid("", 0));
  assert_false(rill__utf8_valid("\xe2\x82", 2));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_utf8_agrees_on_all_short_sequences),
      cmocka_unit_test(test_utf8_agrees_at_any_offset_and_cut),
      cmocka_unit_test(test_utf8_goes_on_byte_by_byte),
      cmocka_unit_test(test_utf8_sees_ascii_within_a_character),
      cmocka_unit_test(test_utf8_bad_stays_bad),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
