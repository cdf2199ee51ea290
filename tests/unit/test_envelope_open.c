/* test_envelope_open.c - "open" of the envelope: who is let in, and back. */
#include "envelope_kit.h"

static void test_envelope_opens_with_a_sid(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  for (int packs = 0; packs < 2; packs++) {
    e = talk_connect(p, "/json", packs);
    assert_string_equal(ask(e, "{\"open\":{}}"), OPENED);
    assert_memory_equal(talk_sid[e->index], rill_peer_sid(e->peer).ptr, 20);
    assert_string_equal(pair_log(p), packs ? "1 open" : "0 open");
  }
}

static void test_envelope_names_its_subprotocol(void **state) {
  pair *p = *state;
  end *a, *b;
  char value[256];

  talk_begin(p);
  a = talk_json(p);
  assert_null(head_value(&a->http_head, "Sec-WebSocket-Protocol", value));
  b = talk_msgpack(p);
  assert_string_equal(
      head_value(&b->http_head, "Sec-WebSocket-Protocol", value),
      "rill.msgpack.v1");
}

static int refuse(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "auth") == 0)
    return rill_reject(e->req, 403, "not you");
  return 0;
}

static void test_envelope_refusal_has_a_code_and_a_close(void **state) {
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = refuse;
  e = talk_connect(p, "/json", false);
  say(e, "{\"open\":{}}");
  assert_string_equal(
      said(e), "{\"error\":{\"code\":\"forbidden\",\"message\":\"not you\"}}\n"
               "close 4503 not you");
  say(e, "{\"event\":\"a\"}"); /* too late */
  end_bye(e, 4503, "");
  assert_string_equal(said(e), "eof");
  assert_string_equal(pair_log(p), "auth");
}

static struct {
  int status;
  const char *code;
  unsigned close;
} refusals[] = {{400, "refused", 4500},     {401, "unauthorized", 4501},
                {403, "forbidden", 4503},   {429, "too-many", 1013},
                {499, "refused", 4599},     {500, "refused", 1013},
                {503, "unavailable", 1013}, {399, "refused", 1013},
                {600, "refused", 1013}};

static int refuse_with(pair *p, const event *e) {
  rill_builder *b = rill_build(p->hub);

  rill_put_object(b);
  rill_set_int(b, "retry", 7);
  rill_put_end(b);
  return strcmp(e->name, "auth") == 0
             ? rill_reject_with(e->req, *(int *)p->act_arg, "so", b)
             : 0;
}

static void test_envelope_close_says_whether_to_come_back(void **state) {
  pair *p = *state;
  char expected[200];
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = refuse_with;
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    p->act_arg = &refusals[i].status;
    e = talk_connect(p, "/json", false);
    say(e, "{\"open\":{}}");
    snprintf(expected, sizeof expected,
             "{\"error\":{\"code\":\"%s\",\"message\":\"so\",\"data\":"
             "{\"retry\":7}}}\nclose %u so",
             refusals[i].code, refusals[i].close);
    assert_string_equal(said(e), expected);
  }
}

/* A reason that no close frame has room for. */
static int refuse_at_length(pair *p, const event *e) {
  static char reason[125];

  memset(reason, 'r', *(size_t *)p->act_arg);
  reason[*(size_t *)p->act_arg] = '\0';
  return strcmp(e->name, "auth") == 0 ? rill_reject(e->req, 403, reason) : 0;
}

static void test_envelope_long_reason_is_not_cut_in_the_close(void **state) {
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = refuse_at_length;
  for (size_t len = 122; len <= 124; len++) {
    const char *close;
    p->act_arg = &len;
    e = talk_connect(p, "/json", false);
    say(e, "{\"open\":{}}");
    close = strstr(said(e), "\nclose 4503 ");
    assert_non_null(close);
    assert_int_equal(strlen(close + 12),
                     len == 124 ? strlen("forbidden") : len);
  }
}

/* What is said behind "open" is read when the verdict is there. */
static void test_envelope_pipelined_messages_wait(void **state) {
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = later;
  e = talk_connect(p, "/json", false);
  talk_put(e, "{\"open\":{\"token\":\"t\"}}");
  talk_put(e, "{\"event\":\"a\",\"args\":[1],\"id\":1}");
  talk_put(e, "{\"event\":\"b\",\"args\":[2],\"id\":2}");
  pair_turn(p);
  assert_string_equal(said(e), "");
  assert_string_equal(pair_log(p), "auth");
  assert_memory_equal(rill_request_credential(waiting).ptr, "t", 1);
  p->act = reply_args;
  assert_int_equal(rill_accept(waiting, rill_s("ann")), 0);
  pair_turn(p);
  assert_string_equal(said(e), OPENED "\n{\"ack\":1,\"args\":[1]}\n"
                                      "{\"ack\":2,\"args\":[2]}");
  assert_string_equal(pair_log(p), "0 open; 0 event a [1]; 0 event b [2]");
  assert_memory_equal(rill_peer_user(e->peer).ptr, "ann", 3);
  say(e, "{\"ping\":1}"); /* it reads on */
  assert_string_equal(said(e), "{\"pong\":1}");
}

static void accept_posted(rill_hub *hub, void *arg) {
  (void)hub;
  assert_int_equal(rill_accept(arg, rill_s("bob")), 0);
}

static void test_envelope_pipelined_messages_wait_for_a_post(void **state) {
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = later;
  e = talk_connect(p, "/json", false);
  talk_put(e, "{\"open\":{}}");
  talk_put(e, "{\"event\":\"a\",\"id\":1}");
  pair_turn(p);
  assert_int_equal(rill_post(p->hub, accept_posted, waiting), 0);
  p->act = reply_args;
  pair_turn(p);
  assert_string_equal(said(e), OPENED "\n{\"ack\":1,\"args\":[]}");
  assert_string_equal(pair_log(p), "auth; 0 open; 0 event a []");
}

static void test_envelope_later_refusal_ends_in_order(void **state) {
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = later;
  e = talk_connect(p, "/json", false);
  talk_put(e, "{\"open\":{}}");
  talk_put(e, "{\"event\":\"a\",\"id\":1}");
  pair_turn(p);
  assert_int_equal(rill_reject(waiting, 401, "no"), 0);
  pair_turn(p);
  assert_string_equal(
      said(e), "{\"error\":{\"code\":\"unauthorized\",\"message\":\"no\"}}\n"
               "close 4501 no");
  end_bye(e, 4501, ""); /* answered, so there is nothing to wait for */
  assert_string_equal(said(e), "eof");
  assert_string_equal(pair_log(p), "auth");
}

static void test_envelope_client_may_leave_before_the_verdict(void **state) {
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = later;
  e = talk_connect(p, "/json", false);
  say(e, "{\"open\":{}}");
  end_eof(e, 0);
  assert_string_equal(said(e), "eof");
  assert_int_equal(rill_accept(waiting, rill_s("ann")), RILL_ERR_CLOSED);
  pair_turn(p);
  assert_string_equal(pair_log(p), "auth");
}

static void test_envelope_open_comes_first(void **state) {
  static const char *const wrong[] = {"{}",
                                      "{\"event\":\"a\"}",
                                      "{\"open\":true}",
                                      "{\"open\":null}",
                                      "{\"open\":[]}",
                                      "{\"ping\":1}",
                                      "{\"$bytes\":\"\"}"};
  pair *p = *state;

  talk_begin(p);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    end *e = talk_connect(p, "/json", false);
    say(e, wrong[i]);
    assert_string_equal(said(e), "close 1008 \"open\" comes first\neof");
  }
  assert_string_equal(pair_log(p), "");
}

static void test_envelope_nobody_waits_for_open_for_ever(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.connect_ms = 3000;
  talk_begin(p);
  e = talk_connect(p, "/json", false);
  pair_pass(p, 2999 * RILL_MSEC);
  assert_string_equal(said(e), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(said(e), "close 1008 nobody has connected in time\neof");
  assert_int_equal(pair_metrics(p).limit_connect_ms, 1);
}

static void test_envelope_no_verdict_in_time(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.verdict_ms = 2000;
  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  p->act = later;
  e = talk_connect(p, "/json", false);
  talk_put(e, "{\"open\":{}}");
  talk_put(e, "{\"event\":\"a\"}");
  pair_pass(p, 1999 * RILL_MSEC);
  assert_string_equal(said(e), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(said(e),
                      "{\"error\":{\"code\":\"unavailable\",\"message\":"
                      "\"no verdict in time\"}}\n"
                      "close 1013 no verdict in time");
  assert_int_equal(pair_metrics(p).limit_verdict_ms, 1);
  assert_int_equal(rill_accept(waiting, rill_s("ann")), RILL_ERR_CLOSED);
  pair_turn(p);
  assert_string_equal(pair_log(p), "auth");
}

/* What it was told last, as its cursor. */
static const char *offset_in(const char *text, char out[64]) {
  const char *at = strstr(text, "\"offset\":\"EPOCH");

  assert_non_null(at);
  snprintf(out, 64, "%.*s", (int)strcspn(at + 15, "\""), at + 15);
  return out;
}

static void resume(end *e, const char *secret, const char *offset) {
  char text[200];

  if (offset == NULL)
    snprintf(text, sizeof text, "{\"open\":{},\"resume\":\"%s\"}", secret);
  else
    snprintf(text, sizeof text,
             "{\"open\":{},\"resume\":\"%s\",\"offset\":\"%.8s%s\"}", secret,
             e->p->hub->epoch, offset);
  say(e, text);
}

static void test_envelope_resumes_with_what_it_missed(void **state) {
  pair *p = *state;
  end *e, *again;
  char offset[64], secret[32];

  talk_begin_recovering(p);
  for (int packs = 0; packs < 2; packs++) {
    e = talk_connect(p, "/json", packs);
    assert_string_equal(
        ask(e, "{\"open\":{}}"),
        "{\"open\":\"*\",\"session\":\"*\",\"recovered\":false}");
    strcpy(secret, talk_secret[e->index]);
    assert_int_equal(rill_join(e->peer, rill_s("r")), 0);
    talk_emit(p, "r", "one", "1");
    pair_turn(p);
    offset_in(said(e), offset);
    pair_log(p);
    end_eof(e, 0);
    assert_string_equal(pair_log(p), packs ? "2 away" : "0 away");
    talk_emit(p, "r", "two", "2");
    talk_emit(p, "other", "three", "3");
    assert_int_equal(rill_emit_peer(e->peer, "four", talk_args(p, "4"), NULL),
                     0);
    again = talk_connect(p, "/json", packs);
    resume(again, secret, offset);
    assert_string_equal(
        said(again),
        packs ? "#{\"open\":\"*\",\"session\":\"*\",\"recovered\":true}\n"
                "#{\"event\":\"two\",\"args\":[2],\"room\":\"r\","
                "\"offset\":\"EPOCH-6\"}\n"
                "#{\"event\":\"four\",\"args\":[4],\"offset\":\"EPOCH-8\"}"
              : "{\"open\":\"*\",\"session\":\"*\",\"recovered\":true}\n"
                "{\"event\":\"two\",\"args\":[2],\"room\":\"r\","
                "\"offset\":\"EPOCH-2\"}\n"
                "{\"event\":\"four\",\"args\":[4],\"offset\":\"EPOCH-4\"}");
    assert_string_not_equal(secret, talk_secret[again->index]);
    assert_string_equal(talk_sid[e->index], talk_sid[again->index]);
    assert_string_equal(pair_log(p), packs ? "3 back" : "1 back");
    talk_is(again, e);
    assert_true(rill_in_room(again->peer, rill_s("r")));
    assert_int_equal(rill_leave(again->peer, rill_s("r")), 0);
  }
  talk_give_up(p);
}

static void test_envelope_resume_is_refused_quietly(void **state) {
  static const char *const offsets[] = {
      "",    "-",   "-x",  "-1x", "- 1",
      "-+1", "--1", "-99", "_1",  "-18446744073709551616"};
  pair *p = *state;
  end *e, *again;
  char secret[32];

  talk_begin_recovering(p);
  for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
    e = talk_json(p);
    strcpy(secret, talk_secret[e->index]);
    end_eof(e, 0);
    again = talk_connect(p, "/json", false);
    resume(again, secret, offsets[i]);
    assert_string_equal(said(again), "{\"open\":\"*\",\"session\":\"*\","
                                     "\"recovered\":false}");
    assert_string_not_equal(talk_sid[e->index], talk_sid[again->index]);
  }
  /* secrets that are none, or spent */
  e = talk_json(p);
  strcpy(secret, talk_secret[e->index]);
  end_eof(e, 0);
  again = talk_connect(p, "/json", false);
  resume(again, secret, NULL);
  assert_non_null(strstr(said(again), "true"));
  talk_is(again, e);
  e = talk_connect(p, "/json", false);
  resume(e, secret, NULL);
  assert_non_null(strstr(said(e), "false"));
  assert_int_equal(again->closed, 0);
  talk_give_up(p);
}

static void test_envelope_goodbye_is_meant(void **state) {
  pair *p = *state;
  end *e, *again;
  char secret[32];

  talk_begin_recovering(p);
  e = talk_json(p);
  strcpy(secret, talk_secret[e->index]);
  end_bye(e, 1000, "");
  assert_string_equal(pair_log(p), "0 close 1 1000/1000");
  again = talk_connect(p, "/json", false);
  resume(again, secret, NULL);
  assert_non_null(strstr(said(again), "\"recovered\":false"));
  talk_give_up(p);
}

/* The old connection may not have noticed its end. */
static void test_envelope_resume_takes_the_peer_from_its_conn(void **state) {
  pair *p = *state;
  end *e, *again;
  char secret[32];

  talk_begin_recovering(p);
  e = talk_json(p);
  strcpy(secret, talk_secret[e->index]);
  again = talk_connect(p, "/json", false);
  resume(again, secret, NULL);
  assert_non_null(strstr(said(again), "\"recovered\":true"));
  assert_string_equal(said(e), "eof");
  talk_is(again, e);
  talk_give_up(p);
}

static void test_envelope_goes_through_deflate(void **state) {
  pair *p = *state;
  end *e = NULL;
  char value[256];

  talk_begin(p);
  e = pair_accept(p);
  end_hello(e, "/deflated",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
            "Sec-WebSocket-Protocol: rill.json.v1\r\n");
  assert_string_equal(end_took(e), "101");
  assert_string_equal(
      head_value(&e->http_head, "Sec-WebSocket-Protocol", value),
      "rill.json.v1");
  say(e, "{\"open\":{}}");
  assert_string_equal(said(e), OPENED); /* past the limits, and plain */
  assert_int_equal(rill_emit_peer(e->peer, "a", NULL, NULL), 0);
  pair_turn(p);
  assert_memory_equal(said(e), "packed text #", 13);
  assert_int_equal(rill_emit_peer(e->peer, "a", NULL,
                                  &(rill_emit_opts){.uncompressed = true}),
                   0);
  pair_turn(p);
  assert_string_equal(said(e), "{\"event\":\"a\",\"args\":[]}");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_envelope_opens_with_a_sid),
      PAIR_TEST(test_envelope_names_its_subprotocol),
      PAIR_TESTS(test_envelope_refusal_has_a_code_and_a_close),
      PAIR_TEST(test_envelope_close_says_whether_to_come_back),
      PAIR_TEST(test_envelope_long_reason_is_not_cut_in_the_close),
      PAIR_TESTS(test_envelope_pipelined_messages_wait),
      PAIR_TESTS(test_envelope_pipelined_messages_wait_for_a_post),
      PAIR_TESTS(test_envelope_later_refusal_ends_in_order),
      PAIR_TESTS(test_envelope_client_may_leave_before_the_verdict),
      PAIR_TESTS(test_envelope_open_comes_first),
      PAIR_TEST(test_envelope_nobody_waits_for_open_for_ever),
      PAIR_TEST(test_envelope_no_verdict_in_time),
      PAIR_TESTS(test_envelope_resumes_with_what_it_missed),
      PAIR_TEST(test_envelope_resume_is_refused_quietly),
      PAIR_TESTS(test_envelope_goodbye_is_meant),
      PAIR_TESTS(test_envelope_resume_takes_the_peer_from_its_conn),
      PAIR_TEST(test_envelope_goes_through_deflate)};

  return cmocka_run_group_tests_name("envelope_open", tests, NULL, NULL);
}
