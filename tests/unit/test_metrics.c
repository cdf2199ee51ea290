/* What a hub counts, and how it tells it. */
#include "pair.h"

static void test_metrics_add_up(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("four");
  rill_metrics n;
  end *a, *b;

  pair_begin(p);
  n = pair_metrics(p);
  for (size_t i = 0; i < sizeof n / sizeof(uint64_t); i++)
    assert_int_equal(((uint64_t *)(void *)&n)[i], 0);
  a = pair_open(p);
  b = pair_open(p);
  rill_join(a->peer, rill_s("r"));
  rill_send_all(p->hub, &m);
  pair_turn(p);
  end_text(b, "in");
  n = pair_metrics(p);
  assert_int_equal(n.conns, 2);
  assert_int_equal(n.conns_total, 2);
  assert_int_equal(n.peers, 2);
  assert_int_equal(n.peers_total, 2);
  assert_int_equal(n.rooms, 1);
  assert_int_equal(n.requests_total, 2);
  assert_int_equal(n.messages_in_total, 1);
  assert_int_equal(n.messages_out_total, 2);
  assert_int_equal(n.bytes_in_total, a->tx.len + b->tx.len);
  assert_int_equal(n.bytes_out_total, a->rx.len + b->rx.len);
  assert_int_equal(n.timers, 2);
  end_put(b, 0x01, "half", 4);
  pair_turn(p);
  assert_true(pair_metrics(p).assembly_bytes >= 4);
  a->room = 0;
  rill_send(a->peer, &m);
  assert_true(pair_metrics(p).queued_bytes >= 6);
  end_bye(b, 1000, "");
  rill_cut(a->peer);
  pair_turn(p);
  n = pair_metrics(p);
  assert_int_equal(n.conns, 0);
  assert_int_equal(n.peers, 0);
  assert_int_equal(n.rooms, 0);
  assert_int_equal(n.timers, 0);
  assert_int_equal(n.assembly_bytes, 0);
  assert_int_equal(n.conns_total, 2);
  assert_int_equal(n.closed[RILL_CAUSE_PEER], 1);
  assert_int_equal(n.closed[RILL_CAUSE_HOST], 1);
}

static bool is_name(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!((s[i] >= 'a' && s[i] <= 'z') || s[i] == '_' ||
          (i > 0 && s[i] >= '0' && s[i] <= '9')))
      return false;
  return n > 0;
}

/* Each line is a comment or a sample whose HELP and TYPE came before it. */
static void test_metrics_text_is_prometheus(void **state) {
  pair *p = *state;
  static char text[65536];
  char family[64] = "";
  bool counter = false;
  size_t len, samples = 0, count = 0;

  pair_begin(p);
  pair_open(p);
  len = rill_metrics_text(p->hub, text, sizeof text);
  assert_int_equal(len, strlen(text));
  assert_int_equal(text[len - 1], '\n');
  for (char *line = text, *stop; *line != '\0'; line = stop + 1) {
    stop = strchr(line, '\n');
    *stop = '\0';
    if (strncmp(line, "# HELP ", 7) == 0) {
      snprintf(family, sizeof family, "%.*s", (int)strcspn(line + 7, " "),
               line + 7);
      assert_true(strncmp(family, "rill_", 5) == 0);
      assert_true(is_name(family, strlen(family)));
      continue;
    }
    assert_int_equal(strncmp(strchr(line, 'r'), family, strlen(family)), 0);
    if (strncmp(line, "# TYPE ", 7) == 0) {
      counter = strstr(line, " counter") != NULL;
      assert_true(counter || strstr(line, " gauge") != NULL);
      assert_int_equal(counter, strstr(family, "_total") != NULL);
      continue;
    }
    samples++;
    assert_int_equal(strspn(strrchr(line, ' ') + 1, "0123456789"),
                     strlen(strrchr(line, ' ') + 1));
  }
#define RILL_X(name, type, help) count++;
  RILL_METRICS(RILL_X)
#undef RILL_X
#define RILL_X(name, def, max, outcome) count++;
  RILL_LIMITS(RILL_X)
#undef RILL_X
  assert_int_equal(samples, count + RILL_CAUSE_REFUSED);
}

static void test_metrics_text_has_the_numbers(void **state) {
  pair *p = *state;
  static char text[65536];

  pair_begin(p);
  pair_open(p);
  rill_cut(pair_open(p)->peer);
  pair_turn(p);
  rill_metrics_text(p->hub, text, sizeof text);
  assert_non_null(strstr(text, "\nrill_peers 1\n"));
  assert_non_null(strstr(text, "\nrill_peers_total 2\n"));
  assert_non_null(strstr(text, "\nrill_closed_total{cause=\"HOST\"} 1\n"));
  assert_non_null(
      strstr(text, "\nrill_limit_reached_total{limit=\"conns\"} 0\n"));
}

/* As snprintf: cut at any length, terminated, the whole length told. */
static void test_metrics_text_is_cut(void **state) {
  pair *p = *state;
  static char whole[65536];
  size_t len;

  pair_begin(p);
  len = rill_metrics_text(p->hub, whole, sizeof whole);
  assert_int_equal(rill_metrics_text(p->hub, NULL, 0), len);
  for (size_t n = 1; n < len + 3; n += n < 200 || n > len - 3 ? 1 : 97) {
    char *exact = malloc(n);
    assert_non_null(exact);
    assert_int_equal(rill_metrics_text(p->hub, exact, n), len);
    assert_int_equal(strlen(exact), n - 1 < len ? n - 1 : len);
    assert_memory_equal(exact, whole, strlen(exact));
    free(exact);
  }
}

static void test_metrics_causes_have_words(void **state) {
  (void)state;
  for (int i = 0; i <= RILL_CAUSE_REFUSED; i++)
    assert_true(strlen(rill_cause_text((rill_cause)i)) > 2);
  assert_string_equal(rill_cause_text((rill_cause)99), "not closed");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_metrics_add_up),
      PAIR_TEST(test_metrics_text_is_prometheus),
      PAIR_TEST(test_metrics_text_has_the_numbers),
      PAIR_TEST(test_metrics_text_is_cut),
      cmocka_unit_test(test_metrics_causes_have_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
