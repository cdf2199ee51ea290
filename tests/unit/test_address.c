/* Admission by address. */
#include "pair.h"

static int status(pair *p, const char *address) {
  end *e = pair_accept_from(p, address, false);

  pair_turn(p);
  end_took(e);
  return e->conn == NULL || e->status != 0 ? e->status : 200;
}

static void let_go(pair *p, size_t from) {
  for (size_t i = from; i < p->nends; i++) {
    rill_conn_free(p->ends[i]->conn);
    p->ends[i]->conn = NULL;
  }
}

static void test_address_conns_of_each(void **state) {
  pair *p = *state;
  char value[256];

  p->config.limits.conns_per_address = 3;
  pair_begin(p);
  for (int i = 0; i < 3; i++)
    assert_int_equal(status(p, "192.0.2.1"), 200);
  assert_int_equal(status(p, "192.0.2.1"), 429);
  assert_string_equal(head_value(&p->ends[3]->http_head, "Content-Type", value),
                      "application/json");
  assert_null(p->ends[3]->conn); /* answered and closed */
  assert_int_equal(status(p, "192.0.2.2"), 200);
  assert_int_equal(status(p, "::ffff:192.0.2.1"), 429); /* the same */
  assert_int_equal(status(p, "::ffff:192.0.2.3"), 200);
  rill_conn_free(p->ends[0]->conn);
  p->ends[0]->conn = NULL;
  assert_int_equal(status(p, "192.0.2.1"), 200);
  assert_int_equal(status(p, "192.0.2.1"), 429);
  assert_int_equal(pair_metrics(p).limit_conns_per_address, 3);
}

static void test_address_v6_counts_as_its_64(void **state) {
  pair *p = *state;

  p->config.limits.conns_per_address = 2;
  pair_begin(p);
  assert_int_equal(status(p, "2001:db8:1:2::1"), 200);
  assert_int_equal(status(p, "2001:db8:1:2:ffff::9"), 200);
  assert_int_equal(status(p, "2001:db8:1:2::3"), 429);
  assert_int_equal(status(p, "2001:db8:1:3::1"), 200);
  assert_int_equal(status(p, "::1"), 200);
}

/* Each is told by its own text, though they are counted as one. */
static void test_address_text_is_the_conns_own(void **state) {
  static const char *const texts[] = {"2001:db8:1:2::1", "2001:db8:1:2::2",
                                      "192.0.2.9", "unix", "a pipe"};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    end *e = pair_accept_from(p, texts[i], false);
    end_hello(e, "/ws", "");
    assert_true(rill_str_eq(rill_peer_address(e->peer), rill_s(texts[i])));
    assert_int_equal(rill_peer_port(e->peer), 4711);
  }
}

static void test_address_streams_without_one(void **state) {
  pair *p = *state;

  p->config.limits.conns_per_address = 1;
  p->config.limits.address_accepts_per_sec = 1;
  p->config.limits.address_accepts_burst = 1;
  pair_begin(p);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(status(p, "unix"), 200);
    assert_int_equal(status(p, ""), 200);
    assert_int_equal(status(p, "a pipe"), 200);
  }
}

static void test_address_rate_of_each(void **state) {
  pair *p = *state;

  p->config.limits.address_accepts_per_sec = 10;
  p->config.limits.address_accepts_burst = 3;
  pair_begin(p);
  for (int i = 0; i < 3; i++)
    assert_int_equal(status(p, "192.0.2.1"), 200);
  assert_int_equal(status(p, "192.0.2.1"), 429);
  assert_int_equal(status(p, "192.0.2.2"), 200);
  let_go(p, 0); /* going and coming again does not help */
  assert_int_equal(status(p, "192.0.2.1"), 429);
  pair_pass(p, 100 * RILL_MSEC - 1);
  assert_int_equal(status(p, "192.0.2.1"), 429);
  pair_pass(p, 1);
  assert_int_equal(status(p, "192.0.2.1"), 200);
  assert_int_equal(status(p, "192.0.2.1"), 429);
  pair_pass(p, 3600 * RILL_SEC); /* no more than the burst is saved up */
  for (int i = 0; i < 3; i++)
    assert_int_equal(status(p, "192.0.2.1"), 200);
  assert_int_equal(status(p, "192.0.2.1"), 429);
  assert_int_equal(pair_metrics(p).limit_address_accepts_per_sec, 5);
}

/* Records of addresses that have gone do not pile up. */
static void test_address_records_go(void **state) {
  pair *p = *state;
  char text[64];
  size_t few = 0;

  p->config.limits.address_accepts_per_sec = 10;
  pair_begin(p);
  p->quiet = true;
  for (int i = 0; i < 3000; i++) {
    snprintf(text, sizeof text, "10.%d.%d.1", i >> 8, i & 255);
    assert_int_equal(status(p, text), 200);
    let_go(p, p->nends - 1);
    pair_pass(p, 50 * RILL_MSEC);
    if (i == 200)
      few = p->mem.blocks;
  }
  assert_in_range(p->mem.blocks, 0, few + 16);
}

static void test_address_of_a_proxy_is_not_limited(void **state) {
  static const char *const proxies[] = {"10.0.0.0/8"};
  pair *p = *state;

  p->config.limits.conns_per_address = 2;
  p->config.limits.address_accepts_per_sec = 1;
  p->config.limits.address_accepts_burst = 2;
  p->config.proxies = proxies;
  p->config.nproxies = 1;
  pair_begin(p);
  for (int i = 0; i < 10; i++)
    assert_int_equal(status(p, "10.1.2.3"), 200);
  for (int i = 0; i < 3; i++)
    assert_int_equal(status(p, "192.0.2.1"), i < 2 ? 200 : 429);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_address_conns_of_each),
      PAIR_TEST(test_address_v6_counts_as_its_64),
      PAIR_TEST(test_address_text_is_the_conns_own),
      PAIR_TEST(test_address_streams_without_one),
      PAIR_TEST(test_address_rate_of_each),
      PAIR_TEST(test_address_records_go),
      PAIR_TEST(test_address_of_a_proxy_is_not_limited),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
