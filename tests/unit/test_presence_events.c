/* Presence for clients: heartbeats, pages, watches, everyone. */
#include "presence_kit.h"

/* The answer to |e|'s event |name| with |args|, "" for none. */
static const char *ask(end *e, const char *name, const char *args) {
  char text[512];

  snprintf(text, sizeof text, "{\"event\":\"%s\",\"args\":[%s],\"id\":7}", name,
           args);
  say(e, text);
  return said(e);
}

#define ANSWER(json) "{\"ack\":7,\"args\":[" json "]}"

static void begin(pair *p, const rill_presence_opts *opts) {
  kit_begin(p, false);
  assert_int_equal(rill_presence_events(p->hub, NULL, opts), 0);
}

static rill_status status_of(pair *p, const char *user) {
  rill_presence who;

  assert_int_equal(rill_presence_user(p->hub, (rill_str){0}, (rill_str){0},
                                      rill_s(user), &who),
                   0);
  return who.status;
}

/* Heartbeats and a sweep, and a status for all: what simple servers do. */
static void test_presence_events_as_a_simple_server(void **state) {
  static const rill_presence_opts opts = {
      .heartbeat_ms = 60000, .sweep_ms = 30000, .everyone = true};
  pair *p = *state;
  end *ann, *ben;

  begin(p, &opts);
  ben = kit_open(p, "ben", NULL);
  ann = kit_open(p, "ann", NULL);
  kit_window(p);
  heard(ann);
  assert_string_equal(heard(ben), "update ben:online; update ann:online");
  assert_string_equal(ask(ann, "presence:heartbeat", ""), ANSWER(""));
  for (int i = 0; i < 4; i++) { /* ben sends none: its conn says enough */
    pair_pass(p, 30 * RILL_SEC);
    ask(ann, "presence:heartbeat", "{}");
  }
  assert_string_equal(heard(ben), "");
  /* the last beat is 60 s old between two sweeps */
  pair_pass(p, 59 * RILL_SEC);
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_ONLINE);
  pair_pass(p, 31 * RILL_SEC);
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_OFFLINE);
  kit_window(p);
  /* it was seen when it sent its last */
  assert_string_equal(
      said(ben), "{\"event\":\"presence:update\",\"args\":[{\"userId\":"
                 "\"ann\",\"status\":\"offline\",\"lastSeen\":1120250}]}");
  ask(ann, "presence:heartbeat", "");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online");
}

static void test_presence_events_idle(void **state) {
  static const rill_presence_opts opts = {.idle_ms = 300000};
  pair *p = *state;
  end *ann;

  begin(p, &opts);
  ann = kit_open(p, "ann", NULL);
  pair_pass(p, 200 * RILL_SEC);
  ask(ann, "anything", "");
  pair_pass(p, 200 * RILL_SEC);
  ask(ann, "presence:heartbeat", "");
  pair_pass(p, 100 * RILL_SEC - 1);
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_ONLINE);
  pair_pass(p, 1);
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_AWAY);
  rill_show(ann->peer, RILL_STATUS_BUSY);
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_BUSY);
  rill_show(ann->peer, RILL_STATUS_ONLINE);
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_AWAY);
  ask(ann, "anything", "");
  assert_int_equal(status_of(p, "ann"), RILL_STATUS_ONLINE);
}

static void test_presence_events_update(void **state) {
  pair *p = *state;
  end *ann, *ben;

  begin(p, NULL);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ann);
  heard(ben);
  assert_string_equal(
      ask(ann, "presence:update", "{\"status\":\"busy\",\"state\":{\"at\":1}}"),
      ANSWER(""));
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:busy={\"at\":1}");
  heard(ann);
  assert_string_equal(ask(ann, "presence:update", "{\"status\":\"a b\"}"),
                      "{\"ack\":7,\"error\":{\"code\":\"status\",\"message\":"
                      "\"offline, away, online or busy\"}}");
  ask(ann, "presence:update", "{\"status\":\"offline\"}");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:offline@1000500");
  ask(ann, "presence:update", "{\"status\":\"away\",\"state\":null}");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:away");
}

/* The numbers of "next" in an answer; 0: none. */
static unsigned next_of(const char *text) {
  const char *at = strstr(text, "\"next\":");
  return at != NULL ? (unsigned)strtoul(at + 7, NULL, 10) : 0;
}

/* Marks users "uN" that |text| lists; each but once unless |again|. */
static void mark(const char *text, bool *seen, bool again) {
  for (const char *at = text; (at = strstr(at, "\"u")) != NULL; at++) {
    unsigned n;
    if (at[2] < '0' || at[2] > '9')
      continue;
    n = (unsigned)strtoul(at + 2, NULL, 10);
    assert_true(again || !seen[n]);
    seen[n] = true;
  }
}

/* Pages leave out nobody who is there all the time, whoever comes or goes. */
static void test_presence_events_pages(void **state) {
  enum { USERS = 40 };
  pair *p = *state;
  end *e[USERS], *me;
  char text[80];
  unsigned next, pages = 1;
  const char *page;

  for (int churn = 0; churn < 2; churn++) {
    bool seen[USERS + 20] = {false};
    p->config.limits.presence_page = 7;
    begin(p, NULL);
    for (int i = 0; i < USERS; i++) {
      snprintf(text, sizeof text, "u%d", i);
      e[i] = kit_open(p, text, "r");
    }
    for (int i = 0; i < 7; i++) /* a page of changes in each window */
      kit_window(p);
    me = kit_open(p, "u50", "r");
    page = said(me);
    assert_non_null(strstr(page, "\"presence:state\""));
    mark(page, seen, churn);
    next = next_of(page);
    assert_int_equal(next, USERS + 1 - 7);
    for (pages = 1; next > 0; pages++) {
      if (churn) {
        rill_leave(e[pages * 2]->peer, rill_s("r"));
        snprintf(text, sizeof text, "u%u", USERS + pages);
        kit_open(p, text, "r");
        kit_window(p);
        said(me);
      }
      snprintf(text, sizeof text, "{\"room\":\"r\",\"after\":%u}", next);
      page = ask(me, "presence:list", text);
      mark(page, seen, churn);
      assert_true(next_of(page) < next);
      next = next_of(page);
    }
    assert_int_equal(pages, 6);
    for (int i = 0; i < USERS; i++)
      assert_true(seen[i] || (churn && i % 2 == 0 && i < 12));
    pair_reset(p);
  }
}

/* |text| without the public ids in it. */
static const char *without_ids(const char *text) {
  static char out[1000];
  size_t n = 0;

  while (*text != '\0' && n < sizeof out - 1) {
    bool id = strncmp(text, "\"id\":\"", 6) == 0;
    memcpy(out + n, text, id ? 6 : 1);
    n += id ? 6 : 1;
    text += id ? 6 + RILL__SID : 1;
  }
  out[n] = '\0';
  return out;
}

static void test_presence_events_page_of_peers(void **state) {
  pair *p = *state;
  end *ann;

  p->config.limits.presence_page = 2;
  begin(p, NULL);
  ann = kit_open(p, "ann", "r");
  kit_open(p, "", "r");
  kit_open(p, "ann", "r");
  rill_show(ann->peer, RILL_STATUS_AWAY);
  kit_window(p);
  said(ann);
  assert_string_equal(
      without_ids(ask(ann, "presence:list",
                      "{\"room\":\"r\",\"view\":\"peers\"}")),
      ANSWER("{\"room\":\"r\",\"members\":[{\"id\":\"\",\"userId\":"
             "\"ann\",\"status\":\"online\"},{\"id\":\"\",\"status\":"
             "\"online\"}],\"next\":1}"));
  assert_string_equal(
      without_ids(ask(ann, "presence:list",
                      "{\"room\":\"r\",\"view\":\"peers\",\"after\":1}")),
      ANSWER("{\"room\":\"r\",\"members\":[{\"id\":\"\",\"userId\":"
             "\"ann\",\"status\":\"away\"}]}"));
}

static void test_presence_events_list_is_for_members(void **state) {
  static const char forbidden[] =
      "{\"ack\":7,\"error\":{\"code\":\"forbidden\",\"message\":"
      "\"only who is there may ask\"}}";
  pair *p = *state;
  end *ann, *out;

  begin(p, NULL);
  ann = kit_open(p, "ann", "r");
  out = kit_open(p, "out", "x");
  kit_window(p);
  said(ann);
  assert_string_equal(ask(out, "presence:list", "{\"room\":\"r\"}"), forbidden);
  assert_string_equal(ask(out, "presence:list", "{\"room\":\"x\"}"), forbidden);
  assert_string_equal(ask(out, "presence:list", "{}"), forbidden);
  assert_string_equal(ask(out, "presence:list", ""), forbidden);
  assert_string_equal(
      ask(ann, "presence:list", "{\"room\":\"r\"}"),
      ANSWER("{\"room\":\"r\",\"version\":1,\"count\":1,\"peers\":1,"
             "\"users\":[{\"userId\":\"ann\",\"status\":\"online\"}]}"));
}

static void test_presence_events_watch(void **state) {
  pair *p = *state;
  end *ann, *ben, *cid;

  begin(p, NULL);
  ann = kit_open(p, "ann", NULL);
  ben = kit_open(p, "ben", NULL);
  kit_window(p);
  assert_string_equal(
      ask(ann, "presence:watch", "{\"users\":[\"ben\",\"cid\"]}"),
      ANSWER("{\"users\":[{\"userId\":\"ben\",\"status\":\"online\"},"
             "{\"userId\":\"cid\",\"status\":\"offline\"}]}"));
  cid = kit_open(p, "cid", NULL);
  kit_window(p);
  assert_string_equal(
      said(ann), "{\"event\":\"presence:update\",\"args\":[{\"userId\":"
                 "\"cid\",\"status\":\"online\"}]}");
  assert_string_equal(said(ben), "");
  end_bye(cid, 1000, "");
  end_bye(ben, 1000, "");
  kit_window(p);
  assert_string_equal(heard(ann), "update cid:offline@1000500; "
                                  "update ben:offline@1000500");
  ask(ann, "presence:unwatch", "{\"users\":[\"ben\",\"nobody\"]}");
  ben = kit_open(p, "ben", NULL);
  kit_window(p);
  assert_string_equal(heard(ann), "");
  end_bye(ben, 1000, "");
  kit_window(p);
  /* when they were seen is remembered */
  assert_string_equal(
      ask(ann, "presence:watch", "{\"users\":[\"ben\"]}"),
      ANSWER("{\"users\":[{\"userId\":\"ben\",\"status\":\"offline\","
             "\"lastSeen\":1001000}]}"));
  assert_int_equal(pair_metrics(p).presence_seen, 0);
  ask(ann, "presence:unwatch", "{\"users\":[\"ben\",\"cid\"]}");
  assert_int_equal(pair_metrics(p).presence_seen, 2);
}

static void test_presence_events_watch_what_is_none(void **state) {
  pair *p = *state;
  end *ann;

  begin(p, NULL);
  ann = kit_open(p, "ann", NULL);
  assert_non_null(strstr(ask(ann, "presence:watch", "{}"), "\"error\""));
  assert_non_null(
      strstr(ask(ann, "presence:watch", "{\"users\":[]}"), "\"error\""));
  assert_non_null(
      strstr(ask(ann, "presence:watch", "{\"users\":\"a\"}"), "\"error\""));
  assert_non_null(strstr(
      ask(ann, "presence:watch", "{\"users\":[\"a\",7]}"), "\"error\""));
  /* all or none: "a" is not watched */
  kit_open(p, "a", NULL);
  kit_window(p);
  assert_string_equal(said(ann), "");
}

/* A watcher that was away is told anew. */
static void test_presence_events_watch_and_recovery(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, true);
  assert_int_equal(rill_presence_events(p->hub, NULL, NULL), 0);
  ann = kit_open(p, "ann", NULL);
  ben = kit_open(p, "ben", NULL);
  kit_window(p);
  ask(ann, "presence:watch", "{\"users\":[\"ben\"]}");
  end_eof(ann, 0);
  end_bye(ben, 1000, "");
  kit_window(p);
  ann = kit_again(p, ann, "ann");
  assert_string_equal(heard(ann), "state ben:offline@1000250");
  talk_give_up(p);
}

static char changes[1000];

static void on_change(rill_hub *hub, const rill_presence *user, void *arg) {
  pair *p = arg;

  MUST(p->may_run && hub == p->hub);
  sprintf(changes + strlen(changes), "%.*s:%s@%u ", (int)user->user.len,
          user->user.ptr, rill_status_text(user->status),
          (unsigned)user->last_seen_ms);
  if (p->ends[0]->conn != NULL) { /* any command may be given */
    rill_unwatch(p->ends[0]->peer, &user->user, 1);
    rill_cut(p->ends[0]->peer);
  }
}

static void test_presence_events_tell_the_host(void **state) {
  pair *p = *state;
  rill_presence_opts opts = {.window_ms = 100,
                             .grace_ms = 1000,
                             .on_change = on_change,
                             .arg = p};
  rill_str ben = RILL_STR("ben");
  end *ann;

  begin(p, &opts);
  changes[0] = '\0';
  ann = kit_open(p, "ann", NULL);
  assert_int_equal(rill_watch(ann->peer, &ben, 1), 0);
  assert_string_equal(changes, "");
  pair_pass(p, 100 * RILL_MSEC);
  assert_string_equal(changes, "ann:online@0 ");
  assert_int_equal(ann->closed, 1);
  pair_pass(p, 100 * RILL_MSEC); /* the host cut it: no grace */
  assert_string_equal(changes, "ann:online@0 ann:offline@1000100 ");
  kit_open(p, "ben", NULL);
  pair_pass(p, 100 * RILL_MSEC);
  end_eof(p->ends[1], 0);
  pair_pass(p, 999 * RILL_MSEC);
  assert_int_equal(status_of(p, "ben"), RILL_STATUS_ONLINE);
  pair_pass(p, 101 * RILL_MSEC);
  assert_string_equal(changes, "ann:online@0 ann:offline@1000100 "
                               "ben:online@0 ben:offline@1000300 ");
}

static void test_presence_events_everyone(void **state) {
  static const rill_presence_opts opts = {.everyone = true};
  pair *p = *state;
  end *ann, *ben;
  rill_occupancy o;

  begin(p, &opts);
  ann = kit_open(p, "ann", NULL);
  assert_string_equal(kit_told, "state");
  kit_window(p);
  assert_string_equal(heard(ann), "update ann:online");
  ben = kit_open(p, "ben", NULL);
  assert_string_equal(kit_told, "state ann:online");
  assert_string_equal(
      ask(ben, "presence:list", "{}"),
      ANSWER("{\"version\":1,\"count\":1,\"peers\":2,\"users\":["
             "{\"userId\":\"ann\",\"status\":\"online\"}]}"));
  assert_int_equal(
      rill_presence_count(p->hub, (rill_str){0}, (rill_str){0}, &o), 0);
  assert_int_equal(o.online, 2);
}

static void test_presence_events_asked_for_wrongly(void **state) {
  pair *p = *state;

  begin(p, NULL);
  assert_int_equal(rill_presence_events(p->hub, "/none", NULL),
                   RILL_ERR_NOT_FOUND);
  assert_int_equal(rill_presence_events(p->hub, "/", NULL), RILL_ERR_EXISTS);
  pair_reset(p);
  kit_begin(p, false);
  kit_open(p, "ann", NULL);
  assert_int_equal(rill_presence_events(p->hub, "/", NULL), RILL_ERR_STATE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_presence_events_as_a_simple_server),
      PAIR_TEST(test_presence_events_idle),
      PAIR_TEST(test_presence_events_update),
      PAIR_TEST(test_presence_events_pages),
      PAIR_TEST(test_presence_events_page_of_peers),
      PAIR_TEST(test_presence_events_list_is_for_members),
      PAIR_TEST(test_presence_events_watch),
      PAIR_TEST(test_presence_events_watch_what_is_none),
      PAIR_TEST(test_presence_events_watch_and_recovery),
      PAIR_TEST(test_presence_events_tell_the_host),
      PAIR_TEST(test_presence_events_everyone),
      PAIR_TEST(test_presence_events_asked_for_wrongly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
