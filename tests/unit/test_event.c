/* test_event.c - who handles an event, what comes before, and how often. */
#include "talk.h"

/* A handler that notes its mark, and does as the mark says. */
typedef struct mark {
  pair *p;
  const char *name;
  int rv;
  int (*act)(rill_peer peer, const rill_event *ev);
} mark;

static int note(rill_peer peer, const rill_event *ev, void *arg) {
  mark *m = arg;
  rill_str name = rill_event_name(ev);
  char json[400];

  MUST(m->p->may_run && m->p->depth == 0);
  rill_value_json(rill_event_args(ev), json, sizeof json);
  pair_note(m->p, NULL, m->name);
  pair_note_bytes(m->p, name.ptr, name.len);
  pair_note_bytes(m->p, json, strlen(json));
  return m->act != NULL ? m->act(peer, ev) : m->rv;
}

static void on(pair *p, const char *space, const char *name, mark *m) {
  m->p = p;
  assert_int_equal(rill_on(p->hub, space, name, note, m), 0);
}

static void before(pair *p, mark *m) {
  m->p = p;
  assert_int_equal(rill_before(p->hub, NULL, note, m), 0);
}

static void test_event_has_one_handler(void **state) {
  pair *p = *state;
  mark a = {.name = "A"}, b = {.name = "B"}, rest = {.name = "rest"};
  end *e;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  on(p, "/", "b", &b);
  on(p, NULL, "*", &rest);
  assert_int_equal(rill_on(p->hub, NULL, "a", note, &a), RILL_ERR_EXISTS);
  assert_int_equal(rill_on(p->hub, NULL, "*", note, &a), RILL_ERR_EXISTS);
  assert_int_equal(rill_on(p->hub, NULL, "c", NULL, &a), RILL_ERR_ARG);
  assert_int_equal(rill_on(p->hub, NULL, "", note, &a), RILL_ERR_ARG);
  assert_int_equal(rill_on(p->hub, NULL, NULL, note, &a), RILL_ERR_ARG);
  assert_int_equal(rill_on(p->hub, "/none", "c", note, &a), RILL_ERR_NOT_FOUND);
  e = talk_json(p);
  say(e, "{\"event\":\"a\",\"args\":[1]}");
  say(e, "{\"event\":\"b\"}");
  say(e, "{\"event\":\"ab\"}");
  say(e, "{\"event\":\"A\"}");
  say(e, "{\"event\":\"*\"}");
  assert_string_equal(pair_log(p), "A a [1]; B b []; rest ab []; rest A []; "
                                   "rest * []");
  assert_int_equal(pair_metrics(p).events_total, 5);
  assert_int_equal(pair_metrics(p).events_unknown_total, 0);
}

/* Handlers are set where there is no randomness yet. */
static void test_event_handlers_need_no_conn(void **state) {
  pair *p = *state;
  mark a = {.name = "A"};
  char name[16];
  end *e;

  p->no_random = true;
  talk_begin_bare(p);
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "e%d", i);
    on(p, NULL, name, &a);
  }
  assert_int_equal(rill_throttle(p->hub, NULL, "e7", 1, 1000, true), 0);
  p->no_random = false;
  e = talk_json(p);
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "A e%d []", i);
    {
      char text[40];
      snprintf(text, sizeof text, "{\"event\":\"e%d\"}", i);
      say(e, text);
    }
    assert_string_equal(pair_log(p), name);
  }
  say(e, "{\"event\":\"e7\"}");
  assert_string_equal(pair_log(p), "");
}

static int look(rill_peer peer, const rill_event *ev) {
  (void)peer;
  assert_int_equal(rill_event_count(ev), 2);
  assert_int_equal(rill_value_int(rill_event_arg(ev, 0), 0), 1);
  assert_memory_equal(rill_value_str(rill_event_arg(ev, 1)).ptr, "x", 1);
  assert_int_equal(rill_value_type(rill_event_arg(ev, 2)), RILL_ABSENT);
  assert_int_equal(rill_value_type(rill_event_arg(ev, SIZE_MAX)), RILL_ABSENT);
  assert_false(rill_event_ack(ev).wanted);
  assert_int_equal(rill_event_reply(ev, NULL), 0); /* nobody waits */
  assert_int_equal(rill_ack((rill_ack_to){0}, NULL), RILL_ERR_STATE);
  return 0;
}

static void test_event_arguments_are_numbered(void **state) {
  pair *p = *state;
  mark a = {.name = "A", .act = look};
  end *json, *packed, *sio;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  json = talk_json(p);
  packed = talk_msgpack(p);
  sio = talk_sio(p, "40");
  say(json, "{\"event\":\"a\",\"args\":[1,\"x\"]}");
  say(packed, "{\"event\":\"a\",\"args\":[1,\"x\"]}");
  end_text(sio, "42[\"a\",1,\"x\"]");
  assert_string_equal(pair_log(p),
                      "A a [1,\"x\"]; A a [1,\"x\"]; A a [1,\"x\"]");
}

static void test_event_before_comes_in_order(void **state) {
  pair *p = *state;
  mark one = {.name = "1"}, two = {.name = "2"}, a = {.name = "A"};
  end *e;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  before(p, &one);
  before(p, &two);
  assert_int_equal(rill_before(p->hub, NULL, NULL, NULL), RILL_ERR_ARG);
  assert_int_equal(rill_before(p->hub, "/none", note, &one),
                   RILL_ERR_NOT_FOUND);
  e = talk_json(p);
  say(e, "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "1 a []; 2 a []; A a []");
  say(e, "{\"event\":\"b\",\"id\":1}"); /* for unknown ones as well */
  assert_string_equal(pair_log(p), "1 b []; 2 b []");
  assert_non_null(strstr(said(e), "\"code\":\"unknown\""));
  one.rv = RILL_STOP;
  say(e, "{\"event\":\"a\",\"id\":2}");
  assert_string_equal(pair_log(p), "1 a []");
  assert_string_equal(said(e), "");
  one.rv = 0;
  two.rv = RILL_ERR_FORBIDDEN;
  say(e, "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "1 a []; 2 a []; 0 close 13 1006/1011");
  assert_string_equal(said(e), "close 1011 a handler failed\neof");
}

static int fail_and_stop(rill_peer peer, const rill_event *ev) {
  (void)peer;
  assert_int_equal(rill_event_fail(ev, "no", "not now"), 0);
  return RILL_STOP;
}

static int close_it(rill_peer peer, const rill_event *ev) {
  (void)ev;
  return rill_close(peer, 4000, "enough");
}

static int cut_it(rill_peer peer, const rill_event *ev) {
  (void)ev;
  return rill_cut(peer);
}

static void test_event_before_may_answer_and_end(void **state) {
  pair *p = *state;
  mark one = {.name = "1", .act = fail_and_stop}, a = {.name = "A"};
  end *e;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  before(p, &one);
  e = talk_json(p);
  say(e, "{\"event\":\"a\",\"id\":1}");
  assert_string_equal(said(e), "{\"ack\":1,\"error\":{\"code\":\"no\","
                               "\"message\":\"not now\"}}");
  one.act = close_it;
  talk_put(e, "{\"event\":\"a\",\"id\":2}");
  talk_put(e, "{\"event\":\"a\",\"id\":3}");
  pair_turn(p);
  assert_string_equal(said(e), "close 4000 enough");
  end_bye(e, 4000, "");
  e = talk_json(p);
  one.act = cut_it;
  say(e, "{\"event\":\"a\",\"id\":2}");
  assert_string_equal(said(e), "eof");
  assert_null(strstr(pair_log(p), "A a"));
}

static void test_event_handlers_may_end_it(void **state) {
  static int (*const acts[])(rill_peer, const rill_event *) = {close_it,
                                                               cut_it};
  pair *p = *state;
  mark a = {.name = "A"};

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  for (size_t i = 0; i < 2; i++) {
    end *e[3] = {talk_json(p), talk_msgpack(p), talk_sio(p, "40")};
    a.act = acts[i];
    talk_put(e[0], "{\"event\":\"a\",\"id\":2}");
    talk_put(e[0], "{\"event\":\"a\",\"id\":2}");
    talk_put(e[1], "{\"event\":\"a\",\"id\":2}");
    end_put(e[2], 0x81, "42[\"a\"]", 7);
    end_put(e[2], 0x81, "42[\"a\"]", 7);
    pair_turn(p);
    assert_string_equal(said(e[0]), i == 0 ? "close 4000 enough" : "eof");
    assert_string_equal(said(e[1]), i == 0 ? "close 4000 enough" : "eof");
    assert_string_equal(said(e[2]), i == 0 ? "41" : "eof");
  }
}

static void test_event_handlers_may_say_what_send_said(void **state) {
  static const int fine[] = {0, RILL_ERR_FULL, RILL_ERR_CLOSED, RILL_BUSY};
  pair *p = *state;
  mark a = {.name = "A"};
  end *e;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  e = talk_json(p);
  for (size_t i = 0; i < 4; i++) {
    a.rv = fine[i];
    say(e, "{\"event\":\"a\"}");
    assert_string_equal(pair_log(p), "A a []");
  }
  assert_int_equal(pair_metrics(p).handler_errors_total, 0);
}

static void test_event_rate_is_kept(void **state) {
  pair *p = *state;
  mark a = {.name = "A"};
  end *e, *other;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  assert_int_equal(rill_throttle(p->hub, NULL, "a", 0, 1, false), RILL_ERR_ARG);
  assert_int_equal(rill_throttle(p->hub, NULL, "a", 1, 0, false), RILL_ERR_ARG);
  assert_int_equal(rill_throttle(p->hub, NULL, "a", 1, RILL_UNLIMITED, false),
                   RILL_ERR_ARG);
  assert_int_equal(rill_throttle(p->hub, NULL, "", 1, 1, false), RILL_ERR_ARG);
  assert_int_equal(rill_throttle(p->hub, "/none", "a", 1, 1, false),
                   RILL_ERR_NOT_FOUND);
  assert_int_equal(rill_throttle(p->hub, NULL, "a", 3, 900, false), 0);
  e = talk_json(p);
  other = talk_json(p);
  for (int i = 0; i < 3; i++)
    say(e, "{\"event\":\"a\",\"id\":1}");
  assert_string_equal(pair_log(p), "A a []; A a []; A a []");
  say(e, "{\"event\":\"a\",\"id\":1}");
  assert_string_equal(said(e), "{\"ack\":1,\"error\":{\"code\":\"throttled\","
                               "\"message\":\"too many of these events\"}}");
  say(e, "{\"event\":\"a\"}");
  assert_string_equal(said(e), "{\"error\":{\"code\":\"throttled\","
                               "\"message\":\"too many of these events\"}}");
  assert_string_equal(pair_log(p), "");
  assert_int_equal(pair_metrics(p).events_throttled_total, 2);
  say(other, "{\"event\":\"a\"}"); /* each peer has its own */
  assert_string_equal(pair_log(p), "A a []");
  pair_pass(p, 299 * RILL_MSEC);
  say(e, "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "");
  pair_pass(p, 1 * RILL_MSEC);
  say(e, "{\"event\":\"a\"}");
  say(e, "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "A a []");
  pair_pass(p, 10 * RILL_SEC);
  for (int i = 0; i < 5; i++)
    say(e, "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "A a []; A a []; A a []");
}

static void test_event_rate_may_be_quiet(void **state) {
  pair *p = *state;
  mark first = {.name = "before"};
  end *e;

  talk_begin(p);
  before(p, &first);
  assert_int_equal(rill_throttle(p->hub, NULL, "a", 1, 1000, true), 0);
  e = talk_json(p);
  say(e, "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "before a []; 0 event a []");
  say(e, "{\"event\":\"a\",\"id\":1}");
  assert_string_equal(pair_log(p), ""); /* nobody is bothered */
  assert_string_equal(said(e), "");
  assert_int_equal(pair_metrics(p).events_throttled_total, 1);
}

/* Rates that are set while peers have buckets already. */
static void test_event_rates_may_be_added(void **state) {
  pair *p = *state;
  char text[40], name[8];
  end *e;

  talk_begin(p);
  e = talk_json(p);
  for (int i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "e%d", i);
    assert_int_equal(rill_throttle(p->hub, NULL, name, 1, 1000, true), 0);
    for (int k = i; k >= 0; k -= 7) {
      snprintf(text, sizeof text, "{\"event\":\"e%d\"}", k);
      say(e, text);
    }
    snprintf(text, sizeof text, "0 event e%d []", i);
    assert_string_equal(pair_log(p), text); /* the older are used up */
  }
  assert_int_equal(rill_throttle(p->hub, NULL, "e3", 2, 1000, true), 0);
  say(e, "{\"event\":\"e3\"}");
  assert_string_equal(pair_log(p), "");
  pair_pass(p, 500 * RILL_MSEC);
  say(e, "{\"event\":\"e3\"}");
  assert_string_equal(pair_log(p), "0 event e3 []");
}

static void test_event_names_may_be_numbers(void **state) {
  static const char *const said_[] = {"421[1,\"x\"]", "42[1.5]", "42[-0]",
                                      "42[1e2]"};
  pair *p = *state;
  end *e;

  p->quiet = false;
  talk_begin_bare(p);
  {
    mark m = {.name = "A"}, one = {.name = "one"};
    on(p, NULL, "1", &one);
    on(p, NULL, "*", &m);
    e = talk_sio(p, "40");
    for (size_t i = 0; i < 4; i++)
      end_text(e, said_[i]);
    assert_string_equal(pair_log(p),
                        "one 1 [\"x\"]; A 1.5 []; A -0 []; A 1e2 []");
    end_text(e, "42[null]");
    assert_string_equal(pair_log(p), "");
    assert_non_null(strstr(said(e), "eof"));
  }
}

static int fail_it(rill_peer peer, const rill_event *ev) {
  (void)peer;
  return rill_event_fail(ev, "c\"d", "m\ne");
}

static void test_event_fails_as_each_dialect_has_it(void **state) {
  pair *p = *state;
  mark a = {.name = "A", .act = fail_it};
  end *e;

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  e = talk_sio(p, "40");
  end_text(e, "4212[\"a\"]");
  assert_string_equal(said(e), "4312[{\"error\":{\"code\":\"c\\\"d\","
                               "\"message\":\"m\\ne\"}}]");
  end_text(e, "42[\"a\"]");
  assert_string_equal(said(e), "42[\"error\",{\"code\":\"c\\\"d\",\"message\":"
                               "\"m\\ne\",\"event\":\"a\"}]");
  e = talk_json(p);
  say(e, "{\"event\":\"a\",\"id\":12}");
  assert_string_equal(said(e), "{\"ack\":12,\"error\":{\"code\":\"c\\\"d\","
                               "\"message\":\"m\\ne\"}}");
  e = talk_post(p, "/sse/r", "{\"event\":\"a\"}");
  assert_string_equal(answered(e), "422 {\"error\":{\"code\":\"c\\\"d\","
                                   "\"message\":\"m\\ne\"}}");
}

static void test_event_unknown_is_counted(void **state) {
  pair *p = *state;
  end *e;

  talk_begin_bare(p);
  e = talk_sio(p, "40");
  end_text(e, "42[\"a\"]");
  end_text(e, "420[\"a\"]");
  assert_string_equal(said(e), ""); /* as the reference does */
  assert_int_equal(pair_metrics(p).events_unknown_total, 2);
}

static void test_event_spaces_are_worlds(void **state) {
  pair *p = *state;
  mark root = {.name = "root"}, chat = {.name = "chat"}, dyn = {.name = "dyn"};
  end *e;

  talk_begin_bare(p);
  assert_int_equal(rill_space(p->hub, "/chat", NULL), 0);
  assert_int_equal(rill_space(p->hub, "/d-*", NULL), 0);
  assert_int_equal(rill_space(p->hub, "/chat", NULL), RILL_ERR_EXISTS);
  assert_int_equal(rill_space(p->hub, "/d-*", NULL), RILL_ERR_EXISTS);
  assert_int_equal(rill_space(p->hub, "chat", NULL), RILL_ERR_ARG);
  assert_int_equal(rill_space(p->hub, "", NULL), RILL_ERR_ARG);
  on(p, "/", "a", &root);
  on(p, "/chat", "a", &chat);
  on(p, "/d-*", "*", &dyn);
  assert_int_equal(rill_on(p->hub, "/d-1", "a", note, &dyn),
                   RILL_ERR_NOT_FOUND);
  e = talk_sio(p, "40");
  end_text(e, "40/chat,");
  end_text(e, "40/d-1,");
  end_text(e, "40/d-2,");
  assert_non_null(strstr(said(e), "40/d-2,{\"sid\":\"*\"}"));
  end_text(e, "42[\"a\",0]");
  end_text(e, "42/chat,[\"a\",1]");
  end_text(e, "42/d-1,[\"a\",2]");
  end_text(e, "42/d-2,[\"b\",3]");
  end_text(e, "42/chat,[\"b\"]");
  assert_string_equal(pair_log(p),
                      "root a [0]; chat a [1]; dyn a [2]; dyn b [3]");
  end_text(e, "40/e-1,");
  assert_string_equal(said(e), "44/e-1,{\"message\":\"Invalid namespace\"}");
}

static int check_space(rill_peer peer, const rill_event *ev) {
  rill_builder *b = rill_build(peer.hub);

  rill_put_str(b, rill_peer_space(peer));
  return rill_event_reply(ev, b);
}

static void test_event_space_of_a_peer(void **state) {
  pair *p = *state;
  mark a = {.name = "A", .act = check_space};
  end *e;

  talk_begin_bare(p);
  assert_int_equal(rill_space(p->hub, "/d*", NULL), 0);
  on(p, "/d*", "a", &a);
  e = talk_sio(p, "40/d1,");
  end_text(e, "42/d1,5[\"a\"]");
  assert_string_equal(said(e), "43/d1,5[\"/d1\"]");
  assert_int_equal(rill_peer_space((rill_peer){0}).len, 0);
}

static rill_ack_to to;

static int take(rill_peer peer, const rill_event *ev) {
  (void)peer;
  to = rill_event_ack(ev);
  return 0;
}

static void test_event_answers_may_come_later(void **state) {
  pair *p = *state;
  mark a = {.name = "A", .act = take};
  rill_builder *b;
  end *e, *s;

  p->config.limits.attachments = 2;
  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  e = talk_json(p);
  say(e, "{\"event\":\"a\",\"id\":9}");
  assert_string_equal(said(e), "");
  b = talk_args(p, "1");
  rill_put_object(b);
  assert_int_equal(rill_ack(to, b), RILL_ERR_ARG); /* it is open */
  b = talk_args(p, "1");
  for (int i = 0; i < 3; i++)
    rill_put_bytes(b, "x", 1);
  assert_int_equal(rill_ack(to, b), RILL_ERR_LIMIT);
  assert_int_equal(pair_metrics(p).limit_attachments, 1);
  b = talk_args(p, "1");
  for (int i = 0; i < 2; i++)
    rill_put_bytes(b, "x", 1);
  assert_int_equal(rill_ack(to, b), 0);
  pair_turn(p);
  assert_string_equal(said(e), "{\"ack\":9,\"args\":[1,{\"$bytes\":\"eA==\"},"
                               "{\"$bytes\":\"eA==\"}]}");
  s = talk_sio(p, "40");
  end_text(s, "4210[\"a\"]");
  b = talk_args(p, "1");
  rill_put_bytes(b, "xy", 2);
  assert_int_equal(rill_ack(to, b), 0);
  pair_turn(p);
  assert_string_equal(said(s), "461-10[1,{\"_placeholder\":true,\"num\":0}]\n"
                               "<7879>");
  end_text(s, "4211[\"a\"]");
  end_eof(s, 0);
  assert_int_equal(rill_ack(to, NULL), RILL_ERR_CLOSED);
  say(e, "{\"event\":\"a\",\"id\":9}");
  assert_int_equal(rill_close(e->peer, 1000, NULL), 0);
  assert_int_equal(rill_ack(to, NULL), RILL_ERR_CLOSED);
}

/* What a handler does leaves its arguments alone. */
static int busy(rill_peer peer, const rill_event *ev) {
  rill_builder *b = rill_build(peer.hub);
  char json[100];

  rill_put_text(b, "something else");
  assert_int_equal(rill_join(peer, rill_s("h")), 0);
  assert_int_equal(rill_emit_room(peer.hub, rill_s("h"), "x", b, NULL), 0);
  assert_int_equal(rill_emit_peer(peer, "y", b, NULL), 0);
  assert_int_equal(rill_leave(peer, rill_s("h")), 0);
  rill_value_json(rill_event_args(ev), json, sizeof json);
  assert_string_equal(json, "[\"a\\\"b\",{\"k\":{\"$bytes\":\"AAEC\"}}]");
  b = rill_build(peer.hub);
  rill_put_value(b, rill_event_args(ev));
  return rill_event_reply(ev, b);
}

static void test_event_arguments_last_for_the_call(void **state) {
  pair *p = *state;
  mark a = {.name = "A", .act = busy};
  end *e;

  talk_begin_bare(p);
  assert_int_equal(
      rill_room_defaults(p->hub, "h",
                         &(rill_room_opts){.history = 2, .batch_ms = 5}),
      0);
  on(p, NULL, "a", &a);
  for (int packs = 0; packs < 2; packs++) {
    e = talk_json_at(p, "/json", packs);
    say(e, "{\"event\":\"a\",\"args\":[\"a\\\"b\",{\"k\":{\"$bytes\":"
           "\"AAEC\"}}],\"id\":1}");
    assert_non_null(strstr(said(e), "{\"ack\":1,\"args\":[[\"a\\\"b\",{\"k\":"
                                    "{\"$bytes\":\"AAEC\"}}]]}"));
  }
}

/* As deep as a builder goes: the answer does not end the client. */
static int reply_deep(rill_peer peer, const rill_event *ev) {
  rill_builder *b = rill_build(peer.hub);

  for (int i = 0; i < 32; i++)
    rill_put_array(b);
  for (int i = 0; i < 32; i++)
    rill_put_end(b);
  assert_int_equal(rill_builder_error(b), 0);
  return rill_event_reply(ev, b);
}

static void test_event_answer_may_be_deep(void **state) {
  pair *p = *state;
  mark a = {.name = "A", .act = reply_deep};

  talk_begin_bare(p);
  on(p, NULL, "a", &a);
  for (int packs = 0; packs < 2; packs++) {
    end *e = talk_json_at(p, "/json", packs);
    say(e, "{\"event\":\"a\",\"id\":1}");
    assert_non_null(strstr(said(e), "{\"ack\":1,\"args\":[[[["));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_event_has_one_handler),
      PAIR_TEST(test_event_handlers_need_no_conn),
      PAIR_TESTS(test_event_arguments_are_numbered),
      PAIR_TEST(test_event_before_comes_in_order),
      PAIR_TEST(test_event_before_may_answer_and_end),
      PAIR_TESTS(test_event_handlers_may_end_it),
      PAIR_TEST(test_event_handlers_may_say_what_send_said),
      PAIR_TEST(test_event_rate_is_kept),
      PAIR_TEST(test_event_rate_may_be_quiet),
      PAIR_TEST(test_event_rates_may_be_added),
      PAIR_TEST(test_event_names_may_be_numbers),
      PAIR_TEST(test_event_fails_as_each_dialect_has_it),
      PAIR_TEST(test_event_unknown_is_counted),
      PAIR_TESTS(test_event_spaces_are_worlds),
      PAIR_TEST(test_event_space_of_a_peer),
      PAIR_TEST(test_event_answers_may_come_later),
      PAIR_TEST(test_event_arguments_last_for_the_call),
      PAIR_TEST(test_event_answer_may_be_deep)};

  return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
