/*
 * The client's side: the handshake against a scripted server, and two hubs
 * that talk to each other.
 */
#include "pair.h"

/* Dials, is connected, and has said its request. */
static end *greeted(pair *p, const rill_dial_opts *opts) {
  end *e = pair_dial(p, p->hub, "ws://example.org:8080/chat?room=1", opts);

  end_dialed(e, 0);
  assert_string_equal(end_took(e), "GET /chat?room=1 HTTP/1.1");
  return e;
}

/* The server's answer; |accept| NULL: the right one. */
static void put_answer(end *e, const char *line, const char *accept,
                       const char *more) {
  char key[256], right[29];

  rill__ws_accept_key(
      rill_s(head_value(&e->http_head, "Sec-WebSocket-Key", key)), right);
  buf_text(&e->tx, line);
  buf_text(&e->tx, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: ");
  buf_text(&e->tx, accept != NULL ? accept : right);
  buf_text(&e->tx, "\r\n");
  buf_text(&e->tx, more);
  buf_text(&e->tx, "\r\n");
}

static end *dialed(pair *p) {
  end *e = greeted(p, NULL);

  put_answer(e, "HTTP/1.1 101 Switching Protocols", NULL, "");
  pair_turn(p);
  assert_int_equal(e->opened, 1);
  pair_log(p);
  return e;
}

static void test_dial_request(void **state) {
  static const char *const protocols[] = {"v2", "v1"};
  static const rill_header headers[] = {{"Authorization", "Bearer x"}};
  rill_dial_opts opts = {.deflate = {.enabled = true},
                         .subprotocols = protocols,
                         .nsubprotocols = 2,
                         .headers = headers,
                         .nheaders = 1,
                         .origin = "https://example.org"};
  pair *p = *state;
  char value[256];
  end *e;

  pair_begin(p);
  e = greeted(p, &opts);
  assert_string_equal(head_value(&e->http_head, "Host", value),
                      "example.org:8080");
  assert_string_equal(head_value(&e->http_head, "Upgrade", value), "websocket");
  assert_string_equal(head_value(&e->http_head, "Connection", value),
                      "Upgrade");
  assert_string_equal(head_value(&e->http_head, "Sec-WebSocket-Version", value),
                      "13");
  assert_true(rill__ws_key_ok(
      rill_s(head_value(&e->http_head, "Sec-WebSocket-Key", value))));
  assert_string_equal(
      head_value(&e->http_head, "Sec-WebSocket-Protocol", value), "v2, v1");
  assert_string_equal(head_value(&e->http_head, "Authorization", value),
                      "Bearer x");
  assert_string_equal(head_value(&e->http_head, "Origin", value),
                      "https://example.org");
  assert_int_equal(
      strncmp(head_value(&e->http_head, "Sec-WebSocket-Extensions", value),
              "permessage-deflate", 18),
      0);
}

static void test_dial_keys_are_fresh(void **state) {
  pair *p = *state;
  char a[256], b[256];

  pair_begin(p);
  head_value(&greeted(p, NULL)->http_head, "Sec-WebSocket-Key", a);
  head_value(&greeted(p, NULL)->http_head, "Sec-WebSocket-Key", b);
  assert_string_not_equal(a, b);
}

static void test_dial_talks(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("hello");
  end *e;

  pair_begin(p);
  e = pair_dial(p, p->hub, "ws://example.org", NULL);
  assert_int_equal(rill_send(e->peer, &m), RILL_ERR_STATE);
  assert_false(rill_is_open(e->peer));
  end_dialed(e, 0);
  assert_int_equal(rill_send(e->peer, &m), RILL_ERR_STATE);
  assert_string_equal(end_took(e), "GET / HTTP/1.1");
  put_answer(e, "HTTP/1.1 101 Switching Protocols", NULL, "");
  end_put(e, 0x81, "at once", 7); /* may come with the answer */
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 open; 0 text at once");
  assert_int_equal(rill_send(e->peer, &m), 0);
  assert_int_equal(rill_send_all(p->hub, &m), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "text hello; text hello");
  end_frame(e, 0x89, "p", 1);
  assert_string_equal(end_took(e), "pong p");
}

/* Four fresh bytes of the generator for each frame. */
static void test_dial_masks_are_fresh(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("same");
  end *e;
  uint32_t masks[50];

  pair_begin(p);
  e = dialed(p);
  for (int i = 0; i < 50; i++) {
    size_t at = e->rx.len;
    rill_send(e->peer, &m);
    pair_turn(p);
    assert_int_equal(e->rx.len, at + 10);
    memcpy(&masks[i], e->rx.data + at + 2, 4);
    for (int k = 0; k < i; k++)
      assert_int_not_equal(masks[k], masks[i]);
  }
  p->no_random = true; /* without randomness nothing is sent */
  assert_true(rill_send(e->peer, &m) < 0);
  pair_turn(p);
  assert_int_equal(e->closed, 1);
}

static void test_dial_answers_that_are_none(void **state) {
#define OK "HTTP/1.1 101 Switching Protocols"
  static const struct {
    const char *line, *accept, *more;
    rill_cause cause;
    int status;
  } cases[] = {
      {OK, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", RILL_CAUSE_PROTO, 0},
      {OK, "", "", RILL_CAUSE_PROTO, 0},
      {OK, NULL, "Sec-WebSocket-Accept: x\r\n", RILL_CAUSE_PROTO, 0},
      {OK, NULL, "Sec-WebSocket-Extensions: permessage-deflate\r\n",
       RILL_CAUSE_PROTO, 0},
      {OK, NULL, "Sec-WebSocket-Extensions: x-other\r\n", RILL_CAUSE_PROTO, 0},
      {OK, NULL, "Sec-WebSocket-Protocol: v1\r\n", RILL_CAUSE_PROTO, 0},
      {"HTTP/1.1 302 Found", NULL, "Location: ws://evil.example/\r\n",
       RILL_CAUSE_REFUSED, 302},
      {"HTTP/1.1 401 Unauthorized", NULL, "Content-Length: 0\r\n",
       RILL_CAUSE_REFUSED, 401},
      {"HTTP/1.1 404 Not Found", NULL, "Content-Length: 3\r\n\r\nno",
       RILL_CAUSE_REFUSED, 404},
      {"HTTP/1.1 200 OK", NULL, "Content-Length: 0\r\n", RILL_CAUSE_REFUSED,
       200},
      {"HTTP/1.1 503 Full", NULL, "Transfer-Encoding: chunked\r\n",
       RILL_CAUSE_REFUSED, 503},
      {"HTTP/1.0 101 Old", NULL, "", RILL_CAUSE_PROTO, 0},
      {"HTTP/2 101 New", NULL, "", RILL_CAUSE_PROTO, 0},
      {"garbage", NULL, "", RILL_CAUSE_PROTO, 0},
      {"\x16\x03\x01\x02", NULL, "", RILL_CAUSE_PROTO, 0},
      {OK, NULL, " folded: yes\r\n", RILL_CAUSE_PROTO, 0}};
#undef OK
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = greeted(p, NULL);
    put_answer(e, cases[i].line, cases[i].accept, cases[i].more);
    end_put(e, 0x81, "x", 1);
    pair_turn(p);
    assert_null(e->conn);
    assert_int_equal(e->opened, 0);
    assert_int_equal(e->closed, 1);
    assert_int_equal(e->how.cause, cases[i].cause);
    assert_int_equal(e->how.status, cases[i].status);
    assert_int_equal(e->how.code, 1006);
    assert_true(strlen(e->why) > 5);
    assert_int_equal(e->error, RILL_ERR_PROTO);
  }
}

static void test_dial_answers_without_their_lines(void **state) {
  static const char *const lines[] = {
      "Upgrade: websocket\r\nConnection: Upgrade\r\n",
      "Connection: Upgrade\r\n", "Upgrade: websocket\r\n",
      "Upgrade: h2c\r\nConnection: Upgrade\r\n",
      "Upgrade: websocket\r\nConnection: close\r\n"};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    end *e = greeted(p, NULL);
    char key[256], accept[29];
    rill__ws_accept_key(
        rill_s(head_value(&e->http_head, "Sec-WebSocket-Key", key)), accept);
    buf_text(&e->tx, "HTTP/1.1 101 Yes\r\n");
    buf_text(&e->tx, lines[i]);
    if (i > 0) {
      buf_text(&e->tx, "Sec-WebSocket-Accept: ");
      buf_text(&e->tx, accept);
      buf_text(&e->tx, "\r\n");
    }
    end_say(e, "\r\n");
    assert_int_equal(e->how.cause, RILL_CAUSE_PROTO);
  }
}

static void test_dial_subprotocols(void **state) {
  static const char *const ours[] = {"v2", "v1"};
  static const struct {
    const char *more, *chosen; /* NULL: refused */
  } cases[] = {
      {"", ""},
      {"Sec-WebSocket-Protocol: v1\r\n", "v1"},
      {"sec-websocket-protocol:  v2 \r\n", "v2"},
      {"Sec-WebSocket-Protocol: v3\r\n", NULL},
      {"Sec-WebSocket-Protocol: V1\r\n", NULL},
      {"Sec-WebSocket-Protocol: v2, v1\r\n", NULL},
      {"Sec-WebSocket-Protocol: \r\n", NULL},
      {"Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v1\r\n", NULL}};
  rill_dial_opts opts = {.subprotocols = ours, .nsubprotocols = 2};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = greeted(p, &opts);
    put_answer(e, "HTTP/1.1 101 Yes", NULL, cases[i].more);
    pair_turn(p);
    assert_int_equal(e->opened, cases[i].chosen != NULL);
    if (cases[i].chosen != NULL)
      assert_true(
          rill_str_eq(rill_peer_subprotocol(e->peer), rill_s(cases[i].chosen)));
  }
}

static int read_protocol(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "close") == 0)
    assert_true(rill_str_eq(rill_peer_subprotocol(e->peer), rill_s("v1")));
  return 0;
}

/* What the peer carries outlives its conn. */
static void test_dial_subprotocol_until_on_close(void **state) {
  char name[3] = "v1";
  const char *ours[] = {name};
  rill_dial_opts opts = {.subprotocols = ours, .nsubprotocols = 1};
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = greeted(p, &opts);
  strcpy(name, "??"); /* it was copied */
  put_answer(e, "HTTP/1.1 101 Yes", NULL, "Sec-WebSocket-Protocol: v1\r\n");
  pair_turn(p);
  p->act = read_protocol;
  rill_conn_free(e->conn);
  e->conn = NULL;
  pair_turn(p);
  assert_int_equal(e->closed, 1);
}

static void test_dial_that_fails(void **state) {
  static const int errors[] = {RILL_ERR_RESOLVE, RILL_ERR_REFUSED,
                               RILL_ERR_TIMEOUT, RILL_ERR_IO};
  pair *p = *state;
  end *e;

  pair_begin(p);
  for (int i = 0; i < 4; i++) {
    e = pair_dial(p, p->hub, "ws://example.org/", NULL);
    end_dialed(e, errors[i]);
    assert_null(e->conn);
    assert_int_equal(e->how.cause, RILL_CAUSE_DIAL);
    assert_string_equal(e->why, rill_strerror(errors[i]));
  }
  e = pair_dial(p, p->hub, "ws://example.org/", NULL); /* nobody dials it */
  pair_pass(p, 10 * RILL_SEC);
  assert_int_equal(e->how.cause, RILL_CAUSE_DIAL);
  e = greeted(p, NULL); /* nobody answers */
  pair_pass(p, 10 * RILL_SEC);
  assert_int_equal(e->how.cause, RILL_CAUSE_DIAL);
  e = greeted(p, NULL); /* byte by byte is no answer in time either */
  for (int i = 0; i < 11; i++) {
    end_say_bytes(e, &"HTTP/1.1 101 x"[i], e -> conn != NULL);
    pair_pass(p, RILL_SEC);
  }
  assert_int_equal(e->how.cause, RILL_CAUSE_DIAL);
  e = greeted(p, NULL);
  end_say(e, "HTTP/1.1 1");
  end_eof(e, 0);
  assert_int_equal(e->how.cause, RILL_CAUSE_DIAL);
  e = greeted(p, NULL);
  rill_conn_free(e->conn);
  e->conn = NULL;
  pair_turn(p);
  assert_int_equal(e->closed, 1);
}

static void test_dial_given_up(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  for (int i = 0; i < 2; i++) {
    e = i ? greeted(p, NULL) : pair_dial(p, p->hub, "ws://example.org/", NULL);
    assert_int_equal(rill_close(e->peer, 1000, NULL), RILL_ERR_CLOSED);
    assert_int_equal(rill_join(e->peer, rill_s("r")), RILL_ERR_CLOSED);
    assert_int_equal(rill_cut(e->peer), 0);
    assert_int_equal(e->closed, 0);
    pair_turn(p);
    assert_null(e->conn);
    assert_int_equal(e->how.cause, RILL_CAUSE_HOST);
  }
}

static void test_dial_targets(void **state) {
  static const struct {
    const char *url, *host, *path, *get;
    int port;
  } cases[] = {
      {"ws://example.org", "example.org", "", "GET / HTTP/1.1", 80},
      {"ws://example.org:81?x", "example.org", "", "GET /?x HTTP/1.1", 81},
      {"WS://[2001:db8::1]:9000/a", "2001:db8::1", "", "GET /a HTTP/1.1", 9000},
      {"ws+unix:/run/rill.sock", "", "/run/rill.sock", "GET / HTTP/1.1", 0},
      {"ws+unix:/run/rill.sock:/ws?a", "", "/run/rill.sock",
       "GET /ws?a HTTP/1.1", 0}};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = pair_dial(p, p->hub, cases[i].url, NULL);
    const rill_dial_target *t = rill_dial_target_of(e->conn);
    assert_true(rill_str_eq(t->host, rill_s(cases[i].host)));
    assert_true(rill_str_eq(t->path, rill_s(cases[i].path)));
    assert_int_equal(t->port, cases[i].port);
    end_dialed(e, 0);
    assert_string_equal(end_took(e), cases[i].get);
  }
}

static void test_dial_arguments(void **state) {
  static const char *const urls[] = {"",
                                     "example.org",
                                     "http://example.org",
                                     "ws://",
                                     "ws://user@host/",
                                     "ws://host:0/",
                                     "ws://host:65536/",
                                     "ws://host/a b",
                                     "ws://host/#x",
                                     "ws://host/\r\nX: y",
                                     "wss://host/",
                                     "ws+unix:relative",
                                     "ws:/host"};
  static const rill_header bad[] = {{"X", "a\r\nb"}, {"X Y", "1"}, {"", ""}};
  static const char *const bad_protocol[] = {"a b"};
  pair *p = *state;
  rill_peer peer = {NULL, 1, 1};
  rill_dial_opts opts = {.nheaders = 1};

  pair_begin(p);
  for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
    assert_int_equal(rill_dial(&peer, p->hub, urls[i], NULL, p->now),
                     RILL_ERR_ARG);
    assert_int_equal(peer.generation, 0);
  }
  for (size_t i = 0; i < 3; i++) {
    opts.headers = &bad[i];
    assert_int_equal(rill_dial(NULL, p->hub, "ws://h/", &opts, p->now),
                     RILL_ERR_ARG);
  }
  opts = (rill_dial_opts){.origin = "a\nb"};
  assert_int_equal(rill_dial(NULL, p->hub, "ws://h/", &opts, p->now),
                   RILL_ERR_ARG);
  opts = (rill_dial_opts){.subprotocols = bad_protocol, .nsubprotocols = 1};
  assert_int_equal(rill_dial(NULL, p->hub, "ws://h/", &opts, p->now),
                   RILL_ERR_ARG);
  opts = (rill_dial_opts){.deflate = {.enabled = true, .level = 10}};
  assert_int_equal(rill_dial(NULL, p->hub, "ws://h/", &opts, p->now),
                   RILL_ERR_ARG);
  p->no_random = true;
  assert_int_equal(rill_dial(NULL, p->hub, "ws://h/", NULL, p->now),
                   RILL_ERR_RANDOM);
  assert_int_equal(pair_metrics(p).conns, 0);
}

static void test_dial_without_memory(void **state) {
  static const char *const protocols[] = {"a", "b"};
  rill_dial_opts opts = {.subprotocols = protocols,
                         .nsubprotocols = 2,
                         .deflate = {.enabled = true}};
  pair *p = *state;
  uint64_t n = 0;
  int rv;

  pair_begin(p);
  do {
    size_t blocks = p->mem.blocks;
    p->mem.fail_at = p->mem.calls + ++n;
    rv = rill_dial(NULL, p->hub, "ws://h/", &opts, p->now);
    p->mem.fail_at = 0;
    if (rv != 0) {
      assert_int_equal(rv, RILL_ERR_NOMEM);
      assert_int_equal(pair_metrics(p).conns, 0);
      assert_in_range(p->mem.blocks, blocks, blocks + 2); /* tables stay */
    }
  } while (rv != 0);
  pair_turn(p); /* makes it an end, which the fixture frees */
  assert_true(n > 5);
}

static void test_dial_server_closes(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = dialed(p);
  end_bye(e, 1001, "restart");
  assert_string_equal(end_took(e), "close 1001");
  assert_int_equal(e->closed, 1);
  assert_string_equal(e->why, "restart");
  assert_non_null(e->conn); /* the server closes the stream first */
  end_text(e, "what comes now is not read");
  assert_string_equal(pair_log(p), "0 close 1 1001/1001");
  end_eof(e, 0);
  assert_string_equal(end_took(e), "eof");
  e = dialed(p); /* one that does not is not waited for for ever */
  end_bye(e, 1000, "");
  assert_non_null(e->conn);
  pair_pass(p, 5 * RILL_SEC);
  assert_null(e->conn);
}

static void test_dial_client_closes(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = dialed(p);
  assert_int_equal(rill_close(e->peer, 4000, "enough"), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "close 4000 enough");
  assert_int_equal(rill_send(e->peer, &(rill_msg){.kind = RILL_TEXT}),
                   RILL_ERR_CLOSED);
  end_text(e, "on the way");
  end_bye(e, 4000, "");
  assert_string_equal(pair_log(p), "0 close 2 4000/4000");
  end_eof(e, 0);
  assert_null(e->conn);
}

static void test_dial_server_breaks_the_protocol(void **state) {
  static const struct {
    const char *bytes;
    size_t len;
    unsigned code;
  } cases[] = {{"\x81\x81\0\0\0\0x", 7, 1002}, /* masked */
               {"\xc1\x00", 2, 1002},
               {"\x83\x00", 2, 1002},
               {"\x81\x01\xff", 3, 1007},
               {"\x88\x01\x03", 3, 1002}};
  pair *p = *state;
  char took[64];

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = dialed(p);
    end_say_bytes(e, cases[i].bytes, cases[i].len);
    snprintf(took, sizeof took, "close %u", cases[i].code);
    assert_int_equal(strncmp(end_took(e), took, strlen(took)), 0);
    assert_null(e->conn);
    assert_int_equal(e->closed, 1);
  }
}

/* A peer of p->other that dials p->hub; the ends of both. */
static void connect_hubs(pair *p, const char *path, const rill_dial_opts *opts,
                         end **client, end **server) {
  char url[128];

  snprintf(url, sizeof url, "ws://example.org%s", path);
  if (p->other == NULL)
    assert_int_equal(rill_hub_new(&p->other, &p->config), 0);
  *client = pair_dial(p, p->other, url, opts);
  *server = pair_accept(p);
  pair_join(*client, *server);
  end_dialed(*client, 0);
}

static int echo(pair *p, const event *e) {
  /* the server's hub echoes, the client's listens */
  if (strcmp(e->name, "message") == 0 && e->peer.hub == p->hub)
    assert_true(rill_send(e->peer, e->msg) >= 0);
  return 0;
}

static void test_dial_hub_to_hub(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("over and back");
  end *client, *server;

  pair_begin(p);
  p->act = echo;
  connect_hubs(p, "/ws", NULL, &client, &server);
  assert_string_equal(pair_log(p), "1 open; 0 open");
  assert_int_equal(rill_send(client->peer, &m), 0);
  pair_turn(p);
  assert_string_equal(pair_log(p), "1 text over and back; "
                                   "0 text over and back");
  rill_ping(client->peer);
  rill_ping(server->peer);
  pair_pass(p, RILL_MSEC);
  assert_true(rill_peer_rtt(client->peer) != RILL_NEVER);
  assert_true(rill_peer_rtt(server->peer) != RILL_NEVER);
  pair_pass(p, 3600 * RILL_SEC); /* the two keep each other alive */
  assert_int_equal(client->closed + server->closed, 0);
  rill_close(client->peer, 4321, "done");
  pair_turn(p);
  assert_int_equal(client->how.code, 4321);
  assert_int_equal(server->how.code, 4321);
  assert_string_equal(server->why, "done");
  assert_int_equal(client->how.cause, RILL_CAUSE_HOST);
  assert_int_equal(server->how.cause, RILL_CAUSE_PEER);
  assert_null(client->conn);
  assert_null(server->conn);
}

static const char *const texts[] = {
    "", "a", "hello hello hello hello hello hello hello hello hello hello",
    "another text, another text, another text, another text, another text"};

static int count_texts(pair *p, const event *e) {
  if (strcmp(e->name, "message") == 0 && e->peer.hub != p->hub)
    ++*(int *)p->act_arg;
  return echo(p, e);
}

static void test_dial_hub_to_hub_compressed(void **state) {
  pair *p = *state;
  int echoes = 0, sent = 0;
  static char big[20000];

  for (size_t i = 0; i < sizeof big; i++)
    big[i] = (char)('a' + (xorshift(&p->seed) >> 30 & 7));
  pair_begin(p);
  p->act = count_texts;
  p->act_arg = &echoes;
  for (unsigned how = 0; how < 32; how++) {
    rill_deflate_opts d = {.enabled = true,
                           .threshold = 8,
                           .server_context_takeover = how & 1,
                           .client_context_takeover = how >> 1 & 1,
                           .server_max_window_bits = how & 4 ? 9 : 15,
                           .client_max_window_bits = how & 8 ? 10 : 0};
    rill_route_opts route = {.deflate = d};
    rill_dial_opts opts = {.deflate = d};
    char path[32];
    end *client, *server;
    if (how & 16) { /* the two sides want other things */
      opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 8};
    }
    snprintf(path, sizeof path, "/deflate/%u", how);
    pair_route(p, path, &route);
    connect_hubs(p, path, &opts, &client, &server);
    assert_int_equal(client->opened, 1);
    for (int round = 0; round < 3; round++) {
      rill_msg m = {.data = big, .len = sizeof big, .kind = RILL_TEXT};
      for (size_t i = 0; i < 4; i++) {
        rill_msg t = rill_text(texts[i]);
        assert_true(rill_send(client->peer, &t) >= 0);
        pair_turn(p);
        sent++;
        if (i > 1)
          assert_non_null(strstr(pair_log(p), texts[i]));
      }
      assert_true(rill_send(client->peer, &m) >= 0);
      sent++;
      pair_turn(p);
    }
    assert_int_equal(echoes, sent);
    rill_close(server->peer, 1000, NULL);
    pair_turn(p);
    assert_int_equal(client->closed + server->closed, 2);
  }
  assert_true(pair_metrics(p).deflated_total > 0);
}

static int refuse(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "auth") == 0 ? rill_reject(e->req, 401, "who?") : 0;
}

static void test_dial_hub_refuses_hub(void **state) {
  pair *p = *state;
  end *client, *server;

  p->config.authenticate = pair_authenticate;
  p->act = refuse;
  pair_begin(p);
  connect_hubs(p, "/ws", NULL, &client, &server);
  assert_int_equal(client->how.cause, RILL_CAUSE_REFUSED);
  assert_int_equal(client->how.status, 401);
  connect_hubs(p, "/nowhere", NULL, &client, &server);
  assert_int_equal(client->how.status, 404);
  assert_int_equal(server->opened, 0);
}

static void test_dial_hub_drains(void **state) {
  pair *p = *state;
  end *client[5], *server[5];

  pair_begin(p);
  for (int i = 0; i < 5; i++)
    connect_hubs(p, "/ws", NULL, &client[i], &server[i]);
  rill_drain(p->hub, RILL_SEC, p->now);
  pair_pass(p, RILL_SEC);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(client[i]->how.cause, RILL_CAUSE_PEER);
    assert_int_equal(client[i]->how.code, 1001);
    assert_int_equal(server[i]->how.cause, RILL_CAUSE_DRAIN);
  }
  assert_true(rill_is_drained(p->hub));
}

/* Dialed peers are members like others: each frame is masked for them. */
static void test_dial_in_rooms(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("to the room"), keyed = rill_text("first");
  end *a, *b, *c;

  pair_begin(p);
  a = dialed(p);
  b = pair_open(p);
  c = dialed(p);
  rill_join(a->peer, rill_s("r"));
  rill_join(b->peer, rill_s("r"));
  rill_join(c->peer, rill_s("r"));
  a->room = 0;
  for (int i = 0; i < 2; i++)
    assert_int_equal(rill_send_room(p->hub, rill_s("r"), &m), 0);
  keyed.key = rill_s("k");
  rill_send_room(p->hub, rill_s("r"), &keyed);
  keyed = rill_text("second");
  keyed.key = rill_s("k");
  rill_send_room(p->hub, rill_s("r"), &keyed);
  end_room(a, SIZE_MAX);
  assert_string_equal(end_took(a),
                      "text to the room; text to the room; text second");
  assert_string_equal(end_took(b),
                      "text to the room; text to the room; text second");
  assert_string_equal(end_took(c),
                      "text to the room; text to the room; text second");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_dial_request),
      PAIR_TEST(test_dial_keys_are_fresh),
      PAIR_TESTS(test_dial_talks),
      PAIR_TEST(test_dial_masks_are_fresh),
      PAIR_TESTS(test_dial_answers_that_are_none),
      PAIR_TESTS(test_dial_answers_without_their_lines),
      PAIR_TESTS(test_dial_subprotocols),
      PAIR_TEST(test_dial_subprotocol_until_on_close),
      PAIR_TEST(test_dial_that_fails),
      PAIR_TEST(test_dial_given_up),
      PAIR_TESTS(test_dial_targets),
      PAIR_TEST(test_dial_arguments),
      PAIR_TEST(test_dial_without_memory),
      PAIR_TESTS(test_dial_server_closes),
      PAIR_TESTS(test_dial_client_closes),
      PAIR_TESTS(test_dial_server_breaks_the_protocol),
      PAIR_TESTS(test_dial_hub_to_hub),
      PAIR_TESTS(test_dial_hub_to_hub_compressed),
      PAIR_TESTS(test_dial_hub_refuses_hub),
      PAIR_TEST(test_dial_hub_drains),
      PAIR_TESTS(test_dial_in_rooms),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
