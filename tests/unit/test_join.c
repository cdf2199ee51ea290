/* Joins that ask first. */
#include "pair.h"

typedef struct rule {
  int rv;     /* of authorize_join */
  int inside; /* 1 allow, 2 deny from inside of the hook, 3 leave */
} rule;

static int decide(pair *p, const event *e) {
  rule *r = p->act_arg;

  if (strcmp(e->name, "authorize") != 0)
    return 0;
  if (r->inside == 1)
    assert_int_equal(rill_join_allow(e->peer, e->room), 0);
  if (r->inside == 2)
    assert_int_equal(rill_join_deny(e->peer, e->room, RILL_ERR_LIMIT), 0);
  if (r->inside == 3)
    rill_cut(e->peer);
  return r->rv;
}

static end *begin(pair *p, rule *r) {
  p->config.authorize_join = pair_authorize;
  pair_begin(p);
  p->act = decide;
  p->act_arg = r;
  return pair_open(p);
}

static void test_join_verdicts_at_once(void **state) {
  pair *p = *state;
  rule r = {0};
  end *e = begin(p, &r);

  assert_int_equal(rill_join_request(e->peer, rill_s("a")), 0);
  assert_false(rill_in_room(e->peer, rill_s("a")));
  assert_string_equal(pair_log(p), ""); /* the hook runs in the next tick */
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 authorize a; 0 joined a");
  assert_true(rill_in_room(e->peer, rill_s("a")));
  r.rv = RILL_ERR_FORBIDDEN;
  rill_join_request(e->peer, rill_s("b"));
  pair_turn(p);
  assert_string_equal(pair_log(p),
                      "0 authorize b; 0 joined b RILL_ERR_FORBIDDEN");
  assert_false(rill_in_room(e->peer, rill_s("b")));
  r = (rule){RILL_LATER, 1};
  rill_join_request(e->peer, rill_s("c"));
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 authorize c; 0 joined c");
  r.inside = 2;
  rill_join_request(e->peer, rill_s("d"));
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 authorize d; 0 joined d RILL_ERR_LIMIT");
}

static void test_join_verdicts_later(void **state) {
  pair *p = *state;
  rule r = {RILL_LATER, 0};
  end *e = begin(p, &r);

  assert_int_equal(rill_join_allow(e->peer, rill_s("a")), RILL_ERR_NOT_FOUND);
  rill_join_request(e->peer, rill_s("a"));
  rill_join_request(e->peer, rill_s("b"));
  rill_join_request(e->peer, rill_s("a"));
  assert_int_equal(rill_join_allow(e->peer, rill_s("a")), RILL_ERR_NOT_FOUND);
  pair_turn(p);
  assert_string_equal(pair_log(p),
                      "0 authorize a; 0 authorize b; 0 authorize a");
  /* told as they come */
  assert_int_equal(rill_join_deny(e->peer, rill_s("b"), RILL_ERR_LIMIT), 0);
  assert_int_equal(rill_join_deny(e->peer, rill_s("b"), 0), RILL_ERR_NOT_FOUND);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 joined b RILL_ERR_LIMIT");
  assert_int_equal(rill_join_allow(e->peer, rill_s("a")), 0);
  assert_true(rill_in_room(e->peer, rill_s("a")));
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 joined a");
  assert_int_equal(rill_join_deny(e->peer, rill_s("a"), 7), 0);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 joined a RILL_ERR_FORBIDDEN");
  assert_true(rill_in_room(e->peer, rill_s("a")));
}

static void test_join_peer_leaves_meanwhile(void **state) {
  pair *p = *state;
  rule r = {RILL_LATER, 0};
  end *e = begin(p, &r);

  rill_join_request(e->peer, rill_s("a"));
  rill_join_request(e->peer, rill_s("b"));
  pair_turn(p);
  pair_log(p);
  rill_join_allow(e->peer, rill_s("a"));
  rill_close(e->peer, 1000, NULL);
  assert_int_equal(rill_join_allow(e->peer, rill_s("b")), RILL_ERR_CLOSED);
  end_bye(e, 1000, "");
  assert_string_equal(pair_log(p), "0 close 2 1000/1000");
  assert_int_equal(pair_metrics(p).rooms, 0);
  /* and in the hook itself */
  r = (rule){0, 3};
  e = pair_open(p);
  rill_join_request(e->peer, rill_s("a"));
  rill_join_request(e->peer, rill_s("b"));
  pair_turn(p);
  assert_string_equal(pair_log(p), "1 authorize a; 1 close 2 1006/0");
  assert_int_equal(pair_metrics(p).rooms, 0);
}

static int ask_again(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "joined") == 0)
    rill_join_request(e->peer, e->room);
  return 0;
}

/* Handlers that keep each other going leave the hub time for others. */
static void test_join_asking_for_ever(void **state) {
  pair *p = *state;
  rule r = {0};
  end *e = begin(p, &r);

  p->act = ask_again;
  rill_join_request(e->peer, rill_s("again"));
  p->quiet = true;
  for (int i = 0; i < 10; i++)
    pair_tick(p, p->hub); /* each comes back */
  p->act = NULL;
  pair_turn(p);
}

static void test_join_without_a_hook(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  rill_join_request(e->peer, rill_s("free"));
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 joined free");
}

static void test_join_request_that_cannot_be_met(void **state) {
  pair *p = *state;
  rule r = {0};
  end *e;

  p->config.limits.rooms_per_peer = 1;
  e = begin(p, &r);
  rill_join(e->peer, rill_s("one"));
  rill_join_request(e->peer, rill_s("two"));
  rill_join_request(e->peer, rill_s("one"));
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 authorize two; 0 authorize one; "
                                   "0 joined two RILL_ERR_LIMIT; "
                                   "0 joined one");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_join_verdicts_at_once),
      PAIR_TEST(test_join_verdicts_later),
      PAIR_TEST(test_join_peer_leaves_meanwhile),
      PAIR_TEST(test_join_asking_for_ever),
      PAIR_TEST(test_join_without_a_hook),
      PAIR_TEST(test_join_request_that_cannot_be_met),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
