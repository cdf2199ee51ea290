/*
 * test_catchup.c - what was missed is more than a queue holds: the newest
 * comes, the rest is told as a gap, and nobody is thrown out for it.
 */
#include <rill/history.h>

#include "talk.h"

enum { EVENTS = 12 };

/* What is short in MessagePack and long in JSON, and the other way round. */
static const char *const payloads[] = {
    "0",
    "[true,false,null,true,false,null,true,false,null,-128,-128,200]",
    "\"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\u0010\\u0011\"",
    "[0.5,0.25,0.5,0.25,0.5,0.25,0.5,0.25,0.5,0.25,0.5,0.25]",
    "[{\"$bytes\":\"\"},{\"$bytes\":\"\"},{\"$bytes\":\"AA==\"}]",
    "\"as it is\""};
enum { PAYLOADS = sizeof payloads / sizeof payloads[0] };

/* Thirty times |json|, where {"$bytes":...} is bytes. */
static rill_builder *argument(pair *p, const char *json) {
  static const rill__value_limits limits = {60, 1000, 1000};
  rill_builder *b = rill_build(p->hub);
  rill__tape tape;

  rill__tape_init(&tape, &rill__alloc_default);
  MUST(rill__json_read(&tape, rill_s(json), &limits) == 0);
  MUST(rill__value_unpack_bytes(&tape, 0));
  rill_put_array(b);
  for (int i = 0; i < 30; i++)
    rill_put_value(b, (rill_value){tape.v});
  rill_put_end(b);
  rill__tape_finish(&tape);
  return b;
}

static void begin(pair *p, bool durable, const char *json) {
  p->config.limits.attachments = 255;
  talk_begin_bare(p);
  assert_int_equal(rill_room_events(p->hub, NULL), 0);
  assert_int_equal(
      rill_room_defaults(
          p->hub, "h",
          &(rill_room_opts){.history = durable ? 0 : 20, .durable = durable}),
      0);
  if (durable)
    assert_int_equal(rill_store_use(p->hub, rill_store_memory(NULL, NULL)), 0);
  for (int i = 0; i < EVENTS; i++)
    assert_int_equal(rill_publish(p->hub, rill_s("h"), "name",
                                  argument(p, json), NULL),
                     0);
  pair_pass(p, 0);
}

static int times(const char *text, const char *what) {
  int n = 0;

  for (; (text = strstr(text, what)) != NULL; text++)
    n++;
  return n;
}

enum { JSON, MSGPACK, SIO, SPEAKERS };

/* How many events came to who has none, with a gap for all the others. */
static int caught_up(pair *p, int speaker) {
  const char *text;
  char gap[64];
  end *e;
  int n;

  if (speaker == SIO) {
    e = talk_sio(p, "40");
    end_text(e, "421[\"room:join\",{\"room\":\"h\",\"since\":0}]");
  } else {
    e = talk_json_at(p, "/json", speaker == MSGPACK);
    say(e, "{\"join\":\"h\",\"since\":0,\"id\":1}");
  }
  text = said(e);
  assert_null(strstr(text, "close"));
  n = times(text, "\"name\"");
  snprintf(gap, sizeof gap, "\"recovered\":false,\"gap\":[1,%d]", EVENTS - n);
  assert_non_null(strstr(text, n == EVENTS ? "\"recovered\":true" : gap));
  return n;
}

static void test_catchup_takes_what_fits_in_bytes(void **state) {
  pair *p = *state;

  for (int kind = 0; kind < PAYLOADS; kind++)
    for (int speaker = 0; speaker < SPEAKERS; speaker++)
      for (int durable = 0; durable < 2; durable++) {
        int before = 0;
        for (uint32_t most = 700; most < 140000; most += 1 + most / 5) {
          int n;
          p->config.limits.queue_bytes = most;
          begin(p, durable, payloads[kind]);
          n = caught_up(p, speaker);
          assert_true(n >= before); /* more room is never worse */
          before = n;
          pair_reset(p);
        }
        assert_int_equal(before, EVENTS);
      }
}

/* One place is kept for the answer. */
static void test_catchup_takes_what_fits_in_count(void **state) {
  pair *p = *state;

  for (int speaker = 0; speaker < SPEAKERS; speaker++)
    for (int durable = 0; durable < 2; durable++)
      for (uint32_t count = 1; count <= EVENTS + 3; count++) {
        p->config.limits.queue_count = count;
        begin(p, durable, "0");
        assert_int_equal(caught_up(p, speaker),
                         count > EVENTS ? EVENTS : (int)count - 1);
        pair_reset(p);
      }
}

/* A ring that began later says nothing of what came before it. */
static void test_catchup_of_what_nobody_heard(void **state) {
  pair *p = *state;
  rill_store *lasting = rill_store_memory(NULL, NULL);
  const char *text;
  char id[60];
  end *e;

  MUST(lasting != NULL);
  memcpy(lasting->epoch, "lastsfor", RILL_STORE_EPOCH);
  p->config.limits.history_ms = 1000;
  talk_begin(p);
  rill_room_defaults(p->hub, "h", &(rill_room_opts){.durable = true});
  assert_int_equal(rill_store_use(p->hub, lasting), 0);
  e = talk_get(p, "/sse/h", "");
  rill_publish(p->hub, rill_s("h"), "n", talk_args(p, "1"), NULL);
  pair_pass(p, 0);
  assert_non_null(strstr(streamed(e), "id: EPOCH-1.1\n"));
  end_eof(e, 0);
  pair_pass(p, 2 * RILL_SEC); /* and with it the room */
  assert_int_equal(pair_metrics(p).rooms, 0);
  rill_publish(p->hub, rill_s("h"), "n", talk_args(p, "2"), NULL);
  pair_pass(p, 0);
  snprintf(id, sizeof id, "Last-Event-ID: %.8s-1.1\r\n", p->hub->epoch);
  e = talk_get(p, "/sse/h", id);
  pair_pass(p, 0);
  text = strstr(streamed(e), "event: ");
  assert_non_null(text);
  assert_string_equal(
      text, "event: n\nid: EPOCH-2.2\ndata: 2\n\n"
            "event: session\nid: EPOCH-2.2\n"
            "data: {\"sid\":\"*\",\"session\":\"*\",\"recovered\":true}\n\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_catchup_takes_what_fits_in_bytes),
      PAIR_TEST(test_catchup_takes_what_fits_in_count),
      PAIR_TEST(test_catchup_of_what_nobody_heard)};

  return cmocka_run_group_tests_name("catchup", tests, NULL, NULL);
}
