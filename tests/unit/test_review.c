/*
 * test_review.c - what a second reader has found: requests that outlive their
 * session's head, verdicts within verdicts, pages that must be answered.
 */
#include <rill/history.h>

#include "eio.h"
#include "store_double.h"

#include "hub/session.h"

static int later(world *w, const happening *h) {
  if (strcmp(h->name, "auth") != 0)
    return 0;
  if (w->n == 0 && w->count == 0)
    return rill_accept(h->req, rill_s(""));
  w->later = h->req;
  return RILL_LATER;
}

/* A client in "/" whose question for "/admin" waits. */
static cli *asks_later(world *w) {
  cli *c;

  w->p->config.authenticate = eio_authenticate;
  w->act = later;
  eio_begin(w);
  eio_space(w, "/admin", NULL);
  c = cli_websocket(w, "/socket.io/");
  cli_say(c, "40");
  return c;
}

/* The head is forgotten after connect_ms, but not while somebody has it. */
static void test_review_question_outlasts_the_head(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.connect_ms = 2000;
  w->p->config.limits.verdict_ms = 9000;
  c = asks_later(w);
  pair_pass(w->p, RILL_SEC);
  cli_say(c, "40/admin,");
  pair_pass(w->p, 3 * RILL_SEC);
  assert_int_equal(rill_request_header(w->later, "host").len, 11);
  assert_int_equal(rill_accept(w->later, rill_s("")), 0);
  pair_turn(w->p);
  assert_string_equal(cli_hears(c),
                      "40{\"sid\":\"*\"} | 40/admin,{\"sid\":\"*\"}");
  /* nobody has it now: it goes */
  pair_pass(w->p, 30 * RILL_SEC);
  cli_say(c, "3");
  assert_null(w->hub->sessions->head);
}

/* Told of too late, and after its session, a question stays readable. */
static void test_review_question_outlasts_the_session(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.verdict_ms = 1000;
  c = asks_later(w);
  cli_say(c, "40/admin,");
  pair_pass(w->p, 2 * RILL_SEC);
  cli_cut(c);
  pair_pass(w->p, RILL_SEC);
  cli_websocket(w, "/socket.io/"); /* whose head is not that question's */
  assert_int_equal(rill_request_header(w->later, "host").len, 0);
  assert_string_equal(text_of(rill_request_space(w->later)), "/admin");
  assert_int_equal(rill_accept(w->later, rill_s("")), RILL_ERR_CLOSED);
}

static int both(world *w, const happening *h) {
  if (strcmp(h->name, "auth") != 0)
    return 0;
  if (w->later == NULL) {
    w->later = h->req;
    return RILL_LATER;
  }
  if (w->count == 0) {
    assert_int_equal(rill_accept(h->req, rill_s("")), 0);
    return rill_accept(w->later, rill_s(""));
  }
  assert_int_equal(rill_accept(w->later, rill_s("")), 0);
  return rill_accept(h->req, rill_s(""));
}

/* A verdict of before is given in the hook of another, in either order. */
static void test_review_verdicts_in_one_hook(void **state) {
  world *w = *state;

  w->p->config.authenticate = eio_authenticate;
  w->act = both;
  eio_begin(w);
  eio_space(w, "/admin", NULL);
  for (w->count = 0; w->count < 2; w->count++) {
    cli *c = cli_websocket(w, "/socket.io/");
    w->later = NULL;
    cli_say(c, "40");
    cli_say(c, "40/admin,");
    assert_string_equal(cli_hears(c),
                        "40/admin,{\"sid\":\"*\"} | 40{\"sid\":\"*\"}");
  }
  assert_int_equal(w->n, 4);
}

static cli *in_room(world *w) {
  cli *c;

  assert_int_equal(rill_room_events(w->hub, "/"), 0);
  c = sio_by(w, BY_WEBSOCKET);
  cli_say(c, "420[\"room:join\",{\"room\":\"r\"}]");
  cli_hears(c);
  return c;
}

/* The hub goes while a client waits for a page: all memory comes back. */
static void test_review_hub_goes_before_the_page(void **state) {
  world *w = *state;
  store_double d;

  eio_begin(w);
  double_init(&d);
  double_use(&d, w->p);
  assert_int_equal(rill_room_defaults(w->hub, "r",
                                      &(rill_room_opts){.durable = true}),
                   0);
  d.keeps = true;
  cli_say(in_room(w), "421[\"room:history\",{\"room\":\"r\"}]");
  assert_int_equal(d.nkept, 1);
  pair_reset(w->p); /* counts blocks */
  assert_int_equal(w->seen[0].closed, 1);
  w->n = 0;
  double_finish(&d);
}

static const char bytes_event[] =
    "451-[\"keep\",{\"_placeholder\":true,\"num\":0}]|b/w==";

static int keeps(world *w, const happening *h) {
  (void)w;
  if (h->ev != NULL && rill_str_eq(rill_event_name(h->ev), rill_s("keep")))
    assert_int_equal(rill_publish_event(h->ev, rill_s("r"), NULL), 0);
  return 0;
}

/* A page of more bytes values than an answer may have is answered. */
static void test_review_page_of_bytes(void **state) {
  world *w = *state;
  cli *c;

  w->p->config.limits.attachments = 2;
  w->act = keeps;
  eio_begin(w);
  assert_int_equal(
      rill_room_defaults(w->hub, "r", &(rill_room_opts){.history = 9}), 0);
  c = in_room(w);
  for (int i = 0; i < 3; i++)
    cli_say(c, bytes_event);
  cli_hears(c);
  cli_say(c, "421[\"room:history\",{\"room\":\"r\",\"limit\":2}]");
  assert_non_null(strstr(cli_hears(c), "\"at\":2"));
  cli_say(c, "421[\"room:history\",{\"room\":\"r\"}]");
  assert_string_equal(cli_hears(c),
                      "431[{\"error\":{\"code\":\"too-big\",\"message\":"
                      "\"too many bytes values for one answer\"}}]");
}

/* Packets that wait for attachments count as messages that are not whole. */
static void test_review_parts_are_in_assembly_bytes(void **state) {
  world *w = *state;
  char more[300], part[660];
  cli *a, *b;

  w->p->config.limits.assembly_bytes = 1000;
  eio_begin(w);
  a = sio_by(w, BY_WEBSOCKET);
  b = sio_by(w, BY_POLLING);
  memset(part, 'A', sizeof part);
  part[0] = 'b';
  /* 480 and 300 bytes, with their texts */
  for (int i = 0; i < 2; i++) {
    cli *c = i == 0 ? a : b;
    cli_say(c, "452-[\"e\",{\"_placeholder\":true,\"num\":0},"
               "{\"_placeholder\":true,\"num\":1}]");
    part[i == 0 ? 641 : 401] = '\0';
    cli_say(c, part);
    part[i == 0 ? 641 : 401] = 'A';
  }
  assert_true(pair_metrics(w->p).assembly_bytes > 750);
  assert_true(pair_metrics(w->p).assembly_bytes <= 1000);
  assert_int_equal(pair_metrics(w->p).limit_assembly_bytes, 0);
  memset(more, 'A', sizeof more);
  more[0] = 'b';
  more[201] = '\0';
  w->p->quiet = true; /* the event is long */
  cli_say(b, more); /* which is the smaller one: the other goes */
  assert_int_equal(pair_metrics(w->p).limit_assembly_bytes, 1);
  assert_false(rill_is_open(w->seen[0].peer));
  assert_true(rill_is_open(w->seen[1].peer));
  assert_int_equal(pair_metrics(w->p).assembly_bytes, 0);
  assert_int_equal(w->seen[0].how.cause, RILL_CAUSE_OVERLOAD);
  assert_int_equal(w->seen[1].closed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      EIO_TEST(test_review_question_outlasts_the_head),
      EIO_TEST(test_review_question_outlasts_the_session),
      EIO_TEST(test_review_verdicts_in_one_hook),
      EIO_TEST(test_review_hub_goes_before_the_page),
      EIO_TEST(test_review_page_of_bytes),
      EIO_TEST(test_review_parts_are_in_assembly_bytes),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
