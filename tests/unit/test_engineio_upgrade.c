/*
 * The upgrade of Engine.IO, from long-polling to a WebSocket: nothing is lost
 * or comes twice, and what goes wrong leaves the session where it was.
 */
#include "eio.h"

static int echo(world *w, const happening *h) {
  (void)w;
  return h->msg != NULL ? rill_send(h->who->peer, h->msg) : 0;
}

static int pauses(world *w, const happening *h) {
  (void)w;
  return h->msg != NULL ? RILL_PAUSE : 0;
}

static void test_engineio_upgrade(void **state) {
  world *w = *state;
  rill_msg msg = rill_text("early");
  end *e;
  cli *c;

  w->act = echo;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  cli_poll(c);
  e = cli_probe(c);
  assert_string_equal(http_answer(c->get), "200 6"); /* let go of */
  c->waits = false;
  assert_string_equal(rill_peer_transport(w->seen[0].peer).ptr, "polling");
  /* both ways until the switch */
  assert_string_equal(cli_post(c, "4a"), "200 ok");
  rill_send(w->seen[0].peer, &msg);
  pair_turn(w->p);
  cli_switch(c, e);
  cli_say(c, "4b");
  assert_string_equal(cli_hears(c), "4a | 4early | 4b");
  assert_string_equal(rill_peer_transport(w->seen[0].peer).ptr, "websocket");
  assert_string_equal(pair_log(w->p), "0 open; 0 text a; 0 text b");
  assert_int_equal(pair_metrics(w->p).upgrades_total, 1);
  assert_int_equal(pair_metrics(w->p).sessions, 1);
  pair_pass(w->p, 11 * RILL_SEC);
  assert_string_equal(cli_hears(c), "");
}

/* Everything in one segment, behind the request. */
static void test_engineio_upgrade_in_one_go(void **state) {
  world *w = *state;
  end *e;
  cli *c;

  w->act = echo;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  e = pair_accept(w->p);
  http_put(e, "GET", cli_target(c, "websocket"), WS_LINES, NULL, 0);
  end_put(e, 0x81, "2probe", 6);
  end_put(e, 0x81, "5", 1);
  end_put(e, 0x81, "4one", 4);
  end_put(e, 0x82, "\x01", 1);
  pair_turn(w->p);
  assert_string_equal(end_took(e), "101; text 3probe; text 4one; binary \x01");
}

static void test_engineio_upgrade_carries_all(void **state) {
  world *w = *state;
  end *e;
  cli *c;
  char *big = malloc(100000);
  rill_msg msg;

  MUST(big != NULL);
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  e = cli_probe(c);
  msg = rill_text("one");
  rill_send(w->seen[0].peer, &msg);
  msg = (rill_msg){.data = "\x00\xff", .len = 2, .kind = RILL_BINARY};
  rill_send_all(w->hub, &msg);
  memset(big, 'y', 100000);
  msg = (rill_msg){.data = big, .len = 100000, .kind = RILL_TEXT};
  rill_send(w->seen[0].peer, &msg);
  msg = (rill_msg){.data = big, .len = 100000, .kind = RILL_BINARY};
  rill_send(w->seen[0].peer, &msg);
  msg = rill_text("");
  rill_send_all(w->hub, &msg); /* an open run when the switch comes */
  end_put(e, 0x81, "5", 1);
  pair_turn(w->p);
  assert_int_equal(e->rx.len > 200000, 1);
  {
    frame f;
    static const size_t lens[] = {4, 2, 100001, 100000, 1};
    for (int i = 0; i < 5; i++) {
      assert_true(end_next_frame(e, &f));
      assert_int_equal(f.len, lens[i]);
      assert_int_equal(f.opcode, i == 1 || i == 3 ? 2 : 1);
    }
    assert_false(end_next_frame(e, &f));
  }
  free(big);
}

/* The WebSocket may compress what it gets from then on. */
static void test_engineio_upgrade_to_deflate(void **state) {
  const rill_route_opts opts = {.deflate = {.enabled = true, .threshold = 20}};
  rill_msg msg = rill_text("long enough, long enough, long enough");
  world *w = *state;
  cli *c;
  end *e;

  eio_begin_at(w, &opts);
  c = cli_polling(w, "/engine.io/");
  e = pair_accept(w->p);
  ws_hello(e, cli_target(c, "websocket"),
           "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  end_text(e, "2probe");
  assert_string_equal(end_took(e), "101; text 3probe");
  rill_send(w->seen[0].peer, &msg);
  end_text(e, "5");
  rill_send(w->seen[0].peer, &msg);
  rill_send_all(w->hub, &msg);
  pair_turn(w->p);
  assert_int_equal(
      strncmp(end_took(e),
              "text 4long enough, long enough, long enough; packed "
              "text #",
              58),
      0);
  assert_non_null(strstr((char *)e->text.data + 58, "packed text #"));
}

static void test_engineio_upgrade_timeout(void **state) {
  world *w = *state;
  end *e;
  cli *c;

  w->p->config.limits.upgrade_ms = 1000;
  w->act = echo;
  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  e = cli_probe(c);
  pair_pass(w->p, 999 * RILL_MSEC);
  assert_string_equal(end_took(e), "");
  pair_pass(w->p, 1 * RILL_MSEC);
  assert_string_equal(end_took(e), "close; eof");
  assert_int_equal(pair_metrics(w->p).upgrades_failed_total, 1);
  assert_int_equal(pair_metrics(w->p).limit_upgrade_ms, 1);
  /* the session goes on with polling, and a GET waits as before */
  cli_poll(c);
  assert_string_equal(http_answer(c->get), "");
  cli_say(c, "4still here");
  assert_string_equal(http_answer(c->get), "200 4still here");
  c->waits = false;
  /* and may try again */
  cli_switch(c, cli_probe(c));
  cli_say(c, "4now");
  assert_string_equal(cli_hears(c), "4now");
}

static void test_engineio_probe_garbage(void **state) {
  static const struct {
    unsigned first;
    const char *data;
  } words[] = {{0x81, "2"},      {0x81, "5"},   {0x81, "4x"}, {0x81, "2probe "},
               {0x82, "2probe"}, {0x81, "nix"}, {0x88, ""}};
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  for (size_t i = 0; i < 2 * sizeof words / sizeof *words; i++) {
    size_t k = i / 2;
    end *e;
    if (i % 2 == 0) {
      e = pair_accept(w->p);
      ws_hello(e, cli_target(c, "websocket"), "");
      assert_string_equal(end_took(e), "101");
    } else {
      if (strcmp(words[k].data, "5") == 0 || words[k].data[0] == '\0')
        continue;
      e = cli_probe(c);
      assert_string_equal(http_answer(c->get), "200 6");
      c->waits = false;
    }
    end_frame(e, words[k].first, words[k].data, strlen(words[k].data));
    assert_string_equal(end_took(e), "close; eof");
    cli_poll(c);
    assert_string_equal(http_answer(c->get), ""); /* no busy polling */
    assert_string_equal(cli_post(c, "4alive"), "200 ok");
  }
  assert_int_equal(w->seen[0].closed, 0);
}

static void test_engineio_probe_is_lost(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  for (int i = 0; i < 3; i++) {
    end *e = cli_probe(c);
    if (i == 2)
      end_bye(e, 1000, "");
    else
      end_eof(e, i);
    if (c->waits) {
      assert_string_equal(http_answer(c->get), "200 6");
      c->waits = false;
    }
    cli_poll(c);
    assert_string_equal(http_answer(c->get), "");
  }
  assert_int_equal(pair_metrics(w->p).upgrades_failed_total, 3);
  assert_string_equal(pair_log(w->p), "0 open");
}

static void test_engineio_second_probe(void **state) {
  world *w = *state;
  end *first, *second;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  first = cli_probe(c);
  second = pair_accept(w->p);
  ws_hello(second, cli_target(c, "websocket"), "");
  assert_string_equal(end_took(second), "101; close");
  end_eof(second, 0);
  cli_switch(c, first);
  second = pair_accept(w->p);
  ws_hello(second, cli_target(c, "websocket"), "");
  assert_string_equal(end_took(second), "101; close");
  end_text(second, "2probe");
  end_bye(second, 0, "");
  assert_string_equal(end_took(second), "eof");
  cli_say(c, "4alive");
  assert_string_equal(pair_log(w->p), "0 open; 0 text alive");
}

static void test_engineio_probe_of_a_closing_session(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  rill_close(w->seen[0].peer, 1000, "enough");
  pair_turn(w->p);
  e = pair_accept(w->p);
  ws_hello(e, cli_target(c, "websocket"), "");
  assert_string_equal(end_took(e), "101; close");
  assert_string_equal(cli_post(c, "4x"), "400");
  cli_poll(c);
  assert_string_equal(http_answer(c->get), "200 1");
}

/* The session ends while it is being upgraded. */
static void test_engineio_ends_during_upgrade(void **state) {
  world *w = *state;

  eio_begin(w);
  for (int how = 0; how < 4; how++) {
    cli *c = cli_polling(w, "/engine.io/");
    end *e = cli_probe(c);
    const rill_peer peer = w->seen[how].peer;
    cli_poll(c);
    c->waits = false;
    http_answer(c->get);
    if (how == 0)
      rill_close(peer, 1000, NULL);
    else if (how == 1)
      rill_cut(peer);
    else if (how == 2)
      cli_post(c, "1");
    else
      cli_post(c, "x");
    pair_turn(w->p);
    assert_int_equal(w->seen[how].closed, 1);
    if (how == 0) { /* "1" is still to be fetched; the probe may be late */
      end_text(e, "5");
      cli_poll(c);
      assert_string_equal(http_answer(c->get), "200 1");
      pair_turn(w->p);
    }
    assert_non_null(strstr(end_took(e), "eof"));
    assert_int_equal(pair_metrics(w->p).sessions, 0);
  }
}

/* "5" although a POST has not been answered: no packet may be lost. */
static void test_engineio_upgrade_behind_a_post(void **state) {
  world *w = *state;
  cli *c;
  end *e;

  eio_begin(w);
  w->act = pauses;
  c = cli_polling(w, "/engine.io/");
  e = cli_probe(c);
  assert_string_equal(cli_post(c, "4a\x1e"
                                  "4b"),
                      "");
  end_text(e, "5");
  assert_string_equal(pair_log(w->p),
                      "0 open; 0 text a; 0 close transport error");
  assert_non_null(strstr(end_took(e), "eof"));
}

static void test_engineio_upgrade_keeps_a_pause(void **state) {
  world *w = *state;
  cli *c;

  eio_begin(w);
  c = cli_polling(w, "/engine.io/");
  rill_pause(w->seen[0].peer);
  cli_switch(c, cli_probe(c));
  cli_say(c, "4a|4b");
  assert_string_equal(pair_log(w->p), "0 open");
  rill_resume(w->seen[0].peer);
  pair_turn(w->p);
  assert_string_equal(pair_log(w->p), "0 text a; 0 text b");
}

/* ---- chance ---- */

/*
 * Messages both ways, with the upgrade somewhere in between: each side hears
 * all of the other's, once and in order.
 */
static void race(world *w, uint64_t *seed) {
  cli *c = cli_polling(w, "/engine.io/");
  rill_peer peer = w->seen[w->n - 1].peer;
  end *probe = NULL;
  int said = 0, sent = 0, heard_ = 0, at = (int)(xorshift(seed) % 20);
  char text[30];
  char expected[30];
  const char *all;

  w->count = 0;
  for (int i = 0; i < 30; i++) {
    uint64_t r = xorshift(seed);
    if (r & 1) {
      rill_msg msg;
      snprintf(text, sizeof text, "m%d", sent++);
      msg = rill_text(text);
      assert_int_equal(
          r & 2 ? rill_send(peer, &msg)
                : rill_send_to(w->hub, &(rill_to){.peers = &peer, .npeers = 1},
                               &msg),
          0);
    }
    if (r & 4) {
      snprintf(text, sizeof text, "4u%d", said++);
      cli_say(c, text);
    }
    if (i == at)
      probe = cli_probe(c);
    if (c->ws == NULL && (r & 8) != 0) {
      const char *took;
      cli_poll(c);
      took = end_took(c->get);
      if (took[0] != '\0') {
        MUST(strcmp(took, "200") == 0);
        c->waits = false;
        hear_payload(c);
      }
    }
    if (probe != NULL && c->ws == NULL && (r & 16) != 0) {
      if (c->waits) { /* the client waits for its GET, then switches */
        pair_turn(w->p);
        MUST(strcmp(end_took(c->get), "200") == 0);
        hear_payload(c);
      }
      cli_switch(c, probe);
    }
  }
  all = cli_hears(c);
  for (const char *m = strtok((char *)(uintptr_t)all, " |"); m != NULL;
       m = strtok(NULL, " |")) {
    if (strcmp(m, "6") == 0)
      continue;
    snprintf(expected, sizeof expected, "4m%d", heard_++);
    assert_string_equal(m, expected);
  }
  assert_int_equal(heard_, sent);
  assert_int_equal(w->count, said);
  cli_cut(c);
  w->nclis = 0;
}

static int counts(world *w, const happening *h) {
  char expected[20];

  if (h->msg == NULL)
    return 0;
  snprintf(expected, sizeof expected, "u%d", w->count++);
  MUST(h->msg->len == strlen(expected) &&
       memcmp(h->msg->data, expected, h->msg->len) == 0);
  return 0;
}

static void test_engineio_upgrade_races(void **state) {
  world *w = *state;
  uint64_t seed = w->p->seed;

  w->act = counts;
  eio_begin(w);
  for (int i = 0; i < 60; i++) {
    race(w, &seed);
    assert_int_equal(w->seen[w->n - 1].closed, 1);
    w->n = 0;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      EIO_TESTS(test_engineio_upgrade),
      EIO_TESTS(test_engineio_upgrade_in_one_go),
      EIO_TESTS(test_engineio_upgrade_carries_all),
      EIO_TESTS(test_engineio_upgrade_to_deflate),
      EIO_TEST(test_engineio_upgrade_timeout),
      EIO_TESTS(test_engineio_probe_garbage),
      EIO_TESTS(test_engineio_probe_is_lost),
      EIO_TEST(test_engineio_second_probe),
      EIO_TEST(test_engineio_probe_of_a_closing_session),
      EIO_TESTS(test_engineio_ends_during_upgrade),
      EIO_TEST(test_engineio_upgrade_behind_a_post),
      EIO_TESTS(test_engineio_upgrade_keeps_a_pause),
      EIO_TESTS(test_engineio_upgrade_races),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
