/* test_batch.c - rooms that hold events back; order in spite of them. */
#include "emit_kit.h"

static void batching(pair *p, uint32_t ms) {
  talk_begin(p);
  assert_int_equal(
      rill_room_defaults(p->hub, "b*", &(rill_room_opts){.batch_ms = ms}), 0);
}

static end *in_batch(pair *p) {
  end *e = talk_json(p);

  join(e->peer, "b");
  return e;
}

#define N(n) "{\"event\":\"n\",\"args\":[" #n "],\"room\":\"b\"}"

static void test_batch_goes_out_together(void **state) {
  pair *p = *state;
  end *e, *sse;

  batching(p, 20);
  e = in_batch(p);
  sse = talk_sse(p, "/sse/b");
  talk_emit(p, "b", "n", "1");
  pair_pass(p, 10 * RILL_MSEC);
  talk_emit(p, "b", "n", "2");
  pair_pass(p, 9 * RILL_MSEC);
  assert_string_equal(said(e), "");
  pair_pass(p, 1 * RILL_MSEC); /* from the first one on */
  assert_string_equal(said(e), N(1) "\n" N(2));
  assert_string_equal(streamed(sse), "event: n\ndata: 1\n\n"
                                     "event: n\ndata: 2\n\n");
  talk_emit(p, "b", "n", "3");
  pair_pass(p, 19 * RILL_MSEC);
  assert_string_equal(said(e), "");
  pair_pass(p, 1 * RILL_MSEC);
  assert_string_equal(said(e), N(3));
  assert_int_equal(rill_deadline(p->hub) > p->now, true);
}

static void ignore(rill_hub *hub, const rill_answers *a, void *arg) {
  (void)hub;
  (void)a;
  (void)arg;
}

static void test_batch_is_not_overtaken_in_its_room(void **state) {
  static const rill_emit_opts opts[] = {
      {.is_volatile = true}, {.key = RILL_STR("k")}, {.on_answers = ignore}};
  pair *p = *state;
  const rill_str room = RILL_STR("b");
  const rill_msg msg = rill_text("m");
  end *e, *other;

  batching(p, 20);
  e = in_batch(p);
  other = talk_json(p);
  for (size_t i = 0; i < 3; i++) {
    talk_emit(p, "b", "n", "1");
    assert_int_equal(rill_emit_room(p->hub, room, "x", NULL, &opts[i]), 0);
    pair_turn(p);
    assert_true(rill_str_starts(rill_s(said(e)), N(1)));
  }
  talk_emit(p, "b", "n", "1");
  assert_int_equal(rill_emit_others(other->peer, room, "x", NULL, NULL), 0);
  pair_turn(p);
  assert_string_equal(said(e),
                      N(1) "\n{\"event\":\"x\",\"args\":[],\"room\":\"b\"}");
  talk_emit(p, "b", "n", "1");
  assert_int_equal(rill_send_room(p->hub, room, &msg), 0);
  pair_pass(p, 20 * RILL_MSEC);
  assert_string_equal(said(e), N(1) "\n{\"event\":\"message\",\"args\":[\"m\"],"
                                    "\"room\":\"b\"}");
  assert_int_equal(e->closed, 0);
}

static void test_batch_is_for_who_was_there(void **state) {
  pair *p = *state;
  end *stays, *goes, *comes, *ends;

  batching(p, 20);
  stays = in_batch(p);
  goes = in_batch(p);
  ends = in_batch(p);
  comes = talk_json(p);
  talk_emit(p, "b", "n", "1");
  join(comes->peer, "b");
  assert_int_equal(rill_leave(goes->peer, rill_s("b")), 0);
  talk_emit(p, "b", "n", "2");
  assert_int_equal(rill_close(ends->peer, 1000, NULL), 0);
  pair_pass(p, 20 * RILL_MSEC);
  assert_string_equal(said(stays), N(1) "\n" N(2));
  assert_string_equal(said(comes), N(2));
  assert_string_equal(said(goes), N(1));
  assert_string_equal(said(ends), N(1) "\n" N(2) "\nclose 1000");
}

static void test_batch_does_not_grow_for_ever(void **state) {
  pair *p = *state;
  char json[1100];
  end *e;

  batching(p, 1000);
  e = in_batch(p);
  memset(json, 'x', sizeof json);
  json[0] = json[1098] = '"';
  json[1099] = '\0';
  for (int i = 0; i < 50; i++) /* somewhat less than 64 KiB */
    talk_emit(p, "b", "n", json);
  pair_turn(p);
  assert_int_equal(strlen(said(e)), 0);
  for (int i = 0; i < 12; i++)
    talk_emit(p, "b", "n", json);
  pair_turn(p);
  assert_true(strlen(said(e)) > 55000);
  assert_int_equal(e->closed, 0);
}

static void test_batch_ends_with_its_rule(void **state) {
  pair *p = *state;
  end *e;

  batching(p, 1000);
  e = in_batch(p);
  talk_emit(p, "b", "n", "1");
  assert_int_equal(rill_room_defaults(p->hub, "b", &(rill_room_opts){0}), 0);
  talk_emit(p, "b", "n", "2");
  pair_turn(p);
  assert_string_equal(said(e), N(1) "\n" N(2));
  talk_emit(p, "nobody", "n", "1");
  assert_int_equal(pair_metrics(p).rooms, 1);
}

static void test_batch_goes_with_the_hub(void **state) {
  pair *p = *state;

  batching(p, 1000);
  in_batch(p);
  talk_emit(p, "b", "n", "1");
  pair_turn(p); /* what is held is freed, with its timer */
}

/*
 * Everybody gets what was for them, once and in the order of each room,
 * whatever else happens: numbers from 1000 on, whose last digit is the
 * channel: three rooms (plain, batched, with history), one peer, all.
 */
#define KINDS 6
#define CHANNELS 5
typedef struct book {
  unsigned due[KINDS][CHANNELS][600], ndue[KINDS][CHANNELS];
  unsigned got[KINDS][CHANNELS], wrong;
} book;

static void book_heard(book *b, size_t who, const char *text) {
  for (const char *at = text; *at != '\0'; at++) {
    unsigned long n;
    char *stop;
    if (strchr("[, ", *at) == NULL || at[1] < '0' || at[1] > '9')
      continue;
    n = strtoul(at + 1, &stop, 10);
    if (n >= 1000) {
      unsigned channel = (unsigned)(n % 10), i = b->got[who][channel]++;
      MUST(channel < CHANNELS);
      b->wrong += i >= b->ndue[who][channel] || b->due[who][channel][i] != n;
    }
    at = stop - 1;
  }
}

static void book_due(book *b, size_t who, unsigned n) {
  unsigned channel = n % 10;

  MUST(b->ndue[who][channel] < 600);
  b->due[who][channel][b->ndue[who][channel]++] = n;
}

static unsigned dice(pair *p, unsigned sides) {
  return (unsigned)(xorshift(&p->seed) >> 16) % sides;
}

static rill_builder *number_args(pair *p, unsigned n) {
  rill_builder *b = rill_build(p->hub);

  rill_put_uint(b, n);
  if (dice(p, 3) == 0)
    rill_put_bytes(b, "\xff\xfe", 2);
  return b;
}

static void test_batch_among_others_keeps_the_order(void **state) {
  static const char *const rooms[] = {"p", "b", "h"};
  pair *p = *state;
  book *b = calloc(1, sizeof *b);
  bool in[KINDS][3] = {{false}};
  rill_peer peer[KINDS];
  end *e[KINDS];
  unsigned next = 100;

  MUST(b != NULL);
  p->quiet = true;
  p->config.limits.idle_ms = p->config.limits.ping_ms = RILL_UNLIMITED;
  batching(p, 5);
  assert_int_equal(
      rill_room_defaults(p->hub, "h", &(rill_room_opts){.history = 9}), 0);
  e[0] = pair_open(p);
  e[1] = talk_json(p);
  e[2] = talk_msgpack(p);
  e[3] = talk_sio(p, "40");
  e[4] = talk_sse(p, "/sse?room=p&room=b&room=h");
  e[5] = sio_packed(p);
  for (size_t i = 0; i < KINDS; i++)
    peer[i] = i == 3 || i == 5 ? sio_peer(e[i]) : e[i]->peer;
  in[4][0] = in[4][1] = in[4][2] = true;
  for (int step = 0; step < 1500; step++) {
    size_t who = dice(p, KINDS), r = dice(p, 3);
    unsigned n = next * 10;
    switch (dice(p, 10)) {
    case 0: /* in or out */
      in[who][r] = !in[who][r];
      if (in[who][r])
        assert_int_equal(rill_join(peer[who], rill_s(rooms[r])), 0);
      else
        assert_int_equal(rill_leave(peer[who], rill_s(rooms[r])), 0);
      break;
    case 1:
      pair_pass(p, dice(p, 6) * RILL_MSEC);
      break;
    case 2:
      pair_turn(p);
      for (size_t i = 0; i < KINDS; i++)
        book_heard(b, i, i == 4 ? streamed(e[i]) : said(e[i]));
      break;
    case 3:
      next++;
      book_due(b, who, n + 3);
      assert_int_equal(
          rill_emit_peer(peer[who], "n", number_args(p, n + 3), NULL), 0);
      break;
    case 4:
      next++;
      for (size_t i = 0; i < KINDS; i++)
        book_due(b, i, n + 4);
      assert_int_equal(rill_emit_all(p->hub, "n", number_args(p, n + 4), NULL),
                       0);
      break;
    case 5:
      next++;
      for (size_t i = 0; i < KINDS; i++)
        if (i != who && in[i][r])
          book_due(b, i, n + (unsigned)r);
      assert_int_equal(rill_emit_others(peer[who], rill_s(rooms[r]), "n",
                                        number_args(p, n + (unsigned)r), NULL),
                       0);
      break;
    default:
      next++;
      for (size_t i = 0; i < KINDS; i++)
        if (in[i][r])
          book_due(b, i, n + (unsigned)r);
      assert_int_equal(rill_emit_room(p->hub, rill_s(rooms[r]), "n",
                                      number_args(p, n + (unsigned)r), NULL),
                       0);
    }
  }
  pair_pass(p, RILL_SEC);
  for (size_t i = 0; i < KINDS; i++) {
    book_heard(b, i, i == 4 ? streamed(e[i]) : said(e[i]));
    for (size_t c = 0; c < CHANNELS; c++)
      assert_int_equal(b->got[i][c], b->ndue[i][c]);
  }
  assert_int_equal(b->wrong, 0);
  assert_true(b->got[1][1] > 10);
  free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_batch_goes_out_together),
      PAIR_TEST(test_batch_is_not_overtaken_in_its_room),
      PAIR_TEST(test_batch_is_for_who_was_there),
      PAIR_TEST(test_batch_does_not_grow_for_ever),
      PAIR_TEST(test_batch_ends_with_its_rule),
      PAIR_TEST(test_batch_goes_with_the_hub),
      PAIR_TESTS(test_batch_among_others_keeps_the_order)};

  return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
