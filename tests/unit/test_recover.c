/*
 * Recovery: who loses its connection without having closed it comes back to
 * what it missed, once and in order, or is told that it cannot.
 */
#include "eio.h"

/* As BY_...; and the envelope. */
enum { BY_JSON = BY_ALL, WAYS };

static void begin(world *w) {
  eio_begin(w);
  eio_space(w, "/", &(rill_space_opts){.recovery = true});
}

static rill_str name_of(const char *text) {
  return rill_s(text);
}

/* A client of each kind, in "/"; its OPEN has been heard. */
static cli *come(world *w, int how, const char *auth) {
  cli *c;
  char text[200];

  if (how < BY_ALL) {
    c = cli_by(w, how, "/socket.io/");
    snprintf(text, sizeof text, "40%s", auth);
    cli_say(c, text);
    assert_string_equal(cli_hears(c), "40{\"sid\":\"*\",\"pid\":\"*\"}");
    return c;
  }
  c = cli_json(w);
  snprintf(text, sizeof text, "{\"open\":%s}", auth[0] != '\0' ? auth : "{}");
  cli_say(c, text);
  assert_string_equal(cli_hears(c),
                      "{\"open\":\"*\",\"session\":\"*\",\"recovered\":false}");
  return c;
}

/* Comes back as |old|, by |how|; what it hears. */
static const char *come_back(world *w, int how, const cli *old, cli **out,
                             const char *more) {
  char text[400], offset[100] = "";
  cli *c = how < BY_ALL ? cli_by(w, how, "/socket.io/") : cli_json(w);

  if (old->offset[0] != '\0')
    snprintf(offset, sizeof offset, ",\"offset\":\"%s\"", old->offset);
  if (how < BY_ALL)
    snprintf(text, sizeof text, "40{\"pid\":\"%s\"%s%s}", old->pid, offset,
             more);
  else
    snprintf(text, sizeof text, "{\"open\":{},\"resume\":\"%s\"%s%s}", old->pid,
             offset, more);
  memcpy(c->offset, old->offset, sizeof c->offset);
  cli_say(c, text);
  *out = c;
  return cli_hears(c);
}

static bool is_fresh(const char *heard_) {
  return strcmp(heard_, "40{\"sid\":\"*\",\"pid\":\"*\"}") == 0 ||
         strcmp(heard_,
                "{\"open\":\"*\",\"session\":\"*\",\"recovered\":false}") == 0;
}

static void emit_int(world *w, const rill_to *to, const char *name, int n) {
  rill_builder *b = rill_build(w->hub);

  rill_put_int(b, n);
  assert_int_equal(rill_emit(w->hub, to, name, b, NULL), 0);
}

static void emit_room(world *w, const char *room, const char *name, int n) {
  rill_str r = rill_s(room);

  emit_int(w, &(rill_to){.rooms = &r, .nrooms = 1}, name, n);
}

static int as_token(world *w, const happening *h) {
  rill_str user;

  (void)w;
  if (strcmp(h->name, "auth") != 0)
    return 0;
  user = rill_request_credential(h->req);
  return user.len == 0 ? rill_accept(h->req, rill_s("ann"))
                       : rill_accept(h->req, user);
}

/* ---- away and back ---- */

static void test_recover_brings_what_was_missed(void **state) {
  static const char *const sio =
      "42[\"room\",2,\"@2\"] | 42[\"all\",3,\"@3\"] | "
      "42[\"user\",4,\"@4\"] | 42[\"peer\",5,\"@5\"] | "
      "42[\"both\",6,\"@6\"] | "
      "451-[\"bytes\",{\"_placeholder\":true,\"num\":0},\"@10\"] | bAQI= | "
      "42[\"message\",\"text\",\"@11\"] | 40{\"sid\":\"*\",\"pid\":\"*\"}";
  static const char *const json =
      "{\"open\":\"*\",\"session\":\"*\",\"recovered\":true} | "
      "{\"event\":\"room\",\"args\":[2],\"room\":\"one\",\"offset\":\"@2\"} | "
      "{\"event\":\"all\",\"args\":[3],\"offset\":\"@3\"} | "
      "{\"event\":\"user\",\"args\":[4],\"offset\":\"@4\"} | "
      "{\"event\":\"peer\",\"args\":[5],\"offset\":\"@5\"} | "
      "{\"event\":\"both\",\"args\":[6],\"offset\":\"@6\"} | "
      "{\"event\":\"bytes\",\"args\":[{\"$bytes\":\"AQI=\"}],"
      "\"room\":\"one\",\"offset\":\"@10\"} | "
      "{\"event\":\"message\",\"args\":[\"text\"],\"offset\":\"@11\"}";
  world *w = *state;
  int how = w->p->cut == PAIR_WHOLE ? 0 : 1;

  for (; how < WAYS; how++) {
    cli *c, *d;
    rill_peer peer;
    rill_str rooms[2] = {rill_s("one"), rill_s("two")}, user = rill_s("ann");
    rill_str nobody = rill_s("three");
    rill_builder *b;
    rill_msg msg = rill_text("text");
    char first[RILL__SID + 1], secret[RILL__SID + 1];
    const char *heard_;
    w->p->config.authenticate = eio_authenticate;
    w->act = as_token;
    begin(w);
    c = come(w, how, "{\"token\":\"ann\"}");
    peer = w->seen[0].peer;
    strcpy(first, c->id);
    strcpy(secret, c->pid);
    rill_peer_set_data(peer, w);
    rill_join(peer, rooms[0]);
    rill_join(peer, rooms[1]);
    pair_log(w->p);
    emit_room(w, "one", "heard", 1);
    assert_non_null(strstr(cli_hears(c), "heard"));
    cli_cut(c);
    assert_string_equal(pair_log(w->p), "0 away");
    assert_false(rill_is_open(peer));
    assert_int_equal(pair_metrics(w->p).away, 1);
    assert_int_equal(rill_peers(w->hub), 0);

    emit_room(w, "one", "room", 2);
    emit_int(w, &(rill_to){.all = true}, "all", 3);
    emit_int(w, &(rill_to){.users = &user, .nusers = 1}, "user", 4);
    emit_int(w, &(rill_to){.peers = &peer, .npeers = 1}, "peer", 5);
    emit_int(
        w, &(rill_to){.rooms = rooms, .nrooms = 2, .peers = &peer, .npeers = 1},
        "both", 6); /* once, though it is in three rings */
    emit_int(w, &(rill_to){.rooms = &nobody, .nrooms = 1}, "other", 7);
    assert_int_equal(rill_emit_others(peer, rooms[0], "others", NULL, NULL), 0);
    emit_int(
        w,
        &(rill_to){.all = true, .except_rooms = &rooms[1], .nexcept_rooms = 1},
        "but two", 9);
    assert_int_equal(rill_emit_room(w->hub, rooms[0], "volatile", NULL,
                                    &(rill_emit_opts){.is_volatile = true}),
                     0);
    b = rill_build(w->hub);
    rill_put_bytes(b, "\x01\x02", 2);
    assert_int_equal(rill_emit_room(w->hub, rooms[0], "bytes", b, NULL), 0);
    assert_int_equal(rill_send(peer, &msg), 0);

    pair_pass(w->p, 100 * RILL_SEC);
    heard_ = come_back(w, how, c, &d, ",\"token\":\"ann\"");
    assert_string_equal(heard_, how == BY_JSON ? json : sio);
    assert_string_equal(d->id, first);
    assert_int_equal(strcmp(d->pid, secret) == 0, how < BY_ALL);
    assert_non_null(strstr(pair_log(w->p), "0 back"));
    assert_int_equal(w->seen[0].missed, 0);
    assert_true(rill_is_open(peer));
    assert_ptr_equal(rill_peer_data(peer), w);
    assert_true(rill_in_room(peer, rooms[1]));
    assert_string_equal(text_of(rill_peer_user(peer)), "ann");
    assert_int_equal(pair_metrics(w->p).recovered_total, 1);
    assert_int_equal(pair_metrics(w->p).away, 0);
    /* and it goes on, again and again */
    emit_room(w, "two", "after", 12);
    assert_non_null(strstr(cli_hears(d), "after"));
    cli_cut(d);
    emit_room(w, "two", "more", 13);
    heard_ = come_back(w, how, d, &c, ",\"token\":\"ann\"");
    assert_non_null(strstr(heard_, "more"));
    assert_null(strstr(heard_, "after"));
    assert_int_equal(w->seen[0].away, 2);
    assert_int_equal(w->seen[0].back, 2);
    assert_int_equal(w->n, 1);
    if (how == WAYS - 1)
      break;
    w->act = NULL; /* another hub */
    rill_cut(peer);
    for (int i = 0; i < 40; i++)
      pair_jump(w->p, 10 * RILL_SEC);
    assert_int_equal(w->seen[0].closed, 1);
    pair_reset(w->p);
    w->n = w->nclis = 0;
  }
}

static void test_recover_with_nothing_heard(void **state) {
  world *w = *state;

  begin(w);
  for (int how = 0; how < WAYS; how++) {
    cli *c = come(w, how, ""), *d;
    const char *heard_;
    cli_cut(c);
    heard_ = come_back(w, how, c, &d, ""); /* no offset, nothing missed */
    assert_false(strstr(heard_, "false") != NULL);
    assert_string_equal(d->id, c->id);
    assert_int_equal(w->seen[how].back, 1);
    cli_cut(d);
    c->offset[0] = '\0';
    emit_int(w, &(rill_to){.peers = &w->seen[how].peer, .npeers = 1}, "one", 1);
    memcpy(c->pid, d->pid, sizeof c->pid);
    heard_ = come_back(w, how, c, &d, "");
    assert_non_null(strstr(heard_, "one"));
    assert_int_equal(w->seen[how].back, 2);
    assert_int_equal(w->n, how + 1);
  }
}

/* What it was sent before it came is not what it missed. */
static void test_recover_not_from_before(void **state) {
  world *w = *state;

  begin(w);
  come(w, BY_WEBSOCKET, "");
  rill_join(w->seen[0].peer, rill_s("one"));
  for (int i = 1; i <= 3; i++)
    emit_room(w, "one", "old", i);
  for (int how = 0; how < WAYS; how++) {
    cli *c = come(w, how, ""), *d;
    rill_join(w->seen[w->n - 1].peer, rill_s("one"));
    cli_cut(c);
    for (int k = 0; k < 2; k++) {
      if (k == 1) /* whatever it says that it knows */
        snprintf(c->offset, sizeof c->offset, "%.8s-0", w->hub->epoch);
      assert_null(strstr(come_back(w, how, c, &d, ""), "old"));
      assert_int_equal(w->seen[w->n - 1].back, k + 1);
      assert_string_equal(d->id, c->id);
      memcpy(c->pid, d->pid, sizeof c->pid);
      cli_cut(d);
    }
  }
}

/* Nor what a room was sent before it joined that. */
static void test_recover_not_from_before_a_join(void **state) {
  world *w = *state;

  w->p->config.limits.history_count = 3;
  begin(w);
  come(w, BY_WEBSOCKET, "");
  rill_join(w->seen[0].peer, rill_s("late"));
  for (int how = 0; how < WAYS; how++) {
    cli *c = come(w, how, ""), *d;
    const char *heard_;
    rill_peer peer = w->seen[how + 1].peer;
    for (int i = 0; i < 5; i++) /* some of it is forgotten: no gap of its */
      emit_room(w, "late", "old", i);
    rill_join(peer, rill_s("late"));
    if (how % 2 == 1) {
      emit_room(w, "late", "heard", 1);
      assert_non_null(strstr(cli_hears(c), "heard"));
    }
    cli_cut(c);
    emit_room(w, "late", "new", 1);
    heard_ = come_back(w, how, c, &d, "");
    assert_int_equal(w->seen[how + 1].back, 1);
    assert_int_equal(w->seen[how + 1].missed, 0);
    assert_null(strstr(heard_, "old"));
    assert_null(strstr(heard_, "heard"));
    assert_non_null(strstr(heard_, "new"));
    rill_cut(peer);
    pair_turn(w->p);
  }
}

/* ---- verdicts ---- */

static void test_recover_gap(void **state) {
  world *w = *state;
  int sent = 0;

  w->p->config.limits.history_count = 4;
  begin(w);
  for (int how = 0; how < WAYS; how++) {
    for (int n = 4; n <= 5; n++) {
      cli *c = come(w, how, ""), *d;
      const char *heard_;
      seen *s = &w->seen[w->n - 1];
      rill_join(s->peer, rill_s("one"));
      cli_cut(c);
      for (int i = 0; i < n; i++)
        emit_room(w, "one", "room", sent++);
      heard_ = come_back(w, how, c, &d, "");
      if (n == 4) {
        assert_int_equal(s->back, 1);
        assert_int_equal(s->missed, 0);
      } else if (how < BY_ALL) { /* all or nothing */
        assert_true(is_fresh(heard_));
        assert_string_not_equal(d->id, c->id);
        assert_int_equal(s->back, 0);
        assert_int_equal(s->closed, 1);
      } else { /* it is told, and gets what there is */
        assert_non_null(strstr(heard_, "\"recovered\":false"));
        assert_non_null(strstr(heard_, "\"room\""));
        assert_int_equal(s->back, 1);
        assert_int_equal(s->missed, RILL_ERR_LIMIT);
      }
      cli_cut(d);
    }
  }
  assert_int_equal(pair_metrics(w->p).recovered_gap_total, 4);
  assert_int_equal(pair_metrics(w->p).recovered_total, 4);
}

static void test_recover_within_its_time(void **state) {
  world *w = *state;

  w->p->config.limits.recovery_ms = 1000;
  begin(w);
  for (int how = 0; how < WAYS; how++) {
    for (int late = 0; late < 2; late++) {
      cli *c = come(w, how, ""), *d;
      seen *s = &w->seen[w->n - 1];
      cli_cut(c);
      pair_pass(w->p, (999 + (rill_time)late) * RILL_MSEC);
      assert_int_equal(s->closed, late);
      if (late) {
        assert_string_equal(rill_disconnect_reason(&s->how), "transport close");
        assert_true(is_fresh(come_back(w, how, c, &d, "")));
      } else {
        come_back(w, how, c, &d, "");
        assert_int_equal(s->back, 1);
      }
      rill_cut(w->seen[w->n - 1].peer);
      pair_turn(w->p);
      assert_int_equal(pair_metrics(w->p).limit_recovery_ms, how + late);
    }
  }
}

static void test_recover_so_many_at_once(void **state) {
  world *w = *state;
  cli *c[3], *d;

  w->p->config.limits.away_peers = 2;
  begin(w);
  for (int i = 0; i < 3; i++)
    c[i] = come(w, BY_WEBSOCKET, "");
  for (int i = 0; i < 3; i++)
    cli_cut(c[i]);
  assert_int_equal(w->seen[0].away + w->seen[1].away, 2);
  assert_int_equal(w->seen[2].away, 0);
  assert_int_equal(w->seen[2].closed, 1);
  assert_int_equal(pair_metrics(w->p).limit_away_peers, 1);
  assert_true(is_fresh(come_back(w, BY_WEBSOCKET, c[2], &d, "")));
  come_back(w, BY_WEBSOCKET, c[0], &d, "");
  assert_int_equal(w->seen[0].back, 1);
}

/* ---- refusals ---- */

static void test_recover_not_who_left(void **state) {
  world *w = *state;

  begin(w);
  for (int how = 0; how < WAYS; how++) {
    for (int way = 0; way < 3; way++) {
      cli *c = come(w, how, ""), *d;
      seen *s = &w->seen[w->n - 1];
      if (way == 0 && how < BY_ALL)
        cli_say(c, "41");
      else if (way == 0)
        end_bye(c->ws, 1000, "");
      else if (way == 1)
        rill_close(s->peer, 1000, NULL);
      else
        rill_cut(s->peer);
      pair_turn(w->p);
      if (how == BY_JSON && way == 1)
        end_bye(c->ws, 1000, "");
      assert_int_equal(s->closed, 1);
      assert_int_equal(s->away, 0);
      assert_true(is_fresh(come_back(w, how, c, &d, "")));
      rill_cut(w->seen[w->n - 1].peer);
      cli_cut(c);
      pair_turn(w->p);
      w->nclis = 0;
    }
  }
}

static void test_recover_not_for_others(void **state) {
  world *w = *state;

  w->p->config.authenticate = eio_authenticate;
  w->act = as_token;
  begin(w);
  eio_space(w, "/admin", &(rill_space_opts){.recovery = true});
  for (int how = 0; how < WAYS; how++) {
    cli *c = come(w, how, "{\"token\":\"ann\"}"), *d, wrong;
    seen *s = &w->seen[w->n - 1];
    char text[200];
    cli_cut(c);
    if (how < BY_ALL) {
      assert_true(is_fresh(come_back(w, how, c, &d, ",\"token\":\"eve\"")));
      assert_string_equal(text_of(rill_peer_user(w->seen[w->n - 1].peer)),
                          "eve");
      snprintf(text, sizeof text, "40/admin,{\"pid\":\"%s\",\"token\":\"ann\"}",
               c->pid);
      cli_say(d, text);
      assert_string_equal(cli_hears(d),
                          "40/admin,{\"sid\":\"*\",\"pid\":\"*\"}");
      cli_cut(d);
    } else {
      d = cli_json(w);
      snprintf(text, sizeof text,
               "{\"open\":{\"token\":\"eve\"},\"resume\":\"%s\"}", c->pid);
      cli_say(d, text);
      assert_true(is_fresh(cli_hears(d)));
      cli_cut(d);
    }
    wrong = *c; /* not a secret, not an offset */
    wrong.pid[3] ^= 1;
    assert_true(is_fresh(come_back(w, how, &wrong, &d, "")));
    cli_cut(d);
    for (int i = 0; i < 4; i++) {
      static const char *const offsets[] = {"-1000", "-", "-1x", "-1"};
      wrong = *c;
      snprintf(wrong.offset, sizeof wrong.offset, "%.8s%s",
               i < 3 ? w->hub->epoch : "abcdefgh", offsets[i]);
      assert_true(is_fresh(come_back(w, how, &wrong, &d, "")));
      cli_cut(d);
    }
    assert_int_equal(s->back, 0);
    assert_int_equal(s->closed, 0);
    if (how == BY_JSON) {
      d = cli_json(w);
      snprintf(text, sizeof text,
               "{\"open\":{\"token\":\"ann\"},\"resume\":\"%s\"}", c->pid);
      cli_say(d, text);
      pair_turn(w->p);
    } else {
      come_back(w, how, c, &d, ",\"token\":\"ann\"");
    }
    assert_int_equal(s->back, 1);
    rill_cut(s->peer);
    pair_pass(w->p, 200 * RILL_SEC);
    w->nclis = 0;
    for (size_t i = 0; i < w->n; i++)
      assert_int_equal(w->seen[i].closed, 1);
    w->n = 0;
  }
}

/* Socket.IO's secret stays, so the first conn must be over. */
static void test_recover_not_twice_at_once(void **state) {
  world *w = *state;
  cli *c, *d, *e;

  begin(w);
  c = come(w, BY_WEBSOCKET, "");
  assert_true(is_fresh(come_back(w, BY_WEBSOCKET, c, &d, "")));
  assert_true(rill_is_open(w->seen[0].peer));
  cli_cut(c);
  come_back(w, BY_POLLING, c, &e, "");
  assert_int_equal(w->seen[0].back, 1);
  assert_true(is_fresh(come_back(w, BY_WEBSOCKET, c, &d, "")));
  assert_int_equal(w->seen[0].back, 1);
}

/* The envelope takes over from a conn that has not noticed its end. */
static void test_recover_takes_over(void **state) {
  world *w = *state;
  cli *c, *d, *e;
  char first[RILL__SID + 1];

  begin(w);
  c = come(w, BY_JSON, "");
  strcpy(first, c->pid);
  rill_join(w->seen[0].peer, rill_s("one"));
  emit_room(w, "one", "lost on its way", 1);
  c->ws->room = 0; /* half open */
  pair_log(w->p);
  assert_string_equal(
      come_back(w, BY_JSON, c, &d, ""),
      "{\"open\":\"*\",\"session\":\"*\",\"recovered\":true} | "
      "{\"event\":\"lost on its way\",\"args\":[1],\"room\":\"one\","
      "\"offset\":\"@1\"}");
  assert_string_equal(pair_log(w->p), "0 away; 0 back");
  assert_string_not_equal(d->pid, first);
  assert_string_equal(d->id, c->id);
  /* the first secret is used up */
  assert_true(is_fresh(come_back(w, BY_JSON, c, &e, "")));
  assert_true(rill_is_open(w->seen[0].peer));
  emit_room(w, "one", "on", 2);
  assert_non_null(strstr(cli_hears(d), "\"on\""));
  assert_int_equal(w->n, 2);
}

/* A secret in the hands of another user ends nothing. */
static void test_recover_takes_over_from_its_own(void **state) {
  world *w = *state;
  cli *c, *d;
  char text[200];

  w->p->config.authenticate = eio_authenticate;
  w->act = as_token;
  begin(w);
  c = come(w, BY_JSON, "{\"token\":\"ann\"}");
  d = cli_json(w);
  snprintf(text, sizeof text,
           "{\"open\":{\"token\":\"eve\"},\"resume\":\"%s\"}", c->pid);
  cli_say(d, text);
  assert_true(is_fresh(cli_hears(d)));
  assert_true(rill_is_open(w->seen[0].peer));
  assert_int_equal(w->seen[0].away, 0);
}

/* ---- what else happens meanwhile ---- */

/* Held back for the room, and replayed: once all the same. */
static void test_recover_and_batches(void **state) {
  static const rill_room_opts batch = {.batch_ms = 50};
  world *w = *state;

  begin(w);
  assert_int_equal(rill_room_defaults(w->hub, "slow*", &batch), 0);
  for (int how = 0; how < WAYS; how++) {
    cli *c = come(w, how, ""), *d;
    const char *heard_;
    rill_join(w->seen[how].peer, rill_s("slow"));
    cli_cut(c);
    emit_room(w, "slow", "once", how);
    pair_pass(w->p, 10 * RILL_MSEC);
    heard_ = come_back(w, how, c, &d, "");
    assert_int_equal(w->seen[how].back, 1);
    assert_non_null(strstr(heard_, "once"));
    pair_pass(w->p, 100 * RILL_MSEC);
    assert_string_equal(cli_hears(d), "");
    rill_cut(w->seen[how].peer);
    pair_turn(w->p);
  }
}

/* More was missed than a queue takes. */
static void test_recover_more_than_a_queue(void **state) {
  world *w = *state;

  w->p->config.limits.queue_count = 10;
  w->p->config.limits.soft_count = 5;
  w->p->quiet = true;
  begin(w);
  for (int how = 0; how < WAYS; how++) {
    cli *c, *d;
    const char *heard_;
    int n = 0;
    w->n = w->nclis = 0;
    c = come(w, how, "");
    rill_join(w->seen[0].peer, rill_s("one"));
    cli_cut(c);
    for (int i = 0; i < 40; i++)
      emit_room(w, "one", "missed", i);
    heard_ = come_back(w, how, c, &d, "");
    while ((heard_ = strstr(heard_, "missed")) != NULL) {
      heard_++;
      n++;
    }
    /* a gap as any other; the envelope gets the newest */
    assert_int_equal(n, how < BY_ALL ? 0 : 10);
    assert_int_equal(w->seen[0].closed, how < BY_ALL);
    assert_int_equal(w->seen[0].missed, how < BY_ALL ? 0 : RILL_ERR_LIMIT);
    assert_true(rill_is_open(w->seen[w->n - 1].peer));
    rill_cut(w->seen[w->n - 1].peer);
    pair_turn(w->p);
  }
}

static int on_away(world *w, const happening *h) {
  rill_peer peer;
  const rill_peer nobody = {0};

  if (strcmp(h->name, "back") == 0 && w->count >= 4) {
    if (w->count == 4)
      rill_cut(h->who->peer);
    if (w->count == 5)
      rill_close(h->who->peer, 1000, NULL);
    return w->count == 6 ? -99 : 0;
  }
  if (strcmp(h->name, "away") != 0)
    return 0;
  peer = h->who->peer;
  assert_int_equal(rill_pause(peer), RILL_ERR_CLOSED);
  assert_int_equal(rill_ping(peer), RILL_ERR_CLOSED);
  assert_int_equal(rill_join(peer, rill_s("new")), RILL_ERR_CLOSED);
  assert_int_equal(rill_leave(peer, rill_s("one")), 0);
  assert_int_equal(rill_peer_address(peer).len, 9);
  assert_int_equal(rill_peer_transport(peer).len, 0);
  assert_int_equal(rill_peer_queued(peer), 0);
  assert_true(rill_peer_eq(rill_find_sid(w->hub, rill_peer_sid(peer)), peer));
  assert_int_equal(rill_emit_peer(nobody, "x", NULL, NULL), RILL_ERR_CLOSED);
  assert_int_equal(rill_emit_peer(peer, "x", NULL, NULL), 0);
  if (w->count == 0)
    return -99;
  if (w->count == 1)
    rill_cut(peer);
  if (w->count == 2)
    rill_close(peer, 1000, NULL);
  return 0;
}

static void test_recover_inside_handlers(void **state) {
  world *w = *state;

  w->act = on_away;
  begin(w);
  for (int how = 0; how < WAYS; how++) {
    for (w->count = 0; w->count < 7; w->count++) {
      cli *c = come(w, how, ""), *d;
      seen *s = &w->seen[w->n - 1];
      rill_join(s->peer, rill_s("one"));
      cli_cut(c);
      assert_int_equal(s->away, 1);
      assert_int_equal(s->closed, w->count < 3);
      if (w->count < 3)
        continue;
      come_back(w, how, c, &d, "");
      assert_int_equal(s->back, 1);
      pair_turn(w->p);
      if (w->count == 5 && how == BY_JSON)
        end_bye(d->ws, 1000, "");
      assert_int_equal(s->closed, w->count > 3);
      if (w->count == 3) {
        rill_cut(s->peer);
        pair_turn(w->p);
      }
      cli_cut(d);
      w->nclis = 0;
    }
    w->n = 0;
  }
}

static void answered(rill_hub *hub, const rill_answers *a, void *arg) {
  world *w = arg;

  (void)hub;
  w->count++;
  assert_int_equal(a->n, 0);
  /* the second time it is away, and not asked */
  assert_int_equal(a->nmissing, w->count == 1);
  assert_int_equal(a->status, w->count == 1 ? RILL_ERR_CLOSED : 0);
}

/* Who goes away does not answer any more. */
static void test_recover_and_answers(void **state) {
  world *w = *state;

  begin(w);
  for (int how = 0; how < WAYS; how++) {
    cli *c = come(w, how, ""), *d;
    const rill_emit_opts ask = {.on_answers = answered, .arg = w};
    rill_peer peer = w->seen[how].peer;
    w->count = 0;
    assert_int_equal(rill_emit_peer(peer, "ask", NULL, &ask), 0);
    assert_non_null(strstr(cli_hears(c), "ask"));
    cli_cut(c);
    assert_int_equal(w->count, 1);
    assert_int_equal(rill_emit_peer(peer, "ask", NULL, &ask), RILL_ERR_CLOSED);
    assert_int_equal(rill_emit(w->hub, &(rill_to){.peers = &peer, .npeers = 1},
                               "ask", NULL, &ask),
                     0);
    pair_turn(w->p);
    assert_int_equal(w->count, 2);
    come_back(w, how, c, &d, "");
    assert_int_equal(w->seen[how].back, 1);
    rill_cut(peer);
    pair_turn(w->p);
  }
}

static void test_recover_ends_with_the_hub(void **state) {
  world *w = *state;

  begin(w);
  for (int how = 0; how < WAYS; how++)
    cli_cut(come(w, how, ""));
  pair_log(w->p);
  rill_drain(w->hub, 0, w->p->now);
  pair_turn(w->p);
  for (int how = 0; how < WAYS; how++)
    assert_int_equal(w->seen[how].closed, 1);
  pair_pass(w->p, 6 * RILL_SEC);
  assert_true(rill_is_drained(w->hub));
}

/* Several peers of one conn go away and come back each for itself. */
static void test_recover_each_namespace(void **state) {
  world *w = *state;

  begin(w);
  eio_space(w, "/admin", &(rill_space_opts){.recovery = true});
  eio_space(w, "/plain", NULL);
  for (int how = 0; how < BY_ALL; how++) {
    cli *c = come(w, how, ""), *d;
    size_t first = w->n - 1;
    char pid[RILL__SID + 1], text[100];
    cli_say(c, "40/plain,");
    assert_string_equal(cli_hears(c), "40/plain,{\"sid\":\"*\"}");
    cli_say(c, "40/admin,");
    strcpy(pid, c->pid);
    assert_string_equal(cli_hears(c), "40/admin,{\"sid\":\"*\",\"pid\":\"*\"}");
    assert_string_not_equal(c->pid, pid);
    cli_cut(c);
    assert_int_equal(w->seen[first].away, 1);
    assert_int_equal(w->seen[first + 1].closed, 1);
    assert_int_equal(w->seen[first + 2].away, 1);
    assert_int_equal(
        rill_emit_all(w->hub, "a", NULL,
                      &(rill_emit_opts){.space = rill_s("/admin")}),
        0);
    d = cli_by(w, (how + 1) % BY_ALL, "/socket.io/");
    snprintf(text, sizeof text, "40/admin,{\"pid\":\"%s\"}", c->pid);
    cli_say(d, text);
    assert_int_equal(strncmp(cli_hears(d), "42/admin,[\"a\",\"@", 15), 0);
    snprintf(text, sizeof text, "40{\"pid\":\"%s\"}", pid);
    cli_say(d, text);
    assert_string_equal(cli_hears(d), "40{\"sid\":\"*\",\"pid\":\"*\"}");
    assert_int_equal(w->seen[first].back, 1);
    assert_int_equal(w->seen[first + 2].back, 1);
    rill_cut(w->seen[first].peer);
    pair_turn(w->p);
  }
}

/* All that goes away is given back. */
static void test_recover_leaves_nothing(void **state) {
  world *w = *state;
  size_t bytes = 0;

  w->p->quiet = true;
  begin(w);
  for (int i = 0; i < 60; i++) {
    cli *c = come(w, i % WAYS, ""), *d;
    rill_join(w->seen[0].peer, name_of(i % 2 ? "one" : "two"));
    cli_cut(c);
    emit_int(w, &(rill_to){.peers = &w->seen[0].peer, .npeers = 1}, "p", i);
    emit_room(w, "one", "r", i);
    if (i % 3 != 0) {
      come_back(w, i % WAYS, c, &d, "");
      cli_cut(d);
    }
    for (int k = 0; k < 40; k++) /* all of it gets too old */
      pair_jump(w->p, 10 * RILL_SEC);
    assert_int_equal(w->seen[0].closed, 1);
    assert_int_equal(w->hub->nconns, 0);
    assert_int_equal(pair_metrics(w->p).history_bytes, 0);
    if (i == 20)
      bytes = w->p->mem.bytes;
    if (i > 20)
      assert_in_range(w->p->mem.bytes, 0, bytes + 512);
    w->n = w->nclis = 0;
  }
}

/* ---- chance ---- */

/*
 * A client that loses its connection again and again, with an event to its
 * room now and then: it hears all of them, once and in order, but for those
 * that the stream had taken and not brought; these it hears again.
 */
static void takes(const char *text, int *last) {
  for (; (text = strstr(text, "\"n\"")) != NULL; text++) {
    int n = atoi(strpbrk(text + 3, "0123456789"));
    assert_int_equal(n, *last + 1);
    *last = n;
  }
}

static void test_recover_by_chance(void **state) {
  world *w = *state;
  uint64_t seed = w->p->seed;
  int how, sent = 0, last = -1;
  cli *c, *old;

  w->p->quiet = true;
  begin(w);
  for (int i = 0; i < 10; i++)
    xorshift(&seed);
  how = (int)(seed % WAYS);
  c = come(w, how, "");
  rill_join(w->seen[0].peer, rill_s("one"));
  for (int i = 0; i < 400; i++) {
    uint64_t r = xorshift(&seed) >> 20;
    if (r % 3 == 0)
      emit_room(w, "one", "n", sent++);
    if (r % 7 == 0)
      takes(cli_hears(c), &last);
    if (r % 11 != 0)
      continue;
    if (r % 2 == 0 && c->ws != NULL)
      c->ws->room = 0; /* what is sent now does not arrive */
    if (r % 4 == 0)
      emit_room(w, "one", "n", sent++);
    if (r % 13 < 6)
      pair_turn(w->p);
    old = c;
    cli_cut(c);
    w->nclis = c == &w->cli[0] ? 1 : 0;
    if (r % 5 == 0)
      emit_room(w, "one", "n", sent++);
    takes(come_back(w, how, old, &c, ""), &last);
    assert_int_equal(w->n, 1);
  }
  takes(cli_hears(c), &last);
  assert_int_equal(last, sent - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      EIO_TESTS(test_recover_brings_what_was_missed),
      EIO_TESTS(test_recover_with_nothing_heard),
      EIO_TEST(test_recover_not_from_before),
      EIO_TEST(test_recover_not_from_before_a_join),
      EIO_TESTS(test_recover_gap),
      EIO_TEST(test_recover_within_its_time),
      EIO_TEST(test_recover_so_many_at_once),
      EIO_TEST(test_recover_not_who_left),
      EIO_TEST(test_recover_not_for_others),
      EIO_TEST(test_recover_not_twice_at_once),
      EIO_TESTS(test_recover_takes_over),
      EIO_TEST(test_recover_takes_over_from_its_own),
      EIO_TEST(test_recover_and_batches),
      EIO_TEST(test_recover_more_than_a_queue),
      EIO_TESTS(test_recover_inside_handlers),
      EIO_TEST(test_recover_and_answers),
      EIO_TEST(test_recover_ends_with_the_hub),
      EIO_TESTS(test_recover_each_namespace),
      EIO_TEST(test_recover_leaves_nothing),
      EIO_TESTS(test_recover_by_chance),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
