/* test_history.c - what rooms keep, for those who come back. */
#include "talk.h"

/* What a reader of |path| gets who has been there until |offset|. */
static const char *since(pair *p, const char *path, unsigned offset) {
  static char text[20000];
  char header[64];
  const char *at;
  end *e;

  snprintf(header, sizeof header, "Last-Event-ID: %.8s-%u\r\n", p->hub->epoch,
           offset);
  e = talk_get(p, path, header);
  snprintf(text, sizeof text, "%s", streamed(e));
  at = strstr(text, "\"recovered\":");
  assert_non_null(at);
  end_eof(e, 0);
  pair_log(p);
  return at + strlen("\"recovered\":");
}

/* "true 2 3": whether it is all, and the data of each event. */
static const char *numbers(const char *text) {
  static char out[20000];
  size_t n = (size_t)snprintf(out, sizeof out, "%s",
                              text[0] == 't' ? "true" : "false");

  while ((text = strstr(text, "data: ")) != NULL) {
    text += 6;
    n += (size_t)snprintf(out + n, sizeof out - n, " %.*s",
                          (int)strcspn(text, "\n"), text);
  }
  return out;
}

static void emit_number(pair *p, const char *room, int i) {
  char json[16];

  snprintf(json, sizeof json, "%d", i);
  talk_emit(p, room, "n", json);
}

static void emit_numbers(pair *p, const char *room, int from, int to) {
  for (int i = from; i <= to; i++)
    emit_number(p, room, i);
}

static void keeping(pair *p, rill_room_opts opts) {
  talk_begin(p);
  assert_int_equal(rill_room_defaults(p->hub, "h*", &opts), 0);
  end_eof(talk_sse(p, "/sse"), 0); /* somebody has been here */
}

static void test_history_keeps_so_many(void **state) {
  pair *p = *state;

  keeping(p, (rill_room_opts){.history = 3});
  emit_numbers(p, "h", 1, 3);
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "true 1 2 3");
  assert_int_equal(pair_metrics(p).limit_history_count, 0);
  emit_number(p, "h", 4);
  assert_int_equal(pair_metrics(p).limit_history_count, 1);
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "false 2 3 4");
  assert_string_equal(numbers(since(p, "/sse/h", 1)), "true 2 3 4");
  assert_string_equal(numbers(since(p, "/sse/h", 4)), "true");
  emit_numbers(p, "h", 5, 9);
  assert_string_equal(numbers(since(p, "/sse/h", 5)), "false 7 8 9");
  assert_string_equal(numbers(since(p, "/sse/h", 6)), "true 7 8 9");
}

static void test_history_is_a_circle_that_grows(void **state) {
  pair *p = *state;
  char expected[200] = "true";

  keeping(p, (rill_room_opts){.history = 30});
  emit_numbers(p, "h", 1, 5);
  for (int i = 6; i <= 100; i++) {
    emit_number(p, "h", i);
    if (i % 7 == 0)
      assert_memory_equal(since(p, "/sse/h", (unsigned)(i < 30 ? 0 : i - 30)),
                          "true", 4);
  }
  for (int i = 71; i <= 100; i++)
    snprintf(expected + strlen(expected), 8, " %d", i);
  assert_string_equal(numbers(since(p, "/sse/h", 70)), expected);
}

static uint64_t size_of_one(pair *p) {
  uint64_t size;

  emit_number(p, "h", 0);
  size = pair_metrics(p).history_bytes;
  assert_true(size > 0);
  pair_jump(p, 10 * RILL_SEC);
  assert_int_equal(pair_metrics(p).history_bytes, 0);
  return size;
}

static void test_history_keeps_so_many_bytes(void **state) {
  pair *p = *state;

  keeping(p, (rill_room_opts){.history = 100, .history_ms = 1000});
  {
    uint32_t size = (uint32_t)size_of_one(p);
    rill_room_opts exact = {.history = 100, .history_bytes = 3 * size};
    rill_room_opts short_ = {.history = 100, .history_bytes = 3 * size - 1};
    rill_room_opts none = {.history = 100, .history_bytes = size - 1};
    assert_int_equal(rill_room_defaults(p->hub, "h3", &exact), 0);
    assert_int_equal(rill_room_defaults(p->hub, "h2", &short_), 0);
    assert_int_equal(rill_room_defaults(p->hub, "h0", &none), 0);
  }
  emit_numbers(p, "h3", 2, 4); /* offset 1 was to measure */
  assert_string_equal(numbers(since(p, "/sse/h3", 1)), "true 2 3 4");
  emit_number(p, "h3", 5);
  assert_string_equal(numbers(since(p, "/sse/h3", 1)), "false 3 4 5");
  assert_string_equal(numbers(since(p, "/sse/h3", 2)), "true 3 4 5");
  emit_numbers(p, "h2", 6, 8);
  assert_string_equal(numbers(since(p, "/sse/h2", 5)), "false 7 8");
  assert_string_equal(numbers(since(p, "/sse/h2", 6)), "true 7 8");
  emit_number(p, "h0", 9); /* more than it may keep at all */
  assert_string_equal(numbers(since(p, "/sse/h0", 8)), "false");
  assert_string_equal(numbers(since(p, "/sse/h0", 9)), "true");
  assert_int_equal(pair_metrics(p).limit_history_count, 0);
  assert_true(pair_metrics(p).limit_history_bytes >= 2);
}

/* What is too big to be kept leaves no hole between its neighbours. */
static void test_history_has_no_hole(void **state) {
  pair *p = *state;
  char json[600];

  keeping(p, (rill_room_opts){.history = 10, .history_bytes = 500});
  talk_sse(p, "/sse/h");
  emit_numbers(p, "h", 1, 2);
  memset(json, '7', sizeof json);
  json[0] = json[598] = '"';
  json[599] = '\0';
  talk_emit(p, "h", "n", json);
  emit_numbers(p, "h", 4, 5);
  assert_string_equal(numbers(since(p, "/sse/h", 1)), "false 4 5");
  assert_string_equal(numbers(since(p, "/sse/h", 3)), "true 4 5");
}

static void test_history_forgets_with_time(void **state) {
  pair *p = *state;

  keeping(p, (rill_room_opts){.history = 10, .history_ms = 1000});
  talk_sse(p, "/sse/h");
  emit_number(p, "h", 1);
  pair_pass(p, 500 * RILL_MSEC);
  emit_number(p, "h", 2);
  pair_pass(p, 400 * RILL_MSEC);
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "true 1 2");
  pair_pass(p, 400 * RILL_MSEC); /* the sweep comes every 250 ms */
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "false 2");
  assert_string_equal(numbers(since(p, "/sse/h", 1)), "true 2");
  pair_pass(p, 500 * RILL_MSEC);
  assert_string_equal(numbers(since(p, "/sse/h", 1)), "false");
  assert_string_equal(numbers(since(p, "/sse/h", 2)), "true");
  assert_int_equal(pair_metrics(p).history_bytes, 0);
  assert_int_equal(pair_metrics(p).limit_history_ms, 2);
  emit_number(p, "h", 3); /* it goes on after that */
  assert_string_equal(numbers(since(p, "/sse/h", 2)), "true 3");
}

static void test_history_room_lives_on_without_members(void **state) {
  pair *p = *state;

  keeping(p, (rill_room_opts){.history = 10, .history_ms = 1000});
  emit_number(p, "h1", 1);
  emit_number(p, "other", 1);
  assert_int_equal(pair_metrics(p).rooms, 1);
  assert_string_equal(numbers(since(p, "/sse/h1", 0)), "true 1");
  assert_int_equal(pair_metrics(p).rooms, 1);
  pair_pass(p, 1300 * RILL_MSEC);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_int_equal(pair_metrics(p).history_bytes, 0);
  /* its name does not hide what it has forgotten */
  assert_string_equal(numbers(since(p, "/sse/h1", 0)), "false");
  assert_string_equal(numbers(since(p, "/sse/h1", 1)), "true");
  assert_int_equal(pair_metrics(p).rooms, 0);
}

static void test_history_room_goes_with_its_last_member(void **state) {
  pair *p = *state;
  end *e;

  keeping(p, (rill_room_opts){.history = 10, .history_ms = 1000});
  e = talk_sse(p, "/sse/h1");
  emit_number(p, "h1", 1);
  pair_pass(p, 2 * RILL_SEC); /* nothing is in it, but somebody is */
  assert_int_equal(pair_metrics(p).rooms, 1);
  end_eof(e, 0);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_string_equal(numbers(since(p, "/sse/h1", 0)), "false");
}

static void test_history_too_big_leaves_no_room_behind(void **state) {
  pair *p = *state;

  keeping(p, (rill_room_opts){.history = 10, .history_bytes = 1});
  emit_number(p, "h1", 1);
  pair_pass(p, 2 * RILL_SEC);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_string_equal(numbers(since(p, "/sse/h1", 0)), "false");
}

/* A durable room keeps what is published, so nothing of this. */
static void test_history_of_emits_leaves_no_durable_room(void **state) {
  pair *p = *state;
  const rill_room_opts opts = {.history = 5, .durable = true};

  talk_begin(p);
  assert_int_equal(rill_room_defaults(p->hub, "d*", &opts), 0);
  talk_emit(p, "d1", "n", "1");
  pair_turn(p);
  assert_int_equal(pair_metrics(p).rooms, 0);
}

static void test_history_of_several_rooms_is_one_story(void **state) {
  pair *p = *state;
  const rill_str both[] = {RILL_STR("ha"), RILL_STR("hb")};
  const rill_str far[] = {RILL_STR("hb"), RILL_STR("hc")};

  keeping(p, (rill_room_opts){.history = 10});
  emit_number(p, "ha", 1);
  emit_number(p, "hb", 2);
  emit_number(p, "hc", 3);
  assert_int_equal(rill_emit(p->hub, &(rill_to){.rooms = both, .nrooms = 2},
                             "n", talk_args(p, "4"), NULL),
                   0);
  emit_number(p, "ha", 5);
  assert_int_equal(rill_emit(p->hub, &(rill_to){.rooms = far, .nrooms = 2}, "n",
                             talk_args(p, "6"), NULL),
                   0);
  emit_number(p, "hb", 7);
  assert_string_equal(numbers(since(p, "/sse/ha?room=hb", 0)),
                      "true 1 2 4 5 6 7");
  assert_string_equal(numbers(since(p, "/sse?room=hb&room=hc", 2)),
                      "true 3 4 6 7");
  assert_string_equal(numbers(since(p, "/sse/ha", 4)), "true 5");
}

static void test_history_total_is_limited(void **state) {
  pair *p = *state;
  uint32_t size;

  keeping(p, (rill_room_opts){.history = 10, .history_ms = 1000});
  size = (uint32_t)size_of_one(p);
  pair_reset(p);
  p->config.limits.history_total_bytes = 3 * size;
  keeping(p, (rill_room_opts){.history = 10, .history_ms = 1000});
  emit_number(p, "ha", 1);
  emit_number(p, "hb", 2);
  emit_number(p, "ha", 3);
  assert_int_equal(pair_metrics(p).history_bytes, 3 * size);
  assert_string_equal(numbers(since(p, "/sse/ha?room=hb", 0)), "true 1 2 3");
  emit_number(p, "hb", 4); /* it is not kept, so nothing before it is */
  assert_int_equal(pair_metrics(p).limit_history_total_bytes, 1);
  assert_string_equal(numbers(since(p, "/sse/hb", 2)), "false");
  assert_string_equal(numbers(since(p, "/sse/ha", 0)), "true 1 3");
  emit_number(p, "hb", 5); /* there is room again */
  assert_string_equal(numbers(since(p, "/sse/hb", 4)), "true 5");
}

static void test_history_before_the_first_conn(void **state) {
  pair *p = *state;

  talk_begin(p);
  assert_int_equal(
      rill_room_defaults(p->hub, "h*", &(rill_room_opts){.history = 9}), 0);
  pair_tick(p, p->hub); /* it must know the time */
  emit_numbers(p, "h", 1, 2);
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "true 1 2");
  emit_number(p, "h", 3);
  assert_string_equal(numbers(since(p, "/sse/h", 1)), "true 2 3");
  assert_int_equal(pair_metrics(p).rooms, 1);
}

static void no_answer(rill_hub *hub, const rill_answers *a, void *arg) {
  (void)hub;
  (void)a;
  (void)arg;
}

static void test_history_of_some_events_is_not_kept(void **state) {
  pair *p = *state;
  const rill_str room = RILL_STR("h");
  const rill_emit_opts opts[] = {{.is_volatile = true},
                                 {.on_answers = no_answer},
                                 {.key = RILL_STR("k")},
                                 {.uncompressed = true},
                                 {.overflow = RILL_DROP_NEWEST}};

  keeping(p, (rill_room_opts){.history = 9});
  for (size_t i = 0; i < sizeof opts / sizeof *opts; i++)
    assert_int_equal(rill_emit_room(p->hub, room, "n",
                                    talk_args(p, (const char *[]){"0", "1", "2",
                                                                  "3", "4"}[i]),
                                    &opts[i]),
                     0);
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "true 2 3 4");
}

static void test_history_keeps_messages_too(void **state) {
  pair *p = *state;
  const rill_msg text = rill_text("a\nb");
  const rill_msg binary = {.data = "\0\1\2", .len = 3, .kind = RILL_BINARY};
  const char *told;

  keeping(p, (rill_room_opts){.history = 9});
  assert_int_equal(rill_send_room(p->hub, rill_s("h"), &text), 0);
  assert_int_equal(rill_send_room(p->hub, rill_s("h"), &binary), 0);
  told = since(p, "/sse/h", 0);
  assert_non_null(strstr(told, "true}\n\n"));
  assert_non_null(strstr(told, "id: EPOCH-1\n"));
  assert_non_null(strstr(told, "\ndata: {\"$bytes\":\"AAEC\"}\n\n"));
}

static void test_history_events_come_back_as_they_were(void **state) {
  static const char *const values[] = {"null",
                                       "true",
                                       "-1",
                                       "9007199254740993",
                                       "18446744073709551615",
                                       "-9223372036854775808",
                                       "0.1",
                                       "1e+300",
                                       "\"\"",
                                       "\"\\u0000\\\"\\\\\"",
                                       "[]",
                                       "{}",
                                       "[1,[2,{\"a\":[]}]]",
                                       "{\"\":null}"};
  pair *p = *state;
  char expected[200], live[200];
  end *e;

  keeping(p, (rill_room_opts){.history = 50});
  e = talk_sse(p, "/sse/h");
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    talk_emit(p, "h", "n", values[i]);
    pair_turn(p);
    snprintf(live, sizeof live, "%s", streamed(e));
    snprintf(expected, sizeof expected, "event: n\nid: EPOCH-%zu\ndata: %s\n\n",
             i + 1, values[i]);
    assert_string_equal(live, expected);
    assert_non_null(strstr(since(p, "/sse/h", (unsigned)i), live));
  }
}

/* A peer that was excepted is so when it comes back, and its room too. */
static void test_history_remembers_who_is_excepted(void **state) {
  pair *p = *state;
  const rill_str room = RILL_STR("r"), quiet = RILL_STR("quiet");
  char text[100];
  end *a, *b;

  talk_begin_recovering(p);
  a = talk_connect(p, "/json", false);
  say(a, "{\"open\":{}}");
  said(a);
  snprintf(text, sizeof text, "{\"open\":{},\"resume\":\"%s\"}",
           talk_secret[a->index]);
  assert_int_equal(rill_join(a->peer, room), 0);
  assert_int_equal(rill_join(a->peer, quiet), 0);
  end_eof(a, 0);
  emit_number(p, "r", 1);
  assert_int_equal(rill_emit_others(a->peer, room, "n", NULL, NULL), 0);
  assert_int_equal(rill_emit(p->hub,
                             &(rill_to){.rooms = &room,
                                        .nrooms = 1,
                                        .except_rooms = &quiet,
                                        .nexcept_rooms = 1},
                             "n", NULL, NULL),
                   0);
  assert_int_equal(rill_emit_all(p->hub, "all", NULL, NULL), 0);
  assert_int_equal(rill_emit_peer(a->peer, "you", NULL, NULL), 0);
  emit_number(p, "quiet", 6);
  b = talk_connect(p, "/json", false);
  say(b, text);
  assert_string_equal(said(b),
                      "{\"open\":\"*\",\"session\":\"*\",\"recovered\":true}\n"
                      "{\"event\":\"n\",\"args\":[1],\"room\":\"r\","
                      "\"offset\":\"EPOCH-1\"}\n"
                      "{\"event\":\"all\",\"args\":[],\"offset\":\"EPOCH-4\"}\n"
                      "{\"event\":\"you\",\"args\":[],\"offset\":\"EPOCH-5\"}\n"
                      "{\"event\":\"n\",\"args\":[6],\"room\":\"quiet\","
                      "\"offset\":\"EPOCH-6\"}");
  talk_is(b, a);
  talk_give_up(p);
  pair_pass(p, p->config.limits.history_ms * RILL_MSEC + RILL_SEC);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_int_equal(pair_metrics(p).history_bytes, 0);
}

static void test_history_of_a_user_is_of_its_peers(void **state) {
  pair *p = *state;
  char text[100];
  end *a, *b;

  talk_begin_recovering(p);
  a = talk_json(p);
  snprintf(text, sizeof text, "{\"open\":{},\"resume\":\"%s\"}",
           talk_secret[a->index]);
  end_eof(a, 0);
  /* a peer, twice, and all: once */
  assert_int_equal(
      rill_emit(p->hub,
                &(rill_to){.all = true,
                           .peers = (rill_peer[]){a->peer, a->peer},
                           .npeers = 2},
                "n", NULL, NULL),
      0);
  b = talk_connect(p, "/json", false);
  say(b, text);
  assert_string_equal(said(b),
                      "{\"open\":\"*\",\"session\":\"*\",\"recovered\":true}\n"
                      "{\"event\":\"n\",\"args\":[],\"offset\":\"EPOCH-1\"}");
  talk_is(b, a);
  talk_give_up(p);
}

static void test_history_rules_change_for_rooms_that_are(void **state) {
  pair *p = *state;

  keeping(p, (rill_room_opts){.history = 5});
  talk_sse(p, "/sse/h");
  emit_numbers(p, "h", 1, 5);
  assert_int_equal(
      rill_room_defaults(p->hub, "h", &(rill_room_opts){.history = 2}), 0);
  emit_number(p, "h", 6);
  assert_string_equal(numbers(since(p, "/sse/h", 0)), "false 5 6");
  assert_int_equal(
      rill_room_defaults(p->hub, "h", &(rill_room_opts){.history = 4}), 0);
  emit_numbers(p, "h", 7, 8);
  assert_string_equal(numbers(since(p, "/sse/h", 4)), "true 5 6 7 8");
  /* what is sent while it keeps nothing is lost, and known to be */
  assert_int_equal(rill_room_defaults(p->hub, "h", &(rill_room_opts){0}), 0);
  emit_number(p, "h", 9);
  assert_memory_equal(since(p, "/sse/h", 8), "false", 5);
  assert_int_equal(
      rill_room_defaults(p->hub, "h", &(rill_room_opts){.history = 4}), 0);
  assert_memory_equal(since(p, "/sse/h", 8), "false", 5);
}

/* Held back, and in the ring: whoever comes meanwhile gets it once. */
static void test_history_and_batches_tell_once(void **state) {
  pair *p = *state;
  const char *text;
  char header[64];
  end *e;

  keeping(p, (rill_room_opts){.history = 5, .batch_ms = 100});
  talk_sse(p, "/sse/h");
  emit_number(p, "h", 1);
  snprintf(header, sizeof header, "Last-Event-ID: %.8s-0\r\n", p->hub->epoch);
  e = talk_get(p, "/sse/h", header);
  pair_pass(p, RILL_SEC);
  text = strstr(streamed(e), "event: n\n");
  assert_non_null(text);
  assert_null(strstr(text + 1, "event: n\n"));
}

static bool reads(const pair *p, const void *text, size_t len, uint64_t *n) {
  char *exact = malloc(len + (len == 0));
  bool ok;

  MUST(exact != NULL);
  memcpy(exact, text, len);
  ok = rill__offset_read(p->hub, (rill_str){exact, len}, n);
  free(exact);
  return ok;
}

static void test_history_offsets_are_read_strictly(void **state) {
  static const char *const wrong[] = {"",
                                      "-",
                                      "-x",
                                      "-1x",
                                      "--1",
                                      "-+1",
                                      "- 1",
                                      "-1 ",
                                      "1",
                                      "_1",
                                      "-1-",
                                      "-100",
                                      "-18446744073709551616",
                                      "-99999999999999999999",
                                      "-0x1"};
  pair *p = *state;
  char text[RILL__OFFSET_MAX];
  uint64_t n = 7;
  size_t len;

  talk_begin(p);
  talk_sse(p, "/sse");
  p->hub->offset = 99;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    len =
        (size_t)snprintf(text, sizeof text, "%.8s%s", p->hub->epoch, wrong[i]);
    assert_false(reads(p, text, len, &n));
  }
  assert_int_equal(n, 7);
  for (uint64_t i = 0; i <= 99; i++) {
    len = rill__offset_write(p->hub, i, text);
    assert_true(reads(p, text, len, &n));
    assert_int_equal(n, i);
    for (size_t cut = 0; cut < 10; cut++)
      assert_false(reads(p, text, cut < len - 1 ? cut : 0, &n));
  }
  text[0] ^= 1;
  assert_false(reads(p, text, len, &n));
  p->hub->offset = UINT64_MAX;
  len = rill__offset_write(p->hub, UINT64_MAX / 2, text);
  assert_int_equal(len, 9 + 19);
  assert_true(reads(p, text, len, &n));
  assert_int_equal(n, UINT64_MAX / 2);
  assert_true(rill__offset_write(p->hub, UINT64_MAX, text) <= RILL__OFFSET_MAX);
}

/* Rooms, rings and peers of three kinds against a plain list. */
static void test_history_tells_what_a_list_would(void **state) {
  pair *p = *state;
  static const char *const rooms[] = {"ha", "hb", "hc"};
  unsigned seen[400];
  char path[40], expected[4000];

  p->config.limits.idle_ms = RILL_UNLIMITED;
  keeping(p, (rill_room_opts){.history = 400});
  for (unsigned i = 1; i < 400; i++) {
    seen[i] = (unsigned)(xorshift(&p->seed) >> 8) % 7 + 1; /* which rooms */
    {
      rill_str names[3];
      size_t n = 0;
      char json[16];
      for (unsigned r = 0; r < 3; r++)
        if (seen[i] >> r & 1)
          names[n++] = rill_s(rooms[r]);
      snprintf(json, sizeof json, "%u", i);
      assert_int_equal(rill_emit(p->hub,
                                 &(rill_to){.rooms = names, .nrooms = n}, "n",
                                 talk_args(p, json), NULL),
                       0);
    }
    if (i % 40 != 0)
      continue;
    {
      unsigned mask = (unsigned)(xorshift(&p->seed) >> 8) % 7 + 1;
      unsigned from = (unsigned)(xorshift(&p->seed) >> 8) % i;
      size_t at = (size_t)snprintf(expected, sizeof expected, "true");
      strcpy(path, "/sse?x");
      for (unsigned r = 0; r < 3; r++)
        if (mask >> r & 1)
          strcat(strcat(path, "&room="), rooms[r]);
      for (unsigned k = from + 1; k <= i; k++)
        if (seen[k] & mask)
          at += (size_t)snprintf(expected + at, sizeof expected - at, " %u", k);
      assert_string_equal(numbers(since(p, path, from)), expected);
    }
  }
}

/*
 * Clients that lose their connections with what was on it, and go on from
 * the last event that they have: each hears everything once, in the order of
 * each channel (three rooms, itself, all).
 */
#define CLIENTS 3
#define CHANNELS 5
typedef struct client {
  end *e;
  bool packs;
  rill_peer peer;
  char secret[RILL__SID + 1], cursor[32];
  unsigned due[CHANNELS][800], ndue[CHANNELS], got[CHANNELS], wrong;
} client;

static void client_reads(client *c) {
  const char *at = said(c->e), *line = at;

  while ((at = strstr(line, "\"args\":[")) != NULL) {
    unsigned n = (unsigned)strtoul(at + 8, NULL, 10), channel = n % 10, i;
    MUST(n >= 1000 && channel < CHANNELS);
    i = c->got[channel]++;
    c->wrong += i >= c->ndue[channel] || c->due[channel][i] != n;
    at = strstr(at, "\"offset\":\"EPOCH");
    MUST(at != NULL);
    snprintf(c->cursor, sizeof c->cursor, "%.*s", (int)strcspn(at + 15, "\""),
             at + 15);
    line = at;
  }
}

static void client_due(client *c, unsigned n) {
  MUST(c->ndue[n % 10] < 800);
  c->due[n % 10][c->ndue[n % 10]++] = n;
}

static void client_returns(pair *p, client *c) {
  end *again = talk_connect(p, "/json", c->packs);
  char text[200];

  snprintf(text, sizeof text,
           "{\"open\":{},\"resume\":\"%s\",\"offset\":\"%.8s%s\"}", c->secret,
           p->hub->epoch, c->cursor);
  talk_put(again, text);
  again->opened = 1; /* the same peer: only its end is told */
  c->e->opened = 0;
  c->e->peer = (rill_peer){0};
  pair_turn(p);
  c->e->tx.len = c->e->fed;
  c->e = again;
  {
    size_t told = again->told;
    MUST(strstr(said(again), "\"recovered\":true") != NULL);
    strcpy(c->secret, talk_secret[again->index]);
    again->told = told;
  }
  client_reads(c);
}

static void test_history_loses_and_doubles_nothing(void **state) {
  static const rill_str rooms[] = {RILL_STR("r"), RILL_STR("b"), RILL_STR("h")};
  pair *p = *state;
  client *all = calloc(CLIENTS, sizeof *all);
  unsigned next = 100, returns = 0;

  MUST(all != NULL);
  p->quiet = true;
  p->config.limits.idle_ms = p->config.limits.ping_ms = RILL_UNLIMITED;
  p->config.limits.slow_ms = RILL_UNLIMITED;
  talk_begin_recovering(p);
  assert_int_equal(
      rill_room_defaults(p->hub, "b", &(rill_room_opts){.batch_ms = 7}), 0);
  for (size_t i = 0; i < CLIENTS; i++) {
    client *c = &all[i];
    c->packs = i == 1;
    c->e = talk_json_at(p, "/json", c->packs);
    c->peer = c->e->peer;
    strcpy(c->secret, talk_secret[c->e->index]);
    strcpy(c->cursor, "-0");
    for (size_t r = 0; r < 3; r++)
      assert_int_equal(rill_join(c->peer, rooms[r]), 0);
  }
  for (int step = 0; step < 900; step++) {
    uint64_t dice = xorshift(&p->seed) >> 8;
    client *c = &all[dice % CLIENTS];
    unsigned r = (unsigned)(dice >> 8) % 3, kind = (unsigned)(dice >> 16) % 12;
    unsigned n = next * 10;
    char json[16];
    if (kind >= 6) {
      next++;
      n += kind == 6 ? 3 : kind == 7 ? 4 : r;
      snprintf(json, sizeof json, "%u", n);
    }
    switch (kind) {
    case 0:
      pair_pass(p, (dice >> 24) % 10 * RILL_MSEC);
      break;
    case 1:
      pair_turn(p);
      client_reads(c);
      break;
    case 2: /* from here on little gets through */
      c->e->room = (dice >> 24) % 400;
      break;
    case 3:
      end_eof(c->e, 0);
      client_reads(c);
      break;
    case 4: /* though its end may not have been noticed */
      if (c->e->conn != NULL && c->e->room == SIZE_MAX)
        break;
      client_returns(p, c);
      returns++;
      break;
    case 5:
      break;
    case 6:
      client_due(c, n);
      assert_int_equal(rill_emit_peer(c->peer, "n", talk_args(p, json), NULL) &
                           ~RILL_BUSY,
                       0);
      break;
    case 7:
      for (size_t i = 0; i < CLIENTS; i++)
        client_due(&all[i], n);
      assert_int_equal(rill_emit_all(p->hub, "n", talk_args(p, json), NULL), 0);
      break;
    case 8:
      for (size_t i = 0; i < CLIENTS; i++)
        if (&all[i] != c)
          client_due(&all[i], n);
      assert_int_equal(
          rill_emit_others(c->peer, rooms[r], "n", talk_args(p, json), NULL),
          0);
      break;
    default:
      for (size_t i = 0; i < CLIENTS; i++)
        client_due(&all[i], n);
      assert_int_equal(
          rill_emit_room(p->hub, rooms[r], "n", talk_args(p, json), NULL), 0);
    }
  }
  for (size_t i = 0; i < CLIENTS; i++) {
    client *c = &all[i];
    pair_pass(p, RILL_SEC);
    if (c->e->conn == NULL || c->e->room != SIZE_MAX)
      client_returns(p, c);
    client_reads(c);
    for (size_t k = 0; k < CHANNELS; k++)
      assert_int_equal(c->got[k], c->ndue[k]);
    assert_int_equal(c->wrong, 0);
  }
  assert_true(returns > 20);
  free(all);
  talk_give_up(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_history_keeps_so_many),
      PAIR_TEST(test_history_is_a_circle_that_grows),
      PAIR_TEST(test_history_keeps_so_many_bytes),
      PAIR_TEST(test_history_has_no_hole),
      PAIR_TEST(test_history_forgets_with_time),
      PAIR_TEST(test_history_room_lives_on_without_members),
      PAIR_TEST(test_history_room_goes_with_its_last_member),
      PAIR_TEST(test_history_too_big_leaves_no_room_behind),
      PAIR_TEST(test_history_of_emits_leaves_no_durable_room),
      PAIR_TEST(test_history_of_several_rooms_is_one_story),
      PAIR_TEST(test_history_total_is_limited),
      PAIR_TEST(test_history_before_the_first_conn),
      PAIR_TEST(test_history_of_some_events_is_not_kept),
      PAIR_TEST(test_history_keeps_messages_too),
      PAIR_TEST(test_history_events_come_back_as_they_were),
      PAIR_TEST(test_history_remembers_who_is_excepted),
      PAIR_TEST(test_history_of_a_user_is_of_its_peers),
      PAIR_TEST(test_history_rules_change_for_rooms_that_are),
      PAIR_TEST(test_history_and_batches_tell_once),
      PAIR_TEST(test_history_offsets_are_read_strictly),
      PAIR_TESTS(test_history_tells_what_a_list_would),
      PAIR_TESTS(test_history_loses_and_doubles_nothing)};

  return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
