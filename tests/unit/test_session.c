/*
 * Sessions by chance: clients of all dialects that come, speak, break rules,
 * probe, poll twice, stall and vanish, a host that closes, cuts, pauses and
 * asks from wherever it is called, and limits that are soon reached.  What
 * holds is what eio.h and pair.h check on the way and in the end.
 */
#include "eio.h"

#define REQUESTS 8

typedef struct chance {
  world *w;
  uint64_t seed;
  rill_request *later[REQUESTS];
  size_t nlater;
  int asked, told;
  bool over; /* nothing new is begun */
  end *probes[16];
  size_t nprobes;
} chance;

static chance *now; /* of the run: handlers have no other way to it */

static uint64_t roll(uint64_t n) {
  return (xorshift(&now->seed) >> 17) % n;
}

static rill_peer somebody(void) {
  const rill_peer nobody = {0};
  return now->w->n > 0 ? now->w->seen[roll(now->w->n)].peer : nobody;
}

static void on_answers(rill_hub *hub, const rill_answers *a, void *arg) {
  (void)hub;
  (void)arg;
  MUST(a->n + a->nmissing < 1000);
  now->told++;
}

/* Something that the host may do at any time. */
static void do_something(void) {
  static const char *const rooms[] = {"one", "two", "slow"};
  world *w = now->w;
  rill_str room = rill_s(rooms[roll(3)]);
  rill_peer peer = somebody();
  rill_builder *b = rill_build(w->hub);
  rill_emit_opts opts = {.space = rill_s(roll(3) == 0 ? "/admin" : "/"),
                         .overflow = (rill_overflow)roll(4)};
  rill_msg msg = rill_text("a message");

  rill_put_int(b, (int64_t)roll(1000));
  if (roll(3) == 0)
    rill_put_bytes(b, "some bytes", roll(10));
  if (roll(8) == 0)
    opts.key = rill_s("key");
  opts.is_volatile = roll(8) == 0;
  if (roll(4) == 0) {
    opts.on_answers = on_answers;
    opts.ack_ms = (uint32_t)roll(3000) + 1;
  }
  switch (roll(16)) {
  case 0:
    if (roll(8) == 0)
      rill_close(peer, 1000, "chance");
    break;
  case 1:
    if (roll(8) == 0)
      rill_cut(peer);
    break;
  case 2:
    if (roll(3) == 0)
      rill_pause(peer);
    break;
  case 3:
  case 4:
    rill_resume(peer);
    break;
  case 5:
    now->asked +=
        rill_emit_peer(peer, "peer", b, &opts) >= 0 && opts.on_answers != NULL;
    break;
  case 6:
    now->asked +=
        rill_emit_all(w->hub, "all", b, &opts) == 0 && opts.on_answers != NULL;
    break;
  case 7:
  case 8:
    now->asked += rill_emit_room(w->hub, room, "room", b, &opts) == 0 &&
                  opts.on_answers != NULL;
    break;
  case 9:
    now->asked += rill_emit_others(peer, room, "others", b, &opts) == 0 &&
                  opts.on_answers != NULL;
    break;
  case 10:
  case 11:
    rill_join(peer, room);
    break;
  case 12:
    rill_leave(peer, room);
    break;
  case 13:
    rill_ping(peer);
    break;
  case 14:
    rill_send(peer, &msg);
    break;
  default:
    rill_send_room(w->hub, room, &msg);
    break;
  }
}

static int acts(world *w, const happening *h) {
  (void)w;
  if (now->over)
    return strcmp(h->name, "auth") == 0 ? rill_accept(h->req, rill_s("")) : 0;
  if (strcmp(h->name, "auth") == 0) {
    if (roll(3) == 0 && now->nlater < REQUESTS) {
      now->later[now->nlater++] = h->req;
      return RILL_LATER;
    }
    if (roll(12) == 0)
      do_something();
    return roll(6) == 0 ? rill_reject(h->req, 403, "chance")
                        : rill_accept(h->req, rill_s(roll(8) ? "ann" : ""));
  }
  if (h->ev != NULL && roll(2) == 0)
    rill_event_reply(h->ev, NULL);
  while (roll(4) == 0)
    do_something();
  if (h->req != NULL) /* good for the call, whatever was done */
    MUST(rill_request_address(h->req).len == 9);
  return roll(40) == 0 ? -99 : roll(20) == 0 ? RILL_PAUSE : 0;
}

static const char *const good[] = {
    "40/admin,",
    "40/dyn-a,{\"token\":\"x\"}",
    "40/dyn-b,",
    "40/nope,",
    "42[\"a\",1]",
    "42[\"b\",{\"c\":[]}]",
    "421[\"ask\"]",
    "430[]",
    "431[\"x\"]",
    "42[\"a\",\"\"]",
    "43[]",
    "451-[\"bytes\",{\"_placeholder\":true,\"num\":0}]|bAQID",
    "3",
    "6"};
static const char *const bad[] = {
    "40",
    "42/admin,[\"b\"]",
    "42/dyn-a,7[\"ask\",null]",
    "41",
    "41/admin,",
    "41/dyn-a,",
    "bAQID",
    "4",
    "2",
    "1",
    "x",
    "42{}",
    "44{}",
    "5",
    "452-[\"bytes\",{\"_placeholder\":true,\"num\":0}]"};
static const char *const envelopes[] = {
    "{\"event\":\"e\",\"args\":[1],\"id\":3}",
    "{\"event\":\"f\"}",
    "{\"join\":\"one\",\"id\":1}",
    "{\"leave\":\"one\"}",
    "{\"ping\":1}",
    "{\"ack\":0,\"args\":[]}",
    "{\"ack\":1,\"args\":[2]}",
    "{\"what\":1}"};
static const char *const raws[] = {"4hello", "bAQID", "4", "b", "3", "6"};

#define ONE_OF(list) list[roll(sizeof(list) / sizeof *(list))]

static const char *packet(const cli *c) {
  if (roll(25) == 0)
    return ONE_OF(bad);
  return strcmp(c->path, "/json") == 0         ? ONE_OF(envelopes)
         : strcmp(c->path, "/engine.io/") == 0 ? ONE_OF(raws)
                                               : ONE_OF(good);
}

/* Says what lies between the bars. */
static void say(end *e, const char *packets) {
  char one[200];

  for (size_t n; *packets != '\0'; packets += n + (packets[n] == '|')) {
    n = strcspn(packets, "|");
    memcpy(one, packets, n);
    one[n] = '\0';
    ws_say(e, one);
  }
}

static void turn(void) {
  pair_turn(now->w->p);
}

/* A new stream; that there is memory for one is another test's. */
static end *stream(void) {
  pair *p = now->w->p;
  uint64_t fail_at = p->mem.fail_at;
  end *e = NULL;

  p->mem.fail_at = 0;
  if (p->nends < PAIR_ENDS - 4)
    e = pair_accept(p);
  p->mem.fail_at = fail_at;
  return e;
}

static void come(cli *c) {
  static const char *const paths[] = {"/socket.io/", "/socket.io/",
                                      "/engine.io/", "/json"};
  char offset[100] = "", text[300];
  const cli old = *c;
  end *e = stream();
  size_t path = roll(4);

  buf_clear(&c->heard);
  *c = (cli){.w = now->w, .path = paths[path]};
  if (e == NULL)
    return;
  if (path == 3 || roll(2) == 0) {
    ws_hello(e, path == 3 ? "/json" : cli_target(c, "websocket"), "");
    c->ws = e;
  } else {
    take_id(http(e, "GET", cli_target(c, "polling"), "", NULL), "\"sid\":\"",
            c->sid);
    c->get = e;
  }
  if (path == 2 || roll(4) == 0)
    return;
  if (old.pid[0] != '\0' && roll(2) == 0) {
    if (old.offset[0] != '\0')
      snprintf(offset, sizeof offset, ",\"offset\":\"%s\"", old.offset);
    snprintf(text, sizeof text,
             path == 3 ? "{\"open\":{},\"resume\":\"%s\"%s}"
                       : "40{\"pid\":\"%s\"%s}",
             old.pid, offset);
  } else {
    snprintf(text, sizeof text, "%s", path == 3 ? "{\"open\":{}}" : "40");
  }
  if (c->ws != NULL) {
    ws_say(c->ws, text);
  } else if ((c->post = stream()) != NULL) {
    http_put(c->post, "POST", cli_target(c, "polling"), "", text, strlen(text));
  }
  turn();
}

static void pongs(cli *c) {
  if (c->ws != NULL && c->ws->conn != NULL) {
    ws_say(c->ws, "3");
  } else if (c->ws == NULL && (c->post == NULL || c->post->conn != NULL)) {
    if (c->post == NULL && (c->post = stream()) == NULL)
      return;
    http_put(c->post, "POST", cli_target(c, "polling"), "", "3", 1);
  }
  turn();
}

/* Reads what there is, for ids and offsets. */
static void hear(cli *c) {
  buf out = {0};
  bool pinged = false;
  frame f;

  if (c->ws != NULL && c->ws->room == SIZE_MAX) {
    buf_clear(&c->ws->text);
    if (!c->ws->upgraded)
      tell_http(c->ws);
    while (c->ws->upgraded && end_next_frame(c->ws, &f))
      if (f.opcode == 1) {
        heard(c, (const char *)f.data, f.len);
        pinged |= f.len == 1 && f.data[0] == '2';
      }
  } else if (c->get != NULL) {
    buf_clear(&c->get->text);
    while (tell_http(c->get)) {
      c->waits = false;
      heard(c, (const char *)c->get->http_body.data, c->get->http_body.len);
      pinged |= c->heard.len > 0 && c->heard.data[c->heard.len - 1] == '2';
    }
  }
  if (pinged && roll(12) != 0)
    pongs(c);
  if (c->heard.len > 0)
    mask(c, &out);
  buf_clear(&out);
  buf_clear(&c->heard);
}

static void polls(cli *c) {
  end *e = c->get != NULL && c->get->conn != NULL && roll(20) != 0 ? c->get
                                                                   : stream();
  if (e == NULL)
    return;
  http_put(e, "GET", cli_target(c, "polling"), "", NULL, 0);
  c->get = e;
  turn();
}

static void posts(cli *c) {
  end *e = c->post != NULL && c->post->conn != NULL && roll(20) != 0 ? c->post
                                                                     : stream();
  char body[400];
  size_t len = 0;

  if (e == NULL)
    return;
  do
    len += (size_t)snprintf(body + len, sizeof body - len, "%s%s",
                            len > 0 ? "|" : "", packet(c));
  while (roll(3) != 0 && len < 300);
  for (size_t i = 0; i < len; i++)
    if (body[i] == '|')
      body[i] = '\x1e';
  http_put(e, "POST", cli_target(c, "polling"), "", body, len);
  if (roll(60) == 0)
    e->tx.len -= roll(3);
  c->post = e;
  turn();
}

static void probes(cli *c) {
  end *e = stream();

  if (e == NULL || now->nprobes == 16)
    return;
  ws_hello(e, cli_target(c, "websocket"), "");
  if (roll(8) != 0)
    end_put(e, 0x81, "2probe", 6);
  if (roll(3) != 0) {
    turn();
    if (roll(4) != 0)
      end_put(e, 0x81, "5", 1);
    c->ws = roll(2) == 0 ? e : NULL;
  }
  now->probes[now->nprobes++] = e;
  turn();
}

static void vanish(end *e) {
  if (e != NULL && e->conn != NULL)
    end_eof(e, (int)roll(2));
}

static void step(void) {
  world *w = now->w;
  cli *c = &w->cli[roll(6)];
  end *e = c->ws;
  bool there = (e != NULL && e->conn != NULL) ||
               (e == NULL && c->get != NULL && c->get->conn != NULL);

  if (w->lacks && roll(30) == 0)
    w->p->mem.fail_at = w->p->mem.calls + 1 + roll(40);
  switch (there || roll(2) == 0 ? roll(20) : 0) {
  case 0:
    if (!there || roll(6) == 0)
      come(c);
    break;
  case 1:
  case 2:
  case 3:
    if (c->ws == NULL && c->sid[0] != '\0')
      polls(c);
    break;
  case 4:
  case 5:
  case 6:
    if (c->ws == NULL && c->sid[0] != '\0')
      posts(c);
    break;
  case 7:
  case 8:
  case 9:
    if (e != NULL && e->conn != NULL) {
      say(e, packet(c));
      if (roll(2) == 0)
        say(e, packet(c));
      turn();
    }
    break;
  case 10:
    if (c->sid[0] != '\0')
      probes(c);
    break;
  case 11:
    if (now->nprobes > 0)
      vanish(now->probes[--now->nprobes]);
    break;
  case 12:
    if (roll(3) == 0)
      vanish(roll(3) == 0 ? c->post : roll(2) == 0 ? c->get : c->ws);
    break;
  case 13:
    if (e != NULL && e->conn != NULL) {
      e->room = roll(2) == 0 ? 0 : SIZE_MAX;
      turn();
    }
    break;
  case 14:
    if (now->nlater > 0) {
      rill_request *req = now->later[--now->nlater];
      if (roll(2) == 0)
        rill_request_header(req, "host");
      if (roll(3) == 0)
        rill_reject(req, 403, "chance");
      else
        rill_accept(req, rill_s("ann"));
      turn();
    }
    break;
  case 15:
    pair_pass(w->p, roll(10) == 0 ? roll(6) * RILL_SEC : roll(400) * RILL_MSEC);
    break;
  default:
    do_something();
    if (roll(2) == 0)
      turn();
    break;
  }
  hear(c);
}

static void limit(rill_limits *l) {
  l->soft_count = 6;
  l->queue_count = 12;
  l->queue_bytes = 4096;
  l->soft_bytes = 2048;
  l->messages_per_sec = 20;
  l->messages_burst = 10;
  l->spaces_per_session = 3;
  l->spaces = 6;
  l->conns = 60;
  l->away_peers = 3;
  l->connect_ms = 3000;
  l->upgrade_ms = 2000;
  l->poll_close_ms = 1000;
  l->ping_ms = 5000;
  l->pong_ms = 4000;
  l->history_count = 8;
  l->recovery_ms = 8000;
  l->message_ms = 2000;
  l->payload_bytes = 400;
  l->acks_pending = 8;
}

static void run(world *w, uint64_t seed) {
  static const rill_room_opts slow = {.batch_ms = 20};
  chance c = {.w = w, .seed = seed};

  now = &c;
  w->p->quiet = true;
  w->p->config.authenticate = eio_authenticate;
  limit(&w->p->config.limits);
  w->act = acts;
  eio_begin(w);
  eio_space(w, "/", &(rill_space_opts){.recovery = true});
  eio_space(w, "/admin", NULL);
  eio_space(w, "/dyn-*", &(rill_space_opts){.recovery = true});
  assert_int_equal(rill_room_defaults(w->hub, "slow", &slow), 0);
  w->nclis = 6;
  for (int i = 0; i < 6; i++)
    w->cli[i] = (cli){.w = w};
  for (int i = 0; i < 1500 && w->n < EIO_PEERS - 30; i++)
    step();
  w->p->mem.fail_at = 0;
  c.over = true;
  if (roll(4) == 0)
    rill_drain(w->hub, roll(3) * RILL_SEC, w->p->now);
  while (c.nlater > 0)
    rill_accept(c.later[--c.nlater], rill_s(""));
  pair_pass(w->p, 15 * RILL_SEC);
  w->act = NULL;
  assert_int_equal(c.told, c.asked); /* each once, by its time */
}

static void test_session_by_chance(void **state) {
  world *w = *state;

  run(w, w->p->seed * 2 + 1);
}

/* An allocation fails now and then. */
static void test_session_short_of_memory(void **state) {
  world *w = *state;

  w->lacks = true;
  run(w, w->p->seed * 2 + 1);
}

#define SEEDS(f, n)                                                            \
  EIO_CASE(f, " " #n "0", n * 10), EIO_CASE(f, " " #n "1", n * 10 + 1),        \
      EIO_CASE(f, " " #n "2", n * 10 + 2),                                     \
      EIO_CASE(f, " " #n "3", n * 10 + 3),                                     \
      EIO_CASE(f, " " #n "4", n * 10 + 4),                                     \
      EIO_CASE(f, " " #n "5", n * 10 + 5),                                     \
      EIO_CASE(f, " " #n "6", n * 10 + 6),                                     \
      EIO_CASE(f, " " #n "7", n * 10 + 7),                                     \
      EIO_CASE(f, " " #n "8", n * 10 + 8), EIO_CASE(f, " " #n "9", n * 10 + 9)

int main(void) {
  const struct CMUnitTest tests[] = {
      SEEDS(test_session_by_chance, 0),
      SEEDS(test_session_by_chance, 1),
      SEEDS(test_session_by_chance, 2),
      SEEDS(test_session_by_chance, 3),
      SEEDS(test_session_by_chance, 4),
      SEEDS(test_session_by_chance, 5),
      SEEDS(test_session_short_of_memory, 0),
      SEEDS(test_session_short_of_memory, 1),
      SEEDS(test_session_short_of_memory, 2),
      SEEDS(test_session_short_of_memory, 3),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
