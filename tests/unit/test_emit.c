/* test_emit.c - one event, as each kind of receiver gets it. */
#include "emit_kit.h"

#include "base/base64.h"

/* A Socket.IO client on long-polling: requests on one connection. */
typedef struct poller {
  end *e;
  char sid[RILL__SID + 1];
  rill_peer peer;
} poller;

static void poll_path(const poller *q, char path[128]) {
  snprintf(path, 128, "/socket.io/?EIO=4&transport=polling&sid=%s", q->sid);
}

static void poll_ask(poller *q) {
  char path[128];

  poll_path(q, path);
  talk_put_request(q->e, "GET", path, "", NULL);
  pair_turn(q->e->p);
}

static void poll_say(poller *q, const char *body) {
  char path[128];

  poll_path(q, path);
  talk_put_request(q->e, "POST", path, "", body);
  pair_turn(q->e->p);
  assert_string_equal(answered(q->e), "200 ok");
}

/* What the waiting GET is answered with; separators are "|". */
static const char *polled(poller *q) {
  static char text[4200];

  if (strcmp(end_took(q->e), "200") != 0)
    return "";
  snprintf(text, sizeof text, "%s", (char *)q->e->http_body.data);
  for (char *at = text; *at != '\0'; at++)
    if (*at == '\x1e')
      *at = '|';
  return text;
}

static poller poll_open(pair *p, const char *connect) {
  poller q = {.e = pair_accept(p)};
  const char *at;
  char sid[RILL__SID];

  talk_put_request(q.e, "GET", "/socket.io/?EIO=4&transport=polling", "", NULL);
  pair_turn(p);
  assert_string_equal(end_took(q.e), "200");
  at = strstr((char *)q.e->http_body.data, "\"sid\":\"");
  assert_non_null(at);
  memcpy(q.sid, at + 7, RILL__SID);
  poll_say(&q, connect);
  poll_ask(&q);
  at = polled(&q);
  if (at[0] == 'b') { /* packed: its sid is all that is of interest */
    char *raw = malloc(strlen(at));
    int64_t len;
    MUST(raw != NULL);
    len = rill__base64_decode(raw, (rill_str){at + 1, strlen(at) - 1});
    MUST(len > 0);
    at = NULL;
    for (int64_t i = 0; i + 24 < len && at == NULL; i++)
      if (memcmp(raw + i, "\xa3sid\xb4", 5) == 0)
        memcpy(sid, at = raw + i + 5, RILL__SID);
    free(raw);
  } else {
    at = strstr(at, "\"sid\":\"");
    assert_non_null(at);
    memcpy(sid, at + 7, RILL__SID);
  }
  q.peer = rill_find_sid(p->hub, (rill_str){sid, RILL__SID});
  assert_true(rill_is_open(q.peer));
  return q;
}

/* One of each kind, all in one room. */
typedef struct crowd {
  end *raw, *json, *packed, *deflated, *sio, *sio_packed, *sse;
  poller polls, polls_packed;
} crowd;

static end *deflated(pair *p) {
  end *e = pair_accept(p);

  end_hello(e, "/deflated", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  assert_string_equal(end_took(e), "101");
  say(e, "{\"open\":{}}");
  said(e);
  return e;
}

static void gather(pair *p, crowd *c, const char *room) {
  char path[32], packed_connect[] = "bgqR0eXBlAKNuc3ChLw==";

  snprintf(path, sizeof path, "/sse/%s", room);
  c->raw = pair_open(p);
  c->json = talk_json(p);
  c->packed = talk_msgpack(p);
  c->deflated = deflated(p);
  c->sio = talk_sio(p, "40");
  c->sio_packed = sio_packed(p);
  c->sse = talk_sse(p, path);
  c->polls = poll_open(p, "40");
  c->polls_packed = poll_open(p, packed_connect);
  join(c->raw->peer, room);
  join(c->json->peer, room);
  join(c->packed->peer, room);
  join(c->deflated->peer, room);
  join(sio_peer(c->sio), room);
  join(sio_peer(c->sio_packed), room);
  join(c->polls.peer, room);
  join(c->polls_packed.peer, room);
  poll_ask(&c->polls);
  poll_ask(&c->polls_packed);
  pair_log(p);
}

/* The body of one packed packet as JSON. */
static const char *unpacked(const char *body) {
  static const rill__value_limits limits = {60, 1000, 1000};
  static char json[1000];
  char raw[1000];
  rill__tape tape;
  int64_t len;

  assert_int_equal(body[0], 'b');
  len = rill__base64_decode(raw, (rill_str){body + 1, strlen(body) - 1});
  assert_true(len > 0);
  rill__tape_init(&tape, &rill__alloc_default);
  assert_int_equal(
      rill__msgpack_read(&tape, (rill_str){raw, (size_t)len}, &limits), 0);
  rill_value_json((rill_value){tape.v}, json, sizeof json);
  rill__tape_finish(&tape);
  return json;
}

static void expect(crowd *c, const char *raw, const char *json, const char *sio,
                   const char *packed, const char *polls, const char *sse) {
  char marked[400];

  snprintf(marked, sizeof marked, "#%s", json);
  assert_string_equal(said(c->raw), raw);
  assert_string_equal(said(c->json), json);
  assert_string_equal(said(c->packed), marked);
  assert_string_equal(said(c->sio), sio);
  snprintf(marked, sizeof marked, "#%s", packed);
  assert_string_equal(said(c->sio_packed), marked);
  assert_string_equal(polled(&c->polls), polls);
  assert_string_equal(unpacked(polled(&c->polls_packed)), packed);
  assert_string_equal(streamed(c->sse), sse);
  poll_ask(&c->polls);
  poll_ask(&c->polls_packed);
}

static void test_emit_has_a_form_for_each(void **state) {
  pair *p = *state;
  rill_metrics before, after;
  rill_builder *b;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  before = pair_metrics(p);
  b = talk_args(p, "1");
  rill_put_json(b, rill_s("{\"k\":\"\\u00e9\\n\"}"));
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "ev", b, NULL), 0);
  pair_turn(p);
  after = pair_metrics(p);
  assert_int_equal(after.messages_out_total - before.messages_out_total, 9);
  assert_int_equal(after.deflated_total - before.deflated_total, 1);
  assert_true(rill_str_starts(rill_s(said(c.deflated)), "packed text #"));
  expect(&c, "[\"ev\",1,{\"k\":\"\xc3\xa9\\n\"}]",
         "{\"event\":\"ev\",\"args\":[1,{\"k\":\"\xc3\xa9\\n\"}],"
         "\"room\":\"r\"}",
         "42[\"ev\",1,{\"k\":\"\xc3\xa9\\n\"}]",
         "{\"type\":2,\"data\":[\"ev\",1,{\"k\":\"\xc3\xa9\\n\"}],"
         "\"nsp\":\"/\"}",
         "42[\"ev\",1,{\"k\":\"\xc3\xa9\\n\"}]",
         "event: ev\ndata: [1,{\"k\":\"\xc3\xa9\\n\"}]\n\n");
}

static void test_emit_without_arguments(void **state) {
  pair *p = *state;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  for (int i = 0; i < 2; i++) {
    assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "ev",
                                    i == 0 ? NULL : rill_build(p->hub), NULL),
                     0);
    pair_turn(p);
    expect(&c, "[\"ev\"]", "{\"event\":\"ev\",\"args\":[],\"room\":\"r\"}",
           "42[\"ev\"]", "{\"type\":2,\"data\":[\"ev\"],\"nsp\":\"/\"}",
           "42[\"ev\"]", "event: ev\ndata: null\n\n");
  }
}

static void test_emit_carries_bytes(void **state) {
  pair *p = *state;
  rill_builder *b;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  b = rill_build(p->hub);
  rill_put_bytes(b, "\0\1\2", 3);
  rill_put_bytes(b, "", 0);
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "ev", b, NULL), 0);
  pair_turn(p);
  expect(&c, "[\"ev\",{\"$bytes\":\"AAEC\"},{\"$bytes\":\"\"}]",
         "{\"event\":\"ev\",\"args\":[{\"$bytes\":\"AAEC\"},"
         "{\"$bytes\":\"\"}],\"room\":\"r\"}",
         "452-[\"ev\",{\"_placeholder\":true,\"num\":0},"
         "{\"_placeholder\":true,\"num\":1}]\n<000102>\n<>",
         "{\"type\":2,\"data\":[\"ev\",{\"$bytes\":\"AAEC\"},"
         "{\"$bytes\":\"\"}],\"nsp\":\"/\"}",
         "452-[\"ev\",{\"_placeholder\":true,\"num\":0},"
         "{\"_placeholder\":true,\"num\":1}]|bAAEC|b",
         "event: ev\ndata: [{\"$bytes\":\"AAEC\"},{\"$bytes\":\"\"}]\n\n");
}

static void test_emit_messages_are_events(void **state) {
  pair *p = *state;
  const rill_msg text = rill_text("a\"b");
  const rill_msg binary = {.data = "\1", .len = 1, .kind = RILL_BINARY};
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  assert_int_equal(rill_send_room(p->hub, rill_s("r"), &text), 0);
  pair_turn(p);
  expect(&c, "a\"b",
         "{\"event\":\"message\",\"args\":[\"a\\\"b\"],\"room\":\"r\"}",
         "42[\"message\",\"a\\\"b\"]",
         "{\"type\":2,\"data\":[\"message\",\"a\\\"b\"],\"nsp\":\"/\"}",
         "42[\"message\",\"a\\\"b\"]", "data: a\"b\n\n");
  assert_int_equal(rill_send_room(p->hub, rill_s("r"), &binary), 0);
  pair_turn(p);
  expect(&c, "<01>",
         "{\"event\":\"message\",\"args\":[{\"$bytes\":\"AQ==\"}],"
         "\"room\":\"r\"}",
         "451-[\"message\",{\"_placeholder\":true,\"num\":0}]\n<01>",
         "{\"type\":2,\"data\":[\"message\",{\"$bytes\":\"AQ==\"}],"
         "\"nsp\":\"/\"}",
         "451-[\"message\",{\"_placeholder\":true,\"num\":0}]|bAQ==",
         "data: {\"$bytes\":\"AQ==\"}\n\n");
}

static void test_emit_in_a_row_keeps_the_order(void **state) {
  pair *p = *state;
  rill_builder *b;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  talk_emit(p, "r", "n", "1");
  b = rill_build(p->hub);
  rill_put_bytes(b, "2", 1);
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "n", b, NULL), 0);
  talk_emit(p, "r", "n", "3");
  assert_int_equal(
      rill_emit_peer(c.sio == NULL ? c.json->peer : sio_peer(c.sio), "n",
                     talk_args(p, "4"), NULL),
      0);
  assert_int_equal(rill_emit_peer(c.json->peer, "n", talk_args(p, "4"), NULL),
                   0);
  talk_emit(p, "r", "n", "5");
  assert_int_equal(rill_emit_all(p->hub, "n", talk_args(p, "6"), NULL), 0);
  pair_turn(p);
  assert_string_equal(
      said(c.sio),
      "42[\"n\",1]\n451-[\"n\",{\"_placeholder\":true,\"num\":0}]"
      "\n<32>\n42[\"n\",3]\n42[\"n\",4]\n42[\"n\",5]\n42[\"n\",6]");
  assert_string_equal(said(c.json),
                      "{\"event\":\"n\",\"args\":[1],\"room\":\"r\"}\n"
                      "{\"event\":\"n\",\"args\":[{\"$bytes\":\"Mg==\"}],"
                      "\"room\":\"r\"}\n"
                      "{\"event\":\"n\",\"args\":[3],\"room\":\"r\"}\n"
                      "{\"event\":\"n\",\"args\":[4]}\n"
                      "{\"event\":\"n\",\"args\":[5],\"room\":\"r\"}\n"
                      "{\"event\":\"n\",\"args\":[6]}");
  assert_string_equal(polled(&c.polls),
                      "42[\"n\",1]|451-[\"n\",{\"_placeholder\":true,\"num\":0}"
                      "]|bMg==|42[\"n\",3]|42[\"n\",5]|42[\"n\",6]");
}

static void test_emit_refuses_what_no_client_takes(void **state) {
  static const char *const reserved[] = {"connect",
                                         "connect_error",
                                         "disconnect",
                                         "disconnecting",
                                         "newListener",
                                         "removeListener",
                                         ""};
  pair *p = *state;
  rill_builder *b;
  end *e;

  p->config.limits.attachments = 2;
  p->config.limits.name_bytes = 5;
  talk_begin(p);
  e = talk_json(p);
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
    assert_int_equal(rill_emit_all(p->hub, reserved[i], NULL, NULL),
                     RILL_ERR_ARG);
    assert_int_equal(rill_emit_peer(e->peer, reserved[i], NULL, NULL),
                     RILL_ERR_ARG);
  }
  assert_int_equal(rill_emit_all(p->hub, NULL, NULL, NULL), RILL_ERR_ARG);
  assert_int_equal(rill_emit_all(p->hub, "abcde", NULL, NULL), 0);
  assert_int_equal(rill_emit_all(p->hub, "abcdef", NULL, NULL), RILL_ERR_ARG);
  for (int n = 1; n <= 3; n++) {
    b = rill_build(p->hub);
    rill_put_array(b);
    for (int i = 0; i < n; i++)
      rill_put_bytes(b, "x", 1);
    rill_put_end(b);
    assert_int_equal(rill_emit_all(p->hub, "a", b, NULL),
                     n == 3 ? RILL_ERR_LIMIT : 0);
  }
  assert_int_equal(pair_metrics(p).limit_attachments, 1);
  b = rill_build(p->hub);
  rill_put_text(b, "\xff");
  assert_int_equal(rill_emit_all(p->hub, "a", b, NULL), RILL_ERR_ARG);
  pair_turn(p);
  assert_string_equal(said(e), "{\"event\":\"abcde\",\"args\":[]}\n"
                               "{\"event\":\"a\",\"args\":[[{\"$bytes\":"
                               "\"eA==\"}]]}\n"
                               "{\"event\":\"a\",\"args\":[[{\"$bytes\":"
                               "\"eA==\"},{\"$bytes\":\"eA==\"}]]}");
}

static const rill_emit_opts volatile_ = {.is_volatile = true};

static void test_emit_volatile_only_to_who_waits(void **state) {
  pair *p = *state;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  end_room(c.json, 0);
  end_room(c.sse, 0);
  talk_emit(p, "r", "n", "1");
  pair_turn(p);
  polled(&c.polls); /* no GET waits from here on */
  said(c.raw);
  said(c.sio);
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "v", NULL, &volatile_),
                   0);
  pair_turn(p);
  assert_string_equal(said(c.raw), "[\"v\"]");
  assert_string_equal(said(c.sio), "42[\"v\"]");
  /* json, sse, and the two on long-polling */
  assert_int_equal(pair_metrics(p).dropped_volatile_total, 4);
  end_room(c.json, SIZE_MAX);
  end_room(c.sse, SIZE_MAX);
  assert_string_equal(said(c.json),
                      "{\"event\":\"n\",\"args\":[1],\"room\":\"r\"}");
  poll_ask(&c.polls);
  assert_string_equal(polled(&c.polls), "");
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "v", NULL, &volatile_),
                   0);
  pair_turn(p);
  assert_string_equal(polled(&c.polls), "42[\"v\"]"); /* its GET waits */
  assert_int_equal(rill_emit_peer(c.polls.peer, "v", NULL, &volatile_),
                   RILL_ERR_FULL);
  assert_int_equal(rill_emit_peer(c.json->peer, "v", NULL, &volatile_), 0);
  assert_int_equal(rill_emit_peer(c.json->peer, "v", NULL, &volatile_),
                   RILL_ERR_FULL);
}

static void test_emit_keyed_keeps_the_newest(void **state) {
  static const rill_emit_opts keyed = {.key = RILL_STR("k")};
  pair *p = *state;
  rill_builder *b;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  end_room(c.json, 0);
  end_room(c.sse, 0);
  end_room(c.sio, 0);
  end_room(c.deflated, 0);
  polled(&c.polls);
  for (int i = 0; i < 4; i++) {
    char data[2] = {(char)('0' + i), 0};
    b = rill_build(p->hub);
    rill_put_bytes(b, data, 1);
    assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "k", b, &keyed), 0);
    pair_turn(p);
    if (i == 1)
      talk_emit(p, "r", "n", "1");
  }
  end_room(c.json, SIZE_MAX);
  end_room(c.sse, SIZE_MAX);
  end_room(c.sio, SIZE_MAX);
  end_room(c.deflated, SIZE_MAX);
  assert_string_equal(said(c.json),
                      "{\"event\":\"k\",\"args\":[{\"$bytes\":\"Mw==\"}],"
                      "\"room\":\"r\"}\n"
                      "{\"event\":\"n\",\"args\":[1],\"room\":\"r\"}");
  assert_string_equal(said(c.sio),
                      "451-[\"k\",{\"_placeholder\":true,\"num\":0}]\n<33>\n"
                      "42[\"n\",1]");
  assert_string_equal(streamed(c.sse),
                      "event: k\ndata: {\"$bytes\":\"Mw==\"}\n\n"
                      "event: n\ndata: 1\n\n");
  assert_true(rill_str_starts(rill_s(said(c.deflated)),
                              "{\"event\":\"k\",\"args\":[{\"$bytes\":"
                              "\"Mw==\"}],\"room\":\"r\"}\npacked"));
}

static void test_emit_excepts(void **state) {
  pair *p = *state;
  const rill_str r = RILL_STR("r"), quiet = RILL_STR("quiet");
  rill_peer stale;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  join(c.raw->peer, "quiet");
  join(c.sse->peer, "quiet");
  assert_int_equal(rill_emit_others(c.json->peer, r, "n", NULL, NULL), 0);
  pair_turn(p);
  assert_string_equal(said(c.json), "");
  assert_string_equal(said(c.raw), "[\"n\"]");
  assert_string_equal(streamed(c.sse), "event: n\ndata: null\n\n");
  assert_string_equal(polled(&c.polls), "42[\"n\"]");
  assert_int_equal(rill_emit(p->hub,
                             &(rill_to){.rooms = &r,
                                        .nrooms = 1,
                                        .except = &c.polls.peer,
                                        .nexcept = 1,
                                        .except_rooms = &quiet,
                                        .nexcept_rooms = 1},
                             "m", NULL, NULL),
                   0);
  poll_ask(&c.polls);
  assert_string_equal(polled(&c.polls), "");
  assert_string_equal(said(c.raw), "");
  assert_string_equal(streamed(c.sse), "");
  assert_string_equal(said(c.json),
                      "{\"event\":\"m\",\"args\":[],\"room\":\"r\"}");
  stale = c.json->peer;
  end_eof(c.json, 0);
  assert_int_equal(rill_emit_others(stale, r, "n", NULL, NULL),
                   RILL_ERR_CLOSED);
  pair_turn(p);
  assert_string_equal(said(c.raw), "");
}

static void test_emit_reaches_each_once(void **state) {
  pair *p = *state;
  const rill_str rooms[] = {RILL_STR("r"), RILL_STR("s"), RILL_STR("r")};
  rill_builder *b;
  crowd c;

  talk_begin(p);
  gather(p, &c, "r");
  join(c.json->peer, "s");
  join(c.polls.peer, "s");
  for (int all = 0; all < 2; all++) {
    const rill_to to = {
        .all = all,
        .rooms = rooms,
        .nrooms = 3,
        .peers = (rill_peer[]){c.json->peer, c.sse->peer, c.json->peer},
        .npeers = 3};
    b = rill_build(p->hub);
    rill_put_bytes(b, "1", 1);
    assert_int_equal(rill_emit(p->hub, &to, "n", b, NULL), 0);
    pair_turn(p);
    assert_string_equal(said(c.raw), "[\"n\",{\"$bytes\":\"MQ==\"}]");
    assert_string_equal(said(c.json),
                        "{\"event\":\"n\",\"args\":[{\"$bytes\":\"MQ==\"}]}");
    assert_string_equal(said(c.sio),
                        "451-[\"n\",{\"_placeholder\":true,\"num\":0}]\n<31>");
    assert_string_equal(streamed(c.sse),
                        "event: n\ndata: {\"$bytes\":\"MQ==\"}\n\n");
    assert_string_equal(polled(&c.polls),
                        "451-[\"n\",{\"_placeholder\":true,\"num\":0}]|bMQ==");
    poll_ask(&c.polls);
  }
}

static int accept_as(pair *p, const event *e) {
  return strcmp(e->name, "auth") == 0 ? rill_accept(e->req, rill_s(p->act_arg))
                                      : 0;
}

static void test_emit_to_a_user_in_a_namespace(void **state) {
  pair *p = *state;
  const rill_str ann = RILL_STR("ann");
  const rill_emit_opts chat = {.space = RILL_STR("/chat")};
  end *json, *sio, *bob;

  p->config.authenticate = pair_authenticate;
  talk_begin(p);
  assert_int_equal(rill_space(p->hub, "/chat", NULL), 0);
  p->act = accept_as;
  p->act_arg = (void *)(uintptr_t) "ann";
  json = talk_json(p);
  sio = talk_sio(p, "40");
  end_text(sio, "40/chat,");
  said(sio);
  p->act_arg = (void *)(uintptr_t) "bob";
  bob = talk_json(p);
  assert_int_equal(rill_emit_user(p->hub, ann, "n", talk_args(p, "1"), NULL),
                   0);
  assert_int_equal(rill_emit_user(p->hub, ann, "n", talk_args(p, "2"), &chat),
                   0);
  assert_int_equal(rill_emit_all(p->hub, "n", talk_args(p, "3"), &chat), 0);
  assert_int_equal(rill_emit_user(p->hub, rill_s("eve"), "n", NULL, NULL), 0);
  pair_turn(p);
  assert_string_equal(said(json), "{\"event\":\"n\",\"args\":[1]}");
  assert_string_equal(said(sio),
                      "42[\"n\",1]\n42/chat,[\"n\",2]\n42/chat,[\"n\",3]");
  assert_string_equal(said(bob), "");
}

static void test_emit_rooms_of_one_name_in_two_worlds(void **state) {
  pair *p = *state;
  const rill_str room = RILL_STR("r");
  const rill_emit_opts chat = {.space = RILL_STR("/chat")};
  rill_peer there;
  end *json, *sio;

  talk_begin(p);
  assert_int_equal(rill_space(p->hub, "/chat", NULL), 0);
  json = talk_json(p);
  sio = talk_sio(p, "40/chat,");
  there = sio_peer(sio);
  join(json->peer, "r");
  join(there, "r");
  assert_int_equal(rill_room_count(p->hub, room), 1);
  assert_int_equal(rill_room_count_in(p->hub, rill_s("/chat"), room), 1);
  assert_int_equal(pair_metrics(p).rooms, 2);
  talk_emit(p, "r", "n", "1");
  assert_int_equal(rill_emit_room(p->hub, room, "n", talk_args(p, "2"), &chat),
                   0);
  talk_emit(p, "r", "n", "3");
  assert_int_equal(rill_emit_others(there, room, "n", NULL, NULL), 0);
  pair_turn(p);
  assert_string_equal(said(json),
                      "{\"event\":\"n\",\"args\":[1],\"room\":\"r\"}\n"
                      "{\"event\":\"n\",\"args\":[3],\"room\":\"r\"}");
  assert_string_equal(said(sio), "42/chat,[\"n\",2]");
  /* the peers named are of the namespace, too */
  assert_int_equal(
      rill_emit(
          p->hub,
          &(rill_to){.peers = (rill_peer[]){json->peer, there}, .npeers = 2},
          "n", NULL, NULL),
      0);
  pair_turn(p);
  assert_string_equal(said(json), "{\"event\":\"n\",\"args\":[]}");
  assert_string_equal(said(sio), "");
}

static void test_emit_stays_plain_where_asked(void **state) {
  static const rill_emit_opts plain = {.uncompressed = true};
  pair *p = *state;
  end *a, *b;

  talk_begin(p);
  a = deflated(p);
  b = deflated(p);
  join(a->peer, "r");
  join(b->peer, "r");
  talk_emit(p, "r", "n", "1");
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "n", NULL, &plain), 0);
  talk_emit(p, "r", "n", "2");
  pair_turn(p);
  for (int i = 0; i < 2; i++) {
    const char *text = said(i == 0 ? a : b), *line = strchr(text, '\n');
    assert_true(rill_str_starts(rill_s(text), "packed text #"));
    assert_true(rill_str_starts(rill_s(line + 1),
                                "{\"event\":\"n\",\"args\":[],\"room\":\"r\"}\n"
                                "packed text #"));
  }
  assert_int_equal(pair_metrics(p).deflated_total, 2);
}

/* Text and attachments of an event stand or fall together. */
static void half_events(pair *p, rill_overflow policy, bool torn) {
  const char *text, *line;
  rill_builder *b;
  int frames = 0;
  end *e;

  assert_int_equal(
      rill_room_defaults(p->hub, "r", &(rill_room_opts){.overflow = policy}),
      0);
  e = talk_sio(p, "40");
  join(sio_peer(e), "r");
  end_room(e, 0);
  for (int i = 0; i < 12; i++) {
    char data[3] = {(char)('a' + i), (char)('a' + i), 0};
    b = rill_build(p->hub);
    rill_put_bytes(b, data, 2);
    rill_put_bytes(b, data, 1);
    assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "b", b, NULL), 0);
    talk_emit(p, "r", "t", "0");
    if (i % 3 == 0)
      pair_turn(p);
    if (torn && i == 4)
      end_room(e, 50); /* the second frame of one is on the wire in part */
  }
  pair_turn(p);
  assert_int_equal(e->closed, 0);
  end_room(e, SIZE_MAX);
  text = said(e);
  for (line = text; *line != '\0';) {
    if (rill_str_starts(rill_s(line), "452-")) {
      char two[8], one[8];
      line = strchr(line, '\n') + 1;
      assert_int_equal(sscanf(line, "<%4[0-9a-f]>\n<%2[0-9a-f]>", two, one), 2);
      assert_memory_equal(two, one, 2);
      line += strcspn(line, "\n") + 1;
    } else {
      assert_true(rill_str_starts(rill_s(line), "42[\"t\",0]"));
    }
    frames++;
    line += strcspn(line, "\n");
    line += *line == '\n';
  }
  assert_in_range(frames, 4, 6);
  end_eof(e, 0);
}

static void test_emit_overflow_leaves_no_half_event(void **state) {
  pair *p = *state;

  p->config.limits.queue_count = 4;
  talk_begin(p);
  for (int torn = 0; torn < 2; torn++) {
    half_events(p, RILL_DROP_OLDEST, torn);
    half_events(p, RILL_DROP_NEWEST, torn);
  }
  assert_true(pair_metrics(p).dropped_oldest_total > 0);
  assert_true(pair_metrics(p).dropped_newest_total > 0);
}

static void test_emit_policy_of_the_event_counts(void **state) {
  static const rill_emit_opts drop = {.overflow = RILL_DROP_NEWEST};
  pair *p = *state;
  end *e;

  p->config.limits.queue_count = 1;
  talk_begin(p);
  e = talk_json(p);
  join(e->peer, "r");
  end_room(e, 0);
  talk_emit(p, "r", "n", "1");
  pair_turn(p);
  assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "n", NULL, &drop), 0);
  pair_turn(p);
  assert_int_equal(rill_emit_peer(e->peer, "n", NULL, &drop), RILL_ERR_FULL);
  assert_int_equal(e->closed, 0);
  assert_int_equal(rill_emit_peer(e->peer, "n", NULL, NULL), RILL_ERR_CLOSED);
  pair_turn(p);
  assert_int_equal(e->how.cause, RILL_CAUSE_SLOW);
  end_room(e, SIZE_MAX);
}

/* Of Socket.IO as well: it shows in the details of "disconnect". */
static void test_emit_closes_who_is_slow_with_its_code(void **state) {
  pair *p = *state;

  p->config.limits.queue_count = 1;
  talk_begin(p);
  for (int sio = 0; sio < 2; sio++) {
    end *e = sio ? talk_sio(p, "40") : talk_json(p);
    join(sio_peer(e), "r");
    end_room(e, 0);
    talk_emit(p, "r", "n", "1");
    pair_turn(p);
    talk_emit(p, "r", "n", "2");
    end_room(e, SIZE_MAX);
    assert_non_null(strstr(said(e), "close 4008 slow"));
  }
}

static void test_emit_of_any_size(void **state) {
  static const size_t sizes[] = {100,   125,   126,   127,
                                 65400, 65535, 65536, 200000};
  pair *p = *state;
  crowd c;

  p->config.limits.queue_bytes = 10000000;
  p->config.limits.soft_bytes = 10000000;
  talk_begin(p);
  gather(p, &c, "r");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t n = sizes[i];
    char *text = malloc(n + 1);
    rill_builder *b = rill_build(p->hub);
    MUST(text != NULL);
    memset(text, 'y', n);
    text[n] = '\0';
    rill_put_text(b, text);
    rill_put_bytes(b, text, n);
    assert_int_equal(rill_emit_room(p->hub, rill_s("r"), "n", b, NULL), 0);
    talk_emit(p, "r", "n", "1");
    pair_turn(p);
    assert_true(strlen(said(c.json)) > n + (n + 2) / 3 * 4);
    assert_true(strlen(said(c.sio)) > n + 2 * n);
    assert_true(strlen(streamed(c.sse)) > n + (n + 2) / 3 * 4);
    end_took(c.polls.e);
    assert_true(c.polls.e->http_body.len > n + (n + 2) / 3 * 4);
    end_took(c.polls_packed.e);
    assert_true(c.polls_packed.e->http_body.len > (2 * n + 2) / 3 * 4);
    said(c.raw);
    said(c.packed);
    said(c.sio_packed);
    poll_ask(&c.polls);
    poll_ask(&c.polls_packed);
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_emit_has_a_form_for_each),
      PAIR_TEST(test_emit_without_arguments),
      PAIR_TEST(test_emit_carries_bytes),
      PAIR_TEST(test_emit_messages_are_events),
      PAIR_TEST(test_emit_in_a_row_keeps_the_order),
      PAIR_TEST(test_emit_refuses_what_no_client_takes),
      PAIR_TEST(test_emit_volatile_only_to_who_waits),
      PAIR_TEST(test_emit_keyed_keeps_the_newest),
      PAIR_TEST(test_emit_excepts),
      PAIR_TEST(test_emit_reaches_each_once),
      PAIR_TEST(test_emit_to_a_user_in_a_namespace),
      PAIR_TEST(test_emit_rooms_of_one_name_in_two_worlds),
      PAIR_TEST(test_emit_stays_plain_where_asked),
      PAIR_TEST(test_emit_overflow_leaves_no_half_event),
      PAIR_TEST(test_emit_policy_of_the_event_counts),
      PAIR_TEST(test_emit_closes_who_is_slow_with_its_code),
      PAIR_TEST(test_emit_of_any_size)};

  return cmocka_run_group_tests_name("emit", tests, NULL, NULL);
}
