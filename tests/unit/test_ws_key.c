#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/ws.h"

/* RFC 6455 section 1.3. */
static void test_key_answers_the_example(void **state) {
  char out[29];

  (void)state;
  rill__ws_accept_key(rill_s("dGhlIHNhbXBsZSBub25jZQ=="), out);
  assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_key_too_long_has_no_answer(void **state) {
  char out[29] = "x";

  (void)state;
  rill__ws_accept_key(rill_s("dGhlIHNhbXBsZSBub25jZQ==="), out);
  assert_string_equal(out, "");
}

static void test_key_must_be_base64_of_16_bytes(void **state) {
  static const char *const bad[] = {
      "",
      "dGhlIHNhbXBsZSBub25jZQ=",
      "dGhlIHNhbXBsZSBub25jZQ===",
      "dGhlIHNhbXBsZSBub25jZQAA",
      "dGhlIHNhbXBsZSBub25jZQA=",
      "dGhlIHNhbXBsZSBub25j Q==",
      "dGhlIHNhbXBsZSBub25j\nQ==",
      "dGhlIHNhbXBsZSBub25j-Q==",
      "=GhlIHNhbXBsZSBub25jZQ==",
      "dGhlIHNhbXBsZSBub25jZ\xc3==",
  };

  (void)state;
  assert_true(rill__ws_key_ok(rill_s("dGhlIHNhbXBsZSBub25jZQ==")));
  assert_true(rill__ws_key_ok(rill_s("++++////ABCDabcd012345==")));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(rill__ws_key_ok(rill_s(bad[i])));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_key_answers_the_example),
      cmocka_unit_test(test_key_too_long_has_no_answer),
      cmocka_unit_test(test_key_must_be_base64_of_16_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
