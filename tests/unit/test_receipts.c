/* How far users have read: it only grows, and others hear of it. */
#include "notify_kit.h"

#define WINDOW (250 * RILL_MSEC)

static const rill_str no_space = {0}, room = RILL_STR("r");

/* A peer of |user| in room "r". */
static end *join(pair *p, const char *user) {
  end *e = kit_open(p, user);

  assert_int_equal(rill_join(e->peer, room), 0);
  heard(e);
  return e;
}

/* Events 1 to |n| of room "r", which members drop. */
static void publish(pair *p, int n) {
  while (n-- > 0)
    assert_int_equal(rill_publish(p->hub, room, "e", NULL, NULL), 0);
  pair_turn(p);
}

static void read_to(end *e, const char *what) {
  char text[200];

  snprintf(text, sizeof text,
           "{\"event\":\"receipt:read\",\"args\":[{\"room\":\"r\",%s}],"
           "\"id\":1}",
           what);
  say(e, text);
}

static const char *get(end *e, const char *more) {
  char text[200];

  snprintf(text, sizeof text,
           "{\"event\":\"receipt:get\",\"args\":[{\"room\":\"r\"%s}],"
           "\"id\":2}",
           more);
  say(e, text);
  return heard(e);
}

static void note_receipt(rill_hub *hub, const rill_receipt *r, void *arg) {
  (void)hub;
  (void)arg;
  if (r->status != 0)
    kit_add(kit_done, sizeof kit_done, "%s", rill_errname(r->status));
  else
    kit_add(kit_done, sizeof kit_done, "%.*s %d/%d (%d)", (int)r->user.len,
            r->user.ptr, (int)r->offset, (int)r->last, (int)r->unread);
}

static const char *unread(pair *p, const char *user) {
  assert_int_equal(rill_unread(p->hub, no_space, room, rill_s(user),
                               note_receipt, NULL),
                   0);
  pair_turn(p);
  return told(kit_done);
}

static int host_reads(pair *p, const char *user, uint64_t to) {
  const rill_read_opts opts = {.done = note_receipt};
  return rill_read_to(p->hub, room, rill_s(user), to, &opts);
}

static void test_receipts_told_once_per_window(void **state) {
  pair *p = *state;
  end *ann, *phone, *ben, *out;

  kit_begin(p);
  ann = join(p, "ann");
  phone = join(p, "ann");
  ben = join(p, "ben");
  out = kit_open(p, "cid");
  publish(p, 5);
  heard(ann);
  heard(phone);
  heard(ben);
  heard(out);
  read_to(ann, "\"offset\":1");
  assert_string_equal(
      heard(ann), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":1}]}");
  read_to(ann, "\"offset\":3");
  read_to(ben, "\"offset\":2");
  heard(ann);
  heard(ben);
  pair_pass(p, WINDOW - 1);
  assert_string_equal(heard(ben), "");
  pair_pass(p, 1);
  assert_string_equal(heard(ann), "r ann:3 ben:2");
  assert_string_equal(heard(phone), "r ann:3 ben:2");
  assert_string_equal(heard(ben), "r ann:3 ben:2");
  assert_string_equal(heard(out), "");
  pair_pass(p, 10 * WINDOW);
  assert_string_equal(heard(ben), "");
  assert_int_equal(pair_metrics(p).receipts_total, 3);
  assert_int_equal(pair_metrics(p).receipt_updates_total, 2);
  /* of the inboxes, and where the room stands */
  assert_int_equal(stored.count[RILL_STORE_READ], 4);
}

static void test_receipts_only_grow(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  ann = join(p, "ann");
  publish(p, 5);
  read_to(ann, "\"offset\":3");
  pair_pass(p, WINDOW);
  heard(ann);
  read_to(ann, "\"offset\":2");
  assert_string_equal(
      heard(ann), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":3}]}");
  read_to(ann, "\"offset\":0");
  read_to(ann, "\"offset\":-4");
  heard(ann);
  pair_pass(p, WINDOW);
  assert_string_equal(heard(ann), ""); /* it is no news */
  assert_string_equal(unread(p, "ann"), "ann 3/5 (2)");
  kit_restart(p);
  assert_string_equal(unread(p, "ann"), "ann 3/5 (2)");
}

/* Nobody has read what has not been written. */
static void test_receipts_end_at_the_newest(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  ann = join(p, "ann");
  read_to(ann, "\"offset\":18446744073709551615");
  assert_string_equal(
      heard(ann), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":0}]}");
  pair_pass(p, WINDOW);
  assert_string_equal(heard(ann), ""); /* that is nothing */
  publish(p, 2);
  heard(ann);
  read_to(ann, "\"offset\":9223372036854775807");
  assert_string_equal(
      heard(ann), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":2}]}");
  publish(p, 1);
  assert_string_equal(unread(p, "ann"), "ann 2/3 (1)");
  kit_restart(p); /* and the store knows, when the hub does not yet */
  assert_int_equal(host_reads(p, "ann", 99), 0);
  pair_turn(p);
  assert_string_equal(told(kit_done), "ann 3/0 (0)");
  assert_string_equal(unread(p, "ann"), "ann 3/3 (0)");
  assert_string_equal(unread(p, "ben"), "ben 0/3 (3)");
}

static void test_receipts_private(void **state) {
  pair *p = *state;
  end *ann, *phone, *ben;

  kit_begin(p);
  ann = join(p, "ann");
  phone = join(p, "ann");
  ben = join(p, "ben");
  publish(p, 5);
  read_to(ann, "\"offset\":2");
  pair_pass(p, WINDOW);
  heard(ann);
  heard(phone);
  heard(ben);
  read_to(ann, "\"offset\":4,\"private\":true");
  assert_string_equal(
      heard(ann), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":4}]}");
  pair_pass(p, WINDOW);
  assert_string_equal(heard(phone), "r ann:4");
  assert_string_equal(heard(ben), "");
  assert_string_equal(get(ben, ",\"users\":[\"ann\",\"ben\"]"),
                      "{\"ack\":2,\"args\":[{\"room\":\"r\",\"users\":["
                      "{\"userId\":\"ann\",\"offset\":2},"
                      "{\"userId\":\"ben\",\"offset\":0}]}]}");
  assert_string_equal(get(phone, ""),
                      "{\"ack\":2,\"args\":[{\"room\":\"r\",\"offset\":4,"
                      "\"last\":5,\"unread\":1}]}");
  heard(ann);
  read_to(phone, "\"offset\":3"); /* for all, though less than it has seen */
  assert_string_equal(
      heard(phone), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":4}]}");
  pair_pass(p, WINDOW);
  assert_string_equal(heard(ben), "r ann:3");
  assert_string_equal(unread(p, "ann"), "ann 4/5 (1)");
}

static int join_any(rill_peer peer, void *arg) {
  (void)arg;
  return rill_join(peer, room);
}

/* Where the host wants it, all are. */
static void test_receipts_private_all(void **state) {
  static const rill_receipt_events_opts opts = {.is_private = true};
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p);
  assert_int_equal(rill_receipt_events(p->hub, "/other", &opts), 0);
  assert_int_equal(rill_receipt_events(p->hub, "/other", &opts),
                   RILL_ERR_EXISTS);
  ann = talk_sio(p, "40/other,{\"token\":\"ann\"}");
  ben = talk_sio(p, "40/other,{\"token\":\"ben\"}");
  assert_int_equal(rill_peer_each(p->hub, join_any, NULL), 0);
  assert_int_equal(
      rill_publish(p->hub, room, "e", NULL,
                   &(rill_publish_opts){.space = rill_s("/other")}),
      0);
  pair_turn(p);
  said(ann);
  said(ben);
  end_text(ann, "42/other,[\"receipt:read\",{\"room\":\"r\",\"offset\":1}]");
  pair_pass(p, WINDOW);
  assert_string_equal(said(ann), "42/other,[\"receipt:update\",{\"room\":"
                                 "\"r\",\"users\":[{\"userId\":\"ann\","
                                 "\"offset\":1}]}]");
  assert_string_equal(said(ben), "");
}

static void test_receipts_are_of_members(void **state) {
  pair *p = *state;
  end *ann, *nobody;

  kit_begin(p);
  assert_int_equal(host_reads(p, "", 1), RILL_ERR_ARG);
  assert_int_equal(rill_read_to(p->hub, rill_s("plain"), rill_s("ann"), 1,
                                NULL),
                   RILL_ERR_STATE);
  assert_int_equal(rill_unread(p->hub, rill_s("/nowhere"), room,
                               rill_s("ann"), note_receipt, NULL),
                   RILL_ERR_ARG);
  ann = kit_open(p, "ann");
  heard(ann);
  publish(p, 1);
  read_to(ann, "\"offset\":1");
  assert_non_null(strstr(heard(ann), "\"code\":\"forbidden\""));
  assert_non_null(strstr(get(ann, ""), "\"code\":\"forbidden\""));
  assert_int_equal(rill_join(ann->peer, room), 0);
  read_to(ann, "\"offset\":\"1\"");
  assert_non_null(strstr(heard(ann), "\"code\":\"receipt\""));
  assert_non_null(strstr(get(ann, ",\"users\":[]"), "\"code\":\"receipt\""));
  assert_non_null(strstr(get(ann, ",\"users\":7"), "\"code\":\"receipt\""));
  assert_non_null(strstr(get(ann, ",\"users\":[7]"), "\"code\":\"receipt\""));
  assert_int_equal(rill_join(ann->peer, rill_s("plain")), 0);
  say(ann, "{\"event\":\"receipt:get\",\"args\":[{\"room\":\"plain\"}],"
           "\"id\":1}");
  assert_non_null(strstr(heard(ann), "\"code\":\"receipt\""));
  nobody = join(p, "");
  read_to(nobody, "\"offset\":1");
  assert_non_null(strstr(heard(nobody), "\"code\":\"user\""));
  pair_pass(p, WINDOW);
  assert_string_equal(heard(ann), "");
}

static void test_receipts_store_fails(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p);
  ann = join(p, "ann");
  ben = join(p, "ben");
  publish(p, 3);
  heard(ann);
  heard(ben);
  stored.fails = FAILS(SET);
  read_to(ann, "\"offset\":2");
  assert_non_null(strstr(heard(ann), "\"code\":\"store\""));
  say(ann, "{\"event\":\"receipt:read\",\"args\":[{\"room\":\"r\","
           "\"offset\":2}]}");
  assert_non_null(strstr(heard(ann), "\"code\":\"store\"")); /* unasked too */
  stored.fails = FAILS(GET);
  assert_string_equal(unread(p, "ann"), "RILL_ERR_IO"); /* not "all" */
  assert_non_null(strstr(get(ann, ",\"users\":[\"ben\",\"ann\"]"),
                         "\"code\":\"store\""));
  stored.fails = FAILS(READ);
  assert_string_equal(unread(p, "ann"), "RILL_ERR_IO");
  assert_int_equal(host_reads(p, "ann", 9), 0);
  pair_turn(p);
  assert_string_equal(told(kit_done), "RILL_ERR_IO");
  pair_pass(p, WINDOW);
  assert_string_equal(heard(ben), "");
  stored.fails = 0;
  assert_string_equal(unread(p, "ann"), "ann 0/3 (3)");
}

/* Answers come when the store has answered, and not before. */
static void test_receipts_wait_for_a_slow_store(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  ann = join(p, "ann");
  publish(p, 3);
  heard(ann);
  stored.keeps = true;
  read_to(ann, "\"offset\":2");
  read_to(ann, "\"offset\":1");
  pair_pass(p, 4 * WINDOW);
  assert_string_equal(heard(ann), "");
  double_let(&stored, 1);
  pair_turn(p);
  assert_string_equal(heard(ann), "");
  double_let(&stored, 9);
  pair_turn(p);
  assert_string_equal(
      heard(ann), "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":2}]}; "
                  "{\"ack\":1,\"args\":[{\"room\":\"r\",\"offset\":2}]}");
  pair_pass(p, WINDOW);
  assert_string_equal(heard(ann), "r ann:2");
  assert_int_equal(host_reads(p, "ann", 99), 0); /* and the hub goes */
  assert_int_equal(rill_unread(p->hub, no_space, room, rill_s("ann"),
                               note_receipt, NULL),
                   0);
  assert_int_equal(host_reads(p, "ann", 3), 0);
  double_let(&stored, 2);
  pair_turn(p);
  kit_restart(p);
  assert_string_equal(unread(p, "ann"), "ann 2/3 (1)");
}

static void test_receipts_busy_when_too_much_waits(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  ann = join(p, "ann");
  publish(p, 1);
  p->hub->config.limits.store_pending = 3;
  heard(ann);
  stored.keeps = true;
  assert_int_equal(host_reads(p, "ann", 1), 0);
  assert_int_equal(host_reads(p, "ann", 1), RILL_ERR_LIMIT); /* it takes two */
  assert_non_null(strstr(get(ann, ""), "\"code\":\"busy\""));
  assert_int_equal(stored.nkept, 2);
  double_let(&stored, 2);
  pair_turn(p);
  assert_string_equal(told(kit_done), "ann 1/0 (0)");
}

/* Random readers on a store that answers late: each ends at its highest. */
static void test_receipts_converge(void **state) {
  pair *p = *state;
  uint64_t seed = 5, high[4] = {0};
  char name[8], want[64];
  end *watcher;

  kit_begin(p);
  watcher = join(p, "who");
  publish(p, 50);
  stored.keeps = true;
  for (int i = 0; i < 600; i++) {
    uint64_t r = xorshift(&seed) >> 3, u = r % 4, to = (r >> 8) % 60;
    snprintf(name, sizeof name, "u%u", (unsigned)u);
    assert_int_equal(host_reads(p, name, to), 0);
    if (to > 50)
      to = 50;
    if (to > high[u])
      high[u] = to;
    double_let(&stored, (size_t)(r >> 20) % 5);
    pair_pass(p, (r >> 30) % 40 * RILL_MSEC);
    assert_null(strstr(kit_done, "RILL_ERR"));
    kit_done[0] = '\0';
  }
  while (stored.nkept > 0) {
    double_let(&stored, 1);
    pair_turn(p);
  }
  pair_pass(p, WINDOW);
  stored.keeps = false;
  kit_done[0] = '\0';
  for (unsigned u = 0; u < 4; u++) {
    snprintf(name, sizeof name, "u%u", u);
    snprintf(want, sizeof want, "%s %d/50 (%d)", name, (int)high[u],
             50 - (int)high[u]);
    assert_string_equal(unread(p, name), want);
  }
  assert_int_equal(watcher->closed, 0);
}

/* Each allocation fails in turn: what is answered is true. */
static void test_receipts_without_memory(void **state) {
  pair *p = *state;
  bool failed = true;

  for (uint64_t i = 1; failed; i++) {
    const rill_read_opts privately = {.done = note_receipt,
                                      .is_private = true};
    unsigned asked = 0, answered = 0;
    bool set;
    end *ann;

    kit_begin(p);
    ann = join(p, "ann");
    publish(p, 3);
    heard(ann);
    p->mem.fail_at = p->mem.calls + i;
    asked += host_reads(p, "ann", 2) == 0;
    asked += rill_read_to(p->hub, room, rill_s("ben"), 9, &privately) == 0;
    pair_pass(p, WINDOW);
    asked += rill_unread(p->hub, no_space, room, rill_s("ann"), note_receipt,
                         NULL) == 0;
    pair_pass(p, WINDOW);
    failed = p->mem.calls >= p->mem.fail_at;
    p->mem.fail_at = 0;
    pair_pass(p, WINDOW);
    for (const char *at = kit_done; *at != '\0'; at++)
      answered += *at == ';';
    answered += kit_done[0] != '\0';
    assert_int_equal(answered, asked);
    set = strstr(kit_done, "ann 2/0") != NULL;
    kit_done[0] = '\0';
    if (!failed)
      assert_string_equal(heard(ann), "r ann:2");
    if (set)
      assert_string_equal(unread(p, "ann"), "ann 2/3 (1)");
    MUST(i < 1000);
    pair_reset(p);
    double_finish(&stored);
  }
  kit_begin(p); /* for the teardown */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      KIT_TEST(test_receipts_told_once_per_window),
      KIT_TEST(test_receipts_only_grow),
      KIT_TEST(test_receipts_end_at_the_newest),
      KIT_TEST(test_receipts_private),
      KIT_TEST(test_receipts_private_all),
      KIT_TEST(test_receipts_are_of_members),
      KIT_TEST(test_receipts_store_fails),
      KIT_TEST(test_receipts_wait_for_a_slow_store),
      KIT_TEST(test_receipts_busy_when_too_much_waits),
      KIT_TEST(test_receipts_converge),
      KIT_TEST(test_receipts_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
