/* An orderly end, spread over a window. */
#include "pair.h"

#define S RILL_SEC

static void test_drain_spreads_the_closes(void **state) {
  enum { N = 100 };
  pair *p = *state;
  end *e[N];
  int order[N], n = 0;
  bool in_order = true;
  rill_time begin, last = 0;

  p->quiet = true;
  pair_begin(p);
  for (int i = 0; i < N; i++)
    e[i] = pair_open(p);
  begin = p->now;
  assert_int_equal(rill_drain(p->hub, 10 * S, p->now), 0);
  assert_int_equal(rill_drain(p->hub, 10 * S, p->now), RILL_ERR_STATE);
  assert_false(rill_is_drained(p->hub));
  while (n < N) {
    int at_once = 0;
    assert_true(rill_deadline(p->hub) <= begin + 10 * S);
    pair_pass(p, 50 * RILL_MSEC);
    for (int i = 0; i < N; i++) {
      const char *took = end_took(e[i]);
      if (*took == '\0' || strcmp(took, "eof") == 0)
        continue;
      assert_string_equal(took, "close 1001 draining");
      order[n++] = i;
      at_once++;
      end_bye(e[i], 1001, "");
      assert_int_equal(e[i]->how.cause, RILL_CAUSE_DRAIN);
      last = p->now - begin;
    }
    assert_in_range(at_once, 0, 3); /* 128 places, 200 steps */
  }
  assert_true(last > 8 * S && last <= 10 * S);
  for (int i = 1; i < N; i++)
    in_order &= order[i] > order[i - 1];
  assert_false(in_order);
  pair_turn(p);
  assert_true(rill_is_drained(p->hub));
}

static void test_drain_at_once(void **state) {
  pair *p = *state;
  end *e[5];

  pair_begin(p);
  for (int i = 0; i < 5; i++)
    e[i] = pair_open(p);
  rill_drain(p->hub, 0, p->now);
  pair_turn(p);
  for (int i = 0; i < 5; i++)
    assert_string_equal(end_took(e[i]), "close 1001 draining");
}

static void test_drain_cuts_what_is_left(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("unread");
  end *mute, *deaf, *late;

  p->config.limits.close_ms = 3000;
  pair_begin(p);
  mute = pair_open(p);
  deaf = pair_open(p);
  deaf->room = 0;
  rill_send(deaf->peer, &m);
  late = pair_accept(p); /* in the middle of a head */
  end_say(late, "GET /ws HTTP/1.1\r\n");
  rill_drain(p->hub, 2 * S, p->now);
  pair_pass(p, 2 * S);
  assert_string_equal(end_took(mute), "close 1001 draining");
  assert_int_equal(mute->closed + deaf->closed, 0);
  assert_non_null(late->conn);
  pair_pass(p, 3 * S);
  assert_int_equal(mute->closed + deaf->closed, 2);
  assert_int_equal(mute->how.cause, RILL_CAUSE_DRAIN);
  assert_int_equal(deaf->how.cause, RILL_CAUSE_DRAIN);
  assert_null(late->conn);
  assert_true(rill_is_drained(p->hub));
}

static int hold(pair *p, const event *e) {
  rill_request **kept = p->act_arg;

  if (strcmp(e->name, "request") == 0 || strcmp(e->name, "auth") == 0) {
    *kept = e->req;
    return RILL_LATER;
  }
  return 0;
}

static void test_drain_accepts_nothing_new(void **state) {
  pair *p = *state;
  end *idle, *busy, *fresh, *http;
  rill_request *kept = NULL;

  p->act = hold;
  p->act_arg = &kept;
  pair_begin(p);
  assert_int_equal(rill_handle(p->hub, "GET", "/", pair_request, p), 0);
  idle = pair_accept(p);
  busy = pair_accept(p);
  end_say(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  http = pair_accept(p);
  end_say(http, "GET /");
  rill_drain(p->hub, 5 * S, p->now);
  pair_turn(p);
  assert_string_equal(end_took(idle), "eof"); /* it had nothing to lose */
  rill_respond(kept, &(rill_response){0});
  pair_turn(p);
  assert_string_equal(end_took(busy), "200; eof");
  fresh = pair_accept(p);
  pair_turn(p);
  assert_string_equal(end_took(fresh), "503; eof");
  end_say(http, "ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: " PAIR_KEY "\r\n\r\n");
  assert_string_equal(end_took(http), "503; eof");
  assert_true(rill_is_drained(p->hub));
  assert_int_equal(rill_dial(NULL, p->hub, "ws://example.org", NULL, p->now),
                   RILL_ERR_LIMIT);
}

static void test_drain_refuses_upgrades(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_accept(p);
  end_say(e, "GET /ws HTTP/1.1\r\nHost: h\r\n");
  rill_drain(p->hub, 5 * S, p->now);
  end_say(e, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " PAIR_KEY
             "\r\n\r\n");
  assert_string_equal(end_took(e), "503; eof");
  assert_int_equal(e->opened, 0);
}

/* A verdict that comes while the hub drains opens nobody. */
static void test_drain_during_a_verdict(void **state) {
  pair *p = *state;
  rill_request *kept = NULL;
  end *e;

  p->config.authenticate = pair_authenticate;
  p->act = hold;
  p->act_arg = &kept;
  pair_begin(p);
  e = pair_accept(p);
  end_hello(e, "/ws", "");
  rill_drain(p->hub, 2 * S, p->now);
  rill_accept(kept, rill_s("late"));
  pair_turn(p);
  assert_string_equal(end_took(e), "503; eof");
  assert_int_equal(e->opened, 0);
}

/* Cut while the request is still with its hook. */
static void test_drain_outlives_a_verdict(void **state) {
  pair *p = *state;
  rill_request *kept = NULL;
  end *e;

  p->config.limits.verdict_ms = 60000;
  p->config.authenticate = pair_authenticate;
  p->act = hold;
  p->act_arg = &kept;
  pair_begin(p);
  e = pair_accept(p);
  end_hello(e, "/ws", "");
  rill_drain(p->hub, S, p->now);
  pair_pass(p, 6 * S);
  assert_null(e->conn);
  assert_true(rill_is_drained(p->hub));
  assert_int_equal(rill_accept(kept, rill_s("x")), RILL_ERR_CLOSED);
}

static void test_drain_of_an_empty_hub(void **state) {
  pair *p = *state;

  pair_begin(p);
  assert_false(rill_is_drained(p->hub));
  rill_drain(p->hub, 5 * S, p->now);
  assert_true(rill_is_drained(p->hub));
}

static void test_drain_of_dialed_peers(void **state) {
  pair *p = *state;
  end *dialing, *hello;

  pair_begin(p);
  dialing = pair_dial(p, p->hub, "ws://example.org/", NULL);
  hello = pair_dial(p, p->hub, "ws://example.org/", NULL);
  end_dialed(hello, 0);
  rill_drain(p->hub, 5 * S, p->now);
  pair_turn(p);
  assert_int_equal(dialing->how.cause, RILL_CAUSE_DRAIN);
  assert_int_equal(hello->how.cause, RILL_CAUSE_DRAIN);
  assert_true(rill_is_drained(p->hub));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_drain_spreads_the_closes),
      PAIR_TEST(test_drain_at_once),
      PAIR_TEST(test_drain_cuts_what_is_left),
      PAIR_TEST(test_drain_accepts_nothing_new),
      PAIR_TESTS(test_drain_refuses_upgrades),
      PAIR_TEST(test_drain_during_a_verdict),
      PAIR_TEST(test_drain_outlives_a_verdict),
      PAIR_TEST(test_drain_of_an_empty_hub),
      PAIR_TEST(test_drain_of_dialed_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
