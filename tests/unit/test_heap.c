#include "pair.h"

#include "base/heap.h"

static void check(const rill__heap *h) {
  for (uint32_t i = 0; i < h->len; i++) {
    MUST(h->v[i].timer->index == i);
    MUST(h->v[i].timer->due == h->v[i].due);
    MUST(i == 0 || h->v[(i - 1) / 4].due <= h->v[i].due);
  }
}

/* Against an array that is searched: random arms, moves, clears and pops. */
static void test_heap_does_as_a_plain_array(void **state) {
  enum { N = 300 };
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  uint64_t seed = 88172645463325252u;
  rill__timer t[N];
  rill__heap h;

  (void)state;
  rill__heap_init(&h, &alloc);
  assert_true(rill__heap_reserve(&h, N));
  for (uint32_t i = 0; i < N; i++)
    rill__timer_init(&t[i], i);
  assert_int_equal(rill__heap_next(&h), RILL_NEVER);
  assert_null(rill__heap_pop(&h, RILL_NEVER - 1));
  for (int step = 0; step < 100000; step++) {
    uint64_t r = xorshift(&seed);
    uint32_t armed = 0;
    rill_time next = RILL_NEVER;
    if (r % 4 > 0) {
      /* few values, so that many are equal */
      rill__heap_set(&h, &t[(r >> 8) % N],
                     r % 4 == 1 ? RILL_NEVER : (r >> 20) % 500);
    } else {
      rill_time now = (r >> 8) % 500;
      rill__timer *due = rill__heap_pop(&h, now);
      for (int i = 0; i < N; i++)
        if (t[i].due < next)
          next = t[i].due;
      if (due == NULL) {
        assert_true(next > now);
      } else {
        assert_int_equal(due->due, RILL_NEVER);
        assert_ptr_equal(due, &t[due->kind]);
      }
      next = RILL_NEVER;
    }
    for (int i = 0; i < N; i++) {
      armed += t[i].due != RILL_NEVER;
      if (t[i].due < next)
        next = t[i].due;
    }
    MUST(h.len == armed);
    MUST(rill__heap_next(&h) == next);
    if (step % 100 == 0)
      check(&h);
  }
  rill__heap_finish(&h);
  assert_int_equal(m.blocks, 0);
}

static void test_heap_a_million_timers(void **state) {
  enum { N = 1000000 };
  rill__timer *t = malloc(N * sizeof *t);
  uint64_t seed = 1234567;
  rill_time last = 0;
  rill__timer *due;
  rill__heap h;
  size_t n = 0;

  (void)state;
  assert_non_null(t);
  rill__heap_init(&h, &rill__alloc_default);
  assert_true(rill__heap_reserve(&h, N));
  for (size_t i = 0; i < N; i++) {
    rill__timer_init(&t[i], 0);
    rill__heap_set(&h, &t[i], xorshift(&seed) >> 20);
  }
  assert_int_equal(h.len, N);
  for (size_t i = 0; i < N; i += 3) /* a third moves, a ninth goes */
    rill__heap_set(&h, &t[i], i % 9 == 0 ? RILL_NEVER : xorshift(&seed) >> 20);
  while ((due = rill__heap_pop(&h, RILL_NEVER - 1)) != NULL) {
    rill_time at = rill__heap_next(&h);
    MUST(at >= last);
    last = at;
    n++;
  }
  assert_int_equal(n, N - (N + 8) / 9);
  rill__heap_finish(&h);
  free(t);
}

static void test_heap_many_at_one_instant(void **state) {
  enum { N = 1000 };
  rill__timer t[N];
  rill__heap h;
  size_t n = 0;

  (void)state;
  rill__heap_init(&h, &rill__alloc_default);
  assert_true(rill__heap_reserve(&h, N));
  for (size_t i = 0; i < N; i++) {
    rill__timer_init(&t[i], 0);
    rill__heap_set(&h, &t[i], 77);
  }
  assert_null(rill__heap_pop(&h, 76));
  while (rill__heap_pop(&h, 77) != NULL)
    n++;
  assert_int_equal(n, N);
  for (size_t i = 0; i < N; i++)
    assert_int_equal(t[i].due, RILL_NEVER);
  rill__heap_finish(&h);
}

static void test_heap_without_memory(void **state) {
  mem m = {.fail_at = 2};
  rill__alloc alloc = {mem_fn, &m};
  rill__timer t;
  rill__heap h;

  (void)state;
  rill__heap_init(&h, &alloc);
  assert_true(rill__heap_reserve(&h, 1));
  rill__timer_init(&t, 0);
  rill__heap_set(&h, &t, 5);
  assert_false(rill__heap_reserve(&h, 1000));
  assert_ptr_equal(rill__heap_pop(&h, 5), &t);
  rill__heap_finish(&h);
  assert_int_equal(m.blocks, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_heap_does_as_a_plain_array),
      cmocka_unit_test(test_heap_a_million_timers),
      cmocka_unit_test(test_heap_many_at_one_instant),
      cmocka_unit_test(test_heap_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
