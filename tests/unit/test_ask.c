/* test_ask.c - emits that wait for answers. */
#include "talk.h"

/* What the answers said: "STATUS [args] ... missing N", once each. */
typedef struct heard {
  pair *p;
  int times;
  int status;
  size_t n, nmissing;
  rill_peer from[200], missing[200];
  char args[2000];
} heard;

static void hear(rill_hub *hub, const rill_answers *a, void *arg) {
  heard *h = arg;
  char json[200];

  MUST(hub == h->p->hub && h->p->may_run && h->p->depth == 0);
  h->times++;
  h->status = a->status;
  h->n = a->n;
  h->nmissing = a->nmissing;
  h->args[0] = '\0';
  for (size_t i = 0; i < a->n; i++) {
    MUST(rill_value_type(a->v[i].args) == RILL_ARRAY);
    rill_value_json(a->v[i].args, json, sizeof json);
    if (strlen(h->args) < 1800)
      strcat(h->args, json);
    h->from[i] = a->v[i].peer;
  }
  for (size_t i = 0; i < a->nmissing; i++)
    h->missing[i] = a->missing[i];
}

static bool is_missing(const heard *h, rill_peer peer) {
  for (size_t i = 0; i < h->nmissing; i++)
    if (rill_peer_eq(h->missing[i], peer))
      return true;
  return false;
}

static int ask_room(heard *h, const char *room) {
  const rill_emit_opts opts = {.on_answers = hear, .arg = h};

  return rill_emit_room(h->p->hub, rill_s(room), "q", NULL, &opts);
}

static int ask_peer(heard *h, rill_peer peer) {
  const rill_emit_opts opts = {.on_answers = hear, .arg = h};

  return rill_emit_peer(peer, "q", NULL, &opts);
}

/* The id that |e| was asked with. */
static unsigned asked(end *e) {
  const char *text, *at;

  pair_turn(e->p);
  text = said(e);
  at = strstr(text, "\"id\":");
  assert_non_null(at);
  assert_non_null(strstr(text, "\"event\":\"q\""));
  return (unsigned)strtoul(at + 5, NULL, 10);
}

static void answer(end *e, unsigned id, const char *args) {
  char text[300];

  snprintf(text, sizeof text, "{\"ack\":%u,\"args\":%s}", id, args);
  say(e, text);
}

static void members(pair *p, end **e, size_t n, const char *room) {
  for (size_t i = 0; i < n; i++) {
    e[i] = i % 2 == 0 ? talk_json(p) : talk_msgpack(p);
    assert_int_equal(rill_join(e[i]->peer, rill_s(room)), 0);
  }
}

static void test_ask_one_answers(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e;

  talk_begin(p);
  e = talk_json(p);
  assert_int_equal(ask_peer(&h, e->peer), 0);
  answer(e, asked(e), "[1,{\"$bytes\":\"AAEC\"},[[]]]");
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, 0);
  assert_string_equal(h.args, "[1,{\"$bytes\":\"AAEC\"},[[]]]");
  assert_true(rill_peer_eq(h.from[0], e->peer));
  assert_int_equal(h.nmissing, 0);
  pair_pass(p, 20 * RILL_SEC);
  assert_int_equal(h.times, 1);
}

static void test_ask_many_answer(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[5];

  talk_begin(p);
  members(p, e, 5, "r");
  assert_int_equal(ask_room(&h, "r"), 0);
  for (size_t i = 0; i < 5; i++) {
    assert_int_equal(h.times, 0);
    assert_int_equal(asked(e[i]), 0); /* one number for all */
    answer(e[i], 0, (const char *[]){"[0]", "[1]", "[]", "[3]", "[4,4]"}[i]);
  }
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, 0);
  assert_int_equal(h.n, 5);
  assert_string_equal(h.args, "[0][1][][3][4,4]");
}

static void test_ask_nobody_is_over_at_once(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  rill_emit_opts opts = {
      .on_answers = hear, .arg = &h, .space = RILL_STR("/none")};

  talk_begin(p);
  assert_int_equal(ask_room(&h, "nobody"), 0);
  assert_int_equal(h.times, 0); /* a command runs no handler */
  assert_int_equal(rill_deadline(p->hub), 0);
  pair_turn(p);
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, 0);
  assert_int_equal(h.n + h.nmissing, 0);
  assert_int_equal(rill_emit_all(p->hub, "q", NULL, &opts), 0);
  pair_turn(p);
  assert_int_equal(h.times, 2);
}

static void test_ask_times_out(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[3];

  p->config.limits.ack_ms = 1000;
  talk_begin(p);
  members(p, e, 3, "r");
  assert_int_equal(ask_room(&h, "r"), 0);
  answer(e[1], asked(e[1]), "[1]");
  pair_pass(p, 999 * RILL_MSEC);
  assert_int_equal(h.times, 0);
  pair_pass(p, 1 * RILL_MSEC);
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, RILL_ERR_TIMEOUT);
  assert_string_equal(h.args, "[1]");
  assert_int_equal(h.nmissing, 2);
  assert_true(is_missing(&h, e[0]->peer));
  assert_true(is_missing(&h, e[2]->peer));
  assert_int_equal(pair_metrics(p).acks_timed_out_total, 2);
  assert_int_equal(pair_metrics(p).limit_ack_ms, 1);
  answer(e[0], 0, "[0]"); /* late */
  assert_int_equal(h.times, 1);
  assert_string_equal(said(e[1]), "");
}

static void test_ask_has_a_time_of_its_own(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e;
  rill_emit_opts opts = {.on_answers = hear, .arg = &h, .ack_ms = 50};

  talk_begin(p);
  e = talk_json(p);
  assert_int_equal(rill_emit_peer(e->peer, "q", NULL, &opts), 0);
  pair_pass(p, 49 * RILL_MSEC);
  assert_int_equal(h.times, 0);
  pair_pass(p, 1 * RILL_MSEC);
  assert_int_equal(h.status, RILL_ERR_TIMEOUT);
  assert_true(is_missing(&h, e->peer));
}

static void test_ask_hears_at_once_of_who_leaves(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[3];

  talk_begin(p);
  members(p, e, 3, "r");
  assert_int_equal(ask_room(&h, "r"), 0);
  answer(e[0], asked(e[0]), "[0]");
  end_eof(e[1], 0);
  assert_int_equal(h.times, 0);
  answer(e[2], asked(e[2]), "[2]");
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, RILL_ERR_CLOSED);
  assert_string_equal(h.args, "[0][2]");
  assert_int_equal(h.nmissing, 1);

  h = (heard){.p = p};
  assert_int_equal(ask_room(&h, "r"), 0);
  pair_turn(p);
  assert_int_equal(rill_cut(e[0]->peer), 0);
  end_bye(e[2], 1000, "");
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, RILL_ERR_CLOSED);
  assert_int_equal(h.n, 0);
  assert_int_equal(h.nmissing, 2);
}

static void test_ask_peer_that_is_gone(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e;

  talk_begin(p);
  e = talk_json(p);
  end_eof(e, 0);
  assert_int_equal(ask_peer(&h, e->peer), RILL_ERR_CLOSED);
  assert_int_equal(ask_peer(&h, (rill_peer){0}), RILL_ERR_CLOSED);
  e = talk_json(p);
  assert_int_equal(rill_close(e->peer, 1000, NULL), 0);
  assert_int_equal(ask_peer(&h, e->peer), RILL_ERR_CLOSED);
  pair_pass(p, 20 * RILL_SEC);
  assert_int_equal(h.times, 0);
}

/* Who is closed by this very emit is not waited for. */
static void test_ask_ends_who_is_slow(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[2];

  p->config.limits.queue_count = 1;
  talk_begin(p);
  members(p, e, 2, "r");
  end_room(e[1], 0);
  talk_emit(p, "r", "n", "1");
  pair_turn(p);
  said(e[0]);
  assert_int_equal(ask_room(&h, "r"), 0);
  answer(e[0], asked(e[0]), "[0]");
  assert_int_equal(e[1]->closed, 1);
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, RILL_ERR_CLOSED);
  assert_true(is_missing(&h, e[1]->peer));
  end_room(e[1], SIZE_MAX);

  h = (heard){.p = p};
  end_room(e[0], SIZE_MAX);
  e[0]->room = 0;
  talk_emit(p, "r", "n", "1");
  pair_turn(p);
  assert_int_equal(ask_peer(&h, e[0]->peer), RILL_ERR_CLOSED);
  pair_pass(p, 20 * RILL_SEC);
  assert_int_equal(h.times, 0);
  end_room(e[0], SIZE_MAX);
}

static void test_ask_takes_no_other_answers(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[2], *other;

  talk_begin(p);
  members(p, e, 2, "r");
  other = talk_json(p);
  assert_int_equal(ask_room(&h, "r"), 0);
  assert_int_equal(asked(e[0]), 0);
  answer(other, 0, "[666]");
  answer(e[0], 1, "[1]");
  say(e[0], "{\"ack\":0}");
  say(e[0], "{\"ack\":0,\"args\":{}}");
  answer(e[0], 0, "[\"first\"]");
  answer(e[0], 0, "[\"second\"]");
  assert_int_equal(h.times, 0);
  end_eof(e[0], 0); /* it has answered */
  answer(e[1], 0, "[\"last\"]");
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, 0);
  assert_string_equal(h.args, "[\"first\"][\"last\"]");
}

static void test_ask_limit_holds(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e;

  p->config.limits.acks_pending = 2;
  talk_begin(p);
  e = talk_json(p);
  assert_int_equal(ask_peer(&h, e->peer), 0);
  assert_int_equal(ask_peer(&h, e->peer), 0);
  assert_int_equal(ask_peer(&h, e->peer), RILL_ERR_LIMIT);
  assert_int_equal(ask_room(&h, "r"), RILL_ERR_LIMIT);
  assert_int_equal(pair_metrics(p).limit_acks_pending, 2);
  pair_turn(p);
  answer(e, 0, "[]");
  assert_int_equal(h.times, 1);
  assert_int_equal(ask_peer(&h, e->peer), 0);
  assert_int_equal(ask_peer(&h, e->peer), RILL_ERR_LIMIT);
  pair_pass(p, 20 * RILL_SEC);
  assert_int_equal(h.times, 3);
  assert_int_equal(ask_peer(&h, e->peer), 0);
}

static void test_ask_only_those_who_can_answer(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *raw, *sse, *json;

  talk_begin(p);
  raw = pair_open(p);
  sse = talk_sse(p, "/sse/r");
  json = talk_json(p);
  assert_int_equal(rill_join(raw->peer, rill_s("r")), 0);
  assert_int_equal(rill_join(json->peer, rill_s("r")), 0);
  assert_int_equal(ask_room(&h, "r"), 0);
  answer(json, asked(json), "[1]");
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, 0);
  assert_int_equal(h.n, 1);
  assert_string_equal(said(raw), "[\"q\"]"); /* they hear of it */
  assert_string_equal(streamed(sse), "event: q\ndata: null\n\n");
  assert_int_equal(ask_peer(&h, sse->peer), RILL_ERR_STATE);
  assert_int_equal(ask_peer(&h, raw->peer), RILL_ERR_STATE);
}

static void test_ask_who_is_away_is_not_waited_for(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[2];

  talk_begin_recovering(p);
  members(p, e, 2, "r");
  end_eof(e[1], 0);
  assert_string_equal(pair_log(p), "1 away");
  assert_int_equal(ask_peer(&h, e[1]->peer), RILL_ERR_CLOSED);
  assert_int_equal(ask_room(&h, "r"), 0);
  answer(e[0], asked(e[0]), "[0]");
  assert_int_equal(h.times, 1);
  h = (heard){.p = p};
  assert_int_equal(ask_room(&h, "r"), 0);
  asked(e[0]);
  end_eof(e[0], 0); /* goes away while it is waited for */
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, RILL_ERR_CLOSED);
  assert_true(is_missing(&h, e[0]->peer));
  talk_give_up(p);
}

static void test_ask_volatile_asks_whom_it_reaches(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  rill_emit_opts opts = {.on_answers = hear, .arg = &h, .is_volatile = true};
  const rill_str room = RILL_STR("r");
  end *e[2];

  talk_begin(p);
  members(p, e, 2, "r");
  end_room(e[1], 0);
  talk_emit(p, "r", "n", "1");
  pair_turn(p);
  said(e[0]);
  assert_int_equal(rill_emit_room(p->hub, room, "q", NULL, &opts), 0);
  answer(e[0], asked(e[0]), "[]");
  assert_int_equal(h.status, 0);
  assert_int_equal(h.n, 1);
  assert_int_equal(h.nmissing, 0);
  assert_int_equal(rill_emit_peer(e[1]->peer, "q", NULL, &opts), RILL_ERR_FULL);
  assert_int_equal(pair_metrics(p).dropped_volatile_total, 2);
  end_room(e[1], SIZE_MAX);
}

/* An answer that leads to the next question, for ever. */
static void again(rill_hub *hub, const rill_answers *a, void *arg) {
  heard *h = arg;
  const rill_emit_opts opts = {.on_answers = again, .arg = h};

  (void)a;
  if (++h->times < 50)
    assert_int_equal(rill_emit_all(hub, "q", NULL, &opts), 0);
}

static void test_ask_in_an_answer_waits_a_turn(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  const rill_emit_opts opts = {.on_answers = again, .arg = &h};

  talk_begin(p);
  assert_int_equal(rill_emit_all(p->hub, "q", NULL, &opts), 0);
  assert_int_equal(rill_emit_all(p->hub, "q", NULL, &opts), 0);
  pair_tick(p, p->hub);
  assert_int_equal(h.times, 2);
  pair_tick(p, p->hub);
  assert_int_equal(h.times, 4);
  pair_turn(p);
  assert_int_equal(h.times, 51);
}

static void test_ask_is_forgotten_with_the_hub(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e;

  talk_begin(p);
  e = talk_json(p);
  assert_int_equal(ask_peer(&h, e->peer), 0);
  assert_int_equal(ask_peer(&h, e->peer), 0);
  pair_turn(p);
  answer(e, 0, "[\"kept\"]");
  assert_int_equal(h.times, 1);
  rill_conn_free(e->conn);
  e->conn = NULL;
  assert_int_equal(ask_room(&h, "nobody"), 0); /* over, and not told */
  rill_hub_free(p->hub);
  assert_int_equal(p->mem.blocks, 0);
  assert_int_equal(h.times, 1);
  assert_int_equal(rill_hub_new(&p->hub, &p->config), 0);
  e->closed = 1;
}

static void test_ask_a_crowd(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  end *e[150];
  size_t order[150], left = 0;

  p->quiet = true;
  talk_begin(p);
  members(p, e, 150, "r");
  for (size_t i = 0; i < 40; i++) /* so that places have been used twice */
    end_eof(e[i * 3], 0);
  for (size_t i = 0; i < 40; i++) {
    e[i * 3] = talk_json(p);
    assert_int_equal(rill_join(e[i * 3]->peer, rill_s("r")), 0);
  }
  assert_int_equal(ask_room(&h, "r"), 0);
  for (size_t i = 0; i < 150; i++) {
    size_t k = xorshift(&p->seed) % (i + 1);
    order[i] = order[k];
    order[k] = i;
  }
  for (size_t i = 0; i < 150; i++) {
    end *one = e[order[i]];
    assert_int_equal(h.times, 0);
    if (i % 10 == 0) {
      end_eof(one, 0);
      left++;
    } else {
      answer(one, asked(one), "[]");
    }
  }
  assert_int_equal(h.times, 1);
  assert_int_equal(h.status, RILL_ERR_CLOSED);
  assert_int_equal(h.n, 150 - left);
  assert_int_equal(h.nmissing, left);
}

static void test_ask_in_socketio(void **state) {
  pair *p = *state;
  heard h = {.p = p};
  const rill_emit_opts opts = {.on_answers = hear, .arg = &h};
  end *e;

  talk_begin(p);
  e = talk_sio(p, "40");
  assert_int_equal(rill_emit_all(p->hub, "q", talk_args(p, "1"), &opts), 0);
  pair_turn(p);
  assert_string_equal(said(e), "420[\"q\",1]");
  end_text(e, "430[\"a\",{}]");
  assert_int_equal(h.times, 1);
  assert_string_equal(h.args, "[\"a\",{}]");
  end_text(e, "430[]");
  assert_int_equal(h.times, 1);
  assert_int_equal(rill_emit_all(p->hub, "q", NULL, &opts), 0);
  pair_turn(p);
  end_text(e, "41"); /* it disconnects from the namespace */
  assert_int_equal(h.times, 2);
  assert_int_equal(h.status, RILL_ERR_CLOSED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_ask_one_answers),
      PAIR_TESTS(test_ask_many_answer),
      PAIR_TEST(test_ask_nobody_is_over_at_once),
      PAIR_TEST(test_ask_times_out),
      PAIR_TEST(test_ask_has_a_time_of_its_own),
      PAIR_TEST(test_ask_hears_at_once_of_who_leaves),
      PAIR_TEST(test_ask_peer_that_is_gone),
      PAIR_TEST(test_ask_ends_who_is_slow),
      PAIR_TESTS(test_ask_takes_no_other_answers),
      PAIR_TEST(test_ask_limit_holds),
      PAIR_TEST(test_ask_only_those_who_can_answer),
      PAIR_TEST(test_ask_who_is_away_is_not_waited_for),
      PAIR_TEST(test_ask_volatile_asks_whom_it_reaches),
      PAIR_TEST(test_ask_in_an_answer_waits_a_turn),
      PAIR_TEST(test_ask_is_forgotten_with_the_hub),
      PAIR_TEST(test_ask_a_crowd),
      PAIR_TESTS(test_ask_in_socketio)};

  return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
