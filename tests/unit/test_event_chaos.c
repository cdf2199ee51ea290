/*
 * test_event_chaos.c - whatever clients of any dialect say and handlers do,
 * in any order: every peer that was opened is closed once, every question
 * has its outcome, and nothing is left behind.
 */
#include "talk.h"

#define CROWD 24
typedef struct chaos {
  pair *p;
  int opened, closed, asked, told;
  rill_ack_to acks[8];
  rill_request *requests[8];
  rill_peer peers[CROWD], joins[8];
  end *e[CROWD];
  bool sio[PAIR_ENDS];
} chaos;

static unsigned dice(pair *p, unsigned sides) {
  return (unsigned)(xorshift(&p->seed) >> 16) % sides;
}

static void chaos_told(rill_hub *hub, const rill_answers *a, void *arg) {
  chaos *c = arg;

  (void)hub;
  (void)a;
  c->told++;
}

static int chaos_random(void *arg, void *out, size_t len) {
  return pair_random(((chaos *)arg)->p, out, len);
}

static const char *const chaos_rooms[] = {"p", "b", "h", "bh"};

/* One command of the host, legal anywhere. */
static void chaos_command(chaos *c, rill_peer peer) {
  pair *p = c->p;
  rill_hub *hub = p->hub;
  rill_str room = rill_s(chaos_rooms[dice(p, 4)]);
  rill_emit_opts ask = {.on_answers = chaos_told, .arg = c, .ack_ms = 50};
  rill_msg msg = {.data = "m", .len = 1, .kind = RILL_BINARY};
  rill_builder *b = rill_build(hub);
  unsigned i = dice(p, 8);

  rill_put_uint(b, dice(p, 1000));
  if (dice(p, 3) == 0)
    rill_put_bytes(b, "\1\2\3", 3);
  switch (dice(p, 26)) {
  case 0:
    if (dice(p, 12) == 0)
      rill_close(peer, 1000, NULL);
    break;
  case 1:
    if (dice(p, 12) == 0)
      rill_cut(peer);
    break;
  case 2:
  case 3:
    rill_join(peer, room);
    break;
  case 4:
    rill_leave(peer, room);
    break;
  case 5:
    rill_join_request(peer, room);
    break;
  case 6:
    rill_join_allow(c->joins[i], room);
    break;
  case 7:
    rill_join_deny(c->joins[i], room, RILL_ERR_FORBIDDEN);
    break;
  case 8:
    rill_ack(c->acks[i], b);
    break;
  case 9:
  case 10:
    if (c->requests[i] != NULL) {
      rill_request *req = c->requests[i];
      c->requests[i] = NULL;
      if (dice(p, 4) == 0)
        rill_reject(req, 403, "no");
      else
        rill_accept(req, rill_s(dice(p, 2) ? "ann" : ""));
    }
    break;
  case 11:
    c->asked += rill_emit_room(hub, room, "q", b, &ask) == 0;
    break;
  case 12:
    c->asked += rill_emit_peer(peer, "q", b, &ask) >= 0;
    break;
  case 13:
    rill_emit_peer(peer, "n", b, &(rill_emit_opts){.is_volatile = true});
    break;
  case 14:
    rill_emit_all(hub, "n", b, &(rill_emit_opts){.key = RILL_STR("k")});
    break;
  case 15:
    rill_emit_user(hub, rill_s("ann"), "n", b, NULL);
    break;
  case 16:
    rill_emit_others(peer, room, "n", b, NULL);
    break;
  case 17:
    rill_send_room(hub, room, &msg);
    break;
  case 18:
    rill_send(peer, &msg);
    break;
  case 19:
    rill_pause(peer);
    break;
  case 20:
  case 21:
    rill_resume(peer);
    break;
  case 22:
    rill_emit_room(hub, room, "n", b,
                   &(rill_emit_opts){.overflow = RILL_DROP_OLDEST});
    break;
  default:
    rill_emit_room(hub, room, "n", b, NULL);
  }
}

static int chaos_any(chaos *c, rill_peer peer) {
  MUST(c->p->may_run && c->p->depth == 0);
  c->p->depth++;
  while (dice(c->p, 3) == 0)
    chaos_command(c, dice(c->p, 4) == 0 ? c->peers[dice(c->p, CROWD)] : peer);
  c->p->depth--;
  return dice(c->p, 300) == 0  ? RILL_ERR_STATE
         : dice(c->p, 20) == 0 ? RILL_PAUSE
                               : 0;
}

static int chaos_event(rill_peer peer, const rill_event *ev, void *arg) {
  chaos *c = arg;
  unsigned what = dice(c->p, 6);
  char json[200];

  if (what == 0)
    c->acks[dice(c->p, 8)] = rill_event_ack(ev);
  else if (what == 1)
    rill_event_fail(ev, "no", "no");
  else if (what == 2)
    rill_event_reply(ev, NULL);
  else
    chaos_any(c, peer);
  rill_value_json(rill_event_args(ev), json, sizeof json);
  return chaos_any(c, peer);
}

static int chaos_open(rill_peer peer, const rill_request *req, void *arg) {
  chaos *c = arg;

  MUST(req != NULL && rill_peer_id(peer) != 0);
  c->opened++;
  c->peers[dice(c->p, CROWD)] = peer;
  return chaos_any(c, peer) < 0 ? RILL_ERR_STATE : 0;
}

static int chaos_message(rill_peer peer, const rill_msg *msg, void *arg) {
  (void)msg;
  return chaos_any(arg, peer);
}

static int chaos_drain(rill_peer peer, void *arg) {
  return chaos_any(arg, peer) < 0 ? RILL_ERR_STATE : 0;
}

static int chaos_joined(rill_peer peer, rill_str room, int status, void *arg) {
  (void)room;
  (void)status;
  return chaos_any(arg, peer) < 0 ? RILL_ERR_STATE : 0;
}

static void chaos_close(rill_peer peer, const rill_closed *how, void *arg) {
  chaos *c = arg;

  MUST(how->cause != RILL_CAUSE_NONE && !rill_is_open(peer));
  c->closed++;
  chaos_any(c, peer);
}

static const rill_handlers chaos_handlers = {.on_open = chaos_open,
                                             .on_message = chaos_message,
                                             .on_drain = chaos_drain,
                                             .on_joined = chaos_joined,
                                             .on_close = chaos_close,
                                             .on_away = chaos_drain};

static int chaos_auth(rill_request *req, void *arg) {
  chaos *c = arg;
  unsigned i = dice(c->p, 8);

  chaos_any(c, c->peers[i]);
  if (dice(c->p, 3) == 0 && c->requests[i] == NULL) {
    c->requests[i] = req;
    return RILL_LATER;
  }
  return dice(c->p, 8) == 0 ? rill_reject(req, 401, "no")
                            : rill_accept(req, rill_s("ann"));
}

static int chaos_authorize(rill_peer peer, rill_str room, void *arg) {
  chaos *c = arg;

  (void)room;
  chaos_any(c, peer);
  c->joins[dice(c->p, 8)] = peer;
  switch (dice(c->p, 5)) {
  case 0:
    return RILL_LATER;
  case 1:
    return RILL_ERR_FORBIDDEN;
  default:
    return 0;
  }
}

static void chaos_client(chaos *c, end **at) {
  pair *p = c->p;
  static const char *const sse[] = {"/sse/p", "/sse/b?room=h",
                                    "/sse/h?lastEventId=x", "/sse"};
  end *e = *at = pair_accept(p);
  char path[80], header[80] = "";

  switch (dice(p, 6)) {
  case 0:
  case 1:
    end_hello(e, dice(p, 2) ? "/json" : "/deflated",
              dice(p, 2) ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                         : "");
    talk_put(e, "{\"open\":{\"token\":\"t\"}}");
    break;
  case 2:
    talk_packs[e->index] = true;
    end_hello(e, "/json", "Sec-WebSocket-Protocol: rill.msgpack.v1\r\n");
    snprintf(path, sizeof path, "{\"open\":{},\"resume\":\"%s\"}",
             talk_secret[dice(p, (unsigned)p->nends)]);
    talk_put(e, path);
    break;
  case 3:
    end_hello(e, "/socket.io/?EIO=4&transport=websocket", "");
    end_put(e, 0x81, "40", 2);
    c->sio[e->index] = true;
    break;
  case 4:
    end_hello(e, "/ws", "");
    break;
  default:
    if (p->hub->offset > 0)
      snprintf(header, sizeof header, "Last-Event-ID: %.8s-%u\r\n",
               p->hub->epoch, dice(p, (unsigned)p->hub->offset));
    talk_put_request(e, "GET", sse[dice(p, 4)], header, NULL);
  }
}

static void chaos_says(chaos *c, end *e) {
  static const char *const json[] = {
      "{\"event\":\"e\",\"args\":[1,\"x\"],\"id\":3}",
      "{\"event\":\"e\"}",
      "{\"event\":\"t\",\"id\":4}",
      "{\"join\":\"b\",\"id\":1}",
      "{\"join\":\"h\"}",
      "{\"leave\":\"b\",\"id\":2}",
      "{\"ack\":0,\"args\":[]}",
      "{\"ack\":1,\"args\":[{\"$bytes\":\"AAEC\"}]}",
      "{\"ack\":2,\"args\":[1]}",
      "{\"ping\":1}",
      "{\"event\":1}",
      "{\"event\":\"connect\"}"};
  static const char *const sio[] = {"42[\"e\",1]", "4213[\"e\"]", "430[]",
                                    "431[1]",      "432[2]",      "42[\"t\"]",
                                    "40",          "41"};
  char body[200];

  if (e->conn == NULL)
    return;
  if (!e->upgraded) {
    snprintf(body, sizeof body, "{\"event\":\"e\",\"session\":\"%s\"}",
             talk_secret[dice(c->p, (unsigned)c->p->nends)]);
    e = pair_accept(c->p);
    talk_put_request(e, "POST", "/sse/p", "",
                     dice(c->p, 2) ? body : "{\"event\":\"t\",\"args\":[2]}");
    if (dice(c->p, 2))
      e->fin = true;
  } else if (dice(c->p, 200) == 0) {
    end_put(e, 0x81, "x", 1);
  } else if (dice(c->p, 200) == 0) {
    end_put(e, 0x88, "\x03\xe8", 2);
  } else if (c->sio[e->index]) {
    const char *text = sio[dice(c->p, dice(c->p, 9) ? 6 : 8)];
    end_put(e, 0x81, text, strlen(text));
  } else {
    talk_put(e, json[dice(c->p, 12)]);
  }
}

static void chaos_reads(end *e) {
  if (e->rx.len > e->told && !e->upgraded)
    streamed(e);
  else
    said(e);
}

/* The adapter lets go; whoever is away is given up. */
static void chaos_let_go(pair *p) {
  for (size_t i = 0; i < p->nends; i++) {
    rill_conn_free(p->ends[i]->conn);
    p->ends[i]->conn = NULL;
  }
  for (int i = 0; i < 20; i++) {
    p->now += 200 * RILL_SEC;
    pair_tick(p, p->hub);
  }
}

static void chaos_limits(pair *p) {
  rill_limits *l = &p->config.limits;

  l->queue_count = dice(p, 2) ? 4 : 1000;
  l->soft_count = dice(p, 2) ? 2 : 500;
  l->acks_pending = 6;
  l->verdict_ms = 300;
  l->connect_ms = 500;
  l->recovery_ms = 100;
  l->messages_per_sec = dice(p, 3) ? RILL_UNLIMITED : 20;
  l->messages_burst = dice(p, 3) ? RILL_UNLIMITED : 3;
  l->history_total_bytes = dice(p, 2) ? 2000 : 1000000;
}

static void chaos_route(chaos *c, const char *path, rill_dialect dialect,
                        bool deflate) {
  const rill_route_opts opts = {.handlers = &chaos_handlers,
                                .arg = c,
                                .deflate = {.enabled = deflate,
                                            .threshold = 20,
                                            .server_context_takeover = true}};

  assert_int_equal(rill_route(c->p->hub, path, dialect, &opts), 0);
}

static void chaos_begin(chaos *c) {
  pair *p = c->p;

  p->config.arg = c;
  p->config.random = chaos_random;
  p->config.authenticate = dice(p, 3) ? chaos_auth : NULL;
  p->config.authorize_join = dice(p, 3) ? chaos_authorize : NULL;
  p->config.overflow = (rill_overflow)(1 + dice(p, 3));
  chaos_limits(p);
  assert_int_equal(rill_hub_new(&p->hub, &p->config), 0);
  chaos_route(c, "/ws", RILL_RAW, false);
  chaos_route(c, "/json", RILL_JSON, false);
  chaos_route(c, "/deflated", RILL_JSON, true);
  chaos_route(c, "/sse", RILL_SSE, false);
  chaos_route(c, "/sse/:room", RILL_SSE, false);
  chaos_route(c, "/socket.io/", RILL_SOCKETIO, false);
  assert_int_equal(rill_on(p->hub, NULL, "e", chaos_event, c), 0);
  assert_int_equal(rill_on(p->hub, NULL, "t", chaos_event, c), 0);
  if (dice(p, 2))
    assert_int_equal(rill_before(p->hub, NULL, chaos_event, c), 0);
  assert_int_equal(rill_throttle(p->hub, NULL, "t", 2, 100, false), 0);
  rill_room_defaults(p->hub, "b*", &(rill_room_opts){.batch_ms = 5});
  rill_room_defaults(p->hub, "h*", &(rill_room_opts){.history = 4});
  rill_room_defaults(
      p->hub, "bh",
      &(rill_room_opts){.batch_ms = 3, .history = 3, .history_ms = 200});
  if (dice(p, 2))
    rill_space(p->hub, "/", &(rill_space_opts){.recovery = true});
}

static void chaos_step(chaos *c) {
  pair *p = c->p;
  end **at = &c->e[dice(p, CROWD)];
  bool there = *at != NULL && (*at)->conn != NULL;

  switch (dice(p, 10)) {
  case 0:
  case 1:
    if (!there)
      chaos_client(c, at);
    break;
  case 2:
    pair_turn(p);
    break;
  case 3:
    pair_pass(p, dice(p, 40) * RILL_MSEC);
    break;
  case 4:
    if (there && dice(p, 20) == 0)
      end_eof(*at, (int)dice(p, 2));
    break;
  case 5: /* little gets through, or all */
    if (there && dice(p, 3) == 0)
      (*at)->room = dice(p, 2) ? dice(p, 300) : SIZE_MAX;
    break;
  case 6:
    chaos_command(c, c->peers[dice(p, CROWD)]);
    break;
  default:
    if (there)
      chaos_says(c, *at);
  }
  if (*at != NULL)
    chaos_reads(*at);
}

static void chaos_end(chaos *c) {
  pair *p = c->p;

  if (dice(p, 3) == 0)
    assert_int_equal(rill_drain(p->hub, 100 * RILL_MSEC, p->now), 0);
  pair_pass(p, 500 * RILL_MSEC);
  for (size_t i = 0; i < 8; i++) {
    if (c->requests[i] != NULL)
      rill_reject(c->requests[i], 403, "too late");
    c->requests[i] = NULL;
  }
  chaos_let_go(p);
  assert_int_equal(c->opened, c->closed);
  assert_int_equal(c->asked, c->told);
  assert_int_equal(pair_metrics(p).peers, 0);
  assert_int_equal(pair_metrics(p).users, 0);
  assert_int_equal(pair_metrics(p).sessions, 0);
  assert_int_equal(pair_metrics(p).away, 0);
  assert_int_equal(pair_metrics(p).rooms, 0);
  assert_int_equal(pair_metrics(p).history_bytes, 0);
  for (size_t i = 0; i < p->nends; i++) /* they were counted above */
    p->ends[i]->opened = p->ends[i]->closed = 0;
  pair_reset(p); /* nothing is left behind */
}

static void test_event_chaos_leaves_nothing_behind(void **state) {
  pair *p = *state;
  static chaos c;

  p->quiet = true;
  for (int round = 0; round < 4; round++) {
    c = (chaos){.p = p};
    chaos_begin(&c);
    for (int step = 0; step < 2500 && p->nends < PAIR_ENDS - 8; step++)
      chaos_step(&c);
    assert_true(c.opened > 5);
    chaos_end(&c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_event_chaos_leaves_nothing_behind)};

  return cmocka_run_group_tests_name("event_chaos", tests, NULL, NULL);
}
