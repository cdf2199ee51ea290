/*
 * Socket.IO v5 in the hub: namespaces and who may be in them, events and
 * bytes both ways, and how peers end.
 */
#include "eio.h"

static int later(world *w, const happening *h) {
  if (strcmp(h->name, "auth") != 0)
    return 0;
  w->later = h->req;
  return RILL_LATER;
}

/* ---- CONNECT ---- */

static void test_socketio_connects(void **state) {
  world *w = *state;

  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/socket.io/");
    char log[200];
    int n = how * 2;
    cli_say(c, "40");
    assert_string_equal(cli_hears(c), "40{\"sid\":\"*\"}");
    assert_string_not_equal(c->id, c->sid); /* that one is secret */
    assert_string_equal(text_of(rill_peer_sid(w->seen[n].peer)), c->id);
    cli_say(c, "40/admin,{\"token\":\"x\"}");
    assert_string_equal(cli_hears(c), "40/admin,{\"sid\":\"*\"}");
    snprintf(log, sizeof log, "%d open; %d open /admin", n, n + 1);
    assert_string_equal(pair_log(w->p), log);
    assert_string_equal(rill_peer_transport(w->seen[n + 1].peer).ptr,
                        how == BY_POLLING ? "polling" : "websocket");
  }
}

static void test_socketio_names_of_namespaces(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  eio_space(w, "/dyn-*", NULL);
  c = cli_websocket(w, "/socket.io/");
  cli_say(c, "40/nope,");
  assert_string_equal(cli_hears(c),
                      "44/nope,{\"message\":\"Invalid namespace\"}");
  cli_say(c, "40/nope?x=1,{}");
  assert_string_equal(cli_hears(c),
                      "44/nope?x=1,{\"message\":\"Invalid namespace\"}");
  cli_say(c, "40/dyn-*,"); /* a name like others */
  assert_string_equal(cli_hears(c), "40/dyn-*,{\"sid\":\"*\"}");
  cli_say(c, "40/dyn-");
  assert_string_equal(cli_hears(c), "40/dyn-,{\"sid\":\"*\"}");
  cli_say(c, "40/dyn-\x01,");
  assert_string_equal(cli_hears(c),
                      "44/dyn-\x01,{\"message\":\"Invalid namespace\"}");
  assert_int_equal(w->hub->nspaces, 4);
  cli_say(c, "41/dyn-,|41/dyn-*,");
  assert_int_equal(w->hub->nspaces, 2);
}

static int tells_auth(world *w, const happening *h) {
  rill_builder *b;

  if (strcmp(h->name, "open") != 0)
    return 0;
  b = rill_build(w->hub);
  rill_put_value(b, rill_request_auth(h->req));
  rill_put_str(b, rill_request_transport(h->req));
  rill_put_str(b, rill_request_header(h->req, "x-of-mine"));
  rill_put_str(b, rill_request_space(h->req));
  rill_put_str(b, rill_request_address(h->req));
  rill_put_str(b, rill_request_credential(h->req));
  return rill_emit_peer(h->who->peer, "auth", b, NULL);
}

/* What the host may ask of a request in on_open, for each namespace. */
static void test_socketio_request_in_on_open(void **state) {
  world *w = *state;

  w->act = tells_auth;
  eio_begin(w);
  eio_space(w, "/custom", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_new(w, "/socket.io/");
    char expected[300];
    end *e = pair_accept(w->p);
    if (how == BY_WEBSOCKET) {
      ws_hello(e, cli_target(c, "websocket"), "X-Of-Mine: abc\r\n");
      c->ws = e;
      MUST(strncmp(end_took(e), "101", 3) == 0);
    } else {
      MUST(take_id(
          http(e, "GET", cli_target(c, "polling"), "X-Of-Mine: abc\r\n", NULL),
          "\"sid\":\"", c->sid));
      c->get = e;
      if (how == BY_UPGRADE)
        cli_switch(c, cli_probe(c));
    }
    cli_say(c, "40{\"token\":\"t\"}");
    snprintf(expected, sizeof expected,
             "40{\"sid\":\"*\"} | 42[\"auth\",{\"token\":\"t\"},\"%s\","
             "\"abc\",\"/\",\"192.0.2.1\",\"t\"]",
             how == BY_POLLING ? "polling" : "websocket");
    assert_string_equal(cli_hears(c), expected);
    cli_say(c, "40/custom");
    snprintf(expected, sizeof expected,
             "40/custom,{\"sid\":\"*\"} | 42/custom,[\"auth\",null,\"%s\","
             "\"abc\",\"/custom\",\"192.0.2.1\",\"\"]",
             how == BY_POLLING ? "polling" : "websocket");
    assert_string_equal(cli_hears(c), expected);
  }
}

static int judges(world *w, const happening *h) {
  rill_builder *b;
  rill_str token;

  if (strcmp(h->name, "auth") != 0)
    return 0;
  token = rill_request_credential(h->req);
  if (rill_str_eq(token, rill_s("negative")))
    return RILL_ERR_ARG;
  if (rill_str_eq(token, rill_s("silent")))
    return 0;
  if (token.len > 0)
    return rill_accept(h->req, token);
  b = rill_build(w->hub);
  rill_put_object(b);
  rill_set_int(b, "code", 7);
  rill_put_end(b);
  return rill_reject_with(h->req, 401, "no \"token\"", b);
}

static void test_socketio_authenticates(void **state) {
  world *w = *state;

  w->p->config.authenticate = eio_authenticate;
  w->act = judges;
  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/socket.io/");
    cli_say(c, "40");
    assert_string_equal(cli_hears(c), "44{\"message\":\"no \\\"token\\\"\","
                                      "\"data\":{\"code\":7}}");
    cli_say(c, "40/admin,{\"token\":\"negative\"}");
    assert_string_equal(cli_hears(c), "44/admin,{\"message\":\"no answer\"}");
    cli_say(c, "40{\"token\":\"silent\"}");
    assert_string_equal(cli_hears(c), "44{\"message\":\"no answer\"}");
    cli_say(c, "40{\"token\":\"ann\"}"); /* it may try again */
    assert_string_equal(cli_hears(c), "40{\"sid\":\"*\"}");
    assert_string_equal(text_of(rill_peer_user(w->seen[how].peer)), "ann");
    cli_say(c, "42[\"hi\"]");
    assert_non_null(strstr(pair_log(w->p), "event hi []"));
  }
  assert_int_equal(pair_metrics(w->p).auth_refused_total, 3);
}

static void test_socketio_verdict_comes_later(void **state) {
  world *w = *state;

  w->p->config.authenticate = eio_authenticate;
  w->act = later;
  eio_begin(w);
  eio_space(w, "/dyn-*", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    for (int what = 0; what < 6; what++) {
      cli *c = cli_by(w, how, "/socket.io/");
      char log[60];
      int rv;
      cli_say(c, "40/dyn-a,{\"token\":\"t\"}");
      assert_string_equal(pair_log(w->p), "auth /dyn-a; {\"token\":\"t\"}");
      assert_string_equal(cli_hears(c), "");
      if (what >= 2 && what < 4)
        cli_cut(c);
      if (what >= 4)
        cli_say(c, "42/dyn-a,[\"early\"]"); /* it is not in there yet */
      /* the request is the host's until it has answered */
      assert_string_equal(text_of(rill_request_credential(w->later)), "t");
      assert_string_equal(text_of(rill_request_space(w->later)), "/dyn-a");
      assert_int_equal(rill_request_header(w->later, "host").len,
                       what < 2 ? 11 : 0);
      assert_string_equal(text_of(rill_request_transport(w->later)),
                          how == BY_POLLING ? "polling" : "websocket");
      rv = what % 2 == 0 ? rill_accept(w->later, rill_s("ann"))
                         : rill_reject(w->later, 403, "no");
      assert_int_equal(rv, what < 2 ? 0 : RILL_ERR_CLOSED);
      pair_turn(w->p);
      if (what == 0) {
        snprintf(log, sizeof log, "%zu open /dyn-a as ann", w->n - 1);
        assert_string_equal(pair_log(w->p), log);
        assert_string_equal(cli_hears(c), "40/dyn-a,{\"sid\":\"*\"}");
        cli_cut(c);
        pair_log(w->p);
      } else if (what == 1) {
        assert_string_equal(cli_hears(c), "44/dyn-a,{\"message\":\"no\"}");
        cli_cut(c);
      }
      assert_string_equal(pair_log(w->p), "");
      assert_int_equal(w->hub->nspaces, 2);
      assert_int_equal(pair_metrics(w->p).sessions, 0);
    }
  }
}

/* Two questions at once; the peers of a namespace go while one waits. */
static void test_socketio_verdicts_cross(void **state) {
  world *w = *state;
  rill_request *first, *second, *third;
  cli *a, *b;

  w->p->config.authenticate = eio_authenticate;
  w->act = later;
  eio_begin(w);
  eio_space(w, "/dyn-*", NULL);
  a = cli_websocket(w, "/socket.io/");
  b = cli_websocket(w, "/socket.io/");
  cli_say(a, "40/dyn-a,");
  first = w->later;
  cli_say(b, "40/dyn-a,");
  second = w->later;
  cli_say(b, "40");
  third = w->later;
  assert_int_equal(rill_accept(third, rill_s("")), 0);
  assert_int_equal(rill_accept(first, rill_s("ann")), 0);
  assert_int_equal(rill_accept(third, rill_s("")), RILL_ERR_STATE);
  pair_turn(w->p);
  cli_cut(a);
  assert_int_equal(w->hub->nspaces, 3); /* somebody asks for it */
  assert_int_equal(rill_accept(second, rill_s("bob")), 0);
  pair_turn(w->p);
  assert_string_equal(cli_hears(b),
                      "40{\"sid\":\"*\"} | 40/dyn-a,{\"sid\":\"*\"}");
  assert_int_equal(w->seen[0].closed, 0);
  assert_int_equal(w->seen[1].closed, 1);
}

/* Accepted and gone in the same turn: nobody hears of it. */
static void test_socketio_accepted_and_gone(void **state) {
  world *w = *state;
  rill_peer first;
  cli *c;

  w->p->config.authenticate = eio_authenticate;
  w->act = later;
  eio_begin(w);
  eio_space(w, "/admin", NULL);
  c = cli_websocket(w, "/socket.io/");
  cli_say(c, "40");
  rill_accept(w->later, rill_s(""));
  pair_turn(w->p);
  first = w->seen[0].peer;
  cli_say(c, "40/admin,");
  rill_accept(w->later, rill_s(""));
  rill_cut(first);
  pair_turn(w->p);
  assert_int_equal(w->n, 1);
  assert_int_equal(w->seen[0].closed, 1);
}

static int cuts_in_auth(world *w, const happening *h) {
  if (strcmp(h->name, "auth") != 0)
    return 0;
  if (w->n == 0)
    return rill_accept(h->req, rill_s(""));
  if (w->count == 0)
    rill_cut(w->seen[0].peer);
  /* it stays good for the call */
  assert_int_equal(rill_request_header(h->req, "host").len, 11);
  if (w->count < 2)
    assert_int_equal(rill_accept(h->req, rill_s("")),
                     w->count == 0 ? RILL_ERR_CLOSED : 0);
  if (w->count == 1)
    rill_cut(w->seen[0].peer);
  if (w->count == 2) {
    rill_cut(w->seen[0].peer);
    w->later = h->req;
    return RILL_LATER;
  }
  return 0;
}

/* authenticate cuts the conn by another of its peers. */
static void test_socketio_cut_in_authenticate(void **state) {
  world *w = *state;

  w->p->config.authenticate = eio_authenticate;
  w->act = cuts_in_auth;
  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    for (w->count = 0; w->count < 3; w->count++) {
      cli *c = cli_by(w, how, "/socket.io/");
      w->n = 0;
      cli_say(c, "40");
      cli_say(c, "40/admin,");
      if (w->count == 2) { /* it is the host's, with all there is to ask */
        assert_int_equal(rill_request_header(w->later, "host").len, 11);
        assert_int_equal(rill_reject(w->later, 403, "late"), RILL_ERR_CLOSED);
      }
      pair_turn(w->p);
      assert_int_equal(w->n, 1);
      assert_int_equal(w->seen[0].closed, 1);
      assert_int_equal(pair_metrics(w->p).sessions, 0);
    }
  }
}

static int cuts_on_open(world *w, const happening *h) {
  (void)w;
  if (strcmp(h->name, "open") != 0)
    return 0;
  rill_cut(h->who->peer);
  assert_int_equal(rill_request_header(h->req, "host").len, 11);
  assert_int_equal(rill_request_transport(h->req).len > 0, 1);
  return 0;
}

static void test_socketio_cut_in_on_open(void **state) {
  world *w = *state;

  w->act = cuts_on_open;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/socket.io/");
    cli_say(c, "40");
    assert_int_equal(w->seen[how].closed, 1);
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

static int fails_on_open(world *w, const happening *h) {
  (void)w;
  return strcmp(h->name, "open") == 0 ? -99 : 0;
}

static void test_socketio_on_open_fails(void **state) {
  world *w = *state;
  cli *c;

  w->act = fails_on_open;
  eio_begin(w);
  c = cli_websocket(w, "/socket.io/");
  cli_say(c, "40");
  assert_string_equal(cli_hears(c), "40{\"sid\":\"*\"} | close | eof");
  assert_string_equal(pair_log(w->p), "0 open; 0 close forced server close");
}

static bool allows(rill_str name, void *arg) {
  (void)arg;
  return !rill_str_eq(name, rill_s("/x-no"));
}

static void test_socketio_limits_of_namespaces(void **state) {
  world *w = *state;
  const rill_space_opts opts = {.allow = allows};
  char name[60], expected[100];
  cli *c;

  w->p->config.limits.spaces_per_session = 4;
  w->p->config.limits.spaces = 6;
  eio_begin(w);
  eio_space(w, "/x-*", &opts);
  c = cli_websocket(w, "/socket.io/");
  for (int i = 0; i < 4; i++) {
    snprintf(name, sizeof name, "40/x-%d,", i);
    snprintf(expected, sizeof expected, "40/x-%d,{\"sid\":\"*\"}", i);
    cli_say(c, name);
    assert_string_equal(cli_hears(c), expected);
  }
  cli_say(c, "40/x-4,");
  assert_string_equal(cli_hears(c),
                      "44/x-4,{\"message\":\"too many namespaces\"}");
  assert_int_equal(pair_metrics(w->p).limit_spaces_per_session, 1);
  assert_int_equal(w->hub->nspaces, 6);
  c = cli_websocket(w, "/socket.io/");
  cli_say(c, "40/x-no,|40/x-9,|40/x-3,");
  assert_string_equal(
      cli_hears(c),
      "44/x-no,{\"message\":\"Invalid namespace\"} | "
      "44/x-9,{\"message\":\"a limit of the configuration is reached\"} | "
      "40/x-3,{\"sid\":\"*\"}");
  assert_int_equal(pair_metrics(w->p).limit_spaces, 1);
  pair_log(w->p);
}

static void test_socketio_must_connect_in_time(void **state) {
  world *w = *state;

  w->p->config.limits.connect_ms = 1000;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/socket.io/");
    assert_string_equal(cli_hears(c), "");
    pair_pass(w->p, 999 * RILL_MSEC);
    assert_string_equal(cli_hears(c), "");
    pair_pass(w->p, RILL_MSEC);
    if (how == BY_POLLING)
      assert_string_equal(http_answer(c->get), "200 1");
    else
      assert_string_equal(cli_hears(c), "close | eof");
    assert_int_equal(pair_metrics(w->p).sessions, 0);
    assert_int_equal(pair_metrics(w->p).limit_connect_ms, how + 1);
  }
}

/* Who has left the last namespace may come again, for as long as at first. */
static void test_socketio_connects_again(void **state) {
  world *w = *state;

  w->p->config.limits.connect_ms = 1000;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = sio_by(w, how);
    char first[RILL__SID + 1];
    strcpy(first, c->id);
    pair_pass(w->p, 5 * RILL_SEC);
    pair_log(w->p);
    cli_say(c, "41");
    assert_non_null(
        strstr(pair_log(w->p), "close client namespace disconnect"));
    pair_pass(w->p, 900 * RILL_MSEC);
    cli_say(c, "40");
    assert_string_equal(cli_hears(c), "40{\"sid\":\"*\"}");
    assert_string_not_equal(c->id, first);
    rill_close(w->seen[w->n - 1].peer, 1000, NULL);
    pair_turn(w->p);
    assert_non_null(
        strstr(pair_log(w->p), "close server namespace disconnect"));
    assert_string_equal(cli_hears(c), "41");
    cli_say(c, "42[\"late\"]"); /* it has not seen the end yet */
    assert_string_equal(pair_log(w->p), "");
    pair_pass(w->p, 999 * RILL_MSEC);
    assert_int_equal(pair_metrics(w->p).sessions, 1);
    pair_pass(w->p, RILL_MSEC);
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

/* ---- rules ---- */

static void test_socketio_violations(void **state) {
  static const char *const first[] = {
      "42[\"a\"]", "41",
      "43[]",      "40[]",
      "40 ",       "44{\"message\":\"x\"}",
      "4",         "47",
      "4x",        "451-[\"a\",{\"_placeholder\":true,\"num\":0}]|bAQID",
      "40{\"a\":}"};
  static const char *const then[] = {
      "40",
      "42[]",
      "42{}",
      "42[\"connect\"]",
      "42[\"disconnecting\",1]",
      "42[null]",
      "42[\"a\"",
      "42/admin,[\"a\"]",
      "41/admin,",
      "43/admin,1[]",
      "41[]",
      "43{}",
      "44{\"message\":\"x\"}",
      "bAQID",
      "4511-[\"a\"]",
      "451-[\"a\",{\"_placeholder\":true,\"num\":1}]|bAQID",
      "451-[\"a\",{\"_placeholder\":true,\"num\":0}]|42[\"b\"]"};
  enum { FIRST = sizeof first / sizeof *first };
  world *w = *state;

  eio_begin(w);
  for (size_t i = 0; i < FIRST + sizeof then / sizeof *then; i++) {
    for (int how = 0; how < BY_ALL; how++) {
      cli *c = i < FIRST ? cli_by(w, how, "/socket.io/") : sio_by(w, how);
      cli_hears(c);
      pair_log(w->p);
      cli_say(c, i < FIRST ? first[i] : then[i - FIRST]);
      if (i >= FIRST && strstr(pair_log(w->p), "close forced close") == NULL)
        fail_msg("%s is taken", then[i - FIRST]);
      assert_string_equal(pair_log(w->p), "");
      if (how == BY_POLLING)
        assert_string_equal(http_answer(c->get), "200 1");
      else
        assert_string_equal(cli_hears(c), "close | eof");
      assert_int_equal(pair_metrics(w->p).sessions, 0);
      w->n = w->nclis = 0;
    }
  }
}

/* ---- events ---- */

static int answers(world *w, const happening *h) {
  rill_builder *b;
  rill_ack_to to;

  if (h->ev == NULL)
    return 0;
  if (rill_str_eq(rill_event_name(h->ev), rill_s("pause")))
    return RILL_PAUSE;
  b = rill_build(w->hub);
  for (size_t i = 0; i < rill_event_count(h->ev); i++)
    rill_put_value(b, rill_event_arg(h->ev, i));
  to = rill_event_ack(h->ev);
  if (rill_ack(to, b) == RILL_ERR_STATE)
    rill_emit_peer(h->who->peer, "back", b, NULL);
  return 0;
}

static void test_socketio_events_both_ways(void **state) {
  world *w = *state;

  w->act = answers;
  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = sio_by(w, how);
    cli_say(c, "40/admin,");
    cli_hears(c);
    cli_say(c, "42[\"a\",1,\"\\u00e9\",{\"b\":null}]");
    assert_string_equal(cli_hears(c),
                        "42[\"back\",1,\"\xc3\xa9\",{\"b\":null}]");
    cli_say(c, "4212[\"a\",[]]|42/admin,0[\"b\"]|42/admin,[5]");
    assert_string_equal(cli_hears(c),
                        "4312[[]] | 43/admin,0[] | 42/admin,[\"back\"]");
    cli_say(c, "451-[\"a\",{\"_placeholder\":true,\"num\":0}]|bAQID");
    assert_string_equal(
        cli_hears(c),
        "451-[\"back\",{\"_placeholder\":true,\"num\":0}] | bAQID");
    cli_say(c, "452-/admin,7[\"a\",{\"_placeholder\":true,\"num\":1},"
               "{\"x\":{\"_placeholder\":true,\"num\":0}}]|bAQ==|b");
    /* numbered in the order of the document, so they change places */
    assert_string_equal(
        cli_hears(c), "462-/admin,7[{\"_placeholder\":true,\"num\":0},"
                      "{\"x\":{\"_placeholder\":true,\"num\":1}}] | b | bAQ==");
    cli_say(c, "430[\"nobody asked\"]|43[]");
    assert_string_equal(cli_hears(c), "");
  }
}

static void test_socketio_bytes_in_pieces(void **state) {
  world *w = *state;
  char text[1000], bytes[1200];
  size_t len;
  cli *c;

  w->act = answers;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    c = sio_by(w, how);
    strcpy(text, "4510-[\"a\"");
    for (int i = 0; i < 10; i++)
      strcat(text, ",{\"_placeholder\":true,\"num\":0}");
    strcat(text, "]");
    memset(bytes, 0, sizeof bytes);
    strcpy(bytes, text);
    for (int i = 0; i < 10; i++)
      strcat(bytes, "|bAAA=");
    for (char *at = bytes; *at != '\0';) { /* each in a message of its own */
      char one[1000];
      len = strcspn(at, "|");
      memcpy(one, at, len);
      one[len] = '\0';
      cli_say(c, one);
      at += len + (at[len] == '|');
    }
    /* the same ten times */
    assert_int_equal(strncmp(cli_hears(c), "4510-[\"back\"", 12), 0);
  }
  assert_int_equal(w->seen[0].closed, 0);
}

static void test_socketio_parts_must_come_in_time(void **state) {
  world *w = *state;

  w->p->config.limits.message_ms = 1000;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = sio_by(w, how);
    pair_log(w->p);
    cli_say(c, "452-[\"a\",{\"_placeholder\":true,\"num\":0},"
               "{\"_placeholder\":true,\"num\":1}]|bAQID");
    pair_pass(w->p, 999 * RILL_MSEC);
    assert_string_equal(pair_log(w->p), "");
    if (how == BY_UPGRADE) {
      cli_say(c, "bAQID");
      assert_non_null(strstr(pair_log(w->p), "event a [{\"$bytes\""));
      pair_pass(w->p, 2 * RILL_SEC);
      assert_string_equal(cli_hears(c), "");
      continue;
    }
    pair_pass(w->p, RILL_MSEC);
    assert_non_null(strstr(pair_log(w->p), "close forced close"));
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

static void test_socketio_parts_have_a_limit(void **state) {
  world *w = *state;
  char text[200], bytes[80];
  const char *packet = "451-[\"a\",{\"_placeholder\":true,\"num\":0}]";

  w->p->config.limits.payload_bytes = 100;
  w->p->config.limits.message_bytes = 100;
  eio_begin(w);
  for (size_t n = 100; n <= 101; n++) {
    cli *c = sio_by(w, BY_WEBSOCKET);
    size_t left = n - (strlen(packet) - 1);
    memset(bytes, 1, sizeof bytes);
    MUST(left <= sizeof bytes);
    memset(text, 0, sizeof text);
    text[0] = 'b';
    rill__base64_encode(text + 1, bytes, left);
    pair_log(w->p);
    cli_say(c, packet);
    cli_say(c, text);
    if (n == 100)
      assert_non_null(strstr(pair_log(w->p), "event a"));
    else
      assert_string_equal(cli_hears(c), "close 1009 | eof");
  }
}

/* The upgrade comes between a packet and its bytes. */
static void test_socketio_parts_across_an_upgrade(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = sio_by(w, BY_POLLING);
  cli_say(c, "451-[\"a\",{\"_placeholder\":true,\"num\":0}]");
  cli_switch(c, cli_probe(c));
  cli_say(c, "bAQID");
  assert_string_equal(pair_log(w->p),
                      "0 open; 0 event a [{\"$bytes\":\"AQID\"}]");
}

static int ends(world *w, const happening *h) {
  if (h->ev == NULL)
    return 0;
  if (rill_str_eq(rill_event_name(h->ev), rill_s("cut")))
    rill_cut(h->who->peer);
  if (rill_str_eq(rill_event_name(h->ev), rill_s("close")))
    rill_close(h->who->peer, 1000, NULL);
  if (rill_str_eq(rill_event_name(h->ev), rill_s("fail")))
    return -3;
  if (w->count > 0) /* they are good for the call, whatever became of it */
    assert_string_equal(
        rill_value_bytes(rill_event_arg(h->ev, 0)).ptr == NULL ? "" : "x",
        w->count == 1 ? "" : "x");
  return 0;
}

static void test_socketio_ends_inside_handlers(void **state) {
  static const char *const names[] = {"cut", "close", "fail"};
  world *w = *state;
  char text[200];

  w->act = ends;
  eio_begin(w);
  for (int i = 0; i < 3 * BY_ALL * 2; i++) {
    int how = i % 3, name = i / 3 % 3, bytes = i / 9;
    cli *c = sio_by(w, how);
    w->count = 1 + bytes;
    pair_log(w->p);
    snprintf(text, sizeof text,
             bytes ? "451-[\"%s\",{\"_placeholder\":true,\"num\":0}]|bAQID|"
                     "42[\"more\"]"
                   : "42[\"%s\"]|42[\"more\"]",
             names[name]);
    cli_say(c, text);
    assert_null(strstr(pair_log(w->p), "more"));
    assert_int_equal(w->seen[w->n - 1].closed, 1);
    if (name == 1) { /* the session goes on */
      assert_string_equal(cli_hears(c), "41");
      cli_say(c, "40");
      assert_string_equal(cli_hears(c), "40{\"sid\":\"*\"}");
      cli_cut(c);
    }
    assert_int_equal(pair_metrics(w->p).sessions, 0);
    w->n = w->nclis = 0;
  }
}

/* ---- MessagePack ---- */

#define MP_CONNECT "bg6R0eXBlAKRkYXRh1AAAo25zcKEv"
#define MP_HI "bg6R0eXBlAqRkYXRhkqJoaQGjbnNwoS8="

static void test_socketio_msgpack(void **state) {
  world *w = *state;

  w->act = answers;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how == BY_UPGRADE ? BY_POLLING : how, "/socket.io/");
    uint8_t raw[200];
    const char *text;
    int64_t n;
    cli_say(c, MP_CONNECT);
    text = cli_hears(c);
    assert_int_equal(text[0], 'b');
    n = rill__base64_decode(raw, (rill_str){text + 1, strlen(text) - 1});
    assert_int_equal(n, 44);
    assert_memory_equal(raw,
                        "\x83\xa4type\x00\xa4"
                        "data\x81\xa3sid\xb4",
                        17);
    if (how == BY_UPGRADE)
      cli_switch(c, cli_probe(c));
    cli_say(c, MP_HI);
    text = cli_hears(c);
    n = rill__base64_decode(raw, (rill_str){text + 1, strlen(text) - 1});
    assert_int_equal(n, 25);
    assert_memory_equal(raw,
                        "\x83\xa4type\x02\xa4"
                        "data\x92\xa4"
                        "back\x01\xa3nsp\xa1/",
                        25);
    pair_log(w->p);
    cli_say(c, "42[\"text\"]");
    assert_non_null(strstr(pair_log(w->p), "close forced close"));
  }
}

/* ---- several peers ---- */

static void test_socketio_fans_out(void **state) {
  world *w = *state;
  cli *c[4];
  rill_builder *b;

  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (int how = 0; how < 4; how++) {
    c[how] = how < 3 ? sio_by(w, how) : cli_websocket(w, "/socket.io/");
    if (how == 3)
      cli_say(c[how], "40");
    cli_say(c[how], "40/admin,");
    cli_hears(c[how]);
  }
  for (size_t i = 0; i < 8; i++)
    rill_join(w->seen[i].peer, rill_s(i < 4 ? "one" : "two"));
  b = rill_build(w->hub);
  rill_put_int(b, 1);
  assert_int_equal(rill_emit_all(w->hub, "all", b, NULL), 0);
  assert_int_equal(rill_emit_all(w->hub, "admins", b,
                                 &(rill_emit_opts){.space = rill_s("/admin")}),
                   0);
  assert_int_equal(rill_emit_room(w->hub, rill_s("one"), "room", b, NULL), 0);
  assert_int_equal(
      rill_emit_others(w->seen[0].peer, rill_s("one"), "others", b, NULL), 0);
  assert_int_equal(rill_emit_peer(w->seen[1].peer, "peer", NULL, NULL), 0);
  rill_put_bytes(b, "\x01", 1);
  assert_int_equal(rill_emit_all(w->hub, "bytes", b, NULL), 0);
  assert_string_equal(cli_hears(c[0]),
                      "42[\"all\",1] | 42/admin,[\"admins\",1] | "
                      "42[\"room\",1] | 42/admin,[\"peer\"] | "
                      "451-[\"bytes\",1,{\"_placeholder\":true,\"num\":0}] | "
                      "bAQ==");
  assert_string_equal(cli_hears(c[1]),
                      "42[\"all\",1] | 42/admin,[\"admins\",1] | "
                      "42[\"room\",1] | 42[\"others\",1] | "
                      "451-[\"bytes\",1,{\"_placeholder\":true,\"num\":0}] | "
                      "bAQ==");
  assert_string_equal(cli_hears(c[2]),
                      "42[\"all\",1] | 42/admin,[\"admins\",1] | "
                      "451-[\"bytes\",1,{\"_placeholder\":true,\"num\":0}] | "
                      "bAQ==");
  /* one namespace ends, the other goes on, on the same conn */
  assert_int_equal(rill_close(w->seen[0].peer, 1000, NULL), 0);
  assert_int_equal(rill_emit_all(w->hub, "on", NULL, NULL), 0);
  assert_int_equal(rill_emit_all(w->hub, "on", NULL,
                                 &(rill_emit_opts){.space = rill_s("/admin")}),
                   0);
  assert_string_equal(cli_hears(c[0]), "41 | 42/admin,[\"on\"]");
  assert_string_equal(cli_hears(c[1]), "42[\"on\"] | 42/admin,[\"on\"]");
  assert_true(rill_is_open(w->seen[1].peer));
  assert_false(rill_is_open(w->seen[0].peer));
}

/* Each of a conn's peers hears of its end, in all namespaces. */
static void test_socketio_reasons(void **state) {
  static const char *const reasons[] = {
      "transport close", "transport error",     "ping timeout",
      "parse error",     "forced close",        "forced server close",
      "transport close", "forced server close", "transport close"};
  world *w = *state;

  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    for (int how = 0; how < BY_ALL; how++) {
      cli *c = sio_by(w, how);
      cli_say(c, "40/admin,");
      cli_hears(c);
      switch (i) {
      case 0:
        cli_cut(c);
        break;
      case 1:
        cli_say(c, "2");
        break;
      case 2:
        pair_pass(w->p, 46 * RILL_SEC);
        break;
      case 3:
        if (how == BY_POLLING)
          cli_say(c, "x");
        else
          end_frame(c->ws, 0x81, "x", 1);
        break;
      case 4:
        cli_say(c, "42{}");
        break;
      case 5:
        rill_cut(w->seen[w->n - 2].peer);
        pair_turn(w->p);
        break;
      case 6:
        cli_say(c, "1");
        break;
      case 7:
        w->act = ends;
        cli_say(c, "42[\"fail\"]");
        w->act = NULL;
        break;
      default:
        if (how == BY_POLLING)
          cli_say(c, "1");
        else
          end_bye(c->ws, 1000, "");
        break;
      }
      for (size_t k = w->n - 2; k < w->n; k++) {
        assert_int_equal(w->seen[k].closed, 1);
        if (strcmp(rill_disconnect_reason(&w->seen[k].how), reasons[i]) != 0)
          fail_msg("%zu by %d: %s", i, how,
                   rill_disconnect_reason(&w->seen[k].how));
      }
      assert_int_equal(pair_metrics(w->p).sessions, 0);
      w->n = w->nclis = 0;
    }
  }
}

/* A handler that pauses holds what follows, on every namespace. */
static void test_socketio_pauses(void **state) {
  world *w = *state;

  w->act = answers;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = sio_by(w, how);
    const rill_peer peer = w->seen[how].peer;
    pair_log(w->p);
    if (how == BY_POLLING)
      assert_string_equal(cli_post(c, "42[\"pause\"]\x1e"
                                      "451-[\"a\",{\"_placeholder\":true,"
                                      "\"num\":0}]\x1e"
                                      "bAQID\x1e"
                                      "42[\"b\"]"),
                          "");
    else
      cli_say(c, "42[\"pause\"]|451-[\"a\",{\"_placeholder\":true,"
                 "\"num\":0}]|bAQID|42[\"b\"]");
    assert_null(strstr(pair_log(w->p), "event a"));
    rill_resume(peer);
    pair_turn(w->p);
    assert_non_null(strstr(pair_log(w->p), "event b"));
    if (how == BY_POLLING)
      assert_string_equal(http_answer(c->post), "200 ok");
  }
}

/* A dynamic namespace goes with its last peer and room. */
static void test_socketio_dynamic_namespaces_go(void **state) {
  world *w = *state;
  size_t blocks = 0;

  w->p->config.authenticate = eio_authenticate;
  w->act = judges;
  w->p->quiet = true;
  eio_begin(w);
  eio_space(w, "/dyn-*", &(rill_space_opts){.recovery = true});
  for (int i = 0; i < 40; i++) {
    cli *c = cli_by(w, i % 3, "/socket.io/");
    char text[60];
    snprintf(text, sizeof text, "40/dyn-%d,", i);
    cli_say(c, text); /* refused */
    snprintf(text, sizeof text, "40/dyn-%d,{\"token\":\"ann\"}", i);
    cli_say(c, text);
    rill_join(w->seen[w->n - 1].peer, rill_s("room"));
    rill_emit_room(
        w->hub, rill_s("room"), "kept", NULL,
        &(rill_emit_opts){.space = rill_peer_space(w->seen[w->n - 1].peer)});
    rill_emit_all(
        w->hub, "all", NULL,
        &(rill_emit_opts){.space = rill_peer_space(w->seen[w->n - 1].peer)});
    assert_int_equal(w->hub->nspaces, 3);
    cli_hears(c);
    snprintf(text, sizeof text, i % 2 ? "41/dyn-%d," : "2", i);
    cli_say(c, text);
    cli_cut(c);
    pair_pass(w->p, 250 * RILL_SEC);
    assert_int_equal(w->hub->nspaces, 2);
    if (i == 5)
      blocks = w->p->mem.blocks;
    if (i > 5)
      assert_in_range(w->p->mem.blocks, blocks - 8, blocks + 8);
    w->n = w->nclis = 0;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      EIO_TESTS(test_socketio_connects),
      EIO_TESTS(test_socketio_names_of_namespaces),
      EIO_TESTS(test_socketio_request_in_on_open),
      EIO_TESTS(test_socketio_authenticates),
      EIO_TESTS(test_socketio_verdict_comes_later),
      EIO_TEST(test_socketio_verdicts_cross),
      EIO_TEST(test_socketio_accepted_and_gone),
      EIO_TEST(test_socketio_cut_in_authenticate),
      EIO_TEST(test_socketio_cut_in_on_open),
      EIO_TEST(test_socketio_on_open_fails),
      EIO_TEST(test_socketio_limits_of_namespaces),
      EIO_TEST(test_socketio_must_connect_in_time),
      EIO_TEST(test_socketio_connects_again),
      EIO_TESTS(test_socketio_violations),
      EIO_TESTS(test_socketio_events_both_ways),
      EIO_TESTS(test_socketio_bytes_in_pieces),
      EIO_TEST(test_socketio_parts_must_come_in_time),
      EIO_TEST(test_socketio_parts_have_a_limit),
      EIO_TEST(test_socketio_parts_across_an_upgrade),
      EIO_TESTS(test_socketio_ends_inside_handlers),
      EIO_TESTS(test_socketio_msgpack),
      EIO_TESTS(test_socketio_fans_out),
      EIO_TESTS(test_socketio_reasons),
      EIO_TESTS(test_socketio_pauses),
      EIO_TEST(test_socketio_dynamic_namespaces_go),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
