/*
 * test_heal.c - durable rooms whose members have not heard everything that
 * is in the log, and where a room stands.
 */
#include <rill/history.h>

#include "store_double.h"
#include "talk.h"

#include "hub/publish.h"

static store_double stored;

static void begin(pair *p, bool recovering) {
  if (recovering)
    talk_begin_recovering(p);
  else
    talk_begin(p);
  double_init(&stored);
  double_use(&stored, p);
  assert_int_equal(
      rill_room_defaults(p->hub, "h", &(rill_room_opts){.durable = true}), 0);
}

static void end_it(pair *p) {
  pair_reset(p);
  double_finish(&stored);
}

static int done_status;
static uint64_t done_offset;

static void on_done(rill_hub *hub, const rill_published *out, void *arg) {
  (void)hub, (void)arg;
  done_status = out->status;
  done_offset = out->offset;
}

static void publish(pair *p, const char *json) {
  const rill_publish_opts opts = {.id = rill_s(json), .done = on_done};

  assert_int_equal(
      rill_publish(p->hub, rill_s("h"), "n", talk_args(p, json), &opts), 0);
  pair_pass(p, 0);
}

static end *member(pair *p) {
  end *e = talk_json(p);

  say(e, "{\"join\":\"h\"}");
  said(e);
  return e;
}

/* What was heard: arguments and numbers. */
static const char *heard(end *e) {
  static char out[600];
  const char *text = said(e);
  size_t n = 0;

  out[0] = '\0';
  for (const char *at = text; (at = strstr(at, "\"args\":[")) != NULL; at++) {
    const char *number = strstr(at, "\"at\":");
    MUST(number != NULL && n + 40 < sizeof out);
    n += (size_t)snprintf(out + n, sizeof out - n, "%s%d@%d", n > 0 ? " " : "",
                          atoi(at + 8), atoi(number + 5));
  }
  return out;
}

/* It failed, and took effect: members hear it, and its writer may ask again. */
static void test_heal_written_though_it_failed(void **state) {
  pair *p = *state;
  end *e;

  begin(p, false);
  e = member(p);
  publish(p, "1");
  stored.fails = FAILS(APPEND);
  stored.effect = true;
  publish(p, "2");
  assert_int_equal(done_status, RILL_ERR_IO);
  stored.fails = 0;
  assert_string_equal(heard(e), "1@1 2@2");
  publish(p, "3");
  assert_string_equal(heard(e), "3@3");
  publish(p, "2");
  assert_int_equal(done_status, RILL_ERR_EXISTS);
  assert_int_equal(done_offset, 2);
  assert_string_equal(heard(e), "");
  assert_int_equal(pair_metrics(p).healed_total, 1);
  end_it(p);
}

/* What follows waits for it, though its writer is answered at once. */
static void test_heal_keeps_the_order(void **state) {
  pair *p = *state;
  end *e;

  begin(p, false);
  e = member(p);
  stored.keeps = true;
  stored.effect = true;
  publish(p, "1");
  publish(p, "2");
  publish(p, "3");
  double_let(&stored, 1);
  pair_pass(p, 0);
  stored.fails = FAILS(APPEND);
  double_let(&stored, 1);
  pair_pass(p, 0);
  stored.fails = 0;
  assert_string_equal(heard(e), "1@1");
  double_let(&stored, 1);
  pair_pass(p, 0);
  assert_int_equal(done_status, 0);
  assert_int_equal(done_offset, 3);
  assert_string_equal(heard(e), "");
  double_let(&stored, 9);
  pair_pass(p, 0);
  assert_string_equal(heard(e), "2@2 3@3");
  end_it(p);
}

static void test_heal_tries_again(void **state) {
  pair *p = *state;
  end *e;

  begin(p, false);
  e = member(p);
  stored.fails = FAILS(APPEND) | FAILS(READ);
  stored.effect = true;
  publish(p, "1");
  stored.fails = FAILS(READ);
  publish(p, "2");
  assert_int_equal(done_status, 0);
  assert_string_equal(heard(e), "");
  pair_pass(p, 999 * RILL_MSEC);
  stored.fails = 0;
  assert_string_equal(heard(e), "");
  pair_pass(p, 2 * RILL_MSEC);
  assert_string_equal(heard(e), "1@1 2@2");
  end_it(p);
}

static void is_done(rill__work *w) {
  MUST(w->op.status == 0);
}

/* What is no event, or cannot be sent, holds nobody up. */
static void test_heal_passes_over_what_is_no_event(void **state) {
  pair *p = *state;
  rill__work *w;
  end *e;
  int rv;

  begin(p, false);
  e = member(p);
  publish(p, "1");
  w = rill__log_work(p->hub, RILL_STORE_APPEND, rill_s("/"), rill_s("h"),
                     rill_s("x"), rill_s("\xc1"), &rv);
  MUST(w != NULL);
  w->done = is_done;
  rill__work_submit(w);
  publish(p, "3");
  publish(p, "4");
  assert_string_equal(heard(e), "1@1 3@3 4@4");
  end_it(p);
}

/* Who catches up meanwhile gets each once, and so do the others. */
static void test_heal_while_somebody_returns(void **state) {
  pair *p = *state;
  end *e, *back;

  begin(p, false);
  e = member(p);
  publish(p, "1");
  heard(e);
  stored.fails = FAILS(APPEND) | FAILS(READ);
  stored.effect = true;
  publish(p, "2");
  stored.fails = 0;
  back = talk_json(p);
  say(back, "{\"join\":\"h\",\"since\":0}");
  assert_string_equal(heard(back), "1@1 2@2");
  assert_string_equal(heard(e), "2@2");
  pair_pass(p, 2 * RILL_SEC);
  publish(p, "3");
  assert_string_equal(heard(back), "3@3");
  assert_string_equal(heard(e), "3@3");
  end_it(p);
}

/* A member that has heard nothing yet knows from where on it counts. */
static void test_heal_where_the_room_stands(void **state) {
  pair *p = *state;
  end *e;

  begin(p, false);
  publish(p, "1");
  publish(p, "2");
  e = talk_json(p);
  say(e, "{\"join\":\"h\",\"id\":1}");
  assert_string_equal(
      said(e), "{\"joined\":\"h\",\"at\":2,\"epoch\":\"aaaaaaaa.0\",\"id\":1}");
  say(e, "{\"leave\":\"h\"}");
  said(e);
  publish(p, "3");
  say(e, "{\"join\":\"h\",\"since\":2}");
  assert_string_equal(heard(e), "3@3");
  end_it(p);
}

/* As far as the ring goes nobody asks the store. */
static void test_heal_returns_from_the_ring(void **state) {
  pair *p = *state;
  unsigned reads;
  end *e;

  begin(p, false);
  assert_int_equal(
      rill_room_defaults(p->hub, "h",
                         &(rill_room_opts){.durable = true, .history = 3}),
      0);
  member(p);
  for (int i = 1; i <= 5; i++)
    publish(p, (char[]){(char)('0' + i), '\0'});
  reads = stored.count[RILL_STORE_READ];
  e = talk_json(p);
  say(e, "{\"join\":\"h\",\"since\":5}");
  assert_non_null(strstr(said(e), "\"at\":5"));
  say(e, "{\"leave\":\"h\"}");
  said(e);
  say(e, "{\"join\":\"h\",\"since\":2}");
  assert_string_equal(heard(e), "3@3 4@4 5@5");
  say(e, "{\"leave\":\"h\"}");
  said(e);
  assert_int_equal(stored.count[RILL_STORE_READ], reads);
  say(e, "{\"join\":\"h\",\"since\":1}");
  assert_string_equal(heard(e), "2@2 3@3 4@4 5@5");
  assert_int_equal(stored.count[RILL_STORE_READ], reads + 1);
  end_it(p);
}

/* A join that was under way when its client was lost is none. */
static void test_heal_lost_while_joining(void **state) {
  pair *p = *state;
  char open[120];
  end *e, *again;

  begin(p, true);
  e = talk_json(p);
  stored.keeps = true;
  say(e, "{\"join\":\"h\",\"since\":0,\"id\":1}");
  assert_int_equal(stored.nkept, 1);
  snprintf(open, sizeof open, "{\"open\":{},\"resume\":\"%s\"}",
           talk_secret[e->index]);
  end_eof(e, 0);
  pair_turn(p);
  again = talk_connect(p, "/json", false);
  talk_is(again, e);
  say(again, open);
  assert_non_null(strstr(said(again), "\"recovered\":true"));
  double_let(&stored, 9);
  pair_pass(p, 0);
  assert_string_equal(said(again), "");
  assert_int_equal(rill_room_count(p->hub, rill_s("h")), 0);
  talk_give_up(p);
  end_it(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_heal_written_though_it_failed),
      PAIR_TEST(test_heal_keeps_the_order),
      PAIR_TEST(test_heal_tries_again),
      PAIR_TEST(test_heal_passes_over_what_is_no_event),
      PAIR_TEST(test_heal_while_somebody_returns),
      PAIR_TEST(test_heal_where_the_room_stands),
      PAIR_TEST(test_heal_returns_from_the_ring),
      PAIR_TEST(test_heal_lost_while_joining)};

  return cmocka_run_group_tests_name("heal", tests, NULL, NULL);
}
