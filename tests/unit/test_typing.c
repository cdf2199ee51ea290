/* Who is typing. */
#include "presence_kit.h"

#include <rill/history.h>

static void type(end *e, bool typing) {
  pair_tick(e->p, e->p->hub); /* it learns what time it is */
  assert_int_equal(rill_typing(e->peer, rill_s("r"), typing), 0);
}

static void window(pair *p) {
  pair_pass(p, p->config.limits.typing_window_ms * RILL_MSEC);
}

/* A room with typing alone. */
static void begin(pair *p, bool recovery) {
  static const rill_room_opts opts = {.typing = true};

  kit_begin(p, recovery);
  assert_int_equal(rill_room_defaults(p->hub, "r*", &opts), 0);
  assert_int_equal(rill_typing_events(p->hub, NULL), 0);
}

static int add_user(rill_str user, void *arg) {
  sprintf((char *)arg + strlen(arg), "%.*s ", (int)user.len, user.ptr);
  return 0;
}

static const char *typers(pair *p) {
  static char out[1000];

  out[0] = '\0';
  assert_int_equal(rill_typing_each(p->hub, (rill_str){0}, rill_s("r"),
                                    add_user, out),
                   0);
  return out;
}

static void test_typing_list_changes(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  type(ann, true);
  assert_string_equal(typers(p), "ann ");
  assert_string_equal(said(ben), "");
  window(p);
  assert_string_equal(
      said(ben), "{\"event\":\"typing:update\",\"args\":[{\"room\":\"r\","
                 "\"count\":1,\"users\":[\"ann\"]}],\"room\":\"r\"}");
  type(ben, true);
  type(ann, true); /* a start again is nothing to tell */
  window(p);
  assert_string_equal(heard(ben), "update ben ann");
  type(ann, true);
  window(p);
  assert_string_equal(heard(ben), "");
  type(ann, false);
  type(ann, false);
  window(p);
  assert_string_equal(heard(ben), "update ben");
  type(ann, true);
  type(ann, false); /* undone */
  window(p);
  assert_string_equal(heard(ben), "");
  type(ben, false);
  window(p);
  assert_string_equal(heard(ben), "update");
  assert_string_equal(heard(ann), "update ann; update ben ann; update ben; "
                                  "update");
  assert_int_equal(pair_metrics(p).typing_updates_total, 4);
}

/* Not visible longer than six seconds after the last start. */
static void test_typing_expires(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  type(ann, true);
  pair_pass(p, 3 * RILL_SEC);
  heard(ben);
  type(ann, true);
  pair_pass(p, 6 * RILL_SEC - 1);
  assert_string_equal(typers(p), "ann ");
  assert_string_equal(heard(ben), "");
  pair_pass(p, 1);
  assert_string_equal(typers(p), "");
  window(p);
  assert_string_equal(heard(ben), "update");
}

static void test_typing_of_a_user_with_tabs(void **state) {
  pair *p = *state;
  end *ann, *tab, *ben;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  tab = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  type(ann, true);
  type(tab, true);
  window(p);
  assert_string_equal(heard(ben), "update ann");
  end_eof(ann, 0); /* the other types on */
  assert_string_equal(typers(p), "ann ");
  type(tab, true);
  assert_int_equal(rill_leave(tab->peer, rill_s("r")), 0);
  window(p);
  assert_string_equal(heard(ben), "update");
}

/* A message, a leave and a drop are the end of it. */
static void test_typing_ends(void **state) {
  pair *p = *state;
  end *ann, *ben, *cid;

  begin(p, true);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  cid = kit_open(p, "cid", "r");
  type(ann, true);
  type(cid, true);
  window(p);
  assert_string_equal(heard(ben), "update ann cid");
  end_eof(cid, 0); /* it may come back, but types no more */
  window(p);
  assert_string_equal(heard(ben), "update ann");
  type(ann, true);
  end_bye(ann, 1000, "");
  window(p);
  assert_string_equal(heard(ben), "update");
  talk_give_up(p);
}

static int publish(rill_peer peer, const rill_event *ev, void *arg) {
  (void)peer;
  (void)arg;
  return rill_publish_event(ev, rill_s("r"), NULL);
}

static void test_typing_ends_with_a_message(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, false);
  assert_int_equal(rill_on(p->hub, NULL, "message", publish, NULL), 0);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  type(ann, true);
  type(ben, true);
  window(p);
  said(ben);
  say(ann, "{\"event\":\"message\",\"args\":[\"hi\"]}");
  assert_string_equal(typers(p), "ben ");
  window(p);
  assert_string_equal(heard(ben), "message; update ben");
}

static void test_typing_list_for_who_joins(void **state) {
  pair *p = *state;
  end *ann, *ben, *cid;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  assert_string_equal(heard(ben), "");
  type(ann, true);
  window(p);
  said(ann);
  cid = kit_open(p, "cid", "r");
  assert_string_equal(heard(cid), "update ann");
  assert_string_equal(heard(ann), "");
}

/* Who comes is told what the others know: what they do not may be undone. */
static void test_typing_undone_for_who_joins(void **state) {
  pair *p = *state;
  end *ann, *ben, *cid;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  type(ann, true);
  window(p);
  type(ben, true);
  cid = kit_open(p, "cid", "r");
  type(ben, false);
  window(p);
  assert_string_equal(heard(cid), "update ann");
  assert_int_equal(rill_leave(cid->peer, rill_s("r")), 0);
  assert_int_equal(rill_join(cid->peer, rill_s("r")), 0);
  assert_int_equal(rill_leave(cid->peer, rill_s("r")), 0);
  window(p);
  assert_string_equal(heard(cid), ""); /* it has gone again */
  cid = kit_open(p, "dan", "r");
  assert_string_equal(heard(cid), "update ann");
  type(ann, false);
  window(p);
  assert_string_equal(heard(cid), "update");
}

/*
 * Telling the room may close a slow peer that is being told of: that it has
 * stopped is told in the next window.
 */
static void test_typing_telling_closes_the_slow(void **state) {
  pair *p = *state;
  end *ann, *slow;

  p->config.limits.queue_count = 2;
  p->config.limits.soft_count = 2;
  begin(p, true);
  ann = kit_open(p, "ann", "r");
  slow = kit_open(p, "slow", "r");
  said(ann);
  slow->room = 0;
  assert_int_equal(rill_emit_peer(slow->peer, "full", NULL, NULL), 0);
  assert_int_equal(rill_emit_peer(slow->peer, "full", NULL, NULL), RILL_BUSY);
  type(slow, true);
  window(p);
  assert_false(rill_is_open(slow->peer));
  assert_string_equal(heard(ann), "update slow");
  window(p);
  assert_string_equal(heard(ann), "update");
  talk_give_up(p);
}

static void test_typing_events(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  say(ann, "{\"event\":\"typing:start\",\"args\":[{\"room\":\"r\"}]}");
  assert_string_equal(typers(p), "ann ");
  say(ann, "{\"event\":\"typing:stop\",\"args\":[{\"room\":\"r\"}],\"id\":1}");
  assert_string_equal(typers(p), "");
  assert_string_equal(said(ann), "{\"ack\":1,\"args\":[]}");
  say(ben, "{\"event\":\"chat:typing\",\"args\":[{\"roomId\":\"r\","
           "\"isTyping\":true}]}");
  assert_string_equal(typers(p), "ben ");
  say(ben, "{\"event\":\"chat:typing\",\"args\":[{\"roomId\":\"r\","
           "\"isTyping\":false}]}");
  assert_string_equal(typers(p), "");
  say(ann, "{\"event\":\"typing:start\",\"args\":[{\"room\":\"x\"}],"
           "\"id\":2}");
  assert_non_null(strstr(said(ann), "\"code\":\"typing\""));
  for (int i = 0; i < 20; i++)
    say(ann, "{\"event\":\"typing:start\",\"args\":[{\"room\":\"r\"}]}");
  assert_int_equal(pair_metrics(p).events_throttled_total, 12);
  window(p);
  assert_string_equal(heard(ben), "update ann");
}

static void test_typing_that_cannot_be(void **state) {
  pair *p = *state;
  end *ann, *nobody;

  begin(p, false);
  ann = kit_open(p, "ann", NULL);
  assert_int_equal(rill_typing(ann->peer, rill_s("r"), true),
                   RILL_ERR_NOT_FOUND);
  rill_join(ann->peer, rill_s("x"));
  assert_int_equal(rill_typing(ann->peer, rill_s("x"), true),
                   RILL_ERR_NOT_FOUND);
  nobody = kit_open(p, "", "r");
  assert_int_equal(rill_typing(nobody->peer, rill_s("r"), true),
                   RILL_ERR_STATE);
  end_eof(ann, 0);
  assert_int_equal(rill_typing(ann->peer, rill_s("r"), true),
                   RILL_ERR_CLOSED);
  assert_string_equal(typers(p), "");
}

/* Never kept: what it says is no longer so when somebody comes back. */
static void test_typing_is_not_kept(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, true);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  end_eof(ben, 0);
  type(ann, true);
  window(p);
  type(ann, false);
  window(p);
  talk_emit(p, "r", "kept", "1");
  assert_int_equal(pair_metrics(p).history_bytes > 0, true);
  ben = kit_again(p, ben, "ben");
  assert_string_equal(heard(ben), "kept");
  type(ann, true);
  window(p);
  heard(ben);
  end_eof(ben, 0);
  ben = kit_again(p, ben, "ben");
  assert_string_equal(heard(ben), "kept; update ann"); /* as it is now */
  talk_give_up(p);
}

/* Of several that wait, the newest. */
static void test_typing_newer_takes_the_place(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  ben->room = 0;
  talk_emit(p, "r", "first", "1"); /* what the stream has begun with */
  pair_turn(p);
  for (int i = 0; i < 9; i++) {
    type(ann, i % 2 == 0);
    window(p);
  }
  assert_int_equal(pair_metrics(p).conflated_total, 8);
  end_room(ben, SIZE_MAX);
  assert_string_equal(heard(ben), "first; update ann");
}

/* The newest of the lists that |e| has been told; |last| where none came. */
static void newest(end *e, char last[64]) {
  const char *told = heard(e), *at;

  while ((at = strstr(told, "; ")) != NULL)
    told = at + 2;
  if (told[0] == '\0')
    return;
  last[0] = '\0';
  kit_add(last, 64, told);
  kit_add(last, 64, " ");
}

/* Starts, stops and times at random, against a table. */
static void test_typing_does_as_a_table(void **state) {
  enum { TYPERS = 5 };
  pair *p = *state;
  end *e[TYPERS], *watcher;
  rill_time until[TYPERS] = {0};
  char name[8], last[64] = "";
  uint64_t seed = 77;

  begin(p, false);
  p->quiet = true;
  for (int i = 0; i < TYPERS; i++) {
    snprintf(name, sizeof name, "u%d", i);
    e[i] = kit_open(p, name, "r");
  }
  watcher = kit_open(p, "watcher", "r");
  for (int n = 0; n < 3000; n++) {
    uint64_t r = xorshift(&seed) >> 9;
    int i = (int)(r % TYPERS);
    if (r / 8 % 3 < 2)
      type(e[i], r / 8 % 3 == 0);
    if (r / 8 % 3 < 2)
      until[i] = r / 8 % 3 == 0 ? p->now + 6 * RILL_SEC : 0;
    pair_pass(p, r / 64 % 2500 * RILL_MSEC);
    for (int k = 0; k < TYPERS; k++) {
      snprintf(name, sizeof name, "u%d ", k);
      assert_int_equal(strstr(typers(p), name) != NULL, until[k] > p->now);
    }
    newest(watcher, last);
    for (int k = 0; k < TYPERS; k++) { /* but for the last window */
      bool recent = p->now - 250 * RILL_MSEC < until[k] && until[k] <= p->now;
      snprintf(name, sizeof name, " u%d ", k);
      if (!recent && r / 64 % 2500 >= 250)
        assert_int_equal(strstr(last, name) != NULL, until[k] > p->now);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_typing_list_changes),
      PAIR_TEST(test_typing_expires),
      PAIR_TEST(test_typing_of_a_user_with_tabs),
      PAIR_TEST(test_typing_ends),
      PAIR_TEST(test_typing_ends_with_a_message),
      PAIR_TEST(test_typing_list_for_who_joins),
      PAIR_TEST(test_typing_undone_for_who_joins),
      PAIR_TEST(test_typing_telling_closes_the_slow),
      PAIR_TEST(test_typing_events),
      PAIR_TEST(test_typing_that_cannot_be),
      PAIR_TEST(test_typing_is_not_kept),
      PAIR_TEST(test_typing_newer_takes_the_place),
      PAIR_TEST(test_typing_does_as_a_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
