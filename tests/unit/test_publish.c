/*
 * test_publish.c - events that a room numbers: into the store, to the
 * members, and back to those who return.
 */
#include <rill/history.h>

#include "talk.h"

/*
 * A store that answers when it is told to: the one in memory behind a queue,
 * with failures on demand.
 */
typedef struct slow {
  rill_store store;
  rill_store *behind;
  rill_store_op *first, **end;
  int fail; /* the status of all that is answered, where not 0 */
} slow;

static void slow_submit(rill_store *store, rill_store_op *op) {
  slow *s = (slow *)(void *)store;

  op->next = NULL;
  *s->end = op;
  s->end = &op->next;
}

static void slow_attach(rill_store *store, rill_hub *hub) {
  slow *s = (slow *)(void *)store;
  s->behind->attach(s->behind, hub);
}

static void slow_free(rill_store *store) {
  slow *s = (slow *)(void *)store;
  s->behind->free(s->behind);
  free(s);
}

static slow *slow_use(pair *p) {
  slow *s = calloc(1, sizeof *s);

  MUST(s != NULL);
  s->store = (rill_store){
      .submit = slow_submit, .attach = slow_attach, .free = slow_free};
  s->behind = rill_store_memory(NULL, NULL);
  s->end = &s->first;
  memcpy(s->store.epoch, "lastsfor", 8);
  assert_int_equal(rill_store_use(p->hub, &s->store), 0);
  return s;
}

/* Answers what waits; the hub hears of it in its next turn. */
static void answer_all(pair *p, slow *s) {
  while (s->first != NULL) {
    rill_store_op *op = s->first;
    s->first = op->next;
    if (s->first == NULL)
      s->end = &s->first;
    if (s->fail == 0) {
      s->behind->submit(s->behind, op);
    } else {
      op->status = s->fail;
      rill_store_complete(op);
    }
  }
  pair_pass(p, 0);
}

static rill_published told;
static char told_id[300];
static int told_times;

static void on_published(rill_hub *hub, const rill_published *published,
                         void *arg) {
  (void)hub;
  (void)arg;
  told = *published;
  snprintf(told_id, sizeof told_id, "%.*s", (int)published->id.len,
           published->id.ptr);
  told_times++;
}

static int publish(pair *p, const char *room, const char *json,
                   const char *id) {
  const rill_publish_opts opts = {.id = rill_s(id), .done = on_published};

  told_times = 0;
  return rill_publish(p->hub, rill_s(room), "n", talk_args(p, json), &opts);
}

static end *member(pair *p, const char *room) {
  end *e = talk_json(p);
  char text[100];

  snprintf(text, sizeof text, "{\"join\":\"%s\"}", room);
  say(e, text);
  said(e);
  pair_log(p);
  return e;
}

static void keeping(pair *p, rill_room_opts opts) {
  talk_begin(p);
  assert_int_equal(rill_room_defaults(p->hub, "h*", &opts), 0);
}

static void test_publish_numbers_in_order(void **state) {
  pair *p = *state;
  end *e;

  keeping(p, (rill_room_opts){.history = 10});
  e = member(p, "h");
  assert_int_equal(publish(p, "h", "1", NULL), 0);
  assert_int_equal(told_times, 0); /* a command runs no handler */
  pair_pass(p, 0);
  assert_int_equal(told_times, 1);
  assert_int_equal(told.status, 0);
  assert_int_equal(told.offset, 1);
  assert_int_equal(strlen(told_id), RILL__SID);
  assert_int_equal(publish(p, "h", "2", NULL), 0);
  assert_int_equal(publish(p, "h2", "1", NULL), 0);
  pair_pass(p, 0);
  assert_int_equal(told.offset, 1);
  assert_string_equal(said(e), "{\"event\":\"n\",\"args\":[1],\"room\":\"h\","
                               "\"at\":1,\"offset\":\"EPOCH-1\"}\n"
                               "{\"event\":\"n\",\"args\":[2],\"room\":\"h\","
                               "\"at\":2,\"offset\":\"EPOCH-2\"}");
  assert_int_equal(pair_metrics(p).published_total, 3);
}

/* |done| runs for each that was taken, and none is sent without it. */
static void test_publish_done_is_sure_to_run(void **state) {
  pair *p = *state;
  end *e;
  int taken = 0;

  p->config.limits.store_pending = 2;
  keeping(p, (rill_room_opts){.history = 10});
  e = member(p, "h");
  for (int i = 0; i < 5; i++) {
    int rv = publish(p, "h", "1", NULL);
    assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
    taken += rv == 0;
  }
  assert_int_equal(taken, 2);
  told_times = 0;
  pair_pass(p, 0);
  assert_int_equal(told_times, 2);
  assert_non_null(strstr(said(e), "\"at\":2"));
  assert_null(strstr((char *)e->text.data, "\"at\":3"));
}

/* Into a room of nobody, which is made for what it keeps. */
static void test_publish_without_memory_leaves_no_room(void **state) {
  pair *p = *state;

  for (uint32_t batch_ms = 0; batch_ms <= 20; batch_ms += 20) {
    uint64_t i = 0, before, used;
    do {
      keeping(p, (rill_room_opts){.history = 10, .batch_ms = batch_ms});
      talk_args(p, "1");
      before = p->mem.calls;
      p->mem.fail_at = before + ++i;
      rill_publish(p->hub, rill_s("h"), "n", &p->hub->build, NULL);
      used = p->mem.calls - before;
      p->mem.fail_at = 0;
      pair_pass(p, 30 * RILL_MSEC);
      assert_int_equal(pair_metrics(p).rooms,
                       pair_metrics(p).history_bytes > 0);
      pair_reset(p);
    } while (i <= used);
    assert_true(i > 3);
  }
}

/* What could not be kept is a gap, not a hole that nobody is told of. */
static void test_publish_without_memory_leaves_no_hole(void **state) {
  pair *p = *state;

  for (uint32_t batch_ms = 0; batch_ms <= 20; batch_ms += 20) {
    uint64_t i = 0, before, used;
    do {
      const char *text;
      end *e;
      keeping(p, (rill_room_opts){.history = 10, .batch_ms = batch_ms});
      publish(p, "h", "1", NULL);
      pair_pass(p, 30 * RILL_MSEC);
      talk_args(p, "2");
      before = p->mem.calls;
      p->mem.fail_at = before + ++i;
      rill_publish(p->hub, rill_s("h"), "n", &p->hub->build, NULL);
      pair_pass(p, 30 * RILL_MSEC);
      used = p->mem.calls - before;
      p->mem.fail_at = 0;
      publish(p, "h", "3", NULL);
      pair_pass(p, 30 * RILL_MSEC);
      e = talk_json(p);
      say(e, "{\"join\":\"h\",\"since\":0}");
      text = said(e);
      assert_non_null(strstr(text, "\"args\":[3]"));
      if (strstr(text, "\"joined\":\"h\",\"at\":3,") != NULL &&
          strstr(text, "\"recovered\":true") != NULL)
        assert_non_null(strstr(text, "\"args\":[2]"));
      pair_reset(p);
    } while (i <= used);
    assert_true(i > 3);
  }
}

/* Stock clients hang up on more, and some form may not exist. */
static void test_publish_not_too_many_attachments(void **state) {
  pair *p = *state;
  const rill_str room = RILL_STR("h");

  for (int durable = 0; durable < 2; durable++) {
    end *e;
    keeping(p, (rill_room_opts){.history = 10, .durable = durable == 1});
    e = member(p, "h");
    for (uint32_t n = 10; n < 400; n += n == 10 ? 1 : 289) {
      rill_builder *b = rill_build(p->hub);
      for (uint32_t i = 0; i < n; i++)
        rill_put_bytes(b, "x", 1);
      assert_int_equal(rill_publish(p->hub, room, "n", b, NULL),
                       n > 10 ? RILL_ERR_LIMIT : 0);
      pair_pass(p, 0);
      assert_int_equal(strlen(said(e)) > 0, n == 10);
    }
    publish(p, "h", "1", NULL);
    pair_pass(p, 0);
    assert_non_null(strstr(said(e), "\"at\":2"));
    assert_int_equal(pair_metrics(p).limit_attachments, 2);
    pair_reset(p);
  }
}

static void test_publish_same_id_once(void **state) {
  pair *p = *state;
  end *e;

  for (int durable = 0; durable < 2; durable++) {
    keeping(p, (rill_room_opts){.history = 10, .durable = durable == 1});
    e = member(p, "h");
    publish(p, "h", "1", "mine");
    pair_pass(p, 0);
    publish(p, "h", "2", NULL);
    pair_pass(p, 0);
    said(e);
    assert_int_equal(publish(p, "h", "1", "mine"), 0);
    pair_pass(p, 0);
    assert_int_equal(told.status, RILL_ERR_EXISTS);
    assert_int_equal(told.offset, 1);
    assert_string_equal(said(e), "");
    assert_int_equal(pair_metrics(p).published_again_total, 1);
    publish(p, "h", "3", "other");
    pair_pass(p, 0);
    assert_int_equal(told.status, 0);
    assert_int_equal(told.offset, 3);
    pair_reset(p);
  }
}

static void test_publish_durable_is_stored_before_it_is_heard(void **state) {
  pair *p = *state;
  slow *s;
  end *e;

  keeping(p, (rill_room_opts){.durable = true});
  s = slow_use(p);
  e = member(p, "h");
  assert_int_equal(publish(p, "h", "1", "a"), 0);
  assert_int_equal(publish(p, "h", "2", "b"), 0);
  pair_pass(p, RILL_SEC);
  assert_string_equal(said(e), "");
  assert_int_equal(told_times, 0);
  answer_all(p, s);
  assert_int_equal(told_times, 2);
  assert_int_equal(told.offset, 2);
  assert_string_equal(said(e), "{\"joined\":\"h\",\"at\":0,\"epoch\":"
                               "\"lastsfor.0\"}\n"
                               "{\"event\":\"n\",\"args\":[1],\"room\":\"h\","
                               "\"at\":1,\"offset\":\"EPOCH-1\"}\n"
                               "{\"event\":\"n\",\"args\":[2],\"room\":\"h\","
                               "\"at\":2,\"offset\":\"EPOCH-2\"}");
}

static void test_publish_store_failure_is_told_and_not_heard(void **state) {
  pair *p = *state;
  slow *s;
  end *e;

  keeping(p, (rill_room_opts){.durable = true});
  s = slow_use(p);
  e = member(p, "h");
  answer_all(p, s);
  said(e);
  publish(p, "h", "1", "a");
  s->fail = RILL_ERR_FULL;
  answer_all(p, s);
  assert_int_equal(told.status, RILL_ERR_FULL);
  assert_string_equal(said(e), "");
  assert_int_equal(pair_metrics(p).store_failures_total, 1);
  s->fail = 0;
  publish(p, "h", "1", "a");
  answer_all(p, s);
  assert_int_equal(told.status, 0);
  assert_int_equal(told.offset, 1);
}

static int republish(pair *p, const event *ev) {
  const rill_publish_opts opts = {.stamp = true};

  (void)p;
  if (strcmp(ev->name, "event") != 0)
    return 0;
  return rill_publish_event(talk_ev, rill_s("h"), &opts);
}

static void test_publish_event_answers_when_safe(void **state) {
  pair *p = *state;
  slow *s;
  end *e;

  keeping(p, (rill_room_opts){.durable = true});
  s = slow_use(p);
  e = member(p, "h");
  p->act = republish;
  say(e, "{\"event\":\"m\",\"args\":[{\"text\":\"hi\",\"id\":\"forged\"}],"
         "\"id\":7}");
  assert_string_equal(said(e), "");
  answer_all(p, s);
  assert_non_null(
      strstr(said(e), "{\"ack\":7,\"args\":[{\"offset\":1,\"id\":"));
  assert_null(strstr((char *)e->text.data, "forged"));
  assert_non_null(
      strstr((char *)e->text.data,
             "{\"event\":\"m\",\"args\":[{\"text\":\"hi\",\"id\":\""));
  s->fail = RILL_ERR_IO;
  say(e, "{\"event\":\"m\",\"args\":[{}],\"id\":8}");
  answer_all(p, s);
  assert_string_equal(said(e),
                      "{\"ack\":8,\"error\":{\"code\":\"store\",\"message\":"
                      "\"the system reported an error\"}}");
  say(e, "{\"event\":\"m\",\"args\":[5],\"id\":9}"); /* no object to stamp */
  assert_non_null(
      strstr(said(e), "{\"ack\":9,\"error\":{\"code\":\"publish\","));
  p->act = NULL;
}

/* Who comes again learns whether another try may help. */
static void test_publish_room_that_cannot_be_read_is_told(void **state) {
  static const char *const asked[] = {
      "{\"join\":\"h\",\"since\":0,\"id\":1}",
      "{\"event\":\"room:join\",\"args\":[{\"room\":\"h\",\"since\":0}],"
      "\"id\":1}"};
  pair *p = *state;
  slow *s;
  end *e;

  p->config.limits.store_pending = 1;
  keeping(p, (rill_room_opts){.durable = true});
  s = slow_use(p);
  assert_int_equal(rill_room_events(p->hub, NULL), 0);
  e = talk_json(p);
  for (size_t i = 0; i < 2; i++) {
    s->fail = RILL_ERR_IO;
    say(e, asked[i]);
    answer_all(p, s);
    assert_non_null(strstr(said(e), "\"code\":\"store\""));
    s->fail = 0;
    assert_int_equal(publish(p, "o", "1", NULL), 0); /* it waits */
    say(e, asked[i]);
    assert_non_null(strstr(said(e), "\"code\":\"busy\""));
    answer_all(p, s);
    say(e, asked[i]);
    answer_all(p, s);
    assert_non_null(strstr(said(e), "\"recovered\":true"));
    assert_int_equal(rill_leave(e->peer, rill_s("h")), 0);
  }
}

static char past_text[4000];

static void on_past(rill_hub *hub, const rill_pasts *pasts, void *arg) {
  size_t n = 0;

  (void)hub;
  (void)arg;
  n += (size_t)snprintf(past_text, sizeof past_text, "%d [%d,%d]",
                        pasts->status, (int)pasts->first, (int)pasts->last);
  for (size_t i = 0; i < pasts->n; i++) {
    char json[100];
    rill_value_json(pasts->v[i].args, json, sizeof json);
    n += (size_t)snprintf(past_text + n, sizeof past_text - n, " %d%s",
                          (int)pasts->v[i].offset, json);
  }
}

static const char *past(pair *p, slow *s, uint64_t since, uint64_t before,
                        uint32_t limit) {
  const rill_history_opts opts = {
      .since = since, .before = before, .limit = limit};

  snprintf(past_text, sizeof past_text, "nothing");
  assert_int_equal(rill_history(p->hub, rill_s("h"), &opts, on_past, NULL), 0);
  assert_string_equal(past_text, "nothing");
  if (s != NULL)
    answer_all(p, s);
  pair_pass(p, 0);
  return past_text;
}

static void test_publish_history_is_read_back(void **state) {
  pair *p = *state;

  for (int durable = 0; durable < 2; durable++) {
    slow *s = NULL;
    keeping(p, (rill_room_opts){
                   .history = 4, .durable = durable == 1, .keep_count = 4});
    if (durable == 1)
      s = slow_use(p);
    assert_string_equal(past(p, s, 0, 0, 0), "0 [0,0]");
    for (int i = 1; i <= 6; i++) {
      char json[8];
      snprintf(json, sizeof json, "%d", i);
      publish(p, "h", json, NULL);
    }
    if (s != NULL)
      answer_all(p, s);
    assert_string_equal(past(p, s, 0, 0, 0), "0 [3,6] 3[3] 4[4] 5[5] 6[6]");
    assert_string_equal(past(p, s, 4, 0, 1), "0 [3,6] 5[5]");
    assert_string_equal(past(p, s, 0, 6, 2), "0 [3,6] 5[5] 4[4]");
    assert_string_equal(past(p, s, 6, 0, 0), "0 [3,6]");
    assert_string_equal(past(p, s, 0, 3, 0), "0 [3,6]");
    pair_reset(p);
  }
}

/* Comes into "h" again, having heard up to |since|. */
static const char *returns(pair *p, slow *s, end *e, int since,
                           const char *epoch) {
  char text[200];

  snprintf(text, sizeof text, "{\"join\":\"h\",\"since\":%d%s%s%s,\"id\":1}",
           since, epoch != NULL ? ",\"epoch\":\"" : "",
           epoch != NULL ? epoch : "", epoch != NULL ? "\"" : "");
  say(e, text);
  if (s != NULL) {
    assert_string_equal(said(e), "");
    answer_all(p, s);
  }
  return said(e);
}

static void test_publish_who_returns_gets_the_rest(void **state) {
  pair *p = *state;
  slow *s;
  end *e;

  keeping(p, (rill_room_opts){.durable = true, .keep_count = 3});
  s = slow_use(p);
  e = talk_json(p);
  for (int i = 1; i <= 5; i++)
    publish(p, "h", "0", NULL);
  answer_all(p, s);
  assert_string_equal(returns(p, s, e, 3, "lastsfor.0"),
                      "{\"event\":\"n\",\"args\":[0],\"room\":\"h\",\"at\":4,"
                      "\"offset\":\"EPOCH-5\"}\n"
                      "{\"event\":\"n\",\"args\":[0],\"room\":\"h\",\"at\":5,"
                      "\"offset\":\"EPOCH-5\"}\n"
                      "{\"joined\":\"h\",\"at\":5,\"epoch\":\"lastsfor.0\","
                      "\"recovered\":true,\"id\":1}");
  say(e, "{\"leave\":\"h\"}");
  said(e);
  assert_string_equal(returns(p, s, e, 5, NULL),
                      "{\"joined\":\"h\",\"at\":5,\"epoch\":\"lastsfor.0\","
                      "\"recovered\":true,\"id\":1}");
  say(e, "{\"leave\":\"h\"}");
  said(e);
  assert_non_null(
      strstr(returns(p, s, e, 1, NULL), "\"recovered\":false,\"gap\":[2,2]"));
  assert_non_null(strstr((char *)e->text.data, "\"at\":3"));
  say(e, "{\"leave\":\"h\"}");
  said(e);
  assert_string_equal(/* of another life: nothing can be said */
                      returns(p, s, e, 9, NULL),
                      "{\"joined\":\"h\",\"at\":5,\"epoch\":\"lastsfor.0\","
                      "\"recovered\":false,\"id\":1}");
}

static uint64_t wall_ms;

static uint64_t wall(void *arg) {
  (void)arg;
  return wall_ms;
}

/* With somebody in the room, whose history is in memory too, and without. */
static void test_publish_what_is_too_old_is_not_read(void **state) {
  pair *p = *state;

  for (int there = 0; there < 2; there++) {
    end *e, *f = NULL;
    p->config.wall = wall;
    wall_ms = 1000000;
    keeping(p, (rill_room_opts){.durable = true, .keep_ms = 500});
    if (there == 1)
      f = member(p, "h");
    e = talk_json(p);
    for (int i = 1; i <= 3; i++) {
      publish(p, "h", "0", NULL);
      pair_pass(p, 100 * RILL_MSEC);
      wall_ms += 100;
    }
    assert_string_equal(past(p, NULL, 0, 0, 0), "0 [1,3] 1[0] 2[0] 3[0]");
    pair_pass(p, 1 * RILL_SEC);
    wall_ms += 1000;
    assert_string_equal(past(p, NULL, 0, 0, 0), "0 [4,3]");
    assert_string_equal(past(p, NULL, 0, 9, 0), "0 [4,3]");
    assert_string_equal(returns(p, NULL, e, 0, NULL),
                        "{\"joined\":\"h\",\"at\":3,\"epoch\":\"EPOCH.0\","
                        "\"recovered\":false,\"gap\":[1,3],\"id\":1}");
    publish(p, "h", "4", NULL); /* and numbers go on */
    pair_pass(p, 0);
    assert_non_null(strstr(said(e), "\"args\":[4],\"room\":\"h\",\"at\":4"));
    if (f != NULL)
      assert_non_null(strstr(said(f), "\"at\":4"));
    assert_string_equal(past(p, NULL, 0, 0, 0), "0 [4,4] 4[4]");
    pair_reset(p);
  }
}

/* Who comes into a room that has been asleep reads what is not too old. */
static void test_publish_who_returns_late_gets_the_newest(void **state) {
  pair *p = *state;
  end *e;

  p->config.wall = wall;
  wall_ms = 1000000;
  p->config.limits.history_ms = 1;
  keeping(p, (rill_room_opts){.durable = true, .keep_ms = 500});
  e = talk_json(p);
  for (int i = 1; i <= 3; i++) {
    publish(p, "h", "0", NULL);
    pair_pass(p, 200 * RILL_MSEC);
    wall_ms += 200;
  }
  pair_pass(p, 1 * RILL_SEC);
  assert_string_equal(returns(p, NULL, e, 0, NULL),
                      "{\"event\":\"n\",\"args\":[0],\"room\":\"h\",\"at\":2,"
                      "\"offset\":\"EPOCH-3\"}\n"
                      "{\"event\":\"n\",\"args\":[0],\"room\":\"h\",\"at\":3,"
                      "\"offset\":\"EPOCH-3\"}\n"
                      "{\"joined\":\"h\",\"at\":3,\"epoch\":\"EPOCH.0\","
                      "\"recovered\":false,\"gap\":[1,1],\"id\":1}");
}

/* What is published while the store reads is heard once, behind the rest. */
static void test_publish_while_somebody_returns(void **state) {
  pair *p = *state;
  slow *s;
  end *e;

  keeping(p, (rill_room_opts){.durable = true});
  s = slow_use(p);
  e = talk_json(p);
  publish(p, "h", "1", NULL);
  say(e, "{\"join\":\"h\",\"since\":0,\"id\":1}");
  publish(p, "h", "2", NULL);
  answer_all(p, s);
  assert_string_equal(said(e), "{\"event\":\"n\",\"args\":[1],\"room\":\"h\","
                               "\"at\":1,\"offset\":\"EPOCH-1\"}\n"
                               "{\"joined\":\"h\",\"at\":1,\"epoch\":"
                               "\"lastsfor.0\",\"recovered\":true,\"id\":1}\n"
                               "{\"event\":\"n\",\"args\":[2],\"room\":\"h\","
                               "\"at\":2,\"offset\":\"EPOCH-2\"}");
}

static void test_publish_ring_numbers_have_an_epoch(void **state) {
  pair *p = *state;
  end *e, *f;
  char epoch[32];

  keeping(p, (rill_room_opts){.history = 10});
  e = talk_json(p);
  say(e, "{\"join\":\"h\"}");
  assert_string_equal(said(e),
                      "{\"joined\":\"h\",\"at\":0,\"epoch\":\"EPOCH.1\"}");
  for (int i = 1; i <= 3; i++)
    publish(p, "h", "0", NULL);
  pair_pass(p, 0);
  f = talk_json(p);
  snprintf(epoch, sizeof epoch, "%.8s.1", p->hub->epoch);
  assert_non_null(strstr(returns(p, NULL, f, 2, epoch),
                         "\"at\":3,\"epoch\":\"EPOCH.1\",\"recovered\":true"));
  assert_null(strstr((char *)f->text.data, "\"at\":2"));
  say(f, "{\"leave\":\"h\"}");
  said(f);
  assert_non_null(strstr(returns(p, NULL, f, 2, NULL), "\"recovered\":false"));
  say(f, "{\"leave\":\"h\"}");
  said(f);
  assert_non_null(
      strstr(returns(p, NULL, f, 2, "elsewher.1"), "\"recovered\":false"));
}

static void test_publish_room_events(void **state) {
  pair *p = *state;
  end *e;

  talk_begin_bare(p);
  assert_int_equal(rill_room_events(p->hub, NULL), 0);
  assert_int_equal(
      rill_room_defaults(p->hub, "*", &(rill_room_opts){.history = 9}), 0);
  e = talk_sio(p, "40");
  end_text(e, "420[\"room:history\",{\"room\":\"h\"}]");
  assert_string_equal(said(e), "430[{\"error\":{\"code\":\"forbidden\","
                               "\"message\":\"only members may read\"}}]");
  end_text(e, "421[\"room:join\",{\"room\":\"h\"}]");
  assert_string_equal(said(e),
                      "431[{\"joined\":\"h\",\"at\":0,\"epoch\":\"EPOCH.1\"}]");
  publish(p, "h", "1", "one");
  pair_pass(p, 0);
  assert_string_equal(said(e), "42[\"n\",1]");
  end_text(e, "422[\"room:history\",{\"room\":\"h\",\"before\":9}]");
  assert_non_null(strstr(said(e), "432[{\"first\":1,\"last\":1,\"events\":[{"
                                  "\"at\":1,\"id\":\"one\",\"timestamp\":"));
  end_text(e, "423[\"room:leave\",{\"room\":\"h\"}]");
  assert_string_equal(said(e), "433[{\"left\":\"h\"}]");
  end_text(e, "424[\"room:leave\",{\"room\":\"h\"}]");
  assert_non_null(strstr(said(e), "\"code\":\"leave\""));
}

/* With recovery a client of Socket.IO finds the number behind the offset. */
static void test_publish_tells_socketio_the_number(void **state) {
  pair *p = *state;
  end *e;

  talk_begin_recovering(p);
  assert_int_equal(
      rill_room_defaults(p->hub, "*", &(rill_room_opts){.history = 9}), 0);
  assert_int_equal(rill_room_events(p->hub, NULL), 0);
  e = talk_sio(p, "40");
  end_text(e, "420[\"room:join\",{\"room\":\"h\"}]");
  said(e);
  publish(p, "h", "1", NULL);
  publish(p, "h", "2", NULL);
  talk_emit(p, "h", "m", "3");
  pair_pass(p, 0);
  assert_string_equal(said(e), "42[\"n\",1,\"EPOCH-1.1\"]\n"
                               "42[\"n\",2,\"EPOCH-2.2\"]\n"
                               "42[\"m\",3,\"EPOCH-3\"]");
  talk_give_up(p);
}

/* A stream of one durable room goes on by number in another life. */
static void test_publish_stream_goes_on_by_number(void **state) {
  pair *p = *state;
  slow *s;
  end *e;
  const char *text;

  keeping(p, (rill_room_opts){.durable = true});
  s = slow_use(p);
  for (int i = 1; i <= 3; i++) {
    char json[8];
    snprintf(json, sizeof json, "%d", i);
    publish(p, "h", json, NULL);
  }
  answer_all(p, s);
  e = talk_get(p, "/sse/h", "Last-Event-ID: anothers-77.1\r\n");
  assert_null(strstr(streamed(e), "event: session"));
  answer_all(p, s);
  text = streamed(e);
  assert_string_equal(
      text, "event: n\nid: EPOCH-3.2\ndata: 2\n\n"
            "event: n\nid: EPOCH-3.3\ndata: 3\n\n"
            "event: session\nid: EPOCH-3.3\n"
            "data: {\"sid\":\"*\",\"session\":\"*\",\"recovered\":true}\n\n");
  publish(p, "h", "4", NULL);
  answer_all(p, s);
  assert_string_equal(streamed(e), "event: n\nid: EPOCH-4.4\ndata: 4\n\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_publish_numbers_in_order),
      PAIR_TEST(test_publish_done_is_sure_to_run),
      PAIR_TEST(test_publish_without_memory_leaves_no_room),
      PAIR_TEST(test_publish_without_memory_leaves_no_hole),
      PAIR_TEST(test_publish_not_too_many_attachments),
      PAIR_TEST(test_publish_same_id_once),
      PAIR_TEST(test_publish_durable_is_stored_before_it_is_heard),
      PAIR_TEST(test_publish_store_failure_is_told_and_not_heard),
      PAIR_TEST(test_publish_room_that_cannot_be_read_is_told),
      PAIR_TEST(test_publish_event_answers_when_safe),
      PAIR_TEST(test_publish_history_is_read_back),
      PAIR_TEST(test_publish_who_returns_gets_the_rest),
      PAIR_TEST(test_publish_what_is_too_old_is_not_read),
      PAIR_TEST(test_publish_who_returns_late_gets_the_newest),
      PAIR_TEST(test_publish_while_somebody_returns),
      PAIR_TEST(test_publish_ring_numbers_have_an_epoch),
      PAIR_TEST(test_publish_room_events),
      PAIR_TEST(test_publish_tells_socketio_the_number),
      PAIR_TEST(test_publish_stream_goes_on_by_number)};

  return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
