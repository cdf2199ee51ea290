/* Messages to one: full queues and their policies, keys, sharing. */
#include "pair.h"

static char big[200000];

static rill_msg number(char *text, int n) {
  sprintf(text, "%d", n);
  return rill_text(text);
}

static void test_send_arguments(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x");
  end *e;

  pair_begin(p);
  e = pair_open(p);
  m.kind = (rill_kind)0;
  assert_int_equal(rill_send(e->peer, &m), RILL_ERR_ARG);
  m.kind = (rill_kind)3;
  assert_int_equal(rill_send(e->peer, &m), RILL_ERR_ARG);
  m = (rill_msg){.kind = RILL_BINARY};
  assert_int_equal(rill_send(e->peer, &m), 0);
  m.kind = RILL_TEXT;
  m.data = "";
  assert_int_equal(rill_send(e->peer, &m), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "binary; text");
}

static void test_send_every_size(void **state) {
  static const size_t sizes[] = {0,     1,     125,   126,   127,
                                 65535, 65536, 65537, 200000};
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    rill_msg m = {.data = big, .len = sizes[i], .kind = RILL_BINARY};
    size_t head = sizes[i] < 126 ? 2 : sizes[i] < 65536 ? 4 : 10;
    frame f;
    memset(big, (int)i, sizeof big);
    assert_true(rill_send(e->peer, &m) >= 0);
    assert_int_equal(rill_peer_queued(e->peer), head + sizes[i]);
    pair_turn(p);
    assert_true(end_next_frame(e, &f));
    assert_int_equal(f.len, sizes[i]);
    assert_memory_equal(f.data, big, f.len);
  }
}

typedef struct blocked {
  pair *p;
  end *e;
  char text[16];
} blocked;

/* A peer that reads nothing: the limit is five messages. */
static void begin(blocked *b, pair *p) {
  p->config.limits.queue_count = 5;
  pair_begin(p);
  b->p = p;
  b->e = pair_open(p);
  b->e->room = 0;
}

static int send_one(blocked *b, int n, rill_overflow policy) {
  rill_msg m = number(b->text, n);

  m.overflow = policy;
  return rill_send(b->e->peer, &m);
}

static void test_send_disconnects(void **state) {
  pair *p = *state;
  blocked b;

  begin(&b, p);
  for (int i = 0; i < 5; i++)
    assert_int_equal(send_one(&b, i, RILL_OVERFLOW_DEFAULT), 0);
  assert_int_equal(send_one(&b, 5, RILL_OVERFLOW_DEFAULT), RILL_ERR_CLOSED);
  assert_false(rill_is_open(b.e->peer));
  end_room(b.e, SIZE_MAX);
  assert_string_equal(end_took(b.e), "close 4008 slow; eof");
  assert_string_equal(pair_log(p), "0 close 10 1006/4008");
  assert_string_equal(b.e->why, "slow");
  assert_int_equal(pair_metrics(p).slow_closed_total, 1);
}

static void test_send_drops_the_newest(void **state) {
  pair *p = *state;
  blocked b;

  begin(&b, p);
  for (int i = 0; i < 9; i++)
    assert_int_equal(send_one(&b, i, RILL_DROP_NEWEST),
                     i < 5 ? 0 : RILL_ERR_FULL);
  end_room(b.e, SIZE_MAX);
  assert_string_equal(end_took(b.e), "text 0; text 1; text 2; text 3; text 4");
  assert_int_equal(pair_metrics(p).dropped_newest_total, 4);
  assert_int_equal(b.e->closed, 0);
}

static void test_send_drops_the_oldest(void **state) {
  pair *p = *state;
  blocked b;

  begin(&b, p);
  for (int i = 0; i < 9; i++)
    assert_int_equal(send_one(&b, i, RILL_DROP_OLDEST), 0);
  end_room(b.e, SIZE_MAX);
  assert_string_equal(end_took(b.e), "text 4; text 5; text 6; text 7; text 8");
  assert_int_equal(pair_metrics(p).dropped_oldest_total, 4);
}

/* What is on the wire in part stays whole, at every byte. */
static void test_send_drops_no_half_message(void **state) {
  pair *p = *state;

  for (size_t taken = 0; taken <= 9; taken++) {
    blocked b;
    begin(&b, p);
    for (int i = 0; i < 5; i++)
      send_one(&b, i, RILL_DROP_OLDEST);
    rill_ping(b.e->peer); /* control frames stay, too */
    end_room(b.e, taken);
    for (int i = 5; i < 14; i++)
      assert_int_equal(send_one(&b, i, RILL_DROP_OLDEST), 0);
    end_room(b.e, SIZE_MAX);
    {
      const char *took = end_took(b.e);
      size_t whole = (taken + 2) / 3; /* messages of three bytes */
      char expected[200] = "", one[32];
      for (size_t i = 0; i < whole; i++) {
        snprintf(one, sizeof one, "text %zu; ", i);
        strcat(expected, one);
      }
      strcat(expected, "ping; text 9; text 10; text 11; text 12; text 13");
      assert_string_equal(took, expected);
    }
    pair_reset(p);
  }
}

static void test_send_policy_of_the_hub(void **state) {
  pair *p = *state;
  blocked b;

  p->config.overflow = RILL_DROP_NEWEST;
  begin(&b, p);
  for (int i = 0; i < 5; i++)
    send_one(&b, i, RILL_OVERFLOW_DEFAULT);
  assert_int_equal(send_one(&b, 5, RILL_OVERFLOW_DEFAULT), RILL_ERR_FULL);
  assert_int_equal(send_one(&b, 6, RILL_DROP_OLDEST), 0);
  assert_int_equal(send_one(&b, 7, RILL_DISCONNECT), RILL_ERR_CLOSED);
}

static void test_send_first_message_is_always_taken(void **state) {
  pair *p = *state;
  rill_msg m = {.data = big, .len = 100000, .kind = RILL_BINARY};
  end *e;

  p->config.limits.queue_bytes = 1000;
  pair_begin(p);
  e = pair_open(p);
  e->room = 0;
  assert_true(rill_send(e->peer, &m) >= 0);
  m.overflow = RILL_DROP_OLDEST;
  assert_int_equal(rill_send(e->peer, &m), RILL_BUSY); /* takes its place */
  m.overflow = RILL_DROP_NEWEST;
  assert_int_equal(rill_send(e->peer, &m), RILL_ERR_FULL);
  end_room(e, 5);
  m.overflow = RILL_DROP_OLDEST; /* no room beside the half one */
  assert_int_equal(rill_send(e->peer, &m), RILL_ERR_FULL);
  end_room(e, SIZE_MAX);
  assert_string_equal(end_took(e), "binary #100000");
  assert_int_equal(pair_metrics(p).dropped_oldest_total, 1);
  assert_int_equal(pair_metrics(p).dropped_newest_total, 2);
}

/* Memory that a dropped message had is not written over while it is read. */
static void test_send_dropping_all_leaves_the_new_one_whole(void **state) {
  pair *p = *state;
  rill_msg m = {.data = big, .kind = RILL_BINARY, .overflow = RILL_DROP_OLDEST};
  end *a, *b;
  frame f;

  p->config.limits.queue_bytes = 10000;
  pair_begin(p);
  a = pair_open(p);
  b = pair_open(p);
  a->room = 0;
  memset(big, 'x', sizeof big);
  m.len = 1900;
  for (int i = 0; i < 5; i++)
    rill_send(a->peer, &m);
  memset(big, 'a', sizeof big);
  m.len = 9000; /* all others go for this one */
  assert_int_equal(rill_send(a->peer, &m), 0);
  memset(big, 'b', sizeof big);
  m.len = 9500; /* to another */
  rill_send(b->peer, &m);
  rill_send(b->peer, &m);
  end_room(a, SIZE_MAX);
  assert_true(end_next_frame(a, &f));
  assert_int_equal(f.len, 9000);
  for (size_t i = 0; i < f.len; i++)
    MUST(f.data[i] == 'a');
}

static void test_send_busy_and_on_drain(void **state) {
  pair *p = *state;
  blocked b;

  p->config.limits.soft_count = 3;
  begin(&b, p);
  assert_int_equal(send_one(&b, 0, 0), 0);
  assert_int_equal(send_one(&b, 1, 0), 0);
  assert_int_equal(send_one(&b, 2, 0), RILL_BUSY);
  assert_int_equal(send_one(&b, 3, 0), RILL_BUSY);
  pair_turn(p);
  assert_int_equal(rill_wants(b.e->conn), RILL_WANT_WRITE); /* no READ */
  end_text(b.e, "unread");
  assert_string_equal(pair_log(p), "");
  end_room(b.e, 6); /* two of four: not below the half yet */
  assert_string_equal(pair_log(p), "");
  end_room(b.e, 3); /* one left: reading goes on */
  assert_string_equal(pair_log(p), "0 text unread");
  end_room(b.e, SIZE_MAX);
  assert_string_equal(pair_log(p), "0 drain");
  assert_string_equal(end_took(b.e), "text 0; text 1; text 2; text 3");
  send_one(&b, 4, 0);
  pair_turn(p);
  assert_string_equal(pair_log(p), ""); /* told once */
}

static int refill(pair *p, const event *e) {
  rill_msg m = rill_text("again");
  int *left = p->act_arg;

  if (strcmp(e->name, "drain") == 0)
    while ((*left)-- > 0 && rill_send(e->peer, &m) != RILL_BUSY)
      ;
  return 0;
}

static void test_send_from_on_drain(void **state) {
  pair *p = *state;
  int left = 1000;
  blocked b;

  p->config.limits.soft_count = 4;
  begin(&b, p);
  p->act = refill;
  p->act_arg = &left;
  while (send_one(&b, 0, 0) == 0)
    ;
  p->quiet = true;
  end_room(b.e, SIZE_MAX);
  assert_true(left <= 0);
  assert_int_equal(rill_peer_queued(b.e->peer), 0);
}

static void test_send_keyed_replaces_the_unsent(void **state) {
  pair *p = *state;
  end *e;
  char text[16];

  pair_begin(p);
  e = pair_open(p);
  e->room = 0;
  for (int i = 0; i < 10; i++) {
    rill_msg m = number(text, i);
    m.key = i % 3 == 0 ? rill_s("a") : i % 3 == 1 ? rill_s("b") : rill_s("");
    assert_int_equal(rill_send(e->peer, &m), 0);
    if (i == 3) /* the first bytes of "3" are on the wire: it stays */
      end_room(e, 1);
  }
  end_room(e, SIZE_MAX);
  assert_string_equal(end_took(e), "text 3; text 7; text 2; text 5; text 9; "
                                   "text 8");
  assert_int_equal(pair_metrics(p).conflated_total, 4);
}

static void test_send_keys_are_per_peer_and_exact(void **state) {
  pair *p = *state;
  end *a, *b;
  rill_msg m = rill_text("1");

  pair_begin(p);
  a = pair_open(p);
  b = pair_open(p);
  a->room = b->room = 0;
  m.key = rill_s("k");
  rill_send(a->peer, &m);
  rill_send(b->peer, &m);
  m = rill_text("2");
  m.key = rill_s("k2");
  rill_send(a->peer, &m);
  m = rill_text("3");
  m.key = rill_s("K");
  rill_send(a->peer, &m);
  end_room(a, SIZE_MAX);
  end_room(b, SIZE_MAX);
  assert_string_equal(end_took(a), "text 1; text 2; text 3");
  assert_string_equal(end_took(b), "text 1");
}

/* A replacement that is longer does not pass the limit of the queue. */
static void test_send_keyed_keeps_the_limit(void **state) {
  pair *p = *state;
  rill_msg m = {.data = big, .kind = RILL_BINARY, .key = RILL_STR("k")};
  end *e;

  p->config.limits.queue_bytes = 10000;
  p->config.overflow = RILL_DROP_NEWEST;
  pair_begin(p);
  e = pair_open(p);
  e->room = 0;
  big[0] = 1;
  for (char key = 'a'; key < 'f'; key++) {
    m.key = (rill_str){&key, 1};
    m.len = 1;
    rill_send(e->peer, &m);
  }
  for (char key = 'a'; key < 'f'; key++) {
    m.key = (rill_str){&key, 1};
    m.len = 4000;
    assert_int_equal(rill_send(e->peer, &m), key < 'c' ? 0 : RILL_ERR_FULL);
  }
  assert_true(rill_peer_queued(e->peer) <= 10000);
  end_room(e,
           SIZE_MAX); /* what did not fit has not taken the old one's place */
  assert_string_equal(end_took(e), "binary #4000; binary #4000; binary \x01; "
                                   "binary \x01; binary \x01");
}

static int echo(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "message") == 0) {
    rill_msg as_text = *e->msg;
    assert_true(rill_send(e->peer, e->msg) >= 0);
    as_text.kind = e->msg->kind == RILL_TEXT ? RILL_BINARY : RILL_TEXT;
    assert_true(rill_send(e->peer, &as_text) >= 0); /* has its own header */
    assert_true(rill_send(e->peer, e->msg) >= 0);
  }
  return 0;
}

static void test_send_shares_what_it_was_given(void **state) {
  pair *p = *state;
  rill_iov iov[8];
  size_t held;
  end *e;

  p->config.limits.message_bytes = 1 << 20;
  pair_begin(p);
  e = pair_open(p);
  p->act = echo;
  e->room = 0;
  held = p->mem.bytes;
  memset(big, 's', sizeof big);
  end_put(e, 0x02, big, 100000); /* fragments: it has a chunk of its own */
  end_frame(e, 0x80, big, 100000);
  assert_true(rill_pending(e->conn, iov, 8) >= 3);
  assert_ptr_equal(iov[0].base, iov[2].base);
  assert_true(p->mem.bytes - held < 3 * 200000);
  end_room(e, SIZE_MAX);
  assert_string_equal(end_took(e),
                      "binary #200000; text #200000; binary #200000");
  end_text(e, "short");
  assert_string_equal(end_took(e), "text short; binary short; text short");
}

static int to_both(pair *p, const event *e) {
  if (strcmp(e->name, "message") == 0)
    for (size_t i = 0; i < p->nends; i++)
      rill_send(p->ends[i]->peer, e->msg);
  return 0;
}

static void test_send_shares_with_others(void **state) {
  pair *p = *state;
  rill_iov iov[2][8];
  end *e[2];

  p->config.limits.message_bytes = 1 << 20;
  pair_begin(p);
  for (int i = 0; i < 2; i++)
    e[i] = pair_open(p);
  p->act = to_both;
  e[0]->room = e[1]->room = 0;
  memset(big, 's', sizeof big);
  end_put(e[0], 0x02, big, 70000);
  end_frame(e[0], 0x80, big, 70000);
  for (int i = 0; i < 2; i++)
    assert_int_equal(rill_pending(e[i]->conn, iov[i], 8), 1);
  assert_ptr_equal(iov[0][0].base, iov[1][0].base);
  for (int i = 0; i < 2; i++) {
    end_room(e[i], SIZE_MAX);
    assert_string_equal(end_took(e[i]), "binary #140000");
  }
}

static void test_send_without_memory(void **state) {
  rill_route_opts opts = {.deflate = {.enabled = true,
                                      .threshold = 10,
                                      .server_context_takeover = true}};
  pair *p = *state;
  bool failed = true;

  memset(big, 'm', sizeof big);
  p->quiet = true;
  for (uint64_t n = 1; failed; n++) {
    rill_msg m = {.data = big, .len = 70000, .kind = RILL_BINARY};
    end *e, *z;
    int rv[3];
    pair_begin(p);
    pair_route(p, "/z", &opts);
    e = pair_open(p);
    z = pair_open_at(p, "/z",
                     "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    p->mem.fail_at = p->mem.calls + n;
    rv[0] = rill_send(e->peer, &m);
    m.key = rill_s("key");
    rv[1] = rill_send(e->peer, &m);
    m.key = rill_s("");
    rv[2] = rill_send(z->peer, &m);
    failed = p->mem.calls >= p->mem.fail_at;
    p->mem.fail_at = 0;
    pair_turn(p);
    /* who would miss one is closed, since it would not know */
    if (rv[0] == RILL_ERR_NOMEM || rv[1] == RILL_ERR_NOMEM) {
      assert_int_equal(e->closed, 1);
      assert_int_equal(e->how.cause, RILL_CAUSE_NOMEM);
    }
    if (rv[2] == RILL_ERR_NOMEM)
      assert_int_equal(z->how.cause, RILL_CAUSE_NOMEM);
    pair_reset(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_send_arguments),
      PAIR_TESTS(test_send_every_size),
      PAIR_TESTS(test_send_disconnects),
      PAIR_TESTS(test_send_drops_the_newest),
      PAIR_TESTS(test_send_drops_the_oldest),
      PAIR_TEST(test_send_drops_no_half_message),
      PAIR_TEST(test_send_policy_of_the_hub),
      PAIR_TEST(test_send_first_message_is_always_taken),
      PAIR_TEST(test_send_dropping_all_leaves_the_new_one_whole),
      PAIR_TEST(test_send_busy_and_on_drain),
      PAIR_TEST(test_send_from_on_drain),
      PAIR_TESTS(test_send_keyed_replaces_the_unsent),
      PAIR_TEST(test_send_keys_are_per_peer_and_exact),
      PAIR_TEST(test_send_keyed_keeps_the_limit),
      PAIR_TESTS(test_send_shares_what_it_was_given),
      PAIR_TESTS(test_send_shares_with_others),
      PAIR_TEST(test_send_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
