/*
 * limits_events.h - cases of test_limits.c: what events may be, sessions,
 * recovery and history.
 */
#ifndef LIMITS_EVENTS_H
#define LIMITS_EVENTS_H

#include <rill/history.h>

#include "hub/history.h"

/* What the handlers below have heard. */
static struct {
  rill_peer peer; /* the last to open */
  int opened, away, closed, events;
  int answers; /* the status of the last */
} heard;

static int heard_open(rill_peer peer, const rill_request *req, void *arg) {
  (void)req;
  (void)arg;
  heard.peer = peer;
  heard.opened++;
  return 0;
}

static int heard_away(rill_peer peer, void *arg) {
  (void)peer;
  (void)arg;
  heard.away++;
  return 0;
}

static void heard_close(rill_peer peer, const rill_closed *closed, void *arg) {
  (void)peer;
  (void)closed;
  (void)arg;
  heard.closed++;
}

static int heard_event(rill_peer peer, const rill_event *ev, void *arg) {
  (void)peer;
  (void)ev;
  (void)arg;
  heard.events++;
  return 0;
}

static void heard_answers(rill_hub *hub, const rill_answers *answers,
                          void *arg) {
  (void)hub;
  (void)arg;
  heard.answers = answers->status;
}

/* A hub with a route of each dialect with events. */
static void begin_events(pair *p, bool recovery) {
  static const rill_handlers handlers = {
      .on_open = heard_open, .on_close = heard_close, .on_away = heard_away};
  rill_route_opts opts = {.handlers = &handlers};
  rill_space_opts space = {.recovery = recovery};

  memset(&heard, 0, sizeof heard);
  pair_begin(p);
  assert_int_equal(rill_space(p->hub, "/", &space), 0);
  assert_int_equal(rill_space(p->hub, "/n*", NULL), 0);
  assert_int_equal(rill_on(p->hub, NULL, "*", heard_event, NULL), 0);
  assert_int_equal(rill_route(p->hub, "/io", RILL_SOCKETIO, &opts), 0);
  assert_int_equal(rill_route(p->hub, "/eio", RILL_ENGINEIO, &opts), 0);
  assert_int_equal(rill_route(p->hub, "/json", RILL_JSON, &opts), 0);
  assert_int_equal(rill_route(p->hub, "/sse/:room", RILL_SSE, &opts), 0);
}

/* A Socket.IO session on a WebSocket. */
static end *io_session(pair *p) {
  end *e = pair_accept(p);

  end_hello(e, "/io?EIO=4&transport=websocket", "");
  assert_int_equal(strncmp(end_took(e), "101; text 0{", 12), 0);
  return e;
}

/* ... that is connected to "/". */
static end *io_open(pair *p) {
  end *e = io_session(p);

  end_text(e, "40");
  assert_int_equal(strncmp(end_took(e), "text 40{", 8), 0);
  return e;
}

static end *json_open(pair *p) {
  end *e = pair_accept(p);

  end_hello(e, "/json", "");
  assert_string_equal(end_took(e), "101");
  end_text(e, "{\"open\":{}}");
  assert_int_equal(strncmp(end_took(e), "text {\"open\":", 13), 0);
  return e;
}

/* A session on long-polling at |path|; |sid| is its id. */
static end *poll_session(pair *p, const char *path, char sid[RILL__SID + 1]) {
  static const char begins[] = "0{\"sid\":\"";
  end *e = pair_accept(p);

  buf_text(&e->tx, "GET ");
  buf_text(&e->tx, path);
  end_say(e, "?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_string_equal(end_took(e), "200");
  assert_memory_equal(e->http_body.data, begins, sizeof begins - 1);
  memcpy(sid, e->http_body.data + sizeof begins - 1, RILL__SID);
  sid[RILL__SID] = '\0';
  return e;
}

/* A request for the session |sid|; the status of its answer. */
static int poll_ask(end *e, const char *path, const char *sid,
                    const char *more, const void *body, size_t len) {
  char head[256];

  snprintf(head, sizeof head,
           "%s%s?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n%s"
           "\r\n",
           len > 0 ? "POST " : "GET ", path, sid, more);
  buf_text(&e->tx, head);
  end_say_bytes(e, body, len);
  end_took(e);
  return e->status;
}

static int poll_post(end *e, const char *sid, const char *body) {
  char more[64];

  snprintf(more, sizeof more, "Content-Length: %zu\r\n", strlen(body));
  return poll_ask(e, "/io", sid, more, body, strlen(body));
}

/* How an Engine.IO client is sent away: no code. */
static bool hung_up(end *e) {
  const char *took = end_took(e);

  if (e->conn != NULL)
    return false;
  assert_non_null(strstr(took, "close; eof"));
  return true;
}

/* |in| as it was: an event got through, or else its conn has ended. */
static unsigned refused(end *json, end *io) {
  const char *took = end_took(json);
  bool was = json->conn == NULL || strstr(took, "close") != NULL;

  if (was)
    assert_non_null(strstr(took, "close 1007"));
  assert_int_equal(hung_up(io), was);
  assert_int_equal(heard.events, was ? 0 : 2);
  return was ? 2 : 0;
}

CASE(value_depth, 5, LIMIT_OVER) {
  char text[64];
  end *json, *io;

  begin_events(p, false);
  json = json_open(p);
  io = io_open(p);
  /* the object, "args", and what is in it */
  snprintf(text, sizeof text, "{\"event\":\"e\",\"args\":%.*s%.*s}",
           (int)at - 1, "[[[[[[", (int)at - 1, "]]]]]]");
  end_text(json, text);
  snprintf(text, sizeof text, "42[\"e\",%.*s%.*s]", (int)at - 1, "[[[[[[",
           (int)at - 1, "]]]]]]");
  end_text(io, text);
  return refused(json, io);
}

CASE(value_nodes, 10, LIMIT_OVER) {
  char text[64];
  end *json, *io;

  begin_events(p, false);
  json = json_open(p);
  io = io_open(p);
  /* the object, two keys, the name and the array; then one each */
  snprintf(text, sizeof text, "{\"event\":\"e\",\"args\":[%.*s]}",
           (int)(at - 5) * 2 - 1, "1,1,1,1,1,1,1,1,1,1");
  end_text(json, text);
  snprintf(text, sizeof text, "42[\"e\",%.*s]", (int)(at - 2) * 2 - 1,
           "1,1,1,1,1,1,1,1,1,1");
  end_text(io, text);
  return refused(json, io);
}

CASE(key_bytes, 20, LIMIT_OVER) {
  char text[64];
  end *json, *io;

  begin_events(p, false);
  json = json_open(p);
  io = io_open(p);
  snprintf(text, sizeof text, "{\"event\":\"e\",\"args\":[{\"%.*s\":1}]}",
           (int)at, letters);
  end_text(json, text);
  snprintf(text, sizeof text, "42[\"e\",{\"%.*s\":1}]", (int)at, letters);
  end_text(io, text);
  return refused(json, io);
}

CASE(attachments, 3, LIMIT_OVER) {
  char text[256];
  int rv;
  end *e, *other;
  bool over;
  rill_builder *b;

  begin_events(p, false);
  e = io_open(p);
  other = io_open(p);
  b = rill_build(p->hub);
  for (uint32_t i = 0; i < at; i++)
    rill_put_bytes(b, "x", 1);
  rv = rill_emit_peer(heard.peer, "e", b, NULL);
  assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
  snprintf(text, sizeof text, "45%u-[\"e\"", at);
  for (uint32_t i = 0; i < at; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text),
             ",{\"_placeholder\":true,\"num\":%u}", i);
  strcat(text, "]");
  end_put(e, 0x81, text, strlen(text));
  for (uint32_t i = 0; i < at; i++)
    end_put(e, 0x82, "x", 1);
  pair_turn(p);
  over = hung_up(e);
  assert_int_equal(heard.events, over ? 0 : 1);
  assert_int_equal(rv != 0, over);
  assert_int_equal(hung_up(other), false);
  return over ? 2 : 0;
}

CASE(acks_pending, 5, LIMIT_OVER) {
  rill_emit_opts opts = {.on_answers = heard_answers};
  int rv = 0;

  begin_events(p, false);
  io_open(p);
  for (uint32_t i = 0; i < at; i++) {
    assert_int_equal(rv, 0);
    rv = rill_emit_peer(heard.peer, "e", NULL, &opts);
  }
  assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
  return rv != 0;
}

CASE(ack_ms, 1000, LIMIT_REACH) {
  rill_emit_opts opts = {.on_answers = heard_answers};

  begin_events(p, false);
  io_open(p);
  heard.answers = 1;
  assert_int_equal(rill_emit_peer(heard.peer, "e", NULL, &opts), 0);
  pair_pass(p, at * RILL_MSEC);
  if (heard.answers == 1)
    return 0;
  assert_int_equal(heard.answers, RILL_ERR_TIMEOUT);
  return 1;
}

/* Content-Length and chunked; the session does not end of it. */
CASE(payload_bytes, 200, LIMIT_OVER) {
  char sid[RILL__SID + 1], more[64], body[256];
  end *e, *chunked;
  bool over;

  begin_events(p, false);
  e = poll_session(p, "/io", sid);
  chunked = pair_accept(p);
  memset(body, 'l', at);
  memcpy(body, "40\x1e" "42[\"", 7);
  memcpy(body + at - 2, "\"]", 2);
  snprintf(more, sizeof more, "Content-Length: %u\r\n", at);
  over = poll_ask(e, "/io", sid, more, body, at) != 200;
  if (over)
    assert_int_equal(e->status, 413);
  assert_int_equal(heard.events, !over);
  memset(body, '6', at); /* one packet that says nothing */
  snprintf(more, sizeof more, "Transfer-Encoding: chunked\r\n\r\n%x\r\n", at);
  buf_text(&chunked->tx, "POST /io?EIO=4&transport=polling&sid=");
  buf_text(&chunked->tx, sid);
  buf_text(&chunked->tx, " HTTP/1.1\r\nHost: h\r\n");
  buf_text(&chunked->tx, more);
  buf_add(&chunked->tx, body, at);
  end_say(chunked, "\r\n0\r\n\r\n");
  assert_int_equal(answered(chunked, 413, 200), over);
  assert_int_equal(poll_post(pair_accept(p), sid, "6"), 200);
  return over ? 2 : 0;
}

CASE(connect_ms, 1000, LIMIT_REACH) {
  char sid[RILL__SID + 1];
  end *io, *json, *poll;
  bool over;

  begin_events(p, false);
  io = io_session(p);
  json = pair_accept(p);
  end_hello(json, "/json", "");
  poll = poll_session(p, "/io", sid);
  pair_pass(p, at * RILL_MSEC);
  over = hung_up(io);
  assert_string_equal(end_took(json),
                      over ? "101; close 1008 nobody has connected in time; eof"
                           : "101");
  assert_int_equal(poll_post(poll, sid, "6"), over ? 400 : 200);
  return over ? 3 : 0;
}

CASE(upgrade_ms, 1000, LIMIT_REACH) {
  char sid[RILL__SID + 1], path[128];
  end *poll, *e;

  begin_events(p, false);
  poll = poll_session(p, "/io", sid);
  assert_int_equal(poll_post(poll, sid, "40"), 200);
  e = pair_accept(p);
  snprintf(path, sizeof path, "/io?EIO=4&transport=websocket&sid=%s", sid);
  end_hello(e, path, "");
  end_text(e, "2probe");
  assert_string_equal(end_took(e), "101; text 3probe");
  pair_pass(p, at * RILL_MSEC);
  assert_int_equal(poll_post(poll, sid, "6"), 200);
  assert_int_equal(heard.closed, 0);
  return hung_up(e);
}

/* The last packet waits for a GET that fetches it. */
CASE(poll_close_ms, 1000, LIMIT_REACH) {
  char sid[RILL__SID + 1];
  end *e;

  begin_events(p, false);
  e = poll_session(p, "/eio", sid);
  assert_int_equal(heard.opened, 1);
  assert_int_equal(rill_close(heard.peer, 1000, NULL), 0);
  pair_pass(p, at * RILL_MSEC);
  assert_int_equal(heard.closed, 1);
  if (poll_ask(e, "/eio", sid, "", NULL, 0) == 200) {
    assert_string_equal((char *)e->http_body.data, "1");
    return 0;
  }
  assert_int_equal(e->status, 400);
  return 1;
}

/* Connects to |n| namespaces: was the last refused, and none before? */
static bool spaces_refused(pair *p, uint32_t n) {
  end *e = io_session(p);
  bool over = false;

  for (uint32_t i = 0; i < n; i++) {
    char text[32];
    assert_false(over);
    snprintf(text, sizeof text, "40/n%u,", i);
    end_text(e, text);
    snprintf(text, sizeof text, "text 44/n%u,{\"message\":", i);
    over = strncmp(end_took(e), text, strlen(text)) == 0;
  }
  assert_int_equal(heard.opened, n - over);
  return over;
}

CASE(spaces_per_session, 3, LIMIT_OVER) {
  begin_events(p, false);
  return spaces_refused(p, at);
}

/* "/" and the pattern are two. */
CASE(spaces, 5, LIMIT_OVER) {
  begin_events(p, false);
  return spaces_refused(p, at - 2);
}

CASE(recovery_ms, 1000, LIMIT_REACH) {
  begin_events(p, true);
  end_eof(io_open(p), 0);
  assert_int_equal(heard.away, 1);
  pair_pass(p, at * RILL_MSEC);
  return heard.closed > 0;
}

CASE(away_peers, 2, LIMIT_OVER) {
  begin_events(p, true);
  for (uint32_t i = 0; i < at; i++) {
    assert_int_equal(heard.closed, 0);
    end_eof(io_open(p), 0);
    assert_int_equal(heard.away + heard.closed, i + 1);
  }
  return heard.closed > 0;
}

/* A stream of |room|, behind |last|. */
static end *sse_open(pair *p, const char *room, const char *last) {
  char head[128];
  end *e = pair_accept(p);

  snprintf(head, sizeof head, "GET /sse/%s HTTP/1.1\r\nHost: h\r\n%s%s\r\n\r\n",
           room, last[0] != '\0' ? "Last-Event-ID: " : "X: ", last);
  end_say(e, head);
  assert_string_equal(end_took(e), "200");
  return e;
}

/* Rooms with history, as far as the limits let it reach. */
static void begin_history(pair *p, char last[RILL__OFFSET_MAX + 1]) {
  rill_room_opts opts = {.history = UINT32_MAX};
  const char *id;
  end *e;

  begin_events(p, false);
  assert_int_equal(rill_room_defaults(p->hub, "*", &opts), 0);
  e = sse_open(p, "a", "");
  id = strstr((char *)e->rx.data, "\nid: ");
  assert_non_null(id);
  snprintf(last, RILL__OFFSET_MAX + 1, "%.*s", (int)strcspn(id + 5, "\n"),
           id + 5);
  end_eof(e, 0);
}

/* Does who comes back get |room|'s |n| events?  Else some, and is told. */
static bool forgotten(pair *p, const char *room, const char *last, unsigned n) {
  end *e = sse_open(p, room, last);
  const char *at = (char *)e->rx.data;
  bool recovered = strstr(at, "\"recovered\":true") != NULL;
  unsigned got = 0;

  assert_true(recovered || strstr(at, "\"recovered\":false") != NULL);
  while ((at = strstr(at, "event: e\n")) != NULL) {
    at++;
    got++;
  }
  assert_true(recovered ? got == n : got < n);
  return !recovered;
}

/* Event "e" with a text of |len| bytes, which |room| keeps. */
static void keep_event(pair *p, const char *room, size_t len) {
  rill_builder *b = rill_build(p->hub);

  rill_put_str(b, (rill_str){letters, len});
  assert_int_equal(rill_emit_room(p->hub, rill_s(room), "e", b, NULL), 0);
}

/* An array, a name, the head of a text of 256 bytes or more. */
#define KEPT_BYTES (sizeof(rill__entry) + 1 + 2 + 3)

CASE(history_count, 5, LIMIT_OVER) {
  char last[RILL__OFFSET_MAX + 1];

  begin_history(p, last);
  for (uint32_t i = 0; i < at; i++)
    keep_event(p, "a", 1);
  return forgotten(p, "a", last, at);
}

CASE(history_ms, 1000, LIMIT_REACH) {
  char last[RILL__OFFSET_MAX + 1];

  begin_history(p, last);
  keep_event(p, "a", 1);
  pair_pass(p, at * RILL_MSEC);
  return forgotten(p, "a", last, 1);
}

CASE(history_bytes, 1000, LIMIT_OVER) {
  char last[RILL__OFFSET_MAX + 1];

  begin_history(p, last);
  keep_event(p, "a", 256);
  keep_event(p, "a", at - 256 - 2 * KEPT_BYTES);
  if (pair_metrics(p).limit_history_bytes == 0)
    assert_int_equal(pair_metrics(p).history_bytes, at);
  return forgotten(p, "a", last, 2);
}

CASE(history_total_bytes, 1000, LIMIT_OVER) {
  char last[RILL__OFFSET_MAX + 1];

  begin_history(p, last);
  keep_event(p, "a", 256);
  keep_event(p, "b", at - 256 - 2 * KEPT_BYTES);
  assert_false(forgotten(p, "a", last, 1));
  if (pair_metrics(p).limit_history_total_bytes == 0)
    assert_int_equal(pair_metrics(p).history_bytes, at);
  return forgotten(p, "b", last, 1);
}

/* No limit: clients are told, and nothing comes of it. */
CASE(retry_ms, 1000, LIMIT_TOLD) {
  (void)at;
  begin_events(p, false);
  assert_non_null(strstr((char *)sse_open(p, "a", "")->rx.data,
                         "\r\n\r\nretry: 1000\n"));
  return 0;
}

static void read_past(rill_hub *hub, const rill_pasts *pasts, void *arg) {
  (void)hub;
  assert_int_equal(pasts->status, 0);
  *(size_t *)arg += pasts->n + 1;
}

CASE(store_pending, 5, LIMIT_OVER) {
  size_t read = 0;
  unsigned over = 0;

  begin_events(p, false);
  for (uint32_t i = 0; i < at; i++) {
    int rv = rill_history(p->hub, rill_s("r"), NULL, read_past, &read);
    assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
    over += rv != 0;
  }
  pair_pass(p, 0);
  assert_int_equal(read, at - over); /* those that were taken are answered */
  return over;
}

/* One room's flood; another room is not full for it. */
CASE(room_pending, 5, LIMIT_OVER) {
  const rill_room_opts opts = {.durable = true};
  unsigned over = 0;

  begin_events(p, false);
  assert_int_equal(rill_room_defaults(p->hub, "*", &opts), 0);
  for (int round = 0; round < 2; round++) { /* what is answered is free */
    over = 0;
    for (uint32_t i = 0; i < at; i++) {
      int rv = rill_publish(p->hub, rill_s("r"), "e", NULL, NULL);
      assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
      over += rv != 0;
    }
    assert_int_equal(rill_publish(p->hub, rill_s("s"), "e", NULL, NULL), 0);
    pair_pass(p, 0);
    if (at > 5)
      break; /* the limit is met once */
  }
  return over;
}

CASE(history_page, 5, LIMIT_OVER) {
  const rill_room_opts opts = {.history = 20};
  const rill_history_opts page = {.limit = at};
  size_t read = 0;

  begin_events(p, false);
  assert_int_equal(rill_room_defaults(p->hub, "r", &opts), 0);
  for (int i = 0; i < 10; i++)
    assert_int_equal(
        rill_publish(p->hub, rill_s("r"), "e", NULL, NULL), 0);
  assert_int_equal(rill_history(p->hub, rill_s("r"), &page, read_past, &read),
                   0);
  pair_pass(p, 0);
  assert_int_equal(read, 1 + (at < 5 ? at : 5));
  return at > 5;
}

#endif
