/* Rooms: who is in them, their names, their options. */
#include "pair.h"

static void test_room_join_and_leave(void **state) {
  pair *p = *state;
  end *a, *b;

  pair_begin(p);
  a = pair_open(p);
  b = pair_open(p);
  assert_int_equal(rill_room_count(p->hub, rill_s("r")), 0);
  assert_int_equal(rill_join(a->peer, rill_s("r")), 0);
  assert_int_equal(rill_join(a->peer, rill_s("r")), 0); /* it is one already */
  assert_int_equal(rill_room_count(p->hub, rill_s("r")), 1);
  assert_int_equal(rill_join(b->peer, rill_s("r")), 0);
  assert_int_equal(rill_room_count(p->hub, rill_s("r")), 2);
  assert_true(rill_in_room(a->peer, rill_s("r")));
  assert_false(rill_in_room(a->peer, rill_s("R")));
  assert_int_equal(pair_metrics(p).rooms, 1);
  assert_int_equal(rill_leave(a->peer, rill_s("r")), 0);
  assert_int_equal(rill_leave(a->peer, rill_s("r")), RILL_ERR_NOT_FOUND);
  assert_int_equal(rill_leave(a->peer, rill_s("none")), RILL_ERR_NOT_FOUND);
  assert_int_equal(rill_leave(a->peer, rill_s("")), RILL_ERR_NOT_FOUND);
  rill_cut(b->peer);
  pair_turn(p);
  assert_int_equal(rill_room_count(p->hub, rill_s("r")), 0);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_int_equal(rill_join(b->peer, rill_s("r")), RILL_ERR_CLOSED);
}

static void test_room_names(void **state) {
  static const struct {
    const char *name;
    size_t len;
    int rv;
  } cases[] = {{"", 0, RILL_ERR_ARG},
               {"a", 1, 0},
               {"#:*?[/../", 9, 0},
               {"nul\0nul", 7, RILL_ERR_ARG},
               {"a\r\n", 3, RILL_ERR_ARG},
               {"\x7f", 1, RILL_ERR_ARG},
               {"\x1f", 1, RILL_ERR_ARG},
               {" ", 1, 0},
               {"\xff", 1, RILL_ERR_ARG},
               {"\xc0\xaf", 2, RILL_ERR_ARG},
               {"\xed\xa0\x80", 3, RILL_ERR_ARG},
               {"caf\xc3\xa9", 5, 0},  /* two names, not one: nothing is */
               {"cafe\xcc\x81", 6, 0}, /* normalized */
               {"\xc3", 1, RILL_ERR_ARG}};
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill_str name = {cases[i].name, cases[i].len};
    assert_int_equal(rill_join(e->peer, name), cases[i].rv);
    assert_int_equal(rill_join_request(e->peer, name), cases[i].rv);
    assert_int_equal(rill_in_room(e->peer, name), cases[i].rv == 0);
  }
  assert_int_equal(pair_metrics(p).rooms, 5);
}

/* Random joins, leaves and ends, against a table. */
static void test_room_does_as_a_table(void **state) {
  enum { PEERS = 40, ROOMS = 30 };
  pair *p = *state;
  static bool in[PEERS][ROOMS];
  end *e[PEERS];
  char name[16];

  memset(in, 0, sizeof in);
  p->quiet = true;
  pair_begin(p);
  for (int i = 0; i < PEERS; i++)
    e[i] = pair_open(p);
  for (int step = 0; step < 5000; step++) {
    uint64_t r = xorshift(&p->seed) >> 8;
    int i = (int)(r % PEERS), k = (int)(r / PEERS % ROOMS);
    snprintf(name, sizeof name, "room %d", k);
    if (r >> 40 & 1) {
      assert_int_equal(rill_join(e[i]->peer, rill_s(name)), 0);
      in[i][k] = true;
    } else {
      assert_int_equal(rill_leave(e[i]->peer, rill_s(name)),
                       in[i][k] ? 0 : RILL_ERR_NOT_FOUND);
      in[i][k] = false;
    }
    if (step % 100 == 99) {
      rill_cut(e[i]->peer);
      pair_turn(p);
      memset(in[i], 0, sizeof in[i]);
      e[i] = pair_open(p);
    }
    if (step % 50 == 0)
      for (k = 0; k < ROOMS; k++) {
        size_t count = 0;
        snprintf(name, sizeof name, "room %d", k);
        for (i = 0; i < PEERS; i++) {
          count += in[i][k];
          assert_int_equal(rill_in_room(e[i]->peer, rill_s(name)), in[i][k]);
        }
        assert_int_equal(rill_room_count(p->hub, rill_s(name)), count);
      }
  }
}

typedef struct seen {
  int n, stop_at;
  rill_peer peers[8];
  char rooms[64];
} seen;

static int see_peer(rill_peer peer, void *arg) {
  seen *s = arg;
  rill_msg m = rill_text("seen");

  s->peers[s->n++] = peer;
  rill_send(peer, &m); /* it may send */
  return s->n == s->stop_at ? 77 : 0;
}

static int see_room(rill_str room, void *arg) {
  seen *s = arg;

  strncat(s->rooms, room.ptr, room.len);
  return ++s->n == s->stop_at ? 78 : 0;
}

static void test_room_walks(void **state) {
  pair *p = *state;
  end *e[3];
  seen s = {0};

  pair_begin(p);
  for (int i = 0; i < 3; i++) {
    e[i] = pair_open(p);
    rill_join(e[i]->peer, rill_s("r"));
  }
  rill_join(e[0]->peer, rill_s("s"));
  assert_int_equal(rill_room_each(p->hub, rill_s("r"), see_peer, &s), 0);
  assert_int_equal(s.n, 3);
  pair_turn(p);
  for (int i = 0; i < 3; i++)
    assert_string_equal(end_took(e[i]), "text seen");
  s = (seen){.stop_at = 2};
  assert_int_equal(rill_room_each(p->hub, rill_s("r"), see_peer, &s), 77);
  assert_int_equal(s.n, 2);
  assert_int_equal(rill_room_each(p->hub, rill_s("none"), see_peer, &s), 0);
  s = (seen){0};
  assert_int_equal(rill_peer_rooms(e[0]->peer, see_room, &s), 0);
  assert_int_equal(s.n, 2);
  assert_non_null(strchr(s.rooms, 'r'));
  assert_non_null(strchr(s.rooms, 's'));
  s = (seen){.stop_at = 1};
  assert_int_equal(rill_peer_rooms(e[0]->peer, see_room, &s), 78);
  assert_int_equal(rill_peer_rooms((rill_peer){0}, see_room, &s),
                   RILL_ERR_CLOSED);
}

static rill_overflow overflow_of(pair *p, const char *room) {
  /* shown by what becomes of a message to a full queue */
  end *e = pair_open(p);
  rill_msg m = rill_text("m");
  rill_metrics before, after;
  rill_overflow out = RILL_DISCONNECT;

  e->room = 0;
  rill_join(e->peer, rill_s(room));
  rill_send(e->peer, &m);
  pair_turn(p);
  before = pair_metrics(p);
  rill_send_room(p->hub, rill_s(room), &m);
  pair_turn(p);
  after = pair_metrics(p);
  if (after.dropped_newest_total > before.dropped_newest_total)
    out = RILL_DROP_NEWEST;
  else if (after.dropped_oldest_total > before.dropped_oldest_total)
    out = RILL_DROP_OLDEST;
  else
    assert_int_equal(e->how.cause, RILL_CAUSE_SLOW);
  rill_cut(e->peer);
  pair_turn(p);
  return out;
}

static void test_room_options_of_the_longest_pattern(void **state) {
  static const rill_room_opts oldest = {.overflow = RILL_DROP_OLDEST},
                              newest = {.overflow = RILL_DROP_NEWEST},
                              cut = {.overflow = RILL_DISCONNECT},
                              none = {.overflow = RILL_OVERFLOW_DEFAULT};
  pair *p = *state;
  end *e;

  p->config.limits.queue_count = 1;
  pair_begin(p);
  assert_int_equal(overflow_of(p, "a"), RILL_DISCONNECT);
  assert_int_equal(rill_room_defaults(p->hub, "*", &newest), 0);
  assert_int_equal(overflow_of(p, "a"), RILL_DROP_NEWEST);
  assert_int_equal(rill_room_defaults(p->hub, "live/*", &oldest), 0);
  assert_int_equal(rill_room_defaults(p->hub, "live/text*", &cut), 0);
  assert_int_equal(rill_room_defaults(p->hub, "live/text/1", &newest), 0);
  assert_int_equal(overflow_of(p, "live/"), RILL_DROP_OLDEST);
  assert_int_equal(overflow_of(p, "live"), RILL_DROP_NEWEST);
  assert_int_equal(overflow_of(p, "live/x"), RILL_DROP_OLDEST);
  assert_int_equal(overflow_of(p, "live/text/2"), RILL_DISCONNECT);
  assert_int_equal(overflow_of(p, "live/text/1"), RILL_DROP_NEWEST);
  /* whichever is said first */
  assert_int_equal(rill_room_defaults(p->hub, "z/long*", &oldest), 0);
  assert_int_equal(rill_room_defaults(p->hub, "z/*", &cut), 0);
  assert_int_equal(overflow_of(p, "z/longer"), RILL_DROP_OLDEST);
  assert_int_equal(overflow_of(p, "z/x"), RILL_DISCONNECT);
  assert_int_equal(rill_room_defaults(p->hub, "name", &oldest), 0);
  assert_int_equal(rill_room_defaults(p->hub, "name*", &cut), 0);
  assert_int_equal(overflow_of(p, "name"), RILL_DROP_OLDEST);
  /* what is said last counts, for a name as for a prefix */
  assert_int_equal(rill_room_defaults(p->hub, "live/text/1", &oldest), 0);
  assert_int_equal(overflow_of(p, "live/text/1"), RILL_DROP_OLDEST);
  assert_int_equal(rill_room_defaults(p->hub, "live/*", &newest), 0);
  assert_int_equal(overflow_of(p, "live/x"), RILL_DROP_NEWEST);
  assert_int_equal(rill_room_defaults(p->hub, "*", &none), 0);
  assert_int_equal(overflow_of(p, "b"), RILL_DISCONNECT);
  /* rooms that exist already change, too */
  e = pair_open(p);
  rill_join(e->peer, rill_s("kept"));
  assert_int_equal(overflow_of(p, "kept"), RILL_DISCONNECT);
  assert_int_equal(rill_room_defaults(p->hub, "kept", &oldest), 0);
  assert_int_equal(overflow_of(p, "kept"), RILL_DROP_OLDEST);
  assert_int_equal(rill_room_defaults(p->hub, "", &oldest), RILL_ERR_ARG);
  assert_int_equal(
      rill_room_defaults(p->hub, "x", &(rill_room_opts){.overflow = (rill_overflow)9}),
      RILL_ERR_ARG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_room_join_and_leave),
      PAIR_TEST(test_room_names),
      PAIR_TEST(test_room_does_as_a_table),
      PAIR_TEST(test_room_walks),
      PAIR_TEST(test_room_options_of_the_longest_pattern),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
