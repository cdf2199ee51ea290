/*
 * oom_scenarios.h - what is done while allocations fail; see oom.h.
 */
#ifndef OOM_SCENARIOS_H
#define OOM_SCENARIOS_H

#include "oom.h"

#define EXTENSION "Sec-WebSocket-Extensions: permessage-deflate"

static char oom_big[100000];

static void echo(oom *o) {
  client *c;

  oom_begin(o, NULL);
  c = oom_open(o, "/ws", "");
  oom_text(c, "echo");
  oom_frame(c, 0x82, "\x00\x01\x02", 3);
  oom_frame(c, 0x01, "in ", 3);
  oom_frame(c, 0x00, "three ", 6);
  oom_frame(c, 0x80, "parts", 5);
  memset(oom_big, 'e', sizeof oom_big);
  oom_frame(c, 0x82, oom_big, sizeof oom_big);
  oom_turn(o);
  /* in pieces, so that the message is put together */
  oom_frame(c, 0x02, oom_big, 30000);
  oom_turn(o);
  oom_frame(c, 0x80, oom_big, 50000);
  oom_turn(o);
  o->score = c->rd.messages;
  o->full = 5;
}

static void deflate_at(oom *o, const char *path, const char *more) {
  static const char text[] = "echo: to be compressed, to be compressed";
  client *c;

  oom_begin(o, NULL);
  c = oom_open(o, path, more);
  oom_text(c, text);
  oom_text(c, text);
  oom_packed(c, text, sizeof text - 1);
  oom_packed(c, text, sizeof text - 1);
  o->score = c->rd.messages + c->rd.deflate;
  o->full = 5;
}

static void deflated(oom *o) {
  deflate_at(o, "/deflate", EXTENSION "\r\n");
}

static void takeover(oom *o) {
  deflate_at(o, "/takeover", EXTENSION "; client_max_window_bits\r\n");
}

/* Twenty members: plain, and with all kinds of windows. */
static void rooms(oom *o) {
  client *c[20];

  oom_begin(o, NULL);
  for (int i = 0; i < 20; i++) {
    char more[120];
    snprintf(more, sizeof more, EXTENSION "; server_max_window_bits=%d\r\n",
             9 + i % 7);
    c[i] = oom_open(o, i % 3 == 0 ? "/deflate" : "/takeover",
                    i % 3 == 1 ? "" : more);
    oom_text(c[i], "j");
  }
  oom_text(c[0], "b short");
  oom_text(c[1], "b one that is long enough to be compressed, compressed");
  oom_text(c[2], "l");
  oom_text(c[2], "b without the one who sends it, but long enough again");
  oom_text(c[0], "l");
  oom_text(c[0], "j");
  for (int i = 0; i < 20; i++)
    o->score += c[i]->rd.messages;
  o->full = 59;
}

static void unions(oom *o) {
  client *c[5];
  rill_limits limits;
  rill_config config;

  rill_config_init(&config);
  limits = config.limits;
  oom_begin(o, &limits);
  for (int i = 0; i < 5; i++) {
    c[i] =
        oom_open(o, i < 3 ? "/ws" : "/deflate", i < 3 ? "" : EXTENSION "\r\n");
    if (i < 2)
      oom_text(c[i], "j");
    if (i == 2)
      oom_text(c[i], "J");
  }
  c[4]->reads = false; /* so that the newest takes the older one's place */
  oom_text(c[3], "u");
  oom_text(c[4], "u");
  c[4]->reads = true;
  if (c[4]->conn != NULL)
    oom_take(c[4]);
  oom_turn(o);
  for (int i = 0; i < 5; i++)
    o->score += c[i]->rd.messages;
  /*
   * A union is one message and one with a key, as these come within one
   * turn.  Three peers are in both unions, client 3 in its own only; client
   * 4, which does not read, is left with one key.  And one on_joined.
   */
  o->full = 3 * 4 + 2 + 3 + 1;
}

static void verdicts(oom *o) {
  client *c;

  oom_begin(o, NULL);
  o->async = true;
  for (int i = 0; i < 4; i++) {
    c = i < 3 ? oom_open(o, "/ws", "") : oom_accept(o);
    if (i == 3)
      oom_say(c, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
                 "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    if (i == 1 && c->conn != NULL)
      oom_close(c); /* the client does not wait */
    if (o->later != NULL) {
      rill_request *req = o->later;
      int rv;
      o->later = NULL;
      oom_enter();
      if (i == 2)
        rv = rill_reject(req, 403, "no");
      else if (i == 3)
        rv = rill_respond(req, &(rill_response){.body = "x", .body_len = 1});
      else
        rv = rill_accept(req, rill_s("someone"));
      oom_leave();
      MUST(rv == 0 || rv == RILL_ERR_NOMEM || rv == RILL_ERR_CLOSED);
    }
    oom_pass(o, 10 * RILL_MSEC);
    o->score += (unsigned)c->rd.status;
  }
  c = &o->c[0];
  oom_text(c, "J");
  oom_text(c, "echo");
  oom_enter();
  rill_join_allow(c->peer, rill_s("other"));
  oom_leave();
  oom_turn(o);
  o->score += c->rd.messages;
  o->full = 101 + 403 + 404 + 1 + 1;
}

static void requests(oom *o) {
  client *c;

  oom_begin(o, NULL);
  c = oom_accept(o);
  oom_say(c, "GET /plain HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
  oom_say(c,
          "POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  oom_say(c, "POST /plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
             "\r\n5\r\nhello\r\n0\r\n\r\n");
  oom_say(c, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  oom_say(c, "DELETE /ws/00 HTTP/1.1\r\nHost: a\r\n\r\n");
  oom_say(c, "GET /ws/00 HTTP/1.1\r\nHost: a\r\n\r\n");
  o->score = c->rd.answers;
  o->full = 6;
  c = oom_accept(o);
  oom_say(c, "GET / HTTP/9.9\r\n\r\n");
}

/* A conn that the hub dials, and the one that it accepts for it. */
static void dial_with(oom *o, bool deflate) {
  client *c = oom_client(o), *server;
  rill_dial_opts opts = {.handlers = &oom_handlers, .arg = o};
  const rill_header header = {"X-Test", "oom"};
  rill_msg msg = rill_text("echo this, and this, and this once more");

  c->dialed = true;
  c->rd.from_client = true;
  opts.headers = &header;
  opts.nheaders = 1;
  opts.deflate = (rill_deflate_opts){.enabled = deflate,
                                     .threshold = 4,
                                     .client_context_takeover = true,
                                     .server_context_takeover = true};
  oom_begin(o, NULL);
  if (o->hub == NULL)
    return;
  oom_enter();
  rill_dial(&c->peer, o->hub, "ws://example.org/takeover/01?x=y", &opts,
            o->now);
  oom_leave();
  oom_turn(o);
  server = oom_accept(o);
  if (c->conn == NULL || server->conn == NULL)
    return;
  server->mate = c;
  c->mate = server;
  oom_enter();
  rill_dialed(c->conn, 0, o->now);
  oom_leave();
  oom_turn(o);
  for (int i = 0; i < 3; i++) {
    oom_enter();
    rill_send(c->peer, &msg);
    oom_leave();
    oom_turn(o);
  }
  o->score = c->got;
  o->full = 3;
  oom_enter();
  rill_close(c->peer, 1000, "done");
  oom_leave();
  oom_turn(o);
}

static void dialed(oom *o) {
  dial_with(o, false);
}
static void dialed_deflated(oom *o) {
  dial_with(o, true);
}

static void closes(oom *o) {
  static const char *const ways[] = {"c", "x", "!"};
  client *c;

  oom_begin(o, NULL);
  for (int i = 0; i < 3; i++) {
    c = oom_open(o, "/ws", "");
    oom_text(c, "p");
    oom_frame(c, 0x89, "ping", 4);
    oom_frame(c, 0x8a, "pong", 4);
    oom_turn(o);
    oom_text(c, ways[i]);
    o->score += c->rd.pings + c->rd.pongs + c->rd.closes;
    if (i == 0) {
      oom_frame(c, 0x88, "\x0f\xa0", 2);
      oom_turn(o);
    }
  }
  c = oom_open(o, "/ws", "");
  oom_frame(c, 0x88,
            "\x03\xe8"
            "bye",
            5);
  oom_turn(o);
  o->score += c->rd.closes;
  c = oom_open(o, "/ws", "");
  oom_frame(c, 0x81, "half of a message", 17);
  c->tx.len -= 8;
  c->ended = true;
  oom_turn(o);
  c = oom_open(o, "/ws", "");
  oom_frame(c, 0x83, "reserved", 8);
  oom_turn(o);
  o->score += c->rd.closes;
  o->full = 3 * 2 + 2 + 1 + 1;
}

/* A reader that does not read, with each policy. */
static void slow(oom *o) {
  static const struct {
    const char *room;
    rill_overflow policy;
    bool window;
  } ways[] = {{"a", RILL_DISCONNECT, false},
              {"b", RILL_DROP_NEWEST, true},
              {"c", RILL_DROP_OLDEST, false},
              {"d", RILL_DROP_OLDEST, true}};
  rill_config config;
  client *c;

  rill_config_init(&config);
  config.limits.queue_count = 6;
  config.limits.soft_count = 3;
  oom_begin(o, &config.limits);
  for (int i = 0; i < 4 && o->hub != NULL; i++) {
    c = oom_open(o, "/takeover", ways[i].window ? EXTENSION "\r\n" : "");
    if (c->was_open) {
      oom_enter();
      rill_join(c->peer, rill_s(ways[i].room));
      oom_leave();
    }
    c->reads = false;
    for (int k = 0; k < 10 && c->was_open; k++) {
      rill_msg msg = rill_text("so many, so many, so many of them");
      msg.overflow = ways[i].policy;
      oom_enter();
      rill_send_room(o->hub, rill_s(ways[i].room), &msg);
      rill_send(c->peer, &msg);
      oom_leave();
      oom_turn(o);
    }
    c->reads = true;
    if (c->conn != NULL)
      oom_take(c);
    oom_pass(o, RILL_SEC);
    o->score += c->rd.messages + 100 * c->rd.closes;
  }
  /* with a window all six make room for the next: 20 % 6 are left */
  o->full = 100 + 6 + 6 + 2;
}

static void task(rill_hub *hub, void *arg) {
  oom *o = arg;
  rill_msg msg = rill_text("from a task");

  o->score += rill_send_all(hub, &msg) == 0;
}

static void drain(oom *o) {
  client *c[3];

  oom_begin(o, NULL);
  for (int i = 0; i < 3; i++)
    c[i] = oom_open(o, i == 2 ? "/deflate" : "/ws",
                    i == 2 ? EXTENSION "\r\n" : "");
  if (o->hub != NULL) {
    oom_enter();
    rill_post(o->hub, task, o);
    rill_post(o->hub, task, o);
    oom_leave();
    oom_pass(o, RILL_SEC);
    oom_enter();
    rill_drain(o->hub, 2 * RILL_SEC, o->now);
    oom_leave();
    oom_pass(o, 30 * RILL_SEC);
    for (int i = 0; i < 3; i++)
      o->score += c[i]->rd.messages + c[i]->rd.closes;
    o->score += rill_is_drained(o->hub);
  }
  o->full = 2 + 3 * 2 + 3 + 1;
}

/* Time goes by: pings, a message that is never whole, idle spares. */
static void waiting(oom *o) {
  client *c, *half;

  oom_begin(o, NULL);
  c = oom_open(o, "/takeover", EXTENSION "\r\n");
  half = oom_open(o, "/ws", "");
  oom_frame(half, 0x01, "begun", 5);
  oom_turn(o);
  oom_pass(o, 20 * RILL_SEC);
  oom_frame(c, 0x8a, "", 0);
  oom_pass(o, 30 * RILL_SEC);
  o->score = (c->rd.pings > 0) + half->rd.closes;
  o->full = 2;
}

#define OOM_SCENARIOS(X)                                                       \
  X(echo)                                                                      \
  X(deflated)                                                                  \
  X(takeover)                                                                  \
  X(rooms)                                                                     \
  X(unions)                                                                    \
  X(verdicts)                                                                  \
  X(requests)                                                                  \
  X(dialed)                                                                    \
  X(dialed_deflated)                                                           \
  X(closes)                                                                    \
  X(slow)                                                                      \
  X(drain)                                                                     \
  X(waiting)

#endif
