/* test_sse.c - streams of server-sent events, and POSTs of events to them. */
#include "sse_kit.h"

#define STREAM(id, recovered) SSE_HEAD "\r\n" SSE_HELLO(id, recovered)

static void test_sse_stream_begins_with_a_session(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = talk_get(p, "/sse", "");
  assert_string_equal(streamed(e), STREAM("0", "false"));
  assert_memory_equal(talk_sid[0], rill_peer_sid(e->peer).ptr, RILL__SID);
  assert_string_equal(pair_log(p), "0 open");
  assert_int_equal(rill_wants(e->conn), RILL_WANT_READ);
}

static void test_sse_events_are_written_as_json(void **state) {
  static const struct {
    const char *args, *data;
  } cases[] = {{"", "null"},
               {"null", "null"},
               {"1", "1"},
               {"\"a b\"", "\"a b\""},
               {"[1,2]", "[1,2]"},
               {"{\"k\":\"line\\nbreak\\r\"}", "{\"k\":\"line\\nbreak\\r\"}"}};
  pair *p = *state;
  char expected[100];
  rill_builder *b;
  end *e;

  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    talk_emit(p, "r", "ev", cases[i].args);
    pair_turn(p);
    snprintf(expected, sizeof expected, "event: ev\ndata: %s\n\n",
             cases[i].data);
    assert_string_equal(streamed(e), expected);
  }
  b = talk_args(p, "1");
  rill_put_text(b, "two");
  rill_put_bytes(b, "\0\1\2", 3);
  assert_int_equal(rill_emit_peer(e->peer, "many", b, NULL), 0);
  pair_turn(p);
  assert_string_equal(streamed(e),
                      "event: many\ndata: [1,\"two\",{\"$bytes\":\"AAEC\"}]"
                      "\n\n");
}

static void test_sse_messages_are_written_line_by_line(void **state) {
  static const struct {
    const char *text, *lines;
  } cases[] = {{"", "data: \n\n"},
               {"a", "data: a\n\n"},
               {"a\nb", "data: a\ndata: b\n\n"},
               {"a\rb", "data: a\ndata: b\n\n"},
               {"a\r\nb", "data: a\ndata: b\n\n"},
               {"a\n\rb", "data: a\ndata: \ndata: b\n\n"},
               {"\n", "data: \ndata: \n\n"},
               {"\r\n", "data: \ndata: \n\n"},
               {"a\r", "data: a\ndata: \n\n"},
               {"\n\nevent: x\nid: 1", "data: \ndata: \ndata: event: x\n"
                                       "data: id: 1\n\n"},
               {" a ", "data:  a \n\n"}};
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill_msg msg = rill_text(cases[i].text);
    assert_int_equal(rill_send(e->peer, &msg), 0);
    assert_int_equal(rill_send_room(p->hub, rill_s("r"), &msg), 0);
    pair_turn(p);
    for (int twice = 0; twice < 2; twice++) {
      size_t len = strlen(cases[i].lines);
      assert_memory_equal(e->rx.data + e->told, cases[i].lines, len);
      e->told += len;
    }
    assert_string_equal(streamed(e), "");
  }
  assert_int_equal(
      rill_send(e->peer,
                &(rill_msg){.data = "\n\n", .len = 2, .kind = RILL_BINARY}),
      0);
  pair_turn(p);
  assert_string_equal(streamed(e), "data: {\"$bytes\":\"Cgo=\"}\n\n");
}

static void test_sse_names_cannot_break_out(void **state) {
  static const char *const wrong[] = {"a\nb",  "a\rb",    "\n", "a\n\ndata: x",
                                      "a\x7f", "a\xff",   "",   "connect",
                                      "a\x01", "\xe2\x80"};
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(rill_emit_room(p->hub, rill_s("r"), wrong[i], NULL, NULL),
                     RILL_ERR_ARG);
    assert_int_equal(rill_emit_peer(e->peer, wrong[i], NULL, NULL),
                     RILL_ERR_ARG);
  }
  pair_turn(p);
  assert_string_equal(streamed(e), "");
}

static void test_sse_rooms_come_from_path_and_query(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = talk_sse(p, "/sse/a+%2Fb?room=c+d&x=1&room=%C3%A9&xroom=no&room=a%2B/b"
                  "&room");
  assert_true(rill_in_room(e->peer, rill_s("a+/b")));
  assert_true(rill_in_room(e->peer, rill_s("c d")));
  assert_true(rill_in_room(e->peer, rill_s("\xc3\xa9")));
  assert_false(rill_in_room(e->peer, rill_s("no")));
  assert_int_equal(pair_metrics(p).rooms, 3);
}

static void test_sse_bad_room_names_are_refused(void **state) {
  static const char *const paths[] = {
      "/sse/a%0Ab",      "/sse/%00",           "/sse/%zz",      "/sse/a%",
      "/sse/%ff",        "/sse?room=",         "/sse?room=%0d", "/sse?room=%",
      "/sse/ok?room=%1", "/sse?room=abcdefghi"};
  pair *p = *state;

  p->config.limits.name_bytes = 8;
  talk_begin(p);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    end *e = talk_get(p, paths[i], "");
    assert_string_equal(end_took(e), "400");
    talk_put_request(e, "GET", "/sse/fine", "", NULL); /* it is kept alive */
    pair_turn(p);
    assert_string_equal(streamed(e), STREAM("0", "false"));
  }
  assert_int_equal(pair_metrics(p).rooms, 1);
}

static void test_sse_room_limits_hold(void **state) {
  pair *p = *state;

  p->config.limits.joins_pending = 3;
  p->config.limits.rooms_per_peer = 2;
  talk_begin(p);
  talk_sse(p, "/sse?room=a&room=b");
  assert_string_equal(end_took(talk_get(p, "/sse?room=a&room=b&room=c", "")),
                      "400");
  talk_sse(p, "/sse?room=a&room=b&room=a");
  assert_string_equal(
      end_took(talk_get(p, "/sse?room=a&room=b&room=a&room=b", "")), "400");
  assert_int_equal(pair_metrics(p).limit_rooms_per_peer, 1);
  assert_int_equal(pair_metrics(p).limit_joins_pending, 1);
  assert_int_equal(pair_metrics(p).peers, 2);
}

static void test_sse_forbidden_rooms_are_403(void **state) {
  static const char forbidden[] =
      "403 {\"status\":403,\"error\":\"Forbidden\",\"reason\":\"not allowed "
      "in that room\"}";
  static const char *const paths[] = {"/sse/no", "/sse/yes?room=no", "/sse/1",
                                      "/sse/no?room=1&room=late"};
  pair *p = *state;

  judging(p);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    end *e = talk_get(p, paths[i], "");
    const char *text = answered(e);
    assert_memory_equal(text, forbidden, 4);
    assert_non_null(strstr(text, "not allowed in that room"));
    assert_int_equal(e->opened, 0);
  }
  assert_int_equal(pair_metrics(p).peers, 0);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_int_equal(pair_metrics(p).users, 0);
}

static void test_sse_verdict_on_a_room_may_come_later(void **state) {
  pair *p = *state;
  end *e, *other;

  judging(p);
  e = talk_get(p, "/sse/late?room=yes&room=later", "");
  assert_string_equal(streamed(e), "");
  assert_string_equal(
      pair_log(p),
      "auth; 0 authorize late; 0 authorize yes; 0 authorize later");
  talk_emit(p, "late", "early", "1");
  assert_int_equal(rill_join_allow(joining, rill_s("later")), 0);
  pair_turn(p);
  talk_emit(p, "later", "early", "2");
  pair_turn(p);
  assert_string_equal(streamed(e), "");
  assert_int_equal(rill_emit_peer(joining, "a", NULL, NULL), RILL_ERR_CLOSED);
  assert_int_equal(rill_join_allow(joining, rill_s("late")), 0);
  pair_turn(p);
  assert_string_equal(streamed(e), STREAM("0", "false"));
  assert_int_equal(rill_room_count(p->hub, rill_s("yes")), 1);

  other = talk_get(p, "/sse/yes?room=late", "");
  assert_int_equal(rill_join_deny(joining, rill_s("late"), RILL_ERR_FORBIDDEN),
                   0);
  pair_turn(p);
  assert_string_equal(end_took(other), "403");
  assert_int_equal(rill_room_count(p->hub, rill_s("yes")), 1);
  assert_int_equal(rill_join_allow(joining, rill_s("late")), RILL_ERR_CLOSED);
  talk_put_request(other, "GET", "/sse/yes", "", NULL);
  pair_turn(p);
  assert_string_equal(streamed(other), STREAM("0", "false"));
}

static void test_sse_accept_may_come_later(void **state) {
  pair *p = *state;
  end *e;

  judging(p);
  p->act_arg = p;
  e = talk_get(p, "/sse/a", "");
  assert_string_equal(streamed(e), "");
  assert_int_equal(rill_accept(waiting, rill_s("bob")), 0);
  assert_int_equal(rill_accept(waiting, rill_s("bob")), RILL_ERR_STATE);
  pair_turn(p);
  assert_string_equal(streamed(e), STREAM("0", "false"));
  assert_memory_equal(rill_peer_user(e->peer).ptr, "bob", 3);

  e = talk_get(p, "/sse/a", "");
  assert_int_equal(rill_reject(waiting, 401, "no"), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "401");
}

static void test_sse_client_may_leave_before_the_verdict(void **state) {
  pair *p = *state;
  end *e;

  judging(p);
  e = talk_get(p, "/sse/late", ""); /* while its room is judged */
  end_eof(e, 0);
  assert_string_equal(streamed(e), "eof");
  assert_int_equal(rill_join_allow(joining, rill_s("late")), RILL_ERR_CLOSED);
  p->act_arg = p;
  e = talk_get(p, "/sse/late", ""); /* while it is judged itself */
  end_eof(e, 0);
  assert_string_equal(streamed(e), "eof");
  assert_int_equal(rill_accept(waiting, rill_s("bob")), RILL_ERR_CLOSED);
  pair_turn(p);
  assert_string_equal(pair_log(p), "auth; 0 authorize late; auth");
}

static void test_sse_no_verdict_in_time_is_503(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.verdict_ms = 1000;
  judging(p);
  e = talk_get(p, "/sse/late", "");
  pair_pass(p, 999 * RILL_MSEC);
  assert_string_equal(streamed(e), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(end_took(e), "503; eof");
  assert_int_equal(rill_join_allow(joining, rill_s("late")), RILL_ERR_CLOSED);
  assert_int_equal(pair_metrics(p).rooms, 0);
  p->act_arg = p;
  e = talk_get(p, "/sse/late", "");
  pair_pass(p, 1000 * RILL_MSEC);
  assert_string_equal(end_took(e), "503; eof");
  assert_int_equal(rill_accept(waiting, rill_s("bob")), RILL_ERR_CLOSED);
}

/* A peer that is being judged is not there yet: no command ends it. */
static void test_sse_hook_cannot_cut_whom_it_judges(void **state) {
  pair *p = *state;
  end *e;

  judging(p);
  e = talk_get(p, "/sse/c?room=a", "");
  assert_string_equal(streamed(e), STREAM("0", "false"));
  assert_true(rill_is_open(e->peer));
}

static void keep_some(pair *p, uint32_t n) {
  talk_begin(p);
  assert_int_equal(
      rill_room_defaults(p->hub, "h*", &(rill_room_opts){.history = n}), 0);
}

static void test_sse_goes_on_where_it_was(void **state) {
  pair *p = *state;
  char header[64], path[64];
  end *e;

  keep_some(p, 10);
  e = talk_sse(p, "/sse/h");
  for (int i = 1; i <= 3; i++)
    talk_emit(p, "h", "n", (const char *[]){"1", "2", "3"}[i - 1]);
  pair_turn(p);
  assert_string_equal(streamed(e), "event: n\nid: EPOCH-1\ndata: 1\n\n"
                                   "event: n\nid: EPOCH-2\ndata: 2\n\n"
                                   "event: n\nid: EPOCH-3\ndata: 3\n\n");
  snprintf(header, sizeof header, "Last-Event-ID: %.8s-1\r\n", p->hub->epoch);
  e = talk_get(p, "/sse/h", header);
  assert_string_equal(streamed(e),
                      STREAM("1", "true") "event: n\nid: EPOCH-2\ndata: 2\n\n"
                                          "event: n\nid: EPOCH-3\ndata: 3\n\n");
  snprintf(path, sizeof path, "/sse/h?lastEventId=%.8s-2", p->hub->epoch);
  e = talk_get(p, path, "");
  assert_string_equal(streamed(e),
                      STREAM("2", "true") "event: n\nid: EPOCH-3\ndata: 3\n\n");
  e = talk_get(p, path, header); /* the header is newer */
  assert_non_null(strstr(streamed(e), "\"recovered\":true}\n\nevent: n\n"
                                      "id: EPOCH-2\n"));
  snprintf(header, sizeof header, "Last-Event-ID: %.8s-3\r\n", p->hub->epoch);
  e = talk_get(p, "/sse/h", header);
  assert_string_equal(streamed(e), STREAM("3", "true"));
  assert_int_equal(pair_metrics(p).recovered_total, 4);
  assert_int_equal(pair_metrics(p).recovered_gap_total, 0);
}

/* What is not kept has no id: that of the last that is kept still counts. */
static void test_sse_id_is_of_what_is_kept(void **state) {
  pair *p = *state;
  rill_str h = rill_s("h");
  end *e;

  talk_begin_recovering(p);
  assert_int_equal(rill_room_defaults(p->hub, "h*",
                                      &(rill_room_opts){.durable = true}),
                   0);
  e = talk_sse(p, "/sse/h");
  assert_int_equal(rill_publish(p->hub, h, "n", talk_args(p, "1"), NULL), 0);
  pair_turn(p);
  pair_turn(p);
  assert_string_equal(streamed(e), "event: n\nid: EPOCH-1.1\ndata: 1\n\n");
  talk_emit(p, "h", "t", "2");
  rill_emit_peer(e->peer, "t", talk_args(p, "3"), NULL);
  pair_turn(p);
  assert_string_equal(streamed(e), "event: t\ndata: 2\n\n"
                                   "event: t\ndata: 3\n\n");
}

static void test_sse_gap_is_told(void **state) {
  static const char *const ids[] = {
      "Last-Event-ID: aaaaaaaa-1\r\n", "Last-Event-ID: 1\r\n",
      "Last-Event-ID: -\r\n", "Last-Event-ID: \xff\r\n"};
  pair *p = *state;
  char header[64];
  end *e;

  keep_some(p, 2);
  talk_sse(p, "/sse/h");
  for (int i = 0; i < 4; i++)
    talk_emit(p, "h", "n", "0");
  for (int from = 0; from <= 5; from++) {
    snprintf(header, sizeof header, "Last-Event-ID: %.8s-%d\r\n", p->hub->epoch,
             from);
    e = talk_get(p, "/sse/h", header);
    assert_non_null(strstr(streamed(e), from < 2 || from > 4
                                            ? "\"recovered\":false"
                                            : "\"recovered\":true"));
  }
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    e = talk_get(p, "/sse/h", ids[i]);
    assert_string_equal(streamed(e), STREAM("4", "false"));
  }
  assert_int_equal(pair_metrics(p).recovered_total, 3);
  assert_int_equal(pair_metrics(p).recovered_gap_total, 3 + 4);
}

/* What a room without history has sent is lost, and that is said. */
static void test_sse_room_without_history_is_a_gap(void **state) {
  pair *p = *state;
  char header[64];
  end *e;

  keep_some(p, 10);
  talk_sse(p, "/sse/h?room=other");
  talk_emit(p, "h", "n", "1");
  talk_emit(p, "other", "n", "2");
  snprintf(header, sizeof header, "Last-Event-ID: %.8s-1\r\n", p->hub->epoch);
  e = talk_get(p, "/sse/h?room=other", header);
  assert_string_equal(streamed(e), STREAM("1", "false"));
}

/* More than its queue takes: the stream ends, and the host hears of it. */
static int note_only(pair *p, const event *e) {
  (void)p;
  (void)e;
  return 0;
}

static int opened, closed;

static int count_open(rill_peer peer, const rill_request *req, void *arg) {
  (void)peer;
  (void)arg;
  assert_non_null(req);
  opened++;
  return 0;
}

static void count_close(rill_peer peer, const rill_closed *how, void *arg) {
  (void)peer;
  (void)arg;
  assert_int_equal(how->cause, RILL_CAUSE_SLOW);
  closed++;
}

static void test_sse_replay_may_be_too_much(void **state) {
  static const rill_handlers counting = {.on_open = count_open,
                                         .on_close = count_close};
  pair *p = *state;
  char path[64];
  end *e;

  p->config.limits.queue_count = 3;
  keep_some(p, 10);
  assert_int_equal(rill_route(p->hub, "/count/:room", RILL_SSE,
                              &(rill_route_opts){.handlers = &counting}),
                   0);
  p->act = note_only;
  for (int i = 0; i < 5; i++)
    talk_emit(p, "h", "n", "0");
  opened = closed = 0;
  snprintf(path, sizeof path, "/count/h?lastEventId=%.8s-0", p->hub->epoch);
  e = talk_get(p, path, "");
  assert_null(e->conn);
  assert_int_equal(opened, 1);
  assert_int_equal(closed, 1);
}

/* Its secret is for POSTs; what it missed it asks for by its last id. */
static void test_sse_stream_is_never_away(void **state) {
  pair *p = *state;
  char text[100];
  end *s, *j;

  talk_begin_recovering(p);
  s = talk_sse(p, "/sse/r");
  snprintf(text, sizeof text, "{\"open\":{},\"resume\":\"%s\"}",
           talk_secret[s->index]);
  j = talk_connect(p, "/json", false);
  say(j, text);
  assert_non_null(strstr(said(j), "\"recovered\":false"));
  assert_int_equal(s->closed, 0);
  pair_log(p);
  end_eof(s, 0);
  assert_string_equal(pair_log(p), "0 close 3 1006/0");
  assert_int_equal(pair_metrics(p).away, 0);
  talk_give_up(p);
}

/* What was held back for the members came before it was one. */
static void test_sse_begins_behind_a_batch(void **state) {
  pair *p = *state;
  char path[80];
  end *e, *m;

  p->config.authorize_join = talk_authorize;
  keep_some(p, 9);
  assert_int_equal(
      rill_room_defaults(p->hub, "hb",
                         &(rill_room_opts){.history = 9, .batch_ms = 50}),
      0);
  p->act = judge;
  m = talk_sse(p, "/sse/hb");
  for (int knows = 0; knows < 2; knows++) {
    snprintf(path, sizeof path, "/sse/hb?room=late&lastEventId=%.8s%s",
             p->hub->epoch, knows ? "-1" : "");
    e = talk_get(p, path, "");
    talk_emit(p, "hb", "n", "1");
    assert_int_equal(rill_join_allow(joining, rill_s("late")), 0);
    pair_turn(p);
    talk_emit(p, "hb", "n", "2");
    pair_pass(p, RILL_SEC);
    assert_string_equal(strstr(streamed(e), "}\n\n") + 3,
                        knows ? "event: n\nid: EPOCH-2\ndata: 2\n\n"
                                "event: n\nid: EPOCH-3\ndata: 1\n\n"
                                "event: n\nid: EPOCH-4\ndata: 2\n\n"
                              : "event: n\nid: EPOCH-2\ndata: 2\n\n");
    assert_int_equal(strlen(streamed(m)), 2 * 30);
  }
}

static void test_sse_is_kept_alive_by_comments(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.ping_ms = 1000;
  p->config.limits.pong_ms = 500;
  p->config.limits.idle_ms = 3000;
  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  pair_pass(p, 999 * RILL_MSEC);
  assert_string_equal(streamed(e), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(streamed(e), ":\n\n");
  talk_emit(p, "r", "a", "");
  pair_pass(p, 1000 * RILL_MSEC); /* whatever else it hears */
  assert_string_equal(streamed(e), "event: a\ndata: null\n\n:\n\n");
  pair_pass(p, 10 * RILL_SEC);
  assert_string_equal(streamed(e), ":\n\n:\n\n:\n\n:\n\n:\n\n:\n\n:\n\n:\n\n"
                                   ":\n\n:\n\n");
  assert_int_equal(pair_metrics(p).pings_total, 12);
  assert_int_equal(rill_ping(e->peer), 0);
  pair_turn(p);
  assert_string_equal(streamed(e), ":\n\n");
  assert_string_equal(pair_log(p), "");
}

static void test_sse_client_goes_away(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  end_eof(e, 0);
  assert_string_equal(pair_log(p), "0 close 3 1006/0");
  e = talk_sse(p, "/sse/r");
  end_eof(e, 1);
  assert_string_equal(pair_log(p), "1 close 4 1006/0");
  assert_int_equal(pair_metrics(p).rooms, 0);
}

static void test_sse_what_the_client_says_behind_is_ignored(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = pair_accept(p);
  talk_put_request(e, "GET", "/sse/r", "", NULL);
  talk_put_request(e, "GET", "/sse/r", "", NULL);
  pair_turn(p);
  assert_string_equal(streamed(e), STREAM("0", "false"));
  end_say(e, "more");
  talk_emit(p, "r", "a", "");
  pair_turn(p);
  assert_string_equal(streamed(e), "event: a\ndata: null\n\n");
  assert_string_equal(pair_log(p), "0 open");
}

static void test_sse_slow_reader_is_sent_away(void **state) {
  pair *p = *state;
  const char *text;
  end *e;

  p->config.limits.queue_count = 3;
  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  end_room(e, 0);
  for (int i = 0; i < 3; i++) {
    talk_emit(p, "r", "a", "\"0123456789\"");
    pair_turn(p);
  }
  end_room(e, 7); /* the first is on the wire in part */
  assert_int_equal(e->closed, 0);
  talk_emit(p, "r", "a", "1"); /* so there is room for one more */
  pair_turn(p);
  assert_int_equal(e->closed, 0);
  talk_emit(p, "r", "a", "2");
  pair_turn(p);
  assert_int_equal(e->closed, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_SLOW);
  assert_int_equal(pair_metrics(p).slow_closed_total, 1);
  end_room(e, SIZE_MAX);
  text = streamed(e);
  assert_true(rill_str_starts(rill_s(text),
                              "event: a\ndata: \"0123456789\"\n\nretry: "));
  assert_string_equal(text + strlen(text) - 5, "\n\neof");
}

static void test_sse_stuck_reader_is_sent_away(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.soft_count = 2;
  p->config.limits.slow_ms = 1000;
  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  end_room(e, 0);
  talk_emit(p, "r", "a", "1");
  talk_emit(p, "r", "a", "2");
  pair_turn(p);
  pair_pass(p, 999 * RILL_MSEC);
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1 * RILL_MSEC);
  assert_int_equal(e->closed, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_SLOW);
}

static void overflowing(pair *p, rill_overflow policy, const char *left) {
  end *e;

  assert_int_equal(
      rill_room_defaults(p->hub, "r", &(rill_room_opts){.overflow = policy}),
      0);
  e = talk_sse(p, "/sse/r");
  end_room(e, 0);
  talk_emit(p, "r", "a", "0");
  pair_turn(p);
  end_room(e, 3);
  for (int i = 1; i < 6; i++) { /* some turn by turn, some at once */
    talk_emit(p, "r", "a", (const char *[]){"1", "2", "3", "4", "5"}[i - 1]);
    if (i < 3)
      pair_turn(p);
  }
  pair_turn(p);
  end_room(e, SIZE_MAX);
  assert_string_equal(streamed(e), left);
}

static void test_sse_overflow_policies_drop_whole_events(void **state) {
  pair *p = *state;

  p->config.limits.queue_count = 3;
  talk_begin(p);
  overflowing(p, RILL_DROP_NEWEST,
              "event: a\ndata: 0\n\nevent: a\ndata: 1\n\n"
              "event: a\ndata: 2\n\n"
              "event: a\ndata: 3\n\n");
  overflowing(p, RILL_DROP_OLDEST,
              "event: a\ndata: 0\n\nevent: a\ndata: 3\n\n"
              "event: a\ndata: 4\n\n"
              "event: a\ndata: 5\n\n");
  assert_int_equal(pair_metrics(p).dropped_newest_total, 2);
  assert_int_equal(pair_metrics(p).dropped_oldest_total, 2);
}

static unsigned long retry_in(const char *text) {
  char *stop;
  unsigned long n;

  assert_memory_equal(text, "retry: ", 7);
  n = strtoul(text + 7, &stop, 10);
  assert_string_equal(stop, "\n\neof");
  return n;
}

static void test_sse_drain_spreads_the_return(void **state) {
  pair *p = *state;
  end *e[20];
  unsigned long first = 0, differ = 0, n;

  talk_begin(p);
  for (size_t i = 0; i < 20; i++)
    e[i] = talk_sse(p, "/sse/r");
  assert_int_equal(rill_drain(p->hub, 10 * RILL_SEC, p->now), 0);
  pair_turn(p);
  e[0]->p = p;
  {
    end *late = talk_get(p, "/sse/r", ""); /* admission answers this one */
    assert_memory_equal(end_took(late), "503", 3);
  }
  pair_pass(p, 10 * RILL_SEC);
  for (size_t i = 0; i < 20; i++) {
    n = retry_in(streamed(e[i]));
    assert_in_range(n, 1, 10000);
    if (i == 0)
      first = n;
    differ += n != first;
    assert_int_equal(e[i]->how.cause, RILL_CAUSE_DRAIN);
  }
  assert_true(differ > 0);
}

/* A conn that was there before asks while the hub drains. */
static void test_sse_new_stream_while_draining(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = pair_accept(p);
  buf_text(&e->tx, "GET /sse/r HTTP/1.1\r\nHost: a\r\n");
  pair_turn(p);
  assert_int_equal(rill_drain(p->hub, 10 * RILL_SEC, p->now), 0);
  pair_turn(p);
  end_say(e, "\r\n");
  assert_string_equal(streamed(e), SSE_HEAD "\r\nretry: 3000\n\neof");
}

static void test_sse_host_closes(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = talk_sse(p, "/sse/r");
  talk_emit(p, "r", "last", "");
  assert_int_equal(rill_close(e->peer, 1000, "bye"), 0);
  assert_int_equal(rill_close(e->peer, 1000, "bye"), RILL_ERR_CLOSED);
  pair_turn(p);
  assert_true(rill_str_starts(rill_s(streamed(e)),
                              "event: last\ndata: null\n\nretry: "));
  assert_int_equal(e->how.cause, RILL_CAUSE_HOST);
  e = talk_sse(p, "/sse/r");
  assert_int_equal(rill_cut(e->peer), 0);
  pair_turn(p);
  assert_string_equal(streamed(e), "eof");
}

static void test_sse_speaks_to_http_1_0(void **state) {
  pair *p = *state;
  end *e;

  talk_begin(p);
  e = pair_accept(p);
  end_say(e, "GET /sse/r HTTP/1.0\r\n\r\n");
  assert_string_equal(streamed(e), STREAM("0", "false"));
  e = pair_accept(p);
  end_say(e, "POST /sse/r HTTP/1.0\r\nContent-Length: 13\r\n\r\n"
             "{\"event\":\"a\"}");
  assert_string_equal(end_took(e), "200; eof");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_sse_stream_begins_with_a_session),
      PAIR_TEST(test_sse_events_are_written_as_json),
      PAIR_TEST(test_sse_messages_are_written_line_by_line),
      PAIR_TEST(test_sse_names_cannot_break_out),
      PAIR_TEST(test_sse_rooms_come_from_path_and_query),
      PAIR_TESTS(test_sse_bad_room_names_are_refused),
      PAIR_TEST(test_sse_room_limits_hold),
      PAIR_TESTS(test_sse_forbidden_rooms_are_403),
      PAIR_TESTS(test_sse_verdict_on_a_room_may_come_later),
      PAIR_TESTS(test_sse_accept_may_come_later),
      PAIR_TEST(test_sse_client_may_leave_before_the_verdict),
      PAIR_TEST(test_sse_no_verdict_in_time_is_503),
      PAIR_TEST(test_sse_hook_cannot_cut_whom_it_judges),
      PAIR_TEST(test_sse_goes_on_where_it_was),
      PAIR_TEST(test_sse_id_is_of_what_is_kept),
      PAIR_TEST(test_sse_gap_is_told),
      PAIR_TEST(test_sse_room_without_history_is_a_gap),
      PAIR_TEST(test_sse_replay_may_be_too_much),
      PAIR_TEST(test_sse_stream_is_never_away),
      PAIR_TEST(test_sse_begins_behind_a_batch),
      PAIR_TEST(test_sse_is_kept_alive_by_comments),
      PAIR_TEST(test_sse_client_goes_away),
      PAIR_TESTS(test_sse_what_the_client_says_behind_is_ignored),
      PAIR_TEST(test_sse_slow_reader_is_sent_away),
      PAIR_TEST(test_sse_stuck_reader_is_sent_away),
      PAIR_TEST(test_sse_overflow_policies_drop_whole_events),
      PAIR_TEST(test_sse_drain_spreads_the_return),
      PAIR_TEST(test_sse_new_stream_while_draining),
      PAIR_TEST(test_sse_host_closes),
      PAIR_TESTS(test_sse_speaks_to_http_1_0)};

  return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
