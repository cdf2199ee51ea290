#include "pair.h"

#include "base/chunk.h"

static void test_chunk_is_shared(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__chunk_pool pool;
  rill__chunk *c;

  (void)state;
  rill__chunk_pool_init(&pool, &alloc);
  c = rill__chunk_new(&pool, 10);
  assert_int_equal(c->cap, RILL__CHUNK_STD);
  assert_int_equal(c->refs, 1);
  assert_int_equal(rill__chunk_room(c), RILL__CHUNK_STD);
  assert_int_equal(pool.held, RILL__CHUNK_STD);
  rill__chunk_ref(c);
  rill__chunk_unref(c);
  assert_int_equal(pool.held, RILL__CHUNK_STD);
  rill__chunk_unref(c);
  rill__chunk_unref(NULL);
  assert_int_equal(pool.held, 0); /* a spare is not held */
  assert_int_equal(m.blocks, 1);
  assert_ptr_equal(rill__chunk_new(&pool, RILL__CHUNK_STD), c);
  assert_int_equal(c->used, 0);
  rill__chunk_unref(c);
  rill__chunk_pool_finish(&pool);
  assert_int_equal(m.blocks, 0);
}

static void test_chunk_spares_are_few(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__chunk_pool pool;
  rill__chunk *c[64];

  (void)state;
  rill__chunk_pool_init(&pool, &alloc);
  for (int i = 0; i < 64; i++)
    c[i] = rill__chunk_new(&pool, 1);
  assert_int_equal(pool.held, 64 * RILL__CHUNK_STD);
  for (int i = 0; i < 64; i++)
    rill__chunk_unref(c[i]);
  assert_true(m.bytes <= 5 * (RILL__CHUNK_STD + sizeof(rill__chunk)));
  rill__chunk_pool_finish(&pool);
  assert_int_equal(m.blocks, 0);
}

static void test_chunk_large_spares_are_trimmed(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__chunk_pool pool;
  rill__chunk *c[40], *again;

  (void)state;
  rill__chunk_pool_init(&pool, &alloc);
  for (int i = 0; i < 40; i++)
    c[i] = rill__chunk_new(&pool, 1 << 20);
  for (int i = 0; i < 40; i++)
    rill__chunk_unref(c[i]);
  assert_true(m.bytes <= (17u << 20));
  assert_true(m.bytes >= (1u << 20));
  assert_int_equal(pool.held, 0);
  again = rill__chunk_new(&pool, (1 << 20) - 100);
  assert_true(again->cap >= (1 << 20) - 100);
  assert_int_equal(pool.held, again->cap);
  rill__chunk_unref(again);
  again = rill__chunk_new(&pool, 100000); /* not one ten times as large */
  assert_true(again->cap <= 200000);
  rill__chunk_unref(again);
  rill__chunk_pool_trim(&pool); /* one was used meanwhile */
  assert_true(rill__chunk_pool_trim(&pool));
  assert_true(m.bytes < (1u << 20));
  rill__chunk_pool_finish(&pool);
  assert_int_equal(m.blocks, 0);
}

static void test_chunk_small_and_grown(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__chunk_pool pool;
  rill__chunk *c;

  (void)state;
  rill__chunk_pool_init(&pool, &alloc);
  c = rill__chunk_small(&pool, 100);
  assert_int_equal(c->cap, 100);
  assert_int_equal(pool.held, 100);
  memset(c->data, 'x', 100);
  c->used = 100;
  c = rill__chunk_grow(c, 50);
  assert_int_equal(c->cap, 100);
  c = rill__chunk_grow(c, 5000);
  assert_int_equal(c->cap, 5000);
  assert_int_equal(c->used, 100);
  assert_int_equal(c->data[99], 'x');
  assert_int_equal(pool.held, 5000);
  assert_null(rill__chunk_grow(c, (size_t)RILL__CHUNK_MAX + 1));
  m.fail_at = m.calls + 1;
  assert_null(rill__chunk_grow(c, 6000));
  assert_int_equal(pool.held, 5000);
  rill__chunk_unref(c);
  assert_int_equal(pool.held, 0);
  c = rill__chunk_small(&pool, RILL__CHUNK_STD + 1);
  assert_int_equal(pool.held, c->cap);
  rill__chunk_unref(c);
  rill__chunk_pool_finish(&pool);
  assert_int_equal(m.blocks, 0);
}

static void test_chunk_without_memory(void **state) {
  mem m = {0};
  rill__alloc alloc = {mem_fn, &m};
  rill__chunk_pool pool;

  (void)state;
  rill__chunk_pool_init(&pool, &alloc);
  assert_null(rill__chunk_new(&pool, (size_t)RILL__CHUNK_MAX + 1));
  assert_null(rill__chunk_new(&pool, SIZE_MAX));
  assert_null(rill__chunk_small(&pool, SIZE_MAX));
  for (int i = 0; i < 3; i++) {
    m.fail_at = m.calls + 1;
    assert_null(i == 0   ? rill__chunk_new(&pool, 1)
                : i == 1 ? rill__chunk_new(&pool, 1 << 20)
                         : rill__chunk_small(&pool, 1));
  }
  assert_int_equal(pool.held, 0);
  rill__chunk_pool_finish(&pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chunk_is_shared),
      cmocka_unit_test(test_chunk_spares_are_few),
      cmocka_unit_test(test_chunk_large_spares_are_trimmed),
      cmocka_unit_test(test_chunk_small_and_grown),
      cmocka_unit_test(test_chunk_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
