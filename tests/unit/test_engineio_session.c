/*
 * Engine.IO v4 in the hub: the HTTP side, heartbeats, the upgrade, and how
 * sessions end.
 */
#include "eio.h"

/* ---- the answers of the HTTP side ---- */

typedef struct row {
  const char *method, *query, *more, *body;
  const char *answer; /* status and body */
} row;

static const char *ask(world *w, const row *r, const char *sid, end **out) {
  char target[300];
  end *e = pair_accept(w->p);

  snprintf(target, sizeof target, "/engine.io/?%s%s", r->query, sid);
  *out = e;
  return http(e, r->method, target, r->more, r->body);
}

static void test_engineio_refuses_as_the_reference(void **state) {
  static const row rows[] = {
      {"GET", "EIO=4", "", NULL,
       "400 {\"code\":0,\"message\":\"Transport unknown\"}"},
      {"GET", "EIO=4&transport=abc", "", NULL,
       "400 {\"code\":0,\"message\":\"Transport unknown\"}"},
      {"GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", "", NULL,
       "400 {\"code\":1,\"message\":\"Session ID unknown\"}"},
      {"POST", "EIO=4&transport=polling&sid=abc", "", "4x",
       "400 {\"code\":1,\"message\":\"Session ID unknown\"}"},
      {"POST", "EIO=4&transport=polling", "", "4x",
       "400 {\"code\":2,\"message\":\"Bad handshake method\"}"},
      {"PUT", "EIO=4&transport=polling", "", NULL,
       "400 {\"code\":2,\"message\":\"Bad handshake method\"}"},
      {"GET", "EIO=4&transport=websocket", "", NULL,
       "400 {\"code\":3,\"message\":\"Bad request\"}"},
      {"GET", "EIO=3&transport=polling", "", NULL,
       "400 {\"code\":5,\"message\":\"Unsupported protocol version\"}"},
      {"GET", "transport=polling", "", NULL,
       "400 {\"code\":5,\"message\":\"Unsupported protocol version\"}"},
      {"GET", "EIO=4&transport=polling", "Origin: http://evil.test\r\n", NULL,
       "403 {\"code\":4,\"message\":\"Forbidden\"}"},
  };
  world *w = *state;
  end *e;

  eio_begin(w);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_string_equal(ask(w, &rows[i], "", &e), rows[i].answer);
    assert_string_equal(http_said(e, "Content-Type"), "application/json");
    assert_non_null(e->conn); /* it is kept alive */
  }
  assert_int_equal(pair_metrics(w->p).sessions, 0);
  assert_string_equal(pair_log(w->p), "");
}

static void test_engineio_refuses_upgrades_with_text(void **state) {
  static const row rows[] = {
      {"GET", "EIO=4", WS_LINES, NULL, "400 Transport unknown; eof"},
      {"GET", "EIO=4&transport=websocket&sid=abc", WS_LINES, NULL,
       "400 Session ID unknown; eof"},
      {"GET", "EIO=4&transport=polling", WS_LINES, NULL,
       "400 Bad request; eof"},
      {"GET", "EIO=3&transport=websocket", WS_LINES, NULL,
       "400 Unsupported protocol version; eof"},
      {"GET", "EIO=4&transport=websocket",
       WS_LINES "Origin: http://evil.test\r\n", NULL, "403 Forbidden; eof"},
  };
  world *w = *state;
  end *e;

  eio_begin(w);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_string_equal(ask(w, &rows[i], "", &e), rows[i].answer);
    assert_string_equal(http_said(e, "Content-Type"), "text/html");
    assert_string_equal(http_said(e, "Connection"), "close");
  }
  assert_string_equal(pair_log(w->p), "");
}

static void test_engineio_answers_for_a_session(void **state) {
  world *w = *state;
  cli *c;
  char sid[40], target[100];
  end *e;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  snprintf(sid, sizeof sid, "&sid=%s", c->sid);
  assert_string_equal(
      ask(w, &(row){"PUT", "EIO=4&transport=polling", "", "x", NULL}, sid, &e),
      "405 {\"error\":{\"status\":405,\"reason\":\"not with that method\"}}");
  assert_string_equal(
      ask(w, &(row){"GET", "EIO=4&transport=websocket", "", NULL, NULL}, sid,
          &e),
      "400 {\"code\":3,\"message\":\"Bad request\"}");
  /* the session of another route is none */
  snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s",
           c->sid);
  assert_string_equal(http(e, "GET", target, "", NULL),
                      "400 {\"code\":1,\"message\":\"Session ID unknown\"}");
  cli_switch(c, cli_probe(c));
  snprintf(sid, sizeof sid, "&sid=%s", c->sid);
  assert_string_equal(
      ask(w, &(row){"GET", "EIO=4&transport=polling", "", NULL, NULL}, sid, &e),
      "400 {\"code\":3,\"message\":\"Bad request\"}");
  assert_string_equal(
      ask(w, &(row){"POST", "EIO=4&transport=polling", "", "4x", NULL}, sid,
          &e),
      "400 {\"code\":3,\"message\":\"Bad request\"}");
  assert_string_equal(cli_hears(c), "");
}

static void test_engineio_opens(void **state) {
  world *w = *state;
  cli *c;
  end *e;
  const char *text;
  char like[200];

  eio_begin(w);
  e = pair_accept(w->p);
  text = http(e, "GET", "/engine.io/?EIO=4&transport=polling", "", NULL);
  assert_string_equal(http_said(e, "Content-Type"),
                      "text/plain; charset=UTF-8");
  assert_string_equal(http_said(e, "Cache-Control"), "no-store");
  assert_string_equal(http_said(e, "Set-Cookie"), "");
  assert_string_equal(text + 33,
                      "\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
                      "\"pingTimeout\":20000,\"maxPayload\":1000000}");
  assert_string_equal(pair_log(w->p), "0 open");
  c = cli_websocket(w, "/engine.io/");
  snprintf(like, sizeof like, "text 0{\"sid\":\"%s\",\"upgrades\":[],", c->sid);
  assert_non_null(strstr((const char *)c->ws->text.data, like));
  assert_string_equal(rill_peer_transport(w->seen[0].peer).ptr, "polling");
  assert_string_equal(rill_peer_transport(w->seen[1].peer).ptr, "websocket");
  assert_int_equal(pair_metrics(w->p).sessions, 2);
}

static void test_engineio_sets_a_cookie(void **state) {
  world *w = *state;
  const rill_route_opts opts = {.cookie = "io"};
  char like[100];
  cli *c;

  eio_begin_at(w, &opts);
  c = cli_polling(w, "/socket.io/");
  snprintf(like, sizeof like, "io=%s; Path=/; HttpOnly; SameSite=Lax", c->sid);
  assert_string_equal(http_said(c->get, "Set-Cookie"), like);
  cli_poll(c);
  assert_string_equal(cli_post(c, "40"), "200 ok");
  cli_hears(c);
  assert_string_equal(http_said(c->get, "Set-Cookie"), "");
}

/* On every answer, whatever its status; from an origin that is listed. */
static void test_engineio_tells_other_origins(void **state) {
  static const char *const origins[] = {"http://a.test"};
  static const char from[] = "Origin: http://a.test\r\n";
  world *w = *state;
  char target[200];
  cli *c;
  end *e;

  w->p->config.origins = origins;
  w->p->config.norigins = 1;
  w->p->config.limits.payload_bytes = 100;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  snprintf(target, sizeof target, "%s", cli_target(c, "polling"));
  e = pair_accept(w->p);
#define TOLD(status_)                                                          \
  do {                                                                         \
    assert_int_equal(e->status, status_);                                      \
    assert_string_equal(http_said(e, "Access-Control-Allow-Origin"),           \
                        "http://a.test");                                      \
    assert_string_equal(http_said(e, "Access-Control-Allow-Credentials"),      \
                        "true");                                               \
    assert_non_null(strstr(http_said(e, "Vary"), "Origin"));                   \
  } while (0)
  http(e, "GET", "/engine.io/?EIO=4&transport=polling", from, NULL);
  TOLD(200);
  http(e, "GET", "/engine.io/?EIO=4", from, NULL);
  TOLD(400);
  http(e, "POST", target, from, "4hello");
  TOLD(200);
  http(e, "PUT", target, from, NULL);
  TOLD(405);
  http(e, "OPTIONS", target,
       "Origin: http://a.test\r\nAccess-Control-Request-Method: POST\r\n"
       "Access-Control-Request-Headers: x-one, x-two\r\n",
       NULL);
  TOLD(204);
  assert_string_equal(http_said(e, "Access-Control-Allow-Headers"),
                      "x-one, x-two");
  assert_non_null(strstr(http_said(e, "Access-Control-Allow-Methods"), "POST"));
  {
    char body[102] = "4";
    memset(body + 1, 'x', 100);
    body[101] = '\0';
    http(e, "POST", target, from, body);
  }
  TOLD(413);
  /* one that is not listed reads nothing, and gets no session */
  e = pair_accept(w->p);
  http(e, "GET", "/engine.io/?EIO=4&transport=polling",
       "Origin: http://b.test\r\n", NULL);
  assert_int_equal(e->status, 403);
  assert_string_equal(http_said(e, "Access-Control-Allow-Origin"), "");
  assert_non_null(strstr(http_said(e, "Vary"), "Origin"));
  http(e, "OPTIONS", target, "Origin: http://b.test\r\n", NULL);
  assert_int_equal(e->status, 204);
  assert_string_equal(http_said(e, "Access-Control-Allow-Origin"), "");
  assert_string_equal(http_said(e, "Access-Control-Allow-Methods"), "");
  assert_int_equal(pair_metrics(w->p).origin_refused_total, 1);
  assert_int_equal(pair_metrics(w->p).sessions, 2);
}

/* ---- messages ---- */

static int echo(world *w, const happening *h) {
  (void)w;
  return h->msg != NULL ? rill_send(h->who->peer, h->msg) : 0;
}

static void test_engineio_echoes(void **state) {
  world *w = *state;

  w->act = echo;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/engine.io/");
    cli_say(c, "4hello");
    cli_say(c, "bAQIDBA==");
    cli_say(c, "4\xc3\xa9|b|4|4last");
    assert_string_equal(cli_hears(c),
                        "4hello | bAQIDBA== | 4\xc3\xa9 | b | 4 | 4last");
    pair_log(w->p);
    cli_say(c, "4a|6|5|0"); /* strays are ignored */
    assert_string_equal(cli_hears(c), "4a");
  }
}

/* All that is queued goes in one payload, at the end of the turn. */
static void test_engineio_flushes_all(void **state) {
  world *w = *state;
  cli *c;
  rill_msg one = rill_text("one"), two = rill_text("two");

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  rill_send(w->seen[0].peer, &one);
  rill_send_all(w->hub, &two);
  cli_poll(c);
  assert_string_equal(http_answer(c->get), "200 4one\x1e"
                                           "4two");
  c->waits = false;
  cli_poll(c);
  assert_string_equal(http_answer(c->get), ""); /* it waits */
  rill_send(w->seen[0].peer, &two);
  rill_send_all(w->hub, &one);
  pair_turn(w->p);
  assert_string_equal(http_answer(c->get), "200 4two\x1e"
                                           "4one");
  assert_int_equal(rill_peer_queued(w->seen[0].peer), 0);
}

static void test_engineio_streams_of_one_request(void **state) {
  world *w = *state;
  char text[300];
  rill_msg msg = rill_text("hi");
  cli *c;
  end *e;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  for (int i = 0; i < 2; i++) {
    e = pair_accept(w->p);
    snprintf(text, sizeof text, "GET %s HTTP/1.%d\r\nHost: a\r\n%s\r\n",
             cli_target(c, "polling"), i, i ? "Connection: close\r\n" : "");
    end_say(e, text);
    assert_string_equal(http_answer(e), "");
    rill_send(w->seen[0].peer, &msg);
    pair_turn(w->p);
    assert_string_equal(http_answer(e), "200 4hi; eof");
    assert_string_equal(http_said(e, "Connection"), "close");
  }
  assert_int_equal(w->seen[0].closed, 0);
}

/* The address is the client's, whoever stands between. */
static void test_engineio_behind_a_proxy(void **state) {
  static const char *const proxies[] = {"192.0.2.0/24"};
  static const char from[] = "X-Forwarded-For: 203.0.113.9\r\n";
  world *w = *state;

  w->p->config.proxies = proxies;
  w->p->config.nproxies = 1;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_new(w, "/socket.io/");
    end *e = pair_accept(w->p);
    if (how == BY_WEBSOCKET) {
      ws_hello(e, cli_target(c, "websocket"), from);
      c->ws = e;
      end_took(e);
    } else {
      take_id(http(e, "GET", cli_target(c, "polling"), from, NULL),
              "\"sid\":\"", c->sid);
      c->get = e;
      if (how == BY_UPGRADE) {
        e = pair_accept(w->p);
        ws_hello(e, cli_target(c, "websocket"), from);
        end_text(e, "2probe");
        end_text(e, "5");
        assert_string_equal(end_took(e), "101; text 3probe");
        c->ws = e;
      }
    }
    cli_say(c, "40");
    assert_int_equal(w->n, how + 1);
    assert_string_equal(text_of(rill_peer_address(w->seen[how].peer)),
                        "203.0.113.9");
  }
}

static void test_engineio_pipelines(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  w->act = echo;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  e = pair_accept(w->p);
  http_put(e, "POST", cli_target(c, "polling"), "", "4a", 2);
  http_put(e, "POST", cli_target(c, "polling"), "", "4b", 2);
  http_put(e, "GET", cli_target(c, "polling"), "", NULL, 0);
  http_put(e, "POST", cli_target(c, "polling"), "", "4c", 2);
  http_put(e, "GET", cli_target(c, "polling"), "", NULL, 0);
  pair_turn(w->p);
  assert_string_equal(http_answer(e), "200; 200; 200; 200; 200 4c");
}

static void test_engineio_payload_boundaries(void **state) {
  world *w = *state;
  cli *c;
  char body[80];

  w->p->config.limits.payload_bytes = 64;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  memset(body, 'x', sizeof body);
  body[0] = '4';
  for (size_t n = 63; n <= 64; n++) {
    assert_string_equal(cli_post_bytes(c, body, n), "200 ok");
  }
  assert_int_equal(strncmp(cli_post_bytes(c, body, 65), "413", 3), 0);
  assert_string_equal(http_said(c->post, "Connection"), "close");
  assert_int_equal(pair_metrics(w->p).limit_payload_bytes, 1);
  pair_log(w->p);
  assert_string_equal(cli_post(c, "4alive"), "200 ok");
  assert_string_equal(pair_log(w->p), "0 text alive");
  assert_string_equal(http_answer(c->get), ""); /* it still waits */
}

static void test_engineio_bad_payloads_end_the_session(void **state) {
  static const char *const bodies[] = {"",
                                       "x",
                                       "4a\x1e",
                                       "b!!!!",
                                       "\x1e"
                                       "4a",
                                       "4\xff",
                                       "4a\x1e"
                                       "7",
                                       "bAQI"};
  world *w = *state;

  eio_begin(w);
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    cli *c = cli_polling(w, "/engine.io/");
    const char *log;
    pair_log(w->p);
    cli_poll(c);
    assert_string_equal(cli_post(c, bodies[i]), "200 ok");
    log = pair_log(w->p);
    assert_non_null(strstr(log, "close parse error"));
    assert_int_equal(strstr(log, "text a") != NULL,
                     i == 2 || i == 6); /* what came before it is heard */
    assert_string_equal(http_answer(c->get), "200 1");
    assert_string_equal(cli_post(c, "4x"),
                        "400 {\"code\":1,\"message\":\"Session ID unknown\"}");
  }
}

static void test_engineio_octets_end_the_session(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  e = pair_accept(w->p);
  http_put(e, "POST", cli_target(c, "polling"),
           "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n",
           NULL, 0);
  buf_text(&e->tx, "4a");
  pair_turn(w->p);
  assert_string_equal(http_answer(e), "400");
  assert_string_equal(pair_log(w->p), "0 open; 0 close transport error");
}

/* ---- one GET and one POST at a time ---- */

static void test_engineio_second_get_ends_the_session(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  e = pair_accept(w->p);
  assert_string_equal(http(e, "GET", cli_target(c, "polling"), "", NULL),
                      "400");
  assert_string_equal(http_answer(c->get), "200 1");
  assert_string_equal(pair_log(w->p), "0 open; 0 close transport error");
  assert_int_equal(pair_metrics(w->p).sessions, 0);
}

static int pauses(world *w, const happening *h) {
  (void)w;
  return h->msg != NULL ? RILL_PAUSE : 0;
}

static void test_engineio_second_post_ends_the_session(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  eio_begin(w);
  w->act = pauses;
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  assert_string_equal(cli_post(c, "4a\x1e"
                                  "4b"),
                      "");
  e = pair_accept(w->p);
  assert_string_equal(
      (http_put(e, "POST", cli_target(c, "polling"), "", "4c", 2),
       pair_turn(w->p), http_answer(e)),
      "400");
  assert_string_equal(http_answer(c->post), "eof");
  assert_string_equal(http_answer(c->get), "200 1");
  assert_string_equal(pair_log(w->p),
                      "0 open; 0 text a; 0 close transport error");
}

static void test_engineio_get_that_is_given_up(void **state) {
  world *w = *state;

  eio_begin(w);
  for (int error = 0; error < 2; error++) {
    cli *c = cli_polling(w, "/engine.io/");
    pair_log(w->p);
    cli_poll(c);
    end_eof(c->get, error);
    assert_non_null(strstr(pair_log(w->p), "close transport close"));
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

static void test_engineio_post_that_is_given_up(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  w->act = pauses;
  c = cli_polling(w, "/engine.io/");
  cli_post(c, "4a\x1e"
              "4b");
  end_eof(c->post, 0);
  assert_string_equal(pair_log(w->p),
                      "0 open; 0 text a; 0 close transport error");
  assert_int_equal(pair_metrics(w->p).sessions, 0);
}

/* Half of a request is none: the session does not notice. */
static void test_engineio_half_a_post(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  e = pair_accept(w->p);
  http_put(e, "POST", cli_target(c, "polling"), "", "4abcdef", 7);
  e->tx.len -= 3;
  pair_turn(w->p);
  end_eof(e, 0);
  assert_string_equal(cli_post(c, "4x"), "200 ok");
  assert_string_equal(pair_log(w->p), "0 open; 0 text x");
}

static void test_engineio_post_waits_while_paused(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  w->act = pauses;
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  assert_string_equal(cli_post(c, "4a\x1e"
                                  "bYg==\x1e"
                                  "4c\x1e"
                                  "4d"),
                      "");
  assert_string_equal(pair_log(w->p), "0 open; 0 text a");
  for (int i = 0; i < 2; i++) {
    rill_resume(w->seen[0].peer);
    pair_turn(w->p);
    assert_string_equal(http_answer(c->post), "");
  }
  assert_string_equal(pair_log(w->p), "0 binary b; 0 text c");
  w->act = NULL;
  rill_resume(w->seen[0].peer);
  pair_turn(w->p);
  assert_string_equal(http_answer(c->post), "200 ok");
  assert_string_equal(pair_log(w->p), "0 text d");
  /* one that comes while the peer is paused waits whole */
  rill_pause(w->seen[0].peer);
  assert_string_equal(cli_post(c, "4e\x1e"
                                  "4f"),
                      "");
  rill_resume(w->seen[0].peer);
  pair_turn(w->p);
  assert_string_equal(http_answer(c->post), "200 ok");
  assert_string_equal(pair_log(w->p), "0 text e; 0 text f");
}

/* The limit of a payload is the only one that counts for what waits. */
static void test_engineio_long_post_waits_while_paused(void **state) {
  enum { LEN = 5 << 20 };
  world *w = *state;
  cli *c;
  char *body;

  w->p->config.limits.payload_bytes = LEN;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  rill_pause(w->seen[0].peer);
  body = malloc(LEN);
  MUST(body != NULL);
  memset(body, 'x', LEN);
  body[0] = '4';
  assert_string_equal(cli_post_bytes(c, body, LEN), "");
  free(body);
  pair_log(w->p);
  rill_resume(w->seen[0].peer);
  pair_turn(w->p);
  assert_string_equal(http_answer(c->post), "200 ok");
  assert_string_equal(pair_log(w->p), "0 text #5242879");
}

static void test_engineio_post_waits_while_throttled(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.messages_per_sec = 10;
  w->p->config.limits.messages_burst = 2;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  pair_log(w->p);
  assert_string_equal(cli_post(c, "4a\x1e"
                                  "4b\x1e"
                                  "4c\x1e"
                                  "4d\x1e"
                                  "4e\x1e"
                                  "4f"),
                      "");
  assert_string_equal(pair_log(w->p), "0 text a; 0 text b; 0 text c");
  pair_pass(w->p, 100 * RILL_MSEC);
  assert_string_equal(pair_log(w->p), "0 text d");
  pair_pass(w->p, 300 * RILL_MSEC);
  assert_string_equal(http_answer(c->post), "200 ok");
  assert_string_equal(pair_log(w->p), "0 text e; 0 text f");
}

/* A client that does not fetch its answers is not read from. */
static void test_engineio_post_waits_for_polls(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.soft_count = 2;
  w->act = echo;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  assert_string_equal(cli_post(c, "4a\x1e"
                                  "4b\x1e"
                                  "4c"),
                      "200 ok");
  pair_log(w->p);
  assert_string_equal(cli_post(c, "4d"), "");
  assert_string_equal(pair_log(w->p), "");
  cli_poll(c);
  assert_string_equal(http_answer(c->get), "200 4a\x1e"
                                           "4b\x1e"
                                           "4c");
  c->waits = false;
  assert_string_equal(http_answer(c->post), "200 ok");
  assert_string_equal(pair_log(w->p), "0 text d; 0 drain");
  assert_string_equal(cli_hears(c), "4d");
}

/* ---- heartbeat ---- */

static void test_engineio_heartbeat(void **state) {
  world *w = *state;

  w->p->config.limits.ping_ms = 300;
  w->p->config.limits.pong_ms = 200;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/engine.io/");
    pair_log(w->p);
    assert_string_equal(cli_hears(c), "");
    for (int i = 0; i < 3; i++) {
      pair_pass(w->p, 299 * RILL_MSEC);
      assert_string_equal(cli_hears(c), "");
      pair_pass(w->p, 1 * RILL_MSEC);
      assert_string_equal(cli_hears(c), "2");
      pair_pass(w->p, 150 * RILL_MSEC);
      cli_say(c, "3"); /* the next interval begins here */
      cli_say(c, "4any");
    }
    pair_log(w->p);
    pair_pass(w->p, 300 * RILL_MSEC);
    assert_string_equal(cli_hears(c), "2");
    cli_say(c, "4only a pong counts");
    pair_pass(w->p, 199 * RILL_MSEC);
    assert_null(strstr(pair_log(w->p), "close"));
    pair_pass(w->p, 1 * RILL_MSEC);
    assert_non_null(strstr(pair_log(w->p), "close ping timeout"));
    if (how != BY_POLLING)
      assert_string_equal(cli_hears(c), "close | eof");
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

/* Who waits for output waits as long as it takes: only heartbeats end it. */
static void test_engineio_waits_long(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  rill_pause(w->seen[0].peer);
  cli_post(c, "3");
  pair_pass(w->p, 24999 * RILL_MSEC);
  assert_string_equal(http_answer(c->get), "");
  assert_string_equal(http_answer(c->post), "");
  pair_pass(w->p, RILL_MSEC);
  assert_string_equal(http_answer(c->get), "200 2");
  rill_resume(w->seen[0].peer);
  pair_turn(w->p);
  assert_string_equal(http_answer(c->post), "200 ok");
  c->waits = false;
  pair_pass(w->p, 14 * RILL_SEC); /* nobody polls: streams may end */
  assert_string_equal(cli_post(c, "4x"), "200 ok");
  assert_int_equal(w->seen[0].closed, 0);
}

/* A client that is gone between two GETs shows only by its silence. */
static void test_engineio_vanishes_between_polls(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  end_eof(c->get, 0);
  pair_pass(w->p, 44 * RILL_SEC);
  assert_int_equal(w->seen[0].closed, 0);
  pair_pass(w->p, 1 * RILL_SEC);
  assert_string_equal(pair_log(w->p), "0 open; 0 close ping timeout");
  assert_int_equal(w->hub->nconns, 0);
}

/* A ping that was under way when the transport changed is void. */
static void test_engineio_heartbeat_is_armed_anew(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.ping_ms = 300;
  w->p->config.limits.pong_ms = 200;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  pair_pass(w->p, 350 * RILL_MSEC); /* it is in the queue, not answered */
  cli_switch(c, cli_probe(c));
  assert_string_equal(cli_hears(c), "2"); /* and comes along */
  pair_pass(w->p, 299 * RILL_MSEC);
  assert_string_equal(cli_hears(c), "");
  pair_pass(w->p, 1 * RILL_MSEC);
  assert_string_equal(cli_hears(c), "2");
  cli_say(c, "3");
  assert_string_equal(pair_log(w->p), "0 open");
  pair_pass(w->p, 300 * RILL_MSEC);
  assert_string_equal(cli_hears(c), "2");
}

static void test_engineio_client_must_not_ping(void **state) {
  world *w = *state;

  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/engine.io/");
    pair_log(w->p);
    if (how == BY_POLLING)
      cli_poll(c);
    cli_say(c, "2");
    assert_non_null(strstr(pair_log(w->p), "close transport error"));
    if (how != BY_POLLING)
      assert_string_equal(cli_hears(c), "close | eof");
  }
}

/* A stock client leaves where no ping comes, whatever the host does. */
static void test_engineio_pings_while_paused(void **state) {
  world *w = *state;

  w->p->config.limits.ping_ms = 300;
  w->p->config.limits.pong_ms = 200;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/engine.io/");
    pair_log(w->p);
    assert_string_equal(cli_hears(c), "");
    rill_pause(w->seen[how].peer);
    pair_pass(w->p, 300 * RILL_MSEC);
    assert_string_equal(cli_hears(c), "2");
    if (how == BY_POLLING)
      assert_string_equal(cli_post(c, "3"), ""); /* it waits */
    else
      cli_say(c, "3");
    pair_pass(w->p, 300 * RILL_MSEC);
    assert_string_equal(pair_log(w->p), ""); /* it cannot be heard */
    rill_resume(w->seen[how].peer);
    pair_turn(w->p);
    assert_string_equal(pair_log(w->p), "");
    assert_true(rill_is_open(w->seen[how].peer));
    if (how == BY_POLLING)
      assert_string_equal(http_answer(c->post), "200 ok");
    rill_cut(w->seen[how].peer);
    pair_turn(w->p);
  }
}

/* ---- the end ---- */

static cli *sio_recovering(world *w) {
  cli *c = cli_websocket(w, "/socket.io/");

  cli_say(c, "40");
  assert_string_equal(cli_hears(c), "40{\"sid\":\"*\",\"pid\":\"*\"}");
  return c;
}

static void test_engineio_client_closes(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  assert_string_equal(cli_post(c, "1"), "200 ok");
  assert_string_equal(http_answer(c->get), "200 6");
  assert_string_equal(pair_log(w->p), "0 open; 0 close transport close");
  c = cli_polling(w, "/engine.io/"); /* no GET waits */
  assert_string_equal(cli_post(c, "4a\x1e"
                                  "1\x1e"
                                  "4b"),
                      "200 ok");
  assert_string_equal(pair_log(w->p),
                      "1 open; 1 text a; 1 close transport close");
  for (int how = BY_WEBSOCKET; how < BY_ALL; how++) {
    c = cli_by(w, how, "/engine.io/");
    pair_log(w->p);
    if (how == BY_WEBSOCKET)
      cli_say(c, "1");
    else
      end_bye(c->ws, 1000, "bye");
    assert_non_null(strstr(pair_log(w->p), "close transport close"));
    assert_string_equal(cli_hears(c), "close | eof");
  }
  assert_int_equal(pair_metrics(w->p).sessions, 0);
}

static void test_engineio_host_closes(void **state) {
  world *w = *state;
  rill_msg msg = rill_text("last words");

  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/engine.io/");
    pair_log(w->p);
    assert_string_equal(cli_hears(c), "");
    rill_send(w->seen[how].peer, &msg);
    assert_int_equal(rill_close(w->seen[how].peer, 1000, "done"), 0);
    assert_int_equal(rill_send(w->seen[how].peer, &msg), RILL_ERR_CLOSED);
    pair_turn(w->p);
    if (how == BY_POLLING) {
      assert_string_equal(http_answer(c->get), "200 4last words\x1e"
                                               "1");
    } else {
      assert_string_equal(cli_hears(c), "4last words | close");
      end_bye(c->ws, 0, "");
    }
    assert_non_null(strstr(pair_log(w->p), "close forced server close"));
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

static void test_engineio_close_waits_for_a_poll(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.poll_close_ms = 1000;
  eio_begin(w);
  for (int late = 0; late < 2; late++) {
    c = cli_polling(w, "/engine.io/");
    rill_close(w->seen[late].peer, 1000, NULL);
    pair_turn(w->p);
    assert_int_equal(w->seen[late].closed, 1);
    pair_pass(w->p, 999 * RILL_MSEC + (rill_time)late * RILL_MSEC);
    cli_poll(c);
    assert_string_equal(
        http_answer(c->get),
        late ? "400 {\"code\":1,\"message\":\"Session ID unknown\"}" : "200 1");
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

static void test_engineio_host_cuts(void **state) {
  world *w = *state;

  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = cli_by(w, how, "/engine.io/");
    pair_log(w->p);
    assert_string_equal(cli_hears(c), "");
    rill_cut(w->seen[how].peer);
    pair_turn(w->p);
    assert_non_null(strstr(pair_log(w->p), "close forced server close"));
    if (how == BY_POLLING)
      assert_int_equal(strncmp(http_answer(c->get), "400", 3), 0);
    else
      assert_string_equal(cli_hears(c), "eof");
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

static void test_engineio_drains(void **state) {
  world *w = *state;
  cli *c[4];
  end *e;

  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    c[how] = cli_by(w, how, "/engine.io/");
    cli_hears(c[how]);
  }
  cli_polling(w, "/socket.io/"); /* nobody is in it */
  cli_websocket(w, "/socket.io/");
  cli_json(w);
  c[3] = cli_polling(w, "/engine.io/"); /* does not poll */
  e = cli_probe(cli_polling(w, "/engine.io/"));
  pair_log(w->p);
  rill_drain(w->hub, 0, w->p->now);
  pair_turn(w->p);
  assert_string_equal(http_answer(c[0]->get), "200 1; eof");
  assert_string_equal(cli_hears(c[1]), "close");
  assert_string_equal(cli_hears(c[2]), "close");
  assert_false(rill_is_drained(w->hub));
  pair_pass(w->p, 5 * RILL_SEC); /* close_ms */
  assert_true(rill_is_drained(w->hub));
  assert_non_null(strstr(end_took(e), "eof"));
  for (size_t i = 0; i < w->n; i++)
    assert_string_equal(rill_disconnect_reason(&w->seen[i].how),
                        "server shutting down");
}

/* What is left when the host has had enough. */
static void test_engineio_hub_is_freed(void **state) {
  world *w = *state;
  rill_msg msg = rill_text("unheard");
  cli *c;

  eio_begin(w);
  eio_space(w, "/", &(rill_space_opts){.recovery = true});
  c = cli_polling(w, "/engine.io/");
  rill_send(w->seen[0].peer, &msg);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  cli_probe(c);
  c = cli_polling(w, "/socket.io/");
  cli_post(c, "40");
  cli_post(c, "451-[\"a\",{\"_placeholder\":true,\"num\":0}]");
  rill_join(w->seen[2].peer, rill_s("room"));
  rill_emit_room(w->hub, rill_s("room"), "kept", NULL, NULL);
  cli_cut(sio_recovering(w));
  assert_int_equal(pair_metrics(w->p).away, 1);
  for (size_t i = 0; i < w->p->nends; i++) {
    rill_conn_free(w->p->ends[i]->conn);
    w->p->ends[i]->conn = NULL;
  }
  rill_hub_free(w->hub); /* every block is given back */
  w->p->hub = NULL;
  w->n = 0;
}

/* ---- from inside of handlers ---- */

static int cuts(world *w, const happening *h) {
  (void)w;
  if (h->msg != NULL && ((const char *)h->msg->data)[0] == 'x')
    rill_cut(h->who->peer);
  if (h->msg != NULL && ((const char *)h->msg->data)[0] == 'c')
    rill_close(h->who->peer, 1000, "asked to");
  if (h->msg != NULL && ((const char *)h->msg->data)[0] == 'e')
    return -1;
  if (h->msg != NULL && ((const char *)h->msg->data)[0] == 'p') {
    rill_pause(h->who->peer);
    rill_close(h->who->peer, 1000, "asked to");
  }
  return 0;
}

static void test_engineio_ends_inside_handlers(void **state) {
  world *w = *state;

  w->act = cuts;
  eio_begin(w);
  for (int how = 0; how < BY_ALL; how++) {
    for (const char *word = "xcep"; *word != '\0'; word++) {
      for (int waits = 0; waits < 2; waits++) {
        cli *c = cli_by(w, how, "/engine.io/");
        char packets[20];
        if (w->nclis > 30) {
          w->nclis = 0; /* they have come to their ends */
        }
        pair_log(w->p);
        if (how == BY_POLLING && waits)
          cli_poll(c);
        snprintf(packets, sizeof packets, "4a|4%c|4b", *word);
        cli_say(c, packets);
        assert_null(strstr(pair_log(w->p), "text b"));
        if (how != BY_POLLING && c->ws->conn != NULL)
          end_bye(c->ws, 0, "");
        else if (how == BY_POLLING && c->get->conn != NULL)
          end_eof(c->get, 0);
        assert_int_equal(w->seen[w->n - 1].closed, 1);
        pair_pass(w->p, 31 * RILL_SEC);
        assert_int_equal(pair_metrics(w->p).sessions, 0);
      }
    }
  }
}

static int cuts_on_open(world *w, const happening *h) {
  (void)w;
  if (strcmp(h->name, "open") == 0) {
    rill_cut(h->who->peer);
    /* the request stays good for the call */
    assert_int_equal(rill_request_header(h->req, "host").len, 11);
    assert_int_equal(rill_request_query(h->req, "EIO").len, 1);
  }
  return 0;
}

static void test_engineio_cut_in_on_open(void **state) {
  world *w = *state;
  end *e;

  w->act = cuts_on_open;
  eio_begin(w);
  e = pair_accept(w->p);
  http(e, "GET", "/engine.io/?EIO=4&transport=polling", "", NULL);
  e = pair_accept(w->p);
  http(e, "GET", "/engine.io/?EIO=4&transport=websocket", WS_LINES, NULL);
  assert_string_equal(pair_log(w->p), "0 open; 0 close forced server close; "
                                      "1 open; 1 close forced server close");
  assert_int_equal(pair_metrics(w->p).sessions, 0);
}

/* ---- authenticate ---- */

static int later(world *w, const happening *h) {
  if (strcmp(h->name, "auth") != 0)
    return 0;
  w->later = h->req;
  return RILL_LATER;
}

static void test_engineio_verdict_comes_later(void **state) {
  world *w = *state;

  w->p->config.authenticate = eio_authenticate;
  w->act = later;
  eio_begin(w);
  for (int websocket = 0; websocket < 2; websocket++) {
    const char *target = websocket ? "/engine.io/?EIO=4&transport=websocket"
                                   : "/engine.io/?EIO=4&transport=polling";
    const char *more = websocket ? WS_LINES : "";
    for (int what = 0; what < 4; what++) {
      end *e = pair_accept(w->p);
      int rv;
      assert_string_equal(http(e, "GET", target, more, NULL), "");
      assert_string_equal(pair_log(w->p), "auth /");
      if (what == 2)
        end_eof(e, 0);
      if (what == 3)
        pair_pass(w->p, 11 * RILL_SEC);
      rv = what == 1 ? rill_reject(w->later, 401, "who are you")
                     : rill_accept(w->later, rill_s("ann"));
      assert_int_equal(rv, what < 2 ? 0 : RILL_ERR_CLOSED);
      pair_turn(w->p);
      assert_int_equal(strncmp(http_answer(e),
                               what == 0   ? websocket ? "101" : "200"
                               : what == 1 ? "401"
                               : what == 2 ? "eof"
                                           : "503",
                               3),
                       0);
      assert_int_equal(strstr(pair_log(w->p), "open as ann") != NULL,
                       what == 0);
    }
  }
  assert_int_equal(pair_metrics(w->p).sessions, 2);
}

static void accepts(rill_hub *hub, void *arg) {
  world *w = arg;
  (void)hub;
  assert_int_equal(rill_accept(w->later, rill_s("ann")), 0);
}

/* Accepted in the very turn in which the verdict was due. */
static void test_engineio_verdict_at_the_last_moment(void **state) {
  world *w = *state;
  end *e;

  w->p->config.authenticate = eio_authenticate;
  w->act = later;
  eio_begin(w);
  e = pair_accept(w->p);
  http(e, "GET", "/engine.io/?EIO=4&transport=websocket", WS_LINES, NULL);
  rill_post(w->hub, accepts, w);
  pair_jump(w->p, 11 * RILL_SEC);
  assert_int_equal(strncmp(end_took(e), "101; text 0{\"sid\"", 17), 0);
  assert_string_equal(pair_log(w->p), "auth /; 0 open as ann");
}

static void test_engineio_too_many(void **state) {
  world *w = *state;
  end *e;
  cli *c;

  w->p->config.limits.conns = 3;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/"); /* a stream and a queue: two */
  e = pair_accept(w->p);
  assert_int_equal(
      strncmp(http(e, "GET", "/engine.io/?EIO=4&transport=polling", "", NULL),
              "503", 3),
      0);
  cli_poll(c);
  assert_string_equal(http_answer(c->get), "");
  assert_int_equal(w->hub->nconns, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      EIO_TESTS(test_engineio_refuses_as_the_reference),
      EIO_TESTS(test_engineio_refuses_upgrades_with_text),
      EIO_TESTS(test_engineio_answers_for_a_session),
      EIO_TESTS(test_engineio_opens),
      EIO_TEST(test_engineio_sets_a_cookie),
      EIO_TEST(test_engineio_tells_other_origins),
      EIO_TESTS(test_engineio_echoes),
      EIO_TESTS(test_engineio_flushes_all),
      EIO_TESTS(test_engineio_streams_of_one_request),
      EIO_TEST(test_engineio_behind_a_proxy),
      EIO_TESTS(test_engineio_pipelines),
      EIO_TESTS(test_engineio_payload_boundaries),
      EIO_TESTS(test_engineio_bad_payloads_end_the_session),
      EIO_TEST(test_engineio_octets_end_the_session),
      EIO_TESTS(test_engineio_second_get_ends_the_session),
      EIO_TESTS(test_engineio_second_post_ends_the_session),
      EIO_TEST(test_engineio_get_that_is_given_up),
      EIO_TEST(test_engineio_post_that_is_given_up),
      EIO_TESTS(test_engineio_half_a_post),
      EIO_TESTS(test_engineio_post_waits_while_paused),
      EIO_TEST(test_engineio_long_post_waits_while_paused),
      EIO_TESTS(test_engineio_post_waits_while_throttled),
      EIO_TESTS(test_engineio_post_waits_for_polls),
      EIO_TESTS(test_engineio_heartbeat),
      EIO_TEST(test_engineio_heartbeat_is_armed_anew),
      EIO_TEST(test_engineio_waits_long),
      EIO_TEST(test_engineio_vanishes_between_polls),
      EIO_TESTS(test_engineio_client_must_not_ping),
      EIO_TESTS(test_engineio_pings_while_paused),
      EIO_TESTS(test_engineio_client_closes),
      EIO_TESTS(test_engineio_host_closes),
      EIO_TEST(test_engineio_close_waits_for_a_poll),
      EIO_TEST(test_engineio_host_cuts),
      EIO_TEST(test_engineio_drains),
      EIO_TEST(test_engineio_hub_is_freed),
      EIO_TESTS(test_engineio_ends_inside_handlers),
      EIO_TEST(test_engineio_cut_in_on_open),
      EIO_TEST(test_engineio_verdict_comes_later),
      EIO_TEST(test_engineio_verdict_at_the_last_moment),
      EIO_TEST(test_engineio_too_many),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
