/*
 * Plain requests: answers now and later, keep-alive, pipelining, and the
 * refusals, each one answer or a close within its time.
 */
#include "pair.h"

/* What the handler of requests does with the next one. */
typedef struct plan {
  rill_response response;
  enum { RESPOND, LATER, REJECT, NOTHING, NEGATIVE, PATH, BODY, MANY } what;
  rill_request *kept[8];
  size_t nkept;
  int rv;
  int count;
} plan;

static int answer(pair *p, const event *e) {
  plan *d = p->act_arg;
  rill_str s = {0};

  if (strcmp(e->name, "request") != 0)
    return 0;
  d->count++;
  switch (d->what) {
  case RESPOND:
    d->rv = rill_respond(e->req, &d->response);
    return 0;
  case LATER:
    MUST(d->nkept < 8);
    d->kept[d->nkept++] = e->req;
    return RILL_LATER;
  case REJECT:
    return rill_reject(e->req, 409, "conflict");
  case NOTHING:
    return 0;
  case NEGATIVE:
    return RILL_ERR_NOT_FOUND;
  case PATH:
    s = rill_request_path(e->req);
    break;
  case BODY:
    s = rill_request_body(e->req);
    break;
  case MANY:
    /* once is enough, and the request may still be read */
    assert_int_equal(rill_respond(e->req, &d->response), 0);
    assert_int_equal(rill_respond(e->req, &d->response), RILL_ERR_STATE);
    assert_int_equal(rill_reject(e->req, 500, NULL), RILL_ERR_STATE);
    assert_true(rill_request_path(e->req).len > 0);
    return 0;
  }
  return rill_respond(e->req,
                      &(rill_response){.body = s.ptr, .body_len = s.len});
}

static void begin(pair *p, plan *d) {
  pair_begin(p);
  p->act = answer;
  p->act_arg = d;
  assert_int_equal(rill_handle(p->hub, "GET", "/get", pair_request, p), 0);
  assert_int_equal(rill_handle(p->hub, "POST", "/post", pair_request, p), 0);
  assert_int_equal(rill_handle(p->hub, "*", "/any", pair_request, p), 0);
  assert_int_equal(rill_handle(p->hub, "GET", "/p/:id", pair_request, p), 0);
  assert_int_equal(rill_handle(p->hub, "GET", "/p/one", pair_request, p), 0);
}

static void test_request_answer(void **state) {
  pair *p = *state;
  static const rill_header headers[] = {{"X-One", "1"}, {"X-Two", ""}};
  plan d = {.response = {.status = 201,
                         .type = "text/html",
                         .body = "<p>hello",
                         .body_len = 8,
                         .headers = headers,
                         .nheaders = 2}};
  char value[256];
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  end_say(e, "GET /get?x HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "201");
  assert_string_equal(head_value(&e->http_head, "Content-Type", value),
                      "text/html");
  assert_string_equal(head_value(&e->http_head, "Content-Length", value), "8");
  assert_string_equal(head_value(&e->http_head, "X-One", value), "1");
  assert_string_equal(head_value(&e->http_head, "X-Two", value), "");
  assert_null(head_value(&e->http_head, "Connection", value));
  assert_string_equal((char *)e->http_body.data, "<p>hello");
  d.response = (rill_response){0};
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "200");
  assert_string_equal(head_value(&e->http_head, "Content-Type", value),
                      "text/plain; charset=utf-8");
  assert_string_equal(head_value(&e->http_head, "Content-Length", value), "0");
  assert_string_equal(pair_log(p), "request /get; request /get");
  d.what = MANY;
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "200");
}

static void test_request_answers_without_a_body(void **state) {
  pair *p = *state;
  plan d = {.response = {.body = "unseen", .body_len = 6}};
  char value[256];
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  e->head = true;
  end_say(e, "HEAD /get HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "200");
  assert_string_equal(head_value(&e->http_head, "Content-Length", value), "6");
  e->head = true;
  end_say(e, "HEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "404");
  for (int i = 0; i < 2; i++) {
    d.response.status = i ? 304 : 204;
    end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(end_took(e), i ? "304" : "204");
    assert_null(head_value(&e->http_head, "Content-Length", value));
  }
  assert_int_equal(e->rx.len, e->told); /* no body went astray */
}

static void test_request_answers_that_are_none(void **state) {
  pair *p = *state;
  static const rill_header bad[] = {{"X", "a\r\nSet-Cookie: b"},
                                    {"X Y", "1"},
                                    {"", "1"},
                                    {"X:", "1"},
                                    {"X", "\x7f"}};
  plan d = {.what = RESPOND};

  begin(p, &d);
  for (size_t i = 0; i < 5 + 4; i++) {
    static const int statuses[] = {199, 600, -1, 100};
    end *e = pair_accept(p);
    d.response = (rill_response){.headers = &bad[i % 5], .nheaders = 1};
    if (i >= 5)
      d.response = (rill_response){.status = statuses[i - 5]};
    end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(end_took(e), "500");
    assert_int_equal(d.rv, RILL_ERR_ARG);
    assert_null(strstr((char *)e->http_head.data, "Set-Cookie"));
  }
  d.response = (rill_response){.type = "a\nb"};
  {
    end *e = pair_accept(p);
    end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(end_took(e), "500");
  }
}

static void test_request_hooks_that_do_not_answer(void **state) {
  pair *p = *state;
  plan d = {.what = NOTHING};
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "500");
  d.what = NEGATIVE;
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "500");
  d.what = REJECT;
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "409");
  assert_string_equal((char *)e->http_body.data,
                      "{\"error\":{\"status\":409,\"reason\":\"conflict\"}}");
  assert_int_equal(pair_metrics(p).handler_errors_total, 1);
  assert_int_equal(pair_metrics(p).requests_total, 3);
}

static void test_request_bodies(void **state) {
  pair *p = *state;
  plan d = {.what = BODY};
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  end_say(e,
          "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
  assert_string_equal(end_took(e), "200");
  assert_string_equal((char *)e->http_body.data, "hello");
  end_say(e, "POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
             "\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: t\r\n\r\n"
             "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  assert_string_equal(end_took(e), "200; 200");
  assert_int_equal(e->http_body.len, 0);
  assert_int_equal(d.count, 3);
}

static void test_request_continue(void **state) {
  pair *p = *state;
  plan d = {.what = BODY};
  char value[256];
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  end_say(e, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
             "Expect: 100-continue\r\n\r\n");
  assert_string_equal(end_took(e), "100");
  end_say(e, "hello");
  assert_string_equal(end_took(e), "200");
  assert_string_equal((char *)e->http_body.data, "hello");
  p->cut = PAIR_WHOLE;
  e = pair_accept(p); /* too large: refused before it comes */
  end_say(e, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n"
             "Expect: 100-continue\r\n\r\n");
  assert_string_equal(end_took(e), "413; eof");
  assert_string_equal(head_value(&e->http_head, "Connection", value), "close");
}

static void test_request_keep_alive(void **state) {
  static const struct {
    const char *head;
    bool keeps;
  } cases[] = {
      {"GET /get HTTP/1.1\r\nHost: h\r\n\r\n", true},
      {"GET /get HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
      {"GET /get HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n", false},
      {"GET /get HTTP/1.0\r\n\r\n", false},
      {"GET /get HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
      {"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", true},
      {"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
      {"PUT /get HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", true}};
  pair *p = *state;
  plan d = {.response = {.body = "x", .body_len = 1}};
  char value[256];

  begin(p, &d);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = pair_accept(p);
    const char *got;
    bool closes;
    end_say(e, cases[i].head);
    got = end_took(e);
    closes = head_value(&e->http_head, "Connection", value) != NULL;
    assert_int_equal(closes, !cases[i].keeps);
    assert_int_equal(strstr(got, "eof") == NULL, cases[i].keeps);
    if (cases[i].keeps) {
      end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
      assert_string_equal(end_took(e), "200");
    }
  }
}

static void test_request_keep_alive_ends(void **state) {
  pair *p = *state;
  plan d = {.what = PATH};
  end *e;

  p->config.limits.keepalive_ms = 2000;
  begin(p, &d);
  e = pair_accept(p);
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  pair_pass(p, 2 * RILL_SEC - 1);
  assert_string_equal(end_took(e), "200");
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  pair_pass(p, 2 * RILL_SEC - 1);
  assert_string_equal(end_took(e), "200");
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "eof");
  assert_int_equal(pair_metrics(p).limit_keepalive_ms, 1);
}

static void test_request_refusals_are_json(void **state) {
  static const struct {
    const char *head;
    int status;
    const char *allow;
  } cases[] = {
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 404, NULL},
      {"POST /get HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405,
       "GET, HEAD"},
      {"GET /post HTTP/1.1\r\nHost: h\r\n\r\n", 405, "POST"},
      {"PUT /p/one HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405,
       "GET, HEAD"}, /* two patterns, named once */
      {"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", 426, NULL},
      {"GET /get HTTP/1.1\r\n\r\n", 400, NULL},
      {"GET /get HTTP/2.0\r\nHost: h\r\n\r\n", 505, NULL},
      {"GET /get HTTP/1.1\nHost: h\n\n", 400, NULL},
      {"BREW /get HTTP/1.1\r\nHost: h\r\n\r\n", 501, NULL},
      {"GET /get HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400, NULL},
      {"POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
       "Transfer-Encoding: chunked\r\n\r\n",
       400, NULL},
      {"POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400,
       NULL}};
  pair *p = *state;
  plan d = {.what = PATH};
  char value[256], begins[64];

  begin(p, &d);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = pair_accept(p);
    size_t n;
    end_say(e, cases[i].head);
    end_took(e);
    assert_int_equal(e->status, cases[i].status);
    assert_string_equal(head_value(&e->http_head, "Content-Type", value),
                        "application/json");
    n = (size_t)snprintf(begins, sizeof begins,
                         "{\"error\":{\"status\":%d,\"reason\":\"",
                         cases[i].status);
    assert_int_equal(strncmp((char *)e->http_body.data, begins, n), 0);
    assert_string_equal((char *)e->http_body.data + e->http_body.len - 3,
                        "\"}}");
    if (cases[i].allow != NULL)
      assert_string_equal(head_value(&e->http_head, "Allow", value),
                          cases[i].allow);
  }
  assert_int_equal(d.count, 0);
  assert_int_equal(pair_metrics(p).bad_requests_total, 7);
}

static void test_request_pipelined(void **state) {
  pair *p = *state;
  plan d = {.what = PATH};
  char head[128], expected[1024] = "request /p/0", one[64];
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  for (int i = 0; i < 30; i++) {
    snprintf(head, sizeof head, "GET /p/%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
    buf_text(&e->tx, head);
    snprintf(one, sizeof one, "; request /p/%d", i);
    if (i > 0)
      strcat(expected, one);
  }
  pair_turn(p);
  assert_string_equal(pair_log(p), expected);
  assert_string_equal((char *)e->rx.data + e->rx.len - 5, "/p/29");
  end_took(e);
  /* and an upgrade as the last of them */
  end_hello(e, "/ws", "");
  assert_string_equal(end_took(e), "101");
}

/* Those behind one that waits for its answer are read when it has come. */
static void test_request_pipelined_behind_a_late_answer(void **state) {
  pair *p = *state;
  plan d = {.what = LATER};
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  end_say(e, "GET /p/1 HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /p/2 HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /p/3 HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: " PAIR_KEY "\r\n\r\n");
  end_text(e, "early");
  for (int i = 0; i < 3; i++) {
    assert_int_equal(d.nkept, i + 1);
    rill_respond(d.kept[i], &(rill_response){.status = 201 + i});
    assert_int_equal(d.nkept, i + 1); /* a command runs no handler */
    pair_turn(p);
  }
  assert_string_equal(end_took(e), "201; 202; 203; 101");
  assert_string_equal(pair_log(p), "request /p/1; request /p/2; request /p/3; "
                                   "0 open; 0 text early");
}

/* Who does not read the answers gets no more of them. */
static void test_request_pipelined_without_reading(void **state) {
  pair *p = *state;
  static char body[4096];
  plan d = {.response = {.body = body, .body_len = sizeof body}};
  end *e;

  p->config.limits.soft_bytes = 20000;
  begin(p, &d);
  e = pair_accept(p);
  e->room = 0;
  for (int i = 0; i < 1000; i++)
    buf_text(&e->tx, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  pair_turn(p);
  assert_true(d.count <= 6);
  assert_true(p->mem.bytes < 512 * 1024);
  assert_int_equal(rill_wants(e->conn) & RILL_WANT_READ, 0);
  end_room(e, SIZE_MAX);
  assert_int_equal(d.count, 1000);
  end_hello(e, "/ws", "");
  assert_int_equal(e->opened, 1);
}

static void test_request_late_answers(void **state) {
  pair *p = *state;
  plan d = {.what = LATER};
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  end_say(e, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok");
  assert_string_equal(end_took(e), "");
  assert_true(rill_str_eq(rill_request_body(d.kept[0]), rill_s("ok")));
  assert_int_equal(rill_accept(d.kept[0], rill_s("x")), RILL_ERR_STATE);
  rill_respond(d.kept[0], &(rill_response){.status = 202});
  pair_turn(p);
  assert_string_equal(end_took(e), "202");
  /* the client has half-closed, and is answered all the same */
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  end_eof(e, 0);
  assert_string_equal(end_took(e), "");
  rill_respond(d.kept[1], &(rill_response){.status = 200});
  pair_turn(p);
  assert_string_equal(end_took(e), "200; eof");
  /* the client has gone */
  e = pair_accept(p);
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  end_eof(e, 32);
  assert_int_equal(rill_respond(d.kept[2], &(rill_response){0}),
                   RILL_ERR_CLOSED);
  /* the time is over */
  e = pair_accept(p);
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  pair_pass(p, 11 * RILL_SEC);
  assert_string_equal(end_took(e), "503; eof");
  assert_int_equal(rill_respond(d.kept[3], &(rill_response){0}),
                   RILL_ERR_CLOSED);
}

/* What is answered already still goes out to a client that half-closes. */
static void test_request_half_close_behind_an_answer(void **state) {
  pair *p = *state;
  plan d = {.response = {.body = "answer", .body_len = 6}};
  end *e;

  begin(p, &d);
  e = pair_accept(p);
  e->room = 10;
  end_say(e, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n");
  end_eof(e, 0);
  assert_non_null(e->conn);
  end_room(e, SIZE_MAX);
  assert_string_equal(end_took(e), "200; eof");
  assert_string_equal((char *)e->http_body.data, "answer");
}

/* An Upgrade to something else is not taken up. */
static void test_request_upgrades_to_nothing(void **state) {
  static const char *const lines[] = {
      "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
      "Upgrade: foo\r\nConnection: Upgrade\r\n",
      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " PAIR_KEY "\r\n",
      "Connection: Upgrade\r\n", "Upgrade: websocket\r\n"};
  pair *p = *state;
  plan d = {.what = PATH};

  begin(p, &d);
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    end *e = pair_accept(p);
    buf_text(&e->tx, "GET /get HTTP/1.1\r\nHost: h\r\n");
    buf_text(&e->tx, lines[i]);
    end_say(e, "\r\nGET /p/2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(end_took(e), "200; 200");
    assert_string_equal((char *)e->http_body.data, "/p/2");
  }
}

/* Read one byte per second, a head is refused when its time is over. */
static void test_request_slowloris(void **state) {
  pair *p = *state;
  plan d = {.what = PATH};
  static const char head[] = "POST /post HTTP/1.1\r\nHost: h\r\n"
                             "Content-Length: 500\r\n\r\n";
  end *e;

  p->config.limits.head_ms = 10000;
  p->config.limits.body_ms = 15000;
  begin(p, &d);
  e = pair_accept(p);
  for (size_t i = 0; i < 9; i++) {
    end_say_bytes(e, head + i, 1);
    pair_pass(p, RILL_SEC);
  }
  assert_string_equal(end_took(e), "");
  pair_pass(p, RILL_SEC);
  assert_string_equal(end_took(e), "408; eof");
  e = pair_accept(p);
  end_say(e, head);
  for (int i = 0; i < 14; i++) {
    end_say(e, "x");
    pair_pass(p, RILL_SEC);
  }
  assert_string_equal(end_took(e), "");
  pair_pass(p, RILL_SEC);
  assert_string_equal(end_took(e), "408; eof");
  assert_int_equal(pair_metrics(p).limit_head_ms, 1);
  assert_int_equal(pair_metrics(p).limit_body_ms, 1);
}

static void test_request_half_open_and_silent(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_accept(p);
  pair_pass(p, 10 * RILL_SEC - 1);
  assert_non_null(e->conn);
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "408; eof");
}

static int params(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "request") != 0)
    return 0;
  assert_true(rill_str_eq(rill_request_param(e->req, "id"), rill_s("a%20b")));
  assert_int_equal(rill_request_param(e->req, "di").len, 0);
  assert_true(rill_str_eq(rill_request_query(e->req, "q"), rill_s("1&2")));
  assert_true(rill_str_eq(rill_request_query(e->req, "r"), rill_s("3")));
  assert_true(rill_str_eq(rill_request_query(e->req, "q"), rill_s("1&2")));
  assert_true(rill_str_eq(rill_request_address(e->req), rill_s("192.0.2.1")));
  return rill_respond(e->req, &(rill_response){0});
}

static void test_request_params(void **state) {
  pair *p = *state;
  plan d = {.what = PATH};
  end *e;

  begin(p, &d);
  p->act = params;
  e = pair_accept(p);
  end_say(e, "GET /p/a%20b?q=1%262&r=3&q=4 HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "200");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_request_answer),
      PAIR_TESTS(test_request_answers_without_a_body),
      PAIR_TEST(test_request_answers_that_are_none),
      PAIR_TEST(test_request_hooks_that_do_not_answer),
      PAIR_TESTS(test_request_bodies),
      PAIR_TESTS(test_request_continue),
      PAIR_TESTS(test_request_keep_alive),
      PAIR_TEST(test_request_keep_alive_ends),
      PAIR_TESTS(test_request_refusals_are_json),
      PAIR_TESTS(test_request_pipelined),
      PAIR_TESTS(test_request_pipelined_behind_a_late_answer),
      PAIR_TESTS(test_request_pipelined_without_reading),
      PAIR_TESTS(test_request_late_answers),
      PAIR_TESTS(test_request_half_close_behind_an_answer),
      PAIR_TESTS(test_request_upgrades_to_nothing),
      PAIR_TEST(test_request_slowloris),
      PAIR_TEST(test_request_half_open_and_silent),
      PAIR_TESTS(test_request_params),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
