#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/http.h"

static const rill_limits limits = {
#define RILL_X(name, def, max, outcome) .name = (def),
    RILL_LIMITS(RILL_X)
#undef RILL_X
};

static void expect(rill__bytes *out, const char *want) {
  assert_false(out->failed);
  rill__bytes_add(out, "", 1);
  assert_string_equal((char *)out->data, want);
  rill__bytes_clear(out);
}

static void test_http_write_makes_heads(void **state) {
  rill__bytes out;

  (void)state;
  rill__bytes_init(&out, &rill__alloc_default);
  rill__http_begin_response(&out, 101);
  rill__http_add_header(&out, rill_s("Upgrade"), rill_s("websocket"));
  rill__http_add_header(&out, rill_s("X"), rill_s(""));
  rill__http_end(&out);
  expect(&out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
               "X: \r\n\r\n");
  rill__http_begin_response(&out, 299);
  expect(&out, "HTTP/1.1 299 Unknown\r\n");
  rill__http_begin_request(&out, rill_s("GET"), rill_s("/a?b"));
  rill__http_end(&out);
  expect(&out, "GET /a?b HTTP/1.1\r\n\r\n");
  rill__http_begin_request(&out, rill_s("GET"), rill_s("?b"));
  rill__http_begin_request(&out, rill_s("GET"), rill_s(""));
  expect(&out, "GET /?b HTTP/1.1\r\nGET / HTTP/1.1\r\n");
  rill__bytes_finish(&out);
}

static void test_http_write_refuses_what_splits(void **state) {
  static const struct {
    const char *name, *value;
  } bad[] = {{"", "a"},       {"A B", "a"},       {"A:", "a"},
             {"A\r\nB", "a"}, {"A", "a\r\nB: c"}, {"A", "a\n"},
             {"A", "\r"},     {"A", "a\x7f"},     {"\xc3\xa9", "a"}};
  rill__bytes out;

  (void)state;
  rill__bytes_init(&out, &rill__alloc_default);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    rill__http_add_header(&out, rill_s(bad[i].name), rill_s(bad[i].value));
    assert_true(out.failed);
    rill__bytes_clear(&out);
  }
  rill__http_add_header(&out, rill_s("A"), (rill_str){"a\0b", 3});
  assert_true(out.failed);
  rill__bytes_clear(&out);
  rill__http_begin_request(&out, rill_s("GET"), rill_s("/ HTTP/1.1\r\nX: y"));
  assert_true(out.failed);
  rill__bytes_clear(&out);
  rill__http_begin_request(&out, rill_s("G T"), rill_s("/"));
  assert_true(out.failed);
  rill__bytes_clear(&out);
  rill__http_begin_response(&out, 99);
  assert_true(out.failed);
  rill__bytes_clear(&out);
  rill__http_begin_response(&out, 1000);
  assert_true(out.failed);
  assert_int_equal(out.len, 0);
  rill__bytes_finish(&out);
}

static void test_http_write_answers_errors(void **state) {
  rill__bytes out;

  (void)state;
  rill__bytes_init(&out, &rill__alloc_default);
  rill__http_error_answer(&out, 403, rill_s("no \"x\"\n"), true, false);
  expect(&out,
         "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n"
         "Content-Length: 50\r\nConnection: close\r\n\r\n"
         "{\"error\":{\"status\":403,\"reason\":\"no \\\"x\\\"\\u000a\"}}");
  rill__http_error_answer(&out, 404, rill_s(""), false, true);
  expect(&out, "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
               "Content-Length: 36\r\n\r\n");
  rill__http_error_answer(&out, 400, rill_s("\xc3\xa9"), false, false);
  assert_non_null(strstr((char *)out.data, "\"\xc3\xa9\"}}"));
  rill__bytes_clear(&out);
  rill__http_error_answer(&out, 400, rill_s("\xc3\xa9\xff"), false, false);
  assert_non_null(strstr((char *)out.data, "\"???\"}}"));
  rill__bytes_finish(&out);
}

/* What is written reads back, the length of the body included. */
static void test_http_write_is_read_back(void **state) {
  rill__http_env env;
  rill__bytes out;
  char reason[65];

  (void)state;
  rill__http_env_init(&env, &rill__alloc_default, &limits);
  rill__bytes_init(&out, &rill__alloc_default);
  for (unsigned i = 0; i < 64; i++) {
    rill__http *http = rill__http_new(&env, true);
    size_t used, more;

    reason[i] = '\0';
    rill__bytes_clear(&out);
    rill__http_error_answer(&out, 400, rill_s(reason), true, false);
    assert_int_equal(rill__http_feed(http, out.data, out.len, &used),
                     RILL__HTTP_HEAD);
    assert_int_equal(rill__http_head_of(http)->status, 400);
    assert_false(rill__http_head_of(http)->keep_alive);
    assert_int_equal(
        rill__http_feed(http, out.data + used, out.len - used, &more),
        RILL__HTTP_DONE);
    assert_int_equal(used + more, out.len);
    rill__http_free(http);
    reason[i] = (char)(i * 37 % 127 + 1);
  }
  rill__bytes_finish(&out);
  rill__http_env_finish(&env);
}

static void *no_memory(void *arg, void *ptr, size_t old, size_t size) {
  (void)arg, (void)ptr, (void)old, (void)size;
  return NULL;
}

static void test_http_write_marks_lack_of_memory(void **state) {
  rill__alloc none = {no_memory, NULL};
  rill__bytes out;

  (void)state;
  rill__bytes_init(&out, &none);
  rill__http_error_answer(&out, 503, rill_s("x"), true, false);
  assert_true(out.failed);
  assert_int_equal(out.len, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_http_write_makes_heads),
      cmocka_unit_test(test_http_write_refuses_what_splits),
      cmocka_unit_test(test_http_write_answers_errors),
      cmocka_unit_test(test_http_write_is_read_back),
      cmocka_unit_test(test_http_write_marks_lack_of_memory),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
