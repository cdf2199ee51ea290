/*
 * The server's side of the opening handshake, and verdicts that come later.
 */
#include "pair.h"

static const char head_end[] = "\r\n";

/* Says a handshake of which each line may be left out or replaced. */
typedef struct hello {
  const char *line, *host, *upgrade, *connection, *version, *key, *more;
} hello;

static const hello fine = {"GET /ws HTTP/1.1\r\n",
                           "Host: example.org\r\n",
                           "Upgrade: websocket\r\n",
                           "Connection: Upgrade\r\n",
                           "Sec-WebSocket-Version: 13\r\n",
                           "Sec-WebSocket-Key: " PAIR_KEY "\r\n",
                           ""};

static const char *says(pair *p, const hello *h, end **out) {
  end *e = pair_accept(p);

  buf_text(&e->tx, h->line);
  buf_text(&e->tx, h->host);
  buf_text(&e->tx, h->upgrade);
  buf_text(&e->tx, h->connection);
  buf_text(&e->tx, h->version);
  buf_text(&e->tx, h->key);
  buf_text(&e->tx, h->more);
  end_say(e, head_end);
  *out = e;
  return end_took(e);
}

static void test_handshake_answer(void **state) {
  pair *p = *state;
  char value[256];
  end *e;

  pair_begin(p);
  assert_string_equal(says(p, &fine, &e), "101");
  assert_string_equal(head_value(&e->http_head, "Sec-WebSocket-Accept", value),
                      PAIR_ACCEPT);
  assert_string_equal(head_value(&e->http_head, "Upgrade", value), "websocket");
  assert_string_equal(head_value(&e->http_head, "Connection", value),
                      "Upgrade");
  assert_null(head_value(&e->http_head, "Sec-WebSocket-Protocol", value));
  assert_null(head_value(&e->http_head, "Sec-WebSocket-Extensions", value));
  assert_int_equal(e->rx.len, e->http_head.len); /* and nothing behind it */
  assert_string_equal(pair_log(p), "0 open");
}

static void test_handshake_in_other_words(void **state) {
  pair *p = *state;
  hello h = fine;
  end *e;

  pair_begin(p);
  h.line = "GET /ws?a=b HTTP/1.1\r\n";
  h.upgrade = "UPGRADE:WebSocket\r\n";
  h.connection = "connection: keep-alive,  uPGRADE\r\n";
  h.version = "sec-websocket-version:13 \r\n";
  assert_string_equal(says(p, &h, &e), "101");
  h = fine;
  h.line = "GET http://example.org/ws HTTP/1.1\r\n";
  assert_string_equal(says(p, &h, &e), "101");
}

static void test_handshake_refusals(void **state) {
  static const struct {
    size_t at; /* the line that is other */
    const char *line;
    int status;
  } cases[] = {
#define LINE(member) offsetof(hello, member)
      {LINE(version), "", 426},
      {LINE(version), "Sec-WebSocket-Version: 0\r\n", 426},
      {LINE(version), "Sec-WebSocket-Version: 7\r\n", 426},
      {LINE(version), "Sec-WebSocket-Version: 8\r\n", 426},
      {LINE(version), "Sec-WebSocket-Version: 12\r\n", 426},
      {LINE(version), "Sec-WebSocket-Version: 14\r\n", 426},
      {LINE(version), "Sec-WebSocket-Version: 13, 8\r\n", 426},
      {LINE(version), "Sec-WebSocket-Version: 013\r\n", 426},
      {LINE(version),
       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n", 426},
      {LINE(upgrade), "", 426},
      {LINE(upgrade), "Upgrade: h2c\r\n", 426},
      {LINE(upgrade), "Upgrade: websockets\r\n", 426},
      {LINE(connection), "", 426},
      {LINE(connection), "Connection: keep-alive\r\n", 426},
      {LINE(line), "GET /ws HTTP/1.0\r\n", 426},
      {LINE(key), "", 400},
      {LINE(key), "Sec-WebSocket-Key: \r\n", 400},
      {LINE(key), "Sec-WebSocket-Key: c2hvcnQ=\r\n", 400},
      {LINE(key), "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400},
      {LINE(key), "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x\r\n", 400},
      {LINE(key), "Sec-WebSocket-Key: !!hlIHNhbXBsZSBub25jZQ==\r\n", 400},
      {LINE(key),
       "Sec-WebSocket-Key: " PAIR_KEY "\r\nSec-WebSocket-Key: " PAIR_KEY "\r\n",
       400},
      {LINE(line), "POST /ws HTTP/1.1\r\n", 405},
      {LINE(line), "HEAD /ws HTTP/1.1\r\n", 405},
      {LINE(line), "GET /elsewhere HTTP/1.1\r\n", 404},
      {LINE(line), "GET /ws/ HTTP/1.1\r\n", 404},
      {LINE(host), "", 400},
      {LINE(host), "Host: a\r\nHost: a\r\n", 400},
      {LINE(more), "Content-Length: 3\r\n", 400},
      {LINE(more), "Transfer-Encoding: chunked\r\n", 400},
#undef LINE
  };
  pair *p = *state;
  char value[256], took[64], json[32];

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hello h = fine;
    const char *got;
    end *e;
    memcpy((char *)&h + cases[i].at, &cases[i].line, sizeof cases[i].line);
    got = says(p, &h, &e);
    if (strncmp(h.line, "HEAD", 4) == 0) {
      e->told = 0;
      e->head = true;
      got = end_took(e);
    }
    snprintf(took, sizeof took, "%d", cases[i].status);
    assert_int_equal(strncmp(got, took, 3), 0);
    assert_false(e->upgraded);
    assert_string_equal(head_value(&e->http_head, "Content-Type", value),
                        "application/json");
    snprintf(json, sizeof json, "{\"error\":{\"status\":%d,", cases[i].status);
    if (e->http_body.len > 0)
      assert_int_equal(strncmp((char *)e->http_body.data, json, strlen(json)),
                       0);
    if (cases[i].status == 426)
      assert_string_equal(
          head_value(&e->http_head, "Sec-WebSocket-Version", value), "13");
    if (cases[i].status == 405)
      assert_string_equal(head_value(&e->http_head, "Allow", value), "GET");
    rill_conn_free(e->conn);
    e->conn = NULL;
  }
  assert_string_equal(pair_log(p), "");
  assert_int_equal(pair_metrics(p).peers_total, 0);
}

static void test_handshake_subprotocols(void **state) {
  static const char *const ours[] = {"chat.v2", "chat"};
  static const struct {
    const char *offer, *answer;
  } cases[] = {
      {"", NULL},
      {"Sec-WebSocket-Protocol: chat\r\n", "chat"},
      {"Sec-WebSocket-Protocol: chat, chat.v2\r\n", "chat.v2"},
      {"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: x, chat.v2\r\n",
       "chat.v2"},
      {"Sec-WebSocket-Protocol: soap\r\n", NULL},
      {"Sec-WebSocket-Protocol: chatty, xchat\r\n", NULL},
      {"Sec-WebSocket-Protocol: ,,chat,,\r\n", "chat"}};
  rill_route_opts opts = {.subprotocols = ours, .nsubprotocols = 2};
  pair *p = *state;
  char value[256];

  pair_begin(p);
  pair_route(p, "/sub", &opts);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = pair_open_at(p, "/sub", cases[i].offer);
    const char *got =
        head_value(&e->http_head, "Sec-WebSocket-Protocol", value);
    if (cases[i].answer == NULL) {
      assert_null(got);
      assert_int_equal(rill_peer_subprotocol(e->peer).len, 0);
    } else {
      assert_string_equal(got, cases[i].answer);
      assert_true(
          rill_str_eq(rill_peer_subprotocol(e->peer), rill_s(cases[i].answer)));
    }
  }
}

static void test_handshake_extensions(void **state) {
  static const struct {
    const char *offer;
    bool deflate;
  } cases[] = {
      {"", false},
      {"Sec-WebSocket-Extensions: permessage-deflate\r\n", true},
      {"Sec-WebSocket-Extensions: x-snappy\r\n"
       "Sec-WebSocket-Extensions: permessage-deflate\r\n",
       true},
      {"Sec-WebSocket-Extensions: x-snappy, permessage-deflate; "
       "client_max_window_bits\r\n",
       true},
      {"Sec-WebSocket-Extensions: permessage-deflate; nonsense=1\r\n", false}};
  rill_route_opts opts = {.deflate = {.enabled = true}};
  pair *p = *state;
  char value[256];

  pair_begin(p);
  pair_route(p, "/deflate", &opts);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int on = 0; on < 2; on++) {
      end *e = pair_open_at(p, on ? "/deflate" : "/ws", cases[i].offer);
      const char *got =
          head_value(&e->http_head, "Sec-WebSocket-Extensions", value);
      assert_int_equal(got != NULL, on && cases[i].deflate);
      if (got != NULL)
        assert_int_equal(strncmp(got, "permessage-deflate", 18), 0);
    }
}

typedef struct verdict {
  enum { ACCEPT, REJECT, LATER, NOTHING, NEGATIVE, TWICE } what;
  const char *user;
  rill_request *req;
  int rv;
} verdict;

static int judge(pair *p, const event *e) {
  verdict *v = p->act_arg;

  if (strcmp(e->name, "auth") != 0)
    return 0;
  assert_true(rill_str_eq(rill_request_path(e->req), rill_s("/ws")));
  assert_true(rill_str_eq(rill_request_method(e->req), rill_s("GET")));
  assert_ptr_equal(rill_request_hub(e->req), p->hub);
  switch (v->what) {
  case ACCEPT:
    return v->rv = rill_accept(e->req, rill_s(v->user));
  case REJECT:
    return v->rv = rill_reject(e->req, 403, v->user);
  case LATER:
    v->req = e->req;
    return RILL_LATER;
  case NOTHING:
    return 0;
  case NEGATIVE:
    return -1;
  case TWICE:
    assert_int_equal(rill_accept(e->req, rill_s("first")), 0);
    assert_int_equal(rill_reject(e->req, 403, "second"), RILL_ERR_STATE);
    assert_int_equal(rill_accept(e->req, rill_s("third")), RILL_ERR_STATE);
    assert_int_equal(rill_respond(e->req, &(rill_response){0}), RILL_ERR_STATE);
    /* the request may still be read */
    assert_true(rill_str_eq(rill_request_path(e->req), rill_s("/ws")));
    return 0;
  }
  return 0;
}

static end *asks(pair *p, verdict *v) {
  end *e = pair_accept(p);

  p->act = judge;
  p->act_arg = v;
  end_hello(e, "/ws", "");
  return e;
}

static void test_handshake_verdict_at_once(void **state) {
  pair *p = *state;
  verdict v = {ACCEPT, "ann", NULL, 0};
  end *e;

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  e = asks(p, &v);
  assert_string_equal(end_took(e), "101");
  assert_string_equal(pair_log(p), "auth; 0 open");
  assert_true(rill_str_eq(rill_peer_user(e->peer), rill_s("ann")));

  v.what = REJECT;
  v.user = "not \"you\"\n";
  e = asks(p, &v);
  assert_string_equal(end_took(e), "403; eof");
  assert_string_equal((char *)e->http_body.data,
                      "{\"error\":{\"status\":403,"
                      "\"reason\":\"not \\\"you\\\"\\u000a\"}}");
  v.what = NOTHING;
  assert_string_equal(end_took(asks(p, &v)), "500; eof");
  v.what = NEGATIVE;
  assert_string_equal(end_took(asks(p, &v)), "500; eof");
  assert_int_equal(pair_metrics(p).handler_errors_total, 1);
  assert_int_equal(pair_metrics(p).auth_refused_total, 1);
  v.what = TWICE;
  e = asks(p, &v);
  assert_string_equal(end_took(e), "101");
  assert_true(rill_str_eq(rill_peer_user(e->peer), rill_s("first")));
}

static void test_handshake_reject_statuses(void **state) {
  static const int statuses[] = {399, 400, 401, 429, 500, 503,
                                 599, 600, 0,   200, -1};
  pair *p = *state;

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
    verdict v = {LATER, "", NULL, 0};
    end *e = asks(p, &v);
    int s = statuses[i];
    assert_int_equal(rill_reject(v.req, s, NULL), 0);
    pair_turn(p);
    end_took(e);
    assert_int_equal(e->status, s >= 400 && s <= 599 ? s : 500);
  }
}

static void test_handshake_verdict_later(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};
  end *e;

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  e = asks(p, &v);
  end_put(e, 0x81, "early", 5); /* waits until on_open has run */
  end_text(e, "bird");
  assert_string_equal(end_took(e), "");
  assert_string_equal(pair_log(p), "auth");
  assert_int_equal(rill_wants(e->conn), 0);
  assert_int_equal(rill_accept(v.req, rill_s("bob")), 0);
  assert_string_equal(pair_log(p), ""); /* a command runs no handler */
  pair_turn(p);
  assert_string_equal(end_took(e), "101");
  assert_string_equal(pair_log(p), "0 open; 0 text early; 0 text bird");
  assert_true(rill_str_eq(rill_peer_user(e->peer), rill_s("bob")));

  e = asks(p, &v);
  pair_log(p);
  assert_int_equal(rill_reject(v.req, 401, "who?"), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "401; eof");
  assert_string_equal(pair_log(p), "");
}

/* More early bytes than one read: they come whole and in order. */
static void test_handshake_early_bytes_wait(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};
  char expected[1200] = "0 open", one[32];
  end *e;

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  e = pair_accept(p);
  p->act = judge;
  p->act_arg = &v;
  buf_text(&e->tx, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: " PAIR_KEY "\r\n\r\n");
  for (int i = 0; i < 60; i++) {
    snprintf(one, sizeof one, "message %d", i);
    end_put(e, 0x81, one, strlen(one));
    snprintf(one, sizeof one, "; 0 text message %d", i);
    strcat(expected, one);
  }
  pair_turn(p);
  assert_string_equal(pair_log(p), "auth");
  rill_accept(v.req, (rill_str){0});
  pair_turn(p);
  assert_string_equal(pair_log(p), expected);
}

static void test_handshake_client_leaves_before_the_verdict(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};
  end *e;

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  for (int how = 0; how < 6; how++) {
    e = asks(p, &v);
    if (how < 3) {
      end_eof(e, how % 2);
    } else {
      rill_conn_free(e->conn);
      e->conn = NULL;
    }
    /* the request is the host's: it may be read, and must be given back */
    assert_true(rill_str_eq(rill_request_path(v.req), rill_s("/ws")));
    assert_true(
        rill_str_eq(rill_request_header(v.req, "host"), rill_s("example.org")));
    if (how % 3 == 0)
      assert_int_equal(rill_accept(v.req, rill_s("late")), RILL_ERR_CLOSED);
    else if (how % 3 == 1)
      assert_int_equal(rill_reject(v.req, 403, "late"), RILL_ERR_CLOSED);
    else
      assert_int_equal(rill_respond(v.req, &(rill_response){0}),
                       RILL_ERR_CLOSED);
    pair_turn(p);
    assert_int_equal(e->opened, 0);
  }
  assert_int_equal(rill_peers(p->hub), 0);
}

/* Accepted, but gone before on_open could run: nobody hears of it. */
static void test_handshake_client_leaves_behind_the_verdict(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  for (int how = 0; how < 3; how++) {
    end *e = asks(p, &v);
    assert_int_equal(rill_accept(v.req, rill_s("gone")), 0);
    if (how < 2) {
      end_feed_end(e, how);
    } else {
      rill_conn_free(e->conn);
      e->conn = NULL;
    }
    pair_turn(p);
    assert_null(e->conn);
    assert_int_equal(e->opened, 0);
    assert_int_equal(e->closed, 0);
  }
  assert_int_equal(rill_peers(p->hub), 0);
  assert_int_equal(pair_metrics(p).users, 0);
}

/* One of several that wait for their on_open goes: the others open. */
static void test_handshake_one_of_many_leaves(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};
  rill_request *kept[4];
  end *e[4];

  p->config.authenticate = pair_authenticate;
  for (int gone = 0; gone < 4; gone++) {
    pair_begin(p);
    for (int i = 0; i < 4; i++) {
      e[i] = asks(p, &v);
      kept[i] = v.req;
    }
    for (int i = 0; i < 4; i++)
      assert_int_equal(rill_accept(kept[i], rill_s("user")), 0);
    rill_conn_free(e[gone]->conn);
    e[gone]->conn = NULL;
    pair_turn(p);
    for (int i = 0; i < 4; i++)
      assert_int_equal(e[i]->opened, i != gone);
    assert_int_equal(rill_peers(p->hub), 3);
    pair_reset(p);
  }
}

static void test_handshake_verdict_that_never_comes(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};
  end *e;

  p->config.authenticate = pair_authenticate;
  p->config.limits.verdict_ms = 3000;
  pair_begin(p);
  e = asks(p, &v);
  pair_pass(p, 3 * RILL_SEC - 1);
  assert_string_equal(end_took(e), "");
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "503; eof");
  assert_int_equal(pair_metrics(p).limit_verdict_ms, 1);
  assert_int_equal(rill_accept(v.req, rill_s("too late")), RILL_ERR_CLOSED);
  assert_int_equal(e->opened, 0);
}

static void test_handshake_users_are_named_well(void **state) {
  pair *p = *state;
  char name[300];
  verdict v = {ACCEPT, name, NULL, 0};

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  memset(name, 'n', sizeof name);
  name[256] = '\0';
  assert_string_equal(end_took(asks(p, &v)), "500; eof");
  assert_int_equal(v.rv, RILL_ERR_TOO_BIG);
  name[255] = '\0';
  assert_string_equal(end_took(asks(p, &v)), "101");
  strcpy(name, "line\nbreak");
  assert_string_equal(end_took(asks(p, &v)), "500; eof");
  assert_int_equal(v.rv, RILL_ERR_ARG);
  strcpy(name, "\xc3\x28");
  assert_string_equal(end_took(asks(p, &v)), "500; eof");
  assert_int_equal(v.rv, RILL_ERR_ARG);
  assert_int_equal(pair_metrics(p).users, 1);
}

static void test_handshake_sees_the_request(void **state) {
  pair *p = *state;
  verdict v = {LATER, "", NULL, 0};
  end *e;

  p->config.authenticate = pair_authenticate;
  pair_begin(p);
  e = pair_accept(p);
  p->act = judge;
  p->act_arg = &v;
  end_hello(e, "/ws?token=a%20b+c&x=1&token=second&empty=&bad=%zz",
            "Cookie: id=7\r\nX-Two: 1\r\nx-two: 2\r\n");
  assert_true(rill_str_eq(rill_request_query(v.req, "token"), rill_s("a b c")));
  assert_true(rill_str_eq(rill_request_query(v.req, "x"), rill_s("1")));
  assert_int_equal(rill_request_query(v.req, "empty").len, 0);
  assert_int_equal(rill_request_query(v.req, "absent").len, 0);
  assert_int_equal(rill_request_query(v.req, "bad").len, 0);
  assert_true(
      rill_str_eq(rill_request_header(v.req, "COOKIE"), rill_s("id=7")));
  assert_true(rill_str_eq(rill_request_header(v.req, "X-Two"), rill_s("1")));
  assert_null(rill_request_header(v.req, "absent").ptr);
  assert_true(rill_str_eq(rill_request_credential(v.req), rill_s("a b c")));
  assert_int_equal(rill_request_body(v.req).len, 0);
  assert_int_equal(rill_request_param(v.req, "id").len, 0);
  rill_reject(v.req, 400, NULL);

  e = pair_accept(p);
  end_hello(e, "/ws?token=weak", "Authorization: bEARER   strong.er\r\n");
  assert_true(rill_str_eq(rill_request_credential(v.req), rill_s("strong.er")));
  rill_reject(v.req, 400, NULL);
  e = pair_accept(p);
  end_hello(e, "/ws?token=weak", "Authorization: Basic YTpi\r\n");
  assert_true(rill_str_eq(rill_request_credential(v.req), rill_s("weak")));
  rill_reject(v.req, 400, NULL);
  pair_turn(p);
}

static void test_handshake_needs_no_randomness_beyond_the_first(void **state) {
  pair *p = *state;
  rill_conn_info info = {rill_s("unix"), 0, false};
  rill_conn *c;

  p->no_random = true;
  pair_begin(p);
  assert_int_equal(rill_conn_new(&c, p->hub, &info, p->now), RILL_ERR_RANDOM);
  assert_null(c);
  p->no_random = false;
  pair_open(p);
  p->no_random = true;
  pair_open(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_handshake_answer),
      PAIR_TESTS(test_handshake_in_other_words),
      PAIR_TESTS(test_handshake_refusals),
      PAIR_TESTS(test_handshake_subprotocols),
      PAIR_TESTS(test_handshake_extensions),
      PAIR_TESTS(test_handshake_verdict_at_once),
      PAIR_TEST(test_handshake_reject_statuses),
      PAIR_TESTS(test_handshake_verdict_later),
      PAIR_TESTS(test_handshake_early_bytes_wait),
      PAIR_TESTS(test_handshake_client_leaves_before_the_verdict),
      PAIR_TEST(test_handshake_client_leaves_behind_the_verdict),
      PAIR_TEST(test_handshake_one_of_many_leaves),
      PAIR_TEST(test_handshake_verdict_that_never_comes),
      PAIR_TEST(test_handshake_users_are_named_well),
      PAIR_TESTS(test_handshake_sees_the_request),
      PAIR_TEST(test_handshake_needs_no_randomness_beyond_the_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
