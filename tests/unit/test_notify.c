/* What waits for a user: told to all devices, until one has seen it. */
#include "notify_kit.h"

static void ack(end *e, const char *what) {
  char text[200];

  snprintf(text, sizeof text,
           "{\"event\":\"notification:ack\",\"args\":[%s],\"id\":1}", what);
  say(e, text);
}

static void test_notify_tells_all_devices(void **state) {
  pair *p = *state;
  end *phone, *laptop, *other;

  kit_begin(p);
  phone = kit_open(p, "ann");
  laptop = kit_open(p, "ann");
  other = kit_open(p, "ben");
  assert_string_equal(heard(phone), "#0");
  assert_string_equal(heard(laptop), "#0");
  assert_string_equal(heard(other), "#0");
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  assert_string_equal(heard(phone), "a@1 n \"a\" (1); b@2 n \"b\" (2)");
  assert_string_equal(heard(laptop), "a@1 n \"a\" (1); b@2 n \"b\" (2)");
  assert_string_equal(heard(other), "");
  assert_string_equal(told(kit_done), "a@1 peers 2 cleared 0 (1); "
                                      "b@2 peers 2 cleared 0 (2)");
  assert_string_equal(kit_missed, "");
  assert_int_equal(pair_metrics(p).notified_total, 2);
  assert_int_equal(pair_metrics(p).inboxes, 2);
}

/* The event word for word; and without an id one is made up. */
static void test_notify_event_in_full(void **state) {
  pair *p = *state;
  const char *text;
  rill_builder *b;
  end *ann;

  kit_begin(p);
  ann = kit_open(p, "ann");
  said(ann);
  assert_int_equal(kit_notify_with(p, "ann", "a",
                                   (rill_notify_opts){.key = rill_s("k"),
                                                      .ttl_ms = 5000}),
                   0);
  pair_turn(p);
  assert_string_equal(
      said(ann), "{\"event\":\"notification\",\"args\":[{\"id\":\"a\","
                 "\"offset\":1,\"name\":\"n\",\"data\":\"a\","
                 "\"timestamp\":1000000,\"unread\":1,\"key\":\"k\","
                 "\"expires\":1005000}]}");
  assert_int_equal(rill_notify(p->hub, rill_s("ann"), "none", NULL, NULL), 0);
  pair_turn(p);
  text = said(ann);
  assert_non_null(strstr(text, "\"data\":null,"));
  assert_int_equal(strcspn(strstr(text, "\"id\":\"") + 6, "\""), RILL__SID);
  b = rill_build(p->hub);
  rill_put_int(b, 1);
  rill_put_text(b, "two");
  assert_int_equal(rill_notify(p->hub, rill_s("ann"), "two", b, NULL), 0);
  pair_turn(p);
  assert_non_null(strstr(said(ann), "\"data\":[1,\"two\"],"));
}

static void test_notify_waits_for_who_is_not_there(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  assert_string_equal(told(kit_done), "a@1 peers 0 cleared 0 (1); "
                                      "b@2 peers 0 cleared 0 (2)");
  assert_string_equal(told(kit_missed), "ann a n [\"a\"]; ann b n [\"b\"]");
  assert_int_equal(pair_metrics(p).inboxes, 0);
  ann = kit_open(p, "ann");
  assert_string_equal(heard(ann), "a@1 n \"a\" (2); b@2 n \"b\" (2); #2");
  assert_string_equal(kit_look(p, "ann"),
                      "a@1 n \"a\" (2); b@2 n \"b\" (2); #2");
  assert_string_equal(heard(ann), ""); /* once is enough */
  assert_string_equal(kit_missed, "");
}

static void test_notify_ack_clears_everywhere(void **state) {
  pair *p = *state;
  end *phone, *laptop;

  kit_begin(p);
  phone = kit_open(p, "ann");
  laptop = kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  heard(phone);
  heard(laptop);
  ack(phone, "{\"id\":\"a\"}");
  assert_string_equal(heard(phone),
                      "{\"ack\":1,\"args\":[{\"cleared\":1,\"unread\":1}]}");
  assert_string_equal(heard(laptop), "-a (1)");
  ack(laptop, "{\"id\":\"a\"}"); /* both at once is fine */
  assert_string_equal(heard(laptop),
                      "{\"ack\":1,\"args\":[{\"cleared\":0,\"unread\":1}]}");
  assert_string_equal(heard(phone), "");
  assert_string_equal(kit_look(p, "ann"), "b@2 n \"b\" (1); #1");
  assert_int_equal(pair_metrics(p).notify_acked_total, 1);
}

static void test_notify_ack_up_to(void **state) {
  pair *p = *state;
  end *phone, *laptop;

  kit_begin(p);
  phone = kit_open(p, "ann");
  laptop = kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  kit_notify(p, "ann", "c");
  heard(phone);
  heard(laptop);
  ack(phone, "{\"upTo\":2}");
  assert_string_equal(heard(phone),
                      "{\"ack\":1,\"args\":[{\"cleared\":2,\"unread\":1}]}");
  assert_string_equal(heard(laptop), "-<=2 (1)");
  ack(phone, "{\"upTo\":1}");
  assert_string_equal(heard(phone),
                      "{\"ack\":1,\"args\":[{\"cleared\":0,\"unread\":1}]}");
  /* nobody has seen what has not been written */
  ack(phone, "{\"upTo\":18446744073709551615}");
  assert_string_equal(heard(phone),
                      "{\"ack\":1,\"args\":[{\"cleared\":1,\"unread\":0}]}");
  assert_string_equal(heard(laptop), "-<=3 (0)");
  kit_notify(p, "ann", "d");
  assert_string_equal(heard(phone), "d@4 n \"d\" (1)");
  kit_restart(p);
  assert_string_equal(kit_look(p, "ann"), "d@4 n \"d\" (1); #1");
}

static void test_notify_counts_and_says_what_is_wrong(void **state) {
  pair *p = *state;
  end *ann, *nobody;

  kit_begin(p);
  ann = kit_open(p, "ann");
  nobody = kit_open(p, "");
  kit_notify(p, "ann", "a");
  heard(ann);
  say(ann, "{\"event\":\"notification:count\",\"id\":7}");
  assert_string_equal(heard(ann), "{\"ack\":7,\"args\":[{\"unread\":1}]}");
  say(nobody, "{\"event\":\"notification:count\",\"id\":7}");
  assert_non_null(strstr(heard(nobody), "\"code\":\"user\""));
  ack(ann, "{}");
  assert_non_null(strstr(heard(ann), "\"code\":\"notify\""));
  ack(ann, "{\"upTo\":-1}");
  assert_non_null(strstr(heard(ann), "\"cleared\":0"));
  ack(ann, "{\"id\":\"a\\u0000\"}");
  assert_non_null(strstr(heard(ann), "\"code\":\"notify\""));
}

static void test_notify_collapses(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  kit_collapse(p, "ann", "a", "mail");
  kit_notify(p, "ann", "b");
  kit_collapse(p, "ann", "c", "mail");
  ann = kit_open(p, "ann");
  assert_string_equal(heard(ann), "b@2 n \"b\" (2); c@3 n \"c\" (2); #2");
  kit_collapse(p, "ann", "d", "mail");
  kit_collapse(p, "ann", "e", "talk");
  assert_string_equal(heard(ann), "!c d@4 n \"d\" (2); e@5 n \"e\" (3)");
  ack(ann, "{\"id\":\"d\"}");
  heard(ann);
  kit_collapse(p, "ann", "f", "mail"); /* what is seen is not replaced */
  assert_string_equal(heard(ann), "f@6 n \"f\" (3)");
  kit_restart(p);
  assert_string_equal(kit_look(p, "ann"), "b@2 n \"b\" (3); e@5 n \"e\" (3); "
                                          "f@6 n \"f\" (3); #3");
}

static void test_notify_expires(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  ann = kit_open(p, "ann");
  assert_int_equal(
      kit_notify_with(p, "ann", "a", (rill_notify_opts){.ttl_ms = 1000}), 0);
  assert_int_equal(
      kit_notify_with(p, "ann", "b", (rill_notify_opts){.ttl_ms = 2000}), 0);
  assert_int_equal(kit_notify_with(p, "ann", "c",
                                   (rill_notify_opts){.ttl_ms = UINT64_MAX}),
                   0);
  pair_turn(p);
  heard(ann);
  pair_pass(p, 999 * RILL_MSEC);
  assert_string_equal(heard(ann), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(heard(ann), "-a (2)");
  end_bye(ann, 1000, "");
  pair_pass(p, 1000 * RILL_MSEC); /* nobody is there to see it go */
  assert_string_equal(kit_look(p, "ann"), "c@3 n \"c\" (1); #1");
  assert_int_equal(pair_metrics(p).notify_expired_total, 2);
  p->config.wall = NULL;
}

static void test_notify_pushes_out_the_oldest(void **state) {
  pair *p = *state;
  end *ann;

  p->config.limits.notify_count = 2;
  kit_begin(p);
  ann = kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  kit_notify(p, "ann", "c");
  assert_string_equal(heard(ann), "#0; a@1 n \"a\" (1); b@2 n \"b\" (2); "
                                  "-a (2); c@3 n \"c\" (2)");
  assert_int_equal(pair_metrics(p).limit_notify_count, 1);
  kit_restart(p);
  assert_string_equal(kit_look(p, "ann"), "b@2 n \"b\" (2); c@3 n \"c\" (2); "
                                          "#2");
  assert_int_equal(pair_metrics(p).limit_notify_count, 0);
}

static void test_notify_same_id_is_once(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  kit_notify(p, "ann", "a");
  ann = kit_open(p, "ann");
  heard(ann);
  told(kit_done);
  kit_notify(p, "ann", "a");
  assert_string_equal(told(kit_done), "a RILL_ERR_EXISTS");
  assert_string_equal(heard(ann), "");
  assert_int_equal(pair_metrics(p).notified_again_total, 1);
}

static void test_notify_missed_when_not_seen_in_time(void **state) {
  pair *p = *state;
  end *ann;

  double_init(&stored);
  kit_begin_with(p, 1000, false);
  ann = kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  kit_collapse(p, "ann", "c", "k");
  kit_collapse(p, "ann", "d", "k");
  assert_int_equal(pair_metrics(p).notify_waiting, 3);
  ack(ann, "{\"id\":\"a\"}");
  pair_pass(p, 999 * RILL_MSEC);
  assert_string_equal(kit_missed, "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(told(kit_missed),
                      "ann b n [\"b\"] there; ann d n [\"d\"] there");
  pair_pass(p, 5000 * RILL_MSEC);
  assert_string_equal(kit_missed, "");
  kit_notify(p, "ann", "e");
  end_bye(ann, 1000, "");
  pair_pass(p, 999 * RILL_MSEC); /* it may come back */
  assert_int_equal(pair_metrics(p).inboxes, 1);
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(told(kit_missed), "ann e n [\"e\"]");
  assert_int_equal(pair_metrics(p).inboxes, 0);
  assert_int_equal(pair_metrics(p).notify_missed_total, 3);
  assert_int_equal(pair_metrics(p).notify_waiting, 0);
}

/* What the host may ask is what clients may. */
static void test_notify_host_acknowledges(void **state) {
  pair *p = *state;
  rill_str no = {0}, ann_s = rill_s("ann");
  end *ann;

  kit_begin(p);
  ann = kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  kit_notify(p, "ann", "c");
  heard(ann);
  told(kit_done);
  assert_int_equal(
      rill_notify_ack(p->hub, no, ann_s, rill_s("b"), kit_notified, NULL), 0);
  assert_int_equal(rill_notify_count(p->hub, no, ann_s, kit_notified, NULL),
                   0);
  assert_string_equal(kit_done, ""); /* never within the call */
  pair_turn(p);
  assert_string_equal(heard(ann), "-b (2)");
  assert_int_equal(rill_notify_ack_to(p->hub, no, ann_s, 9, NULL, NULL), 0);
  pair_turn(p);
  assert_string_equal(heard(ann), "-<=3 (0)");
  assert_int_equal(rill_notify_count(p->hub, no, rill_s("who"), kit_notified,
                                     NULL),
                   0);
  pair_turn(p);
  assert_non_null(strstr(told(kit_done), "@0 peers 0 cleared 0 (0)"));
}

static void test_notify_refuses(void **state) {
  pair *p = *state;
  rill_notify_opts o = {0};
  rill_str ann = rill_s("ann");
  rill_builder *b;

  kit_begin(p);
  assert_int_equal(rill_notify(p->hub, rill_s(""), "n", NULL, NULL),
                   RILL_ERR_ARG);
  assert_int_equal(rill_notify(p->hub, rill_s("a\nb"), "n", NULL, NULL),
                   RILL_ERR_ARG);
  assert_int_equal(rill_notify(p->hub, ann, "connect", NULL, NULL),
                   RILL_ERR_ARG);
  o.key = rill_s("\xff");
  assert_int_equal(rill_notify(p->hub, ann, "n", NULL, &o), RILL_ERR_ARG);
  o = (rill_notify_opts){.space = rill_s("/other")}; /* not on there */
  assert_int_equal(rill_notify(p->hub, ann, "n", NULL, &o), RILL_ERR_STATE);
  o.space = rill_s("/nowhere");
  assert_int_equal(rill_notify(p->hub, ann, "n", NULL, &o), RILL_ERR_STATE);
  b = rill_build(p->hub);
  for (int i = 0; i < 31; i++)
    rill_put_array(b);
  for (int i = 0; i < 31; i++)
    rill_put_end(b);
  assert_int_equal(rill_builder_error(b), 0);
  assert_int_equal(rill_notify(p->hub, ann, "n", b, NULL), 0);
  b = rill_build(p->hub); /* one more would not fit into the event */
  for (int i = 0; i < 32; i++)
    rill_put_array(b);
  for (int i = 0; i < 32; i++)
    rill_put_end(b);
  assert_int_equal(rill_builder_error(b), 0);
  assert_int_equal(rill_notify(p->hub, ann, "n", b, NULL), RILL_ERR_TOO_BIG);
  b = rill_build(p->hub);
  for (uint32_t i = 0; i <= p->config.limits.attachments; i++)
    rill_put_bytes(b, "x", 1);
  assert_int_equal(rill_notify(p->hub, ann, "n", b, NULL), RILL_ERR_LIMIT);
  rill_put_end(b);
  assert_int_equal(rill_notify(p->hub, ann, "n", b, NULL), RILL_ERR_ARG);
  p->hub->wall = NULL;
  o = (rill_notify_opts){.ttl_ms = 1};
  assert_int_equal(rill_notify(p->hub, ann, "n", NULL, &o), RILL_ERR_STATE);
  kit_open(p, "ann");
  assert_int_equal(rill_notify_events(p->hub, "/other", NULL), 0);
  assert_int_equal(rill_notify_events(p->hub, "/other", NULL),
                   RILL_ERR_EXISTS);
  assert_int_equal(rill_notify_events(p->hub, "/nowhere", NULL),
                   RILL_ERR_NOT_FOUND);
}

static void test_notify_namespaces_are_apart(void **state) {
  pair *p = *state;
  rill_notify_opts tenant = {.space = rill_s("/t-1")};
  end *ann, *io;

  kit_begin(p);
  /* nobody has ever been in that one */
  assert_int_equal(kit_notify_with(p, "ann", "t", tenant), 0);
  pair_turn(p);
  ann = kit_open(p, "ann");
  assert_string_equal(heard(ann), "#0");
  io = pair_accept(p);
  end_hello(io, "/socket.io/?EIO=4&transport=websocket", "");
  end_took(io);
  end_text(io, "40/t-1,{\"token\":\"ann\"}");
  assert_string_equal(
      strchr(said(io), '\n') + 1,
      "42/t-1,[\"notification\",{\"id\":\"t\",\"offset\":1,\"name\":\"n\","
      "\"data\":\"t\",\"timestamp\":1000000,\"unread\":1}]\n"
      "42/t-1,[\"notification:count\",{\"unread\":1}]");
  end_text(io, "42/t-1,3[\"notification:ack\",{\"id\":\"t\"}]");
  assert_string_equal(said(io), "43/t-1,3[{\"cleared\":1,\"unread\":0}]");
  assert_string_equal(heard(ann), "");
}

/* Who is away is told again when it is back; in between others have seen. */
static void test_notify_again_after_recovery(void **state) {
  pair *p = *state;
  end *phone, *laptop, *again;
  char text[200];

  double_init(&stored);
  kit_begin_with(p, 0, true);
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  phone = kit_open(p, "ann");
  laptop = kit_open(p, "ann");
  heard(phone);
  end_eof(phone, 0);
  assert_int_equal(pair_metrics(p).away, 1);
  ack(laptop, "{\"id\":\"a\"}");
  kit_notify(p, "ann", "c");
  again = talk_connect(p, "/json", false);
  snprintf(text, sizeof text,
           "{\"open\":{\"token\":\"ann\"},\"resume\":\"%s\"}",
           talk_secret[phone->index]);
  talk_is(again, phone);
  say(again, text);
  assert_string_equal(heard(again), "b@2 n \"b\" (2); c@3 n \"c\" (2); #2");
  talk_give_up(p);
}

/* A queue that fills is not overrun: the rest comes when it has been read. */
static void test_notify_tells_as_the_queue_drains(void **state) {
  pair *p = *state;
  const char *all = "";
  end *ann;

  p->config.limits.soft_bytes = 400;
  p->config.limits.queue_bytes = 2000;
  kit_begin(p);
  for (int i = 0; i < 20; i++) {
    char id[8];
    snprintf(id, sizeof id, "i%d", i);
    kit_notify(p, "ann", id);
  }
  ann = talk_connect(p, "/json", false);
  ann->room = 0;
  say(ann, "{\"open\":{\"token\":\"ann\"}}");
  kit_notify(p, "ann", "live");
  assert_string_equal(heard(ann), "");
  pair_pass(p, 5000 * RILL_MSEC);
  assert_int_equal(ann->closed, 0);
  end_room(ann, SIZE_MAX);
  pair_pass(p, 1000 * RILL_MSEC);
  all = heard(ann);
  assert_int_equal(strncmp(all, "i0@1 n \"i0\" (2", 14), 0);
  assert_non_null(strstr(all, "i19@20 n \"i19\" (21); live@21 n \"live\" (21); "
                              "#21"));
  for (int i = 1; i <= 21; i++) {
    char at[8];
    snprintf(at, sizeof at, "@%d ", i);
    assert_non_null(strstr(all, at));
    assert_null(strstr(strstr(all, at) + 1, at));
  }
  assert_int_equal(ann->closed, 0);
}

/* What takes the place of one that was told comes with the rest: not both. */
static void test_notify_replaced_while_the_queue_drains(void **state) {
  static const rill_notify_opts opts = {.id = RILL_STR("new"),
                                        .key = RILL_STR("k")};
  rill_notify_opts first = opts;
  pair *p = *state;
  const char *all;
  end *ann, *tab;

  p->config.limits.soft_count = 2;
  kit_begin(p);
  first.id = rill_s("old");
  rill_notify(p->hub, rill_s("ann"), "n", talk_args(p, "1"), &first);
  kit_notify(p, "ann", "a");
  kit_notify(p, "ann", "b");
  kit_notify(p, "ann", "c");
  tab = kit_open(p, "ann");
  pair_pass(p, 100 * RILL_MSEC);
  pair_pass(p, 100 * RILL_MSEC);
  assert_string_equal(heard(tab), "old@1 n 1 (4); a@2 n \"a\" (4); "
                                  "b@3 n \"b\" (4); c@4 n \"c\" (4); #4");
  ann = talk_connect(p, "/json", false);
  ann->room = 120; /* the answer to "open" */
  say(ann, "{\"open\":{\"token\":\"ann\"}}");
  rill_notify(p->hub, rill_s("ann"), "n", talk_args(p, "2"), &opts);
  pair_pass(p, 0);
  assert_string_equal(heard(tab), "!old new@5 n 2 (4)");
  end_room(ann, SIZE_MAX);
  for (int i = 0; i < 5; i++)
    pair_pass(p, 100 * RILL_MSEC);
  all = heard(ann);
  assert_string_equal(all, "old@1 n 1 (4); a@2 n \"a\" (4); -old (4); "
                           "b@3 n \"b\" (4); c@4 n \"c\" (4); "
                           "new@5 n 2 (4); #4");
}

static void test_notify_waits_for_a_slow_store(void **state) {
  pair *p = *state;
  end *ann, *late;

  kit_begin(p);
  kit_notify(p, "ann", "a");
  stored.keeps = true;
  told(kit_done);
  ann = kit_open(p, "ann");
  kit_notify(p, "ann", "b"); /* while what there is is being read */
  ack(ann, "{\"id\":\"a\"}");
  assert_string_equal(heard(ann), "");
  assert_int_equal(stored.nkept, 2);
  double_let(&stored, 2);
  pair_turn(p);
  assert_string_equal(heard(ann), "a@1 n \"a\" (1); #1");
  late = kit_open(p, "ann"); /* while it is being written */
  assert_string_equal(heard(late), "a@1 n \"a\" (1); #1");
  double_let(&stored, 1);
  pair_turn(p);
  assert_string_equal(told(kit_done), "b@2 peers 2 cleared 0 (2)");
  assert_string_equal(heard(ann), "b@2 n \"b\" (2)");
  assert_string_equal(heard(late), "b@2 n \"b\" (2)");
  double_let(&stored, 1);
  pair_turn(p);
  assert_string_equal(heard(ann),
                      "{\"ack\":1,\"args\":[{\"cleared\":1,\"unread\":1}]}");
  assert_string_equal(heard(late), "-a (1)");
  kit_notify(p, "ann", "c");
  end_bye(ann, 1000, "");
  end_bye(late, 1000, "");
  double_let(&stored, 9);
  pair_turn(p);
  assert_string_equal(told(kit_missed), "ann a n [\"a\"]; ann c n [\"c\"]");
  assert_int_equal(pair_metrics(p).inboxes, 0);
}

/* The hub goes while the store has not answered. */
static void test_notify_ends_while_waiting(void **state) {
  pair *p = *state;

  kit_begin(p);
  stored.keeps = true;
  kit_open(p, "ann");
  kit_notify(p, "ann", "a"); /* waits for the loading */
  kit_notify(p, "ben", "b");
  double_let(&stored, 2);
  pair_turn(p);
  kit_notify(p, "ann", "c"); /* is being written */
  assert_int_equal(stored.nkept, 4);
  kit_restart(p);
  assert_string_equal(kit_look(p, "ann"), "#0");
}

static void test_notify_loading_fails(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  kit_notify(p, "ann", "a");
  told(kit_done);
  for (int kind = 0; kind < 2; kind++) {
    stored.fails = kind == 0 ? FAILS(READ) : FAILS(GET);
    ann = kit_open(p, "ann");
    assert_string_equal(heard(ann), "#error"); /* not "nothing" */
    kit_notify(p, "ann", "b");
    assert_string_equal(told(kit_done), "b RILL_ERR_IO");
    ack(ann, "{\"id\":\"a\"}");
    assert_non_null(strstr(heard(ann), "\"code\":\"store\""));
    pair_pass(p, 5000 * RILL_MSEC);
    assert_string_equal(heard(ann), ""); /* it has been told */
    stored.fails = 0;
    pair_pass(p, 1000 * RILL_MSEC);
    assert_string_equal(heard(ann), "a@1 n \"a\" (1); #1");
    end_bye(ann, 1000, "");
  }
  stored.fails = FAILS(READ);
  kit_notify(p, "ben", "c");
  assert_string_equal(told(kit_done), "c RILL_ERR_IO");
  assert_int_equal(pair_metrics(p).inboxes, 0);
}

static void test_notify_writing_fails(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  ann = kit_open(p, "ann");
  heard(ann);
  stored.fails = FAILS(APPEND);
  stored.status = RILL_ERR_FULL;
  kit_notify(p, "ann", "a");
  assert_string_equal(told(kit_done), "a RILL_ERR_FULL");
  assert_string_equal(heard(ann), "");
  stored.fails = 0;
  kit_notify(p, "ann", "a");
  assert_string_equal(heard(ann), "a@1 n \"a\" (1)");
}

/* Nobody can say whether it was written: the store is asked again. */
static void test_notify_written_though_it_failed(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p);
  kit_notify(p, "ann", "a");
  ann = kit_open(p, "ann");
  heard(ann);
  told(kit_done);
  stored.fails = FAILS(APPEND);
  stored.effect = true;
  kit_notify(p, "ann", "b");
  assert_string_equal(told(kit_done), "b RILL_ERR_IO");
  assert_string_equal(heard(ann), "#error"); /* all is told anew */
  stored.fails = 0;
  pair_pass(p, 1000 * RILL_MSEC);
  assert_string_equal(heard(ann), "a@1 n \"a\" (2); b@2 n \"b\" (2); #2");
  told(kit_done);
  kit_notify(p, "ann", "b"); /* as its writer would */
  assert_string_equal(told(kit_done), "b RILL_ERR_EXISTS");
}

static void test_notify_ack_fails(void **state) {
  pair *p = *state;
  end *ann, *other;

  kit_begin(p);
  ann = kit_open(p, "ann");
  other = kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  heard(ann);
  heard(other);
  stored.fails = FAILS(REMOVE) | FAILS(SET);
  stored.status = RILL_ERR_FULL;
  ack(ann, "{\"id\":\"a\"}");
  assert_non_null(strstr(heard(ann), "\"code\":\"store\""));
  ack(ann, "{\"upTo\":1}");
  assert_non_null(strstr(heard(ann), "\"code\":\"store\""));
  say(ann, "{\"event\":\"notification:ack\",\"args\":[{\"upTo\":1}]}");
  assert_non_null(strstr(heard(ann), "\"code\":\"store\"")); /* unasked too */
  assert_string_equal(heard(other), "");
  stored.fails = 0;
  assert_string_equal(kit_look(p, "ann"), "a@1 n \"a\" (1); #1");
  stored.fails = FAILS(SET);
  stored.status = RILL_ERR_IO;
  stored.effect = true;
  ack(ann, "{\"upTo\":1}"); /* it has been, though the client is told not */
  assert_non_null(strstr(heard(ann), "\"code\":\"store\""));
  stored.fails = 0;
  pair_pass(p, 1000 * RILL_MSEC);
  assert_string_equal(heard(ann), "#0");
  assert_string_equal(heard(other), "#error; #0");
}

/* on_missed waits on while the store is read again. */
static void test_notify_missed_after_doubt(void **state) {
  pair *p = *state;

  double_init(&stored);
  kit_begin_with(p, 3000, false);
  kit_open(p, "ann");
  kit_notify(p, "ann", "a");
  stored.fails = FAILS(APPEND);
  kit_notify(p, "ann", "b");
  stored.fails = 0;
  pair_pass(p, 2999 * RILL_MSEC);
  assert_string_equal(kit_missed, "");
  assert_int_equal(pair_metrics(p).notify_waiting, 1);
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(told(kit_missed), "ann a n [\"a\"] there");
  pair_pass(p, 9000 * RILL_MSEC);
  assert_string_equal(kit_missed, "");
  assert_int_equal(pair_metrics(p).notify_waiting, 0);
}

static void count_records(rill__work *w) {
  assert_int_equal(w->op.status, 0);
  *(size_t *)w->arg = w->op.nrecords;
}

/* How many records there are, whatever they mean. */
static size_t records_of(pair *p, const char *log) {
  size_t n = 0;
  int rv;
  rill__work *w = rill__work_new(p->hub, RILL_STORE_READ, rill_s(log),
                                 (rill_str){0}, (rill_str){0}, &rv);

  MUST(w != NULL);
  w->op.limit = 1000;
  w->done = count_records;
  w->arg = &n;
  rill__work_submit(w);
  pair_turn(p);
  return n;
}

/* What could not be removed is not there again after the next loading. */
static void test_notify_removal_may_fail(void **state) {
  pair *p = *state;

  p->config.limits.notify_count = 3;
  kit_begin(p);
  kit_notify(p, "ann", "old");
  stored.fails = FAILS(REMOVE);
  kit_collapse(p, "ann", "a", "k");
  kit_collapse(p, "ann", "b", "k");
  assert_int_equal(
      kit_notify_with(p, "ann", "x", (rill_notify_opts){.ttl_ms = 10}), 0);
  pair_turn(p);
  kit_collapse(p, "ann", "c", "k");
  pair_pass(p, 20 * RILL_MSEC);
  kit_restart(p);
  for (int i = 0; i < 2; i++) {
    assert_string_equal(kit_look(p, "ann"),
                        "old@1 n \"old\" (2); c@5 n \"c\" (2); #2");
    kit_restart(p);
    assert_int_equal(records_of(p, "notify\n/\nann"), 2);
  }
  for (int i = 0; i < 20; i++) { /* nor does it keep the store growing */
    char id[8];
    snprintf(id, sizeof id, "i%d", i);
    stored.fails = FAILS(REMOVE);
    kit_notify(p, "ann", id);
  }
  stored.fails = 0;
  assert_int_equal(records_of(p, "notify\n/\nann"), 6);
  assert_string_equal(kit_look(p, "ann"),
                      "i17@23 n \"i17\" (3); i18@24 n \"i18\" (3); "
                      "i19@25 n \"i19\" (3); #3");
}

static void test_notify_busy_when_too_much_waits(void **state) {
  pair *p = *state;
  end *ann;

  p->config.limits.store_pending = 4;
  kit_begin(p);
  ann = kit_open(p, "ann");
  heard(ann);
  stored.keeps = true;
  for (int i = 0; i < 4; i++)
    assert_int_equal(rill_notify(p->hub, rill_s("ann"), "n", NULL, NULL), 0);
  assert_int_equal(rill_notify(p->hub, rill_s("ann"), "n", NULL, NULL),
                   RILL_ERR_LIMIT);
  ack(ann, "{\"upTo\":1}");
  assert_non_null(strstr(heard(ann), "\"code\":\"busy\""));
  double_let(&stored, 4);
  pair_turn(p);
  stored.keeps = false;
  assert_string_equal(kit_look(p, "ann") + strlen(kit_look(p, "ann")) - 2,
                      "#4");
  assert_int_equal(pair_metrics(p).limit_store_pending, 2);
}

/* Many at once leave the store room for who writes, and none is left out. */
static void test_notify_many_come_back(void **state) {
  pair *p = *state;
  end *e[30];
  char name[8];

  p->config.limits.store_pending = 12;
  kit_begin(p);
  for (int i = 0; i < 30; i++) {
    snprintf(name, sizeof name, "u%d", i);
    kit_notify(p, name, "a");
  }
  stored.keeps = true;
  for (int i = 0; i < 30; i++) {
    snprintf(name, sizeof name, "u%d", i);
    e[i] = kit_open(p, name);
    pair_pass(p, 1 * RILL_MSEC);
  }
  assert_int_equal(stored.nkept, 6);
  assert_int_equal(rill_publish(p->hub, rill_s("r"), "e", NULL, NULL), 0);
  kit_notify(p, "who", "b");
  assert_int_equal(pair_metrics(p).limit_store_pending, 0);
  while (stored.nkept > 0) {
    double_let(&stored, 1);
    pair_pass(p, 10 * RILL_MSEC);
  }
  for (int i = 0; i < 30; i++)
    assert_string_equal(heard(e[i]), "a@1 n \"a\" (1); #1");
  assert_int_equal(pair_metrics(p).limit_store_pending, 0);
}

/* Streams are told too, and clear with a POST. */
static void test_notify_streams(void **state) {
  pair *p = *state;
  end *stream, *ann, *post;
  const char *text;

  kit_begin(p);
  kit_notify(p, "ann", "a");
  ann = kit_open(p, "ann");
  heard(ann);
  stream = talk_get(p, "/sse?token=ann", "");
  text = strstr(streamed(stream), "event: notification\n");
  assert_non_null(text);
  assert_non_null(strstr(text, "data: {\"id\":\"a\",\"offset\":1,"));
  assert_non_null(strstr(text, "event: notification:count\n"
                               "data: {\"unread\":1}\n"));
  post = talk_post(p, "/sse?token=ann", "{\"event\":\"notification:ack\","
                                        "\"args\":[{\"id\":\"a\"}],\"id\":1}");
  text = answered(post);
  assert_non_null(strstr(text, "\"cleared\":1"));
  assert_string_equal(heard(ann), "-a (0)");
  assert_non_null(strstr(streamed(stream), "event: notification:cleared\n"));
}

/* A model: what is not acknowledged, in order. */
typedef struct model {
  struct {
    unsigned n, key;
  } v[1000];
  size_t len;
} model;

static model world;

static void drop_at(size_t at) {
  memmove(&world.v[at], &world.v[at + 1],
          (world.len - at - 1) * sizeof world.v[0]);
  world.len--;
}

static void model_notified(rill_hub *hub, const rill_notified *n, void *arg) {
  unsigned id, key = (unsigned)(uintptr_t)arg;
  char text[16];

  assert_int_equal(n->status, 0);
  snprintf(text, sizeof text, "%.*s", (int)n->id.len, n->id.ptr);
  id = (unsigned)strtoul(text + 1, NULL, 10);
  for (size_t i = 0; key > 0 && i < world.len; i++)
    if (world.v[i].key == key) {
      drop_at(i);
      break;
    }
  world.v[world.len].n = id;
  world.v[world.len++].key = key;
  if (world.len > hub->config.limits.notify_count)
    drop_at(0);
  assert_int_equal(n->unread, world.len);
}

static void model_acked(rill_hub *hub, const rill_notified *n, void *arg) {
  unsigned id = (unsigned)(uintptr_t)arg;

  (void)hub;
  assert_int_equal(n->status, 0);
  for (size_t i = 0; i < world.len; i++)
    if (world.v[i].n == id) {
      drop_at(i);
      break;
    }
  assert_int_equal(n->unread, world.len);
}

/* Up to the offset, which is the id. */
static void model_acked_to(rill_hub *hub, const rill_notified *n, void *arg) {
  unsigned id = (unsigned)(uintptr_t)arg;

  (void)hub;
  assert_int_equal(n->status, 0);
  while (world.len > 0 && world.v[0].n <= id)
    drop_at(0);
  assert_int_equal(n->unread, world.len);
}

static void model_step(pair *p, uint64_t r, unsigned *next) {
  rill_str no = {0}, ann = rill_s("ann");
  unsigned some = *next > 0 ? (unsigned)(r >> 20) % *next + 1 : 1;
  unsigned key = (unsigned)(r >> 40) % 4;
  void *arg = (void *)(uintptr_t)some;
  char id[16], k[8];

  snprintf(id, sizeof id, "i%u", r % 8 < 4 ? *next + 1 : some);
  snprintf(k, sizeof k, "k%u", key);
  if (r % 8 < 4) {
    rill_notify_opts opts = {.id = rill_s(id),
                             .key = key > 0 ? rill_s(k) : no,
                             .done = model_notified,
                             .arg = (void *)(uintptr_t)key};
    ++*next;
    assert_int_equal(rill_notify(p->hub, ann, "n", NULL, &opts), 0);
  } else if (r % 8 < 6) {
    assert_int_equal(
        rill_notify_ack(p->hub, no, ann, rill_s(id), model_acked, arg), 0);
  } else if (r % 8 == 6 && some + 6 < *next) {
    assert_int_equal(
        rill_notify_ack_to(p->hub, no, ann, some, model_acked_to, arg), 0);
  }
}

/* With a store that answers late, peers that come and go, and restarts. */
static void test_notify_converges(void **state) {
  pair *p = *state;
  uint64_t seed = 77;
  char want[8192], one[64];
  unsigned next = 0;

  p->config.limits.notify_count = 8;
  kit_begin(p);
  memset(&world, 0, sizeof world);
  for (int round = 0; round < 60; round++) {
    end *e = NULL;
    stored.keeps = true;
    for (int i = 0; i < 30; i++) {
      uint64_t r = xorshift(&seed) >> 3;
      model_step(p, r, &next);
      if (r % 11 == 0 && e == NULL)
        e = kit_open(p, "ann");
      if (r % 13 == 0 && e != NULL) {
        end_bye(e, 1000, "");
        e = NULL;
      }
      double_let(&stored, (size_t)(r >> 50) % 4);
      pair_turn(p);
    }
    while (stored.nkept > 0) {
      double_let(&stored, 1);
      pair_turn(p);
    }
    stored.keeps = false;
    want[0] = '\0';
    for (size_t i = 0; i < world.len; i++) {
      snprintf(one, sizeof one, "i%u@%u n null (%zu)", world.v[i].n,
               world.v[i].n, world.len);
      kit_add(want, sizeof want, "%s", one);
    }
    kit_add(want, sizeof want, "#%zu", world.len);
    assert_string_equal(kit_look(p, "ann"), want);
    kit_restart(p);
    assert_string_equal(kit_look(p, "ann"), want);
  }
  assert_true(next > 500);
}

/* Notifies of |id|; what came of it is in kit_done, now or later. */
static unsigned may_notify(pair *p, const char *id, const char *key) {
  rill_notify_opts opts = {.key = rill_s(key), .ttl_ms = 100000};
  int rv = kit_notify_with(p, "ann", id, opts);

  MUST(rv == 0 || rv == RILL_ERR_NOMEM);
  pair_turn(p);
  return rv == 0;
}

static void note_ack(rill_hub *hub, const rill_notified *n, void *arg) {
  (void)hub;
  (void)arg;
  kit_add(kit_done, sizeof kit_done, "acked %d",
          n->status == 0 ? (int)n->cleared : n->status);
}

/*
 * Each allocation fails in turn: every request is answered once, and what
 * was answered with 0 is true.
 */
static void test_notify_without_memory(void **state) {
  pair *p = *state;
  bool failed = true;

  for (uint64_t i = 1; failed; i++) {
    unsigned asked = 0, answered = 0;
    bool a, b, cleared;
    const char *look;
    end *ann;

    double_init(&stored);
    kit_begin_with(p, 1000, false);
    ann = kit_open(p, "ann");
    heard(ann);
    p->mem.fail_at = p->mem.calls + i;
    asked += may_notify(p, "a", "");
    asked += may_notify(p, "b", "k");
    asked += may_notify(p, "c", "k");
    asked += rill_notify_ack(p->hub, (rill_str){0}, rill_s("ann"), rill_s("a"),
                             note_ack, NULL) == 0;
    pair_pass(p, 3000 * RILL_MSEC);
    failed = p->mem.calls >= p->mem.fail_at;
    p->mem.fail_at = 0;
    pair_pass(p, 3000 * RILL_MSEC);
    for (const char *at = kit_done; *at != '\0'; at++)
      answered += *at == ';';
    answered += kit_done[0] != '\0';
    assert_int_equal(answered, asked);
    a = strstr(kit_done, "a@") != NULL;
    cleared = strstr(kit_done, "acked 1") != NULL;
    b = strstr(kit_done, "c@") != NULL;
    if (ann->conn != NULL) { /* it has missed nothing */
      look = heard(ann);
      assert_int_equal(strstr(look, "a@") != NULL, a);
      assert_int_equal(strstr(look, "c@") != NULL, b);
    }
    look = kit_look(p, "ann");
    assert_int_equal(strstr(look, "a@") != NULL, a && !cleared);
    assert_int_equal(strstr(look, "c@") != NULL, b);
    if (b) /* it took the place of the other */
      assert_null(strstr(look, "b@"));
    assert_non_null(strchr(look, '#'));
    if (!failed)
      assert_string_equal(look, "c@3 n \"c\" (1); #1");
    MUST(i < 1000);
    pair_reset(p);
    double_finish(&stored);
  }
}

/* A peer that opens is told of all, at once or later, or is closed. */
static void test_notify_opened_without_memory(void **state) {
  pair *p = *state;
  bool failed = true;

  for (uint64_t i = 1; failed; i++) {
    size_t from;
    end *ann;

    kit_begin(p);
    kit_notify(p, "ann", "a");
    ann = talk_connect(p, "/json", false);
    talk_put(ann, "{\"open\":{\"token\":\"ann\"}}");
    from = ann->fed;
    ann->fed = ann->tx.len;
    end_feed(ann, ann->tx.data + from, ann->fed - from);
    assert_int_equal(ann->opened, 1);
    p->mem.fail_at = p->mem.calls + i;
    pair_pass(p, 500 * RILL_MSEC);
    failed = p->mem.calls >= p->mem.fail_at;
    p->mem.fail_at = 0;
    pair_pass(p, 3000 * RILL_MSEC);
    if (ann->conn != NULL)
      assert_non_null(strstr(heard(ann), "a@1 n \"a\" (1); #1"));
    MUST(i < 1000);
    pair_reset(p);
    double_finish(&stored);
  }
  kit_begin(p); /* for the teardown */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      KIT_TEST(test_notify_tells_all_devices),
      KIT_TEST(test_notify_event_in_full),
      KIT_TEST(test_notify_waits_for_who_is_not_there),
      KIT_TEST(test_notify_ack_clears_everywhere),
      KIT_TEST(test_notify_ack_up_to),
      KIT_TEST(test_notify_counts_and_says_what_is_wrong),
      KIT_TEST(test_notify_collapses),
      KIT_TEST(test_notify_expires),
      KIT_TEST(test_notify_pushes_out_the_oldest),
      KIT_TEST(test_notify_same_id_is_once),
      KIT_TEST(test_notify_missed_when_not_seen_in_time),
      KIT_TEST(test_notify_host_acknowledges),
      KIT_TEST(test_notify_refuses),
      KIT_TEST(test_notify_namespaces_are_apart),
      KIT_TEST(test_notify_again_after_recovery),
      KIT_TEST(test_notify_tells_as_the_queue_drains),
      KIT_TEST(test_notify_replaced_while_the_queue_drains),
      KIT_TEST(test_notify_waits_for_a_slow_store),
      KIT_TEST(test_notify_ends_while_waiting),
      KIT_TEST(test_notify_loading_fails),
      KIT_TEST(test_notify_writing_fails),
      KIT_TEST(test_notify_written_though_it_failed),
      KIT_TEST(test_notify_ack_fails),
      KIT_TEST(test_notify_missed_after_doubt),
      KIT_TEST(test_notify_removal_may_fail),
      KIT_TEST(test_notify_busy_when_too_much_waits),
      KIT_TEST(test_notify_many_come_back),
      KIT_TEST(test_notify_streams),
      KIT_TEST(test_notify_converges),
      KIT_TEST(test_notify_without_memory),
      KIT_TEST(test_notify_opened_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
