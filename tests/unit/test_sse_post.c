/* test_sse_post.c - POSTs of events to a stream's route; CORS; methods. */
#include "sse_kit.h"

static int answer_all(pair *p, const event *e) {
  if (strcmp(e->name, "event") == 0)
    assert_int_equal(rill_event_reply(talk_ev, talk_args(p, "[1,\"\\n\"]")), 0);
  return 0;
}

static end *post_to(pair *p, const end *stream, const char *rest) {
  char body[400];

  snprintf(body, sizeof body, "{\"session\":\"%s\"%s}",
           talk_secret[stream->index], rest);
  return talk_post(p, "/sse/r", body);
}

static void test_sse_post_is_an_event_of_the_stream(void **state) {
  pair *p = *state;
  end *s, *e;

  talk_begin(p);
  s = talk_sse(p, "/sse/r");
  e = post_to(p, s, ",\"event\":\"a\",\"args\":[1,{\"$bytes\":\"AA==\"}]");
  assert_string_equal(answered(e), "200 {\"args\":[]}");
  assert_string_equal((char *)e->http_head.data,
                      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      "Content-Length: 11\r\nCache-Control: no-store\r\n\r\n");
  assert_string_equal(pair_log(p), "0 event a [1,{\"$bytes\":\"AA==\"}]");
  p->act = answer_all;
  e = post_to(p, s, ",\"event\":\"b\"");
  assert_string_equal(answered(e), "200 {\"args\":[[1,\"\\n\"]]}");
  assert_string_equal(pair_log(p), "0 event b []");
  assert_string_equal(streamed(s), "");
}

static void test_sse_posts_share_a_connection(void **state) {
  pair *p = *state;
  char body[100];
  end *s, *e;

  talk_begin(p);
  s = talk_sse(p, "/sse/r");
  snprintf(body, sizeof body, "{\"session\":\"%s\",\"event\":\"a\"}",
           talk_secret[s->index]);
  e = pair_accept(p);
  for (int i = 0; i < 3; i++)
    talk_put_request(e, "POST", "/sse/other", "", body);
  talk_put_request(e, "POST", "/sse/r", "", body);
  pair_turn(p);
  assert_string_equal(end_took(e), "200; 200; 200; 200");
  assert_string_equal(pair_log(p), "0 event a []; 0 event a []; 0 event a []; "
                                   "0 event a []");
}

static void test_sse_bad_posts_are_told(void **state) {
  static const char *const bodies[] = {"", "x", "[]", "{", "1"};
  static const char *const rests[] = {"",
                                      ",\"event\":1",
                                      ",\"event\":\"\"",
                                      ",\"event\":\"connect\"",
                                      ",\"event\":\"a\\n\"",
                                      ",\"event\":\"a\",\"args\":1",
                                      ",\"event\":\"a\",\"args\":{}"};
  pair *p = *state;
  end *s;

  talk_begin(p);
  s = talk_sse(p, "/sse/r");
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
    assert_string_equal(
        answered(talk_post(p, "/sse/r", bodies[i])),
        "400 {\"error\":{\"code\":\"bad-event\",\"message\":\"the body is "
        "{\\\"event\\\":NAME,\\\"args\\\":[...]}\"}}");
  for (size_t i = 0; i < sizeof rests / sizeof *rests; i++)
    assert_string_equal(
        answered(post_to(p, s, rests[i])),
        "400 {\"error\":{\"code\":\"bad-event\",\"message\":\"\\\"event\\\" is "
        "a name, \\\"args\\\" an array\"}}");
  assert_string_equal(
      answered(talk_post(p, "/sse/r",
                         "{\"session\":\"AAAAAAAAAAAAAAAAAAAA\","
                         "\"event\":\"a\"}")),
      "410 {\"error\":{\"code\":\"gone\",\"message\":\"there is no such "
      "session\"}}");
  assert_string_equal(pair_log(p), "");
}

static void test_sse_post_to_another_route_is_gone(void **state) {
  pair *p = *state;
  char body[100];
  end *s;

  talk_begin(p);
  s = talk_sse(p, "/sse/r");
  snprintf(body, sizeof body, "{\"session\":\"%s\",\"event\":\"a\"}",
           talk_secret[s->index]);
  assert_memory_equal(answered(talk_post(p, "/sse", body)), "410", 3);
  end_eof(s, 0);
  assert_memory_equal(answered(talk_post(p, "/sse/r", body)), "410", 3);
}

static int fail_all(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "event") == 0 ? rill_event_fail(talk_ev, "no", "so")
                                       : 0;
}

static void test_sse_failed_posts_are_told(void **state) {
  pair *p = *state;
  end *s;

  talk_begin(p);
  p->act = fail_all;
  s = talk_sse(p, "/sse/r");
  assert_string_equal(answered(post_to(p, s, ",\"event\":\"a\"")),
                      "422 {\"error\":{\"code\":\"no\",\"message\":\"so\"}}");
  assert_string_equal(answered(talk_post(p, "/sse/r", "{\"event\":\"a\"}")),
                      "422 {\"error\":{\"code\":\"no\",\"message\":\"so\"}}");
}

static rill_ack_to to;

static int take(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "event") == 0)
    to = rill_event_ack(talk_ev);
  return 0;
}

static void test_sse_answer_may_come_later(void **state) {
  static const char *const from[] = {"stream", "nobody"};
  pair *p = *state;

  talk_begin(p);
  p->act = take;
  for (int i = 0; i < 2; i++) {
    end *s = from[i][0] == 's' ? talk_sse(p, "/sse/r") : NULL;
    end *e = s != NULL ? post_to(p, s, ",\"event\":\"a\"")
                       : talk_post(p, "/sse/r", "{\"event\":\"a\"}");
    assert_string_equal(answered(e), "");
    assert_true(to.wanted);
    assert_int_equal(rill_ack(to, talk_args(p, "2")), 0);
    assert_int_equal(rill_ack(to, NULL), RILL_ERR_STATE);
    pair_turn(p);
    assert_string_equal(answered(e), "200 {\"args\":[2]}");
    assert_true(rill_ack(to, NULL) < 0);
  }
}

static void test_sse_posts_wait_for_each_other(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  p->act = take;
  e = pair_accept(p);
  talk_put_request(e, "POST", "/sse/r", "", "{\"event\":\"a\"}");
  talk_put_request(e, "POST", "/sse/r", "", "{\"event\":\"b\"}");
  pair_turn(p);
  assert_string_equal(pair_log(p), "event a []");
  assert_string_equal(end_took(e), "");
  assert_int_equal(rill_ack(to, NULL), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "200");
  assert_string_equal(pair_log(p), "event b []");
  assert_int_equal(rill_ack(to, NULL), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "200");
}

/* The hub goes while both wait. */
static void test_sse_posts_may_wait_to_the_end(void **state) {
  pair *p = *state;

  talk_begin(p);
  p->act = take;
  post_to(p, talk_sse(p, "/sse/r"), ",\"event\":\"a\"");
  talk_post(p, "/sse/r", "{\"event\":\"a\"}");
  assert_string_equal(pair_log(p), "0 event a []; event a []");
}

static void test_sse_poster_may_leave_before_the_answer(void **state) {
  pair *p = *state;
  end *s, *e;

  talk_begin(p);
  p->act = take;
  s = talk_sse(p, "/sse/r");
  e = post_to(p, s, ",\"event\":\"a\"");
  end_eof(e, 0);
  assert_null(e->conn);
  assert_int_equal(rill_ack(to, NULL), RILL_ERR_STATE);
  e = talk_post(p, "/sse/r", "{\"event\":\"a\"}");
  end_eof(e, 0);
  assert_null(e->conn);
  assert_int_equal(rill_ack(to, NULL), RILL_ERR_CLOSED);
}

static void test_sse_handler_that_never_answers(void **state) {
  pair *p = *state;
  end *s, *a, *b;

  p->config.limits.verdict_ms = 1000;
  talk_begin(p);
  p->act = take;
  s = talk_sse(p, "/sse/r");
  a = post_to(p, s, ",\"event\":\"a\"");
  b = talk_post(p, "/sse/r", "{\"event\":\"a\"}");
  pair_pass(p, 999 * RILL_MSEC);
  assert_string_equal(answered(a), "");
  assert_string_equal(answered(b), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_memory_equal(end_took(a), "503; eof", 9);
  assert_memory_equal(end_took(b), "503; eof", 9);
  assert_int_equal(rill_ack(to, NULL), RILL_ERR_CLOSED);
  assert_int_equal(s->closed, 0);
}

static void test_sse_stream_ends_under_a_post(void **state) {
  pair *p = *state;
  end *s, *e;

  talk_begin(p);
  p->act = take;
  s = talk_sse(p, "/sse/r");
  e = post_to(p, s, ",\"event\":\"a\"");
  end_eof(s, 0);
  assert_string_equal(
      answered(e),
      "410 {\"error\":{\"code\":\"gone\",\"message\":\"the stream has ended\"}"
      "}");
  assert_int_equal(rill_ack(to, NULL), RILL_ERR_CLOSED);
}

static int close_it(pair *p, const event *e) {
  if (strcmp(e->name, "event") == 0)
    assert_int_equal(p->act_arg != NULL ? rill_cut(e->peer)
                                        : rill_close(e->peer, 1000, NULL),
                     0);
  return 0;
}

static void test_sse_handler_closes_the_stream(void **state) {
  pair *p = *state;
  end *s, *e;

  talk_begin(p);
  for (int cuts = 0; cuts < 2; cuts++) {
    p->act = NULL;
    s = talk_sse(p, "/sse/r");
    p->act = close_it;
    p->act_arg = cuts ? p : NULL;
    e = post_to(p, s, ",\"event\":\"a\"");
    assert_int_equal(s->closed, 1);
    assert_string_equal(answered(e), "200 {\"args\":[]}");
  }
}

static int fail_hard(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "event") == 0 ? RILL_ERR_STATE : 0;
}

static void test_sse_handler_that_fails(void **state) {
  pair *p = *state;
  end *s, *e;

  talk_begin(p);
  s = talk_sse(p, "/sse/r");
  p->act = fail_hard;
  e = post_to(p, s, ",\"event\":\"a\"");
  assert_int_equal(s->closed, 1);
  assert_int_equal(s->how.cause, RILL_CAUSE_HANDLER);
  assert_memory_equal(end_took(e), "500", 3);
  e = talk_post(p, "/sse/r", "{\"event\":\"a\"}");
  assert_memory_equal(end_took(e), "500", 3);
  assert_int_equal(pair_metrics(p).handler_errors_total, 2);
}

static int look_at_user(pair *p, const event *e) {
  if (strcmp(e->name, "event") == 0) {
    assert_memory_equal(rill_peer_user(e->peer).ptr, "ann", 3);
    assert_false(rill_is_open(e->peer));
    assert_int_equal(rill_join(e->peer, rill_s("r")), RILL_ERR_CLOSED);
    return answer_all(p, e);
  }
  return judge(p, e);
}

static void test_sse_post_without_a_session_is_judged(void **state) {
  pair *p = *state;
  end *e;

  judging(p);
  p->act = look_at_user;
  e = talk_post(p, "/sse/r", "{\"event\":\"a\",\"args\":[7]}");
  assert_string_equal(answered(e), "200 {\"args\":[[1,\"\\n\"]]}");
  assert_string_equal(pair_log(p), "auth; event a [7]");
  assert_int_equal(pair_metrics(p).users, 0);
  e = talk_post(p, "/sse/r", "{\"event\":\"\"}");
  assert_string_equal(end_took(e), "400");
  p->act_arg = p;
  e = talk_post(p, "/sse/r", "{\"event\":\"b\"}");
  assert_string_equal(end_took(e), "");
  pair_log(p);
  assert_int_equal(rill_accept(waiting, rill_s("ann")), 0);
  assert_string_equal(pair_log(p), ""); /* a command runs no handler */
  assert_int_equal(rill_accept(waiting, rill_s("ann")), RILL_ERR_STATE);
  pair_turn(p);
  assert_string_equal(answered(e), "200 {\"args\":[[1,\"\\n\"]]}");
  e = talk_post(p, "/sse/r", "{\"event\":\"b\"}");
  assert_int_equal(rill_reject(waiting, 401, "no"), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "401");
  e = talk_post(p, "/sse/r", "{\"event\":\"b\"}");
  end_eof(e, 0);
  assert_int_equal(rill_accept(waiting, rill_s("ann")), RILL_ERR_CLOSED);
  e = talk_post(p, "/sse/r", "{\"event\":\"b\"}");
  assert_int_equal(rill_accept(waiting, rill_s("ann")), 0);
  end_eof(e, 0); /* accepted, and gone before its event was told */
  pair_turn(p);
  assert_int_equal(pair_metrics(p).users, 0);
}

/* The verdict on a POST comes in the handler of another event. */
static int accept_in_event(pair *p, const event *e) {
  char json[64];

  if (strcmp(e->name, "event") != 0)
    return judge(p, e);
  if (rill_event_name(talk_ev).ptr[0] != 'x')
    return 0;
  assert_int_equal(rill_accept(waiting, rill_s("ann")), 0);
  rill_value_json(rill_event_args(talk_ev), json, sizeof json);
  assert_string_equal(json, "[\"mine\"]"); /* still what it was */
  return 0;
}

static void test_sse_post_accepted_in_a_handler_waits(void **state) {
  pair *p = *state;
  end *j, *e;

  judging(p);
  j = talk_json(p);
  p->act = accept_in_event;
  p->act_arg = p;
  e = talk_post(p, "/sse/r", "{\"event\":\"b\",\"args\":[\"yours\"]}");
  pair_log(p);
  say(j, "{\"event\":\"x\",\"args\":[\"mine\"]}");
  assert_string_equal(answered(e), "200 {\"args\":[]}");
  assert_string_equal(pair_log(p), "0 event x [\"mine\"]; event b [\"yours\"]");
}

static const char *allowed(const end *e, char value[256]) {
  return head_value(&e->http_head, "Access-Control-Allow-Origin", value);
}

static void test_sse_cors_names_the_origin(void **state) {
  static const char *const origins[] = {"https://a.example"};
  static const char from_a[] = "Origin: https://a.example\r\n";
  pair *p = *state;
  char value[256];
  end *e;

  p->config.origins = origins;
  p->config.norigins = 1;
  p->config.authorize_join = talk_authorize;
  talk_begin(p);
  p->act = judge;
  e = talk_get(p, "/sse/r", from_a);
  assert_string_equal(streamed(e),
                      SSE_HEAD "Vary: Origin\r\n"
                               "Access-Control-Allow-Origin: https://a.example"
                               "\r\nAccess-Control-Allow-Credentials: true"
                               "\r\n\r\n" SSE_HELLO("0", "false"));
  e = talk_get(p, "/sse/no", from_a);
  assert_string_equal(end_took(e), "403");
  assert_string_equal(allowed(e, value), "https://a.example");
  e = talk_get(p, "/sse/r", "Origin: https://b.example\r\n");
  assert_string_equal(end_took(e), "403");
  assert_null(allowed(e, value));
  e = talk_get(p, "/sse/r", "Origin: null\r\n");
  assert_string_equal(end_took(e), "403");
  e = pair_accept(p);
  talk_put_request(e, "POST", "/sse/r", from_a, "{\"event\":\"a\"}");
  pair_turn(p);
  assert_string_equal(end_took(e), "200");
  assert_string_equal(allowed(e, value), "https://a.example");
  assert_int_equal(pair_metrics(p).origin_refused_total, 2);
}

static void test_sse_preflight_is_answered(void **state) {
  static const char *const origins[] = {"https://a.example"};
  pair *p = *state;
  char value[256];
  end *e;

  p->config.origins = origins;
  p->config.norigins = 1;
  talk_begin(p);
  e = pair_accept(p);
  talk_put_request(e, "OPTIONS", "/sse/r",
                   "Origin: https://a.example\r\n"
                   "Access-Control-Request-Method: POST\r\n"
                   "Access-Control-Request-Headers: content-type\r\n",
                   NULL);
  pair_turn(p);
  assert_string_equal(end_took(e), "204");
  assert_string_equal((char *)e->http_head.data,
                      "HTTP/1.1 204 No Content\r\nVary: Origin\r\n"
                      "Access-Control-Allow-Origin: https://a.example\r\n"
                      "Access-Control-Allow-Credentials: true\r\n"
                      "Vary: Access-Control-Request-Headers\r\n"
                      "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
                      "Access-Control-Allow-Headers: content-type\r\n"
                      "Access-Control-Max-Age: 600\r\n\r\n");
  talk_put_request(e, "OPTIONS", "/sse/r", "Origin: https://b.example\r\n",
                   NULL);
  pair_turn(p);
  assert_string_equal(end_took(e), "204");
  assert_null(allowed(e, value));
  assert_null(head_value(&e->http_head, "Access-Control-Allow-Methods", value));
}

static void test_sse_other_methods_are_refused(void **state) {
  static const char *const methods[] = {"PUT", "DELETE", "HEAD"};
  pair *p = *state;
  char value[256];
  end *e;

  talk_begin(p);
  e = pair_accept(p);
  for (size_t i = 0; i < 3; i++) {
    talk_put_request(e, methods[i], "/sse/r", "", NULL);
    e->head = i == 2;
    pair_turn(p);
    assert_string_equal(end_took(e), "405");
    assert_string_equal(head_value(&e->http_head, "Allow", value),
                        "GET, POST, OPTIONS");
  }
  assert_string_equal(pair_log(p), "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_sse_post_is_an_event_of_the_stream),
      PAIR_TESTS(test_sse_posts_share_a_connection),
      PAIR_TEST(test_sse_bad_posts_are_told),
      PAIR_TEST(test_sse_post_to_another_route_is_gone),
      PAIR_TEST(test_sse_failed_posts_are_told),
      PAIR_TESTS(test_sse_answer_may_come_later),
      PAIR_TESTS(test_sse_posts_wait_for_each_other),
      PAIR_TEST(test_sse_posts_may_wait_to_the_end),
      PAIR_TEST(test_sse_poster_may_leave_before_the_answer),
      PAIR_TEST(test_sse_handler_that_never_answers),
      PAIR_TEST(test_sse_stream_ends_under_a_post),
      PAIR_TEST(test_sse_handler_closes_the_stream),
      PAIR_TEST(test_sse_handler_that_fails),
      PAIR_TESTS(test_sse_post_without_a_session_is_judged),
      PAIR_TEST(test_sse_post_accepted_in_a_handler_waits),
      PAIR_TEST(test_sse_cors_names_the_origin),
      PAIR_TESTS(test_sse_preflight_is_answered),
      PAIR_TESTS(test_sse_other_methods_are_refused)};

  return cmocka_run_group_tests_name("sse_post", tests, NULL, NULL);
}
