/*
 * Time on an open connection, under a clock of the test: pings, idleness,
 * the message in progress, slowness, throttling.
 */
#include "pair.h"

#define S RILL_SEC

/* A peer that answers pings, for |seconds|. */
static void live(pair *p, end *e, int seconds) {
  for (int i = 0; i < seconds; i++) {
    pair_pass(p, S);
    if (strstr(end_took(e), "ping") != NULL)
      end_frame(e, 0x8a, "", 0);
  }
}

static void test_heartbeat_keeps_who_answers(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  live(p, e, 3600);
  assert_int_equal(e->closed, 0);
  assert_in_range(pair_metrics(p).pings_total, 3600 / 27, 3600 / 25);
  assert_in_range(rill_peer_rtt(e->peer), 0, S);
  assert_int_equal(pair_metrics(p).ping_timeouts_total, 0);
}

static void test_heartbeat_cuts_who_does_not(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.idle_ms = RILL_UNLIMITED;
  pair_begin(p);
  e = pair_open(p);
  pair_pass(p, 25 * S - 1);
  assert_string_equal(end_took(e), "");
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "ping");
  pair_pass(p, 20 * S - 1);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "eof");
  assert_string_equal(pair_log(p), "0 close 9 1006/0");
  assert_string_equal(e->why, "no pong");
  assert_int_equal(pair_metrics(p).ping_timeouts_total, 1);
}

/* Words are signs of life, but only a pong answers a ping. */
static void test_heartbeat_wants_a_pong(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 24; i++) {
    pair_pass(p, S);
    end_text(e, "chatter");
  }
  assert_string_equal(end_took(e), "");
  pair_pass(p, 25 * S); /* silent since: now there is one */
  assert_string_equal(end_took(e), "ping");
  for (int i = 0; i < 19; i++) {
    pair_pass(p, S);
    end_text(e, "no pong");
  }
  assert_int_equal(e->closed, 0);
  pair_pass(p, S);
  assert_int_equal(e->closed, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_TIMEOUT);
}

static void test_heartbeat_idle(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.ping_ms = RILL_UNLIMITED;
  p->config.limits.idle_ms = 10000;
  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 20; i++) {
    pair_pass(p, 9 * S);
    end_frame(e, 0x8a, "", 0); /* any byte will do */
  }
  pair_pass(p, 10 * S - 1);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1);
  assert_string_equal(e->why, "idle");
  assert_int_equal(pair_metrics(p).limit_idle_ms, 1);
}

static void test_heartbeat_can_be_off(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.ping_ms = p->config.limits.idle_ms = RILL_UNLIMITED;
  p->config.limits.pong_ms = p->config.limits.slow_ms = RILL_UNLIMITED;
  p->config.limits.message_ms = RILL_UNLIMITED;
  pair_begin(p);
  e = pair_open(p);
  buf_add(&e->tx, "\x81\x85\0\0\0\0he", 8);
  pair_turn(p);
  assert_int_equal(rill_deadline(p->hub), RILL_NEVER);
  pair_jump(p, 1000000 * S);
  assert_int_equal(e->closed, 0);
  end_say(e, "llo");
  assert_string_equal(pair_log(p), "0 text hello");
}

static void test_heartbeat_message_takes_too_long(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.ping_ms = RILL_UNLIMITED;
  pair_begin(p);
  e = pair_open(p);
  buf_add(&e->tx, "\x81\xfe\x01\0\0\0\0\0", 8);
  pair_turn(p);
  for (int i = 0; i < 29; i++) {
    pair_pass(p, S);
    end_say(e, "x"); /* each byte comes in time, the whole does not */
  }
  pair_pass(p, S - 1);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "close 1008 a message took too long; eof");
  assert_int_equal(e->how.cause, RILL_CAUSE_FLOOD);
  assert_int_equal(pair_metrics(p).limit_message_ms, 1);
}

static void test_heartbeat_fragments_take_too_long(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  end_frame(e, 0x01, "one ", 4);
  for (int i = 0; i < 29; i++) {
    pair_pass(p, S);
    end_frame(e, 0x00, "more ", 5);
    if (strstr(end_took(e), "ping") != NULL)
      end_frame(e, 0x8a, "", 0);
  }
  assert_int_equal(e->closed, 0);
  pair_pass(p, S);
  assert_int_equal(e->how.sent, 1008);
}

/* Each message has its own time, though there is always one half read. */
static void test_heartbeat_always_in_a_message(void **state) {
  pair *p = *state;
  uint8_t mask[4] = {1, 2, 3, 4};
  buf frames = {NULL, 0, 0};
  end *e;
  size_t at = 0;

  pair_begin(p);
  e = pair_open(p);
  p->quiet = true;
  for (int i = 0; i < 120; i++)
    put_frame(&frames, 0x81, "sixteen letters.", 16, mask);
  for (int i = 0; i < 100; i++) {
    size_t n = i == 0 ? 11 : 22; /* half a frame ahead */
    buf_add(&e->tx, frames.data + at, n);
    at += n;
    pair_pass(p, S);
    if (strstr(end_took(e), "ping") != NULL)
      end_frame(e, 0x8a, "", 0);
    assert_int_equal(e->closed, 0);
  }
  buf_clear(&frames);
  assert_int_equal(pair_metrics(p).messages_in_total, 99);
}

static void test_heartbeat_slow(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x");
  end *e;

  p->config.limits.soft_count = 4;
  pair_begin(p);
  e = pair_open(p);
  e->room = 0;
  for (int i = 0; i < 4; i++)
    rill_send(e->peer, &m);
  pair_pass(p, 10 * S - 1);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_SLOW);
  assert_string_equal(e->why, "slow");
  assert_int_equal(pair_metrics(p).limit_slow_ms, 1);
  end_room(e, SIZE_MAX);
  assert_string_equal(end_took(e), "close 4008 slow; eof");
}

static void test_heartbeat_slow_but_steady(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x");
  end *e;

  p->config.limits.soft_count = 4;
  pair_begin(p);
  e = pair_open(p);
  e->room = 0;
  for (int i = 0; i < 20; i++) {
    while (rill_send(e->peer, &m) == 0)
      ;
    pair_pass(p, 9 * S);
    end_room(e, 3 * 3); /* below the half: it starts anew */
  }
  assert_int_equal(e->closed, 0);
}

static void test_heartbeat_throttles(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.messages_per_sec = 10;
  p->config.limits.messages_burst = 5;
  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 9; i++)
    end_put(e, 0x81, "m", 1);
  pair_turn(p);
  /* the one that goes over is told, then reading stops */
  assert_int_equal(pair_metrics(p).messages_in_total, 6);
  assert_int_equal(rill_wants(e->conn) & RILL_WANT_READ, 0);
  assert_int_equal(pair_metrics(p).limit_messages_per_sec, 1);
  pair_pass(p, 100 * RILL_MSEC - 1);
  assert_int_equal(pair_metrics(p).messages_in_total, 6);
  pair_pass(p, 1);
  assert_int_equal(pair_metrics(p).messages_in_total, 7);
  pair_pass(p, 200 * RILL_MSEC);
  assert_int_equal(pair_metrics(p).messages_in_total, 9);
  pair_pass(p, S);
  assert_true(rill_wants(e->conn) & RILL_WANT_READ);
  assert_int_equal(e->closed, 0);
}

static void test_heartbeat_throttles_bytes(void **state) {
  pair *p = *state;
  static char bytes[3000];
  end *e;

  p->config.limits.bytes_per_sec = 1000;
  p->config.limits.bytes_burst = 2000;
  pair_begin(p);
  e = pair_open(p);
  end_put(e, 0x82, bytes, 2500);
  end_put(e, 0x82, bytes, 1);
  pair_turn(p);
  assert_int_equal(pair_metrics(p).messages_in_total, 1);
  pair_pass(p, 500 * RILL_MSEC - 1);
  assert_int_equal(pair_metrics(p).messages_in_total, 1);
  pair_pass(p, 1);
  assert_int_equal(pair_metrics(p).messages_in_total, 2);
  assert_int_equal(pair_metrics(p).limit_bytes_per_sec, 2);
}

/* Over the rate for all of throttle_ms with more at hand: it is a flood. */
static void test_heartbeat_flood(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.messages_per_sec = 10;
  p->config.limits.messages_burst = 1;
  p->config.limits.throttle_ms = 2000;
  pair_begin(p);
  e = pair_open(p);
  p->quiet = true;
  for (int i = 0; i < 100; i++)
    end_put(e, 0x81, "flood", 5);
  pair_pass(p, 2 * S - 1);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 200 * RILL_MSEC);
  assert_int_equal(e->closed, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_FLOOD);
  assert_int_equal(e->how.sent, 1008);
  assert_int_equal(pair_metrics(p).limit_throttle_ms, 1);
}

static int weigh(pair *p, const event *e) {
  const char *digits = e->msg != NULL ? e->msg->data : NULL;
  int n = 0;

  (void)p;
  if (strcmp(e->name, "charge") == 0)
    for (size_t i = 0; i < e->msg->len && digits[i] >= '0'; i++)
      n = n * 10 + digits[i] - '0';
  return n;
}

static void test_heartbeat_charge(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.messages_per_sec = 1;
  p->config.limits.messages_burst = 10;
  p->config.charge = pair_charge;
  p->act = weigh;
  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 50; i++)
    end_text(e, "0 is free");
  end_text(e, "9");
  end_text(e, "1");
  assert_int_equal(pair_metrics(p).limit_messages_per_sec, 0);
  end_text(e, "5");
  assert_int_equal(pair_metrics(p).limit_messages_per_sec, 1);
  pair_log(p);
  end_text(e, "1");
  pair_pass(p, 5 * S - 1);
  assert_string_equal(pair_log(p), "");
  pair_pass(p, 1);
  assert_string_equal(pair_log(p), "0 text 1");
}

static void test_heartbeat_closing_is_not_throttled(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.messages_per_sec = 1;
  p->config.limits.messages_burst = 1;
  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 5; i++)
    end_put(e, 0x81, "m", 1);
  end_bye(e, 1000, "");
  assert_int_equal(e->closed, 0);
  rill_close(e->peer, 4000, NULL);
  pair_turn(p);
  assert_string_equal(end_took(e), "close 4000; eof");
  assert_int_equal(e->how.code, 1000);
}

static void test_heartbeat_control_flood(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 20; i++)
    end_put(e, i % 2 ? 0x89 : 0x8a, "", 0);
  pair_turn(p);
  assert_int_equal(e->closed, 0);
  end_frame(e, 0x8a, "", 0);
  assert_int_equal(e->how.cause, RILL_CAUSE_FLOOD);
  assert_int_equal(e->how.sent, 1008);
  e = pair_open(p); /* a steady ten per second is fine */
  for (int i = 0; i < 300; i++) {
    end_frame(e, 0x89, "", 0);
    pair_pass(p, 100 * RILL_MSEC);
  }
  assert_int_equal(e->closed, 0);
}

static void test_heartbeat_a_paused_peer_is_not_dead(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  buf_add(&e->tx, "\x81\x85\0\0\0\0he", 8); /* half a message, too */
  pair_turn(p);
  pair_pass(p, 24 * S);
  rill_pause(e->peer);
  end_say(e, "llo");
  end_text(e, "second");
  pair_pass(p, 3600 * S);
  assert_int_equal(e->closed, 0);
  assert_string_equal(pair_log(p), "");
  rill_resume(e->peer);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 text hello; 0 text second");
  pair_pass(p, 25 * S - 1);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 25 * S); /* and from here on it is as before */
  assert_int_equal(e->how.cause, RILL_CAUSE_TIMEOUT);
}

static void test_heartbeat_paused_with_a_ping_out(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  rill_ping(e->peer);
  rill_pause(e->peer);
  end_frame(e, 0x8a, "", 0);
  pair_pass(p, 1000 * S);
  rill_resume(e->peer);
  pair_jump(p, 0);
  assert_int_equal(e->closed, 0);
  live(p, e, 100);
  assert_int_equal(e->closed, 0);
}

static void test_heartbeat_a_throttled_peer_is_not_dead(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.messages_per_sec = 1;
  p->config.limits.messages_burst = 1;
  p->config.charge = pair_charge;
  p->act = weigh;
  pair_begin(p);
  e = pair_open(p);
  end_text(e, "100"); /* a debt of 99 seconds */
  pair_pass(p, 99 * S - 1);
  assert_int_equal(rill_wants(e->conn), 0);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1);
  assert_int_equal(rill_wants(e->conn), RILL_WANT_READ);
  live(p, e, 60);
  assert_int_equal(e->closed, 0);
}

static void test_heartbeat_clock_jumps(void **state) {
  static const rill_time jumps[] = {3600 * S, 25 * 24 * 3600 * S,
                                    (rill_time)1 << 52,
                                    (rill_time)4294967296u * RILL_MSEC};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
    end *open = pair_open(p), *half = pair_accept(p), *closing = pair_open(p);
    rill_close(closing->peer, 4000, NULL);
    pair_turn(p);
    pair_jump(p, jumps[i]);
    assert_int_equal(open->how.cause, RILL_CAUSE_TIMEOUT);
    assert_int_equal(open->closed, 1);
    assert_int_equal(closing->closed, 1);
    assert_null(half->conn);
    assert_true(rill_deadline(p->hub) > p->now);
  }
}

/* Ticks without progress do nothing, and none is due at once again. */
static void test_heartbeat_zero_progress(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  pair_pass(p, 25 * S);
  assert_string_equal(end_took(e), "ping");
  for (int i = 0; i < 1000; i++) {
    pair_tick(p, p->hub);
    assert_true(rill_deadline(p->hub) > p->now);
    assert_null(rill_next_ready(p->hub));
  }
  assert_string_equal(end_took(e), "");
}

static void test_heartbeat_many_at_one_instant(void **state) {
  pair *p = *state;
  end *e[1000];

  p->quiet = true;
  pair_begin(p);
  for (int i = 0; i < 1000; i++)
    e[i] = pair_open(p);
  pair_jump(p, 25 * S);
  for (int i = 0; i < 1000; i++)
    assert_string_equal(end_took(e[i]), "ping");
  pair_jump(p, 20 * S);
  for (int i = 0; i < 1000; i++)
    assert_int_equal(e[i]->closed, 1);
  assert_int_equal(rill_peers(p->hub), 0);
  assert_int_equal(rill_deadline(p->hub), RILL_NEVER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_heartbeat_keeps_who_answers),
      PAIR_TEST(test_heartbeat_cuts_who_does_not),
      PAIR_TEST(test_heartbeat_wants_a_pong),
      PAIR_TEST(test_heartbeat_idle),
      PAIR_TESTS(test_heartbeat_can_be_off),
      PAIR_TEST(test_heartbeat_message_takes_too_long),
      PAIR_TEST(test_heartbeat_fragments_take_too_long),
      PAIR_TEST(test_heartbeat_always_in_a_message),
      PAIR_TEST(test_heartbeat_slow),
      PAIR_TEST(test_heartbeat_slow_but_steady),
      PAIR_TESTS(test_heartbeat_throttles),
      PAIR_TESTS(test_heartbeat_throttles_bytes),
      PAIR_TEST(test_heartbeat_flood),
      PAIR_TEST(test_heartbeat_charge),
      PAIR_TESTS(test_heartbeat_closing_is_not_throttled),
      PAIR_TESTS(test_heartbeat_control_flood),
      PAIR_TEST(test_heartbeat_a_paused_peer_is_not_dead),
      PAIR_TEST(test_heartbeat_paused_with_a_ping_out),
      PAIR_TEST(test_heartbeat_a_throttled_peer_is_not_dead),
      PAIR_TEST(test_heartbeat_clock_jumps),
      PAIR_TEST(test_heartbeat_zero_progress),
      PAIR_TEST(test_heartbeat_many_at_one_instant),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
