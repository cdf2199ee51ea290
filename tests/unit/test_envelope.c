/* test_envelope.c - rill.json.v1 and rill.msgpack.v1, as a client sees them. */
#include "envelope_kit.h"

static void malformed(pair *p, bool packs, unsigned first, const void *data,
                      size_t len) {
  end *e = open_as(p, packs);

  end_frame(e, first, data, len);
  assert_string_equal(said(e), packs
                                   ? "close 1007 a MessagePack map is expected"
                                     "\neof"
                                   : "close 1007 a JSON object is expected\n"
                                     "eof");
  assert_int_equal(e->how.cause, RILL_CAUSE_PROTO);
  assert_int_equal(e->how.sent, 1007);
  pair_log(p);
}

static void test_envelope_malformed_input_is_closed(void **state) {
  static const char *const texts[] = {
      "",    "x",   "[]",      "1",          "\"a\"",
      "{",   "{}x", "{\"a\"}", "{\"a\":1,}", "{\"x\":{\"$bytes\":\"=\"}}",
      "null"};
  pair *p = *state;

  talk_begin(p);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    malformed(p, false, 0x81, texts[i], strlen(texts[i]));
  malformed(p, false, 0x82, "{}", 2);
  malformed(p, true, 0x82, "", 0);
  malformed(p, true, 0x82, "\x90", 1);     /* an array */
  malformed(p, true, 0x82, "\x81\xa1", 2); /* cut off */
  malformed(p, true, 0x82, "\x80\x80", 2); /* two of them */
  malformed(p, true, 0x81, "{}", 2);
}

static void test_envelope_depth_is_limited(void **state) {
  pair *p = *state;
  char text[64];
  end *e;

  p->config.limits.value_depth = 4;
  talk_begin(p);
  for (int deep = 2; deep <= 4; deep++) { /* arrays in the object */
    e = open_as(p, false);
    snprintf(text, sizeof text, "{\"ping\":%.*s%.*s}", deep, "[[[[", deep,
             "]]]]");
    say(e, text);
    if (deep < 4)
      assert_memory_equal(said(e), "{\"pong\":[", 9);
    else
      assert_string_equal(said(e), "close 1007 a JSON object is expected\neof");
    pair_log(p);
  }
}

/* What may come may be given back. */
static void test_envelope_deepest_value_is_answered(void **state) {
  pair *p = *state;
  char text[256];
  end *e;

  p->config.limits.value_depth = 60;
  talk_begin(p);
  p->act = reply_args;
  for (int deep = 30; deep <= 59; deep++) {
    int at = snprintf(text, sizeof text, "{\"ping\":");
    memset(text + at, '[', (size_t)deep);
    memset(text + at + deep, ']', (size_t)deep);
    snprintf(text + at + 2 * deep, 8, "}");
    e = open_as(p, deep & 1);
    assert_memory_equal(ask(e, text), "{\"pong\":[", 9);
  }
}

static void test_envelope_events_come_with_their_arguments(void **state) {
  pair *p = *state;

  talk_begin(p);
  for (int packs = 0; packs < 2; packs++) {
    end *e = open_as(p, packs);
    char log[64];
    assert_string_equal(
        ask(e, "{\"event\":\"a\",\"args\":[1,\"x\",{\"k\":null}]}"), "");
    snprintf(log, sizeof log, "%d event a [1,\"x\",{\"k\":null}]", packs);
    assert_string_equal(pair_log(p), log);
    assert_string_equal(ask(e, "{\"event\":\"b\"}"), "");
    assert_string_equal(ask(e, "{\"event\":\"c\",\"args\":[]}"), "");
    snprintf(log, sizeof log, "%d event b []; %d event c []", packs, packs);
    assert_string_equal(pair_log(p), log);
  }
}

static int expect_bytes(pair *p, const event *e) {
  if (strcmp(e->name, "event") != 0)
    return 0;
  assert_int_equal(rill_value_type(rill_event_arg(talk_ev, 0)), RILL_BYTES);
  assert_int_equal(rill_value_bytes(rill_event_arg(talk_ev, 0)).len, 3);
  return reply_args(p, e);
}

static void test_envelope_carries_bytes(void **state) {
  pair *p = *state;

  talk_begin(p);
  p->act = expect_bytes;
  for (int packs = 0; packs < 2; packs++)
    assert_string_equal(
        ask(open_as(p, packs),
            "{\"event\":\"a\",\"args\":[{\"$bytes\":\"AAEC\"}],\"id\":0}"),
        "{\"ack\":0,\"args\":[{\"$bytes\":\"AAEC\"}]}");
}

static void test_envelope_bad_events_are_told(void **state) {
  static const char fault[] =
      "{\"error\":{\"code\":\"bad-event\",\"message\":"
      "\"\\\"event\\\" is a name, \\\"args\\\" an array\"}}";
  static const char *const wrong[] = {"{\"event\":\"\"}",
                                      "{\"event\":\"connect\"}",
                                      "{\"event\":\"newListener\"}",
                                      "{\"event\":\"a\\u000ab\"}",
                                      "{\"event\":\"a\\u007f\"}",
                                      "{\"event\":\"a\",\"args\":1}",
                                      "{\"event\":\"a\",\"args\":{}}",
                                      "{\"event\":\"a\",\"args\":null}"};
  pair *p = *state;
  end *e;

  talk_begin(p);
  for (int packs = 0; packs < 2; packs++) {
    e = open_as(p, packs);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
      assert_string_equal(ask(e, wrong[i]), fault);
    assert_string_equal(
        ask(e, "{\"event\":\"\",\"id\":5}"),
        "{\"ack\":5,\"error\":{\"code\":\"bad-event\",\"message\":"
        "\"\\\"event\\\" is a name, \\\"args\\\" an array\"}}");
    assert_string_equal(pair_log(p), "");
  }
}

static void test_envelope_name_is_limited(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.name_bytes = 4;
  talk_begin(p);
  e = open_as(p, false);
  assert_string_equal(ask(e, "{\"event\":\"abcd\"}"), "");
  assert_memory_equal(ask(e, "{\"event\":\"abcde\"}"), "{\"error\"", 8);
  assert_string_equal(pair_log(p), "0 event abcd []");
  assert_int_equal(pair_metrics(p).limit_name_bytes, 1);
}

static void test_envelope_ids_are_whole_numbers(void **state) {
  static const struct {
    const char *id, *ack;
  } ids[] = {{"0", "0"},
             {"1.0", "1"},
             {"1e3", "1000"},
             {"9007199254740992", "9007199254740992"},
             {"9007199254740993", NULL},
             {"-1", NULL},
             {"1.5", NULL},
             {"\"1\"", NULL},
             {"null", NULL},
             {"18446744073709551616", NULL}};
  pair *p = *state;
  end *e;

  talk_begin(p);
  p->act = reply_args;
  e = open_as(p, false);
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    char text[80], expected[80] = "";
    snprintf(text, sizeof text, "{\"event\":\"a\",\"id\":%s}", ids[i].id);
    if (ids[i].ack != NULL)
      snprintf(expected, sizeof expected, "{\"ack\":%s,\"args\":[]}",
               ids[i].ack);
    assert_string_equal(ask(e, text), expected);
  }
}

static void test_envelope_what_it_does_not_know_it_says(void **state) {
  static const char fault[] =
      "{\"error\":{\"code\":\"bad-message\",\"message\":\"one of open, event, "
      "ack, join, leave, ping is expected\"}";
  pair *p = *state;
  char expected[200];
  end *e;

  talk_begin(p);
  e = open_as(p, false);
  snprintf(expected, sizeof expected, "%s}", fault);
  assert_string_equal(ask(e, "{}"), expected);
  assert_string_equal(ask(e, "{\"open\":{}}"), expected); /* it is open */
  assert_string_equal(ask(e, "{\"event\":1}"), expected);
  assert_string_equal(ask(e, "{\"ack\":\"1\",\"args\":[]}"), expected);
  assert_string_equal(ask(e, "{\"join\":1}"), expected);
  snprintf(expected, sizeof expected, "%s,\"id\":3}", fault);
  assert_string_equal(ask(e, "{\"nothing\":1,\"id\":3}"), expected);
  assert_string_equal(ask(e, "{\"ping\":null}"), "{\"pong\":null}");
  assert_string_equal(ask(e, "{\"ping\":{\"a\":[1]}}"),
                      "{\"pong\":{\"a\":[1]}}");
  assert_string_equal(pair_log(p), "");
}

static void test_envelope_unknown_events_are_told(void **state) {
  pair *p = *state;
  end *e;

  talk_begin_bare(p);
  e = open_as(p, false);
  assert_string_equal(ask(e, "{\"event\":\"a\"}"),
                      "{\"error\":{\"code\":\"unknown\",\"message\":\"nobody "
                      "here knows such an event\"}}");
  assert_string_equal(ask(e, "{\"event\":\"a\",\"id\":1}"),
                      "{\"ack\":1,\"error\":{\"code\":\"unknown\",\"message\":"
                      "\"nobody here knows such an event\"}}");
  assert_int_equal(pair_metrics(p).events_unknown_total, 2);
}

static void test_envelope_joins_and_leaves(void **state) {
  pair *p = *state;

  talk_begin(p);
  for (int packs = 0; packs < 2; packs++) {
    end *e = open_as(p, packs);
    assert_string_equal(ask(e, "{\"join\":\"a\"}"), "{\"joined\":\"a\"}");
    assert_string_equal(ask(e, "{\"join\":\"b\",\"id\":1}"),
                        "{\"joined\":\"b\",\"id\":1}");
    assert_string_equal(ask(e, "{\"join\":\"a\",\"id\":2}"),
                        "{\"joined\":\"a\",\"id\":2}");
    assert_true(rill_in_room(e->peer, rill_s("a")));
    assert_string_equal(ask(e, "{\"leave\":\"a\",\"id\":3}"),
                        "{\"left\":\"a\",\"id\":3}");
    assert_string_equal(ask(e, "{\"leave\":\"a\",\"id\":4}"),
                        "{\"error\":{\"code\":\"leave\",\"message\":"
                        "\"no such thing\"},\"id\":4}");
    assert_false(rill_in_room(e->peer, rill_s("a")));
    assert_string_equal(ask(e, "{\"leave\":\"b\"}"), "{\"left\":\"b\"}");
    assert_string_equal(pair_log(p), packs ? "1 joined a; 1 joined b; "
                                             "1 joined a"
                                           : "0 joined a; 0 joined b; "
                                             "0 joined a");
  }
}

static int judge(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "authorize") != 0)
    return 0;
  switch (e->room.ptr[0]) {
  case 'l':
    return RILL_LATER;
  case 'n':
    return RILL_ERR_FORBIDDEN;
  default:
    return 0;
  }
}

static void test_envelope_joins_do_not_wait_for_each_other(void **state) {
  pair *p = *state;
  end *e;

  p->config.authorize_join = talk_authorize;
  talk_begin(p);
  p->act = judge;
  e = open_as(p, false);
  assert_string_equal(
      ask(e, "{\"join\":\"no\",\"id\":1}"),
      "{\"error\":{\"code\":\"forbidden\",\"message\":\"not allowed\"},"
      "\"id\":1}");
  talk_put(e, "{\"join\":\"l1\",\"id\":2}");
  talk_put(e, "{\"join\":\"yes\",\"id\":3}");
  talk_put(e, "{\"join\":\"l2\",\"id\":4}");
  pair_turn(p);
  assert_string_equal(said(e), "{\"joined\":\"yes\",\"id\":3}");
  assert_int_equal(rill_join_deny(e->peer, rill_s("l2"), RILL_ERR_LIMIT), 0);
  pair_turn(p);
  assert_string_equal(said(e), "{\"error\":{\"code\":\"join\",\"message\":"
                               "\"a limit of the configuration is reached\"},"
                               "\"id\":4}");
  assert_int_equal(rill_join_allow(e->peer, rill_s("l1")), 0);
  pair_turn(p);
  assert_string_equal(said(e), "{\"joined\":\"l1\",\"id\":2}");
  assert_int_equal(rill_join_allow(e->peer, rill_s("l1")), RILL_ERR_NOT_FOUND);
  assert_int_equal(rill_room_count(p->hub, rill_s("l2")), 0);
}

static void test_envelope_join_limits_are_told(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.joins_pending = 2;
  p->config.limits.rooms_per_peer = 2;
  p->config.limits.name_bytes = 4;
  p->config.authorize_join = talk_authorize;
  talk_begin(p);
  p->act = judge;
  e = open_as(p, false);
  assert_memory_equal(ask(e, "{\"join\":\"abcde\",\"id\":1}"),
                      "{\"error\":{\"code\":\"join\"", 22);
  assert_memory_equal(ask(e, "{\"join\":\"a\\n\",\"id\":1}"),
                      "{\"error\":{\"code\":\"join\"", 22);
  assert_string_equal(ask(e, "{\"join\":\"l1\"}"), "");
  assert_string_equal(ask(e, "{\"join\":\"l2\"}"), "");
  assert_memory_equal(ask(e, "{\"join\":\"l3\"}"),
                      "{\"error\":{\"code\":\"busy\"", 22);
  assert_int_equal(rill_join_allow(e->peer, rill_s("l1")), 0);
  assert_int_equal(rill_join_allow(e->peer, rill_s("l2")), 0);
  pair_turn(p);
  assert_string_equal(said(e), "{\"joined\":\"l1\"}\n{\"joined\":\"l2\"}");
  assert_memory_equal(ask(e, "{\"join\":\"c\"}"), "{\"error\":{\"code\":\"join",
                      22);
}

static void count_answers(rill_hub *hub, const rill_answers *a, void *arg) {
  char *text = arg, json[100];

  (void)hub;
  snprintf(text, 200, "%d %zu/%zu", a->status, a->n, a->nmissing);
  for (size_t i = 0; i < a->n; i++) {
    rill_value_json(a->v[i].args, json, sizeof json);
    strcat(strcat(text, " "), json);
  }
}

static void test_envelope_is_asked_and_answers(void **state) {
  pair *p = *state;
  char text[200] = "";
  const rill_emit_opts opts = {.on_answers = count_answers, .arg = text};

  talk_begin(p);
  for (int packs = 0; packs < 2; packs++) {
    end *e = open_as(p, packs);
    char ack[80];
    assert_int_equal(rill_emit_peer(e->peer, "q", talk_args(p, "[1]"), &opts),
                     0);
    pair_turn(p);
    snprintf(ack, sizeof ack, "%s{\"event\":\"q\",\"args\":[[1]],\"id\":%d}",
             packs ? "#" : "", packs);
    assert_string_equal(said(e), ack);
    snprintf(ack, sizeof ack, "{\"ack\":%d,\"args\":[\"yes\",2]}", packs);
    strcpy(text, "");
    assert_string_equal(ask(e, ack), "");
    assert_string_equal(text, "0 1/0 [\"yes\",2]");
    strcpy(text, "");
    assert_string_equal(ask(e, ack), ""); /* again: nobody waits */
    assert_string_equal(text, "");
  }
}

static int fail_all(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "event") == 0
             ? rill_event_fail(talk_ev, "no", "not \"so\"")
             : 0;
}

static void test_envelope_failed_events_are_told(void **state) {
  pair *p = *state;

  talk_begin(p);
  p->act = fail_all;
  for (int packs = 0; packs < 2; packs++) {
    end *e = open_as(p, packs);
    assert_string_equal(
        ask(e, "{\"event\":\"a\",\"id\":7}"),
        "{\"ack\":7,\"error\":{\"code\":\"no\",\"message\":\"not \\\"so\\\"\"}"
        "}");
    assert_string_equal(
        ask(e, "{\"event\":\"a\"}"),
        "{\"error\":{\"code\":\"no\",\"message\":\"not \\\"so\\\"\"}}");
  }
}

static int fail_hard(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "event") == 0 ? RILL_ERR_STATE : 0;
}

static void test_envelope_handler_that_fails_closes(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  p->act = fail_hard;
  e = open_as(p, false);
  talk_put(e, "{\"event\":\"a\"}");
  talk_put(e, "{\"event\":\"b\"}");
  pair_turn(p);
  assert_string_equal(said(e), "close 1011 a handler failed\neof");
  assert_string_equal(pair_log(p), "0 event a []; 0 close 13 1006/1011");
}

static int pause_once(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "event") == 0 && rill_event_name(talk_ev).ptr[0] == 'p'
             ? RILL_PAUSE
             : 0;
}

static void test_envelope_handler_may_pause(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  p->act = pause_once;
  e = open_as(p, false);
  talk_put(e, "{\"event\":\"p\"}");
  talk_put(e, "{\"event\":\"b\"}");
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 event p []");
  assert_int_equal(rill_resume(e->peer), 0);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 event b []");
}

/* Three events wait for the room when its member leaves. */
static int emit_three(pair *p, const event *e) {
  (void)e;
  for (int i = 0; i < 3; i++)
    talk_emit(p, "r", "x", "\"0123456789\"");
  return 0;
}

static void test_envelope_leaving_may_be_the_end(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.queue_count = 1;
  talk_begin(p);
  e = open_as(p, false);
  assert_int_equal(rill_join(e->peer, rill_s("r")), 0);
  e->room = 0;
  talk_emit(p, "r", "first", ""); /* an empty queue would take all */
  pair_turn(p);
  p->act = emit_three;
  talk_put(e, "{\"event\":\"a\"}");
  talk_put(e, "{\"leave\":\"r\"}");
  talk_put(e, "{\"leave\":\"r\"}");
  pair_turn(p);
  p->act = NULL;
  assert_int_equal(e->closed, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_SLOW);
  end_room(e, SIZE_MAX);
}

/* An error does not overtake what was emitted before it. */
static int emit_then_fail(pair *p, const event *e) {
  if (strcmp(e->name, "event") != 0)
    return 0;
  talk_emit(p, "r", "x", "1");
  return rill_event_fail(talk_ev, "no", "no");
}

static void test_envelope_errors_keep_their_place(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = open_as(p, false);
  assert_int_equal(rill_join(e->peer, rill_s("r")), 0);
  p->act = emit_then_fail;
  say(e, "{\"event\":\"a\",\"id\":1}");
  assert_string_equal(said(e),
                      "{\"event\":\"x\",\"args\":[1],\"room\":\"r\"}\n"
                      "{\"ack\":1,\"error\":{\"code\":\"no\",\"message\":"
                      "\"no\"}}");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_envelope_malformed_input_is_closed),
      PAIR_TEST(test_envelope_depth_is_limited),
      PAIR_TEST(test_envelope_deepest_value_is_answered),
      PAIR_TESTS(test_envelope_events_come_with_their_arguments),
      PAIR_TESTS(test_envelope_carries_bytes),
      PAIR_TESTS(test_envelope_bad_events_are_told),
      PAIR_TEST(test_envelope_name_is_limited),
      PAIR_TEST(test_envelope_ids_are_whole_numbers),
      PAIR_TESTS(test_envelope_what_it_does_not_know_it_says),
      PAIR_TEST(test_envelope_unknown_events_are_told),
      PAIR_TESTS(test_envelope_joins_and_leaves),
      PAIR_TESTS(test_envelope_joins_do_not_wait_for_each_other),
      PAIR_TEST(test_envelope_join_limits_are_told),
      PAIR_TESTS(test_envelope_is_asked_and_answers),
      PAIR_TESTS(test_envelope_failed_events_are_told),
      PAIR_TESTS(test_envelope_handler_that_fails_closes),
      PAIR_TESTS(test_envelope_handler_may_pause),
      PAIR_TEST(test_envelope_leaving_may_be_the_end),
      PAIR_TEST(test_envelope_errors_keep_their_place)};

  return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
