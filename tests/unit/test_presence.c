/* Who is there: statuses and states, graces and windows. */
#include "presence_kit.h"

static void leave(end *e, const char *room) {
  assert_int_equal(rill_leave(e->peer, rill_s(room)), 0);
}

static void show(end *e, rill_status status) {
  assert_int_equal(rill_show(e->peer, status), 0);
}

/* "peers/users: away online busy" of a room, or of the namespace. */
static const char *counts(pair *p, const char *room) {
  static char text[80];
  rill_occupancy o;
  int rv = rill_presence_count(p->hub, (rill_str){0}, rill_s(room), &o);

  if (rv != 0) {
    assert_int_equal(rv, RILL_ERR_NOT_FOUND);
    assert_int_equal(o.peers + o.users, 0);
    return "none";
  }
  snprintf(text, sizeof text, "%u/%u: %u %u %u", o.peers, o.users, o.away,
           o.online, o.busy);
  return text;
}

static int add_who(const rill_presence *who, void *arg) {
  char *out = arg, state[64] = "";

  if (rill_value_type(who->state) != RILL_ABSENT)
    rill_value_json(who->state, state, sizeof state);
  sprintf(out + strlen(out), "%s%.*s:%s%s%s%s", out[0] != '\0' ? " " : "",
          (int)who->user.len, who->user.ptr, rill_status_text(who->status),
          who->peer.hub != NULL ? "!" : "", state[0] != '\0' ? "=" : "",
          state);
  return 0;
}

static const char *users(pair *p, const char *room) {
  static char out[1000];

  out[0] = '\0';
  rill_presence_users(p->hub, (rill_str){0}, rill_s(room), add_who, out);
  return out;
}

static const char *peers(pair *p, const char *room) {
  static char out[1000];

  out[0] = '\0';
  rill_presence_peers(p->hub, (rill_str){0}, rill_s(room), add_who, out);
  return out;
}

static void test_presence_snapshot_then_updates(void **state) {
  pair *p = *state;
  end *ann, *ben, *cid;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  assert_string_equal(heard(ann), "state");
  kit_window(p);
  assert_string_equal(heard(ann), "update ann:online");
  ben = kit_open(p, "ben", "r");
  cid = kit_open(p, "cid", "r");
  assert_string_equal(heard(ben), "state ann:online");
  assert_string_equal(heard(cid), "state ann:online");
  assert_string_equal(heard(ann), "");
  kit_window(p); /* all that happens within one is one event */
  assert_string_equal(heard(ann), "update ben:online cid:online");
  assert_string_equal(heard(ben), "update ben:online cid:online");
  assert_string_equal(heard(cid), "update ben:online cid:online");
  leave(ben, "r");
  kit_window(p);
  assert_string_equal(heard(ben), "");
  assert_string_equal(heard(ann), "update ben:offline@1000500");
  assert_int_equal(pair_metrics(p).presence_updates_total, 4);
}

/* What an end is told word for word. */
static void test_presence_events_in_full(void **state) {
  pair *p = *state;
  end *ann;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  assert_string_equal(
      said(ann), "{\"event\":\"presence:state\",\"args\":[{\"room\":\"r\","
                 "\"version\":0,\"count\":0,\"peers\":1,\"users\":[]}]}");
  kit_window(p);
  assert_string_equal(
      said(ann), "{\"event\":\"presence:update\",\"args\":[{\"room\":\"r\","
                 "\"version\":1,\"count\":1,\"peers\":1,\"users\":[{"
                 "\"userId\":\"ann\",\"status\":\"online\"}]}],"
                 "\"room\":\"r\"}");
}

static void test_presence_is_of_users(void **state) {
  pair *p = *state;
  end *ann, *tab, *ben;

  kit_begin(p, false);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  tab = kit_open(p, "ann", "r");
  kit_window(p);
  assert_string_equal(heard(ben), "state; update ben:online ann:online");
  assert_string_equal(counts(p, "r"), "3/2: 0 2 0");
  leave(ann, "r");
  kit_window(p);
  assert_string_equal(heard(ben), "");
  assert_string_equal(counts(p, "r"), "2/2: 0 2 0");
  end_bye(tab, 1000, "");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:offline@1000500");
  assert_string_equal(counts(p, "r"), "1/1: 0 1 0");
  assert_string_equal(counts(p, "other"), "none");
}

/* Whom nobody knows is counted, and seen among the peers. */
static void test_presence_peers_of_nobody(void **state) {
  pair *p = *state;
  end *ann, *raw;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  kit_open(p, "", "r");
  p->config.authenticate = NULL;
  raw = pair_open(p);
  rill_join(raw->peer, rill_s("r"));
  kit_window(p);
  assert_string_equal(heard(ann), "state; update ann:online");
  assert_string_equal(counts(p, "r"), "3/1: 0 1 0");
  assert_string_equal(users(p, "r"), "ann:online");
  assert_string_equal(peers(p, "r"), "ann:online! :online! :online!");
  assert_string_equal( /* every dialect hears */
      end_took(raw),
      "text [\"presence:state\",{\"room\":\"r\",\"version\":0,\"count\":0,"
      "\"peers\":3,\"users\":[]}]; "
      "text [\"presence:update\",{\"room\":\"r\",\"version\":1,\"count\":1,"
      "\"peers\":3,\"users\":[{\"userId\":\"ann\",\"status\":\"online\"}]}]");
  end_eof(raw, 0);
  assert_string_equal(counts(p, "r"), "2/1: 0 1 0");
  say(ann, "{\"event\":\"presence:list\",\"args\":[{\"room\":\"r\"}],"
           "\"id\":1}");
  assert_string_equal(pair_log(p), "2 close 3 1006/0; "
                                   "0 event presence:list [{\"room\":\"r\"}]");
}

static void test_presence_undone_is_not_told(void **state) {
  pair *p = *state;
  end *ann, *ben, *cid;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ann);
  ben = kit_open(p, "ben", "r");
  /* a snapshot in between does not show what will not be told */
  cid = kit_open(p, "cid", "r");
  assert_string_equal(heard(cid), "state ann:online");
  leave(ben, "r");
  show(ann, RILL_STATUS_AWAY);
  show(ann, RILL_STATUS_ONLINE);
  kit_window(p);
  assert_string_equal(heard(ann), "update cid:online");
  assert_string_equal(heard(cid), "update cid:online");
  assert_int_equal(pair_metrics(p).presence_undone_total, 2);
  leave(ann, "r");
  assert_int_equal(rill_join(ann->peer, rill_s("r")), 0);
  kit_window(p);
  assert_string_equal(heard(cid), "");
  assert_int_equal(pair_metrics(p).presence_undone_total, 3);
}

/* Who is lost is there for the grace; when it went is when it was lost. */
static void test_presence_grace(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, false);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ben);
  end_eof(ann, RILL_ERR_IO);
  assert_string_equal(counts(p, "r"), "1/2: 0 2 0");
  assert_int_equal(pair_metrics(p).presence_held, 1);
  pair_pass(p, 15 * RILL_SEC - 1);
  assert_string_equal(counts(p, "r"), "1/2: 0 2 0");
  assert_string_equal(heard(ben), "");
  pair_pass(p, 1);
  assert_string_equal(counts(p, "r"), "1/1: 0 1 0");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:offline@1000250");
  assert_int_equal(pair_metrics(p).presence_held, 0);
}

/* What counts as lost, and what as gone. */
static void test_presence_how_it_ended(void **state) {
  static const struct {
    unsigned code; /* of the client's close; 0: none */
    int error;     /* of the stream, then */
    bool host, held;
  } ways[] = {{1000, 0, false, false},        {1001, 0, false, true},
              {0, 0, false, true},            {0, RILL_ERR_IO, false, true},
              {4000, 0, false, false},        {0, 0, true, false}};
  pair *p = *state;

  kit_begin(p, false);
  kit_open(p, "ben", "r");
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    end *ann = kit_open(p, "ann", "r");
    if (ways[i].host)
      rill_close(ann->peer, 1000, "bye");
    if (ways[i].host || ways[i].code != 0)
      end_bye(ann, ways[i].host ? 1000 : ways[i].code, "");
    else
      end_eof(ann, ways[i].error);
    assert_int_equal(ann->closed, 1);
    assert_int_equal(pair_metrics(p).presence_held, ways[i].held);
    assert_string_equal(users(p, "r"), ways[i].held ? "ben:online ann:online"
                                                    : "ben:online");
    pair_pass(p, 20 * RILL_SEC);
  }
}

/* Of Socket.IO a client says so if it means to leave. */
static void test_presence_how_socketio_ended(void **state) {
  pair *p = *state;

  kit_begin(p, false);
  assert_int_equal(rill_presence_events(p->hub, NULL, NULL), 0);
  for (int way = 0; way < 3; way++) {
    end *io = pair_accept(p);
    end_hello(io, "/socket.io/?EIO=4&transport=websocket", "");
    end_text(io, "40{\"token\":\"ann\"}");
    assert_string_equal(users(p, ""), "ann:online");
    if (way == 0)
      end_text(io, "41");
    else if (way == 1)
      end_bye(io, 1001, "");
    else
      end_eof(io, 0);
    assert_string_equal(users(p, ""), way == 0 ? "" : "ann:online");
    assert_string_equal(peers(p, ""), "");
    pair_pass(p, 15 * RILL_SEC);
    assert_string_equal(users(p, ""), "");
  }
}

static void test_presence_returns_as_another_peer(void **state) {
  pair *p = *state;
  end *ann, *tab, *ben;

  kit_begin(p, false);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  tab = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ben);
  show(tab, RILL_STATUS_AWAY);
  end_eof(ann, 0);
  kit_window(p); /* the other tab is away, but this one may be back */
  assert_string_equal(heard(ben), "");
  assert_string_equal(users(p, "r"), "ben:online ann:online");
  ann = kit_open(p, "ann", "r");
  assert_int_equal(pair_metrics(p).presence_held, 0);
  pair_pass(p, 20 * RILL_SEC);
  assert_string_equal(heard(ben), "");
  assert_string_equal(heard(ann), "state ann:online ben:online");
  leave(ann, "r");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:away");
}

/* The room waits for who may come back into it. */
static void test_presence_everybody_is_lost(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  ben = kit_open(p, "ben", "r");
  kit_window(p);
  end_eof(ann, 0);
  end_eof(ben, 0);
  kit_window(p);
  assert_string_equal(counts(p, "r"), "0/2: 0 2 0");
  ann = kit_open(p, "ann", "r");
  assert_string_equal(heard(ann), "state ben:online ann:online");
  ben = kit_open(p, "ben", "r");
  pair_pass(p, 20 * RILL_SEC);
  assert_string_equal(heard(ann), "");
  end_eof(ann, 0);
  end_eof(ben, 0);
  assert_int_equal(pair_metrics(p).rooms, 1);
  pair_pass(p, 15 * RILL_SEC);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_string_equal(counts(p, "r"), "none");
}

static void test_presence_away_and_back(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, true);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  show(ann, RILL_STATUS_BUSY);
  kit_window(p);
  assert_string_equal(heard(ben), "state; update ben:online ann:busy");
  end_eof(ann, 0);
  pair_pass(p, 15 * RILL_SEC - 1);
  assert_string_equal(counts(p, "r"), "1/2: 0 1 1");
  ann = kit_again(p, ann, "ann");
  assert_string_equal(heard(ann), "state ann:busy ben:online");
  assert_string_equal(counts(p, "r"), "2/2: 0 1 1");
  pair_pass(p, 60 * RILL_SEC);
  assert_string_equal(heard(ben), "");
  /* the grace is shorter than the time in which it may come back */
  end_eof(ann, 0);
  pair_pass(p, 15 * RILL_SEC);
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:offline@1075249");
  assert_int_equal(rill_room_count(p->hub, rill_s("r")), 2);
  assert_string_equal(peers(p, "r"), "ben:online!");
  ann = kit_again(p, ann, "ann");
  assert_string_equal(heard(ann), "state ben:online");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:busy");
  /* one that does not come back has been told of once */
  end_eof(ann, 0);
  pair_pass(p, 130 * RILL_SEC);
  assert_int_equal(ann->closed, 1);
  assert_string_equal(heard(ben), "update ann:offline@1090749");
  talk_give_up(p);
}

/* Nobody is told that everybody goes. */
static void test_presence_drain(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, false);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ben);
  heard(ann);
  assert_int_equal(rill_drain(p->hub, 10 * RILL_SEC, p->now), 0);
  while (ann->closed == 0 && ben->closed == 0)
    pair_pass(p, RILL_SEC);
  kit_window(p);
  assert_string_equal(heard(ann->closed ? ben : ann), "");
  assert_string_equal(counts(p, "r"), "1/2: 0 2 0");
}

static void test_presence_most_present_status(void **state) {
  static const struct {
    rill_status of[3], is;
  } cases[] = {
      {{RILL_STATUS_ONLINE, RILL_STATUS_AWAY, RILL_STATUS_OFFLINE},
       RILL_STATUS_ONLINE},
      {{RILL_STATUS_AWAY, RILL_STATUS_AWAY, RILL_STATUS_OFFLINE},
       RILL_STATUS_AWAY},
      {{RILL_STATUS_ONLINE, RILL_STATUS_BUSY, RILL_STATUS_AWAY},
       RILL_STATUS_BUSY},
      {{RILL_STATUS_OFFLINE, RILL_STATUS_OFFLINE, RILL_STATUS_OFFLINE},
       RILL_STATUS_OFFLINE},
      {{RILL_STATUS_OFFLINE, RILL_STATUS_ONLINE, RILL_STATUS_ONLINE},
       RILL_STATUS_ONLINE}};
  pair *p = *state;
  end *tabs[3];
  rill_presence who;

  kit_begin(p, false);
  for (int i = 0; i < 3; i++)
    tabs[i] = kit_open(p, "ann", "r");
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    rill_occupancy o;
    for (int i = 0; i < 3; i++)
      show(tabs[i], cases[c].of[i]);
    assert_int_equal(rill_presence_user(p->hub, (rill_str){0}, rill_s("r"),
                                        rill_s("ann"), &who),
                     0);
    assert_int_equal(who.status, cases[c].is);
    assert_int_equal(
        rill_presence_count(p->hub, (rill_str){0}, rill_s("r"), &o), 0);
    assert_int_equal(o.users, cases[c].is != RILL_STATUS_OFFLINE);
    assert_int_equal(o.peers, 3);
  }
  assert_int_equal(rill_show(tabs[0]->peer, (rill_status)4), RILL_ERR_ARG);
  assert_int_equal(rill_presence_user(p->hub, (rill_str){0}, rill_s("r"),
                                      rill_s("ben"), &who),
                   0);
  assert_int_equal(who.status, RILL_STATUS_OFFLINE);
}

static int find_io(const rill_presence *who, void *arg) {
  if (rill_str_eq(who->user, rill_s("cid")))
    *(rill_peer *)arg = who->peer;
  return 0;
}

static rill_peer io_peer(pair *p) {
  rill_peer peer = {0};

  rill_presence_peers(p->hub, (rill_str){0}, (rill_str){0}, find_io, &peer);
  return peer;
}

static void set_state(end *e, const char *json) {
  rill_builder *b = rill_builder_new(NULL, NULL);

  rill_put_json(b, rill_s(json));
  assert_int_equal(
      rill_show_state(e->peer, rill_value_at(rill_builder_value(b), 0)), 0);
  rill_builder_free(b);
}

static void test_presence_states(void **state) {
  pair *p = *state;
  end *ann, *tab, *ben;

  kit_begin(p, false);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  tab = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ben);
  set_state(ann, "{\"x\":1}");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online={\"x\":1}");
  set_state(tab, "\"two\""); /* the last to be set counts */
  set_state(tab, "\"three\"");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online=\"three\"");
  assert_string_equal(peers(p, "r"), "ben:online! ann:online!={\"x\":1} "
                                     "ann:online!=\"three\"");
  leave(tab, "r"); /* then the other's */
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online={\"x\":1}");
  assert_int_equal(rill_join(tab->peer, rill_s("r")), 0);
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online=\"three\"");
  set_state(tab, "null");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online={\"x\":1}");
  set_state(ann, "null");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online=null");
  set_state(ann, "null"); /* nothing to tell */
  kit_window(p);
  assert_string_equal(heard(ben), "");
  set_state(ann, "[]");
  leave(ann, "r");
  leave(tab, "r");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:offline@1002000");
}

/* A state must fit into every event that may show it. */
static void test_presence_state_is_small_and_flat(void **state) {
  pair *p = *state;
  rill_builder *b;
  end *ann;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  for (int depth = 28; depth <= 31; depth++) {
    b = rill_build(p->hub);
    for (int i = 0; i < depth; i++)
      rill_put_array(b);
    for (int i = 0; i < depth; i++)
      rill_put_end(b);
    assert_int_equal(
        rill_show_state(ann->peer, rill_value_at(rill_builder_value(b), 0)),
        depth <= 29 ? 0 : RILL_ERR_TOO_BIG);
  }
  b = rill_build(p->hub);
  rill_put_array(b);
  rill_put_bytes(b, "x", 1);
  rill_put_end(b);
  assert_int_equal(
      rill_show_state(ann->peer, rill_value_at(rill_builder_value(b), 0)),
      RILL_ERR_ARG);
  assert_int_equal(
      rill_show_state(ann->peer,
                      rill_value_at(rill_value_at(rill_builder_value(b), 0),
                                    0)),
      RILL_ERR_ARG);
  kit_window(p);
  assert_non_null(strstr(heard(ann), "update ann:online=[[["));
}

/* Pages end at 64 KiB, and an update that would be longer names nobody. */
static void test_presence_long_states(void **state) {
  enum { MANY = 100 };
  static char text[1003];
  pair *p = *state;
  end *e[MANY];
  size_t updates = 0, users = 0;
  char name[16];

  kit_begin(p, false);
  memset(text, 's', sizeof text - 1);
  text[0] = text[sizeof text - 2] = '"';
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "u%d", i);
    e[i] = kit_open(p, name, "r");
    set_state(e[i], text);
  }
  kit_window(p);
  for (const char *at = said(e[0]); (at = strstr(at, "{\"event\":")) != NULL;
       at++) {
    const char *stop = strchr(at, '\n');
    size_t len = stop != NULL ? (size_t)(stop - at) : strlen(at);
    updates += strncmp(at, "{\"event\":\"presence:update", 25) == 0 &&
               strstr(at, "\"count\":100,\"peers\":100,\"users\":[],"
                          "\"more\":100}") != NULL;
    assert_true(len < 65536 + 4096);
  }
  assert_int_equal(updates, 1);
  kit_open(p, "last", "r");
  for (const char *at = said(p->ends[MANY]);
       (at = strstr(at, "\"userId\"")) != NULL; at++)
    users++;
  assert_true(users > 50 && users < 70);
}

/* A state that was lost with its peer is taken back when nobody has it. */
static void test_presence_state_of_a_lost_peer(void **state) {
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, false);
  ben = kit_open(p, "ben", "r");
  ann = kit_open(p, "ann", "r");
  set_state(ann, "7");
  kit_window(p);
  assert_string_equal(heard(ben), "state; update ben:online ann:online=7");
  end_eof(ann, 0);
  ann = kit_open(p, "ann", "r");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online=null");
  set_state(ann, "8");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online=8");
  end_eof(ann, 0);
  ann = kit_open(p, "ann", "r");
  set_state(ann, "9");
  kit_window(p);
  assert_string_equal(heard(ben), "update ann:online=9");
}

/* Presence that is turned on and off while people are there. */
static void test_presence_turned_on_and_off(void **state) {
  static const rill_room_opts on = {.presence = true,
                                    .presence_grace_ms = 1000,
                                    .presence_window_ms = 10},
                              off = {0};
  pair *p = *state;
  end *ann, *ben;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "x");
  ben = kit_open(p, "ben", "x");
  assert_string_equal(counts(p, "x"), "none");
  assert_int_equal(rill_room_defaults(p->hub, "x", &on), 0);
  assert_string_equal(counts(p, "x"), "2/2: 0 2 0");
  pair_pass(p, 10 * RILL_MSEC);
  assert_string_equal(heard(ann), "state; update ann:online ben:online");
  end_eof(ben, 0);
  pair_pass(p, 1000 * RILL_MSEC - 1);
  assert_string_equal(counts(p, "x"), "1/2: 0 2 0");
  pair_pass(p, 10 * RILL_MSEC + 1);
  assert_string_equal(heard(ann), "update ben:offline@1000010");
  assert_int_equal(rill_room_defaults(p->hub, "x", &off), 0);
  assert_string_equal(counts(p, "x"), "none");
  kit_open(p, "cid", "x");
  kit_window(p);
  assert_string_equal(heard(ann), "");
  /* and off while a room waits for the only one who was in it */
  end_eof(kit_open(p, "dan", "r"), 0);
  assert_int_equal(pair_metrics(p).rooms, 2);
  assert_int_equal(rill_room_defaults(p->hub, "r", &off), 0);
  pair_pass(p, 15 * RILL_SEC);
  assert_int_equal(pair_metrics(p).rooms, 1);
}

/*
 * Telling one room hands out what was told to another, and may close a slow
 * peer: that is news of the next window.
 */
static void test_presence_telling_closes_the_slow(void **state) {
  pair *p = *state;
  end *ann, *slow;

  p->config.limits.queue_count = 4;
  p->config.limits.soft_count = 4;
  p->config.limits.presence_held = 1;
  kit_begin(p, true);
  ann = kit_open(p, "ann", "r");
  rill_join(ann->peer, rill_s("r2"));
  end_eof(kit_open(p, "lost", "r"), 0); /* the one that is held */
  slow = kit_open(p, "slow", "r");
  rill_join(slow->peer, rill_s("r2"));
  kit_window(p);
  heard(ann);
  slow->room = 0;
  for (int i = 0; i < 2; i++) { /* its queue is full with these */
    rill_show(ann->peer, i == 0 ? RILL_STATUS_BUSY : RILL_STATUS_ONLINE);
    kit_window(p);
  }
  heard(ann);
  rill_show(slow->peer, RILL_STATUS_AWAY);
  kit_window(p);
  assert_false(rill_is_open(slow->peer));
  assert_string_equal(heard(ann), "update slow:away; update slow:away");
  kit_window(p);
  assert_non_null(strstr(heard(ann), "update slow:offline"));
  talk_give_up(p);
}

/* Streams and Socket.IO hear as well, behind what begins them. */
static void test_presence_dialects(void **state) {
  pair *p = *state;
  end *ann, *sse, *io;

  kit_begin(p, false);
  assert_int_equal(rill_presence_events(p->hub, NULL, NULL), 0);
  ann = kit_open(p, "ann", "r");
  kit_window(p);
  heard(ann);
  sse = talk_get(p, "/sse/r?token=ben", "");
  assert_string_equal(
      strstr(streamed(sse), "event: session"),
      "event: session\nid: EPOCH-0\ndata: {\"sid\":\"*\",\"session\":\"*\","
      "\"recovered\":false}\n\n"
      "event: presence:state\ndata: {\"room\":\"r\",\"version\":1,"
      "\"count\":1,\"peers\":2,\"users\":[{\"userId\":\"ann\",\"status\":"
      "\"online\"}]}\n\n");
  io = pair_accept(p);
  end_hello(io, "/socket.io/?EIO=4&transport=websocket", "");
  end_text(io, "40{\"token\":\"cid\"}");
  said(io);
  say(ann, "{\"join\":\"r2\",\"id\":1}"); /* the answer comes first */
  assert_string_equal(said(ann), "{\"joined\":\"r2\",\"id\":1}\n"
                                 "{\"event\":\"presence:state\",\"args\":[{"
                                 "\"room\":\"r2\",\"version\":0,\"count\":0,"
                                 "\"peers\":1,\"users\":[]}]}");
  kit_window(p);
  assert_string_equal(heard(ann), "update ben:online; update ann:online");
  assert_string_equal(
      streamed(sse),
      "event: presence:update\ndata: {\"room\":\"r\",\"version\":2,"
      "\"count\":2,\"peers\":2,\"users\":[{\"userId\":\"ben\",\"status\":"
      "\"online\"}]}\n\n");
  assert_int_equal(rill_join(io_peer(p), rill_s("r")), 0);
  pair_turn(p);
  assert_string_equal(
      said(io), "42[\"presence:state\",{\"room\":\"r\",\"version\":2,"
                "\"count\":2,\"peers\":3,\"users\":[{\"userId\":\"ben\","
                "\"status\":\"online\"},{\"userId\":\"ann\",\"status\":"
                "\"online\"}]}]");
}

/* Rooms of one name in two namespaces, and users of both. */
static void test_presence_namespaces(void **state) {
  static const rill_str one = RILL_STR("/one"), r = RILL_STR("r");
  pair *p = *state;
  rill_occupancy o;
  end *ann, *io;

  kit_begin(p, false);
  assert_int_equal(rill_space(p->hub, "/o*", NULL), 0);
  assert_int_equal(rill_presence_events(p->hub, "/o*", NULL), 0);
  ann = kit_open(p, "ann", "r");
  io = pair_accept(p);
  end_hello(io, "/socket.io/?EIO=4&transport=websocket", "");
  end_text(io, "40/one,{\"token\":\"ben\"}");
  assert_int_equal(rill_presence_count(p->hub, one, (rill_str){0}, &o), 0);
  assert_int_equal(o.users, 1);
  assert_int_equal(rill_presence_count(p->hub, one, r, &o),
                   RILL_ERR_NOT_FOUND);
  assert_string_equal(counts(p, ""), "none");
  assert_string_equal(counts(p, "r"), "1/1: 0 1 0");
  said(io);
  kit_window(p);
  assert_string_equal(heard(ann), "state; update ann:online");
  assert_string_equal(said(io), "");
  end_eof(io, 0); /* the namespace stays as long as the grace */
  assert_int_equal(rill_presence_count(p->hub, one, (rill_str){0}, &o), 0);
  assert_int_equal(o.users, 1);
  pair_pass(p, 16 * RILL_SEC);
  assert_int_equal(rill_presence_count(p->hub, one, (rill_str){0}, &o),
                   RILL_ERR_NOT_FOUND);
}

static void test_presence_of_peers_that_are_gone(void **state) {
  static const rill_str ben = RILL_STR("ben");
  pair *p = *state;
  end *ann;

  kit_begin(p, false);
  ann = kit_open(p, "ann", "r");
  assert_int_equal(rill_watch(ann->peer, &ben, 1), RILL_ERR_STATE);
  assert_int_equal(rill_unwatch(ann->peer, &ben, 1), RILL_ERR_STATE);
  assert_int_equal(rill_beat(ann->peer), 0);
  end_eof(ann, 0);
  assert_int_equal(rill_show(ann->peer, RILL_STATUS_AWAY), RILL_ERR_CLOSED);
  assert_int_equal(rill_show_state(ann->peer, (rill_value){0}),
                   RILL_ERR_CLOSED);
  assert_int_equal(rill_beat(ann->peer), RILL_ERR_CLOSED);
  assert_int_equal(rill_watch(ann->peer, &ben, 1), RILL_ERR_CLOSED);
  assert_int_equal(rill_unwatch(ann->peer, &ben, 1), RILL_ERR_CLOSED);
}

/* Each allocation of a busy scene fails; then all is well again. */
static void test_presence_without_memory(void **state) {
  pair *p = *state;
  uint64_t i = 0, before, used;

  p->quiet = true;
  do {
    end *ann, *ben;
    kit_begin(p, true);
    ann = kit_open(p, "ann", NULL);
    ben = kit_open(p, "ben", NULL);
    before = p->mem.calls;
    p->mem.fail_at = before + ++i;
    rill_join(ann->peer, rill_s("r"));
    rill_join(ben->peer, rill_s("r"));
    rill_show(ann->peer, RILL_STATUS_BUSY);
    kit_window(p);
    rill_typing(ann->peer, rill_s("r"), true);
    kit_window(p);
    used = p->mem.calls - before;
    p->mem.fail_at = 0;
    if (rill_is_open(ann->peer) && rill_is_open(ben->peer)) {
      assert_int_equal(rill_join(ann->peer, rill_s("r")), 0);
      assert_int_equal(rill_join(ben->peer, rill_s("r")), 0);
      assert_int_equal(rill_show(ann->peer, RILL_STATUS_BUSY), 0);
      kit_window(p);
      kit_window(p);
      assert_string_equal(counts(p, "r"), "2/2: 0 1 1");
      assert_non_null(strstr(heard(ben), "ann:busy"));
    }
    talk_give_up(p);
    pair_reset(p);
  } while (i <= used);
  assert_true(i > 30);
}

/* The same with everything that there is; nothing is lost but the scene. */
static void test_presence_survives_without_memory(void **state) {
  static const rill_presence_opts opts = {.everyone = true};
  static const rill_str watched[] = {RILL_STR("ben"), RILL_STR("zed")};
  pair *p = *state;
  uint64_t i = 0, before, used;

  p->quiet = true;
  do {
    end *ann, *ben, *nobody;
    rill_builder *b = rill_builder_new(NULL, NULL);
    rill_occupancy o;
    kit_begin(p, i % 2 == 0);
    assert_int_equal(rill_presence_events(p->hub, NULL, &opts), 0);
    ann = kit_open(p, "ann", NULL);
    ben = kit_open(p, "ben", NULL);
    nobody = kit_open(p, "", NULL);
    rill_put_text(b, "a state");
    before = p->mem.calls;
    p->mem.fail_at = before + ++i;
    rill_join(ann->peer, rill_s("r"));
    rill_join(nobody->peer, rill_s("r"));
    rill_join(ben->peer, rill_s("r"));
    rill_watch(ann->peer, watched, 2);
    rill_show_state(ben->peer, rill_value_at(rill_builder_value(b), 0));
    rill_typing(ben->peer, rill_s("r"), true);
    kit_window(p);
    say(ann, "{\"event\":\"presence:list\",\"args\":[{\"room\":\"r\"}],"
             "\"id\":1}");
    say(ann, "{\"event\":\"presence:watch\",\"args\":[{\"users\":[\"x\"]}]}");
    rill_unwatch(ann->peer, watched, 1);
    end_eof(ben, 0);
    pair_pass(p, 16 * RILL_SEC);
    used = p->mem.calls - before;
    p->mem.fail_at = 0;
    kit_open(p, "dan", "r");
    kit_window(p);
    assert_int_equal(
        rill_presence_count(p->hub, (rill_str){0}, rill_s("r"), &o), 0);
    assert_int_equal(o.peers, 1u + (rill_is_open(ann->peer) &&
                                    rill_in_room(ann->peer, rill_s("r"))) +
                                  (rill_is_open(nobody->peer) &&
                                   rill_in_room(nobody->peer, rill_s("r"))));
    rill_builder_free(b);
    talk_give_up(p);
    pair_reset(p);
  } while (i <= used);
  assert_true(i > 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_presence_snapshot_then_updates),
      PAIR_TEST(test_presence_events_in_full),
      PAIR_TEST(test_presence_is_of_users),
      PAIR_TEST(test_presence_peers_of_nobody),
      PAIR_TEST(test_presence_undone_is_not_told),
      PAIR_TEST(test_presence_grace),
      PAIR_TEST(test_presence_how_it_ended),
      PAIR_TEST(test_presence_how_socketio_ended),
      PAIR_TEST(test_presence_returns_as_another_peer),
      PAIR_TEST(test_presence_everybody_is_lost),
      PAIR_TEST(test_presence_away_and_back),
      PAIR_TEST(test_presence_drain),
      PAIR_TEST(test_presence_most_present_status),
      PAIR_TEST(test_presence_states),
      PAIR_TEST(test_presence_state_is_small_and_flat),
      PAIR_TEST(test_presence_long_states),
      PAIR_TEST(test_presence_state_of_a_lost_peer),
      PAIR_TEST(test_presence_turned_on_and_off),
      PAIR_TEST(test_presence_telling_closes_the_slow),
      PAIR_TEST(test_presence_dialects),
      PAIR_TEST(test_presence_namespaces),
      PAIR_TEST(test_presence_of_peers_that_are_gone),
      PAIR_TEST(test_presence_without_memory),
      PAIR_TEST(test_presence_survives_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
