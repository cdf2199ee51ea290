/*
 * Crowds against a model: what is true at each moment, and what the others
 * come to know of it.
 */
#include "presence_kit.h"

enum { SLOTS = 9, USERS = 4, ROOMS = 2, HOLDS = 256 };

/* The model: who is where and shows what, and who may be back. */
typedef struct slot {
  end *e;
  bool open, away;
  bool in[ROOMS];
  rill_status shows;
} slot;

typedef struct hold {
  int room, user, slot;
  rill_status status;
  rill_time until;
} hold;

static struct {
  pair *p;
  bool recovery;
  slot slots[SLOTS];
  hold holds[HOLDS]; /* the oldest first */
  int nholds;
  end *watchers[ROOMS];
  rill_status view[ROOMS][USERS]; /* what a watcher has heard */
  rill_time heard[ROOMS][USERS];  /* when last */
} w;

static int user_of(int i) { return i % USERS; }

static void forget_hold(int i) {
  w.nholds--;
  for (; i < w.nholds; i++)
    w.holds[i] = w.holds[i + 1];
}

static void expire_holds(void) {
  while (w.nholds > 0 && w.holds[0].until <= w.p->now)
    forget_hold(0);
}

static rill_status expected(int room, int user, bool holds) {
  rill_status best = RILL_STATUS_OFFLINE;

  for (int i = 0; i < SLOTS; i++)
    if (user_of(i) == user && w.slots[i].open && w.slots[i].in[room] &&
        w.slots[i].shows > best)
      best = w.slots[i].shows;
  for (int i = 0; holds && i < w.nholds; i++)
    if (w.holds[i].room == room && w.holds[i].user == user &&
        w.holds[i].status > best)
      best = w.holds[i].status;
  return best;
}

static int room_index(rill_str name) {
  return name.len == 2 && name.ptr[0] == 'r' ? name.ptr[1] - '0' : -1;
}

/* One USER of an update or a snapshot, for the watcher of |room|. */
static void told(int room, rill_value user, bool snapshot) {
  rill_str name = rill_get_str(user, "userId");
  rill_str text = rill_get_str(user, "status");
  unsigned s = RILL_STATUS_OFFLINE;
  int u = name.ptr[1] - '0';

  while (!rill_str_eq(text, rill_s(rill_status_text((rill_status)s))))
    MUST(++s <= RILL_STATUS_BUSY);
  if (name.ptr[0] != 'u')
    return; /* a watcher */
  if (!snapshot) {
    rill_time since = w.p->now - w.heard[room][u];
    MUST(w.view[room][u] != (rill_status)s); /* it is news */
    MUST(since >= w.p->config.limits.presence_window_ms * RILL_MSEC);
    w.heard[room][u] = w.p->now;
  }
  w.view[room][u] = (rill_status)s;
}

static void read_watcher(int room) {
  static const rill__value_limits limits = {60, 100000, 100000};
  const char *at = said(w.watchers[room]);
  rill__tape tape;

  rill__tape_init(&tape, &rill__alloc_default);
  while (*at != '\0') {
    size_t len = strcspn(at, "\n");
    rill_value m, what;
    rill_walk walk;
    rill__tape_clear(&tape);
    MUST(rill__json_read(&tape, (rill_str){at, len}, &limits) == 0);
    m = (rill_value){tape.v};
    what = rill_value_at(rill_value_get(m, "args"), 0);
    MUST(room_index(rill_get_str(what, "room")) == room);
    walk = rill_walk_begin(rill_value_get(what, "users"));
    while (rill_walk_next(&walk))
      told(room, walk.value,
           rill_str_eq(rill_get_str(m, "event"), rill_s("presence:state")));
    at += len + (at[len] != '\0');
  }
  rill__tape_finish(&tape);
}

/* Is what the hub answers what the model knows? */
static void check(bool holds) {
  static const char *const rooms[] = {"r0", "r1"};

  for (int r = 0; r < ROOMS; r++) {
    rill_occupancy o, sum = {0};
    for (int u = 0; u < USERS; u++) {
      char name[3] = {'u', (char)('0' + u), '\0'};
      rill_presence who;
      rill_status is = expected(r, u, holds);
      MUST(rill_presence_user(w.p->hub, (rill_str){0}, rill_s(rooms[r]),
                              rill_s(name), &who) == 0);
      MUST(who.status == is);
      sum.away += is == RILL_STATUS_AWAY;
      sum.online += is == RILL_STATUS_ONLINE;
      sum.busy += is == RILL_STATUS_BUSY;
    }
    for (int i = 0; i < SLOTS; i++)
      sum.peers += w.slots[i].open && w.slots[i].in[r];
    MUST(rill_presence_count(w.p->hub, (rill_str){0}, rill_s(rooms[r]), &o) ==
         0);
    MUST(o.peers == sum.peers + 1); /* the watcher */
    MUST(o.away == sum.away && o.online == sum.online + 1 &&
         o.busy == sum.busy);
  }
}

static void pass(rill_time ns) {
  rill_time step = 50 * RILL_MSEC;

  for (rill_time t = 0; t < ns; t += step) {
    pair_pass(w.p, step);
    expire_holds();
    for (int r = 0; r < ROOMS; r++)
      read_watcher(r);
  }
}

static void do_open(int i) {
  slot *s = &w.slots[i];
  char name[3] = {'u', (char)('0' + user_of(i)), '\0'};

  if (s->open)
    return;
  if (s->away) {
    s->e = kit_again(w.p, s->e, name);
    said(s->e); /* its next secret */
    s->open = rill_is_open(s->e->peer);
    MUST(s->open);
    s->away = false;
    for (int h = w.nholds - 1; h >= 0; h--)
      if (w.holds[h].slot == i)
        forget_hold(h);
    return;
  }
  s->e = kit_open(w.p, name, NULL);
  *s = (slot){.e = s->e, .open = true, .shows = RILL_STATUS_ONLINE};
}

static void do_join(int i, int room) {
  slot *s = &w.slots[i];
  char name[3] = {'r', (char)('0' + room), '\0'};

  if (!s->open || s->in[room])
    return;
  MUST(rill_join(s->e->peer, rill_s(name)) == 0);
  s->in[room] = true;
  /* of who may come back as the same peer nobody takes the place */
  for (int h = 0; h < w.nholds && !w.recovery; h++)
    if (w.holds[h].room == room && w.holds[h].user == user_of(i)) {
      forget_hold(h);
      break;
    }
}

static void do_leave(int i, int room) {
  slot *s = &w.slots[i];
  char name[3] = {'r', (char)('0' + room), '\0'};

  if (!s->open || !s->in[room])
    return;
  MUST(rill_leave(s->e->peer, rill_s(name)) == 0);
  s->in[room] = false;
}

static void do_cut(int i, bool clean) {
  slot *s = &w.slots[i];

  if (!s->open)
    return;
  for (int r = 0; r < ROOMS && !clean; r++)
    if (s->in[r] && s->shows != RILL_STATUS_OFFLINE) {
      MUST(w.nholds < HOLDS);
      w.holds[w.nholds++] = (hold){r, user_of(i), i, s->shows,
                                   w.p->now + 15 * RILL_SEC};
    }
  if (clean)
    end_bye(s->e, 1000, "");
  else
    end_eof(s->e, 0);
  s->open = false;
  s->away = w.recovery && !clean;
  if (!s->away)
    memset(s->in, 0, sizeof s->in);
}

static void act(uint64_t r) {
  int i = (int)((r >> 8) % SLOTS), room = (int)((r >> 16) % ROOMS);

  switch (r % 12) {
  case 0:
  case 1:
  case 2:
    do_open(i);
    break;
  case 3:
  case 4:
  case 5:
    do_join(i, room);
    break;
  case 6:
    do_leave(i, room);
    break;
  case 7:
    do_cut(i, false);
    break;
  case 8:
    do_cut(i, true);
    break;
  case 9:
    if (w.slots[i].open) {
      w.slots[i].shows = (rill_status)((r >> 24) % 4);
      MUST(rill_show(w.slots[i].e->peer, w.slots[i].shows) == 0);
    }
    break;
  case 10:
    pass((r >> 24) % 8 * 50 * RILL_MSEC);
    break;
  default:
    pass((r >> 24) % 5 * RILL_SEC);
    break;
  }
}

/* Who could have come back and did not is over by now. */
static void give_up_old(void) {
  for (int i = 0; i < SLOTS; i++)
    if (w.slots[i].away && w.slots[i].e->closed > 0) {
      w.slots[i].away = false;
      memset(w.slots[i].in, 0, sizeof w.slots[i].in);
    }
}

static void run(pair *p, uint64_t seed, bool recovery) {
  memset(&w, 0, sizeof w);
  w.p = p;
  w.recovery = recovery;
  p->quiet = true;
  kit_begin(p, recovery);
  for (int r = 0; r < ROOMS; r++) {
    char name[3] = {'r', (char)('0' + r), '\0'};
    w.watchers[r] = kit_open(p, "watcher", name);
    read_watcher(r);
  }
  for (int i = 0; i < 400; i++) {
    pair_tick(p, p->hub); /* it learns what time it is */
    act(xorshift(&seed) >> 11);
    pair_turn(p);
    for (int r = 0; r < ROOMS; r++)
      read_watcher(r);
    expire_holds();
    give_up_old();
    check(true);
    if (i % 50 != 49)
      continue;
    pass(16 * RILL_SEC);
    give_up_old();
    MUST(p->hub->metrics.presence_held == 0);
    check(false);
    for (int r = 0; r < ROOMS; r++)
      for (int u = 0; u < USERS; u++)
        MUST(w.view[r][u] == expected(r, u, false));
  }
  talk_give_up(p);
  pair_reset(p);
}

static void test_crowd_does_as_a_model(void **state) {
  for (uint64_t seed = 1; seed <= 12; seed++)
    run(*state, seed * 0x9e3779b97f4a7c15u, false);
}

static void test_crowd_does_as_a_model_with_recovery(void **state) {
  for (uint64_t seed = 1; seed <= 12; seed++)
    run(*state, seed * 0xbf58476d1ce4e5b9u, true);
}

/* What a big room costs: one emit in a window, few allocations for a join. */
static void test_crowd_of_many(void **state) {
  enum { MANY = 1500 };
  pair *p = *state;
  static end *e[MANY];
  char name[16];
  uint64_t out, calls;

  p->quiet = true;
  p->config.limits.presence_page = 2000;
  p->config.limits.presence_named = 2000;
  kit_begin(p, false);
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "user%d", i);
    e[i] = kit_open(p, name, NULL);
    calls = p->mem.calls;
    assert_int_equal(rill_join(e[i]->peer, rill_s("r")), 0);
    assert_true(p->mem.calls - calls <= (i == 0 ? 20 : 8));
  }
  kit_window(p);
  out = pair_metrics(p).messages_out_total;
  for (int i = 0; i < 300; i++)
    rill_show(e[i]->peer, RILL_STATUS_AWAY);
  for (int i = 300; i < 600; i++) {
    rill_show(e[i]->peer, RILL_STATUS_BUSY);
    rill_show(e[i]->peer, RILL_STATUS_ONLINE);
  }
  kit_window(p);
  assert_int_equal(pair_metrics(p).messages_out_total - out, MANY);
  assert_int_equal(pair_metrics(p).presence_undone_total, 300);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_crowd_does_as_a_model),
      PAIR_TEST(test_crowd_does_as_a_model_with_recovery),
      PAIR_TEST(test_crowd_of_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
