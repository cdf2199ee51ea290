#include "pair.h"

#include "base/bytes.h"

static void test_bytes_grow(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__bytes b;
  char expected[3000];

  (void)state;
  rill__bytes_init(&b, &alloc);
  assert_int_equal(m.blocks, 0); /* nothing before there is something */
  rill__bytes_add(&b, NULL, 0);
  assert_int_equal(m.blocks, 0);
  for (size_t i = 0; i < sizeof expected; i++) {
    expected[i] = (char)(i * 7);
    rill__bytes_add(&b, &expected[i], 1);
  }
  assert_int_equal(b.len, sizeof expected);
  assert_memory_equal(b.data, expected, sizeof expected);
  assert_true(m.calls <= 8); /* it doubles */
  rill__bytes_clear(&b);
  assert_int_equal(b.len, 0);
  assert_true(b.cap >= sizeof expected);
  rill__bytes_str(&b, "text");
  rill__bytes_str(&b, "");
  assert_memory_equal(b.data, "text", 4);
  assert_int_equal(b.len, 4);
  rill__bytes_finish(&b);
  assert_int_equal(m.blocks, 0);
  rill__bytes_finish(&b);
}

static void test_bytes_numbers(void **state) {
  static const struct {
    uint64_t n;
    const char *text;
  } cases[] = {{0, "0"},
               {9, "9"},
               {10, "10"},
               {4294967296u, "4294967296"},
               {UINT64_MAX, "18446744073709551615"}};
  rill__bytes b;

  (void)state;
  rill__bytes_init(&b, &rill__alloc_default);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill__bytes_clear(&b);
    rill__bytes_u64(&b, cases[i].n);
    assert_int_equal(b.len, strlen(cases[i].text));
    assert_memory_equal(b.data, cases[i].text, b.len);
  }
  rill__bytes_finish(&b);
}

/* A failure sticks: what follows is ignored, and what was there stays. */
static void test_bytes_failure_sticks(void **state) {
  mem m = {.fail_at = 2};
  rill__alloc alloc = {mem_fn, &m};
  char block[100] = {0};
  rill__bytes b;

  (void)state;
  rill__bytes_init(&b, &alloc);
  rill__bytes_str(&b, "first");
  rill__bytes_add(&b, block, sizeof block);
  assert_true(b.failed);
  rill__bytes_str(&b, "x");
  assert_int_equal(b.len, 5);
  assert_memory_equal(b.data, "first", 5);
  assert_false(rill__bytes_reserve(&b, 1));
  rill__bytes_clear(&b);
  assert_false(b.failed);
  rill__bytes_add(&b, block, sizeof block);
  assert_int_equal(b.len, sizeof block);
  rill__bytes_finish(&b);
  assert_int_equal(m.blocks, 0);
}

static void test_bytes_sizes_that_do_not_fit(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__bytes b;
  size_t n = 0;

  (void)state;
  rill__bytes_init(&b, &alloc);
  rill__bytes_str(&b, "x");
  assert_false(rill__bytes_reserve(&b, SIZE_MAX));
  assert_true(b.failed);
  rill__bytes_finish(&b);
  assert_false(rill__add_size(SIZE_MAX, 1, &n));
  assert_false(rill__mul_size(SIZE_MAX / 2 + 1, 2, &n));
  assert_int_equal(n, 0);
  assert_true(rill__add_size(SIZE_MAX - 1, 1, &n));
  assert_true(n == SIZE_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bytes_grow),
      cmocka_unit_test(test_bytes_numbers),
      cmocka_unit_test(test_bytes_failure_sticks),
      cmocka_unit_test(test_bytes_sizes_that_do_not_fit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
