/*
 * Peers as the host sees them: handles, what they carry, and any command in
 * any handler.
 */
#include "pair.h"

static void test_peer_handle_of_nobody(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x");
  rill_peer nobody = {0}, wild = {0};

  pair_begin(p);
  wild = (rill_peer){p->hub, 12345, 1};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(rill_send(nobody, &m), RILL_ERR_CLOSED);
    assert_int_equal(rill_close(nobody, 1000, NULL), RILL_ERR_CLOSED);
    assert_int_equal(rill_cut(nobody), RILL_ERR_CLOSED);
    assert_int_equal(rill_pause(nobody), RILL_ERR_CLOSED);
    assert_int_equal(rill_resume(nobody), RILL_ERR_CLOSED);
    assert_int_equal(rill_ping(nobody), RILL_ERR_CLOSED);
    assert_int_equal(rill_join(nobody, rill_s("r")), RILL_ERR_CLOSED);
    assert_int_equal(rill_leave(nobody, rill_s("r")), RILL_ERR_CLOSED);
    assert_int_equal(rill_join_request(nobody, rill_s("r")), RILL_ERR_CLOSED);
    assert_int_equal(rill_join_allow(nobody, rill_s("r")), RILL_ERR_CLOSED);
    assert_int_equal(rill_join_deny(nobody, rill_s("r"), -1), RILL_ERR_CLOSED);
    assert_int_equal(rill_peer_set_data(nobody, &m), RILL_ERR_CLOSED);
    assert_null(rill_peer_data(nobody));
    assert_int_equal(rill_peer_id(nobody), 0);
    assert_int_equal(rill_peer_user(nobody).len, 0);
    assert_int_equal(rill_peer_address(nobody).len, 0);
    assert_int_equal(rill_peer_subprotocol(nobody).len, 0);
    assert_int_equal(rill_peer_rtt(nobody), RILL_NEVER);
    assert_int_equal(rill_peer_queued(nobody), 0);
    assert_false(rill_is_open(nobody));
    assert_false(rill_in_room(nobody, rill_s("r")));
    nobody = wild;
  }
}

/* A place that is used again does not make an old handle good. */
static void test_peer_stale_handles_stay_stale(void **state) {
  pair *p = *state;
  rill_peer old[200];
  uint64_t ids[200];
  rill_msg m = rill_text("to a ghost");

  pair_begin(p);
  for (int i = 0; i < 200; i++) {
    end *e = pair_open(p);
    old[i] = e->peer;
    ids[i] = rill_peer_id(e->peer);
    assert_true(ids[i] != 0);
    for (int k = 0; k < i; k++) {
      assert_true(ids[k] != ids[i]);
      assert_false(rill_peer_eq(old[k], old[i]));
      assert_int_equal(rill_send(old[k], &m), RILL_ERR_CLOSED);
      assert_int_equal(rill_peer_id(old[k]), 0);
    }
    assert_string_equal(end_took(e), "");
    assert_int_equal(e->peer.slot, 0); /* the place is the same */
    end_bye(e, 1000, "");
    pair_log(p);
  }
}

static void test_peer_places_over_many_pages(void **state) {
  pair *p = *state;
  end *e[300];

  pair_begin(p);
  for (int i = 0; i < 300; i++)
    e[i] = pair_open(p);
  assert_int_equal(rill_peers(p->hub), 300);
  for (int i = 0; i < 300; i += 2)
    rill_cut(e[i]->peer);
  pair_turn(p);
  assert_int_equal(rill_peers(p->hub), 150);
  for (int i = 0; i < 300; i++)
    assert_int_equal(rill_peer_id(e[i]->peer) != 0, i % 2);
  for (int i = 64; i < 128; i++) /* a whole page goes, and comes again */
    rill_cut(e[i]->peer);
  pair_turn(p);
  for (int i = 0; i < 182; i++)
    assert_true(pair_open(p)->peer.slot < 300);
  assert_int_equal(rill_peers(p->hub), 300);
}

static int take_data(pair *p, const event *e) {
  if (strcmp(e->name, "close") == 0) {
    assert_ptr_equal(rill_peer_data(e->peer), p);
    assert_true(rill_in_room(e->peer, rill_s("room")));
    assert_true(rill_str_eq(rill_peer_user(e->peer), rill_s("ann")));
    assert_true(rill_str_eq(rill_peer_subprotocol(e->peer), rill_s("two")));
  }
  return strcmp(e->name, "auth") == 0 ? rill_accept(e->req, rill_s("ann")) : 0;
}

static void test_peer_carries_things_until_on_close(void **state) {
  static const char *const protocols[] = {"one", "two"};
  rill_route_opts opts = {.subprotocols = protocols, .nsubprotocols = 2};
  pair *p = *state;
  end *e;

  p->config.authenticate = pair_authenticate;
  p->act = take_data;
  pair_begin(p);
  pair_route(p, "/sub", &opts);
  e = pair_open_at(p, "/sub", "Sec-WebSocket-Protocol: three, two\r\n");
  assert_null(rill_peer_data(e->peer));
  assert_int_equal(rill_peer_set_data(e->peer, p), 0);
  assert_int_equal(rill_join(e->peer, rill_s("room")), 0);
  assert_true(rill_str_eq(rill_peer_address(e->peer), rill_s("192.0.2.1")));
  rill_conn_free(e->conn); /* the conn is gone before on_close comes */
  e->conn = NULL;
  pair_turn(p);
  assert_int_equal(e->closed, 1);
  assert_null(rill_peer_data(e->peer));
  assert_int_equal(rill_room_count(p->hub, rill_s("room")), 0);
}

enum {
  DO_CLOSE_SELF,
  DO_CUT_SELF,
  DO_CLOSE_OTHER,
  DO_CUT_OTHER,
  DO_CLOSE_ALL,
  DO_CUT_ALL,
  DO_SEND_SELF,
  DO_SEND_ALL,
  DO_SEND_ROOM,
  DO_JOIN,
  DO_LEAVE,
  DO_JOIN_REQUEST,
  DO_PING,
  DO_PAUSE,
  DO_RESUME,
  DO_DRAIN,
  DO_DIAL,
  DO_POST,
  DO_COUNT
};

static const char *const wheres[] = {"open",      "message", "drain",
                                     "joined",    "close",   "auth",
                                     "authorize", "charge",  "request"};

typedef struct deed {
  int what;
  const char *where;
  int rv;          /* what the handler returns then, unless it says its own */
  int done;        /* how often */
  bool done_first; /* the deed comes before the answer of a hook */
  end *self, *other;
} deed;

static void posted(rill_hub *hub, void *arg) {
  rill_msg m = rill_text("posted");
  (void)arg;
  rill_send_all(hub, &m);
}

static void to_all(pair *p, bool cut) {
  for (size_t i = 0; i < p->nends; i++) {
    if (cut)
      rill_cut(p->ends[i]->peer);
    else
      rill_close(p->ends[i]->peer, 4000, "all");
  }
}

static void do_it(pair *p, deed *d) {
  rill_msg m = rill_text("from a handler");
  rill_peer self = d->self->peer, other = d->other->peer;

  switch (d->what) {
  case DO_CLOSE_SELF:
    rill_close(self, 4000, "self");
    break;
  case DO_CUT_SELF:
    rill_cut(self);
    break;
  case DO_CLOSE_OTHER:
    rill_close(other, 4000, "other");
    break;
  case DO_CUT_OTHER:
    rill_cut(other);
    break;
  case DO_CLOSE_ALL:
  case DO_CUT_ALL:
    to_all(p, d->what == DO_CUT_ALL);
    break;
  case DO_SEND_SELF:
    rill_send(self, &m);
    break;
  case DO_SEND_ALL:
    rill_send_all(p->hub, &m);
    break;
  case DO_SEND_ROOM:
    rill_send_room(p->hub, rill_s("room"), &m);
    break;
  case DO_JOIN:
    rill_join(self, rill_s("another"));
    break;
  case DO_LEAVE:
    rill_leave(self, rill_s("room"));
    break;
  case DO_JOIN_REQUEST:
    rill_join_request(self, rill_s("third"));
    break;
  case DO_PING:
    rill_ping(self);
    break;
  case DO_PAUSE:
    rill_pause(self);
    break;
  case DO_RESUME:
    rill_pause(self);
    rill_resume(self);
    break;
  case DO_DRAIN:
    rill_drain(p->hub, 0, p->now);
    break;
  case DO_DIAL:
    rill_dial(NULL, p->hub, "ws://example.org/", NULL, p->now);
    break;
  case DO_POST:
    rill_post(p->hub, posted, NULL);
    break;
  default:
    MUST(false);
  }
}

static int do_deed(pair *p, const event *e) {
  deed *d = p->act_arg;
  bool now = strcmp(e->name, d->where) == 0 && d->done == 0 &&
             (e->end == NULL || e->end == d->self || d->self->opened == 0);
  int rv = strcmp(e->name, "charge") == 0 ? 1 : 0;

  if (now && e->end != NULL)
    d->self = e->end;
  if (now && d->done_first) {
    d->done++;
    do_it(p, d);
  }
  if (strcmp(e->name, "auth") == 0)
    rv = rill_accept(e->req, rill_s("user"));
  if (strcmp(e->name, "request") == 0)
    rv = rill_respond(e->req, &(rill_response){.body = "ok", .body_len = 2});
  if (now && !d->done_first) {
    d->done++;
    do_it(p, d);
  }
  return now && d->rv != 0 && strcmp(e->name, "charge") != 0 ? d->rv : rv;
}

/* Brings every handler of |self| about, with |other| in the same room. */
static void provoke(pair *p, deed *d) {
  rill_msg m = rill_text("much");
  rill_peer peer;
  end *get;

  d->other = pair_open(p);
  rill_join(d->other->peer, rill_s("room"));
  d->self = pair_accept(p);
  p->act = do_deed;
  p->act_arg = d;
  end_hello(d->self, "/ws", "");
  peer = d->self->peer;
  rill_join(peer, rill_s("room"));
  pair_turn(p);
  end_put(d->self, 0x81, "first", 5);
  end_put(d->self, 0x01, "sec", 3);
  end_put(d->self, 0x89, "ping", 4);
  end_put(d->self, 0x80, "ond", 3);
  pair_turn(p);
  rill_join_request(peer, rill_s("asked"));
  pair_turn(p);
  for (int i = 0; i < 4; i++)
    rill_send(peer, &m);
  pair_turn(p);
  get = pair_accept(p);
  end_say(get, "GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
  rill_resume(peer);
  pair_turn(p);
  end_text(d->self, "third");
  end_bye(d->self, 1000, "");
  pair_turn(p);
}

static void test_peer_any_command_in_any_handler(void **state) {
  pair *p = *state;
  static const int returns[] = {0, -1, RILL_PAUSE};

  p->config.authenticate = pair_authenticate;
  p->config.authorize_join = pair_authorize;
  p->config.charge = pair_charge;
  p->config.limits.soft_count = 3;
  p->quiet = true;
  for (size_t where = 0; where < sizeof wheres / sizeof *wheres; where++)
    for (int what = 0; what < DO_COUNT; what++)
      for (int rv = 0; rv < 6; rv++) {
        deed d = {what, wheres[where], returns[rv % 3], 0, rv >= 3, NULL, NULL};
        bool others = what == DO_CLOSE_OTHER || what == DO_CUT_OTHER ||
                      what == DO_CLOSE_ALL || what == DO_CUT_ALL ||
                      what == DO_DRAIN;
        pair_begin(p);
        assert_int_equal(rill_handle(p->hub, "GET", "/page", pair_request, p),
                         0);
        p->act = do_deed;
        p->act_arg = &(deed){-1, "nowhere", 0, 0, false, NULL, NULL};
        provoke(p, &d);
        assert_int_equal(d.done, 1);
        pair_pass(p, 10 * RILL_SEC);
        assert_int_equal(d.self->opened, !(what == DO_DRAIN && d.done_first &&
                                           strcmp(d.where, "auth") == 0));
        assert_int_equal(d.self->closed, d.self->opened);
        /* the other goes on as if nothing had been, unless it was meant */
        assert_int_equal(rill_is_open(d.other->peer), !others);
        if (what == DO_SEND_ALL || what == DO_SEND_ROOM)
          assert_non_null(strstr(end_took(d.other), "text from a handler"));
        pair_reset(p);
      }
}

/* Commands outside of handlers run none: on_close waits for the next tick. */
static void test_peer_commands_run_no_handler(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x");
  end *a, *b;

  p->config.limits.queue_count = 2;
  p->config.limits.soft_count = 2;
  pair_begin(p);
  a = pair_open(p);
  b = pair_open(p);
  a->room = b->room = 0;
  rill_join(a->peer, rill_s("r"));
  rill_join_request(b->peer, rill_s("r"));
  for (int i = 0; i < 4; i++) {
    rill_send(a->peer, &m); /* the third closes it for being slow */
    rill_send_room(p->hub, rill_s("r"), &m);
  }
  rill_leave(a->peer, rill_s("r"));
  rill_pause(b->peer);
  rill_resume(b->peer);
  rill_close(b->peer, 1000, NULL);
  rill_drain(p->hub, 0, p->now);
  assert_string_equal(pair_log(p), "");
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 close 10 1006/4008");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_peer_handle_of_nobody),
      PAIR_TEST(test_peer_stale_handles_stay_stale),
      PAIR_TEST(test_peer_places_over_many_pages),
      PAIR_TEST(test_peer_carries_things_until_on_close),
      PAIR_TEST(test_peer_any_command_in_any_handler),
      PAIR_CASE(test_peer_any_command_in_any_handler, " (cut 2)", 2),
      PAIR_TEST(test_peer_commands_run_no_handler),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
