/*
 * talk.h - peers with events in memory: what pair.h does, for the dialects
 * that have them.
 *
 * The hub has the routes "/ws" (raw), "/json" and "/deflated" (the envelope),
 * "/sse" and "/sse/:room", "/socket.io/", and one handler for every event,
 * which notes "event NAME [arguments]" in the log and asks |act| as an event
 * named "event"; what it may read and answer is |talk_ev|.
 *
 * What an end was told is read with said() (frames) and streamed() (bytes of
 * a stream).  Ids and secrets are masked in it and kept; the epoch is EPOCH.
 */
#ifndef TALK_H
#define TALK_H

#include "pair.h"

#include "hub/history.h"
#include "hub/session.h"

static const rill_event *talk_ev;
static char talk_sid[PAIR_ENDS][RILL__SID + 1];
static char talk_secret[PAIR_ENDS][RILL__SID + 1];
static bool talk_packs[PAIR_ENDS];

static inline int talk_event(rill_peer peer, const rill_event *ev, void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);
  rill_str name = rill_event_name(ev);
  char json[4000];
  int rv;

  rill_value_json(rill_event_args(ev), json, sizeof json);
  pair_note(p, e, "event");
  pair_note_bytes(p, name.ptr, name.len);
  pair_note_bytes(p, json, strlen(json));
  talk_ev = ev;
  rv = pair_act(p, &(event){.name = "event", .end = e, .peer = peer});
  talk_ev = NULL;
  return rv;
}

/* As pair_authorize; a stream is not open yet when its rooms are judged. */
static inline int talk_authorize(rill_peer peer, rill_str room, void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && e->closed == 0);
  pair_note(p, e, "authorize");
  pair_note_bytes(p, room.ptr, room.len);
  return pair_act(
      p, &(event){.name = "authorize", .end = e, .peer = peer, .room = room});
}

static inline int talk_away(rill_peer peer, void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL);
  pair_note(p, e, "away");
  return pair_act(p, &(event){.name = "away", .end = e, .peer = peer});
}

static inline int talk_back(rill_peer peer, int missed, void *arg) {
  pair *p = arg;
  end *e = pair_end_of(p, peer);

  MUST(e != NULL && rill_is_open(peer));
  e->peer = peer;
  pair_note(p, e, missed == 0 ? "back" : "back to a gap");
  return pair_act(p, &(event){.name = "back", .end = e, .peer = peer});
}

static const rill_handlers talk_handlers = {.on_open = pair_on_open,
                                            .on_message = pair_on_message,
                                            .on_drain = pair_on_drain,
                                            .on_joined = pair_on_joined,
                                            .on_close = pair_on_close,
                                            .on_away = talk_away,
                                            .on_back = talk_back};

static inline void talk_route(pair *p, const char *path, rill_dialect dialect,
                              rill_route_opts opts) {
  opts.handlers = &talk_handlers;
  opts.arg = p;
  assert_int_equal(rill_route(p->hub, path, dialect, &opts), 0);
}

/* Makes the hub of |config|, without handlers of events. */
static inline void talk_begin_bare(pair *p) {
  const rill_route_opts deflate = {
      .deflate = {.enabled = true, .threshold = 1}};
  const rill_route_opts plain = {0};

  pair_begin(p);
  talk_route(p, "/json", RILL_JSON, plain);
  talk_route(p, "/deflated", RILL_JSON, deflate);
  talk_route(p, "/sse", RILL_SSE, plain);
  talk_route(p, "/sse/:room", RILL_SSE, plain);
  assert_int_equal(rill_route(p->hub, "/socket.io/", RILL_SOCKETIO, NULL), 0);
}

static inline void talk_begin(pair *p) {
  talk_begin_bare(p);
  assert_int_equal(rill_on(p->hub, NULL, "*", talk_event, p), 0);
}

/* "/" with recovery. */
static inline void talk_begin_recovering(pair *p) {
  talk_begin(p);
  assert_int_equal(
      rill_space(p->hub, "/", &(rill_space_opts){.recovery = true}), 0);
}

/* The end of a test with recovery: who is away does not come back. */
static inline void talk_give_up(pair *p) {
  p->act = NULL;
  for (size_t i = 0; i < p->nends; i++)
    p->ends[i]->fin = true;
  pair_turn(p);
  pair_jump(p, p->config.limits.recovery_ms * RILL_MSEC);
}

/* |again| goes on as the peer of |e|: on_open is not told once more. */
static inline void talk_is(end *again, end *e) {
  assert_int_equal(e->opened, 1);
  again->opened = 1;
  e->opened = 0;
  e->peer = (rill_peer){0};
}

static inline bool talk_hides(end *e, const char *text, const char *key,
                              char *keep, size_t *at) {
  size_t len = strlen(key);

  if (strncmp(text + *at, key, len) != 0 ||
      strlen(text + *at + len) < RILL__SID ||
      text[*at + len + RILL__SID] != '"')
    return false;
  memcpy(keep, text + *at + len, RILL__SID);
  keep[RILL__SID] = '\0';
  buf_text(&e->text, key);
  buf_text(&e->text, "*");
  *at += len + RILL__SID;
  return true;
}

/* Adds |text| to what is told, without what is random in it. */
static inline void talk_mask(end *e, const char *text) {
  char *sid = talk_sid[e->index], *secret = talk_secret[e->index];
  size_t len = strlen(text);

  for (size_t at = 0; at < len;) {
    if (talk_hides(e, text, "\"open\":\"", sid, &at) ||
        talk_hides(e, text, "\"sid\":\"", sid, &at) ||
        talk_hides(e, text, "\"session\":\"", secret, &at) ||
        talk_hides(e, text, "\"pid\":\"", secret, &at))
      continue;
    if (len - at >= 8 && memcmp(text + at, e->p->hub->epoch, 8) == 0) {
      buf_text(&e->text, "EPOCH");
      at += 8;
      continue;
    }
    buf_add(&e->text, text + at++, 1);
  }
}

/* A binary frame as JSON where it is MessagePack, else in hex. */
static inline void talk_binary(end *e, const frame *f) {
  static const rill__value_limits limits = {60, 100000, 100000};
  rill__tape tape;
  rill__bytes json;

  rill__tape_init(&tape, &rill__alloc_default);
  rill__bytes_init(&json, &rill__alloc_default);
  if (rill__msgpack_read(&tape, (rill_str){(char *)f->data, f->len}, &limits) ==
          0 &&
      tape.v[0].type == RILL_OBJECT) {
    rill__json_write(&json, tape.v, NULL);
    rill__bytes_add(&json, "", 1);
    buf_text(&e->text, "#");
    talk_mask(e, (const char *)json.data);
  } else {
    buf_text(&e->text, "<");
    for (size_t i = 0; i < f->len; i++) {
      char digits[3];
      snprintf(digits, sizeof digits, "%02x", f->data[i]);
      buf_text(&e->text, digits);
    }
    buf_text(&e->text, ">");
  }
  rill__tape_finish(&tape);
  rill__bytes_finish(&json);
}

static inline void talk_other(end *e, const frame *f) {
  buf whole = e->text;

  e->text = (buf){NULL, 0, 0};
  tell_frame(e, f);
  buf_add(&whole, e->text.data, e->text.len);
  buf_clear(&e->text);
  e->text = whole;
}

static inline void talk_frame(end *e, const frame *f) {
  char *text = calloc(1, f->len + 1);

  MUST(text != NULL && f->fin);
  memcpy(text, f->data, f->len);
  if (e->text.len > 0)
    buf_text(&e->text, "\n");
  if (f->opcode == 1 && !f->rsv1)
    talk_mask(e, text);
  else if (f->opcode == 2 && !f->rsv1)
    talk_binary(e, f);
  else
    talk_other(e, f);
  free(text);
}

/*
 * What frames came since the last call, one to a line: text as it is, binary
 * as "#{...}", others as in end_took; "" for nothing.
 */
static inline const char *said(end *e) {
  frame f;

  buf_clear(&e->text);
  buf_text(&e->text, "");
  if (!e->upgraded)
    return end_took(e);
  while (end_next_frame(e, &f))
    talk_frame(e, &f);
  if (e->conn == NULL && !e->eof_told) {
    e->eof_told = true;
    if (e->text.len > 0)
      buf_text(&e->text, "\n");
    buf_text(&e->text, "eof");
  }
  return (const char *)e->text.data;
}

/* The bytes that came since the last call, "eof" behind the last. */
static inline const char *streamed(end *e) {
  buf_clear(&e->text);
  buf_text(&e->text, "");
  if (e->rx.len > e->told)
    talk_mask(e, (const char *)e->rx.data + e->told);
  e->told = e->rx.len;
  if (e->conn == NULL && !e->eof_told) {
    e->eof_told = true;
    buf_text(&e->text, "eof");
  }
  return (const char *)e->text.data;
}

#define SSE_HEAD                                                               \
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"                     \
  "Cache-Control: no-cache, no-store, no-transform\r\n"                        \
  "X-Accel-Buffering: no\r\nConnection: close\r\n"

#define SSE_HELLO(id, recovered)                                               \
  "retry: 3000\nevent: session\nid: EPOCH-" id                                 \
  "\ndata: {\"sid\":\"*\",\"session\":\"*\",\"recovered\":" recovered "}\n\n"

/* A message of the envelope, |json|, in the form that |e| speaks. */
static inline void talk_put(end *e, const char *json) {
  static const rill__value_limits limits = {60, 100000, 100000};
  rill__tape tape;
  rill__bytes packed;

  if (!talk_packs[e->index]) {
    end_put(e, 0x81, json, strlen(json));
    return;
  }
  rill__tape_init(&tape, &rill__alloc_default);
  rill__bytes_init(&packed, &rill__alloc_default);
  MUST(rill__json_read(&tape, rill_s(json), &limits) == 0);
  MUST(rill__value_unpack_bytes(&tape, 0));
  rill__msgpack_write(&packed, tape.v);
  end_put(e, 0x82, packed.data, packed.len);
  rill__tape_finish(&tape);
  rill__bytes_finish(&packed);
}

static inline void say(end *e, const char *json) {
  talk_put(e, json);
  pair_turn(e->p);
}

/* A WebSocket at |path|, upgraded; nobody is there yet. */
static inline end *talk_connect(pair *p, const char *path, bool packs) {
  end *e = pair_accept(p);

  talk_packs[e->index] = packs;
  end_hello(e, path,
            packs ? "Sec-WebSocket-Protocol: rill.msgpack.v1\r\n" : "");
  assert_string_equal(end_took(e), "101");
  assert_int_equal(e->opened, 0);
  return e;
}

/* A peer of the envelope; the log of its opening is dropped. */
static inline end *talk_json_at(pair *p, const char *path, bool packs) {
  end *e = talk_connect(p, path, packs);

  say(e, "{\"open\":{}}");
  assert_int_equal(e->opened, 1);
  said(e);
  pair_log(p);
  return e;
}

static inline end *talk_json(pair *p) {
  return talk_json_at(p, "/json", false);
}

static inline end *talk_msgpack(pair *p) {
  return talk_json_at(p, "/json", true);
}

/* A Socket.IO client on a WebSocket, which says |connect|: "40". */
static inline end *talk_sio(pair *p, const char *connect) {
  end *e = pair_accept(p);

  end_hello(e, "/socket.io/?EIO=4&transport=websocket", "");
  assert_true(rill_str_starts(rill_s(end_took(e)), "101; text 0{"));
  end_text(e, connect);
  assert_true(rill_str_starts(rill_s(said(e)), "40"));
  return e;
}

/* A request; |more| is header lines. */
static inline void talk_put_request(end *e, const char *method,
                                    const char *path, const char *more,
                                    const char *body) {
  char length[64];

  buf_text(&e->tx, method);
  buf_text(&e->tx, " ");
  buf_text(&e->tx, path);
  buf_text(&e->tx, " HTTP/1.1\r\nHost: example.org\r\n");
  buf_text(&e->tx, more);
  if (body != NULL) {
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    buf_text(&e->tx, length);
  }
  buf_text(&e->tx, "\r\n");
  if (body != NULL)
    buf_text(&e->tx, body);
}

static inline end *talk_get(pair *p, const char *path, const char *more) {
  end *e = pair_accept(p);

  talk_put_request(e, "GET", path, more, NULL);
  pair_turn(p);
  return e;
}

/* A stream at |path|; the log and what it was told are dropped. */
static inline end *talk_sse(pair *p, const char *path) {
  end *e = talk_get(p, path, "");

  assert_int_equal(e->opened, 1);
  assert_non_null(strstr(streamed(e), "event: session\n"));
  pair_log(p);
  return e;
}

static inline end *talk_post(pair *p, const char *path, const char *body) {
  end *e = pair_accept(p);

  talk_put_request(e, "POST", path, "", body);
  pair_turn(p);
  return e;
}

/* "200 BODY"; "" while there is no answer. */
static inline const char *answered(end *e) {
  static char text[4200];
  char first[64];

  snprintf(first, sizeof first, "%s", end_took(e));
  if (strcmp(first, "") == 0)
    return "";
  snprintf(text, sizeof text, "%s %s", first,
           e->http_body.data != NULL ? (char *)e->http_body.data : "");
  return text;
}

static inline rill_builder *talk_args(pair *p, const char *json) {
  rill_builder *b = rill_build(p->hub);

  if (json[0] != '\0')
    rill_put_json(b, rill_s(json));
  return b;
}

/* Emits |name| with one argument to |room|. */
static inline void talk_emit(pair *p, const char *room, const char *name,
                             const char *json) {
  assert_int_equal(
      rill_emit_room(p->hub, rill_s(room), name, talk_args(p, json), NULL), 0);
}

#endif
