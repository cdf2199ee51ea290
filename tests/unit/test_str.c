#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include <rill/base.h>

static void test_str_measures(void **state) {
  static const rill_str lit = RILL_STR("abc");

  (void)state;
  assert_int_equal(lit.len, 3);
  assert_int_equal(rill_s("abc").len, 3);
  assert_int_equal(rill_s("").len, 0);
  assert_int_equal(rill_s(NULL).len, 0);
  assert_null(rill_s(NULL).ptr);
}

static void test_str_compares(void **state) {
  (void)state;
  assert_true(rill_str_eq(rill_s("ab"), (rill_str){"abc", 2}));
  assert_false(rill_str_eq(rill_s("ab"), rill_s("abc")));
  assert_false(rill_str_eq(rill_s("ab"), rill_s("aB")));
  assert_true(rill_str_eq(rill_s(NULL), rill_s("")));
  assert_false(rill_str_eq((rill_str){"a\0b", 3}, (rill_str){"a\0c", 3}));
}

static void test_str_starts(void **state) {
  (void)state;
  assert_true(rill_str_starts(rill_s("abc"), ""));
  assert_true(rill_str_starts(rill_s("abc"), "ab"));
  assert_true(rill_str_starts(rill_s("abc"), "abc"));
  assert_false(rill_str_starts(rill_s("abc"), "abcd"));
  assert_false(rill_str_starts(rill_s("abc"), "b"));
  assert_true(rill_str_starts(rill_s(NULL), ""));
  assert_false(rill_str_starts(rill_s(NULL), "a"));
  assert_true(rill_str_starts(rill_s("a"), NULL));
}

static void test_str_names_each_error(void **state) {
  (void)state;
#define RILL_X(name, value, text)                                              \
  assert_int_equal(RILL_ERR_##name, value);                                    \
  assert_string_equal(rill_errname(value), "RILL_ERR_" #name);                 \
  assert_string_equal(rill_strerror(value), text);
  RILL_ERRORS(RILL_X)
#undef RILL_X
  assert_string_equal(rill_errname(RILL_BUSY), "RILL_BUSY");
  assert_string_equal(rill_errname(RILL_LATER), "RILL_LATER");
  assert_string_equal(rill_errname(RILL_PAUSE), "RILL_PAUSE");
  assert_string_equal(rill_strerror(0), "no error");
  for (int i = -100; i < 100; i++) {
    assert_true(strlen(rill_strerror(i)) > 0);
    assert_true(strlen(rill_errname(i)) > 0);
    assert_null(strchr(rill_strerror(i), '\n'));
  }
  assert_string_equal(rill_errname(-99), "unknown");
}

static void test_str_tells_the_version(void **state) {
  (void)state;
  assert_string_equal(rill_version(), RILL_VERSION);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_str_measures),
      cmocka_unit_test(test_str_compares),
      cmocka_unit_test(test_str_starts),
      cmocka_unit_test(test_str_names_each_error),
      cmocka_unit_test(test_str_tells_the_version),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
